"""Settings of the room: what the verbs take as flags, TOML keys and arguments. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from edubba.core.settings import Fit, Views


@dataclass(frozen=True)
class Network:
    """How the owner's own networks are trained on the unmarked pictures: markers and references."""

    encoders: tuple[str, ...] = ("plain", "small")
    """taken in turn: `plain`, `small`, `resnet18` ..., or module:attribute; unlike ones see more that others see too"""
    image_size: int = 0
    """side of the views in pixels; 0: as the pictures are, at most 64"""
    views: Views = field(
        default_factory=lambda: Views(crop_min=1.0, flip=0.5, jitter=0.0, grey=0.0, blur=0.0, shift=0.125)
    )
    """crops and flips of the training"""
    fit: Fit = field(default_factory=lambda: Fit(epochs=12, batch_size=128, lr=4e-3, weight_decay=0.05))
    """how they are trained"""


@dataclass(frozen=True)
class Commit:
    """Settings of `commit`: everything that must stand before a key marks anything."""

    recipients: tuple[str, ...] = ("public",)
    """one sub-key each; another one is kept back for a later dispute"""
    markers: tuple[str, ...] = ()
    """bundles of networks to mark with; left out: four are trained on the unmarked pictures"""
    references: tuple[str, ...] = ()
    """bundles of classifiers that never saw a mark, to be fitted out of a suspect; left out: six are trained"""
    held_out: float = 0.2
    """share of the pictures that is never marked: the test asks a suspect about these"""
    directions: int = 16
    """shared directions of the marker networks that carry the mark"""
    probes: int = 50
    """held-out pictures that are pushed both ways along each direction, for suspects that only answer questions"""
    primary: Literal["both", "rows", "probes"] = "both"
    """what the verdict rests on: `rows` from answers on held-out pictures, `probes` from pushed ones, or both"""
    alpha: float = 0.01
    """error rate of the verdict"""
    network: Network = field(default_factory=Network)
    """how networks are trained where none are given"""
    seed: int = 0
    """of splits and networks; never of the key"""


@dataclass(frozen=True)
class Mark:
    """Settings of `mark`."""

    recipient: str = "public"
    """whose copy is made"""
    share: float = 0.1
    """share of the pictures that is marked"""
    which: Literal["hardest", "random"] = "hardest"
    """`hardest`: those that clean networks get wrong, from which most is learned; `random`: any"""
    psnr: float = 42.0
    """dB that every marked picture keeps at least, measured on the saved file"""
    max_delta: float = 10.0
    """grey levels of 255 that no pixel moves beyond"""
    steps: int = 12
    """gradient steps a picture"""
    batch_size: int = 128
    """pictures at a time; changes memory, not the marks"""
    seed: int = 0
    """of the crops in the loop; never of the key"""
    threads: int = 0
    """processor threads; 0: all cores"""


@dataclass(frozen=True)
class Test:
    """Settings of `test`."""

    recipient: str = "public"
    """whose copy the suspect is tested for"""
    references: tuple[str, ...] = ()
    """further clean networks, such as twins trained on the unmarked originals; a second verdict is given with them"""
    decoys: int = 999
    """keys from a public seed that are compared with the owner's"""
    labels_only: bool = False
    """use only which class the suspect names first"""
    seed: int = 0
    """of the bootstrap"""
