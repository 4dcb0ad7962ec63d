"""DeepScribe's hotspots from OCHRE: a JSON list of photographs, each with its annotations.

`{file_name, height, width, image_id, annotations: [{bbox, bbox_mode, sign, reading, sign_id, reading_id,
category_id}]}`; `bbox_mode` 0 is [x0, y0, x1, y1], 1 is [x, y, width, height]. Both lists may also be objects with any
keys. All other keys are kept in `extra`.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from edubba.core import files
from edubba.core.errors import UserError
from edubba.tablets import records
from edubba.tablets.formats import drawn
from edubba.tablets.formats.coco import lacking as lacking
from edubba.tablets.records import Box, Line, Photograph, Sign, Surface, Tablet

CORNERS, SIZES = 0, 1


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """One tablet a photograph; its signs stand in the order of the file in a line of kind `unplaced`.

    Parameters
    ----------
    images
        Not needed: the file says how large the photographs are.

    Raises
    ------
    UserError
        It is no such file.
    """
    document = records.read_json(path)
    if not isinstance(document, list | dict):
        raise UserError(f"{path} is no list of photographs with annotations")
    made = []
    keys = list(document) if isinstance(document, dict) else [None] * len(document)
    entries = document.values() if isinstance(document, dict) else document
    for i, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        try:
            made.append(_tablet(entry, key))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: photograph {i if key is None else key} cannot be read ({type(error).__name__}: {error})"
            ) from None
    return made


def _tablet(entry: dict[str, Any], key: str | None) -> Tablet:
    extra = dict(entry)
    file, width, height = (extra.pop(name) for name in ("file_name", "width", "height"))
    annotations = extra.pop("annotations")
    about: dict[str, Any] = {} if key is None else {"key": key}
    if isinstance(annotations, dict):
        about["keyed"] = True
        signs = [_sign(row, name) for name, row in annotations.items()]
    else:
        signs = [_sign(row, "") for row in annotations]
    if about:
        extra["deepscribe"] = about
    return Tablet(
        id=PurePosixPath(file.replace("\\", "/")).stem, extra=extra,
        photograph=Photograph(file=file, width=int(width), height=int(height)),
        surfaces=(Surface(lines=(Line(kind="unplaced", signs=tuple(signs)),)),),
    )  # fmt: skip


def _sign(row: dict[str, Any], key: str) -> Sign:
    extra = dict(row)
    x0, y0, x1, y1 = (float(v) for v in extra.pop("bbox"))
    mode = extra.get("bbox_mode", CORNERS)
    if mode not in (CORNERS, SIZES):
        raise ValueError(f"bbox_mode {mode}, and 0 and 1 are known")
    if mode == CORNERS:
        extra.pop("bbox_mode", None)
    else:
        x1, y1 = x0 + x1, y0 + y1
    score = extra.pop("score", None)
    return Sign(
        id=key, name=extra.pop("sign", None) or None, reading=extra.pop("reading", None) or None,
        box=Box(x0, y0, x1, y1), score=None if score is None else float(score), extra=extra,
    )  # fmt: skip


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write photographs with the boxes, names and readings of their signs.

    Tablets without a photograph and signs without a box are left out; what is broken away gets no name.
    """
    tablets = [tablet for tablet in tablets if tablet.photograph is not None]
    boxed = [[sign for sign in tablet.signs if sign.box is not None] for tablet in tablets]
    every = [sign for signs in boxed for sign in signs]
    categories = {sign.name: sign.extra["category_id"] for sign in every if type(sign.extra.get("category_id")) is int}
    free = itertools.count(max([-1, *categories.values()]) + 1)
    for name in sorted({sign.name for sign in every if sign.name is not None} - categories.keys()):
        categories[name] = next(free)
    entries = []
    for i, (tablet, signs) in enumerate(zip(tablets, boxed, strict=True)):
        photograph, about = tablet.photograph, tablet.extra.get("deepscribe", {})
        assert photograph is not None
        rows = [_annotation(sign, categories) for sign in signs]
        keyed = about.get("keyed") and len({sign.id for sign in signs}) == len(signs)
        entries.append({
            "file_name": photograph.file, "height": photograph.height, "width": photograph.width, "image_id": i,
            **{key: value for key, value in tablet.extra.items() if key != "deepscribe"},
            "annotations": dict(zip((sign.id for sign in signs), rows, strict=True)) if keyed else rows,
        })  # fmt: skip
    keys = [tablet.extra.get("deepscribe", {}).get("key") for tablet in tablets]
    named = bool(keys) and None not in keys and len(set(keys)) == len(keys)
    document = dict(zip(keys, entries, strict=True)) if named else entries
    return files.write(Path(path), json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def _annotation(sign: Sign, categories: dict[str | None, int]) -> dict[str, Any]:
    assert sign.box is not None
    box = list(sign.box)
    if sign.extra.get("bbox_mode") == SIZES:
        box[2:] = drawn.size(sign.box.x0, sign.box.x1), drawn.size(sign.box.y0, sign.box.y1)
    name, reading = (sign.name or "", sign.reading or "") if sign.ink else ("", "")  # what is restored is no hotspot
    row = {"bbox": box, "bbox_mode": CORNERS, "sign": name, "reading": reading}
    if name in categories:
        row["category_id"] = categories[name]
    if sign.score is not None:
        row["score"] = sign.score
    return {**row, **sign.extra}
