"""Simulation in plain torch: any device, any order of derivatives, `torch.func`. States are (b, 2**n)."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from edubba.quantum.programs import Fixed, Pauli, Program


class Term(NamedTuple):
    """coefficient * P, with P as in `programs.Pauli`."""

    coefficient: float
    x: int
    z: int
    ys: int


COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def zero(b: int, n: int, *, dtype: torch.dtype, device: torch.device) -> Complex[Tensor, "b d"]:
    """The state |0...0>, b times."""
    psi = torch.zeros(b, 1 << n, dtype=dtype, device=device)
    psi[:, 0] = 1
    return psi


KEPT = 14
"""qubits up to which index arrays are kept for the next step"""


def _kept(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    keep = lru_cache(maxsize=512)(make)
    return lambda n, *rest: (keep if n <= KEPT else make)(n, *rest)


@_kept
def _signs(n: int, z: int, device: torch.device) -> Float[Tensor, "d"]:
    """(-1)**popcount(k & z) for all k."""
    k = np.arange(1 << n) & z
    odd = np.bitwise_count(k) & 1
    return torch.from_numpy(1.0 - 2.0 * odd).to(device)


@_kept
def _partner(n: int, x: int, device: torch.device) -> Tensor:
    return torch.from_numpy(np.arange(1 << n) ^ x).to(device)


@_kept
def _held(n: int, controls: int, values: int, device: torch.device) -> Tensor:
    return torch.from_numpy((np.arange(1 << n) & controls) == values).to(device)


def pauli(psi: Complex[Tensor, "b d"], x: int, z: int, ys: int) -> Complex[Tensor, "b d"]:
    """P psi."""
    n = psi.shape[-1].bit_length() - 1
    out = psi[:, _partner(n, x, psi.device)] if x else psi
    if z:
        out = out * _signs(n, z, psi.device).to(psi.dtype)
    return out * (-1j) ** (ys % 4) if ys % 4 else out


def step(psi: Complex[Tensor, "b d"], it: Pauli | Fixed, t: Float[Tensor, "b"]) -> Complex[Tensor, "b d"]:
    """One step of a program; with -t its inverse, but for matrices."""
    n = psi.shape[-1].bit_length() - 1
    if isinstance(it, Fixed):
        new = _matrix(psi, torch.from_numpy(it.matrix).to(psi.device, psi.dtype), it.bits)
    else:
        turn = torch.polar(torch.ones_like(t), np.pi * t)
        phase = torch.polar(torch.ones_like(t), np.pi * it.shift * t) if it.shift else torch.ones_like(turn)
        a, b = (
            (phase * (1 + turn) / 2)[:, None].to(psi.dtype),
            (phase * (1 - turn) / 2 * it.sign)[:, None].to(psi.dtype),
        )
        new = a * psi + b * pauli(psi, it.x, it.z, it.ys)
    return torch.where(_held(n, it.controls, it.values, psi.device), new, psi) if it.controls else new


def _matrix(psi: Complex[Tensor, "b d"], matrix: Complex[Tensor, "m m"], bits: Sequence[int]) -> Complex[Tensor, "b d"]:
    n, k = psi.shape[-1].bit_length() - 1, len(bits)
    axes = [n - bit for bit in bits]  # 0 is the batch
    rest = [i for i in range(n + 1) if i not in axes]
    moved = psi.reshape(-1, *[2] * n).permute(*rest, *axes)
    new = moved.reshape(-1, 1 << k) @ matrix.T
    back = np.argsort([*rest, *axes]).tolist()
    return new.reshape(moved.shape).permute(*back).reshape(psi.shape)


def run(program: Program, t: Float[Tensor, "b m"], psi: Complex[Tensor, "b d"] | None = None) -> Complex[Tensor, "b d"]:
    """The state after all steps, from |0...0> or from `psi`."""
    if psi is None:
        psi = zero(len(t), program.n, dtype=COMPLEX[t.dtype], device=t.device)
    for i, it in enumerate(program.steps):
        psi = step(psi, it, t[:, i])
    return psi


def expectation(psi: Complex[Tensor, "b d"], observables: Sequence[Sequence[Term]]) -> Float[Tensor, "b k"]:
    """<psi| O |psi> of each observable."""
    n = psi.shape[-1].bit_length() - 1
    probability = psi.real.square() + psi.imag.square()
    values: dict[tuple[int, int, int], Tensor] = {}
    columns = []
    for terms in observables:
        total = torch.zeros_like(probability[:, 0])
        for coefficient, x, z, ys in terms:
            key = (x, z, ys)
            if key not in values:
                if x:
                    values[key] = (psi.conj() * pauli(psi, x, z, ys)).sum(-1).real
                else:
                    values[key] = probability @ _signs(n, z, psi.device).to(probability.dtype)
            total = total + coefficient * values[key]
        columns.append(total)
    return torch.stack(columns, -1)


class Adjoint(torch.autograd.Function):
    """Expectations whose gradient needs three states, whatever the depth; further derivatives run in plain torch."""

    @staticmethod
    def forward(ctx, t: Tensor, program: Program, observables: tuple[tuple[Term, ...], ...]) -> Tensor:
        with torch.no_grad():
            psi = run(program, t)
            ctx.program, ctx.observables = program, observables
            ctx.save_for_backward(t, psi)
            return expectation(psi, observables)

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        t, psi = ctx.saved_tensors
        program, observables = ctx.program, ctx.observables
        if torch.is_grad_enabled():  # someone wants the derivative of the derivative
            with torch.enable_grad():
                (found,) = torch.autograd.grad(expectation(run(program, t), observables), t, g, create_graph=True)
            return found, None, None
        return backward(program, t, psi, observables, g), None, None


def backward(
    program: Program, t: Float[Tensor, "b m"], psi: Complex[Tensor, "b d"], observables: Sequence[Sequence[Term]],
    g: Float[Tensor, "b k"],
) -> Float[Tensor, "b m"]:  # fmt: skip
    """Gradient of sum(g * E) by undoing the steps one by one (Jones and Gacon 2020)."""
    weight: dict[tuple[int, int, int], Tensor] = {}
    for k, terms in enumerate(observables):
        for coefficient, x, z, ys in terms:
            weight[x, z, ys] = weight.get((x, z, ys), 0) + coefficient * g[:, k]
    other = sum((w[:, None] * pauli(psi, *key) for key, w in weight.items()), torch.zeros_like(psi))
    out = torch.zeros_like(t)
    for i in range(len(program.steps) - 1, -1, -1):
        it = program.steps[i]
        if isinstance(it, Fixed):
            undo = Fixed(it.matrix.conj().T, it.bits, it.controls, it.values)
            psi, other = step(psi, undo, t[:, i]), step(other, undo, t[:, i])
            continue
        moved = (it.shift + 0.5) * psi - 0.5 * it.sign * pauli(psi, it.x, it.z, it.ys)
        if it.controls:
            n = psi.shape[-1].bit_length() - 1
            moved = moved * _held(n, it.controls, it.values, psi.device)
        # d/dt of the step is i pi (shift + (1 - P) / 2) times the step
        out[:, i] = -2 * np.pi * (other.conj() * moved).sum(-1).imag
        psi, other = step(psi, it, -t[:, i]), step(other, it, -t[:, i])
    return out
