"""Signs as a line of ATF: the way back, for signs that nobody has written out."""

from collections.abc import Sequence
from typing import NamedTuple

from edubba.tablets import signlist
from edubba.tablets.formats.atf_signs import identity_of
from edubba.tablets.formats.atf_tokens import BRACES, CLOSER, GAP, Dialect
from edubba.tablets.records import Sign
from edubba.tablets.signlist import SignList

ASCII = str.maketrans({
    "š": "sz", "Š": "SZ", "ṣ": "s,", "Ṣ": "S,", "ṭ": "t,", "Ṭ": "T,", "ʾ": "'", "ŋ": "j", "Ŋ": "J", "×": "x", "ₓ": "x",
    **dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)),
})  # fmt: skip
KHETH = str.maketrans({"h": "ḫ", "H": "Ḫ"})
FLAGS = (("uncertain", "?"), ("corrected", "!"), ("collated", "*"))
OPENER = {kind: opener for opener, kind in BRACES.items() if kind}


class _Bracket(NamedTuple):
    kind: str
    number: int
    """which gloss, or which erasure: brackets of one kind that are not to be shared"""


def compose(signs: Sequence[Sign], *, dialect: Dialect = "c-atf", signs_known: SignList | None = None) -> str:
    """A line of ATF of which `atf_tokens.tokens_of` makes these signs again.

    Brackets are shared by neighbours, joiners are hyphens where nothing else is said, a sign's name follows its reading in
    brackets where the reading does not determine it. A sign with a name and no reading is written in capitals and so
    read as a logogram. Signs without word numbers stand apart.

    Parameters
    ----------
    dialect
        `c-atf`: ASCII, logograms between `_ _`; `oracc` and `ebl`: Unicode, logograms in capitals; `ebl` writes ḫ for h.
    signs_known
        The sign list; None: the one that ships.
    """
    known = signs_known or signlist.load()
    stacks = _stacks(signs, dialect)
    out: list[str] = []
    open_: list[_Bracket] = []
    shifted, spoken = False, ""
    for i, sign in enumerate(signs):
        before = signs[i - 1] if i else None
        shared = 0
        while shared < min(len(open_), len(stacks[i])) and open_[shared] == stacks[i][shared]:
            shared += 1
        apart = before is not None and (before.word != sign.word or sign.word is None)
        if apart and before is not None and _is_lost(before) and _is_lost(sign):
            shared = min(shared, len(stacks[i]) - 1)  # `[x] [x]` are two words, `[x x]` one
        out += [_shut(bracket, before) for bracket in reversed(open_[shared:])]
        wanted = dialect == "c-atf" and _is_logographic(sign)
        if shifted and not wanted:
            out.append("_")
        language = sign.extra.get("language", "")
        if apart:
            out.append(" ")
        if language != spoken and (apart or before is None):
            out.append(f"%{language or 'akk'} ")
            spoken = language
        if not apart:
            out.append(_joiner(before, sign, dialect, touching=open_ == stacks[i] and shifted == wanted))
        if wanted and not shifted:
            out.append("_")
        shifted = wanted
        out += [_begin(bracket, sign) for bracket in stacks[i][shared:]]
        open_ = stacks[i]
        out.append(_sign(sign, dialect, known))
    out += [_shut(bracket, signs[-1]) for bracket in reversed(open_)]
    return "".join(out) + ("_" if shifted else "")


def spelled(text: str, dialect: Dialect) -> str:
    """A reading or name in the letters of a dialect.

    >>> spelled("šu₂", "c-atf"), spelled("ha", "ebl")
    ('szu2', 'ḫa')
    """
    return text.translate(ASCII) if dialect == "c-atf" else text.translate(KHETH) if dialect == "ebl" else text


def _stacks(signs: Sequence[Sign], dialect: Dialect) -> list[list[_Bracket]]:
    """What is open around each sign, the outermost first. A gloss that is damaged throughout stands in the bracket."""
    brackets, number = [], 0
    for i, sign in enumerate(signs):
        over = sign.extra.get("over_erasure", False)
        if "erased" in sign.marks and i and signs[i - 1].extra.get("over_erasure"):
            number += 1
        brackets.append(_brackets(sign, dialect, over, number))
    gloss, glosses = [0] * len(signs), 0
    for i, sign in enumerate(signs):
        if sign.role in ("determinative", "gloss"):
            glosses += not (i and gloss[i - 1] and _in_one_gloss(signs[i - 1], sign))
            gloss[i] = glosses
    broken = {g for i, g in enumerate(gloss) if brackets[i] != brackets[gloss.index(g)]}
    made = []
    for sign, inner, g in zip(signs, brackets, gloss, strict=True):
        braces = [_Bracket(_brace(sign), g)] if g else []
        made.append(braces + inner if g in broken else inner + braces)
    return made


def _brackets(sign: Sign, dialect: Dialect, over: bool, number: int) -> list[_Bracket]:
    kinds = []
    if sign.damage == "broken":
        kinds.append(_Bracket("[", 0))
    if "doubtful" in sign.marks:
        kinds.append(_Bracket("(", 0))
    if dialect == "ebl" and ("erased" in sign.marks or over):
        kinds.insert(0, _Bracket("°", number))
    elif "erased" in sign.marks:
        kinds.append(_Bracket("<$", 0))  # before `<`, with which it would be read as `<<`
    if "omitted" in sign.marks:
        kinds.append(_Bracket("<(" if sign.extra.get("left_out") else "<", 0))
    if "superfluous" in sign.marks:
        kinds.append(_Bracket("<<", 0))
    return kinds


def _in_one_gloss(before: Sign, sign: Sign) -> bool:
    joiner = sign.extra.get("joiner")
    return joiner is not None and "}" not in joiner and before.word == sign.word and _brace(before) == _brace(sign)


def _brace(sign: Sign) -> str:
    return "{" if sign.role == "determinative" else OPENER.get(sign.extra.get("gloss"), "{+")


def _begin(bracket: _Bracket, sign: Sign) -> str:
    return bracket.kind + ("\\" if bracket.kind == "°" and sign.extra.get("over_erasure") else "")


def _shut(bracket: _Bracket, sign: Sign | None) -> str:
    """The stroke of an erasure is written also where nothing stands behind it."""
    erased = bracket.kind == "°" and sign is not None and not sign.extra.get("over_erasure")
    return ("\\" if erased else "") + CLOSER[bracket.kind]


def _joiner(before: Sign | None, sign: Sign, dialect: Dialect, *, touching: bool) -> str:
    """What stands between two signs of a word. `touching`: no bracket stands between them."""
    given = sign.extra.get("joiner")
    if before is None:
        return given or ""
    glossed = [s.role in ("determinative", "gloss") for s in (before, sign)]
    joiner = ("" if any(glossed) else "-") if given is None else given.strip("}{")
    if sign.extra.get("over_erasure") and "erased" in before.marks and dialect == "ebl":
        return joiner + "\\"
    if joiner == "--" and dialect != "oracc":
        return "-"  # parts of names in old texts of ORACC
    plain_run = touching and not any(glossed) and GAP not in (before.reading, sign.reading)
    if joiner == "" and plain_run:
        return "-"
    return "-" if joiner == " " and not touching else joiner


def _is_lost(sign: Sign) -> bool:
    return sign.damage == "broken" and sign.reading is None and sign.name is None


def _is_logographic(sign: Sign) -> bool:
    return (sign.role == "logogram" and sign.reading is not None) or bool(sign.extra.get("shift"))


def _sign(sign: Sign, dialect: Dialect, known: SignList) -> str:
    flags = "#" if sign.damage == "damaged" else ""
    flags += "".join(flag for mark, flag in FLAGS if mark in sign.marks)
    if sign.reading == GAP:
        return GAP
    if others := sign.extra.get("alternatives"):
        return "/".join(spelled(other, dialect) + flags for other in others)
    if sign.role == "punctuation" and sign.reading is not None:
        within = f"({spelled(sign.name, dialect)})" if sign.name and sign.reading == "*" else ""
        return sign.reading + within + flags
    variant = sign.extra.get("variant", "")
    entry = known.find(sign.name) if sign.name else None
    name = entry.name if entry else sign.name  # detectors say MEŠ, the list |ME.U.U.U|
    if sign.reading is not None:
        capital = sign.role == "logogram" and dialect != "c-atf"
        value = spelled(sign.reading.upper() if capital else sign.reading, dialect)
    else:
        value = spelled(sign.name, dialect) if sign.name else sign.extra.get("unread", "x")
        if name and identity_of(known, value + variant).name != name:
            value = sign.extra.get("unread", "x")
        elif dialect == "oracc" and sign.role == "logogram" and value.isalnum():
            value = f"${value}"  # the reading is not sure
    said = identity_of(known, value + variant).name
    within = f"({spelled(sign.name, dialect)})" if sign.name and name != said else ""
    return value + variant + flags + within
