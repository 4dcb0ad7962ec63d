"""Search: records that fit a question, each with the passage that says why, to the letter."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edubba.papers import engines, library, sentences, words
from edubba.papers.engines import Filters
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.sentences import Span

K1, B = 0.9, 0.4
"""of BM25 over sentences"""
MORE = 3
"""how many times as many records are asked for as are wanted, since some are removed or doubles"""


class Passage(NamedTuple):
    """A quotation: `record.abstract[start:end] == text`."""

    field: str
    start: int
    end: int
    text: str
    marks: tuple[Span, ...]
    """places of the words asked for, in the record's text"""


@dataclass(frozen=True)
class Hit:
    """A record that was found."""

    record: Record
    score: float
    passages: tuple[Passage, ...]
    uncertain: bool
    """its date is not known well enough to say whether it lies in the time asked for"""


def search(lib: Library | str | Path, query: str, *, k: int = 10, filters: Filters = Filters()) -> list[Hit]:
    """The k records that fit a query best, the best first.

    Raises
    ------
    UserError
        There is no such library.
    """
    if not isinstance(lib, Library):
        lib = library.open(lib)
    asked = words.asked(query)
    found = ranked(lib, asked, k=k, filters=filters)
    taken = lib.take(found.numbers.tolist())
    quotes = quoted(lib, asked, taken)
    return [
        Hit(record, float(score), passages, uncertain(record, filters))
        for record, score, passages in zip(taken, found.scores, quotes, strict=True)
    ]


def ranked(lib: Library, query: str, *, k: int, filters: Filters = Filters()) -> engines.Found:
    """Numbers and scores of the records that fit best, without those that are removed."""
    found = lib.engine.search(query, k=k + min(len(lib.removed), MORE * k), filters=filters)
    seen = lib.seen(found.numbers)
    return engines.Found(found.numbers[seen][:k], found.scores[seen][:k])


def uncertain(record: Record, filters: Filters) -> bool:
    """Whether a record's date may lie outside of the time asked for."""
    first, last = record.published.first, record.published.last
    if filters.since is None and filters.until is None:
        return False
    if first is None or last is None:
        return True
    return (filters.since is not None and first < filters.since) or (filters.until is not None and last > filters.until)


def quoted(lib: Library, query: str, found: Sequence[Record], *, most: int = 1) -> list[tuple[Passage, ...]]:
    """For each record the sentences that fit a query best, in their order.

    BM25 over the sentences of all these records: a word that stands in each of them says little.
    """
    asked = Counter(lib.engine.stems(words.named(query)))
    spans = [sentences.split(record.abstract) for record in found]
    stems = [
        [Counter(lib.engine.stems(words.named(record.abstract[a:b]))) for a, b in places]
        for record, places in zip(found, spans, strict=True)
    ]
    everything = [counted for of in stems for counted in of]
    seen = Counter(stem for counted in everything for stem in counted)
    length = float(np.mean([counted.total() for counted in everything])) if everything else 1.0

    def worth(counted: Counter[str]) -> float:
        total = 0.0
        for stem, times in asked.items():
            tf = counted[stem]
            if tf:
                rarity = math.log(1 + (len(everything) - seen[stem] + 0.5) / (seen[stem] + 0.5))
                total += times * rarity * tf / (tf + K1 * (1 - B + B * counted.total() / max(1.0, length)))
        return total

    made = []
    for record, places, of in zip(found, spans, stems, strict=True):
        scores = [worth(counted) for counted in of]
        best = sorted(sorted(range(len(places)), key=lambda i: (-scores[i], i))[:most])
        made.append(tuple(_passage(lib, record.abstract, places[i], asked) for i in best if scores[i] > 0))
    return made


def _passage(lib: Library, text: str, span: Span, asked: Counter[str]) -> Passage:
    marks = []
    for word in words.WORD.finditer(text, span.start, span.end):
        if any(stem in asked for stem in lib.engine.stems(word[0])):
            marks.append(Span(word.start(), word.end()))
    return Passage("abstract", span.start, span.end, text[span.start : span.end], tuple(marks))
