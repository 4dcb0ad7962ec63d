"""The order of signs on photographed tablets: our lines beside a rule of nearest neighbours and sequential RANSAC.

    python recipes/tablets/lines.py ANNOTATIONS_COCO.json

ANNOTATIONS_COCO.json: boxes of signs with `regions[].lines`, polylines drawn along the rows of 49 faces (35 photographs, 26 of
them train and 9 test); a sign belongs to the nearest polyline, prolonged at its ends. Then the same on simulated detections:
edges jittered by a tenth of the size, a tenth missed, 5 % false alarms, 3 % found twice, three draws. Means over faces,
intervals over tablets; everything was chosen on train. About two minutes. Expected values stand in recipes/README.md.
"""

import sys

import numpy as np
from scipy.optimize import linear_sum_assignment

from edubba.core import stats, streams
from edubba.tablets import formats, lines


def regions(path: str) -> list[tuple[str, str, np.ndarray, list[np.ndarray]]]:
    """Split, tablet, boxes and true lines of each face with drawn lines."""
    found = []
    for record in formats.read(path):
        for surface in record.surfaces:
            rows = [[s.box for s in line.signs] for line in surface.lines if line.kind == "text" and line.path]
            rows = [row for row in rows if row]
            if rows:
                ends = np.cumsum([len(row) for row in rows])
                boxes, true = np.concatenate(rows).astype(float), np.split(np.arange(ends[-1]), ends[:-1])
                found.append((record.extra["split"], record.id, boxes, true))
    return found


def neighbours(boxes: np.ndarray) -> list[np.ndarray]:
    """Each sign linked to its best right neighbour, one to one; chains by their mean height."""
    height, (x, y) = np.median(boxes[:, 3] - boxes[:, 1]), (boxes[:, :2] + boxes[:, 2:]).T / 2
    gap, off = (boxes[:, 0] - boxes[:, 2][:, None]) / height, np.abs(y - y[:, None]) / height
    cost = np.where((off < 0.5) & (gap < 6) & (x > x[:, None]), np.maximum(gap, 0) + 2 * off, 99)
    left, right = linear_sum_assignment(cost)
    follower = {i: j for i, j in zip(left, right, strict=True) if cost[i, j] < 99}
    chains = [[i] for i in set(range(len(x))) - set(follower.values())]
    for chain in chains:
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
    return [np.array(chain) for chain in sorted(chains, key=lambda chain: y[chain].mean())]


def detected(boxes: np.ndarray, number: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulated detections, and the true sign that each is, or -1."""
    u = streams.uniform(0, "detected", number, draw, index=np.arange(len(boxes)), k=16)
    noise = np.sqrt(-2 * np.log1p(-u[:, :8])) * np.cos(2 * np.pi * u[:, 8:])  # normal (Box and Muller 1958)
    size = boxes[:, 2:] - boxes[:, :2]
    once, twice = (boxes + 0.1 * np.tile(size, 2) * noise[:, k : k + 4] for k in (0, 4))
    u = streams.uniform(0, "wrong", number, draw, index=np.arange(len(boxes)), k=5)
    corner = boxes[:, :2].min(0) + u[:, :2] * (boxes[:, 2:].max(0) - boxes[:, :2].min(0))
    false = np.concatenate([corner - size / 2, corner + size / 2], 1)[u[:, 4] < 0.05]
    seen = np.flatnonzero(u[:, 2] >= 0.1) if len(boxes) > 1 else np.arange(len(boxes))
    again = seen[u[seen, 3] < 0.03]
    match = np.concatenate([seen, np.full(len(again) + len(false), -1)])
    return np.concatenate([once[seen], twice[again], false]), match


faces = regions(sys.argv[1])
split, tablet = np.array([f[0] for f in faces]), np.array([f[1] for f in faces])
methods = {"lines": lambda b: lines.find(b).lines, "neighbour rule": neighbours, "RANSAC": lambda b: lines.ransac(b).lines}  # fmt: skip
for what, draws in (("true boxes", 1), ("simulated detections", 3)):
    for name, order in methods.items():
        rows = []
        for number, (_, _, boxes, true) in enumerate(faces):
            for draw in range(draws):
                given, match = (boxes, np.arange(len(boxes))) if draws == 1 else detected(boxes, number, draw)
                rows.append(lines.scores(true, order(given), match=match))
        values = np.array(rows, float).reshape(len(faces), draws, -1).mean(1)
        for part, chosen in (("all", split != ""), ("train", split == "train"), ("test", split == "test")):
            print(f"{what}, {name}, {part} ({chosen.sum()} faces):", end=" ")
            for k, field in enumerate(lines.Agreement._fields):
                mean, low, high = stats.bootstrap(np.mean, values[chosen, k], group=tablet[chosen])
                print(f"{field} {mean:.3f} [{low:.3f}, {high:.3f}]", end="; ")
            print()
