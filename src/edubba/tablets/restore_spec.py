"""Settings of restoring. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from edubba.core.settings import Fit


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
    dropout: float = 0.1
    """share of the features that is left out in training"""
    share: float = 0.2
    """how many spans of 1 to 5 signs are masked: their lengths add up to this share of the text"""
    noise: float = 0.03
    """share of the other signs that training shows as broken"""
    places: int = 1000
    """gaps of one sign that figures are measured on, at most; half as many longer ones, a fifth of unknown length"""
    epochs: int = 30
    """passes over the texts"""
    batch_size: int = 16
    """windows of 96 signs in a step"""
    lr: float = 1.5e-3
    """peak learning rate"""
    weight_decay: float = 0.1
    """decoupled; never on biases and norms"""
    warmup_epochs: float = 1.0
    """epochs of linear warm-up before the cosine"""
    ema: float = 0.995
    """decay of a moving average of the weights, which is then what is evaluated and kept; 0 is off"""
    keep: Literal["last", "best"] = "best"
    """weights to keep: of the last step, or of the evaluation at which validation texts were likeliest"""
