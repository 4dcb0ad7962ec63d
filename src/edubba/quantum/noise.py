"""Circuits with channels: density matrices, exact, and trajectories, which draw one operator of each channel."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cirq
import numpy as np
import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gradients, sampling, simulation, states
from edubba.quantum.circuits import Circuits
from edubba.quantum.gradients import Terms
from edubba.quantum.programs import Fixed, Noise, Pauli, Program
from edubba.quantum.states import Term

AMPLITUDES = 1 << 22
"""of the trajectories that run at a time"""
ENTRIES = 1 << 20
"""of the density matrices that run at a time; larger ones the system takes back and clears after each step"""


def density(program: Program, t: Float[Tensor, "b m"]) -> Complex[Tensor, "b d d"]:
    """Density matrices after all steps, from |0...0>; differentiable to any order."""
    rho = _start(program, t)
    for i, it in enumerate(program.steps):
        rho = _step(rho, it, t[:, i])
    return rho


def _start(program: Program, t: Float[Tensor, "b m"]) -> Complex[Tensor, "b d d"]:
    d = 1 << program.n
    return states.zero(len(t), 2 * program.n, dtype=states.COMPLEX[t.dtype], device=t.device).reshape(-1, d, d)


def _step(rho: Complex[Tensor, "b d d"], it: Any, t: Float[Tensor, "b"]) -> Complex[Tensor, "b d d"]:
    d = rho.shape[-1]
    if isinstance(it, Noise):
        n = d.bit_length() - 1
        matrix = np.sum([np.kron(k, k.conj()) for k in it.kraus], axis=0)
        both = Fixed(matrix, (*(bit + n for bit in it.bits), *it.bits), 0, 0)
        return states.step(rho.reshape(-1, d * d), both, t).reshape(-1, d, d)
    conjugate = _conjugate(it)
    for _ in range(2):  # rho U^dagger, whose adjoint is U rho; once more: U rho U^dagger
        rho = states.step(rho.reshape(-1, d), conjugate, -t.repeat_interleave(d)).reshape(-1, d, d).mH
    return rho


def _conjugate(it: Pauli | Fixed) -> Pauli | Fixed:
    """The step that is the complex conjugate of this one, at -t."""
    if isinstance(it, Fixed):
        return replace(it, matrix=it.matrix.conj())
    return replace(it, sign=it.sign * (-1) ** it.ys)


def observed(rho: Complex[Tensor, "b d d"], observables: Sequence[Sequence[Term]]) -> Float[Tensor, "b k"]:
    """tr(O rho) of each observable."""
    k = np.arange(rho.shape[-1])
    values: dict[tuple[int, int, int], Tensor] = {}
    columns = []
    for terms in observables:
        total = torch.zeros_like(rho[:, 0, 0].real)
        for coefficient, x, z, ys in terms:
            key = (x, z, ys)
            if key not in values:
                values[key] = states.pauli(rho[:, k ^ x, k], 0, z, ys).sum(-1).real
            total = total + coefficient * values[key]
        columns.append(total)
    return torch.stack(columns, -1)


def exact(t: Float[Tensor, "b m"], program: Program, terms: Terms) -> Float[Tensor, "b k"]:
    """Expectations by the density matrix."""
    parts = t.split(_chunk(program, t))
    return torch.cat([observed(density(program, part), terms) for part in parts])


def _chunk(program: Program, t: Float[Tensor, "b m"], *, copies: int = 6) -> int:
    """How many density matrices run at a time; all, where autograd keeps those of every step."""
    dtype, n = states.COMPLEX[t.dtype], program.n
    if t.requires_grad and torch.is_grad_enabled():
        simulation.chunk(n, 1, dtype, copies=len(t) * (copies + 10 * len(program.steps)) << n)  # 10: measured
        return max(1, len(t))
    return simulation.chunk(n, max(1, ENTRIES >> 2 * n), dtype, copies=copies << n)


class _Adjoint(torch.autograd.Function):
    """Expectations whose gradient keeps few density matrices; autograd differentiates that further."""

    @staticmethod
    def forward(ctx, t: Tensor, program: Program, terms: Terms) -> Tensor:
        ctx.program, ctx.terms = program, terms
        ctx.save_for_backward(t)
        with torch.no_grad():
            return exact(t, program, terms)

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        (t,) = ctx.saved_tensors
        size = _chunk(ctx.program, t, copies=2 * math.isqrt(len(ctx.program.steps)) + 10)
        parts = zip(t.split(size), g.split(size), strict=True)
        return torch.cat([backward(ctx.program, part, ctx.terms, own) for part, own in parts]), None, None


def backward(
    program: Program, t: Float[Tensor, "b m"], observables: Sequence[Sequence[Term]], g: Float[Tensor, "b k"]
) -> Float[Tensor, "b m"]:
    """Gradient of sum(g * E): the observable goes back through the steps, and meets the density matrix at each.

    The matrices are kept at every sqrt(m)-th of m steps, and those between computed again.
    """
    m = len(program.steps)
    stretch = math.isqrt(m) + 1
    rho = _start(program, t)
    starts = [rho]
    for i in range(m - 1):
        rho = _step(rho, program.steps[i], t[:, i])
        if (i + 1) % stretch == 0:
            starts.append(rho)
    other = _weighted(observables, g, 1 << program.n)
    out = torch.zeros_like(t)
    for j in range(len(starts) - 1, -1, -1):
        places = range(j * stretch, min(m, (j + 1) * stretch))
        after = [starts.pop()]
        for i in places:
            after.append(_step(after[-1], program.steps[i], t[:, i]))
        for i in reversed(places):
            it, rho = program.steps[i], after.pop()
            if isinstance(it, Pauli):
                transposed = rho.conj().resolve_conj()
                # d/dt of U is i pi (shift + (1 - P) / 2) U where the controls hold
                moved = (it.shift + 0.5) * transposed - 0.5 * it.sign * _pauli(transposed, it.x, it.z, it.ys)
                if it.controls:
                    held = (np.arange(1 << program.n) & it.controls) == it.values
                    moved = moved * torch.from_numpy(held).to(t.device)
                out[:, i] = -2 * np.pi * (other * moved).sum((1, 2)).imag
                other = _step(other, it, -t[:, i])
            elif isinstance(it, Fixed):
                other = _step(other, replace(it, matrix=it.matrix.conj().T), t[:, i])
            else:
                other = _step(other, Noise(it.kraus.conj().transpose(0, 2, 1), it.bits), t[:, i])
    return out


def _pauli(matrix: Complex[Tensor, "b d d"], x: int, z: int, ys: int) -> Complex[Tensor, "b d d"]:
    """P applied to the rows."""
    return states.pauli(matrix.flatten(0, 1), x, z, ys).reshape(matrix.shape)


def _weighted(observables: Sequence[Sequence[Term]], g: Float[Tensor, "b k"], d: int) -> Complex[Tensor, "b d d"]:
    """The sum of g * O, as matrices."""
    k = np.arange(d)
    out = torch.zeros(len(g), d, d, dtype=states.COMPLEX[g.dtype], device=g.device)
    for i, terms in enumerate(observables):
        for coefficient, x, z, ys in terms:
            column = states.pauli(torch.ones(1, d, dtype=out.dtype, device=g.device), 0, z, ys)
            out[:, k, k ^ x] += coefficient * g[:, i, None] * column
    return out


def density_matrices(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, *, qubits: Sequence[cirq.Qid] | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Complex[Tensor, "b d d"], Int64[Tensor, "b"]]:  # fmt: skip
    """Padded with zeros to the largest, and how many rows each has; differentiable."""
    circuits, values, names = simulation.prepare(circuits, symbols, values, dtype=dtype, noise=True)
    found = list(simulation.groups(circuits, values, names, qubits))
    for group in found:
        simulation.chunk(group.program.n, 1, states.COMPLEX[dtype], copies=len(circuits) << group.program.n)
        _chunk(group.program, group.t)

    def make(group: simulation.Group) -> Complex[Tensor, "b d d"]:
        parts = group.t.split(_chunk(group.program, group.t))
        return torch.cat([density(group.program, part) for part in parts])

    return simulation.padded(found, make, b=len(circuits), axes=2, dtype=dtype, device=values.device)


@torch.no_grad()
def trajectories(
    program: Program, t: Float[Tensor, "b m"], repetitions: int
) -> Iterator[tuple[Int64[Tensor, "c"], Complex[Tensor, "c d"]]]:
    """Final states of so many random runs of each row of `t`, in the order of the rows, some at a time.

    Yields
    ------
    the rows that the states belong to, and the states
    """
    steps = program.steps
    first = next((i for i, it in enumerate(steps) if isinstance(it, Noise)), len(steps))
    psi = states.zero(len(t), program.n, dtype=states.COMPLEX[t.dtype], device=t.device)
    for i in range(first):
        psi = states.step(psi, steps[i], t[:, i])
    every = torch.arange(len(t), device=t.device).repeat_interleave(repetitions)
    size = simulation.chunk(program.n, max(1, AMPLITUDES >> program.n), psi.dtype, copies=6)
    for rows in every.split(size):
        own = psi[rows]
        for i in range(first, len(steps)):
            it = steps[i]
            own = jump(own, it) if isinstance(it, Noise) else states.step(own, it, t[rows, i])
        yield rows, own


def jump(psi: Complex[Tensor, "b d"], it: Noise) -> Complex[Tensor, "b d"]:
    """K psi / |K psi| with an operator K of the channel drawn for each state, with probability |K psi|^2."""
    n, m = psi.shape[-1].bit_length() - 1, 1 << len(it.bits)
    axes = [n - bit for bit in it.bits]  # 0 is the batch
    order = [i for i in range(n + 1) if i not in axes] + axes
    moved = psi.reshape(-1, *[2] * n).permute(order)
    flat = moved.reshape(len(psi), -1, m)
    kraus = torch.from_numpy(it.kraus).to(psi.device, psi.dtype)
    reduced = flat.mT @ flat.conj()
    effects = kraus.mH @ kraus
    probability = (reduced.reshape(-1, m * m) @ effects.mT.reshape(-1, m * m).T).real.clamp(min=0)
    drawn = torch.multinomial(probability, 1)
    norm = probability.gather(1, drawn).sqrt()
    new = flat @ (kraus[drawn[:, 0]] / norm[:, :, None]).mT
    return new.reshape(moved.shape).permute(np.argsort(order).tolist()).reshape(psi.shape)


def drawn(
    t: Float[Tensor, "b m"], program: Program, terms: Terms, *, repetitions: int, shots: bool
) -> Float[Tensor, "b k"]:
    """Mean over trajectories of the exact expectation, or of one shot each for every group of strings."""
    noisy = any(isinstance(it, Noise) for it in program.steps)
    runs = repetitions if shots or noisy else 1
    out = t.new_zeros(len(t), len(terms))
    for rows, psi in trajectories(program, t, runs):
        out.index_add_(0, rows, sampling.expectation(psi, terms, 1) if shots else states.expectation(psi, terms))
    return out / runs


@dataclass(frozen=True)
class Exact:
    """Expectations by the density matrix, with their gradient or by torch's own autograd."""

    plain: bool

    def on_exponents(self, t: Tensor, group: Any, terms: Terms) -> Tensor:
        return exact(t, group.program, terms) if self.plain else _Adjoint.apply(t, group.program, terms)

    def on_values(self, evaluate: gradients.Evaluate, values: Tensor) -> Tensor:
        return evaluate(values, np.arange(len(values)))


def rule(differentiator: Any, repetitions: int | None, *, shots: bool) -> Any:
    """How expectations under noise are computed and differentiated.

    Parameters
    ----------
    differentiator
        See `gradients`; None: `Adjoint()` for the density matrix, `ParameterShift()` for trajectories.
    repetitions
        Trajectories; None: the density matrix.
    shots
        One shot of each trajectory, not its exact expectation.
    """
    of_states = isinstance(differentiator, (gradients.Adjoint, gradients.Backprop))
    if repetitions is None:
        if differentiator is None or of_states:
            return Exact(plain=isinstance(differentiator, gradients.Backprop))
        return replace(differentiator, evaluate=exact)
    if of_states:
        raise UserError(
            f"{type(differentiator).__name__} needs the density matrix, repetitions=None: for trajectories use"
            " ParameterShift, CentralDifference or ForwardDifference"
        )
    return replace(
        differentiator or gradients.ParameterShift(), evaluate=partial(drawn, repetitions=repetitions, shots=shots)
    )
