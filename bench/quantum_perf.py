"""Milliseconds of a step of circuits as layers: value and gradients through the public path, one thread.

    python bench/quantum_perf.py [A B C M Q S20] [--threads 1] [--repeats 30]

A, B, C: RX of the inputs on every qubit, then L times RY and RZ of weights on every qubit and a ring of CNOTs; all Z
observed; gradients for inputs and weights. A 4 qubits, 3 layers, batch 64; B 10, 4, 32; C 16, 6, 4. M: 17 qubits, the
XX and ZZ layers of TensorFlow Quantum's MNIST tutorial, batch 32. Q: its convolutional network, 8 qubits, 63 weights,
batch 16. S20: the ansatz on 20 qubits, 10 layers, value alone. complex64. Peers are run in their own environments.
"""

import argparse
import os
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("workloads", nargs="*", default=["A", "B", "C", "Q"])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=30)
given = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(given.threads)

import cirq  # noqa: E402
import numpy as np  # noqa: E402
import sympy  # noqa: E402
import torch  # noqa: E402

from edubba import quantum as q  # noqa: E402

torch.set_num_threads(given.threads)
SIZES = {"A": (4, 3, 64), "B": (10, 4, 32), "C": (16, 6, 4), "S20": (20, 10, 1)}


def ansatz(n, layers, batch):
    rng = np.random.default_rng(2020)
    w, x = rng.uniform(0, 2 * np.pi, (layers, 2, n)), rng.uniform(-np.pi, np.pi, (batch, n))
    g = rng.standard_normal((batch, n))
    qubits, inputs, weights = cirq.LineQubit.range(n), sympy.symbols(f"x0:{n}"), sympy.symbols(f"w0:{w.size}")
    ops = [cirq.rx(inputs[i])(qubits[i]) for i in range(n)]
    for layer in range(layers):
        ops += [cirq.ry(weights[2 * layer * n + i])(qubits[i]) for i in range(n)]
        ops += [cirq.rz(weights[(2 * layer + 1) * n + i])(qubits[i]) for i in range(n)]
        ops += [cirq.CNOT(qubits[i], qubits[(i + 1) % n]) for i in range(n)]
    made = q.PQC(cirq.Circuit(ops), [cirq.Z(qubit) for qubit in qubits], inputs=inputs)
    return made, w.ravel(), torch.tensor(x, dtype=torch.float32, requires_grad=True), g


def mnist():
    rng = np.random.default_rng(2020)
    bits, w, g = rng.random((32, 16)) < 0.25, rng.uniform(0, 2 * np.pi, 32), rng.standard_normal((32, 1))
    grid, out, s = cirq.GridQubit.rect(4, 4), cirq.GridQubit(-1, -1), sympy.symbols("p0:32")
    model = cirq.Circuit(cirq.X(out), cirq.H(out), (cirq.XX(b, out) ** s[i] for i, b in enumerate(grid)))
    model += cirq.Circuit((cirq.ZZ(b, out) ** s[16 + i] for i, b in enumerate(grid)), cirq.H(out))
    data = [cirq.Circuit(cirq.X(b) for b, bit in zip(grid, row, strict=True) if bit) for row in bits]
    return q.PQC(model, cirq.Z(out), qubits=[out, *grid]), w, q.convert_to_tensor(data), g


def qcnn():
    rng, bits, s = np.random.default_rng(2020), cirq.GridQubit.rect(1, 8), iter(sympy.symbols("q0:63"))

    def one(qubit, p):
        return [cirq.X(qubit) ** p[0], cirq.Y(qubit) ** p[1], cirq.Z(qubit) ** p[2]]

    def convolve(on):
        p = [next(s) for _ in range(15)]
        for a, b in [*zip(on[::2], on[1::2], strict=True), *zip(on[1::2], [*on[2::2], on[0]], strict=True)]:
            yield [one(a, p[:3]), one(b, p[3:6]), cirq.ZZ(a, b) ** p[6], cirq.YY(a, b) ** p[7], cirq.XX(a, b) ** p[8]]
            yield [one(a, p[9:12]), one(b, p[12:])]

    def pool(sources, sinks):
        p = [next(s) for _ in range(6)]
        for a, b in zip(sources, sinks, strict=True):
            yield [one(b, p[:3]), one(a, p[3:]), cirq.CNOT(a, b), cirq.inverse(one(b, p[:3]))]

    layers = [
        convolve(bits),
        pool(bits[:4], bits[4:]),
        convolve(bits[4:]),
        pool(bits[4:6], bits[6:]),
        convolve(bits[6:]),
    ]
    model = cirq.Circuit(*(list(layer) for layer in layers), list(pool([bits[6]], [bits[7]])))
    ring = [cirq.H.on_each(*bits), [cirq.CZ(a, b) for a, b in zip(bits, [*bits[1:], bits[0]], strict=True)]]
    data = [cirq.Circuit(ring, cirq.rx(v)(bits[i % 8])) for i, v in enumerate(rng.uniform(-np.pi, np.pi, 16))]
    return (
        q.PQC(model, cirq.Z(bits[-1])),
        rng.uniform(0, 2 * np.pi, 63),
        q.convert_to_tensor(data),
        rng.standard_normal((16, 1)),
    )


print("workload | first call, ms | median ms | least | CPU ms")
for name in given.workloads:
    layer, weight, data, g = mnist() if name == "M" else qcnn() if name == "Q" else ansatz(*SIZES[name])
    layer.weight.data.copy_(torch.from_numpy(weight))
    cotangent, wall, cpu = torch.tensor(g, dtype=torch.float32), [], []
    for _ in range(given.repeats + 3):
        layer.zero_grad()
        start, used = time.perf_counter(), time.process_time()
        with torch.set_grad_enabled(name != "S20"):
            value = (layer(data) * cotangent).sum()
        if name != "S20":
            value.backward()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - used))
    print(
        f"{name} | {wall[0]:.0f} | {np.median(wall[3:]):.3f} | {min(wall[3:]):.3f} | {np.median(cpu[3:]):.3f}",
        flush=True,
    )
