"""Signs as a stylus presses them: outlines of a font as grooves, their places on a tablet, the field of all impressions.

Lengths are in pixels, angles in radians, depths in pixels below the surface.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from edubba.core import streams
from edubba.core.errors import UserError
from edubba.tablets import clay

FONT = Path(__file__).parents[1] / "data" / "NotoSansCuneiform-Regular.ttf"
UPRIGHT = "𒁹"
"""one upright wedge: what heights are measured by"""
CAP = 96
"""its height in the master of a shape"""
RIM = 12
"""free pixels around a master"""
HANDS = 6
"""ways to hold a stylus"""
SEEN = 0.015
"""depth at which ink begins, in sign heights"""

Point = tuple[float, float]


class Shape(NamedTuple):
    """A sign as a hand presses it."""

    depth: Float32[np.ndarray, "h w"]
    """in pixels of the master, nothing but wedges"""
    offset: float
    """how far its centre lies below that of an upright wedge, in heights of one"""


class Place(NamedTuple):
    """Where a sign is pressed: its centre, its size and its turn."""

    x: float
    y: float
    width: float
    height: float
    turn: float


class Layout(NamedTuple):
    """Places of signs, row by row, and of drawn lines, about the centre of a tablet; half of its width and height."""

    places: list[list[Place]]
    rulings: list[list[Point]]
    half: Point


@lru_cache(maxsize=1024)
def shape(name: str, hand: int) -> Shape:
    """A sign's outline as V-shaped grooves, one wall steep and one flat, as the corner of a stylus leaves them.

    Parameters
    ----------
    name
        In the sign list; a ligature (`AN+AK`) is pressed as one sign.
    hand
        0 to `HANDS` - 1: how much wider strokes are than the font's, which walls are steep, and how steep.

    Raises
    ------
    UserError
        No such sign, or the font cannot draw it.
    """
    u = clay.draw(0, "hands", hand, k=4)
    font, text = _font(), characters(name)
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 2 * RIM, int(bottom - top) + 2 * RIM))
    ImageDraw.Draw(canvas).text((RIM - left, RIM - top), text, font=font, fill=255)
    inside = np.asarray(canvas) > 127
    # a wall is steep where the outline faces the side on which the stylus is held
    side = np.deg2rad(135 + 50 * (u[1] - 0.5))
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 2)
    facing = np.gradient(soft, axis=0) * np.sin(side) - np.gradient(soft, axis=1) * np.cos(side) > 0
    steep, flat = (
        ndimage.distance_transform_edt(where).astype(np.float32) for where in (inside | ~facing, inside | facing)
    )
    slope = np.float32(0.6 + 0.3 * u[3])
    groove = np.minimum(steep * np.float32(1.1 + 0.8 * u[2]), flat * slope)
    # a stylus presses wider strokes than a font draws: the outline lies part of the way down its walls, of which the flat
    # one reaches farther, and a crest stays between two strokes
    beyond, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
    down = 0.8 * slope * np.float32(3.5 + 3.5 * u[0])
    wall = np.where(facing[row, column], 1.3 * slope, 0.45 * slope).astype(np.float32)
    depth = np.where(inside, groove + down, down - wall * beyond.astype(np.float32))
    depth = ndimage.gaussian_filter(np.maximum(depth, 0), 1.0)
    rows, columns = ndimage.find_objects((depth > 0.5).astype(np.int32))[0]
    _, high, _, low = font.getbbox(UPRIGHT)
    middle = top - RIM + (rows.start + rows.stop) / 2
    return Shape(depth[rows, columns], (middle - (high + low) / 2) / CAP)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(FONT, 100, layout_engine=ImageFont.Layout.BASIC)
    _, top, _, bottom = font.getbbox(UPRIGHT)
    return font.font_variant(size=100 * CAP / (bottom - top))


def characters(name: str) -> str:
    """The characters that a sign is drawn with.

    Raises
    ------
    UserError
        No such sign (the nearest are said), or the font has them not.
    """
    from edubba.tablets import signlist

    known = signlist.load()
    parts = known.parts(name)
    if not parts:
        near = ", ".join(known.nearest(name))
        raise UserError(f"no sign is called {name!r}, so it cannot be rendered: the nearest are {near}")
    text = "".join(part.chars for part in parts)
    # what a font draws for a character that no font has
    if not all(part.chars for part in parts) or any(_drawn(c) == _drawn("\U0010ffff") for c in text):
        raise UserError(f"the font has no outline of the sign {name!r}, so it cannot be rendered: take another sign")
    return text


def _drawn(character: str) -> bytes:
    canvas = Image.new("L", (2 * CAP, 2 * CAP))
    ImageDraw.Draw(canvas).text((0, 0), character, font=_font(), fill=255)
    return canvas.tobytes()


def layout(shapes: Sequence[Sequence[Shape]], *, unit: float, seed: int) -> Layout:
    """Where signs stand: rows are tilted and bent, all in the same way and each in its own, and unequally spaced.

    Rows much longer than others are squeezed, and those that almost reach the right margin are drawn out to it, as
    scribes do.

    Parameters
    ----------
    unit
        Height of an upright wedge.
    """
    u = clay.draw(seed, "layout", k=8)
    gap, pitch = unit * (0.1 * u[0] - 0.02), unit * (1.08 + 0.17 * u[1])
    most = max(map(len, shapes))
    row = streams.uniform(seed, "tablets/layout/rows", index=np.arange(len(shapes)), k=4) - 0.5
    sign = [
        streams.uniform(seed, "tablets/layout/signs", i, index=np.arange(most), k=6) - 0.5 for i in range(len(shapes))
    ]
    sizes = [_sizes(line, own, unit) for line, own in zip(shapes, sign, strict=True)]
    lengths = [float(size[:, 0].sum()) + gap * (len(size) - 1) for size in sizes]
    full = min(max(lengths), max(1.25 * float(np.median(lengths)), 3 * unit))
    half = full / 2 + unit * (0.35 + 0.35 * u[2]), len(shapes) * pitch / 2 + unit * (0.25 + 0.35 * u[3])
    slope, bend = 0.05 * (u[4] - 0.5), 0.5 * unit * (u[5] - 0.5)
    places = []
    for i, (size, line, own) in enumerate(zip(sizes, shapes, sign, strict=True)):
        squeeze = min(1, full / lengths[i])
        spare = full - lengths[i] * squeeze
        spread = np.where(np.arange(len(size)), 0.8 + own[: len(size), 2], 0)
        spread *= spare / max(spread.sum(), 1e-6) if lengths[i] > (0.5 + 0.4 * u[6]) * full else 0
        tilt, middle = slope + 0.02 * row[i, 1], (i - (len(shapes) - 1) / 2) * pitch + 0.14 * unit * row[i, 2]
        x = -full / 2 + min(spare, 0.1 * unit * (row[i, 0] + 0.5))
        found = []
        for j, (width, height) in enumerate((size * [squeeze, 1]).tolist()):
            x += float(spread[j] + gap * squeeze * (1 + own[j, 3]) * (j > 0))
            at = x + width / 2
            y = (
                middle
                + tilt * at
                + bend * ((at / half[0]) ** 2 - 0.3)
                + unit * (0.1 * own[j, 4] + 0.75 * line[j].offset)
            )
            turn = np.arctan(tilt + 2 * bend * at / half[0] ** 2) + 0.1 * own[j, 5]
            found.append(Place(at, float(y), width, height, float(turn)))
            x += width
        places.append(found)
    between = [i for i in range(len(shapes) - 1) if u[7] < 0.35 and row[i, 3] < -0.25]
    along = (np.linspace(-0.97, 0.97, 12) * half[0]).tolist()
    rulings = [
        [(x, (i + 1 - len(shapes) / 2) * pitch + slope * x + bend * ((x / half[0]) ** 2 - 0.3)) for x in along]
        for i in between
    ]
    return Layout(places, rulings, half)


def _sizes(line: Sequence[Shape], own: Float64[np.ndarray, "most 6"], unit: float) -> Float64[np.ndarray, "n 2"]:
    """Width and height of the signs of a row; tall ones are made lower and flat ones taller than a font has them."""
    size = np.array([s.depth.shape[::-1] for s in line]) / CAP
    scale = 1 + 0.16 * own[: len(line), :1]
    stretch = np.stack([1 + 0.16 * own[: len(line), 1], size[:, 1] ** -0.25], 1)
    return size * scale * stretch * unit


def pressed(
    size: tuple[int, int], shapes: Sequence[Shape], places: Sequence[Place], *, unit: float, seed: int
) -> tuple[Float32[np.ndarray, "h w"], Int32[np.ndarray, "h w"]]:
    """Depth of all signs in a plane, and whose wedge is deepest: 0 nobody's, i + 1 the i-th sign's.

    Each sign is sheared, bent by quadratic terms, and pressed with a force of its own.
    """
    depth, ink = np.zeros(size, np.float32), np.zeros(size, np.int32)
    force = 1.2 + 0.9 * clay.draw(seed, "force", k=1)[0]
    drawn = streams.uniform(seed, "tablets/pressed", index=np.arange(len(places)), k=8).astype(np.float32) - 0.5
    for i, (place, sign, u) in enumerate(zip(places, shapes, drawn, strict=True)):
        reach = int(0.6 * np.hypot(place.width, place.height)) + 2
        top, left = max(0, round(place.y) - reach), max(0, round(place.x) - reach)
        here = np.s_[top : max(0, round(place.y) + reach), left : max(0, round(place.x) + reach)]
        rows, columns = depth[here].shape
        x = np.arange(left, left + columns, dtype=np.float32) - np.float32(place.x)
        y = np.arange(top, top + rows, dtype=np.float32)[:, None] - np.float32(place.y)
        cos, sin = np.float32(np.cos(place.turn)), np.float32(np.sin(place.turn))
        a, b = (x * cos + y * sin) / np.float32(place.width), (y * cos - x * sin) / np.float32(place.height)
        shear = np.float32(0.12 * place.height / place.width) * u[0]
        bent = a + b * (shear + 0.2 * (u[1] * b + u[2] * a)) + 0.2 * u[3] * a * a
        down = b + 0.2 * (u[4] * a * a + u[5] * a * b + u[6] * b * b)
        h, w = sign.depth.shape
        at = np.stack([(down + 0.5) * h - 0.5, (bent + 0.5) * w - 0.5])
        patch = ndimage.map_coordinates(sign.depth, at, order=1, output=np.float32)
        patch *= np.float32(unit / CAP * force * (1 + 0.4 * float(u[7])))
        ink[here][(patch > depth[here]) & (patch > SEEN * unit)] = i + 1
        np.maximum(depth[here], patch, out=depth[here])
    return depth, ink


def ruled(size: tuple[int, int], rulings: Sequence[Sequence[Point]], *, unit: float) -> Float32[np.ndarray, "h w"]:
    """Depth of lines drawn with the edge of a stylus."""
    if not rulings:
        return np.zeros(size, np.float32)
    canvas = Image.new("L", (size[1], size[0]))
    for points in rulings:
        ImageDraw.Draw(canvas).line(list(points), fill=255, width=max(1, round(0.05 * unit)))
    return clay.blurred(np.asarray(canvas, np.float32) / 255, 0.025 * unit) * np.float32(0.07 * unit)
