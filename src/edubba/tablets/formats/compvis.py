"""The CSV tables of Dencker et al. 2020 (CompVis): boxes, and faces and lines in files beside.

The boxes of all tablets are `segm_idx,tablet_CDLI,view_desc,collection,mzl_label,train_label,bbox,relative_bbox`, where
boxes are strings `"[x0, y0, x1, y1]"`, the first in the photograph, the second in the face; -1 is no face, label 0 no
sign. The faces and lines belonging to `bbox_annotations_test.csv` or `test.csv` are sought as
`tablet_segments_test.csv` and `line_annotations_test.csv`, and under the name of each collection, in the same folder
and in `segments` and `annotations` beside it; points of lines count from the corner of their face.
"""

import csv
import functools
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edubba.core import files
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import checking, signlist
from edubba.tablets.formats import drawn
from edubba.tablets.formats.coco import VIEWS
from edubba.tablets.records import Box, Line, Sign, Surface, Tablet

BOXES = ("segm_idx", "tablet_CDLI", "view_desc", "collection", "mzl_label", "train_label", "bbox", "relative_bbox")
FACES = ("segm_idx", "tablet_CDLI", "view_desc", "collection", "bbox", "scale", "assigned")
LINES = ("line_idx", "x", "y", "segm_idx", "tablet_CDLI")
NO_FACE = "-1"


@dataclass
class Face:
    """One face of a tablet while its tables are read."""

    view: str = ""
    box: Box | None = None
    corner: tuple[float, float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    signs: list[Sign] = field(default_factory=list)
    paths: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """points by the number of their line, counted from the corner"""


# ---- in


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """The tablets that have boxes, in the order of the file, with their faces and lines.

    Signs are named by their MZL number; both labels are kept in `extra` as `mzl_label` and `train_label`. Faces with
    neither boxes nor lines are left out: they were cut out of the photograph, but nobody annotated them.

    Parameters
    ----------
    images
        Folder of the photographs, called by the number of the tablet: the tables do not say how large they are. None,
        or no such photograph there: the tablet has none.

    Raises
    ------
    UserError
        A table lacks a column, or a cell is not what it should be.
    """
    path = Path(path)
    rows = _table(path, BOXES)
    tablets: dict[str, dict[str, Face]] = {}
    collections: dict[str, str] = {}
    for where, row in rows:
        name = row["tablet_CDLI"]
        collections.setdefault(name, row["collection"])
        face = tablets.setdefault(name, {}).setdefault(row["segm_idx"], Face(view=row["view_desc"]))
        face.signs.append(_sign(row, where))
        box, inner = _box(row["bbox"], where), _box(row["relative_bbox"], where)
        if face.corner is None and box is not None and inner is not None:
            face.corner = box.x0 - inner.x0, box.y0 - inner.y0
    for table in _beside(path, "tablet_segments", collections.values()):
        _add_faces(table, tablets)
    for table in _beside(path, "line_annotations", collections.values()):
        _add_lines(table, tablets)
    return [
        Tablet(
            id=name, photograph=checking.photograph(images, name), surfaces=_surfaces(faces),
            extra={"collection": collections[name]} if collections[name] else {},
        )
        for name, faces in tablets.items()
    ]  # fmt: skip


def _table(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Place and cells of each row."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
        rows = [(f"{path}:{reader.line_num}", row) for row in reader]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error})") from None
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise UserError(f"{path} lacks the column {missing[0]!r}: a table of this kind has {', '.join(columns)}")
    for where, row in rows:
        if None in row or None in row.values():
            raise UserError(f"{where}: not as many cells as columns")
    return rows


def _box(cell: str, where: str) -> Box | None:
    """The box of a string; None: `[]`, or nothing."""
    try:
        numbers = json.loads(cell or "[]")
        return Box(*map(float, numbers)) if numbers else None
    except (ValueError, TypeError):
        raise UserError(f"{where}: the box {cell!r} is not of the form [x0, y0, x1, y1]") from None


def _sign(row: dict[str, str], where: str) -> Sign:
    try:
        extra = {key: int(row[key]) for key in ("mzl_label", "train_label") if row[key]}
    except ValueError:
        raise UserError(f"{where}: a label is no whole number") from None
    return Sign(name=name_of(extra.get("mzl_label", 0)), box=_box(row["bbox"], where), extra=extra)


@functools.cache
def name_of(mzl: int) -> str | None:
    """The name of the sign with an MZL number; None for 0 and numbers that are unknown.

    Of several signs with the number the one that is no compound is meant, under the name that detectors use where the
    list knows it as a name of that sign.
    """
    signs = signlist.load()
    if mzl == 0:
        return None
    found, said = signs.numbered(mzl=mzl), signs.mzl_names.get(str(mzl))
    plain = [entry.name for entry in found if not entry.name.startswith("|")]
    if said is not None and signs.find(said) in found and not (said.startswith("|") and plain):
        return said
    return next(iter([*plain, *(entry.name for entry in found)]), said)


def _beside(path: Path, kind: str, collections: Iterable[str]) -> list[Path]:
    """The tables of a kind that are there."""
    names = dict.fromkeys([path.stem.removeprefix("bbox_annotations_"), *collections])
    folders = path.parent, path.parent.parent / "segments", path.parent.parent / "annotations"
    found = [folder / f"{kind}_{name}.csv" for name in names for folder in folders]
    return list(dict.fromkeys(table for table in found if table.is_file()))


def _add_faces(path: Path, tablets: dict[str, dict[str, Face]]) -> None:
    for where, row in _table(path, FACES):
        if row["tablet_CDLI"] not in tablets:
            continue
        face = tablets[row["tablet_CDLI"]].setdefault(row["segm_idx"], Face())
        face.view, face.box = row["view_desc"], _box(row["bbox"], where)
        if face.box is not None:
            face.corner = face.box.x0, face.box.y0
        try:
            face.extra |= {"compvis_scale": float(row["scale"])} if row["scale"] else {}
        except ValueError:
            raise UserError(f"{where}: the scale {row['scale']!r} is no number") from None
        face.extra |= {"assigned": row["assigned"] == "True"} if row["assigned"] else {}


def _add_lines(path: Path, tablets: dict[str, dict[str, Face]]) -> None:
    for where, row in _table(path, LINES):
        face = tablets.get(row["tablet_CDLI"], {}).get(row["segm_idx"])
        if face is None or face.corner is None:
            continue
        try:
            point = float(row["x"]) + face.corner[0], float(row["y"]) + face.corner[1]
        except ValueError:
            raise UserError(f"{where}: a point is no pair of numbers") from None
        face.paths.setdefault(row["line_idx"], []).append(point)


def _surfaces(faces: dict[str, Face]) -> tuple[Surface, ...]:
    made = []
    for number, face in faces.items():
        if number != NO_FACE and (face.signs or face.paths):
            lines = drawn.on_lines(face.signs, [Line(path=tuple(path)) for path in face.paths.values()])
            kind = VIEWS.get(face.view, face.view)
            made.append(Surface(id=number, kind=kind, box=face.box, lines=lines, extra=face.extra))
    if NO_FACE in faces:
        made.append(Surface(lines=(Line(kind="unplaced", signs=tuple(faces[NO_FACE].signs)),)))
    return tuple(made)


# ---- out


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write the boxes of tablets, and, where there are any, faces and drawn lines in the files beside (see `beside`).

    Raises
    ------
    UserError
        Two photographs are of the same tablet, which the tables cannot tell apart.
    """
    path = Path(path)
    ids = [tablet.id for tablet in tablets]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise UserError(
            f"{twice} has several photographs, and CompVis tables know one a tablet: write them to several files"
        )
    known = {
        sign.extra["mzl_label"]: sign.extra["train_label"]
        for tablet in tablets
        for sign in tablet.signs
        if {"mzl_label", "train_label"} <= sign.extra.keys()
    }
    views = {ours: theirs for theirs, ours in VIEWS.items()}
    boxes, faces, lines = [], [], []
    for tablet in tablets:
        collection = tablet.extra.get("collection", "")
        for number, surface in _numbered(tablet.surfaces):
            corner = (0.0, 0.0) if surface.box is None else surface.box[:2]
            place = number, tablet.id, views.get(surface.kind, surface.kind), collection
            if surface.box is not None:
                scale, assigned = (surface.extra.get(key, "") for key in ("compvis_scale", "assigned"))
                faces.append((*place, _string(surface.box), scale, assigned))
            for sign in surface.signs:
                if sign.box is not None:
                    mzl = number_of(sign)
                    inner = "[]" if number == NO_FACE else _string(_moved(sign.box, corner))
                    train = (
                        sign.extra.get("train_label", 0) if mzl == sign.extra.get("mzl_label") else known.get(mzl, 0)
                    )
                    boxes.append((*place, mzl, train, _string(sign.box), inner))
            paths = [line.path for line in surface.lines if line.path]
            for i, line in enumerate(paths if number != NO_FACE else ()):
                lines += [(i, _short(x - corner[0]), _short(y - corner[1]), number, tablet.id) for x, y in line]
    for table, columns, rows in zip(beside(path), (FACES, LINES), (faces, lines), strict=True):
        if rows:
            files.write(table, _csv(columns, rows))
    return files.write(path, _csv(BOXES, boxes))


def beside(path: str | Path) -> tuple[Path, Path]:
    """Where the faces and the lines that belong to a file of boxes are written."""
    path = Path(path)
    name = path.stem.removeprefix("bbox_annotations_")
    return path.with_name(f"tablet_segments_{name}.csv"), path.with_name(f"line_annotations_{name}.csv")


def number_of(sign: Sign) -> int:
    """The MZL number of a sign: the one it was read with, else by its name; 0 where it has none or is broken away."""
    if not sign.ink:
        return 0
    said = sign.extra.get("mzl_label")
    if type(said) is int and name_of(said) == sign.name:
        return said
    if sign.name is None:
        return 0
    signs = signlist.load()
    entry = signs.find(sign.name)
    numbers = [*(entry.mzl if entry else ()), *(n for n, name in signs.mzl_names.items() if name == sign.name)]
    whole = [int(n) for n in numbers if n.isdecimal()]
    return next((n for n in whole if name_of(n) == sign.name), whole[0] if whole else 0)


def lacking(tablets: Sequence[Tablet]) -> list[str]:
    """Names that come back as others, since MZL has no number, or no number of its own, for them."""
    boxed = [sign for tablet in tablets for sign in tablet.signs if sign.box is not None]
    other = {sign.name: name_of(number_of(sign)) for sign in boxed if sign.name != name_of(number_of(sign))}
    if not other:
        return []
    first = ", ".join(f"{name} as {now}" if now else f"{name}" for name, now in list(other.items())[:5])
    words = counted(len(other), "name has no MZL number of its own", "names have no MZL number of their own")
    return [f"{words}, so that other names or none come back: {first}"]


def _numbered(surfaces: Sequence[Surface]) -> list[tuple[str, Surface]]:
    """Surfaces with different numbers; -1 for what lies on no face."""
    used = {surface.id for surface in surfaces}
    free = (str(i) for i in range(len(used) + len(surfaces) + 1) if str(i) not in used)
    made, taken = [], set()
    for surface in surfaces:
        if surface == Surface(lines=surface.lines):
            number = NO_FACE
        elif surface.id.isdecimal() and surface.id not in taken:
            number = surface.id
        else:
            number = next(free)
        taken.add(number)
        made.append((number, surface))
    return made


def _moved(box: Box, corner: Sequence[float | int]) -> Box:
    return Box(box.x0 - corner[0], box.y0 - corner[1], box.x1 - corner[0], box.y1 - corner[1])


def _string(box: Box) -> str:
    return f"[{', '.join(_short(v) for v in box)}]"


def _short(value: float | int) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.10g}"


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return out.getvalue()
