"""Marks hold their budgets, go the right way, and do not depend on how the pictures came in."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edubba.core import images
from edubba.trace import markers, marking, owner, quality


@given(
    delta=arrays.arrays(np.float32, (3, 3, 4, 4), elements=st.floats(-400, 400, width=32)),
    base=arrays.arrays(np.uint8, (3, 3, 4, 4)),
    rms=st.floats(0.1, 50),
    max_delta=st.floats(0.5, 255),
)
def test_project_stays_in_every_budget_and_leaves_alone_what_is_within(delta, base, rms, max_delta):
    delta, base = torch.from_numpy(delta), torch.from_numpy(base).float()
    found = marking.project(delta, base, rms=rms, max_delta=max_delta)
    assert found.abs().max() <= max_delta * (1 + 1e-5)
    assert (base + found).min() >= -1e-3
    assert (base + found).max() <= 255 + 1e-3
    assert found.square().mean((1, 2, 3)).sqrt().max() <= rms * (1 + 1e-4)
    again = marking.project(found, base, rms=rms, max_delta=max_delta)
    assert torch.allclose(again, found, rtol=1e-4, atol=1e-3)
    small = delta.sign() * min(rms, max_delta, 1.0) * 0.4
    inside = ((base + small) >= 0) & ((base + small) <= 255)
    assert torch.allclose(
        marking.project(small * inside, base, rms=rms, max_delta=max_delta), small * inside, atol=1e-4
    )


def test_the_distance_of_a_psnr():
    assert marking.rms_of(42.0) == pytest.approx(2.02553700, abs=1e-8)
    a = np.zeros((8, 8, 3), np.uint8)
    assert quality.psnr(a, a + 2) == pytest.approx(20 * np.log10(255 / 2))
    assert marking.rms_of(quality.psnr(a, a + 2)) == pytest.approx(2)


@pytest.fixture(scope="module")
def studio(house):
    """Markers, one witness, marked-to-be pictures with carriers, of the house."""
    kept = owner.read(house.root / "owner.key")
    networks = [markers.load(path) for path in kept.networks("marker").values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDUBBA_HOME", str(house.root / "home"))
        pictures = images.open(house.root / "photos", size=kept.size)
        x, label = np.array(pictures.x[:]), pictures.label
    carriers = kept.key.sub_key("public", 4).carriers(16)
    return {
        "kept": kept, "networks": networks, "readouts": markers.readouts(networks, kept.coordinates), "x": x,
        "y": np.searchsorted(kept.classes, label), "hw": pictures.shape_hw,
        "u": carriers / np.linalg.norm(carriers, axis=1, keepdims=True),
    }  # fmt: skip


def push(studio, rows, **changes):
    s = studio
    settings = {"psnr": 42.0, "max_delta": 10.0, "steps": 8, "seed": 0} | changes
    return marking.push(
        s["readouts"], s["x"][rows], s["u"][s["y"][rows]], index=rows, shape_hw=s["hw"][rows], **settings
    )


def test_a_mark_holds_its_budgets_before_and_after_rounding(studio):
    rows = np.arange(0, 288, 12)
    x = studio["x"][rows].astype(float)
    for psnr, max_delta in ((42.0, 10.0), (36.0, 5.0), (50.0, 10.0)):
        delta = push(studio, rows, psnr=psnr, max_delta=max_delta)
        assert delta.shape == x.shape
        assert np.abs(delta).max() <= max_delta + 1e-3
        marked = np.rint(x + delta)
        assert marked.min() >= 0
        assert marked.max() <= 255
        each = quality.psnr(marked.astype(np.uint8), studio["x"][rows])
        assert each.mean() >= psnr - 0.1
        assert each.min() >= psnr - 0.5
    assert quality.psnr(np.rint(x + push(studio, rows)).astype(np.uint8), studio["x"][rows]).mean() < 43  # it is used


def test_marks_do_not_depend_on_batches_or_on_their_order(studio):
    rows = np.arange(5, 285, 28)
    together = push(studio, rows)
    apart = np.concatenate([push(studio, rows[i : i + 3]) for i in range(0, len(rows), 3)])
    backwards = push(studio, rows[::-1].copy())[::-1]
    # convolutions of another batch round differently, and a few pixels sit on an edge
    for other in (apart, backwards):
        assert np.abs(other - together).mean() < 0.02
        assert np.quantile(np.abs(other - together), 0.99) < 0.2
    assert np.abs(push(studio, rows, seed=1) - together).mean() > 0.05
    assert np.abs(push(studio, rows, crops=False) - together).mean() > 0.05


def test_marks_move_pictures_along_their_carriers_in_markers_and_in_a_network_that_took_no_part(studio):
    kept, s = studio["kept"], studio
    rows = np.flatnonzero(np.isin(s["y"], [0, 1]))[::3]
    marked = np.rint(s["x"][rows] + push(studio, rows, steps=16)).astype(np.uint8)
    before, after = (kept.coordinates.of(markers.features(s["networks"], x)) for x in (s["x"][rows], marked))
    along = ((after - before) * s["u"][s["y"][rows]]).sum(1)
    assert (along > 0).mean() > 0.95
    cosine = along / np.linalg.norm(after - before, axis=1)
    assert cosine.mean() > 0.3
    reverse = {**studio, "u": -s["u"]}
    away = np.rint(s["x"][rows] + push(reverse, rows)).astype(np.uint8)
    moved = kept.coordinates.of(markers.features(s["networks"], away)) - before
    assert ((moved * s["u"][s["y"][rows]]).sum(1) < 0).mean() > 0.9


def test_more_steps_and_a_wider_budget_move_further(studio):
    rows = np.arange(0, 288, 9)
    kept, s = studio["kept"], studio

    def along(**changes):
        marked = np.rint(s["x"][rows] + push(studio, rows, **changes)).clip(0, 255).astype(np.uint8)
        before, after = (kept.coordinates.of(markers.features(s["networks"], x)) for x in (s["x"][rows], marked))
        return ((after - before) * s["u"][s["y"][rows]]).sum(1).mean()

    assert along(psnr=36.0) > 1.3 * along() > 0
    assert along(steps=16) > along(steps=1)


def test_grey_pictures_are_marked_through_networks_of_colour(studio):
    s = studio
    grey = s["x"][:12].mean(-1, keepdims=True).astype(np.uint8)
    delta = marking.push(
        s["readouts"], grey, s["u"][s["y"][:12]], index=np.arange(12), shape_hw=s["hw"][:12], psnr=42.0, max_delta=10.0,
        steps=8, seed=0,
    )  # fmt: skip
    assert delta.shape == grey.shape
    marked = np.rint(grey + delta).astype(np.uint8)
    coordinates = [s["kept"].coordinates.of(markers.features(s["networks"], x)) for x in (grey, marked)]
    assert (((coordinates[1] - coordinates[0]) * s["u"][s["y"][:12]]).sum(1) > 0).mean() > 0.8
