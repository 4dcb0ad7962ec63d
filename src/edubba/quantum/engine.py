"""From programs to the instructions of `kernels`: fused, sorted into stages, bound to the values that they depend on.

Only what expectations can show is kept: global phases, and whatever no observable can see, fall away.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.core import event
from torch import Tensor

from edubba.quantum import kernels, states
from edubba.quantum.kernels import LANES
from edubba.quantum.programs import Fixed, Linear, Program
from edubba.quantum.states import Term

ROWS = 10
"""qubits up to which lanes are samples, if there are half as many; else they are neighbouring amplitudes"""
TILE, WHOLE = 11, 14
"""bits of a tile, which should lie in the nearest cache with its partner on the way back, and bits up to which there are no
tiles: the best of 10 to 14, at 10, 16 and 17 qubits"""
FAR, FARTHER = 17, 2
"""bits beyond which states come from far, and by how many more bits tiles then save ways: best at 20 qubits, no worse at 24"""
WORK = 1 << 20
"""amplitudes times instructions for which a thread of its own is worth its start, of 45 to 85 us and twice a step"""
LANE_BITS = LANES.bit_length() - 1


class Node:
    """Rotations that are done together. kind: "turn" on one bit, "phase", "rotate" of one string, "move"."""

    __slots__ = ("bits", "entries", "kind", "moves")

    def __init__(self, kind: str, bits: int, entries: list[Any], moves: list[Any] | None = None) -> None:
        self.kind, self.bits, self.entries, self.moves = kind, bits, entries, moves or []


Slot = dict[int, float]
"""steps and factors whose sum is an angle"""


def rotations(program: Program, i: int) -> list[tuple[int, int, int, float]]:
    """exp(i theta P) that make up step i: (x, z, ys, theta / exponent). They commute."""
    step = program.steps[i]
    controls = [1 << bit for bit in range(program.n) if step.controls >> bit & 1]
    out = []
    share = np.pi / (1 << len(controls))
    for size in range(len(controls) + 1):
        for chosen in combinations(controls, size):
            mask = sum(chosen)
            sign = share * (-1) ** (mask & step.values).bit_count()
            if mask and step.shift != -0.5:
                out.append((0, mask, 0, sign * (step.shift + 0.5)))
            out.append((step.x, step.z ^ mask, step.ys % 4, -sign * step.sign / 2))
    return out


def nodes(program: Program, flip: Sequence[bool]) -> list[Node] | None:
    """Steps, gathered where they commute with what lies between; None: there are constant matrices."""
    out: list[Node] = []
    for i, step in enumerate(program.steps):
        if isinstance(step, Fixed):
            return None
        if flip[i] and step.controls and step.x and not step.z and step.sign == 1 and step.shift == 0:
            _move(out, step)
            continue
        for x, z, ys, factor in rotations(program, i):
            _add(out, x, z, ys, {i: factor})
    return out


def _add(out: list[Node], x: int, z: int, ys: int, slot: Slot) -> None:
    bits = x | z
    single = not bits & (bits - 1)
    for node in reversed(out):
        if single and node.kind == "turn" and node.bits == bits:
            axis = 1 * bool(x) + 2 * bool(z)
            if node.entries[-1][0] == axis:
                _merge(node.entries[-1][1], slot)
            else:
                node.entries.append((axis, slot))
            return
        if not x and node.kind == "phase":
            for mask, own in node.entries:
                if mask == z:
                    _merge(own, slot)
                    return
            if not single or node.bits & bits:
                node.entries.append((z, slot))
                node.bits |= z
                return
            continue
        if node.kind == "rotate" and node.entries[0][0] == (x, z, ys):
            _merge(node.entries[0][1], slot)
            return
        if node.bits & bits:
            break
    if single:
        out.append(Node("turn", bits, [(1 * bool(x) + 2 * bool(z), slot)]))
    elif x:
        out.append(Node("rotate", bits, [((x, z, ys), slot)]))
    else:
        out.append(Node("phase", bits, [(z, slot)]))


def _merge(slot: Slot, more: Slot) -> None:
    for i, factor in more.items():
        slot[i] = slot.get(i, 0.0) + factor


def _move(out: list[Node], step: Any) -> None:
    bits = step.x | step.controls
    for node in reversed(out):
        if node.kind == "move":
            node.moves.append(step)
            node.bits |= bits
            return
        if node.bits & bits:
            break
    out.append(Node("move", bits, [], [step]))


def seen(found: list[Node], strings: Sequence[tuple[int, int]]) -> list[Node]:
    """Without what no string (x, z) can see: what lies outside its light cone, and diagonals before diagonals."""
    cone = stirred = 0
    for x, z in strings:
        cone, stirred = cone | x | z, stirred | x
    out = []
    for node in reversed(found):
        if not node.bits & cone:
            continue
        if node.kind == "turn" and not node.bits & stirred:
            while node.entries and node.entries[-1][0] == 2:
                node.entries.pop()
            if not node.entries:
                continue
        if node.kind == "phase":
            node.entries = [(mask, slot) for mask, slot in node.entries if mask & stirred]
            if not node.entries:
                continue
            node.bits = 0
            for mask, _ in node.entries:
                node.bits |= mask
        cone |= node.bits
        if node.kind != "phase" and (node.kind != "move" or node.bits & stirred):
            stirred |= node.bits
        out.append(node)
    return out[::-1]


def sorted_out(found: list[Node]) -> list[Node]:
    """Z rotations that end a run of others go into a diagonal where several do: the run is then about one axis."""
    out: list[Node] = []
    waiting: list[Node] = []

    def settle(into: Node | None) -> None:
        if into is None and len(waiting) > 2:
            into = Node("phase", 0, [])
            out.append(into)
        if into is not None:
            for node in waiting:
                last = node.entries.pop()
                into.entries.append((node.bits, last[1]))
                into.bits |= node.bits
        waiting.clear()

    for node in found:
        if node.kind == "phase" and waiting:
            known = {mask for mask, _ in node.entries}
            waiting[:] = [own for own in waiting if own.bits not in known]
            settle(node)
        elif any(own.bits & node.bits for own in waiting):
            settle(None)
        out.append(node)
        if node.kind == "turn" and len(node.entries) == 2 and node.entries[-1][0] == 2:
            waiting.append(node)
    settle(None)
    return out


class Plan(NamedTuple):
    """What the kernels need of a program and its observables; `of` (slots, steps) gives angles from exponents."""

    rows: bool
    bits: int
    start: np.ndarray
    stages: np.ndarray
    code: np.ndarray
    entries: np.ndarray
    highs: np.ndarray
    permutations: np.ndarray
    strings: np.ndarray
    diagonal: np.ndarray
    weight: np.ndarray | None
    """(observables, strings); None where each observable is a string"""
    found: int
    """number of strings"""
    slots: tuple[Slot, ...]
    widest: int
    """amplitudes of the largest tile"""


@lru_cache(maxsize=1024)
def plan(
    program: Program, flip: tuple[bool, ...], observables: tuple[tuple[Term, ...], ...], rows: bool
) -> Plan | None:
    """None where a program has steps that the kernels do not know: constant matrices.

    Parameters
    ----------
    flip
        Steps whose exponent is 1 for all samples, whatever the values.
    rows
        Whether lanes are samples.
    """
    found = nodes(program, flip)
    if found is None:
        return None
    place: dict[tuple[int, int, int], int] = {}
    for terms in observables:
        for term in terms:
            place.setdefault((term.x, term.z, term.ys % 4), len(place))
    weight = np.zeros((len(observables), len(place)))
    for k, terms in enumerate(observables):
        for term in terms:
            weight[k, place[term.x, term.z, term.ys % 4]] += term.coefficient
    found = sorted_out(seen(found, [(x, z) for x, z, _ in place]))
    shift = LANE_BITS if rows else 0
    bits = program.n + shift
    slots: list[Slot] = []
    entries: list[tuple[int, int, int]] = []

    def slot(of: Slot) -> int:
        slots.append(of)
        return len(slots) - 1

    start = np.zeros((bits, 2), np.int64)
    touched = 0
    rest = []
    for node in found:
        if node.kind == "turn" and not node.bits & touched:
            at = len(entries)
            entries += [(axis, 0, slot(of)) for axis, of in node.entries]
            start[node.bits.bit_length() - 1 + shift] = at, len(entries)
        else:
            rest.append(node)
        touched |= node.bits
    code: list[tuple[int, ...]] = []
    stages: list[tuple[int, ...]] = []
    highs: list[int] = []
    permutations: dict[tuple[tuple[int, int, int], ...], int] = {}

    def emit(node: Node, local: Callable[[int], int], outer: int) -> None:
        if node.kind == "phase":
            own = sorted((local(mask << shift), mask << shift & outer, slot(of)) for mask, of in node.entries)
            code.append((kernels.PHASE, len(entries), len(entries) + len(own), 0, 0, 0, 0))
            entries.extend(own)
        elif node.kind == "turn" and len(node.entries) > 1:
            bit = local(node.bits << shift).bit_length() - 1
            code.append((kernels.TURN, len(entries), len(entries) + len(node.entries), bit, 0, 0, 0))
            entries.extend((axis, 0, slot(of)) for axis, of in node.entries)
        else:
            key, of = node.entries[0]
            if node.kind == "turn":
                key = (node.bits if key & 1 else 0, node.bits if key & 2 else 0, int(key == 3))
            x, z, ys = key
            if not x:  # a Z rotation that stands alone
                code.append((kernels.PHASE, len(entries), len(entries) + 1, 0, 0, 0, 0))
                entries.append((local(z << shift), z << shift & outer, slot(of)))
                return
            z <<= shift
            code.append((kernels.ROTATE, slot(of), 0, local(x << shift), local(z), z & outer, ys))

    for segment in _segments(rest):
        if segment[0].kind == "move":
            moves = tuple((step.x, step.controls, step.values) for node in segment for step in node.moves)
            number = 2 * permutations.setdefault(moves, len(permutations))
            stages.append((kernels.PERMUTE, number, number + 1, 0, 0, 0, 0))  # the inverse comes next to it
            continue
        for tile, group in _tiles(segment, bits, shift):
            contiguous = 0
            while tile >> contiguous & 1:
                contiguous += 1
            high = [bit for bit in range(contiguous, bits) if tile >> bit & 1]
            outer = [bit for bit in range(bits) if not tile >> bit & 1]
            order = [*range(contiguous), *high]

            def local(mask: int, order: list[int] = order) -> int:
                return sum(1 << j for j, bit in enumerate(order) if mask >> bit & 1)

            first = len(code)
            for node in group:
                emit(node, local, sum(1 << bit for bit in outer))
            at = len(highs)
            highs += [*high, *outer]
            stages.append((kernels.TILE, first, len(code), contiguous, at, at + len(high), len(highs)))
    strings = [(x << shift, z << shift, ys, k) for (x, z, ys), k in place.items() if x]
    diagonal = sorted((z << shift, 0, k) for (x, z, _), k in place.items() if not x)
    return Plan(
        rows, bits, start, np.array(stages, np.int64).reshape(-1, 7), np.array(code, np.int64).reshape(-1, 7),
        np.array(entries, np.int64).reshape(-1, 3), np.array(highs, np.int64),
        np.array(
            [_permutation(way, program.n) for moves in permutations for way in (moves, moves[::-1])], np.uint32
        ).reshape(-1, 1 << program.n),
        np.array(strings, np.int64).reshape(-1, 4), np.array(diagonal, np.int64).reshape(-1, 3),
        None if np.array_equal(weight, np.eye(len(weight))) else weight, len(place), tuple(slots),
        max([LANES, *(1 << row + outer - high for kind, _, _, row, high, outer, _ in stages if kind == kernels.TILE)]),
    )  # fmt: skip


def _segments(found: list[Node]) -> list[list[Node]]:
    """Runs of permutations, and of all else."""
    out: list[list[Node]] = []
    for node in found:
        if out and (out[-1][0].kind == "move") == (node.kind == "move"):
            out[-1].append(node)
        else:
            out.append([node])
    return out


def _permutation(moves: Sequence[tuple[int, int, int]], n: int) -> np.ndarray:
    """out[k] = in[index[k]] does all moves (x, controls, values), one after the other."""
    if all(not controls & (controls - 1) for _, controls, _ in moves):  # then it is k -> M k + c over GF(2)

        def image(k: int) -> int:
            for x, controls, values in reversed(moves):
                k ^= x if k & controls == values else 0
            return k

        first = image(0)
        out = np.array([first])
        for bit in range(n):
            out = np.concatenate([out, out ^ (image(1 << bit) ^ first)])
        return out
    index = np.arange(1 << n)
    out = index
    for x, controls, values in moves:
        out = out[np.where((index & controls) == values, index ^ x, index)]
    return out


def _mixed(node: Node) -> int:
    """Bits whose neighbours must be at hand."""
    if node.kind == "phase" or (node.kind == "turn" and all(axis == 2 for axis, _ in node.entries)):
        return 0
    return node.bits if node.kind == "turn" else node.entries[0][0][0]


def _tiles(segment: list[Node], bits: int, shift: int) -> list[tuple[int, list[Node]]]:
    """Tiles, masks of bits, and what is done on each: as much as possible before the next."""
    room = max(min(bits, TILE + (FARTHER if bits > FAR else 0)), LANE_BITS)
    low = (1 << room) - 1
    if bits <= max(room, WHOLE):
        return [((1 << bits) - 1, segment)]
    out, left = [], segment
    while left:
        best: tuple[int, list[Node], list[Node]] | None = None
        for grown in (False, True):
            tile = LANES - 1 if grown else low
            taken: list[Node] = []
            skipped: list[Node] = []
            for node in left:
                need = _mixed(node) << shift
                fits = (tile | need).bit_count() <= room or not taken  # the first always goes, however wide it is
                wide = tile | need if grown and fits else tile
                if need & ~wide or any(not _commute(node, other) for other in skipped):
                    skipped.append(node)
                else:
                    tile = wide
                    taken.append(node)
            for bit in range(bits):
                if tile.bit_count() < room:
                    tile |= 1 << bit
            if best is None or len(taken) > len(best[1]):
                best = tile, taken, skipped
        assert best is not None
        assert best[1]
        out.append(best[:2])
        left = best[2]
    return out


def _commute(a: Node, b: Node) -> bool:
    return not a.bits & b.bits or (a.kind == b.kind == "phase")


@dataclass(frozen=True, eq=False)
class Wiring:
    """A plan, and how its angles come about: sums of constants and of columns of values."""

    plan: Plan
    of: np.ndarray
    """(slots, steps) to angles from exponents"""
    pointer: np.ndarray
    """of each slot, to columns of the values and to factors"""
    column: np.ndarray
    factor: np.ndarray
    alike: np.ndarray
    """slots in which values do not tell samples apart"""
    wanted: np.ndarray
    """instructions that depend on values"""
    until: int
    """stages before this one do not; -1: the first rotations do"""


@lru_cache(maxsize=1024)
def wired(
    program: Program, flip: tuple[bool, ...], observables: tuple[tuple[Term, ...], ...], rows: bool,
    linear: Linear | None,
    common: int,
) -> Wiring | None:  # fmt: skip
    """None as in `plan`. Values are exponents where `linear` is None; samples share the last `common` of them."""
    it = plan(program, flip, observables, rows)
    if it is None:
        return None
    of = np.zeros((len(it.slots), len(program.steps)))
    for i, slot in enumerate(it.slots):
        for step, factor in slot.items():
            of[i, step] = factor
    factors = of if linear is None else of @ linear.weight.numpy().T
    moved = factors != 0
    pointer = np.concatenate([[0], np.cumsum(moved.sum(1))]).astype(np.int64)
    free = moved.any(1)
    wanted = np.array(
        [free[it.entries[a:b, 2]].any() if kind != kernels.ROTATE else free[a] for kind, a, b, *_ in it.code], np.bool_
    )
    stages = [i for i, row in enumerate(it.stages) if row[0] == kernels.TILE and wanted[row[1] : row[2]].any()]
    until = stages[0] if stages else len(it.stages)
    if any(free[it.entries[a:b, 2]].any() for a, b in it.start):
        until = -1
    alike = ~moved[:, : factors.shape[1] - common].any(1)
    return Wiring(it, of, pointer, np.nonzero(moved)[1].astype(np.int64), factors[moved], alike, wanted, until)


class Bound(NamedTuple):
    """A wiring with the constants of its circuits."""

    plan: Plan
    code: tuple[np.ndarray, ...]
    given: tuple[np.ndarray, ...]
    """constants (1 or b, slots), pointer, column, factor, slots in which samples do not differ"""
    until: int


def bind(it: Wiring, own: np.ndarray) -> Bound:
    """To what is added to the exponents, (1 or b, steps)."""
    constant = np.ascontiguousarray(own @ it.of.T)
    shared = it.alike & (constant == constant[:1]).all(0) if len(constant) > 1 else it.alike
    of = it.plan
    code = of.start, of.stages, of.code, of.entries, of.highs, it.wanted, of.permutations
    return Bound(of, code, (constant, it.pointer, it.column, it.factor, shared), it.until)


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
