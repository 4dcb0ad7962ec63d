"""Seconds of a whole `edubba.trace.test`: ask a suspect and six references, compare with the key, write the evidence.

    python bench/testing.py [--pictures 10000] [--out bench/results/testing.json]

As large as CIFAR-10: 32 px, ten classes, 10,000 pictures of which 2,000 are held out, 16 directions with 50 probes each,
six references, 500 marked pictures. The pictures are random and smooth and the networks untrained: neither changes how much is
computed. Making the key, the marks and the seal is not counted. Once, on as many threads as OMP_NUM_THREADS says.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edubba.core import encoders, models, train
from edubba.trace import Commit, Mark, commit, mark, seal, test

sys.path.append(str(Path(__file__).parent))
from views import processor, smooth_pictures

SIZE, CLASSES = 32, [f"class {k}" for k in range(10)]


def network(folder: Path, name: str, seed: int) -> str:
    """A bundle of an untrained classifier."""
    card = models.card(
        kind="classifier", architecture={"name": name, "arguments": {"channels": 3, "size": SIZE}},
        input={"kind": "image", "channels": 3, "size": SIZE, "range": [0, 1], "mean": [0.5] * 3, "std": [0.25] * 3},
        output={"embedding": {"plain": 128, "small": 512}[name], "classes": CLASSES},
    )  # fmt: skip
    torch.manual_seed(seed)
    model = train.Classifier(encoders.twin(card, seed=seed), len(CLASSES))
    return str(models.save(folder / f"{name}-{seed}", model, card))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "testing.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["EDUBBA_HOME"] = str(folder / "home")
        for i, x in enumerate(smooth_pictures(arguments.pictures, SIZE)):
            path = folder / "photos" / CLASSES[i % len(CLASSES)] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x).save(path)
        markers = tuple(network(folder, "plain", seed) for seed in range(2))
        references = tuple(network(folder, ("plain", "small")[seed % 2], seed) for seed in range(10, 16))
        key, published = folder / "owner.key", folder / "published"
        commit(folder / "photos", key=key, spec=Commit(markers=markers, references=references))
        mark(folder / "photos", key=key, out=published, spec=Mark(share=500 / arguments.pictures, steps=1))
        seal(published, key=key)
        suspect = network(folder, "small", 20)
        cpu, wall = time.process_time(), time.perf_counter()
        verdict = test(suspect, key=key, out=folder / "evidence")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        with np.load(verdict.path / "arrays.npz") as arrays:
            asked = len(arrays["y"])
    print(f"{asked:,} held-out pictures, {torch.get_num_threads()} threads: {wall:.1f} s, {cpu:.1f} s of processors")
    report = {
        "bench": "testing", "date": date.today().isoformat(), "machine": processor(), "threads": torch.get_num_threads(),
        "pictures": arguments.pictures, "held_out": asked, "wall_seconds": wall, "cpu_seconds": cpu,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
