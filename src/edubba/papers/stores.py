"""Where rows lie: Parquet segments, or SQLite where there is no pyarrow. What was appended is sealed: it never changes.

Rows are dictionaries of text and numbers, all with the same keys; their place is their number, from 0.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edubba.core import files
from edubba.core.errors import UserError, need

Row = dict[str, Any]
GROUP = 64
"""rows of a Parquet row group: what is decoded to show one of them"""


@runtime_checkable
class Store(Protocol):
    """Rows that were appended in sealed batches."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    def append(self, rows: Sequence[Row]) -> None:
        """Seal some rows after the others, all or none."""
        ...

    def take(self, numbers: Sequence[int], columns: Sequence[str] | None = None) -> list[Row]:
        """Rows by their numbers."""
        ...

    def scan(self, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
        """All rows from one on, in batches."""
        ...


def open(folder: Path, name: str, kind: str) -> Store:
    """The rows `name` of a library; empty where there are none yet."""
    return Parquet(folder / name) if kind == "parquet" else Sqlite(folder / "library.sqlite", name)


class Parquet:
    """A folder of segments; `segments.json` names those that are sealed."""

    def __init__(self, folder: Path) -> None:
        need("pyarrow", extra="papers")
        self.folder = folder
        sealed = folder / "segments.json"
        self.segments: list[tuple[str, int]] = (
            [(row["file"], row["rows"]) for row in json.loads(sealed.read_text())] if sealed.exists() else []
        )
        self._open: dict[str, Any] = {}

    @property
    def rows(self) -> int:
        return sum(n for _, n in self.segments)

    def append(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not rows:
            return
        name = f"{len(self.segments):06d}.parquet"
        self.folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(rows))
        with files.replacing(self.folder / name) as part:
            pq.write_table(table, part, compression="zstd", row_group_size=GROUP)
        segments = [*self.segments, (name, len(rows))]
        listed = json.dumps([{"file": file, "rows": n} for file, n in segments], indent=0)
        files.write(self.folder / "segments.json", listed)  # from here on it is sealed
        self.segments = segments

    def _file(self, name: str) -> Any:
        import pyarrow.parquet as pq

        if name not in self._open:
            try:
                self._open[name] = pq.ParquetFile(self.folder / name, memory_map=True)
            except OSError as error:
                raise UserError(
                    f"{self.folder / name} is missing or damaged ({error}): build the library again"
                ) from None
        return self._open[name]

    def take(self, numbers: Sequence[int], columns: Sequence[str] | None = None) -> list[Row]:
        wanted = np.asarray(numbers, np.int64)
        ends = np.cumsum([n for _, n in self.segments])
        made: dict[int, Row] = {}
        segment = np.searchsorted(ends, wanted, side="right")
        for k in np.unique(segment).tolist():
            mine = wanted[segment == k]
            start = int(ends[k] - self.segments[k][1])
            file = self._file(self.segments[k][0])
            size = file.metadata.row_group(0).num_rows
            group = (mine - start) // size
            for g in np.unique(group).tolist():
                table = file.read_row_group(g, columns=None if columns is None else list(columns))
                for number in mine[group == g].tolist():
                    at = number - start - g * size
                    made[number] = {name: table.column(name)[at].as_py() for name in table.column_names}
        return [made[int(number)] for number in wanted]

    def scan(self, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
        first = 0
        for name, n in self.segments:
            if first + n > start:
                at = first
                for batch in self._file(name).iter_batches(
                    batch_size=2048, columns=None if columns is None else list(columns)
                ):
                    if at + batch.num_rows > start:
                        yield batch.slice(max(0, start - at)).to_pylist()
                    at += batch.num_rows
            first += n


class Sqlite:
    """A table of a database; a row is JSON."""

    def __init__(self, path: Path, name: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute(f"CREATE TABLE IF NOT EXISTS {name} (number INTEGER PRIMARY KEY, row TEXT NOT NULL)")
        self.db.commit()

    @property
    def rows(self) -> int:
        (most,) = self.db.execute(f"SELECT max(number) FROM {self.name}").fetchone()
        return 0 if most is None else most + 1

    def append(self, rows: Sequence[Row]) -> None:
        first = self.rows
        with self.db:
            self.db.executemany(
                f"INSERT INTO {self.name} VALUES (?, ?)",
                [(first + i, json.dumps(row, ensure_ascii=False)) for i, row in enumerate(rows)],
            )

    def take(self, numbers: Sequence[int], columns: Sequence[str] | None = None) -> list[Row]:
        query = f"SELECT row FROM {self.name} WHERE number = ?"
        return [_kept(json.loads(self.db.execute(query, (int(n),)).fetchone()[0]), columns) for n in numbers]

    def scan(self, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
        while rows := self.db.execute(
            f"SELECT row FROM {self.name} WHERE number >= ? AND number < ?", (start, start + 2048)
        ).fetchall():
            found = [json.loads(row) for (row,) in rows]
            yield [_kept(row, columns) for row in found]
            start += 2048


def _kept(row: Row, columns: Sequence[str] | None) -> Row:
    return row if columns is None else {name: row[name] for name in columns}
