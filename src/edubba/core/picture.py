"""One picture file: its header, and its pixels as a small square of bytes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

# Pillow's others start programs (EPS), have no magic number (TGA) or hold no photographs
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "ICO")
GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientation (CIPA DC-008, 4.6.4): what turns the stored picture upright

Image.init()
KNOWN_FORMATS = [name for name in FORMATS if name in Image.OPEN]  # older Pillows lack AVIF


@dataclass(frozen=True)
class Skipped:
    """A file that was left out."""

    file: str
    reason: Literal[
        "empty", "not-a-picture", "truncated", "corrupt", "too-large", "unreadable", "no-label", "not-marked"
    ]
    detail: str


@dataclass(frozen=True)
class Header:
    """What is known of a picture before its pixels are read."""

    h: int
    w: int
    grey: bool


@dataclass(frozen=True)
class Decoded:
    """One picture, squashed to a square; h and w are those before, upright."""

    file: str
    hash: str
    hw: tuple[int, int]
    pixels: UInt8[np.ndarray, "s s c"]


def header(name: str, start: Callable[[], BinaryIO]) -> Header | Skipped:
    """Size and kind of a picture file, as stored (EXIF may turn it); `start` opens the file."""
    try:
        with start() as file:
            if not file.read(1):
                return Skipped(name, "empty", "0 bytes")
            file.seek(0)
            with Image.open(file, formats=KNOWN_FORMATS) as image:
                return Header(image.height, image.width, image.mode in GREY_MODES)
    except Exception as error:  # Pillow has no one error for bad files: each is named with its reason instead
        return skipped(name, error)


def decode(name: str, start: Callable[[], BinaryIO], side: int, channels: int) -> Decoded | Skipped:
    """A picture file as (side, side, channels) bytes; `images.open` says how the odd kinds are read."""
    try:
        with start() as file:
            if not (raw := file.read()):
                return Skipped(name, "empty", "0 bytes")
            file.seek(0)
            with Image.open(file, formats=KNOWN_FORMATS) as image:
                h, w = image.height, image.width
                image.draft(None, (2 * side, 2 * side))  # a JPEG comes out at 1/2, 1/4 or 1/8, but not below this
                image.load()
                turn = orientation(image)
                upright = image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image
                pixels = square(eight_bits(upright, channels), side)
    except Exception as error:  # as in `header`
        return skipped(name, error)
    return Decoded(name, hashlib.blake2b(raw, digest_size=16).hexdigest(), (w, h) if turn >= 5 else (h, w), pixels)


def shrink(name: str, content: str, x: UInt8[np.ndarray, "h w c"], side: int) -> Decoded:
    """A picture of an array, with its content hash, as `decode` gives that of a file."""
    image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
    return Decoded(name, content, (x.shape[0], x.shape[1]), square(image, side))


def square(image: Image.Image, side: int) -> UInt8[np.ndarray, "s s c"]:
    """Squashed without aliasing: boxes down to three times the side, then bicubic."""
    small = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0))
    return small.reshape(side, side, -1)


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where the EXIF is broken, as picture viewers do."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of many kinds; the pixels are good all the same
        return 1
    return turn if turn in UPRIGHT else 1


def eight_bits(image: Image.Image, channels: int) -> Image.Image:
    """The picture in mode L (channels = 1) or RGB (3): transparency on white, more than 8 bits scaled down."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(scaled(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def scaled(values: Shaped[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Deep grey values as bytes, by the rule of `images.open`; what is not finite becomes black.

    >>> scaled(np.array([[0, 2048, 4095]], dtype=np.uint16))  # 12 bits in 16, as X-ray machines write them
    array([[  0, 128, 255]], dtype=uint8)
    """
    whole = values.dtype.kind in "iub"
    finite = np.isfinite(values)
    values = np.where(finite, values, 0).astype(np.float64)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    full = next((f for f in ((255, 4095, 65535) if whole else (1,)) if low >= 0 and high <= f), None)
    if full is not None:
        low, high = 0.0, float(full)
    return np.where(finite, np.rint((values - low) * (255 / (high - low or 1))), 0).astype(np.uint8)


def skipped(name: str, error: Exception) -> Skipped:
    """The file and why it could not be read."""
    detail = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        return Skipped(name, "not-a-picture", f"none of the formats {', '.join(KNOWN_FORMATS)}")
    if isinstance(error, Image.DecompressionBombError):
        return Skipped(name, "too-large", detail)
    if isinstance(error, OSError) and error.errno is not None:
        return Skipped(name, "unreadable", error.strerror or detail)
    if "truncated" in detail.lower():
        return Skipped(name, "truncated", detail)
    return Skipped(name, "corrupt", detail)
