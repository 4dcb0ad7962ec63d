"""Verbs of the room: build, search, ask, extract, check, serve, notices, evaluate. Heavy imports stand inside the verbs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from edubba.core.printing import Json, show, show_results
from edubba.papers.spec import Build

if TYPE_CHECKING:
    from edubba.papers.records import Record

app = App(
    name="papers",
    help="""Search a library of papers; what is shown is quoted, with its place in the paper.

        edubba papers build   cord19/ -o library/
        edubba papers search  "does vitamin D protect" --since 2020-03 --design rct

    The library is a folder: everything works from it, without a network.
    """,
)

Lib = Annotated[Path, Parameter(name="--library", help="the folder that `edubba papers build` made")]
Day = Annotated[str, Parameter(help="year, month or day, as 2020, 2020-03 or 2020-03-11")]
K = Annotated[int, Parameter(name=["--k", "-k"])]
By = Literal["fused", "words"]
Flags = Parameter(name="*")


@app.command
def build(
    source: Path,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o", "--library"])] = Path("library"),
    spec: Annotated[Build, Flags] = Build(),
    json: Json = False,
) -> int:
    """Make a library of a release of CORD-19, or take a later release into one.

    Ctrl-C loses nothing: the same line goes on. What cannot be read is listed in skipped.csv, and the rest is taken.

    Parameters
    ----------
    source
        A folder, a tar.gz, or a metadata.csv alone, of any of the three layouts.
    out
        The library's folder.
    """
    from edubba.papers import building

    made = building.build(source, out, spec)
    if json:
        show(made.__dict__ | {"path": str(made.path)}, json=True)
    else:
        print(
            f"{made.path}: {made.records:,} papers ({made.added:,} new, {made.changed:,} changed, {made.removed:,} removed),"
            f" {made.bodies:,} full texts, layout {made.layout}, found by words{f' and {made.vectors} vectors' * bool(made.vectors)}"
        )
    if made.skipped:
        print(
            f"warning: {made.skipped:,} things were left out; {made.path / 'skipped.csv'} says which and why",
            file=sys.stderr,
        )
    return 3 if made.skipped else 0


@app.command
def search(
    query: str,
    *,
    library: Lib = Path("library"),
    k: K = 10,
    since: Day = "",
    until: Day = "",
    design: str = "",
    licence: str = "",
    journal: str = "",
    kind: Literal["all", "preprint", "article"] = "all",
    by: By = "fused",
    export: Annotated[Path | None, Parameter(help="write what was found to a .ris, .bib or .csv file")] = None,
    json: Json = False,
) -> int:
    """Search for papers; each is shown with the sentence that fits best.

    Parameters
    ----------
    query
        Words or a question.
    k
        How many papers.
    since
        First day that counts; papers of which only the year is known are kept and marked.
    until
        Last day that counts.
    design
        Kind of study: rct, "systematic review", "prospective cohort", "case report", ...
    licence
        As cc-by.
    journal
        By its whole name.
    kind
        Preprints or what is no preprint.
    by
        `words` finds what holds these very words; `fused` joins that with vectors, which find what speaks of the same in others.
    """
    from edubba.papers import engines, exporting, searching

    filters = engines.filters(since=since, until=until, design=design, licence=licence, journal=journal, kind=kind)
    hits = searching.search(library, query, k=k, filters=filters, by=by)
    if export is not None:
        exporting.write(export, [hit.record for hit in hits])
    if json:
        show([exporting.of_hit(hit) for hit in hits], json=True)
        return 0
    for rank, hit in enumerate(hits, 1):
        of = hit.record
        print(f"{rank:3} {of.title or '(no title)'}\n    {_about(of, 'date uncertain' * hit.uncertain)}")
        for passage in hit.passages:
            print(f"    “{passage.text}”")
    if not hits:
        print("nothing was found: try other words, or fewer limits")
    return 0


@app.command
def ask(
    question: str,
    *,
    library: Lib = Path("library"),
    k: K = 5,
    since: Day = "",
    until: Day = "",
    design: str = "",
    json: Json = False,
) -> int:
    """Answer a question by what papers say, quoted; numbers are pooled with their spread.

    Nothing is written that is not quoted. Where fewer than two papers hold a sentence that covers the question, nothing is
    answered (exit code 4).

    Parameters
    ----------
    question
        A whole question.
    k
        How many papers are quoted.
    since
        First day that counts.
    until
        Last day that counts.
    design
        Kind of study.
    """
    from edubba.papers import answering, engines, exporting

    filters = engines.filters(since=since, until=until, design=design)
    found = answering.ask(library, question, k=k, filters=filters)
    if json:
        show(exporting.of_answer(found), json=True)
        return 4 if found.abstained else 0
    for p in found.pooled:
        agree = f"; {p.agreeing} of {p.intervals} confidence intervals hold it" if p.intervals else ""
        print(
            f"{p.quantity} of {p.disease}, {p.kind}s of {p.studies} studies: {p.middle:g}{f' {p.unit}' * bool(p.unit)} in the middle, from {p.low:g} to"
            f" {p.high:g}{agree}"
        )
    for quotation in found.quotations:
        of = quotation.record
        print(f"“{quotation.passage.text}”\n    {of.title}\n    {_about(of, quotation.design)}")
    if found.abstained:
        print(f"no answer: {found.abstained}")
    return 4 if found.abstained else 0


@app.command
def extract(
    table: Literal["incubation-period", "r0", "sample-size"],
    *,
    library: Lib = Path("library"),
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="CSV file to write")] = None,
    json: Json = False,
) -> int:
    """Make a table of numbers that papers state, every cell with its sentence and place.

    Values of other quantities, assumptions of models and thresholds are left out; what cites others is marked.

    Parameters
    ----------
    table
        Incubation periods (days), basic reproduction numbers, or how many people were studied, of which the count that is most
        likely the study's whole sample is marked as primary.
    """
    from edubba.papers import library as libraries
    from edubba.papers import tabulating

    rows = tabulating.table(libraries.open(library), table)
    if out is not None:
        tabulating.write(out, rows)
    if json:
        show(rows, json=True)
    else:
        from edubba.core.printing import counted

        print(
            f"{counted(len(rows), 'value')} in {counted(len({row['id'] for row in rows}), 'paper')}"
            + (f": {out}" if out else "")
        )
    return 0


@app.command
def check(
    claim: str,
    *,
    library: Lib = Path("library"),
    since: Day = "",
    until: Day = "",
    design: str = "",
    json: Json = False,
) -> int:
    """Check a claim: what papers say for it and against it, quoted, and whether that is enough for a verdict.

    "Not enough evidence" (exit code 4) says nothing of whether the claim is true. Of claims that a library does not support,
    about one in twenty is called supported: read the quotations.

    Parameters
    ----------
    claim
        A whole statement.
    since
        First day that counts.
    until
        Last day that counts.
    design
        Kind of study.
    """
    from edubba.papers import claims, engines, exporting

    filters = engines.filters(since=since, until=until, design=design)
    found = claims.check(library, claim, filters=filters)
    if json:
        show(exporting.of_verdict(found), json=True)
        return 0 if found.label in claims.LABELS[1:] else 4
    print(f"{found.label}  (supported {found.supported:.0%}, refuted {found.refuted:.0%})")
    for name, side in zip(("for it", "against it"), claims.sides(found.evidence), strict=True):
        print(f"\n{name}: {'' if side else 'nothing was found'}")
        for e in side:
            share = e.supports if name == "for it" else e.refutes
            print(f"  {share:4.0%}  {e.record.title}\n        {_about(e.record, e.design)}")
            for passage in e.passages:
                print(f"        “{passage.text}”")
    return 0 if found.label in claims.LABELS[1:] else 4


@app.command
def serve(
    library: Annotated[Path, Parameter(help="the folder that `edubba papers build` made")] = Path("library"),
    *,
    port: Annotated[int, Parameter(help="of this machine")] = 8765,
) -> int:
    """Open a page for this machine alone: search with facets, answers, claims, quotations in their place, export.

    It works without JavaScript and fetches nothing from elsewhere. Ctrl-C stops it.
    """
    from edubba.papers import serving

    serving.serve(library, port=port)
    return 0


@app.command
def evaluate(
    *,
    topics: Path,
    qrels: Path,
    library: Lib = Path("library"),
    docs: Annotated[Path | None, Parameter(help="ids of documents that count, a line each")] = None,
    by: By = "fused",
    run: Annotated[Path, Parameter(help="where the TREC run is written")] = Path("run.txt"),
    name: str = "edubba",
    json: Json = False,
) -> int:
    """Search for topics with judgments: a TREC run file and a table with intervals over topics.

    Parameters
    ----------
    topics
        TREC-COVID's XML, JSON of the same fields, or lines `number TAB query`.
    qrels
        Lines `topic iteration document grade`.
    by
        `words`: BM25 alone, which vectors have to beat.
    name
        Of the run.
    """
    from edubba.papers import evaluation, trec

    only = None if docs is None else trec.text_of(docs).split()
    found = evaluation.evaluate(library, topics, qrels, only=only, by=by)
    trec.write_run(run, found.run, name=name)
    document = {"results": [r.to_dict() for r in found.results], "skipped": 0, "warnings": []}
    show_results(document, json=json)
    return 0


def _about(of: "Record", *marks: str) -> str:
    """Where and when a paper appeared, what is to be known of it, and its id."""
    known = (of.journal, str(of.published), *marks, "preprint" * of.preprint, "RETRACTED" * of.retracted)
    return f"{', '.join(part for part in known if part)}  [{of.id}]"


@app.command
def notices(
    file: Path,
    *,
    since: Day = "",
    k: Annotated[int, Parameter(help="how many notices, the most unlike all earlier ones first; 0: all, by date")] = 20,
    json: Json = False,
) -> int:
    """Rank outbreak notices by how unlike all earlier ones they are, with the nearest earlier notice as the reason.

    Every notice is compared with those of earlier days alone.

    Parameters
    ----------
    file
        JSON lines with date, headline and text.
    since
        Show those from this day on; earlier ones are still compared with.
    """
    from edubba.papers import engines
    from edubba.papers import notices as of

    first = engines.filters(since=since).since
    found = [
        r
        for r in of.rank(of.read(file))
        if r.nearest is not None and (first is None or r.notice.date >= first.isoformat())
    ]
    if k:
        found = sorted(found, key=lambda r: -r.score)[:k]
    rows = [
        {
            "date": r.notice.date, "score": round(r.score, 3), "headline": r.notice.headline, "new words": ", ".join(r.new_words),
            "nearest earlier": f"{r.nearest.date} {r.nearest.headline}" if r.nearest else "", "similarity": round(r.similarity, 3),
        }
        for r in found
    ]  # fmt: skip
    show(rows, json=json, empty="no notice has an earlier one to be compared with")
    return 0
