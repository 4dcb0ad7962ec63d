import colorsys
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core import colour, resample, streams, views
from edubba.core.errors import UserError
from edubba.core.settings import Views

# Golden values by hand from the formulas of torchvision, luma 0.2989/0.587/0.114; pixels in row order.
PIXELS = torch.tensor([(0.2, 0.4, 0.6), (0.9, 0.1, 0.5), (0, 0, 0), (1, 1, 0.2)], dtype=torch.float64)


def planar(pixels):
    return pixels.T[:, None].contiguous()


def step(name, x, value):
    value = torch.tensor([value], dtype=torch.float64)
    if name == "hue":
        return colour.hue(x, value).clamp(0, 1)
    return colour.mix(x, value, torch.tensor([colour.MIXES.index(name)])).clamp(0, 1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("brightness", 1.4, [(0.28, 0.56, 0.84), (1, 0.14, 0.7), (0, 0, 0), (1, 1, 0.28)]),
        ("contrast", 1.5, [(0.09295125, 0.39295125, 0.69295125), (1, 0, 0.54295125), (0, 0, 0), (1, 1, 0.09295125)]),
        (
            "saturation",
            0.5,
            [(0.28149, 0.38149, 0.48149), (0.642355, 0.242355, 0.442355), (0, 0, 0), (0.95435, 0.95435, 0.55435)],
        ),
        ("saturation", 1.6, [(0.102212, 0.422212, 0.742212), (1, 0, 0.569174), (0, 0, 0), (1, 1, 0)]),
        ("hue", 0.1, [(0.24, 0.2, 0.6), (0.9, 0.18, 0.1), (0, 0, 0), (0.52, 1, 0.2)]),
        ("hue", -0.2, [(0.2, 0.6, 0.32), (0.34, 0.1, 0.9), (0, 0, 0), (1, 0.2, 0.36)]),
    ],
)
def test_golden_colours(name, value, expected):
    changed = step(name, planar(PIXELS), value)[:, 0].T
    torch.testing.assert_close(changed, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (
            ("brightness", "contrast", "saturation", "hue"),
            [
                (0.38866345595, 0.35390575595, 0.76183525595),
                (0.695856037, 0.195856037, 0.302926537),
                (0, 0, 0),
                (0.708688337, 0.953446037, 0.545516537),
            ],
        ),
        (
            ("hue", "saturation", "contrast", "brightness"),
            [
                (0.275879177297, 0.233879177297, 0.653879177298),
                (1, 0.347839877297, 0.263839877297),
                (0, 0, 0),
                (1, 1, 0.766955777297),
            ],
        ),
    ],
)
def test_golden_orders_of_the_jitter(order, expected):
    values = {"brightness": 1.4, "contrast": 1.5, "saturation": 0.5, "hue": 0.1}
    x = planar(PIXELS)
    for name in order:
        x = step(name, x, values[name])
    torch.testing.assert_close(x[:, 0].T, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


def test_luma_of_the_golden_pixels():
    expected = torch.tensor([[0.36298, 0.38471, 0, 0.9087]], dtype=torch.float64)
    torch.testing.assert_close(colour.luma(planar(PIXELS)), expected, atol=1e-12, rtol=0)


def test_golden_blur_taps():
    three = resample.gaussian(torch.tensor([1.0], dtype=torch.float64), size=32).weight[0, 0]
    expected = torch.tensor([0.274068619061, 0.451862761878, 0.274068619061], dtype=torch.float64)
    torch.testing.assert_close(three, expected, atol=1e-12, rtol=0)
    nine = resample.gaussian(torch.tensor([0.5], dtype=torch.float64), size=96).weight[0, 50]
    half = torch.tensor([0.786570707042, 0.106450769423, 0.000263865076, 1.197945594e-08, 9.96126e-15])
    torch.testing.assert_close(nine[4:], half.double(), atol=1e-12, rtol=2e-7)
    torch.testing.assert_close(nine, nine.flip(0), atol=0, rtol=0)
    assert resample.gaussian(torch.ones(1, dtype=torch.float64), size=224).weight.shape[2] == 23


channel = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@given(st.tuples(channel, channel, channel), st.floats(-0.5, 0.5))
def test_hue_turns_as_in_the_standard_library(pixel, shift):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    expected = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
    turned = colour.hue(
        torch.tensor(pixel, dtype=torch.float64).view(3, 1, 1), torch.tensor([shift], dtype=torch.float64)
    )
    np.testing.assert_allclose(turned[:, 0, 0].numpy(), expected, atol=1e-9)


# --- a slow reference, one picture and one pixel at a time


def triangle_weights(start, length, source, size):
    """(size, source) weights of an antialiased bilinear resize of the piece of `length` pixels at `start`."""
    weights = np.zeros((size, source))
    wide = max(length / size, 1)
    for i in range(size):
        centre = start + (i + 0.5) * length / size
        for j in range(source):
            if j + 1 > start + 1e-6 and j < start + length - 1e-6:
                weights[i, j] = max(0, 1 - abs(j + 0.5 - centre) / wide)
        weights[i] /= weights[i].sum()
    return weights


def bilinear(x, i, j):
    """Channels at row i, column j (fractions, in pixels), the border going on."""
    h, w = x.shape[:2]
    i, j = min(max(i, 0), h - 1), min(max(j, 0), w - 1)
    i0, j0 = min(int(i), h - 2), min(int(j), w - 2)
    a, b = i - i0, j - j0
    upper, lower = (x[k, j0] * (1 - b) + x[k, j0 + 1] * b for k in (i0, i0 + 1))
    return upper * (1 - a) + lower * a


def keys_cubic(t):
    """Keys' cubic kernel with a = -3/4."""
    t, a = abs(t), -0.75
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a if t < 2 else 0.0


def knots(at, k=4):
    """Weights of k knots at a place from 0 to k - 1, the outer ones repeated beyond the border."""
    weights = np.zeros(k)
    for j in range(-3, k + 3):
        weights[min(max(j, 0), k - 1)] += keys_cubic(at - j)
    return weights


def warped(x, affine, bend):
    size = len(x)
    out = np.empty_like(x)
    for i in range(size):
        for j in range(size):
            here = ((2 * j + 1) / size - 1, (2 * i + 1) / size - 1, 1)
            wx, wy = knots(3 * j / (size - 1)), knots(3 * i / (size - 1))
            to_x, to_y = affine @ here + [wx @ bend[0] @ wy, wx @ bend[1] @ wy]
            out[i, j] = bilinear(x, ((to_y + 1) * size - 1) / 2, ((to_x + 1) * size - 1) / 2)
    return out


def luma(pixel):
    return 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] if len(pixel) == 3 else pixel[0]


def recoloured(x, name, value):
    if name == "brightness":
        return np.clip(x * value, 0, 1)
    if name == "contrast":
        mean = np.mean([luma(pixel) for row in x for pixel in row])
        return np.clip(value * x + (1 - value) * mean, 0, 1)
    if x.shape[2] == 1:
        return x
    out = np.empty_like(x)
    for at in np.ndindex(x.shape[:2]):
        if name == "saturation":
            out[at] = value * x[at] + (1 - value) * luma(x[at])
        else:
            h, s, v = colorsys.rgb_to_hsv(*x[at])
            out[at] = colorsys.hsv_to_rgb((h + value) % 1, s, v)
    return np.clip(out, 0, 1)


def blurred(x, sigma):
    size = len(x)
    radius = int((size // 10) / 2)
    taps = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1)]
    taps = np.array(taps) / sum(taps)
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        wide = np.pad(x, pad, mode="reflect")
        x = sum(t * np.take(wide, range(k, k + size), axis=axis) for k, t in enumerate(taps))
    return x


def reference(image, draws, i, size):
    """View i of `draws`, by the definitions; image (h, w, c) float64."""
    h, w, c = image.shape
    top, left, height, width = draws.box[i].tolist()
    down = triangle_weights(top * h, height * h, h, size)
    across = triangle_weights(left * w, width * w, w, size)
    x = np.stack([down @ image[..., k] @ across.T for k in range(c)], axis=2)
    x = x[:, ::-1] if draws.flip[i] else x
    x = warped(x, draws.affine[i].numpy(), draws.bend[i].numpy())
    black, white = draws.levels[i].tolist()
    x = np.clip((x - black) / (white - black), 0, 1)
    for name in views.ORDERS[draws.order[i]]:
        x = recoloured(x, name, float(getattr(draws, name)[i]))
    if draws.grey[i] and c == 3:
        x = np.stack([np.apply_along_axis(luma, 2, x)] * 3, axis=2)
    start, many = int(draws.window[i]), c * size * size
    grain = views.noise_field(views.WINDOWS + many).numpy()[start : start + many].reshape(c, size, size)
    x = x + float(draws.noise[i]) * grain.transpose(2, 1, 0)
    if draws.sigma[i] and size >= 20:
        x = blurred(x, float(draws.sigma[i]))
    down, right, side = draws.erase[i].tolist()
    side = round(side * size)
    a, b = int(down * (size - side + 1)), int(right * (size - side + 1))
    x[a : a + side, b : b + side] = x.mean((0, 1))
    return np.clip(x, 0, 1)


def pictures(n, h, w, c, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, h, w, c), dtype=np.uint8)


def drawn(spec, n, *, size, shape_hw=(40, 30), seed=0, index=None):
    index = np.arange(n) if index is None else np.asarray(index)
    return views.draw(spec, index, seed=seed, epoch=0, view=0, size=size, shape_hw=np.tile(shape_hw, (len(index), 1)))


@pytest.mark.parametrize(
    ("spec", "channels", "side", "size"),
    [
        (Views(strength=1.0, crop_min=0.08), 3, 54, 24),  # 2.25 times as large, as in the cache
        (Views(strength=1.0, blur=0.5, grey=0.5), 3, 40, 40),  # blur of five taps
        (Views(strength=0.5, crop_min=0.08), 3, 16, 16),  # crops are enlarged
        (Views(strength=1.0, blur=1.0), 1, 30, 24),
        (Views("writing"), 1, 45, 20),
        (Views("writing", erase=0.3), 3, 45, 20),
        (Views("writing", jitter=1.0, crop_min=0.3, flip=0.5, grey=0.5), 3, 45, 20),
    ],
)
def test_views_equal_a_slow_reference_within_1e_5(spec, channels, side, size):
    images, draws = pictures(12, side, side, channels), drawn(spec, 12, size=size, seed=1)
    made = views.apply(torch.from_numpy(images), draws, size=size)
    assert made.dtype == torch.float32
    for i in range(12):
        expected = reference(images[i] / 255, draws, i, size)
        np.testing.assert_allclose(made[i].permute(1, 2, 0).numpy(), expected, atol=1e-5, rtol=0)


def test_crop_equals_torch_interpolate_with_antialias():
    # torchvision's resized_crop on tensors is this call; boxes in whole pixels of a picture that is not square
    images = torch.from_numpy(pictures(20, 40, 30, 3))
    spec = Views(crop_min=0.08, flip=0.0, jitter=0.0, grey=0.0, blur=0.0)
    draws = drawn(spec, 20, size=16, shape_hw=(40, 30))
    made = views.apply(images, draws, size=16)
    for image, box, view in zip(images, draws.box, made, strict=True):
        top, left, height, width = (box * torch.tensor([40, 30, 40, 30])).round().int().tolist()
        piece = image[top : top + height, left : left + width].permute(2, 0, 1)[None] / 255
        expected = F.interpolate(piece, size=(16, 16), mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(view, expected, atol=2e-6, rtol=0)


def test_boxes_are_drawn_as_torchvision_draws_them():
    # get_params of torchvision's RandomResizedCrop, one picture at a time, on the same uniform numbers
    rng = np.random.default_rng(3)
    n, shape_hw = 400, np.stack([rng.integers(1, 90, 400), rng.integers(1, 90, 400)], axis=1)
    area, aspect, corner = rng.random((n, 10)), rng.random((n, 10)), rng.random((n, 2))
    made = views.boxes(area, aspect, corner, smallest=0.2, shape_hw=shape_hw)
    fallbacks = 0
    for (h, w), areas, aspects, (down, right), box in zip(shape_hw.tolist(), area, aspect, corner, made, strict=True):
        for a, r in zip(areas, aspects, strict=True):
            ratio = math.exp(math.log(3 / 4) + r * (math.log(4 / 3) - math.log(3 / 4)))
            pixels = h * w * (0.2 + 0.8 * a)
            wide, high = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
            if 0 < wide <= w and 0 < high <= h:
                expected = (int(down * (h - high + 1)), int(right * (w - wide + 1)), high, wide)
                break
        else:
            fallbacks += 1
            wide, high = w, h
            if w / h < 3 / 4:
                high = round(w / (3 / 4))
            elif w / h > 4 / 3:
                wide = round(h * (4 / 3))
            expected = ((h - high) // 2, (w - wide) // 2, high, wide)
        np.testing.assert_allclose(box * [h, w, h, w], expected, atol=1e-9)
    assert 20 < fallbacks < 200


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(0, 5), st.sampled_from(["photos", "writing"])
)
def test_a_draw_depends_on_its_picture_alone(index, seed, preset):
    together = drawn(Views(preset), 0, size=64, seed=seed, index=index)
    for row, i in enumerate(index):
        alone = drawn(Views(preset), 0, size=64, seed=seed, index=[i])
        assert all(torch.equal(getattr(alone, k)[0], getattr(together, k)[row]) for k in vars(alone))


@pytest.mark.parametrize("preset", ["photos", "writing"])
def test_a_view_depends_on_its_picture_alone_to_the_bit(preset):
    images = torch.from_numpy(pictures(60, 27, 27, 3))
    draws = drawn(Views(preset, blur=0.5), 60, size=24)
    together = views.apply(images, draws, size=24)
    for some in ([3], [7, 2, 50], list(range(59, 20, -1))):
        assert torch.equal(views.apply(images[some], draws[some], size=24), together[some])


def test_many_pictures_pass_in_pieces_unchanged(monkeypatch):
    images, draws = torch.from_numpy(pictures(30, 27, 27, 3)), drawn(Views(blur=0.5), 30, size=24)
    whole = views.apply(images, draws, size=24)
    monkeypatch.setattr(views, "CHUNK", 4 * 3 * 24 * 24)  # seven pieces of four views and one of two
    assert torch.equal(views.apply(images, draws, size=24), whole)
    floats = (images / 255).permute(0, 3, 1, 2).requires_grad_()
    torch.testing.assert_close(views.apply(floats, draws, size=24), whole, atol=3e-6, rtol=0)


def test_the_two_views_differ_and_so_do_epochs_and_seeds():
    images = torch.from_numpy(pictures(4, 20, 20, 3))
    again = {"index": np.arange(4), "size": 16, "shape_hw": np.full((4, 2), 20)}
    v1, v2 = views.pair(images, Views(), seed=0, epoch=0, **again)
    w1, w2 = views.pair(images, Views(), seed=0, epoch=1, **again)
    x1, x2 = views.pair(images, Views(), seed=1, epoch=0, **again)
    assert torch.equal(v1, views.pair(images, Views(), seed=0, epoch=0, **again)[0])
    for a, b in pairwise([v1, v2, w1, w2, x1, x2]):
        assert ((a - b).abs().amax((1, 2, 3)) > 0.05).all()


def test_draws_keep_to_their_settings():
    spec = Views(strength=0.5, crop_min=0.2, blur=0.5)
    d = drawn(spec, 4000, size=96, shape_hw=(300, 400))
    area = d.box[:, 2] * d.box[:, 3]
    assert area.min() > 0.195
    assert (d.box[:, :2] >= 0).all()
    assert (d.box[:, :2] + d.box[:, 2:] <= 1 + 1e-12).all()
    aspect = d.box[:, 3] * 400 / (d.box[:, 2] * 300)
    assert aspect.min() > 0.74
    assert aspect.max() < 1.35
    for name, low, high in [
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.6, 1.4),
        ("hue", -0.1, 0.1),
    ]:
        value = getattr(d, name)
        assert low <= value.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < value.max() <= high
    # within five standard deviations of a share of 4,000 draws: below 1e-6 false alarms each
    for share, p in [(d.flip, 0.5), (d.order < 24, 0.8), (d.grey, 0.2), (d.sigma > 0, 0.5)]:
        assert abs(share.double().mean() - p) < 5 * math.sqrt(p * (1 - p) / 4000)
    assert set(d.order.tolist()) == set(range(25))
    assert d.sigma[d.sigma > 0].min() >= 0.1
    assert d.sigma.max() <= 2


def test_strength_over_1_25_never_makes_a_factor_negative():
    assert drawn(Views(strength=2.0), 500, size=32).contrast.min() >= 0


@pytest.mark.parametrize(("size", "blurs"), [(63, False), (64, True)])
def test_photos_blur_from_64_pixels_on(size, blurs):
    assert bool((drawn(Views(), 50, size=size).sigma > 0).any()) == blurs


def test_floats_and_bytes_give_the_same_views():
    images, draws = torch.from_numpy(pictures(6, 27, 27, 3)), drawn(Views(), 6, size=24)
    from_floats = views.apply(images.permute(0, 3, 1, 2) / 255, draws, size=24)
    torch.testing.assert_close(from_floats, views.apply(images, draws, size=24), atol=3e-6, rtol=0)


def test_views_do_not_change_their_input():
    images, draws = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(0)), drawn(Views(), 6, size=24)
    before = images.clone()
    views.apply(images, draws, size=24)
    assert torch.equal(images, before)


@pytest.mark.parametrize("preset", ["photos", "writing"])
def test_numbers_are_the_same_with_a_gradient(preset):
    images, draws = torch.from_numpy(pictures(9, 27, 27, 3)).permute(0, 3, 1, 2) / 255, drawn(Views(preset), 9, size=24)
    made = views.apply(images.clone().requires_grad_(), draws, size=24)
    assert made.requires_grad
    assert torch.equal(made, views.apply(images, draws, size=24))


@pytest.mark.parametrize("spec", [Views(blur=1.0, strength=0.3), Views("writing", strength=0.3, noise=0.01)])
def test_gradient_equals_finite_differences(spec):
    # pixels in the middle of the scale, so that no step is clipped; a direction at random over all pixels
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.uniform(0.4, 0.6, (10, 3, 22, 22)))
    weight, direction = (torch.from_numpy(rng.standard_normal((10, 3, s, s))) for s in (20, 22))
    draws = drawn(spec, 10, size=20)

    def score(x):
        return (views.apply(x, draws, size=20) * weight).sum((1, 2, 3))

    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(x).sum(), x)
    finite = (score(images + 1e-7 * direction) - score(images - 1e-7 * direction)) / 2e-7
    torch.testing.assert_close((slope * direction).sum((1, 2, 3)), finite, rtol=1e-4, atol=1e-4)


def test_gradient_of_greys_and_pure_colours_is_finite():
    flat = torch.tensor([(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 1)])
    images = flat.view(5, 3, 1, 1).expand(5, 3, 8, 8).clone().requires_grad_()
    draws = drawn(Views(jitter=1.0, strength=1.0), 5, size=8)
    (slope,) = torch.autograd.grad(views.apply(images, draws, size=8).sum(), images)
    assert slope.isfinite().all()


def test_grey_pictures_have_no_colour_steps():
    images = torch.from_numpy(pictures(8, 20, 20, 1))
    draws = drawn(Views(strength=1.0, grey=1.0), 8, size=16)
    made = views.apply(images, draws, size=16)
    assert made.shape == (8, 1, 16, 16)


@pytest.mark.parametrize("paper", [0.0, 1.0, 0.3])
def test_writing_leaves_an_empty_page_empty(paper):
    # the border goes on and the erased box takes the mean: no edge gives away where the page was moved
    page = torch.full((20, 1, 32, 32), paper, dtype=torch.float64)
    made = views.apply(page, drawn(Views("writing", jitter=0.0, levels=0.0, noise=0.0), 20, size=32), size=32)
    torch.testing.assert_close(made, page, atol=1e-12, rtol=0)


def test_writing_is_never_mirrored_at_rest():
    spec = Views(
        "writing", jitter=0.0, noise=0.0, blur=0.0, erase=0.0, bend=0.0, rotate=0.0, shear=0.0, scale=0.0, shift=0.0,
        levels=0.0,
    )  # fmt: skip
    images = torch.from_numpy(pictures(5, 24, 24, 1))
    expected = images.permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(views.apply(images, drawn(spec, 5, size=24), size=24), expected, atol=1e-6, rtol=0)


def test_levels_make_two_scans_of_one_stroke_alike():
    # the same stroke on black and on grey: with the black point above the grey nothing tells them apart
    page = torch.zeros(2, 1, 20, 20, dtype=torch.float64)
    page[1] = 0.2
    page[:, :, 8:12] = 1.0
    draws = drawn(Views("writing", levels=0.4), 400, size=20)
    assert draws.levels[:, 0].min() >= 0
    assert 0.39 < draws.levels[:, 0].max() <= 0.4
    assert 0.6 <= draws.levels[:, 1].min() < 0.61
    still = drawn(Views(crop_min=1.0, flip=0.0, jitter=0.0, blur=0.0, levels=0.4), 2, size=20)
    still.levels[:] = torch.tensor([0.3, 0.8])
    one, two = views.apply(page, still, size=20)
    assert torch.equal(one, two)
    assert one.unique().tolist() == [0.0, 1.0]


def test_noise_is_standard_normal_and_differs_between_pictures():
    # 2**18 numbers: five standard deviations of the mean and of the variance, below 1e-6 false alarms each
    field = views.noise_field(views.WINDOWS).double()
    assert abs(field.mean()) < 5 * 2**-9
    assert abs(field.var() - 1) < 5 * math.sqrt(2) * 2**-9
    assert len(set(drawn(Views("writing"), 100, size=32).window.tolist())) > 95


def test_evaluation_is_the_whole_picture_resized():
    images = torch.from_numpy(pictures(3, 50, 37, 3))
    expected = F.interpolate(images.permute(0, 3, 1, 2) / 255, size=(16, 16), mode="bilinear", antialias=True)
    made = views.evaluation(images, size=16)
    torch.testing.assert_close(made, expected, atol=2e-6, rtol=0)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_at_the_same_size_changes_nothing():
    images = torch.from_numpy(pictures(3, 28, 28, 1))
    assert torch.equal((views.evaluation(images, size=28) * 255).round().byte(), images.permute(0, 3, 1, 2))


def test_views_need_grey_or_rgb():
    sentence = "views are made of grey or RGB pictures, 1 or 3 channels; these have 4"
    with pytest.raises(UserError, match=f"^{sentence}$"):
        views.apply(torch.zeros(2, 8, 8, 4, dtype=torch.uint8), drawn(Views(), 2, size=8), size=8)


def test_views_need_a_draw_for_each_picture():
    with pytest.raises(UserError, match=r"^3 pictures but draws for 2$"):
        views.apply(torch.zeros(3, 8, 8, 3, dtype=torch.uint8), drawn(Views(), 2, size=8), size=8)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (Views(crop_min=0.0), "views.crop_min is 0.0; it must be from 0.01 to 1"),
        (Views(flip=1.5), "views.flip is 1.5; it must be from 0 to 1"),
        (Views(strength=float("nan")), "views.strength is nan; it must be from 0 to 2.5"),
    ],
)
def test_settings_out_of_range_are_named(spec, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        drawn(spec, 2, size=32)


def test_drawing_more_columns_keeps_the_first():
    # what a stored seed means must not change when a new kind of change is added at the end
    short, long = (streams.uniform(0, "views", 0, 0, index=np.arange(3), k=k) for k in (5, 95))
    assert (short == long[:, :5]).all()
    assert sum(views.COLUMNS.values()) == 95
