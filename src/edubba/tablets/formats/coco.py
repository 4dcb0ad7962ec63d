"""COCO, with keys of our own: whose tablet an image is, its regions (faces), and the lines drawn on them.

Read into one tablet an image. Keys that no record stands for are kept in `extra` under their own names (`split`,
`scale`, `mzl_label`, ...), what belongs to the whole file in the first tablet's `extra["coco"]`; so what was read is
written again, with annotations in the order of their ids, and with `area` and `iscrowd` where they were missing.

Keys that we add where they say something:

- image: `tablet` and `museum_no` (id and name of the tablet), `language`, `period`, `steps`;
- region: `view`, `bbox`, `lines` (polylines), `boxes` (their number), `column`, and `text_lines` where drawn lines
  alone do not say which signs make which line: `{"line": number in lines, "signs": [annotation ids], label, kind, text,
  ...}`;
- annotation: `segm_idx` (its region), `record_id`, and `reading`, `damage`, `score`, `candidates` ... as in
  `records.Sign`.

A category with an empty name stands for signs that are unread.
"""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from edubba.core import files
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import records
from edubba.tablets.formats import drawn
from edubba.tablets.records import Box, Line, Photograph, Sign, Step, Surface, Tablet

VIEWS = {"Obv": "obverse", "Rev": "reverse", "Left": "left", "Right": "right", "Top": "top", "Bottom": "bottom"}
"""our names of the faces by those of the format; others are kept as they are"""
SIGN = ("reading", "role", "word", "damage", "marks", "score", "candidates", "abstained", "evidence")
LINE = ("id", "label", "kind", "text", "extra")
UNSAID = Sign()
OUTSIDE = -1
"""`segm_idx` of what lies in no region"""

Annotation = tuple[Any, Sign]
"""id, and what it becomes"""


# ---- in


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """The tablets of a COCO file, one a photograph, in the order of its images.

    A region becomes a Surface; a sign stands on the drawn line that is nearest, or, where none is drawn, with all
    others of its region in a line of kind `unplaced`. What lies in no region stands in a surface without box and kind.
    Annotations of an image that the file does not list make a tablet without a photograph.

    Parameters
    ----------
    images
        Not needed: the file says how large the photographs are.

    Raises
    ------
    UserError
        It is no COCO file, or not JSON.
    """
    document = records.read_json(path)
    parts = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(part), list) for part in parts):
        raise UserError(f"{path} is no COCO file: it lacks a list of images, of annotations or of categories")
    for part in parts:
        for i, row in enumerate(document[part]):
            if not isinstance(row, dict) or "id" not in row:
                raise UserError(f"{path}: {part}[{i}] has no id")
    names = {row["id"]: str(row.get("name") or "") for row in document["categories"]}
    first = {name: key for key, name in reversed(names.items())}
    own: dict[Any, list[Annotation]] = {row["id"]: [] for row in document["images"]}
    made = []
    try:
        for row in document["annotations"]:
            own.setdefault(row.get("image_id"), []).append((row["id"], _sign(row, names, first)))
        for image in document["images"]:
            made.append(_tablet(image, own.pop(image["id"], [])))
        for key, signs in own.items():
            made.append(Tablet(id=f"image {key}", surfaces=_surfaces([], signs), extra={"coco": {"id": key}}))
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no COCO file that can be read ({type(error).__name__}: {error})") from None
    return _with_document(made, document)


def _with_document(tablets: list[Tablet], document: dict[str, Any]) -> list[Tablet]:
    """Each tablet with the categories it uses; the first with all, and with the rest of the file."""
    rest = {key: value for key, value in document.items() if key not in ("images", "annotations", "categories")}
    made = []
    for i, tablet in enumerate(tablets):
        used = {sign.name or "" for sign in tablet.signs}
        rows = [row for row in document["categories"] if i == 0 or str(row.get("name") or "") in used]
        about = {**tablet.extra["coco"], "categories": rows} | ({"document": rest} if i == 0 and rest else {})
        made.append(replace(tablet, extra={**tablet.extra, "coco": about}))
    return made


def _sign(row: dict[str, Any], names: dict[Any, str], first: dict[str, Any]) -> Sign:
    """An annotation; `area`, `iscrowd` and `category_id` are kept where they say more than the box and the name do."""
    extra = dict(row)
    key, category = extra.pop("id"), extra.pop("category_id", None)
    extra.pop("image_id", None)
    values: dict[str, Any] = {}
    box = None
    if isinstance(row.get("bbox"), list):
        x, y, w, h = (float(v) for v in extra.pop("bbox"))
        box = Box(x, y, x + w, y + h)
        if row.get("area") == _area(w, h):
            del extra["area"]
    if row.get("iscrowd") == 0:
        del extra["iscrowd"]
    for name in SIGN:
        if name in extra:
            try:
                values[name] = getattr(records.from_dict(Sign, {name: extra[name]}), name)
            except UserError:  # another project's key of this name: it stays among the extra ones
                continue
            del extra[name]
    name = names.get(category)
    if name is None or first[name] != category:
        extra["category_id"] = category
    if not isinstance(key, int):
        extra["id"] = key
    return Sign(id=str(extra.pop("record_id", key)), name=name or None, box=box, extra=extra, **values)


def _area(w: float, h: float) -> float:
    return round(w * h, 1)


def _tablet(image: dict[str, Any], signs: list[Annotation]) -> Tablet:
    extra = dict(image)
    about: dict[str, Any] = {"id": extra.pop("id")}
    if lacks := [key for key in ("tablet", "museum_no", "regions") if key not in image]:
        about["lacks"] = lacks
    file, width, height = (extra.pop(key) for key in ("file_name", "width", "height"))
    tablet, name, language, period = (
        str(extra.pop(k, None) or "") for k in ("tablet", "museum_no", "language", "period")
    )
    return Tablet(
        id=tablet or name or _stem(file), name=name, language=language, period=period,
        photograph=Photograph(file=str(file), width=int(width), height=int(height), sha256=extra.pop("sha256", None)),
        surfaces=_surfaces(extra.pop("regions", ()), signs),
        steps=tuple(records.from_dict(Step, step) for step in extra.pop("steps", ())), extra={**extra, "coco": about},
    )  # fmt: skip


def _stem(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).stem


def _surfaces(regions: Sequence[dict[str, Any]], signs: list[Annotation]) -> tuple[Surface, ...]:
    boxes = [_box(region["bbox"]) for region in regions]
    held: list[list[Annotation]] = [[] for _ in regions]
    outside = []
    for key, sign in signs:
        which = _region(sign, regions, boxes)
        if which is None:
            outside.append(sign)
            continue
        if sign.extra.get("segm_idx") == regions[which].get("segm_idx"):
            sign = replace(sign, extra={k: v for k, v in sign.extra.items() if k != "segm_idx"})
        held[which].append((key, sign))
    made = [_surface(*parts) for parts in zip(regions, boxes, held, strict=True)]
    if outside:
        made.append(Surface(lines=(Line(kind="unplaced", signs=tuple(outside)),)))
    return tuple(made)


def _region(sign: Sign, regions: Sequence[dict[str, Any]], boxes: list[Box]) -> int | None:
    """The region that an annotation names by `segm_idx`; where it names none or one of two, that of its centre."""
    which = list(range(len(regions)))
    if "segm_idx" in sign.extra:
        which = [i for i in which if regions[i].get("segm_idx") == sign.extra["segm_idx"]]
        if len(which) == 1:
            return which[0]
    around = [i for i in which if sign.box is not None and drawn.inside(sign.box, boxes[i])]
    return around[0] if around else None


def _surface(region: dict[str, Any], box: Box, signs: list[Annotation]) -> Surface:
    extra = {key: value for key, value in region.items() if key != "bbox"}
    paths = [tuple((float(x), float(y)) for x, y in path) for path in extra.pop("lines", ())]
    if extra.get("boxes") == len(signs):
        del extra["boxes"]
    view, own = str(extra.pop("view", None) or ""), extra.pop("id", None)
    if own is None and type(extra.get("segm_idx")) is int:
        own = extra.pop("segm_idx")
    rows = extra.pop("text_lines", None)
    if rows is None:
        lines = drawn.on_lines([sign for _, sign in signs], [Line(path=path) for path in paths])
    else:
        lines = _text_lines(rows, paths, signs)
    return Surface(
        id="" if own is None else str(own), kind=VIEWS.get(view, view), column=extra.pop("column", ""), box=box,
        lines=lines, extra=extra,
    )  # fmt: skip


def _text_lines(
    rows: list[dict[str, Any]], paths: list[tuple[tuple[float, float], ...]], signs: list[Annotation]
) -> tuple[Line, ...]:
    left = dict(signs)
    made = []
    for row in rows:
        own = tuple(left.pop(key) for key in row.get("signs", ()) if key in left)
        line = records.from_dict(Line, {key: row[key] for key in LINE if key in row})
        made.append(replace(line, path=paths[row["line"]] if "line" in row else (), signs=own))
    return (*made, Line(kind="unplaced", signs=tuple(left.values()))) if left else tuple(made)


def _box(bbox: Sequence[float]) -> Box:
    x, y, w, h = (float(v) for v in bbox)
    return Box(x, y, x + w, y + h)


# ---- out


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write the photographs of tablets with their boxes as one COCO file.

    Signs without a box and tablets without a photograph are left out.
    """
    return files.write(Path(path), json.dumps(document(tablets), ensure_ascii=False, allow_nan=False) + "\n")


def write_results(tablets: Sequence[Tablet], path: str | Path, *, like: Sequence[Tablet] = ()) -> Path:
    """Write what was found on photographs as a list of COCO results: image_id, category_id, bbox, score.

    Parameters
    ----------
    tablets
        Signs with boxes; a sign without a score has 1.
    like
        The tablets of the COCO file that the results are to be held against: it gives the ids of photographs, by the
        name of the file, and of names. Names that it has not get ids behind its own. Empty: the ids that `write` would
        give.

    Raises
    ------
    UserError
        A photograph is not in that file.
    """
    categories = Categories(like or tablets)
    if like:
        numbers = {_file(tablet): key for tablet, key in zip(like, _image_ids(like), strict=True)}
        if strange := [_file(tablet) for tablet in tablets if _file(tablet) not in numbers]:
            raise UserError(f"the photograph {strange[0]!r} is not among those that the results are to be held against")
        image_ids = [numbers[_file(tablet)] for tablet in tablets]
    else:
        image_ids = _image_ids(tablets)
    rows = [
        {
            "image_id": image_id, "category_id": categories.of(sign), "bbox": _bbox(sign.box),
            "score": 1.0 if sign.score is None else sign.score,
        }
        for image_id, tablet in zip(image_ids, tablets, strict=True)
        for sign in tablet.signs
        if sign.box is not None
    ]  # fmt: skip
    return files.write(Path(path), json.dumps(rows, ensure_ascii=False, allow_nan=False) + "\n")


def _file(tablet: Tablet) -> str:
    """The photograph by its name without folders; the tablet's id where it has none."""
    return tablet.id if tablet.photograph is None else PurePosixPath(tablet.photograph.file.replace("\\", "/")).name


def document(tablets: Sequence[Tablet]) -> dict[str, Any]:
    """What `write` writes."""
    tablets = [_boxed(tablet) for tablet in tablets if tablet.photograph is not None or "id" in _about(tablet)]
    categories = Categories(tablets)
    ids = iter(_ids(_wanted(sign) for tablet in tablets for sign in tablet.signs))
    images, annotations = [], []
    for image_id, tablet in zip(_image_ids(tablets), tablets, strict=True):
        regions = []
        numbers = _region_numbers(tablet)
        faces = [_face(surface) for n, surface in zip(numbers, tablet.surfaces, strict=True) if n is not None]
        nowhere = min([OUTSIDE + 1, *(n for n in numbers if isinstance(n, int))]) - 1
        for number, surface in zip(numbers, tablet.surfaces, strict=True):
            lines = [[(next(ids), sign) for sign in line.signs] for line in surface.lines]
            if number is not None:
                regions.append(_region_of(surface, number, lines))
            for key, sign in itertools.chain.from_iterable(lines):
                row = _annotation(key, sign, image_id, categories)
                if number is not None:
                    row.setdefault("segm_idx", number)
                elif sign.box is not None and any(drawn.inside(sign.box, face) for face in faces):
                    row.setdefault("segm_idx", nowhere)
                annotations.append(row)
        if tablet.photograph is not None:
            images.append(_image(tablet, tablet.photograph, image_id, regions))
    annotations.sort(key=lambda row: (0, row["id"]) if isinstance(row["id"], int) else (1, 0))
    rest = next((_about(tablet)["document"] for tablet in tablets if "document" in _about(tablet)), {})
    return {**rest, "images": images, "annotations": annotations, "categories": categories.rows}


def lacking(tablets: Sequence[Tablet]) -> list[str]:
    """Boxes of photographs whose size nobody knows."""
    n = sum(
        sign.box is not None
        for tablet in tablets
        if tablet.photograph is None and "id" not in _about(tablet)
        for sign in tablet.signs
    )
    words = counted(n, "box", "boxes")
    return [f"{words} left out: the size of the photograph is not known, so name its folder (images)"] if n else []


def _about(tablet: Tablet) -> dict[str, Any]:
    return tablet.extra.get("coco", {})


def _boxed(tablet: Tablet) -> Tablet:
    """The tablet with those of its signs alone that an annotation can hold."""

    def kept(line: Line) -> Line:
        return replace(line, signs=tuple(s for s in line.signs if s.box is not None or "segmentation" in s.extra))

    return replace(
        tablet, surfaces=tuple(replace(face, lines=tuple(map(kept, face.lines))) for face in tablet.surfaces)
    )


def _image_ids(tablets: Sequence[Tablet]) -> list[Any]:
    return _ids(_about(tablet).get("id") for tablet in tablets)


def _wanted(sign: Sign) -> Any:
    return sign.extra.get("id", int(sign.id) if _is_number(sign.id) else None)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) is not None


def _ids(wanted: Iterable[Any]) -> list[Any]:
    """Different ids: those wanted, the next free number where one is wanted twice or none is."""
    wanted = list(wanted)
    free = itertools.count(max([0, *(key for key in wanted if isinstance(key, int))]) + 1)
    used = set()
    for i, key in enumerate(wanted):
        wanted[i] = next(free) if key is None or key in used else key
        used.add(wanted[i])
    return wanted


class Categories:
    """Names and their ids, those of the files that tablets came from first; grows as names are asked for."""

    def __init__(self, tablets: Iterable[Tablet]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.names: dict[Any, str] = {}
        self.ids: dict[str, Any] = {}
        for tablet in tablets:
            before = set(self.ids)
            for row in _about(tablet).get("categories", ()):
                name = str(row.get("name") or "")
                if self.names.get(row["id"]) == name or name in before:
                    continue
                self._add({**row, "id": self._free()} if row["id"] in self.names else row, name)

    def _add(self, row: dict[str, Any], name: str) -> None:
        self.rows.append(row)
        self.names[row["id"]] = name
        self.ids.setdefault(name, row["id"])

    def _free(self) -> int:
        return max([0, *(key for key in self.names if isinstance(key, int))]) + 1

    def of(self, sign: Sign) -> Any:
        """The id of a sign's name."""
        name = sign.name or ""
        said = sign.extra.get("category_id")
        if said is not None and self.names.get(said, "") == name:
            return said
        if name not in self.ids:
            self._add({"id": self._free(), "name": name, "supercategory": "sign" if name else "unread"}, name)
        return self.ids[name]


def _annotation(key: Any, sign: Sign, image_id: Any, categories: Categories) -> dict[str, Any]:
    row = {"id": key, "image_id": image_id, "category_id": categories.of(sign)}
    if sign.box is not None:
        row["bbox"] = _bbox(sign.box)
        row["area"] = _area(*row["bbox"][2:])
    row["iscrowd"] = 0
    if any(getattr(sign, key) != getattr(UNSAID, key) for key in SIGN):
        row |= {k: v for k, v in records.to_dict(sign).items() if k in SIGN}
    row |= {k: v for k, v in sign.extra.items() if k not in ("id", "category_id")}
    if sign.id not in ("", str(key)):
        row["record_id"] = sign.id
    return row


def _bbox(box: Box) -> list[float]:
    return [float(v) for v in (box.x0, box.y0, drawn.size(box.x0, box.x1), drawn.size(box.y0, box.y1))]


def _image(tablet: Tablet, photograph: Photograph, key: Any, regions: list[dict[str, Any]]) -> dict[str, Any]:
    row = {"id": key, "file_name": photograph.file, "width": photograph.width, "height": photograph.height}
    own = {"tablet": tablet.id, "museum_no": tablet.name, "regions": regions}
    for name, value in own.items():
        default = {"tablet": tablet.name or _stem(photograph.file), "museum_no": "", "regions": []}[name]
        if value != default or name not in _about(tablet).get("lacks", ()):
            row[name] = value
    more = {"language": tablet.language, "period": tablet.period, "sha256": photograph.sha256}
    row |= {name: value for name, value in more.items() if value}
    if tablet.steps:
        row["steps"] = [records.to_dict(step) for step in tablet.steps]
    return row | {name: value for name, value in tablet.extra.items() if name != "coco"}


def _region_numbers(tablet: Tablet) -> list[Any]:
    """`segm_idx` of each surface: as it was read, or its id if that is a number, or a free one; None: no region."""
    said = [s.extra.get("segm_idx", int(s.id) if _is_number(s.id) else None) for s in tablet.surfaces]
    free = itertools.count(max([OUTSIDE, *(key for key in said if isinstance(key, int))]) + 1)
    made = []
    for key, surface in zip(said, tablet.surfaces, strict=True):
        nothing = surface == Surface(lines=surface.lines) and {line.kind for line in surface.lines} <= {"unplaced"}
        shown = surface.box is not None or any(sign.box is not None for sign in surface.signs)
        made.append(None if nothing or not shown else next(free) if key is None else key)
    return made


def _face(surface: Surface) -> Box:
    """The box of a region, of its signs where it has none."""
    return surface.box or drawn.hull([sign.box for sign in surface.signs if sign.box is not None])


def _region_of(surface: Surface, number: Any, signs: list[list[Annotation]]) -> dict[str, Any]:
    views = {ours: theirs for theirs, ours in VIEWS.items()}
    region = {
        "segm_idx": number, "view": views.get(surface.kind, surface.kind),
        "kind": "hull" if surface.box is None else "official", "bbox": _bbox(_face(surface)),
        "boxes": len(surface.signs),
        "lines": [[list(point) for point in line.path] for line in surface.lines if line.path],
    }  # fmt: skip
    if surface.id != str(number):
        region["id"] = surface.id
    if surface.column:
        region["column"] = surface.column
    rows, i = [], 0
    for line, own in zip(surface.lines, signs, strict=True):
        row = {key: value for key, value in records.to_dict(line).items() if key in LINE}
        if line.path:
            row["line"] = i
            i += 1
        rows.append({**row, "signs": [key for key, _ in own]})
    if rows != _rows_without(surface, signs):
        region["text_lines"] = rows
    return region | surface.extra


def _rows_without(surface: Surface, signs: list[list[Annotation]]) -> list[dict[str, Any]]:
    """What `text_lines` would say of the lines that a reader makes without it."""
    listed = sorted(
        (pair for line in signs for pair in line), key=lambda pair: pair[0] if isinstance(pair[0], int) else 0
    )
    keyed = [replace(sign, id=str(i)) for i, (_, sign) in enumerate(listed)]
    made = drawn.on_lines(keyed, [Line(path=line.path) for line in surface.lines if line.path])
    return [
        ({"line": i} if line.path else {"kind": "unplaced"})
        | {"signs": [listed[int(sign.id)][0] for sign in line.signs]}
        for i, line in enumerate(made)
    ]
