"""Results and their intervals: what was measured, how sure it is, and the command that made it."""

import math
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from edubba import __version__
from edubba.core import machine, streams
from edubba.core.errors import UserError

CHUNK = 2**21  # random numbers held at once: 16 MB


@dataclass(frozen=True)
class Result:
    """One number with its evidence. `low` and `high` are None where no interval makes sense."""

    name: str
    value: float
    low: float | None
    high: float | None
    level: float | None
    """share of such intervals that hold the true value; None without an interval"""
    method: str
    n: int
    """independent units behind the number: pictures, or groups where they are known"""
    unit: str
    """what was resampled: picture, tablet, patient ..."""
    draws: int
    """draws of labels, or runs, whose values were averaged"""
    seed: int
    data: str
    split: str
    seconds: float
    command: str
    machine: str
    edubba: str
    date: str

    def __post_init__(self) -> None:
        numbers = [x for x in (self.value, self.low, self.high, self.level, self.seconds) if x is not None]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{self.name}: {numbers} holds a number that is not finite")
        if (self.low is None) != (self.high is None) or (self.low is None) != (self.level is None):
            raise ValueError(f"{self.name}: low {self.low}, high {self.high} and level {self.level} go together")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.name}: low {self.low} is above high {self.high}")

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Result":
        """The result that `to_dict` wrote.

        Raises
        ------
        UserError
            A field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if row.keys() != names:
            wrong = ", ".join(sorted(row.keys() ^ names))
            raise UserError(f"result {row.get('name', '')!r} has missing or unknown fields: {wrong}")
        reals = ("value", "low", "high", "level", "seconds")  # other programs write 1.0 as 1
        values: dict[str, Any] = row | {key: float(row[key]) for key in reals if row[key] is not None}
        return cls(**values)


def result(
    name: str,
    value: Any,
    low: Any = None,
    high: Any = None,
    *,
    method: str,
    n: int,
    unit: str,
    data: str,
    split: str,
    seconds: float,
    level: float = 0.95,
    draws: int = 1,
    seed: int = 0,
) -> Result:
    """A Result made now, here, by this command: fills in command, machine, version and date.

    With `*bootstrap(...)` as value, low and high. An interval that one unit cannot give is said in `method`.
    """
    return Result(
        name=name,
        value=float(value),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        level=None if low is None else level,
        method=f"{method}; one {unit} gives no interval" if low is None and n == 1 else method,
        n=int(n),
        unit=unit,
        draws=int(draws),
        seed=int(seed),
        data=data,
        split=split,
        seconds=round(float(seconds), 3),
        command=command(),
        machine=str(machine.facts()["machine"]),
        edubba=__version__,
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def command() -> str:
    """The command that is running, quoted for a shell; the program by its bare name."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m edubba
    return shlex.join([name, *sys.argv[1:]])


class Interval(NamedTuple):
    """A value with the ends of its interval, both None where there is none."""

    value: float
    low: float | None
    high: float | None


def bootstrap(
    statistic: Callable[..., Any],
    values: np.ndarray | tuple[np.ndarray, ...],
    *,
    group: np.ndarray | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over whole groups (Efron and Tibshirani 1993, chapter 13).

    Below about twenty groups such intervals are somewhat too narrow. For a paired difference, give both methods' values
    in a tuple and take the difference in `statistic`.

    Parameters
    ----------
    statistic
        Takes the resampled rows, one argument for each array of `values`, and returns a number. `np.mean` of one array
        is fast. A resample on which it is NaN counts as beyond both ends.
    values
        An array whose first axis are the rows, or a tuple of such arrays of equal length.
    group
        (n,) what repeats independently (tablet, patient); None: each row by itself.
    level
        Between 0 and 1.
    draws
        Number of resamples. Resample r depends on `seed` and r alone.

    Returns
    -------
    The statistic of the rows as they are, and the interval. Low and high are None with a single group, which says
    nothing about how groups differ, and where the statistic is NaN on too many resamples to name an end.

    >>> bootstrap(np.mean, np.arange(101.0)).value
    50.0
    """
    arrays = values if isinstance(values, tuple) else (values,)
    return bootstrap_draws(
        statistic, tuple(np.asarray(v)[None] for v in arrays), group=group, level=level, draws=draws, seed=seed
    )


def bootstrap_draws(
    statistic: Callable[..., Any],
    values: np.ndarray | tuple[np.ndarray, ...],
    *,
    group: np.ndarray | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """`bootstrap` of a statistic averaged over draws of labels, or runs, that were tested on the same rows.

    A resample takes the same groups in every draw. The interval is about other groups of the same kind; how much one
    draw differs from the next is another number, which it does not hold.

    Parameters
    ----------
    values
        (draws, n, ...): row i is the same picture in all of them; or a tuple of such arrays.
    statistic, group, level, draws, seed
        As in `bootstrap`; `draws` is the number of resamples.
    """
    arrays = tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))
    n = arrays[0].shape[1]
    if n == 0 or any(v.shape[:2] != arrays[0].shape[:2] for v in arrays):
        raise UserError(
            f"values of {' and '.join(str(v.shape[1]) for v in arrays)} rows: as many in each, at least one"
        )
    if group is not None and np.shape(group) != (n,):
        raise UserError(f"{n} rows but groups for {len(group)}")
    if not 0 < level < 1:
        raise UserError(f"level {level} is not between 0 and 1")
    if draws < 1:
        raise UserError(f"{draws} resamples: at least 1 is needed")

    member = np.arange(n) if group is None else np.unique(group, return_inverse=True)[1]
    size = np.bincount(member)
    groups = len(size)
    value = float(np.mean([statistic(*(v[d] for v in arrays)) for d in range(len(arrays[0]))]))
    if groups == 1:
        return Interval(value, None, None)

    if statistic is np.mean and len(arrays) == 1 and arrays[0].ndim == 2:
        total = np.bincount(member, weights=arrays[0].mean(0))

        def of(pick: np.ndarray) -> np.ndarray:
            return total[pick].sum(1) / size[pick].sum(1)
    else:
        order = np.argsort(member, kind="stable")
        first = np.cumsum(size) - size

        def of(pick: np.ndarray) -> np.ndarray:
            return np.array([one(_rows(order, first, size, p)) for p in pick])

        def one(rows: np.ndarray) -> float:
            return float(np.mean([statistic(*(v[d, rows] for v in arrays)) for d in range(len(arrays[0]))]))

    step = max(1, CHUNK // groups)
    resampled = np.concatenate(
        [of(_pick(seed, np.arange(r, min(r + step, draws)), groups)) for r in range(0, draws, step)]
    )
    tail = (1 - level) / 2
    low = np.quantile(np.where(np.isnan(resampled), -np.inf, resampled), tail, method="lower")
    high = np.quantile(np.where(np.isnan(resampled), np.inf, resampled), 1 - tail, method="higher")
    if not (np.isfinite(low) and np.isfinite(high)):
        return Interval(value, None, None)
    return Interval(value, float(low), float(high))


def _pick(seed: int, resample: np.ndarray, groups: int) -> np.ndarray:
    """(resamples, groups): the groups in each resample, drawn with replacement."""
    return (streams.uniform(seed, "bootstrap", index=resample, k=groups) * groups).astype(np.int64)


def _rows(order: np.ndarray, first: np.ndarray, size: np.ndarray, pick: np.ndarray) -> np.ndarray:
    """The rows of the picked groups, one group after the other; `order` holds each group's rows side by side."""
    sizes = size[pick]
    starts = first[pick] - (np.cumsum(sizes) - sizes)
    return order[np.repeat(starts, sizes) + np.arange(sizes.sum())]


def clopper_pearson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Share k / n with an exact interval for independent trials (Clopper and Pearson 1934).

    >>> [round(x, 4) for x in clopper_pearson(5, 100)]
    [0.05, 0.0164, 0.1128]
    """
    from scipy.special import betaincinv

    if not 0 <= k <= n or n < 1:
        raise UserError(f"{k} of {n} trials: from none to all of at least one")
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Interval(k / n, low, high)


def holm(p: Sequence[float] | np.ndarray) -> Float64[np.ndarray, "n"]:
    """p-values adjusted for being several (Holm 1979): reject those of at most alpha, whatever their dependence.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def sign_log10_p(wins: int, n: int) -> float:
    """log10 of the chance that n fair coins show at least so many wins: the sign test, ties left out beforehand.

    >>> round(10 ** sign_log10_p(8, 10), 7)
    0.0546875
    """
    from scipy.special import gammaln, logsumexp

    if not 0 <= wins <= n:
        raise UserError(f"{wins} wins of {n} coins: from none to all")
    if wins == 0:
        return 0.0
    k = np.arange(wins, n + 1)
    log_ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return float(min(0.0, (logsumexp(log_ways) - n * math.log(2)) / math.log(10)))


def permutation_test(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, draws: int = 10_000, seed: int = 0
) -> float:
    """Chance that a's sum would exceed b's by at least as much if each pair were swapped at random: one-sided p.

    Row i of both is the same unit (topic, seed, picture) under two methods. All 2^n swaps are tried where they are at most
    `draws`, and the p is exact; else it is (1 + as large) / (draws + 1), which holds its level too.

    >>> d = [1.2, -0.3, 0.8, 2.1, -0.5, 0.9, 1.7, 0.4, -0.1, 0.6]
    >>> permutation_test(d, [0.0] * 10)
    0.0185546875
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if difference.ndim != 1 or not len(difference) or not np.isfinite(difference).all():
        raise UserError(
            f"pairs of {np.shape(a)} and {np.shape(b)} numbers: give one row of finite numbers for each method"
        )
    n = len(difference)
    reached = difference.sum() - 1e-12 * np.abs(difference).sum()  # sums in another order differ by rounding
    exact = n < 60 and 2**n <= draws
    count, step = 0, max(1, CHUNK // n)
    total = 2**n if exact else draws
    for first in range(0, total, step):
        index = np.arange(first, min(first + step, total))
        if exact:
            keep = (index[:, None] >> np.arange(n)) & 1
        else:
            keep = streams.bits(seed, "permutation test", index=index, k=n) >> np.uint64(63)
        count += int((np.where(keep, difference, -difference).sum(1) >= reached).sum())
    return count / total if exact else (1 + count) / (1 + total)
