"""Every file that ships has its row, and is what the catalogue says."""

import hashlib
from pathlib import Path

from edubba.core import catalogue

ROOT = Path(__file__).parents[1]


def test_every_shipped_file_has_a_row_in_the_licence_table():
    table = (ROOT / "docs" / "licences.md").read_text()
    for path in (ROOT / "src" / "edubba" / "data").iterdir():
        assert f"| `{path.name}` |" in table, path.name


def test_shipped_data_are_what_the_catalogue_says():
    for entry in catalogue.entries():
        content = catalogue.find(entry.name).read_bytes()
        assert len(content) == entry.bytes
        assert hashlib.sha256(content).hexdigest() == entry.sha256


def test_every_direct_dependency_has_a_row():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = (ROOT / "docs" / "licences.md").read_text()
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0].split("=")[0].split("[")[0].strip()
        assert name in table, name
