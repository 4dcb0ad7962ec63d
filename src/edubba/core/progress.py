"""How far the work is: a bar with the time left on a terminal, one line a minute elsewhere, always on stderr."""

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def bar(what: str, total: int, *, done: int = 0, unit: str = "") -> Generator[Callable[..., None]]:
    """Show progress towards `total` (0: nobody knows); the function given takes the count done and words to show beside it."""
    if int(os.environ.get("RANK", "0")) > 0:
        yield lambda count, words="": None
        return
    if sys.stderr.isatty():
        with _terminal(what, total, done, unit) as update:
            yield update
        return
    start = last = time.monotonic()

    def line(count: int, words: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - start) * (total - count) / max(1, count - done)
            of = f" of {total:,} {unit}, {left / 60:.1f} min left" if total else f" {unit}"
            print(f"{what}: {count:,}{of}  {words}", file=sys.stderr, flush=True)

    yield line


@contextmanager
def _terminal(what: str, total: int, done: int, unit: str) -> Generator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total or None, completed=done, words="")
        yield lambda count, words="": progress.update(task, completed=count, words=words)
