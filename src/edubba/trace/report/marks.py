"""The owner's private page of the marks in one recipient's copy, drawn from the papers alone."""

import shlex
from collections import Counter
from pathlib import Path

import numpy as np

from edubba.core import report, runs
from edubba.core.errors import UserError
from edubba.core.printing import counted
from edubba.core.report import Finding, Section, amount, figures
from edubba.core.runs import Run
from edubba.trace import publishing

PRIVATE = (
    "This page is private and belongs to the owner's papers: it shows which pictures are marked and what the mark looks like."
    " Do not publish it, and do not hand it over with the copy."
)


def read(path: Path) -> Run:
    """The finished run of `trace mark` in a folder."""
    run = runs.read(path)
    if run.verb != "trace.mark":
        raise UserError(
            f"{path} is a run of {run.verb}: a page is drawn of evidence, and of a copy in the owner's papers"
        )
    if not run.done:
        raise UserError(f"{path} is not finished: the same command that began it finishes it")
    return run


def lead(run: Run) -> str:
    """What was marked, what it costs, whether it will be learned."""
    found = {r.name: r for r in run.results}
    psnr, shift, cosine = found["psnr"], found["shift"], found["cosine"]
    carry = "carries" if run.resolved["marked"] == 1 else "carry"
    enough = (
        "That is less than is asked for: little of it will be learned."
        if _weak(run)
        else "That is as much as is asked for before publishing."
    )
    return (
        f"{counted(run.resolved['marked'], 'picture')} in `{run.resolved['out']}` {carry} the mark of the copy for"
        f" {run.settings['recipient']}, at {amount(psnr.value, unit='dB')} on average; every other file is the same to the byte."
        f"\n\nNetworks that took no part are moved by {amount(shift.value, shift.low, shift.high, digits=2)} standard deviations along"
        f" the carriers, with a cosine of {amount(cosine.value, cosine.low, cosine.high, digits=2)}. {enough}"
    )


def _weak(run: Run) -> bool:
    found = {r.name: r.value for r in run.results}
    return found["shift"] < publishing.SHIFT or found["cosine"] < publishing.COSINE


def sections(run: Run, *, lead: str = "") -> list[Section]:
    with np.load(run.path / "figures.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    return [
        _cost(run, lead),
        _before_and_after(arrays),
        _psnr(run, arrays),
        _gate(run, arrays),
        _next(run),
        _record(run),
    ]


def _cost(run: Run, lead: str) -> Section:
    found = {r.name: r for r in run.results}
    psnr, shift, cosine = found["psnr"], found["shift"], found["cosine"]
    blocks = [
        report.headline([
            Finding("PSNR, mean", psnr.value, psnr.low, psnr.high, unit="dB", scale=(30, 50), digits=2),
            Finding(
                "shift in other networks", shift.value, shift.low, shift.high, unit="sd", scale=(0, 1), digits=2,
                note=f"at least {publishing.SHIFT:g} is asked for",
            ),
            Finding(
                "cosine with the carriers", cosine.value, cosine.low, cosine.high, unit="", scale=(0, 1), digits=2,
                note=f"at least {publishing.COSINE:g} is asked for",
            ),
        ])
    ]  # fmt: skip
    warned = list(run.document["warnings"])
    if run.document["skipped"]:
        warned.append(
            f"{counted(run.document['skipped'], 'chosen picture was', 'chosen pictures were')} copied without a mark;"
            f" `{run.path / 'skipped.csv'}` has a row with the reason for each."
        )
    if warned:
        blocks.append(report.warning("\n\n".join(warned)))
    return Section("In short", [report.warning(PRIVATE), *blocks], lead)


def _before_and_after(arrays: dict[str, np.ndarray]) -> Section:
    before, after = arrays["before"], arrays["after"]
    change = after.astype(int) - before
    largest = int(np.abs(change).max())
    times = max(1, 127 // max(largest, 1))
    side = f"{before.shape[2]} × {before.shape[1]}"
    shown = {
        "before": before, "after": after,
        f"difference × {times}": (128 + times * change).clip(0, 255).astype(np.uint8),
    }  # fmt: skip
    notes = [f"at most {np.abs(c).max()} grey levels" for c in change]
    caption = (
        f"{counted(len(before), 'marked picture')}, drawn by lot, before and after, as the networks see them ({side} pixels). Right: after"
        f" minus before, {times} times as strong; mid-grey is no change."
    )
    return Section(
        "Before and after",
        [figures.versions(shown, titles=arrays["file"].tolist(), notes=notes, caption=caption)],
        "Can you see it? Look at flat ground, skies and paper: there a mark shows first.",
    )


def _psnr(run: Run, arrays: dict[str, np.ndarray]) -> Section:
    asked, psnr = run.settings["psnr"], arrays["psnr"]
    changed = psnr[np.isfinite(psnr)]
    drawing = figures.histogram(
        changed, name=counted(len(changed), "marked picture"), xlabel="PSNR, dB (more is nearer to the original)",
        threshold=(f"at least {asked:g} asked for", asked),
    )  # fmt: skip
    caption = (
        "Peak signal to noise of each marked picture, measured on the saved file, read again, against the original."
    )
    alt = f"Histogram of {counted(len(changed), 'value')} from {changed.min():.2f} to {changed.max():.2f} dB; {asked:g} is asked for."
    found = {r.name: r for r in run.results}
    lines = [line for line in publishing.marks(run) if line["psnr"]]
    worst = sorted(lines, key=lambda line: float(line["ssim"]))[:10]
    table = report.table(
        ["file", "PSNR", "SSIM", "levels"],
        [(line["file"], *(f"{float(line[name]):.{digits}f}" for name, digits in (("psnr", 2), ("ssim", 4), ("max_delta", 0)))) for line in worst],
        "The ten that lost most by SSIM: look at these first. PSNR in dB; the largest change in grey levels of 255.",
    )  # fmt: skip
    rows = {
        "SSIM": amount(found["ssim"].value, found["ssim"].low, found["ssim"].high, digits=4),
        "Largest change": amount(found["max_delta"].value, found["max_delta"].low, found["max_delta"].high, digits=1)
        + f" grey levels of 255 on average, at most {run.settings['max_delta']:g} allowed",
    }
    notes = Counter(note for line in lines for note in line["notes"].split("; ") if note)
    blocks = [
        report.figure(drawing, caption=caption, alt=alt),
        report.facts(rows),
        report.details("The most changed", table),
    ]
    if notes:
        kinds = report.table(["what else the saving changed", "pictures"], notes.most_common(), "Notes of the saving.")
        blocks.append(report.details("What else the saving changed", kinds))
    return Section("How much each picture changed", blocks)


def _gate(run: Run, arrays: dict[str, np.ndarray]) -> Section:
    shift, cosine = arrays["shift"], arrays["cosine"]
    # runs that were made before networks were named
    names = arrays["network"].tolist() if "network" in arrays else [f"network {i + 1}" for i in range(len(shift))]
    rows = [(name, amount(s, digits=2), amount(c, digits=2)) for name, s, c in zip(names, shift, cosine, strict=True)]
    rows += [
        ("mean", amount(shift.mean(), digits=2), amount(cosine.mean(), digits=2)),
        ("asked for", amount(publishing.SHIFT, digits=2), amount(publishing.COSINE, digits=2)),
    ]
    caption = (
        "Shift: how far the marks move a picture along its carrier, in standard deviations within a class. Cosine: how well the"
        " mean move of a class points along its carrier, mean over classes."
    )
    text = (
        "The mark is weak where it counts: allow a lower `--psnr`, use more steps, or commit anew with better markers, before"
        " anything is published."
        if _weak(run)
        else "What moves networks that never saw the marks being made, a stranger's network can learn from."
    )
    look = counted(len(shift), "clean network that took no part looks", "clean networks that took no part look")
    return Section(
        "Will it be learned?",
        [report.table(["network", "shift, sd", "cosine"], rows, caption), report.prose(text)],
        f"The gate before publishing: {look} at the saved files.",
    )


def _next(run: Run) -> Section:
    settings, papers = run.settings, run.path.parent.parent
    key, out = papers.with_suffix(".key"), run.resolved["out"]
    key = key if key.exists() else "KEY"
    recipient = "" if settings["recipient"] == "public" else f" --recipient {shlex.quote(settings['recipient'])}"
    lines = (
        f"edubba trace seal {shlex.quote(str(out))} --key {shlex.quote(str(key))}{recipient}",
        f"edubba trace test SUSPECT --key {shlex.quote(str(key))}{recipient} -o evidence/",
    )
    text = (
        "Seal the copy, have the seal dated (send `seal.tsq` to a timestamping authority, or publish the file), and only then"
        " publish the pictures. From then on change none of them. The unmarked originals of the marked pictures must not get"
        " out: with both, the mark can be taken off.\n\nOnce there is a suspect:"
    )
    return Section("What comes next", [report.code(lines[0]), report.prose(text), report.code(lines[1])])


def _record(run: Run) -> Section:
    resolved = run.resolved
    versions = ", ".join(f"{n} {resolved[n]}" for n in ("edubba", "python", "torch", "numpy") if n in resolved)
    rows = {
        "Originals": run.settings["source"],
        "Copy": resolved["out"],
        "A row for each": run.path / "marks.csv",
        "Begun": resolved["created"].replace("T", " "),
        "Machine": resolved["machine"],
        "Versions": versions,
        "Seed": f"{run.settings['seed']}, of the crops in the loop",
        "Marked": {
            "hardest": "of every class the pictures that the committed references find hardest, never a held-out one",
            "random": "pictures drawn by the key, as many of every class, never a held-out one",
        }[run.settings.get("which", "random")],
    }
    settings = (run.path / "spec.toml").read_text(encoding="utf-8").strip()
    blocks = [
        report.facts(rows),
        report.code(run.results[0].command),
        report.details("All settings", report.code(settings)),
    ]
    return Section("The record", blocks, "With which settings, on which machine, and how to do it again.")
