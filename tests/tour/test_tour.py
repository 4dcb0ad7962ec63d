"""The tour, with fewer steps than a person gets."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tomli_w

from edubba import cli
from edubba.core import catalogue
from edubba.core.settings import Fit

PARTS = {"train": 30, "validation": 8, "test": 12}


@pytest.fixture
def short(monkeypatch, tmp_path):
    from edubba.tour import contrast, trace

    monkeypatch.chdir(tmp_path)
    with np.load(catalogue.find(contrast.SOURCE), allow_pickle=False) as data:
        first = [
            np.flatnonzero((data["split"] == part) & (data["y"] == k))[:n]
            for k in range(3)
            for part, n in PARTS.items()
        ]
        rows = np.concatenate(first)
        np.savez("few.npz", x=data["x"][rows], y=data["y"][rows], split=data["split"][rows], classes=data["classes"])
    catalogue.add("few", "few.npz")
    monkeypatch.setattr(contrast, "SOURCE", "few")
    monkeypatch.setattr(contrast, "PRETRAIN", replace(contrast.PRETRAIN, epochs=1, image_size=12, threads=1))
    fit = Fit(epochs=1, batch_size=32, threads=1, keep="best")
    probe = replace(contrast.PROBE, fit=fit, draws=1, fewest_steps=2, labels_per_class=(5,))
    monkeypatch.setattr(contrast, "PROBE", probe)
    monkeypatch.setattr(trace, "SOURCE", "few")
    monkeypatch.setattr(trace, "COMMIT", replace(trace.COMMIT, directions=2, probes=2))
    monkeypatch.setattr(trace, "MARK", replace(trace.MARK, share=0.2, steps=1))
    monkeypatch.setattr(trace, "SCRATCH", Fit(epochs=1, batch_size=32, threads=1))
    return tmp_path


def test_the_tour_ends_with_a_report_and_says_when_it_was_measured(short, capsys):
    assert cli.run(["demo"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "report: demo/report.html"
    page = (short / "demo" / "report.html").read_text()
    assert len(page) < 3_000_000
    assert "http-equiv" in page
    assert page.count(">In short</h2>") == 1  # the answer, once, before the evidence
    assert "a linear classifier on the learned features" in page
    assert 'src="http' not in page
    assert "Oracle-MNIST&#39;s (Apache-2.0; Wang and Deng 2024); marks after radioactive data" in page
    assert "Was a model trained on these pictures?" in page
    first = (short / "demo/contrast/results.json").read_bytes()

    assert cli.run(["demo", "contrast"]) == 0
    assert "--fresh measures again" in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() == first

    assert cli.run(["demo", "--fresh"]) == 0
    assert "measured on" not in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() != first


def test_measured_is_said_of_a_whole_chapter_only_and_another_versions_folder_names_the_way_out(short, capsys):
    assert cli.run(["demo"]) == 0
    probe = short / "demo/contrast/probe"
    results = (probe / "results.json").read_bytes()
    (probe / "results.json").unlink()
    capsys.readouterr()
    assert cli.run(["demo"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("contrast: learning from pictures, about 3 minutes on 2 cores\n")
    assert "contrast: measured on" not in out
    assert (probe / "results.json").read_bytes() != results

    spec = tomllib.loads((probe / "spec.toml").read_text())
    spec["contrast"]["probe"]["k"] = 7
    (probe / "spec.toml").write_text(tomli_w.dumps(spec))
    assert cli.run(["demo"]) == 1
    said = "demo/contrast/probe began with other settings (k was 7, is 20): --fresh measures again, -o takes another folder"
    assert capsys.readouterr().err == f"edubba: {said}\n"
    assert cli.run(["demo", "--fresh"]) == 0
    assert not list((short / "demo").rglob("lock*"))


def test_a_chapter_alone_walks_through_what_it_stands_on_first(short, capsys):
    assert cli.run(["demo", "trace"]) == 0
    said = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.endswith(" s")]
    assert said == ["contrast", "trace"]
    before = (short / "demo/contrast/results.json").read_bytes()
    assert cli.run(["demo", "trace", "--fresh"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("trace: ")
    assert (short / "demo/contrast/results.json").read_bytes() == before
