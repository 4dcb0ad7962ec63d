"""The laws that the tests rest on, as base-10 logarithms that stay exact far below the smallest floating number.

All p-values are one-sided: agreement with the key counts, disagreement does not.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

LN10 = math.log(10)


def cosine_log10_p(c: float, d: int) -> float:
    """Chance that a uniformly random direction of d dimensions has at least the cosine c with a fixed vector.

    For the rows W and the carriers G of K classes in d dimensions, C = <G, W> / |G| |W| follows this law with K d
    dimensions, exactly and for any W, if the carriers are independent standard normal and kept at their lengths. With
    carriers scaled to length 1 it is only close: use `stouffer_log10_p` of the classes' own cosines, which is exact.

    >>> round(cosine_log10_p(0.5, 512), 9)
    -33.376833857
    """
    if not -1 <= c <= 1:
        raise ValueError(f"{c} is not a cosine")
    if d < 2:
        raise ValueError(f"{d} dimensions: a direction needs 2")
    a, squared = (d - 1) / 2, c * c
    if squared == 1:
        return -math.inf if c > 0 else 0.0
    both = float(special.betaincc(0.5, a, squared))
    if both > 1e-290:
        return math.log10(both / 2) if c >= 0 else math.log1p(-both / 2) / LN10
    if c < 0:
        return 0.0
    # I_x(a, 1/2) as a series of positive terms, for where the library's own result is 0
    x = 1 - squared
    n = np.arange(math.ceil(50 / -math.log(x)) + 1)
    terms = np.concatenate([[0.0], np.cumsum(np.log((a + 0.5 + n) / (a + 1 + n)) + math.log(x))])
    log_both = a * math.log(x) + math.log(abs(c)) - math.log(a) - special.betaln(a, 0.5) + special.logsumexp(terms)
    return float((log_both - math.log(2)) / LN10)


def normal_log10_p(z: float) -> float:
    """Chance that a standard normal number is at least z.

    >>> round(normal_log10_p(40.0), 8)
    -349.43700646
    """
    return float(special.log_ndtr(-z) / LN10)


def stouffer_log10_p(log10_p: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray) -> float:
    """Independent p-values combined as normal numbers: Z = sum w z / |w|; the weights must be fixed beforehand.

    Exact where each p is. Right where every class carries a little of the signal, which Fisher's combination loses.
    """
    z = -special.ndtri_exp(np.asarray(log10_p, dtype=float) * LN10)
    w = np.asarray(weights, dtype=float)
    if z.shape != w.shape:
        raise ValueError(f"{len(z)} p-values but {len(w)} weights")
    return normal_log10_p(float((w * z).sum() / np.sqrt((w**2).sum())))


def fisher_log10_p(log10_p: Sequence[float] | np.ndarray) -> float:
    """Independent p-values combined as the radioactive-data paper does: -2 sum ln p is chi-squared with 2 K degrees.

    Its power lies in a few classes with a strong signal; see `stouffer_log10_p`.
    """
    p = np.asarray(log10_p, dtype=float)
    h = float(-p.sum() * LN10)
    if h == 0:
        return 0.0
    j = np.arange(len(p))
    return float((special.logsumexp(j * math.log(h) - special.gammaln(j + 1)) - h) / LN10)


class EProcess:
    """Evidence against fair coins that may be looked at after every coin (Ville 1939; Krichevsky and Trofimov 1981).

    Starting from 1, a share of the capital is bet on the next win: 2 (wins + 1/2) / (n + 1) - 1 of it, never on a
    loss. Under fair coins the capital exceeds 1 / alpha at any time with a chance of at most alpha.

    >>> e = EProcess()
    >>> [e.update(win) for win in (True, True)]
    [1.0, 1.5]
    """

    def __init__(self) -> None:
        self.wins = 0
        self.n = 0
        self.log_e = 0.0
        self.highest = 0.0
        """largest log_e so far"""

    def update(self, win: bool) -> float:
        """Take the next coin; the capital after it."""
        bet = max(0.0, 2 * (self.wins + 0.5) / (self.n + 1) - 1)
        self.log_e += math.log1p(bet if win else -bet)
        self.wins, self.n = self.wins + bool(win), self.n + 1
        self.highest = max(self.highest, self.log_e)
        return math.exp(self.log_e)

    @property
    def log10_p(self) -> float:
        """Bound on the chance of having ever stood as high."""
        return -self.highest / LN10
