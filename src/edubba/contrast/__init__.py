"""Learn from pictures without labels (SimCLR), then see how far a few labels go."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edubba.contrast.features import Features, embed, knn, load_encoder, neighbours
    from edubba.contrast.pretraining import pretrain
    from edubba.contrast.probing import probe
    from edubba.contrast.spec import Pretrain, Probe
    from edubba.core.losses import dcl, nt_xent, nt_xent_floor
    from edubba.core.settings import Views

__all__ = [
    "Features", "Pretrain", "Probe", "Views", "dcl", "embed", "knn", "load_encoder", "neighbours", "nt_xent",
    "nt_xent_floor", "pretrain", "probe",
]  # fmt: skip

PLACES = {
    "pretrain": "edubba.contrast.pretraining", "probe": "edubba.contrast.probing", "Pretrain": "edubba.contrast.spec",
    "Probe": "edubba.contrast.spec", "Views": "edubba.core.settings", "nt_xent": "edubba.core.losses",
    "dcl": "edubba.core.losses", "nt_xent_floor": "edubba.core.losses", "Features": "edubba.contrast.features",
    "embed": "edubba.contrast.features", "knn": "edubba.contrast.features", "load_encoder": "edubba.contrast.features",
    "neighbours": "edubba.contrast.features",
}  # fmt: skip


def __getattr__(name: str):
    if name in PLACES:
        return getattr(importlib.import_module(PLACES[name]), name)
    raise AttributeError(f"module 'edubba.contrast' has no attribute {name!r}")
