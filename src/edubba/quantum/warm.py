"""`python -m edubba.quantum.warm`: compile the simulator now, so that no first step has to wait for it."""

import multiprocessing
import sys
import time

import cirq
import sympy
import torch

from edubba.core import errors
from edubba.quantum import layers

DTYPES = {"single": torch.float32, "double": torch.float64}


def warm(precision: str) -> None:
    """Take a step; what numba compiles for it is kept beside the package, or in its cache folder."""
    qubit = cirq.LineQubit(0)
    circuit = cirq.Circuit(cirq.rx(sympy.Symbol("t"))(qubit))
    layers.PQC(circuit, [cirq.Z(qubit)], dtype=DTYPES[precision])().sum().backward()


def main() -> int:
    try:
        errors.need("numba", extra="quantum")
    except errors.UserError as error:
        print(f"edubba: {error}", file=sys.stderr)
        return 1
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(len(DTYPES)) as pool:
        pool.map(warm, DTYPES)
    print(f"edubba.quantum: the simulator is compiled ({time.perf_counter() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
