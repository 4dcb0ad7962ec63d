"""What the page says and shows, part by part."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup

from edubba.core import report
from edubba.core.printing import counted
from edubba.core.report import Section
from edubba.core.report.page import Sheet, environment
from edubba.tablets.records import Evidence, Tablet
from edubba.tablets.report import pictures, places, script
from edubba.tablets.report.entries import STATES, Entry, entries, faces, ink, percent, tokens
from edubba.tablets.report.script import Glyph

DEPTHS = ((5, 5), (5, 3), (5, 2), (5, 1), (3, 1), (3, 0), (1, 0))
"""names on a card, and examples of each: the first pair that leaves room for the photograph"""
ROOM = 700_000
"""characters that the photograph should have at least"""
CROPS, EXAMPLES, EXAMPLE = 420_000, 480_000, 600
"""most characters of the signs cut out, of the examples, and of one example"""
SMALLEST, LARGEST = 22, 56
"""height of a sign on the screen, pixels: the photograph is moved sideways rather than shown smaller"""


@functools.cache
def parts() -> Any:
    """The macros of parts.html.jinja as functions."""
    own = environment().overlay(loader=jinja2.PackageLoader("edubba.tablets.report", "."))
    return own.get_template("parts.html.jinja").module


def lead(tablet: Tablet) -> str:
    """How many signs were found and named, what that rests on, and what it does not say."""
    found = [entry for entry in entries(tablet) if entry.sign.ink]
    if not found:
        return "No sign was found on this photograph."
    named = [entry for entry in found if entry.sign.name is not None]
    lines = {entry.row for entry in found if entry.line.kind != "unplaced"}
    first = (
        f"{counted(len(found), 'sign was', 'signs were')} found in {counted(len(lines), 'line')}: {len(named):,} named"
    )
    if others := len(found) - len(named):
        first += f", {others:,} left without a name because the reader was not sure enough"
    more = []
    if damaged := sum(entry.sign.damage == "damaged" for entry in found):
        more.append(f"{damaged:,} {'is' if damaged == 1 else 'are'} damaged")
    if unplaced := sum(entry.state == "unplaced" for entry in found):
        more.append(f"{unplaced:,} {'fits' if unplaced == 1 else 'fit'} no line")
    first += f". {' and '.join(more)}." if more else "."
    said = []
    if known := [entry.probability for entry in named if entry.probability is not None]:
        said.append(
            f"Going by the probabilities, about {sum(known):.0f} of {counted(len(known), 'name')} should be right; they were"
            " calibrated on other tablets, so on this one it may be more or fewer."
        )
    if any(ink(entry.sign) for entry in found):
        said.append("A name weighs the shape of the sign against what usually stands beside it.")
    if not any(step.what == "correct" for step in tablet.steps):
        said.append("The record notes no check by a person: this is a proposal, not an edition.")
    return f"{first}\n\n{' '.join(said)}"


def sections(
    tablet: Tablet,
    photograph: UInt8[np.ndarray, "h w 3"],
    *,
    exemplars: Mapping[str, np.ndarray],
    facts: Mapping[str, str],
    warnings: Sequence[str] = (),
    beside: Mapping[str, str] | None = None,
    limit: int,
    lead: str = "",
) -> list[Section]:
    """The parts of the page, for a page that has others too; together they have at most `limit` bytes.

    The other parameters are those of `edubba.tablets.report.build`. The photograph takes what the others leave.
    """
    listed = entries(tablet)
    named = {entry.sign.name for entry in listed if entry.sign.name and entry.sign.ink}
    glyphs = {name: drawn for name in sorted(named) if (drawn := script.glyph(name))}
    crops = _crops(listed, photograph)
    written, left_open, record = _written(tablet, listed, glyphs), _open(listed, crops), _record(tablet, beside or {})
    short = Section("In short", _short(tablet, facts, warnings), lead)
    room = limit - sum(map(_bytes, (written, left_open, record, short))) - (len(crops.sheet.uri) if crops.sheet else 0)
    for names, likes in DEPTHS:
        examples = _examples(listed, exemplars, likes)
        cards = _cards(tablet, listed, glyphs, crops, examples, names=names, likes=likes)
        if room - _bytes(cards) - min(EXAMPLES, EXAMPLE * len(examples.place)) >= ROOM:
            break
    if examples.sheet:
        tiles = np.stack([pictures.squared(exemplars[source]) for source in examples.place])
        examples = replace(examples, sheet=pictures.filled(examples.sheet, tiles, EXAMPLES))
    sheets = {name: of.sheet for name, of in (("crop", crops), ("example", examples)) if of.sheet}
    style = parts().style(pictures.COLOURS, pictures.DASHES, sheets, [entry.number for entry in listed])
    short = replace(short, blocks=[style, *short.blocks])
    room = limit - sum(map(_bytes, (written, left_open, record, short, cards)))
    return [short, _photograph(tablet, listed, photograph, room), written, left_open, cards, record]


def _bytes(section: Section) -> int:
    """Of a section on the page, with what the page puts around it."""
    return sum(len(block.encode()) for block in section.blocks) + len(section.lead.encode()) + 500


# ---- pictures that several parts show


@dataclass(frozen=True)
class Tiles:
    """Pictures in one sheet, and the number of each."""

    sheet: Sheet | None
    place: Mapping[Any, int]

    def style(self, key: Any) -> Markup:
        """CSS that shows the picture of `key`; empty where there is none."""
        return self.sheet.style(self.place[key]) if self.sheet and key in self.place else Markup("")


def _crops(listed: list[Entry], photograph: UInt8[np.ndarray, "h w 3"]) -> Tiles:
    shown = places.boxed(listed)
    if not shown:
        return Tiles(None, {})
    tiles = pictures.cut(photograph, [box for _, box in shown], side=96 if len(shown) <= 400 else 64)
    sheet = pictures.filled(pictures.laid(len(tiles), tiles.shape[1]), tiles, CROPS)
    return Tiles(sheet, {entry.number: i for i, (entry, _) in enumerate(shown)})


def _examples(listed: list[Entry], exemplars: Mapping[str, np.ndarray], likes: int) -> Tiles:
    """Places of the examples in a sheet that is not made yet."""
    shown = [e.source for entry in listed for _, group in _alike(entry, likes) for e in group if e.source in exemplars]
    place = {source: i for i, source in enumerate(dict.fromkeys(shown))}
    return Tiles(pictures.laid(len(place), pictures.EXAMPLE) if place else None, place)


def _alike(entry: Entry, likes: int) -> list[tuple[str, list[Evidence]]]:
    """The nearest examples of each name, names in the order in which they come."""
    near = entry.sign.evidence
    order = list(dict.fromkeys(e.name for e in near))
    groups = groupby(sorted(near, key=lambda e: (order.index(e.name), -e.similarity)), key=lambda e: e.name)
    return [(name, list(group)[:likes]) for name, group in groups] if likes else []


# ---- the answer


def _short(tablet: Tablet, facts: Mapping[str, str], warnings: Sequence[str]) -> list[Markup]:
    rows = {"Tablet": ", ".join(filter(None, (tablet.name, tablet.id)))}
    if known := tablet.photograph:
        rows["Photograph"] = f"{known.file}, {known.width:,} × {known.height:,} pixels"
    rows |= {name: value for name, value in (("Language", tablet.language), ("Period", tablet.period)) if value}
    warned = [report.warning("\n\n".join(warnings))] if warnings else []
    return [*warned, report.facts(rows | dict(facts))]


# ---- the photograph


def _photograph(tablet: Tablet, listed: list[Entry], photograph: UInt8[np.ndarray, "h w 3"], room: int) -> Section:
    height, width = photograph.shape[:2]
    boxes, sign = places.boxed(listed), places.tall(listed)
    counts = Counter(entry.state for entry, _ in boxes)
    paths = [places.path(line, sign) for surface in tablet.surfaces for line in surface.lines]
    drawn = functools.partial(
        parts().photograph, width=width, height=height, smallest=round(width * SMALLEST / sign),
        largest=round(width * LARGEST / sign), boxes=[(entry, places.rectangle(box)) for entry, box in boxes],
        paths=[row for row in paths if row], size=round(0.5 * sign), counts={s: counts[s] for s in STATES if counts[s]},
        states=STATES,
    )  # fmt: skip
    lead = "A click on a box shows what the sign is thought to be, and why."
    uri = pictures.embedded(photograph, room - len(drawn(uri="").encode()) - 1000)
    return Section("The photograph", [drawn(uri=uri)], lead)


# ---- the transliteration


def _written(tablet: Tablet, listed: list[Entry], glyphs: Mapping[str, Glyph]) -> Section:
    mine = {row: list(line) for row, line in groupby(listed, key=lambda entry: entry.row)}
    strips = {row: places.strip(line) for row, line in mine.items()}
    longest = max((strip.width for strip in strips.values() if strip), default=1)
    shown, row = [], 0
    for face, surface in zip(faces(tablet), tablet.surfaces, strict=True):
        lines = []
        for line in surface.lines:
            note = line.text if line.kind in ("state", "note") else ""
            if line.kind != "unplaced":
                words = _words(mine.get(row, []))
                lines.append({"label": line.label, "strip": strips.get(row), "words": words, "note": note})
            row += 1
        if lines:
            shown.append((face, lines))
    sign = places.tall(listed)
    blocks = [
        parts().glyphs({glyph.id: glyph for glyph in glyphs.values()}),
        parts().lines(shown, glyphs, longest=longest, least=SMALLEST / sign, most=LARGEST / sign),
        report.prose(_key(listed, glyphs)),
    ]
    return Section("The transliteration", blocks, "Line by line, each under its piece of the photograph.")


def _words(line: list[Entry]) -> list[list[Any]]:
    words: list[list[Any]] = []
    for token in tokens(line):
        if token.begins:
            words.append([])
        words[-1].append(token)
    return words


def _key(listed: list[Entry], glyphs: Mapping[str, Glyph]) -> str:
    """What the marks mean, those that occur."""
    signs = [entry.sign for entry in listed if entry.state != "unplaced"]
    words = []
    if any(sign.reading for sign in signs):
        words.append("Readings are in italics, names of signs upright.")
    if any(sign.damage == "damaged" for sign in signs):
        words.append("`#`: damaged, some of the ink is left.")
    if any(sign.damage == "broken" for sign in signs):
        words.append("`[ ]`: lost; what stands inside is restored, `x` is a sign that nobody knows.")
    if any(entry.state == "abstained" for entry in listed):
        words.append("`?` after grey: the reader gave no name, this is its first guess (the ATF has `x`).")
    if glyphs:
        words.append(
            "Above a name stands the sign as Noto Sans Cuneiform draws it, whatever it looks like on the clay."
        )
    return " ".join(words)


# ---- what is left open


def _open(listed: list[Entry], crops: Tiles) -> Section:
    unnamed = [e for e in listed if e.state == "abstained"]
    unplaced = [e for e in listed if e.state == "unplaced"]
    blocks = []
    for left, words in (
        (unnamed, "without a name. The first guess and its probability:"),
        (unplaced, "in no line, so not in the transliteration:"),
    ):
        if left:
            rows = [(entry, crops.style(entry.number), _guess(entry)) for entry in left]
            blocks += [report.prose(f"{counted(len(rows), 'sign')} {words}"), parts().chips(rows)]
    blocks = blocks or [report.prose("Nothing: every sign that was found has a name and a place in a line.")]
    return Section(
        "What is left open", blocks, "What the reader was not sure enough to name, and what it could not place."
    )


def _guess(entry: Entry) -> str:
    sure = "" if entry.probability is None else f" {percent(entry.probability)}"
    return entry.shown + sure


# ---- sign by sign


def _cards(
    tablet: Tablet,
    listed: list[Entry],
    glyphs: Mapping[str, Glyph],
    crops: Tiles,
    examples: Tiles,
    *,
    names: int,
    likes: int,
) -> Section:
    settings = [step.settings for step in tablet.steps if step.what == "name"]
    threshold = settings[-1].get("threshold") if settings else None
    rows = []
    for entry in listed:
        named = entry.sign.name
        alike = [
            (name, [(e.source, f"{e.similarity:.2f}".replace("-", "−"), examples.style(e.source)) for e in group])
            for name, group in _alike(entry, likes)
        ]
        bars = [
            (c.name, f"{100 * c.probability:.3g}", percent(c.probability), c.name == named)
            for c in entry.sign.candidates[:names]
        ]
        glyph = glyphs.get(named) if named and entry.sign.ink else None
        rows.append((entry, crops.style(entry.number), glyph, bars, why(entry, threshold), alike))
    lead = "The likeliest names with their probabilities, and the labelled examples that look most like the sign, with their cosine similarity."
    if (names, likes) != DEPTHS[0]:
        lead += f" To keep the page small a card shows at most {counted(names, 'name')} and {counted(likes, 'example')} of each; the JSON has all."
    return Section("Sign by sign", [parts().cards(rows, len(rows))] if rows else [], lead)


def why(entry: Entry, threshold: float | None) -> str:
    """Why a sign has the name it has, or none.

    Parameters
    ----------
    threshold
        Least probability at which the reader gives a name; None: not known.
    """
    sign, p = entry.sign, entry.probability
    said = []
    if not sign.ink:
        restored = f"No ink is left: {sign.name or sign.reading} is restored, not read."
        said.append(restored if sign.restored else "Nothing is left of it.")
    elif sign.name is None:
        least = "" if threshold is None else f", and the reader gives a name from {percent(threshold)} on"
        said.append(
            "Not named: nothing was thought of." if p is None else f"Not named: the likeliest has {percent(p)}{least}."
        )
    if sign.damage == "damaged":
        said.append("Damaged: some of its ink is gone.")
    if alone := ink(sign):
        first = max(alone, key=lambda c: c.probability)
        agree = first.name == entry.guess
        said.append(
            f"Ink and context {'agree' if agree else 'differ'}: the shape alone says {first.name}"
            f" ({percent(first.probability)}){'.' if agree else f', with what stands beside it {entry.guess}.'}"
        )
    return " ".join(said)


# ---- the record


def _record(tablet: Tablet, beside: Mapping[str, str]) -> Section:
    blocks = []
    if beside:
        blocks += [report.prose("Beside this page, for programs and for other editors:"), report.facts(beside)]
    if tablet.steps:
        rows = [
            (step.what, ", ".join(filter(None, (step.by, step.when.replace("T", " ")))), "; ".join(f"{k} {_brief(v)}" for k, v in step.settings.items()))
            for step in tablet.steps
        ]  # fmt: skip
        blocks.append(report.table(["step", "by, when", "settings"], rows, "What was done, in order."))
    blocks = blocks or [report.prose("No step is noted.")]
    return Section("The record", blocks, "By which programs and people, and with which settings.")


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
