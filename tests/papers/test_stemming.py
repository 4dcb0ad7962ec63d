"""Many texts stemmed at once say what the index itself would say of each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.papers import words

pytest.importorskip("tantivy", reason="needs the extra papers")
from edubba.papers import engines, stemming

PARTS = st.sampled_from([
    "COVID-19", "covid 19x", "SARS-CoV-2", "2019-nCoV", "novel  coronavirus", "Wuhan", "viruses", "The", "of", "naïve", "Ångström",
    "β-coronaviruses", "α", "٣", "a_b", "x²", "—", ", ", "\n", "\t", "\0", "\xa0", "‐", "i̇", "ﬁ", "漢字", "é", "-", "/", "'s", "running", "A" * 45,
])  # fmt: skip


@pytest.fixture(scope="module")
def analyze(tmp_path_factory):
    return engines.open(tmp_path_factory.mktemp("index"), "tantivy").words.analyze


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.one_of(PARTS, st.text(max_size=6)), max_size=12).map(" ".join), max_size=5))
def test_stems_are_those_of_the_index(analyze, texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    name = analyze(words.NAME)[0]
    made = stemming.Stemmer(analyze).stem(texts)
    assert len(made) == len(texts)
    for text, stems in zip(texts, made, strict=True):
        asked = words.named(text) if text.isascii() else text
        kept = stems.split() if text.isascii() else [s for s in stems.split() if s != name]
        assert kept == analyze(asked)


def test_the_disease_is_named_as_often_as_in_a_query(analyze):
    text = "Naïve cells: COVID-19, SARS-CoV-2/2019-nCoV and novel coronavirus, not covid19x"
    assert stemming.Stemmer(analyze).stem([text])[0].split() == analyze(words.named(text))


def test_what_is_known_is_forgotten_before_it_takes_all_memory(analyze, monkeypatch):
    monkeypatch.setattr(stemming, "MOST", 2)
    stemmer = stemming.Stemmer(analyze)
    first = stemmer.stem(["one two three four"])
    assert stemmer.stem(["one two three four"]) == first
    stemmer.stem(["five"])
    assert set(stemmer.known) == {"five"}
