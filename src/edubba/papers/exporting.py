"""What was found, for other programs: RIS, BibTeX, CSV, JSON."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edubba.core import files
from edubba.core.errors import UserError
from edubba.papers.answering import Answer
from edubba.papers.claims import Verdict
from edubba.papers.records import Record
from edubba.papers.searching import Hit

COLUMNS = (
    "id",
    "title",
    "authors",
    "journal",
    "published",
    "doi",
    "pmcid",
    "pmid",
    "licence",
    "preprint",
    "url",
    "retracted",
)


def write(path: str | Path, found: Sequence[Record]) -> Path:
    """Write records to a file, as its ending says.

    Raises
    ------
    UserError
        The ending is not .ris, .bib or .csv.
    """
    path = Path(path)
    makers = {".ris": ris, ".bib": bibtex, ".csv": table}
    if path.suffix.lower() not in makers:
        raise UserError(f"the ending of {path} says no format: take one of {', '.join(makers)}")
    return files.write(path, makers[path.suffix.lower()](found))


def ris(found: Sequence[Record]) -> str:
    """RIS, as reference managers read it."""
    rows = []
    for of in found:
        rows.append("TY  - UNPB" if of.preprint else "TY  - JOUR")
        rows += [f"AU  - {author}" for author in of.authors]
        when = str(of.published).replace("-", "/")
        pairs = (
            ("TI", of.title), ("JO", of.journal), ("PY", when[:4]), ("DA", when), ("DO", of.doi), ("AB", of.abstract if of.shown else ""),
            ("AN", of.pmcid or of.pmid), ("UR", of.url or (f"https://doi.org/{of.doi}" if of.doi else "")), ("ID", of.id),
        )  # fmt: skip
        rows += [f"{name}  - {value}" for name, value in pairs if value]
        rows += ["ER  - ", ""]
    return "\n".join(rows)


def bibtex(found: Sequence[Record]) -> str:
    """BibTeX; the key is the record's id."""
    entries = []
    for of in found:
        pairs = {
            "title": f"{{{_tex(of.title)}}}", "author": _tex(" and ".join(of.authors)), "journal": _tex(of.journal),
            "year": str(of.published)[:4], "doi": of.doi, "url": of.url, "note": "preprint" if of.preprint else "",
        }  # fmt: skip
        fields = ",\n".join(f"  {name} = {{{value}}}" for name, value in pairs.items() if value.strip("{}"))
        entries.append(
            f"@{'misc' if of.preprint else 'article'}{{{re.sub(r'[^A-Za-z0-9:-]', '', of.id)},\n{fields}\n}}\n"
        )
    return "\n".join(entries)


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text.replace("\\", "").replace("{", "(").replace("}", ")"))


def table(found: Sequence[Record]) -> str:
    """CSV with a row for each record."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([_flat(of)[name] for name in COLUMNS] for of in found)
    return out.getvalue()


def _flat(of: Record) -> dict[str, Any]:
    return {
        "id": of.id, "title": of.title, "authors": "; ".join(of.authors), "journal": of.journal, "published": str(of.published),
        "doi": of.doi, "pmcid": of.pmcid, "pmid": of.pmid, "licence": of.licence, "preprint": of.preprint, "url": of.url,
        "retracted": of.retracted,
    }  # fmt: skip


def of_hit(hit: Hit) -> dict[str, Any]:
    """A hit as JSON can hold it; the whole abstract only where its licence lets it be shown."""
    return _flat(hit.record) | {
        "also": [other.id for other in hit.also], "abstract": hit.record.abstract if hit.record.shown else None, "score": hit.score, "date_uncertain": hit.uncertain,
        "passages": [
            {"field": p.field, "start": p.start, "end": p.end, "text": p.text, "marks": [list(m) for m in p.marks]}
            for p in hit.passages
        ],
    }  # fmt: skip


def of_answer(found: Answer) -> dict[str, Any]:
    """An answer as JSON can hold it."""
    return {
        "question": found.question, "abstained": found.abstained, "pooled": [p._asdict() | {"ids": list(p.ids)} for p in found.pooled],
        "quotations": [
            _flat(q.record) | {
                "design": q.design, "covered": q.covered, "field": q.passage.field, "start": q.passage.start, "end": q.passage.end,
                "text": q.passage.text,
            }
            for q in found.quotations
        ],
    }  # fmt: skip


def of_verdict(found: Verdict) -> dict[str, Any]:
    """A checked claim as JSON can hold it."""
    return {
        "claim": found.claim, "verdict": found.label, "supported": round(found.supported, 4), "refuted": round(found.refuted, 4),
        "evidence": [
            _flat(e.record) | {
                "design": e.design, "supports": round(e.supports, 4), "refutes": round(e.refutes, 4),
                "passages": [{"field": p.field, "start": p.start, "end": p.end, "text": p.text} for p in e.passages],
            }
            for e in found.evidence
        ],
    }  # fmt: skip
