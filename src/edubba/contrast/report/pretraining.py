"""The chapter about a pretraining: what the network holds to be alike, and how it learned."""

from typing import Any

import numpy as np

from edubba.contrast.report.folder import Folder, in_percent, percent
from edubba.core import report
from edubba.core.report import Finding, Section, amount, figures


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
