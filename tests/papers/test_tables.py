"""CSV as it comes: what is broken costs its own row, and everything else is read."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.papers import tables


def read(content):
    bad = []
    rows = list(tables.rows(io.BytesIO(content), bad=lambda line, why: bad.append((line, why))))
    return [list(row.values()) for row in rows], bad


def test_rows_around_broken_ones_are_read():
    content = (
        b'\xef\xbb\xbfa,b,c\n1,"x\ny",3\n4,5" disk,6\n7,"open,8\n9,10,11\n"caf\xe9",\x00n,z\na,b,c\n1,2\n"q""q",2,3\n'
    )
    rows, bad = read(content)
    assert rows == [
        ["1", "x\ny", "3"], ["4", '5" disk', "6"], ["9", "10", "11"], ["café", "n", "z"], ['q"q', "2", "3"],
    ]  # fmt: skip
    assert bad == [
        (5, "a quote is opened and not closed"), (9, "it has 2 cells and the first line has 3"),
    ]  # fmt: skip


def test_a_cell_longer_than_the_usual_limit():
    rows, bad = read(f'a,b\n1,"{"x" * 200_000}"\n'.encode())
    assert (len(rows[0][1]), bad) == (200_000, [])


def test_a_quote_that_is_never_closed_does_not_swallow_the_file():
    rows, bad = read(b'a,b\n1,"open\n' + b"2,3\n" * 2000)
    assert len(rows) == 2000
    assert [line for line, _ in bad] == [2]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n"])
def test_nothing_gives_nothing(content):
    assert read(content) == ([], [])


cells = st.text(alphabet='ab",\n é0', max_size=8)


@given(st.lists(st.tuples(cells, cells, cells), max_size=8))
def test_what_python_writes_comes_back(rows):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    found, bad = read(out.getvalue().encode())
    assert not bad
    assert found == [list(row) for row in rows]
