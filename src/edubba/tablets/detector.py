"""Where are signs? An anchor-free network over photographs: a heat map of centres, and a box at each (Zhou et al. 2019).

The network sees grey pictures in which a sign is about 42 pixels high, whatever the size of the photograph. It is run
over tiles with a margin wider than what a cell can see, so that the answer does not depend on the tiles.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image
from scipy.spatial import KDTree
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.core import encoders, models, resample, streams, train
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.tablets import scoring
from edubba.tablets.spec import Detecting

STRIDE = 8
"""pixels between cells of the heat map"""
HEIGHT = 42.0
"""pixels that a sign is high where the network works"""
MARGIN = 256
"""pixels around a tile; a cell sees 230"""
BORDER = 64
"""black pixels around a photograph"""
STAGES = (32, 80, 160, 256)
"""channels where the picture is shrunk 4, 8, 16 and 32 times"""
BLOCKS = (1, 2, 2, 1)
TOP = 96
"""channels where the stages are added up"""
SCALES = (0.125, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0, 1.41)
"""by which a photograph is resized to find out how high its signs are"""
FEW = 12
"""signs at which their median height counts half"""
WINDOW = 768
"""side of the middle that is looked at for that, pixels after resizing"""
LOOKS = (1.0, 1.15, 1.3)
"""sizes at which a photograph is looked at, as shares of the size at which the network works"""
FEWER = (LOOKS[:1], LOOKS[:2], LOOKS)
"""what validation chooses among: a detector that was trained for a short time has boxes of one size at any scale, and
more looks harm it"""
SAME = 0.55
"""least overlap of two boxes that different looks have of one sign"""
NEAREST = 12
"""boxes of a look that may be of the same sign: peaks lie two cells apart at least"""
FAINT = 0.02
"""least score at which a look counts"""
LARGEST = 4.0
"""by which a photograph is enlarged at most"""
BLACK = 16
"""a pixel darker than this is background, which never holds a sign"""


class Faces(NamedTuple):
    """One photograph to learn from, in which a sign is about 42 pixels high."""

    grey: UInt8[np.ndarray, "h w"]
    boxes: Float32[np.ndarray, "n 4"]
    """left, top, right, bottom"""
    regions: Float32[np.ndarray, "r 4"]
    """where every sign has a box; the rest is ignored"""
    group: str
    """the tablet"""


class Detections(NamedTuple):
    """Boxes in pixels of the photograph, the surest first."""

    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, "n"]


class Detector(nn.Module):
    """Grey pictures in [0, 1], (n, 1, h, w) with sides that 32 divides, to (n, 5, h / 8, w / 8).

    Channels: logit of a centre, its place from the middle of the cell to the right and down (cells), logarithm of width
    and height (cells).
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):
            first = STAGES[0]
            self.stem = nn.Sequential(
                nn.PixelUnshuffle(4), encoders.conv(16, first, 3), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
            )
            self.stages = nn.ModuleList()
            features = first
            for stage, (channels, depth) in enumerate(zip(STAGES, BLOCKS, strict=True)):
                blocks = []
                for i in range(depth):
                    blocks.append(encoders.basic(features, channels, 2 if i == 0 and stage > 0 else 1))
                    features = channels
                self.stages.append(nn.Sequential(*blocks))
            self.sideways = nn.ModuleList(nn.Conv2d(channels, TOP, 1) for channels in STAGES[1:])
            self.smooth = nn.Sequential(
                encoders.conv(TOP, TOP, 3), nn.BatchNorm2d(TOP), nn.ReLU(inplace=True),
                encoders.conv(TOP, TOP, 3), nn.BatchNorm2d(TOP), nn.ReLU(inplace=True),
            )  # fmt: skip
            self.head = nn.Conv2d(TOP, 5, 1)
        self.to_empty(device="cpu")

    def forward(self, x: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 5 a b"]:
        x = self.stages[0](self.stem((x - 0.5) / 0.25))
        levels = []
        for stage in list(self.stages)[1:]:
            x = stage(x)
            levels.append(x)
        top = self.sideways[-1](levels[-1])
        for level, sideways in zip(levels[-2::-1], list(self.sideways)[-2::-1], strict=True):
            top = sideways(level) + F.interpolate(top, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(self.smooth(top))


def build(*, seed: int = 0) -> Detector:
    """A detector with first weights, in which a centre is rare and a sign as large as usual."""
    model = Detector()
    encoders.initialise(model, seed, "detector")
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, encoders.Residual):
                nn.init.zeros_(part.body[-1].weight)  # ty: ignore[invalid-argument-type]
        model.head.weight.mul_(0.1)
        model.head.bias = nn.Parameter(
            torch.tensor([-3.5, 0, 0, np.log(54 / STRIDE), np.log(HEIGHT / STRIDE)], dtype=torch.float32)
        )
    return model


class Sample(NamedTuple):
    """What one crop should give."""

    x: Float32[np.ndarray, "1 s s"]
    heat: Float32[np.ndarray, "a a"]
    """1 at centres, falling off around them"""
    known: Bool[np.ndarray, "a a"]
    """cells where it is known whether a sign is there"""
    box: Float32[np.ndarray, "4 a a"]
    weight: Float32[np.ndarray, "a a"]
    """how much the box counts in a cell"""


def draw(faces: Faces, u: Float[np.ndarray, "k"], spec: Detecting) -> Sample:
    """A crop around a box (or anywhere in a region), turned, stretched and lit as the numbers say.

    `u` are 40 uniform numbers.
    """
    size = spec.crop
    if u[0] < 0.75 and len(faces.boxes):
        box = faces.boxes[int(u[1] * len(faces.boxes))]
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) + (u[2:4] - 0.5) * size * 0.8
    else:
        region = faces.regions[int(u[1] * len(faces.regions))]
        centre = region[:2] + u[2:4] * (region[2:] - region[:2])
    angle = np.radians(spec.rotate) * (2 * u[4] - 1)
    stretch = np.exp(np.log1p(spec.scale) * (2 * u[5] - 1) + np.log1p(0.1) * np.array([2 * u[6] - 1, 1 - 2 * u[6]]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_source = turn @ np.diag(1 / stretch)  # from the crop's middle to the photograph
    x = _sample(faces.grey, centre, to_source, size)
    black = _shrunk(x) < BLACK / 255
    x = _relit(x, u[8:40])
    to_crop = np.linalg.inv(to_source)

    def moved(boxes: np.ndarray, loose: float) -> np.ndarray:
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2 - centre
        half = (boxes[:, 2:] - boxes[:, :2]) / 2
        middle = middle @ to_crop.T + size / 2
        spread = np.abs(np.diag(np.diag(to_crop))) + loose * np.abs(to_crop - np.diag(np.diag(to_crop)))
        half = half @ spread.T
        return np.concatenate([middle - half, middle + half], axis=1)

    return _targets(x, moved(faces.boxes, 0.6), moved(faces.regions, 0.0), black)


def _sample(grey: UInt8[np.ndarray, "h w"], centre, to_source, size: int) -> Float32[np.ndarray, "s s"]:
    reach = int(np.ceil(np.abs(to_source).sum() * size / 2)) + 2
    x0, y0 = int(centre[0]) - reach, int(centre[1]) - reach
    x1, y1 = x0 + 2 * reach, y0 + 2 * reach
    piece = grey[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    piece = np.pad(piece, ((max(0, -y0), max(0, y1 - grey.shape[0])), (max(0, -x0), max(0, x1 - grey.shape[1]))))
    piece = piece[: 2 * reach, : 2 * reach]
    # grid_sample's coordinates run from -1 to 1 over the piece
    shift = (centre - np.array([x0, y0])) / reach - 1
    theta = np.concatenate([to_source * (size / (2 * reach)), shift[:, None]], axis=1)
    grid = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, size, size], align_corners=False)
    source = torch.from_numpy(piece.astype(np.float32) / 255)[None, None]
    return F.grid_sample(source, grid, align_corners=False)[0, 0].numpy()


def _shrunk(x: np.ndarray) -> np.ndarray:
    n = len(x) // STRIDE
    return x[: n * STRIDE, : n * STRIDE].reshape(n, STRIDE, n, STRIDE).max(axis=(1, 3))


def _relit(x: Float32[np.ndarray, "s s"], u: Float[np.ndarray, "k"]) -> Float32[np.ndarray, "s s"]:
    """Gamma, contrast, a smooth field of light, added slopes, blur and noise."""
    both = 2 * u - 1
    made = torch.from_numpy(np.clip(x, 1e-3, 1))
    right, down = F.pad(made[:, 1:] - made[:, :-1], (0, 1)), F.pad(made[1:] - made[:-1], (0, 0, 0, 1))
    made = (made + 0.8 * both[0] * right + 0.8 * both[1] * down).clamp(1e-3, 1)
    smooth = resample.cubic(4, len(x)).to(made)
    field = smooth @ torch.from_numpy(0.5 * both[2:18].reshape(4, 4)).to(made) @ smooth.T
    made = (made.log() * float(np.exp(0.4 * both[18])) + field + 0.3 * float(both[19])).exp()
    if u[20] < 0.3:
        made = F.avg_pool2d(made[None, None], 3, 1, 1)[0, 0]
    noise = np.random.Generator(np.random.Philox(int(u[21] * 2**53))).standard_normal(x.shape, dtype=np.float32)
    return np.clip(made.numpy() + 0.05 * u[22] ** 2 * noise, 0, 1).astype(np.float32)


def _targets(x: np.ndarray, boxes: np.ndarray, regions: np.ndarray, black: np.ndarray) -> Sample:
    n = len(x) // STRIDE
    heat, weight = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    box = np.zeros((4, n, n), np.float32)
    known = black.copy()
    place = np.arange(n) + 0.5
    for x0, y0, x1, y1 in regions / STRIDE:
        known[np.ix_((place >= y0) & (place < y1), (place >= x0) & (place < x1))] = True
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))  # the smaller sign wins a cell
    for x0, y0, x1, y1 in boxes[order] / STRIDE:
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        if not (0 <= cx < n and 0 <= cy < n):
            continue
        i, j = int(cy), int(cx)
        sx, sy = max(0.5, w / 8), max(0.5, h / 8)
        a, b = max(0, int(cy - 3 * sy)), min(n, int(cy + 3 * sy) + 1)
        c, d = max(0, int(cx - 3 * sx)), min(n, int(cx + 3 * sx) + 1)
        dy, dx = place[a:b, None] - cy, place[None, c:d] - cx
        near = np.exp(-((dy / sy) ** 2 + (dx / sx) ** 2) / 2).astype(np.float32)
        np.maximum(heat[a:b, c:d], near, out=heat[a:b, c:d])
        heat[i, j] = 1
        own = near > np.maximum(0.3, weight[a:b, c:d])
        own[i - a, j - c] = True
        weight[a:b, c:d] = np.where(own, near, weight[a:b, c:d])
        target = np.broadcast_arrays(-dx, -dy, np.log(w), np.log(h))
        for k, value in enumerate(target):
            box[k, a:b, c:d] = np.where(own, value, box[k, a:b, c:d])
        known[i, j] = True
    return Sample(x[None].astype(np.float32), heat, known, box, weight)


def loss(
    out: Float[Tensor, "n 5 a a"], heat: Tensor, known: Tensor, box: Tensor, weight: Tensor
) -> tuple[Tensor, dict]:
    """Penalty-reduced focal loss of the heat map (Law and Deng 2018) and generalised IoU of the boxes (Rezatofighi et al. 2019)."""
    out = out.float()
    logit = out[:, 0]
    p = torch.sigmoid(logit)
    centre = (heat == 1) & known
    positive = -((1 - p) ** 2) * F.logsigmoid(logit) * centre
    negative = -((1 - heat) ** 4) * p**2 * F.logsigmoid(-logit) * (known & ~centre)
    found = (positive.sum() + negative.sum()) / centre.sum().clamp_min(1)
    counts = weight * known
    size = out[:, 3:].clamp(-2, 5)
    overlap = giou(torch.cat([out[:, 1:3], size.exp()], 1), torch.cat([box[:, :2], box[:, 2:].exp()], 1))
    apart = F.l1_loss(torch.cat([out[:, 1:3], size], 1), box, reduction="none").sum(1)
    total = counts.sum().clamp_min(1)
    shape = ((1 - overlap) * counts).sum() / total
    steps = (apart * counts).sum() / total
    return found + 2 * shape + 0.2 * steps, {"centres": found.detach(), "boxes": shape.detach()}


def giou(a: Float[Tensor, "n 4 *s"], b: Float[Tensor, "n 4 *s"]) -> Float[Tensor, "n *s"]:
    """Generalised IoU of boxes given by centre and size."""
    low_a, high_a, low_b, high_b = (
        a[:, :2] - a[:, 2:] / 2,
        a[:, :2] + a[:, 2:] / 2,
        b[:, :2] - b[:, 2:] / 2,
        b[:, :2] + b[:, 2:] / 2,
    )
    inter = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp_min(0).prod(1)
    hull = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inter
    return inter / union.clamp_min(1e-6) - (hull - union) / hull.clamp_min(1e-6)


def fit(
    faces: Sequence[Faces], spec: Detecting, *, validation: Sequence[Faces] = (), run: Run | None = None
) -> Detector:
    """Train a detector on photographs; a crop comes from one in proportion to the square root of the number of its boxes."""
    share = np.sqrt([max(1, len(f.boxes)) for f in faces])
    upper = np.cumsum(share / share.sum())
    plan = train.Plan(n=spec.steps * spec.fit.batch_size, batch_size=spec.fit.batch_size, epochs=1, seed=spec.fit.seed)

    def batch(step: int, rank: int, world: int) -> tuple[Tensor, ...]:
        mine = np.arange(rank, spec.fit.batch_size, world)
        u = streams.uniform(spec.fit.seed, "photograph crops", step, index=mine, k=41)
        made = [draw(faces[min(len(faces) - 1, int(np.searchsorted(upper, row[0])))], row[1:], spec) for row in u]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True))

    def objective(net: nn.Module, items: tuple[Tensor, ...]) -> tuple[Tensor, dict]:
        return loss(net(items[0].contiguous(memory_format=torch.channels_last)), *items[1:])

    def evaluate(net: nn.Module, step: int) -> dict:
        found = [(detect_scaled(net, f.grey), f) for f in validation]
        return {"score": scoring.average_precision_inside(found)}

    return train.fit(
        build(seed=spec.fit.seed), batch, objective, spec=spec.fit, plan=plan, run=run,
        evaluate=evaluate if validation else None, what="finding signs",
    )  # fmt: skip


@torch.no_grad()
def heat_map(
    model: nn.Module, grey: UInt8[np.ndarray, "h w"], *, tile: int = 1024, margin: int = MARGIN
) -> Float32[np.ndarray, "5 a b"]:
    """What the network says of every cell of a photograph, tile by tile; any tile size (a multiple of 32) gives the same.

    A smaller `margin` than the usual one costs less, and the answer is then only nearly so.
    """
    h, w = grey.shape
    a, b = -(-h // 32) * 32, -(-w // 32) * 32
    border = min(margin, BORDER)
    padded = np.pad(grey, ((border, a - h + border), (border, b - w + border)))
    out = np.empty((5, a // STRIDE, b // STRIDE), np.float32)
    for y in range(0, a, tile):
        for x in range(0, b, tile):
            high, wide = min(tile, a - y), min(tile, b - x)
            top, left = max(0, y + border - margin), max(0, x + border - margin)
            piece = padded[top : y + high + border + margin, left : x + wide + border + margin]
            part = torch.from_numpy(piece.astype(np.float32) / 255)[None, None]
            made = model(part.contiguous(memory_format=torch.channels_last))[0].float().numpy()
            i, j = (y + border - top) // STRIDE, (x + border - left) // STRIDE
            inner = made[:, i : i + high // STRIDE, j : j + wide // STRIDE]
            out[:, y // STRIDE : (y + high) // STRIDE, x // STRIDE : (x + wide) // STRIDE] = inner
    return out


def detect_scaled(
    model: nn.Module,
    grey: UInt8[np.ndarray, "h w"],
    *,
    threshold: float = 0.05,
    overlap: float = 0.45,
    tile: int = 1024,
    margin: int = MARGIN,
    looks: Sequence[float] = LOOKS,
) -> Detections:
    """Signs in a photograph in which they are about 42 pixels high, from what is seen of it at several sizes."""
    was = model.training
    model.eval()
    found = []
    for look in looks:
        seen = resized(grey, look)
        back = np.array([grey.shape[1] / seen.shape[1], grey.shape[0] / seen.shape[0]] * 2, np.float32)
        # what is doubtful in one look may be sure in all
        one = _peaks(heat_map(model, seen, tile=tile, margin=margin), min(threshold, FAINT))
        boxes = np.clip(one.boxes * back, 0, np.array([grey.shape[1], grey.shape[0]] * 2, np.float32))
        found.append(Detections(boxes, one.scores))
    model.train(was)
    made = merged(found, overlap=overlap)
    kept = made.scores >= threshold
    return Detections(made.boxes[kept], made.scores[kept])


def _peaks(out: Float32[np.ndarray, "5 a b"], threshold: float) -> Detections:
    score = 1 / (1 + np.exp(-out[0]))
    around = F.max_pool2d(torch.from_numpy(score)[None, None], 3, 1, 1)[0, 0].numpy()
    row, column = np.nonzero((score == around) & (score >= threshold))
    dx, dy, w, h = out[1:, row, column]
    cx, cy = (column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE
    w, h = np.exp(np.clip(w, -2, 5)) * STRIDE, np.exp(np.clip(h, -2, 5)) * STRIDE
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    return Detections(boxes.astype(np.float32), score[row, column].astype(np.float32))


def merged(looks: Sequence[Detections], *, overlap: float) -> Detections:
    """What several looks at one photograph agree on: boxes are means weighted by score, and a look without one counts 0."""
    boxes = np.concatenate([look.boxes for look in looks])
    kept = boxes[suppress(boxes, np.concatenate([look.scores for look in looks]), overlap=overlap)]
    total, weight = np.zeros((len(kept), 4)), np.zeros(len(kept))
    for look in looks:
        if not len(look.boxes):
            continue
        # boxes of one sign have their centres together: the few nearest are enough, and thousands are many
        near = KDTree(_centres(look.boxes)).query(_centres(kept), k=range(1, 1 + min(NEAREST, len(look.boxes))))[1]
        score = np.where(_each_iou(kept[:, None], look.boxes[near]) >= SAME, look.scores[near], 0.0)
        best = score.argmax(axis=1)
        own = score[np.arange(len(kept)), best]
        total += own[:, None] * look.boxes[near[np.arange(len(kept)), best]]
        weight += own
    order = np.argsort(-weight, kind="stable")
    mean = (total / np.maximum(weight, 1e-9)[:, None])[order]
    return Detections(mean.astype(np.float32), (weight[order] / len(looks)).astype(np.float32))


def _centres(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 2"]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _each_iou(a: Float[np.ndarray, "n k 4"], b: Float[np.ndarray, "n m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of boxes side by side."""
    inter = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    area = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return inter / np.maximum(area - inter, 1e-9)


def suppress(
    boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], *, overlap: float
) -> Int[np.ndarray, "k"]:
    """Non-maximum suppression: indices of boxes that overlap none of the surer ones by more than `overlap` (IoU)."""
    order = np.argsort(-scores, kind="stable")
    area = np.maximum(0, boxes[:, 2] - boxes[:, 0]) * np.maximum(0, boxes[:, 3] - boxes[:, 1])
    kept, free = [], np.ones(len(boxes), bool)
    if not len(boxes):
        return np.zeros(0, int)
    centres, reach = _centres(boxes), float((boxes[:, 2:] - boxes[:, :2]).max())
    tree = KDTree(centres)
    for i in order:
        if not free[i]:
            continue
        kept.append(i)
        near = np.array(tree.query_ball_point(centres[i], reach, p=np.inf))  # boxes further away do not touch it
        low, high = np.maximum(boxes[i, :2], boxes[near, :2]), np.minimum(boxes[i, 2:], boxes[near, 2:])
        inter = np.maximum(0, high - low).prod(axis=1)
        free[near] &= inter <= overlap * (area[i] + area[near] - inter)
    return np.array(kept, int)


def detect(
    model: nn.Module,
    photograph: UInt8[np.ndarray, "h w c"],
    *,
    sign_height: float = 0.0,
    threshold: float = 0.05,
    looks: Sequence[float] = LOOKS,
) -> tuple[Detections, float]:
    """Signs of a photograph of any size, and how high they are in it (pixels).

    Parameters
    ----------
    sign_height
        Pixels; 0: found by trying the photograph at several sizes and taking the one at which the network finds most.
    """
    grey = train.of_channels(photograph[None], 1)[0, ..., 0]
    if sign_height < 0:
        raise UserError(f"--sign-height {sign_height:g}: it must be above 0, or 0 to let it be found")
    if sign_height and HEIGHT / sign_height > LARGEST:
        raise UserError(
            f"--sign-height {sign_height:g}: signs below {HEIGHT / LARGEST:g} pixels are too small to be read"
        )
    scale = HEIGHT / sign_height if sign_height else estimate(model, grey)
    smaller = resized(grey, scale)
    found = detect_scaled(model, smaller, threshold=threshold, looks=looks)
    back = np.array([grey.shape[1] / smaller.shape[1], grey.shape[0] / smaller.shape[0]] * 2, np.float32)
    return Detections(found.boxes * back, found.scores), HEIGHT / scale


def resized(grey: UInt8[np.ndarray, "h w"], scale: float) -> UInt8[np.ndarray, "a b"]:
    if abs(scale - 1) < 0.02:
        return grey
    size = max(32, round(grey.shape[1] * scale)), max(32, round(grey.shape[0] * scale))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))


def estimate(model: nn.Module, grey: UInt8[np.ndarray, "h w"]) -> float:
    """The factor by which to resize a photograph so that its signs are 42 pixels high.

    The middle of the photograph is looked at in several sizes. In the right one most signs are found, and they are as high
    as the network has learned.
    """
    best, most = 1.0, -1.0
    for scale in SCALES:
        if max(grey.shape) * scale < 160:
            continue
        h, w = (min(n, round(WINDOW / scale)) for n in grey.shape)
        top, left = (grey.shape[0] - h) // 2, (grey.shape[1] - w) // 2
        piece = resized(grey[top : top + h, left : left + w], scale)
        found = detect_scaled(model, piece, threshold=0.3, tile=WINDOW + 32, margin=64, looks=(1.0,))
        if len(found.scores) == 0:
            continue
        high = float(np.median(found.boxes[:, 3] - found.boxes[:, 1]))
        worth = float(found.scores.sum()) * float(np.exp(-2 * abs(np.log(high / HEIGHT))))
        if worth > most:
            # few signs say little about how high most are
            trust = len(found.scores) / (len(found.scores) + FEW)
            best, most = scale * float((HEIGHT / high) ** trust), worth
    return best


def choose_looks(
    model: nn.Module, faces: Sequence[Faces]
) -> tuple[tuple[float, ...], list[tuple[Detections, Faces]], list[tuple[tuple[float, ...], float]]]:
    """The sizes to look at with the best average precision, what is found with them, and every choice with its value."""
    tried = []
    for looks in FEWER:
        seen = [(detect_scaled(model, face.grey, threshold=FAINT, looks=looks), face) for face in faces]
        tried.append((looks, seen, scoring.average_precision_inside(seen)))
    looks, seen, _ = max(tried, key=lambda one: one[2])
    return looks, seen, [(looks, value) for looks, _, value in tried]


def choose_threshold(seen: Sequence[tuple[Detections, Faces]]) -> tuple[float, list[tuple[float, float]]]:
    """The least score at which detections count, by F1 of boxes inside the annotated regions; every one tried."""
    tried = []
    for threshold in np.round(np.arange(0.1, 0.71, 0.05), 2):
        hits = given = true = 0
        for found, face in seen:
            kept = (found.scores >= threshold) & scoring.inside(found.boxes, face.regions)
            boxes = face.boxes[scoring.inside(face.boxes, face.regions)]
            hits += int((scoring.match(found.boxes[kept], found.scores[kept], boxes) >= 0).sum())
            given, true = given + int(kept.sum()), true + len(boxes)
        tried.append((float(threshold), 2 * hits / max(1, given + true)))
    return max(tried, key=lambda pair: pair[1])[0], tried


def _built(card: dict[str, Any]) -> Detector:
    return build()


def save(path: Path, model: nn.Module, *, threshold: float, looks: Sequence[float], data: dict[str, Any]) -> None:
    """A detector bundle."""
    card = models.card(
        kind="detector",
        architecture={"name": "centres", "arguments": {}},
        input={"kind": "image", "channels": 1, "size": 0, "range": [0, 1], "mean": [0.5], "std": [0.25], "sign_height": HEIGHT},
        output={"embedding": TOP, "classes": None},
        calibration={"threshold": threshold, "looks": list(looks), "split": "validation"},
        data=data,
        licence="of the photographs that it was trained on",
    )  # fmt: skip
    models.save(path, model, card, builder=_built)


def load(path: Path) -> tuple[nn.Module, float, tuple[float, ...]]:
    """A detector, its threshold, and the sizes at which it looks at a photograph."""
    bundle = models.load(path, builder=_built)
    chosen = bundle.card["calibration"]
    return bundle.model, chosen["threshold"], tuple(chosen.get("looks", LOOKS))
