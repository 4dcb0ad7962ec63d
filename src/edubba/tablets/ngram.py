"""Interpolated n-grams (Witten and Bell 1991; Chen and Goodman 1999 for the recursive form), counted and asked in arrays.

p(w | h) = (c(h, w) + t(h) p(w | h')) / (c(h) + t(h)), where h' is h without its first token, t(h) the number of different
tokens that were seen after h; below the shortest history stands the uniform distribution over what may be written.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True)
class Level:
    """Counts of one length of history. Histories are numbers in base `size`, the oldest token first."""

    history: Int64[np.ndarray, "h"]
    """sorted, each once"""
    total: Float64[np.ndarray, "h"]
    kinds: Float64[np.ndarray, "h"]
    first: Int64[np.ndarray, "h1"]
    """the words after history i are those from first[i] to first[i + 1]"""
    word: Int64[np.ndarray, "n"]
    count: Float64[np.ndarray, "n"]
    key: Int64[np.ndarray, "n"]
    """history number times `size` plus word, sorted"""


@dataclass(frozen=True)
class NGram:
    """p(token | tokens before it)."""

    size: int
    """tokens in the vocabulary"""
    base: Float64[np.ndarray, "v"]
    """what is believed before anything was seen"""
    levels: tuple[Level, ...]
    """of histories of 0, 1, 2 ... tokens"""

    @property
    def order(self) -> int:
        return len(self.levels)

    def distribution(self, history: Int64[np.ndarray, "b h"]) -> Float64[np.ndarray, "b v"]:
        """p(every token | history): each row sums to 1. A history may be shorter or longer than the order needs."""
        p = np.repeat(self.base[None], len(history), 0)
        for length, level in enumerate(self.levels[: history.shape[1] + 1]):
            row, known = _find(level.history, self._number(history, length))
            at = np.flatnonzero(known)
            if not len(at):
                break
            row = row[at]
            whole = level.total[row] + level.kinds[row]
            p[at] *= (level.kinds[row] / whole)[:, None]
            many = level.first[row + 1] - level.first[row]
            seen = np.repeat(level.first[row] - np.cumsum(many) + many, many) + np.arange(many.sum())
            p[np.repeat(at, many), level.word[seen]] += level.count[seen] / np.repeat(whole, many)
        return p

    def probability(self, history: Int64[np.ndarray, "b h"], word: Int64[np.ndarray, "b"]) -> Float64[np.ndarray, "b"]:
        """p(word | history), a pair in each row."""
        p = self.base[word].copy()
        alive = np.arange(len(word))
        for length, level in enumerate(self.levels[: history.shape[1] + 1]):
            row, known = _find(level.history, self._number(history[alive], length))
            alive, row = alive[known], row[known]
            if not len(alive):
                break
            entry, seen = _find(level.key, row * self.size + word[alive])
            count = np.where(seen, level.count[np.minimum(entry, len(level.count) - 1)], 0.0)
            p[alive] = (count + level.kinds[row] * p[alive]) / (level.total[row] + level.kinds[row])
        return p

    def log_windows(
        self, left: Int64[np.ndarray, "b l"], words: Int64[np.ndarray, "b k"], right: Int64[np.ndarray, "b r"],
        *, first: int = 0, scored: frozenset[int] | None = None,
    ) -> Float64[np.ndarray, "b"]:  # fmt: skip
        """Log probability of `words` and of what follows them: the sum over all windows that hold one of the words.

        Parameters
        ----------
        left, right
            What stands before and after, the nearest `order` - 1 tokens of it.
        first
            Words before this one are not counted: they have been already.
        scored
            Tokens of `right` that are worth predicting; None: all.
        """
        n = self.order - 1
        line = np.concatenate([left[:, max(0, left.shape[1] - n) :], words, right[:, :n]], 1)
        start = min(n, left.shape[1])
        total = np.zeros(len(line))
        for at in range(start + first, line.shape[1]):
            p = np.log(self.probability(line[:, max(0, at - n) : at], line[:, at]))
            if scored is not None and at >= start + words.shape[1]:
                p = np.where(np.isin(line[:, at], list(scored)), p, 0.0)
            total += p
        return total

    def _number(self, history: Int64[np.ndarray, "b h"], length: int) -> Int64[np.ndarray, "b"]:
        number = np.zeros(len(history), np.int64)
        for token in history[:, history.shape[1] - length :].T:
            number = number * self.size + token
        return number


def _find(table: np.ndarray, wanted: np.ndarray) -> tuple[Int64[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """Where each number stands in a sorted table, and whether it does."""
    at = np.searchsorted(table, wanted)
    known = at < len(table)
    known[known] = table[at[known]] == wanted[known]
    return at, known


def count(sequences: Iterable[np.ndarray], *, size: int, order: int = 4, never: Iterable[int] = ()) -> NGram:
    """Count n-grams.

    Parameters
    ----------
    sequences
        Arrays of token numbers; no window reaches from one into the next.
    size
        Tokens in the vocabulary; at most 2 ** (63 / order).
    never
        Tokens that are never predicted (padding): they get no probability and are not counted as words.
    """
    if order < 1 or size**order >= 2**63:
        raise ValueError(f"order {order} over {size} tokens does not fit into 64 bits")
    never = np.array(sorted(never), np.int64)
    base = np.ones(size)
    base[never] = 0
    sequences = [np.asarray(s, np.int64) for s in sequences]
    levels = []
    for length in range(order):
        windows = [np.lib.stride_tricks.sliding_window_view(s, length + 1) for s in sequences if len(s) > length]
        rows = np.concatenate(windows) if windows else np.zeros((0, length + 1), np.int64)
        rows = rows[~np.isin(rows[:, -1], never)]
        number = np.zeros(len(rows), np.int64)
        for token in rows.T:
            number = number * size + token
        gram, times = np.unique(number, return_counts=True)
        history, first = np.unique(gram // size, return_index=True)
        first = np.append(first, len(gram))
        total = np.add.reduceat(times, first[:-1]) if len(gram) else np.zeros(0)
        word = gram % size
        row = np.repeat(np.arange(len(history)), np.diff(first))
        levels.append(
            Level(
                history, total.astype(np.float64), np.diff(first).astype(np.float64), first, word,
                times.astype(np.float64), row * size + word,
            )
        )  # fmt: skip
    return NGram(size, base / base.sum(), tuple(levels))
