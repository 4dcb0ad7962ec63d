import copy
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edubba.core import encoders
from edubba.core.errors import UserError


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def multiplications(network: nn.Module, x: torch.Tensor) -> int:
    """Of the convolutions, for one picture: every number that comes out has one for each weight that made it."""
    sums = []

    def note(conv: nn.Conv2d, _, out: torch.Tensor) -> None:
        sums.append(out[0].numel() * conv.weight[0].numel())

    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(note)
    network(x)
    return sum(sums)


# torchvision's counts less its classifier (512 or 2048 x 1000 + 1000); with the small stem, kuangliu/pytorch-cifar's
@pytest.mark.parametrize(
    ("name", "stem", "parameters", "dim"),
    [
        ("resnet18", "imagenet", 11_176_512, 512),
        ("resnet34", "imagenet", 21_284_672, 512),
        ("resnet50", "imagenet", 23_508_032, 2048),
        ("resnet18", "small", 11_168_832, 512),
        ("resnet50", "small", 23_500_352, 2048),
    ],
)
def test_residual_networks_have_the_known_number_of_parameters(name, stem, parameters, dim):
    network = encoders.build(name, stem=stem)
    assert count(network) == parameters
    assert network.dim == dim


def test_multiplications_of_resnet50_are_those_of_version_one_and_a_half():
    # 4.09 G for a picture of 224 px less the classifier's 2 M; with the stride in the 1 x 1 it would be 3.8 G
    with torch.no_grad():
        network = encoders.build("resnet50", size=224).eval()
        assert multiplications(network, torch.zeros(1, 3, 224, 224)) == pytest.approx(4.087e9, rel=1e-3)


def test_small_takes_between_10_and_40_million_multiplications():
    network = encoders.build("small").eval()
    stem, first, second = 16**2 * 27 * 32, 2 * 16**2 * 9 * 32**2, 8**2 * (9 * 32 * 64 + 9 * 64**2 + 32 * 64)
    third = second  # a quarter of the pixels, four times the products
    found = multiplications(network, torch.zeros(1, 3, 32, 32))
    assert found == stem + first + second + third
    assert 10e6 < found < 40e6
    assert (network.dim, count(network)) == (512, 306_016 + 2 * 672)


@pytest.mark.parametrize("name", ["plain", "small", "resnet18", "resnet50"])
def test_width_multiplies_all_channels(name):
    one, two = encoders.build(name), encoders.build(name, width=2)
    assert two.dim == 2 * one.dim
    for a, b in zip(one.modules(), two.modules(), strict=True):
        if isinstance(a, nn.Conv2d):
            assert b.out_channels == 2 * a.out_channels
            assert b.in_channels == (a.in_channels if a.in_channels == 3 else 2 * a.in_channels)


@pytest.mark.parametrize("name", ["plain", "small", "resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_become_features_and_every_parameter_learns(name, channels):
    network = encoders.build(name, channels=channels, size=16)
    out = network(torch.rand(3, channels, 16, 16))
    assert out.shape == (3, network.dim)
    out.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "stem", "size", "side"),
    [
        ("resnet18", "auto", 32, 32), ("resnet18", "auto", 95, 95), ("resnet18", "auto", 96, 24),
        ("resnet18", "imagenet", 32, 8), ("resnet18", "small", 96, 96), ("small", "auto", 32, 16),
        ("small", "auto", 96, 24), ("small", "small", 32, 32), ("resnet18", "half", 32, 16),
    ],
)  # fmt: skip
def test_stem_follows_the_size_of_the_pictures(name, stem, size, side):
    network = encoders.build(name, stem=stem, size=size).eval()
    seen = []
    first = next(part for part in network if isinstance(part, encoders.Residual))
    first.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[2:])))
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    assert seen == [(side, side)]


def test_residual_blocks_begin_as_their_shortcuts():
    network = encoders.build("resnet50", size=16).eval()
    blocks = [part for part in network.modules() if isinstance(part, encoders.Residual)]
    assert len(blocks) == 16
    for block in blocks:
        x = torch.rand(1, block.body[0].in_channels, 4, 4)
        assert torch.equal(block(x), block.shortcut(x).relu())


def test_batch_norms_and_weights_begin_as_in_the_papers():
    network = encoders.build("resnet50", size=16)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert (part.eps, part.momentum) == (1e-5, 0.1)
            assert torch.equal(part.running_mean, torch.zeros(part.num_features))
            assert torch.equal(part.running_var, torch.ones(part.num_features))
            assert part.num_batches_tracked == 0
        if isinstance(part, nn.Conv2d) and part.weight.numel() > 50_000:  # sampling error of the spread under 1 %
            he = (2 / (part.out_channels * part.kernel_size[0] ** 2)) ** 0.5
            assert part.weight.std().item() == pytest.approx(he, rel=0.03)
            assert abs(part.weight.mean().item()) < 0.03 * he


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    a = encoders.build("small", seed=5)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    b, other = encoders.build("small", seed=5), encoders.build("small", seed=6)
    encoders.projection_head(8, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not torch.equal(a[0].weight, other[0].weight)


def test_features_hardly_depend_on_the_memory_format():
    network = encoders.build("small").eval()
    x = torch.rand(2, 3, 32, 32)
    expected = network(x)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    assert network[:4](x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("layers", "widths"), [(1, [12]), (2, [20, 12]), (3, [20, 20, 12])])
def test_projection_head_is_that_of_the_authors_code(layers, widths):
    head = encoders.projection_head(20, layers=layers, out=12)
    linear = [part for part in head if isinstance(part, nn.Linear)]
    norms = [part for part in head if isinstance(part, nn.BatchNorm1d)]
    kinds = [type(part) for part in head]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * (layers - 1) + [nn.Linear, nn.BatchNorm1d]
    assert [part.out_features for part in linear] == widths
    assert all(part.bias is None for part in linear)
    assert [part.bias is None for part in norms] == [False] * (layers - 1) + [True]
    z = head(torch.randn(50, 20))
    torch.testing.assert_close(z.mean(0), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(12), atol=1e-3, rtol=0)
    z[:, 0].sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_head_without_layers_is_an_error():
    with pytest.raises(UserError, match=r"^the projection head has 0 layers; it needs at least 1, usually 2 or 3$"):
        encoders.projection_head(8, layers=0)


@given(mean=st.lists(st.floats(0, 1), min_size=3, max_size=3), std=st.lists(st.floats(0.1, 1), min_size=3, max_size=3))
@settings(max_examples=20, deadline=None)
def test_normalise_takes_the_mean_off_and_divides_by_the_spread(mean, std):
    x = torch.rand(2, 3, 4, 5)
    y = encoders.Normalise(mean, std)(x)
    for c in range(3):
        torch.testing.assert_close(y[:, c], (x[:, c] - mean[c]) / std[c])


def test_normalise_wants_a_spread_for_each_channel():
    for mean, std in (([0.5], [0.0]), ([0.5, 0.5], [1.0])):
        with pytest.raises(
            UserError, match=r"^mean \[.*\] and std \[.*\] need one number a channel each, std above 0$"
        ):
            encoders.Normalise(mean, std)


def card(name: str, **arguments) -> dict:
    return {
        "architecture": {"name": name, "arguments": arguments},
        "input": {"mean": [0.3] * arguments["channels"], "std": [0.2] * arguments["channels"]},
    }


def test_encoder_normalises_and_saves_only_its_networks_weights():
    network = encoders.build("small").eval()
    encoder = encoders.Encoder(encoders.Normalise([0.1, 0.2, 0.3], [0.5, 0.5, 0.25]), network)
    x = torch.rand(2, 3, 32, 32)
    by_hand = (x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.5, 0.25])[:, None, None]
    torch.testing.assert_close(encoder(x), network(by_hand))
    assert encoder.dim == 512
    assert all(key.startswith("network.") for key in encoder.state_dict())


def test_twin_has_the_cards_architecture_and_new_weights():
    one = encoders.twin(card("small", channels=1, width=2, size=16), seed=1)
    two = encoders.twin(card("small", channels=1, width=2, size=16), seed=2)
    assert not torch.equal(one.network[0].weight, two.network[0].weight)
    two.load_state_dict(one.state_dict())
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(one.eval()(x), two.eval()(x))
    assert (one.dim, one.normalise.mean.item()) == (1024, pytest.approx(0.3))


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    dim = "mine"
    def __init__(self, features=6):
        super().__init__()
        self.conv, self.drop = nn.Conv2d(1, features, 3), nn.Dropout(0.5)
    def forward(self, x):
        return self.drop(self.conv(x).mean((2, 3)))

def make(features=6):
    return Net(features)

ready = Net(4)
maps = nn.Conv2d(1, 2, 3)
pair = nn.LSTM(8, 3)
number = 3
def wrong():
    return "a string"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_network_for_tests.py").write_text(OWN)
    (tmp_path / "own_network_that_fails.py").write_text("import no_such_package_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_network_for_tests"
    sys.modules.pop("own_network_for_tests", None)


def test_a_network_of_ones_own_is_found_tried_and_left_as_it_is(own):
    before = torch.get_rng_state()
    made = encoders.build(f"{own}:make", channels=1, size=8, seed=3, features=9)
    again = encoders.build(f"{own}:Net", channels=1, size=8, seed=3, features=9)
    assert torch.equal(torch.get_rng_state(), before)
    assert (made.dim, made[0].dim) == (9, "mine")
    assert made.training
    assert made[0].drop.training
    assert torch.equal(made[0].conv.weight, again[0].conv.weight)
    other = encoders.build(f"{own}:Net", channels=1, size=8, seed=4, features=9)
    assert not torch.equal(made[0].conv.weight, other[0].conv.weight)
    encoder = encoders.Encoder(encoders.Normalise([0.5], [0.5]), made)
    assert encoder(torch.rand(2, 1, 8, 8)).shape == (2, 9)


def test_a_ready_module_is_copied(own):
    first = encoders.build(f"{own}:ready", channels=1, size=8)
    before = copy.deepcopy(first.state_dict())
    second = encoders.build(f"{own}:ready", channels=1, size=8)
    nn.init.zeros_(second[0].conv.weight)
    assert first.dim == 4
    assert torch.equal(first.state_dict()["0.conv.weight"], before["0.conv.weight"])


@pytest.mark.parametrize(
    ("attribute", "sentence"),
    [
        ("nothing", "the module own_network_for_tests has no attribute 'nothing'"),
        ("number", "gives 'int'; an nn.Module is needed, or a function that makes one"),
        ("wrong", "gives 'str'; an nn.Module is needed, or a function that makes one"),
        ("maps", "turns pictures (2, 1, 8, 8) into (2, 2, 6, 6); (2, d) is needed"),
        ("Net", "cannot take pictures (2, 3, 8, 8): "),
        ("make", "cannot be made with {'depth': 3}: "),
    ],
)
def test_errors_of_a_network_of_ones_own_name_it(own, attribute, sentence):
    channels = 3 if attribute == "Net" else 1
    args = {"depth": 3} if attribute == "make" else {}
    with pytest.raises(UserError) as error:
        encoders.build(f"{own}:{attribute}", channels=channels, size=8, **args)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{own}:{attribute}")


def test_a_missing_module_is_an_error_but_a_broken_one_shows_its_traceback(own):
    with pytest.raises(UserError, match=r"^no_such_module:Net: there is no module 'no_such_module' on Python's path$"):
        encoders.build("no_such_module:Net")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_anywhere"):
        encoders.build("own_network_that_fails:Net")


def test_wrong_arguments_are_errors(own):
    for arguments, sentence in (
        (
            {"name": "resnet19"},
            "there is no network 'resnet19': take plain, small, glyph, resnet18, resnet34, resnet50, or your own as 'module:attribute'",
        ),
        ({"name": "small", "stem": "big"}, "there is no stem 'big': take one of auto, small, half, imagenet"),
        ({"name": "small", "width": 0}, "width is 0; it multiplies the channels: 1, 2 or 4"),
        (
            {"name": "small", "depth": 3},
            "small has no argument 'depth'; only a network of your own takes further ones",
        ),
        (
            {"name": f"{own}:Net", "width": 2},
            f"width is 2, but only the built-in networks have a width; leave it out for {own}:Net",
        ),
    ):
        with pytest.raises(UserError) as error:
            encoders.build(**arguments)
        assert str(error.value) == sentence


def test_synchronising_keeps_parameters_and_what_one_process_computes():
    network, head = encoders.build("small", size=16), encoders.projection_head(512, out=8)
    plain = nn.Sequential(network, head)
    synchronised = encoders.synchronise(copy.deepcopy(plain))
    kept = list(plain.parameters())
    assert all(a is b for a, b in zip(kept, encoders.synchronise(plain).parameters(), strict=True))
    assert sum(isinstance(part, encoders.SynchronisedBatchNorm) for part in synchronised.modules()) == 11
    x = torch.rand(4, 3, 16, 16)
    reference = nn.Sequential(encoders.build("small", size=16), encoders.projection_head(512, out=8))
    assert torch.equal(synchronised(x), reference(x))
    for a, b in zip(synchronised.state_dict().values(), reference.state_dict().values(), strict=True):
        assert torch.equal(a, b)
