"""The pages of docs/tutorials run from the first block to the last, and what they show is what they give."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
execute = SimpleNamespace(**runpy.run_path(str(TUTORIALS / "execute.py")))


def outputs(page):
    """(code, printed) of each block; printed is empty where a block prints nothing."""
    return re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", page.read_text(), flags=re.M | re.S)


def printed(page):
    return "\n".join(text for _, text in outputs(page))


def row(page, model):
    """The numbers of a model's line: weights, loss, low, high, accuracy, low, high, seconds."""
    (numbers,) = re.findall(rf"^{model} +(\d+ +\d.* s)$", printed(page), flags=re.M)
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", numbers)]


def executed(name, folder):
    """A page, executed anew as it is typed, with two seeds."""
    page = TUTORIALS / name
    text = page.read_text()
    assert text.count("SEEDS = range(5)\n") == 1
    copy = folder / name
    copy.write_text(text.replace("SEEDS = range(5)\n", "SEEDS = range(2)\n"))
    subprocess.run([sys.executable, TUTORIALS / "execute.py", copy], check=True)
    for (code, old), (_, new) in zip(outputs(page), outputs(copy), strict=True):
        assert bool(old) == bool(new), code
    for figure in figures(page):
        assert (folder / figure).stat().st_size < 60_000
    return copy


def figures(page):
    return re.findall(r'savefig\("(.*?)"\)', page.read_text())


def test_every_qubit_obeys(tmp_path):
    text = printed(executed("hello_many_worlds.md", tmp_path))
    obeyed = re.findall(r"^seed \d .*: \[ *(\S+) +(\S+?) *\]$", text, flags=re.M)
    assert len(obeyed) == 4
    for zero, one in obeyed:
        assert float(zero) > 0.9
        assert float(one) < -0.9
    assert len(re.findall(r"^final loss 0\.0\d+ \[", text, flags=re.M)) == 2
    assert "('t1', 't2', 't10')" in text
    (curvature,) = re.findall(r"^eigenvalues \[(.*)\]$", text, flags=re.M)
    assert min(map(abs, map(float, curvature.split()))) < 0.2


def test_models_end_where_the_page_says(tmp_path):
    shown, again = TUTORIALS / "qcnn.md", executed("qcnn.md", tmp_path)
    quantum = {"QCNN": 63, "hybrid, 1 filter": 70, "hybrid, 3 filters": 176, "hybrid with tanh": 70}
    for model, weights in {**quantum, "MLP on Z X Z": 61, "convolution on strings": 59}.items():
        there, loss, low, high, accuracy, worst, best, _ = row(shown, model)
        assert low <= loss <= high, model
        assert worst <= accuracy <= best, model
        here, loss, _, _, accuracy, _, _, _ = row(again, model)
        assert weights == there == here, model
        assert low - 0.1 < loss < high + 0.1, model
        assert worst - 0.05 < accuracy <= 1, model
    text = printed(again)
    assert re.findall(r"^largest of .* (\S+)$", text, flags=re.M) == ["0.000000", "0.000000"]
    assert text.count("the rule is right for 160 of 160\n") == 2
    (one, loss), (eight, same) = re.findall(r"structures=(\d).*validation loss (\S+),", text)
    assert (one, eight) == ("1", "8")
    assert float(loss) == pytest.approx(float(same), abs=2e-3)


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_is_executed(page):
    blocks = outputs(page)
    assert sum(bool(text) for _, text in blocks) >= 4
    for code, text in blocks:
        assert ("\nprint(" not in code) or text, code
    assert figures(page) == re.findall(r"!\[.+?\]\((.*?\.svg)\)", page.read_text()) != []
    for figure in figures(page):
        assert page.with_name(figure).stat().st_size < 60_000
    assert page.read_text().count("*Executed on ") == 1


PAGE = """# A page

```python
import matplotlib.pyplot as plt

x = 1
print("x is", x)
plt.plot([x, 2])
plt.savefig("drawn.svg")
```

Between.

```python
y = x + 1
```

```python
print(y)
```

```text
stale
```
"""


def test_a_page_is_executed_twice_with_the_same_outcome(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    execute.execute(page)
    once, figure = page.read_text(), (tmp_path / "drawn.svg").read_bytes()
    assert [text for _, text in outputs(page)] == ["x is 1\n", "", "2\n"]
    assert "stale" not in once
    execute.execute(page)
    assert page.read_text().splitlines()[:-1] == once.splitlines()[:-1]
    assert (tmp_path / "drawn.svg").read_bytes() == figure
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.svg", "page.md"]


def test_a_block_that_fails_leaves_page_and_figures_as_they_were(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("print(y)", "print(y / 0)"))
    (tmp_path / "drawn.svg").write_text("as it was")
    before = page.read_bytes()
    with pytest.raises(ZeroDivisionError) as raised:
        execute.execute(page)
    assert raised.traceback[-1].lineno == before.decode().splitlines().index("print(y / 0)")
    assert page.read_bytes() == before
    assert (tmp_path / "drawn.svg").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.svg", "page.md"]
