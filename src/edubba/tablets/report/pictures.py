"""Pictures of the page: the photograph made small enough, signs cut out of it, and the overlay with names."""

import base64
import functools
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from edubba.core.report.page import Sheet
from edubba.tablets.records import Box, Tablet
from edubba.tablets.report import places
from edubba.tablets.report.entries import State, entries

COLOURS: dict[State, str] = {
    "sure": "#19d3c5", "unsure": "#ffd23f", "abstained": "#ff6b9d", "damaged": "#ff9a3d", "unplaced": "#b79cff", "lost": "#b8b8b8",
}  # fmt: skip
"""seen on clay of every colour, on black and on white"""
DASHES: dict[State, str] = {"abstained": "3 2.5", "damaged": "9 2 2 2", "unplaced": "1.5 4", "lost": "1.5 4"}
"""SVG dashes beside the colours, for those who cannot tell them apart"""
LARGEST = 6_000_000
"""most pixels of the photograph on the page; users' own file has them all"""
EXAMPLE = 48
"""side of an example, pixels: sides that are multiples of 16 do not bleed into each other in JPEG"""
COLUMNS = 24
AROUND = 0.12
"""clay around a box, as a share of its longer side"""


def embedded(image: UInt8[np.ndarray, "h w 3"], limit: int) -> str:
    """The image as a JPEG data address of at most `limit` characters: first of less quality, then of fewer pixels."""
    picture = Image.fromarray(image)
    scale = min(1.0, math.sqrt(LARGEST / (picture.width * picture.height)))
    quality = 82
    while True:
        size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
        shown = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        encoded = io.BytesIO()
        shown.save(encoded, "JPEG", quality=quality)
        uri = "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
        if len(uri) <= limit or max(size) <= 16:
            return uri
        if quality > 64:
            quality -= 9
        else:
            scale *= min(0.95, 0.97 * math.sqrt(max(limit, 1) / len(uri)))


def laid(n: int, side: int) -> Sheet:
    """Where each of `n` square pictures stands in one image, which is not made yet."""
    columns = min(n, COLUMNS)
    return Sheet("", columns, math.ceil(n / columns), side)


def filled(sheet: Sheet, tiles: UInt8[np.ndarray, "n side side 3"], limit: int) -> Sheet:
    """The same with the image: a JPEG of at most `limit` characters."""
    side = sheet.side
    canvas = np.zeros((sheet.rows * sheet.columns, side, side, 3), np.uint8)
    canvas[: len(tiles)] = tiles
    canvas = canvas.reshape(sheet.rows, sheet.columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    whole = np.ascontiguousarray(canvas.reshape(sheet.rows * side, sheet.columns * side, 3))
    return replace(sheet, uri=embedded(whole, limit))


def cut(
    photograph: UInt8[np.ndarray, "h w 3"], boxes: Sequence[Box], *, side: int
) -> UInt8[np.ndarray, "n side side 3"]:
    """Each box in a square with what is around it, which is darkened."""
    whole = Image.fromarray(photograph)
    out = np.empty((len(boxes), side, side, 3), np.uint8)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        half = max(x1 - x0, y1 - y0, 1.0) * (0.5 + AROUND)
        left, top = (x0 + x1) / 2 - half, (y0 + y1) / 2 - half
        scale = side / (2 * half)
        # beyond the photograph it is black
        part = whole.transform(
            (side, side), Image.Transform.EXTENT, (left, top, left + 2 * half, top + 2 * half), Image.Resampling.BICUBIC
        )
        a, b, c, d = (round(scale * v) for v in (x0 - left, y0 - top, x1 - left, y1 - top))
        dark = np.asarray(part) * 0.45
        dark[b:d, a:c] = np.asarray(part)[b:d, a:c]
        out[i] = dark.round()
    return out


def squared(image: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "side side 3"]:
    """A thumbnail, grey or in colour and of any shape, in a square of `EXAMPLE` pixels; grey where it does not reach."""
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image).convert("RGB")
    scale = EXAMPLE / max(picture.size)
    small = picture.resize(
        (max(1, round(scale * picture.width)), max(1, round(scale * picture.height))), Image.Resampling.LANCZOS
    )
    square = Image.new("RGB", (EXAMPLE, EXAMPLE), (96, 92, 88))
    square.paste(small, ((EXAMPLE - small.width) // 2, (EXAMPLE - small.height) // 2))
    return np.asarray(square)


def overlay(tablet: Tablet, photograph: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph with every box in the colour of its state and its name inside, at the top.

    Where no name was given the first guess stands with a question mark. Names are set at 0.3 of the height of most
    signs, at least 9 and at most 40 pixels, smaller in boxes that are too narrow, and cut off where 7 pixels are too wide.
    """
    picture = Image.fromarray(photograph)
    draw = ImageDraw.Draw(picture)
    listed = entries(tablet)
    size = min(40, max(9, round(0.3 * places.tall(listed))))
    for entry, box in places.boxed(listed):
        x0, y0, x1, y1 = round(box.x0), round(box.y0), round(box.x1) - 1, round(box.y1) - 1
        if x1 <= x0 or y1 <= y0:
            continue
        draw.rectangle((x0, y0, x1, y1), outline=COLOURS[entry.state], width=max(1, size // 9))
        text, font = _fitting(entry.shown, x1 - x0 - 4, size)
        right, bottom = min(x1, x0 + round(font.getlength(text)) + 4), min(y1, y0 + round(1.3 * font.size))
        draw.rectangle((x0, y0, right, bottom), fill=COLOURS[entry.state])
        draw.text((x0 + 2, (y0 + bottom) / 2), text, fill="#141210", font=font, anchor="lm")
    return np.asarray(picture)


def _fitting(text: str, width: int, size: int) -> tuple[str, Any]:
    """The text and its font so that it is no wider than `width`, as far as can be."""
    while size > 7 and _font(size).getlength(text) > width:
        size -= 1
    font = _font(size)
    while len(text) > 1 and font.getlength(text) > width:
        text = text.removesuffix("…")[:-1] + ("…" if len(text) > 2 else "")
    return text, font


@functools.cache
def _font(size: int) -> Any:
    """DejaVu, which matplotlib brings: it has the letters of sign names (Š, Ḫ, ₂)."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"), size)
