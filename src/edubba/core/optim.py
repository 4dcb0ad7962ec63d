"""LARS, what weight decay is applied to, and how the learning rate goes over the steps."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from edubba.core.errors import UserError
from edubba.core.settings import Fit


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rates (You et al. 2017), in the form that SimCLR trains with.

    For each tensor w with gradient g: g + weight_decay w is scaled by trust |w| / |g| (by 1 where a norm is 0), then
    v = momentum v + lr g and w = w - v. No Nesterov, no clipping.

    Parameters
    ----------
    params
        Tensors or groups. A group with `adapt=False` is not scaled: biases and batch norms, see `parameter_groups`.
    lr
        Learning rate; SimCLR's is 0.3 batch_size / 256, or 0.075 sqrt(batch_size).
    momentum, weight_decay, trust
        As above; SimCLR decays by 1e-6, its second version by 1e-4.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad.add(w, alpha=group["weight_decay"])
                if group["adapt"]:
                    size, slope = w.norm(), g.norm()
                    g.mul_(torch.where((size > 0) & (slope > 0), group["trust"] * size / slope, 1.0))
                if "velocity" not in self.state[w]:
                    self.state[w]["velocity"] = torch.zeros_like(w)
                velocity = self.state[w]["velocity"]
                velocity.mul_(group["momentum"]).add_(g, alpha=group["lr"])
                w.sub_(velocity)
        return loss


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: weights, which are decayed; biases and norms (tensors of one dimension), which are left alone."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    weights = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay, "adapt": True},
        {"params": others, "weight_decay": 0.0, "adapt": False},
    ]


def build(module: nn.Module, spec: Fit) -> torch.optim.Optimizer:
    """The optimizer of `spec` for the trainable parameters of `module`, at its peak learning rate."""
    groups, lr = parameter_groups(module, spec.weight_decay), peak_lr(spec)
    match spec.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=lr)
        case "sgd":
            return torch.optim.SGD(groups, lr=lr, momentum=0.9)
        case "lars":
            return LARS(groups, lr)
    raise UserError(f"there is no optimizer {spec.optimizer!r}: take adamw, sgd or lars")


def peak_lr(spec: Fit) -> float:
    """Learning rate after warm-up: `lr`, times batch_size / 256 (`linear`) or sqrt(batch_size) (`sqrt`)."""
    match spec.lr_scaling:
        case "none":
            return spec.lr
        case "linear":
            return spec.lr * spec.batch_size / 256
        case "sqrt":
            return spec.lr * math.sqrt(spec.batch_size)
    raise UserError(f"there is no learning rate scaling {spec.lr_scaling!r}: take none, sqrt or linear")


def schedule(step: int, *, peak: float, warmup: int, steps: int) -> float:
    """Learning rate of a step: linear from 0 over `warmup` steps, then half a cosine that reaches 0 at `steps`.

    >>> [schedule(step, peak=1.0, warmup=2, steps=6) for step in (0, 1, 2, 4, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return peak * step / warmup
    return peak / 2 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def warmup_steps(n: int, *, batch_size: int, epochs: float) -> int:
    """Warm-up steps as SimCLR's code counts them, for `n` pictures."""
    return round(epochs * n // batch_size)


def training_steps(n: int, *, batch_size: int, epochs: int) -> int:
    """Training steps as SimCLR's code counts them: one more than the full batches in all epochs."""
    return n * epochs // batch_size + 1
