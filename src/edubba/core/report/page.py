"""The page and its blocks: every block is a function that takes plain data and returns safe HTML.

All text is user data (labels, file names, commands): it goes through Jinja2 with autoescape on.
"""

import base64
import functools
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup, escape

from edubba.core import files

PALETTE = {
    "paper": ("#fcfaf5", "#181512"),
    "panel": ("#f3eee4", "#221e1a"),
    "ink": ("#27211b", "#ece5d9"),
    "muted": ("#675d52", "#aaa092"),
    "rule": ("#ddd4c5", "#3d362f"),
    "clay": ("#a2452a", "#ea936c"),
    "lapis": ("#1f5099", "#7c9cf0"),
    "ochre": ("#bd811d", "#f3cd75"),
    "teal": ("#159c94", "#74ddd0"),
    "plum": ("#4d1d58", "#9461aa"),
    "rose": ("#c4557c", "#f190b0"),
    "sky": ("#3f8fbd", "#74c7f0"),
    "olive": ("#77842a", "#b9c55c"),
    "umber": ("#7a5236", "#c99c78"),
    "slate": ("#5d6b7a", "#a0b1c1"),
}
"""Each colour's name (a CSS variable in the page), on light and on dark paper."""

Number = float | int | np.floating | np.integer

FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w.-]{0,28}")
"""a flag of a command; what is longer may have to be broken"""

PICTURES_BYTES = 600_000
"""most bytes of one sheet of pictures: four of them and the figures stay under the 3 MB of a report"""


@dataclass(frozen=True)
class Section:
    """A headed part of a page: its blocks in reading order, after an optional sentence set larger."""

    title: str
    blocks: Sequence[Markup]
    lead: str = ""


@dataclass(frozen=True)
class Finding:
    """A number of the first screen, drawn on its scale with its interval."""

    name: str
    value: Number
    low: Number | None
    high: Number | None
    unit: str = "%"
    note: str = ""
    scale: tuple[Number, Number] = (0.0, 100.0)
    chance: Number | None = None
    """where guessing would land, in the same unit"""
    digits: int = 1


@functools.cache
def environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("edubba.core.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def blocks() -> Any:
    """The macros of blocks.html.jinja as functions."""
    return environment().get_template("blocks.html.jinja").module


def page(title: str, *, lead: str, sections: Sequence[Section], footer: str) -> str:
    """A whole HTML page without any outside part: light and dark, for phones, screens and paper.

    Parameters
    ----------
    title
        Heading and window title.
    lead
        The first paragraphs: what was found, in plain words (as in `prose`).
    sections
        The parts; with more than two a list of contents stands before them.
    footer
        Last lines (as in `prose`): version, date.
    """
    ids = [f"part-{i}" for i in range(1, len(sections) + 1)]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            lead=prose(lead),
            sections=list(zip(ids, sections, strict=True)),
            footer=prose(footer),
            palette=PALETTE,
            paragraphs=prose,
        )
    )


def prose(text: str) -> Markup:
    """Paragraphs, parted by empty lines; what stands in backticks is set as code.

    >>> prose("see `a<b>`")
    Markup('<p>see <code>a&lt;b&gt;</code></p>')
    """
    paragraphs = (re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(p.strip()))) for p in re.split(r"\n\s*\n", text))
    return Markup("\n").join(Markup(f"<p>{unbroken(p)}</p>") for p in paragraphs if p)


def code(text: str) -> Markup:
    """Lines to be typed or copied, as they are."""
    return blocks().code(Markup(unbroken(str(escape(text)))))


def unbroken(html: str) -> str:
    """Keeps flags in one piece: lines break at hyphens, and `--held-` does not look like the start of a word."""
    return FLAG.sub(r'<span class="flag">\g<0></span>', html)


def warning(text: str) -> Markup:
    """Something the reader must know before believing the rest."""
    return blocks().warning(prose(text))


def facts(rows: Mapping[str, object]) -> Markup:
    """Short facts with their names: what it cost, on which machine."""
    return blocks().facts(rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> Markup:
    """A table; the first column names the row, columns of numbers are set flush right. None is an empty cell."""
    numeric = [i > 0 and all(is_number(row[i]) for row in rows) for i in range(len(columns))]
    return blocks().table(columns, rows, caption, numeric)


def is_number(cell: object) -> bool:
    return cell is None or isinstance(cell, int | float) or bool(re.match(r"[-+−±]?\d", str(cell)))


def headline(findings: Sequence[Finding]) -> Markup:
    """The few numbers a reader takes home, each with its interval drawn on its scale."""
    return blocks().headline([(f, *positions(f)) for f in findings], amount)


def positions(finding: Finding) -> tuple[float, float, float, float | None]:
    """Where value, low, high and chance lie on the scale, in percent of its length."""
    start, end = finding.scale

    def position(x: Number) -> float:
        return round(float(min(max(100 * (x - start) / (end - start), 0.0), 100.0)), 2)

    low = finding.value if finding.low is None else finding.low
    high = finding.value if finding.high is None else finding.high
    chance = None if finding.chance is None else position(finding.chance)
    return position(finding.value), position(low), position(high), chance


def amount(
    value: Number, low: Number | None = None, high: Number | None = None, *, unit: str = "", digits: int = 1
) -> str:
    """A number with its unit and, where there is one, its interval.

    >>> amount(81.24, 80.38, 81.9, unit="%").replace("\\u202f", " ")
    '81.2 % [80.4, 81.9]'
    >>> amount(-0.04)  # no minus before zero
    '0.0'
    """

    def text(x: Number) -> str:
        rounded = f"{x:,.{digits}f}"
        return (rounded[1:] if not float(rounded.replace(",", "")) else rounded).replace("-", "−") if x < 0 else rounded

    interval = "" if low is None or high is None else f" [{text(low)}, {text(high)}]"
    return text(value) + (f"\u202f{unit}" if unit else "") + interval


def figure(drawing: Markup, *, caption: str, alt: str, wide: bool = False) -> Markup:
    """A drawing with its caption.

    Parameters
    ----------
    drawing
        What a function of `figures` returned; `figures.svg` makes one of your own matplotlib `Figure`.
    caption
        Says how to read it and the unit of what is drawn.
    alt
        What the drawing shows, in words, for those who cannot see it.
    wide
        May be wider than the text; on a phone it is moved sideways.
    """
    return blocks().figure(drawing, caption, alt, wide)


def pair(left: Markup, right: Markup) -> Markup:
    """Two blocks beside each other where there is room."""
    return Markup('<div class="pair">{}{}</div>').format(left, right)


def details(summary: str, *content: Markup) -> Markup:
    """Blocks that are folded away until asked for; on paper they are open."""
    return blocks().details(summary, content)


def pictures(
    images: UInt8[np.ndarray, "n h w c"],
    *,
    caption: str,
    alts: Sequence[str],
    titles: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
) -> Markup:
    """A contact sheet, all pictures in one embedded image; small ones are enlarged without smoothing.

    Parameters
    ----------
    images
        1, 3 or 4 channels, 0 to 255.
    alts
        What each picture shows, for those who cannot see it.
    titles, notes
        One line each below a picture; notes are set fainter.
    """
    cells = [
        {"index": i, "alt": alts[i], "title": titles[i] if titles else "", "note": notes[i] if notes else ""}
        for i in range(len(images))
    ]
    return blocks().pictures(sheet(images), cells, caption)


@dataclass(frozen=True)
class Sheet:
    """Many pictures in one image, `columns` a row; a tile shows one by its position in the background."""

    uri: str
    columns: int
    rows: int
    side: int

    def style(self, index: int) -> Markup:
        """CSS that shows picture `index`."""
        row, column = divmod(index, self.columns)
        x = 100 * column / max(self.columns - 1, 1)
        y = 100 * row / max(self.rows - 1, 1)
        return Markup(f"background-position:{x:.4g}% {y:.4g}%")


def sheet(images: UInt8[np.ndarray, "n h w c"], *, side: int = 96) -> Sheet:
    """All pictures in one image of at most `PICTURES_BYTES`, each reduced to at most `side` pixels."""
    tiles = reduce(images, side)
    columns = min(len(tiles), 24)
    rows = math.ceil(len(tiles) / columns)
    n, h, w, c = tiles.shape
    canvas = np.zeros((rows * columns, h, w, c), np.uint8)
    canvas[:n] = tiles
    canvas = canvas.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    return Sheet(data_uri(canvas), columns, rows, max(h, w))


def reduce(images: UInt8[np.ndarray, "n h w c"], side: int) -> UInt8[np.ndarray, "n h2 w2 c"]:
    """Pictures no larger than `side` pixels; smaller ones stay as they are."""
    from PIL import Image

    scale = side / max(images.shape[1:3])
    if scale >= 1:
        return images
    h, w = (max(1, round(scale * s)) for s in images.shape[1:3])
    reduced = [np.asarray(pil(image).resize((w, h), Image.Resampling.LANCZOS)) for image in images]
    return np.stack(reduced).reshape(len(images), h, w, images.shape[3])


def pil(image: UInt8[np.ndarray, "h w c"]) -> Any:
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def data_uri(image: UInt8[np.ndarray, "h w c"], *, limit: int = PICTURES_BYTES) -> str:
    """The image as a data address: PNG where that is small, else WebP of falling quality until it fits `limit`."""
    encoded = io.BytesIO()
    pil(image).save(encoded, "PNG")
    kind = "png"
    for quality in (85, 70, 50, 30, 10):
        if encoded.tell() <= (limit if kind == "webp" else limit // 3):
            break
        encoded, kind = io.BytesIO(), "webp"
        pil(image).save(encoded, "WEBP", quality=quality, method=4)
    return f"data:image/{kind};base64," + base64.b64encode(encoded.getvalue()).decode()


def write(path: str | Path, html: str) -> Path:
    """Write the page whole or not at all."""
    return files.write(Path(path), html)
