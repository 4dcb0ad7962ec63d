"""Settings that every room shares: how views are made and how training runs. Imports no torch."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from edubba.core.errors import UserError


@dataclass(frozen=True)
class Views:
    """How a random view of a picture is made. A field left out takes the value of the preset."""

    preset: Literal["photos", "writing", "relief"] = "photos"
    """`photos`: SimCLR's crop, flip and colours; `writing`: strokes are turned, sheared and bent, the ground is levelled, nothing is mirrored; `relief`: signs pressed into clay or cut in stone, the light comes from elsewhere"""
    strength: float | None = None
    """of the colour jitter; 1 is SimCLR's on ImageNet, 0.5 its on CIFAR-10"""
    crop_min: float | None = None
    """smallest area of the random crop, as a share of the picture; 1 keeps the whole picture"""
    flip: float | None = None
    """probability of a left-right mirror image"""
    jitter: float | None = None
    """probability of the colour jitter (brightness, contrast, saturation, hue in random order)"""
    grey: float | None = None
    """probability of dropping the colours"""
    blur: float | None = None
    """probability of a Gaussian blur; left out it is 0.5, but 0 for photos below 64 px, as in SimCLR"""
    rotate: float | None = None
    """largest turn, degrees to either side"""
    scale: float | None = None
    """largest stretch of each axis by itself, as a share"""
    shear: float | None = None
    """largest shear, as a share of the side"""
    shift: float | None = None
    """largest shift along each axis, as a share of the side"""
    bend: float | None = None
    """largest displacement at the knots of a smooth 4 x 4 field, as a share of the side"""
    levels: float | None = None
    """largest grey that becomes black, and white less the smallest that becomes white: hides a scan's own background"""
    noise: float | None = None
    """largest standard deviation of added pixel noise, on the 0 to 1 scale"""
    erase: float | None = None
    """side of one erased box, as a share of the side; it takes the picture's mean colour"""
    light: float | None = None
    """largest change of the logarithm of the brightness, at the knots of a smooth 4 x 4 field: a lamp that stands elsewhere"""
    gamma: float | None = None
    """largest logarithm of the exponent of the brightness"""
    relief: float | None = None
    """largest share of the slope, along each axis, that is added: hollows lit from another side"""

    def resolve(self, size: int) -> "Views":
        """The same with every field filled in, for pictures of `size` pixels."""
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"views.{name} is {value}; it must be from {low} to {high}")
        preset = PRESETS[self.preset] | {"blur": 0.0 if size < 64 and self.preset == "photos" else 0.5}
        return replace(self, **{f.name: preset[f.name] for f in fields(self) if getattr(self, f.name) is None})


PRESETS = {
    "photos": {
        "strength": 0.5, "crop_min": 0.2, "flip": 0.5, "jitter": 0.8, "grey": 0.2,
        "rotate": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "bend": 0.0, "levels": 0.0,
        "noise": 0.0, "erase": 0.0, "light": 0.0, "gamma": 0.0, "relief": 0.0,
    },
    "writing": {
        "strength": 0.4, "crop_min": 1.0, "flip": 0.0, "jitter": 0.8, "grey": 0.0,
        "rotate": 20.0, "scale": 0.25, "shear": 0.3, "shift": 0.1, "bend": 0.06, "levels": 0.35,
        "noise": 0.12, "erase": 0.0, "light": 0.0, "gamma": 0.0, "relief": 0.0,
    },
    "relief": {
        "strength": 0.4, "crop_min": 1.0, "flip": 0.0, "jitter": 0.8, "grey": 0.0,
        "rotate": 11.0, "scale": 0.18, "shear": 0.15, "shift": 0.08, "bend": 0.03, "levels": 0.1,
        "noise": 0.08, "erase": 0.25, "light": 0.5, "gamma": 0.4, "relief": 1.0,
    },
}  # fmt: skip

# a hue turned by more than half the circle (strength 2.5) comes back from the other side
LIMITS = {
    "strength": (0, 2.5), "crop_min": (0.01, 1), "flip": (0, 1), "jitter": (0, 1), "grey": (0, 1), "blur": (0, 1),
    "rotate": (0, 180), "scale": (0, 0.9), "shear": (0, 2), "shift": (0, 1), "bend": (0, 1), "levels": (0, 0.45),
    "noise": (0, 1), "erase": (0, 1), "light": (0, 3), "gamma": (0, 3), "relief": (0, 5),
}  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """How a network is trained."""

    epochs: int = 100
    """passes over the pictures"""
    batch_size: int = 256
    """pictures a step, over all processes"""
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    """`adamw` forgives most; `sgd` with momentum 0.9; `lars` is the papers', for batches of 1,024 and more"""
    lr: float = 2e-3
    """peak learning rate before scaling"""
    lr_scaling: Literal["none", "sqrt", "linear"] = "none"
    """`linear`: times batch_size / 256; `sqrt`: times sqrt(batch_size), SimCLR's two rules"""
    weight_decay: float = 0.05
    """decoupled for adamw, added to the gradient for sgd and lars; never on biases and batch norm"""
    warmup_epochs: float = 1.0
    """epochs of linear warm-up before the cosine"""
    accumulate: int = 1
    """steps whose gradients are added up before the weights move"""
    ema: float = 0.0
    """decay of a moving average of the weights, which is then what is evaluated and kept; 0 is off"""
    keep: Literal["last", "best"] = "last"
    """weights to keep: of the last step, or of the best evaluation on validation"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the processor's flags or the GPU say that it is fast, recorded and kept on resume"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the GPU if there is one"""
    threads: int = 0
    """processor threads; 0: all cores"""
    seed: int = 0
    """of every random choice"""
    save_every: int = 0
    """steps between checkpoints; 0: a fiftieth of the run"""
    evaluate_every: int = 0
    """steps between evaluations; 0: a tenth of the run"""
