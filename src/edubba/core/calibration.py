"""Whether probabilities keep what they promise: temperature, calibration error, reliability, abstention.

Fit the temperature on pictures that were not trained on, and measure on others again.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from edubba.core import streams
from edubba.core.errors import UserError

COLDEST, HOTTEST = 0.01, 100.0


def temperature(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"]) -> float:
    """The number to divide logits by so that their softmax is calibrated (Guo et al. 2017, section 4.2).

    Minimises the mean negative log likelihood, which is convex in 1 / temperature, between 0.01 and 100. Where every
    picture is right the likelihood only grows as the temperature falls, and the lower end is returned.
    """
    _check_labels(labels, *logits.shape)
    logits = logits.astype(np.float64)
    own = logits[np.arange(len(labels)), labels]

    def nll(log_temperature: float) -> float:
        t = np.exp(log_temperature)
        return float(np.mean(logsumexp(logits / t, axis=1) - own / t))

    bounds = np.log(COLDEST), np.log(HOTTEST)
    best = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-8}).x
    return float(np.exp(min((*bounds, best), key=nll)))  # the search never tries the ends themselves


class Reliability(NamedTuple):
    """Per bin of confidence: mean confidence, share right, and pictures; NaN in the first two of an empty bin."""

    confidence: Float64[np.ndarray, "bins"]
    accuracy: Float64[np.ndarray, "bins"]
    count: Int64[np.ndarray, "bins"]


def reliability(
    probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"], *, bins: int = 15
) -> Reliability:
    """Confidence against accuracy in equal-width bins of the largest probability; a bin holds its upper edge."""
    confidence, right = _answers(probabilities, labels)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = np.where(count == 0, np.nan, count)
    return Reliability(
        confidence=np.bincount(place, weights=confidence, minlength=bins) / filled,
        accuracy=np.bincount(place, weights=right, minlength=bins) / filled,
        count=count,
    )


def ece(probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"], *, bins: int = 15) -> float:
    """Expected calibration error of the largest probability (Guo et al. 2017, equation 3), 0 to 1.

    Never quite 0 on few pictures: a perfectly calibrated bin of m pictures adds about sqrt(2 p (1 - p) / (pi m)), by
    its share.
    """
    bin_ = reliability(probabilities, labels, bins=bins)
    gap = np.abs(bin_.accuracy - bin_.confidence)
    return float(np.nansum(bin_.count * gap) / len(labels))


def ece_equal_mass(confidence: Float[np.ndarray, "n"], right: Bool[np.ndarray, "n"], *, bins: int = 15) -> float:
    """Expected calibration error over bins that hold as many pictures each (Nixon et al. 2019), 0 to 1."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(float(confidence[part].mean()) - float(right[part].mean())) for part in parts]
    return sum(gaps) / len(order)


def ece_by_chance(
    confidence: Float[np.ndarray, "n"], *, bins: int = 15, draws: int = 1000, seed: int = 0
) -> Float64[np.ndarray, "draws"]:
    """`ece_equal_mass` of answers that are right exactly as often as they say: what few pictures make of no error at all.

    Rising; an error below the last twentieth is none that could be told from 0 at 5 % (Vaicenavicius et al. 2019).
    """
    order = np.argsort(confidence, kind="stable")
    drawn = streams.uniform(seed, "right by chance", index=np.arange(draws), k=len(confidence))
    right = drawn < confidence[order]
    gaps = [
        np.abs((right[:, part] - confidence[order][part]).sum(axis=1))
        for part in np.array_split(np.arange(len(order)), min(bins, len(order)))
    ]
    return np.sort(np.sum(gaps, axis=0) / len(order))


def brier(probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"]) -> float:
    """Brier score over all classes (Brier 1950): mean squared distance to the one-hot truth, 0 (best) to 2."""
    _check(probabilities, labels)
    truth = np.arange(probabilities.shape[1]) == labels[:, None]
    return float(np.mean(np.sum((probabilities.astype(np.float64) - truth) ** 2, axis=1)))


class Abstention(NamedTuple):
    """What answering only from some confidence on costs and brings, from the strictest threshold to answering all."""

    confidence: Float64[np.ndarray, "k"]
    coverage: Float64[np.ndarray, "k"]
    accuracy: Float64[np.ndarray, "k"]


def abstention(probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"]) -> Abstention:
    """Accuracy on the pictures answered against their share, for every threshold on the largest probability.

    Row i answers where the confidence is at least `confidence[i]`; pictures of equal confidence are answered together.
    One minus accuracy is the risk of El-Yaniv and Wiener (2010).
    """
    confidence, right = _answers(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    last = np.append(np.flatnonzero(np.diff(confidence)), len(confidence) - 1)
    answered = last + 1
    return Abstention(confidence[last], answered / len(confidence), np.cumsum(right)[last] / answered)


def _answers(probabilities, labels) -> tuple[np.ndarray, np.ndarray]:
    """(n,) confidence and (n,) whether the likeliest class is the true one."""
    _check(probabilities, labels)
    probabilities = probabilities.astype(np.float64)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == labels).astype(np.float64)


def _check(probabilities, labels) -> None:
    _check_labels(labels, *probabilities.shape)
    total = probabilities.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((np.abs(total - 1) > 1e-3) | (probabilities < 0).any(axis=1) | np.isnan(total))
    if len(wrong):
        i = wrong[0]
        raise UserError(f"row {i} of the probabilities is {probabilities[i].tolist()}: apply a softmax to logits first")


def _check_labels(labels, n, classes) -> None:
    if n == 0:
        raise UserError("there are no pictures to calibrate on")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
