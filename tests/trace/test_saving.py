"""Marked pictures: other pixels in the same file, and the quality that is kept."""

import io
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from edubba.core import picture
from edubba.trace import jpeg, quality, saving

ICC = b"\0" * 36 + b"acsp" + b"\0" * 88


def photo(h=48, w=64, *, seed=0):
    """Smooth colours with some noise, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (6, 8, 3), dtype=np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + rng.normal(scale=3, size=(h, w, 3)), 0, 255).astype(np.uint8)


def noise(side=16, c=3, *, rms=1.5, seed=1):
    return rms * np.random.default_rng(seed).standard_normal((side, side, c)).astype(np.float32)


def file(x, format, **options):
    out = io.BytesIO()
    (x if isinstance(x, Image.Image) else Image.fromarray(x)).save(out, format, **options)
    return out.getvalue()


def read(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def exif(turn=1):
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = turn
    made[ExifTags.Base.ImageDescription] = "a tablet"
    made[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2026:11:23 10:00:00"}
    return made


def texts():
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a tablet")
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    info.add(b"tIME", bytes([7, 234, 11, 23, 10, 0, 0]))
    info.add(b"prVt", b"a private chunk after the pixels", after_idat=True)
    return info


X = photo()
GREY = X[..., 0].copy()
RGBA = np.dstack([X, np.tile(np.array([0, 90, 255, 255], np.uint8), (48, 16))])
LOSSLESS = {
    "png": file(X, "PNG"),
    "grey png": file(GREY, "PNG"),
    "rgba png": file(RGBA, "PNG"),
    "la png": file(Image.fromarray(RGBA[..., 2:]), "PNG"),
    "webp": file(X, "WEBP", lossless=True),
    "rgba webp": file(RGBA, "WEBP", lossless=True, exact=True),
    "bmp": file(X, "BMP"),
    "grey bmp": file(GREY, "BMP"),
    "ppm": file(X, "PPM"),
    "pgm": file(GREY, "PPM"),
    "tiff": file(X, "TIFF"),
    "lzw tiff": file(X, "TIFF", compression="tiff_lzw"),
    "grey deflate tiff": file(GREY, "TIFF", compression="tiff_adobe_deflate"),
}
LOSSY = {
    "jpeg": file(X, "JPEG", quality=90),
    "4:4:4 jpeg": file(X, "JPEG", quality=95, subsampling=0),
    "4:2:2 progressive jpeg": file(X, "JPEG", quality=92, subsampling=1, progressive=True),
    "grey jpeg": file(GREY, "JPEG", quality=90),
    "rgb jpeg": file(X, "JPEG", quality=95, keep_rgb=True),
    "own tables": file(X, "JPEG", qtables=[list(range(2, 66)), [7] * 64]),
    "lossy webp": file(X, "WEBP", quality=90),
    "lossy rgba webp": file(RGBA, "WEBP", quality=90),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_hold_exactly_the_pixels_and_nothing_else_changes(kind):
    content = LOSSLESS[kind]
    loaded = saving.load_pixels(content)
    pixels = 255 - loaded.colour
    saved = saving.save(content, pixels)
    again, before, after = saving.load_pixels(saved), read(content), read(saved)
    assert loaded.lossless
    assert loaded.notes == ()
    assert (again.colour == pixels).all()
    assert (before.format, before.mode, before.info.get("compression")) == (
        after.format, after.mode, after.info.get("compression"),
    )  # fmt: skip
    if loaded.alpha is not None:
        assert (again.alpha == loaded.alpha).all()
        assert (loaded.alpha == RGBA[..., 3]).all()
    assert saving.save(content, pixels) == saved


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_mark_of_the_pictures_size_is_added_exactly(kind):
    x = np.array(read(LOSSLESS[kind]).crop((0, 0, 48, 48)))
    options = {"webp": {"lossless": True, "exact": True}, "tiff": {}}.get(kind.split()[-1], {})
    format = {"tiff": "TIFF", "webp": "WEBP", "bmp": "BMP", "ppm": "PPM", "pgm": "PPM"}.get(kind.split()[-1], "PNG")
    content = file(x, format, **options)
    before = saving.load_pixels(content)
    delta = noise(48, before.colour.shape[2], rms=2.0)
    saved = saving.add(content, delta, psnr=38.0)
    seen = 1 if before.alpha is None else (before.alpha > 0)[..., None]
    wanted = np.clip(np.rint(before.colour + delta * seen), 0, 255)
    assert saved.scale == 1
    assert (saving.load_pixels(saved.content).colour == wanted).all()


def test_png_keeps_its_chunks_byte_for_byte():
    content = file(X, "PNG", pnginfo=texts(), icc_profile=ICC, dpi=(300, 300), exif=exif())
    saved = saving.save(content, X[::-1].copy())
    before, after = (
        [(kind, whole) for kind, whole in saving._chunks(c) if kind not in (b"IHDR", b"IDAT")] for c in (content, saved)
    )
    assert before == after
    assert {kind for kind, _ in after} >= {b"iCCP", b"pHYs", b"tEXt", b"gAMA", b"tIME", b"prVt", b"eXIf"}
    image = read(saved)
    assert image.info["icc_profile"] == ICC
    assert image.text == {"Title": "a tablet"}
    assert (np.asarray(image) == X[::-1]).all()


@pytest.mark.parametrize("kind", [k for k in LOSSY if "webp" not in k])
def test_jpeg_keeps_tables_subsampling_and_kind(kind):
    content = LOSSY[kind]
    loaded = saving.load_pixels(content)
    before, after = read(content), read(saving.save(content, loaded.colour))
    assert (after.mode, after.size) == (before.mode, before.size)
    assert after.quantization == before.quantization
    assert [layer[1:] for layer in after.layer] == [layer[1:] for layer in before.layer]
    assert after.info.get("progressive") == before.info.get("progressive")
    assert after.info.get("adobe_transform") == before.info.get("adobe_transform")
    # the same picture, not one whose colours were taken for another kind
    assert quality.psnr(saving.load_pixels(saving.save(content, loaded.colour)).seen, loaded.seen) > 38


def test_jpeg_keeps_its_segments_byte_for_byte():
    content = file(
        X, "JPEG", quality=90, exif=exif(), icc_profile=ICC * 600, dpi=(300, 200), comment=b"by hand", xmp=b"<x:xmpmeta/>"
    )  # fmt: skip
    saved = saving.save(content, X)
    before, after = ([whole for kind, whole in jpeg.segments(c)[0] if jpeg.describes(kind)] for c in (content, saved))
    assert before == after
    image = read(saved)
    assert (image.info["icc_profile"], image.info["comment"], image.info["dpi"]) == (ICC * 600, b"by hand", (300, 200))


def test_a_jpeg_with_an_uncommon_subsampling_is_still_saved_and_says_so():
    # 2x1 becomes 1x2, 4:4:0, whose scan has as many blocks in a picture of 64 x 64
    square = bytearray(file(photo(64, 64), "JPEG", quality=90, subsampling=1))
    place = square.index(b"\xff\xc0")
    assert square[place + 11] == 0x21
    square[place + 11] = 0x12
    loaded = saving.load_pixels(bytes(square))
    assert "4:4:4" in loaded.notes[0]
    assert [layer[1:3] for layer in read(saving.save(bytes(square), loaded.colour)).layer] == [(1, 1)] * 3


def test_what_follows_a_jpeg_and_its_credentials_are_left_out_and_named():
    second = io.BytesIO()
    Image.fromarray(X).save(second, "MPO", save_all=True, append_images=[Image.fromarray(GREY).convert("RGB")])
    several = second.getvalue()
    assert read(several).format == "MPO"
    loaded = saving.load_pixels(several)
    assert "follows the picture" in loaded.notes[0]
    saved = saving.save(several, loaded.colour)
    assert read(saved).format == "JPEG"
    assert b"MPF\0" not in saved
    claim = b"\xff\xeb\x00\x08JP\0\0\0\0"
    content = LOSSY["jpeg"]
    signed = content[:2] + claim + content[2:]
    assert "C2PA" in saving.load_pixels(signed).notes[0]
    assert claim not in saving.save(signed, X)
    # zeros at the end are padding
    assert saving.load_pixels(content + b"\0" * 9).notes == ()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_turned_picture_is_turned_once(turn, format):
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    if format == "TIFF":
        options["tiffinfo"] = {ExifTags.Base.Orientation.value: turn}
    else:
        options["exif"] = exif(turn)
    content = file(photo(32, 48), format, **options)
    loaded = saving.load_pixels(content)
    h, w = (48, 32) if turn >= 5 else (32, 48)
    assert loaded.colour.shape == (h, w, 3)
    marked = loaded.colour.copy()
    marked[: h // 2, : w // 2] = 20  # the upper left corner, as one sees it
    saved = saving.save(content, marked)
    shown = picture.decode("a", lambda: io.BytesIO(saved), 64, 3)
    assert shown.hw == (h, w)
    assert shown.pixels[2:28, 2:28].max() < 40
    assert shown.pixels[36:].mean() > 60
    assert shown.pixels[:, 36:].mean() > 60
    if format != "TIFF":  # there Pillow turns the pixels
        assert picture.orientation(read(saved)) == turn
        assert read(saved).size == (48, 32)


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
def test_what_is_seen_is_what_the_reader_of_pictures_shows(kind):
    content = {**LOSSLESS, **LOSSY}[kind]
    seen = saving.load_pixels(content).seen
    shown = picture.decode("a", partial(io.BytesIO, content), 64, seen.shape[2])
    image = Image.fromarray(seen[..., 0] if seen.shape[2] == 1 else seen)
    assert (picture.square(image, 64) == shown.pixels).all()


def palette():
    return Image.fromarray(X).quantize(16)


@pytest.mark.parametrize(
    ("content", "mode", "note"),
    [
        (lambda: file(palette(), "PNG", bits=4), "RGB", "the palette became RGB"),
        (lambda: file(palette(), "PNG", transparency=3), "RGBA", "the palette became RGBA"),
        (lambda: file(palette(), "BMP"), "RGB", "the palette became RGB"),
        (lambda: file(palette(), "TIFF", compression="tiff_lzw"), "RGB", "the palette became RGB"),
        (lambda: file(X, "PNG", transparency=tuple(X[0, 0].tolist())), "RGBA", "the transparent colour"),
        (lambda: file(GREY, "PNG", transparency=int(GREY[0, 0])), "LA", "the transparent colour"),
        (lambda: file(GREY > 99, "PNG"), "L", "grey of 1 bits became 8 bits"),
        (lambda: file(GREY > 99, "PNG", transparency=0), "LA", "the transparent colour"),
        (lambda: file(Image.fromarray(GREY // 16), "PNG", bits=4), "L", "grey of 4 bits became 8 bits"),
    ],
)
def test_what_must_be_converted_looks_the_same_and_is_named(content, mode, note):
    content = content()
    loaded = saving.load_pixels(content)
    assert len(loaded.notes) == 1
    assert note in loaded.notes[0]
    saved = saving.save(content, loaded.colour)
    assert read(saved).mode == mode
    assert read(saved).format == read(content).format
    if read(saved).format == "PNG":  # none of the chunks that are written in terms of the old kind of colour
        assert not {b"PLTE", b"tRNS"} & {kind for kind, _ in saving._chunks(saved)}
    assert (np.asarray(read(saved).convert("RGBA")) == np.asarray(read(content).convert("RGBA"))).all()
    assert saving.load_pixels(saved).notes == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: file(Image.fromarray(X).convert("CMYK"), "JPEG"), "CMYK"),
        (lambda: file(Image.fromarray(X).convert("CMYK"), "TIFF"), "CMYK"),
        (lambda: file(GREY.astype(np.uint16) * 257, "PNG"), "16 bits"),
        (lambda: file(GREY.astype(np.uint16) * 257, "TIFF"), "16 bits"),
        (lambda: file(GREY.astype(np.float32), "TIFF"), "32 bits"),
        (lambda: file(X, "PNG", save_all=True, append_images=[Image.fromarray(255 - X)]), "2 frames"),
        (lambda: file(X, "WEBP", save_all=True, append_images=[Image.fromarray(255 - X)]), "2 frames"),
        (lambda: file(X, "TIFF", save_all=True, append_images=[Image.fromarray(255 - X)]), "2 frames or pages"),
        (lambda: file(X, "TIFF", compression="jpeg"), "its compression, jpeg"),
        (lambda: file(GREY > 99, "TIFF", compression="group4"), "its compression, group4"),
        (lambda: file(palette(), "GIF"), "256 colours"),
        (lambda: file(X, "AVIF"), "AVIF"),
        (lambda: file(X, "JPEG2000"), "JPEG 2000"),
        (lambda: b"a text", "not-a-picture"),
        (lambda: LOSSLESS["png"][:-500], "truncated"),
    ],
)
def test_what_cannot_be_marked_has_a_reason(content, reason):
    content = content()
    out = saving.load_pixels(content)
    assert isinstance(out, saving.Unmarkable)
    assert reason in out.reason
    assert saving.add(content, noise()) == saving.save(content, X) == out


def test_tiff_keeps_what_describes_the_picture():
    described = {270: "a tablet", 315: "a scribe", 33432: "all rights", 65000: "own", 33550: (0.5, 0.5, 0.0)}
    for compression in ("raw", "tiff_lzw"):
        content = file(X, "TIFF", compression=compression, tiffinfo=described, dpi=(300, 300), icc_profile=ICC)
        before, after = read(content), read(saving.save(content, 255 - X))
        assert (np.asarray(after) == 255 - X).all()
        assert after.info == before.info
        assert {tag: after.tag_v2.get(tag) for tag in described} == {tag: before.tag_v2[tag] for tag in described}
    content = file(X, "TIFF", exif=exif().tobytes())
    saved = read(saving.save(content, X))
    assert saved.getexif().get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.DateTimeOriginal: "2026:11:23 10:00:00"}


def test_pixels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(48, 64, 1\) for a picture of shape \(48, 64, 3\)"):
        saving.save(LOSSLESS["png"], GREY[..., None])


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("rms", [1.0, 6.0])
def test_the_budget_holds_in_the_file_read_again(kind, rms):
    content = {**LOSSLESS, **LOSSY}[kind]
    saved = saving.add(content, noise(rms=rms), psnr=42.0, max_delta=12.0)
    before, after = saving.load_pixels(content).seen, saving.load_pixels(saved.content).seen
    assert saved.psnr == quality.psnr(after, before)
    assert saved.ssim == quality.ssim(after, before)
    assert saved.max_delta == quality.max_delta(after, before)
    assert (saved.realised == after.astype(int) - before).all()
    colour = saving.load_pixels(content).colour
    on_grid = "webp" not in kind and kind in LOSSY
    resaved = before if on_grid else saving.load_pixels(saving.save(content, colour)).seen
    assert saved.psnr_resaved == quality.psnr(after, resaved)
    reference = {"original": before, "resaved": resaved}[saved.against]
    assert quality.psnr(after, reference) >= 42
    assert quality.max_delta(after, reference) <= 12
    assert math.isfinite(saved.psnr_resaved)
    assert saving.add(content, noise(rms=rms), psnr=42.0, max_delta=12.0).content == saved.content
    if kind in LOSSLESS:
        assert saved.against == "original"
        assert saved.psnr == saved.psnr_resaved
        # and it is used: nothing is given away where the mark was too strong
        assert saved.scale < 1 if rms > 4 and "rgba" not in kind and "la" not in kind else saved.scale > 0
        assert saved.psnr < 42.3 if saved.scale < 1 and saved.max_delta < 12 else saved.psnr >= 42


def test_a_format_that_loses_more_than_the_budget_is_held_against_itself():
    rough = file(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "WEBP", quality=80)
    saved = saving.add(rough, noise(rms=1.0))
    assert saved.against == "resaved"
    assert saved.psnr < 42 <= saved.psnr_resaved


def test_the_mark_arrives_where_it_was_put():
    # a patch in the upper left of the mark's square; turned by EXIF, stretched to the picture
    delta = np.zeros((16, 16, 3), np.float32)
    delta[:8, :8] = 4
    for content in (
        file(photo(96, 64), "JPEG", quality=90, exif=exif(6)),
        file(photo(96, 64), "PNG", exif=exif(6)),
    ):
        saved = saving.add(content, delta, psnr=38.0)
        assert saved.realised.shape == (64, 96, 3)
        assert saved.realised[:28, :44].mean() == pytest.approx(4, abs=0.4)
        assert abs(saved.realised[36:].mean()) < 0.3
        assert abs(saved.realised[:, 52:].mean()) < 0.3


def test_grey_files_take_the_mean_of_a_mark_and_colour_takes_grey_marks_in_all_channels():
    delta = noise(48)
    square = X[:, :48]
    saved = saving.add(file(square[..., 0].copy(), "PNG"), delta)
    wanted = np.clip(np.rint(square[..., :1] + delta.mean(2, keepdims=True)), 0, 255)
    assert (saving.load_pixels(saved.content).colour == wanted).all()
    saved = saving.add(file(square, "PNG"), delta[..., :1])
    assert (saving.load_pixels(saved.content).colour == np.clip(np.rint(square + delta[..., :1]), 0, 255)).all()


def test_a_mark_finer_than_the_picture_is_averaged():
    checks = np.indices((64, 64)).sum(0) % 2 * 16.0 - 8.0
    saved = saving.add(file(np.full((16, 16), 128, np.uint8), "PNG"), checks[..., None])
    assert (saved.realised == 0).all()
    halves = np.repeat(np.array([-4.0, 4.0]), 32)[:, None, None] * np.ones((64, 64, 1))
    saved = saving.add(file(np.full((16, 16), 128, np.uint8), "PNG"), halves, psnr=30.0)
    assert saved.realised[:, 0, 0].tolist() == [-4] * 7 + [-3, 3] + [4] * 7


def test_nothing_is_added_where_nothing_is_seen():
    saved = saving.add(LOSSLESS["rgba png"], noise(rms=2.0), psnr=30.0)
    after = np.asarray(read(saved.content))
    hidden = RGBA[..., 3] == 0
    assert (after[hidden] == RGBA[hidden]).all()
    assert (after[~hidden] != RGBA[~hidden]).any()
    assert (after[..., 3] == RGBA[..., 3]).all()


def test_a_budget_that_leaves_no_room_is_a_reason():
    out = saving.add(LOSSLESS["png"], noise(rms=200.0), max_delta=0.0)
    assert "no mark fits within 42 dB and 0 grey levels" in out.reason


def test_noise_at_the_highest_quality_is_saved_too(capfd):
    x = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    baseline = file(x, "JPEG", qtables=[[1] * 64], subsampling=0)
    loaded = saving.load_pixels(baseline)
    loaded.settings["progressive"] = True  # more than Pillow's buffer for progressive files holds
    assert not read(saving._encode(loaded, x)).info.get("progressive")
    capfd.readouterr()


@settings(max_examples=25)
@given(h=st.integers(1, 40), w=st.integers(1, 40), side=st.integers(1, 24), seed=st.integers(0, 9))
def test_any_size_can_be_marked(h, w, side, seed):
    x = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    saved = saving.add(file(x, "PNG"), noise(side, rms=3.0), max_delta=9.0)
    assert saved.psnr >= 42
    assert saved.max_delta <= 9
    assert math.isnan(saved.ssim) == (min(h, w) < 11)
