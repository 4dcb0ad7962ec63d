"""End to end on rendered tablets, as a user types it: train, read, evaluate, restore, convert; what goes wrong is said."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from edubba import cli
from edubba.core import runs
from edubba.core.errors import UserError
from edubba.tablets import evaluation, formats, photographs, reading, records, rendering, signs, training, writing
from edubba.tablets.records import Sign

TRAIN = [
    "--detecting.steps",
    "24",
    "--detecting.crop",
    "128",
    "--detecting.fit.batch-size",
    "4",
    "--detecting.fit.lr",
    "5e-3",
    "--detecting.fit.ema",
    "0.8",
    "--naming.size",
    "32",
    "--naming.small",
    "0",
    "--naming.fit.epochs",
    "2",
    "--naming.fit.batch-size",
    "32",
    "--naming.fit.ema",
    "0.8",
    "--naming.fit.threads",
    "1",
    "--detecting.fit.threads",
    "1",
    "--validation",
    "0.3",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set of rendered tablets and a reader that has hardly learned from them."""
    home = tmp_path_factory.mktemp("tablets")
    out = rendering.make_set(home / "photos", tablets=6, seed=3, more_texts=12)
    assert (
        cli.run(
            [
                "tablets",
                "train",
                str(out / "annotations_coco.json"),
                "--images",
                str(out),
                "-o",
                str(home / "reader"),
                *TRAIN,
            ]
        )
        == 0
    )
    return home


def photo_of(home):
    return next(iter(sorted((home / "photos" / "images").iterdir())))


def test_boxes_are_looked_at_as_they_are_and_with_their_sides_moved(made, monkeypatch):
    namer = reading.load(made / "reader").namer
    two = replace(namer, networks=(namer.networks[0], deepcopy(namer.networks[0])))
    pixels, _ = photographs.read(photo_of(made))
    boxes = np.array([[100, 80, 140, 130], [150, 82, 210, 128]], np.float32)
    cut, asked = reading.cut, []

    def cutting(photograph, boxes, **given):
        asked.append(boxes)
        return cut(photograph, boxes, **given)

    monkeypatch.setattr(reading, "cut", cutting)
    p, h = reading.names(two, pixels, boxes)
    moves = np.array([(moved - boxes)[:, [0, 2]] / (boxes[:, 2] - boxes[:, 0])[:, None] for moved in asked])
    off = reading.OFF
    np.testing.assert_allclose(moves[:, 0], moves[:, 1], atol=1e-6)
    assert sorted(map(tuple, np.rint(moves[:, 0] / off).astype(int).tolist())) == sorted(product((-1, 0, 1), repeat=2))
    assert not moves[0].any()
    each = [
        signs.look(
            namer.networks,
            cut(pixels, b.astype(np.float32), margin=namer.margin),
            namer.periods,
            size=namer.size,
            looks=1,
        )
        for b in asked
    ]
    np.testing.assert_allclose(p, np.mean([signs.probabilities(namer, e.logits) for e in each], axis=0), atol=1e-5)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(h, each[0].h)
    none = reading.names(two, pixels, np.zeros((0, 4), np.float32))
    assert (none[0].shape, none[1].shape) == ((0, len(namer.names)), (0, h.shape[1]))


def test_training_keeps_what_it_chose_and_never_looks_at_test(made):
    run = runs.read(made / "reader")
    names = {r.name for r in run.results}
    assert {"detection/ap50", "signs/top-1", "signs/top-5", "signs/macro top-1", "signs/ece"} <= names
    assert {c["split"] for c in run.document["choices"]} == {"validation"}
    assert {c["name"] for c in run.document["choices"]} >= {"detection threshold", "strength of the names' shares"}
    tablets = formats.read(made / "photos" / "annotations_coco.json", images=made / "photos")
    test = {t.id for t in tablets if t.extra["split"] == "test"}
    assert test
    held = {t.id for t in tablets if t.extra["split"] == "val"}
    assert [set(part) for part in run.resolved["held_out"]] == [{t.name for t in tablets if t.id in held}]
    bank = reading.load(made / "reader").namer.bank
    seen = {source.split("#")[0].rsplit("/", 1)[-1].removesuffix(".jpg") for source in bank.source.tolist()}
    assert not seen & (test | held)


def test_the_same_line_prints_the_results_again_and_another_setting_is_refused(made, capsys):
    line = [
        "tablets",
        "train",
        str(made / "photos/annotations_coco.json"),
        "--images",
        str(made / "photos"),
        "-o",
        str(made / "reader"),
    ]
    assert cli.run([*line, *TRAIN]) == 0
    assert "detection/ap50" in capsys.readouterr().out
    assert cli.run([*line, *TRAIN[2:]]) == 1
    assert "detecting.steps was 24, is" in capsys.readouterr().err


def test_a_photograph_is_read_to_five_files(made, tmp_path, capsys):
    photo = photo_of(made)
    out = tmp_path / "out"
    assert cli.run(["tablets", "read", str(photo), "--reader", str(made / "reader"), "-o", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "named" in said[0]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"{photo.stem}.{end}" for end in ("json", "atf", "xml", "html", "overlay.jpg")
    )
    (tablet,) = records.read(out / f"{photo.stem}.json")
    assert [step.what for step in tablet.steps] == ["detect", "order", "name"]
    assert tablet.photograph.sha256
    signs = tablet.signs
    assert signs
    for sign in signs:
        assert (sign.name is None) == sign.abstained
        p = [c.probability for c in sign.candidates]
        assert p == sorted(p, reverse=True)
        assert len(p) == 5
        assert sum(p) <= 1.001
        assert sign.evidence
        assert {e.name for e in sign.evidence} <= {sign.candidates[0].name, sign.candidates[1].name}
    again = formats.read(out / f"{photo.stem}.xml")
    assert len(again[0].signs) == len(signs)
    assert cli.run(["tablets", "convert", str(out / f"{photo.stem}.json"), str(tmp_path / "b.xml")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'b.xml'}\n"
    assert "warning: " in said.err  # PAGE-XML cannot hold everything, and that is said
    assert len(formats.read(tmp_path / "b.xml")[0].signs) == len(signs)
    assert cli.run(["tablets", "read", str(photo), "--reader", str(made / "reader"), "-o", str(out)]) == 1
    assert "exists: choose another folder with -o, or delete it" in capsys.readouterr().err


def test_evaluation_has_every_row_of_the_protocol(made, capsys):
    code = cli.run(
        [
            "tablets",
            "evaluate",
            str(made / "reader"),
            str(made / "photos/annotations_coco.json"),
            "--images",
            str(made / "photos"),
            "--json",
        ]
    )
    assert code == 0
    document = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in document["results"]]
    for part in (
        "detection/ap50", "detection/ap75", "detection/ap50:95", "detection+names/ap50 pooled", "names, true boxes/top-5",
        "names, true boxes/ece", "lines, true boxes/pair F1", "lines, detected boxes/pair F1", "end to end/top-1",
        "end to end/sign error rate, nothing given", "end to end/sign error rate, true boxes and names",
    ):  # fmt: skip
        assert part in names
    found = {row["name"]: row["value"] for row in document["results"]}
    assert found["end to end/top-1"] <= found["end to end/top-5"] <= 1
    assert found["lines, true boxes/pair F1"] > 0.9
    assert found["end to end/sign error rate, true boxes and names"] < 0.2
    with pytest.raises(UserError, match="no photograph of the split 'later': name another with --split"):
        evaluation.evaluate(
            made / "reader", made / "photos/annotations_coco.json", images=made / "photos", split="later"
        )


def test_an_unreadable_photograph_is_a_sentence_and_training_goes_on_without_it(made, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo_of(made).read_bytes()[:500])
    assert cli.run(["tablets", "read", str(broken), "--reader", str(made / "reader"), "-o", str(tmp_path / "out")]) == 1
    assert "broken.jpg cannot be read as a photograph" in capsys.readouterr().err
    assert (
        cli.run(
            [
                "tablets",
                "read",
                str(tmp_path / "none.jpg"),
                "--reader",
                str(made / "reader"),
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 1
    )
    assert "there is no photograph" in capsys.readouterr().err
    images = tmp_path / "images"
    shutil.copytree(made / "photos", images)
    first = photo_of(made).name
    (images / "images" / first).write_bytes(b"no picture")
    pages, skipped = training.pages(images / "annotations_coco.json", images)
    assert len(pages) == 5
    assert [row.reason for row in skipped] == ["not-a-picture"]


def test_a_turned_photograph_is_read_upright(made, tmp_path):
    image = Image.open(photo_of(made))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    pixels, known = photographs.read(tmp_path / "turned.jpg")
    assert (known.width, known.height) == (image.height, image.width)
    assert pixels.shape == (image.width, image.height, 3)


def test_a_folder_without_a_reader_says_how_to_make_one(made, tmp_path):
    with pytest.raises(UserError, match="holds no reader: make one with `edubba tablets train"):
        reading.load(tmp_path)
    with pytest.raises(UserError, match="--period 'Hittite' is not one that this reader was trained with"):
        reading.read(photo_of(made), reader=made / "reader", period="Hittite")


def test_a_black_photograph_has_no_signs_and_says_so(made, tmp_path):
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "black.png")
    tablet = reading.read(tmp_path / "black.png", reader=made / "reader")
    if not tablet.signs:
        assert "No sign was found" in writing.doubts(tablet)[0]


def test_restored_signs_are_no_ink_for_training(made, tmp_path):
    (path,) = [made / "photos/annotations_coco.json"]
    pages, _ = training.pages(path, made / "photos")
    page = pages[0]
    written = [s for s in page.tablet.signs if s.box is not None and s.ink]
    assert len(page.boxes) == len(written)
    assert all(Sign(name="A", damage="broken").restored for _ in [0])


def test_a_restorer_of_atf_fills_gaps_and_reads(made, tmp_path, capsys):
    line = ["tablets", "train-restorer", str(made / "photos/texts.atf"), "-o", str(made / "restorer")]
    small = ["--width", "32", "--layers", "1", "--epochs", "1", "--places", "20", "--threads", "1"]
    assert cli.run([*line, *small]) == 0
    assert cli.run(["tablets", "restore", "mu lugal-e uri₅{ki} [x x]", "--model", str(made / "restorer")]) == 0
    assert "filling" in capsys.readouterr().out
    out = tmp_path / "out"
    photo = photo_of(made)
    more = ["--restorer", str(made / "restorer"), "--readings", str(made / "restorer")]
    assert cli.run(["tablets", "read", str(photo), "--reader", str(made / "reader"), "-o", str(out), *more]) == 0
    (tablet,) = records.read(out / f"{photo.stem}.json")
    assert [step.what for step in tablet.steps] == ["detect", "order", "name", "transliterate"]
    assert all("ink" in sign.extra for sign in tablet.signs)
