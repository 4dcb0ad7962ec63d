"""The page of a test, drawn from the evidence alone."""

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from edubba.core import report, runs, stats
from edubba.core.printing import counted
from edubba.core.report import Finding, Section, amount, figures
from edubba.trace import commitments, evidence, loss_gap, publishing, timestamps


def lead(document: dict[str, Any]) -> str:
    """The claim, its figures, and what it does not say."""
    main, decoys = document["figures"]["primary"], document["figures"]["decoys"]
    effect = (
        f"The cosine between what its answers lean towards and the key is {_cosine(main)} (95 % interval over the pictures"
        f" asked about). {_of_decoys(decoys)}"
    )
    return f"{evidence.words(document)}\n\n{effect}\n\n{evidence.LIMITS}"


def _of_decoys(decoys: dict[str, Any]) -> str:
    agree = counted(decoys["as_high"], "agrees", "agree") if decoys["as_high"] else "none agree"
    return f"Of {decoys['n']:,} keys that nobody chose, {agree} at least as well."


def _cosine(row: dict[str, Any]) -> str:
    return amount(row["cosine"], row.get("low"), row.get("high"), digits=3)


def _p(log10_p: float) -> str:
    """A chance in a table cell, never smaller than what is claimed."""
    return evidence.chance(log10_p).removeprefix("p ").removeprefix("= ")


def sections(path: Path, document: dict[str, Any], *, lead: str = "") -> list[Section]:
    with np.load(path / "arrays.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    commitment, seal = (commitments.read(path / f"{name}.json") for name in ("commitment", "seal"))
    return [
        _answer(document, lead),
        _decoys(document, commitment, arrays),
        *([_controls(document)] if document["figures"]["controls"] else []),
        _others(document),
        _one_by_one(document, arrays),
        *_loss_gap(path, document),
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
    least = needed(alpha / keys, d)
    clean = [row["cosine"] for row in document["figures"]["controls"]]
    drawing = figures.histogram(
        np.array(found["cosines"]), name=f"{found['n']:,} decoy keys", xlabel="cosine with the key",
        law=("exact law", lambda x: density(x, d)), points=("clean networks", clean) if clean else None,
        marks={f"this model {_cosine(main | {'low': None})}": (main["cosine"], main["low"], main["high"])},
        threshold=(f"named from {amount(least, digits=3)} on", least),
    )  # fmt: skip
    caption = (
        f"How well {found['n']:,} keys from a public seed agree with the same answers (bars), and the law that all keys"
        f" follow which had no part in the model's training (line: cosine in {d} dimensions, exact for any model). The owner's"
        " key: solid line, its 95 % interval shaded. Diamonds: the owner's key with networks that never saw a mark."
    )
    alt = (
        f"Histogram of {found['n']} decoy cosines around zero, standard deviation {np.std(found['cosines']):.3f}; the model's"
        f" {main['cosine']:.3f}, named from {least:.3f} on."
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
        "Asked about": f"{counted(len(arrays['y']), 'held-out picture')}, {counted(_questions(arrays), 'pushed one')}",
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


def density(x: np.ndarray, d: int) -> np.ndarray:
    """Density of the cosine of a random direction of d dimensions."""
    return np.clip(1 - x**2, 0, None) ** ((d - 3) / 2) / math.exp(special.betaln(0.5, (d - 1) / 2))


def needed(p: float, d: int) -> float:
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
    n = counted(len(controls), "network that never saw a mark was", "networks that never saw a mark were")
    lead = f"{n} named in the first commitment, before there was a key. "
    lead += (
        f"As it should be, none of them reaches p = {alpha:g}."
        if not named
        else f"{counted(len(named), 'of them reaches', 'of them reach')} p = {alpha:g} all the same ({', '.join(named)});"
        f" {amount(alpha * len(controls), digits=2)} are expected by chance."
    )
    return Section("The same key on clean models", [report.table(["network", "cosine", "p"], rows, caption)], lead)


def _others(document: dict[str, Any]) -> Section:
    rows = [
        (row["name"], None if row["cosine"] is None else _cosine(row), amount(row["log10_p"], digits=2), amount(row["log10_p_holm"], digits=2))
        for row in document["figures"]["tests"]
    ]  # fmt: skip
    caption = (
        f"log10 p: −2 is one in a hundred. Adjusted, after Holm: the smallest p of this table is multiplied by {len(rows)}, the"
        f" number of its tests, the next by {len(rows) - 1} and so on, none below the one before, so that an adjusted p of 1 % or"
        " less is met anywhere in the table in 1 % of cases at most; the number of keys is not in it. The paper's: a cosine for each class, combined as in radioactive data (Sablayrolles et al. 2020)."
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
        f"The bound reaches {_p(math.log10(alpha))} after {reached[0] + 1} of {counted(r, 'direction')}."
        if len(reached)
        else f"The bound stays above {_p(math.log10(alpha))} through all {counted(r, 'direction')}."
    )
    caption = (
        f"Each direction costs {counted(per, 'question')}: pictures pushed forth and back along it. For every class the sign of"
        " the change, references fitted out, is held against a coin of the key; the bound on p holds after any coin. The"
        " references are fitted out over the answers to all directions at once, so it is computed after all answers are in:"
        " the curve says how the coins fell in their order, not how few questions would have done."
    )
    levels = {f"{_p(math.log10(alpha))}: {100 * settings['alpha']:g} % over {settings['keys_committed']} keys": math.log10(alpha)}  # fmt: skip
    drawing = figures.steps(bound, xlabel="directions asked", ylabel="log10 of the bound on p", levels=levels)
    alt = f"The bound on p falls from 1 to {_p(float(bound[-1]))} over {r} directions."
    return Section("One question after another", [report.figure(drawing, caption=caption, alt=alt)], when)


def _loss_gap(path: Path, document: dict[str, Any]) -> list[Section]:
    found = loss_gap.read(path)
    if found is None:
        return []
    own, clean = found["suspect"], found["references"]
    labels = document["suspect"]["labels_only"]
    what, unit = ("share named wrongly", "") if labels else ("loss (cross-entropy, nats)", ", nats")
    rows = {"this model": [(own, None, None), None]}
    rows |= {name: [None, (gap, None, None)] for name, gap in clean.items()}
    series = ["this model", "clean networks"] if clean else ["this model"]
    drawing = figures.dots(rows, xlabel=f"marked minus original{unit}", series=series, line=0.0)
    said = f"This model: {amount(own, digits=4)}"
    if clean:
        said += f"; clean networks: {amount(min(clean.values()), digits=4)} to {amount(max(clean.values()), digits=4)}"
    caption = (
        f"For each network the {what}, mean over {counted(found['pictures'], 'marked picture')}, minus the mean over their"
        f" originals; left of zero the marked ones are easier for it. {said}."
    )
    text = (
        "Nobody knows what the gap would be had this model not learned from the marks, and a few clean networks do not"
        " tell. `edubba trace verify` does not read it: it lies beside the evidence in"
        f" `{loss_gap.FILE}`, in means over all these pictures, which do not tell which pictures are marked."
    )
    return [
        Section(
            "The loss gap, with no guaranteed error rate",
            [report.figure(drawing, caption=caption, alt=f"{said}."), report.prose(text)],
            "Are the marked pictures easier for this model than their originals? Clean networks show such a gap too, it has no"
            " null, and it decides nothing.",
        )
    ]


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
        "Names rightly": f"{accuracy} of {counted(len(true), 'held-out picture')}",
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
    rows = {"Marked": f"{seal['marked']:,} of {counted(seal['files'], 'file')} of the copy"}
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
