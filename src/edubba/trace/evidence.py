"""Evidence, format `edubba.evidence/1`: a folder from which anybody re-computes a verdict, offline.

evidence.json   who was tested for whose copy, the figures, the opened sub-key, decoys, controls
arrays.npz      shared coordinates and classes of the held-out pictures, answers of the suspect and of the references
commitment.json, seal.json, with .tsq and .tsr where there are any; report.html
loss_gap.json   for the report alone, see `loss_gap`: no part of the format, `verify` does not read it; may be missing
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from edubba import __version__
from edubba.core import files, machine, stats, streams
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.trace import blackbox, commitments, keys, whitebox
from edubba.trace.keys import SubKey
from edubba.trace.spec import Test
from edubba.trace.suspects import Suspect

FORMAT = "edubba.evidence/1"
SMALLEST = -12.0
"""log10 of the smallest chance that is claimed in words: beyond it, mistakes of people are likelier than the figure"""
RESAMPLES = 200


@dataclass(frozen=True)
class Verdict:
    """What a test says."""

    detected: bool
    log10_p: float
    """base 10, of the primary test, multiplied by the number of keys that were committed to"""
    cosine: float
    low: float
    high: float
    """95 % bootstrap over held-out and pushed pictures"""
    words: str
    """the claim in one sentence"""
    path: Path
    """the evidence"""


def evaluate(
    arrays: dict[str, np.ndarray],
    carriers: Float64[np.ndarray, "k r"],
    *,
    primary: str,
    alpha: float,
    keys_committed: int,
    decoy_seed: bytes,
    decoys: int,
    seed: int,
) -> dict[str, Any]:
    """Every figure of a test, from the answers of the networks and the carriers alone.

    Parameters
    ----------
    arrays
        What arrays.npz holds.
    carriers
        Of the tested classes, in their order, at their own lengths.
    primary
        `rows`, `probes` or `both`.
    keys_committed
        How many sub-keys the owner could have tried: the smallest p is multiplied by it (Holm's first step).
    decoy_seed, decoys
        Public seed of the decoy keys, and their number.
    seed
        Of the bootstrap.
    """
    f, y = arrays["coordinates"].astype(np.float64), arrays["y"]
    names = sorted(
        name.removesuffix("_pushed") for name in arrays if name.endswith("_pushed") and name != "suspect_pushed"
    )
    committed = [name for name in names if name.startswith("reference")]
    both = {name: _matrices(arrays, name, f, y) for name in ("suspect", *names)}

    def left(name: str, references: Sequence[str], what: str) -> Float64[np.ndarray, "k r"]:
        return _left(both[name], [both[other] for other in references], what)

    def test(name: str, rows: Float64[np.ndarray, "k r"]) -> dict[str, Any]:
        return {"name": name, "cosine": whitebox.agreement(rows, carriers), "log10_p": whitebox.log10_p(rows, carriers)}

    shown = left("suspect", committed, primary)
    main = test(f"{primary}, references fitted out", shown)
    others = [
        test(f"{what}, references fitted out", left("suspect", committed, what)) for what in WHATS if what != primary
    ]
    if len(names) > len(committed):
        others.append(test(f"{primary}, further references fitted out too", left("suspect", names, primary)))
    plain = left("suspect", [], "rows")
    others.append(test("rows as they are", plain))
    others.append({"name": "the paper's: rows as they are, Fisher over classes", "cosine": None, "log10_p": whitebox.paper_log10_p(plain, carriers)})  # fmt: skip
    sequence = blackbox.sequential(left("suspect", committed, "probes"), carriers)
    others.append(
        {"name": "coins one after the other, valid at any stop", "cosine": None, "log10_p": float(sequence[-1])}
    )
    for row, adjusted in zip(others, _holm([row["log10_p"] for row in others]), strict=True):
        row["log10_p_holm"] = adjusted
    controls = [
        {"name": name, **_pick(test(name, left(name, [o for o in committed if o != name], primary)))}
        for name in committed
    ]
    fake = np.array([
        whitebox.agreement(shown, keys.normal(keys.derive(decoy_seed, f"decoy|{b}"), carriers.size).reshape(carriers.shape))
        for b in range(decoys)
    ])  # fmt: skip
    log10_p = min(0.0, main["log10_p"] + float(np.log10(keys_committed)))
    low, high = _interval(arrays, carriers, f, y, committed, primary, main["cosine"], seed)
    return {
        "primary": main | {"low": low, "high": high, "keys": keys_committed, "log10_p_adjusted": log10_p},
        "detected": bool(log10_p <= np.log10(alpha)), "tests": others, "controls": controls,
        "decoys": {"n": decoys, "as_high": int((fake >= main["cosine"]).sum()), "cosines": fake.round(6).tolist()},
        "sequential_log10_p": sequence.tolist(),
    }  # fmt: skip


WHATS = ("both", "rows", "probes")


def _pick(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("cosine", "log10_p")}


def _matrices(
    arrays: dict[str, np.ndarray], name: str, f: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None,
    probe: np.ndarray | None = None,
) -> dict[str, Float64[np.ndarray, "k r"]]:  # fmt: skip
    pushed = arrays[f"{name}_pushed"]
    return {
        "rows": whitebox.rows(f, arrays[f"{name}_held_out"].astype(np.float64), y, weight=weight),
        "probes": blackbox.responses(pushed if probe is None else pushed[:, :, probe]),
    }


def _left(
    own: dict[str, np.ndarray], references: Sequence[dict[str, np.ndarray]], what: str
) -> Float64[np.ndarray, "k r"]:
    """A suspect's residual: of rows, of probes, or both combined."""
    parts = ("rows", "probes") if what == "both" else (what,)
    left = [whitebox.residual(own[part], [other[part] for other in references]) for part in parts]
    return whitebox.combined(*left) if what == "both" else left[0]


def _interval(
    arrays: dict[str, np.ndarray], carriers: np.ndarray, f: np.ndarray, y: np.ndarray, references: list[str], what: str,
    value: float, seed: int,
) -> tuple[float, float]:  # fmt: skip
    """Ends of the 95 % bootstrap interval of the cosine; the same pictures are resampled for all networks."""
    n, m = len(y), arrays["suspect_pushed"].shape[2]
    found = []
    for b in range(RESAMPLES):
        pick = (
            streams.uniform(seed, "trace bootstrap", index=np.array([b]), k=n + m)[0] * np.repeat([n, m], [n, m])
        ).astype(int)
        weight, probe = np.bincount(pick[:n], minlength=n).astype(float), pick[n:]
        own, *others = (_matrices(arrays, name, f, y, weight, probe) for name in ("suspect", *references))
        found.append(whitebox.agreement(_left(own, others, what), carriers))
    # resampling adds noise of its own to a direction, which only lowers its cosine: so about the value, not about zero
    low, high = np.quantile(found, [0.025, 0.975]) - np.median(found) + value
    return float(max(-1, low)), float(min(1, high))


def _holm(log10_p: list[float]) -> list[float]:
    """Holm's adjustment on the logarithmic scale, which p-values below the smallest number need."""
    order = np.argsort(log10_p, kind="stable")
    raised = np.array(log10_p)[order] + np.log10(np.arange(len(log10_p), 0, -1))
    adjusted = np.empty(len(log10_p))
    adjusted[order] = np.minimum(0, np.maximum.accumulate(raised))
    return adjusted.tolist()


def decoy_seed(seal: dict[str, Any], suspect_sha256: str) -> bytes:
    """Public seed of the decoys: of the second commitment and the suspect, so that nobody chose it."""
    return hashlib.sha256(f"{commitments.digest(seal)}|{suspect_sha256}".encode()).digest()


def write(run: Run, kept: Any, spec: Test, model: Suspect, given: dict[str, Any], said: list[str]) -> None:
    """Evaluate the answers in the folder and write the evidence beside them; `given` is what the suspect did not say."""
    copy = kept.copy(spec.recipient)
    for path, name in ((kept.path / "commitment.json", "commitment"), (copy / "seal.json", "seal")):
        for suffix in (".json", ".tsq", ".tsr"):
            if path.with_suffix(suffix).exists():
                shutil.copyfile(path.with_suffix(suffix), run.path / f"{name}{suffix}")
    seal = commitments.read(run.path / "seal.json")
    with np.load(run.path / "arrays.npz") as stored:
        arrays = dict(stored)
    configuration = kept.commitment["configuration"]
    sub_key = kept.key.sub_key(spec.recipient, len(kept.classes))
    settings = {
        "primary": configuration["primary"], "alpha": float(configuration["alpha"]),
        "keys_committed": kept.commitment["keys"], "decoys": spec.decoys, "seed": spec.seed,
    }  # fmt: skip
    figures = evaluate(arrays, carriers_of(sub_key, arrays), decoy_seed=decoy_seed(seal, model.sha256), **settings)
    document = {
        "format": FORMAT, "created": run.resolved["created"], "edubba": __version__, "recipient": spec.recipient,
        "suspect": {
            "name": model.name, "kind": model.kind, "sha256": model.sha256, "size": model.size,
            "channels": model.channels, "labels_only": model.labels_only, "given": given,
        },
        "classes": [kept.classes[i] for i in arrays["classes"]], "settings": settings, "figures": figures,
        "further_references": list(spec.references), "warnings": said,
        "sub_key": commitments.open_sub_key(kept.key, spec.recipient, classes=len(kept.classes)),
        "originals_salt": commitments.tree_salt(kept.key, "originals").hex(),
        "published_salt": commitments.tree_salt(kept.key, "published", spec.recipient).hex(),
        "published": json.loads((copy / "published.json").read_text()),
        "arrays_sha256": hashlib.sha256((run.path / "arrays.npz").read_bytes()).hexdigest(),
        "machine": machine.facts(),
    }  # fmt: skip
    files.write(run.path / "evidence.json", json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    main = figures["primary"]
    made = stats.result(
        "cosine", main["cosine"], main["low"], main["high"], method="bootstrap over held-out and pushed pictures",
        n=len(arrays["y"]), unit="picture", data=run.settings["source"], split="held out", seconds=0.0, seed=spec.seed,
    )  # fmt: skip
    chance = stats.result(
        "log10 p", main["log10_p_adjusted"], method=f"{configuration['law']}, times {main['keys']} keys", n=len(arrays["y"]),
        unit="picture", data=run.settings["source"], split="held out", seconds=0.0, seed=spec.seed,
    )  # fmt: skip
    run.finish([made, chance], choices=[], warnings=said)


def carriers_of(sub_key: SubKey, arrays: dict[str, np.ndarray]) -> Float64[np.ndarray, "k r"]:
    """Carriers of the tested classes, in their order."""
    return sub_key.carriers(arrays["coordinates"].shape[1])[arrays["classes"]]


SHAPE: dict[str, Any] = {
    "recipient": str, "classes": list, "originals_salt": commitments.HEX, "published_salt": commitments.HEX,
    "arrays_sha256": commitments.HEX, "published": dict, "sub_key": {"recipient": str, "carrier": list, "coin": str},
    "suspect": {"name": str, "sha256": str, "labels_only": bool, "given": dict},
    "settings": {"primary": str, "alpha": float, "keys_committed": int, "decoys": int, "seed": int},
    "figures": {"detected": bool, "primary": dict.fromkeys(("cosine", "low", "high", "log10_p_adjusted"), float)},
}  # fmt: skip
"""what `verify` reads of evidence.json"""


def _damage(value: Any, shape: Any, name: str = "evidence") -> str | None:
    """The first part of a document that is missing or of another type."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return name
        return next((bad for key in shape if (bad := _damage(value.get(key), shape[key], key))), None)
    if shape is commitments.HEX:
        return None if isinstance(value, str) and shape.fullmatch(value) else name
    return None if isinstance(value, int | float if shape is float else shape) else name


def read(path: str | Path) -> dict[str, Any]:
    """The document of an evidence folder.

    Raises
    ------
    UserError
        There is none, it is damaged, or of a newer format.
    """
    file = Path(path) / "evidence.json"
    if not file.is_file():
        raise UserError(f"{path} is no evidence: it holds no evidence.json; `edubba trace test` makes it")
    try:
        document = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}): copy the evidence again") from None
    format = document.get("format") if isinstance(document, dict) else None
    if format != FORMAT:
        raise UserError(f"{file} has format {format!r}, this edubba ({__version__}) reads {FORMAT!r}")
    bad = _damage(document, SHAPE | {"published": dict.fromkeys(document.get("published") or (), commitments.HEX)})
    if bad:
        raise UserError(f"{file} is damaged at {bad!r}: copy the evidence again")
    return document


def verdict(path: str | Path) -> Verdict:
    """The verdict of an evidence folder, as it stands there; `verify` checks it."""
    document = read(path)
    figures = document["figures"]
    main = figures["primary"]
    return Verdict(
        figures["detected"],
        main["log10_p_adjusted"],
        main["cosine"],
        main["low"],
        main["high"],
        words(document),
        Path(path),
    )


def chance(log10_p: float) -> str:
    """A chance in words, never smaller than what people may claim.

    >>> chance(-3.3), chance(-40.0)
    ('p = 0.0005', 'p < 1e-12')
    """
    if log10_p <= SMALLEST:
        return f"p < 1e{SMALLEST:.0f}"
    p = 10**log10_p
    return f"p = {p:.2g}" if p >= 1e-4 else f"p = {p:.1e}"


def words(document: dict[str, Any]) -> str:
    """The claim in one sentence."""
    main = document["figures"]["primary"]
    name, recipient = document["suspect"]["name"], document["recipient"]
    said = chance(main["log10_p_adjusted"])
    if document["figures"]["detected"]:
        return (
            f"{name} agrees with the secret of the copy for {recipient!r} better than a model made without that copy would"
            f" ({said}): it was trained on pictures of that copy, or on something that learned from them."
        )
    return (
        f"Not detected: {name} agrees with the secret of the copy for {recipient!r} no better than chance allows ({said});"
        " this does not say that it was not trained on it."
    )


LIMITS = (
    "p is the chance that a model made without the key would agree with the secret at least this well. It is not the chance"
    " that the suspect is innocent. It does not say how the pictures got there (a licence, a shared backbone, distillation,"
    " another recipient), nor that their use was unlawful. No detection does not mean no use."
)
