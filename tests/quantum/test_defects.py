"""What TensorFlow Quantum 0.7.6 gets wrong, one test each, and what is done here instead.

| there | here |
|---|---|
| an empty circuit has the expectation -2, and ragged results are padded with -2 | <0\\|O\\|0>, and zeros |
| symbols are sorted as text: t0, t10, t2 | as people count |
| no second derivatives; no gradient of State and Unitary | all of them |
| the gradient of a fidelity is wrong with more than one other circuit | right with any number |
| a measurement in between is dropped in silence | refused |
| circuits come back with numbers rounded to six decimals | as they were |
| a value that is not a number gives a result that is none | refused, with its symbol and row |
| an operator on a missing qubit is an error while running | one sentence that says what to do |
| expressions but number times symbol are refused | sums, products, powers, functions |
| each string has shots of its own, so that Z0, Z1 and Z0 Z1 contradict each other | strings that can share, do |
| conversion copies every circuit | reads it once, in arrays |
| single precision only | double too |
| matrices, Toffoli, CSWAP, PhasedXZ, named qubits are refused | taken |
| errors say "rank 2" | both shapes |
| the same data twice in a circuit needs a layer of one's own | `inputs=` |
| circuits are strings that are parsed in every call | read once |
"""

import copy

import cirq
import numpy as np
import pytest
import sympy
import torch

from edubba import quantum as q
from edubba.core.errors import UserError
from edubba.quantum import circuits as circuits_
from edubba.quantum import programs

a, b, c = cirq.LineQubit.range(3)
s, t = sympy.symbols("s t")
DOUBLE = {"dtype": torch.float64}


def test_an_empty_circuit_has_the_expectation_of_the_state_zero():
    sums = [cirq.Z(a), cirq.X(b), cirq.Z(a) * cirq.Z(b) + 3]
    wanted = torch.tensor([[1.0, 0.0, 4.0]])
    for layer in (q.Expectation(qubits=[a, b]), q.Expectation(qubits=[a, b], backend="noisy")):
        torch.testing.assert_close(layer([cirq.Circuit()], operators=sums), wanted)
    shots = q.SampledExpectation(qubits=[a, b], backend=cirq.Simulator(seed=1))
    found = shots(cirq.Circuit(), operators=[cirq.Z(a), cirq.Z(a) * cirq.Z(b) + 3], repetitions=3)
    assert found.tolist() == [[1, 4]]
    assert q.Expectation()(cirq.Circuit(), operators=cirq.PauliString(coefficient=3.0)).item() == 3
    layer = q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), initializer=torch.nn.init.zeros_)
    assert layer([cirq.Circuit(), cirq.Circuit(cirq.X(a))]).tolist() == [[1], [-1]]


def test_results_of_different_lengths_are_padded_with_zeros():
    psi, length = q.State()([cirq.Circuit(), cirq.Circuit(cirq.X(a), cirq.X(b))])
    assert length.tolist() == [1, 4]
    torch.testing.assert_close(psi.abs(), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]]))
    bits, qubits = q.Sample()([cirq.Circuit(), cirq.Circuit(cirq.X(a), cirq.X(b))], repetitions=2)
    assert bits.tolist() == [[[0, 0]] * 2, [[1, 1]] * 2]
    assert qubits.tolist() == [0, 2]


def test_symbols_stand_in_natural_order():
    names = [f"t{i}" for i in range(12)]
    circuit = cirq.Circuit(cirq.rx(sympy.Symbol(name))(cirq.LineQubit(i)) for i, name in enumerate(names))
    layer = q.ControlledPQC(circuit, [cirq.Z(cirq.LineQubit(i)) for i in range(12)], **DOUBLE)
    assert layer.symbols == tuple(names)
    values = torch.linspace(0, 2, 12, dtype=torch.float64)[None]
    torch.testing.assert_close(layer(values), torch.cos(values))
    assert list(q.PQC(circuit, cirq.Z(a)).symbol_values()) == names


@pytest.mark.parametrize("rule", [None, q.Adjoint(), q.Backprop(), q.ParameterShift()])
def test_second_derivatives(rule):
    """E = cos s cos(s t)."""
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.rx(s * t)(b))
    layer = q.ControlledPQC(circuit, cirq.Z(a) * cirq.Z(b), differentiator=rule, **DOUBLE)
    at = torch.tensor([0.3, 0.8], dtype=torch.float64)
    found = torch.autograd.functional.hessian(lambda v: layer(v)[0, 0], at)
    wanted = torch.autograd.functional.hessian(lambda v: torch.cos(v[0]) * torch.cos(v[0] * v[1]), at)
    torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0)


def test_gradients_of_states_and_unitaries():
    circuit, values = cirq.Circuit(cirq.rx(s)(a)), torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    psi, _ = q.State(**DOUBLE)(circuit, symbol_names=[s], symbol_values=values)
    assert torch.autograd.grad(psi[0, 0].real, values)[0].item() == pytest.approx(-0.5 * np.sin(0.15))
    u, _ = q.Unitary(**DOUBLE)(circuit, symbol_names=[s], symbol_values=values)
    assert torch.autograd.grad(u[0, 1, 0].imag, values)[0].item() == pytest.approx(-0.5 * np.cos(0.15))
    for layer in (q.State(**DOUBLE), q.Unitary(**DOUBLE)):
        of = lambda v, layer=layer: layer(circuit, symbol_names=[s], symbol_values=v)[0]  # noqa: E731
        assert torch.autograd.gradgradcheck(of, (values,))


def test_the_gradient_of_a_fidelity_with_two_others():
    """|<rx(s) | rx(u)>|**2 = cos((s - u) / 2)**2, as many others as symbols."""
    circuit, others = cirq.Circuit(cirq.rx(s)(a), cirq.rx(t)(b)), [cirq.Circuit(cirq.rx(u)(a)) for u in (0.1, 1.3)]
    values = torch.tensor([[0.4, 0.0]], dtype=torch.float64, requires_grad=True)
    found = q.fidelity(circuit, [s, t], values, others, qubits=[a, b], **DOUBLE)
    for m, u in enumerate((0.1, 1.3)):
        assert found[0, m].item() == pytest.approx(np.cos((0.4 - u) / 2) ** 2)
        (gradient,) = torch.autograd.grad(found[0, m], values, retain_graph=True)
        np.testing.assert_allclose(gradient[0], [-0.5 * np.sin(0.4 - u), 0], atol=1e-12)


def test_a_measurement_in_between_is_refused():
    with pytest.raises(UserError, match=r"q\(0\) is measured before moment 2 and used after"):
        q.convert_to_tensor(cirq.Circuit(cirq.H(a), cirq.measure(a), cirq.X(a)))
    ending = cirq.Circuit(cirq.X(a), cirq.measure(a), cirq.X(b))
    assert q.Expectation()(ending, operators=cirq.Z(a)).item() == -1


def test_numbers_come_back_as_they_were():
    circuit = cirq.Circuit(cirq.rx(1e-7)(a), cirq.X(b) ** 0.12345678901234567, cirq.FSimGate(1e-9, np.pi / 3)(a, b))
    assert q.from_tensor(q.convert_to_tensor(circuit)) == circuit
    weighted = 1.23456789012345e-7 * cirq.Z(a) + 2 * cirq.X(b)
    assert q.from_tensor(q.convert_to_tensor([weighted]))[0] == weighted


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_named(value):
    values = torch.tensor([[0.1, 0.2], [0.3, value]])
    layers = [
        q.Expectation(), q.SampledExpectation(backend=cirq.Simulator()), q.Expectation(backend="noisy"),
    ]  # fmt: skip
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.rx(t)(a))
    for layer in layers:
        more = {"repetitions": 3} if isinstance(layer, q.SampledExpectation) else {}
        with pytest.raises(UserError, match=r"the value of 't' in row 1 is (nan|inf): it must be a number"):
            layer(circuit, symbol_names=[s, t], symbol_values=values, operators=cirq.Z(a), **more)


def test_an_operator_on_a_missing_qubit_is_told_with_the_way_out():
    circuit = cirq.Circuit(cirq.X(a))
    with pytest.raises(
        UserError, match=r"acts on q\(1\), but the circuit has only q\(0\): name all qubits with qubits="
    ):
        q.Expectation()(circuit, operators=cirq.Z(b))
    assert q.Expectation(qubits=[a, b])(circuit, operators=cirq.Z(b)).item() == 1


def test_parameters_are_expressions():
    circuit = cirq.Circuit(cirq.rx(2 * s + 1)(a), cirq.rx(s * t)(a), cirq.rx(s**2)(a), cirq.rx(sympy.sin(t))(a))
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    found = q.ControlledPQC(circuit, cirq.Z(a), **DOUBLE)(values)
    assert found.item() == pytest.approx(np.cos(2 * 0.3 + 1 + 0.3 * 0.8 + 0.3**2 + np.sin(0.8)))


@pytest.mark.parametrize("backend", ["noiseless", "noisy", cirq.Simulator(seed=1)])
def test_one_shot_agrees_with_itself(backend):
    torch.manual_seed(0)
    circuit = cirq.Circuit(cirq.H(a), cirq.ry(1.4)(b), cirq.CZ(a, b))
    sums = [cirq.Z(a), cirq.Z(b), cirq.Z(a) * cirq.Z(b)]
    one = q.SampledExpectation(backend=backend)([circuit] * 60, operators=sums, repetitions=1)
    assert torch.equal(one[:, 0] * one[:, 1], one[:, 2])
    assert len({tuple(row) for row in one.tolist()}) == 4


def test_circuits_are_read_not_copied(monkeypatch):
    """And what is read again and again is one structure."""
    many = [cirq.Circuit(cirq.rx(0.1 * i)(a), cirq.CNOT(a, b)) for i in range(20)]
    before = [repr(one) for one in many]

    def refuse(*_):
        raise AssertionError("a circuit was copied")

    for name in ("__deepcopy__", "__copy__", "copy", "unfreeze", "freeze", "_resolve_parameters_"):
        monkeypatch.setattr(cirq.Circuit, name, refuse, raising=False)
    monkeypatch.setattr(copy, "deepcopy", refuse)
    tensor = q.convert_to_tensor(many)
    monkeypatch.undo()
    assert len(tensor.structures) == 1
    assert tensor.numbers[0].shape == (20, 2)
    assert [repr(one) for one in many] == before


def test_double_precision():
    values = torch.full((1, 40), 0.1, dtype=torch.float64)
    circuit = cirq.Circuit(cirq.rx(x)(a) for x in sympy.symbols("x0:40"))
    found = {
        dtype: q.ControlledPQC(circuit, cirq.Z(a), dtype=dtype)(values).item()
        for dtype in (torch.float32, torch.float64)
    }
    assert found[torch.float64] == pytest.approx(np.cos(4), abs=1e-14)
    assert found[torch.float32] == pytest.approx(np.cos(4), abs=1e-6)
    psi, _ = q.State(**DOUBLE)(circuit, symbol_names=sympy.symbols("x0:40"), symbol_values=values)
    assert psi.dtype == torch.complex128


def test_gates_that_are_refused_there():
    named = [cirq.NamedQubit(name) for name in "xyz"]
    for gate in (
        cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1)), cirq.CCX, cirq.CCZ**0.3, cirq.CSWAP, cirq.IdentityGate(3),
        cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3), cirq.QuantumFourierTransformGate(3),
    ):  # fmt: skip
        circuit = cirq.Circuit(cirq.H.on_each(*named), gate.on(*named[: cirq.num_qubits(gate)]), cirq.ry(0.3)(named[0]))
        sums = [cirq.Z(named[0]) * cirq.X(named[1]), cirq.Y(named[2]) + cirq.Z(named[1])]
        wanted = cirq.Simulator(dtype=np.complex128).simulate_expectation_values(circuit, sums, qubit_order=named)
        found = q.Expectation(qubits=named, **DOUBLE)(circuit, operators=sums)
        np.testing.assert_allclose(found[0], np.real(wanted), atol=1e-10)


@pytest.mark.parametrize(
    ("circuits", "values", "operators", "words"),
    [
        (1, (2, 3), 1, r"shape \(2, 3\), but there are 1 symbols .*give \(batch, 1\)"),
        (1, (2, 3, 1), 1, r"shape \(2, 3, 1\), but .*\(batch, 1\)"),
        (3, (2, 1), 1, "3 circuits and 2 rows of values"),
        (3, (3, 1), 2, "observables for 2 circuits, but 3 circuits"),
    ],
)
def test_shapes_that_do_not_fit_are_both_told(circuits, values, operators, words):
    sums = cirq.Z(a) if operators == 1 else [[cirq.Z(a)]] * operators
    for layer, more in ((q.Expectation(), {}), (q.SampledExpectation(backend=cirq.Simulator()), {"repetitions": 3})):
        with pytest.raises(UserError, match=words):
            layer(
                [cirq.Circuit(cirq.rx(s)(a))] * circuits, symbol_names=[s], symbol_values=torch.zeros(values), operators=sums, **more
            )  # fmt: skip


def test_data_may_be_uploaded_again():
    """cos(3 x + w0 + w1): a frequency that one upload does not have."""
    x, w = sympy.Symbol("x"), sympy.symbols("w0:2")
    circuit = cirq.Circuit(cirq.rx(x)(a), cirq.rx(w[0])(a), cirq.rx(x)(a), cirq.rx(w[1])(a), cirq.rx(x)(a))
    layer = q.PQC(circuit, cirq.Z(a), inputs=[x], initializer=lambda weight: weight.fill_(0.2), **DOUBLE)
    data = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(layer(data).detach(), torch.cos(3 * data + 0.4))
    assert list(layer.symbol_values()) == ["w0", "w1"]


def test_circuits_are_read_once_however_often_a_layer_runs(monkeypatch):
    made = [cirq.Circuit(cirq.X(a) ** 0.25, cirq.Y(b)), cirq.Circuit(cirq.H(b))]
    tensor, layer = q.convert_to_tensor(made), q.PQC(cirq.Circuit(cirq.rx(s)(a), cirq.CX(a, b) ** t), cirq.Z(b))
    first = layer(tensor)

    def refuse(*_):
        raise AssertionError("a circuit was read again")

    monkeypatch.setattr(circuits_, "_describe", refuse)
    monkeypatch.setattr(circuits_._Reader, "read", refuse)
    before = programs.lowered.cache_info().misses
    for _ in range(3):
        assert torch.equal(layer(tensor), first)
        layer(tensor).sum().backward()
    assert programs.lowered.cache_info().misses == before
