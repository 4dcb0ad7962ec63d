"""Average precision against hand-made cases and the reference implementation; matching; edit distance."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.tablets import scoring
from edubba.tablets.scoring import Picture

SHARED = Path(__file__).parents[3] / "shared" / "data"


def picture(found, scores, true, labels=None, true_labels=None):
    found, true = np.array(found, float).reshape(-1, 4), np.array(true, float).reshape(-1, 4)
    labels = np.zeros(len(found), int) if labels is None else np.array(labels)
    true_labels = np.zeros(len(true), int) if true_labels is None else np.array(true_labels)
    return Picture(found, np.array(scores, float), labels, true, true_labels)


A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]


def test_true_boxes_given_back_are_perfect():
    assert scoring.average_precision([picture([A, B], [0.9, 0.8], [A, B])]) == 1


def test_a_false_alarm_above_the_hits_costs_precision():
    # hits at ranks 2 and 3: precision 1/2 up to recall 1/2, then 2/3, and the best at that recall or above counts
    assert scoring.average_precision([picture([C, A, B], [0.9, 0.8, 0.7], [A, B])]) == pytest.approx(2 / 3)


def test_a_missed_box_caps_recall():
    # recall ends at 1/2: 51 of the 101 recalls, 0 to .50, have precision 1
    assert scoring.average_precision([picture([A], [0.9], [A, B])]) == pytest.approx(51 / 101)


def test_the_second_detection_of_one_box_is_a_false_alarm():
    twice = [picture([A, [0, 0, 10, 9], B], [0.9, 0.8, 0.7], [A, B])]
    assert scoring.average_precision(twice) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_right_box_of_another_name_is_a_false_alarm():
    assert scoring.average_precision([picture([A], [0.9], [A], labels=[1], true_labels=[2])]) == 0


def test_boxes_shifted_by_half_their_width_find_nothing():
    assert scoring.average_precision([picture([[5, 0, 15, 10]], [0.9], [A])]) == 0  # IoU 1/3


def test_only_the_surest_detections_count():
    crowd = [picture([C, C, A], [0.9, 0.8, 0.7], [A])]
    assert scoring.average_precision(crowd, most=2) == 0
    assert scoring.average_precision(crowd, most=3) > 0


def test_without_a_true_box_there_is_no_precision():
    assert np.isnan(scoring.average_precision([picture([A], [0.9], [])]))


def test_the_surer_detection_takes_the_box_it_overlaps_most():
    found = np.array([[0, 0, 10, 8], [0, 0, 10, 10]], float)
    assert scoring.match(found, np.array([0.5, 0.9]), np.array([A], float)).tolist() == [-1, 0]
    assert scoring.match(found, np.array([0.9, 0.5]), np.array([A], float)).tolist() == [0, -1]
    assert scoring.match(np.zeros((0, 4)), np.zeros(0), np.array([A], float)).tolist() == []


def test_a_box_counts_where_its_centre_lies():
    boxes, region = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], float), np.array([[0, 0, 9, 10]], float)
    assert scoring.inside(boxes, region).tolist() == [True, False]  # the right edge is outside


def slow_edits(a, b):
    rows = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, change)
    return rows[-1][-1]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_edits_are_those_of_the_definition(a, b):
    assert scoring.edits(a, b) == slow_edits(a, b)


def test_average_precision_is_that_of_pycocotools(capsys):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed: only benches need it")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    pictures, images, truth, results = [], [], [], []
    for k in range(6):
        true = np.concatenate([p := rng.uniform(0, 300, (25, 2)), p + rng.uniform(15, 60, (25, 2))], axis=1)
        found = np.concatenate([true + rng.normal(0, 3, true.shape), true[:8] + 40])
        found = found[(found[:, 2:] > found[:, :2] + 1).all(1)]
        labels, mine = rng.integers(1, 4, len(true)), rng.integers(1, 4, len(found))
        mine[: len(true) - 5] = labels[: len(true) - 5]
        scores = rng.permutation(np.linspace(0.1, 0.9, len(found)))
        pictures.append(picture(found, scores, true, mine, labels))
        images.append({"id": k, "width": 400, "height": 400})
        for box, label in zip(true, labels, strict=True):
            w, h = box[2:] - box[:2]
            truth.append(
                {"id": len(truth) + 1, "image_id": k, "category_id": int(label), "bbox": [*box[:2], w, h], "area": w * h,
                 "iscrowd": 0}
            )  # fmt: skip
        for box, label, score in zip(found, mine, scores, strict=True):
            results.append(
                {"image_id": k, "category_id": int(label), "bbox": [*box[:2], *(box[2:] - box[:2])], "score": score}
            )
    reference = coco.COCO()
    reference.dataset = {
        "images": images,
        "annotations": truth,
        "categories": [{"id": i} for i in (1, 2, 3)],
        "info": {},
    }
    reference.createIndex()
    judge = COCOeval(reference, reference.loadRes(results), "bbox")
    judge.params.maxDets = [1, 10, 1000]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"]  # thresholds, recalls, names, areas, detections
    for at, k in ((0.5, 0), (0.75, 5)):
        mine = scoring.mean_over([scoring.judged(p, at=at) for p in pictures], np.array([1, 2, 3]))
        assert mine == pytest.approx(precision[k, :, :, 0, 2].mean(), abs=1e-6)


def test_golden_values_of_the_test_photographs():
    path = SHARED / "tablets" / "annotations_coco.json"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    document = json.loads(path.read_text())
    test = {image["id"] for image in document["images"] if image["split"] == "test"}
    boxes = {i: [] for i in test}
    for a in document["annotations"]:
        if a["image_id"] in test:
            x, y, w, h = a["bbox"]
            boxes[a["image_id"]].append([x, y, x + w, y + h])
    true = [np.array(b) for b in boxes.values()]
    assert sum(map(len, true)) == 3574
    assert scoring.average_precision([picture(b, np.full(len(b), 0.9), b) for b in true]) == 1
    # COCO's own limit of 100 detections a picture costs more than a third
    cut = scoring.average_precision([picture(b, np.full(len(b), 0.9), b) for b in true], most=100)
    assert cut == pytest.approx(0.6436, abs=0.005)
    half = [b + (b[:, 2:3] - b[:, :1]) / 2 * [1, 0, 1, 0] for b in true]
    assert (
        scoring.average_precision([picture(h, np.full(len(h), 0.9), b) for h, b in zip(half, true, strict=True)]) < 0.06
    )


def test_of_equal_probabilities_the_first_counts_as_likelier():
    p = np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    assert scoring.within(p, np.array([3, 3]), 2).tolist() == [False, False]
    assert scoring.within(p, np.array([1, 1]), 2).tolist() == [True, True]
