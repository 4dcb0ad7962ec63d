"""`plan` says what was found elsewhere at the nearest share, and counts with the settings it is given."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edubba import trace
from edubba.trace import laws, planning
from edubba.trace.spec import Commit, Mark

RECIPES = Path(__file__).parents[2] / "recipes" / "README.md"


@pytest.mark.parametrize(
    ("share", "nearest"), [(0.001, 0.05), (0.07, 0.05), (0.1, 0.1), (0.14, 0.1), (0.16, 0.2), (1.0, 0.2)]
)
def test_the_nearest_measured_share_is_said(mine, share, nearest):
    measured = trace.plan("photos", share=share).measured
    assert measured.share == nearest
    text = planning.words(measured)
    assert f"{100 * nearest:g} % marked ({measured.marked:,})" in text
    assert f"{measured.median} in the median and {measured.worst} at worst with clean references" in text
    assert f"{measured.median_twins} and {measured.worst_twins} with twins" in text
    assert "named from -2.3 on" in text
    assert text.endswith("Fewer marked pictures give less, and other data differ.")


def test_the_measured_figures_are_those_of_the_recipes():
    for row in planning.MEASURED:
        for name, figures in (("median", (row.median, row.median_twins)), ("worst", (row.worst, row.worst_twins))):
            line = re.search(rf"^\| \*\*{100 * row.share:g} %, {name}\*\* \|(.*)", RECIPES.read_text(), re.M)
            assert line is not None, (row.share, name)
            cells = [cell.strip() for cell in line[1].split("|")]
            assert (float(cells[2]), float(cells[4])) == figures


def test_plan_counts_with_the_settings_it_is_given(mine, edubba, refused):
    plain, other = (
        trace.plan("photos"), trace.plan("photos", share=0.25, psnr=36.0, held_out=0.5, directions=8),
    )  # fmt: skip
    assert (plain.psnr, plain.held_out, plain.dimensions) == (Mark.psnr, round(Commit.held_out * 288), 4 * 16)
    assert (other.marked, other.psnr, other.held_out, other.dimensions) == (72, 36.0, 144, 32)
    assert laws.cosine_log10_p(other.needed, 32) == pytest.approx(np.log10(0.005), abs=1e-2)
    assert other.rms == pytest.approx(2 * plain.rms, rel=0.01)  # 6 dB
    line = ["trace", "plan", "photos", "--share", "0.25", "--psnr", "36", "--held-out", "0.5", "--directions", "8"]
    said = edubba(*line).out
    assert "72 would be marked, 18 of the rarest class; 144 held out" in said
    assert planning.words(other.measured) in said
    document = json.loads(edubba(*line, "--json").out)
    assert document["measured"]["median"] == planning.MEASURED[2].median
    assert "--held-out 1: a share between 0 and 1" in refused("trace", "plan", "photos", "--held-out", "1")
    assert "--directions 1: at least 2" in refused("trace", "plan", "photos", "--directions", "1")
