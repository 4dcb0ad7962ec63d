"""kNN, neighbours and embeddings."""

import math

import numpy as np
import pytest
import torch

from edubba.contrast import embed, knn, load_encoder, neighbours
from edubba.contrast.features import nearest
from edubba.contrast.pretraining import build
from edubba.contrast.spec import Pretrain
from edubba.core import models, views
from edubba.core.errors import UserError

RNG = np.random.default_rng(0)


def slow_knn(query, bank, labels, k, temperature, classes):
    """Wu et al. 2018, section 3.4, row by row."""
    rows = []
    for q in query:
        cosines = [float(q @ b) / math.sqrt(float(q @ q) * float(b @ b)) for b in bank]
        best = sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]
        votes = [sum(math.exp(cosines[i] / temperature) for i in best if labels[i] == c) for c in range(classes)]
        rows.append([v / sum(votes) for v in votes])
    return np.array(rows)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5), (50, 1.0)])
def test_knn_is_its_definition(k, temperature):
    query, bank = RNG.normal(size=(7, 6)).astype(np.float32), RNG.normal(size=(50, 6)).astype(np.float32)
    labels = np.arange(50) % 4
    said = knn(query, bank, labels, k=k, temperature=temperature)
    assert np.allclose(said, slow_knn(query, bank, labels, k, temperature, 4), atol=1e-4)
    assert np.allclose(said.sum(1), 1, atol=1e-5)


def test_knn_of_more_neighbours_than_there_are_takes_all():
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert knn(x, x, np.array([0, 1, 1]), k=20).shape == (3, 2)


def test_knn_at_a_tiny_temperature_does_not_overflow():
    x = RNG.normal(size=(10, 4)).astype(np.float32)
    assert np.isfinite(knn(x, x, np.arange(10) % 2, k=10, temperature=0.001)).all()


def test_nearest_leaves_the_picture_itself_out():
    h = RNG.normal(size=(12, 5)).astype(np.float32)
    order, cosine = nearest(h, np.arange(12), k=11)
    for i in range(12):
        assert sorted([i, *order[i]]) == list(range(12))
        assert (np.diff(cosine[i]) <= 1e-6).all()


@pytest.fixture
def bundle(tmp_path):
    network = build(Pretrain(), channels=1, size=12, mean=[0.4], std=[0.2])
    arguments = {"width": 1, "channels": 1, "size": 12, "stem": "auto"}
    card = models.card(
        kind="encoder",
        architecture={"name": "small", "arguments": arguments},
        input={"kind": "image", "channels": 1, "size": 12, "range": [0, 1], "mean": [0.4], "std": [0.2]},
        output={"embedding": 512, "classes": None},
    )
    return models.save(tmp_path / "model", network.encoder, card)


def test_features_do_not_depend_on_the_batch_size(bundle):
    x = RNG.integers(0, 256, (30, 12, 12), dtype=np.uint8)
    one, other = embed(bundle, x, batch_size=30), embed(bundle, x, batch_size=7)
    assert np.allclose(one.h, other.h, atol=1e-5)
    assert one.file.tolist() == [f"{i:06}" for i in range(30)]


def test_row_i_of_the_features_is_picture_i(bundle):
    x = RNG.integers(0, 256, (5, 12, 12), dtype=np.uint8)
    encoder = load_encoder(bundle)
    h = encoder(torch.from_numpy(x[3][None, None]).float() / 255)
    assert np.allclose(embed(encoder, x).h[3], h.detach().numpy(), atol=1e-4)


def test_a_colour_picture_is_made_grey_for_a_grey_encoder(bundle):
    grey = RNG.integers(0, 256, (4, 12, 12), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=3)
    assert np.allclose(embed(bundle, grey).h, embed(bundle, colour).h, atol=1e-3)


def test_neighbours_leave_the_photograph_itself_out(bundle, tmp_path):
    from PIL import Image

    for i in range(6):
        Image.fromarray(RNG.integers(0, 256, (12, 12), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "model").rename(tmp_path.parent / "kept-model")
    found = neighbours(tmp_path.parent / "kept-model", tmp_path / "2.png", tmp_path, k=10)
    assert len(found) == 5
    assert "2.png" not in {n.file for n in found}
    assert [n.similarity for n in found] == sorted((n.similarity for n in found), reverse=True)


def test_a_photograph_that_is_not_there_is_a_sentence(bundle, tmp_path):
    with pytest.raises(UserError, match=r"no\.jpg"):
        neighbours(bundle, tmp_path / "no.jpg", RNG.integers(0, 256, (4, 12, 12), dtype=np.uint8))


def test_prepared_pictures_are_the_evaluation_view(bundle):
    x = RNG.integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)
    assert torch.equal(load_encoder(bundle).prepare(x), views.evaluation(torch.from_numpy(x), size=12))
