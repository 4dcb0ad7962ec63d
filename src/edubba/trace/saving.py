"""Pictures saved again with other pixels: the format, the settings of its encoder and all that stands beside the pixels stay.

What may change besides the pixels is said in `notes`; a picture that cannot be saved so comes back as `Unmarkable` with
the reason. The bytes depend on the picture and the version of Pillow alone.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int16, UInt8
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from edubba.core import picture
from edubba.trace import jpeg, quality

PSNR, MAX_DELTA = 42.0, 16.0
"""the least quality of a marked picture in dB, and the largest change of a value in grey levels"""
HALVINGS = 8
"""of the interval in which the mark's strength is sought: it ends within 1/256 of the strongest that fits"""
ROUNDS = 10
"""of fitting a mark to a JPEG's grid: most pictures of 32 pixels need 3 to 7, larger ones 3"""
ENOUGH = 0.97
"""of the budget's energy, or of the mark: there the fitting ends"""
WEBP_QUALITY = 95
TIFF_LOSSLESS = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "lzma", "zstd"}
TIFF_LAYOUT = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 292, 293, 317, 320,
    322, 323, 324, 325, 330, 338, 339, 340, 341, 347,
}  # fmt: skip
"""tags that say how the pixels lie in the file; the others describe the picture"""
OTHER_FORMATS = {
    "GIF": "a GIF holds at most 256 colours",
    "AVIF": "AVIF does not tell how strongly it was compressed",
    "JPEG2000": "JPEG 2000 does not tell how strongly it was compressed",
    "ICO": "an icon holds several pictures",
}


@dataclass(frozen=True)
class Unmarkable:
    """A picture file that cannot carry a mark."""

    reason: str
    """what is in the way, and the way out"""


@dataclass(frozen=True)
class Loaded:
    """A picture file that can be saved with other pixels. Arrays are upright, whatever EXIF's orientation says."""

    content: bytes = field(repr=False)
    format: str
    """PNG, JPEG, WEBP, TIFF, BMP or PPM"""
    colour: UInt8[np.ndarray, "h w c"] = field(repr=False)
    """the values to be marked: grey (c = 1) or RGB, without alpha"""
    alpha: UInt8[np.ndarray, "h w"] | None = field(repr=False)
    turn: int
    """EXIF's orientation, 1 to 8, of the pixels as they are stored"""
    lossless: bool
    settings: dict = field(repr=False)
    """what Pillow needs to encode as the original was"""
    notes: tuple[str, ...]
    """what saving changes besides the pixels"""

    @property
    def seen(self) -> UInt8[np.ndarray, "h w c"]:
        """The picture as `images.open` and a browser show it: transparency laid on white."""
        return _on_white(self.colour, self.alpha)


@dataclass(frozen=True)
class Saved:
    """A marked file, and how far it is from its original. All figures are of the file read again, as it is seen."""

    content: bytes = field(repr=False)
    psnr: float
    """dB against the original; inf where nothing changed"""
    ssim: float
    """against the original; nan below 11 pixels"""
    max_delta: float
    """largest change against the original, grey levels"""
    psnr_resaved: float
    """dB against the original saved again without a mark: the same as `psnr` in a lossless format and on a JPEG's grid"""
    scale: float
    """what the mark was multiplied by to stay within the budget, 0 to 1; in a JPEG, how far the file goes along it"""
    against: str
    """what the budget is held against: original; or resaved, where this format's loss alone breaks the budget"""
    realised: Int16[np.ndarray, "h w c"] = field(repr=False)
    """what is left of the mark: the file read again minus the original"""
    notes: tuple[str, ...]
    """what else changed"""


def load_pixels(original: bytes) -> Loaded | Unmarkable:
    """What is to be marked in a picture file, and what a reader sees.

    PNG, JPEG, WebP, TIFF, BMP and PPM of 8 bits can be marked. Palettes and fewer bits become RGB or grey of 8 bits and
    one transparent colour becomes an alpha channel: nothing seen changes by that. More than 8 bits, CMYK, several
    frames or pages and formats without a known quality cannot.

    Parameters
    ----------
    original
        The content of the file.
    """
    try:
        image = Image.open(io.BytesIO(original), formats=picture.KNOWN_FORMATS)
        image.load()
    except Exception as error:  # as in `picture.header`: Pillow has no one error for bad files
        bad = picture.skipped("", error)
        return Unmarkable(f"it cannot be read ({bad.reason}: {bad.detail})")
    return _look(image, original)


def save(original: bytes, pixels: UInt8[np.ndarray, "h w c"]) -> bytes | Unmarkable:
    """The file with other pixels.

    Everything else stays as it is, as far as the format lets it. PNG: bit depth, alpha and every chunk beside the
    pixels. JPEG: quantisation tables, colour subsampling, progressive or not, and every segment beside the pixels
    (EXIF, ICC, XMP, comments). WebP: lossless or not, alpha, EXIF, ICC, XMP. TIFF: compression where it is lossless,
    and the tags. BMP: resolution. Pixels go back to the orientation in which they were stored.

    Parameters
    ----------
    original
        The content of the file.
    pixels
        What takes the place of `load_pixels(original).colour`, upright and without alpha.

    Raises
    ------
    ValueError
        The pixels have another shape than the picture.
    """
    loaded = load_pixels(original)
    return loaded if isinstance(loaded, Unmarkable) else _encode(loaded, pixels)


def add(
    original: bytes, delta: Float[np.ndarray, "s t c"], *, psnr: float = PSNR, max_delta: float = MAX_DELTA
) -> Saved | Unmarkable:
    """Add a mark to a picture file, as strong as it is given or as the budget lets it.

    The mark is resized to the picture (bilinear, with antialias; the aspect goes with it, as `images.open` squashes
    to squares), added to the upright picture, rounded and clipped; where the picture is fully transparent nothing is
    added. A grey file takes the mean of a mark's three channels, a file in colour a grey mark in all three. Where the
    file, read again, breaks the budget, the mark's scale is sought by bisection. In a picture of the mark's own size
    and a lossless format the file holds exactly round(original + scale * delta). A JPEG changes by whole steps of its
    own tables, those that go farthest along the mark within the budget; where none do, it is saved as others are.

    Parameters
    ----------
    original
        The content of the file.
    delta
        Floats in grey levels at the resolution of the marker, 1 or 3 channels.
    psnr
        Least quality of the file read again, dB against the original.
    max_delta
        Largest change of a value of the file read again, grey levels.
    """
    loaded = load_pixels(original)
    if isinstance(loaded, Unmarkable):
        return loaded
    mark = _at_size(delta, loaded)
    before = loaded.seen

    def marked(scale: float) -> tuple[UInt8[np.ndarray, "h w c"], bytes | None]:
        """What is seen of the file at a scale, and its content, which a lossless format need not make yet."""
        pixels = np.clip(np.rint(loaded.colour + scale * mark), 0, 255).astype(np.uint8)
        if loaded.lossless:
            return _on_white(pixels, loaded.alpha), None
        content = _encode(loaded, pixels)
        return _again(content), content

    on_grid = _on_grid(loaded, mark, psnr, max_delta) if loaded.format == "JPEG" else None
    resaved = before if loaded.lossless or on_grid else marked(0.0)[0]
    fits = _fits(resaved, before, psnr, max_delta)
    reference = before if fits else resaved
    scale, (after, content) = on_grid or (1.0, marked(1.0))
    if not _fits(after, reference, psnr, max_delta):
        scale, high, best = 0.0, 1.0, None
        for _ in range(HALVINGS):
            middle = (scale + high) / 2
            tried = marked(middle)
            if _fits(tried[0], reference, psnr, max_delta):
                scale, best = middle, tried
            else:
                high = middle
        if best is None:
            return Unmarkable(f"no mark fits within {psnr:g} dB and {max_delta:g} grey levels: allow more of either")
        after, content = best
    if content is None:
        content = _encode(loaded, np.clip(np.rint(loaded.colour + scale * mark), 0, 255).astype(np.uint8))
        after = _again(content)
    return Saved(
        content,
        psnr=float(quality.psnr(after, before)),
        ssim=float(quality.ssim(after, before)),
        max_delta=float(quality.max_delta(after, before)),
        psnr_resaved=float(quality.psnr(after, resaved)),
        scale=scale,
        against="original" if fits else "resaved",
        realised=after.astype(np.int16) - before,
        notes=loaded.notes,
    )


def _on_grid(
    loaded: Loaded, mark: Float[np.ndarray, "h w k"], psnr: float, max_delta: float
) -> tuple[float, tuple[UInt8[np.ndarray, "h w c"], bytes]] | None:
    """A mark in whole steps of a JPEG's tables: how far the file goes along it, what is seen of it, and its content.

    None where no step fits. Small steps are rounded away and large ones kept whole, so the strength that spends the
    budget is found by trying, and what goes beyond the largest change of a value is taken from the next try.
    """
    mark = np.broadcast_to(mark, loaded.colour.shape).astype(np.float32)
    grid, energy = jpeg.grid(loaded.content, loaded.settings), float(np.square(mark).sum())
    if grid is None or not energy:
        return None
    before, allowed, largest = loaded.seen, 255**2 / 10 ** (psnr / 10), max(max_delta - 1, 0)
    strength, excess, along, best = 1.0, np.zeros_like(mark), 0.0, None
    for _ in range(ROUNDS):
        wanted = np.moveaxis(strength * mark - excess, 2, 0)
        wanted = np.stack([np.asarray(_turned_back(Image.fromarray(x), loaded.turn)) for x in wanted], axis=2)
        content = jpeg.moved(grid, wanted, loaded.content, loaded.settings)
        after = _again(content)
        change = after.astype(np.float32) - before
        spent, reached = float(np.square(change).mean()) / allowed, float((change * mark).sum()) / energy
        if _fits(after, before, psnr, max_delta) and abs(1 - reached) < abs(1 - along):
            along, best = reached, (after, content)
            if spent > ENOUGH or abs(1 - reached) < 1 - ENOUGH:
                break
        if np.abs(change).max() > max_delta:
            excess += 2 * (change - np.clip(change, -largest, largest))
        strength *= min(2.0, math.sqrt((1 + ENOUGH) / 2 / max(spent, 0.01)), 1 / max(reached, 0.01))
    return None if best is None else (min(1.0, along), best)


def _fits(after: np.ndarray, before: np.ndarray, psnr: float, max_delta: float) -> bool:
    within = quality.max_delta(after, before) <= max_delta and quality.psnr(after, before) >= psnr
    return bool(within)


def _again(content: bytes) -> UInt8[np.ndarray, "h w c"]:
    """What is seen of a file that was just written."""
    loaded = load_pixels(content)
    if isinstance(loaded, Unmarkable):
        raise RuntimeError(f"a file that was just written is not markable: {loaded.reason}")
    return loaded.seen


def _at_size(delta: Float[np.ndarray, "s t c"], loaded: Loaded) -> Float[np.ndarray, "h w k"]:
    """The mark at the size and with the channels of the picture, 0 where nothing can be seen of it."""
    h, w, channels = loaded.colour.shape
    x = torch.from_numpy(delta).permute(2, 0, 1)[None]
    if x.shape[1] > channels:
        x = x.mean(1, keepdim=True)
    x = F.interpolate(x, (h, w), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    return x if loaded.alpha is None else x * (loaded.alpha > 0)[..., None]


def _on_white(colour: UInt8[np.ndarray, "h w c"], alpha: UInt8[np.ndarray, "h w"] | None) -> UInt8[np.ndarray, "h w c"]:
    if alpha is None:
        return colour
    shown = picture.eight_bits(_image(colour, alpha), colour.shape[2])
    return np.asarray(shown).reshape(colour.shape)


def _image(colour: UInt8[np.ndarray, "h w c"], alpha: UInt8[np.ndarray, "h w"] | None) -> Image.Image:
    """An image in mode L, LA, RGB or RGBA."""
    x = colour if alpha is None else np.concatenate([colour, alpha[..., None]], axis=2)
    return Image.fromarray(x[..., 0] if x.shape[2] == 1 else np.ascontiguousarray(x))


def _look(image: Image.Image, content: bytes) -> Loaded | Unmarkable:
    """The picture as it can be marked, with what its encoder needs."""
    name = "JPEG" if image.format == "MPO" else str(image.format)
    if name not in ENCODE:
        return Unmarkable(f"{OTHER_FORMATS[name]}: save it as PNG to have it marked")
    if name != "JPEG" and getattr(image, "n_frames", 1) > 1:
        return Unmarkable(f"it holds {image.n_frames} frames or pages: save one as a picture of its own")  # ty: ignore[missing-attribute]
    if image.mode in ("CMYK", "YCbCr", "LAB", "RGBX"):
        return Unmarkable(f"its colours are {image.mode}: convert it to RGB or grey")
    compression = image.info.get("compression")
    if name == "TIFF" and compression not in TIFF_LOSSLESS:
        return Unmarkable(f"its compression, {compression}, cannot be kept: save it with LZW or Deflate")
    settings, notes, depth = SETTINGS[name](image, content)
    stored, turn = image.mode, picture.orientation(image)
    if depth > 8:
        return Unmarkable(f"it has {depth} bits a value, and only 8 are handled: convert it to 8 bits")
    if stored in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        notes += (f"the palette became {image.mode}",)
    elif stored in ("1", "L", "RGB") and image.has_transparency_data:
        image = image.convert("RGBA" if stored == "RGB" else "LA")
        notes += ("the transparent colour became an alpha channel",)
    elif depth < 8 or stored == "1":
        image = image.convert("L")
        notes += (f"grey of {depth} bits became 8 bits",)
    upright = image.transpose(picture.UPRIGHT[turn]) if turn in picture.UPRIGHT else image
    x = np.array(upright).reshape(upright.height, upright.width, -1)
    has_alpha = x.shape[2] in (2, 4)
    colour, alpha = (x[..., :-1], x[..., -1]) if has_alpha else (x, None)
    lossless = name not in ("JPEG", "WEBP") or bool(settings.get("lossless"))
    return Loaded(content, name, np.ascontiguousarray(colour), alpha, turn, lossless, settings, notes)


def _encode(loaded: Loaded, pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """The file with other pixels, turned back as they were stored."""
    if pixels.shape != loaded.colour.shape:
        raise ValueError(f"pixels of shape {pixels.shape} for a picture of shape {loaded.colour.shape}")
    image = _image(pixels, loaded.alpha)
    return ENCODE[loaded.format](_turned_back(image, loaded.turn), loaded)


def _turned_back(image: Image.Image, turn: int) -> Image.Image:
    """An upright image as the pixels are stored."""
    back = {6: 8, 8: 6}.get(turn, turn)  # all other turns are their own inverse
    return image.transpose(picture.UPRIGHT[back]) if back in picture.UPRIGHT else image


def _written(image: Image.Image, format: str, **settings: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **settings)
    return out.getvalue()


# PNG: the new picture's header and pixels among the original's other chunks


def _png_settings(image: Image.Image, content: bytes) -> tuple[dict, tuple[str, ...], int]:
    credentials = any(kind == b"caBX" for kind, _ in _chunks(content))
    return {}, (jpeg.CREDENTIALS,) if credentials else (), next(_chunks(content))[1][8 + 8]


def _png(image: Image.Image, loaded: Loaded) -> bytes:
    made = [(kind, whole) for kind, whole in _chunks(_written(image, "PNG")) if kind in (b"IHDR", b"IDAT")]
    header, data = made[0][1], [whole for kind, whole in made if kind == b"IDAT"]
    first = next(_chunks(loaded.content))[1]
    gone = {b"caBX"}
    if header[16:18] != first[16:18]:  # bit depth and kind of colour: these chunks are written in their terms
        gone |= {b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT"}
    parts, placed = [header], False
    for kind, whole in _chunks(loaded.content):
        if kind == b"IDAT":
            parts += [] if placed else data
            placed = True
        elif kind != b"IHDR" and kind not in gone:
            parts.append(whole)
    return PngImagePlugin._MAGIC + b"".join(parts)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and whole bytes of each chunk of a PNG (its specification, 5.3) to the end, the sums renewed."""
    at, kind = 8, b""
    while kind != b"IEND" and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + length]
        kind = body[:4]
        yield kind, content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length


# JPEG, WebP, TIFF, BMP, PPM: what Pillow keeps


def _jpeg(image: Image.Image, loaded: Loaded) -> bytes:
    return jpeg.encode(image, loaded.content, loaded.settings)


def _webp_settings(image: Image.Image, content: bytes) -> tuple[dict, tuple[str, ...], int]:
    kept = {key: image.info[key] for key in ("exif", "icc_profile", "xmp") if image.info.get(key)}
    # a simple file holds the pixels at once; an extended one (VP8X) after other chunks
    if b"VP8L" in {kind for kind, _ in _riff(content)}:
        return kept | {"lossless": True, "exact": True}, (), 8
    note = f"WebP does not tell its quality: saved at {WEBP_QUALITY}"
    return kept | {"quality": WEBP_QUALITY}, (note,), 8


def _riff(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a WebP (RFC 9649, 2.3)."""
    at = 12
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        yield content[at : at + 4], content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp(image: Image.Image, loaded: Loaded) -> bytes:
    return _written(image.convert("RGBA" if loaded.alpha is not None else "RGB"), "WEBP", **loaded.settings)


def _tiff_settings(image: Image.Image, content: bytes) -> tuple[dict, tuple[str, ...], int]:
    # load() has turned the pixels and dropped the orientation
    exif, notes = image.getexif(), ()
    for tag in TIFF_LAYOUT & set(exif):
        del exif[tag]
    compression = image.info["compression"]
    if compression != "raw" and {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo} & set(exif):
        compression, notes = "raw", ("saved uncompressed, because Pillow cannot compress a TIFF that holds EXIF",)
    kept = {"exif": exif, "icc_profile": image.info.get("icc_profile"), "compression": compression}
    return kept, notes, max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))  # ty: ignore[missing-attribute]


def _tiff(image: Image.Image, loaded: Loaded) -> bytes:
    return _written(image, "TIFF", **loaded.settings)


def _plain_settings(image: Image.Image, content: bytes) -> tuple[dict, tuple[str, ...], int]:
    kept = {"dpi": image.info["dpi"]} if "dpi" in image.info else {}
    return kept, (), {"1": 1, "I": 16, "F": 32}.get(image.mode, 8)


def _plain(image: Image.Image, loaded: Loaded) -> bytes:
    return _written(image, loaded.format, **loaded.settings)


SETTINGS: dict[str, Callable] = {
    "PNG": _png_settings, "JPEG": jpeg.settings, "WEBP": _webp_settings, "TIFF": _tiff_settings,
    "BMP": _plain_settings, "PPM": _plain_settings,
}  # fmt: skip
ENCODE: dict[str, Callable[[Image.Image, Loaded], bytes]] = {
    "PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "BMP": _plain, "PPM": _plain
}  # fmt: skip
