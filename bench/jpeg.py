"""What JPEGs keep of their marks: the shift of networks that took no part, saved plainly and on the file's own grid.

    python bench/jpeg.py cifar10.npz --markers A B C --witnesses D E [--pictures 300]

The npz holds train_x (n, s, s, 3), train_y, test_x, test_y; markers and witnesses are bundles of networks trained without the
marks, as `edubba trace commit` leaves them. Coordinates come from 2,000 test pictures, marks go on training pictures made into
JPEGs, 42 dB and 10 grey levels. 1.00 is the shift of the same mark in a PNG. ms: of a processor, for `saving.add` of a picture.
"""

import argparse
import io
import time
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from edubba.core import picture
from edubba.trace import jpeg, markers, marking, saving

BUDGET = {"psnr": 42.0, "max_delta": 10.0}
FILES = [(75, 0, 1), (85, 0, 1), (95, 0, 1), (75, 2, 1), (85, 2, 1), (95, 2, 1), (85, 2, 8)]
"""quality, Pillow's subsampling (0: 4:4:4, 2: 4:2:0), enlarged by"""


def encoded(x: np.ndarray, larger: int, format: str, **options: object) -> bytes:
    out, side = io.BytesIO(), x.shape[1] * larger
    Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC).save(out, format, **options)
    return out.getvalue()


def looks(network: markers.Network, *pictures: np.ndarray) -> list[np.ndarray]:
    return [markers.features([network], x)[0] for x in pictures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--markers", nargs="+", required=True)
    parser.add_argument("--witnesses", nargs="+", required=True)
    parser.add_argument("--pictures", type=int, default=300)
    arguments = parser.parse_args()
    data, rng = np.load(arguments.data), np.random.default_rng(0)
    asked = rng.permutation(len(data["test_x"]))[:2000]
    chosen = rng.permutation(len(data["train_x"]))[: arguments.pictures]
    x, y = data["train_x"][chosen], data["train_y"][chosen].astype(np.int64)
    asked_x, asked_y = data["test_x"][asked], data["test_y"][asked].astype(np.int64)
    networks, size = [markers.load(path) for path in arguments.markers], x.shape[1]
    features = markers.features(networks, asked_x)
    shared = markers.share(features, asked_y, r=16)
    readouts = markers.readouts(networks, shared)
    carriers = rng.standard_normal((y.max() + 1, 16))
    carriers /= np.linalg.norm(carriers, axis=1, keepdims=True)
    others = [markers.load(path) for path in arguments.witnesses]
    seen_by = [(n, markers.Witness(*looks(n, asked_x), shared.of(features), asked_y)) for n in others]

    def square(content: bytes) -> np.ndarray:
        return np.asarray(picture.square(Image.fromarray(saving.load_pixels(content).seen), size))

    for quality, sampling, larger in FILES:
        files = [encoded(p, larger, "JPEG", quality=quality, subsampling=sampling) for p in x]
        before = np.stack([square(f) for f in files])
        where = {"index": np.arange(len(x)), "shape_hw": np.full((len(x), 2), size * larger)}
        marks = marking.push(readouts, before, carriers[y], **where, steps=12, seed=0, **BUDGET)
        lossless = [encoded(saving.load_pixels(f).seen, 1, "PNG") for f in files]
        shift, ms, below = {}, {}, {}
        for way, of in {"png": lossless, "plain": files, "grid": files}.items():
            with mock.patch.object(jpeg, "grid", jpeg.grid if way == "grid" else lambda *_: None):
                began = time.process_time()
                saved = [saving.add(f, mark, **BUDGET) for f, mark in zip(of, marks, strict=True)]
                ms[way] = 1000 * (time.process_time() - began) / len(of)
            same = [f if isinstance(s, saving.Unmarkable) else s.content for f, s in zip(of, saved, strict=True)]
            below[way] = sum(isinstance(s, saving.Saved) and s.psnr < BUDGET["psnr"] for s in saved)
            after = np.stack([square(content) for content in same])
            shift[way] = np.mean([w.gate(*looks(n, before, after), y, carriers).shift for n, w in seen_by])
        print(
            f"quality {quality} {'4:2:0' if sampling else '4:4:4'} {size * larger:4} px:  plain"
            f" {shift['plain'] / shift['png']:.2f} ({below['plain']} below 42 dB, {ms['plain']:.1f} ms)  grid"
            f" {shift['grid'] / shift['png']:.2f} ({below['grid']}, {ms['grid']:.1f} ms)  PNG's shift {shift['png']:.3f}"
        )


if __name__ == "__main__":
    main()
