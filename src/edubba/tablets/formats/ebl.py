"""eBL's `gt_<image>.txt`: a line a sign, `x,y,width,height,SIGN`.

The sign may be absent, end in `?` (partly broken), be `UnclearSign`, or `BLANK` where there is none. Labels in small
letters are readings. What the label was is kept as `extra["label"]` where name, reading and damage do not give it back.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edubba.core import files
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import checking, signlist
from edubba.tablets.formats import drawn
from edubba.tablets.records import Box, Damage, Line, Sign, Surface, Tablet

UNREAD = ("UnclearSign", "x", "X", "")
BLANK = "BLANK"


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """The signs of one photograph, in a line of kind `unplaced`.

    Parameters
    ----------
    images
        Folder of the photographs: the file does not say how large its photograph is. None, or no such photograph there:
        the tablet has none.

    Raises
    ------
    UserError
        A line has less than four numbers.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    signs = [_sign(row.split(",", 4), f"{path}:{n}") for n, row in enumerate(text.split("\n"), 1) if row.strip()]
    name = path.stem.removeprefix("gt_")
    line = Line(kind="unplaced", signs=tuple(signs))
    # faces of one tablet are numbered: what is on one of them must not be tested on the other
    number = re.sub(r"(?<=\d)-\d{1,2}$", "", name)
    photograph = checking.photograph(images, name)
    return [
        Tablet(
            id=name, name=number if number != name else "", photograph=photograph, surfaces=(Surface(lines=(line,)),)
        )
    ]


def _sign(fields: list[str], where: str) -> Sign:
    try:
        x, y, w, h = map(float, fields[:4])
    except ValueError:
        x = y = w = h = math.nan
    if not all(map(math.isfinite, (x, y, w, h))):
        raise UserError(f"{where}: {','.join(fields)!r} does not begin with four numbers: x,y,width,height")
    label = fields[4].strip() if len(fields) > 4 else ""
    name, reading, damage = meaning(label)
    sign = Sign(name=name, reading=reading, damage=damage, box=Box(x, y, x + w, y + h))
    return sign if _label(sign) == label else replace(sign, extra={"label": label})


def meaning(label: str) -> tuple[str | None, str | None, Damage]:
    """Name, reading and damage that a label stands for.

    >>> meaning("KI?"), meaning("ma"), meaning("UnclearSign")
    (('KI', None, 'damaged'), ('MA', 'ma', 'intact'), (None, None, 'intact'))
    """
    if label == BLANK:
        return None, None, "broken"  # a box without ink: never to be learned from
    text = label.removesuffix("?").strip()
    damage: Damage = "intact" if text == label else "damaged"
    if text in UNREAD:
        return None, None, damage
    if text != text.lower() or text == text.upper():
        return text, None, damage
    found = signlist.load().read_as(text)
    return (found[0].name if len(found) == 1 else None), text, damage


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write the boxes of one tablet's signs.

    A sign that is broken away is written as `BLANK`, whatever its editors restored.

    Raises
    ------
    UserError
        There is not exactly one tablet.
    """
    if len(tablets) != 1:
        raise UserError(
            f"eBL's format holds one photograph a file, and {len(tablets)} are given: name a folder, not {path}"
        )
    rows = []
    for sign in tablets[0].signs:
        if sign.box is not None:
            x0, y0, x1, y1 = sign.box
            numbers = [f"{v:.0f}" if v == int(v) else repr(v) for v in (x0, y0, drawn.size(x0, x1), drawn.size(y0, y1))]
            said = sign.extra.get("label")
            label = said if said is not None and meaning(said) == _meant(sign) else _label(sign)
            rows.append(",".join([*numbers, label] if label else numbers))
    return files.write(Path(path), "".join(row + "\n" for row in rows))


def lacking(tablets: Sequence[Tablet]) -> list[str]:
    """What only some signs lose: readings beside a name, and the names of what is broken away."""
    signs = [sign for tablet in tablets for sign in tablet.signs if sign.box is not None]
    readings = sum(meaning(_label(sign))[1] != sign.reading for sign in signs)
    names = sum(sign.name is not None and sign.damage == "broken" for sign in signs)
    made = (
        [f"{counted(readings, 'reading is', 'readings are')} left out: a label is a name or a reading"]
        if readings
        else []
    )
    words = counted(names, "sign that is broken away is", "signs that are broken away are")
    return made + ([f"{words} written as {BLANK}"] if names else [])


def _meant(sign: Sign) -> tuple[str | None, str | None, Damage]:
    return sign.name, sign.reading, sign.damage


def _label(sign: Sign) -> str:
    if sign.damage == "broken":
        return BLANK
    return (sign.name or sign.reading or "") + ("?" if sign.damage == "damaged" else "")
