"""What an encoder is worth: kNN, linear probe, fine-tuning and the twin from scratch, at several numbers of labels."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import softmax

from edubba.contrast.features import Encoder, features, knn, load_encoder
from edubba.contrast.pretraining import thumbnails
from edubba.contrast.spec import Probe
from edubba.core import calibration, encoders, files, images, runs, stats, tables, train
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.core.settings import Views
from edubba.core.spec import from_table
from edubba.core.stats import Result, result

L2 = (0.003, 0.01, 0.03, 0.1, 0.3)  # per labelled picture, on standardised features
VIEWS = 20  # random views of each labelled picture for the linear probe, where they help on validation
ROWS = 6_000  # most rows with views: enough for a linear layer, seconds for L-BFGS


@dataclass(frozen=True)
class Task:
    """The pictures of a probe, split, with what every method needs."""

    pictures: images.Pictures
    classes: np.ndarray
    y: Int64[np.ndarray, "n"]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    h: Float[np.ndarray, "n d"]
    pixels: Float[np.ndarray, "n p"] | None
    """None where nobody asks for them"""


@dataclass(frozen=True)
class Setting:
    """How many labels: a name for reports and the draws of rows of the train split."""

    name: str
    rows: list[np.ndarray]


def settings(task: Task, spec: Probe) -> tuple[list[Setting], list[str]]:
    """The label counts that the data allows, and words about those it does not."""
    y, said, found = task.y[task.train], [], []
    wanted: list[tuple[str, dict[str, Any]]] = [(str(k), {"per_class": k}) for k in spec.labels_per_class]
    fractions = spec.fractions or ((0.01, 0.1) if spec.full else ())
    wanted += [(f"{100 * f:g}%", {"fraction": f}) for f in fractions if f < 1]
    for name, how in wanted:
        draws = [tables.draw_labels(y, seed=spec.seed, draw=d, **how) for d in range(spec.draws)]
        if any(rows is None for rows in draws):
            said.append(f"{name} labels{' a class' if 'per_class' in how else ''}: left out, some class has too few")
            continue
        found.append(Setting(name, [task.train[rows] for rows in draws if rows is not None]))
    return [*found, Setting("all", [task.train])], said


def logistic(x: np.ndarray, y: np.ndarray, classes: int, l2: float) -> Callable[[np.ndarray], np.ndarray]:
    """Logits of a multinomial logistic regression by L-BFGS, with a penalty of l2 / 2 |w|^2 per row."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # a fit that is cut short is one more candidate: validation chooses, so nothing is claimed of its optimum
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=1 / (l2 * len(x)), max_iter=200, tol=1e-3).fit(x, y)

    def logits(q: np.ndarray) -> np.ndarray:
        score = model.decision_function(q)
        if score.ndim == 1:
            score = np.stack([-score / 2, score / 2], axis=1)
        full = np.full((len(q), classes), -1e9)
        full[:, model.classes_] = score
        return full

    return logits


def milder(views: Views, size: int) -> Views:
    """The same views at half their strength, nothing erased: a linear layer has to get by with fixed features."""
    v = views.resolve(size)
    half = {f: getattr(v, f) / 2 for f in ("strength", "rotate", "scale", "shear", "shift", "bend", "levels", "noise")}
    return replace(v, crop_min=(1 + (v.crop_min or 0)) / 2, erase=0.0, **half)


class Linear(NamedTuple):
    """What a linear probe says, and what was chosen for it on validation."""

    logits: list[dict[str, np.ndarray]]
    chosen: str
    accuracy: dict[str, float]


def linear(
    task: Task, x: Float[np.ndarray, "n d"], setting: Setting, *, more: Callable[[np.ndarray, int], np.ndarray] | None
) -> Linear:
    """Logistic regression on features: penalty, and whether views help, chosen on validation.

    Parameters
    ----------
    x
        Features of all pictures.
    more
        more(rows, number): features of one random view of those pictures; None: there are no views of x.
    """
    mean, std = x[task.train].mean(0), x[task.train].std(0) + 1e-6
    z, truth = (x - mean) / std, task.y[task.validation]
    fewest = min(len(rows) for rows in setting.rows)
    counts = [0] if more is None else [0, max(1, min(VIEWS, ROWS // fewest))]
    every = np.unique(np.concatenate(setting.rows))
    place = {row: i for i, row in enumerate(every.tolist())}
    extra = [] if more is None else [(more(every, number) - mean) / std for number in range(counts[-1])]
    best, accuracy = (-1.0, [], ""), {}
    for count in counts:
        data = []
        for rows in setting.rows:
            there = np.array([place[row] for row in rows.tolist()])
            data.append(
                (np.concatenate([z[rows], *(e[there] for e in extra[:count])]), np.tile(task.y[rows], count + 1))
            )
        for l2 in L2:
            fitted = [logistic(xs, ys, len(task.classes), l2) for xs, ys in data]
            score = float(np.mean([(f(z[task.validation]).argmax(1) == truth).mean() for f in fitted]))
            accuracy[f"views {count}, l2 {l2:g}"] = round(score, 4)
            if score > best[0]:
                best = (score, fitted, f"views {count}, l2 {l2:g}")
    return Linear([_logits(f, task, z) for f in best[1]], best[2], accuracy)


def _logits(f: Callable[[np.ndarray], np.ndarray], task: Task, x: np.ndarray) -> dict[str, np.ndarray]:
    return {"validation": f(x[task.validation]), "test": f(x[task.test])}


def network(
    task: Task, encoder: Encoder, setting: Setting, draw: int, spec: Probe, *, views: Views, fresh: bool
) -> dict[str, np.ndarray]:
    """Logits of a network trained on the labels: from first weights, or from the pretrained ones."""
    rows = setting.rows[draw]
    fit = replace(spec.fit, seed=spec.seed + draw)
    one_epoch = max(1, len(rows) // min(fit.batch_size, len(rows)))
    fit = replace(fit, epochs=max(fit.epochs, -(-spec.fewest_steps // one_epoch)), evaluate_every=0)
    model = encoders.twin(encoder.bundle.card, seed=fit.seed)
    if not fresh:
        model.load_state_dict({name: tensor.cpu() for name, tensor in encoder.network.state_dict().items()})
        fit = replace(fit, lr=fit.lr / 4)
    x = task.pictures.x
    classifier = train.fit_classifier(
        model, _channels(x[rows], encoder.channels), task.y[rows], spec=fit, size=encoder.size, classes=len(task.classes),
        validation=(_channels(x[task.validation], encoder.channels), task.y[task.validation]), views=views,
        shape_hw=task.pictures.shape_hw[rows],
        what=f"{'from scratch' if fresh else 'fine-tuning'}, {setting.name} labels, draw {draw + 1}",
    )  # fmt: skip
    return {
        part: train.predict(classifier, _channels(x[index], encoder.channels), size=encoder.size).numpy()
        for part, index in (("validation", task.validation), ("test", task.test))
    }


def _channels(x: np.ndarray, channels: int) -> np.ndarray:
    if x.shape[3] == channels:
        return np.ascontiguousarray(x)
    if channels == 3:
        return np.repeat(x, 3, axis=3)
    return np.rint(x @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)[..., None]


def prepare(
    encoder: Encoder, source: Any, labels: Any, group: str | None, spec: Probe
) -> tuple[Task, list[str], list[images.Skipped]]:
    """Open, split and embed; words to say, and the pictures that were left aside."""
    pictures = images.open(source, size=encoder.size, labels=labels)
    if group is not None:
        pictures = _grouped(pictures, group)
    if pictures.label is None:
        raise UserError(
            f"{pictures.source} has no labels: sort the pictures into class folders, or give --labels labels.csv"
        )
    said = []
    known = np.flatnonzero(pictures.label != "")
    skipped = list(pictures.skipped)
    if len(known) < len(pictures):
        said.append(f"{len(pictures) - len(known)} of {len(pictures)} pictures have no label and were left aside")
        nameless = pictures.file[pictures.label == ""].tolist()
        skipped += [images.Skipped(file, "no-label", "the table has none for it") for file in nameless]
    pictures = pictures.take(known)
    assert pictures.label is not None
    classes, y = np.unique(pictures.label, return_inverse=True)
    if len(classes) < 2:
        raise UserError(
            f"all {len(pictures)} labelled pictures of {pictures.source} are {str(classes[0])!r}: a probe needs two classes"
        )
    splits = _splits(pictures, spec.seed)
    h = features(encoder, pictures)
    small = None
    if "pixels" in spec.methods:
        small = thumbnails(pictures, 32).reshape(len(pictures), -1).astype(np.float32) / 255
    task = Task(
        pictures, classes, y.astype(np.int64), splits.train, splits.validation, splits.test, h, small,
    )  # fmt: skip
    return task, said, skipped


def _grouped(pictures: images.Pictures, column: str) -> images.Pictures:
    columns = pictures.extra | ({} if pictures.group is None else {"group": pictures.group})
    if column not in columns:
        there = f"it has {', '.join(columns)}" if columns else "it has none besides file, label and split"
        raise UserError(f"the table of {pictures.source} has no column {column!r} for --group: {there}")
    tables.check_groups(columns[column], pictures.split, name=f"the table of {pictures.source}")
    return replace(pictures, group=columns[column])


def _splits(pictures: images.Pictures, seed: int) -> tables.Splits:
    assert pictures.label is not None
    if pictures.split is None:
        return tables.split(pictures.label, group=pictures.group, seed=seed)
    splits = tables.splits_of(pictures.split, pictures.label, group=pictures.group, seed=seed)
    if not len(splits.test):
        raise UserError(f"the split column of {pictures.source} names no labelled picture as test: a probe needs some")
    return splits


def probe(
    run: str | Path | Run, source: Any, *, labels: Any = None, group: str | None = None, spec: Probe = Probe(),
    out: str | Path | None = None, allow_code: bool = False,
) -> list[Result]:  # fmt: skip
    """Measure an encoder by what can be told from its features with few and with all labels.

    Parameters
    ----------
    run
        Run folder of a pretraining, or a model bundle.
    source
        Pictures with labels: class folders, or `labels`.
    labels
        Path of a csv (file, label, optional group and split), or an array; None: class folders or the source's own.
    group
        Name of the table's column to take as group: never torn apart by a split, and the unit of the intervals.
    spec
        See `Probe`.
    out
        Run folder of the probe; default `run/probe`.
    allow_code
        Whether a network of the form `module:attribute` may be imported and run.

    Returns
    -------
    Results named `method/labels/accuracy`, `linear-scratch/labels/accuracy`, `method/all/recall/class` and
    `linear/all/...`. Intervals are 95 % bootstrap over groups, or over pictures where no group is known. Nothing is
    chosen on test.
    """
    began = time.time()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a probe runs in one process: start it without torchrun")
    for name in ("draws", "k", "fewest_steps"):
        if getattr(spec, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(spec, name)}: at least 1 is needed")
    path = Path(run.path if isinstance(run, Run) else run)
    encoder = load_encoder(path, allow_code=allow_code).to(train.device_of(spec.fit))
    task, said, skipped = prepare(encoder, source, labels, group, spec)
    folder = runs.open(
        out or path / "probe", spec, verb="contrast.probe", source=task.pictures.source,
        fingerprint=_fingerprint(task, encoder),
    )  # fmt: skip
    if folder.done:
        return folder.results
    if skipped:
        images.write_skipped(folder.path / "skipped.csv", skipped)
    threads = train.use_threads(spec.fit.threads)
    folder.resolve(
        threads=threads, precision=train.precision_of(spec.fit), n=len(task.pictures), classes=len(task.classes)
    )
    views = spec.views if spec.views != Views() else _views_of(path)
    methods = [*spec.methods, *(["finetune"] if spec.full and "finetune" not in spec.methods else [])]
    found, left_out = settings(task, spec)
    said += left_out
    folder.resolve(
        labels={s.name: round(float(np.mean([len(rows) for rows in s.rows])) / len(task.classes), 2) for s in found}
    )
    answers: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}
    choices: list[dict[str, Any]] = []
    for setting in found:
        for method in methods:
            answers[method, setting.name] = _answer(method, setting, task, encoder, spec, views, folder, choices)
    seen = _seen(path, task)
    if seen:
        said.append(
            f"{seen} of {len(task.test)} test pictures were learned from without labels: the figures flatter; hold some out"
            " of the pretraining with a split column"
        )
    split = f"test ({seen} of {len(task.test)} seen without labels)" if seen else "test"
    results = _results(task, answers, spec, split=split, seconds=time.time() - began)
    _figures(folder, task, answers)
    folder.finish(results, choices=choices, warnings=said, skipped=len(skipped))
    return results


def _answer(
    method: str, setting: Setting, task: Task, encoder: Encoder, spec: Probe, views: Views, folder: Run,
    choices: list[dict[str, Any]],
) -> list[dict[str, np.ndarray]]:  # fmt: skip
    if method in ("linear", "pixels"):
        mild = milder(views, encoder.size)

        def more(rows: np.ndarray, number: int) -> np.ndarray:
            some = task.pictures.take(rows)
            return features(encoder, some, random_view=(mild, spec.seed, number), what="looking at views")

        on_h = method == "linear"
        x = task.h if on_h else task.pixels
        assert x is not None
        found = linear(task, x, setting, more=more if on_h else None)
        choices.append({
            "name": f"{method}/{setting.name}", "value": found.chosen, "candidates": [f"{name}: {a:.3f}" for name, a in found.accuracy.items()],
            "metric": "accuracy",
            "split": "validation",
        })  # fmt: skip
        return found.logits
    if method == "knn":
        k = len(task.classes)
        return [
            _logits(
                lambda q, rows=rows: np.log(knn(q, task.h[rows], task.y[rows], k=spec.k, classes=k) + 1e-9),
                task,
                task.h,
            )
            for rows in setting.rows
        ]
    out = []
    for draw in range(len(setting.rows)):
        piece = folder.path / "pieces" / f"{method}-{setting.name}-{draw}.npz"
        if not piece.exists():
            logits = network(task, encoder, setting, draw, spec, views=views, fresh=method == "scratch")
            files.write_npz(piece, logits)
        with np.load(piece, allow_pickle=False) as kept:
            out.append({name: kept[name] for name in ("validation", "test")})
    choices.append({
        "name": f"{method}/{setting.name}/step", "value": "best of each draw", "candidates": "ten steps of the training",
        "metric": "accuracy", "split": "validation" if spec.fit.keep == "best" else "none",
    })  # fmt: skip
    return out


def _fingerprint(task: Task, encoder: Encoder) -> str:
    import hashlib

    parts = [task.pictures.fingerprint, str(encoder.bundle.card["files"])]
    for column in (task.pictures.label, task.pictures.group, task.pictures.split):
        parts.append("" if column is None else "\n".join(column.tolist()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _views_of(path: Path) -> Views:
    if not (path / "spec.toml").exists():
        return Views()
    return from_table(Views, runs.read(path).settings["views"])


def _seen(path: Path, task: Task) -> int:
    import gzip

    kept = path / "seen.txt.gz"
    if not kept.exists():
        return 0
    seen = set(gzip.decompress(kept.read_bytes()).decode().split("\n"))
    return sum(h in seen for h in task.pictures.hash[task.test].tolist())


def _results(
    task: Task, answers: dict[tuple[str, str], list[dict[str, np.ndarray]]], spec: Probe, *, split: str, seconds: float
) -> list[Result]:
    truth, group = task.y[task.test], None
    if task.pictures.group is not None:  # a picture of no known group stands alone
        own, file = task.pictures.group[task.test], task.pictures.file[task.test]
        group = np.where(own == "", np.char.add("picture ", file.astype(str)), np.char.add("group ", own.astype(str)))
    unit = "picture" if group is None else "group"
    made = partial(result, seed=spec.seed, data=task.pictures.source, split=split, seconds=seconds)
    results = []

    def add(name: str, values: np.ndarray, rows: np.ndarray, method: str = BOOTSTRAP) -> None:
        own = None if group is None else group[rows]
        units = len(rows) if own is None else len(np.unique(own))
        interval = stats.bootstrap_draws(np.mean, values[:, rows], group=own, seed=spec.seed)
        results.append(made(name, *interval, method=method, draws=len(values), n=units, unit=unit))

    every = np.arange(len(truth))
    right = {
        key: np.stack([(logits["test"].argmax(1) == truth).astype(float) for logits in draws])
        for key, draws in answers.items()
    }
    for (method, name), values in right.items():
        add(f"{method}/{name}/accuracy", values, every)
    for one, other in (("linear", "scratch"), ("finetune", "scratch"), ("linear", "pixels")):
        for method, name in right:
            if method == one and (other, name) in right:
                difference = right[one, name] - right[other, name]
                add(f"{one}-{other}/{name}/accuracy", difference, every, f"{BOOTSTRAP} of paired differences")
    for method in ("linear", "scratch"):
        for k, word in enumerate(task.classes):
            if (method, "all") in right and (truth == k).any():
                add(f"{method}/all/recall/{word}", right[method, "all"], np.flatnonzero(truth == k))
    if ("linear", "all") in answers:
        logits = answers["linear", "all"][0]
        t = calibration.temperature(logits["validation"], task.y[task.validation])
        before, after = softmax(logits["test"], axis=1), softmax(logits["test"] / t, axis=1)
        of = partial(made, n=len(truth), unit="picture")
        results += [
            of("linear/all/temperature", t, method="fitted on validation"),
            of("linear/all/ece_before", calibration.ece(before, truth), method="15 bins"),
            of("linear/all/ece_after", calibration.ece(after, truth), method="15 bins"),
        ]
    return results


BOOTSTRAP = "percentile bootstrap"


def _figures(folder: Run, task: Task, answers: dict[tuple[str, str], list[dict[str, np.ndarray]]]) -> None:
    best = next((key for key in (("linear", "all"), ("knn", "all")) if key in answers), next(iter(answers)))
    logits, truth = answers[best][0], task.y[task.test]
    said = logits["test"].argmax(1)
    t = calibration.temperature(logits["validation"], task.y[task.validation])
    before, after = softmax(logits["test"], axis=1), softmax(logits["test"] / t, axis=1)
    confusion = np.zeros((len(task.classes),) * 2, np.int64)
    np.add.at(confusion, (truth, said), 1)
    curve = calibration.abstention(after, truth)
    # the surest mistakes teach most
    wrong = np.flatnonzero(said != truth)
    wrong = wrong[np.argsort(-after[wrong].max(1), kind="stable")][:12]
    folder.figures(
        classes=task.classes.astype(str), confusion=confusion,
        reliability_before=np.stack(calibration.reliability(before, truth)),
        reliability_after=np.stack(calibration.reliability(after, truth)),
        abstention=np.stack([curve.coverage, curve.accuracy]),
        mistakes_thumbnails=thumbnails(task.pictures.take(task.test[wrong]), 40) if len(wrong) else np.zeros((0, 1, 1, 1), np.uint8),
        mistakes_true=task.classes[truth[wrong]].astype(str), mistakes_said=task.classes[said[wrong]].astype(str),
    )  # fmt: skip
