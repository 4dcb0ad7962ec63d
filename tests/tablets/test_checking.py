"""Photographs against annotations: what does not belong together is named in a sentence, and the rest goes on."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edubba.core import images, picture
from edubba.core.errors import UserError
from edubba.tablets import checking, signlist
from edubba.tablets.checking import Skipped
from edubba.tablets.records import Box, Line, Photograph, Sign, Surface, Tablet


def photograph(folder, name="a.jpg", size=(300, 200), **how):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    folder.mkdir(exist_ok=True, parents=True)
    Image.fromarray(noise).save(folder / name, **how)
    return folder / name


def tablet(*signs, file="a.jpg", size=(300, 200), path=(), **about):
    own = signs or (Sign(name="KI", box=Box(10.0, 20.0, 40.0, 60.0)),)
    face = Surface(box=Box(0.0, 0.0, 100.0, 100.0), lines=(Line(signs=own, path=path),))
    taken = Photograph(file=file, width=size[0], height=size[1], **about)
    return Tablet(id="P1", photograph=taken, surfaces=(face,))


def test_what_fits_is_left_as_it_is_with_its_checksum(tmp_path):
    path = photograph(tmp_path)
    before = tablet()
    good, skipped = checking.check([before], tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert good == [replace(before, photograph=replace(before.photograph, sha256=digest))]
    assert skipped == []
    assert checking.check(good, tmp_path) == (good, [])


def test_one_bad_photograph_of_each_kind_is_named_and_the_rest_goes_on(tmp_path):
    photograph(tmp_path, "good.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"hello, no picture at all")
    whole = photograph(tmp_path, "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    files = ["none.jpg", "empty.jpg", "text.jpg", "cut.jpg", "good.jpg"]
    good, skipped = checking.check([tablet(file=file) for file in files], tmp_path)
    assert [t.photograph.file for t in good] == ["good.jpg"]
    assert [(row.file, row.reason) for row in skipped] == [
        ("none.jpg", "no-photograph"), ("empty.jpg", "empty"), ("text.jpg", "not-a-picture"), ("cut.jpg", "truncated"),
    ]  # fmt: skip
    assert skipped[0].detail == f"{tmp_path} has no such file"


def test_an_annotation_without_a_picture_is_named(tmp_path):
    bare = replace(tablet(), photograph=None)
    good, skipped = checking.check([bare, replace(bare, surfaces=())], tmp_path)
    assert good == []
    assert [row.detail for row in skipped] == [
        "no photograph is named or found for 1 box of P1", "no photograph is named or found for the text of P1",
    ]  # fmt: skip


def test_another_size_is_refused_with_both_sizes(tmp_path):
    photograph(tmp_path, size=(310, 200))
    good, [row] = checking.check([tablet()], tmp_path)
    assert good == []
    assert (row.file, row.reason) == ("a.jpg", "other-size")
    assert row.detail == "310 x 200 pixels, but its annotation is for 300 x 200"


def test_another_size_of_the_same_shape_is_offered_a_scale_and_scaled_on_request(tmp_path):
    photograph(tmp_path, size=(601, 399))
    before = tablet(
        Sign(name="KI", box=Box(10.0, 20.0, 40.0, 60.0), extra={"area": 1200.0, "raw": "KI"}),
        path=((0.0, 10.0), (90.0, 10.0)),
    )
    good, [row] = checking.check([before], tmp_path)
    assert good == []
    assert row.detail == (
        "601 x 399 pixels, but its annotation is for 300 x 200: the shape is the same, so boxes scaled by 2.003 would fit"
    )
    [after], skipped = checking.check([before], tmp_path, scale=True)
    assert skipped == []
    fx, fy = 601 / 300, 399 / 200
    [sign] = after.signs
    assert sign.box == pytest.approx(Box(10 * fx, 20 * fy, 40 * fx, 60 * fy))
    assert sign.extra == {"raw": "KI"}
    assert after.surfaces[0].box == pytest.approx((0, 0, 100 * fx, 100 * fy))
    assert np.allclose(after.surfaces[0].lines[0].path, [(0, 10 * fy), (90 * fx, 10 * fy)])
    assert (after.photograph.width, after.photograph.height) == (601, 399)
    assert (after.steps[-1].what, after.steps[-1].settings) == ("convert", {"scale": [fx, fy]})


@pytest.mark.parametrize(
    ("size", "offered"), [((303, 200), True), ((304, 200), False), ((297, 200), True), ((296, 200), False)]
)
def test_the_shape_may_differ_by_one_per_cent(tmp_path, size, offered):
    photograph(tmp_path, size=size)
    _, [row] = checking.check([tablet()], tmp_path)
    assert ("would fit" in row.detail) == offered


def test_a_photograph_on_its_side_is_said(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(tmp_path, "turned.jpg", exif=exif)  # stored 300 x 200, shown 200 x 300
    good, [row] = checking.check([tablet(file="turned.jpg"), tablet(file="turned.jpg", size=(200, 300))], tmp_path)
    assert [t.photograph.width for t in good] == [200]
    assert row.detail.startswith("200 x 300 pixels, but its annotation is for 300 x 200: it lies on its side")


def test_a_photograph_that_was_changed_is_refused(tmp_path):
    photograph(tmp_path)
    good, [row] = checking.check([tablet(sha256="0" * 64)], tmp_path)
    assert good == []
    assert row.reason == "other-file"
    assert "its SHA-256 is another" in row.detail


def test_boxes_outside_are_cut_or_taken_off_and_listed(tmp_path):
    photograph(tmp_path)
    signs = (
        Sign(name="A", box=Box(-5.0, 10.0, 20.0, 30.0)),
        Sign(name="B", box=Box(290.0, 190.0, 300.5, 200.5)),  # half a pixel: rounding, so nobody is told
        Sign(name="C", box=Box(400.0, 10.0, 420.0, 30.0)),
        Sign(name="D", box=Box(50.0, 50.0, 50.0, 60.0)),
        Sign(name="E", box=Box(0.0, 0.0, 300.0, 200.0)),
        Sign(box=Box(9.0, 9.0, 9.0, 9.0), damage="broken"),  # a BLANK of eBL
        Sign(name="F"),
    )
    [after], rows = checking.check([tablet(*signs)], tmp_path)
    assert [sign.box for sign in after.signs] == [
        Box(0, 10, 20, 30), Box(290, 190, 300, 200), None, None, Box(0, 0, 300, 200), Box(9, 9, 9, 9), None,
    ]  # fmt: skip
    assert after.signs[2].extra == {"box_outside": [400.0, 10.0, 420.0, 30.0]}
    assert after.signs[2].name == "C"
    assert [(row.file, row.reason) for row in rows] == [("a.jpg", "box-outside")] * 2
    assert rows[0].detail == (
        "1 box reaches beyond 300 x 200 pixels or has no area (first A at [-5, 10, 20, 30]): cut at the edge"
    )
    assert rows[1].detail == (
        "2 boxes reach beyond 300 x 200 pixels or have no area (first C at [400, 10, 420, 30]): taken off"
    )


def test_unknown_names_are_listed_once_with_the_nearest(tmp_path):
    photograph(tmp_path)
    photograph(tmp_path, "b.jpg")
    box = Box(1.0, 1.0, 9.0, 9.0)
    made = [
        tablet(Sign(name="KI", box=box), Sign(name="KII", box=box)),
        tablet(Sign(name="KII", box=box), Sign(name="QQ", box=box), Sign(box=box), file="b.jpg"),
    ]
    good, rows = checking.check(made, tmp_path, known_names={"KI", "NA", "KID"})
    assert len(good) == 2
    assert [(row.file, row.reason) for row in rows] == [("a.jpg", "unknown-name"), ("b.jpg", "unknown-name")]
    assert rows[0].detail == "the name 'KII' (2 signs) is not known; the nearest are KID, KI, NA"
    assert rows[1].detail.startswith("the name 'QQ' (1 sign) is not known; the nearest are ")
    assert checking.check(made, tmp_path)[1] == []
    assert checking.check(made[:1], tmp_path, known_names=[])[1][0].detail == "the name 'KI' (1 sign) is not known"


def test_a_sign_list_knows_a_sign_under_several_names(tmp_path):
    photograph(tmp_path)
    box = Box(1.0, 1.0, 9.0, 9.0)
    made = [tablet(*(Sign(name=name, box=box) for name in ("KI", "MEŠ", "AN+AK", "no such sign")))]
    _, rows = checking.check(made, tmp_path, known_names=signlist.load())
    assert [row.detail.split("'")[1] for row in rows] == ["no such sign"]


def test_a_category_that_no_list_names_is_said(tmp_path):
    photograph(tmp_path)
    box = Box(1.0, 1.0, 9.0, 9.0)
    made = tablet(Sign(box=box, extra={"category_id": 99}), Sign(box=box, extra={"category_id": 7}), Sign(box=box))
    _, [row] = checking.check([made], tmp_path)
    assert row.reason == "no-category"
    assert row.detail == "2 signs have categories that the annotation does not list: 7, 99"


@pytest.mark.parametrize(
    "file", ["images/a.jpg", "images\\a.jpg", "a.jpg", "elsewhere/a.jpg", "a.tif", "../a.jpg", "/etc/a.jpg"]
)
def test_a_photograph_is_found_by_path_name_or_stem(tmp_path, file):
    photograph(tmp_path / "in")
    photograph(tmp_path, size=(3, 3))  # what .. leads to is not looked at
    good, skipped = checking.check([tablet(file=file)], tmp_path / "in")
    assert skipped == []
    assert good[0].photograph.file == "a.jpg"


def test_a_name_with_points_is_not_cut_at_one(tmp_path):
    photograph(tmp_path, "1879,0708.86.png")
    photograph(tmp_path, "1879,0708.png", size=(3, 3))
    assert checking.find(tmp_path, "1879,0708.86") == tmp_path / "1879,0708.86.png"
    assert checking.find(tmp_path, "1879,0708.86.jpg") == tmp_path / "1879,0708.86.png"
    assert checking.find(tmp_path, "1879,0708.85") is None
    assert checking.find(tmp_path / "nowhere", "a.jpg") is None
    assert checking.find(tmp_path, "") is None


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere is no folder: name the one that the photographs lie in"):
        checking.check([tablet()], tmp_path / "nowhere")


def test_rows_are_written_as_those_of_other_rooms(tmp_path):
    row = Skipped("a.jpg", "other-size", "3 x 4 pixels, but 5 x 6")
    assert isinstance(row, picture.Skipped)
    images.write_skipped(tmp_path / "skipped.csv", [row])
    assert (tmp_path / "skipped.csv").read_text() == 'file,reason,detail\na.jpg,other-size,"3 x 4 pixels, but 5 x 6"\n'
