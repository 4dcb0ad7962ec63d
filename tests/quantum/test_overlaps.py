"""Inner products and fidelities: values of Cirq, right gradients with any number of others, mistakes in a sentence."""

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba import quantum as q
from edubba.core.errors import UserError

a, b, c = cirq.LineQubit.range(3)
t2, t10 = sympy.symbols("t2 t10")
CIRCUIT = cirq.Circuit(cirq.rx(t2)(a), cirq.ry(t10)(b), cirq.CNOT(a, b))
OTHERS = [cirq.Circuit(cirq.H(a), cirq.CNOT(a, b)), cirq.Circuit(cirq.X(a), cirq.Y(b) ** 0.3)]


def test_two_others_have_the_right_gradients(golden):  # TFQ, of their sum: (-0.1556, 0.0209); true: (0.0865, -0.1683)
    its = golden["fidelity"]
    at = torch.tensor([[its["t2"], its["t10"]]], dtype=torch.float64, requires_grad=True)
    inner = q.inner_product(CIRCUIT, ["t2", "t10"], at, OTHERS, dtype=torch.float64)
    real, imaginary = its["inner_product_circuit_bra_other_ket"]
    np.testing.assert_allclose(inner.detach()[0], np.array(real) + 1j * np.array(imaginary), atol=1e-11)
    found = q.fidelity(CIRCUIT, ["t2", "t10"], at, OTHERS, dtype=torch.float64)
    np.testing.assert_allclose(found.detach()[0], its["fidelity"], atol=1e-11)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: q.fidelity(CIRCUIT, ["t2", "t10"], v, OTHERS, dtype=torch.float64)[0], at
    )[:, 0]
    np.testing.assert_allclose(jacobian, np.transpose([its["grad_t2"], its["grad_t10"]]), atol=1e-8)
    (both,) = torch.autograd.grad(found.sum(), at)
    np.testing.assert_allclose(both[0], [sum(its["grad_t2"]), sum(its["grad_t10"])], atol=1e-8)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_derivatives_of_both_orders(m):
    names = ["t2", "t10"]
    others = [cirq.Circuit(cirq.rx(0.3 * i)(a), cirq.CX(a, b) ** 0.7, cirq.ry(i)(c)) for i in range(m)]
    values = torch.tensor([[0.3, 0.8], [1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    for function in (q.inner_product, q.fidelity):
        of = lambda v, function=function: function(CIRCUIT, names, v, others, dtype=torch.float64)  # noqa: E731
        assert torch.autograd.gradcheck(of, (values,))
        assert torch.autograd.gradgradcheck(of, (values,))


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_values_are_those_of_cirq(seed, size, m, each):
    rng = np.random.default_rng(seed)

    def some(n, qubits):
        return [cirq.testing.random_circuit(qubits, 4, 0.8, random_state=int(rng.integers(2**31))) for _ in range(n)]

    own = some(size, [a, b])
    others = [some(m, [b, c]) for _ in range(size)] if each else some(m, [b, c])
    every = [a, b, c]
    bra = [x.final_state_vector(qubit_order=every, dtype=np.complex128) for x in own]
    rows = others if each else [others] * size
    ket = [[x.final_state_vector(qubit_order=every, dtype=np.complex128) for x in row] for row in rows]
    wanted = np.array([[np.vdot(x, y) for y in row] for x, row in zip(bra, ket, strict=True)])
    found = q.inner_product(own, [], None, others, dtype=torch.float64)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(q.fidelity(own, [], None, others, dtype=torch.float64), np.abs(wanted) ** 2, atol=1e-12)
    single = q.inner_product(q.convert_to_tensor(own), [], None, q.convert_to_tensor(others))
    assert single.dtype == torch.complex64
    np.testing.assert_allclose(single, wanted, atol=1e-5)


def test_one_circuit_goes_with_all_rows_of_values():
    values = torch.rand(4, 2)
    found = q.inner_product(CIRCUIT, [t2, t10], values, OTHERS)
    assert found.shape == (4, 2)
    for i in range(4):
        torch.testing.assert_close(found[i : i + 1], q.inner_product(CIRCUIT, [t2, t10], values[i], OTHERS))
    each = [OTHERS, OTHERS[::-1], OTHERS, OTHERS]
    torch.testing.assert_close(q.fidelity(CIRCUIT, [t2, t10], values, each)[1], found[1].abs().square().flip(0))
    assert q.fidelity(CIRCUIT, [t2, t10], values, OTHERS[0]).shape == (4, 1)


def test_others_may_be_filled_in_and_keep_their_gradient():
    """d/dv |<psi(v) | psi(u)>|**2 is that of the other side at u = v with the sign turned: both are 0 together, at 1."""
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    at = values.clone().requires_grad_(True)
    others = q.resolve_parameters(CIRCUIT, [t2, t10], at)
    overlap = q.fidelity(CIRCUIT, [t2, t10], values + 0.1, others, dtype=torch.float64)
    (found,) = torch.autograd.grad(overlap.sum(), at)
    h = 1e-6
    for i in range(2):
        by = torch.zeros_like(values)
        by[0, i] = h
        ahead, behind = (
            q.fidelity(
                CIRCUIT, [t2, t10], values + 0.1, q.resolve_parameters(CIRCUIT, [t2, t10], values + sign * by),
                dtype=torch.float64,
            )
            for sign in (1, -1)
        )  # fmt: skip
        assert found[0, i].item() == pytest.approx(((ahead - behind) / (2 * h)).item(), abs=1e-8)
    assert q.fidelity(
        CIRCUIT, [t2, t10], values, q.resolve_parameters(CIRCUIT, [t2, t10], values)
    ).item() == pytest.approx(1)


def test_nothing_with_nothing_is_empty():
    assert q.inner_product([], [], None, OTHERS).shape == (0, 2)
    assert q.fidelity(CIRCUIT, [t2, t10], torch.rand(3, 2), []).shape == (3, 0)
    assert q.inner_product(cirq.Circuit(), [], None, [cirq.Circuit()]).tolist() == [[1]]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: q.fidelity(CIRCUIT, ["t2"], torch.zeros(1, 1), OTHERS), "symbol 't10', which got no value"),
        (lambda: q.fidelity(CIRCUIT, ["t2", "t10"], torch.zeros(1, 3), OTHERS), r"shape \(1, 3\)"),
        (lambda: q.fidelity(OTHERS, [], None, [CIRCUIT]), "the others have the symbol 't2'"),
        (lambda: q.fidelity(OTHERS, [], None, [cirq.Circuit(cirq.depolarize(0.1)(a))]), "has noise"),
        (lambda: q.fidelity(OTHERS, [], None, [OTHERS] * 3), "others for 3 circuits, but 2 circuits"),
        (lambda: q.fidelity(OTHERS, [], None, [[OTHERS]]), r"the others have shape \(1, 1, 2\)"),
        (lambda: q.fidelity(OTHERS, [], None, [cirq.Z(a) * 1.0]), "the others are observables"),
        (lambda: q.fidelity([cirq.Z(a) * 1.0], [], None, OTHERS), "the circuits are observables"),
        (lambda: q.fidelity(OTHERS, [], None, [cirq.Circuit(cirq.X(c))], qubits=[a, b]), "not among the qubits"),
        (lambda: q.fidelity(CIRCUIT, ["t2", "t10"], torch.tensor([[0.0, float("nan")]]), OTHERS), "value of 't10' in row 0 is nan"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(how, words):
    with pytest.raises(UserError, match=words):
        how()
