"""From tensors of circuits and values to states and expectations, structure by structure."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cirq
import numpy as np
import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gradients, observables, programs, states
from edubba.quantum.circuits import Circuits
from edubba.quantum.observables import PauliSums
from edubba.quantum.programs import Program

MEMORY = 0.5
"""share of the free memory that a simulation may take"""


class Group(NamedTuple):
    """Circuits of one structure."""

    qubits: tuple[cirq.Qid, ...]
    program: Program
    index: Int64[np.ndarray, "b"]
    """their places in the batch"""
    t: Float[Tensor, "b m"]
    """exponents of the steps"""
    each: tuple[bool, ...] = ()
    """of the steps, whether samples differ in the exponent"""
    flip: tuple[bool, ...] = ()
    """of the steps, whether the exponent is 1 in all samples, whatever the values"""


def prepare(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, *, dtype: torch.dtype, noise: bool = False
) -> tuple[Circuits, Float[Tensor, "b p"], tuple[str, ...]]:
    """A flat batch of circuits with a row of values each; one circuit or one row goes with all of the other.

    Parameters
    ----------
    noise
        Whether channels are simulated.

    Raises
    ------
    UserError
        Shapes that do not fit, a symbol that is missing or named twice, a value that is not a number, or a channel
        where none is simulated.
    """
    if not noise:
        check_noiseless(circuits)
    names = tuple(str(s) for s in symbols)
    if len(set(names)) < len(names):
        twice = next(s for s in names if names.count(s) > 1)
        raise UserError(f"the symbol {twice!r} is named twice: once is enough")
    if values is None:
        values = torch.zeros(1, 0, dtype=dtype, device=circuits.device)
    values = torch.as_tensor(values)
    if values.dim() == 1:
        values = values[None]
    if values.dim() != 2 or values.shape[1] != len(names):
        raise UserError(
            f"the values have shape {tuple(values.shape)}, but there are {len(names)} symbols ({', '.join(names[:6])}"
            f"{', ...' if len(names) > 6 else ''}): give (batch, {len(names)})"
        )
    values = values.to(dtype)
    bad = torch.nonzero(~torch.isfinite(values.detach()))
    if len(bad):
        row, column = bad[0].tolist()
        raise UserError(
            f"the value of {names[column]!r} in row {row} is {values[row, column].item()}: it must be a number"
        )
    missing = [s for s in circuits.symbols if s not in names]
    if missing:
        raise UserError(
            f"the circuits have the symbol {missing[0]!r}, which got no value; there are {', '.join(names) or 'none'}"
        )
    flat = circuits
    if not circuits.shape:
        flat = circuits.kept[()] = circuits.kept.get(()) or circuits.reshape(1)
    if len(flat.shape) != 1:
        raise UserError(f"the circuits have shape {circuits.shape}: give a batch of one dimension")
    b = max(len(flat), len(values)) if min(len(flat), len(values)) else 0
    if len(flat) not in (1, b) or len(values) not in (1, b):
        raise UserError(f"there are {len(flat)} circuits and {len(values)} rows of values: as many, or one of either")
    if len(flat) != b:
        if b not in flat.kept:
            flat.kept[b] = flat[np.zeros(b, np.int64)]
        flat = flat.kept[b]
    return flat, values.expand(b, -1), names


def check_noiseless(circuits: Circuits) -> None:
    if circuits.channel is not None:
        raise UserError(
            f"the circuit has noise, {circuits.channel}, which this layer does not simulate: use NoisyPQC,"
            " NoisyControlledPQC, Expectation(backend='noisy') or DensityMatrix"
        )


def groups(
    circuits: Circuits, values: Float[Tensor, "b p"], symbols: tuple[str, ...], qubits: Sequence[cirq.Qid] | None,
    *, shared: tuple[bool, ...] | None = None,
) -> Iterator[Group]:  # fmt: skip
    """The circuits, sorted by structure.

    Parameters
    ----------
    shared
        Of the symbols, whether all samples have the same value; None: seen from how the values lie in memory.
    """
    if shared is None:
        shared = (len(values) == 1 or values.stride(0) == 0,) * len(symbols)
    key = (symbols, None if qubits is None else tuple(qubits), shared, values.dtype, values.device)
    if key not in circuits.kept:  # a layer asks again and again with other values
        circuits.kept[key] = [_fixed(circuits, i, *key) for i in np.unique(circuits.structure).tolist()]
    for on, program, where, evaluate, own, weight, each, flip in circuits.kept[key]:
        t = own.expand(len(where), -1)
        if evaluate is not None:
            found = evaluate(values if len(where) == len(values) else values[where])
            if not bool(torch.isfinite(found.detach().sum())):
                bad = torch.nonzero(~torch.isfinite(found.detach()))[0].tolist()
                raise UserError(
                    f"an expression of the circuits is {found[bad[0], bad[1]].item()} in row {bad[0]}: it must be a number"
                )
            t = t + found @ weight
        yield Group(on, program, where, t, each, flip)


def _fixed(
    circuits: Circuits, i: int, symbols: tuple[str, ...], qubits: tuple[cirq.Qid, ...] | None, shared: tuple[bool, ...],
    dtype: torch.dtype, device: torch.device,
) -> tuple[Any, ...]:  # fmt: skip
    """Of the circuits of a structure all that does not depend on values."""
    structure = circuits.structures[i]
    on = structure.qubits if qubits is None else qubits
    program = programs.lowered(structure, on)
    where = np.flatnonzero(circuits.structure == i)
    own = program.constant + circuits.numbers[i].cpu()[circuits.row[where]] @ program.of_numbers
    differ = (own != own[:1]).any(0)
    if not differ.any():
        own = own[:1]
    evaluate = programs.evaluator(structure.expressions, symbols) if structure.expressions else None
    alike = dict(zip(symbols, shared, strict=True))
    loose = torch.tensor(
        [not all(alike[str(s)] for s in e.free_symbols) for e in structure.expressions], dtype=torch.bool
    )
    moved = program.of_expressions != 0
    each = differ | (moved & loose[:, None]).any(0)
    flip = ~moved.any(0) & ~differ & (own[0] == 1) & (not own.requires_grad)
    weight = program.of_expressions.to(device, dtype)
    return on, program, where, evaluate, own.to(device, dtype), weight, tuple(each.tolist()), tuple(flip.tolist())


def chunk(n: int, b: int, dtype: torch.dtype, *, copies: int = 4) -> int:
    """How many states of a batch fit into memory at a time.

    Raises
    ------
    UserError
        Not even one does.
    """
    one = copies * dtype.itemsize << n
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 33
    fits = int(MEMORY * free // one)
    if not fits:
        raise UserError(
            f"{n} qubits need {one / 2**30:.1f} GB, and {free / 2**30:.1f} GB are free, of which {MEMORY:.0%} may be used:"
            " use fewer qubits, or a larger machine"
        )
    return min(b, fits)


def expectation(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, sums: PauliSums, *,
    qubits: Sequence[cirq.Qid] | None = None, differentiator: Any = None, dtype: torch.dtype = torch.float32,
    shared: tuple[bool, ...] | None = None, noise: bool = False,
) -> Float[Tensor, "b k"]:  # fmt: skip
    """Exact expectations of each circuit's state.

    Parameters
    ----------
    circuits, symbols, values
        As in `prepare`.
    sums
        (k,) for all circuits, or (b, k).
    qubits
        All qubits, in their order; None: those of each circuit.
    differentiator
        See `gradients`; None: `Adjoint()`. Under noise what `noise.rule` gives.
    shared
        As in `groups`.
    noise
        As in `prepare`.
    """
    circuits, values, names = prepare(circuits, symbols, values, dtype=dtype, noise=noise)
    rule = differentiator or gradients.Adjoint()
    picked = sums.index.reshape(1, -1) if len(sums.shape) < 2 else sums.index
    if len(picked) == 1:
        picked = picked.repeat(len(circuits), axis=0)
    if len(picked) != len(circuits):
        raise UserError(
            f"there are observables for {len(picked)} circuits, but {len(circuits)} circuits: as many, or one row"
        )

    def evaluate(values: Tensor, which: np.ndarray) -> Tensor:
        """Of the circuits `which`, each with its row of values."""
        own = circuits if len(which) == len(circuits) else circuits[which]
        parts, places = [], []
        for group in groups(own, values, names, qubits, shared=shared):
            rows = picked[which[group.index]]
            alike = bool((rows == rows[:1]).all())
            for row in rows[:1] if alike else np.unique(rows, axis=0):
                same = slice(None) if alike else np.flatnonzero((rows == row).all(1))
                terms = tuple(observables.terms(sums.sums[i], group.qubits) for i in row.tolist())
                t = group.t[same]
                size = chunk(group.program.n, len(t), states.COMPLEX[t.dtype])
                done = [rule.on_exponents(part, group, terms) for part in t.split(size)]
                parts.append(done[0] if len(done) == 1 else torch.cat(done))
                places.append(group.index[same])
        if not parts:
            return values.new_zeros(0, picked.shape[1])
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts)[np.argsort(np.concatenate(places))]

    return rule.on_values(evaluate, values)


def padded(
    found: Sequence[Group], make: Callable[[Group], Complex[Tensor, "..."]], *, b: int, axes: int, dtype: torch.dtype,
    device: torch.device,
) -> tuple[Complex[Tensor, "..."], Int64[Tensor, "b"]]:  # fmt: skip
    """What is made of each group, (its size, d, ...) with so many axes of d, in one tensor of the largest d; and each d."""
    longest = max((1 << group.program.n for group in found), default=0)
    out = torch.zeros(b, *[longest] * axes, dtype=states.COMPLEX[dtype], device=device)
    length = torch.zeros(b, dtype=torch.int64)
    for group in found:
        made = make(group)
        length[group.index] = made.shape[1]
        whole = torch.nn.functional.pad(made, (0, longest - made.shape[1]) * axes)
        out = out.index_put((torch.from_numpy(group.index),), whole)
    return out, length


def state(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, *, qubits: Sequence[cirq.Qid] | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Complex[Tensor, "b d"], Int64[Tensor, "b"]]:  # fmt: skip
    """Final states, padded with zeros to the largest, and how long each is; differentiable."""
    circuits, values, names = prepare(circuits, symbols, values, dtype=dtype)
    found = list(groups(circuits, values, names, qubits))
    for group in found:
        chunk(group.program.n, len(circuits), states.COMPLEX[dtype])
    return padded(
        found,
        lambda group: states.run(group.program, group.t),
        b=len(circuits),
        axes=1,
        dtype=dtype,
        device=values.device,
    )


def unitary(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, *, qubits: Sequence[cirq.Qid] | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Complex[Tensor, "b d d"], Int64[Tensor, "b"]]:  # fmt: skip
    """Unitaries, padded with zeros to the largest, and how many rows each has; differentiable."""
    circuits, values, names = prepare(circuits, symbols, values, dtype=dtype)
    found = list(groups(circuits, values, names, qubits))
    for group in found:
        chunk(group.program.n, len(circuits), states.COMPLEX[dtype], copies=4 << group.program.n)

    def make(group: Group) -> Complex[Tensor, "b d d"]:
        d, b = 1 << group.program.n, len(group.t)
        start = torch.eye(d, dtype=states.COMPLEX[dtype], device=values.device).repeat(b, 1)
        columns = states.run(group.program, group.t.repeat_interleave(d, 0), start)
        return columns.reshape(b, d, d).transpose(1, 2)

    return padded(found, make, b=len(circuits), axes=2, dtype=dtype, device=values.device)
