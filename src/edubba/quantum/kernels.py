"""Loops over states, compiled once per installation: they interpret instructions and know no circuit.

A batch of states is two arrays (2**n, b), real and imaginary, so that neighbours in memory are samples of one amplitude
and every gate is the same arithmetic on long rows. Backwards, each instruction is undone on the state and on the
observables' state together, and one pass per instruction gathers what all its parameters need.
"""

from typing import Any, no_type_check

import numba
import numpy as np

ONE, PERMUTE, PHASE, PAIR = 0, 1, 2, 3
"""kinds of instructions: a 2 x 2 matrix on a bit, an index permutation, a diagonal, a power of a Pauli string"""
compiled: Any = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@compiled
@no_type_check
def step_matrix(axis, sign, shift, t, out):
    """exp(i pi shift t) P**t on one qubit, axis 1 X, 2 Z, 3 Y; out (8,): real and imaginary parts in turn."""
    er, ei = np.cos(np.pi * t), np.sin(np.pi * t)
    pr, pi = np.cos(np.pi * shift * t), np.sin(np.pi * shift * t)
    ar, ai = (1 + er) / 2, ei / 2
    br, bi = sign * (1 - er) / 2, -sign * ei / 2
    ar, ai = ar * pr - ai * pi, ar * pi + ai * pr
    br, bi = br * pr - bi * pi, br * pi + bi * pr
    if axis == 1:
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = ar, ai, br, bi, br, bi, ar, ai
    elif axis == 2:
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = (
            ar + br,
            ai + bi,
            0.0,
            0.0,
            0.0,
            0.0,
            ar - br,
            ai - bi,
        )
    else:  # -i above, i below
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = ar, ai, bi, -br, -bi, br, ar, ai


@compiled
@no_type_check
def multiply(x, y, out):
    """The 2 x 2 product x y."""
    for i in range(2):
        for j in range(2):
            real, imaginary = 0.0, 0.0
            for k in range(2):
                xr, xi = x[4 * i + 2 * k], x[4 * i + 2 * k + 1]
                yr, yi = y[4 * k + 2 * j], y[4 * k + 2 * j + 1]
                real += xr * yr - xi * yi
                imaginary += xr * yi + xi * yr
            out[4 * i + 2 * j], out[4 * i + 2 * j + 1] = real, imaginary


@compiled
@no_type_check
def block_matrix(first, last, axis, sign, shift, t, out):
    """The product of a block's steps, the first on the right; t of all steps."""
    out[:] = 0.0
    out[0] = out[6] = 1.0
    each, product = np.empty(8), np.empty(8)
    for s in range(first, last):
        step_matrix(axis[s], sign[s], shift[s], t[s], each)
        multiply(each, out, product)
        out[:] = product


@compiled
@no_type_check
def differs(first, last, each):
    """Whether samples differ in any of these steps."""
    for s in range(first, last):  # noqa: SIM110 - numba knows no generators
        if each[s]:
            return True
    return False


@compiled
@no_type_check
def block_matrices(first, last, axis, sign, shift, t, each, column, m, out):
    """`block_matrix` of every sample, out (8, b); column (steps,) and m (8,) are scratch."""
    for j in range(out.shape[1]):
        for s in range(first, last):
            column[s] = t[s, j if each[s] else 0]
        block_matrix(first, last, axis, sign, shift, column, m)
        out[:, j] = m


@compiled
@no_type_check
def block_gradient(first, last, axis, sign, shift, t, environment, gradient):
    """Adds 2 Re sum of environment * dU/dt to each step's gradient; environment_ab = sum conj(lambda_a) psi_b."""
    each, before, product, generator, rest = np.empty(8), np.empty(8), np.empty(8), np.empty(8), np.empty(8)
    after = np.empty((last - first + 1, 8))
    after[last - first] = 0.0
    after[last - first, 0] = after[last - first, 6] = 1.0
    for s in range(last - 1, first - 1, -1):
        step_matrix(axis[s], sign[s], shift[s], t[s], each)
        multiply(after[s - first + 1], each, after[s - first])
    before[:] = 0.0
    before[0] = before[6] = 1.0
    for s in range(first, last):
        step_matrix(axis[s], sign[s], shift[s], t[s], each)
        multiply(each, before, product)
        before[:] = product
        # dU/dt = after (i pi (shift + (1 - P) / 2)) before
        half, p = np.pi * (shift[s] + 0.5), -np.pi * sign[s] / 2
        generator[:] = 0.0
        generator[1] = generator[7] = half
        if axis[s] == 1:
            generator[3] = generator[5] = p
        elif axis[s] == 2:
            generator[1] += p
            generator[7] -= p
        else:
            generator[2], generator[4] = p, -p
        multiply(generator, before, product)
        multiply(after[s - first + 1], product, rest)
        total = 0.0
        for j in range(4):
            total += rest[2 * j] * environment[2 * j] - rest[2 * j + 1] * environment[2 * j + 1]
        gradient[s] += 2 * total


@compiled
@no_type_check
def one(re, im, stride, m):
    """A 2 x 2 matrix, the same for all samples, on flat arrays; stride is 2**bit times the batch."""
    a, b, c, d, e, f, g, h = re.dtype.type(m[0]), re.dtype.type(m[1]), re.dtype.type(m[2]), re.dtype.type(m[3]), re.dtype.type(m[4]), re.dtype.type(m[5]), re.dtype.type(m[6]), re.dtype.type(m[7])  # fmt: skip
    for start in range(0, len(re), 2 * stride):
        xr, xi = re[start : start + stride], im[start : start + stride]
        yr, yi = re[start + stride : start + 2 * stride], im[start + stride : start + 2 * stride]
        for j in range(stride):
            pr, pi, qr, qi = xr[j], xi[j], yr[j], yi[j]
            xr[j] = a * pr - b * pi + c * qr - d * qi
            xi[j] = a * pi + b * pr + c * qi + d * qr
            yr[j] = e * pr - f * pi + g * qr - h * qi
            yi[j] = e * pi + f * pr + g * qi + h * qr


@compiled
@no_type_check
def one_each(re, im, half, m):
    """A 2 x 2 matrix for each sample, m (8, b), on (2**n, b) arrays; half is 2**bit."""
    n, b = re.shape
    for start in range(0, n, 2 * half):
        for i in range(start, start + half):
            xr, xi, yr, yi = re[i], im[i], re[i + half], im[i + half]
            for j in range(b):
                pr, pi, qr, qi = xr[j], xi[j], yr[j], yi[j]
                xr[j] = m[0, j] * pr - m[1, j] * pi + m[2, j] * qr - m[3, j] * qi
                xi[j] = m[0, j] * pi + m[1, j] * pr + m[2, j] * qi + m[3, j] * qr
                yr[j] = m[4, j] * pr - m[5, j] * pi + m[6, j] * qr - m[7, j] * qi
                yi[j] = m[4, j] * pi + m[5, j] * pr + m[6, j] * qi + m[7, j] * qr


@compiled
@no_type_check
def one_back(re, im, lre, lim, stride, m, environment):
    """Undo a matrix on both states and gather its environment (8,)."""
    a, b, c, d, e, f, g, h = re.dtype.type(m[0]), re.dtype.type(m[1]), re.dtype.type(m[2]), re.dtype.type(m[3]), re.dtype.type(m[4]), re.dtype.type(m[5]), re.dtype.type(m[6]), re.dtype.type(m[7])  # fmt: skip
    for start in range(0, len(re), 2 * stride):
        xr, xi = re[start : start + stride], im[start : start + stride]
        yr, yi = re[start + stride : start + 2 * stride], im[start + stride : start + 2 * stride]
        ur, ui = lre[start : start + stride], lim[start : start + stride]
        vr, vi = lre[start + stride : start + 2 * stride], lim[start + stride : start + 2 * stride]
        zero = re.dtype.type(0)
        s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
        for j in range(stride):
            pr, pi, qr, qi = xr[j], xi[j], yr[j], yi[j]
            kr, ki, lr, li = ur[j], ui[j], vr[j], vi[j]
            wr = a * pr + b * pi + e * qr + f * qi
            wi = a * pi - b * pr + e * qi - f * qr
            zr = c * pr + d * pi + g * qr + h * qi
            zi = c * pi - d * pr + g * qi - h * qr
            xr[j], xi[j], yr[j], yi[j] = wr, wi, zr, zi
            s0 += kr * wr + ki * wi
            s1 += kr * wi - ki * wr
            s2 += kr * zr + ki * zi
            s3 += kr * zi - ki * zr
            s4 += lr * wr + li * wi
            s5 += lr * wi - li * wr
            s6 += lr * zr + li * zi
            s7 += lr * zi - li * zr
            ur[j] = a * kr + b * ki + e * lr + f * li
            ui[j] = a * ki - b * kr + e * li - f * lr
            vr[j] = c * kr + d * ki + g * lr + h * li
            vi[j] = c * ki - d * kr + g * li - h * lr
        environment[0] += s0
        environment[1] += s1
        environment[2] += s2
        environment[3] += s3
        environment[4] += s4
        environment[5] += s5
        environment[6] += s6
        environment[7] += s7


@compiled
@no_type_check
def one_each_back(re, im, lre, lim, half, m, environment):
    """Undo a matrix for each sample on both states; environment (8, b)."""
    n, b = re.shape
    for start in range(0, n, 2 * half):
        for i in range(start, start + half):
            xr, xi, yr, yi = re[i], im[i], re[i + half], im[i + half]
            ur, ui, vr, vi = lre[i], lim[i], lre[i + half], lim[i + half]
            for j in range(b):
                a, b_, c, d, e, f, g, h = m[0, j], m[1, j], m[2, j], m[3, j], m[4, j], m[5, j], m[6, j], m[7, j]
                pr, pi, qr, qi = xr[j], xi[j], yr[j], yi[j]
                kr, ki, lr, li = ur[j], ui[j], vr[j], vi[j]
                wr = a * pr + b_ * pi + e * qr + f * qi
                wi = a * pi - b_ * pr + e * qi - f * qr
                zr = c * pr + d * pi + g * qr + h * qi
                zi = c * pi - d * pr + g * qi - h * qr
                xr[j], xi[j], yr[j], yi[j] = wr, wi, zr, zi
                environment[0, j] += kr * wr + ki * wi
                environment[1, j] += kr * wi - ki * wr
                environment[2, j] += kr * zr + ki * zi
                environment[3, j] += kr * zi - ki * zr
                environment[4, j] += lr * wr + li * wi
                environment[5, j] += lr * wi - li * wr
                environment[6, j] += lr * zr + li * zi
                environment[7, j] += lr * zi - li * zr
                ur[j] = a * kr + b_ * ki + e * lr + f * li
                ui[j] = a * ki - b_ * kr + e * li - f * lr
                vr[j] = c * kr + d * ki + g * lr + h * li
                vi[j] = c * ki - d * kr + g * li - h * lr


@compiled
@no_type_check
def gather(re, im, index, out_re, out_im):
    """Rows in another order: out[k] = in[index[k]]."""
    for k in range(len(index)):
        out_re[k] = re[index[k]]
        out_im[k] = im[index[k]]


@compiled
@no_type_check
def scatter(re, im, index, out_re, out_im):
    """The inverse: out[index[k]] = in[k]."""
    for k in range(len(index)):
        out_re[index[k]] = re[k]
        out_im[index[k]] = im[k]


@compiled
@no_type_check
def odd(k):
    """Whether k has an odd number of ones."""
    k ^= k >> 32
    k ^= k >> 16
    k ^= k >> 8
    k ^= k >> 4
    k ^= k >> 2
    k ^= k >> 1
    return k & 1


@compiled
@no_type_check
def phase(re, im, first, last, z, sign, shift, controls, values, t, each, inverse):
    """exp(i pi sum t (shift + [P = -1])) of diagonal steps; t (steps, b), or (steps, 1) where all samples share it."""
    n, b = re.shape
    turn = -np.pi if inverse else np.pi
    factor = np.empty(last - first)
    for k in range(n):
        some = False
        for s in range(first, last):
            held = (k & controls[s]) == values[s]
            minus = odd(k & z[s]) == (sign[s] > 0)
            factor[s - first] = turn * (shift[s] + minus) if held else 0.0
            some |= factor[s - first] != 0.0
        if not some:
            continue
        xr, xi = re[k], im[k]
        if each:
            for j in range(b):
                angle = 0.0
                for s in range(first, last):
                    angle += factor[s - first] * t[s, j]
                c, d = re.dtype.type(np.cos(angle)), re.dtype.type(np.sin(angle))
                xr[j], xi[j] = xr[j] * c - xi[j] * d, xr[j] * d + xi[j] * c
        else:
            angle = 0.0
            for s in range(first, last):
                angle += factor[s - first] * t[s, 0]
            c, d = re.dtype.type(np.cos(angle)), re.dtype.type(np.sin(angle))
            for j in range(b):
                xr[j], xi[j] = xr[j] * c - xi[j] * d, xr[j] * d + xi[j] * c


@compiled
@no_type_check
def phase_gradient(re, im, lre, lim, first, last, z, sign, shift, controls, values, each, gradient):
    """Adds -2 pi Im sum conj(lambda) (shift + [P = -1]) psi of each diagonal step; all of them commute with the phase."""
    n, b = re.shape
    for k in range(n):
        xr, xi, ur, ui = re[k], im[k], lre[k], lim[k]
        if each:
            for s in range(first, last):
                if (k & controls[s]) == values[s]:
                    factor = -2 * np.pi * (shift[s] + (odd(k & z[s]) == (sign[s] > 0)))
                    if factor != 0.0:
                        row = gradient[s]
                        for j in range(b):
                            row[j] += factor * (ur[j] * xi[j] - ui[j] * xr[j])
        else:
            total = 0.0
            for j in range(b):
                total += ur[j] * xi[j] - ui[j] * xr[j]
            for s in range(first, last):
                if (k & controls[s]) == values[s]:
                    gradient[s, 0] += -2 * np.pi * (shift[s] + (odd(k & z[s]) == (sign[s] > 0))) * total


@compiled
@no_type_check
def string_factor(k, z, ys):
    """(-i)**ys (-1)**popcount(k & z): real and imaginary part."""
    s = 1.0 - 2.0 * odd(k & z)
    y = ys & 3
    return (s, 0.0) if y == 0 else (0.0, -s) if y == 1 else (-s, 0.0) if y == 2 else (0.0, s)


@compiled
@no_type_check
def pair(re, im, x, z, ys, sign, shift, controls, values, t, each, inverse):
    """A power of a Pauli string with x != 0, controlled; t (b,), or (1,) where all samples share it."""
    n, b = re.shape
    top = 1
    while top << 1 <= x:
        top <<= 1
    ar, ai, br, bi = np.empty(b, re.dtype), np.empty(b, re.dtype), np.empty(b, re.dtype), np.empty(b, re.dtype)
    for j in range(b):
        v = t[j if each else 0] * (-1.0 if inverse else 1.0)
        er, ei = np.cos(np.pi * v), np.sin(np.pi * v)
        pr, pi = np.cos(np.pi * shift * v), np.sin(np.pi * shift * v)
        ar[j], ai[j] = (1 + er) / 2 * pr - ei / 2 * pi, (1 + er) / 2 * pi + ei / 2 * pr
        br[j] = sign * ((1 - er) / 2 * pr + ei / 2 * pi)
        bi[j] = sign * ((1 - er) / 2 * pi - ei / 2 * pr)
    for k in range(n):
        if k & top or (k & controls) != values:
            continue
        i = k ^ x
        # from i to k and from k to i: the two are conjugate, as P is Hermitian
        fr, fi = string_factor(k, z, ys)
        fr, fi = re.dtype.type(fr), re.dtype.type(fi)
        xr, xi, yr, yi = re[k], im[k], re[i], im[i]
        for j in range(b):
            pr, pi, qr, qi = xr[j], xi[j], yr[j], yi[j]
            gr, gi = fr * qr - fi * qi, fr * qi + fi * qr
            hr, hi = fr * pr + fi * pi, fr * pi - fi * pr
            xr[j] = ar[j] * pr - ai[j] * pi + br[j] * gr - bi[j] * gi
            xi[j] = ar[j] * pi + ai[j] * pr + br[j] * gi + bi[j] * gr
            yr[j] = ar[j] * qr - ai[j] * qi + br[j] * hr - bi[j] * hi
            yi[j] = ar[j] * qi + ai[j] * qr + br[j] * hi + bi[j] * hr


@compiled
@no_type_check
def pair_gradient(re, im, lre, lim, x, z, ys, sign, shift, controls, values, each, gradient):
    """Adds -2 pi Im sum conj(lambda) ((shift + 1/2) - P / 2) psi on the controlled states."""
    n, b = re.shape
    for k in range(n):
        if (k & controls) != values:
            continue
        fr, fi = string_factor(k, z, ys)
        fr, fi = re.dtype.type(-0.5 * sign * fr), re.dtype.type(-0.5 * sign * fi)
        half = re.dtype.type(shift + 0.5)
        xr, xi, yr, yi, ur, ui = re[k], im[k], re[k ^ x], im[k ^ x], lre[k], lim[k]
        if each:
            for j in range(b):
                gr = half * xr[j] + fr * yr[j] - fi * yi[j]
                gi = half * xi[j] + fr * yi[j] + fi * yr[j]
                gradient[j] += -2 * np.pi * (ur[j] * gi - ui[j] * gr)
        else:
            total = 0.0
            for j in range(b):
                gr = half * xr[j] + fr * yr[j] - fi * yi[j]
                gi = half * xi[j] + fr * yi[j] + fi * yr[j]
                total += ur[j] * gi - ui[j] * gr
            gradient[0] += -2 * np.pi * total


@compiled
@no_type_check
def forward(re, im, spare_re, spare_im, code, permutation, table, t, each):
    """All instructions; the state ends in `re`, `im` or, if True is returned, in the spare arrays.

    code: rows (kind, bit, first step, last step, row of `permutation`). table: (axis, sign, shift, x, z, ys, controls,
    values) of the steps, in the order of the instructions. t (steps, b); each (steps,): whether samples differ in it.
    """
    axis, sign, shift, x, z, ys, controls, values = table
    b = re.shape[1]
    swapped = False
    m, many, column = np.empty(8), np.empty((8, b), re.dtype), np.empty(len(each))
    for i in range(len(code)):
        kind, bit, first, last, row = code[i]
        here_re, here_im = (spare_re, spare_im) if swapped else (re, im)
        if kind == ONE:
            if differs(first, last, each):
                block_matrices(first, last, axis, sign, shift, t, each, column, m, many)
                one_each(here_re, here_im, 1 << bit, many)
            else:
                block_matrix(first, last, axis, sign, shift, t[:, 0], m)
                one(here_re.reshape(-1), here_im.reshape(-1), (1 << bit) * b, m)
        elif kind == PERMUTE:
            there_re, there_im = (re, im) if swapped else (spare_re, spare_im)
            gather(here_re, here_im, permutation[row], there_re, there_im)
            swapped = not swapped
        elif kind == PHASE:
            phase(here_re, here_im, first, last, z, sign, shift, controls, values, t, differs(first, last, each), False)
        else:
            s = first
            pair(here_re, here_im, x[s], z[s], ys[s], sign[s], shift[s], controls[s], values[s], t[s], each[s], False)
    return swapped


@compiled
@no_type_check
def backward(re, im, lre, lim, spare, code, permutation, table, t, each, gradient):
    """Undo all instructions on both states; gradient (steps, b), in column 0 where samples share a parameter."""
    axis, sign, shift, x, z, ys, controls, values = table
    b = re.shape[1]
    m, many, column = np.empty(8), np.empty((8, b), re.dtype), np.empty(len(each))
    environment, own = np.empty(8), np.empty(len(each))
    environments = np.empty((8, b), re.dtype)
    for i in range(len(code) - 1, -1, -1):
        kind, bit, first, last, row = code[i]
        if kind == ONE:
            if differs(first, last, each):
                block_matrices(first, last, axis, sign, shift, t, each, column, m, many)
                environments[:] = 0
                one_each_back(re, im, lre, lim, 1 << bit, many, environments)
                for j in range(b):
                    for s in range(first, last):
                        column[s] = t[s, j if each[s] else 0]
                        own[s] = 0.0
                    environment[:] = environments[:, j]
                    block_gradient(first, last, axis, sign, shift, column, environment, own)
                    for s in range(first, last):
                        gradient[s, j if each[s] else 0] += own[s]
            else:
                block_matrix(first, last, axis, sign, shift, t[:, 0], m)
                environment[:] = 0.0
                one_back(
                    re.reshape(-1), im.reshape(-1), lre.reshape(-1), lim.reshape(-1), (1 << bit) * b, m, environment
                )
                for s in range(first, last):
                    own[s] = 0.0
                block_gradient(first, last, axis, sign, shift, t[:, 0], environment, own)
                for s in range(first, last):
                    gradient[s, 0] += own[s]
        elif kind == PERMUTE:
            scatter(re, im, permutation[row], spare[0], spare[1])
            re[:], im[:] = spare[0], spare[1]
            scatter(lre, lim, permutation[row], spare[0], spare[1])
            lre[:], lim[:] = spare[0], spare[1]
        elif kind == PHASE:
            differ = differs(first, last, each)
            phase_gradient(re, im, lre, lim, first, last, z, sign, shift, controls, values, differ, gradient)
            phase(re, im, first, last, z, sign, shift, controls, values, t, differ, True)
            phase(lre, lim, first, last, z, sign, shift, controls, values, t, differ, True)
        else:
            s = first
            pair_gradient(
                re, im, lre, lim, x[s], z[s], ys[s], sign[s], shift[s], controls[s], values[s], each[s], gradient[s]
            )
            pair(re, im, x[s], z[s], ys[s], sign[s], shift[s], controls[s], values[s], t[s], each[s], True)
            pair(lre, lim, x[s], z[s], ys[s], sign[s], shift[s], controls[s], values[s], t[s], each[s], True)


@compiled
@no_type_check
def probabilities(re, im, out):
    for k in range(re.shape[0]):
        for j in range(re.shape[1]):
            out[k, j] = re[k, j] * re[k, j] + im[k, j] * im[k, j]


@compiled
@no_type_check
def expect(re, im, scratch, x, z, ys, single, out):
    """out (terms, b): <P> of each string. single: the bit of strings that are one Z, else -1."""
    n, b = re.shape
    out[:] = 0
    folded = False
    for i in range(len(x)):
        if x[i]:
            for k in range(n):
                fr, fi = string_factor(k, z[i], ys[i])
                yr, yi = re[k ^ x[i]], im[k ^ x[i]]
                for j in range(b):
                    gr, gi = fr * yr[j] - fi * yi[j], fr * yi[j] + fi * yr[j]
                    out[i, j] += re[k, j] * gr + im[k, j] * gi
        elif single[i] < 0:
            for k in range(n):
                s = 1.0 - 2.0 * odd(k & z[i])
                for j in range(b):
                    out[i, j] += s * (re[k, j] * re[k, j] + im[k, j] * im[k, j])
        else:
            folded = True
    if not folded:
        return
    probabilities(re, im, scratch)
    half, bit = n >> 1, 0
    while 1 << (bit + 1) < n:
        bit += 1
    difference = np.empty(b, scratch.dtype)
    while half:
        difference[:] = 0
        for k in range(half):
            low, high = scratch[k], scratch[k + half]
            for j in range(b):
                difference[j] += low[j] - high[j]
                low[j] += high[j]
        for i in range(len(x)):
            if single[i] == bit:
                out[i] = difference
        half >>= 1
        bit -= 1


@compiled
@no_type_check
def observe(re, im, scratch, x, z, ys, single, weight, out_re, out_im):
    """lambda = sum of weight P psi; weight (terms, b)."""
    n, b = re.shape
    total = np.zeros((1, b), re.dtype)
    for i in range(len(x)):
        if single[i] >= 0:
            total[0] += weight[i].astype(re.dtype)
    scratch[0] = total[0]
    size, bit = 1, 0
    while size < n:
        twice = np.zeros(b, re.dtype)
        for i in range(len(x)):
            if single[i] == bit:
                twice += (2 * weight[i]).astype(re.dtype)
        for k in range(size):
            low, high = scratch[k], scratch[k + size]
            for j in range(b):
                high[j] = low[j] - twice[j]
        size <<= 1
        bit += 1
    for k in range(n):
        for j in range(b):
            out_re[k, j] = scratch[k, j] * re[k, j]
            out_im[k, j] = scratch[k, j] * im[k, j]
    for i in range(len(x)):
        if single[i] >= 0:
            continue
        for k in range(n):
            fr, fi = string_factor(k, z[i], ys[i])
            yr, yi = re[k ^ x[i]], im[k ^ x[i]]
            for j in range(b):
                w = weight[i, j]
                out_re[k, j] += w * (fr * yr[j] - fi * yi[j])
                out_im[k, j] += w * (fr * yi[j] + fi * yr[j])
