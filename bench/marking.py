"""Marked pictures per second: edubba's batches against the loop over single pictures that a first version would have.

    python bench/marking.py [--pictures 128] [--repeats 3] [--out bench/results/marking.json]

Both make the same marks (same objective, crops, steps and budgets) with the same three networks on random smooth pictures of
32 px, on one thread, taking turns. The loop marks one picture at a time, so nothing but the batch differs. It is no
published tool: the known ones cannot be used here (licences, GPUs). Processor time decides; wall time stands beside it.
"""

import argparse
import json
import os
import statistics
import sys
import time
from datetime import date
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from edubba.core import encoders
from edubba.trace import markers, marking

sys.path.append(str(Path(__file__).parent))
from views import processor, smooth_pictures

SIZE, R, CLASSES = 32, 16, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "marking.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x = smooth_pictures(max(400, arguments.pictures), SIZE)
    y = np.arange(len(x)) % CLASSES
    networks = []
    for seed, name in enumerate(("plain", "small", "plain")):
        normalise = encoders.Normalise([0.5] * 3, [0.25] * 3)
        encoder = encoders.Encoder(normalise, encoders.build(name, size=SIZE, seed=seed)).eval()
        networks.append(markers.Network(encoder, None, [], SIZE, 3))
    readouts = markers.readouts(networks, markers.share(markers.features(networks, x), y, r=R))
    n = arguments.pictures
    directions = np.random.default_rng(0).standard_normal((n, R))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def marks(rows: slice) -> np.ndarray:
        index = np.arange(n)[rows]
        return marking.push(
            readouts, x[index], directions[rows], index=index, shape_hw=np.full((len(index), 2), SIZE), psnr=42.0,
            max_delta=10.0, steps=12, seed=0,
        )  # fmt: skip

    ways = {
        "batches of 128": lambda: [marks(slice(i, i + 128)) for i in range(0, n, 128)],
        "one at a time": lambda: [marks(slice(i, i + 1)) for i in range(n)],
    }
    cpu, wall = {way: [] for way in ways}, {way: [] for way in ways}
    for repeat in range(-1, arguments.repeats):
        made = {}
        for way, run in ways.items():
            c, w = time.process_time(), time.perf_counter()
            made[way] = np.concatenate(run())
            if repeat >= 0:
                cpu[way].append(time.process_time() - c)
                wall[way].append(time.perf_counter() - w)
    difference = float(np.abs(made["batches of 128"] - made["one at a time"]).max())
    ratios = [a / b for a, b in zip(cpu["one at a time"], cpu["batches of 128"], strict=True)]
    for way in ways:
        print(
            f"{way:16} {n / statistics.median(cpu[way]):7.1f} pictures/cpu-s {n / statistics.median(wall[way]):7.1f} pictures/s"
        )
    print(
        f"batches are faster by {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]; marks differ by {difference:.3f}"
    )
    report = {
        "bench": "marking", "date": date.today().isoformat(), "machine": processor(), "threads": 1, "pictures": n,
        "repeats": arguments.repeats, "ratio": statistics.median(ratios), "ratio_least": min(ratios),
        "ratio_most": max(ratios), "cpu_seconds": cpu, "wall_seconds": wall, "largest_difference": difference,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
