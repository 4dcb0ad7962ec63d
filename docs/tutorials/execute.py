"""Run the python blocks of a page, in order and in one namespace, and write what they print into the page.

    python docs/tutorials/execute.py docs/tutorials/qcnn.md

What a block prints stands in a text block behind it; figures that it saves (`plt.savefig("name.svg")`) come to lie
beside the page; the last line says when, where and with what. If a block fails, page and figures stay as they were.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is imported

import contextlib
import io
import re
import sys
import tempfile
import time
from datetime import date
from importlib import metadata
from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot as plt

from edubba.core import files, machine

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.M | re.S)
FOOT = re.compile(r"\n\*Executed [^\n]*\*\n\Z")
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "svg.fonttype": "none",
}


def run(page: Path, text: str) -> str:
    """The page with what its blocks print; figures go to the working folder."""
    names = {"__name__": page.stem}

    def block(found: re.Match) -> str:
        before = text.count("\n", 0, found.start(1))  # empty lines, so that a traceback names the lines of the page
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * before + found[1], str(page), "exec"), names)
        output = "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())
        return f"```python\n{found[1]}```\n" + (f"\n```text\n{output}```\n" if output else "")

    return BLOCK.sub(block, text)


def execute(page: Path) -> None:
    """Run the page and rewrite it, figures first."""
    page = page.resolve()
    wall, cpu = time.perf_counter(), time.process_time()
    style = STYLE | {"svg.hashsalt": page.stem}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), matplotlib.rc_context(style):
        text = run(page, page.read_text())
        figures = {path.name: path.read_text() for path in sorted(Path().glob("*.svg"))}
        plt.close("all")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "cirq-core", "numba"))
    foot = (
        f"\n*Executed on {date.today()} by execute.py: {machine.processor()}, {machine.cores()} cores, threads used:"
        f" {torch.get_num_threads()}; {versions}; {wall:.0f} s by the clock, {cpu:.0f} s of processor time.*\n"
    )
    for name, figure in figures.items():
        files.write(page.with_name(name), re.sub(r"\s*<dc:date>.*?</dc:date>", "", figure))
    files.write(page, FOOT.sub("", text) + foot)


if __name__ == "__main__":
    matplotlib.use("agg")
    for name in sys.argv[1:]:
        execute(Path(name))
