"""The formats that tablets are read from and written to, and what each of them can hold.

Every module has `read(path, *, images=None)` and `write(tablets, path)`; some have `lacking(tablets)`, which says what
only some of their signs lose, and `beside(path)`, the files that `write` makes besides its own.
"""

import csv
import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from edubba import __version__
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import records
from edubba.tablets.checking import Skipped
from edubba.tablets.records import Line, Sign, Step, Surface, Tablet


@dataclass(frozen=True)
class Format:
    """A format: its module, the endings of its files, and which of `PARTS` it can hold."""

    module: str
    extensions: tuple[str, ...]
    words: str
    holds: frozenset[str]
    single: bool = False
    """a file holds one photograph or text: several need a folder"""


@dataclass(frozen=True)
class Part:
    """Something that tablets may have, in words for one and for many, and how often a tablet has it."""

    one: str
    many: str
    count: Callable[[Tablet], int]


def _of_signs(has: Callable[[Sign], bool]) -> Callable[[Tablet], int]:
    return lambda tablet: sum(map(has, tablet.signs))


def _of_lines(has: Callable[[Line], bool]) -> Callable[[Tablet], int]:
    return lambda tablet: sum(has(line) for surface in tablet.surfaces for line in surface.lines)


def _of_surfaces(has: Callable[[Surface], bool]) -> Callable[[Tablet], int]:
    return lambda tablet: sum(map(has, tablet.surfaces))


def _extras(tablet: Tablet) -> int:
    lines = [line for surface in tablet.surfaces for line in surface.lines]
    return sum(bool(record.extra) for record in (tablet, *tablet.surfaces, *lines, *tablet.signs))


PARTS = {
    "photographs": Part("photograph", "photographs", lambda tablet: tablet.photograph is not None),
    "about": Part(
        "name, language or period of a tablet", "names, languages or periods of tablets",
        lambda tablet: bool(tablet.name or tablet.language or tablet.period),
    ),
    "boxes": Part("box", "boxes", _of_signs(lambda sign: sign.box is not None)),
    "unboxed": Part("sign without a box", "signs without a box", _of_signs(lambda sign: sign.box is None)),
    "names": Part("name of a sign", "names of signs", _of_signs(lambda sign: sign.name is not None)),
    "readings": Part("reading", "readings", _of_signs(lambda sign: sign.reading is not None)),
    "roles": Part("role of a sign", "roles of signs", _of_signs(lambda sign: sign.role is not None)),
    "words": Part("sign's word", "signs' words", _of_signs(lambda sign: sign.word is not None)),
    "damaged": Part("mark of damage", "marks of damage", _of_signs(lambda sign: sign.damage == "damaged")),
    "broken": Part("mark of what is lost", "marks of what is lost", _of_signs(lambda sign: sign.damage == "broken")),
    "marks": Part("sign with editors' marks", "signs with editors' marks", _of_signs(lambda sign: bool(sign.marks))),
    "scores": Part("detector's score", "detector's scores", _of_signs(lambda sign: sign.score is not None)),
    "candidates": Part("list of candidates", "lists of candidates", _of_signs(lambda sign: bool(sign.candidates))),
    "abstentions": Part("abstention", "abstentions", _of_signs(lambda sign: sign.abstained)),
    "evidence": Part("sign's evidence", "signs' evidence", _of_signs(lambda sign: bool(sign.evidence))),
    "lines": Part("line of text", "lines of text", _of_lines(lambda line: line.kind == "text")),
    "unplaced": Part(
        "sign that stands on no line", "signs that stand on no line",
        lambda t: sum(len(line.signs) for face in t.surfaces for line in face.lines if line.kind == "unplaced"),
    ),
    "paths": Part("drawn line", "drawn lines", _of_lines(lambda line: bool(line.path))),
    "labels": Part("number of a line", "numbers of lines", _of_lines(lambda line: bool(line.label))),
    "texts": Part("line as its editor wrote it", "lines as their editors wrote them", _of_lines(
        lambda line: line.text is not None and line.kind == "text"
    )),
    "notes": Part("note or state", "notes and states", _of_lines(lambda line: line.kind in ("note", "state"))),
    "surfaces": Part("kind of a face", "kinds of faces", _of_surfaces(lambda face: bool(face.kind or face.column))),
    "faces": Part("box of a face", "boxes of faces", _of_surfaces(lambda face: face.box is not None)),
    "steps": Part("step of its history", "steps of their history", lambda tablet: len(tablet.steps)),
    "extra": Part("record with fields of its own format", "records with fields of their own format", _extras),
}  # fmt: skip
EVERYTHING = frozenset(PARTS)
FORMATS = {
    "json": Format("edubba.tablets.records", (".json",), "edubba.tablets/1", EVERYTHING),
    "coco": Format("edubba.tablets.formats.coco", (".json",), "COCO with regions and lines", EVERYTHING - {"unboxed"}),
    "page": Format(
        "edubba.tablets.formats.page", (".xml",), "PAGE-XML with glyphs", EVERYTHING - {"evidence", "extra"},
        single=True,
    ),
    "atf": Format(
        "edubba.tablets.formats.atf", (".atf", ".txt"), "C-ATF, eBL-ATF, ORACC ATF",
        frozenset({
            "about", "unboxed", "names", "readings", "roles", "words", "damaged", "broken", "marks", "lines", "labels",
            "texts", "notes", "surfaces", "extra",
        }),
    ),
    "cuneiform": Format(
        "edubba.tablets.formats.cuneiform", (".txt",), "Unicode cuneiform",
        frozenset({"unboxed", "names", "broken", "lines", "unplaced"}), single=True,
    ),
    "ebl": Format(
        "edubba.tablets.formats.ebl", (".txt",), "eBL's gt_<image>.txt",
        frozenset({"boxes", "names", "readings", "damaged", "broken", "unplaced"}), single=True,
    ),
    "compvis": Format(
        "edubba.tablets.formats.compvis", (".csv",), "CompVis tables",
        frozenset({"boxes", "names", "unplaced", "paths", "surfaces", "faces"}),
    ),
    "deepscribe": Format(
        "edubba.tablets.formats.deepscribe", (".json",), "DeepScribe hotspots",
        frozenset({"photographs", "boxes", "names", "readings", "scores", "unplaced", "extra"}),
    ),
}  # fmt: skip
HEAD = 1 << 16
"""bytes of a file that are looked at to tell its format"""


def recognise(path: str | Path) -> str:
    """The name of the format that a file has, by its content; of a folder, the one that its files have.

    Raises
    ------
    UserError
        It is none that is known, or a folder has files of several.
    """
    path = Path(path)
    if path.is_dir():
        found = {recognise(file) for file in _inside(path)}
        if len(found) != 1:
            raise UserError(
                f"{path} holds files of {' and '.join(sorted(found)) or 'no format'}: say which with its name"
            )
        return found.pop()
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).decode("utf-8-sig", "replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    if re.match(r"\s*(\{|\[\s*[{\]])", head):
        return _of_json(records.read_json(path), path)
    if re.match(r"\s*<", head):
        if "schema.primaresearch.org/PAGE/gts/pagecontent/" not in head:
            _module("page").read(path)  # says what is wrong, and where
        return "page"
    rows = head.splitlines()
    first = next((row for row in rows if row.strip()), "")
    if {"tablet_CDLI", "mzl_label", "bbox"} <= set(next(csv.reader([first]), [])):
        return "compvis"
    if re.match(r"\s*-?[\d.]+(,-?[\d.]+){3}(,|\s*$)", first) or (path.name.startswith("gt_") and path.suffix == ".txt"):
        return "ebl"
    if path.suffix == ".atf" or re.search(r"(?m)^(&\s*\S+\s*=|#atf|@(tablet|obverse|reverse|object)\b)", head):
        return "atf"
    if re.search("[\U00012000-\U0001254f]", head):
        return "cuneiform"
    if re.search(r"(?m)^\d+['′]*\.\s", head):
        return "atf"
    raise UserError(f"{path} has no format that is known by its content: say which it is, one of {', '.join(FORMATS)}")


def _of_json(document: Any, path: Path) -> str:
    if isinstance(document, dict):
        if str(document.get("format", "")).startswith("edubba.tablets/"):
            return "json"
        if {"images", "annotations"} <= document.keys():
            return "coco"
    entries = list(document.values() if isinstance(document, dict) else document)
    if all(isinstance(entry, dict) for entry in entries):
        if entries and all({"image_id", "category_id", "score"} <= entry.keys() for entry in entries):
            raise UserError(
                f"{path} is a list of COCO results, which name no photographs: read the COCO file they belong to"
            )
        if all({"file_name", "annotations"} <= entry.keys() for entry in entries):
            return "deepscribe"
    raise UserError(f"{path} is JSON, but neither {records.FORMAT} nor COCO nor DeepScribe hotspots")


def read(
    path: str | Path,
    format: str | None = None,
    images: str | Path | None = None,
    *,
    skipped: list[Skipped] | None = None,
) -> list[Tablet]:
    """The tablets of a file, or of all files of a folder.

    Parameters
    ----------
    path
        A file or folder.
    format
        A name of `FORMATS`; None: what the content says.
    images
        Folder of the photographs, for formats that do not say how large these are.
    skipped
        Files of a folder that cannot be read are added here, and the rest is read; None: the first one is an error.

    Raises
    ------
    UserError
        There is no such file, or it cannot be read as that format.
    """
    return [tablet for _, _, tablets in _opened(Path(path), format, images, skipped) for tablet in tablets]


def _opened(
    path: Path, format: str | None, images: str | Path | None, skipped: list[Skipped] | None
) -> list[tuple[Path, str, list[Tablet]]]:
    """Each file with its format and its tablets."""
    if not path.exists():
        raise UserError(f"{path} does not exist")
    made = []
    for file in _inside(path, format) if path.is_dir() else [path]:
        try:
            name = format or recognise(file)
            module = _module(name)
            tablets = module.read(file) if name in ("json", "atf") else module.read(file, images=images)
        except UserError as error:
            if skipped is None or file == path:
                raise
            skipped.append(Skipped(str(file), "invalid", str(error)))
        else:
            made.append((file, name, tablets))
    return made


def _inside(folder: Path, format: str | None = None) -> list[Path]:
    """Files of a folder that may be of a format, without those that belong to another file."""
    endings = {e for name, f in FORMATS.items() if format in (None, name) for e in f.extensions}
    found = (p for p in folder.iterdir() if p.suffix.lower() in endings and p.is_file())
    return sorted(p for p in found if not p.name.startswith((".", "tablet_segments_", "line_annotations_")))


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise UserError(f"there is no format {name!r}: it must be one of {', '.join(FORMATS)}")
    return importlib.import_module(FORMATS[name].module)


def write(tablets: Sequence[Tablet], path: str | Path, format: str | None = None) -> Path:
    """Write tablets to a file; to a folder, where a format holds one tablet a file and the path has no ending.

    Parameters
    ----------
    format
        A name of `FORMATS`; None: by the ending of the path (`.json`, `.xml`, `.csv`, `.atf`, `gt_*.txt`, other
        `.txt`).

    Raises
    ------
    UserError
        The format is not known, or cannot hold several tablets in one file.
    """
    path, tablets = Path(path), list(tablets)
    name = format or _by_ending(path)
    module = _module(name)
    if not FORMATS[name].single or (path.suffix and not path.is_dir()):
        return module.write(tablets, path)
    for tablet, file in zip(tablets, file_names(tablets, name), strict=True):
        module.write([tablet], path / file)
    return path


def file_names(tablets: Iterable[Tablet], format: str) -> list[str]:
    """What tablets' files are called in a folder: after their photographs, or their numbers; all different."""
    made: list[str] = []
    for tablet in tablets:
        stem = PurePosixPath(tablet.photograph.file.replace("\\", "/")).stem if tablet.photograph else tablet.id
        stem = re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", stem).strip(". ") or "tablet"
        start, ending = ("gt_" if format == "ebl" else ""), FORMATS[format].extensions[0]
        names = (f"{start}{stem}{f'-{i}' if i > 1 else ''}{ending}" for i in range(1, len(made) + 2))
        made.append(next(name for name in names if name not in made))
    return made


def _by_ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending == ".txt":
        return "ebl" if path.name.startswith("gt_") else "cuneiform"
    name = next((name for name, f in FORMATS.items() if ending in f.extensions), None)
    if name is None:
        raise UserError(f"the ending of {path} says no format: say which it should be, one of {', '.join(FORMATS)}")
    return name


def convert(
    source: str | Path,
    target: str | Path,
    *,
    from_format: str | None = None,
    to_format: str | None = None,
    images: str | Path | None = None,
) -> list[str]:
    """Write the tablets of a file or folder in another format; it is noted in the tablets, where the format has room.

    Returns
    -------
    Sentences that say what could not be read and what the target has no place for.

    Raises
    ------
    UserError
        The target exists, nothing can be read, or a format is not known.
    """
    source, target = Path(source), Path(target)
    to_format = to_format or _by_ending(target)
    module = _module(to_format)
    for file in (target, *(module.beside(target) if hasattr(module, "beside") else ())):
        if file.is_file() or (file.is_dir() and any(file.iterdir())):
            raise UserError(f"{file} exists: choose another name, or delete it first")
        if file.is_dir() and not FORMATS[to_format].single:
            raise UserError(f"{file} is a folder: name the file to write, such as {file / ('tablets.' + to_format)}")
    skipped: list[Skipped] = []
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    tablets = []
    for file, name, found in _opened(source, from_format, images, skipped):
        settings = {"from": name, "to": to_format, "source": file.name}
        step = Step(what="convert", by=f"edubba {__version__}", when=now, settings=settings)
        tablets += [(tablet, tablet.stepped(step)) for tablet in found]
    if not tablets:
        raise UserError(f"{source} holds nothing that can be converted" + (f": {skipped[0].detail}" if skipped else ""))
    write([after for _, after in tablets], target, to_format)
    before = [tablet for tablet, _ in tablets]
    return [s.detail for s in skipped] + _problems(before) + left_out(before, to_format)


def _problems(tablets: Sequence[Tablet]) -> list[str]:
    """What an ATF parser found wrong in lines, which it kept."""
    return [
        f"{tablet.id}, line {line.label or '?'}, {problem}"
        for tablet in tablets
        for surface in tablet.surfaces
        for line in surface.lines
        for problem in line.extra.get("problems", ())
    ]


def left_out(tablets: Sequence[Tablet], format: str) -> list[str]:
    """What a format has no place for, a sentence a kind."""
    module = _module(format)
    made = []
    for name, part in PARTS.items():
        if name not in FORMATS[format].holds and (n := sum(int(part.count(tablet)) for tablet in tablets)):
            words = f"{counted(n, part.one, part.many)} left out: no place for {'it' if n == 1 else 'them'}"
            made.append(f"{words} in {FORMATS[format].words}")
    return made + (module.lacking(tablets) if hasattr(module, "lacking") else [])
