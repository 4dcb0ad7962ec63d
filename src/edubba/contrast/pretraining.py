"""SimCLR: an encoder learns to tell pictures apart, whatever the view (Chen et al. 2020)."""

import hashlib
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edubba.contrast import watch
from edubba.contrast.features import nearest
from edubba.contrast.spec import Pretrain
from edubba.core import encoders, images, losses, models, runs, streams, train, views
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.core.spec import to_table
from edubba.core.stats import Result, result

SHOWN = 1000  # held-out pictures in the report's map


class Network(nn.Module):
    """Encoder and projection head; gives z."""

    encoder: encoders.Encoder
    head: nn.Module

    def __init__(self, encoder: encoders.Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def build(spec: Pretrain, *, channels: int, size: int, mean: list[float], std: list[float]) -> Network:
    """The network of a run, with its first weights."""
    encoder: Any = encoders.build(
        spec.encoder, channels=channels, width=spec.width, stem=spec.stem, size=size, seed=spec.seed
    )
    normalised = encoders.Encoder(encoders.Normalise(mean, std), encoder)
    return Network(
        normalised, encoders.projection_head(encoder.dim, layers=spec.head_layers, out=spec.head_dim, seed=spec.seed)
    )


def moments(x: np.ndarray | images.Rows, *, seed: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel on the 0 to 1 scale, from at most 2,000 pictures."""
    rows = np.sort(streams.permutation(seed, "moments", n=len(x))[:2000])
    total = squares = np.zeros(x.shape[3])
    for i in range(0, len(rows), 64):  # by parts: the cache may be larger than memory
        part = x[rows[i : i + 64]].reshape(-1, x.shape[3]).astype(np.float64) / 255
        total, squares = total + part.sum(0), squares + (part**2).sum(0)
    n = len(rows) * x.shape[1] * x.shape[2]
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0))
    return [round(float(m), 6) for m in mean], [round(max(float(s), 1e-3), 6) for s in std]


def choose(pictures: images.Pictures, spec: Pretrain) -> np.ndarray:
    """Rows that are learned from: all but the validation and test splits, `limit` of them where asked."""
    rows = np.flatnonzero(~held_out(pictures))
    if spec.limit < 0:
        raise UserError(f"--limit {spec.limit}: 0 takes all pictures")
    if spec.limit:
        rows = np.sort(rows[streams.permutation(spec.seed, "limit", n=len(rows))[: spec.limit]])
    if len(rows) < 4:
        raise UserError(
            f"{pictures.source} has {len(rows)} pictures to learn from: SimCLR needs thousands, 4 at the least"
        )
    return rows


def held_out(pictures: images.Pictures) -> np.ndarray:
    """Which pictures are of the validation and test splits: (n,) of truth values."""
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
        epoch, hw = plan.epoch(step), pictures.shape_hw[index]
        return torch.cat(views.pair(x, resolved, index=index, seed=spec.seed, epoch=epoch, size=size, shape_hw=hw))

    def loss(model: nn.Module, both: Tensor) -> tuple[Tensor, dict[str, Any]]:
        z1, z2 = model(both).chunk(2)
        value = objective(z1, z2, temperature=spec.temperature)
        numbers: dict[str, Any] = {
            "contrastive_accuracy": partial(losses.contrastive_accuracy, z1.detach(), z2.detach())
        }
        if floor is not None:
            numbers |= {"floor": floor, "excess": value.detach() - floor}
        return value, numbers

    return batch, loss


def pretrain(
    source: Any,
    spec: Pretrain = Pretrain(),
    *,
    out: str | Path,
    on_step: Callable[[int], None] | None = None,
) -> Run:
    """Learn an encoder from pictures without labels.

    Parameters
    ----------
    source
        Folder, tar, npz, IDX file, array (n, h, w[, 3]) uint8, or `Pictures`. With a split column only `train` is
        learned from (and pictures without a split). Labels, where there are any, are used to watch (online kNN), never to learn.
    spec
        See `Pretrain`.
    out
        Run folder. The same call on an unfinished folder goes on, equal to the bit on the same processor threads; on
        a finished one it returns it.
    on_step
        Called after each step with its number; may raise.

    Returns
    -------
    The finished run: `.results`, `.path / "model"` for `load_encoder`; `contrast.report.build(run.path)` draws its page.

    Raises
    ------
    UserError
        Nothing to learn from, or the folder holds another run.
    """
    began = time.perf_counter()
    with train.first_process_first(spec):
        pictures = images.open(source, size=spec.image_size or None)
        size = pictures.size
        rows = choose(pictures, spec)
        learned = pictures.take(rows)
        watched = watch.choose(pictures, rows, spec.seed)
        plan = _check(spec, watched, len(rows), size=size, channels=pictures.channels)
        run = runs.open(
            out, spec, verb="contrast.pretrain", source=pictures.source, fingerprint=_fingerprint(pictures, spec)
        )
    if run.done:
        return run
    with closing(run):
        mean, std = moments(learned.x, seed=spec.seed)
        facts = run.resolve(
            image_size=size, mean=mean, std=std, n=len(rows), channels=pictures.channels, steps=plan.steps,
            batch_size=plan.batch_size, views=to_table(spec.views.resolve(size)),
        )  # fmt: skip
        if run.writes and pictures.skipped:
            images.write_skipped(run.path / "skipped.csv", pictures.skipped)
        network = build(spec, channels=pictures.channels, size=size, mean=facts["mean"], std=facts["std"])
        batch, loss = step_functions(spec, learned, plan, size=size, device=train.device_of(spec))

        def evaluate(model: Any, step: int) -> dict[str, Any]:
            numbers = watch.measure(
                model.encoder, model.head, watched, size=size, views_spec=spec.views.resolve(size), seed=spec.seed
            )
            recent = [line["loss"] for line in run.metrics if line["kind"] == "train"][-20:]
            words = watch.warn(
                numbers, width=spec.head_dim, watched=len(watched.query), loss=float(np.mean(recent)) if recent and None not in recent else None,
                n=plan.batch_size, objective=spec.objective, epoch=step / plan.steps_per_epoch, share=step / plan.steps,
            )  # fmt: skip
            known = {line["what"] for line in run.metrics if line["kind"] == "warn"}
            for what in words.keys() - known:
                print(f"warning: {words[what]}", file=sys.stderr, flush=True)
                run.log(kind="warn", step=step, what=what, words=words[what])
            return numbers | ({"score": numbers["knn"]} if numbers["knn"] is not None else {})

        record: dict[str, Any] = {}
        trained = train.fit(
            network, batch, loss, spec=spec, plan=plan, run=run, evaluate=evaluate, on_step=on_step, record=record,
            began=began, what="pretraining",
        )  # fmt: skip
        if run.writes:
            _finish(run, spec, trained, pictures, rows, watched, record)
    return run


def _check(spec: Pretrain, watched: watch.Watched, n: int, *, size: int, channels: int) -> train.Plan:
    """Everything that a user can mend, before the run folder is made."""
    plan = train.plan(spec, n)
    train.device_of(spec)
    spec.views.resolve(size)
    losses.nt_xent_floor(plan.batch_size, temperature=spec.temperature)
    build(spec, channels=channels, size=size, mean=[0.5] * channels, std=[0.25] * channels)
    if spec.keep == "best" and (watched.bank is None or watched.what != "validation"):
        raise UserError("--keep best chooses by kNN on validation: give a labels.csv with labels and a split column")
    return plan


def _fingerprint(pictures: images.Pictures, spec: Pretrain) -> str:
    """Of all that the result depends on: the pictures, their split, and labels where they choose the weights."""
    parts = [pictures.fingerprint]
    for column in (pictures.split, pictures.label if spec.keep == "best" else None):
        parts.append("" if column is None else "\n".join(column.tolist()))
    return pictures.fingerprint if not any(parts[1:]) else hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _finish(
    run: Run, spec: Pretrain, network: Network, pictures: images.Pictures, rows: np.ndarray, watched: watch.Watched,
    record: dict[str, Any],
) -> None:  # fmt: skip
    trained_at = time.perf_counter()
    run.seen(pictures.hash[rows].tolist())
    _figures(run, spec, network.encoder, pictures, rows)
    models.save(run.path / "model", network.encoder, _card(run, spec, network.encoder, pictures))
    choices = []
    if spec.keep == "best":
        scores: dict[int, float] = record["scores"]
        best = max(scores, key=scores.__getitem__)
        choices.append({
            "name": "weights", "value": best, "score": scores[best],
            "candidates": [f"{step}: {score:.4f}" for step, score in scores.items()],
            "metric": "kNN accuracy at the step", "split": "validation",
        })  # fmt: skip
    said = [line["words"] for line in run.metrics if line["kind"] == "warn"]
    if run.resolved["batch_size"] < spec.batch_size:
        n = run.resolved["n"]
        said.append(f"batches held {run.resolved['batch_size']} pictures, not {spec.batch_size}: there are only {n}")
    seconds = record["seconds"] + time.perf_counter() - trained_at
    results = _results(run, spec, pictures.source, watched, seconds)
    run.finish(results, choices=choices, warnings=said, skipped=len(pictures.skipped))


def _figures(run: Run, spec: Pretrain, encoder: nn.Module, pictures: images.Pictures, rows: np.ndarray) -> None:
    held = np.flatnonzero(held_out(pictures))
    enough = len(held) >= 20
    run.resolve(shown="held-out" if enough else "training")
    shown = pictures.take(held if enough else rows)
    shown = shown.take(np.sort(streams.permutation(spec.seed, "shown", n=len(shown))[:SHOWN]))
    h = train.predict(encoder, shown.x, size=pictures.size).numpy()
    queries = streams.permutation(spec.seed, "queries", n=len(shown))[:8]
    order, cosine = nearest(h, queries, k=min(8, len(shown) - 1))
    run.figures(
        embedding=h.astype(np.float16), map=layout(h, seed=spec.seed), thumbnails=thumbnails(shown, 40),
        label=shown.label if shown.label is not None else np.full(len(shown), ""), file=shown.file.astype(str),
        neighbours=np.concatenate([queries[:, None], order], axis=1), similarity=cosine.astype(np.float32),
    )  # fmt: skip


def _results(run: Run, spec: Pretrain, source: str, watched: watch.Watched, seconds: float) -> list[Result]:
    metrics = run.metrics
    trained = [line for line in metrics if line["kind"] == "train"]
    last = next(line for line in reversed(metrics) if line["kind"] == "eval")
    end = trained[-max(1, len(trained) // 50) :]
    made = partial(result, unit="picture", seed=spec.seed, data=source, seconds=seconds)
    in_training = partial(made, n=run.resolved["n"], split="train")
    tail = "mean of the last 2 % of steps"
    results = [in_training("loss", np.mean([line["loss"] for line in end]), method=tail)]
    if "excess" in end[0]:
        results.append(in_training("loss above its floor", np.mean([line["excess"] for line in end]), method=tail))
    accuracy = np.mean([line["contrastive_accuracy"] for line in end])
    results.append(in_training("contrastive accuracy", accuracy, method=tail))
    methods = {
        "knn": "k = 20, temperature 0.07",
        "alignment": "on z",
        "uniformity": "on z",
        "effective_rank": "RankMe of h",
    }
    for name, method in methods.items():
        if last.get(name) is not None:
            results.append(made(name, last[name], method=method, n=len(watched.query), split=watched.what))
    speed = np.median([line["images_per_second"] for line in trained])
    results.append(in_training("images per second", speed, method="median over logged steps, views included"))
    return results


def _card(run: Run, spec: Pretrain, encoder: nn.Module, pictures: images.Pictures) -> dict[str, Any]:
    facts = run.resolved
    arguments = {"width": spec.width, "channels": facts["channels"], "size": facts["image_size"], "stem": spec.stem}
    return models.card(
        kind="encoder",
        architecture={"name": spec.encoder, "arguments": arguments},
        code=spec.encoder if ":" in spec.encoder else None,
        input={
            "kind": "image", "channels": facts["channels"], "size": facts["image_size"], "range": [0, 1],
            "mean": facts["mean"], "std": facts["std"],
        },
        output={"embedding": encoder.dim, "classes": None},
        data={
            "n": facts["n"], "source_fingerprint": pictures.fingerprint, "seen": "../seen.txt.gz", "licences": None,
            "card": None,
        },
        run=str(run.path),
    )  # fmt: skip


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
    side, parts = min(side, pictures.side), []
    for i in range(0, len(pictures), 256):
        small = views.evaluation(torch.from_numpy(np.array(pictures.x[i : i + 256])), size=side)
        parts.append((small * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, side, side, pictures.channels), np.uint8)
