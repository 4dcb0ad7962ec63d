"""Checking a claim: papers on both sides, quoted, and a verdict that may be "not enough evidence", which is never "false"."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

from edubba.core.errors import UserError
from edubba.papers import design, entailing, library, searching, words
from edubba.papers.engines import Filters
from edubba.papers.entailing import Compared, Head
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.searching import Passage

Label = Literal["supported", "refuted", "not enough evidence"]
LABELS: tuple[Label, ...] = ("not enough evidence", "supported", "refuted")
LOOKED = 10
"""papers that are compared with a claim: as many as the head was learned with"""
SHOWN = 0.15
"""least probability that a paper bears on a claim, for it to be shown"""


@dataclass(frozen=True)
class Evidence:
    """A paper beside a claim."""

    record: Record
    passages: tuple[Passage, ...]
    """its sentences that are nearest to the claim; none where its title alone is"""
    design: str
    supports: float
    refutes: float
    """probabilities; the rest is that it says nothing of the claim"""


@dataclass(frozen=True)
class Verdict:
    """What a library says of a claim."""

    claim: str
    label: Label
    supported: float
    refuted: float
    """probabilities; the rest: the library has not enough evidence"""
    evidence: tuple[Evidence, ...]
    """papers that may bear on it, of both sides, those that bear on it most surely first"""


def check(lib: Library | str | Path, claim: str, *, filters: Filters = Filters(), head: Head | None = None) -> Verdict:
    """Whether a library supports a claim, with what speaks for it and against it.

    Raises
    ------
    UserError
        There is no such library, or nothing is claimed.
    """
    if not words.WORD.search(claim):
        raise UserError('the claim holds no word: write a whole statement, as "Masks increase the risk of infection"')
    if not isinstance(lib, Library):
        lib = library.open(lib)
    head = head or entailing.load()
    taken, compared = beside(lib, claim, filters=filters)
    p = entailing.papers(head, compared)
    told = head.verdict(entailing.summed(p)[None])[0]
    stems = list(entailing.asked(claim, lib.engine.stems, lambda stem: 1.0).weights)
    shown = []
    for i in np.argsort(-p[:, 1:].max(axis=1), kind="stable"):
        if p[i, 0] > 1 - SHOWN:
            continue
        record = taken[i]
        places = searching.cut(lib, [record])[0][0]
        quoted = tuple(
            searching.passage(lib, record.abstract, places[at - 1], stems, float(p[i, 1:].sum()))
            for at in sorted(compared[i].best) if at > 0
        )  # fmt: skip
        shown.append(Evidence(record, quoted, design.of(record.title, record.abstract), float(p[i, 1]), float(p[i, 2])))
    return Verdict(claim, decided(head, told), float(told[1]), float(told[2]), tuple(shown))


def beside(
    lib: Library, claim: str, *, filters: Filters = Filters(), k: int = LOOKED
) -> tuple[list[Record], list[Compared]]:
    """The papers nearest to a claim, each compared with it."""
    found = searching.ranked(lib, claim, k=k, filters=filters)
    taken = lib.take(found.numbers.tolist())
    return taken, compare(lib, claim, taken)


def compare(lib: Library, claim: str, found: Sequence[Record]) -> list[Compared]:
    """Papers beside a claim, in the order in which they were found for it."""
    asked = entailing.asked(claim, lib.engine.stems, lib.rarity)
    _, said, stems = searching.cut(lib, found)
    return [
        entailing.compare(
            asked, [record.title, *texts], [lib.engine.stems(words.named(record.title)), *of], rank=rank,
            stems=lib.engine.stems,
        )
        for rank, (record, texts, of) in enumerate(zip(found, said, stems, strict=True))
    ]  # fmt: skip


def decided(head: Head, p: Float64[np.ndarray, "3"]) -> Label:
    """The verdict of a claim's probabilities: a side that is sure enough, or not enough evidence."""
    side = 1 if p[1] >= p[2] else 2
    return LABELS[side] if p[side] >= head.least[side - 1] else LABELS[0]


def sides(found: Sequence[Evidence]) -> tuple[list[Evidence], list[Evidence]]:
    """Papers that speak for a claim, and against it."""
    return [e for e in found if e.supports >= e.refutes], [e for e in found if e.supports < e.refutes]
