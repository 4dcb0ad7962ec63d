"""The native document: nothing is lost, and what is wrong in it is named."""

import json

import pytest

from edubba.core.errors import UserError
from edubba.tablets import records
from edubba.tablets.records import Box, Candidate, Evidence, Line, Photograph, Sign, Step, Surface, Tablet

KI = Sign(
    id="s1", name="KI", reading="ki", role="syllable", word=0, damage="damaged", marks=("uncertain", "collated"),
    box=Box(1, 2.5, 30, 42), score=0.0, candidates=(Candidate("KI", 0.75), Candidate("DI", 0.25)), abstained=True,
    evidence=(Evidence("KI", "P1 17", 0.5),), extra={"mzl_label": 737},
)  # fmt: skip
TABLET = Tablet(
    id="P1", name="K 1", language="akk", period="Neo-Assyrian",
    photograph=Photograph(file="P1.jpg", width=300, height=200, sha256="0" * 64),
    surfaces=(
        Surface(
            id="o", kind="obverse", column="1", box=Box(0, 0, 100, 100),
            lines=(Line(id="l", label="1'", signs=(KI, Sign(damage="broken")), path=((0.0, 1.5), (9.0, 2.0)), text=""),),
        ),
    ),
    steps=(Step(what="detect", by="edubba", when="2026-11-30", settings={"threshold": 0.5}),), extra={"split": "test"},
)  # fmt: skip


def written(tmp_path, tablets):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"format": "edubba.tablets/1", "tablets": tablets}))
    return path


def test_a_document_gives_back_what_was_written(tmp_path):
    assert records.read(records.write([TABLET, Tablet(id="")], tmp_path / "a.json")) == [TABLET, Tablet(id="")]


def test_fields_that_hold_their_default_are_left_out_and_only_these():
    assert records.to_dict(Sign(damage="broken", score=0.0)) == {"damage": "broken", "score": 0.0}
    assert records.to_dict(Line(text="")) == {"text": ""}  # somebody wrote an empty line: not the same as nobody did
    assert records.to_dict(Sign(name="", reading=None)) == {"name": ""}
    assert records.to_dict(Sign(word=0)) == {"word": 0}
    assert records.to_dict(Photograph(file="", width=0, height=0)) == {"file": "", "width": 0, "height": 0}


def test_whole_numbers_of_other_programs_become_the_numbers_of_a_field(tmp_path):
    path = written(tmp_path, [{"id": "P1", "surfaces": [{"box": [0, 0, 1, 1], "lines": [{"path": [[0, 1], [2, 3]]}]}]}])
    [tablet] = records.read(path)
    assert all(type(v) is float for v in tablet.surfaces[0].box)
    assert all(type(v) is float for point in tablet.surfaces[0].lines[0].path for v in point)


def test_null_is_what_is_not_known(tmp_path):
    table = {
        "id": "P1",
        "photograph": None,
        "surfaces": [{"box": None, "lines": [{"signs": [{"name": None, "role": None}]}]}],
    }
    surface = Surface(lines=(Line(signs=(Sign(),)),))
    assert records.read(written(tmp_path, [table])) == [Tablet(id="P1", surfaces=(surface,))]


def test_what_is_restored_is_no_ink():
    assert Sign(name="KI", damage="broken").restored
    assert Sign(reading="ki", marks=("omitted",)).restored
    assert not Sign(damage="broken").restored
    assert not Sign(name="KI", damage="damaged").restored
    assert Sign(name="KI", damage="damaged").ink


@pytest.mark.parametrize(
    ("tablets", "sentence"),
    [
        ([{"id": "P1", "colour": "red"}], "a tablet has no field 'colour'"),
        ([{"name": "K 1"}], "a tablet lacks its id"),
        ([{"id": 1}], "the id of a tablet cannot be 1"),
        ([["P1"]], "[\"P1\"] stands where a tablet should"),
        ([{"id": "P1", "surfaces": [{"box": [1, 2, 3]}]}], "the box of a surface cannot be [1, 2, 3]"),
        ([{"id": "P1", "surfaces": [{"box": [1, 2, 3, 4, 5]}]}], "the box of a surface cannot be [1, 2, 3, 4, 5]"),
        ([{"id": "P1", "surfaces": [{"lines": [{"kind": "prose"}]}]}], "the kind of a line cannot be \"prose\""),
        ([{"id": "P1", "surfaces": [{"lines": [{"signs": [{"score": True}]}]}]}], "the score of a sign cannot be true"),
        ([{"id": "P1", "surfaces": [{"lines": [{"signs": [{"marks": ["!"]}]}]}]}], "the marks of a sign cannot be [\"!\"]"),
        ([{"id": "P1", "surfaces": [{"lines": [{"path": [[1, 2, 3]]}]}]}], "the path of a line cannot be [[1, 2, 3]]"),
        ([{"id": "P1", "photograph": {"file": "a", "width": 1.5, "height": 2}}], "the width of a photograph cannot be 1.5"),
        ([{"id": "P1", "extra": []}], "the extra of a tablet cannot be []"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_named(tmp_path, tablets, sentence):
    with pytest.raises(UserError) as error:
        records.read(written(tmp_path, tablets))
    assert sentence in str(error.value)
    assert str(tmp_path / "a.json") in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"a": 1,\n  oh}', "a.json:2:3: this is not JSON (Expecting property name enclosed in double quotes)"),
        (b"", "a.json:1:1: this is not JSON"),
        (b"[\xff]", "a.json is not UTF-8 (byte 1)"),
        (b'{"a": NaN}', "a.json holds the number NaN"),
        (b'{"format": "edubba.tablets/2"}', "has format 'edubba.tablets/2', and this edubba reads 'edubba.tablets/1'"),
        (b"[]", "has format None"),
        (b'{"format": "edubba.tablets/1"}', "lacks its list of tablets"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_document_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        records.read(path)
    assert sentence in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        records.read(tmp_path / "none.json")
    with pytest.raises(UserError, match="is a folder"):
        records.read(tmp_path)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = records.write([TABLET], tmp_path / "a.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert records.read(path) == [TABLET]
