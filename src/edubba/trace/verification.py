"""`verify`: the verdict of an evidence folder computed again by anybody, from what it reveals.

Three levels: the arithmetic, the binding of the key to the published files, and the networks asked again. No level reads
`loss_gap.json`, which has no error rate and decides nothing.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edubba.core import images, runs
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.printing import counted
from edubba.trace import commitments, markers, owner, suspects, timestamps, whitebox
from edubba.trace.evidence import SHAPE, Verdict, carriers_of, chance, decoy_seed, evaluate, read, verdict
from edubba.trace.keys import SubKey
from edubba.trace.suspects import Suspect

BOUND = -6.0
"""log10 of the chance below which marks are held to be this key's: with two classes little less can be reached"""
Level = Literal["arithmetic", "binding", "networks"]


@dataclass(frozen=True)
class Verification:
    """What `verify` found: each check by name, whether it holds, and words."""

    checks: list[tuple[str, bool, str]]
    verdict: Verdict

    @property
    def holds(self) -> bool:
        return all(good for _, good, _ in self.checks)


def verify(
    path: str | Path,
    *,
    level: Level = "arithmetic",
    papers: str | Path | None = None,
    published: str | Path | None = None,
    originals: str | Path | None = None,
    suspect: str | Path | None = None,
    allow_code: bool = False,
) -> Verification:
    """Re-compute a verdict from what the evidence reveals; nothing of the owner's secret is needed.

    Parameters
    ----------
    path
        The evidence folder.
    level
        `arithmetic`: from the answers of the networks, the opened sub-key and the commitments. `binding`: also that the
        published files are the sealed ones and carry this sub-key's marks. `networks`: also asks the suspect, the
        references and the markers again.
    papers
        The owner's papers (without the key), for the last two levels.
    published, originals
        The published copy and the unmarked folder, for `binding`; the latter also for `networks`.
    suspect
        The suspect, for `networks`.

    Raises
    ------
    UserError
        Something needed is not given or is no evidence.
    """
    path = Path(path)
    document = read(path)
    commitment, seal = (commitments.read(path / f"{name}.json") for name in ("commitment", "seal"))
    checks = _arithmetic(path, document, commitment, seal)
    if level != "arithmetic":
        checks += _binding(document, commitment, seal, _given(papers, "papers"), _given(published, "published"), _given(originals, "originals"))  # fmt: skip
    if level == "networks":
        checks += _networks(path, document, commitment, _given(papers, "papers"), _given(originals, "originals"), suspect, allow_code)  # fmt: skip
    return Verification(checks, verdict(path))


def _given(path: str | Path | None, name: str) -> Path:
    if path is None:
        raise UserError(f"this level needs --{name}: the owner hands it over")
    if not Path(path).is_dir():
        raise UserError(f"--{name} {path} is no folder: give the one that the owner handed over")
    return Path(path)


def _arithmetic(
    path: Path, document: dict[str, Any], commitment: dict[str, Any], seal: dict[str, Any]
) -> list[tuple[str, bool, str]]:
    checks = [
        ("commitments", commitments.follows(seal, commitment), "the seal points to the first commitment"),
        ("sub-key", commitments.check_sub_key(commitment, document["sub_key"]), "the opened sub-key was committed to"),
        (
            "recipient",
            document["sub_key"]["recipient"] == seal["recipient"] == document["recipient"],
            "sub-key, seal and claim are of one recipient",
        ),
        (
            "published list",
            commitments.tree_root(document["published"], salt=bytes.fromhex(document["published_salt"])) == seal["published_root"],
            "the list of published files was sealed",
        ),
    ]  # fmt: skip
    for name in ("commitment", "seal"):
        stamp = timestamps.check_beside(path / f"{name}.json")
        if stamp is not None:
            checks.append((f"timestamp of the {name}", stamp.verdict != "wrong", stamp.why or f"dated {stamp.time}"))
    content = (path / "arrays.npz").read_bytes() if (path / "arrays.npz").is_file() else b""
    whole = hashlib.sha256(content).hexdigest() == document["arrays_sha256"]
    checks.append(("answers", whole, "arrays.npz is the one of the evidence"))
    if not all(good for _, good, _ in checks):
        return checks
    with np.load(path / "arrays.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    configuration, settings = commitment["configuration"], document["settings"]
    rules = (
        settings["primary"] == configuration["primary"] and settings["alpha"] == float(configuration["alpha"])
        and settings["keys_committed"] == commitment["keys"]
        and document["classes"] == [commitment["classes"][i] for i in arrays["classes"]]
        and settings.keys() == SHAPE["settings"].keys()
    )  # fmt: skip
    checks.append(("rules", rules, "primary test, error rate, number of keys and classes are those committed to"))
    # one that could be left out, or another that could be put in, would be a choice made with the key at hand
    there = {
        name.removesuffix("_pushed") for name in arrays if name.startswith("reference") and name.endswith("_pushed")
    }
    whole = there == _references(commitment, document)
    checks.append(("references", whole, "the clean networks fitted out are all of those committed to"))
    if not (rules and whole):
        return checks
    opened = document["sub_key"]
    sub_key = SubKey(opened["recipient"], opened["carrier"], opened["coin"])
    seed = decoy_seed(seal, document["suspect"]["sha256"])
    again = evaluate(arrays, carriers_of(sub_key, arrays), decoy_seed=seed, **settings)
    checks.append(("figures", _same(again, document["figures"]), "all figures come out again"))
    return checks


def _references(commitment: dict[str, Any], document: dict[str, Any]) -> set[str]:
    """Names of the committed references; a suspect that is itself one of them is left out."""
    return {
        name for name, sha256 in commitment["networks"].items()
        if name.startswith("reference") and sha256 != document["suspect"]["sha256"]
    }  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    """Equal up to rounding: the last bits of a linear algebra differ between machines."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, int | float):
        return bool(np.isclose(a, b, rtol=1e-6, atol=1e-6))
    return a == b


def _binding(
    document: dict[str, Any], commitment: dict[str, Any], seal: dict[str, Any], papers: Path, published: Path,
    originals: Path,
) -> list[tuple[str, bool, str]]:  # fmt: skip
    """That the sealed files are those at hand, and that this sub-key moved them: no other key can be made to fit later."""
    changes = commitments.check_folder(
        seal, published, sealed=document["published"], salt=bytes.fromhex(document["published_salt"])
    )
    odd = [*changes.missing, *changes.added, *changes.changed]
    checks = [
        (
            "published files",
            not odd,
            counted(len(odd), "differs", "differ") + " from the sealed ones" + (f" (first {odd[0]})" if odd else ""),
        )
    ]
    sealed, now = document["published"], commitments.hashes(commitments.files_of(originals))
    # else whoever takes a mark of their own off another's pictures has "originals" that fit any key
    true = commitments.tree_root(now, salt=bytes.fromhex(document["originals_salt"])) == commitment["originals_root"]
    checks.append(("originals", true, "the unmarked files are those committed to"))
    networks = _marker_networks(papers, commitment)
    checks.append(("markers", networks is not None, "markers and coordinates are those committed to"))
    if networks is None or odd or not true:
        return checks
    coordinates = _coordinates(papers)
    marked = [name for name in sealed if name in now and now[name] != sealed[name]]
    size = runs.read(papers).resolved["image_size"]
    before, after = (images.open(folder, size=size) for folder in (originals, published))
    place = [{unicodedata.normalize("NFC", name): i for i, name in enumerate(p.file.tolist())} for p in (before, after)]
    both = [name for name in marked if all(name in where for where in place)]
    if not both or before.label is None:
        return [*checks, ("marks", False, "no published picture differs from its original")]
    pairs = [p.take(np.array([where[name] for name in both])) for p, where in zip((before, after), place, strict=True)]
    moved = coordinates.of(markers.features(networks, pairs[1].x)) - coordinates.of(
        markers.features(networks, pairs[0].x)
    )
    labels = pairs[0].label
    assert labels is not None
    opened = document["sub_key"]
    carriers = SubKey(opened["recipient"], opened["carrier"], opened["coin"]).carriers(moved.shape[1])
    there = [k for k, name in enumerate(commitment["classes"]) if (labels == name).any()]
    mean = np.stack([moved[labels == commitment["classes"][k]].mean(0) for k in there])
    log10_p = whitebox.log10_p(mean, carriers[there])
    cosine = whitebox.agreement(mean, carriers[there])
    said = (
        f"{counted(len(both), 'marked picture is', 'marked pictures are')} moved along this sub-key's carriers"
        f" (cosine {cosine:.2f}, {chance(log10_p)})"
    )
    return [*checks, ("marks", log10_p <= BOUND, said)]


def _marker_networks(papers: Path, commitment: dict[str, Any]) -> list[markers.Network] | None:
    """The markers, where they and the coordinates are those of the commitment."""
    if owner.changed(papers, commitment) is not None:
        return None
    names = sorted(name for name in commitment["networks"] if name.startswith("marker"))
    return [markers.load(papers / "networks" / name / "model") for name in names]


def _coordinates(papers: Path) -> markers.Coordinates:
    with np.load(papers / "coordinates.npz") as arrays:
        return markers.Coordinates.from_arrays(dict(arrays))


def _networks(
    path: Path, document: dict[str, Any], commitment: dict[str, Any], papers: Path, originals: Path,
    suspect: str | Path | None, allow_code: bool,
) -> list[tuple[str, bool, str]]:  # fmt: skip
    """That the suspect and the markers give the stored answers again."""
    if suspect is None:
        raise UserError("this level needs --suspect: the model that was tested")
    with np.load(path / "arrays.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    about = document["suspect"]
    model = suspects.load(suspect, allow_code=allow_code, labels_only=about["labels_only"], **about["given"])
    same = model.sha256 == about["sha256"]
    checks = [("suspect", same, "the suspect is the one that was tested")]
    networks = _marker_networks(papers, commitment)
    if not same or networks is None:
        return checks
    with np.load(papers / "held_out.npz") as held_out, np.load(papers / "probes.npz") as probes:
        wanted, y, pushed = held_out["hash"].tolist(), held_out["y"], probes["x"]
    pictures = images.open(originals, size=runs.read(papers).resolved["image_size"])
    place = {h: i for i, h in enumerate(pictures.hash.tolist())}
    if any(h not in place for h in wanted):
        return [*checks, ("held-out pictures", False, f"some are not in {originals}")]
    asked = pictures.take(np.array([place[h] for h in wanted]))
    features = _coordinates(papers).of(markers.features(networks, asked.x))
    same = _close(features, arrays["coordinates"]) and np.array_equal(y, arrays["y"])
    checks.append(("coordinates", same, "the markers give the same coordinates"))
    mine, columns = suspects.common_classes(commitment["classes"], model.classes)
    checks.append(("classes", np.array_equal(mine, arrays["classes"]), "all classes in common were tested"))
    if not checks[-1][1]:
        return checks
    checks.append(("answers again", _answers_again("suspect", model, asked, pushed, columns, arrays), "the suspect gives the same answers"))  # fmt: skip
    same = True
    for name in sorted(_references(commitment, document)):
        network = suspects.load(papers / "networks" / name / "model", labels_only=about["labels_only"])
        _, columns = suspects.common_classes(document["classes"], network.classes)
        same = same and _answers_again(name, network, asked, pushed, columns, arrays)
    return [*checks, ("references again", same, "the clean networks give the same answers")]


def _answers_again(
    name: str, model: Suspect, asked: Pictures, pushed: np.ndarray, columns: np.ndarray, arrays: dict[str, np.ndarray]
) -> bool:
    flat = model.log_probabilities(pushed.reshape(-1, *pushed.shape[3:]))[:, columns]
    return _close(model.log_probabilities(asked)[:, columns], arrays[f"{name}_held_out"]) and _close(
        flat.reshape(*pushed.shape[:3], -1), arrays[f"{name}_pushed"]
    )


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-3, atol=1e-2))
