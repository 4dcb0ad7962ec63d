"""Circuits with channels: against Cirq, by their laws, and as layers."""

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edubba import quantum as q
from edubba.core.errors import UserError
from edubba.quantum import gates, noise

a, b, c, d = cirq.LineQubit.range(4)
s, t = sympy.symbols("s t")
UNITAL = [
    cirq.depolarize(0.1), cirq.depolarize(0.2, n_qubits=2), cirq.asymmetric_depolarize(0.01, 0.02, 0.03),
    cirq.asymmetric_depolarize(error_probabilities={"XY": 0.2, "ZI": 0.1}), cirq.phase_damp(0.3), cirq.phase_flip(0.1),
    cirq.bit_flip(0.2), cirq.X.with_probability(0.3), (cirq.CZ**0.3).with_probability(0.4),
    cirq.ControlledGate(cirq.Y**0.3).with_probability(0.1),
]  # fmt: skip
DAMPING = [
    cirq.amplitude_damp(0.3), cirq.generalized_amplitude_damp(0.3, 0.2), cirq.ResetChannel(),
    cirq.KrausChannel([np.diag([1, 0.6 + 0j]), np.array([[0, 0.8j], [0, 0]])], key="which"),
    cirq.amplitude_damp(0.2).with_probability(0.5),
]  # fmt: skip
OTHERS = [
    cirq.MixedUnitaryChannel([(0.3, cirq.unitary(cirq.H)), (0.7, cirq.unitary(cirq.T))]),
    cirq.ControlledGate(cirq.phase_flip(0.3)), cirq.depolarize(0), cirq.amplitude_damp(0), cirq.bit_flip(1),
]  # fmt: skip
"""channels that are no family of their own, and those that are none"""


def density_of(circuit, qubits):
    return cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_density_matrix


def a_bit_of_noise():
    return cirq.Circuit(
        cirq.rx(2 * s + 1)(a), cirq.depolarize(0.05)(a), cirq.CNOT(a, b), cirq.amplitude_damp(0.2)(b), cirq.X(c) ** (s * t),
        cirq.depolarize(0.1, n_qubits=2)(c, a), cirq.FSimGate(t, s**2)(b, c), cirq.ResetChannel()(a), cirq.H(a) ** s,
        cirq.generalized_amplitude_damp(0.3, 0.2)(c), cirq.ry(t)(c).controlled_by(a), cirq.CZ(a, c) ** 0.3,
    )  # fmt: skip


SUMS = [cirq.Z(a) * cirq.Y(b) + 0.5 * cirq.X(c), cirq.PauliString(cirq.Z(c)) + 0.25, cirq.Y(a) * cirq.Y(c) - cirq.Z(b)]


# ---- channels in tensors


def test_channels_come_back_as_they_were_and_from_files(tmp_path):
    qubits = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.Moment(g.on(*qubits[: cirq.num_qubits(g)])) for g in UNITAL + DAMPING)
    tensor = q.convert_to_tensor(circuit)
    again = q.from_tensor(tensor)
    assert repr(again) == repr(circuit)
    assert q.from_tensor(q.load(q.save(tmp_path / "noisy.npz", tensor))) == again
    assert {number for number, _ in tensor.structures[0].kinds} == gates.CHANNELS
    assert [gates.FAMILIES[i].cls.__name__ for i in sorted(gates.CHANNELS)][0::9] == [
        "DepolarizingChannel", "RandomGateChannel",
    ]  # fmt: skip


def test_what_a_channel_cannot_be():
    with pytest.raises(UserError, match="numbers"):
        q.convert_to_tensor(cirq.Circuit(cirq.RandomGateChannel(sub_gate=cirq.X, probability=s)(a)))
    with pytest.raises(UserError, match="numbers"):
        q.convert_to_tensor(cirq.Circuit(cirq.RandomGateChannel(sub_gate=cirq.X**s, probability=0.3)(a)))
    with pytest.raises(UserError, match="do not keep the trace"):
        q.convert_to_tensor(cirq.Circuit(cirq.KrausChannel([np.diag([1, 0.6])])(a)))
    with pytest.raises(UserError, match="only levels 0 and 1"):
        q.convert_to_tensor(cirq.Circuit(cirq.ResetChannel(3)(cirq.LineQid(0, 3))))


# ---- density matrices


def test_golden_values(golden):
    named = {
        "depolarize(0.05)": cirq.depolarize(0.05), "asymmetric_depolarize(0.01,0.02,0.03)": cirq.asymmetric_depolarize(0.01, 0.02, 0.03),
        "amplitude_damp(0.1)": cirq.amplitude_damp(0.1), "phase_damp(0.1)": cirq.phase_damp(0.1), "reset": cirq.ResetChannel(),
        "generalized_amplitude_damp(0.3,0.1)": cirq.generalized_amplitude_damp(0.3, 0.1), "phase_flip(0.1)": cirq.phase_flip(0.1),
        "bit_flip(0.1)": cirq.bit_flip(0.1),
    }  # fmt: skip
    assert set(named) == set(golden["noise"]["E"])
    circuits = [
        cirq.Circuit(cirq.ry(0.9)(a), cirq.CNOT(a, b), g.on_each(a, b), cirq.rx(0.4)(a)) for g in named.values()
    ]
    sums = [cirq.Z(a), cirq.X(a), cirq.Z(a) * cirq.Z(b), cirq.Y(b)]
    found = q.Expectation(backend="noisy", dtype=torch.float64)(circuits, operators=sums)
    np.testing.assert_allclose(found, [golden["noise"]["E"][name] for name in named], atol=1e-10)


@settings(max_examples=12)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_density_matrices_are_those_of_cirq_and_lawful(seed, n):
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n)
    pool = [g for g in UNITAL + DAMPING + OTHERS if cirq.num_qubits(g) <= n]
    ops = list(cirq.testing.random_circuit(qubits, 5, 0.8, random_state=seed).all_operations())
    for _ in range(5):
        g = pool[rng.integers(len(pool))]
        at = rng.permutation(n)[: cirq.num_qubits(g)]
        ops.insert(rng.integers(len(ops) + 1), g.on(*(qubits[i] for i in at)))
    circuit = cirq.Circuit(ops)
    rho, rows = q.DensityMatrix(qubits=qubits, dtype=torch.float64)(circuit)
    assert rows.tolist() == [1 << n]
    np.testing.assert_allclose(rho[0], density_of(circuit, qubits), atol=1e-10)
    assert torch.einsum("bii->b", rho)[0].item() == pytest.approx(1, abs=1e-12)
    assert torch.linalg.eigvalsh(rho).min() > -1e-12


def test_every_gate_under_noise(build):
    rng = np.random.default_rng(3)
    qubits = cirq.LineQubit.range(4)
    ops, plain = [], []
    for i, g in enumerate(g for g in build.every_gate() if 1 <= cirq.num_qubits(g) <= 4):
        on = [qubits[j] for j in rng.permutation(4)[: cirq.num_qubits(g)]]
        damped = cirq.amplitude_damp(0.05)(qubits[i % 4])
        ops += [g.on(*on), damped]
        plain += [cirq.MatrixGate(cirq.unitary(g)).on(*on), damped]  # Cirq 1.7 stumbles over a controlled global phase
    rho, _ = q.DensityMatrix(qubits=qubits, dtype=torch.float64)(cirq.Circuit(ops))
    np.testing.assert_allclose(rho[0], density_of(cirq.Circuit(plain), qubits), atol=1e-10)


def test_unital_channels_keep_the_identity_and_the_others_do_not():
    mixed = [cirq.depolarize(0.75)(qubit) for qubit in (a, b, c)]
    unitary = [cirq.H(a), cirq.CNOT(a, b), cirq.FSimGate(0.3, 0.2)(b, c)]
    channels = UNITAL + DAMPING
    circuits = [cirq.Circuit(mixed, unitary, g.on(*(a, b)[: cirq.num_qubits(g)]), unitary) for g in channels]
    rho, _ = q.DensityMatrix(dtype=torch.float64)(circuits)
    distance = (rho - torch.eye(8) / 8).abs().amax((1, 2))
    assert distance[: len(UNITAL)].max() < 1e-12
    assert distance[len(UNITAL) :].min() > 5e-3


def test_density_matrices_of_different_sizes_are_padded():
    rho, rows = q.DensityMatrix()(
        [cirq.Circuit(cirq.reset(a)), cirq.Circuit(cirq.bit_flip(0.25)(a), cirq.H(b)), cirq.Circuit()]
    )
    assert rows.tolist() == [2, 4, 1]
    assert rho[0, 2:].abs().max() == rho[0, :, 2:].abs().max() == 0
    torch.testing.assert_close(rho[1].diagonal().real, torch.tensor([0.375, 0.375, 0.125, 0.125]))


def test_reset_and_measurements():
    bell = [cirq.H(a), cirq.CNOT(a, b)]
    found = q.Expectation(backend="noisy")
    sums = [cirq.Z(a), cirq.Z(b), cirq.Z(a) * cirq.Z(b)]
    torch.testing.assert_close(found(cirq.Circuit(bell, cirq.reset(a)), operators=sums), torch.tensor([[1.0, 0, 0]]))
    measured = cirq.Circuit(bell, cirq.bit_flip(0.25)(a), cirq.measure(a, b))
    torch.testing.assert_close(found(measured, operators=sums), torch.tensor([[0.0, 0, 0.5]]))
    with pytest.raises(UserError, match="measured before moment 3"):
        found(cirq.Circuit(bell, cirq.measure(a), cirq.reset(a)), operators=sums)


def test_no_noise_is_exactly_no_noise():
    torch.manual_seed(0)
    gates_ = [cirq.rx(s)(a), cirq.CNOT(a, b), cirq.ry(t)(b), cirq.FSimGate(0.3, 0.2)(a, b)]
    none = [
        cirq.depolarize(0)(a),
        cirq.amplitude_damp(0)(b),
        cirq.phase_flip(0)(a),
        cirq.bit_flip(0)(b),
        cirq.phase_damp(0)(b),
    ]
    values = torch.rand(3, 2)
    sums = [cirq.Z(b), cirq.X(a) * cirq.Y(b)]
    wanted = q.ControlledPQC(cirq.Circuit(gates_), sums, differentiator=q.Backprop())(values)
    model = cirq.Circuit(gates_[:2], none, gates_[2:])
    assert torch.equal(q.NoisyControlledPQC(model, sums, repetitions=3, sample_based=False)(values), wanted)
    torch.testing.assert_close(q.NoisyControlledPQC(model, sums, repetitions=None, sample_based=False)(values), wanted)


# ---- trajectories


@pytest.mark.parametrize("sample_based", [False, True])
def test_trajectories_are_unbiased(sample_based):
    """64 means of 100 trajectories at two points, three observables each: false alarm 1e-4 in all."""
    torch.manual_seed(4)
    points = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64)
    circuit = a_bit_of_noise()
    wanted = q.NoisyControlledPQC(circuit, SUMS, repetitions=None, sample_based=False, dtype=torch.float64)(points)
    layer = q.NoisyControlledPQC(circuit, SUMS, repetitions=100, sample_based=sample_based, dtype=torch.float64)
    means = layer(points.repeat_interleave(64, 0)).reshape(2, 64, 3)
    z = (means.mean(1) - wanted) / means.std(1) * 64**0.5
    assert z.abs().max() < stats.t.isf(1e-4 / 12, 63)
    assert means.std(1).min() > 1e-3


def test_every_channel_is_drawn_with_its_probabilities():
    """Chi-square of 4,000 shots of each on 4 outcomes: false alarm 1e-4 in all."""
    torch.manual_seed(5)
    channels = [
        g
        for g in UNITAL + DAMPING + OTHERS
        if q.convert_to_tensor(cirq.Circuit(g.on(*(b, a)[: cirq.num_qubits(g)]))).channel
    ]
    circuits = [
        cirq.Circuit(cirq.ry(0.7)(a), cirq.CNOT(a, b), cirq.rx(0.5)(b), g.on(*(b, a)[: cirq.num_qubits(g)]), cirq.ry(0.4).on_each(a, b))
        for g in channels
    ]  # fmt: skip
    rho, _ = q.DensityMatrix(dtype=torch.float64)(circuits)
    bits, qubits = q.Sample(backend="noisy")(circuits, repetitions=4000)
    assert qubits.tolist() == [2] * len(circuits)
    assert bits.shape == (len(circuits), 4000, 2)
    for i in range(len(circuits)):
        count = np.bincount(bits[i].numpy() @ [2, 1], minlength=4)
        wanted = 4000 * rho[i].diagonal().real.numpy()
        assert wanted.min() > 5
        assert ((count - wanted) ** 2 / wanted).sum() < stats.chi2.isf(1e-4 / len(circuits), 3), channels[i]


def test_trajectories_belong_to_their_rows_however_many_run_at_a_time(monkeypatch):
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.depolarize(1e-9)(a), cirq.X(b), cirq.amplitude_damp(1e-9)(b))
    layer = q.NoisyControlledPQC(circuit, [cirq.Z(a), cirq.Z(b)], repetitions=7, sample_based=False)
    monkeypatch.setattr(noise, "AMPLITUDES", 20)
    found = layer(torch.tensor([[0.0], [np.pi], [np.pi], [0.0], [np.pi / 2]]))
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0, -1, -1, 1, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:, 1], torch.full((5,), -1.0))


def test_shots_belong_to_their_rows():
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.X(b), cirq.depolarize(1e-9)(a))
    values = torch.tensor([[0.0], [np.pi], [np.pi]])
    bits, _ = q.Sample(backend="noisy")(circuit, symbol_names=[s], symbol_values=values, repetitions=5)
    assert bits.tolist() == [[[0, 1]] * 5, [[1, 1]] * 5, [[1, 1]] * 5]


def test_shots_are_shared_by_observables_under_noise_too():
    torch.manual_seed(6)
    circuit = cirq.Circuit(cirq.H(a), cirq.bit_flip(0.3)(a), cirq.CNOT(a, b), cirq.amplitude_damp(0.3)(b))
    sums = [cirq.Z(a), cirq.Z(b), cirq.Z(a) * cirq.Z(b)]
    one = q.SampledExpectation(backend="noisy")([circuit] * 20, operators=sums, repetitions=1)
    assert torch.equal(one[:, 0] * one[:, 1], one[:, 2])
    assert set(one.ravel().tolist()) == {-1.0, 1.0}
    mean = q.Expectation(backend="noisy")(circuit, operators=sums, repetitions=50)
    assert mean.abs().max() < 1


# ---- gradients


@pytest.mark.parametrize("rule", [None, q.Backprop()])
def test_derivatives_of_every_order(rule):
    layer = q.ControlledPQC(a_bit_of_noise(), SUMS, backend="noisy", differentiator=rule, dtype=torch.float64)
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, values)
    assert torch.autograd.gradgradcheck(layer, values)


def test_derivatives_of_density_matrices_and_by_torch_func():
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    rho = q.DensityMatrix(dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: rho(a_bit_of_noise(), symbol_names=[s, t], symbol_values=v)[0], values)
    layer = q.ControlledPQC(a_bit_of_noise(), SUMS, backend="noisy", differentiator=q.Backprop(), dtype=torch.float64)
    jacobian = torch.func.jacrev(layer)(values.detach())
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(layer, values.detach()))


def test_gradients_of_every_gate_and_matrix(build):
    rng = np.random.default_rng(11)
    qubits = cirq.LineQubit.range(4)
    ops = [cirq.X(qubits[0]) ** s]
    for i, g in enumerate(g for g in build.every_gate() + UNITAL + DAMPING if 1 <= cirq.num_qubits(g) <= 4):
        ops.append(g.on(*(qubits[j] for j in rng.permutation(4)[: cirq.num_qubits(g)])))
        if i % 4 == 0:
            ops += [cirq.Y(qubits[i % 3]) ** (s + i), cirq.rx(t)(qubits[3]).controlled_by(qubits[i % 3])]
            ops += [cirq.ISWAP(qubits[1], qubits[2]) ** t, cirq.ry(s * t)(qubits[3])]
    sums = [cirq.Z(qubits[0]) * cirq.Y(qubits[3]) + cirq.X(qubits[1]), cirq.Y(qubits[2]) * cirq.X(qubits[3]) * 2.0]
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
    found, wanted = (
        torch.autograd.grad(
            q.ControlledPQC(cirq.Circuit(ops), sums, backend="noisy", differentiator=how, dtype=torch.float64)(values).sum(), values
        )[0]
        for how in (None, q.Backprop())
    )  # fmt: skip
    assert wanted.abs().min() > 1e-4
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [
        (q.Adjoint(), 1e-12),
        (None, 1e-12),
        (q.ParameterShift(), 1e-10),
        (q.CentralDifference(), 1e-4),
        (q.ForwardDifference(3), 1e-4),
    ],
)
def test_all_rules_agree_on_density_matrices(rule, tolerance):
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[1.0, -0.5, 2.0], [0.3, 0.7, -1.0]], dtype=torch.float64)
    found, wanted = (
        torch.autograd.grad(
            (q.ControlledPQC(a_bit_of_noise(), SUMS, backend="noisy", differentiator=how, dtype=torch.float64)(values) * weight).sum(), values
        )[0]
        for how in (rule, q.Backprop())
    )  # fmt: skip
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)
    assert not torch.equal(found, wanted)


@pytest.mark.parametrize("sample_based", [False, True])
def test_gradients_of_trajectories_are_unbiased(sample_based):
    """64 gradients, two symbols: false alarm 1e-4 in all."""
    torch.manual_seed(7)
    point = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    circuit = cirq.Circuit(
        cirq.rx(s)(a), cirq.amplitude_damp(0.2)(a), cirq.CNOT(a, b), cirq.depolarize(0.1)(b), cirq.ry(t * s)(b)
    )
    settings_ = {"dtype": torch.float64}
    exact = q.NoisyControlledPQC(circuit, cirq.Z(b), repetitions=None, sample_based=False, **settings_)
    wanted = torch.autograd.functional.jacobian(lambda v: exact(v).sum(), point)
    for how in (None, q.CentralDifference(grid_spacing=0.1)):
        layer = q.NoisyControlledPQC(
            circuit, cirq.Z(b), repetitions=30, sample_based=sample_based, differentiator=how, **settings_
        )
        many = point.repeat(64, 1).requires_grad_(True)
        (found,) = torch.autograd.grad(layer(many).sum(), many)
        z = (found.mean(0) - wanted[0]) / found.std(0) * 64**0.5
        assert z.abs().max() < stats.t.isf(1e-4 / 8, 63)


# ---- layers


def test_a_layer_runs_exactly_on_shots_or_under_noise_by_an_argument():
    torch.manual_seed(8)
    circuit = cirq.Circuit(cirq.ry(s)(a), cirq.CNOT(a, b), cirq.rx(t)(b), cirq.measure(b))
    sums = [cirq.Z(a), cirq.Z(b)]
    values = {"s": 0.4, "t": 0.9}
    layers = {
        name: q.PQC(circuit, sums, initializer=lambda w: w.copy_(torch.tensor([0.4, 0.9])), dtype=torch.float64, **how)
        for name, how in {
            "exact": {}, "shots": {"repetitions": 4000}, "noise": {"noise": cirq.depolarize(0.1)},
            "noise and shots": {"noise": cirq.depolarize(0.1), "repetitions": 4000},
            "trajectories": {"noise": cirq.ConstantQubitNoiseModel(cirq.depolarize(0.1)), "repetitions": 4000, "sample_based": False},
        }.items()
    }  # fmt: skip
    found = {name: layer() for name, layer in layers.items()}
    bare = cirq.resolve_parameters(cirq.Circuit(circuit.moments[:-1]), values)
    noisy = density_of(bare.with_noise(cirq.depolarize(0.1)), [a, b])
    wanted = [o.expectation_from_density_matrix(noisy, {a: 0, b: 1}).real for o in sums]
    np.testing.assert_allclose(found["noise"][0].detach(), wanted, atol=1e-10)
    assert (found["noise"] - found["exact"]).abs().min() > 0.05
    for name, other in (("shots", "exact"), ("noise and shots", "noise"), ("trajectories", "noise")):
        torch.testing.assert_close(found[name], found[other], atol=5 / 4000**0.5, rtol=0)
    for layer in layers.values():
        layer().sum().backward()
        assert layer.weight.grad.abs().min() > 0.01


def test_circuits_given_to_a_noisy_layer_bring_their_own_noise():
    layer = q.NoisyPQC(
        cirq.Circuit(cirq.rx(s)(a)), cirq.Z(a), repetitions=None, sample_based=False, initializer=torch.nn.init.zeros_
    )
    given_ = [
        cirq.Circuit(),
        cirq.Circuit(cirq.bit_flip(0.25)(a)),
        cirq.Circuit(cirq.X(a), cirq.amplitude_damp(0.25)(a)),
    ]
    torch.testing.assert_close(layer(given_), torch.tensor([[1.0], [0.5], [-0.5]]))
    assert layer.symbol_values() == {"s": 0.0}


def test_a_noisy_layer_learns():
    torch.manual_seed(9)
    layer = q.PQC(cirq.Circuit(cirq.ry(s)(a), cirq.rx(t)(a)), cirq.Z(a), noise=cirq.depolarize(0.03), repetitions=200)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = layer().sum()
        loss.backward()
        optimizer.step()
    assert -1 < loss.item() < -0.8


def test_trajectories_of_more_qubits_than_a_density_matrix_has_room_for():
    torch.manual_seed(10)
    qubits = cirq.LineQubit.range(15)
    circuit = cirq.Circuit(cirq.X.on_each(*qubits), cirq.amplitude_damp(0.5).on_each(*qubits))
    mean = q.Expectation(backend="noisy")(circuit, operators=sum(cirq.Z(x) for x in qubits) / 15, repetitions=20)
    assert abs(mean.item()) < 4 / (15 * 20) ** 0.5  # 15 x 20 coins
    with pytest.raises(UserError, match=r"15 qubits need .* GB"):
        q.Expectation(backend="noisy")(circuit, operators=cirq.Z(a) * 1.0)
    with pytest.raises(UserError, match=r"20 qubits need .* GB"):
        q.DensityMatrix()(cirq.Circuit(cirq.X.on_each(*cirq.LineQubit.range(20))))


NOISY = cirq.Circuit(cirq.X(a), cirq.rx(s)(a), cirq.depolarize(0.1)(a))
PLAIN = cirq.Circuit(cirq.rx(s)(a))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: q.PQC(NOISY, cirq.Z(a)), "DepolarizingChannel on q.0. in moment 2, which .* use NoisyPQC"),
        (lambda: q.ControlledPQC(PLAIN, cirq.Z(a))(NOISY, torch.zeros(1, 1)), "DepolarizingChannel on q.0. in moment 2"),
        (lambda: q.Expectation()([PLAIN, NOISY], operators=cirq.Z(a)), "DepolarizingChannel"),
        (lambda: q.SampledExpectation()(NOISY, operators=cirq.Z(a), repetitions=3), "DepolarizingChannel"),
        (lambda: q.Sample()(cirq.Circuit(cirq.reset(a)), repetitions=3), "ResetChannel"),
        (lambda: q.State()(NOISY), "or DensityMatrix"),
        (lambda: q.Unitary()(NOISY), "DepolarizingChannel"),
        (lambda: q.State(backend="noisy"), "backend='noisy': 'noiseless' is what there is"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), noise=0.1), "noise=0.1 is neither"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), noise=cirq.depolarize(0.1, n_qubits=2)), "neither a cirq.NoiseModel nor a channel on one"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), noise=cirq.depolarize(0.1), differentiator=q.Backprop(), repetitions=9), "Backprop needs the density"),
        (lambda: q.NoisyPQC(PLAIN, cirq.Z(a), differentiator=q.Adjoint(), repetitions=9, sample_based=False), "Adjoint needs the density"),
        (lambda: q.NoisyPQC(PLAIN, cirq.Z(a), repetitions=None, sample_based=True), "needs repetitions"),
        (lambda: q.NoisyControlledPQC(PLAIN, cirq.Z(a), repetitions=0, sample_based=False), "repetitions=0"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), repetitions=9, sample_based=False), "needs noise"),
        (lambda: q.Expectation()(cirq.Circuit(cirq.X(a)), operators=cirq.Z(a), repetitions=9), "for shots use SampledExpectation"),
        (lambda: q.Expectation(backend="noisy")(NOISY, operators=cirq.Z(a), repetitions=0), "repetitions=0"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(how, words):
    with pytest.raises(UserError, match=words):
        how()
