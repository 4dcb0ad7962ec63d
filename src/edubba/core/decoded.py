"""The cache of decoded pictures: what a source's headers say, and its pictures as squares in a memory map.

One folder a source, `pictures/<name>-<digest of its path>`, with scan.json (the headers' facts), labels.csv (a copy of
that of a tar, which changes only with the tar), and one folder a side: pixels (raw bytes), index.npz, cache.json. What
no longer fits the source's names, sizes and times is made anew in its place.
"""

import json
import math
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from edubba.core import files, machine, picture, progress, sources
from edubba.core.errors import UserError
from edubba.core.picture import Decoded, Header, Skipped
from edubba.core.sources import Archive, Arrays, Folder

FORMAT = "edubba.pictures/1"
MARGIN = 2.25  # side here over side of the views: a crop of a fifth of the area (0.447 of the side) is never enlarged
LARGEST_KEPT = 96  # small squares of one size are seen as they are
USUAL_SIZE = 64


@dataclass(frozen=True)
class Scan:
    """What the headers of a source say."""

    n: int
    longest: int
    """longest side of all"""
    size: int
    """image size where nobody asks for one"""
    channels: int

    def side(self, size: int) -> int:
        """Side in the cache: room for small crops, but no set is blown up beyond its largest picture."""
        return min(math.ceil(MARGIN * size), self.longest)


class Cached(NamedTuple):
    """Pictures on disk: row i of everything is one picture."""

    x: UInt8[np.ndarray, "n s s c"]
    """a read-only memory map"""
    shape_hw: Int[np.ndarray, "n 2"]
    file: Shaped[np.ndarray, " n"]
    hash: Shaped[np.ndarray, " n"]
    skipped: list[Skipped]


def place(found: Folder | Archive | Arrays, cache: str | Path | None) -> Path:
    """Folder of a source in the cache, which may not exist yet."""
    base = files.home() / "pictures" if cache is None else Path(cache)
    if found.path is None:
        return base / f"array-{found.stamp[:16]}"
    path = found.path.resolve()
    readable = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.name)[:40]
    return base / f"{readable}-{sources.digest(str(path))[:16]}"


def look(found: Folder | Archive | Arrays, folder: Path, *, workers: int, write: bool) -> tuple[Scan, bytes | None]:
    """What the headers say, read once and kept in `folder`, and the labels.csv that lies in the source."""
    if isinstance(found, Arrays):
        n, h, w, channels = found.x.shape
        return scan_of(np.full((n, 2), (h, w)), channels), None
    known = _json(folder / "scan.json")
    if known.get("format") == FORMAT and known["stamp"] == found.stamp:
        if isinstance(found, Folder):
            return Scan(**known["scan"]), found.labels_csv()
        return Scan(**known["scan"]), (folder / "labels.csv").read_bytes() if known["table"] else None
    scan, table = read_headers(found, workers), found.labels_csv()
    if write:
        _make(folder)
        if isinstance(found, Archive) and table is not None:
            files.write(folder / "labels.csv", table)
        facts = {"format": FORMAT, "stamp": found.stamp, "table": table is not None, "scan": asdict(scan)}
        files.write(folder / "scan.json", json.dumps(facts))
    return scan, table


def read_headers(found: Folder | Archive, workers: int) -> Scan:
    """Open every file as far as its header."""
    n = len(found.names)
    if not n:
        raise UserError(f"{found.name} holds no pictures: a source has picture files in it or in folders below")
    jobs = (partial(picture.header, file, start) for file, start in found.files())
    headers: list[Header] = []
    first = None
    for result in _results(jobs, n, workers, f"reading the headers of {found.name}"):
        if isinstance(result, Skipped):
            first = first or result
        else:
            headers.append(result)
    if not headers:
        raise _nothing_readable(found.name, n, first)
    return scan_of(np.array([(h.h, h.w) for h in headers]), 1 if all(h.grey for h in headers) else 3)


def scan_of(sizes: Int[np.ndarray, "n 2"], channels: int) -> Scan:
    """The facts about pictures of these heights and widths."""
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    if shorter.min() == longer.max() <= LARGEST_KEPT:
        size = int(longer.max())
    else:
        size = min(USUAL_SIZE, int(np.median(shorter)))
    return Scan(len(sizes), int(longer.max()), size, channels)


def load(target: Path, stamp: str) -> Cached | None:
    """The pictures in `target`, or None where they are missing or of another state of the source."""
    facts = _json(target / "cache.json")
    if facts.get("format") != FORMAT or facts["stamp"] != stamp:
        return None
    if (target / "pixels").stat().st_size != math.prod(facts["shape"]):
        return None
    with np.load(target / "index.npz", allow_pickle=False) as index:
        hw, names, hashes = index["shape_hw"], index["names"], index["hashes"]
    x = np.memmap(target / "pixels", dtype=np.uint8, mode="r", shape=tuple(facts["shape"]))
    return Cached(np.asarray(x), hw, names, hashes, [Skipped(**row) for row in facts["skipped"]])


def fill(found: Folder | Archive | Arrays, scan: Scan, side: int, target: Path, *, workers: int) -> None:
    """Decode a source into the folder `target`, which appears whole or not at all."""
    stamp = found.stamp
    row_bytes = side * side * scan.channels
    _make(target.parent)
    _drop_leftovers(target.parent)
    _check_disk(found.name, scan.n, scan.n * row_bytes, target.parent)
    if isinstance(found, Arrays):
        names = found.file.tolist()
        rows = zip(names, found.hash.tolist(), found.x, strict=True)
        jobs = (partial(picture.shrink, file, content, x, side) for file, content, x in rows)
    else:
        names = found.names
        jobs = (partial(picture.decode, file, start, side, scan.channels) for file, start in found.files())
    temporary = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        results = _results(jobs, len(names), workers, f"decoding {found.name}")
        rows, skipped = _write_pixels(temporary / "pixels", results, names, row_bytes)
        if not rows:
            raise _nothing_readable(found.name, len(names), skipped[0])
        np.savez(
            temporary / "index.npz",
            names=np.array([row.file for row in rows], dtype=str),
            hashes=np.array([row.hash for row in rows]),
            shape_hw=np.array([row.hw for row in rows], dtype=np.int32),
        )
        facts = {
            "format": FORMAT,
            "stamp": stamp,
            "source": found.name,
            "shape": [len(rows), side, side, scan.channels],
            "skipped": [asdict(s) for s in sorted(skipped, key=lambda s: s.file)],
        }
        (temporary / "cache.json").write_text(json.dumps(facts))
        if load(target, stamp) is not None:
            return  # another process was faster with the same pictures
        try:
            if target.exists():  # of an older state of the source; who has it mapped keeps it
                os.replace(target, temporary / "stale")
            os.replace(temporary, target)
        except OSError:
            if load(target, stamp) is None:  # else the other was faster by a moment
                raise
        shutil.rmtree(target / "stale", ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Row(NamedTuple):
    file: str
    hash: str
    hw: tuple[int, int]


def _write_pixels(
    path: Path, results: Iterable[Decoded | Skipped], names: list[str], row_bytes: int
) -> tuple[list[_Row], list[Skipped]]:
    """Pixels in the order of `names`, in whatever order they come: a tar's is not that of its names."""
    rank = {file: i for i, file in enumerate(names)}
    rows: dict[int, _Row] = {}
    skipped = []
    with path.open("w+b") as out:
        for result in results:
            if isinstance(result, Skipped):
                skipped.append(result)
                continue
            old = rank[result.file]
            rows[old] = _Row(result.file, result.hash, result.hw)
            out.seek(old * row_bytes)
            out.write(result.pixels.tobytes())
        for new, old in enumerate(sorted(rows)):
            if new != old:  # close the gaps that skipped files left
                out.seek(old * row_bytes)
                pixels = out.read(row_bytes)
                out.seek(new * row_bytes)
                out.write(pixels)
        out.truncate(len(rows) * row_bytes)
    return [rows[i] for i in sorted(rows)], skipped


def _results(jobs: Iterable[Callable[[], Any]], total: int, workers: int, what: str) -> Iterator[Any]:
    """Results of the jobs, in their order, by threads: Pillow decodes without Python's lock. Few jobs wait at a time."""
    workers = workers or machine.cores()
    waiting: deque = deque()
    done = 0
    with (
        progress.bar(what, total, unit="pictures") as show,
        ThreadPoolExecutor(workers) as pool,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's on odd files: what matters of them ends among the skipped
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
                show(done := done + 1)
        while waiting:
            yield waiting.popleft().result()
            show(done := done + 1)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder {folder} for decoded pictures cannot be made ({error.strerror}): set EDUBBA_HOME to one that can"
        ) from None


def _nothing_readable(name: str, n: int, first: Skipped | None) -> UserError:
    which = f" (first {first.file}: {first.reason}, {first.detail})" if first else ""
    return UserError(f"none of the {n:,} files in {name} is a picture that can be read{which}")


def _drop_leftovers(parent: Path) -> None:
    """Remove what killed processes left: parts that nobody has written to for a day."""
    for pixels in parent.glob(".partial-*/pixels"):
        with suppress(FileNotFoundError):  # its process has finished this moment
            if time.time() - pixels.stat().st_mtime > 86_400:
                shutil.rmtree(pixels.parent, ignore_errors=True)


def _check_disk(name: str, n: int, needed: int, where: Path) -> None:
    free = shutil.disk_usage(where).free
    if needed > free:
        raise UserError(
            f"the {n:,} pictures of {name} need {needed / 1e9:.2f} GB in {where}, where {free / 1e9:.2f} GB are free: "
            "make room, or set EDUBBA_HOME to a folder on a larger disk"
        )
    print(f"edubba: decoding {n:,} pictures of {name} once into {where} ({needed / 1e9:.2f} GB)", file=sys.stderr)
