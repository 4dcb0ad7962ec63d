"""Witten-Bell n-grams against their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.tablets import ngram

SIZE = 5
TEXTS = st.lists(st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=12), min_size=1, max_size=5)


def slow(texts, history, word, order):
    """p(word | history) from the definition; 0 is never predicted."""
    if not history and order == 0:
        raise AssertionError
    lower = 1 / (SIZE - 1) * (word != 0) if not history else slow(texts, history[1:], word, order)
    n = len(history)
    after = [t[i + n] for t in texts for i in range(len(t) - n) if tuple(t[i : i + n]) == tuple(history)]
    if not after:
        return lower
    kinds = len(set(after))
    return (after.count(word) + kinds * lower) / (len(after) + kinds)


@given(TEXTS, st.lists(st.integers(1, SIZE - 1), max_size=5), st.integers(1, 4))
@settings(max_examples=60)
def test_probabilities_are_those_of_the_definition_and_sum_to_one(texts, history, order):
    model = ngram.count([np.array(t) for t in texts], size=SIZE, order=order, never=[0])
    before = np.array([history], np.int64).reshape(1, -1)
    p = model.distribution(before)[0]
    wanted = [slow(texts, history[max(0, len(history) - order + 1) :], word, order) for word in range(SIZE)]
    assert p.sum() == pytest.approx(1)
    assert p == pytest.approx(wanted)
    assert model.probability(np.repeat(before, SIZE, 0), np.arange(SIZE)) == pytest.approx(wanted)


def test_a_golden_value():
    """a b, a c, a b: after `a` there are 3 words of 2 kinds, and `b` is 2 of 6 words of 3 kinds in all."""
    model = ngram.count([np.array([1, 2]), np.array([1, 3]), np.array([1, 2])], size=5, order=2, never=[0])
    lower = (2 + 3 * 0.25) / (6 + 3)
    assert model.probability(np.array([[1]]), np.array([2]))[0] == pytest.approx((2 + 2 * lower) / (3 + 2))


def test_many_histories_at_once_are_as_good_as_one_by_one():
    rng = np.random.default_rng(0)
    model = ngram.count([rng.integers(1, 30, 400)], size=30, order=4)
    history, word = rng.integers(1, 30, (200, 3)), rng.integers(0, 30, 200)
    together = model.distribution(history)
    assert together == pytest.approx(np.concatenate([model.distribution(row[None]) for row in history]))
    assert model.probability(history, word) == pytest.approx(together[np.arange(200), word])


@given(TEXTS, st.lists(st.integers(1, SIZE - 1), max_size=4), st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=3), st.lists(st.integers(1, SIZE - 1), max_size=4))  # fmt: skip
@settings(max_examples=40)
def test_windows_are_all_that_hold_one_of_the_words(texts, left, words, right):
    model = ngram.count([np.array(t) for t in texts], size=SIZE, order=3, never=[0])
    row = left[-2:] + words + right[:2]
    wanted = sum(np.log(slow(texts, row[max(0, i - 2) : i], row[i], 3)) for i in range(len(left[-2:]), len(row)))
    arrays = (np.array([x], np.int64).reshape(1, -1) for x in (left, words, right))
    assert model.log_windows(*arrays)[0] == pytest.approx(wanted)


def test_what_is_not_worth_predicting_is_seen_but_not_counted():
    model = ngram.count([np.array([1, 2, 3, 1, 2, 4])], size=5, order=2)
    left, right = np.array([[1]]), np.array([[4, 3]])
    with_all = model.log_windows(left, np.array([[2]]), right)
    without = model.log_windows(left, np.array([[2]]), right, scored=frozenset({3}))
    assert with_all[0] - without[0] == pytest.approx(np.log(model.probability(np.array([[2]]), np.array([4]))[0]))


def test_words_before_the_first_are_not_counted_again():
    model = ngram.count([np.array([1, 2, 3, 1, 2, 4])], size=5, order=2)
    left, words, right = np.array([[1]]), np.array([[2, 3]]), np.array([[1]])
    whole, tail = model.log_windows(left, words, right), model.log_windows(left, words, right, first=2)
    assert tail[0] == pytest.approx(np.log(model.probability(np.array([[3]]), np.array([1]))[0]))
    assert whole[0] < tail[0]


def test_nothing_counted_gives_the_uniform_distribution():
    model = ngram.count([], size=5, order=3, never=[0, 1])
    assert model.distribution(np.array([[2, 3]]))[0] == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3])


def test_more_than_64_bits_are_refused():
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        ngram.count([], size=70_000, order=4)


def test_what_is_never_predicted_may_stand_in_the_texts():
    model = ngram.count([np.array([1, 0, 2, 0, 1])], size=4, order=2, never=[0])
    for history in ([1], [0], [2]):
        p = model.distribution(np.array([history]))[0]
        assert p[0] == 0
        assert p.sum() == pytest.approx(1)
