"""Pushed pictures, what a suspect's answers to them say, and the bound that holds at any stop."""

import numpy as np
import pytest

from edubba.core import images
from edubba.trace import blackbox, laws, markers, owner, quality


def test_responses_are_the_mean_change_of_each_class_less_that_of_all():
    rng = np.random.default_rng(0)
    p = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    found = blackbox.responses(p)
    assert found.shape == (3, 5)
    for k in range(3):
        for j in range(5):
            change = [np.mean(p[0, j, :, c].astype(float) - p[1, j, :, c]) for c in range(3)]
            assert found[k, j] == pytest.approx(change[k] - np.mean(change), abs=1e-6)
    assert blackbox.responses(p + rng.normal(size=(2, 5, 7, 1)).astype(np.float32)) == pytest.approx(found, abs=1e-5)
    assert blackbox.responses(p[::-1].copy()) == pytest.approx(-found, abs=1e-6)


def test_probes_are_pushed_both_ways_within_twice_a_mark_and_need_no_key(house, monkeypatch):
    monkeypatch.setenv("EDUBBA_HOME", str(house.root / "home"))
    kept = owner.read(house.root / "owner.key")
    with np.load(kept.path / "probes.npz") as stored:
        pushed = stored["x"]
    pictures = images.open(house.root / "photos", size=kept.size)
    asked = pictures.take(owner.held_out_rows(pictures, kept)).take(kept.probe)
    assert pushed.shape == (2, 16, 4, 16, 16, 3)
    x = np.array(asked.x[:])
    assert (quality.psnr(pushed.reshape(-1, 16, 16, 3), np.tile(x, (32, 1, 1, 1))) > 42 - 6.1).all()
    networks = [markers.load(path) for path in kept.networks("marker").values()]
    at = [kept.coordinates.of(markers.features(networks, pushed[side].reshape(-1, 16, 16, 3))) for side in (0, 1)]
    change = (at[0] - at[1]).reshape(16, 4, 16).mean(1)
    assert (np.diag(change) > 0).all()
    assert (change.argmax(1) == np.arange(16)).mean() > 0.8
    again = blackbox.probes(
        markers.readouts(networks, kept.coordinates), asked, r=16, psnr=owner.PSNR, seed=0
    )  # fmt: skip
    assert (again == pushed).mean() > 0.999


def test_the_sequential_bound_is_the_e_process_over_the_strongest_responses_first():
    rng = np.random.default_rng(0)
    own, carriers = rng.normal(size=(2, 4, 6))
    own[1, 2] = 0.0
    process, expected, coins = laws.EProcess(), [], 0
    for j in range(6):
        for k in sorted(range(4), key=lambda k, j=j: -abs(own[k, j])):
            if own[k, j] != 0:
                process.update(bool((own[k, j] > 0) == (carriers[k, j] > 0)))
                coins += 1
        expected.append(process.log10_p)
    assert coins == 23
    assert blackbox.sequential(own, carriers) == pytest.approx(expected)
    assert blackbox.sequential(own, -own).tolist() == [0.0] * 6
    assert blackbox.sequential(own * rng.uniform(0.999, 1.001, (1, 6)), carriers) == pytest.approx(expected)
