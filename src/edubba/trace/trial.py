"""`test`: was this model trained on the copy that a recipient got? The verdict, and the evidence that others can check."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from edubba.core import files, images, runs
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.trace import commitments, evidence, loss_gap, owner, suspects
from edubba.trace.evidence import Verdict
from edubba.trace.spec import Test
from edubba.trace.suspects import Suspect


def test(
    suspect: str | Path,
    *,
    key: str | Path,
    out: str | Path,
    spec: Test = Test(),
    held_out: str | Path | None = None,
    allow_code: bool = False,
    classes: Sequence[str] | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Verdict:
    """Ask a model about held-out and about pushed pictures, and compare its answers with a recipient's carriers.

    Parameters
    ----------
    suspect
        A bundle of a classifier, an ONNX file, or `module:attribute`.
    key
        The key file; its papers lie beside it.
    out
        Folder for the evidence. The same call on finished evidence returns its verdict.
    spec
        See `Test`.
    held_out
        Folder where the held-out pictures are now; default: the one that was committed to.
    allow_code, classes, size, mean, std
        As in `suspects.load`.

    Raises
    ------
    UserError
        The copy is not sealed, the suspect cannot be asked, has no two classes in common, or `out` holds another test.
    """
    if spec.decoys < 99:
        raise UserError(f"--decoys {spec.decoys}: at least 99 are needed for a picture of chance")
    kept = owner.read(key)
    copy = kept.copy(spec.recipient)
    if not (copy / "seal.json").exists():
        raise UserError(
            f"the copy of {spec.recipient!r} is not sealed: `edubba trace seal` comes before publishing and testing"
        )
    seal = commitments.read(copy / "seal.json")
    given: dict[str, Any] = {
        "classes": classes and list(classes), "size": size, "mean": mean and list(mean), "std": std and list(std),
    }  # fmt: skip
    model = suspects.load(suspect, allow_code=allow_code, labels_only=spec.labels_only, **given)
    mine, theirs = suspects.common_classes(kept.classes, model.classes)
    if len(mine) < 2:
        raise UserError(
            f"{model.name} and the key have only the class {kept.classes[mine[0]]!r} in common: a test needs two"
        )
    references = {
        name: suspects.load(path, labels_only=spec.labels_only) for name, path in kept.networks("reference").items()
    }
    for i, path in enumerate(spec.references):
        references[f"further-{i}"] = suspects.load(path, allow_code=allow_code, labels_only=spec.labels_only)
    # a suspect that is itself a reference would be fitted out to nothing
    references = {name: network for name, network in references.items() if network.sha256 != model.sha256}
    names = [kept.classes[i] for i in mine]
    columns = {name: _columns(network, names) for name, network in references.items()}
    run = runs.open(
        out, spec, verb="trace.test", source=str(suspect),
        fingerprint=f"{model.sha256}/{commitments.digest(seal)}/{commitments.digest(given)}",
    )  # fmt: skip
    if run.done:
        return evidence.verdict(run.path)
    with closing(run):
        folder = Path(held_out or kept.source)
        if not folder.is_dir():
            raise UserError(f"the held-out pictures are not in {folder}: say where that folder is now with --held-out")
        pictures = images.open(folder, size=kept.size)
        asked = pictures.take(owner.held_out_rows(pictures, kept))
        with np.load(kept.path / "probes.npz") as probes:
            pushed = probes["x"]
        arrays = {
            "coordinates": kept.held_out.astype(np.float32), "y": kept.y, "classes": mine,
            **_answers("suspect", model, asked, pushed, theirs),
        }  # fmt: skip
        for name, network in references.items():
            arrays |= _answers(name, network, asked, pushed, columns[name])
        files.write_npz(run.path / "arrays.npz", arrays)
        committed = {n: (model, columns[n]) for n, model in references.items() if n.startswith("reference")}
        gap = loss_gap.measure(
            {"suspect": (model, theirs), **committed}, pictures, folder, kept, recipient=spec.recipient, classes=names,
            seed=spec.seed,
        )  # fmt: skip
        if gap is not None:
            loss_gap.write(run.path, gap)
        evidence.write(run, kept, spec, model, given, model.cautions(pictures.channels))
    return evidence.verdict(run.path)


def _columns(network: Suspect, names: list[str]) -> np.ndarray:
    """Places of the tested classes in a reference's answers."""
    found, places = suspects.common_classes(names, network.classes)
    if len(found) < len(names):
        raise UserError(f"the reference {network.name} does not know all classes of the test: give one that does")
    return places


def _answers(
    name: str, model: Suspect, asked: Pictures, pushed: np.ndarray, columns: np.ndarray
) -> dict[str, np.ndarray]:
    """Log-probabilities of the held-out and of the pushed pictures."""
    flat = pushed.reshape(-1, *pushed.shape[3:])
    return {
        f"{name}_held_out": model.log_probabilities(asked)[:, columns].astype(np.float32),
        f"{name}_pushed": model.log_probabilities(flat)[:, columns].reshape(*pushed.shape[:3], -1).astype(np.float32),
    }
