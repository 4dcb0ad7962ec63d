"""Third chapter: a simulated quantum circuit as the head of the first chapter's encoder, beside heads of other kinds."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from markupsafe import Markup
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.contrast import embed, load_encoder
from edubba.core import catalogue, images, models, progress, report, runs, stats, streams, tables, train
from edubba.core.report import Section, amount, figures
from edubba.core.report.figures import charts
from edubba.core.runs import Run
from edubba.core.spec import from_table
from edubba.quantum import PQC

ABOUT = (
    "heads of five kinds on the same features, half a minute on 2 cores, and half a minute to compile the first time"
)
CREDIT = "the comparison after Bowles, Ahmed and Schuld 2024"
NEEDS = ("contrast",)
"""chapters whose results are used again"""
RUNS = ("quantum",)
SOURCE = "oracle-mnist-demo"
HEADS = {
    "quantum": "quantum",
    "linear": "linear",
    "mlp": "MLP",
    "disentangled": "disentangled",
    "fourier": "random Fourier",
}
CLASSICAL = {"linear": "the linear head", "mlp": "the MLP", "fourier": "random Fourier features"}


@dataclass(frozen=True)
class Compare:
    """How the heads are compared; the same for all of them."""

    labels_per_class: int = 20
    """labels that each seed draws for training"""
    inputs: int = 8
    """width of the bottleneck, and qubits of the circuits"""
    layers: int = 3
    """of a circuit: how often the inputs are uploaded"""
    steps: int = 150
    """of Adam"""
    batch_size: int = 50
    """pictures a step"""
    trials: int = 20
    """settings that are tried for each head"""
    seeds: int = 10
    """of labels, first weights and batches, each with the setting chosen"""


COMPARE = Compare()


class Setting(NamedTuple):
    """What is tuned, in the same range for every head."""

    lr: float
    decay: float
    """weight decay of Adam"""
    scale: float
    """of the bottleneck's outputs: of angles, frequencies, or the MLP's inputs"""

    def __str__(self) -> str:
        return f"learning rate {self.lr:.2g}, weight decay {self.decay:.2g}, scale {self.scale:.2g}"


class Task(NamedTuple):
    """Standardised features, and which rows are for what."""

    x: Float[Tensor, "n d"]
    y: Int64[np.ndarray, "n"]
    classes: int
    train: Int64[np.ndarray, "a"]
    validation: Int64[np.ndarray, "b"]
    test: Int64[np.ndarray, "c"]


class Cosine(nn.Module):
    """Random Fourier features (Rahimi and Recht 2007): (b, d) to (b, m), nothing learned."""

    frequency: Tensor
    phase: Tensor

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.randn(d, m))
        self.register_buffer("phase", 2 * torch.pi * torch.rand(m))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b m"]:
        return (2 / len(self.phase)) ** 0.5 * torch.cos(x @ self.frequency + self.phase)


class Network(nn.Module):
    """The bottleneck, which all heads have, and a head."""

    def __init__(self, d: int, name: str, classes: int, scale: float, spec: Compare) -> None:
        super().__init__()
        self.bottleneck = nn.Linear(d, spec.inputs)
        self.head = head(name, classes, spec)
        self.scale = scale

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        return self.head(self.scale * self.bottleneck(x))


def head(name: str, classes: int, spec: Compare) -> nn.Module:
    """From the bottleneck's outputs, (b, inputs), to logits, (b, classes)."""
    if name == "mlp":
        width = hidden(classes, spec)
        return nn.Sequential(nn.Linear(spec.inputs, width), nn.Tanh(), nn.Linear(width, classes))
    last = nn.Linear(spec.inputs, classes)
    if name == "linear":
        return last
    if name == "fourier":
        return nn.Sequential(Cosine(spec.inputs, spec.inputs), last)
    model, readout, x = circuit(spec.inputs, spec.layers, entangled=name == "quantum")
    return nn.Sequential(PQC(model, readout, inputs=x, initializer=partial(nn.init.normal_, std=0.1)), last)


def hidden(classes: int, spec: Compare) -> int:
    """Width of the narrowest MLP that has as many weights as the quantum head."""
    return -(-spec.inputs * (spec.layers + classes) // (spec.inputs + 1 + classes))


def circuit(n: int, layers: int, *, entangled: bool) -> tuple[Any, list[Any], Sequence[Any]]:
    """A circuit whose layers upload the inputs anew, what is read out at its end, and its inputs."""
    import cirq
    import sympy

    qubits, x, w = cirq.LineQubit.range(n), sympy.symbols(f"x0:{n}"), sympy.symbols(f"w0:{layers * n}")
    model = cirq.Circuit()
    for layer in range(layers):
        model += [cirq.rx(x[i])(qubits[i]) for i in range(n)]
        model += [cirq.ry(w[layer * n + i])(qubits[i]) for i in range(n)]
        if entangled:
            model += [cirq.CZ(qubits[i], qubits[(i + 1) % n]) for i in range(n)]
    return model, [cirq.Z(qubit) for qubit in qubits], x


def weights(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in module.parameters())


def settings(trials: int) -> list[Setting]:
    """What is tried, the same for every head; all three are uniform in their logarithm."""
    u = streams.uniform(0, "quantum/trials", index=np.arange(trials), k=3)
    return [Setting(*(10**row).tolist()) for row in u * [1.5, 3.0, 2.0] - [2.5, 5.0, 1.0]]


def fit(name: str, task: Task, setting: Setting, *, seed: int, spec: Compare) -> Network:
    """A network trained on the labels that this seed draws; every head gets the same bottleneck and batches to begin with."""
    drawn = tables.draw_labels(task.y[task.train], per_class=spec.labels_per_class, seed=0, draw=seed)
    assert drawn is not None
    rows = task.train[drawn]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.key(seed, "quantum/weights"))
        model = Network(task.x.shape[1], name, task.classes, setting.scale, spec)
    optimizer = torch.optim.Adam(model.parameters(), lr=setting.lr, weight_decay=setting.decay)
    batches = max(1, len(rows) // spec.batch_size)
    for step in range(spec.steps):
        epoch, batch = divmod(step, batches)
        order = rows[streams.permutation(seed, "quantum/batches", epoch, n=len(rows))]
        some = order[batch * spec.batch_size : (batch + 1) * spec.batch_size]
        optimizer.zero_grad()
        F.cross_entropy(model(task.x[some]), torch.from_numpy(task.y[some])).backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: Network, task: Task, rows: Int64[np.ndarray, "m"]) -> float:
    """Share of these pictures that are named rightly."""
    return float((model(task.x[rows]).argmax(1).numpy() == task.y[rows]).mean())


def clear(folder: Path) -> None:
    """Delete what the chapter made."""
    for run in RUNS:
        if (folder / run).exists():
            runs.remove(folder / run)


def chapter(folder: Path) -> list[Section]:
    """Tune and train every head, and what the report says about them; what is finished already is not done again."""
    encoder = load_encoder(folder / "contrast")
    pictures = images.open(catalogue.find(SOURCE), size=encoder.size)
    both = pictures.fingerprint + encoder.bundle.card["files"][models.WEIGHTS]
    run = runs.open(
        folder / "quantum", COMPARE, verb="tour.quantum", source=str(folder / "contrast"),
        fingerprint=hashlib.sha256(both.encode()).hexdigest(),
    )  # fmt: skip
    if not run.done:
        with closing(run):
            compare(task_of(pictures, embed(encoder, pictures).h), run, data=pictures.source)
    told = sections(run)
    report.write(
        run.report, report.page("Heads compared", lead="", sections=told, footer=f"Made by `edubba demo`; {CREDIT}.")
    )
    return told


def task_of(pictures: images.Pictures, h: Float[np.ndarray, "n d"]) -> Task:
    """The split of the first chapter; features by the mean and spread of its training pictures, which takes no label."""
    assert pictures.label is not None
    assert pictures.split is not None
    classes, y = np.unique(pictures.label, return_inverse=True)
    split = tables.splits_of(pictures.split, pictures.label)
    x = (h - h[split.train].mean(0)) / (h[split.train].std(0) + 1e-6)
    x = x / x.shape[1] ** 0.5  # pictures of length about 1, so that a step of Adam turns no angle by a whole circle
    return Task(torch.from_numpy(x), y.astype(np.int64), len(classes), split.train, split.validation, split.test)


def compare(task: Task, run: Run, *, data: str) -> None:
    """Choose each head's setting on validation, train it with every seed, read the test pictures once; write the results."""
    spec = COMPARE
    # so small that a second thread only waits
    run.resolve(threads=train.use_threads(1), classes=task.classes)
    compile_kernels(task, spec)
    right: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    choices = []
    tried = settings(spec.trials)
    with progress.bar("comparing heads", len(HEADS) * (spec.trials + spec.seeds), unit="networks") as show:
        for i, name in enumerate(HEADS):
            began, done, score, final = time.perf_counter(), i * (spec.trials + spec.seeds), [], []
            for setting in tried:
                score.append(accuracy(fit(name, task, setting, seed=0, spec=spec), task, task.validation))
                show(done + len(score), HEADS[name])
            best = int(np.argmax(score))
            for seed in range(1, spec.seeds + 1):
                final.append(accuracy(fit(name, task, tried[best], seed=seed, spec=spec), task, task.test))
                show(done + len(score) + len(final), HEADS[name])
            right[name], seconds[name] = np.array(final), time.perf_counter() - began
            choices.append({
                "name": name, "value": str(tried[best]), "score": round(score[best], 4),
                "candidates": [f"{s}: {a:.3f}" for s, a in zip(tried, score, strict=True)], "metric": "accuracy",
                "split": "validation",
            })  # fmt: skip
    results = []
    for name, values in right.items():
        made = partial(stats.result, data=data, split="test", seconds=seconds[name], draws=spec.seeds, unit="seed")
        over = partial(made, n=spec.seeds)
        results.append(over(f"{name}/accuracy", *stats.bootstrap(np.mean, values), method="percentile bootstrap"))
        if name != "quantum":
            difference = stats.bootstrap(np.mean, right["quantum"] - values)
            words = "percentile bootstrap of paired differences"
            results.append(over(f"quantum-{name}/accuracy", *difference, method=words))
        count = weights(head(name, task.classes, spec))
        results.append(made(f"{name}/weights", count, method="counted, behind the bottleneck", n=spec.seeds))
    run.figures(**right)
    run.finish(results, choices=choices, warnings=[])


def compile_kernels(task: Task, spec: Compare) -> None:
    """Simulate once, so that what is timed is no compilation."""
    for name in ("quantum", "disentangled"):
        model = Network(task.x.shape[1], name, task.classes, 1.0, spec)
        model(task.x[: spec.batch_size]).sum().backward()


# ---- the page


def sections(run: Run) -> list[Section]:
    """The answer with its table and drawing, the circuit, the protocol; from the run folder alone."""
    spec = from_table(Compare, {k: v for k, v in run.settings.items() if k != "source"})
    found = {result.name: result for result in run.results}
    with np.load(run.path / "figures.npz", allow_pickle=False) as kept:
        right = {name: 100 * kept[name] for name in HEADS}
    return [answer(found, right, spec), drawn(spec), protocol(run, spec)]


def answer(found: Mapping[str, stats.Result], right: Mapping[str, np.ndarray], spec: Compare) -> Section:
    """Table and drawing under the answer in words."""
    rows = []
    for name, words in HEADS.items():
        difference = found.get(f"quantum-{name}/accuracy")
        rows.append([
            words, percent(found[f"{name}/accuracy"]), "" if difference is None else percent(difference),
            "" if difference is None else verdict(difference), int(found[f"{name}/weights"].value),
            amount(found[f"{name}/accuracy"].seconds, unit="s"),
        ])  # fmt: skip
    columns = ["head", "named rightly, %", "quantum minus it, points", "verdict", "weights", "time"]
    caption = (
        f"Mean of {spec.seeds} seeds on the test pictures, and 95 % bootstrap intervals over the seeds. Weights are those behind"
        f" the bottleneck; the time is that of {spec.trials} trials and {spec.seeds} seeds on one core."
    )
    text = (
        "What was expected before anything was measured: no advantage, the linear head or the MLP as good or better. An"
        " advantage would be one over every classical head.\n\n"
        f"Each head stands behind a linear layer to {spec.inputs} numbers, learned with it. A simulated circuit is a smooth"
        " function that the processor computes like any other; whether it is a useful one here is all that is asked."
    )
    differences = {
        words: [(100 * d.value, *ends(d))]
        for name, words in HEADS.items()
        if (d := found.get(f"quantum-{name}/accuracy"))
    }
    means = "; ".join(f"{words} {amount(right[name].mean(), unit='%')}" for name, words in HEADS.items())
    seeds = report.figure(
        strips({HEADS[name]: (right[name], found[f"{name}/accuracy"]) for name in HEADS}),
        caption="Each dot is a seed; the diamond is their mean, the bar its interval. Seeds differ in the labels drawn, the first"
        " weights and the order of the batches.",
        alt=f"Pictures named rightly by each head: {means}.",
    )  # fmt: skip
    paired = report.figure(
        figures.dots(differences, xlabel="quantum minus the head, points", series=["difference"], line=0),
        caption="The same seeds in pairs. Where the bar holds the line at 0, there is no difference to report; left of it the"
        " quantum head is behind.",
        alt="Differences: " + "; ".join(f"{row[0]} {row[2]}" for row in rows if row[2]) + ".",
    )  # fmt: skip
    blocks = [report.prose(text), report.table(columns, rows, caption), seeds, paired]
    return Section("Does a quantum head do better?", blocks, in_words(found, spec))


def percent(result: stats.Result) -> str:
    """Value and interval, times a hundred."""
    return amount(100 * result.value, *ends(result))


def ends(result: stats.Result) -> tuple[float | None, float | None]:
    """The interval, times a hundred."""
    return (None, None) if result.low is None or result.high is None else (100 * result.low, 100 * result.high)


def side(difference: stats.Result) -> int:
    """1: the quantum head is ahead; -1: behind; 0: the interval holds 0, or there is none."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return 0
    return 1 if difference.low > 0 else -1


def verdict(difference: stats.Result) -> str:
    return {0: "no advantage", 1: "quantum is ahead", -1: "quantum is behind"}[side(difference)]


def in_words(found: Mapping[str, stats.Result], spec: Compare) -> str:
    """The answer: an advantage is one over every classical head."""
    sides = {name: side(found[f"quantum-{name}/accuracy"]) for name in CLASSICAL}
    parts = [
        f"{words} {listed([CLASSICAL[name] for name in CLASSICAL if sides[name] == which])}"
        for which, words in ((-1, "is behind"), (0, "cannot be told from"), (1, "is ahead of"))
        if which in sides.values()
    ]
    first = "Not what was expected" if set(sides.values()) == {1} else "No advantage"
    gates = found["quantum-disentangled/accuracy"]
    without = {
        0: "makes no difference that could be seen",
        1: f"costs {percent(gates)} points",
        -1: "makes it better",
    }[side(gates)]
    return (
        f"{first}: with {spec.labels_per_class} labels a class, the quantum head {'; it '.join(parts)}. Taking the entangling"
        f" gates away {without}."
    )


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def strips(rows: Mapping[str, tuple[Float[np.ndarray, " seeds"], stats.Result]]) -> Markup:
    """For each head a dot for every seed, in percent, and their mean with its interval below them."""

    def draw(width: int) -> Any:
        colour, mean = figures.COLOUR["slate"], figures.COLOUR["clay"]
        left, pitch = 16 + 6.6 * max(map(len, rows)), 44
        figure = charts.canvas(width, 10 + pitch * len(rows) + 46)
        ax = charts.axes(figure, left, 10, 12, 46)
        for y, (values, result) in enumerate(rows.values()):
            ax.plot(
                values, np.full(len(values), y - 0.14), "o", color=colour, markersize=6, alpha=0.6, markeredgewidth=0
            )
            if result.low is not None and result.high is not None:
                ax.plot([100 * result.low, 100 * result.high], [y + 0.16] * 2, color=mean, linewidth=2.2, alpha=0.5)
            ax.plot([100 * result.value], [y + 0.16], "D", color=mean, markersize=6, zorder=3)
        ax.set_yticks(range(len(rows)), list(rows), color=figures.COLOUR["ink"])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("test pictures named rightly, %", loc="left")
        ax.spines["left"].set_visible(False)
        ax.spines["bottom"].set_visible(False)
        ax.grid(axis="y", visible=False)
        return figure

    return charts.both(draw)


def drawn(spec: Compare) -> Section:
    """One layer of the circuit, as Cirq draws it."""
    diagram = circuit(spec.inputs, 1, entangled=True)[0].to_text_diagram()
    caption = (
        f"The first of {spec.layers} layers: a wire for each qubit; the inputs x turn it, then learned angles w, then a ring of"
        " CZ gates (two joined @) entangles neighbours. After the last layer Z of every qubit goes to a linear layer. The"
        " disentangled head is the same without the ring."
    )
    drawing = Markup(
        '<div class="scroll" tabindex="0"><pre style="margin:0;font:0.8125rem/1.25 var(--mono)">{}</pre></div>'
    ).format(diagram)
    alt = f"Circuit on {spec.inputs} qubits: Rx of the inputs, Ry of the weights, a ring of CZ gates."
    return Section("The circuit", [report.figure(drawing, caption=caption, alt=alt)])


def protocol(run: Run, spec: Compare) -> Section:
    """What was the same for all heads, and what was chosen for each."""
    text = (
        "Every head stands on the frozen features of the first chapter's encoder, which has seen neither the validation nor the"
        f" test pictures, behind a linear layer to {spec.inputs} numbers that is trained with it: the same split, the same Adam,"
        f" {spec.steps} steps of {spec.batch_size}. For each the same {spec.trials} settings of learning rate, weight decay and"
        f" scale of the {spec.inputs} numbers were tried, and the best on validation was trained with {spec.seeds} other seeds;"
        " the test pictures were read once, at the end. The MLP has a hidden layer of"
        f" {hidden(run.resolved['classes'], spec)} units, the fewest with which it has as many weights as the quantum head; the"
        f" random Fourier features are {spec.inputs} cosines that are not learned.\n\n"
        "Learning rates from 0.003 to 0.1, weight decays from 1e-5 to 0.01 and scales from 0.1 to 10 were tried; these ranges"
        " were found on the validation pictures beforehand, and it was the circuits that needed the search. "
        f"The intervals are about other seeds, on these pictures and this encoder; {spec.seeds} seeds make them somewhat too"
        " narrow, and four comparisons are made at once."
    )
    rows = [[HEADS[c["name"]], c["value"], amount(100 * c["score"], unit="%")] for c in run.document["choices"]]
    chosen = report.table(["head", "setting", "on validation"], rows, "Settings chosen on the validation pictures.")
    facts = {
        "measured": run.resolved["created"][:10],
        "machine": run.resolved["machine"],
        "threads": run.resolved["threads"],
    }
    return Section(
        "How the heads were compared",
        [report.prose(text), report.facts(facts), report.details("The settings chosen", chosen)],
    )
