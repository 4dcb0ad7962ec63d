"""Batches of circuits as one object: converted once, then indexed, joined, stored and simulated without Cirq.

Circuits that differ only in numbers share a structure; their numbers lie in one array. What is stored is what Cirq had,
moment by moment, so that `from_tensor` gives it back.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any

import cirq
import numpy as np
import sympy
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gates

DECOMPOSED = 6
"""qubits up to which a gate that Cirq cannot take apart is stored as its matrix, a channel as its Kraus operators"""


@dataclass(frozen=True)
class Structure:
    """Everything about a circuit but its numbers. Equal structures are simulated together."""

    qubits: tuple[cirq.Qid, ...]
    """sorted as Cirq sorts them: the first is the most significant bit"""
    kinds: tuple[tuple[int, Any], ...]
    """number and rest of the gates, see `gates.describe`"""
    kind: tuple[int, ...]
    """of each operation, its place in `kinds`"""
    qubit: tuple[int, ...]
    """places in `qubits`, the operations' one after the other"""
    parameter: tuple[int, ...]
    """place in `expressions`, or -1: the circuit's next number"""
    moment: tuple[int, ...]
    """of each operation"""
    expressions: tuple[sympy.Basic, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.qubits, self.kinds, self.kind, self.qubit, self.parameter, self.moment, self.expressions))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Names, in natural order: t2 before t10."""
        return natural({str(s) for e in self.expressions for s in e.free_symbols})

    def operations(self) -> Iterable[tuple[int, tuple[int, Any], tuple[int, ...], tuple[int, ...]]]:
        """(moment, kind, qubits, parameters) of each operation."""
        sizes = [(gates.width(*kind), gates.parameters(*kind)) for kind in self.kinds]
        at = slot = 0
        for moment, kind in zip(self.moment, self.kind, strict=True):
            n, fields = sizes[kind]
            yield moment, self.kinds[kind], self.qubit[at : at + n], self.parameter[slot : slot + fields]
            at, slot = at + n, slot + fields


def natural(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order in which people count.

    >>> natural(["t10", "t2", "a"])
    ('a', 't2', 't10')
    """
    return tuple(sorted(names, key=lambda s: [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", s)]))


@dataclass(frozen=True)
class Circuits:
    """A tensor of circuits. Made by `convert_to_tensor`; taken apart by `from_tensor`."""

    structures: tuple[Structure, ...]
    numbers: tuple[Float64[Tensor, "_ _"], ...]
    """of each structure, the numbers of its circuits in the order of its operations"""
    structure: Int64[np.ndarray, "*shape"]
    """of each circuit, its place in `structures`"""
    row: Int64[np.ndarray, "*shape"]
    """of each circuit, its place in the numbers of its structure"""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.structure.shape

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What simulations of this tensor have prepared for the next one."""
        return {}

    @property
    def device(self) -> torch.device:
        return self.numbers[0].device if self.numbers else torch.device("cpu")

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Names of all circuits, in natural order."""
        used = set(self.structure.ravel().tolist())
        return natural({s for i in used for s in self.structures[i].symbols})

    @cached_property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        """Of all circuits, sorted."""
        used = set(self.structure.ravel().tolist())
        return tuple(sorted({q for i in used for q in self.structures[i].qubits}))

    @cached_property
    def channel(self) -> str | None:
        """The first channel and where it acts, in words; None: the circuits have no noise."""
        for i in np.unique(self.structure).tolist():
            its = self.structures[i]
            if gates.CHANNELS.isdisjoint(number for number, _ in its.kinds):
                continue
            moment, (number, _), on, _ = next(op for op in its.operations() if op[1][0] in gates.CHANNELS)
            return f"{gates.FAMILIES[number].cls.__name__} on {its.qubits[on[0]]} in moment {moment}"
        return None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single circuit has no length")
        return self.shape[0]

    def __getitem__(self, key: Any) -> "Circuits":
        if isinstance(key, Tensor):
            key = key.cpu().numpy()
        picked = self.structure[key]
        return replace(self, structure=np.asarray(picked), row=np.asarray(self.row[key]))

    def reshape(self, *shape: int) -> "Circuits":
        return replace(self, structure=self.structure.reshape(*shape), row=self.row.reshape(*shape))

    def to(self, device: str | torch.device) -> "Circuits":
        return replace(self, numbers=tuple(x.to(device) for x in self.numbers))

    def __repr__(self) -> str:
        return f"Circuits(shape={self.shape}, structures={len(self.structures)}, symbols={len(self.symbols)})"


def join(parts: Sequence[Circuits], how: Callable[[list[np.ndarray]], np.ndarray]) -> Circuits:
    """Several tensors as one; `how` joins their index arrays."""
    place: dict[Structure, int] = {}
    numbers: list[list[Tensor]] = []
    structure, row = [], []
    for part in parts:
        target = np.zeros(len(part.structures), np.int64)
        shift = np.zeros(len(part.structures), np.int64)
        for i, (each, values) in enumerate(zip(part.structures, part.numbers, strict=True)):
            target[i] = place.setdefault(each, len(place))
            if target[i] == len(numbers):
                numbers.append([])
            shift[i] = sum(len(v) for v in numbers[target[i]])
            numbers[target[i]].append(values)
        structure.append(target[part.structure])
        row.append(part.row + shift[part.structure])
    return Circuits(tuple(place), tuple(torch.cat(v) for v in numbers), how(structure), how(row))


def aligned(circuits: Circuits, beside: frozenset[cirq.Qid] = frozenset()) -> Circuits:
    """The same circuits with as few structures as possible: where one lacks a gate that others have, its exponent is 0.

    Thirty-two encodings of bits by X gates become one structure. Only circuits that act on the same qubits, those of
    `beside` included, are brought together.
    """
    found = _alignment(circuits.structures, beside)
    if len(found[0]) == len(circuits.structures):
        return circuits
    structures, target, columns = found
    structure, row = target[circuits.structure], np.empty_like(circuits.row)
    numbers = []
    for i, its in enumerate(structures):
        rows, at = [], 0
        for j in np.flatnonzero(target == i).tolist():
            used = circuits.structure == j
            if not used.any():
                continue
            picked, place = np.unique(circuits.row[used], return_inverse=True)
            own = circuits.numbers[j][picked]
            whole = own.new_zeros(len(own), its.parameter.count(-1))
            whole[:, columns[j]] = own
            rows.append(whole)
            row[used] = at + place
            at += len(own)
        numbers.append(torch.cat(rows) if rows else torch.zeros(0, its.parameter.count(-1), dtype=torch.float64))
    return Circuits(structures, tuple(numbers), structure, row)


IDENTITY = gates.PLACE[cirq.IdentityGate]
SPARE = 1.25
"""how much longer than its longest circuit a common structure may be, and a gate on every qubit besides"""
Operation = tuple[tuple[int, Any], tuple[cirq.Qid, ...], tuple[Any, ...]]
"""kind, qubits, expressions: None for a number"""


@lru_cache(maxsize=256)
def _alignment(
    structures: tuple[Structure, ...], beside: frozenset[cirq.Qid]
) -> tuple[tuple[Structure, ...], np.ndarray, list[np.ndarray]]:
    """Common structures, which of them stands for each, and where its numbers go."""
    frames: list[tuple[frozenset[cirq.Qid], list[Operation], list[tuple[int, list[int]]]]] = []
    longest: list[int] = []
    for i, each in enumerate(structures):
        own = [
            (kind, tuple(each.qubits[q] for q in on), tuple(None if p < 0 else each.expressions[p] for p in parameters))
            for _, kind, on, parameters in each.operations()
        ]
        on = beside | frozenset(each.qubits)
        for k, (qubits, frame, members) in enumerate(frames):
            room = SPARE * max(longest[k], len(own)) + len(on)
            merged = _merged(frame, own, room) if qubits == on else None
            if merged is not None:
                whole, moved, places = merged
                members[:] = [(j, [moved[at] for at in its]) for j, its in members]
                members.append((i, places))
                frames[k] = qubits, whole, members
                longest[k] = max(longest[k], len(own))
                break
        else:
            frames.append((on, own, [(i, list(range(len(own))))]))
            longest.append(len(own))
    out, target, columns = [], np.zeros(len(structures), np.int64), [np.zeros(0, np.int64)] * len(structures)
    for k, (_, frame, members) in enumerate(frames):
        if len(members) == 1:  # it stays as it was, moment by moment
            out.append(structures[members[0][0]])
            target[members[0][0]] = k
            columns[members[0][0]] = np.arange(out[-1].parameter.count(-1))
            continue
        first = np.cumsum([0, *(sum(p is None for p in parameters) for _, _, parameters in frame)])
        for i, places in members:
            target[i] = k
            columns[i] = np.array([c for at in places for c in range(first[at], first[at + 1])], np.int64)
        qubits = tuple(sorted({q for _, on, _ in frame for q in on}))
        kinds = list(dict.fromkeys(kind for kind, _, _ in frame))
        expressions = list(dict.fromkeys(p for _, _, parameters in frame for p in parameters if p is not None))
        out.append(
            Structure(
                qubits,
                tuple(kinds),
                tuple(kinds.index(kind) for kind, _, _ in frame),
                tuple(qubits.index(q) for _, on, _ in frame for q in on),
                tuple(-1 if p is None else expressions.index(p) for _, _, parameters in frame for p in parameters),
                tuple(range(len(frame))),
                tuple(expressions),
            )
        )
    return tuple(out), target, columns


def _neutral(operation: Operation) -> bool:
    """Whether it is the identity where its numbers are 0."""
    (number, _), _, parameters = operation
    return number == IDENTITY or (bool(parameters) and all(p is None for p in parameters))


def _merged(
    frame: list[Operation], own: list[Operation], room: float
) -> tuple[list[Operation], list[int], list[int]] | None:
    """A sequence that holds both, and the places of their operations; None: there is none, or it is too long."""
    after: dict[cirq.Qid, int] = {}
    """of each qubit, the place in the frame after the last operation that was found"""
    inserted: list[list[int]] = [[] for _ in range(len(frame) + 1)]
    place: list[tuple[int, int]] = []
    used = [False] * len(frame)
    for i, operation in enumerate(own):
        on = operation[1]
        start = max((after.get(q, 0) for q in on), default=0)
        at = next((j for j in range(start, len(frame)) if frame[j] == operation and not used[j]), None)
        if at is None:
            if not _neutral(operation):
                return None
            place.append((start, len(inserted[start])))
            inserted[start].append(i)
            end = start
        else:
            used[at] = True
            place.append((at, -1))
            end = at + 1
        for q in on:
            after[q] = end
    if not all(hit or _neutral(operation) for hit, operation in zip(used, frame, strict=True)):
        return None
    if len(frame) + sum(map(len, inserted)) > room:
        return None
    whole: list[Operation] = []
    first, moved = [], []
    for at in range(len(frame) + 1):
        first.append(len(whole))
        whole += [own[i] for i in inserted[at]]
        if at < len(frame):
            moved.append(len(whole))
            whole.append(frame[at])
    return whole, moved, [moved[at] if k < 0 else first[at] + k for at, k in place]


def append(first: Circuits, second: Circuits) -> Circuits:
    """Each circuit of the first followed by that of the second; one circuit goes with all."""
    shape = np.broadcast_shapes(first.shape, second.shape)
    a, b = (np.broadcast_to(c.structure, shape).ravel() for c in (first, second))
    row_a, row_b = (np.broadcast_to(c.row, shape).ravel() for c in (first, second))
    pairs, inverse = np.unique(np.stack([a, b]), axis=1, return_inverse=True)
    structures, numbers, row = [], [], np.zeros(len(a), np.int64)
    for i, (p, q) in enumerate(pairs.T.tolist()):
        structures.append(_append(first.structures[p], second.structures[q]))
        which = np.flatnonzero(inverse == i)
        row[which] = np.arange(len(which))
        numbers.append(
            torch.cat([first.numbers[p][row_a[which]], second.numbers[q][row_b[which]].to(first.device)], dim=1)
        )
    return Circuits(tuple(structures), tuple(numbers), inverse.reshape(shape), row.reshape(shape))


@lru_cache(maxsize=4096)
def _append(a: Structure, b: Structure) -> Structure:
    qubits = tuple(sorted({*a.qubits, *b.qubits}))
    place = {q: i for i, q in enumerate(qubits)}
    kinds = list(dict.fromkeys([*a.kinds, *b.kinds]))
    expressions = list(dict.fromkeys([*a.expressions, *b.expressions]))
    after = max(a.moment, default=-1) + 1
    return Structure(
        qubits,
        tuple(kinds),
        tuple(kinds.index(s.kinds[k]) for s in (a, b) for k in s.kind),
        tuple(place[s.qubits[q]] for s in (a, b) for q in s.qubit),
        tuple(-1 if p < 0 else expressions.index(s.expressions[p]) for s in (a, b) for p in s.parameter),
        (*a.moment, *(m + after for m in b.moment)),
        tuple(expressions),
    )


class _Reader:
    """What a conversion has seen so far: qubits, kinds of gates, structures."""

    def __init__(self) -> None:
        self.by_id: dict[int, int] = {}
        self.qubit: dict[cirq.Qid, int] = {}
        self.kind: dict[tuple[int, Any], int] = {}
        self.usual = {cls: (self._kind((i, rest)), get, shifted) for cls, (i, rest, get, shifted) in USUAL.items()}
        """of a class of gates: its kind where the rest is the usual one, its parameters, whether the rest may differ"""
        self.orders: dict[frozenset[int], tuple[tuple[cirq.Qid, ...], dict[int, int]]] = {}
        self.structures: dict[Any, int] = {}
        self.numbers: list[list[list[float]]] = []

    def read(self, circuit: Any) -> tuple[int, int]:
        """Structure and row of a circuit."""
        kind: list[int] = []
        qubit: list[int] = []
        parameter: list[int] = []
        moment: list[int] = []
        numbers: list[float] = []
        expressions: dict[sympy.Basic, int] = {}
        measured: set[int] = set()
        by_id, usual = self.by_id, self.usual
        for m, each in enumerate(circuit.moments):
            for op in each.operations:
                gate = op._gate if type(op) in PLAIN else None
                fast = usual.get(type(gate))
                if fast is not None and gate is not None and not (fast[2] and gate._global_shift):
                    parts = ((fast[0], fast[1](gate), op._qubits),)
                else:
                    parts = [(self._kind(name), values, qubits) for name, values, qubits in _describe(op, m)]
                for k, values, qubits in parts:
                    if k < 0:
                        measured.update(self._number(q) for q in qubits)
                        continue
                    kind.append(k)
                    moment.append(m)
                    for q in qubits:
                        i = by_id.get(id(q))
                        if i is None:
                            i = self._number(q)
                        qubit.append(i)
                        if measured and i in measured:
                            raise UserError(
                                f"{q} is measured before moment {m} and used after: measure at the end, or not at all"
                            )
                    for v in values:
                        if type(v) is float:
                            numbers.append(v)
                            parameter.append(-1)
                        elif isinstance(v, sympy.Basic) and not v.is_number:
                            parameter.append(expressions.setdefault(v, len(expressions)))
                        else:
                            numbers.append(float(v))
                            parameter.append(-1)
        used = frozenset(qubit)
        if used not in self.orders:
            names = list(self.qubit)
            order = sorted(used, key=lambda i: names[i])
            self.orders[used] = tuple(names[i] for i in order), {i: place for place, i in enumerate(order)}
        order, place = self.orders[used]
        key = (
            order,
            tuple(kind),
            tuple(map(place.__getitem__, qubit)),
            tuple(parameter),
            tuple(moment),
            tuple(expressions),
        )
        i = self.structures.setdefault(key, len(self.structures))
        if i == len(self.numbers):
            self.numbers.append([])
        self.numbers[i].append(numbers)
        return i, len(self.numbers[i]) - 1

    def _kind(self, name: tuple[int, Any]) -> int:
        return -1 if name is MEASURED else self.kind.setdefault(name, len(self.kind))

    def _number(self, q: cirq.Qid) -> int:
        i = self.qubit.setdefault(q, len(self.qubit))
        self.by_id[id(q)] = i
        return i

    def finish(self) -> tuple[tuple[Structure, ...], tuple[Tensor, ...]]:
        """Structures, each with the kinds that it has, in the order of their first use."""
        names = list(self.kind)
        structures = []
        for order, kind, qubit, parameter, moment, expressions in self.structures:
            own = {k: i for i, k in enumerate(dict.fromkeys(kind))}
            kinds = tuple(names[k] for k in own)
            structures.append(
                Structure(order, kinds, tuple(own[k] for k in kind), qubit, parameter, moment, expressions)
            )
        return tuple(structures), tuple(torch.tensor(rows, dtype=torch.float64) for rows in self.numbers)


PLAIN = {cirq.GateOperation, type(cirq.X(cirq.LineQubit(0)))}


def _usual(cls: type, i: int) -> tuple[int, Any, Callable[[Any], tuple[Any, ...]], bool]:
    fields = gates.FAMILIES[i].fields
    get = attrgetter(*fields) if len(fields) > 1 else lambda gate: (gate._exponent,)
    rotation = cls in (cirq.Rx, cirq.Ry, cirq.Rz, cirq.MSGate)
    shifted = not rotation and cls not in (cirq.PhasedXZGate, cirq.FSimGate)
    return i, 0.0 if shifted else None, get, shifted


USUAL = {
    cls: _usual(cls, i)
    for cls, i in gates.PLACE.items()
    if gates.FAMILIES[i].fields and cls is not cirq.PauliStringPhasorGate
}
"""gates that nearly all circuits are made of, read without asking Cirq"""
MEASURED = (-1, "measured")


def _describe(op: Any, moment: int) -> list[tuple[tuple[int, Any], tuple[Any, ...], tuple[cirq.Qid, ...]]]:
    """An operation as gates of the families: as it is, taken apart by Cirq, or as its matrices."""
    op = op.untagged
    if isinstance(op.gate, cirq.MeasurementGate):
        return [(MEASURED, (), op.qubits)]
    if isinstance(op, cirq.ClassicallyControlledOperation):
        raise UserError(f"{op} in moment {moment} depends on a measurement, which no tensor of circuits can hold")
    if isinstance(op, cirq.PauliStringPhasor) or (
        isinstance(op, cirq.PauliString) and op.gate is not None
    ):  # on its own qubits, wherever the string is the identity too
        op = op.gate.on(*op.qubits)
    if isinstance(op, cirq.ControlledOperation) and op.sub_operation.gate is not None:
        op = cirq.ControlledGate(op.sub_operation.gate, control_values=op.control_values).on(*op.qubits)
    if op.gate is not None:
        found = gates.describe(op.gate)
        if found is not None:
            return [((found[0], found[1]), found[2], op.qubits)]
    if any(size != 2 for size in cirq.qid_shape(op)):
        raise UserError(f"{op} in moment {moment} is not on qubits: only levels 0 and 1 are simulated")
    parts = cirq.decompose_once(op, None)
    if parts is not None and parts != [op]:
        return [found for part in parts for found in _describe(part, moment)]
    gate: cirq.Gate | None = None
    if len(op.qubits) <= DECOMPOSED:
        if (matrix := cirq.unitary(op, None)) is not None:
            gate = cirq.MatrixGate(matrix)
        elif (kraus := cirq.kraus(op, None)) is not None:
            gate = cirq.KrausChannel(kraus)
    if gate is None:
        raise UserError(
            f"{op} in moment {moment} is no gate that can be simulated: it has no parts known to Cirq, and neither a"
            f" unitary nor Kraus operators on up to {DECOMPOSED} qubits"
        )
    found = gates.describe(gate)
    assert found is not None
    return [((found[0], found[1]), (), op.qubits)]


def read(items: Iterable[cirq.AbstractCircuit], shape: tuple[int, ...]) -> Circuits:
    """A tensor of this shape from as many circuits. Measurements at the end are left out.

    Raises
    ------
    UserError
        A gate with neither unitary nor Kraus operators, a qudit, or a measurement in between.
    """
    reader = _Reader()
    places = np.array([reader.read(circuit) for circuit in items], np.int64).reshape(-1, 2)
    structures, numbers = reader.finish()
    return Circuits(structures, numbers, places[:, 0].reshape(shape), places[:, 1].reshape(shape))


def rebuild(circuits: Circuits) -> cirq.Circuit:
    """A single circuit again."""
    structure = circuits.structures[int(circuits.structure)]
    numbers = iter(circuits.numbers[int(circuits.structure)][int(circuits.row)].tolist())
    moments: list[list[cirq.Operation]] = [[] for _ in range(max(structure.moment, default=-1) + 1)]
    for moment, (number, rest), qubits, parameters in structure.operations():
        values = [next(numbers) if p < 0 else structure.expressions[p] for p in parameters]
        moments[moment].append(gates.rebuild(number, rest, values).on(*(structure.qubits[q] for q in qubits)))
    circuit = cirq.Circuit()
    for ops in moments:
        on = [q for op in ops for q in op.qubits]
        # what Cirq took apart needs more than the one moment that it had
        circuit += cirq.Circuit(ops) if len(set(on)) < len(on) else cirq.Circuit(cirq.Moment(ops))
    return circuit
