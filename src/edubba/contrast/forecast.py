"""What a pretraining will need, said before anything is done."""

import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from edubba.contrast.pretraining import build, held_out, step_functions
from edubba.contrast.spec import Pretrain
from edubba.core import images, sources, streams, tables, train


class Forecast(NamedTuple):
    """What a pretraining will need."""

    pictures: int
    image_size: int
    cache_side: int
    channels: int
    cache_gb: float
    cached: bool
    memory_gb: float | None
    steps: int
    minutes: float
    precision: str
    threads: int


def forecast(source: Any, spec: Pretrain = Pretrain()) -> Forecast:
    """What `pretrain` would need: from the pictures' headers and a few steps on noise. Writes nothing."""
    found = images.plan(source, size=spec.image_size or None)
    n = found.n
    if found.decoded:  # then the splits are known at once
        n = int((~held_out(images.open(source, size=spec.image_size or None))).sum())
    else:
        n -= _held_out_names(source)
    n = min(spec.limit or n, n)
    threads = train.use_threads(spec.threads)
    plan = train.plan(spec, n)
    values = found.side**2 * found.channels
    noise = streams.bits(0, "noise", index=np.arange(plan.batch_size), k=-(-values // 8)).view(np.uint8)[:, :values]
    pretend = images.open(noise.reshape(-1, found.side, found.side, found.channels), size=found.size)
    network = build(
        spec, channels=found.channels, size=found.size, mean=[0.5] * found.channels, std=[0.25] * found.channels
    )
    trial = train.Plan(n=plan.batch_size, batch_size=plan.batch_size, epochs=8, seed=0)
    batch, loss = step_functions(spec, pretend, trial, size=found.size, device=train.device_of(spec))
    times: list[float] = []
    train.fit(
        network, batch, loss, spec=replace(spec, ema=0.0, keep="last", accumulate=1), plan=trial,
        on_step=lambda step: times.append(time.perf_counter()), what="trying a few steps",
    )  # fmt: skip
    return Forecast(
        pictures=n, image_size=found.size, cache_side=found.side, channels=found.channels, cache_gb=found.cache_bytes / 1e9,
        cached=found.decoded, memory_gb=_memory(), steps=plan.steps,
        minutes=plan.steps * float(np.median(np.diff(times)[1:])) / 60, precision=train.precision_of(spec), threads=threads,
    )  # fmt: skip


def _held_out_names(source: Any) -> int:
    """How many files are of the validation and test splits by the source's own table or folders, unreadable ones too."""
    found = sources.find(source)
    if isinstance(found, sources.Arrays):
        split = found.split
    elif (table := found.labels_csv()) is not None:
        split = tables.read_labels(f"{found.name}/labels.csv", content=table).split
    else:  # as `images.open` does it
        tops = [name.split("/")[0].lower() if "/" in name else "" for name in found.names]
        split = [tables.SPLITS[top] for top in tops] if all(top and top in tables.SPLITS for top in tops) else None
    return 0 if split is None else int(np.isin(split, ["validation", "test"]).sum())


def _memory() -> float | None:
    """Most memory this process has had, GB; None where the system does not say (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


def words(f: Forecast) -> str:
    """A forecast as lines to read."""
    kind = "grey" if f.channels == 1 else "colour"
    disk = "no disk for a cache" if not f.cache_gb else f"{f.cache_gb:.2f} GB of disk for the cache"
    return "\n".join(
        [
            f"pictures   {f.pictures:,} {kind}, at most {f.cache_side} x {f.cache_side} px kept of each; views of {f.image_size} px",
            f"disk       {disk}{', there already' if f.cached and f.cache_gb else ''}",
            "memory     not known on this system" if f.memory_gb is None else f"memory     {f.memory_gb:.1f} GB",
            f"time       {f.minutes:.1f} min for {f.steps:,} steps in {f.precision} on {f.threads} threads, measured on 5 steps of noise",
            "nothing was written",
        ]
    )
