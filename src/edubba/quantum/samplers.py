"""Shots of any `cirq.Sampler`, a simulator of Cirq's or a processor: circuits go there with their numbers filled in.

Values, shifts and groups of strings that can be measured together make many circuits, which are sent together.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeGuard

import cirq
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from edubba.quantum import gates, sampling, shifted, simulation
from edubba.quantum.circuits import Circuits, Structure
from edubba.quantum.observables import PauliSums
from edubba.quantum.shifted import Job

AT_ONCE = 1000
"""circuits of one `run_batch`"""
KEY = "bits"
"""of the measurement"""
POWERS = {
    "X": cirq.XPowGate, "Y": cirq.YPowGate, "Z": cirq.ZPowGate, "XX": cirq.XXPowGate, "YY": cirq.YYPowGate,
    "ZZ": cirq.ZZPowGate,
}  # fmt: skip
CONTROLLED = {
    ("X", 1): cirq.CXPowGate, ("Z", 1): cirq.CZPowGate, ("X", 2): cirq.CCXPowGate, ("Z", 2): cirq.CCZPowGate,
}  # fmt: skip
"""gates that devices know, by letter and number of controls that must be 1"""


# ---- circuits


def circuit(structure: Structure, t: Sequence[float]) -> cirq.Circuit:
    """The circuit whose steps (see `programs`) have these exponents, moment by moment."""
    moments: list[list[cirq.Operation]] = [[] for _ in range(max(structure.moment, default=-1) + 1)]
    at = 0
    for moment, (number, rest), on, _ in structure.operations():
        steps = gates.lower(number, rest)
        own, at = t[at : at + len(steps)], at + len(steps)
        qubits = [structure.qubits[q] for q in on]
        values = parameters(steps, own)
        if values is not None:
            moments[moment].append(gates.rebuild(number, rest, values).on(*qubits))
        else:
            moments[moment] += [operation(step, v, qubits) for step, v in zip(steps, own, strict=True) if _seen(step)]
    made: list[cirq.Moment] = []
    for ops in moments:
        on = [q for op in ops for q in op.qubits]
        # a gate taken apart needs more than the one moment that it had
        made += cirq.Circuit(ops).moments if len(set(on)) < len(on) else [cirq.Moment(ops)]
    return cirq.Circuit(made)


def _seen(step: gates.Step) -> TypeGuard[gates.Power]:
    """Whether a step is a power that is more than a global phase."""
    return isinstance(step, gates.Power) and bool(step.pauli or step.controls)


def parameters(steps: Sequence[gates.Step], t: Sequence[float]) -> list[float] | None:
    """The parameters with which a gate has steps of these exponents; None: it has not with any, so that it must be taken apart.

    That is so where a parameter stands in several steps of which one is shifted.
    """
    found: dict[int, float] = {}
    for step, exponent in zip(steps, t, strict=True):
        if not _seen(step):
            continue
        rest = exponent - step.t.constant - sum(factor * found[i] for i, factor in step.t.terms if i in found)
        unknown = [(i, factor) for i, factor in step.t.terms if i not in found]
        if unknown:
            ((i, factor),) = unknown
            found[i] = rest / factor
        elif abs(rest) > 1e-6:
            return None
    return [found[i] for i in range(len(found))]


def operation(step: gates.Power, t: float, qubits: Sequence[cirq.Qid]) -> cirq.Operation:
    """A step as a gate of Cirq, one that devices know where it is one."""
    held, values = [qubits[i] for i, _ in step.controls], [v for _, v in step.controls]
    on, letters = [qubits[i] for i, _ in step.pauli], "".join(letter for _, letter in step.pauli)
    if not letters:  # a phase where the controls hold, so where the last of them has its value and the others hold
        on, last, t = [held.pop()], values.pop(), t * (step.shift + 1)
        gate: cirq.Gate = cirq.ZPowGate(exponent=t) if last else cirq.ZPowGate(exponent=-t, global_shift=-1)
    elif step.sign == 1 and not step.shift and all(values) and (letters, len(held)) in CONTROLLED:
        return CONTROLLED[letters, len(held)](exponent=t).on(*held, *on)
    elif step.sign == 1 and letters in POWERS:
        gate = POWERS[letters](exponent=t, global_shift=step.shift)
    else:
        string = cirq.DensePauliString(letters, coefficient=step.sign)
        gate = cirq.PauliStringPhasorGate(string, exponent_neg=t * (1 + step.shift), exponent_pos=t * step.shift)
    return cirq.ControlledGate(gate, control_values=values).on(*held, *on) if held else gate.on(*on)


def _measured(qubits: tuple[cirq.Qid, ...], x: int, z: int) -> cirq.Circuit:
    """What turns X and Y into Z and measures, of the qubits in these masks."""
    places = _places(len(qubits), x | z)
    turns = []
    for i in places:
        bit = 1 << (len(qubits) - 1 - i)
        if x & bit:
            turns.append((cirq.X**0.5 if z & bit else cirq.Y**-0.5).on(qubits[i]))
    last = cirq.Moment(cirq.measure(*(qubits[i] for i in places), key=KEY))
    return cirq.Circuit([cirq.Moment(turns), last] if turns else [last])


def _places(n: int, mask: int) -> list[int]:
    return [i for i in range(n) if mask >> (n - 1 - i) & 1]


# ---- shots


def shots(sampler: cirq.Sampler, programs: Iterable[cirq.Circuit], repetitions: int) -> Iterator[np.ndarray]:
    """Bits (repetitions, qubits measured) of each circuit, in order."""
    programs = iter(programs)
    while some := list(islice(programs, AT_ONCE)):
        for (result,) in sampler.run_batch(some, repetitions=repetitions):
            yield result.measurements[KEY]


def bits(
    sampler: cirq.Sampler, circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, repetitions: int, *,
    qubits: Sequence[cirq.Qid] | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """Bits (repetitions, n) of each circuit; circuits, symbols and values as in `simulation.prepare`."""
    circuits, values, names = simulation.prepare(circuits, symbols, values, dtype=torch.float64, noise=True)
    found = [np.zeros((repetitions, 0), np.int8)] * len(circuits)
    places, programs = [], []
    for group in simulation.groups(circuits, values, names, qubits):
        if not group.qubits:  # there is nothing to measure
            continue
        structure = circuits.structures[circuits.structure[group.index[0]]]
        last = cirq.Circuit(cirq.Moment(cirq.measure(*group.qubits, key=KEY)))
        places += group.index.tolist()
        programs += [circuit(structure, row) + last for row in group.t.tolist()]
    for i, own in zip(places, shots(sampler, programs, repetitions), strict=True):
        found[i] = own
    return found


def expectation(
    sampler: cirq.Sampler, circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, sums: PauliSums, repetitions: int,
    *, differentiator: Any, qubits: Sequence[cirq.Qid] | None = None, dtype: torch.dtype = torch.float32,
    constant: Sequence[str] = (),
) -> Float[Tensor, "b k"]:  # fmt: skip
    """Means over shots, as many for each group of strings that can be measured together.

    See `shifted.expectation`; channels go to the sampler as they are.
    """

    def means(jobs: Sequence[Job], ts: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
        return _means(sampler, jobs, ts, repetitions)

    return shifted.expectation(
        means, circuits, symbols, values, sums, differentiator=differentiator, qubits=qubits, dtype=torch.float64,
        noise=True, constant=constant,
    ).to(dtype)  # fmt: skip


def _means(
    sampler: cirq.Sampler, jobs: Sequence[Job], ts: Sequence[Float[Tensor, "_ _"]], repetitions: int
) -> list[Float[Tensor, "_ _"]]:
    """Means (b, k) over shots of each job's circuits, with a row of exponents each."""
    groups = [sampling.grouped(job.terms) for job in jobs]

    def programs() -> Iterator[cirq.Circuit]:
        for job, its, t in zip(jobs, groups, ts, strict=True):
            last = [_measured(job.qubits, x, z) for x, z, _ in its if x | z]
            for row in t.tolist():
                bare = circuit(job.structure, row) if last else cirq.Circuit()
                yield from (bare + one for one in last)

    results = shots(sampler, programs(), repetitions)
    means = []
    for job, its, t in zip(jobs, groups, ts, strict=True):
        out, n = np.zeros((len(t), len(job.terms))), len(job.qubits)
        for row in out:
            for x, z, members in its:
                places = _places(n, x | z)
                found = next(results) if places else np.zeros((1, 0), np.int8)
                for k, term in members:  # by observable and string: equal strings in several observables stay apart
                    own = [bool((term.x | term.z) >> (n - 1 - i) & 1) for i in places]
                    row[k] += term.coefficient * np.mean(1.0 - 2.0 * (found[:, own].sum(1) & 1))
        means.append(torch.from_numpy(out).to(t.device))
    return means
