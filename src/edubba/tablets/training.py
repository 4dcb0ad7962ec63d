"""Learning to read: a detector and a namer from photographs with boxes."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import ndtri

from edubba.core import images as pictures
from edubba.core import runs, stats, streams, train
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.runs import Run
from edubba.tablets import detector, formats, naming, photographs, scoring, signs
from edubba.tablets.checking import Skipped, check
from edubba.tablets.records import Sign, Tablet, to_dict
from edubba.tablets.spec import TrainedReader, TrainReader

TEST = ("test",)
COPIES = 4
"""crops of a sign to learn its name from: one with its box as it was drawn, the others with boxes that are off"""
FARTHEST = 0.01
"""share of the normal distribution that is cut off at either end: a side is never more than 2.3 standard deviations off"""
MOST_JITTER = 0.2
VIEW = re.compile(r"([-_ ](obv|obverse|rev|reverse|edge|top|bottom|left|right)\d*|(?<=\d)(vs|rs)\d*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """One photograph and what is written on it, in pixels of the photograph as it is stored."""

    tablet: Tablet
    grey: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    """empty where a sign has a box but no name"""
    regions: np.ndarray
    split: str

    @property
    def group(self) -> str:
        """The museum number where there is one, else the id without what it says of the view: both faces are one tablet."""
        return self.tablet.name or VIEW.sub("", self.tablet.id)


def pages(
    annotations: str | Path, images: str | Path, *, format: str | None = None
) -> tuple[list[Page], list[Skipped]]:
    """Photographs with their boxes, and what was left out and why.

    Where regions say which faces are annotated, signs elsewhere are not known; where there are none, the hull of the
    boxes, grown by half a sign, is taken for one.
    """
    tablets = formats.read(annotations, format, images=images)
    good, skipped = check(tablets, images)
    made = []
    for tablet in good:
        assert tablet.photograph is not None
        pixels, _ = photographs.read(Path(images) / tablet.photograph.file)
        signs_there = written(tablet)
        boxes = np.array([sign.box for sign in signs_there], np.float32).reshape(-1, 4)
        if not len(boxes):
            continue
        regions = regions_of(tablet)
        if not len(regions):
            half = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) / 2
            regions = np.concatenate([boxes[:, :2].min(0) - half, boxes[:, 2:].max(0) + half])[None]
        made.append(
            Page(
                tablet, train.of_channels(pixels[None], 1)[0, ..., 0], boxes, tuple(s.name or "" for s in signs_there),
                regions.reshape(-1, 4), str(tablet.extra.get("split", "")),
            )
        )  # fmt: skip
    return made, skipped


def regions_of(tablet: Tablet) -> np.ndarray:
    """Boxes of the faces that are annotated; none where nothing says which."""
    return np.array([face.box for face in tablet.surfaces if face.box is not None], np.float32).reshape(-1, 4)


def written(tablet: Tablet) -> list[Sign]:
    """Signs that are there with a box, and not beside the annotated faces: what lies there is no part of the truth."""
    there = [sign for sign in tablet.signs if sign.box is not None and sign.ink]
    regions = regions_of(tablet)
    if not len(there) or not len(regions):
        return there
    inside = scoring.inside(np.array([sign.box for sign in there], np.float32), regions)
    return [sign for sign, kept in zip(there, inside.tolist(), strict=True) if kept]


def held_out(made: Sequence[Page], *, share: float, seed: int, parts: int = 1) -> list[set[str]]:
    """Tablets to validate on, in so many parts: those of a validation split in each, or else each part other ones.

    A part takes tablets in random order, of those that are not extra or test, until it has a share of their boxes; one with
    which it would have half as many again or more is passed over. Where tablets run out, the parts begin anew.
    """
    named = {page.group for page in made if page.split in ("val", "validation")}
    if named:
        return [named] * parts
    boxes: Counter[str] = Counter()
    for page in made:
        if page.split in ("", "train"):
            boxes[page.group] += len(page.boxes)
    free = sorted(boxes)
    if len(free) < 2:
        return [set[str]()] * parts
    wanted, made_of = share * boxes.total(), list[set[str]]()
    left = [free[i] for i in streams.permutation(seed, "validation tablets", n=len(free))]
    while len(made_of) < parts:
        held = set[str]()
        for group in left:
            have = sum(boxes[other] for other in held)
            if have < wanted and have + boxes[group] <= 1.5 * wanted:
                held.add(group)
        left = [group for group in left if group not in held]
        if not held:
            break
        made_of.append(held)
    made_of = made_of or [{min(free, key=lambda group: boxes[group])}]
    return [made_of[k % len(made_of)] for k in range(parts)]


def faces(page: Page) -> detector.Faces:
    """A page at the size at which the detector works."""
    high = float(np.median(page.boxes[:, 3] - page.boxes[:, 1]))
    scale = detector.HEIGHT / high
    scale = 1.0 if abs(np.log(scale)) < 0.1 else min(scale, 2.0)
    grey = detector.resized(page.grey, scale)
    return detector.Faces(grey, page.boxes * np.float32(scale), page.regions * np.float32(scale), page.group)


def crops(
    made: Sequence[Page], *, margin: float, side: int = signs.STORED, jitter: float = 0.0, seed: int = 0
) -> Pictures:
    """Every named sign of the pages, cut out and squashed to squares of `side` pixels.

    With `jitter`, `COPIES` of each, of which the first is exact: see `Naming`.
    """
    exact = _cut(made, margin=margin, side=side)
    if not jitter:
        return exact
    copies = [exact]
    boxes = np.concatenate([page.boxes for page in made])
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * [1, 2 / 3, 1, 2 / 3]
    ends = np.cumsum([len(page.boxes) for page in made])[:-1]
    for k in range(1, COPIES):
        u = streams.uniform(seed, "boxes that are off", k, index=np.arange(len(boxes)), k=4)
        off = (boxes + jitter * sides * ndtri(FARTHEST + u * (1 - 2 * FARTHEST))).astype(np.float32)
        moved = [replace(page, boxes=own) for page, own in zip(made, np.split(off, ends), strict=True)]
        copies.append(_cut(moved, margin=margin, side=side))
    return together(*copies)


def _cut(made: Sequence[Page], *, margin: float, side: int) -> Pictures:
    kept = [(page, np.array([bool(name) for name in page.names])) for page in made]
    x = [signs.crop(page.grey[..., None], page.boxes[mask], margin=margin, side=side) for page, mask in kept]
    boxes = np.concatenate([page.boxes[mask] for page, mask in kept])
    shape = np.rint(np.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], axis=1)).astype(int)
    file = [f"{page.tablet.photograph.file}#{i}" for page, mask in kept for i in np.flatnonzero(mask)]  # ty: ignore
    names = [page.names[i] for page, mask in kept for i in np.flatnonzero(mask)]
    group = [page.group for page, mask in kept for _ in range(mask.sum())]
    period = [page.tablet.period for page, mask in kept for _ in range(mask.sum())]
    return Pictures(
        x=np.concatenate(x), shape_hw=np.maximum(1, shape), file=np.array(file), hash=np.array(file), size=64,
        source="boxes", label=np.array(names), group=np.array(group), extra={"period": np.array(period)},
    )  # fmt: skip


def why(skipped: Sequence[Skipped]) -> str:
    """What was left out and why, to follow a sentence that says that nothing is left."""
    return f": {len(skipped)} were left out, the first because {skipped[0].detail}" if skipped else ""


def more_crops(source: str | Path, *, without: Collection[str] = ()) -> Pictures:
    """Labelled crops from elsewhere (folder or tar with labels.csv): grey, at the size that crops are stored in.

    Parameters
    ----------
    without
        Tablets of which none is taken, like those of the split `test`.
    """
    found = pictures.open(source, size=64)
    if found.label is None or not (found.label != "").any():
        raise UserError(f"{source} has no labels: crops to learn names from need a labels.csv (file, label, period)")
    found = found.take(found.label != "")
    if found.split is not None:
        found = found.take(found.split != "test")
    period = found.extra.get("period", np.full(len(found), ""))
    side = signs.STORED
    x = np.stack([
        np.asarray(Image.fromarray(train.of_channels(found.x[i][None], 1)[0, ..., 0]).resize((side, side), Image.Resampling.BICUBIC))
        for i in range(len(found))
    ])[..., None]  # fmt: skip
    group = found.group if found.group is not None else np.full(len(found), "")
    kept = ~np.isin(group, sorted(without))
    found, x, group, period = found.take(kept), x[kept], group[kept], period[kept]
    return replace(found, x=x, group=group, extra={"period": period})


def together(*sets: Pictures) -> Pictures:
    """Crops of several sources as one set."""
    first = sets[0]
    return Pictures(
        x=np.concatenate([np.asarray(s.x) for s in sets]), shape_hw=np.concatenate([s.shape_hw for s in sets]),
        file=np.concatenate([s.file for s in sets]), hash=np.concatenate([s.hash for s in sets]), size=first.size,
        source=first.source, label=np.concatenate([np.array(signs.labels_of(s)) for s in sets]),
        group=np.concatenate([np.asarray(s.group) for s in sets]),
        extra={"period": np.concatenate([s.extra["period"] for s in sets])},
    )  # fmt: skip


def train_reader(
    annotations: str | Path,
    spec: TrainReader = TrainReader(),
    *,
    images: str | Path,
    out: str | Path,
    crops_from: str | Path | None = None,
    encoder: str | Path | None = None,
    format: str | None = None,
) -> Run:
    """Learn to find and to name signs from photographs with boxes. The same call goes on with what was interrupted.

    Photographs of the split `test` are never looked at. Whole tablets are held out for validation, on which the
    thresholds are chosen.

    Parameters
    ----------
    annotations
        COCO, or another of the formats that know photographs and boxes.
    images
        Folder of the photographs.
    out
        Run folder: `detector/` and `signs/` are the two trainings, `model/` what `read` takes.
    crops_from
        Labelled crops of signs besides (folder or tar with labels.csv), for naming alone.
    encoder
        Run folder or bundle where naming begins, see `signs.start`; None: first weights.

    Raises
    ------
    UserError
        Nothing to learn from, or the folder holds another run.
    """
    if not 0 <= spec.naming.jitter <= MOST_JITTER:
        raise UserError(
            f"--naming.jitter {spec.naming.jitter:g}: a share from 0 to {MOST_JITTER} is needed, beyond it boxes turn inside out"
        )
    everything, skipped = pages(annotations, images, format=format)
    tested = {page.group for page in everything if page.split in TEST}
    made = [page for page in everything if page.group not in tested]
    if not made:
        raise UserError(f"{annotations} leaves no photograph to learn from{why(skipped)}")
    more = None if crops_from is None else more_crops(crops_from, without=tested)
    digest = hashlib.sha256(b"" if more is None else more.fingerprint.encode())
    for page in made:
        digest.update(json.dumps(to_dict(replace(page.tablet, steps=())), sort_keys=True).encode())
        digest.update(page.grey.tobytes())
    fingerprint = digest.hexdigest()
    whole = TrainedReader(
        **{f.name: getattr(spec, f.name) for f in fields(spec)},
        crops=None if crops_from is None else str(crops_from), encoder=None if encoder is None else str(encoder),
    )  # fmt: skip
    run = runs.open(out, whole, verb="tablets.train", source=str(annotations), fingerprint=fingerprint)
    if run.done:
        return run
    with closing(run):
        if skipped:
            pictures.write_skipped(run.path / "skipped.csv", skipped)
        parts = held_out(made, share=spec.validation, seed=spec.seed, parts=spec.naming.networks)
        groups, held = {p.group for p in made}, parts[0]
        if not held or held == groups:
            raise UserError(
                f"{annotations} has {len(groups)} tablets, {len(held)} of them to validate on: one at"
                " least is needed to learn from, and another to choose thresholds on"
            )
        run.resolve(tablets=len(groups), photographs=len(made), held_out=[sorted(part) for part in parts])
        learned, looked = [p for p in made if p.group not in held], [p for p in made if p.group in held]
        results, choices = _detector(run, spec, learned, looked, fingerprint, str(annotations))
        more = _namer(run, spec, made, parts, fingerprint, str(annotations), more, encoder)
        if run.writes:
            run.finish(results + more[0], choices=choices + more[1], warnings=[], skipped=len(skipped))
    return run


def _child(run: Run, name: str, settings: Any, fingerprint: str, source: str) -> Run:
    return runs.open(run.path / name, settings, verb=f"tablets.{name}", source=source, fingerprint=fingerprint)


def _detector(
    run: Run, spec: TrainReader, learned: list[Page], looked: list[Page], fingerprint: str, source: str
) -> tuple[list[stats.Result], list[dict[str, Any]]]:
    child = _child(run, "detector", spec.detecting, fingerprint, source)
    place = run.path / "model" / "detector"
    if not child.done:
        with closing(child):
            shown = [faces(p) for p in looked]
            watched = shown if spec.detecting.fit.keep == "best" else ()
            model = detector.fit([faces(p) for p in learned], spec.detecting, validation=watched, run=child)
            looks, seen, compared = detector.choose_looks(model, shown)
            threshold, tried = detector.choose_threshold(seen)
            value = stats.bootstrap(
                lambda i: scoring.average_precision_inside([seen[k] for k in i]), np.arange(len(seen)),
                group=np.array([p.group for p in looked]), draws=300,
            )  # fmt: skip
            if child.writes:
                detector.save(
                    place, model, threshold=threshold, looks=looks, data={"n": sum(len(p.boxes) for p in learned)}
                )
                result = stats.result(
                    "detection/ap50", *value, method="bootstrap over tablets", n=len({p.group for p in looked}),
                    unit="tablet", data=source, split="validation", seconds=0.0,
                )  # fmt: skip
                choices = [
                    {"name": "sizes at which a photograph is looked at", "value": list(looks), "metric": "AP50 of boxes",
                     "split": "validation", "candidates": [f"{', '.join(map(str, k))}: {v:.4f}" for k, v in compared]},
                    {"name": "detection threshold", "value": threshold, "metric": "F1 of boxes", "split": "validation",
                     "candidates": [f"{t:.2f}: {f:.4f}" for t, f in tried]},
                ]  # fmt: skip
                child.finish([result], choices=choices, warnings=[])
    return child.results, child.document["choices"]


def _namer(
    run: Run, spec: TrainReader, made: list[Page], parts: list[set[str]], fingerprint: str, source: str,
    more: Pictures | None, encoder: str | Path | None,
) -> tuple[list[stats.Result], list[dict[str, Any]]]:  # fmt: skip
    """Each network is validated on a part of its own, so that together they have learned from every tablet."""
    child = _child(run, "signs", spec.naming, fingerprint, source)
    if not child.done:
        with closing(child):
            mine = crops(made, margin=spec.naming.margin, jitter=spec.naming.jitter, seed=spec.naming.fit.seed)
            if more is not None:
                mine = together(mine, more.take(~np.isin(np.asarray(more.group), sorted(set().union(*parts)))))
            held = np.array([np.isin(np.asarray(mine.group), sorted(part)) for part in parts])
            naming.fit(child, spec.naming, mine, held, out=run.path / "model" / "signs", encoder=encoder)
    return child.results, child.document["choices"]
