"""Numbers out of sentences: what belongs to the quantity, what does not, and where it stands."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba import cli
from edubba.core.errors import UserError
from edubba.papers import building, extracting, library, reproduction, samples, tabulating
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
    found = {(r["id"], r["start"]) for r in tabulating.table(library.open(tmp_path / "library"), "incubation-period")}
    true = {(id, start) for id, start, _ in labels}
    assert len(found & true) / len(found) >= 0.9
    assert len(found & true) / len(true) >= 0.7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We estimate the basic reproduction number at 3.1 (95% CI, 2.9 to 3.2).", [("value", 3.1, 2.9, 3.2, "95% CI", True)]),
        ("The mean estimate of R0 ranges from 2.24 to 3.58, larger than 1.", [("range", None, 2.24, 3.58, "range", True)]),
        ("R 0 was 2·2 in the early stage.", [("value", 2.2, None, None, "", True)]),
        ("We found R0=2.56, using the serial interval SI= 4,4.", [("value", 2.56, None, None, "", True)]),
        ("The basic reproductive number (R0) was 2.1 (95% CI: 2.0, 2.2) and 3.2 (95% CI: 2.7, 3.7) in both.",
         [("value", 2.1, 2.0, 2.2, "95% CI", True), ("value", 3.2, 2.7, 3.7, "95% CI", True)]),
        ("R0 ranged from 2.5 (1.7 to 3.1) to 7.2 (5.3 to 9.4).", [("minimum", 2.5, 1.7, 3.1, "", True), ("maximum", 7.2, 5.3, 9.4, "", True)]),
        ("The reproduction number R0 for the range of [2.23, 2.51] was found.", [("range", None, 2.23, 2.51, "range", True)]),
        ("Previous studies reported an R0 of 2.7.", [("value", 2.7, None, None, "", False)]),
        ("The majority of scenarios with an R0 of 1.5 were controllable.", [("value", 1.5, None, None, "", False)]),
        # other quantities, thresholds, what it is brought down to, dates and counts
        ("The effective reproduction number was 1.3 while R0 was not estimated.", []),
        ("It dies out if R0 < 1.2 holds.", []),
        ("R0 decreased to 0.7 and 0.2 when quarantine was implemented.", []),
        ("We calculate R0 from January 24, 2020 to February 13, 2020 in 11 major cities.", []),
        ("The R0 and the growth rate of 2.4 were estimated.", []),
        ("The change of R0 in the two cities was compared.", []),
        ("R0 was reduced by 87.0% in the 30 provinces.", []),
        ("The basic reproduction number is approximately 3.28.[4,5]", [("value", 3.28, None, None, "", True)]),
    ],
)  # fmt: skip
def test_reproduction_numbers(text, expected):
    cells = reproduction.r0(Record(id="r", title="", abstract=text))
    assert [(c.kind, c.value, c.low, c.high, c.interval, c.primary) for c in cells] == expected
    for c in cells:
        assert text[c.span.start : c.span.end].strip(" ([").startswith(text[c.span.start])


@pytest.mark.parametrize(
    ("text", "whole", "others"),
    [
        ("We included 138 patients with pneumonia, of whom 36 patients died.", 138, [36]),
        ("A total of 1,099 patients from 552 hospitals were analysed.", 1099, []),
        ("UK respondents (n = 202) completed a survey.", 202, []),
        ("We report two cases of stroke.", 2, []),
        ("Forty-five critically ill patients were identified.", 45, []),
        ("RESULTS: 436 patients were included; there were 153 males and 283 females.", 436, [153, 283]),
        ("In this study, 42 participants were randomized, including 20 children.", 42, [20]),
        # the world, screened people, years, things
        ("As of May 5, a total of 78,811 confirmed cases have been reported globally.", None, [78811]),
        ("We screened 991 patients.", None, [991]),
        ("In 2019 patients were admitted; nobody counted them.", None, []),
        ("There were 68,280 adult beds.", None, []),
        ("Tweets (n=2,558,474) were extracted.", None, []),
        ("One hundred twenty-five patients were analysed.", None, [25]),
    ],
)
def test_sample_sizes(text, whole, others):
    cells = samples.sample_size(Record(id="r", title="", abstract=text))
    assert [c.value for c in cells if c.primary] == ([whole] if whole else [])
    assert sorted(c.value for c in cells if not c.primary) == sorted(others)


@given(st.text(alphabet="R0=2.5 (),[]-–nN<~ofand patients 1,9·\n", max_size=80))
def test_any_text_can_be_looked_through(text):
    of = Record(id="r", title="", abstract=text)
    for cell in [*reproduction.r0(of), *samples.sample_size(of), *extracting.incubation(of)]:
        assert 0 <= cell.sentence.start <= cell.span.start < cell.span.end <= len(text)


def test_a_table_is_a_csv(tmp_path):
    with pytest.raises(UserError, match=r"t\.xls does not end in \.csv"):
        tabulating.write(tmp_path / "t.xls", [])
