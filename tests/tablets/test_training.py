"""What is learned from: whole tablets apart, and the same again after a restart."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edubba.core import runs
from edubba.core.errors import UserError
from edubba.tablets import training
from edubba.tablets.records import Tablet
from edubba.tablets.spec import Detecting, Naming, TrainReader

DETECTING = Detecting(steps=2, crop=96)
NAMING = Naming(size=32, small=0, period=False)
SPEC = TrainReader(
    validation=0.4,
    detecting=replace(DETECTING, fit=replace(DETECTING.fit, batch_size=2, threads=1)),
    naming=replace(NAMING, fit=replace(NAMING.fit, epochs=1, batch_size=16, threads=1)),
)


@pytest.fixture
def folder(tmp_path):
    """Four faces of three tablets as eBL keeps them: one file a photograph."""
    rng = np.random.default_rng(0)
    photos, boxes = tmp_path / "photos", tmp_path / "boxes"
    photos.mkdir()
    boxes.mkdir()
    for name in ("K.1-0", "K.1-1", "K.2-0", "K.3-0"):
        Image.fromarray(rng.integers(0, 255, (120, 200), np.uint8)).save(photos / f"{name}.png")
        rows = [
            f"{10 + 30 * i},{20 + 45 * j},28,40,{'KI' if (i + j) % 2 else 'DI'}" for i in range(5) for j in range(2)
        ]
        (boxes / f"gt_{name}.txt").write_text("\n".join(rows))
    return tmp_path


def test_a_folder_of_files_is_learned_from_and_its_tablets_stay_whole(folder):
    run = training.train_reader(folder / "boxes", SPEC, images=folder / "photos", out=folder / "run")
    assert run.resolved["tablets"] == 3
    assert run.resolved["photographs"] == 4
    (held,) = run.resolved["held_out"]
    assert set(held) <= {"K.1", "K.2", "K.3"}
    again = training.train_reader(folder / "boxes", SPEC, images=folder / "photos", out=folder / "run")
    assert again.document == run.document
    first = folder / "boxes" / "gt_K.1-0.txt"
    first.write_text(first.read_text().replace("KI", "A", 1))
    with pytest.raises(UserError):
        training.train_reader(folder / "boxes", SPEC, images=folder / "photos", out=folder / "run")
    assert runs.read(folder / "run").done


def test_nothing_is_left_to_learn_from_is_said(folder):
    with pytest.raises(UserError, match="one at least is needed to learn from"):
        training.train_reader(
            folder / "boxes", replace(SPEC, validation=1.0), images=folder / "photos", out=folder / "run"
        )


@pytest.mark.parametrize("jitter", [-0.1, 0.21])
def test_boxes_that_would_turn_inside_out_are_refused(folder, jitter):
    spec = replace(SPEC, naming=replace(SPEC.naming, jitter=jitter))
    with pytest.raises(UserError, match=r"naming\.jitter .*: a share from 0 to 0\.2 is needed"):
        training.train_reader(folder / "boxes", spec, images=folder / "photos", out=folder / "run")
    most = training.crops(training.pages(folder / "boxes", folder / "photos")[0], margin=0.1, jitter=0.2)
    assert most.shape_hw.min() > 1


def test_crops_of_tested_tablets_are_never_learned_from(folder):
    crops = folder / "crops"
    crops.mkdir()
    rows = ["file,label,group,split"]
    for i, (group, split) in enumerate((("K.1", "train"), ("K.9", "train"), ("K.8", "test"))):
        Image.fromarray(np.full((20, 30), 40 * i, np.uint8)).save(crops / f"{i}.png")
        rows.append(f"{i}.png,KI,{group},{split}")
    (crops / "labels.csv").write_text("\n".join(rows))
    assert training.more_crops(crops).group.tolist() == ["K.1", "K.9"]
    assert training.more_crops(crops, without={"K.1"}).group.tolist() == ["K.9"]


def page(id, n, split="train"):
    none = np.zeros((0, 4), np.float32)
    return training.Page(
        Tablet(id=id), np.zeros((1, 1), np.uint8), np.zeros((n, 4), np.float32), ("",) * n, none, split
    )


def test_tablets_are_held_out_until_they_have_their_share_of_the_boxes():
    made = [page(f"P{i}", 5) for i in range(40)] + [page("P900", 300), page("P901", 900, "extra")]
    for seed in range(20):
        (held,) = training.held_out(made, share=0.2, seed=seed)
        n = sum(len(p.boxes) for p in made if p.group in held)
        assert 100 <= n <= 150  # a fifth of 500, and never the one that has three fifths
        assert not held & {"P900", "P901"}
    assert training.held_out(made, share=0.2, seed=0) != training.held_out(made, share=0.2, seed=1)
    assert training.held_out([page("P1", 90), page("P2", 10)], share=0.01, seed=0) == [{"P2"}]
    assert training.held_out([page("P1", 90)], share=0.5, seed=0) == [set()]
    assert training.held_out([*made, page("P9", 5, "val")], share=0.2, seed=0, parts=2) == [{"P9"}] * 2


def test_parts_hold_out_other_tablets_until_these_run_out():
    made = [page(f"P{i}", 5) for i in range(40)]
    parts = training.held_out(made, share=0.2, seed=3, parts=7)
    assert [len(part) for part in parts] == [8] * 7
    assert set().union(*parts[:5]) == {p.group for p in made}
    assert parts[5:] == parts[:2]
    assert training.held_out(made, share=0.2, seed=3) == parts[:1]
    assert training.held_out([page("P1", 90), page("P2", 10)], share=0.01, seed=0, parts=3) == [{"P2"}] * 3


@pytest.mark.parametrize(
    ("id", "group"),
    [("VAT13604Vs", "VAT13604"), ("VAT08803Rs", "VAT08803"), ("K.1-obv", "K.1"), ("K 1_reverse2", "K 1"), ("Ebabbars", "Ebabbars"), ("P336670", "P336670")],
)  # fmt: skip
def test_faces_of_a_tablet_stay_together(id, group):
    assert page(id, 1).group == group


def test_copies_of_a_sign_have_boxes_that_are_off(folder):
    made, _ = training.pages(folder / "boxes", folder / "photos")
    exact, crops = training.crops(made, margin=0.1), training.crops(made, margin=0.1, jitter=0.13)
    n = len(exact)
    assert len(crops) == training.COPIES * n
    np.testing.assert_array_equal(crops.x[:n], exact.x)
    np.testing.assert_array_equal(crops.shape_hw[:n], exact.shape_hw)
    for field in ("file", "label", "group"):
        np.testing.assert_array_equal(getattr(crops, field), np.tile(getattr(exact, field), training.COPIES))
    widths = crops.shape_hw[n:, 1] - 28
    assert 0.5 < widths.std() / (0.13 * 28 * 2**0.5) < 1.1  # two sides, each off by itself; a little is cut off
    assert np.abs(widths).max() <= 2 * 2.33 * 0.13 * 28 + 1
    assert (crops.x[n : 2 * n] != crops.x[2 * n : 3 * n]).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(training.crops(made, margin=0.1, jitter=0.13).x, crops.x)
    assert (training.crops(made, margin=0.1, jitter=0.13, seed=1).x != crops.x)[n:].any()
