"""JPEG: the encoder's settings, what stands beside the pixels, and changes that lie on the grid of the file's own tables.

A JPEG keeps the cosine coefficients of blocks of 8 x 8 as multiples of its quantisation tables. A change of pixels is
rounded to that grid when it is saved, and one that is small beside the tables is gone. The pixels of a decoded JPEG lie
on the grid already, so here the change is chosen in whole steps: saving then alters next to nothing, and no part of the
budget goes into saving again.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image
from scipy.fft import dctn, idctn

SUBSAMPLINGS = {(1, 1, 1, 1, 1, 1): 0, (2, 1, 1, 1, 1, 1): 1, (2, 2, 1, 1, 1, 1): 2}  # those that Pillow writes
CREDENTIALS = "the content credentials (C2PA) were left out: they are of the unmarked picture"
FOLDS = {0: (1, 1), 1: (1, 2), 2: (2, 2)}
"""rows and columns of pixels that share a value of colour"""
MIX = {
    "L": [[1.0]],
    "RGB": np.eye(3),
    "YCbCr": [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]],  # ITU-T T.871, 7
}
SWEEPS = 2
"""rounds over the components, each fitted to what the others leave"""


@dataclass(frozen=True)
class Grid:
    """A JPEG as it is stored, before the blocks at the right and lower edge are cut."""

    planes: list[Float32[np.ndarray, "_ _"]]
    """each component at its own resolution"""
    mode: str
    """of Pillow: L, RGB or YCbCr"""
    mix: Float32[np.ndarray, "c k"]
    """change of each channel that is seen for a unit of each component"""
    steps: list[Float32[np.ndarray, "1 8 1 8"]]
    """the quantisation table of each component"""
    folds: list[tuple[int, int]]
    """rows and columns of pixels that share a value of each component"""


def settings(image: Image.Image, content: bytes) -> tuple[dict, tuple[str, ...], int]:
    """What Pillow needs to encode as the original was, what is lost, and bits a value."""
    layers = image.layer  # ty: ignore[missing-attribute]
    # a lossless JPEG has no tables
    tables = [image.quantization.get(table, [1] * 64) for _, _, _, table in layers]  # ty: ignore[missing-attribute]
    while len(tables) > 1 and tables[-1] == tables[-2]:  # Pillow gives the last one to all further components
        tables.pop()
    found = {
        "qtables": tables,
        "progressive": bool(image.info.get("progressive")),
    }
    before, rest = segments(content)
    notes = ()
    if len(layers) == 3:
        sampling = _subsampling(layers)
        found["subsampling"] = sampling or 0
        found["keep_rgb"] = _stored_as_rgb(before, [layer[0] for layer in layers])
        if sampling is None:
            notes += ("the colour subsampling is of an uncommon kind and became 4:4:4",)
    if any(_credentials(kind, whole) for kind, whole in before):
        notes += (CREDENTIALS,)
    end = content.find(b"\xff\xd9", rest)  # inside a scan a byte ff is followed by 00 or a restart marker
    if end >= 0 and content[end + 2 :].strip(b"\0"):
        notes += ("what follows the picture in the file was left out",)
    return found, notes, 8


def encode(image: Image.Image, original: bytes, found: dict) -> bytes:
    """The new picture's tables and scans behind the original's segments; `found` is what `settings` gave."""
    try:
        made = _written(image, found)
    except OSError:
        # Pillow's buffer for progressive files holds 2 bytes a pixel, which noise at the highest quality exceeds
        made = _written(image, found | {"progressive": False})
    own, _ = segments(original)
    new, at = segments(made)
    kept = [whole for kind, whole in own if describes(kind) and not _credentials(kind, whole)]
    # the index of several pictures in one file points at what is no longer there
    kept = [whole for whole in kept if not (whole[1] == 0xE2 and whole[4:8] == b"MPF\0")]
    return b"\xff\xd8" + b"".join(kept + [whole for kind, whole in new if not describes(kind)]) + made[at:]


def _written(image: Image.Image, found: dict) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **found)
    return out.getvalue()


def segments(content: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Kind and whole bytes of each segment of a JPEG (ITU-T T.81, B.1) before its first scan, and where that begins."""
    found, at = [], 2
    while at + 4 <= len(content) and content[at : at + 2] != b"\xff\xda":
        if content[at] != 0xFF or content[at + 1] in (0x00, 0xFF):  # bytes that fill up before a marker
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        found.append((content[at + 1], content[at : at + 2 + length]))
        at += 2 + length
    return found, at


def describes(kind: int) -> bool:
    """Whether a segment is an APPn or a comment: about the picture, not of it."""
    return 0xE0 <= kind <= 0xEF or kind == 0xFE


def grid(original: bytes, found: dict) -> Grid | None:
    """The picture on the grid of its tables; None where it has none, or a subsampling that Pillow does not write.

    Parameters
    ----------
    original
        The content of the file.
    found
        What `settings` gave.
    """
    image = Image.open(io.BytesIO(original), formats=("JPEG", "MPO"))
    layers = image.layer  # ty: ignore[missing-attribute]
    sampling = _subsampling(layers) if len(layers) == 3 else 0
    if sampling is None or not image.quantization:  # ty: ignore[missing-attribute]
        return None
    folds = [(1, 1)] + [FOLDS[sampling]] * (len(layers) - 1)
    # the blocks at the edges hold more than is shown: with sides of whole blocks the same scans show all of it. Scans
    # of one component end with its last block that is shown, so that half a block of colour may stay hidden there
    _, scan = segments(original)
    whole = not found["progressive"] and original[scan + 4] == len(layers)
    sides = tuple(
        -(-n // (8 * fold)) * 8 * fold
        for n, fold in zip((image.height, image.width), folds[-1] if whole else (1, 1), strict=True)
    )
    image = Image.open(io.BytesIO(_with_sides(original, *sides)), formats=("JPEG", "MPO"))
    if len(layers) == 3 and not found["keep_rgb"]:
        image.draft("YCbCr", None)
    x = np.asarray(image, dtype=np.float32).reshape(*sides, -1)
    tables = [found["qtables"][min(k, len(found["qtables"]) - 1)] for k in range(x.shape[2])]
    planes = []
    for plane, (down, across) in zip(np.moveaxis(x, 2, 0), folds, strict=True):
        plane = _narrow(plane) if across == 2 else plane
        planes.append(_narrow(plane.T).T if down == 2 else plane)
    steps = [np.array(table, dtype=np.float32).reshape(1, 8, 1, 8) for table in tables]
    return Grid(planes, image.mode, np.array(MIX[image.mode], dtype=np.float32), steps, folds)


def moved(of: Grid, wanted: Float[np.ndarray, "h w c"], original: bytes, found: dict) -> bytes:
    """The file with whole steps of its tables added, those that come next to a change.

    Of all changes on the grid with the same energy this one (a multiple of the change, rounded) goes farthest along it,
    but for what the components' overlap takes.

    Parameters
    ----------
    of
        What `grid` gave.
    wanted
        Grey levels of each channel, as the pixels are stored, not as they are turned.
    original, found
        The content of the file, and what `settings` gave.
    """
    h, w = of.planes[0].shape
    shown = wanted.shape[:2]
    wanted = np.pad(wanted, ((0, h - shown[0]), (0, w - shown[1]), (0, 0)))
    overlap = of.mix.T @ of.mix
    overlap /= np.diag(overlap)  # [j, k]: what a unit of j looks like to k
    along = [wanted @ (column / (column @ column)) for column in of.mix.T]
    n = len(of.planes)
    change: list[np.ndarray] = [np.zeros_like(plane) for plane in of.planes]
    whole: list[np.ndarray] = [np.zeros((h, w), np.float32)] * n
    # colour first: its steps are the coarsest, and brightness makes up for what they take of it
    for k in list(range(n))[::-1] * (SWEEPS if n > 1 else 1):
        left = along[k]
        for j in range(n):
            if j != k and overlap[j, k]:
                left = left - overlap[j, k] * whole[j]
        change[k] = _rounded(_folded(left, of.folds[k]), of.steps[k])
        whole[k] = _unfolded(change[k], of.folds[k])
    stored = [
        Image.fromarray(_unfolded(np.clip(np.rint(plane + step), 0, 255).astype(np.uint8), fold))
        for plane, step, fold in zip(of.planes, change, of.folds, strict=True)
    ]
    image = stored[0] if n == 1 else Image.merge(of.mode, stored)
    return _with_sides(encode(image, original, found), *shown)


def _rounded(x: Float32[np.ndarray, "h w"], steps: Float32[np.ndarray, "1 8 1 8"]) -> Float32[np.ndarray, "h w"]:
    """The change of whole steps that is nearest."""
    h, w = x.shape
    x = np.pad(x, ((0, -h % 8), (0, -w % 8)))  # colour of half as many blocks may end within one
    blocks = x.reshape(x.shape[0] // 8, 8, x.shape[1] // 8, 8)
    coefficients = dctn(blocks, axes=(1, 3), norm="ortho")
    return idctn(np.rint(coefficients / steps) * steps, axes=(1, 3), norm="ortho").reshape(x.shape)[:h, :w]


def _folded(x: Float32[np.ndarray, "h w"], fold: tuple[int, int]) -> Float32[np.ndarray, "_ _"]:
    """Means over the pixels that share a value."""
    x = (x[:, ::2] + x[:, 1::2]) / 2 if fold[1] == 2 else x
    return (x[::2] + x[1::2]) / 2 if fold[0] == 2 else x


def _unfolded(x: np.ndarray, fold: tuple[int, int]) -> np.ndarray:
    """Each value over its pixels: the encoder's mean gives back exactly the value."""
    down, across = fold
    return x.repeat(down, 0).repeat(across, 1) if fold != (1, 1) else x


def _narrow(x: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h _"]:
    """Half the columns, from which libjpeg's interpolation makes these.

    It gives (3 c[i] + c[i-1]) / 4 and (3 c[i] + c[i+1]) / 4, and c[i] alone at the ends. Each pair of neighbours across
    a border between values so tells both; the mean of the two answers halves the error of rounding.
    """
    wide = np.pad(x, ((0, 0), (1, 1)), mode="edge")
    return (3 * (x[:, ::2] + x[:, 1::2]) - wide[:, :-2:2] - wide[:, 3::2]) / 4


def _with_sides(content: bytes, h: int, w: int) -> bytes:
    """The same scans with another number of rows and columns in the frame's header (ITU-T T.81, B.2.2)."""
    at = 2
    for kind, whole in segments(content)[0]:
        at = content.index(whole, at)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return content[: at + 5] + struct.pack(">HH", h, w) + content[at + 9 :]
        at += len(whole)
    raise ValueError("a JPEG without a frame")


def _subsampling(layers: list[tuple[int, int, int, int]]) -> int | None:
    """Pillow's number for the subsampling of three components; None: it writes no such."""
    return SUBSAMPLINGS.get(tuple(n for _, across, down, _ in layers for n in (across, down)))


def _credentials(kind: int, whole: bytes) -> bool:
    return kind == 0xEB and whole[4:6] == b"JP"


def _stored_as_rgb(found: list[tuple[int, bytes]], names: list[int]) -> bool:
    """Whether three components are RGB, by libjpeg's rule: a JFIF segment, else Adobe's, else the components' names."""
    if any(kind == 0xE0 and whole[4:9] == b"JFIF\0" for kind, whole in found):
        return False
    adobe = [whole for kind, whole in found if kind == 0xEE and whole[4:9] == b"Adobe" and len(whole) >= 16]
    return adobe[-1][15] == 0 if adobe else bytes(names) == b"RGB"
