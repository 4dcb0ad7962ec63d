"""The one loop: batches by position, exact resume, schedules, what is kept, and the classifier on top of it.

Run as a script by torchrun, it is one of the processes.
"""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edubba.core import images, runs, train
from edubba.core.errors import UserError
from edubba.core.settings import Fit

SPEC = Fit(
    epochs=3, batch_size=8, lr=0.01, warmup_epochs=1.0, precision="fp32", threads=1, save_every=4, evaluate_every=6
)
N = 40
X = torch.randn(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = (X.mean((1, 2, 3)) > 0).long()


class Stop(Exception):
    pass


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip


def fitted(folder=None, *, spec=SPEC, stop=None, evaluate=None, batches=None, record=None):
    plan = train.plan(spec, N)

    def batch(step, rank, world):
        index = torch.from_numpy(plan.index(step, rank, world))
        if batches is not None:
            batches.append((step, index.tolist()))
        return X[index], Y[index]

    def loss(model, items):
        return F.cross_entropy(model(items[0]), items[1]), {}

    def on_step(step):
        if step == stop:
            raise Stop

    run = None
    if folder is not None:
        run = runs.open(folder, spec, verb="contrast.pretrain", source="x", fingerprint="0")
    model = train.fit(
        network(), batch, loss, spec=spec, plan=plan, run=run,
        on_step=on_step, evaluate=evaluate, record=record,
    )  # fmt: skip
    return model, run


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def knn_like(model, step):
    return {"score": float((model(X).argmax(1) == Y).float().mean())}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ema": 0.9},
        {"accumulate": 2},
        {"accumulate": 2, "save_every": 3},
        {"optimizer": "sgd"},
        {"optimizer": "lars", "lr": 1.0},
        {"precision": "bf16"},
        {"keep": "best"},
    ],
    ids=lambda c: " ".join(f"{k}={v}" for k, v in c.items()) or "plain",
)
@pytest.mark.parametrize("stop", [5, 8])
def test_an_interrupted_run_ends_with_the_same_weights_to_the_bit(tmp_path, change, stop):
    spec = replace(SPEC, **change)
    whole, first = fitted(tmp_path / "whole", spec=spec, evaluate=knn_like)
    with pytest.raises(Stop):
        fitted(tmp_path / "broken", spec=spec, stop=stop, evaluate=knn_like)
    resumed, second = fitted(tmp_path / "broken", spec=spec, evaluate=knn_like)
    assert_same(weights(whole), weights(resumed))
    drop = {"time", "images_per_second", "waiting"}
    a, b = ([{k: v for k, v in line.items() if k not in drop} for line in run.metrics] for run in (first, second))
    assert a == b


def test_a_resumed_run_does_not_begin_again(tmp_path):
    with pytest.raises(Stop):
        fitted(tmp_path / "a", stop=9)
    batches = []
    fitted(tmp_path / "a", batches=batches)
    assert [step for step, _ in batches] == list(range(8, 15))  # saved every 4 steps


def test_every_epoch_shows_every_picture_once_in_a_new_order():
    plan = train.plan(SPEC, N)
    epochs = [[plan.index(e * 5 + i).tolist() for i in range(5)] for e in range(2)]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch)) == list(range(N))
    assert epochs[0] != epochs[1]


def test_processes_share_a_batch_without_overlap():
    plan = train.plan(SPEC, N)
    whole = plan.index(7)
    parts = [plan.index(7, rank, 4) for rank in range(4)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_fewer_pictures_than_a_batch_make_one_batch_an_epoch():
    assert train.plan(replace(SPEC, batch_size=256), 40).batch_size == 40


def test_one_picture_is_refused():
    with pytest.raises(UserError, match="1 pictures in batches of 8"):
        train.plan(SPEC, 1)


def test_the_learning_rate_follows_warm_up_and_cosine(tmp_path):
    _, run = fitted(tmp_path / "a")
    rates = [line["lr"] for line in run.metrics if line["kind"] == "train"]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.01)  # after one epoch of five steps
    assert rates[10] == pytest.approx(0.005)  # half way down the cosine
    assert len(rates) == 15


def test_best_keeps_the_weights_of_the_best_evaluation():
    scores = {6: 0.9, 12: 0.1, 15: 0.2}
    seen = {}

    def evaluate(model, step):
        seen[step] = weights(model)
        return {"score": scores[step]}

    best, _ = fitted(spec=replace(SPEC, keep="best"), evaluate=evaluate)
    assert_same(weights(best), seen[6])
    last, _ = fitted(evaluate=evaluate)
    assert_same(weights(last), seen[15])


def test_the_average_of_the_weights_is_what_is_evaluated_and_kept():
    seen = {}
    spec = replace(SPEC, ema=0.5)
    model, _ = fitted(spec=spec, evaluate=lambda m, step: seen.update({step: weights(m)}) or {})
    plain, _ = fitted()
    assert_same(weights(model), seen[15])
    assert not torch.equal(model[0].weight, plain[0].weight)


def test_accumulated_steps_equal_one_step_on_both_batches():
    x, y = X[:16], Y[:16]

    def run(batch_size, accumulate):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
        spec = replace(SPEC, optimizer="sgd", accumulate=accumulate, warmup_epochs=0.0)

        def batch(step, rank, world):
            first = step * batch_size
            return x[first : first + batch_size], y[first : first + batch_size]

        def loss(net, items):
            return F.cross_entropy(net(items[0]), items[1]), {}

        return train.fit(model, batch, loss, spec=spec, plan=train.Plan(n=16, batch_size=batch_size, epochs=1, seed=0))

    one, two = run(16, 1), run(8, 2)
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))[1].weight
    assert torch.allclose(one[1].weight, two[1].weight, atol=1e-6)
    assert not torch.allclose(one[1].weight, first, atol=1e-4)


def test_a_loss_that_is_no_number_is_a_sentence():
    def loss(model, items):
        return model(items[0]).sum() * float("nan"), {}

    with pytest.raises(UserError, match="the loss is nan at step 1 of 15: lower --lr"):
        train.fit(network(), lambda s, r, w: (X[:8], Y[:8]), loss, spec=SPEC, plan=train.plan(SPEC, N))


def test_a_gpu_that_is_not_there_is_a_sentence():
    with pytest.raises(UserError, match="torch sees no GPU here"):
        train.device_of(replace(SPEC, device="cuda"))


def test_a_classifier_learns_bright_from_dark():
    rng = np.random.default_rng(0)
    y = np.arange(64) % 2
    images = (rng.integers(0, 100, (64, 8, 8, 1)) + 120 * y[:, None, None, None]).astype(np.uint8)
    encoder = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    encoder.dim = 4
    spec = replace(SPEC, epochs=30, batch_size=32, lr=0.05, keep="best")
    model = train.fit_classifier(
        encoder, images[:48], y[:48], spec=spec, size=8, classes=2, validation=(images[48:56], y[48:56])
    )
    logits = train.predict(model, images[56:], size=8)
    assert (logits.argmax(1).numpy() == y[56:]).all()


def test_the_record_tells_every_score_also_after_a_resume(tmp_path):
    spec = replace(SPEC, keep="best")
    scores = {6: 0.9, 12: 0.1, 15: 0.9}

    def evaluate(model, step):
        return {"score": scores[step]}

    whole, resumed = {}, {}
    fitted(tmp_path / "whole", spec=spec, evaluate=evaluate, record=whole)
    with pytest.raises(Stop):
        fitted(tmp_path / "broken", spec=spec, stop=13, evaluate=evaluate)
    fitted(tmp_path / "broken", spec=spec, evaluate=evaluate, record=resumed)
    assert whole["scores"] == resumed["scores"] == scores


def test_seconds_are_of_all_sittings(tmp_path):
    with pytest.raises(Stop):
        fitted(tmp_path / "a", stop=9)
    path = tmp_path / "a" / "state.ckpt"
    state = torch.load(path)
    assert 0 < state["seconds"] < 1000
    torch.save(state | {"seconds": 1000.0}, path)
    record = {}
    fitted(tmp_path / "a", record=record)
    assert 1000 < record["seconds"] < 1100


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_checkpoint_of_before_scores_and_seconds_goes_on(tmp_path, keep):
    spec = replace(SPEC, keep=keep)
    whole, _ = fitted(tmp_path / "whole", spec=spec, evaluate=knn_like)
    with pytest.raises(Stop):
        fitted(tmp_path / "a", spec=spec, stop=9, evaluate=knn_like)
    path = tmp_path / "a" / "state.ckpt"
    state = torch.load(path)
    torch.save({name: value for name, value in state.items() if name not in ("scores", "seconds")}, path)
    record = {}
    resumed, _ = fitted(tmp_path / "a", spec=spec, evaluate=knn_like, record=record)
    assert_same(weights(whole), weights(resumed))
    assert list(record["scores"]) == [6, 12, 15]  # the first from the log
    assert record["seconds"] < 100


def test_best_without_anything_to_judge_by_is_refused():
    with pytest.raises(ValueError, match="needs evaluate"):
        fitted(spec=replace(SPEC, keep="best"))
    with pytest.raises(ValueError, match="fit_classifier: validation"):
        bright_from_dark(spec=replace(SPEC, keep="best"))


def test_numbers_are_only_made_at_steps_that_are_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "LINES", 5)
    made = []

    def loss(model, items):
        return F.cross_entropy(model(items[0]), items[1]), {"lazy": lambda: made.append(1) or torch.tensor(0.5)}

    run = runs.open(tmp_path / "a", SPEC, verb="contrast.pretrain", source="x", fingerprint="0")
    train.fit(network(), lambda s, r, w: (X[:8], Y[:8]), loss, spec=SPEC, plan=train.plan(SPEC, N), run=run)
    logged = [line["lazy"] for line in run.metrics if line["kind"] == "train"]
    assert logged == [0.5] * 6  # every third of 15 steps, and the last
    assert len(made) == 6


class Spy(images.Rows):
    """Rows that note how many were taken at a time."""

    def __init__(self, base, index):
        super().__init__(base, index)
        self.taken, self.asked = [], []

    def __getitem__(self, item):
        out = super().__getitem__(item)
        self.taken.append(len(out))
        self.asked.append(item)
        return out


def bright_from_dark(*, spec, channels=None, validation=None, of=1):
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = (rng.integers(0, 100, (300, 8, 8, of)) + 120 * y[:, None, None, None]).astype(np.uint8)
    rows = Spy(x, np.arange(300))
    held = Spy(x, np.arange(299, -1, -1))
    takes = channels or of
    encoder = nn.Sequential(nn.Conv2d(takes, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    encoder.dim = 4
    classifier = train.fit_classifier(
        encoder, rows, y, spec=spec, size=8, classes=2, channels=channels,
        validation=(held, y[::-1].copy()) if validation else None,
    )  # fmt: skip
    return classifier, rows, held, x


@pytest.mark.parametrize(("of", "channels"), [(1, 3), (3, 1), (3, None)])
def test_no_more_than_a_batch_of_pictures_is_in_memory(of, channels):
    spec = replace(SPEC, epochs=1, keep="best")
    classifier, rows, held, x = bright_from_dark(spec=spec, channels=channels, validation=True, of=of)
    assert max(rows.taken) == 8
    assert max(held.taken) == 256
    predicted = train.predict(classifier, held, size=8, channels=channels, batch_size=50)
    assert max(held.taken[-6:]) == 50
    whole = train.of_channels(x[::-1].copy(), channels)
    assert torch.allclose(predicted, train.predict(classifier, whole, size=8), atol=1e-6)


def test_an_item_may_have_several_pictures_of_which_one_is_shown():
    x = np.zeros((6, 8, 8, 1), np.uint8)
    rows, shown = Spy(x, np.arange(6)), []

    def show(index, epoch):
        shown.append((epoch, sorted(index.tolist())))
        return index + 3 * (epoch % 2)

    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    encoder.dim = 4
    spec = replace(SPEC, epochs=2, batch_size=3)
    train.fit_classifier(encoder, rows, np.array([0, 1, 0]), spec=spec, size=8, classes=2, shown=show)
    assert shown == [(0, [0, 1, 2]), (1, [0, 1, 2])]
    assert [sorted(taken) for taken in rows.asked] == [[0, 1, 2], [3, 4, 5]]


def test_channels_are_repeated_or_weighted_and_rounded_picture_by_picture():
    x = np.random.default_rng(0).integers(0, 256, (20, 7, 7, 3), dtype=np.uint8)
    grey = train.of_channels(x, 1)
    slow = [round(0.2989 * float(r) + 0.587 * float(g) + 0.114 * float(b)) for r, g, b in x.reshape(-1, 3)]
    assert np.array_equal(grey.reshape(-1), slow)
    assert np.array_equal(grey[3:4], train.of_channels(x[3:4], 1))
    assert np.array_equal(train.of_channels(grey, 3), np.concatenate([grey] * 3, axis=3))
    assert train.of_channels(x, 3) is x
    assert train.of_channels(x, None) is x


def one_of_two(folder):
    """What a process of two sees: the weights it ends with, what was logged, and where Ctrl-C on process 1 stops it."""
    rank = int(os.environ["RANK"])
    spec = replace(SPEC, keep="best", save_every=1000)
    scores = {6: 0.9, 12: 0.1, 15: 0.2}
    steps = []

    def batch(step, rank, world):
        index = torch.from_numpy(train.plan(spec, N).index(step, rank, world))
        return X[index], Y[index]

    def loss(model, items):
        return F.cross_entropy(model(items[0]), items[1]), {"of rank": rank, "lazy": lambda: torch.tensor(2.0 * rank)}

    def on_step(step):
        steps.append(step)
        if rank == 1 and step == 3 and not (folder / "interrupted").exists():
            (folder / "interrupted").touch()
            os.kill(os.getpid(), signal.SIGINT)

    def fit(name):
        with train.first_process_first(spec):
            run = runs.open(folder / name, spec, verb="contrast.pretrain", source="x", fingerprint="0")
        return train.fit(
            network(), batch, loss, spec=spec, plan=train.plan(spec, N), run=run, on_step=on_step,
            evaluate=lambda model, step: {"score": scores[step]},
        )  # fmt: skip

    try:
        fit("broken")
    except KeyboardInterrupt:
        stopped = list(steps)
    resumed = fit("broken")
    torch.save({"stopped": stopped, "resumed": weights(resumed), "whole": weights(fit("whole"))}, folder / f"{rank}.pt")


def test_two_processes_stop_together_log_alike_and_end_with_the_same_weights(tmp_path):
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, tmp_path]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert a["stopped"] == b["stopped"] == [1, 2, 3, 4]  # process 1 was asked at the end of step 3
    for one in (a, b):
        assert_same(one["resumed"], a["whole"])
        assert_same(one["whole"], a["whole"])
    logged = [line for line in runs.read(tmp_path / "whole").metrics if line["kind"] == "train"]
    assert {(line["of rank"], line["lazy"]) for line in logged} == {(0.5, 1.0)}


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]))
