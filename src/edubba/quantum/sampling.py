"""Shots: bits of a state, and expectations from bits, each shot used for every observable that it can serve."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from edubba.quantum import states
from edubba.quantum.programs import Pauli
from edubba.quantum.states import Term


def draw(psi: Complex[Tensor, "b d"], repetitions: int) -> Int64[Tensor, "b r"]:
    """Basis states, drawn with torch's generator."""
    probability = (psi.real.square() + psi.imag.square()).double()
    return torch.multinomial(probability / probability.sum(1, keepdim=True), repetitions, replacement=True)


def bits(shots: Int64[Tensor, "b r"], n: int) -> Tensor:
    """(b, r, n) int8, the first qubit first."""
    return (shots[..., None] >> torch.arange(n - 1, -1, -1, device=shots.device) & 1).to(torch.int8)


def grouped(observables: Sequence[Sequence[Term]]) -> list[tuple[int, int, list[tuple[int, Term]]]]:
    """Strings that commute qubit by qubit, so that one measurement serves them: (x, z, [(observable, string), ...]).

    First fit by falling |coefficient|. Booked by observable and string: equal strings in several observables stay apart.
    """
    groups: list[tuple[int, int, list[tuple[int, Term]]]] = []
    every = [(k, term) for k, terms in enumerate(observables) for term in terms]
    for k, term in sorted(every, key=lambda item: -abs(item[1].coefficient)):
        own = term.x | term.z
        for i, (x, z, members) in enumerate(groups):
            both = own & (x | z)
            if term.x & both == x & both and term.z & both == z & both:
                groups[i] = (x | term.x, z | term.z, [*members, (k, term)])
                break
        else:
            groups.append((term.x, term.z, [(k, term)]))
    return groups


def turned(psi: Complex[Tensor, "b d"], x: int, z: int) -> Complex[Tensor, "b d"]:
    """The state in whose bits a string of these masks shows as a parity: X and Y turned into Z."""
    quarter = torch.full((len(psi),), 0.5, dtype=psi.real.dtype, device=psi.device)
    for bit in range(x.bit_length()):
        if x >> bit & 1:
            is_y = z >> bit & 1
            # a quarter turn about Y takes X to Z, one about X takes Y to Z
            around = Pauli(1 << bit, 0, 0, 1, -0.5, 0, 0) if is_y else Pauli(1 << bit, 1 << bit, 1, 1, -0.5, 0, 0)
            psi = states.step(psi, around, quarter if is_y else -quarter)
    return psi


def expectation(
    psi: Complex[Tensor, "b d"], observables: Sequence[Sequence[Term]], repetitions: int
) -> Float[Tensor, "b k"]:
    """Means over shots: so many for each group of strings that can be measured together."""
    out = psi.real.new_zeros(len(psi), len(observables))
    for x, z, members in grouped(observables):
        if not x | z:
            for k, term in members:
                out[:, k] += term.coefficient
            continue
        shots = draw(turned(psi, x, z), repetitions)
        for k, term in members:
            odd = torch.from_numpy(np.bitwise_count((shots & (term.x | term.z)).cpu().numpy()) & 1).to(psi.device)
            out[:, k] += term.coefficient * (1.0 - 2.0 * odd.to(out.dtype)).mean(1)
    return out
