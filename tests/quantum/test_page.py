"""The lines of docs/quantum.md run, one block after the other, and those of the README."""

import re
from pathlib import Path

from edubba import quantum as q

PAGE = Path(__file__).parents[2] / "docs" / "quantum.md"


def test_the_lines_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["kernel"].shape == (5, 5)
    assert [len(batch) for batch, _ in names["loader"]] == [3, 3]


def test_the_lines_of_the_readme_run():
    (block,) = re.findall(r"```python\n(.*?)```", (PAGE.parents[1] / "README.md").read_text(), flags=re.S)
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["model"][1].weight.grad.shape == (4,)


def test_the_page_names_all_there_is():
    page = PAGE.read_text()
    assert [name for name in q.__all__ if not re.search(rf"\b{name}\b", page)] == []
