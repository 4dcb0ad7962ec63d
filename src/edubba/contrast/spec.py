"""Settings of the room: what the verbs take as flags, TOML keys and arguments. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from edubba.core.settings import Fit, Views


@dataclass(frozen=True)
class Pretrain(Fit):
    """How an encoder is pretrained with SimCLR."""

    encoder: str = "small"
    """network: `small` is made for processors, `plain` has no shortcuts, `resnet18`, `resnet34`, `resnet50`, or your own as `module:attribute`"""
    stem: Literal["auto", "small", "imagenet"] = "auto"
    """first layers of a resnet: `small` keeps the resolution, `imagenet` quarters it; auto: small below 96 px"""
    width: int = 1
    """multiplies all channels"""
    head_layers: int = 2
    """layers of the projection head: 2 as in SimCLR, 3 as in SimCLR v2"""
    head_dim: int = 128
    """width of the projections z"""
    objective: Literal["nt_xent", "dcl"] = "nt_xent"
    """`nt_xent` is SimCLR's loss, `dcl` leaves the positive out of the denominator"""
    temperature: float = 0.2
    """divides the cosine similarities; 0.1 to 0.2 for short runs, 0.5 for CIFAR-10 at 1,000 epochs"""
    image_size: int = 0
    """side of the views, pixels; 0: the pictures' own when all are square and small, else at most 64"""
    limit: int = 0
    """use only so many pictures, drawn at random; 0: all"""
    views: Views = field(default_factory=Views)
    """how a random view of a picture is made"""


@dataclass(frozen=True)
class Probe:
    """How the worth of an encoder is measured."""

    full: bool = False
    """add fine-tuning, and label counts of 1 % and 10 %"""
    methods: tuple[Literal["knn", "linear", "finetune", "scratch", "pixels"], ...] = (
        "knn",
        "linear",
        "scratch",
        "pixels",
    )
    """`pixels`: logistic regression without any network; `scratch`: the same network, trained from labels alone"""
    labels_per_class: tuple[int, ...] = (5, 20)
    """few-label settings, each drawn `draws` times; all labels always come in"""
    fractions: tuple[float, ...] = ()
    """the same as shares of all labels"""
    draws: int = 5
    """draws of the few labels"""
    k: int = 20
    """neighbours of kNN"""
    seed: int = 0
    """of splits, draws and weights"""
    fit: Fit = field(
        default_factory=lambda: Fit(
            epochs=40, batch_size=128, lr=2e-3, warmup_epochs=2.0, weight_decay=0.05, keep="best"
        )
    )
    """how the twin from scratch and the fine-tuned network are trained. Not its seed: that of the probe counts; nor
    save_every: each network is kept when it is done"""
    fewest_steps: int = 1000
    """steps that the twin and the fine-tuned network get at least: fifty pictures need more epochs than five thousand"""
    views: Views | None = None
    """views for the twin, the fine-tuned network and the linear probe; left out: those of the pretraining"""


@dataclass(frozen=True)
class Probed(Probe):
    """What the folder of a probe records: its settings, and what they were applied to besides the source."""

    run: str | None = None
    """the encoder's run folder or bundle, as typed"""
    labels: str | None = None
    """path of the table; None: the source's own labels, or an array"""
    group: str | None = None
    """column of the table"""
