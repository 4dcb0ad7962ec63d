"""Compiling ahead: what is compiled once is not compiled again by other processes, and nobody waits without a word."""

import subprocess
import sys

import pytest
from numba.core import event

from edubba.quantum import engine, kernels


def test_what_is_compiled_stays_compiled():
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "edubba.quantum.warm"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "the simulator is compiled" in done.stdout
    assert done.stderr == ""  # which is where it says that it compiles


@pytest.mark.parametrize(("kernel", "lines"), [(kernels.forward, 1), (kernels.backward, 0), (kernels.apply, 0)])
def test_compiling_is_announced_once(kernel, lines, capsys):
    assert engine  # it listens from its import on
    with event.trigger_event("numba:compile", data={"dispatcher": kernel}):
        pass
    said = capsys.readouterr().err
    assert (
        said.count("edubba.quantum: compiling the simulator, once per installation; python -m edubba.quantum.warm")
        == lines
    )
    assert said.count("\n") == lines
