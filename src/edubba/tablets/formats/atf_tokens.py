"""One line of ATF as tokens: every letter in one token, and a record for every sign, with what the marks around it mean.

C-ATF, ORACC ATF and eBL-ATF have one skeleton, and this reads all three alike. What is open (`[ ]`, `( )`, `< >`, half
brackets, glosses, `_..._`, `%sux`) stays open over spaces, hyphens and inside signs.

What records have no field for is in `Sign.extra`: `joiner` (to the sign before, where it is not the usual one), `variant`
(`~v`, `@g`), `gloss` (linguistic, interlinear), `shift` (stands inside `_..._`), `language`, `alternatives` (`AZ/UG`),
`unread` (`X`), `left_out` (`<( )>`), `over_erasure`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from edubba.tablets.formats.atf_signs import GRAPHEME, WITHIN, Identity, Piece, identify, only, piece_of
from edubba.tablets.records import Damage, Mark, Role, Sign
from edubba.tablets.signlist import SignList

Dialect = Literal["c-atf", "oracc", "ebl"]
Kind = Literal[
    "sign", "joiner", "space", "open", "close", "shift", "language", "flags", "divider", "comment", "word", "stray"
]

GAP = "..."
"""reading of the one record that stands for an unknown number of lost signs"""
SUMERIAN = ("sux", "s", "e", "es", "eg", "qes", "emesal")
"""languages in which small letters do not tell a syllable from a logogram"""
FOREIGN = ("n", "arc", "grc", "akkgrc", "suxgrc", "eng")
"""after these, and after codes that end in `/n`, come words and no signs"""
CONSONANTS = ("arc",)
"""written in ASCII in which round brackets are letters"""
CLOSER = {
    "[": "]", "(": ")", "⸢": "⸣", "<": ">", "<<": ">>", "<(": ")>", "<$": "$>",
    "{": "}", "{+": "}", "{{": "}}", "{(": ")}", "°": "°",
}  # fmt: skip
BRACES = {"{": None, "{+": None, "{{": "linguistic", "{(": "interlinear"}
"""what opens a gloss, and what `extra["gloss"]` calls it"""
MARK_OF: dict[str, Mark] = {
    "?": "uncertain", "!": "corrected", "*": "collated", "(": "doubtful", "<": "omitted", "<(": "omitted",
    "<<": "superfluous", "<$": "erased", "°": "erased",
}  # fmt: skip
MARKS: tuple[Mark, ...] = get_args(Mark)

OPENS = r"<<|<\(|<\$|<|\{\{|\{\(|\{\+|\{|\[|\(|⸢|°"
SHUTS = r">>|\)>|\$>|>|\}\}|\)\}|\}|\]|\)|⸣"
COMMON = (
    rf"(?P<space>\s+)|(?P<comment>\(\$.*?\$\)|\^[^\s^]+\^)|(?P<language>%[A-Za-z][\w/-]*)|(?P<gap>\.\.\.|…)"
    rf"|(?P<open>{OPENS})|(?P<close>{SHUTS})"
)
SIGNS = re.compile(
    rf"{COMMON}|(?P<sign>{GRAPHEME})|(?P<joiner>--|[-.+:/])|(?P<shift>_)|(?P<flags>[#?!*]+)|(?P<over>\\)"
    rf"|(?P<divider>&\d*|[|=;~\"])|(?P<stray>.)"
)
ERASING = re.compile(SIGNS.pattern.replace(r"|\\[a-z]+)*", ")*"))
"""inside `°a\\b°`, where the stroke parts what is erased from what is written over it"""
WORDS = re.compile(rf"{COMMON}|(?P<word>[^\s\[\](){{}}<>⸢⸣%^°]+|.)")
LETTERS = re.compile(
    r"(?P<space>\s+)|(?P<language>%[A-Za-z][\w/-]*)|(?P<open>\[)|(?P<close>\])|(?P<word>[^\s\[\]%]+|.)"
)
DIVIDER = re.compile(r"(?:&\d*|\|\|?|//|[=/;~.\"#—→]|![a-z]{2})(?=$|\s)")
POINTS = re.compile(r"(?P<points>:[:.'\"]*)(?P<after>[#?!*]*)(?=$|[\s\])⸣])")
STANDING = '*:&|/=;~."#—→!'
"""how a divider begins"""
BULLET = re.compile(rf"(?P<points>\*)(?P<within>{WITHIN})?(?P<after>[#?!*]*)(?=$|[\s\])⸣])")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line. The texts of all tokens, one after the other, are the line."""

    kind: Kind
    text: str
    column: int
    """of its first letter, from 1"""
    sign: Sign | None = None
    """what a sign token says; None for other tokens"""


class Problem(NamedTuple):
    """What is wrong at a place. `doubt`: it is read all the same (a bracket closed, a reading that no list has)."""

    line: int
    column: int
    sentence: str
    doubt: bool = False


class _Open(NamedTuple):
    kind: str
    column: int
    spoken: str
    """language before it"""
    number: int
    """of the gloss, from 1; 0 for brackets"""


def tokens_of(
    text: str, *, signs: SignList, dialect: Dialect = "c-atf", language: str = "akk", line: int = 1, column: int = 1
) -> tuple[tuple[Token, ...], list[Problem]]:
    """The tokens of a line's text (what follows `1. `), and what is wrong in it.

    Parameters
    ----------
    language
        Of the text, as `#atf: lang` gives it.
    line, column
        Where the text begins, for tokens and problems.
    """
    reader = _Reader(signs, dialect, language, line)
    at = 0
    while at < len(text):
        at = reader.step(text, at, column)
    reader.end()
    return tuple(reader.tokens), sorted(reader.problems)


class _Reader:
    """What is open at a place of a line, and what was read up to there."""

    def __init__(self, signs: SignList, dialect: Dialect, language: str, number: int) -> None:
        self.signs = signs
        self.dialect = dialect
        self.sumerian = language.split("-")[0] in SUMERIAN
        self.number = number
        self.tokens: list[Token] = []
        self.problems: list[Problem] = []
        self.open: list[_Open] = []
        self.shift = 0  # column of the `_` that is open
        self.spoken = ""  # the language that a `%` changed to
        self.over = False  # behind the stroke of an erasure
        self.word = -1
        self.spaced = True
        self.joiner = ""
        self.doubled: list[int] = []  # columns of `--` in this word
        self.is_name = False
        self.braces = self.last_brace = 0  # glosses so far, the last sign's
        self.last = -1  # the last sign's token
        self.last_lost = False  # whether it is a lost sign, with nothing but space since

    def step(self, text: str, at: int, first: int) -> int:
        """Read one token; where the next begins."""
        column = first + at
        pattern = self._pattern()
        if pattern is not WORDS and text[at] in STANDING and (at == 0 or text[at - 1] in " \t[(⸢"):
            if found := BULLET.match(text, at) or POINTS.match(text, at):
                self._points(found, column)
                return found.end()
            if found := DIVIDER.match(text, at):
                self._add("divider", found[0], column)
                return found.end()
        found = pattern.match(text, at)
        assert found is not None  # every pattern ends in "any letter"
        READ[found.lastgroup or ""](self, found, column)
        return found.end()

    def _pattern(self) -> re.Pattern[str]:
        if self.spoken and (self.spoken in FOREIGN or self.spoken.endswith("/n")):
            return LETTERS if self.spoken in CONSONANTS else WORDS
        return ERASING if self.open and self._opened("°") else SIGNS

    def end(self) -> None:
        """The line is over: what is open is closed, and said."""
        self._end_word()
        for kind, column, *_ in self.open:
            if kind == "[":
                self._say(column, "'[' is not closed in its line: what follows it is taken as broken", doubt=True)
            else:
                self._say(column, f"{kind!r} is not closed in its line: put {CLOSER[kind]!r} where it ends")
        if self.shift:
            self._say(self.shift, "'_' opens what no second '_' closes: put one where the logograms end")

    def _say(self, column: int, sentence: str, *, doubt: bool = False) -> None:
        self.problems.append(Problem(self.number, column, sentence, doubt))

    def _add(self, kind: Kind, text: str, column: int, sign: Sign | None = None) -> None:
        self.tokens.append(Token(kind, text, column, sign))
        self.last_lost = self.last_lost and kind in ("sign", "space")

    def _opened(self, *kinds: str) -> _Open | None:
        return next((row for row in reversed(self.open) if row.kind in kinds), None) if self.open else None

    def _space(self, found: re.Match[str], column: int) -> None:
        self._add("space", found[0], column)
        row = self._opened("{", "{+", "{{", "{(")
        if row is not None and row.kind == "{":
            self._say(row.column, "'{' is not closed before its word ends: put '}' where the determinative ends")
            self.open.remove(row)
        self.spaced = True

    def _join(self, found: re.Match[str], column: int) -> None:
        self._add("joiner", found[0], column)
        self.joiner += found[0]
        if found[0] == "--":
            self.doubled.append(column)

    def _language(self, found: re.Match[str], column: int) -> None:
        self._add("language", found[0], column)
        self.spoken = found[0][1:]

    def _shift(self, found: re.Match[str], column: int) -> None:
        self._add("shift", found[0], column)
        self.shift = 0 if self.shift else column

    def _plain(self, found: re.Match[str], column: int) -> None:
        kind: Kind = "comment" if found.lastgroup == "comment" else "word" if found.lastgroup == "word" else "divider"
        self._add(kind, found[0], column)

    def _stray(self, found: re.Match[str], column: int) -> None:
        self._add("stray", found[0], column)
        self._say(column, f"{found[0]!r} means nothing here: leave it out, or write before it what it belongs to")

    def _over(self, found: re.Match[str], column: int) -> None:
        if self._opened("°"):
            self._add("divider", found[0], column)
            self.over = True
        else:
            self._stray(found, column)

    def _flags(self, found: re.Match[str], column: int) -> None:
        """Flags behind a bracket are the sign's before it."""
        before = None if self.last < 0 or self.spaced or self.joiner else self.tokens[self.last]
        if before is None or before.sign is None:
            self._stray(found, column)
            return
        sign, marks = before.sign, {*before.sign.marks, *(MARK_OF[c] for c in found[0] if c != "#")}
        damage: Damage = "damaged" if "#" in found[0] and sign.damage == "intact" else sign.damage
        self.tokens[self.last] = replace(before, sign=replace(sign, damage=damage, marks=_ordered(marks)))
        self._add("flags", found[0], column)

    def _open_one(self, found: re.Match[str], column: int) -> None:
        kind = found[0]
        if kind == "°" and self._opened("°"):
            self._shut(kind, column)
            self._add("close", kind, column)
            return
        self._begin(kind, column)
        self._add("open", kind, column)

    @property
    def brace(self) -> int:
        """Number of the outermost gloss that is open; 0: none."""
        return next((row.number for row in self.open if row.number), 0) if self.open else 0

    def _begin(self, kind: str, column: int) -> None:
        if kind not in BRACES and (outer := self._opened(kind)):
            self._say(column, f"{kind!r} stands inside the {kind!r} of column {outer.column}: close that one before")
        elif kind == "[" and (outer := self._opened("(")):
            self._say(
                column, f"'[' stands inside the '(' of column {outer.column}: put round brackets inside square ones"
            )
        self.braces += kind in BRACES
        self.open.append(_Open(kind, column, self.spoken, self.braces if kind in BRACES else 0))

    def _close(self, found: re.Match[str], column: int) -> None:
        text = found[0]
        if len(text) == 2 and not self._opened(*(k for k, shut in CLOSER.items() if shut == text)):
            pieces = list(text)  # `)>` where `<` and `(` were opened one after the other
        else:
            pieces = [text]
        for i, piece in enumerate(pieces):
            self._shut(piece, column + i)
            self._add("close", piece, column + i)

    def _shut(self, text: str, column: int) -> None:
        row = self._opened(*(k for k, shut in CLOSER.items() if shut == text))
        if row is None and text == "]":
            self._say(column, "']' closes no '[': what stands before it in its line is taken as broken", doubt=True)
            self.tokens = [
                t if t.sign is None else replace(t, sign=replace(t.sign, damage="broken")) for t in self.tokens
            ]
        elif row is None:
            opener = next((k for k, shut in CLOSER.items() if shut == text), "")
            self._say(column, f"{text!r} closes nothing: put {opener!r} where it begins, or leave it out")
        else:
            self._end_of(row, text, column)

    def _end_of(self, row: _Open, text: str, column: int) -> None:
        inner = self.open[self.open.index(row) + 1 :]
        crossed = next((r for r in inner if {r.kind, row.kind} == {"[", "("}), None)
        if crossed is not None:
            self._say(
                column,
                f"{text!r} comes before the {crossed.kind!r} of column {crossed.column} is closed: "
                f"put {CLOSER[crossed.kind]!r} before it",
            )
        self.open.remove(row)
        if row.kind in BRACES or row.kind.startswith("<"):
            self.spoken = row.spoken
        if row.kind == "°":
            self.over = False

    def _gap(self, found: re.Match[str], column: int) -> None:
        self._sign(found[0], column, Identity(GAP, None, None, {}), damage="broken", flags="")

    def _points(self, found: re.Match[str], column: int) -> None:
        """Marks of division that a scribe wrote."""
        points = found["points"]
        if points == "*":
            name = entry.name if found["within"] and (entry := self.signs.find(found["within"][1:-1])) else None
        else:
            name = entry.name if (entry := only(self.signs.read_as(points))) else None
        damage: Damage = "broken" if self._opened("[") else "intact"
        self._sign(found[0], column, Identity(points, name, "punctuation", {}), damage=damage, flags=found["after"])

    def _grapheme(self, found: re.Match[str], column: int) -> None:
        piece = piece_of(found[0])
        damage = self._damage_of(piece, found[0], column)
        value = piece.value
        if value in ("1", "m") and self.brace and not piece.within:
            value = "diš"  # one determinative, three ways to write it
        identity = identify(self.signs, value, piece.variant, piece.within)
        if piece.alternatives:
            identity = Identity(None, None, identity.role, {"alternatives": list(piece.alternatives)})
        self._sign(found[0], column, identity, damage=damage, flags=piece.flags)

    def _damage_of(self, piece: Piece, text: str, column: int) -> Damage:
        """How much is left of a sign; brackets inside it open and close."""
        if not piece.bracketed:
            if not self.open:
                return "intact"
            return "broken" if self._opened("[") else "damaged" if self._opened("⸢") else "intact"
        inside, half = set(), False
        for i, c in enumerate(text):
            if c in "[⸢":
                self._begin(c, column + i)
            elif c in "]⸣":
                if c == "]" and not self._opened("["):
                    inside = {True for _ in inside}
                self._shut(c, column + i)
            elif c.isalnum():
                inside.add(self._opened("[") is not None)
                half = half or self._opened("⸢") is not None
        return "broken" if inside == {True} else "damaged" if True in inside or half else "intact"

    def _sign(self, text: str, column: int, identity: Identity, *, damage: Damage, flags: str) -> None:
        reading, name, role, extra = identity
        extra = dict(extra) if extra else {}
        lost = damage == "broken" and reading is None and name is None
        if self._is_new_word(lost):
            self._end_word()
            self.word += 1
            if self.joiner:
                extra["joiner"] = self.joiner  # a line that begins with the end of a word
        elif (joiner := self._joiner()) is not None:
            extra["joiner"] = joiner
        kinds = {row.kind for row in self.open}
        marks = {MARK_OF[k] for k in (*kinds, *flags) if k in MARK_OF} if kinds or flags else set()
        if self.over:
            marks.discard("erased")
            extra["over_erasure"] = True
        if "<(" in kinds:
            extra["left_out"] = True
        self.is_name = self.is_name or role == "logogram" or "{" in kinds
        role = self._role(role, extra)
        if self.spoken:
            extra["language"] = self.spoken
        if "#" in flags and damage == "intact":
            damage = "damaged"
        sign = Sign(
            reading=reading, name=name, role=role, word=self.word, damage=damage, marks=_ordered(marks), extra=extra
        )  # fmt: skip
        self._add("sign", text, column, sign)
        self.last, self.last_lost, self.last_brace = len(self.tokens) - 1, lost, self.brace
        self.spaced, self.joiner = False, ""

    def _is_new_word(self, lost: bool) -> bool:
        if self.word < 0:
            return True
        inside = self.brace and self.brace == self.last_brace
        return self.spaced and not self.joiner and not inside and not (lost and self.last_lost)

    def _joiner(self) -> str | None:
        """What joins a sign to the one before it in its word; None: what usually does."""
        joiner = self.joiner or (" " if self.spaced else "")
        if self.brace == self.last_brace:
            return joiner if self.brace or joiner != "-" else None
        if not joiner:
            return None
        return f"}}{joiner}{{" if self.brace and self.last_brace else joiner

    def _role(self, role: Role | None, extra: dict[str, Any]) -> Role | None:
        braces = [row.kind for row in self.open if row.number]
        if kind := next((BRACES[kind] for kind in braces if BRACES[kind]), None):
            extra["gloss"] = kind
        if braces:
            role = "determinative" if braces[0] == "{" else "gloss"
        elif self.shift and role == "syllable":
            role = "logogram"
        elif role == "syllable" and (self.spoken.split("-")[0] in SUMERIAN if self.spoken else self.sumerian):
            role = None
        if self.shift and role in ("determinative", "gloss", "number"):
            extra["shift"] = True
        return role

    def _end_word(self) -> None:
        if self.doubled and self.dialect != "oracc" and not self.is_name:
            self._say(self.doubled[0], "'--' joins the parts of a name and of nothing else: write '-'")
        self.doubled, self.is_name = [], False


READ: dict[str, Callable[[_Reader, re.Match[str], int], None]] = {
    "space": _Reader._space, "comment": _Reader._plain, "language": _Reader._language, "gap": _Reader._gap,
    "open": _Reader._open_one, "close": _Reader._close, "sign": _Reader._grapheme, "joiner": _Reader._join,
    "shift": _Reader._shift, "flags": _Reader._flags, "over": _Reader._over, "divider": _Reader._plain,
    "word": _Reader._plain, "stray": _Reader._stray,
}  # fmt: skip


def _ordered(marks: set[Mark]) -> tuple[Mark, ...]:
    return tuple(mark for mark in MARKS if mark in marks) if marks else ()
