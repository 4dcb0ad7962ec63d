"""Crop, blur and warp of many pictures at once, each with its own box, width and grid.

A crop or a blur is separable, and along one axis it is a weighted sum of a few whole rows of pixels. That is what
`embedding_bag` computes, far faster on a processor than a sampling grid or a padded matrix product, and with a
gradient. Pictures inside are `(c, n, x, y)`: channels first for the colours, columns before rows because the second
axis to be resampled must be the one of the table's rows.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Tensor


class Taps(NamedTuple):
    """Which source pixels make each output pixel along one axis, and with which weights."""

    index: Int64[Tensor, "n size taps"]
    weight: Float[Tensor, "n size taps"]

    def __getitem__(self, i):
        return Taps(self.index[i], self.weight[i])

    def to(self, device: torch.device, dtype: torch.dtype) -> "Taps":
        return Taps(self.index.to(device), self.weight.to(device, dtype))


def triangle(
    start: Float64[Tensor, "n"],
    length: Float64[Tensor, "n"],
    mirror: Bool[Tensor, "n"],
    *,
    source: int,
    size: int,
) -> Taps:
    """Taps of a bilinear resize with antialias, the one of PIL and torchvision, from `length` pixels to `size`.

    Parameters
    ----------
    start, length
        The piece of the axis to be resized, in pixels; may be fractions. Pixels it does not touch have no part.
    mirror
        Whose output runs backwards.
    source, size
        Pixels along the axis before and after.
    """
    scale = (length / size)[:, None]
    reach = scale.clamp_min(1)  # a triangle as wide as an output pixel, never narrower than a source pixel
    place = torch.arange(size, dtype=torch.float64) + 0.5
    centre = start[:, None] + torch.where(mirror[:, None], size - place, place) * scale
    first = (centre - reach + 0.5).floor()
    # taps lead, so that every step is dense
    pixel = first + torch.arange(int((2 * reach).max().ceil()), dtype=torch.float64)[:, None, None]
    weight = (1 - (pixel + 0.5 - centre).abs() / reach).clamp_min(0)
    # boxes are shares of a side times pixels: 1e-6 keeps a rounding error from touching one more pixel
    low, high = (start + 1e-6).floor()[:, None], (start + length - 1e-6).ceil()[:, None]
    weight = torch.where((pixel >= low) & (pixel < high), weight, 0)
    return Taps(pixel.clamp(0, source - 1).long().movedim(0, 2), (weight / weight.sum(0)).movedim(0, 2))


def mix_rows(
    table: Float[Tensor, "rows d"], index: Int64[Tensor, "m taps"], weight: Float[Tensor, "m taps"]
) -> Float[Tensor, "m d"]:
    """Weighted sums of rows of a table."""
    return F.embedding_bag(index, table, per_sample_weights=weight, mode="sum")


def crop(images: Shaped[Tensor, "n h w c"], rows: Taps, columns: Taps) -> Float[Tensor, "c n size size"]:
    """Crop and resize: `rows` along the height, `columns` along the width. uint8 becomes 0 to 1; the result is (c, n, x, y)."""
    n, h, w, c = images.shape
    size = rows.index.shape[1]
    share = rows.weight
    if not images.is_floating_point():
        images, share = images.to(share.dtype), share / 255
    picture = torch.arange(n, device=images.device)[:, None, None]
    x = mix_rows(images.reshape(n * h, w * c), (rows.index + picture * h).flatten(0, 1), share.flatten(0, 1))
    x = turn(x.view(n, size, w * c)).view(n * w * c, size)
    channel = torch.arange(c, device=x.device)[:, None, None, None]
    index = (columns.index + picture * w) * c + channel
    return mix_rows(x, index.flatten(0, 2), columns.weight.repeat(c, 1, 1).flatten(0, 1)).view(c, n, size, size)


def turn(x: Float[Tensor, "n a b"]) -> Float[Tensor, "n b a"]:
    """Transpose every matrix in memory: `channel_shuffle` does it in vector instructions, `contiguous` number by number."""
    n, a, b = x.shape
    return F.channel_shuffle(x.reshape(1, n, 1, a * b).permute(0, 3, 1, 2), a).permute(0, 2, 3, 1).reshape(n, b, a)


def gaussian(sigma: Float64[Tensor, "n"], *, size: int) -> Taps:
    """Taps of SimCLR's Gaussian blur: 2 int((size // 10) / 2) + 1 of them, the picture mirrored at its border.

    SimCLR pads with zeros, which darkens the rim; a mirror does not.
    """
    radius = size // 10 // 2
    offset = torch.arange(-radius, radius + 1)
    index = (torch.arange(size)[:, None] + offset).abs()
    index = torch.where(index < size, index, 2 * (size - 1) - index)
    weight = torch.softmax(-(offset**2) / (2 * sigma[:, None] ** 2), dim=1)
    return Taps(index.expand(len(sigma), -1, -1), weight[:, None].expand(-1, size, -1))


def blur(x: Float[Tensor, "c n x y"], taps: Taps) -> Float[Tensor, "c n x y"]:
    """Blur along both axes with the same taps."""
    c, n, size, _ = x.shape
    rows = torch.arange(c * n, device=x.device).view(c, n, 1, 1) * size
    index = (taps.index + rows).flatten(0, 2)
    weight = taps.weight.repeat(c, 1, 1).flatten(0, 1)
    for _ in range(2):
        x = turn(mix_rows(x.reshape(-1, size), index, weight).view(c * n, size, size))
    return x.view(c, n, size, size)


def warp(
    x: Float[Tensor, "c n x y"], affine: Float[Tensor, "n 2 3"], bend: Float[Tensor, "n 2 k k"]
) -> Float[Tensor, "c n x y"]:
    """Move every picture through an affine map and a smooth field of displacements, by bilinear sampling.

    Parameters
    ----------
    affine, bend
        The map from the place in the result to the place in `x`, in coordinates (x, y) that run from -1 to 1 between the
        picture's edges: affine @ (x, y, 1) plus the cubic interpolation of the k x k displacements in `bend`, indexed
        [to x or to y, place along x, place along y]. Beyond the border the border's pixels go on: strokes need no
        assumption whether they are dark on light or light on dark.
    """
    size = x.shape[2]
    place = ((torch.arange(size, device=x.device, dtype=x.dtype) * 2 + 1) / size - 1)[:, None]
    smooth = cubic(bend.shape[-1], size).to(x)
    field = (smooth @ bend @ smooth.T).transpose(0, 1)
    a = affine.permute(1, 2, 0)[..., None, None]
    source_x = field[0] + a[0, 0] * place + a[0, 1] * place.T + a[0, 2]
    source_y = field[1] + a[1, 0] * place + a[1, 1] * place.T + a[1, 2]
    # to grid_sample our columns are its rows: its first coordinate is our y
    grid = torch.stack([source_y, source_x], dim=-1)
    return F.grid_sample(x.transpose(0, 1), grid, padding_mode="border", align_corners=False).transpose(0, 1)


@lru_cache(maxsize=8)
def cubic(k: int, size: int) -> Float[Tensor, "size k"]:
    """Cubic interpolation from k places, the outer ones on the border pixels, to `size`."""
    return F.interpolate(torch.eye(k)[None, None], (size, k), mode="bicubic", align_corners=True)[0, 0]
