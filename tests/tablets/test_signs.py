"""Naming signs: crops are cut where the boxes are, side information, calibration, evidence, bundles."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edubba.core import encoders, models, runs, train
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.core.settings import Views
from edubba.tablets import naming, signs
from edubba.tablets.spec import Naming

NAMES = ("AŠ", "DIŠ", "U")


def strokes(n, *, seed=0, period="", side=40):
    """Bars that lie, stand or slant, on grounds of any brightness."""
    rng = np.random.default_rng(seed)
    x, label = np.empty((n, side, side, 1), np.uint8), []
    row, column = np.mgrid[:side, :side]
    for i in range(n):
        kind = i % 3
        place = rng.uniform(0.3, 0.7) * side
        distance = [row - place, column - place, (row + column) / 2 - place][kind]
        ink = np.exp(-((distance / 3) ** 2))
        x[i, ..., 0] = rng.uniform(90, 200) * (1 - 0.6 * ink) + rng.normal(0, 4, (side, side))
        label.append(NAMES[kind])
    file = np.array([f"{seed}/{i}" for i in range(n)])
    return Pictures(
        x=x, shape_hw=np.tile([20, 40], (n, 1)), file=file, hash=file, size=32, source="strokes", label=np.array(label),
        group=np.array([f"tablet {i % 6}" for i in range(n)]), extra={"period": np.full(n, period)},
    )  # fmt: skip


SMALL = Naming(size=32, small=24, views=Views("relief", rotate=3.0, erase=0.0, bend=0.0))
SMALL = replace(SMALL, fit=replace(SMALL.fit, epochs=12, batch_size=24, lr=3e-3, warmup_epochs=1.0, ema=0.9, threads=1))


@pytest.fixture(scope="module")
def model():
    return signs.fit(strokes(120), NAMES, ["late"], SMALL, validation=strokes(24, seed=5))


def test_it_learns_strokes(model):
    unseen = strokes(60, seed=9)
    looked = signs.look((model,), unseen, ["late"], size=32)
    right = np.array(NAMES)[looked.logits.argmax(1)] == unseen.label
    assert right.mean() > 0.9
    np.testing.assert_allclose(np.linalg.norm(looked.h, axis=1), 1, atol=1e-5)


def test_what_a_crop_is_called_does_not_depend_on_its_neighbours(model):
    three = strokes(9, seed=3)
    together = signs.look((model,), three, ["late"], size=32).logits
    alone = signs.look((model,), three.take([4]), ["late"], size=32, batch_size=1).logits
    np.testing.assert_allclose(together[4], alone[0], atol=1e-4)


def test_no_crops_have_no_names(model):
    looked = signs.look((model,), strokes(3).take([]), ["late"], size=32)
    assert looked.logits.shape == (0, 3)
    assert looked.h.shape == (0, 1024)


def test_crops_are_cut_where_the_boxes_are():
    photograph = np.full((100, 200, 3), 80, np.uint8)
    photograph[40:60, 100:140] = 200
    made = signs.crop(photograph, np.array([[100.0, 40.0, 140.0, 60.0]]), margin=0.0, side=32)
    assert made.shape == (1, 32, 32, 1)
    assert (made > 175).all()
    wide = signs.crop(photograph, np.array([[100.0, 40.0, 140.0, 60.0]]), margin=0.5, side=32)[0, ..., 0]
    assert wide[12:20, 12:20].min() == 200
    assert wide[:6].max() == 80


def test_a_crop_beyond_the_border_goes_on_with_the_border():
    photograph = np.full((50, 50, 1), 100, np.uint8)
    photograph[:, :10] = 220
    made = signs.crop(photograph, np.array([[-20.0, 10.0, 20.0, 30.0], [60.0, 60.0, 70.0, 70.0]]), margin=0.0, side=16)
    assert (made[0, :, :11, 0] > 200).all()
    assert (made[0, :, 13:, 0] < 120).all()
    assert (made[1] == 0).all()  # nothing of it is in the photograph


def test_shapes_are_soft_bins_that_sum_to_one():
    bins = signs.shapes(np.array([[10, 10], [10, 30], [30, 10], [1, 100]]))
    np.testing.assert_allclose(bins.sum(1), 1, atol=1e-6)
    assert bins[1] @ signs.SHAPES == pytest.approx(np.log(3), abs=1e-5)
    assert bins[2] @ signs.SHAPES == pytest.approx(-np.log(3), abs=1e-5)
    assert bins[3, -1] == 1


def test_an_unknown_period_is_no_period():
    rows = signs.beside(np.array([[10, 10], [10, 10]]), np.array(["late", "early"]), ["late"])
    assert rows[:, len(signs.SHAPES) :].tolist() == [[1.0], [0.0]]


def test_a_new_network_ignores_what_stands_beside():
    encoder, _ = signs.start(SMALL)
    from edubba.core.train import Classifier

    net = Classifier(encoder, 3, side=9).eval()
    x, side = torch.rand(2, 1, 32, 32), torch.rand(2, 9)
    assert torch.equal(net(x), net(x, side))
    torch.nn.init.ones_(net.side.weight)
    assert not torch.equal(net(x), net(x, side))


def test_calibration_finds_the_threshold_of_the_precision():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 4000)
    logits = rng.normal(0, 1, (4000, 4)).astype(np.float32)
    logits[np.arange(4000), labels] += rng.exponential(2.5, 4000)
    strength, temperature, threshold, tried = signs.calibrate(logits, labels, np.log(np.full(4, 0.25, np.float32)))
    p = signs.softmax(logits / temperature)
    given = p.max(1) >= threshold
    right = p.argmax(1) == labels
    assert right[given].mean() >= 0.95
    assert given.mean() > 0.3
    assert strength == 0.0  # equal shares change nothing: the first of the best is taken
    assert len(tried) == 5


def test_where_nothing_is_precise_enough_nothing_is_named():
    rng = np.random.default_rng(0)
    logits = np.zeros((200, 4), np.float32) + rng.normal(0, 1e-3, (200, 4)).astype(np.float32)
    *_, threshold, _ = signs.calibrate(logits, rng.integers(0, 4, 200), np.zeros(4, np.float32))
    assert threshold > 0.25


def test_evidence_is_the_nearest_of_that_name():
    h = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    bank = signs.Bank(
        h.astype(np.float16), np.array(["A", "A", "B", "A"]), np.array(list("wxyz")), np.zeros((4, 48, 48), np.uint8)
    )
    query = np.array([0.6, 0.8, 0, 0], np.float32)
    found = signs.alike(bank, query, "A", k=2)
    assert [e.source for e in found] == ["x", "w"]
    assert found[0].similarity == pytest.approx(0.8, abs=1e-3)
    assert signs.alike(bank, query, "C") == []


def test_a_bank_keeps_some_of_every_name(model):
    crops = strokes(120)
    bank = signs.examples(crops, np.zeros((120, 8), np.float32), most=5)
    assert sorted(bank.name.tolist()) == sorted(NAMES * 5)
    assert bank.thumbnail.shape == (15, 48, 48)


def namer_of(model):
    prior = np.array([0.1, 0.2, -0.3], np.float32)
    crops = strokes(30)
    bank = signs.examples(crops, signs.look((model,), crops, ["late"], size=32, looks=1).h)
    return signs.Namer((model,), NAMES, ("late",), 32, 0.1, signs.start(SMALL)[1], prior, 0.7, 0.8, bank)


def test_a_namer_is_kept_and_found_again(model, tmp_path):
    namer = namer_of(model)
    signs.save(tmp_path / "signs", namer, data={"n": 120}, calibrated={"split": "validation"})
    again = signs.load(tmp_path / "signs")
    crops = strokes(6, seed=2, period="late")
    for a, b in zip(signs.name(namer, crops), signs.name(again, crops), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (again.names, again.periods, again.threshold, again.margin) == (NAMES, ("late",), 0.8, 0.1)
    assert (again.bank.h == namer.bank.h).all()
    p, _ = signs.name(namer, crops)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


def test_naming_begins_with_an_encoder_or_another_namer(model, tmp_path):
    network = encoders.build("small", channels=3, size=32)
    encoder = encoders.Encoder(encoders.Normalise([0.5] * 3, [0.2] * 3), network)
    card = models.card(
        kind="encoder", architecture={"name": "small", "arguments": {"channels": 3, "size": 32}},
        input={"kind": "image", "channels": 3, "size": 32, "range": [0, 1], "mean": [0.5] * 3, "std": [0.2] * 3},
        output={"embedding": 512, "classes": None},
    )  # fmt: skip
    models.save(tmp_path / "encoder", encoder, card)
    begun, architecture = signs.start(SMALL, tmp_path / "encoder")
    assert architecture["name"] == "small"
    fitted = signs.fit(strokes(24), NAMES, [], replace(SMALL, fit=replace(SMALL.fit, epochs=1)), encoder=begun)
    assert signs.look((fitted,), strokes(4), [], size=32).logits.shape == (4, 3)
    signs.save(tmp_path / "signs", namer_of(model), data={}, calibrated={})
    begun, _ = signs.start(SMALL, tmp_path / "signs")  # of a namer: its encoder
    for ours, theirs in zip(begun.parameters(), model.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_folds_are_measured_as_one(tmp_path):
    crops = strokes(60, period="late")
    tablet = np.arange(60) // 10
    crops = replace(crops, group=tablet.astype(str))
    crops.label[tablet == 5] = "KI"  # a name that stands on one tablet alone, so that some fold has never seen it
    quick = replace(SMALL, fit=replace(SMALL.fit, epochs=2))
    runs = []
    for fold in range(2):
        split = np.where(tablet % 2 == fold, "test", np.where(tablet < 2, "validation", "train"))
        runs.append(naming.train_namer(replace(crops, split=split), quick, out=tmp_path / f"fold-{fold}"))
        kept = {r.name: r.value for r in runs[-1].results if r.split == "test"}
        again = naming.measured(naming.pooled([runs[-1].path]), split="test", data="strokes")
        assert kept == {r.name: r.value for r in again}
    said = naming.pooled([run.path for run in runs])
    assert sorted(said["file"].tolist()) == sorted(crops.file.tolist())
    found = {r.name: r for r in naming.measured(said, split="test", data="strokes")}
    unseen = said["seen"] == 0
    assert unseen.sum() == 10
    assert not (said["said"] == said["true"][:, None])[unseen].any()
    assert found["signs/top-1"].value == pytest.approx((said["said"][:, 0] == said["true"]).mean())
    assert found["signs/top-1"].n == 6
    each = [(said["said"][:, 0] == name)[said["true"] == name].mean() for name in sorted(set(said["true"].tolist()))]
    assert found["signs/macro top-1"].value == pytest.approx(np.mean(each))
    assert found["signs/period/late/top-1"].value == found["signs/top-1"].value
    assert found["signs/coverage when it may abstain"].value == pytest.approx(said["given"].mean())


def test_networks_share_the_looks(model):
    other = signs.fit(strokes(60, seed=4), NAMES, ["late"], replace(SMALL, fit=replace(SMALL.fit, epochs=1, seed=1)))
    crops = strokes(9, seed=3)
    both = signs.look((model, other), crops, ["late"], size=32, looks=2)
    each = [signs.look((one,), crops, ["late"], size=32, looks=1) for one in (model, other)]
    np.testing.assert_allclose(both.logits, (each[0].logits + each[1].logits) / 2, atol=1e-5)
    np.testing.assert_array_equal(both.h, each[0].h)
    fewer = signs.look((model, other), crops, ["late"], size=32, looks=1)  # each looks once at least
    np.testing.assert_array_equal(fewer.logits, both.logits)


def test_several_networks_are_kept_and_found_again(model, tmp_path):
    other = signs.fit(strokes(60, seed=4), NAMES, ["late"], replace(SMALL, fit=replace(SMALL.fit, epochs=1, seed=1)))
    namer = replace(namer_of(model), networks=(model, other))
    signs.save(tmp_path / "signs", namer, data={}, calibrated={})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["signs", "signs-1", "signs_examples.npz"]
    again, crops = signs.load(tmp_path / "signs"), strokes(6, seed=2, period="late")
    np.testing.assert_array_equal(signs.name(namer, crops)[0], signs.name(again, crops)[0])
    card = json.loads((tmp_path / "signs" / "model.json").read_text())
    del card["calibration"]["networks"]  # as it was written when there was one alone
    (tmp_path / "signs" / "model.json").write_text(json.dumps(card))
    assert len(signs.load(tmp_path / "signs").networks) == 1


def test_networks_are_trained_one_after_the_other_and_go_on(tmp_path, monkeypatch):
    crops = replace(strokes(60), split=np.repeat(["train", "validation", "test"], 20))
    quick = replace(SMALL, networks=2, fit=replace(SMALL.fit, epochs=2))
    fitted, whole = [], signs.fit

    def fit(*given, **named):
        fitted.append(given[3].fit.seed)
        if fitted == [0, 1]:
            raise KeyboardInterrupt
        return whole(*given, **named)

    monkeypatch.setattr(signs, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        naming.train_namer(crops, quick, out=tmp_path / "both")
    run = naming.train_namer(crops, quick, out=tmp_path / "both")
    assert fitted == [0, 1, 1]  # the first network is not learned again
    alone = naming.train_namer(crops, replace(quick, networks=1), out=tmp_path / "one")
    first, only = (signs.load(r.path / "model" / "signs") for r in (run, alone))
    assert (len(first.networks), len(only.networks)) == (2, 1)
    for a, b in zip(first.networks[0].parameters(), only.networks[0].parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.equal(first.networks[0].linear.weight, first.networks[1].linear.weight)


def test_an_epoch_shows_one_crop_of_each_sign(model, monkeypatch):
    crops = strokes(12)
    file = np.array([f"sign {i}" for i in range(6)])[[0, 1, 2, 3, 0, 1, 4, 0, 5, 1, 0, 1]]
    crops.label[:] = np.array(["AŠ", "DIŠ", "U"])[np.unique(file, return_inverse=True)[1] % 3]
    crops = replace(crops, file=file)
    assert signs.firsts(crops).tolist() == [0, 1, 2, 3, 6, 8]
    told = {}

    def fit_classifier(encoder, x, labels, **given):
        told.update(given, labels=labels)
        return model

    monkeypatch.setattr(train, "fit_classifier", fit_classifier)
    signs.fit(crops, NAMES, [], SMALL)
    assert [NAMES[k] for k in told["labels"]] == crops.label[[0, 1, 2, 3, 6, 8]].tolist()
    seen = np.concatenate([told["shown"](np.arange(6), epoch) for epoch in range(60)])
    assert (np.tile(file[[0, 1, 2, 3, 6, 8]], 60) == file[seen]).all()
    assert set(seen.tolist()) == set(range(12))  # sooner or later every crop
    np.testing.assert_array_equal(told["shown"](np.array([4, 0]), 3), told["shown"](np.arange(6), 3)[[4, 0]])


def test_a_crop_is_judged_by_the_networks_that_have_not_learned_from_it(tmp_path, monkeypatch):
    crops = strokes(60)
    held = np.zeros((2, 60), bool)
    held[0, :12], held[1, 6:24] = True, True
    learned, whole = [], signs.fit

    def fit(crops, *given, **named):
        learned.append((crops.file.tolist(), named["validation"].file.tolist()))
        return whole(crops, *given, **named)

    monkeypatch.setattr(signs, "fit", fit)
    quick = replace(SMALL, networks=2, fit=replace(SMALL.fit, epochs=2))
    run = runs.open(tmp_path / "run", quick, verb="tablets.signs", source="strokes", fingerprint="1")
    naming.fit(run, quick, crops, held, out=tmp_path / "signs", encoder=None)
    assert learned == [(crops.file[~row].tolist(), crops.file[row].tolist()) for row in held]
    namer = signs.load(tmp_path / "signs")
    assert sorted(namer.bank.source.tolist()) == sorted(crops.file[~held.all(axis=0)].tolist())
    a, b = namer.networks
    logits = naming._unlearned(namer.networks, crops, held, [], size=32)
    for rows, networks in (((0, 6), (a,)), ((6, 12), (a, b)), ((12, 24), (b,))):
        part = crops.take(np.arange(*rows))
        np.testing.assert_array_equal(logits[slice(*rows)], signs.look(networks, part, [], size=32).logits)
    assert not logits[24:].any()
    p = signs.probabilities(namer, logits[:24])
    right = np.array(namer.names)[p.argmax(axis=1)] == crops.label[:24]
    assert {r.name: r.value for r in run.results}["signs/top-1"] == pytest.approx(right.mean())


def test_crops_without_validation_are_refused(tmp_path):
    with pytest.raises(UserError, match="with label and split: thresholds are chosen"):
        naming.train_namer(strokes(12), SMALL, out=tmp_path / "run")
    crops = strokes(12)
    split = np.where(crops.label == "U", "validation", "train")
    with pytest.raises(UserError, match="none of the names"):
        naming.train_namer(replace(crops, split=split), SMALL, out=tmp_path / "run")


def test_a_name_never_learned_counts_against_the_threshold():
    logits = np.repeat(np.eye(3, dtype=np.float32) * 4, 20, axis=0)
    labels = np.repeat(np.arange(3), 20)
    share = np.zeros(3, np.float32)
    assert signs.calibrate(logits, labels, share)[1] == signs.COLDEST  # all right: no temperature is low enough
    assert signs.calibrate(logits, labels, share)[2] <= 1
    assert signs.calibrate(logits, np.where(np.arange(60) % 4, labels, -1), share)[2] > 1
