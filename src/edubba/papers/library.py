"""The library folder, format `edubba.library/1`: records, full texts and an index, whole at every moment.

What is sealed stays: records lie in segments that never change; `library.json` says how many of them are to be seen, and
`removed` which are not any more. Indexes are made from the records and can be made again.
"""

import contextlib
import fcntl
import json
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from edubba.core import files
from edubba.core.errors import UserError
from edubba.papers import design, engines, records, stores, vectors
from edubba.papers.records import Published, Record

FORMAT = "edubba.library/1"
NAME = "library.json"


@dataclass(frozen=True)
class State:
    """What library.json says."""

    store: str
    engine: str
    version: int = 0
    """how often a release was taken in"""
    visible: int = 0
    """records, from the first, that are to be seen, if they are not removed"""
    removed: str = ""
    """file of the numbers of records that are not to be seen any more"""
    release: str = ""
    """fingerprint of the release that is in it; empty while the first one is being taken in"""
    source: str = ""
    layout: str = ""


class Library:
    """An open library."""

    def __init__(self, path: Path, state: State) -> None:
        self.path, self.state = path, state
        self.records = stores.open(path, "records", state.store)
        self.bodies = stores.open(path, "bodies", state.store)
        self.engine = engines.open(path, state.engine)
        # an encoder that was stopped on its way says nothing of the rest: it waits until `build` goes on
        self.vectors = tuple(made for made in vectors.open(path, self.engine) if made.rows >= state.visible)
        self._removed: np.ndarray | None = None
        self._numbers: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def removed(self) -> np.ndarray:
        """Numbers of the records that are not to be seen any more, sorted."""
        if self._removed is None:
            name = self.state.removed
            self._removed = np.load(self.path / name) if name else np.zeros(0, np.int64)
        return self._removed

    def seen(self, numbers: np.ndarray) -> np.ndarray:
        """Which numbers are of records that are to be seen."""
        return (numbers < self.state.visible) & ~np.isin(numbers, self.removed)

    def __len__(self) -> int:
        return self.state.visible - len(self.removed)

    def take(self, numbers: Sequence[int]) -> list[Record]:
        """Records by their numbers."""
        return [record(row) for row in self.records.take(numbers)]

    def find(self, id: str) -> Record:
        """The record of an id.

        Raises
        ------
        UserError
            There is none.
        """
        if self._numbers is None:
            from edubba.papers import identity

            pairs = [(identity.hashed(row["id"]), number) for number, row in self.scan(["id"])]
            keys = np.array([key for key, _ in pairs], np.uint64)
            order = np.argsort(keys)
            self._numbers = keys[order], np.array([n for _, n in pairs], np.int64)[order]
        from edubba.papers import identity

        keys, numbers = self._numbers
        at = int(np.searchsorted(keys, np.uint64(identity.hashed(id))))
        if at < len(keys) and keys[at] == identity.hashed(id):
            return self.take([int(numbers[at])])[0]
        raise UserError(f"{self.path} has no record {id!r}")

    def rarity(self, stem: str) -> float:
        """How much a word (stem) says: the logarithm of the share of records that hold it, turned round."""
        return math.log(1 + self.records.rows / (1 + self.engine.holding(stem)))

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, stores.Row]]:
        """Number and row of every record that is to be seen."""
        gone = set(self.removed.tolist())
        number = -1
        for batch in self.records.scan(columns=columns):
            for row in batch:
                number += 1
                if number < self.state.visible and number not in gone:
                    yield number, row


def open(path: str | Path) -> Library:
    """A library to search in.

    Raises
    ------
    UserError
        There is none, it is of a later format, or its first release is still being taken in.
    """
    path = Path(path)
    if not (path / NAME).exists():
        raise UserError(
            f"{path} is no library: make one with `edubba papers build RELEASE -o {path}`, or name it with --library"
        )
    state = read(path)
    if not state.release:
        raise UserError(f"{path} is unfinished: type its `edubba papers build` line once more, it goes on")
    return Library(path, state)


def read(path: Path) -> State:
    """What library.json says."""
    try:
        document = json.loads((path / NAME).read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path / NAME} is damaged ({error}): build the library again in another folder") from None
    if document.get("format") != FORMAT:
        raise UserError(
            f"{path / NAME} is of the format {document.get('format')!r}, and this edubba reads {FORMAT}: update it"
        )
    return State(**{name: document[name] for name in State.__dataclass_fields__})


def write(path: Path, state: State) -> None:
    """Seal a state."""
    table = {name: getattr(state, name) for name in State.__dataclass_fields__}
    files.write(path / NAME, json.dumps({"format": FORMAT} | table, indent=1) + "\n")


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Only one process builds a library at a time.

    Raises
    ------
    UserError
        Another one is at it, or a file stands there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path} cannot be a library, as a file stands there: name a folder with -o") from None
    with (path / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is building {path}: wait for it, or stop it") from None
        yield


def row(of: Record, *, text: str, digest: str) -> stores.Row:
    """A record as a store keeps it."""
    first, last = of.published.first, of.published.last
    return {
        "id": of.id, "title": of.title, "abstract": of.abstract, "authors": "; ".join(of.authors), "journal": of.journal,
        "first": first.toordinal() if first else 0, "last": last.toordinal() if last else 0,
        "precision": of.published.precision, "doi": of.doi, "pmcid": of.pmcid, "pmid": of.pmid, "arxiv": of.arxiv,
        "licence": of.licence, "url": of.url, "preprint": of.preprint, "design": design.of(of.title, of.abstract),
        "papers": "; ".join(of.papers), "text": text, "sources": json.dumps(of.sources, ensure_ascii=False), "digest": digest,
    }  # fmt: skip


def record(row: stores.Row) -> Record:
    """What `row` made."""
    days = [date.fromordinal(row[name]) if row[name] else None for name in ("first", "last")]
    return Record(
        id=row["id"], title=row["title"], abstract=row["abstract"], authors=records.parts(row["authors"]),
        journal=row["journal"], published=Published(days[0], days[1], row["precision"]), doi=row["doi"], pmcid=row["pmcid"],
        pmid=row["pmid"], arxiv=row["arxiv"], licence=row["licence"], url=row["url"], preprint=bool(row["preprint"]),
        papers=records.parts(row["papers"]), sources=tuple(json.loads(row["sources"])),
    )  # fmt: skip


def entry(number: int, row: stores.Row) -> engines.Entry:
    """What the index needs of a stored record: the title counts twice."""
    text = f"{row['title']} {row['title']} {row['abstract']}"
    return engines.Entry(
        number, text, row["first"], row["last"], bool(row["preprint"]), row["design"], row["licence"], row["journal"]
    )
