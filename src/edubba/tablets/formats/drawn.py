"""Signs on drawn lines: which polyline a box belongs to, and the order of boxes along it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from edubba.tablets.records import Box, Line, Sign

OVERHANG = 0.1
"""what a pixel beyond a line's end counts beside one off the line: of two lines in a row the one that reaches a sign"""


def on_lines(signs: Sequence[Sign], lines: Sequence[Line]) -> tuple[Line, ...]:
    """The drawn lines, in the order they were drawn, with each sign on the line that is nearest its centre.

    Lines are prolonged straight at their ends; signs follow each other from left to right. What has no box, or all
    signs where no line is drawn, stands in one line of kind `unplaced` behind them, in the order given.
    """
    drawn = [line for line in lines if line.path]
    placed = [sign for sign in signs if sign.box is not None] if drawn else []
    rest = tuple(sign for sign in signs if not drawn or sign.box is None)
    centres = np.array([_centre(sign.box) for sign in placed if sign.box is not None], np.float64).reshape(-1, 2)
    off, along = np.empty((len(drawn), len(placed))), np.empty((len(drawn), len(placed)))
    for i, line in enumerate(drawn):
        off[i], along[i] = beside(centres, np.array(line.path, np.float64))
    nearest = off.argmin(0) if drawn else np.empty(0, int)
    made = []
    for i, line in enumerate(drawn):
        own = np.flatnonzero(nearest == i)
        order = own[np.argsort(along[i, own], kind="stable")]
        made.append(replace(line, signs=tuple(placed[j] for j in order)))
    return (*made, Line(kind="unplaced", signs=rest)) if rest else tuple(made)


def beside(
    points: Float64[np.ndarray, "n 2"], path: Float64[np.ndarray, "k 2"]
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """How far points lie off a polyline, and where along it from left to right (pixels).

    Beyond its ends the polyline goes on straight, and the way there counts by `OVERHANG`.
    """
    if path[-1, 0] < path[0, 0]:
        path = path[::-1]
    path = path[np.append(True, (np.diff(path, axis=0) != 0).any(1))]
    if len(path) < 2:
        path = np.concatenate([path, path + np.array([1.0, 0.0])])
    step = np.diff(path, axis=0)
    length = np.hypot(*step.T)
    t = ((points[:, None] - path[:-1]) * step).sum(-1) / length**2
    low, high = np.zeros(len(step)), np.ones(len(step))
    low[0], high[-1] = -np.inf, np.inf
    t = np.clip(t, low, high)
    off = np.hypot(*np.moveaxis(path[:-1] + t[..., None] * step - points[:, None], -1, 0))
    off += OVERHANG * length * np.maximum(0, np.maximum(-t, t - 1))
    best = off.argmin(1)
    rows = np.arange(len(points))
    start = np.append(0, np.cumsum(length)[:-1])
    return off[rows, best], start[best] + t[rows, best] * length[best]


def hull(boxes: Sequence[Box]) -> Box:
    """The rectangle around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def inside(box: Box, region: Box) -> bool:
    """Whether the centre of a box lies in a region."""
    x, y = _centre(box)
    return region.x0 <= x <= region.x1 and region.y0 <= y <= region.y1


def size(start: float | int, end: float | int) -> float | int:
    """The width or height of a box with the fewest decimals that give its end back, to the bit where any do."""
    whole = end - start
    return next((n for n in (round(whole, decimals) for decimals in range(9)) if start + n == end), round(whole, 9))


def _centre(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
