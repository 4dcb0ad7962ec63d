"""`edubba demo`."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

Chapter = Literal["contrast", "trace", "quantum", "tablets", "papers"]


def demo(
    chapter: Chapter | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("demo"),
    fresh: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Walk through the rooms on pictures that ship with the package, and print where the report lies.

    About 9 minutes on 2 cores. What was measured before is shown with its date; Ctrl-C is safe, the same line goes on.

    Parameters
    ----------
    chapter
        Only this chapter, after those that it stands on and that were not walked through yet; default: all.
    out
        Folder of the tour's runs and its report.
    fresh
        Measure again.
    """
    import importlib

    from edubba.core import report, runs
    from edubba.core.errors import UserError

    def part_of(name: str) -> Any:
        return importlib.import_module(f"edubba.tour.{name}")

    def done(name: str) -> bool:
        return all((out / run / "results.json").exists() for run in part_of(name).RUNS)

    names = [*(name for name in part_of(chapter).NEEDS if not done(name)), chapter] if chapter else get_args(Chapter)
    parts = {name: part_of(name) for name in names}  # what is not installed is said before anything is measured
    sections, credits = [], []
    for name, part in parts.items():
        if fresh:
            part.clear(out)
        if done(name):
            created = runs.read(out / part.RUNS[0]).resolved["created"]
            print(f"{name}: measured on {created[:10]}; --fresh measures again", flush=True)
        else:
            print(f"{name}: {part.ABOUT}", flush=True)
        began = time.monotonic()
        try:
            sections += part.chapter(out)
        except runs.OtherRun as error:
            raise UserError(f"{error.what}: --fresh measures again, -o takes another folder") from error
        credits.append(part.CREDIT)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    page = report.page(
        "edubba: the tour", lead="What this machine has just learned, and how sure it is.", sections=sections,
        footer=f"Made by `edubba demo`; {'; '.join(credits)}.",
    )  # fmt: skip
    path = report.write(out / "report.html", page)
    print(f"report: {path}")
    return 0
