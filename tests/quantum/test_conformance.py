"""Random circuits of every gate against Cirq, all ways of simulation against each other, and the laws they obey.

Tests against Cirq's complex128 simulators ask for 1e-10, those in single precision for 1e-5. Two tests draw shots, with
fixed seeds: false alarm 1e-4 each, 2e-4 in all.
"""

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edubba import quantum as q
from edubba.quantum import gates

QUBITS = cirq.LineQubit.range(10)
NAMES = ("s", "t", "u")
SYMBOLS = sympy.symbols("s t u")
DOUBLE = {"dtype": torch.float64}
CHANNELS = [
    cirq.depolarize(0.1), cirq.depolarize(0.2, n_qubits=2), cirq.asymmetric_depolarize(0.01, 0.02, 0.03), cirq.amplitude_damp(0.3),
    cirq.generalized_amplitude_damp(0.3, 0.2), cirq.phase_damp(0.3), cirq.phase_flip(0.1), cirq.bit_flip(0.2), cirq.ResetChannel(),
    cirq.KrausChannel([np.diag([1, 0.6 + 0j]), np.array([[0, 0.8j], [0, 0]])]), cirq.X.with_probability(0.3),
]  # fmt: skip
"""one of each family"""


def some_gate(rng, family, value):
    """A gate of a family, whose parameters `value` gives."""
    shift = float(rng.choice([0.0, 0.0, -0.5, 0.3]))
    string = cirq.DensePauliString(
        "".join(rng.choice(list("XYZ"), rng.integers(1, 4))), coefficient=int(rng.choice([-1, 1]))
    )
    matrix = cirq.testing.random_unitary(
        1 << rng.integers(1, 4), random_state=np.random.RandomState(rng.integers(2**31))
    )
    special = {
        cirq.Rx: lambda: cirq.rx(value()), cirq.Ry: lambda: cirq.ry(value()), cirq.Rz: lambda: cirq.rz(value()),
        cirq.MSGate: lambda: cirq.ms(value()), cirq.CSwapGate: lambda: cirq.CSWAP, cirq.IdentityGate: lambda: cirq.IdentityGate(2),
        cirq.PhasedXPowGate: lambda: cirq.PhasedXPowGate(phase_exponent=value(), exponent=value(), global_shift=shift),
        cirq.PhasedISwapPowGate: lambda: cirq.PhasedISwapPowGate(phase_exponent=value(), exponent=value()),
        cirq.PhasedXZGate: lambda: cirq.PhasedXZGate(x_exponent=value(), z_exponent=value(), axis_phase_exponent=value()),
        cirq.FSimGate: lambda: cirq.FSimGate(value(), value()), cirq.GlobalPhaseGate: lambda: cirq.GlobalPhaseGate(np.exp(0.7j)),
        cirq.MatrixGate: lambda: cirq.MatrixGate(matrix), cirq.DensePauliString: lambda: string,
        cirq.PauliStringPhasorGate: lambda: cirq.PauliStringPhasorGate(string, exponent_neg=value(), exponent_pos=value()),
    }  # fmt: skip
    return special.get(family, lambda: family(exponent=value(), global_shift=shift))()


def every_family(rng, n, value=None, *, controls=True, matrices=True):
    """Operations on n qubits with a gate of each family that fits, in random order, some of them under controls.

    Without matrices the compiled kernels do the work.
    """
    value = value or (lambda: float(rng.uniform(-2, 2)))
    ops = []
    for family in [family.cls for i, family in enumerate(gates.FAMILIES) if i not in gates.CHANNELS]:
        if family is cirq.MatrixGate and not matrices:
            continue
        gate = some_gate(rng, family, value)
        more = int(rng.integers(0, 3)) if controls and family is not cirq.GlobalPhaseGate else 0
        if more and cirq.num_qubits(gate) + more <= n:
            gate = cirq.ControlledGate(gate, control_values=rng.integers(0, 2, more).tolist())
        if cirq.num_qubits(gate) <= n:
            ops.append(gate.on(*(QUBITS[i] for i in rng.permutation(n)[: cirq.num_qubits(gate)])))
    return [ops[i] for i in rng.permutation(len(ops))]


def some_sums(rng, n, count=3):
    """Observables of three strings each."""
    letters = [cirq.X, cirq.Y, cirq.Z]
    return [
        sum(
            float(rng.normal()) * cirq.PauliString({QUBITS[i]: letters[rng.integers(3)] for i in rng.permutation(n)[: rng.integers(1, min(n, 3) + 1)]})
            for _ in range(3)
        )
        + 0.25
        for _ in range(count)
    ]  # fmt: skip


def test_the_channels_here_are_all_there_are():
    tensor = q.convert_to_tensor([cirq.Circuit(g.on(*QUBITS[: cirq.num_qubits(g)])) for g in CHANNELS])
    assert {number for structure in tensor.structures for number, _ in structure.kinds} == gates.CHANNELS


# ---- values


@pytest.mark.parametrize("n", range(1, 11))
def test_states_and_expectations_in_both_precisions(n):
    rng = np.random.default_rng(100 + n)
    qubits, sums = QUBITS[:n], some_sums(rng, n)
    circuits = [
        cirq.Circuit(every_family(rng, n, matrices=its), every_family(rng, n, matrices=its)) for its in (True, False)
    ]
    simulator = cirq.Simulator(dtype=np.complex128)
    wanted = [simulator.simulate(circuit, qubit_order=qubits).final_state_vector for circuit in circuits]
    place = {qubit: i for i, qubit in enumerate(qubits)}
    values = [[o.expectation_from_state_vector(psi, place).real for o in sums] for psi in wanted]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        psi, length = q.State(qubits=qubits, dtype=dtype)(circuits)
        assert length.tolist() == [1 << n] * 2
        np.testing.assert_allclose(psi, wanted, atol=tolerance, rtol=0)
        found = q.Expectation(qubits=qubits, dtype=dtype)(circuits, operators=sums)
        np.testing.assert_allclose(found, values, atol=10 * tolerance, rtol=0)


@pytest.mark.parametrize("matrices", [True, False])
def test_a_batch_of_structures_each_with_values_and_observables_of_its_own(matrices):
    """Some differ in structure, some in numbers alone; rows are in no order. Values by Cirq, gradients by autograd."""
    rng = np.random.default_rng(600)
    n, qubits = 4, QUBITS[:4]
    kinds = [trainable(np.random.default_rng(601 + i), n, matrices) for i in range(3)]
    more = [cirq.Circuit(cirq.rx(float(rng.normal()))(qubits[0]), cirq.ry(SYMBOLS[1])(qubits[2])) for _ in range(4)]
    circuits = [more[0], kinds[2], more[1], kinds[0], kinds[1], more[2], kinds[2], more[3]]
    sums = some_sums(rng, n, 3)
    rows = [[sums[i] for i in rng.permutation(3)[:2]] for _ in circuits]
    values = torch.from_numpy(rng.normal(size=(len(circuits), 3))).requires_grad_(True)
    simulator = cirq.Simulator(dtype=np.complex128)
    resolved = [
        cirq.resolve_parameters(own, dict(zip(NAMES, row, strict=True)))
        for own, row in zip(circuits, values.tolist(), strict=True)
    ]
    for operators in (rows, sums):
        wanted = [
            np.real(simulator.simulate_expectation_values(own, its, qubit_order=qubits))
            for own, its in zip(resolved, rows if operators is rows else [sums] * len(circuits), strict=True)
        ]
        gradients = []
        for rule in (None, q.Backprop()):
            layer = q.Expectation(qubits=qubits, differentiator=rule, **DOUBLE)
            found = layer(circuits, symbol_names=NAMES, symbol_values=values, operators=operators)
            np.testing.assert_allclose(found.detach(), wanted, atol=1e-10)
            gradients.append(torch.autograd.grad((found * torch.arange(1.0, 1 + found.shape[1])).sum(), values)[0])
        torch.testing.assert_close(*gradients, atol=1e-9, rtol=0)


def trainable(rng, n, matrices):
    """A circuit of every family with expressions of three symbols."""

    def value():
        return float(rng.uniform(-1, 1)) * SYMBOLS[rng.integers(3)] + float(rng.uniform(-1, 1))

    return cirq.Circuit(every_family(rng, n, value, matrices=matrices))


def shiftable(circuit):
    """Without powers under controls that the parameter shift has no rule for."""
    return cirq.Circuit(
        op
        for op in circuit.all_operations()
        if getattr(getattr(op.gate, "sub_gate", op.gate), "_global_shift", 0) in (0, -0.5)
        and not (isinstance(op.gate, cirq.ControlledGate) and isinstance(op.gate.sub_gate, cirq.PauliStringPhasorGate))
    )


@pytest.mark.parametrize(("n", "matrices"), [(1, False), (3, True), (5, False), (6, True)])
def test_all_gradients_agree(n, matrices):
    rng = np.random.default_rng(200 + n)
    circuit, sums = shiftable(trainable(rng, n, matrices)), some_sums(rng, n, 2)
    values, weight = torch.from_numpy(rng.normal(size=(2, 3))), torch.from_numpy(rng.normal(size=(2, 2)))

    def gradient(rule, dtype):
        at = values.to(dtype).requires_grad_(True)
        layer = q.Expectation(qubits=QUBITS[:n], dtype=dtype, differentiator=rule)
        out = layer(circuit, symbol_names=NAMES, symbol_values=at, operators=sums)
        return torch.autograd.grad((out * weight.to(dtype)).sum(), at)[0]

    wanted = gradient(q.Backprop(), torch.float64)
    assert wanted.abs().min() > 1e-4
    for rule in (q.Adjoint(), q.ParameterShift()):
        torch.testing.assert_close(gradient(rule, torch.float64), wanted, atol=1e-9, rtol=0)
    for rule in (q.Adjoint(), q.Backprop(), q.ParameterShift()):
        single = gradient(rule, torch.float32).double()
        assert (single - wanted).norm() < 2e-4 * wanted.norm()


@pytest.mark.parametrize("matrices", [True, False])
def test_derivatives_of_the_default_layer(matrices):
    rng = np.random.default_rng(300)
    values = torch.from_numpy(rng.normal(size=(2, 3))).requires_grad_(True)
    layer = q.ControlledPQC(
        trainable(rng, 4, matrices), some_sums(rng, 4, 2), qubits=QUBITS[:4], symbols=NAMES, **DOUBLE
    )
    assert torch.autograd.gradcheck(layer, values)
    assert torch.autograd.gradgradcheck(layer, values)


def with_channels(rng, n):
    """Every family and every channel."""
    # without global phases, over which Cirq 1.7's density matrices stumble
    ops = [op for op in every_family(rng, n, controls=False) if op.qubits]
    for g in CHANNELS:
        if cirq.num_qubits(g) <= n:
            on = [QUBITS[i] for i in rng.permutation(n)[: cirq.num_qubits(g)]]
            ops.insert(int(rng.integers(len(ops) + 1)), g.on(*on))
    return cirq.Circuit(ops)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_density_matrices_in_both_precisions(n):
    rng = np.random.default_rng(400 + n)
    circuit = with_channels(rng, n)
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    wanted = simulator.simulate(circuit, qubit_order=QUBITS[:n]).final_density_matrix
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        rho, _ = q.DensityMatrix(qubits=QUBITS[:n], dtype=dtype)(circuit)
        np.testing.assert_allclose(rho[0], wanted, atol=tolerance, rtol=0)
        assert torch.einsum("bii->b", rho)[0].item() == pytest.approx(1, abs=tolerance)
        assert torch.linalg.eigvalsh(rho).min() > -tolerance


# ---- shots


def merged(count, wanted):
    """Counts in bins of which at least five are expected, and the statistic's degrees of freedom."""
    order = np.argsort(-wanted)
    edges, total = [0], 0.0
    for i, w in enumerate(wanted[order]):
        total += w
        if total >= 5:
            edges.append(i + 1)
            total = 0.0
    edges[-1] = len(wanted)  # what is left goes to the last
    found, expected = (np.add.reduceat(x[order], edges[:-1]) for x in (count, wanted))
    return ((found - expected) ** 2 / expected).sum(), len(expected) - 1


@pytest.mark.parametrize("backend", ["noiseless", "noisy"])
def test_frequencies_of_shots(backend):
    """Chi-square summed over circuits of 1 to 6 qubits (noisy: to 4), so one alarm."""
    torch.manual_seed(11)
    rng = np.random.default_rng(500)
    statistic = freedom = 0
    for n in range(1, 5 if backend == "noisy" else 7):
        if backend == "noisy":
            circuit = with_channels(rng, n)
            rho = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=QUBITS[:n])
            probability = rho.final_density_matrix.diagonal().real
        else:
            circuit = cirq.Circuit(every_family(rng, n))
            psi = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=QUBITS[:n])
            probability = np.abs(psi.final_state_vector) ** 2
        bits, _ = q.Sample(qubits=QUBITS[:n], backend=backend)(circuit, repetitions=4000)
        count = np.bincount(bits[0].numpy() @ (1 << np.arange(n)[::-1]), minlength=1 << n)
        its, more = merged(count, 4000 * probability)
        statistic, freedom = statistic + its, freedom + more
    assert freedom > 15
    assert statistic < stats.chi2.isf(1e-4, freedom)


# ---- laws


@settings(max_examples=15, derandomize=True)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_unitaries_are_unitary_inverses_undo_and_circuits_come_back(seed, n):
    rng = np.random.default_rng(seed)
    qubits = QUBITS[:n]
    circuit = cirq.Circuit(every_family(rng, n))
    undone = [op for op in circuit.all_operations() if cirq.inverse(op, None) is not None]
    both = cirq.Circuit(undone, cirq.inverse(undone))
    again = q.from_tensor(q.convert_to_tensor(circuit))
    u, _ = q.Unitary(qubits=qubits, **DOUBLE)([circuit, both, again])
    one = torch.eye(1 << n, dtype=torch.complex128)
    torch.testing.assert_close(u[0] @ u[0].mH, one, atol=1e-11, rtol=0)
    torch.testing.assert_close(u[1], one, atol=1e-11, rtol=0)
    torch.testing.assert_close(u[2], u[0], atol=1e-12, rtol=0)


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 2**31), st.integers(1, 4), st.floats(-3, 3))
def test_expectations_are_linear_and_bounded(seed, n, factor):
    rng = np.random.default_rng(seed)
    circuit, (one, other) = cirq.Circuit(every_family(rng, n)), some_sums(rng, n, 2)
    e = q.Expectation(qubits=QUBITS[:n], **DOUBLE)(circuit, operators=[one, other, one + factor * other])[0]
    assert e[2].item() == pytest.approx((e[0] + factor * e[1]).item(), abs=1e-11)
    for value, o in zip(e.tolist(), (one, other), strict=False):
        assert abs(value) <= sum(abs(term.coefficient) for term in o) + 1e-11


@settings(max_examples=5, derandomize=True)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_names_of_qubits_and_batches_do_not_matter(seed, n):
    """A new order of the qubits moves what is inside every kernel."""
    rng = np.random.default_rng(seed)
    circuit, sums = trainable(rng, n, matrices=seed % 4 == 0), some_sums(rng, n, 2)
    values = torch.from_numpy(rng.normal(size=(5, 3))).requires_grad_(True)
    order = rng.permutation(n)
    renamed = {QUBITS[i]: cirq.NamedQubit(f"n{order[i]}") for i in range(n)}

    def of(circuit, sums, values, qubits):
        layer = q.ControlledPQC(circuit, sums, symbols=NAMES, qubits=qubits, **DOUBLE)
        out = layer(values)
        return out, torch.autograd.grad(out.sum(), values)[0]

    whole, gradient = of(circuit, sums, values, QUBITS[:n])
    moved = of(
        circuit.transform_qubits(renamed), [o.with_qubits(*(renamed[x] for x in o.qubits)) for o in sums], values, sorted(renamed.values())
    )  # fmt: skip
    rows = [of(circuit, sums, values.detach()[i : i + 1].requires_grad_(True), QUBITS[:n]) for i in range(5)]
    for found in (moved, tuple(torch.cat(x) for x in zip(*rows, strict=True))):
        torch.testing.assert_close(found[0], whole, atol=1e-11, rtol=0)
        torch.testing.assert_close(found[1], gradient, atol=1e-10, rtol=0)
