"""Model bundles, format `edubba.model/1`: a folder that says what the model takes, gives and was trained on.

model.safetensors holds the weights, model.json the card: kind, architecture, input, output, data, and the SHA-256 of
every other file. Nothing in a bundle is pickled, and none of its code runs unless the caller allows it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from edubba import __version__
from edubba.core import encoders, files, train
from edubba.core.errors import UserError

FORMAT = "edubba.model/1"
KINDS = ("encoder", "classifier", "detector", "restorer", "text-encoder")
WEIGHTS = "model.safetensors"
REQUIRED = {
    "architecture": {"name", "arguments"},
    "input": {"kind", "channels", "size", "range", "mean", "std"},
    "output": {"embedding", "classes"},
}


@dataclass(frozen=True)
class Bundle:
    """A model in eval mode, which takes pictures in [0, 1] and normalises them itself, and its card."""

    model: nn.Module
    card: dict[str, Any]


def card(
    *,
    kind: str,
    architecture: dict[str, Any],
    input: dict[str, Any],
    output: dict[str, Any],
    code: str | None = None,
    calibration: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    licence: str | None = None,
    run: str | None = None,
) -> dict[str, Any]:
    """The card of a model: what stands in model.json.

    Parameters
    ----------
    kind
        `encoder`, `classifier`, `detector`, `restorer` or `text-encoder`.
    architecture
        {name, arguments}: what `encoders.build` takes, without the seed.
    input
        {kind: "image", channels, size (pixels), range: [0, 1], mean, std}; mean and std have a number per channel.
    output
        {embedding: width of the features, classes: their names in the order of the logits, or None}.
    code
        `module:attribute`, where the architecture is not one of edubba's; then equal to its name.
    calibration
        {temperature, split, ece_before, ece_after}: what to divide the logits by, and where that was found.
    data
        {n, source_fingerprint, seen, licences, card}.
    run
        The run folder it came from.
    """
    made = {
        "format": FORMAT, "kind": kind, "architecture": architecture, "code": code, "input": input, "output": output,
        "calibration": calibration, "data": data, "licence": licence, "run": run, "files": {}, "edubba": __version__,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
    }  # fmt: skip
    if fault := _fault(made):
        raise ValueError(fault)
    return json.loads(json.dumps(made, allow_nan=False))  # as it will be read: lists, no tuples


Build = Callable[[dict[str, Any]], nn.Module]


def save(path: str | Path, model: nn.Module, card: dict[str, Any], *, builder: Build | None = None) -> Path:
    """Write a bundle whole or not at all; one that stands there already is replaced.

    Parameters
    ----------
    path
        Folder to make.
    model
        A model as `build(card)` makes it, trained: `encoders.Encoder`, or `train.Classifier` around one.
    card
        From `card`.
    builder
        Makes the model of a card, where its kind belongs to a room (detector, restorer); None: `build` of this module.

    Raises
    ------
    UserError
        Something else stands at `path`.
    ValueError
        The model is not what `load` would build from the card.
    """
    path = Path(path)
    if path.exists() and not (path / "model.json").exists():
        raise UserError(f"{path} exists and is not a model bundle: choose another folder")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    if misfit := _misfit(tensors, (builder or build)(card)):
        raise ValueError(f"the model is not the {card['architecture']['name']!r} of its card: {misfit}")
    weights = safetensors.torch.save(tensors)
    written = card | {"files": {WEIGHTS: hashlib.sha256(weights).hexdigest()}}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    before = path.with_name(f".{path.name}.{os.getpid()}.before")
    try:
        files.write(part / WEIGHTS, weights)
        files.write(part / "model.json", json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        if path.exists():
            os.replace(path, before)  # a folder cannot be renamed onto a full one
        os.replace(part, path)
    finally:
        if before.exists() and not path.exists():
            os.replace(before, path)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
    return path


def load(path: str | Path, *, allow_code: bool = False, builder: Build | None = None) -> Bundle:
    """The model of a bundle, on the CPU and in eval mode, with its card.

    Parameters
    ----------
    path
        The folder that holds model.json.
    allow_code
        Whether a network of the form `module:attribute` may be imported and run. Only for bundles you trust.
    builder
        As in `save`.

    Raises
    ------
    UserError
        There is no bundle, it is damaged, of a newer format, or needs code that was not allowed.
    """
    path = Path(path)
    card = _read(path, kinds=("encoder", "classifier") if builder is None else KINDS)
    name = card["architecture"]["name"]
    if ":" in name and not allow_code:
        raise UserError(
            f"{path} needs the code {name!r}, which is not edubba's: if you trust it, add --allow-code (allow_code=True in Python)"
        )
    tensors = {}
    for file, sha256 in card["files"].items():
        content = (path / file).read_bytes() if (path / file).is_file() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(
                f"{path / file} is damaged or missing (its SHA-256 is not that of model.json): copy it again"
            )
        if file == WEIGHTS:
            tensors = safetensors.torch.load(content)
    model = (builder or build)(card)
    if misfit := _misfit(tensors, model):
        raise UserError(f"{path / WEIGHTS} does not fit the {name!r} of this edubba ({__version__}): {misfit}")
    model.load_state_dict(tensors)
    return Bundle(model.eval(), card)


def build(card: dict[str, Any]) -> nn.Module:
    """The encoder or classifier of a card with first weights. Imports and runs the card's `module:attribute` where it has one."""
    encoder = encoders.twin(card, seed=0)
    if card["kind"] == "encoder":
        return encoder
    with torch.random.fork_rng(devices=[]):
        return train.Classifier(encoder, len(card["output"]["classes"]), side=card["input"].get("side", 0))


def _read(path: Path, *, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The card of a bundle, checked."""
    file = path / "model.json"
    if not file.is_file():
        raise UserError(f"{path} is not a model bundle: it holds no model.json")
    try:
        card = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}): copy the bundle again") from None
    format = card.get("format") if isinstance(card, dict) else None
    family, _, version = str(format).partition("/")
    if family == "edubba.model" and version.isdigit() and int(version) > 1:
        raise UserError(f"{path} is {format}, written by a newer edubba (this is {__version__}): upgrade edubba")
    if format != FORMAT:
        raise UserError(f"{file} has format {format!r}, expected {FORMAT!r}")
    if fault := _fault(card):
        raise UserError(f"{file}: {fault}")
    if card["kind"] not in kinds:
        raise UserError(f"{path} is a {card['kind']}, where {' or '.join(kinds)} is needed")
    if WEIGHTS not in card["files"] or any(Path(name).name != name for name in card["files"]):
        raise UserError(f"{file}: files must name {WEIGHTS} and nothing outside the bundle")
    return card


def _fault(card: dict[str, Any]) -> str | None:
    """What is wrong with a card, if anything."""
    if card.get("kind") not in KINDS:
        return f"kind is {card.get('kind')!r}, expected one of {', '.join(KINDS)}"
    for part, keys in REQUIRED.items():
        if missing := keys - set(card.get(part) or {}):
            return f"{part} lacks {', '.join(sorted(missing))}"
    name, code, input, output = card["architecture"]["name"], card.get("code"), card["input"], card["output"]
    if code != (name if ":" in name else None):
        return f"code is {code!r} but the architecture is {name!r}"
    if input["kind"] == "image" and not len(input["mean"]) == len(input["std"]) == input["channels"]:
        return f"{input['channels']} channels, but mean {input['mean']} and std {input['std']}"
    if card["kind"] == "classifier" and not output["classes"]:
        return "a classifier without classes"
    return None if isinstance(card.get("files"), dict) else "files are not a table of names and SHA-256"


def _misfit(tensors: dict[str, torch.Tensor], model: nn.Module) -> str | None:
    """The first weight that a model and a state differ in, if any."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            return f"{name} is {found.get(name, 'absent')}, expected {wanted.get(name, 'absent')}"
    return None
