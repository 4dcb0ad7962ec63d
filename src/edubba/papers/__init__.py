"""Text and data mining over a library of papers: search, quotations, tables, claims."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edubba.papers.building import build
    from edubba.papers.engines import Filters
    from edubba.papers.evaluation import evaluate
    from edubba.papers.searching import search
    from edubba.papers.spec import Build

__all__ = ["Build", "Filters", "build", "evaluate", "search"]

PLACES = {"Build": "spec", "Filters": "engines", "build": "building", "evaluate": "evaluation", "search": "searching"}


def __getattr__(name: str):
    if name in PLACES:
        return getattr(importlib.import_module(f"edubba.papers.{PLACES[name]}"), name)
    raise AttributeError(f"module 'edubba.papers' has no attribute {name!r}")
