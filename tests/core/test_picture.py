"""Odd picture files, each made here."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from edubba.core import picture
from edubba.core.picture import Decoded, Skipped

CORNERS = np.array([[10, 60], [120, 240]], dtype=np.uint8)  # top left, top right, bottom left, bottom right


def saved(image: Image.Image, kind: str = "PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def blocks(h: int = 16, w: int = 16) -> Image.Image:
    """Four grey quarters."""
    return Image.fromarray(np.kron(CORNERS, np.ones((h // 2, w // 2), np.uint8)))


def decode(raw: bytes, side: int = 8, channels: int = 1) -> Decoded:
    found = picture.decode("a", lambda: io.BytesIO(raw), side, channels)
    assert isinstance(found, Decoded), found
    return found


def grey(raw: bytes, side: int = 8) -> np.ndarray:
    return decode(raw, side).pixels[..., 0]


def colour(raw: bytes) -> list[int]:
    """The colour in the middle."""
    return decode(raw, 8, 3).pixels[4, 4].tolist()


def why(raw: bytes) -> Skipped:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = picture.decode("a", lambda: io.BytesIO(raw), 8, 3)
    assert isinstance(found, Skipped)
    return found


@pytest.mark.parametrize(
    ("mode", "is_grey"),
    [("1", True), ("L", True), ("LA", True), ("I;16", True), ("P", False), ("RGB", False), ("RGBA", False)],
)
def test_a_header_tells_size_and_kind(mode, is_grey):
    raw = saved(Image.new(mode, (30, 20)))
    assert picture.header("a", lambda: io.BytesIO(raw)) == picture.Header(20, 30, is_grey)


def test_the_hash_is_of_the_file_not_of_the_pixels():
    # blake2b with 16 bytes of b"abc" (python's hashlib agrees with RFC 7693's for 64 bytes)
    import hashlib

    raw = saved(blocks())
    assert decode(raw).hash == hashlib.blake2b(raw, digest_size=16).hexdigest()
    assert decode(raw).hash != decode(saved(blocks(), compress_level=0)).hash


def test_squashing_averages_and_keeps_the_sides_before():
    wide = decode(saved(blocks(8, 64)))
    assert wide.hw == (8, 64)
    assert wide.pixels.shape == (8, 8, 1)
    assert wide.pixels[[0, 0, -1, -1], [0, -1, 0, -1], 0].tolist() == CORNERS.ravel().tolist()
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    assert set(np.unique(grey(saved(Image.fromarray(stripes))))) <= {99, 100, 101}  # aliased stripes would be 0 or 200


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(turn, kind):
    # how to store a picture so that the tag turns it upright, as row and column of the stored picture (EXIF 2.3, 4.6.4)
    stored = {
        1: CORNERS, 2: CORNERS[:, ::-1], 3: CORNERS[::-1, ::-1], 4: CORNERS[::-1], 5: CORNERS.T,
        6: np.rot90(CORNERS), 7: CORNERS[::-1, ::-1].T, 8: np.rot90(CORNERS, -1),
    }[turn]  # fmt: skip
    tall = (16, 8) if turn >= 5 else (8, 16)
    image = Image.fromarray(np.kron(stored, np.ones((tall[0] // 2, tall[1] // 2), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = turn
    raw = saved(
        image.convert("RGB") if kind == "WEBP" else image,
        kind,
        exif=exif,
        **({"lossless": True} if kind == "WEBP" else {}),
    )
    found = decode(raw)
    assert found.hw == (8, 16)
    corners = found.pixels[[0, 0, -1, -1], [0, -1, 0, -1], 0].astype(int)
    assert np.abs(corners - CORNERS.ravel()).max() <= 4  # JPEG


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk", b"Exif\0\0"])
def test_broken_exif_leaves_the_picture_as_it_is(exif):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(saved(blocks(), "JPEG", exif=exif)).hw == (16, 16)


def test_transparency_lies_on_white():
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert colour(saved(half)) == [255, 127, 127]
    assert grey(saved(Image.new("LA", (8, 8), (0, 0))))[0, 0] == 255
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 0, 200, 0])
    assert colour(saved(palette)) == [0, 200, 0]
    assert colour(saved(palette, transparency=1)) == [255, 255, 255]
    assert colour(saved(palette, "GIF", transparency=1)) == [255, 255, 255]
    assert colour(saved(Image.new("RGB", (8, 8), (1, 2, 3)), transparency=(1, 2, 3))) == [255, 255, 255]


def test_one_bit_is_black_and_white():
    assert np.unique(grey(saved(blocks().convert("1", dither=Image.Dither.NONE)), 16)).tolist() == [0, 255]


def test_cmyk_jpegs_which_adobe_inverts_come_out_right():
    raw = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")  # cyan 0, magenta and yellow full: red
    assert b"Adobe" in raw
    assert np.abs(np.array(colour(raw)) - [255, 0, 0]).max() <= 3
    assert colour(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF")) == [255, 0, 0]


def test_deep_grey_is_scaled_not_clipped():
    # PIL's own "L" would make everything above 255 white
    ramp = np.array([[0, 16384], [32768, 65535]], dtype=np.uint16)
    raw = saved(Image.fromarray(np.kron(ramp, np.ones((4, 4), np.uint16))))
    assert grey(raw)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 64, 128, 255]
    xray = saved(Image.fromarray(np.kron(ramp // 16, np.ones((4, 4), np.uint16))), "TIFF")  # 12 of 16 bits
    assert grey(xray)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 64, 128, 255]
    assert colour(saved(Image.fromarray(np.full((8, 8), 65535, np.uint16)))) == [255, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.uint16), [0, 100, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-10, 0, 90]], np.int32), [0, 26, 255]),  # 25.5 to the even neighbour
        (np.array([[0, 10**6, 2 * 10**6]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 0.8]], np.float32), [0, 128, 204]),
        (np.array([[-1.0, 0.0, 3.0]], np.float32), [0, 64, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[np.nan, np.nan, np.nan]], np.float32), [0, 0, 0]),
        (np.array([[7.0, 7.0, 7.0]], np.float32), [0, 0, 0]),
    ],
)
def test_ranges_of_deep_values(values, expected):
    assert picture.scaled(values).ravel().tolist() == expected


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=20))
def test_scaling_keeps_the_order_of_brightness(values):
    found = picture.scaled(np.array([sorted(values)], dtype=np.uint16))[0].astype(int)
    assert (np.diff(found) >= 0).all()


def test_a_float_tiff_is_read():
    raw = saved(Image.fromarray(np.kron([[0.0, 0.25], [0.5, 1.0]], np.ones((4, 4))).astype(np.float32)), "TIFF")
    assert grey(raw)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 64, 128, 255]


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    for kind in ("GIF", "WEBP", "TIFF"):
        raw = saved(
            frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
        )
        assert colour(raw) == [255, 0, 0], kind


def test_a_large_jpeg_is_the_same_picture_when_decoded_small():
    cells = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    raw = saved(Image.fromarray(np.kron(cells, np.ones((4, 4), np.uint8))), "JPEG", quality=95)
    quick = grey(raw, 64).astype(int)  # from libjpeg's half size
    whole = np.asarray(Image.open(io.BytesIO(raw)).resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(quick - whole).mean() < 4  # from its eighth, which is too small, 40


def test_a_jpeg_that_stops_is_truncated():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    for kind in ("JPEG", "PNG"):
        raw = saved(noise, kind)
        found = why(raw[: int(0.6 * len(raw))])
        assert found.reason == "truncated", found


def test_a_damaged_png_is_corrupt():
    raw = bytearray(saved(blocks()))
    place = raw.index(b"IDAT") + 6
    raw[place : place + 8] = b"\xff" * 8
    assert why(bytes(raw)).reason == "corrupt"


def test_empty_and_foreign_files_are_told_apart():
    assert why(b"") == Skipped("a", "empty", "0 bytes")
    assert why(b"just words").reason == "not-a-picture"
    assert (
        why(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").reason == "not-a-picture"
    )  # would start Ghostscript


def test_a_decompression_bomb_is_never_decoded():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    raw = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    assert why(raw).reason == "too-large"
    assert picture.header("a", lambda: io.BytesIO(raw)).reason == "too-large"


def test_a_text_bomb_in_a_png_is_refused():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * (2 * PngImagePlugin.MAX_TEXT_CHUNK), zip=True)
    assert why(saved(blocks(), pnginfo=info)).reason == "corrupt"


def test_lab_becomes_rgb():
    white = Image.new("LAB", (8, 8), (255, 128, 128))  # Pillow's zero of a and b is 128
    assert np.abs(np.array(colour(saved(white, "TIFF"))) - 255).max() <= 1


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path):
    found = picture.decode("gone.jpg", (tmp_path / "gone.jpg").open, 8, 1)
    assert found == Skipped("gone.jpg", "unreadable", "No such file or directory")
