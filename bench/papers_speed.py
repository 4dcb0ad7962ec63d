"""Seconds of building a library of papers, and milliseconds of a question, beside tantivy used naively, SQLite and bm25s.

    python bench/papers_speed.py COMPOSITE.parquet TOPICS.json [--documents 200000] [--indexed 20000] [--repeats 3] [--build-only]
        [--out bench/results/papers_speed.json]

COMPOSITE.parquet: titles and abstracts with CORD-19's columns; its 24,474 rows are drawn again and again, each with a number in
its title, until there are --documents. TOPICS.json: TREC-COVID's, asked with query and question, each seven times.

Indexing alone is compared on --indexed documents, in turns, the middle of the repeats: ours; tantivy as its tutorial does it
(title and body stored, `en_stem`, a `Document` made of keywords, one commit); SQLite's FTS5 by `executemany`; bm25s with its own
tokenizer and English stop words. Questions: ranks alone (10 papers) for every engine; ours by words, joined with vectors, and as
`edubba papers search` shows them, with sentences. The build runs in a process of its own: wall time, processor time, peak memory.
"""

import argparse
import csv
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
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


def release(rows: list[dict], n: int, path: Path) -> list[dict]:
    """A metadata.csv of n papers, all different to those who look for doubles."""
    made = []
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
        writer.writeheader()
        for i in range(n):
            row = rows[i * 7919 % len(rows)]
            new = row | {
                "cord_uid": f"u{i:07d}",
                "title": f"{row['title']} {i}",
                "doi": f"10.5555/{i}",
                "pmcid": "",
                "pubmed_id": "",
            }
            writer.writerow(new)
            if len(made) < 20_000:
                made.append(new)
    return made


def timed(f) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    f()
    return time.perf_counter() - wall, time.process_time() - cpu


def ours(rows: list[dict], home: Path):
    from edubba.papers import engines

    engine = engines.open(home, "tantivy")
    entries = (
        engines.Entry(
            i, f"{r['title']} {r['title']} {r['abstract']}", 737_000, 737_001, False, "", r["license"], r["journal"]
        )
        for i, r in enumerate(rows)
    )
    engine.add(entries, upto=len(rows))
    return lambda question: engine.search(question, k=10)


def naive(rows: list[dict], home: Path):
    import tantivy

    home.mkdir()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("body", stored=True, tokenizer_name="en_stem")
    builder.add_integer_field("doc_id", stored=True)
    index = tantivy.Index(builder.build(), path=str(home))
    writer = index.writer()
    for i, r in enumerate(rows):
        writer.add_document(tantivy.Document(doc_id=i, title=[r["title"]], body=[r["abstract"]]))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()

    def ask(question: str):
        words = "".join(c if c.isalnum() else " " for c in question)
        searcher = index.searcher()
        return [
            searcher.doc(address)["doc_id"]
            for _, address in searcher.search(index.parse_query(words, ["title", "body"]), 10).hits
        ]

    return ask


def fts5(rows: list[dict], home: Path):
    home.mkdir()
    db = sqlite3.connect(home / "db.sqlite")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(title, body, tokenize='porter unicode61')")
    with db:
        db.executemany(
            "INSERT INTO t(rowid, title, body) VALUES (?, ?, ?)",
            ((i, r["title"], r["abstract"]) for i, r in enumerate(rows)),
        )

    def ask(question: str):
        words = " OR ".join(f'"{w}"' for w in "".join(c if c.isalnum() else " " for c in question).split())
        return db.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY bm25(t) LIMIT 10", (words,)).fetchall()

    return ask


def bm25s_(rows: list[dict], home: Path):
    import bm25s

    model = bm25s.BM25()
    model.index(
        bm25s.tokenize([f"{r['title']} {r['abstract']}" for r in rows], stopwords="en", show_progress=False),
        show_progress=False,
    )
    return lambda question: model.retrieve(
        bm25s.tokenize(question, stopwords="en", show_progress=False), k=10, show_progress=False
    )


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50": 1e3 * ordered[len(ordered) // 2], "p95": 1e3 * ordered[int(0.95 * len(ordered))]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("composite", type=Path)
    parser.add_argument("topics", type=Path)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--indexed", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "papers_speed.json")
    asked = parser.parse_args()
    import pyarrow.parquet
    from views import processor

    from edubba.papers import library, searching, trec, words

    questions = [words.asked(f"{t.query} {t.question}") for t in trec.topics(asked.topics)] * 7
    rows = [{k: str(v or "") for k, v in r.items()} for r in pyarrow.parquet.read_table(asked.composite).to_pylist()]
    document: dict = {
        "date": date.today().isoformat(),
        "machine": processor(),
        "cpus": os.cpu_count(),
        "documents": asked.documents,
    }
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        sample = release(rows, asked.documents, home / "metadata.csv")[: asked.indexed]
        del rows
        if not asked.build_only:
            ways = {"edubba": ours, "tantivy, naively": naive, "SQLite FTS5": fts5, "bm25s": bm25s_}
            taken: dict[str, list[tuple[float, float]]] = {w: [] for w in ways}
            for repeat in range(asked.repeats):
                for w, make in ways.items():
                    kept: list = []
                    taken[w].append(
                        timed(
                            lambda make=make, w=w, repeat=repeat, kept=kept: kept.append(
                                make(sample, home / f"{w}{repeat}")
                            )
                        )
                    )
                    if repeat == asked.repeats - 1:
                        document.setdefault("ask", {})[f"{w}, {len(sample):,}"] = spread(
                            [timed(lambda q=q, kept=kept: kept[0](q))[0] for q in questions]
                        )
            document["index"] = {
                w: {"wall": statistics.median(a for a, _ in t), "cpu": statistics.median(b for _, b in t)}
                for w, t in taken.items()
            }
            ratios = sorted(b[1] / a[1] for a, b in zip(taken["edubba"], taken["tantivy, naively"], strict=True))
            document["naive over edubba, cpu"] = {
                "middle": statistics.median(ratios),
                "least": ratios[0],
                "most": ratios[-1],
            }
        line = [
            sys.executable,
            "-m",
            "edubba",
            "papers",
            "build",
            str(home / "metadata.csv"),
            "-o",
            str(home / "library"),
        ]
        wall = time.perf_counter()
        subprocess.run(line, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        document["build"] = {
            "wall": time.perf_counter() - wall, "cpu": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss / 2**20,
            "disk_gb": sum(f.stat().st_size for f in (home / "library").rglob("*") if f.is_file()) / 1e9,
        }  # fmt: skip
        lib = library.open(home / "library")
        for what, ask in {
            "words": lambda q: searching.ranked(lib, q, k=10, by="words"),
            "fused": lambda q: searching.ranked(lib, q, k=10),
            "search with sentences": lambda q: searching.search(lib, q, k=10),
        }.items():
            for q in questions[:10]:
                ask(q)
            document.setdefault("ask", {})[f"edubba {what}, {asked.documents:,}"] = spread(
                [timed(lambda q=q, ask=ask: ask(q))[0] for q in questions]
            )
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
