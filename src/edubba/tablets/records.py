"""What is on a tablet: signs with their boxes and readings, lines, surfaces; what is damaged, and what was done to it.

The native document is JSON, format `edubba.tablets/1`, and loses nothing. Every other format is read into these records
and written from them.
"""

import functools
import json
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from edubba.core import files
from edubba.core.errors import UserError

FORMAT = "edubba.tablets/1"

Damage = Literal["intact", "damaged", "broken"]
"""`damaged`: ink is left (`#`, half brackets); `broken`: nothing is left (inside `[ ]`), so a name there is restored"""
Mark = Literal["uncertain", "corrected", "collated", "doubtful", "omitted", "superfluous", "erased"]
"""`?`, `!`, `*`, `( )`, `< >`, `<< >>` and what a scribe rubbed out"""
Role = Literal["syllable", "logogram", "determinative", "gloss", "number", "punctuation"]


class Box(NamedTuple):
    """A rectangle in pixels of the photograph: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float


class Candidate(NamedTuple):
    """A name that a sign may have, and how probable it is."""

    name: str
    probability: float


class Evidence(NamedTuple):
    """A labelled example that looks like the sign."""

    name: str
    source: str
    """file of the example, or tablet and number of its box"""
    similarity: float
    """cosine, -1 to 1"""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign as it stands on the clay, or as an editor says that it stood there."""

    id: str = ""
    name: str | None = None
    """the sign written, by its name in the sign list; None: unread"""
    reading: str | None = None
    """what it is read as in this place; None: not said"""
    role: Role | None = None
    word: int | None = None
    """number of its word in the line, from 0"""
    damage: Damage = "intact"
    marks: tuple[Mark, ...] = ()
    box: Box | None = None
    score: float | None = None
    """how sure the detector is that a sign is here, 0 to 1"""
    candidates: tuple[Candidate, ...] = ()
    """names in order, the likeliest first, with calibrated probabilities"""
    abstained: bool = False
    """the reader was not sure enough to give a name: `candidates` says what it thought of"""
    evidence: tuple[Evidence, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    """fields of the format it came from that nothing here stands for"""

    @property
    def restored(self) -> bool:
        """Whether a name or reading is given where no ink is: an editor's, never to be learned from or scored."""
        return not self.ink and (self.name is not None or self.reading is not None)

    @property
    def ink(self) -> bool:
        """Whether something of the sign can be seen."""
        return self.damage != "broken" and "omitted" not in self.marks


@dataclass(frozen=True, kw_only=True)
class Line:
    """Signs in reading order. `kind` tells text from what an editor says between lines."""

    id: str = ""
    label: str = ""
    """the editors' number: `1`, `2'`"""
    kind: Literal["text", "state", "note", "unplaced"] = "text"
    """`state`: `$ rest broken`; `note`: comments, translations, lemmata; `unplaced`: signs that fit no line"""
    signs: tuple[Sign, ...] = ()
    path: tuple[tuple[float, float], ...] = ()
    """polyline through its signs, pixels"""
    text: str | None = None
    """the line as an editor wrote it, to the letter; None: nobody did"""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A face of the object, and where it lies in the photograph."""

    id: str = ""
    kind: str = ""
    """obverse, reverse, left, right, top, bottom, edge, seal 1 ...; empty: not known"""
    column: str = ""
    box: Box | None = None
    lines: tuple[Line, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def signs(self) -> list[Sign]:
        return [sign for line in self.lines for sign in line.signs]


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """The picture that boxes refer to. Boxes are worthless on another size of it, so size and checksum are kept."""

    file: str
    width: int
    height: int
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that was done to a record."""

    what: str
    """`detect`, `name`, `order`, `transliterate`, `restore`, `convert`, `correct`"""
    by: str
    """edubba with its version, or a person"""
    when: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tablet:
    """One object."""

    id: str
    """museum or P number"""
    name: str = ""
    language: str = ""
    period: str = ""
    photograph: Photograph | None = None
    surfaces: tuple[Surface, ...] = ()
    steps: tuple[Step, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def signs(self) -> list[Sign]:
        return [sign for surface in self.surfaces for sign in surface.signs]

    def stepped(self, step: Step) -> "Tablet":
        """The same with one more step noted."""
        return replace(self, steps=(*self.steps, step))


def to_dict(record: Any) -> dict[str, Any]:
    """A record as JSON can hold it; fields that hold their default are left out."""
    made = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if value != (f.default if f.default_factory is MISSING else f.default_factory()):
            made[f.name] = _plain(value)
    return made


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_dict(value)
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def from_dict(cls: Any, table: Any) -> Any:
    """The record that `to_dict` wrote.

    Raises
    ------
    UserError
        A field is unknown or missing, or holds what it cannot.
    """
    kind = cls.__name__.lower()
    if not isinstance(table, dict):
        raise UserError(f"{_shown(table)} stands where a {kind} should: this is no {FORMAT} document")
    hints = _hints(cls)
    if strange := table.keys() - hints.keys():
        raise UserError(f"a {kind} has no field {min(strange)!r}: this is no {FORMAT} document")
    values = {}
    for name, value in table.items():
        try:
            values[name] = _typed(hints[name], value)
        except TypeError:
            raise UserError(f"the {name} of a {kind} cannot be {_shown(value)}: this is no {FORMAT} document") from None
    for f in fields(cls):
        if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise UserError(f"a {kind} lacks its {f.name}: this is no {FORMAT} document")
    return cls(**values)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _typed(hint: Any, value: Any) -> Any:
    """What JSON gave, as the type that a field has; TypeError where it is another."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # something or None
        return None if value is None else _typed(args[0], value)
    if origin is Literal:
        good = isinstance(value, str) and value in args
    elif is_dataclass(hint):
        return from_dict(hint, value)
    elif hasattr(hint, "_fields"):
        wanted = _hints(hint).values()
        good = isinstance(value, list) and len(value) == len(wanted)
        if good:
            return hint(*map(_typed, wanted, value))
    elif origin is tuple:
        good = isinstance(value, list) and (args[-1] is Ellipsis or len(args) == len(value))
        if good:
            return tuple(_typed(args[0], v) for v in value)
    elif hint is float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if good:
            return float(value)
    else:
        good = type(value) is (origin or hint)
    if not good:
        raise TypeError
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    UserError
        There is no such file, or it is not JSON: the line and column are said.
    """

    def refuse(word: str) -> None:
        raise UserError(f"{path} holds the number {word}, which JSON has not: write it anew without it")

    try:
        return json.loads(Path(path).read_text("utf-8-sig"), parse_constant=refuse)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name a file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}:{error.colno}: this is not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be a document of tablets") from None


def write(tablets: list[Tablet], path: str | Path) -> Path:
    """Write a document of tablets."""
    document = {"format": FORMAT, "tablets": [to_dict(tablet) for tablet in tablets]}
    return files.write(Path(path), json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: str | Path) -> list[Tablet]:
    """The tablets of a document.

    Raises
    ------
    UserError
        It is no such document.
    """
    document = read_json(path)
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise UserError(f"{path} has format {found!r}, and this edubba reads {FORMAT!r}")
    if not isinstance(document.get("tablets"), list):
        raise UserError(f"{path} lacks its list of tablets: this is no {FORMAT} document")
    try:
        return [from_dict(Tablet, table) for table in document["tablets"]]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
