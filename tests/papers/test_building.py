"""A library is whole at every moment: three layouts, later releases, crashes at any point, and what is broken in a release."""

import errno
import os
import random
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from edubba import cli
from edubba.core import files
from edubba.core.errors import UserError
from edubba.papers import building, library, releases, searching
from edubba.papers.spec import Build

SHA = "0123456789abcdef0123456789abcdef01234567"


def contents(path):
    """Every record that is to be seen, by id."""
    lib = library.open(path)
    return {r.id: r for r in lib.take([n for n, _ in lib.scan(["id"])])}


def small(engine, segment=7):
    return Build(engine=engine, segment=segment)


@pytest.mark.parametrize("layout", ["A", "B", "C"])
@pytest.mark.parametrize("tar", [False, True])
def test_three_layouts_as_folder_and_tar(tmp_path, layout, tar, cord19):
    rows = [cord19.paper(i) for i in range(20)]
    rows[3] |= {"sha": SHA, "abstract": ""}
    text = cord19.body(
        SHA, ("Methods", "First paragraph."), ("Methods", "Second."), ("Results", "Third."), abstract=["From the PDF."]
    )
    source = cord19.release(tmp_path / "cord19", rows, layout, [(SHA, text)])
    if tar:
        source = cord19.packed(source, tmp_path / "cord19.tar.gz")
    made = building.build(source, tmp_path / "library", small("sqlite"))
    assert (made.records, made.added, made.bodies, made.layout, made.skipped) == (20, 20, 1, layout, 0)
    lib = library.open(tmp_path / "library")
    of = next(r for r in contents(tmp_path / "library").values() if r.doi == "10.1234/x.3")
    assert of.papers == (SHA,)
    assert of.abstract == "From the PDF."
    (row,) = lib.bodies.take([0])
    assert row["text"] == "First paragraph.\n\nSecond.\n\nThird."
    assert row["sections"] == '[[0, "Methods"], [27, "Results"]]'
    assert row["text"][27:33] == "Third."
    if layout != "A":
        assert of.id == "uid00003"
    assert of.sources[0]["sha"] == SHA


def test_metadata_alone(tmp_path, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(1)]) / "metadata.csv"
    made = building.build(source, tmp_path / "library", small("sqlite"))
    assert (made.records, made.layout) == (1, "metadata alone")


def test_the_same_release_again_changes_nothing(tmp_path, engine, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(9)])
    building.build(source, tmp_path / "library", small(engine))
    before = (tmp_path / "library" / "library.json").read_text()
    again = building.build(source, tmp_path / "library", small(engine))
    assert (again.records, again.added, again.changed, again.removed) == (9, 0, 0, 0)
    assert (tmp_path / "library" / "library.json").read_text() == before


def test_a_later_release_adds_changes_and_removes(tmp_path, engine, cord19):
    first = cord19.release(tmp_path / "one", [cord19.paper(i) for i in range(10)])
    building.build(first, tmp_path / "library", small(engine))
    rows = [cord19.paper(i) for i in range(2, 13)]  # 0 and 1 are gone, 10 to 12 are new
    rows[0] |= {"abstract": "Bats were sampled in caves."}
    rows[1] |= {"cord_uid": "renamed1"}  # the same paper under another cord_uid keeps its id
    made = building.build(cord19.release(tmp_path / "two", rows), tmp_path / "library", small(engine))
    assert (made.records, made.added, made.changed, made.removed) == (11, 3, 2, 2)
    found = contents(tmp_path / "library")
    assert set(found) == {f"uid{i:05d}" for i in range(2, 13)}
    assert found["uid00002"].abstract == "Bats were sampled in caves."
    assert found["uid00003"].sources[0]["cord_uid"] == "renamed1"
    lib = library.open(tmp_path / "library")
    assert searching.search(lib, "bats in caves", k=3)[0].record.id == "uid00002"
    everything = searching.search(lib, "invented paper viruses", k=50)
    assert sorted(hit.record.id for hit in everything) == sorted(found)
    fresh = building.build(tmp_path / "two", tmp_path / "fresh", small(engine))
    assert fresh.records == made.records
    assert {r.title for r in contents(tmp_path / "fresh").values()} == {r.title for r in found.values()}


class Crash(BaseException):
    pass


def crash_at(monkeypatch, number, *, before):
    """Stop at the nth file that takes its place, just before or just after."""
    count, real = 0, os.replace

    def replace(a, b):
        nonlocal count
        count += 1
        if count == number and before:
            raise Crash
        real(a, b)
        if count == number:
            raise Crash

    monkeypatch.setattr(files.os, "replace", replace)
    return lambda: count


@pytest.mark.parametrize("update", [False, True])
def test_a_crash_at_any_write_loses_nothing(tmp_path, engine, update, monkeypatch, cord19):
    bodies = [(f"{i:040x}", cord19.body(f"{i:040x}", ("", f"Text {i}."))) for i in range(4)]
    one = cord19.release(
        tmp_path / "one", [cord19.paper(i, sha=f"{i:040x}" if i < 4 else "") for i in range(16)], bodies=bodies
    )
    two = cord19.release(
        tmp_path / "two", [cord19.paper(i, journal="Other" if i % 3 == 0 else "J. Invented") for i in range(4, 24)]
    )
    building.build(one, tmp_path / "whole", small(engine, 5))
    if update:
        building.build(two, tmp_path / "whole", small(engine, 5))
    wanted = contents(tmp_path / "whole")
    for number in range(1, 40):
        reached = 0
        for before in (True, False):
            path = tmp_path / f"library-{number}-{before}"
            if update:
                building.build(one, path, small(engine, 5))
            with monkeypatch.context() as patch:
                counted = crash_at(patch, number, before=before)
                try:
                    building.build(two if update else one, path, small(engine, 5))
                except Crash:
                    reached += 1
                assert counted() <= number
            if update and reached:  # what was there is still there, or already the new
                assert set(contents(path)) in ({f"uid{i:05d}" for i in range(16)}, set(wanted))
            building.build(two if update else one, path, small(engine, 5))
            assert contents(path) == wanted
            lib = library.open(path)
            assert len(searching.search(lib, "invented paper viruses", k=50)) == len(wanted)
        if not reached:
            break
    assert number > 5


def test_what_is_left_of_another_release_is_never_taken_for_this_one(tmp_path, engine, monkeypatch, cord19):
    one = cord19.release(tmp_path / "one", [cord19.paper(i) for i in range(20)])
    other = cord19.release(tmp_path / "other", [cord19.paper(i) for i in range(15, 40)])
    for first in (None, cord19.release(tmp_path / "zero", [cord19.paper(i) for i in range(50, 53)])):
        path = tmp_path / f"library-{first is not None}"
        if first is not None:
            building.build(first, path, small(engine))
        with monkeypatch.context() as patch:
            patch.setattr(building, "_index", lambda lib: (_ for _ in ()).throw(Crash))
            with pytest.raises(Crash):
                building.build(one, path, small(engine))
        made = building.build(other, path, small(engine))
        assert set(contents(path)) == {f"uid{i:05d}" for i in range(15, 40)}
        assert (made.records, made.added) == (25, 25)
        assert len(searching.search(path, "invented paper viruses", k=90)) == 25
        assert len(list(path.glob("removed-*.npy"))) == 1


def test_real_kills(tmp_path, engine, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(400)])
    line = [
        sys.executable, "-m", "edubba", "papers", "build", str(source), "-o", str(tmp_path / "library"), "--segment", "20",
        "--engine", engine,
    ]  # fmt: skip
    rng = random.Random(0)
    began = time.monotonic()
    subprocess.run([*line[:-5], str(tmp_path / "whole"), *line[-4:]], check=True, capture_output=True)
    whole = time.monotonic() - began
    for _ in range(4):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * rng.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(line, check=True, capture_output=True)
    assert contents(tmp_path / "library") == contents(tmp_path / "whole")
    assert not list((tmp_path / "library").rglob("*.part"))


def test_a_full_disk_is_said_and_the_same_line_goes_on(tmp_path, monkeypatch, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(9)])

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(building.files, "write", full)
        with pytest.raises(UserError, match="is full: make room and type the same line again"):
            building.build(source, tmp_path / "library", small("sqlite"))
    assert building.build(source, tmp_path / "library", small("sqlite")).records == 9


def test_two_builders_at_once_are_refused(tmp_path, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(1)])
    with library.locked(tmp_path / "library"), pytest.raises(UserError, match="another process is building"):
        building.build(source, tmp_path / "library", small("sqlite"))


def test_what_is_broken_is_named_and_the_rest_goes_on(tmp_path, capsys, cord19):
    folder = cord19.release(
        tmp_path / "cord19",
        [cord19.paper(i) for i in range(5)],
        bodies=[("a" * 40, "{not JSON"), ("b" * 40, '["list"]')],
    )
    with (folder / "metadata.csv").open("ab") as file:
        file.write(b'uid9,"open quote,x\n' + b"uid8,too,few\n")
    line = ["papers", "build", str(folder), "-o", str(tmp_path / "library"), "--engine", "sqlite"]
    assert cli.run(line) == 3
    assert "4 things were left out" in capsys.readouterr().err
    said = (tmp_path / "library" / "skipped.csv").read_text()
    assert "a" * 40 in said
    assert "it is no full text of CORD-19" in said
    assert "metadata.csv:7" in said
    assert "a quote is opened and not closed" in said
    assert len(contents(tmp_path / "library")) == 5


@pytest.mark.parametrize("first", ["metadata", "nothing"])
def test_a_tar_that_breaks_off_is_said(tmp_path, cord19, first):
    noise = random.Random(0).randbytes(9000).hex()
    bodies = [(f"{i:040x}", cord19.body(f"{i:040x}", ("", noise[3000 * i :]))) for i in range(5)]
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(300)], bodies=bodies)
    whole = cord19.packed(source, tmp_path / "whole.tar.gz", last="json" if first == "metadata" else "metadata")
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:-3000])
    if first == "metadata":  # what stands before the end is taken
        made = building.build(tmp_path / "cut.tar.gz", tmp_path / "library", small("sqlite"))
        assert (made.records, made.bodies < 5, made.skipped > 0) == (300, True, True)
        assert "breaks off" in (tmp_path / "library" / "skipped.csv").read_text()
    else:
        with pytest.raises(UserError, match="breaks off within"):
            building.build(tmp_path / "cut.tar.gz", tmp_path / "library", small("sqlite"))


def test_members_that_point_elsewhere_are_never_followed(tmp_path, cord19):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(1)])
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        tar.add(source / "metadata.csv", "metadata.csv")
        for name in ("../../evil.json", "/tmp/evil.json"):
            tar.add(source / "metadata.csv", name)
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    made = building.build(tmp_path / "evil.tar.gz", tmp_path / "library", small("sqlite"))
    assert (made.records, made.skipped) == (1, 3)
    assert not (tmp_path.parent / "evil.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none", None, "does not exist"), ("a.txt", "x", "is no folder, no tar and no CSV"),
        ("b.csv", "x,y\n1,2\n", "has no column 'title'"),
    ],
)  # fmt: skip
def test_what_is_no_release_is_refused(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=sentence):
        building.build(tmp_path / name, tmp_path / "library", small("sqlite"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no metadata\.csv"):
        building.build(tmp_path / "empty", tmp_path / "library", small("sqlite"))


def test_a_release_without_papers_changes_nothing(tmp_path, cord19, capsys):
    made = tmp_path / "library"
    building.build(cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(3)]), made)
    for name, content in (("empty.csv", ""), ("header.csv", cord19.table([]))):
        (tmp_path / name).write_text(content)
        assert cli.run(["papers", "build", str(tmp_path / name), "-o", str(made)]) == 1
        assert f"{name} holds no papers" in capsys.readouterr().err
    assert len(library.open(made)) == 3


def test_a_file_is_no_library(tmp_path, cord19, capsys):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(1)])
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        assert cli.run(["papers", "build", str(source), "-o", str(tmp_path / out)]) == 1
        assert "cannot be a library, as a file stands there" in capsys.readouterr().err


def test_another_engine_is_refused(tmp_path, cord19):
    pytest.importorskip("tantivy")
    source = cord19.release(tmp_path / "cord19", [cord19.paper(1)])
    building.build(source, tmp_path / "library", small("sqlite"))
    with pytest.raises(UserError, match="was made with --engine sqlite"):
        building.build(source, tmp_path / "library", small("tantivy"))


def test_a_library_that_is_unfinished_or_not_there(tmp_path):
    library.write(tmp_path / "half", library.State(store="sqlite", engine="sqlite"))
    with pytest.raises(UserError, match="is unfinished: type its"):
        library.open(tmp_path / "half")
    with pytest.raises(UserError, match="is no library"):
        library.open(tmp_path)
    (tmp_path / "library.json").write_text('{"format": "edubba.library/9"}')
    with pytest.raises(UserError, match="and this edubba reads"):
        library.open(tmp_path)
    (tmp_path / "library.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        library.open(tmp_path)


def test_layouts_are_told_by_what_is_there(tmp_path, cord19):
    for layout in "ABC":
        folder = cord19.release(tmp_path / layout, [cord19.paper(1)], layout, [("a" * 40, cord19.body("a" * 40))])
        assert releases.find(folder).layout == layout
