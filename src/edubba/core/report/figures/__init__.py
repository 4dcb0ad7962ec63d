"""Drawings for a page: SVG whose colours are the page's own, so that they follow light and dark."""

from edubba.core.report.figures.charts import (
    COLOUR,
    SERIES,
    abstention,
    confused_pairs,
    confusion,
    curves,
    dots,
    histogram,
    lines,
    reliability,
    steps,
    svg,
    three_figures,
)
from edubba.core.report.figures.pictures import CLASSES, MOST_MAPPED, embedding_map, neighbours, versions

__all__ = [
    "CLASSES", "COLOUR", "MOST_MAPPED", "SERIES", "abstention", "confused_pairs", "confusion", "curves", "dots",
    "embedding_map", "histogram", "lines", "neighbours", "reliability", "steps", "svg", "three_figures", "versions",
]  # fmt: skip
