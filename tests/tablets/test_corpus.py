"""Texts as sequences, and nothing of what editors restored in them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edubba.core.errors import UserError
from edubba.tablets import corpus
from edubba.tablets.corpus import BREAK, LINE, LOST, UNREAD, Text, TextLine

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = {"839": "A", "110": "NA", "266": "LUGAL", "113": "BAD", "380": "NI"}
ROWS = [
    ("P1", "0", "0", "839", "1", "none"), ("P1", "0", "2", "266", "2", "none"), ("P1", "0", "1", "110", "1", "none"),
    ("P1", "0", "3", "113", "0", "none"), ("P1", "1", "0", "0", "0", "none"), ("P1", "1", "1", "0", "1", "none"),
    ("P1", "1", "2", "999", "1", "none"), ("P2", "0", "0", "380", "1", "test"),
]  # fmt: skip


def table(folder, rows=ROWS, columns=("tablet", "line", "pos", "mzl", "status", "photo_split")):
    path = folder / "signs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *[row[: len(columns)] for row in rows]])
    return path


def plain(id, *lines, photographed=False):
    made = tuple(TextLine(str(i + 1), tuple(line), tuple(t not in corpus.SPECIAL for t in line)) for i, line in enumerate(lines))  # fmt: skip
    return Text(id, made, photographed)


def test_a_table_gives_lines_in_order_without_what_was_restored(tmp_path):
    first, second = corpus.read(table(tmp_path), names=NAMES)
    assert [line.tokens for line in first.lines] == [("A", "NA", "LUGAL", BREAK), (BREAK, UNREAD, "MZL999")]
    assert [line.intact for line in first.lines] == [(True, True, False, False), (False, False, True)]
    assert (first.id, first.photographed, second.photographed) == ("P1", False, True)
    assert "BAD" not in first.tokens


def test_parquet_and_csv_say_the_same(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    columns = ("tablet", "line", "pos", "mzl", "status", "photo_split")
    made = {name: [row[i] if i in (0, 5) else int(row[i]) for row in ROWS] for i, name in enumerate(columns)}
    parquet.write_table(pyarrow.table(made), tmp_path / "signs.parquet")
    assert corpus.read(tmp_path / "signs.parquet", names=NAMES) == corpus.read(table(tmp_path), names=NAMES)


def test_a_row_of_a_text_joins_lines_and_shortens_long_breaks():
    text = plain("T", ["A", BREAK, BREAK, "NA"], ["A", BREAK, BREAK, BREAK], [BREAK] * 5, [BREAK] * 4, [LOST], ["NI"])
    assert text.tokens == [LINE, "A", BREAK, BREAK, "NA", LINE, "A", LOST, LINE, LOST, LINE, "NI", LINE]
    assert text.intact == [t in ("A", "NA", "NI") for t in text.tokens]
    assert text.line_of == [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 5, 5]


def test_atf_gives_readings_or_signs_and_neither_where_an_editor_restored(tmp_path):
    path = tmp_path / "a.atf"
    path.write_text(
        "&P1 = A\n#atf: lang akk\n@tablet\n@obverse\n1. um-[ma] szu-u2-[ma]\n2. a-na# {d}[x x] x [...] _lugal_\n"
    )
    [text] = corpus.read(path, tokens="readings")
    assert text.lines[0].tokens == ("um", BREAK, "šu", "u₂", BREAK)
    assert text.lines[1].tokens == ("a", "na", "{d}", BREAK, BREAK, UNREAD, LOST, "LUGAL")
    assert text.lines[1].intact == (True, False, True, False, False, False, False, True)
    assert text.lines[0].label == "obverse 1"
    [text] = corpus.read(tmp_path, tokens="signs")
    assert text.lines[0].tokens == ("UM", BREAK, "ŠU", "U₂", BREAK)
    assert text.lines[1].tokens[:3] == ("A", "NA", "AN")


def test_places_are_whole_and_within_a_line():
    texts = [plain("T", ["A", "NA", "NI"], ["A", BREAK, "NA", "NI"])]
    assert corpus.places(texts, 2).tolist() == [[0, 1], [0, 2], [0, 7]]
    assert corpus.places(texts, 1, where="start").tolist() == [[0, 1], [0, 5]]
    assert corpus.places(texts, 2, where="end").tolist() == [[0, 2], [0, 7]]
    assert corpus.places(texts, 4).tolist() == []


def test_split_keeps_photographs_and_texts_whole_and_apart():
    rng = np.random.default_rng(0)
    texts = [plain(f"T{i}", rng.choice(list("ABCDEFGHIJ"), 30), photographed=i < 3) for i in range(100)]
    parts = corpus.split(texts, seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 78, "validation": 10, "test": 12, "copies": 0}
    assert {t.id for t in parts["test"]} >= {"T0", "T1", "T2"}
    assert sorted(t.id for part in parts.values() for t in part) == sorted(t.id for t in texts)
    assert corpus.split(texts, seed=0) == parts
    assert corpus.split(texts, seed=1) != parts


def test_a_copy_never_stands_on_the_other_side_of_the_split():
    rng = np.random.default_rng(1)
    letters = list("ABCDEFGHIJ")
    texts = [plain(f"T{i}", rng.choice(letters, 40)) for i in range(50)]
    texts += [plain(f"C{i}", [*text.lines[0].tokens[:30], *rng.choice(letters, 4)]) for i, text in enumerate(texts)]
    parts = corpus.split(texts, seed=0)
    where = {text.id: name for name, part in parts.items() for text in part}
    pairs = [(where[f"T{i}"], where[f"C{i}"]) for i in range(50)]
    assert all("copies" in pair or pair == ("train", "train") for pair in pairs)
    assert ("train", "train") in pairs
    assert all(where[f"T{i}"] != "copies" for i in range(50))


def test_of_two_copies_the_photographed_stays():
    rng = np.random.default_rng(1)
    long = rng.choice(list("ABCDEFGHIJ"), 40)
    texts = [plain("long", long), plain("short", long[:20], photographed=True)]
    texts += [plain(f"T{i}", rng.choice(list("ABCDEFGHIJ"), 40)) for i in range(20)]
    assert [t.id for t in corpus.split(texts, seed=0)["copies"]] == ["long"]


def test_vocabulary_knows_what_it_has_seen_and_what_it_is_told():
    known = corpus.vocabulary([plain("T", ["A", "NA", "A", BREAK])], names=["ZU"])
    assert known.names == ("A", "NA", "ZU")
    assert known.encode(["ZU", "QA", LINE]).tolist() == [len(known) - 1, known.number[UNREAD], known.number[LINE]]
    assert corpus.vocabulary([plain("T", ["A", "NA", "A"])], least=2).names == ("A",)


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        corpus.read(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"holds no sign table .* and no ATF"):
        corpus.read(tmp_path)
    path = table(tmp_path, columns=("tablet", "line", "pos", "mzl"))
    with pytest.raises(UserError, match="lacks the column 'status'"):
        corpus.read(path, names=NAMES)
    with pytest.raises(UserError, match="has no readings: take --tokens signs"):
        corpus.read(table(tmp_path), tokens="readings")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(UserError, match="is not a parquet file"):
        corpus.read(tmp_path / "broken.parquet", names=NAMES)
    (tmp_path / "broken.parquet").unlink()
    (tmp_path / "more").mkdir()
    table(tmp_path / "more")
    with pytest.raises(UserError, match="two texts called 'P1'"):
        corpus.read(tmp_path, names=NAMES)


def test_a_changed_mark_is_another_source():
    a, b = plain("T", ["A", "NA"]), plain("T", ["A", BREAK])
    assert corpus.fingerprint([a]) != corpus.fingerprint([b])


def test_the_neo_assyrian_texts_have_the_counts_of_their_description():
    path = SHARED / "tablets_texts" / "saa_signs.parquet"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    texts = corpus.read(path)
    assert len(texts) == 1899
    assert sum(sum(line.intact) for text in texts for line in text.lines) == 189_600
    assert sum(text.photographed for text in texts) == 32
    parts = corpus.split(texts, seed=0)
    assert not {t.id for t in parts["train"]} & {t.id for t in texts if t.photographed}


def test_numbers_for_tablets_and_missing_signs(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    made = {"tablet": [1, 1, 2], "line": [0, 0, 0], "pos": [0, 1, 0], "mzl": [839, None, 110], "status": [1, 1, 1]}
    parquet.write_table(pyarrow.table(made | {"photo_split": ["none", "none", "test"]}), tmp_path / "signs.parquet")
    first, second = corpus.read(tmp_path / "signs.parquet", names=NAMES)
    assert first.lines[0].tokens == ("A", UNREAD)
    assert (first.photographed, second.photographed) == (False, True)


def test_a_table_in_another_encoding_or_with_a_word_for_a_place_is_refused(tmp_path):
    (tmp_path / "signs.csv").write_bytes("tablet,line,pos,mzl,status\nP1,0,0,ŠU,1\n".encode("utf-16"))
    with pytest.raises(UserError, match="is not UTF-8"):
        corpus.read(tmp_path / "signs.csv", names=NAMES)
    with pytest.raises(UserError, match="and pos a number"):
        corpus.read(
            table(tmp_path, [("P1", "0", "first", "839", "1")], ("tablet", "line", "pos", "mzl", "status")), names=NAMES
        )
