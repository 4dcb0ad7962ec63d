"""Real processes, really killed: the same line goes on and ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
from safetensors.numpy import load_file

LINE = [
    "--epochs", "6", "--batch-size", "8", "--views.preset", "writing", "--threads", "1", "--evaluate-every", "12", "--ema", "0.9",
]  # fmt: skip
SAVE = ["--save-every", "3"]
STEPS = 6 * 5


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "pictures.npz"
    np.savez(path, x=rng.integers(0, 256, (40, 12, 12), dtype=np.uint8))
    return path


def command(pictures, out, *, torchrun=0, extra=()):
    start = [sys.executable, "-m", "edubba"]
    if torchrun:
        start = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={torchrun}",
            "-m",
            "edubba",
        ]
    return [*start, "contrast", "pretrain", str(pictures), "-o", str(out), *LINE, *extra]


def run(line):
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def logged(out):
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def start_and_stop(line, out, *, at, with_signal):
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while logged(out) < at and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(process.pid, with_signal)
    _, said = process.communicate(timeout=100)
    return process.returncode, said


def test_killed_at_any_step_and_started_again_it_ends_with_the_same_bytes(pictures, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(command(pictures, whole, extra=SAVE))
    for at in (2, 11, 25):
        code, _ = start_and_stop(command(pictures, broken, extra=SAVE), broken, at=at, with_signal=signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (broken / "results.json").exists()
    run(command(pictures, broken, extra=SAVE))
    for name in ("model.safetensors",):
        assert (whole / "model" / name).read_bytes() == (broken / "model" / name).read_bytes()
    losses = [[line["loss"] for line in train_lines(folder)] for folder in (whole, broken)]
    assert len(losses[0]) == STEPS
    assert losses[0] == losses[1]


def test_ctrl_c_saves_says_so_and_exits_with_130(pictures, tmp_path):
    out = tmp_path / "a"
    code, said = start_and_stop(
        command(pictures, out, extra=["--save-every", "1000"]), out, at=5, with_signal=signal.SIGINT
    )
    assert code == 130
    assert said.strip().splitlines()[-1] == "edubba: interrupted; the same line goes on"
    at = logged(out)
    assert (out / "state.ckpt").exists()
    run(command(pictures, out, extra=["--save-every", "1000"]))
    steps = [line["step"] for line in train_lines(out)]
    assert at >= 5
    assert steps == list(range(1, STEPS + 1))


def test_two_processes_learn_what_one_does(pictures, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    # few and small steps: rounding differs, and training amplifies it
    exact = ["--precision", "fp32", "--optimizer", "sgd", "--lr", "0.002"]
    run(command(pictures, one, extra=exact))
    run(command(pictures, two, torchrun=2, extra=exact))
    for name in ("loss", "grad_norm"):
        a, b = ([line[name] for line in train_lines(folder)[:6]] for folder in (one, two))
        assert np.allclose(a, b, rtol=1e-3), name
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert all(np.allclose(a[name], b[name], atol=0.02, rtol=0.02) for name in a)
    resolved = tomllib.loads((two / "spec.toml").read_text())["resolved"]
    assert resolved["processes"] == 2


def train_lines(out):
    return [
        line for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if line["kind"] == "train"
    ]
