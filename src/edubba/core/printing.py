"""What commands print on stdout: tables for people, JSON for programs."""

import json as json_module
import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="print one JSON document instead of a table")]


def counted(n: int, one: str, many: str = "") -> str:
    """A number with its words, which agree with it; `many` is `one` with an s where it is not given.

    >>> counted(1, "file differs", "files differ"), counted(2000, "file")
    ('1 file differs', '2,000 files')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def show(rows: Any, *, json: bool, columns: Sequence[str] | None = None, empty: str = "nothing") -> None:
    """Print rows (a list of dicts) as a table, or anything as JSON."""
    if json:
        print(json_module.dumps(rows, indent=1, allow_nan=False, default=str))
        return
    if not rows:
        print(empty)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = [c for c in (columns or rows[0]) if any(row.get(c) not in (None, "") for row in rows)]
    table = Table(box=None, pad_edge=False)
    for column in columns:
        number = all(isinstance(row.get(column), int | float) or row.get(column) is None for row in rows)
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(row.get(column))) for column in columns))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def show_results(document: dict[str, Any], *, json: bool) -> None:
    """Print a results.json: numbers with their intervals; then, on stderr, warnings and what was skipped."""
    if document["skipped"]:
        print(
            f"warning: {counted(document['skipped'], 'input was', 'inputs were')} skipped; skipped.csv in the run folder"
            f" names {'it' if document['skipped'] == 1 else 'them'}",
            file=sys.stderr,
        )
    if json:
        show(document, json=True)
        return
    rows = [
        {
            "result": r["name"], "value": f"{r['value']:.4g}",
            f"{r['level'] or 0.95:.0%} interval": "" if r["low"] is None else f"{r['low']:.4g} to {r['high']:.4g}",
            "n": r["n"], "unit": r["unit"], "split": r["split"],
        }
        for r in document["results"]
    ]  # fmt: skip
    show(rows, json=False)
    for words in document["warnings"]:
        print(f"warning: {words}", file=sys.stderr)
