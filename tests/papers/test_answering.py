"""Answers are quotations of different studies, numbers are pooled once a study, and nothing is answered without support."""

import json

import numpy as np
import pytest

from edubba import cli
from edubba.core.errors import UserError
from edubba.papers import answering, building, library, passages
from edubba.papers.spec import Build

PERIODS = (
    ("a", "The median incubation period was 4.0 days (95% CI 3.5-4.5).", ""), ("b", "Median incubation period was 5 days (95% CI 2 to 6).", ""),
    ("c", "The median incubation period was 9 days (95% CI 8-10).", ""), ("d", "The mean incubation period was 6.4 days.", ""),
    ("e", "We assumed a median incubation period of 30 days.", ""), ("f", "It was previously reported that the median incubation period is 3 days.", ""),
    ("g", "The median incubation period of SARS was 2 days.", "SARS in 2003: a look back at what was learned then"),
)  # fmt: skip


@pytest.fixture
def made(tmp_path, engine, cord19):
    rows = [
        cord19.paper(0)
        | {
            "cord_uid": uid,
            "doi": f"10.5555/{uid}",
            "title": title or f"COVID-19 cases in the town of {uid * 9}",
            "abstract": text,
        }
        for uid, text, title in PERIODS
    ]
    rows += [
        rows[0] | {"cord_uid": "copy", "doi": "10.1101/2020.02.07.939389"},  # the same study as a preprint
        cord19.paper(0) | {"cord_uid": "m", "doi": "10.5555/m", "title": "On masks of many kinds in hospitals", "abstract": "Masks prevent infection of nurses. Rain fell."},
        cord19.paper(0) | {"cord_uid": "n", "doi": "10.5555/n", "title": "More about masks in hospitals", "abstract": "We aimed to show that masks prevent infection of nurses. In nurses, masks prevent infection by half."},
    ]  # fmt: skip
    building.build(cord19.release(tmp_path / "cord19", rows), tmp_path / "library", Build(engine=engine))
    return library.open(tmp_path / "library")


def test_numbers_are_pooled_once_a_study_and_means_apart_from_medians(made):
    (pooled,) = answering.ask(made, "What is the incubation period of COVID-19?").pooled
    assert (pooled.kind, pooled.studies, pooled.middle, pooled.low, pooled.high) == ("median", 3, 5.0, 4.0, 9.0)
    assert (pooled.intervals, pooled.agreeing) == (3, 1)
    assert "g" not in pooled.ids
    assert len({*pooled.ids} & {"a", "copy"}) == 1


def test_sentences_that_answer_are_quoted_not_those_that_ask(made):
    found = answering.ask(made, "Do masks prevent infection of nurses?")
    assert not found.abstained
    assert {q.passage.text for q in found.quotations} == {
        "Masks prevent infection of nurses.", "In nurses, masks prevent infection by half.",
    }  # fmt: skip
    for q in found.quotations:
        assert q.record.abstract[q.passage.start : q.passage.end] == q.passage.text
        assert q.covered == pytest.approx(1)


@pytest.mark.parametrize("question", ["What is the capital of France?", "", "Does rain fall?"])
def test_nothing_is_answered_without_two_papers(made, question):
    found = answering.ask(made, question)
    assert found.quotations == ()
    assert "an answer needs two" in found.abstained


def test_no_answers_are_not_asked_for(made):
    with pytest.raises(UserError, match="-k 0: one paper at least"):
        answering.ask(made, "do masks help", k=0)


def test_the_verb(made, capsys):
    line = ["papers", "ask", "Do masks prevent infection of nurses?", "--library", str(made.path)]
    assert cli.run(line) == 0
    assert "“Masks prevent infection of nurses.”" in capsys.readouterr().out
    assert cli.run([*line, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["quotations"]) == 2
    assert cli.run(["papers", "ask", "Where is Atlantis?", "--library", str(made.path)]) == 4
    assert "no answer: no paper of this library" in capsys.readouterr().out


def test_pairs_neighbours_and_numbers_count():
    sentences = [["mask", "help"], ["help", "other", "mask"], ["mask", "rest"], ["noth"]]
    said = ["Masks help.", "Help other masks.", "Masks rest 5 days.", "Nothing."]
    (score,) = passages.scores([sentences], [said], ["mask", "help"], "do masks help")
    assert score.argmax() == 0
    assert score[3] > 0  # it stands beside a sentence that fits
    (asked,) = passages.scores([sentences], [said], ["mask", "help"], "how many masks help")
    assert asked[2] == pytest.approx(score[2] + passages.NUMBERS)
    assert passages.scores([], [], ["a"], "a") == []


def test_vectors_count_where_words_are_missing():
    sentences = [["mask", "help"], ["cover", "protect"], ["rain"]]
    said, near = ["Masks help.", "Covers protect.", "Rain."], np.array([0.1, 0.9, 0.2])
    (words_alone,) = passages.scores([sentences], [said], ["mask", "help"], "do masks help")
    (said_all,) = passages.scores([sentences], [said], ["mask", "help"], "do masks help", near)
    np.testing.assert_array_equal(said_all, words_alone)  # one sentence has every word
    (half,) = passages.scores([sentences], [said], ["mask", "protect", "child"], "do masks protect children")
    (joined,) = passages.scores([sentences], [said], ["mask", "protect", "child"], "do masks protect children", near)
    unsaid = 1 - 1 / 3
    expected = half + 2 * unsaid * half.std() * (near - 0.1) / near.std()
    np.testing.assert_allclose(joined, expected)
    assert (joined >= half).all()
