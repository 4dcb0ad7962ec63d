"""Settings of the room: what the verbs take as flags, TOML keys and arguments. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Build:
    """How a library is made."""

    engine: Literal["tantivy", "sqlite"] = "tantivy"
    """what searches: `tantivy` with records in Parquet (extra `papers`), or `sqlite` with nothing but Python's own"""
    vectors: Literal["auto", "static", "minilm", "none"] = "auto"
    """by what papers are found besides words: `static` learns from the library itself in minutes; `minilm` adds a
    pretrained transformer (extra `minilm`), which encodes some 20 papers a second; `auto`: what the library has, or `static`"""
    segment: int = 20_000
    """records that are sealed at a time: what an interruption loses at most, in work"""
