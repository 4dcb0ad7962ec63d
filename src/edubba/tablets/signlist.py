"""The sign list: names, readings, numbers in printed lists and code points of cuneiform signs, in any usual spelling.

Data of the Oracc Sign List (CC0) with a version, to which a file of corrections may be added. A *name* says which sign is
written (`KI`, `|GA₂×AN|`), a *reading* what it is read as (`ki`, `šu₂`). Readings are kept in one spelling: lower case,
index digits below the line (`₂`, `ₓ` for an unknown index), `š ṣ ṭ ʾ ŋ` as letters, `h` for what others write `ḫ`.
"""

import csv
import functools
import gzip
import hashlib
import io
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from edubba.core.errors import UserError

BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
LEVEL = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₓ", "0123456789X")
LIGHT = "0123456789₀₁₂₃₄₅₆₇₈₉ₓ"
"""an index that differs counts half a letter"""
LETTERS = str.maketrans({"ḫ": "h", "ĝ": "ŋ", "j": "ŋ", "’": "ʾ", "'": "ʾ", "ʿ": "ʾ"})
DIGRAPHS = (("sz", "š"), ("s,", "ṣ"), ("t,", "ṭ"))
ACUTE, GRAVE = "\u0301", "\u0300"
TIMES = re.compile(r"(?<=[\w)])x(?=[^\W\d_a-z]|[(\d|])")
"""the letter x where it stands for the sign ×: `GA2xAN`"""
LISTED = re.compile(r"(?:LAK|REC|KWU|BAU|ELLES|RSP|N)\d")
"""names that are a number of some list"""
CUNEIFORM = re.compile("[\U00012000-\U0001254f]*")
"""the three blocks that Unicode has"""
FIELDS = ("chars", "codepoints", "readings", "mzl", "abz", "lak", "also")
"""what a correction may change"""


@dataclass(frozen=True)
class Entry:
    """A sign of the list."""

    name: str
    chars: str
    """in Unicode, sometimes several characters (`ID₂`: 𒀀𒇉); empty: Unicode has it not"""
    readings: tuple[str, ...] = ()
    """`id₅?`: the list doubts it, or has given it up"""
    mzl: tuple[str, ...] = ()
    """numbers in Borger, Mesopotamisches Zeichenlexikon (2003, 2010)"""
    abz: tuple[str, ...] = ()
    """numbers in Borger, Assyrisch-babylonische Zeichenliste (1978)"""
    lak: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """other names of it"""
    forms: tuple[str, ...] = ()
    """names of what is written in its stead"""

    @property
    def codepoints(self) -> str:
        """`U+12000`, with a space between several."""
        return " ".join(f"U+{ord(c):04X}" for c in self.chars)


@dataclass(frozen=True, eq=False)
class SignList:
    """Signs, to be looked up. Made by `load`."""

    version: str
    entries: tuple[Entry, ...]
    mzl_names: dict[str, str] = field(repr=False)
    """what sign detectors call the MZL numbers"""

    @cached_property
    def _named(self) -> dict[str, Entry]:
        """Entries by their names and other names; where one is both, as a name."""
        other = {_key(name): entry for entry in self.entries for name in entry.also}
        return other | {_key(entry.name): entry for entry in self.entries}

    @cached_property
    def _read(self) -> dict[str, tuple[Entry, ...]]:
        """Entries by reading; a reading that the list doubts counts where no other sign has it without doubt."""
        found: dict[str, list[Entry]] = defaultdict(list)
        doubted: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            for value in entry.readings:
                (doubted if value.endswith("?") else found)[value.rstrip("?")].append(entry)
        return {value: tuple(entries) for value, entries in (doubted | found).items()}

    @cached_property
    def _folded(self) -> dict[str, tuple[Entry, ...]]:
        """As `_read`, but ŋ is g and ś is š: for readings that have not the letter of the list."""
        found = defaultdict(list)
        for value, entries in self._read.items():
            found[_folded(value)] += entries
        return {value: tuple(dict.fromkeys(entries)) for value, entries in found.items()}

    @cached_property
    def _formed(self) -> dict[str, Entry]:
        return {_key(name): entry for entry in reversed(self.entries) for name in entry.forms}

    @cached_property
    def _written(self) -> dict[str, tuple[Entry, ...]]:
        return _gathered((entry.chars, entry) for entry in self.entries if entry.chars)

    @cached_property
    def _mzl(self) -> dict[str, tuple[Entry, ...]]:
        """The sign that detectors know by the number comes first."""
        rows = [(number, entry) for entry in self.entries for number in entry.mzl]
        theirs = [(number, entry) for number, name in self.mzl_names.items() if (entry := self.find(name)) is not None]
        both = {(number, entry.name) for number, entry in rows}
        return _gathered([row for row in theirs if (row[0], row[1].name) in both] + rows + theirs)

    @cached_property
    def _abz(self) -> dict[str, tuple[Entry, ...]]:
        return _gathered((_number(number), entry) for entry in self.entries for number in entry.abz)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    @cached_property
    def _found(self) -> dict[str, Entry | None]:
        return {}

    def find(self, name: str) -> Entry | None:
        """The one sign that a name stands for; None: it is none, or several signs (see `parts`).

        In this order: a name of the list (with or without bars, `×` or `x`, `₂` or `2` or an accent, `Š` or `SZ`, `Ḫ` or
        `H`), another name of a sign, a reading in capitals (`NA₄`: `|NI.UD|`), a form of a sign, a numeral (`5`: `5(DIŠ)`).
        """
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Entry | None:
        key = _key(name)
        if not key:
            return None
        if entry := self._named.get(key):
            return entry
        if entry := _only(self.read_as(name)):
            return entry
        if entry := self._formed.get(key):
            return entry
        return _only(self._numeral(int(name))) if name.isdecimal() else None

    def parts(self, name: str) -> tuple[Entry, ...]:
        """The signs one after the other that a name stands for: one, those of a ligature (`AN+AK`) or a numeral (`15`).

        Empty where one of them is unknown.
        """
        if entry := self.find(name):
            return (entry,)
        if name.isdecimal():
            return self._numeral(int(name))
        pieces = _split(name)
        found = [self.find(piece) for piece in pieces]
        return tuple(e for e in found if e) if len(pieces) > 1 and all(found) else ()

    def read_as(self, reading: str) -> tuple[Entry, ...]:
        """The signs that have a reading; several only where its index is unknown (`kuₓ`).

        In any usual spelling: `šu₂`, `szu2`, `šú`; `ŋ` stands for `g` too where the list has not the letter given.
        """
        value = normal(reading)
        return self._read.get(value) or self._folded.get(_folded(value), ())

    def numbered(self, *, mzl: str | int | None = None, abz: str | int | None = None) -> tuple[Entry, ...]:
        """The signs with a number of a printed list, with or without zeros before it, `MZL010` too."""
        if (mzl is None) == (abz is None):
            raise UserError("signs are looked up by one number, MZL or ABZ")
        return self._mzl.get(_number(mzl), ()) if mzl is not None else self._abz.get(_number(abz), ())

    def written(self, chars: str) -> tuple[Entry, ...]:
        """The signs that stand in Unicode as these characters, or as `U+12000` (several with spaces or dots)."""
        return self._written.get(characters(chars) if chars.upper().startswith("U+") else chars, ())

    def nearest(self, name: str, *, n: int = 3) -> list[str]:
        """Names that differ least from one that is unknown, the nearest first."""
        return nearest(_key(name), self._keys, names=self.names, n=n)

    def nearest_readings(self, reading: str, *, n: int = 3) -> list[str]:
        """Readings that differ least from one that is unknown, the nearest first."""
        return nearest(normal(reading), tuple(self._read), names=tuple(self._read), n=n)

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        return tuple(_key(name) for name in self.names)

    def _numeral(self, n: int) -> tuple[Entry, ...]:
        """Tens as angle wedges, ones as uprights, sixties before them from 100 on."""
        places = [n] if n < 100 else _sixties(n)
        digits = [
            (count, unit) for place in places for count, unit in ((place // 10, "u"), (place % 10, "diš")) if count
        ]
        found = [_only(self.read_as(f"{count}({unit})")) for count, unit in digits]
        return tuple(e for e in found if e) if all(found) else ()


@functools.cache
def load(corrections: str | Path | None = None) -> SignList:
    """The sign list, with a file of corrections where one is given.

    Parameters
    ----------
    corrections
        A csv with the columns name, field, value, or a JSON list of such objects. Fields: chars or codepoints (the
        characters, or `U+12000 U+12001`), readings, mzl, abz, lak, also. Values of the last five are separated by spaces and
        take the place of what is there; with `+` or `-` before each they are added or removed.

    Raises
    ------
    UserError
        A row names no sign of the list (the nearest names are said), no field, or no characters.
    """
    if corrections is not None:
        return _corrected(load(), Path(corrections))
    packed = resources.files("edubba").joinpath("data/signlist.json.gz").read_bytes()
    table = json.loads(gzip.decompress(packed))
    found = re.search(r"commit ([0-9a-f]{7})", table["source"])
    entries = tuple(_entry(row) for row in table["signs"])
    return SignList(f"OSL {found[1] if found else ''}".strip(), entries, table["mzl_names"])


def mzl_names() -> dict[str, str]:
    """What sign detectors call the MZL numbers: {"737": "KI"}."""
    return dict(load().mzl_names)


@functools.lru_cache(maxsize=1 << 14)
def shown(name: str) -> str:
    """A name in the spelling of the list, whether the list has it or not.

    >>> [shown(n) for n in ("|GA2xAN|", "SZU2", "DU@g", "TÍ")]
    ['|GA₂×AN|', 'ŠU₂', 'DU@g', 'TI₂']
    """
    text = re.sub(TIMES, "×", name)
    if LISTED.match(text):
        return text
    apart = re.split(r"([@~][a-z0-9]+)", text)
    return "".join(part if i % 2 else normal(part).replace("ŋ", "g").upper() for i, part in enumerate(apart))


@functools.lru_cache(maxsize=1 << 16)
def normal(reading: str) -> str:
    """A reading in the one spelling that is kept.

    >>> [normal(r) for r in ("SZU2", "šú", "s,i", "kux", "ḫa", "'i", "3(BAN2)", "qé")]
    ['šu₂', 'šu₂', 'ṣi', 'kuₓ', 'ha', 'ʾi', '3(ban₂)', 'qe₂']
    """
    text = reading.lower()
    if not text.isascii():
        text = _unaccented(text)
    for ascii_, letter in DIGRAPHS:
        if ascii_ in text:
            text = text.replace(ascii_, letter)
    text = text.translate(LETTERS)
    text = re.sub(r"(?<=[^\W\d_])\d+", lambda m: m[0].translate(BELOW), text)
    return re.sub(r"(?<=[^\W\d_x])x(?=$|[@~(])", "ₓ", text)


def characters(codepoints: str) -> str:
    """The characters of `U+12000`, or of `U+12000 U+12001`.

    >>> characters("U+12000") == chr(0x12000)
    True
    """
    try:
        return "".join(chr(int(part, 16)) for part in re.split(r"[\s.]+", codepoints.upper().replace("U+", "").strip()))
    except (ValueError, OverflowError):
        raise UserError(f"{codepoints!r} names no characters: write them as U+12000, several with spaces") from None


def nearest(key: str, keys: Sequence[str], *, names: Sequence[str], n: int) -> list[str]:
    """The `n` of `names` whose `keys` differ from `key` in the fewest letters (added, left out, or others).

    All at once, one letter of `key` after the other (Wagner and Fischer 1974); digits of an index count half; between
    equals, the one of like length.
    """
    longest = max(map(len, keys))
    code = np.zeros((len(keys), longest), np.int32)
    for i, other in enumerate(keys):
        code[i, : len(other)] = [ord(c) for c in other]
    weight = np.where(np.isin(code, [ord(c) for c in LIGHT]), 1, 2)
    row = np.concatenate([np.zeros((len(keys), 1), np.int64), np.cumsum(weight, axis=1)], axis=1)
    for letter in key:
        own = 1 if letter in LIGHT else 2
        changed = row[:, :-1] + np.where(code == ord(letter), 0, np.maximum(weight, own))
        row = row + own
        row[:, 1:] = np.minimum(changed, row[:, 1:])
        for j in range(longest):
            np.minimum(row[:, j + 1], row[:, j] + weight[:, j], out=row[:, j + 1])
    length = np.array([len(other) for other in keys])
    order = np.lexsort((abs(length - len(key)), row[np.arange(len(keys)), length]))
    return [names[i] for i in order[:n]]


def _entry(row: dict[str, Any]) -> Entry:
    chars = row["chars"] if CUNEIFORM.fullmatch(row["chars"]) else ""
    values = (re.sub("[⁺⁻]$", "?", value) for value in row["values"] if not value.startswith("%"))
    return Entry(
        row["name"], chars, tuple(dict.fromkeys(map(normal, values))), tuple(row["mzl"]), tuple(row["abz"]),
        tuple(row["lak"]), tuple(row["aka"]), tuple(form["name"] for form in row["forms"]),
    )  # fmt: skip


def _corrected(signs: SignList, path: Path) -> SignList:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        rows = (
            json.loads(text) if path.suffix.lower() == ".json" else list(csv.DictReader(io.StringIO(text, newline="")))
        )
    except FileNotFoundError:
        raise UserError(f"there is no file of corrections {path}") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read as {path.suffix.lstrip('.') or 'csv'} ({error})") from None
    changed = {entry.name: entry for entry in signs.entries}
    for i, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        where = f"{path}, correction {i}"
        if not isinstance(row, dict) or {"name", "field", "value"} - row.keys():
            raise UserError(f"{where}: needs name, field and value")
        name, what, value = (str(row[k] or "") for k in ("name", "field", "value"))
        if (entry := signs.find(name)) is None:
            raise UserError(f"{where}: no sign is called {name!r}; the nearest are {', '.join(signs.nearest(name))}")
        if what not in FIELDS:
            raise UserError(f"{where}: there is no field {what!r}: it must be one of {', '.join(FIELDS)}")
        changed[entry.name] = _change(changed[entry.name], what, value.strip(), where)
    version = f"{signs.version}+{hashlib.sha256(content).hexdigest()[:8]}"
    return SignList(version, tuple(changed.values()), signs.mzl_names)


def _change(entry: Entry, what: str, value: str, where: str) -> Entry:
    if what in ("chars", "codepoints"):
        chars = characters(value) if value.upper().startswith("U+") else value
        if not CUNEIFORM.fullmatch(chars):
            raise UserError(f"{where}: {value!r} are no cuneiform characters (U+12000 to U+1254F)")
        return replace(entry, chars=chars)
    given = value.split()
    if what == "readings":
        given = [v[:1] + normal(v[1:]) if v[:1] in "+-" else normal(v) for v in given]
    if not given or given[0][0] not in "+-":
        return replace(entry, **{what: tuple(given)})
    kept = [v for v in getattr(entry, what) if f"-{v}" not in given]
    return replace(entry, **{what: tuple(dict.fromkeys([*kept, *(v[1:] for v in given if v[0] == "+")]))})


@functools.lru_cache(maxsize=1 << 16)
def _key(name: str) -> str:
    """One spelling of all spellings of a name, for looking up; not for showing."""
    text = re.sub(TIMES, "×", name.strip())
    text = _unaccented(text.lower()).replace("|", "")
    for ascii_, letter in DIGRAPHS:
        text = text.replace(ascii_, letter)
    text = text.translate(LETTERS).replace("ŋ", "g").upper().translate(LEVEL)
    return re.sub(r"\b(LAK|REC|KWU|BAU|ELLES|RSP)0+(?=\d)", r"\1", text)


def _unaccented(text: str) -> str:
    """Accents as index digits: á is a₂, à is a₃, at the end of the run of letters they stand in."""
    apart = unicodedata.normalize("NFD", text)
    if ACUTE not in apart and GRAVE not in apart:
        return unicodedata.normalize("NFC", text)
    for accent, index in ((ACUTE, "₂"), (GRAVE, "₃")):
        run = rf"{accent}((?:[^\W\d_]|[\u0302-\u036f])*)"
        apart = re.sub(rf"{run}(?=[\d₀-₉ₓ])", r"\1", apart)  # an index that is written out counts
        apart = re.sub(run, rf"\1{index}", apart)
    return unicodedata.normalize("NFC", apart)


def _folded(value: str) -> str:
    return value.replace("ŋ", "g").replace("ś", "š")


def _number(number: str | int | None) -> str:
    return re.sub(r"^(MZL|ABZ)?0*(?=\d)", "", str(number).strip().upper()).lower().replace("''", '"')


def _split(name: str) -> list[str]:
    """Pieces between `.` and `+` that stand in no brackets."""
    text = name.strip().removeprefix("|").removesuffix("|")
    cuts, depth = [-1], 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c in ".+" and not depth:
            cuts.append(i)
    return [text[a + 1 : b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _sixties(n: int) -> list[int]:
    places = []
    while n:
        n, place = divmod(n, 60)
        places.insert(0, place)
    return places


def _gathered(rows: Iterable[tuple[str, Entry]]) -> dict[str, tuple[Entry, ...]]:
    found = defaultdict(list)
    for key, entry in rows:
        found[_number(key)].append(entry)
    return {key: tuple(dict.fromkeys(entries)) for key, entries in found.items()}


def _only(entries: tuple[Entry, ...]) -> Entry | None:
    return entries[0] if len(entries) == 1 else None
