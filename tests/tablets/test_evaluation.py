"""The protocol's arithmetic on pages made by hand: what counts, what does not, and what is no number at all."""

import numpy as np
import pytest
from torch import nn

from edubba.core import train
from edubba.core.errors import UserError
from edubba.tablets import evaluation, reading, signs, training
from edubba.tablets.evaluation import Judged
from edubba.tablets.records import Box, Line, Photograph, Sign, Surface, Tablet
from edubba.tablets.training import Page

NAMES = ("A", "B")
BOXES = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]


def reader():
    encoder = nn.Identity()
    encoder.dim = 2
    model, none = train.Classifier(encoder, 2), np.zeros(2, np.float32)
    return reading.Reader(nn.Identity(), 0.5, (1.0,), signs.Namer((model,), NAMES, (), 32, 0.1, {}, none, 1.0, 0.5))


def tablet(names, *, boxes=BOXES, region=None, lines=True, id="P1"):
    made = tuple(Sign(name=n or None, box=Box(*map(float, b))) for n, b in zip(names, boxes, strict=False))
    path = ((0.0, 5.0), (50.0, 5.0)) if lines else ()
    line = Line(kind="text" if lines else "unplaced", signs=made, path=path)
    face = Surface(box=None if region is None else Box(*region), lines=(line,))
    return Tablet(id=id, surfaces=(face,), photograph=Photograph(file=f"{id}.png", width=60, height=20))


def judged(names, said, *, found=None, region=None, true_said=None):
    """A page on which the boxes `found` (numbers) were detected and called `said`."""
    of = tablet(names, region=region)
    there = training.written(of)
    boxes = np.array([s.box for s in there], np.float32).reshape(-1, 4)
    regions = np.array([region or (0, 0, 60, 20)], np.float32)
    page = Page(of, np.zeros((20, 60), np.uint8), boxes, tuple(s.name or "" for s in there), regions, "test")
    found = list(range(len(said))) if found is None else found

    def told(words):
        return np.array([[0.9 if n == w else 0.05 for n in NAMES] for w in words], np.float32).reshape(-1, 2)

    return Judged(
        page, boxes[found], np.full(len(found), 0.9, np.float32), told(said), np.array(found, int),
        told(said if true_said is None else true_said), np.ones(len(found), bool), 0.0,
    )  # fmt: skip


def values(rows, some):
    return {name: statistic(some) for name, statistic in rows}


def test_a_name_that_the_reader_does_not_know_is_never_found_and_counts():
    j = judged(["A", "C", "C"], ["A", "A", "B"])
    rows = values(evaluation._detection([j], reader()), [j])
    assert rows["detection/ap50"] == pytest.approx(1)
    assert rows["detection+names/ap50 all names"] == pytest.approx(0.5)  # of A and C


def test_a_box_without_a_name_is_neither_right_nor_wrong():
    j = judged(["A", "", "B"], ["A", "A", "B"])
    assert evaluation._edits(j, reader()) == dict.fromkeys(
        ("nothing given", "true boxes", "true boxes and lines", "true boxes and names"), (0, 2)
    )


def test_faces_on_which_nothing_was_found_have_no_order():
    j = judged(["A", "B", "A"], [], true_said=["A", "B", "A"])
    rows = values(evaluation._order([j]), [j])
    assert rows["lines, true boxes/pair F1"] == 1
    assert np.isnan(rows["lines, detected boxes/pair F1"])
    assert rows["lines, detected boxes/faces with two signs found"] == 0
    assert values(evaluation._together([j], reader()), [j])["end to end/sign error rate, nothing given"] == 1


def test_what_lies_beside_the_annotated_faces_is_no_truth():
    j = judged(["A", "B", "A"], ["A", "B"], region=(0, 0, 35, 20))
    assert len(j.page.boxes) == 2
    assert values(evaluation._detection([j], reader()), [j])["detection/ap50"] == pytest.approx(1)
    assert [order for order, _ in evaluation.drawn(j.page)] == [[0, 1]]


def test_photographs_without_named_boxes_give_no_figures_and_no_crash():
    j = judged(["", "", ""], ["A", "A", "B"])
    rows = values(evaluation._names([j], reader()), [j])
    assert np.isnan(rows["names, true boxes/ece"])
    assert np.isnan(rows["names, true boxes/top-1"])


def test_a_face_whose_lines_hold_no_box_is_passed_over():
    of = tablet(["A", "B", "A"])
    empty = Surface(lines=(Line(kind="text", path=((0.0, 15.0), (50.0, 15.0))),))
    of = Tablet(id=of.id, surfaces=(*of.surfaces, empty), photograph=of.photograph)
    page = Page(of, np.zeros((20, 60), np.uint8), np.array(BOXES, np.float32), ("A", "B", "A"), np.zeros((0, 4)), "")
    assert [order for order, _ in evaluation.drawn(page)] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("id", "name", "group"),
    [
        ("PF_1_obv", "", "PF_1"),
        ("PF_1_rev", "", "PF_1"),
        ("P1", "K.1", "K.1"),
        ("K-12", "", "K-12"),
        ("verso", "", "verso"),
    ],
)
def test_both_faces_of_a_tablet_are_one_group(id, name, group):
    page = Page(Tablet(id=id, name=name), np.zeros((2, 2), np.uint8), np.zeros((0, 4)), (), np.zeros((0, 4)), "")
    assert page.group == group


def test_where_nothing_is_left_the_first_reason_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "gt_K.1-0.txt").write_text("1,2,3,4,KI\n")
    with pytest.raises(UserError, match=r"leaves no photograph to learn from: 1 were left out, the first because"):
        training.train_reader(tmp_path / "gt_K.1-0.txt", images=tmp_path / "empty", out=tmp_path / "run")
    with pytest.raises(UserError, match=r"leaves no photograph to measure on: 1 were left out"):
        evaluation.evaluate(reader(), tmp_path / "gt_K.1-0.txt", images=tmp_path / "empty")


def test_context_of_readings_is_refused():
    class Readings:
        tokens = "readings"

    with pytest.raises(UserError, match="this restorer learned readings"):
        reading.with_context(np.ones((1, 2), np.float32) / 2, (), NAMES, Readings())
