"""Random views of pictures: SimCLR's crop, flip, colours and blur, and the turns, bends and levels that suit writing.

All parameters are drawn first, by the picture's index, and then applied to many pictures at once. So batch size,
worker, process and resume change nothing, and the pixels can be differentiated through. The operations and their
order are those of Chen et al. 2020 with torchvision's definitions (brightness multiplies, the aspect of a crop is
log-uniform, resizing has antialias); normalisation is left to the encoder.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64, Shaped
from torch import Tensor

from edubba.core import colour, resample, streams
from edubba.core.errors import UserError
from edubba.core.settings import Views

ORDERS = [*permutations((*colour.MIXES, "hue")), ()]  # the 24 orders of the jitter, and none
STEPS = torch.tensor([[[*colour.MIXES, "hue"].index(step) for step in order] or [0] * 4 for order in ORDERS])
HUE_PLACE = torch.tensor([order.index("hue") if order else -1 for order in ORDERS])
TRIES = 10  # of torchvision's random crop, before it falls back on the centre
ASPECT = (3 / 4, 4 / 3)
SIGMA = (0.1, 2.0)
BEND = 4  # displacements along each side
WINDOWS = 2**18  # places where a picture's noise may begin in the one field of noise
CHUNK = 2**20  # values worked on at a time, so that they stay in the processor's cache
COLUMNS = {
    "area": TRIES, "aspect": TRIES, "corner": 2, "flip": 1, "jitter": 1, "order": 1, "factors": 4, "grey": 1, "blur": 1, "sigma": 1,
    "rotate": 1, "scale": 2, "shear": 1, "shift": 2, "bend": 2 * BEND * BEND, "noise": 1, "window": 1, "erase": 2,
    "levels": 2, "light": BEND * BEND, "gamma": 1, "relief": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Draws:
    """What is done to each picture of a batch; `draws[i]` takes some of them. Always on the processor."""

    box: Float[Tensor, "n 4"]
    """top, left, height, width of the crop, as shares of the picture's sides"""
    flip: Bool[Tensor, "n"]
    order: Int64[Tensor, "n"]
    """which of `ORDERS` the jitter follows; the last is none"""
    brightness: Float[Tensor, "n"]
    contrast: Float[Tensor, "n"]
    saturation: Float[Tensor, "n"]
    hue: Float[Tensor, "n"]
    """share of the circle"""
    grey: Bool[Tensor, "n"]
    sigma: Float[Tensor, "n"]
    """of the blur, pixels of the view; 0 is none"""
    affine: Float[Tensor, "n 2 3"]
    """from the place in the view to the place in the crop, see `resample.warp`"""
    bend: Float[Tensor, "n 2 4 4"]
    levels: Float[Tensor, "n 2"]
    """grey that becomes black, and grey that becomes white"""
    noise: Float[Tensor, "n"]
    """standard deviation"""
    window: Int64[Tensor, "n"]
    """where the picture's noise begins in the field"""
    erase: Float[Tensor, "n 3"]
    """place of the erased box between the top and the bottom, the left and the right (0 to 1), and its side as a share"""
    light: Float[Tensor, "n 4 4"]
    """logarithm of the factor of the brightness at the knots of a smooth field"""
    gamma: Float[Tensor, "n"]
    """exponent of the brightness"""
    relief: Float[Tensor, "n 2"]
    """how much of the slope to the right, and of that downwards, is added"""

    def __getitem__(self, i) -> "Draws":
        return Draws(**{f.name: getattr(self, f.name)[i] for f in fields(self)})

    def to(self, device: torch.device, dtype: torch.dtype) -> "Draws":
        """The same on a device, its fractions in the given type."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return Draws(**{k: v.to(device, dtype if v.is_floating_point() else None) for k, v in own.items()})

    def __len__(self) -> int:
        return len(self.flip)


def draw(
    views: Views,
    index: Int[np.ndarray, "n"],
    *,
    seed: int,
    epoch: int,
    view: int,
    size: int,
    shape_hw: Int[np.ndarray, "n 2"],
) -> Draws:
    """Draw what will be done to each picture, a function of (seed, epoch, view) and its index alone.

    Parameters
    ----------
    index
        The pictures' indices in their source.
    size
        Side of the views in pixels; decides on the blur where `views` leaves it open.
    shape_hw
        Height and width of the pictures as they were taken: crops keep their aspect there, even if `apply` is handed
        pictures squashed to a square.

    Raises
    ------
    UserError
        If a setting is out of its range.
    """
    v: Any = views.resolve(size)  # no field is None any more
    u = streams.uniform(seed, "views", epoch, view, index=index, k=sum(COLUMNS.values()))
    u = dict(zip(COLUMNS, np.split(u, np.cumsum([*COLUMNS.values()])[:-1], axis=1), strict=True))
    both = {name: 2 * x - 1 for name, x in u.items()}  # uniform in -1 to 1
    n = len(u["flip"])
    spread = 0.8 * v.strength
    factors = np.maximum(1 - spread, 0) + u["factors"] * (1 + spread - np.maximum(1 - spread, 0))
    angle, shear = np.radians(v.rotate) * both["rotate"][:, 0], v.shear * both["shear"][:, 0]
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    slant = np.tile(np.eye(2), (n, 1, 1))
    slant[:, 0, 1] = shear
    stretched = turn @ slant * (1 + v.scale * both["scale"])[:, None, :]
    # places run from -1 to 1, so a share of the side counts twice
    affine = np.concatenate([stretched, 2 * v.shift * both["shift"][:, :, None]], axis=2)
    drawn = {
        "box": boxes(u["area"], u["aspect"], u["corner"], smallest=v.crop_min, shape_hw=np.asarray(shape_hw)),
        "flip": u["flip"][:, 0] < v.flip,
        "order": np.where(u["jitter"] < v.jitter, (u["order"] * 24).astype(np.int64), 24)[:, 0],
        "brightness": factors[:, 0],
        "contrast": factors[:, 1],
        "saturation": factors[:, 2],
        "hue": 0.2 * v.strength * both["factors"][:, 3],
        "grey": u["grey"][:, 0] < v.grey,
        "sigma": np.where(u["blur"] < v.blur, SIGMA[0] + u["sigma"] * (SIGMA[1] - SIGMA[0]), 0)[:, 0],
        "affine": affine,
        "bend": 2 * v.bend * both["bend"].reshape(n, 2, BEND, BEND),
        "levels": np.array([0.0, 1.0]) + v.levels * u["levels"] * np.array([1.0, -1.0]),
        "noise": v.noise * u["noise"][:, 0],
        "window": (u["window"][:, 0] * WINDOWS).astype(np.int64),
        "erase": np.concatenate([u["erase"], np.full((n, 1), v.erase)], axis=1),
        "light": v.light * both["light"].reshape(n, BEND, BEND),
        "gamma": np.exp(v.gamma * both["gamma"][:, 0]),
        "relief": v.relief * both["relief"],
    }
    return Draws(**{name: torch.from_numpy(value) for name, value in drawn.items()})


def boxes(
    area: Float64[np.ndarray, "n tries"],
    aspect: Float64[np.ndarray, "n tries"],
    corner: Float64[np.ndarray, "n 2"],
    *,
    smallest: float,
    shape_hw: Int[np.ndarray, "n 2"],
) -> Float64[np.ndarray, "n 4"]:
    """torchvision's random crop in whole pixels of the original, from uniform numbers: top, left, height, width as shares.

    Area uniform from `smallest` to 1, aspect log-uniform; the first try that fits, else the middle of the picture with
    its aspect brought into range. A `smallest` of 1 is the whole picture.
    """
    h, w = shape_hw[:, :1].astype(float), shape_hw[:, 1:].astype(float)
    if smallest == 1:
        return np.tile([0.0, 0.0, 1.0, 1.0], (len(h), 1))
    pixels = h * w * (smallest + area * (1 - smallest))
    ratio = np.exp(np.log(ASPECT[0]) + aspect * np.log(ASPECT[1] / ASPECT[0]))
    wide, high = np.rint(np.sqrt(pixels * ratio)), np.rint(np.sqrt(pixels / ratio))
    fits = (wide > 0) & (wide <= w) & (high > 0) & (high <= h)
    first = fits.argmax(axis=1, keepdims=True)
    found = fits.any(axis=1, keepdims=True)
    height = np.where(found, np.take_along_axis(high, first, 1), np.where(w / h < ASPECT[0], np.rint(w / ASPECT[0]), h))
    width = np.where(found, np.take_along_axis(wide, first, 1), np.where(w / h > ASPECT[1], np.rint(h * ASPECT[1]), w))
    top = np.where(found, np.floor(corner[:, :1] * (h - height + 1)), (h - height) // 2)
    left = np.where(found, np.floor(corner[:, 1:] * (w - width + 1)), (w - width) // 2)
    return np.concatenate([top / h, left / w, height / h, width / w], axis=1)


def apply(images: Shaped[Tensor, "n a b c"], draws: Draws, *, size: int) -> Float[Tensor, "n channels size size"]:
    """The views that `draws` describes.

    Parameters
    ----------
    images
        uint8 `(n, h, w, c)`, or float `(n, c, h, w)` in 0 to 1; 1 or 3 channels. Grey pictures have no saturation and
        no hue to change.
    draws
        One row a picture.
    size
        Side of the views in pixels.

    Returns
    -------
    Numbers in 0 to 1, in the images' float type (float32 for uint8) and on their device, laid out channels last in
    memory. Differentiable with respect to float images.
    """
    if images.is_floating_point():
        images = images.permute(0, 2, 3, 1)
    n, h, w, c = images.shape
    if c not in (1, 3):
        raise UserError(f"views are made of grey or RGB pictures, 1 or 3 channels; these have {c}")
    if len(draws) != n:
        raise UserError(f"{n} pictures but draws for {len(draws)}")
    at_once, sources = max(1, CHUNK // (c * size * size)), max(1, CHUNK // (c * h * w))
    # within each piece, pictures whose hue turns at the same step stand side by side
    place = (HUE_PLACE[draws.order] + 5 * (torch.arange(n) // at_once)).argsort(stable=True)
    draws = draws[place]
    blurred = (draws.sigma > 0) & (size >= 20)  # below 20 pixels SimCLR's rule gives a blur of one tap
    grey = draws.grey if c == 3 else torch.zeros_like(draws.grey)
    moved = bool(draws.bend.any() or (draws.affine != torch.eye(2, 3)).any())
    noisy, erased = bool(draws.noise.any()), bool(draws.erase[:, 2].any())
    levelled = bool((draws.levels != torch.tensor([0.0, 1.0])).any())
    lit = bool(draws.light.any() or draws.relief.any() or (draws.gamma != 1).any())
    top, left, height, width = draws.box.T
    device, dtype = images.device, images.dtype if images.is_floating_point() else torch.float32
    rows = resample.triangle(top * h, height * h, torch.zeros_like(draws.flip), source=h, size=size).to(device, dtype)
    columns = resample.triangle(left * w, width * w, draws.flip, source=w, size=size).to(device, dtype)
    there, where = draws.to(device, dtype), place.to(device)
    made, out = [], torch.empty(n, size, size, c, device=device, dtype=dtype)
    for piece in pieces(0, n, at_once):
        some = there[piece]
        x = [
            resample.crop(images.index_select(0, where[few]), rows[few], columns[few])
            for few in pieces(piece.start, piece.stop, sources)
        ]
        x = torch.cat(x, dim=1) if len(x) > 1 else x[0]
        if moved:
            x = resample.warp(x, some.affine, some.bend)
        if levelled:
            black, white = some.levels.T[:, :, None, None]
            x = ((x - black) / (white - black)).clamp(0, 1)
        if lit:
            x = relight(x, some)
        x = jitter(x, some, HUE_PLACE[draws.order[piece]].tolist())
        if grey[piece].any():
            these = grey[piece].nonzero()[:, 0].to(images.device)
            x.index_copy_(1, these, colour.grey(x.index_select(1, these)))
        if noisy:
            x = x + some.noise[:, None, None] * noise(draws.window[piece], shape=(c, size, size)).to(x)
        if blurred[piece].any():
            these = blurred[piece].nonzero()[:, 0].to(device)
            taps = resample.gaussian(draws.sigma[piece][blurred[piece]], size=size).to(device, dtype)
            x.index_copy_(1, these, resample.blur(x.index_select(1, these), taps))
        if erased:
            x = erase(x, draws.erase[piece])
        # rows of pixels first, then one plain transposition of each picture, is the quick way to channels last
        x = resample.turn(torch.stack(tuple(x.clamp_(0, 1)), dim=2).flatten(1, 2)).view(-1, size, size, c)
        back = where[piece].argsort()
        if x.requires_grad:
            made.append(x.index_select(0, back))
        else:
            torch.index_select(x, 0, back, out=out[piece])
    return (torch.cat(made) if made else out).permute(0, 3, 1, 2)


def pieces(start: int, stop: int, longest: int) -> list[slice]:
    """The range in pieces of at most `longest`."""
    return [slice(i, min(i + longest, stop)) for i in range(start, stop, longest)]


def jitter(x: Float[Tensor, "c n *px"], draws: Draws, hue_place: list[int]) -> Float[Tensor, "c n *px"]:
    """Take each picture through its four steps of colour in place, clipped where it may leave 0 to 1; `hue_place` ascends."""
    steps = STEPS.to(x.device)[draws.order]
    value = torch.stack([draws.brightness, draws.contrast, draws.saturation, draws.hue], dim=1).gather(1, steps)
    first = bisect_left(hue_place, 0)
    for step in range(4):
        low, high = bisect_left(hue_place, step), bisect_right(hue_place, step)
        for some in (slice(first, low), slice(high, len(hue_place))):
            if some.start < some.stop:
                colour.mix(x[:, some], value[some, step], steps[some, step]).clamp_(0, 1)
        if low < high and len(x) == 3:
            part = x[:, low:high]
            part.copy_(colour.hue(part.clone() if x.requires_grad else part, value[low:high, step]))
    return x


def relight(x: Float[Tensor, "c n x y"], draws: Draws) -> Float[Tensor, "c n x y"]:
    """As if the lamp stood elsewhere: slopes are added to the picture, then its brightness is bent and shaded smoothly."""
    right = torch.nn.functional.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
    down = torch.nn.functional.pad(x[..., 1:] - x[..., :-1], (0, 1))
    along, across = draws.relief.T[:, :, None, None]
    x = (x + along * right + across * down).clamp(1e-4, 1)
    smooth = resample.cubic(BEND, x.shape[2]).to(x)
    field = smooth @ draws.light @ smooth.T
    return (x.log() * draws.gamma[:, None, None] + field).exp()


def noise(window: Int64[Tensor, "n"], *, shape: tuple[int, int, int]) -> Float[Tensor, "c n size size"]:
    """Standard normal noise: for each picture another window of one fixed field, which costs no more than a copy."""
    c, size, _ = shape
    field = noise_field(WINDOWS + c * size * size).unfold(0, c * size * size, 1)
    return field[window].view(-1, c, size, size).transpose(0, 1)


@lru_cache(maxsize=4)
def noise_field(k: int) -> Float[Tensor, "k"]:
    """k standard normal numbers, always the same."""
    u = streams.uniform(0, "noise field", index=np.array([0]), k=k)[0]
    return torch.special.ndtri(torch.from_numpy(u) + 2.0**-54).float()  # u may be 0


def erase(x: Float[Tensor, "c n x y"], box: Float64[Tensor, "n 3"]) -> Float[Tensor, "c n x y"]:
    """Fill a square with the picture's mean colour, so that it stands out neither of dark nor of light pictures."""
    size = x.shape[2]
    side = (box[:, 2] * size).round()
    low = (box[:, :2] * (size - side + 1)[:, None]).floor()
    place = torch.arange(size)
    inside = (place >= low[..., None]) & (place < (low + side[:, None])[..., None])
    mask = (inside[:, 1, :, None] & inside[:, 0, None, :]).to(x.device)
    return torch.where(mask, x.mean((2, 3), keepdim=True), x)


def pair(
    images: Shaped[Tensor, "n a b c"],
    views: Views,
    *,
    index: Int[np.ndarray, "n"],
    seed: int,
    epoch: int,
    size: int,
    shape_hw: Int[np.ndarray, "n 2"],
) -> tuple[Float[Tensor, "n channels size size"], Float[Tensor, "n channels size size"]]:
    """Two independent views of every picture, numbers 0 and 1 of the epoch; arguments as in `draw` and `apply`."""
    v1, v2 = (draw(views, index, seed=seed, epoch=epoch, view=view, size=size, shape_hw=shape_hw) for view in (0, 1))
    return apply(images, v1, size=size), apply(images, v2, size=size)


def evaluation(images: Shaped[Tensor, "n a b c"], *, size: int) -> Float[Tensor, "n channels size size"]:
    """The whole picture at `size`, with antialias and nothing random; images and result as in `apply`."""
    whole = Views(crop_min=1.0, flip=0.0, jitter=0.0, grey=0.0, blur=0.0)
    n = len(images)
    still = draw(whole, np.zeros(n, int), seed=0, epoch=0, view=0, size=size, shape_hw=np.ones((n, 2), int))
    return apply(images, still, size=size)
