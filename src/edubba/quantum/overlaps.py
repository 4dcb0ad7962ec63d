"""Overlaps of states: the inner products that quantum kernels and compression are made of."""

from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import simulation, states
from edubba.quantum.circuits import Circuits
from edubba.quantum.tensors import circuits_of


def inner_product(
    circuits: Any, symbol_names: Sequence[Any], symbol_values: Tensor | None, others: Any, *,
    qubits: Sequence[cirq.Qid] | None = None, dtype: torch.dtype = torch.float32,
) -> Complex[Tensor, "b m"]:  # fmt: skip
    """<psi_b(values) | other_bm>, differentiable to every order.

    Parameters
    ----------
    circuits
        A circuit, or b.
    symbol_names, symbol_values
        p names and (b, p) values; one row goes with all circuits, one circuit with all rows.
    others
        m circuits without symbols for all, or (b, m).
    qubits
        All qubits, in their order; None: those of all circuits and others, sorted.
    dtype
        torch.float32 or torch.float64, which also sets the precision of the states.

    Raises
    ------
    UserError
        Shapes that do not fit, a symbol without a value or in the others, or a value that is not a number.
    """
    own, values, names = simulation.prepare(
        circuits_of(circuits, "the circuits"), symbol_names, symbol_values, dtype=dtype
    )
    other = circuits_of(others, "the others")
    if other.symbols:
        raise UserError(f"the others have the symbol {other.symbols[0]!r}: fill it in with resolve_parameters first")
    if len(other.shape) > 2:
        raise UserError(f"the others have shape {other.shape}: give m circuits, or (batch, m)")
    place = np.stack([other.structure, other.row]).reshape(2, 1 if len(other.shape) < 2 else len(other), -1)
    if place.shape[1] not in (1, len(own)):
        raise UserError(
            f"there are others for {place.shape[1]} circuits, but {len(own)} circuits: as many, or one row for all"
        )
    if not len(own) or not place.size:
        return torch.zeros(len(own), place.shape[2], dtype=states.COMPLEX[dtype], device=values.device)
    on = tuple(sorted({*own.qubits, *other.qubits})) if qubits is None else qubits
    psi, _ = simulation.state(own, names, values, qubits=on, dtype=dtype)
    (structure, row), which = np.unique(place.reshape(2, -1), axis=1, return_inverse=True)
    distinct = Circuits(other.structures, other.numbers, structure, row).to(values.device)
    phi, _ = simulation.state(distinct, (), None, qubits=on, dtype=dtype)
    return torch.einsum("bd,bmd->bm", psi.conj(), phi[which.reshape(place.shape[1:])])


def fidelity(
    circuits: Any, symbol_names: Sequence[Any], symbol_values: Tensor | None, others: Any, *,
    qubits: Sequence[cirq.Qid] | None = None, dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b m"]:  # fmt: skip
    """|<psi_b(values) | other_bm>|**2, differentiable to every order; takes what `inner_product` takes."""
    found = inner_product(circuits, symbol_names, symbol_values, others, qubits=qubits, dtype=dtype)
    return found.real.square() + found.imag.square()
