"""Formats of photographs with boxes: exact documents, round trips, what each can hold, and what is wrong in a file."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from lxml import etree
from PIL import Image

from edubba.core.errors import UserError
from edubba.tablets import checking, formats, records, signlist, training
from edubba.tablets.formats import coco, compvis, cuneiform, deepscribe, drawn, ebl, page
from edubba.tablets.records import Box, Candidate, Line, Photograph, Sign, Step, Surface, Tablet

DATA = Path(__file__).parents[3] / "shared" / "data"
ANNOTATIONS = DATA / "tablets" / "annotations_coco.json"
SCHEMA = DATA / "tablets_schemas" / "pagecontent.xsd"


def needed(path):
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    return path


def only(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def on_one_face(*signs, **about):
    line = Line(kind="unplaced", signs=signs)
    return Tablet(**({"id": "P1", "surfaces": (Surface(lines=(line,)),)} | about))


# ---- made tablets, as tables of the native document: records made inside a strategy would be type-checked there, at random

WORDS = st.sampled_from(["", "a", "obverse", "1'", "x; {y}: \\u003b", " z ", "𒆠𒀀", "é\u00a0", '<&">', "l1", "-3"])
ODD = WORDS | st.sampled_from(["\x00", "a\nb\r\tc", "\ufffe", "\u2028", "\x85"])
NAMES = st.sampled_from(["KI", "A", "MEŠ", "|GA₂×AN|", "NA", "5(DIŠ)", "no such sign"]) | WORDS
JSON = st.sampled_from([None, True, 3, -0.5, "b", [1, ["c"]], {"d": {"e": []}}, "\x00"])
SHARE = st.sampled_from([0.0, 1e-7, 0.3, 0.1 + 0.2, 1.0])
QUARTERS, WHOLE = st.integers(-80, 1200).map(lambda v: v / 4), st.integers(0, 300).map(float)


def table(required, **optional):
    return st.fixed_dictionaries(required, optional={k: v for k, v in optional.items() if k not in required})


def boxes(number=QUARTERS):
    return st.tuples(number, number, number, number).map(
        lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 1, max(v[1], v[3]) + 1]
    )


def signs(required=None, *, number=QUARTERS, without=(), **others):
    own = {
        "id": WORDS, "name": NAMES, "reading": WORDS, "word": st.integers(0, 3), "box": boxes(number), "score": SHARE,
        "role": st.sampled_from(["syllable", "logogram", "determinative", "gloss", "number", "punctuation"]),
        "damage": st.sampled_from(["damaged", "broken"]), "abstained": st.just(True),
        "marks": st.sampled_from([["uncertain"], ["corrected", "omitted"], ["erased", "collated", "doubtful"]]),
        "candidates": st.lists(st.tuples(NAMES, SHARE).map(list), min_size=1, max_size=2),
    }  # fmt: skip
    free = {key: value for key, value in {**own, **others}.items() if key not in without}
    return table(required or {}, **free)


def tablets(sign, *, number=QUARTERS, line=None, tablet=None, surface=None, most=3):
    """`line`, `surface`, `tablet` are fields that each has."""
    path = st.lists(st.tuples(number, number).map(list), min_size=2, max_size=3)
    rows = table(
        {"signs": st.lists(sign, max_size=most), **(line or {})}, id=WORDS, label=WORDS, text=WORDS, path=path,
        kind=st.sampled_from(["state", "note", "unplaced"]),
    )  # fmt: skip
    faces = table(
        {"lines": st.lists(rows, max_size=2), **(surface or {})}, id=WORDS, kind=WORDS, column=WORDS, box=boxes(number)
    )
    steps = table(
        {"what": WORDS, "by": WORDS}, when=st.sampled_from(["2026-11-30T10:00:00+00:00", "yesterday"]),
        settings=st.dictionaries(WORDS, JSON, max_size=2),
    )  # fmt: skip
    photograph = table(
        {"file": WORDS.map("photos/{}.jpg".format), "width": st.just(90), "height": st.just(0)}, sha256=WORDS
    )
    return table(
        {"id": WORDS, "surfaces": st.lists(faces, max_size=2), **(tablet or {})}, name=WORDS, language=WORDS, period=WORDS,
        steps=st.lists(steps, max_size=2), photograph=photograph,
    )  # fmt: skip


def made(table):
    return records.from_dict(Tablet, table)


def held(tablet, format):
    """What a format says it can hold, counted."""
    return {name: int(formats.PARTS[name].count(tablet)) for name in formats.FORMATS[format].holds}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a test."""
    return tmp_path_factory.mktemp("formats")


# ---- the native one

EVIDENCE = st.lists(st.tuples(ODD, ODD, SHARE).map(list), min_size=1, max_size=1)
EXTRA = {"extra": st.dictionaries(ODD, JSON, max_size=2)}


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    st.lists(
        tablets(signs(reading=ODD, evidence=EVIDENCE, **EXTRA), line=EXTRA, surface=EXTRA, tablet=EXTRA), max_size=2
    )
)
def test_the_native_document_loses_nothing(folder, tables):
    some = [made(table) for table in tables]
    assert formats.read(formats.write(some, folder / "a.json")) == some


# ---- COCO

DOCUMENT = {
    "info": {"description": "invented", "year": 2026},
    "licenses": [{"id": 1, "name": "ours"}],
    "images": [
        {
            "id": 7, "file_name": "images/P1.jpg", "width": 300, "height": 200, "tablet": "P1", "museum_no": "K 1",
            "split": "train", "scale": 0.5, "complete": False,
            "regions": [
                {
                    "segm_idx": 16, "view": "Obv", "kind": "official", "bbox": [10.0, 10.0, 200.0, 90.7], "boxes": 4,
                    "compvis_scale": 3.23, "lines": [[[20.0, 30.0], [100.0, 30.0]], [[20.0, 70.0], [100.0, 72.0]]],
                },
                {"segm_idx": -1, "view": "", "kind": "hull", "bbox": [220.0, 10.0, 60.0, 60.0], "boxes": 9, "lines": []},
            ],
        },
        {"id": 3, "file_name": "other.png", "width": 50, "height": 40, "licence": 1},
    ],
    "annotations": [
        {"id": 2, "image_id": 7, "category_id": 9, "bbox": [60.0, 15.0, 20.3, 30.0], "area": 609.0, "iscrowd": 0, "segm_idx": 16},
        {"id": 5, "image_id": 7, "category_id": 4, "bbox": [25.0, 20.0, 20.0, 30.0], "area": 600.0, "iscrowd": 0, "segm_idx": 16,
         "mzl_label": 737, "train_label": 100},
        {"id": 6, "image_id": 7, "category_id": 4, "bbox": [150.0, 58.0, 20.0, 30.0], "area": 600.0, "iscrowd": 0, "segm_idx": 16},
        {"id": 8, "image_id": 7, "category_id": 11, "bbox": [22.0, 55.0, 20.0, 30.0], "area": 600.0, "iscrowd": 0, "segm_idx": 16},
        {"id": 9, "image_id": 7, "category_id": 4, "bbox": [230.0, 20.0, 20.0, 30.0], "area": 512.5, "iscrowd": 1, "segm_idx": -1,
         "segmentation": [[230, 20, 250, 20, 250, 50]]},
        {"id": 12, "image_id": 7, "category_id": 4, "bbox": [30.0, 150.0, 20.0, 30.0], "area": 600.0, "iscrowd": 0,
         "segm_idx": 99, "raw": "KI?"},
        {"id": 20, "image_id": 3, "category_id": 9, "bbox": [1.0, 2.0, 3.5, 4.0], "area": 14.0, "iscrowd": 0, "score": 0.25,
         "reading": "na", "word": "mine"},
    ],
    "categories": [
        {"id": 9, "name": "NA", "supercategory": "sign", "mzl": "110", "codepoints": "𒈾"},
        {"id": 4, "name": "KI", "supercategory": "sign"},
        {"id": 11, "name": "", "supercategory": "unread"},
        {"id": 30, "name": "NA", "supercategory": "a twin"},
        {"id": 31, "name": "NEVER", "supercategory": "sign"},
    ],
}  # fmt: skip


def coco_file(folder, **changed):
    return only(folder / "coco.json", json.dumps({**DOCUMENT, **changed}))


def test_a_coco_file_is_read_by_its_regions_and_drawn_lines(tmp_path):
    first, second = coco.read(coco_file(tmp_path))
    assert (first.id, first.name, second.id, second.name) == ("P1", "K 1", "other", "")
    assert first.photograph == Photograph(file="images/P1.jpg", width=300, height=200)
    assert first.extra["split"] == "train"
    assert first.extra["scale"] == 0.5
    obverse, hull, rest = first.surfaces
    assert (obverse.id, obverse.kind, obverse.box) == ("16", "obverse", Box(10.0, 10.0, 210.0, 100.7))
    assert obverse.extra == {"kind": "official", "compvis_scale": 3.23}
    assert [[sign.id for sign in line.signs] for line in obverse.lines] == [["5", "2"], ["8", "6"]]
    assert obverse.lines[0].path == ((20.0, 30.0), (100.0, 30.0))
    assert [line.kind for line in obverse.lines] == ["text", "text"]
    assert obverse.lines[0].signs[0].extra == {"mzl_label": 737, "train_label": 100}
    assert obverse.lines[1].signs[0].name is None
    assert (hull.id, hull.kind) == ("-1", "")
    assert [(line.kind, [sign.id for sign in line.signs]) for line in hull.lines] == [("unplaced", ["9"])]
    assert (rest.kind, rest.box, [sign.id for sign in rest.signs]) == ("", None, ["12"])
    assert rest.signs[0].extra == {"segm_idx": 99, "raw": "KI?"}
    [sign] = second.signs
    assert (sign.name, sign.score, sign.reading, sign.word, sign.extra) == ("NA", 0.25, "na", None, {"word": "mine"})


def test_a_coco_file_is_written_as_it_was_read(tmp_path):
    tablets = coco.read(coco_file(tmp_path))
    assert coco.document(tablets) == DOCUMENT
    native = records.write(tablets, tmp_path / "a.json")  # and by way of the native document
    assert json.loads(coco.write(records.read(native), tmp_path / "again.json").read_text()) == DOCUMENT


def test_part_of_a_coco_file_keeps_the_categories_it_uses(tmp_path):
    part = coco.document(coco.read(coco_file(tmp_path))[1:])
    assert part["images"] == DOCUMENT["images"][1:]
    assert part["annotations"] == DOCUMENT["annotations"][-1:]
    assert part["categories"] == [DOCUMENT["categories"][0], DOCUMENT["categories"][3]]


def test_two_coco_files_become_one_with_different_ids(tmp_path):
    other = {
        "images": [{"id": 7, "file_name": "q.jpg", "width": 9, "height": 9}],
        "annotations": [{"id": 2, "image_id": 7, "category_id": 9, "bbox": [0, 0, 1, 1]},
                        {"id": 99, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 9, "name": "AN"}, {"id": 1, "name": "KI"}],
    }  # fmt: skip
    second = coco.read(only(tmp_path / "b.json", json.dumps(other)))
    made = coco.document([*coco.read(coco_file(tmp_path)), *second])
    assert [image["id"] for image in made["images"]] == [7, 3, 8]
    ids = [row["id"] for row in made["annotations"]]
    assert len(set(ids)) == len(ids) == 9
    names = {row["id"]: row["name"] for row in made["categories"]}
    assert [(names[row["category_id"]], row.get("record_id")) for row in made["annotations"] if row["image_id"] == 8] == [
        ("KI", None), ("AN", "2"),
    ]  # fmt: skip
    assert made["categories"][-1] == {"id": 32, "name": "AN"}


def test_a_corrected_name_gets_the_category_of_that_name(tmp_path):
    first, second = coco.read(coco_file(tmp_path))
    [sign] = second.signs
    line = Line(
        kind="unplaced", signs=(replace(sign, name="KI"), replace(sign, name="GUL", id=""), replace(sign, name=None))
    )
    made = coco.document([first, replace(second, surfaces=(Surface(lines=(line,)),))])
    own = [row["category_id"] for row in made["annotations"] if row["image_id"] == 3]
    assert own == [4, 32, 11]
    assert made["categories"][-1] == {"id": 32, "name": "GUL", "supercategory": "sign"}


def test_of_two_categories_of_one_name_each_annotation_keeps_its_own(tmp_path):
    twin = {**DOCUMENT["annotations"][-1], "category_id": 30}
    first, second = coco.read(coco_file(tmp_path, annotations=[*DOCUMENT["annotations"][:-1], twin]))
    assert second.signs[0].name == "NA"
    assert coco.document([first, second])["annotations"][-1] == twin
    line = Line(kind="unplaced", signs=(replace(second.signs[0], name="KI"),))  # corrected
    made = coco.document([first, replace(second, surfaces=(Surface(lines=(line,)),))])
    assert made["annotations"][-1]["category_id"] == 4


def test_annotations_of_an_image_that_is_not_listed_are_kept(tmp_path):
    path = coco_file(tmp_path, images=DOCUMENT["images"][1:])
    second, lost = coco.read(path)
    assert (lost.id, lost.photograph, len(lost.signs)) == ("image 7", None, 6)
    made = coco.document([second, lost])
    assert made["annotations"] == DOCUMENT["annotations"]


def test_a_category_that_is_not_listed_is_kept(tmp_path):
    first, second = coco.read(coco_file(tmp_path, categories=DOCUMENT["categories"][1:3]))
    assert second.signs[0].name is None
    assert second.signs[0].extra["category_id"] == 9
    assert coco.document([first, second])["annotations"] == DOCUMENT["annotations"]


def test_coco_results_name_photographs_and_signs_as_the_truth_does(tmp_path):
    truth = coco.read(coco_file(tmp_path))
    found = on_one_face(
        Sign(name="KI", box=Box(1, 2, 31.5, 42), score=0.5), Sign(name="GUL", box=Box(0, 0, 1, 1)), Sign(name="NA"),
        photograph=Photograph(file="somewhere/other.png", width=50, height=40),
    )  # fmt: skip
    path = coco.write_results([found], tmp_path / "results.json", like=truth)
    assert json.loads(path.read_text()) == [
        {"image_id": 3, "category_id": 4, "bbox": [1, 2, 30.5, 40], "score": 0.5},
        {"image_id": 3, "category_id": 32, "bbox": [0, 0, 1, 1], "score": 1.0},
    ]
    with pytest.raises(UserError, match="'P1' is not among those"):
        coco.write_results([replace(found, photograph=None)], path, like=truth)
    with pytest.raises(UserError, match="COCO results, which name no photographs"):
        formats.recognise(path)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    st.lists(
        tablets(
            signs(
                {"box": boxes()}, name=NAMES.filter(bool), evidence=EVIDENCE,
                extra=st.sampled_from([{}, {"mzl_label": 5, "raw": [1]}]),
            ),
            surface={"box": boxes()},
            tablet={
                "id": WORDS.filter(bool), "extra": st.sampled_from([{}, {"split": "test"}]),
                "photograph": table({"file": WORDS, "width": st.just(9), "height": st.just(8)}, sha256=WORDS.filter(bool)),
            },
        ),
        max_size=2,
    )
)  # fmt: skip
def test_coco_holds_all_of_a_tablet_whose_signs_have_boxes(folder, tables):
    some = [made(table) for table in tables]
    again = coco.read(coco.write(some, folder / "c.json"))
    assert len(again) == len(some)
    for before, after in zip(some, again, strict=True):
        named = [sign.id for sign in before.signs]
        faces = []
        for face in after.surfaces:
            lines = []
            for line in face.lines:
                row = [replace(sign, id=sign.id if named.pop(0) else "") for sign in line.signs]  # all get a number
                lines.append(replace(line, signs=tuple(row)))
            faces.append(replace(face, lines=tuple(lines), extra={}))
        extra = {key: value for key, value in after.extra.items() if key != "coco"}
        assert replace(after, surfaces=tuple(faces), extra=extra) == before


def test_what_lies_on_no_face_stays_there(tmp_path):
    face = Surface(
        id="o",
        kind="obverse",
        box=Box(0, 0, 100, 100),
        lines=(Line(kind="unplaced", signs=(Sign(box=Box(1, 1, 9, 9)),)),),
    )
    rest = Surface(lines=(Line(kind="unplaced", signs=(Sign(name="KI", box=Box(20, 20, 30, 30)),)),))
    photograph = Photograph(file="a.jpg", width=200, height=200)
    tablet = Tablet(id="P1", photograph=photograph, surfaces=(face, rest))
    [again] = coco.read(coco.write([tablet], tmp_path / "a.json"))
    assert [[sign.name for sign in surface.signs] for surface in again.surfaces] == [[None], ["KI"]]
    assert again.surfaces[1].box is None


def test_lines_that_no_drawing_explains_are_written_down(tmp_path):
    row = [Sign(id=str(i), name="KI", box=Box(30 * i, 0, 30 * i + 20, 20)) for i in (3, 1, 2)]
    lines = (Line(label="1'", signs=tuple(row[:2]), text="ki ki"), Line(kind="unplaced", signs=(row[2],)))
    photograph = Photograph(file="a.jpg", width=200, height=200)
    tablet = Tablet(
        id="P1", photograph=photograph, surfaces=(Surface(id="0", kind="reverse", box=Box(0, 0, 99, 99), lines=lines),)
    )
    path = coco.write([tablet], tmp_path / "a.json")
    [region] = json.loads(path.read_text())["images"][0]["regions"]
    assert region["text_lines"] == [
        {"label": "1'", "text": "ki ki", "signs": [3, 1]},
        {"kind": "unplaced", "signs": [2]},
    ]
    assert region["view"] == "Rev"
    [again] = coco.read(path)
    assert again.surfaces[0].lines == lines


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"images": None}, "is no COCO file: it lacks a list of images"),
        ({"annotations": {}}, "lacks a list of images, of annotations or of categories"),
        ({"annotations": [5]}, "annotations[0] has no id"),
        ({"images": [{"id": 1}]}, "can be read (KeyError: 'file_name')"),
        ({"annotations": [{"id": 1, "image_id": 7, "bbox": [1, 2, 3]}]}, "can be read (ValueError"),
    ],
)
def test_a_bad_coco_file_is_refused_in_a_sentence(tmp_path, changed, sentence):
    with pytest.raises(UserError) as error:
        coco.read(coco_file(tmp_path, **changed))
    assert sentence in str(error.value)


@pytest.fixture(scope="module")
def real():
    return coco.read(needed(ANNOTATIONS))


def test_the_real_annotations_come_back_as_they_were(real):
    assert coco.document(real) == json.loads(ANNOTATIONS.read_text())


def test_the_real_annotations_stand_on_their_lines(real):
    assert len(real) == 120
    assert Counter(tablet.extra["split"] for tablet in real) == {"train": 46, "test": 34, "extra": 40}
    assert sum(len(tablet.signs) for tablet in real) == 11_856
    faces = [face for tablet in real for face in tablet.surfaces if face.box is not None]
    assert len(faces) == 133
    drawn_on = [face for face in faces if any(line.path for line in face.lines)]
    assert len(drawn_on) == 49
    assert sum(len(face.lines) for face in drawn_on) == 611
    off = []
    for face in drawn_on:
        assert not any(line.kind == "unplaced" for line in face.lines)
        height = np.median([sign.box.y1 - sign.box.y0 for sign in face.signs])
        for line in face.lines:
            centres = np.array([[(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2] for b in (s.box for s in line.signs)]).reshape(
                -1, 2
            )
            away, along = slowly_beside(centres, line.path)
            off += [v / height for v in away]
            assert along == sorted(along)
    assert np.median(off) < 0.05
    assert max(off) < 0.9


# ---- drawn lines


def slowly_beside(points, path):
    """Distances and places along a polyline prolonged at its ends, point by point; nothing is added for the overhang."""
    away, along = [], []
    for x, y in points:
        best, start = (np.inf, 0.0), 0.0
        for i, ((ax, ay), (bx, by)) in enumerate(itertools.pairwise(path)):
            length = np.hypot(bx - ax, by - ay)
            t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
            t = t if (i == 0 and t < 0) or (i == len(path) - 2 and t > 1) else min(1, max(0, t))
            best = min(best, (np.hypot(ax + t * (bx - ax) - x, ay + t * (by - ay) - y), start + t * length))
            start += length
        away.append(best[0])
        along.append(best[1])
    return away, along


def test_distances_to_polylines_are_those_of_the_slow_definition(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(drawn, "OVERHANG", 0.0)
    for k in (2, 3, 7):
        path = np.stack([np.sort(rng.uniform(0, 500, k)), rng.uniform(0, 300, k)], axis=1)
        points = rng.uniform(-200, 700, (50, 2))
        away, along = drawn.beside(points, path)
        slow_away, slow_along = slowly_beside(points, path.tolist())
        np.testing.assert_allclose(away, slow_away)
        np.testing.assert_allclose(along, slow_along)


def test_of_two_lines_in_one_row_a_sign_stands_on_the_one_that_reaches_it():
    row = [Line(path=((0.0, 50.0), (100.0, 50.0))), Line(path=((200.0, 55.0), (300.0, 55.0)))]
    placed = drawn.on_lines([Sign(id="a", box=Box(240, 40, 260, 60)), Sign(id="b", box=Box(110, 40, 120, 60))], row)
    assert [[sign.id for sign in line.signs] for line in placed] == [
        ["b"],
        ["a"],
    ]  # a: 0 off the first, 5 off the second


def test_a_line_drawn_from_right_to_left_is_read_from_left_to_right():
    two = [Sign(id="a", box=Box(0, 0, 10, 10)), Sign(id="b", box=Box(50, 0, 60, 10))]
    for path in (((0.0, 5.0), (60.0, 5.0)), ((60.0, 5.0), (0.0, 5.0))):
        assert [sign.id for sign in drawn.on_lines(two, [Line(path=path)])[0].signs] == ["a", "b"]


def test_lines_of_one_point_and_repeated_points_are_lines():
    two = [Sign(id="a", box=Box(0, 0, 10, 10)), Sign(id="b", box=Box(0, 50, 10, 60))]
    lines = [Line(path=((5.0, 5.0),)), Line(path=((5.0, 55.0), (5.0, 55.0), (9.0, 55.0)))]
    assert [[sign.id for sign in line.signs] for line in drawn.on_lines(two, lines)] == [["a"], ["b"]]


def test_signs_without_a_box_or_without_lines_are_unplaced():
    boxed, bare = Sign(id="a", box=Box(0, 0, 1, 1)), Sign(id="b")
    line = Line(path=((0.0, 0.0), (1.0, 0.0)))
    assert drawn.on_lines([bare, boxed], [line]) == (
        replace(line, signs=(boxed,)),
        Line(kind="unplaced", signs=(bare,)),
    )
    assert drawn.on_lines([bare, boxed], []) == (Line(kind="unplaced", signs=(bare, boxed)),)
    assert drawn.on_lines([], []) == ()


@hypothesis.given(st.integers(-1000, 100_000), st.integers(0, 100_000))
def test_a_width_gives_back_the_end_of_a_box(start, width):
    start, end = start / 10, start / 10 + width / 10
    assert start + drawn.size(start, end) == end  # to the bit, since the width had one decimal
    assert start + drawn.size(start, end + 1 / 3) == pytest.approx(end + 1 / 3, abs=1e-8)


def test_a_width_has_no_more_decimals_than_it_needs():
    assert drawn.size(691.7, 691.7 + 60.9) == 60.9
    assert drawn.size(3.0, 10.0) == 7.0
    assert drawn.size(0.4, 1.7) == 1.3  # 0.4 + 1.3 is not 1.7 to the bit, nor is any other sum


# ---- PAGE-XML


@pytest.fixture(scope="module")
def schema():
    return etree.XMLSchema(etree.parse(str(needed(SCHEMA))))


def page_file(folder, tablet):
    return page.write([tablet], folder / "a.xml")


EXAMPLE = Tablet(
    id="K 1; 2", name="K 1 {+} 2", language="akk", period="Neo-Assyrian",
    photograph=Photograph(file="images/K1.jpg", width=300, height=200, sha256="ab"),
    surfaces=(
        Surface(
            id="obverse", kind="obverse", column="1", box=Box(0, 0, 200, 100),
            lines=(
                Line(
                    id="o1", label="1'", text="ki? meš-[ma]", path=((10.0, 30.0), (190.0, 31.0)),
                    signs=(
                        Sign(
                            id="s1", name="KI", reading="ki", role="syllable", word=0, marks=("uncertain", "collated"),
                            damage="damaged", box=Box(10, 10, 40, 50), score=0.75,
                            candidates=(Candidate("KI", 0.5), Candidate("|GA₂×AN|", 0.25), Candidate("no such sign", 0.125)),
                        ),
                        Sign(id="7", name="MEŠ", word=1, box=Box(50, 10, 80, 50)),
                        Sign(name="MA", reading="ma", word=1, damage="broken"),
                        Sign(box=Box(90, 10, 120, 50), abstained=True, candidates=(Candidate("A", 0.5),)),
                    ),
                ),
                Line(kind="state", text="$ rest broken"),
            ),
        ),
        Surface(lines=(Line(kind="unplaced", signs=(Sign(name="A", box=Box(210, 100, 230, 140)),)),)),
    ),
    steps=(
        Step(what="detect", by="edubba 1", when="2026-11-30T10:00:00+00:00", settings={"threshold": 0.5, "names": ["a"]}),
        Step(what="correct", by="A. Person", when="last week"),
    ),
)  # fmt: skip


def test_a_page_is_what_others_read(tmp_path):
    root = etree.parse(str(page_file(tmp_path, EXAMPLE))).getroot()
    space = {"p": page.SPACE}

    def found(path):
        return root.xpath(path, namespaces=space)

    assert found("//p:Page/@imageFilename") == ["images/K1.jpg"]
    assert found("//p:RegionRefIndexed/@regionRef") == found("//p:TextRegion/@id")
    assert found("//p:Glyph[@id='s1']/p:Coords/@points") == ["10,10 40,10 40,50 10,50"]
    assert found("//p:Glyph[@id='s1']/p:Coords/@conf") == ["0.75"]
    assert found("//p:Glyph[@id='s1']/p:TextEquiv/@index") == ["0", "1", "2"]
    assert found("//p:Glyph[@id='s1']/p:TextEquiv/@conf") == ["0.5", "0.25", "0.125"]
    assert found("//p:Glyph[@id='s1']/p:TextEquiv/p:Unicode/text()") == ["𒆠", "𒂼", "no such sign"]
    assert found("//p:Glyph[@id='s1']/@custom")[0].startswith("sign {name:KI; mzl:737; reading:ki;")
    assert found("//p:TextLine[@id='o1']/p:Baseline/@points") == ["10,30 190,31"]
    assert found("//p:TextLine[@id='o1']/p:TextEquiv/p:Unicode/text()") == ["𒆠𒎌𒈠\ufffd", "ki? meš-[ma]"]
    assert len(found("//p:TextLine[@id='o1']/p:Word")) == 3


def test_a_page_comes_back(tmp_path):
    [again] = page.read(page_file(tmp_path, EXAMPLE))
    assert again == EXAMPLE


def test_the_likeliest_candidate_is_not_taken_for_a_name(tmp_path):
    sign = Sign(id="s9", box=Box(0, 0, 9, 9), candidates=(Candidate("A", 0.5), Candidate("KI", 0.25)))
    [again] = page.read(page_file(tmp_path, on_one_face(sign)))
    assert again.signs == [sign]


def test_a_name_that_is_not_the_likeliest_candidate_stands_before_them(tmp_path):
    sign = Sign(id="s9", name="NA", box=Box(0, 0, 9, 9), candidates=(Candidate("A", 0.5), Candidate("KI", 0.25)))
    path = page_file(tmp_path, on_one_face(sign))
    glyph = etree.parse(str(path)).getroot().find(f".//{{{page.SPACE}}}Glyph")
    assert [e.get("comments") for e in glyph.iterfind(f"{{{page.SPACE}}}TextEquiv")] == ["NA", "A", "KI"]
    assert page.read(path)[0].signs == [sign]


def test_what_a_page_forbids_is_bent_to_what_it_allows(schema, tmp_path):
    twins = tuple(Sign(id="s1", box=Box(-3.0, i, 9.4, 9)) for i in (0, 1))
    odd = (Sign(id="l1", score=1.0000001, candidates=(Candidate("A", -1e-9),)), *twins)
    tablet = Tablet(id="P1", surfaces=(Surface(id="l1", lines=(Line(id="l1", signs=odd, path=((5.0, 5.0),)),)),))
    path = page_file(tmp_path, tablet)
    assert schema.validate(etree.parse(str(path))), schema.error_log
    first, *again = page.read(path)[0].signs
    assert (first.id, first.score, first.candidates) == ("l1", 1.0, (Candidate("A", 0.0),))
    assert [(sign.id, sign.box) for sign in again] == [("s1", Box(0, 0, 9, 9)), ("s1", Box(0, 1, 9, 9))]
    assert page.lacking([tablet]) == ["2 boxes are rounded to whole pixels within the picture"]


def test_pages_are_valid(schema, tmp_path):
    for tablet in (EXAMPLE, Tablet(id="bare"), Tablet(id="P1", surfaces=(Surface(), Surface(kind="edge")))):
        path = page_file(tmp_path, tablet)
        assert schema.validate(etree.parse(str(path))), schema.error_log
        assert page.read(path) == [tablet]


def test_pages_of_real_photographs_are_valid_and_come_back(schema, real, tmp_path):
    for tablet in real[::40]:
        path = page_file(tmp_path, tablet)
        assert schema.validate(etree.parse(str(path))), schema.error_log
        [again] = page.read(path)
        assert [sign.name for sign in again.signs] == [sign.name for sign in tablet.signs]
        assert [sign.id for sign in again.signs] == [sign.id for sign in tablet.signs]
        for before, after in zip(tablet.signs, again.signs, strict=True):
            assert max(abs(a - b) for a, b in zip(before.box, after.box, strict=True)) <= 0.5
        assert [(face.id, face.kind, len(face.lines)) for face in again.surfaces] == [
            (face.id, face.kind, len(face.lines)) for face in tablet.surfaces
        ]


@hypothesis.settings(max_examples=30)
@hypothesis.given(tablets(signs(number=WHOLE), number=WHOLE))
def test_a_page_holds_all_but_evidence_and_foreign_fields(folder, table):
    tablet = made(table)
    assert page.read(page_file(folder, tablet)) == [tablet]


@hypothesis.settings(max_examples=25)
@hypothesis.given(tablets(signs(name=ODD, reading=ODD, extra=st.just({"a": 1})), line={"text": ODD}))
def test_whatever_it_holds_a_page_is_valid_and_keeps_names(folder, schema, table):
    tablet = made(table)
    path = page_file(folder, tablet)
    assert schema.validate(etree.parse(str(path))), schema.error_log
    [again] = page.read(path)
    assert [(sign.name, sign.reading) for sign in again.signs] == [(sign.name, sign.reading) for sign in tablet.signs]


FOREIGN = """<?xml version="1.0"?>
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15"><Metadata/><!-- a remark -->
<Page imageFilename="scans\\B 7.tif" imageWidth="90" imageHeight="80">
<ReadingOrder><OrderedGroup id="g"><RegionRefIndexed index="1" regionRef="a"/><RegionRefIndexed index="0" regionRef="b"/>
</OrderedGroup></ReadingOrder>
<ImageRegion id="i"><Coords points="0,0 1,1"/></ImageRegion>
<TextRegion id="a"><Coords points="0,0 9,1 5,20"/><TextLine id="a1"><Coords points="0,0 1,1"/>
<Word id="w"><Coords points="1,2 3,4"/><TextEquiv><Unicode>&#x121A0;</Unicode></TextEquiv></Word>
<Word id="v"><Coords points="5,2 7,4"/><TextEquiv><Unicode>na</Unicode></TextEquiv></Word></TextLine></TextRegion>
<TextRegion id="b"><Coords points="0,0 1,1"/><TextLine id="b1"><Coords points="0,0 1,1"/>
<TextEquiv index="1"><Unicode>second</Unicode></TextEquiv><TextEquiv index="0"><Unicode>a-na</Unicode></TextEquiv></TextLine>
</TextRegion></Page></PcGts>
"""


def test_a_page_of_another_program_and_version_is_read(tmp_path):
    [tablet] = page.read(only(tmp_path / "a.xml", FOREIGN))
    assert tablet.id == "B 7"
    assert [face.id for face in tablet.surfaces] == ["b", "a"]
    assert tablet.surfaces[0].lines[0].text == "a-na"
    assert tablet.surfaces[1].box == Box(0, 0, 9, 20)
    first, second = tablet.surfaces[1].signs
    assert (first.name, first.reading, first.word, first.box) == ("KI", None, 0, Box(1, 2, 3, 4))
    assert (second.name, second.reading, second.word) == (None, "na", 1)
    unread = (
        page.read(only(tmp_path / "b.xml", FOREIGN.replace("<Unicode>na<", "<Unicode>\ufffd<")))[0].surfaces[1].signs[1]
    )
    assert (unread.name, unread.reading) == (None, None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("<PcGts>\n <Page></PcGts>", "a.xml:2:16: this is not XML (Opening and ending tag mismatch"),
        ("", "a.xml:1:1: this is not XML"),
        ("<alto/>", "is XML, but not PAGE: its root is 'alto'"),
        (FOREIGN.replace('imageWidth="90"', 'imageWidth="wide"'), "imageWidth is 'wide', which is no whole number"),
        (FOREIGN.replace("1,2 3,4", "1;2"), "the points '1;2' are not of the form x,y x,y"),
        (FOREIGN.replace('index="1" r', 'index="last" r'), "an index or conf that is no number"),
        (FOREIGN.replace('<Word id="w"', '<Word id="w" custom="sign {damage:gone;}"'), "the damage of a sign cannot be"),
        (FOREIGN.replace("<PcGts", '<!DOCTYPE PcGts [<!ENTITY a "b">]><PcGts'), "has a DOCTYPE"),
        (FOREIGN.replace("<PcGts", '<!DOCTYPE PcGts [<!ENTITY a SYSTEM "file:///etc/hostname">]><PcGts').replace("a-na", "&a;"),
         "has a DOCTYPE"),
    ],
)  # fmt: skip
def test_a_bad_page_is_refused_in_a_sentence(tmp_path, content, sentence):
    with pytest.raises(UserError) as error:
        page.read(only(tmp_path / "a.xml", content))
    assert sentence in str(error.value)


def test_entities_that_grow_without_end_are_not_expanded(tmp_path):
    names = [f"<!ENTITY e{i} '{f'&e{i - 1};' * 10 if i else 'x' * 10}'>" for i in range(12)]
    bomb = FOREIGN.replace("<PcGts", f"<!DOCTYPE PcGts [{''.join(names)}]><PcGts").replace("a-na", "&e11;")
    with pytest.raises(UserError):
        page.read(only(tmp_path / "a.xml", bomb))


def test_a_page_holds_one_photograph(tmp_path):
    with pytest.raises(UserError, match="name a folder instead of"):
        page.write([EXAMPLE, EXAMPLE], tmp_path / "a.xml")


# ---- eBL


def test_gt_txt_is_read_by_its_rules(tmp_path):
    text = (
        "10,20,30,40,KI\n1,2,3,4\n1,2,3,4,MA?\n\n5,6,7,8,UnclearSign\n9,9,0,0,BLANK\n1,1,2,2,|GA₂×AN,MA|\n1,1,2,2,šu₂\n"
    )
    [tablet] = ebl.read(only(tmp_path / "gt_K.4782.txt", text))
    assert (tablet.id, tablet.photograph) == ("K.4782", None)
    signs = tablet.signs
    assert signs[0] == Sign(name="KI", box=Box(10, 20, 40, 60))  # width before height
    assert signs[1] == Sign(box=Box(1, 2, 4, 6))
    assert (signs[2].name, signs[2].damage) == ("MA", "damaged")
    assert (signs[3].name, signs[3].extra) == (None, {"label": "UnclearSign"})
    assert (signs[4].name, signs[4].ink) == (None, False)
    assert signs[5].name == "|GA₂×AN,MA|"
    assert (signs[6].name, signs[6].reading, signs[6].extra) == ("ŠU₂", "šu₂", {"label": "šu₂"})
    again = ebl.write([tablet], tmp_path / "gt_again.txt")
    assert again.read_text() == text.replace("\n\n", "\n")


def test_gt_txt_follows_a_correction(tmp_path):
    [tablet] = ebl.read(only(tmp_path / "gt_a.txt", "1,2,3,4,UnclearSign\n1,2,3,4,ki\n"))
    first, second = tablet.signs
    corrected = on_one_face(replace(first, name="KI"), replace(second, name="DI", reading=None))
    assert ebl.write([corrected], tmp_path / "gt_b.txt").read_text() == "1,2,3,4,KI\n1,2,3,4,DI\n"


def test_what_an_editor_restored_is_blank_in_gt_txt(tmp_path):
    tablet = on_one_face(Sign(name="KI", damage="broken", box=Box(0, 0, 1.5, 2)))
    assert ebl.write([tablet], tmp_path / "gt_b.txt").read_text() == "0,0,1.5,2,BLANK\n"
    assert ebl.lacking([tablet]) == ["1 sign that is broken away is written as BLANK"]


@pytest.mark.parametrize("row", ["1,2,3", "a,2,3,4,KI", "1,2,3,nan,KI", "KI"])
def test_a_line_without_four_numbers_is_named(tmp_path, row):
    with pytest.raises(UserError, match=r"gt_a.txt:2: .* does not begin with four numbers"):
        ebl.read(only(tmp_path / "gt_a.txt", f"1,2,3,4,KI\n{row}\n"))


EBL_SIGNS = signs(
    name=st.sampled_from(["KI", "|GA₂×AN|", "A, B", "5(DIŠ)"]), damage=st.just("damaged"), without=("reading",)
)


@hypothesis.settings(max_examples=30)
@hypothesis.given(tablets(EBL_SIGNS))
def test_gt_txt_holds_boxes_names_and_what_is_damaged(folder, table):
    tablet = made(table)
    [again] = ebl.read(ebl.write([tablet], folder / "gt_a.txt"))
    kept = [sign for sign in tablet.signs if sign.box is not None]
    assert [(s.box, s.name, s.damage) for s in again.signs] == [(s.box, s.name, s.damage) for s in kept]
    unboxed = len(tablet.signs) - len(kept)
    assert (f"{unboxed} sign" in " ".join(formats.left_out([tablet], "ebl"))) == (unboxed > 0)


# ---- CompVis

BOXES_CSV = """segm_idx,tablet_CDLI,view_desc,collection,mzl_label,train_label,bbox,relative_bbox
8,K1,Obv,test,737,100,"[120, 40, 140, 60]","[110, 20, 130, 40]"
8,K1,Obv,test,110,4,"[20, 45, 40, 65]","[10, 25, 30, 45]"
-1,K1,,test,0,0,"[300, 10, 310, 20]",[]
7,K1,Rev,test,737,100,"[20, 245, 40.5, 265]","[0, 0, 20.5, 20]"
3,K2,,test,737,100,"[1, 2, 3, 4]","[0, 0, 2, 2]"
"""
FACES_CSV = """segm_idx,tablet_CDLI,view_desc,collection,bbox,scale,assigned
8,K1,Obv,test,"[10, 20, 210, 120]",3.6,True
9,K1,,test,"[0, 0, 9, 9]",,False
5,K9,,test,"[0, 0, 9, 9]",,False
"""
LINES_CSV = """line_idx,x,y,segm_idx,tablet_CDLI
0,5,35,8,K1
0,150,30,8,K1
"""


def compvis_files(folder):
    (folder / "annotations").mkdir()
    (folder / "segments").mkdir()
    only(folder / "segments" / "tablet_segments_test.csv", FACES_CSV)
    only(folder / "annotations" / "line_annotations_test.csv", LINES_CSV)
    return only(folder / "annotations" / "bbox_annotations_test_full.csv", BOXES_CSV)


def test_compvis_tables_are_read_together(tmp_path):
    first, second = compvis.read(compvis_files(tmp_path))
    assert (first.id, second.id, first.extra) == ("K1", "K2", {"collection": "test"})
    obverse, reverse, rest = first.surfaces
    assert (obverse.id, obverse.kind, obverse.box) == ("8", "obverse", Box(10, 20, 210, 120))
    assert obverse.extra == {"compvis_scale": 3.6, "assigned": True}
    [line] = obverse.lines
    assert line.path == ((15.0, 55.0), (160.0, 50.0))
    assert [(sign.name, sign.box) for sign in line.signs] == [
        ("NA", Box(20, 45, 40, 65)),
        ("KI", Box(120, 40, 140, 60)),
    ]
    assert line.signs[1].extra == {"mzl_label": 737, "train_label": 100}
    assert (reverse.kind, reverse.box) == ("reverse", None)
    assert reverse.signs[0].box == Box(20, 245, 40.5, 265)
    assert (rest.kind, rest.id, rest.signs[0].name) == ("", "", None)


def test_lines_of_a_face_that_no_table_places_are_placed_by_its_boxes(tmp_path):
    path = compvis_files(tmp_path)
    (tmp_path / "segments" / "tablet_segments_test.csv").unlink()
    obverse = compvis.read(path)[0].surfaces[0]
    assert obverse.box is None
    assert obverse.lines[0].path == ((15.0, 55.0), (160.0, 50.0))


def test_compvis_tables_are_written_as_they_are_read(tmp_path):
    tablets = compvis.read(compvis_files(tmp_path))
    path = compvis.write(tablets, tmp_path / "out.csv")
    rows = path.read_text().splitlines()
    assert rows[0] == BOXES_CSV.splitlines()[0]
    wanted = [row.replace('"[0, 0, 20.5, 20]"', '"[20, 245, 40.5, 265]"').replace('"[0, 0, 2, 2]"', '"[1, 2, 3, 4]"')
              for row in BOXES_CSV.splitlines()]  # without a face's box its corner is the photograph's  # fmt: skip
    assert sorted(rows) == sorted(wanted)
    faces, lines = compvis.beside(path)
    assert faces.read_text().splitlines() == FACES_CSV.splitlines()[:2]
    assert lines.read_text() == LINES_CSV
    again = compvis.read(path)
    assert [replace(t, surfaces=()) for t in again] == [replace(t, surfaces=()) for t in tablets]
    assert [[s.box for s in t.signs] for t in again] == [[s.box for s in t.signs] for t in tablets]


def test_names_without_an_mzl_number_are_said():
    tablet = on_one_face(Sign(name="no such sign", box=Box(0, 0, 1, 1)), Sign(name="KI", box=Box(0, 0, 1, 1)))
    assert compvis.lacking([tablet]) == [
        "1 name has no MZL number of its own, so that other names or none come back: no such sign"
    ]
    assert compvis.number_of(Sign(name="KI")) == 737
    assert compvis.number_of(Sign(name="KI", damage="broken")) == 0
    assert compvis.number_of(Sign(name="KI", extra={"mzl_label": 110})) == 737  # the name was corrected
    assert compvis.name_of(0) is None


def test_a_new_sign_gets_the_train_label_of_its_number(tmp_path):
    old = Sign(name="KI", box=Box(0, 0, 1, 1), extra={"mzl_label": 737, "train_label": 100})
    path = compvis.write([on_one_face(old, replace(old, extra={}), replace(old, name="NA"))], tmp_path / "a.csv")
    assert [row.split(",")[4:6] for row in path.read_text().splitlines()[1:]] == [
        ["737", "100"],
        ["737", "100"],
        ["110", "0"],
    ]


def test_faces_of_one_number_stay_two(tmp_path):
    face = Surface(
        id="4", kind="obverse", box=Box(0, 0, 9, 9), lines=(Line(kind="unplaced", signs=(Sign(box=Box(0, 0, 1, 1)),)),)
    )
    [again] = compvis.read(compvis.write([Tablet(id="P1", surfaces=(face, face))], tmp_path / "a.csv"))
    assert [(surface.id, len(surface.signs)) for surface in again.surfaces] == [("4", 1), ("0", 1)]


def test_compvis_tables_know_one_photograph_a_tablet(tmp_path):
    with pytest.raises(UserError, match="P1 has several photographs"):
        compvis.write([on_one_face(), on_one_face()], tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("bbox,relative", "box,relative", "lacks the column 'bbox'"),
        (
            '"[20, 45, 40, 65]"',
            '"20 45 40 65"',
            "bbox_annotations_test_full.csv:3: the box '20 45 40 65' is not of the form",
        ),
        ("110,4", "NA,4", ":3: a label is no whole number"),
        ('"[300, 10, 310, 20]",[]', '"[300, 10, 310, 20]"', ":4: not as many cells as columns"),
    ],
)
def test_a_bad_compvis_table_is_refused_in_a_sentence(tmp_path, old, new, sentence):
    path = compvis_files(tmp_path)
    assert old in BOXES_CSV
    only(path, BOXES_CSV.replace(old, new))
    with pytest.raises(UserError) as error:
        compvis.read(path)
    assert sentence in str(error.value)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    st.lists(
        table({
            "id": st.integers(0, 9).map(str), "kind": st.sampled_from(["", "obverse", "reverse", "Edge"]), "box": boxes(WHOLE),
            "signs": st.lists(table({"box": boxes(WHOLE)}, name=st.sampled_from(["KI", "NA", "MEŠ"])), min_size=1, max_size=4),
            "paths": st.lists(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=3), max_size=2),
        }),
        min_size=1, max_size=3, unique_by=lambda face: face["id"],
    )
)  # fmt: skip
def test_compvis_tables_hold_boxes_names_faces_and_lines(tmp_path_factory, tables):
    surfaces = []
    for face in tables:  # its signs stand on the nearest of its lines
        own = [records.from_dict(Sign, sign) for sign in face["signs"]]
        lines = drawn.on_lines(own, [Line(path=tuple(path)) for path in face["paths"]])
        surfaces.append(Surface(id=face["id"], kind=face["kind"], box=Box(*face["box"]), lines=lines))
    tablet = Tablet(id="P1", surfaces=tuple(surfaces))
    [again] = compvis.read(compvis.write([tablet], tmp_path_factory.mktemp("c") / "a.csv"))
    for before, after in zip(tablet.surfaces, again.surfaces, strict=True):
        assert (before.id, before.kind, before.box) == (after.id, after.kind, after.box)
        assert [line.path for line in before.lines] == [line.path for line in after.lines]
        assert [[(s.name, s.box) for s in line.signs] for line in before.lines] == [
            [(s.name, s.box) for s in line.signs] for line in after.lines
        ]
    assert held(again, "compvis") == held(tablet, "compvis")


# ---- DeepScribe

HOTSPOTS = [
    {
        "file_name": "PF 0001 a.jpg", "height": 200, "width": 300, "image_id": 12,
        "annotations": [
            {"bbox": [10.5, 20.0, 40.0, 60.0], "bbox_mode": 0, "sign": "KI", "reading": "ki", "sign_id": "u-1",
             "reading_id": "u-2", "category_id": 5},
            {"bbox": [50.2, 20.0, 30.4, 40.0], "bbox_mode": 1, "sign": "NA", "reading": "", "category_id": 9},
        ],
        "tablet": "invented",
    },
    {"file_name": "b.jpg", "height": 20, "width": 30, "image_id": 13, "annotations": []},
]  # fmt: skip


@pytest.mark.parametrize("shape", ["lists", "dicts"])
def test_hotspots_come_back_as_they_were(tmp_path, shape):
    document = HOTSPOTS
    if shape == "dicts":
        document = {
            f"p{i}": {**entry, "annotations": {f"a{k}": row for k, row in enumerate(entry["annotations"])}}
            for i, entry in enumerate(HOTSPOTS)
        }
    tablets = deepscribe.read(only(tmp_path / "a.json", json.dumps(document)))
    first, second = tablets[0].signs
    assert tablets[0].photograph == Photograph(file="PF 0001 a.jpg", width=300, height=200)
    assert (first.name, first.reading, first.box) == ("KI", "ki", Box(10.5, 20, 40, 60))
    assert (second.name, second.reading) == ("NA", None)
    assert second.box == Box(50.2, 20, 50.2 + 30.4, 60)
    assert json.loads(deepscribe.write(tablets, tmp_path / "b.json").read_text()) == document


def test_a_new_sign_gets_the_category_of_its_name(tmp_path):
    [tablet, _] = deepscribe.read(only(tmp_path / "a.json", json.dumps(HOTSPOTS)))
    new = [Sign(name=name, box=Box(0, 0, 1, 1)) for name in ("GUL", "NA", "KI", "A")]
    line = Line(kind="unplaced", signs=(*tablet.signs, *new))
    path = deepscribe.write([replace(tablet, surfaces=(Surface(lines=(line,)),))], tmp_path / "b.json")
    rows = json.loads(path.read_text())[0]["annotations"]
    assert [row["category_id"] for row in rows] == [5, 9, 11, 9, 5, 10]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("5", "is no list of photographs"),
        ('[{"file_name": "a", "width": 1, "height": 1}]', "photograph 0 cannot be read (KeyError: 'annotations')"),
        ('{"p": 4}', "photograph p cannot be read"),
        (
            '[{"file_name": "a", "width": 1, "height": 1, "annotations": [{"bbox": [1, 2, 3, 4], "bbox_mode": 4}]}]',
            "bbox_mode 4",
        ),
    ],
)
def test_bad_hotspots_are_refused_in_a_sentence(tmp_path, document, sentence):
    with pytest.raises(UserError) as error:
        deepscribe.read(only(tmp_path / "a.json", document))
    assert sentence in str(error.value)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    tablets(
        signs(
            {"box": boxes()}, name=NAMES.filter(bool), reading=WORDS.filter(bool), damage=st.just("damaged"),
            extra=st.just({"sign_id": "u-3"}), without=("marks",),
        ),
        tablet={"photograph": table({"file": WORDS, "width": st.just(9), "height": st.just(8)})},
    )
)  # fmt: skip
def test_hotspots_hold_boxes_names_readings_and_scores(folder, table):
    tablet = made(table)
    [again] = deepscribe.read(deepscribe.write([tablet], folder / "d.json"))
    assert again.photograph == tablet.photograph

    def kept(sign):
        return sign.name, sign.reading, sign.box, sign.score, sign.extra.get("sign_id")

    assert list(map(kept, again.signs)) == list(map(kept, tablet.signs))


def test_what_an_editor_restored_is_no_hotspot(tmp_path):
    tablet = on_one_face(
        Sign(name="KI", reading="ki", damage="broken", box=Box(0, 0, 1, 1)), photograph=HERE.photograph
    )
    [again] = deepscribe.read(deepscribe.write([tablet], tmp_path / "d.json"))
    assert (again.signs[0].name, again.signs[0].reading) == (None, None)


HERE = Tablet(id="P1", photograph=Photograph(file="P1.jpg", width=300, height=200))


# ---- cuneiform text


def test_cuneiform_text_is_cut_into_the_longest_signs(tmp_path):
    [tablet] = cuneiform.read(only(tmp_path / "K 1.txt", "1'. 𒆠   𒀀𒇉x\n2. [𒈾\ufffd...]𒆠\n\n\n𒀀𒆠\n"))
    assert tablet.id == "K 1"
    first, second = tablet.surfaces
    assert [line.label for line in first.lines] == ["1'", "2"]
    assert [(s.name, s.word) for s in first.lines[0].signs] == [("KI", 0), ("|A.LAGAB×HAL|", 1), (None, 1)]
    assert [(s.name, s.reading, s.damage) for s in first.lines[1].signs] == [
        ("NA", None, "broken"), (None, None, "broken"), (None, "...", "broken"), ("KI", None, "intact"),
    ]  # fmt: skip
    assert [s.name for s in second.signs] == ["A", "KI"]


def names_of(characters):
    return signlist.load().written(characters)[0].name


def test_cuneiform_text_says_what_is_lost_and_what_unicode_has_not(tmp_path):
    bare = next(entry.name for entry in signlist.load().entries if not entry.chars)
    row = (
        Sign(name="KI"), Sign(reading="na"), Sign(name="MA", damage="broken"), Sign(damage="broken"), Sign(name=bare), Sign(),
        Sign(name="A", marks=("omitted",)),
    )  # fmt: skip
    tablet = Tablet(id="P1", surfaces=(Surface(lines=(Line(signs=row), Line(kind="state", text="$ rest broken"))),) * 2)
    path = cuneiform.write([tablet], tmp_path / "a.txt")
    assert path.read_text() == "𒆠𒈾[𒈠x]xx\n\n𒆠𒈾[𒈠x]xx\n"
    assert cuneiform.lacking([tablet]) == [
        f"2 signs are written as x, since Unicode has no characters for them: {bare}",
        "2 signs left out: left out by the scribe, or punctuation",
    ]


def test_signs_that_run_together_are_said():
    run = tuple(Sign(name=name) for name in ("A", "AN"))
    tablet = Tablet(id="P1", surfaces=(Surface(lines=(Line(signs=run),)),))
    assert names_of(cuneiform.characters(run[0]) + cuneiform.characters(run[1])) == "|A.AN|"
    assert cuneiform.lacking([tablet]) == ["1 line is read back with other names: signs run together, or are variants"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("𒆠 b", "a.txt:2:3: 'b' is no cuneiform"),
        ("[𒆠[", "a.txt:2:3: '[' stands where a bracket is open"),
        ("𒆠]", "a.txt:2:2: ']' stands where no bracket is open"),
        ("[𒆠", "a.txt:2:2: a bracket is still open"),
    ],
)
def test_what_is_no_cuneiform_is_named_with_line_and_column(tmp_path, row, sentence):
    with pytest.raises(UserError) as error:
        cuneiform.read(only(tmp_path / "a.txt", f"𒆠\n{row}\n"))
    assert sentence in str(error.value)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    st.lists(st.lists(st.tuples(st.integers(0, 399), st.booleans()), min_size=1, max_size=3), min_size=1, max_size=2)
)
def test_cuneiform_text_comes_back_unless_it_says_that_it_does_not(folder, rows):
    names = [entry.name for entry in signlist.load().entries if entry.chars]
    lines = tuple(
        Line(signs=tuple(Sign(name=names[i], damage="broken" if broken else "intact") for i, broken in row))
        for row in rows
    )
    tablet = Tablet(id="a", surfaces=(Surface(lines=lines),))
    [again] = cuneiform.read(cuneiform.write([tablet], folder / "a.txt"))
    assert (again == tablet) == (cuneiform.lacking([tablet]) == [])


# ---- all of them


def everything(folder):
    """A tablet in every format, by name."""
    tablet = replace(EXAMPLE, id="P1", surfaces=EXAMPLE.surfaces[:1])
    files = {
        "json": "a.json", "coco": "coco.json", "page": "a.xml", "ebl": "gt_a.txt", "compvis": "a.csv",
        "deepscribe": "d.json", "cuneiform": "c.txt", "atf": "a.atf",
    }  # fmt: skip
    return {name: formats.write([tablet], folder / file, name) for name, file in files.items()}


def test_every_format_is_known_by_its_content(tmp_path):
    made = everything(tmp_path)
    assert made.keys() == formats.FORMATS.keys()
    for name, path in made.items():
        assert formats.recognise(path) == name
        other = path.rename(tmp_path / f"{name}.data")
        assert formats.recognise(other) == name
        assert formats.read(other)[0].surfaces


def test_a_format_is_taken_from_the_ending(tmp_path):
    for file, name in {
        "a.json": "json",
        "b.xml": "page",
        "c.csv": "compvis",
        "d.atf": "atf",
        "gt_e.txt": "ebl",
        "f.TXT": "cuneiform",
    }.items():
        assert formats.recognise(formats.write([EXAMPLE], tmp_path / file)) == name
    with pytest.raises(UserError, match="says no format: say which it should be, one of json, coco"):
        formats.write([EXAMPLE], tmp_path / "a.doc")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("hello", "has no format that is known by its content: say which it is, one of json, coco"),
        ("<TEI/>", "is XML, but not PAGE: its root is 'TEI'"),
        ('{"a": {}}', "is JSON, but neither edubba.tablets/1 nor COCO nor DeepScribe"),
        ('{"a": 1,}', "a.data:1:9: this is not JSON"),
        ("", "has no format"),
    ],
)
def test_what_is_no_format_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = only(tmp_path / "a.data", content)
    with pytest.raises(UserError) as error:
        formats.read(path)
    assert sentence in str(error.value)


def test_formats_and_files_that_do_not_exist_are_named(tmp_path):
    with pytest.raises(UserError, match="there is no format 'tei': it must be one of json"):
        formats.write([EXAMPLE], tmp_path / "a.xml", "tei")
    with pytest.raises(UserError, match=r"none\.json does not exist"):
        formats.read(tmp_path / "none.json")


def test_a_folder_gets_a_file_a_photograph_and_is_read_as_a_whole(tmp_path):
    made = [
        replace(EXAMPLE, id=f"P{i}", photograph=Photograph(file=file, width=9, height=9))
        for i, file in enumerate(["a/x.jpg", "b\\x.jpg", "K 1/2.png", "y.jpg"])
    ]
    formats.write(made, tmp_path / "pages", "page")
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == ["2.xml", "x-2.xml", "x.xml", "y.xml"]
    assert formats.recognise(tmp_path / "pages") == "page"
    assert sorted(formats.read(tmp_path / "pages"), key=lambda t: t.id) == made
    assert formats.file_names([Tablet(id="a/b:c"), Tablet(id="..")], "ebl") == ["gt_a_b_c.txt", "gt_tablet.txt"]


def test_one_bad_file_of_a_folder_is_named_and_the_rest_is_read(tmp_path):
    formats.write([EXAMPLE], tmp_path / "a.xml")
    only(tmp_path / "b.xml", "<PcGts>")
    only(tmp_path / ".hidden.xml", "<PcGts>")
    skipped = []
    assert formats.read(tmp_path, "page", skipped=skipped) == [EXAMPLE]
    assert [(Path(row.file).name, row.reason) for row in skipped] == [("b.xml", "invalid")]
    assert "b.xml:1:8: this is not XML" in skipped[0].detail
    with pytest.raises(UserError, match=r"b\.xml:1:8"):
        formats.read(tmp_path, "page")
    with pytest.raises(UserError, match=r"b\.xml"):
        formats.recognise(tmp_path)


def test_converting_says_what_was_left_out(tmp_path):
    source = formats.write([EXAMPLE], tmp_path / "a.json")
    assert formats.convert(source, tmp_path / "b.json", to_format="json") == []
    said = formats.convert(source, tmp_path / "gt_a.txt")
    assert "1 photograph left out: no place for it in eBL's gt_<image>.txt" in said
    assert "2 steps of their history left out: no place for them in eBL's gt_<image>.txt" in said
    assert "1 sign without a box left out: no place for it in eBL's gt_<image>.txt" in said
    assert not any(" boxes " in sentence for sentence in said)
    assert any(s.startswith("4 boxes left out") for s in formats.convert(source, tmp_path / "c.txt"))
    assert formats.convert(source, tmp_path / "d.xml") == []


def test_a_conversion_is_noted_in_the_tablet(tmp_path):
    source = formats.write([EXAMPLE], tmp_path / "a.json")
    formats.convert(source, tmp_path / "b.xml")
    [after] = formats.read(tmp_path / "b.xml")
    step = after.steps[-1]
    assert (step.what, step.settings) == ("convert", {"from": "json", "to": "page", "source": "a.json"})
    assert step.by.startswith("edubba ")
    assert after.steps[:-1] == EXAMPLE.steps


def test_a_conversion_overwrites_nothing(tmp_path):
    source = formats.write([EXAMPLE], tmp_path / "a.json")
    only(tmp_path / "b.xml", "mine")
    only(tmp_path / "tablet_segments_c.csv", "mine")
    for target in ("b.xml", "c.csv", "a.json"):
        with pytest.raises(UserError, match="exists: choose another name, or delete it first"):
            formats.convert(source, tmp_path / target)
    assert (tmp_path / "b.xml").read_text() == (tmp_path / "tablet_segments_c.csv").read_text() == "mine"


def test_a_conversion_of_a_folder_names_the_bad_files(tmp_path):
    (tmp_path / "in").mkdir()
    formats.write([EXAMPLE], tmp_path / "in" / "a.xml")
    only(tmp_path / "in" / "b.xml", "<PcGts>")
    [bad] = formats.convert(tmp_path / "in", tmp_path / "out.json")
    assert "b.xml:1:8: this is not XML" in bad
    assert len(formats.read(tmp_path / "out.json")) == 1
    only(tmp_path / "in" / "a.xml", "<a>")
    with pytest.raises(UserError, match="holds nothing that can be converted"):
        formats.convert(tmp_path / "in", tmp_path / "out2.json")


def test_what_atf_has_wrong_is_said_when_it_is_converted(tmp_path):
    source = only(tmp_path / "a.atf", "&P1 = K 1\n#atf: lang akk\n@tablet\n@obverse\n1. a-na [x\n2. ki\n")
    said = formats.convert(source, tmp_path / "a.json")
    assert len(said) == 1
    assert said[0].startswith("P1, line 1, column ")


def test_photographs_give_sizes_to_formats_that_have_none(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "K.4782.png")
    path = only(tmp_path / "gt_K.4782.txt", "1,2,3,4,KI\n")
    [tablet] = formats.read(path, images=tmp_path)
    assert tablet.photograph is not None
    assert (tablet.photograph.file, tablet.photograph.width, tablet.photograph.height) == ("K.4782.png", 30, 20)
    bare = formats.read(path)
    assert formats.left_out(bare, "coco") == [
        "1 box left out: the size of the photograph is not known, so name its folder (images)"
    ]
    assert coco.document(bare)["annotations"] == []
    assert [row.reason for row in checking.check(bare, tmp_path)[1]] == ["no-photograph"]
    table = only(tmp_path / "t.csv", BOXES_CSV.replace("K2", "K.4782"))
    assert [t.photograph is None for t in formats.read(table, images=tmp_path)] == [True, False]


def test_real_annotations_survive_every_format_that_has_boxes(real, tmp_path):
    some = [real[0], real[100]]
    for name in ("page", "ebl", "compvis", "deepscribe"):
        target = tmp_path / name if formats.FORMATS[name].single else tmp_path / f"{name}.data"
        again = {tablet.id.removeprefix("LMU_"): tablet for tablet in formats.read(formats.write(some, target, name))}
        for tablet in some:
            before = Counter((sign.name, *(round(v) for v in sign.box)) for sign in tablet.signs)
            after = Counter((sign.name, *(round(v) for v in sign.box)) for sign in again[tablet.id].signs)
            lost = sum((before - after).values())
            assert lost <= (0 if name != "compvis" else 0.02 * len(tablet.signs)), name


@pytest.mark.parametrize(
    ("file", "tablet"), [("gt_K.1-0", "K.1"), ("gt_K.1-12", "K.1"), ("gt_K.1", "K.1"), ("gt_BM.1-a", "BM.1-a")]
)
def test_faces_of_one_tablet_stay_together(tmp_path, file, tablet):
    [found] = ebl.read(only(tmp_path / f"{file}.txt", "1,2,3,4,KI\n"))
    page = training.Page(found, np.zeros((9, 9), np.uint8), np.zeros((0, 4)), (), np.zeros((0, 4)), "")
    assert page.group == tablet
    assert found.id == file.removeprefix("gt_")


def test_a_photograph_with_a_blank_in_its_name_gives_a_valid_heading(tmp_path):
    line = Line(label="1", signs=(Sign(name="KI", reading="ki"),))
    tablet = Tablet(id="IMG 0001 (2)", name="a letter", surfaces=(Surface(lines=(line,)),))
    [again] = formats.read(formats.write([tablet], tmp_path / "a.atf"))
    assert (again.id, again.name) == ("IMG_0001_(2)", "a letter")


@pytest.mark.parametrize("to", ["coco", "atf"])
def test_a_folder_is_no_file_to_convert_to(tmp_path, to):
    (tmp_path / "out").mkdir()
    only(tmp_path / "gt_a.txt", "1,2,3,4,KI\n")
    with pytest.raises(UserError, match="is a folder: name the file to write"):
        formats.convert(tmp_path / "gt_a.txt", tmp_path / "out", to_format=to)
