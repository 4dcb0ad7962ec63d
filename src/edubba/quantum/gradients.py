"""How expectations are differentiated. All agree; they differ in what they may be used with and in what they cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import states
from edubba.quantum.programs import Pauli, Program
from edubba.quantum.states import Term

try:  # without numba everything runs in plain torch
    from edubba.quantum import engine
except ModuleNotFoundError as error:
    if error.name != "numba":
        raise
    engine = None

Terms = tuple[tuple[Term, ...], ...]
Evaluate = Callable[[Tensor, np.ndarray], Tensor]
"""(values (n, p), places of the circuits (n,)) to expectations (n, k)"""


def exact(t: Float[Tensor, "b m"], program: Program, terms: Terms) -> Float[Tensor, "b k"]:
    """Expectations in plain torch."""
    return states.expectation(states.run(program, t), terms)


@dataclass(frozen=True)
class Adjoint:
    """Exact, by undoing the circuit: three states of memory whatever its depth. For exact expectations only."""

    def on_exponents(self, t: Tensor, group: Any, terms: Terms) -> Tensor:
        return states.Adjoint.apply(t, group.program, terms)

    def on_values(self, evaluate: Evaluate, values: Tensor) -> Tensor:
        return evaluate(values, np.arange(len(values)))


@dataclass(frozen=True)
class Backprop:
    """Exact, by torch's own autograd: keeps a state for every step. For exact expectations only."""

    def on_exponents(self, t: Tensor, group: Any, terms: Terms) -> Tensor:
        return exact(t, group.program, terms)

    def on_values(self, evaluate: Evaluate, values: Tensor) -> Tensor:
        return evaluate(values, np.arange(len(values)))


@dataclass(frozen=True)
class ParameterShift:
    """Exact, from expectations at shifted exponents, step by step: what a processor can do. Also for shots."""

    evaluate: Callable[[Tensor, Program, Terms], Tensor] = exact

    def on_exponents(self, t: Tensor, group: Any, terms: Terms) -> Tensor:
        return _Shifted.apply(t, group.program, terms, self.evaluate)

    def on_values(self, evaluate: Evaluate, values: Tensor) -> Tensor:
        return evaluate(values, np.arange(len(values)))


TWO = ((0.5, np.pi / 2),)
FOUR = ((0.5, np.pi / 4 * (1 / np.sqrt(2) + 1)), (1.5, np.pi / 4 * (1 / np.sqrt(2) - 1)))


def shifts(step: Any) -> tuple[tuple[float, float], ...]:
    """(s, w): dE/dt = sum of w (E(t + s) - E(t - s)), exact for the frequencies that a step has.

    A power has eigenvalues 1 and exp(i pi t), one frequency. Under controls a shift other than 0 and -1 adds a third
    eigenvalue and with it the half frequency (Wierichs et al. 2022); only the rotations' -1/2 does occur.
    """
    if not isinstance(step, Pauli):
        return ()
    if not (step.x or step.z):
        if not step.controls:
            return ()  # a global phase, which no expectation sees
        if step.shift == 0.0:
            return TWO
    if step.controls and step.shift == -0.5:
        return FOUR
    if step.controls and step.shift not in (0.0, -1.0):
        raise UserError(
            f"the parameter shift has no rule for a controlled power with global shift {step.shift}: use Adjoint"
        )
    return TWO


class _Shifted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t: Tensor, program: Program, terms: Terms, evaluate: Any) -> Tensor:
        ctx.program, ctx.terms, ctx.evaluate = program, terms, evaluate
        ctx.save_for_backward(t)
        with torch.no_grad():
            return evaluate(t, program, terms)

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        (t,) = ctx.saved_tensors
        columns = []
        for i, step in enumerate(ctx.program.steps):
            column = torch.zeros_like(t[:, 0])
            for s, w in shifts(step):
                by = torch.zeros_like(t[0])
                by[i] = s
                ahead, behind = (
                    _Shifted.apply(t + sign * by, ctx.program, ctx.terms, ctx.evaluate) for sign in (1, -1)
                )
                column = column + w * (g * (ahead - behind)).sum(1)
            columns.append(column)
        return torch.stack(columns, 1) if columns else torch.zeros_like(t), None, None, None


@dataclass(frozen=True)
class LinearCombination:
    """dE/dv = sum of weight * E(v + perturbation): approximate. Also for shots."""

    weights: Sequence[float]
    perturbations: Sequence[float]
    evaluate: Callable[[Tensor, Program, Terms], Tensor] = exact

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.perturbations) or len(self.weights) < 2:
            raise UserError(
                f"{len(self.weights)} weights and {len(self.perturbations)} perturbations: as many of both, two at least"
            )
        if len(set(self.perturbations)) < len(self.perturbations):
            raise UserError("two perturbations are equal: each must be another")

    def on_exponents(self, t: Tensor, group: Any, terms: Terms) -> Tensor:
        return self.evaluate(t, group.program, terms)

    def on_values(self, evaluate: Evaluate, values: Tensor) -> Tensor:
        return _Combined.apply(values, evaluate, tuple(self.weights), tuple(self.perturbations))


class _Combined(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, evaluate: Evaluate, weights: Any, perturbations: Any) -> Tensor:
        ctx.evaluate, ctx.weights, ctx.perturbations = evaluate, weights, perturbations
        ctx.save_for_backward(values)
        with torch.no_grad():
            return evaluate(values, np.arange(len(values)))

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        (values,) = ctx.saved_tensors
        b, p = values.shape
        own = np.arange(b)
        columns = []
        for i in range(p):
            by = torch.zeros_like(values[0])
            by[i] = 1
            total = sum(
                w * _Combined.apply(values + d * by, lambda v, _: ctx.evaluate(v, own), ctx.weights, ctx.perturbations)
                for w, d in zip(ctx.weights, ctx.perturbations, strict=True)
            )
            columns.append((g * total).sum(1))
        return torch.stack(columns, 1) if columns else torch.zeros_like(values), None, None, None


def stencil(points: Sequence[int]) -> list[float]:
    """Weights that turn values at these multiples of h into h times the derivative, exact for the highest degree.

    >>> stencil([-1, 1])
    [-0.5, 0.5]
    """
    powers = np.vander(np.array(points, float), len(points), increasing=True).T
    return [round(float(w), 15) for w in np.linalg.solve(powers, np.eye(len(points))[1])]


def ForwardDifference(error_order: int = 1, grid_spacing: float = 1e-3) -> LinearCombination:
    """From E(v), E(v + h), ...: approximate. Also for shots, with a grid so wide that noise stays small."""
    if error_order < 1 or grid_spacing <= 0:
        raise UserError(f"error_order {error_order}, grid_spacing {grid_spacing:g}: at least 1, and above 0")
    points = list(range(error_order + 1))
    return LinearCombination([w / grid_spacing for w in stencil(points)], [p * grid_spacing for p in points])


def CentralDifference(error_order: int = 2, grid_spacing: float = 1e-3) -> LinearCombination:
    """From E(v - h), E(v + h), ...: approximate. Also for shots, with a grid so wide that noise stays small."""
    if error_order < 2 or error_order % 2 or grid_spacing <= 0:
        raise UserError(f"error_order {error_order}, grid_spacing {grid_spacing:g}: even and at least 2, and above 0")
    points = [p for p in range(-error_order // 2, error_order // 2 + 1) if p]
    return LinearCombination([w / grid_spacing for w in stencil(points)], [p * grid_spacing for p in points])
