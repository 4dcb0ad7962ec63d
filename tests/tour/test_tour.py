"""The tour, with fewer steps than a person gets."""

from dataclasses import replace

import pytest

from edubba import cli
from edubba.core.settings import Fit


@pytest.fixture
def short(monkeypatch, tmp_path):
    from edubba.tour import contrast

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contrast, "PRETRAIN", replace(contrast.PRETRAIN, epochs=1, limit=120, image_size=12, threads=1))
    fit = Fit(epochs=1, batch_size=32, threads=1, keep="best")
    probe = replace(contrast.PROBE, fit=fit, draws=1, fewest_steps=2, labels_per_class=(5,))
    monkeypatch.setattr(contrast, "PROBE", probe)
    return tmp_path


def test_the_tour_ends_with_a_report_and_says_when_it_was_measured(short, capsys):
    assert cli.run(["demo"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "report: demo/report.html"
    page = (short / "demo" / "report.html").read_text()
    assert len(page) < 3_000_000
    assert "http-equiv" in page
    assert 'src="http' not in page
    first = (short / "demo/contrast/results.json").read_bytes()

    assert cli.run(["demo", "contrast"]) == 0
    assert "--fresh measures again" in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() == first

    assert cli.run(["demo", "--fresh"]) == 0
    assert "measured on" not in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() != first
