"""How far a marked picture is from its original: PSNR, SSIM, and the largest change of a pixel."""

from itertools import product

import numpy as np
from jaxtyping import Float64, UInt8

SIGMA, RADIUS = 1.5, 5
SMALLEST = 2 * RADIUS + 1
"""pixels: below this SSIM's window fits nowhere"""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
TILE, CHUNK = 128, 2**16  # pixels a side, and values, filtered at a time: they stay in the processor's cache

Images = UInt8[np.ndarray, "h w c"] | UInt8[np.ndarray, "n h w c"]
"""one picture or a batch; the two that are compared are of one shape"""


def psnr(a: Images, b: Images) -> float | Float64[np.ndarray, "n"]:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean square difference over all channels); inf where equal.

    Of a batch (n, h, w, c) a number a picture; a mean over pictures is the mean of these, the infinite ones left out.

    >>> round(psnr(np.full((4, 4, 3), 7, np.uint8), np.full((4, 4, 3), 8, np.uint8)), 4)
    48.1308
    """
    difference = np.subtract(a, b, dtype=np.int32)
    mse = np.square(difference, out=difference).mean(axis=(-3, -2, -1), dtype=np.float64)
    with np.errstate(divide="ignore"):
        db = 10 * np.log10(255**2 / mse)
    return db if a.ndim == 4 else float(db)


def max_delta(a: Images, b: Images) -> float | Float64[np.ndarray, "n"]:
    """The largest difference of a value, in grey levels; of a batch, a number a picture."""
    largest = (np.maximum(a, b) - np.minimum(a, b)).max(axis=(-3, -2, -1)).astype(np.float64)
    return largest if a.ndim == 4 else float(largest)


def ssim(a: Images, b: Images) -> float | Float64[np.ndarray, "n"]:
    """Structural similarity (Wang et al. 2004), the mean over the channels; nan where a side is below 11 pixels.

    Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 255, the window's own (population)
    variances, and only places where the whole window lies inside the picture. Of a batch, a number a picture.
    """
    x, y = (a, b) if a.ndim == 4 else (a[None], b[None])
    n, h, w, c = x.shape
    total = np.zeros(n)
    if min(h, w) < SMALLEST:
        total[:] = np.nan
    else:
        few = max(1, CHUNK // (min(h, TILE) * min(w, TILE) * c))
        for i, top, left in product(range(0, n, few), range(0, h - 2 * RADIUS, TILE), range(0, w - 2 * RADIUS, TILE)):
            part = np.s_[i : i + few, top : top + TILE + 2 * RADIUS, left : left + TILE + 2 * RADIUS]
            total[i : i + few] += _similarity(x[part], y[part]).sum(axis=(1, 2, 3))
        total /= (h - 2 * RADIUS) * (w - 2 * RADIUS) * c
    return total if a.ndim == 4 else float(total[0])


def _similarity(a: UInt8[np.ndarray, "n h w c"], b: UInt8[np.ndarray, "n h w c"]) -> Float64[np.ndarray, "n y x c"]:
    x, y = a.astype(np.float64), b.astype(np.float64)
    # the two variances are needed as their sum alone
    mean_x, mean_y, squares, products = (_window(part) for part in (x, y, x * x + y * y, x * y))
    both, means = 2 * mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return (both + C1) * (2 * products - both + C2) / ((means + C1) * (squares - means + C2))


def _window(x: Float64[np.ndarray, "n h w c"]) -> Float64[np.ndarray, "n y x c"]:
    """Gaussian means over the window, where it lies inside."""
    weight = np.exp(-(np.arange(RADIUS + 1) ** 2) / (2 * SIGMA**2))
    weight /= weight[0] + 2 * weight[1:].sum()
    for axis in (1, 2):
        y = np.moveaxis(x, axis, 0)
        k = len(y) - 2 * RADIUS
        out = weight[0] * y[RADIUS : RADIUS + k]
        for i in range(1, RADIUS + 1):  # whole rows at a time: three times as fast as scipy.ndimage.correlate1d
            both = y[RADIUS - i : RADIUS - i + k] + y[RADIUS + i : RADIUS + i + k]
            both *= weight[i]
            out += both
        x = np.moveaxis(out, 0, axis)
    return x
