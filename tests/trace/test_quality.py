"""Quality against golden values, scikit-image and slow definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edubba.trace.quality import max_delta, psnr, ssim


def pictures(n=3, h=32, w=32, c=3, *, seed=0, noise=6.0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (n, h // 4 + 1, w // 4 + 1, c)).repeat(4, 1).repeat(4, 2)[:, :h, :w]
    b = np.clip(np.rint(a + rng.normal(scale=noise, size=a.shape)), 0, 255)
    return a.astype(np.uint8), b.astype(np.uint8)


@pytest.mark.parametrize(("difference", "db"), [(1, 48.1308036086791), (10, 28.1308036086791), (255, 0.0)])
def test_psnr_is_golden(difference, db):
    a = np.zeros((5, 7, 3), np.uint8)
    assert psnr(a, a + np.uint8(difference)) == pytest.approx(db, abs=1e-12)
    assert max_delta(a, a + np.uint8(difference)) == max_delta(a + np.uint8(difference), a) == difference


def test_psnr_is_of_each_picture_over_all_its_channels():
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    b = a.copy()
    b[1, :2, :, 0] = 109  # a sixth of the values by 9: mean square 81 / 6
    assert psnr(a, b).tolist() == [math.inf, pytest.approx(10 * math.log10(255**2 / 13.5))]
    assert max_delta(a, b).tolist() == [0, 9]


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("hw", [(11, 11), (32, 32), (17, 40), (139, 138), (300, 500)])
def test_ssim_and_psnr_are_those_of_scikit_image(hw, c):
    a, b = pictures(2, *hw, c, seed=hw[0])
    for i in range(2):
        wanted = structural_similarity(
            a[i], b[i], gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1
        )
        assert ssim(a[i], b[i]) == pytest.approx(wanted, abs=1e-12)
        assert ssim(a, b)[i] == pytest.approx(wanted, abs=1e-12)
        assert psnr(a, b)[i] == psnr(a[i], b[i]) == pytest.approx(peak_signal_noise_ratio(a[i], b[i], data_range=255))


def test_ssim_is_its_definition():
    a, b = pictures(1, 13, 12, 1, seed=5, noise=40.0)
    place = np.arange(11) - 5
    window = np.exp(-(place[:, None] ** 2 + place**2) / 4.5)
    window /= window.sum()
    values = []
    for top in range(3):
        for left in range(2):
            x, y = (p[0, top : top + 11, left : left + 11, 0].astype(float) for p in (a, b))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            xy = (window * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + 6.5025) * (2 * xy + 58.5225) / (mx**2 + my**2 + 6.5025) / (vx + vy + 58.5225))
    assert ssim(a[0], b[0]) == pytest.approx(np.mean(values), abs=1e-12)


@given(seed=st.integers(0, 99), c=st.sampled_from([1, 3]))
def test_laws(seed, c):
    a, b = pictures(2, 16, 20, c, seed=seed)
    assert ssim(a, a).tolist() == [1, 1]
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-14)
    assert (psnr(a, b) == psnr(b, a)).all()
    assert (ssim(a, b) < 1).all()
    assert ssim(a.swapaxes(1, 2), b.swapaxes(1, 2)) == pytest.approx(ssim(a, b), abs=1e-12)


def test_ssim_needs_eleven_pixels():
    a = np.zeros((2, 10, 30, 3), np.uint8)
    assert np.isnan(ssim(a, a)).all()
    assert math.isnan(ssim(a[0], a[0]))
