"""Read photographed clay tablets: signs, lines, transliteration, filled gaps, with evidence for each sign."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edubba.tablets.evaluation import evaluate
    from edubba.tablets.formats import convert
    from edubba.tablets.naming import train_namer
    from edubba.tablets.reading import read
    from edubba.tablets.restoring import restore, train_restorer
    from edubba.tablets.spec import Detecting, Naming, TrainReader, TrainRestorer
    from edubba.tablets.training import train_reader

__all__ = [
    "Detecting", "Naming", "TrainReader", "TrainRestorer", "convert", "evaluate", "read", "restore", "train_namer",
    "train_reader", "train_restorer",
]  # fmt: skip

PLACES = {
    "Detecting": "spec", "Naming": "spec", "TrainReader": "spec", "TrainRestorer": "spec", "convert": "formats",
    "evaluate": "evaluation", "read": "reading", "restore": "restoring", "train_namer": "naming",
    "train_reader": "training", "train_restorer": "restoring",
}  # fmt: skip


def __getattr__(name: str):
    if name in PLACES:
        return getattr(importlib.import_module(f"edubba.tablets.{PLACES[name]}"), name)
    raise AttributeError(f"module 'edubba.tablets' has no attribute {name!r}")
