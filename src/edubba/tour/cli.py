"""`edubba demo`."""

import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

CHAPTERS = ("contrast",)


def demo(
    chapter: Literal["contrast"] | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("demo"),
    fresh: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Walk through the rooms on pictures that ship with the package, and print where the report lies.

    About 3 minutes on 2 cores. What was measured before is shown with its date; Ctrl-C is safe, the same line goes on.

    Parameters
    ----------
    chapter
        Only this chapter; default: all.
    out
        Folder of the tour's runs and its report.
    fresh
        Measure again.
    """
    import importlib

    from edubba.core import report, runs

    chapters = (chapter,) if chapter else CHAPTERS
    sections = []
    for name in chapters:
        folder = out / name
        if fresh and folder.exists():
            runs.remove(folder)
        if folder.exists() and (folder / "results.json").exists():
            print(
                f"{name}: measured on {runs.read(folder).resolved['created'][:10]}; --fresh measures again", flush=True
            )
        else:
            print(f"{name}: learning from pictures, about 3 minutes on 2 cores", flush=True)
        began = time.monotonic()
        sections += importlib.import_module(f"edubba.tour.{name}").chapter(out)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    page = report.page(
        "edubba: the tour", lead="What this machine has just learned, and how sure it is.", sections=sections,
        footer="Made by `edubba demo`; the pictures are Oracle-MNIST's (Apache-2.0; Wang and Deng 2024).",
    )  # fmt: skip
    path = report.write(out / "report.html", page)
    print(f"report: {path}")
    return 0
