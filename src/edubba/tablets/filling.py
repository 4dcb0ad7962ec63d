"""What may have stood in a gap: spans from an n-gram and a masked model, weighed against each other."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import minimize
from scipy.special import logsumexp

from edubba.tablets import corpus
from edubba.tablets.corpus import Text, Tokens, Vocabulary
from edubba.tablets.masked import SEEN, Masked, log_probabilities
from edubba.tablets.ngram import NGram

LONGEST = 5
"""signs in a gap that is filled"""
BEAM = 6
"""beginnings that are followed up by the masked model, and as many of the n-gram's"""
NEAR = 64
"""tokens around a gap of several signs that the masked model sees: each beginning costs a look"""
WIDE = 100
"""beginnings that the n-gram follows up"""
KEPT = 64
"""spans of each model that are weighed against each other"""
FIRST = len(corpus.SPECIAL)
"""number of the first token that may fill a gap"""


class Place(NamedTuple):
    """A gap: token numbers of its text before and after it."""

    left: Int64[np.ndarray, "l"]
    right: Int64[np.ndarray, "r"]


@dataclass(frozen=True)
class Weights:
    """How the models are weighed; all chosen on validation texts. One number for each length from 1 to `LONGEST`."""

    masked: tuple[float, ...] = (0.5,) * LONGEST
    ngram: tuple[float, ...] = (0.5,) * LONGEST
    """exponents of the two probabilities: their ratio is the mixture, their size the temperature"""
    covered: tuple[float, ...] = (1.0,) * LONGEST
    """share of validation gaps whose true filling was among the candidates"""
    prior: tuple[float, ...] = (1 / LONGEST,) * LONGEST
    """how often gaps are so long"""
    evidence: float = 0.5
    """exponent of what the n-gram says about a length"""
    ink: float = 1.0
    context: float = 0.4
    share: float = 0.3
    """exponents of p(name | ink), p(name | context) and 1 / p(name) where photographs are read, as they were best on
    validation photographs; `fusing.choose_exponents` finds those of another classifier"""


@dataclass(frozen=True)
class Restorer:
    """Two models of the same texts, and the texts."""

    vocabulary: Vocabulary
    ngram: NGram
    masked: Masked
    weights: Weights
    tokens: Tokens
    texts: tuple[Text, ...]
    """what was learned from: parallels are looked for here"""
    names: dict[str, str]
    """what MZL numbers are called"""
    bf16: bool = False


class Spans(NamedTuple):
    """Candidates for one gap."""

    tokens: Int64[np.ndarray, "c k"]
    masked: Float64[np.ndarray, "c"]
    """log p(span | both sides) of the masked model"""
    ngram: Float64[np.ndarray, "c"]
    """log p(span, right side | left side) of the n-gram"""
    evidence: float
    """log p(right side | left side, length) of the n-gram"""


def row(place: Place, length: int, *, seen: int = SEEN) -> tuple[Int64[np.ndarray, "n"], int]:
    """What the masked model sees: the gap masked, as much of both sides as fits; and where the gap begins."""
    room = seen - length
    right = min(len(place.right), max(room // 2, room - len(place.left)))
    left = min(len(place.left), room - right)
    mask = np.full(length, corpus.SPECIAL.index(corpus.MASK))
    return np.concatenate([place.left[len(place.left) - left :], mask, place.right[:right]]), left


def ngram_spans(
    ngram: NGram, place: Place, length: int, *, width: int = WIDE
) -> tuple[Int64[np.ndarray, "c k"], Float64[np.ndarray, "c"]]:
    """Spans and log p(span, right side | left side), best first: all signs for a gap of one, else a beam.

    Beginnings are ranked by what stands before them; whole spans by all windows that hold one of their signs.
    """
    n = ngram.order - 1
    left, right = place.left[max(0, len(place.left) - n) :], place.right[:n]
    spans, score = np.zeros((1, 0), np.int64), np.zeros(1)
    for at in range(length):
        before = np.concatenate([np.tile(left, (len(spans), 1)), spans], 1)[:, -n:] if n else np.zeros((len(spans), 0), np.int64)  # fmt: skip
        with np.errstate(divide="ignore"):
            total = score[:, None] + np.log(ngram.distribution(before)[:, FIRST:])
        keep = total.size if length == 1 else min(total.size, width if at < length - 1 else 10 * width)
        best = np.argpartition(-total.ravel(), keep - 1)[:keep]
        parent, sign = np.unravel_index(best, total.shape)
        spans, score = np.concatenate([spans[parent], sign[:, None] + FIRST], 1), total.ravel()[best]
    c = len(spans)
    score = score + ngram.log_windows(np.tile(left, (c, 1)), spans, np.tile(right, (c, 1)), first=length, scored=_told(ngram))  # fmt: skip
    order = np.argsort(-score, kind="stable")
    return spans[order], score[order]


def _told(ngram: NGram) -> frozenset[int]:
    """Tokens that say something about what stands before them: that a place is broken does not."""
    return frozenset(range(FIRST, ngram.size)) | {corpus.SPECIAL.index(corpus.LINE)}


def spans(restorer: Restorer, places: Sequence[Place], length: int, *, beam: int = BEAM) -> list[Spans]:
    """Candidates for gaps of one length, with both models' scores.

    The masked model fills the place it is surest of first, and sees it when it fills the next.
    """
    rows = [row(place, length, seen=SEEN if length == 1 else NEAR) for place in places]
    gap = np.arange(length)

    def ask(which: Sequence[int], filled: Sequence[np.ndarray], at: Sequence[np.ndarray]) -> list[np.ndarray]:
        shown = []
        for i, signs in zip(which, filled, strict=True):
            tokens, first = rows[i]
            tokens = tokens.copy()
            known = signs >= 0
            tokens[first : first + length][known] = signs[known]
            shown.append(tokens)
        at = [rows[i][1] + a for i, a in zip(which, at, strict=True)]
        return [p[:, FIRST:] for p in log_probabilities(restorer.masked, shown, at, bf16=restorer.bf16)]

    nothing = np.full(length, -1)
    first = ask(range(len(places)), [nothing] * len(places), [gap] * len(places))
    order = [np.argsort(-p.max(1), kind="stable") for p in first]
    by_ngram = [ngram_spans(restorer.ngram, place, length) for place in places]
    begun: list[dict[bytes, tuple[np.ndarray, float]]] = [{nothing.tobytes(): (nothing, 0.0)} for _ in places]
    next_p = [[p[o[0]]] for p, o in zip(first, order, strict=True)]
    for step in range(length - 1):
        for i, here in enumerate(begun):
            made: dict[bytes, tuple[np.ndarray, float]] = {}
            open_ = order[i][step]
            score = np.array([s for _, s in here.values()])[:, None] + np.stack(next_p[i])
            wanted = by_ngram[i][0][:beam].copy()
            wanted[:, order[i][step + 1 :]] = -1
            parents = list(here.values())
            best = np.argpartition(-score.ravel(), min(beam, score.size) - 1)[:beam]
            for parent, sign in zip(*np.unravel_index(best, score.shape), strict=True):
                signs = parents[parent][0].copy()
                signs[open_] = sign + FIRST
                made[signs.tobytes()] = (signs, float(score[parent, sign]))
            number = {key: at for at, key in enumerate(here)}
            for signs in wanted:
                before = signs.copy()
                before[open_] = -1
                made[signs.tobytes()] = (signs, float(score[number[before.tobytes()], signs[open_] - FIRST]))
            begun[i] = made
        which = [i for i, here in enumerate(begun) for _ in here]
        filled = [signs for here in begun for signs, _ in here.values()]
        answers = iter(ask(which, filled, [order[i][step + 1 : step + 2] for i in which]))
        next_p = [[next(answers)[0] for _ in here] for here in begun]
    return [
        _ended(restorer.ngram, place, list(here.values()), np.stack(p), int(o[-1]), ng)
        for place, here, p, o, ng in zip(places, begun, next_p, order, by_ngram, strict=True)
    ]


def _ended(
    ngram: NGram, place: Place, begun: list[tuple[np.ndarray, float]], p: np.ndarray, open_: int,
    by_ngram: tuple[np.ndarray, np.ndarray],
) -> Spans:  # fmt: skip
    """The best spans of either model that the masked model has begun, with both scores."""
    score = np.array([s for _, s in begun])[:, None] + p
    length = len(begun[0][0])
    keep = score.size if length == 1 else min(KEPT, score.size)
    flat = set(np.argpartition(-score.ravel(), keep - 1)[:keep].tolist())
    number = {signs.tobytes(): at for at, (signs, _) in enumerate(begun)}
    for signs in by_ngram[0][:KEPT]:
        before = signs.copy()
        before[open_] = -1
        if (at := number.get(before.tobytes())) is not None:
            flat.add(at * score.shape[1] + int(signs[open_]) - FIRST)
    chosen = np.array(sorted(flat))
    parent, sign = np.unravel_index(chosen, score.shape)
    tokens = np.stack([begun[i][0] for i in parent])
    tokens[:, open_] = sign + FIRST
    n = ngram.order - 1
    left, right = place.left[max(0, len(place.left) - n) :], place.right[:n]
    c = len(tokens)
    joint = ngram.log_windows(np.tile(left, (c, 1)), tokens, np.tile(right, (c, 1)), scored=_told(ngram))
    return Spans(tokens, score.ravel()[chosen], joint, float(logsumexp(by_ngram[1])))


def weighed(weights: Weights, found: Spans) -> Float64[np.ndarray, "c"]:
    """Log probabilities of the candidates of a gap of known length; what they leave is for spans not among them."""
    k = found.tokens.shape[1] - 1
    score = weights.masked[k] * found.masked + weights.ngram[k] * found.ngram
    return score - logsumexp(score) + np.log(weights.covered[k])


def lengths(weights: Weights, found: Sequence[Spans]) -> Float64[np.ndarray, "k"]:
    """Log probabilities of the lengths 1, 2 ... of a gap, from what the n-gram says of the signs after it."""
    score = np.log(weights.prior[: len(found)]) + weights.evidence * np.array([spans.evidence for spans in found])
    return score - logsumexp(score)


def choose(found: Sequence[Spans], truth: Sequence[np.ndarray], weights: Weights) -> Weights:
    """Weights under which true fillings are likeliest; `found` may hold gaps of several lengths, which then share exponents.

    `covered` is the share of true fillings among the candidates, for each length by itself.
    """
    at = [np.flatnonzero((spans.tokens == true).all(1)) for spans, true in zip(found, truth, strict=True)]
    known = [(spans, int(i[0])) for spans, i in zip(found, at, strict=True) if len(i)]
    if not known:
        return weights

    def surprise(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = 0.0, np.zeros(2)
        for spans, true in known:
            both = np.stack([spans.masked, spans.ngram])
            score = x @ both
            total = logsumexp(score)
            value += total - score[true]
            slope += both @ np.exp(score - total) - both[:, true]
        return value / len(known), slope / len(known)

    best = minimize(surprise, np.array([0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=[(0.0, 3.0)] * 2).x
    length = np.array([len(true) for true in truth])
    for k in set(length.tolist()):
        among = np.array([len(i) > 0 for i in at])[length == k]
        covered = min((among.sum() + 1) / (len(among) + 2), 1 - 1e-3)  # a few gaps say neither never nor always
        values = {"masked": best[0], "ngram": best[1], "covered": covered}
        weights = replace(weights, **{n: _with(getattr(weights, n), k - 1, float(v)) for n, v in values.items()})
    return weights


def _with(values: tuple[float, ...], at: int, value: float) -> tuple[float, ...]:
    return (*values[:at], value, *values[at + 1 :])


def choose_evidence(found: Sequence[Sequence[Spans]], truth: Sequence[int], weights: Weights) -> Weights:
    """The exponent under which the true lengths are likeliest; `found` holds, for each gap, candidates of all lengths."""
    tried = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2]
    made = [replace(weights, evidence=x) for x in tried]
    return max(made, key=lambda w: sum(lengths(w, spans)[true - 1] for spans, true in zip(found, truth, strict=True)))


def prior(texts: Sequence[Text]) -> tuple[float, ...]:
    """How often breaks are 1, 2 ... `LONGEST` signs long, each counted once more than it was seen."""
    count = np.ones(LONGEST)
    for line in (line for text in texts for line in text.lines):
        for token, run in itertools.groupby(line.tokens):
            many = len(list(run))
            if token == corpus.BREAK and many <= LONGEST:
                count[many - 1] += 1
    return tuple((count / count.sum()).tolist())
