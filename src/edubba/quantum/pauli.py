"""Exponentials of observables as circuits."""

import math
from collections.abc import Sequence
from itertools import combinations
from numbers import Real
from typing import Any

import cirq
import sympy

from edubba.core.errors import UserError
from edubba.quantum import observables


def exponential(operators: Any, coefficients: Sequence[Any] | None = None) -> cirq.Circuit:
    """exp(-i c O) of each operator, one after the other: exact, since the strings of one operator commute.

    Parameters
    ----------
    operators
        Sums or strings of Paulis, or one.
    coefficients
        c of each operator: a number, the name of a symbol, or an expression of symbols; None: 1.

    Raises
    ------
    UserError
        Strings of one operator that do not commute, a coefficient that is no real number, or another number of them.
    """
    many = [operators] if observables.is_observable(operators) else list(operators)
    given = [1.0] * len(many) if coefficients is None else list(coefficients)
    if len(given) != len(many):
        raise UserError(f"there are {len(given)} coefficients for {len(many)} operators: give one for each")
    ops: list[cirq.Operation] = []
    for operator, coefficient in zip(many, given, strict=True):
        c, strings = _coefficient(coefficient), observables.read(operator)
        for (_, one), (_, other) in combinations(strings, 2):
            letters = dict(other)
            if sum(q in letters and letters[q] != letter for q, letter in one) % 2:
                raise UserError(
                    f"{_named(one)} and {_named(other)} in {operator} do not commute, so that the exponential of the sum is no"
                    " product: give them as operators of their own"
                )
        qubits = sorted({q for _, string in strings for q, _ in string})
        for weight, string in strings:
            ops += _identity(weight * c, qubits) if not string else [_string(weight * c, string)]
    return cirq.Circuit(ops)


def _coefficient(given: Any) -> Any:
    if isinstance(given, str):
        return sympy.Symbol(given)
    if isinstance(given, sympy.Basic):
        if given.free_symbols:
            return given
        given = float(given) if given.is_real else given
    if isinstance(given, Real) and math.isfinite(given):
        return float(given)
    raise UserError(f"the coefficient {given!r} is no real number, name of a symbol, or expression of symbols")


def _half_turns(angle: Any) -> Any:
    return angle / sympy.pi if isinstance(angle, sympy.Basic) else angle / math.pi


def _string(angle: Any, letters: Sequence[tuple[cirq.Qid, str]]) -> cirq.Operation:
    """exp(-i angle P): phases exp(-i angle) where P is 1, exp(i angle) where it is -1."""
    named = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}
    t = _half_turns(angle)
    string = cirq.PauliString({q: named[letter] for q, letter in letters})
    return cirq.PauliStringPhasor(string, exponent_neg=t, exponent_pos=-t)


def _identity(angle: Any, qubits: Sequence[cirq.Qid]) -> list[cirq.Operation]:
    """exp(-i angle): a global phase, which matters under controls."""
    if not isinstance(angle, sympy.Basic):
        return [cirq.global_phase_operation(complex(math.cos(angle), -math.sin(angle)))]
    if not qubits:
        raise UserError(
            f"the identity has no qubit on which a phase {angle} could stand: give a number, or leave it out"
        )
    # Cirq's global phase takes no symbols: Z**-t with a phase, then Z**t without
    t = _half_turns(angle)
    return [cirq.ZPowGate(exponent=-t, global_shift=1.0)(qubits[0]), cirq.ZPowGate(exponent=t)(qubits[0])]


def _named(string: Sequence[tuple[cirq.Qid, str]]) -> str:
    return "*".join(f"{letter}({q})" for q, letter in string)
