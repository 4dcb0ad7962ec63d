"""Numbers out of sentences: what belongs to the quantity, what does not, and where it stands."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba import cli
from edubba.papers import building, extracting, library
from edubba.papers.records import Record
from edubba.papers.spec import Build

SHARED = Path(__file__).parents[3] / "shared" / "data" / "papers"
LABELS = Path(__file__).parents[1] / "data" / "papers" / "incubation_labels.json"


def said(text, title=""):
    """Kind, value or range, interval, disease, primary of each cell of an abstract."""
    of = Record(id="r", title=title, abstract=text)
    return [
        (c.kind, c.value if c.value is not None else (c.low, c.high), c.interval, c.disease, c.primary)
        for c in extracting.incubation(of)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mean incubation period was 5.2 days (95% CI 4.1-7.0) and the mean serial interval 7.5 days.", [("mean", 5.2, "95% CI", "", True)]),
        ("The median incubation period was 4 days (IQR, 2 to 7).", [("median", 4.0, "IQR", "", True)]),
        ("Incubation time ranged from one to twenty days with a mean period of 8.09 days (SD 4.99).", [("range", (1.0, 20.0), "range", "", True), ("mean", 8.09, "SD", "", True)]),
        ("It has an incubation period of 4·8 days.", [("value", 4.8, "", "", True)]),
        ("A 5-day estimated incubation period was seen in COVID-19.", [("value", 5.0, "", "COVID-19", True)]),
        ("The longest incubation period was 26 days.", [("maximum", 26.0, "", "", True)]),
        ("The incubation period varied between 2 and 25 days.", [("range", (2.0, 25.0), "range", "", True)]),
        ("During the 48-hour incubation period of influenza nobody coughed.", [("value", 2.0, "", "influenza", True)]),
        ("The incubation period of SARS was 4.0 days, that of COVID-19 5 days.", [("value", 4.0, "", "SARS", True), ("value", 5.0, "", "COVID-19", True)]),
        ("It was previously reported that the incubation period is 5 days.", [("value", 5.0, "", "", False)]),
        ("Average, mode and median incubation periods are 7.4, 4 and 7 days.", [("mean", 7.4, "", "", True), ("mode", 4.0, "", "", True), ("median", 7.0, "", "", True)]),
        ("The mean and standard deviation were 7.44 days and 4.39 days for incubation period, 2.5 days for others.", [("mean", 7.44, "SD", "", True)]),
        ("A median incubation period of 7 days, which is 1.8 days longer than in the hospital.", [("median", 7.0, "", "", True)]),
        # other quantities, thresholds, assumptions, cultures, beliefs
        ("The incubation period was longer than 14 days for 3 cases.", []),
        ("We assumed an incubation period of one week.", []),
        ("Laboratories should shorten the incubation period of blood cultures from 5 days to 4 days.", []),
        ("Infected mice with an incubation period of 5-7 days lost weight.", []),
        ("A total of 133 dentists reported that the incubation period is 1-14 days.", []),
        ("Quarantine of 14 days covers the incubation period.", []),
        ("No transmission after 2 full incubation periods (20 days).", []),
        ("The incubation period ended; patients stayed for 12 days.", []),
        ("With an 8 days incubation period and 6 days serial interval we are lost.", [("value", 8.0, "", "", True)]),
    ],
)  # fmt: skip
def test_golden(text, expected):
    assert said(text) == expected


def test_the_disease_is_that_of_the_value():
    assert said("SARS and MERS are not COVID-19, whose incubation period is 5 days.")[0][3] == "COVID-19"
    assert said("The incubation period was 5 days.", title="MERS in Riyadh")[0][3] == "MERS"
    assert said("The incubation period was 5 days.", title="On SARS-CoV-2 and SARS")[0][3] == "COVID-19"


numbers = st.floats(0.5, 40).map(lambda x: round(x, 1))


@given(numbers, numbers, st.sampled_from(["days", "d", "weeks"]), st.sampled_from(["-", " to ", "–"]))
def test_what_is_written_is_read(a, b, unit, dash):
    text = f"The incubation period was {a}{dash}{b} {unit}."
    scale = 7 if unit == "weeks" else 1
    (value, *_) = extracting.durations(text)
    assert text[value.span.start : value.span.end].endswith(unit)
    assert value.a == pytest.approx(a * scale)
    assert value.b == (pytest.approx(b * scale) if b >= a else None)


def test_the_verb(tmp_path, cord19, capsys):
    rows = [
        cord19.paper(1, abstract="Of COVID-19 the mean incubation period was 5.2 days (95% CI 4.1-7.0)."),
        cord19.paper(2),
    ]
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine="sqlite"))
    line = [
        "papers",
        "extract",
        "incubation-period",
        "--library",
        str(tmp_path / "library"),
        "-o",
        str(tmp_path / "t.csv"),
    ]
    assert cli.run(line) == 0
    assert "1 value in 1 paper" in capsys.readouterr().out
    with (tmp_path / "t.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["kind"], row["value"], row["low"], row["high"], row["interval"]) == ("uid00001", "mean", "5.2", "4.1", "7.0", "95% CI")  # fmt: skip
    of = library.open(tmp_path / "library").find("uid00001")
    assert of.abstract[int(row["start"]) : int(row["end"])] == row["quotation"] == "5.2 days (95% CI 4.1-7.0)"
    assert row["quotation"] in row["sentence"]


def test_hand_labelled_abstracts(tmp_path, cord19):
    """Every value of the committed list that stands in an abstract of the composite, against what is extracted from these."""
    if not SHARED.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    labels = json.loads(LABELS.read_text())["labels"]
    rows = [
        {k: str(v or "") for k, v in r.items()}
        for r in parquet.read_table(SHARED / "cord19_composite.parquet").to_pylist()
    ]
    rows = [r | {"pubmed_id": r["pmid"]} for r in rows if "ncubation" in r["abstract"]]
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine="sqlite"))
    found = {(r["id"], r["start"]) for r in extracting.table(library.open(tmp_path / "library"), "incubation-period")}
    true = {(id, start) for id, start, _ in labels}
    assert len(found & true) / len(found) >= 0.9
    assert len(found & true) / len(true) >= 0.7
