"""The whole training step against the bare network: what views, loss, optimizer and loop add.

    python bench/step.py [--size 32] [--batch 256] [--threads 0]

A: `contrast.pretrain`'s step (views of N pictures, 2N through encoder and head, loss, backward, optimizer, loop).
B: forward and backward of the encoder alone on 2N pictures, bf16, channels_last, gradients dropped by set_to_none.
Interleaved, median ratio; CPU time beside wall time. Goal: A / B <= 1.25.
"""

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch

from edubba.contrast import Pretrain, Views
from edubba.contrast.pretraining import build, step_functions
from edubba.core import images, machine, streams, train


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=int, default=32)
    ask.add_argument("--batch", type=int, default=256)
    ask.add_argument("--threads", type=int, default=0)
    ask.add_argument("--encoder", default="small")
    ask.add_argument("--preset", default="photos")
    ask.add_argument("--repeats", type=int, default=9)
    ask.add_argument("--steps", type=int, default=8)
    a = ask.parse_args()
    threads = train.use_threads(a.threads)
    channels = 3 if a.preset == "photos" else 1
    n = a.batch * a.steps
    values = a.size * a.size * channels
    x = streams.bits(0, "bench", index=np.arange(n), k=-(-values // 8)).view(np.uint8)[:, :values]
    pictures = images.open(np.ascontiguousarray(x.reshape(n, a.size, a.size, channels)), size=a.size)
    spec = Pretrain(
        epochs=1, batch_size=a.batch, encoder=a.encoder, image_size=a.size, precision="bf16", threads=threads,
        views=Views(preset=a.preset), warmup_epochs=0.0,
    )  # fmt: skip
    moments = {"mean": [0.5] * channels, "std": [0.25] * channels}

    def whole() -> tuple[float, float]:
        network = build(spec, channels=channels, size=a.size, **moments)
        plan = train.plan(spec, n)
        batch, loss = step_functions(spec, pictures, plan, size=a.size, device=torch.device("cpu"))
        ticks: list[tuple[float, float]] = []
        train.fit(
            network, batch, loss, spec=spec, plan=plan,
            on_step=lambda step: ticks.append((time.perf_counter(), time.process_time())),
        )  # fmt: skip
        wall, cpu = np.diff(np.array(ticks), axis=0).T  # the first step, which warms up, is left out
        return float(np.median(wall)), float(np.median(cpu))

    def bare() -> tuple[float, float]:
        network = build(spec, channels=channels, size=a.size, **moments).encoder
        network.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        both = torch.rand(2 * a.batch, channels, a.size, a.size).contiguous(memory_format=torch.channels_last)
        ticks = []
        for _ in range(a.steps):
            with torch.autocast("cpu", torch.bfloat16):
                h = network(both)
            h.backward(torch.ones_like(h))
            network.zero_grad(set_to_none=True)
            ticks.append((time.perf_counter(), time.process_time()))
        wall, cpu = np.diff(np.array(ticks), axis=0).T
        return float(np.median(wall)), float(np.median(cpu))

    whole(), bare()
    pairs = [(whole(), bare()) for _ in range(a.repeats)]
    ratio = np.array([[w[i] / b[i] for w, b in pairs] for i in (0, 1)])
    row = {
        "bench": "step", "encoder": a.encoder, "size": a.size, "batch": a.batch, "preset": a.preset, "threads": threads,
        "ratio_wall": {"median": float(np.median(ratio[0])), "min": float(ratio[0].min()), "max": float(ratio[0].max())},
        "ratio_cpu": {"median": float(np.median(ratio[1])), "min": float(ratio[1].min()), "max": float(ratio[1].max())},
        "step_ms": float(np.median([w[0] for w, _ in pairs]) * 1e3), "bare_ms": float(np.median([b[0] for _, b in pairs]) * 1e3),
        "repeats": a.repeats, "torch": torch.__version__, "python": platform.python_version(),
        "machine": machine.facts()["machine"], "date": date.today().isoformat(),
    }  # fmt: skip
    print(json.dumps(row, indent=1))
    path = Path(__file__).parent / "results" / f"step-{a.encoder}-{a.preset}-{a.size}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
