"""Sentences are places: together they hold the whole text, and what is quoted stands there to the letter."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.papers import sentences
from edubba.papers.sentences import Span

SHARED = Path(__file__).parents[3] / "shared" / "data" / "papers"


def said(text):
    return [text[a:b] for a, b in sentences.split(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Wang et al. (2020) found 5.2 days.|It was 4·8 days (95% CI 4.1-7.0).",
        "See Fig. 2 and Tab. 3, i.e. the last.|We used E. coli and S. aureus vs. none.",
        "The disease (COVID-19).(1, 2)|Their arguments hold.[3]|So do ours.",
        "We asked: why?|Nobody knew!|The end.",
        "Approx. 3 in 10, cf. Smith et al.|The rest was lost.",
        "BACKGROUND: It spreads.|METHODS: We counted 1.5 to 2.5 mg.",
        "“It is over.”|He left.",
        "One sentence without an end",
    ],
)
def test_golden(text):
    assert said(text.replace("|", " ")) == text.split("|")


@given(st.text(alphabet="aB1 .!?()[]“”\n,·é", max_size=80))
def test_nothing_is_lost_and_nothing_overlaps(text):
    spans = sentences.split(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    assert all(text[a:b] == text[a:b].strip() and a < b for a, b in spans)


@given(st.lists(st.integers(1, 9), max_size=9), st.integers(1, 4), st.integers(1, 3))
def test_windows_hold_every_sentence(lengths, size, stride):
    spans, at = [], 0
    for n in lengths:
        spans.append(Span(at, at + n))
        at += n + 1
    made = sentences.passages(spans, size=size, stride=min(size, stride))
    assert all(any(w.start <= s.start and s.end <= w.end for w in made) for s in spans)
    assert len(set(made)) == len(made)


def test_abstracts_are_cut_into_sentences_of_a_usual_length():
    path = SHARED / "scifact" / "corpus.parquet"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(path).slice(0, 400).to_pylist()
    hits = found = true = 0
    for row in rows:
        text, ends, at = " ".join(s.strip() for s in row["abstract"]), set(), 0
        for sentence in row["abstract"]:
            at += len(sentence.strip())
            ends.add(at)
            at += 1
        mine = {end for _, end in sentences.split(text)}
        hits, found, true = hits + len(mine & ends), found + len(mine), true + len(ends)
    assert hits / found > 0.97
    assert hits / true > 0.97


def test_a_real_full_text_is_quoted_to_the_letter():
    path = SHARED / "cord19_json_sample.json.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    import gzip

    document = json.loads(gzip.decompress(path.read_bytes()))
    for paragraph in document["body_text"]:
        text = paragraph["text"]
        assert "".join("".join(text[a:b].split()) for a, b in sentences.split(text)) == "".join(text.split())
