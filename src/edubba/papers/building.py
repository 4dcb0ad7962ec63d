"""From a release to a library: read once, join the rows of one paper, seal, index. The same line goes on where it was stopped.

A later release taken into the same library adds, changes and removes what differs, and keeps the rest.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from edubba.core import files, progress
from edubba.core.errors import UserError
from edubba.papers import identity, library, records, releases, vectors
from edubba.papers.library import Library, State
from edubba.papers.records import Record
from edubba.papers.releases import Release, Skipped
from edubba.papers.spec import Build

BODIES = 500
"""full texts that are sealed at a time"""
INDEXED = 100_000
"""records that are indexed at a time"""
Cells = dict[str, str]


@dataclass(frozen=True)
class Built:
    """What was done."""

    path: Path
    records: int
    added: int
    changed: int
    removed: int
    bodies: int
    layout: str
    skipped: int
    """things that were left out; skipped.csv says which and why"""
    vectors: str
    """the encoders by which papers are found besides words, as `static and minilm`; empty: by words alone"""


def build(source: str | Path, out: str | Path, spec: Build = Build()) -> Built:
    """Make a library of a release of CORD-19, or take a later release into one.

    Parameters
    ----------
    source
        Folder, tar or metadata.csv, in any of the three layouts.
    out
        The library: made if it is not there.

    Raises
    ------
    UserError
        There is no release, another process builds this library, or the disk is full.
    """
    out = Path(out)
    release = releases.find(source)
    try:
        with library.locked(out):
            files.remove_parts(out)
            return _build(release, out, spec)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"the disk of {out} is full: make room and type the same line again, it goes on") from None


def _build(release: Release, out: Path, spec: Build) -> Built:
    kept = "parquet" if spec.engine == "tantivy" else "sqlite"
    if (out / library.NAME).exists():
        state = library.read(out)
        if state.engine != spec.engine:
            raise UserError(f"{out} was made with --engine {state.engine}: go on with that, or choose another folder")
    else:
        state = State(store=kept, engine=spec.engine)
        library.write(out, state)
    lib = Library(out, state)
    if state.release == release.fingerprint:
        encoded = [made.kind for made in vectors.bring(out, lib.records, lib.engine, spec.vectors)]
        return Built(out, len(lib), 0, 0, 0, lib.bodies.rows, state.layout, 0, " and ".join(encoded))
    work = _Work(out / "build", release.fingerprint)
    if work.fresh and lib.records.rows > state.visible:  # what is left of another release that was never finished
        left = np.arange(state.visible, lib.records.rows)
        state = replace(_without(out, state, left), visible=lib.records.rows)
        library.write(out, state)
        lib = Library(out, state)
    metadata = _read(release, lib, work)
    lines = _rows(metadata, work)
    with progress.bar("who is who", 0, unit="rows") as show:
        keys = identity.gather(_counted((identity.row(cells) for cells in lines()), show))
    first = identity.clusters(keys)
    if not len(first):
        bad = work.skipped()
        why = f" (left out: {bad[0].name}, {bad[0].detail})" if bad else ""
        raise UserError(f"{release.path} holds no papers{why}: nothing was built or changed")
    old = _Old(lib) if state.visible else None
    added = changed = 0
    batch: list[dict[str, Any]] = []
    sealed = lib.records.rows - state.visible
    made = 0
    papers = _Bodies(lib)
    with progress.bar("records", len(np.unique(first)), unit="records") as show:
        for record in _assembled(lines(), first, papers):
            known = old.find(record) if old else None
            row = library.row(replace(record, id=known[1]) if known else record, text=papers.longest(record), digest="")
            row["digest"] = _digest(row)
            if old is not None and known is not None:
                if old.keep(known[0], row["digest"]):
                    continue
                changed += 1
            else:
                added += 1
            made += 1
            if made <= sealed:  # an earlier attempt came so far
                continue
            batch.append(row)
            if len(batch) == spec.segment:
                lib.records.append(batch)
                batch = []
            show(made)
        lib.records.append(batch)
    _index(lib)
    encoded = [made.kind for made in vectors.bring(out, lib.records, lib.engine, spec.vectors)]
    gone = old.gone() if old else np.zeros(0, np.int64)
    removed = np.union1d(lib.removed, gone)
    new = replace(
        _without(out, state, gone), version=state.version + 1, visible=lib.records.rows, release=release.fingerprint,
        source=str(release.path), layout=release.layout,
    )  # fmt: skip
    skipped = work.skipped()
    files.write(out / "skipped.csv", "name,why\n" + "".join(f"{_cell(s.name)},{_cell(s.detail)}\n" for s in skipped))
    library.write(out, new)  # from here on the release is in it
    lib.engine.forget(gone.tolist())
    shutil.rmtree(work.folder)
    for file in out.glob("removed-*.npy"):
        if file.name != new.removed:
            file.unlink()
    return Built(
        out,
        new.visible - len(removed),
        added,
        changed,
        len(gone) - changed,
        lib.bodies.rows,
        release.layout,
        len(skipped),
        " and ".join(encoded),
    )


def _without(out: Path, state: State, gone: np.ndarray) -> State:
    """A state in which some more records are not to be seen; what they are lies in a file of its own."""
    if not len(gone):
        return state
    removed = np.union1d(np.load(out / state.removed) if state.removed else np.zeros(0, np.int64), gone)
    name = f"removed-{len(removed)}.npy"
    with files.replacing(out / name) as part, part.open("wb") as file:
        np.save(file, removed)
    return replace(state, removed=name)


class _Work:
    """What is known of an unfinished build of one release."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.file = folder, folder / "progress.json"
        if self.file.exists() and json.loads(self.file.read_text())["release"] != fingerprint:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.fresh = not self.file.exists()
        self.said: dict[str, Any] = (
            json.loads(self.file.read_text())
            if not self.fresh
            else {"release": fingerprint, "parts": 0, "metadata": "", "read": False, "skipped": []}
        )
        self._rows: list[Skipped] = []

    def note(self, **values: Any) -> None:
        self.said |= values
        files.write(self.file, json.dumps(self.said))

    def bad(self, what: Skipped) -> None:
        self.said["skipped"].append(list(what))

    def bad_row(self, what: Skipped) -> None:
        self._rows.append(what)

    def skipped(self) -> list[Skipped]:
        return [*(Skipped(*row) for row in self.said["skipped"]), *dict.fromkeys(self._rows)]


def _read(release: Release, lib: Library, work: _Work) -> Path:
    """Go through the files of a release once: keep full texts, and find or copy the metadata."""
    if work.said["read"]:
        return Path(work.said["metadata"])
    known = {row["name"]: row["digest"] for batch in lib.bodies.scan(columns=["name", "digest"]) for row in batch}
    batch: list[dict[str, Any]] = []
    metadata, number = Path(work.said["metadata"]) if work.said["metadata"] else None, 0
    with progress.bar("reading", 0, unit="files") as show:
        for number, part in enumerate(releases.files(release, bad=work.bad), 1):
            if releases.is_metadata(part):
                if metadata is None:
                    metadata = _kept(release, part, work)
                    work.note(metadata=str(metadata))
                continue
            if number <= work.said["parts"]:
                continue
            body = releases.body(part)
            if isinstance(body, Skipped):
                work.bad(body)
                continue
            row = _body_row(body)
            if known.get(body.name) != row["digest"]:
                known[body.name] = row["digest"]
                batch.append(row)
            if len(batch) == BODIES:
                lib.bodies.append(batch)
                batch = []
                work.note(parts=number)
            show(number)
    lib.bodies.append(batch)
    if metadata is None:
        raise UserError(
            f"{release.path} holds no metadata.csv, or breaks off before it: without it nothing can be told apart"
        )
    work.note(parts=number, read=True)
    return metadata


def _kept(release: Release, part: releases.Part, work: _Work) -> Path:
    """Where the metadata lie: in place, or copied out of a tar."""
    if release.path.is_dir() and (release.path / part.name).is_file():
        return release.path / part.name
    if release.path.suffix == ".csv":
        return release.path
    target = work.folder / "metadata.csv"
    try:
        with files.replacing(target) as file, file.open("wb") as copy:
            shutil.copyfileobj(part.file, copy)
    except releases.BROKEN as error:
        raise UserError(f"{release.path} breaks off within {part.name} ({error}): fetch it again") from None
    return target


def _body_row(body: releases.Body) -> dict[str, Any]:
    text, sections, at = [], [], 0
    for heading, paragraph in body.paragraphs:
        if not sections or sections[-1][1] != heading:
            sections.append([at, heading])
        text.append(paragraph)
        at += len(paragraph) + 2
    row = {
        "name": body.name, "title": body.title, "abstract": "\n\n".join(body.abstract), "text": "\n\n".join(text),
        "sections": json.dumps(sections, ensure_ascii=False),
    }  # fmt: skip
    return row | {"digest": _digest(row)}


def _digest(row: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(row, sort_keys=True, ensure_ascii=False).encode(), digest_size=12).hexdigest()


def _rows(path: Path, work: _Work) -> Callable[[], Iterator[Cells]]:
    """The rows of the metadata, as often as they are asked for."""

    def again() -> Iterator[Cells]:
        with path.open("rb") as file:
            yield from releases.metadata(file, name=path.name, bad=work.bad_row)

    return again


def _counted(items: Iterable[Any], show: Callable[..., None]) -> Iterator[Any]:
    for i, item in enumerate(items, 1):
        yield item
        if i % 1000 == 0:
            show(i)


class _Bodies:
    """Full texts by name."""

    def __init__(self, lib: Library) -> None:
        self.lib = lib
        self.number: dict[str, int] = {}
        self.length: dict[str, int] = {}
        at = 0
        for batch in lib.bodies.scan(columns=["name", "text"]):
            for row in batch:
                self.number[row["name"]], self.length[row["name"]] = at, len(row["text"])
                at += 1

    def of(self, cells: list[Cells]) -> tuple[str, ...]:
        """Names of the full texts that rows speak of and that are there."""
        names: list[str] = []
        for row in cells:
            names += records.parts(row.get("sha", ""))
            for column in ("pdf_json_files", "pmc_json_files"):
                names += [
                    PurePosixPath(p).name.removesuffix(".json").removesuffix(".xml")
                    for p in records.parts(row.get(column, ""))
                ]
            names += [records.number(row.get("pmcid", "")).upper()]
        return tuple(name for name in dict.fromkeys(names) if name in self.number)

    def longest(self, record: Record) -> str:
        return max(record.papers, key=self.length.__getitem__, default="")

    def filled(self, record: Record) -> Record:
        """A record with title and abstract from its full text, where the metadata have none."""
        if record.papers and not (record.title and record.abstract):
            for row in self.lib.bodies.take([self.number[name] for name in record.papers]):
                record = replace(
                    record, title=record.title or records.clean(row["title"]),
                    abstract=record.abstract or records.clean(row["abstract"]),
                )  # fmt: skip
        return record


def _assembled(lines: Iterator[Cells], first: np.ndarray, papers: _Bodies) -> Iterator[Record]:
    """One record for the rows of each paper, when the last of them has come by."""
    left = np.bincount(first, minlength=len(first))
    waiting: dict[int, list[Cells]] = {}
    used: set[int] = set()
    for i, cells in enumerate(lines):
        of = int(first[i])
        left[of] -= 1
        if left[of]:
            waiting.setdefault(of, []).append(cells)
            continue
        rows = [*waiting.pop(of, ()), cells]
        record = papers.filled(merged(rows, papers=papers.of(rows)))
        if not record.title and not record.abstract and not record.papers:
            continue
        while identity.hashed(record.id) in used:  # one cord_uid for two papers
            record = replace(record, id=f"{record.id}-2" if "-" not in record.id else _next(record.id))
        used.add(identity.hashed(record.id))
        yield record


def _next(id: str) -> str:
    stem, number = id.rsplit("-", 1)
    return f"{stem}-{int(number) + 1}"


def merged(rows: list[Cells], *, papers: tuple[str, ...] = ()) -> Record:
    """One record from the rows that speak of one paper.

    The longest abstract is taken, with the licence of its row; the most precise date, of these the earliest.
    """

    def texts(name: str) -> list[str]:
        return [row.get(name, "").strip() for row in rows]

    def some(values: Iterable[str]) -> str:
        return next((value for value in values if value), "")

    abstracts = [records.clean(text) for text in texts("abstract")]
    best = max(range(len(rows)), key=lambda i: len(abstracts[i]))
    dates = [records.published(text) for text in texts("publish_time")]
    order = ("day", "month", "year", "none")
    when = min(dates, key=lambda d: (order.index(d.precision), d.first is None, d.first))
    title = some(records.clean(text) for text in texts("title"))
    doi = some(records.doi(text) for text in texts("doi"))
    licences = [records.licence(text) for text in texts("license")]
    record = Record(
        id=some(texts("cord_uid")), title=title, abstract=abstracts[best],
        authors=records.parts(max(texts("authors"), key=len)), journal=some(texts("journal")), published=when, doi=doi,
        pmcid=some(records.number(t).upper() for t in texts("pmcid")), pmid=some(map(records.number, texts("pubmed_id"))),
        arxiv=some(map(records.number, texts("arxiv_id"))), licence=licences[best] or some(licences),
        url=some(texts("url")).split(";")[0].strip(), preprint=records.is_preprint(doi, some(texts("source_x"))),
        papers=papers, sources=tuple(_source(row, title, abstracts[best]) for row in rows),
    )  # fmt: skip
    if record.id:
        return record
    strongest = next((f"{name}:{value}" for name, value in (
        ("doi", record.doi), ("pmc", record.pmcid), ("pmid", record.pmid), ("arxiv", record.arxiv),
        ("title", f"{records.plain(title)} {when.first.year if when.first else ''}"),
    ) if value.strip()), "")  # fmt: skip
    return replace(record, id="x" + hashlib.blake2b(strongest.encode(), digest_size=5).hexdigest())


def _source(row: Cells, title: str, abstract: str) -> Cells:
    """A row of the release without what is empty, and without title and abstract that the record has."""
    kept = {name: value.strip() for name, value in row.items() if value.strip()}
    if records.clean(kept.get("title", "")) == title:
        kept.pop("title", None)
    if records.clean(kept.get("abstract", "")) == abstract:
        kept.pop("abstract", None)
    return kept


class _Old:
    """Records that are in a library already, by their keys."""

    def __init__(self, lib: Library) -> None:
        pairs: list[tuple[int, int]] = []
        self.ids: dict[int, tuple[str, str]] = {}
        for number, row in lib.scan():
            self.ids[number] = row["id"], row["digest"]
            pairs += [(key, number) for key in _keys(library.record(row))]
        keys = np.array([key for key, _ in pairs], np.uint64)
        order = np.argsort(keys, kind="stable")
        self.keys, self.numbers = keys[order], np.array([n for _, n in pairs], np.int64)[order]
        self.claimed: set[int] = set()
        self.same: set[int] = set()

    def find(self, record: Record) -> tuple[int, str] | None:
        """Number and id of the record that is the same paper."""
        for key in _keys(record):
            at = int(np.searchsorted(self.keys, np.uint64(key)))
            while at < len(self.keys) and self.keys[at] == key:
                number = int(self.numbers[at])
                if number not in self.claimed:
                    self.claimed.add(number)
                    return number, self.ids[number][0]
                at += 1
        return None

    def keep(self, number: int, digest: str) -> bool:
        """Whether nothing has changed in a record."""
        if self.ids[number][1] != digest:
            return False
        self.same.add(number)
        return True

    def gone(self) -> np.ndarray:
        """Numbers of records that are replaced or not in the release any more."""
        return np.array(sorted(set(self.ids) - self.same), np.int64)


def _keys(record: Record) -> list[int]:
    kind = "preprint" if record.preprint else "article"
    said = [
        (name, value)
        for name, value in (
            ("doi", record.doi),
            ("pmcid", record.pmcid),
            ("pmid", record.pmid),
            ("arxiv", record.arxiv),
        )
        if value
    ]
    said += [(f"uid {kind}", row["cord_uid"]) for row in record.sources if row.get("cord_uid")]
    title = records.plain(record.title)
    if len(title) >= identity.LONG:
        said.append((f"title {kind}", f"{title} {record.published.first.year if record.published.first else ''}"))
    return list(dict.fromkeys(identity.hashed(f"{name} {value}") for name, value in said))


def _index(lib: Library) -> None:
    """Bring the index to where the records are."""
    total = lib.records.rows
    with progress.bar("indexing", total, done=lib.engine.indexed, unit="records") as show:
        while lib.engine.indexed < total:
            start = lib.engine.indexed
            upto = min(total, start + INDEXED)
            lib.engine.add(_counted(_entries(lib, start, upto), lambda n, start=start: show(start + n)), upto=upto)
            show(upto)


def _entries(lib: Library, start: int, upto: int) -> Iterator[Any]:
    number = start
    for batch in lib.records.scan(start):
        for row in batch:
            if number == upto:
                return
            yield library.entry(number, row)
            number += 1


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""').replace("\n", " ") + '"'
