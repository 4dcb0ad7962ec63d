import json
import math
import re
import tomllib
from html.parser import HTMLParser

import numpy as np
import pytest
import tomli_w

from edubba.contrast import report
from edubba.core.errors import UserError

CLASSES = ["ox", "sun <b>", "house & yard", "fish"]


def result(name, value, spread=0.02, **other):
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    common = {
        "level": 0.95,
        "method": "bootstrap",
        "n": 1000,
        "unit": "picture",
        "draws": 5,
        "seed": 0,
        "data": "signs",
    }
    common |= {
        "split": "test",
        "seconds": 2.0,
        "command": "edubba contrast probe runs/a signs.npz",
        "machine": "2 cores",
    }
    common |= {"edubba": "0.1.0", "date": "2026-11-20"}
    return {"name": name, "value": value, "low": low, "high": high} | common | other


def pictures(m, side, channels, classes):
    """Discs and bars whose shape tells the class and whose place is random."""
    rng = np.random.default_rng(0)
    label = np.arange(m) % classes
    y, x = np.mgrid[:side, :side] / side - 0.5
    out = np.zeros((m, side, side, channels), np.uint8)
    for i, k in enumerate(label):
        angle, dx, dy = 2 * math.pi * k / classes, *rng.uniform(-0.1, 0.1, 2)
        along = (x - dx) * math.cos(angle) + (y - dy) * math.sin(angle)
        shape = 0.5 + 0.5 * np.tanh(20 * (0.2 - np.abs(along))) * (np.hypot(x - dx, y - dy) < 0.45)
        out[i] = (shape[..., None] * rng.uniform(150, 255, channels)).astype(np.uint8)
    return out, label


def write_run(path, settings, resolved, *, metrics, results, choices=(), warnings=(), skipped=0, arrays):
    path.mkdir(parents=True)
    spec = {"contrast": settings, "resolved": {"format": "edubba.run/1", "machine": "2 cores"} | resolved}
    (path / "spec.toml").write_text(tomli_w.dumps(spec), encoding="utf-8")
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    document = {"format": "edubba.results/1", "results": results, "choices": list(choices), "warnings": list(warnings)}
    (path / "results.json").write_text(json.dumps(document | {"skipped": skipped}))
    np.savez_compressed(path / "figures.npz", **arrays)
    return path


def pretrained(path, *, m=60, side=12, channels=1, names=CLASSES, labels=True, steps=400, warnings=(), **settings):
    thumbnails, label = pictures(m, side, channels, len(names))
    rng = np.random.default_rng(1)
    angle = 2 * np.pi * label / len(names)
    xy = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.3 * rng.normal(size=(m, 2))
    rows = np.stack([[q, *(np.argsort(np.linalg.norm(xy - xy[q], axis=1))[1:9])] for q in range(min(m, 12))])
    metrics = [{"kind": "start", "step": 0, "epoch": 0.0, "time": 0.0}]
    for step in range(10, steps + 1, 10):
        done = step / steps
        line = {"step": step, "epoch": 20 * done, "time": 240 * done}
        excess = 3 * math.exp(-3 * done)
        measures = {
            "loss": excess + 0.2,
            "floor": 0.2,
            "excess": excess,
            "contrastive_accuracy": 0.9 * done,
            "lr": 0.001,
        }
        metrics.append(
            {"kind": "train"} | line | measures | {"grad_norm": 1.0, "images_per_second": 3000.0, "waiting": 0.02}
        )
        if step % 80 == 0:
            knn = 0.8 * done if labels else None
            measures = {"knn": knn, "alignment": 0.3, "uniformity": -2 * done, "effective_rank": 30 * done}
            metrics.append({"kind": "eval"} | line | measures)
    metrics.append({"kind": "warn", "step": 10, "epoch": 0.5, "time": 6.0, "words": "one batch was odd"})
    arrays = {"embedding": np.zeros((m, 64), np.float32), "map": xy.astype(np.float32), "thumbnails": thumbnails}
    arrays |= {"label": np.array([names[k] if labels else "" for k in label]), "neighbours": rows}
    arrays |= {"similarity": np.linspace(0.99, 0.5, 8 * len(rows)).reshape(-1, 8).astype(np.float32)}
    settings = {"pretrain": {"source": "signs.npz", "encoder": "small", "epochs": 20, "batch_size": 64} | settings}
    resolved = {
        "shown": "held-out",
        "n": 800,
        "image_size": side,
        "steps": steps,
        "device": "cpu",
        "threads": 2,
        "processes": 1,
    }
    results = [result("contrastive accuracy", 0.866, None, split="train"), result("effective_rank", 30.0, None)]
    results += [result("knn", 0.8, None, split="validation")] if labels else []
    results = [line | {"seconds": 240.0} for line in results]
    return write_run(
        path, settings, resolved, metrics=metrics, results=results, skipped=2, warnings=warnings, arrays=arrays
    )


ACCURACY = {
    "linear": {"5": 0.712, "20": 0.806, "1%": 0.6, "all": 0.873},
    "finetune": {"5": 0.68, "20": 0.8, "all": 0.902},
    "knn": {"5": 0.655, "20": 0.76, "1%": 0.55, "all": 0.828},
    "scratch": {"5": 0.483, "20": 0.671, "1%": 0.4, "all": 0.861},
    "pixels": {"5": 0.412, "20": 0.539, "1%": 0.35, "all": 0.668},
}


def probed(
    path, *, names=CLASSES, accuracy=ACCURACY, differences=(0.229, 0.2, 0.25), side=12, channels=1, unit="picture"
):
    c = len(names)
    results = [
        result(f"{method}/{token}/accuracy", value, unit=unit)
        for method, by_token in accuracy.items()
        for token, value in by_token.items()
    ]
    value, low, high = differences
    results.append(result("linear-scratch/5/accuracy", value) | {"low": low, "high": high})
    for i, name in enumerate(names):
        results.append(result(f"linear/all/recall/{name}", 0.95 - 0.3 * i / c, 0.04))
        results.append(result(f"scratch/all/recall/{name}", 0.9 - 0.3 * i / c, 0.05))
    results += [result(f"linear/all/ece_{when}", ece, 0.01) for when, ece in (("before", 0.081), ("after", 0.021))]
    results.append(result("linear/all/temperature", 1.64, None, split="validation"))
    confusion = 40 * np.eye(c, dtype=int)
    confusion[np.arange(c), (np.arange(c) + 1) % c] += np.arange(c) % 7 + 1
    mistakes, label = pictures(10, side, channels, c)
    confidence, count = np.linspace(0.1, 0.95, 10), np.arange(10) * 20.0
    coverage = np.linspace(0.01, 1, 300)
    arrays = {"classes": np.array(names), "confusion": confusion}
    arrays |= {"reliability_before": np.stack([confidence, confidence**1.4, count])}
    arrays |= {"reliability_after": np.stack([confidence, confidence, count])}
    arrays |= {"abstention": np.stack([coverage, 1 - 0.127 * coverage**2]), "mistakes_thumbnails": mistakes}
    arrays |= {"mistakes_true": np.array(names)[label], "mistakes_said": np.array(names)[label - 1]}
    choices = [{"name": "l2", "value": 0.03, "candidates": [0.001, 0.03], "metric": "accuracy", "split": "validation"}]
    resolved = {"n": 3000, "labels": {"1%": 2.0, "5": 5.0, "20": 20.0, "all": 200.0}}
    settings = {"probe": {"source": "signs.npz", "draws": 5}}
    return write_run(path, settings, resolved, metrics=[], results=results, choices=choices, arrays=arrays)


class Text(HTMLParser):
    """What a person reads, by section heading; drawings are left out."""

    def __init__(self, html):
        super().__init__()
        self.inside, self.sections, self.heading = [], {"": ""}, ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "i", "path", "use", "image"):
            self.inside.append(tag)
        if tag == "h2":
            self.heading = None

    def handle_endtag(self, tag):
        if self.heading is not None and tag in ("td", "th", "span", "dt"):
            self.sections[self.heading] += " "
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if {"svg", "style"} & set(self.inside):
            return
        if self.heading is None:
            self.heading = data
            self.sections[data] = ""
        else:
            self.sections[self.heading] += re.sub(r"\s+", " ", data)


def read_page(path):
    html = re.sub('<span class="flag">(.*?)</span>', r"\1", path.read_text(encoding="utf-8"))
    return Text(html).sections


def test_the_first_lines_say_what_was_learned_with_interval_unit_and_limits(tmp_path):
    run = pretrained(tmp_path / "a")
    probed(run / "probe", accuracy={m: {t: v for t, v in by.items() if t != "1%"} for m, by in ACCURACY.items()})
    first = read_page(report.build(run))[""]
    assert "With 5 labels a class, a linear classifier on the learned features names 71.2 % [69.2, 73.2]" in first
    assert "of the held-out pictures rightly" in first
    assert "On the raw pixels the same classifier reaches 41.2 % [39.2, 43.2]." in first
    assert "trained on those labels alone, without pretraining, reaches 48.3 % [46.3, 50.3]" in first
    assert "pretraining is better by 22.9 points [20.0, 25.0]" in first
    assert "With all labels the linear classifier reaches 87.3 % [85.3, 89.3]" in first
    assert "Intervals are 95 %, by bootstrap over 1,000 pictures of test, mean of 5 draws" in first
    assert "if several pictures show one object, the intervals are too narrow" in first
    assert "it says nothing about another collection" in first


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((0.229, 0.2, 0.25), "pretraining is better by 22.9 points [20.0, 25.0]"),
        ((0.01, -0.02, 0.03), "a difference of 1.0 points [−2.0, 3.0], which these pictures cannot tell from none"),
        ((-0.05, -0.08, -0.01), "pretraining is worse by 5.0 points [1.0, 8.0]"),
    ],
)
def test_a_difference_is_only_claimed_when_its_interval_leaves_out_zero(tmp_path, difference, words):
    run = probed(tmp_path / "probe", differences=difference, accuracy={m: {"5": v["5"]} for m, v in ACCURACY.items()})
    assert words in read_page(report.build(run))[""]


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ((0.1, 0.05, 0.15), "reaches 41.2 % [39.2, 43.2], 10.0 points [5.0, 15.0] less."),
        ((0.01, -0.05, 0.05), "which cannot be told from what was learned."),
        ((-0.1, -0.15, -0.05), "more than on what was learned."),
    ],
)
def test_features_no_better_than_pixels_are_owned_up_to(tmp_path, gain, words):
    run = probed(tmp_path / "probe", accuracy={m: {"5": v["5"]} for m, v in ACCURACY.items()})
    document = json.loads((run / "results.json").read_text())
    value, low, high = gain
    document["results"].append(result("linear-pixels/5/accuracy", value) | {"low": low, "high": high})
    (run / "results.json").write_text(json.dumps(document))
    assert words in read_page(report.build(run))[""]


@pytest.mark.parametrize(
    ("shown", "words", "never"),
    [
        ("held-out", "Pictures that the network was not trained on", "trained on all of them"),
        ("training", "It was trained on all of them", "held-out"),
        (None, "Some pictures, and which of the others", "trained on"),
    ],
)
def test_pictures_are_called_held_out_only_when_the_folder_says_so(tmp_path, shown, words, never):
    run = pretrained(tmp_path / "a")
    spec = tomllib.loads((run / "spec.toml").read_text())
    spec["resolved"] = {k: v for k, v in (spec["resolved"] | {"shown": shown}).items() if v is not None}
    (run / "spec.toml").write_text(tomli_w.dumps(spec))
    page = read_page(report.build(run))["What it holds to be alike"]
    assert words in page
    assert never not in page


def test_amounts_of_labels_are_ordered_even_where_they_are_not_counted(tmp_path):
    run = probed(tmp_path / "probe")
    spec = tomllib.loads((run / "spec.toml").read_text())
    del spec["resolved"]["labels"]
    (run / "spec.toml").write_text(tomli_w.dumps(spec))
    assert report.probe.tokens(report.read(run)) == ["5", "20", "1%", "all"]
    assert "With 5 labels a class" in read_page(report.build(run))[""]


def test_intervals_over_groups_carry_no_warning_about_single_pictures(tmp_path):
    first = read_page(report.build(probed(tmp_path / "probe", unit="patient")))[""]
    assert "over 1,000 patients of test" in first
    assert "too narrow" not in first


def test_a_pretraining_with_its_probe_makes_one_page_in_reading_order(tmp_path):
    run = pretrained(tmp_path / "a", warnings=["three pictures were used once"])
    probed(run / "probe")
    page = read_page(report.build(run))
    assert list(page)[1:] == [
        "In short", "What it holds to be alike", "A map", "How many labels it takes", "Class by class",
        "What it mistakes for what", "When to believe it", "How the training went", "The record of the pretraining",
        "The record of the probe",
    ]  # fmt: skip
    assert "three pictures were used once" in page["The record of the pretraining"]
    assert "one batch was odd" in page["The record of the pretraining"]
    assert "2 inputs were skipped" in page["The record of the pretraining"]
    assert "4.0 min" in page["The record of the pretraining"]
    assert (
        f"edubba contrast pretrain signs.npz \\ --config {run}/spec.toml \\ --out {run}-again"
        in page["The record of the pretraining"]
    )
    again = f"edubba contrast probe {run} signs.npz \\ --config {run}/probe/spec.toml \\ --out {run}/probe-again"
    assert again in page["The record of the probe"]
    assert "Choices made by looking at results: 1, on validation." in page["The record of the probe"]
    assert re.search("l2 *0.03 *0.001, 0.03 *accuracy *validation", page["The record of the probe"])
    assert "linear probe 60.0 % [58.0, 62.0] 71.2 % [69.2, 73.2]" in page["How many labels it takes"]
    assert "finds 95.0 % of the pictures of ‘ox’ and 72.5 % of ‘fish’" in page["Class by class"]
    assert "house & yard" in page["Class by class"]
    assert "off by 8.1 points on average, and by 2.1 points [1.1, 3.1]" in page["When to believe it"]
    assert "fitted on the validation split" in page["When to believe it"]


def test_the_least_labels_come_first_when_the_folder_counts_them(tmp_path):
    first = read_page(report.build(probed(tmp_path / "probe")))[""]
    assert "With 1 % of the labels (about 2 a class), a linear classifier" in first


def test_without_labels_the_page_says_what_it_cannot_know(tmp_path):
    page = read_page(report.build(pretrained(tmp_path / "a", labels=False)))
    assert "Among the 127 other views in a batch" in page[""]
    assert "(guessing: 0.8 %)" in page[""]
    assert (
        "No labels were at hand, so this page cannot say whether what it holds to be alike is alike to you" in page[""]
    )
    assert "same class" not in page["What it holds to be alike"]
    assert "named rightly" not in page["How the training went"]


def test_neighbours_of_the_same_class_are_counted(tmp_path):
    run = pretrained(tmp_path / "a")
    with np.load(run / "figures.npz") as arrays:
        label, rows = arrays["label"], arrays["neighbours"]
    right = sum(label[row[0]] == label[other] for row in rows for other in row[1:])
    assert (
        f"Of 96 such neighbours {right} are of the same class"
        in read_page(report.build(run))["What it holds to be alike"]
    )


def test_many_classes_get_a_table_of_the_commonest_errors(tmp_path):
    names = [f"sign {i}" for i in range(137)]
    page = read_page(report.build(probed(tmp_path / "probe", names=names)))
    assert "The commonest errors among 137 classes." in page["What it mistakes for what"]
    assert "sign 6 sign 7 7" in re.sub(" +", " ", page["What it mistakes for what"])


def test_the_largest_page_stays_under_three_megabytes(tmp_path):
    names = [f"sign {i}" for i in range(137)]
    run = pretrained(tmp_path / "a", m=2000, names=names, steps=50_000)
    noise = np.random.default_rng(0).integers(0, 256, (2000, 64, 64, 3), np.uint8)
    with np.load(run / "figures.npz") as file:
        arrays = dict(file) | {"thumbnails": noise}
    np.savez(run / "figures.npz", **arrays)
    probed(run / "probe", names=names, side=64, channels=3)
    assert report.build(run).stat().st_size < 3_000_000


def test_the_chapters_can_stand_on_another_page(tmp_path):
    run = pretrained(tmp_path / "a")
    probed(run / "probe")
    chapters = report.sections_pretrain(run) + report.sections_probe(run / "probe")
    assert [s.title for s in chapters if s.title == "In short"] == ["In short"] * 2
    assert "A `small` network looked at 800 pictures 20 times" in chapters[0].lead
    assert not (run / "report.html").exists()


def test_the_same_folder_gives_the_same_page(tmp_path):
    run = pretrained(tmp_path / "a")
    assert report.build(run).read_bytes() == report.build(run).read_bytes()


def test_an_unfinished_run_is_refused(tmp_path):
    run = pretrained(tmp_path / "a")
    (run / "results.json").unlink()
    with pytest.raises(UserError) as error:
        report.build(run)
    sentence = f"{run} is not a finished run: it has no results.json; the same command that began it finishes it"
    assert str(error.value) == sentence


def test_another_room_s_run_is_refused(tmp_path):
    run = pretrained(tmp_path / "a")
    (run / "spec.toml").write_text("[trace.mark]\nlevel = 1\n[resolved]\n")
    with pytest.raises(UserError) as error:
        report.build(run)
    sentence = f"{run} is not a run of contrast pretrain or probe: its spec.toml has tables trace, resolved"
    assert str(error.value) == sentence


# ---- in a browser


@pytest.mark.browser
def test_the_page_fits_phone_and_desk_in_light_and_dark_and_asks_for_nothing(browser, tmp_path):
    run = pretrained(tmp_path / "a", names=[*CLASSES, "a-very-long-name-of-a-class-without-any-space-in-it" * 2])
    probed(run / "probe", names=[*CLASSES, "a-very-long-name-of-a-class-without-any-space-in-it" * 2])
    page = report.build(run)
    grounds = {}
    for width in (390, 1200):
        for theme in ("light", "dark"):
            browser(
                "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
            )
            browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            browser.open(page)
            assert browser.ask(browser.TOO_WIDE) == []
            assert browser.ask("document.documentElement.scrollWidth") <= width
            shown = "[...document.querySelectorAll('.drawing svg')].map(e => e.getBoundingClientRect().width > 0)"
            drawn = browser.ask("document.querySelectorAll('.drawing').length")
            assert sum(browser.ask(shown)) == drawn == 7  # of each drawing the one for this width
            grounds[theme] = browser.ask(browser.GROUND)
            wrong = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
            assert [event for event in browser.events if event["method"] in wrong] == []
            asked = [
                e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
            ]
            assert {url.split(":")[0] for url in asked} <= {"file", "data"}
            assert [url for url in asked if url.startswith("file:")] == [page.as_uri()]
    assert grounds == {"light": "rgb(252, 250, 245)", "dark": "rgb(24, 21, 18)"}
