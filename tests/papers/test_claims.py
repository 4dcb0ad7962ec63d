"""Claims: what is compared, which side papers are on, when a verdict is given, and that all quotations are to the letter."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba import cli
from edubba.core.errors import UserError
from edubba.papers import Build, building, claims, entailing, library

PAPERS = [
    ("a1", "Zinc reduces mortality", "We treated 90 mice. Zinc significantly reduced mortality in mice."),
    ("a2", "Zinc and mortality", "Zinc did not reduce mortality in mice. Nothing else was seen."),
    ("a3", "Masks in schools", "Masks were worn by 40 pupils. The pupils liked the masks."),
    ("a4", "A letter", ""),
]


@pytest.fixture(scope="module", params=["tantivy", "sqlite"])
def lib(request, tmp_path_factory, cord19):
    home = tmp_path_factory.mktemp("claims")
    rows = [{"cord_uid": i, "title": t, "abstract": a, "doi": f"10.1/{i}"} for i, t, a in PAPERS]
    building.build(cord19.release(home, rows), home / "library", Build(engine=request.param))
    return library.open(home / "library")


def test_quotations_are_to_the_letter_and_near_the_claim(lib):
    found = claims.check(lib, "Zinc reduces mortality in mice")
    assert {e.record.id for e in found.evidence} >= {"a1", "a2"}
    for e in found.evidence:
        for p in e.passages:
            assert e.record.abstract[p.start : p.end] == p.text
    first = next(e for e in found.evidence if e.record.id == "a1")
    assert "Zinc significantly reduced mortality in mice." in [p.text for p in first.passages]


def test_a_denial_is_less_of_a_support_than_a_statement(lib):
    by_id = {e.record.id: e for e in claims.check(lib, "Zinc reduces mortality in mice").evidence}
    sided = {k: e.supports / (e.supports + e.refutes) for k, e in by_id.items()}
    assert sided["a1"] > sided["a2"]


def test_a_claim_of_which_the_library_says_nothing(lib):
    found = claims.check(lib, "Quantum dots emit light at 600 nm")
    assert found.label == "not enough evidence"
    assert found.evidence == ()
    assert claims.check(lib, "the of and").label == "not enough evidence"


def test_both_sides_are_shown(lib):
    found = claims.check(lib, "Zinc reduces mortality in mice").evidence
    forward, against = claims.sides(found)
    assert len(forward) + len(against) == len(found)
    assert all(e.supports >= e.refutes for e in forward)
    assert all(e.supports < e.refutes for e in against)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_probabilities_are_probabilities_and_order_does_not_matter(pairs):
    head = entailing.load()
    p = np.array([[1 - a, a * b, a * (1 - b)] for a, b in pairs]).reshape(-1, 3)
    said = head.verdict(entailing.summed(p)[None])[0]
    assert said.sum() == pytest.approx(1)
    assert (said >= 0).all()
    again = head.verdict(entailing.summed(p[::-1])[None])[0]
    np.testing.assert_allclose(said, again, atol=1e-12)


def test_a_verdict_needs_a_side_that_is_sure_enough():
    head = entailing.load()
    low = min(head.least) - 0.01
    assert claims.decided(head, np.array([1 - low, low, 0.0])) == "not enough evidence"
    assert claims.decided(head, np.array([0.0, 1.0, 0.0])) == "supported"
    assert claims.decided(head, np.array([0.0, 0.0, 1.0])) == "refuted"


def test_the_threshold_lets_one_in_twenty_through():
    p = np.linspace(0, 1, 200)
    true = np.zeros(200, bool)
    least = entailing._least(p, true, np.ones(200, bool))
    assert (p >= least).sum() == 10
    assert entailing._least(p[:5], true[:5], np.zeros(5, bool)) == 0.34


@pytest.mark.parametrize("claim", ["", "  ", "?!"])
def test_nothing_is_no_claim(lib, claim):
    with pytest.raises(UserError, match="the claim holds no word"):
        claims.check(lib, claim)


def test_the_command_line(lib, capsys):
    line = ["papers", "check", "Zinc reduces mortality in mice", "--library", str(lib.path)]
    code = cli.run(line)
    said = capsys.readouterr().out
    assert said.startswith(("supported", "not enough evidence"))
    assert code == (4 if said.startswith("not") else 0)
    assert "“Zinc significantly reduced mortality in mice.”" in said
    assert "against it:" in said
    assert cli.run([*line[:2], "Quantum dots emit light", *line[3:], "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["evidence"] == []


def test_what_was_taken_back_is_marked(cord19, tmp_path, capsys):
    row = {
        "cord_uid": "r",
        "title": "Chloroquine",
        "abstract": "Chloroquine raises mortality.",
        "doi": "10.1016/S0140-6736(20)31180-6",
    }
    building.build(cord19.release(tmp_path, [row]), tmp_path / "library")
    assert cli.run(["papers", "check", "Chloroquine raises mortality", "--library", str(tmp_path / "library")]) in (
        0,
        4,
    )
    assert "RETRACTED" in capsys.readouterr().out


def made(rng, side):
    bearing, other = rng.normal(size=33), rng.normal(size=27)
    bearing[2] += 6 * (side > 0)
    other[0] += 6 * (side == 1) - 6 * (side == 2)
    return entailing.Compared(bearing, other, (0, 1))


def test_a_head_is_learned_and_kept(tmp_path):
    rng = np.random.default_rng(0)
    some = []
    for i in range(120):
        sides = np.array([i % 3, 0, 0])
        some.append(entailing.Judged([made(rng, s) for s in sides], sides, i % 3))
    head, p, told = entailing.fit(some)
    assert np.mean([q.argmax(1)[0] == s.verdict for q, s in zip(p, some, strict=True)]) > 0.8
    assert (told.argmax(1) == [s.verdict for s in some]).mean() > 0.8
    again = entailing.from_dict(json.loads(json.dumps(entailing.to_dict(head, learned_from="here"))))
    np.testing.assert_allclose(
        entailing.papers(again, some[4].compared), entailing.papers(head, some[4].compared), atol=1e-3
    )


def test_the_shipped_head_is_of_this_format_and_says_where_it_comes_from():
    from importlib.resources import files

    data = json.loads((files("edubba.papers") / "claims.json").read_text())
    assert data["format"] == "edubba.claims/2"
    assert "CC BY" in data["learned_from"]
    with pytest.raises(UserError, match=r"of the format 'edubba\.claims/1', and this edubba reads .*: learn it again"):
        entailing.from_dict(data | {"format": "edubba.claims/1"})
    assert entailing.to_dict(entailing.from_dict(data), learned_from=data["learned_from"]) == data
