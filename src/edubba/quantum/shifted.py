"""Expectations that are measured, and their gradients from more of the same: at shifted exponents, or at other values."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cirq
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gradients, observables, simulation, states
from edubba.quantum.circuits import Circuits, Structure
from edubba.quantum.gradients import Terms
from edubba.quantum.observables import PauliSums
from edubba.quantum.programs import Program

AMPLITUDES = 1 << 17
"""of the states that are simulated at a time"""


class Job(NamedTuple):
    """Circuits of one structure with the same observables."""

    structure: Structure
    qubits: tuple[cirq.Qid, ...]
    program: Program
    terms: Terms
    """of each observable"""
    filled_in: bool
    """whether numbers that were filled in have a gradient"""


Measure = Callable[[Sequence[Job], Sequence[Tensor]], Sequence[Tensor]]
"""Expectations (b, k) of each job's circuits, with a row of exponents each"""


def simulated(evaluate: Callable[[Tensor, Program, Terms], Tensor]) -> Measure:
    """Measures with what gives expectations (b, k) of exponents (b, m), some states at a time."""

    def measure(jobs: Sequence[Job], ts: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
        found = []
        for (_, _, program, terms, _), t in zip(jobs, ts, strict=True):
            size = simulation.chunk(program.n, max(1, AMPLITUDES >> program.n), states.COMPLEX[t.dtype])
            parts = [evaluate(part, program, terms) for part in t.split(size)] if len(t) else []
            found.append(torch.cat(parts) if parts else t.new_zeros(0, len(terms)))
        return found

    return measure


def expectation(
    measure: Measure, circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, sums: PauliSums, *,
    differentiator: Any, qubits: Sequence[cirq.Qid] | None = None, dtype: torch.dtype = torch.float32, noise: bool = False,
    constant: Sequence[str] = (),
) -> Float[Tensor, "b k"]:  # fmt: skip
    """Expectations of each circuit, as `measure` finds them.

    Parameters
    ----------
    circuits, symbols, values, sums, qubits, noise
        As in `simulation.expectation`.
    differentiator
        `gradients.ParameterShift` or `gradients.LinearCombination`.
    constant
        Symbols towards which no gradient is asked for, so that nothing is measured for it.
    """
    circuits, values, names = simulation.prepare(circuits, symbols, values, dtype=dtype, noise=noise)
    picked = sums.index.reshape(1, -1) if len(sums.shape) < 2 else sums.index
    b, k = len(circuits), picked.shape[1]
    if len(picked) not in (1, b):
        raise UserError(f"there are observables for {len(picked)} circuits, but {b} circuits: as many, or one row")
    picked = np.broadcast_to(picked, (b, k))
    if not b:
        return values.new_zeros(0, k)

    def split(values: Tensor) -> tuple[list[Job], list[Tensor], np.ndarray]:
        """Jobs, the exponents of each, and the places of all rows."""
        jobs, ts, places = [], [], []
        for group in simulation.groups(circuits, values, names, qubits):
            its = circuits.structure[group.index[0]]
            rows = picked[group.index]
            for row in np.unique(rows, axis=0):
                same = np.flatnonzero((rows == row).all(1))
                terms = tuple(observables.terms(sums.sums[i], group.qubits) for i in row.tolist())
                filled_in = circuits.numbers[its].requires_grad
                jobs.append(Job(circuits.structures[its], group.qubits, group.program, terms, filled_in))
                ts.append(group.t if len(same) == len(rows) else group.t[same])
                places.append(group.index[same])
        return jobs, ts, np.argsort(np.concatenate(places))

    jobs, ts, order = split(values)
    wanted = [name for name in names if values.requires_grad and name not in constant]
    if isinstance(differentiator, gradients.ParameterShift):
        rules = [
            [shift for i in _moving(job, wanted) for by, w in gradients.shifts(job.program.steps[i])
             for shift in ((i, by, w), (i, -by, -w))]
            for job in jobs
        ]  # fmt: skip
        return torch.cat(gradients.Shifted.apply(lambda points: measure(jobs, points), rules, *ts))[order]

    def at_values(points: Sequence[Tensor]) -> Sequence[Tensor]:
        many = [split(part)[1] for part in points[0].split(b)]
        found = measure(jobs, [torch.cat(own) for own in zip(*many, strict=True)])
        whole = torch.cat([own.reshape(len(many), len(own) // len(many), k) for own in found], 1)
        return [whole[:, order].flatten(0, 1)]

    pairs = list(zip(differentiator.perturbations, differentiator.weights, strict=True))
    rule = [(i, by, w) for i, name in enumerate(names) if name in wanted for by, w in pairs]
    return gradients.Shifted.apply(at_values, [rule], values)[0]


def _moving(job: Job, wanted: Sequence[str]) -> list[int]:
    """Steps whose exponents have a gradient: by symbols, or by numbers that were filled in."""
    of = [any(str(s) in wanted for s in e.free_symbols) for e in job.structure.expressions]
    moved = (job.program.of_expressions[of] != 0).any(0)
    if job.filled_in:
        moved |= (job.program.of_numbers != 0).any(0)
    return torch.nonzero(moved)[:, 0].tolist()
