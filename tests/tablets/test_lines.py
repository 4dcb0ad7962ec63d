"""Lines of signs: tilt, curvature, gaps; laws of scale and order; scores by hand; the goals on real faces."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.tablets import lines

SHARED = Path(__file__).parents[3] / "shared" / "data"


def tablet(rows=6, *, tilt=0.0, bend=0.0, seed=0, missing=0.0, height=40.0):
    """Boxes of rows of signs, and the rows."""
    rng = np.random.default_rng(seed)
    boxes, truth = [], []
    for r in range(rows):
        x, row = rng.uniform(0, 0.5) * height, []
        while x < 12 * height:
            w = rng.uniform(0.8, 1.8) * height
            cx, cy = x + w / 2, r * 1.25 * height
            cy += np.tan(np.radians(tilt)) * cx + bend * (cx - 6 * height) ** 2 / height + rng.normal(0, 0.04) * height
            if rng.random() >= missing:
                row.append(len(boxes))
                boxes.append([cx - w / 2, cy - height / 2, cx + w / 2, cy + height / 2])
            x += w + rng.uniform(0, 0.15) * height
        truth.append(np.array(row, int))
    return np.array(boxes), truth


@pytest.mark.parametrize("tilt", [-12.0, 0.0, 5.0, 12.0])
def test_tilted_rows_are_found(tilt):
    boxes, truth = tablet(tilt=tilt, seed=1)
    agreement = lines.scores(truth, lines.find(boxes).lines)
    assert agreement.f1 > 0.98
    assert agreement.tau > 0.98
    assert agreement.lines == 0


def test_bent_rows_with_gaps_are_found():
    boxes, truth = tablet(bend=0.02, missing=0.15, seed=2)
    assert lines.scores(truth, lines.find(boxes).lines).f1 > 0.95


@given(st.integers(0, 20), st.floats(0.05, 20), st.floats(-500, 500))
@settings(max_examples=15)
def test_size_and_place_do_not_matter(seed, scale, shift):
    boxes, _ = tablet(4, tilt=3.0, seed=seed, missing=0.1)
    one, other = lines.find(boxes), lines.find(boxes * scale + shift)
    assert [line.tolist() for line in one.lines] == [line.tolist() for line in other.lines]


@given(st.integers(0, 50))
@settings(max_examples=15)
def test_every_sign_stands_in_one_place_whatever_the_boxes(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 400, (rng.integers(0, 30), 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, corner.shape)], axis=1)
    found = lines.find(boxes)
    placed = [int(i) for line in found.lines for i in line] + found.unplaced.tolist()
    assert sorted(placed) == list(range(len(boxes)))
    assert len(found.paths) == len(found.lines)


def test_nothing_and_one_sign():
    assert lines.find(np.zeros((0, 4))).lines == []
    (line,) = lines.find(np.array([[0.0, 0.0, 10.0, 10.0]])).lines
    assert line.tolist() == [0]


def test_faces_far_apart_are_told():
    boxes, _ = tablet(4, seed=3)
    faces = lines.faces(np.concatenate([boxes, boxes + np.array([0, 2000, 0, 2000])]))
    assert sorted(map(len, faces)) == [len(boxes), len(boxes)]


def test_scores_by_hand():
    truth = [np.array([0, 1, 2]), np.array([3, 4])]
    perfect = lines.scores(truth, truth)
    assert (perfect.f1, perfect.neighbours, perfect.tau, perfect.lines) == (1, 1, 1, 0)
    # true pairs 01 02 12 34; found 01 and 234's 23 24 34: two of four each way
    found = lines.scores(truth, [np.array([0, 1]), np.array([2, 3, 4])])
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.neighbours == pytest.approx(2 * 2 / 6)  # 01 and 34 of 01 12 34; found 01 23 34
    assert found.tau == 1
    turned = lines.scores(truth, [np.array([3, 4]), np.array([0, 1, 2])])
    assert turned.tau == pytest.approx((4 - 6) / 10)
    with pytest.raises(UserError, match="sign 1 stands twice"):
        lines.scores(truth, [np.array([0, 1]), np.array([1, 2])])


def test_false_alarms_and_misses_are_left_out_of_scores():
    truth = [np.array([0, 1, 2])]
    agreement = lines.scores(truth, [np.array([0, 1, 2])], match=np.array([0, -1, 2]))
    assert (agreement.f1, agreement.tau) == (1, 1)


def test_the_baseline_finds_straight_rows():
    boxes, truth = tablet(4, seed=5)
    assert lines.scores(truth, lines.ransac(boxes).lines).f1 > 0.9


def test_real_faces_reach_the_goal():
    from edubba.tablets import evaluation, formats, training

    path = SHARED / "tablets" / "annotations_coco.json"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    tablets = {t.id: t for t in formats.read(path)}
    split = {image["tablet"]: image["split"] for image in json.loads(path.read_text())["images"]}
    found = {"train": [], "test": []}
    for tablet in tablets.values():
        if tablet.photograph is None:
            continue
        written = [sign for sign in tablet.signs if sign.box is not None and sign.ink]
        boxes = np.array([sign.box for sign in written], np.float32).reshape(-1, 4)
        page = training.Page(tablet, np.zeros((1, 1), np.uint8), boxes, (), np.zeros((0, 4)), "")
        for order, truth in evaluation.drawn(page):
            found[split[tablet.id]].append(lines.scores(truth, lines.find(boxes[order]).lines))
    assert len(found["train"]) + len(found["test"]) == 49
    for part, f1, tau in (("train", 0.985, 0.995), ("test", 0.96, 0.99)):
        assert np.mean([a.f1 for a in found[part]]) > f1
        assert np.mean([a.tau for a in found[part]]) > tau
