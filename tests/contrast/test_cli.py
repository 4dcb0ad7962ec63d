"""The room's command line, as a user types it, in a folder with photos/ and labels.csv."""

import csv
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edubba import cli

FAST = ["--epochs", "2", "--batch-size", "16", "--threads", "1", "--image-size", "16"]
FAST_PROBE = [
    "--fit.epochs",
    "1",
    "--fewest-steps",
    "2",
    "--draws",
    "2",
    "--labels-per-class",
    "2",
    "--fit.threads",
    "1",
]
SHAPES = ("disc", "frame", "cross")


def draw(shape, rng):
    image = Image.new("RGB", (24, 20), tuple(rng.integers(0, 80, 3).tolist()))
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(2, 8, 2).tolist()
    box, colour = (x, y, x + 10, y + 9), tuple(rng.integers(120, 255, 3).tolist())
    if shape == "disc":
        pen.ellipse(box, fill=colour)
    elif shape == "frame":
        pen.rectangle(box, outline=colour, width=2)
    else:
        pen.line(box, fill=colour, width=2)
        pen.line((x, y + 9, x + 10, y), fill=colour, width=2)
    return image


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A flat folder of pictures beside its table, with groups and one file that is no picture."""
    root = tmp_path_factory.mktemp("user")
    (root / "photos").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(72):
        name = f"p{i:03}.png"
        draw(SHAPES[i % 3], rng).save(root / "photos" / name)
        rows.append((name, SHAPES[i % 3], f"site {i // 6}"))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "source"), *rows])
    return root


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    for name in ("photos", "labels.csv"):
        os.symlink(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edubba(capsys, *argv):
    code = cli.run(list(argv))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_whole_path_from_photos_to_features(folder, capsys):
    code, out, err = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST)
    assert code == 0, err
    assert "report: runs/a/report.html" in out
    assert (folder / "runs/a/report.html").stat().st_size < 3_000_000

    before = (folder / "runs/a/model/model.safetensors").read_bytes()
    code, again, _ = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST)
    assert code == 0, err
    assert again == out
    assert (folder / "runs/a/model/model.safetensors").read_bytes() == before

    line = ("contrast", "probe", "runs/a", "photos/", "--labels", "labels.csv", "--group", "source", *FAST_PROBE)
    code, out, err = edubba(capsys, *line, "--json")
    assert code == 0, err
    document = json.loads(out)
    names = {r["name"] for r in document["results"]}
    assert {"knn/2/accuracy", "linear/2/accuracy", "scratch/2/accuracy", "linear-scratch/all/accuracy"} <= names
    accuracy = next(r for r in document["results"] if r["name"] == "linear/all/accuracy")
    assert accuracy["unit"] == "group"
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["split"].startswith("test (")  # these pictures were pretrained on, and that is said
    assert {choice["split"] for choice in document["choices"]} <= {"validation", "train", "none"}
    assert (folder / "runs/a/probe/report.html").exists()

    code, out, err = edubba(capsys, "contrast", "neighbours", "runs/a", "photos/p004.png", "--k", "3", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert len(found) == 3
    assert all(n["file"] != "p004.png" for n in found)

    code, out, err = edubba(capsys, "contrast", "embed", "runs/a", "photos/", "-o", "features.npz")
    assert code == 0, err
    with np.load("features.npz", allow_pickle=False) as data:
        assert data["h"].shape[0] == len(data["file"]) == 72
        assert data["file"][4] == "p004.png"
        assert data["h"].dtype == np.float32
    code, _, err = edubba(capsys, "contrast", "embed", "runs/a", "photos/", "-o", "features.npz")
    assert (code, err) == (1, "edubba: features.npz exists: choose another file with -o, or delete it\n")

    code, out, err = edubba(capsys, "runs", "list", "--json")
    assert [row["run"] for row in json.loads(out)] == ["runs/a", "runs/a/probe"]
    code, out, err = edubba(capsys, "runs", "show", "runs/a")
    assert "[contrast.pretrain]" in out
    code, out, err = edubba(capsys, "runs", "rm", "runs/a")
    assert (code, out) == (0, "runs/a is deleted\n")
    assert not (folder / "runs/a").exists()


def test_dry_run_says_what_it_takes_and_writes_nothing(folder, capsys):
    code, out, err = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", "--dry-run", *FAST)
    assert code == 0, err
    assert "pictures   72 colour" in out
    assert "views of 16 px" in out
    for word in ("disk", "memory", "min for 8 steps"):
        assert word in out
    assert not (folder / "runs").exists()
    assert not (folder / "edubba-home").exists()


def test_a_spec_toml_repeats_the_run_and_flags_win(folder, capsys):
    (folder / "run.toml").write_text(
        '[contrast.pretrain]\nepochs = 1\nbatch_size = 24\nimage_size = 16\nthreads = 1\n[contrast.pretrain.views]\npreset = "writing"\n'
    )
    code, _, err = edubba(
        capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", "--config", "run.toml", "--batch-size", "16"
    )
    assert code == 0, err
    code, _, err = edubba(capsys, "contrast", "pretrain", "-o", "runs/b", "--config", "runs/a/spec.toml")
    assert code == 0, err
    a, b = ((folder / "runs" / name / "model" / "model.safetensors").read_bytes() for name in "ab")
    assert a == b
    assert "batch_size = 16" in (folder / "runs/b/spec.toml").read_text()
    assert 'preset = "writing"' in (folder / "runs/b/spec.toml").read_text()


def test_skipped_pictures_are_named_and_the_exit_code_is_3(folder, capsys):
    os.mkdir("mixed")
    for i in range(24):
        os.symlink(folder / "photos" / f"p{i:03}.png", folder / "mixed" / f"p{i:03}.png")
    (folder / "mixed" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    code, _, err = edubba(
        capsys, "contrast", "pretrain", "mixed/", "-o", "runs/m", "--epochs", "1", "--batch-size", "8", "--threads", "1"
    )
    assert code == 3
    table = (folder / "runs/m/skipped.csv").read_text().splitlines()
    assert table[0] == "file,reason,detail"
    assert table[1].startswith("broken.jpg,")
    assert "warning: 1 input was skipped; skipped.csv in the run folder names it" in err


def test_errors_are_one_sentence_and_exit_with_1(folder, capsys):
    def said(*argv):
        code, _, err = edubba(capsys, *argv)
        assert code == 1
        return err.splitlines()[-1].removeprefix("edubba: ")

    os.mkdir("empty")
    assert said("contrast", "pretrain", "nowhere/", "-o", "runs/x").startswith("there is no file or folder 'nowhere/'")
    assert "empty" in said("contrast", "pretrain", "empty/", "-o", "runs/x")
    assert (
        said("contrast", "probe", "runs/none", "photos/") == "runs/none is not a model bundle: it holds no model.json"
    )
    assert said("runs", "show", "photos") == "photos is not a run folder: it holds no spec.toml"
    assert (
        said("contrast", "pretrain", "photos/", "-o", "runs/x", "--config", "no.toml")
        == "no.toml is not there: --config takes a TOML file"
    )
    assert said("data", "add", "mine", "nowhere") == "nowhere does not exist"
    assert said("contrast", "pretrain", "photos/", "-o", "photos").startswith("photos exists and is not a run folder")


def test_wrong_usage_exits_with_2_and_suggests(folder, capsys):
    code, out, err = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", "--epoch", "3")
    assert code == 2
    assert "--epochs" in out + err
    assert not (folder / "runs").exists()


def test_a_name_given_with_data_add_is_understood_everywhere(folder, capsys):
    assert edubba(capsys, "data", "add", "mine", "photos")[0] == 0
    code, out, err = edubba(capsys, "data", "list", "--json")
    assert {row["name"] for row in json.loads(out)} == {"mine", "oracle-mnist-demo"}
    code, out, err = edubba(capsys, "contrast", "pretrain", "mine", "-o", "runs/a", "--dry-run", *FAST)
    assert "pictures   72" in out
    code, _, err = edubba(capsys, "data", "add", "mine", "photos")
    assert code == 1
    assert "already has 'mine'" in err


def test_a_probe_without_labels_or_with_one_class_is_refused(folder, capsys):
    edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST)
    code, _, err = edubba(capsys, "contrast", "probe", "runs/a", "photos/")
    assert code == 1
    assert "has no labels: sort the pictures into class folders, or give --labels labels.csv" in err
    with open("one.csv", "w") as file:
        file.write("file,label\n" + "".join(f"p{i:03}.png,disc\n" for i in range(72)))
    code, _, err = edubba(capsys, "contrast", "probe", "runs/a", "photos/", "--labels", "one.csv")
    assert code == 1
    assert "are 'disc': a probe needs two classes" in err
    with open("strange.csv", "w") as file:
        file.write("file,label\np999.png,disc\n")
    code, _, err = edubba(capsys, "contrast", "probe", "runs/a", "photos/", "--labels", "strange.csv")
    assert code == 1
    assert "p999.png" in err


def test_a_setting_that_cannot_be_leaves_no_run_folder_behind(folder, capsys):
    for wrong in (
        ["--encoder", "resnet19"],
        ["--temperature", "0"],
        ["--views.flip", "2"],
        ["--keep", "best"],
        ["--epochs", "0"],
        ["--accumulate", "0"],
        ["--ema", "1"],
        ["--limit", "-3"],
    ):
        code, _, err = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST[2:], *wrong)
        assert code == 1, err
        assert not (folder / "runs").exists()


def test_a_config_given_with_an_equals_sign_is_read_too(folder, capsys):
    (folder / "run.toml").write_text("[contrast.pretrain]\nepoch = 1\n")
    code, _, err = edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", "--config=run.toml")
    assert code == 2, err
    assert not (folder / "runs").exists()


def test_a_changed_split_is_another_run(folder, capsys):
    np.savez(
        "set.npz",
        x=np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8),
        split=np.array(["train"] * 40),
    )
    assert edubba(capsys, "contrast", "pretrain", "set.npz", "-o", "runs/a", *FAST)[0] == 0
    with np.load("set.npz") as data:
        x = data["x"]
    np.savez("set.npz", x=x, split=np.array(["train"] * 30 + ["test"] * 10))
    code, _, err = edubba(capsys, "contrast", "pretrain", "set.npz", "-o", "runs/a", *FAST)
    assert code == 1
    assert "is not what runs/a began with" in err


def test_one_label_among_many_pictures_does_not_stop_the_run(folder, capsys):
    y = np.array([""] * 39 + ["disc"])
    x = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    np.savez("set.npz", x=x, y=y)
    code, _, err = edubba(capsys, "contrast", "pretrain", "set.npz", "-o", "runs/a", *FAST)
    assert code == 0, err


def test_the_spec_toml_of_a_probe_repeats_it_with_its_labels_and_group(folder, capsys):
    edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST)
    line = ("contrast", "probe", "runs/a", "photos/")
    quick = (*FAST_PROBE, "--methods", "knn", "--views.rotate", "10")
    code, out, err = edubba(capsys, *line, "--labels", "labels.csv", "--group", "source", *quick, "--json")
    assert code == 0, err
    written = (folder / "runs/a/probe/spec.toml").read_text()
    assert 'run = "runs/a"\nlabels = "labels.csv"\ngroup = "source"\n' in written
    assert 'encoder = "' in written
    assert "rotate = 10.0" in written
    config = ("--config", "runs/a/probe/spec.toml")
    code, again, err = edubba(capsys, *line, *config, "-o", "runs/p", "--json")
    assert code == 0, err

    def values(text):
        return [(r["name"], r["value"], r["low"], r["unit"]) for r in json.loads(text)["results"]]

    assert values(again) == values(out)
    assert "rotate = 10.0" in (folder / "runs/p/spec.toml").read_text()
    code, whole, err = edubba(capsys, "contrast", "probe", *config, "-o", "runs/q", "--json")
    assert code == 0, err
    assert values(whole) == values(out)

    rows = (folder / "labels.csv").read_text().replace("p000.png,disc", "p000.png,cross")
    (folder / "other.csv").write_text(rows)
    code, _, err = edubba(capsys, *line, "--labels", "other.csv", "--group", "source", *quick)
    assert code == 1
    assert "runs/a/probe began with other settings (labels was 'labels.csv', is 'other.csv'): use those" in err
    code, out, err = edubba(capsys, *line, *config, "--labels", "other.csv", "-o", "runs/r")
    assert code == 0, err  # flags win
    assert 'labels = "other.csv"' in (folder / "runs/r/spec.toml").read_text()


def test_the_views_of_a_probe_are_those_of_the_pretraining_until_they_are_chosen(folder, capsys):
    edubba(capsys, "contrast", "pretrain", "photos/", "-o", "runs/a", *FAST, "--views.preset", "writing")
    line = ("contrast", "probe", "runs/a", "photos/", "--labels", "labels.csv", *FAST_PROBE, "--methods", "knn")
    code, _, err = edubba(capsys, *line)
    assert code == 0, err
    assert "views" not in (folder / "runs/a/probe/spec.toml").read_text()
    code, _, err = edubba(capsys, *line, "--views.preset", "photos", "-o", "runs/p")
    assert code == 0, err
    assert '[contrast.probe.views]\npreset = "photos"' in (folder / "runs/p/spec.toml").read_text()
    code, _, err = edubba(capsys, *line, "--fit.seed", "3", "-o", "runs/q")
    assert (code, err) == (1, "edubba: --fit.seed 3: leave it out, the probe's --seed counts\n")


def test_a_dry_run_counts_what_is_learned_from_before_anything_is_decoded(folder, capsys):
    def pictures(source):
        code, out, err = edubba(capsys, "contrast", "pretrain", source, "-o", "runs/a", "--dry-run", *FAST, "--json")
        assert code == 0, err
        assert not json.loads(out)["cached"]
        return json.loads(out)["pictures"]

    names = sorted(os.listdir("photos"))
    for parent in ("table", "sets/train", "sets/val", "sets/test"):
        os.makedirs(parent)
    with open("table/labels.csv", "w") as file:
        file.write("file,label,split\n")
        for i, name in enumerate(names):
            split = ("train", "val", "test", "")[i % 4]
            shutil.copy(f"photos/{name}", "table")
            file.write(f"{name},,{split}\n")
            shutil.copy(f"photos/{name}", f"sets/{split or 'train'}")
    assert pictures("photos") == 72
    assert pictures("table") == 36  # train, and what is of no split
    assert pictures("sets") == 36
    with tarfile.open("table.tar", "w") as tar:
        tar.add("table")
    assert pictures("table.tar") == 36
    x = np.random.default_rng(0).integers(0, 256, (40, 100, 120), dtype=np.uint8)
    np.savez("set.npz", x=x, split=np.array(["train"] * 30 + ["test"] * 10))
    assert pictures("set.npz") == 30
