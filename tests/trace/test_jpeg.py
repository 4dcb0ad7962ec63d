"""Marks on a JPEG's own grid: they survive their saving, and nothing is spent on saving again."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from scipy.fft import dctn

from edubba.trace import jpeg, quality, saving


def photo(h, w, *, seed=0):
    """Smooth colours with some noise, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (6, 8, 3), dtype=np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + rng.normal(scale=3, size=(h, w, 3)), 0, 255).astype(np.uint8)


def noise(h, w, c=3, *, rms=2.0, seed=1):
    return rms * np.random.default_rng(seed).standard_normal((h, w, c)).astype(np.float32)


def file(x, **options):
    out = io.BytesIO()
    (x if isinstance(x, Image.Image) else Image.fromarray(x)).save(out, "JPEG", **options)
    return out.getvalue()


def unchanged(content):
    """The file written again on its grid, without a change."""
    loaded = saving.load_pixels(content)
    grid = jpeg.grid(content, loaded.settings)
    return jpeg.moved(grid, np.zeros(loaded.colour.shape, np.float32), content, loaded.settings)


def mse(a, b):
    a, b = (saving.load_pixels(x).seen.astype(float) for x in (a, b))
    return np.square(a - b).mean()


def along(saved, mark):
    return (saved.realised * mark).sum() / np.square(mark).sum()


KINDS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"subsampling": 2, "progressive": True},
    "rgb": {"keep_rgb": True},
    "grey": {},
}


def made(kind, h, w, quality, seed=0):
    x = photo(h, w, seed=seed)
    return file(x[..., 0].copy() if kind == "grey" else x, quality=quality, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hw", [(32, 32), (48, 64), (41, 27)])
@pytest.mark.parametrize("level", [60, 85, 95])
def test_saving_again_without_a_change_changes_almost_nothing(kind, hw, level):
    content = made(kind, *hw, level)
    again = unchanged(content)
    # plainly saved again it is 0.3 to 5 grey levels squared
    assert mse(again, content) < 0.15
    assert mse(unchanged(again), content) < 0.15
    assert len(again) == pytest.approx(len(content), rel=0.02)
    assert Image.open(io.BytesIO(again)).size == hw[::-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [50, 65, 75, 85, 92, 98])
@pytest.mark.parametrize("rms", [1.0, 4.0])
def test_the_budget_holds_in_the_file_read_again(kind, level, rms):
    # a progressive file hides half a block of colour at its edge where their number is odd
    content = made(kind, *((48, 64) if kind == "progressive" else (40, 50)), level)
    saved = saving.add(content, noise(40, 40, rms=rms), psnr=42.0, max_delta=10.0)
    before, after = (saving.load_pixels(c).seen for c in (content, saved.content))
    assert saved.against == "original"
    assert saved.psnr == quality.psnr(after, before) >= 42
    assert saved.max_delta == quality.max_delta(after, before) <= 10
    assert (saved.realised == after.astype(int) - before).all()
    assert 0 < saved.scale <= 1
    a, b = (Image.open(io.BytesIO(c)) for c in (content, saved.content))
    assert (a.quantization, a.layer, a.info) == (b.quantization, b.layer, b.info)


@pytest.mark.parametrize(
    ("kind", "level", "factor"),
    [("4:4:4", 75, 1.15), ("4:2:0", 75, 1.15), ("4:2:2", 85, 1.15), ("4:2:0", 95, 1.25), ("grey", 75, 1.15)],
)
def test_more_of_a_fine_mark_is_kept_than_by_plain_saving(kind, level, factor, monkeypatch):
    contents = [made(kind, 32, 32, level, seed=seed) for seed in range(12)]
    mark = noise(32, 32, 1 if kind == "grey" else 3)
    on_grid = np.mean([along(saving.add(c, mark, max_delta=10.0), mark) for c in contents])
    monkeypatch.setattr(jpeg, "grid", lambda *_: None)
    plain = np.mean([along(saving.add(c, mark, max_delta=10.0), mark) for c in contents])
    assert on_grid > factor * plain, (on_grid, plain)


def test_the_change_is_the_nearest_on_the_grid():
    content = file(photo(24, 40)[..., 0].copy(), qtables=[list(range(4, 68))])
    loaded = saving.load_pixels(content)
    wanted = noise(24, 40, 1, rms=9.0)
    moved = jpeg.moved(jpeg.grid(content, loaded.settings), wanted, content, loaded.settings)
    change = saving.load_pixels(moved).seen.astype(float)[..., 0] - loaded.seen[..., 0]
    steps = np.arange(4, 68).reshape(8, 8)
    for top in range(0, 24, 8):
        for left in range(0, 40, 8):
            got, asked = (dctn(x[top : top + 8, left : left + 8], norm="ortho") for x in (change, wanted[..., 0]))
            sure = np.abs(asked / steps % 1 - 0.5) > 0.01
            assert (np.rint(got / steps) == np.rint(asked / steps))[sure].all()


@pytest.mark.parametrize("sampling", [1, 2])
def test_colour_is_found_as_it_is_stored(sampling):
    rng = np.random.default_rng(0)
    h, w = (16 if sampling == 2 else 32), 16
    colour = [Image.fromarray(rng.integers(60, 200, (h, w), dtype=np.uint8)) for _ in range(2)]
    wide = [c.resize((32, 32), Image.Resampling.NEAREST) for c in colour]
    image = Image.merge("YCbCr", [Image.new("L", (32, 32), 128), *wide])
    content = file(image, qtables=[[1] * 64], subsampling=sampling)
    grid = jpeg.grid(content, saving.load_pixels(content).settings)
    assert [p.shape for p in grid.planes] == [(32, 32), (h, w), (h, w)]
    for plane, stored in zip(grid.planes[1:], colour, strict=True):
        error = plane - np.asarray(stored)
        assert np.sqrt(np.square(error).mean()) < 0.6
        assert np.abs(error[[0, -1]]).max() < 2.5


def test_what_exceeds_the_largest_change_costs_no_more_than_itself():
    content = made("grey", 64, 64, 85)
    mark = noise(64, 64, 1)
    free, bound = (saving.add(content, mark, max_delta=limit) for limit in (99.0, 6.0))
    assert free.max_delta > 7
    assert bound.max_delta <= 6
    assert bound.scale > 0.93 * free.scale


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_picture_takes_the_mark_upright(turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    content = file(photo(32, 48), quality=90, exif=exif)
    h, w = saving.load_pixels(content).colour.shape[:2]
    mark = noise(h, w)
    saved = saving.add(content, mark)
    assert saved.realised.shape == mark.shape
    assert along(saved, mark) == pytest.approx(saved.scale)
    assert saved.scale > 0.25


def test_a_grey_mark_goes_into_all_channels():
    content = made("4:2:0", 32, 32, 90)
    mark = noise(32, 32, 1)
    saved = saving.add(content, mark)
    assert saved.scale > 0.4
    assert along(saved, np.repeat(mark, 3, axis=2)) == pytest.approx(saved.scale)


def test_a_weak_mark_is_not_made_stronger():
    content = made("4:4:4", 64, 64, 90)
    mark = noise(8, 8, rms=1.0)
    saved = saving.add(content, mark)
    assert saved.scale == pytest.approx(1, abs=0.1)
    assert saved.psnr > 44
    assert math.isfinite(saved.psnr_resaved)


def test_what_has_no_grid_is_saved_plainly():
    square = bytearray(file(photo(64, 64), quality=90, subsampling=1))
    place = square.index(b"\xff\xc0")
    square[place + 11] = 0x12  # 4:4:0
    content = bytes(square)
    assert jpeg.grid(content, saving.load_pixels(content).settings) is None
    assert saving.add(content, noise(64, 64), psnr=38.0).psnr >= 38


def test_a_header_inside_another_segment_is_left_alone():
    inner = file(photo(20, 20), quality=50)  # its frame's header is the same to the byte
    content = file(photo(20, 20), quality=90, comment=inner)
    saved = saving.add(content, noise(20, 20))
    image = Image.open(io.BytesIO(saved.content))
    assert image.size == (20, 20)
    assert image.info["comment"] == inner


@settings(max_examples=25)
@given(h=st.integers(1, 40), w=st.integers(1, 40), kind=st.sampled_from(sorted(KINDS)), level=st.integers(50, 98))
def test_any_size_can_be_marked(h, w, kind, level):
    content = made(kind, h, w, level)
    saved = saving.add(content, noise(8, 8, rms=3.0), psnr=38.0)
    if isinstance(saved, saving.Unmarkable):  # no step of the tables is small enough for so few pixels
        assert "no mark fits" in saved.reason
    elif saved.against == "original":
        assert saved.psnr >= 38
    assert jpeg.grid(content, saving.load_pixels(content).settings).planes[0].shape >= (h, w)
