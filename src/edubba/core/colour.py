"""Changes of colour, as torchvision defines them, for pictures whose channels come first: `(c, n, ...)`.

Channels lead so that one channel of all pictures is one dense plane: on a processor that makes every step a few passes
at memory speed. Nothing here clips or normalises: `views` clips after each step.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

MIXES = ("brightness", "contrast", "saturation")
MIDDLES = torch.tensor([3.0, 2.0, 4.0])  # sixths of the circle from red where red is lowest, and green and blue highest
LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601 as torchvision rounds it


def luma(x: Float[Tensor, "3 n *px"]) -> Float[Tensor, "n *px"]:
    """Brightness of each pixel: 0.2989 R + 0.587 G + 0.114 B."""
    return (x[0] * LUMA[0]).add_(x[1], alpha=LUMA[1]).add_(x[2], alpha=LUMA[2])


def mix(x: Float[Tensor, "c n *px"], factor: Float[Tensor, "n"], kind: Int64[Tensor, "n"]) -> Float[Tensor, "c n *px"]:
    """Change the brightness, contrast or saturation of each picture in place, whichever `kind` says (its place in `MIXES`).

    All three mix the picture with something of its own, factor x + (1 - factor) t: for the brightness t is black, for
    the contrast the picture's mean luma, for the saturation the luma of each pixel. A factor of 1 changes nothing.
    """
    grey = luma(x) if len(x) == 3 else x[0].clone()
    rest = 1 - factor
    flat = rest * grey.flatten(1).mean(1) * (kind == MIXES.index("contrast"))
    own = rest * (kind == MIXES.index("saturation"))
    target = grey.mul_(per_picture(own, x)[0]).add_(per_picture(flat, x)[0])
    return x.mul_(per_picture(factor, x)).add_(target)


def hue(x: Float[Tensor, "3 n *px"], shift: Float[Tensor, "n"]) -> Float[Tensor, "3 n *px"]:
    """Turn the hue of HSV by `shift` of the circle (-1 to 1), keeping saturation and value.

    Branch-free. With the channels scaled to u = (x - min) / (max - min), the hue lies 1 + u_g + u_b - u_r sixths of a
    circle from red, towards green where g > b, else towards blue. The gradient is right wherever one exists, except
    that along ties g = b the hue's own part is taken as 0.
    """
    r, g, b = x
    low = torch.minimum(torch.minimum(r, g), b)
    high = torch.maximum(torch.maximum(r, g), b)
    spread = high - low
    # greys have no hue: 0 / 1e-12 gives them one, which is then multiplied by their spread of 0
    from_red = (g + b).sub_(r).sub_(low).div_(spread.clamp_min(1e-12)).add_(1)
    turned = torch.add(per_picture(shift + 2, x)[0], torch.copysign(from_red, g - b), alpha=1 / 6)
    sixths = turned.frac_().mul_(6)
    # within a sixth of its middle a channel stays where it is, over the next it goes all the way to the other end
    way = (sixths - MIDDLES.to(x).view(3, *[1] * sixths.ndim)).abs_().sub_(1).clamp_(0, 1).mul_(spread)
    way[0].add_(low)
    way[1:].neg_().add_(high)
    return way


def grey(x: Float[Tensor, "3 n *px"]) -> Float[Tensor, "3 n *px"]:
    """The luma in all three channels."""
    return luma(x).expand_as(x)


def per_picture(value: Float[Tensor, "n"], x: Float[Tensor, "c n *px"]) -> Float[Tensor, "1 n *ones"]:
    """One number a picture, shaped to be combined with the pixels of `x`."""
    return value.view(1, -1, *[1] * (x.ndim - 2))
