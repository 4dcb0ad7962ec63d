"""The one training loop, on Lightning Fabric: CPU, GPU, several processes by torchrun; killed and resumed to the bit."""

import copy
import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.core import encoders, machine, optim, progress, streams
from edubba.core import views as pictures
from edubba.core.errors import UserError
from edubba.core.images import Rows
from edubba.core.runs import Run
from edubba.core.settings import Fit, Views

LINES = 1000  # train lines in metrics.jsonl: enough for a curve, small enough for the longest run


@dataclass(frozen=True)
class Plan:
    """Steps of a training, and which pictures are in each: functions of the position alone."""

    n: int
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return self.n // self.batch_size

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def index(self, step: int, rank: int = 0, world: int = 1) -> Int64[np.ndarray, "b"]:
        """This process's pictures of one step; the last incomplete batch of an epoch is left out."""
        order = _order(self.seed, self.epoch(step), self.n)
        first = (step % self.steps_per_epoch) * self.batch_size
        share = self.batch_size // world
        return order[first + rank * share : first + (rank + 1) * share]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> Int64[np.ndarray, "n"]:
    return streams.permutation(seed, "order", epoch, n=n)


def plan(spec: Fit, n: int) -> Plan:
    """Steps for n pictures. Fewer pictures than a batch make one batch an epoch."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batch_size = min(spec.batch_size, n) // world * world
    if batch_size < 2 * world:
        raise UserError(
            f"{n} pictures in batches of {spec.batch_size} over {world} processes leave fewer than 2 a process"
        )
    for name, least in (("epochs", 1), ("accumulate", 1), ("lr", 0), ("weight_decay", 0), ("warmup_epochs", 0)):
        if getattr(spec, name) < least:
            raise UserError(f"--{name.replace('_', '-')} {getattr(spec, name):g}: at least {least} is needed")
    if not 0 <= spec.ema < 1:
        raise UserError(f"--ema {spec.ema:g}: it must be at least 0 and below 1")
    return Plan(n=n, batch_size=batch_size, epochs=spec.epochs, seed=spec.seed)


def device_of(spec: Fit) -> torch.device:
    """The device meant by `auto`."""
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; leave it out to use the processor")
    return torch.device("cuda" if spec.device != "cpu" and torch.cuda.is_available() else "cpu")


def precision_of(spec: Fit) -> str:
    """`bf16` or `fp32`: what `auto` means on this machine."""
    if spec.precision != "auto":
        return spec.precision
    fast = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device_of(spec).type == "cuda"
        else machine.fast_bf16()
    )
    return "bf16" if fast else "fp32"


def use_threads(threads: int) -> int:
    """Set the processor threads of this process; 0 is all cores, shared among local processes."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = threads or max(1, machine.cores() // local)
    torch.set_num_threads(threads)
    return threads


@contextmanager
def first_process_first(spec: Fit) -> Generator[None]:
    """Under torchrun, let process 0 go through the block before the others: it fills caches and makes folders."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device_of(spec).type == "cuda" else "gloo")
    if dist.get_rank() > 0:
        dist.barrier()
    yield
    if dist.get_rank() == 0:
        dist.barrier()


def _fabric(device: torch.device, precision: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fabric's imports warn about packages we do not use
        from lightning_fabric import Fabric
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=device.type,
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=world // int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


@contextmanager
def _first_interrupt_waits() -> Generator[Callable[[], bool]]:
    """Ctrl-C ends the run after the step in progress; a second one ends it at once."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


Model = TypeVar("Model", bound=nn.Module)


def fit(
    model: Model,
    batch: Callable[[int, int, int], Any],
    loss: Callable[[nn.Module, Any], tuple[Tensor, dict[str, Any]]],
    *,
    spec: Fit,
    plan: Plan,
    run: Run | None = None,
    evaluate: Callable[[nn.Module, int], dict[str, Any]] | None = None,
    on_step: Callable[[int], None] | None = None,
    record: dict[str, Any] | None = None,
    began: float | None = None,
    what: str = "training",
) -> Model:
    """Train a network; go on from the run's checkpoint when there is one.

    Parameters
    ----------
    model
        Any network. It is trained in place and returned on the CPU in eval mode.
    batch
        batch(step, rank, world): any nest of tensors, a pure function of its arguments; this makes resuming exact.
    loss
        loss(model, batch): the scalar to minimise, and numbers to log: numbers, tensors, or functions that return one
        and are only called at steps that are logged. The mean over the processes is logged.
    plan
        How far to go, from the function `plan`.
    run
        Where to save, log and resume; None trains in memory.
    evaluate
        evaluate(model, step) on validation, in eval mode, with the averaged weights when there are any: numbers to
        log. `score` (higher is better) decides what `keep="best"` keeps: the first of the highest.
    on_step
        Called after every step with its number; may raise.
    record
        Filled at the end with `scores`, {step: score} of the evaluations on process 0, and `seconds`; both of all the
        sittings of a run.
    began
        time.perf_counter() when this sitting began, where `seconds` should count what went before; None: now.
    what
        Words before the progress bar.

    Raises
    ------
    ValueError
        `keep="best"` without `evaluate`.
    UserError
        The loss is no longer a number.
    KeyboardInterrupt
        Ctrl-C was pressed; the run was saved before.
    """
    began = time.perf_counter() if began is None else began
    if spec.keep == "best" and evaluate is None:
        raise ValueError('keep="best" needs evaluate (fit_classifier: validation), which tells what is best')
    device, precision = device_of(spec), precision_of(spec)
    steps, steps_per_epoch = plan.steps, plan.steps_per_epoch
    if run is not None:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        threads = use_threads(spec.threads)
        facts = run.resolve(threads=threads, precision=precision, device=device.type, processes=processes)
        precision = facts["precision"]
        if not spec.threads:
            use_threads(facts["threads"])
        elif threads != facts["threads"]:
            print(
                f"warning: this run began with {facts['threads']} threads and goes on with {threads}; the result will be"
                " as good, but not equal to the bit",
                file=sys.stderr,
            )
        if facts["processes"] != processes:
            raise UserError(f"{run.path} began with {facts['processes']} processes: go on with as many")
    elif spec.threads:
        use_threads(spec.threads)
    fabric = _fabric(device, precision)
    if fabric.world_size > 1:
        encoders.synchronise(model)
    average = copy.deepcopy(model).requires_grad_(False).eval() if spec.ema else None
    model = model.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    run_spec = replace(spec, batch_size=plan.batch_size)  # lr scaling goes by the batches there are
    peak = optim.peak_lr(run_spec)
    optimizer = optim.build(model, run_spec)
    with warnings.catch_warnings():
        # Fabric ties DDP's bucket views to gradients that channels_last has laid out otherwise: slower, not wrong
        warnings.filterwarnings("ignore", message=".*Grad strides do not match bucket view strides.*")
        net, optimizer = fabric.setup(model, optimizer)
        if average is not None:
            average.to(fabric.device)
        torch.manual_seed(spec.seed)  # for users' networks with dropout; ours draw by position
        state: dict[str, Any] = {"step": 0, "best": None, "best_score": -math.inf, "scores": {}, "seconds": 0.0}
        saved = run.load() if run is not None else None
        if run is not None and saved is not None:
            if "scores" not in saved:  # of edubba 0.1.0.dev0: the log knows them
                saved["scores"] = {line["step"]: line["score"] for line in run.metrics if "score" in line}
            state |= {name: saved[name] for name in state if name in saved}
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["rng"])
            if average is not None:
                average.load_state_dict(saved["average"])

        before_this = state["seconds"]

        def checkpoint() -> None:
            if run is not None:
                rng = torch.get_rng_state()
                state["seconds"] = before_this + time.perf_counter() - began
                run.save(
                    state
                    | {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": rng}
                    | ({"average": average.state_dict()} if average is not None else {})
                )

        def look(step: int) -> None:
            if evaluate is None or not fabric.is_global_zero:
                return
            shown = average if average is not None else model
            shown.eval()
            with torch.no_grad():
                numbers = evaluate(shown, step)
            if "score" in numbers:
                state["scores"][step] = float(numbers["score"])
            if spec.keep == "best" and numbers["score"] > state["best_score"]:
                state["best_score"] = float(numbers["score"])
                state["best"] = {k: v.detach().cpu().clone() for k, v in shown.state_dict().items()}
            if run is not None:
                run.log(kind="eval", step=step, epoch=step / steps_per_epoch, **numbers)

        save_every = spec.save_every or max(1, steps // 50)
        evaluate_every = spec.evaluate_every or max(1, steps // 10)
        log_every = math.ceil(steps / LINES)
        warmup = round(spec.warmup_epochs * steps_per_epoch)
        if run is not None and state["step"] == 0:
            run.log(kind="start", step=0, steps=steps, precision=precision, threads=torch.get_num_threads())
        clock = {"start": time.perf_counter(), "waiting": 0.0, "pictures": 0}
        with (
            _first_interrupt_waits() as interrupted,
            progress.bar(what, steps, done=state["step"], unit="steps") as show,
        ):
            saved_at, words = state["step"], ""
            while state["step"] < steps:
                step = state["step"]
                net.train()
                before = time.perf_counter()
                with _one_thread(device):
                    items = batch(step, fabric.global_rank, fabric.world_size)
                items = _to(items, fabric.device)
                clock["waiting"] += time.perf_counter() - before
                clock["pictures"] += plan.batch_size
                last_of_group = (step + 1) % spec.accumulate == 0 or step + 1 == steps
                with fabric.no_backward_sync(net, enabled=not last_of_group and fabric.world_size > 1):
                    value, numbers = loss(net, items)
                    fabric.backward(value / spec.accumulate)
                first_of_group = step - step % spec.accumulate
                lr = optim.schedule(first_of_group, peak=peak, warmup=warmup, steps=steps)
                if last_of_group:
                    norm = _gradient_norm(model) if step % log_every == 0 or spec.accumulate > 1 else None
                    for group in optimizer.param_groups:
                        group["lr"] = lr
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    if average is not None:
                        _follow(average, model, min(spec.ema, (1 + step) / (10 + step)))
                else:
                    norm = None
                state["step"] = step + 1
                if step % log_every == 0 or step + 1 == steps:
                    numbers = {name: number() if callable(number) else number for name, number in numbers.items()}
                    values = [value.detach(), *numbers.values()]
                    values = torch.stack(
                        [torch.as_tensor(v, dtype=torch.float64, device=fabric.device) for v in values]
                    )
                    number, *others = fabric.all_reduce(values, reduce_op="mean").tolist()
                    numbers = dict(zip(numbers, others, strict=True))
                    words = f"loss {number:.3f}"
                    if not math.isfinite(number):
                        raise UserError(
                            f"the loss is {number} at step {step + 1} of {steps}: lower --lr (now {peak:g}), lengthen"
                            " --warmup-epochs, or use --precision fp32"
                        )
                    seconds = max(1e-9, time.perf_counter() - clock["start"])
                    speed = {"images_per_second": clock["pictures"] / seconds, "waiting": clock["waiting"] / seconds}
                    clock = {"start": time.perf_counter(), "waiting": 0.0, "pictures": 0}
                    extra: dict[str, Any] = {} if norm is None else {"grad_norm": norm}
                    if run is not None:
                        run.log(
                            step=step + 1, epoch=(step + 1) / steps_per_epoch, loss=number, lr=lr,
                            **extra, **speed, **numbers,
                        )  # fmt: skip
                show(step + 1, words)
                if (step + 1) % evaluate_every == 0 or step + 1 == steps:
                    look(step + 1)
                # inside a group the gradients so far would be lost
                stop = last_of_group and _any_process(fabric, interrupted())
                due = (step + 1) // save_every > saved_at // save_every
                if last_of_group and (due or step + 1 == steps or stop):
                    checkpoint()
                    saved_at = step + 1
                if on_step is not None:
                    on_step(step + 1)
                if stop:
                    fabric.barrier()  # torchrun ends all processes as soon as one has ended: process 0 saves first
                    raise KeyboardInterrupt
    final = average if average is not None else model
    best = fabric.broadcast(state["best"]) if spec.keep == "best" else None  # process 0 alone has looked
    if best is not None:
        final.load_state_dict(best)
    if record is not None:
        record |= {"scores": state["scores"], "seconds": before_this + time.perf_counter() - began}
    return final.cpu().eval()


def _any_process(fabric: Any, asked: bool) -> bool:
    """Whether any process was asked to stop: all must leave after the same step, or those that stay wait for ever.

    Costs the exchange of one number, at steps where all gradients are exchanged too.
    """
    if fabric.world_size == 1:
        return asked
    return bool(fabric.all_reduce(torch.tensor(float(asked), device=fabric.device), reduce_op="sum"))


@contextmanager
def _one_thread(device: torch.device) -> Generator[None]:
    """Making a batch is many small operations: on the processor threads cost more in waiting than they bring."""
    if device.type != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs) if not mine.is_floating_point() else mine.lerp_(theirs, 1 - decay)


def _gradient_norm(model: nn.Module) -> float:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))


def _to(items: Any, device: torch.device) -> Any:
    if isinstance(items, Tensor):
        return items.to(device)
    if isinstance(items, tuple | list):
        return type(items)(_to(item, device) for item in items)
    return items


class Classifier(nn.Module):
    """An encoder and a linear layer: pictures in [0, 1] to logits.

    What is known besides the picture (`side` numbers: its original shape, its period) scales and shifts the features
    (Perez et al. 2018); it starts without effect.
    """

    def __init__(self, encoder: nn.Module, classes: int, *, seed: int = 0, side: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(encoder.dim, classes)  # ty: ignore[invalid-argument-type]
        generator = torch.Generator().manual_seed(streams.key(seed, "linear") % 2**63)
        nn.init.normal_(self.linear.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.linear.bias)
        self.side = nn.Linear(side, 2 * encoder.dim) if side else None  # ty: ignore[unsupported-operator]
        if self.side is not None:
            nn.init.zeros_(self.side.weight)
            nn.init.zeros_(self.side.bias)

    def features(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        """What the linear layer sees, (n, dim)."""
        h = self.encoder(x)
        if self.side is None or side is None:
            return h
        scale, shift = self.side(side).chunk(2, dim=1)
        return h * (1 + scale) + shift

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        return self.linear(self.features(x, side))


def fit_classifier(
    encoder: nn.Module,
    images: np.ndarray | Rows,
    labels: np.ndarray,
    *,
    spec: Fit,
    size: int,
    classes: int,
    validation: tuple[np.ndarray | Rows, np.ndarray] | tuple[np.ndarray | Rows, np.ndarray, np.ndarray] | None = None,
    side: Callable[[np.ndarray, int], Float32[np.ndarray, "b k"]] | None = None,
    shown: Callable[[np.ndarray, int], np.ndarray] | None = None,
    small: int = 0,
    views: Views | None = None,
    shape_hw: np.ndarray | None = None,
    channels: int | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    run: Run | None = None,
    record: dict[str, Any] | None = None,
    what: str = "training a classifier",
) -> Classifier:
    """Train an encoder and a linear layer on labelled pictures.

    Parameters
    ----------
    encoder
        Pictures in [0, 1], (n, c, size, size), to (n, encoder.dim); trained further in place.
    images, labels
        (n, S, S, c) uint8, read a batch at a time, and (n,) integers 0..classes-1.
    size
        Side of the views, pixels.
    validation
        Pictures and labels (and what stands beside them, where there is `side`) that are looked at while training;
        `keep="best"` needs them.
    side
        side(index, epoch): numbers that are known besides each item, see `Classifier`.
    shown
        shown(index, epoch): which picture is shown of each item, where there are more pictures than labels; None: each
        item has its own.
    small
        Side of the views in the first half of the steps, which then cost less; 0: `size` throughout. Validation is
        looked at in `size`, so its scores mean little before the second half.
    views
        One random view of a picture each time; None: the picture as it is.
    shape_hw
        (n, 2) original heights and widths, for crops in the original geometry.
    channels
        What the encoder takes, see `of_channels`; None: the pictures' own.
    loss
        loss(logits, labels).
    run, record
        As in `fit`.

    Raises
    ------
    ValueError
        `keep="best"` without `validation`.
    """
    width = side(np.arange(1), 0).shape[1] if side is not None else 0
    model = Classifier(encoder, classes, seed=spec.seed, side=width)
    order = plan(spec, len(labels))
    resolved = views.resolve(size) if views is not None else None
    hw = shape_hw if shape_hw is not None else np.full((len(images), 2), images.shape[1])
    device = device_of(spec)
    target = torch.from_numpy(labels.astype(np.int64))

    def batch(step: int, rank: int, world: int) -> tuple[Tensor, ...]:
        index, epoch = order.index(step, rank, world), order.epoch(step)
        rows = index if shown is None else shown(index, epoch)
        x = torch.from_numpy(of_channels(images[rows], channels)).to(device)
        beside = () if side is None else (torch.from_numpy(side(index, epoch)),)
        now = small if small and step < order.steps // 2 else size
        if resolved is None:
            return pictures.evaluation(x, size=now), target[index], *beside
        drawn = pictures.draw(resolved, index, seed=spec.seed, epoch=epoch, view=0, size=now, shape_hw=hw[rows])
        return pictures.apply(x, drawn, size=now), target[index], *beside

    def objective(net: nn.Module, items: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Any]]:
        return loss(net(items[0], *items[2:]), items[1]), {}

    def evaluate(net: nn.Module, step: int) -> dict[str, Any]:
        assert validation is not None
        beside = validation[2] if len(validation) == 3 else None
        logits = predict(net, validation[0], size=size, channels=channels, side=beside)
        return {"score": float((logits.argmax(1).numpy() == validation[1]).mean())}

    return fit(
        model, batch, objective, spec=spec, plan=order, run=run, evaluate=evaluate if validation is not None else None,
        record=record, what=what,
    )  # fmt: skip


def of_channels(x: UInt8[np.ndarray, "n h w c"], channels: int | None) -> UInt8[np.ndarray, "n h w k"]:
    """Pictures with as many channels as an encoder takes: grey ones three times over, colour ones as their luma.

    >>> of_channels(np.array([[[[255, 0, 0]]]], np.uint8), 1).tolist()
    [[[[76]]]]
    """
    if channels is None or x.shape[3] == channels:
        return x
    if channels == 3:
        return np.repeat(x, 3, axis=3)
    return np.rint(x @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)[..., None]


@torch.no_grad()
def predict(
    model: nn.Module,
    images: np.ndarray | Rows,
    *,
    size: int,
    channels: int | None = None,
    side: np.ndarray | None = None,
    batch_size: int = 256,
) -> Tensor:
    """Outputs for pictures (n, S, S, c) uint8, in fp32 and eval mode: (n, ...) on the CPU.

    Only `batch_size` pictures are in memory at a time; `channels` is what the model takes, see `of_channels`; `side`
    (n, k) is what it takes besides.
    """
    device = next(model.parameters()).device
    was = model.training
    model.eval()
    rows = []
    for i in range(0, len(images), batch_size):
        x = of_channels(np.array(images[i : i + batch_size]), channels)
        x = pictures.evaluation(torch.from_numpy(x).to(device), size=size)
        beside = () if side is None else (torch.from_numpy(side[i : i + batch_size]).to(device),)
        rows.append(model(x.contiguous(memory_format=torch.channels_last), *beside).float().cpu())
    model.train(was)
    return torch.cat(rows)
