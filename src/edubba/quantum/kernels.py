"""Loops over states, compiled once per installation: they interpret instructions and know no circuit.

Real and imaginary parts lie apart, and all arithmetic is on `LANES` neighbours at a time. These are either so many
samples of one amplitude, or so many amplitudes of one sample: then the lowest bits of an index are lanes. Instructions
are rotations exp(i theta P) of Pauli strings P, runs of rotations on one bit, diagonals, and permutations. They come in
stages: a tile of the state that fits into the nearest cache goes through all instructions of a stage before the next
one is fetched. Backwards, each instruction is undone on the state and on the observables' state together, and
Im <lambda|P|psi> is gathered on the way, which is all that its derivative needs.
"""

from typing import Any, no_type_check

import numba
import numpy as np

from edubba.quantum.diagonals import divide, fold, multiply, outer_phase, overlap, phases, unfold
from edubba.quantum.lanes import LANES, NONE, WIDE, compiled, either, load, odd, picked, splat, store, total
from edubba.quantum.rotations import (
    exchanged,
    paired,
    rotate,
    rotate_lanes,
    rotate_two,
    spread,
    turn,
    turning,
    unrotate,
    unrotate_lanes,
    unrotate_two,
    unturn,
)  # fmt: skip

BUILT_ON = "2e6552620c3dc7c6"
"""of the files of the other loops: numba compiles anew where this file has changed, and looks at no other; a test says what it
must be"""
ROTATE, TURN, PHASE = 0, 1, 2
"""kinds of instructions: a rotation of a Pauli string, several on one bit, a diagonal"""
TILE, PERMUTE = 0, 1
"""kinds of stages"""
entrance: Any = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
"""of what Python calls: its compiled code, with all that it calls, is kept on disk"""
careful: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy")
"""fast arithmetic takes for granted that numbers are finite, so it cannot ask"""


@compiled
@no_type_check
def gather(re, im, index, rows, out_re, out_im):
    """out[k] = in[index[k]], of rows of lanes or of single amplitudes."""
    if rows:
        for k in range(len(index)):
            p, o = k * LANES, np.intp(index[k]) * LANES
            store(out_re, p, load(re, o))
            store(out_im, p, load(im, o))
    else:
        for k in range(0, len(index), LANES):
            store(out_re, k, picked(re, index, k))
            store(out_im, k, picked(im, index, k))


@compiled
@no_type_check
def deposit(number, bits, first, last):
    """The bits of a number at other places."""
    out = 0
    for j in range(first, last):
        out |= (number >> (j - first) & 1) << bits[j]
    return out


@compiled
@no_type_check
def fetch(array, tile, base, row, offsets):
    """A tile's rows from the state."""
    for r in range(len(offsets)):
        o = base | offsets[r]
        for p in range(0, row, LANES):
            store(tile, r * row + p, load(array, o + p))


@compiled
@no_type_check
def put(array, tile, base, row, offsets):
    """And back."""
    for r in range(len(offsets)):
        o = base | offsets[r]
        for p in range(0, row, LANES):
            store(array, o + p, load(tile, r * row + p))


@compiled
@no_type_check
def separable(code, first, last, entries):
    """Whether there is one diagonal, which differs from tile to tile by a number alone."""
    many = 0
    for i in range(first, last):
        if code[i, 0] == PHASE:
            many += 1
            for e in range(code[i, 1], code[i, 2]):
                if entries[e, 0] and entries[e, 1]:
                    return False
    return many == 1


@compiled
@no_type_check
def together(code, i, last):
    """Whether instructions i and i + 1 go in one pass."""
    return i + 1 < last and code[i, 0] == code[i + 1, 0] == ROTATE and paired(code[i, 3], code[i + 1, 3])[0] > 0


@compiled
@no_type_check
def apply(re, im, table, base, same, code, first, last, entries, cos, sin, signs):
    """Instructions on a tile; table (4, size) is scratch. same: see `separable`; the first tile has base 0, and then fills the table."""
    size = len(re)
    tre, tim = table[0, :size], table[1, :size]
    i = first
    while i < last:
        kind, a, b, x, z, outer, ys = code[i]
        if kind == ROTATE:
            c, s = load(cos, a * LANES), load(sin, a * LANES)
            s = either(odd(base & outer), -s, s)
            if x < LANES:
                rotate_lanes(re, im, x, z, ys, c, s, signs)
            elif together(code, i, last):
                i += 1
                _, d, _, other_x, other_z, other_outer, other_ys = code[i]
                high, low = paired(x, other_x)
                e, t = load(cos, d * LANES), load(sin, d * LANES)
                t = either(odd(base & other_outer), -t, t)
                rotate_two(re, im, high, low, x, z, ys, c, s, other_x, other_z, other_ys, e, t, signs)
            else:
                rotate(re, im, x, z, ys, c, s, signs)
        elif kind == TURN:
            ar, ai, br, bi = turning(entries, a, b, cos, sin)
            turn(re, im, x, ar, ai, br, bi, signs)
        else:
            if not same or base == 0:
                phases(tre, tim, size, entries, a, b, base, cos, sin, signs, table[2], table[3])
            kr, ki = outer_phase(entries, a, b if same else a, base, cos, sin)
            multiply(re, im, tre, tim, kr, ki)
        i += 1


@compiled
@no_type_check
def undo(re, im, lre, lim, table, base, same, code, first, last, entries, cos, sin, signs, wanted, gradient):
    """Instructions undone on both tiles; adds Im <lambda|P|psi> to the gradient of each slot."""
    size = len(re)
    tre, tim = table[0, :size], table[1, :size]
    i = last - 1
    while i >= first:
        kind, a, b, x, z, outer, ys = code[i]
        if kind == ROTATE:
            at, minus = a * LANES, odd(base & outer)
            c, s = load(cos, at), load(sin, at)
            s = either(minus, -s, s)
            if x < LANES:
                g = unrotate_lanes(re, im, lre, lim, x, z, ys, c, s, signs)
            elif i > first and together(code, i - 1, last):
                i -= 1
                _, d, _, other_x, other_z, other_outer, other_ys = code[i]
                high, low = paired(other_x, x)
                to, other_minus = d * LANES, odd(base & other_outer)
                e, t = load(cos, to), load(sin, to)
                t = either(other_minus, -t, t)
                h, g = unrotate_two(
                    re, im, lre, lim, high, low, other_x, other_z, other_ys, e, t, x, z, ys, c, s, signs
                )
                store(gradient, to, load(gradient, to) + either(other_minus, -h, h))
            else:
                g = unrotate(re, im, lre, lim, x, z, ys, c, s, signs)
            store(gradient, at, load(gradient, at) + either(minus, -g, g))
        elif kind == TURN:
            ar, ai, br, bi = turning(entries, a, b, cos, sin)
            if wanted[i]:
                gx, gy, gz = unturn(re, im, lre, lim, x, ar, ai, br, bi, signs)
                spread(entries, a, b, cos, sin, gx, gy, gz, gradient)
            else:
                turn(re, im, x, ar, -ai, -br, -bi, signs)
                turn(lre, lim, x, ar, -ai, -br, -bi, signs)
        else:
            if wanted[i]:
                overlap(re, im, lre, lim, table[2])
                fold(table[2], size, entries, a, b, base, signs, gradient, table[3])
            if not same or base == 0:
                phases(tre, tim, size, entries, a, b, base, cos, sin, signs, table[2], table[3])
            kr, ki = outer_phase(entries, a, b if same else a, base, cos, sin)
            divide(re, im, lre, lim, tre, tim, kr, ki)
        i -= 1


@compiled
@no_type_check
def begin(re, im, bits, rows, start, entries, cos, sin, first):
    """The product state of the first rotations on each bit; first (bits, 4, LANES) gets U|0> of each."""
    for q in range(bits):
        ar, ai, br, bi = turning(entries, start[q, 0], start[q, 1], cos, sin)
        at = 4 * LANES * q
        store(first, at, ar)
        store(first, at + LANES, ai)
        store(first, at + 2 * LANES, -br)
        store(first, at + 3 * LANES, bi)
    re[0:LANES] = 1
    im[0:LANES] = 0
    if not rows:
        for j in range(LANES):
            r, i = re.dtype.type(1), re.dtype.type(0)
            for q in range(4):
                at = 4 * LANES * q + 2 * LANES * (j >> q & 1)
                r, i = r * first[at] - i * first[at + LANES], r * first[at + LANES] + i * first[at]
            re[j], im[j] = r, i
    size = WIDE
    for q in range(4, bits):
        at = 4 * LANES * q
        ar, ai, br, bi = (
            load(first, at),
            load(first, at + LANES),
            load(first, at + 2 * LANES),
            load(first, at + 3 * LANES),
        )
        for p in range(0, size, LANES):
            xr, xi = load(re, p), load(im, p)
            store(re, p, ar * xr - ai * xi)
            store(im, p, ar * xi + ai * xr)
            store(re, p + size, br * xr - bi * xi)
            store(im, p + size, br * xi + bi * xr)
        size *= 2


@compiled
@no_type_check
def begin_gradient(lre, lim, tre, tim, bits, rows, start, entries, cos, sin, first, gradient):
    """Adds the gradients of the first rotations; lambda is contracted bit by bit and used up.

    tre, tim get at [2**q, 2**(q + 1)) the product state of the bits below q.
    """
    one = splat(cos.dtype.type(1))
    size = WIDE
    if rows:
        store(tre, size, one)
        store(tim, size, one - one)
    elif bits > 4:
        for j in range(LANES):
            r, i = tre.dtype.type(1), tre.dtype.type(0)
            for q in range(4):
                at = 4 * LANES * q + 2 * LANES * (j >> q & 1)
                r, i = r * first[at] - i * first[at + LANES], r * first[at + LANES] + i * first[at]
            tre[size + j], tim[size + j] = r, i
    for q in range(4, bits - 1):
        at = 4 * LANES * q
        ar, ai, br, bi = (
            load(first, at),
            load(first, at + LANES),
            load(first, at + 2 * LANES),
            load(first, at + 3 * LANES),
        )
        for p in range(0, size, LANES):
            xr, xi = load(tre, size + p), load(tim, size + p)
            store(tre, 2 * size + p, ar * xr - ai * xi)
            store(tim, 2 * size + p, ar * xi + ai * xr)
            store(tre, 3 * size + p, br * xr - bi * xi)
            store(tim, 3 * size + p, br * xi + bi * xr)
        size *= 2
    for q in range(bits - 1, 3, -1):
        at = 4 * LANES * q
        ar, ai, br, bi = (
            load(first, at),
            load(first, at + LANES),
            load(first, at + 2 * LANES),
            load(first, at + 3 * LANES),
        )
        ur, ui, vr, vi = one - one, one - one, one - one, one - one
        for p in range(0, size, LANES):
            xr, xi, yr, yi = load(lre, p), load(lim, p), load(lre, p + size), load(lim, p + size)
            tr, ti = load(tre, size + p), load(tim, size + p)
            ur, ui = ur + (tr * xr + ti * xi), ui + (tr * xi - ti * xr)
            vr, vi = vr + (tr * yr + ti * yi), vi + (tr * yi - ti * yr)
            store(lre, p, ar * xr + ai * xi + br * yr + bi * yi)
            store(lim, p, ar * xi - ai * xr + br * yi - bi * yr)
        gx = (ur * bi - ui * br) + (vr * ai - vi * ar)
        gy = (vr * ar + vi * ai) - (ur * br + ui * bi)
        gz = (ur * ai - ui * ar) - (vr * bi - vi * br)
        spread(entries, start[q, 0], start[q, 1], cos, sin, gx, gy, gz, gradient)
        size >>= 1
    if rows:
        return
    for q in range(4):  # what is left is one amplitude in each lane, contracted with all but one of four bits
        at = 4 * LANES * q
        u = np.zeros(4, lre.dtype)
        for j in range(LANES):
            r, i = lre[j], lim[j]
            for other in range(4):
                if other != q:
                    o = 4 * LANES * other + 2 * LANES * (j >> other & 1)
                    r, i = r * first[o] + i * first[o + LANES], i * first[o] - r * first[o + LANES]
            u[2 * (j >> q & 1)] += r
            u[2 * (j >> q & 1) + 1] += i
        ar, ai, br, bi = first[at], first[at + LANES], first[at + 2 * LANES], first[at + 3 * LANES]
        each = lre.dtype.type(1) / lre.dtype.type(LANES)
        gx = (u[0] * bi - u[1] * br) + (u[2] * ai - u[3] * ar)
        gy = (u[2] * ar + u[3] * ai) - (u[0] * br + u[1] * bi)
        gz = (u[0] * ai - u[1] * ar) - (u[2] * bi - u[3] * br)
        spread(
            entries, start[q, 0], start[q, 1], cos, sin, splat(gx * each), splat(gy * each), splat(gz * each), gradient
        )


@careful
@no_type_check
def angles(given, x, w, first, count, rows, again, cos, sin):
    """Cosines and sines of samples from `first` on; False where an angle is not finite.

    given: constants (1 or b, slots); of each slot its pointer to columns and factors; slots in which samples do not
    differ, which are left alone if `again`. Columns are those of x (b, p), then those of w.
    """
    constant, pointer, column, factor, shared = given
    for slot in range(len(pointer) - 1):
        same = shared[slot]
        if same and again:
            continue
        c, s = cos.dtype.type(0), cos.dtype.type(0)
        for j in range(LANES):
            if j < (1 if same else count):
                sample = first + j
                theta = constant[sample if len(constant) > 1 else 0, slot]
                for i in range(pointer[slot], pointer[slot + 1]):
                    k = column[i]
                    theta += factor[i] * (x[sample, k] if k < x.shape[1] else w[k - x.shape[1]])
                if not np.isfinite(theta):
                    return False
                c, s = cos.dtype.type(np.cos(theta)), cos.dtype.type(np.sin(theta))
            cos[slot * LANES + j], sin[slot * LANES + j] = c, s
    return True


@compiled
@no_type_check
def run_stage(stage, re, im, tile, table, plan, cos, sin, signs):
    """All tiles of a stage; tile and table (4, size) are scratch."""
    _, _, code, entries, bits, _, _ = plan
    _, first, last, contiguous, high, outer, end = stage
    size, row = 1 << (contiguous + outer - high), 1 << contiguous
    offsets = np.empty(1 << (outer - high), np.int64)
    for r in range(len(offsets)):
        offsets[r] = deposit(r, bits, high, outer)
    same = separable(code, first, last, entries)
    for o in range(1 << (end - outer)):
        base = deposit(o, bits, outer, end)
        if high == outer:
            to = base + size
            apply(re[base:to], im[base:to], table, base, same, code, first, last, entries, cos, sin, signs)
        else:
            own_re, own_im = tile[0, :size], tile[1, :size]
            fetch(re, own_re, base, row, offsets)
            fetch(im, own_im, base, row, offsets)
            apply(own_re, own_im, table, base, same, code, first, last, entries, cos, sin, signs)
            put(re, own_re, base, row, offsets)
            put(im, own_im, base, row, offsets)


@compiled
@no_type_check
def undo_stage(stage, re, im, lre, lim, tile, table, plan, cos, sin, signs, gradient):
    """All tiles of a stage backwards."""
    _, _, code, entries, bits, wanted, _ = plan
    _, first, last, contiguous, high, outer, end = stage
    size, row = 1 << (contiguous + outer - high), 1 << contiguous
    offsets = np.empty(1 << (outer - high), np.int64)
    for r in range(len(offsets)):
        offsets[r] = deposit(r, bits, high, outer)
    same = separable(code, first, last, entries)
    for o in range(1 << (end - outer)):
        base = deposit(o, bits, outer, end)
        if high == outer:
            to = base + size
            undo(
                re[base:to], im[base:to], lre[base:to], lim[base:to], table, base, same, code, first, last, entries, cos, sin,
                signs, wanted, gradient,
            )  # fmt: skip
        else:
            own_re, own_im, own_lre, own_lim = tile[0, :size], tile[1, :size], tile[2, :size], tile[3, :size]
            fetch(re, own_re, base, row, offsets)
            fetch(im, own_im, base, row, offsets)
            fetch(lre, own_lre, base, row, offsets)
            fetch(lim, own_lim, base, row, offsets)
            undo(
                own_re, own_im, own_lre, own_lim, table, base, same, code, first, last, entries, cos, sin, signs, wanted, gradient
            )  # fmt: skip
            put(re, own_re, base, row, offsets)
            put(im, own_im, base, row, offsets)
            put(lre, own_lre, base, row, offsets)
            put(lim, own_lim, base, row, offsets)


@compiled
@no_type_check
def expect(re, im, w, spare, strings, diagonal, signs, out):
    """<P> of each string, in lanes. strings: rows (x, z, ys, slot), diagonal ones as entries, see `phases`."""
    if len(diagonal):
        for p in range(0, len(re), LANES):
            r, i = load(re, p), load(im, p)
            store(w, p, r * r + i * i)
        fold(w, len(w), diagonal, NONE, len(diagonal), NONE, signs, out, spare)
    for e in range(len(strings)):
        x, z, ys, slot = strings[e]
        low, high, zh = x & 15, x & -16, z & -16
        plus = load(signs, (z & 15) * LANES)
        plus = either(ys & 2, -plus, plus)
        minus = -plus
        found = plus - plus
        for p in range(0, len(re), LANES):
            o = p ^ high
            yr, yi, ur, ui = exchanged(load(re, o), low), exchanged(load(im, o), low), load(re, p), load(im, p)
            sign = either(odd(p & zh), minus, plus)
            found = found + sign * (ur * yi - ui * yr) if ys & 1 else found + sign * (ur * yr + ui * yi)
        store(out, slot * LANES, load(out, slot * LANES) + found)


@compiled
@no_type_check
def observe(re, im, w, strings, diagonal, weight, signs, lre, lim):
    """lambda = sum of weight P psi; weight in lanes."""
    unfold(w, diagonal, NONE, len(diagonal), weight, signs)
    for p in range(0, len(re), LANES):
        d = load(w, p)
        store(lre, p, d * load(re, p))
        store(lim, p, d * load(im, p))
    for e in range(len(strings)):
        x, z, ys, slot = strings[e]
        low, high, zh = x & 15, x & -16, z & -16
        plus = load(signs, (z & 15) * LANES) * load(weight, slot * LANES)
        plus = either(ys & 2, -plus, plus)
        minus = -plus
        for p in range(0, len(re), LANES):
            o = p ^ high
            yr, yi = exchanged(load(re, o), low), exchanged(load(im, o), low)
            sign = either(odd(p & zh), minus, plus)
            if ys & 1:
                store(lre, p, load(lre, p) + sign * yi)
                store(lim, p, load(lim, p) - sign * yr)
            else:
                store(lre, p, load(lre, p) + sign * yr)
                store(lim, p, load(lim, p) + sign * yi)


@compiled
@no_type_check
def cut(space, at, size):
    """A piece of the scratch, and where the next one begins."""
    return space[at : at + size], at + size


@entrance
@no_type_check
def forward(rows, bits, plan, given, x, w, observed, samples, keep, space, kept, out):
    """Expectations out (b, strings) of the samples (first, last); False: an angle is not finite.

    rows: whether lanes are samples. plan: see `plans.Plan`. observed: strings, diagonal ones, signs. space: scratch, see
    `engine.room`. kept (tiles, -): final states, cosines and sines of the angles; one tile only where they are not kept.
    """
    start, stages, _, entries, _, _, permutations = plan
    strings, diagonal, signs = observed
    slots, many, size = len(given[1]) - 1, out.shape[1], 1 << bits
    spare_re, spare_im = space[:size], space[size : 2 * size]
    wide = (slots + 1) * LANES
    cos, at = cut(space, 2 * size, wide)
    sin, at = cut(space, at, wide)
    first_state, at = cut(space, at, bits * 4 * LANES)
    found, at = cut(space, at, many * LANES)
    scratch = space[at:].reshape(8, -1)
    tile, table = scratch[:4], scratch[4:]
    store(cos, slots * LANES, splat(space.dtype.type(1)))
    store(sin, slots * LANES, splat(space.dtype.type(0)))
    moves = 0
    for i in range(len(stages)):
        moves += stages[i, 0] == PERMUTE
    step = LANES if rows else 1
    number = 0
    for sample in range(samples[0], samples[1], step):
        count = min(step, samples[1] - sample)
        if not angles(given, x, w, sample, count, rows, number > 0, cos, sin):
            return False
        own = kept[number if keep else 0]
        if keep:
            for p in range(0, wide, LANES):
                store(own, 2 * size + p, load(cos, p))
                store(own, 2 * size + wide + p, load(sin, p))
        re, im, to_re, to_im = own[:size], own[size : 2 * size], spare_re, spare_im
        if moves & 1:
            re, im, to_re, to_im = to_re, to_im, re, im
        begin(re, im, bits, rows, start, entries, cos, sin, first_state)
        for i in range(len(stages)):
            if stages[i, 0] == TILE:
                run_stage(stages[i], re, im, tile, table, plan, cos, sin, signs)
            else:
                gather(re, im, permutations[stages[i, 1]], rows, to_re, to_im)
                re, im, to_re, to_im = to_re, to_im, re, im
        found[:] = 0
        expect(re, im, to_re, to_im, strings, diagonal, signs, found)
        for k in range(many):
            if rows:
                for j in range(count):
                    out[sample + j, k] = found[k * LANES + j]
            else:
                out[sample, k] = total(load(found, k * LANES))
        number += 1  # noqa: SIM113 - numba
    return True


@entrance
@no_type_check
def backward(rows, bits, plan, given, observed, samples, until, space, kept, weight, dx, dw):
    """Adds the gradients of sum(weight * <P>), weight (b, strings), to dx (b, p) and dw.

    As in `forward`. until: stages before this one have no parameters; -1: the first rotations have.
    """
    start, stages, _, entries, _, _, permutations = plan
    strings, diagonal, signs = observed
    slots, many, size = len(given[1]) - 1, weight.shape[1], 1 << bits
    wide = (slots + 1) * LANES
    gradient, at = cut(space, 6 * size, wide)
    first_state, at = cut(space, at, bits * 4 * LANES)
    lanes, at = cut(space, at, many * LANES)
    scratch = space[at:].reshape(8, -1)
    tile, table = scratch[:4], scratch[4:]
    step = LANES if rows else 1
    _, pointer, column, factor, _ = given
    number = 0
    for sample in range(samples[0], samples[1], step):
        count = min(step, samples[1] - sample)
        re, im, lre, lim = space[:size], space[size : 2 * size], space[2 * size : 3 * size], space[3 * size : 4 * size]
        spare_re, spare_im = space[4 * size : 5 * size], space[5 * size : 6 * size]
        own = kept[number]
        cos, sin = own[2 * size : 2 * size + wide], own[2 * size + wide :]
        for p in range(0, size, LANES):
            store(re, p, load(own, p))
            store(im, p, load(own, size + p))
        for k in range(many):
            for j in range(LANES):
                lanes[k * LANES + j] = weight[sample + (min(j, count - 1) if rows else 0), k]
        observe(re, im, spare_re, strings, diagonal, lanes, signs, lre, lim)
        gradient[:] = 0
        for i in range(len(stages) - 1, max(until, 0) - 1, -1):
            if stages[i, 0] == TILE:
                undo_stage(stages[i], re, im, lre, lim, tile, table, plan, cos, sin, signs, gradient)
            else:
                inverse = permutations[stages[i, 2]]
                gather(re, im, inverse, rows, spare_re, spare_im)
                re, im, spare_re, spare_im = spare_re, spare_im, re, im
                gather(lre, lim, inverse, rows, spare_re, spare_im)
                lre, lim, spare_re, spare_im = spare_re, spare_im, lre, lim
        if until < 0:
            begin(re, im, bits, rows, start, entries, cos, sin, first_state)
            begin_gradient(lre, lim, re, im, bits, rows, start, entries, cos, sin, first_state, gradient)
        for slot in range(slots):
            for i in range(pointer[slot], pointer[slot + 1]):
                k, by = column[i], -2 * factor[i]
                mine = k < dx.shape[1]
                whole = 0.0
                for j in range(LANES):
                    g = by * gradient[slot * LANES + j]
                    if rows and mine and j < count:
                        dx[sample + j, k] += dx.dtype.type(g)
                    elif not rows or (not mine and j < count):
                        whole += g
                if not mine:
                    dw[k - dx.shape[1]] += whole
                elif not rows:
                    dx[sample, k] += dx.dtype.type(whole)
        number += 1  # noqa: SIM113 - numba
