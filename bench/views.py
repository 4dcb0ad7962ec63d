"""Random views per second of one core: edubba, kornia, and SimCLR's pipeline on PIL as lightly runs it.

    pip install kornia    # beside edubba, only for this comparison
    python bench/views.py [--repeats 7] [--out bench/results/views.json]

All three turn pictures that lie decoded in memory into float32 batches, with SimCLR's crop, flip, colour jitter, grey and
(from 64 pixels on) blur at the same strengths. The peers take turns in every repeat, on one thread; what counts is the
median over repeats of the ratio of their processor times, wall times stand beside it.

Whom this favours:
- kornia crops without antialias and is timed in both of its cropping modes; the faster one counts.
- lightly cannot be imported beside a torch without CUDA, because it imports torchvision. Its row is a stand-in: the same
  calls of PIL and numpy that torchvision's transforms make for PIL pictures, and lightly's blur. It has no overhead of
  torchvision's classes. It normalises, as lightly does; the others leave that to the encoder.
- a data loader's worker processes would help PIL; per core, as here, they change nothing.
- the 2.25 times larger sources are edubba's cache; whoever keeps small pictures in memory reads the row `32 <- 32`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter

from edubba.core import views
from edubba.core.settings import Views

SEED = 0
STRENGTH, CROP_MIN = 0.5, 0.2
CASES = [(32, 32, 256), (72, 32, 256), (96, 96, 256), (216, 96, 256), (504, 224, 48)]  # source, size, pictures
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "views.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(
        f"{'size <- source':>14}  {'pipeline':<18} {'views/cpu-s':>11} {'views/s':>9}  edubba is faster by [least, most]"
    )
    for source, size, n in CASES:
        rows += compare(source, size, n, repeats=arguments.repeats)
    report = {
        "bench": "views",
        "date": date.today().isoformat(),
        "machine": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        "seed": SEED,
        "repeats": arguments.repeats,
        "strength": STRENGTH,
        "crop_min": CROP_MIN,
        "versions": {name: version(name) for name in ("torch", "kornia", "pillow", "numpy")}
        | {"python": platform.python_version()},
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(source: int, size: int, n: int, *, repeats: int) -> list[dict]:
    """Time every pipeline on the same pictures, taking turns; print and return a row each."""
    pictures = smooth_pictures(n, source)
    pipelines = {
        "edubba": edubba_views(pictures, size),
        "kornia slice": kornia_views(pictures, size, "slice"),
        "kornia resample": kornia_views(pictures, size, "resample"),
        "PIL (lightly's)": pil_views(pictures[: min(n, 64)], size),
    }
    cpu, wall = {k: [] for k in pipelines}, {k: [] for k in pipelines}
    for repeat in range(-1, repeats):
        for name, run in pipelines.items():
            c, w = time.process_time(), time.perf_counter()
            made = len(run())
            if repeat >= 0:  # the first round warms up
                cpu[name].append((time.process_time() - c) / made)
                wall[name].append((time.perf_counter() - w) / made)
    rows = []
    for name in pipelines:
        ratio = [theirs / ours for theirs, ours in zip(cpu[name], cpu["edubba"], strict=True)]
        row = {
            "size": size,
            "source": source,
            "pipeline": name,
            "views_per_cpu_second": 1 / statistics.median(cpu[name]),
            "views_per_second": 1 / statistics.median(wall[name]),
            "ratio": statistics.median(ratio),
            "ratio_least": min(ratio),
            "ratio_most": max(ratio),
        }
        print(
            f"{size:>6} <- {source:<4}  {name:<18} {row['views_per_cpu_second']:>11,.0f} {row['views_per_second']:>9,.0f}"
            f"  {row['ratio']:.2f} [{row['ratio_least']:.2f}, {row['ratio_most']:.2f}]",
            flush=True,
        )
        rows.append(row)
    return rows


def smooth_pictures(n: int, side: int) -> np.ndarray:
    """Pictures with the smoothness of photographs, (n, side, side, 3) uint8."""
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(SEED))
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return (fine * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def edubba_views(pictures: np.ndarray, size: int) -> Callable:
    spec, images = Views(strength=STRENGTH, crop_min=CROP_MIN), torch.from_numpy(pictures)
    index, shape_hw = np.arange(len(pictures)), np.full((len(pictures), 2), pictures.shape[1])
    epoch = iter(range(10**6))

    def run():
        drawn = views.draw(spec, index, seed=SEED, epoch=next(epoch), view=0, size=size, shape_hw=shape_hw)
        return views.apply(images, drawn, size=size)

    return run


def kornia_views(pictures: np.ndarray, size: int, cropping_mode: str) -> Callable:
    import kornia.augmentation as K

    torch.manual_seed(SEED)
    s = STRENGTH
    steps = [
        K.RandomResizedCrop((size, size), scale=(CROP_MIN, 1.0), cropping_mode=cropping_mode),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s, p=0.8),
        K.RandomGrayscale(p=0.2),
    ]
    if size >= 64:
        taps = 2 * (size // 10 // 2) + 1
        steps.append(K.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=0.5))
    pipeline, images = torch.nn.Sequential(*steps), torch.from_numpy(pictures)

    def run():
        with torch.no_grad():
            return pipeline(images.permute(0, 3, 1, 2).float().div(255))

    return run


def pil_views(pictures: np.ndarray, size: int) -> Callable:
    images = [Image.fromarray(picture) for picture in pictures]
    chance = random.Random(SEED)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    spread, turn = 0.8 * STRENGTH, 0.2 * STRENGTH

    def one(image):
        left, top, right, bottom = box(*image.size)
        image = image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR)
        if chance.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if chance.random() < 0.8:
            steps = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None]
            chance.shuffle(steps)
            for step in steps:
                if step is None:
                    image = turned(image, chance.uniform(-turn, turn))
                else:
                    image = step(image).enhance(chance.uniform(1 - spread, 1 + spread))
        if chance.random() < 0.2:
            grey = np.asarray(image.convert("L"))
            image = Image.fromarray(np.dstack([grey, grey, grey]))
        if size >= 64 and chance.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(radius=chance.uniform(0.1, 2.0)))
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return x.sub_(mean).div_(std)

    def box(w, h):
        for _ in range(10):
            area = w * h * chance.uniform(CROP_MIN, 1)
            aspect = np.exp(chance.uniform(np.log(3 / 4), np.log(4 / 3)))
            wide, high = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if 0 < wide <= w and 0 < high <= h:
                left, top = chance.randint(0, w - wide), chance.randint(0, h - high)
                return left, top, left + wide, top + high
        return 0, 0, w, h

    def turned(image, shift):
        h, s, v = image.convert("HSV").split()
        h = np.array(h, dtype=np.uint8) + np.uint8(int(shift * 255) % 256)
        return Image.merge("HSV", (Image.fromarray(h), s, v)).convert("RGB")

    return lambda: torch.stack([one(image) for image in images])


def processor() -> str:
    """Name of the processor, where the system tells it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
