"""Runs plans on the kernels: scratch memory, threads, and the function that autograd sees."""

import math
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.core import event
from torch import Tensor

from edubba.quantum import kernels, states
from edubba.quantum.kernels import LANES
from edubba.quantum.plans import LANE_BITS, Bound, Plan, bind, wired
from edubba.quantum.programs import Linear, Program
from edubba.quantum.states import Term

ROWS = 10
"""qubits up to which lanes are samples, if there are half as many; else they are neighbouring amplitudes"""
WORK = 1 << 20
"""amplitudes times instructions for which a thread of its own is worth its start, of 45 to 85 us and twice a step"""


SIGNS = np.array([[(-1) ** (z & j).bit_count() for j in range(LANES)] for z in range(LANES)])


class Announcing(event.Listener):
    """Says why the first step of an installation takes so long."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"] is kernels.forward:
            words = "compiling the simulator, once per installation; python -m edubba.quantum.warm does it ahead"
            print(f"edubba.quantum: {words}", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", Announcing())
pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pools.clear)


def parts(it: Plan, b: int) -> list[tuple[int, int]]:
    """The samples, shared out to as many threads as torch has, where that pays."""
    unit = LANES if it.rows else 1
    work = b * (len(it.code) + len(it.stages) + 1) << it.bits - (LANE_BITS if it.rows else 0)
    if work < 2 * WORK:
        return [(0, b)] if b else []
    threads = max(1, min(torch.get_num_threads(), -(-b // unit), work // WORK))
    size = -(-b // (unit * threads)) * unit
    return [(i, min(i + size, b)) for i in range(0, b, size)]


def each(work: Callable[..., Any], *items: Iterable[Any]) -> list[Any]:
    """`work` on the number of each item and the item, each in a thread of its own, the first in this one."""
    jobs = list(zip(*items, strict=True))
    if len(jobs) < 2:
        return [work(0, *job) for job in jobs]
    if len(jobs) not in pools:
        pools[len(jobs)] = ThreadPoolExecutor(len(jobs) - 1, thread_name_prefix="edubba-quantum")
    others = [pools[len(jobs)].submit(work, i, *job) for i, job in enumerate(jobs[1:], 1)]
    return [work(0, *jobs[0]), *(other.result() for other in others)]


KEPT = 1 << 26
"""bytes of arrays of a size that are kept for the next time: fresh memory costs more than the arithmetic"""
MOST = 1 << 28
"""bytes of all of them"""
LINE = 64
"""bytes of a cache line"""
spaces: dict[tuple[Any, ...], list[np.ndarray]] = {}


def take(dtype: np.dtype[Any], number: int, *shape: int) -> np.ndarray:
    """An array with anything in it; of the same part as before, in whose processor's cache it may still be."""
    free = spaces.get((dtype, number, shape))
    try:
        return free.pop() if free else aligned(dtype, shape)
    except IndexError:  # another thread was faster
        return aligned(dtype, shape)


def aligned(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """On the border of a cache line: lanes that lie across two are loaded at half the speed."""
    size = math.prod(shape) * dtype.itemsize
    whole = np.empty(size + LINE, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + size].view(dtype).reshape(shape)


def give(number: int, *arrays: np.ndarray) -> None:
    """Arrays that nobody looks at any more."""
    for array in arrays:
        key = array.dtype, number, array.shape
        if key not in spaces and sum(other.nbytes for free in spaces.values() for other in free) > MOST:
            spaces.clear()  # of sizes that may never come again
        free = spaces.setdefault(key, [])
        if (len(free) + 1) * array.nbytes <= KEPT:
            free.append(array)


def room(it: Plan, states: int, angles: int) -> int:
    """Numbers that the kernels need as scratch: so many parts of states, and of something for each angle; eight tiles."""
    small = angles * (len(it.slots) + 1) + 4 * it.bits + it.found
    return (states << it.bits) + LANES * small + 8 * it.widest


SIGNED = {np.dtype(dtype): aligned(np.dtype(dtype), (LANES**2,)) for dtype in (np.float32, np.float64)}
for _signs in SIGNED.values():
    _signs[:] = SIGNS.ravel()


def forward(it: Bound, x: np.ndarray, w: np.ndarray, *, keep: bool) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Expectations (b, k), and of each part what `backward` needs, if it is to be kept; None: an angle is not finite.

    Parameters
    ----------
    x, w
        Values (b, p) of the samples, and (q,) that they share.
    """
    of, dtype = it.plan, x.dtype
    out = np.empty((len(x), of.found), dtype if of.weight is None else np.float64)
    observed = of.strings, of.diagonal, SIGNED[dtype]
    width = (2 << of.bits) + 2 * LANES * (len(of.slots) + 1)

    def work(number: int, samples: tuple[int, int]) -> np.ndarray | None:
        tiles = -(-(samples[1] - samples[0]) // (LANES if of.rows else 1)) if keep else 1
        kept, space = take(dtype, number, tiles, width), take(dtype, number, room(of, 2, 2))
        finite = kernels.forward(of.rows, of.bits, it.code, it.given, x, w, observed, samples, keep, space, kept, out)
        give(number, space)
        if not keep:
            give(number, kept)
        return kept if finite else None

    kept = each(work, parts(of, len(x)))
    if any(part is None for part in kept):
        return None
    return out if of.weight is None else (out @ of.weight.T).astype(dtype), kept


def backward(
    it: Bound, shapes: tuple[tuple[int, int], int], kept: list[np.ndarray], g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of sum(g * E) for x and w of these shapes, with what `forward` kept, which is given back."""
    of, dtype = it.plan, g.dtype
    weight = np.ascontiguousarray(g if of.weight is None else (g @ of.weight).astype(dtype))
    observed = of.strings, of.diagonal, SIGNED[dtype]
    dx = np.zeros(shapes[0], dtype)

    def work(number: int, samples: tuple[int, int], own: np.ndarray) -> np.ndarray:
        dw, space = np.zeros(shapes[1]), take(dtype, number, room(of, 6, 1))
        kernels.backward(of.rows, of.bits, it.code, it.given, observed, samples, it.until, space, own, weight, dx, dw)
        give(number, space, own)
        return dw

    found = each(work, cuts(of, kept, len(dx)), kept)
    return dx, (found[0] if len(found) == 1 else sum(found, np.zeros(shapes[1]))).astype(dtype)


def cuts(it: Plan, kept: list[np.ndarray], b: int) -> list[tuple[int, int]]:
    """The samples of each part, whatever the number of threads is by now."""
    unit, at, out = LANES if it.rows else 1, 0, []
    for part in kept:
        out.append((at, min(at + len(part) * unit, b)))
        at = out[-1][1]
    return out


class Task(NamedTuple):
    """Circuits of one structure and their observables, ready for the kernels."""

    program: Program
    observables: tuple[tuple[Term, ...], ...]
    flip: tuple[bool, ...]
    own: np.ndarray
    linear: Linear | None
    common: int
    exponents: Callable[[Tensor, Tensor], Tensor]
    """of the steps (b, m), from x (b, p) and w (q,), in torch"""
    bounds: dict[bool, Bound | None]
    """by whether lanes are samples"""

    def bound(self, b: int) -> Bound | None:
        rows = self.program.n < LANE_BITS or (self.program.n <= ROWS and 2 * b >= LANES)
        if rows not in self.bounds:
            it = wired(self.program, self.flip, self.observables, rows, self.linear, self.common)
            self.bounds[rows] = None if it is None else bind(it, self.own)
        return self.bounds[rows]


class Expectation(torch.autograd.Function):
    """Expectations by the kernels; derivatives of derivatives run in plain torch."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor, task: Task, it: Bound) -> Tensor:
        ctx.task, ctx.it = task, it
        ctx.save_for_backward(x, w)
        found = forward(it, as_array(x), as_array(w), keep=True)
        if found is None:
            raise NotFinite
        out, ctx.kept = found
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, *given: Tensor):
        (g,) = given
        x, w = ctx.saved_tensors  # which torch refuses where they have changed since
        if torch.is_grad_enabled():  # someone wants the derivative of the derivative
            with torch.enable_grad():
                value = states.expectation(states.run(ctx.task.program, ctx.task.exponents(x, w)), ctx.task.observables)
                wanted = [v for v, needs in zip((x, w), ctx.needs_input_grad, strict=False) if needs]
                found = iter(torch.autograd.grad(value, wanted, g, create_graph=True, materialize_grads=True))
            return *(next(found) if needs else None for needs in ctx.needs_input_grad[:2]), None, None
        if ctx.kept is None:  # a second time
            _, ctx.kept = forward(ctx.it, as_array(x), as_array(w), keep=True) or ((), [])
        kept, ctx.kept = ctx.kept, None
        dx, dw = backward(ctx.it, (x.shape, w.shape[0]), kept, g.numpy())
        return torch.from_numpy(dx), torch.from_numpy(dw), None, None


def as_array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().numpy())


class NotFinite(ValueError):
    """A value, or an expression of values, is not a number."""


def expectation(task: Task, x: Tensor, w: Tensor) -> Tensor | None:
    """Expectations (b, k); None where the kernels cannot do it.

    Raises
    ------
    NotFinite
        An angle is not a number.
    """
    it = task.bound(x.shape[0])
    if it is None:
        return None
    if torch.is_grad_enabled() and (x.requires_grad or w.requires_grad):
        return Expectation.apply(x, w, task, it)
    found = forward(it, as_array(x), as_array(w), keep=False)
    if found is None:
        raise NotFinite
    return torch.from_numpy(found[0])
