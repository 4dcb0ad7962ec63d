"""Where pictures come from: a folder, a tar of one, an npz, an IDX file or an array."""

import errno
import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt8

from edubba.core.errors import UserError
from edubba.core.tables import check_groups, split_words

TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz")
NOT_PICTURES = {".csv", ".txt", ".md"}  # these lie beside pictures on purpose; any other odd file is named
IDX_BYTES = b"\0\0\x08"  # 8 is IDX's number for unsigned bytes
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def ignored(name: str) -> bool:
    """Whether a file is passed over without a word: hidden, a system's own, or a text that lies beside pictures."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    return hidden or path.name.lower() in SYSTEM_FILES or path.suffix.lower() in NOT_PICTURES


def walk(path: Path) -> Iterator[os.DirEntry[str]]:
    """Everything under a folder that is no folder; links are followed, each folder once; hidden folders are passed over.

    Raises
    ------
    UserError
        A folder may not be read.
    """
    seen = set()
    folders, links = deque([path]), deque()  # real folders first: they give their files the name
    while folders or links:
        folder = (folders or links).popleft()
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except PermissionError:
            raise UserError(f"the folder {folder} may not be read: change its permissions or move it away") from None
        for entry in entries:
            if not entry.is_dir():
                yield entry
            elif not entry.name.startswith("."):
                (links if entry.is_symlink() else folders).append(Path(entry.path))


@dataclass(frozen=True)
class Folder:
    """Files under a folder; links are followed, each folder once, so that a loop of links ends."""

    path: Path

    @cached_property
    def listing(self) -> list[tuple[str, int, int]]:
        """(name, bytes, mtime in ns) of every file that may be a picture, sorted; a dead link has -1 bytes."""
        found = []
        for entry in walk(self.path):
            name = Path(entry.path).relative_to(self.path).as_posix()
            if entry.is_file() and not ignored(name):
                found.append((name, entry.stat().st_size, entry.stat().st_mtime_ns))
            elif entry.is_symlink() and not os.path.exists(entry.path) and not ignored(name):
                found.append((name, -1, 0))
        return sorted(found)

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.listing]

    @property
    def stamp(self) -> str:
        return digest(*(f"{name}\0{size}\0{time}" for name, size, time in self.listing))

    def files(self) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
        """Each file's name and how to open it."""
        for name in self.names:
            yield name, partial(io.open, self.path / name, "rb")

    def labels_csv(self) -> bytes | None:
        table = self.path / "labels.csv"
        return table.read_bytes() if table.is_file() else None


@dataclass(frozen=True)
class Archive:
    """Files of a tar, read in its own order and never written to disk, so that no name in it is a danger."""

    path: Path

    @cached_property
    def members(self) -> dict[str, str]:
        """Name of every file that may be a picture, and of labels.csv, by its name in the tar.

        A single folder around everything is taken off: `tar -cf photos.tar photos/` is the same source as photos/.
        """
        inside: dict[str, str] = {}
        taken = set()
        for member, _ in self._walk(read=False):
            path = PurePosixPath(*(part for part in PurePosixPath(member).parts if part != "/"))
            name = path.as_posix()
            if path.name != "labels.csv" and ignored(name):
                continue
            if name in taken:
                raise UserError(f"{self.path} holds two files called {name!r}: pack it anew with one of them")
            taken.add(name)
            inside[member] = name
        if len({name.split("/")[0] for name in taken}) == 1 and all("/" in name for name in taken):
            inside = {member: name.split("/", 1)[1] for member, name in inside.items()}
        return inside

    def _walk(self, *, read: bool) -> Iterator[tuple[str, bytes | None]]:
        """(name, content) of the files in the tar; the content of a link is None, as when nothing is to be read."""
        try:
            with tarfile.open(self.path) as tar:
                for member in tar:
                    if member.isreg():
                        content = tar.extractfile(member)
                        yield member.name, content.read() if read and content else None
                    elif member.issym() or member.islnk():
                        yield member.name, None
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise UserError(f"{self.path} is damaged or cut off ({error}): fetch or pack it anew") from None

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def names(self) -> list[str]:
        return sorted(name for name in self.members.values() if not ignored(name))

    @property
    def stamp(self) -> str:
        return file_stamp(self.path)

    def files(self) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
        """Each file's name and how to open it."""
        for member, data in self._walk(read=True):
            name = self.members.get(member)
            if name is not None and not ignored(name):
                yield name, link if data is None else partial(io.BytesIO, data)

    def labels_csv(self) -> bytes | None:
        if "labels.csv" in self.members.values():
            for member, data in self._walk(read=True):
                if self.members.get(member) == "labels.csv":
                    return data
        return None


def link() -> BinaryIO:
    """Opening a link inside a tar: what it points to may lie anywhere."""
    raise OSError(errno.ELOOP, "a link inside a tar, which is not followed")


@dataclass(frozen=True)
class Arrays:
    """Pictures of one size that lie in memory, with what the file they came from knows about them."""

    path: Path | None
    x: UInt8[np.ndarray, "n h w c"]
    file: Shaped[np.ndarray, " n"]
    label: Shaped[np.ndarray, " n"] | None = None
    group: Shaped[np.ndarray, " n"] | None = None
    split: Shaped[np.ndarray, " n"] | None = None

    @property
    def name(self) -> str:
        return "the array" if self.path is None else str(self.path)

    @cached_property
    def hash(self) -> Shaped[np.ndarray, " n"]:
        """BLAKE2b, 16 bytes, of each picture's shape and pixels, in hex."""
        shape = np.array(self.x.shape[1:], dtype="<i4").tobytes()
        return np.array([hashlib.blake2b(shape + row.tobytes(), digest_size=16).hexdigest() for row in self.x])

    @property
    def stamp(self) -> str:
        return digest(*self.hash.tolist()) if self.path is None else file_stamp(self.path)


def find(source: str | Path | np.ndarray) -> Folder | Archive | Arrays:
    """The source behind a path or an array, its form checked, its pictures not yet read.

    Raises
    ------
    UserError
        There is nothing at the path, it is of no kind that can be read, or an array has the wrong form.
    """
    if isinstance(source, np.ndarray):
        x = pixels(source, name="the array")
        return Arrays(None, x, numbered(len(x)))
    if not isinstance(source, str | Path):
        raise UserError(f"a source is a path, a uint8 array (n, h, w[, 3]) or Pictures, not {type(source).__name__}")
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"there is no file or folder {path}")
    if path.is_dir():
        return Folder(path)
    if path.name.lower().endswith(TARS):
        return Archive(path)
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    if (x := read_idx(path)) is not None:
        if x.ndim != 3:
            raise UserError(f"{path} is an IDX file of shape {x.shape}: pictures are (n, h, w)")
        x = pixels(x, name=str(path))
        return Arrays(path, x, numbered(len(x)))
    raise UserError(f"{path} is no source: give a folder, a tar of one ({', '.join(TARS)}), an .npz or an IDX file")


def read_npz(path: Path) -> Arrays:
    """Pictures of an npz: `x[, y, group, split]`, or `train_x, train_y, test_x, test_y`; `classes` names numbers in y.

    Pictures are in the order of their made-up names, so those of test/ come before those of train/.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            wanted = {"x", "y", "group", "split", "classes", "train_x", "train_y", "test_x", "test_y"}
            found = {key: data[key] for key in data.files if key in wanted}
            has = ", ".join(data.files) or "nothing"
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} is damaged or no npz file ({error}): fetch or write it anew") from None
    except ValueError:
        raise UserError(
            f"{path} holds an array of Python objects, which is never opened because it could run code: "
            "save numbers and strings as plain arrays"
        ) from None
    if "x" in found:
        parts = {"": found}
    elif {"train_x", "test_x"} <= found.keys():
        parts = {p: {key[len(p) + 1 :]: found[key] for key in found if key.startswith(p)} for p in ("test", "train")}
    else:
        raise UserError(f"{path} has no array 'x', nor 'train_x' and 'test_x': it holds {has}")

    columns: dict[str, list[np.ndarray]] = {}
    for part, arrays in parts.items():
        where = f"{path}: {part}_" if part else f"{path}: "
        x = pixels(arrays["x"], name=where + "x")
        columns.setdefault("x", []).append(x)
        columns.setdefault("file", []).append(numbered(len(x), part))
        if part:
            columns.setdefault("split", []).append(np.full(len(x), part))
        for key in ("y", "group", "split"):
            if key in arrays:
                if arrays[key].shape != (len(x),):
                    raise UserError(f"{where}{key} has the shape {arrays[key].shape} for {len(x):,} pictures")
                values = arrays[key]
                if key == "y" and "classes" in found:
                    values = class_names(values, found["classes"], name=where + key)
                columns.setdefault(key, []).append(text(values))
    if len(columns.get("y", parts)) != len(parts):
        raise UserError(f"{path} has labels for one of train and test only: give train_y and test_y, or neither")
    shapes = {x.shape[1:] for x in columns["x"]}
    if len(shapes) > 1:
        raise UserError(
            f"{path}: train_x and test_x hold pictures of different shapes, {shapes.pop()} and {shapes.pop()}"
        )
    whole = {key: arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for key, arrays in columns.items()}
    split = split_words(whole["split"], name=str(path)) if "split" in whole else None
    check_groups(whole.get("group"), split, name=str(path))
    return Arrays(path, whole["x"], whole["file"], whole.get("y"), whole.get("group"), split)


def class_names(y: np.ndarray, classes: np.ndarray, *, name: str) -> np.ndarray:
    """The names behind class numbers."""
    if y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < len(classes)):
        raise UserError(f"{name} must number the {len(classes)} classes from 0 to {len(classes) - 1}")
    return classes[y]


def read_idx(path: Path) -> np.ndarray | None:
    """Array of an IDX file of bytes (MNIST's format, perhaps gzipped), or None where it is no such file."""
    with path.open("rb") as file:
        magic = file.read(3)
        if magic[:2] != b"\x1f\x8b" and magic != IDX_BYTES:
            return None
        raw = magic + file.read()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path} is damaged or cut off ({error}): fetch it anew") from None
    if raw[:3] != IDX_BYTES or len(raw) < 4 or len(raw) < 4 + 4 * raw[3]:
        return None
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", count=raw[3], offset=4))
    start = 4 + 4 * raw[3]
    if len(raw) - start != np.prod(shape, dtype=np.int64):
        raise UserError(f"{path} is cut off: {len(raw) - start:,} bytes for the shape {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def pixels(x: np.ndarray, *, name: str) -> UInt8[np.ndarray, "n h w c"]:
    """The array as pictures with a channel axis, or what is wrong with it."""
    if x.dtype != np.uint8:
        raise UserError(f"{name} has the type {x.dtype}: pictures are uint8, 0 to 255")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise UserError(f"{name} has the shape {x.shape}: pictures are (n, h, w) or (n, h, w, 3)")
    if not x.size:
        raise UserError(f"{name} has the shape {x.shape}: there is no picture in it")
    return x


def numbered(n: int, part: str = "") -> Shaped[np.ndarray, " n"]:
    """Names for pictures that have none: 000123 or train/000123; they sort as they count."""
    width = max(6, len(str(n - 1)))
    return np.array([f"{part}/{i:0{width}}" if part else f"{i:0{width}}" for i in range(n)], dtype=str)


def text(values: Sequence | np.ndarray) -> Shaped[np.ndarray, "..."]:
    """Labels as strings; None and bytes included, so that 3, "3" and b"3" are the same label."""
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if values.dtype.kind == "O":
        return np.array(["" if value is None else str(value) for value in values], dtype=str)
    return values.astype(str)


def digest(*lines: str) -> str:
    """SHA-256 of some lines, in hex; names that are no valid UTF-8 keep their bytes."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def file_stamp(path: Path) -> str:
    """What changes when a file does: its size and time."""
    stat = path.stat()
    return digest(f"{stat.st_size}\0{stat.st_mtime_ns}")
