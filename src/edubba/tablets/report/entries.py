"""The signs of a tablet as a reader of the page meets them: numbered, placed, and how far each can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edubba.tablets.records import Candidate, Line, Sign, Tablet

SURE = 0.95
"""a name with at least this probability is drawn as sure"""

State = Literal["sure", "unsure", "abstained", "damaged", "unplaced", "lost"]
STATES: dict[State, str] = {
    "sure": f"named, at least {100 * SURE:.0f} %",
    "unsure": f"named, less than {100 * SURE:.0f} %",
    "abstained": "not named",
    "damaged": "named, damaged",
    "unplaced": "fits no line",
    "lost": "lost or restored, no ink",
}
"""What the colours of boxes mean; a sign has one state, the first that holds of unplaced, lost, abstained, damaged, unsure."""


@dataclass(frozen=True)
class Entry:
    """A sign with its number on the page and its place on the tablet."""

    number: int
    """from 1, in reading order"""
    sign: Sign
    line: Line
    row: int
    """number of its line among all lines of the tablet, from 0"""
    place: str
    """in words"""
    state: State

    @property
    def guess(self) -> str:
        """Its name; where it has none the first it was thought to have; `x`: nothing was thought of."""
        return self.sign.name or (self.sign.candidates[0].name if self.sign.candidates else "x")

    @property
    def shown(self) -> str:
        """Its name, or the guess with a question mark."""
        return self.guess + ("?" if self.sign.name is None and self.sign.candidates else "")

    @property
    def probability(self) -> float | None:
        """Of its name, or of the first candidate where it has none; None: not known."""
        return next((c.probability for c in self.sign.candidates if c.name == self.guess), None)

    @property
    def words(self) -> str:
        """What a screen reader says of its box."""
        sure = "" if self.probability is None else f", {percent(self.probability)}"
        if self.sign.name is not None:
            return f"{self.number}: {self.sign.name}{sure}"
        return f"{self.number}: not named" + (f", perhaps {self.guess}{sure}" if self.sign.candidates else "")


def entries(tablet: Tablet) -> list[Entry]:
    """Every sign in reading order."""
    out, row = [], 0
    for face, surface in zip(faces(tablet), tablet.surfaces, strict=True):
        for line in surface.lines:
            for i, sign in enumerate(line.signs):
                words = [face.lower(), f"line {line.label}" if line.label else "", f"sign {i + 1}"]
                place = "fits no line" if line.kind == "unplaced" else ", ".join(filter(None, words))
                out.append(Entry(len(out) + 1, sign, line, row, place, state(sign, line)))
            row += 1
    return out


def state(sign: Sign, line: Line) -> State:
    """How a sign's box is drawn."""
    if line.kind == "unplaced":
        return "unplaced"
    if not sign.ink:
        return "lost"
    if sign.name is None:
        return "abstained"
    if sign.damage == "damaged":
        return "damaged"
    probability = next((c.probability for c in sign.candidates if c.name == sign.name), 0.0)
    return "sure" if probability >= SURE else "unsure"


def faces(tablet: Tablet) -> list[str]:
    """The faces in words; numbers where nothing is known of several, empty where there is but one."""
    out = []
    for i, surface in enumerate(tablet.surfaces):
        words = ", ".join(filter(None, (surface.kind, f"column {surface.column}" if surface.column else "")))
        words = words or (f"face {i + 1}" if len(tablet.surfaces) > 1 else "")
        out.append(words[:1].upper() + words[1:])
    return out


def percent(p: float) -> str:
    """A probability that claims neither certainty nor impossibility.

    >>> [percent(p).replace("\\u202f", " ") for p in (0.0, 0.004, 0.514, 0.996)]
    ['<1 %', '<1 %', '51 %', '>99 %']
    """
    number = "<1" if p < 0.005 else ">99" if p >= 0.995 else f"{100 * p:.0f}"
    return f"{number}\u202f%"


def ink(sign: Sign) -> list[Candidate]:
    """What the shapes alone say, where a reader weighed them against the context; empty where it did not."""
    return [Candidate(*row) for row in sign.extra.get("ink", ())]


# ---- as editors write it

MARKS = {"uncertain": "?", "corrected": "!", "collated": "*"}
AROUND = {"doubtful": ("(", ")"), "omitted": ("<", ">"), "superfluous": ("<<", ">>"), "erased": ("[[", "]]")}
ROLES = {"determinative": ("{", "}"), "gloss": ("{{", "}}")}


@dataclass(frozen=True)
class Token:
    """A sign as it stands in the transliteration."""

    entry: Entry
    before: str
    """brackets that open"""
    text: str
    after: str
    """marks, brackets that close, and what joins it to the next sign of its word"""
    style: Literal["syllable", "name", "guess"]
    begins: bool
    """whether a word begins with it"""


def tokens(line: Sequence[Entry]) -> list[Token]:
    """The signs of one line as editors write them: `#` damaged, `[ ]` lost, `?` not sure enough to be named.

    Signs of one word (`Sign.word`) are joined by hyphens, logograms by points, determinatives and glosses by nothing; a
    sign of no word stands alone.
    """
    out = []
    for i, entry in enumerate(line):
        sign = entry.sign
        last, following = line[i - 1].sign if i else None, line[i + 1].sign if i + 1 < len(line) else None
        pairs = [AROUND[mark] for mark in sign.marks if mark in AROUND]
        pairs += [ROLES[sign.role]] if sign.role in ROLES else []
        opens, closes = "".join(a for a, _ in pairs), "".join(b for _, b in reversed(pairs))
        if sign.damage == "broken":
            opens = opens if last and last.damage == "broken" else "[" + opens
            closes = closes if following and following.damage == "broken" else closes + "]"
        unnamed = sign.ink and sign.name is None and bool(sign.candidates)
        marks = "#" if sign.damage == "damaged" else ""
        marks += "?" if unnamed and "uncertain" not in sign.marks else ""
        marks += "".join(MARKS[mark] for mark in sign.marks if mark in MARKS)
        text = sign.reading or (entry.guess if sign.ink else sign.name) or "x"
        syllable = sign.reading is not None and sign.role not in ("logogram", "number")
        style = "syllable" if syllable else "guess" if unnamed else "name"
        begins = not _joined(last, sign)
        out.append(Token(entry, opens, text, marks + closes + _join(sign, following), style, begins))
    return out


def _joined(one: Sign | None, other: Sign | None) -> bool:
    return one is not None and other is not None and one.word is not None and one.word == other.word


def _join(sign: Sign, following: Sign | None) -> str:
    if following is None or not _joined(sign, following) or "determinative" in (sign.role, following.role):
        return ""
    if following.role == "gloss":
        return ""
    return "." if sign.role == following.role == "logogram" else "-"
