"""Compiling ahead: what is compiled once is not compiled again by other processes."""

import subprocess
import sys


def test_what_is_compiled_stays_compiled():
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "edubba.quantum.warm"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "the simulator is compiled" in done.stdout
    assert done.stderr == ""  # which is where it says that it compiles
