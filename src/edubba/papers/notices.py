"""Outbreak notices by date: what is unlike anything seen before.

Each notice is compared with those of earlier days alone, and so are the rarities of words: nothing looks ahead. The score is
the share of the words of its subject that no earlier subject had, plus one minus the greatest similarity of its whole text
(cosine of TF-IDF) to an earlier one. Official notices are the end of a chain of reports: novel means unlike all earlier
notices, not early.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from edubba.core.errors import UserError

_STOP = """a about above after again all also an and any are as at be because been before being below between both but by can
could did do does doing down during each few for from further had has have having he her here his how if in into is it its more
most no nor not now of off on once only or other our out over own same she should so some such than that the their them then
there these they this those through to too under until up very was we were what when where which while who whom why will with
would you your"""
STOP = frozenset(_STOP.split())
WORD = re.compile(r"[^\W\d_][\w\-]+")
YEAR = re.compile(r"^\s*((19|20)\d\d|updates?(\s+\d+)?[a-z]?)\s*[-–:]\s*", re.IGNORECASE)
UPDATE = re.compile(r"\s*[-–,(]?\s*\bupdates?\b\W*(\d+)?[a-z]?\W*$", re.IGNORECASE)
PLACE = re.compile(r"\s+in\s+(?=[A-Z]|the\s)|\s+[-–]\s+|[:,]\s+|\s+among\s+")


@dataclass(frozen=True)
class Notice:
    """What was published on a day."""

    id: str
    date: str
    """as 2003-03-12"""
    headline: str
    text: str
    link: str = ""


@dataclass(frozen=True)
class Ranked:
    """A notice with how unlike all earlier ones it is, and why."""

    notice: Notice
    score: float
    """0 to 2; NaN on the first day"""
    new_words: tuple[str, ...]
    """of its subject, that no earlier subject had"""
    nearest: Notice | None
    """the earlier notice that is most like it"""
    similarity: float


def read(path: str | Path) -> list[Notice]:
    """Notices of a JSONL file: `date`, `headline`, `text`, and perhaps `id` and `link`; sorted by date.

    Raises
    ------
    UserError
        A line is no such object, or has no date.
    """
    path, made = Path(path), []
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            date = str(row["date"])[:10]
            notice = Notice(
                str(row.get("id", number)),
                date,
                str(row["headline"]),
                str(row.get("text") or ""),
                str(row.get("link") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}:{number}: no notice, which is a JSON object with date, headline and text ({error})"
            ) from None
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
            raise UserError(f"{path}:{number}: {date!r} is no date as 2003-03-12")
        made.append(notice)
    if not made:
        raise UserError(f"{path} holds no notices: a JSON object with date, headline and text on each line")
    return sorted(made, key=lambda notice: notice.date)


def subject(headline: str) -> str:
    """What a headline is about: without year, number of the update and place.

    >>> [subject(h) for h in ("1998 - Cholera in Chile - Update 2", "Update 91 - SARS research", "Zika virus – Brazil")]
    ['Cholera', 'SARS research', 'Zika virus']
    """
    made = UPDATE.sub("", YEAR.sub("", YEAR.sub("", headline)))
    return PLACE.split(made)[0].strip()


def terms(text: str) -> list[str]:
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def rank(notices: Sequence[Notice]) -> list[Ranked]:
    """Every notice, in the order given, with how unlike those of earlier days it is.

    Parameters
    ----------
    notices
        Sorted by date.
    """
    days = _days(notices)
    similarity, nearest = _nearest([terms(f"{n.headline} {n.text}") for n in notices], days)
    seen: set[str] = set()
    made: list[Ranked] = []
    for start, stop in days:
        subjects = [dict.fromkeys(terms(subject(notice.headline))) for notice in notices[start:stop]]
        for i, words in zip(range(start, stop), subjects, strict=True):
            new = tuple(word for word in words if word not in seen)
            score = float("nan") if not start else len(new) / max(1, len(words)) + 1 - float(similarity[i])
            made.append(Ranked(notices[i], score, new, notices[nearest[i]] if start else None, float(similarity[i])))
        seen.update(*subjects)
    return made


def _days(notices: Sequence[Notice]) -> list[tuple[int, int]]:
    """First and last place of the notices of each day."""
    dates = [notice.date for notice in notices]
    if dates != sorted(dates):
        raise ValueError("notices must be sorted by date")
    edges = [0, *(i for i in range(1, len(dates)) if dates[i] != dates[i - 1]), len(dates)]
    return list(itertools.pairwise(edges)) if dates else []


def _nearest(
    texts: list[list[str]], days: list[tuple[int, int]]
) -> tuple[Float64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """For each text the greatest cosine to one of an earlier day, and which that is; 0 where there is none."""
    place: dict[str, int] = {}
    counts = [Counter(place.setdefault(word, len(place)) for word in text) for text in texts]
    tf = np.concatenate([1 + np.log(list(c.values())) for c in counts if c] or [np.zeros(0)])
    index = np.concatenate([list(c) for c in counts if c] or [np.zeros(0)]).astype(np.int64)
    pointer = np.cumsum([0, *(len(c) for c in counts)])
    table = sparse.csr_matrix((tf, index, pointer), shape=(len(texts), max(1, len(place))))
    squares, seen = table.power(2), np.zeros(table.shape[1])
    best, where = np.zeros(len(texts)), np.zeros(len(texts), np.int64)
    for start, stop in days:
        if start:
            rarity = 1 + np.log((1 + start) / (1 + seen))
            length = np.sqrt(squares[:stop] @ rarity**2)
            length[length == 0] = 1
            shared = (table[start:stop].multiply(rarity**2).tocsr() @ table[:start].T).toarray()
            cosine = shared / length[start:, None] / length[None, :start]
            best[start:stop], where[start:stop] = cosine.max(axis=1), cosine.argmax(axis=1)
        seen += np.bincount(table[start:stop].indices, minlength=len(seen))
    return best, where
