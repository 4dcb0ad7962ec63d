"""Which sentences answer a question best: BM25 over words, pairs of words, and the sentence with its neighbours."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float64

from edubba.papers.words import COVID

K1, B = 0.9, 0.4
PAIRS, AROUND, COVERED, NUMBERS = 0.3, 0.3, 2.0, 1.0
"""weights of pairs of words, of the sentence with its neighbours, of the share of the question's words that it has, and of a
number where one is asked for; tried on questions about full articles"""
NEAR = 2.0
"""weight of the cosines, in units of their spread, where no word of the question is found"""
NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|million|per ?cent)\b", re.IGNORECASE
)
QUANTITY = re.compile(
    r"\bhow (many|much|long|often|large|high|old|fast)\b|\bwhat (percent|percentage|proportion|fraction|number|age|year)\b|\bwhen\b|\brates?\b"
    r"|\bperiod\b|\bnumber\b",
    re.IGNORECASE,
)


def bm25(texts: Sequence[Sequence[str]], asked: Sequence[str]) -> Float64[np.ndarray, "n"]:
    """BM25 (Lucene's form) of texts given as words, statistics of these texts.

    >>> bm25([["a", "b"], ["a", "a", "c"], ["b", "c", "c", "c"]], ["a"]).round(4).tolist()
    [0.264, 0.3241, 0.0]
    """
    counted = [Counter(text) for text in texts]
    seen = Counter(word for counts in counted for word in counts)
    mean = sum(map(len, texts)) / max(1, len(texts)) or 1.0
    made = np.zeros(len(texts))
    for word, times in Counter(asked).items():
        if not seen[word]:
            continue
        rarity = math.log(1 + (len(texts) - seen[word] + 0.5) / (seen[word] + 0.5))
        for i, counts in enumerate(counted):
            if tf := counts[word]:
                made[i] += times * rarity * tf / (tf + K1 * (1 - B + B * len(texts[i]) / mean))
    return made


def scores(
    documents: Sequence[Sequence[Sequence[str]]],
    said: Sequence[Sequence[str]],
    asked: Sequence[str],
    question: str,
    near: Float[np.ndarray, "n"] | None = None,
) -> list[Float64[np.ndarray, "_"]]:
    """For each sentence of each document how well it answers.

    Parameters
    ----------
    documents
        Stems of the sentences of each document.
    said
        The sentences themselves.
    asked
        Stems of the question.
    question
        The question itself: whether it asks for a number.
    near
        Cosines of all sentences with the question. They count the more, the fewer of the question's words the sentence has
        that has most of them: where one says all that is asked, words decide.
    """
    flat = [sentence for document in documents for sentence in document]
    around = [
        [word for sentence in document[max(0, i - 1) : i + 2] for word in sentence]
        for document in documents
        for i in range(len(document))
    ]
    wanted = set(asked)
    total = bm25(flat, asked) + AROUND * bm25(around, asked)
    total += PAIRS * bm25([_pairs(sentence) for sentence in flat], _pairs(asked))
    covered = np.array([len(wanted & set(sentence)) / max(1, len(wanted)) for sentence in flat])
    total += COVERED * covered
    if QUANTITY.search(question):
        total += NUMBERS * np.array([numbered(text) for texts in said for text in texts], float)
    if near is not None and len(flat):
        unsaid = 1 - covered.max()
        total += NEAR * unsaid * total.std() * (near - near.min()) / max(1e-9, float(near.std()))
    return np.split(total, np.cumsum([len(document) for document in documents])[:-1]) if documents else []


def numbered(text: str) -> bool:
    """Whether a text states a number; that of a disease's name is none.

    >>> numbered("COVID-19 in cities"), numbered("Two cases of COVID-19")
    (False, True)
    """
    return bool(NUMBER.search(COVID.sub(" ", text)))


def _pairs(words: Sequence[str]) -> list[str]:
    return [f"{a} {b}" for a, b in pairwise(words)]
