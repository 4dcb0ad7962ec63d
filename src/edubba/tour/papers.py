"""Fifth chapter: a small library of open papers is built, searched, asked, and a claim is checked in it."""

import gzip
import json
import shutil
from importlib.resources import files as package
from pathlib import Path

from edubba.core import files, report, runs
from edubba.core.errors import need
from edubba.core.report import Section
from edubba.papers import Build, answering, building, claims, library, searching, tabulating
from edubba.papers.records import Record

for _name in ("tantivy", "pyarrow"):
    need(_name, extra="papers")

ABOUT = "building a library of 989 open papers and asking it, less than a minute on 2 cores"
CREDIT = "papers under CC0 and CC BY, each named with its journal and DOI"
NEEDS = ()
"""chapters whose results are used again"""
RUNS = ("papers/run",)
QUERY = "do masks keep respiratory infections away"
QUESTION = "What is the basic reproduction number of COVID-19?"
CLAIM = "Bats are the reservoir of coronaviruses"
SHOWN = 3


def clear(folder: Path) -> None:
    """Delete what the chapter made."""
    if (folder / "papers" / "run").exists():
        runs.remove(folder / "papers" / "run")
        shutil.rmtree(folder / "papers")


def chapter(folder: Path) -> list[Section]:
    """Build, search, ask, check; what is finished is not done again."""
    home = folder / "papers"
    source = package("edubba.data") / "papers_demo.csv.gz"
    run = runs.open(home / "run", Build(), verb="tour.papers", source="papers_demo.csv.gz", fingerprint="989 papers")
    if not run.done:
        with source.open("rb") as packed:
            files.write(home / "release" / "metadata.csv", gzip.decompress(packed.read()))
        building.build(home / "release" / "metadata.csv", home / "library")
        found = json.dumps(_found(library.open(home / "library")), ensure_ascii=False, indent=1)
        files.write(home / "found.json", found)
        shutil.rmtree(home / "release")
        run.finish([], choices=[], warnings=[])
    return shown(json.loads((home / "found.json").read_text("utf-8")))


def _found(lib: library.Library) -> dict:
    hits = searching.search(lib, QUERY, k=SHOWN)
    answer = answering.ask(lib, QUESTION, k=SHOWN)
    verdict = claims.check(lib, CLAIM)
    sides = claims.sides(verdict.evidence)
    return {
        "papers": len(lib), "vectors": bool(lib.vectors),
        "hits": [[_quoted(hit.passages), _cited(hit.record)] for hit in hits],
        "pooled": [p._asdict() for p in answer.pooled],
        "quotations": [[q.passage.text, _cited(q.record)] for q in answer.quotations],
        "verdict": [verdict.label, verdict.supported, verdict.refuted],
        "sides": [
            [[_quoted(e.passages) or e.record.title, _cited(e.record), round(100 * max(e.supports, e.refutes))] for e in side[:SHOWN]]
            for side in sides
        ],
        "rows": [
            [row["value"], row["low"], row["high"], row["disease"], row["sentence"], _cited(lib.find(row["id"]))]
            for row in tabulating.table(lib, "r0") if row["primary"]
        ],
    }  # fmt: skip


def _quoted(passages: tuple[searching.Passage, ...]) -> str:
    return " … ".join(passage.text for passage in passages)


def _cited(of: Record) -> str:
    where = ", ".join(part for part in (of.journal, str(of.published), of.doi, of.licence.upper()) if part)
    return f"{of.title} ({where})"


def shown(found: dict) -> list[Section]:
    """What a reader sees of it."""
    about = (
        f"{found['papers']} open papers were read into a library a moment ago: their words were indexed, and every word got a"
        " vector, learned from these papers alone, so that what speaks of the same in other words is found too."
        f"\n\nAsked for `{QUERY}`, it gives these papers first, each with the sentence that fits best, to the letter."
    )
    hits = report.table(["what it says", "paper"], found["hits"], f"Found for “{QUERY}”")
    pooled = " ".join(
        f"The {p['quantity']} of {p['disease']}: {p['middle']:g} in the middle of the {p['kind']}s of {p['studies']} studies, from"
        f" {p['low']:g} to {p['high']:g}."
        for p in found["pooled"]
    )
    quotations = report.table(["what it says", "paper"], found["quotations"], f"“{QUESTION}”")
    label, supported, refuted = found["verdict"]
    claim = (
        f"“{CLAIM}”: {label} (supported {supported:.0%}, refuted {refuted:.0%}). Not enough evidence never means false, and of claims that a"
        " library does not support about one in twenty is called supported all the same: the quotations decide, not the word."
    )
    sides = [
        report.table(["what it says", "paper", "sure, %"], rows, name)
        for name, rows in zip(("What speaks for it", "What speaks against it"), found["sides"], strict=True) if rows
    ]  # fmt: skip
    rows = [
        [f"{value:g}" if value is not None else f"{low:g} to {high:g}", disease, sentence, cited]
        for value, low, high, disease, sentence, cited in found["rows"]
    ]
    numbers = report.table(
        ["R0", "of", "sentence", "paper"], rows, "Every basic reproduction number that these papers state as their own"
    )
    return [
        Section("What does a library say?", [report.prose(about), hits]),
        Section(
            "An answer is what papers say",
            [report.prose(pooled), quotations, report.details("All values, with their sentences", numbers)],
        ),
        Section("A claim, and both sides of it", [report.prose(claim), *sides]),
    ]
