"""Signs in Unicode cuneiform, drawn from the font that ships: a reader's machine need not have one."""

import functools
from dataclasses import dataclass
from pathlib import Path

from edubba.tablets import signlist

FONT = Path(__file__).parents[2] / "data" / "NotoSansCuneiform-Regular.ttf"
UPPER, LOWER = 115, 40
"""how far outlines reach above and below the line, at 100 units to the em"""


@dataclass(frozen=True)
class Glyph:
    """A sign as the font draws it."""

    chars: str
    width: int
    path: str
    """SVG path in a box of `width` by `height`"""
    height: int = UPPER + LOWER

    @property
    def id(self) -> str:
        """Of its drawing on the page."""
        return "-".join(f"{ord(c):x}" for c in self.chars)


@functools.lru_cache(maxsize=4096)
def glyph(name: str) -> Glyph | None:
    """The outline of a sign; None where the list has no such sign or no code points, or the font cannot draw it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    parts = signlist.load().parts(name)
    chars = "".join(part.chars for part in parts)
    if not chars or not all(part.chars for part in parts) or not all(map(drawable, chars)):
        return None
    outline = TextPath((0, 0), chars, size=100, prop=FontProperties(fname=str(FONT)))
    drawn = outline.vertices[outline.codes != outline.CLOSEPOLY, 0]
    left, right = drawn.min(), drawn.max()
    words = []
    for points, code in outline.iter_segments(simplify=False, curves=True):
        if code == outline.CLOSEPOLY:
            words.append("z")
            continue
        place = [f"{x - left:.0f} {UPPER - y:.0f}" for x, y in points.reshape(-1, 2)]
        words.append({outline.MOVETO: "M", outline.LINETO: "L", outline.CURVE3: "Q"}[code] + " ".join(place))
    return Glyph(chars, max(1, round(right - left)), "".join(words))


def drawable(char: str) -> bool:
    """Whether the font has an outline for a character."""
    return ord(char) in _characters()


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(FONT)).get_charmap())
