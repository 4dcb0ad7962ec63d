"""Made circuits.npz, noisy.npz and observables.npz, once, with edubba 0.1.0.dev0 and cirq-core 1.7.0: never to be made again.

Files of the first format must load for ever, and give these circuits and observables.

    python tests/data/quantum-tensor-1/make.py
"""

from pathlib import Path

import cirq
import numpy as np
import sympy

HERE = Path(__file__).parent


def circuits() -> list[list[cirq.Circuit]]:
    """(3, 2)."""
    a, b = cirq.LineQubit.range(2)
    grid, named = cirq.GridQubit(2, -1), cirq.NamedQubit("readout ü")
    t2, t10, u = *sympy.symbols("t2 t10"), sympy.Symbol("u", real=True)
    expressions = [
        2 * t2 + 1, t2 * t10 / sympy.pi, sympy.sin(t2) ** 2 + sympy.exp(-u), sympy.Rational(1, 3) * u, sympy.sqrt(2) * t10,
        sympy.Float("0.1", 40) * t2 - 1e-7 * sympy.E, sympy.Mul(2, t2 + t10, evaluate=False), sympy.Abs(u) + sympy.log(t2 + 3),
    ]  # fmt: skip
    everything = cirq.Circuit(
        cirq.Moment(cirq.X(a) ** expressions[0], cirq.ZPowGate(exponent=0.25, global_shift=0.5)(grid)), cirq.Moment(),
        cirq.Moment(cirq.FSimGate(expressions[1], 0.1)(a, b), cirq.rx(1e-7)(named)),
        cirq.Moment(cirq.ControlledGate(cirq.ry(expressions[2]), control_values=[0])(a, b), cirq.H(named)),
        cirq.Moment(cirq.PhasedXZGate(x_exponent=expressions[3], z_exponent=expressions[4], axis_phase_exponent=0.5)(a)),
        cirq.Moment(cirq.ISWAP(a, named) ** expressions[5], cirq.CNOT(b, grid) ** expressions[6]),
        cirq.Moment(cirq.PauliStringPhasorGate(cirq.DensePauliString("XIY"), exponent_neg=expressions[7])(a, b, grid)),
        cirq.Moment(cirq.CSWAP(a, b, grid), cirq.GlobalPhaseGate(1j)()),
        cirq.Moment(cirq.MatrixGate(cirq.unitary(cirq.S))(a), cirq.DensePauliString("ZX", coefficient=-1)(b, grid)),
        cirq.Moment(cirq.IdentityGate(2)(a, b)),
    )  # fmt: skip
    angles = [cirq.Circuit(cirq.rx(0.1 * i)(a), cirq.CZ(a, b)) for i in range(3)]
    return [[everything, angles[0]], [cirq.Circuit(), angles[1]], [cirq.Circuit(cirq.X(cirq.LineQid(3, 2))), angles[2]]]


def noisy() -> cirq.Circuit:
    """()."""
    a, b = cirq.LineQubit.range(2)
    channels = [
        cirq.depolarize(0.1), cirq.asymmetric_depolarize(0.01, 0.02, 0.03), cirq.amplitude_damp(0.3),
        cirq.generalized_amplitude_damp(0.3, 0.2), cirq.phase_damp(0.3), cirq.phase_flip(0.1), cirq.bit_flip(0.2),
        cirq.ResetChannel(), cirq.KrausChannel(np.array([[[1, 0], [0, 0.6]], [[0, 0.8], [0, 0]]]), key="which"),
        cirq.X.with_probability(0.3), cirq.ControlledGate(cirq.Y**0.3).with_probability(0.1), cirq.depolarize(0.2, n_qubits=2),
    ]  # fmt: skip
    return cirq.Circuit(cirq.rx(sympy.Symbol("s"))(a), (g.on(*(a, b)[: cirq.num_qubits(g)]) for g in channels))


def observables() -> list[cirq.PauliSum]:
    """(2,)."""
    a, b, named = cirq.LineQubit(0), cirq.GridQubit(2, -1), cirq.NamedQubit("readout ü")
    return [cirq.Z(a) * cirq.X(b) * 0.1 - cirq.Y(named) / 3 + 1e-9, cirq.PauliSum.from_pauli_strings([cirq.Z(named)])]


def main() -> None:
    from edubba import quantum as q

    q.save(HERE / "circuits.npz", q.convert_to_tensor(circuits()))
    q.save(HERE / "noisy.npz", q.convert_to_tensor(noisy()))
    q.save(HERE / "observables.npz", q.convert_to_tensor(observables()))


if __name__ == "__main__":
    main()
