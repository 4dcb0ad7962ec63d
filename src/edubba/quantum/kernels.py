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

from edubba.quantum.lanes import LANES, either, load, odd, splat, store, swapped, total

BUILT_ON = "a3534ced145aef59"
"""of lanes.py: numba compiles anew where this file has changed, and looks at no other; a test says what it must be"""
WIDE, NONE = np.int64(LANES), np.int64(0)
"""as numbers of any size: for each literal that a function is called with it would be compiled once more"""
ROTATE, TURN, PHASE = 0, 1, 2
"""kinds of instructions: a rotation of a Pauli string, several on one bit, a diagonal"""
TILE, PERMUTE = 0, 1
"""kinds of stages"""
compiled: Any = numba.njit(nogil=True, fastmath=True, error_model="numpy")
entrance: Any = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
"""of what Python calls: its compiled code, with all that it calls, is kept on disk"""
MANY = 2
"""strings of a diagonal with the same highest bit, beyond which they are folded together"""
careful: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy")
"""fast arithmetic takes for granted that numbers are finite, so it cannot ask"""


@compiled
@no_type_check
def exchanged(lanes, mask):
    """out[j] = lanes[j ^ mask]."""
    if mask & 1:
        lanes = swapped(lanes, 1)
    if mask & 2:
        lanes = swapped(lanes, 2)
    if mask & 4:
        lanes = swapped(lanes, 4)
    if mask & 8:
        lanes = swapped(lanes, 8)
    return lanes


@compiled
@no_type_check
def rotate(re, im, x, z, ys, c, s, signs):
    """exp(i theta P), P[k, k ^ x] = (-i)**ys (-1)**odd(k & z), x != 0; c and s are cos and sin theta."""
    low, high, zh = x & 15, x & -16, z & -16
    s = s * load(signs, (z & 15) * LANES)
    s = either(ys & 2, -s, s)
    minus = -s
    if high == 0:
        for p in range(0, len(re), LANES):
            w = either(odd(p & zh), minus, s)
            xr, xi = load(re, p), load(im, p)
            yr, yi = exchanged(xr, low), exchanged(xi, low)
            if ys & 1:
                store(re, p, c * xr + w * yr)
                store(im, p, c * xi + w * yi)
            else:
                store(re, p, c * xr - w * yi)
                store(im, p, c * xi + w * yr)
        return
    top = LANES
    while top << 1 <= high:
        top <<= 1
    both = odd(high & zh)
    for start in range(0, len(re), 2 * top):
        for p in range(start, start + top, LANES):
            o, e = p ^ high, odd(p & zh)
            w, v = either(e, minus, s), either(e ^ both, minus, s)
            xr, xi, yr, yi = load(re, p), load(im, p), load(re, o), load(im, o)
            if low:
                tr, ti, ur, ui = exchanged(xr, low), exchanged(xi, low), exchanged(yr, low), exchanged(yi, low)
            else:
                tr, ti, ur, ui = xr, xi, yr, yi
            if ys & 1:
                store(re, p, c * xr + w * ur)
                store(im, p, c * xi + w * ui)
                store(re, o, c * yr + v * tr)
                store(im, o, c * yi + v * ti)
            else:
                store(re, p, c * xr - w * ui)
                store(im, p, c * xi + w * ur)
                store(re, o, c * yr - v * ti)
                store(im, o, c * yi + v * tr)


@compiled
@no_type_check
def rotation_gradient(re, im, lre, lim, x, z, ys, signs):
    """Im <lambda|P|psi> in lanes."""
    low, high, zh = x & 15, x & -16, z & -16
    plus = load(signs, (z & 15) * LANES)
    plus = either((ys ^ (ys >> 1)) & 1, -plus, plus)
    minus = -plus
    g = plus - plus
    for p in range(0, len(re), LANES):
        o = p ^ high
        yr, yi, ur, ui = exchanged(load(re, o), low), exchanged(load(im, o), low), load(lre, p), load(lim, p)
        w = either(odd(p & zh), minus, plus)
        g = g + w * (ur * yr + ui * yi) if ys & 1 else g + w * (ur * yi - ui * yr)
    return g


@compiled
@no_type_check
def turning(entries, first, last, cos, sin):
    """(a, b) of the product [[a, b], [-b*, a*]] of exp(i theta P), the first on the right; in lanes, real and imaginary.

    entries: rows (axis, -, slot), axis 1 X, 2 Z, 3 Y.
    """
    ar = load(cos, 0)
    ar = ar - ar
    ai, br, bi = ar, ar, ar
    ar = ar + splat(cos.dtype.type(1))
    for e in range(first, last):
        axis, at = entries[e, 0], entries[e, 2] * LANES
        c, s = load(cos, at), load(sin, at)
        if axis == 1:
            ar, ai, br, bi = c * ar - s * bi, c * ai - s * br, c * br + s * ai, c * bi + s * ar
        elif axis == 2:
            ar, ai, br, bi = c * ar - s * ai, c * ai + s * ar, c * br - s * bi, c * bi + s * br
        else:
            ar, ai, br, bi = c * ar - s * br, c * ai + s * bi, c * br + s * ar, c * bi - s * ai
    return ar, ai, br, bi


@compiled
@no_type_check
def turn(re, im, bit, ar, ai, br, bi, signs):
    """[[a, b], [-b*, a*]] on a bit."""
    if bit < 4:
        sign = load(signs, (1 << bit) * LANES)
        ai, br, one = ai * sign, br * sign, 1 << bit
        for p in range(0, len(re), LANES):
            xr, xi = load(re, p), load(im, p)
            yr, yi = exchanged(xr, one), exchanged(xi, one)
            store(re, p, ar * xr - ai * xi + br * yr - bi * yi)
            store(im, p, ar * xi + ai * xr + br * yi + bi * yr)
        return
    half = 1 << bit
    for start in range(0, len(re), 2 * half):
        for p in range(start, start + half, LANES):
            o = p + half
            xr, xi, yr, yi = load(re, p), load(im, p), load(re, o), load(im, o)
            store(re, p, ar * xr - ai * xi + br * yr - bi * yi)
            store(im, p, ar * xi + ai * xr + br * yi + bi * yr)
            store(re, o, ar * yr + ai * yi - br * xr - bi * xi)
            store(im, o, ar * yi - ai * yr - br * xi + bi * xr)


@compiled
@no_type_check
def turn_gradient(re, im, lre, lim, bit, signs):
    """Im <lambda|P|psi> for P = X, Y, Z on a bit, in lanes."""
    gx = load(signs, 0)
    gx = gx - gx
    gy, gz = gx, gx
    if bit < 4:
        sign, one = load(signs, (1 << bit) * LANES), 1 << bit
        for p in range(0, len(re), LANES):
            xr, xi, ur, ui = load(re, p), load(im, p), load(lre, p), load(lim, p)
            yr, yi = exchanged(xr, one), exchanged(xi, one)
            gx = gx + (ur * yi - ui * yr)
            gy = gy - (ur * yr + ui * yi)
            gz = gz + (ur * xi - ui * xr)
        return gx, gy * sign, gz * sign
    half = 1 << bit
    for start in range(0, len(re), 2 * half):
        for p in range(start, start + half, LANES):
            o = p + half
            xr, xi, ur, ui = load(re, p), load(im, p), load(lre, p), load(lim, p)
            yr, yi, vr, vi = load(re, o), load(im, o), load(lre, o), load(lim, o)
            gx = gx + (ur * yi - ui * yr) + (vr * xi - vi * xr)
            gy = gy + (vr * xr + vi * xi) - (ur * yr + ui * yi)
            gz = gz + (ur * xi - ui * xr) - (vr * yi - vi * yr)
    return gx, gy, gz


@compiled
@no_type_check
def spread(entries, first, last, cos, sin, gx, gy, gz, gradient):
    """Adds to the gradient of each rotation of a run, given Im <lambda|X, Y, Z|psi> after all of them."""
    two = splat(cos.dtype.type(2))
    for e in range(last - 1, first - 1, -1):
        axis, at = entries[e, 0], entries[e, 2] * LANES
        g = gx if axis == 1 else gz if axis == 2 else gy
        store(gradient, at, load(gradient, at) + g)
        c, s = load(cos, at), load(sin, at)
        c, s = c * c - s * s, two * c * s
        if axis == 1:
            gy, gz = c * gy - s * gz, c * gz + s * gy
        elif axis == 2:
            gx, gy = c * gx - s * gy, c * gy + s * gx
        else:
            gz, gx = c * gz - s * gx, c * gx + s * gz


@compiled
@no_type_check
def factor_of(c, s, at, entry, z, base, signs):
    """cos and sin of theta (-1)**odd(k & z) for the lanes of k, of which the higher bits are 0."""
    s = load(s, at) * load(signs, (z & 15) * LANES)
    return load(c, at), either(odd(base & entry[1]), -s, s)


@compiled
@no_type_check
def constant_phase(entries, first, last, below, less, base, cos, sin, signs):
    """The product, in lanes, of the entries with z - less < below, and the place of the next."""
    r = load(cos, 0)
    r = r - r
    i = r
    r = r + splat(cos.dtype.type(1))
    e = first
    while e < last and entries[e, 0] - less < below:
        c, s = factor_of(cos, sin, entries[e, 2] * LANES, entries[e], entries[e, 0], base, signs)
        r, i = r * c - i * s, r * s + i * c
        e += 1
    return r, i, e


@compiled
@no_type_check
def double(re, im, half, kr, ki, entries, first, last, less, base, cos, sin, signs):
    """From a table for k below `half` to one twice as long: the entries have this bit, which turns their sign."""
    for p in range(0, half, LANES):
        fr, fi = kr, ki
        for m in range(first, last):
            c, s = factor_of(cos, sin, entries[m, 2] * LANES, entries[m], entries[m, 0], base, signs)
            s = either(odd(p & (entries[m, 0] - less)), -s, s)
            fr, fi = fr * c - fi * s, fr * s + fi * c
        xr, xi = load(re, p), load(im, p)
        store(re, p, xr * fr - xi * fi)
        store(im, p, xr * fi + xi * fr)
        store(re, p + half, xr * fr + xi * fi)
        store(im, p + half, xi * fr - xr * fi)


@compiled
@no_type_check
def double_by(re, im, half, kr, ki, fre, fim):
    """The same, with the product of the entries for each k as a table."""
    for p in range(0, half, LANES):
        c, s = load(fre, p), load(fim, p)
        fr, fi = kr * c - ki * s, kr * s + ki * c
        xr, xi = load(re, p), load(im, p)
        store(re, p, xr * fr - xi * fi)
        store(im, p, xr * fi + xi * fr)
        store(re, p + half, xr * fr + xi * fi)
        store(im, p + half, xi * fr - xr * fi)


@compiled
@no_type_check
def phases_of_few(re, im, size, entries, first, last, less, base, cos, sin, signs):
    """As `phases`, one entry after the other; less: a bit that all of them have, and that is left out."""
    r, i, e = constant_phase(entries, first, last, WIDE, less, base, cos, sin, signs)
    store(re, 0, r)
    store(im, 0, i)
    half = WIDE
    while half < size:
        r, i, e = constant_phase(entries, e, last, half + LANES, less, base, cos, sin, signs)
        stop = e
        while stop < last and entries[stop, 0] - less < 2 * half:
            stop += 1
        double(re, im, half, r, i, entries, e, stop, less, base, cos, sin, signs)
        e = stop
        half *= 2


@compiled
@no_type_check
def phases(re, im, size, entries, first, last, base, cos, sin, signs, spare_re, spare_im):
    """exp(i sum of theta (-1)**odd(k & z)) for all k below `size`, by doubling.

    entries: rows (z within the tile, ascending; z outside, where the tile's index is `base`; slot).
    """
    r, i, e = constant_phase(entries, first, last, WIDE, NONE, base, cos, sin, signs)
    store(re, 0, r)
    store(im, 0, i)
    half = WIDE
    while half < size:
        r, i, e = constant_phase(entries, e, last, half + LANES, NONE, base, cos, sin, signs)
        stop = e
        while stop < last and entries[stop, 0] < 2 * half:
            stop += 1
        if stop - e > MANY:  # what they have besides the highest bit is a diagonal of its own
            phases_of_few(spare_re, spare_im, half, entries, e, stop, half, base, cos, sin, signs)
            double_by(re, im, half, r, i, spare_re, spare_im)
        else:
            double(re, im, half, r, i, entries, e, stop, NONE, base, cos, sin, signs)
        e = stop
        half *= 2


@compiled
@no_type_check
def multiply(re, im, tre, tim):
    """By a diagonal."""
    for p in range(0, len(re), LANES):
        xr, xi, c, s = load(re, p), load(im, p), load(tre, p), load(tim, p)
        store(re, p, xr * c - xi * s)
        store(im, p, xr * s + xi * c)


@compiled
@no_type_check
def divide(re, im, tre, tim):
    """By a diagonal of phases."""
    for p in range(0, len(re), LANES):
        xr, xi, c, s = load(re, p), load(im, p), load(tre, p), load(tim, p)
        store(re, p, xr * c + xi * s)
        store(im, p, xi * c - xr * s)


@compiled
@no_type_check
def overlap(re, im, lre, lim, out):
    """out[k] = Im conj(lambda[k]) psi[k]."""
    for p in range(0, len(re), LANES):
        store(out, p, load(lre, p) * load(im, p) - load(lim, p) * load(re, p))


@compiled
@no_type_check
def add_fold(w, half, entries, first, last, less, base, signs, out):
    """Adds to the slots of entries that have the bit `half`: the sum of (-1)**odd(k & z) (w[k] - w[k + half])."""
    for e in range(first, last):
        rest = (entries[e, 0] - less - half) & -16
        found = load(w, 0)
        found = found - found
        if rest:
            for p in range(0, half, LANES):
                d = load(w, p) - load(w, p + half)
                found = found + either(odd(p & rest), -d, d)
        else:
            for p in range(0, half, LANES):
                found = found + (load(w, p) - load(w, p + half))
        at = entries[e, 2] * LANES
        found = found * load(signs, (entries[e, 0] & 15) * LANES)
        store(out, at, load(out, at) + either(odd(base & entries[e, 1]), -found, found))


@compiled
@no_type_check
def halve(w, half):
    for p in range(0, half, LANES):
        store(w, p, load(w, p) + load(w, p + half))


@compiled
@no_type_check
def add_lanes(w, entries, first, last, base, signs, out):
    """Adds to the slots of entries that have bits of lanes alone."""
    for e in range(first, last):
        at = entries[e, 2] * LANES
        found = load(w, 0) * load(signs, (entries[e, 0] & 15) * LANES)
        store(out, at, load(out, at) + either(odd(base & entries[e, 1]), -found, found))


@compiled
@no_type_check
def fold_few(w, size, entries, first, last, less, base, signs, out):
    """As `fold`, one entry after the other; `less` as in `phases_of_few`."""
    e, half = last, size >> 1
    while half >= LANES and e > first:
        stop = e
        while stop > first and entries[stop - 1, 0] - less >= half:
            stop -= 1
        add_fold(w, half, entries, stop, e, less, base, signs, out)
        e = stop
        halve(w, half)
        half >>= 1
    add_lanes(w, entries, first, e, base, signs, out)


@compiled
@no_type_check
def fold(w, size, entries, first, last, base, signs, out, spare):
    """Adds the sum of (-1)**odd(k & z) w[k], k below `size`, to the slot of each entry, in lanes; w is used up.

    Entries as in `phases`.
    """
    e, half = last, size >> 1
    while half >= LANES and e > first:
        stop = e
        while stop > first and entries[stop - 1, 0] >= half:
            stop -= 1
        if e - stop > MANY:
            for p in range(0, half, LANES):
                store(spare, p, load(w, p) - load(w, p + half))
            fold_few(spare, half, entries, stop, e, half, base, signs, out)
        else:
            add_fold(w, half, entries, stop, e, NONE, base, signs, out)
        e = stop
        halve(w, half)
        half >>= 1
    add_lanes(w, entries, first, e, base, signs, out)


@compiled
@no_type_check
def unfold(w, entries, first, last, weight, signs):
    """w[k] = sum of weight (-1)**odd(k & z), by doubling."""
    found, e = load(weight, 0), first
    found = found - found
    while e < last and entries[e, 0] < LANES:
        found = found + load(weight, entries[e, 2] * LANES) * load(signs, entries[e, 0] * LANES)
        e += 1
    store(w, 0, found)
    half = WIDE
    while half < len(w):
        stop = e
        while stop < last and entries[stop, 0] < 2 * half:
            stop += 1
        for p in range(0, half, LANES):
            more = found - found
            for m in range(e, stop):
                d = load(weight, entries[m, 2] * LANES) * load(signs, (entries[m, 0] & 15) * LANES)
                more = more + either(odd(p & entries[m, 0]), -d, d)
            old = load(w, p)
            store(w, p, old + more)
            store(w, p + half, old - more)
        e = stop
        half *= 2


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
        for k in range(len(index)):
            out_re[k] = re[index[k]]
            out_im[k] = im[index[k]]


@compiled
@no_type_check
def scatter(re, im, index, rows, out_re, out_im):
    """The inverse: out[index[k]] = in[k]."""
    if rows:
        for k in range(len(index)):
            p, o = k * LANES, np.intp(index[k]) * LANES
            store(out_re, o, load(re, p))
            store(out_im, o, load(im, p))
    else:
        for k in range(len(index)):
            out_re[index[k]] = re[k]
            out_im[index[k]] = im[k]


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
def apply(re, im, table, base, code, first, last, entries, cos, sin, signs):
    """Instructions on a tile; table (4, size) is scratch."""
    size = len(re)
    tre, tim = table[0, :size], table[1, :size]
    for i in range(first, last):
        kind, a, b, x, z, outer, ys = code[i]
        if kind == ROTATE:
            s = load(sin, a * LANES)
            rotate(re, im, x, z, ys, load(cos, a * LANES), either(odd(base & outer), -s, s), signs)
        elif kind == TURN:
            ar, ai, br, bi = turning(entries, a, b, cos, sin)
            turn(re, im, x, ar, ai, br, bi, signs)
        else:
            phases(tre, tim, size, entries, a, b, base, cos, sin, signs, table[2], table[3])
            multiply(re, im, tre, tim)


@compiled
@no_type_check
def undo(re, im, lre, lim, table, base, code, first, last, entries, cos, sin, signs, wanted, gradient):
    """Instructions undone on both tiles; adds Im <lambda|P|psi> to the gradient of each slot."""
    size = len(re)
    tre, tim = table[0, :size], table[1, :size]
    for i in range(last - 1, first - 1, -1):
        kind, a, b, x, z, outer, ys = code[i]
        if kind == ROTATE:
            at = a * LANES
            s, c, minus = load(sin, at), load(cos, at), odd(base & outer)
            if wanted[i]:
                g = rotation_gradient(re, im, lre, lim, x, z, ys, signs)
                store(gradient, at, load(gradient, at) + either(minus, -g, g))
            s = either(minus, s, -s)
            rotate(re, im, x, z, ys, c, s, signs)
            rotate(lre, lim, x, z, ys, c, s, signs)
        elif kind == TURN:
            ar, ai, br, bi = turning(entries, a, b, cos, sin)
            if wanted[i]:
                gx, gy, gz = turn_gradient(re, im, lre, lim, x, signs)
                spread(entries, a, b, cos, sin, gx, gy, gz, gradient)
            turn(re, im, x, ar, -ai, -br, -bi, signs)
            turn(lre, lim, x, ar, -ai, -br, -bi, signs)
        else:
            if wanted[i]:
                overlap(re, im, lre, lim, tre)
                fold(tre, size, entries, a, b, base, signs, gradient, table[2])
            phases(tre, tim, size, entries, a, b, base, cos, sin, signs, table[2], table[3])
            divide(re, im, tre, tim)
            divide(lre, lim, tre, tim)


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
    for o in range(1 << (end - outer)):
        base = deposit(o, bits, outer, end)
        if high == outer:
            to = base + size
            apply(re[base:to], im[base:to], table, base, code, first, last, entries, cos, sin, signs)
        else:
            own_re, own_im = tile[0, :size], tile[1, :size]
            fetch(re, own_re, base, row, offsets)
            fetch(im, own_im, base, row, offsets)
            apply(own_re, own_im, table, base, code, first, last, entries, cos, sin, signs)
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
    for o in range(1 << (end - outer)):
        base = deposit(o, bits, outer, end)
        if high == outer:
            to = base + size
            undo(
                re[base:to], im[base:to], lre[base:to], lim[base:to], table, base, code, first, last, entries, cos, sin,
                signs, wanted, gradient,
            )  # fmt: skip
        else:
            own_re, own_im, own_lre, own_lim = tile[0, :size], tile[1, :size], tile[2, :size], tile[3, :size]
            fetch(re, own_re, base, row, offsets)
            fetch(im, own_im, base, row, offsets)
            fetch(lre, own_lre, base, row, offsets)
            fetch(lim, own_lim, base, row, offsets)
            undo(
                own_re, own_im, own_lre, own_lim, table, base, code, first, last, entries, cos, sin, signs, wanted, gradient
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


@entrance
@no_type_check
def forward(rows, bits, plan, given, x, w, observed, samples, keep, buffers, scratch, states, out):
    """Expectations out (b, strings) of the samples (first, last); their final states; False: an angle is not finite.

    rows: whether lanes are samples. plan: see `engine.Plan`. observed: strings, diagonal ones, signs. Scratch: buffers
    (2, 2**bits), scratch (8, size of a tile). states (tiles, 2, 2**bits), one tile only where they are not kept.
    """
    start, stages, _, entries, _, _, permutations = plan
    strings, diagonal, signs = observed
    slots, many = len(given[1]) - 1, out.shape[1]
    cos, sin = np.empty((slots + 1) * LANES, states.dtype), np.empty((slots + 1) * LANES, states.dtype)
    cos[slots * LANES :], sin[slots * LANES :] = 1, 0
    spare, tile, table = buffers, scratch[:4], scratch[4:]
    first_state = np.empty(bits * 4 * LANES, states.dtype)
    moves = 0
    for i in range(len(stages)):
        moves += stages[i, 0] == PERMUTE
    found = np.empty(many * LANES, states.dtype)
    step = LANES if rows else 1
    number = 0
    for sample in range(samples[0], samples[1], step):
        count = min(step, samples[1] - sample)
        if not angles(given, x, w, sample, count, rows, number > 0, cos, sin):
            return False
        kept = states[number if keep else 0]
        here, there = (spare, kept) if moves & 1 else (kept, spare)
        begin(here[0], here[1], bits, rows, start, entries, cos, sin, first_state)
        for i in range(len(stages)):
            if stages[i, 0] == TILE:
                run_stage(stages[i], here[0], here[1], tile, table, plan, cos, sin, signs)
            else:
                gather(here[0], here[1], permutations[stages[i, 1]], rows, there[0], there[1])
                here, there = there, here
        found[:] = 0
        expect(here[0], here[1], there[0], there[1], strings, diagonal, signs, found)
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
def backward(rows, bits, plan, given, x, w, observed, samples, until, buffers, scratch, states, weight, dx, dw):
    """Adds the gradients of sum(weight * <P>), weight (b, strings), to dx (b, p) and dw.

    As in `forward`, but buffers (6, 2**bits). until: stages before this one have no parameters; -1: the first rotations
    have.
    """
    start, stages, _, entries, _, _, permutations = plan
    strings, diagonal, signs = observed
    slots, many = len(given[1]) - 1, weight.shape[1]
    cos, sin = np.empty((slots + 1) * LANES, states.dtype), np.empty((slots + 1) * LANES, states.dtype)
    cos[slots * LANES :], sin[slots * LANES :] = 1, 0
    gradient = np.empty((slots + 1) * LANES, states.dtype)
    tile, table = scratch[:4], scratch[4:]
    first_state = np.empty(bits * 4 * LANES, states.dtype)
    lanes = np.empty(many * LANES, states.dtype)
    step = LANES if rows else 1
    _, pointer, column, factor, _ = given
    number = 0
    for sample in range(samples[0], samples[1], step):
        count = min(step, samples[1] - sample)
        angles(given, x, w, sample, count, rows, number > 0, cos, sin)
        re, im, lre, lim, spare_re, spare_im = buffers[0], buffers[1], buffers[2], buffers[3], buffers[4], buffers[5]
        for p in range(0, len(re), LANES):
            store(re, p, load(states[number, 0], p))
            store(im, p, load(states[number, 1], p))
        for k in range(many):
            for j in range(LANES):
                lanes[k * LANES + j] = weight[sample + (min(j, count - 1) if rows else 0), k]
        observe(re, im, spare_re, strings, diagonal, lanes, signs, lre, lim)
        gradient[:] = 0
        for i in range(len(stages) - 1, max(until, 0) - 1, -1):
            if stages[i, 0] == TILE:
                undo_stage(stages[i], re, im, lre, lim, tile, table, plan, cos, sin, signs, gradient)
            else:
                index = permutations[stages[i, 1]]
                scatter(re, im, index, rows, spare_re, spare_im)
                re, im, spare_re, spare_im = spare_re, spare_im, re, im
                scatter(lre, lim, index, rows, spare_re, spare_im)
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
