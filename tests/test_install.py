"""What an installation would bring, asked of pip itself; only where continuous integration runs, as it takes the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    os.environ.get("CI") != "true", reason="asks the package index: runs in continuous integration only"
)
def test_an_installation_on_a_machine_without_gpu_brings_no_cuda():
    index = re.search(r"--extra-index-url (\S+)", (ROOT / "Makefile").read_text())
    assert index is not None
    told = [name for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if os.environ.get(name)]
    where = [] if told else ["--retries", "1", "--timeout", "15", "--extra-index-url", index[1]]
    line = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", *where, "torch==2.13.0"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1]}")
    would = done.stdout.splitlines()[-1]
    assert "torch-2.13.0" in would
    assert "nvidia" not in would
    assert "triton" not in would
