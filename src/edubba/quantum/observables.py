"""Sums of Pauli strings as tensors, and what of them is simulated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cirq
import numpy as np
import torch

from edubba.core.errors import UserError
from edubba.quantum.states import Term

PAULI_SUM: Any = cirq.PauliSum  # a decorator of Cirq's hides its type
Sum = tuple[tuple[float, tuple[tuple[cirq.Qid, str], ...]], ...]
"""(coefficient, ((qubit, X, Y or Z), ...)) of each string"""


@dataclass(frozen=True)
class PauliSums:
    """A tensor of observables. Made by `convert_to_tensor`; taken apart by `from_tensor`."""

    sums: tuple[Sum, ...]
    index: np.ndarray
    """of each observable, its place in `sums`"""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @cached_property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        """Of all observables, sorted."""
        used = {q for i in set(self.index.ravel().tolist()) for _, string in self.sums[i] for q, _ in string}
        return tuple(sorted(used))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single observable has no length")
        return self.shape[0]

    def __getitem__(self, key: Any) -> "PauliSums":
        if isinstance(key, torch.Tensor):
            key = key.cpu().numpy()
        return replace(self, index=np.asarray(self.index[key]))

    def reshape(self, *shape: int) -> "PauliSums":
        return replace(self, index=self.index.reshape(*shape))

    def __repr__(self) -> str:
        return f"PauliSums(shape={self.shape}, different={len(self.sums)})"


def is_observable(item: Any) -> bool:
    return isinstance(item, (cirq.PauliSum, cirq.PauliString))


def read(item: Any) -> Sum:
    """An observable's strings.

    Raises
    ------
    UserError
        It is no observable, or has a coefficient that is not real.
    """
    if isinstance(item, cirq.PauliString):
        item = PAULI_SUM.from_pauli_strings(item)
    if not isinstance(item, cirq.PauliSum):
        raise UserError(f"{item!r} is no observable: give sums and products of cirq.X, cirq.Y and cirq.Z on qubits")
    strings = []
    for string in item:
        if abs(string.coefficient.imag) > 1e-12 * max(1.0, abs(string.coefficient)):
            raise UserError(f"{item} has the coefficient {string.coefficient}: observables need real ones")
        letters = tuple((q, str(p)) for q, p in sorted(string.items()))
        strings.append((float(string.coefficient.real), letters))
    return tuple(strings)


def pauli_sums(items: Sequence[Any], shape: tuple[int, ...]) -> PauliSums:
    """A tensor of this shape from as many observables."""
    place: dict[Sum, int] = {}
    index = np.array([place.setdefault(read(item), len(place)) for item in items], np.int64).reshape(shape)
    return PauliSums(tuple(place), index)


def from_sum(strings: Sum) -> Any:
    """The observable of Cirq again."""
    named = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}
    return PAULI_SUM.from_pauli_strings(
        [cirq.PauliString({q: named[letter] for q, letter in string}, coefficient=c) for c, string in strings]
    )


def terms(strings: Sum, qubits: tuple[cirq.Qid, ...]) -> tuple[Term, ...]:
    """An observable on these qubits, as `states.expectation` takes it.

    Raises
    ------
    UserError
        It acts on a qubit that is not among them.
    """
    n, place = len(qubits), {q: i for i, q in enumerate(qubits)}
    found = []
    for coefficient, string in strings:
        x = z = ys = 0
        for q, letter in string:
            if q not in place:
                raise UserError(
                    f"the observable acts on {q}, but the circuit has only {', '.join(map(str, qubits)) or 'no qubits'}:"
                    " name all qubits with qubits="
                )
            bit = 1 << (n - 1 - place[q])
            x |= bit * (letter in "XY")
            z |= bit * (letter in "YZ")
            ys += letter == "Y"
        found.append(Term(coefficient, x, z, ys))
    return tuple(found)


def join(parts: Sequence[PauliSums], how: Any) -> PauliSums:
    """Several tensors as one; `how` joins their index arrays."""
    place: dict[Sum, int] = {}
    index = [np.array([place.setdefault(s, len(place)) for s in part.sums], np.int64)[part.index] for part in parts]
    return PauliSums(tuple(place), how(index))
