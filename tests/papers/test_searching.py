"""Search as a user types it: what is found, what is quoted to the letter, limits, export, figures of the engines."""

import csv
import io
import json
import math
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edubba import cli
from edubba.papers import building, design, engines, evaluation, library, metrics, records, searching, trec, words
from edubba.papers.engines import Entry, Filters
from edubba.papers.spec import Build

SHARED = Path(__file__).parents[3] / "shared" / "data" / "papers"
ROWS = [
    ("a", "Masks in hospitals: a randomised trial", "Background: none. Masks cut infection by 40%. Nurses wore them.", "2020-04-17"),
    ("b", "A systematic review of masks", "We searched for trials of SARS-CoV-2. Masks were worn.", "2020"),
    ("c", "Bats in caves", "Bats carry 2019-nCoV. Nobody wore anything. See Fig. 2.", "2019-11"),
    ("d", "Retrospective review of medical records", "Forty patients with COVID-19 were treated.", "2020-12-31"),
    ("e", "Trade of words", "Nothing of interest.", ""),
]  # fmt: skip


@pytest.fixture
def made(tmp_path, engine, cord19):
    rows = [
        cord19.paper(0)
        | {"cord_uid": uid, "title": title, "abstract": text, "publish_time": when, "doi": f"10.5555/{uid}"}
        for uid, title, text, when in ROWS
    ]
    rows[2] |= {"license": "no-cc", "source_x": "biorxiv", "doi": ""}
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine=engine))
    return tmp_path / "library"


def ids(hits):
    return [hit.record.id for hit in hits]


def test_what_fits_best_comes_first_with_a_sentence_to_the_letter(made):
    hits = searching.search(made, "do masks prevent infection of nurses?")
    assert ids(hits)[0] == "a"
    (passage,) = hits[0].passages
    assert passage.text == "Masks cut infection by 40%."
    for hit in hits:
        for p in hit.passages:
            assert hit.record.abstract[p.start : p.end] == p.text
            assert all(p.start <= a < b <= p.end for a, b in p.marks)
    assert [hits[0].record.abstract[a:b] for a, b in passage.marks] == ["Masks", "infection"]


def test_one_disease_under_many_names(made):
    assert set(ids(searching.search(made, "COVID-19"))) == {"b", "c", "d"}
    assert ids(searching.search(made, "novel coronavirus bats"))[0] == "c"


@pytest.mark.parametrize(
    "query", ["", "the of", '"unbalanced', "a AND (b", "x:y^2 -z *", "𒆠", "Robert'); DROP TABLE text;--"]
)
def test_any_query_is_answered(made, query):
    searching.search(made, query)
    assert len(searching.search(made, "masks")) == 2


def test_limits(made):
    since = searching.search(made, "masks bats patients words", filters=Filters(since=date(2020, 3, 1)))
    assert {hit.record.id: hit.uncertain for hit in since} == {"a": False, "b": True, "d": True}
    until = searching.search(made, "masks bats patients words", filters=Filters(until=date(2019, 11, 15)))
    assert {hit.record.id: hit.uncertain for hit in until} == {"c": True}
    assert ids(searching.search(made, "masks", filters=Filters(design="rct"))) == ["a"]
    assert ids(searching.search(made, "bats masks", filters=Filters(preprint=True))) == ["c"]
    assert ids(searching.search(made, "bats masks", filters=Filters(licence="no-cc"))) == ["c"]
    assert ids(searching.search(made, "bats", filters=Filters(journal="j. INVENTED"))) == ["c"]


def test_the_verb(made, tmp_path, capsys):
    line = ["papers", "search", "masks for nurses", "--library", str(made), "--since", "2020-03", "--design", "rct"]
    assert cli.run(line) == 0
    out = capsys.readouterr().out
    assert "Masks in hospitals" in out
    assert "“Masks cut infection by 40%.”" in out or "“Nurses wore them.”" in out
    assert cli.run(["papers", "search", "bats", "--library", str(made), "--json"]) == 0
    (row, *_) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["abstract"], row["preprint"]) == ("c", None, True)  # its licence does not let it be shown
    for ending, part in ((".ris", "DO  - 10.5555/a"), (".bib", "@article{a,"), (".csv", "id,title")):
        file = tmp_path / f"found{ending}"
        assert cli.run([*line, "--export", str(file)]) == 0
        assert part in file.read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    assert [r["published"] for r in rows] == ["2020-04-17"]
    capsys.readouterr()
    for wrong, sentence in (
        (["--since", "soon"], "since 'soon' is no date"), (["--since", "2020-13"], "since '2020-13' is no date"),
        (["--until", "2020-02-30"], "until '2020-02-30' is no date"), (["--design", "magic"], "design 'magic' is not known"),
        (["-k", "0"], "-k 0: one paper at least"), (["--export", "a.doc"], "says no format"), (["--library", "none"], "is no library"),
    ):  # fmt: skip
        assert cli.run([*line[:5], *wrong] if wrong[0] != "--library" else ["papers", "search", "x", *wrong]) == 1
        assert sentence in capsys.readouterr().err


def test_topics_are_measured(made, tmp_path, capsys):
    (tmp_path / "t.xml").write_text(
        "<topics><topic number='1'><query>masks</query><question>do masks help nurses</question></topic>"
        "<topic number='2'><query>bats</query></topic></topics>"
    )
    (tmp_path / "q.txt").write_text("1 0 a 2\n1 0 c 0\n2 0 c 1\n2 0 zzz 1\n")
    line = ["papers", "evaluate", "--topics", str(tmp_path / "t.xml"), "--qrels", str(tmp_path / "q.txt")]
    assert cli.run([*line, "--library", str(made), "--run", str(tmp_path / "run.txt"), "--json"]) == 0
    found = {r["name"]: r["value"] for r in json.loads(capsys.readouterr().out)["results"]}
    run = trec.run(tmp_path / "run.txt")
    each = metrics.each(run, trec.qrels(tmp_path / "q.txt"))
    assert found["nDCG@10"] == pytest.approx(sum(each["nDCG@10"]) / 2)
    assert found["RR"] == 1
    assert found["R@100"] == 0.75
    assert cli.run([*line, "--library", str(made), "--docs", str(tmp_path / "none.txt")]) == 1
    assert "none.txt cannot be read" in capsys.readouterr().err
    only = evaluation.evaluate(made, tmp_path / "t.xml", tmp_path / "q.txt", only={"c"}).run
    assert only["2"].keys() == {"c"}


def test_a_record_of_several_cord_uids_stands_for_each(tmp_path, cord19):
    rows = [cord19.paper(1), cord19.paper(1, cord_uid="other"), cord19.paper(2)]
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine="sqlite"))
    lib = library.open(tmp_path / "library")
    topics = [trec.Topic("1", "invented paper number 1")]
    run = evaluation.evaluate(lib, topics, {"1": {"other": 1}}).run["1"]
    assert run["other"] == run["uid00001"]
    assert lib.find("uid00002").doi == "10.1234/x.2"
    with pytest.raises(Exception, match="has no record 'other'"):
        lib.find("other")


def test_bm25_is_that_of_its_definition(tmp_path):
    """Against the formula (Robertson and Zaragoza 2009) with tantivy's constants, on texts short enough that lengths are exact."""
    pytest.importorskip("tantivy")
    texts = ["a1 b1", "a1 a1 c1", "b1 c1 c1 c1", "d1"]
    engine = engines.open(tmp_path, "tantivy")
    engine.add([Entry(i, t, 0, 0, False, "", "", "") for i, t in enumerate(texts)], upto=4)
    found = engine.search("a1", k=10)
    n, mean, k1, b = 4, np.mean([len(t.split()) for t in texts]), 1.2, 0.75
    idf = math.log(1 + (n - 2 + 0.5) / (2 + 0.5))
    for number, score in zip(found.numbers, found.scores, strict=True):
        tf = Counter(texts[number].split())["a1"]
        length = len(texts[number].split())
        assert score == pytest.approx(idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / mean)), rel=1e-5)
    assert found.numbers.tolist() == [1, 0]


def test_engines_find_what_bm25_finds(engine, tmp_path):
    """SciFact's test claims, as BEIR has them: every engine within the range of known implementations."""
    if not SHARED.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(SHARED / "scifact" / "corpus.parquet").to_pylist()
    index = engines.open(tmp_path, engine)
    texts = [f"{r['title']} {r['title']} {' '.join(r['abstract'])}" for r in rows]
    index.add([Entry(i, t, 0, 0, False, "", "", "") for i, t in enumerate(texts)], upto=len(texts))
    pairs = [line.split("\t")[:2] for line in (SHARED / "scifact" / "queries_test.tsv").read_text().splitlines()]
    qrels = trec.qrels(SHARED / "scifact" / "qrels_test.txt")
    run = {}
    for topic, query in pairs:
        if topic in qrels:
            found = index.search(query, k=100)
            run[topic] = {str(rows[i]["doc_id"]): float(s) for i, s in zip(found.numbers, found.scores, strict=True)}
    value = np.mean(metrics.each(run, qrels)["nDCG@10"])
    assert 0.674 <= value <= 0.692


def test_what_is_quoted_stands_there_in_the_whole_corpus(engine, tmp_path, cord19):
    """Every sentence that would be shown of 300 real abstracts is in them to the letter, at its place."""
    if not SHARED.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(SHARED / "cord19_composite.parquet").slice(0, 600).to_pylist()
    rows = [{k: str(v or "") for k, v in r.items()} for r in rows if r["abstract"]][:300]
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine=engine))
    lib = library.open(tmp_path / "library")
    for query in ("transmission of the virus in children", "patients with fever", "protein structure"):
        for hit in searching.search(lib, query, k=100):
            if engine == "tantivy":  # SQLite's stems are not known outside of it
                assert hit.passages or set(lib.engine.stems(query)) & set(lib.engine.stems(hit.record.title))
            for p in hit.passages:
                assert hit.record.abstract[p.start : p.end] == p.text


def test_kinds_of_studies():
    cases = {
        "Hydroxychloroquine in hospitalised adults: a randomized, controlled trial": "rct",
        "Protocol for a randomised controlled trial of zinc": "protocol",
        "Clinical features: a retrospective review of medical records": "retrospective cohort",
        "Risk factors: a systematic review and meta-analysis of randomised trials": "systematic review",
        "Survey of a randomly selected sample: randomized sample of households": "cross-sectional",
        "A case report of myocarditis": "case report",
        "Mathematical modelling of lockdowns": "modelling",
        "The virus": "",
    }
    assert {title: design.of(title) for title in cases} == cases


def test_names_of_the_disease():
    same = ["COVID-19", "covid19", "SARS-CoV-2", "sars cov 2", "2019-nCoV", "novel coronavirus", "HCoV-19", "coronavirus disease 2019"]  # fmt: skip
    assert all(words.named(name).endswith(words.NAME) for name in same)
    assert not any(
        words.NAME in words.named(other) for other in ("SARS-CoV", "SARS", "MERS-CoV", "coronavirus", "covidence")
    )


def test_dates_that_hold_no_date():
    assert all(records.published(text) == records.Published() for text in ("", "n.d.", "0000", "20", "spring 2020"))
    assert str(records.published("2020-02-31")) == "2020-02"


def test_an_index_that_keeps_places_of_words_is_still_read(tmp_path, monkeypatch):
    """As edubba made them before December 2026."""
    pytest.importorskip("tantivy")
    real, asked = engines._schema, []
    with monkeypatch.context() as patch:
        patch.setattr(engines, "_schema", lambda kept: real("position"))
        old = engines.open(tmp_path, "tantivy")
        old.add([Entry(i, text, 0, 0, False, "", "", "") for i, text in enumerate(["bats in caves", "cats"])], upto=2)
        assert old.search("bats", k=5).numbers.tolist() == [0]
    monkeypatch.setattr(engines, "_schema", lambda kept: asked.append(kept) or real(kept))
    again = engines.open(tmp_path, "tantivy")
    assert asked == ["freq", "position"]
    assert again.indexed == 2
    again.add([Entry(2, "more bats", 0, 0, False, "", "", "")], upto=3)
    assert sorted(again.search("bats", k=5).numbers.tolist()) == [0, 2]
    engines.open(tmp_path / "new", "tantivy")
    assert asked[2:] == ["freq"]
