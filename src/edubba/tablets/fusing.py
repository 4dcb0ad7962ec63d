"""Ink and context: what a classifier sees in each sign, joined to what the signs around it say."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.special import logsumexp

from edubba.tablets import corpus, filling, masked
from edubba.tablets.filling import FIRST, Place, Restorer

ROUNDS = 2
"""how often the context is read again from what the signs were taken for"""
RARE = 2.0
"""how much less likely, in nats, a name that the texts never have is than its ink says; from validation photographs"""
NAMED = 10
"""names of a sign that the first reading tries"""
WIDE = 30
"""readings of a line that are followed up"""


def fuse_lines(
    lines: Sequence[Float[np.ndarray, "_ names"]],
    names: Sequence[str],
    model: Restorer,
    *,
    damage: Sequence[Float[np.ndarray, "_"]] | None = None,
) -> list[Float64[np.ndarray, "_ names"]]:
    """p(name | ink, context) of each sign, proportional to p(name | ink)^a p(name | context)^b / p(name)^c.

    Parameters
    ----------
    lines
        Log probabilities of a classifier over `names`, a row for each sign in reading order; for a sign of which nothing
        is left, any row of equal numbers.
    names
        The classifier's; of one that the texts never have, context only says that it is rare.
    model
        Its `weights` hold the exponents a, b, c (`ink`, `context`, `share`).
    damage
        How far the ink of each sign is trusted, 0 to 1; None: 1 everywhere.

    Returns
    -------
    Posteriors; each row sums to 1.
    """
    size = [len(line) for line in lines]
    if not sum(size):
        return [np.zeros((n, len(names))) for n in size]
    ink, context, share = evidence(lines, names, model, damage=damage)
    weights = model.weights
    log_p = joined(ink, context, share, weights.ink, weights.context, weights.share)
    return np.split(np.exp(log_p), np.cumsum(size)[:-1])


def joined(
    ink: Float64[np.ndarray, "n names"], context: Float64[np.ndarray, "n names"], share: Float64[np.ndarray, "names"],
    a: float, b: float, c: float,
) -> Float64[np.ndarray, "n names"]:  # fmt: skip
    """Log posteriors from what `evidence` gives.

    All names that the texts never have (NaN in `context`) are together e^-`RARE` times as likely as by their ink.
    """
    told = ~np.isnan(context).all(axis=0)
    score = np.where(told, a * ink + b * context - c * share, a * ink)
    if told.any() and not told.all():
        change = logsumexp(score[:, told], axis=1) - logsumexp(a * ink[:, told], axis=1)
        score[:, ~told] += change[:, None] - RARE
    return score - logsumexp(score, axis=1, keepdims=True)


def evidence(
    lines: Sequence[Float[np.ndarray, "_ names"]], names: Sequence[str], model: Restorer, *,
    damage: Sequence[Float[np.ndarray, "_"]] | None = None,
) -> tuple[Float64[np.ndarray, "n names"], Float64[np.ndarray, "n names"], Float64[np.ndarray, "names"]]:  # fmt: skip
    """Log p(name | ink), log p(name | context) for every sign, and log p(name); a name that the texts never have is NaN.

    The context of a sign is what all others are taken for: at first by a beam over the n-gram and the ink, then by the
    posteriors themselves, `ROUNDS` times.
    """
    weights = model.weights
    number = np.array([model.vocabulary.number.get(name, -1) for name in names])
    number = np.where(number < FIRST, -1, number)
    trust = np.concatenate(damage) if damage is not None else np.ones(sum(map(len, lines)))
    ink = np.concatenate(lines).astype(np.float64) * trust[:, None]
    ink = ink - logsumexp(ink, axis=1, keepdims=True)
    share = _share(model, number)
    tokens, at = [corpus.SPECIAL.index(corpus.LINE)], []
    for line in lines:
        at += range(len(tokens), len(tokens) + len(line))
        tokens += [-1] * len(line) + [corpus.SPECIAL.index(corpus.LINE)]
    taken = _beam(model, np.array(tokens), np.array(at), ink, share, number)
    context = np.zeros_like(ink)
    for _ in range(ROUNDS):
        context = np.stack([_context(model, spans, number) for spans in _each(model, taken, at)])
        score = joined(ink, context, share, weights.ink, weights.context, weights.share)
        taken = taken.copy()
        taken[at] = _number_of(number, score.argmax(1))
    return ink, context, share


def _each(model: Restorer, tokens: np.ndarray, at: Sequence[int]) -> list[filling.Spans]:
    """Candidates for some places of a text, each while all others are known."""
    p = masked.everywhere(model.masked, tokens, bf16=model.bf16)
    made = []
    for i in at:
        signs, joint = filling.ngram_spans(model.ngram, Place(tokens[:i], tokens[i + 1 :]), 1)
        made.append(filling.Spans(signs, p[i, signs[:, 0]], joint, 0.0))
    return made


def _share(model: Restorer, number: Int64[np.ndarray, "names"]) -> Float64[np.ndarray, "names"]:
    p = model.ngram.distribution(np.zeros((1, 0), np.int64))[0]
    least = p[p > 0].min()
    return np.log(np.where(number >= 0, p[number], least))


def _context(model: Restorer, spans: filling.Spans, number: Int64[np.ndarray, "names"]) -> Float64[np.ndarray, "names"]:
    log_p = filling.weighed(model.weights, spans)
    of_token = np.full(len(model.vocabulary), -np.inf)
    of_token[spans.tokens[:, 0]] = log_p
    return np.where(number >= 0, of_token[number], np.nan)


def _number_of(number: Int64[np.ndarray, "names"], best: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    return np.where(number[best] >= 0, number[best], corpus.SPECIAL.index(corpus.UNREAD))


def _beam(
    model: Restorer, tokens: np.ndarray, at: np.ndarray, ink: np.ndarray, share: np.ndarray, number: np.ndarray
) -> Int64[np.ndarray, "n"]:
    """The likeliest reading of all lines by ink and n-gram."""
    weights, n = model.weights, model.ngram.order - 1
    sign = dict(zip(at.tolist(), range(len(at)), strict=True))
    rows, score = np.full((1, 0), 0, np.int64), np.zeros(1)
    for i, token in enumerate(tokens):
        if i in sign:
            best = np.argsort(-ink[sign[i]], kind="stable")[:NAMED]
            written = _number_of(number, best)
            own = weights.ink * ink[sign[i], best] - weights.share * share[best]
        else:
            written, own = np.array([token]), np.zeros(1)
        before = np.repeat(rows[:, max(0, i - n) :], len(written), 0)
        p = model.ngram.probability(before, np.tile(written, len(rows)))
        total = np.repeat(score, len(written)) + np.tile(own, len(rows)) + weights.context * np.log(p)
        keep = np.argsort(-total, kind="stable")[:WIDE]
        rows = np.concatenate([rows[keep // len(written)], written[keep % len(written)][:, None]], 1)
        score = total[keep]
    return rows[0]


def choose_exponents(
    tablets: Sequence[Sequence[Float[np.ndarray, "_ names"]]], names: Sequence[str], truth: Sequence[Sequence[str]],
    model: Restorer,
) -> Restorer:  # fmt: skip
    """The same restorer with the exponents under which the true names of validation tablets are likeliest.

    Parameters
    ----------
    tablets
        For each tablet what `fuse_lines` takes.
    truth
        For each tablet the names of its signs, line after line; a name that is not among `names` does not count.
    """
    parts = []
    for lines, true in zip(tablets, truth, strict=True):
        ink, context, share = evidence(lines, names, model)
        index = {name: i for i, name in enumerate(names)}
        kept = np.array([name in index for name in true], bool)
        parts.append((ink[kept], context[kept], share, np.array([index[name] for name in true if name in index], int)))
    tried = itertools.product((0.5, 0.75, 1.0, 1.25), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))

    def likely(exponents: tuple[float, float, float]) -> float:
        a, b, c = exponents
        total = 0.0
        for ink, context, share, true in parts:
            total += joined(ink, context, share, a, b, c)[np.arange(len(true)), true].sum()
        return total

    a, b, c = max(tried, key=likely)
    return replace(model, weights=replace(model.weights, ink=a, context=b, share=c))
