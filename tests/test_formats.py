"""Files of every version of every format must load for ever; `model` has its own test in core."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np

from edubba.contrast import report
from edubba.core import runs
from edubba.core.stats import Result
from edubba.tablets import records

RUN = Path(__file__).parent / "data" / "run-1"
TABLETS = Path(__file__).parent / "data" / "tablets-1"


def test_a_run_folder_of_the_first_version_is_read():
    run = runs.read(RUN)
    assert run.verb == "contrast.pretrain"
    assert run.done
    assert run.resolved["format"] == "edubba.run/1"
    assert {line["kind"] for line in run.metrics} >= {"start", "train", "eval"}
    with np.load(RUN / "figures.npz", allow_pickle=False) as figures:
        assert {"embedding", "map", "thumbnails", "label", "file", "neighbours", "similarity"} <= set(figures)


def test_results_of_the_first_version_are_read():
    for path in (RUN, RUN / "probe"):
        document = json.loads((path / "results.json").read_text())
        assert document["format"] == "edubba.results/1"
        results = runs.read(path).results
        assert [r.to_dict() for r in results] == document["results"]
        assert all(isinstance(r, Result) for r in results)
        assert all(choice["split"] != "test" for choice in document["choices"])


def test_its_report_can_be_drawn_again(tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    page = report.build(tmp_path / "run").read_text()
    assert "Learned from" in page
    assert len(page) < 3_000_000


def test_tablets_of_the_first_version_are_read(tmp_path):
    meant = runpy.run_path(str(TABLETS / "make.py"))["tablet"]()
    whole, bare = records.read(TABLETS / "tablet.json")
    assert whole == meant
    assert bare == records.Tablet(id="bare")
    again = records.write([whole, bare], tmp_path / "again.json")
    assert json.loads(again.read_text("utf-8")) == json.loads((TABLETS / "tablet.json").read_text("utf-8"))
