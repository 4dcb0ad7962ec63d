"""Clay tablets rendered from a font, with the true box and name of every sign: for the tour, tests and pretraining.

Nothing of a real tablet is in them: outlines are those of Noto Sans Cuneiform (SIL Open Font Licence 1.1), clay, breaks
and light are noise and geometry (`clay.py`), texts are invented (`rendering_texts.py`).
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8
from PIL import Image
from scipy import ndimage

from edubba import __version__
from edubba.core import files, progress, streams
from edubba.core.errors import UserError
from edubba.tablets import clay, records, rendering_texts
from edubba.tablets.formats import atf, coco
from edubba.tablets.records import Box, Damage, Line, Photograph, Sign, Step, Surface, Tablet
from edubba.tablets.rendering_wedges import HANDS, SEEN, Place, Point, layout, pressed, ruled, shape

INTACT, LOST = 0.75, 0.12
"""shares of a sign's wedges: with more than the first left it is intact, with less than the second broken"""
SPLIT = {"train": 0.7, "val": 0.1, "test": 0.2}
LEAST = 0.7
"""least side of a box in a set, sign heights"""
MORE = 1_000_000
"""number of the first text that is written on no tablet"""


@dataclass(frozen=True)
class Rendering:
    """A photograph of a tablet that never was, and all that is known of it."""

    photograph: UInt8[np.ndarray, "h w 3"]
    tablet: Tablet
    ink: Int32[np.ndarray, "h w"]
    """whose wedges can be seen: 0 nobody's, i + 1 those of the i-th of `tablet.signs`"""
    left: Float64[np.ndarray, " signs"]
    """share of each sign's wedges that wear and breaks have left"""
    jpeg: bytes
    """the file that `photograph` was read from"""


def render(
    lines: Sequence[Sequence[str | Sign]], *, seed: int, sign_height: float = 42.0, damage: float = 0.1,
    wear: float = 0.15, azimuth: float | None = None, margin: float = 0.05, least: float = 0.0, id: str = "rendered",
    surface: str = "obverse",
) -> Rendering:  # fmt: skip
    """A tablet with these lines on its one face.

    Parameters
    ----------
    lines
        Names of the sign list, or signs with a name: their id, box and damage are set, the rest stays.
    seed
        Of everything that is drawn: hand, layout, clay, light, wear, breaks, camera.
    sign_height
        Of the box of an upright wedge, pixels; at least 12.
    damage
        About the share of the surface that is lost, 0 to 1.
    wear
        About the share of the surface that is worn, 0 to 1.
    azimuth
        Where the lamp stands, degrees, 0 to the right and 90 above; None: drawn, mostly at the upper left.
    margin
        What a box leaves free around the wedges, in sign heights, as people draw boxes.
    least
        Least side of a box, in sign heights: around a flat sign people draw a box about as high as the line.
    id, surface
        What the tablet and its face are called.

    Returns
    -------
    Rendering
        A sign of which next to nothing is left is `broken` and has no box; the box of a damaged one lies around what is
        left. The path of a line runs through the middles of its boxes.

    Raises
    ------
    UserError
        No signs, an unknown name, a sign that the font has not, or a number out of range.
    """
    signs = [[sign if isinstance(sign, Sign) else Sign(name=sign) for sign in line] for line in lines]
    if not signs or not all(signs):
        raise UserError("a tablet needs at least one line, and a line at least one sign")
    for name, value in (("damage", damage), ("wear", wear)):
        if not 0 <= value <= 1:
            raise UserError(f"{name} is {value}: it must be a share from 0 to 1")
    if not sign_height >= 12:
        raise UserError(f"sign_height is {sign_height}: signs of less than 12 pixels cannot be rendered")
    unit = sign_height * (1 - 2 * margin)
    hand = int(HANDS * clay.draw(seed, "hand", k=1)[0])
    shapes = [[shape(sign.name or "", hand) for sign in line] for line in signs]
    plan = layout(shapes, unit=unit, seed=seed)
    frame = _frame(plan.half, unit, seed)
    places = [frame.place(place) for row in plan.places for place in row]
    field = clay.Ground(frame.size, frame.centre, plan.half, frame.turn, unit, seed)

    fresh, ink = pressed(frame.size, [s for line in shapes for s in line], places, unit=unit, seed=seed)
    body, whole = clay.body(field)
    breaks = clay.breaks(field, damage=damage)
    there = whole & ~breaks.gone
    written = there & ~breaks.broken
    depth = np.where(written, clay.worn(fresh, field, amount=wear), 0)
    left = _left(ink, fresh, depth, len(places))
    ink[depth < SEEN * unit] = 0
    rulings = ruled(frame.size, [[frame.point(x, y) for x, y in line] for line in plan.rulings], unit=unit)
    grooves = depth + np.where(written, rulings, 0)
    # what is pressed away rises beside the wedge
    height = body - grooves + 0.22 * clay.blurred(grooves, 0.1 * unit) - breaks.drop + clay.grain(field)
    lamp = clay.lamp(seed, azimuth)
    diffuse, mirrored = clay.shade(np.where(there, height, 0), lamp, unit=unit)
    colour = clay.painted(field, breaks, grooves)
    jpeg = clay.exposed(field, colour, diffuse, mirrored, there, lamp, bar=frame.bar)

    boxes = [
        _box(at, ink.shape, margin * sign_height, least * sign_height) for at in ndimage.find_objects(ink, len(places))
    ]
    rows, columns = ndimage.find_objects(there.astype(np.int32))[0]
    face = Surface(
        id="0", kind=surface, lines=_lines(signs, boxes, left),
        box=Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)),
    )  # fmt: skip
    photograph = Photograph(
        file=f"{id}.jpg", width=frame.size[1], height=frame.size[0], sha256=hashlib.sha256(jpeg).hexdigest()
    )
    settings = {
        "seed": seed, "sign_height": sign_height, "damage": damage, "wear": wear, "azimuth": azimuth, "margin": margin,
    }  # fmt: skip
    step = Step(what="render", by=f"edubba {__version__}", settings=settings)
    tablet = Tablet(id=id, photograph=photograph, surfaces=(face,), steps=(step,))
    return Rendering(np.array(Image.open(io.BytesIO(jpeg))), tablet, ink, left, jpeg)


@dataclass(frozen=True)
class Frame:
    """How a tablet lies in its photograph."""

    size: tuple[int, int]
    """height and width of the photograph"""
    centre: Point
    turn: float
    bar: float
    """height of the strip below the tablet with a scale bar; 0: none"""

    def point(self, x: float, y: float) -> Point:
        """Where a point lies that is given about the tablet's centre."""
        cos, sin = float(np.cos(self.turn)), float(np.sin(self.turn))
        return self.centre[0] + x * cos - y * sin, self.centre[1] + x * sin + y * cos

    def place(self, place: Place) -> Place:
        """The same for a sign."""
        x, y = self.point(place.x, place.y)
        return place._replace(x=x, y=y, turn=place.turn + self.turn)


def _frame(half: Point, unit: float, seed: int) -> Frame:
    u = clay.draw(seed, "frame", k=3)
    turn, edge, bar = 0.1 * (u[0] - 0.5), unit * (0.5 + u[1]), 1.3 * unit if u[2] < 0.4 else 0.0
    cos, sin = float(np.cos(turn)), abs(float(np.sin(turn)))
    centre = half[0] * cos + half[1] * sin + edge, half[1] * cos + half[0] * sin + edge
    return Frame((round(2 * centre[1] + bar), round(2 * centre[0])), centre, turn, bar)


def _left(
    ink: Int32[np.ndarray, "h w"], fresh: Float32[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"], n: int
) -> Float64[np.ndarray, " n"]:
    """Share of each sign's wedges where more than a third of the depth is left."""
    before = np.bincount(ink.ravel(), minlength=n + 1)[1:]
    after = np.bincount(ink[3 * depth > fresh], minlength=n + 1)[1:]
    return after / np.maximum(before, 1)


def _box(at: tuple[slice, slice] | None, shape: tuple[int, ...], margin: float, least: float) -> Box | None:
    """A box around rows and columns, inside the picture."""
    if at is None:
        return None
    rows, columns = at
    free = [max(margin, (least - (side.stop - side.start)) / 2) for side in (columns, rows)]
    return Box(
        max(0.0, columns.start - free[0]), max(0.0, rows.start - free[1]),
        min(float(shape[1]), columns.stop + free[0]), min(float(shape[0]), rows.stop + free[1]),
    )  # fmt: skip


def _lines(
    signs: Sequence[Sequence[Sign]], boxes: Sequence[Box | None], left: Float64[np.ndarray, " n"]
) -> tuple[Line, ...]:
    """The lines with what became of their signs."""
    lines, k = [], 0
    for i, line in enumerate(signs):
        made = []
        for sign in line:
            box, share = boxes[k], left[k]
            state: Damage = "broken" if box is None or share < LOST else "damaged" if share < INTACT else "intact"
            made.append(replace(sign, id=str(k), damage=state, box=None if state == "broken" else box))
            k += 1
        lines.append(Line(id=str(i), label=str(i + 1), signs=tuple(made), path=_path([s.box for s in made if s.box])))
    return tuple(lines)


def _path(boxes: Sequence[Box]) -> tuple[Point, ...]:
    """From the left of the first box through the middles of all to the right of the last."""
    if not boxes:
        return ()
    middles = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in boxes]
    return ((boxes[0].x0, middles[0][1]), *middles, (boxes[-1].x1, middles[-1][1]))


def texts(seed: int, n: int) -> list[Tablet]:
    """Invented texts, the i-th of which depends on seed and i alone; signs have names, readings, roles and words.

    `render(lines_of(text), ...)` writes one on clay.
    """
    documents = "\n".join(rendering_texts.document(seed, i) for i in range(n))
    return atf.tablets_of(atf.parse(documents, dialect="c-atf"))


def lines_of(text: Tablet) -> list[tuple[Sign, ...]]:
    """The signs of each line of text."""
    return [line.signs for surface in text.surfaces for line in surface.lines if line.kind == "text"]


def make_set(
    out: str | Path, *, tablets: int, seed: int = 0, split: Mapping[str, float] = SPLIT, sign_height: float = 42.0,
    damage: float = 0.1, wear: float = 0.15, more_texts: int = 0,
) -> Path:  # fmt: skip
    """Photographs of rendered tablets with annotations, and texts for a restorer, in a folder.

    `images/*.jpg`; `annotations_coco.json` (COCO with `regions` and `lines`); `texts.atf`, those of the tablets that are
    not of the split `test`, and `more_texts` besides. What is there already is kept: a set that was interrupted goes on,
    and one that is asked for more tablets grows, since no tablet depends on their number.

    Parameters
    ----------
    split
        Shares of the splits; every stretch of tablets has about these.
    damage, wear
        Their mean over tablets; single ones have from none to three times as much.

    Raises
    ------
    UserError
        The folder holds a set that was made otherwise.
    """
    out = Path(out)
    settings = {
        "seed": seed, "split": dict(split), "sign_height": sign_height, "damage": damage, "wear": wear,
        "edubba": __version__,
    }  # fmt: skip
    if not split or min(split.values()) < 0 or sum(split.values()) <= 0:
        raise UserError("split must give shares: each at least 0, and their sum more than 0")
    _begin(out / "set.json", settings)
    made = []
    with progress.bar("rendering", tablets, unit="tablets") as show:
        for i, text in enumerate(texts(seed, tablets)):
            kept = out / "records" / f"{text.id}.json"
            if kept.exists():
                made += records.read(kept)
            else:
                lost, rubbed = np.minimum(
                    3 * np.array([damage, wear]) * np.square(clay.draw(seed, "set", i, k=2)), 1
                ).tolist()
                drawn = render(
                    lines_of(text), seed=streams.key(seed, "tablets/set", i), sign_height=sign_height, damage=lost,
                    wear=rubbed, id=text.id,
                )  # fmt: skip
                made.append(_placed(drawn.tablet, text, split_of(i, split)))
                files.write(out / "images" / f"{text.id}.jpg", drawn.jpeg)
                records.write(made[-1:], kept)
            show(i + 1)
    coco.write(made, out / "annotations_coco.json")
    known = [i for i, tablet in enumerate(made) if tablet.extra["split"] != "test"]
    documents = [rendering_texts.document(seed, i) for i in (*known, *range(MORE, MORE + more_texts))]
    files.write(out / "texts.atf", "\n".join(documents))
    return out


def split_of(i: int, split: Mapping[str, float]) -> str:
    """The split of the i-th tablet: multiples of the golden ratio fall evenly on the shares, however many there are."""
    at = (i * 0.6180339887498949 + 0.5) % 1 * sum(split.values())
    for name, share in split.items():
        at -= share
        if at < 0:
            return name
    return [name for name, share in split.items() if share > 0][-1]


def _begin(path: Path, settings: dict[str, Any]) -> None:
    """Write what a set is made with, or refuse where another one lies."""
    text = json.dumps(settings, indent=1, ensure_ascii=False) + "\n"
    if not path.exists():
        files.write(path, text)
    elif path.read_text("utf-8") != text:
        raise UserError(
            f"{path.parent} holds a set that was made with other settings ({path.name}): take another folder"
        )


def _placed(tablet: Tablet, text: Tablet, split: str) -> Tablet:
    """A rendered tablet as part of a set."""
    assert tablet.photograph is not None
    photograph = replace(tablet.photograph, file=f"images/{tablet.photograph.file}")
    return replace(tablet, photograph=photograph, name=text.name, language=text.language, extra={"split": split})
