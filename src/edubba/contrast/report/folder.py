"""A finished run folder: read, its numbers in words, and its record."""

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
from edubba.core.report import Section, amount


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
