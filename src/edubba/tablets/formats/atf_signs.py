"""One sign as ATF writes it: what value, flags and brackets behind it say, looked up in the sign list."""

import functools
import re
from typing import Any, NamedTuple

from edubba.tablets.records import Role
from edubba.tablets.signlist import Entry, SignList, normal, shown

LETTER = "(?:[^\\W_]|['’,×\u0300-\u036f])"
VALUE = rf"x(?!{LETTER})|X(?!{LETTER})|\d+/\d+|{LETTER}+(?:[][⸢⸣]{LETTER}+)*"
TAIL = r"(?:[#?!*]|[@~][A-Za-z0-9]+|\\[a-z]+)*"
WITHIN = r"\((?!(?:x|X|\.\.\.)[#?!*]*\))(?:[^(){}<>\s]|\((?:[^(){}<>\s]|\([^(){}<>\s]*\))*\))+\)"
"""a sign's name or unit, brackets in it included; not what is only perhaps there, as in `x(x)` and `unu({ki})`"""
GRAPHEME = (
    rf"(?P<value>\$?\|[^|\s]+\||\$?(?:{VALUE}))(?P<tail>{TAIL})(?P<other>(?:/(?:{VALUE}){TAIL})*)"
    rf"(?P<within>{WITHIN})?(?P<after>{TAIL})"
)
PIECE = re.compile(GRAPHEME)


class Identity(NamedTuple):
    """What a value says by itself."""

    reading: str | None
    name: str | None
    role: Role | None
    extra: dict[str, Any]


class Piece(NamedTuple):
    """A sign as it is written, taken apart."""

    value: str
    variant: str
    flags: str
    within: str
    """what stands in round brackets after the value"""
    alternatives: tuple[str, ...]
    bracketed: bool
    """whether square or half brackets stand inside"""


@functools.lru_cache(maxsize=1 << 16)
def piece_of(text: str) -> Piece:
    found = PIECE.fullmatch(text)
    assert found is not None
    value, within = (re.sub(r"[][⸢⸣#?!*]", "", part or "") for part in (found["value"], found["within"]))
    variant = re.sub(r"[#?!*]", "", found["tail"] + found["after"])
    others = [re.sub(r"[][⸢⸣#?!*]", "", other) for other in found["other"].split("/")[1:]]
    given = tuple(shown(v) if v.upper() == v else normal(v) for v in (value, *others)) if others else ()
    flags = re.sub(r"[^#?!*]", "", text)
    return Piece(value, variant, flags, within[1:-1], given, any(c in "[]⸢⸣" for c in text))


@functools.lru_cache(maxsize=1 << 16)
def identify(signs: SignList, value: str, variant: str = "", within: str = "") -> Identity:
    """Reading, name and role of a value as it is written, without marks.

    Parameters
    ----------
    value
        `szu2`, `KI`, `|GA₂×AN|`, `$BI`, `x`, `1`.
    variant
        Modifiers and allographs after it: `@g`, `~v`.
    within
        What stands in round brackets after it: `DIŠ` of `ina(DIŠ)`, `disz` of `1(disz)`.
    """
    extra = {"variant": variant} if variant else {}
    if re.fullmatch(r"\d+(/\d+)?|n", value) and (within or value != "n"):
        reading = normal(f"{value}({within})" if within else value)
        return Identity(reading, _numeral(signs, reading, variant), "number", extra)
    name = None if not within else entry.name if (entry := signs.find(within)) else shown(within)
    if value in ("x", "X"):
        return Identity(None, name, None, extra | ({"unread": "X"} if value == "X" else {}))
    capital = value.upper() == value and value.lower() != value
    role: Role = "logogram" if capital else "syllable"
    bare = value.removeprefix("$")
    if bare != value or "|" in bare or "×" in bare:
        entry = signs.find(bare + variant) or signs.find(bare)
        whole = entry is not None and signs.find(bare + variant) is entry and bool(variant)
        return Identity(None, name or (entry.name if entry else shown(bare)), "logogram", {} if whole else extra)
    if variant and (entry := _of_variant(signs, value, variant)):
        return Identity(None if capital else normal(value + variant), name or entry.name, role, {})
    entry = only(signs.read_as(value))
    if capital and entry is None and (entry := signs.find(value)) is not None:
        return Identity(None, name or entry.name, role, extra)
    return Identity(normal(value), name or (entry.name if entry else None), role, extra)


def identity_of(signs: SignList, text: str) -> Identity:
    """What a sign says that is written so, marks and all; nothing where no one sign is written so."""
    if PIECE.fullmatch(text) is None:
        return Identity(None, None, None, {})
    piece = piece_of(text)
    return identify(signs, piece.value, piece.variant, piece.within)


def _numeral(signs: SignList, reading: str, variant: str) -> str | None:
    """The sign of a number: with its unit as the list has it; without one where a single sign writes it."""
    if "(" in reading:
        entry = only(signs.read_as(reading + variant)) or signs.find(reading + variant) or only(signs.read_as(reading))
    else:
        plain = reading.isdecimal() and (1 < int(reading) < 10 or int(reading) in (10, 20, 30, 40, 50))
        entry = signs.find(str(int(reading))) if plain else None
    return entry.name if entry else None


def _of_variant(signs: SignList, value: str, variant: str) -> Entry | None:
    """The sign that a value is only together with its modifiers (`DU@g`)."""
    entry = signs.find(value + variant)
    return None if entry is None or entry is signs.find(value) else entry


def only(entries: tuple[Entry, ...]) -> Entry | None:
    return entries[0] if len(entries) == 1 else None
