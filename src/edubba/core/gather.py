"""Tensors of all processes in each of them, with their gradients."""

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def world() -> int:
    """Number of processes that train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Place of this process among them, from 0."""
    return dist.get_rank() if world() > 1 else 0


class AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous().clone()  # all_reduce writes into it
        dist.all_reduce(grad)
        return grad.chunk(world())[rank()]


def all_gather(x: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "m ..."]:
    """The rows of all processes, in the order of their ranks.

    Every process must call it, with the same shape. The gradient is that of the *sum* of all processes' losses, so
    averaging the parameters' gradients, as DistributedDataParallel does, gives the gradient of the mean loss.
    Without torch.distributed it returns `x` itself.
    """
    return AllGather.apply(x.contiguous()) if world() > 1 else x
