"""The golden values of the notes, through the public layers."""

import cirq
import numpy as np
import pytest
import sympy
import torch

from edubba import quantum as q


def complex_of(pair):
    return np.array(pair[0]) + 1j * np.array(pair[1])


NAMED = {
    "X**0.3": cirq.X**0.3, "Y**0.3": cirq.Y**0.3, "Z**0.3": cirq.Z**0.3, "H**0.3": cirq.H**0.3, "rx(0.7)": cirq.rx(0.7),
    "ry(0.7)": cirq.ry(0.7), "rz(0.7)": cirq.rz(0.7), "XX**0.3": cirq.XX**0.3, "YY**0.3": cirq.YY**0.3,
    "ZZ**0.3": cirq.ZZ**0.3, "CZ**0.3": cirq.CZ**0.3, "CNOT**0.3": cirq.CNOT**0.3, "SWAP**0.3": cirq.SWAP**0.3,
    "ISWAP**0.3": cirq.ISWAP**0.3, "PhasedXPowGate(0.3, phase 0.2)": cirq.PhasedXPowGate(exponent=0.3, phase_exponent=0.2),
    "PhasedISwapPowGate(0.3, phase 0.2)": cirq.PhasedISwapPowGate(exponent=0.3, phase_exponent=0.2),
    "FSimGate(0.3, 0.2)": cirq.FSimGate(0.3, 0.2),
    "PhasedXZGate(x .1, z .2, a .3)": cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3),
    "CCX": cirq.CCX, "CSWAP": cirq.CSWAP, "CCZ**0.3": cirq.CCZ**0.3, "controlled(rx(0.7))": cirq.ControlledGate(cirq.rx(0.7)),
    "controlled(Y**0.3, control value 0)": cirq.ControlledGate(cirq.Y**0.3, control_values=[0]),
}  # fmt: skip


def test_unitaries(golden):
    assert set(NAMED) == set(golden["unitaries"])
    circuits = [cirq.Circuit(g.on(*cirq.LineQubit.range(cirq.num_qubits(g)))) for g in NAMED.values()]
    found, rows = q.Unitary(dtype=torch.float64)(q.convert_to_tensor(circuits))
    for i, name in enumerate(NAMED):
        wanted = complex_of(golden["unitaries"][name])
        assert rows[i] == len(wanted)
        np.testing.assert_allclose(found[i, : rows[i], : rows[i]], wanted, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_hardware_efficient_workloads(golden, build, name):
    its = golden["workloads"][name]
    n, layers, batch = its["n"], its["layers"], its["batch"]
    rng = np.random.default_rng(2020)
    w = rng.uniform(0, 2 * np.pi, (layers, 2, n))
    x, g = rng.uniform(-np.pi, np.pi, (batch, n)), rng.standard_normal((batch, n))
    circuit, qubits, inputs, _ = build.hardware_efficient(n, layers)
    layer = q.PQC(circuit, [cirq.Z(qubit) for qubit in qubits], inputs=inputs, dtype=torch.float64)
    assert layer.symbols == tuple(f"w{i}" for i in range(w.size))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w.ravel()))
    data = torch.from_numpy(x).requires_grad_(True)
    found = layer(data)
    (found * torch.from_numpy(g)).sum().backward()
    np.testing.assert_allclose(found.detach(), its["E"], atol=1e-9)
    np.testing.assert_allclose(layer.weight.grad, np.ravel(its["grad_w"]), atol=1e-8)
    rows = {"grad_x": slice(None), "grad_x_row0": slice(0, 1)}
    key = next(k for k in rows if k in its)
    np.testing.assert_allclose(data.grad[rows[key]].ravel(), np.ravel(its[key]), atol=1e-8)


def test_mnist_circuit(golden):
    its = golden["workloads"]["M"]
    bits = cirq.GridQubit.rect(4, 4)
    out = cirq.GridQubit(-1, -1)
    s = sympy.symbols("p0:32")
    model = cirq.Circuit(cirq.X(out), cirq.H(out), (cirq.XX(b, out) ** s[i] for i, b in enumerate(bits)))
    model += cirq.Circuit((cirq.ZZ(b, out) ** s[16 + i] for i, b in enumerate(bits)), cirq.H(out))
    rows = its["bits"][:2]
    encoded = [cirq.Circuit(cirq.X(b) for b, bit in zip(bits, row, strict=True) if bit) for row in rows]
    layer = q.PQC(model, cirq.Z(out), qubits=[out, *bits], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(its["weights_half_turns"], dtype=torch.float64))
    found = layer(q.convert_to_tensor(encoded))
    np.testing.assert_allclose(found.detach().ravel(), np.ravel(its["E"])[:2], atol=1e-9)


def test_qcnn_circuit(golden, build):
    its = golden["workloads"]["Q"]
    bits = cirq.GridQubit.rect(1, 8)
    model, _ = build.qcnn(bits)
    cluster = [cirq.H.on_each(*bits), [cirq.CZ(a, b) for a, b in zip(bits, [*bits[1:], bits[0]], strict=True)]]
    excited = [cirq.Circuit(cluster, cirq.rx(angle)(bits[i])) for i, angle in its["excitations_qubit_angle"]]
    layer = q.PQC(model, cirq.Z(bits[-1]), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(its["weights_half_turns"], dtype=torch.float64))
    found = layer(q.convert_to_tensor(excited))
    (found * torch.tensor(its["cotangent"], dtype=torch.float64)).sum().backward()
    np.testing.assert_allclose(found.detach().ravel(), np.ravel(its["E"]), atol=1e-9)
    np.testing.assert_allclose(layer.weight.grad, its["grad_w"], atol=1e-8)


def expression_circuit():
    a, b, c, d = cirq.LineQubit.range(4)
    t2, t10 = sympy.symbols("t2 t10")
    return cirq.Circuit(
        cirq.rx(2 * t2 + 1)(a), cirq.CNOT(a, b), cirq.X(c) ** (t2 * t10), cirq.ZZ(b, c) ** sympy.sin(t2),
        cirq.FSimGate(t10, t2**2)(c, d), cirq.CZ(a, d) ** (t10 / 2),
    ), [a, b, c, d]  # fmt: skip


def test_expressions_state_gradient_and_hessian(golden):
    its = golden["expression_circuit"]
    circuit, (a, b, c, d) = expression_circuit()
    sums = [cirq.Y(c) * cirq.Z(d), 0.5 * cirq.Z(a) * cirq.Z(b) - 1.25 * cirq.X(c) + 0.3, cirq.PauliString(cirq.Z(d))]
    layer = q.ControlledPQC(circuit, sums, dtype=torch.float64)
    assert layer.symbols == ("t2", "t10")
    at = torch.tensor([its["t2"], its["t10"]], dtype=torch.float64)
    np.testing.assert_allclose(layer(at)[0], its["E"], atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v)[0], at)
    np.testing.assert_allclose(jacobian.T, [its["grad_t2"], its["grad_t10"]], atol=1e-8)
    for k in range(3):
        hessian = torch.autograd.functional.hessian(lambda v, k=k: layer(v)[0, k], at)
        np.testing.assert_allclose(hessian, np.array(its["hess"])[:, :, k], atol=1e-5)
    psi, length = q.State(dtype=torch.float64)(circuit, symbol_names=["t2", "t10"], symbol_values=at)
    assert length.tolist() == [16]
    np.testing.assert_allclose(psi[0], complex_of(its["state"]), atol=1e-10)
