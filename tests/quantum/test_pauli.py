"""Exponentials of observables against the matrix exponential."""

import cirq
import numpy as np
import pytest
import scipy.linalg
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from edubba import quantum as q
from edubba.core.errors import UserError

a, b, c = qubits = cirq.LineQubit.range(3)
s, t = sympy.symbols("s t")
LETTERS = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z, "I": cirq.I}


def matrix(operator):
    return cirq.PauliSum.wrap(operator).matrix(qubits)


def unitary(circuit, names=(), values=None):
    found, _ = q.Unitary(qubits=qubits, dtype=torch.float64)(circuit, symbol_names=names, symbol_values=values)
    return found[0].numpy()


@given(st.text("IXYZ", min_size=3, max_size=3), st.floats(-3, 3), st.floats(-3, 3))
def test_a_string(letters, weight, coefficient):
    operator = cirq.PauliString(
        {x: LETTERS[letter] for x, letter in zip(qubits, letters, strict=True)}, coefficient=weight
    )
    circuit = q.exponential([operator], [coefficient])
    wanted = scipy.linalg.expm(-1j * coefficient * weight * cirq.DensePauliString(letters)._unitary_())
    np.testing.assert_allclose(unitary(circuit), wanted, atol=1e-12)
    np.testing.assert_allclose(
        circuit.unitary(qubit_order=qubits, qubits_that_should_be_present=qubits), wanted, atol=1e-7
    )


COMMUTING = [
    cirq.X(a) * cirq.X(b) + 0.5 * cirq.Y(a) * cirq.Y(b) - 2 * cirq.Z(a) * cirq.Z(b) + 0.25, cirq.Z(a) - 0.3 * cirq.Z(c) * cirq.Z(b),
    cirq.X(b) * 1.0 + cirq.Y(c) + 1,
]  # fmt: skip


def test_sums_one_after_the_other_with_numbers_and_symbols():
    wanted = np.eye(8)
    for operator, angle in zip(COMMUTING, (0.3, -0.7, 1.1), strict=True):
        wanted = scipy.linalg.expm(-1j * angle * matrix(operator)) @ wanted
    np.testing.assert_allclose(unitary(q.exponential(COMMUTING, [0.3, -0.7, 1.1])), wanted, atol=1e-12)
    circuit = q.exponential(COMMUTING, ["s", t, s * t + 1.31])
    assert q.get_circuit_symbols(circuit) == ("s", "t")
    found = unitary(circuit, ["s", "t"], torch.tensor([[0.3, -0.7]], dtype=torch.float64))
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    resolved = cirq.resolve_parameters(circuit, {"s": 0.3, "t": -0.7})
    np.testing.assert_allclose(resolved.unitary(qubit_order=qubits), wanted, atol=1e-7)
    once = scipy.linalg.expm(-1j * matrix(COMMUTING[0]))
    np.testing.assert_allclose(unitary(q.exponential(COMMUTING[0])), once, atol=1e-12)


def test_names_are_names():
    assert q.get_circuit_symbols(q.exponential([cirq.Z(a) * 1.0], ["2*s + evil()"])) == ("2*s + evil()",)


def test_the_identity_is_a_phase():
    assert unitary(q.exponential([cirq.PauliString(coefficient=2.0)], [0.3]))[0, 0] == pytest.approx(np.exp(-0.6j))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: q.exponential([cirq.X(a) + cirq.Z(a)]), r"X\(q\(0\)\) and Z\(q\(0\)\) .* do not commute"),
        (lambda: q.exponential([cirq.X(a) * cirq.X(b) * cirq.X(c) + cirq.Z(a) * cirq.Z(b) * cirq.Z(c)]), "do not commute"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [0.1, 0.2]), "2 coefficients for 1 operators"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [1j]), "coefficient 1j is no real number"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [float("nan")]), "coefficient nan"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [None]), "coefficient None"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [sympy.I]), "coefficient I"),
        (lambda: q.exponential([cirq.Z(a) * 1.0], [sympy.oo]), "coefficient"),
        (lambda: q.exponential([1j * cirq.Z(a)]), "real"),
        (lambda: q.exponential([cirq.PauliString()], ["s"]), "no qubit on which a phase"),
        (lambda: q.exponential([cirq.X]), "is no observable"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(how, words):
    with pytest.raises(UserError, match=words):
        how()
