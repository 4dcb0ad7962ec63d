"""`mark` and `seal`: the copy that goes out, and the second commitment to it."""

import csv
import io
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from edubba.core import files, images, progress, runs, stats, streams, train
from edubba.core.errors import UserError
from edubba.core.images import Pictures, Skipped
from edubba.core.printing import counted
from edubba.core.runs import Run
from edubba.trace import commitments, keys, markers, marking, owner, saving, suspects, timestamps
from edubba.trace.owner import Papers
from edubba.trace.spec import Mark

COLUMNS = ("file", "class", "psnr", "psnr_resaved", "ssim", "max_delta", "scale", "notes")
SHIFT, COSINE = 0.4, 0.55
"""what a mark must move a network that took no part in it, before anything is published"""


def mark(source: Any, *, key: str | Path, out: str | Path, spec: Mark = Mark()) -> Run:
    """Make the copy of one recipient: some pictures carry the mark, all other files are copied byte for byte.

    Parameters
    ----------
    source
        The folder that was committed to, unchanged.
    key
        The key file; its papers lie beside it.
    out
        Folder to make. The same call goes on with an unfinished one.
    spec
        See `Mark`.

    Returns
    -------
    The run in the owner's papers: marks.csv has a row a marked picture, results the mean PSNR, SSIM, and how far
    networks that took no part are moved.

    Raises
    ------
    UserError
        The folder is not what was committed to, or `out` holds something else.
    """
    if not 0 < spec.share <= 1:
        raise UserError(f"--share {spec.share:g}: a share above 0 and up to 1 is needed")
    if spec.steps < 1 or spec.batch_size < 1:
        raise UserError(f"--steps {spec.steps} --batch-size {spec.batch_size}: at least 1 is needed")
    kept, out = owner.read(key), Path(out)
    sub_key = kept.key.sub_key(spec.recipient, len(kept.classes))
    folder = _same_folder(source, kept)
    if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
        raise UserError(f"{out} lies in {folder}: choose a folder elsewhere with -o")
    pictures = owner.labelled(images.open(folder, size=kept.size))
    number = wanted(pictures, kept, spec)
    copy = kept.copy(spec.recipient)
    if not (copy / "spec.toml").exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder: choose another one with -o")
    run = runs.open(copy, spec, verb="trace.mark", source=str(folder), fingerprint=pictures.fingerprint)
    with closing(run):
        place = run.resolve(out=str(out.resolve()))["out"]
        if place != str(out.resolve()):
            raise UserError(
                f"the copy of {spec.recipient!r} goes to {place}: give that folder with -o, or delete {copy} to begin anew"
            )
        if run.done:
            if not out.is_dir():
                raise UserError(f"the copy made in {out} is gone: bring it back, or delete {copy} to make it again")
            return run
        train.use_threads(spec.threads)
        chosen = run.path / "chosen.npz"
        if not chosen.exists():  # written once: another machine's last bits could order the pictures otherwise
            loss = hardness(pictures, kept) if spec.which == "hardest" else None
            files.write_npz(chosen, {"rows": choose(pictures, kept, number, sub_key, loss=loss)})
        with np.load(chosen) as stored:
            some = pictures.take(stored["rows"])
        assert some.label is not None
        y = np.searchsorted(kept.classes, some.label)
        carriers = sub_key.carriers(len(kept.coordinates.sd))
        directions = carriers / np.linalg.norm(carriers, axis=1, keepdims=True)
        files.remove_parts(out)  # of a call that was killed: hidden, so in no list of what goes out, and yet published
        _write_marked(run, folder, out, some, y, directions, kept, spec)
        skipped = _copy_rest(folder, out, run)
        _finish(run, some, y, directions, kept, folder, out, skipped, spec)
    return run


def _same_folder(source: Any, kept: Papers) -> Path:
    folder = Path(source)
    sealed = json.loads((kept.path / "originals.json").read_text())
    now = commitments.hashes(commitments.files_of(folder))
    different = sorted(name for name in sealed.keys() | now.keys() if sealed.get(name) != now.get(name))
    if different:
        raise UserError(
            f"{folder} is not what was committed on {kept.commitment['created'][:10]}:"
            f" {counted(len(different), 'file differs', 'files differ')} (first {different[0]}); bring it back, or commit anew with another key"
        )
    return folder


def wanted(pictures: Pictures, kept: Papers, spec: Mark) -> Int64[np.ndarray, "k"]:
    """How many pictures of each class are to be marked: the share of all, never a held-out one."""
    assert pictures.label is not None
    free = ~np.isin(pictures.hash.astype(str), kept.hash)
    number = []
    for name in kept.classes:
        own = pictures.label == name
        number.append(min(round(spec.share * own.sum()), int((own & free).sum())))
        if not number[-1]:
            raise UserError(f"no picture of {name!r}, which has {own.sum()}, would be marked: raise --share")
    return np.array(number)


def hardness(pictures: Pictures, kept: Papers) -> Float64[np.ndarray, "n"]:
    """Mean loss of the committed references on each picture: how much a network has left to learn from it."""
    assert pictures.label is not None
    y = np.searchsorted(kept.classes, pictures.label)
    loss = []
    for path in kept.networks("reference").values():
        network = suspects.load(path)
        column = np.array([network.classes.index(name) for name in kept.classes])[y]
        loss.append(-network.log_probabilities(pictures)[np.arange(len(y)), column])
    return np.mean(loss, axis=0)


def choose(
    pictures: Pictures, kept: Papers, number: Int64[np.ndarray, "k"], sub_key: keys.SubKey,
    *, loss: Float64[np.ndarray, "n"] | None = None,
) -> Int64[np.ndarray, "m"]:  # fmt: skip
    """Rows to be marked, so many of each class: the hardest pictures, or any in the key's order.

    A network learns most from what it gets wrong: the same mark in the hardest tenth of the pictures is found with
    twice the z of one in any tenth. The test's error rate does not depend on which pictures are marked.

    Parameters
    ----------
    number
        Of each class, see `wanted`.
    loss
        How hard each picture is; None: in the key's order.
    """
    assert pictures.label is not None
    free = ~np.isin(pictures.hash.astype(str), kept.hash)
    if loss is None:
        loss = -keys.uniform(keys.derive(bytes.fromhex(sub_key.coin), "which"), len(pictures))
    order = np.argsort(-loss, kind="stable")
    chosen = [
        order[(pictures.label[order] == name) & free[order]][:n] for name, n in zip(kept.classes, number, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _write_marked(
    run: Run, folder: Path, out: Path, some: Pictures, y: np.ndarray, directions: np.ndarray, kept: Papers, spec: Mark
) -> None:
    """Mark batch by batch; a batch whose rows are written is not done again."""
    networks = [markers.load(path) for path in kept.networks("marker").values()]
    readouts = markers.readouts(networks, kept.coordinates)
    n = len(some)
    with progress.bar("marking", n, unit="pictures") as show:
        for start in range(0, n, spec.batch_size):
            rows = run.path / "rows" / f"{start:08d}.csv"
            batch = slice(start, min(start + spec.batch_size, n))
            if not rows.exists():
                part = some.take(batch)
                assert part.label is not None
                delta = marking.push(
                    readouts, np.array(part.x[:]), directions[y[batch]], index=np.arange(n)[batch],
                    shape_hw=part.shape_hw, psnr=spec.psnr, max_delta=spec.max_delta, steps=spec.steps, seed=spec.seed,
                )  # fmt: skip
                lines = [
                    _save(folder, out, name, label, change, spec)
                    for name, label, change in zip(part.file.tolist(), part.label.tolist(), delta, strict=True)
                ]
                files.write(rows, _table(lines))
            show(batch.stop)


def _save(folder: Path, out: Path, name: str, label: str, delta: np.ndarray, spec: Mark) -> dict[str, Any]:
    saved = saving.add((folder / name).read_bytes(), delta, psnr=spec.psnr, max_delta=spec.max_delta)
    if isinstance(saved, saving.Unmarkable):
        return {"file": name, "class": label, "notes": f"not marked: {saved.reason}"}
    if saved.psnr == np.inf:
        why = f"nothing of a mark within {spec.psnr:g} dB is left after rounding: allow a lower --psnr"
        return {"file": name, "class": label, "notes": f"not marked: {why}"}
    files.write(out / name, saved.content)
    numbers = {k: round(float(getattr(saved, k)), 4) for k in ("psnr", "psnr_resaved", "ssim", "max_delta", "scale")}
    return {"file": name, "class": label, **numbers, "notes": "; ".join(saved.notes)}


def _table(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def marks(run: Run) -> list[dict[str, str]]:
    """The rows of marks.csv."""
    with (run.path / "marks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _copy_rest(folder: Path, out: Path, run: Run) -> list[Skipped]:
    """Everything that carries no mark, byte for byte."""
    lines: list[dict[str, str]] = []
    for rows in sorted((run.path / "rows").glob("*.csv")):
        with rows.open(newline="", encoding="utf-8") as file:
            lines += csv.DictReader(file)
    marked = {line["file"] for line in lines if line["psnr"]}
    if not marked:
        raise UserError(
            f"{lines[0]['file']} and all others could not be marked: {lines[0]['notes'].removeprefix('not marked: ')}"
        )
    everything = commitments.files_of(folder)
    with progress.bar("copying the rest", len(everything), unit="files") as show:
        for i, (name, path) in enumerate(everything.items()):
            if name not in marked:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                with files.replacing(out / name) as part:
                    shutil.copyfile(path, part)
            show(i + 1)
    files.write(run.path / "marks.csv", _table(lines))
    return [Skipped(line["file"], "not-marked", line["notes"]) for line in lines if not line["psnr"]]


def _finish(
    run: Run, some: Pictures, y: np.ndarray, directions: Float64[np.ndarray, "k r"], kept: Papers, folder: Path,
    out: Path, skipped: list[Skipped], spec: Mark,
) -> None:  # fmt: skip
    """The gate: what the saved files do to networks that took no part in the marking."""
    lines = [line for line in marks(run) if line["psnr"]]
    rows = np.flatnonzero(np.isin(some.file.astype(str), [line["file"] for line in lines]))
    before = some.take(rows)
    after = images.open(out, size=kept.size)
    place = {name: i for i, name in enumerate(after.file.tolist())}
    after = after.take(np.array([place[name] for name in before.file.tolist()]))
    run.resolve(marked=len(lines))
    shift, cosine = [], []
    original = images.open(folder, size=kept.size)
    held_out = original.take(owner.held_out_rows(original, kept))
    references = kept.networks("reference")
    for path in references.values():
        network = [markers.load(path)]
        witness = markers.Witness(markers.features(network, held_out.x)[0], kept.held_out, kept.y)
        a, b = (markers.features(network, p.x)[0] for p in (before, after))
        gate = witness.gate(a, b, y[rows], directions)
        shift.append(gate.shift)
        cosine.append(gate.cosine)
    said = []
    if np.mean(shift) < SHIFT or np.mean(cosine) < COSINE:
        said.append(
            f"the mark moves networks that took no part by {np.mean(shift):.2f} standard deviations with a cosine of"
            f" {np.mean(cosine):.2f}; below {SHIFT} or {COSINE} little of it is learned: allow a lower --psnr, use more"
            " steps or better markers before publishing"
        )

    def made(name: str, values: Any, unit: str = "picture") -> stats.Result:
        values = np.array(values, dtype=float)
        interval = stats.bootstrap(np.mean, values, seed=spec.seed)
        return stats.result(
            name, *interval, method="percentile bootstrap", n=len(values), unit=unit, data=run.settings["source"],
            split="marked", seconds=0.0, seed=spec.seed,
        )  # fmt: skip

    results = [
        made(name, [line[name] for line in lines if line[name] not in ("inf", "nan")])
        for name in ("psnr", "ssim", "max_delta")
    ]
    results += [made("shift", shift, "network"), made("cosine", cosine, "network")]
    shown = np.sort(streams.permutation(spec.seed, "shown", n=len(rows))[:8])
    run.figures(
        before=np.array(before.x[shown]), after=np.array(after.x[shown]), file=before.file[shown].astype(str),
        psnr=np.array([float(line["psnr"]) for line in lines]), shift=np.array(shift), cosine=np.array(cosine),
        network=np.array(list(references)),
    )  # fmt: skip
    if skipped:
        images.write_skipped(run.path / "skipped.csv", skipped)
    sums = commitments.hashes(commitments.files_of(out))
    files.write(run.path / "made.json", json.dumps(sums, indent=0, ensure_ascii=False))
    run.finish(results, choices=[], warnings=said, skipped=len(skipped))


def seal(published: str | Path, *, key: str | Path, recipient: str = "public") -> dict[str, Any]:
    """The second commitment, to what goes out: to be dated before it is published.

    Parameters
    ----------
    published
        The folder that `mark` made.
    key
        The key file.
    recipient
        Whose copy it is.

    Returns
    -------
    The commitment; it is written to the owner's papers, beside a request for a timestamp.

    Raises
    ------
    UserError
        The folder is not what `mark` made, or another was sealed for this recipient.
    """
    kept = owner.read(key)
    copy = kept.copy(recipient)
    if not (copy / "results.json").exists():
        raise UserError(f"nothing was marked for {recipient!r} yet: `edubba trace mark` comes first")
    run = runs.read(copy)
    now = commitments.hashes(commitments.files_of(published))
    lines = [line for line in marks(run) if line["psnr"]]
    made = json.loads((copy / "made.json").read_text())
    odd = sorted(name for name in made.keys() | now.keys() if made.get(name) != now.get(name))
    if odd:
        raise UserError(
            f"{published} is not what was marked for {recipient!r}: {counted(len(odd), 'file is', 'files are')} missing,"
            f" added or changed (first {odd[0]}); mark again, or give the folder {run.resolved['out']}"
        )
    target = copy / "seal.json"
    if target.exists():
        document = commitments.read(target)
        if json.loads((copy / "published.json").read_text()) != now:
            raise UserError(f"another state of {published} was sealed on {document['created']}: bring that one back")
        return document
    quality = {r.name: f"{r.value:.4f}" for r in run.results}
    document = commitments.second(
        kept.commitment, key=kept.key, recipient=recipient, published=now, twins={}, marked=len(lines), quality=quality
    )
    files.write(copy / "published.json", json.dumps(now, indent=0, ensure_ascii=False))
    timestamps.write_request(commitments.write(target, document))
    return document
