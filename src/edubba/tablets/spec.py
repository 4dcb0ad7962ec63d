"""Settings of the room: what the verbs take as flags, TOML keys and arguments. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from edubba.core.settings import Fit, Views


@dataclass(frozen=True)
class Naming:
    """How the network that names signs is trained."""

    size: int = 64
    """side of the crops that the network sees, pixels"""
    small: int = 48
    """their side in the first half of the training, which then costs less; 0: `size` throughout"""
    margin: float = 0.12
    """what is added around a box, as a share of its sides: neighbours tell where a sign ends"""
    jitter: float = 0.13
    """signs on photographs are also shown with boxes that are off, as found ones are: standard deviation of their sides as a share of the width, two thirds of it in height"""
    tau: float = 1.0
    """strength of the logit adjustment: how far rare names are helped against common ones; 0 is none"""
    smoothing: float = 0.1
    """share of the target that is spread over all names"""
    period: bool = True
    """let the network see the period, where it is known; it is left out at random in training, so that it can be unknown"""
    networks: int = 1
    """how many are trained, from the seeds `fit.seed` and on; what they say is averaged, in the time that one takes to answer"""
    fit: Fit = field(
        default_factory=lambda: Fit(
            epochs=120, batch_size=128, lr=2e-3, weight_decay=0.05, warmup_epochs=2.0, ema=0.999
        )
    )
    """how it is trained"""
    views: Views = field(default_factory=lambda: Views("relief"))
    """random views of a crop"""


@dataclass(frozen=True)
class Detecting:
    """How the network that finds signs is trained."""

    steps: int = 2400
    """batches of crops"""
    crop: int = 384
    """side of a crop, pixels"""
    rotate: float = 8.0
    """largest turn, degrees to either side"""
    scale: float = 0.3
    """largest stretch, as a share"""
    fit: Fit = field(
        default_factory=lambda: Fit(epochs=1, batch_size=16, lr=2e-3, weight_decay=0.05, warmup_epochs=0.03, ema=0.998)
    )
    """how it is trained; `epochs` has no part in it: `steps` says how long"""


@dataclass(frozen=True)
class TrainReader:
    """How reading photographs is learned."""

    validation: float = 0.1
    """share of the boxes whose tablets are held out to choose thresholds, where the annotation names no validation split; of several networks for naming each holds out others"""
    seed: int = 0
    """of the choice of those tablets"""
    detecting: Detecting = field(default_factory=Detecting)
    """finding signs"""
    naming: Naming = field(default_factory=Naming)
    """naming signs"""


@dataclass(frozen=True)
class TrainedReader(TrainReader):
    """What the folder of a reader records: its settings, and what else it was learned from."""

    crops: str | None = None
    """labelled crops besides"""
    encoder: str | None = None
    """where naming began"""


@dataclass(frozen=True)
class TrainedNamer(Naming):
    """What the folder of a namer records."""

    encoder: str | None = None
    """where naming began"""


@dataclass(frozen=True, kw_only=True)
class TrainRestorer(Fit):
    """How filling gaps is learned from texts."""

    tokens: Literal["signs", "readings"] = "signs"
    """what ATF is learned as: `signs` can be joined to what a photograph shows, `readings` are what editors write; sign tables always hold signs"""
    names: str | None = None
    """COCO file whose categories say what MZL numbers are called, so that names are those of a detector; None: the sign list"""
    order: int = 4
    """signs in the n-gram's windows"""
    width: int = 256
    """features of the masked model"""
    layers: int = 3
    """layers of the masked model in each direction"""
    dropout: float = 0.25
    """share of the features that is left out in training"""
    share: float = 0.2
    """how many spans of 1 to 5 signs are masked: their lengths add up to this share of the text"""
    noise: float = 0.1
    """share of the other signs that training shows as broken"""
    places: int = 1000
    """gaps of one sign that figures are measured on, at most; three tenths as many longer ones, an eighth of unknown length"""
    epochs: int = 20
    """passes over the texts"""
    batch_size: int = 16
    """windows of 96 signs in a step"""
    lr: float = 1.5e-3
    """peak learning rate"""
    weight_decay: float = 0.1
    """decoupled; never on biases and norms"""
    warmup_epochs: float = 1.0
    """epochs of linear warm-up before the cosine"""
    ema: float = 0.998
    """decay of a moving average of the weights, which is then what is evaluated and kept; 0 is off"""
    keep: Literal["last", "best"] = "best"
    """weights to keep: of the last step, or of the evaluation at which masked signs of validation texts ranked best"""
