"""Shared directions: what several networks have in common within the classes, and nothing else."""

import numpy as np
import pytest
import torch

from edubba.core.errors import UserError
from edubba.trace import markers, owner
from edubba.trace.markers import Coordinates, Readout, Witness

N, R, K = 600, 4, 3


def seen_by(signal, rng, *, width=10, strength=3.0, noise=0.3, offsets=0.0, y=None):
    """Features of a network that sees the signal in directions of its own, and as much that no other sees."""
    axes, _ = np.linalg.qr(rng.normal(size=(width, width)))
    own = np.concatenate([strength * signal, rng.normal(size=(len(signal), width - signal.shape[1]))], axis=1)
    f = own @ axes + noise * rng.normal(size=(len(signal), width))
    return f if y is None else f + offsets * rng.normal(size=(y.max() + 1, width))[y]


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, N)
    signal = rng.normal(size=(N, R))
    return signal, y, [seen_by(signal, rng) for _ in range(3)]


def angles(a, b):
    """Cosines of the principal angles between the spans of columns."""
    return np.linalg.svd(np.linalg.qr(a - a.mean(0))[0].T @ np.linalg.qr(b - b.mean(0))[0], compute_uv=False)


def test_directions_that_all_networks_see_are_found(made):
    signal, y, features = made
    c = markers.share(features, y, r=R)
    assert angles(c.of(features), signal).min() > 0.98
    assert (c.shared[:R] > 0.9).all()
    assert (np.diff(c.shared) <= 1e-12).all()
    assert markers.share(features, y, r=R + 2).shared[-1] < 0.6  # what each sees alone


def test_coordinates_have_the_unit_of_one_standard_deviation_within_a_class(made):
    _, y, features = made
    c = markers.share(features, y, r=R)
    inner = markers.within(c.of(features), y)
    assert inner.std(0) == pytest.approx(np.ones(R))
    correlation = np.corrcoef(inner.T) - np.eye(R)
    assert np.abs(correlation).max() < 0.1


def test_class_means_have_no_influence(made):
    _, y, features = made
    rng = np.random.default_rng(5)
    moved = [f + 50 * rng.normal(size=(K, f.shape[1]))[y] for f in features]
    a, b = markers.share(features, y, r=R), markers.share(moved, y, r=R)
    x = markers.within(a.of(features), y)
    other = markers.within(b.of(moved), y)
    sign = np.sign((x * other).sum(0))
    assert other * sign == pytest.approx(x, abs=1e-6)
    assert b.shared == pytest.approx(a.shared)


def test_a_network_turned_and_stretched_gives_the_same_coordinates(made):
    _, y, features = made
    turn, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(10, 10)))
    moved = [features[0] @ turn * 7 + 3, *features[1:]]
    a, b = markers.share(features, y, r=R), markers.share(moved, y, r=R)
    x, other = a.of(features), b.of(moved)
    assert other * np.sign((x * other).sum(0)) == pytest.approx(x, abs=1e-6)


def test_coordinates_survive_a_file(made, tmp_path):
    _, y, features = made
    c = markers.share([features[0], features[1][:, :7]], y, r=R)
    np.savez(tmp_path / "c.npz", **c.arrays())
    with np.load(tmp_path / "c.npz") as stored:
        again = Coordinates.from_arrays(dict(stored))
    some = [features[0][:5], features[1][:5, :7]]
    assert (again.of(some) == c.of(some)).all()
    assert (again.shared == c.shared).all()


@pytest.mark.parametrize(("n", "r"), [(39, 4), (600, 11)])
def test_too_few_pictures_or_features_for_so_many_directions(made, n, r):
    _, y, features = made
    with pytest.raises(UserError, match=f"{r} directions need at least {10 * r} held-out pictures and {r} features"):
        markers.share([f[:n] for f in features], y[:n], r=r)


def test_within_takes_out_each_class_s_own_mean():
    x = np.array([[1.0], [3.0], [10.0], [20.0], [7.0]])
    assert markers.within(x, np.array([0, 0, 2, 2, 5])).ravel().tolist() == [-1, 1, -5, 5, 0]
    assert markers.within(x.astype(np.float32) + 1e6, np.array([0, 0, 2, 2, 5])).ravel().tolist() == [-1, 1, -5, 5, 0]


def test_readouts_together_are_the_coordinates_and_differentiable(house):
    kept = owner.read(house.root / "owner.key")
    networks = [markers.load(path) for path in kept.networks("marker").values()]
    assert len(networks) == owner.MARKERS
    x = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    expected = kept.coordinates.of(markers.features(networks, x))
    views = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255).requires_grad_(True)
    parts = [readout(views) for readout in markers.readouts(networks, kept.coordinates)]
    assert torch.stack(parts).mean(0).detach().numpy() == pytest.approx(expected, abs=2e-3)
    (gradient,) = torch.autograd.grad(sum(p.sum() for p in parts), views)
    assert (gradient.abs().sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize(("channels", "given"), [(3, 1), (1, 3)])
def test_readouts_take_grey_for_colour_and_colour_as_its_luma(channels, given):
    class Sum(torch.nn.Module):
        def forward(self, x):
            return x.sum((2, 3)) @ torch.ones(x.shape[1], 1) / x.shape[1]

    network = markers.Network(Sum(), None, [], 4, channels)
    read = Readout(network, np.zeros(1), np.ones((1, 1)), np.ones(1))
    x = torch.rand(2, given, 4, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([0.299, 0.587, 0.114])
    expected = x.sum((1, 2, 3)) if given == 1 else (x * weights[None, :, None, None]).sum((1, 2, 3))
    assert torch.allclose(read(x)[:, 0], expected, rtol=1e-3)


def test_a_witness_reads_a_shift_in_standard_deviations():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, N)
    coordinates = rng.normal(size=(N, R))
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0][:R]
    f = 5 * coordinates @ axes + 0.01 * rng.normal(size=(N, 12)) + 3
    witness = Witness(f, coordinates, y)
    directions = rng.normal(size=(K, R))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for amount in (0.4, -1.5):
        gate = witness.gate(f, f + amount * 5 * directions[y] @ axes, y, directions)
        assert gate.shift == pytest.approx(amount, rel=0.05)
        assert gate.cosine == pytest.approx(np.sign(amount), abs=0.02)
    aside = np.stack([np.linalg.svd(u[None])[2][-1] for u in directions])  # at right angles
    gate = witness.gate(f, f + 5 * aside[y] @ axes, y, directions)
    assert abs(gate.shift) < 0.05
    assert abs(gate.cosine) < 0.05
