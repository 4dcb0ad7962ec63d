import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edubba.core import streams
from edubba.core.calibration import abstention, brier, ece, ece_by_chance, ece_equal_mass, reliability, temperature
from edubba.core.errors import UserError


def calibrated(n, classes, seed=0, sharpness=8.0):
    """Logits, and labels drawn from their own softmax: calibrated by construction."""
    logits = sharpness * streams.uniform(seed, "logits", index=np.arange(n), k=classes)
    u = streams.uniform(seed, "labels", index=np.arange(n), k=1)
    probabilities = scipy.special.softmax(logits, axis=1)
    return logits, np.minimum((u > np.cumsum(probabilities, axis=1)).sum(axis=1), classes - 1)


def softmax(logits):
    return scipy.special.softmax(logits, axis=1)


@pytest.mark.parametrize("true", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_found_again(true):
    # over 200 seeds of 4,000 rows the estimate's standard deviation is 1.6 % of the truth: 8 % is 5 of them
    logits, labels = calibrated(4000, 5)
    assert temperature(logits * true, labels) == pytest.approx(true, rel=0.08)


def test_the_temperature_is_where_a_grid_has_its_lowest_loss():
    logits, labels = calibrated(300, 4, seed=2)
    grid = np.geomspace(0.2, 5, 4001)
    loss = [
        -np.mean([np.log(row[label]) for row, label in zip(softmax(logits / t), labels, strict=True)]) for t in grid
    ]
    assert temperature(logits, labels) == pytest.approx(grid[np.argmin(loss)], rel=1e-3)


def test_the_temperature_of_shifted_and_scaled_logits():
    logits, labels = calibrated(300, 4, seed=2)
    shifted = logits + np.arange(300)[:, None]
    assert temperature(shifted, labels) == pytest.approx(temperature(logits, labels), rel=1e-5)
    assert temperature(logits * 7, labels) == pytest.approx(7 * temperature(logits, labels), rel=1e-5)


def test_without_a_mistake_the_temperature_is_the_lowest_allowed():
    assert temperature(np.eye(3) * 0.5, np.arange(3)) == pytest.approx(0.01, rel=1e-12)


def test_against_the_truth_the_temperature_is_the_highest_allowed():
    assert temperature(np.eye(3), np.array([1, 2, 0])) == pytest.approx(100)


FOUR = np.array([[0.9, 0.1], [0.7, 0.3], [0.35, 0.65], [0.2, 0.8]])
LABELS = np.array([0, 1, 1, 0])


def test_ece_by_hand():
    # two bins, (0, .5] and (.5, 1]: all four confidences .9 .7 .65 .8 (mean .7625) in the second, 2 of 4 right
    assert ece(FOUR, LABELS, bins=2) == pytest.approx(0.2625)
    # ten bins, upper edges inside: .9 | .8 | .7 and .65; right 1, 0, 1 of 2: (.1 + .8 + 2 |.5 - .675|) / 4
    assert ece(FOUR, LABELS, bins=10) == pytest.approx((0.1 + 0.8 + 0.35) / 4)


def test_reliability_by_hand():
    bins = reliability(FOUR, LABELS, bins=4)
    assert bins.count.tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(bins.confidence, [np.nan, np.nan, 0.675, 0.85])
    np.testing.assert_allclose(bins.accuracy, [np.nan, np.nan, 0.5, 0.5])


def test_ece_is_that_of_a_loop_over_the_bins():
    logits, labels = calibrated(500, 6, seed=4)
    probabilities, total = softmax(2 * logits), 0.0
    for i in range(15):
        inside = [
            (max(row), np.argmax(row) == label)
            for row, label in zip(probabilities, labels, strict=True)
            if i / 15 < max(row) <= (i + 1) / 15
        ]
        if inside:
            total += abs(sum(c for c, _ in inside) - sum(right for _, right in inside)) / 500
    assert ece(probabilities, labels) == pytest.approx(total)


def test_calibrated_data_has_almost_no_calibration_error():
    # 20,000 rows: over 200 seeds ECE is .0080 +- .0017, so .017 is passed by chance about once in 10 million
    logits, labels = calibrated(20_000, 5)
    assert ece(softmax(logits), labels) < 0.017
    assert ece(softmax(3 * logits), labels) > 0.1


def test_what_chance_makes_of_no_error_is_the_error_of_drawn_answers():
    confidence = streams.uniform(3, "confidence", index=np.arange(40), k=1)[:, 0]
    drawn = streams.uniform(7, "right by chance", index=np.arange(50), k=40)
    order = np.argsort(confidence)
    slow = [ece_equal_mass(confidence[order], row < confidence[order], bins=6) for row in drawn]
    np.testing.assert_allclose(ece_by_chance(confidence, bins=6, draws=50, seed=7), sorted(slow))
    assert ece_by_chance(np.full(15_000, 0.5)).mean() == pytest.approx(np.sqrt(0.5 / (1000 * np.pi)), rel=0.05)


def test_dividing_by_the_temperature_mends_overconfidence():
    logits, labels = calibrated(4000, 5)
    later, later_labels = calibrated(4000, 5, seed=1)
    before, after = softmax(3 * later), softmax(3 * later / temperature(3 * logits, labels))
    assert ece(after, later_labels) < 0.3 * ece(before, later_labels)
    assert brier(after, later_labels) < brier(before, later_labels)


def test_brier_by_hand():
    # rows: 2 x .1^2, 2 x .7^2, 2 x .35^2, 2 x .8^2
    assert brier(FOUR, LABELS) == pytest.approx((0.02 + 0.98 + 0.245 + 1.28) / 4)


def test_brier_is_0_at_the_truth_and_2_when_sure_and_wrong():
    assert brier(np.eye(3), np.arange(3)) == 0
    assert brier(np.eye(3), np.array([1, 2, 0])) == 2


def test_abstention_by_hand():
    curve = abstention(FOUR, LABELS)
    assert curve.confidence.tolist() == [0.9, 0.8, 0.7, 0.65]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(curve.accuracy, [1, 1 / 2, 1 / 3, 2 / 4])


def test_pictures_of_equal_confidence_are_answered_together():
    curve = abstention(np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]), np.array([0, 0, 0]))
    assert curve.coverage.tolist() == pytest.approx([2 / 3, 1])
    assert curve.accuracy.tolist() == pytest.approx([1 / 2, 2 / 3])


@hypothesis_settings(deadline=None)
@given(st.permutations(range(40)), st.integers(1, 20))
def test_the_order_of_the_pictures_does_not_matter(order, bins):
    logits, labels = calibrated(40, 3, seed=5)
    probabilities = np.round(softmax(logits), 1) + 1e-9
    probabilities /= probabilities.sum(1, keepdims=True)
    a, b = (probabilities, labels), (probabilities[order], labels[order])
    assert ece(*a, bins=bins) == pytest.approx(ece(*b, bins=bins))
    for one, other in zip(abstention(*a), abstention(*b), strict=True):
        np.testing.assert_allclose(one, other)
    assert reliability(*a, bins=bins).count.sum() == 40


def test_float32_probabilities_are_taken():
    logits, labels = calibrated(100, 3)
    assert ece(softmax(logits).astype(np.float32), labels) == pytest.approx(ece(softmax(logits), labels), abs=1e-6)


def test_errors():
    with pytest.raises(UserError) as error:
        ece(np.array([[0.5, 0.5], [2.0, -1.0]]), np.array([0, 1]))
    assert str(error.value) == "row 1 of the probabilities is [2.0, -1.0]: apply a softmax to logits first"
    with pytest.raises(UserError) as error:
        temperature(np.zeros((2, 3)), np.array([0, 3]))
    assert str(error.value) == "labels run from 0 to 3, but there are 3 classes"
    with pytest.raises(UserError) as error:
        brier(np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert str(error.value) == "there are no pictures to calibrate on"
