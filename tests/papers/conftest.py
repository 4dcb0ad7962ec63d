"""Small releases in the three layouts, invented."""

import csv
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

COLUMNS = {
    "A": "sha,source_x,title,doi,pmcid,pubmed_id,license,abstract,publish_time,authors,journal,Microsoft Academic Paper ID,WHO #Covidence,has_full_text",
    "B": "cord_uid,sha,source_x,title,doi,pmcid,pubmed_id,license,abstract,publish_time,authors,journal,Microsoft Academic Paper ID,WHO #Covidence,has_pdf_parse,has_pmc_xml_parse,full_text_file,url",
    "C": "cord_uid,sha,source_x,title,doi,pmcid,pubmed_id,license,abstract,publish_time,authors,journal,mag_id,who_covidence_id,arxiv_id,pdf_json_files,pmc_json_files,url,s2_id",
}


def paper(i, **more):
    return {
        "cord_uid": f"uid{i:05d}", "title": f"Invented paper number {i} on the spread of viruses in cities", "doi": f"10.1234/x.{i}",
        "abstract": f"We counted {i} cases of COVID-19. The median was {i % 9 + 1} days. Masks help.", "publish_time": "2020-04-17",
        "authors": "Wang, C; Horby, P", "journal": "J. Invented", "license": "cc-by", "source_x": "PMC",
    } | more  # fmt: skip


def table(rows, layout="C"):
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS[layout].split(","), extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def body(name, *paragraphs, title="", abstract=()):
    return json.dumps({
        "paper_id": name, "metadata": {"title": title}, "abstract": [{"text": t} for t in abstract],
        "body_text": [{"text": text, "section": section} for section, text in paragraphs],
    })  # fmt: skip


def release(folder: Path, rows, layout="C", bodies=()):
    """A release in a folder; `bodies` are pairs of name and JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "all_sources_metadata_2020-03-13.csv" if layout == "A" else "metadata.csv"
    (folder / name).write_text(table(rows, layout))
    place = {"A": "comm_use_subset", "B": "comm_use_subset/pdf_json", "C": "document_parses/pdf_json"}[layout]
    for name, content in bodies:
        file = folder / place / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def packed(folder: Path, target: Path, *, last="metadata"):
    """The same as a tar.gz, its metadata at the end."""
    with tarfile.open(target, "w:gz") as tar:
        for file in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: last in p.name):
            tar.add(file, f"2020-04-17/{file.relative_to(folder)}")
    return target


@pytest.fixture(params=["tantivy", "sqlite"])
def engine(request):
    if request.param == "tantivy":
        pytest.importorskip("tantivy")
    return request.param


@pytest.fixture(scope="session")
def cord19():
    """What makes releases."""
    return SimpleNamespace(paper=paper, table=table, body=body, release=release, packed=packed)
