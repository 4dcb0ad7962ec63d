"""How well photographs are read: boxes, names, order, and all of it together, with intervals over tablets.

The ladder tells where errors arise: names on true boxes, order of true boxes, and nothing given at all.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edubba.core import calibration, progress, stats
from edubba.core.errors import UserError
from edubba.core.runs import RESULTS
from edubba.tablets import detector, lines, reading, scoring, training
from edubba.tablets.training import Page

LABELS = 5
"""names that a detection is scored under, each with its probability"""
LEAST = 0.02
"""least score of a detection for average precision"""
OFTEN = 5
"""true boxes that a name needs in test to be averaged in the quieter mean"""


@dataclass(frozen=True)
class Judged:
    """One page, read and compared with the truth."""

    page: Page
    found: np.ndarray
    """boxes whose centre lies in an annotated region"""
    scores: np.ndarray
    p: np.ndarray
    """probabilities of the names of the found boxes"""
    taken: np.ndarray
    """the true box that each found one takes, or -1"""
    true_p: np.ndarray
    """probabilities of the names of the true boxes"""
    kept: np.ndarray
    """which found boxes the reader would give"""
    seconds: float


def evaluate(
    reader: reading.Reader | str | Path, annotations: str | Path, *, images: str | Path, restorer: Any = None,
    split: str = "test", format: str | None = None, draws: int = 300,
) -> dict[str, Any]:  # fmt: skip
    """The whole protocol: a document of results as in results.json; its warnings say what was left out of which photograph.

    Raises
    ------
    UserError
        No photograph of the split can be read.
    """
    began = time.perf_counter()
    if not isinstance(reader, reading.Reader):
        reader = reading.load(reader)
    if isinstance(restorer, str | Path):
        from edubba.tablets import restoring

        restorer = restoring.load(restorer)
    made, skipped = training.pages(annotations, images, format=format)
    made = [page for page in made if not split or page.split == split]
    if not made and skipped:
        raise UserError(f"{annotations} leaves no photograph to measure on{training.why(skipped)}")
    if not made:
        raise UserError(
            f"{annotations} has no photograph of the split {split!r}: name another with --split, '' for all"
        )
    judged = []
    with progress.bar("reading", len(made), unit="photographs") as show:
        for i, page in enumerate(made):
            judged.append(judge(reader, page, restorer))
            show(i + 1)
    rows = [
        *_detection(judged, reader), *_names(judged, reader), *_order(judged), *_together(judged, reader),
    ]  # fmt: skip
    group = np.array([j.page.group for j in judged])
    results = []
    for name, statistic in rows:

        def resampled(i: np.ndarray, statistic: Callable = statistic) -> float:
            return statistic([judged[k] for k in i])

        value = stats.bootstrap(resampled, np.arange(len(judged)), group=group, draws=draws)
        if np.isnan(value.value):
            continue
        results.append(
            stats.result(
                name, *value, method=f"bootstrap over tablets, {draws} draws", n=len(set(group.tolist())), unit="tablet",
                data=str(annotations), split=split or "all", seconds=time.perf_counter() - began,
            )
        )  # fmt: skip
    return {
        "format": RESULTS, "results": [r.to_dict() for r in results], "choices": [],
        "warnings": [f"{s.file}: {s.detail}" for s in skipped], "skipped": len({s.file for s in skipped}),
    }  # fmt: skip


def judge(reader: reading.Reader, page: Page, restorer: Any) -> Judged:
    """Read a page as a stranger's photograph, of which the period may be known, and its true boxes besides."""
    began = time.perf_counter()
    pixels = page.grey[..., None]
    found, _ = detector.detect(reader.finds, pixels, threshold=LEAST, looks=reader.looks)
    kept = scoring.inside(found.boxes, page.regions)
    boxes, scores = found.boxes[kept], found.scores[kept]
    namer, period = reader.namer, page.tablet.period if page.tablet.period in reader.namer.periods else ""

    def names(these: np.ndarray, surest: np.ndarray) -> np.ndarray:
        p, _ = reading.names(namer, pixels, these, period=period)
        if restorer is None or not len(these):
            return p
        return reading.with_context(p, reading.ordered(these, surest), namer.names, restorer)

    good = scores >= reader.threshold
    p = np.zeros((len(boxes), len(namer.names)), np.float32)
    for part in (good, ~good):  # doubtful boxes must not stand between the lines of good ones
        if part.any():
            p[part] = names(boxes[part], scores[part])
    true_p = names(page.boxes, np.ones(len(page.boxes), np.float32))
    taken = np.full(len(boxes), -1)
    taken[good] = scoring.match(boxes[good], scores[good], page.boxes)
    return Judged(page, boxes, scores, p, taken, true_p, good, time.perf_counter() - began)


Rows = list[tuple[str, Callable[[Sequence[Judged]], float]]]


def _detection(judged: Sequence[Judged], reader: reading.Reader) -> Rows:
    place = {name: i for i, name in enumerate(reader.namer.names)}
    for name in sorted({name for j in judged for name in j.page.names} - {""}):
        place.setdefault(name, len(place))  # never found, as the reader does not know it
    boxes: dict[int, scoring.Picture] = {}
    named: dict[int, scoring.Picture] = {}
    for j in judged:
        zeros, n = np.zeros(len(j.found), int), len(j.page.boxes)
        boxes[id(j)] = scoring.Picture(j.found, j.scores, zeros, j.page.boxes, np.zeros(n, int))
        best = np.argsort(-j.p, axis=1, kind="stable")[:, :LABELS]
        score = (j.scores[:, None] * np.take_along_axis(j.p, best, 1)).ravel()
        true = np.array([place.get(name, len(place)) for name in j.page.names])
        named[id(j)] = scoring.Picture(np.repeat(j.found, LABELS, axis=0), score, best.ravel(), j.page.boxes, true)
    true = np.concatenate([named[id(j)].true_labels for j in judged])
    labels, counts = np.unique(true[true < len(place)], return_counts=True)
    judges = {
        at: {k: scoring.judged(p, at=at) for k, p in boxes.items()} for at in np.round(np.arange(0.5, 0.96, 0.05), 2)
    }
    by_name = {k: scoring.judged(p, at=0.5) for k, p in named.items()}

    def whole(at: float) -> Callable[[Sequence[Judged]], float]:
        return lambda some: scoring.pooled([judges[at][id(j)] for j in some])

    def mean_over(names: np.ndarray) -> Callable[[Sequence[Judged]], float]:
        return lambda some: scoring.mean_over([by_name[id(j)] for j in some], names)

    return [
        ("detection/ap50", whole(0.5)),
        ("detection/ap75", whole(0.75)),
        ("detection/ap50:95", lambda some: float(np.mean([whole(at)(some) for at in judges]))),
        ("detection+names/ap50 pooled", lambda some: scoring.pooled([by_name[id(j)] for j in some])),
        (f"detection+names/ap50 names with {OFTEN} boxes or more", mean_over(labels[counts >= OFTEN])),
        ("detection+names/ap50 all names", mean_over(labels)),
        ("detection/recall of what is given", lambda some: _share([_found(j) for j in some])),
    ]  # fmt: skip


def _found(j: Judged) -> np.ndarray:
    hit = np.zeros(len(j.page.boxes), bool)
    hit[j.taken[j.taken >= 0]] = True
    return hit


def _share(parts: Sequence[np.ndarray]) -> float:
    whole = np.concatenate(parts) if parts else np.zeros(0)
    return float(whole.mean()) if len(whole) else float("nan")


def _targets(j: Judged, reader: reading.Reader) -> np.ndarray:
    """The number of each true box's name; -1 where the reader does not know it, -2 where the box has none."""
    place = {name: i for i, name in enumerate(reader.namer.names)}
    return np.array([place.get(name, -1) if name else -2 for name in j.page.names])


def _right(p: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """Whether the true name is among the k likeliest; never where it is unknown."""
    return scoring.within(p, np.maximum(target, 0), k) & (target >= 0)


def _names(judged: Sequence[Judged], reader: reading.Reader) -> Rows:
    target = {id(j): _targets(j, reader) for j in judged}

    def top(k: int) -> Callable[[Sequence[Judged]], float]:
        return lambda some: _share([_right(j.true_p, target[id(j)], k)[target[id(j)] > -2] for j in some])

    def gathered(some: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t = np.concatenate([target[id(j)] for j in some])
        p = np.concatenate([j.true_p for j in some])
        names = np.concatenate([np.array(j.page.names) for j in some])
        return p[t > -2], t[t > -2], names[t > -2]

    def macro(some: Sequence[Judged]) -> float:
        p, t, names = gathered(some)
        right = _right(p, t, 1)
        return float(np.mean([right[names == name].mean() for name in np.unique(names)])) if len(t) else float("nan")

    def ece(some: Sequence[Judged]) -> float:
        p, t, _ = gathered(some)
        return calibration.ece_equal_mass(p.max(1), _right(p, t, 1)) if len(t) else float("nan")

    def covered(some: Sequence[Judged]) -> float:
        p, _, _ = gathered(some)
        return float((p.max(1) >= reader.namer.threshold).mean()) if len(p) else float("nan")

    def precise(some: Sequence[Judged]) -> float:
        p, t, _ = gathered(some)
        sure = p.max(1) >= reader.namer.threshold
        return float(_right(p, t, 1)[sure].mean()) if sure.any() else float("nan")

    return [
        ("names, true boxes/top-1", top(1)), ("names, true boxes/top-5", top(5)), ("names, true boxes/macro top-1", macro),
        ("names, true boxes/ece", ece), ("names, true boxes/coverage when it may abstain", covered),
        ("names, true boxes/precision when it may abstain", precise),
    ]  # fmt: skip


def drawn(page: Page) -> list[tuple[list[int], list[np.ndarray]]]:
    """For each region with drawn lines: the boxes in it, and the lines as lists of places among these."""
    number = {id(sign): i for i, sign in enumerate(training.written(page.tablet))}
    out = []
    for surface in page.tablet.surfaces:
        text = [line for line in surface.lines if line.kind == "text" and line.path]
        if not text:
            continue
        members = [[number[id(sign)] for sign in line.signs if id(sign) in number] for line in text]
        order = [i for line in members for i in line]
        if not order:
            continue
        place = {i: k for k, i in enumerate(order)}
        out.append((order, [np.array([place[i] for i in line], int) for line in members if line]))
    return out


def _order(judged: Sequence[Judged]) -> Rows:
    true: dict[int, list] = {}
    detected: dict[int, list] = {}
    for j in judged:
        true[id(j)], detected[id(j)] = [], []
        for order, truth in drawn(j.page):
            boxes = j.page.boxes[order]
            true[id(j)].append(lines.scores(truth, lines.find(boxes).lines))
            region = scoring.inside(j.found, _hull(boxes)) & j.kept
            mine = np.flatnonzero(region)
            found = lines.find(j.found[mine], scores=j.scores[mine]).lines
            place = {t: k for k, t in enumerate(order)}
            match = np.array([place.get(int(t), -1) for t in j.taken[mine]], int)
            enough = (match >= 0).sum() > 1  # a face on which nothing was found has no order that could be right
            detected[id(j)].append(lines.scores(truth, found, match=match) if enough else None)

    def mean(of: dict[int, list], what: str) -> Callable[[Sequence[Judged]], float]:
        def statistic(some: Sequence[Judged]) -> float:
            values = [getattr(score, what) for j in some for score in of[id(j)] if score is not None]
            return float(np.mean(values)) if values else float("nan")

        return statistic

    def ordered(some: Sequence[Judged]) -> float:
        return _share([np.array([score is not None for score in detected[id(j)]], bool) for j in some])

    return [
        *(
            (f"lines, {what} boxes/{label}", mean(of, name))
            for what, of in (("true", true), ("detected", detected))
            for name, label in (("f1", "pair F1"), ("neighbours", "neighbour F1"), ("tau", "Kendall tau"))
        ),
        ("lines, detected boxes/faces with two signs found", ordered),
    ]  # fmt: skip


def _hull(boxes: np.ndarray) -> np.ndarray:
    half = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) / 2
    return np.concatenate([boxes[:, :2].min(0) - half, boxes[:, 2:].max(0) + half])[None]


def _together(judged: Sequence[Judged], reader: reading.Reader) -> Rows:
    target = {id(j): _targets(j, reader) for j in judged}
    errors = {id(j): _edits(j, reader) for j in judged}

    def top(k: int) -> Callable[[Sequence[Judged]], float]:
        def one(j: Judged) -> np.ndarray:
            right = np.zeros(len(j.page.boxes), bool)
            at = np.flatnonzero(j.taken >= 0)
            right[j.taken[at]] = _right(j.p[at], target[id(j)][j.taken[at]], k)
            return right[target[id(j)] > -2]

        return lambda some: _share([one(j) for j in some])

    def rate(rung: str) -> Callable[[Sequence[Judged]], float]:
        def statistic(some: Sequence[Judged]) -> float:
            pairs = [errors[id(j)][rung] for j in some if rung in errors[id(j)]]
            return sum(e for e, _ in pairs) / sum(n for _, n in pairs) if pairs else float("nan")

        return statistic

    rungs = ("nothing given", "true boxes", "true boxes and lines", "true boxes and names")
    return [
        ("end to end/top-1", top(1)), ("end to end/top-5", top(5)),
        *((f"end to end/sign error rate, {rung}", rate(rung)) for rung in rungs),
    ]  # fmt: skip


def _edits(j: Judged, reader: reading.Reader) -> dict[str, tuple[int, int]]:
    """For every rung: edit distance of the sequences of signs in reading order, and length of the true one."""
    total: dict[str, tuple[int, int]] = {}
    names = np.array([*reader.namer.names, ""])
    said, said_true = names[j.p.argmax(1)] if len(j.p) else names[:0], names[j.true_p.argmax(1)]
    for order, truth in drawn(j.page):
        boxes = j.page.boxes[order]
        named = {i for i in order if j.page.names[i]}  # a box without a name is neither right nor wrong
        true = [j.page.names[order[i]] for line in truth for i in line if order[i] in named]
        own = [int(i) for line in lines.find(boxes).lines for i in line if order[i] in named]
        mine = np.flatnonzero(scoring.inside(j.found, _hull(boxes)) & j.kept)
        found = [int(mine[i]) for line in lines.find(j.found[mine], scores=j.scores[mine]).lines for i in line]
        found = [i for i in found if j.taken[i] < 0 or j.page.names[j.taken[i]]]
        rungs = {
            "nothing given": [str(said[i]) for i in found],
            "true boxes": [str(said_true[order[i]]) for i in own],
            "true boxes and lines": [str(said_true[order[i]]) for line in truth for i in line if order[i] in named],
            "true boxes and names": [j.page.names[order[i]] for i in own],
        }
        for rung, sequence in rungs.items():
            edits, n = total.get(rung, (0, 0))
            total[rung] = edits + scoring.edits(sequence, true), n + len(true)
    return total
