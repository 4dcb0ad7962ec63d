"""Tables of what a library's papers state, every cell with its sentence and place."""

import csv
import io
from pathlib import Path
from typing import Any

from edubba.core import files
from edubba.core.errors import UserError
from edubba.papers import extracting, library, reproduction, samples
from edubba.papers.library import Library

TABLES = {
    "incubation-period": extracting.incubation,
    "r0": reproduction.r0,
    "sample-size": samples.sample_size,
}
"""what can be extracted"""
COLUMNS = (
    "id", "title", "journal", "published", "preprint", "design", "disease", "kind", "value", "low", "high", "interval", "primary",
    "quotation", "start", "end", "sentence", "doi",
)  # fmt: skip


def table(lib: Library, name: str) -> list[dict[str, Any]]:
    """A row for every value of a library, with the study it comes from and the sentence it stands in.

    Raises
    ------
    UserError
        There is no such table.
    """
    if name not in TABLES:
        raise UserError(f"there is no table {name!r}: take one of {', '.join(TABLES)}")
    rows = []
    for _, row in lib.scan():
        of = library.record(row)
        for cell in TABLES[name](of):
            rows.append(
                {
                    "id": of.id, "title": of.title, "journal": of.journal, "published": str(of.published), "preprint": of.preprint,
                    "design": row["design"], "disease": cell.disease, "kind": cell.kind, "value": cell.value, "low": cell.low,
                    "high": cell.high, "interval": cell.interval, "primary": cell.primary,
                    "quotation": of.abstract[cell.span.start : cell.span.end], "start": cell.span.start, "end": cell.span.end,
                    "sentence": of.abstract[cell.sentence.start : cell.sentence.end], "doi": of.doi,
                }
            )  # fmt: skip
    return rows


def write(path: str | Path, rows: list[dict[str, Any]]) -> Path:
    """Write a table as CSV.

    Raises
    ------
    UserError
        The ending is not .csv.
    """
    if Path(path).suffix.lower() != ".csv":
        raise UserError(f"{path} does not end in .csv, and a table is written as nothing else")
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return files.write(Path(path), out.getvalue())
