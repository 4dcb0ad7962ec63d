"""Seconds from circuits of Cirq to a tensor: 200 circuits of 725 operations, 10 qubits in 50 layers.

    python bench/quantum_conversion.py [--repeats 9]

Each repeat reads other circuits, made beforehand, so that nothing of an earlier one is known. They differ in all gates
("structures") or in numbers alone ("numbers"). Goal: 0.2 s of processor; TensorFlow Quantum 0.7.6 took 7.2 s.
"""

import argparse
import gc
import time

import cirq
import numpy as np
import sympy

from edubba import quantum as q
from edubba.core.machine import facts

QUBITS, LAYERS, COUNT, SEED = cirq.GridQubit.rect(1, 10), 50, 200, 2020


def circuit(rng, gates):
    """10 rotations and, in turn, 5 and 4 two-qubit gates a layer: 725 operations; every tenth angle is a symbol."""
    made = []
    for layer in range(LAYERS):
        angles = rng.uniform(-1, 1, 10).tolist()
        angles[layer % 10] = sympy.Symbol(f"t{layer}")
        kinds = gates.integers(0, 3, 10)
        made.append(
            cirq.Moment(
                (cirq.X, cirq.Y, cirq.Z)[k](qubit) ** t for k, qubit, t in zip(kinds, QUBITS, angles, strict=True)
            )
        )
        pairs = zip(QUBITS[layer % 2 :: 2], QUBITS[layer % 2 + 1 :: 2], strict=False)
        made.append(cirq.Moment(cirq.CZ(a, b) ** float(rng.uniform(-1, 1)) for a, b in pairs))
    return cirq.Circuit(made)


def measure(same, rng):
    batch = [circuit(rng, np.random.default_rng(SEED if same else rng.integers(2**31))) for _ in range(COUNT)]
    assert {len(list(one.all_operations())) for one in batch} == {725}
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    tensor = q.convert_to_tensor(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(tensor.structures) == (1 if same else COUNT)
    return wall, cpu


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--repeats", type=int, default=9)
repeats = parser.parse_args().repeats
q.convert_to_tensor([])  # imports
print(f"seed {SEED}, {facts()}")
print("circuits differ in | wall s, median [least, most] | CPU s, median [least, most]")
for name in ("numbers", "structures"):
    rng = np.random.default_rng(SEED)
    times = np.array([measure(name == "numbers", rng) for _ in range(repeats)])
    print(name, *(f"{np.median(x):.3f} [{x.min():.3f}, {x.max():.3f}]" for x in times.T), sep=" | ", flush=True)
