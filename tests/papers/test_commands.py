"""The commands of docs/papers.md, as they stand there, in a folder that holds what they name."""

import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from edubba import cli

pytest.importorskip("tantivy", reason="the library of the docs needs the extra papers")
DOCS = Path(__file__).parents[2] / "docs" / "papers.md"
LINES = [
    shlex.split(line, comments=True)[1:]
    for line in DOCS.read_text().split("##")[0].splitlines()
    if line.startswith("    edubba papers")
]
PAPERS = (
    ("Vitamin D against infection, a trial", "Vitamin D was given in a randomized controlled trial. It did protect 40 patients."),
    ("Incubation in one city", "The median incubation period of COVID-19 was 5.1 days (95% CI 4.5 to 5.8) in 181 patients."),
    ("Incubation in another city", "We found a median incubation period of COVID-19 of 4.8 days (95% CI 4.2 to 5.4) in 99 patients."),
    ("Masks in hospitals", "Masks reduce the risk of infection in nurses."),
    ("Masks in cities", "Masks do not increase the risk of infection."),
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch, cord19):
    rows = [
        cord19.paper(i, title=title, abstract=text, publish_time="2020-04-17") for i, (title, text) in enumerate(PAPERS)
    ]
    cord19.release(tmp_path / "cord19", rows)
    notices = [
        {"date": f"{year}-02-03", "headline": f"{year} - {what}", "body": f"{what} was reported to the office."}
        for year, what in ((2001, "Cholera in Peru"), (2002, "Cholera in Chile"), (2004, "Ebola in Gabon"))
    ]
    (tmp_path / "don.jsonl").write_text("\n".join(map(json.dumps, notices)))
    (tmp_path / "topics.xml").write_text("<topics><topic number='1'><query>masks infection</query></topic></topics>")
    (tmp_path / "qrels.txt").write_text("1 0 uid00003 2\n1 0 uid00004 1\n1 0 uid00000 0\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_docs_work_as_they_stand(place, capsys):
    said = {}
    for line in LINES:
        if line[1] == "serve":
            continue
        code = cli.run(line)
        said[line[1]] = capsys.readouterr().out
        assert code in ((0, 4) if line[1] == "check" else (0,)), line
    assert set(said) == {"build", "search", "ask", "extract", "check", "notices", "evaluate"}
    assert "5 papers" in said["build"]
    assert "Vitamin D" in said["search"]
    assert "Masks" not in said["search"]
    assert "median incubation period of COVID-19 was 5.1 days" in said["ask"]
    assert "5.1" in (place / "table.csv").read_text()
    assert "Masks do not increase the risk of infection" in said["check"]
    assert "Ebola in Gabon" in said["notices"]
    assert "Cholera" not in said["notices"].split("Ebola")[0]
    assert "nDCG@10" in said["evaluate"]
    assert (place / "run.txt").read_text().split()[:2] == ["1", "Q0"]


def test_the_page_of_the_docs_answers(place):
    assert cli.run(next(line for line in LINES if line[1] == "build")) == 0
    line = next(line for line in LINES if line[1] == "serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "edubba", *line, "--port", str(port)], cwd=place)
    try:
        for _ in range(300):
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/?q=masks", timeout=30) as page:
                    assert "Masks in cities" in page.read().decode()
                break
            except urllib.error.URLError:
                assert server.poll() is None
        else:
            pytest.fail("no page in a minute")
    finally:
        server.terminate()
        server.wait(timeout=30)
