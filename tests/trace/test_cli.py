"""The six lines as a user types them, in a folder with photos/."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from edubba.trace import evidence, owner, quality

LEVELS = [
    "--papers", "owner.trace", "--published", "published", "--originals", "photos", "--suspect", "guilty:look",
    "--allow-code",
]  # fmt: skip


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def seen(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_plan_and_commit_say_what_was_done(house):
    assert house.said["plan"].out.startswith(
        "288 labelled pictures of 4 classes\n116 would be marked, 29 of the rarest"
    )
    out = house.said["commit"].out
    assert sum("/accuracy" in line for line in out.splitlines()) == owner.MARKERS + owner.REFERENCES
    assert "key: owner.key (keep it offline, and a copy elsewhere)" in out
    assert (house.root / "owner.key").stat().st_mode & 0o777 == 0o600
    assert (house.root / "owner.trace" / "commitment.tsq").exists()
    secret = json.loads((house.root / "owner.key").read_text())["secret"]
    for path in (house.root / "owner.trace").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert all(secret not in said.out + said.err for said in house.said.values())


def test_the_copy_has_the_same_layout_and_only_marked_files_differ(house):
    before, after = tree(house.root / "photos"), tree(house.root / "published")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    marks = table(house.root / "owner.trace/copies/public/marks.csv")
    assert changed == {row["file"] for row in marks}
    assert not changed & {"labels.csv", "README.md", "a/notes.txt"}
    # the share is of all pictures, evenly over the classes
    assert [sum(row["class"] == name for row in marks) for name in ("ash", "birch", "cedar", "date")] == [22] * 4
    with np.load(house.root / "owner.trace/held_out.npz") as kept:
        held_out = set(kept["hash"].tolist())
    assert len(held_out) == 172
    kinds = set()
    for row in marks:
        old, new = house.root / "photos" / row["file"], house.root / "published" / row["file"]
        with Image.open(old) as a, Image.open(new) as b:
            assert (a.format, a.mode, a.size, a.getexif()) == (b.format, b.mode, b.size, b.getexif())
            kinds.add((a.format, a.getexif().get(0x0112)))
        assert quality.psnr(seen(old), seen(new)) >= 42
        assert quality.psnr(seen(old), seen(new)) == pytest.approx(float(row["psnr"]), abs=1e-3)
        assert quality.max_delta(seen(old), seen(new)) <= 10
    assert kinds == {("PNG", None), ("JPEG", None), ("JPEG", 6)}


def test_the_verdict_and_its_evidence(house):
    assert "guilty:look agrees with the secret of the copy for 'public' better than" in house.said["test"].out
    assert "(p < 1e-12)" in house.said["test"].out
    document = evidence.read(house.root / "evidence")
    assert document["figures"]["detected"]
    assert document["figures"]["decoys"]["n"] == 99
    assert document["figures"]["decoys"]["as_high"] == 0
    assert document["figures"]["primary"]["keys"] == 2  # one recipient, and the reserve
    assert [row["name"] for row in document["figures"]["controls"]] == [f"reference-{i}" for i in range(6)]
    assert min(row["log10_p"] for row in document["figures"]["controls"]) > -4
    assert {"commitment.json", "seal.json", "arrays.npz", "evidence.json"} <= {p.name for p in (house.root / "evidence").iterdir()}  # fmt: skip
    assert json.loads((house.root / "owner.key").read_text())["secret"] not in json.dumps(document)
    assert "  no " not in house.said["verify"].out
    assert house.said["verify"].out.splitlines()[-1] == house.said["test"].out.splitlines()[0]


@pytest.mark.parametrize("level", ["arithmetic", "binding", "networks"])
def test_honest_evidence_holds_at_every_level(mine, edubba, level):
    said = edubba("trace", "verify", "evidence", "--level", level, *LEVELS, "--json")
    assert said.code == 0, said
    document = json.loads(said.out)
    assert document["holds"]
    names = [row["check"] for row in document["checks"]]
    assert ("marks" in names, "answers again" in names) == {"arithmetic": (False, False), "binding": (True, False)}.get(
        level, (True, True)
    )


def test_finished_lines_return_at_once_with_the_same_words_and_change_nothing(house, at_home, edubba):
    before = tree(at_home)
    for verb in ("commit", "mark", "seal", "test", "verify"):
        again = edubba("trace", *house.lines[verb])
        assert (again.code, again.out) == (0, house.said[verb].out), verb
    after = tree(at_home)
    assert after.pop("evidence/report.html", None) == before.pop("evidence/report.html", None)
    assert {n for n in after if "__pycache__" not in n and after[n] != before.get(n)} == set()


@pytest.mark.parametrize(
    ("verb", "flag", "value"),
    [
        ("commit", "--probes", "5"),
        ("commit", "--network.fit.epochs", "3"),
        ("mark", "--share", "0.2"),
        ("mark", "--psnr", "40"),
        ("test", "--decoys", "199"),
    ],
)
def test_other_settings_on_a_finished_run_are_refused_by_name(house, at_home, refused, verb, flag, value):
    line = [*house.lines[verb], flag, value]
    if flag in line[:-2]:
        line = line[:-2]
        line[line.index(flag) + 1] = value
    sentence = refused("trace", *line)
    assert "began with other settings" in sentence
    assert flag.removeprefix("--") in sentence


def test_json_of_every_verb(house, at_home, edubba):
    for verb in ("plan", "commit", "mark", "seal", "test", "verify"):
        said = edubba("trace", *house.lines[verb], "--json")
        assert said.code == 0, said
        assert isinstance(json.loads(said.out), dict), verb


def test_files_that_are_no_pictures_are_named_and_told_by_the_exit_code(house, mine, edubba, others):
    shutil.copytree("photos", "more")
    Path("more/a/broken.png").write_bytes(b"no picture")
    Path("more/labels.csv").write_text(Path("more/labels.csv").read_text() + "a/broken.png,ash\n")
    said = edubba("trace", "commit", "more", "--key", "more.key", *others)
    assert said.code == 3, said
    assert table("more.trace/skipped.csv")[0]["file"] == "a/broken.png"
    assert edubba("trace", "commit", "more", "--key", "more.key", *others).code == 3


def test_a_spec_toml_repeats_a_run(house, mine, edubba, others):
    assert edubba("trace", "commit", "photos", "--key", "b.key", *others, "--primary", "rows").code == 0
    said = edubba("trace", "commit", "--key", "c.key", "--config", "b.trace/spec.toml")
    assert said.code == 0, said
    assert json.loads(Path("c.trace/commitment.json").read_text())["configuration"]["primary"] == "rows"
    for name in ("coordinates.npz", "held_out.npz", "probes.npz"):
        assert Path("b.trace", name).read_bytes() == Path("c.trace", name).read_bytes()
    assert Path("b.key").read_bytes() != Path("c.key").read_bytes()
