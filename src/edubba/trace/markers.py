"""The directions that carry a mark: within-class directions that several networks share.

A direction that one network sees and another does not is not learned by a third. So the features of all markers, with
the class means taken out, go through a generalised canonical correlation analysis (MAXVAR, Kettenring 1971), and the
most shared directions become the coordinates in which carriers are drawn and suspects are tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor, nn

from edubba.core import colour, models, train
from edubba.core.errors import UserError
from edubba.core.images import Rows

FLOOR = 1e-2
"""of a network's mean within-class variance: directions far below it are noise that whitening would blow up"""


@dataclass(frozen=True)
class Coordinates:
    """From the features of each marker to the r shared coordinates."""

    mean: list[Float64[np.ndarray, "_"]]
    basis: list[Float64[np.ndarray, "_ r"]]
    sd: Float64[np.ndarray, "r"]
    """of the averaged coordinates within a class"""
    shared: Float64[np.ndarray, "r"]
    """from 1 / markers (a direction of one network alone) to 1 (the same in all)"""

    def of(self, features: Sequence[Float[np.ndarray, "n _"]]) -> Float64[np.ndarray, "n r"]:
        """Coordinates of pictures, averaged over the markers, in within-class standard deviations."""
        each = [(f - m) @ b for f, m, b in zip(features, self.mean, self.basis, strict=True)]
        return np.mean(each, axis=0) / self.sd

    def arrays(self) -> dict[str, np.ndarray]:
        """For an .npz; `from_arrays` reads it."""
        each = {f"mean_{i}": m for i, m in enumerate(self.mean)} | {f"basis_{i}": b for i, b in enumerate(self.basis)}
        return each | {"sd": self.sd, "shared": self.shared}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Coordinates":
        """What `arrays` gave."""
        n = sum(name.startswith("mean_") for name in arrays)
        mean, basis = ([arrays[f"{what}_{i}"] for i in range(n)] for what in ("mean", "basis"))
        return cls(mean, basis, arrays["sd"], arrays["shared"])


def within(x: Float[np.ndarray, "n d"], y: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n d"]:
    """Rows minus the mean of their class: what is left carries no class structure, and so no mark by accident."""
    x = np.asarray(x, dtype=np.float64)
    count = np.maximum(np.bincount(y), 1)
    total = np.zeros((len(count), x.shape[1]))
    np.add.at(total, y, x)
    return x - (total / count[:, None])[y]


def share(features: Sequence[Float[np.ndarray, "n _"]], y: Int64[np.ndarray, "n"], *, r: int) -> Coordinates:
    """The r within-class directions on which the networks agree most.

    Parameters
    ----------
    features
        (n, d) of each marker, of the same unmarked pictures.
    y
        Their classes, 0 to K - 1.

    Raises
    ------
    UserError
        Too few pictures for that many directions.
    """
    widths = [f.shape[1] for f in features]
    if len(y) < 10 * r or r > min(widths):
        raise UserError(
            f"{r} directions need at least {10 * r} held-out pictures and {r} features; there are {len(y)} and"
            f" {min(widths)}: use more pictures, or fewer --directions"
        )
    white, whiteners = [], []
    for f in features:
        centred = within(f, y)
        variance, axes = np.linalg.eigh(centred.T @ centred / len(y))
        whitener = axes / np.sqrt(np.maximum(variance, 0) + FLOOR * variance.mean())
        white.append(centred @ whitener)
        whiteners.append(whitener)
    _, singular, right = np.linalg.svd(np.concatenate(white, axis=1), full_matrices=False)
    basis, each = [], []
    ends = np.cumsum(widths)
    for w, whitener, end, width in zip(white, whiteners, ends, widths, strict=True):
        directions = right[:r, end - width : end].T
        moved = w @ directions
        scale = moved.std(0)
        basis.append(whitener @ directions / scale)
        each.append(moved / scale)
    sd = np.mean(each, axis=0).std(0)
    shared = singular[:r] ** 2 / len(y) / len(features)
    return Coordinates([f.mean(0, dtype=np.float64) for f in features], basis, sd, shared)


class Network(NamedTuple):
    """A network of the owner's: a marker, or a reference."""

    encoder: nn.Module
    """views in [0, 1], (n, channels, size, size), to features (n, d)"""
    linear: nn.Module | None
    """features to logits; None: a marker that names no classes"""
    classes: list[str]
    size: int
    channels: int


def load(path: str | Path) -> Network:
    """The network of a bundle: an encoder or a classifier.

    Raises
    ------
    UserError
        It is no bundle that can be loaded.
    """
    bundle = models.load(path)
    card, model = bundle.card, bundle.model.requires_grad_(False)
    encoder, linear = (model.encoder, model.linear) if isinstance(model, train.Classifier) else (model, None)
    return Network(encoder, linear, card["output"]["classes"] or [], card["input"]["size"], card["input"]["channels"])


def features(networks: Sequence[Network], x: UInt8[np.ndarray, "n s s c"] | Rows) -> list[Float[np.ndarray, "n _"]]:
    """Features of each network, (n, d) each."""
    return [train.predict(n.encoder, x, size=n.size, channels=n.channels).numpy() for n in networks]


class Readout(nn.Module):
    """Coordinates of views as a network's differentiable output: (n, c, s, s) in [0, 1] to (n, r), one network's part."""

    mean: Tensor
    basis: Tensor

    def __init__(self, network: Network, mean: np.ndarray, basis: np.ndarray, sd: np.ndarray) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.size = network.size
        self.channels = network.channels
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("basis", torch.from_numpy(basis / sd).float())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n r"]:
        if x.shape[1] != self.channels:
            x = x.expand(-1, 3, -1, -1) if self.channels == 3 else colour.luma(x.transpose(0, 1))[:, None]
        return (self.encoder(x) - self.mean) @ self.basis


def readouts(networks: Sequence[Network], c: Coordinates) -> list[Readout]:
    """Each marker's part of the coordinates; their mean is the coordinates."""
    parts = zip(networks, c.mean, c.basis, strict=True)
    return [Readout(n, mean, basis, c.sd).eval().requires_grad_(False) for n, mean, basis in parts]


@dataclass(frozen=True)
class Gate:
    """How far a mark moves a network that took no part in it."""

    shift: float
    """mean shift along the carrier, in within-class standard deviations"""
    cosine: float
    """mean over classes of the cosine between the class's mean shift and its carrier"""


class Witness:
    """A network that took no part in the marking: its features, mapped to the shared coordinates by ridge."""

    def __init__(
        self, features: Float[np.ndarray, "n d"], coordinates: Float64[np.ndarray, "n r"], y: Int64[np.ndarray, "n"]
    ) -> None:
        f = features - features.mean(0, dtype=np.float64)
        gram = f.T @ f / len(f)
        ridge = FLOOR * np.trace(gram) / len(gram) * np.eye(len(gram))
        self.map = np.linalg.solve(gram + ridge, f.T @ (coordinates - coordinates.mean(0)) / len(f))
        self.sd = within(f @ self.map, y).std(0)

    def gate(
        self,
        original: Float[np.ndarray, "n d"],
        marked: Float[np.ndarray, "n d"],
        y: Int64[np.ndarray, "n"],
        directions: Float64[np.ndarray, "k r"],
    ) -> Gate:
        """Shift and cosine of marked pictures against their originals; `directions` are the carriers' unit vectors."""
        moved = (marked.astype(np.float64) - original) @ self.map / self.sd
        along = float((moved * directions[y]).sum(1).mean())
        means = [(moved[y == k].mean(0), directions[k]) for k in np.unique(y)]
        return Gate(along, float(np.mean([m @ u / (np.linalg.norm(m) + 1e-12) for m, u in means])))
