"""Drawings for a page: SVG whose colours are the page's own, so that they follow light and dark."""

from edubba.core.report.figures.charts import (
    COLOUR,
    SERIES,
    abstention,
    confused_pairs,
    confusion,
    curves,
    dots,
    lines,
    reliability,
    svg,
    three_figures,
)
from edubba.core.report.figures.pictures import CLASSES, MOST_MAPPED, embedding_map, neighbours

__all__ = [
    "CLASSES", "COLOUR", "MOST_MAPPED", "SERIES", "abstention", "confused_pairs", "confusion", "curves", "dots",
    "embedding_map", "lines", "neighbours", "reliability", "svg", "three_figures",
]  # fmt: skip
