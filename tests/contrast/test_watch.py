"""Warnings in plain words, and what is looked at."""

import math

import numpy as np
import pytest
import torch

from edubba.contrast import watch
from edubba.core import images

GOOD = {"effective_rank_z": 60.0, "cosine": 0.1}


def said(numbers=GOOD, *, loss=3.0, n=256, objective="nt_xent", epoch=10.0, share=0.5):
    return watch.warn(numbers, width=128, watched=500, loss=loss, n=n, objective=objective, epoch=epoch, share=share)


def test_a_healthy_run_is_left_in_peace():
    assert said() == {}


def test_collapse_to_a_point_is_said():
    assert "cosine 0.99" in said(GOOD | {"cosine": 0.99})["collapse"]


def test_collapse_to_few_dimensions_is_said():
    assert "use 5.0 of 128 dimensions" in said(GOOD | {"effective_rank_z": 5.0})["near collapse"]


@pytest.mark.parametrize(("objective", "collapsed"), [("nt_xent", 2 * 256 - 1), ("dcl", 2 * 256 - 2)])
def test_a_loss_at_its_collapse_value_is_said_but_not_at_the_start(objective, collapsed):
    stuck = math.log(collapsed)
    assert f"({stuck:.3f})" in said(loss=stuck, objective=objective)["stuck"]
    assert said(loss=stuck, objective=objective, epoch=1.0) == {}
    assert said(loss=stuck - 0.1, objective=objective) == {}


def pictures(n=60, split=None, label=None):
    x = np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    found = images.open(x, labels=label)
    from dataclasses import replace

    return replace(found, split=split)


def test_validation_is_watched_where_there_is_one():
    split = np.array(["train"] * 40 + ["validation"] * 12 + ["test"] * 8)
    label = np.array(["a", "b"] * 30)
    found = watch.choose(pictures(split=split, label=label), np.arange(40), seed=0)
    assert found.what == "validation"
    assert set(found.query.split) == {"validation"}
    assert found.bank is not None
    assert set(found.bank.split) == {"train"}


def test_without_validation_a_part_of_train_is_watched_against_the_rest():
    found = watch.choose(pictures(label=np.array(["a", "b"] * 30)), np.arange(60), seed=0)
    assert found.what == "train"
    assert found.bank is not None
    assert not set(found.query.file) & set(found.bank.file)


def test_without_labels_there_is_no_knn():
    assert watch.choose(pictures(), np.arange(60), seed=0).bank is None


def test_mean_cosine_is_its_definition():
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    unit = z / z.norm(dim=1, keepdim=True)
    slow = np.mean([float(unit[i] @ unit[j]) for i in range(9) for j in range(9) if i != j])
    assert watch._mean_cosine(z) == pytest.approx(slow, abs=1e-6)
