import gzip
import io
import os
import struct
import tarfile

import numpy as np
import pytest

from edubba.core import sources
from edubba.core.errors import UserError


def refused(source) -> str:
    with pytest.raises(UserError) as error:
        names(source)
    return str(error.value)


def names(source) -> list[str]:
    return sources.find(source).names


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as out:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


def idx(x: np.ndarray) -> bytes:
    return struct.pack(f">HBB{x.ndim}I", 0, 8, x.ndim, *x.shape) + x.tobytes()


def test_hidden_system_and_text_files_are_passed_over(tmp_path):
    touch(
        tmp_path, "b/x.jpg", "a.png", ".DS_Store", "._a.png", "b/Thumbs.db", "b/desktop.ini", ".git/x.png", "labels.csv"
    )
    touch(tmp_path, "notes.txt", "README.md", "odd.pdf")
    assert sources.Folder(tmp_path).names == ["a.png", "b/x.jpg", "odd.pdf"]


def test_loops_of_links_end_and_real_folders_name_their_files(tmp_path):
    touch(tmp_path, "real/x.jpg", "elsewhere.d/y.jpg")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "real/x.jpg")
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "nowhere")
    assert sources.Folder(tmp_path).names == ["a.jpg", "dead.jpg", "elsewhere.d/y.jpg", "real/x.jpg"]


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert sources.Folder(tmp_path).names == []


def test_a_folder_changes_its_stamp_with_any_file_but_not_with_a_table(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    stamp = sources.Folder(tmp_path).stamp
    touch(tmp_path, "labels.csv")
    assert sources.Folder(tmp_path).stamp == stamp
    os.utime(tmp_path / "a.jpg", ns=(0, 0))
    assert sources.Folder(tmp_path).stamp != stamp


@pytest.mark.parametrize(("end", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar.xz", "w:xz")])
def test_a_tar_gives_the_files_and_table_of_its_folder(tmp_path, end, mode):
    path = tar(tmp_path / f"p.{end}", [("b/2.jpg", b"2"), ("labels.csv", b"file"), ("./a/1.jpg", b"1")], mode)
    found = sources.find(path)
    assert found.names == ["a/1.jpg", "b/2.jpg"]
    assert {name: start().read() for name, start in found.files()} == {"a/1.jpg": b"1", "b/2.jpg": b"2"}
    assert found.labels_csv() == b"file"


def test_a_folder_around_everything_in_a_tar_is_taken_off(tmp_path):
    path = tar(tmp_path / "p.tar", [("photos/labels.csv", b"file"), ("photos/a/1.jpg", b"1"), ("photos/b/2.jpg", b"2")])
    found = sources.find(path)
    assert (found.names, found.labels_csv()) == (["a/1.jpg", "b/2.jpg"], b"file")


def test_strange_names_in_a_tar_stay_names(tmp_path):
    path = tar(tmp_path / "p.tar", [("/etc/x.jpg", b"1"), ("../../y.jpg", b"2"), ("._x.jpg", b"3")])
    found = sources.find(path)
    assert found.names == ["../../y.jpg", "etc/x.jpg"]
    assert sorted(name for name, _ in found.files()) == found.names
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_a_tar_is_not_followed(tmp_path):
    with tarfile.open(tmp_path / "p.tar", "w") as out:
        info = tarfile.TarInfo("x.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        out.addfile(info)
    ((name, start),) = sources.find(tmp_path / "p.tar").files()
    with pytest.raises(OSError, match="a link inside a tar, which is not followed"):
        start()
    assert name == "x.jpg"


def test_what_is_wrong_with_a_tar_is_said(tmp_path):
    twice = tar(tmp_path / "p.tar", [("a.jpg", b"1"), ("./a.jpg", b"2")])
    assert refused(twice) == f"{twice} holds two files called 'a.jpg': pack it anew with one of them"
    whole = tar(tmp_path / "q.tgz", [("a.jpg", os.urandom(5000))], "w:gz").read_bytes()
    (tmp_path / "r.tgz").write_bytes(whole[:3000])
    assert refused(tmp_path / "r.tgz").startswith(f"{tmp_path / 'r.tgz'} is damaged or cut off (")
    (tmp_path / "s.tar").write_bytes(b"no tar")
    assert refused(tmp_path / "s.tar").startswith(f"{tmp_path / 's.tar'} is damaged or cut off (")


def test_an_idx_file_is_read_plain_or_gzipped(tmp_path):
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(x))
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(x)))
    for name in ("t10k-images-idx3-ubyte", "images.gz"):
        found = sources.find(tmp_path / name)
        assert np.array_equal(found.x[..., 0], x)
        assert found.file.tolist() == ["000000", "000001"]


def test_what_is_wrong_with_an_idx_file_is_said(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(idx(np.zeros((2, 3, 4), np.uint8))[:-1])
    assert refused(path) == f"{path} is cut off: 23 bytes for the shape (2, 3, 4)"
    path.write_bytes(idx(np.zeros(5, np.uint8)))
    assert refused(path) == f"{path} is an IDX file of shape (5,): pictures are (n, h, w)"
    path.write_bytes(gzip.compress(bytes(5000) + os.urandom(5000))[:1000])
    assert refused(path).startswith(f"{path} is damaged or cut off (")
    path.write_bytes(b"")
    assert "is no source" in refused(path)


def test_an_npz_of_two_parts_is_split_and_its_classes_are_named(tmp_path):
    x = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    np.savez(tmp_path / "p.npz", train_x=x[:3], train_y=[0, 1, 1], test_x=x[3:], test_y=[1, 0], classes=["cat", "dog"])
    found = sources.find(tmp_path / "p.npz")
    assert found.file.tolist() == ["test/000000", "test/000001", "train/000000", "train/000001", "train/000002"]
    assert found.label.tolist() == ["dog", "cat", "cat", "dog", "dog"]
    assert found.split.tolist() == ["test", "test", "train", "train", "train"]
    assert np.array_equal(found.x[..., 0], x[[3, 4, 0, 1, 2]])


def test_an_npz_may_hold_groups_and_splits(tmp_path):
    np.savez(
        tmp_path / "p.npz",
        x=np.zeros((3, 2, 2, 3), np.uint8),
        y=[7, 8, 7],
        group=["a", "b", "a"],
        split=["val", "test", ""],
    )
    found = sources.find(tmp_path / "p.npz")
    assert (found.label.tolist(), found.group.tolist()) == (["7", "8", "7"], ["a", "b", "a"])
    assert found.split.tolist() == ["validation", "test", ""]


def test_what_is_wrong_with_an_npz_is_said(tmp_path):
    path = tmp_path / "p.npz"
    x = np.zeros((2, 3, 3), np.uint8)

    def why(**arrays):
        np.savez(path, **arrays)
        return refused(path)

    assert why(bits=x, y=[1, 2]) == f"{path} has no array 'x', nor 'train_x' and 'test_x': it holds bits, y"
    assert why(x=x, y=np.array(["a", None], dtype=object)) == (
        f"{path} holds an array of Python objects, which is never opened because it could run code: "
        "save numbers and strings as plain arrays"
    )
    assert why(x=x.astype(float)) == f"{path}: x has the type float64: pictures are uint8, 0 to 255"
    assert (
        why(x=x[..., None, None]) == f"{path}: x has the shape (2, 3, 3, 1, 1): pictures are (n, h, w) or (n, h, w, 3)"
    )
    assert why(x=x[:0]) == f"{path}: x has the shape (0, 3, 3, 1): there is no picture in it"
    assert why(x=x, y=[1, 2, 3]) == f"{path}: y has the shape (3,) for 2 pictures"
    assert why(x=x, y=[0, 2], classes=["a", "b"]) == f"{path}: y must number the 2 classes from 0 to 1"
    assert why(x=x, group=["g", "g"], split=["train", "test"]) == (
        f"{path} has the group 'g' in two splits (test and train): keep a group whole"
    )
    assert (
        why(x=x, split=["train", "dev"]) == f"{path} has the split 'dev': it must be train, validation (or val) or test"
    )
    assert why(train_x=x, train_y=[0, 1], test_x=x) == (
        f"{path} has labels for one of train and test only: give train_y and test_y, or neither"
    )
    assert why(train_x=x, test_x=np.zeros((1, 4, 4), np.uint8)) == (
        f"{path}: train_x and test_x hold pictures of different shapes, (3, 3, 1) and (4, 4, 1)"
    )
    path.write_bytes(b"PK\3\4 not really")
    assert refused(path).startswith(f"{path} is damaged or no npz file (")


def test_what_is_no_source_is_named(tmp_path):
    assert refused(tmp_path / "none") == f"there is no file or folder {tmp_path / 'none'}"
    touch(tmp_path, "a.zip")
    assert refused(tmp_path / "a.zip") == (
        f"{tmp_path / 'a.zip'} is no source: give a folder, a tar of one (.tar, .tar.gz, .tgz, .tar.xz), "
        "an .npz or an IDX file"
    )
    assert refused(np.zeros((2, 3, 3))) == "the array has the type float64: pictures are uint8, 0 to 255"
    assert (
        refused(np.zeros((3, 3), np.uint8)) == "the array has the shape (3, 3): pictures are (n, h, w) or (n, h, w, 3)"
    )


def test_made_up_names_sort_as_they_count():
    made = sources.numbered(1_000_002)
    assert made[[0, 999_999, 1_000_001]].tolist() == ["0000000", "0999999", "1000001"]
    assert sources.numbered(2, "test").tolist() == ["test/000000", "test/000001"]


def test_labels_of_any_kind_become_the_same_strings():
    for values in ([3, 4], ["3", "4"], np.array([3, 4], np.uint8), np.array([b"3", b"4"])):
        assert sources.text(values).tolist() == ["3", "4"]
    assert sources.text(["a", None]).tolist() == ["a", ""]
