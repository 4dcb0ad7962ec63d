"""`plan`: how many pictures would be marked, what it costs, what can be shown with them and what cannot."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edubba.core import images
from edubba.core.errors import UserError
from edubba.trace import laws, marking
from edubba.trace.owner import labelled
from edubba.trace.spec import Commit, Mark

FEW, RARE = 2000, 50
"""marked pictures, and those of a class, below which nothing was ever detected in networks trained from scratch"""


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
    cautions: list[str]
    """what cannot be shown"""


def plan(source: Any, *, share: float = 0.1) -> Plan:
    """What marking a share of the pictures would take and could show; nothing is written but the decoded pictures.

    Parameters
    ----------
    source
        Pictures with labels.
    share
        Of the pictures that is marked.

    Raises
    ------
    UserError
        The source has no labels, or the share is none.
    """
    if not 0 < share <= 1:
        raise UserError(f"--share {share:g}: a share above 0 and up to 1 is needed")
    pictures = labelled(images.open(source))
    assert pictures.label is not None
    _, count = np.unique(pictures.label, return_counts=True)
    marked = np.round(share * count).astype(int)
    commit, mark = Commit(), Mark(share=share)
    dimensions = len(count) * commit.directions
    cautions = []
    if share > 1 - commit.held_out:
        cautions.append(
            f"{commit.held_out:.0%} of the pictures are held out and never marked, so a share of {share:.0%} cannot be reached"
        )
    if marked.min() < 1:
        cautions.append(f"a share of {share:.0%} marks no picture of the rarest class: raise --share")
    if len(pictures) * commit.held_out < 10 * commit.directions:
        cautions.append(
            f"the test asks about held-out pictures, and {10 * commit.directions} are needed: use more pictures, or fewer"
            " --directions"
        )
    if marked.sum() < FEW:
        cautions.append(
            f"{marked.sum()} marked pictures are fewer than ever sufficed for a network trained from scratch ({FEW} of"
            " 10,000): only a classifier on fixed features, or one compared with its clean twin, may show them"
        )
    if len(count) <= 10:
        cautions.append("ten classes and fewer are the hard case: each class is one more chance to show the key")
    cautions.append(
        "models that never learn these classes, or that see the pictures scaled down by half or more, keep little of the mark"
    )
    return Plan(
        len(pictures), len(count), int(marked.sum()), int(marked.min()), round(commit.held_out * len(pictures)), mark.psnr,
        round(marking.rms_of(mark.psnr), 3), dimensions, _needed(np.log10(commit.alpha / 2), dimensions), cautions,
    )  # fmt: skip


def _needed(log10_p: float, dimensions: int) -> float:
    """The cosine whose chance is so small, by halving."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if laws.cosine_log10_p(middle, dimensions) <= log10_p else (middle, high)
    return round(high, 4)
