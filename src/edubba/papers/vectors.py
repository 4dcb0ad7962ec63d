"""Vectors of a library's records: bytes to search through all of them, and what they were rounded from to put the best in order.

A folder for each encoder beside the records, `vectors/` and `vectors-minilm/`: sealed segments in the order of the records, and
the encoder that made them.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int64

from edubba.core import files, progress
from edubba.core.errors import UserError
from edubba.papers import static, words
from edubba.papers.stores import Store

Kind = Literal["static", "minilm"]
FOLDER: dict[Kind, str] = {"static": "vectors", "minilm": "vectors-minilm"}
NAME = "vectors.json"
FORMAT = "edubba.vectors/1"
STEP = 254.0
"""a byte is a 254th: vectors of length 1 hardly ever hold more than a half, and what is cut off there is only a little misplaced"""
RESCORED = 4
"""how many times as many as are wanted are compared again without rounding"""
CHUNK = 512
"""rows that are turned into numbers at a time: half a megabyte, which stays in the processor's cache"""
SEALED = {"static": 20_000, "minilm": 1_000}
"""records that are encoded at a time: what an interruption loses"""
SAMPLE = 60_000
"""records that an encoder learns from at most"""
GROWN = 2
"""a library that has grown to so many times what its encoder learned from learns again"""


class Vectors:
    """What is encoded of a library, and with what."""

    def __init__(self, folder: Path, engine: Any) -> None:
        said = json.loads((folder / NAME).read_text("utf-8"))
        if said["format"] != FORMAT:
            raise UserError(
                f"{folder / NAME} is of the format {said['format']!r}, and this edubba reads {FORMAT}: update it"
            )
        self.folder, self.engine = folder, engine
        self.kind: Kind = said["encoder"]
        self.learned: int = said["learned_from"]
        self.segments: list[int] = said["segments"]
        self._encoder: Any = None
        self._maps: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def rows(self) -> int:
        """Records that are encoded, from the first."""
        return sum(self.segments)

    def append(self, vectors: Float32[np.ndarray, "n d"]) -> None:
        """Seal the vectors of the next records."""
        name = f"{len(self.segments):06d}"
        codes = np.clip(np.rint(vectors * STEP), -127, 127).astype(np.int8)
        for kind, array in (("codes", codes), ("exact", vectors.astype(np.float16))):
            with files.replacing(self.folder / f"{name}.{kind}.npy") as part, part.open("wb") as file:
                np.save(file, array)
        self.segments = [*self.segments, len(vectors)]
        _note(self.folder, self.kind, self.learned, self.segments)

    def encode(self, rows: Sequence[tuple[str, str]]) -> Float32[np.ndarray, "n d"]:
        """Vectors of (title, text); a query has no title."""
        if self._encoder is None:
            self._encoder = _encoder(self.folder, self.kind)
        if self.kind == "static":
            return self._encoder.encode([stems(self.engine, title, text) for title, text in rows])
        return self._encoder.encode([f"{title}. {text}" if title else text for title, text in rows])

    def nearest(
        self, query: Float[np.ndarray, "d"], *, k: int
    ) -> tuple[Int64[np.ndarray, "k"], Float32[np.ndarray, "k"]]:
        """Numbers of the k records nearest to a query, the nearest first, and their cosines."""
        scores = np.empty(self.rows, np.float32)
        room, at = np.empty((CHUNK, len(query)), np.float32), 0
        for codes, _ in self._mapped():
            for i in range(0, len(codes), CHUNK):
                part = codes[i : i + CHUNK]
                np.copyto(room[: len(part)], part)
                np.matmul(room[: len(part)], query, out=scores[at : at + len(part)])
                at += len(part)
        some = min(len(scores), RESCORED * k)
        likely = np.argpartition(-scores, some - 1)[:some] if some else np.zeros(0, np.int64)
        exact = self.cosines(query, likely)
        order = np.lexsort((likely, -exact))[:k]
        return likely[order], exact[order]

    def cosines(self, query: Float[np.ndarray, "d"], numbers: Int64[np.ndarray, "k"]) -> Float32[np.ndarray, "k"]:
        """How near some records are to a query."""
        maps = self._mapped()
        ends = np.cumsum(self.segments)
        segment = np.searchsorted(ends, numbers, side="right")
        out = np.zeros(len(numbers), np.float32)
        for s in np.unique(segment).tolist():
            mine = segment == s
            out[mine] = maps[s][1][numbers[mine] - (ends[s] - self.segments[s])].astype(np.float32) @ query
        return out

    def _mapped(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Bytes and exact vectors of every segment, mapped into memory; put in place at once, as many may ask at a time."""
        if len(self._maps) < len(self.segments):
            try:
                self._maps = [
                    (
                        np.load(self.folder / f"{i:06d}.codes.npy", mmap_mode="r"),
                        np.load(self.folder / f"{i:06d}.exact.npy", mmap_mode="r"),
                    )
                    for i in range(len(self.segments))
                ]
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{self.folder} is damaged ({error}): delete it, `edubba papers build` makes it again"
                ) from None
        return self._maps


def stems(engine: Any, title: str, text: str) -> static.Paper:
    """What a static encoder reads."""
    return engine.stems(words.named(title)), engine.stems(words.named(text))


def open(library: Path, engine: Any) -> tuple[Vectors, ...]:
    """The vectors of a library, those of each encoder apart; none where it is searched by words alone."""
    folders = [library / name for name in FOLDER.values()]
    return tuple(Vectors(folder, engine) for folder in folders if (folder / NAME).exists())


def _note(folder: Path, kind: Kind, learned: int, segments: Sequence[int]) -> None:
    files.write(folder / NAME, json.dumps({
        "format": FORMAT, "encoder": kind, "learned_from": learned, "segments": list(segments),
    }, indent=1) + "\n")  # fmt: skip


def _encoder(folder: Path, kind: Kind) -> Any:
    if kind == "static":
        return static.load(folder / "static.npz")
    from edubba.papers.minilm import MiniLM

    return MiniLM()


def bring(
    library: Path, records: Store, engine: Any, kind: Literal["auto", "static", "minilm", "none"]
) -> tuple[Vectors, ...]:
    """Encode what is not encoded yet; `minilm`: by both encoders; `auto`: by what the library has, or else `static`.

    An encoder learns from the library once, and again when the library has doubled. A library of fewer than
    `static.FEWEST` abstracts gets no static vectors.
    """
    there = {made.kind: made for made in open(library, engine)}
    alone = there.get("minilm")
    if alone is not None and alone.folder.name == FOLDER["static"]:  # a library of edubba before 2026-12
        alone.folder.rename(library / FOLDER["minilm"])
        there = {made.kind: made for made in open(library, engine)}
    if kind == "auto":
        kind = "minilm" if "minilm" in there else "static"
    if kind == "minilm":
        _encoder(library, kind)  # what is to be installed is said before the other one learns for minutes
    wanted: dict[str, tuple[Kind, ...]] = {"none": (), "static": ("static",), "minilm": ("static", "minilm")}
    for other in set(there) - set(wanted[kind]):
        _remove(there[other].folder)
    brought = [_brought(library / FOLDER[one], there.get(one), records, engine, one) for one in wanted[kind]]
    return tuple(made for made in brought if made is not None)


def _remove(folder: Path) -> None:
    (folder / NAME).unlink()
    shutil.rmtree(folder)


def _brought(folder: Path, made: Vectors | None, records: Store, engine: Any, kind: Kind) -> Vectors | None:
    if made is not None and kind == "static" and records.rows > GROWN * made.learned:
        _remove(folder)
        made = None
    if not records.rows:
        return None
    if made is None:
        if kind == "static":
            encoder = static.fit(_papers(records, engine))
            if encoder is None:
                return None
            folder.mkdir(exist_ok=True)
            static.save(folder / "static.npz", encoder)
        else:
            _encoder(folder, kind)
            folder.mkdir(exist_ok=True)
        _note(folder, kind, records.rows, [])
        made = Vectors(folder, engine)
    batch: list[tuple[str, str]] = []
    done = made.rows
    with progress.bar("encoding", records.rows, done=done, unit="records") as show:
        for title, abstract in _texts(records, made.rows):
            batch.append((title, abstract))
            if len(batch) == SEALED[kind]:
                made.append(_by_parts(made, batch, done, show))
                done, batch = made.rows, []
        if batch:
            made.append(_by_parts(made, batch, done, show))
    return made


def _by_parts(made: Vectors, batch: Sequence[tuple[str, str]], done: int, show: Any) -> Float32[np.ndarray, "n d"]:
    parts = []
    for i in range(0, len(batch), 1_000):
        parts.append(made.encode(batch[i : i + 1_000]))
        show(done + min(len(batch), i + 1_000))
    return np.concatenate(parts)


def _texts(records: Store, start: int = 0) -> Iterator[tuple[str, str]]:
    for batch in records.scan(start, columns=["title", "abstract"]):
        for row in batch:
            yield row["title"], row["abstract"]


def _papers(records: Store, engine: Any) -> Iterator[static.Paper]:
    """Every paper, or every n-th of a large library."""
    every = -(-records.rows // SAMPLE)
    for i, (title, abstract) in enumerate(_texts(records)):
        if i % every == 0:
            yield stems(engine, title, abstract)
