"""What README and docs tell people to type is understood, what they name is there."""

import re
import shlex
from pathlib import Path

import pytest

from edubba.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "recipes/README.md",
    ROOT / "bench/README.md",
]


def commands():
    for page in PAGES:
        for line in page.read_text().splitlines():
            typed = re.match(r"^    (?:\S*[/\\])?(edubba .*?)(?:\s+#.*)?$", line)
            if typed:
                yield pytest.param(typed[1], id=f"{page.name}: {typed[1]}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_in_the_docs_is_understood(line):
    tokens = shlex.split(line)[1:]
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    assert callable(command)
    assert bound.signature is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_python_in_the_docs_names_what_exists():
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S)]
    assert blocks
    for block in blocks:
        compile(block, "a page", "exec")
        imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]
        assert imports, block
        for line in imports:
            exec(line, {})


def test_a_recipe_says_what_it_takes_and_can_be_read():
    for path in (ROOT / "recipes").rglob("*.py"):
        text = path.read_text()
        compile(text, str(path), "exec")
        assert text.startswith('"""'), path
        assert "python recipes/" in text.split('"""')[1], path
        assert len(text.splitlines()) <= 80, path
