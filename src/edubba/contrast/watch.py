"""How a pretraining is doing: kNN, alignment, uniformity, effective rank, and plain words when it collapses."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edubba.contrast.features import knn
from edubba.core import losses, streams, views
from edubba.core.images import Pictures
from edubba.core.settings import Views
from edubba.core.train import predict

QUERIES, BANK = 500, 2000  # enough for a standard error of 2 points, cheap enough to look often


class Watched(NamedTuple):
    """The pictures that are looked at while training."""

    query: Pictures
    labelled: np.ndarray
    """which of the queries have a label: kNN is asked of these"""
    bank: Pictures | None
    what: str


def choose(pictures: Pictures, train: np.ndarray, seed: int) -> Watched:
    """Validation pictures against train ones; without a validation split a sample of train against the rest."""
    order = train[streams.permutation(seed, "watch", n=len(train))]
    held = np.flatnonzero(pictures.split == "validation") if pictures.split is not None else np.arange(0)
    if len(held):
        query, rest, what = held[streams.permutation(seed, "watch query", n=len(held))][:QUERIES], order, "validation"
    else:
        cut = min(QUERIES, len(order) // 2)
        query, rest, what = order[:cut], order[cut:], "train"
    bank, labelled = None, np.zeros(len(query), bool)
    if pictures.label is not None:
        labelled = pictures.label[query] != ""
        rest = rest[pictures.label[rest] != ""]
        bank = pictures.take(rest[:BANK]) if len(rest) and labelled.any() else None
    return Watched(pictures.take(query), labelled, bank, what)


def measure(
    network: nn.Module, head: nn.Module, watched: Watched, *, size: int, views_spec: Views, seed: int, k: int = 20
) -> dict[str, float | None]:
    """Numbers of one look at a network: all on pictures without gradient, in eval mode."""
    n = len(watched.query)
    device = next(network.parameters()).device
    index = np.arange(n)

    def run(x: Tensor) -> Tensor:
        parts = [network(p.to(device).contiguous(memory_format=torch.channels_last)).float() for p in x.split(256)]
        return torch.cat(parts)

    def plain(pictures: Pictures) -> Tensor:
        return predict(network, pictures.x, size=size)

    numbers: dict[str, float | None] = {"knn": None}
    h = plain(watched.query)
    if watched.bank is not None and watched.bank.label is not None and watched.query.label is not None:
        asked = watched.labelled
        classes, y = np.unique(np.concatenate([watched.bank.label, watched.query.label[asked]]), return_inverse=True)
        cut = len(watched.bank)
        said = knn(h[torch.from_numpy(asked)], plain(watched.bank), y[:cut], k=k, classes=len(classes))
        numbers["knn"] = float((said.argmax(1) == y[cut:]).mean())
    if n < 2:
        return numbers | dict.fromkeys(("alignment", "uniformity", "effective_rank", "effective_rank_z", "cosine"))
    x = torch.from_numpy(np.array(watched.query.x))
    v1, v2 = views.pair(x, views_spec, index=index, seed=seed, epoch=-1, size=size, shape_hw=watched.query.shape_hw)
    z1, z2 = head(run(v1)), head(run(v2))
    numbers |= {
        "alignment": float(losses.alignment(z1, z2)),
        "uniformity": float(losses.uniformity(z1)),
        "effective_rank": float(losses.effective_rank(h)),
        "effective_rank_z": float(losses.effective_rank(z1)),
        "cosine": _mean_cosine(z1),
    }
    return numbers


def _mean_cosine(z: Tensor) -> float:
    unit = torch.nn.functional.normalize(z, dim=1)
    n = len(unit)
    return float((unit.sum(0).square().sum() - n) / (n * (n - 1)))


def warn(
    numbers: dict[str, float | None],
    *,
    width: int,
    watched: int,
    loss: float | None,
    n: int,
    objective: str,
    epoch: float,
    share: float,
) -> dict[str, str]:
    """Plain words when something is wrong, by what it is; thresholds are ours.

    Parameters
    ----------
    numbers
        From `measure`.
    width
        Of the projections.
    watched
        Pictures looked at: a rank cannot exceed their number.
    loss
        Mean of the last steps.
    n
        Pictures a batch.
    epoch, share
        How far the run is, in epochs and as a share.
    """
    said = {}
    rank, cosine = numbers["effective_rank_z"], numbers["cosine"]
    if cosine is not None and cosine > 0.95:
        said["collapse"] = (
            f"the representation has collapsed: two different pictures have projections of cosine {cosine:.2f} on average;"
            " lower --lr, raise --temperature, or use stronger views"
        )
    elif rank is not None and rank < 0.05 * min(width, watched):
        said["near collapse"] = (
            f"the representation has nearly collapsed: its projections use {rank:.1f} of {width} dimensions;"
            " lower --lr or use stronger views"
        )
    stuck = math.log(2 * n - 1) if objective == "nt_xent" else math.log(2 * n - 2)
    if loss is not None and epoch >= 5 and share >= 0.2 and loss > stuck - 0.02:
        said["stuck"] = (
            f"the loss is {loss:.3f} after {epoch:.0f} epochs, where a network that tells nothing apart stands"
            f" ({stuck:.3f}): lower --lr, or make the views weaker (--views.strength, --views.crop-min)"
        )
    return said
