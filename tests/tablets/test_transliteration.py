"""Readings in context: counts by the definition, words, nothing restored is learned, files."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.tablets import transliteration
from edubba.tablets.records import Line, Sign, Surface, Tablet
from edubba.tablets.transliteration import EDGE, Label


def line(*signs):
    """Signs as (name, reading, word[, damage])."""
    made = [Sign(name=n, reading=r, word=w, role="syllable", damage=d[0] if d else "intact") for n, r, w, *d in signs]
    return Line(signs=tuple(made))


def tablet(*lines):
    return Tablet(id="t", surfaces=(Surface(lines=lines),))


AN_NA = line(("AN", "an", 0), ("NA", "na", 0))
I_NA = line(("I", "i", 0), ("NA", "na", 0), ("AN", "dingir", 1))


def test_the_neighbours_decide():
    known = transliteration.learn([tablet(AN_NA, AN_NA, I_NA, I_NA)])
    assert [x.reading for x in transliteration.transliterate(known, ["AN", "NA"])] == ["an", "na"]
    labels = transliteration.transliterate(known, ["I", "NA", "AN"])
    assert [x.reading for x in labels] == ["i", "na", "dingir"]
    assert [x.begins for x in labels] == [True, False, True]


def test_an_unread_or_unknown_sign_gets_no_reading():
    known = transliteration.learn([tablet(AN_NA)])
    assert transliteration.transliterate(known, [None, "AN", "KUR"]) == [None, Label("an", "syllable", True), None]


def test_what_was_restored_is_not_learned():
    restored = line(("AN", "il₃", 0, "broken"), ("NA", "na", 0))
    known = transliteration.learn([tablet(restored, restored, restored, AN_NA)])
    assert transliteration.transliterate(known, ["AN", "NA"])[0].reading == "an"
    with pytest.raises(UserError, match="no transliterated line says which sign it reads"):
        transliteration.learn([tablet(line(("AN", "il₃", 0, "broken")))])


def test_probabilities_are_witten_bell_by_hand():
    known = transliteration.learn([tablet(line(("AN", "an", 0), ("NA", "na", 0)), line(("AN", "dingir", 0)))])
    an, god = Label("an", "syllable", True), Label("dingir", "syllable", True)
    # after the sign alone 1/2 each; before NA: seen once, as `an`, one kind: (1 + 1/2) / 2 = 3/4
    # the level (edge, AN, NA) has the same count: (1 + 3/4) / 2 = 7/8, and the fullest (1 + 7/8) / 2 = 15/16
    p = transliteration.probabilities(known, "AN", (EDGE, None), "NA")
    assert p == {an: pytest.approx(15 / 16), god: pytest.approx(1 / 16)}


@given(
    st.lists(
        st.lists(st.sampled_from([("A", "a"), ("A", "mu"), ("B", "ba"), ("B", "be")]), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    )
)
def test_probabilities_sum_to_one(rows):
    known = transliteration.learn([tablet(*(line(*((n, r, i // 2) for i, (n, r) in enumerate(row))) for row in rows))])
    for key in [k for k in known.counts if len(k) == 1]:
        p = transliteration.probabilities(known, key[0], ("A", Label("a", "syllable", True)), "B")
        assert sum(p.values()) == pytest.approx(1)
        assert min(p.values()) > 0


def test_reading_a_tablet_numbers_its_words():
    known = transliteration.learn([tablet(I_NA)])
    unread = tablet(Line(signs=(Sign(name="I"), Sign(name="NA"), Sign(name="AN"), Sign())))
    (signs,) = [list(x.signs) for x in transliteration.read(unread, known).surfaces[0].lines]
    assert [(s.reading, s.word) for s in signs] == [("i", 0), ("na", 0), ("dingir", 1), (None, 2)]


def test_readings_are_kept_and_found_again(tmp_path):
    known = transliteration.learn([tablet(AN_NA, I_NA)])
    path = transliteration.save(tmp_path / "readings.json.gz", known)
    again = transliteration.load(path)
    assert again.lines == known.lines
    assert again.counts == known.counts
    assert Counter({Label("na", "syllable", False): 2}) == again.counts[("NA",)]
