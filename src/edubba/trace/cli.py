"""Verbs of the room: plan, commit, mark, seal, test, verify. Heavy imports stand inside the verbs."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from edubba.core.printing import Json, counted, show, show_results
from edubba.trace.spec import Commit, Mark, Test

app = App(
    name="trace",
    help="""Mark what you publish, and later prove that a model was trained on it.

    In this order, beginning long before there is a suspect:

        edubba trace plan   photos/ --share 0.1
        edubba trace commit photos/ --key owner.key
        edubba trace mark   photos/ --key owner.key -o published/
        edubba trace seal   published/ --key owner.key
        edubba trace test   suspect/ --key owner.key -o evidence/
        edubba trace verify evidence/

    Whoever has owner.key can remove the marks and claim them: keep it offline. Publish the two commitments, or have them
    timestamped; the evidence is worth as much as their dates.
    """,
)

Key = Annotated[
    Path, Parameter(help="the key file; the owner's papers lie beside it, in a folder of its name with .trace")
]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Config = Annotated[
    Path | None, Parameter(help="TOML file with the same settings, such as the spec.toml of a run; flags win")
]
Flags = Parameter(name="*")
AllowCode = Annotated[
    bool, Parameter(negative="", help="import and run a suspect's own code (module:attribute); only if you trust it")
]


@app.command
def plan(
    source: str,
    *,
    share: float = Mark.share,
    psnr: float = Mark.psnr,
    held_out: float = Commit.held_out,
    directions: int = Commit.directions,
    json: Json = False,
) -> int:
    """How many pictures would be marked, what it costs, what was found elsewhere, and what could not be shown.

    Parameters
    ----------
    source
        Folder of pictures in class folders, or with a labels.csv.
    share
        Share of the pictures to be marked, as `mark` will be told.
    psnr
        dB that every marked picture keeps at least, as `mark` will be told.
    held_out
        Share of the pictures that is never marked, as `commit` will be told.
    directions
        Shared directions that carry the mark, as `commit` will be told.
    """
    from dataclasses import asdict

    from edubba.core import catalogue
    from edubba.trace import planning

    found = planning.plan(catalogue.source(source), share=share, psnr=psnr, held_out=held_out, directions=directions)
    if json:
        show(asdict(found), json=True)
        return 0
    print(f"{counted(found.n, 'labelled picture')} of {found.classes} classes")
    print(f"{found.marked:,} would be marked, {found.fewest} of the rarest class; {found.held_out:,} held out")
    print(f"every marked picture keeps {found.psnr:g} dB: {found.rms:g} of 255 grey levels, root mean square")
    print(f"a suspect is named from a cosine of {found.needed} on, in {found.dimensions} dimensions")
    print(planning.words(found.measured))
    for words in found.cautions:
        print(f"- {words}")
    return 0


@app.command
def commit(
    source: str, *, key: Key, spec: Annotated[Commit, Flags] = Commit(), config: Config = None, json: Json = False
) -> int:
    """Fix everything the test will rest on, then draw the secret: the first commitment.

    Trains small networks on the unmarked pictures (markers and clean references) unless you give some. Ctrl-C saves; the
    same line goes on.

    Parameters
    ----------
    source
        Folder of pictures in class folders, or with a labels.csv.
    """
    from edubba.core import catalogue
    from edubba.trace import owner

    run = owner.commit(catalogue.source(source), key=key, spec=spec)
    show_results(run.document, json=json)
    if not json:
        print(f"key: {key} (keep it offline, and a copy elsewhere)")
        print(f"commitment: {run.path / 'commitment.json'} (publish it, or have its .tsq answered, before marking)")
    return 3 if run.document["skipped"] else 0


@app.command
def mark(
    source: str, *, key: Key, out: Out, spec: Annotated[Mark, Flags] = Mark(), config: Config = None, json: Json = False
) -> int:
    """Make a recipient's copy: some pictures carry the mark, every other file is the same to the byte.

    Ctrl-C is safe; the same line goes on.

    Parameters
    ----------
    source
        The folder that was committed to.
    out
        Folder of the copy to make.
    """
    from edubba.core import catalogue
    from edubba.trace import publishing, report

    run = publishing.mark(catalogue.source(source), key=key, out=out, spec=spec)
    page = report.build(run.path)
    show_results(run.document, json=json)
    if not json:
        marked = counted(run.resolved["marked"], "picture is", "pictures are")
        print(f"{marked} marked in {out}; {run.path / 'marks.csv'} has a row for each")
        print(f"report: {page}")
    return 3 if run.document["skipped"] else 0


@app.command
def seal(published: Path, *, key: Key, recipient: str = "public", json: Json = False) -> int:
    """The second commitment, to the files that go out. Have it dated before you publish them.

    Parameters
    ----------
    published
        The folder that `mark` made.
    recipient
        Whose copy it is.
    """
    from edubba.trace import owner, publishing

    document = publishing.seal(published, key=key, recipient=recipient)
    if json:
        show(document, json=True)
        return 0
    print(f"{counted(document['files'], 'file is', 'files are')} sealed, {document['marked']:,} of them marked")
    print(
        f"seal: {owner.papers(key) / 'copies' / recipient / 'seal.json'} (publish it, or have its .tsq answered, first)"
    )
    return 0


@app.command
def test(
    suspect: str,
    *,
    key: Key,
    out: Out,
    spec: Annotated[Test, Flags] = Test(),
    held_out: Path | None = None,
    allow_code: AllowCode = False,
    classes: tuple[str, ...] | None = None,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Was this model trained on the copy? A verdict with its error rate, and evidence that others can check.

    Parameters
    ----------
    suspect
        Model bundle of a classifier, an .onnx file, or module:attribute.
    out
        Folder for the evidence.
    held_out
        Where the held-out pictures are now; default: the folder that was committed to.
    classes
        Names in the order of the suspect's outputs, for ONNX and code.
    size
        Side of the pictures that it takes, where it does not say.
    mean
        What its pictures are normalised by, for ONNX and code: a number a channel.
    std
        As mean.
    """
    from edubba.trace import evidence, report, trial

    sys.path.append(os.getcwd())
    verdict = trial.test(
        suspect, key=key, out=out, spec=spec, held_out=held_out, allow_code=allow_code, classes=classes, size=size,
        mean=mean, std=std,
    )  # fmt: skip
    page = report.build(verdict.path)
    if json:
        show(evidence.read(verdict.path), json=True)
        return 0
    print(verdict.words)
    print(f"cosine {verdict.cosine:.3f} ({verdict.low:.3f} to {verdict.high:.3f}), log10 p {verdict.log10_p:.2f}")
    print(f"report: {page}")
    return 0


@app.command
def verify(
    evidence: Path,
    *,
    level: Literal["arithmetic", "binding", "networks"] = "arithmetic",
    papers: Path | None = None,
    published: Path | None = None,
    originals: Path | None = None,
    suspect: str | None = None,
    allow_code: AllowCode = False,
    json: Json = False,
) -> int:
    """Re-compute a verdict from its evidence, offline and without the owner's secret. Exit code 4: it does not hold.

    Parameters
    ----------
    evidence
        The folder that `test` made.
    level
        `arithmetic`: the figures from the stored answers, the opened sub-key and the commitments; `binding`: also that the
        published files are the sealed ones and carry these marks; `networks`: also ask suspect and markers again.
    papers
        The owner's papers, without the key, for the last two levels.
    published
        The published copy, for the last two levels.
    originals
        The unmarked folder, for the last two levels.
    suspect
        The model that was tested, for the last level.
    """
    from edubba.trace import verification as room

    sys.path.append(os.getcwd())
    found = room.verify(
        evidence, level=level, papers=papers, published=published, originals=originals, suspect=suspect,
        allow_code=allow_code,
    )  # fmt: skip
    rows = [{"check": name, "holds": good, "what": what} for name, good, what in found.checks]
    if json:
        show({"holds": found.holds, "checks": rows, "verdict": found.verdict.words}, json=True)
    else:
        show(rows, json=False)
        print(found.verdict.words if found.holds else "This evidence does not hold: believe nothing it says.")
    return 0 if found.holds else 4
