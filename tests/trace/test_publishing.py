"""`mark`, `seal` and what `test` refuses: the files as they come out, and a process that is killed."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from edubba import trace
from edubba.core import images, models
from edubba.trace import keys, markers, owner, publishing, quality
from edubba.trace.spec import Mark


def seen(content):
    with Image.open(io.BytesIO(content)) as image:
        image = ImageOps.exif_transpose(image)
        return np.asarray(image if image.mode == "L" else image.convert("RGB")).reshape(*image.size[::-1], -1)


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def table(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def strange(root, *, grey=False):
    """Pictures of many sizes, shapes and formats under names of all kinds."""
    rng = np.random.default_rng(1)
    for k, name in enumerate(("ash", "birch")):
        (root / name).mkdir(parents=True)
        for i in range(60):
            w, h = ((16, 16), (24, 16), (16, 40), (33, 21))[i % 4]
            small = rng.normal(size=(4, 4)) * 60 + 90 + 70 * k
            image = Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize((w, h), 2)
            if not grey:
                other = Image.fromarray(rng.integers(0, 255, (3, 3), dtype=np.uint8)).resize((w, h), 2)
                image = Image.merge("RGB", (image, other, image))
            exif = Image.Exif()
            if i % 3 == 0:
                exif[0x0112] = (3, 6, 8)[i % 9 // 3]
            kind, settings = (
                ("png", {}), ("jpg", {"quality": 95, "exif": exif}), ("webp", {"lossless": True}), ("tif", {}), ("bmp", {}),
            )[i % 5]  # fmt: skip
            image.save(root / name / f"é {i:02}, n.{kind}", **settings)
    for path in sorted((root / "ash").iterdir()):  # as one kind of file system writes accents
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    return root


@pytest.mark.parametrize("grey", [False, True])
def test_folders_of_many_sizes_shapes_and_formats(mine, edubba, others, grey):
    strange(mine / "many", grey=grey)
    assert edubba("trace", "commit", "many", "--key", "m.key", *others).code == 0
    said = edubba("trace", "mark", "many", "--key", "m.key", "-o", "out", "--share", "0.35", "--threads", "1")
    assert said.code in (0, 3), said
    assert edubba("trace", "seal", "out", "--key", "m.key").code == 0
    before, after = tree("many"), tree("out")
    assert before.keys() == after.keys()
    rows = table("m.trace/copies/public/marks.csv")
    marked = {row["file"] for row in rows if row["psnr"]}
    assert marked == {name for name in before if before[name] != after[name]}
    assert len(rows) == 42
    assert {Path(name).suffix for name in marked} == {".png", ".jpg", ".webp", ".tif", ".bmp"}
    for row in rows:
        if row["psnr"]:
            a, b = seen(before[row["file"]]), seen(after[row["file"]])
            assert a.shape == b.shape
            against = float(row["psnr_resaved"]) if row["file"].endswith(".jpg") else quality.psnr(a, b)
            assert against >= 42
            assert quality.psnr(a, b) == pytest.approx(float(row["psnr"]), abs=1e-3)


def test_marks_go_to_the_pictures_that_clean_networks_find_hardest_and_never_to_held_out_ones(house):
    kept = owner.read(house.root / "owner.key")
    marked = {row["file"] for row in table(house.root / "owner.trace/copies/public/marks.csv")}
    pictures = images.open(house.root / "photos", size=kept.size)
    held_out = np.isin(pictures.hash.astype(str), kept.hash)
    assert len(marked) == 88
    assert not marked & set(pictures.file[held_out].tolist())
    answers = []
    for path in kept.networks("reference").values():
        network = markers.load(path)
        x = torch.from_numpy(np.array(pictures.x[:])).permute(0, 3, 1, 2).float() / 255
        answers.append(torch.log_softmax(network.linear(network.encoder(x)), dim=1).numpy())
    for k, name in enumerate(kept.classes):
        own = (pictures.label == name) & ~held_out
        loss = dict(zip(pictures.file[own].tolist(), -np.mean(answers, axis=0)[own, k], strict=True))
        hit = [loss[file] for file in loss if file in marked]
        assert len(hit) == 22
        assert min(hit) >= max(loss[file] for file in loss if file not in marked) - 1e-3


def test_which_pictures_can_be_left_to_the_key(mine, edubba, others):
    assert edubba("trace", "commit", "photos", "--key", "p.key", *others).code == 0
    kept = owner.read("p.key")
    pictures = images.open("photos", size=kept.size)
    sub_key = kept.key.sub_key("public", 4)
    number = publishing.wanted(pictures, kept, Mark(share=0.1))
    assert number.tolist() == [7, 7, 7, 7]
    rows = publishing.choose(pictures, kept, number, sub_key)
    drawn = keys.uniform(keys.derive(bytes.fromhex(sub_key.coin), "which"), len(pictures))
    free = ~np.isin(pictures.hash.astype(str), kept.hash)
    for name in kept.classes:
        own = np.flatnonzero((pictures.label == name) & free)
        assert set(own[np.argsort(drawn[own])[:7]]) == {i for i in rows if pictures.label[i] == name}
    line = ["trace", "mark", "photos", "--key", "p.key", "-o", "out", "--share", "0.1", "--which", "random"]
    assert edubba(*line, "--threads", "1", "--steps", "1").code == 0
    assert {row["file"] for row in table("p.trace/copies/public/marks.csv")} == set(pictures.file[rows].tolist())


def test_another_recipient_has_another_copy(mine, edubba, others):
    people = ["--recipients", "ann", "--recipients", "bo"]
    assert edubba("trace", "commit", "photos", "--key", "p.key", *others, *people).code == 0
    for name in ("ann", "bo"):
        assert (
            edubba(
                "trace",
                "mark",
                "photos",
                "--key",
                "p.key",
                "-o",
                name,
                "--threads",
                "1",
                "--share",
                "0.1",
                "--recipient",
                name,
            ).code
            == 0
        )
        assert edubba("trace", "seal", name, "--key", "p.key", "--recipient", name).code == 0
    a, b, plain = tree("ann"), tree("bo"), tree("photos")
    marked = [{n for n in plain if copy[n] != plain[n]} for copy in (a, b)]
    assert [len(m) for m in marked] == [28, 28]
    assert marked[0] == marked[1]
    assert all(a[name] != b[name] for name in marked[0])
    seals = [json.loads(Path(f"p.trace/copies/{name}/seal.json").read_text()) for name in ("ann", "bo")]
    assert seals[0]["published_root"] != seals[1]["published_root"]


def test_killed_while_marking_the_same_line_ends_with_the_same_bytes(mine, house, edubba):
    line = [*house.lines["mark"][:-1], "11"]
    assert line[-2] == "--batch-size"
    shutil.rmtree("owner.trace/copies")
    shutil.copytree("owner.trace", "whole.trace")
    shutil.copy("owner.key", "whole.key")
    shutil.rmtree("published")
    for row in ("00000000", "00000022"):
        process = subprocess.Popen([sys.executable, "-m", "edubba", "trace", *map(str, line)], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 100
        while not Path(f"owner.trace/copies/public/rows/{row}.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not Path("owner.trace/copies/public/results.json").exists()
    said = edubba("trace", *line)
    assert said.code == 0, said
    line[line.index("owner.key")], line[line.index("published/")] = "whole.key", "whole/"
    assert edubba("trace", *line).code == 0
    assert tree("published") == tree("whole")
    assert table("owner.trace/copies/public/marks.csv") == table("whole.trace/copies/public/marks.csv")


def test_batches_change_no_more_than_rounding(house, mine, edubba):
    """Convolutions of batches of other sizes round differently in the last bits."""
    for name in ("owner.trace/copies", "published"):
        shutil.rmtree(name)
    assert edubba("trace", *house.lines["mark"][:-1], "17").code == 0
    before, after = tree(house.root / "published"), tree("published")
    differ = [n for n in before if n.endswith(".png") and before[n] != after[n]]
    for name in differ:
        change = np.abs(seen(before[name]).astype(int) - seen(after[name]))
        assert change.max() <= 2
        assert (change > 0).mean() < 0.02


def test_a_kill_before_the_first_row_does_not_lock_the_folder(house, mine, edubba):
    copy = Path("owner.trace/copies/public")
    shutil.rmtree(copy / "rows")
    for name in ("results.json", "marks.csv", "seal.json"):
        (copy / name).unlink()
    spec = (copy / "spec.toml").read_text()
    (copy / "spec.toml").write_text(spec.replace(str(house.root / "published"), str(mine / "published")))
    said = edubba("trace", *house.lines["mark"])
    assert said.code == 0, said
    assert tree("published") == tree(house.root / "published")


def test_what_a_killed_call_left_hidden_is_not_published(house, mine, edubba):
    copy = Path("owner.trace/copies/public")
    for name in ("results.json", "marks.csv", "seal.json", "made.json"):
        (copy / name).unlink()
    spec = (copy / "spec.toml").read_text()
    (copy / "spec.toml").write_text(spec.replace(str(house.root / "published"), str(mine / "published")))
    left = [Path("published/a/.000.png.4242.0f1e2d3c.part"), Path("published/.labels.csv.7.00000000.part")]
    for path in left:
        path.write_bytes(b"half")
    kept = Path("published/.mine.part")
    kept.write_bytes(b"whole")
    assert edubba("trace", *house.lines["mark"]).code == 0
    assert not [path for path in left if path.exists()]
    kept.unlink()  # it has no name that edubba gives
    assert tree("published") == tree(house.root / "published")


# ---- refusals of mark


def test_a_folder_that_changed_since_the_commitment(house, mine, refused):
    shutil.rmtree("owner.trace/copies")
    shutil.rmtree("published")
    Path("photos/README.md").write_text("Other words.\n")
    sentence = refused("trace", *house.lines["mark"])
    assert "photos is not what was committed on" in sentence
    assert "1 file differs (first README.md); bring it back, or commit anew with another key" in sentence
    shutil.copytree("photos", "other")
    Path("photos/README.md").write_text("Pictures of mine.\n")
    line = [part if part != "photos/" else "other" for part in house.lines["mark"]]
    assert "other is not what was committed on" in refused("trace", *line)
    assert not Path("published").exists()


def test_places_where_no_copy_can_go(house, mine, refused, edubba):
    shutil.rmtree("owner.trace/copies")
    line = house.lines["mark"]
    assert "published exists and is not an empty folder" in refused("trace", *line)

    def to(out):
        return [part if part != "published/" else out for part in line]

    assert "lies in photos: choose a folder elsewhere with -o" in refused("trace", *to("photos/marked"))
    assert "lies in photos" in refused("trace", *to("photos"))
    assert "owner.key exists and is not an empty folder" in refused("trace", *to("owner.key"))
    assert not Path("photos/marked").exists()
    Path("empty").mkdir()
    assert edubba("trace", *to("empty")).code == 0
    sentence = refused("trace", *to("elsewhere"))
    assert f"the copy of 'public' goes to {mine / 'empty'}: give that folder with -o" in sentence
    shutil.rmtree("empty")
    assert "the copy made in empty is gone: bring it back, or delete" in refused("trace", *to("empty"))


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--share", "0"], "--share 0: a share above 0 and up to 1"),
        (["--share", "0.001"], "no picture of 'ash', which has 72, would be marked: raise --share"),
        (["--steps", "0"], "at least 1 is needed"),
        (["--recipient", "ann"], "the key has no recipient 'ann', it was made for public, reserve"),
    ],
)
def test_marks_that_cannot_be(house, mine, refused, flags, word):
    shutil.rmtree("owner.trace/copies")
    shutil.rmtree("published")
    share = [] if "--share" in flags else ["--share", "0.3"]
    assert word in refused(
        "trace", "mark", "photos", "--key", "owner.key", "-o", "published", "--threads", "1", *share, *flags
    )


def test_a_folder_in_which_no_mark_fits(mine, edubba, others, refused):
    for path in Path("photos").rglob("*.jpg"):
        path.unlink()
    text = Path("photos/labels.csv").read_text().splitlines(keepends=True)
    Path("photos/labels.csv").write_text("".join(row for row in text if ".jpg" not in row))
    assert edubba("trace", "commit", "photos", "--key", "png.key", *others).code == 0
    sentence = refused("trace", "mark", "photos", "--key", "png.key", "-o", "out", "--psnr", "90", "--threads", "1")
    assert sentence.startswith("a/")
    assert "and all others could not be marked: nothing of a mark within 90 dB is left after rounding" in sentence


def test_marking_and_testing_from_another_folder(house, mine, edubba, monkeypatch):
    shutil.rmtree("owner.trace/copies")
    shutil.rmtree("published")
    Path("away").mkdir()
    monkeypatch.chdir("away")
    line = ["--key", mine / "owner.key"]
    assert edubba("trace", "mark", mine / "photos", *line, "-o", "out", "--share", "0.3", "--threads", "1").code == 0
    assert edubba("trace", "seal", "out", *line).code == 0
    suspect = [mine / "owner.trace/networks/reference-2", *line, "-o", "e", "--decoys", "99"]
    said = edubba("trace", "test", *suspect)
    assert said.code == 1
    assert "the held-out pictures are not in photos: say where that folder is now with --held-out" in said.err
    assert edubba("trace", "test", *suspect, "--held-out", mine / "photos").code == 0


# ---- refusals of seal


def test_a_copy_that_changed_before_it_was_sealed(house, mine, refused):
    Path("owner.trace/copies/public/seal.json").unlink()
    line = house.lines["seal"]
    Path("published/README.md").write_text("Changed.\n")
    assert (
        "published is not what was marked for 'public': 1 file is missing, added or changed (first README.md)"
        in refused("trace", *line)
    )
    shutil.copy("photos/README.md", "published/README.md")
    Path("published/more.txt").write_text("more")
    assert "(first more.txt)" in refused("trace", *line)
    Path("published/more.txt").unlink()
    name = table("owner.trace/copies/public/marks.csv")[0]["file"]
    kept = Path("published", name).read_bytes()
    Path("published", name).write_bytes(Path("photos", name).read_bytes())
    assert f"(first {name})" in refused("trace", *line)
    Path("published", name).unlink()
    assert f"(first {name})" in refused("trace", *line)
    Path("published", name).write_bytes(kept)
    assert trace.seal("published", key="owner.key")["marked"] == 88


def test_a_marked_file_that_changed_before_it_was_sealed(house, mine, refused):
    Path("owner.trace/copies/public/seal.json").unlink()
    name = next(row["file"] for row in table("owner.trace/copies/public/marks.csv") if row["file"].endswith("png"))
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(Path("published", name))
    assert f"(first {name})" in refused("trace", *house.lines["seal"])


def test_another_state_after_sealing_and_nothing_to_seal(house, mine, refused):
    assert "nothing was marked for 'reserve' yet" in refused("trace", *house.lines["seal"], "--recipient", "reserve")
    assert "there is no folder nowhere" in refused("trace", "seal", "nowhere", "--key", "owner.key")
    shutil.rmtree("owner.trace/copies")
    assert "nothing was marked for 'public' yet: `edubba trace mark` comes first" in refused(
        "trace", *house.lines["seal"]
    )


# ---- refusals of test


def line_of(suspect, *flags, out="e2"):
    return ["trace", "test", suspect, "--key", "owner.key", "-o", out, "--decoys", "99", *flags]


def test_suspects_that_cannot_be_tested(mine, refused):
    import torch

    torch.save({}, "model.pt")
    assert "model.pt is a pickle, which can run code as it is opened" in refused(*line_of("model.pt"))
    bundle = models.load("owner.trace/networks/marker-0/model")
    card = {**bundle.card, "kind": "encoder", "output": {**bundle.card["output"], "classes": None}}
    models.save("encoder", bundle.model.encoder, card)
    assert "encoder is an encoder, which names no classes: give a classifier made from it" in refused(
        *line_of("encoder")
    )
    code = ["--allow-code", "--size", "16"]
    assert "--allow-code" in refused(*line_of("guilty:look")) or "allow_code" in refused(*line_of("guilty:look"))
    names = ["--classes", "oak", "--classes", "yew", "--classes", "elm", "--classes", "fir"]
    assert "no classes in common: yours are 'ash', 'birch', 'cedar' and 1 more" in refused(
        *line_of("guilty:look", *code, *names)
    )
    names[1] = "ash"
    assert "have only the class 'ash' in common: a test needs two" in refused(*line_of("guilty:look", *code, *names))
    assert "names no classes" in refused(*line_of("guilty:look", *code))
    assert "nowhere.onnx" in refused(*line_of("nowhere.onnx"))
    assert "nowhere:look: there is no module 'nowhere'" in refused(*line_of("nowhere:look", *code))
    assert not Path("e2").exists()


def test_tests_that_come_too_early_or_without_what_they_need(house, mine, refused):
    clean = "owner.trace/networks/reference-0"
    assert "--decoys 5: at least 99 are needed" in refused(
        "trace", "test", clean, "--key", "owner.key", "-o", "e2", "--decoys", "5"
    )
    with np.load("owner.trace/held_out.npz") as stored:
        held_out = set(stored["hash"].tolist())
    assert len(held_out) == 172
    marked = {row["file"] for row in table("owner.trace/copies/public/marks.csv")}
    shutil.copytree("photos", "some")
    gone = 0
    for path in sorted(Path("some").rglob("*.png")):
        if path.relative_to("some").as_posix() not in marked and gone < 40:
            path.write_bytes(Path("published", sorted(n for n in marked if n.endswith("png"))[0]).read_bytes())
            gone += 1
    sentence = refused(*line_of(clean, "--held-out", "some"))
    assert (
        "of the 172 held-out pictures are not in some, or were changed: give the folder that was committed to"
        in sentence
    )
    assert "not in away: say where" in refused(*line_of(clean, "--held-out", "away"))
    Path("taken").mkdir()
    Path("taken/file.txt").write_text("mine")
    assert "taken exists and is not a run folder" in refused(*line_of(clean, out="taken"))
    assert "evidence" in refused(*line_of(clean, out="evidence"))
    Path("owner.trace/copies/public/seal.json").unlink()
    assert "the copy of 'public' is not sealed: `edubba trace seal` comes before" in refused(*line_of(clean))


def test_other_words_about_a_suspect_are_another_test(house, mine, refused):
    line = house.lines["test"]
    assert "guilty:look is not what evidence began with" in refused(
        "trace", *line, "--mean", "0.5", "--mean", "0.5", "--mean", "0.5"
    )
