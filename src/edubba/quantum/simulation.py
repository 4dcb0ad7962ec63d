"""From tensors of circuits and values to states and expectations, structure by structure."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cirq
import numpy as np
import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from edubba.core.errors import UserError
from edubba.quantum import gradients, observables, programs, states
from edubba.quantum.circuits import Circuits, Structure, aligned
from edubba.quantum.observables import PauliSums
from edubba.quantum.programs import Linear, Program

engine = gradients.engine
MEMORY = 0.5
"""share of the free memory that a simulation may take"""
LARGE = 1 << 24
"""amplitudes of a batch below which memory is not looked at"""


class Group(NamedTuple):
    """Circuits of one structure."""

    qubits: tuple[cirq.Qid, ...]
    program: Program
    index: Int64[np.ndarray, "b"]
    """their places in the batch"""
    t: Float[Tensor, "b m"]
    """exponents of the steps"""


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
    check_symbols(circuits, names)
    values = shaped(values, names, dtype=dtype, device=circuits.device)
    check_finite(values, names)
    flat = flattened(circuits)
    b = max(len(flat), len(values)) if min(len(flat), len(values)) else 0
    check_lengths(len(flat), len(values))
    if len(flat) != b:
        if b not in flat.kept:
            flat.kept[b] = flat[np.zeros(b, np.int64)]
        flat = flat.kept[b]
    return flat, values.expand(b, -1), names


def flattened(circuits: Circuits) -> Circuits:
    """One dimension, also of a single circuit."""
    if not circuits.shape:
        if () not in circuits.kept:
            circuits.kept[()] = circuits.reshape(1)
        return circuits.kept[()]
    if len(circuits.shape) != 1:
        raise UserError(f"the circuits have shape {circuits.shape}: give a batch of one dimension")
    return circuits


def shaped(
    values: Tensor | None, names: Sequence[str], *, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "b p"]:
    """Rows of values of these symbols."""
    if values is None:
        values = torch.zeros(1, 0, dtype=dtype, device=device)
    values = torch.as_tensor(values)
    if values.dim() == 1:
        values = values[None]
    if values.dim() != 2 or values.shape[1] != len(names):
        raise UserError(
            f"the values have shape {tuple(values.shape)}, but there are {len(names)} symbols ({', '.join(names[:6])}"
            f"{', ...' if len(names) > 6 else ''}): give (batch, {len(names)})"
        )
    return values.to(dtype)


def check_lengths(circuits: int, rows: int) -> None:
    b = max(circuits, rows) if min(circuits, rows) else 0
    if circuits not in (1, b) or rows not in (1, b):
        raise UserError(f"there are {circuits} circuits and {rows} rows of values: as many, or one of either")


def check_symbols(circuits: Circuits, names: tuple[str, ...]) -> None:
    if len(set(names)) < len(names):
        twice = next(s for s in names if names.count(s) > 1)
        raise UserError(f"the symbol {twice!r} is named twice: once is enough")
    missing = [s for s in circuits.symbols if s not in names]
    if missing:
        raise UserError(
            f"the circuits have the symbol {missing[0]!r}, which got no value; there are {', '.join(names) or 'none'}"
        )


def check_finite(values: Float[Tensor, "b p"], names: tuple[str, ...]) -> None:
    bad = torch.nonzero(~torch.isfinite(values.detach()))
    if len(bad):
        row, column = bad[0].tolist()
        raise UserError(
            f"the value of {names[column]!r} in row {row} is {values[row, column].item()}: it must be a number"
        )


def check_noiseless(circuits: Circuits) -> None:
    if circuits.channel is not None:
        raise UserError(
            f"the circuit has noise, {circuits.channel}, which this layer does not simulate: use NoisyPQC,"
            " NoisyControlledPQC, Expectation(backend='noisy') or DensityMatrix"
        )


def groups(
    circuits: Circuits, values: Float[Tensor, "b p"], symbols: tuple[str, ...], qubits: Sequence[cirq.Qid] | None
) -> Iterator[Group]:
    """The circuits, sorted by structure."""
    key = (symbols, None if qubits is None else tuple(qubits), values.dtype, values.device)
    if key not in circuits.kept:  # a layer asks again and again with other values
        circuits.kept[key] = [_fixed(circuits, i, *key) for i in np.unique(circuits.structure).tolist()]
    for fixed in circuits.kept[key]:
        own = values if len(fixed.index) == len(values) else values[fixed.index]
        yield Group(fixed.qubits, fixed.program, fixed.index, fixed.exponents(own))


@dataclass(frozen=True, eq=False)
class Static:
    """Of a structure all that depends neither on numbers nor on values: exponents are evaluate(values) @ weight + ..."""

    program: Program
    evaluate: Callable[[Tensor], Tensor] | None
    weight: Float[Tensor, "e m"]
    linear: Linear | None
    """where expressions are linear, the same at once"""


class Fixed(NamedTuple):
    """Of the circuits of a structure all that does not depend on values."""

    qubits: tuple[cirq.Qid, ...]
    program: Program
    index: Int64[np.ndarray, "b"]
    own: Float[Tensor, "b m"]
    """what values are added to; one row where all circuits have the same"""
    static: Static
    exact: Float[Tensor, "b m"]
    """`own` in double precision"""

    def exponents(self, values: Float[Tensor, "b p"]) -> Float[Tensor, "b m"]:
        t = self.own.expand(max(len(self.own), len(values)), -1)
        if self.static.evaluate is None:
            return t
        found = self.static.evaluate(values)
        if not bool(torch.isfinite(found.detach().sum())):
            bad = torch.nonzero(~torch.isfinite(found.detach()))[0].tolist()
            raise UserError(
                f"an expression of the circuits is {found[bad[0], bad[1]].item()} in row {bad[0]}: it must be a number"
            )
        return t + found @ self.static.weight.to(found.device, found.dtype)


@lru_cache(maxsize=4096)
def _static(structure: Structure, on: tuple[cirq.Qid, ...], symbols: tuple[str, ...]) -> Static:
    program = programs.lowered(structure, on)
    evaluate = programs.evaluator(structure.expressions, symbols) if structure.expressions else None
    form = programs.linear(structure.expressions, symbols)
    if form is not None:
        form = Linear(*(part @ program.of_expressions for part in form))
    return Static(program, evaluate, program.of_expressions, form)


def _fixed(
    circuits: Circuits, i: int, symbols: tuple[str, ...], qubits: tuple[cirq.Qid, ...] | None, dtype: torch.dtype,
    device: torch.device,
) -> Fixed:  # fmt: skip
    structure = circuits.structures[i]
    on = structure.qubits if qubits is None else qubits
    static = _static(structure, on, symbols)
    where = np.flatnonzero(circuits.structure == i)
    own = static.program.constant + circuits.numbers[i].cpu()[circuits.row[where]] @ static.program.of_numbers
    if bool((own == own[:1]).all()):
        own = own[:1]
    return Fixed(on, static.program, where, own.to(device, dtype), static, own)


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
    common: Float[Tensor, "q"] | None = None, qubits: Sequence[cirq.Qid] | None = None, differentiator: Any = None,
    dtype: torch.dtype = torch.float32, noise: bool = False,
) -> Float[Tensor, "b k"]:  # fmt: skip
    """Exact expectations of each circuit's state.

    Parameters
    ----------
    circuits, symbols, values
        As in `prepare`.
    sums
        (k,) for all circuits, or (b, k).
    common
        Values of the last symbols, the same for all circuits: `values` are those of the others.
    qubits
        All qubits, in their order; None: those of each circuit.
    differentiator
        See `gradients`; None: `Adjoint()`. Under noise what `noise.rule` gives.
    noise
        As in `prepare`.
    """
    rule = differentiator or gradients.Adjoint()
    if isinstance(rule, gradients.Adjoint):
        found = _compiled(circuits, symbols, values, common, sums, qubits, dtype)
        if found is not None:
            return found
    circuits, values, names = prepare(circuits, symbols, joined(values, common), dtype=dtype, noise=noise)
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
        for group in groups(own, values, names, qubits):
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


def joined(values: Tensor | None, common: Tensor | None) -> Tensor | None:
    """Rows of values, with those that all rows share at their end."""
    if common is None or values is None:
        return values if common is None else common[None]
    return torch.cat([values.to(common.dtype), common.expand(len(values), -1)], dim=1)


class Compiled(NamedTuple):
    """What the kernels have been made ready for."""

    names: Sequence[Any]
    sums: PauliSums
    settings: tuple[Any, ...]
    parts: list[tuple[np.ndarray | None, Fixed, Any]]
    """places in the batch, None for all of it; a structure; its `engine.Task`"""
    circuits: int


def _compiled(
    circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, common: Tensor | None, sums: PauliSums,
    qubits: Sequence[cirq.Qid] | None, dtype: torch.dtype,
) -> Float[Tensor, "b k"] | None:  # fmt: skip
    """`expectation` by the kernels; None where they cannot do it."""
    if engine is None or circuits.device.type != "cpu" or not (common is None or common.is_cpu):
        return None
    own = len(symbols) - (0 if common is None else common.shape[0])
    if isinstance(values, Tensor) and values.dtype == dtype and values.dim() == 2 and values.shape[1] == own:
        x = values
    else:
        x = shaped(values, tuple(map(str, symbols[:own])), dtype=dtype, device=circuits.device)
    if not x.is_cpu:
        return None
    b = x.shape[0]
    if b == 1 and circuits.shape and circuits.shape[0] > 1:  # one row for all circuits
        common = x[0] if common is None else torch.cat([x[0], common])
        x = x.new_zeros(circuits.shape[0], 0)
        b = x.shape[0]
    w = x.new_zeros(0) if common is None else common.to(dtype)
    settings = w.shape[0], None if qubits is None else tuple(qubits), dtype
    ready = circuits.kept.get("last")
    # a layer comes with the very same names again: they need not be looked at one by one
    if ready is None or ready.names is not symbols or ready.sums is not sums or ready.settings != settings:
        names = tuple(map(str, symbols))
        ready = circuits.kept.get(("compiled", names, *settings))
        if ready is None or not (ready.sums is sums or _same(ready.sums, sums)):
            ready = circuits.kept["compiled", names, *settings] = _tasks(circuits, names, sums, settings)
        circuits.kept["last"] = ready._replace(names=symbols, sums=sums) if isinstance(symbols, tuple) else None
    if ready.circuits != b:
        check_lengths(ready.circuits, b)
    if not ready.parts:  # nothing at all, or observables that do not fit
        return None
    found = []
    for index, fixed, task in ready.parts:
        at = x if index is None else x[index]
        try:
            shared = w
            if task.linear is None:
                at, shared = fixed.exponents(torch.cat([at, w.expand(len(at), -1)], dim=1)), w[:0]
            many, n = at.shape[0], fixed.program.n
            size = many if many << n < LARGE else chunk(n, many, states.COMPLEX[dtype])
            for some in at.split(size) if size < many else (at,):
                part = engine.expectation(task, some, shared)
                if part is None:  # constant matrices, which the kernels do not know
                    part = states.Adjoint.apply(task.exponents(some, shared), fixed.program, task.observables)
                found.append(part)
        except engine.NotFinite:
            whole = torch.cat([x, w.expand(len(x), -1)], dim=1)
            check_finite(whole, tuple(map(str, symbols)))
            fixed.exponents(whole if index is None else whole[index])
            raise
    if len(found) == 1:
        return found[0]
    places = [np.arange(b) if index is None else index for index, _, _ in ready.parts]
    return torch.cat(found)[np.argsort(np.concatenate(places))]


def _same(a: PauliSums, b: PauliSums) -> bool:
    return a.sums == b.sums and np.array_equal(a.index, b.index)


def _tasks(circuits: Circuits, names: tuple[str, ...], sums: PauliSums, settings: tuple[Any, ...]) -> Compiled:
    common, qubits, dtype = settings
    check_noiseless(circuits)
    check_symbols(circuits, names)
    flat = aligned(flattened(circuits))
    picked = sums.index.reshape(1, -1) if len(sums.shape) < 2 else sums.index
    if len(picked) not in (1, len(flat)):
        return Compiled(names, sums, settings, [], len(flat))
    picked = np.broadcast_to(picked, (len(flat), picked.shape[1]))
    parts = []
    for i in np.unique(flat.structure).tolist():
        fixed = _fixed(flat, i, names, qubits, dtype, circuits.device)
        rows = picked[fixed.index]
        for row in np.unique(rows, axis=0):
            same = np.flatnonzero((rows == row).all(1))
            its = fixed
            if len(same) < len(rows):
                some = same if len(fixed.own) > 1 else slice(None)
                its = fixed._replace(index=fixed.index[same], own=fixed.own[some], exact=fixed.exact[some])
            terms = tuple(observables.terms(sums.sums[k], its.qubits) for k in row.tolist())
            parts.append((its, terms))
    alone = len(parts) == 1
    tasks = [(None if alone else its.index, its, _task(its, terms, common)) for its, terms in parts]
    return Compiled(names, sums, settings, tasks, len(flat))


def _task(fixed: Fixed, terms: Any, common: int) -> Any:
    """The kernels' part of it; from exponents instead of values where these are no linear function of values."""
    assert engine is not None
    static = fixed.static
    linear = None if fixed.exact.requires_grad else static.linear
    if linear is not None:
        own = (fixed.exact + linear.bias).numpy()
        flip = tuple(((linear.weight == 0).all(0).numpy() & (own == 1).all(0)).tolist())
    else:
        own, flip, common = np.zeros((1, len(static.program.steps))), (False,) * len(static.program.steps), 0

    def exponents(x: Tensor, w: Tensor) -> Tensor:
        return fixed.exponents(torch.cat([x, w.expand(len(x), -1)], dim=1)) if linear is not None else x

    return engine.Task(static.program, terms, flip, own, linear, common, exponents, {})


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
