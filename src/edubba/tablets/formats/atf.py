"""ATF, the plain text of Assyriologists: C-ATF, ORACC ATF and eBL-ATF, in and out.

`parse` reads a whole file without losing a letter (`render` gives it back) and without stopping at errors, which are listed
with line and column. `read` and `write` convert to and from records: a line keeps the editor's text beside its signs, and
nothing that stands in `[ ]` or `< >` is ever ink. An unknown number of lost signs is one sign with the reading `...`.
"""

import gzip
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from edubba.core import files
from edubba.core.errors import UserError
from edubba.tablets import signlist
from edubba.tablets.formats.atf_compose import compose
from edubba.tablets.formats.atf_document import (
    LABEL,
    SURFACES,
    Document,
    Row,
    Text,
    check,
    dialect_of,
    parse,
    render,
    unknown,
    unknown_in,
)  # fmt: skip
from edubba.tablets.formats.atf_tokens import BRACES, GAP, Dialect, Problem, Token, tokens_of
from edubba.tablets.records import Line, Sign, Surface, Tablet
from edubba.tablets.signlist import SignList

__all__ = [
    "GAP", "Dialect", "Document", "Gap", "ParsedLine", "Problem", "Row", "Text", "Token", "check", "compose", "gaps", "parse",
    "parse_line", "read", "render", "tablets_of", "unknown", "write", "written",
]  # fmt: skip


class Gap(NamedTuple):
    """A run of signs that nobody reads: lost, or ink that is `x`."""

    first: int
    """position of its first record among the signs"""
    stop: int
    """position after its last"""
    count: int | None
    """how many signs; None: unknown (`...`)"""
    word: int
    """number of the word it begins in"""
    ink: bool
    """whether something is seen of one of them"""


class ParsedLine(NamedTuple):
    """A line without a number."""

    signs: tuple[Sign, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[Problem, ...]
    """doubts: brackets that were closed, readings that the sign list has not"""


def parse_line(text: str, *, dialect: Dialect | None = None, signs: SignList | None = None) -> ParsedLine:
    """A line as somebody types it, with or without a number: its signs, and where its gaps are.

    >>> parse_line("a-na {d}[x x] EN-ia").gaps
    (Gap(first=3, stop=5, count=2, word=1, ink=False),)

    Raises
    ------
    UserError
        The line is no ATF: the column is named.
    """
    known = signs or signlist.load()
    label = LABEL.match(text)
    start = label.end() if label else 0
    tokens, problems = tokens_of(text[start:], signs=known, dialect=dialect or dialect_of(text), column=start + 1)
    for problem in problems:
        if not problem.doubt:
            raise UserError(f"{text!r}, column {problem.column}: {problem.sentence}")
    row = tuple(token.sign for token in tokens if token.sign is not None)
    return ParsedLine(row, gaps(row), (*problems, *unknown_in(tokens, known, 1)))


def gaps(signs: Sequence[Sign]) -> tuple[Gap, ...]:
    """Where nothing is read in a row of signs."""
    found, i = [], 0
    for empty, run in itertools.groupby(signs, key=_is_empty):
        row = list(run)
        if empty:
            count = None if any(sign.reading == GAP for sign in row) else len(row)
            found.append(Gap(i, i + len(row), count, row[0].word or 0, any(sign.ink for sign in row)))
        i += len(row)
    return tuple(found)


def tablets_of(document: Document) -> list[Tablet]:
    """Every text of a document as a record; a text without surfaces and lines is none."""
    wrong: dict[int, list[str]] = {}
    for problem in document.problems:
        wrong.setdefault(problem.line, []).append(f"column {problem.column}: {problem.sentence}")
    made = (_tablet(text, document.dialect, wrong) for text in document.texts)
    return [tablet for tablet in made if tablet.surfaces]


def read(path: str | Path, *, dialect: Dialect | None = None, signs: SignList | None = None) -> list[Tablet]:
    """The tablets of a file of ATF, or of a .jsonl whose objects have the field `atf` (and `id`, `title`, `period`).

    Both may be packed (.gz). What is wrong in a line is in `Line.extra["problems"]`; nothing is left out.

    Raises
    ------
    UserError
        There is no such file, or it is not UTF-8, or not what it is called.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"{path} is not packed with gzip, as its name says ({error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        return tablets_of(parse(text, path=str(path), dialect=dialect, signs=signs))
    made = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            atf = row["atf"]
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path}:{number}: this is no JSON object with the field 'atf'") from None
        document = parse(atf, path=f"{path}:{number}", dialect=dialect, signs=signs)
        made += [_catalogued(tablet, row) for tablet in tablets_of(document)]
    return made


def write(
    tablets: Sequence[Tablet], path: str | Path, *, dialect: Dialect | None = None, signs: SignList | None = None
) -> Path:
    """Write tablets as ATF.

    A line that an editor wrote is written to the letter; where another dialect is asked for, and where nobody wrote it, it
    is composed of its signs. Lines that signs cannot stand for (normalised words, dividers) always stay as written.

    Parameters
    ----------
    dialect
        None: each tablet's own, C-ATF where it has none.
    """
    return files.write(Path(path), written(tablets, dialect=dialect, signs=signs))


def written(tablets: Sequence[Tablet], *, dialect: Dialect | None = None, signs: SignList | None = None) -> str:
    """The text that `write` writes."""
    return "\n".join("".join(f"{line}\n" for line in _lines_of(t, dialect, signs)) for t in tablets)


def _is_empty(sign: Sign) -> bool:
    unread = sign.name is None and sign.reading is None and "alternatives" not in sign.extra
    return unread or sign.reading == GAP


def _tablet(text: Text, dialect: Dialect, wrong: dict[int, list[str]]) -> Tablet:
    surfaces: list[Surface] = []
    lines: list[Line] = []
    protocol: list[str] = []
    current = Surface()

    def change(surface: Surface) -> Surface:
        if lines or current != Surface():
            surfaces.append(replace(current, lines=tuple(lines)))
        lines.clear()
        return surface

    extra: dict[str, Any] = {}
    for row in text.rows:
        content = row.text
        if row.kind == "object":
            extra = {"object": content[1:].strip()}
            current = change(Surface(extra=extra))
        elif row.kind == "surface":
            face = Surface(kind=content[1:].strip(), extra=extra)
            current = change(face) if lines or current.kind or current.column else face
        elif row.kind == "column":
            column = replace(current, column=content[7:].strip() or "1")
            current = change(column) if lines or current.column else column
        elif row.kind == "text":
            lines.append(_line(row, wrong.get(row.number)))
        elif row.kind == "state":
            lines.append(Line(kind="state", text=content))
        elif row.kind in ("note", "protocol", "unknown") and not (lines or surfaces or current != Surface()):
            protocol.append(content)
        elif row.kind in ("note", "protocol", "unknown") or (row.kind == "translation" and content[0] == "@"):
            wrongs: dict[str, Any] = {"problems": wrong[row.number]} if row.number in wrong else {}
            lines.append(Line(kind="note", text=content, extra=wrongs))
        elif row.kind == "translation" and lines:
            lines[-1] = replace(lines[-1], text=f"{lines[-1].text}\n{content}")
    change(Surface())
    about: dict[str, Any] = {"dialect": dialect} | ({"protocol": protocol} if protocol else {})
    return Tablet(id=text.id, name=text.name, language=text.language, surfaces=tuple(surfaces), extra=about)


def _line(row: Row, problems: list[str] | None) -> Line:
    extra: dict[str, Any] = {"problems": problems} if problems else {}
    if not row.label:
        extra["continues"] = True
    if _only_as_written(row.tokens):
        extra["as_written"] = True
    return Line(label=row.label, signs=row.signs, text=row.written, extra=extra)


def _only_as_written(tokens: Sequence[Token]) -> bool:
    """Whether a line has what no sign holds: words, dividers, remarks, or a gloss in a gloss."""
    depth = 0
    for token in tokens:
        if token.kind in ("word", "divider", "comment", "stray") or (token.kind == "language" and depth):
            return True
        depth += (token.kind == "open" and token.text in BRACES) - (token.kind == "close" and "}" in token.text)
        if depth > 1:
            return True
    return False


def _catalogued(tablet: Tablet, row: dict[str, Any]) -> Tablet:
    kept = {k: v for k, v in row.items() if k not in ("id", "title", "period", "atf") and v not in (None, "")}
    return replace(
        tablet,
        id=str(row.get("id") or tablet.id),
        name=str(row.get("title") or tablet.name),
        period=str(row.get("period") or ""),
        extra=tablet.extra | kept,
    )


def _lines_of(tablet: Tablet, dialect: Dialect | None, signs: SignList | None) -> Iterator[str]:
    own = tablet.extra.get("dialect")
    target: Dialect = dialect or own or "c-atf"
    if tablet.id or not own:
        number = re.sub(r"[\s=]+", "_", tablet.id)
        yield f"&{number or 'X000001'} = {tablet.name or tablet.id or 'unnamed'}"
    yield from _protocol(tablet, target)
    was: Surface | None = None
    for surface in tablet.surfaces:
        thing = surface.extra.get("object", "" if own else "tablet")
        new = was is None or thing != was.extra.get("object", "" if own else "tablet")
        if thing and (new or (not surface.kind and not surface.column)):
            yield f"@{thing}"
        if surface.kind and (new or was is None or surface.kind != was.kind or not surface.column):
            known = surface.kind.split()[0].rstrip("?!*").lower() in SURFACES
            yield f"@{surface.kind}" if known else f"@surface {surface.kind}"
        if surface.column:
            yield f"@column {surface.column}"
        labels = itertools.count(1)
        for line in surface.lines:
            yield _written(line, target, signs, composed=own is not None and target != own, labels=labels)
        was = surface


def _protocol(tablet: Tablet, dialect: Dialect) -> list[str]:
    lines = list(tablet.extra.get("protocol", ()))
    if dialect == "oracc" and tablet.extra.get("dialect") != "oracc":
        lines.append("#atf: use unicode")
    if not tablet.extra.get("dialect"):
        lines.append(f"#atf: lang {tablet.language or 'akk'}")
    return lines


def _written(line: Line, dialect: Dialect, signs: SignList | None, *, composed: bool, labels: Iterator[int]) -> str:
    if line.kind in ("state", "note"):
        mark = "$" if line.kind == "state" else "#"
        text = line.text or ""
        return text if text[:1] in ("#@|>/" if mark == "#" else "$") or text.startswith("<<") else f"{mark} {text}"
    kept = line.text is not None and (not composed or line.extra.get("as_written"))
    text = line.text if kept else compose(line.signs, dialect=dialect, signs_known=signs)
    if line.kind == "unplaced":
        return f"# unplaced: {text}"
    if line.extra.get("continues"):
        return f"  {text}"
    label = line.label or str(next(labels))
    return f"{label} {text}" if label[0] == "=" or label[-1] == ":" else f"{label}. {text}"
