"""Networks that turn pictures into features, their projection heads, and the normalisation that belongs to them."""

import copy
import importlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from edubba.core import streams
from edubba.core.errors import UserError
from edubba.core.gather import all_gather, world


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class Residual(nn.Module):
    """ReLU(body(x) + shortcut(x)); the shortcut is a 1 x 1 convolution where the shape changes."""

    def __init__(self, body: nn.Sequential, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = body
        self.dim = outputs
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def basic(inputs: int, channels: int, stride: int) -> Residual:
    """Two 3 x 3 convolutions (He et al. 2016)."""
    body = nn.Sequential(
        conv(inputs, channels, 3, stride), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        conv(channels, channels, 3), nn.BatchNorm2d(channels),
    )  # fmt: skip
    return Residual(body, inputs, channels, stride)


def bottleneck(inputs: int, channels: int, stride: int) -> Residual:
    """1 x 1, 3 x 3, 1 x 1 to four times the channels; the stride is in the 3 x 3 ("v1.5")."""
    body = nn.Sequential(
        conv(inputs, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        conv(channels, channels, 3, stride), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        conv(channels, 4 * channels, 1), nn.BatchNorm2d(4 * channels),
    )  # fmt: skip
    return Residual(body, inputs, 4 * channels, stride)


class Plain(nn.Sequential):
    """One 3 x 3 convolution with batch norm and ReLU, no shortcut (after Simonyan and Zisserman 2015)."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__(conv(inputs, channels, 3, stride), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.dim = channels


class Standardise(nn.Module):
    """Each picture by itself to mean 0 and standard deviation 1."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        std, mean = torch.std_mean(x, dim=(1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (std + 1e-3)


# name: block, channels of each stage (a bottleneck gives four times as many), blocks in each stage
NETWORKS = {
    "plain": (Plain, (32, 64, 128, 128), (1, 1, 1, 1)),
    "small": (basic, (32, 64, 128), (1, 1, 1)),
    "glyph": (basic, (32, 64, 128, 256), (1, 2, 2, 2)),
    "resnet18": (basic, (64, 128, 256, 512), (2, 2, 2, 2)),
    "resnet34": (basic, (64, 128, 256, 512), (3, 4, 6, 3)),
    "resnet50": (bottleneck, (64, 128, 256, 512), (3, 4, 6, 3)),
}
GRID = {"small": 2, "glyph": 2}
"""features are means over so many by so many fields of the picture: where a stroke lies tells signs apart"""
HALF = ("small", "plain", "glyph")
"""networks whose stem halves the resolution where nothing else is said"""
STANDARDISED = ("glyph",)
"""networks that level every picture first: how bright and how clear it is says nothing about what is written"""
STEMS = ("auto", "small", "half", "imagenet")


def build(
    name: str,
    *,
    channels: int = 3,
    width: int = 1,
    stem: str = "auto",
    size: int = 32,
    seed: int = 0,
    **args: object,
) -> nn.Module:
    """A network from normalised pictures (n, channels, size, size) to features (n, dim), with its `.dim`.

    Residual networks (He et al. 2016) as SimCLR uses them: strided 3 x 3 in the bottlenecks, batch norm with eps 1e-5
    and momentum 0.1, the last batch norm of each block starts at gain 0, He's initialisation. `small` (three stages,
    32, 64 and 128 channels, means over the four quarters of the picture, so 512 features; 12 M multiplications a
    picture of 32 px) is made for processors, `glyph` (four stages, seven blocks, 1,024 features; 118 M
    multiplications a picture of 64 px) for single signs. Weights depend on `seed`
    and their own name alone.

    Parameters
    ----------
    name
        `small`, `glyph`, `plain` (no shortcuts, for a second opinion), `resnet18`, `resnet34`, `resnet50`; or `module:attribute`, an `nn.Module` or a function or class that
        makes one. It is imported and run: only for code you trust.
    channels
        Of the pictures: 3, or 1 for grey.
    width
        Multiplies all channels, so also dim, as SimCLR's x2 and x4 do.
    stem
        `small`: 3 x 3, keeps the resolution; `half`: 3 x 3, halves it; `imagenet`: 7 x 7 and pooling, quarters it.
        `auto`: imagenet from 96 px on; below, half for `small`, `plain` and `glyph`, small for the rest.
    size
        Side of the pictures, pixels. Decides what `auto` means; a network of yours is tried once on such pictures.
    seed
        Of the first weights. The global random state is left as it was.
    args
        Passed to a network of yours.

    Raises
    ------
    UserError
        No such network, stem or attribute; it is no module; or it does not give (n, d) features.
    """
    if ":" in name:
        return own_network(name, channels=channels, width=width, size=size, seed=seed, **args)
    if name not in NETWORKS:
        raise UserError(f"there is no network {name!r}: take {', '.join(NETWORKS)}, or your own as 'module:attribute'")
    if stem not in STEMS:
        raise UserError(f"there is no stem {stem!r}: take one of {', '.join(STEMS)}")
    if width < 1:
        raise UserError(f"width is {width}; it multiplies the channels: 1, 2 or 4")
    if args:
        raise UserError(f"{name} has no argument {next(iter(args))!r}; only a network of your own takes further ones")
    if stem == "auto":
        stem = "imagenet" if size >= 96 else "half" if name in HALF else "small"
    block, stages, depths = NETWORKS[name]
    with torch.device("meta"):  # nothing is drawn from the global generator
        features = stages[0] * width
        first = stem_layers(stem, channels, features)
        blocks: list[Residual | Plain] = []
        for stage, (stage_channels, depth) in enumerate(zip(stages, depths, strict=True)):
            for i in range(depth):
                blocks.append(block(features, stage_channels * width, 2 if i == 0 and stage > 0 else 1))
                features = blocks[-1].dim
        grid = GRID.get(name, 1)
        level = [Standardise()] if name in STANDARDISED else []
        network = nn.Sequential(*level, *first, *blocks, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
    network.to_empty(device="cpu")
    initialise(network, seed, "encoder")
    for residual in blocks:
        if isinstance(residual, Residual):
            nn.init.zeros_(residual.body[-1].weight)  # ty: ignore[invalid-argument-type]
    return with_dim(network, features * grid**2)


def with_dim(network: nn.Module, dim: int) -> nn.Module:
    network.dim = dim  # ty: ignore[invalid-assignment]
    return network


def stem_layers(stem: str, channels: int, features: int) -> list[nn.Module]:
    """First layers, which make `features` channels of the picture's."""
    size, stride = {"small": (3, 1), "half": (3, 2), "imagenet": (7, 2)}[stem]
    layers: list[nn.Module] = [conv(channels, features, size, stride), nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(3, 2, padding=1)] if stem == "imagenet" else layers


def initialise(module: nn.Module, seed: int, purpose: str) -> None:
    """He's normal weights, zero biases, batch norms as new; each tensor drawn by its own name."""
    for name, part in module.named_modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            generator = torch.Generator().manual_seed(streams.key(seed, f"weights/{purpose}/{name}"))
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.reset_parameters()


def own_network(name: str, *, channels: int, width: int, size: int, seed: int, **args: object) -> nn.Module:
    """A user's network, tried once for its dim. It stands inside a Sequential, so its own attributes are untouched."""
    if width != 1:
        raise UserError(f"width is {width}, but only the built-in networks have a width; leave it out for {name}")
    stream = streams.key(seed, "weights/own network")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream)
        found = find(name)
        torch.default_generator.manual_seed(stream)  # the first import may have drawn, later ones do not
        try:
            made = copy.deepcopy(found) if isinstance(found, nn.Module) else found(**args) if callable(found) else found
        except TypeError as error:
            raise UserError(f"{name} cannot be made with {args}: {error}") from error
        if not isinstance(made, nn.Module):
            raise UserError(
                f"{name} gives {type(made).__name__!r}; an nn.Module is needed, or a function that makes one"
            )
        network = nn.Sequential(made).eval()
        try:
            with torch.no_grad():
                out = network(torch.zeros(2, channels, size, size))
        except (RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{name} cannot take pictures (2, {channels}, {size}, {size}): {error}") from error
    shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
        raise UserError(f"{name} turns pictures (2, {channels}, {size}, {size}) into {shape}; (2, d) is needed")
    return with_dim(network.train(), out.shape[1])


def find(name: str) -> object:
    """What `module:attribute` names."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UserError(f"{name}: there is no module {error.name!r} on Python's path") from None
    if not hasattr(module, attribute):
        raise UserError(f"{name}: the module {module_name} has no attribute {attribute!r}")
    return getattr(module, attribute)


def projection_head(dim: int, *, layers: int = 2, out: int = 128, seed: int = 0) -> nn.Sequential:
    """SimCLR's head g: features h (n, dim) to projections z (n, out), thrown away after pretraining.

    `layers` linear layers, 2 in SimCLR (Chen et al. 2020) and 3 in v2; hidden layers are as wide as h. As in the
    authors' code a batch norm follows each, the last included, which has no shift; so the linear layers have no bias.
    """
    if layers < 1:
        raise UserError(f"the projection head has {layers} layers; it needs at least 1, usually 2 or 3")
    with torch.device("meta"):
        parts: list[nn.Module] = []
        for _ in range(layers - 1):
            parts += [nn.Linear(dim, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU(inplace=True)]
        last = nn.BatchNorm1d(out)
        last.register_parameter("bias", None)
        head = nn.Sequential(*parts, nn.Linear(dim, out, bias=False), last)
    head.to_empty(device="cpu")
    initialise(head, seed, "head")
    return head


class Normalise(nn.Module):
    """Pictures in [0, 1] minus `mean` over `std`, each per channel; part of the encoder, not of its saved weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise UserError(f"mean {list(mean)} and std {list(std)} need one number a channel each, std above 0")
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return (x - self.mean) / self.std


class Encoder(nn.Module):
    """Pictures in [0, 1] to features h (n, dim): the normalisation and the network."""

    def __init__(self, normalise: Normalise, network: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.network = network
        self.dim: int = network.dim  # ty: ignore[invalid-assignment]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.network(self.normalise(x))


def twin(card: dict, *, seed: int) -> Encoder:
    """The encoder that a bundle's card describes, with first weights instead of learned ones."""
    network = build(card["architecture"]["name"], seed=seed, **card["architecture"]["arguments"])
    return Encoder(Normalise(card["input"]["mean"], card["input"]["std"]), network)


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all processes (torch's own refuses tensors on the CPU).

    Means and variances about them are gathered with their gradients and pooled by counts (Chan et al. 1979): stable,
    one message a layer and pass. Processes may bring different numbers of rows.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (n, c, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        c = x.shape[1]
        var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        count = mean.new_tensor([x.numel() / c])
        means, variances, counts = all_gather(torch.cat([mean, var, count])[None]).split([c, c, 1], dim=1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        var = ((variances + (means - mean).square()) * counts).sum(0) / total
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), share)
            self.running_var.lerp_((var.detach() * total / (total - 1)).to(self.running_var.dtype), share)
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        per_channel = (c, *(1 for _ in x.shape[2:]))
        return torch.addcmul(shift.view(per_channel), x, scale.view(per_channel)).to(input.dtype)


def synchronise(module: nn.Module) -> nn.Module:
    """Make every batch norm of `module` count the rows of all processes; in place, parameters stay the same objects."""
    for part in module.modules():
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d):
            part.__class__ = SynchronisedBatchNorm
    return module
