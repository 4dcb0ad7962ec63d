"""The chapter about a probe: how far few labels go, class by class, and when to believe it."""

from typing import Any

import numpy as np

from edubba.contrast.report.folder import Folder, in_percent, interval_sentence, percent
from edubba.core import report
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
