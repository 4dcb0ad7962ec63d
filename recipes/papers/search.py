"""Search by words, and joined with vectors: SciFact's claims, and round 1 of TREC-COVID on what is at hand of its documents.

    python recipes/papers/search.py SCIFACT_FOLDER TREC_COVID_FOLDER COMPOSITE.parquet [--vectors static]

SCIFACT_FOLDER: corpus.parquet, claims_train.jsonl, qrels_train.txt, queries_test.tsv, qrels_test.txt. TREC_COVID_FOLDER:
topics.json, qrels_rounds.parquet, valid_docids.parquet. COMPOSITE.parquet: titles and abstracts with cord_uids, 8,390 of round
1's documents: figures compare with the same composite alone. What is missing counts as not found. The vectors' share is chosen
on training claims alone, or on these and odd topics for even ones and the other way round. p: signs of the topics' differences
at random, Holm over the table. Figures in recipes/README.md.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import stats
from edubba.papers import Build, building, evaluation, library, metrics, searching, trec

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
for name in ("scifact", "covid", "composite"):
    parser.add_argument(name, type=Path)
parser.add_argument("--vectors", default="static")
asked, table = parser.parse_args(), list[tuple[str, np.ndarray, np.ndarray]]()
SHARES = np.array([0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7])


def made(rows: list[dict], home: str) -> library.Library:
    with (Path(home) / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    building.build(Path(home) / "metadata.csv", Path(home) / "library", Build(vectors=asked.vectors))
    return library.open(Path(home) / "library")


def scored(lib: library.Library, topics: list[trec.Topic], qrels: metrics.Qrels, only=None) -> np.ndarray:
    out = []
    for share in (0.0, *SHARES):  # 0: by words alone
        searching.SHARE[tuple(made.kind for made in lib.vectors)] = share
        run = evaluation.evaluate(lib, topics, qrels, only=only, by="fused" if share else "words", draws=1).run
        out.append([metrics.each({t: run[t] for t in qrels}, qrels, condensed=c)["nDCG@10"] for c in (False, True)])
    return np.array(out).transpose(0, 2, 1)


def best(*sets: np.ndarray) -> int:
    return 1 + int(sum(values[1:, :, 0].mean(axis=1) for values in sets).argmax())


with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
    none = dict.fromkeys(("doi", "publish_time", "authors", "journal"), "")
    rows = pyarrow.parquet.read_table(asked.scifact / "corpus.parquet").to_pylist()
    rows = [none | {"cord_uid": r["doc_id"], "title": r["title"], "abstract": " ".join(r["abstract"])} for r in rows]
    lib, of = made(rows, a), {}
    claims = [json.loads(line) for line in (asked.scifact / "claims_train.jsonl").read_text().splitlines()]
    tested = [line.split("\t")[:2] for line in (asked.scifact / "queries_test.tsv").read_text().splitlines()]
    for split, topics in (("train", [(str(c["id"]), c["claim"]) for c in claims]), ("test", tested)):
        of[split] = scored(lib, [trec.Topic(*t) for t in topics], trec.qrels(asked.scifact / f"qrels_{split}.txt"))
    table.append((f"SciFact test, share {SHARES[best(of['train']) - 1]}", of["test"][0], of["test"][best(of["train"])]))
    rows = [{k: str(v or "") for k, v in r.items()} for r in pyarrow.parquet.read_table(asked.composite).to_pylist()]
    lib, judged = made([r | {"pubmed_id": r["pmid"]} for r in rows], b), {}
    rounds = pyarrow.parquet.read_table(asked.covid / "qrels_rounds.parquet", filters=[("round", "=", 1)])
    for row in rounds.to_pylist():
        judged.setdefault(str(row["topic"]), {})[row["cord_uid"]] = row["grade"]
    docs = pyarrow.parquet.read_table(asked.covid / "valid_docids.parquet").to_pylist()
    valid, even = {r["cord_uid"] for r in docs if r["rounds"] & 1}, np.array([int(t) % 2 == 0 for t in judged])
    for name, only in (("", valid), (", abstracts", valid & {r["cord_uid"] for r in rows if r["abstract"]})):
        x = scored(lib, trec.topics(asked.covid / "topics.json"), judged, only)
        odd, both = best(of["train"], x[:, ~even]), (best(of["train"], x[:, half]) for half in (~even, even))
        table.append((f"TREC-COVID 1{name}", x[0], np.where(even[:, None], *(x[share] for share in both))))
        table.append((f"TREC-COVID 1{name}, even topics, share {SHARES[odd - 1]}", x[0, even], x[odd, even]))
lines = [(f"{name} {how}", w[:, i], f[:, i]) for name, w, f in table for i, how in enumerate(("plain", "condensed"))]
p = stats.holm([stats.permutation_test(fused, words) for _, words, fused in lines])
for (name, words, fused), chance in zip(lines, p, strict=True):
    said = [stats.bootstrap(np.mean, x, draws=1000) for x in (words, fused, fused - words)]
    print(f"{name:60}" + "".join(f" {v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in said) + f" p {chance:.4f}")
