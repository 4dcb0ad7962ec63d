"""`plan`: how many pictures would be marked, what it costs, what can be shown with them and what cannot."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edubba.core import images
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.trace import laws, marking
from edubba.trace.owner import labelled
from edubba.trace.spec import Commit, Mark

KEYS = 2
"""of a plain commitment: one recipient's, and the reserve"""
FEW = 500
"""marked pictures below which nothing was detected in networks trained from scratch"""


@dataclass(frozen=True)
class Measured:
    """What networks trained from scratch on a marked copy gave, in one row of a table."""

    share: float
    marked: int
    suspects: int
    median: float
    worst: float
    """log10 p of the primary test with clean references that share no picture with the suspects"""
    median_twins: float
    worst_twins: float
    """the same with twins trained on the unmarked originals fitted out too"""


MEASURED = (
    Measured(0.05, 500, 9, median=-2.9, worst=-1.2, median_twins=-4.7, worst_twins=-3.7),
    Measured(0.1, 1000, 9, median=-4.8, worst=-3.2, median_twins=-8.0, worst_twins=-6.2),
    Measured(0.2, 2000, 9, median=-12.3, worst=-7.4, median_twins=-15.6, worst_twins=-11.7),
)
"""recipes/README.md, trace/cifar10: an owner's 10,000 CIFAR-10 pictures of ten classes, 42 dB"""


@dataclass(frozen=True)
class Plan:
    """What marking a share of a source would mean."""

    n: int
    """labelled pictures"""
    classes: int
    marked: int
    fewest: int
    """marked pictures of the rarest class"""
    held_out: int
    psnr: float
    """dB that every marked picture keeps"""
    rms: float
    """grey levels of 255 that this is, root mean square"""
    dimensions: int
    """of the cosine that is tested"""
    needed: float
    """cosine at which the verdict is positive at an error rate of 1 % for the two keys of a plain commitment"""
    measured: Measured
    """what the nearest share gave that was measured"""
    cautions: list[str]
    """what cannot be shown"""


def plan(
    source: Any,
    *,
    share: float = Mark.share,
    psnr: float = Mark.psnr,
    held_out: float = Commit.held_out,
    directions: int = Commit.directions,
) -> Plan:
    """What marking a share of the pictures would take and could show; nothing is written but the decoded pictures.

    Parameters
    ----------
    source
        Pictures with labels.
    share, psnr
        As `Mark` will have them: share of the pictures that is marked, and dB that each keeps at least.
    held_out, directions
        As `Commit` will have them: share of the pictures that is never marked, and shared directions of the carriers.

    Raises
    ------
    UserError
        The source has no labels, or a share or the directions are out of range.
    """
    if not 0 < share <= 1:
        raise UserError(f"--share {share:g}: a share above 0 and up to 1 is needed")
    if not 0 < held_out < 1:
        raise UserError(f"--held-out {held_out:g}: a share between 0 and 1 is needed")
    if directions < 2:
        raise UserError(f"--directions {directions}: at least 2 are needed")
    pictures = labelled(images.open(source))
    assert pictures.label is not None
    _, count = np.unique(pictures.label, return_counts=True)
    marked = np.round(share * count).astype(int)
    dimensions = len(count) * directions
    cautions = []
    if share > 1 - held_out:
        cautions.append(
            f"{held_out:.0%} of the pictures are held out and never marked, so a share of {share:.0%} cannot be reached"
        )
    if marked.min() < 1:
        cautions.append(f"a share of {share:.0%} marks no picture of the rarest class: raise --share")
    if len(pictures) * held_out < 10 * directions:
        cautions.append(
            f"the test asks about held-out pictures, and {10 * directions} are needed: use more pictures, or fewer"
            " --directions"
        )
    if marked.sum() < FEW:
        cautions.append(
            f"{counted(int(marked.sum()), 'marked picture is', 'marked pictures are')} fewer than ever sufficed for a network trained from scratch ({FEW:,} of"
            " 10,000): only a classifier on fixed features, or one compared with its clean twin, may show them"
        )
    if len(count) <= 10:
        cautions.append("ten classes and fewer are the hard case: each class is one more chance to show the key")
    cautions.append(
        "models that never learn these classes, or that see the pictures scaled down by half or more, keep little of the mark"
    )
    return Plan(
        len(pictures), len(count), int(marked.sum()), int(marked.min()), round(held_out * len(pictures)), psnr,
        round(marking.rms_of(psnr), 3), dimensions, _needed(np.log10(Commit.alpha / KEYS), dimensions),
        min(MEASURED, key=lambda row: abs(row.share - share)), cautions,
    )  # fmt: skip


def words(row: Measured) -> str:
    """A row of the table as a paragraph."""
    return (
        f"measured, nearest to your share: in CIFAR-10 with 10,000 pictures, ten classes and {100 * row.share:g} % marked"
        f" ({row.marked:,}), networks trained from scratch gave a log10 p of {row.median} in the median and {row.worst} at worst"
        f" with clean references, {row.median_twins} and {row.worst_twins} with twins trained on the originals too"
        f" ({row.suspects} suspects; they are named from {math.log10(Commit.alpha / KEYS):.1f} on). Fewer marked pictures give"
        " less, and other data differ."
    )


def _needed(log10_p: float, dimensions: int) -> float:
    """The cosine whose chance is so small, by halving."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if laws.cosine_log10_p(middle, dimensions) <= log10_p else (middle, high)
    return round(high, 4)
