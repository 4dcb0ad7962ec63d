"""Search: records that fit a question, each with the passage that says why, to the letter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edubba.papers import engines, library, passages, sentences, words
from edubba.papers.engines import Filters
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.sentences import Span

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
    score: float


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
        Hit(record, float(score), quotations, uncertain(record, filters))
        for record, score, quotations in zip(taken, found.scores, quotes, strict=True)
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
    """For each record the sentences that fit a query best, in their order; none where no word of it is there."""
    asked = lib.engine.stems(words.named(query))
    spans, said, stems = cut(lib, found)
    made = []
    for record, places, of, score in zip(found, spans, stems, passages.scores(stems, said, asked, query), strict=True):
        fits = [i for i, words_there in enumerate(of) if set(words_there) & set(asked)]
        best = sorted(sorted(fits, key=lambda i: (-score[i], i))[:most])
        made.append(tuple(passage(lib, record.abstract, places[i], asked, float(score[i])) for i in best))
    return made


def cut(lib: Library, found: Sequence[Record]) -> tuple[list[list[Span]], list[list[str]], list[list[list[str]]]]:
    """Sentences of the abstracts: their places, themselves, and their stems."""
    spans = [sentences.split(record.abstract) for record in found]
    said = [[record.abstract[a:b] for a, b in places] for record, places in zip(found, spans, strict=True)]
    return spans, said, [[lib.engine.stems(words.named(text)) for text in texts] for texts in said]


def passage(lib: Library, text: str, span: Span, asked: Sequence[str], score: float) -> Passage:
    """A quotation, with the places of the words asked for (stems)."""
    marks = []
    for word in words.WORD.finditer(text, span.start, span.end):
        if any(stem in asked for stem in lib.engine.stems(word[0])):
            marks.append(Span(word.start(), word.end()))
    return Passage("abstract", span.start, span.end, text[span.start : span.end], tuple(marks), score)
