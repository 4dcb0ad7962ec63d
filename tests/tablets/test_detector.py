"""Finding signs: the same answer with any tiles, targets where the boxes are, training that learns, sizes found."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core import streams
from edubba.core.errors import UserError
from edubba.tablets import detector, scoring
from edubba.tablets.spec import Detecting


def blots(seed, *, size=320, n=14, high=42):
    """A photograph with dark blots on clay, none over another, and their boxes."""
    rng = np.random.default_rng(seed)
    grey = (150 + 12 * rng.standard_normal((size, size))).clip(20, 255)
    boxes = []
    for _ in range(400):
        w, h = rng.uniform(0.9, 1.6) * high, rng.uniform(0.85, 1.15) * high
        x, y = rng.uniform(4, size - w - 4), rng.uniform(4, size - h - 4)
        if all(x + w < a or c < x or y + h < b or d < y for a, b, c, d in boxes) and len(boxes) < n:
            boxes.append((x, y, x + w, y + h))
            grey[int(y) : int(y + h), int(x) : int(x + w)] *= 0.45
    return detector.Faces(
        grey.astype(np.uint8), np.array(boxes, np.float32), np.array([[0, 0, size, size]], np.float32), str(seed)
    )


@pytest.fixture(scope="module")
def trained():
    spec = Detecting(steps=30, crop=128)
    spec = replace(spec, fit=replace(spec.fit, batch_size=4, lr=5e-3, ema=0.8, threads=1))
    return detector.fit([blots(i) for i in range(6)], spec)


def test_it_learns_to_find_blots(trained):
    unseen = [blots(i) for i in range(20, 22)]
    found = [(detector.detect_scaled(trained, f.grey), f) for f in unseen]
    assert scoring.average_precision_inside(found) > 0.5


def seeing(seed=1):
    """A detector whose every layer has a part in the answer; new ones have shortcuts alone."""
    model = detector.build(seed=seed).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.weight.fill_(1.0)
    return model


@pytest.mark.parametrize("tile", [96, 192])
def test_any_tile_gives_the_same_answer(tile):
    grey = blots(31).grey[:200, :300]
    whole, tiled = detector.heat_map(seeing(), grey), detector.heat_map(seeing(), grey, tile=tile)
    assert whole.shape == (5, 28, 40)
    np.testing.assert_allclose(tiled, whole, atol=2e-4 * np.abs(whole).max())


@pytest.mark.parametrize("tile", [96, 1024])
def test_a_cell_is_where_its_pixels_are(tile):
    class Means(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.avg_pool2d(x, detector.STRIDE).repeat(1, 5, 1, 1)

    grey = np.random.default_rng(0).integers(0, 256, (192, 288), dtype=np.uint8)
    means = grey.reshape(24, 8, 36, 8).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(detector.heat_map(Means(), grey, tile=tile)[0], means, atol=1e-6)


def test_tiles_see_as_far_as_a_cell():
    """The margin around a tile is wider than what a cell can see: a far pixel changes nothing."""
    model = seeing()
    x = torch.rand(1, 1, 640, 640, requires_grad=True)
    model(x)[0, 0, 40, 40].backward()
    rows, columns = np.nonzero(x.grad[0, 0].numpy())
    centre = 40 * detector.STRIDE + detector.STRIDE / 2
    assert max(np.abs(rows - centre).max(), np.abs(columns - centre).max()) < detector.MARGIN


def test_a_sign_height_below_nothing_is_refused():
    with pytest.raises(UserError, match="--sign-height -3: it must be above 0, or 0 to let it be found"):
        detector.detect(detector.build(), np.zeros((64, 64, 3), np.uint8), sign_height=-3.0)


def test_targets_lie_where_the_boxes_are():
    boxes = np.array([[40, 48, 96, 88], [104, 48, 144, 96]], np.float32)
    regions = np.array([[0, 0, 128, 128]], np.float32)
    made = detector._targets(np.full((160, 160), 0.5, np.float32), boxes, regions, np.zeros((20, 20), bool))
    assert (made.heat == 1).sum() == 2
    assert made.heat[8, 8] == 1
    assert made.heat[9, 15] == 1
    assert not made.known[:, 17:].any()  # outside the regions nothing is known
    assert made.known[:16, :16].all()
    i, j = 8, 8
    dx, dy, w, h = made.box[:, i, j]
    assert ((j + 0.5 + dx) * 8, (i + 0.5 + dy) * 8) == pytest.approx((68, 68))
    assert (8 * np.exp(w), 8 * np.exp(h)) == pytest.approx((56, 40))
    assert made.weight[i, j] > 0.8
    assert made.weight[0, 0] == 0


def test_black_ground_is_known_to_hold_nothing():
    grey = np.zeros((500, 500), np.uint8)
    grey[100:200, 100:300] = 120
    box = np.array([[150, 120, 200, 160]], np.float32)
    faces = detector.Faces(grey, box, np.array([[100, 100, 300, 200]], np.float32), "a")
    u = np.full(40, 0.5)
    made = detector.draw(faces, u, Detecting())
    assert made.x.shape == (1, 384, 384)
    assert made.known.mean() > 0.9
    assert (made.heat == 1).sum() == 1


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_boxes_move_with_the_picture(seed):
    """A bright box on a dark ground is where the targets say, however it was turned and stretched."""
    grey = np.full((600, 600), 40, np.uint8)
    grey[280:320, 270:330] = 250
    faces = detector.Faces(
        grey, np.array([[270, 280, 330, 320]], np.float32), np.array([[0, 0, 600, 600]], np.float32), "a"
    )
    u = streams.uniform(0, "test", index=np.array([seed]), k=40)[0]
    u[0] = 0.1
    made = detector.draw(faces, u, Detecting())
    if (made.heat == 1).sum() == 0:
        return  # the crop lies beside it
    i, j = np.argwhere(made.heat == 1)[0]
    dx, dy, w, h = made.box[:, i, j]
    x, y, w, h = (j + 0.5 + dx) * 8, (i + 0.5 + dy) * 8, 8 * np.exp(w), 8 * np.exp(h)
    x0, y0, x1, y1 = (round(float(v)) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    if min(x0, y0) < 0 or max(x1, y1) > 384:
        return
    picture = made.x[0]
    assert (
        picture[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].mean()
        > 1.5 * picture[max(0, y0 - 12) : y1 + 12, max(0, x0 - 12) : x1 + 12].mean() * 0.8
    )


def test_crops_are_functions_of_the_step_alone():
    spec = Detecting(crop=128)
    u = streams.uniform(0, "photograph crops", 3, index=np.arange(4), k=41)
    again = streams.uniform(0, "photograph crops", 3, index=np.array([2]), k=41)
    a, b = detector.draw(blots(1), u[2, 1:], spec), detector.draw(blots(1), again[0, 1:], spec)
    assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_suppression_keeps_the_surest_of_those_that_overlap():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [9, 0, 19, 10], [40, 40, 50, 50]], float)
    assert detector.suppress(boxes, np.array([0.5, 0.9, 0.7, 0.1]), overlap=0.45).tolist() == [1, 2, 3]
    assert detector.suppress(np.zeros((0, 4)), np.zeros(0), overlap=0.45).tolist() == []


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_suppression_is_as_if_every_box_were_compared_with_every_other(seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 200, (60, 2))
    boxes, scores = np.concatenate([low, low + rng.uniform(1, 90, (60, 2))], axis=1), rng.random(60)
    overlap, kept = scoring.iou(boxes, boxes), []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(overlap[i, k] <= 0.45 for k in kept):
            kept.append(i)
    assert detector.suppress(boxes, scores, overlap=0.45).tolist() == kept


def test_overlap_of_boxes_with_themselves_and_far_ones():
    a = torch.tensor([[5.0, 5.0, 4.0, 4.0]])[..., None]
    assert float(detector.giou(a, a)) == pytest.approx(1)
    far = torch.tensor([[25.0, 5.0, 4.0, 4.0]])[..., None]
    # no overlap; the hull is 24 x 4, of which 32 are covered: -(96 - 32) / 96
    assert float(detector.giou(a, far)) == pytest.approx(-2 / 3)


def test_a_detector_is_kept_with_its_threshold(trained, tmp_path):
    detector.save(tmp_path / "d", trained, threshold=0.35, looks=(1.0, 1.15), data={"n": 1})
    again, threshold, looks = detector.load(tmp_path / "d")
    assert (threshold, looks) == (0.35, (1.0, 1.15))
    a, b = (detector.heat_map(m, blots(50).grey) for m in (trained, again))
    assert (a == b).all()


def test_the_threshold_is_the_best_that_was_tried(trained):
    seen = [(detector.detect_scaled(trained, f.grey, threshold=0.02), f) for f in map(blots, (60, 61))]
    threshold, tried = detector.choose_threshold(seen)
    assert dict(tried)[threshold] == max(f1 for _, f1 in tried)
    assert len(tried) == 13


def test_the_looks_are_the_best_that_were_tried(trained):
    """Trained at one size alone and for a moment: its boxes are of one size at any scale, so that more looks harm."""
    seen = [blots(i) for i in (60, 61, 62)]
    looks, found, tried = detector.choose_looks(trained, seen)
    assert dict(tried)[looks] == max(value for _, value in tried)
    assert [k for k, _ in tried] == [(1.0,), (1.0, 1.15), (1.0, 1.15, 1.3)]
    again = [detector.detect_scaled(trained, f.grey, threshold=detector.FAINT, looks=looks) for f in seen]
    assert all((a.boxes == b.boxes).all() for (a, _), b in zip(found, again, strict=True))


def test_a_detector_without_a_choice_of_looks_takes_all(trained, tmp_path):
    detector.save(tmp_path / "d", trained, threshold=0.35, looks=(1.0,), data={"n": 1})
    card = json.loads((tmp_path / "d" / "model.json").read_text())
    del card["calibration"]["looks"]
    (tmp_path / "d" / "model.json").write_text(json.dumps(card))
    assert detector.load(tmp_path / "d")[2] == detector.LOOKS


def test_looks_at_several_sizes_are_averaged():
    one = detector.Detections(
        np.array([[0, 0, 40, 40], [100, 0, 140, 40]], np.float32), np.array([0.9, 0.4], np.float32)
    )
    two = detector.Detections(np.array([[4, 0, 44, 40]], np.float32), np.array([0.3], np.float32))
    found = detector.merged([one, two], overlap=0.45)
    np.testing.assert_allclose(found.scores, [0.6, 0.2], atol=1e-6)
    np.testing.assert_allclose(found.boxes, [[1, 0, 41, 40], [100, 0, 140, 40]], atol=1e-5)
    none = detector.Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert len(detector.merged([none, none], overlap=0.45).boxes) == 0
    alone = detector.merged([one], overlap=0.45)
    np.testing.assert_array_equal(alone.boxes, one.boxes)
    np.testing.assert_allclose(alone.scores, one.scores)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_looks_are_averaged_as_if_every_box_were_compared_with_every_other(seed):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(6)), -1).reshape(-1, 2) * 30.0
    looks = []
    for _ in range(3):
        some = grid[rng.random(len(grid)) < 0.7]
        low = some + rng.uniform(-8, 8, some.shape)
        boxes = np.concatenate([low, low + rng.uniform(24, 60, some.shape)], axis=1).astype(np.float32)
        looks.append(detector.Detections(boxes, rng.random(len(some)).astype(np.float32)))
    found = detector.merged(looks, overlap=0.45)
    boxes, scores = (np.concatenate([getattr(look, field) for look in looks]) for field in ("boxes", "scores"))
    kept = boxes[detector.suppress(boxes, scores, overlap=0.45)]
    total = sum(np.where(scoring.iou(kept, look.boxes) >= detector.SAME, look.scores, 0).max(axis=1) for look in looks)
    np.testing.assert_allclose(found.scores, np.sort(total / 3)[::-1], atol=1e-6)


def test_a_sign_that_is_doubtful_in_one_look_is_found_where_the_looks_agree(monkeypatch):
    peaks = iter((0.6, 0.5, 0.35))

    def seen(model, grey, **_):
        h, w = -(-grey.shape[0] // 32) * 4, -(-grey.shape[1] // 32) * 4
        out = np.full((5, h, w), -20, np.float32)
        out[1:] = 0
        peak = next(peaks)
        row, column = grey.shape[0] // 16, grey.shape[1] // 16
        out[0, row, column] = np.log(peak / (1 - peak))
        out[3:, row, column] = np.log(grey.shape[0] / 160 * 5)
        return out

    monkeypatch.setattr(detector, "heat_map", seen)
    found = detector.detect_scaled(torch.nn.Identity(), np.zeros((160, 160), np.uint8), threshold=0.45)
    np.testing.assert_allclose(found.scores, [(0.6 + 0.5 + 0.35) / 3], atol=1e-5)


def test_a_photograph_is_not_enlarged_without_bound():
    with pytest.raises(UserError, match="are too small to be read"):
        detector.detect(torch.nn.Identity(), np.zeros((9, 9, 1), np.uint8), sign_height=1.0)
