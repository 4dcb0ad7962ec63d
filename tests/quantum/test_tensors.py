"""Circuits and observables as tensors: there and back, joined, batched, refused."""

import cirq
import numpy as np
import pytest
import sympy
import torch

from edubba import quantum as q
from edubba.core.errors import UserError
from edubba.quantum import circuits, gates

a, b, c, d = cirq.LineQubit.range(4)


def test_every_gate_comes_back_and_acts_as_in_cirq(build):
    rng = np.random.default_rng(1)
    qubits = cirq.LineQubit.range(6)
    for _ in range(4):
        order = rng.permutation(len(build.every_gate()))
        ops = [(g := build.every_gate()[i]).on(*rng.permutation(qubits)[: cirq.num_qubits(g)]) for i in order]
        ops += [
            cirq.PauliString({a: cirq.X, d: cirq.Y}, coefficient=-1) ** 0.3,
            cirq.PauliString({b: cirq.Z}, coefficient=1j),
        ]
        ops += [cirq.X(a).controlled_by(b), cirq.ry(0.2)(c).with_tags("kept apart"), cirq.I(qubits[5])]
        circuit = cirq.Circuit(ops)
        tensor = q.convert_to_tensor(circuit)
        psi, _ = q.State(dtype=torch.float64)(tensor)
        wanted = circuit.final_state_vector(qubit_order=qubits, dtype=np.complex128)
        np.testing.assert_allclose(psi[0], wanted, atol=1e-12)
        again = q.from_tensor(tensor).final_state_vector(qubit_order=qubits, dtype=np.complex128)
        np.testing.assert_allclose(again, wanted, atol=1e-12)


def test_the_table_of_gates_is_not_reordered():
    names = [family.cls.__name__ for family in gates.FAMILIES]
    assert names == [
        "XPowGate", "YPowGate", "ZPowGate", "HPowGate", "XXPowGate", "YYPowGate", "ZZPowGate", "CXPowGate", "CZPowGate",
        "CCXPowGate", "CCZPowGate", "SwapPowGate", "ISwapPowGate", "Rx", "Ry", "Rz", "MSGate", "PhasedXPowGate",
        "PhasedISwapPowGate", "PhasedXZGate", "FSimGate", "CSwapGate", "IdentityGate", "GlobalPhaseGate", "MatrixGate",
        "PauliStringPhasorGate", "DensePauliString", "DepolarizingChannel", "AsymmetricDepolarizingChannel",
        "AmplitudeDampingChannel", "GeneralizedAmplitudeDampingChannel", "PhaseDampingChannel", "PhaseFlipChannel",
        "BitFlipChannel", "ResetChannel", "KrausChannel", "RandomGateChannel",
    ]  # fmt: skip


def test_small_angles_and_moments_come_back_exactly():
    t2, t10 = sympy.symbols("t2 t10")
    circuit = cirq.Circuit(
        cirq.Moment(cirq.rx(1e-7)(a)), cirq.Moment(), cirq.Moment(cirq.X(b) ** (2 * t10 + t2), cirq.Z(a) ** 0.123456789012),
        cirq.Moment(cirq.FSimGate(t2, 0.1)(a, c)),
    )  # fmt: skip
    assert q.from_tensor(q.convert_to_tensor(circuit)) == circuit
    assert q.convert_to_tensor(circuit).symbols == ("t2", "t10")


def test_symbols_are_sorted_as_people_count():
    s = sympy.symbols("t0:12")
    circuit = cirq.Circuit(cirq.X(a) ** x for x in reversed(s))
    assert q.convert_to_tensor([circuit]).symbols == tuple(f"t{i}" for i in range(12))
    assert circuits.natural(["b2", "b10", "a", "1", "b"]) == ("1", "a", "b", "b2", "b10")


def test_shapes_slices_and_joins():
    made = [cirq.Circuit(cirq.rx(0.1 * i)(a), cirq.CNOT(a, b) if i % 2 else cirq.Z(b)) for i in range(6)]
    tensor = q.convert_to_tensor([made[:3], made[3:]])
    assert tensor.shape == (2, 3)
    assert len(tensor) == 2
    assert len(tensor.structures) == 2
    flat = tensor.reshape(6)
    for i, wanted in enumerate(made):
        assert q.from_tensor(flat[i]) == wanted
    assert q.from_tensor(flat[1:5:2]) == made[1:5:2]
    assert q.from_tensor(flat[torch.tensor([4, 0])]) == [made[4], made[0]]
    assert q.from_tensor(flat[np.array([True, False] * 3)]) == made[::2]
    assert q.from_tensor(q.cat([flat[4:], flat[:1]])) == [*made[4:], made[0]]
    assert q.from_tensor(q.stack([flat[:2], flat[3:5]], dim=1)) == [[made[0], made[3]], [made[1], made[4]]]
    assert flat.to("cpu").device == torch.device("cpu")
    with pytest.raises(TypeError, match="no length"):
        len(flat[0])


def test_observables_too():
    sums = [cirq.Z(a) * cirq.X(b), 0.5 * cirq.Z(a) - 2 * cirq.Y(c) + 1, cirq.PauliString(cirq.Z(a))]
    tensor = q.convert_to_tensor(sums)
    assert tensor.shape == (3,)
    assert tensor.qubits == (a, b, c)
    assert q.from_tensor(tensor)[1] == sums[1]
    assert q.from_tensor(q.cat([tensor[1:], tensor[:1]]))[2] == cirq.PauliSum.from_pauli_strings(sums[0])
    assert q.stack([tensor, tensor]).shape == (2, 3)


def test_a_data_loader_collates_them():
    made = [cirq.Circuit(cirq.rx(0.1 * i)(a)) for i in range(5)]
    tensor, labels = q.convert_to_tensor(made), torch.arange(5)
    samples = [(tensor[i], labels[i]) for i in range(5)]
    loader = torch.utils.data.DataLoader(samples, batch_size=2, collate_fn=q.collate)
    seen = [(q.from_tensor(x), y.tolist()) for x, y in loader]
    assert seen == [(made[:2], [0, 1]), (made[2:4], [2, 3]), (made[4:], [4])]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([[cirq.Circuit()], cirq.Circuit()], "different shapes"),
        ([cirq.Circuit(), cirq.Z(a) * 1.0], "mixed"),
        (["X"], "neither a circuit nor an observable"),
        (cirq.Circuit(cirq.measure(a), cirq.X(a)), "measured before moment 1"),
        (cirq.Circuit(cirq.X(cirq.LineQid(0, 3)) if False else cirq.IdentityGate(1, (3,))(cirq.LineQid(0, 3))), "only levels 0 and 1"),
        (cirq.Circuit(cirq.testing.SingleQubitGate()(a)), "neither a unitary nor Kraus operators"),
        (cirq.Circuit(cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m")), "depends on a measurement"),
        (1j * cirq.Z(a) * cirq.X(b), "real"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted(items, words):
    with pytest.raises(UserError, match=words):
        q.convert_to_tensor(items)


def test_measurements_at_the_end_are_left_out():
    circuit = cirq.Circuit(cirq.H(a), cirq.measure(a, b, key="m"))
    assert q.from_tensor(q.convert_to_tensor(circuit)) == cirq.Circuit(cirq.H(a))


def test_joining_what_does_not_fit():
    one, two = q.convert_to_tensor([cirq.Circuit()]), q.convert_to_tensor([[cirq.Circuit()] * 2])
    with pytest.raises(UserError, match="do not fit together"):
        q.cat([one, two])
    with pytest.raises(UserError, match="at least one"):
        q.stack([])
    with pytest.raises(UserError, match="cannot be joined"):
        q.cat([one, q.convert_to_tensor([cirq.Z(a) * 1.0])])


# ---- symbols and values


def test_symbols_of_a_circuit_and_of_many():
    t = sympy.symbols("t0:12")
    circuit = cirq.Circuit(cirq.X(a) ** (x + 1) for x in t)
    assert q.get_circuit_symbols(circuit) == tuple(f"t{i}" for i in range(12))
    assert q.get_circuit_symbols([circuit, cirq.Circuit(cirq.rx(sympy.Symbol("s"))(b))]) == (
        "s",
        *(f"t{i}" for i in range(12)),
    )
    assert q.get_circuit_symbols(cirq.Circuit()) == ()
    with pytest.raises(UserError, match="observables"):
        q.get_circuit_symbols([cirq.Z(a) * 1.0])


def test_resolved_circuits_are_those_of_cirq():
    s, t = sympy.symbols("s t")
    made = [
        cirq.Circuit(cirq.X(a) ** (2 * s + 1), cirq.FSimGate(0.5, t)(a, b), cirq.Z(b) ** 0.25, cirq.Y(b) ** (s * t)),
        cirq.Circuit(cirq.X(a) ** t, cirq.X(b) ** 0.125), cirq.Circuit(cirq.X(a) ** sympy.sin(s), cirq.X(b) ** s), cirq.Circuit(),
    ]  # fmt: skip
    values = torch.tensor([[0.25, 1.5], [2.0, 3.0], [0.5, 0.1], [7.0, 8.0]], dtype=torch.float64)
    found = q.resolve_parameters(made, [s, "t"], values)
    assert found.shape == (4,)
    assert found.symbols == ()
    for i, row in enumerate(values.tolist()):
        wanted = cirq.resolve_parameters(made[i], {"s": row[0], "t": row[1]})
        cirq.testing.assert_allclose_up_to_global_phase(
            q.from_tensor(found[i]).unitary(qubit_order=[a, b], qubits_that_should_be_present=[a, b]),
            wanted.unitary(qubit_order=[a, b], qubits_that_should_be_present=[a, b]), atol=1e-7,
        )  # fmt: skip
    assert q.from_tensor(found[1]) == cirq.Circuit(cirq.X(a) ** 3.0, cirq.X(b) ** 0.125)
    again = q.resolve_parameters([made[i] for i in (0, 1, 0, 3, 1)], ["s", "t"], values[[0, 1, 2, 3, 1]])
    assert q.from_tensor(again[[0, 1, 3, 4]]) == q.from_tensor(found[[0, 1, 3, 1]])
    assert len(found.structures) == 3  # the second and the third differ in numbers only
    assert q.resolve_parameters(made[1], ["t"], torch.tensor([0.5])).shape == ()
    assert q.resolve_parameters(made[1], ["t"], torch.tensor([[0.5], [0.6]])).shape == (2,)
    assert q.resolve_parameters(made[1:2], ["t"], torch.tensor([0.5])).shape == (1,)
    assert q.from_tensor(q.resolve_parameters(made[3], [], torch.zeros(0))) == cirq.Circuit()
    assert q.resolve_parameters([], [], torch.zeros(0, 0)).shape == (0,)


def test_resolved_circuits_keep_the_gradient():
    s = sympy.Symbol("s")
    values = torch.tensor([[0.3], [0.8]], dtype=torch.float64, requires_grad=True)
    found = q.resolve_parameters(cirq.Circuit(cirq.rx(s**2)(a)), ["s"], values)
    expectation = q.Expectation(dtype=torch.float64)(found, operators=cirq.Z(a))
    torch.testing.assert_close(expectation, torch.cos(values**2))
    (gradient,) = torch.autograd.grad(expectation.sum(), values)
    torch.testing.assert_close(gradient, (-2 * values * torch.sin(values**2)).detach())


@pytest.mark.parametrize(
    ("names", "values", "words"),
    [
        (["s"], torch.zeros(1, 1), "symbol 't', which got no value"),
        (["s", "t"], torch.zeros(1, 3), r"shape \(1, 3\)"),
        (["s", "t"], torch.zeros(3, 2), "2 circuits and 3 rows"),
        (["s", "t"], torch.tensor([[1.0, -1.0]]), r"the value of log\(t\) for circuit 1 is nan"),
    ],
)
def test_what_cannot_be_resolved(names, values, words):
    s, t = sympy.symbols("s t")
    with pytest.raises(UserError, match=words):
        q.resolve_parameters([cirq.Circuit(cirq.X(a) ** s), cirq.Circuit(cirq.X(a) ** sympy.log(t))], names, values)
