"""CSV as it comes: quoted newlines, stray quotes, NUL bytes, several encodings. What cannot be read is named, the rest goes on."""

import codecs
import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase
from typing import Any

LONGEST = 400
"""lines that one row may have: a quote that is never closed must not swallow the file"""
csv.field_size_limit(2**31 - 1)
codecs.register_error("latin-1", lambda e: (e.object[e.start : e.end].decode("latin-1"), e.end))  # ty: ignore


def lines(file: BufferedIOBase) -> Iterator[tuple[int, str]]:
    """Numbered lines without NUL bytes; bytes that are not UTF-8 are taken for Latin-1."""
    for number, line in enumerate(file, 1):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="latin-1")
        yield number, text.replace("\0", "") if "\0" in text else text


def rows(file: BufferedIOBase, *, bad: Callable[[int, str], None] = lambda line, why: None) -> Iterator[dict[str, str]]:
    """Rows of a CSV file by the names in its first line.

    A row that cannot be read is told to `bad` with the number of its line, and reading goes on with the next line: a
    stray quote costs one row, not all to the next quote. A repeated header is passed over.
    """
    waiting: deque[tuple[int, str]] = deque()
    source = lines(file)

    def following() -> tuple[int, str] | None:
        return waiting.popleft() if waiting else next(source, None)

    header: list[str] = []
    while (first := following()) is not None:
        number, text = first
        if not text.strip():
            continue
        taken, fields, why = _row(first, following)
        if fields is None or (header and len(fields) != len(header)):
            waiting.extendleft(reversed(taken[1:]))
            if fields is not None:
                why = f"it has {len(fields)} cells and the first line has {len(header)}"
            bad(number, why)
            continue
        if not header:
            header = [name.strip() for name in fields]
        elif fields != header:
            yield dict(zip(header, fields, strict=True))


def _row(
    first: tuple[int, str], following: Callable[[], tuple[int, str] | None]
) -> tuple[list[tuple[int, str]], list[str] | None, str]:
    """The lines of one row, and its cells or why there are none."""
    taken = [first]
    quotes = first[1].count('"')
    while True:
        if quotes % 2 == 0 or len(taken) == 1:  # a quote within a cell that is not quoted stands for itself
            try:
                (fields,) = csv.reader(["".join(text for _, text in taken)], strict=True)
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    return taken, None, f"its quotes are wrong ({error})"
            except ValueError:
                return taken, None, "it holds line breaks that are not quoted"
            else:
                return taken, fields, ""
        more = following() if len(taken) < LONGEST else None
        if more is None:
            return taken, None, "a quote is opened and not closed"
        taken.append(more)
        quotes += more[1].count('"')


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last perhaps shorter."""
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
