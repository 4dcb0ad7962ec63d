"""The page about a pretraining or a probe, drawn from its run folder alone."""

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from edubba.core import report
from edubba.core.errors import UserError
from edubba.core.report import Finding, Section, amount, figures

METHODS = {
    "linear": "linear probe",
    "finetune": "fine-tuned",
    "knn": "nearest neighbours",
    "scratch": "from scratch",
    "pixels": "raw pixels",
}
WITHOUT_PRETRAINING = ("from scratch", "raw pixels")
MOST_CLASSES_DRAWN = 25


@dataclass(frozen=True)
class Folder:
    """What a report needs of a finished run folder."""

    path: Path
    verb: str
    """pretrain or probe"""
    settings: dict[str, Any]
    resolved: dict[str, Any]
    metrics: list[dict[str, Any]]
    results: dict[str, dict[str, Any]]
    choices: list[dict[str, Any]]
    warnings: list[str]
    skipped: int
    arrays: dict[str, np.ndarray]

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The lines of the metrics of one kind."""
        return [line for line in self.metrics if line["kind"] == kind]


def build(run_path: str | Path) -> Path:
    """Draw `report.html` in a finished run folder; a pretraining's page takes in its finished `probe/` folder.

    Raises
    ------
    UserError
        The folder is no finished run of `contrast pretrain` or `contrast probe`.
    """
    folder = read(run_path)
    probed = folder.path / "probe"
    if folder.verb == "probe":
        title = f"What {source_name(folder)} can be told apart by"
        lead, sections = probe_lead(folder), [probe_summary(folder), *probe_evidence(folder), record(folder)]
    elif (probed / "results.json").exists():
        probe = read(probed)
        title = f"Learned from {source_name(folder)} without labels"
        lead = probe_lead(probe)
        pretraining = [*pretrain_evidence(folder), *probe_evidence(probe), *training(folder)]
        sections = [probe_summary(probe), *pretraining, record(folder), record(probe)]
    else:
        title = f"Learned from {source_name(folder)} without labels"
        lead = pretrain_lead(folder)
        sections = [pretrain_summary(folder), *pretrain_evidence(folder), *training(folder), record(folder)]
    footer = "\n\n".join(filter(None, (made_by(folder), "Drawn from the run folder alone; the page needs no network.")))
    return report.write(folder.path / "report.html", report.page(title, lead=lead, sections=sections, footer=footer))


def sections(run_path: str | Path) -> list[Section]:
    """The chapters about a pretraining and its probe, the answer first, for a page that has others too."""
    folder, probe = read(run_path), read(Path(run_path) / "probe")
    summary = probe_summary(probe, lead=probe_lead(probe))
    evidence = [*pretrain_evidence(folder), *probe_evidence(probe), *training(folder)]
    return [summary, *evidence, record(folder), record(probe)]


def sections_pretrain(run_path: str | Path) -> list[Section]:
    """The chapters about a pretraining, for a page that has others too."""
    folder = read(run_path)
    summary = pretrain_summary(folder, lead=pretrain_lead(folder))
    return [summary, *pretrain_evidence(folder), *training(folder), record(folder)]


def sections_probe(run_path: str | Path) -> list[Section]:
    """The chapters about a probe (its own folder, usually `runs/a/probe`), for a page that has others too."""
    folder = read(run_path)
    return [probe_summary(folder, lead=probe_lead(folder)), *probe_evidence(folder), record(folder)]


def read(run_path: str | Path) -> Folder:
    """A finished run folder of this room."""
    path = Path(run_path)
    for name in ("spec.toml", "results.json"):
        if not (path / name).exists():
            raise UserError(
                f"{path} is not a finished run: it has no {name}; the same command that began it finishes it"
            )
    spec = tomllib.loads((path / "spec.toml").read_text(encoding="utf-8"))
    verb = next((verb for verb in ("pretrain", "probe") if verb in spec.get("contrast", {})), None)
    if verb is None:
        raise UserError(
            f"{path} is not a run of contrast pretrain or probe: its spec.toml has tables {', '.join(spec)}"
        )
    document = json.loads((path / "results.json").read_text(encoding="utf-8"))
    metrics = path / "metrics.jsonl"
    figures_file = path / "figures.npz"
    arrays: dict[str, np.ndarray] = {}
    if figures_file.exists():
        with np.load(figures_file, allow_pickle=False) as file:
            arrays = dict(file)
    return Folder(
        path=path,
        verb=verb,
        settings=spec["contrast"][verb],
        resolved=spec.get("resolved", {}),
        metrics=[json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else [],
        results={result["name"]: result for result in document["results"]},
        choices=document["choices"],
        warnings=document["warnings"],
        skipped=document["skipped"],
        arrays=arrays,
    )


def source_name(folder: Folder) -> str:
    name = Path(str(folder.settings.get("source", "the pictures"))).name
    return re.sub(r"\.(npz|zip|tar|tar\.gz|tgz)$", "", name)


def in_percent(result: dict[str, Any]) -> tuple[float, float | None, float | None]:
    """A share's value, low and high in percent."""
    low, high = (None if result[end] is None else 100 * result[end] for end in ("low", "high"))
    return 100 * result["value"], low, high


def percent(result: dict[str, Any], *, unit: str = "%") -> str:
    """A share in percent with its interval."""
    return amount(*in_percent(result), unit=unit)


def interval_sentence(result: dict[str, Any]) -> str:
    """Over what the interval goes, and how it was made."""
    if result["low"] is None:
        return "No interval could be given."
    text = f"Intervals are {100 * result['level']:.0f} %, by bootstrap over {result['n']:,} {result['unit']}s of {result['split']}"
    text += f", mean of {result['draws']} draws of the labelled pictures." if (result["draws"] or 0) > 1 else "."
    if result["unit"] == "picture":
        text += " No groups were known: if several pictures show one object, the intervals are too narrow."
    return text


# ---- pretraining


def pretrain_lead(folder: Folder) -> str:
    """What was learned without labels, in plain words, and what that does not say."""
    n, epochs = folder.resolved.get("n"), folder.settings.get("epochs")
    text = f"A `{folder.settings.get('encoder', 'small')}` network looked at " + (
        f"{n:,} pictures" if n else "pictures"
    )
    text += (f" {epochs} times" if epochs else "") + " and was never told what is in them."
    found, knn = folder.results.get("contrastive accuracy"), folder.results.get("knn")
    if found:
        text += (
            f" Among the {candidates(folder):,} other views in a batch it now finds the one made from the same picture in"
            f" {percent(found)} of the cases (guessing: {amount(100 / candidates(folder), unit='%')})."
        )
    if knn:
        text += (
            f" By the labels, which it never saw, {percent(knn)} of {looked_at(knn)} are nearest to pictures of their own"
            " class."
        )
        limits = "That last number was watched during training, on a small sample and without an interval"
    else:
        limits = "No labels were at hand, so this page cannot say whether what it holds to be alike is alike to you"
    return (
        f"{text}\n\n{limits}: look at the neighbours below, and measure with `edubba contrast probe` on pictures with"
        " labels. It does not speak for pictures of another origin than these."
    )


def candidates(folder: Folder) -> int:
    """Among how many the other view is to be found: all views of the batch but one's own."""
    return 2 * (folder.resolved.get("batch_size") or folder.settings.get("batch_size", 256)) - 1


def looked_at(knn: dict[str, Any]) -> str:
    """The pictures that the online kNN was asked about."""
    return "the validation pictures" if knn["split"] == "validation" else "a sample of the pictures it was trained on"


def pretrain_summary(folder: Folder, *, lead: str = "") -> Section:
    results, findings = folder.results, []
    if found := results.get("contrastive accuracy"):
        note = "in training batches: what it practised, not what it is for"
        guess = 100 / candidates(folder)
        findings.append(Finding("finds a picture's other view", *in_percent(found), chance=guess, note=note))
    if knn := results.get("knn"):
        note = f"{looked_at(knn)}, watched in training"
        findings.append(Finding("class by nearest neighbours", *in_percent(knn), note=note))
    if rank := results.get("effective_rank"):
        d = folder.arrays["embedding"].shape[1] if "embedding" in folder.arrays else None
        note = "effective rank of the features; near 1 everything looks alike to it"
        unit, scale = (f"of {d}", (1, d)) if d else ("", (1, 2 * rank["value"]))
        finding = Finding(
            "directions in use", rank["value"], rank["low"], rank["high"], unit=unit, scale=scale, note=note
        )
        findings.append(finding)
    blocks = [report.headline(findings)] if findings else []
    if results:
        shares = ("knn", "contrastive accuracy")
        rows = [
            (name, percent(r) if name in shares else figures.three_figures(r["value"]), r["method"], r["split"], r["n"])
            for name, r in results.items()
        ]
        table = report.table(["measure", "value", "how", "split", "pictures"], rows, "All results of the pretraining.")
        blocks.append(report.details("All numbers", table))
    return Section("In short", blocks, lead)


def pretrain_evidence(folder: Folder) -> list[Section]:
    """What the network holds to be alike: neighbours and map."""
    arrays, sections = folder.arrays, []
    shown_are = folder.resolved.get(
        "shown"
    )  # held-out or training; where the folder does not say, neither does the page
    held_out = "held-out pictures" if shown_are == "held-out" else "pictures"
    labels = [str(label) for label in arrays["label"]] if "label" in arrays else []
    if "neighbours" in arrays and len(arrays["neighbours"]):
        rows, similarity = arrays["neighbours"][:12, :9], arrays["similarity"][:12, :8].astype(float)
        known = [(labels[row[0]], labels[other]) for row in arrays["neighbours"] for other in row[1:]]
        known = [(mine, theirs) for mine, theirs in known if mine and theirs]
        caption = (
            f"Left the picture asked about, then its nearest among the {held_out}, nearest first; below each the"
            " cosine similarity of the features (1: the same direction)."
        )
        if known:
            caption += " ✓ same class, ✗ another class, with its name; the network never saw these labels."
        lead = "Some pictures, and which of the others the network holds to be most like them."
        if shown_are == "held-out":
            lead = (
                "Pictures that the network was not trained on, and which of the others it holds to be most like them."
            )
        elif shown_are == "training":
            lead += " It was trained on all of them: too few were held out."
        if known:
            right = sum(mine == theirs for mine, theirs in known)
            lead += f" Of {len(known):,} such neighbours {right:,} are of the same class."
        drawing = figures.neighbours(arrays["thumbnails"], rows, similarity=similarity, labels=labels, caption=caption)
        sections.append(Section("What it holds to be alike", [drawing], lead))
    if "map" in arrays and len(arrays["map"]) > 1:
        classes = sorted({label for label in labels if label})
        shown = min(len(labels), figures.MOST_MAPPED)
        caption = (
            f"{shown:,} {held_out}. Neighbours on the map are neighbours to the network; the distance between far"
            " parts and the directions mean nothing. Each picture was moved to a free cell near its place."
        )
        if classes:
            caption += " Names stand in the middle of their class"
            caption += ", frames have its colour." if len(classes) <= len(figures.CLASSES) else "."
        alt = f"Map of {shown} pictures placed by likeness" + (
            f", classes {', '.join(classes[:24])}" if classes else ""
        )
        drawing = figures.embedding_map(arrays["map"].astype(np.float32), arrays["thumbnails"], labels)
        lead = "Pictures lie beside those that the network describes alike."
        sections.append(Section("A map", [report.figure(drawing, caption=caption, alt=alt, wide=True)], lead))
    return sections


def training(folder: Folder) -> list[Section]:
    """How the training went."""
    kinds = {
        "loss − floor, nats": ("train", "excess"),
        "other view found, %": ("train", "contrastive_accuracy"),
        "online kNN, %": ("eval", "knn"),
        "alignment": ("eval", "alignment"),
        "uniformity": ("eval", "uniformity"),
        "effective rank": ("eval", "effective_rank"),
    }
    panels = {}
    for name, (kind, key) in kinds.items():
        points = [(line["epoch"], line[key]) for line in folder.lines(kind) if line.get(key) is not None]
        if points:
            x, y = zip(*points, strict=True)
            panels[name] = (x, [100 * v for v in y] if name.endswith("%") else y)
    if not panels:
        return []
    caption = (
        "Loss above the lowest value that any arrangement of the features could reach; the share of views whose partner is"
        " found in the batch"
    )
    if "online kNN, %" in panels:
        knn = folder.results.get("knn", {"split": "validation"})
        caption += f"; the share of {looked_at(knn)} named rightly by their nearest neighbours"
    caption += (
        "; alignment, the mean squared distance between two views of a picture (lower is tighter); uniformity, how evenly"
        " the features fill the sphere (lower is more even); effective rank, how many directions they use. Long series are"
        " means of 200 equal stretches."
    )
    ends = ", ".join(
        f"{name} {figures.three_figures(y[0])} to {figures.three_figures(y[-1])}" for name, (_, y) in panels.items()
    )
    drawing = report.figure(
        figures.curves(panels, xlabel="epochs"), caption=caption, alt=f"Training curves, first to last: {ends}."
    )
    return [Section("How the training went", [drawing])]


# ---- probe


def tokens(folder: Folder) -> list[str]:
    """The amounts of labels that were tried, fewest first; where the folder does not count them, shares after numbers."""
    found = {name.split("/")[1] for name in folder.results if name.endswith("/accuracy")}
    counted = folder.resolved.get("labels", {})

    def order(token: str) -> tuple[float, ...]:
        if found <= counted.keys():
            return (float(counted[token]),)
        return (1.0, np.inf) if token == "all" else (float(token.endswith("%")), float(token.rstrip("%")))

    return sorted(found, key=order)


def labels_in_words(token: str) -> str:
    """
    >>> labels_in_words("5"), labels_in_words("1%"), labels_in_words("all")
    ('5 labels a class', '1 % of the labels', 'all labels')
    """
    if token == "all":
        return "all labels"
    return f"{token[:-1]} % of the labels" if token.endswith("%") else f"{token} label{'s' * (token != '1')} a class"


def each(folder: Folder, token: str) -> str:
    """How many labels a class a share of the labels is, where the folder tells."""
    number = folder.resolved.get("labels", {}).get(token)
    return f" (about {number:.3g} a class)" if number and token.endswith("%") else ""


def probe_lead(folder: Folder) -> str:
    """How well classes can be told with few labels, against the same network without pretraining."""
    results = folder.results
    few = next((t for t in tokens(folder) if f"linear/{t}/accuracy" in results), None)
    if few is None:
        return "The classes were looked for in what the network learned; the table below holds all results."
    linear = results[f"linear/{few}/accuracy"]
    text = (
        f"With {labels_in_words(few)}{each(folder, few)}, a linear classifier on the learned features names {percent(linear)} of"
        " the held-out pictures rightly."
    )
    scratch, difference = results.get(f"scratch/{few}/accuracy"), results.get(f"linear-scratch/{few}/accuracy")
    if scratch:
        text += f" The same network trained on those labels alone, without pretraining, reaches {percent(scratch)}"
        text += f": {verdict(difference)}." if difference else "."
    pixels, gain = results.get(f"pixels/{few}/accuracy"), results.get(f"linear-pixels/{few}/accuracy")
    if pixels:
        text += f" On the raw pixels the same classifier reaches {percent(pixels)}"
        text += f", {against_pixels(gain)}." if gain and gain["low"] is not None else "."
    most = results.get("linear/all/accuracy")
    if most and few != "all":
        text += f" With all labels the linear classifier reaches {percent(most)}."
    limits = "This holds for pictures from the same source as these; it says nothing about another collection, camera or hand."
    return f"{text}\n\n{interval_sentence(linear)} {limits}"


def against_pixels(gain: dict[str, Any]) -> str:
    """What the features gain over the pixels themselves."""
    if gain["low"] > 0:
        return f"{percent(gain, unit='points')} less"
    return "more than on what was learned" if gain["high"] < 0 else "which cannot be told from what was learned"


def verdict(difference: dict[str, Any]) -> str:
    """What a difference between pretrained and not can be said to show."""
    points = percent(difference, unit="points")
    if difference["low"] is None:
        return f"a difference of {points}, without an interval"
    if difference["low"] > 0:
        return f"pretraining is better by {points}"
    if difference["high"] < 0:
        return f"pretraining is worse by {percent(mirrored(difference), unit='points')}"
    return f"a difference of {points}, which these pictures cannot tell from none"


def mirrored(difference: dict[str, Any]) -> dict[str, Any]:
    """The same difference counted the other way round."""
    return difference | {
        "value": -difference["value"],
        "low": -difference["high"],
        "high": -difference["low"],
    }


def probe_summary(folder: Folder, *, lead: str = "") -> Section:
    results, found = folder.results, tokens(folder)
    chance = 100 / len(folder.arrays["classes"]) if "classes" in folder.arrays else None
    few = next((t for t in found if f"linear/{t}/accuracy" in results), None)
    wanted = [("linear", few), ("scratch", few), ("linear", "all" if few != "all" else None)]
    findings = []
    for method, token in wanted:
        result = results.get(f"{method}/{token}/accuracy")
        if result is not None and token is not None:
            name = f"{METHODS[method]}, {labels_in_words(token)}"
            findings.append(Finding(name, *in_percent(result), chance=chance))
    blocks = [report.headline(findings)] if findings else []
    return Section("In short", blocks, lead)


def probe_evidence(folder: Folder) -> list[Section]:
    """Labels needed, classes, errors, and how far it can be trusted when it is sure."""
    sections = [label_curve(folder), per_class(folder), errors(folder), sureness(folder)]
    return [section for section in sections if section is not None]


def label_curve(folder: Folder) -> Section | None:
    """Accuracy against the number of labels."""
    results, found = folder.results, tokens(folder)
    if not found:
        return None
    counted = folder.resolved.get("labels", {})
    known = all(token in counted for token in found)
    x = {token: float(counted[token]) if known else float(10**i) for i, token in enumerate(found)}
    series = {}
    for method, name in METHODS.items():
        points = [
            (x[token], results[f"{method}/{token}/accuracy"])
            for token in found
            if f"{method}/{token}/accuracy" in results
        ]
        if points:
            series[name] = [(at, *in_percent(r)) for at, r in points]
    rows = [
        [
            METHODS[method],
            *(percent(r) if (r := results.get(f"{method}/{token}/accuracy")) else None for token in found),
        ]
        for method in METHODS
        if METHODS[method] in series
    ]
    differences = [
        [f"{METHODS.get(a, a)} minus {METHODS.get(b, b)}, {labels_in_words(token)}", percent(r, unit="points")]
        for name, r in results.items()
        for pair, token, *rest in [name.split("/")]
        if rest == ["accuracy"] and "-" in pair
        for a, b in [pair.split("-", 1)]
    ]
    table = report.table(
        ["method", *map(labels_in_words, found)], rows, "Held-out pictures named rightly, with intervals."
    )
    blocks = []
    if len(found) > 1:
        ticks: dict[float | int, str] = {
            x[token]: {"all": "all"}.get(token, token.replace("%", "\u202f%")) for token in found
        }
        drawing = figures.lines(
            series,
            xlabel="labels a class, or share of all labels",
            ylabel="named rightly, %",
            ticks=ticks,
            dashed=WITHOUT_PRETRAINING,
        )
        first = next(
            iter(results[f"{m}/{t}/accuracy"] for m in METHODS for t in found if f"{m}/{t}/accuracy" in results)
        )
        caption = "Bands are intervals; dashed: without pretraining. " + interval_sentence(first)
        alt = "; ".join(f"{name} from {p[0][1]:.1f} % to {p[-1][1]:.1f} %" for name, p in series.items())
        drawn = report.figure(drawing, caption=caption, alt=f"Accuracy against labels: {alt}.")
        blocks = [drawn, report.details("The numbers", table)]
    else:
        blocks = [table]
    if differences:
        blocks.append(
            report.table(
                ["difference", "points with interval"], differences, "Differences on the same pictures and labels."
            )
        )
    return Section("How many labels it takes", blocks)


def per_class(folder: Folder) -> Section | None:
    """Recall of each class, pretrained beside from scratch."""
    prefixes = {name: f"{method}/all/recall/" for method, name in METHODS.items()}
    recall = {
        name: {key.removeprefix(prefix): r for key, r in folder.results.items() if key.startswith(prefix)}
        for name, prefix in prefixes.items()
    }
    recall = {name: classes for name, classes in recall.items() if classes}
    if not recall:
        return None
    first = next(iter(recall.values()))
    rows = {
        name: [in_percent(classes[name]) if name in classes else None for classes in recall.values()] for name in first
    }
    values = {name: entry[0][0] for name, entry in rows.items() if entry[0]}
    best, worst = max(values, key=lambda k: values[k]), min(values, key=lambda k: values[k])
    lead = (
        f"With all labels the {next(iter(recall))} finds {amount(values[best], unit='%')} of the pictures of"
        f" ‘{best}’ and {amount(values[worst], unit='%')} of ‘{worst}’."
    )
    numbers = [
        [name, *(percent(classes[name]) if name in classes else None for classes in recall.values())] for name in first
    ]
    drawing = figures.dots(rows, xlabel="pictures of the class that were found, %", series=list(recall))
    caption = (
        f"Each class by itself, all labels used; lines are intervals over its {next(iter(first.values()))['unit']}s."
    )
    blocks = [
        report.figure(drawing, caption=caption, alt=f"Share of each class found; best {best}, worst {worst}."),
        report.details(
            "The numbers", report.table(["class", *recall], numbers, "Share found of each class, with intervals.")
        ),
    ]
    return Section("Class by class", blocks, lead)


def errors(folder: Folder) -> Section | None:
    """Which classes are taken for which, and pictures of such errors."""
    arrays, blocks = folder.arrays, []
    if "confusion" in arrays:
        matrix, classes = arrays["confusion"], [str(name) for name in arrays["classes"]]
        pairs = figures.confused_pairs(matrix, classes, most=20)
        if len(classes) <= MOST_CLASSES_DRAWN:
            caption = (
                "Each row is a true class: how many percent of its pictures were called what. Right answers on the"
                " diagonal; the stronger the colour of an error, the commoner."
            )
            commonest = ", ".join(f"{true} called {said} {count} times" for true, said, count, _ in pairs[:3])
            alt = "Confusion matrix. Commonest errors: " + (commonest or "none")
            blocks.append(report.figure(figures.confusion(matrix, classes), caption=caption, alt=alt))
        elif pairs:
            caption = f"The commonest errors among {len(classes)} classes."
            blocks.append(report.table(["true class", "called", "pictures", "of the class"], pairs, caption))
    if "mistakes_thumbnails" in arrays and len(arrays["mistakes_thumbnails"]):
        true, said = ([str(name) for name in arrays[f"mistakes_{kind}"]] for kind in ("true", "said"))
        blocks.append(
            report.pictures(
                arrays["mistakes_thumbnails"][:24],
                titles=[f"is {name}" for name in true[:24]],
                notes=[f"said {name}" for name in said[:24]],
                alts=[f"a picture of {a} that was called {b}" for a, b in zip(true[:24], said[:24], strict=True)],
                caption="Held-out pictures that were named wrongly, the surest errors first.",
            )
        )
    return Section("What it mistakes for what", blocks) if blocks else None


def sureness(folder: Folder) -> Section | None:
    """Calibration and abstention."""
    arrays, results, drawn = folder.arrays, folder.results, []
    before, after = (results.get(f"linear/all/ece_{when}") for when in ("before", "after"))
    lead = ""
    if before and after:
        lead = (
            f"When it says how sure it is, it was off by {amount(100 * before['value'], unit='points')} on average, and by"
            f" {percent(after, unit='points')} after one number (the temperature"
        )
        temperature = results.get("linear/all/temperature")
        lead += (
            f", {temperature['value']:.2f}) was fitted on the {temperature['split']} split."
            if temperature
            else ") was fitted."
        )
    if "reliability_before" in arrays:
        drawn.append(
            report.figure(
                figures.reliability(
                    arrays["reliability_before"].astype(float), arrays["reliability_after"].astype(float)
                ),
                caption="On the dashed line it is right as often as it says. Larger marks: more pictures.",
                alt="Reliability diagram before and after temperature scaling." + (f" {lead}" if lead else ""),
            )
        )
    if "abstention" in arrays:
        coverage, accuracy = arrays["abstention"].astype(float)
        half = float(accuracy[np.abs(coverage - 0.5).argmin()])
        drawn.append(
            report.figure(
                figures.abstention(coverage, accuracy),
                caption="If it may stay silent where it is least sure, it is right more often on the rest.",
                alt=f"Accuracy against coverage: {100 * half:.1f} % right when it answers half of the pictures.",
            )
        )
        lead += f"{' ' if lead else ''}Answering only the surer half of the pictures, it is right in {amount(100 * half, unit='%')}."
    if not drawn:
        return None
    return Section("When to believe it", [report.pair(*drawn) if len(drawn) == 2 else drawn[0]], lead)


# ---- both


def record(folder: Folder) -> Section:
    """Cost, choices, warnings, and how to repeat it."""
    blocks: list[Markup] = []
    warned = [*folder.warnings, *(str(line["words"]) for line in folder.lines("warn"))]
    if folder.skipped:
        warned.append(
            f"{folder.skipped:,} inputs were skipped; `{folder.path / 'skipped.csv'}` names them and the reason."
        )
    if warned:
        blocks.append(report.warning("\n\n".join(dict.fromkeys(warned))))
    blocks.append(report.facts(cost(folder)))
    if folder.choices:
        rows = [(c["name"], brief(c["value"]), brief(c["candidates"]), c["metric"], c["split"]) for c in folder.choices]
        columns = ["choice", "taken", "out of", "by", "on"]
        table = report.table(columns, rows, "What was chosen by looking at results, and on which split.")
        splits = ", ".join(sorted({c["split"] for c in folder.choices}))
        blocks.append(report.prose(f"Choices made by looking at results: {len(rows)}, on {splits}."))
        blocks.append(report.details("The choices", table))
    blocks.append(report.code(again(folder)))
    blocks.append(
        report.details("All settings", report.code((folder.path / "spec.toml").read_text(encoding="utf-8").strip()))
    )
    title = {"pretrain": "The record of the pretraining", "probe": "The record of the probe"}[folder.verb]
    return Section(title, blocks, "What it cost, what was chosen, and how to do it again.")


def brief(value: Any) -> str:
    """A choice or its candidates in a table cell.

    >>> brief([0.001, 31.6227766]), brief("last step")
    ('0.001, 31.6', 'last step')
    """
    if isinstance(value, list):
        return ", ".join(map(brief, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def again(folder: Folder) -> str:
    """The command that repeats the run in a new folder."""
    words = ["edubba", "contrast", folder.verb]
    words += [str(folder.path.parent)] if folder.verb == "probe" else []
    words += [str(folder.settings.get("source", "SOURCE"))]
    options = [["--config", str(folder.path / "spec.toml")], ["--out", f"{folder.path}-again"]]
    return " \\\n    ".join(map(shlex.join, [words, *options]))


def cost(folder: Folder) -> dict[str, str]:
    """What the run took, as far as its folder tells."""
    resolved, train = folder.resolved, folder.lines("train")
    rows: dict[str, str] = {}
    seconds = max((r["seconds"] or 0 for r in folder.results.values()), default=0)
    if seconds:
        rows["Time"] = amount(seconds / 60, unit="min") if seconds >= 90 else amount(seconds, unit="s")
    machine = [str(resolved[key]) for key in ("machine", "device") if key in resolved]
    for key in ("processes", "threads"):
        if key in resolved:
            words = key.removesuffix("es" if key == "processes" else "s") if resolved[key] == 1 else key
            machine.append(f"{resolved[key]} {words}")
    if machine:
        rows["Machine"] = ", ".join(machine + ([resolved["precision"]] if "precision" in resolved else []))
    if "n" in resolved:
        size = f", {resolved['image_size']} × {resolved['image_size']} pixels" if "image_size" in resolved else ""
        rows["Pictures"] = f"{resolved['n']:,} from {folder.settings.get('source', 'the source')}{size}"
    if "steps" in resolved:
        rows["Steps"] = f"{resolved['steps']:,}"
    if train:
        speed = amount(
            float(np.median([line["images_per_second"] for line in train])), unit="pictures a second", digits=0
        )
        waiting = float(np.mean([line["waiting"] for line in train]))
        rows["Speed"] = f"{speed}, {amount(100 * waiting, unit='%')} of the time waiting for data"
    versions = [f"{name} {resolved[name]}" for name in ("edubba", "python", "torch", "numpy") if name in resolved]
    if versions:
        rows["Versions"] = ", ".join(versions)
    if "created" in resolved:
        rows["Begun"] = str(resolved["created"]).replace("T", " ")
    return rows


def made_by(folder: Folder) -> str:
    """Version and date of the results, where they tell."""
    result = next(iter(folder.results.values()), None)
    return f"edubba {result['edubba']}, measured on {result['date'][:10]}." if result else ""
