"""Search measured on topics with judgments: a TREC run, and a table with intervals over topics."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edubba.core import progress, stats
from edubba.core.errors import UserError
from edubba.papers import library, metrics, searching, trec, words
from edubba.papers.library import Library
from edubba.papers.trec import Topic

DEPTH = 1000
"""documents of a topic"""


@dataclass(frozen=True)
class Evaluated:
    """A run, and what it is worth."""

    run: dict[str, dict[str, float]]
    results: list[stats.Result]


def evaluate(
    lib: Library | str | Path, topics: Sequence[Topic] | str | Path, qrels: metrics.Qrels | str | Path, *,
    only: Collection[str] | None = None, by: searching.Ranking = "fused", draws: int = 1000,
) -> Evaluated:  # fmt: skip
    """Search for every topic of the judgments and compare.

    Every cord_uid of a record stands for it; the same score, so all of them or none are near.

    Parameters
    ----------
    by
        `words`: BM25 alone; `fused`: joined with vectors, where the library has some.
    only
        Documents that count, where a collection has rounds; None: all.

    Raises
    ------
    UserError
        No topic has judgments.
    """
    if not isinstance(lib, Library):
        lib = library.open(lib)
    told = trec.topics(topics) if isinstance(topics, str | Path) else topics
    judged = trec.qrels(qrels) if isinstance(qrels, str | Path) else qrels
    told = [topic for topic in told if topic.number in judged]
    if not told:
        raise UserError(f"no topic of {topics} has judgments in {qrels}: are the numbers the same?")
    allowed = None if only is None else set(only)
    run: dict[str, dict[str, float]] = {}
    with progress.bar("searching", len(told), unit="topics") as show:
        for i, topic in enumerate(told):
            run[topic.number] = _documents(lib, words.asked(f"{topic.query} {topic.question}".strip()), allowed, by)
            show(i + 1)
    results = []
    of = {topic.number: judged[topic.number] for topic in told}
    for condensed in (False, True):
        for name, values in metrics.each(run, of, condensed=condensed).items():
            value = stats.bootstrap(np.mean, np.array(values), draws=draws)
            results.append(
                stats.result(
                    f"{name}{', condensed' if condensed else ''}", *value, method="bootstrap over topics", n=len(told),
                    unit="topic", data=str(qrels) if isinstance(qrels, str | Path) else "qrels", split="test", seconds=0.0,
                )
            )  # fmt: skip
    return Evaluated(run, results)


def _documents(lib: Library, query: str, allowed: set[str] | None, by: searching.Ranking) -> dict[str, float]:
    found = searching.ranked(lib, query, k=DEPTH if allowed is None else 5 * DEPTH, by=by)
    made: dict[str, float] = {}
    rows = lib.records.take(found.numbers.tolist(), columns=["id", "sources"])
    for row, score in zip(rows, found.scores.tolist(), strict=True):
        names = [source["cord_uid"] for source in json.loads(row["sources"]) if source.get("cord_uid")] or [row["id"]]
        for name in dict.fromkeys(names):
            if (allowed is None or name in allowed) and name not in made and len(made) < DEPTH:
                made[name] = score
    return made
