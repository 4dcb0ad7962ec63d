"""A stranger's model as a function from pictures to log-probabilities. Nothing in its file is pickled or run as code.

What a suspect says about pictures needs no more trust than its numbers: a bundle's weights and an ONNX graph are data.
Code of the form `module:attribute` runs only where it is explicitly allowed.
"""

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import nn

from edubba.core import encoders, models, progress, train, views
from edubba.core.errors import UserError, need
from edubba.core.images import Pictures, Rows

PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"}
CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""of the operations that onnxruntime itself brings"""
LARGEST = 2**31
"""bytes of an ONNX model, its external data included"""
LEAST = 1e-12
"""probabilities below are taken as this, so that their logarithm is finite"""
TRIALS = 8


@dataclass(frozen=True)
class Suspect:
    """A model that is asked what it thinks of pictures. Made by `load`."""

    name: str
    kind: str
    """bundle, onnx or code"""
    classes: list[str]
    """in the order of the columns"""
    size: int
    """side of the pictures it takes, pixels"""
    channels: int
    """1 or 3"""
    sha256: str
    """of what makes it: model.json, which holds the weights' own; the ONNX file and its external data; the code's file
    and its weights"""
    labels_only: bool
    warnings: list[str]
    """what was not known about it and had to be assumed"""
    answer: Callable[[Float32[np.ndarray, "n c s s"]], np.ndarray] = field(repr=False)
    """its own outputs, (n, K), for pictures in 0 to 1"""
    probabilities: bool = field(repr=False)
    """whether these outputs are probabilities; otherwise they are logits"""

    def log_probabilities(
        self, pictures: Pictures | Rows | np.ndarray, *, batch_size: int = 256
    ) -> Float64[np.ndarray, "n k"]:
        """Log-probabilities of every class for every picture; only `batch_size` pictures are in memory at a time.

        Where the suspect gives labels only, or only these are to be used (`labels_only`), the row is 0 in the class
        of the largest output and -1 elsewhere. That is no log-probability, but whatever works on rows minus their
        mean, up to a factor, is served: the row minus its mean is the one-hot label minus its mean.

        Parameters
        ----------
        pictures
            (n, S, S, c) uint8, grey or colour; resized to the suspect's size and given its channels, grey repeated
            or colour as its luma.

        Raises
        ------
        UserError
            The suspect answers with something that is neither logits nor probabilities.
        """
        x = pictures.x if isinstance(pictures, Pictures) else pictures
        out = np.empty((len(x), len(self.classes)))
        with progress.bar(f"asking {self.name}", len(x), unit="pictures") as show:
            for i in range(0, len(x), batch_size):
                rows = self._rows(np.array(x[i : i + batch_size]))
                out[i : i + len(rows)] = rows
                show(i + len(rows))
        return out

    def cautions(self, channels: int) -> list[str]:
        """The warnings, and what the owner's pictures (1 or 3 channels) and the suspect's differ in.

        Neither changes the size of the test: the key had no part in it. Both can cost power.
        """
        found = list(self.warnings)
        if channels == 3 and self.channels == 1:
            found.append(f"{self.name} sees grey: of marks in colour it sees the luma alone, which costs power")
        if channels == 1 and self.channels == 3:
            found.append(f"{self.name} takes colour and is given grey pictures, perhaps unlike those it learned from")
        return found

    def _rows(self, x: UInt8[np.ndarray, "n h w c"]) -> Float64[np.ndarray, "n k"]:
        outputs = _outputs(self.name, self.answer, x, self.size, self.channels, len(self.classes))
        if self.labels_only:
            return np.where(np.arange(outputs.shape[1]) == outputs.argmax(axis=1)[:, None], 0.0, -1.0)
        if not self.probabilities:
            return torch.from_numpy(outputs).log_softmax(dim=1).numpy()
        if not _are_probabilities(outputs, tolerance=0.01):
            raise UserError(
                f"{self.name} gave probabilities at first and then rows that do not sum to 1: give a model that ends in "
                "logits or in a softmax"
            )
        return np.log(np.maximum(outputs, LEAST))


def load(
    path: str | Path,
    *,
    allow_code: bool = False,
    classes: Sequence[str] | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_range: tuple[float, float] | None = None,
    labels_only: bool = False,
) -> Suspect:
    """A classifier to be examined, on the processor.

    Parameters
    ----------
    path
        A bundle, a run folder whose model is a classifier, an ONNX file with one input of pictures (n, c, h, w) and
        one output (n, K), or `module:attribute`: an `nn.Module`, a function or class that makes one, or a function
        from a tensor (n, c, size, size) to (n, K), for instance one that asks a service.
    allow_code
        Whether code of a bundle, or `module:attribute`, may be imported and run. Only for what you trust.
    classes
        Names in the order of the outputs, for ONNX and code. ONNX: otherwise from its metadata `classes` (a JSON list).
    size
        Side of the pictures it takes, where ONNX leaves it open, and for code.
    mean, std
        What its pictures were normalised by, a number a channel, after `input_range`, for ONNX and code. ONNX:
        otherwise from its metadata `mean` and `std` (JSON lists). As many numbers as it has channels, where the file
        leaves these open; code has 3 without them.
    input_range
        The values of black and white, before mean and std; None: 0 and 1.
    labels_only
        Use the label of the largest output alone, see `Suspect.log_probabilities`.

    Raises
    ------
    UserError
        There is nothing, it is of no kind that can be loaded safely, no classifier, or does not say what it takes.
    """
    text = str(path)
    own = {"classes": classes, "size": size, "mean": mean, "std": std, "input_range": input_range}
    if CODE.fullmatch(text) and not Path(text).exists():
        if not allow_code:
            raise UserError(f"{text} is code, which runs when it is loaded: if you trust it, add --allow-code")
        made = _from_code(text, own)
    else:
        path = Path(path).expanduser()
        if not path.exists():
            raise UserError(f"there is no file or folder {path}")
        if path.is_dir():
            made = _from_bundle(path, own, allow_code)
        elif path.suffix.lower() == ".onnx":
            made = _from_onnx(path, own)
        else:
            raise UserError(_refusal(path))
    name, k = made["name"], len(made["classes"])
    if k < 2 or len(set(made["classes"])) < k:
        raise UserError(f"{name} has the classes {_few(made['classes'])}: at least two different names are needed")
    trial = np.random.default_rng(0).integers(0, 256, (TRIALS, made["size"], made["size"], made["channels"]), np.uint8)
    outputs = _outputs(name, made["answer"], trial, made["size"], made["channels"], k)
    probabilities = _are_probabilities(outputs, tolerance=1e-3)
    if not probabilities and not labels_only and outputs.min() >= 0 and outputs.max() <= 1 and np.ptp(outputs) > 0:
        raise UserError(
            f"{name} gives numbers from 0 to 1 whose rows do not sum to 1, neither logits nor probabilities of one "
            "class each: give it without its last layer, or use its labels alone (labels_only=True)"
        )
    return Suspect(**made, labels_only=labels_only, probabilities=probabilities)


def common_classes(
    owner: Sequence[str], suspect: Sequence[str]
) -> tuple[Int64[np.ndarray, "m"], Int64[np.ndarray, "m"]]:
    """Places of the classes that both have, in the owner's list and in the suspect's, in the owner's order.

    Names that are equal are the same class; of the others those that are equal without regard to case, spaces,
    underscores and hyphens, where that fits one class alone on each side.

    >>> common_classes(["Sun", "moon", "polar bear"], ["polar_bear", "tree", "Sun"])
    (array([0, 2]), array([2, 0]))

    Raises
    ------
    UserError
        They have no class in common.
    """
    pairs = {owner.index(name): suspect.index(name) for name in owner if name in suspect}
    left = _by_plain_name(owner, set(pairs))
    right = _by_plain_name(suspect, set(pairs.values()))
    pairs |= {
        left[name][0]: right[name][0] for name in left.keys() & right.keys() if len(left[name]) == len(right[name]) == 1
    }
    if not pairs:
        raise UserError(
            f"no classes in common: yours are {_few(owner)}, the suspect's {_few(suspect)}; give the suspect's names "
            "in the order of its outputs and in your words (--classes)"
        )
    return np.array(sorted(pairs), dtype=np.int64), np.array([pairs[i] for i in sorted(pairs)], dtype=np.int64)


def _by_plain_name(names: Sequence[str], taken: set[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if i not in taken:
            found.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), []).append(i)
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _outputs(
    name: str, answer: Callable, x: UInt8[np.ndarray, "n h w c"], size: int, channels: int, k: int
) -> Float64[np.ndarray, "n k"]:
    """What a suspect says about pictures, checked."""
    some = views.evaluation(torch.from_numpy(train.of_channels(x, channels)), size=size)
    outputs = np.asarray(answer(some.contiguous().numpy()))
    if outputs.shape != (len(x), k):
        raise UserError(
            f"{name} turns {len(x)} pictures into {outputs.shape} for {k} classes: give as many names as it has outputs"
        )
    if not np.isfinite(outputs).all():
        raise UserError(f"{name} answers with numbers that are not finite: check mean, std and input_range")
    return outputs.astype(np.float64)


def _are_probabilities(outputs: Float64[np.ndarray, "n k"], *, tolerance: float) -> bool:
    return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) <= tolerance).all())


def _refusal(path: Path) -> str:
    """Why a file is not opened, and the way out."""
    if path.suffix.lower() in PICKLES:
        return (
            f"{path} is a pickle, which can run code as it is opened, and is not: export the model to ONNX "
            "(torch.onnx.export) or save it as a bundle of safetensors (edubba.core.models.save)"
        )
    if path.suffix.lower() == ".safetensors":
        return f"{path} holds weights without their network: give the bundle's folder, or export the model to ONNX"
    return f"{path} is no model: give a bundle, a run folder, an .onnx file or module:attribute"


def _from_bundle(path: Path, own: dict[str, Any], allow_code: bool) -> dict[str, Any]:
    if (path / "spec.toml").is_file():
        if not (path / "model" / "model.json").is_file():
            raise UserError(f"{path} is a run without a model: finish it, or give another")
        path = path / "model"
    if given := [name for name, value in own.items() if value is not None]:
        raise UserError(f"{path} says itself what it takes: leave out {', '.join(given)}")
    bundle = models.load(path, allow_code=allow_code)
    card = bundle.card
    if card["kind"] != "classifier":
        raise UserError(f"{path} is an {card['kind']}, which names no classes: give a classifier made from it")

    @torch.inference_mode()
    def answer(x: Float32[np.ndarray, "n c s s"]) -> np.ndarray:
        return bundle.model(torch.from_numpy(x).contiguous(memory_format=torch.channels_last)).numpy()

    return {
        "name": str(path), "kind": "bundle", "classes": [str(name) for name in card["output"]["classes"]],
        "size": card["input"]["size"], "channels": card["input"]["channels"], "answer": answer, "warnings": [],
        "sha256": hashlib.sha256((path / "model.json").read_bytes()).hexdigest(),
    }  # fmt: skip


def _from_code(name: str, own: dict[str, Any]) -> dict[str, Any]:
    found: Any = encoders.find(name)
    if not isinstance(found, nn.Module) and (inspect.isclass(found) or (callable(found) and not _needed(found))):
        found = found()
    if not callable(found):
        raise UserError(f"{name} gives {type(found).__name__!r}: an nn.Module or a function of pictures is needed")
    if own["size"] is None:
        raise UserError(f"{name} does not say which pictures it takes: give their side in pixels (--size)")
    digest = hashlib.sha256()
    file = importlib.import_module(name.partition(":")[0]).__file__
    digest.update(Path(file).read_bytes() if file else b"")
    if isinstance(found, nn.Module):
        found.eval()
        for key, tensor in sorted(found.state_dict().items()):
            digest.update(
                key.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )

    @torch.inference_mode()
    def ask(x: Float32[np.ndarray, "n c s s"]) -> np.ndarray:
        return np.asarray(torch.as_tensor(found(torch.from_numpy(x))).float().cpu())

    channels = 3 if own["mean"] is None else len(own["mean"])
    answer, warnings = _normalised(name, ask, own, channels)
    return {
        "name": name, "kind": "code", "classes": _names(name, own), "size": own["size"], "channels": channels,
        "answer": answer, "warnings": warnings, "sha256": digest.hexdigest(),
    }  # fmt: skip


def _needed(function: Callable) -> list[str]:
    """Parameters that must be given."""
    return [
        p.name for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip


def _names(name: str, own: dict[str, Any]) -> list[str]:
    if not own["classes"]:
        raise UserError(f"{name} names no classes: give their names in the order of its outputs (--classes)")
    return [str(c) for c in own["classes"]]


def _normalised(name: str, ask: Callable, own: dict[str, Any], channels: int) -> tuple[Callable, list[str]]:
    """The same function for pictures in 0 to 1, and what was assumed."""
    low, high = own["input_range"] or (0.0, 1.0)
    mean, std = ([0.0] * channels if own["mean"] is None else own["mean"], own["std"] or [1.0] * channels)
    if channels not in (1, 3) or not len(mean) == len(std) == channels or not all(s > 0 for s in std):
        raise UserError(
            f"{name} takes {channels} channels; mean {list(mean)} and std {list(std)} need one number for each of 1 or "
            "3, std above 0"
        )
    shift, factor = (np.array(part, dtype=np.float32)[:, None, None] for part in (mean, std))

    def answer(x: Float32[np.ndarray, "n c s s"]) -> np.ndarray:
        return ask((x * np.float32(high - low) + np.float32(low) - shift) / factor)

    said = own["mean"] is not None or own["std"] is not None or own["input_range"] is not None
    warning = f"nothing says how {name} wants its pictures: they are given from 0 to 1, not normalised"
    return answer, [] if said else [warning]


def _from_onnx(path: Path, own: dict[str, Any]) -> dict[str, Any]:
    onnx, runtime = need("onnx", extra="trace"), need("onnxruntime", extra="trace")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes, more than an ONNX file can have ({LARGEST:,})")
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own kinds
        raise UserError(f"{path} is damaged or no ONNX file ({_line(error)}): copy it again") from None
    foreign = sorted({node.domain for node in _nodes(model)} - DOMAINS - {f.domain for f in model.functions})
    if foreign:
        raise UserError(
            f"{path} needs operations of {foreign[0]!r}, which are code: export it with standard ones alone"
        )
    digest = hashlib.sha256(content)
    outside = _external(path, model)
    if sum(file.stat().st_size for file in outside) + len(content) > LARGEST:
        raise UserError(f"{path} and its external data have more than {LARGEST:,} bytes")
    for file in outside:
        digest.update(file.read_bytes())

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(
            str(path) if outside else content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's kinds have no common one
        raise UserError(f"{path} cannot be run by onnxruntime {runtime.__version__}: {_line(error)}") from None

    batch, channels, side = _input(path, session.get_inputs())
    output = [o.name for o in session.get_outputs() if o.type == "tensor(float)" and len(o.shape) == 2]
    if len(output) != 1:
        raise UserError(
            f"{path} has the outputs {_few([o.name for o in session.get_outputs()])}; one of float32 and form (n, "
            "classes) is needed"
        )
    own = _metadata(path, model) | {key: value for key, value in own.items() if value is not None}
    own["size"] = side if side is not None else own["size"]
    if own["size"] is None:
        raise UserError(f"{path} leaves the size of its pictures open: give their side in pixels (--size)")
    if channels is None:
        channels = 3 if own["mean"] is None else len(own["mean"])
    feed = session.get_inputs()[0].name

    def ask(x: Float32[np.ndarray, "n c s s"]) -> np.ndarray:
        step = batch or len(x)
        rows = []
        for i in range(0, len(x), step):
            some = x[i : i + step]
            full = np.concatenate([some, np.repeat(some[-1:], step - len(some), axis=0)])  # a fixed batch is filled up
            try:
                rows.append(session.run(output, {feed: np.ascontiguousarray(full)})[0][: len(some)])
            except Exception as error:  # as above
                raise UserError(f"{path} fails on pictures {full.shape}: {_line(error)}") from None
        return np.concatenate(rows)

    answer, warnings = _normalised(str(path), ask, own, channels)
    return {
        "name": str(path), "kind": "onnx", "classes": _names(str(path), own), "size": own["size"],
        "channels": channels, "answer": answer, "warnings": warnings, "sha256": digest.hexdigest(),
    }  # fmt: skip


def _line(error: Exception) -> str:
    """The first 200 characters of what a library says, in one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of an ONNX model, those of branches, loops and its own functions included."""
    left = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while left:
        node = left.pop()
        yield node
        for attribute in node.attribute:
            left += [inner for graph in (attribute.g, *attribute.graphs) for inner in graph.node]


def _external(path: Path, model: Any) -> list[Path]:
    """Files beside an ONNX file that hold some of its weights; none may lie outside its folder."""
    graphs = [model.graph]
    tensors = []
    for node in _nodes(model):
        for attribute in node.attribute:
            graphs += [attribute.g, *attribute.graphs]
            tensors += [attribute.t, *attribute.tensors]
            tensors += [t for s in (attribute.sparse_tensor, *attribute.sparse_tensors) for t in (s.values, s.indices)]
    for graph in graphs:
        tensors += graph.initializer
        tensors += [t for s in graph.sparse_initializer for t in (s.values, s.indices)]
    folder = path.parent.resolve()
    found = set()
    for tensor in tensors:
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise UserError(f"{path} reads the file {location!r} outside its folder: export it as one file")
        if not file.is_file():
            raise UserError(f"{path} keeps weights in {location!r}, which is missing: copy it beside the model")
        found.add(file)
    return sorted(found)


def _input(path: Path, inputs: list[Any]) -> tuple[int | None, int | None, int | None]:
    """Batch, channels and side that an ONNX model takes; None where they are open."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        has = "; ".join(f"{i.name} {i.type} {i.shape}" for i in inputs) or "nothing"
        raise UserError(f"{path} takes {has}: one input of float32 pictures (n, channels, h, w) is needed")
    batch, channels, h, w = (size if isinstance(size, int) else None for size in inputs[0].shape)
    if channels not in (1, 3, None) or (h is not None and w is not None and h != w):
        raise UserError(f"{path} takes pictures {inputs[0].shape}: (n, 1 or 3 channels, side, side) are needed")
    return batch, channels, h or w


def _metadata(path: Path, model: Any) -> dict[str, Any]:
    """What an ONNX file says of its classes and of the pictures it takes."""
    said: dict[str, Any] = dict.fromkeys(("classes", "size", "mean", "std", "input_range"))
    for entry in model.metadata_props:
        if entry.key in ("classes", "mean", "std"):
            try:
                value = json.loads(entry.value)
            except ValueError:
                value = None
            kind = str if entry.key == "classes" else int | float
            if not isinstance(value, list) or not all(isinstance(part, kind) for part in value):
                raise UserError(
                    f"{path}: its metadata {entry.key!r} is no JSON list of {'names' if kind is str else 'numbers'}"
                )
            said[entry.key] = value
    return said
