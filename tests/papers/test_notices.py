"""Notices by date: what is new says why, and nothing looks ahead."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba import cli
from edubba.core.errors import UserError
from edubba.papers import notices
from edubba.papers.notices import Notice

SHARED = Path(__file__).parents[3] / "shared" / "data" / "papers"
SOME = [
    Notice("1", "2000-01-01", "2000 - Cholera in Chile", "Cases of cholera were reported from the coast."),
    Notice(
        "2", "2000-01-03", "2000 - Cholera in Peru - Update 2", "Cases of cholera were reported from the mountains."
    ),
    Notice("3", "2000-02-01", "2000 - Ebola in Gabon", "A fever with bleeding killed ten persons."),
    Notice("4", "2000-02-01", "2000 - Ebola in Congo", "A fever with bleeding killed two persons."),
    Notice("5", "2000-03-01", "2000 - Ebola in Gabon - Update", "A fever with bleeding killed twelve persons."),
]


def test_a_new_disease_stands_out_and_its_nearest_neighbour_is_said():
    found = notices.rank(SOME)
    assert np.isnan(found[0].score)
    assert found[0].nearest is None
    assert found[2].new_words == ("ebola",)
    assert found[3].new_words == ("ebola",)  # the same day does not count as earlier
    assert found[4].new_words == ()
    assert found[4].nearest in (SOME[2], SOME[3])
    assert found[4].similarity > 0.5
    scores = [r.score for r in found[1:]]
    assert max(scores) == max(scores[1:3])
    assert min(scores) in (scores[0], scores[3])


def test_cosine_is_that_of_its_definition():
    texts = [notices.terms(f"{n.headline} {n.text}") for n in SOME]
    best, _ = notices._nearest(texts, notices._days(SOME))
    i = 4
    seen = {word: sum(word in text for text in texts[:i]) for text in texts for word in text}

    def vector(text):
        return {w: (1 + np.log(text.count(w))) * (1 + np.log((1 + i) / (1 + seen[w]))) for w in set(text)}

    def cosine(a, b):
        return sum(a[w] * b.get(w, 0) for w in a) / np.sqrt(
            sum(x * x for x in a.values()) * sum(x * x for x in b.values())
        )

    assert best[i] == pytest.approx(max(cosine(vector(texts[i]), vector(t)) for t in texts[:i]))


def test_a_document_from_the_future_moves_nothing():
    planted = [
        *SOME,
        Notice("6", "2000-03-02", "2000 - Cholera Ebola plague in Chile", "Everything at once, coast and fever."),
    ]
    before, after = notices.rank(SOME), notices.rank(planted)
    assert [(r.score, r.new_words, r.nearest, r.similarity) for r in after[1:5]] == [
        (r.score, r.new_words, r.nearest, r.similarity) for r in before[1:]
    ]


words = st.lists(st.sampled_from(["cholera", "ebola", "fever", "coast", "plague", "virus"]), max_size=5).map(" ".join)


@given(st.lists(st.tuples(st.integers(1, 5), words, words), min_size=1, max_size=8), st.integers(0, 8))
@settings(max_examples=40)
def test_laws(rows, cut):
    made = sorted(
        (Notice(str(i), f"2001-01-0{day}", head, text) for i, (day, head, text) in enumerate(rows)),
        key=lambda n: n.date,
    )
    whole = notices.rank(made)
    assert all(0 <= r.similarity <= 1 + 1e-9 for r in whole)
    assert all(np.isnan(r.score) or -1e-9 <= r.score <= 2 for r in whole)
    kept = [n for n in made if n.date <= f"2001-01-0{cut}"]
    for a, b in zip(notices.rank(kept), whole, strict=False):
        assert (a.new_words, a.nearest) == (b.new_words, b.nearest)
        assert a.similarity == b.similarity


def test_the_verb(tmp_path, capsys):
    file = tmp_path / "don.jsonl"
    file.write_text("\n".join(json.dumps(vars(n)) for n in reversed(SOME)))
    assert cli.run(["papers", "notices", str(file), "--since", "2000-02", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {rows[0]["headline"], rows[1]["headline"]} == {"2000 - Ebola in Gabon", "2000 - Ebola in Congo"}
    assert rows[0]["new words"] == "ebola"
    assert cli.run(["papers", "notices", str(file), "--k", "0"]) == 0
    assert "Cholera in Peru" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", r"don.jsonl:1: no notice"), ('{"date": "2000-01-01"}', "no notice"), ("[]", "no notice"),
        ('{"date": "May 2000", "headline": "x"}', "'May 2000' is no date"), ("", "holds no notices"),
    ],
)  # fmt: skip
def test_what_is_no_notice_is_said(tmp_path, line, sentence):
    (tmp_path / "don.jsonl").write_text(line)
    with pytest.raises(UserError, match=sentence):
        notices.read(tmp_path / "don.jsonl")
    with pytest.raises(UserError, match="cannot be read"):
        notices.read(tmp_path / "none.jsonl")


def test_real_notices_of_one_year_are_ranked_as_their_labels_say():
    """1998: the first notices of dysentery and legionellosis stand among the five most novel ones."""
    path = SHARED / "who_don.parquet"
    if not path.exists():
        pytest.skip("needs ../shared/data, which is not here")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [r for r in parquet.read_table(path).to_pylist() if str(r["date"]) < "1999"]
    made = sorted(
        (Notice(r["id"], str(r["date"])[:10], r["headline"], r["text"] or "") for r in rows), key=lambda n: n.date
    )
    found = [r for r in notices.rank(made) if r.notice.date >= "1998"]
    first = [r.notice.headline for r in sorted(found, key=lambda r: -r.score)[:6]]
    assert any("Bloody diarrhoea" in headline for headline in first)
    assert any("Legionellosis" in headline for headline in first)
