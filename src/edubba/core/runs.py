"""The run folder, format `edubba.run/1`: one verb's settings, state, measurements and results, whole at every moment.

spec.toml       [room.verb]: every setting and the source; [resolved]: facts found at the start
state.ckpt      model, optimizer, step; there while the run is unfinished
metrics.jsonl   {kind: start | train | eval | warn, step, time, ...}
results.json    {format: edubba.results/1, results, choices, warnings, skipped}; there when the run is finished
figures.npz, seen.txt.gz, skipped.csv, model/, report.html
"""

import atexit
import gzip
import json
import math
import os
import shutil
import socket
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edubba.core import files, spec
from edubba.core.errors import UserError
from edubba.core.stats import Result

FORMAT = "edubba.run/1"
RESULTS = "edubba.results/1"
NOT_OF_THE_RESULT = {"threads", "save_every", "device"}  # another choice of these goes on with the same run
LOCKS: set[Path] = set()
"""those that this process has taken"""


class OtherRun(UserError):
    """The folder holds another run than the one asked for; `what` says in which way."""

    def __init__(self, what: str, way: str = "choose another folder with -o") -> None:
        super().__init__(f"{what}: {way}")
        self.what = what


class Run:
    """One run folder. Made by `open` and `read`.

    What `open` gave unfinished is locked until `finish`, `close` or the end of the process, by an error or Ctrl-C too;
    `with contextlib.closing(run):` lets it go where the work ends and the process does not.
    """

    def __init__(self, path: Path, *, verb: str, writes: bool = True) -> None:
        self.path = path
        self.verb = verb
        self.writes = writes
        self.started = time.time()

    @property
    def tables(self) -> dict[str, Any]:
        return spec.read(self.path / "spec.toml")

    @property
    def settings(self) -> dict[str, Any]:
        """The table of the verb: every setting and the source."""
        room, verb = self.verb.split(".")
        return self.tables[room][verb]

    @property
    def resolved(self) -> dict[str, Any]:
        """Facts found at the start: versions, machine, threads, precision, sizes, fingerprints."""
        return self.tables["resolved"]

    @property
    def done(self) -> bool:
        return (self.path / "results.json").exists()

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def results(self) -> list[Result]:
        return [Result.from_dict(row) for row in self.document["results"]]

    @property
    def document(self) -> dict[str, Any]:
        """All of results.json."""
        document = json.loads((self.path / "results.json").read_text())
        if document.get("format") != RESULTS:
            raise UserError(
                f"{self.path / 'results.json'} has format {document.get('format')!r}, this edubba reads {RESULTS!r}"
            )
        return document

    @property
    def metrics(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # a live run's last line may be half written

    @property
    def step(self) -> int:
        """Last step that was logged; 0 before the first."""
        return max((line["step"] for line in self.metrics), default=0)

    def resolve(self, **facts: Any) -> dict[str, Any]:
        """Add facts to [resolved]; one that stands there already stays, so a resumed run keeps what it began with."""
        tables = self.tables
        tables["resolved"] = tables["resolved"] | {k: v for k, v in facts.items() if k not in tables["resolved"]}
        if self.writes and tables != self.tables:
            spec.write(self.path / "spec.toml", tables)
        return tables["resolved"]

    def save(self, state: dict[str, Any]) -> None:
        """Replace state.ckpt in one step."""
        if self.writes:
            import torch

            with files.replacing(self.path / "state.ckpt") as part:
                torch.save(state, part)

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None before the first save. What was logged after it is forgotten."""
        path = self.path / "state.ckpt"
        if not path.exists():
            self._cut_metrics(-1)
            return None
        import torch

        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError) as error:
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}): delete it to begin this run anew"
            ) from error
        self._cut_metrics(state["step"])
        return state

    def _cut_metrics(self, step: int) -> None:
        path = self.path / "metrics.jsonl"
        if not self.writes or not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # killed while writing
            if json.loads(line)["step"] <= step:
                kept.append(line)
        files.write(path, "".join(kept))

    def log(self, *, kind: str = "train", step: int, **numbers: Any) -> None:
        """Add a line to metrics.jsonl. NaN and infinity become null, as JSON has neither."""
        if self.writes:
            row = {"kind": kind, "step": step, "time": round(time.time(), 3)} | {
                k: _plain(v) for k, v in numbers.items()
            }
            with (self.path / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def figures(self, **arrays: np.ndarray) -> None:
        """Write figures.npz; no pickled objects."""
        if self.writes:
            files.write_npz(self.path / "figures.npz", arrays)

    def seen(self, hashes: list[str]) -> None:
        """Keep the content hashes of the pictures that were learned from."""
        if self.writes:
            files.write(self.path / "seen.txt.gz", gzip.compress("\n".join(sorted(hashes)).encode(), mtime=0))

    def finish(
        self, results: list[Result], *, choices: list[dict[str, Any]], warnings: list[str], skipped: int = 0
    ) -> None:
        """Write results.json, which ends the run, and drop the state that was only needed to go on."""
        for choice in choices:
            if choice["split"] == "test":
                raise ValueError(f"{choice['name']} was chosen on the test split")
        if not self.writes:
            return
        document = {
            "format": RESULTS, "results": [asdict(r) for r in results], "choices": choices, "warnings": warnings,
            "skipped": skipped,
        }  # fmt: skip
        files.write(self.path / "results.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
        (self.path / "state.ckpt").unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others write to this folder."""
        if self.writes:
            _unlock(self.path / "lock")


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 8) if math.isfinite(value) else None
    return value


def open(path: str | Path, settings: Any, *, verb: str, source: str, fingerprint: str) -> Run:
    """Create a run folder, go on with an unfinished one, or return the finished one (`.done`).

    Parameters
    ----------
    path
        The folder; made when absent.
    settings
        The verb's settings, a frozen dataclass.
    verb
        `room.verb`.
    source, fingerprint
        What is worked on, as typed, and the fingerprint of its contents.

    Raises
    ------
    OtherRun
        The folder holds another run; the fields that differ are named.
    UserError
        The folder holds something else, or is in use.
    """
    path = Path(path)
    room, name = verb.split(".")
    writes = int(os.environ.get("RANK", "0")) == 0
    run = Run(path, verb=verb, writes=writes)
    asked = {"source": source} | spec.to_table(settings)
    begun = path / "spec.toml"
    if not begun.exists():
        if not writes:
            return run
        strange = path.exists() and (not path.is_dir() or any(_strange(p) for p in path.iterdir()))
        if strange and not begun.exists():  # another process may have begun it by now
            raise UserError(f"{path} exists and is not a run folder: choose another one with -o")
        path.mkdir(parents=True, exist_ok=True)
        _lock(path)
        if not begun.exists():
            from edubba.core import machine

            resolved = {
                "format": FORMAT, "created": datetime.now().isoformat(timespec="seconds"), "source_fingerprint": fingerprint,
                "spec_fingerprint": spec.fingerprint(settings), **machine.facts(),
            }  # fmt: skip
            spec.write(begun, {room: {name: asked}, "resolved": resolved})
            return run
    _check_same(run, path, asked, fingerprint)
    if writes and not run.done:
        _lock(path)
    return run


def _strange(path: Path) -> bool:
    """Whether a file cannot be what is left of a run that was killed as it began."""
    return path.name not in ("probe", "lock") and not path.name.endswith(".part")


def _check_same(run: Run, path: Path, asked: dict[str, Any], fingerprint: str) -> None:
    tables = run.tables
    room, name = run.verb.split(".")
    if name not in tables.get(room, {}):
        there = next(f"{r}.{v}" for r in tables if r != "resolved" for v in tables[r])
        raise OtherRun(f"{path} is a run of {there}, not of {run.verb}")
    if tables["resolved"]["format"] != FORMAT:
        raise OtherRun(f"{path} has format {tables['resolved']['format']!r}, and this edubba reads {FORMAT!r}")
    before = tables[room][name]
    if tables["resolved"]["source_fingerprint"] != fingerprint:
        raise OtherRun(
            f"{asked['source']} is not what {path} began with ({before['source']}), as its files changed or it is another"
            " source"
        )
    different = spec.differences(*(_of_the_result(table) for table in (before, asked)))
    if different:
        raise OtherRun(
            f"{path} began with other settings ({'; '.join(different)})", "use those, or another folder with -o"
        )


def _of_the_result(table: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in table.items() if k not in NOT_OF_THE_RESULT | {"source"}}
    return {k: _of_the_result(v) if isinstance(v, dict) else v for k, v in kept.items()}


def _me() -> str:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname()})


def _lock(path: Path) -> None:
    lock, heir = path / "lock", path / "lock.part"
    if not _created(lock):
        _check_gone(lock)
        # of all who have found a dead owner, one at a time may look again and take its place
        if not _created(heir):
            raise UserError(_passing(heir))
        try:
            _check_gone(lock)
            os.replace(heir, lock)
        except BaseException:
            heir.unlink(missing_ok=True)
            raise
    LOCKS.add(lock.absolute())


def _created(lock: Path) -> bool:
    """Make the file; only one of several processes can."""
    try:
        with lock.open("x") as file:
            file.write(_me())
    except FileExistsError:
        return False
    return True


def _check_gone(lock: Path) -> None:
    """Raise unless the lock is this process's own, or of one on this machine that is dead."""
    try:
        text = lock.read_text()
        owner: dict[str, Any] = json.loads(text)
    except (FileNotFoundError, json.JSONDecodeError):
        raise UserError(_passing(lock)) from None
    pid, host = owner["pid"], owner["host"]
    if host != socket.gethostname():
        raise UserError(f"{lock.parent} is in use by process {pid} on {host}: if that machine is gone, delete {lock}")
    if text != _me() and _alive(pid):
        raise UserError(
            f"{lock.parent} is in use by process {pid}: wait for it, or choose another folder with -o; if that process is"
            f" not edubba, delete {lock}"
        )


def _passing(lock: Path) -> str:
    return f"{lock.parent} is just being taken or let go by another process: try again, and if that does not help, delete {lock}"


def _unlock(lock: Path) -> None:
    lock = lock.absolute()
    # a forked child knows its parent's locks, too
    if lock in LOCKS and lock.exists() and lock.read_text() == _me():
        lock.unlink()
    LOCKS.discard(lock)


@atexit.register
def _unlock_all() -> None:
    for lock in list(LOCKS):
        _unlock(lock)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill(pid, 0) would send Ctrl-C there
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return True


def read(path: str | Path) -> Run:
    """The run in a folder, for looking at it."""
    path = Path(path)
    if not (path / "spec.toml").exists():
        raise UserError(f"{path} is not a run folder: it holds no spec.toml")
    tables = spec.read(path / "spec.toml")
    if not str(tables.get("resolved", {}).get("format")).startswith("edubba.run/"):
        raise UserError(f"{path} is not a run folder: its spec.toml has no format edubba.run")
    room = next(iter(name for name in tables if name != "resolved"))
    return Run(path, verb=f"{room}.{next(iter(tables[room]))}", writes=False)


def find(root: str | Path) -> list[Run]:
    """All runs at and under a folder, oldest first."""
    found = [read(p.parent) for p in Path(root).rglob("spec.toml") if "edubba.run/" in p.read_text(errors="replace")]
    return sorted(found, key=lambda run: (run.resolved["created"], str(run.path)))


def remove(path: str | Path) -> None:
    """Delete a run folder; nothing else is ever deleted."""
    run = read(path)
    for folder in [run.path, *(lock.parent for lock in run.path.rglob("lock"))]:
        _lock(folder)
    shutil.rmtree(run.path)
