"""A release of CORD-19 as it lies there: folder, tar or metadata alone, in any of the three layouts it had.

A  2020-03-13 to 03-27: subset folders with `<sha>.json`; columns `sha`, `has_full_text`; at first no cord_uid
B  2020-04-03 to 05-19: subset folders with `pdf_json/`, `pmc_json/`
C  2020-05-26 on: `document_parses/`; columns `pdf_json_files`, `pmc_json_files`

What is there decides, not the date.
"""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple, cast

from edubba.core.errors import UserError
from edubba.papers import tables

Layout = Literal["A", "B", "C", "metadata alone"]
METADATA = ("metadata.csv", "all_sources_metadata")
NEEDED = ("title", "abstract", "publish_time")
BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
"""what reading a damaged archive raises"""
LARGEST = 200 * 2**20
"""bytes of one full text"""


class Skipped(NamedTuple):
    """Something of a release that was left out."""

    name: str
    detail: str


class Body(NamedTuple):
    """A full text: its paragraphs, each with the heading it stands under."""

    name: str
    """sha of the PDF, or PMCID"""
    title: str
    abstract: tuple[str, ...]
    paragraphs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Release:
    """Where it lies, and what it consists of."""

    path: Path
    layout: Layout
    fingerprint: str


def find(path: str | Path) -> Release:
    """Look what a path holds.

    Raises
    ------
    UserError
        There is nothing of that name, or no metadata in it.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder, a tar.gz or a metadata.csv of CORD-19")
    digest = hashlib.sha256()
    names = []
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            about = file.stat()
            names.append(file.relative_to(path).as_posix())
            digest.update(f"{names[-1]} {about.st_size} {about.st_mtime_ns}\n".encode())
        if not any(_is_metadata(name) for name in names):
            raise UserError(f"{path} holds no metadata.csv: name the folder that a release of CORD-19 was unpacked to")
        return Release(path, _layout(names), digest.hexdigest())
    about = path.stat()
    digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}".encode())
    if tarfile.is_tarfile(path):
        return Release(path, _layout(_members(path)), digest.hexdigest())
    if path.suffix.lower() in (".csv", ".gz"):
        return Release(path, "metadata alone", digest.hexdigest())
    raise UserError(f"{path} is no folder, no tar and no CSV: name one of these")


def _is_metadata(name: str) -> bool:
    last = PurePosixPath(name).name
    return last == METADATA[0] or (last.startswith(METADATA[1]) and last.endswith(".csv"))


def _layout(names: list[str]) -> Layout:
    texts = [name for name in names if name.endswith((".json", ".tar.gz"))]
    if any("document_parses" in name for name in texts):
        return "C"
    if any("/pdf_json/" in name or "/pmc_json/" in name for name in texts):
        return "B"
    return "A" if texts else "metadata alone"


def _members(path: Path) -> list[str]:
    """Names of the first members of a tar: enough to know the layout."""
    names = []
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                names.append(member.name)
                if len(names) >= 200:
                    break
    except (*BROKEN, OSError):
        pass  # what is broken is told when it is read
    return names


class Part(NamedTuple):
    """A file of a release, open."""

    name: str
    file: BufferedIOBase


def files(release: Release, *, bad: Callable[[Skipped], None]) -> Iterator[Part]:
    """Metadata and full texts of a release, in the order in which they lie there; a tar is read once, never unpacked."""
    if release.path.is_dir():
        for path in sorted(release.path.rglob("*"), key=lambda p: (not _is_metadata(p.name), p.as_posix())):
            name = path.relative_to(release.path).as_posix()
            if not path.is_file():
                continue
            try:
                if name.endswith((".tar.gz", ".tar")):
                    yield from _in_tar(path, bad=bad)
                elif _wanted(name):
                    with path.open("rb") as file:
                        yield Part(name, file)
            except OSError as error:
                bad(Skipped(name, f"it cannot be read ({error.strerror or error})"))
    elif release.layout == "metadata alone" and not tarfile.is_tarfile(release.path):
        with cast(
            BufferedIOBase, gzip.open(release.path) if release.path.suffix == ".gz" else release.path.open("rb")
        ) as file:
            yield Part("metadata.csv", file)
    else:
        yield from _in_tar(release.path, bad=bad)


def _wanted(name: str) -> bool:
    return _is_metadata(name) or name.endswith(".json")


def _in_tar(path: Path, *, bad: Callable[[Skipped], None]) -> Iterator[Part]:
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if member.isdir():
                    continue
                if name.is_absolute() or ".." in name.parts or not member.isreg():
                    bad(Skipped(member.name, "a member that points elsewhere: it was not followed"))
                elif name.suffix == ".gz" and name.name.endswith(".tar.gz"):
                    yield from _nested(tar, member, bad=bad)
                elif _wanted(member.name):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield Part(member.name, cast(BufferedIOBase, file))
    except (*BROKEN, OSError) as error:
        bad(Skipped(str(path), f"the tar breaks off or is damaged ({error}): what stands before that was read"))


def _nested(tar: tarfile.TarFile, member: tarfile.TarInfo, *, bad: Callable[[Skipped], None]) -> Iterator[Part]:
    """Members of a tar in a tar: the full texts of one subset."""
    file = tar.extractfile(member)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|*") as inner:
            for part in inner:
                if part.isreg() and _wanted(part.name):
                    content = inner.extractfile(part)
                    assert content is not None
                    yield Part(f"{member.name}/{part.name}", cast(BufferedIOBase, content))
    except BROKEN as error:
        bad(Skipped(member.name, f"the tar breaks off or is damaged ({error}): what stands before that was read"))


def is_metadata(part: Part) -> bool:
    return _is_metadata(part.name)


def body(part: Part) -> Body | Skipped:
    """A full text from its JSON."""
    try:
        content = part.file.read(LARGEST + 1)
    except BROKEN as error:
        return Skipped(part.name, f"the tar breaks off within it ({error})")
    if len(content) > LARGEST:
        return Skipped(part.name, f"it has more than {LARGEST >> 20} MB")
    try:
        document = json.loads(content.decode("utf-8", errors="latin-1"))
        return _body(document, PurePosixPath(part.name).name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Skipped(part.name, f"it is no full text of CORD-19 ({type(error).__name__}: {error})")


def _body(document: dict[str, Any], file: str) -> Body:
    name = str(document.get("paper_id") or file.removesuffix(".json").removesuffix(".xml"))
    paragraphs = [(str(p.get("section") or ""), str(p["text"])) for p in document.get("body_text") or ()]
    abstract = tuple(str(p["text"]) for p in document.get("abstract") or ())
    title = str((document.get("metadata") or {}).get("title") or "")
    return Body(name, title, abstract, tuple((head, text) for head, text in paragraphs if text.strip()))


def metadata(file: BufferedIOBase, *, name: str, bad: Callable[[Skipped], None]) -> Iterator[dict[str, str]]:
    """Rows of metadata.

    Raises
    ------
    UserError
        The first line has not the columns of a release.
    """
    first = True
    for row in tables.rows(file, bad=lambda line, why: bad(Skipped(f"{name}:{line}", why))):
        if first and (missing := [column for column in NEEDED if column not in row]):
            raise UserError(f"{name} has no column {missing[0]!r}: is it the metadata of CORD-19?")
        first = False
        yield row
