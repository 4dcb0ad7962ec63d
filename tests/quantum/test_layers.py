"""Layers as users build them; each defect of TensorFlow Quantum that they touch is absent."""

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edubba import quantum as q
from edubba.core.errors import UserError

a, b, c = cirq.LineQubit.range(3)
s, t = sympy.symbols("s t")
RULES = {
    "backprop": (q.Backprop(), 1e-10), "shift": (q.ParameterShift(), 1e-9), "adjoint": (q.Adjoint(), 1e-10),
    "central": (q.CentralDifference(), 1e-4), "central 4": (q.CentralDifference(error_order=4), 1e-8),
    "forward": (q.ForwardDifference(), 0.1), "forward 3": (q.ForwardDifference(error_order=3), 1e-4),
    "combination": (q.LinearCombination([0.5, -0.5], [1.0, -1.0]), 10.0),
}  # fmt: skip


def a_bit_of_everything():
    return cirq.Circuit(
        cirq.rx(2 * s + 1)(a), cirq.CNOT(a, b), cirq.X(c) ** (s * t), cirq.ZZ(b, c) ** sympy.sin(s), cirq.FSimGate(t, s**2)(b, c),
        cirq.CZ(a, c) ** (t / 2), cirq.H(a) ** s, cirq.SWAP(a, b) ** t, cirq.ry(t)(c).controlled_by(a), cirq.CCX(a, b, c) ** s,
        cirq.PhasedISwapPowGate(phase_exponent=s, exponent=t)(a, c),
    )  # fmt: skip


SUMS = [cirq.Z(a) * cirq.Y(b) + 0.5 * cirq.X(c), cirq.PauliString(cirq.Z(c)) + 0.25]


def test_a_hybrid_network_learns_end_to_end():
    torch.manual_seed(0)
    qubits = cirq.LineQubit.range(3)
    angles = sympy.symbols("x0:9")
    circuit = cirq.Circuit(
        [cirq.ry(angles[3 * layer + i])(qubits[i]) for i in range(3)] + [cirq.CZ(a, b), cirq.CZ(b, c)]
        for layer in range(3)
    )
    model = nn.Sequential(
        nn.Linear(4, 9), q.ControlledPQC(circuit, [cirq.Z(qubit) for qubit in qubits]), nn.Linear(3, 2)
    )
    x = torch.randn(64, 4)
    y = (x[:, 0] * x[:, 1] > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 < 0.6 < losses[0]


def test_weights_are_kept_in_the_state_dict():
    layer = q.PQC(cirq.Circuit(cirq.rx(s)(a), cirq.ry(t)(b)), [cirq.Z(a), cirq.Z(b)])
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"weight": (2,)}
    other = q.PQC(cirq.Circuit(cirq.rx(s)(a), cirq.ry(t)(b)), [cirq.Z(a), cirq.Z(b)])
    other.load_state_dict(layer.state_dict())
    assert other.symbol_values() == layer.symbol_values()
    assert set(layer.symbol_values()) == {"s", "t"}
    torch.testing.assert_close(layer(), other())
    torch.testing.assert_close(layer()[0], torch.cos(layer.weight))


def test_an_initializer_fills_the_weight():
    layer = q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), initializer=nn.init.zeros_)
    assert layer.weight.tolist() == [0.0]
    assert layer().tolist() == [[1.0]]


def test_inputs_go_before_the_model():
    layer = q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), initializer=nn.init.zeros_, dtype=torch.float64)
    found = layer([cirq.Circuit(), cirq.Circuit(cirq.X(a)), cirq.Circuit(cirq.X(a), cirq.Y(b))])
    np.testing.assert_allclose(found.detach(), [[1], [-1], [-1]], atol=1e-12)


def test_data_are_uploaded_as_often_as_they_stand_there():
    x = sympy.Symbol("x")
    circuit = cirq.Circuit(cirq.rx(x)(a), cirq.ry(s)(a), cirq.rx(x)(a), cirq.ry(t)(a))
    layer = q.PQC(circuit, cirq.Z(a), inputs=[x], dtype=torch.float64)
    data = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    wanted = [
        cirq.Z(a).expectation_from_state_vector(
            cirq.resolve_parameters(circuit, {"x": v, **layer.symbol_values()}).final_state_vector(dtype=np.complex128), {a: 0}
        ).real
        for v in data.ravel().tolist()
    ]  # fmt: skip
    np.testing.assert_allclose(layer(data).detach().ravel(), wanted, atol=1e-10)


def test_the_three_ways_to_call_a_controlled_layer():
    layer = q.ControlledPQC(cirq.Circuit(cirq.rx(s)(a), cirq.ry(t)(b)), [cirq.Z(a), cirq.Z(b)])
    values = torch.rand(3, 2)
    torch.testing.assert_close(layer(values), torch.cos(values))
    flipped = [cirq.Circuit(cirq.X(a))] * 3
    torch.testing.assert_close(layer(flipped, values), torch.cos(values) * torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(layer([q.convert_to_tensor(flipped), values]), layer(flipped, values))
    swapped = q.ControlledPQC(cirq.Circuit(cirq.rx(s)(a), cirq.ry(t)(b)), [cirq.Z(a), cirq.Z(b)], symbols=[t, s])
    torch.testing.assert_close(swapped(values), torch.cos(values).flip(1))


@pytest.mark.parametrize("rule", RULES)
def test_all_rules_agree(rule):
    how, tolerance = RULES[rule]
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
    exact = q.ControlledPQC(a_bit_of_everything(), SUMS, differentiator=q.Backprop(), dtype=torch.float64)
    other = q.ControlledPQC(a_bit_of_everything(), SUMS, differentiator=how, dtype=torch.float64)
    g = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(other(values), exact(values))
    (wanted,) = torch.autograd.grad((exact(values) * g).sum(), values)
    (found,) = torch.autograd.grad((other(values) * g).sum(), values)
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize("rule", ["backprop", "adjoint", "shift"])
def test_derivatives_of_derivatives(rule):
    layer = q.ControlledPQC(a_bit_of_everything(), SUMS, differentiator=RULES[rule][0], dtype=torch.float64)
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (values,))
    if rule != "shift":  # exact too, but 4 to the power of the steps: a smaller circuit stands for it below
        assert torch.autograd.gradgradcheck(layer, (values,))
    else:
        small = q.ControlledPQC(
            cirq.Circuit(cirq.rx(s)(a), cirq.CX(a, b) ** t), SUMS[0] - 0.5 * cirq.X(c), qubits=[a, b, c],
            differentiator=how_of(rule), dtype=torch.float64,
        )  # fmt: skip
        assert torch.autograd.gradgradcheck(small, (values,))


def how_of(rule):
    return RULES[rule][0]


def test_the_gradient_of_numbers_that_were_filled_in():
    """A filled-in exponent of 1 moves amplitudes like a permutation, and has a gradient all the same."""
    circuit = cirq.Circuit(cirq.ry(0.3)(a), cirq.X(a) ** s, cirq.CX(a, b) ** s, cirq.ry(t)(b))
    values = torch.tensor([[1.0, 0.4]], dtype=torch.float64, requires_grad=True)
    layer = q.Expectation(dtype=torch.float64)
    whole = layer(circuit, symbol_names=[s, t], symbol_values=values, operators=cirq.Z(a) * cirq.Y(b) + cirq.Z(b))
    (wanted,) = torch.autograd.grad(whole.sum(), values)
    filled = q.resolve_parameters(circuit, [s, t], values)
    found = layer(filled, operators=cirq.Z(a) * cirq.Y(b) + cirq.Z(b))
    torch.testing.assert_close(torch.autograd.grad(found.sum(), values)[0], wanted)


def test_per_sample_gradients_by_torch_func():
    circuit = a_bit_of_everything()
    layer = q.ControlledPQC(circuit, SUMS, differentiator=q.Backprop(), dtype=torch.float64)
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda v: layer(v))(values)
    for i in range(2):
        one = torch.autograd.functional.jacobian(lambda v: layer(v)[0], values[i])
        torch.testing.assert_close(jacobian[i, :, i], one)
        assert jacobian[i, :, 1 - i].abs().max() == 0


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 12))
def test_batches_are_their_rows_and_circuits_their_qubits(seed, n, moments):
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n)
    circuits = [
        cirq.testing.random_circuit(qubits, moments, 0.7, random_state=int(rng.integers(2**31))) for _ in range(4)
    ]
    layer = q.Expectation(qubits=qubits, dtype=torch.float64)
    sums = [cirq.Z(qubits[0]) * 1.0, cirq.X(qubits[-1]) * cirq.Z(qubits[0]) if n > 1 else cirq.Y(a) * 1.0]
    whole = layer(circuits, operators=sums)
    parts = torch.cat([layer(one, operators=sums) for one in circuits])
    torch.testing.assert_close(whole, parts, atol=1e-12, rtol=0)
    renamed = {old: cirq.NamedQubit(f"n{i}") for i, old in enumerate(qubits)}
    moved = q.Expectation(qubits=list(renamed.values()), dtype=torch.float64)(
        [one.transform_qubits(renamed) for one in circuits], operators=[o.map_qubits(renamed) if hasattr(o, "map_qubits") else o for o in sums]
    )  # fmt: skip
    torch.testing.assert_close(moved, whole, atol=1e-12, rtol=0)
    for i, circuit in enumerate(circuits):
        wanted = cirq.Simulator(dtype=np.complex128).simulate_expectation_values(circuit, sums, qubit_order=qubits)
        np.testing.assert_allclose(whole[i], np.real(wanted), atol=1e-10)


def test_an_empty_circuit_is_the_state_zero():  # TFQ: -2
    layer = q.Expectation(qubits=[a, b])
    assert layer(cirq.Circuit(), operators=[cirq.Z(a), cirq.X(b), cirq.Z(a) * cirq.Z(b) + 3]).tolist() == [
        [1.0, 0.0, 4.0]
    ]


def test_states_of_different_lengths_are_padded_with_nothing_that_looks_like_a_value():
    made = [cirq.Circuit(cirq.H(a)), cirq.Circuit(cirq.X(a), cirq.X(b)), cirq.Circuit()]
    psi, length = q.State()(made)
    assert length.tolist() == [2, 4, 1]
    assert psi[0, 2:].abs().max() == 0
    torch.testing.assert_close(psi[1].abs(), torch.tensor([0.0, 0, 0, 1]))
    bits, qubits = q.Sample()(made, repetitions=5)
    assert qubits.tolist() == [1, 2, 0]
    assert bits.shape == (3, 5, 2)
    assert bits.dtype == torch.int8
    assert bits[1].min() == 1


def test_the_gradient_of_a_state():  # TFQ: none
    values = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    psi, _ = q.State(dtype=torch.float64)(cirq.Circuit(cirq.rx(s)(a)), symbol_names=[s], symbol_values=values)
    psi[0, 0].real.backward()
    assert values.grad.item() == pytest.approx(-0.5 * np.sin(0.15))


def test_circuits_are_joined_in_the_order_that_is_said():
    add = q.AddCircuit()
    first, second = cirq.Circuit(cirq.H(a), cirq.rx(s)(b)), cirq.Circuit(cirq.CNOT(a, b), cirq.rx(s)(c))
    assert q.from_tensor(add(first, append=second)) == first + second
    assert q.from_tensor(add(first, prepend=second)) == cirq.Circuit([*second.moments, *first.moments])
    many = add([first, second], append=cirq.Circuit(cirq.Z(a)))
    assert many.shape == (2,)
    with pytest.raises(UserError, match="either append= or prepend="):
        add(first)


# ---- shots


def test_shots_have_the_frequencies_of_the_state():
    """Chi-square on 8 outcomes, false alarm 1e-4."""
    torch.manual_seed(1)
    circuit = cirq.Circuit(cirq.ry(0.7)(a), cirq.CNOT(a, b), cirq.rx(1.1)(c), cirq.CZ(b, c), cirq.ry(0.4)(b))
    bits, _ = q.Sample()(circuit, repetitions=20000)
    count = np.bincount(bits[0].numpy() @ [4, 2, 1], minlength=8)
    wanted = 20000 * np.abs(circuit.final_state_vector()) ** 2
    statistic = ((count - wanted) ** 2 / wanted.clip(1e-9))[wanted > 5].sum()
    assert statistic < 29.9  # chi2.isf(1e-4, 7)


def test_expectations_from_shots_book_each_string_where_it_belongs():  # Cirq 1.7: the last observable wins
    torch.manual_seed(2)
    circuit = cirq.Circuit(cirq.ry(0.7)(a), cirq.CNOT(a, b), cirq.rx(1.1)(c), cirq.ry(0.4)(b))
    sums = [
        cirq.Z(a) + 0.5 * cirq.X(b), cirq.Z(a) - cirq.Z(c), cirq.Z(a) + 1, cirq.Z(a) * 2, cirq.Y(c) * cirq.X(b) - 2 * cirq.Y(c),
        cirq.PauliString(cirq.Y(a)) * cirq.Y(b),
    ]  # fmt: skip
    exact = q.Expectation()(circuit, operators=sums)
    shots = 40000
    found = q.SampledExpectation()(circuit, operators=sums, repetitions=shots)
    bound = 5 * torch.tensor([sum(abs(x.coefficient) for x in cirq.PauliSum.wrap(o)) for o in sums]) / shots**0.5
    assert ((found - exact).abs() < bound).all()
    one = q.SampledExpectation()(circuit, operators=[cirq.Z(a), cirq.Z(b), cirq.Z(a) * cirq.Z(b)], repetitions=1)[0]
    assert one[0] * one[1] == one[2]


def test_strings_that_do_not_commute_qubit_by_qubit_are_measured_apart():
    torch.manual_seed(5)
    circuit = cirq.Circuit(cirq.ry(1.1)(a), cirq.rz(0.8)(a), cirq.ry(0.6)(b), cirq.rz(2.0)(b))
    letters = [cirq.X, cirq.Y, cirq.Z]
    sums = [first(a) * second(b) for first in letters for second in letters] + [letter(a) * 1.0 for letter in letters]
    exact = q.Expectation()(circuit, operators=sums)
    assert exact.abs().min() > 0.08
    found = q.SampledExpectation()(circuit, operators=sums, repetitions=20000)
    torch.testing.assert_close(found, exact, atol=0.04, rtol=0)  # 5 standard deviations


def test_gradients_from_shots():
    torch.manual_seed(3)
    values = torch.tensor([[0.3, 0.8]], requires_grad=True)
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.CNOT(a, b), cirq.ry(t)(b))
    exact = q.ControlledPQC(circuit, cirq.Z(b))
    (wanted,) = torch.autograd.grad(exact(values).sum(), values)
    for how in (None, q.ParameterShift(), q.CentralDifference(grid_spacing=0.5)):
        layer = q.ControlledPQC(circuit, cirq.Z(b), repetitions=20000, differentiator=how)
        (found,) = torch.autograd.grad(layer(values).sum(), values)
        torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)
    with pytest.raises(UserError, match="needs the state"):
        q.ControlledPQC(circuit, cirq.Z(b), repetitions=100, differentiator=q.Adjoint())


# ---- what users get wrong


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: q.Expectation()(cirq.Circuit(cirq.rx(s)(a)), operators=cirq.Z(a)), "symbol 's', which got no value"),
        (lambda: q.Expectation()(cirq.Circuit(cirq.X(a)), operators=cirq.Z(b)), "acts on q.1., but the circuit has only q.0."),
        (lambda: q.Expectation()(cirq.Circuit(cirq.rx(s)(a)), symbol_names=["s"], symbol_values=torch.tensor([[float("nan")]]), operators=cirq.Z(a)), "value of 's' in row 0 is nan"),
        (lambda: q.Expectation()(cirq.Circuit(cirq.rx(s)(a)), symbol_names=["s"], symbol_values=torch.zeros(2, 3), operators=cirq.Z(a)), r"shape \(2, 3\), but there are 1 symbols"),
        (lambda: q.Expectation()(cirq.Circuit(cirq.rx(s)(a)), symbol_names=["s", "s"], symbol_values=torch.zeros(2, 2), operators=cirq.Z(a)), "named twice"),
        (lambda: q.Expectation()([cirq.Circuit(cirq.rx(s)(a))] * 3, symbol_names=["s"], symbol_values=torch.zeros(2, 1), operators=cirq.Z(a)), "3 circuits and 2 rows"),
        (lambda: q.Expectation(qubits=[b])(cirq.Circuit(cirq.X(a)), operators=cirq.Z(b)), "acts on q.0., which is not among"),
        (lambda: q.Expectation(backend="gpu"), "backend='gpu'"),
        (lambda: q.Expectation(dtype=torch.float16), "float16"),
        (lambda: q.PQC(cirq.Circuit(cirq.X(a)), cirq.Z(a)), "has no symbols"),
        (lambda: q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), inputs=["u"]), "'u', which is no symbol"),
        (lambda: q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), inputs=["s"]), "nothing to learn"),
        (lambda: q.PQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a))(torch.zeros(1, 1)), "takes no values"),
        (lambda: q.ControlledPQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a))(), "needs values for its 1 symbols"),
        (lambda: q.ControlledPQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), repetitions=0), "repetitions=0"),
        (lambda: q.ControlledPQC(cirq.Circuit(cirq.rx(s)(a)), cirq.Circuit()), "operators are circuits"),
        (lambda: q.State()(cirq.Circuit(cirq.X.on_each(*cirq.LineQubit.range(45)))), "45 qubits need .* GB"),
        (lambda: q.LinearCombination([1.0], [1.0]), "two at least"),
        (lambda: q.LinearCombination([1.0, 2.0], [1.0, 1.0]), "equal"),
        (lambda: q.CentralDifference(error_order=3), "even"),
        (lambda: q.ControlledPQC(cirq.Circuit(cirq.rx(sympy.Function("foo")(s))(a)), cirq.Z(a))(torch.zeros(1, 1)), "cannot be computed"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(how, words):
    with pytest.raises(UserError, match=words):
        how()


def test_an_expression_that_is_no_number_is_told():
    layer = q.ControlledPQC(cirq.Circuit(cirq.rx(sympy.log(s))(a)), cirq.Z(a))
    with pytest.raises(UserError, match="an expression of the circuits is nan in row 1"):
        layer(torch.tensor([[1.0], [-1.0]]))


def test_a_matrix_that_is_no_gate():
    with pytest.raises(UserError, match="not unitary"):
        q.convert_to_tensor(cirq.Circuit(cirq.MatrixGate(np.ones((2, 2)), unitary_check=False)(a)))


def test_a_rotation_under_controls_comes_back_with_its_expression():
    circuit = cirq.Circuit(cirq.ry(2 * s + 1)(a).controlled_by(b), cirq.ms(0.3)(a, b))
    assert q.from_tensor(q.convert_to_tensor(circuit)) == circuit
