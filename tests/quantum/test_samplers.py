"""Samplers of Cirq as backends: what is sent, what comes back, gradients.

Five tests draw shots, with fixed seeds; each raises a false alarm with probability 1e-4, so all with 5e-4.
"""

import cirq
import numpy as np
import pytest
import sympy
import torch
from scipy import stats

from edubba import quantum as q
from edubba.core.errors import UserError
from edubba.quantum import gates, programs, samplers, simulation, states

a, b, c = qubits = cirq.LineQubit.range(3)
s, t = sympy.symbols("s t")
CIRCUIT = cirq.Circuit(cirq.ry(0.7)(a), cirq.CNOT(a, b), cirq.rx(1.1)(c), cirq.ry(0.4)(b), cirq.CZ(b, c) ** 0.3)


class Counting(cirq.Sampler):
    """A simulator that keeps what it was sent: a list of circuits for each call."""

    def __init__(self, seed=0):
        self.calls, self.inner = [], cirq.Simulator(seed=seed)

    def run_sweep(self, program, params, repetitions=1):
        return self.inner.run_sweep(program, params, repetitions)

    def run_batch(self, programs, params_list=None, repetitions=1):
        self.calls.append(list(programs))
        return super().run_batch(programs, params_list, repetitions)


def z_scores(found, wanted, sums, repetitions):
    """Differences over sum |c| / sqrt(shots), which no standard error of a mean is above."""
    spread = [sum(abs(x.coefficient) for x in cirq.PauliSum.wrap(o) if x.qubits) for o in sums]
    return (found.detach() - wanted).double() / torch.tensor(spread).clamp(min=1e-12) * repetitions**0.5


def bound(count):
    """Of the largest |z| of so many at a false alarm of 1e-4."""
    return stats.norm.isf(0.5e-4 / count)


# ---- values


@pytest.mark.parametrize(
    "sums",
    [
        [cirq.Z(a) + 0.5 * cirq.X(b), cirq.Z(a) - cirq.Z(c)],  # Cirq 1.7: the string of the first goes to the second
        [cirq.Z(a) * 1.0, cirq.Z(a) * 1.0],
        [cirq.Z(a) + 1, cirq.Z(c) + 1],
        [cirq.Z(a) * 1.0, cirq.Z(a) * 2.0, cirq.PauliString(coefficient=0.5)],
        [cirq.Y(c) * cirq.X(b) - 2 * cirq.Y(c), cirq.X(a) * cirq.Z(b) + 0.25 * cirq.Y(b) * cirq.Y(a) - 1],
    ],
)
def test_each_string_is_booked_where_it_belongs(sums):
    """False alarm 1e-4 for the five cases together, two equal rows of values each."""
    moved = cirq.Circuit(cirq.rx(s)(a)) + CIRCUIT
    values = torch.tensor([[0.3], [0.3]])
    wanted = q.Expectation()(moved, symbol_names=[s], symbol_values=values, operators=sums)
    layer = q.SampledExpectation(backend=cirq.Simulator(seed=1))
    found = layer(moved, symbol_names=[s], symbol_values=values, operators=sums, repetitions=20000)
    assert found.dtype == torch.float32
    assert z_scores(found, wanted, sums, 20000).abs().max() < bound(5 * 2 * 3)
    assert wanted.abs().max() > 0.3


def test_a_batch_of_structures_with_observables_of_their_own():
    """False alarm 1e-4."""
    same = cirq.Circuit(cirq.ry(2.1)(a), cirq.CNOT(a, b), cirq.rx(-0.4)(c), cirq.ry(1.3)(b), cirq.CZ(b, c) ** 0.8)
    circuits = [CIRCUIT, cirq.Circuit(cirq.H(a), cirq.CX(a, c), cirq.Y(b) ** 0.3), same, cirq.Circuit()]
    sums = [[cirq.Z(a) * 1.0, cirq.X(b) * cirq.Z(c)], [cirq.X(a) * cirq.X(c), cirq.Y(b) * 1.0], [cirq.Z(b) * 1.0, cirq.Z(a) + cirq.X(c)], [cirq.Z(a) * 1.0, cirq.X(b) + 2]]  # fmt: skip
    wanted = q.Expectation(qubits=qubits)(circuits, operators=sums)
    found = q.SampledExpectation(backend=cirq.Simulator(seed=2), qubits=qubits)(
        circuits, operators=sums, repetitions=5000
    )
    z = torch.stack([z_scores(x, y, own, 5000) for x, y, own in zip(found, wanted, sums, strict=True)])
    assert z.abs().max() < bound(8)
    assert found[3, 0] == 1


def test_channels_go_to_the_sampler_and_its_own_noise_counts():
    """Against the density matrix, false alarm 1e-4."""
    circuit = cirq.Circuit(cirq.ry(s)(a), cirq.CNOT(a, b))
    layers = [
        q.ControlledPQC(circuit + cirq.Circuit(cirq.amplitude_damp(0.4).on_each(a, b)), cirq.Z(b), repetitions=4000, backend=cirq.Simulator(seed=3)),
        q.ControlledPQC(circuit, cirq.Z(b), noise=cirq.bit_flip(0.2), repetitions=4000, backend=cirq.DensityMatrixSimulator(seed=3)),
        q.ControlledPQC(circuit, cirq.Z(b), repetitions=4000, backend=cirq.DensityMatrixSimulator(noise=cirq.bit_flip(0.2), seed=3)),
    ]  # fmt: skip
    flipped = [cirq.Circuit(m, cirq.bit_flip(0.2).on_each(a, b)) for m in circuit]
    noisy = [circuit + cirq.Circuit(cirq.amplitude_damp(0.4).on_each(a, b)), *[flipped[0] + flipped[1]] * 2]
    value = torch.tensor([[0.7]])
    wanted = q.Expectation(backend="noisy")(noisy, symbol_names=[s], symbol_values=value, operators=cirq.Z(b))
    plain = q.Expectation()(circuit, symbol_names=[s], symbol_values=value, operators=cirq.Z(b)).item()
    for layer, own in zip(layers, wanted, strict=True):
        assert abs(own.item() - plain) > 0.09
        assert z_scores(layer(value), own, [cirq.Z(b)], 4000).abs().max() < bound(3)


def test_bits_of_a_sampler():
    """Chi-square on 8 outcomes, false alarm 1e-4."""
    layer = q.Sample(backend=cirq.Simulator(seed=4))
    circuits = [CIRCUIT, cirq.Circuit(cirq.X(b), cirq.I(a)), cirq.Circuit(), cirq.Circuit(cirq.X(c))]
    bits, length = layer(circuits, repetitions=4000)
    assert bits.dtype == torch.int8
    assert bits.shape == (4, 4000, 3)
    assert length.tolist() == [3, 2, 0, 1]
    count = np.bincount(bits[0].numpy() @ [4, 2, 1], minlength=8)
    wanted = 4000 * np.abs(CIRCUIT.final_state_vector()) ** 2
    assert wanted.min() > 5
    assert ((count - wanted) ** 2 / wanted).sum() < stats.chi2.isf(1e-4, 7)
    assert bits[1, :, :2].float().mean(0).tolist() == [0, 1]
    assert bits[3, :, 0].min() == 1
    assert layer(cirq.Circuit(), repetitions=3)[0].shape == (1, 3, 0)
    zeros, _ = q.Sample(backend=cirq.ZerosSampler(), qubits=qubits)(CIRCUIT, repetitions=5)
    assert zeros.tolist() == [[[0, 0, 0]] * 5]


def test_the_order_of_the_qubits_is_that_of_the_layer():
    circuit = cirq.Circuit(cirq.X(a))
    bits, _ = q.Sample(backend=cirq.Simulator(), qubits=[c, a, b])(circuit, repetitions=1)
    assert bits.tolist() == [[[0, 1, 0]]]


# ---- what is sent


def test_shots_are_shared_and_all_circuits_go_in_one_call():
    sampler = Counting()
    sums = [cirq.Z(a), cirq.Z(b), cirq.Z(a) * cirq.Z(b), cirq.X(c) + 1, cirq.X(a) * cirq.Y(b), cirq.PauliString()]
    layer = q.SampledExpectation(backend=sampler)
    one = layer([CIRCUIT, CIRCUIT[:3], CIRCUIT[:4]], operators=sums, repetitions=1)
    assert [len(call) for call in sampler.calls] == [6]  # three circuits; {ZII, IZI, ZZI, IIX}, {XYI}
    assert torch.equal(one[:, 0] * one[:, 1], one[:, 2])
    assert one[:, 5].tolist() == [1, 1, 1]
    assert [sent.moments[-1].qubits for sent in sampler.calls[0][:2]] == [{a, b, c}, {a, b}]
    layer(CIRCUIT, operators=cirq.PauliString(coefficient=3.0), repetitions=5)
    assert len(sampler.calls) == 1  # a constant needs no shots


def test_circuits_go_as_they_were_written_with_their_numbers():
    sampler = Counting()
    circuit = cirq.Circuit(
        cirq.Moment(cirq.rx(2 * s + 1)(a), cirq.H(b)), cirq.Moment(), cirq.Moment(cirq.CZ(a, b) ** t, cirq.X(c) ** 0.25),
        cirq.Moment(cirq.ISWAP(b, c) ** 0.5, cirq.depolarize(0.1)(a)),
    )  # fmt: skip
    values = torch.tensor([[0.3, 0.7]], dtype=torch.float64)
    layer = q.SampledExpectation(backend=sampler)
    layer(circuit, symbol_names=[s, t], symbol_values=values, operators=cirq.Z(a) * cirq.Y(c), repetitions=1)
    ((sent,),) = sampler.calls
    assert cirq.approx_eq(sent[:-2], cirq.resolve_parameters(circuit, {"s": 0.3, "t": 0.7}), atol=1e-12)
    assert sent[-2:] == cirq.Circuit(cirq.Moment(cirq.X(c) ** 0.5), cirq.Moment(cirq.measure(a, c, key="bits")))


def test_more_circuits_than_go_at_once(monkeypatch):
    monkeypatch.setattr(samplers, "AT_ONCE", 4)
    sampler = Counting()
    layer = q.ControlledPQC(cirq.Circuit(cirq.X(a) ** s), [cirq.Z(a)], repetitions=2, backend=sampler)
    found = layer(torch.arange(10.0)[:, None])
    assert [len(call) for call in sampler.calls] == [4, 4, 2]
    assert found[:, 0].tolist() == [1, -1] * 5


def test_shifted_gates_are_those_of_the_program(build):
    """Each step of each gate, shifted: the same unitary as the program's, up to a phase."""
    rng = np.random.default_rng(0)
    on = cirq.LineQubit.range(6)
    taken_apart = set()
    for gate in build.every_gate():
        tensor = q.convert_to_tensor([cirq.Circuit(gate.on(*rng.permutation(on)[: cirq.num_qubits(gate)]))])
        (group,) = simulation.groups(tensor, torch.zeros(1, 0, dtype=torch.float64), (), None)
        d = 1 << group.program.n
        for i in [None, *(i for i, step in enumerate(group.program.steps) if isinstance(step, programs.Pauli))]:
            exponents = group.t.clone()
            if i is not None:
                exponents[0, i] += 0.37
            sent = samplers.circuit(tensor.structures[0], exponents[0].tolist())
            if i is not None and group.program.of_numbers[:, i].any() and len(list(sent.all_operations())) > 1:
                taken_apart.add(type(gate).__name__)
            found = sent.unitary(
                qubit_order=group.qubits, qubits_that_should_be_present=group.qubits, dtype=np.complex128
            )
            wanted = states.run(group.program, exponents.repeat(d, 1), torch.eye(d, dtype=torch.complex128)).T
            overlap = np.vdot(wanted.numpy(), found) / d
            assert abs(overlap) == pytest.approx(1, abs=1e-12), (gate, i)
            if i is None:
                assert [*map(type, sent.all_operations())] == [*map(type, q.from_tensor(tensor[0]).all_operations())]
    # a parameter of these stands in several steps, some controls have several values, Cirq takes the Fourier transform
    # apart; all others go as they are, with another number
    assert taken_apart == {"PhasedXPowGate", "PhasedISwapPowGate", "ControlledGate", "QuantumFourierTransformGate"}


@pytest.mark.parametrize("controls", [(), (1,), (0,), (1, 1), (1, 0)])
@pytest.mark.parametrize("letters", ["X", "Y", "Z", "XX", "ZZ", "XZ", "YXZ", ""])
def test_steps_are_gates_as_they_are_defined(letters, controls):
    """exp(i pi shift t) P**t where the controls hold, written out."""
    n, many, t = len(letters) + len(controls), len(controls), 0.37
    on = cirq.LineQubit.range(n)
    held = tuple(enumerate(controls))
    for shift in (0.0, -0.5, 0.3):
        for sign in (1, -1):
            if not letters and (sign == 1 or not controls):
                continue
            pauli = tuple((i + many, letter) for i, letter in enumerate(letters))
            step = gates.Power(pauli, gates.Exponent(0.0), shift, sign, held)
            p = sign * cirq.DensePauliString(letters)._unitary_() if letters else -np.eye(1)
            one = np.eye(len(p))
            power = np.exp(1j * np.pi * shift * t) * ((one + p) + np.exp(1j * np.pi * t) * (one - p)) / 2
            wanted = np.eye(1 << n, dtype=complex)
            start = int("".join(map(str, controls)) or "0", 2) * len(p)
            wanted[start : start + len(p), start : start + len(p)] = power
            sent = cirq.Circuit(samplers.operation(step, t, on))
            found = sent.unitary(qubit_order=on, qubits_that_should_be_present=on, dtype=np.complex128)
            np.testing.assert_allclose(found, wanted, atol=1e-12)


# ---- gradients


def trained():
    return cirq.Circuit(
        cirq.rx(2 * s + 1)(a), cirq.CNOT(a, b), cirq.SWAP(a, b) ** t, cirq.ry(t * s)(c).controlled_by(a),
        cirq.PhasedXPowGate(phase_exponent=s, exponent=t)(b), cirq.FSimGate(t, 0.3)(b, c), cirq.H(c),
    )  # fmt: skip


SUMS = [cirq.Z(a) * cirq.Y(b) + 0.5 * cirq.X(c), cirq.PauliString(cirq.Z(c)) + 0.25]


class Exact(cirq.Sampler):
    """Shots in numbers proportional to their probabilities, so that means are exact but for their rounding."""

    def __init__(self):
        self.calls = []

    def run_sweep(self, program, params, repetitions=1):
        raise AssertionError("one circuit alone")

    def run_batch(self, programs, params_list=None, repetitions=1):
        self.calls.append(list(programs))
        return [[self.result(program, repetitions)] for program in programs]

    def result(self, program, repetitions):
        (measure,) = program.moments[-1].operations
        psi = cirq.Circuit(program.moments[:-1]).final_state_vector(
            qubit_order=measure.qubits + tuple(sorted(program.all_qubits() - set(measure.qubits))), dtype=np.complex128
        )  # fmt: skip
        probability = (np.abs(psi) ** 2).reshape(1 << len(measure.qubits), -1).sum(1)
        edges = np.rint(repetitions * np.cumsum(probability)).astype(int)
        shots = np.repeat(np.arange(len(edges)), np.diff(edges, prepend=0))
        bits = shots[:, None] >> np.arange(len(measure.qubits))[::-1] & 1
        return cirq.ResultDict(params=cirq.ParamResolver(), measurements={measure.gate.key: bits})


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [(None, 1e-3), (q.ParameterShift(), 1e-3), (q.CentralDifference(4, grid_spacing=0.1), 1e-2), (q.ForwardDifference(3, grid_spacing=0.05), 2e-2)],
)  # fmt: skip
def test_gradients_without_the_noise_of_shots(rule, tolerance):
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[1.0, -0.5], [0.3, 0.7]], dtype=torch.float64)
    (wanted,) = torch.autograd.grad(
        (q.ControlledPQC(trained(), SUMS, dtype=torch.float64)(values) * weight).sum(), values
    )
    sampler = Exact()
    layer = q.ControlledPQC(
        trained(), SUMS, repetitions=10**5, backend=sampler, differentiator=rule, dtype=torch.float64
    )
    (found,) = torch.autograd.grad((layer(values) * weight).sum(), values)
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)
    groups, rows = 2, 2
    assert len(sampler.calls) == 2  # one for the values, one for the gradient
    assert len(sampler.calls[0]) == groups * rows
    if isinstance(rule, q.LinearCombination):
        assert len(sampler.calls[1]) == groups * rows * 2 * len([w for w in rule.weights if w])
    else:  # rx, SWAP, the Zs and the X of PhasedX: two each; the controlled ry and what of FSim is a controlled rx: four
        assert len(sampler.calls[1]) == groups * rows * (5 * 2 + 2 * 4)


def test_second_derivatives_and_both_rules_in_a_batch_of_structures():
    sampler = Exact()
    circuits = [cirq.Circuit(cirq.rx(s)(a), cirq.CX(a, b) ** t), cirq.Circuit(cirq.ry(s * t)(a), cirq.X(b) ** 0.3)]
    values = torch.tensor([[0.3, 0.8], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
    wanted = q.Expectation(dtype=torch.float64)
    for rule in (q.ParameterShift(), q.CentralDifference(4, grid_spacing=0.2)):
        layer = q.SampledExpectation(backend=sampler, differentiator=rule, dtype=torch.float64)
        sampler.calls.clear()
        found = []
        for own, how in ((layer, {"repetitions": 10**5}), (wanted, {})):
            out = own(circuits, symbol_names=[s, t], symbol_values=values, operators=cirq.Z(b) - cirq.Z(a), **how)
            (first,) = torch.autograd.grad(out.sum(), values, create_graph=True)
            (second,) = torch.autograd.grad((first * torch.tensor([1.0, -2.0])).sum(), values)
            found.append((first.detach(), second))
        assert len(sampler.calls) == 3
        torch.testing.assert_close(*found, atol=2e-2, rtol=0)


def test_the_gradient_from_shots():
    """Means of 64 gradients, two symbols, two rules: false alarm 1e-4 in all."""
    circuit = cirq.Circuit(cirq.rx(s)(a), cirq.CNOT(a, b), cirq.ry(t)(b), cirq.FSimGate(s, t)(b, a))
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(q.ControlledPQC(circuit, cirq.Z(b), dtype=torch.float64)(values).sum(), values)
    for rule in (None, q.CentralDifference(grid_spacing=0.1)):
        layer = q.ControlledPQC(
            circuit, cirq.Z(b), repetitions=100, backend=cirq.Simulator(seed=5), differentiator=rule
        )
        many = values.detach().repeat(64, 1).requires_grad_(True)
        (found,) = torch.autograd.grad(layer(many).sum(), many)
        z = (found.mean(0) - wanted[0]) / found.std(0) * 64**0.5
        assert z.abs().max() < stats.t.isf(0.5e-4 / 4, 63)
        assert found.std(0).min() > 0.01


def test_nothing_is_run_for_what_has_no_gradient():
    """Data of a `PQC`, numbers, constant gates."""
    sampler = Counting()
    x = sympy.Symbol("x")
    circuit = cirq.Circuit(cirq.rx(x)(a), cirq.CNOT(a, b), cirq.H(b), cirq.ry(s)(b), cirq.rx(x)(b), cirq.X(a) ** 0.3)
    for rule, many in ((None, 2), (q.CentralDifference(), 2)):
        layer = q.PQC(circuit, cirq.Z(b), inputs=[x], repetitions=3, backend=sampler, differentiator=rule)
        for data, more in ((torch.rand(5, 1), 0), (torch.rand(5, 1, requires_grad=True), 4 if rule is None else 2)):
            sampler.calls.clear()
            layer(data).sum().backward()
            assert [len(call) for call in sampler.calls] == [5, 5 * (many + more)]
    assert layer.weight.grad.shape == (1,)


def test_the_gradient_of_numbers_that_were_filled_in():
    values = torch.tensor([[0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    filled = q.resolve_parameters(cirq.Circuit(cirq.rx(s**2)(a), cirq.X(a) ** t), [s, t], values)
    (wanted,) = torch.autograd.grad(
        q.Expectation(dtype=torch.float64)(filled, operators=cirq.Z(a)).sum(), values, retain_graph=True
    )
    layer = q.SampledExpectation(backend=Exact(), dtype=torch.float64)
    (found,) = torch.autograd.grad(layer(filled, operators=cirq.Z(a), repetitions=10**6).sum(), values)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_layer_learns_from_a_sampler():
    torch.manual_seed(0)
    layer = q.PQC(
        cirq.Circuit(cirq.ry(s)(a), cirq.rx(t)(a)), cirq.Z(a), repetitions=100, backend=cirq.Simulator(seed=6)
    )
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.3)
    for _ in range(25):
        optimizer.zero_grad()
        loss = layer().sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < -0.9


def test_a_sampler_may_have_more_qubits_than_can_be_simulated():
    many = cirq.LineQubit.range(70)
    circuit = cirq.Circuit(cirq.rx(s).on_each(*many), cirq.CZ(many[0], many[69]))
    layer = q.PQC(
        circuit, [cirq.Z(many[69]) * cirq.Z(many[0]), cirq.X(many[3]) + 1], repetitions=3, backend=cirq.ZerosSampler()
    )
    found = layer()
    found.sum().backward()
    assert found.tolist() == [[1, 2]]
    bits, _ = q.Sample(backend=cirq.ZerosSampler())(cirq.Circuit(cirq.X.on_each(*many)), repetitions=2)
    assert bits.shape == (1, 2, 70)


# ---- what users get wrong

PLAIN = cirq.Circuit(cirq.rx(s)(a))
SIMULATOR = cirq.Simulator()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: q.SampledExpectation(backend=cirq.Simulator), "backend=<class .* 'noiseless' or 'noisy' or a cirq.Sampler is what"),
        (lambda: q.Sample(backend=7), "backend=7: 'noiseless' or 'noisy' or a cirq.Sampler is what there is"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), backend=None), "backend=None: .* or a cirq.Sampler"),
        (lambda: q.Expectation(backend=SIMULATOR), "'noiseless' or 'noisy' is what there is, and shots of a sampler are for"),
        (lambda: q.State(backend=SIMULATOR), "shots of a sampler are for Sample,"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), backend=SIMULATOR), "gives shots .*repetitions=1000"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), backend=SIMULATOR, repetitions=9, sample_based=False), "gives shots and nothing else"),
        (lambda: q.PQC(PLAIN, cirq.Z(a), backend=SIMULATOR, repetitions=9, differentiator=q.Adjoint()), "Adjoint needs the state"),
        (lambda: q.SampledExpectation(SIMULATOR, q.Backprop())(PLAIN, operators=cirq.Z(a), repetitions=9), "Backprop needs the state"),
        (lambda: q.SampledExpectation(SIMULATOR)(PLAIN, operators=cirq.Z(a), repetitions=9), "symbol 's', which got no value"),
        (lambda: q.SampledExpectation(SIMULATOR)([PLAIN[:0]] * 3, operators=[[cirq.Z(a)]] * 2, repetitions=9), "observables for 2 circuits, but 3"),
        (lambda: q.SampledExpectation(SIMULATOR)(PLAIN[:0], operators=cirq.Z(a), repetitions=9), "acts on q.0., but the circuit has only no"),
        (lambda: q.Sample(backend=SIMULATOR)(PLAIN, symbol_names=[s], symbol_values=torch.tensor([[float("nan")]]), repetitions=9), "'s' in row 0 is nan"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(how, words):
    with pytest.raises(UserError, match=words):
        how()


class Elsewhere(cirq.Device):
    def validate_operation(self, operation):
        raise ValueError(f"{operation} is not on this device")


def test_what_the_sampler_says_is_not_hidden():
    layer = q.PQC(PLAIN, cirq.Z(a), repetitions=9, backend=cirq.ZerosSampler(Elsewhere()))
    with pytest.raises(ValueError, match="is not on this device"):
        layer()
