"""The pages of the room, drawn from their folders alone: of a test for anybody, of the marks for the owner."""

import math
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from edubba.core import report, runs, stats
from edubba.core.errors import UserError
from edubba.core.report import Finding, Section, amount, figures
from edubba.core.runs import Run
from edubba.trace import commitments, evidence, publishing, timestamps

PRIVATE = (
    "This page is private and belongs to the owner's papers: it shows which pictures are marked and what the mark looks like."
    " Do not publish it, and do not hand it over with the copy."
)


def build(path: str | Path) -> Path:
    """Draw `report.html` in a folder of evidence, or in the owner's papers about one recipient's copy.

    Raises
    ------
    UserError
        The folder is neither, or its run is not finished.
    """
    path = Path(path)
    if (path / "evidence.json").exists():
        document = evidence.read(path)
        title = f"Was this model trained on the copy for {document['recipient']}?"
        lead, parts = _test_lead(document), _test_sections(path, document)
        made = f"edubba {document['edubba']}, tested on {document['created'][:10]}."
        footer = f"{made}\n\nDrawn from the evidence alone; the page needs no network and holds no picture."
    else:
        run = _marking(path)
        title = f"What the marks in the copy for {run.settings['recipient']} change"
        lead, parts = _mark_lead(run), _mark_sections(run)
        made = f"edubba {run.resolved['edubba']}, marked on {run.resolved['created'][:10]}."
        footer = f"{made}\n\nPrivate: for the owner alone. Drawn from the owner's papers; the page needs no network."
    return report.write(path / "report.html", report.page(title, lead=lead, sections=parts, footer=footer))


def sections(path: str | Path) -> list[Section]:
    """The chapters about a test or about marks, the answer first, for a page that has others too."""
    path = Path(path)
    if (path / "evidence.json").exists():
        document = evidence.read(path)
        return _test_sections(path, document, lead=_test_lead(document))
    run = _marking(path)
    return _mark_sections(run, lead=_mark_lead(run))


# ---- the page of a test


def _test_lead(document: dict[str, Any]) -> str:
    """The claim, its figures, and what it does not say."""
    main, decoys = document["figures"]["primary"], document["figures"]["decoys"]
    effect = (
        f"The cosine between what its answers lean towards and the key is {_cosine(main)} (95 % interval over the pictures"
        f" asked about). {_of_decoys(decoys)}"
    )
    return f"{evidence.words(document)}\n\n{effect}\n\n{evidence.LIMITS}"


def _of_decoys(decoys: dict[str, Any]) -> str:
    return f"Of {decoys['n']:,} keys that nobody chose, {decoys['as_high'] or 'none'} agree{'s' * (decoys['as_high'] == 1)} at least as well."


def _cosine(row: dict[str, Any]) -> str:
    return amount(row["cosine"], row.get("low"), row.get("high"), digits=3)


def _p(log10_p: float) -> str:
    """A chance in a table cell, never smaller than what is claimed."""
    return evidence.chance(log10_p).removeprefix("p ").removeprefix("= ")


def _test_sections(path: Path, document: dict[str, Any], *, lead: str = "") -> list[Section]:
    with np.load(path / "arrays.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    commitment, seal = (commitments.read(path / f"{name}.json") for name in ("commitment", "seal"))
    return [
        _answer(document, lead),
        _decoys(document, commitment, arrays),
        *([_controls(document)] if document["figures"]["controls"] else []),
        _others(document),
        _one_by_one(document, arrays),
        _suspect(document, commitment, arrays),
        _quality(seal),
        _dates(path, commitment, seal),
        _again(path, document, commitment, seal),
    ]


def _answer(document: dict[str, Any], lead: str) -> Section:
    main, decoys = document["figures"]["primary"], document["figures"]["decoys"]
    log10_p = main["log10_p_adjusted"]
    capped = log10_p <= evidence.SMALLEST
    note = evidence.chance(log10_p)
    if capped:
        note += f"; computed {amount(log10_p, digits=1)}, but mistakes of people are likelier than that"
    return Section(
        "In short",
        [
            report.headline([
                Finding("cosine with the key", main["cosine"], main["low"], main["high"], unit="", digits=3, scale=(-1, 1)),
                Finding(
                    "log10 of p, below" if capped else "log10 of p", max(log10_p, evidence.SMALLEST), None, None, unit="",
                    digits=1 if capped else 2, scale=(evidence.SMALLEST, 0), note=note,
                ),
                Finding(
                    "decoy keys that agree as well", decoys["as_high"], None, None, unit=f"of {decoys['n']:,}", digits=0,
                    scale=(0, decoys["n"]), note="by chance every number is as likely",
                ),
            ]),
            *([report.warning("\n\n".join(document["warnings"]))] if document["warnings"] else []),
        ],
        lead,
    )  # fmt: skip


def _decoys(document: dict[str, Any], commitment: dict[str, Any], arrays: dict[str, np.ndarray]) -> Section:
    main, settings, found = document["figures"]["primary"], document["settings"], document["figures"]["decoys"]
    d = len(document["classes"]) * arrays["coordinates"].shape[1]
    keys, alpha = main["keys"], settings["alpha"]
    needed = _needed(alpha / keys, d)
    clean = [row["cosine"] for row in document["figures"]["controls"]]
    drawing = figures.histogram(
        np.array(found["cosines"]), name=f"{found['n']:,} decoy keys", xlabel="cosine with the key",
        law=("exact law", lambda x: _density(x, d)), points=("clean networks", clean) if clean else None,
        marks={f"this model {_cosine(main | {'low': None})}": (main["cosine"], main["low"], main["high"])},
        threshold=(f"named from {amount(needed, digits=3)} on", needed),
    )  # fmt: skip
    caption = (
        f"How well {found['n']:,} keys from a public seed agree with the same answers (bars), and the law that all keys"
        f" follow which had no part in the model's training (line: cosine in {d} dimensions, exact for any model). The owner's"
        " key: solid line, its 95 % interval shaded. Diamonds: the owner's key with networks that never saw a mark."
    )
    alt = (
        f"Histogram of {found['n']} decoy cosines around zero, standard deviation {np.std(found['cosines']):.3f}; the model's"
        f" {main['cosine']:.3f}, named from {needed:.3f} on."
    )
    rows = {
        "Test": f"{main['name']}, fixed in the first commitment",
        "Cosine": _cosine(main),
        "p": f"{_p(main['log10_p'])} for this key alone (log10 p {amount(main['log10_p'], digits=2)})",
        "Keys": f"{keys} were committed to, so p is multiplied by {keys}: {_p(main['log10_p_adjusted'])}"
        f" (log10 p {amount(main['log10_p_adjusted'], digits=2)})",
        "Error rate": f"{100 * alpha:g} %: so many models made without the key are named at most",
        "Law": f"{commitment['configuration']['law']}: {len(document['classes'])} classes × {arrays['coordinates'].shape[1]}"
        f" directions = {d}",
        "Asked about": f"{len(arrays['y']):,} held-out pictures, {_questions(arrays):,} pushed ones",
    }
    text = (
        "A suspect's answers say in which directions it looks for each class. `rows` are a regression of its answers to"
        " held-out pictures on the directions that the markers share; `probes` are the change of its answers when pictures are"
        " pushed forth and back along these directions; `both` is the sum of the two. What clean networks share is fitted out"
        " first. None of this uses the key."
    )
    return Section(
        "The key among decoys",
        [report.figure(drawing, caption=caption, alt=alt), report.facts(rows), report.prose(text)],
        "A key that had nothing to do with the model agrees with it by chance alone. How much that is can be seen.",
    )


def _density(x: np.ndarray, d: int) -> np.ndarray:
    """Density of the cosine of a random direction of d dimensions."""
    return np.clip(1 - x**2, 0, None) ** ((d - 3) / 2) / math.exp(special.betaln(0.5, (d - 1) / 2))


def _needed(p: float, d: int) -> float:
    """The cosine in d dimensions whose chance is p, which is at most a half."""
    return math.sqrt(special.betainccinv(0.5, (d - 1) / 2, min(1.0, 2 * p)))


def _questions(arrays: dict[str, np.ndarray]) -> int:
    return math.prod(arrays["suspect_pushed"].shape[:3])


def _controls(document: dict[str, Any]) -> Section:
    controls, settings = document["figures"]["controls"], document["settings"]
    alpha = settings["alpha"]
    named = [row["name"] for row in controls if row["log10_p"] <= math.log10(alpha)]
    rows = [(row["name"], _cosine(row), _p(row["log10_p"])) for row in controls]
    caption = (
        "The owner's key with each clean network of the first commitment, the others fitted out; p for this key alone, not"
        " adjusted."
    )
    lead = (
        f"{len(controls)} networks that never saw a mark were named in the first commitment, before there was a key. "
    )
    lead += (
        f"As it should be, none of them reaches p = {alpha:g}."
        if not named
        else f"{len(named)} of them reach{'es' * (len(named) == 1)} p = {alpha:g} all the same ({', '.join(named)});"
        f" {amount(alpha * len(controls), digits=2)} are expected by chance."
    )
    return Section("The same key on clean models", [report.table(["network", "cosine", "p"], rows, caption)], lead)


def _others(document: dict[str, Any]) -> Section:
    rows = [
        (row["name"], None if row["cosine"] is None else _cosine(row), amount(row["log10_p"], digits=2), amount(row["log10_p_holm"], digits=2))
        for row in document["figures"]["tests"]
    ]  # fmt: skip
    caption = (
        f"log10 p: −2 is one in a hundred. Adjusted: by Holm for there being {len(rows)} tests in this table, not for the number"
        " of keys. The paper's: a cosine for each class, combined as in radioactive data (Sablayrolles et al. 2020)."
    )
    return Section(
        "Other tests",
        [report.table(["test", "cosine", "log10 p", "adjusted"], rows, caption)],
        "None of these decides: one test was fixed before marking, and choosing the best of several afterwards proves nothing.",
    )


def _one_by_one(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Section:
    bound, settings = np.array(document["figures"]["sequential_log10_p"]), document["settings"]
    per, r = _questions(arrays) // len(bound), len(bound)
    alpha = settings["alpha"] / document["figures"]["primary"]["keys"]
    reached = np.flatnonzero(bound <= math.log10(alpha))
    when = (
        f"The bound reaches {_p(math.log10(alpha))} after {reached[0] + 1} of {r} directions, {(reached[0] + 1) * per:,}"
        " questions."
        if len(reached)
        else f"The bound stays above {_p(math.log10(alpha))} through all {r} directions, {_questions(arrays):,} questions."
    )
    caption = (
        f"Each direction costs {per} questions: pictures pushed forth and back along it. For every class the sign of the"
        " change is held against a coin of the key; the bound on p may be looked at after every coin. Computed from all"
        " answers, as if they had come one after the other."
    )
    levels = {f"{_p(math.log10(alpha))}: {100 * settings['alpha']:g} % over {settings['keys_committed']} keys": math.log10(alpha)}  # fmt: skip
    drawing = figures.steps(bound, xlabel="directions asked", ylabel="log10 of the bound on p", levels=levels)
    alt = f"The bound on p falls from 1 to {_p(float(bound[-1]))} over {r} directions."
    return Section("One question after another", [report.figure(drawing, caption=caption, alt=alt)], when)


def _suspect(document: dict[str, Any], commitment: dict[str, Any], arrays: dict[str, np.ndarray]) -> Section:
    about, classes = document["suspect"], document["classes"]
    kind = {"bundle": "model bundle", "onnx": "ONNX file", "code": "code"}[about["kind"]]
    colour = {1: "grey", 3: "colour"}[about["channels"]]
    asked = np.isin(arrays["y"], arrays["classes"])
    true = arrays["y"][asked]

    def right(name: str) -> tuple[int, int]:
        said = arrays["classes"][arrays[f"{name}_held_out"][asked].argmax(1)]
        return int((said == true).sum()), len(true)

    clean = [100 * np.divide(*right(row["name"])) for row in document["figures"]["controls"]]
    share, low, high = 100 * np.array(stats.clopper_pearson(*right("suspect")), dtype=float)
    accuracy = amount(share, low, high, unit="%")
    rows = {
        "Name": about["name"],
        "Kind": kind,
        "SHA-256": about["sha256"],
        "Takes": f"{about['size']} × {about['size']} pixels, {colour}",
        "Used": "the first-named class alone" if about["labels_only"] else "the probability of every class",
        "Classes": f"{len(classes)} of the key's {len(commitment['classes'])} in common",
        "Names rightly": f"{accuracy} of {len(true):,} held-out pictures",
    }
    if clean:
        rows["Clean networks"] = f"{amount(min(clean))} to {amount(max(clean), unit='%')} of the same pictures"
    if document["further_references"]:
        rows["Further references"] = ", ".join(document["further_references"])
    text = (
        "Held-out pictures are those that carry no mark. They are published with the others, so a model trained on the copy may"
        " have learned from them: how many it names rightly is no measure of its quality. A model that knows few of them shows"
        " little of any mark."
    )
    missing = sorted(set(commitment["classes"]) - set(classes))
    listed = f"In common: {', '.join(classes)}." + (f"\n\nNot known to it: {', '.join(missing)}." if missing else "")
    return Section(
        "The model that was tested", [report.facts(rows), report.details("The classes", report.prose(listed)), report.prose(text)]
    )  # fmt: skip


def _quality(seal: dict[str, Any]) -> Section:
    quality = {name: float(value) for name, value in seal["quality"].items()}
    asked = {"shift": publishing.SHIFT, "cosine": publishing.COSINE}
    names = {
        "psnr": ("PSNR", "dB", 2, "mean over marked pictures, on the saved files"),
        "ssim": ("SSIM", "", 4, "mean; 1: the same picture"),
        "max_delta": ("Largest change", "grey levels of 255", 1, "mean over marked pictures"),
        "shift": ("Shift", "standard deviations", 2, f"along the carriers, in networks that took no part; at least {asked['shift']:g} is asked for"),
        "cosine": ("Direction", "", 2, f"cosine of that shift with the carriers; at least {asked['cosine']:g} is asked for"),
    }  # fmt: skip
    rows = {"Marked": f"{seal['marked']:,} of {seal['files']:,} files of the copy"}
    rows |= {
        words: f"{amount(quality[name], unit=unit, digits=digits)} ({what})"
        for name, (words, unit, digits, what) in names.items()
        if name in quality
    }
    weak = [name for name, least in asked.items() if quality.get(name, math.inf) < least]
    blocks = [report.facts(rows)]
    if weak:
        blocks.append(
            report.prose(
                "The marks are weaker than asked for, so little of them is learned. That costs power, never truth: a weak mark"
                " makes no model look guilty."
            )
        )
    return Section("The marks", blocks, "As measured before the copy went out, and fixed in the second commitment.")


def _dates(path: Path, commitment: dict[str, Any], seal: dict[str, Any]) -> Section:
    blocks, dated = [], 0
    for name, document, what in (
        ("commitment", commitment, "secret, sub-keys, classes, rules of the test, originals, networks"),
        ("seal", seal, "the files of this copy, and the first commitment"),
    ):
        stamp = timestamps.check_beside(path / f"{name}.json")
        said = "none"
        if stamp is not None:
            dated += stamp.time is not None and stamp.verdict != timestamps.WRONG
            when = [f"{stamp.time:%Y-%m-%d %H:%M} UTC"] if stamp.time else []
            who = [stamp.authority] if stamp.authority else []
            said = ", ".join([*when, *who, f"{stamp.verdict}: {stamp.why}"])
        rows = {
            "File": f"{name}.json", "Fixes": what, "Says it is of": f"{_time(document['created'])}, {document['stage']}",
            "Timestamp": said, "SHA-256": commitments.digest(document),
        }  # fmt: skip
        blocks.append(report.facts(rows))
    if dated < 2:
        without = "Neither commitment has" if not dated else "One commitment does not have"
        blocks.insert(
            0,
            report.warning(
                f"{without} a timestamp that dates it. Without one, only what was published elsewhere at the time (these SHA-256,"
                " for instance) shows that the key is older than the model: a file itself can say anything."
            ),
        )
    return Section("The commitments", blocks, "What was fixed, and when: before marking, and before publishing.")


def _time(text: str) -> str:
    return text.replace("T", " ")


def _again(path: Path, document: dict[str, Any], commitment: dict[str, Any], seal: dict[str, Any]) -> Section:
    folder, settings = shlex.quote(f"{path.resolve().name}/"), document["settings"]
    suspect = shlex.quote(str(runs.read(path).settings["source"]))
    allow = " --allow-code" if document["suspect"]["kind"] == "code" else ""
    given = "\\\n    --papers PAPERS/ --published PUBLISHED/ --originals ORIGINALS/"
    lines = "\n".join((
        f"edubba trace verify {folder}",
        f"edubba trace verify {folder} --level binding {given}",
        f"edubba trace verify {folder} --level networks {given} \\\n    --suspect {suspect}{allow}",
    ))  # fmt: skip
    levels = (
        "The first line needs this folder alone and computes every figure again, from the stored answers and the opened key."
        " The second also checks that the published files are the sealed ones and carry marks of this key and no other. The"
        " third also asks all networks again. For the last two the owner hands over the papers without the key, the published"
        " copy and the originals. Exit code 4: it does not hold."
    )
    fixed = commitment["configuration"]["files"]
    hashes = {
        "tested": document["suspect"]["sha256"],
        "answers": f"arrays.npz {document['arrays_sha256']}",
        "first": f"commitment.json {commitments.digest(commitment)}",
        "second": f"seal.json {commitments.digest(seal)}",
        **{Path(name).stem.replace("_", " "): f"{name} {sha256}" for name, sha256 in fixed.items()},
        **{name: f"model.json {sha256}" for name, sha256 in commitment["networks"].items()},
        "decoys' seed": evidence.decoy_seed(seal, document["suspect"]["sha256"]).hex(),
    }
    made = document["machine"]
    rows = {
        "Tested": _time(document["created"]),
        "Machine": made["machine"],
        "Versions": ", ".join(
            f"{name} {made[name]}" for name in ("edubba", "python", "torch", "numpy") if name in made
        ),
        "Seed": f"{settings['seed']} for the interval; the decoys follow from the second commitment and the model's hash",
    }
    return Section(
        "Check it",
        [
            report.code(lines),
            report.prose(levels),
            report.prose("The owner repeats the whole test with the line that made it, and another folder after `-o`:"),
            report.code(runs.read(path).results[0].command),
            report.facts(rows),
            report.details("All hashes (SHA-256)", report.facts(hashes)),
        ],
        "Nothing on this page has to be believed.",
    )


# ---- the page of the marks


def _marking(path: Path) -> Run:
    """The finished run of `trace mark` in a folder."""
    run = runs.read(path)
    if run.verb != "trace.mark":
        raise UserError(
            f"{path} is a run of {run.verb}: a page is drawn of evidence, and of a copy in the owner's papers"
        )
    if not run.done:
        raise UserError(f"{path} is not finished: the same command that began it finishes it")
    return run


def _mark_lead(run: Run) -> str:
    """What was marked, what it costs, whether it will be learned."""
    found = {r.name: r for r in run.results}
    psnr, shift, cosine = found["psnr"], found["shift"], found["cosine"]
    weak = _weak(run)
    enough = (
        "That is less than is asked for: little of it will be learned."
        if weak
        else "That is as much as is asked for before publishing."
    )
    return (
        f"{run.resolved['marked']:,} pictures in `{run.resolved['out']}` carry the mark of the copy for"
        f" {run.settings['recipient']}, at {amount(psnr.value, unit='dB')} on average; every other file is the same to the byte."
        f"\n\nNetworks that took no part are moved by {amount(shift.value, shift.low, shift.high, digits=2)} standard deviations along"
        f" the carriers, with a cosine of {amount(cosine.value, cosine.low, cosine.high, digits=2)}. {enough}"
    )


def _weak(run: Run) -> bool:
    found = {r.name: r.value for r in run.results}
    return found["shift"] < publishing.SHIFT or found["cosine"] < publishing.COSINE


def _mark_sections(run: Run, *, lead: str = "") -> list[Section]:
    with np.load(run.path / "figures.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    return [
        _cost(run, lead),
        _before_and_after(arrays),
        _psnr(run, arrays),
        _gate(run, arrays),
        _next(run),
        _mark_record(run),
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
            f"{run.document['skipped']:,} chosen pictures could not be marked and were copied as they are;"
            f" `{run.path / 'skipped.csv'}` names them and the reason."
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
        f"{len(before)} marked pictures, drawn by lot, before and after, as the networks see them ({side} pixels). Right: after"
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
        changed, name=f"{len(changed):,} marked pictures", xlabel="PSNR, dB (more is nearer to the original)",
        threshold=(f"at least {asked:g} asked for", asked),
    )  # fmt: skip
    caption = (
        "Peak signal to noise of each marked picture, measured on the saved file, read again, against the original."
    )
    alt = f"Histogram of {len(changed)} values from {changed.min():.2f} to {changed.max():.2f} dB; {asked:g} is asked for."
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
        counted = report.table(
            ["what else the saving changed", "pictures"], notes.most_common(), "Notes of the saving."
        )
        blocks.append(report.details("What else the saving changed", counted))
    return Section("How much each picture changed", blocks)


def _gate(run: Run, arrays: dict[str, np.ndarray]) -> Section:
    shift, cosine = arrays["shift"], arrays["cosine"]
    rows = [
        (f"network {i + 1}", amount(s, digits=2), amount(c, digits=2))
        for i, (s, c) in enumerate(zip(shift, cosine, strict=True))
    ]
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
    return Section(
        "Will it be learned?",
        [report.table(["network", "shift, sd", "cosine"], rows, caption), report.prose(text)],
        f"The gate before publishing: {len(shift)} clean networks that took no part look at the saved files.",
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


def _mark_record(run: Run) -> Section:
    resolved = run.resolved
    versions = ", ".join(f"{n} {resolved[n]}" for n in ("edubba", "python", "torch", "numpy") if n in resolved)
    rows = {
        "Originals": run.settings["source"],
        "Copy": resolved["out"],
        "A row for each": run.path / "marks.csv",
        "Begun": _time(resolved["created"]),
        "Machine": resolved["machine"],
        "Versions": versions,
        "Seed": f"{run.settings['seed']}, of the crops in the loop; which pictures are marked follows from the key",
    }
    settings = (run.path / "spec.toml").read_text(encoding="utf-8").strip()
    blocks = [
        report.facts(rows),
        report.code(run.results[0].command),
        report.details("All settings", report.code(settings)),
    ]
    return Section("The record", blocks, "With which settings, on which machine, and how to do it again.")
