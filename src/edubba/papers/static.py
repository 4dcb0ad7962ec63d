"""A static encoder: every word has a vector, and a paper is where its words lead. It learns from the library itself, without labels.

It begins as latent semantic analysis (Deerwester et al. 1990) and goes on in the manner of SimCLR: two views of a paper, its
title and half of the words of its abstract, or halves of the words of the abstract's two halves, are to lie nearer to each
other than to those of other papers (NT-Xent). Minutes on one core, and encoding is a sum.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from edubba.core import files, progress, streams

DIM = 256
SEEN = 3
"""papers that hold a word at least, for it to have a vector"""
WORDS = 60_000
"""words at most, the commonest"""
FEWEST = 500
"""papers with an abstract below which nothing is learned"""
LONG = 20
"""words from which on an abstract is taken for one"""
EPOCHS, STEPS = 15, 1_500
"""passes over the papers, and steps at most"""
BATCH, TEMPERATURE, LR = 512, 0.2, 0.01
DROPPED = 0.5
"""share of an abstract's words that a view leaves out"""
SPREAD = 10.0
"""length of the first vectors: what one step of the optimiser is small against"""

Paper = tuple[Sequence[str], Sequence[str]]
"""stems of the title, stems of the abstract"""


@dataclass(frozen=True)
class Static:
    """Words and their vectors."""

    number: dict[str, int]
    idf: Float32[np.ndarray, "words"]
    table: Float32[np.ndarray, "words d"]

    def encode(self, papers: Sequence[Paper]) -> Float32[np.ndarray, "n d"]:
        """Vectors of length 1; zeros where no word is known. The title counts twice. A query is a paper without a title."""
        bags = [_bag(self.number, self.idf, [*title, *title, *abstract]) for title, abstract in papers]
        return _unit(_matrix(bags, len(self.number)) @ self.table)


def fit(papers: Iterable[Paper], *, seed: int = 0) -> Static | None:
    """Learn from papers; None where fewer than `FEWEST` have an abstract."""
    from sklearn.utils.extmath import randomized_svd

    held = list(papers)
    learned = [(title, abstract) for title, abstract in held if len(abstract) > LONG and len(title) > 2]
    if len(learned) < FEWEST:
        return None
    often: Counter[str] = Counter()
    for title, abstract in held:
        often.update({*title, *abstract})
    kept = sorted(word for word, n in often.most_common(WORDS) if n >= SEEN)
    number = {word: i for i, word in enumerate(kept)}
    idf = np.array([math.log(1 + len(held) / often[word]) for word in kept], np.float32)
    whole = _matrix([_bag(number, idf, [*t, *t, *a]) for t, a in held], len(number))
    dim = min(DIM, len(kept) - 1)
    _, _, directions = randomized_svd(whole, dim, n_iter=3, random_state=seed)
    table = np.ascontiguousarray(directions.T, dtype=np.float32) * SPREAD
    return Static(number, idf, _contrast(table, number, idf, learned, seed))


def _contrast(
    table: np.ndarray, number: dict[str, int], idf: np.ndarray, learned: Sequence[Paper], seed: int
) -> Float32[np.ndarray, "words d"]:
    import torch
    from torch.nn import functional as F

    from edubba.core import losses

    titles = [_bag(number, idf, title) for title, _ in learned]
    whole = [_bag(number, idf, abstract) for _, abstract in learned]
    halves = [
        [_bag(number, idf, part) for part in (abstract[: len(abstract) // 2], abstract[len(abstract) // 2 :])]
        for _, abstract in learned
    ]
    batch = min(BATCH, len(learned) // 4)
    steps = min(STEPS, EPOCHS * (len(learned) // batch))
    vectors = torch.nn.Parameter(torch.from_numpy(table))
    optimiser = torch.optim.Adam([vectors], lr=LR, betas=(0.9, 0.99))

    def project(bags: list[_Bag], step: int, view: int, dropped: float) -> torch.Tensor:
        words, weights, first = _joined(bags)
        shown = streams.uniform(seed, "words shown", step, view, index=np.arange(len(words)), k=1)[:, 0] >= dropped
        weights = weights * shown
        return F.embedding_bag(
            torch.from_numpy(words), vectors, torch.from_numpy(first), mode="sum",
            per_sample_weights=torch.from_numpy(weights.astype(np.float32)),
        )  # fmt: skip

    with progress.bar("vectors of words", steps, unit="steps") as show:
        order, at = streams.permutation(seed, "papers", 0, n=len(learned)), 0
        for step in range(steps):
            if at + batch > len(order):
                order, at = streams.permutation(seed, "papers", step, n=len(learned)), 0
            rows = order[at : at + batch].tolist()
            at += batch
            if step % 2:
                views = [halves[i][0] for i in rows], [halves[i][1] for i in rows]
            else:
                views = [titles[i] for i in rows], [whole[i] for i in rows]
            z = [project(bags, step, view, DROPPED if step % 2 or view else 0.0) for view, bags in enumerate(views)]
            loss = losses.nt_xent(z[0], z[1], temperature=TEMPERATURE)
            optimiser.param_groups[0]["lr"] = LR * (1 - step / steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            show(step + 1)
    return vectors.detach().numpy()


_Bag = tuple[np.ndarray, np.ndarray]
"""numbers of words, and their weights (1 + log of how often, times idf), together of length 1"""


def _bag(number: dict[str, int], idf: np.ndarray, stems: Iterable[str]) -> _Bag:
    often = Counter(number[stem] for stem in stems if stem in number)
    words = np.fromiter(often, np.int64, len(often))
    weights = (1 + np.log(np.fromiter(often.values(), np.float32, len(often)))) * idf[words]
    return words, (weights / max(1e-6, float(np.linalg.norm(weights)))).astype(np.float32)


def _joined(bags: Sequence[_Bag]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    words, weights = (np.concatenate([bag[i] for bag in bags]) for i in (0, 1))
    return words, weights, np.concatenate([[0], np.cumsum([len(bag[0]) for bag in bags])[:-1]])


def _matrix(bags: Sequence[_Bag], width: int) -> Any:
    from scipy import sparse

    if not bags:
        return sparse.csr_matrix((0, width), dtype=np.float32)
    words, weights, first = _joined(bags)
    return sparse.csr_matrix((weights, words, np.append(first, len(words))), shape=(len(bags), width))


def _unit(x: np.ndarray) -> Float32[np.ndarray, "n d"]:
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def save(path: Path, encoder: Static) -> None:
    """Words, how rare they are, and their vectors as float16."""
    files.write_npz(path, {
        "words": np.array(list(encoder.number)), "idf": encoder.idf, "table": encoder.table.astype(np.float16),
    })  # fmt: skip


def load(path: Path) -> Static:
    """What `save` wrote."""
    with np.load(path) as arrays:
        words = arrays["words"].tolist()
        return Static({word: i for i, word in enumerate(words)}, arrays["idf"], arrays["table"].astype(np.float32))
