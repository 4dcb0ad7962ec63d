"""Answers as quotations: what several papers say, with numbers pooled where numbers are asked for. Nothing is written that is not quoted.

Where fewer than two papers hold a sentence that covers what is asked, nothing is answered.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edubba.core.errors import UserError
from edubba.papers import design, extracting, library, passages, reproduction, searching, words
from edubba.papers.engines import Filters
from edubba.papers.extracting import Cell
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.searching import Passage

LOOKED = 50
"""papers whose sentences are compared"""
COVERED = 0.6
"""least share of the question's words, weighed by their rarity, in a sentence that answers it; at .5 three of twenty questions on
other subjects were answered, at .6 none"""
ASIDE = re.compile(
    r"\b(aims?|aimed|purpose|objectives?|we sought|to (evaluate|assess|investigate|explore|determine|compare)|background|introduction|protocol"
    r"|debate|unclear|unknown|remains? to be|warranted|questionnaire)\b"
    r"|^\W*(materials and )?(methods?|(study )?design|setting|participants|study selection|data (sources?|extraction)|search strategy|measurements?)\s*:",
    re.IGNORECASE,
)
"""sentences that say what was asked, not what was found: they count half"""
STATING = 0.4
"""what a sentence counts that states no value of the quantity that is asked for"""
FEWEST = 2
"""papers that an answer needs"""
STATED = 400
"""papers that are looked through for a number"""


class Quantity(NamedTuple):
    """A number that can be pooled."""

    asked: re.Pattern[str]
    """a question that asks for it"""
    name: str
    extract: Callable[[Record], list[Cell]]
    kinds: tuple[str, ...]
    unit: str


QUANTITIES = (
    Quantity(
        re.compile(r"\bincubation\b", re.IGNORECASE),
        "incubation period",
        extracting.incubation,
        ("median", "mean"),
        "days",
    ),
    Quantity(
        re.compile(r"\b(basic )?reproducti(ve|on) (number|rate|ratio)|\bR\s?_?[0₀]\b|\bR-?naught", re.IGNORECASE),
        "basic reproduction number",
        reproduction.r0,
        ("value", "mean", "median"),
        "",
    ),
)


@dataclass(frozen=True)
class Quotation:
    """A sentence of a paper that answers."""

    record: Record
    passage: Passage
    design: str
    covered: float
    """share of the question's words that it holds, weighed by their rarity"""


class Pooled(NamedTuple):
    """What the studies of a library say of a quantity; each study counts once."""

    quantity: str
    unit: str
    """empty: none"""
    kind: str
    """means are never pooled with medians"""
    disease: str
    studies: int
    middle: float
    """median over the studies"""
    low: float
    high: float
    intervals: int
    """studies that state a confidence interval"""
    agreeing: int
    """of these, how many intervals hold the middle"""
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a library says to a question."""

    question: str
    quotations: tuple[Quotation, ...]
    pooled: tuple[Pooled, ...]
    abstained: str
    """why nothing is answered; empty where something is"""


def ask(lib: Library | str | Path, question: str, *, k: int = 5, filters: Filters = Filters()) -> Answer:
    """The k best sentences of different studies, and numbers where the question asks for a quantity that can be extracted.

    Raises
    ------
    UserError
        There is no such library, or fewer than one is asked for.
    """
    if k < 1:
        raise UserError(f"-k {k}: one paper at least is to be asked for")
    if not isinstance(lib, Library):
        lib = library.open(lib)
    asked = words.asked(question)
    stems = lib.engine.stems(words.named(asked))
    found = searching.ranked(lib, asked, k=LOOKED, filters=filters)
    taken = lib.take(found.numbers.tolist())
    best = _best(lib, question, stems, taken, found.scores)
    quotations = tuple(best[i] for i in once([q.record for q in best]))[:k]
    pooled = tuple(pool(lib, question, filters))
    abstained = ""
    if len(quotations) < FEWEST:
        number = "only one paper" if quotations else "no paper"
        abstained = f"{number} of this library holds a sentence that covers the question, and an answer needs two"
    return Answer(question, () if abstained else quotations, pooled, abstained)


def _best(
    lib: Library, question: str, stems: Sequence[str], taken: Sequence[Record], scores: np.ndarray
) -> list[Quotation]:
    """For each record its best sentence, if it covers the question; the best first."""
    rarity = {stem: lib.rarity(stem) for stem in set(stems)}
    spans, said, of = searching.cut(lib, taken)
    made: list[tuple[float, Quotation]] = []
    worth = passages.scores(of, said, stems, question, _near(lib, said, words.asked(question)))
    most = float(scores.max()) if len(scores) else 1.0
    quantity = bool(passages.QUANTITY.search(question))
    wanted = [of_it for of_it in QUANTITIES if of_it.asked.search(question)]
    for record, places, texts, each, score, whole in zip(taken, spans, said, of, worth, scores, strict=True):
        if not len(score):
            continue
        score = score * np.array([0.5 if ASIDE.search(text) else 1.0 for text in texts])
        if quantity:
            score = score * np.array([passages.numbered(text) for text in texts])
        if wanted:
            stating = {cell.sentence for of_it in wanted for cell in of_it.extract(record) if cell.primary}
            score = score * np.array([1.0 if place in stating else STATING for place in places])
        total = max(1e-9, sum(rarity.values()))
        shares = [sum(rarity[stem] for stem in rarity.keys() & set(words_there)) / total for words_there in each]
        score = score * np.array([share >= COVERED for share in shares])
        i = int(score.argmax())
        covered = shares[i]
        if score[i] > 0:
            passage = searching.passage(lib, record.abstract, places[i], stems, float(score[i]))
            kind = design.of(record.title, record.abstract)
            made.append(
                (float(score[i]) * (0.5 + 0.5 * float(whole) / most), Quotation(record, passage, kind, covered))
            )
    return [quotation for _, quotation in sorted(made, key=lambda pair: -pair[0])]


def _near(lib: Library, said: Sequence[Sequence[str]], question: str) -> np.ndarray | None:
    """Cosines of sentences with a question, by the encoder that learned from the library: MiniLM would take seconds."""
    static = next((made for made in lib.vectors if made.kind == "static"), None)
    texts = [("", text) for texts in said for text in texts]
    if static is None or not texts:
        return None
    return static.encode(texts).astype(np.float64) @ static.encode([("", question)])[0]


def once(found: Sequence[Record]) -> list[int]:
    """Places of different studies: of a preprint and its article, or of two copies, the first counts."""
    return [first for first, *_ in searching.together(found)]


def pool(lib: Library, question: str, filters: Filters = Filters()) -> list[Pooled]:
    """What the studies say of the quantity that a question asks for, by disease and kind; cited values are left out."""
    made = []
    for of_it in QUANTITIES:
        if not of_it.asked.search(question):
            continue
        of = Record(id="", title="", abstract="")
        disease = extracting.disease(question, len(question), of) or "COVID-19"
        found = lib.take(searching.ranked(lib, of_it.name, k=STATED, filters=filters).numbers.tolist())
        cells = [[c for c in of_it.extract(found[i]) if c.primary and c.disease == disease] for i in once(found)]
        for kind in of_it.kinds:
            first = [next((c for c in of_study if c.kind == kind and c.value is not None), None) for of_study in cells]
            if pooled := _pooled(of_it, kind, disease, [c for c in first if c is not None]):
                made.append(pooled)
    return made


def _pooled(of: Quantity, kind: str, disease: str, cells: Iterable[Cell]) -> Pooled | None:
    told = [(c.value, c) for c in cells if c.value is not None]
    if len(told) < FEWEST:
        return None
    values = np.array([value for value, _ in told])
    middle = float(np.median(values))
    stated = [c for _, c in told if c.interval == "95% CI" and c.low is not None and c.high is not None]
    agreeing = sum(c.low <= middle <= c.high for c in stated if c.low is not None and c.high is not None)
    return Pooled(
        of.name, of.unit, kind, disease, len(told), middle, float(values.min()), float(values.max()), len(stated), agreeing,
        tuple(c.id for _, c in told),
    )  # fmt: skip
