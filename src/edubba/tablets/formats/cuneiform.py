"""Text in cuneiform characters (Unicode, U+12000 to U+1254F): a line a line, a blank line between two faces.

What is broken away stands in `[ ]`, so that nobody takes it for ink; what is unread, or a sign that Unicode has not, is
`x`. What a scribe left out is not written.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edubba.core import files
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import signlist
from edubba.tablets.records import Damage, Line, Sign, Surface, Tablet

CHARACTER = re.compile("[\U00012000-\U0001254f]")
LABEL = re.compile(r"\s*(\d+['′]*)\.?\s+")
UNREAD = "xX\ufffd"
UNKNOWN = "..."
"""an unknown number of signs"""


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """One tablet, named after its file; its lines are cut into the longest sequences of characters that are one sign.

    Numbers before lines are their labels; spaces part words.

    Parameters
    ----------
    images
        Not needed: a text has no places in a photograph.

    Raises
    ------
    UserError
        Something else than cuneiform, `x`, `...` and square brackets stands there: line and column are said.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    surfaces: list[list[Line]] = [[]]
    for number, row in enumerate(text.split("\n"), 1):
        row = row.rstrip()
        if row:
            surfaces[-1].append(_line(row, f"{path}:{number}"))
        elif surfaces[-1]:
            surfaces.append([])
    made = tuple(Surface(lines=tuple(lines)) for lines in surfaces if lines)
    return [Tablet(id=path.stem, surfaces=made)]


def _line(row: str, where: str) -> Line:
    label = LABEL.match(row)
    start = label.end() if label else 0
    signs: list[Sign] = []
    damage: Damage = "intact"
    word, spaced = 0, " " in row[start:].strip()
    i = start
    while i < len(row):
        c = row[i]
        sequence = CHARACTER.match(row, i)
        if sequence:
            name, length = _longest(row, i)
            signs.append(Sign(name=name, damage=damage, word=word if spaced else None))
            i += length
        elif c in UNREAD or row.startswith((UNKNOWN, "…"), i):
            unknown = c not in UNREAD
            signs.append(Sign(reading=UNKNOWN if unknown else None, damage=damage, word=word if spaced else None))
            i += len(UNKNOWN) if row.startswith(UNKNOWN, i) else 1
        elif c in "[]":
            if (damage == "broken") == (c == "["):
                raise UserError(f"{where}:{i + 1}: {c!r} stands where {'no' if c == ']' else 'a'} bracket is open")
            damage = "broken" if c == "[" else "intact"
            i += 1
        elif c.isspace():
            word += bool(signs) and signs[-1].word == word
            i += 1
        else:
            raise UserError(
                f"{where}:{i + 1}: {c!r} is no cuneiform: only signs, x, ... and square brackets can stand here"
            )
    if damage == "broken":
        raise UserError(f"{where}:{len(row)}: a bracket is still open at the end of the line")
    return Line(label=label[1] if label else "", signs=tuple(signs))


def _longest(row: str, start: int) -> tuple[str | None, int]:
    """Name of the longest sequence of characters that is a sign, and their number; else of one unread character."""
    for length in range(min(_most(), len(row) - start), 0, -1):
        if found := signlist.load().written(row[start : start + length]):
            return found[0].name, length
    return None, 1


@functools.cache
def _most() -> int:
    """Characters of the sign that has most."""
    return max(len(entry.chars) for entry in signlist.load().entries)


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write the lines of one tablet.

    Raises
    ------
    UserError
        There is not exactly one tablet.
    """
    if len(tablets) != 1:
        raise UserError(
            f"a text in cuneiform holds one tablet a file, and {len(tablets)} are given: name a folder, not {path}"
        )
    faces = ["".join(f"{text}\n" for text in _texts(surface)) for surface in tablets[0].surfaces]
    return files.write(Path(path), "\n".join(face for face in faces if face))


def _texts(surface: Surface) -> Iterator[str]:
    for line in surface.lines:
        if line.kind in ("text", "unplaced") and (signs := _kept(line)):
            yield _text(signs)


def _kept(line: Line) -> list[Sign]:
    return [sign for sign in line.signs if "omitted" not in sign.marks and sign.role != "punctuation"]


def _text(signs: Sequence[Sign]) -> str:
    made, broken = [], False
    for sign in signs:
        if (sign.damage == "broken") != broken:
            made.append("]" if broken else "[")
            broken = not broken
        made.append(characters(sign) or "x")
    return "".join(made) + "]" * broken


def characters(sign: Sign) -> str:
    """A sign in Unicode, by its name, or by a reading that only one sign has; empty: unread, or Unicode has it not.

    >>> characters(Sign(name="KI")) == characters(Sign(reading="ki")) == chr(0x121A0)
    True
    """
    if sign.name is None and sign.reading == UNKNOWN:
        return UNKNOWN
    found = signlist.load().parts(sign.name) if sign.name else signlist.load().read_as(sign.reading or "")
    whole = bool(found) and all(entry.chars for entry in found) and (sign.name is not None or len(found) == 1)
    return "".join(entry.chars for entry in found) if whole else ""


def lacking(tablets: Sequence[Tablet]) -> list[str]:
    """Names that Unicode has not; names that are read back as others; what a scribe left out."""
    lines = [line for t in tablets for face in t.surfaces for line in face.lines if line.kind in ("text", "unplaced")]
    named = [sign for line in lines for sign in _kept(line) if sign.name or sign.reading]
    none = [sign.name or sign.reading or "" for sign in named if not characters(sign)]
    made = []
    if none:
        first = ", ".join(list(dict.fromkeys(none))[:5])
        words = f"{counted(len(none), 'sign is', 'signs are')} written as x"
        made.append(f"{words}, since Unicode has no characters for them: {first}")
    other = sum(
        [sign.name for sign in _line(_text(signs), "").signs] != [sign.name for sign in signs]
        for signs in map(_kept, lines)
        if signs and all(map(characters, signs))
    )
    if other:
        made.append(
            f"{counted(other, 'line is', 'lines are')} read back with other names: signs run together, or are variants"
        )
    if left := sum(len(line.signs) - len(_kept(line)) for line in lines):
        made.append(f"{counted(left, 'sign')} left out: left out by the scribe, or punctuation")
    return made
