"""Pictures: any source decoded once into small squares, with labels, groups and splits beside them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from edubba.core import decoded, files, picture, sources, tables
from edubba.core.errors import UserError
from edubba.core.picture import Skipped
from edubba.core.sources import Archive, Arrays, Folder


class Rows:
    """Rows of a memory map, read when they are asked for: `rows[i]` is a copy of `base[index[i]]`, free to write to."""

    def __init__(self, base: np.ndarray, index: Int[np.ndarray, " n"]) -> None:
        self.base = base
        self.index = index

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    @property
    def ndim(self) -> int:
        return self.base.ndim

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: Any) -> np.ndarray:
        first, *rest = item if isinstance(item, tuple) else (item,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        rows = self.index[first]
        if isinstance(first, slice):
            return self.base[rows][(slice(None), *rest)]
        picked = self.base[(rows, *rest)]
        return picked if np.ndim(rows) else np.array(picked)  # a single row would be a view of the read-only map

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True)
class Pictures:
    """A set of pictures: row i of everything belongs to `file[i]`. Made by `open`."""

    x: UInt8[np.ndarray, "n s s c"] | Rows
    """pixels, squashed to squares; c = 1 where every picture is grey, else 3; an array, or rows of a memory map"""
    shape_hw: Int[np.ndarray, "n 2"]
    """height and width before the squashing, upright"""
    file: Shaped[np.ndarray, " n"]
    """posix names relative to the source, sorted"""
    hash: Shaped[np.ndarray, " n"]
    """BLAKE2b, 16 bytes in hex, of the file's bytes; of shape and pixels where there is no file"""
    size: int
    """side of the views to be made, pixels"""
    source: str
    label: Shaped[np.ndarray, " n"] | None = None
    """an empty string is no label; None: the source knows none"""
    group: Shaped[np.ndarray, " n"] | None = None
    """what a split must not tear apart; an empty string stands alone"""
    split: Shaped[np.ndarray, " n"] | None = None
    """train, validation, test, or empty"""
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """the other columns of labels.csv, as strings"""
    skipped: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.file)

    @property
    def side(self) -> int:
        return self.x.shape[1]

    @property
    def channels(self) -> int:
        return self.x.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, content hash): the same for a folder and for a tar of it."""
        return sources.digest(*sorted(f"{f}\0{h}" for f, h in zip(self.file.tolist(), self.hash.tolist(), strict=True)))

    def take(self, index: Any) -> "Pictures":
        """The pictures at `index` (positions, mask or slice), in that order; a memory map stays on disk."""
        index = np.arange(len(self))[index]
        label, group, split = (c if c is None else c[index] for c in (self.label, self.group, self.split))
        return replace(
            self,
            x=Rows(self.x.base, self.x.index[index]) if isinstance(self.x, Rows) else self.x[index],
            shape_hw=self.shape_hw[index],
            file=self.file[index],
            hash=self.hash[index],
            label=label,
            group=group,
            split=split,
            extra={name: column[index] for name, column in self.extra.items()},
        )


@dataclass(frozen=True)
class Plan:
    """What opening a source will take."""

    n: int
    """pictures with a readable header"""
    size: int
    side: int
    channels: int
    cache_bytes: int
    """on disk; 0 where the pictures stay in memory as they are"""
    folder: str
    """where the cache lies or will lie"""
    decoded: bool
    """whether it lies there already"""


def open(
    source: str | Path | np.ndarray | Pictures,
    *,
    size: int | None = None,
    labels: str | Path | Sequence | np.ndarray | None = None,
    cache: str | Path | None = None,
    workers: int = 0,
) -> Pictures:
    """Pictures of a source, decoded at the first call and memory-mapped at every later one.

    Each is squashed to a square of S = ceil(2.25 size) pixels, or of the longest side in the set where that is less,
    so that small pictures of one size stay as they are; height and width before are kept. EXIF orientation is applied;
    of an animation the first frame is taken; transparency is laid on white; CMYK becomes RGB. 16-bit grey is divided
    by the full scale of 8, 12 or 16 bits, the least that holds its brightest value; floats within [0, 1] are taken as
    they are, and other ranges stretched from the smallest value to the largest. A file that cannot be read is named
    in `.skipped`, and the rest goes on; hidden files, csv, txt and md are passed over.

    Parameters
    ----------
    source
        A folder, a tar of one, an npz (`x[, y, group, split]` or `train_x, train_y, test_x, test_y[, classes]`),
        an IDX file, an array (n, h, w[, 3]) uint8, or Pictures, whose pixels are then left as they are.
    size
        Side of the views to be made. None or 0: the pictures' own for squares of one size up to 96 pixels, else the
        median of the shorter sides, at most 64.
    labels
        A csv file (see `tables.read_labels`), an IDX file, or n labels in the order of the sorted names. None: the
        npz's own; or labels.csv in the folder; or the first level of folders, unless these are called train,
        validation (or val) and test: then they are the split, and the level below is the label.
    cache
        Folder for the decoded pictures, instead of the folder `pictures` under EDUBBA_HOME.
    workers
        Threads that decode; 0: one a core.

    Raises
    ------
    UserError
        The source is missing, empty or of no known kind, no picture is readable, the disk is too small, a label has
        no picture, or a table contradicts itself.
    """
    _check_size(size)
    if isinstance(source, Pictures):
        pictures = replace(source, size=size or source.size)
    else:
        pictures = _read(sources.find(source), size, cache, workers, own_table=not isinstance(labels, str | Path))
    return pictures if labels is None else _with_labels(pictures, labels)


def plan(
    source: str | Path | np.ndarray | Pictures,
    *,
    size: int | None = None,
    cache: str | Path | None = None,
    workers: int = 0,
) -> Plan:
    """What `open` will take, from the headers alone: nothing is decoded and nothing written."""
    _check_size(size)
    if isinstance(source, Pictures):
        return Plan(len(source), size or source.size, source.side, source.channels, 0, "", True)
    found = sources.find(source)
    folder = decoded.place(found, cache)
    scan, _ = decoded.look(found, folder, workers=workers, write=False)
    size = size or scan.size
    side = scan.side(size)
    if isinstance(found, Arrays) and found.x.shape[1:3] == (side, side):
        return Plan(scan.n, size, side, scan.channels, 0, "", True)
    target = folder / str(side)
    done = decoded.load(target, found.stamp) is not None
    return Plan(scan.n, size, side, scan.channels, scan.n * side * side * scan.channels, str(target), done)


def open_one(photo: str | Path, *, size: int) -> Pictures:
    """One picture file as a set of one, decoded in memory.

    Raises
    ------
    UserError
        The file cannot be read as a picture.
    """
    path = Path(photo)
    start = partial(path.open, "rb")
    header = picture.header(path.name, start)
    if not isinstance(header, Skipped):
        scan = decoded.scan_of(np.array([[header.h, header.w]]), 1 if header.grey else 3)
        one = picture.decode(path.name, start, scan.side(size), scan.channels)
        if not isinstance(one, Skipped):
            hw = np.array([one.hw], dtype=np.int32)
            return Pictures(one.pixels[None], hw, np.array([one.file]), np.array([one.hash]), size, str(path))
        header = one
    raise UserError(f"{path} cannot be read as a picture ({header.reason}: {header.detail})")


def write_skipped(path: str | Path, skipped: Sequence[Skipped]) -> None:
    """The files that were left out as a csv table: file, reason, detail."""
    with (
        files.replacing(Path(path)) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out,
    ):
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("file", "reason", "detail"))
        table.writerows((s.file, s.reason, s.detail) for s in skipped)


def _check_size(size: int | None) -> None:
    if size is not None and size < 0:
        raise UserError(f"an image size of {size} pixels makes no sense: give a positive one, or 0 to have it chosen")


def _read(
    found: Folder | Archive | Arrays, size: int | None, cache: str | Path | None, workers: int, *, own_table: bool
) -> Pictures:
    folder = decoded.place(found, cache)
    scan, table = decoded.look(found, folder, workers=workers, write=True)
    size = size or scan.size
    side = scan.side(size)
    if isinstance(found, Arrays) and found.x.shape[1:3] == (side, side):
        hw = np.full((len(found.x), 2), side, dtype=np.int32)
        pictures = Pictures(found.x, hw, found.file, found.hash, size, found.name)
    else:
        target = folder / str(side)
        if decoded.load(target, found.stamp) is None:
            decoded.fill(found, scan, side, target, workers=workers)
        cached = decoded.load(target, found.stamp)
        if cached is None:
            raise UserError(f"{found.name} changed while it was read: try again when nothing writes to it")
        x = Rows(cached.x, np.arange(len(cached.x)))
        pictures = Pictures(x, cached.shape_hw, cached.file, cached.hash, size, found.name, skipped=cached.skipped)
    if isinstance(found, Arrays):
        return replace(pictures, label=found.label, group=found.group, split=found.split)
    if not own_table:
        return pictures
    if table is None:
        return _with_folders(pictures)
    return _with_table(pictures, tables.read_labels(f"{found.name}/labels.csv", content=table))


def _with_labels(pictures: Pictures, labels: str | Path | Sequence | np.ndarray) -> Pictures:
    name = "the array of labels"
    if isinstance(labels, str | Path):
        name = str(labels)
        path = Path(labels)
        idx = sources.read_idx(path) if path.is_file() and path.suffix.lower() != ".csv" else None
        if idx is None:
            return _with_table(pictures, tables.read_labels(path))
        labels = idx
    label = sources.text(labels)
    if label.shape != (len(pictures),):
        left_out = f" ({len(pictures.skipped):,} files could not be read)" if pictures.skipped else ""
        raise UserError(
            f"{name} has the shape {label.shape} for {len(pictures):,} pictures{left_out}: give each one label"
        )
    return replace(pictures, label=label)


def _with_table(pictures: Pictures, table: tables.Table) -> Pictures:
    skipped = [s.file for s in pictures.skipped]
    row = tables.align(table, pictures.file, source=pictures.source, skipped=skipped)
    group = pictures.group if row.group is None else row.group
    split = pictures.split if row.split is None else row.split
    tables.check_groups(group, split, name=table.name)
    return replace(pictures, label=row.label, group=group, split=split, extra=row.extra)


def _with_folders(pictures: Pictures) -> Pictures:
    folders = [file.split("/")[:-1] for file in pictures.file.tolist()]
    tops = {parts[0] if parts else "" for parts in folders}
    split = None
    # otherwise the classes of the commonest layout of all would be called train and test
    if "" not in tops and all(top.lower() in tables.SPLITS for top in tops):
        split = tables.split_words([parts[0] for parts in folders], name=pictures.source)
        folders = [parts[1:] for parts in folders]
    label = np.array([parts[0] if parts else "" for parts in folders], dtype=str)
    return replace(pictures, label=label if (label != "").any() else None, split=split)
