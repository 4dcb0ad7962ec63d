"""One simulator, one workload, one fresh process: milliseconds of a step as one line of JSON.

    PYTHON bench/quantum_peers.py WHO WORKLOAD [--threads 1] [--repeats 30] [--seconds 20]

WHO, each in an environment of its own (PYTHON), set up as its authors would, the batch in one call where it can:
edubba (all workloads), tfq (TensorFlow Quantum, A B C M Q), tensorcircuit (jax, vmap and jit, A B C), lightning
(PennyLane, adjoint, vector-Jacobian products on the device, A B C), qulacs (double precision, the only one it has, and
a batch is a loop; A B C), qsim (the state alone, without expectations; S20 S24). All others in complex64.

A 4 qubits, 3 layers, batch 64; B 10, 4, 32; C 16, 6, 4: RX of the inputs on every qubit, then in each layer RY and RZ of
weights on every qubit and a ring of CNOTs; Z of every qubit is observed; values, and gradients for inputs and weights.
M: 17 qubits, the XX and ZZ layers of TensorFlow Quantum's MNIST tutorial, 32 weights, batch 32. Q: its convolutional
network, 8 qubits, 63 weights, batch 16. S20, S24: the ansatz, 10 layers, batch 1, value alone. K26: 26 qubits, 1 layer,
batch 1. new: B in a process that has seen it with 3 layers ("known").

A step ends with the numbers as numpy arrays. `setup`: imports and whatever is made once; `first`: the first step.
Checks are a random projection and the norm of values and gradients. The process is pinned to as many cores as threads.
"""

import argparse
import json
import os
import resource
import time

import numpy as np

SIZES = {"A": (4, 3, 64), "B": (10, 4, 32), "C": (16, 6, 4), "S20": (20, 10, 1), "S24": (24, 10, 1), "K26": (26, 1, 1)}
SIZES |= {"new": SIZES["B"], "known": (10, 3, 32)}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "QULACS_NUM_THREADS")


def numbers(n, layers, batch):
    """Weights, inputs (batch, n), cotangent (batch, n)."""
    rng = np.random.default_rng(2020)
    w, x = rng.uniform(0, 2 * np.pi, 2 * layers * n), rng.uniform(-np.pi, np.pi, (batch, n))
    return w, x, rng.standard_normal((batch, n))


def gates(n, layers):
    """Rows (name, qubits, place of the parameter among inputs and then weights)."""
    out = [("rx", (i,), i) for i in range(n)]
    for layer in range(layers):
        out += [("ry", (i,), n + 2 * layer * n + i) for i in range(n)]
        out += [("rz", (i,), n + (2 * layer + 1) * n + i) for i in range(n)]
        out += [("cnot", (i, (i + 1) % n), None) for i in range(n)]
    return out


def ansatz(n, layers, parameters):
    import cirq

    qubits = cirq.LineQubit.range(n)
    rotation = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
    return cirq.Circuit(
        cirq.CNOT(*(qubits[i] for i in on)) if name == "cnot" else rotation[name](parameters[k])(qubits[on[0]])
        for name, on, k in gates(n, layers)
    )


def mnist():
    """Model, observable, circuits of the data, weights, cotangent."""
    import cirq
    import sympy

    rng = np.random.default_rng(2020)
    bits, w, g = rng.random((32, 16)) < 0.25, rng.uniform(0, 2 * np.pi, 32), rng.standard_normal((32, 1))
    grid, out, s = cirq.GridQubit.rect(4, 4), cirq.GridQubit(-1, -1), [sympy.Symbol(f"p{i:02}") for i in range(32)]
    model = cirq.Circuit(cirq.X(out), cirq.H(out), (cirq.XX(b, out) ** s[i] for i, b in enumerate(grid)))
    model += cirq.Circuit((cirq.ZZ(b, out) ** s[16 + i] for i, b in enumerate(grid)), cirq.H(out))
    data = [cirq.Circuit(cirq.X(b) for b, bit in zip(grid, row, strict=True) if bit) for row in bits]
    return model, cirq.Z(out), data, w, g


def qcnn():
    import cirq
    import sympy

    rng, bits = np.random.default_rng(2020), cirq.GridQubit.rect(1, 8)
    s = iter([sympy.Symbol(f"q{i:02}") for i in range(63)])

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

    model = cirq.Circuit()
    for on in (bits, bits[4:], bits[6:]):
        half = len(on) // 2
        model += cirq.Circuit(list(convolve(on)), list(pool(on[:half], on[half:])))
    ring = [cirq.H.on_each(*bits), [cirq.CZ(a, b) for a, b in zip(bits, [*bits[1:], bits[0]], strict=True)]]
    data = [cirq.Circuit(ring, cirq.rx(v)(bits[i % 8])) for i, v in enumerate(rng.uniform(-np.pi, np.pi, 16))]
    return model, cirq.Z(bits[-1]), data, rng.uniform(0, 2 * np.pi, 63), rng.standard_normal((16, 1))


TUTORIALS = {"M": mnist, "Q": qcnn}


def zs(weights, n):
    """<Z> of every qubit, from the squares of amplitudes."""
    weights = weights.reshape((2,) * n)
    ends = [weights.sum(tuple(j for j in range(n) if j != i)) for i in range(n)]
    return [zero - one for zero, one in ends]


def edubba(name, threads):
    import cirq
    import sympy
    import torch

    from edubba import quantum as q

    torch.set_num_threads(threads)
    x = None
    if name in TUTORIALS:
        model, observable, data, w, g = TUTORIALS[name]()
        layer, data = q.PQC(model, observable, qubits=sorted(model.all_qubits())), q.convert_to_tensor(data)
    else:
        n, layers, batch = SIZES[name]
        w, x, g = numbers(n, layers, batch)
        symbols = sympy.symbols(f"x0:{n} w0:{w.size}")
        circuit = ansatz(n, layers, symbols)
        layer = q.PQC(circuit, [cirq.Z(i) for i in cirq.LineQubit.range(n)], inputs=symbols[:n])
        data = torch.tensor(x, dtype=torch.float32, requires_grad=name[0] != "S")
    layer.weight.data.copy_(torch.from_numpy(w))
    cotangent = torch.tensor(g, dtype=torch.float32)

    def step():
        if name[0] == "S":
            with torch.no_grad():
                return (layer(data).numpy(),)
        layer.weight.grad = None
        if x is not None:
            data.grad = None
        value = layer(data)
        (value * cotangent).sum().backward()
        found = value.detach().numpy(), layer.weight.grad.numpy()
        return found if x is None else (*found, data.grad.numpy())

    return step


def tfq(name, threads):
    import cirq
    import sympy
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)  # importing tfq starts the runtime
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import tensorflow_quantum

    if name in TUTORIALS:
        model, observable, data, w, g = TUTORIALS[name]()
        layer, data = tensorflow_quantum.layers.PQC(model, observable), tensorflow_quantum.convert_to_tensor(data)
        layer.build(data.shape)
        layer.set_weights([w])
        inputs = layer.trainable_variables

        def values():
            return layer(data)

    else:
        n, layers, batch = SIZES[name]
        w, x, g = numbers(n, layers, batch)
        symbols = [f"p{i:04}" for i in range(n + w.size)]
        circuit = ansatz(n, layers, [sympy.Symbol(s) for s in symbols])
        circuits = tensorflow_quantum.convert_to_tensor([circuit] * batch)
        strings = tensorflow_quantum.convert_to_tensor([[cirq.Z(i) for i in cirq.LineQubit.range(n)]] * batch)
        layer = tensorflow_quantum.layers.Expectation()
        inputs = [tf.Variable(w, dtype=tf.float32), tf.Variable(x, dtype=tf.float32)]

        def values():
            given = tf.concat([inputs[1], tf.tile(inputs[0][None], [batch, 1])], 1)
            return layer(circuits, symbol_names=symbols, symbol_values=given, operators=strings)

    cotangent = tf.constant(g, tf.float32)

    @tf.function
    def both():
        with tf.GradientTape() as tape:
            found = values()
            loss = tf.reduce_sum(found * cotangent)
        return found, *(tf.convert_to_tensor(part) for part in tape.gradient(loss, inputs))

    def step():
        return tuple(part.numpy() for part in both())

    return step


def tensorcircuit(name, threads):
    import jax
    import jax.numpy as jnp
    import tensorcircuit

    tensorcircuit.set_backend("jax")
    tensorcircuit.set_dtype("complex64")
    n, layers, batch = SIZES[name]
    w, x, g = numbers(n, layers, batch)

    def values(w, x):
        c = tensorcircuit.Circuit(n)
        for gate, on, k in gates(n, layers):
            c.cnot(*on) if gate == "cnot" else getattr(c, gate)(*on, theta=x[k] if k < n else w[k - n])
        return jnp.stack(zs(jnp.abs(c.state()) ** 2, n))

    def loss(w, x):
        found = jax.vmap(values, (None, 0))(w, x)
        return (found * g).sum(), found

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    w, x, g = (jnp.asarray(part, jnp.float32) for part in (w, x, g))

    def step():
        (_, found), gradients = both(w, x)
        return tuple(np.asarray(part) for part in (found, *gradients))

    return step


def lightning(name, threads):
    import pennylane
    import torch

    torch.set_num_threads(threads)
    n, layers, batch = SIZES[name]
    w, x, g = (torch.tensor(part) for part in numbers(n, layers, batch))
    w, x = w.requires_grad_(), x.requires_grad_()
    device = pennylane.device("lightning.qubit", wires=n, c_dtype=np.complex64)
    rotation = {"rx": pennylane.RX, "ry": pennylane.RY, "rz": pennylane.RZ}

    @pennylane.qnode(device, interface="torch", diff_method="adjoint", device_vjp=True)
    def circuit(w, x):
        for gate, on, k in gates(n, layers):
            if gate == "cnot":
                pennylane.CNOT(on)
            else:
                rotation[gate](x[:, k] if k < n else w[k - n], on)
        return [pennylane.expval(pennylane.PauliZ(i)) for i in range(n)]

    def step():
        w.grad = x.grad = None
        found = torch.stack(list(circuit(w, x)), -1)
        (found * g).sum().backward()
        return found.detach().numpy(), w.grad.numpy(), x.grad.numpy()

    return step


def qulacs(name, threads):
    from qulacs import Observable, ParametricQuantumCircuit, QuantumState

    n, layers, batch = SIZES[name]
    w, x, g = numbers(n, layers, batch)
    circuit, state = ParametricQuantumCircuit(n), QuantumState(n)
    for gate, on, _ in gates(n, layers):
        if gate == "cnot":
            circuit.add_CNOT_gate(*on)
        else:
            getattr(circuit, f"add_parametric_{gate.upper()}_gate")(on[0], 0.0)
    strings = [Observable(n) for _ in range(n)]
    for i, string in enumerate(strings):
        string.add_operator(1.0, f"Z {i}")

    def step():
        found, dw, dx = np.empty((batch, n)), np.zeros(w.size), np.empty((batch, n))
        for b in range(batch):
            for k, angle in enumerate([*x[b], *w]):
                circuit.set_parameter(k, -angle)  # its rotations turn the other way
            state.set_zero_state()
            circuit.update_quantum_state(state)
            found[b] = [string.get_expectation_value(state) for string in strings]
            weighted = Observable(n)
            for i in range(n):
                weighted.add_operator(g[b, i], f"Z {i}")
            gradient = -np.array(circuit.backprop(weighted))
            dx[b] = gradient[:n]
            dw += gradient[n:]
        return found, dw, dx

    return step


def qsim(name, threads):
    import qsimcirq

    n, layers, _ = SIZES[name]
    w, x, _ = numbers(n, layers, 1)
    circuit = ansatz(n, layers, [*x[0], *w])
    simulator = qsimcirq.QSimSimulator(qsimcirq.QSimOptions(cpu_threads=threads, max_fused_gate_size=4))

    def step():
        return (simulator.simulate(circuit).final_state_vector,)

    step.finish = lambda state: (np.array([zs(np.abs(state).astype(np.float64) ** 2, n)]),)
    return step


def measured(make, name, threads, repeats, seconds):
    if name == "new":
        make("known", threads)()
    times = [time.perf_counter()]
    step = make(name, threads)
    times.append(time.perf_counter())
    found = step()
    times.append(time.perf_counter())
    wall, cpu, warm = [], [], 0 if name == "K26" else 3
    while len(wall) < repeats + warm and (len(wall) <= warm + 2 or time.perf_counter() < times[2] + seconds):
        start, used = time.perf_counter(), time.process_time()
        step()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - used))
    rng, found = np.random.default_rng(7), step.finish(*found) if hasattr(step, "finish") else found
    setup, first = (1e3 * np.diff(times)).tolist()
    return {
        "setup": setup, "first": first, "repeats": len(wall) - warm, "least": min(wall[warm:]),
        "wall": np.percentile(wall[warm:], [25, 50, 75]).tolist(),
        "cpu": np.percentile(cpu[warm:], [25, 50, 75]).tolist(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "checks": [(float((v * rng.standard_normal(v.shape)).sum()), float(np.linalg.norm(v))) for v in found],
    }  # fmt: skip


def main():
    sides = {side.__name__: side for side in (edubba, tfq, tensorcircuit, lightning, qulacs, qsim)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=sides)
    parser.add_argument("workload", choices=[*SIZES, *TUTORIALS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20, help="after which no repeat starts, beyond three")
    given = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, str(given.threads)))
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-given.threads :])
    print(json.dumps(measured(sides[given.who], given.workload, given.threads, given.repeats, given.seconds)))


if __name__ == "__main__":
    main()
