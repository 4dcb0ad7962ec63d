"""What a suspect's answers to pushed pictures say about the carriers.

Fresh pictures are pushed both ways along each shared direction, without any key; the same pushed pictures serve every
key, class, recipient and suspect. How much more likely each class becomes is compared with the carriers. Each sign of
a carrier's coordinate is a fair coin that the owner has committed to, whatever its size.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, UInt8

from edubba.core.images import Pictures
from edubba.trace import marking
from edubba.trace.laws import EProcess
from edubba.trace.markers import Readout

PUSH = 2.0
"""budgets of a mark: probes are never published, and a clear question gets a clearer answer"""


def probes(
    readouts: Sequence[Readout], pictures: Pictures, *, r: int, psnr: float, steps: int = 6, seed: int = 0
) -> UInt8[np.ndarray, "2 r m s s c"]:
    """Pictures pushed forth (0) and back (1) along each of r directions.

    Parameters
    ----------
    pictures
        Held-out pictures, m of them.
    psnr
        Of a mark, dB; probes go `PUSH` times as far.
    """
    x = np.array(pictures.x[:])
    index = np.arange(len(x))
    out = np.empty((2, r, *x.shape), np.uint8)
    quality = psnr - 20 * math.log10(PUSH)
    for direction in range(r):
        for side, sign in enumerate((1.0, -1.0)):
            wanted = np.zeros((len(x), r))
            wanted[:, direction] = sign
            delta = marking.push(
                readouts, x, wanted, index=index, shape_hw=pictures.shape_hw, psnr=quality, max_delta=255.0, steps=steps,
                seed=seed, crops=False,
            )  # fmt: skip
            out[side, direction] = (x + delta).round().clip(0, 255).astype(np.uint8)
    return out


def responses(log_probabilities: Float[np.ndarray, "2 r m k"]) -> Float64[np.ndarray, "k r"]:
    """Mean change of each class's log-probability from pushed back to pushed forth, minus what all classes share."""
    change = (log_probabilities[0].astype(np.float64) - log_probabilities[1]).mean(1)
    return (change - change.mean(1, keepdims=True)).T


def sequential(own: Float64[np.ndarray, "k r"], carriers: Float64[np.ndarray, "k r"]) -> Float64[np.ndarray, "r"]:
    """log10 of the bound on p after each direction has been asked, valid whenever one stops.

    Each direction settles K coins: whether the response of a class has the sign of its carrier's coordinate. The
    classes of a direction are taken with the strongest response first, which no coin decides.
    """
    process, bound = EProcess(), []
    for direction in range(own.shape[1]):
        response, coin = own[:, direction], carriers[:, direction] > 0
        for k in np.argsort(-np.abs(response), kind="stable"):
            if response[k] != 0:
                process.update(bool((response[k] > 0) == coin[k]))
        bound.append(process.log10_p)
    return np.array(bound)
