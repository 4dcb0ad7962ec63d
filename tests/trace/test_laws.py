"""Log-space tails against golden values (60 digits of mpmath) and against slow definitions."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.trace.laws import EProcess, cosine_log10_p, fisher_log10_p, normal_log10_p, stouffer_log10_p

COSINES = [
    (2, 0.5, -0.47712125471966),
    (3, 0.5, -0.60205999132796),
    (64, 0.1, -0.66955857035369),
    (64, -0.1, -0.10458498409716),
    (64, 0.25, -1.6517618561021),
    (64, 0.5, -4.9532082979551),
    (512, 0.05, -0.88890661745119),
    (512, 0.1, -1.9298475032477),
    (512, 0.2, -5.6026088595127),
    (512, 0.5, -33.376833856558),
    (512, 0.9, -185.98640867751),
    (512, 0.99, -436.39220421614),
    (640, 0.15, -4.16140676876),
    (2048, 0.5, -129.62910237372),
    (5120, 0.05, -3.7640260259121),
    (5120, 0.5, -321.73362411053),
    (512000, 0.01, -12.380300167481),
]


@pytest.mark.parametrize(("d", "c", "log10_p"), COSINES)
def test_one_cosine_is_golden(d, c, log10_p):
    assert cosine_log10_p(c, d) == pytest.approx(log10_p, rel=2e-13)


@given(d=st.integers(2, 3000), c=st.floats(-0.999, 0.999))
def test_one_cosine_agrees_with_sixty_digits(d, c):
    with mpmath.workdps(60):
        half = mpmath.betainc((d - 1) / mpmath.mpf(2), 0.5, 0, 1 - mpmath.mpf(c) ** 2, regularized=True) / 2
        truth = float(mpmath.log10(half if c >= 0 else 1 - half))
    assert cosine_log10_p(c, d) == pytest.approx(truth, rel=1e-9, abs=1e-14)


def test_the_series_and_the_library_meet():
    # just above and just below the place where the series takes over
    c = np.linspace(0.9, 0.96, 400)
    p = np.array([cosine_log10_p(x, 1024) for x in c])
    assert p[0] > -400 > p[-1]
    assert (np.diff(p) < 0).all()
    assert (np.abs(np.diff(p, 2)) < 0.02).all()


def test_a_cosine_of_ten_million_dimensions_does_not_underflow():
    assert -40_000 < cosine_log10_p(0.1, 10_000_000) < -20_000


def test_ends_of_the_cosine():
    assert cosine_log10_p(1.0, 8) == -math.inf
    assert cosine_log10_p(-1.0, 8) == 0
    assert cosine_log10_p(0.0, 8) == pytest.approx(math.log10(0.5))
    for c, d in ((1.5, 8), (math.nan, 8), (0.5, 1)):
        with pytest.raises(ValueError, match=r"cosine|dimensions"):
            cosine_log10_p(c, d)


def test_normal_tail_is_golden():
    assert normal_log10_p(10.0) == pytest.approx(-23.11805340549, abs=1e-11)
    assert normal_log10_p(40.0) == pytest.approx(-349.4370064593, abs=1e-9)
    assert normal_log10_p(100.0) == pytest.approx(-2173.871542869, abs=1e-8)


FISHER = [
    ([0.5] * 10, math.log10(0.8373764391359)),
    ([0.1] * 10, math.log10(7.929562439622e-4)),
    ([0.05, 0.5], math.log10(0.1172219863528)),
    ([0.01, 0.2, 0.7], math.log10(0.04082702883528)),
    ([1e-3, 1e-4, 0.3, 0.9], math.log10(2.841609102475e-5)),
    ([1e-100, 0.5, 0.5], math.log10(6.765575583780e-97)),
    ([1e-300] * 10, -2971.00516442),
]


@pytest.mark.parametrize(("p", "log10_p"), FISHER)
def test_fisher_is_golden(p, log10_p):
    assert fisher_log10_p(np.log10(p)) == pytest.approx(log10_p, rel=1e-11)
    assert fisher_log10_p([0.0, 0.0]) == 0


def test_stouffer_is_golden():
    assert stouffer_log10_p(np.log10([0.1] * 10), [1.0] * 10) == pytest.approx(math.log10(2.532341119672e-5), rel=1e-11)
    assert stouffer_log10_p([-1000.0], [3.0]) == pytest.approx(-1000, rel=1e-12)
    with pytest.raises(ValueError, match="2 weights"):
        stouffer_log10_p([-1.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("k", "d", "c", "joint", "stouffer", "fisher"),
    [
        (10, 64, 0.05, 0.103075736724, 0.105503113873, 0.384665404184),
        (10, 64, 0.1, 5.65118411962e-3, 6.09954083038e-3, 5.74161565723e-2),
        (10, 64, 0.2, 1.65063849459e-7, 2.19449219161e-7, 1.45889022749e-5),
        (10, 512, 0.1, 3.68597598638e-13, 3.94961015642e-13, 1.16625622862e-10),
        (100, 128, 0.05, 7.56587480475e-9, 9.1603173476e-9, 9.61653551872e-3),
        (1000, 512, 0.01, 4.16581359088e-13, 4.49623677975e-13, 0.99984172892),
        (1000, 512, 0.03, 1.45180961045e-102, 2.85414196319e-102, 1.13594398418e-28),
    ],
)
def test_many_classes_are_golden(k, d, c, joint, stouffer, fisher):
    each = [cosine_log10_p(c, d)] * k
    assert cosine_log10_p(c, k * d) == pytest.approx(math.log10(joint), rel=1e-9, abs=1e-11)
    assert stouffer_log10_p(each, [1.0] * k) == pytest.approx(math.log10(stouffer), rel=1e-9, abs=1e-11)
    assert fisher_log10_p(each) == pytest.approx(math.log10(fisher), rel=1e-9, abs=1e-11)


def test_unequal_rows_with_gaussian_carriers():
    norms = np.array([5.0] + [1.0] * 9)
    c = 0.2 * norms.sum() / (np.linalg.norm(norms) * math.sqrt(10))
    assert c == pytest.approx(0.151851320473)
    assert cosine_log10_p(c, 640) == pytest.approx(math.log10(5.68171739038e-5), rel=1e-9)


def test_e_process_is_golden():
    log2 = [
        0, 0.584963, -1, -0.678072, -0.192645, 0.392317, -0.830075, -0.370643, 0.159871, 0.744834, 1.372865, 0.109831,
        0.657318, 1.242281, 1.858952, 2.502809, 3.170233, 1.807663, 2.417717, 3.049985,
    ]  # fmt: skip
    e = EProcess()
    values = [e.update(win == "1") for win in "11011101111011111011"]
    assert np.log2(values) == pytest.approx(log2, abs=1e-6)
    assert values[-1] == pytest.approx(8.28203201293945)
    assert e.log10_p == pytest.approx(-math.log10(9.00192260742))


def test_e_process_holds_its_level_under_peeking():
    coins = np.random.default_rng(0).random((800, 400)) < 0.5
    reached = 0
    for row in coins:
        e = EProcess()
        reached += any(e.update(bool(win)) >= 20 for win in row)
    assert reached <= 60  # 5 % of 800 is 40; 60 is beyond the 99.9th percentile of that


def test_e_process_never_bets_on_losses():
    e = EProcess()
    assert [e.update(False) for _ in range(50)] == [1.0] * 50
    assert e.log10_p == 0
