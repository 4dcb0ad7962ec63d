"""Circuits that several tests need."""

import json
from pathlib import Path
from types import SimpleNamespace

import cirq
import numpy as np
import pytest
import sympy

GOLDEN = Path(__file__).parents[3] / "shared" / "data" / "quantum_golden.json"


@pytest.fixture(scope="session")
def golden():
    if not GOLDEN.exists():
        pytest.skip("the golden values of the project's notes are not on this machine")
    return json.loads(GOLDEN.read_text())


def hardware_efficient(n, layers):
    """RX of the inputs, then layers of RY, RZ and a ring of CNOTs; and its symbols in the order inputs, weights."""
    qubits = cirq.LineQubit.range(n)
    x, w = sympy.symbols(f"x0:{n}"), sympy.symbols(f"w0:{2 * n * layers}")
    ops = [cirq.rx(x[q])(qubits[q]) for q in range(n)]
    for layer in range(layers):
        ops += [cirq.ry(w[2 * layer * n + q])(qubits[q]) for q in range(n)]
        ops += [cirq.rz(w[(2 * layer + 1) * n + q])(qubits[q]) for q in range(n)]
        ops += [cirq.CNOT(qubits[q], qubits[(q + 1) % n]) for q in range(n)]
    return cirq.Circuit(ops), qubits, x, w


def qcnn(bits):
    """The quantum convolutional network of Cong, Choi and Lukin in the form of TFQ's tutorial, and its 63 symbols."""
    s = sympy.symbols("q0:63")

    def one(q, p):
        return [cirq.X(q) ** p[0], cirq.Y(q) ** p[1], cirq.Z(q) ** p[2]]

    def two(a, b, p):
        middle = [cirq.ZZ(a, b) ** p[6], cirq.YY(a, b) ** p[7], cirq.XX(a, b) ** p[8]]
        return one(a, p[:3]) + one(b, p[3:6]) + middle + one(a, p[9:12]) + one(b, p[12:])

    def convolution(qs, p):
        pairs = [*zip(qs[::2], qs[1::2], strict=True), *zip(qs[1::2], [*qs[2::2], qs[0]], strict=True)]
        return [op for a, b in pairs for op in two(a, b, p)]

    def pooling(sources, sinks, p):
        ops = []
        for a, b in zip(sources, sinks, strict=True):
            last = one(b, p[:3])
            ops += [*last, *one(a, p[3:]), cirq.CNOT(a, b), *(cirq.inverse(op) for op in reversed(last))]
        return ops

    ops = convolution(bits, s[:15]) + pooling(bits[:4], bits[4:], s[15:21]) + convolution(bits[4:], s[21:36])
    ops += (
        pooling(bits[4:6], bits[6:], s[36:42]) + convolution(bits[6:], s[42:57]) + pooling([bits[6]], [bits[7]], s[57:])
    )
    return cirq.Circuit(ops), s


def every_gate():
    """Gates of all families, with powers, shifts, controls and control values."""
    rng = np.random.RandomState(7)
    return [
        cirq.X**0.3, cirq.XPowGate(exponent=0.3, global_shift=0.2), cirq.Y**0.4, cirq.Z**1.3, cirq.H**0.3, cirq.H, cirq.S,
        cirq.HPowGate(exponent=0.4, global_shift=0.3), cirq.rx(0.3), cirq.ry(0.4), cirq.rz(0.5), cirq.XX**0.3, cirq.YY**0.2,
        cirq.ZZPowGate(exponent=0.3, global_shift=0.1), cirq.CX**0.3, cirq.CXPowGate(exponent=0.3, global_shift=0.2),
        cirq.CZ**0.2, cirq.SWAP, cirq.SwapPowGate(exponent=0.3, global_shift=0.4), cirq.ISWAP, cirq.riswap(0.3),
        cirq.ISwapPowGate(exponent=0.3, global_shift=0.4), cirq.givens(0.2), cirq.FSimGate(0.3, 0.2), cirq.ms(0.3),
        cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=0.3, global_shift=0.1), cirq.CSWAP, cirq.IdentityGate(2),
        cirq.PhasedXPowGate(phase_exponent=0.2, exponent=0.3, global_shift=0.1), cirq.GlobalPhaseGate(np.exp(0.3j)),
        cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3), cirq.CCX**0.3, cirq.CCZ,
        cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=rng)), cirq.DensePauliString("XYIZ", coefficient=1j),
        cirq.PauliStringPhasorGate(cirq.DensePauliString("XYZ", coefficient=-1), exponent_neg=0.2, exponent_pos=0.3),
        cirq.ControlledGate(cirq.rx(0.7)), cirq.ControlledGate(cirq.Y**0.3, control_values=[0]),
        cirq.ControlledGate(cirq.ISwapPowGate(exponent=0.3, global_shift=0.4), control_values=[(0, 1), 0]),
        cirq.ControlledGate(cirq.ControlledGate(cirq.H)), cirq.ControlledGate(cirq.GlobalPhaseGate(1j)),
        cirq.ControlledGate(cirq.MatrixGate(cirq.testing.random_unitary(2, random_state=rng))), cirq.CCX.controlled(1),
        cirq.ControlledGate(cirq.FSimGate(0.3, 0.2)), cirq.QuantumFourierTransformGate(3),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def build():
    return SimpleNamespace(hardware_efficient=hardware_efficient, qcnn=qcnn, every_gate=every_gate)
