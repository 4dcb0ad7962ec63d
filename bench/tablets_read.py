"""Seconds of reading a photograph: signs found in it, and the whole way to the page.

    python bench/tablets_read.py READER PHOTO... [--restorer RUN] [--threads 2] [--repeats 3] [--out bench/results/tablets_read.json]

READER is a run folder of `edubba tablets train` (the tour makes one), PHOTO any photographs. Detection is given for 2
megapixels of the photograph as it is looked at, when its signs are 42 pixels high: a larger or smaller file costs the same.
Reading loads the models and writes every
file. The middle of the repeats counts. No peer: the published ones need a GPU or a framework of their own.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

sys.path.append(str(Path(__file__).parent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--restorer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tablets_read.json")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch
    from views import processor

    from edubba.tablets import detector, photographs, reading, writing

    torch.set_num_threads(arguments.threads)
    reader = reading.load(arguments.reader)
    rows = []
    for photo in arguments.photos:
        pixels, _ = photographs.read(photo)
        found, high = detector.detect(reader.finds, pixels, threshold=reader.threshold, looks=reader.looks)
        megapixels = pixels.shape[0] * pixels.shape[1] * (detector.HEIGHT / high) ** 2 / 1e6
        row = {
            "photo": photo.name, "megapixels": pixels.shape[0] * pixels.shape[1] / 1e6, "megapixels_seen": megapixels,
            "sign_height": high, "signs": len(found.boxes),
        }  # fmt: skip
        ways = {
            "detect": lambda pixels=pixels: detector.detect(
                reader.finds, pixels, threshold=reader.threshold, looks=reader.looks
            ),
            "read": lambda photo=photo: writing.read_and_write(
                photo, reader=arguments.reader, restorer=arguments.restorer, out=tempfile.mkdtemp()
            ),
        }
        for name, way in ways.items():
            wall, cpu = [], []
            for _ in range(arguments.repeats):
                began = time.perf_counter(), time.process_time()
                way()
                wall.append(time.perf_counter() - began[0])
                cpu.append(time.process_time() - began[1])
            row |= {
                f"{name}_wall": statistics.median(wall),
                f"{name}_cpu": statistics.median(cpu),
                f"{name}_walls": wall,
            }
        row["detect_wall_of_2_megapixels"] = row["detect_wall"] * 2 / megapixels
        rows.append(row)
        print(
            f"{photo.name:24} {row['megapixels']:5.1f} MP, {megapixels:5.1f} seen, {row['signs']:5} signs:"
            f" found in {row['detect_wall']:.2f} s ({row['detect_cpu']:.2f} of processors),"
            f" {row['detect_wall_of_2_megapixels']:.2f} s for 2 MP; read in {row['read_wall']:.2f} s ({row['read_cpu']:.2f})",
            flush=True,
        )
    report = {
        "bench": "tablets_read", "date": date.today().isoformat(), "machine": processor(), "threads": arguments.threads,
        "context": arguments.restorer is not None, "rows": rows,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    print(f"peak memory {report['peak_memory_gib']:.2f} GiB")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
