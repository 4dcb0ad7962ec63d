"""From Cirq's objects to tensors and back, joined and batched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import cirq
import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import collate as torch_collate
from torch.utils.data._utils.collate import default_collate_fn_map

from edubba.core.errors import UserError
from edubba.quantum import circuits, observables, programs, simulation
from edubba.quantum.circuits import Circuits
from edubba.quantum.observables import PauliSums


def convert_to_tensor(items: Any) -> Circuits | PauliSums:
    """Circuits or observables, or nested lists of them, as a tensor of that shape.

    Measurements at the end of circuits are left out; expectation and sampling decide what is measured.

    Parameters
    ----------
    items
        `cirq.Circuit`, or `cirq.PauliSum` and `cirq.PauliString`, or lists of lists of them, all of one length at each
        depth. What is a tensor already is given back.

    Raises
    ------
    UserError
        Lists of different lengths, circuits mixed with observables, something that is neither, a gate without
        unitary, or a measurement in between.
    """
    if isinstance(items, (Circuits, PauliSums)):
        return items
    shape = _shape(items)
    flat = list(_flat(items, len(shape)))
    kinds = {isinstance(item, cirq.AbstractCircuit) for item in flat}
    if len(kinds) > 1:
        raise UserError("circuits and observables are mixed: make one tensor of each")
    if kinds == {False}:
        return observables.pauli_sums(flat, shape)
    return circuits.read(flat, shape)


def _shape(items: Any) -> tuple[int, ...]:
    if isinstance(items, cirq.AbstractCircuit) or observables.is_observable(items):
        return ()
    if isinstance(items, (list, tuple, np.ndarray)):
        inner = {_shape(item) for item in items}
        if len(inner) > 1:
            raise UserError(f"the lists have different shapes ({', '.join(map(str, sorted(inner)))}): make them one")
        return (len(items), *(inner.pop() if inner else ()))
    raise UserError(f"{items!r} is neither a circuit nor an observable: give objects of Cirq, or lists of them")


def _flat(items: Any, depth: int) -> Iterable[Any]:
    if not depth:
        yield items
    else:
        for item in items:
            yield from _flat(item, depth - 1)


def from_tensor(tensor: Circuits | PauliSums) -> Any:
    """What was converted: a `cirq.Circuit` or `cirq.PauliSum`, or nested lists of them."""
    if tensor.shape:
        return [from_tensor(tensor[i]) for i in range(len(tensor))]
    if isinstance(tensor, Circuits):
        return circuits.rebuild(tensor)
    return observables.from_sum(tensor.sums[int(tensor.index)])


def get_circuit_symbols(items: Any) -> tuple[str, ...]:
    """Names of the symbols of a circuit, or of all circuits of a tensor, in natural order: t2 before t10."""
    return circuits_of(items, "the items").symbols


def resolve_parameters(items: Any, symbol_names: Sequence[Any], symbol_values: Tensor) -> Circuits:
    """Circuits whose expressions have become numbers, which keep the gradient towards the values.

    Parameters
    ----------
    items
        A circuit, or b.
    symbol_names
        p names, all symbols of the circuits among them.
    symbol_values
        (b, p), or (p,) for all circuits; one circuit goes with all rows.

    Returns
    -------
    Circuits
        (b,) without symbols; () for one circuit and (p,).

    Raises
    ------
    UserError
        A symbol without a value, shapes that do not fit, or an expression whose value is not a number.
    """
    found = circuits_of(items, "the items")
    flat, values, names = simulation.prepare(found, symbol_names, symbol_values, dtype=torch.float64)
    parts, places = [], []
    for i in np.unique(flat.structure).tolist():
        old = flat.structures[i]
        where = np.flatnonzero(flat.structure == i)
        columns = [flat.numbers[i][flat.row[where]]]
        if old.expressions:
            filled = programs.evaluator(old.expressions, names)(values[where])
            bad = torch.nonzero(~torch.isfinite(filled.detach()))
            if len(bad):
                row, column = bad[0].tolist()
                raise UserError(
                    f"the value of {old.expressions[column]} for circuit {where[row]} is {filled[row, column].item()}: it must be"
                    " a number"
                )
            columns.append(filled.to(flat.device))
        own = iter(range(columns[0].shape[1]))
        order = [next(own) if p < 0 else columns[0].shape[1] + p for p in old.parameter]
        new = replace(old, parameter=(-1,) * len(order), expressions=())
        n = len(where)
        parts.append(
            Circuits((new,), (torch.cat(columns, 1)[:, order],), np.zeros(n, np.int64), np.arange(n, dtype=np.int64))
        )
        places.append(where)
    if not parts:
        return flat
    whole = circuits.join(parts, np.concatenate)[np.argsort(np.concatenate(places))]
    return whole[0] if not found.shape and symbol_values.dim() == 1 else whole


def circuits_of(items: Any, what: str) -> Circuits:
    """A tensor of circuits; observables are refused under this name."""
    found = convert_to_tensor(items)
    if not isinstance(found, Circuits):
        raise UserError(f"{what} are observables: circuits are needed here")
    return found


def cat(parts: Sequence[Circuits] | Sequence[PauliSums], dim: int = 0) -> Any:
    """Tensors joined along a dimension that they have."""
    return _join(parts, lambda arrays: np.concatenate(arrays, axis=dim))


def stack(parts: Sequence[Circuits] | Sequence[PauliSums], dim: int = 0) -> Any:
    """Tensors of one shape joined along a new dimension."""
    return _join(parts, lambda arrays: np.stack(arrays, axis=dim))


def _join(parts: Sequence[Any], how: Callable[[list[np.ndarray]], np.ndarray]) -> Any:
    if not parts:
        raise UserError("there is nothing to join: give at least one tensor")
    if len({type(part) for part in parts}) > 1:
        raise UserError("circuits and observables cannot be joined: make one tensor of each")
    try:
        return circuits.join(parts, how) if isinstance(parts[0], Circuits) else observables.join(parts, how)
    except ValueError:
        raise UserError(
            f"tensors of shapes {', '.join(str(part.shape) for part in parts)} do not fit together"
        ) from None


def collate(batch: Any) -> Any:
    """`collate_fn` for a DataLoader over samples in which there are circuits or observables."""
    return torch_collate(batch, collate_fn_map=COLLATE)


def _stacked(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return stack(batch)


COLLATE = {**default_collate_fn_map, Circuits: _stacked, PauliSums: _stacked}
