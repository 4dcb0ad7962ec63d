"""The page about one tablet: its photograph with boxes one can click, its transliteration, and why each sign is read so.

It is one file without scripts: a box is a link to its sign, and a sign that is the target of the address shows itself at
the foot of the window.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edubba import __version__
from edubba.core import report
from edubba.core.errors import UserError
from edubba.tablets.records import Tablet
from edubba.tablets.report import chapters
from edubba.tablets.report.chapters import sections
from edubba.tablets.report.pictures import overlay

__all__ = ["LIMIT", "build", "overlay", "sections"]

LIMIT = 2_950_000
"""most bytes of the page"""


def build(
    tablet: Tablet,
    photograph: UInt8[np.ndarray, "h w 3"],
    *,
    exemplars: Mapping[str, np.ndarray],
    facts: Mapping[str, str],
    warnings: Sequence[str],
    path: str | Path,
    beside: Mapping[str, str] | None = None,
) -> Path:
    """Write the page.

    Parameters
    ----------
    tablet
        What was read. `Sign.extra["ink"]`, where it is there, has rows of name and probability from the shape alone;
        the setting `threshold` of a step, where it is there, is the least probability at which a name is given.
    photograph
        Of the size that the boxes refer to.
    exemplars
        For each `Evidence.source` a thumbnail, uint8, grey or in colour, of any size.
    facts
        Short facts for the first part: which reader, how long it took.
    warnings
        Sentences that must be known before the rest is believed.
    path
        File to write.
    beside
        Files that lie beside the page: their names, and what each holds.

    Raises
    ------
    UserError
        The photograph has another size than the one that was read.
    """
    height, width = photograph.shape[:2]
    if tablet.photograph and (tablet.photograph.width, tablet.photograph.height) != (width, height):
        kept = f"{tablet.photograph.width} × {tablet.photograph.height}"
        raise UserError(
            f"{tablet.photograph.file} was read at {kept} pixels and this picture has {width} × {height}: its boxes do not"
            " fit; give the photograph that was read"
        )
    heading = f"{tablet.name or tablet.id}, read from a photograph"
    lead, footer = chapters.lead(tablet), f"edubba {__version__}. The page needs no network and no script."
    frame = len(report.page(heading, lead=lead, sections=[], footer=footer).encode())
    shown = sections(
        tablet, photograph, exemplars=exemplars, facts=facts, warnings=warnings, beside=beside, limit=LIMIT - frame
    )
    return report.write(path, report.page(heading, lead=lead, sections=shown, footer=footer))
