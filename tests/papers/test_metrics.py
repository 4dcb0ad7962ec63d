"""Measures as trec_eval has them: golden values, ties, official runs, and a trusted peer where it is installed."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.papers import metrics, trec

SHARED = Path(__file__).parents[3] / "shared" / "data" / "papers" / "trec_covid"
JUDGED = {"a": 2, "b": 1, "c": 0, "d": 2, "e": 0, "f": 1}
RANKED = list("xbcayed")


def test_a_case_reckoned_by_hand():
    assert metrics.ndcg(RANKED, JUDGED, 5) == pytest.approx(0.355938, abs=1e-6)
    assert metrics.ndcg(RANKED, JUDGED, 10) == pytest.approx(0.514951, abs=1e-6)
    assert metrics.average_precision(RANKED, JUDGED) == pytest.approx(0.357143, abs=1e-6)
    assert metrics.bpref(RANKED, JUDGED) == 0.375
    assert metrics.precision(RANKED, JUDGED, 5) == 0.4
    assert metrics.recall(RANKED, JUDGED, 10) == 0.75
    assert metrics.r_precision(RANKED, JUDGED) == 0.5
    assert metrics.reciprocal_rank(RANKED, JUDGED) == 0.5
    assert metrics.rbp(RANKED, JUDGED) == pytest.approx((0.320313, 0.539063), abs=1e-6)
    assert metrics.ndcg(list("bcaed"), JUDGED, 10) == pytest.approx(0.661582, abs=1e-6)


def test_of_equal_scores_the_later_id_comes_first():
    run = {"t": {"a": 1.0, "b": 1.0, "c": 1.0}}
    assert metrics.each(run, {"t": {"a": 1}})["RR"] == [pytest.approx(1 / 3)]
    assert metrics.each(run, {"t": {"c": 1}})["RR"] == [1.0]


def test_a_topic_that_the_run_lacks_counts_nothing():
    assert metrics.each({}, {"t": {"a": 1}})["nDCG@10"] == [0.0]
    assert metrics.each({"t": {"a": 1.0}}, {"t": {"a": 0}})["MAP"] == [0.0]


def test_condensed_lists_leave_out_what_nobody_judged():
    run = {"t": {doc: -float(i) for i, doc in enumerate(RANKED)}}
    assert metrics.each(run, {"t": JUDGED}, condensed=True)["nDCG@10"] == [pytest.approx(0.661582, abs=1e-6)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sab20.1.meta.docs", (0.6080, 0.7800, 0.4832, 0.3128)), ("bm25_baseline", (0.4226, 0.5867, 0.2221, 0.0981))],
)
def test_official_runs_have_their_official_values(name, expected):
    if not SHARED.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    qrels = {}
    for row in parquet.read_table(SHARED / "qrels_rounds.parquet").to_pylist():
        if row["round"] == 1:
            qrels.setdefault(str(row["topic"]), {})[row["cord_uid"]] = row["grade"]
    each = metrics.each(trec.run(SHARED / "runs" / f"round1.{name}.txt.gz"), qrels)
    found = [sum(each[measure]) / len(qrels) for measure in ("nDCG@10", "P@5", "bpref", "MAP")]
    assert found == pytest.approx(expected, abs=5e-5)


documents = st.sampled_from([f"d{i}" for i in range(12)])


@given(
    st.dictionaries(documents, st.integers(-1, 2), min_size=1), st.dictionaries(documents, st.integers(0, 4).map(float))
)
@settings(max_examples=60)
def test_every_measure_is_that_of_trec_eval(judged, scores):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    if not scores:
        return
    names = {
        "nDCG@10": "ndcg_cut_10", "MAP": "map", "bpref": "bpref", "P@5": "P_5", "R@100": "recall_100", "Rprec": "Rprec",
        "RR": "recip_rank",
    }  # fmt: skip
    theirs = pytrec_eval.RelevanceEvaluator({"t": {d: max(0, g) for d, g in judged.items()}}, set(names.values())).evaluate({"t": scores})["t"]  # fmt: skip
    ours = metrics.each({"t": scores}, {"t": judged})
    for mine, other in names.items():
        assert ours[mine][0] == pytest.approx(theirs[other], abs=1e-4), mine
        assert not math.isnan(ours[mine][0])


def test_topics_in_three_forms(tmp_path):
    (tmp_path / "t.xml").write_text(
        "<topics><topic number='7'><query>a\n b</query><question>what</question><narrative>n</narrative></topic></topics>"
    )
    (tmp_path / "t.json").write_text('[{"number": 7, "query": "a b", "question": "what", "narrative": "n"}]')
    (tmp_path / "t.tsv").write_text("7\ta b\n")
    assert trec.topics(tmp_path / "t.xml") == trec.topics(tmp_path / "t.json") == [("7", "a b", "what", "n")]
    assert trec.topics(tmp_path / "t.tsv") == [("7", "a b", "", "")]


def test_a_run_comes_back(tmp_path):
    run = {"1": {"b": 2.0, "a": 2.0, "c": 3.5}}
    path = trec.write_run(tmp_path / "run.txt", run, name="x")
    assert path.read_text().splitlines()[0] == "1 Q0 c 1 3.500000 x"
    assert trec.run(path) == run


@pytest.mark.parametrize(
    ("read", "text", "sentence"),
    [
        (trec.topics, "nothing", "holds no topics"), (trec.topics, "<topics>", "holds no topics"),
        (trec.qrels, "1 0 a\n", r"q:1: '1 0 a' is no judgment"), (trec.qrels, "", "holds no judgments"),
        (trec.run, "1 Q0 a 1\n", r"q:1: '1 Q0 a 1' is no line of a run"),
    ],
)  # fmt: skip
def test_files_of_another_kind_are_refused(tmp_path, read, text, sentence):
    (tmp_path / "q").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read(tmp_path / "q")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none")
