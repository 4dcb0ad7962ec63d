"""From programs to the instructions of `kernels`: fused, sorted into stages, bound to the values that they depend on.

Only what expectations can show is kept: global phases, and whatever no observable can see, fall away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from edubba.quantum import kernels
from edubba.quantum.kernels import LANES
from edubba.quantum.programs import Fixed, Linear, Program
from edubba.quantum.states import Term

TILE, WHOLE = 11, 14
"""bits of a tile, which should lie in the nearest cache with its partner on the way back, and bits up to which there are no
tiles: the best of 10 to 14, at 10, 16 and 17 qubits"""
FAR, FARTHER = 17, 2
"""bits beyond which states come from far, and by how many more bits tiles then save ways: best at 20 qubits, no worse at 24"""
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
