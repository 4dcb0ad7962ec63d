"""Where boxes and lines of writing lie in the photograph, in its pixels, as SVG wants them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from edubba.tablets.records import Box, Line
from edubba.tablets.report.entries import Entry

STEEPEST = math.radians(20)
"""most that the picture of a line is turned"""

Rectangle = tuple[int, int, int, int]
"""left, top, width, height"""


def rectangle(box: Box) -> Rectangle:
    return round(box.x0), round(box.y0), max(1, round(box.x1 - box.x0)), max(1, round(box.y1 - box.y0))


def boxed(listed: Sequence[Entry]) -> list[tuple[Entry, Box]]:
    """The signs that have a box."""
    return [(entry, entry.sign.box) for entry in listed if entry.sign.box is not None]


def tall(listed: Sequence[Entry]) -> float:
    """Median height of the boxes; 42 where there are none."""
    heights = [box.y1 - box.y0 for _, box in boxed(listed)]
    return max(1.0, float(np.median(heights))) if heights else 42.0


def path(line: Line, height: float) -> tuple[str, str, int, int] | None:
    """A line of writing over the photograph: its label, its points, and where the label ends.

    Parameters
    ----------
    height
        Of most signs.
    """
    boxes = [sign.box for sign in line.signs if sign.box is not None]
    points = line.path or tuple(((b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2) for b in boxes)
    if line.kind != "text" or not points:
        return None
    start = min(points[0][0], *(box.x0 for box in boxes)) if boxes else points[0][0]
    return line.label, " ".join(f"{x:.0f},{y:.0f}" for x, y in points), round(start - 0.2 * height), round(points[0][1])


@dataclass(frozen=True)
class Strip:
    """The piece of the photograph that shows one line, turned so that the line is level."""

    width: int
    height: int
    turn: str
    """SVG transformation of the photograph"""
    boxes: list[tuple[Entry, Rectangle]]


def strip(line: Sequence[Entry]) -> Strip | None:
    """The strip of a line's boxes with a fifth of a sign around them; None where it has no boxes."""
    boxes = boxed(line)
    if not boxes:
        return None
    corners = np.array([[(b.x0, b.y0), (b.x1, b.y0), (b.x1, b.y1), (b.x0, b.y1)] for _, b in boxes])
    centre, angle = corners.mean((0, 1)), slope(corners.mean(1))
    back = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    level = (corners - centre) @ back.T + centre
    margin = 0.2 * float(np.median(corners[:, 2, 1] - corners[:, 0, 1]))
    (left, top), (right, bottom) = level.min((0, 1)) - margin, level.max((0, 1)) + margin
    turn = f"translate({-left:.1f} {-top:.1f}) rotate({-math.degrees(angle):.2f} {centre[0]:.1f} {centre[1]:.1f})"
    placed = [(entry, rectangle(box)) for entry, box in boxes]
    return Strip(max(1, round(right - left)), max(1, round(bottom - top)), turn, placed)


def slope(centres: Float[np.ndarray, "n 2"]) -> float:
    """How far a line through centres is turned, in radians; 0 where fewer than three or a column of them tell nothing."""
    if len(centres) < 3 or np.ptp(centres[:, 0]) <= np.ptp(centres[:, 1]):
        return 0.0
    rise = float(np.polyfit(centres[:, 0], centres[:, 1], 1)[0])
    return max(-STEEPEST, min(STEEPEST, math.atan(rise)))
