"""Which rows speak of one paper: strong keys join them, and what they contradict each other in keeps them apart.

From the strongest: DOI, PMCID, PMID, arXiv id, cord_uid, long title with year, sha of the PDF. A preprint and the article
that became of it stay two records, which are linked: their numbers differ.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from edubba.papers import records

KEYS = ("doi", "pmcid", "pmid", "arxiv", "cord_uid", "title", "sha")
LONG = 40
"""letters that a title needs to say what paper it is: `Editorial` is the title of hundreds"""


class Row(NamedTuple):
    """What a row of a release says of who it is, in compared spelling; empty where it says nothing."""

    doi: str
    pmcid: str
    pmid: str
    arxiv: str
    cord_uid: str
    title: str
    """plain title"""
    year: str
    shas: tuple[str, ...]
    preprint: bool


def row(cells: dict[str, str]) -> Row:
    """Keys of a row of metadata."""
    doi = records.doi(cells.get("doi", ""))
    title = records.plain(records.clean(cells.get("title", "")))
    first = records.published(cells.get("publish_time", "")).first
    return Row(
        doi, records.number(cells.get("pmcid", "")).upper(), records.number(cells.get("pubmed_id", "")),
        records.number(cells.get("arxiv_id", "")), cells.get("cord_uid", "").strip(), title,
        str(first.year) if first else "", records.parts(cells.get("sha", "")),
        records.is_preprint(doi, cells.get("source_x", "")),
    )  # fmt: skip


def hashed(text: str) -> int:
    """A number for a key; equal ones of different keys are not to be expected below a billion."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Keys(NamedTuple):
    """Hashed keys of all rows, 0 where there is none; shas are pairs of row and key, as a row may have several."""

    of: dict[str, UInt64[np.ndarray, "n"]]
    sha_row: Int64[np.ndarray, "k"]
    sha: UInt64[np.ndarray, "k"]
    registrant: UInt64[np.ndarray, "n"]
    preprint: np.ndarray


def gather(rows: Iterable[Row]) -> Keys:
    """Keys of rows in their order: 60 bytes a row."""
    from array import array

    columns = {name: array("Q") for name in (*KEYS[:-1], "registrant")}
    preprint, sha_row, sha = array("B"), array("q"), array("Q")
    for i, r in enumerate(rows):
        for name in ("doi", "pmcid", "pmid", "arxiv", "cord_uid"):
            value = getattr(r, name)
            columns[name].append(hashed(value) if value else 0)
        columns["title"].append(hashed(f"{r.title} {r.year}") if len(r.title) >= LONG else 0)
        columns["registrant"].append(hashed(r.doi.split("/")[0]) if r.doi else 0)
        preprint.append(r.preprint)
        for name in r.shas:
            sha_row.append(i)
            sha.append(hashed(name))
    of = {name: np.array(column, np.uint64) for name, column in columns.items()}
    registrant = of.pop("registrant")
    return Keys(of, np.array(sha_row, np.int64), np.array(sha, np.uint64), registrant, np.array(preprint, bool))


def clusters(keys: Keys) -> Int64[np.ndarray, "n"]:
    """For each row the first row that speaks of the same paper."""
    n = len(keys.preprint)
    parent = np.arange(n)
    of = keys.of

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    said: dict[int, dict[str, set[int]]] = {}

    def facts(i: int) -> dict[str, set[int]]:
        if i not in said:
            said[i] = {name: {int(of[name][i])} - {0} for name in ("doi", "pmid", "pmcid")}
            said[i]["registrant"] = {int(keys.registrant[i])} - {0}
        return said[i]

    def apart(a: int, b: int, key: str) -> bool:
        """Whether two clusters cannot be one paper, whatever key they share."""
        one, other = facts(a), facts(b)
        if keys.preprint[a] != keys.preprint[b] and key not in ("doi", "pmcid", "pmid"):
            return True
        different = one["doi"] and other["doi"] and not one["doi"] & other["doi"]
        if key != "doi" and different and one["registrant"] & other["registrant"]:
            return True  # one publisher gives a paper one DOI
        if key in ("title", "sha"):
            if any(one[name] and other[name] and not one[name] & other[name] for name in ("pmid", "pmcid")):
                return True
            same_title = of["title"][a] and of["title"][a] == of["title"][b]
            return bool(key == "sha" and different and not same_title)
        return False

    for key in KEYS:
        index, values = (keys.sha_row, keys.sha) if key == "sha" else (np.arange(n), of[key])
        for group in _groups(index, values):
            heads: list[int] = []
            for i in group:
                mine = root(i)
                for head in heads:
                    theirs = root(head)
                    if theirs == mine:
                        break
                    if not apart(theirs, mine, key):
                        low, high = min(theirs, mine), max(theirs, mine)
                        for name, more in facts(high).items():
                            facts(low)[name] |= more
                        parent[high] = low
                        break
                else:
                    heads.append(i)
    while (parent != parent[parent]).any():
        parent = parent[parent]
    return parent


def _groups(index: Int64[np.ndarray, "k"], values: UInt64[np.ndarray, "k"]) -> Iterator[list[int]]:
    """Rows that share a value, in their order; a value of 0 is none."""
    order = np.argsort(values, kind="stable")
    order = order[values[order] != 0]
    edges = np.flatnonzero(np.diff(values[order])) + 1
    sizes = np.diff(np.concatenate([[0], edges, [len(order)]]))
    starts = np.concatenate([[0], edges])
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        yield index[order[start : start + size]].tolist()
