"""How good a ranking is, as trec_eval counts it: the grade is the gain, ties are broken by the document's id downwards.

Documents that nobody judged count as not relevant, but for bpref and RBP's residual. A grade below 0 was judged, and is not
relevant.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Qrels = Mapping[str, Mapping[str, int]]
"""topic to document to grade"""
Run = Mapping[str, Mapping[str, float]]
"""topic to document to score"""


def ranking(scores: Mapping[str, float]) -> list[str]:
    """Documents from the best; of equal scores the later id comes first, as trec_eval has it.

    >>> ranking({"a": 1.0, "b": 1.0, "c": 2.0})
    ['c', 'b', 'a']
    """
    return [doc for doc, _ in sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)]


def ndcg(ranked: Sequence[str], judged: Mapping[str, int], k: int = 10) -> float:
    """Discounted cumulative gain of the first k over the best there could be (Järvelin and Kekäläinen 2002)."""
    gained = sum(max(0, judged.get(doc, 0)) / math.log2(i + 2) for i, doc in enumerate(ranked[:k]))
    best = sorted((grade for grade in judged.values() if grade > 0), reverse=True)[:k]
    ideal = sum(grade / math.log2(i + 2) for i, grade in enumerate(best))
    return gained / ideal if ideal else 0.0


def average_precision(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """Mean of the precisions at the relevant documents; those that are missing count 0."""
    relevant, hits, total = _relevant(judged), 0, 0.0
    for i, doc in enumerate(ranked, 1):
        if doc in relevant:
            hits += 1
            total += hits / i
    return total / len(relevant) if relevant else 0.0


def precision(ranked: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    relevant = _relevant(judged)
    return sum(doc in relevant for doc in ranked[:k]) / k


def recall(ranked: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    relevant = _relevant(judged)
    return sum(doc in relevant for doc in ranked[:k]) / len(relevant) if relevant else 0.0


def r_precision(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    n = len(_relevant(judged))
    return precision(ranked, judged, n) if n else 0.0


def reciprocal_rank(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    relevant = _relevant(judged)
    return next((1 / i for i, doc in enumerate(ranked, 1) if doc in relevant), 0.0)


def bpref(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """How seldom judged documents that are not relevant stand before relevant ones (Buckley and Voorhees 2004)."""
    relevant = _relevant(judged)
    least = min(len(relevant), len(judged) - len(relevant))
    before, total = 0, 0.0
    for doc in ranked:
        if doc in relevant:
            total += 1 - min(before, least) / least if before else 1
        elif doc in judged:
            before += 1
    return total / len(relevant) if relevant else 0.0


def rbp(ranked: Sequence[str], judged: Mapping[str, int], p: float = 0.5) -> tuple[float, float]:
    """Rank-biased precision (Moffat and Zobel 2008) and its residual: what unjudged documents and the tail could add."""
    relevant = _relevant(judged)
    value = (1 - p) * sum(p**i for i, doc in enumerate(ranked) if doc in relevant)
    unknown = (1 - p) * sum(p**i for i, doc in enumerate(ranked) if doc not in judged)
    return value, unknown + p ** len(ranked)


def _relevant(judged: Mapping[str, int]) -> set[str]:
    return {doc for doc, grade in judged.items() if grade > 0}


MEASURES = {
    "nDCG@10": lambda r, j: ndcg(r, j, 10), "nDCG@20": lambda r, j: ndcg(r, j, 20), "MAP": average_precision, "bpref": bpref,
    "P@5": lambda r, j: precision(r, j, 5), "P@10": lambda r, j: precision(r, j, 10),
    "R@100": lambda r, j: recall(r, j, 100), "R@1000": lambda r, j: recall(r, j, 1000), "Rprec": r_precision,
    "RR": reciprocal_rank,
}  # fmt: skip


def each(
    run: Run, qrels: Qrels, *, condensed: bool = False, measures: Mapping[str, Any] = MEASURES
) -> dict[str, list[float]]:
    """Every measure on every topic of the qrels, in their order; a topic that the run lacks is 0.

    Parameters
    ----------
    condensed
        Take documents that nobody judged out of the ranking first.
    """
    made: dict[str, list[float]] = {name: [] for name in measures}
    for topic, judged in qrels.items():
        ranked = ranking(run.get(topic, {}))
        if condensed:
            ranked = [doc for doc in ranked if doc in judged]
        for name, measure in measures.items():
            made[name].append(measure(ranked, judged))
    return made
