"""The command line: one App over lazily loaded rooms, and the one place that turns errors into sentences and exit codes."""

import os
import sys
import traceback
from pathlib import Path

from cyclopts import App, CycloptsError
from cyclopts.config import Toml

from edubba import __version__
from edubba.core.errors import UserError
from edubba.core.printing import Json, show

DONE, ERROR, USAGE, SKIPPED, NO, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130

app = App(
    name="edubba",
    version=__version__,
    help="""A workbench for people who keep collections.

    Begin with `edubba demo`, or with your own pictures:

        edubba contrast pretrain photos/ -o runs/a
        edubba contrast probe runs/a photos/ --labels labels.csv

    Exit codes: 0 done; 1 something to mend, said in one sentence; 2 wrong usage; 3 done, but inputs were skipped;
    4 done, and the answer is no; 70 our bug; 130 interrupted, the same line goes on.
    """,
    help_format="markdown",
    suppress_keyboard_interrupt=False,
)
app.command("edubba.contrast.cli:app", name="contrast", help="Learn from pictures without labels, then probe with few.")
app.command("edubba.trace.cli:app", name="trace", help="Mark what you publish; prove that a model was trained on it.")
app.command("edubba.tablets.cli:app", name="tablets", help="Read photographed clay tablets, sign by sign.")
app.command("edubba.papers.cli:app", name="papers", help="Search a library of papers; what is shown is quoted.")
app.command(
    "edubba.tour.cli:demo", name="demo", help="A walk through the rooms on pictures that ship with the package."
)

runs_app = App(name="runs", help="Look at run folders, and delete them.")
data_app = App(name="data", help="Data sets by name.")
app.command(runs_app)
app.command(data_app)


@runs_app.command(name="list")
def runs_list(root: Path = Path(), /, *, json: Json = False) -> int:
    """List the runs under a folder, oldest first.

    Parameters
    ----------
    root
        Where to look; default: here.
    """
    from edubba.core import runs

    rows = [
        {"run": str(run.path), "verb": run.verb, "done": run.done, "step": run.step, "created": run.resolved["created"]}
        for run in runs.find(root)
    ]
    show(rows, json=json, empty=f"no runs under {root}")
    return DONE


@runs_app.command(name="show")
def runs_show(path: Path, /, *, json: Json = False) -> int:
    """Print a run's settings and results.

    Parameters
    ----------
    path
        The run folder.
    """
    from edubba.core import runs
    from edubba.core.printing import show_results

    run = runs.read(path)
    if json:
        show({"run": str(path), "spec": run.tables, **(run.document if run.done else {"step": run.step})}, json=True)
        return DONE
    print(f"{path}: {run.verb}, {'finished' if run.done else f'unfinished, at step {run.step}'}")
    print((path / "spec.toml").read_text())
    if run.done:
        show_results(run.document, json=False)
        print(f"report: {run.report}")
    return DONE


@runs_app.command(name="rm")
def runs_rm(path: Path, /) -> int:
    """Delete a run folder. Only run folders, and none that is in use.

    Parameters
    ----------
    path
        The run folder.
    """
    from edubba.core import runs

    runs.remove(path)
    print(f"{path} is deleted")
    return DONE


@data_app.command(name="list")
def data_list(*, json: Json = False) -> int:
    """List the data sets that have a name: shipped ones, and those you added."""
    from dataclasses import asdict

    from edubba.core import catalogue

    rows = [{k: v for k, v in asdict(entry).items() if v is not None} for entry in catalogue.entries()]
    show(rows, json=json, columns=("name", "pictures", "licence", "what", "path"))
    return DONE


@data_app.command(name="add")
def data_add(name: str, path: Path, /) -> int:
    """Give a folder or file of yours a name that every command understands.

    Parameters
    ----------
    name
        The new name.
    path
        A folder, tar, npz or IDX file.
    """
    from edubba.core import catalogue

    entry = catalogue.add(name, path)
    print(f"{entry.name} is {entry.path}")
    return DONE


def run(argv: list[str]) -> int:
    """Run one command line; the exit code."""
    tokens = [part for token in argv for part in (token.split("=", 1) if token.startswith("--config=") else [token])]
    config = tokens[tokens.index("--config") + 1] if "--config" in tokens[:-1] else None
    if config is not None and not Path(config).is_file():
        return _say(UserError(f"{config} is not there: --config takes a TOML file"))
    app.config = () if config is None else Toml(config, must_exist=True, use_commands_as_keys=True)
    try:
        code = app(tokens, exit_on_error=False, print_error=True, result_action="return_value")
        return DONE if code is None else int(code)
    except CycloptsError:
        return USAGE
    except UserError as error:
        return _say(error)
    except KeyboardInterrupt:
        print("edubba: interrupted; the same line goes on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` is no error
        return DONE
    except Exception:
        return _bug()


def _say(error: UserError) -> int:
    if os.environ.get("EDUBBA_TRACEBACK"):
        traceback.print_exc()
    print(f"edubba: {error}", file=sys.stderr)
    return ERROR


def _bug() -> int:
    traceback.print_exc()
    print("edubba: this is a bug of ours; please report it with the lines above", file=sys.stderr)
    return BUG


def main() -> None:
    """Entry point of the `edubba` command."""
    sys.exit(run(sys.argv[1:]))
