"""Who may import whom, and what must not be loaded for `--help`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "edubba"
ROOMS = ("contrast", "trace", "quantum", "tablets", "papers")
HEAVY = ("torch", "matplotlib", "lightning_fabric", "sklearn", "scipy", "PIL", "cirq", "numba", "pyarrow")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_rooms_import_core_and_nothing_else_of_the_house(path):
    home = path.relative_to(SOURCE).parts[0]
    for name in imported(path):
        if not name.startswith("edubba."):
            continue
        room = name.split(".")[1]
        if home == "core":
            assert room in ("core", "__version__"), f"core imports {name}"
        elif home in ROOMS:
            assert room in ("core", "__version__", home), f"{home} imports {name}"
        elif home == "cli.py":
            assert room in ("core", "__version__"), f"cli.py imports {name}"


def test_only_the_loop_imports_fabric():
    for path in SOURCE.rglob("*.py"):
        if path.name != "train.py":
            assert not any(name.startswith("lightning") for name in imported(path)), path


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "contrast --help",
        "contrast pretrain --help",
        "contrast probe --help",
        "trace --help",
        "trace plan --help",
        "trace commit --help",
        "trace mark --help",
        "trace seal --help",
        "trace test --help",
        "trace verify --help",
        "tablets --help",
        "tablets train --help",
        "tablets read --help",
        "tablets train-restorer --help",
        "tablets restore --help",
        "tablets evaluate --help",
        "tablets convert --help",
        "runs list --help",
        "demo --help",
    ],
)
def test_help_loads_nothing_heavy(line):
    program = (
        "import sys, edubba.cli\n"
        f"code = edubba.cli.run({line.split()!r})\n"
        f"print(code, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_every_promised_name_is_there():
    import edubba.contrast as contrast
    import edubba.tablets as tablets
    import edubba.trace as trace

    for room in (contrast, tablets, trace):
        for name in room.__all__:
            assert callable(getattr(room, name)), name
