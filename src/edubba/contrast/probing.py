"""What an encoder is worth: kNN, linear probe, fine-tuning and the twin from scratch, at several numbers of labels."""

import os
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import softmax

from edubba.contrast.features import Encoder, features, knn, load_encoder
from edubba.contrast.pretraining import thumbnails
from edubba.contrast.spec import Probe, Probed
from edubba.core import calibration, encoders, files, images, models, runs, stats, tables, train
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.core.settings import Views
from edubba.core.spec import differences, from_table
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
    """What a network trained on the labels says, from first weights or from the pretrained ones.

    Returns
    -------
    `validation` and `test`: logits; `step` and `score`: the looks while training, and the accuracy on validation there.
    """
    rows = setting.rows[draw]
    fit = replace(spec.fit, seed=spec.seed + draw)
    one_epoch = max(1, len(rows) // min(fit.batch_size, len(rows)))
    fit = replace(fit, epochs=max(fit.epochs, -(-spec.fewest_steps // one_epoch)))
    model = encoders.twin(encoder.bundle.card, seed=fit.seed)
    if not fresh:
        model.load_state_dict({name: tensor.cpu() for name, tensor in encoder.network.state_dict().items()})
        fit = replace(fit, lr=fit.lr / 4)
    learned, held = task.pictures.take(rows), task.pictures.take(task.validation)
    record: dict[str, Any] = {}
    classifier = train.fit_classifier(
        model, learned.x, task.y[rows], spec=fit, size=encoder.size, classes=len(task.classes),
        validation=(held.x, task.y[task.validation]), views=views, shape_hw=learned.shape_hw, channels=encoder.channels,
        record=record, what=f"{'from scratch' if fresh else 'fine-tuning'}, {setting.name} labels, draw {draw + 1}",
    )  # fmt: skip
    logits = {
        part: train.predict(classifier, some.x, size=encoder.size, channels=encoder.channels).numpy()
        for part, some in (("validation", held), ("test", task.pictures.take(task.test)))
    }
    scores: dict[int, float] = record["scores"]
    return logits | {"step": np.array([*scores]), "score": np.array([*scores.values()])}


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
    if len(learned := np.unique(y[splits.train])) < 2:
        raise UserError(
            f"all {len(splits.train)} train pictures of {pictures.source} are {str(classes[learned[0]])!r}: a probe needs"
            " two classes to learn from, so mend the split column"
        )
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

    Raises
    ------
    UserError
        The pictures cannot be probed, a setting cannot be, or the folder holds another probe.
    """
    began = time.perf_counter()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a probe runs in one process: start it without torchrun")
    for name in ("draws", "k", "fewest_steps"):
        if getattr(spec, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(spec, name)}: at least 1 is needed")
    for name, why in (("seed", "the probe's --seed counts"), ("save_every", "a network is kept when it is done")):
        if getattr(spec.fit, name):
            raise UserError(f"--fit.{name.replace('_', '-')} {getattr(spec.fit, name)}: leave it out, {why}")
    path = Path(run.path if isinstance(run, Run) else run)
    encoder = load_encoder(path, allow_code=allow_code).to(train.device_of(spec.fit))
    task, said, skipped = prepare(encoder, source, labels, group, spec)
    folder = _open(Path(out or path / "probe"), path, spec, task, encoder, labels, group)
    if folder.done:
        return folder.results
    with closing(folder):
        if skipped:
            images.write_skipped(folder.path / "skipped.csv", skipped)
        threads = train.use_threads(spec.fit.threads)
        folder.resolve(
            threads=threads, precision=train.precision_of(spec.fit), n=len(task.pictures), classes=len(task.classes)
        )
        earlier = sum(float(_piece(made).get("seconds", 0)) for made in (folder.path / "pieces").glob("*.npz"))
        origin = _origin(path, encoder)
        views = spec.views or _views_of(origin)
        if origin is None and spec.views is None:
            said.append(
                f"{path} does not tell the views of its pretraining: those of photos were taken, --views.preset chooses"
            )
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
        seen = _seen(origin, task)
        if seen is None:
            said.append(
                f"it is unknown whether test pictures were learned from without labels: {path} comes without the list of its run"
            )
        if seen:
            said.append(
                f"{seen} of {len(task.test)} test pictures were learned from without labels: the figures flatter; hold some out"
                " of the pretraining with a split column"
            )
        split = f"test ({seen} of {len(task.test)} seen without labels)" if seen else "test"
        results = _results(task, answers, spec, split=split, seconds=earlier + time.perf_counter() - began)
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
            "name": f"{method}/{setting.name}", "value": found.chosen, "score": found.accuracy[found.chosen],
            "candidates": [f"{name}: {a:.3f}" for name, a in found.accuracy.items()], "metric": "accuracy",
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
    pieces = []
    for draw in range(len(setting.rows)):
        file = folder.path / "pieces" / f"{method}-{setting.name}-{draw}.npz"
        if not file.exists():
            began = time.perf_counter()
            said = network(task, encoder, setting, draw, spec, views=views, fresh=method == "scratch")
            files.write_npz(file, said | {"seconds": np.array(time.perf_counter() - began)})
        pieces.append(_piece(file))
    if spec.fit.keep == "best":
        choices.append(_steps(f"{method}/{setting.name}/step", pieces))
    return pieces


def _piece(file: Path) -> dict[str, np.ndarray]:
    """What is kept of one network: from `network`, and the seconds it took."""
    with np.load(file, allow_pickle=False) as kept:
        return dict(kept)


def _steps(name: str, pieces: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """The step that was kept of each draw; pieces of edubba 0.1.0.dev0 do not tell."""
    told = [piece for piece in pieces if "score" in piece]
    best = [int(piece["score"].argmax()) for piece in told]  # the first of the highest, as `train.fit` keeps
    return {
        "name": name,
        "value": [int(piece["step"][i]) for piece, i in zip(told, best, strict=True)] if told else "unknown",
        "score": [round(float(piece["score"][i]), 4) for piece, i in zip(told, best, strict=True)],
        "candidates": [[f"{k}: {a:.3f}" for k, a in zip(p["step"], p["score"], strict=True)] for p in told],
        "metric": "accuracy", "split": "validation",
    }  # fmt: skip


def _open(out: Path, run: Path, spec: Probe, task: Task, encoder: Encoder, labels: Any, group: str | None) -> Run:
    """The folder of the probe. By contents it is decided whether it goes on, by name it is said what is another."""
    table = str(labels) if isinstance(labels, str | Path) else None
    asked = Probed(**vars(spec), run=str(run), labels=table, group=group)
    fingerprint, weights = _fingerprint(task, encoder), encoder.bundle.card["files"][models.WEIGHTS]
    before = runs.read(out) if (out / "spec.toml").exists() else None
    if before is not None and before.verb == "contrast.probe":
        was = {name: before.settings.get(name) for name in ("run", "labels", "group")}
        if before.resolved["source_fingerprint"] == fingerprint:
            asked = replace(asked, **was)  # files may have moved
            if was["run"] is None and spec.views is None:  # edubba 0.1.0.dev0 recorded it so
                asked = replace(asked, views=Views())
        elif was["run"] is not None:
            was |= {"encoder": before.resolved.get("encoder", "")[:12]}
            now = {"run": asked.run, "labels": asked.labels, "group": asked.group, "encoder": weights[:12]}
            known = ({k: v for k, v in names.items() if v} for names in (was, now))
            if different := differences(*known):
                raise runs.OtherRun(
                    f"{out} began with other settings ({'; '.join(different)})", "use those, or another folder with -o"
                )
    folder = runs.open(out, asked, verb="contrast.probe", source=task.pictures.source, fingerprint=fingerprint)
    folder.resolve(encoder=weights)
    return folder


def _fingerprint(task: Task, encoder: Encoder) -> str:
    import hashlib

    parts = [task.pictures.fingerprint, str(encoder.bundle.card["files"])]
    for column in (task.pictures.label, task.pictures.group, task.pictures.split):
        parts.append("" if column is None else "\n".join(column.tolist()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _origin(path: Path, encoder: Encoder) -> Path | None:
    """The run folder of the pretraining: the one given, or where a bundle's card says that it is, if it is still there."""
    if (path / "spec.toml").exists():
        return path
    seen = (encoder.bundle.card.get("data") or {}).get("seen")
    return (path / seen).parent if seen and (path / seen).exists() else None


def _views_of(origin: Path | None) -> Views:
    if origin is None or not (origin / "spec.toml").exists():
        return Views()
    return from_table(Views, runs.read(origin).settings["views"])


def _seen(origin: Path | None, task: Task) -> int | None:
    """How many test pictures were learned from; None where nobody knows."""
    import gzip

    if origin is None or not (origin / "seen.txt.gz").exists():
        return None
    seen = set(gzip.decompress((origin / "seen.txt.gz").read_bytes()).decode().split("\n"))
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
