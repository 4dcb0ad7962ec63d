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


Shift = tuple[int, float, float]
"""(column, by, weight): one of the values whose weighted sum is the derivative by a column"""
NUMBERS = 1 << 24
"""in the shifted points that are asked for together"""


class Shifted(torch.autograd.Function):
    """Values (b, k) at each of some points (b, m); those that the gradient needs at shifted points are asked for together.

    Takes `evaluate`, which may get any multiple of the b rows of a point, the shifts of each point, and the points.
    """

    @staticmethod
    def forward(ctx, evaluate: Callable[..., Sequence[Tensor]], rules: Sequence[Sequence[Shift]], *points: Tensor):
        ctx.evaluate, ctx.rules = evaluate, rules
        ctx.save_for_backward(*points)
        return tuple(evaluate(points))

    @staticmethod
    def backward(ctx, *given: Tensor):
        points = ctx.saved_tensors
        total = [torch.zeros_like(x) for x in points]
        size = max(1, NUMBERS // max(1, sum(x.numel() for x in points)))
        for first in range(0, max(map(len, ctx.rules)), size):
            rules = [rule[first : first + size] for rule in ctx.rules]
            moved = []
            for x, rule in zip(points, rules, strict=True):
                by = x.new_zeros(len(rule), 1, x.shape[1])
                for r, (column, shift, _) in enumerate(rule):
                    by[r, 0, column] = shift
                moved.append((x + by).flatten(0, 1))
            found = Shifted.apply(ctx.evaluate, ctx.rules, *moved)
            for i, (x, g, rule, e) in enumerate(zip(points, given, rules, found, strict=True)):
                weight = x.new_zeros(len(rule), x.shape[1])
                for r, (column, _, w) in enumerate(rule):
                    weight[r, column] = w
                total[i] = total[i] + (g * e.reshape(len(rule), *g.shape)).sum(-1).T @ weight
        return None, None, *total


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
