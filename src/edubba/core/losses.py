"""Contrastive losses over all processes' negatives, and measures of how good an embedding is without labels."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from edubba.core.errors import UserError
from edubba.core.gather import all_gather, rank, world

BLOCK = 2**22  # similarities held at once: 16 MB in float32


def nt_xent(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], *, temperature: float = 0.5) -> Float[Tensor, ""]:
    """NT-Xent: how hard it is to pick an image's other view out of the batch.

    Equation 1 of SimCLR (Chen et al. 2020), mean over both directions. When torch.distributed runs, the views of all
    processes are candidates and the mean is over this process's 2n rows: the mean of the processes' losses is the
    loss of one big batch, and gradients averaged over processes (DistributedDataParallel) are its gradient.

    Parameters
    ----------
    z1, z2
        Projections of the two views; row i of both belongs to image i. Need not be normalised. Computed in float32
        (float64 if given), outside autocast. Every process brings the same n; at least 2 images in all.
    temperature
        Divides the cosine similarities; positive.

    Returns
    -------
    Loss in nats, never below `nt_xent_floor(n)`; before any learning about log(2n - 1), n counted over all processes.
    Memory grows with n, not with its square: similarities are computed by blocks, and again in the backward pass.

    >>> z = torch.eye(4)
    >>> round(nt_xent(z, z).item(), 3)  # log(1 + 6 / e^2)
    0.594
    """
    return contrast(z1, z2, temperature, positive_is_candidate=True)


def dcl(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], *, temperature: float = 0.5) -> Float[Tensor, ""]:
    """Decoupled contrastive loss: NT-Xent with the positive left out of the denominator.

    Yeh et al. 2022, the form without weights. Parameters, processes and cost as in `nt_xent`. It can be negative;
    before any learning it is about log(2n - 2).

    >>> z = torch.eye(4)
    >>> round(dcl(z, z).item(), 3)  # log(6) - 2
    -0.208
    """
    return contrast(z1, z2, temperature, positive_is_candidate=False)


def contrast(z1: Tensor, z2: Tensor, temperature: float, *, positive_is_candidate: bool) -> Tensor:
    check_temperature(temperature)
    with torch.autocast(z1.device.type, enabled=False):  # bf16 similarities lose the positives at small temperatures
        rows, columns, own, positive = candidates(z1, z2)
        masked = own[:, None] if positive_is_candidate else torch.stack([own, positive], dim=1)
        to_positive = (rows * rows.roll(len(z1), 0)).sum(1) / temperature
        return (RowLogSumExp.apply(rows, columns, masked, temperature) - to_positive).mean()


def candidates(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unit rows (2n, d) of this process, those of all (2N, d), and the columns of each row's self and positive."""
    counts = all_gather(torch.tensor([len(z1)], device=z1.device)).tolist() if world() > 1 else [len(z1)]
    if len(set(counts)) > 1:
        raise UserError(f"the processes bring {counts} images to one step; each must bring the same number")
    n, total = len(z1), sum(counts)
    if total < 2:
        raise UserError(f"a batch of {total} image(s) has no negatives; a contrastive loss needs at least 2 images")
    z = torch.stack([z1, z2])
    z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=2)
    everyone = all_gather(z.transpose(0, 1)).transpose(0, 1) if world() > 1 else z
    image = torch.arange(n, device=z.device) + rank() * n
    own, positive = torch.cat([image, image + total]), torch.cat([image + total, image])
    return z.flatten(0, 1), everyone.flatten(0, 1), own, positive


def blocks(rows: Tensor, columns: Tensor, masked: Tensor, temperature: float) -> Iterator[tuple[slice, Tensor]]:
    """Similarities (block, 2N) over the temperature, -inf at the masked columns of each row."""
    size = max(1, BLOCK // len(columns))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield part, ((rows[part] / temperature) @ columns.T).scatter_(1, masked[part], -torch.inf)


class RowLogSumExp(torch.autograd.Function):
    """log sum exp of each row of similarities, which are never all in memory unless they fit into one block."""

    @staticmethod
    def forward(ctx, rows: Tensor, columns: Tensor, masked: Tensor, temperature: float) -> Tensor:
        lse = rows.new_empty(len(rows))
        for part, logits in blocks(rows, columns, masked, temperature):
            top = logits.amax(1, keepdim=True)
            total = logits.sub_(top).exp_().sum(1, keepdim=True)
            lse[part] = (top + total.log())[:, 0]
        one_block = len(logits) == len(rows)
        ctx.softmax = logits.div_(total) if one_block else None
        ctx.save_for_backward(rows, columns, masked, lse)
        ctx.temperature = temperature
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        rows, columns, masked, lse = ctx.saved_tensors
        grad = grad[:, None] / ctx.temperature
        with torch.autocast(rows.device.type, enabled=False):
            if ctx.softmax is not None:
                weight = ctx.softmax * grad
                return weight @ columns, weight.T @ rows, None, None
            grad_rows, grad_columns = torch.empty_like(rows), torch.zeros_like(columns)
            for part, logits in blocks(rows, columns, masked, ctx.temperature):
                weight = logits.sub_(lse[part, None]).exp_().mul_(grad[part])
                torch.mm(weight, columns, out=grad_rows[part])
                grad_columns.addmm_(weight.T, rows[part])
        return grad_rows, grad_columns, None, None


def nt_xent_floor(n: int, *, temperature: float) -> float:
    """The least that NT-Xent can be for `n` images: both views alike, images at the corners of a regular simplex.

    n counts the images of all processes. The floor is reached only where z has at least n - 1 dimensions.

    >>> round(nt_xent_floor(256, temperature=0.5), 4)
    4.2411
    """
    check_temperature(temperature)
    if n < 2:
        raise UserError(f"a batch of {n} image(s) has no negatives; a contrastive loss needs at least 2 images")
    return math.log1p((2 * n - 2) * math.exp(-(1 + 1 / (n - 1)) / temperature))


@torch.no_grad()
def contrastive_accuracy(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Share of the 2n views whose other view is nearer (by cosine) than every other picture's view.

    Processes and blocks as in `nt_xent`: this process's rows, everybody's candidates. Ties count as failures, so a
    collapsed embedding scores 0. Chance is 1 / (2n - 1).
    """
    with torch.autocast(z1.device.type, enabled=False):
        rows, columns, own, positive = candidates(z1, z2)
        hits = rows.new_zeros(())
        for part, cosine in blocks(rows, columns, own[:, None], 1.0):
            to_positive = cosine.gather(1, positive[part, None])
            hits += (cosine.scatter_(1, positive[part, None], -torch.inf) < to_positive).all(1).sum()
        return hits / len(rows)


def alignment(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance of an image's two views on the unit sphere (Wang and Isola 2020); 0 is best, 2 is chance."""
    return (unit(z1) - unit(z2)).square().sum(1).mean()


def uniformity(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Log of the mean of exp(-2 |z_i - z_j|^2) over pairs i < j on the unit sphere (Wang and Isola 2020).

    0 when all are the same; near -4 when spread evenly over many dimensions. Holds all n (n - 1) / 2 distances at once.
    """
    return (-2 * F.pdist(unit(z)).square()).logsumexp(0) - math.log(len(z) * (len(z) - 1) / 2)


def effective_rank(h: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """RankMe (Garrido et al. 2023): exp of the entropy of the singular values, each over their sum plus 1e-7.

    Of the matrix as it is; subtract the mean of the rows first for the centred form, where collapse to one point does
    not count as a dimension. Between 1 and min(n, d): take some thousand held-out images.
    """
    values = torch.linalg.svdvals(h.double())
    share = values / values.sum() + 1e-7
    return torch.exp(-(share * share.log()).sum())


def unit(z: Tensor) -> Tensor:
    return F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)


def check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise UserError(f"temperature is {temperature:g}; it must be positive, usually 0.05 to 1")
