"""Verbs of the room: pretrain, probe, neighbours, embed. Heavy imports stand inside the verbs."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from edubba.contrast.spec import Pretrain, Probe
from edubba.core.printing import Json, show, show_results

app = App(
    name="contrast",
    help="""Learn from pictures without labels (SimCLR), then see how far a few labels go.

    A source is a folder (class folders, or flat with a labels.csv: file, label, optional group and split), a tar of
    one, an .npz with x and y, an IDX file, or a name from `edubba data list`.
    """,
)

Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Config = Annotated[
    Path | None, Parameter(help="TOML file with the same settings, such as the spec.toml of a run; flags win")
]
Flags = Parameter(name="*")
AllowCode = Annotated[
    bool, Parameter(negative="", help="import and run a bundle's own network (module:attribute); only if you trust it")
]


@app.command
def pretrain(
    source: str,
    *,
    out: Out,
    spec: Annotated[Pretrain, Flags] = Pretrain(),
    config: Config = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Learn an encoder from pictures without labels.

    Ctrl-C saves; the same line goes on. With a split column only the train pictures are learned from.

    Parameters
    ----------
    source
        Folder, tar, npz, IDX file, or the name of a data set.
    out
        Run folder to make or to go on with.
    dry_run
        Say how many pictures, at which size, and which disk, memory and minutes it would take; do nothing.
    """
    from edubba.contrast import pretraining
    from edubba.core import catalogue

    path = catalogue.source(source)
    sys.path.append(os.getcwd())  # where a user's module:attribute lies; last, so that it hides nothing
    if dry_run:
        from edubba.contrast import forecast

        needs = forecast.forecast(path, spec)
        if json:
            show(needs._asdict(), json=True)
        else:
            print(forecast.words(needs))
        return 0
    run = pretraining.pretrain(path, spec, out=out)
    if not run.writes:
        return 0
    from edubba.contrast import report

    if not run.report.exists():
        report.build(run.path)
    document = run.document
    show_results(document, json=json)
    if not json:
        print(f"report: {run.report}")
    return 3 if document["skipped"] else 0


@app.command
def probe(
    run: Path,
    source: str,
    *,
    labels: Path | None = None,
    group: str | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    spec: Annotated[Probe, Flags] = Probe(),
    config: Config = None,
    allow_code: AllowCode = False,
    json: Json = False,
) -> int:
    """Measure an encoder: kNN, linear probe, and the same network trained from scratch, at several numbers of labels.

    Parameters
    ----------
    run
        Run folder of a pretraining, or a model bundle.
    source
        Pictures with labels: class folders, or --labels.
    labels
        A csv with the columns file and label, and where known group (what a split must not tear apart) and split.
    group
        Name of the column to take as group.
    out
        Run folder of the probe; default RUN/probe.
    """
    from edubba.contrast import probing as room
    from edubba.contrast import report
    from edubba.core import catalogue, runs

    sys.path.append(os.getcwd())
    room.probe(run, catalogue.source(source), labels=labels, group=group, spec=spec, out=out, allow_code=allow_code)
    folder = runs.read(out or run / "probe")
    report.build(folder.path)
    if out is None and (run / "spec.toml").exists():
        report.build(run)
    document = folder.document
    show_results(document, json=json)
    if not json:
        print(f"report: {folder.report}")
    return 3 if document["skipped"] else 0


@app.command
def neighbours(
    run: Path,
    photo: Path,
    *,
    source: str | None = None,
    k: int = 10,
    allow_code: AllowCode = False,
    json: Json = False,
) -> int:
    """What else looks like this? The pictures most like one photograph.

    Parameters
    ----------
    run
        Run folder of a pretraining.
    photo
        A picture; it need not be one of those learned from.
    source
        Where to look; default: what the run learned from.
    k
        How many.
    """
    from edubba.contrast import features as room
    from edubba.core import catalogue, runs

    where = source or runs.read(run).settings["source"]
    sys.path.append(os.getcwd())
    encoder = room.load_encoder(run, allow_code=allow_code)
    found = room.neighbours(encoder, photo, catalogue.source(where), k=k)
    show([n._asdict() for n in found], json=json)
    return 0


@app.command
def embed(
    run: Path,
    source: str,
    *,
    out: Out,
    batch_size: int = 256,
    allow_code: AllowCode = False,
    json: Json = False,
) -> int:
    """Write the features h of every picture, with the file names, as an .npz.

    Parameters
    ----------
    run
        Run folder of a pretraining, or a model bundle.
    source
        Folder, tar, npz, IDX file, or the name of a data set.
    out
        The .npz to write: `h` (n, d) float32 and `file` (n,).
    batch_size
        Pictures at a time; changes memory, not values.
    """
    from edubba.contrast import features as room
    from edubba.core import catalogue, files
    from edubba.core.errors import UserError

    if out.exists():
        raise UserError(f"{out} exists: choose another file with -o, or delete it")
    sys.path.append(os.getcwd())
    encoder = room.load_encoder(run, allow_code=allow_code)
    found = room.embed(encoder, catalogue.source(source), batch_size=batch_size)
    files.write_npz(out, {"h": found.h, "file": found.file.astype(str)})
    summary = {"out": os.fspath(out), "pictures": len(found.file), "dim": found.h.shape[1]}
    show([summary], json=False) if not json else show(summary, json=True)
    return 0
