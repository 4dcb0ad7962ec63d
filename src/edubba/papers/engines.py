"""Lexical search (BM25): tantivy, or SQLite's FTS5 where there is nothing else.

An index can be made again from the records at any time, so it need not be whole: `indexed` says how many records are in it,
and what a crash left beyond that is taken out before more is added.
"""

import itertools
import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from edubba.core import files
from edubba.core.errors import UserError, need
from edubba.papers import words
from edubba.papers.design import DESIGNS
from edubba.papers.records import Published, published

ENGINES = ("tantivy", "sqlite")
ENDING = re.compile(r"(ies|es|s|ing|ed|ly|y|e)$")
"""what is taken off a word where there is no stemmer"""
MEMORY = 200_000_000
"""bytes that tantivy's writer may take before it writes a segment"""
TOGETHER = 5_000
"""records whose words are stemmed at once"""
RAREST = 8
"""words of a query that SQLite looks for: every further one costs as much as the first and decides less"""


class Entry(NamedTuple):
    """What an index needs of a record."""

    number: int
    text: str
    first: int
    """earliest day on which it may have appeared, 0 where unknown"""
    last: int
    preprint: bool
    design: str
    licence: str
    journal: str


@dataclass(frozen=True)
class Filters:
    """Which records are looked at; empty: all."""

    since: date | None = None
    until: date | None = None
    design: str = ""
    licence: str = ""
    journal: str = ""
    preprint: bool | None = None


def filters(
    *, since: str = "", until: str = "", design: str = "", licence: str = "", journal: str = "", kind: str = ""
) -> Filters:
    """Filters as people write them; `kind` is preprint, article, or empty for both.

    Raises
    ------
    UserError
        A date, a design or a kind is none.
    """
    first, last = _day("since", since), _day("until", until)
    if design and design.lower() not in DESIGNS:
        raise UserError(f"design {design!r} is not known: take one of {', '.join(DESIGNS)}")
    if kind not in ("", "all", "preprint", "article"):
        raise UserError(f"kind {kind!r} is not known: take preprint or article, or leave it out")
    return Filters(
        since=first.first, until=last.last, design=design.lower(), licence=licence, journal=journal,
        preprint=None if kind in ("", "all") else kind == "preprint",
    )  # fmt: skip


def _day(name: str, text: str) -> Published:
    parts = re.fullmatch(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", text.strip())
    try:
        if parts and parts[3]:  # a day is a day here, the last of December too
            day = date(*map(int, parts.groups()))
            return Published(day, day, "day")
        found = published(text) if parts and (not parts[2] or 1 <= int(parts[2]) <= 12) else Published()
    except ValueError:
        found = Published()
    if text and found.first is None:
        raise UserError(f"{name} {text!r} is no date: write a year, month or day, as 2020, 2020-03 or 2020-03-11")
    return found


class Found(NamedTuple):
    """Numbers of records, the best first, and their scores."""

    numbers: Int64[np.ndarray, "k"]
    scores: Float64[np.ndarray, "k"]


@runtime_checkable
class Engine(Protocol):
    indexed: int
    """records that are in it, from the first"""

    def add(self, entries: Iterable[Entry], *, upto: int) -> None:
        """Add records after those that are in it; `upto` of them are then indexed."""
        ...

    def forget(self, numbers: Sequence[int]) -> None:
        """Take records out."""
        ...

    def search(self, query: str, *, k: int, filters: Filters = Filters()) -> Found:
        """The k records that fit a query best."""
        ...

    def within(self, numbers: Int64[np.ndarray, "n"], filters: Filters) -> Bool[np.ndarray, "n"]:
        """Which records the filters let through."""
        ...

    def stems(self, text: str) -> list[str]:
        """The words of a text as they are compared."""
        ...

    def holding(self, stem: str) -> int:
        """Records that hold a word."""
        ...


def open(folder: Path, name: str) -> Engine:
    """The index of a library.

    Raises
    ------
    UserError
        The engine needs a package that is not there, or the index is damaged.
    """
    if name == "tantivy":
        return Tantivy(folder / "tantivy")
    if name == "sqlite":
        return Fts5(folder / "library.sqlite")
    raise UserError(f"there is no engine {name!r}: take {' or '.join(ENGINES)}")


def _schema(kept: str) -> Any:
    """Fields of an index; `kept`: what is kept of each word, how often it stands or where."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name="paper", index_option=kept)
    for name in ("first", "last"):
        builder.add_integer_field(name, indexed=True, fast=True)
    builder.add_unsigned_field("preprint", indexed=True)
    for name in ("design", "licence", "journal"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


class Tantivy:
    """An index of tantivy: one field of all words, stemmed; the rest for filters."""

    def __init__(self, folder: Path) -> None:
        need("tantivy", extra="papers")
        import tantivy

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        try:
            try:
                self.schema = _schema("freq")
                self.index = tantivy.Index(self.schema, path=str(folder), reuse=True)
            except ValueError:  # an index of edubba before 2026-12
                self.schema = _schema("position")
                self.index = tantivy.Index(self.schema, path=str(folder), reuse=True)
        except ValueError as error:
            raise UserError(f"{folder} is no index that can be read ({error}): delete it, `edubba papers build` makes it again") from None  # fmt: skip
        self.words = (
            tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.remove_long(40))
            .filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold())
            .filter(tantivy.Filter.custom_stopword(sorted(words.STOP))).filter(tantivy.Filter.stemmer("english")).build()
        )  # fmt: skip
        # what comes in is stemmed already: see `stemming`
        split = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self.index.register_tokenizer("paper", split)
        said = folder / "indexed.json"
        self.indexed = json.loads(said.read_text())["records"] if said.exists() else 0

    def add(self, entries: Iterable[Entry], *, upto: int) -> None:
        import tantivy

        from edubba.papers import stemming

        writer = self.index.writer(heap_size=MEMORY)
        writer.delete_documents_by_query(
            tantivy.Query.range_query(
                self.schema, "number", tantivy.FieldType.Unsigned, lower_bound=self.indexed, upper_bound=None
            )
        )
        stemmer, left = stemming.Stemmer(self.words.analyze), iter(entries)
        while some := list(itertools.islice(left, TOGETHER)):
            for e, text in zip(some, stemmer.stem([e.text for e in some]), strict=True):
                cells = {
                    "number": e.number, "text": text, "first": e.first, "last": e.last, "preprint": int(e.preprint),
                    "design": e.design.lower(), "licence": e.licence, "journal": e.journal.lower(),
                }  # fmt: skip
                writer.add_document(tantivy.Document.from_dict(cells, self.schema))
        writer.commit()
        writer.wait_merging_threads()
        self._now(upto)

    def forget(self, numbers: Sequence[int]) -> None:
        writer = self.index.writer(heap_size=15_000_000)
        for number in numbers:
            writer.delete_documents_by_term("number", int(number))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()

    def _now(self, upto: int) -> None:
        self.index.reload()
        files.write(self.folder / "indexed.json", json.dumps({"records": upto}))
        self.indexed = upto

    def search(self, query: str, *, k: int, filters: Filters = Filters()) -> Found:
        import tantivy

        terms: dict[str, int] = {}
        for term in self.words.analyze(words.named(query)):
            terms[term] = terms.get(term, 0) + 1
        if not terms:
            return Found(np.zeros(0, np.int64), np.zeros(0))
        Q, Occur = tantivy.Query, tantivy.Occur
        parts = [
            (Occur.Should, Q.boost_query(Q.term_query(self.schema, "text", term, "freq"), float(n)))
            for term, n in terms.items()
        ]
        asked = Q.boolean_query(parts)
        limits = [(Occur.Must, Q.const_score_query(limit, 0.0)) for limit in self._limits(filters)]
        if limits:
            asked = Q.boolean_query([(Occur.Must, asked), *limits])
        searcher = self.index.searcher()
        hits = searcher.search(asked, limit=k, count=False).hits
        numbers = searcher.fast_field_values("number", [address for _, address in hits]) if hits else []
        found = np.array(numbers, np.int64).reshape(-1), np.array([score for score, _ in hits], np.float64)
        # where records lie in the index depends on its threads: equal scores are put in the order of the numbers
        order = np.lexsort((found[0], -found[1]))
        return Found(found[0][order], found[1][order])

    def within(self, numbers: Int64[np.ndarray, "n"], filters: Filters) -> Bool[np.ndarray, "n"]:
        import tantivy

        limits = self._limits(filters)
        if not limits or not len(numbers):
            return np.ones(len(numbers), bool)
        Q, Must = tantivy.Query, tantivy.Occur.Must
        asked = Q.boolean_query(
            [(Must, Q.term_set_query(self.schema, "number", numbers.tolist()))] + [(Must, limit) for limit in limits]
        )
        searcher = self.index.searcher()
        hits = searcher.search(asked, limit=len(numbers), count=False).hits
        kept = searcher.fast_field_values("number", [address for _, address in hits]) if hits else []
        return np.isin(numbers, np.array(kept, np.int64).reshape(-1))

    def stems(self, text: str) -> list[str]:
        return list(self.words.analyze(text))

    def holding(self, stem: str) -> int:
        return self.index.searcher().doc_freq("text", stem)

    def _limits(self, filters: Filters) -> list[Any]:
        import tantivy

        Q, I = tantivy.Query, tantivy.FieldType.Integer  # noqa: E741
        made = []
        if filters.since:
            made.append(Q.range_query(self.schema, "last", I, lower_bound=filters.since.toordinal(), upper_bound=None))
        if filters.until:
            made.append(Q.range_query(self.schema, "first", I, lower_bound=1, upper_bound=filters.until.toordinal()))
        if filters.preprint is not None:
            made.append(Q.term_query(self.schema, "preprint", int(filters.preprint)))
        for name in ("design", "licence", "journal"):
            if value := getattr(filters, name):
                made.append(Q.term_query(self.schema, name, value.lower()))
        return made


class Fts5:
    """SQLite's full-text table, in the library's database."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, check_same_thread=False)
        try:
            self.db.executescript(
                """PRAGMA journal_mode=WAL;
                CREATE VIRTUAL TABLE IF NOT EXISTS text USING fts5(
                    words, content='', tokenize="porter unicode61 remove_diacritics 2");
                CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(text, row);
                CREATE TABLE IF NOT EXISTS facets (number INTEGER PRIMARY KEY, first INTEGER, last INTEGER,
                    preprint INTEGER, design TEXT, licence TEXT, journal TEXT);
                CREATE TABLE IF NOT EXISTS indexed (records INTEGER);"""
            )
        except sqlite3.OperationalError as error:
            raise UserError(
                f"this Python's SQLite has no full-text search ({error}): pip install 'edubba[papers]'"
            ) from None
        self.indexed = (self.db.execute("SELECT max(records) FROM indexed").fetchone()[0]) or 0

    def add(self, entries: Iterable[Entry], *, upto: int) -> None:
        with self.db:  # one transaction: nothing is left beyond `indexed`
            for e in entries:
                kept = " ".join(words.terms(words.named(e.text)))
                self.db.execute("INSERT INTO text(rowid, words) VALUES (?, ?)", (e.number, kept))
                self.db.execute(
                    "INSERT INTO facets VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (e.number, e.first, e.last, int(e.preprint), e.design.lower(), e.licence, e.journal.lower()),
                )
            self.db.execute("INSERT INTO indexed VALUES (?)", (upto,))
        self.indexed = upto

    def forget(self, numbers: Sequence[int]) -> None:
        with self.db:
            self.db.executemany("DELETE FROM facets WHERE number = ?", [(int(n),) for n in numbers])

    def search(self, query: str, *, k: int, filters: Filters = Filters()) -> Found:
        asked = list(dict.fromkeys(words.terms(words.named(query))))
        if len(asked) > RAREST:
            asked = sorted(asked, key=self._seen)[:RAREST]
        asked = [term for term in asked if term]
        if not asked:
            return Found(np.zeros(0, np.int64), np.zeros(0))
        limits, values = _where(filters)
        match = " OR ".join(f'"{term}"' for term in asked)
        rows = self.db.execute(
            "SELECT text.rowid, -bm25(text) FROM text JOIN facets ON facets.number = text.rowid"
            f" WHERE text MATCH ? {limits} ORDER BY bm25(text) LIMIT ?",
            (match, *values, k),
        ).fetchall()
        return Found(np.array([n for n, _ in rows], np.int64), np.array([s for _, s in rows], np.float64))

    def within(self, numbers: Int64[np.ndarray, "n"], filters: Filters) -> Bool[np.ndarray, "n"]:
        limits, values = _where(filters)
        if not limits:
            return np.ones(len(numbers), bool)
        query = f"SELECT number FROM facets WHERE number IN ({', '.join(map(str, numbers.tolist()))}) {limits}"
        return np.isin(numbers, [number for (number,) in self.db.execute(query, values)])

    def stems(self, text: str) -> list[str]:
        return [ENDING.sub("", term) if len(term) > 4 else term for term in words.terms(text)]

    def holding(self, stem: str) -> int:
        query = "SELECT count(*) FROM (SELECT rowid FROM text WHERE text MATCH ? LIMIT 20000)"
        return self.db.execute(query, (f'"{stem}"*',)).fetchone()[0]

    def _seen(self, term: str) -> int:
        """In how many records a word of a query stands; stems are not known here, so the word itself is asked for."""
        (n,) = self.db.execute("SELECT count(*) FROM (SELECT rowid FROM text WHERE text MATCH ? LIMIT 20000)", (f'"{term}"',)).fetchone()  # fmt: skip
        return n or 10**9


def _where(filters: Filters) -> tuple[str, list[Any]]:
    limits, values = [], []
    if filters.since:
        limits.append("last >= ?")
        values.append(filters.since.toordinal())
    if filters.until:
        limits.append("first BETWEEN 1 AND ?")
        values.append(filters.until.toordinal())
    if filters.preprint is not None:
        limits.append("preprint = ?")
        values.append(int(filters.preprint))
    for name in ("design", "licence", "journal"):
        if value := getattr(filters, name):
            limits.append(f"{name} = ?")
            values.append(value.lower())
    return "".join(f" AND {limit}" for limit in limits), values
