"""Search: records that fit a question, each with the passage that says why, to the letter."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from edubba.core.errors import UserError
from edubba.papers import engines, library, passages, records, sentences, words
from edubba.papers.engines import Filters
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.sentences import Span

LONG = 30
"""letters of a title from which on it names one study"""
WORDS = 15
"""words of an abstract that papers like it are looked for with"""
Ranking = Literal["fused", "words"]
CANDIDATES = 300
"""records of each kind of search whose scores are joined"""
SCORED = 1_000
"""records whose score by words is known"""
SHARE = {("static",): 0.45, ("minilm",): 0.4, ("static", "minilm"): 0.6}
"""what the cosines count in the joined score; chosen on SciFact's training claims and TREC-COVID's odd topics"""
PARTS = {"static": 1.0, "minilm": 2.0}
"""and how it is shared between encoders"""
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
    also: tuple[Record, ...] = ()
    """the same study under other ids: its preprint or article, or a copy"""


def search(
    lib: Library | str | Path,
    query: str,
    *,
    k: int = 10,
    filters: Filters = Filters(),
    by: Ranking = "fused",
    passages_of: slice = slice(None),
) -> list[Hit]:
    """The k studies that fit a query best, the best first; of a preprint and its article the one that fits better.

    Parameters
    ----------
    by
        `words`: what holds the very words alone.
    passages_of
        The hits whose passages are looked for, where not all are shown.

    Raises
    ------
    UserError
        There is no such library, or fewer than one is asked for.
    """
    if k < 1:
        raise UserError(f"-k {k}: one paper at least is to be asked for")
    if not isinstance(lib, Library):
        lib = library.open(lib)
    asked = words.asked(query)
    found = ranked(lib, asked, k=k + k // 5 + 2, filters=filters, by=by)
    taken = lib.take(found.numbers.tolist())
    studies = together(taken)[:k]
    shown = studies[passages_of]
    quotes = dict(zip((s[0] for s in shown), quoted(lib, asked, [taken[s[0]] for s in shown]), strict=True))
    return [
        Hit(
            taken[first], float(found.scores[first]), quotes.get(first, ()), uncertain(taken[first], filters),
            tuple(taken[i] for i in others),
        )
        for first, *others in studies
    ]  # fmt: skip


def together(found: Sequence[Record]) -> list[list[int]]:
    """Places of the records of each study, in the order of its first: a preprint and its article, or copies, have one title."""
    studies: dict[str, list[int]] = {}
    for i, record in enumerate(found):
        title = records.plain(record.title)
        studies.setdefault(title if len(title) >= LONG else f"{title} {record.id}", []).append(i)
    return list(studies.values())


def similar(lib: Library, record: Record, *, k: int = 5) -> list[Record]:
    """The k papers whose words are nearest to a paper's: its title, and the rarest words of its abstract."""
    stems = Counter(lib.engine.stems(words.named(record.abstract)))
    worth = {stem: n * lib.rarity(stem) for stem, n in stems.items()}
    rarest = sorted(worth, key=lambda stem: -worth[stem])[:WORDS]
    found = ranked(lib, " ".join([record.title, *rarest]), k=2 * k + 2)
    taken = lib.take(found.numbers.tolist())
    own = records.plain(record.title)
    kept = [taken[first] for first, *_ in together(taken)]
    return [other for other in kept if other.id != record.id and records.plain(other.title) != own][:k]


def ranked(lib: Library, query: str, *, k: int, filters: Filters = Filters(), by: Ranking = "fused") -> engines.Found:
    """Numbers and scores of the records that fit best, without those that are removed.

    Scores say in what order, and are never below 0. A library without vectors is searched by words alone.
    """
    fused = by != "words" and bool(lib.vectors)
    wanted = max(k, SCORED) if fused else k
    found = lib.engine.search(query, k=wanted + min(len(lib.removed), MORE * wanted), filters=filters)
    seen = lib.seen(found.numbers)
    found = engines.Found(found.numbers[seen][:wanted], found.scores[seen][:wanted])
    if fused:
        found = _fused(lib, query, found, filters)
    return engines.Found(found.numbers[:k], found.scores[:k])


def _fused(lib: Library, query: str, found: engines.Found, filters: Filters) -> engines.Found:
    """The best by words and the nearest by vectors, both scores in units of their spread; then the rest by words."""
    asked = [made.encode([("", query)])[0] for made in lib.vectors]
    numbers = found.numbers[:CANDIDATES]
    for made, vector in zip(lib.vectors, asked, strict=True):
        if vector.any():
            near, _ = made.nearest(vector, k=CANDIDATES + min(len(lib.removed), CANDIDATES))
            near = near[lib.seen(near)][:CANDIDATES]
            numbers = np.union1d(numbers, near[lib.engine.within(near, filters)])
    numbers = np.sort(numbers)
    if not len(numbers):
        return found
    by_words = dict(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))
    lexical = np.array([by_words.get(number, 0.0) for number in numbers.tolist()])
    kinds = tuple(made.kind for made in lib.vectors)
    score = (1 - SHARE[kinds]) * _standard(lexical)
    for made, vector in zip(lib.vectors, asked, strict=True):
        part = SHARE[kinds] * PARTS[made.kind] / sum(PARTS[kind] for kind in kinds)
        score += part * _standard(made.cosines(vector, numbers).astype(np.float64))
    first = np.lexsort((numbers, -score))
    rest = found.numbers[CANDIDATES:][~np.isin(found.numbers[CANDIDATES:], numbers)]
    below = np.linspace(1e-6, 0, len(rest), endpoint=False)
    return engines.Found(
        np.concatenate([numbers[first], rest]), np.concatenate([score[first] - score.min() + 2e-6, below])
    )


def _standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / max(1e-9, float(x.std()))


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
