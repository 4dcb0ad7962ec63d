"""From signs to readings: which of a sign's readings stands here, and where words begin, learned from transliterations.

A sign's label is its reading with its role and whether it begins a word. Labels are counted after the sign, the label
before and the sign that follows, interpolated from few neighbours to many (Witten and Bell 1991), and the best sequence
of a line is found by Viterbi. What an editor restored is never counted.
"""

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edubba.core import files, stats
from edubba.core.errors import UserError
from edubba.core.stats import Result
from edubba.tablets import signlist
from edubba.tablets.records import Line, Role, Sign, Tablet

FORMAT = "edubba.readings/1"
FILE = "readings.json.gz"
"""in the run folder of a restorer"""
EDGE = "|"
BREAK = "[]"
BEAM = 12
"""labels of a sign that are carried on"""


class Label(NamedTuple):
    """What an editor writes for a sign."""

    reading: str
    role: Role | None
    begins: bool
    """whether it is the first of its word"""


Pair = tuple[str, Label]


@dataclass(frozen=True)
class Readings:
    """Lines of signs with their labels, counted."""

    lines: tuple[tuple[Pair | None, ...], ...]
    """None: a place where nothing is known"""
    counts: dict[tuple, Counter[Label]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        found: dict[tuple, Counter[Label]] = defaultdict(Counter)
        for line in self.lines:
            for i, pair in enumerate(line):
                if pair is not None:
                    sign, label = pair
                    for key in contexts(sign, _before(line, i), _after([p and p[0] for p in line], i)):
                        found[key][label] += 1
        self.counts.update(found)


def _before(line: Sequence[Pair | None], i: int) -> tuple[str, Label | None]:
    """The sign before, and its label."""
    if i == 0:
        return EDGE, None
    pair = line[i - 1]
    return (BREAK, None) if pair is None else pair


def _after(names: Sequence[str | None], i: int) -> str:
    return EDGE if i + 1 == len(names) else names[i + 1] or BREAK


def contexts(sign: str, before: tuple[str, Label | None], after: str) -> list[tuple]:
    """What the label is counted after, from least to most."""
    return [(sign,), (sign, after), (sign, before[0], after), (sign, before[1], before[0], after)]


@lru_cache(maxsize=1 << 14)
def canonical(name: str) -> str:
    """A sign's name in the sign list; itself where the list has it not."""
    entry = signlist.load().find(name)
    return entry.name if entry is not None else name


def learn(tablets: Iterable[Tablet]) -> Readings:
    """Count what signs are read as in transliterated tablets; only where ink is, and sign and reading are both known."""
    lines = []
    for tablet in tablets:
        for surface in tablet.surfaces:
            for line in surface.lines:
                if line.kind == "text" and line.signs:
                    pairs = labelled(line)
                    if any(pair is not None for pair in pairs):
                        lines.append(tuple(pairs))
    if not lines:
        raise UserError("no transliterated line says which sign it reads: readings are learned from ATF")
    return Readings(tuple(lines))


def labelled(line: Line) -> list[Pair | None]:
    """Signs of a line with their labels; None where nothing is left or known."""
    out: list[Pair | None] = []
    word = None
    for sign in line.signs:
        begins, word = sign.word != word, sign.word
        if not sign.ink or sign.name is None or sign.reading is None:
            out.append(None)
        else:
            out.append((canonical(sign.name), Label(sign.reading, sign.role, begins)))
    return out


def transliterate(readings: Readings, names: Sequence[str | None]) -> list[Label | None]:
    """The likeliest labels of a line of signs; None where the sign is unread or was never seen with a reading."""
    signs = [None if name is None else canonical(name) for name in names]
    best: list[tuple[float, list[Label | None]]] = [(0.0, [])]
    for i, sign in enumerate(signs):
        after = _after(signs, i)
        known = readings.counts.get((sign,)) if sign is not None else None
        grown = []
        for score, path in best:
            if known is None:
                grown.append((score, [*path, None]))
                continue
            last = path[-1] if path else None
            before = (EDGE, None) if i == 0 else (signs[i - 1] or BREAK, last)
            for label, p in probabilities(readings, sign or "", before, after).items():
                grown.append((score + log(p), [*path, label]))
        # paths that end in the same label have the same future: the best of them is enough
        ended: dict[Label | None, tuple[float, list[Label | None]]] = {}
        for score, path in sorted(grown, key=lambda pair: -pair[0]):
            ended.setdefault(path[-1], (score, path))
        best = list(ended.values())[:BEAM]
    return best[0][1]


def probabilities(readings: Readings, sign: str, before: tuple[str, Label | None], after: str) -> dict[Label, float]:
    """P(label | sign and its neighbours) over the labels that the sign was seen with."""
    levels = contexts(sign, before, after)
    first = readings.counts[levels[0]]
    total = first.total()
    p = {label: n / total for label, n in first.items()}
    for level in levels[1:]:
        seen = readings.counts.get(level)
        if seen is not None:
            kinds, n = len(seen), seen.total()
            p = {label: (seen.get(label, 0) + kinds * q) / (n + kinds) for label, q in p.items()}
    return p


def measure(readings: Readings, tablets: Sequence[Tablet], *, data: str, split: str = "test") -> list[Result]:
    """How often signs are read as editors read them, where the signs are given; beside each sign's commonest reading."""
    right, plain, words, group = [], [], [], []
    for tablet in tablets:
        for line in (line for surface in tablet.surfaces for line in surface.lines if line.kind == "text"):
            true = labelled(line)
            said = transliterate(readings, [None if pair is None else pair[0] for pair in true])
            for pair, label in zip(true, said, strict=True):
                if pair is not None:
                    common = readings.counts.get((pair[0],))
                    right.append(label is not None and label.reading == pair[1].reading)
                    words.append(label is not None and label.begins == pair[1].begins)
                    plain.append(common is not None and common.most_common(1)[0][0].reading == pair[1].reading)
                    group.append(tablet.id)
    if not right:
        return []
    rows = {"accuracy": right, "accuracy of the commonest reading": plain, "word starts": words}
    return [
        stats.result(
            f"readings/{name}", *stats.bootstrap(np.mean, np.array(values, float), group=np.array(group), draws=1000),
            method="bootstrap over texts", n=len(set(group)), unit="text", data=data, split=split, seconds=0.0,
        )
        for name, values in rows.items()
    ]  # fmt: skip


def read(tablet: Tablet, readings: Readings) -> Tablet:
    """The same tablet with readings and words; a sign without a name keeps none."""

    def one(line: Line) -> Line:
        if line.kind != "text":
            return line
        labels = transliterate(readings, [sign.name for sign in line.signs])
        signs: list[Sign] = []
        word = -1
        for sign, label in zip(line.signs, labels, strict=True):
            if label is None:
                word += 1
                signs.append(replace(sign, word=word))
            else:
                word += 1 if label.begins or word < 0 else 0
                signs.append(replace(sign, reading=label.reading, role=label.role, word=word))
        return replace(line, signs=tuple(signs))

    surfaces = tuple(replace(s, lines=tuple(map(one, s.lines))) for s in tablet.surfaces)
    return replace(tablet, surfaces=surfaces)


def save(path: str | Path, readings: Readings) -> Path:
    """Write the lines that were counted."""
    lines = [[None if pair is None else [pair[0], *pair[1]] for pair in line] for line in readings.lines]
    text = json.dumps({"format": FORMAT, "lines": lines}, ensure_ascii=False, separators=(",", ":"))
    return files.write(Path(path), gzip.compress(text.encode(), mtime=0))


def load(path: str | Path) -> Readings:
    """What `save` wrote."""
    document = json.loads(gzip.decompress(Path(path).read_bytes()))
    if document.get("format") != FORMAT:
        raise UserError(f"{path} has format {document.get('format')!r}, and this edubba reads {FORMAT!r}")
    pairs = (tuple(None if p is None else (p[0], Label(p[1], p[2], p[3])) for p in line) for line in document["lines"])
    return Readings(tuple(pairs))


def of_run(path: str | Path) -> Readings:
    """The readings that a run of `train_restorer` learned from ATF.

    Raises
    ------
    UserError
        There are none.
    """
    file = Path(path) / FILE
    if not file.exists():
        raise UserError(
            f"{path} knows no readings: `edubba tablets train-restorer` learns them from ATF, not from sign tables"
        )
    return load(file)
