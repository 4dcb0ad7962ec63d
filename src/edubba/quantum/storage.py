"""Tensors of circuits and observables as files, format `edubba.quantum.tensor/1`: nothing pickled, nothing evaluated.

An npz of four arrays or fewer: `document` is JSON in UTF-8 with everything but the numbers; `index` says of each element
which of the structures (or observables) it is; `row` which of that structure's rows of numbers it has (circuits only);
`numbers` are all rows of all structures, or all coefficients, one after the other. Gates stand under their class names in
Cirq, expressions as nested lists, so that a file outlives the order of our tables.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cirq
import numpy as np
import sympy
import torch

from edubba.core import files
from edubba.core.errors import UserError
from edubba.quantum import gates
from edubba.quantum.circuits import Circuits, Structure
from edubba.quantum.observables import PauliSums
from edubba.quantum.programs import FUNCTIONS

FORMAT = "edubba.quantum.tensor/1"
OPERATIONS = {"+": sympy.Add, "*": sympy.Mul, "**": sympy.Pow} | {f.__name__: f for f in FUNCTIONS}
CONSTANTS = {"pi": sympy.pi, "E": sympy.E}
GATES = {family.cls.__name__: i for i, family in enumerate(gates.FAMILIES)}
CONTROLLED, RANDOM = "Controlled", "RandomGateChannel"
"""those that have another gate inside"""


def save(path: str | Path, tensor: Circuits | PauliSums) -> Path:
    """Write a tensor to a file, whole or not at all; only what it uses of its numbers.

    Parameters
    ----------
    path
        Of the file, by custom `.npz`.
    tensor
        From `convert_to_tensor`, of any shape.

    Raises
    ------
    UserError
        An expression or a qubit that the format cannot hold.
    """
    document, arrays = _circuits(tensor) if isinstance(tensor, Circuits) else _sums(tensor)
    text = json.dumps({"format": FORMAT, **document}, ensure_ascii=False, allow_nan=False)
    return files.write_npz(Path(path), {"document": np.frombuffer(text.encode(), np.uint8), **arrays})


def load(path: str | Path) -> Circuits | PauliSums:
    """What `save` wrote, on the CPU; `from_tensor` gives the same circuits.

    Raises
    ------
    UserError
        There is no such file, it is damaged, something else, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}: name one that edubba.quantum.save has written")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is damaged or no file of edubba.quantum.save: write it anew")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, ValueError, NotImplementedError) as error:
        raise UserError(f"{path} is damaged or no file of edubba.quantum.save ({error}): write it anew") from None
    try:
        document = json.loads(arrays["document"].tobytes())
        written = document["format"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise UserError(f"{path} is no file of edubba.quantum.save: it has no document of format {FORMAT}") from None
    if written != FORMAT:
        raise UserError(f"{path} has the format {written!r}, and this edubba reads {FORMAT}: a newer one may read it")
    try:
        read = {"circuits": _read_circuits, "observables": _read_sums}[document["kind"]]
        return read(document, arrays)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error!r}): write it anew") from error


class _Table:
    """Different things in the order of their first use, and each one's place."""

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.write = write
        self.place: dict[Any, int] = {}
        self.written: list[Any] = []

    def __call__(self, item: Any) -> int:
        if item not in self.place:
            self.place[item] = len(self.written)
            self.written.append(self.write(item))
        return self.place[item]


def _circuits(tensor: Circuits) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    qubits, kinds, expressions = _Table(_qubit), _Table(_kind), _Table(_expression)
    index, row = np.zeros(tensor.shape, np.int64), np.zeros(tensor.shape, np.int64)
    structures, numbers = [], [np.zeros(0)]
    for place, i in enumerate(np.unique(tensor.structure).tolist()):
        own, here = tensor.structures[i], tensor.structure == i
        rows, row[here] = np.unique(tensor.row[here], return_inverse=True)
        index[here] = place
        numbers.append(tensor.numbers[i][rows].detach().cpu().numpy().ravel())
        structures.append(
            {
                "rows": len(rows), "columns": own.parameter.count(-1), "qubits": [qubits(q) for q in own.qubits],
                "kinds": [kinds(k) for k in own.kinds], "expressions": [expressions(e) for e in own.expressions],
                "operations": own.kind, "on": own.qubit, "parameters": own.parameter, "moments": own.moment,
            }
        )  # fmt: skip
    document = {
        "kind": "circuits", "shape": tensor.shape, "qubits": qubits.written, "gates": kinds.written,
        "expressions": expressions.written, "structures": structures,
    }  # fmt: skip
    return document, {"index": index, "row": row, "numbers": np.concatenate(numbers)}


def _sums(tensor: PauliSums) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    qubits = _Table(_qubit)
    used, index = np.unique(tensor.index, return_inverse=True)
    sums = [tensor.sums[i] for i in used.tolist()]
    document = {
        "kind": "observables", "shape": tensor.shape,
        "sums": [[[[qubits(q), letter] for q, letter in string] for _, string in each] for each in sums],
        "qubits": qubits.written,
    }  # fmt: skip
    numbers = np.array([coefficient for each in sums for coefficient, _ in each], np.float64)
    return document, {"index": index.reshape(tensor.shape).astype(np.int64), "numbers": numbers}


def _read_circuits(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Circuits:
    qubits = [_read_qubit(q) for q in document["qubits"]]
    kinds = [_read_kind(*k) for k in document["gates"]]
    expressions = [_read_expression(e) for e in document["expressions"]]
    flat, at = _array(arrays["numbers"], np.float64, 1), 0
    structures, numbers = [], []
    for each in document["structures"]:
        on = tuple(qubits[i] for i in _places(each["qubits"], len(qubits)))
        structure = Structure(
            on,
            tuple(kinds[i] for i in _places(each["kinds"], len(kinds))),
            _places(each["operations"], len(each["kinds"])),
            _places(each["on"], len(on)),
            _places(each["parameters"], len(each["expressions"]), low=-1),
            _places(each["moments"], 1 << 40),
            tuple(expressions[i] for i in _places(each["expressions"], len(expressions))),
        )
        rows, columns = _places([each["rows"], each["columns"]], 1 << 40)
        _check(structure, columns)
        values, at = flat[at : at + rows * columns], at + rows * columns
        structures.append(structure)
        numbers.append(torch.from_numpy(values.reshape(rows, columns).copy()))
    index, row = (_array(arrays[name], np.int64, len(document["shape"])) for name in ("index", "row"))
    _places(index.ravel().tolist(), len(structures))
    if at != len(flat) or not list(index.shape) == list(row.shape) == document["shape"]:
        raise ValueError("the arrays do not have the shapes that the document says")
    rows = np.array([len(n) for n in numbers], np.int64)
    if index.size and not ((row >= 0) & (row < rows[index])).all():
        raise ValueError("a circuit has a row of numbers that is not there")
    return Circuits(tuple(structures), tuple(numbers), index, row)


def _check(structure: Structure, columns: int) -> None:
    """Each operation has its qubits, all different, and its parameters; later operations are not in earlier moments."""
    widths = [gates.width(*kind) for kind in structure.kinds]
    fields = [gates.parameters(*kind) for kind in structure.kinds]
    if sum(widths[k] for k in structure.kind) != len(structure.qubit):
        raise ValueError("the operations need another number of qubits")
    if sum(fields[k] for k in structure.kind) != len(structure.parameter) or structure.parameter.count(-1) != columns:
        raise ValueError("the operations need another number of parameters")
    if len(structure.moment) != len(structure.kind) or list(structure.moment) != sorted(structure.moment):
        raise ValueError("the moments are not in order")
    if len(set(structure.qubits)) < len(structure.qubits):
        raise ValueError("a qubit is there twice")
    if any(len(set(on)) < len(on) for _, _, on, _ in structure.operations()):
        raise ValueError("a gate acts twice on a qubit")


def _read_sums(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> PauliSums:
    qubits = [_read_qubit(q) for q in document["qubits"]]
    numbers = _array(arrays["numbers"], np.float64, 1).tolist()
    if sum(len(each) for each in document["sums"]) != len(numbers):
        raise ValueError("there is another number of coefficients than of strings")
    coefficients = iter(numbers)
    sums = tuple(
        tuple((next(coefficients), tuple(_letter(qubits, *pair) for pair in string)) for string in each)
        for each in document["sums"]
    )
    index = _array(arrays["index"], np.int64, len(document["shape"]))
    _places(index.ravel().tolist(), len(sums))
    if list(index.shape) != document["shape"]:
        raise ValueError("the index does not have the shape that the document says")
    return PauliSums(sums, index)


def _letter(qubits: Sequence[cirq.Qid], qubit: int, letter: str) -> tuple[cirq.Qid, str]:
    if letter not in ("X", "Y", "Z"):
        raise ValueError(f"{letter!r} is no Pauli matrix")
    return qubits[_places([qubit], len(qubits))[0]], letter


def _places(items: Sequence[Any], high: int, *, low: int = 0) -> tuple[int, ...]:
    if not all(type(i) is int and low <= i < high for i in items):
        raise ValueError(f"a place is not from {low} to {high - 1}")
    return tuple(items)


def _array(array: np.ndarray, dtype: type, dimensions: int) -> np.ndarray:
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(f"an array is {array.dtype} of shape {array.shape}")
    return array


def _qubit(qubit: cirq.Qid) -> list[Any]:
    if type(qubit) is cirq.LineQubit:
        return ["line", int(qubit.x)]
    if type(qubit) is cirq.GridQubit:
        return ["grid", int(qubit.row), int(qubit.col)]
    if type(qubit) is cirq.NamedQubit:
        return ["named", qubit.name]
    try:
        text = cirq.to_json(qubit, indent=None)
        known = cirq.read_json(json_text=text) == qubit
    except (TypeError, ValueError):
        known = False
    if not known:
        raise UserError(f"the qubit {qubit!r} is of a class that Cirq cannot write and read: rename it to a NamedQubit")
    return ["cirq", text]


def _read_qubit(written: list[Any]) -> cirq.Qid:
    name, *rest = written
    if name == "cirq":
        qubit = cirq.read_json(json_text=rest[0])
        if not isinstance(qubit, cirq.Qid) or qubit.dimension != 2:
            raise ValueError(f"{rest[0]} is no qubit")
        return qubit
    if name == "named" and isinstance(rest[0], str):
        return cirq.NamedQubit(*rest)
    if not all(type(i) is int for i in rest):
        raise ValueError(f"{written} is no qubit")
    return {"line": cirq.LineQubit, "grid": cirq.GridQubit}[name](*rest)


def _kind(kind: tuple[int, Any]) -> list[Any]:
    """[class in Cirq, what else describes the gate]."""
    number, rest = kind
    if number == gates.CONTROLLED:
        values, inner, inner_rest = rest
        return [CONTROLLED, [_rest(values), _kind((inner, inner_rest))]]
    name = gates.FAMILIES[number].cls.__name__
    try:
        _check_kind(kind)
    except ValueError as error:
        raise UserError(f"a {name} cannot be stored, because Cirq could not make it again: {error}") from None
    if name == RANDOM:
        probability, inner, inner_rest, values = rest
        return [name, [probability, _kind((inner, inner_rest)), list(values)]]
    return [name, _rest(rest)]


def _read_kind(name: str, rest: Any) -> tuple[int, Any]:
    if name == CONTROLLED:
        values, inner = rest
        kind = (gates.CONTROLLED, (_read_rest(values), *_read_kind(*inner)))
    elif name == RANDOM:
        probability, inner, values = rest
        kind = (GATES[name], (probability, *_read_kind(*inner), tuple(values)))
    else:
        kind = (GATES[name], _read_rest(rest))
    _check_kind(kind)
    return kind


def _check_kind(kind: tuple[int, Any]) -> None:
    gate = gates.rebuild(*kind, [0.0] * gates.parameters(*kind))
    if cirq.num_qubits(gate) != gates.width(*kind):
        raise ValueError(f"{gate!r} has another number of qubits")


def _rest(rest: Any) -> Any:
    if isinstance(rest, tuple):
        return [_rest(item) for item in rest]
    if isinstance(rest, np.generic):
        rest = rest.item()
    if isinstance(rest, complex):
        return {"complex": [rest.real, rest.imag]}
    return rest


def _read_rest(written: Any) -> Any:
    if isinstance(written, list):
        return tuple(_read_rest(item) for item in written)
    return complex(*written["complex"]) if isinstance(written, dict) else written


def _expression(e: sympy.Basic) -> Any:
    """Nested lists: ["symbol", name], ["float", mantissa, exponent, bits], integers, ["rational", p, q], [operation, ...].

    Arguments keep their order, and reading evaluates nothing, so that what comes back is the same expression.
    """
    if type(e) is sympy.Symbol:
        assumed = {key: value for key, value in sorted(e.assumptions0.items()) if (key, value) != ("commutative", True)}
        return ["symbol", e.name, assumed] if assumed else ["symbol", e.name]
    if isinstance(e, sympy.Integer):
        return int(e)
    if isinstance(e, sympy.Rational):
        return ["rational", int(e.p), int(e.q)]
    if isinstance(e, sympy.Float):
        sign, mantissa, exponent, _ = e._mpf_
        return ["float", int(-mantissa if sign else mantissa), int(exponent), int(e._prec)]
    for name, constant in CONSTANTS.items():
        if e == constant:
            return [name]
    for name, operation in OPERATIONS.items():
        if e.func is operation:
            return [name, *(_expression(part) for part in e.args)]
    raise UserError(f"{e} cannot be stored: expressions are made of symbols, numbers and {', '.join(OPERATIONS)}")


def _read_expression(written: Any) -> Any:
    if type(written) is int:
        return sympy.Integer(written)
    name, *rest = written
    if name == "symbol":
        symbol, assumed = rest[0], rest[1] if len(rest) > 1 else {}
        if not isinstance(symbol, str) or not all(isinstance(value, bool) for value in assumed.values()):
            raise ValueError(f"{written} is no symbol")
        return sympy.Symbol(symbol, **assumed)
    if name == "rational":
        p, q = rest
        if not (type(p) is type(q) is int):
            raise ValueError(f"{written} is no fraction")
        return sympy.Rational(p, q)
    if name == "float":
        mantissa, exponent, bits = rest
        if not (type(mantissa) is type(exponent) is type(bits) is int):
            raise ValueError(f"{written} is no number")
        if not mantissa:  # which sympy would make the integer 0
            return sympy.Float(0, precision=bits)
        return sympy.Float((int(mantissa < 0), abs(mantissa), exponent, mantissa.bit_length()), precision=bits)
    if name in CONSTANTS:
        return CONSTANTS[name]
    return OPERATIONS[name](*(_read_expression(part) for part in rest), evaluate=False)
