import json
import math
import shlex
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edubba.core import machine, stats, streams
from edubba.core.errors import UserError
from edubba.core.stats import bootstrap, bootstrap_draws


def made(*numbers, **changes):
    common = {"method": "bootstrap", "n": 30, "unit": "patient", "data": "x", "split": "test", "seconds": 1.23456}
    return stats.result("accuracy", *numbers, **common | changes)


def test_a_result_has_the_fields_of_its_format_in_their_order():
    names = ", ".join(f.name for f in fields(stats.Result))
    assert names == (
        "name, value, low, high, level, method, n, unit, draws, seed, data, split, seconds, command, machine, edubba, date"
    )


def test_a_result_knows_command_machine_and_version(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/bin/edubba", "contrast", "probe", "my photos", "--seed=1"])
    row = made(np.float32(0.5), 0.25, np.float64(0.75))
    assert row.command == "edubba contrast probe 'my photos' --seed=1"
    assert shlex.split(row.command)[3] == "my photos"
    assert row.machine == machine.facts()["machine"]
    assert (row.value, row.low, row.high, row.level, row.seconds) == (0.5, 0.25, 0.75, 0.95, 1.235)


def test_the_command_of_a_module_is_named_after_its_package(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site-packages/edubba/__main__.py", "demo"])
    assert stats.command() == "edubba demo"


def test_without_an_interval_low_high_and_level_are_none_and_present():
    row = made(0.5).to_dict()
    assert row["low"] is row["high"] is row["level"] is None
    assert row["method"] == "bootstrap"


def test_one_unit_says_why_it_has_no_interval():
    assert made(0.5, n=1).method == "bootstrap; one patient gives no interval"


numbers = st.floats(allow_nan=False, allow_infinity=False)


@hypothesis_settings(deadline=None)
@given(numbers, st.one_of(st.none(), st.tuples(numbers, numbers).map(sorted)), st.text())
def test_a_result_survives_json(value, interval, name):
    row = replace(made(value, *(interval or ())), name=name)
    assert stats.Result.from_dict(json.loads(json.dumps(row.to_dict(), allow_nan=False))) == row


def test_whole_numbers_of_other_programs_become_floats():
    row = stats.Result.from_dict(made(1.0, 0.0, 2.0).to_dict() | {"value": 1, "low": 0})
    assert isinstance(row.value, float)
    assert isinstance(row.low, float)


@pytest.mark.parametrize("numbers", [(math.nan,), (math.inf,), (0.5, 0.1, math.nan)])
def test_nan_and_infinity_are_refused(numbers):
    with pytest.raises(ValueError, match="not finite"):
        made(*numbers)


def test_half_an_interval_and_a_reversed_one_are_refused():
    with pytest.raises(ValueError, match="go together"):
        replace(made(0.5, 0.1, 0.9), high=None)
    with pytest.raises(ValueError, match=r"low 0\.9 is above high 0\.1"):
        made(0.5, 0.9, 0.1)


def test_a_row_with_other_fields_is_refused_by_name():
    row = made(0.5).to_dict() | {"p": 1}
    del row["unit"]
    with pytest.raises(UserError) as error:
        stats.Result.from_dict(row)
    assert str(error.value) == "result 'accuracy' has missing or unknown fields: p, unit"


def by_definition(statistic, rows, group, draws, seed):
    """Every resample, from the definition: lists of rows by group, picked one after the other."""
    names = sorted(set(group))
    bags = [[row for row, own in zip(rows, group, strict=True) if own == name] for name in names]
    values = []
    for r in range(draws):
        picks = streams.uniform(seed, "bootstrap", index=np.array([r]), k=len(bags))[0]
        values.append(statistic(np.array([row for u in picks for row in bags[math.floor(u * len(bags))]])))
    return sorted(values)


@pytest.mark.parametrize("statistic", [np.mean, np.median, lambda x: float(np.mean(x))])
def test_whole_groups_are_resampled(statistic):
    rows, group = np.arange(23.0) ** 1.5, np.array(list("abcabdaeabcfffgghhhhhhh"))
    value, low, high = bootstrap(statistic, rows, group=group, draws=200, level=0.9, seed=3)
    expected = by_definition(statistic, rows, group, draws=200, seed=3)
    assert value == pytest.approx(statistic(rows))
    assert (low, high) == pytest.approx((expected[9], expected[190]))  # positions 9.95 and 189.05 of 0..199, outwards


def test_the_fast_mean_equals_the_slow_one():
    rows = streams.uniform(0, "rows", index=np.arange(500), k=1)[:, 0]
    group = np.arange(500) % 37
    for grouping in (None, group):
        fast = bootstrap(np.mean, rows, group=grouping, draws=300)
        slow = bootstrap(lambda x: np.mean(x), rows, group=grouping, draws=300)
        assert fast == pytest.approx(slow, abs=1e-12)


def test_chunks_change_nothing(monkeypatch):
    rows = np.arange(50.0)
    whole = bootstrap(np.median, rows, draws=100)
    monkeypatch.setattr(stats, "CHUNK", 50 * 7)
    assert bootstrap(np.median, rows, draws=100) == whole


def test_the_seed_changes_the_interval_and_never_the_value():
    rows = np.arange(50.0) ** 2
    one, other = bootstrap(np.mean, rows, seed=0), bootstrap(np.mean, rows, seed=1)
    assert one.value == other.value
    assert one.low != other.low


def test_ends_are_those_of_scipy():
    # both Monte Carlo; the standard error of a 2.5 % quantile from 5,000 resamples is .038 of the statistic's own
    rows = streams.uniform(0, "skewed", index=np.arange(60), k=1)[:, 0] ** 3
    ours = bootstrap(np.mean, rows, draws=5000, seed=1)
    rng = np.random.default_rng(0)
    theirs = scipy.stats.bootstrap((rows,), np.mean, n_resamples=5000, method="percentile", rng=rng)
    tolerance = 6 * 0.038 * theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=tolerance)


def test_intervals_over_groups_hold_the_truth_and_over_rows_do_not():
    # 300 data sets of 40 groups of 1 to 5 rows; rows of a group share most of their value; the true mean is 0.
    # If 94 % of intervals hold it (percentile intervals of 40 groups are slightly narrow), fewer than 268 or more than
    # 296 of 300 do with probability 0.0007 (binomial); over rows 67 % hold it, and 245 are 5 standard errors above that.
    size = np.arange(40) % 5 + 1
    group = np.repeat(np.arange(40), size)
    grouped = alone = 0
    for i in range(300):
        shared = streams.uniform(7, "shared", i, index=np.arange(40), k=1)[:, 0] - 0.5
        own = streams.uniform(7, "own", i, index=np.arange(len(group)), k=1)[:, 0] - 0.5
        rows = shared[group] + 0.2 * own
        _, low, high = bootstrap(np.mean, rows, group=group, draws=600, seed=i)
        grouped += low <= 0 <= high
        _, low, high = bootstrap(np.mean, rows, draws=600, seed=i)
        alone += low <= 0 <= high
    assert 268 <= grouped <= 296
    assert alone < 245


def test_a_paired_difference_is_surer_than_its_parts():
    hard = streams.uniform(0, "hard", index=np.arange(200), k=1)[:, 0]
    a, b = hard + 0.01, hard
    difference = bootstrap(lambda x, y: x.mean() - y.mean(), (a, b))
    assert difference == pytest.approx((0.01, 0.01, 0.01))
    assert bootstrap(np.mean, a).low < bootstrap(np.mean, b).value


def test_rows_may_have_any_shape():
    rows = np.stack([np.arange(30.0), np.arange(30.0) % 7], axis=1)
    value, low, high = bootstrap(lambda x: np.corrcoef(x.T)[0, 1], rows, draws=100)
    assert value == np.corrcoef(rows.T)[0, 1]
    assert low < value < high


def test_draws_are_averaged_within_each_resample():
    draws = np.stack([np.arange(20.0), 100 - 3 * np.arange(20.0)])
    group = np.arange(20) // 2
    fast = bootstrap_draws(np.mean, draws, group=group, draws=300)
    slow = bootstrap_draws(lambda x: np.mean(x), draws, group=group, draws=300)
    whole = bootstrap(np.mean, draws.mean(0), group=group, draws=300)
    assert fast == pytest.approx(slow)
    assert fast == pytest.approx(whole)
    pairs = bootstrap_draws(lambda x, y: np.median(x) - np.median(y), (draws, draws[::-1]), group=group, draws=300)
    assert pairs == pytest.approx((0, 0, 0))  # each draw against the other: the two medians cancel in every resample


def test_one_group_gives_no_interval():
    assert bootstrap(np.mean, np.array([1.0, 3.0]), group=np.array(["t1", "t1"])) == (2.0, None, None)


def test_a_statistic_that_is_often_undefined_gives_no_interval():
    def share_of_ones(x):  # undefined where no 1 was drawn: e^-1 of the resamples with one 1, e^-9 with nine
        return x.mean() if x.any() else math.nan

    assert bootstrap(share_of_ones, np.eye(50)[0]) == (0.02, None, None)
    rows = (np.arange(50) < 9).astype(float)
    assert bootstrap(share_of_ones, rows) == bootstrap(np.mean, rows)


def test_undefined_resamples_count_as_beyond_both_ends():
    rows = np.arange(20.0)
    plain = bootstrap(np.mean, rows, level=0.8)
    above = bootstrap(lambda x: x.mean() if x.mean() < 12 else math.nan, rows, level=0.8)  # 3 % of the resamples
    below = bootstrap(lambda x: x.mean() if x.mean() > 7 else math.nan, rows, level=0.8)
    assert above.high == plain.high
    assert above.low < plain.low
    assert below.low == plain.low
    assert below.high > plain.high


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"values": np.zeros(0)}, "values of 0 rows: as many in each, at least one"),
        ({"values": (np.zeros(3), np.zeros(4))}, "values of 3 and 4 rows: as many in each, at least one"),
        ({"values": np.zeros(3), "group": np.zeros(4)}, "3 rows but groups for 4"),
        ({"values": np.zeros(3), "level": 95.0}, "level 95.0 is not between 0 and 1"),
        ({"values": np.zeros(3), "draws": 0}, "0 resamples: at least 1 is needed"),
    ],
)
def test_errors(arguments, sentence):
    with pytest.raises(UserError) as error:
        bootstrap(np.mean, **arguments)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("k", "n", "level", "low", "high"),
    [
        (0, 10, 0.95, 0, 0.3084971078188),
        (5, 100, 0.95, 0.0164318791821, 0.1128349111055),
        (500, 10_000, 0.95, 0.0458099421988, 0.0544545270284),
        (100, 10_000, 0.95, 0.0081435965676, 0.0121495048861),
        (10, 10_000, 0.95, 4.79639723771e-4, 1.83826413421e-3),
        (0, 10_000, 0.95, 0, 3.6881991461876e-4),
        (0, 500, 0.95, 0, 0.0073506100519),
        (10, 10_000, 0.999, 2.69988382232e-4, 2.52363001842e-3),
    ],
)
def test_clopper_pearson_is_golden(k, n, level, low, high):
    found = stats.clopper_pearson(k, n, level=level)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)
    mirrored = stats.clopper_pearson(n - k, n, level=level)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), rel=1e-9)


def test_clopper_pearson_refuses_what_is_no_share():
    for k, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(UserError):
            stats.clopper_pearson(k, n)


def test_holm_is_golden_and_agrees_with_its_definition():
    assert stats.holm([0.0002, 0.011, 0.02, 0.04, 0.6]) == pytest.approx([0.001, 0.044, 0.06, 0.08, 0.6])
    p = np.random.default_rng(0).random(40) ** 3

    def rejected(alpha):
        found, order = set(), np.argsort(p)
        for step, i in enumerate(order):
            if p[i] > alpha / (len(p) - step):
                break
            found.add(int(i))
        return found

    adjusted = stats.holm(p)
    for alpha in (0.001, 0.01, 0.05, 0.3, 0.9):
        assert set(np.flatnonzero(adjusted <= alpha).tolist()) == rejected(alpha)


@pytest.mark.parametrize(
    ("wins", "n", "p"),
    [
        (8, 10, 0.0546875),
        (60, 100, 0.02844396682049),
        (530, 1000, 0.03101159754918),
        (2600, 5000, 0.002441824868759),
        (2650, 5000, 1.170069255321e-5),
        (2750, 5000, 8.16572228555e-13),
        (0, 7, 1.0),
    ],
)
def test_sign_test_is_golden(wins, n, p):
    assert stats.sign_log10_p(wins, n) == pytest.approx(math.log10(p), abs=1e-9)


def test_sign_test_does_not_underflow():
    assert stats.sign_log10_p(5000, 5000) == pytest.approx(-5000 * math.log10(2))


def test_permutation_test_is_exact_where_it_can_be():
    d = np.array([1.2, -0.3, 0.8, 2.1, -0.5, 0.9, 1.7, 0.4, -0.1, 0.6])
    assert stats.permutation_test(d, np.zeros(10)) == 19 / 1024
    drawn = stats.permutation_test(d, np.zeros(10), draws=1000)
    assert drawn != 19 / 1024
    assert abs(drawn - 19 / 1024) < 0.02
    assert stats.permutation_test(d + 3, np.full(10, 3.0), draws=1000, seed=1) != drawn
    assert stats.permutation_test([1.0], [0.0]) == 0.5


def test_permutation_test_holds_its_level():
    rng = np.random.default_rng(0)
    p = [
        stats.permutation_test(x, np.zeros(30), draws=199, seed=i) for i, x in enumerate(rng.standard_t(2, (1000, 30)))
    ]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.08
