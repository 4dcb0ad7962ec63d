"""The owner's papers, and `commit`: all that is fixed before a key marks anything.

Beside `owner.key` lies `owner.trace/`, a run folder: the first commitment (public), the list of pictures and what each
is for, the networks trained on the unmarked pictures, the shared coordinates, the answers of the references, the probes;
and a folder for each recipient's copy.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from edubba.core import encoders, files, images, models, runs, stats, streams, tables, train, views
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.runs import Run
from edubba.core.stats import Result
from edubba.trace import blackbox, commitments, keys, markers, timestamps, whitebox
from edubba.trace.keys import Key
from edubba.trace.markers import Coordinates, Network
from edubba.trace.spec import Commit

MARKERS, REFERENCES = 4, 6
ALIKE = 0.98
"""cosine of two pictures' small grey copies from which on they count as one picture"""
PSNR = 42.0
FIXED = ("coordinates.npz", "held_out.npz", "probes.npz")
"""files of the papers that the test rests on; the commitment holds their hashes"""


def papers(key: str | Path) -> Path:
    """Folder of the owner's papers, beside the key file."""
    return Path(key).with_suffix(".trace")


def commit(source: Any, *, key: str | Path, spec: Commit = Commit()) -> Run:
    """Fix everything that a test will rest on, then draw the secret: the first commitment.

    Trains the markers and the clean references on the unmarked pictures where none are given, finds the directions
    they share, and sets pictures aside that are never marked.

    Parameters
    ----------
    source
        Pictures with labels: class folders, or a folder with labels.csv.
    key
        The key file to make. The papers lie beside it, in a folder of its name with `.trace`. The same call on
        unfinished papers goes on; on finished ones it returns them.
    spec
        See `Commit`.

    Returns
    -------
    The papers, a finished run: `.path / "commitment.json"` is what to publish or to have timestamped.

    Raises
    ------
    UserError
        No labels, too few pictures, or the papers hold another commitment.
    """
    _check(spec)
    key = Path(key)
    if not Path(source).is_dir():
        raise UserError(f"{source} is no folder: marks go into picture files, so give a folder of them")
    pictures = labelled(images.open(source, size=spec.network.image_size or None))
    folder = papers(key)
    if folder == key:
        raise UserError(f"{key} would lie where its papers go: choose a name that does not end in .trace with --key")
    if Path(source).resolve() in key.resolve().parents:
        raise UserError(f"{key} lies in {source}, which is to be published: choose a place elsewhere with --key")
    if key.exists() and not (folder / "spec.toml").exists():
        raise UserError(f"{key} exists but not its papers {folder}: bring them back, or choose another name with --key")
    run = runs.open(folder, spec, verb="trace.commit", source=pictures.source, fingerprint=pictures.fingerprint)
    if run.done:
        if not key.exists():
            raise UserError(f"{folder} is finished but its key {key} is gone: bring back the copy that you kept")
        read(key)  # raises where key and papers do not belong together
        return run
    with closing(run):
        assert pictures.label is not None
        classes, y = np.unique(pictures.label, return_inverse=True)
        held_out = choose_held_out(pictures, y, spec)
        rest = pictures.take(~held_out)
        run.resolve(image_size=pictures.size, channels=pictures.channels, n=len(pictures), held_out=int(held_out.sum()))
        learn = partial(_network, run, rest, y[~held_out], pictures.take(held_out), y[held_out], classes.tolist(), spec)
        marking = _gather(run, "marker", spec.markers, MARKERS, learn)
        clean = _gather(run, "reference", spec.references, REFERENCES, learn)
        _prepare(run, pictures.take(held_out), y[held_out], classes.tolist(), marking, clean, spec)
        _sign(run, key, Path(source), classes.tolist(), spec)
        if pictures.skipped:
            images.write_skipped(run.path / "skipped.csv", pictures.skipped)
        run.finish(_results(run), choices=[], warnings=[], skipped=len(pictures.skipped))
    return run


def _check(spec: Commit) -> None:
    if not 0 < spec.held_out < 1:
        raise UserError(f"--held-out {spec.held_out:g}: a share between 0 and 1 is needed")
    if not 0 < spec.alpha < 1:
        raise UserError(f"--alpha {spec.alpha:g}: an error rate between 0 and 1 is needed")
    for name in ("directions", "probes"):
        if getattr(spec, name) < 2:
            raise UserError(f"--{name} {getattr(spec, name)}: at least 2 are needed")


def labelled(pictures: Pictures) -> Pictures:
    """The pictures that have a label.

    Raises
    ------
    UserError
        None has, or all have the same.
    """
    if pictures.label is None:
        raise UserError(
            f"{pictures.source} has no labels, and marks follow classes: sort the pictures into class folders, or put a"
            " labels.csv (file, label) beside them"
        )
    known = pictures.label != ""
    if len(set(pictures.label[known].tolist())) < 2:
        raise UserError(f"all labelled pictures of {pictures.source} are of one class: marks need two")
    return pictures.take(known)


def choose_held_out(pictures: Pictures, y: Int64[np.ndarray, "n"], spec: Commit) -> Bool[np.ndarray, "n"]:
    """Which pictures are never marked: a share of every class, whole groups, none that has a double elsewhere."""
    assert pictures.label is not None
    group = pictures.group
    parts = tables.split(pictures.label, group=group, test=spec.held_out, validation=0.0, seed=spec.seed)
    small = thumbnails(pictures)
    double = alike(small[parts.test], small[parts.train])
    held_out = np.zeros(len(pictures), bool)
    held_out[parts.test[~double]] = True
    fewest = min(np.bincount(y[held_out], minlength=y.max() + 1))
    if held_out.sum() < 10 * spec.directions or fewest < 2:
        raise UserError(
            f"{pictures.source} has {len(pictures)} labelled pictures, of which {held_out.sum()} can be held out, {fewest}"
            f" of the rarest class: {10 * spec.directions} and 2 are needed; use more pictures, or fewer --directions"
        )
    return held_out


def thumbnails(pictures: Pictures) -> Float64[np.ndarray, "n p"]:
    """Small grey copies as unit vectors, mean taken out: for finding doubles."""
    parts = []
    for i in range(0, len(pictures), 512):
        x = torch.from_numpy(train.of_channels(np.array(pictures.x[i : i + 512]), 1))
        parts.append(views.evaluation(x, size=min(16, pictures.side)).flatten(1).double().numpy())
    flat = np.concatenate(parts)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def alike(some: Float64[np.ndarray, "n p"], others: Float64[np.ndarray, "m p"]) -> Bool[np.ndarray, "n"]:
    """Which of some pictures have a double among the others."""
    found = [(some[i : i + 512] @ others.T >= ALIKE).any(1) for i in range(0, len(some), 512)]
    return np.concatenate(found) if found else np.zeros(0, bool)


def _gather(run: Run, role: str, given: Sequence[str], number: int, learn: Any) -> list[Network]:
    """The networks of a role: those given, copied into the papers, or as many trained."""
    for i, path in enumerate(given):
        target = run.path / "networks" / f"{role}-{i}" / "model"
        if not target.exists():
            markers.load(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(".model.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(path, part)
            part.rename(target)
    count = len(given) or number
    if not given:
        for i in range(count):
            learn(role, i)
    return [markers.load(run.path / "networks" / f"{role}-{i}" / "model") for i in range(count)]


def _network(
    run: Run, pictures: Pictures, y: np.ndarray, asked: Pictures, asked_y: np.ndarray, classes: list[str], spec: Commit,
    role: str, i: int,
) -> None:  # fmt: skip
    """Train one network on the unmarked pictures, in a run folder of its own."""
    own = spec.network
    number = i if role == "marker" else MARKERS + i
    encoder = own.encoders[number % len(own.encoders)]
    seed = spec.seed + number
    folder = runs.open(
        run.path / "networks" / f"{role}-{i}", own, verb="trace.network", source=pictures.source,
        fingerprint=f"{pictures.fingerprint}/{encoder}/{seed}",
    )  # fmt: skip
    if folder.done:
        return
    with closing(folder):
        size, channels = pictures.size, pictures.channels
        card = models.card(
            kind="classifier",
            architecture={"name": encoder, "arguments": {"channels": channels, "size": size}},
            code=encoder if ":" in encoder else None,
            input={
                "kind": "image", "channels": channels, "size": size, "range": [0, 1], "mean": [0.5] * channels,
                "std": [0.25] * channels,
            },
            output={"embedding": 0, "classes": classes},
            data={"n": len(pictures), "source_fingerprint": pictures.fingerprint, "seen": None, "licences": None, "card": None},
        )  # fmt: skip
        network = encoders.twin(card, seed=seed)
        card["output"]["embedding"] = network.dim
        fit = replace(own.fit, seed=seed)
        model = train.fit_classifier(
            network, pictures.x, y, spec=fit, size=size, classes=len(classes), views=own.views,
            shape_hw=pictures.shape_hw, run=folder, what=f"training {role} {i + 1} ({encoder})",
        )  # fmt: skip
        right = train.predict(model, asked.x, size=size).argmax(1).numpy() == asked_y
        models.save(folder.path / "model", model, card)
        accuracy = stats.bootstrap(np.mean, right.astype(float), group=_group(asked), seed=spec.seed)
        unit = "picture" if asked.group is None else "group"
        folder.finish(
            [
                stats.result(
                    "accuracy", *accuracy, method="percentile bootstrap", n=len(right), unit=unit, data=pictures.source,
                    split="held out", seconds=0.0, seed=seed,
                )
            ],
            choices=[],
            warnings=[],
        )  # fmt: skip


def _group(pictures: Pictures) -> np.ndarray | None:
    return None if pictures.group is None else np.where(pictures.group == "", pictures.file, pictures.group)


def _prepare(
    run: Run, asked: Pictures, y: np.ndarray, classes: list[str], marking: list[Network], clean: list[Network],
    spec: Commit,
) -> None:  # fmt: skip
    """Coordinates and probes: all that is free of the key."""
    seen = markers.features(marking, asked.x)
    coordinates = markers.share(seen, y, r=spec.directions)
    files.write_npz(run.path / "coordinates.npz", coordinates.arrays())
    probe = np.sort(streams.permutation(spec.seed, "probes", n=len(asked))[: spec.probes])
    files.write_npz(
        run.path / "held_out.npz",
        {
            "coordinates": coordinates.of(seen).astype(np.float32), "y": y.astype(np.int64), "probe": probe,
            "hash": asked.hash.astype(str),
        },
    )  # fmt: skip
    if not (run.path / "probes.npz").exists():
        pushed = blackbox.probes(
            markers.readouts(marking, coordinates), asked.take(probe), r=spec.directions, psnr=PSNR, seed=spec.seed
        )
        files.write_npz(run.path / "probes.npz", {"x": pushed})
    for i, network in enumerate(clean):
        if network.linear is None:
            raise UserError(f"reference {i + 1} is an encoder without classes: references must be classifiers")
        missing = sorted(set(classes) - set(network.classes))
        if missing:
            raise UserError(f"reference {i + 1} does not know the class {missing[0]!r}: references need all classes")


def _sign(run: Run, key: Path, folder: Path, classes: list[str], spec: Commit) -> None:
    """Draw the secret and write the first commitment."""
    secret = keys.read(key) if key.exists() else keys.make(key, spec.recipients)
    originals = commitments.hashes(commitments.files_of(folder))
    files.write(run.path / "originals.json", json.dumps(originals, indent=0, ensure_ascii=False))
    networks = {p.parent.parent.name: p for p in sorted((run.path / "networks").glob("*/model/model.json"))}
    configuration = {
        "primary": spec.primary, "alpha": str(spec.alpha), "directions": spec.directions, "probes": spec.probes,
        "ridge": str(whitebox.RIDGE), "law": "cosine in K r dimensions, carriers standard normal",
        "files": commitments.hashes({name: run.path / name for name in FIXED}),
    }  # fmt: skip
    document = commitments.first(
        secret, classes=classes, originals=originals, configuration=configuration, networks=networks
    )
    path = run.path / "commitment.json"
    if not path.exists():  # else killed a moment later
        commitments.write(path, document)
    timestamps.write_request(path)


def _results(run: Run) -> list[Result]:
    """The held-out accuracy of every network that was trained here."""
    found = []
    for path in sorted((run.path / "networks").glob("*/results.json")):
        found += [replace(r, name=f"{path.parent.name}/{r.name}") for r in runs.read(path.parent).results]
    return found


class Papers(NamedTuple):
    """What `commit` wrote, read again and held against the commitment."""

    path: Path
    key: Key
    commitment: dict[str, Any]
    classes: list[str]
    source: str
    size: int
    coordinates: Coordinates
    held_out: Float64[np.ndarray, "n r"]
    """shared coordinates of the held-out pictures"""
    y: Int64[np.ndarray, "n"]
    hash: np.ndarray
    """content hashes of the held-out pictures"""
    probe: Int64[np.ndarray, "m"]
    """which of the held-out pictures were pushed"""

    def networks(self, role: str) -> dict[str, Path]:
        """Bundles of the markers or of the references."""
        return {
            n: self.path / "networks" / n / "model" for n in sorted(self.commitment["networks"]) if n.startswith(role)
        }

    def copy(self, recipient: str) -> Path:
        """Folder of what belongs to one recipient's copy."""
        return self.path / "copies" / recipient


def read(key: str | Path) -> Papers:
    """The owner's key and papers.

    Raises
    ------
    UserError
        There are none, they are unfinished, do not belong together, or were changed since the commitment.
    """
    secret, folder = keys.read(key), papers(key)
    if not (folder / "results.json").exists():
        raise UserError(f"{folder} holds no finished commitment: `edubba trace commit` goes on with it")
    document = commitments.read(folder / "commitment.json")
    commitments.check_key(document, secret)
    if bad := changed(folder, document):
        raise UserError(f"{bad} is not what was committed on {document['created']}: bring it back")
    run = runs.read(folder)
    with np.load(folder / "coordinates.npz") as arrays:
        coordinates = Coordinates.from_arrays(dict(arrays))
    with np.load(folder / "held_out.npz") as arrays:
        kept = dict(arrays)
    return Papers(
        folder, secret, document, document["classes"], run.settings["source"], run.resolved["image_size"], coordinates,
        kept["coordinates"].astype(np.float64), kept["y"], kept["hash"], kept["probe"],
    )  # fmt: skip


def changed(folder: Path, document: dict[str, Any]) -> Path | None:
    """The first file of the papers that is missing, or not the one in the first commitment."""
    committed = {folder / name: sha256 for name, sha256 in document["configuration"]["files"].items()}
    for name, sha256 in document["networks"].items():
        committed[folder / "networks" / name / "model" / "model.json"] = sha256
    return next(
        (p for p, sha256 in committed.items() if not p.is_file() or commitments.hashes({"": p})[""] != sha256), None
    )


def held_out_rows(pictures: Pictures, kept: Papers) -> np.ndarray:
    """Rows of the held-out pictures, in the order of the papers.

    Raises
    ------
    UserError
        One of them is not there.
    """
    place = {h: i for i, h in enumerate(pictures.hash.tolist())}
    missing = [h for h in kept.hash.tolist() if h not in place]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(kept.hash)} held-out pictures are not in {pictures.source}, or were changed:"
            " give the folder that was committed to"
        )
    return np.array([place[h] for h in kept.hash.tolist()])
