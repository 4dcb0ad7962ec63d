"""Data sets by name: those that ship, those in the folders of EDUBBA_DATA, and those a user has added."""

import os
from dataclasses import dataclass
from pathlib import Path

from edubba.core import files, spec
from edubba.core.errors import UserError

SHIPPED = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue. Shipped rows name a `file`, rows a user has added a `path`."""

    name: str
    what: str = ""
    file: str | None = None
    """file name, in the package or in a folder of EDUBBA_DATA"""
    path: str | None = None
    """absolute path on this machine"""
    pictures: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    licence: str | None = None
    citation: str | None = None


def entries() -> list[Entry]:
    """All rows, by name: those that ship and those added on this machine, which win over a shipped one.

    Raises
    ------
    UserError
        The user's catalogue cannot be read.
    """
    rows = _rows(Path(__file__).with_name("catalogue.toml"))
    rows |= _rows(_own()) if _own().exists() else {}
    return [rows[name] for name in sorted(rows)]


def find(name: str) -> Path:
    """Where a data set lies on this machine.

    A row's `file` is looked for in the package, then in each folder of EDUBBA_DATA (separated as in PATH). A name
    without a row may be any file or folder in a folder of EDUBBA_DATA.

    Raises
    ------
    UserError
        The name is unknown, or its file is not on this machine.
    """
    row = {entry.name: entry for entry in entries()}.get(name)
    if row and row.path:
        if not Path(row.path).exists():
            raise UserError(f"{name!r} was added as {row.path}, which no longer exists: mend its path in {_own()}")
        return Path(row.path)
    folders = [Path(folder) for folder in os.environ.get("EDUBBA_DATA", "").split(os.pathsep) if folder]
    file = row.file if row and row.file else name
    for folder in [SHIPPED, *folders] if row else folders:
        if (folder / file).exists():
            return folder / file
    if row:
        raise UserError(f"{file} of {name!r} is not on this machine: put it into a folder that EDUBBA_DATA names")
    names = spec.did_you_mean(name, (entry.name for entry in entries()))
    raise UserError(f"there is no file or folder {name!r} and the catalogue has no data set of this name{names}")


def add(name: str, path: str | Path) -> Entry:
    """Give a file or folder of the user a name, kept in `catalogue.toml` under EDUBBA_HOME.

    Raises
    ------
    UserError
        The name is taken or could be mistaken for a path, or the path does not exist.
    """
    if not name or Path(name).name != name:
        raise UserError(f"{name!r} cannot be a name in the catalogue: use a word without slashes")
    if name in (entry.name for entry in entries()):
        raise UserError(f"the catalogue already has {name!r}: choose another name")
    if not Path(path).exists():
        raise UserError(f"{path} does not exist")
    entry = Entry(name, path=str(Path(path).resolve()))
    own = spec.read(_own()) if _own().exists() else {}
    row = spec.to_table(entry)
    del row["name"]  # it is the table's header
    spec.write(_own(), own | {name: row})
    return entry


def source(name_or_path: str | Path) -> Path:
    """A path as it is, where it exists; else the path of the data set of this name.

    >>> source("oracle-mnist-demo").name
    'oracle_mnist_demo.npz'
    """
    return Path(name_or_path) if Path(name_or_path).exists() else find(str(name_or_path))


def _rows(path: Path) -> dict[str, Entry]:
    rows = {}
    for name, row in spec.read(path).items():
        if not isinstance(row, dict):
            raise UserError(f"{path}: {name!r} is {row!r}, not a table with a path")
        try:
            rows[name] = spec.from_table(Entry, row | {"name": name})
        except UserError as error:
            raise UserError(f"{path}: [{name}] {error}") from None
    return rows


def _own() -> Path:
    return files.home() / "catalogue.toml"
