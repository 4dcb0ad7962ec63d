"""Results and their intervals: what was measured, how sure it is, and the command that made it."""

import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
