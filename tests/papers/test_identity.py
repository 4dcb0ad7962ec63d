"""Which rows are one paper: what joins them, what keeps them apart, and what is kept of each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.papers import building, identity
from edubba.papers.records import Published

TITLE = "A long title that says which paper it is, beyond doubt"


def first(*rows):
    """For each row the number of the first that is the same paper."""
    return identity.clusters(identity.gather(identity.row(row) for row in rows)).tolist()


def row(**cells):
    return {"title": "", "publish_time": "2020-04-17"} | cells


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"doi": "10.1016/J.x.1"}, {"doi": "https://doi.org/10.1016/j.x.1"}, True),
        ({"doi": "10.1101/2020.02.07.939389v1"}, {"doi": "10.1101/2020.02.07.939389"}, True),
        ({"pmcid": "PMC7"}, {"pmcid": "pmc7"}, True),
        ({"pubmed_id": "18694760.0"}, {"pubmed_id": "18694760"}, True),
        ({"cord_uid": "u1"}, {"cord_uid": "u1"}, True),
        ({"cord_uid": "u1", "doi": "10.1016/a"}, {"cord_uid": "u1", "doi": "10.1093/b"}, True),
        # one publisher gives a paper one DOI
        ({"cord_uid": "u1", "doi": "10.1016/a"}, {"cord_uid": "u1", "doi": "10.1016/b"}, False),
        ({"title": TITLE}, {"title": TITLE.upper() + "."}, True),
        ({"title": TITLE}, {"title": TITLE, "publish_time": "2019"}, False),
        ({"title": "Editorial"}, {"title": "Editorial"}, False),
        ({"title": TITLE, "pubmed_id": "1"}, {"title": TITLE, "pubmed_id": "2"}, False),
        # one PDF for two DOIs
        ({"sha": "s", "doi": "10.1016/a", "title": "One"}, {"sha": "s", "doi": "10.1093/b", "title": "Two"}, False),
        ({"sha": "s; t"}, {"sha": "t"}, True),
        # a preprint and its article are two
        ({"title": TITLE, "doi": "10.1101/2020.02.07.939389"}, {"title": TITLE, "doi": "10.1016/a"}, False),
        ({"title": TITLE, "source_x": "medrxiv"}, {"title": TITLE, "source_x": "PMC"}, False),
    ],
)  # fmt: skip
def test_two_rows(a, b, same):
    assert first(row(**a), row(**b)) == ([0, 0] if same else [0, 1])
    assert first(row(**b), row(**a)) == ([0, 0] if same else [0, 1])


def test_keys_join_through_a_third_row():
    assert first(row(doi="10.1000/a"), row(pmcid="PMC1"), row(doi="10.1000/a", pmcid="PMC1")) == [0, 0, 0]


keys = st.fixed_dictionaries({
    "doi": st.sampled_from(["", "10.1016/a", "10.1016/b", "10.1093/c", "10.1101/2020.01.01.111111"]),
    "pmcid": st.sampled_from(["", "PMC1", "PMC2"]), "pubmed_id": st.sampled_from(["", "1", "2"]),
    "cord_uid": st.sampled_from(["", "u1", "u2"]), "title": st.sampled_from(["", TITLE, "Reply"]),
    "sha": st.sampled_from(["", "s", "s; t", "t"]),
})  # fmt: skip


@given(st.lists(keys, max_size=8))
@settings(max_examples=150)
def test_laws(rows):
    found = first(*(row(**r) for r in rows))
    assert all(of <= i and found[of] == of for i, of in enumerate(found))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[:i]):
            if a["doi"] and a["doi"] == b["doi"]:
                assert found[i] == found[j]  # the strongest key always joins
            if found[i] == found[j] and a["doi"] and b["doi"] and a["doi"] != b["doi"]:
                # two DOIs of one publisher meet only where a row between them has no DOI of its own to say so
                assert a["doi"].split("/")[0] != b["doi"].split("/")[0] or any(
                    not r["doi"] and found[k] == found[i] for k, r in enumerate(rows)
                )


def test_a_record_of_several_rows():
    rows = [
        row(cord_uid="u1", title=TITLE, abstract="Abstract Short.", publish_time="2020", license="cc-by", doi="10.1000/a"),
        row(cord_uid="u1", title=TITLE, abstract="A much longer abstract.", publish_time="2020-03-04", license="no-cc",
            authors="Wang, C; Li, D", journal="J", pubmed_id="5.0", source_x="Medline"),
    ]  # fmt: skip
    made = building.merged(rows)
    assert (made.id, made.abstract, made.licence) == ("u1", "A much longer abstract.", "no-cc")
    assert not made.shown
    assert (str(made.published), made.pmid, made.authors) == ("2020-03-04", "5", ("Wang, C", "Li, D"))
    assert made.sources[0]["abstract"] == "Abstract Short."
    assert "title" not in made.sources[0]
    assert "abstract" not in made.sources[1]


def test_a_record_without_cord_uid_has_an_id_of_its_strongest_key():
    a = building.merged([row(doi="10.1000/a", title="x")])
    b = building.merged([row(doi="https://doi.org/10.1000/A", title="y", pubmed_id="3")])
    assert a.id == b.id != building.merged([row(doi="10.1000/b")]).id
    assert a.published == Published(a.published.first, a.published.last, "day")
