"""The pages of the room say what their folders say."""

import base64
import io
import json
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import integrate

from edubba.core import files, runs
from edubba.core.errors import UserError
from edubba.core.report import amount
from edubba.trace import commitments, evidence, laws, report, timestamps, trial
from edubba.trace.report import verdict
from edubba.trace.spec import Test as Settings

COPY = Path("owner.trace/copies/public")


def plain(html):
    """The text of a page, blanks as single spaces."""
    html = re.sub('<span class="flag">(.*?)</span>', r"\1", html)
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", unescape(text))


def same(text):
    return re.sub(r"\s+", " ", text.replace("`", " "))


def opening(html):
    """The first paragraph of the page."""
    return unescape(re.sub(r"<[^>]+>", "", re.search(r'<div class="lead"><p>(.*?)</p>', html, re.S)[1]))


def rewritten(path, change):
    """The page of evidence in which something was changed."""
    document = json.loads((path / "evidence.json").read_text())
    change(document)
    (path / "evidence.json").write_text(json.dumps(document))
    return report.build(path).read_text()


def test_the_page_of_a_test_says_what_the_evidence_says(mine):
    html = report.build("evidence").read_text()
    document, text = evidence.read("evidence"), plain(html)
    figures = document["figures"]
    main = figures["primary"]
    assert figures["detected"]
    assert opening(html) == evidence.words(document)
    assert "it was trained on pictures of that copy, or on something that learned from them." in opening(html)
    assert same(evidence.LIMITS) in text
    assert amount(main["cosine"], main["low"], main["high"], digits=3) in text
    assert f"{main['keys']} were committed to, so p is multiplied by {main['keys']}" in text
    assert f"log10 p {amount(main['log10_p_adjusted'], digits=2)}" in text
    assert "Of 99 keys that nobody chose, none agree at least as well." in text
    for row in figures["controls"]:
        p = evidence.chance(row["log10_p"]).removeprefix("p = ")
        assert f"{row['name']} {amount(row['cosine'], digits=3)} {p}" in text
    for row in figures["tests"]:
        assert row["name"] in text
        assert f"{amount(row['log10_p'], digits=2)} {amount(row['log10_p_holm'], digits=2)}" in text
    assert document["suspect"]["sha256"] in text
    assert "4 of the key's 4 in common" in text
    commitment, seal = (commitments.read(f"evidence/{name}.json") for name in ("commitment", "seal"))
    for sha256 in (*map(commitments.digest, (commitment, seal)), *commitment["networks"].values()):
        assert sha256 in text
    assert f"{seal['marked']} of {seal['files']} files of the copy" in text
    for name, digits in (("psnr", 2), ("ssim", 4), ("max_delta", 1), ("shift", 2), ("cosine", 2)):
        assert amount(float(seal["quality"][name]), digits=digits) in text
    assert len(html) < 3_000_000


def test_how_many_pictures_the_model_names_rightly_is_counted_again(mine):
    with np.load("evidence/arrays.npz") as arrays:
        right = (arrays["suspect_held_out"].argmax(1) == arrays["y"]).mean()
    assert f"Names rightly {amount(100 * right, unit='%')} [" in plain(report.build("evidence").read_text()).replace(
        " %", "\u202f%"
    )


def test_a_clean_model_is_not_named_and_not_cleared_either(mine):
    trial.test("owner.trace/networks/marker-2/model", key="owner.key", out="no", spec=Settings(decoys=99))
    html = report.build("no").read_text()
    document, text = evidence.read("no"), plain(html)
    assert not document["figures"]["detected"]
    assert opening(html) == evidence.words(document)
    assert opening(html).startswith("Not detected: ")
    assert "this does not say that it was not trained on it" in opening(html)
    assert "it was trained on pictures of that copy" not in text
    high = document["figures"]["decoys"]["as_high"]
    assert f"Of 99 keys that nobody chose, {high} agree" in text


def test_no_chance_below_one_in_a_million_million_is_claimed(mine):
    def change(document):
        document["figures"]["primary"] |= {"log10_p": -40.3, "log10_p_adjusted": -40.0}

    html = rewritten(mine / "evidence", change)
    assert "(p < 1e-12)" in opening(html)
    assert "log10 of p, below −12.0" in plain(html)
    assert not [e for e in re.findall(r"\de-(\d+)", plain(html)) if int(e) > 12]


def test_the_line_over_the_decoys_is_the_law_and_ends_where_a_name_begins():
    for d, c in ((3, 0.2), (64, 0.25), (640, 0.15)):
        tail, _ = integrate.quad(lambda x, d=d: verdict.density(np.array([x]), d)[0], c, 1, epsabs=1e-13)
        assert np.log10(tail) == pytest.approx(laws.cosine_log10_p(c, d), abs=1e-6)
    for p in (0.3, 0.005, 1e-6):
        assert laws.cosine_log10_p(verdict.needed(p, 160), 160) == pytest.approx(np.log10(p), abs=1e-9)


def test_a_commitment_without_a_date_is_said_to_have_none(mine, monkeypatch):
    assert "Neither commitment has a timestamp" in plain(report.build("evidence").read_text())
    stamp = timestamps.Timestamp(
        timestamps.KEPT, "no root certificate was given", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "CN=Clock"
    )
    monkeypatch.setattr(timestamps, "check_beside", lambda path: stamp)
    text = plain(report.build("evidence").read_text())
    assert "2026-01-02 03:04 UTC, CN=Clock, kept, not verified: no root certificate was given" in text
    assert "a timestamp that dates it" not in text
    unread = timestamps.Timestamp(timestamps.KEPT, "the reply could not be read")
    monkeypatch.setattr(timestamps, "check_beside", lambda path: unread if path.stem == "seal" else stamp)
    assert "One commitment does not have a timestamp" in plain(report.build("evidence").read_text())


def test_the_lines_on_the_page_verify_the_evidence(mine, edubba):
    html = report.build("evidence").read_text()
    lines = re.sub("<.*?>", "", re.search(r'<pre class="code"><code>(.*?)</code>', html, re.S)[1])
    lines = unescape(lines).replace("\\\n", " ")
    lines = (
        lines.replace("PAPERS/", "owner.trace/").replace("PUBLISHED/", "published/").replace("ORIGINALS/", "photos/")
    )
    lines = [line.split() for line in lines.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert line[:2] == ["edubba", "trace"]
        said = edubba(*line[1:])
        assert said.code == 0, (line, said)


def test_evidence_shows_no_picture_no_key_and_no_file_name(mine):
    html = report.build("evidence").read_text()
    document = evidence.read("evidence")
    assert not re.findall(r"data:image/(?:png|webp|jpeg)", html)
    assert not [seed for seed in (*document["sub_key"]["carrier"], document["sub_key"]["coin"]) if seed in html]
    assert not [name for name in document["published"] if name in html]


def test_names_of_strangers_are_never_markup(mine):
    def change(document):
        document["suspect"]["name"] = "<script>alert(1)</script>"

    html = rewritten(mine / "evidence", change)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("folder", ["evidence", COPY])
def test_a_page_needs_nothing_from_outside(mine, folder):
    html = report.build(folder).read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert not re.findall(r"url\((?!#|data:)", html)
    assert "@import" not in html


def test_the_loss_gap_is_drawn_with_what_it_does_not_say(mine):
    found = json.loads(Path("evidence/loss_gap.json").read_text())
    text = plain(report.build("evidence").read_text())
    clean = found["references"].values()
    assert "The loss gap, with no guaranteed error rate" in text
    assert "Clean networks show such a gap too, it has no null, and it decides nothing." in text
    assert f"mean over {found['pictures']} marked pictures, minus the mean over their originals" in text
    assert (
        f"This model: {amount(found['suspect'], digits=4)}; clean networks: {amount(min(clean), digits=4)} to"
        f" {amount(max(clean), digits=4)}."
    ) in text
    Path("evidence/loss_gap.json").write_text(json.dumps(found | {"references": {}}))
    assert "clean networks:" not in plain(report.build("evidence").read_text())
    for spoilt in ("{", "[]", json.dumps(found | {"suspect": "much"}), json.dumps(found | {"suspect": float("nan")})):
        Path("evidence/loss_gap.json").write_text(spoilt)
        with pytest.raises(UserError, match=r"loss_gap\.json is damaged: copy it again, or delete it"):
            report.build("evidence")
    Path("evidence/loss_gap.json").unlink()  # as evidence that was made before there was such a file
    assert "loss gap" not in plain(report.build("evidence").read_text())


def test_numbers_of_things_agree_with_their_words(mine):
    def change(document):
        document["figures"]["decoys"]["as_high"] = 1
        document["figures"]["controls"] = [document["figures"]["controls"][0] | {"log10_p": -2.5}]

    text = same(plain(rewritten(mine / "evidence", change)))
    assert "Of 99 keys that nobody chose, 1 agrees at least as well." in text
    assert "1 network that never saw a mark was named in the first commitment" in text
    assert "1 of them reaches p = 0.01 all the same (reference-0); 0.01 are expected by chance." in text


# ---- the owner's page


def test_the_page_of_the_marks_says_what_the_run_says_and_that_it_is_private(mine):
    html = report.build(COPY).read_text()
    text, results = plain(html), json.loads((COPY / "results.json").read_text())
    found = {row["name"]: row for row in results["results"]}
    with np.load(COPY / "figures.npz") as arrays:
        marked, shift, cosine = len(arrays["psnr"]), arrays["shift"], arrays["cosine"]
    out = runs.read(COPY).resolved["out"]
    assert f"{marked} pictures in {out} carry the mark of the copy for public" in text
    assert "This page is private" in text
    assert "Do not publish it" in text
    assert amount(found["psnr"]["value"], digits=2) in text
    for i, (s, c) in enumerate(zip(shift, cosine, strict=True)):
        assert f"reference-{i} {s:.2f} {c:.2f}" in text
    assert "asked for 0.40 0.55" in text
    for words in results["warnings"]:
        assert same(words) in text
    assert f"edubba trace seal {out} --key owner.key" in text
    with np.load(COPY / "figures.npz") as arrays:
        files.write_npz(COPY / "figures.npz", {name: values for name, values in arrays.items() if name != "network"})
    assert f"network 1 {shift[0]:.2f} {cosine[0]:.2f}" in plain(report.build(COPY).read_text())


def test_the_difference_is_after_minus_before_as_often_as_is_said(mine):
    html = report.build(COPY).read_text()
    with np.load(COPY / "figures.npz") as arrays:
        before, after = arrays["before"], arrays["after"]
    change = after.astype(int) - before
    times = int(re.findall(r"difference × (\d+)", html)[0])
    assert times == 127 // np.abs(change).max()
    tiles = np.asarray(Image.open(io.BytesIO(base64.b64decode(re.findall(r"image/png;base64,([^)]+)", html)[0]))))
    n, side = len(before), before.shape[1]
    tiles = tiles.reshape(3, n, side, side, 3)
    np.testing.assert_array_equal(tiles[0], before)
    np.testing.assert_array_equal(tiles[1], after)
    np.testing.assert_array_equal(tiles[2].astype(int), 128 + times * change)


@pytest.mark.parametrize(
    ("shift", "cosine", "enough"), [(0.5, 0.7, True), (0.39, 0.7, False), (0.5, 0.54, False), (0.4, 0.55, True)]
)
def test_the_gate_asks_for_shift_and_cosine(mine, shift, cosine, enough):
    results = json.loads((COPY / "results.json").read_text())
    for row in results["results"]:
        if row["name"] in ("shift", "cosine"):
            value = {"shift": shift, "cosine": cosine}[row["name"]]
            row |= {"value": value, "low": value - 0.01, "high": value + 0.01}
    (COPY / "results.json").write_text(json.dumps(results))
    text = plain(report.build(COPY).read_text())
    assert ("That is as much as is asked for" in text) == enough
    assert ("That is less than is asked for" in text) != enough
    assert ("The mark is weak where it counts" in text) != enough


def test_mark_says_where_its_page_lies(house):
    assert f"report: {COPY / 'report.html'}" in house.said["mark"].out
    assert (house.root / COPY / "report.html").exists()
    assert "report: evidence/report.html" in house.said["test"].out


# ---- both


@pytest.mark.parametrize("folder", ["evidence", COPY])
def test_the_chapters_for_another_page_begin_with_the_answer(mine, folder):
    parts = report.sections(folder)
    html = report.build(folder).read_text()
    assert [unescape(title) for title in re.findall(r"<h2[^>]*>(.*?)</h2>", html)] == [part.title for part in parts]
    assert opening(html) == re.sub("`", "", parts[0].lead.split("\n\n")[0])


def test_other_folders_are_refused(mine):
    with pytest.raises(UserError, match=r"owner\.trace is a run of trace\.commit: a page is drawn of evidence, and"):
        report.build("owner.trace")
    with pytest.raises(UserError, match="photos is not a run folder"):
        report.build("photos")
    (COPY / "results.json").unlink()
    with pytest.raises(UserError, match="public is not finished: the same command that began it finishes it"):
        report.build(COPY)


@pytest.mark.browser
def test_the_pages_fit_phone_and_desk_in_light_and_dark_and_ask_for_nothing(browser, mine):
    for folder, drawings in (("evidence", 3), (COPY, 1)):
        page = report.build(mine / folder)
        grounds = {}
        for width in (380, 1200):
            for theme in ("light", "dark"):
                browser(
                    "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
                )  # fmt: skip
                browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
                browser.open(page)
                assert browser.ask("[...document.querySelectorAll('details')].map(d => d.open = true).length") > 0
                assert browser.ask(browser.TOO_WIDE) == []
                assert browser.ask(OVERLAPPED) == []
                assert browser.ask(BROKEN) == []
                assert browser.ask("document.documentElement.scrollWidth") <= width
                shown = "[...document.querySelectorAll('.drawing svg')].map(e => e.getBoundingClientRect().width > 0)"
                assert sum(browser.ask(shown)) == drawings
                grounds[theme] = browser.ask(browser.GROUND)
                wrong = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
                assert [event for event in browser.events if event["method"] in wrong] == []
                asked = [
                    e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
                ]
                assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
        assert grounds == {"light": "rgb(252, 250, 245)", "dark": "rgb(24, 21, 18)"}


BROKEN = """[...document.querySelectorAll(".code code")].flatMap(code => {
  const text = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = [];
  for (let node; node = text.nextNode();)
    for (const flag of node.data.matchAll(/--[a-z][\\w.-]*/g)) {
      const range = document.createRange();
      range.setStart(node, flag.index);
      range.setEnd(node, flag.index + flag[0].length);
      if (range.getClientRects().length > 1) found.push(flag[0]);
    }
  return found;
})"""
"""flags in lines of code that begin on one line and end on another"""
OVERLAPPED = """[...document.querySelectorAll(".facts dt, .facts dd")].filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.textContent)"""
"""names and values of facts that do not fit their column"""
