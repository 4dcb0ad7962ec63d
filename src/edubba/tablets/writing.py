"""What `edubba tablets read` leaves behind: records, ATF, PAGE-XML, a picture with boxes and a page to look at."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from edubba.core import files
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import formats, photographs, reading, records, report, transliteration
from edubba.tablets.records import Tablet

BESIDE = {
    "json": "everything that was found, format edubba.tablets/1", "atf": "the transliteration", "xml": "PAGE-XML with glyphs",
    "overlay.jpg": "the photograph with boxes and names",
}  # fmt: skip


class Written(NamedTuple):
    """What was read, and where it lies."""

    tablet: Tablet
    paths: list[Path]

    @property
    def summary(self) -> dict[str, Any]:
        signs = [sign for surface in self.tablet.surfaces for sign in surface.signs]
        text = [line for surface in self.tablet.surfaces for line in surface.lines if line.kind == "text"]
        return {
            "tablet": self.tablet.id, "signs": len(signs), "lines": len(text), "named": sum(s.name is not None for s in signs),
            "abstained": sum(s.abstained for s in signs), "files": [str(path) for path in self.paths],
        }  # fmt: skip

    @property
    def words(self) -> str:
        found = self.summary
        return (
            f"{counted(found['signs'], 'sign')} in {counted(found['lines'], 'line')}: {found['named']:,} named,"
            f" {found['abstained']:,} left open as not sure enough"
        )


def read_and_write(
    photo: str | Path,
    *,
    reader: str | Path,
    out: str | Path,
    restorer: str | Path | None = None,
    readings: str | Path | None = None,
    period: str = "",
    sign_height: float = 0.0,
) -> Written:
    """Read a photograph and write everything that was found beside each other.

    Raises
    ------
    UserError
        The photograph or a model cannot be read, or the files are there already.
    """
    photo, out = Path(photo), Path(out)
    names = {kind: out / f"{photo.stem}.{kind}" for kind in ("json", "atf", "xml", "overlay.jpg", "html")}
    if there := [path for path in names.values() if path.exists()]:
        raise UserError(f"{there[0]} exists: choose another folder with -o, or delete it")
    known = reading.load(reader)
    context = None
    if restorer is not None:
        from edubba.tablets import restoring

        context = restoring.load(restorer)
    said = transliteration.of_run(readings) if readings is not None else None
    tablet = reading.read(photo, reader=known, restorer=context, period=period, sign_height=sign_height)
    if said is not None:
        tablet = transliteration.read(tablet, said).stepped(reading.step("transliterate", readings=str(readings)))
    pixels, _ = photographs.read(photo)
    records.write([tablet], names["json"])
    formats.write([tablet], names["atf"])
    formats.write([tablet], names["xml"])
    picture = io.BytesIO()
    Image.fromarray(report.overlay(tablet, pixels)).save(picture, "JPEG", quality=88)
    files.write(names["overlay.jpg"], picture.getvalue())
    facts = {"Reader": str(reader), "Context": str(restorer or "none"), "Readings": str(readings or "none")}
    beside = {names[kind].name: words for kind, words in BESIDE.items()}
    report.build(
        tablet, pixels, exemplars=exemplars(tablet, known), facts=facts, warnings=doubts(tablet), path=names["html"],
        beside=beside,
    )  # fmt: skip
    return Written(tablet, list(names.values()))


def exemplars(tablet: Tablet, reader: reading.Reader) -> dict[str, np.ndarray]:
    """Thumbnails of the examples that the tablet's signs were compared with."""
    bank = reader.namer.bank
    if bank is None:
        return {}
    wanted = {e.source for sign in tablet.signs for e in sign.evidence}
    return {source: bank.thumbnail[i] for i, source in enumerate(bank.source.tolist()) if source in wanted}


def doubts(tablet: Tablet) -> list[str]:
    """What a person should know before believing the reading."""
    signs = tablet.signs
    if not signs:
        return [
            "No sign was found: is this a photograph of a tablet, and are its signs at least 15 pixels high? Try --sign-height."
        ]
    said = []
    open_ = sum(sign.abstained for sign in signs)
    if open_ > 0.7 * len(signs):
        said.append("Most signs have no name: the reader has seen little that looks like this tablet.")
    (height,) = [step.settings["sign_height"] for step in tablet.steps if step.what == "detect"]
    if height < 24:
        said.append(f"Signs are only {height:.0f} pixels high here: a larger photograph would be read better.")
    return said
