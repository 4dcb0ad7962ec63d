"""Loops of `kernels` for diagonals: tables exp(i sum theta (-1)**odd(k & z)) by doubling, and sums over k by folding."""

from typing import no_type_check

from edubba.quantum.lanes import LANES, NONE, WIDE, compiled, either, load, odd, splat, store

MANY = 2
"""strings of a diagonal with the same highest bit, beyond which they are folded together"""


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
def put_both(re, im, p, half, fr, fi):
    """Where the bit `half` is 0 the phase times f, where it is 1 the phase times f's conjugate."""
    xr, xi = load(re, p), load(im, p)
    store(re, p, xr * fr - xi * fi)
    store(im, p, xr * fi + xi * fr)
    store(re, p + half, xr * fr + xi * fi)
    store(im, p + half, xi * fr - xr * fi)


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
        put_both(re, im, p, half, fr, fi)


@compiled
@no_type_check
def double_by(re, im, half, kr, ki, fre, fim):
    """The same, with the product of the entries for each k as a table."""
    for p in range(0, half, LANES):
        c, s = load(fre, p), load(fim, p)
        fr, fi = kr * c - ki * s, kr * s + ki * c
        put_both(re, im, p, half, fr, fi)


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
