"""Do boxes and photographs belong together: is the photograph there, readable, of the size that they were drawn for?

Does it hold all boxes, and are the names of signs known? What is not as it should be is listed, and the rest goes on.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from edubba import __version__
from edubba.core import picture
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.tablets import signlist
from edubba.tablets.records import Box, Line, Photograph, Sign, Step, Surface, Tablet
from edubba.tablets.signlist import SignList

SAME_SHAPE = 100
"""two pictures are the same at different scales where their aspect ratios differ by no more than one part in this"""
ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".jp2", ".bmp")
SLACK = 1.0
"""pixels that a box may reach beyond the picture without being named: rounding"""


@dataclass(frozen=True)
class Skipped(picture.Skipped):
    """A photograph, or something on it, that was left out."""

    reason: Literal[  # ty: ignore[incompatible-attribute-override]
        "empty", "not-a-picture", "truncated", "corrupt", "too-large", "unreadable", "no-label", "not-marked",
        "no-photograph", "other-size", "other-file", "box-outside", "unknown-name", "no-category", "invalid",
    ]  # fmt: skip


def check(
    tablets: Iterable[Tablet],
    images: str | Path,
    *,
    known_names: Collection[str] | SignList | None = None,
    scale: bool = False,
) -> tuple[list[Tablet], list[Skipped]]:
    """Tablets whose boxes fit their photographs, and what was left out or is doubtful.

    Left out are tablets whose photograph is missing, unreadable, another file than the one annotated (by its checksum),
    or of another size. A box that reaches beyond the picture is cut at its edge; one that lies wholly beyond is taken
    off its sign and kept as `extra["box_outside"]`. Names that are unknown stay and are listed.

    Parameters
    ----------
    images
        Folder of the photographs; a photograph is found by its name, with or without the folders before it.
    known_names
        Names that signs may have, or a sign list, which knows each sign under several; None: any.
    scale
        Scale boxes to photographs of another size but the same aspect ratio (to 1 %), instead of leaving these out.

    Returns
    -------
    The good tablets, `photograph.file` now relative to `images` and its checksum filled in; and one row a reason.

    Raises
    ------
    UserError
        `images` is no folder.
    """
    images, good, skipped = Path(images), [], []
    if not images.is_dir():
        raise UserError(f"{images} is no folder: name the one that the photographs lie in")
    for tablet in tablets:
        found = _photographed(tablet, images, scale=scale)
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        found, outside = _cut(found)
        skipped += outside + _uncategorised(found)
        good.append(found)
    return good, skipped + ([] if known_names is None else _unknown(good, known_names))


def find(images: str | Path, file: str) -> Path | None:
    """A photograph in a folder: at its path, else by its name, else under its name with another ending."""
    images, name = Path(images), PurePosixPath(file.replace("\\", "/"))
    inside = not name.is_absolute() and ".." not in name.parts
    for path in [images / name] * inside + [images / name.name]:
        if path.is_file():
            return path
    if not images.is_dir() or not name.name:
        return None
    stem = name.stem if name.suffix.lower() in ENDINGS else name.name  # `1879,0708.86` is all stem
    return next((p for p in sorted(images.iterdir()) if p.stem == stem and p.suffix.lower() in ENDINGS), None)


def photograph(images: str | Path | None, file: str) -> Photograph | None:
    """The photograph in a folder by its name, its size upright; None where it is not there or cannot be read."""
    path = None if images is None else find(images, file)
    looked = None if path is None or images is None else look(path, Path(images))
    return None if isinstance(looked, Skipped) else looked


def look(path: Path, images: Path) -> Photograph | Skipped:
    """Size (upright, as cameras say in the EXIF) and checksum of a photograph, all of whose pixels can be read."""
    name = path.relative_to(images).as_posix()
    try:
        content = path.read_bytes()
    except OSError as error:
        return Skipped(name, "unreadable", error.strerror or str(error))
    seen = picture.decode(name, lambda: io.BytesIO(content), 32, 1)
    if isinstance(seen, picture.Skipped):
        return Skipped(name, seen.reason, seen.detail)
    h, w = seen.hw
    return Photograph(file=name, width=w, height=h, sha256=hashlib.sha256(content).hexdigest())


def scaled(tablet: Tablet, width: int, height: int) -> Tablet:
    """The tablet with boxes, faces and lines for its photograph at another size; fields of formats that give pixels go.

    Parameters
    ----------
    width, height
        Of the other photograph, pixels.
    """
    assert tablet.photograph is not None
    fx, fy = width / tablet.photograph.width, height / tablet.photograph.height

    def boxed(box: Box | None) -> Box | None:
        return None if box is None else Box(box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy)

    def sign(old: Sign) -> Sign:
        extra = {k: v for k, v in old.extra.items() if k not in ("area", "segmentation", "relative_bbox")}
        return replace(old, box=boxed(old.box), extra=extra)

    def line(old: Line) -> Line:
        return replace(old, path=tuple((x * fx, y * fy) for x, y in old.path))

    def face(old: Surface) -> Surface:
        return replace(old, box=boxed(old.box), lines=tuple(map(line, old.lines)))

    made = _with_signs(tablet, sign)
    made = replace(
        made,
        photograph=replace(tablet.photograph, width=width, height=height, sha256=None),
        surfaces=tuple(map(face, made.surfaces)),
    )
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return made.stepped(Step(what="convert", by=f"edubba {__version__}", when=now, settings={"scale": [fx, fy]}))


def _photographed(tablet: Tablet, images: Path, *, scale: bool) -> Tablet | Skipped:
    """The tablet with its photograph as it lies in the folder, or why it cannot be used."""
    annotated = tablet.photograph
    if annotated is None:
        signs = sum(sign.box is not None for sign in tablet.signs)
        what = f"{counted(signs, 'box', 'boxes')} of" if signs else "the text of"
        return Skipped(tablet.id, "no-photograph", f"no photograph is named or found for {what} {tablet.id}")
    path = find(images, annotated.file)
    if path is None:
        return Skipped(annotated.file, "no-photograph", f"{images} has no such file")
    found = look(path, images)
    if isinstance(found, Skipped):
        return found
    if (found.width, found.height) == (annotated.width, annotated.height):
        if annotated.sha256 not in (None, found.sha256):
            return Skipped(
                found.file, "other-file", "of the annotated size, but its SHA-256 is another: it was changed since"
            )
        return replace(tablet, photograph=found)
    words = f"{found.width} x {found.height} pixels, but its annotation is for {annotated.width} x {annotated.height}"
    a, b = found.width * annotated.height, found.height * annotated.width
    if b and abs(a - b) * SAME_SHAPE <= b:
        if scale:
            return replace(scaled(tablet, found.width, found.height), photograph=found)
        factor = f"{found.width / annotated.width:.4g}"
        return Skipped(
            found.file, "other-size", f"{words}: the shape is the same, so boxes scaled by {factor} would fit"
        )
    if (found.width, found.height) == (annotated.height, annotated.width):
        words += ": it lies on its side, so save it turned as it was annotated"
    return Skipped(found.file, "other-size", words)


def _cut(tablet: Tablet) -> tuple[Tablet, list[Skipped]]:
    """The tablet with all boxes within its photograph, and which were not."""
    assert tablet.photograph is not None
    width, height = tablet.photograph.width, tablet.photograph.height
    beyond, cut = [], []

    def sign(old: Sign) -> Sign:
        if old.box is None or not old.ink:  # nobody looks for ink there
            return old
        x0, y0, x1, y1 = old.box
        box = Box(max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        if box == old.box and x0 < x1 and y0 < y1:
            return old
        if box.x0 >= box.x1 or box.y0 >= box.y1:
            beyond.append(old)
            return replace(old, box=None, extra={**old.extra, "box_outside": list(old.box)})
        if max(abs(a - b) for a, b in zip(box, old.box, strict=True)) > SLACK:
            cut.append(old)
        return replace(old, box=box)

    made = _with_signs(tablet, sign)
    rows = []
    for signs, words in ((cut, "cut at the edge"), (beyond, "taken off")):
        if signs:
            box = ", ".join(f"{v:g}" for v in signs[0].box or ())
            many = counted(len(signs), "box reaches", "boxes reach")
            beyond_or = f"beyond {width} x {height} pixels or {'has' if len(signs) == 1 else 'have'} no area"
            detail = f"{many} {beyond_or} (first {signs[0].name or 'unread'} at [{box}]): {words}"
            rows.append(Skipped(tablet.photograph.file, "box-outside", detail))
    return made, rows


def _with_signs(tablet: Tablet, change: Callable[[Sign], Sign]) -> Tablet:
    def line(old: Line) -> Line:
        return replace(old, signs=tuple(map(change, old.signs)))

    def face(old: Surface) -> Surface:
        return replace(old, lines=tuple(map(line, old.lines)))

    return replace(tablet, surfaces=tuple(map(face, tablet.surfaces)))


def _uncategorised(tablet: Tablet) -> list[Skipped]:
    """Signs whose category the annotation file does not list (see `formats.coco`)."""
    lost = [sign.extra["category_id"] for sign in tablet.signs if sign.name is None and "category_id" in sign.extra]
    if not lost or tablet.photograph is None:
        return []
    ids = ", ".join(str(key) for key in sorted(set(lost), key=str))
    words = (
        f"{counted(len(lost), 'sign has a category', 'signs have categories')} that the annotation does not list: {ids}"
    )
    return [Skipped(tablet.photograph.file, "no-category", words)]


def _unknown(tablets: list[Tablet], known: Collection[str] | SignList) -> list[Skipped]:
    """Names that are not known, how often they stand there, where first, and the known ones nearest to them."""
    count, first = Counter(), {}
    for tablet in tablets:
        for name in (sign.name for sign in tablet.signs if sign.name is not None):
            first.setdefault(name, tablet.photograph.file if tablet.photograph else tablet.id)
            count[name] += 1
    names = known.names if isinstance(known, SignList) else sorted(known)
    strange = [name for name in first if not (known.parts(name) if isinstance(known, SignList) else name in known)]
    rows = []
    for name in strange:
        near = signlist.nearest(name, names, names=names, n=3) if names else []
        words = f"the name {name!r} ({counted(count[name], 'sign')}) is not known"
        rows.append(
            Skipped(first[name], "unknown-name", words + (f"; the nearest are {', '.join(near)}" if near else ""))
        )
    return rows
