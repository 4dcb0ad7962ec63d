"""Signs into lines: synthetic tablets whose rows are known, laws, scores counted by hand, the photographs' drawn lines."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.tablets import lines

SHARED = Path(__file__).parents[3] / "shared" / "data"


def written(seed, *, rows=8, width=12.0, pitch=1.1, tilt=0.0, bend=0.0, missing=0.0, jitter=0.05, starts=None):
    """Boxes of rows of signs, 40 pixels high, and their true lines; `tilt` in degrees, `bend` in heights at both ends."""
    rng = np.random.default_rng(seed)
    made, row = [], []
    for k in range(rows):
        x = 0.0 if starts is None else starts[k]
        while x < width:
            w = rng.uniform(0.6, 2.0)
            made.append((x + w / 2, k * pitch + bend * (2 * x / width - 1) ** 2, w, rng.normal(1, 0.08)))
            row.append(k)
            x += w + rng.uniform(-0.1, 0.3)
    made, row = np.array(made), np.array(row)
    keep = rng.random(len(made)) >= missing
    return turned(made[keep], row[keep], tilt, rng.normal(0, jitter, (keep.sum(), 2)))


def turned(made, row, tilt, noise):
    """Rows of (x, y, width, height) turned clockwise by degrees: boxes in pixels, true lines."""
    c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    centre = made[:, :2] @ [[c, s], [-s, c]] + noise
    boxes = 40 * np.concatenate([centre - made[:, 2:] / 2, centre + made[:, 2:] / 2], 1) + 300
    true = [np.flatnonzero(row == k) for k in np.unique(row)]
    return boxes, [line[np.argsort(made[line, 0])] for line in true]


def moved(boxes, x, y):
    return boxes + np.array([x, y, x, y])


def centres(boxes):
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def same(found, true):
    return [line.tolist() for line in found] == [line.tolist() for line in true]


# ---- tablets whose lines are known


@pytest.mark.parametrize("tilt", [-12, -7, 0, 5, 12])
def test_tilted_rows_are_found(tilt):
    boxes, true = written(1, tilt=tilt)
    found = lines.find(boxes)
    assert same(found.lines, true)
    assert not len(found.unplaced)
    assert found.height == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize("bend", [-1.2, 1.2])
def test_rows_that_bend_by_more_than_their_distance_are_found(bend):
    boxes, true = written(2, bend=bend, rows=9, width=22)
    assert same(lines.find(boxes).lines, true)


def test_rows_that_fan_out_are_found():
    boxes, true = written(3, pitch=1.3)
    middle = centres(boxes)
    lift = 0.06 * (middle[:, 0] - 300) * (middle[:, 1] - 300) / 240
    boxes[:, [1, 3]] += lift[:, None]
    assert same(lines.find(boxes).lines, true)


def test_touching_rows_are_kept_apart():
    boxes, true = written(4, pitch=0.85, rows=12)
    assert same(lines.find(boxes).lines, true)


def test_a_hole_is_bridged():
    boxes, true = written(5, rows=10, width=20, tilt=4)
    x, y = ((centres(boxes) - 300) / 40).T
    keep = np.flatnonzero(~((np.abs(x - 9) < 4) & (np.abs(y - 6) < 3.5)))
    rank = {int(i): k for k, i in enumerate(keep)}
    expected = [np.array([rank[i] for i in line.tolist() if i in rank]) for line in true]
    assert same(lines.find(boxes[keep]).lines, expected)


def test_a_fragment_that_slipped_keeps_its_rows():
    boxes, true = written(6, rows=10, width=14)
    boxes[:, [1, 3]] += np.where(centres(boxes)[:, 0] > 600, 18.0, 0.0)[:, None]  # 0.45 heights
    assert same(lines.find(boxes).lines, true)


@pytest.mark.parametrize("seed", range(3))
def test_missing_signs_do_not_break_rows(seed):
    boxes, true = written(seed, missing=0.25, rows=10, width=16, tilt=3)
    assert same(lines.find(boxes).lines, true)


def test_an_indented_last_line_is_last():
    boxes, true = written(7, rows=6, starts=[0, 0, 0, 0, 0, 8.0], tilt=-5)
    assert same(lines.find(boxes).lines, true)


def test_small_signs_between_rows_are_a_row():
    boxes, true = written(8, rows=5, pitch=2.0)
    small = np.array([[500 + 22 * k, 330, 520 + 22 * k, 350] for k in range(4)], float)  # half as high, midway
    found = lines.find(np.concatenate([boxes, small]))
    extra = np.arange(len(boxes), len(boxes) + 4)
    assert same(found.lines, [true[0], extra, *true[1:]])


def test_numerals_stacked_in_a_row_stay_in_it():
    boxes, true = written(9, rows=4, pitch=1.3)
    upper = np.array([[255 + 15 * k, 334, 269 + 15 * k, 351] for k in range(3)], float)
    lower = moved(upper, 0, 18)  # both half as high as the row at 352 that they open
    found = lines.find(np.concatenate([boxes, upper, lower]))
    assert len(found.lines) == 4
    assert set(found.lines[1].tolist()) == {*true[1].tolist(), *range(len(boxes), len(boxes) + 6)}


@pytest.mark.parametrize("tilt", [0, 8])
def test_two_columns_are_read_one_after_the_other(tilt):
    rng = np.random.default_rng(0)
    made, row = [], []
    for k, (left, column) in itertools.product(range(9), [(0.0, 0), (7.0, 1)]):
        for x in np.arange(left + 0.6, left + 6.1, 1.2):
            made.append((x, 1.1 * k + 0.55 * column, 1.2, 1.0))  # the right column stands half a row lower
            row.append(9 * column + k)
    boxes, true = turned(np.array(made), np.array(row), tilt, rng.normal(0, 0.03, (len(made), 2)))
    boxes[:, [0, 2]] += np.where(np.array(row) < 9, 0.0, 24.0)[:, None]
    assert same(lines.find(boxes).lines, true)
    boxes[:, [1, 3]] -= np.where(np.array(row) < 9, 0.0, 22.0)[:, None]  # level with the left one
    assert same(lines.find(boxes).lines, true)


def test_a_gap_within_few_rows_is_no_column():
    boxes, true = written(10, rows=4, width=14)
    x = centres(boxes)[:, 0]
    boxes[:, [0, 2]] += np.where(x > 560, 60.0, 0.0)[:, None]
    assert same(lines.find(boxes).lines, true)


def test_false_alarms_and_repeats_do_not_disturb_the_others():
    boxes, true = written(11, rows=8, width=14, tilt=-3)
    rng = np.random.default_rng(0)
    again = boxes[::9] + rng.normal(0, 3, boxes[::9].shape)
    middle = centres(boxes)
    corner = rng.uniform(middle.min(0), middle.max(0), (6, 2))
    false = np.concatenate([corner, corner + 40], 1)
    match = np.concatenate([np.arange(len(boxes)), np.full(len(again) + 6, -1)])
    found = lines.find(np.concatenate([boxes, again, false]))
    agreement = lines.scores(true, found.lines, match=match)
    assert agreement.f1 > 0.97
    assert agreement.tau > 0.99
    place = {int(i): k for k, line in enumerate(found.lines) for i in line}
    for k in range(len(again)):
        assert place[len(boxes) + k] == place[9 * k], "a box found twice is in the line of its twin"


def test_a_sign_squeezed_between_rows_is_unplaced():
    boxes, true = written(12, rows=4, pitch=1.3, jitter=0.0)
    squeezed = np.array([[500, 306, 540, 346]], float)  # rows at 300 and 352
    found = lines.find(np.concatenate([boxes, squeezed]))
    assert found.unplaced.tolist() == [len(boxes)]
    assert same(found.lines, true)
    alone = np.array([[500, 600, 540, 640]], float)  # far below: a row of one sign
    assert lines.find(np.concatenate([boxes, alone])).lines[-1].tolist() == [len(boxes)]


def test_the_surest_of_two_boxes_says_where_a_sign_is():
    boxes, true = written(13, rows=3, pitch=1.6, jitter=0.0)
    right = boxes[:, 2].max() + 10
    twice = np.array([[right, 258, right + 60, 362], [right, 336, right + 60, 362]])  # rows at 300 and 364
    both = np.concatenate([boxes, twice])
    new = {len(boxes), len(boxes) + 1}
    assert set(lines.find(both).lines[0].tolist()) == {*true[0].tolist(), *new}, "without scores the largest"
    scores = np.r_[np.ones(len(boxes)), 0.3, 0.9]
    assert set(lines.find(both, scores=scores).lines[1].tolist()) == {*true[1].tolist(), *new}


def test_parts_of_a_row_that_are_not_joined_are_read_from_left_to_right():
    boxes = np.array(
        [[0, 0, 40, 40], [45, 0, 85, 40], [3000, 10, 3040, 50], [3045, 10, 3085, 50], [0, 60, 40, 100]], float
    )
    assert same(lines.find(boxes).lines, [np.array([0, 1]), np.array([2, 3]), np.array([4])])


def test_paths_run_through_the_signs():
    boxes = np.array([[10, 0, 50, 40], [60, 4, 90, 44]], float)
    (path,) = lines.find(boxes).paths
    assert path.tolist() == [[10, 20], [30, 20], [75, 24], [90, 24]]


# ---- laws


tablets = st.builds(
    written,
    st.integers(0, 10_000),
    rows=st.integers(1, 5),
    width=st.floats(2, 8),
    tilt=st.floats(-12, 12),
    bend=st.floats(-1, 1),
    missing=st.floats(0, 0.5),
    jitter=st.floats(0, 0.3),
).filter(lambda made: len(made[0]) > 0)


def noise(seed):
    """Boxes of every size in any place."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-100, 400, (rng.integers(1, 30), 2))
    return np.concatenate([corner, corner + rng.uniform(5, 60, corner.shape)], 1), []


@given(st.one_of(tablets, st.builds(noise, st.integers(0, 10_000))))
@settings(max_examples=30)
def test_each_sign_has_one_place(made):
    boxes, _ = made
    n = list(range(len(boxes)))
    found = lines.find(boxes)
    assert sorted(np.concatenate([*found.lines, found.unplaced]).tolist()) == n
    for line, path in zip(found.lines, found.paths, strict=True):
        assert (np.diff(centres(boxes)[line, 0]) >= 0).all()
        assert path[1:-1].tolist() == centres(boxes)[line].tolist()
    assert sorted(np.concatenate(lines.faces(boxes)).tolist()) == n
    baseline = lines.ransac(boxes)
    assert sorted(np.concatenate([*baseline.lines, baseline.unplaced]).tolist()) == n


@given(tablets, st.integers(0, 1000), st.sampled_from([2.0**-7, 0.5, 8.0]), st.floats(0.01, 50))
@settings(max_examples=12)
def test_order_of_input_scale_and_place_decide_nothing(made, seed, power, scale):
    boxes, _ = made
    found = lines.find(boxes)
    shuffle = np.random.default_rng(seed).permutation(len(boxes))
    other = lines.find(boxes[shuffle])
    assert same([shuffle[line] for line in other.lines], found.lines)
    assert sorted(shuffle[other.unplaced].tolist()) == found.unplaced.tolist()
    exact = lines.find(boxes * power)
    assert same(exact.lines, found.lines)
    assert all((a == b * power).all() for a, b in zip(exact.paths, found.paths, strict=True))
    assert exact.height == found.height * power
    assert same(lines.find(boxes * scale).lines, found.lines)
    assert same(lines.find(moved(boxes, 4096, -512)).lines, found.lines)


def test_equal_boxes_and_grids_without_noise_do_not_depend_on_the_order_of_input():
    grid = np.array([[50 * i, 45 * j, 50 * i + 40, 45 * j + 40] for j in range(4) for i in range(5)], float)
    grid = np.concatenate([grid, grid[3:5]])
    found = [grid[line].tolist() for line in lines.find(grid).lines]
    assert [len(line) for line in found] == [7, 5, 5, 5]
    for seed in range(5):
        other = grid[np.random.default_rng(seed).permutation(len(grid))]
        assert [other[line].tolist() for line in lines.find(other).lines] == found


# ---- few signs, wrong boxes


@pytest.mark.parametrize("order", [lines.find, lines.ransac])
def test_no_signs_no_lines(order):
    found = order(np.zeros((0, 4)))
    assert (found.lines, found.paths, found.height, len(found.unplaced)) == ([], [], 0, 0)
    assert lines.faces(np.zeros((0, 4))) == []


def test_a_single_sign_is_a_line():
    box = np.array([[10.0, 20, 30, 60]])
    found = lines.find(box)
    assert same(found.lines, [np.array([0])])
    assert found.paths[0].tolist() == [[10, 40], [20, 40], [30, 40]]
    assert found.height == 40
    assert same(lines.faces(box), [np.array([0])])
    assert lines.ransac(box).unplaced.tolist() == [0], "one centre makes no straight line"


@pytest.mark.parametrize("order", [lines.find, lines.ransac, lines.faces])
def test_boxes_without_area_are_refused(order):
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 20]], float)
    with pytest.raises(UserError, match=r"box 1 is \[5.0, 5.0, 5.0, 20.0\]: left, top, right, bottom must be finite"):
        order(boxes)
    boxes[1, 2] = np.nan
    with pytest.raises(UserError, match="box 1 is"):
        order(boxes)


# ---- faces


def test_a_fat_cross_is_parted_into_its_faces():
    obverse, _ = written(1, rows=8)
    left, _ = written(2, rows=5, width=1.5)
    right, _ = written(3, rows=6, width=1.5)
    edge, _ = written(4, rows=1)
    reverse, _ = written(5, rows=3)
    parts = [moved(left, -260, 0), obverse, moved(right, 680, 0), moved(edge, 0, 500), moved(reverse, 0, 700)]
    first = np.cumsum([0, *map(len, parts)])
    expected = [np.arange(a, b) for a, b in itertools.pairwise(first)]
    boxes = np.concatenate(parts)
    assert same(lines.faces(boxes), expected)
    shuffle = np.random.default_rng(0).permutation(len(boxes))
    assert same([np.sort(shuffle[face]) for face in lines.faces(boxes[shuffle])], expected)

    between = np.array([[500, 735, 540, 775], [0, 5000, 40, 5040]], float)  # in the strip above the edge; far away
    faces = lines.faces(np.concatenate([boxes, between]))
    assert len(faces) == 6
    assert faces[-1].tolist() == [len(boxes) + 1]
    assert same([face[face < len(boxes)] for face in faces[:-1]], expected)


# ---- the baseline


def test_ransac_finds_straight_rows_and_depends_on_its_seed_alone():
    boxes, true = written(1, pitch=2.0, tilt=4)
    found = lines.ransac(boxes)
    assert same(found.lines, true)
    again = lines.ransac(boxes)
    assert same(found.lines, again.lines)
    bent, true = written(2, bend=-1.5, rows=9, width=22)
    worse = [lines.scores(true, lines.ransac(bent, seed=s).lines).f1 for s in range(3)]
    assert len(set(worse)) > 1
    assert max(worse) < 0.9 < lines.scores(true, lines.find(bent).lines).f1


def test_ransac_takes_no_steep_line():
    boxes = np.array([[0, 0, 40, 40], [100, 36, 140, 76]], float)  # slope 0.36
    assert lines.ransac(boxes).unplaced.tolist() == [0, 1]
    boxes[1] -= [0, 2, 0, 2]  # 0.34
    assert same(lines.ransac(boxes).lines, [np.array([0, 1])])
    column = np.array([[0, 60 * k, 40, 60 * k + 40] for k in range(3)], float)
    assert lines.ransac(column).unplaced.tolist() == [0, 1, 2]


# ---- scores


def arrays(*rows):
    return [np.array(row, int) for row in rows]


def test_scores_are_golden():
    true = arrays([0, 1, 2, 3], [4, 5])
    assert lines.scores(true, true) == (1, 1, 1, 1, 1, 0)
    # pairs found 01, 23, 45; true six and one; neighbours 01, 23, 45 of 3 and 4
    split = lines.scores(true, arrays([0, 1], [2, 3], [4, 5]))
    assert split == pytest.approx((1, 3 / 7, 2 * 3 / 10, 2 * 3 / 7, 1, 1))
    # all in one line: 15 pairs, 7 of them true; neighbours 4 of 5 and 4
    merged = lines.scores(true, arrays([0, 1, 2, 3, 4, 5]))
    assert merged == pytest.approx((7 / 15, 1, 14 / 22, 8 / 9, 1, -1))
    # the second line first: 8 of 15 pairs the wrong way round
    assert lines.scores(true, arrays([4, 5], [0, 1, 2, 3])) == pytest.approx((1, 1, 1, 1, (7 - 8) / 15, 0))
    # one swap within a line: neighbours 45 alone
    assert lines.scores(true, arrays([0, 2, 1, 3], [4, 5])) == pytest.approx((1, 1, 1, 2 / 8, 13 / 15, 0))
    # sign 3 is unplaced: three pairs lost, and five pairs of the order count 0
    assert lines.scores(true, arrays([0, 1, 2], [4, 5])) == pytest.approx((1, 4 / 7, 8 / 11, 6 / 7, 10 / 15, 0))


def test_scores_of_detections_leave_out_what_the_detector_did():
    true = arrays([0, 1, 2], [3, 4])
    match = np.array([4, 3, -1, 0, 2, -1])  # 1 was missed; detections 2 and 5 are false
    found = arrays([3, 2, 4], [1, 0], [5])
    assert lines.scores(true, found, match=match) == (1, 1, 1, 1, 1, 0)
    assert lines.scores(true, arrays([3], [2, 4], [1, 0]), match=match) == pytest.approx((1, 1 / 2, 2 / 3, 2 / 3, 1, 1))


def test_scores_of_few_signs_are_defined():
    assert lines.scores([], []) == (1, 1, 1, 1, 1, 0)
    assert lines.scores(arrays([0]), arrays([0])) == (1, 1, 1, 1, 1, 0)
    assert lines.scores(arrays([0, 1]), []) == (1, 0, 0, 0, 0, -1)
    assert lines.scores(arrays([0], [1]), arrays([0, 1])) == (0, 1, 0, 0, 1, -1)


def test_a_sign_in_two_lines_is_refused():
    with pytest.raises(UserError, match="sign 1 stands twice in the found lines: each sign has one place"):
        lines.scores(arrays([0, 1]), arrays([0, 1], [1]))
    with pytest.raises(UserError, match="sign 0 stands twice in the true lines"):
        lines.scores(arrays([0, 0]), arrays([0]))


@given(st.permutations(range(7)), st.lists(st.integers(0, 2), min_size=7, max_size=7))
@example([0, 1, 2, 3, 4, 5, 6], [0] * 7)
def test_scores_agree_with_slow_definitions(order, rows):
    true = arrays([0, 1, 2], [3, 4, 5, 6])
    found = [np.array([i for i in order if rows[i] == k], int) for k in range(3)]
    got = lines.scores(true, found)
    line = {i: k for k, row in enumerate(found) for i in row.tolist()}
    rank = {i: k for k, i in enumerate(i for row in found for i in row.tolist())}
    pairs = list(itertools.combinations(range(7), 2))
    both = sum(line[i] == line[j] and (i < 3) == (j < 3) for i, j in pairs)
    said, really = sum(line[i] == line[j] for i, j in pairs), sum((i < 3) == (j < 3) for i, j in pairs)
    assert got.f1 == pytest.approx(2 * both / (said + really))
    assert got.tau == pytest.approx(sum(1 if rank[i] < rank[j] else -1 for i, j in pairs) / len(pairs))


# ---- photographs


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
