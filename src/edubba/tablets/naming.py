"""Learning to name crops of signs, and how well they are named."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from edubba.core import calibration, runs, stats, train
from edubba.core import images as pictures
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.runs import Run
from edubba.tablets import signs
from edubba.tablets.spec import Naming, TrainedNamer

SAID = 5
"""names that are kept of every answer"""
BANDS = (("100 or more", 100, 10**9), ("20 to 99", 20, 100), ("fewer than 20", 0, 20))
"""how often a name was seen in training: words, from, to"""


def train_namer(
    source: str | Path | Pictures, spec: Naming = Naming(), *, out: str | Path, encoder: str | Path | None = None
) -> Run:
    """Learn to name crops of signs alone, and measure it on those of the split `test`.

    Parameters
    ----------
    source
        Crops with labels, groups (tablets) and splits: folder or tar with labels.csv (file, label, group, split, perhaps
        period), or `Pictures`. A crop without a group stands alone.
    out
        Run folder; `model/signs` is what `signs.load` takes, `figures.npz` what was said of every test crop.
    encoder
        Where naming begins, see `signs.start`; None: first weights.

    Raises
    ------
    UserError
        No labels, or no validation split, or one that shares no name with training.
    """
    found = source if isinstance(source, Pictures) else pictures.open(source, size=64)
    if found.label is None or found.split is None or not (found.split == "validation").any():
        raise UserError(f"{found.source} needs a labels.csv with label and split: thresholds are chosen on validation")
    found = found.take(found.label != "")
    group = np.full(len(found), "") if found.group is None else found.group
    found = replace(
        found, group=np.where(group == "", found.file, group),
        extra={"period": found.extra.get("period", np.full(len(found), ""))},
    )  # fmt: skip
    assert found.split is not None
    found = found.take(np.isin(found.split, ("train", "validation", "test")))
    assert found.split is not None
    whole = TrainedNamer(
        **{f.name: getattr(spec, f.name) for f in fields(spec)}, encoder=None if encoder is None else str(encoder)
    )
    digest = hashlib.sha256("".join([found.fingerprint, *found.split.tolist()]).encode()).hexdigest()
    run = runs.open(out, whole, verb="tablets.signs", source=found.source, fingerprint=digest)
    if run.done:
        return run
    with closing(run):
        crops = found.take(found.split != "test")
        held = np.tile(crops.split == "validation", (spec.networks, 1))
        test = found.take(found.split == "test")
        fit(run, spec, crops, held, out=run.path / "model" / "signs", encoder=encoder, test=test)
    return run


def fit(
    run: Run, spec: Naming, crops: Pictures, held: Bool[np.ndarray, "networks n"], *, out: Path,
    encoder: str | Path | None, test: Pictures | None = None,
) -> None:  # fmt: skip
    """Train, choose on validation how far to believe it, keep the model with its examples, finish the run.

    Parameters
    ----------
    crops
        As `signs.fit` takes them.
    held
        Which crops each network does not learn from. How far to believe the names is chosen on what those networks say of
        a crop that have not learned from it.
    """
    learned, validation = crops.take(~held.all(axis=0)), crops.take(held.any(axis=0))
    learned, exact = learned.take(signs.firsts(learned)), signs.firsts(validation)
    names = sorted(set(signs.labels_of(learned)))
    periods = sorted(set(learned.extra["period"].tolist()) - {""}) if spec.period else []
    if not set(names) & set(signs.labels_of(validation)):
        raise UserError(
            f"{run.settings['source']}: none of the names to validate on is learned, so no threshold can be chosen; split otherwise"
        )
    networks = _networks(run, spec, crops, held, names, periods, encoder)
    place = {name: i for i, name in enumerate(names)}
    target = np.array([place.get(name, -1) for name in signs.labels_of(validation)])
    share = signs.prior(np.array([place[name] for name in signs.labels_of(learned)]), len(names))
    logits = _unlearned(networks, crops, held, periods, size=spec.size)[held.any(axis=0)]
    strength, temperature, threshold, tried = signs.calibrate(logits, target, share)
    namer = signs.Namer(
        networks, tuple(names), tuple(periods), spec.size, spec.margin, signs.start(spec, encoder)[1],
        np.float32(strength) * share, temperature, threshold,
    )  # fmt: skip
    if not run.writes:
        return
    known, told = target >= 0, target[target >= 0]
    before, after = signs.softmax(logits + np.float32(strength) * share), signs.probabilities(namer, logits)
    calibrated = {
        "split": "validation", "ece_before": calibration.ece(before[known], told),
        "ece_after": calibration.ece(after[known], told),
    }  # fmt: skip
    data = run.settings["source"]
    results = measured(answers(namer, after[exact], validation.take(exact), learned), split="validation", data=data)
    if test is not None and len(test):
        said = answers(namer, signs.name(namer, test)[0], test, learned)
        results += measured(said, split="test", data=data)
        run.figures(**said)
    h = signs.look(networks[:1], learned, periods, size=spec.size, looks=1).h
    signs.save(out, replace(namer, bank=signs.examples(learned, h)), data={"n": len(learned)}, calibrated=calibrated)
    choices = [
        {"name": "strength of the names' shares", "value": strength, "metric": "mean of top-1 and top-1 over names",
         "split": "validation", "candidates": [f"{s}: {v:.4f}" for s, v in tried]},
        {"name": "least probability of a name", "value": threshold, "metric": "95 % precision", "split": "validation",
         "candidates": "every probability given"},
    ]  # fmt: skip
    run.finish(results, choices=choices, warnings=[])


def _unlearned(
    networks: Sequence[train.Classifier], crops: Pictures, held: Bool[np.ndarray, "networks n"], periods: Sequence[str],
    *, size: int,
) -> Float32[np.ndarray, "n classes"]:  # fmt: skip
    """Logits of every crop by the networks that have not learned from it together; zero where all have."""
    out = np.zeros((len(crops), networks[0].linear.out_features), np.float32)
    for pattern in np.unique(held, axis=1).T:
        rows = np.flatnonzero((held == pattern[:, None]).all(axis=0))
        strangers = [network for network, away in zip(networks, pattern, strict=True) if away]
        if strangers:
            out[rows] = signs.look(strangers, crops.take(rows), periods, size=size).logits
    return out


def _networks(
    run: Run, spec: Naming, crops: Pictures, held: Bool[np.ndarray, "networks n"], names: Sequence[str],
    periods: Sequence[str], encoder: str | Path | None,
) -> tuple[train.Classifier, ...]:  # fmt: skip
    """One network, trained in the run's own folder, or several, each in a folder below it."""
    if spec.networks == 1:
        begun, _ = signs.start(spec, encoder)
        learned, validation = crops.take(~held[0]), crops.take(held[0])
        return (signs.fit(learned, names, periods, spec, encoder=begun, validation=validation, run=run),)
    made = []
    for k in range(spec.networks):
        learned, validation = crops.take(~held[k]), crops.take(held[k])
        own = replace(spec, networks=1, fit=replace(spec.fit, seed=spec.fit.seed + k))
        begun, architecture = signs.start(own, encoder)
        fingerprint = run.tables["resolved"]["source_fingerprint"]
        child = runs.open(
            run.path / f"network-{k}",
            own,
            verb="tablets.network",
            source=run.settings["source"],
            fingerprint=fingerprint,
        )
        if child.done:
            network = signs.load(child.path / "model").networks[0]
        else:
            with closing(child):
                network = signs.fit(learned, names, periods, own, encoder=begun, validation=validation, run=child)
                if child.writes:
                    none = np.zeros(len(names), np.float32)
                    alone = signs.Namer(
                        (network,), tuple(names), tuple(periods), own.size, own.margin, architecture, none, 1.0, 0.0
                    )
                    signs.save(child.path / "model", alone, data={"n": len(learned)}, calibrated={})
                    child.finish([], choices=[], warnings=[])
        made.append(network)
    return tuple(made)


def answers(
    namer: signs.Namer, p: Float32[np.ndarray, "n classes"], crops: Pictures, learned: Pictures
) -> dict[str, np.ndarray]:
    """What is said of every crop, whose names have the probabilities `p`.

    Returns
    -------
    Arrays with a row for each crop: `file`, `group`, `period`, `true`; `said` and `probability` (n, 5), the likeliest
    first, empty where there are fewer names; `given`, whether the first is sure enough to be given; `seen`, how often the true name was learned from.
    """
    often = dict(zip(*np.unique(signs.labels_of(learned), return_counts=True), strict=True))
    best = np.argsort(-p, axis=1, kind="stable")[:, :SAID]
    true = np.array(signs.labels_of(crops))
    fewer = SAID - best.shape[1]
    said = np.concatenate([np.array(namer.names)[best], np.full((len(best), fewer), "")], axis=1)
    return {
        "file": crops.file.astype(str), "group": np.asarray(crops.group).astype(str),
        "period": crops.extra["period"].astype(str), "true": true, "said": said,
        "probability": np.pad(np.take_along_axis(p, best, 1), ((0, 0), (0, fewer))), "given": p.max(axis=1) >= namer.threshold,
        "seen": np.array([often.get(name, 0) for name in true.tolist()]),
    }  # fmt: skip


def pooled(folders: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """What several runs of `train_namer` said of their test crops, as one: folds that together hold every tablet once."""
    read = []
    for folder in folders:
        with np.load(Path(folder) / "figures.npz") as arrays:
            read.append(dict(arrays))
    return {key: np.concatenate([part[key] for part in read]) for key in read[0]}


def measured(said: dict[str, np.ndarray], *, split: str, data: str, draws: int = 1000) -> list[stats.Result]:
    """What `answers` are worth: over all, by period, by how often a name was seen; a name never seen is wrong.

    Intervals: bootstrap over tablets.
    """
    began = time.perf_counter()
    group, true, period = said["group"], said["true"], said["period"]
    hit = said["said"] == true[:, None]
    top = {1: hit[:, 0], 5: hit.any(axis=1)}
    sure = said["probability"][:, 0]

    def result(name: str, statistic: Callable[..., Any], values: Any, rows: np.ndarray | None = None) -> stats.Result:
        rows = np.arange(len(true)) if rows is None else rows
        values = tuple(v[rows] for v in values) if isinstance(values, tuple) else values[rows]
        return stats.result(
            f"signs/{name}", *stats.bootstrap(statistic, values, group=group[rows], draws=draws),
            method="bootstrap over tablets", n=len(np.unique(group[rows])), unit="tablet", data=data, split=split,
            seconds=time.perf_counter() - began,
        )  # fmt: skip

    def macro(right: np.ndarray, name: np.ndarray) -> float:
        return float(np.mean([right[name == k].mean() for k in np.unique(name)]))

    def at_coverage(right: np.ndarray, confidence: np.ndarray) -> float:
        return float(right[np.argsort(-confidence, kind="stable")[: round(0.8 * len(confidence))]].mean())

    out = [
        result("top-1", np.mean, top[1].astype(float)), result("top-5", np.mean, top[5].astype(float)),
        result("macro top-1", macro, (top[1].astype(float), true)),
        result("macro top-5", macro, (top[5].astype(float), true)),
        result("ece", calibration.ece_equal_mass, (sure, top[1])),
        result("accuracy at coverage .8", at_coverage, (top[1].astype(float), sure)),
        result("coverage when it may abstain", np.mean, said["given"].astype(float)),
    ]  # fmt: skip
    if said["given"].any():
        out.append(
            result("precision when it may abstain", np.mean, top[1].astype(float), np.flatnonzero(said["given"]))
        )
    for name in sorted(set(period.tolist()) - {""}):
        out.append(result(f"period/{name}/top-1", np.mean, top[1].astype(float), np.flatnonzero(period == name)))
    for words, low, high in BANDS:
        rows = np.flatnonzero((said["seen"] >= low) & (said["seen"] < high))
        if len(rows):
            out.append(result(f"names seen {words} times/top-1", np.mean, top[1].astype(float), rows))
    return out
