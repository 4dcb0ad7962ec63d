"""Which sign is it? Crops of signs to names with probabilities, examples that look alike, and the option to abstain."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Int, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.core import calibration, encoders, files, models, streams, train, views
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.runs import Run
from edubba.core.settings import Views
from edubba.tablets.records import Evidence
from edubba.tablets.spec import Naming

SHAPES = np.linspace(-1.2, 1.2, 8)
"""centres of the soft bins of log(width / height)"""
KNOWN = 0.6
"""share of the training in which a known period is shown"""
STORED = 72
"""side of a stored crop: somewhat more than the network sees, so that turned views stay sharp"""


def shapes(shape_hw: Int[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 8"]:
    """How long a sign is, in eight soft bins: a crop squashed to a square has lost it."""
    ratio = np.log(np.maximum(1, shape_hw[:, 1]) / np.maximum(1, shape_hw[:, 0]))
    width = SHAPES[1] - SHAPES[0]
    place = np.clip(ratio, SHAPES[0], SHAPES[-1])
    return np.maximum(0, 1 - np.abs(place[:, None] - SHAPES) / width).astype(np.float32)


def beside(shape_hw: Int[np.ndarray, "n 2"], period: np.ndarray, periods: Sequence[str]) -> Float32[np.ndarray, "n k"]:
    """What the network sees besides the crop: its shape, and which of `periods` it is from (all zero: unknown)."""
    known = np.asarray(period, dtype=str)[:, None] == np.asarray(periods, dtype=str)[None]
    return np.concatenate([shapes(shape_hw), known.reshape(len(shape_hw), len(periods)).astype(np.float32)], axis=1)


def crop(
    photograph: UInt8[np.ndarray, "h w c"], boxes: Float[np.ndarray, "n 4"], *, margin: float, side: int = STORED
) -> UInt8[np.ndarray, "n side side 1"]:
    """Boxes (left, top, right, bottom) with a margin, cut out in grey and squashed to squares.

    What lies beyond the photograph repeats its border.
    """
    grey = Image.fromarray(train.of_channels(photograph[None], 1)[0, ..., 0])
    out = np.empty((len(boxes), side, side, 1), np.uint8)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        dx, dy = margin * (x1 - x0), margin * (y1 - y0)
        left, top, right, bottom = x0 - dx, y0 - dy, x1 + dx, y1 + dy
        inside = (max(0.0, left), max(0.0, top), min(float(grey.width), right), min(float(grey.height), bottom))
        w, h = inside[2] - inside[0], inside[3] - inside[1]
        at = [
            round(side * (inside[0] - left) / (right - left)), round(side * (inside[1] - top) / (bottom - top)),
            side - round(side * (right - inside[2]) / (right - left)), side - round(side * (bottom - inside[3]) / (bottom - top)),
        ]  # fmt: skip
        size = max(1, at[2] - at[0]), max(1, at[3] - at[1])
        if w <= 0 or h <= 0:
            out[i] = 0
            continue
        part = np.asarray(grey.resize(size, Image.Resampling.BICUBIC, box=inside))
        pad = (max(0, at[1]), max(0, side - at[1] - size[1])), (max(0, at[0]), max(0, side - at[0] - size[0]))
        out[i, ..., 0] = np.pad(part, pad, mode="edge")[:side, :side]
    return out


def labels_of(crops: Pictures) -> list[str]:
    if crops.label is None:
        raise ValueError("these crops have no labels")
    return crops.label.tolist()


def firsts(crops: Pictures) -> Int[np.ndarray, "signs"]:
    """Of each sign the first crop: further ones of the same `file` show it in a box that is off."""
    return np.sort(np.unique(crops.file, return_index=True)[1])


def prior(labels: Int[np.ndarray, "n"], classes: int) -> Float32[np.ndarray, "classes"]:
    """Logarithm of each name's share of the training crops."""
    count = np.bincount(labels, minlength=classes).astype(np.float64)
    return np.log((count + 0.5) / (count + 0.5).sum()).astype(np.float32)


def start(spec: Naming, begin: str | Path | None = None) -> tuple[encoders.Encoder, dict[str, Any]]:
    """Where naming begins, and its architecture: `glyph` with first weights, or an encoder that has learned already.

    Parameters
    ----------
    begin
        Run folder or bundle of an encoder that learned without labels (`edubba contrast pretrain`), or of a namer, whose
        encoder is taken and whose names are not.

    Raises
    ------
    UserError
        Nothing of that kind is there.
    """
    if begin is None:
        architecture = {"name": "glyph", "arguments": {"channels": 1, "size": spec.size}}
        network = encoders.build("glyph", channels=1, size=spec.size, seed=spec.fit.seed)
        return encoders.Encoder(encoders.Normalise([0.5], [0.25]), network), architecture
    path = Path(begin)
    if (path / "spec.toml").exists():
        path = path / "model" / "signs" if (path / "model" / "signs").is_dir() else path / "model"
    bundle = models.load(path)
    encoder = bundle.model.encoder if isinstance(bundle.model, train.Classifier) else bundle.model
    if not isinstance(encoder, encoders.Encoder):
        raise UserError(f"{path} is a {bundle.card['kind']}: naming begins with an encoder or with another namer")
    return encoder.train(), bundle.card["architecture"]


def channels_of(encoder: nn.Module) -> int:
    assert isinstance(encoder, encoders.Encoder)
    return encoder.normalise.mean.numel()


def fit(
    crops: Pictures,
    names: Sequence[str],
    periods: Sequence[str],
    spec: Naming,
    *,
    encoder: encoders.Encoder | None = None,
    validation: Pictures | None = None,
    run: Run | None = None,
) -> train.Classifier:
    """Train a network that names crops.

    Logits are adjusted by the names' shares in training (Menon et al. 2021), so that what it gives is fair to rare
    names; `spec.tau` says how far.

    Parameters
    ----------
    crops
        With labels among `names`; `extra["period"]` where it is known. Of crops with the same `file` an epoch shows one.
    encoder
        From `start`; None: `glyph` with first weights.
    """
    place = {name: i for i, name in enumerate(names)}
    labels = np.array([place[name] for name in labels_of(crops)])
    first = firsts(crops)
    # the crops of each sign stand one after the other in `rows`, signs in the order of their first ones
    _, sign = np.unique(crops.file, return_inverse=True)
    number = np.empty(len(first), int)
    number[sign[first]] = np.arange(len(first))
    rows, count = np.argsort(number[sign], kind="stable"), np.bincount(number[sign], minlength=len(first))
    begin = np.cumsum(count) - count
    if encoder is None:
        encoder = start(spec)[0]
    share = torch.from_numpy(spec.tau * prior(labels[first], len(names)))
    known = crops.extra.get("period", np.full(len(crops), ""))
    stand = beside(crops.shape_hw, known, periods if spec.period else [])

    def shown(index: np.ndarray, epoch: int) -> np.ndarray:
        u = streams.uniform(spec.fit.seed, "crop shown", epoch, index=np.asarray(index), k=1)[:, 0]
        return rows[begin[index] + (u * count[index]).astype(int)]

    def side(index: np.ndarray, epoch: int) -> np.ndarray:
        beside_it = stand[shown(index, epoch)]
        known = streams.uniform(spec.fit.seed, "period shown", epoch, index=np.asarray(index), k=1)[:, 0] < KNOWN
        beside_it[:, len(SHAPES) :] *= known[:, None]
        return beside_it

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.float() + share.to(logits.device), target, label_smoothing=spec.smoothing)

    looked = None
    if validation is not None:
        kept = np.flatnonzero(np.isin(labels_of(validation), list(names)))
        seen = validation.take(kept)
        target = np.array([place[name] for name in labels_of(seen)])
        looked = seen.x, target, beside(seen.shape_hw, seen.extra["period"], periods if spec.period else [])
    return train.fit_classifier(
        encoder, crops.x, labels[first], spec=spec.fit, size=spec.size, small=spec.small, classes=len(names), validation=looked,
        side=side, shown=shown, views=spec.views, shape_hw=crops.shape_hw, channels=channels_of(encoder), loss=loss, run=run,
        what="naming signs",
    )  # fmt: skip


VIEWS = Views("relief", strength=0.0, jitter=0.0, blur=0.0, rotate=5.0, scale=0.08, shear=0.05, shift=0.04, bend=0.0,
              levels=0.0, noise=0.0, erase=0.0, light=0.0, gamma=0.0, relief=0.0)  # fmt: skip
"""small changes under which a sign stays the same: a crop is looked at as it is, and eight times so"""
LOOKS = 9
COLDEST = 0.2
"""least temperature: where every validation crop is right, none would be low enough"""
THUMBNAIL = 48
MOST_EXAMPLES = 30
"""examples of a name that are kept as evidence"""


class Bank(NamedTuple):
    """Labelled examples that a reading can be compared with."""

    h: Float16[np.ndarray, "n d"]
    """features, of length 1"""
    name: np.ndarray
    source: np.ndarray
    """where each comes from"""
    thumbnail: UInt8[np.ndarray, "n t t"]


@dataclass(frozen=True)
class Namer:
    """Networks that name signs together, and what was found on validation about how far to believe them."""

    networks: tuple[train.Classifier, ...]
    names: tuple[str, ...]
    periods: tuple[str, ...]
    size: int
    margin: float
    architecture: dict[str, Any]
    """of the encoder"""
    prior: Float32[np.ndarray, "classes"]
    """logarithm of the names' shares, times the strength that was best on validation"""
    temperature: float
    threshold: float
    """least probability at which a name is given"""
    bank: Bank | None = None


class Looked(NamedTuple):
    logits: Float32[np.ndarray, "n classes"]
    h: Float32[np.ndarray, "n d"]
    """features of the crop as it is, of length 1"""


@torch.no_grad()
def look(
    networks: Sequence[train.Classifier],
    crops: Pictures,
    periods: Sequence[str],
    *,
    size: int,
    looks: int = LOOKS,
    batch_size: int = 128,
) -> Looked:
    """Logits averaged over networks and small changes of each crop, and the first network's features.

    Several networks share the looks among them, so that they take the time of one; each looks once at least.
    """
    for network in networks:
        network.eval()
    each = max(1, looks // len(networks))
    known = crops.extra.get("period", np.full(len(crops), ""))
    stand = torch.from_numpy(beside(crops.shape_hw, known, periods))
    logits, features = [], []
    for i in range(0, len(crops), batch_size):
        pixels = torch.from_numpy(
            train.of_channels(np.array(crops.x[i : i + batch_size]), channels_of(networks[0].encoder))
        )
        side, n = stand[i : i + batch_size], len(pixels)
        total = torch.zeros(n, networks[0].linear.out_features)
        for k, number in itertools.product(range(len(networks)), range(each)):
            if number == 0:
                x = views.evaluation(pixels, size=size)
            else:
                # the same change for every crop: what one is called does not depend on its neighbours
                view = k * (each - 1) + number
                drawn = views.draw(
                    VIEWS, np.zeros(n, int), seed=0, epoch=0, view=view, size=size, shape_hw=np.ones((n, 2), int)
                )
                x = views.apply(pixels, drawn, size=size)
            h = networks[k].features(x.contiguous(memory_format=torch.channels_last), side)
            total += networks[k].linear(h)
            if k == number == 0:
                features.append(F.normalize(h, dim=1))
        logits.append(total / (each * len(networks)))
    if not logits:
        head = networks[0].linear
        return Looked(np.zeros((0, head.out_features), np.float32), np.zeros((0, head.in_features), np.float32))
    return Looked(torch.cat(logits).numpy(), torch.cat(features).numpy())


def calibrate(
    logits: Float32[np.ndarray, "n classes"], labels: Int[np.ndarray, "n"], log_share: Float32[np.ndarray, "classes"],
    *, precision: float = 0.95,
) -> tuple[float, float, float, list[tuple[float, float]]]:  # fmt: skip
    """On validation: strength of the names' shares, temperature, least probability, and every strength with its score.

    The strength is chosen by the mean of top-1 and of top-1 averaged over names: either alone buys itself with the other.
    The threshold is the least at which the names given are right in `precision` of the cases, above 1 where none is. A
    label of -1 is a name that was never learned: whatever is said of it is wrong.
    """
    unknown, everything = labels < 0, logits
    logits, labels = logits[~unknown], labels[~unknown]
    tried = []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        right = (logits + strength * log_share).argmax(axis=1) == labels
        each = [right[labels == name].mean() for name in np.unique(labels)]
        tried.append((strength, float((right.mean() + np.mean(each)) / 2)))
    strength = max(tried, key=lambda pair: pair[1])[0]
    adjusted = logits + strength * log_share
    temperature = max(COLDEST, calibration.temperature(adjusted, labels))
    p = softmax((everything + strength * log_share) / temperature)
    true = (p.argmax(axis=1) + 1) % p.shape[1]
    true[~unknown] = labels
    answered = calibration.abstention(p, true)
    good = np.flatnonzero(answered.accuracy >= precision)
    threshold = float(answered.confidence[good[-1]]) if len(good) else float(np.nextafter(1, 2))
    return strength, temperature, threshold, tried


def softmax(x: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, "n classes"]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def probabilities(namer: Namer, logits: Float32[np.ndarray, "n classes"]) -> Float32[np.ndarray, "n classes"]:
    """Calibrated probabilities of the names."""
    return softmax((logits + namer.prior) / np.float32(namer.temperature)).astype(np.float32)


def name(namer: Namer, crops: Pictures) -> tuple[Float32[np.ndarray, "n classes"], Float32[np.ndarray, "n d"]]:
    """Calibrated probabilities of the names of every crop, and its features."""
    seen = look(namer.networks, crops, namer.periods, size=namer.size)
    return probabilities(namer, seen.logits), seen.h


def examples(crops: Pictures, h: Float32[np.ndarray, "n d"], *, most: int = MOST_EXAMPLES) -> Bank:
    """What to keep as evidence: at most so many examples of a name, spread over tablets as evenly as their order is."""
    kept: list[int] = []
    labels = np.array(labels_of(crops))
    for name in np.unique(labels):
        mine = np.flatnonzero(labels == name)
        kept += mine[np.unique(np.linspace(0, len(mine) - 1, most).astype(int))].tolist()
    index = np.array(kept, int)
    small = [
        np.asarray(Image.fromarray(x[..., 0]).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
        for x in np.asarray(crops.x[index])
    ]
    return Bank(h[index].astype(np.float16), labels[index].astype(str), crops.file[index].astype(str), np.stack(small))


def alike(bank: Bank, h: Float32[np.ndarray, "d"], name: str, *, k: int = 5) -> list[Evidence]:
    """The examples of a name that look most like a sign with the features `h`."""
    mine = np.flatnonzero(bank.name == name)
    similarity = bank.h[mine].astype(np.float32) @ h
    best = np.argsort(-similarity, kind="stable")[:k]
    return [Evidence(name, str(bank.source[mine[i]]), round(float(similarity[i]), 4)) for i in best]


def save(path: Path, namer: Namer, *, data: dict[str, Any], calibrated: dict[str, Any]) -> None:
    """A classifier bundle, further networks as further bundles (`signs`, `signs-1`, ...), and the examples beside them."""
    first = namer.networks[0]
    encoder = first.encoder
    card = models.card(
        kind="classifier",
        architecture=namer.architecture,
        input={
            "kind": "image", "channels": channels_of(encoder), "size": namer.size, "range": [0, 1],
            "mean": encoder.normalise.mean.flatten().tolist(), "std": encoder.normalise.std.flatten().tolist(),  # ty: ignore
            "side": len(SHAPES) + len(namer.periods), "periods": list(namer.periods), "margin": namer.margin,
        },
        output={"embedding": first.linear.in_features, "classes": list(namer.names)},
        calibration=calibrated | {
            "networks": len(namer.networks), "temperature": namer.temperature, "threshold": namer.threshold, "log_prior": [float(x) for x in namer.prior],
        },
        data=data,
        licence="of the pictures that it was trained on",
    )  # fmt: skip
    for k, network in reversed([*enumerate(namer.networks)]):  # the first last: where it stands, all do
        models.save(_bundle(path, k), network, card)
    if namer.bank is not None:
        files.write_npz(path.with_name(f"{path.name}_examples.npz"), namer.bank._asdict())


def _bundle(path: Path, k: int) -> Path:
    return path.with_name(f"{path.name}-{k}") if k else path


def load(path: Path) -> Namer:
    """What `save` wrote."""
    card = models.load(path).card
    networks = []
    for k in range(card["calibration"].get("networks", 1)):
        network = models.load(_bundle(path, k)).model
        assert isinstance(network, train.Classifier)
        networks.append(network)
    beside_it = path.with_name(f"{path.name}_examples.npz")
    bank = None
    if beside_it.exists():
        with np.load(beside_it) as arrays:
            bank = Bank(*(arrays[field] for field in Bank._fields))
    found, seen = card["calibration"], card["input"]
    return Namer(
        tuple(networks), tuple(card["output"]["classes"]), tuple(seen["periods"]), seen["size"], seen["margin"], card["architecture"],
        np.array(found["log_prior"], np.float32), found["temperature"], found["threshold"], bank,
    )  # fmt: skip
