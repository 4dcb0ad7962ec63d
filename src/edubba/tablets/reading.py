"""From the photograph of a tablet to its transliteration: find signs, name them, order them, read them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import nn

from edubba import __version__
from edubba.core import runs
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.tablets import detector, lines, photographs, signs
from edubba.tablets.records import Box, Candidate, Evidence, Line, Sign, Step, Surface, Tablet

SHOWN = 5
"""names that are given with their probability"""
OFF = 0.15
"""share of its width by which either side of a box is moved: found boxes are off by so much, drawn ones are not"""
MOVES = tuple((OFF * (0, 1, -1)[i], OFF * (0, -1, 1)[(i + j) % 3]) for i in range(3) for j in range(3))
"""how the left and the right side of a box are moved for each look: one of three networks that take turns sees every move of each side"""


@dataclass(frozen=True)
class Reader:
    """What `train_reader` made."""

    finds: nn.Module
    threshold: float
    """least score of a detection"""
    looks: tuple[float, ...]
    """sizes at which a photograph is looked at, see `detector.LOOKS`"""
    namer: signs.Namer


def load(path: str | Path) -> Reader:
    """The reader of a run folder.

    Raises
    ------
    UserError
        Nothing is there, or the run is unfinished.
    """
    path = Path(path)
    if (path / "spec.toml").exists() and not runs.read(path).done:
        raise UserError(f"{path} is unfinished: type its `edubba tablets train` line once more, it goes on")
    if not (path / "model" / "signs").is_dir():
        raise UserError(
            f"{path} holds no reader: make one with `edubba tablets train ANNOTATIONS --images DIR -o {path}`"
        )
    finds, threshold, looks = detector.load(path / "model" / "detector")
    return Reader(finds, threshold, looks, signs.load(path / "model" / "signs"))


def cut(
    photograph: np.ndarray, boxes: np.ndarray, *, margin: float, period: str = "", file: str = "photograph"
) -> Pictures:
    """Boxes of a photograph as crops to be named."""
    shape = np.rint(np.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], axis=1)).astype(int)
    names = np.array([f"{file}#{i}" for i in range(len(boxes))], dtype=str)
    return Pictures(
        x=signs.crop(photograph, boxes, margin=margin), shape_hw=np.maximum(1, shape.reshape(-1, 2)), file=names,
        hash=names, size=64, source=file, extra={"period": np.full(len(boxes), period)},
    )  # fmt: skip


def names(
    namer: signs.Namer, photograph: np.ndarray, boxes: Float32[np.ndarray, "n 4"], *, period: str = ""
) -> tuple[Float32[np.ndarray, "n names"], Float32[np.ndarray, "n d"]]:
    """Probabilities of the names of boxes, and features of what is in them.

    Each box is looked at as it is and with its sides moved, and probabilities are averaged. The networks take turns.
    """
    p, features = np.zeros((len(boxes), len(namer.names)), np.float32), None
    looks = max(len(MOVES), len(namer.networks))
    width = boxes[:, 2] - boxes[:, 0]
    for k in range(looks):
        left, right = MOVES[k % len(MOVES)]
        moved = boxes + np.stack([left * width, 0 * width, right * width, 0 * width], axis=1)
        network = namer.networks[k % len(namer.networks)]
        crops = cut(photograph, moved, margin=namer.margin, period=period)
        seen = signs.look((network,), crops, namer.periods, size=namer.size, looks=1)
        p += signs.probabilities(namer, seen.logits) / np.float32(looks)
        features = seen.h if features is None else features
    assert features is not None
    return p, features


def read(
    photograph: str | Path,
    *,
    reader: Reader | str | Path,
    restorer: Any = None,
    period: str = "",
    sign_height: float = 0.0,
    id: str = "",
) -> Tablet:
    """Read one photograph.

    Parameters
    ----------
    photograph
        A picture file.
    reader
        Run folder of `train_reader`, or what `load` gave.
    restorer
        From `restoring.load`: what stands around a sign then helps to name it. None: each sign by itself.
    period
        One of the periods that the reader was trained with, where it is known.
    sign_height
        Of most signs, pixels; 0: found by itself.

    Returns
    -------
    Signs with boxes, names with probabilities and evidence, in lines. What is not sure enough has no name, but its
    candidates.

    Raises
    ------
    UserError
        The photograph cannot be read, or the period is unknown to the reader.
    """
    if not isinstance(reader, Reader):
        reader = load(reader)
    namer = reader.namer
    if period and period not in namer.periods:
        known = ", ".join(namer.periods) or "none"
        raise UserError(f"--period {period!r} is not one that this reader was trained with ({known}): leave it out")
    pixels, known_as = photographs.read(photograph)
    found, height = detector.detect(
        reader.finds, pixels, sign_height=sign_height, threshold=reader.threshold, looks=reader.looks
    )
    tablet = Tablet(id=id or Path(photograph).stem, period=period, photograph=known_as)
    tablet = tablet.stepped(
        step(
            "detect",
            sign_height=round(height, 1),
            threshold=reader.threshold,
            looks=list(reader.looks),
            found=len(found.boxes),
        )
    )
    surfaces = ordered(found.boxes, found.scores)
    tablet = replace(tablet, surfaces=surfaces).stepped(step("order", method="chains"))
    p, h = names(namer, pixels, found.boxes, period=period)
    fused = p
    if restorer is not None:
        fused = with_context(p, surfaces, namer.names, restorer)
    tablet = named(tablet, p, fused, h, namer)
    return tablet.stepped(
        step(
            "name",
            threshold=round(namer.threshold, 4),
            temperature=round(namer.temperature, 4),
            context=restorer is not None,
        )
    )


def step(what: str, **settings: Any) -> Step:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return Step(what=what, by=f"edubba {__version__}", when=now, settings=settings)


def ordered(boxes: np.ndarray, scores: np.ndarray) -> tuple[Surface, ...]:
    """Boxes as signs in lines on faces; those that fit no line stand in a line of their own kind. `extra["at"]` is the box's number."""
    surfaces = []
    for number, face in enumerate(lines.faces(boxes)):
        found = lines.find(boxes[face], scores=scores[face])
        made = []
        for k, (line, path) in enumerate(zip(found.lines, found.paths, strict=True)):
            members = tuple(_sign(int(face[i]), boxes, scores) for i in line)
            points = tuple((round(float(x), 1), round(float(y), 1)) for x, y in path)
            made.append(Line(id=f"f{number}l{k}", label=str(k + 1), signs=members, path=points))
        if len(found.unplaced):
            rest = tuple(_sign(int(face[i]), boxes, scores) for i in found.unplaced)
            made.append(Line(id=f"f{number}u", kind="unplaced", signs=rest))
        low, high = boxes[face][:, :2].min(0), boxes[face][:, 2:].max(0)
        surfaces.append(
            Surface(
                id=f"f{number}",
                kind=f"face {chr(97 + number % 26)}",
                box=_box(np.concatenate([low, high])),
                lines=tuple(made),
            )
        )
    return tuple(surfaces)


def _box(values: np.ndarray) -> Box:
    return Box(*(round(float(v), 1) for v in values))


def _sign(i: int, boxes: np.ndarray, scores: np.ndarray) -> Sign:
    return Sign(id=f"s{i}", box=_box(boxes[i]), score=round(float(scores[i]), 4), extra={"at": i})


def with_context(p: np.ndarray, surfaces: Sequence[Surface], names: Sequence[str], restorer: Any) -> np.ndarray:
    """Probabilities of names in the light of what stands around them."""
    from edubba.tablets import fusing

    if restorer.tokens != "signs":
        raise UserError(
            "this restorer learned readings, and context needs signs: make one with `edubba tablets train-restorer`"
            " --tokens signs"
        )
    rows = [[sign.extra["at"] for sign in line.signs] for s in surfaces for line in s.lines if line.kind == "text"]
    fused = fusing.fuse_lines([np.log(np.maximum(p[row], 1e-9)) for row in rows], list(names), restorer)
    out = p.copy()
    for row, made in zip(rows, fused, strict=True):
        out[row] = made
    return out


def named(tablet: Tablet, ink: np.ndarray, fused: np.ndarray, h: np.ndarray, namer: signs.Namer) -> Tablet:
    """The same tablet with names, candidates and evidence."""

    def one(sign: Sign) -> Sign:
        i = sign.extra["at"]
        best = np.argsort(-fused[i], kind="stable")[:SHOWN]
        candidates = tuple(Candidate(namer.names[k], round(float(fused[i, k]), 4)) for k in best)
        sure = bool(fused[i, best[0]] >= namer.threshold)
        evidence: tuple[Evidence, ...] = ()
        if namer.bank is not None:
            evidence = tuple(e for k in best[:2] for e in signs.alike(namer.bank, h[i], namer.names[k]))
        extra = {}
        if fused is not ink:
            seen = np.argsort(-ink[i], kind="stable")[:SHOWN]
            extra = {"ink": [[namer.names[k], round(float(ink[i, k]), 4)] for k in seen]}
        return replace(
            sign, name=candidates[0].name if sure else None, candidates=candidates, abstained=not sure,
            evidence=evidence, extra=extra,
        )  # fmt: skip

    def line(old: Line) -> Line:
        return replace(old, signs=tuple(map(one, old.signs)))

    surfaces = tuple(replace(s, lines=tuple(map(line, s.lines))) for s in tablet.surfaces)
    return replace(tablet, surfaces=surfaces)
