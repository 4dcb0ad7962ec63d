"""The probe: what is chosen where, what is left out, what is said of test pictures that were seen."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from edubba.contrast import Pretrain, Probe, Views, pretrain, probe
from edubba.contrast.probing import linear, logistic, milder, settings
from edubba.core import images, runs, train
from edubba.core import spec as toml
from edubba.core.errors import UserError
from edubba.core.settings import Fit

FIT = Fit(epochs=1, batch_size=16, warmup_epochs=0.0, keep="best", threads=1)
QUICK = Probe(methods=("knn", "linear", "scratch"), labels_per_class=(2,), draws=2, fewest_steps=2, fit=FIT)


def striped(n=90, split=None, group=None):
    """Upright against level stripes against squares, with noise: 8 px, three classes."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 60, (n, 8, 8))
    y = np.arange(n) % 3
    x[y == 0, :, ::2] += 150
    x[y == 1, ::2, :] += 150
    x[y == 2, 2:6, 2:6] += 150
    found = images.open(x.astype(np.uint8), labels=np.array(["upright", "level", "square"])[y])
    return replace(found, split=split, group=group)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    split = np.array(["train"] * 60 + ["validation"] * 12 + ["test"] * 18)
    spec = Pretrain(epochs=1, batch_size=16, threads=1, views=Views(preset="writing"))
    return pretrain(striped(split=split), spec, out=tmp_path_factory.mktemp("runs") / "a"), striped(split=split)


def test_results_have_intervals_and_no_choice_was_made_on_test(run, tmp_path):
    results = probe(run[0], run[1], spec=QUICK, out=tmp_path / "p")
    by = {r.name: r for r in results}
    for name in ("knn/2", "linear/2", "scratch/2", "linear/all"):
        r = by[f"{name}/accuracy"]
        assert 0 <= r.low <= r.value <= r.high <= 1
        assert (r.n, r.unit, r.split) == (18, "picture", "test")
    assert by["linear/2/accuracy"].draws == 2
    difference = by["linear/2/accuracy"].value - by["scratch/2/accuracy"].value
    assert by["linear-scratch/2/accuracy"].value == pytest.approx(difference)
    document = runs.read(tmp_path / "p").document
    assert {c["name"] for c in document["choices"]} >= {"linear/2", "linear/all", "scratch/2/step"}
    assert {c["split"] for c in document["choices"]} == {"validation"}
    again = probe(run[0], run[1], spec=QUICK, out=tmp_path / "p")
    assert again == results


def test_recall_is_accuracy_within_a_class(run, tmp_path):
    by = {r.name: r.value for r in probe(run[0], run[1], spec=QUICK, out=tmp_path / "p")}
    mean = np.mean([by[f"linear/all/recall/{word}"] for word in ("upright", "level", "square")])
    assert mean == pytest.approx(by["linear/all/accuracy"])  # the three classes are of one size


def test_pictures_that_were_pretrained_on_are_counted(run, tmp_path):
    results = probe(run[0], replace(run[1], split=None), spec=QUICK, out=tmp_path / "p")
    seen = next(r for r in results if r.name == "linear/all/accuracy").split
    assert seen.startswith("test (")
    assert seen.endswith("of 18 seen without labels)")
    assert any("the figures flatter" in words for words in runs.read(tmp_path / "p").document["warnings"])


def test_intervals_are_over_groups_where_they_are_known(run, tmp_path):
    group = np.array([f"site {i // 6}" for i in range(90)])
    results = probe(run[0], replace(run[1], group=group), spec=QUICK, out=tmp_path / "p")
    accuracy = next(r for r in results if r.name == "linear/all/accuracy")
    assert (accuracy.unit, accuracy.n) == ("group", 3)


def test_a_fraction_that_leaves_a_class_without_labels_is_left_out_and_named(run, tmp_path):
    results = probe(run[0], run[1], spec=replace(QUICK, methods=("knn",), fractions=(0.01, 0.5)), out=tmp_path / "p")
    names = {r.name for r in results}
    assert "knn/50%/accuracy" in names
    assert "knn/1%/accuracy" not in names
    assert "1% labels: left out, some class has too few" in runs.read(tmp_path / "p").document["warnings"]


def test_another_table_is_another_probe(run, tmp_path):
    probe(run[0], run[1], spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")
    other = np.roll(run[1].label, 1)
    with pytest.raises(UserError, match=r"is not what .* began with"):
        probe(run[0], replace(run[1], label=other), spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")


def test_a_half_done_probe_goes_on_where_it_stopped(run, tmp_path, monkeypatch):
    from edubba.contrast import probing

    whole = probe(run[0], run[1], spec=QUICK, out=tmp_path / "whole")
    real, calls = probing.network, []

    def breaks(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(probing, "network", breaks)
    with pytest.raises(KeyboardInterrupt):
        probe(run[0], run[1], spec=QUICK, out=tmp_path / "broken")
    done = probe(run[0], run[1], spec=QUICK, out=tmp_path / "broken")
    assert len(calls) == 1 + 1 + 2  # two draws and all labels; the first draw was kept
    assert {r.name: r.value for r in done} == {r.name: r.value for r in whole}


def test_a_linear_probe_chooses_on_validation_alone(run):
    """Test pictures replaced by noise, with wrong labels, change no choice."""
    from edubba.contrast.features import load_encoder
    from edubba.contrast.probing import prepare

    task, _, _ = prepare(load_encoder(run[0].path), run[1], None, None, QUICK)
    found = settings(task, QUICK)[0][0]
    h = task.h.copy()
    h[task.test] = np.random.default_rng(0).normal(size=h[task.test].shape)
    y = task.y.copy()
    y[task.test] = (y[task.test] + 1) % 3
    one, other = linear(task, task.h, found, more=None), linear(replace(task, y=y), h, found, more=None)
    assert one.chosen == other.chosen
    assert one.accuracy == other.accuracy
    assert all((a["validation"] == b["validation"]).all() for a, b in zip(one.logits, other.logits, strict=True))


def test_logistic_regression_gives_logits_for_classes_it_never_saw():
    x = np.random.default_rng(0).normal(size=(20, 3))
    logits = logistic(x, np.array([0, 2] * 10), 4, 0.1)(x)
    assert logits.shape == (20, 4)
    assert set(logits.argmax(1)) <= {0, 2}


def test_milder_views_are_half_as_strong_and_erase_nothing():
    mild = milder(Views(preset="writing", erase=0.3), 32)
    assert (mild.rotate, mild.levels, mild.erase) == (10.0, 0.175, 0.0)
    assert milder(Views(), 32).crop_min == pytest.approx(0.6)


def test_pictures_without_a_label_are_listed(run, tmp_path):
    label = run[1].label.copy()
    label[[3, 70]] = ""
    probe(run[0], replace(run[1], label=label), spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")
    lines = (tmp_path / "p" / "skipped.csv").read_text().splitlines()
    assert lines[1:] == ["000003,no-label,the table has none for it", "000070,no-label,the table has none for it"]
    document = runs.read(tmp_path / "p").document
    assert document["skipped"] == 2
    assert "2 of 90 pictures have no label and were left aside" in document["warnings"]


def test_a_memory_map_is_handed_on_as_it_is(run, tmp_path, monkeypatch):
    whole = probe(run[0], run[1], spec=QUICK, out=tmp_path / "whole")
    real, kinds = train.fit_classifier, []

    def spy(model, x, y, *, validation, **kwargs):
        kinds.extend([type(x), type(validation[0])])
        return real(model, x, y, validation=validation, **kwargs)

    monkeypatch.setattr(train, "fit_classifier", spy)
    on_disk = replace(run[1], x=images.Rows(run[1].x, np.arange(90)))
    results = probe(run[0], on_disk, spec=QUICK, out=tmp_path / "rows")
    assert set(kinds) == {images.Rows}
    assert [(r.name, r.value, r.low) for r in results] == [(r.name, r.value, r.low) for r in whole]


def test_the_chosen_step_is_told_with_its_score_and_the_candidates(run, tmp_path):
    spec = replace(QUICK, methods=("scratch",), fewest_steps=12)
    probe(run[0], run[1], spec=spec, out=tmp_path / "p")
    (few, every) = runs.read(tmp_path / "p").document["choices"]
    assert (few["name"], every["name"]) == ("scratch/2/step", "scratch/all/step")
    assert len(few["value"]) == len(few["score"]) == len(few["candidates"]) == 2  # draws
    for step, score, candidates in zip(few["value"], few["score"], few["candidates"], strict=True):
        assert len(candidates) == 12
        assert f"{step}: {score:.3f}" in candidates
        scores = [float(c.split(": ")[1]) for c in candidates]
        assert max(scores) == pytest.approx(score, abs=1e-3)
        assert candidates[int(np.argmax(scores))].startswith(f"{step}: ")  # the first of the highest


def test_where_the_last_step_is_kept_nothing_was_chosen(run, tmp_path):
    spec = replace(QUICK, methods=("scratch",), fit=replace(FIT, keep="last"))
    probe(run[0], run[1], spec=spec, out=tmp_path / "p")
    assert runs.read(tmp_path / "p").document["choices"] == []


def test_evaluate_every_is_honoured(run, tmp_path):
    spec = replace(QUICK, methods=("scratch",), fewest_steps=12, fit=replace(FIT, evaluate_every=5))
    probe(run[0], run[1], spec=spec, out=tmp_path / "p")
    candidates = runs.read(tmp_path / "p").document["choices"][0]["candidates"][0]
    assert [c.split(":")[0] for c in candidates] == ["5", "10", "12"]


@pytest.mark.parametrize(
    ("change", "words"), [({"seed": 3}, "--fit.seed 3"), ({"save_every": 5}, "--fit.save-every 5")]
)
def test_settings_that_would_be_ignored_are_refused(run, tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        probe(run[0], run[1], spec=replace(QUICK, fit=replace(FIT, **change)), out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def interrupted(run, out, monkeypatch, *, after):
    from edubba.contrast import probing

    real, calls = probing.network, []

    def breaks(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(probing, "network", breaks)
        with pytest.raises(KeyboardInterrupt):
            probe(run[0], run[1], spec=QUICK, out=out)


def test_seconds_are_of_all_sittings(run, tmp_path, monkeypatch):
    interrupted(run, tmp_path / "p", monkeypatch, after=1)
    (piece,) = (tmp_path / "p" / "pieces").iterdir()
    with np.load(piece) as kept:
        assert 0 < kept["seconds"] < 1000
        np.savez(piece, **(dict(kept) | {"seconds": np.array(1000.0)}))
    results = probe(run[0], run[1], spec=QUICK, out=tmp_path / "p")
    assert {1000 < r.seconds < 1100 for r in results} == {True}


def test_pieces_and_a_folder_of_an_older_edubba_go_on(run, tmp_path, monkeypatch):
    """0.1.0.dev0 kept the logits alone, wrote default views down, and neither run, labels, group nor encoder."""
    whole = probe(run[0], run[1], spec=QUICK, out=tmp_path / "whole")
    interrupted(run, tmp_path / "p", monkeypatch, after=1)
    (piece,) = (tmp_path / "p" / "pieces").iterdir()
    with np.load(piece) as kept:
        np.savez(piece, **{name: kept[name] for name in ("validation", "test")})
    tables = toml.read(tmp_path / "p" / "spec.toml")
    del tables["contrast"]["probe"]["run"], tables["resolved"]["encoder"]
    tables["contrast"]["probe"]["views"] = {"preset": "photos"}
    toml.write(tmp_path / "p" / "spec.toml", tables)
    results = probe(run[0], run[1], spec=QUICK, out=tmp_path / "p")
    assert [(r.name, r.value) for r in results] == [(r.name, r.value) for r in whole]
    choice = next(c for c in runs.read(tmp_path / "p").document["choices"] if c["name"] == "scratch/2/step")
    assert len(choice["value"]) == 1  # of the draw that was made now
    assert probe(run[0], run[1], spec=QUICK, out=tmp_path / "p") == results


def test_a_bundle_knows_what_was_seen_and_the_views_while_its_run_is_there(run, tmp_path):
    pictures = replace(run[1], split=None)
    whole = probe(run[0], pictures, spec=QUICK, out=tmp_path / "run")
    bundle = probe(run[0].path / "model", pictures, spec=QUICK, out=tmp_path / "bundle")
    assert [(r.name, r.value, r.split) for r in bundle] == [(r.name, r.value, r.split) for r in whole]
    assert bundle[0].split.startswith("test (")

    alone = shutil.copytree(run[0].path / "model", tmp_path / "alone" / "model")
    results = probe(alone, pictures, spec=QUICK, out=tmp_path / "p")
    assert results[0].split == "test"
    said = runs.read(tmp_path / "p").document["warnings"]
    assert any("it is unknown whether test pictures were learned from" in words for words in said)
    assert any("those of photos were taken, --views.preset chooses" in words for words in said)


def test_the_preset_of_photos_can_be_chosen_after_a_pretraining_on_writing(run, tmp_path, monkeypatch):
    taken = []
    real = train.fit_classifier

    def spy(*args, views, **kwargs):
        taken.append(views.preset)
        return real(*args, views=views, **kwargs)

    monkeypatch.setattr(train, "fit_classifier", spy)
    few = replace(QUICK, methods=("scratch",), draws=1)
    probe(run[0], run[1], spec=few, out=tmp_path / "own")
    probe(run[0], run[1], spec=replace(few, views=Views(preset="photos")), out=tmp_path / "photos")
    assert taken == ["writing", "writing", "photos", "photos"]


def test_one_class_among_the_train_pictures_is_refused_before_any_work(run, tmp_path, monkeypatch):
    from edubba.contrast import probing

    monkeypatch.setattr(probing, "features", None)
    label = run[1].label.copy()
    label[:60] = "level"
    with pytest.raises(UserError, match="all 60 train pictures of the array are 'level': a probe needs two classes"):
        probe(run[0], replace(run[1], label=label), spec=QUICK, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_refusal_names_another_encoder(run, tmp_path):
    probe(run[0], run[1], spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")
    other = pretrain(run[1], Pretrain(epochs=1, batch_size=16, threads=1, seed=1), out=tmp_path / "b")
    with pytest.raises(UserError, match=r"began with other settings \(run was '.*', is '.*'; encoder was '\w{12}', is"):
        probe(other, run[1], spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")


def test_a_run_that_has_moved_has_the_same_probe(run, tmp_path):
    moved = shutil.copytree(run[0].path, tmp_path / "moved")
    results = probe(run[0], run[1], spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p")
    assert probe(moved, run[1], spec=replace(QUICK, methods=("knn",)), out=tmp_path / "p") == results


def test_pretraining_tells_the_step_that_it_kept(tmp_path):
    split = np.array(["train"] * 60 + ["validation"] * 12 + ["test"] * 18)
    spec = Pretrain(epochs=4, batch_size=16, threads=1, keep="best", views=Views(preset="writing"))
    found = pretrain(striped(split=split), spec, out=tmp_path / "a")
    (choice,) = found.document["choices"]
    scores = {line["step"]: line["score"] for line in found.metrics if line["kind"] == "eval"}
    assert choice["candidates"] == [f"{step}: {score:.4f}" for step, score in scores.items()]
    assert choice["score"] == pytest.approx(max(scores.values()))
    assert choice["value"] == max(scores, key=scores.get)
    assert choice["split"] == "validation"
