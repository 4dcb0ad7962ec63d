"""The sign list answers in every usual spelling, and can be corrected by a file."""

import csv
import gzip
import hashlib
import io
import json
import tarfile
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.tablets import signlist

DATA = Path(__file__).parents[3] / "shared" / "data"
KNOWN = signlist.load()
SIGNS = st.sampled_from(KNOWN.entries)


def shared(name):
    if not (DATA / name).exists():
        pytest.skip("needs ../shared/data, which is not here")
    return DATA / name


def test_the_list_that_ships_is_the_one_of_the_commit_it_names():
    packed = resources.files("edubba").joinpath("data/signlist.json.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == "94bced7b76db9a2b40ba390c5de37253e90fe28a3e4845ba303097fe8dbabf28"
    assert KNOWN.version == "OSL 7749a4b"
    assert (len(KNOWN.entries), sum(bool(e.chars) for e in KNOWN.entries)) == (3241, 2420)
    assert sum(bool(e.mzl) for e in KNOWN.entries) == 818
    assert sum(bool(e.abz) for e in KNOWN.entries) == 784


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("KI", "KI"), ("ki", "KI"), (" KI ", "KI"), ("|GA₂×AN|", "|GA₂×AN|"), ("GA₂×AN", "|GA₂×AN|"),
        ("|GA2xAN|", "|GA₂×AN|"), ("|GÁ×AN|", "|GA₂×AN|"), ("U2", "U₂"), ("Ú", "U₂"), ("ŠU₂", "ŠU₂"), ("SZU2", "ŠU₂"),
        ("ḪA", "HA"), ("S,I", "ZE₂"), ("TÍ", "TI₂"), ("ká", "KA₂"), ("ÁŠ", "AŠ₂"), ("DU@g", "DU@g"), ("GAN2@t", "GAN₂@t"),
        ("LAK46a", "LAK046a"), ("N8", "N8"), ("N08", "N08"), ("4(BAN2@v)", "4(BAN₂@v)"),
        ("MEŠ", "|ME.U.U.U|"), ("NA₄", "|NI.UD|"), ("HI×BAD", "|HI×BAD|"), ("|GA₂×NUN&NUN|", "|GA₂×(NUN&NUN)|"),
        ("GAZ", "|GUM×ŠE|"), ("|KA×BAR|", "|URU×BAR|"), ("5", "5(DIŠ)"), ("05", "5(DIŠ)"), ("1", "DIŠ"), ("10", "U"), ("20", "|U.U|"), ("60", "6(U)"),
    ],
)  # fmt: skip
def test_a_name_is_found_in_any_spelling(spelled, name):
    entry = KNOWN.find(spelled)
    assert entry is not None
    assert entry.name == name
    assert KNOWN.parts(spelled) == (entry,)


@pytest.mark.parametrize("spelled", ["", " ", "FOO", "UNKNOWN", "0", "AN+FOO", "kuₓ", "|", "."])
def test_what_is_no_sign_is_none(spelled):
    assert KNOWN.find(spelled) is None
    assert KNOWN.parts(spelled) == ()


@pytest.mark.parametrize(
    ("spelled", "names"),
    [
        ("AN+AK", ["AN", "AK"]), ("I+NA", ["I", "NA"]), ("AN+EN.ZU", ["AN", "EN", "ZU"]), ("AK.KI.I", ["AK", "KI", "I"]),
        ("|KI.(A×B)|", []), ("15", ["U", "5(DIŠ)"]), ("11", ["U", "DIŠ"]), ("150", ["MIN", "|U.U.U|"]), ("120", ["MIN"]),
    ],
)  # fmt: skip
def test_ligatures_and_numerals_are_their_parts(spelled, names):
    assert [entry.name for entry in KNOWN.parts(spelled)] == names


@given(SIGNS)
def test_every_sign_is_found_by_its_name_without_bars_in_ascii_and_by_its_parts(entry):
    assert KNOWN.find(entry.name) is entry
    ascii_ = entry.name.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉×", "0123456789x"))
    for spelled in (entry.name.replace("|", ""), ascii_.replace("Š", "SZ"), ascii_.replace("H", "Ḫ")):
        if "X" not in entry.name:  # the unknown sign X and the sign × cannot both be an x
            assert KNOWN.find(spelled) is entry
    assert KNOWN.find(signlist.shown(entry.name)) is entry


@given(SIGNS)
def test_every_sign_is_found_by_its_readings_numbers_and_characters(entry):
    for value in entry.readings:
        if not value.endswith("?"):
            assert entry in KNOWN.read_as(value)
    for number in entry.mzl:
        assert entry in KNOWN.numbered(mzl=number)
        assert entry in KNOWN.numbered(mzl=f"MZL{number.zfill(3)}")
    for number in entry.abz:
        assert entry in KNOWN.numbered(abz=number)
    if entry.chars:
        assert entry in KNOWN.written(entry.chars)
        assert entry in KNOWN.written(entry.codepoints)
        assert all(0x12000 <= ord(c) <= 0x1254F for c in entry.chars)


@pytest.mark.parametrize(
    ("spelled", "names"),
    [
        ("ki", ["KI"]), ("šu₂", ["ŠU₂"]), ("szu2", ["ŠU₂"]), ("šú", ["ŠU₂"]), ("ŠÚ", ["ŠU₂"]), ("šù", ["EŠ₂"]),
        ("s,i", ["ZE₂"]), ("t,up", ["DUB"]), ("ḫa", ["HA"]), ("qé", ["KI"]), ("šùb", ["|PA.IB|"]), ("ŋa₂", ["GA₂"]),
        ("ja2", ["GA₂"]), ("ga2", ["GA₂"]), ("dijir", ["AN"]), ("1(disz)", ["DIŠ"]), ("5(u)", ["5(U)"]), ("d", ["AN"]),
        ("'a", ["ALEPH"]), ("foo₉", []), ("", []), ("id₅", ["A"]),
    ],
)  # fmt: skip
def test_a_reading_is_found_in_any_spelling(spelled, names):
    assert [entry.name for entry in KNOWN.read_as(spelled)] == names


def test_a_reading_may_have_g_where_the_list_has_its_own_letter():
    other = [v for e in KNOWN.entries for v in e.readings if "ŋ" in v and v.replace("ŋ", "g") not in KNOWN._read]
    assert len(other) > 10
    for value in other:
        assert KNOWN.read_as(value.replace("ŋ", "g")) == KNOWN.read_as(value) or "ₓ" in value


def test_an_index_that_is_written_out_counts_more_than_an_accent():
    assert [signlist.normal(r) for r in ("á₃", "àš2", "á", "ÁŠ", "qàl")] == ["a₃", "aš₂", "a₂", "aš₂", "qal₃"]


def test_only_unknown_indices_leave_a_reading_open():
    several = {value for entry in KNOWN.entries for value in entry.readings if len(KNOWN.read_as(value)) > 1}
    assert {"kuₓ", "barₓ"} < several
    assert all("ₓ" in value for value in several)


def test_a_reading_that_the_list_doubts_gives_way():
    [sure] = KNOWN.read_as("gaz")
    assert sure.name == "|GUM×ŠE|"
    assert "gaz?" in KNOWN.find("GUM").readings
    assert KNOWN.read_as("gaz₂") == (KNOWN.find("GUM"),)


def test_numbers_are_found_padded_or_not_and_the_detectors_sign_comes_first():
    [an] = KNOWN.numbered(mzl="010")
    assert an.name == "AN"
    assert KNOWN.numbered(mzl=10) == KNOWN.numbered(mzl="MZL010") == KNOWN.numbered(mzl="10") == (an,)
    assert [e.name for e in KNOWN.numbered(mzl=737)] == ["KI"]
    assert [e.name for e in KNOWN.numbered(abz="ABZ461")] == ["KI"]
    assert {e.name for e in KNOWN.numbered(mzl=174)} == {"GAN₂", "|AŠ.GAN₂|"}
    assert [e.name for e in KNOWN.numbered(mzl=851)] == ["ZA"], "a number that only the detectors' table has"
    assert KNOWN.numbered(mzl=9999) == ()
    assert signlist.mzl_names()["754"] == "MEŠ"
    with pytest.raises(UserError, match="by one number, MZL or ABZ"):
        KNOWN.numbered()


def test_characters_may_be_several_or_none():
    assert KNOWN.find("KI").chars == "𒆠"
    assert KNOWN.find("KI").codepoints == "U+121A0"
    assert len(KNOWN.find("|A.AN|").chars) == 2
    assert KNOWN.find("LAK240").chars == "", "Unicode has it not"
    assert KNOWN.find("|A.LAGAB×MU|").chars == "", "a part of it is missing in Unicode"
    assert KNOWN.written("𒈨𒌍") == ()
    with pytest.raises(UserError, match="'U\\+XYZ' names no characters"):
        KNOWN.written("U+XYZ")


def levenshtein(a, b):
    """Slowly, by definition: digits of an index cost half a letter."""

    def weight(c):
        return 1 if c in signlist.LIGHT else 2

    row = [0]
    for c in b:
        row.append(row[-1] + weight(c))
    for c in a:
        new = [row[0] + weight(c)]
        for j, d in enumerate(b):
            new.append(
                min(row[j] + (0 if c == d else max(weight(c), weight(d))), row[j + 1] + weight(c), new[j] + weight(d))
            )
        row = new
    return row[-1]


WORD = st.text("abšu₂₃", max_size=6)


@given(WORD, st.lists(WORD.filter(bool), min_size=1, max_size=8, unique=True), st.integers(1, 4))
def test_the_nearest_are_those_of_the_definition(key, keys, n):
    near = signlist.nearest(key, keys, names=keys, n=n)
    distances = [levenshtein(key, other) for other in keys]
    assert len(near) == min(n, len(keys))
    assert [levenshtein(key, other) for other in near] == sorted(distances)[: len(near)]


def test_the_nearest_names_and_readings_are_told():
    assert KNOWN.nearest("GARR", n=2) == ["GAR", "GAR₃"] or KNOWN.nearest("GARR", n=2)[0] in ("GAR", "GAR₃")
    assert KNOWN.nearest("|GA2xANN|", n=1) == ["|GA₂×AN|"]
    assert set(KNOWN.nearest_readings("geme")) == {"geme₂", "geme₃", "gemeₓ"}
    assert len(KNOWN.nearest("FOO")) == 3


@given(st.text("aeiušsz,t'hḫŋjgk₂3xáàÁQ@~(1)", max_size=8))
def test_the_one_spelling_of_a_reading_is_its_own(text):
    once = signlist.normal(text)
    assert signlist.normal(once) == once


# ---- corrections


def corrections(tmp_path, rows, kind):
    path = tmp_path / f"mine.{kind}"
    if kind == "json":
        path.write_text(json.dumps(rows), "utf-8")
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", "field", "value"])
        writer.writeheader()
        writer.writerows(rows)
    return path


ROWS = [
    {"name": "LAK240", "field": "codepoints", "value": "U+12000 U+12001"},
    {"name": "KI", "field": "chars", "value": "𒆡"},
    {"name": "ki", "field": "readings", "value": "+QQI2 -gagar"},
    {"name": "DI", "field": "mzl", "value": "1 2"},
    {"name": "DI", "field": "abz", "value": ""},
]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_corrections_change_what_they_name_and_the_version(tmp_path, kind):
    mine = signlist.load(corrections(tmp_path, ROWS, kind))
    assert mine.find("LAK240").chars == "\U00012000\U00012001"
    assert mine.find("KI").chars == "𒆡"
    assert [e.name for e in mine.read_as("qqi2")] == ["KI"]
    assert "gagar" not in mine.find("KI").readings
    assert "qi₂" in mine.find("KI").readings
    assert (mine.find("DI").mzl, mine.find("DI").abz) == (("1", "2"), ())
    assert mine.version.startswith("OSL 7749a4b+")
    assert signlist.load() is KNOWN
    assert KNOWN.find("KI").chars == "𒆠"
    assert len(mine.entries) == len(KNOWN.entries)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": "KKI", "field": "chars", "value": "𒆡"}, "correction 1: no sign is called 'KKI'; the nearest are "),
        (
            {"name": "KI", "field": "shape", "value": "a"},
            "there is no field 'shape': it must be one of chars, codepoints",
        ),
        ({"name": "KI", "field": "chars", "value": "ki"}, "'ki' are no cuneiform characters"),
        ({"name": "KI", "field": "codepoints", "value": "U+41"}, "'U\\+41' are no cuneiform characters"),
        ({"name": "KI", "field": "codepoints", "value": "U+GG"}, "'U\\+GG' names no characters"),
        ({"name": "KI", "value": "a"}, "needs name, field and value"),
    ],
)
def test_a_wrong_correction_is_named(tmp_path, row, said):
    with pytest.raises(UserError, match=said):
        signlist.load(corrections(tmp_path, [row], "json"))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no file of corrections .*none\.csv"):
        signlist.load(tmp_path / "none.csv")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json cannot be read as json"):
        signlist.load(tmp_path / "bad.json")


# ---- names of the project's data


def resolved(names):
    """How many names, and how many signs under them, are a sign of the list or several; which are not."""
    left = [name for name in names if not KNOWN.parts(name)]
    return len(names) - len(left), sum(names.values()) - sum(names[name] for name in left), left


def test_the_names_of_the_photographs_are_signs_of_the_list():
    coco = json.loads(shared("tablets/annotations_coco.json").read_bytes())
    count = Counter(box["category_id"] for box in coco["annotations"])
    names = {category["name"]: count[category["id"]] for category in coco["categories"]}
    assert (len(names), sum(names.values())) == (389, 11856)
    assert resolved(names) == (388, 11855, ["UNKNOWN"])
    for category in coco["categories"]:
        entry = KNOWN.find(category["name"])
        if entry is not None and category["codepoints"] and category["name"] != "USSU":
            assert entry.chars == category["codepoints"], category["name"]


def test_the_names_of_the_crops_are_signs_of_the_list():
    expected = {"labels.csv": (137, 9500, []), "rare.csv": (270, 1245, ["KUₓ", "DIVIDING_SIGN"])}
    with tarfile.open(shared("signs_cdp.tar.gz")) as tar:
        for member in tar:
            file = Path(member.name).name
            if file in expected:
                rows = csv.DictReader(io.TextIOWrapper(tar.extractfile(member), "utf-8"))
                assert resolved(Counter(row["label"] for row in rows)) == expected.pop(file)
            if not expected:
                break  # the crops need not be unpacked
    assert not expected


def test_it_is_the_list_of_the_shared_data():
    ours = resources.files("edubba").joinpath("data/signlist.json.gz").read_bytes()
    assert gzip.decompress(ours) == gzip.decompress(shared("tablets_texts/signlist.json.gz").read_bytes())
