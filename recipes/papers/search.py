"""Search by words alone: SciFact's test claims, and round 1 of TREC-COVID on what is at hand of its documents.

    python recipes/papers/search.py SCIFACT_FOLDER TREC_COVID_FOLDER COMPOSITE.parquet [ENGINE]

SCIFACT_FOLDER: corpus.parquet, queries_test.tsv, qrels_test.txt (BEIR's form). TREC_COVID_FOLDER: topics.json,
qrels_rounds.parquet, valid_docids.parquet. COMPOSITE.parquet: titles and abstracts with cord_uids; 8,390 of the documents of
round 1, so figures compare with nothing but the same composite. Judgments are complete: what is missing counts as not found.
Intervals: bootstrap over topics. About two minutes. Figures in recipes/README.md.
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import stats
from edubba.papers import Build, building, evaluation, library, metrics, trec

scifact, covid, composite = map(Path, sys.argv[1:4])
engine = sys.argv[4] if len(sys.argv) > 4 else "tantivy"
COLUMNS = [
    "cord_uid",
    "sha",
    "title",
    "doi",
    "pmcid",
    "pubmed_id",
    "license",
    "abstract",
    "publish_time",
    "authors",
    "journal",
]


def made(rows: list[dict], home: Path) -> library.Library:
    home.mkdir()
    with (home / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    building.build(home / "metadata.csv", home / "library", Build(engine=engine))
    return library.open(home / "library")


def show(name: str, run: metrics.Run, qrels: metrics.Qrels) -> None:
    for condensed in (False, True):
        values = np.array(metrics.each(run, qrels, condensed=condensed)["nDCG@10"])
        value = stats.bootstrap(np.mean, values, draws=1000)
        words = "condensed" if condensed else "plain"
        print(
            f"{name:24} nDCG@10 {words:10} {value.value:.4f} [{value.low:.3f}, {value.high:.3f}] over {len(values)} topics"
        )


with tempfile.TemporaryDirectory() as home:
    rows = pyarrow.parquet.read_table(scifact / "corpus.parquet").to_pylist()
    lib = made(
        [{"cord_uid": str(r["doc_id"]), "title": r["title"], "abstract": " ".join(r["abstract"])} for r in rows],
        Path(home) / "a",
    )
    lines = [line.split("\t") for line in (scifact / "queries_test.tsv").read_text().splitlines()]
    qrels = trec.qrels(scifact / "qrels_test.txt")
    topics = [trec.Topic(row[0], row[1]) for row in lines if row[0] in qrels]
    show("SciFact test", evaluation.evaluate(lib, topics, qrels).run, qrels)
    rows = [{k: str(v or "") for k, v in r.items()} for r in pyarrow.parquet.read_table(composite).to_pylist()]
    lib = made([r | {"pubmed_id": r["pmid"]} for r in rows], Path(home) / "b")
    judged: dict[str, dict[str, int]] = {}
    for row in pyarrow.parquet.read_table(covid / "qrels_rounds.parquet").to_pylist():
        if row["round"] == 1:
            judged.setdefault(str(row["topic"]), {})[row["cord_uid"]] = row["grade"]
    valid = {
        r["cord_uid"] for r in pyarrow.parquet.read_table(covid / "valid_docids.parquet").to_pylist() if r["rounds"] & 1
    }
    run = evaluation.evaluate(lib, trec.topics(covid / "topics.json"), judged, only=valid).run
    for name, kept in (("all", (0, 1)), ("odd", (1,)), ("even", (0,))):
        show(f"TREC-COVID round 1, {name}", run, {t: q for t, q in judged.items() if int(t) % 2 in kept})
