"""What is simulated: a structure on given qubits, as steps whose exponents are linear in numbers and expressions."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import cirq
import numpy as np
import sympy
import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gates
from edubba.quantum.circuits import Structure


@dataclass(frozen=True)
class Pauli:
    """exp(i pi shift t) P**t on the basis states that agree with the controls.

    (P psi)[k] = sign (-i)**ys (-1)**popcount(k & z) psi[k ^ x]; bit 0 of k is the last qubit.
    """

    x: int
    z: int
    ys: int
    sign: int
    shift: float
    controls: int
    """mask of the control qubits"""
    values: int
    """and what k must be there"""


@dataclass(frozen=True)
class Fixed:
    """A constant unitary on some qubits."""

    matrix: Complex128[np.ndarray, "m m"]
    bits: tuple[int, ...]
    """of the basis state, the most significant of the matrix first"""
    controls: int
    values: int


@dataclass(frozen=True)
class Noise:
    """A channel on some qubits: rho becomes the sum of K rho K^dagger."""

    kraus: Complex128[np.ndarray, "k m m"]
    bits: tuple[int, ...]
    """of the basis state, the most significant of the operators first"""


@dataclass(frozen=True, eq=False)
class Program:
    """Steps, and how their exponents come about: t = constant + numbers @ of_numbers + expressions @ of_expressions."""

    n: int
    """qubits"""
    steps: tuple[Any, ...]
    """Pauli and Fixed; Noise too where the layer simulates channels"""
    constant: Float64[Tensor, "m"]
    of_numbers: Float64[Tensor, "c m"]
    of_expressions: Float64[Tensor, "e m"]


@dataclass(frozen=True, eq=False)
class Linear:
    """What values (b, p) add to exponents (b, m): values @ weight + bias."""

    weight: Float64[Tensor, "p m"]
    bias: Float64[Tensor, "m"]


@lru_cache(maxsize=4096)
def lowered(structure: Structure, qubits: tuple[cirq.Qid, ...]) -> Program:
    """The program of a structure on these qubits, idle ones among them.

    Raises
    ------
    UserError
        The structure has a qubit that is not among them.
    """
    place = {q: i for i, q in enumerate(qubits)}
    missing = [q for q in structure.qubits if q not in place]
    if missing:
        raise UserError(f"the circuit acts on {missing[0]}, which is not among the qubits {_named(qubits)}")
    n = len(qubits)
    at = [n - 1 - place[q] for q in structure.qubits]
    steps: list[Pauli | Fixed | Noise] = []
    constant: list[float] = []
    coefficients: list[tuple[bool, int, int, float]] = []
    number = 0
    for _, (family, rest), on, parameters in structure.operations():
        bits = [at[q] for q in on]
        source = []
        for p in parameters:
            source.append((True, number) if p < 0 else (False, p))
            number += p < 0
        for step in gates.lower(family, rest):
            if isinstance(step, gates.Channel):
                steps.append(Noise(np.array(step.kraus), tuple(bits[q] for q in step.qubits)))
                constant.append(0.0)
                continue
            controls = sum(1 << bits[q] for q, _ in step.controls)
            values = sum(v << bits[q] for q, v in step.controls)
            if isinstance(step, gates.Matrix):
                steps.append(Fixed(np.array(step.matrix), tuple(bits[q] for q in step.qubits), controls, values))
                constant.append(0.0)
                continue
            letters = dict(step.pauli)
            x = sum(1 << bits[q] for q, letter in letters.items() if letter in "XY")
            z = sum(1 << bits[q] for q, letter in letters.items() if letter in "YZ")
            ys = sum(letter == "Y" for letter in letters.values())
            for i, factor in step.t.terms:
                coefficients.append((*source[i], len(steps), factor))
            steps.append(Pauli(x, z, ys, step.sign, step.shift, controls, values))
            constant.append(step.t.constant)
    of_numbers = torch.zeros(number, len(steps), dtype=torch.float64)
    of_expressions = torch.zeros(len(structure.expressions), len(steps), dtype=torch.float64)
    for is_number, i, step, factor in coefficients:
        (of_numbers if is_number else of_expressions)[i, step] += factor
    return Program(n, tuple(steps), torch.tensor(constant, dtype=torch.float64), of_numbers, of_expressions)


def _named(qubits: Sequence[cirq.Qid]) -> str:
    names = [str(q) for q in qubits]
    return ", ".join(names if len(names) <= 6 else [*names[:3], "...", names[-1]])


@lru_cache(maxsize=4096)
def linear(
    expressions: tuple[sympy.Basic, ...], symbols: tuple[str, ...]
) -> tuple[Float64[Tensor, "p e"], Float64[Tensor, "e"]] | None:
    """Factors of the symbols, and constants; None where an expression is not linear."""
    forms = [form for e in expressions if (form := _linear(e)) is not None]
    if len(forms) < len(expressions):
        return None
    place = {name: i for i, name in enumerate(symbols)}
    weight = torch.zeros(len(symbols), len(expressions), dtype=torch.float64)
    bias = torch.zeros(len(expressions), dtype=torch.float64)
    for j, form in enumerate(forms):
        for name, factor in form.items():
            if name is None:
                bias[j] = factor
            else:
                weight[place[name], j] = factor
    return weight, bias


@lru_cache(maxsize=4096)
def evaluator(expressions: tuple[sympy.Basic, ...], symbols: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
    """From values of the symbols, (b, p), to values of the expressions, (b, e); differentiable.

    Raises
    ------
    UserError
        A symbol has no value, or an expression has a function that is not known here.
    """
    place = {name: i for i, name in enumerate(symbols)}
    missing = natural_missing(expressions, place)
    if missing:
        raise UserError(
            f"the circuits have a symbol {missing!r} that got no value: there are {', '.join(symbols) or 'none'}"
        )
    form = linear(expressions, symbols)
    if form is not None:
        return lambda v: v @ form[0].to(v.device, v.dtype) + form[1].to(v.device, v.dtype)
    for e in expressions:
        _check(e)

    def evaluate(v: Tensor) -> Tensor:
        of = dict(zip(symbols, v.unbind(-1), strict=True))
        found = [_value(e, of) for e in expressions]
        return torch.stack([torch.as_tensor(f, dtype=v.dtype, device=v.device).expand(v.shape[:-1]) for f in found], -1)

    return evaluate


FUNCTIONS: dict[Any, Callable[..., Tensor]] = {
    sympy.sin: torch.sin, sympy.cos: torch.cos, sympy.tan: torch.tan, sympy.asin: torch.asin, sympy.acos: torch.acos,
    sympy.atan: torch.atan, sympy.sinh: torch.sinh, sympy.cosh: torch.cosh, sympy.tanh: torch.tanh, sympy.exp: torch.exp,
    sympy.log: torch.log, sympy.Abs: torch.abs, sympy.sign: torch.sign,
}  # fmt: skip


def _check(e: Any) -> None:
    if e.is_Symbol or e.is_number:
        return
    if not (e.is_Add or e.is_Mul or e.is_Pow or e.func in FUNCTIONS):
        known = ", ".join(f.__name__ for f in FUNCTIONS)
        raise UserError(f"{e} cannot be computed: besides sums, products and powers there are {known}")
    for inner in e.args:
        _check(inner)


def _value(e: Any, of: dict[str, Tensor]) -> Any:
    if e.is_Symbol:
        return of[str(e)]
    if e.is_number:
        return float(e)
    inner = [_value(part, of) for part in e.args]
    if e.is_Add:
        return reduce(operator.add, inner)
    if e.is_Mul:
        return reduce(operator.mul, inner)
    return inner[0] ** inner[1] if e.is_Pow else FUNCTIONS[e.func](*inner)


def natural_missing(expressions: Sequence[sympy.Basic], known: dict[str, int]) -> str | None:
    """The first symbol that is not known."""
    return next((str(s) for e in expressions for s in e.free_symbols if str(s) not in known), None)


def _linear(expression: sympy.Basic) -> dict[str | None, float] | None:
    """Factors of the symbols, and the constant under None; None where it is not linear."""
    form: dict[str | None, float] = {}
    for term, factor in sympy.expand(expression).as_coefficients_dict().items():
        factor, rest = (term * factor).as_coeff_Mul() if not term.is_Symbol else (factor, term)
        constant, symbol = rest.as_independent(*expression.free_symbols, as_Add=False)
        if not symbol.is_Symbol and symbol != 1:
            return None
        name = str(symbol) if symbol.is_Symbol else None
        form[name] = form.get(name, 0.0) + float(factor * constant)
    return form
