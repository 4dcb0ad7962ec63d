"""Loops of `kernels` that rotate: exp(i theta P) of a Pauli string, of two in one pass, and of several on one bit.

P[k, k ^ x] = (-i)**ys (-1)**odd(k & z): x says which amplitudes are partners, z which signs they have, ys counts Y.
Undone, each works on the state and the observables' state together and gathers Im <lambda|P|psi> on the way.
"""

from typing import no_type_check

from edubba.quantum.lanes import LANES, NONE, WIDE, compiled, either, load, odd, splat, store, swapped


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
def put_four(re, im, p, k, j, m, pr, pi, kr, ki, jr, ji, mr, mi):
    """Four amplitudes to their places."""
    store(re, p, pr)
    store(im, p, pi)
    store(re, k, kr)
    store(im, k, ki)
    store(re, j, jr)
    store(im, j, ji)
    store(re, m, mr)
    store(im, m, mi)


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
                put_four(re, im, p, k, j, m, pr, pi, kr, ki, lr, li, mr, mi)


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
                put_four(re, im, p, k, j, m, pr, pi, kr, ki, lr, li, mr, mi)
                put_four(lre, lim, p, k, j, m, qr, qi, ur, ui, vr, vi, wr, wi)
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
