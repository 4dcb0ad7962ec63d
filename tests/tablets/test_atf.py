"""ATF is read with every mark, its errors are named with line and column, and the same text comes back."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.tablets import records, signlist
from edubba.tablets.formats import atf
from edubba.tablets.formats.atf import compose, parse, parse_line, render
from edubba.tablets.records import Line, Sign, Surface, Tablet

DATA = Path(__file__).parents[3] / "shared" / "data" / "tablets_texts"
KNOWN = signlist.load()


def shared(name):
    if not (DATA / name).exists():
        pytest.skip("needs ../shared/data, which is not here")
    return DATA / name


def said(sign):
    """A sign in few letters: reading or `x` or `=NAME`, then D G N P L for its role, then what is wrong with it."""
    letter = {"determinative": "D", "gloss": "G", "number": "N", "punctuation": "P", "logogram": "L"}.get(sign.role, "")
    marks = "".join(
        {"uncertain": "?", "corrected": "!", "collated": "*", "doubtful": "~"}.get(m, f"<{m}>") for m in sign.marks
    )
    name = f"={sign.name}" if sign.reading is None and sign.name else ""
    damage = {"intact": "", "damaged": "#", "broken": "[]"}[sign.damage]
    return (sign.reading or name or "x") + letter + damage + marks


def words(line):
    """Signs of each word."""
    made = {}
    for sign in line.signs:
        made.setdefault(sign.word, []).append(said(sign))
    return [" ".join(made[word]) for word in sorted(made)]


GOLDEN = [
    ("a-na {d}[x x] EN-ia", ["a na", "dD x[] x[]", "enL ia"]),
    ("um-[ma] szu-u2-[ma]", ["um ma[]", "šu u₂ ma[]"]),
    ("[a-na] _{d}suen_-i-[din-nam]", ["a[] na[]", "dD suenL i din[] nam[]"]),
    ("s,i-[bi]-it {disz}[ku]-un-zu-lum", ["ṣi bi[] it", "dišD ku[] un zu lum"]),
    ("_a-[sza3_ s,i]-bi-it", ["aL ša₃L[]", "ṣi[] bi it"]),
    ("_[a-sza3_ s,i]-bi-it", ["aL[] ša₃L[]", "ṣi[] bi it"]),
    (
        "U₄!-BI? 20* [(ina)] 9.30 ina(DIŠ) MAŠ₂!(BAR)",
        ["u₄L! biL?", "20N*", "ina[]~", "9N 30N", "ina", "maš₂L!"],
    ),
    (
        "BABBAR# ina SAG GIR₂.TAB ma-ma NUN qat₂-[su DAB]{+bat}",
        ["babbarL#", "ina", "sagL", "gir₂L tabL", "ma ma", "nunL", "qat₂ su[]", "dabL[] batG"],
    ),
    (
        "[{lu₂}TUR] ina#? GU KI dele-bat a-lid DUMU#-MEŠ TUKU",
        ["lu₂D[] turL[]", "ina#?", "guL", "kiL", "dele bat", "a lid", "dumuL# mešL", "tukuL"],
    ),
    (
        "<30> <(ina)> 12 GU U₄-ME-šu₂ GID₂-MEŠ{{ir-ri-ku}}",
        ["30N<omitted>", "ina<omitted>", "12N", "guL", "u₄L meL šu₂", "gid₂L mešL irG riG kuG"],
    ),
    ("[AN] ina ALLA <<ALLA>>", ["anL[]", "ina", "allaL", "allaL<superfluous>"]),
    ("x+x# ti#* [x x x x x]", ["x x#", "ti#*", "x[] x[] x[] x[] x[]"]),
    ("x-lim-05-me", ["x lim 05N me"]),
    ("(x)", ["x~"]),
    ("[...]", ["...[]"]),
    ("[... -a]d", ["...[] ad#"]),
    ("[...-a]d", ["...[] ad#"]),
    (
        "$BI x X |DU.DU| |GA₂×AN| |DU&DU| |LAGAB&LAGAB| DU@g GAN₂@t 4(BAN₂)@v",
        ["=BIL", "x", "x", "=|DU.DU|L", "=|GA₂×AN|L", "=|DU&DU|L", "=|LAGAB&LAGAB|L", "=DU@gL", "=GAN₂@tL", "4(ban₂)N"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN)
def test_golden_lines(text, expected):
    line = parse_line(text)
    assert words(line) == expected
    assert not line.problems or "LAGAB&LAGAB" in text
    document = parse(f"1. {text}\n")
    assert render(document) == f"1. {text}\n"
    assert not document.problems
    for sign in line.signs:
        assert sign.ink == (sign.damage != "broken" and "omitted" not in sign.marks)
        assert sign.restored == (not sign.ink and (sign.reading or sign.name) is not None)


def test_signs_are_named_where_the_reading_or_the_editor_says_so():
    line = parse_line("a-na {d}[x x] EN-ia ina(DIŠ) MAŠ₂!(BAR) kuₓ kuₓ(DU) x(KI) 1(disz) 12 20 AZ/UG :")
    assert [sign.name for sign in line.signs] == [
        "A", "NA", "AN", None, None, "EN", "|I.A|", "DIŠ", "BAR", None, "DU", "KI", "DIŠ", None, "|U.U|", None, "P₂",
    ]  # fmt: skip
    assert [sign.reading for sign in line.signs[7:12]] == ["ina", "maš₂", "kuₓ", "kuₓ", None]
    assert line.signs[-2].extra["alternatives"] == ["AZ", "UG"]


def test_three_alphabets_give_one_reading():
    for texts in (
        ("szu2-s,i-t,up-'a", "šu₂-ṣi-ṭup-ʾa", "šú-ṣi-ṭup-ʾa"), ("ha", "ḫa"), ("jesz2", "ŋeš₂"),
        ("{1}ia", "{m}ia", "{disz}ia"), ("_an_", "AN"),
    ):  # fmt: skip
        assert len({str(parse_line(text).signs) for text in texts}) == 1


def test_half_brackets_damage_each_sign_inside():
    line = parse_line("⸢a-na {d}UTU⸣ ⸢šu⸣-u[l]-mi um⸢-ma⸣")
    assert words(line) == ["a# na#", "dD# utuL#", "šu# ul# mi", "um ma#"]


def test_what_a_bracket_cuts_is_damaged_and_what_stands_inside_is_broken():
    assert words(parse_line("szu-ul-mi[ka |KI.AN|] |[KI.AN]|")) == ["šu ul mika#", "=|KI.AN|L[]", "=|KI.AN|L[]"]
    assert words(parse_line("a-|[KI].AN| udun(|[U].MU|) [udun(|U.MU|)]")) == ["a =|KI.AN|L#", "udun#", "udun[]"]


def test_what_bracket_is_open_is_known_inside_signs_and_glosses():
    [line] = parse("1. a]d ki\n").texts[0].rows
    assert [said(sign) for sign in line.signs] == ["ad#", "ki"], "a part of it may be an editor's"
    assert words(parse_line("š⸢u₂⸣ (ki)#? [ba]# {{ir{ki}}}-ma")) == ["šu₂#", "ki#?~", "ba[]", "irG kiG ma"]
    assert words(parse_line("{{ir{d}}} ki")) == ["irG dG", "ki"]


def test_plain_numbers_are_named_where_one_sign_writes_them():
    assert [s.name for s in parse_line("1 2 9 10 12 50 60 05 0").signs] == [
        None, "MIN", "9(DIŠ)", "U", None, "5(U)", None, "5(DIŠ)", None,
    ]  # fmt: skip


def test_shifts_and_glosses_are_kept_with_the_sign():
    line = parse_line("_{d}utu 1(disz)_ %sux lugal %akk szar GAR{+an} {{ki-{d}a}} {(ba)} °a\\ba°-na <$ki$>")
    by = {(sign.reading, i): sign for i, sign in enumerate(line.signs)}
    assert [sign.extra for sign in line.signs[:5]] == [
        {"shift": True}, {}, {"shift": True}, {"language": "sux"}, {"language": "akk"},
    ]  # fmt: skip
    assert by["lugal", 3].role is None, "in Sumerian small letters tell no syllable"
    assert by["an", 6].role == "gloss"
    assert [sign.extra["gloss"] for sign in line.signs[7:11]] == ["linguistic"] * 3 + ["interlinear"]
    assert by["d", 8].role == "gloss", "what stands in a gloss belongs to it"
    assert [sign.marks for sign in line.signs[11:]] == [("erased",), (), (), ("erased",)]
    assert by["ba", 12].extra["over_erasure"]
    assert parse("#atf: lang sux\n1. lugal\n").texts[0].rows[1].signs[0].role is None


def test_normalised_words_and_other_alphabets_are_no_signs():
    for text in ("%n ana šarri [bēl]īya", "%arc dnt . hw$( w )n$", "%akk/n šumma <awīlum> šūkul(u)"):
        document = parse(f"1. {text}\n")
        assert not document.problems
        assert not document.texts[0].rows[0].signs
        assert render(document) == f"1. {text}\n"
    assert words(parse_line("MIN<(%a/n šigaru)> a-na")) == ["minL", "a na"], "the language ends with its bracket"


def test_dividers_are_no_signs_and_points_are():
    line = parse_line("a : b(KI) :: & | = / *(diš) * ba &4 ; ($ blank $) ki ^1^")
    assert [(s.reading, s.role) for s in line.signs if s.role == "punctuation"] == [
        (":", "punctuation"), ("::", "punctuation"), ("*", "punctuation"), ("*", "punctuation"),
    ]  # fmt: skip
    assert [s.reading for s in line.signs if s.role != "punctuation"] == ["a", "b", "ba", "ki"]


# ---- errors

WRONG = [
    ("a-na [x", 6, "'[' is not closed in its line: what follows it is taken as broken"),
    ("a-na x] EN", 7, "']' closes no '[': what stands before it in its line is taken as broken"),
    ("[[x]]", 2, "'[' stands inside the '[' of column 1: close that one before"),
    ("(x [x] x)", 4, "'[' stands inside the '(' of column 1: put round brackets inside square ones"),
    ("[(x] x)", 4, "']' comes before the '(' of column 2 is closed: put ')' before it"),
    ("a {d", 3, "'{' is not closed in its line: put '}' where it ends"),
    ("a {d na", 3, "'{' is not closed before its word ends: put '}' where the determinative ends"),
    ("a--na", 2, "'--' joins the parts of a name and of nothing else: write '-'"),
    ("a-na}", 5, "'}' closes nothing: put '{' where it begins, or leave it out"),
    ("a-na <ia", 6, "'<' is not closed in its line: put '>' where it ends"),
    ("⸢a-na", 1, "'⸢' is not closed in its line: put '⸣' where it ends"),
    ("_a-na", 1, "'_' opens what no second '_' closes: put one where the logograms end"),
    ("a-na ≠ ba", 6, "'≠' means nothing here: leave it out, or write before it what it belongs to"),
    ("a-na \\ba", 6, "'\\\\' means nothing here: leave it out, or write before it what it belongs to"),
    ("# a ?", 5, "'?' means nothing here: leave it out, or write before it what it belongs to"),
]


@pytest.mark.parametrize(("text", "column", "sentence"), WRONG)
def test_what_is_wrong_is_named_with_line_and_column_and_the_rest_goes_on(text, column, sentence):
    content = f"&P1 = K 1\n@obverse\n1. a-na\n2'. {text}\n3. ki\n"
    document = parse(content, path="a.atf", dialect="c-atf")
    assert [(p.line, p.column, p.sentence) for p in document.problems] == [(4, column + 4, re.sub(
        r"column (\d+)", lambda m: f"column {int(m[1]) + 4}", sentence))]  # fmt: skip
    assert render(document) == content
    [tablet] = atf.tablets_of(document)
    first, second, third = tablet.surfaces[0].lines
    assert (first.extra, third.extra) == ({}, {})
    assert second.extra["problems"][0].startswith(f"column {column + 4}: ")
    assert second.text == text
    if document.problems[0].doubt:
        atf.check(document)
        assert parse_line(text).problems[0].column == column
    else:
        with pytest.raises(UserError, match=rf"^a\.atf:4:{column + 4}: "):
            atf.check(document)
        with pytest.raises(UserError, match=re.escape(f"column {column}: ")):
            parse_line(text, dialect="c-atf")


def test_names_may_have_two_hyphens():
    for text in ("{disz}ia--{d}utu", "BE--iz-bi", "{d}a--na"):
        assert not parse_line(text, dialect="c-atf").problems
    assert not parse_line("a--dan-nisz", dialect="oracc").problems


@pytest.mark.parametrize("text", ["a-na [x ki", "a ki] na", "a-n[a", "[a-na]] ba", "a]b ki", "[a [b] c] d"])
def test_where_brackets_are_wrong_nothing_doubtful_is_ink(text):
    """By hand: whatever stands after an opened bracket, or before a closed one, may be an editor's."""
    inside = text.index("[") if "[" in text else -1
    tokens = parse(f"1. {text}\n").texts[0].rows[0].tokens
    for token in tokens:
        if token.sign is None or token.sign.reading not in ("x", "ki", "b", "c", "na") or token.sign.damage != "intact":
            continue
        at = token.column - 4
        opened = [i for i, c in enumerate(text) if c == "[" and i < at]
        closed = [i for i, c in enumerate(text) if c == "]" and i >= at]
        assert len(opened) <= len([i for i, c in enumerate(text) if c == "]" and i < at]), (text, token, inside)
        assert len(closed) <= len([i for i, c in enumerate(text) if c == "[" and i >= at]), (text, token)


ROWS = [
    ("1 a-na\n", 1, 2, "a point is missing after the number: write '1.'"),
    ("1.a-na\n", 1, 3, "a space is missing after the number and its point"),
    ("a-na\n", 1, 1, "a line begins with a number and a point, or with one of & # @ $: this one does not"),
    ("@obvrse\n1. a\n", 1, 2, "'@obvrse' is no object, surface or division of ATF: the nearest is '@obverse'"),
    ("&P123\n1. a\n", 1, 6, "a text begins with its number and name: write '&P123456 = NAME'"),
    ("&\n1. a\n", 1, 2, "a text begins with its number and name: write '&P123456 = NAME'"),
]


@pytest.mark.parametrize(("content", "line", "column", "sentence"), ROWS)
def test_wrong_rows_are_named_and_kept(content, line, column, sentence):
    document = parse(content)
    assert [p[:3] for p in document.problems] == [(line, column, sentence)]
    assert render(document) == content


def test_a_line_without_its_point_is_read_all_the_same():
    [row] = parse("1 a-na\n").texts[0].rows
    assert (row.kind, row.label, [s.reading for s in row.signs]) == ("text", "1", ["a", "na"])


def test_unknown_readings_and_signs_are_told_with_the_nearest():
    document = parse("&P1 = K\n1. a-na geme-ia foo₉\n2. ina(QQ) ku-KAAM\n")
    found = atf.unknown(document)
    assert [(p.line, p.column) for p in found] == [(2, 9), (2, 17), (3, 4), (3, 15)]
    assert all(p.doubt for p in found)
    assert "no sign is read 'geme'; the nearest readings are " in found[0].sentence
    assert "geme₂" in found[0].sentence
    assert "no sign is called 'QQ'; the nearest are " in found[2].sentence
    assert [p.column for p in parse_line("a-na foo₉").problems] == [6]


# ---- gaps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a-na {d}[x x] EN-ia", [(3, 5, 2, 1, False)]),
        ("1'. a-na {d}[x x] EN-ia", [(3, 5, 2, 1, False)]),
        ("[x x x-ma] x", [(0, 3, 3, 0, False), (4, 5, 1, 1, True)]),
        ("[...]-ma", [(0, 1, None, 0, False)]),
        ("[x ... x]", [(0, 3, None, 0, False)]),
        ("a-[x] [x]-na", [(1, 3, 2, 0, False)]),
        ("a-[na] <ki> AZ/UG", []),
        ("", []),
    ],
)
def test_gaps_of_a_typed_line(text, expected):
    assert [tuple(gap) for gap in parse_line(text).gaps] == expected


# ---- documents

CATF = """&P254756 = BIN 07, 030
#atf: lang akk
@tablet
@obverse
@column 1
1. a-na lu2-igi-sa6
#tr.en: to Lu-igisa
$ single ruling
2'-3'. qi2-bi2-ma#
@column 2
a+1. [x x]-ma
@reverse?
$ rest broken
@envelope
@seal 1
1. szu-ma
"""
ORACC = """&P334215 = SAA 10 001
#project: saao/saa10
#atf: lang na
#key: musno=K 13000

@obverse
1.\t[a-na] {LU2}ENGAR be-li-[ni]
#lem: ana[to]PRP; ikkaru[farmer]N; u
1.13′.\t%n ina šikari
== %sb DINGIR-MEŠ GAL#-MEŠ#
>> A Seg.1, 1

@translation labeled en project

@(1) [To] the 'farmer', [our] lord:
    May the lord live.

$ (Break)
&P334164 = SAA 10 002
#project: saao/saa10
@score matrix parsed word
A₁_obv_i_1:\t[x x] ki
"""
EBL = """@obverse
1. [AN] ina ALLA <<ALLA>>
2. %n ana šarri
#note: something
$ 3 lines broken
3. U₄!-BI? ⸢ḫi⸣-pi₂ °KUR\\KI°
"""


@pytest.mark.parametrize(("content", "dialect"), [(CATF, "c-atf"), (ORACC, "oracc"), (EBL, "ebl")])
def test_documents_come_back_to_the_letter_and_through_records(content, dialect, tmp_path):
    document = parse(content)
    assert document.dialect == dialect
    assert not document.problems
    assert render(document) == content
    windows = content.replace("\n", "\r\n").removesuffix("\r\n")
    assert render(parse(windows)) == windows
    tablets = atf.tablets_of(document)
    path = atf.write(tablets, tmp_path / "a.atf")
    squeezed = [" ".join(row.split()) for row in content.split("\n") if row.strip()]
    assert [" ".join(row.split()) for row in path.read_text("utf-8").split("\n") if row.strip()] == squeezed
    assert atf.read(path) == tablets
    assert records.read(records.write(tablets, tmp_path / "a.json")) == tablets, "native documents hold all of it"


def test_a_c_atf_text_as_records():
    [tablet] = atf.tablets_of(parse(CATF))
    assert (tablet.id, tablet.name, tablet.language) == ("P254756", "BIN 07, 030", "akk")
    assert tablet.extra == {"dialect": "c-atf", "protocol": ["#atf: lang akk"]}
    assert [(s.kind, s.column, s.extra["object"], len(s.lines)) for s in tablet.surfaces] == [
        ("obverse", "1", "tablet", 4), ("obverse", "2", "tablet", 1), ("reverse?", "", "tablet", 1), ("seal 1", "", "envelope", 1),
    ]  # fmt: skip
    lines = tablet.surfaces[0].lines
    assert [(line.kind, line.label, line.text) for line in lines] == [
        ("text", "1", "a-na lu2-igi-sa6"), ("note", "", "#tr.en: to Lu-igisa"), ("state", "", "$ single ruling"),
        ("text", "2'-3'", "qi2-bi2-ma#"),
    ]  # fmt: skip
    assert [sign.reading for sign in lines[0].signs] == ["a", "na", "lu₂", "igi", "sa₆"]


def test_an_object_of_which_nothing_is_said_is_kept():
    content = "&P1 = K 1\n@tablet\n@envelope\n@obverse\n1. a\n@bulla\n"
    [tablet] = atf.tablets_of(parse(content))
    assert [(s.extra["object"], s.kind) for s in tablet.surfaces] == [
        ("tablet", ""),
        ("envelope", "obverse"),
        ("bulla", ""),
    ]
    assert atf.written([tablet]) == content


def test_translations_are_kept_and_are_no_text():
    first, second = atf.tablets_of(parse(ORACC))
    notes = [line.text for line in first.surfaces[0].lines if line.kind == "note"]
    assert "@(1) [To] the 'farmer', [our] lord:\n    May the lord live.\n$ (Break)" in notes
    assert [line.label for line in first.surfaces[0].lines if line.kind == "text"] == ["1", "1.13′", "=="]
    assert [line.label for line in second.surfaces[0].lines] == ["A₁_obv_i_1:"]


def test_lines_are_composed_for_another_dialect_and_where_nobody_wrote_them(tmp_path):
    tablets = atf.tablets_of(
        parse(CATF + "2. _{d}utu_-szu2 %sux lugal-e 1(disz) ha\n3. %n ana šarri\n", dialect="c-atf")
    )
    path = atf.write(tablets, tmp_path / "a.atf", dialect="ebl")
    text = path.read_text("utf-8")
    assert "1. a-na lu₂-igi-sa₆\n" in text
    assert "2. {d}UTU-šu₂ %sux lugal-e 1(diš) ḫa\n" in text
    assert "3. %n ana šarri\n" in text, "words that are no signs stay as written"
    signs = tuple(Sign(name=name, word=0) for name in ("KI", "LAK240", "|GA₂×AN|", None, "DU@g"))
    made = Tablet(id="P1", surfaces=(Surface(kind="top edge", lines=(
        Line(signs=signs), Line(kind="unplaced", signs=signs[:1]), Line(kind="note", text="seen"), Line(kind="state", text="broken"),
    )),))  # fmt: skip
    assert atf.written([made]) == (
        "&P1 = P1\n#atf: lang akk\n@tablet\n@top edge\n1. KI-LAK240-|GA2xAN|-x-DU@g\n# unplaced: KI\n# seen\n$ broken\n"
    )
    again = atf.tablets_of(parse(atf.written([made])))[0].surfaces[0].lines[0].signs
    assert [sign.name for sign in again] == [sign.name for sign in signs]


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("[x] [x]", "c-atf"), ("[x x] [x-x]", "c-atf"), ("[x x (x) (x)]", "c-atf"), ("TUR{+[da]-ki}", "ebl"),
        ("{lu₂-[giš]}TUR", "ebl"), ("°a\\ba°-°ki\\na°", "ebl"), ("°\\ba° °ki\\°", "ebl"), ("$KI-ba", "oracc"), ("a--na", "oracc"),
        ("_a_-[_sza3_]", "c-atf"), ("a-na%sux", "c-atf"), ("<$a <ba>$>", "oracc"),
    ],
)  # fmt: skip
def test_what_an_editor_wrote_is_composed_again(text, dialect):
    signs = parse_line(text, dialect=dialect).signs
    assert parse_line(compose(signs, dialect=dialect), dialect=dialect).signs == signs


def test_lost_signs_of_a_word_are_parted_by_hyphens_where_brackets_come_between():
    signs = (Sign(damage="broken", word=0), Sign(damage="broken", marks=("doubtful",), word=0, extra={"joiner": " "}))
    assert compose(signs) == "[x-(x)]"
    assert compose((signs[0], signs[0])) == "[x-x]"


@given(st.sampled_from([e.name for e in KNOWN.entries if e.name != "X"]), st.sampled_from(["c-atf", "oracc", "ebl"]))
def test_every_name_survives(name, dialect):
    for role in (None, "logogram"):
        [sign] = parse_line(compose([Sign(name=name, role=role, word=0)], dialect=dialect), dialect=dialect).signs
        assert sign.name == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KI", "KI"), ("MEŠ", "MEŠ"), ("UN", "UN"), ("UŠ₂", "x(UŠ₂)"), ("AN+AK", "x(AN+AK)"), ("DIVIDING_SIGN", "x(DIVIDING_SIGN)"),
        ("UnclearSign", "x(UnclearSign)"), ("DU@g", "DU@g"),
    ],
)  # fmt: skip
def test_names_of_detectors_are_written_as_they_are_said(name, text):
    assert compose([Sign(name=name)], dialect="oracc") == text


def test_tables_of_texts_are_read(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    rows = [{"id": "P7", "title": "X", "period": "Old Babylonian", "museum": "BM 1", "atf": CATF}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode() + b"\n\n"))
    [tablet] = atf.read(path)
    assert (tablet.id, tablet.name, tablet.period, tablet.extra["museum"]) == ("P7", "X", "Old Babylonian", "BM 1")
    assert tablet.surfaces == atf.tablets_of(parse(CATF))[0].surfaces


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("none.atf", None, r"none\.atf does not exist"),
        ("a.atf", "1. šu".encode("latin2"), r"a\.atf is not UTF-8 \(byte 3\)"),
        ("a.atf.gz", b"1. a", r"a\.atf\.gz is not packed with gzip"),
        ("a.jsonl", b'{"atf": "1. a"}\n{"id": 1}\n', r"a\.jsonl:2: this is no JSON object with the field 'atf'"),
        ("a.jsonl", b"1. a\n", r"a\.jsonl:1: this is no JSON object"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=match):
        atf.read(tmp_path / name)


# ---- laws

READINGS = ["a", "na", "šu₂", "ṣi", "ṭup", "ʾa", "ha", "ŋa₂", "ku", "foo₉", "kuₓ"]
ROLES = st.sampled_from(["syllable", "syllable", "logogram", "determinative", "gloss"])
DAMAGE = st.sampled_from(["intact", "intact", "damaged", "broken"])
MARKS = st.sets(
    st.sampled_from(["uncertain", "corrected", "collated", "doubtful", "omitted", "superfluous", "erased"]), max_size=2
)
ORDER = ("uncertain", "corrected", "collated", "doubtful", "omitted", "superfluous", "erased")


SYLLABLES = [
    {"reading": r, "name": KNOWN.read_as(r)[0].name if len(KNOWN.read_as(r)) == 1 else None} for r in READINGS
]  # fmt: skip
SPECIAL = [
    {}, {"extra": {"unread": "X"}}, {"reading": "..."}, {"reading": "3(diš)", "name": KNOWN.find("3(DIŠ)").name, "role": "number"},
    {"reading": "ina", "name": "DIŠ", "role": "syllable"}, {"name": "|GA₂×AN|", "role": "logogram"},
]  # fmt: skip


@st.composite
def lines(draw):
    """Fields of signs as a reader of ATF makes them."""
    made, word = [], 0
    for i in range(draw(st.integers(1, 8))):
        fresh = i > 0 and draw(st.integers(0, 2)) == 0
        word += fresh
        sign, role, chosen = dict(draw(st.sampled_from(SPECIAL + SYLLABLES))), draw(ROLES), draw(MARKS)
        gap = sign.get("reading") == "..."
        glossed = role in ("determinative", "gloss") and "role" not in sign and not gap
        if not glossed and (gap or "role" in sign or "reading" not in sign):
            role = sign.get("role")
        extra = dict(sign.get("extra", {}))
        if role == "determinative":
            chosen -= {"doubtful"}  # `{(` opens another kind of gloss
        if "omitted" in chosen and draw(st.booleans()):
            extra["left_out"] = True
        if made and not fresh and glossed and made[-1]["role"] == role and draw(st.booleans()):
            extra["joiner"] = "-"
        sign["marks"] = tuple(mark for mark in ORDER if mark in chosen and (not gap or mark in ORDER[3:]))
        sign["damage"] = "broken" if gap else draw(DAMAGE)
        made.append(sign | {"role": role, "word": word, "extra": extra})
    return made


@settings(max_examples=150)
@given(lines(), st.sampled_from(["c-atf", "oracc", "ebl"]))
def test_what_is_composed_is_read_as_the_same_signs(fields, dialect):
    signs = tuple(Sign(**row) for row in fields)
    text = compose(signs, dialect=dialect)
    assert dialect != "c-atf" or text.isascii()
    again = parse_line(text, dialect=dialect)
    assert [p for p in again.problems if "no sign" not in p.sentence] == []
    assert again.signs == signs, text


PIECES = st.sampled_from(
    [*"[]()<>{}_-. #?!*|°\\/:&=$%@~'ax1₂šXK", "⸢", "⸣", "<<", ">>", "<(", ")>", "{+", "{{", "}}", "{(", ")}", "...", "a-na", "x", "KI", "1(disz)",
     "%sux ", "%n ", "($ blank $)", "|GA₂×AN|", "\t", "→", "szu2", "{d}", "<$", "$>", "\u0301"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=20).map("".join), st.sampled_from(["c-atf", "oracc", "ebl"]))
def test_any_line_comes_back_to_the_letter(text, dialect):
    content = f"1. {text}\n2. a-na\n"
    document = parse(content, dialect=dialect)
    assert render(document) == content
    [first, second] = document.texts[0].rows
    assert [s.reading for s in second.signs] == ["a", "na"], "what is open ends with its line"
    for token in first.tokens:
        assert content[token.column - 1 :].startswith(token.text)
    for problem in document.problems:
        assert problem.line == 1
        assert 1 <= problem.column <= len(text) + 4


@given(st.text("&@#$.:123'ab -[]\n\r\x0b\x85\u2028=é", max_size=60))
def test_any_file_comes_back_to_the_letter(content):
    document = parse(content)
    assert render(document) == content
    assert [row.number for text in document.texts for row in text.rows] == list(
        range(1, 1 + len(re.findall(r"[^\n]*\n|[^\n]+", content)))
    )
    atf.written(atf.tablets_of(document))


# ---- real texts


def whole(script, path):
    """What a script prints about the texts of a file. Apart, so that types are not checked two million times."""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


LETTERS = """
import gzip, json, sys
from collections import Counter
from edubba.tablets.formats.atf import compose, parse, render
from edubba.tablets.formats.atf_tokens import tokens_of
from edubba.tablets.signlist import load
kinds, signs, named, composed, wrong, texts = Counter(), 0, 0, 0, [], 0
for i, line in enumerate(gzip.open(sys.argv[1])):
    row = json.loads(line)
    document = parse(row["atf"], path=row["id"])
    texts += 1
    wrong += [row["id"], *document.problems] if document.problems or document.dialect != "c-atf" else []
    wrong += [row["id"]] if render(document) != row["atf"] else []
    for row in document.texts[0].rows:
        kinds[row.kind] += 1
        signs += len(row.signs)
        named += sum(sign.name is not None for sign in row.signs)
        if i % 10 == 0 and row.kind == "text" and not any(t.kind in ("comment", "divider") for t in row.tokens):
            again, problems = tokens_of(compose(row.signs), signs=load())
            composed += 1
            wrong += [row.written] if problems or tuple(t.sign for t in again if t.sign) != row.signs else []
print(json.dumps([kinds, signs, named, composed, wrong, texts]))
"""


def test_old_babylonian_letters_are_read_whole():
    kinds, signs, named, composed, wrong, texts = whole(LETTERS, shared("abb_catf.jsonl.gz"))
    assert wrong == []
    assert texts == 1285
    assert kinds == {
        "header": 1285, "protocol": 1285, "object": 1305, "surface": 2819, "text": 26406, "state": 969, "column": 131, "note": 146,
    }  # fmt: skip
    assert sum(kinds.values()) == 34346
    assert (signs, named) == (202228, 191834)
    assert composed > 2000


SAMPLES = """
import json, sys, tarfile
from pathlib import Path
from edubba.tablets.formats.atf import parse, render
texts, wrong, signs = 0, [], 0
with tarfile.open(sys.argv[1]) as tar:
    for member in tar:
        if member.name.endswith(".atf"):
            content = tar.extractfile(member).read().decode("utf-8-sig")
            document = parse(content, path=Path(member.name).name)
            texts += sum(text.id != "" for text in document.texts)
            signs += sum(len(row.signs) for text in document.texts for row in text.rows)
            wrong += [(document.path, problem.line, problem.column) for problem in document.problems]
            wrong += [document.path] if render(document) != content else []
print(json.dumps([texts, signs, wrong]))
"""


def test_oracc_texts_are_read_whole_but_for_the_bad_one():
    texts, signs, wrong = whole(SAMPLES, shared("oracc_atf_samples.tar.gz"))
    assert wrong == [["bad.atf", 1, 9]]
    assert (texts, signs) == (592, 135296)
