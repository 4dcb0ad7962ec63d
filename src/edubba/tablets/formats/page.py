"""PAGE-XML of 2019-07-15 with glyphs: a file a photograph; faces are text regions, signs glyphs.

What PAGE has no place for stands in `custom` attributes, as `sign {name:KI; reading:ki; damage:damaged;}` does:
whatever the characters of a sign are in Unicode, its name survives. The alternatives of a sign are its TextEquivs,
index 0 first, with `conf`, and the name in `comments`. Points are whole pixels; what has no box gets the points 0,0 0,0
and `box:none`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from edubba import __version__
from edubba.core import files
from edubba.core.errors import UserError, need
from edubba.core.printing import counted
from edubba.tablets import records, signlist
from edubba.tablets.formats import drawn
from edubba.tablets.records import Box, Candidate, Line, Photograph, Sign, Step, Surface, Tablet

SPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
SPACES = "http://schema.primaresearch.org/PAGE/gts/pagecontent/"
"""of all versions: any of them is read"""
NOWHERE = "0,0 0,0"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""what no XML may hold"""
SIGN = ("id", "name", "reading", "role", "damage", "marks", "abstained")
TRANSLITERATION = "transliteration"
"""`dataTypeDetails` of a line's text as an editor wrote it"""


# ---- in


def read(path: str | Path, *, images: str | Path | None = None) -> list[Tablet]:
    """The tablet of a PAGE file of any version, regions in its reading order.

    A word without glyphs is taken for one sign. Signs without a name in `custom` are named by their characters, where
    these are cuneiform; other text is a reading.

    Parameters
    ----------
    images
        Not needed: the file says how large the photograph is.

    Raises
    ------
    UserError
        It is not XML (line and column are said), declares entities, or is not PAGE.
    """
    etree = need("lxml.etree", extra="tablets")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        with open(path, "rb") as file:
            tree = etree.parse(file, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise UserError(f"{path}:{line}:{column}: this is not XML ({error.msg.split(', line ')[0]})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    if tree.docinfo.doctype:
        raise UserError(f"{path} has a DOCTYPE, which PAGE-XML has not and which may hide entities: take it out")
    root = tree.getroot()
    space = etree.QName(root).namespace or ""
    page = root.find(f"{{{space}}}Page")
    if not space.startswith(SPACES) or etree.QName(root).localname != "PcGts" or page is None:
        raise UserError(f"{path} is XML, but not PAGE: its root is {etree.QName(root).localname!r}")
    try:
        return [Reader(f"{{{space}}}", str(path)).tablet(page, root.find(f"{{{space}}}Metadata"))]
    except ValueError as error:
        raise UserError(f"{path} has an index or conf that is no number ({error})") from None


class Reader:
    """Elements of one file as records; `at` is its namespace, in braces."""

    def __init__(self, at: str, file: str) -> None:
        self.at = at
        self.file = file

    def tablet(self, page: Any, metadata: Any) -> Tablet:
        about = _custom(page, "tablet") or {}
        file = page.get("imageFilename", "")
        photograph = None
        if file:
            width, height = (self._number(page, key) for key in ("imageWidth", "imageHeight"))
            photograph = Photograph(file=file, width=width, height=height, sha256=about.get("sha256"))
        return Tablet(
            id=about.get("id", PurePosixPath(file.replace("\\", "/")).stem), name=about.get("name", ""),
            language=about.get("language", ""), period=about.get("period", ""), photograph=photograph,
            surfaces=tuple(self.surface(region) for region in self._regions(page)), steps=self._steps(metadata),
        )  # fmt: skip

    def _number(self, element: Any, key: str) -> int:
        text = element.get(key, "")
        if not text.isdecimal():
            raise UserError(f"{self.file}:{element.sourceline}: {key} is {text!r}, which is no whole number")
        return int(text)

    def _regions(self, page: Any) -> list[Any]:
        """Text regions, nested ones too: first those in the reading order, then the others as they stand."""
        regions = list(page.iter(f"{self.at}TextRegion"))
        order = page.find(f"{self.at}ReadingOrder")
        if order is None:
            return regions
        named = [ref.get("regionRef") for ref in self._references(order)]
        place = {name: i for i, name in reversed(list(enumerate(named)))}
        return sorted(regions, key=lambda region: place.get(region.get("id"), len(place)))

    def _references(self, group: Any) -> Iterator[Any]:
        for child in sorted(group, key=lambda child: int(child.get("index", 0))):
            if child.get("regionRef") is not None:
                yield child
            yield from self._references(child)

    def _steps(self, metadata: Any) -> tuple[Step, ...]:
        made = []
        for item in () if metadata is None else metadata.iter(f"{self.at}MetadataItem"):
            if item.get("type") != "processingStep":
                continue
            settings = {}
            for label in item.iter(f"{self.at}Label"):
                try:
                    settings[label.get("type", "")] = json.loads(label.get("value", ""))
                except ValueError:  # another program's
                    settings[label.get("type", "")] = label.get("value", "")
            when = settings.pop("when", "") if "date" not in item.attrib else item.get("date")
            made.append(Step(what=item.get("name", ""), by=item.get("value", ""), when=when, settings=settings))
        return tuple(made)

    def surface(self, region: Any) -> Surface:
        about = _custom(region, "surface") or {}
        return Surface(
            id=about.get("id", region.get("id", "")), kind=about.get("kind", ""), column=about.get("column", ""),
            box=self._box(region, about), lines=tuple(self.line(e) for e in region.iterfind(f"{self.at}TextLine")),
        )  # fmt: skip

    def line(self, element: Any) -> Line:
        about = _custom(element, "line") or {}
        kind = about.get("kind", "text")
        baseline = element.find(f"{self.at}Baseline")
        signs = [sign for n, word in enumerate(element.iterfind(f"{self.at}Word")) for sign in self.word(word, n)]
        return Line(
            id=about.get("id", element.get("id", "")), label=about.get("label", ""),
            kind=kind if kind in ("text", "state", "note", "unplaced") else "text", signs=tuple(signs),
            path=() if baseline is None else tuple(self._points(baseline)), text=self._text(element),
        )  # fmt: skip

    def _text(self, line: Any) -> str | None:
        """What an editor wrote; of another program's line that has no glyphs, its text or that of its words."""
        equivalents = list(line.iterfind(f"{self.at}TextEquiv"))
        for equivalent in equivalents:
            if equivalent.get("dataTypeDetails") == TRANSLITERATION:
                return self._unicode(equivalent)
        if line.find(f"{self.at}Word/{self.at}Glyph") is not None:
            return None
        if equivalents:
            return self._unicode(min(equivalents, key=lambda e: int(e.get("index", 0))))
        words = [self._unicode(e) for e in line.iterfind(f"{self.at}Word/{self.at}TextEquiv")]
        return " ".join(words) if words else None

    def _unicode(self, equivalent: Any) -> str:
        return equivalent.findtext(f"{self.at}Unicode") or ""

    def word(self, element: Any, n: int) -> list[Sign]:
        about = _custom(element, "word") or {}
        glyphs = list(element.iterfind(f"{self.at}Glyph")) or [element]
        said = about.get("n", str(n))
        number = int(said) if said.lstrip("-").isdecimal() else None
        return [replace(self.sign(glyph), word=number) for glyph in glyphs]

    def sign(self, glyph: Any) -> Sign:
        about = _custom(glyph, "sign")
        equivalents = sorted(glyph.iterfind(f"{self.at}TextEquiv"), key=lambda e: int(e.get("index", 0)))
        named = [self._named(e) for e in equivalents]
        candidates = tuple(
            Candidate(name, float(e.get("conf")))
            for e, (name, _) in zip(equivalents, named, strict=True)
            if name is not None and e.get("conf") is not None
        )
        if about is None:  # another program's
            pairs = zip(("name", "reading"), named[0] if named else (None, None), strict=True)
            about = {key: value for key, value in pairs if value is not None}
        values: dict[str, Any] = {key: about[key] for key in SIGN if key in about}
        if "marks" in values:
            values["marks"] = values["marks"].split()
        if "abstained" in values:
            values["abstained"] = values["abstained"] == "true"
        try:
            sign = records.from_dict(Sign, {"id": glyph.get("id", ""), **values})
        except UserError as error:
            raise UserError(f"{self.file}:{glyph.sourceline}: {error}") from None
        coords = glyph.find(f"{self.at}Coords")
        score = None if coords is None or "conf" not in coords.attrib else float(coords.get("conf"))
        return replace(sign, box=self._box(glyph, about), score=score, candidates=candidates)

    def _named(self, equivalent: Any) -> tuple[str | None, str | None]:
        """Name and reading that a TextEquiv stands for."""
        if equivalent.get("comments") is not None:
            return equivalent.get("comments"), None
        text = self._unicode(equivalent)
        if found := signlist.load().written(text):
            return found[0].name, None
        return None, text.strip("\ufffd") or None

    def _box(self, element: Any, about: dict[str, str]) -> Box | None:
        coords = element.find(f"{self.at}Coords")
        points = [] if coords is None or about.get("box") == "none" else self._points(coords)
        return drawn.hull([Box(x, y, x, y) for x, y in points]) if points else None

    def _points(self, element: Any) -> list[tuple[float, float]]:
        try:
            return [(float(x), float(y)) for x, y in (p.split(",") for p in element.get("points", "").split())]
        except ValueError:
            raise UserError(
                f"{self.file}:{element.sourceline}: the points {element.get('points')!r} are not of the form x,y x,y"
            ) from None


def _custom(element: Any, key: str) -> dict[str, str] | None:
    r"""The part of a `custom` attribute that belongs to a key: `sign {name:KI; mzl:737;}`; `\u003b` stands for `;`.

    None: there is no such part.
    """
    found = re.search(rf"(?:^|\s){key}\s*\{{([^}}]*)\}}", element.get("custom", ""))
    if found is None:
        return None
    made = {}
    for part in found[1].split(";"):
        name, colon, value = part.strip().partition(":")
        if colon:
            made[name.strip()] = re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), value.strip())
    return made


# ---- out


def write(tablets: Sequence[Tablet], path: str | Path) -> Path:
    """Write one tablet as PAGE-XML; boxes and lines are rounded to whole pixels.

    Raises
    ------
    UserError
        There is not exactly one tablet.
    """
    if len(tablets) != 1:
        raise UserError(
            f"PAGE-XML holds one photograph a file, and {len(tablets)} are given: name a folder instead of {path}"
        )
    etree = need("lxml.etree", extra="tablets")
    root = Writer(etree).document(tablets[0])
    return files.write(Path(path), etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True))


def lacking(tablets: Sequence[Tablet]) -> list[str]:
    """How many boxes are rounded."""
    n = sum(
        any(v != _pixel(v) for v in sign.box) for tablet in tablets for sign in tablet.signs if sign.box is not None
    )
    return [f"{counted(n, 'box is', 'boxes are')} rounded to whole pixels within the picture"] if n else []


class Writer:
    """Records as elements; ids are unique in the file."""

    def __init__(self, etree: Any) -> None:
        self.etree = etree
        self.signs = signlist.load()
        self.ids: set[str] = set()

    def add(self, parent: Any, tag: str, **attributes: str | None) -> Any:
        given = {key: _legal(value) for key, value in attributes.items() if value is not None}
        return self.etree.SubElement(parent, f"{{{SPACE}}}{tag}", given)

    def identified(self, wanted: str, letter: str) -> str:
        """An id of XML: the record's own where that is one, and free."""
        good = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", wanted) and wanted not in self.ids
        n = len(self.ids)
        while not good:
            n += 1
            wanted = f"{letter}{n}"
            good = wanted not in self.ids
        self.ids.add(wanted)
        return wanted

    def document(self, tablet: Tablet) -> Any:
        root = self.etree.Element(f"{{{SPACE}}}PcGts", nsmap={None: SPACE})
        metadata = self.add(root, "Metadata")
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for tag, text in (("Creator", f"edubba {__version__}"), ("Created", now), ("LastChange", now)):
            self.add(metadata, tag).text = text
        for step in tablet.steps:
            self.step(metadata, step)
        photograph = tablet.photograph
        about = {"id": tablet.id} | {key: getattr(tablet, key) or None for key in ("name", "language", "period")}
        page = self.add(
            root, "Page", imageFilename=photograph.file if photograph else "",
            imageWidth=str(photograph.width if photograph else 0),
            imageHeight=str(photograph.height if photograph else 0),
            custom=_written("tablet", {**about, "sha256": photograph.sha256 if photograph else None}),
        )  # fmt: skip
        if tablet.surfaces:
            ids = [self.identified(surface.id, "r") for surface in tablet.surfaces]
            group = self.add(self.add(page, "ReadingOrder"), "OrderedGroup", id=self.identified("order", "o"))
            for i, name in enumerate(ids):
                self.add(group, "RegionRefIndexed", index=str(i), regionRef=name)
            for name, surface in zip(ids, tablet.surfaces, strict=True):
                self.surface(page, name, surface)
        return root

    def step(self, metadata: Any, step: Step) -> None:
        date = step.when if DATE.fullmatch(step.when) else None
        item = self.add(metadata, "MetadataItem", type="processingStep", name=step.what, value=step.by, date=date)
        settings = step.settings if date or not step.when else {**step.settings, "when": step.when}
        if settings:
            labels = self.add(item, "Labels")
            for key, value in settings.items():
                self.add(labels, "Label", type=key, value=json.dumps(value, ensure_ascii=False))

    def surface(self, page: Any, name: str, surface: Surface) -> None:
        about = {"kind": surface.kind or None, "column": surface.column or None}
        about["id"] = surface.id if surface.id != name else None
        region = self.add(page, "TextRegion", id=name, custom=_written("surface", about, boxed=surface.box is not None))
        self.coords(region, surface.box or _around(surface.signs))
        for line in surface.lines:
            self.line(region, line)

    def line(self, region: Any, line: Line) -> None:
        name = self.identified(line.id, "l")
        about = {"label": line.label or None, "kind": line.kind if line.kind != "text" else None}
        about["id"] = line.id if line.id != name else None
        element = self.add(region, "TextLine", id=name, custom=_written("line", about))
        paths = [Box(x, y, x, y) for x, y in line.path]
        self.coords(element, _around(line.signs) or (drawn.hull(paths) if paths else None))
        if len(line.path) >= 2:
            self.add(element, "Baseline", points=" ".join(f"{_pixel(x)},{_pixel(y)}" for x, y in line.path))
        words: list[list[Sign]] = []
        for sign in line.signs:
            if words and words[-1][-1].word == sign.word:
                words[-1].append(sign)
            else:
                words.append([sign])
        for word in words:
            self.word(element, word)
        if words:
            self.equivalent(element, "".join(self.text(sign.name) for sign in line.signs), index="0")
        if line.text is not None:
            index = str(int(bool(words)))
            self.equivalent(element, line.text, index=index, dataType="other", dataTypeDetails=TRANSLITERATION)

    def word(self, line: Any, signs: list[Sign]) -> None:
        number = "none" if signs[0].word is None else str(signs[0].word)
        word = self.add(line, "Word", id=self.identified("", "w"), custom=_written("word", {"n": number}))
        self.coords(word, _around(signs))
        for sign in signs:
            self.sign(word, sign)
        self.equivalent(word, "".join(self.text(sign.name) for sign in signs), index="0")

    def sign(self, word: Any, sign: Sign) -> None:
        name = self.identified(sign.id, "s")
        entry = self.signs.find(sign.name) if sign.name else None
        about = {
            "name": sign.name, "mzl": entry.mzl[0] if entry and entry.mzl else None, "reading": sign.reading,
            "role": sign.role, "damage": sign.damage if sign.damage != "intact" else None,
            "marks": " ".join(sign.marks) or None, "abstained": "true" if sign.abstained else None,
            "id": sign.id if sign.id != name else None,
        }  # fmt: skip
        glyph = self.add(word, "Glyph", id=name, custom=_written("sign", about, boxed=sign.box is not None))
        self.coords(glyph, sign.box, conf=_conf(sign.score))
        equivalents: list[tuple[str | None, float | None]] = [(c.name, c.probability) for c in sign.candidates]
        if not equivalents or (sign.name is not None and equivalents[0][0] != sign.name):
            equivalents.insert(0, (sign.name, None))
        for i, (other, probability) in enumerate(equivalents):
            self.equivalent(glyph, self.text(other), index=str(i), conf=_conf(probability), comments=other)

    def text(self, name: str | None) -> str:
        """A sign in Unicode; its name where Unicode has it not; U+FFFD where it is unread."""
        if name is None:
            return "\ufffd"
        parts = self.signs.parts(name)
        return "".join(e.chars for e in parts) if parts and all(e.chars for e in parts) else name

    def equivalent(self, parent: Any, text: str, **attributes: str | None) -> None:
        self.add(self.add(parent, "TextEquiv", **attributes), "Unicode").text = _legal(text)

    def coords(self, parent: Any, box: Box | None, *, conf: str | None = None) -> None:
        if box is None:
            points = NOWHERE
        else:
            x0, y0, x1, y1 = map(_pixel, box)
            points = f"{x0},{y0} {x1},{y0} {x1},{y1} {x0},{y1}"
        self.add(parent, "Coords", points=points, conf=conf)


def _around(signs: Iterable[Sign]) -> Box | None:
    boxes = [sign.box for sign in signs if sign.box is not None]
    return drawn.hull(boxes) if boxes else None


def _pixel(value: float | int) -> int:
    return max(0, round(value))


def _conf(value: float | None) -> str | None:
    return None if value is None else repr(min(1.0, max(0.0, value)))


def _legal(text: str) -> str:
    return ILLEGAL.sub("\ufffd", text)


def _written(key: str, about: dict[str, str | None], *, boxed: bool = True) -> str:
    """What `_custom` reads; values that are None are left out."""
    parts = {name: value for name, value in about.items() if value is not None} | ({} if boxed else {"box": "none"})

    def escaped(text: str) -> str:
        return re.sub(r"[;:{}\\\x00-\x1f\ufffe\uffff]|^\s|\s$", lambda m: f"\\u{ord(m[0]):04x}", text)

    return f"{key} {{{' '.join(f'{name}:{escaped(value)};' for name, value in parts.items())}}}"
