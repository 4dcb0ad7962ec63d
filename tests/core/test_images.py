import gzip
import hashlib
import os
import shutil
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edubba.core import decoded, images, progress, sources, tables
from edubba.core.errors import UserError
from edubba.core.images import Rows, Skipped

DATA = Path(__file__).parents[2] / "../shared/data"


def shared(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not beside this checkout")
    return DATA / name


def draw(path: Path, h: int = 20, w: int = 20, mode: str = "L", value: int = 100, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, (w, h), value if mode == "L" else (value, 0, 0))
    image.save(path, **how)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of two grey pictures."""
    for i, name in enumerate(["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]):
        draw(tmp_path / "photos" / name, value=50 * i)
    return tmp_path / "photos"


def pack(folder: Path, path: Path, top: str = ".") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as out:
        names = sorted((p for p in folder.rglob("*") if p.is_file()), reverse=True)
        for name in names:
            out.add(name, f"{top}/{name.relative_to(folder).as_posix()}")
    return path


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as error:
        images.open(*args, **kwargs)
    return str(error.value)


def test_a_folder_of_classes_becomes_labelled_squares(photos):
    pictures = images.open(photos)
    assert pictures.file.tolist() == ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]
    assert pictures.label.tolist() == ["cat", "cat", "dog", "dog"]
    assert pictures.x.shape == (4, 20, 20, 1)
    assert pictures.x[:, 0, 0, 0].tolist() == [0, 50, 100, 150]
    assert (pictures.size, pictures.side, pictures.channels, len(pictures)) == (20, 20, 1, 4)
    assert pictures.shape_hw.tolist() == [[20, 20]] * 4
    assert (pictures.group, pictures.split, pictures.extra, pictures.skipped) == (None, None, {}, [])
    assert pictures.source == str(photos)


def test_a_tar_is_the_same_source_as_its_folder(photos, tmp_path):
    folder = images.open(photos)
    for path, top in ((tmp_path / "p.tar", "."), (tmp_path / "q.tgz", "photos")):
        packed = images.open(pack(photos, path, top))
        assert packed.fingerprint == folder.fingerprint
        assert np.array_equal(packed.x[:], folder.x[:])
        assert packed.label.tolist() == folder.label.tolist()


def test_the_fingerprint_is_sha256_of_names_and_hashes(photos):
    lines = []
    for name in ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]:
        lines.append(name + "\0" + hashlib.blake2b((photos / name).read_bytes(), digest_size=16).hexdigest())
    assert images.open(photos).fingerprint == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_second_opening_reads_no_picture_again(photos, capsys):
    first = images.open(photos)
    assert capsys.readouterr().err == (
        f"edubba: decoding 4 pictures of {photos} once into {decoded.place(sources.find(photos), None)} (0.00 GB)\n"
    )
    stats = {p: p.stat() for p in photos.rglob("*.png")}
    for path, stat in stats.items():  # same name, size and time, other bytes: nobody looks
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = images.open(photos)
    assert capsys.readouterr().err == ""
    assert second.fingerprint == first.fingerprint


def test_a_changed_source_is_decoded_anew_in_the_same_place(photos):
    before = images.open(photos)
    draw(photos / "cat/c.png", value=7)
    after = images.open(photos)
    assert len(after) == 5
    assert after.x[2, 0, 0, 0] == 7
    assert before.x[:, 0, 0, 0].tolist() == [0, 50, 100, 150]  # who has the old map keeps it
    folder = Path(images.plan(photos).folder)
    assert sorted(p.name for p in folder.iterdir()) == ["cache.json", "index.npz", "pixels"]
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_labels_may_change_without_decoding_again(photos, capsys):
    images.open(photos)
    capsys.readouterr()
    (photos / "labels.csv").write_text("file,label,group,split,age\ncat/a.png,NA,g1,train,3\ndog/b.png,q,g2,val,\n")
    pictures = images.open(photos)
    assert capsys.readouterr().err == ""
    assert pictures.label.tolist() == ["NA", "", "", "q"]
    assert pictures.group.tolist() == ["g1", "", "", "g2"]
    assert pictures.split.tolist() == ["train", "", "", "validation"]
    assert pictures.extra["age"].tolist() == ["3", "", "", ""]


def test_a_table_in_a_tar_is_used_at_every_opening(photos, tmp_path):
    (photos / "labels.csv").write_text("file,label\ncat/a.png,x\n")
    path = pack(photos, tmp_path / "p.tgz")
    for _ in range(2):
        assert images.open(path).label.tolist() == ["x", "", "", ""]


def test_another_size_shares_the_headers_and_asking_for_the_chosen_size_shares_the_pixels(tmp_path, capsys):
    for i in range(3):
        draw(tmp_path / f"p/{i}.png", 300, 200 + 10 * i)
    chosen = images.open(tmp_path / "p")
    assert (chosen.size, chosen.side) == (64, 144)
    capsys.readouterr()
    assert images.open(tmp_path / "p", size=64).side == 144
    assert capsys.readouterr().err == ""
    assert images.open(tmp_path / "p", size=32).x.shape == (3, 72, 72, 1)
    assert "once into" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shapes", "asked", "size", "side"),
    [
        ([(28, 28)] * 3, None, 28, 28),  # small squares stay as they are
        ([(28, 28)] * 3, 0, 28, 28),
        ([(96, 96)] * 3, None, 96, 96),
        ([(97, 97)] * 3, None, 64, 97),
        ([(28, 28)] * 3, 64, 64, 28),  # never blown up
        ([(96, 96)] * 3, 32, 32, 72),
        ([(96, 96)] * 3, 33, 33, 75),  # 74.25 rounded up
        ([(40, 30), (50, 44), (60, 80)], None, 44, 80),  # median of 30, 44, 60
        ([(400, 300), (500, 440)], None, 64, 144),
        ([(28, 20)] * 3, None, 20, 28),
    ],
)
def test_size_and_side_follow_from_the_pictures(tmp_path, shapes, asked, size, side):
    for i, (h, w) in enumerate(shapes):
        draw(tmp_path / f"p/{i}.png", h, w)
    plan = images.plan(tmp_path / "p", size=asked)
    assert (plan.size, plan.side) == (size, side)
    pictures = images.open(tmp_path / "p", size=asked)
    assert (pictures.size, pictures.x.shape) == (size, (len(shapes), side, side, 1))
    assert pictures.shape_hw.tolist() == [list(shape) for shape in shapes]


def test_one_colour_picture_makes_the_set_colour(photos):
    draw(photos / "dog/c.png", mode="RGB", value=200)
    pictures = images.open(photos)
    assert pictures.channels == 3
    assert pictures.x[[1, 4], 3, 3].tolist() == [[50, 50, 50], [200, 0, 0]]


def test_a_plan_writes_nothing_and_agrees_with_the_opening(photos, tmp_path):
    home = Path(os.environ["EDUBBA_HOME"])
    before = images.plan(photos)
    assert not home.exists()
    pictures = images.open(photos)
    after = images.plan(photos)
    assert (before.n, before.size, before.side, before.channels) == (4, pictures.size, pictures.side, 1)
    assert before.cache_bytes == (Path(before.folder) / "pixels").stat().st_size == 4 * 20 * 20
    assert (before.decoded, after.decoded) == (False, True)


def test_the_cache_may_lie_elsewhere(photos, tmp_path):
    images.open(photos, cache=tmp_path / "elsewhere")
    assert images.plan(photos, cache=tmp_path / "elsewhere").decoded
    assert not Path(os.environ["EDUBBA_HOME"]).exists()


def test_bad_files_are_named_and_the_rest_goes_on(photos, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "cat/cut.jpg")
    (photos / "cat/cut.jpg").write_bytes((photos / "cat/cut.jpg").read_bytes()[:700])
    (photos / "cat/empty.png").touch()
    (photos / "a.pdf").write_bytes(b"%PDF-1.7")
    (photos / "dog/dead.png").symlink_to("nowhere")
    for path in (photos, pack(photos, tmp_path / "p.tar")):
        pictures = images.open(path, size=20)
        assert pictures.file.tolist() == ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]
        assert pictures.x[:, 0, 0, 0].tolist() == [0, 50, 100, 150]  # no gaps where files were left out
        reasons = {s.file: s.reason for s in pictures.skipped}
        assert reasons | {"dog/dead.png": "unreadable"} == {
            "a.pdf": "not-a-picture",
            "cat/cut.jpg": "truncated",
            "cat/empty.png": "empty",
            "dog/dead.png": "unreadable",
        }
        assert images.open(path, size=20).skipped == pictures.skipped


def test_a_row_for_a_skipped_file_is_no_mistake(photos):
    (photos / "cat/empty.png").touch()
    (photos / "labels.csv").write_text("file,label\ncat/empty.png,x\n")
    assert images.open(photos).label.tolist() == [""] * 4


def test_skipped_files_are_written_as_a_table(tmp_path):
    images.write_skipped(
        tmp_path / "skipped.csv", [Skipped("a, b.jpg", "empty", "0 bytes"), Skipped("\udcff.jpg", "corrupt", 'a "b"')]
    )
    assert (tmp_path / "skipped.csv").read_bytes() == (
        b'file,reason,detail\n"a, b.jpg",empty,0 bytes\n\xff.jpg,corrupt,"a ""b"""\n'
    )


def test_a_name_that_is_no_utf8_is_a_name_all_the_same(tmp_path):
    draw(tmp_path / "p/a.png")
    shutil.copy(tmp_path / "p/a.png", os.fsencode(tmp_path / "p") + b"/\xff.png")
    pictures = images.open(tmp_path / "p")
    assert pictures.file.tolist() == ["a.png", "\udcff.png"]
    assert len(pictures.fingerprint) == 64
    assert len(images.open(tmp_path / "p")) == 2


def test_folders_called_train_and_test_are_the_split(tmp_path):
    for name in ("train/cat/a.png", "train/dog/b.png", "val/cat/c.png", "test/dog/d.png"):
        draw(tmp_path / "p" / name)
    pictures = images.open(tmp_path / "p")
    assert pictures.split.tolist() == ["test", "train", "train", "validation"]
    assert pictures.label.tolist() == ["dog", "cat", "dog", "cat"]


def test_pictures_without_folders_have_no_labels(tmp_path):
    draw(tmp_path / "p/a.png")
    assert images.open(tmp_path / "p").label is None
    draw(tmp_path / "p/cat/b.png")
    assert images.open(tmp_path / "p").label.tolist() == ["", "cat"]


def test_labels_come_from_a_csv_an_idx_file_or_an_array(photos, tmp_path):
    (tmp_path / "mine.csv").write_text("file,label\ndog/a.png,q\n")
    assert images.open(photos, labels=tmp_path / "mine.csv").label.tolist() == ["", "", "q", ""]
    (tmp_path / "y.gz").write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 4) + bytes([3, 1, 4, 1])))
    assert images.open(photos, labels=tmp_path / "y.gz").label.tolist() == ["3", "1", "4", "1"]
    assert images.open(photos, labels=[1, 2, 3, None]).label.tolist() == ["1", "2", "3", ""]
    assert images.open(images.open(photos), labels=["a", "b", "c", "d"]).label.tolist() == ["a", "b", "c", "d"]


def test_an_array_of_labels_keeps_the_groups_of_the_table(photos):
    (photos / "labels.csv").write_text("file,label,group\ncat/a.png,x,g1\n")
    pictures = images.open(photos, labels=["1", "2", "3", "4"])
    assert pictures.label.tolist() == ["1", "2", "3", "4"]
    assert pictures.group.tolist() == ["g1", "", "", ""]


def test_a_csv_that_is_named_wins_over_the_one_in_the_folder(photos, tmp_path):
    (photos / "labels.csv").write_text("somebody's own table\n")
    (tmp_path / "mine.csv").write_text("file,label\ndog/a.png,q\n")
    assert images.open(photos, labels=tmp_path / "mine.csv").label.tolist() == ["", "", "q", ""]


def test_a_table_over_an_npz_keeps_its_groups(tmp_path):
    np.savez(tmp_path / "p.npz", x=np.zeros((2, 4, 4), np.uint8), y=[0, 1], group=["g", "h"])
    (tmp_path / "mine.csv").write_text("file,label\n000001,r\n")
    pictures = images.open(tmp_path / "p.npz", labels=tmp_path / "mine.csv")
    assert (pictures.label.tolist(), pictures.group.tolist()) == (["", "r"], ["g", "h"])


def test_a_table_over_an_npz_keeps_its_split(tmp_path):
    x = np.zeros((2, 4, 4), np.uint8)
    np.savez(tmp_path / "p.npz", train_x=x, test_x=x)
    (tmp_path / "mine.csv").write_text("file,label,group\ntest/000000,q,g\ntrain/000001,r,g\n")
    assert refused(tmp_path / "p.npz", labels=tmp_path / "mine.csv") == (
        f"{tmp_path / 'mine.csv'} has the group 'g' in two splits (test and train): keep a group whole"
    )
    (tmp_path / "mine.csv").write_text("file,label\ntest/000000,q\n")
    pictures = images.open(tmp_path / "p.npz", labels=tmp_path / "mine.csv")
    assert (pictures.label.tolist(), pictures.split.tolist()) == (["q", "", "", ""], ["test", "test", "train", "train"])


def test_mistakes_are_one_sentence(photos, tmp_path):
    assert refused(tmp_path / "none") == f"there is no file or folder {tmp_path / 'none'}"
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == (
        f"{tmp_path / 'empty'} holds no pictures: a source has picture files in it or in folders below"
    )
    (tmp_path / "empty/a.jpg").touch()
    (tmp_path / "empty/b.jpg").touch()
    assert refused(tmp_path / "empty") == (
        f"none of the 2 files in {tmp_path / 'empty'} is a picture that can be read (first a.jpg: empty, 0 bytes)"
    )
    assert refused(photos, labels=["a"]) == "the array of labels has the shape (1,) for 4 pictures: give each one label"
    (photos / "bad.png").touch()
    assert refused(photos, labels=["a"] * 5) == (
        "the array of labels has the shape (5,) for 4 pictures (1 files could not be read): give each one label"
    )
    assert refused(photos, size=-1) == (
        "an image size of -1 pixels makes no sense: give a positive one, or 0 to have it chosen"
    )
    assert refused(photos, labels=tmp_path / "none.csv") == f"there is no table {tmp_path / 'none.csv'}"
    (photos / "labels.csv").write_text("file,label\ncat/z.png,x\n")
    assert refused(photos) == (
        f"{photos}/labels.csv labels a file that is no picture of {photos} ('cat/z.png'): correct the names or drop the rows"
    )


def test_pictures_that_all_break_while_decoding_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    (tmp_path / "p").mkdir()
    Image.fromarray(noise).save(tmp_path / "p/a.png")
    (tmp_path / "p/a.png").write_bytes((tmp_path / "p/a.png").read_bytes()[:700])
    assert refused(tmp_path / "p").startswith(
        f"none of the 1 files in {tmp_path / 'p'} is a picture that can be read (first a.png: truncated"
    )
    assert not list(Path(os.environ["EDUBBA_HOME"]).rglob(".partial-*"))


def test_too_little_disk_is_said_before_anything_is_written(photos, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))
    place = decoded.place(sources.find(photos), None)
    assert refused(photos) == (
        f"the 4 pictures of {photos} need 0.00 GB in {place}, where 0.00 GB are free: "
        "make room, or set EDUBBA_HOME to a folder on a larger disk"
    )


def test_a_home_that_cannot_be_written_is_named(photos, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDUBBA_HOME", str(tmp_path / "file"))
    assert refused(photos).endswith("cannot be made (Not a directory): set EDUBBA_HOME to one that can")


def test_what_a_killed_process_left_is_removed_after_a_day(photos):
    images.open(photos)
    parent = Path(images.plan(photos).folder).parent
    for name, age in ((".partial-old", 2 * 86_400), (".partial-new", 60)):
        (parent / name).mkdir()
        (parent / name / "pixels").touch()
        then = (parent / name / "pixels").stat().st_mtime - age
        os.utime(parent / name / "pixels", (then, then))
    draw(photos / "cat/c.png")
    images.open(photos)
    assert [p.name for p in parent.glob(".partial-*")] == [".partial-new"]


def test_a_cache_whose_pixels_are_cut_off_is_made_anew(photos):
    whole = images.open(photos).x[:]
    pixels = Path(images.plan(photos).folder) / "pixels"
    pixels.write_bytes(pixels.read_bytes()[:5])
    assert np.array_equal(images.open(photos).x[:], whole)


def test_one_thread_and_many_write_the_same_cache(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    for i in range(40):
        h, w = rng.integers(10, 200, 2)
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(tmp_path / f"p/{i}.jpg")
    one = images.open(tmp_path / "p", cache=tmp_path / "one", workers=1)
    many = images.open(tmp_path / "p", cache=tmp_path / "many", workers=7)
    assert np.array_equal(one.x[:], many.x[:])
    assert one.file.tolist() == many.file.tolist() == sorted(f"{i}.jpg" for i in range(40))


def test_several_that_open_one_source_at_once_get_the_same(photos):
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: images.open(photos, workers=1), range(12)))
    assert {pictures.fingerprint for pictures in opened} == {images.open(photos).fingerprint}
    assert all(pictures.x[:, 0, 0, 0].tolist() == [0, 50, 100, 150] for pictures in opened)


def test_progress_goes_to_stderr_a_line_at_a_time(photos, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    images.open(photos)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"decoding {photos}: 4 of 4 pictures" in err


def test_an_array_of_small_squares_stays_in_memory_as_it_is():
    x = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    pictures = images.open(x)
    assert np.shares_memory(pictures.x, x)
    assert pictures.x.shape == (3, 8, 8, 1)
    assert pictures.file.tolist() == ["000000", "000001", "000002"]
    assert images.plan(x).cache_bytes == 0
    assert not Path(os.environ["EDUBBA_HOME"]).exists()


def test_pixels_decide_the_hash_of_an_array_and_their_shape_too():
    a = images.open(np.zeros((1, 4, 4), np.uint8)).hash[0]
    b = images.open(np.zeros((1, 2, 2), np.uint8)).hash[0]
    c = images.open(np.ones((1, 4, 4), np.uint8)).hash[0]
    assert len({a, b, c}) == 3
    assert images.open(np.zeros((2, 4, 4, 1), np.uint8)).hash.tolist() == [a, a]


def test_a_large_array_is_squashed_once(capsys):
    x = np.kron(np.array([[0, 200], [100, 50]], np.uint8), np.ones((50, 60), np.uint8))[None].repeat(3, 0)
    for said in (True, False):
        pictures = images.open(x, size=8)
        assert ("once into" in capsys.readouterr().err) == said
        assert pictures.x.shape == (3, 18, 18, 1)
        assert pictures.x[:][:, [0, 0, -1, -1], [0, -1, 0, -1], 0].tolist() == [[0, 200, 100, 50]] * 3
        assert pictures.shape_hw.tolist() == [[100, 120]] * 3


def test_pictures_pass_through_and_take_a_size(photos):
    pictures = images.open(photos)
    again = images.open(pictures)
    assert again.x is pictures.x
    assert images.open(pictures, size=12).size == 12
    assert images.plan(pictures, size=12).size == 12


def test_take_keeps_every_column_beside_its_picture(photos):
    (photos / "labels.csv").write_text(
        "file,label,group,split,n\ncat/a.png,x,g0,train,0\ncat/b.png,y,g1,test,1\ndog/a.png,z,g2,val,2\ndog/b.png,x,g3,,3\n"
    )
    whole = images.open(photos)
    for index in ([2, 0], np.array([False, True, False, True]), slice(1, 3), np.array([3])):
        part = whole.take(index)
        rows = np.arange(4)[index]
        assert part.x[:, 0, 0, 0].tolist() == (50 * rows).tolist()
        assert part.extra["n"].tolist() == [str(i) for i in rows]
        for name in ("file", "hash", "label", "group", "split"):
            assert getattr(part, name).tolist() == getattr(whole, name)[rows].tolist()
        assert len(part) == len(part.x) == len(rows)
    twice = whole.take([2, 0, 3]).take([2, 1])
    assert (twice.file.tolist(), twice.x[:, 0, 0, 0].tolist()) == (["dog/b.png", "cat/a.png"], [150, 0])
    assert isinstance(whole.take([0]).x, Rows)
    assert whole.take([0]).x.base is whole.x.base  # nothing was copied


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.sampled_from(
        [
            0, -1, slice(None), slice(1, None, 2), [0, 0], np.array([-1, 0]), (0, 1), (slice(None), 2),
            (slice(0, 1), slice(None), [1, 0]), ([0], slice(None), slice(None), 1), (Ellipsis, 0), Ellipsis, (0, Ellipsis, 1),
        ]
    ),
)  # fmt: skip
def test_rows_are_indexed_as_an_array_is(index, item):
    base = np.arange(6 * 3 * 4 * 2, dtype=np.uint8).reshape(6, 3, 4, 2)
    base.flags.writeable = False
    rows = Rows(base, np.array(index))
    expected = base[index][item]
    got = rows[item]
    assert np.array_equal(got, expected)
    assert got.flags.writeable or got.ndim == 0
    assert np.array_equal(np.asarray(rows), base[index])
    assert (rows.shape, rows.dtype, rows.ndim) == ((len(index), 3, 4, 2), np.uint8, 4)


def test_one_photograph_is_opened_in_memory(photos, tmp_path):
    one = images.open_one(draw(tmp_path / "one.png", 40, 100, "RGB", 90), size=16)
    assert (one.x.shape, one.shape_hw.tolist(), one.file.tolist()) == ((1, 36, 36, 3), [[40, 100]], ["one.png"])
    assert images.open_one(photos / "cat/a.png", size=20).hash[0] == images.open(photos).hash[0]
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"bad\.png cannot be read as a picture \(not-a-picture: "):
        images.open_one(tmp_path / "bad.png", size=16)
    assert not Path(os.environ["EDUBBA_HOME"]).joinpath("pictures", "one").exists()


def test_chest_xray_is_grey_grouped_and_not_square():
    pictures = images.open(shared("chest_xray.tar"), size=32)
    assert (len(pictures), pictures.x.shape) == (458, (458, 72, 72, 1))
    labels, counts = np.unique(pictures.label, return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {
        "": 190,
        "covid": 194,
        "no_finding": 6,
        "other": 68,
    }
    assert len(set(pictures.group.tolist())) == 198  # patients, as its README says
    assert pictures.shape_hw.max() == 192
    assert pictures.extra["source"][pictures.file == "images/i0000.jpg"].tolist() == ["papers"]


def test_oracle_mnist_stays_as_it_is():
    pictures = images.open(shared("oracle_mnist_demo.npz"))
    assert (pictures.x.shape, pictures.size) == ((3000, 28, 28, 1), 28)
    assert round(float(pictures.x.mean() / 255), 4) == 0.2344  # mean in its README
    assert np.unique(pictures.label, return_counts=True)[1].tolist() == [300] * 10


def test_signs_take_their_own_table_and_leave_the_rare_ones_unlabelled():
    path = shared("signs_cdp.tar.gz")
    signs = sources.find(path)
    file = np.array(signs.names)
    row = tables.align(tables.read_labels(path, content=signs.labels_csv()), file, source=str(path))
    assert len(file) == 10_752
    assert {name.split("/")[0] for name in file[row.label == ""].tolist()} == {"rare"}
    assert (row.label == "NA").any()  # a sign, not a missing value
    assert "train" in row.split
