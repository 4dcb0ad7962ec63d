"""The page about a tablet says what its records say, stays small, and works without a script."""

import base64
import io
import re
import time
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edubba.core.errors import UserError
from edubba.tablets import report
from edubba.tablets.records import Box, Candidate, Evidence, Line, Photograph, Sign, Step, Surface, Tablet
from edubba.tablets.report import chapters, entries, pictures, places, script

NASTY = "<script>alert('1')</script>"


def sign(name, box=None, *, p=0.97, others=(), **more):
    candidates = (
        (Candidate(name, p), *(Candidate(*o) for o in others)) if name else tuple(Candidate(*o) for o in others)
    )
    return Sign(name=name, box=Box(*map(float, box)) if box else None, candidates=candidates, **more)


def pixels(height=360, width=480):
    y, x = np.mgrid[:height, :width]
    return np.stack([90 + 60 * np.sin(x / 7), 80 + 50 * np.sin(y / 5), 70 + 0 * x], axis=-1).astype(np.uint8)


def example():
    """Two faces: named, unsure, abstained, damaged, lost, restored and unplaced signs, and an editor's note."""
    alike = (Evidence("KI", "P1#4", 0.91), Evidence("KI", "P2#7", 0.82), Evidence("DI", "P3#1", -0.4))
    first = (
        sign("KI", (40, 40, 90, 80), p=0.9961, others=(("DI", 0.0039),), evidence=alike, reading="ki", word=0, score=0.93),
        sign("MA", (100, 42, 140, 82), p=0.62, damage="damaged", reading="ma", word=0, extra={"ink": [["BA", 0.5], ["MA", 0.4]]}),
        sign(None, (150, 44, 200, 84), others=(("AN", 0.41), ("HAL", 0.3)), abstained=True, word=1, extra={"ink": [["AN", 0.39]]}),
    )  # fmt: skip
    second = (
        Sign(damage="broken", word=0),
        Sign(damage="broken", name="NA", reading="na", word=0),
        sign("LUGAL", (220, 100, 280, 140), p=0.8, role="logogram", word=1),
    )
    obverse = Surface(kind="obverse", lines=(
        Line(label="1", signs=first, path=((65.0, 60.0), (175.0, 64.0))), Line(label="2'", signs=second),
        Line(kind="state", text="rest of obverse broken"),
        Line(kind="unplaced", signs=(sign("A", (400, 300, 430, 340)),)),
    ))  # fmt: skip
    reverse = Surface(kind="reverse", lines=(Line(label="1", signs=(sign("DIŠ", (60, 250, 80, 290), p=0.99),)),))
    steps = (
        Step(what="detect", by="edubba 0", when="2026-01-02T03:04:05", settings={"threshold": 0.3}),
        Step(what="name", by="edubba 0", settings={"threshold": 0.7, "temperature": 0.7012345}),
    )
    photograph = Photograph(file="k1.jpg", width=480, height=360)
    return Tablet(id="P123", name="K.1", photograph=photograph, surfaces=(obverse, reverse), steps=steps)


def build(path, tablet=None, image=None, **more):
    given = {
        "exemplars": {"P1#4": pixels(20, 30), "P2#7": pixels(30, 20)[..., :1], "P3#1": pixels(9, 9)[..., 0]},
        "facts": {"Reader": "runs/reader"}, "warnings": ["Signs are small."],
        "beside": {"k1.atf": "Transliteration, ATF"},
    } | more  # fmt: skip
    return report.build(tablet or example(), pixels() if image is None else image, path=path / "r.html", **given)


@pytest.fixture
def html(tmp_path):
    return build(tmp_path).read_text()


def plain(html):
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(text)).replace("\u202f", " ")


def card(html, number):
    return plain(re.search(rf'<article[^>]* id="sign-{number}".*?</article>', html, re.S)[0])


def written(html):
    """The lines of the transliteration as a reader sees them."""
    found = re.findall(r'<p class="text">(.*?)</p>', html, re.S)
    return [re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", line))).strip() for line in found]


# ---- what it says


def test_the_lead_counts_signs_and_says_what_it_does_not_know(html):
    lead = unescape(re.search(r'<div class="lead">(.*?)</div>', html, re.S)[1])
    assert lead.startswith(
        "<p>6 signs were found in 3 lines: 5 named, 1 left without a name because the reader was not sure enough."
        " 1 is damaged and 1 fits no line.</p>"
    )
    # .9961 + .62 + .8 + .97 + .99
    assert "about 4 of 5 names should be right; they were calibrated on other tablets" in lead
    assert "A name weighs the shape of the sign against what usually stands beside it." in lead
    assert "The record notes no check by a person: this is a proposal, not an edition." in lead


def test_the_lead_of_a_checked_tablet_without_context_says_neither():
    line = Line(label="1", signs=(sign("KI", (0, 0, 9, 9)),))
    tablet = Tablet(id="x", surfaces=(Surface(lines=(line,)),), steps=(Step(what="correct", by="A person"),))
    said = chapters.lead(tablet)
    assert said.startswith("1 sign was found in 1 line: 1 named.\n\nGoing by the probabilities, about 1 of 1 name")
    assert "check by a person" not in said
    assert "beside it" not in said


def test_facts_warnings_steps_and_files_are_told(html):
    text = plain(html)
    for words in (
        "Tablet K.1, P123", "Photograph k1.jpg, 480 × 360 pixels", "Reader runs/reader", "Warning Signs are small.",
        "detect edubba 0, 2026-01-02 03:04:05 threshold 0.3", "name edubba 0 threshold 0.7; temperature 0.7012",
        "k1.atf Transliteration, ATF", "rest of obverse broken",
    ):  # fmt: skip
        assert words in text, words


def test_a_card_has_names_with_probabilities_examples_and_reasons(html):
    first, second, third = (card(html, n) for n in (1, 2, 3))
    assert "1 KI ki" in first
    assert "obverse, line 1, sign 1 in the photograph" in first
    assert "KI >99 % DI <1 %" in first
    assert "KI 0.91 0.82 DI −0.40" in first
    assert html.count('class="example"') == 3
    assert "Damaged: some of its ink is gone." in second
    assert "Ink and context differ: the shape alone says BA (50 %), with what stands beside it MA." in second
    assert "3 AN?" in third
    assert "AN 41 % HAL 30 %" in third
    assert "Not named: the likeliest has 41 %, and the reader gives a name from 70 % on." in third
    assert "Ink and context agree: the shape alone says AN (39 %)." in third
    assert "Nothing is left of it." in card(html, 4)
    assert "No ink is left: NA is restored, not read." in card(html, 5)
    assert "fits no line" in card(html, 7)


def test_the_given_name_alone_is_set_as_given(html):
    assert re.findall(r'class="given"><span>(.*?)</span>', html) == ["KI", "MA", "LUGAL", "A", "DIŠ"]


def test_the_transliteration_is_written_as_editors_write_it(html):
    assert written(html) == ["ki-ma# AN?", "[x-na] LUGAL", "DIŠ"]
    assert '<i class="syllable">ki</i>' in html
    assert '<i class="guess">AN</i>' in html
    assert '<i class="name">LUGAL</i>' in html
    text = plain(html)
    assert "# : damaged, some of the ink is left." in text
    assert "? after grey: the reader gave no name" in text


def test_words_are_joined_and_marked():
    def line(*signs):
        listed = entries.entries(Tablet(id="t", surfaces=(Surface(lines=(Line(signs=signs),)),)))
        made = entries.tokens(listed)
        return "".join(f"{' ' if t.begins and i else ''}{t.before}{t.text}{t.after}" for i, t in enumerate(made))

    s = lambda reading, **more: Sign(name="X", reading=reading, **more)  # noqa: E731
    assert line(s("d", role="determinative", word=0), s("suen", role="logogram", word=0), s("i", word=0)) == "{d}suen-i"
    assert line(s("i", word=0), s("GIŠ", role="logogram", word=0), s("HI", role="logogram", word=0)) == "i-GIŠ.HI"
    assert line(s("a", word=0), s("na", word=1)) == line(s("a"), s("na")) == "a na"
    assert line(s("qat₂", word=0), s("bat", role="gloss", word=0)) == "qat₂{{bat}}"
    assert line(s("um", word=0), s("ma", word=0, damage="broken"), Sign(damage="broken")) == "um-[ma x]"
    assert line(s("u", marks=("corrected", "collated")), s("ina", marks=("omitted",))) == "u!* <ina>"
    assert line(s("ina", marks=("doubtful",), damage="broken")) == "[(ina)]"
    assert line(s("ina", damage="damaged", marks=("uncertain",))) == "ina#?"
    assert line(Sign(), Sign(abstained=True, candidates=(Candidate("KI", 0.2),), marks=("uncertain",))) == "x KI?"


def test_what_is_left_open_is_listed(html):
    text = plain(html)
    assert "1 sign without a name. The first guess and its probability: 3 AN? 41 %" in text
    assert "1 sign in no line, so not in the transliteration: 7 A 97 %" in text
    full = Tablet(id="t", surfaces=(Surface(lines=(Line(signs=(sign("KI", (1, 1, 9, 9)),)),)),))
    assert "every sign that was found has a name" in plain(
        str(chapters._open(entries.entries(full), chapters.Tiles(None, {})).blocks)
    )


def test_a_sign_has_one_state_and_the_legend_counts_boxes(html):
    assert [e.state for e in entries.entries(example())] == [
        "sure", "damaged", "abstained", "lost", "lost", "unsure", "unplaced", "sure",
    ]  # fmt: skip
    assert "named, at least 95 %: 2 named, less than 95 %: 1 not named: 1 named, damaged: 1 fits no line: 1" in plain(
        html
    )


def test_a_tablet_without_signs_or_candidates_has_its_page_too(tmp_path):
    empty = Tablet(id="P1", surfaces=(Surface(),))
    assert "No sign was found on this photograph." in build(tmp_path, empty, exemplars={}).read_text()
    bare = Tablet(
        id="P1", surfaces=(Surface(lines=(Line(signs=(Sign(), Sign(box=Box(1.0, 1.0, 9.0, 9.0)))),)), Surface())
    )
    html = build(tmp_path, bare, exemplars={}, facts={}, warnings=[], beside=None).read_text()
    assert "Not named: nothing was thought of." in card(html, 2)
    assert "face 1, sign 2" in card(html, 2)
    assert "Going by the probabilities" not in html


def test_a_photograph_of_another_size_is_refused(tmp_path):
    with pytest.raises(UserError) as error:
        build(tmp_path, image=pixels(180, 240))
    assert str(error.value) == (
        "k1.jpg was read at 480 × 360 pixels and this picture has 240 × 180: its boxes do not fit; give the photograph that"
        " was read"
    )


# ---- as HTML


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.names, self.attributes, self.ids, self.links = Counter(), Counter(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [(tag, dict(attrs)["href"]) for name, value in attrs if name == "href"]


def test_every_box_leads_to_a_card_and_every_link_to_something_once(html):
    tags = Tags(html)
    assert len(tags.ids) == len(set(tags.ids))
    targets = {href for tag, href in tags.links if tag in ("a", "use")}
    assert {target.removeprefix("#") for target in targets} <= set(tags.ids)
    boxes = re.findall(r'<a href="#sign-(\d+)" id="box-(\d+)"', html)
    assert [int(n) for n, _ in boxes] == [1, 2, 3, 6, 7, 8]  # the lost ones have no box
    assert all(a == b for a, b in boxes)
    assert re.findall(r'<article[^>]* id="sign-(\d+)"', html) == [str(n) for n in range(1, 9)]
    assert set(re.findall(r"<title>(.*?)</title>", html)) >= {
        "1: KI, &gt;99\u202f%",
        "3: not named, perhaps AN, 41\u202f%",
    }


def test_what_strangers_wrote_is_never_markup(tmp_path):
    def with_words(words):
        old = example()
        first = old.surfaces[0].lines[0].signs[0]
        nasty = replace(
            first, name=words, reading=words, candidates=(Candidate(words, 0.9),), evidence=(Evidence(words, words, 0.5),),
            extra={"ink": [[words, 0.5]]},
        )  # fmt: skip
        guess = replace(
            first, name=None, reading=None, candidates=(Candidate(words, 0.3),), box=Box(1.0, 1.0, 30.0, 30.0)
        )
        line = Line(label=words, signs=(nasty, guess), path=((1.0, 1.0), (9.0, 9.0)))
        lines = (line, Line(kind="note", text=words), Line(kind="unplaced", signs=(nasty,)))
        tablet = replace(
            old, id=words, name=words, language=words, period=words, photograph=replace(old.photograph, file=words),
            surfaces=(Surface(kind=words, column=words, lines=lines),),
            steps=(Step(what=words, by=words, when=words, settings={words: words}),),
        )  # fmt: skip
        more = {
            "exemplars": {words: pixels(9, 9)},
            "facts": {words: words},
            "warnings": [words],
            "beside": {words: words},
        }
        return build(tmp_path, tablet, **more).read_text()

    expected = Tags(with_words("plain"))
    for words in (
        NASTY,
        '" onload="alert(1)',
        "' onload='alert(1)",
        "</title></svg><script>1</script>",
        "{{ 1 }}</style>",
    ):
        html = with_words(words)
        tags = Tags(html)
        assert tags.names == expected.names
        assert tags.attributes == expected.attributes
        assert "<script" not in html.lower()


def test_the_page_needs_no_network_and_no_script(html):
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert not re.findall(r"url\((?!#|data:)", html)
    assert "@import" not in html
    tags = Tags(html)
    assert "script" not in tags.names
    assert not [name for name in tags.attributes if name.startswith("on")]


def test_the_same_records_make_the_same_page(tmp_path, html):
    assert build(tmp_path).read_text() == html


# ---- how large it is


def crowded(n, width=1500, height=1500):
    """Many signs with all that a card can have, on a photograph of noise, which JPEG cannot make small."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 3, width // 3, 3), np.uint8)
    image = np.kron(coarse, np.ones((3, 3, 1), np.uint8))
    names = [f"SIGN{i}" for i in range(10)]
    signs = []
    for i in range(n):
        x, y = (i * 50) % (width - 50), 45 * (i * 50 // (width - 50)) % (height - 45)
        alike = tuple(Evidence(names[k // 5], f"{i}#{k}", 0.9 - k / 100) for k in range(10))
        others = tuple((name, 0.01) for name in names[1:5])
        signs.append(sign(names[0], (x, y, x + 48, y + 40), others=others, evidence=alike, reading="ki", word=0))
    lines = tuple(Line(label=str(i), signs=tuple(signs[20 * i : 20 * i + 20])) for i in range(-(-n // 20)))
    exemplars = {e.source: image[:48, :48] for s in signs[:100] for e in s.evidence}
    return Tablet(id="many", surfaces=(Surface(lines=lines),)), image, exemplars


def test_of_the_examples_the_nearest_are_shown_first():
    alike = tuple(
        Evidence(name, "", s) for name, s in (("KI", 0.2), ("DI", 0.7), ("KI", 0.9), ("DI", 0.8), ("KI", 0.5))
    )
    (entry,) = entries.entries(Tablet(id="t", surfaces=(Surface(lines=(Line(signs=(Sign(evidence=alike),)),)),)))
    shown = [(name, [e.similarity for e in group]) for name, group in chapters._alike(entry, 2)]
    assert shown == [("KI", [0.9, 0.5]), ("DI", [0.8, 0.7])]
    assert chapters._alike(entry, 0) == []


@pytest.mark.parametrize("n", [60, 700])
def test_a_page_stays_under_three_megabytes_and_keeps_its_photograph(tmp_path, n):
    tablet, image, exemplars = crowded(n)
    page = build(tmp_path, tablet, image, exemplars=exemplars)
    assert page.stat().st_size <= report.LIMIT < 3_000_000
    html = page.read_text()
    assert html.count("<article") == n
    uri = re.search(r'<image id="photograph" href="data:image/jpeg;base64,([^"]+)"', html)[1]
    shown = Image.open(io.BytesIO(base64.b64decode(uri)))
    assert shown.width >= 700
    assert "To keep the page small" not in html


def test_the_photograph_takes_what_the_other_parts_leave_and_examples_give_way_to_it():
    tablet, image, exemplars = crowded(150)
    for limit, words in ((2_400_000, ""), (1_450_000, "a card shows at most 5 names and")):
        made = report.sections(tablet, image, exemplars=exemplars, facts={}, limit=limit)
        assert [section.title for section in made] == [
            "In short", "The photograph", "The transliteration", "What is left open", "Sign by sign", "The record",
        ]  # fmt: skip
        sizes = [sum(len(block.encode()) for block in section.blocks) for section in made]
        assert sum(sizes) <= limit
        assert sizes[1] > 0.7 * (limit - sum(sizes) + sizes[1])
        assert words in made[4].lead
        assert bool(words) == ("To keep the page small" in made[4].lead)


@given(st.integers(3_000, 60_000), st.integers(20, 300))
def test_an_embedded_picture_fits_its_limit(limit, side):
    image = np.random.default_rng(1).integers(0, 256, (side, 2 * side, 3), np.uint8)
    uri = pictures.embedded(image, limit)
    assert len(uri) <= limit
    assert uri.startswith("data:image/jpeg;base64,")


# ---- pictures


def test_the_overlay_draws_inside_boxes_and_nowhere_else():
    tablet, image = example(), pixels()
    drawn = report.overlay(tablet, image)
    assert drawn.shape == image.shape
    changed = (drawn != image).any(-1)
    for s in tablet.signs:
        if s.box is not None:
            x0, y0, x1, y1 = map(int, s.box)
            inside = changed[y0:y1, x0:x1]
            assert inside[0].all()
            assert inside[-1].all()
            assert inside[:, 0].all()
            assert inside[:, -1].all()  # the frame
            assert 0.15 < inside.mean() < 0.8  # a plate with the name, and the sign is still there
            changed[y0:y1, x0:x1] = False
    assert not changed.any()
    np.testing.assert_array_equal(image, pixels())


def test_the_overlay_copes_with_boxes_that_are_small_empty_or_outside():
    boxes = [(0, 0, 3, 3), (5, 5, 5, 9), (470, 350, 600, 500), (-30, -30, -5, -5), (10, 100, 16, 300)]
    line = Line(signs=tuple(sign("|LAGAB×HAL|", box) for box in boxes))
    drawn = report.overlay(Tablet(id="t", surfaces=(Surface(lines=(line,)),)), pixels())
    assert drawn.shape == (360, 480, 3)


def test_a_sign_is_cut_out_with_what_is_around_it_darkened():
    image = np.full((100, 100, 3), 200, np.uint8)
    (tile,) = pictures.cut(image, [Box(40.0, 45.0, 60.0, 55.0)], side=96)
    assert tile.shape == (96, 96, 3)
    assert (tile[48, 10:86] == 200).all()
    assert (tile[20] == 90).all()
    (corner,) = pictures.cut(image, [Box(0.0, 0.0, 20.0, 20.0)], side=96)
    assert (corner[:5] == 0).all()  # beyond the photograph
    assert (corner[15:80, 15:80] == 200).all()


@given(st.floats(-0.3, 0.3), st.integers(3, 12))
def test_the_strip_of_a_line_is_level_and_holds_its_boxes(angle, n):
    centres = np.stack([100 + 60 * np.arange(n), 400 + 60 * np.arange(n) * np.tan(angle)], axis=1)
    signs = tuple(sign("A", (x - 25, y - 20, x + 25, y + 20)) for x, y in centres)
    listed = entries.entries(Tablet(id="t", surfaces=(Surface(lines=(Line(signs=signs),)),)))
    strip = places.strip(listed)
    # never higher than a turned box with its margins, however long the line
    assert strip.height <= 50 * abs(np.sin(angle)) + 40 * np.cos(angle) + 16 + 2
    dx, dy, turn, cx, cy = map(float, re.findall(r"-?[\d.]+", strip.turn))
    turn = np.deg2rad(turn)
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed = (centres - (cx, cy)) @ back.T + (cx, cy) + (dx, dy)
    np.testing.assert_allclose(placed[:, 1], strip.height / 2, atol=1.5)
    assert (placed[:, 0] > 15).all()
    assert (placed[:, 0] < strip.width - 15).all()


def test_a_column_of_signs_is_not_turned():
    assert places.slope(np.array([[0.0, 0], [1, 40], [0, 80]])) == 0
    assert places.slope(np.array([[0.0, 0], [50, 10]])) == 0
    assert places.strip([]) is None


def test_signs_are_drawn_from_the_font_or_not_at_all(html):
    assert script.glyph("KI").chars == "𒆠"
    assert script.glyph("AN+AK").chars == "𒀭𒀝"
    assert re.fullmatch(r"(?:M[\d ]+|L[\d ]+|Q[\d ]+|z)+", script.glyph("KI").path)
    assert script.glyph("no such sign") is None
    assert script.glyph("1(|AŠ×DIŠ@t|)") is None  # it has a code point, and the font no outline
    assert '<use href="#glyph-121a0"/>' in html
    assert 'id="glyph-1202d"' not in html  # AN is only a guess
    assert 'id="glyph-1223e"' not in html  # NA is restored


# ---- in a browser

CENTRE = "(() => {{ const r = document.querySelector('{}').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"


def click(browser, selector):
    x, y = browser.ask(CENTRE.format(selector))
    for kind in ("mousePressed", "mouseReleased"):
        browser("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def until(browser, expression):
    for _ in range(100):
        if browser.ask(expression):
            return True
        time.sleep(0.05)
    return False


SHOWN = "getComputedStyle(document.querySelector('#sign-{}')).position == 'fixed'"


@pytest.mark.browser
def test_the_page_fits_phone_and_desk_in_light_and_dark_and_asks_for_nothing(browser, tmp_path):
    old = example()
    long = sign("|" + ".".join(["LAGAB×HAL"] * 9) + "|", (300, 40, 380, 80), reading="lagab" * 20, word=1)
    line = replace(
        old.surfaces[0].lines[0], signs=(*old.surfaces[0].lines[0].signs, long, *[long] * 10), label="1'''' a + 3"
    )
    page = build(tmp_path, replace(old, surfaces=(replace(old.surfaces[0], lines=(line,)), *old.surfaces[1:])))
    grounds = {}
    for width in (360, 1200):
        for theme in ("light", "dark"):
            browser(
                "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
            )
            browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            browser.open(page)
            for card in ("", "#sign-4"):
                browser.ask(f"location.hash = '{card}'")
                assert browser.ask(browser.TOO_WIDE) == []
                assert browser.ask("document.documentElement.scrollWidth") <= width
            grounds[theme] = browser.ask(browser.GROUND)
            wrong = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
            assert [event for event in browser.events if event["method"] in wrong] == []
            asked = [
                e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
            ]
            assert {url.split("#")[0] for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert grounds == {"light": "rgb(252, 250, 245)", "dark": "rgb(24, 21, 18)"}


@pytest.mark.browser
def test_a_click_on_a_box_shows_its_card_where_one_is_and_marks_the_sign(browser, tmp_path):
    browser("Emulation.setDeviceMetricsOverride", width=1200, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(build(tmp_path))
    browser.ask("document.querySelector('.photo').scrollIntoView() ?? 0")
    before = browser.ask("scrollY")
    assert not browser.ask(SHOWN.format(3))
    marked = "getComputedStyle(document.querySelector('.word .s3')).backgroundColor"
    assert browser.ask(marked) == "rgba(0, 0, 0, 0)"
    click(browser, "#box-3 rect")
    assert until(browser, SHOWN.format(3))
    assert browser.ask("scrollY") == before
    low, high = browser.ask(
        "(() => { const r = document.querySelector('#sign-3').getBoundingClientRect(); return [r.top, r.bottom] })()"
    )
    assert 300 < low < high <= 800
    assert browser.ask(marked) != "rgba(0, 0, 0, 0)"
    stroke = "getComputedStyle(document.querySelector('{} rect')).stroke"
    assert browser.ask(stroke.format("#box-3")) == browser.ask(stroke.format(".strip .s3")) == "rgb(255, 255, 255)"
    assert browser.ask(stroke.format("#box-2")) == "rgb(255, 154, 61)"
    click(browser, "#sign-3 .move a:nth-child(2)")
    assert until(browser, SHOWN.format(4))
    assert not browser.ask(SHOWN.format(3))
    click(browser, "#sign-4 .move a:last-child")
    assert until(browser, f"!({SHOWN.format(4)})")
    assert browser.ask("scrollY") == before


@pytest.mark.browser
def test_a_box_is_reached_and_opened_by_keyboard(browser, tmp_path):
    browser.open(build(tmp_path))
    browser.ask("document.querySelector('.photo .scroll').focus() ?? 0")
    for key, code, text in (("Tab", 9, ""), ("Tab", 9, ""), ("Enter", 13, "\r")):
        for kind in ("keyDown", "keyUp"):
            browser(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )
    assert until(browser, SHOWN.format(2))
    assert browser.ask(
        "document.querySelector('#box-2').getAttribute('aria-label') ?? document.querySelector('#box-2 title').textContent"
    ).startswith("2: MA")
