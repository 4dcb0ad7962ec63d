"""The tour, with fewer steps than a person gets."""

import csv
import gzip
import io
import sys
import tomllib
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import tomli_w
import torch

from edubba import cli
from edubba.core import catalogue, runs, stats
from edubba.core.settings import Fit

PARTS = {"train": 30, "validation": 8, "test": 12}


@pytest.fixture
def short(monkeypatch, tmp_path):
    from edubba.papers import static
    from edubba.tour import contrast, quantum, tablets, trace

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
    monkeypatch.setattr(quantum, "SOURCE", "few")
    monkeypatch.setattr(
        quantum, "COMPARE", quantum.Compare(labels_per_class=5, steps=2, batch_size=8, trials=2, seeds=3)
    )
    finding = replace(tablets.FINDING, batch_size=2, threads=1)
    naming = replace(tablets.READER.naming, size=24, fit=replace(tablets.NAMING, epochs=1, batch_size=32, threads=1))
    reader = replace(
        tablets.READER, detecting=replace(tablets.READER.detecting, steps=3, crop=96, fit=finding), naming=naming
    )
    monkeypatch.setattr(tablets, "READER", reader)
    monkeypatch.setattr(
        tablets, "RESTORER", replace(tablets.RESTORER, width=32, layers=1, epochs=1, places=10, threads=1)
    )
    monkeypatch.setattr(tablets, "TABLETS", 6)
    monkeypatch.setattr(tablets, "MORE_TEXTS", 10)
    monkeypatch.setattr(static, "FEWEST", 10**6)
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
    assert "Does a quantum head do better?" in page
    assert "Rx(x7)" in page
    assert "Can a machine read clay?" in page
    assert "No tablet of a museum may be shipped with a program, so these were rendered" in page
    assert "Any type of general mask use is likely to decrease viral exposure" in page
    assert "10.1371/journal.pone.0002618, CC-BY" in page
    assert "The basic reproduction number of COVID-19: " in page
    assert "What speaks for it" in page
    first = (short / "demo/contrast/results.json").read_bytes()

    assert cli.run(["demo", "contrast"]) == 0
    assert "--fresh measures again" in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() == first

    assert cli.run(["demo", "--fresh"]) == 0
    assert "measured on" not in capsys.readouterr().out
    assert (short / "demo/contrast/results.json").read_bytes() != first
    assert not [file for file in (short / "demo").rglob("lock*") if file.parent.name != "library"]


def test_measured_is_said_of_a_whole_chapter_only_and_another_versions_folder_names_the_way_out(short, capsys):
    assert cli.run(["demo", "contrast"]) == 0
    probe = short / "demo/contrast/probe"
    results = (probe / "results.json").read_bytes()
    (probe / "results.json").unlink()
    capsys.readouterr()
    assert cli.run(["demo", "contrast"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("contrast: learning from pictures, about 3 minutes on 2 cores\n")
    assert "contrast: measured on" not in out
    assert (probe / "results.json").read_bytes() != results

    spec = tomllib.loads((probe / "spec.toml").read_text())
    spec["contrast"]["probe"]["k"] = 7
    (probe / "spec.toml").write_text(tomli_w.dumps(spec))
    assert cli.run(["demo", "contrast"]) == 1
    said = "demo/contrast/probe began with other settings (k was 7, is 20): --fresh measures again, -o takes another folder"
    assert capsys.readouterr().err == f"edubba: {said}\n"
    assert cli.run(["demo", "contrast", "--fresh"]) == 0


def test_a_chapter_alone_walks_through_what_it_stands_on_first(short, capsys):
    assert cli.run(["demo", "trace"]) == 0
    said = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.endswith(" s")]
    assert said == ["contrast", "trace"]
    before = (short / "demo/contrast/results.json").read_bytes()
    assert cli.run(["demo", "trace", "--fresh"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("trace: ")
    assert (short / "demo/contrast/results.json").read_bytes() == before


# ---- the chapter about heads


@pytest.fixture
def task():
    """Three classes around three points, 30 pictures each: 20 to train on, 4 to choose by, 6 to test on."""
    from edubba.tour import quantum

    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 12)) + 4 * np.eye(12)[y]) / 12**0.5
    rows = np.arange(90)
    return quantum.Task(torch.from_numpy(x).float(), y, 3, rows[:60], rows[60:72], rows[72:])


def test_the_pictures_are_split_as_in_the_first_chapter_and_measured_by_those_to_train_on(short):
    from edubba.core import images
    from edubba.tour import quantum

    pictures = images.open(catalogue.find("few"), size=12)
    h = np.random.default_rng(0).normal(size=(len(pictures), 100)).astype(np.float32) * 7 + 3
    of = quantum.task_of(pictures, h)
    for part in ("train", "validation", "test"):
        assert getattr(of, part).tolist() == np.flatnonzero(pictures.split == part).tolist()
    assert [np.unique(pictures.label)[k] for k in of.y] == pictures.label.tolist()
    learned = of.x[of.train].numpy()
    np.testing.assert_allclose(learned.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((learned**2).sum(1).mean(), 1, rtol=1e-4)


def test_the_heads_are_of_the_sizes_that_the_protocol_asks_for():
    from edubba.tour.quantum import COMPARE, HEADS, circuit, head, weights

    x = torch.randn(5, 8)
    count = {name: weights(head(name, 10, COMPARE)) for name in HEADS}
    assert {tuple(head(name, 10, COMPARE)(x).shape) for name in HEADS} == {(5, 10)}
    assert count["quantum"] == count["disentangled"] == 3 * 8 + 90
    assert count["quantum"] <= count["mlp"] <= 1.1 * count["quantum"]
    assert count["linear"] == count["fourier"] == 90
    entangled, plain = (circuit(8, 3, entangled=e)[0] for e in (True, False))
    assert sum(len(op.qubits) == 2 for op in entangled.all_operations()) == 24
    turned = [op for op in entangled.all_operations() if len(op.qubits) == 1]
    assert sorted(map(str, turned)) == sorted(map(str, plain.all_operations()))
    features = head("fourier", 10, COMPARE)[0]
    expected = 0.5 * torch.cos(x[1] @ features.frequency + features.phase)
    torch.testing.assert_close(features(x)[1], expected)


@pytest.mark.parametrize(("name", "entangled"), [("quantum", True), ("disentangled", False)])
def test_without_its_entangling_gates_each_qubit_knows_its_own_input_alone(name, entangled):
    from edubba.tour.quantum import COMPARE, head

    torch.manual_seed(0)
    circuit = head(name, 10, COMPARE)[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: circuit(x[None])[0], torch.rand(8) + 0.5)
    elsewhere = jacobian - torch.diag(jacobian.diagonal())
    assert bool((elsewhere.abs() > 1e-3).any()) == entangled
    assert (jacobian.diagonal().abs() > 1e-3).all()


def test_what_is_tried_is_the_same_for_ever_and_within_its_range():
    from edubba.tour.quantum import settings

    tried = np.array(settings(20))
    assert settings(3) == settings(20)[:3]
    assert (tried >= [10**-2.5, 1e-5, 0.1]).all()
    assert (tried <= [0.1, 1e-2, 10]).all()
    assert len(np.unique(tried)) == 60
    assert str(settings(1)[0]) == "learning rate 0.0072, weight decay 0.0022, scale 2.9"


def test_a_seed_begins_with_the_same_bottleneck_and_labels_in_every_head_and_repeats(task):
    from edubba.tour.quantum import COMPARE, HEADS, fit, settings

    setting, spec = settings(1)[0], replace(COMPARE, labels_per_class=4, batch_size=6, steps=0)
    first = [fit(name, task, setting, seed=1, spec=spec).bottleneck.weight for name in HEADS]
    assert all(torch.equal(first[0], other) for other in first)
    assert not torch.equal(first[0], fit("linear", task, setting, seed=2, spec=spec).bottleneck.weight)
    state = torch.get_rng_state()
    one, two = (fit("quantum", task, setting, seed=1, spec=replace(spec, steps=5)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.head[0].weight, two.head[0].weight)
    assert not torch.equal(one.bottleneck.weight, first[0])


@pytest.mark.parametrize("name", ["quantum", "linear", "mlp", "disentangled", "fourier"])
def test_every_head_learns_what_is_easy(task, name):
    from edubba.tour.quantum import COMPARE, Setting, accuracy, fit

    spec = replace(COMPARE, labels_per_class=15, batch_size=15, steps=60)
    setting = Setting(lr=0.05, decay=1e-4, scale=0.5)
    assert accuracy(fit(name, task, setting, seed=0, spec=spec), task, task.test) > 0.9


def test_settings_are_chosen_on_validation_and_every_network_reads_the_test_pictures_once(short, task, monkeypatch):
    from edubba.tour import quantum

    read, fitted, measure, fit = [], [], quantum.accuracy, quantum.fit
    monkeypatch.setattr(quantum, "accuracy", lambda m, t, rows: read.append(tuple(rows)) or measure(m, t, rows))
    monkeypatch.setattr(
        quantum, "fit", lambda *given, **named: fitted.append((*given[::2], named["seed"])) or fit(*given, **named)
    )
    run = runs.open(short / "q", quantum.COMPARE, verb="tour.quantum", source="here", fingerprint="0")
    quantum.compare(task, run, data="here")
    validation, test = tuple(task.validation), tuple(task.test)
    assert read == 5 * [*2 * [validation], *3 * [test]]
    tried = quantum.settings(2)
    for i, choice in enumerate(run.document["choices"]):
        own = fitted[5 * i : 5 * i + 5]
        assert [(setting, seed) for _, setting, seed in own[:2]] == [(tried[0], 0), (tried[1], 0)]
        scores = [float(words.rsplit(": ", 1)[1]) for words in choice["candidates"]]
        best = tried[int(np.argmax(scores))]
        assert choice["value"] == str(best)
        assert [(setting, seed) for _, setting, seed in own[2:]] == [(best, seed) for seed in (1, 2, 3)]
    found = {result.name: result for result in run.results}
    with np.load(run.path / "figures.npz") as right:
        difference = right["quantum"] - right["mlp"]
    assert found["quantum-mlp/accuracy"].value == pytest.approx(difference.mean())
    assert found["quantum-mlp/accuracy"].n == 3


def interval(low, high):
    return stats.result(
        "x", (low + high) / 2, low, high, method="", n=10, unit="seed", data="", split="test", seconds=1.0
    )


@pytest.mark.parametrize(
    ("linear", "mlp", "fourier", "disentangled", "said"),
    [
        ((-0.02, 0.0), (-0.01, 0.01), (0.0, 0.1), (-0.1, 0.1),
         "No advantage: with 20 labels a class, the quantum head cannot be told from the linear head, the MLP and random Fourier"
         " features. Taking the entangling gates away makes no difference that could be seen."),
        ((-0.02, -0.01), (0.01, 0.02), (0.01, 0.02), (0.01, 0.03),
         "No advantage: with 20 labels a class, the quantum head is behind the linear head; it is ahead of the MLP and random"
         " Fourier features. Taking the entangling gates away costs 2.0 [1.0, 3.0] points."),
        ((0.02, 0.03), (0.01, 0.02), (0.01, 0.02), (-0.03, -0.01),
         "Not what was expected: with 20 labels a class, the quantum head is ahead of the linear head, the MLP and random"
         " Fourier features. Taking the entangling gates away makes it better."),
    ],
)  # fmt: skip
def test_an_advantage_is_one_over_every_classical_head(linear, mlp, fourier, disentangled, said):
    from edubba.tour import quantum

    given = {"linear": linear, "mlp": mlp, "fourier": fourier, "disentangled": disentangled}
    found = {f"quantum-{name}/accuracy": interval(*ends) for name, ends in given.items()}
    assert quantum.in_words(found, quantum.COMPARE) == said


def test_the_papers_of_the_tour_may_be_shipped_and_are_named():
    rows = list(
        csv.DictReader(
            io.StringIO(gzip.decompress((files("edubba.data") / "papers_demo.csv.gz").read_bytes()).decode())
        )
    )
    assert len(rows) == 989
    assert {row["license"] for row in rows} == {"cc0", "cc-by"}
    assert all(row["title"] and row["abstract"] and row["doi"] for row in rows)


@pytest.mark.parametrize("line", [["demo"], ["demo", "quantum"]])
def test_a_missing_extra_is_said_before_anything_is_measured(line, short, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cirq", None)
    monkeypatch.delitem(sys.modules, "edubba.tour.quantum")
    assert cli.run(line) == 1
    said = capsys.readouterr()
    assert said.err == "edubba: this needs the package 'cirq': pip install 'edubba[quantum]'\n"
    assert said.out == ""
    assert not (short / "demo").exists()
