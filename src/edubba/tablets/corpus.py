"""Texts as sequences of signs or readings, line by line, for learning what stands beside what.

What an editor restored is not there: a broken place is `BREAK`, whatever somebody wrote into it. Sign tables (.parquet,
.csv: `tablet, line, pos, mzl, status`, and `coll, segm_idx, view, photo_split` where there are) give sign names; ATF gives
readings, or sign names where they are asked for.
"""

import csv
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from edubba.core import streams
from edubba.core.errors import UserError, need
from edubba.tablets.records import Sign, Tablet

LINE = "\n"
"""between lines, before the first and after the last"""
BREAK = "[x]"
"""one sign that is lost"""
LOST = "[...]"
"""lost signs, nobody knows how many"""
UNREAD = "x"
"""ink that nobody could read"""
MASK = "[?]"
"""a place that is asked for"""
PAD = ""
SPECIAL = (PAD, MASK, LINE, BREAK, LOST, UNREAD)
"""first tokens of every vocabulary; none of them is ever a filling"""

COLUMNS = ("tablet", "line", "pos", "mzl", "status")
SHINGLE = 6
"""signs in the windows by which texts are compared"""

Tokens = Literal["signs", "readings"]
Part = Literal["train", "validation", "test", "copies"]


@dataclass(frozen=True)
class TextLine:
    """A line: what stands in it, and what may be asked for."""

    label: str
    tokens: tuple[str, ...]
    intact: tuple[bool, ...]
    """whether the place is whole: only such places are scored"""


@dataclass(frozen=True)
class Text:
    """What is written on one tablet."""

    id: str
    lines: tuple[TextLine, ...]
    photographed: bool = False
    """of the photographs that a reader is tested on: never learned from"""

    @cached_property
    def _row(self) -> list[tuple[str, bool, int]]:
        row = [(LINE, False, 0)]
        lost_before = False
        for number, line in enumerate(self.lines):
            here = shortened(line.tokens, line.intact)
            lost = [token for token, _ in here] == [LOST]
            if not (lost and lost_before):
                row += [(token, whole, number) for token, whole in (*here, (LINE, False))]
            lost_before = lost
        return row

    @cached_property
    def tokens(self) -> list[str]:
        """All lines in one, with `LINE` before, between and after them, and long breaks shortened to `LOST`."""
        return [token for token, _, _ in self._row]

    @cached_property
    def intact(self) -> list[bool]:
        """Whether each of `tokens` is a whole sign."""
        return [whole for _, whole, _ in self._row]

    @cached_property
    def line_of(self) -> list[int]:
        """The number of the line that each of `tokens` is in; a `LINE` belongs to the line before it."""
        return [number for _, _, number in self._row]


def shortened(tokens: Iterable[str], intact: Iterable[bool]) -> list[tuple[str, bool]]:
    """A line in which more than two lost signs in a row are `LOST`: how many they were says little about others."""
    made: list[tuple[str, bool]] = []
    for lost, group in itertools.groupby(zip(tokens, intact, strict=True), key=lambda place: place[0] in (BREAK, LOST)):
        run = list(group)
        made += [(LOST, False)] if lost and (len(run) > 2 or (LOST, False) in run) else run
    return made


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their numbers: `SPECIAL`, then names in order."""

    names: tuple[str, ...]

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        return (*SPECIAL, *self.names)

    @cached_property
    def number(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> Int64[np.ndarray, "n"]:
        """Numbers of tokens; one that is not known is as good as unread."""
        unread = self.number[UNREAD]
        return np.array([self.number.get(token, unread) for token in tokens], np.int64)


def vocabulary(texts: Sequence[Text], *, names: Iterable[str] = (), least: int = 1) -> Vocabulary:
    """Of the tokens that occur `least` times, and of `names` besides (a detector's, to be fused with)."""
    count = Counter(token for text in texts for line in text.lines for token in line.tokens)
    kept = {token for token, n in count.items() if n >= least} | set(names)
    return Vocabulary(tuple(sorted(kept - set(SPECIAL))))


def read(source: str | Path, *, tokens: Tokens = "signs", names: dict[str, str] | None = None) -> list[Text]:
    """The texts of a sign table, an ATF file, a .jsonl of ATF (also .gz), or a folder of these.

    Parameters
    ----------
    tokens
        What ATF is turned into. Sign tables always give signs.
    names
        What MZL numbers are called: {number: name}; None: as the sign list says.

    Raises
    ------
    UserError
        Nothing there, columns missing, or a table of signs where readings are asked for.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"{source} does not exist")
    files = _files(source)
    if not files:
        raise UserError(f"{source} holds no sign table (.parquet, .csv) and no ATF (.atf, .jsonl, .jsonl.gz)")
    texts = [text for file in files for text in _read_file(file, tokens, names)]
    texts = [text for text in texts if any(line.tokens for line in text.lines)]
    if not texts:
        raise UserError(f"{source} holds no line of text")
    again = [id for id, n in Counter(text.id for text in texts).items() if n > 1]
    if again:
        raise UserError(f"{source} has two texts called {again[0]!r}: splits go by text, so each needs its own name")
    return texts


def transliterated(source: str | Path) -> list[Tablet]:
    """The tablets of the ATF among the files of a source, with signs and readings; none where there is no such file."""
    from edubba.tablets.formats import atf

    files = [
        path for path in _files(Path(source)) if path.is_file() and not path.name.lower().endswith((".parquet", ".csv"))
    ]
    return [tablet for path in files for tablet in atf.read(path)]


def _files(source: Path) -> list[Path]:
    return sorted(p for p in source.rglob("*") if _readable(p)) if source.is_dir() else [source]


def _readable(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".parquet", ".csv", ".atf", ".jsonl", ".jsonl.gz"))


def _read_file(path: Path, tokens: Tokens, names: dict[str, str] | None) -> list[Text]:
    name = path.name.lower()
    if name.endswith((".parquet", ".csv")):
        if tokens == "readings":
            raise UserError(f"{path} is a table of signs and has no readings: take --tokens signs")
        return from_table(read_table(path), names=names, what=str(path))
    from edubba.tablets.formats import atf

    return from_tablets(atf.read(path), tokens=tokens)


def read_table(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a sign table by name."""
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        need("pyarrow", extra="tablets")
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} is not a parquet file ({error})") from None
        return {
            name: np.asarray(["" if value is None else value for value in table[name].to_pylist()])
            for name in table.column_names
        }
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    if not rows:
        raise UserError(f"{path} holds no rows")
    return {name: np.array([row[name] or "" for row in rows]) for name in rows[0]}


def from_table(table: dict[str, np.ndarray], *, names: dict[str, str] | None = None, what: str = "table") -> list[Text]:
    """Texts of a sign table in its own order.

    `status` is 1 intact, 2 damaged but read, 0 broken: what `mzl` says of a broken place is an editor's and is dropped.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise UserError(f"{what} lacks the column {missing[0]!r}: a sign table has {', '.join(COLUMNS)}")
    names = mzl_names() if names is None else names
    try:
        status, mzl, place = table["status"].astype(int), table["mzl"].astype(str), table["pos"].astype(int)
    except ValueError as error:
        raise UserError(f"{what}: status must be 0, 1 or 2, and pos a number ({error})") from None
    blank = np.full(len(mzl), "")
    view, face = (table[name].astype(str) if name in table else blank for name in ("view", "segm_idx"))
    photographed = set(table["tablet"].astype(str)[table["photo_split"].astype(str) == "test"].tolist()) if "photo_split" in table else set()  # fmt: skip
    lines: dict[str, dict[tuple[str, str, str], list[tuple[int, str, bool]]]] = defaultdict(lambda: defaultdict(list))
    rows = zip(
        table["tablet"].astype(str).tolist(), face.tolist(), view.tolist(), table["line"].astype(str).tolist(),
        place.tolist(), mzl.tolist(), status.tolist(), strict=True,
    )  # fmt: skip
    for tablet, segment, side, line, pos, number, state in rows:
        token = BREAK if state == 0 else UNREAD if number in ("0", "") else names.get(number, f"MZL{number}")
        lines[tablet][segment, side, line].append((pos, token, state == 1 and token != UNREAD))
    return [
        Text(tablet, tuple(_line(key, row) for key, row in there.items()), tablet in photographed)
        for tablet, there in lines.items()
    ]


def _line(key: tuple[str, str, str], row: list[tuple[int, str, bool]]) -> TextLine:
    _, tokens, intact = zip(*sorted(row, key=lambda place: place[0]), strict=True)
    _, view, line = key
    return TextLine(f"{view} {line}".strip(), tokens, intact)


def mzl_names() -> dict[str, str]:
    """Names of the MZL numbers in the sign list."""
    from edubba.tablets import signlist

    return {str(number): name for number, name in signlist.mzl_names().items()}


def category_names(categories: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Names of the MZL numbers among the categories of a COCO file, the detector's names."""
    return {str(row["mzl"]): row["name"] for row in categories if row.get("mzl")}


def split(
    texts: Sequence[Text], *, seed: int, validation: float = 0.1, test: float = 0.1, share: float = 0.5
) -> dict[Part, list[Text]]:
    """Whole texts into parts; photographed ones are all tested on.

    Two texts are copies when they share at least `share` of the shorter one's windows of six signs. Of copies that would
    stand in different parts, or both among those that are measured on, the one with fewer windows is taken out
    (`copies`), never a photographed one; copies within `train` stay.
    """
    free = [i for i, text in enumerate(texts) if not text.photographed]
    order = streams.permutation(seed, "texts", n=len(free))
    first, second = round(validation * len(free)), round((validation + test) * len(free))
    part: list[Part] = ["test"] * len(texts)
    for at, i in enumerate(order):
        part[free[i]] = "validation" if at < first else "test" if at < second else "train"
    for i in copies(texts, part, share=share):
        part[i] = "copies"
    names: tuple[Part, ...] = ("train", "validation", "test", "copies")
    return {name: [text for text, p in zip(texts, part, strict=True) if p == name] for name in names}


def copies(texts: Sequence[Text], part: Sequence[Part], *, share: float) -> set[int]:
    """Which texts have to go, see `split`."""
    windows = [_windows(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: (not texts[i].photographed, -len(windows[i]), texts[i].id))
    where: dict[tuple[str, ...], list[int]] = defaultdict(list)
    dropped = set()
    for i in order:
        shared = Counter(j for window in windows[i] for j in where[window])
        if not texts[i].photographed and any(
            n >= share * min(len(windows[i]), len(windows[j])) and not part[i] == part[j] == "train"
            for j, n in shared.items()
        ):
            dropped.add(i)
            continue
        for window in windows[i]:
            where[window].append(i)
    return dropped


def _windows(text: Text) -> set[tuple[str, ...]]:
    signs = [token for line in text.lines for token in line.tokens]
    found = (tuple(signs[i : i + SHINGLE]) for i in range(len(signs) - SHINGLE + 1))
    return {window for window in found if not set(window) & set(SPECIAL)}


def places(
    texts: Sequence[Text], length: int, *, where: Literal["any", "start", "end"] = "any"
) -> Int64[np.ndarray, "n 2"]:
    """Where `length` intact signs stand in a row within a line: (number of the text, first of its `tokens`).

    `start` and `end`: only the first or last signs of a line.
    """
    found = []
    for i, text in enumerate(texts):
        whole = np.array(text.intact)
        if len(whole) < length + 2:
            continue
        run = np.lib.stride_tricks.sliding_window_view(whole, length).all(1)
        first = np.flatnonzero(run)
        if where == "start":
            first = first[[text.tokens[j - 1] == LINE for j in first]] if len(first) else first
        elif where == "end":
            first = first[[text.tokens[j + length] == LINE for j in first]] if len(first) else first
        found.append(np.stack([np.full(len(first), i), first], 1))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def fingerprint(texts: Sequence[Text]) -> str:
    """Changes with any text, line, token or mark."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(
            repr((text.id, text.photographed, [(line.label, line.tokens, line.intact) for line in text.lines])).encode()
        )
    return digest.hexdigest()


def from_tablets(tablets: Iterable[Tablet], *, tokens: Tokens = "readings") -> list[Text]:
    """Texts of tablets as they were read from ATF."""
    made = []
    for tablet in tablets:
        lines = [
            TextLine(f"{surface.kind} {line.label}".strip(), *of_signs(line.signs, tokens=tokens))
            for surface in tablet.surfaces
            for line in surface.lines
            if line.kind == "text"
        ]
        made.append(Text(tablet.id, tuple(lines)))
    return made


def of_signs(signs: Iterable[Sign], *, tokens: Tokens) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """What stands in a line, and which places are intact."""
    found: list[tuple[str, bool]] = []
    for sign in signs:
        if "omitted" in sign.marks:
            continue  # never was on the clay
        if _unknown_number(sign):
            found.append((LOST, False))
        elif not sign.ink:
            found.append((BREAK, False))
        else:
            name = sign.name if tokens == "signs" else _reading(sign)
            found.append((name or UNREAD, sign.damage == "intact" and bool(name) and not sign.marks))
    return tuple(token for token, _ in found), tuple(whole for _, whole in found)


def _unknown_number(sign: Sign) -> bool:
    return (sign.reading or sign.name) == "..."


def _reading(sign: Sign) -> str | None:
    """A reading as it is learned: logograms in capitals, determinatives in braces."""
    if sign.reading is None or sign.role not in ("logogram", "determinative"):
        return sign.reading
    return sign.reading.upper() if sign.role == "logogram" else f"{{{sign.reading}}}"
