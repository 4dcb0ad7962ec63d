"""The order of signs: boxes into lines, from left to right and from top to bottom.

Lengths are in median heights of the boxes, so the size of the photograph does not matter. Three steps are repeated,
each time over wider gaps: every sign takes one right neighbour (a one-to-one assignment); the links say how rows run
in every part of the face; along these rows every sign is carried to one upright, where a row is a level. Tilt,
curvature, fanning rows and shifted fragments are all in this one field of slopes, and a gap is bridged as the rows
above and below it run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from edubba.core import streams
from edubba.core.errors import UserError

GAPS = (3.0, 6.0, 12.0, 25.0, 25.0)
"""widest gap bridged in each repetition"""
OFF = 0.5
"""signs further than this from each other's level are in two rows: touching rows are 0.8 apart"""
ALONE = 0.75
"""a single sign nearer than this to the row above and to the row below has no room for a row of its own"""
COLUMN, COLUMN_ROWS = 0.3, 5.0
"""a strip so wide, empty along so many heights with signs on both sides, parts two columns"""
FACE_X, FACE_Y = 2.0, 2.5
"""empty strips that part faces: upright ones and level ones"""


@dataclass(frozen=True)
class Lines:
    """Signs in reading order: each index of a box is in one line or in `unplaced`."""

    lines: list[Int[np.ndarray, "_"]]
    """top to bottom, the signs of each from left to right"""
    unplaced: Int[np.ndarray, "_"]
    """signs that fit no line, in the order of the boxes"""
    paths: list[Float[np.ndarray, "_ 2"]]
    """for each line a polyline in pixels: left edge of its first sign, the centres, right edge of its last sign"""
    height: float
    """median height of the boxes, the unit of every threshold; 0 without boxes"""


def find(boxes: Float[np.ndarray, "n 4"], *, scores: Float[np.ndarray, "n"] | None = None) -> Lines:
    """Lines of one face, in reading order; one column after the other where an empty strip parts columns.

    Parameters
    ----------
    boxes
        Left, top, right, bottom. Misses, false alarms and boxes found twice are expected.
    scores
        How sure each box is: of boxes found twice, the surest speaks for the others, without scores the largest. All of
        them are placed in the same line.

    Raises
    ------
    UserError
        A box is empty or not finite.
    """
    boxes = _checked(boxes)
    if not len(boxes):
        return Lines([], np.arange(0), [], 0.0)
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    trust = area if scores is None else scores
    canonical = np.lexsort((trust, *boxes.T))  # the order in which boxes are given decides nothing
    units = boxes[canonical] / height
    speaker = _speakers(units, np.lexsort((-area[canonical], -trust[canonical])))
    speakers = np.flatnonzero(speaker == np.arange(len(units)))
    lines = [line for column in _columns(units, speakers) for line in _lines(units, column)]
    placed = [np.flatnonzero(np.isin(speaker, line)) for line in lines]
    placed = [canonical[line[np.argsort(_centres(units)[line, 0], kind="stable")]] for line in placed]
    rest = np.setdiff1d(np.arange(len(boxes)), np.concatenate([*placed, np.arange(0)]))
    return Lines(placed, rest, [_path(boxes, line) for line in placed], height)


def faces(boxes: Float[np.ndarray, "n 4"]) -> list[Int[np.ndarray, "_"]]:
    """Signs of a whole photograph by face: obverse, edges and reverse lie apart, as a fat cross.

    Empty strips part the boxes as long as one is wide enough, level ones before upright ones. Lone boxes, such as false
    alarms between faces, close no strip: each joins the nearest face, or is one itself.

    Returns
    -------
    Indices of the boxes of each face, faces from top to bottom, side by side from left to right.
    """
    boxes = _checked(boxes)
    if not len(boxes):
        return []
    units = boxes / np.median(boxes[:, 3] - boxes[:, 1])
    apart = _apart(units, units)
    np.fill_diagonal(apart, np.inf)
    lone = apart.min(1) > 0.5  # in units of the strips' widths
    if lone.all():
        lone[:] = False
    found = _cut(units, np.flatnonzero(~lone))
    alone = []
    for i in np.flatnonzero(lone):
        distance = [_apart(units[[i]], units[face]).min() for face in found]
        nearest = int(np.argmin(distance))
        if distance[nearest] < 1:
            found[nearest] = np.append(found[nearest], i)
        else:
            alone.append(np.array([i]))
    found = [np.sort(face) for face in found]
    for face in alone:  # in front of the first face that begins below it
        top = units[face[0], 1]
        below = [k for k, other in enumerate(found) if units[other, 1].min() > top]
        found.insert(below[0] if below else len(found), face)
    return found


def ransac(boxes: Float[np.ndarray, "n 4"], *, seed: int = 0) -> Lines:
    """The baseline: straight lines through the centres, the one with the most signs first (Fischler and Bolles 1981).

    300 random pairs for each line, signs within half a height of it, slopes up to 0.35; signs left over are unplaced.
    """
    boxes = _checked(boxes)
    if not len(boxes):
        return Lines([], np.arange(0), [], 0.0)
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    centres = _centres(boxes) / height
    left, lines = np.arange(len(boxes)), []
    while len(left) > 1:
        pair = left[(streams.uniform(seed, "ransac", len(lines), index=np.arange(300), k=2) * len(left)).astype(int)]
        (x, y), (dx, dy) = centres[pair[:, 0]].T, (centres[pair[:, 1]] - centres[pair[:, 0]]).T
        usable = (dx != 0) & (np.abs(dy) <= 0.35 * np.abs(dx))
        if not usable.any():
            break
        slope = dy[usable] / dx[usable]
        at = y[usable, None] + slope[:, None] * (centres[left, 0] - x[usable, None])
        near = np.abs(at - centres[left, 1]) <= 0.5
        best = near[near.sum(1).argmax()]
        lines.append(left[best])
        left = left[~best]
    lines = [line[np.argsort(centres[line, 0], kind="stable")] for line in lines]
    lines.sort(key=lambda line: float(centres[line, 1].mean()))
    return Lines(lines, left, [_path(boxes, line) for line in lines], height)


class Agreement(NamedTuple):
    """How well lines agree with the true ones, over the signs that both know."""

    precision: float
    """of pairs of signs said to share a line, the share that do; 1 without pairs"""
    recall: float
    """of pairs that share a line, the share found; 1 without pairs"""
    f1: float
    neighbours: float
    """F1 of ordered pairs of successive signs"""
    tau: float
    """Kendall's tau of the reading order, pairs with an unplaced sign counting 0; 1 with fewer than two signs"""
    lines: int
    """lines found minus true lines, those without a sign that both know left out"""


def scores(
    true_lines: Sequence[Int[np.ndarray, "_"]],
    found_lines: Sequence[Int[np.ndarray, "_"]],
    *,
    match: Int[np.ndarray, "m"] | None = None,
) -> Agreement:
    """Compare lines with the true ones.

    Missed signs and false alarms are the detector's affair and are left out; an unplaced sign shares no line, follows
    nothing, and agrees with no order.

    Parameters
    ----------
    true_lines, found_lines
        Indices of signs in reading order.
    match
        For each detection, by its index, the true sign that it is, or -1. None: the indices are the same.

    Raises
    ------
    UserError
        A sign stands in two places.
    """
    true = [[int(i) for i in line] for line in true_lines]
    found = [[int(i) for i in line] for line in found_lines]
    if match is not None:
        known = {int(i) for i in match if i >= 0}
        true = [[i for i in line if i in known] for line in true]
        found = [[int(match[i]) for i in line if match[i] >= 0] for line in found]
    signs = [i for line in true for i in line]
    found = [[i for i in line if i in set(signs)] for line in found]
    true, found = [line for line in true if line], [line for line in found if line]
    for what, lines in (("true", true), ("found", found)):
        flat = [i for line in lines for i in line]
        if len(set(flat)) < len(flat):
            twice = next(i for i in flat if flat.count(i) > 1)
            raise UserError(f"sign {twice} stands twice in the {what} lines: each sign has one place")

    place = {i: k for k, i in enumerate(signs)}
    row, rank = np.full((2, len(signs)), -1), np.full((2, len(signs)), -1)
    for side, lines in enumerate((true, found)):
        at = [place[i] for line in lines for i in line]
        row[side, at] = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        rank[side, at] = np.arange(len(at))
    upper = np.triu(np.ones((len(signs),) * 2, bool), 1)
    same = (row[:, :, None] == row[:, None]) & (row[:, :, None] >= 0) & upper
    both, pairs = (same[0] & same[1]).sum(), same.sum((1, 2))
    order = np.sign(rank[1][None] - rank[1][:, None]) * (rank[1] >= 0) * (rank[1] >= 0)[:, None]  # truth runs upwards
    follow = [{pair for line in lines for pair in pairwise(line)} for lines in (true, found)]
    return Agreement(
        precision=_ratio(both, pairs[1]),
        recall=_ratio(both, pairs[0]),
        f1=_ratio(2 * both, pairs.sum()),
        neighbours=_ratio(2 * len(follow[0] & follow[1]), len(follow[0]) + len(follow[1])),
        tau=_ratio(order[upper].sum(), upper.sum()),
        lines=len(found) - len(true),
    )


def _ratio(part: int | np.integer, whole: int | np.integer) -> float:
    return float(part / whole) if whole else 1.0


def _checked(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    boxes = np.asarray(boxes, dtype=np.float64)
    wrong = ~(np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1))
    if wrong.any():
        i = int(wrong.argmax())
        raise UserError(f"box {i} is {boxes[i].tolist()}: left, top, right, bottom must be finite and enclose an area")
    return boxes


def _centres(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 2"]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _path(boxes: Float[np.ndarray, "n 4"], line: Int[np.ndarray, "_"]) -> Float[np.ndarray, "_ 2"]:
    centres = _centres(boxes)[line]
    first, last = [boxes[line[0], 0], centres[0, 1]], [boxes[line[-1], 2], centres[-1, 1]]
    return np.array([first, *centres, last])


def _apart(a: Float[np.ndarray, "m 4"], b: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m n"]:
    """How far boxes are apart, in units of the strips that part faces; negative where they overlap."""
    gap = np.maximum(a[:, None, :2] - b[None, :, 2:], b[None, :, :2] - a[:, None, 2:])
    return (gap / (FACE_X, FACE_Y)).max(2)


def _cut(units: Float[np.ndarray, "n 4"], some: Int[np.ndarray, "_"]) -> list[Int[np.ndarray, "_"]]:
    """Parts of some boxes: cut at the widest level strip that is empty, without one at the widest upright one, and so on."""
    for axis, width in ((1, FACE_Y), (0, FACE_X)):
        order = some[np.argsort(units[some, axis], kind="stable")]
        gap = units[order[1:], axis] - np.maximum.accumulate(units[order, axis + 2])[:-1]
        if len(gap) and gap.max() >= width:
            first, second = np.split(order, [gap.argmax() + 1])
            return [*_cut(units, first), *_cut(units, second)]
    return [some]


def _speakers(units: Float[np.ndarray, "n 4"], first: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """For each box the one that speaks for it: itself, or one earlier in `first` that covers nearly the same."""
    side = np.minimum(units[:, None, 2:], units[None, :, 2:]) - np.maximum(units[:, None, :2], units[None, :, :2])
    inter = np.maximum(side, 0).prod(2)
    area = inter.diagonal()
    union = area[:, None] + area - inter
    same = (inter > 0.4 * union) | (inter > 0.75 * np.minimum(area[:, None], area))
    speaker, free = np.arange(len(units)), np.ones(len(units), bool)
    for i in first:
        if free[i]:
            speaker[same[i] & free] = i
            free &= ~same[i]
    return speaker


def _columns(units: Float[np.ndarray, "n 4"], some: Int[np.ndarray, "_"]) -> list[Int[np.ndarray, "_"]]:
    """Columns of some boxes from left to right, parted by strips that hardly a box crosses.

    Columns lean as rows tilt where the whole face is turned, and not where the scribe tilted his rows.
    """
    boxes, centres = units[some], _centres(units[some])
    y = centres[:, 1]
    best, parts = (np.inf, 0), None
    for lean in np.array([0, 0.5, 1]) * _tilt(centres):
        x = boxes[:, [0, 2]] + (lean * y)[:, None]
        for a in np.sort(x[:, 1]):
            left = x.mean(1) < a + COLUMN / 2
            if left.all() or not left.any():
                continue
            low, high = max(y[left].min(), y[~left].min()), min(y[left].max(), y[~left].max())
            beside = (y >= low) & (y <= high)
            fewer = min((beside & left).sum(), (beside & ~left).sum())
            crossing = ((x[:, 0] < a + COLUMN) & (x[:, 1] > a)).sum()
            clear = high - low >= COLUMN_ROWS and fewer >= high - low and crossing <= 0.1 * (high - low)
            if clear and (crossing, -fewer) < best:
                best, parts = (crossing, -fewer), (some[left], some[~left])
    return [some] if parts is None else [*_columns(units, parts[0]), *_columns(units, parts[1])]


def _lines(units: Float[np.ndarray, "n 4"], some: Int[np.ndarray, "_"]) -> list[Int[np.ndarray, "_"]]:
    """Lines of one column in reading order; a sign without room for a row of its own is in none."""
    boxes = units[some]
    centres = _centres(boxes)
    x, tilt = centres[:, 0], _tilt(centres)
    level = centres[:, 1] - tilt * x
    chains = [np.array([i]) for i in range(len(some))]
    for gap in GAPS:
        chains = _woven(x, level, _link(boxes, level, chains, gap))
        level = _levels(centres, chains, tilt)
    rows = [chain for chain in chains if len(chain) > 1]
    for single in (chain for chain in chains if len(chain) == 1):
        below = np.array([_distance(x, level, single, row) for row in rows])
        if not ((below > -ALONE) & (below < 0)).any() or not ((below > 0) & (below < ALONE)).any():
            rows.append(single)
    return [some[row] for row in _ordered(x, level, rows)]


def _link(
    boxes: Float[np.ndarray, "n 4"], level: Float[np.ndarray, "n"], chains: list[Int[np.ndarray, "_"]], widest: float
) -> list[Int[np.ndarray, "_"]]:
    """Chains of signs, each with at most one right neighbour, such that gaps and steps between levels are least in all.

    The level of a sign is averaged with those of its former chain: to the left of a link and to the right of it, each
    side by itself, so a wrong link does not speak for itself. Chains that cross lose the link that steps most.
    """
    from scipy.optimize import linear_sum_assignment

    x, width = _centres(boxes)[:, 0], boxes[:, 2] - boxes[:, 0]
    before, after = np.zeros((2, len(x))), np.zeros((2, len(x)))
    for chain in chains:
        before[:, chain] = _trend(x[chain], level[chain], np.tril)
        after[:, chain] = _trend(x[chain], level[chain], np.triu)
    half = np.clip(x - x[:, None], 0, 6) / 2  # both sides are prolonged to the middle, not into long gaps
    step = np.abs(after[0] - after[1] * half - before[0][:, None] - before[1][:, None] * half)
    gap = boxes[:, 0] - boxes[:, 2][:, None]
    overlap = np.maximum(0, -gap) / np.minimum(width, width[:, None])
    allowed = (x > x[:, None]) & (overlap < 0.9) & (step < OFF) & (gap < widest)
    cost = 1.5 * step + np.log1p(np.maximum(0, gap)) + 1.5 * overlap
    alone = 3.0  # the price of no neighbour
    while True:
        priced = np.where(allowed, np.minimum(cost, alone), alone)
        left, right = linear_sum_assignment(priced)
        kept = priced[left, right] < alone
        chains = _chains(len(x), left[kept], right[kept])
        crossed = _crossings(x, level, step, chains)
        if not crossed:
            return chains
        allowed[tuple(np.transpose(crossed))] = False


def _trend(
    x: Float[np.ndarray, "n"], level: Float[np.ndarray, "n"], side: Callable[..., np.ndarray]
) -> Float[np.ndarray, "2 n"]:
    """Level and its slope at each sign of a chain, fitted to the signs on one side of it, near ones first."""
    away = x - x[:, None]
    weight = side(np.exp(-np.abs(away) / 4))
    mass, first, second = (weight * away**k @ np.ones(len(x)) for k in range(3))
    second += 8  # a few signs say little about a slope that the field of slopes did not know
    value, moment = weight @ level, (weight * away) @ level
    slope = (mass * moment - first * value) / (mass * second - first**2)
    return np.stack([(value - first * slope) / mass, slope])


def _chains(n: int, left: Int[np.ndarray, "_"], right: Int[np.ndarray, "_"]) -> list[Int[np.ndarray, "_"]]:
    follower = dict(zip(left.tolist(), right.tolist(), strict=True))
    chains = []
    for start in sorted(set(range(n)) - set(right.tolist())):
        chain = [start]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        chains.append(np.array(chain))
    return chains


def _crossings(
    x: Float[np.ndarray, "n"],
    level: Float[np.ndarray, "n"],
    step: Float[np.ndarray, "n n"],
    chains: list[Int[np.ndarray, "_"]],
) -> list[tuple[int, int]]:
    """Links that make chains cross: where a chain passes from above another to below, the link that steps most."""
    found = []
    chains = [chain for chain in chains if len(chain) > 1]
    for k, a in enumerate(chains):
        for b in chains[:k]:
            at = np.unique(np.concatenate([x[a], x[b]]))
            at = at[(at >= max(x[a[0]], x[b[0]])) & (at <= min(x[a[-1]], x[b[-1]]))]
            height = np.interp(at, x[a], level[a]) - np.interp(at, x[b], level[b])
            at, height = at[np.abs(height) > 0.15], height[np.abs(height) > 0.15]
            turn = np.flatnonzero(height[1:] * height[:-1] < 0)
            if len(turn):
                low, high = at[turn[0]], at[turn[0] + 1]
                links = [(i, j) for c in (a, b) for i, j in pairwise(c.tolist()) if x[i] < high and x[j] > low]
                found.append(max(links, key=lambda link: step[link]))
    return found


def _distance(
    x: Float[np.ndarray, "n"], level: Float[np.ndarray, "n"], chain: Int[np.ndarray, "_"], row: Int[np.ndarray, "_"]
) -> float:
    """How far below a row that it runs along a chain is, negative above it; infinite where it runs elsewhere.

    A single sign may stand up to one height beyond the ends of the row.
    """
    beyond = 1.0 if len(chain) == 1 else 0.0
    along = chain[(x[chain] >= x[row[0]] - beyond) & (x[chain] <= x[row[-1]] + beyond)]
    if not len(along):
        return np.inf
    return float((level[along] - np.interp(x[along], x[row], level[row])).mean())


def _woven(
    x: Float[np.ndarray, "n"], level: Float[np.ndarray, "n"], chains: list[Int[np.ndarray, "_"]]
) -> list[Int[np.ndarray, "_"]]:
    """Chains that run along each other on one level become one, the shorter joining the longer."""
    rows: list[np.ndarray] = []
    for chain in sorted(chains, key=len, reverse=True):
        distance = [abs(_distance(x, level, chain, row)) for row in rows]
        if rows and min(distance) < OFF:
            k = int(np.argmin(distance))
            joined = np.concatenate([rows[k], chain])
            rows[k] = joined[np.argsort(x[joined], kind="stable")]
        else:
            rows.append(chain)
    return rows


def _slopes(
    centres: Float[np.ndarray, "n 2"], chains: list[Int[np.ndarray, "_"]]
) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """How rows run: points along the links about a height apart, the slope there, the length each stands for."""
    links = np.array([(i, j) for chain in chains for i, j in pairwise(chain)], int).reshape(-1, 2)
    start, way = centres[links[:, 0]], centres[links[:, 1]] - centres[links[:, 0]]
    pieces = np.clip(np.round(way[:, 0]), 1, None).astype(int)
    link = np.repeat(np.arange(len(links)), pieces)
    part = (np.arange(len(link)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[link]
    slope = way[:, 1] / np.maximum(way[:, 0], 0.3)  # boxes found twice are next to each other at any slope
    return start[link] + part[:, None] * way[link], slope[link], (way[:, 0] / pieces)[link]


def _tilt(centres: Float[np.ndarray, "n 2"]) -> float:
    """Slope of rows in the whole face: the one along which most signs have others within eight heights to the right."""
    way = (centres - centres[:, None])[np.triu_indices(len(centres), 1)]
    way = way * np.where(way[:, :1] < 0, -1, 1)
    way = way[(way[:, 0] > 0.5) & (way[:, 0] < 8)]
    slopes = np.linspace(-0.3, 0.3, 61)
    along = [np.exp(-(((way[:, 1] - slope * way[:, 0]) / 0.2) ** 2) / 2).sum() for slope in slopes]
    few = len(centres) + 20  # among few signs chance finds steep slopes
    return float(slopes[np.argmax(np.array(along) - 5 * few * slopes**2)])


def _levels(
    centres: Float[np.ndarray, "n 2"], chains: list[Int[np.ndarray, "_"]], tilt: float
) -> Float[np.ndarray, "n"]:
    """Height of each sign after it was carried along the rows to one upright, in steps of two heights."""
    at, slope, length = _slopes(centres, chains)

    def run(points: np.ndarray, slope: np.ndarray) -> np.ndarray:
        across, down = points[:, :1] - at[:, 0], points[:, 1:] - at[:, 1]
        weight = np.exp(-(across**2) / 18 - down**2 / 32) * length  # Gaussian, 3 heights along rows and 4 across them
        return (weight @ slope + 3 * tilt) / (weight.sum(1) + 3)  # where nothing is near: as the face as a whole

    usual = run(at, slope)
    slope = usual + np.clip(slope - usual, -0.25, 0.25)  # a link between rows does not bend the others
    points, target = centres.copy(), float(np.median(centres[:, 0]))
    steps = max(1, int(np.ceil(np.abs(points[:, 0] - target).max() / 2)))
    stride = (target - points[:, 0]) / steps
    for _ in range(steps):
        half = points + 0.5 * stride[:, None] * np.stack([np.ones(len(points)), run(points, slope)], 1)
        points += stride[:, None] * np.stack([np.ones(len(points)), run(half, slope)], 1)
    return points[:, 1]


def _ordered(
    x: Float[np.ndarray, "n"], level: Float[np.ndarray, "n"], rows: list[Int[np.ndarray, "_"]]
) -> list[Int[np.ndarray, "_"]]:
    """Rows from top to bottom: none before one that lies above it; parts of one row from left to right."""
    above = np.zeros((len(rows), len(rows)), bool)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            low, high = max(x[a[0]], x[b[0]]), min(x[a[-1]], x[b[-1]])
            if i != j and low <= high:
                at = np.linspace(low, high, 5)
                above[i, j] = (np.interp(at, x[a], level[a]) - np.interp(at, x[b], level[b])).mean() < 0
    height = np.array([np.median(level[row]) for row in rows])
    left = np.array([x[row[0]] for row in rows])
    waiting, ordered = list(range(len(rows))), []
    while waiting:
        free = [i for i in waiting if not above[waiting, i].any()] or waiting
        top = min(height[i] for i in free)
        following = min((i for i in free if height[i] < top + OFF), key=lambda i: left[i])
        ordered.append(rows[following])
        waiting.remove(following)
    return ordered
