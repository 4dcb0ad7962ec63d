"""edubba: a workbench for people who keep collections. Rooms load on first use."""

import importlib

__version__ = "0.1.0.dev0"
ROOMS = ("contrast", "trace", "quantum")


def __getattr__(name: str):
    if name in ROOMS:
        return importlib.import_module(f"edubba.{name}")
    raise AttributeError(f"module 'edubba' has no attribute {name!r}")
