"""Clay as numbers: the body of a tablet, what wears and breaks it, and how it looks under a lamp.

Heights, depths and distances are in pixels, so a slope of 1 is 45 degrees. A field is (h, w) float32. What is random is
drawn from the ground's seed by purpose, and depends on nothing that was drawn before.
"""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image
from scipy import ndimage

from edubba.core import streams

Field = Float32[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Colours = Float32[np.ndarray, "h w 3"]

# linear light: tan, brown, red-brown, grey, dark grey
CLAYS = np.array(
    [[0.50, 0.36, 0.22], [0.38, 0.26, 0.16], [0.42, 0.23, 0.13], [0.34, 0.30, 0.25], [0.22, 0.19, 0.17]], np.float32
)
GREEN = np.array([0.25, 0.6, 0.15], np.float32)
"""how bright red, green and blue look"""


class Ground(NamedTuple):
    """Where a tablet lies in a field, and the seed of what is drawn on it."""

    size: tuple[int, int]
    """height and width of the field"""
    centre: tuple[float, float]
    """x and y"""
    half: tuple[float, float]
    """half of the tablet's width and height"""
    turn: float
    """radians"""
    unit: float
    """height of a sign"""
    seed: int


class Breaks(NamedTuple):
    """What is missing of a tablet."""

    drop: Field
    """how far the surface lies below where it was"""
    broken: Mask
    """the written surface is lost here"""
    gone: Mask
    """no clay is left here"""


class Lamp(NamedTuple):
    """Where the lamp stands, and how the clay answers."""

    azimuth: float
    """radians, 0 to the right, a quarter turn above"""
    elevation: float
    """radians above the table"""
    ambient: float
    """share of the light that comes from elsewhere"""
    gloss: float


def draw(seed: int, purpose: str, *position: int, k: int) -> list[float]:
    """k uniform numbers of a purpose."""
    return streams.uniform(seed, f"tablets/{purpose}", *position, index=np.zeros(1), k=k)[0].tolist()


def noise(ground: Ground, purpose: str, *position: int, cell: float, octaves: int = 1) -> Field:
    """Smooth random field, mean about 0, deviation about 1; each octave halves the cell and the strength.

    Parameters
    ----------
    cell
        Of the first octave, in sign heights.
    """
    h, w = ground.size
    cell *= ground.unit
    step = max(1.0, cell / 2 ** (octaves - 1) / 3)  # the sum is no rougher than its last octave
    small = int(np.ceil(h / step)) + 1, int(np.ceil(w / step)) + 1
    total, power = np.zeros(small, np.float32), 0.0
    for octave in range(octaves):
        width = max(cell / 2**octave / step, 1.0)
        rows, columns = (int(np.ceil(n / width)) + 3 for n in small)
        u = streams.uniform(
            ground.seed, f"tablets/{purpose}", *position, octave, index=np.arange(rows), k=columns
        )  # fmt: skip
        values = ((u - 0.5) * 12**0.5 / 2**octave).astype(np.float32)
        if width > 1:
            values = _resized(values, small, (1.0, 1.0, 1.0 + small[1] / width, 1.0 + small[0] / width))
        total += values[: small[0], : small[1]]
        power += 0.25**octave * (0.66 if width > 1 else 1.0)  # interpolating takes a third of the variance
    total /= np.float32(power**0.5)
    return _resized(total, ground.size, (0.0, 0.0, w / step, h / step)) if step > 1 else total[:h, :w]


def _resized(field: Field, size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    return np.asarray(Image.fromarray(field).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box))


def blurred(field: Field, sigma: float) -> Field:
    """Gaussian blur; wide ones on a smaller field."""
    if sigma < 4:
        return ndimage.gaussian_filter(field, sigma, truncate=3)
    h, w = field.shape
    factor = int(sigma // 2)
    small = Image.fromarray(field).resize((max(1, w // factor), max(1, h // factor)), Image.Resampling.BOX)
    return _resized(ndimage.gaussian_filter(np.asarray(small), sigma / factor, truncate=3), (h, w))


def _axes(ground: Ground) -> tuple[Float32[np.ndarray, "1 w"], Float32[np.ndarray, "h 1"]]:
    """x and y about the tablet's centre."""
    x, y = (
        np.arange(n, dtype=np.float32) - np.float32(c) for n, c in zip(ground.size[::-1], ground.centre, strict=True)
    )
    return x[None], y[:, None]


def body(ground: Ground) -> tuple[Field, Mask]:
    """Height of an unwritten tablet, a pillow with rounded corners, and where it lies."""
    u, unit = draw(ground.seed, "body", k=5), ground.unit
    x, y = _axes(ground)
    cos, sin = np.float32(np.cos(ground.turn)), np.float32(np.sin(ground.turn))
    along, down = (x * cos + y * sin) / np.float32(ground.half[0]), (y * cos - x * sin) / np.float32(ground.half[1])
    lumps = noise(ground, "body/outline", cell=3.0, octaves=3) * np.float32(0.06 * unit / min(ground.half))
    bulge = np.float32(0.02 + 0.05 * u[0])
    # a superellipse with bulging sides; r is 1 at the rim
    a = np.abs(along) * (1 + bulge * (down * down - 1)) + lumps
    b = np.abs(down) * (1 + bulge * (along * along - 1)) + lumps
    power = np.float32(8 + 8 * u[1])
    r = (np.maximum(a, 1e-3) ** power + np.maximum(b, 1e-3) ** power) ** (1 / power)
    dome = np.sqrt(np.maximum(1 - np.minimum(r, 1) ** np.float32(4 + 6 * u[2]), 0))
    swell = 1 - 0.5 * (along * along + down * down)
    warp = noise(ground, "body/warp", cell=5.0, octaves=2) * np.float32(0.05 * unit)
    height = np.float32(unit * (0.8 + 1.2 * u[3])) * dome + np.float32(unit * (0.3 + 1.5 * u[4])) * swell + warp
    return height, r < 1


def breaks(ground: Ground, *, damage: float) -> Breaks:
    """Pieces lost at the rim, flaked patches, cracks; `damage` is about the share of the surface that is lost."""
    if not damage:
        nothing = np.zeros(ground.size, bool)
        return Breaks(np.zeros(ground.size, np.float32), nothing, nothing)
    unit = ground.unit
    x, y = _axes(ground)
    jag = noise(ground, "breaks/jag", cell=2.5, octaves=5) * np.float32(0.22 * unit)
    rough = noise(ground, "breaks/rough", cell=0.7, octaves=5)
    lost = np.full(ground.size, -np.inf, np.float32)  # how far beyond the line of a break
    gone = np.zeros(ground.size, bool)
    count, *u = draw(ground.seed, "breaks", k=13)
    cuts = int(4 * count)
    for i in range(cuts):
        turn, share, band, lean = u[4 * i : 4 * i + 4]
        nx, ny = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
        reach = abs(nx) * ground.half[0] + abs(ny) * ground.half[1]
        # a line t before the farthest corner cuts off a triangle of area t * t / (2 |nx ny|)
        area = damage * 4 * ground.half[0] * ground.half[1] * (0.3 + 1.2 * share) / cuts
        t = min((2 * area * max(abs(nx * ny), 0.12)) ** 0.5, max(reach - 1.5 * unit, 0))
        beyond = x * np.float32(nx) + y * np.float32(ny) - np.float32(reach - t) + jag * np.float32(1 + lean)
        lost = np.maximum(lost, beyond)
        gone |= beyond + rough * np.float32(0.12 * unit) > np.float32(unit * (0.15 + 1.8 * band * band))
    blobs = noise(ground, "breaks/flakes", cell=3.2, octaves=3)
    level = np.float32(np.quantile(blobs[::7, ::7], 1 - 0.4 * damage))
    flakes = (blobs - level) * np.float32(0.9 * unit) + jag * np.float32(0.6)
    lost = np.maximum(lost, np.minimum(flakes, np.float32(0.25 * unit)))
    rim = np.clip(lost / np.float32(0.08 * unit), 0, 1)
    drop = rim * (np.float32(0.08 * unit) + rough * np.float32(0.06 * unit)) + 0.4 * np.maximum(lost, 0)
    cracks = _cracks(ground, damage=damage)
    return Breaks(np.maximum(drop, 0) + cracks, (lost > 0) | (cracks > 0.05 * unit), gone)


def _cracks(ground: Ground, *, damage: float) -> Field:
    """Depth of cracks: grooves along the zero lines of slanting planes with noise on them."""
    x, y = _axes(ground)
    depth = np.zeros(ground.size, np.float32)
    for i in range(int(draw(ground.seed, "breaks/cracks", k=1)[0] * (1 + 25 * min(damage, 0.2)))):
        turn, place, wide = draw(ground.seed, "breaks/crack", i, k=3)
        nx, ny = np.cos(np.pi * turn), np.sin(np.pi * turn)
        offset = 1.6 * (place - 0.5) * (abs(nx) * ground.half[0] + abs(ny) * ground.half[1])
        bends = noise(ground, "breaks/bends", i, cell=2.5, octaves=5) * np.float32(0.3 * ground.unit)
        away = np.abs(x * np.float32(nx) + y * np.float32(ny) - np.float32(offset) + bends)
        # a crack opens and closes along its way
        width = (1 + noise(ground, "breaks/width", i, cell=4.0)) * np.float32(ground.unit * (0.015 + 0.05 * wide))
        depth = np.maximum(depth, 3 * np.maximum(width - away, 0))
    return depth


def worn(depth: Field, ground: Ground, *, amount: float) -> Field:
    """Impressions after wear: shallow and soft in patches; `amount` is about the share of the surface that suffers."""
    if not amount:
        return depth
    patches = noise(ground, "wear", cell=4.0, octaves=3)
    level = np.float32(np.quantile(patches[::7, ::7], 1 - amount))
    wear = 1 / (1 + np.exp(np.clip(4 * (level - patches), -30, 30)))
    return depth + wear * (0.25 * blurred(depth, 0.07 * ground.unit) - depth)


def grain(ground: Ground) -> Field:
    """Height of the clay's texture: lumps, sand, small pits."""
    u, unit = draw(ground.seed, "grain", k=3), ground.unit
    field = noise(ground, "grain/lumps", cell=0.8, octaves=5) * np.float32(unit * (0.008 + 0.014 * u[0]))
    field += noise(ground, "grain/sand", cell=0.11, octaves=2) * np.float32(unit * (0.0008 + 0.005 * u[2] ** 2))
    pits = noise(ground, "grain/pits", cell=0.16)
    return field - np.maximum(pits - np.float32(1.7 + u[1]), 0) * np.float32(0.05 * unit)


def lamp(seed: int, azimuth: float | None = None) -> Lamp:
    """A lamp as photographers of tablets place it: low, mostly at the upper left. `azimuth` in degrees."""
    u = draw(seed, "lamp", k=6)
    drawn = 135 + 110 * (u[0] + u[1] - 1) if u[5] < 0.92 else 360 * u[1]
    turn = np.deg2rad(drawn if azimuth is None else azimuth)
    return Lamp(float(turn), float(np.deg2rad(20 + 22 * u[2])), 0.1 + 0.15 * u[3], 0.25 * u[4] ** 2)


def shade(height: Field, lamp: Lamp, *, unit: float) -> tuple[Field, Field]:
    """Light that a height map sends up: diffuse, for white clay, and mirrored; 0 to about 1.

    Lambert's and Blinn's terms (1977) of one lamp with cast shadows, a sky that hollows see less of, and a weak light from
    the other side.
    """
    gy, gx = np.gradient(height)
    across, up = np.float32(np.cos(lamp.elevation)), np.float32(np.sin(lamp.elevation))
    lx, ly = np.float32(np.cos(lamp.azimuth)) * across, np.float32(-np.sin(lamp.azimuth)) * across
    steep = 1 / np.sqrt(1 + gx * gx + gy * gy)
    facing = gx * lx + gy * ly
    lit = np.maximum((up - facing) * steep, 0)
    seen = 1 - _shadow(height, lamp, reach=1.2 * unit)
    hollow = blurred(height, 0.12 * unit) + 0.5 * blurred(height, 0.4 * unit) - 1.5 * height
    sky = (0.4 + 0.6 * steep) / (1 + np.exp(np.clip(hollow / np.float32(0.05 * unit) - 1.5, -20, 20)))
    fill = np.maximum((0.6 + 0.8 * facing) * steep, 0)
    between = np.array([lx, ly, up + 1]) / np.linalg.norm([lx, ly, up + 1])
    bx, by, bz = between.astype(np.float32)
    mirrored = np.maximum((bz - gx * bx - gy * by) * steep, 0) ** 24
    diffuse = np.float32(1 - lamp.ambient) * lit * seen + np.float32(lamp.ambient) * (0.7 * sky + 0.3 * fill)
    return diffuse, np.float32(lamp.gloss) * mirrored * seen


def _shadow(height: Field, lamp: Lamp, *, reach: float) -> Field:
    """Share of the lamp that is hidden, found by walking towards it; the farther what hides it, the softer."""
    h, w = height.shape
    dx, dy = float(np.cos(lamp.azimuth)), -float(np.sin(lamp.azimuth))
    hidden = np.zeros((h, w), np.float32)
    step = 1.0
    while step < reach:
        sx, sy = round(step * dx), round(step * dy)
        away = float(np.hypot(sx, sy))
        here = np.s_[max(0, -sy) : h - max(0, sy), max(0, -sx) : w - max(0, sx)]
        there = np.s_[max(0, sy) : h - max(0, -sy), max(0, sx) : w - max(0, -sx)]
        rise = height[there] - height[here] - np.float32(away * np.tan(lamp.elevation))
        hidden[here] = np.maximum(hidden[here], rise * np.float32(1 / (0.4 + 0.12 * away)))
        step += max(1.0, 0.25 * step)
    return np.minimum(hidden, 1)


def painted(ground: Ground, breaks: Breaks, depth: Field) -> Colours:
    """Colour of the clay in linear light: two clays in patches, stains, dirt in wedges, the core where it broke."""
    u = draw(ground.seed, "colour", k=6)
    first, second = (CLAYS[int(k * len(CLAYS))] for k in u[:2])
    mix = np.clip(0.5 + 0.4 * noise(ground, "colour/patches", cell=5.0, octaves=4), 0, 1)
    speckle = 1 + 0.1 * noise(ground, "colour/speckle", cell=0.12, octaves=3)
    stains = 1 - np.float32(0.35 * u[2]) * np.clip(noise(ground, "colour/stains", cell=2.5, octaves=4) - 0.6, 0, 1)
    dirt = 1 - np.float32(0.35 * u[3]) * np.minimum(depth / np.float32(0.12 * ground.unit), 1)
    colour = first + 0.35 * mix[..., None] * (second - first)
    colour *= (speckle * stains * dirt)[..., None]
    redder = np.array([1.08, 1.0, 0.92], np.float32) ** np.float32(2 * u[5] - 0.6)
    colour[breaks.broken] *= redder * np.float32(1 + 0.35 * (u[4] - 0.35))
    return colour


def exposed(
    ground: Ground, colour: Colours, diffuse: Field, mirrored: Field, there: Mask, lamp: Lamp, *, bar: float
) -> bytes:
    """The photograph as a JPEG file.

    Background, scale bar in a strip of this height at the bottom (0: none), exposure for the brightest tenth of the
    clay, colour of the light or, of one in seven, grey; blur, grain.

    Parameters
    ----------
    there
        Where clay is.
    """
    (h, w), unit = ground.size, ground.unit
    u = draw(ground.seed, "camera", k=10)
    y, x = np.ogrid[:h, :w]
    nearer = ((x - w / 2) * np.cos(lamp.azimuth) - (y - h / 2) * np.sin(lamp.azimuth)) / max(h, w)
    fall = np.exp(0.9 * u[0] * nearer).astype(np.float32)
    picture = colour * (diffuse * fall)[..., None] + (mirrored * fall)[..., None]
    level = max(float(np.quantile(picture[..., 1][there], 0.9)), 1e-6)
    picture *= np.float32((0.14 + 0.4 * u[1]) / level)
    rim = blurred(there.astype(np.float32), 0.02 * unit)[..., None]
    if u[2] < 0.7:
        behind = np.float32(0.004 * u[3] ** 2) * fall
    else:
        away = round(0.5 * unit * np.sin(lamp.azimuth)), round(-0.5 * unit * np.cos(lamp.azimuth))
        cast = ndimage.shift(there.astype(np.float32), away, order=0)
        behind = np.float32(0.15 + 0.65 * u[3]) * fall * (1 - 0.6 * blurred(cast, 0.3 * unit))
    picture += (behind[..., None] - picture) * (1 - rim)
    if bar:
        high, cell = max(2, round(0.3 * bar)), max(2, round(0.06 * w))
        top, left = h - round(0.6 * bar), round(0.1 * w + 0.2 * w * u[4])
        for i in range(10):
            picture[top : top + high, left + i * cell : left + (i + 1) * cell] = (0.02, 0.5)[i % 2]
    if u[5] < 1 / 7:
        picture = np.repeat((picture @ GREEN)[..., None], 3, axis=2)
    else:
        picture *= np.array([1 + 0.12 * (u[6] - 0.4), 1.0, 1 - 0.2 * (u[6] - 0.4)], np.float32)
    sigma = unit * (0.006 + 0.012 * u[7])
    picture = ndimage.gaussian_filter(np.clip(picture, 0, 4), (sigma, sigma, 0), truncate=3)
    picture = np.clip(picture, 0, 1)
    seen = np.where(picture < 0.0031308, 12.92 * picture, 1.055 * picture ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    grains = streams.uniform(ground.seed, "tablets/camera/grain", index=np.arange(h), k=2 * w).astype(np.float32)
    seen += np.float32(0.006 + 0.03 * u[8] ** 2) * (grains[:, :w] + grains[:, w:] - 1)[..., None]
    file = io.BytesIO()
    pixels = (255 * np.clip(seen, 0, 1) + 0.5).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=72 + int(20 * u[9]))
    return file.getvalue()
