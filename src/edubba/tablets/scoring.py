"""How good is it? Average precision of boxes, with and without names, and what is counted right end to end."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Picture(NamedTuple):
    """What was found in one photograph, beside the truth."""

    found: Float[np.ndarray, "m 4"]
    """left, top, right, bottom"""
    scores: Float[np.ndarray, "m"]
    labels: Int[np.ndarray, "m"]
    """names by number; all 0 where only boxes count"""
    true: Float[np.ndarray, "n 4"]
    true_labels: Int[np.ndarray, "n"]


def iou(a: Float[np.ndarray, "m 4"], b: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m n"]:
    """Intersection over union of every box with every other; a box without area overlaps nothing."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.maximum(0, high - low).prod(axis=2)
    area_a, area_b = (np.maximum(0, x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b))
    return inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-9)


def within(p: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """Whether the true name is among the k likeliest; of equal ones the first counts as likelier."""
    own = p[np.arange(len(p)), target][:, None]
    before = (p > own) | ((p == own) & (np.arange(p.shape[1]) < target[:, None]))
    return before.sum(axis=1) < k


def match(
    found: Float[np.ndarray, "m 4"], scores: Float[np.ndarray, "m"], true: Float[np.ndarray, "n 4"], *, at: float = 0.5
) -> Int[np.ndarray, "m"]:
    """For each detection the true box that it takes, or -1: the surest first, each the free box it overlaps most, COCO's rule."""
    taken = np.full(len(found), -1)
    if not len(true) or not len(found):
        return taken
    overlap = iou(found, true)
    for i in np.argsort(-scores, kind="stable"):
        j = int(overlap[i].argmax())
        if overlap[i, j] >= at:
            taken[i] = j
            overlap[:, j] = -1
    return taken


def average_precision(pictures: Sequence[Picture], *, at: float = 0.5, most: int = 1000) -> float:
    """COCO's average precision, all names pooled: the mean over 101 recalls of the best precision there or above.

    Parameters
    ----------
    at
        Least intersection over union of a detection with the true box of its name that it takes.
    most
        Detections a picture that count, the surest. COCO's own 100 cuts tablets, which hold hundreds of signs.

    Returns
    -------
    0 to 1; NaN where there is no true box.
    """
    return pooled([judged(picture, at=at, most=most) for picture in pictures])


def precision_at_recalls(scores: np.ndarray, right: np.ndarray, n: int) -> float:
    """Mean over the recalls 0, .01 ... 1 of the highest precision at that recall or above."""
    if n == 0:
        return float("nan")
    order = np.argsort(-scores, kind="mergesort")
    hits = np.cumsum(right[order])
    recall, precision = hits / n, hits / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(place, len(precision))].mean())


def inside(boxes: Float[np.ndarray, "m 4"], regions: Float[np.ndarray, "r 4"]) -> np.ndarray:
    """Which boxes have their centre in a region."""
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return ((middle >= regions[None, :, :2]) & (middle < regions[None, :, 2:])).all(axis=2).any(axis=1)


def average_precision_inside(found: Sequence[tuple[Any, Any]]) -> float:
    """Average precision of boxes alone, for (detections, faces) of photographs, inside the annotated regions."""
    pictures = []
    for detections, faces in found:
        kept = inside(detections.boxes, faces.regions)
        boxes, scores = detections.boxes[kept], detections.scores[kept]
        true = faces.boxes[inside(faces.boxes, faces.regions)]
        pictures.append(Picture(boxes, scores, np.zeros(len(boxes), int), true, np.zeros(len(true), int)))
    return average_precision(pictures)


class Verdicts(NamedTuple):
    """What was found in one photograph, with what each is worth."""

    scores: Float[np.ndarray, "m"]
    right: Bool[np.ndarray, "m"]
    labels: Int[np.ndarray, "m"]
    true_labels: Int[np.ndarray, "n"]


def judged(picture: Picture, *, at: float, most: int = 1000) -> Verdicts:
    """Match every name's detections to its true boxes; the surest `most` detections count."""
    first = np.argsort(-picture.scores, kind="stable")[:most]
    right = np.zeros(len(first), bool)
    labels, scores = picture.labels[first], picture.scores[first]
    for name in np.unique(labels):
        mine = np.flatnonzero(labels == name)
        true = picture.true[picture.true_labels == name]
        right[mine] = match(picture.found[first[mine]], scores[mine], true, at=at) >= 0
    return Verdicts(scores, right, labels, picture.true_labels)


def pooled(pictures: Sequence[Verdicts]) -> float:
    """Average precision of all names together; NaN where there is no true box."""
    n = sum(len(p.true_labels) for p in pictures)
    return precision_at_recalls(
        np.concatenate([p.scores for p in pictures]), np.concatenate([p.right for p in pictures]), n
    )


def mean_over(pictures: Sequence[Verdicts], names: Int[np.ndarray, "k"]) -> float:
    """Average precision of each name that occurs, averaged over these."""
    scores, right, labels = (np.concatenate([getattr(p, f) for p in pictures]) for f in ("scores", "right", "labels"))
    true = np.concatenate([p.true_labels for p in pictures])
    each = [precision_at_recalls(scores[labels == k], right[labels == k], int((true == k).sum())) for k in names]
    each = [value for value in each if not np.isnan(value)]
    return float(np.mean(each)) if each else float("nan")


def edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein distance of two sequences."""
    row = np.arange(len(b) + 1)
    other = np.array(b, dtype=object)
    for i, item in enumerate(a, 1):
        change = np.minimum(row[1:] + 1, row[:-1] + (other != item))
        # an insertion at j costs one more than the best before it: a running minimum of value - place
        best = np.concatenate([[i], change]) - np.arange(len(b) + 1)
        row = np.minimum.accumulate(best) + np.arange(len(b) + 1)
    return int(row[-1])
