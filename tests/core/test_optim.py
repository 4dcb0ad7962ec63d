import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edubba.core import optim
from edubba.core.errors import UserError
from edubba.core.settings import Fit

W = torch.tensor([[3.0, 4], [0, 0]], dtype=torch.float64)
G = torch.tensor([[0.3, -0.4], [0, 1.2]], dtype=torch.float64)


def small_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()


def test_lars_takes_the_golden_steps():
    # computed once in float64 from the update rule; trust ratios .003846312880 .003847148954 .003848779549
    w = nn.Parameter(W.clone())
    lars = optim.LARS([w], 2.0, weight_decay=1e-4)
    for expected in (
        [2.997689904484, 4.003073973253, 0, -0.009231150911],
        [2.993300222636, 4.008915188260, 0, -0.026772337117],
        [2.987037937133, 4.017248219519, 0, -0.051796455013],
    ):
        w.grad = G.clone()
        lars.step()
        assert w.flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_lars_leaves_a_bias_to_plain_momentum():
    bias = nn.Parameter(torch.tensor([1.0, -1.0]))
    lars = optim.LARS([{"params": [bias], "adapt": False}], 2.0)
    for expected in ([0, -1.5], [-1.9, -2.45]):
        bias.grad = torch.tensor([0.5, 0.25])
        lars.step()
        assert bias.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("weight", "grad"), [(0.0, 1.0), (1.0, 0.0)])
def test_lars_does_not_scale_where_a_norm_is_zero(weight, grad):
    w = nn.Parameter(torch.full((2, 2), weight))
    w.grad = torch.full((2, 2), grad)
    optim.LARS([w], 0.5).step()
    assert torch.equal(w, torch.full((2, 2), weight - 0.5 * grad))


def test_lars_rate_does_not_depend_on_the_size_of_the_gradient():
    ends = []
    for size in (1.0, 1000.0):
        w = nn.Parameter(W.clone())
        w.grad = G * size
        optim.LARS([w], 2.0).step()
        ends.append(w.detach())
    torch.testing.assert_close(*ends)


def test_lars_skips_what_has_no_gradient_and_returns_the_closures_loss():
    w, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    lars = optim.LARS([w, unused], 1.0)

    def closure() -> torch.Tensor:
        loss = w.square().sum()
        loss.backward()
        return loss

    assert lars.step(closure).item() == 4
    assert torch.equal(unused, torch.ones(2, 2))
    assert not torch.equal(w, torch.ones(2, 2))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_training_from_a_saved_state_is_equal_to_the_bit(name, tmp_path):
    spec = Fit(optimizer=name, lr=0.1, weight_decay=0.01)
    whole = small_network()
    train(whole, optim.build(whole, spec), range(6))

    net = small_network()
    optimizer = optim.build(net, spec)
    train(net, optimizer, range(3))
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    saved = torch.load(tmp_path / "state", weights_only=True)
    resumed = small_network()
    resumed.load_state_dict(saved["net"])
    optimizer = optim.build(resumed, spec)
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, range(3, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )

    forgetful = small_network()
    forgetful.load_state_dict(saved["net"])
    train(forgetful, optim.build(forgetful, spec), range(3, 6))
    assert not torch.equal(whole[0].weight, forgetful[0].weight)


def test_decay_is_for_weights_and_never_for_biases_and_batch_norms():
    net = small_network()
    weights, others = optim.parameter_groups(net, 0.3)
    names = {id(p): name for name, p in net.named_parameters()}
    assert [names[id(p)] for p in weights["params"]] == ["0.weight", "3.weight"]
    assert [names[id(p)] for p in others["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias"]
    assert (weights["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert (weights["adapt"], others["adapt"]) == (True, False)


def test_frozen_parameters_are_in_no_group():
    net = small_network()
    net[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in optim.parameter_groups(net, 0.1)) == 4


def test_each_optimizer_is_the_one_of_the_papers():
    net = small_network()
    sgd = optim.build(net, Fit(optimizer="sgd", lr=0.03, lr_scaling="linear", batch_size=512, weight_decay=5e-4))
    assert isinstance(sgd, torch.optim.SGD)
    for group, decay in zip(sgd.param_groups, (5e-4, 0), strict=True):
        assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.06, 0.9, False, decay)
    assert isinstance(optim.build(net, Fit(optimizer="adamw")), torch.optim.AdamW)
    lars = optim.build(net, Fit(optimizer="lars", lr=0.3))
    assert isinstance(lars, optim.LARS)
    assert [(g["momentum"], g["trust"], g["adapt"]) for g in lars.param_groups] == [
        (0.9, 0.001, True),
        (0.9, 0.001, False),
    ]


def test_linear_and_root_scaling_meet_at_4096():
    linear = Fit(lr=0.3, lr_scaling="linear", batch_size=4096)
    root = Fit(lr=0.075, lr_scaling="sqrt", batch_size=4096)
    assert optim.peak_lr(linear) == pytest.approx(4.8)
    assert optim.peak_lr(root) == pytest.approx(4.8)
    assert optim.peak_lr(Fit(lr=0.3, batch_size=4096)) == 0.3


def test_schedule_of_the_paper_on_imagenet():
    # 1,281,167 pictures, batch 4096, 100 epochs of which 10 warm up, peak 4.8
    n, batch_size = 1281167, 4096
    warmup = optim.warmup_steps(n, batch_size=batch_size, epochs=10.0)
    steps = optim.training_steps(n, batch_size=batch_size, epochs=100)
    assert (warmup, steps) == (3127, 31279)
    golden = {
        0: 0, 1: 0.001535017589, 1563: 2.399232491206, 3127: 4.8, 3128: 4.799999985056, 17203: 2.4, 31278: 1.4944e-08,
    }  # fmt: skip
    for step, lr in golden.items():
        assert optim.schedule(step, peak=4.8, warmup=warmup, steps=steps) == pytest.approx(lr, abs=1e-12)


def test_schedule_of_the_paper_on_cifar10():
    n, batch_size = 50000, 512
    warmup = optim.warmup_steps(n, batch_size=batch_size, epochs=10.0)
    steps = optim.training_steps(n, batch_size=batch_size, epochs=1000)
    assert (warmup, steps) == (976, 97657)
    for step, lr in {488: 1.0, 976: 2.0, 49316: 1.000016247208}.items():
        assert optim.schedule(step, peak=2.0, warmup=warmup, steps=steps) == pytest.approx(lr, abs=1e-12)


@given(peak=st.floats(1e-6, 10), warmup=st.integers(0, 50), steps=st.integers(1, 200), step=st.integers(0, 300))
def test_rate_stays_between_zero_and_its_peak(peak, warmup, steps, step):
    rate = optim.schedule(step, peak=peak, warmup=warmup, steps=steps)
    assert 0 <= rate <= peak
    if step == warmup:
        assert rate == peak
    if step >= max(steps, warmup + 1):
        assert rate == pytest.approx(0, abs=1e-12)


@given(warmup=st.integers(0, 20), steps=st.integers(30, 90))
def test_rate_rises_to_its_peak_and_falls_from_there(warmup, steps):
    rates = [optim.schedule(step, peak=1.0, warmup=warmup, steps=steps) for step in range(steps + 1)]
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert math.isclose(sum(rates[warmup:]), (steps - warmup + 1) / 2, rel_tol=1e-9)  # the cosine's mean is a half


def with_field(name: str, value: str) -> Fit:
    spec = Fit()
    object.__setattr__(spec, name, value)  # what an unchecked caller can do
    return spec


def test_unknown_names_are_errors():
    with pytest.raises(UserError, match=r"^there is no optimizer 'adam': take adamw, sgd or lars$"):
        optim.build(small_network(), with_field("optimizer", "adam"))
    with pytest.raises(UserError, match=r"^there is no learning rate scaling 'cubic': take none, sqrt or linear$"):
        optim.peak_lr(with_field("lr_scaling", "cubic"))
