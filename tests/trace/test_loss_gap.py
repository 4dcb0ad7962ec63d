"""The loss gap: a figure beside the evidence that decides nothing, and that nobody is kept from by it."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from edubba import trace
from edubba.trace import loss_gap, owner, suspects, trial
from edubba.trace.spec import Test as Settings

COPY = Path("owner.trace/copies/public")
CLEAN = "owner.trace/networks/marker-2/model"


def marked():
    with (COPY / "marks.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["psnr"]]


def seen(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def loss(network, rows, folder):
    """Cross-entropy by its definition, picture after picture."""
    found = []
    for row in rows:
        z = network.log_probabilities(seen(folder / row["file"])[None])[0]
        found.append(-z[network.classes.index(row["class"])])
    return np.mean(found)


def here(house):
    """The papers of a copy of the house say that the copy was written beside them."""
    spec = (COPY / "spec.toml").read_text()
    (COPY / "spec.toml").write_text(spec.replace(str(house.root / "published"), str(Path("published").resolve())))


def test_it_is_the_mean_loss_on_marked_pictures_minus_that_on_their_originals(mine):
    found, rows = json.loads(Path("evidence/loss_gap.json").read_text()), marked()
    assert found["pictures"] == len(rows) == 88
    assert found["references"].keys() == {f"reference-{i}" for i in range(6)}
    for name, gap in found["references"].items():
        network = suspects.load(f"owner.trace/networks/{name}/model")
        assert gap == pytest.approx(loss(network, rows, Path("published")) - loss(network, rows, Path("photos")), abs=2e-6)  # fmt: skip
    assert found["suspect"] < min(found["references"].values())


def test_of_many_pictures_some_are_drawn_and_labels_alone_count_errors(mine, monkeypatch):
    monkeypatch.setattr(loss_gap, "MOST", 30)
    trial.test(CLEAN, key="owner.key", out="few", spec=Settings(decoys=99, labels_only=True))
    found = json.loads(Path("few/loss_gap.json").read_text())
    assert (found["pictures"], found["loss"]) == (30, "share named wrongly")
    assert found["suspect"] * 30 == pytest.approx(round(found["suspect"] * 30), abs=1e-3)


def test_it_names_no_picture_and_says_what_it_is_not(mine):
    text = Path("evidence/loss_gap.json").read_text()
    assert not [name for name in json.loads((COPY / "published.json").read_text()) if name in text]
    assert json.loads(text).keys() == {"note", "loss", "pictures", "suspect", "references"}
    assert json.loads(text)["note"].startswith("No guaranteed error rate: ")


def without_the_copy():
    shutil.rmtree("published")


def with_a_changed_copy():
    Path("published", marked()[0]["file"]).write_bytes(Path("photos", marked()[0]["file"]).read_bytes())


def with_another_table():
    Path("published/labels.csv").write_text("file,label\n")


def with_a_changed_original():
    Path("photos", marked()[-1]["file"]).write_bytes(Path("published", marked()[-1]["file"]).read_bytes())


@pytest.mark.parametrize("change", [without_the_copy, with_a_changed_copy, with_another_table, with_a_changed_original])
def test_it_is_left_out_where_copy_or_originals_are_not_at_hand(house, mine, change):
    here(house)
    trial.test(CLEAN, key="owner.key", out="with", spec=Settings(decoys=99))
    change()
    trial.test(CLEAN, key="owner.key", out="without", spec=Settings(decoys=99))
    assert Path("with/loss_gap.json").exists()
    assert not Path("without/loss_gap.json").exists()
    a, b = (json.loads(Path(folder, "evidence.json").read_text()) for folder in ("with", "without"))
    assert a["figures"] == b["figures"]


@pytest.mark.parametrize("level", ["arithmetic", "binding", "networks"])
def test_verify_does_not_read_it(mine, level):
    # neither a damaged one nor none
    given = {"papers": "owner.trace", "published": "published", "originals": "photos", "suspect": "guilty:look"}
    for spoil in (lambda file: file.write_text("{"), lambda file: file.unlink()):
        spoil(Path("evidence/loss_gap.json"))
        assert trace.verify("evidence", level=level, allow_code=True, **given).holds


def test_a_suspect_without_all_classes_is_asked_about_its_own(mine):
    kept = owner.read("owner.key")
    Path("some.py").write_text(Path("guilty.py").read_text() + "\n\ndef part(x):\n    return look(x)[:, [2, 0, 3]]\n")
    trial.test(
        "some:part", key="owner.key", out="some", spec=Settings(decoys=99), allow_code=True, size=16,
        classes=["cedar", "ash", "date"],
    )  # fmt: skip
    found, rows = json.loads(Path("some/loss_gap.json").read_text()), [r for r in marked() if r["class"] != "birch"]
    network = suspects.load(kept.networks("reference")["reference-3"])
    assert found["pictures"] == len(rows) == 66
    gap = loss(network, rows, Path("published")) - loss(network, rows, Path("photos"))
    assert found["references"]["reference-3"] == pytest.approx(gap, abs=2e-6)
