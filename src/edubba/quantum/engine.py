"""From programs to the instructions of `kernels`: fused, shared over the batch where values are."""

from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from edubba.quantum import kernels, states
from edubba.quantum.programs import Fixed, Pauli, Program
from edubba.quantum.states import Term

CACHE = 1 << 22
"""bytes of both states of a chunk: more samples make longer rows, fewer stay in the cache; 4 MB was best of 1, 4, 8"""


SMALL = 6
"""qubits up to which a step that differs between samples is cheaper alone than as a matrix for each"""


class Plan(NamedTuple):
    """Instructions for a program whose steps differ between samples where `each` says so."""

    code: np.ndarray
    permutation: np.ndarray
    table: tuple[np.ndarray, ...]
    order: np.ndarray
    """places in the program of the steps that have exponents, in the order of the instructions"""
    each: np.ndarray


@lru_cache(maxsize=1024)
def plan(program: Program, each: tuple[bool, ...], flip: tuple[bool, ...]) -> Plan | None:
    """None where a program has steps that the kernels do not know: constant matrices.

    Parameters
    ----------
    each
        Steps whose exponents differ between samples.
    flip
        Steps whose exponent is 1 for all samples, whatever the values.
    """
    if any(isinstance(step, Fixed) for step in program.steps):
        return None
    n = program.n
    code: list[list[int]] = []
    permutations: list[np.ndarray] = []
    order: list[int] = []
    before: dict[int, list[int]] = {}
    """steps on one bit that come before what is buffered, or elsewhere"""
    after: dict[int, list[int]] = {}
    """and those that come after it on one of its bits"""
    diagonal: list[int] = []
    shuffle: np.ndarray | None = None
    buffered = 0
    identity = np.arange(1 << n)

    def emit(kind: int, steps: list[int], *, bit: int = 0, row: int = 0) -> None:
        code.append([kind, bit, len(order), len(order) + len(steps), row])
        order.extend(steps)

    def emit_ones(bit: int) -> None:
        steps = before.pop(bit)
        for differ, run in groupby(steps, key=lambda i: n <= SMALL and each[i]):
            steps = list(run)
            first = program.steps[steps[0]]
            if differ and len(steps) == 1 and isinstance(first, Pauli):
                emit(kernels.PAIR if first.x else kernels.PHASE, steps)
            else:
                emit(kernels.ONE, steps, bit=bit)

    def flush() -> None:
        nonlocal shuffle, buffered
        if diagonal:
            emit(kernels.PHASE, diagonal)
            diagonal.clear()
        if shuffle is not None:
            emit(kernels.PERMUTE, [], row=len(permutations))
            permutations.append(shuffle)
            shuffle = None
        buffered = 0
        for bit, steps in after.items():
            before.setdefault(bit, []).extend(steps)
        after.clear()

    for i, step in enumerate(program.steps):
        assert isinstance(step, Pauli)
        touched = step.x | step.z | step.controls
        bits = [bit for bit in range(n) if touched >> bit & 1]
        if len(bits) == 1 and not step.controls:
            (after if buffered & touched else before).setdefault(bits[0], []).append(i)
            continue
        moves = step.x and not step.z and step.sign == 1 and step.shift == 0 and flip[i]
        if any(bit in after for bit in bits) or (diagonal if moves else shuffle is not None) or (step.x and not moves):
            flush()
        for bit in bits:
            if bit in before:
                emit_ones(bit)
        if moves:
            own = np.where((identity & step.controls) == step.values, identity ^ step.x, identity)
            shuffle = own if shuffle is None else shuffle[own]
            buffered |= touched
        elif not step.x:
            diagonal.append(i)
            buffered |= touched
        else:
            emit(kernels.PAIR, [i])
    flush()
    for bit in sorted(before):
        emit_ones(bit)
    steps: list[Any] = [program.steps[i] for i in order]
    axis = np.array([1 * bool(s.x) + 2 * bool(s.z) for s in steps], np.int64)
    table = (
        axis, np.array([s.sign for s in steps], np.float64), np.array([s.shift for s in steps], np.float64),
        *(np.array([getattr(s, name) for s in steps], np.int64) for name in ("x", "z", "ys", "controls", "values")),
    )  # fmt: skip
    index = np.array(permutations, np.int64).reshape(len(permutations), 1 << n)
    places = np.array(order, np.int64)
    return Plan(
        np.array(code, np.int64).reshape(-1, 5), index, table, places, np.array([each[i] for i in order], np.bool_)
    )


class Strings(NamedTuple):
    """Different Pauli strings of several observables, and how these are made of them."""

    x: np.ndarray
    z: np.ndarray
    ys: np.ndarray
    single: np.ndarray
    weight: np.ndarray
    """(observables, strings)"""


@lru_cache(maxsize=1024)
def strings(observables: tuple[tuple[Term, ...], ...]) -> Strings:
    place: dict[tuple[int, int, int], int] = {}
    entries = []
    for k, terms in enumerate(observables):
        for term in terms:
            entries.append((k, place.setdefault((term.x, term.z, term.ys), len(place)), term.coefficient))
    weight = np.zeros((len(observables), len(place)))
    for k, i, coefficient in entries:
        weight[k, i] += coefficient
    x, z, ys = (np.array([key[j] for key in place], np.int64) for j in range(3))
    single = np.array(
        [int(b).bit_length() - 1 if not a and b and not b & (b - 1) else -1 for a, b in zip(x, z, strict=True)],
        np.int64,
    )
    return Strings(x, z, ys, single, weight)


def chunks(n: int, b: int, itemsize: int) -> int:
    """Samples at a time."""
    fits = max(1, CACHE // (4 * itemsize << n))
    return min(b, fits if fits < 16 else fits // 16 * 16)


class State(NamedTuple):
    """What the way back needs of a chunk: its final state."""

    re: np.ndarray
    im: np.ndarray


def forward(it: Plan, strings: Strings, n: int, t: np.ndarray, dtype: Any) -> tuple[np.ndarray, list[State]]:
    """Expectations (b, k) and the final states of the chunks; t (steps, b)."""
    b = t.shape[1]
    size = chunks(n, b, np.dtype(dtype).itemsize)
    out, finals = np.empty((b, len(strings.weight))), []
    for start in range(0, b, size):
        part = np.ascontiguousarray(t[:, start : start + size])
        re, im, spare_re, spare_im = np.zeros((4, 1 << n, part.shape[1]), dtype)
        re[0] = 1
        if kernels.forward(re, im, spare_re, spare_im, it.code, it.permutation, it.table, part, it.each):
            re, im, spare_re = spare_re, spare_im, re
        values = np.empty((len(strings.x), part.shape[1]))
        kernels.expect(re, im, spare_re, strings.x, strings.z, strings.ys, strings.single, values)
        out[start : start + size] = (strings.weight @ values).T
        finals.append(State(re, im))
    return out, finals


def backward(it: Plan, strings: Strings, n: int, t: np.ndarray, finals: list[State], g: np.ndarray) -> np.ndarray:
    """Gradient (steps, b) of sum(g * E); in column 0 of its chunk where samples share a parameter."""
    out, start = np.zeros_like(t), 0
    for state in finals:
        re, im = state.re.copy(), state.im.copy()
        size = re.shape[1]
        part = np.ascontiguousarray(t[:, start : start + size])
        lre, lim, *spare = np.empty((4, *re.shape), re.dtype)
        weight = np.ascontiguousarray(strings.weight.T @ g[start : start + size].T)
        kernels.observe(re, im, spare[0], strings.x, strings.z, strings.ys, strings.single, weight, lre, lim)
        gradient = np.zeros_like(part)
        kernels.backward(re, im, lre, lim, np.stack(spare), it.code, it.permutation, it.table, part, it.each, gradient)
        out[:, start : start + size] = gradient
        start += size
    return out


class Expectation(torch.autograd.Function):
    """Expectations by the kernels; derivatives of derivatives run in plain torch."""

    @staticmethod
    def forward(ctx, t: Tensor, program: Program, observables: Any, it: Plan, own: Strings) -> Tensor:
        ctx.program, ctx.observables, ctx.it, ctx.own = program, observables, it, own
        ctx.save_for_backward(t)
        ctx.t = np.ascontiguousarray(t.detach().numpy().T[it.order], np.float64)
        dtype = np.float32 if t.dtype == torch.float32 else np.float64
        out, ctx.states = forward(it, own, program.n, ctx.t, dtype)
        return torch.from_numpy(out).to(t.dtype)

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        (t,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                (found,) = torch.autograd.grad(
                    states.expectation(states.run(ctx.program, t), ctx.observables), t, g, create_graph=True
                )
            return found, None, None, None, None
        found = backward(ctx.it, ctx.own, ctx.program.n, ctx.t, ctx.states, g.detach().numpy().astype(np.float64))
        out = torch.zeros_like(t)
        out[:, ctx.it.order] = torch.from_numpy(found.T).to(t.dtype)
        return out, None, None, None, None


def expectation(
    t: Float[Tensor, "b m"], program: Program, observables: Any, each: tuple[bool, ...], flip: tuple[bool, ...]
) -> Tensor | None:
    """Expectations (b, k); None where the kernels cannot do it."""
    it = plan(program, each, flip)
    if it is None or t.device.type != "cpu":
        return None
    return Expectation.apply(t, program, observables, it, strings(observables))
