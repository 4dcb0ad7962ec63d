"""Tables beside pictures: labels, groups and splits, and how few labels are drawn from many."""

import csv
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from edubba.core import streams
from edubba.core.errors import UserError

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test", "": ""}


@dataclass(frozen=True)
class Table:
    """Labels of files: row i of every column belongs to `file[i]`; an empty string means that nothing is known."""

    file: Shaped[np.ndarray, " n"]
    """posix names relative to the source"""
    label: Shaped[np.ndarray, " n"]
    group: Shaped[np.ndarray, " n"] | None = None
    """what a split must not tear apart: patient, tablet, speaker"""
    split: Shaped[np.ndarray, " n"] | None = None
    """train, validation, test, or empty"""
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """every other column, as strings"""
    name: str = "labels.csv"
    """where the table comes from, for messages"""


def read_labels(path: str | Path, *, content: bytes | None = None) -> Table:
    """Labels from a csv file with the columns `file` and `label`, perhaps `group` and `split`, and any others.

    Everything is a string: a sign called NA stays "NA". Spaces around a field are dropped, backslashes in file names
    become slashes, and `val` becomes `validation`.

    Parameters
    ----------
    path
        The file, UTF-8 with or without a byte order mark.
    content
        The file's bytes where they are at hand (from a tar); `path` then only names them in messages.

    Raises
    ------
    UserError
        A column is missing, a row has too many or too few fields, a file has two rows, a split is unknown, or a
        group lies in two splits.
    """
    try:
        text = (Path(path).read_bytes() if content is None else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no table {path}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None
    header = rows[0][1] if rows else []
    for column in ("file", "label"):
        if column not in header:
            raise UserError(
                f"{path} lacks the column {column!r}: its first line must name file and label, but names "
                + (", ".join(header) or "nothing")
            )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(f"{path} has two columns called {twice!r}: rename one")
    line_of: dict[str, int] = {}
    position = header.index("file")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise UserError(f"{path}:{line}: {len(row)} fields where the first line has {len(header)}")
        row[position] = row[position].replace("\\", "/").removeprefix("./")
        if row[position] in line_of:
            first = line_of[row[position]]
            raise UserError(f"{path}:{line}: {row[position]} has a row already, at line {first}: keep one of them")
        line_of[row[position]] = line
    columns = {name: np.array([row[i] for _, row in rows[1:]], dtype=str) for i, name in enumerate(header)}
    split = columns.pop("split", None)
    table = Table(
        columns.pop("file"),
        columns.pop("label"),
        columns.pop("group", None),
        None if split is None else split_words(split, name=str(path)),
        columns,
        str(path),
    )
    check_groups(table.group, table.split, name=table.name)
    return table


def split_words(words: Sequence[str] | np.ndarray, *, name: str) -> Shaped[np.ndarray, " n"]:
    """Every word of a split column as train, validation, test or empty; `name` is the table's, for the message."""
    unique, which = np.unique(np.asarray(words, dtype=str), return_inverse=True)
    for word in unique:
        if word.lower() not in SPLITS:
            raise UserError(f"{name} has the split {str(word)!r}: it must be train, validation (or val) or test")
    return np.array([SPLITS[word.lower()] for word in unique], dtype="U10")[which]


def check_groups(group: np.ndarray | None, split: np.ndarray | None, *, name: str) -> None:
    """Refuse a group that lies in two splits: what is learnt from one part of it would be tested on the other."""
    if group is None or split is None:
        return
    known = (group != "") & (split != "")
    pairs = sorted(set(zip(group[known].tolist(), split[known].tolist(), strict=True)))
    for (a, first), (b, second) in itertools.pairwise(pairs):
        if a == b:
            raise UserError(f"{name} has the group {a!r} in two splits ({first} and {second}): keep a group whole")


def align(table: Table, file: np.ndarray, *, source: str, skipped: Sequence[str] = ()) -> Table:
    """The rows of `table` in the order of `file`; a picture without a row gets empty strings.

    Parameters
    ----------
    table
        Labels, in any order.
    file
        (n,) names of the pictures in `source`.
    source
        Name of the source, for the message.
    skipped
        Names of files that could not be read: a row for one of them is no mistake.

    Raises
    ------
    UserError
        A row names a file that is neither a picture of the source nor skipped.
    """
    row_of = {name: i for i, name in enumerate(table.file.tolist())}
    row = np.array([row_of.get(name, -1) for name in file.tolist()], dtype=np.int64)
    known = set(file.tolist()) | set(skipped)
    strange = [name for name in table.file.tolist() if name not in known]
    if strange:
        what = (
            f"{len(strange):,} files that are not pictures of" if len(strange) > 1 else "a file that is no picture of"
        )
        first = "the first is " if len(strange) > 1 else ""
        raise UserError(
            f"{table.name} labels {what} {source} ({first}{strange[0]!r}): correct the names or drop the rows"
        )

    def take(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else np.append(column, "")[row]  # row -1 is the appended empty string

    extra = {name: np.append(column, "")[row] for name, column in table.extra.items()}
    return Table(file, np.append(table.label, "")[row], take(table.group), take(table.split), extra, table.name)


class Splits(NamedTuple):
    """Three parts of a set, as sorted positions; a part that nobody asked for is empty."""

    train: Int[np.ndarray, " a"]
    validation: Int[np.ndarray, " b"]
    test: Int[np.ndarray, " c"]


def split(
    labels: Sequence | np.ndarray,
    *,
    group: Sequence | np.ndarray | None = None,
    test: float = 0.2,
    validation: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Cut a labelled set into train, validation and test: groups stay whole, labels are spread evenly.

    Greedy, the largest group first, each to the part that lacks its labels most (after Sechidis et al. 2011, "On the
    stratification of multi-label data"). Without groups every class is divided to within one picture of its share.

    Parameters
    ----------
    labels
        (n,) labels. A picture with an empty label comes into no part.
    group
        (n,) what must not be torn apart; a picture with an empty group stands alone.
    test, validation
        Shares of the labelled pictures, 0 for none; train takes the rest.
    seed
        Decides between equals.

    Raises
    ------
    UserError
        There is only one label, fewer groups than parts, or a part stays empty.

    >>> [part.size for part in split(["a"] * 50 + ["b"] * 10)]
    [36, 12, 12]
    """
    labels = np.asarray(labels, dtype=str)
    if test < 0 or validation < 0 or test + validation >= 1:
        raise UserError(f"shares of {test} for test and {validation} for validation leave nothing to train on")
    known = np.flatnonzero(labels != "")
    classes, y = np.unique(labels[known], return_inverse=True)
    if len(classes) < 2:
        have = f"the one label {str(classes[0])!r}" if len(classes) else "no label"
        raise UserError(f"the {len(labels):,} pictures have {have}: a split by label needs two")
    member = _whole(None if group is None else np.asarray(group, dtype=str)[known], len(known))
    size = np.bincount(member)
    share = np.array([1 - test - validation, validation, test])
    if len(size) < (parts := np.count_nonzero(share)):
        raise UserError(f"{parts} parts need {parts} groups or more, but there are {len(size)}: groups stay whole")

    by_group = np.argsort(member, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    count = np.bincount(y)
    need = share[:, None] * count  # (part, class): pictures still wanted
    room = share * len(y)
    part = np.empty(len(size), dtype=np.int64)
    shuffled = streams.permutation(seed, "split", n=len(size))
    for g in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        c, k = np.unique(y[by_group[start[g] : start[g + 1]]], return_counts=True)
        lack = need[:, c] @ (k / count[c]) + 1e-6 * room  # between equals, the part with more room
        part[g] = np.argmax(np.where(share > 0, lack, -np.inf))
        need[part[g], c] -= k
        room[part[g]] -= size[g]
    found = Splits(*(known[part[member] == p] for p in range(3)))
    for name, indices, wanted in zip(Splits._fields, found, share, strict=True):
        if wanted and not len(indices):
            raise UserError(
                f"the {len(size)} groups cannot be cut so that {name} gets a share of every label: "
                "give a larger share, more groups, or a split column"
            )
    return found


def _whole(group: np.ndarray | None, n: int) -> Int[np.ndarray, " n"]:
    """Number of the group of each of n pictures, 0 and up without gaps; an empty group is the picture's own."""
    if group is None:
        return np.arange(n)
    alone = group == ""
    named = np.unique(group[~alone], return_inverse=True)[1]
    member = np.empty(n, dtype=np.int64)
    member[~alone] = named
    member[alone] = np.arange(alone.sum()) + (named.max() + 1 if len(named) else 0)
    return member


def splits_of(
    given: Sequence | np.ndarray,
    labels: Sequence | np.ndarray,
    *,
    group: Sequence | np.ndarray | None = None,
    validation: float = 0.2,
    seed: int = 0,
) -> Splits:
    """The parts that a split column names; validation is cut from train, by group, where the column has none.

    Parameters
    ----------
    given
        (n,) train, validation, test or empty.
    labels, group
        As in `split`; a picture with an empty label comes into no part.
    validation
        Share of the training pictures that becomes validation where the column names none; 0 for none.

    Raises
    ------
    UserError
        The column names no training picture with a label, or train cannot be cut.
    """
    labels = np.asarray(labels, dtype=str)
    given = np.where(labels == "", "", split_words(given, name="the table"))
    train, held_out, test = (np.flatnonzero(given == name) for name in Splits._fields)
    if not len(train):
        raise UserError("the split column names no picture with a label as train: it must have some")
    if not len(held_out) and validation > 0:
        inner_group = None if group is None else np.asarray(group, dtype=str)[train]
        inner = split(labels[train], group=inner_group, test=0.0, validation=validation, seed=seed)
        train, held_out = train[inner.train], train[inner.validation]
    return Splits(train, held_out, test)


def draw_labels(
    labels: Sequence | np.ndarray,
    *,
    per_class: int | None = None,
    fraction: float | None = None,
    seed: int,
    draw: int,
) -> Int[np.ndarray, " m"] | None:
    """Positions of a few labels, drawn at random within each class: what a few-label experiment may see.

    Draws are nested: with the same seed and draw, five a class are among the twenty a class, 1 % among the 10 %.

    Parameters
    ----------
    labels
        (n,) labels; pictures with an empty one are never drawn.
    per_class
        Labels of each class; a class that has fewer gives all it has.
    fraction
        Or the share of each class, rounded to the nearest whole number.
    seed, draw
        Name of the draw.

    Returns
    -------
    Sorted positions, or None where some class would get no label at all: such a row is left out and named.

    >>> draw_labels(["a", "b"] * 30, fraction=0.01, seed=0, draw=0) is None
    True
    """
    labels = np.asarray(labels, dtype=str)
    order = streams.permutation(seed, "labels", draw, n=len(labels))
    order = order[labels[order] != ""]
    classes, y = np.unique(labels[order], return_inverse=True)
    chosen = []
    for c in range(len(classes)):
        members = order[y == c]
        if fraction is not None:
            k = math.floor(fraction * len(members) + 0.5)
        elif per_class is not None:
            k = per_class
        else:
            raise ValueError("give per_class or fraction")
        if k < 1:
            return None
        chosen.append(members[:k])
    return np.sort(np.concatenate(chosen)) if chosen else None
