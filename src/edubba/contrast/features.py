"""What an encoder says about pictures: features, nearest neighbours, and the labels these suggest."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.core import images, models, progress, views
from edubba.core.errors import UserError
from edubba.core.settings import Views


class Features(NamedTuple):
    """Row i of `h` belongs to `file[i]`."""

    h: Float32[np.ndarray, "n d"]
    file: np.ndarray


class Encoder(nn.Module):
    """A trained encoder in eval mode: pictures in [0, 1], (n, c, size, size), to features h, (n, dim)."""

    def __init__(self, bundle: models.Bundle) -> None:
        super().__init__()
        self.bundle = bundle
        self.network = bundle.model.eval()
        self.size: int = bundle.card["input"]["size"]
        self.channels: int = bundle.card["input"]["channels"]
        self.dim: int = bundle.card["output"]["embedding"]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.network(x)

    def prepare(self, x: np.ndarray, draws: views.Draws | None = None) -> Float[Tensor, "n c s s"]:
        """Cached pictures (n, S, S, c) uint8, grey or colour, as this encoder wants them, or views of them."""
        pixels = torch.from_numpy(np.array(x)).to(next(self.parameters()).device)
        out = views.evaluation(pixels, size=self.size) if draws is None else views.apply(pixels, draws, size=self.size)
        if out.shape[1] == self.channels:
            return out
        if self.channels == 3:
            return out.expand(-1, 3, -1, -1)
        luma = torch.tensor([0.2989, 0.587, 0.114], device=out.device)
        return torch.einsum("nchw,c->nhw", out, luma)[:, None]


def load_encoder(path: str | Path, *, allow_code: bool = False) -> Encoder:
    """The encoder of a run folder or a model bundle.

    Parameters
    ----------
    path
        `runs/a`, or a folder that holds `model.json`.
    allow_code
        Whether a network of the form `module:attribute` may be imported and run.

    Raises
    ------
    UserError
        Nothing is there, the run is unfinished, or the bundle is not an encoder.
    """
    path = Path(path)
    if (path / "spec.toml").exists():
        if not (path / "results.json").exists():
            raise UserError(f"{path} is unfinished: type its `edubba contrast pretrain` line once more, it goes on")
        path = path / "model"
    bundle = models.load(path, allow_code=allow_code)
    if bundle.card["kind"] != "encoder":
        raise UserError(f"{path} is a {bundle.card['kind']}, an encoder is needed")
    return Encoder(bundle)


def features(
    encoder: Encoder, pictures: images.Pictures, *, batch_size: int = 256, what: str = "looking at pictures",
    random_view: tuple[Views, int, int] | None = None,
) -> Float32[np.ndarray, "n d"]:  # fmt: skip
    """h of every picture, in fp32 and eval mode.

    Parameters
    ----------
    random_view
        (views, seed, number): features of one random view of each picture instead of the picture as it is.
    """
    out = np.empty((len(pictures), encoder.dim), np.float32)
    with torch.inference_mode(), progress.bar(what, len(pictures), unit="pictures") as show:
        for i in range(0, len(pictures), batch_size):
            draws = None
            if random_view is not None:
                spec, seed, number = random_view
                index = np.arange(i, min(i + batch_size, len(pictures)))
                draws = views.draw(
                    spec, index, seed=seed, epoch=number, view=0, size=encoder.size, shape_hw=pictures.shape_hw[index]
                )
            x = encoder.prepare(pictures.x[i : i + batch_size], draws)
            out[i : i + batch_size] = encoder(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
            show(min(i + batch_size, len(pictures)))
    return out


def embed(
    encoder: Encoder | str | Path, source: str | Path | np.ndarray | images.Pictures, *, batch_size: int = 256
) -> Features:
    """Features of every picture of a source, in the source's order.

    Parameters
    ----------
    encoder
        From `load_encoder`, or the path for it.
    source
        Folder, tar, npz, IDX file, array (n, h, w[, 3]) uint8, or `Pictures`.
    batch_size
        Pictures at a time; changes memory, not values.
    """
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(encoder)
    pictures = images.open(source, size=encoder.size)
    return Features(features(encoder, pictures, batch_size=batch_size), pictures.file)


def knn(
    query: Float[np.ndarray | Tensor, "q d"],
    bank: Float[np.ndarray | Tensor, "n d"],
    labels: np.ndarray | Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    classes: int | None = None,
) -> Float32[np.ndarray, "q classes"]:
    """Class probabilities by the k nearest of the bank, weighted by exp(cosine / temperature).

    Weighted kNN of Wu et al. 2018 (InstDisc).

    Parameters
    ----------
    query, bank
        Features; need not be normalised.
    labels
        (n,) integers 0..classes-1 of the bank.
    k
        Neighbours; at most n.
    temperature
        Small: the nearest decide; large: all k count the same.
    classes
        Number of classes when the bank may lack the last ones.

    >>> x = np.eye(3, dtype=np.float32)
    >>> knn(x[:1], x, np.array([0, 1, 1]), k=1).tolist()
    [[1.0, 0.0]]
    """
    q, b = (F.normalize(torch.as_tensor(x).detach().cpu().float(), dim=1) for x in (query, bank))
    y = torch.as_tensor(labels).cpu().long()
    classes = classes or int(y.max()) + 1
    rows = []
    for part in q.split(1024):
        nearest = (part @ b.T).topk(min(k, len(b)), dim=1)
        weight = ((nearest.values - 1) / temperature).exp()  # minus 1: the weights cannot overflow, shares stay
        votes = torch.zeros(len(part), classes).scatter_add_(1, y[nearest.indices], weight)
        rows.append(votes / votes.sum(1, keepdim=True))
    return torch.cat(rows).numpy()


def nearest(h: Float32[np.ndarray, "n d"], queries: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of h most alike to each query row (itself left out), and their cosines: (q, k) each."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True).clip(1e-12)
    cosine = unit[queries] @ unit.T
    cosine[np.arange(len(queries)), queries] = -np.inf
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosine, order, axis=1)


class Neighbour(NamedTuple):
    """A picture that looks alike."""

    file: str
    similarity: float
    label: str


def neighbours(
    encoder: Encoder | str | Path, photo: str | Path, source: str | Path | np.ndarray | images.Pictures, *, k: int = 10
) -> list[Neighbour]:
    """The k pictures of a source most like one photograph, by cosine of h; the photograph itself is left out.

    Parameters
    ----------
    photo
        Path of a picture, which need not belong to the source.
    """
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(encoder)
    if not Path(photo).is_file():
        raise UserError(f"{photo} is not there: give the path of a picture")
    pictures = images.open(source, size=encoder.size)
    one = images.open_one(photo, size=encoder.size)
    h = features(encoder, pictures)
    q = features(encoder, one)
    cosine = F.cosine_similarity(torch.from_numpy(h), torch.from_numpy(q)).numpy()
    cosine[pictures.hash == one.hash[0]] = -np.inf
    order = np.argsort(-cosine, kind="stable")[: min(k, int(np.isfinite(cosine).sum()))]
    label = pictures.label if pictures.label is not None else np.full(len(pictures), "")
    return [Neighbour(str(pictures.file[i]), float(cosine[i]), str(label[i])) for i in order]
