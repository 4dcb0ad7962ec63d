"""Rows of a suspect: parity with plain definitions, and what must not matter."""

import numpy as np
import pytest

from edubba.trace import laws, whitebox

N, R, K = 200, 5, 3


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, N)
    f = rng.normal(size=(N, R)) + 3 * rng.normal(size=(K, R))[y]
    look = rng.normal(size=(K, R))
    z = f @ look.T + 5 * rng.normal(size=(K, K))[y] + 0.01 * rng.normal(size=(N, K))
    return f, z, y, look


def test_rows_of_a_linear_model_are_its_own_less_what_classes_share(made):
    f, z, y, look = made
    expected = look - look.mean(0)
    assert whitebox.rows(f, z, y) == pytest.approx(expected / (1 + whitebox.RIDGE), rel=0.05, abs=0.02)


def test_rows_do_not_change_with_what_carries_no_mark(made):
    f, z, y, _ = made
    rng = np.random.default_rng(1)
    plain = whitebox.rows(f, z, y)
    assert whitebox.rows(f, z + rng.normal(size=(N, 1)), y) == pytest.approx(plain)  # logits or log-probabilities
    assert whitebox.rows(f + 9 * rng.normal(size=(K, R))[y], z, y) == pytest.approx(plain)
    assert whitebox.rows(f, z + 9 * rng.normal(size=(K, K))[y], y) == pytest.approx(plain)
    assert whitebox.rows(f, 2 * z, y) == pytest.approx(2 * plain)
    order = rng.permutation(N)
    assert whitebox.rows(f[order], z[order], y[order]) == pytest.approx(plain)


def test_weights_count_pictures_as_often_as_they_are_drawn(made):
    f, z, y, _ = made
    assert whitebox.rows(f, z, y, weight=np.ones(N)) == pytest.approx(whitebox.rows(f, z, y))
    none = np.ones(N)
    none[:50] = 0
    g, w = f - np.stack([f[y == k].mean(0) for k in range(K)])[y], z - z.mean(1, keepdims=True)
    w = w - np.stack([w[y == k].mean(0) for k in range(K)])[y]
    gram = g[50:].T @ g[50:]
    slow = (np.linalg.inv(gram + whitebox.RIDGE * np.trace(gram) / R * np.eye(R)) @ g[50:].T @ w[50:]).T
    assert whitebox.rows(f, z, y, weight=none) == pytest.approx(slow)


def test_a_residual_has_length_one_and_nothing_of_the_references():
    rng = np.random.default_rng(0)
    own, *references = rng.normal(size=(4, K, R))
    left = whitebox.residual(own, references)
    assert np.linalg.norm(left) == pytest.approx(1)
    assert [(left * other).sum() for other in references] == pytest.approx([0, 0, 0], abs=1e-12)
    assert whitebox.residual(own, []) == pytest.approx(own / np.linalg.norm(own))
    assert whitebox.residual(own + 3 * references[0] - references[2], references) == pytest.approx(left)
    assert whitebox.residual(7 * own, [references[0] * 1e6, references[0], references[1]]) == pytest.approx(
        whitebox.residual(own, references[:2])
    )


def test_probes_count_twice_beside_rows():
    rows, probes = np.eye(K * R)[:2].reshape(2, K, R)
    both = whitebox.combined(rows, probes)
    assert np.linalg.norm(both) == pytest.approx(1)
    assert both == pytest.approx((rows + 2 * probes) / np.sqrt(5))


def test_agreement_is_one_cosine_and_its_law_has_all_dimensions():
    rng = np.random.default_rng(0)
    own, carriers = rng.normal(size=(2, K, R))
    c = float(own.ravel() @ carriers.ravel() / np.linalg.norm(own) / np.linalg.norm(carriers))
    assert whitebox.agreement(own, carriers) == pytest.approx(c)
    assert whitebox.agreement(-5 * own, carriers) == pytest.approx(-c)
    assert whitebox.log10_p(own, carriers) == pytest.approx(laws.cosine_log10_p(c, K * R))
    assert whitebox.log10_p(carriers, carriers) < -100
    cosines = [whitebox.agreement(own[[k]], carriers[[k]]) for k in range(K)]
    fisher = laws.fisher_log10_p([laws.cosine_log10_p(c, R) for c in cosines])
    assert whitebox.paper_log10_p(own, carriers) == pytest.approx(fisher)
