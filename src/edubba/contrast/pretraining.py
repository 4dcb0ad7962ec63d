"""SimCLR: an encoder learns to tell pictures apart, whatever the view (Chen et al. 2020)."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edubba.contrast import watch
from edubba.contrast.features import nearest
from edubba.contrast.spec import Pretrain
from edubba.core import encoders, images, losses, models, runs, streams, train, views
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.core.stats import result

SHOWN = 1000  # held-out pictures in the report's map


class Network(nn.Module):
    """Encoder and projection head; gives z."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def build(spec: Pretrain, *, channels: int, size: int, mean: list[float], std: list[float]) -> Network:
    """The network of a run, with its first weights."""
    encoder = encoders.build(
        spec.encoder, channels=channels, width=spec.width, stem=spec.stem, size=size, seed=spec.seed
    )
    normalised = encoders.Encoder(encoders.Normalise(mean, std), encoder)
    return Network(normalised, encoders.projection_head(encoder.dim, layers=spec.head_layers, out=spec.head_dim, seed=spec.seed))


def moments(x: np.ndarray | images.Rows, *, seed: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel on the 0 to 1 scale, from at most 2,000 pictures."""
    rows = np.sort(streams.permutation(seed, "moments", n=len(x))[:2000])
    sample = x[rows].astype(np.float32) / 255
    channels = [sample[..., c] for c in range(x.shape[3])]
    return [round(float(c.mean()), 6) for c in channels], [round(max(float(c.std()), 1e-3), 6) for c in channels]


def choose(pictures: images.Pictures, spec: Pretrain) -> np.ndarray:
    """Rows that are learned from: all but the validation and test splits, `limit` of them where asked."""
    rows = np.flatnonzero(~_held_out(pictures))
    if spec.limit:
        rows = np.sort(rows[streams.permutation(spec.seed, "limit", n=len(rows))[: spec.limit]])
    if len(rows) < 4:
        raise UserError(f"{pictures.source} has {len(rows)} pictures to learn from: SimCLR needs thousands, 4 at the least")
    return rows


def _held_out(pictures: images.Pictures) -> np.ndarray:
    if pictures.split is None:
        return np.zeros(len(pictures), bool)
    return np.isin(pictures.split, ["validation", "test"])


def step_functions(
    spec: Pretrain, pictures: images.Pictures, plan: train.Plan, *, size: int, device: torch.device
) -> tuple[Callable[[int, int, int], Tensor], Callable[[nn.Module, Tensor], tuple[Tensor, dict[str, Any]]]]:
    """batch(step, rank, world) -> both views (2n, c, h, w), and loss(model, views)."""
    resolved = spec.views.resolve(size)
    objective = {"nt_xent": losses.nt_xent, "dcl": losses.dcl}[spec.objective]
    floor = losses.nt_xent_floor(plan.batch_size, temperature=spec.temperature) if spec.objective == "nt_xent" else None

    def batch(step: int, rank: int, world: int) -> Tensor:
        index = plan.index(step, rank, world)
        x = torch.from_numpy(pictures.x[index]).to(device)
        pair = views.pair(
            x, resolved, index=index, seed=spec.seed, epoch=plan.epoch(step), size=size, shape_hw=pictures.shape_hw[index]
        )
        return torch.cat(pair)

    def loss(model: nn.Module, both: Tensor) -> tuple[Tensor, dict[str, Any]]:
        z1, z2 = model(both).chunk(2)
        value = objective(z1, z2, temperature=spec.temperature)
        numbers: dict[str, Any] = {"contrastive_accuracy": losses.contrastive_accuracy(z1.detach(), z2.detach())}
        if floor is not None:
            numbers |= {"floor": floor, "excess": value.detach() - floor}
        return value, numbers

    return batch, loss


def pretrain(
    source: Any, spec: Pretrain = Pretrain(), *, out: str | Path, on_step: Callable[[int], None] | None = None  # noqa: B008
) -> Run:
    """Learn an encoder from pictures without labels.

    Parameters
    ----------
    source
        Folder, tar, npz, IDX file, array (n, h, w[, 3]) uint8, or `Pictures`. With a split column only `train` is
        learned from. Labels, where there are any, are used to watch (online kNN), never to learn.
    spec
        See `Pretrain`.
    out
        Run folder. The same call on an unfinished folder goes on, equal to the bit on the same processor threads; on
        a finished one it returns it.
    on_step
        Called after each step with its number; may raise.

    Returns
    -------
    The finished run: `.results`, `.path / "model"` for `load_encoder`, `.path / "report.html"`.

    Raises
    ------
    UserError
        Nothing to learn from, or the folder holds another run.
    """
    began = time.time()
    with train.first_process_first(spec):
        pictures = images.open(source, size=spec.image_size or None)
        run = runs.open(out, spec, verb="contrast.pretrain", source=pictures.source, fingerprint=pictures.fingerprint)
    size = pictures.size
    if run.done:
        return run
    rows = choose(pictures, spec)
    learned = pictures.take(rows)
    plan = train.plan(spec, len(rows))
    mean, std = moments(learned.x, seed=spec.seed)
    facts = run.resolve(
        image_size=size, mean=mean, std=std, n=len(rows), channels=pictures.channels, steps=plan.steps,
        batch_size=plan.batch_size, views=_table(spec, size),
    )  # fmt: skip
    images.write_skipped(run.path / "skipped.csv", pictures.skipped) if run.writes and pictures.skipped else None
    network = build(spec, channels=pictures.channels, size=size, mean=facts["mean"], std=facts["std"])
    batch, loss = step_functions(spec, learned, plan, size=size, device=train.device_of(spec))
    watched = watch.choose(pictures, rows, spec.seed)
    said = {line["what"]: line["words"] for line in run.metrics if line["kind"] == "warn"}
    if plan.batch_size < spec.batch_size:
        said["batch"] = f"batches hold {plan.batch_size} pictures, not {spec.batch_size}: there are only {len(rows)} to learn from"

    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        numbers = watch.measure(
            model.encoder, model.head, watched, size=size, views_spec=spec.views.resolve(size), seed=spec.seed
        )
        recent = [line["loss"] for line in run.metrics if line["kind"] == "train"][-20:]
        words = watch.warn(
            numbers, width=spec.head_dim, loss=float(np.mean(recent)) if recent and None not in recent else None,
            n=plan.batch_size, objective=spec.objective, epoch=step / plan.steps_per_epoch, share=step / plan.steps,
        )  # fmt: skip
        for what, sentence in words.items():
            if what not in said:
                said[what] = sentence
                print(f"warning: {sentence}", file=sys.stderr, flush=True)
                run.log(kind="warn", step=step, what=what, words=sentence)
        return numbers | ({"score": numbers["knn"]} if numbers["knn"] is not None else {})

    if spec.keep == "best" and (watched.bank is None or watched.what != "validation"):
        raise UserError("--keep best chooses by kNN on validation: give a labels.csv with labels and a split column")
    trained = train.fit(
        network, batch, loss, spec=spec, steps=plan.steps, steps_per_epoch=plan.steps_per_epoch, run=run, evaluate=evaluate,
        on_step=on_step, what="pretraining",
    )  # fmt: skip
    if run.writes:
        _finish(run, spec, trained, pictures, rows, watched, said, size=size, seconds=time.time() - began)
    return run


def _table(spec: Pretrain, size: int) -> dict[str, Any]:
    from edubba.core.spec import to_table

    return to_table(spec.views.resolve(size))


def _finish(
    run: Run, spec: Pretrain, network: Any, pictures: images.Pictures, rows: np.ndarray, watched: watch.Watched,
    said: dict[str, str], *, size: int, seconds: float,
) -> None:  # fmt: skip
    facts = run.resolved
    run.seen(pictures.hash[rows].tolist())
    held = np.flatnonzero(_held_out(pictures))
    enough = len(held) >= 20
    run.resolve(shown="held-out" if enough else "training")
    shown = pictures.take(held if enough else rows)
    shown = shown.take(np.sort(streams.permutation(spec.seed, "shown", n=len(shown))[:SHOWN]))
    h = np.concatenate([
        network.encoder(views.evaluation(torch.from_numpy(np.ascontiguousarray(shown.x[i : i + 256])), size=size)).detach().numpy()
        for i in range(0, len(shown), 256)
    ])  # fmt: skip
    queries = streams.permutation(spec.seed, "queries", n=len(shown))[:8]
    order, cosine = nearest(h, queries, k=min(8, len(shown) - 1))
    run.figures(
        embedding=h.astype(np.float16), map=layout(h, seed=spec.seed), thumbnails=thumbnails(shown, 40),
        label=shown.label if shown.label is not None else np.full(len(shown), ""), file=shown.file.astype(str),
        neighbours=np.concatenate([queries[:, None], order], axis=1), similarity=cosine.astype(np.float32),
    )  # fmt: skip
    metrics = run.metrics
    last = next(line for line in reversed(metrics) if line["kind"] == "eval")
    trained = [line for line in metrics if line["kind"] == "train"]
    tail = trained[-max(1, len(trained) // 50) :]
    # the clock of the whole run, of all its sittings: gaps of more than a minute between lines are pauses
    times = np.array([line["time"] for line in metrics])
    seconds = max(seconds, float(np.diff(times)[np.diff(times) < 60].sum())) if len(times) > 1 else seconds
    common = dict(seed=spec.seed, data=pictures.source, seconds=round(seconds, 1))
    results = [result("loss", float(np.mean([t["loss"] for t in tail])), method="mean of the last 2 % of steps", n=facts["n"], unit="picture", split="train", **common)]
    if "excess" in tail[0]:
        results.append(result("loss above its floor", float(np.mean([t["excess"] for t in tail])), method="mean of the last 2 % of steps", n=facts["n"], unit="picture", split="train", **common))
    results.append(result("contrastive accuracy", float(np.mean([t["contrastive_accuracy"] for t in tail])), method="share of views whose nearest is the other view", n=facts["n"], unit="picture", split="train", **common))
    for name, words in (("knn", "online kNN, k = 20"), ("alignment", ""), ("uniformity", ""), ("effective_rank", "RankMe of h")):
        if last.get(name) is not None:
            results.append(result(name, last[name], method=words, n=len(watched.query), unit="picture", split=watched.what, **common))
    speed = float(np.median([t["images_per_second"] for t in trained]))
    results.append(result("images per second", speed, method="median over logged steps, views included", n=facts["n"], unit="picture", split="train", **common))
    card = models.card(
        kind="encoder",
        architecture={"name": spec.encoder, "arguments": {"width": spec.width, "channels": facts["channels"], "size": size, "stem": spec.stem}},
        code=spec.encoder if ":" in spec.encoder else None,
        input={"kind": "image", "channels": facts["channels"], "size": size, "range": [0, 1], "mean": facts["mean"], "std": facts["std"]},
        output={"embedding": network.encoder.dim, "classes": None},
        data={"n": facts["n"], "source_fingerprint": pictures.fingerprint, "seen": "seen.txt.gz", "licences": None, "card": None},
        run=str(run.path),
    )  # fmt: skip
    models.save(run.path / "model", network.encoder, card)
    choices = []
    if spec.keep == "best":
        choices.append({"name": "weights", "value": "best step", "candidates": "every evaluation", "metric": "kNN accuracy", "split": "validation"})
    run.finish(results, choices=choices, warnings=list(said.values()), skipped=len(pictures.skipped))


def layout(h: np.ndarray, *, seed: int) -> np.ndarray:
    """A flat map of features by t-SNE on cosines: (n, 2) float32."""
    from sklearn.manifold import TSNE

    if len(h) < 10:
        return np.zeros((len(h), 2), np.float32)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True).clip(1e-12)
    tsne = TSNE(perplexity=min(30, len(h) / 4), init="pca", random_state=seed, n_jobs=1)
    return tsne.fit_transform(unit).astype(np.float32)


def thumbnails(pictures: images.Pictures, side: int) -> np.ndarray:
    """Small pictures for the report: (n, s, s, c) uint8 with s <= side."""
    x = torch.from_numpy(np.ascontiguousarray(pictures.x))
    small = views.evaluation(x, size=min(side, pictures.side))
    return (small * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


class Forecast(NamedTuple):
    """What a pretraining will need."""

    pictures: int
    image_size: int
    cache_side: int
    channels: int
    cache_gb: float
    cached: bool
    memory_gb: float
    steps: int
    minutes: float
    precision: str
    threads: int


def forecast(source: Any, spec: Pretrain = Pretrain()) -> Forecast:  # noqa: B008
    """What `pretrain` would need: from the pictures' headers and a few steps on noise. Writes nothing."""
    found = images.plan(source, size=spec.image_size or None)
    n = min(spec.limit or found.n, found.n)
    threads = train.use_threads(spec.threads)
    plan = train.plan(spec, n)
    values = found.side**2 * found.channels
    noise = streams.bits(0, "noise", index=np.arange(plan.batch_size), k=-(-values // 8)).view(np.uint8)[:, :values]
    pretend = images.open(noise.reshape(-1, found.side, found.side, found.channels), size=found.size)
    network = build(spec, channels=found.channels, size=found.size, mean=[0.5] * found.channels, std=[0.25] * found.channels)
    trial = train.Plan(n=plan.batch_size, batch_size=plan.batch_size, epochs=8, seed=0)
    batch, loss = step_functions(spec, pretend, trial, size=found.size, device=train.device_of(spec))
    times: list[float] = []
    train.fit(
        network, batch, loss, spec=replace(spec, ema=0.0, keep="last"), steps=7, steps_per_epoch=1,
        on_step=lambda step: times.append(time.perf_counter()), what="trying a few steps",
    )  # fmt: skip
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Forecast(
        pictures=n, image_size=found.size, cache_side=found.side, channels=found.channels, cache_gb=found.cache_bytes / 1e9,
        cached=found.decoded, memory_gb=kilobytes * 1024 / 1e9, steps=plan.steps,
        minutes=plan.steps * float(np.median(np.diff(times)[1:])) / 60, precision=train.precision_of(spec), threads=threads,
    )  # fmt: skip


def words(f: Forecast) -> str:
    """A forecast as lines to read."""
    kind = "grey" if f.channels == 1 else "colour"
    disk = "no disk for a cache" if not f.cache_gb else f"{f.cache_gb:.2f} GB of disk for the cache"
    return "\n".join([
        f"pictures   {f.pictures:,} {kind}, at most {f.cache_side} x {f.cache_side} px kept of each; views of {f.image_size} px",
        f"disk       {disk}{', there already' if f.cached and f.cache_gb else ''}",
        f"memory     {f.memory_gb:.1f} GB",
        f"time       {f.minutes:.1f} min for {f.steps:,} steps in {f.precision} on {f.threads} threads, measured on 5 steps of noise",
        "nothing was written",
    ])
