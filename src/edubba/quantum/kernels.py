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

from edubba.quantum.lanes import LANES, either, load, odd, picked, splat, store, swapped, total

BUILT_ON = "0aeae0b0b3eed778"
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
def mixed(xr, xi, yr, yi, real, c, w, v):
    """exp(i theta P) on two amplitudes; w and v: sin theta with the signs of P; real: P is imaginary, so that this is not."""
    if real:
        return c * xr + w * yr, c * xi + w * yi, c * yr + v * xr, c * yi + v * xi
    return c * xr - w * yi, c * xi + w * yr, c * yr - v * xi, c * yi + v * xr


@compiled
@no_type_check
def shared(xr, xi, yr, yi, ur, ui, real):
    """What amplitudes x with their partners y add to Im <lambda|P|psi>, but for signs; u: lambda's at x."""
    return ur * yr + ui * yi if real else ur * yi - ui * yr


@compiled
@no_type_check
def sine(s, z, ys, signs):
    """sin theta times (-i)**(ys & 2) and the signs of P that depend on lanes."""
    return either(ys & 2, -s, s) * load(signs, (z & 15) * LANES)


@compiled
@no_type_check
def rotate_lanes(re, im, x, z, ys, c, s, signs):
    """exp(i theta P), P[k, k ^ x] = (-i)**ys (-1)**odd(k & z), where x has bits of lanes alone."""
    s = sine(s, z, ys, signs)
    minus, zh = -s, z & -16
    for p in range(0, len(re), LANES):
        w = either(odd(p & zh), minus, s)
        xr, xi = load(re, p), load(im, p)
        yr, yi = exchanged(xr, x), exchanged(xi, x)
        if ys & 1:
            store(re, p, c * xr + w * yr)
            store(im, p, c * xi + w * yi)
        else:
            store(re, p, c * xr - w * yi)
            store(im, p, c * xi + w * yr)


@compiled
@no_type_check
def unrotate_lanes(re, im, lre, lim, x, z, ys, c, s, signs):
    """Undoes the same on both; Im <lambda|P|psi> in lanes."""
    s = -sine(s, z, ys, signs)
    minus, zh, real = -s, z & -16, ys & 1
    g = s - s
    for p in range(0, len(re), LANES):
        e = odd(p & zh)
        w = either(e, minus, s)
        xr, xi, ur, ui = load(re, p), load(im, p), load(lre, p), load(lim, p)
        yr, yi, vr, vi = exchanged(xr, x), exchanged(xi, x), exchanged(ur, x), exchanged(ui, x)
        f = shared(xr, xi, yr, yi, ur, ui, real)
        g = g + either(e, -f, f)
        if real:
            xr, xi, ur, ui = c * xr + w * yr, c * xi + w * yi, c * ur + w * vr, c * ui + w * vi
        else:
            xr, xi, ur, ui = c * xr - w * yi, c * xi + w * yr, c * ur - w * vi, c * ui + w * vr
        store(re, p, xr)
        store(im, p, xi)
        store(lre, p, ur)
        store(lim, p, ui)
    g = g * load(signs, (z & 15) * LANES)
    return either((ys ^ (ys >> 1)) & 1, -g, g)


@compiled
@no_type_check
def top(mask):
    """Its highest bit, beyond lanes."""
    bit = WIDE
    while bit << 1 <= mask:
        bit <<= 1
    return bit


@compiled
@no_type_check
def rotate(re, im, x, z, ys, c, s, signs):
    """exp(i theta P), P[k, k ^ x] = (-i)**ys (-1)**odd(k & z), where x has bits beyond lanes."""
    low, high, zh, real = x & 15, x & -16, z & -16, ys & 1
    s = sine(s, z, ys, signs)
    minus, both, a = -s, odd(high & zh), top(high)
    for start in range(0, len(re), 2 * a):
        for p in range(start, start + a, LANES):
            o, e = p ^ high, odd(p & zh)
            w, v = either(e, minus, s), either(e ^ both, minus, s)
            xr, xi, yr, yi = load(re, p), load(im, p), load(re, o), load(im, o)
            if low:
                tr, ti, ur, ui = exchanged(xr, low), exchanged(xi, low), exchanged(yr, low), exchanged(yi, low)
                if real:
                    xr, xi, yr, yi = c * xr + w * ur, c * xi + w * ui, c * yr + v * tr, c * yi + v * ti
                else:
                    xr, xi, yr, yi = c * xr - w * ui, c * xi + w * ur, c * yr - v * ti, c * yi + v * tr
            else:
                xr, xi, yr, yi = mixed(xr, xi, yr, yi, real, c, w, v)
            store(re, p, xr)
            store(im, p, xi)
            store(re, o, yr)
            store(im, o, yi)


@compiled
@no_type_check
def unrotate(re, im, lre, lim, x, z, ys, c, s, signs):
    """Undoes the same on both; Im <lambda|P|psi> in lanes."""
    low, high, zh, real = x & 15, x & -16, z & -16, ys & 1
    s = -sine(s, z, ys, signs)
    minus, both, a = -s, odd(high & zh), top(high)
    g = s - s
    for start in range(0, len(re), 2 * a):
        for p in range(start, start + a, LANES):
            o, e = p ^ high, odd(p & zh)
            w, v = either(e, minus, s), either(e ^ both, minus, s)
            xr, xi, yr, yi = load(re, p), load(im, p), load(re, o), load(im, o)
            ur, ui, vr, vi = load(lre, p), load(lim, p), load(lre, o), load(lim, o)
            if low:
                kr, ki, lr, li = exchanged(xr, low), exchanged(xi, low), exchanged(yr, low), exchanged(yi, low)
                mr, mi, nr, ni = exchanged(ur, low), exchanged(ui, low), exchanged(vr, low), exchanged(vi, low)
            else:
                kr, ki, lr, li, mr, mi, nr, ni = xr, xi, yr, yi, ur, ui, vr, vi
            f, h = shared(xr, xi, lr, li, ur, ui, real), shared(yr, yi, kr, ki, vr, vi, real)
            f = f + either(both, -h, h)
            g = g + either(e, -f, f)
            if real:
                xr, xi, yr, yi = c * xr + w * lr, c * xi + w * li, c * yr + v * kr, c * yi + v * ki
                ur, ui, vr, vi = c * ur + w * nr, c * ui + w * ni, c * vr + v * mr, c * vi + v * mi
            else:
                xr, xi, yr, yi = c * xr - w * li, c * xi + w * lr, c * yr - v * ki, c * yi + v * kr
                ur, ui, vr, vi = c * ur - w * ni, c * ui + w * nr, c * vr - v * mi, c * vi + v * mr
            store(re, p, xr)
            store(im, p, xi)
            store(re, o, yr)
            store(im, o, yi)
            store(lre, p, ur)
            store(lim, p, ui)
            store(lre, o, vr)
            store(lim, o, vi)
    g = g * load(signs, (z & 15) * LANES)
    return either((ys ^ (ys >> 1)) & 1, -g, g)


@compiled
@no_type_check
def paired(one, other):
    """Bits, the higher first, by which p, p ^ one, p ^ other, p ^ one ^ other are told apart; 0 where they are not, or lanes move."""
    if (one | other) & 15 or not one or not other or one == other:
        return NONE, NONE
    a, b = top(one), top(other)
    if a == b:
        b = top(one ^ other)
    return max(a, b), min(a, b)


@compiled
@no_type_check
def rotate_two(re, im, a, b, x, z, ys, c, s, other_x, other_z, other_ys, other_c, other_s, signs):
    """`rotate` by one and then by another, on four amplitudes at a time; a, b: see `paired`."""
    s, t = sine(s, z, ys, signs), sine(other_s, other_z, other_ys, signs)
    minus_s, minus_t, zh, oh, real, other_real = -s, -t, z & -16, other_z & -16, ys & 1, other_ys & 1
    zx, zo, ox, oo = odd(x & zh), odd(other_x & zh), odd(x & oh), odd(other_x & oh)
    for start in range(0, len(re), 2 * a):
        for middle in range(start, start + a, 2 * b):
            for p in range(middle, middle + b, LANES):
                e, f = odd(p & zh), odd(p & oh)
                k, j, m = p ^ x, p ^ other_x, p ^ x ^ other_x
                pr, pi, kr, ki = load(re, p), load(im, p), load(re, k), load(im, k)
                lr, li, mr, mi = load(re, j), load(im, j), load(re, m), load(im, m)
                w, v = either(e, minus_s, s), either(e ^ zx, minus_s, s)
                pr, pi, kr, ki = mixed(pr, pi, kr, ki, real, c, w, v)
                w, v = either(zo, -w, w), either(zo, -v, v)
                lr, li, mr, mi = mixed(lr, li, mr, mi, real, c, w, v)
                w, v = either(f, minus_t, t), either(f ^ oo, minus_t, t)
                pr, pi, lr, li = mixed(pr, pi, lr, li, other_real, other_c, w, v)
                w, v = either(ox, -w, w), either(ox, -v, v)
                kr, ki, mr, mi = mixed(kr, ki, mr, mi, other_real, other_c, w, v)
                store(re, p, pr)
                store(im, p, pi)
                store(re, k, kr)
                store(im, k, ki)
                store(re, j, lr)
                store(im, j, li)
                store(re, m, mr)
                store(im, m, mi)


@compiled
@no_type_check
def unrotate_two(re, im, lre, lim, a, b, x, z, ys, c, s, other_x, other_z, other_ys, other_c, other_s, signs):
    """Undoes the same on both; Im <lambda|P|psi> of one and the other, in lanes."""
    s, t = -sine(s, z, ys, signs), -sine(other_s, other_z, other_ys, signs)
    minus_s, minus_t, zh, oh, real, other_real = -s, -t, z & -16, other_z & -16, ys & 1, other_ys & 1
    zx, zo, ox, oo = odd(x & zh), odd(other_x & zh), odd(x & oh), odd(other_x & oh)
    g = s - s
    h = g
    for start in range(0, len(re), 2 * a):
        for middle in range(start, start + a, 2 * b):
            for p in range(middle, middle + b, LANES):
                e, f = odd(p & zh), odd(p & oh)
                k, j, m = p ^ x, p ^ other_x, p ^ x ^ other_x
                pr, pi, kr, ki = load(re, p), load(im, p), load(re, k), load(im, k)
                lr, li, mr, mi = load(re, j), load(im, j), load(re, m), load(im, m)
                qr, qi, ur, ui = load(lre, p), load(lim, p), load(lre, k), load(lim, k)
                vr, vi, wr, wi = load(lre, j), load(lim, j), load(lre, m), load(lim, m)
                y = shared(pr, pi, lr, li, qr, qi, other_real)
                n = shared(lr, li, pr, pi, vr, vi, other_real)
                y = y + either(oo, -n, n)
                h = h + either(f, -y, y)
                y = shared(kr, ki, mr, mi, ur, ui, other_real)
                n = shared(mr, mi, kr, ki, wr, wi, other_real)
                y = y + either(oo, -n, n)
                h = h + either(f ^ ox, -y, y)
                w, v = either(f, minus_t, t), either(f ^ oo, minus_t, t)
                pr, pi, lr, li = mixed(pr, pi, lr, li, other_real, other_c, w, v)
                qr, qi, vr, vi = mixed(qr, qi, vr, vi, other_real, other_c, w, v)
                w, v = either(ox, -w, w), either(ox, -v, v)
                kr, ki, mr, mi = mixed(kr, ki, mr, mi, other_real, other_c, w, v)
                ur, ui, wr, wi = mixed(ur, ui, wr, wi, other_real, other_c, w, v)
                y = shared(pr, pi, kr, ki, qr, qi, real)
                n = shared(kr, ki, pr, pi, ur, ui, real)
                y = y + either(zx, -n, n)
                g = g + either(e, -y, y)
                y = shared(lr, li, mr, mi, vr, vi, real)
                n = shared(mr, mi, lr, li, wr, wi, real)
                y = y + either(zx, -n, n)
                g = g + either(e ^ zo, -y, y)
                w, v = either(e, minus_s, s), either(e ^ zx, minus_s, s)
                pr, pi, kr, ki = mixed(pr, pi, kr, ki, real, c, w, v)
                qr, qi, ur, ui = mixed(qr, qi, ur, ui, real, c, w, v)
                w, v = either(zo, -w, w), either(zo, -v, v)
                lr, li, mr, mi = mixed(lr, li, mr, mi, real, c, w, v)
                vr, vi, wr, wi = mixed(vr, vi, wr, wi, real, c, w, v)
                store(re, p, pr)
                store(im, p, pi)
                store(re, k, kr)
                store(im, k, ki)
                store(re, j, lr)
                store(im, j, li)
                store(re, m, mr)
                store(im, m, mi)
                store(lre, p, qr)
                store(lim, p, qi)
                store(lre, k, ur)
                store(lim, k, ui)
                store(lre, j, vr)
                store(lim, j, vi)
                store(lre, m, wr)
                store(lim, m, wi)
    g, h = g * load(signs, (z & 15) * LANES), h * load(signs, (other_z & 15) * LANES)
    return either((ys ^ (ys >> 1)) & 1, -g, g), either((other_ys ^ (other_ys >> 1)) & 1, -h, h)


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
def unturn(re, im, lre, lim, bit, ar, ai, br, bi, signs):
    """Im <lambda|P|psi> for P = X, Y, Z on a bit, in lanes; [[a, b], [-b*, a*]] is undone on both on the way."""
    gx = load(signs, 0)
    gx = gx - gx
    gy, gz = gx, gx
    if bit < 4:
        sign, one = load(signs, (1 << bit) * LANES), 1 << bit
        si, sr = ai * sign, br * sign
        for p in range(0, len(re), LANES):
            xr, xi, ur, ui = load(re, p), load(im, p), load(lre, p), load(lim, p)
            yr, yi, vr, vi = exchanged(xr, one), exchanged(xi, one), exchanged(ur, one), exchanged(ui, one)
            gx = gx + (ur * yi - ui * yr)
            gy = gy - (ur * yr + ui * yi)
            gz = gz + (ur * xi - ui * xr)
            store(re, p, ar * xr + si * xi - sr * yr + bi * yi)
            store(im, p, ar * xi - si * xr - sr * yi - bi * yr)
            store(lre, p, ar * ur + si * ui - sr * vr + bi * vi)
            store(lim, p, ar * ui - si * ur - sr * vi - bi * vr)
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
            store(re, p, ar * xr + ai * xi - br * yr + bi * yi)
            store(im, p, ar * xi - ai * xr - br * yi - bi * yr)
            store(re, o, ar * yr - ai * yi + br * xr + bi * xi)
            store(im, o, ar * yi + ai * yr + br * xi - bi * xr)
            store(lre, p, ar * ur + ai * ui - br * vr + bi * vi)
            store(lim, p, ar * ui - ai * ur - br * vi - bi * vr)
            store(lre, o, ar * vr - ai * vi + br * ur + bi * ui)
            store(lim, o, ar * vi + ai * vr + br * ui - bi * ur)
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
def outer_phase(entries, first, last, base, cos, sin):
    """The product of those outside of the tile, over that at base 0; in lanes."""
    r = load(cos, 0)
    r = r - r
    i = r
    r = r + splat(cos.dtype.type(1))
    for e in range(first, last):
        if entries[e, 0] == 0 and odd(base & entries[e, 1]):
            c, s = load(cos, entries[e, 2] * LANES), load(sin, entries[e, 2] * LANES)
            c, s = c * c - s * s, -(c * s + c * s)
            r, i = r * c - i * s, r * s + i * c
    return r, i


@compiled
@no_type_check
def multiply(re, im, tre, tim, kr, ki):
    """By a diagonal and a number."""
    for p in range(0, len(re), LANES):
        xr, xi, c, s = load(re, p), load(im, p), load(tre, p), load(tim, p)
        c, s = c * kr - s * ki, c * ki + s * kr
        store(re, p, xr * c - xi * s)
        store(im, p, xr * s + xi * c)


@compiled
@no_type_check
def divide(re, im, lre, lim, tre, tim, kr, ki):
    """Both by a diagonal of phases and a phase."""
    for p in range(0, len(re), LANES):
        c, s = load(tre, p), load(tim, p)
        c, s = c * kr - s * ki, c * ki + s * kr
        xr, xi, ur, ui = load(re, p), load(im, p), load(lre, p), load(lim, p)
        store(re, p, xr * c + xi * s)
        store(im, p, xi * c - xr * s)
        store(lre, p, ur * c + ui * s)
        store(lim, p, ui * c - ur * s)


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

    rows: whether lanes are samples. plan: see `engine.Plan`. observed: strings, diagonal ones, signs. space: scratch, see
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
