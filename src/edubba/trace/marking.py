"""Marks: pictures moved along their class's carrier, as little as the eye can see (Sablayrolles et al. 2020).

The paper weighs the shift against penalties that had to be tuned anew for each data set. Here the budgets are
constraints: each step follows the gradient at a fixed length, then the change is projected back within the distance in
grey levels (PSNR), the largest change of a pixel, and what 8 bits can hold.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor

from edubba.core import views
from edubba.core.settings import Views
from edubba.trace.markers import Readout

CROPS = Views(crop_min=0.6, flip=0.5, jitter=0.0, grey=0.0, blur=0.0)
"""what the mark must survive: drawn afresh at each step, the same for a picture and its marked twin"""
WHOLE = Views(crop_min=1.0, flip=0.0, jitter=0.0, grey=0.0, blur=0.0)
ROUNDING = 1 / 12
"""mean squared error that rounding to whole grey levels adds"""
REACH = 3.0
"""length of all steps together, in budgets: enough to turn back from a first direction that crops do not confirm"""


def rms_of(psnr: float) -> float:
    """Grey levels of root mean square change that a PSNR in dB allows.

    >>> round(rms_of(42.0), 4)
    2.0255
    """
    return 255 / 10 ** (psnr / 20)


def project(delta: Tensor, base: Tensor, *, rms: float, max_delta: float) -> Float[Tensor, "n c h w"]:
    """The change within its bounds: 0 to 255, `max_delta` a pixel, `rms` a picture."""
    delta = (base + delta.clamp(-max_delta, max_delta)).clamp(0, 255) - base
    length = delta.square().mean((1, 2, 3), keepdim=True).sqrt()
    return delta * (rms / length.clamp_min(rms))


def push(
    readouts: Sequence[Readout],
    x: UInt8[np.ndarray, "n s s c"],
    directions: Float64[np.ndarray, "n r"],
    *,
    index: Int[np.ndarray, "n"],
    shape_hw: Int[np.ndarray, "n 2"],
    psnr: float,
    max_delta: float,
    steps: int,
    seed: int,
    crops: bool = True,
) -> Float[np.ndarray, "n s s c"]:
    """Changes, in grey levels, that move pictures along their directions in the eyes of all markers.

    Parameters
    ----------
    x
        The pictures, squashed to squares.
    directions
        Unit vectors in the shared coordinates, one a picture.
    index
        The pictures' numbers in their source: the crops are drawn by them, so that batches change nothing.
    psnr, max_delta
        Budgets: dB of a picture after rounding to whole grey levels, and grey levels of 255 of a value.
    crops
        Whether each step sees another random crop; without, the whole picture.
    """
    base = torch.from_numpy(x).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    wanted = torch.from_numpy(directions).float()
    rms = math.sqrt(max(rms_of(psnr) ** 2 - ROUNDING, ROUNDING))
    delta = torch.zeros_like(base)
    spec = CROPS if crops else WHOLE
    for step in range(steps):
        delta = delta.detach().requires_grad_(True)
        # a different view for each marker costs nothing and is one more thing the mark must survive
        along = []
        for i, readout in enumerate(readouts):
            drawn = views.draw(spec, index, seed=seed, epoch=step, view=i, size=readout.size, shape_hw=shape_hw)
            seen = views.apply((base + delta) / 255, drawn, size=readout.size)
            along.append((readout(seen) * wanted).sum())
        (gradient,) = torch.autograd.grad(torch.stack(along).sum(), delta)
        with torch.no_grad():
            length = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
            # the last steps are short: the change settles instead of swinging between two crops
            rate = REACH * rms / steps * 2 * (1 - step / steps)
            delta = project(delta + rate * gradient / (length + 1e-20), base, rms=rms, max_delta=max_delta)
    return delta.detach().permute(0, 2, 3, 1).contiguous().numpy()
