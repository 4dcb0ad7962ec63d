"""`plan` and `commit`: what is fixed, what is refused, and a process that is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edubba import trace
from edubba.core import images
from edubba.core.errors import UserError
from edubba.trace import commitments, keys, laws, owner


def started(*line):
    return subprocess.Popen(
        [sys.executable, "-m", "edubba", "trace", *map(str, line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def when(process, there, *, kill):
    """Send a signal as soon as something is there; exit code and stderr."""
    deadline = time.monotonic() + 200
    while not there() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(kill)
    _, said = process.communicate(timeout=100)
    return process.returncode, said


def logged(path):
    return Path(path).exists() and Path(path).read_bytes().count(b"\n") >= 1


def test_killed_while_a_network_trains_the_same_line_ends_as_if_it_had_not_been(house, mine, edubba):
    for name in ("owner.trace", "evidence", "published"):
        shutil.rmtree(name)
    Path("owner.key").unlink()
    line = house.lines["commit"]
    for at, kill, code in (("marker-1", signal.SIGKILL, -signal.SIGKILL), ("reference-0", signal.SIGINT, 130)):
        metrics = Path("owner.trace/networks", at, "metrics.jsonl")
        found, said = when(started(*line), lambda path=metrics: logged(path), kill=kill)
        assert found == code, said
        assert not Path("owner.key").exists()  # the secret is drawn when all that it must not touch is fixed
        assert not Path("owner.trace/results.json").exists()
    assert said.strip().splitlines()[-1] == "edubba: interrupted; the same line goes on"
    again = edubba("trace", *line)
    assert again.code == 0, again
    for path in (house.root / "owner.trace").rglob("*"):
        if path.suffix in (".npz", ".safetensors") and "copies" not in path.parts:
            assert Path("owner.trace", path.relative_to(house.root / "owner.trace")).read_bytes() == path.read_bytes()
    assert again.out == house.said["commit"].out


def test_killed_between_key_and_commitment_the_key_stays(mine, house, edubba):
    for name in ("results.json", "commitment.json", "commitment.tsq"):
        Path("owner.trace", name).unlink()
    before = Path("owner.key").read_bytes()
    assert edubba("trace", *house.lines["commit"]).code == 0
    assert Path("owner.key").read_bytes() == before
    kept = owner.read("owner.key")
    assert kept.commitment["secret_sha256"] == kept.key.sha256


def test_what_is_committed_to(house):
    kept = owner.read(house.root / "owner.key")
    document = kept.commitment
    assert document["classes"] == ["ash", "birch", "cedar", "date"]
    assert document["pictures"] == 288 + 3  # every file of the folder
    assert document["keys"] == 2
    assert set(document["configuration"]["files"]) == {"coordinates.npz", "held_out.npz", "probes.npz"}
    assert document["configuration"]["primary"] == "both"
    assert document["configuration"]["alpha"] == "0.01"
    assert set(document["networks"]) == {f"marker-{i}" for i in range(owner.MARKERS)} | {f"reference-{i}" for i in range(owner.REFERENCES)}  # fmt: skip
    assert len(kept.hash) == len(kept.y) == len(kept.held_out) == 172
    assert np.bincount(kept.y).tolist() == [43] * 4
    assert len(kept.probe) == 4
    assert kept.commitment["originals_root"] == commitments.tree_root(
        commitments.hashes(commitments.files_of(house.root / "photos")),
        salt=commitments.tree_salt(kept.key, "originals"),
    )


def test_networks_never_saw_a_held_out_picture_and_none_has_a_double_elsewhere():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (90, 12, 12, 3), dtype=np.uint8)
    x[1::9] = np.clip(x[::9].astype(int) + 2, 0, 255)  # doubles of others, a little brighter
    label = np.array(["a", "b", "c"])[np.arange(90) // 30]
    pictures = images.open(x, labels=label)
    y = np.arange(90) // 30
    spec = trace.Commit(directions=2, held_out=0.4)
    chosen = owner.choose_held_out(pictures, y, spec)
    assert 20 <= chosen.sum() <= 36
    assert np.bincount(y[chosen]).min() >= 5
    for i in range(0, 90, 9):
        assert chosen[i] == chosen[i + 1] or not chosen[i : i + 2].any()
    assert (owner.choose_held_out(pictures, y, spec) == chosen).all()
    group = np.array([f"g{i // 5}" for i in range(90)])
    grouped = owner.choose_held_out(replace(pictures, group=group), y, spec)
    for g in np.unique(group):
        rows = (group == g) & ~np.isin(np.arange(90) % 9, (0, 1))
        assert len(set(grouped[rows].tolist())) == 1


def test_doubles_are_found_in_other_sizes_and_brightness():
    rng = np.random.default_rng(0)
    x = rng.integers(60, 190, (6, 16, 16, 3), dtype=np.uint8)
    small = owner.thumbnails(images.open(x))
    bright = owner.thumbnails(images.open(np.clip(x * 1.2 + 5, 0, 255).astype(np.uint8)))
    assert owner.alike(small, bright).all()
    assert not owner.alike(small[:3], bright[3:]).any()
    assert owner.alike(small[:0], small).tolist() == []


def test_given_networks_are_copied_and_the_rest_is_as_if_they_had_been_trained(mine, edubba, others):
    assert edubba("trace", "commit", "photos", "--key", "b.key", *others).code == 0
    assert set(owner.read("b.key").commitment["networks"]) == {"marker-0", "marker-1", "marker-2", "reference-0", "reference-1"}  # fmt: skip
    before = Path("owner.trace/networks/marker-1/model/model.safetensors").read_bytes()
    assert Path("b.trace/networks/marker-1/model/model.safetensors").read_bytes() == before


# ---- refusals of plan and commit


def commit(refused, *flags, source="photos", key="new.key"):
    return refused("trace", "commit", source, "--key", key, *flags)


def test_folders_that_cannot_be_marked(mine, refused):
    Path("bare").mkdir()
    assert "bare" in commit(refused, source="bare")
    shutil.copytree("photos/a", "flat")
    sentence = commit(refused, source="flat")
    assert sentence.startswith("flat has no labels, and marks follow classes: sort the pictures into class folders")
    assert refused("trace", "plan", "flat") == sentence
    shutil.copytree("flat", "one/ash")
    assert commit(refused, source="one") == "all labelled pictures of one are of one class: marks need two"
    assert "no file or folder 'nowhere'" in commit(refused, source="nowhere")
    np.savez("set.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 0, 1]))
    assert "set.npz is no folder: marks go into picture files" in commit(refused, source="set.npz")
    assert not Path("new.key").exists()


def test_too_few_pictures_for_the_directions(mine, refused):
    sentence = commit(refused, "--held-out", "0.2")
    assert "288 labelled pictures" in sentence
    assert "160 and 2 are needed; use more pictures, or fewer --directions" in sentence
    assert not Path("new.key").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--held-out", "0"], "--held-out 0: a share between 0 and 1"),
        (["--alpha", "1"], "--alpha 1: an error rate between 0 and 1"),
        (["--directions", "1"], "--directions 1: at least 2"),
        (["--probes", "0"], "--probes 0: at least 2"),
    ],
)
def test_settings_out_of_range(mine, refused, flags, word):
    assert word in commit(refused, *flags)


@pytest.mark.parametrize("share", ["0", "1.5", "-1"])
def test_plan_needs_a_share(mine, refused, share):
    assert f"--share {share}: a share above 0 and up to 1 is needed" in refused(
        "trace", "plan", "photos", f"--share={share}"
    )


def test_a_key_is_never_overwritten_and_never_lies_among_what_is_published(mine, refused, others):
    keys.make("new.key", ("public",))
    assert commit(refused).startswith("new.key exists but not its papers new.trace")
    assert "photos, which is to be published" in commit(refused, key="photos/a/new.key")
    assert "does not end in .trace" in commit(refused, key="new.trace")
    assert not Path("photos/a/new.key").exists()


def test_recipients_need_names_of_their_own(mine, refused, others):
    sentence = commit(refused, *others, "--recipients", "ann", "--recipients", "ann")
    assert "give each another name" in sentence
    assert "'reserve' is kept for the owner" in commit(refused, *others, "--recipients", "reserve", key="other.key")


def test_papers_whose_key_is_gone_or_another(house, mine, refused):
    Path("owner.key").rename("kept.key")
    assert "is finished but its key owner.key is gone: bring back the copy" in refused("trace", *house.lines["commit"])
    keys.make("owner.key", ("public",))
    sentence = refused("trace", *house.lines["commit"])
    assert "is not that of the commitment" in sentence
    assert refused("trace", *house.lines["mark"]) == refused("trace", *house.lines["test"]) == sentence
    os.replace("kept.key", "owner.key")
    document = json.loads(Path("owner.key").read_text())
    Path("owner.key").write_text(json.dumps(document | {"recipients": ["public", "ann", "reserve"]}))
    assert "recipients in the key file were changed" in refused("trace", *house.lines["mark"])
    Path("owner.key").chmod(0o644)
    assert "chmod 600 owner.key" in refused("trace", *house.lines["mark"])


@pytest.mark.parametrize(
    "name", ["coordinates.npz", "held_out.npz", "probes.npz", "networks/reference-1/model/model.json"]
)
def test_papers_that_were_changed_or_lost_are_refused_by_name(house, mine, refused, name):
    path = Path("owner.trace", name)
    path.write_bytes(path.read_bytes() + b"\n")
    for verb in ("mark", "seal", "test"):
        assert f"{path} is not what was committed on" in refused("trace", *house.lines[verb])
    path.unlink()
    assert f"{path} is not what was committed on" in refused("trace", *house.lines["test"])


def test_unfinished_papers_and_none(mine, house, refused):
    Path("owner.trace/results.json").unlink()
    assert "owner.trace holds no finished commitment: `edubba trace commit` goes on" in refused(
        "trace", *house.lines["mark"]
    )
    assert "there is no key file other.key" in refused("trace", "seal", "published", "--key", "other.key")


def test_references_must_be_classifiers_that_know_the_classes(mine, others, refused):
    shutil.copytree("owner.trace/networks/reference-0/model", "renamed")
    card = json.loads(Path("renamed/model.json").read_text())
    card["output"]["classes"] = ["ash", "birch", "cedar", "elm"]
    Path("renamed/model.json").write_text(json.dumps(card))
    others[others.index("--references") + 1] = "renamed"
    assert commit(refused, *others) == "reference 1 does not know the class 'date': references need all classes"
    assert "nowhere" in commit(refused, "--markers", "nowhere", "--held-out", "0.6", key="c.key")


def test_plan_says_what_cannot_be_shown(mine):
    found = trace.plan("photos", share=0.9)
    assert (found.n, found.classes, found.marked, found.fewest, found.dimensions) == (288, 4, 260, 65, 64)
    assert any("share of 90% cannot be reached" in words for words in found.cautions)
    with pytest.raises(UserError, match="above 0 and up to 1"):
        trace.plan("photos", share=0.0)
    few = trace.plan("photos", share=0.001)
    assert any("marks no picture of the rarest class" in words for words in few.cautions)
    assert 0 < found.needed < 1
    assert laws.cosine_log10_p(found.needed, 64) == pytest.approx(np.log10(0.005), abs=1e-2)
