"""Verbs of the room: train, read, train-restorer, restore, evaluate, convert. Heavy imports stand inside the verbs."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from edubba.core.printing import Json, show, show_results
from edubba.tablets.spec import TrainReader, TrainRestorer

app = App(
    name="tablets",
    help="""Read photographed clay tablets: signs, lines, transliteration, filled gaps, with evidence for each sign.

        edubba tablets train    annotations_coco.json --images photos/ -o runs/reader
        edubba tablets read     photo.jpg --reader runs/reader -o out/
        edubba tablets train-restorer texts/ -o runs/restorer
        edubba tablets restore  "a-na {d}[x x] EN-ia" --model runs/restorer

    Nothing that an editor restored is ever taken for ink, and a sign that is not sure enough gets no name.
    """,
)

Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Images = Annotated[Path, Parameter(help="folder of the photographs that the annotations name")]
Config = Annotated[
    Path | None, Parameter(help="TOML file with the same settings, such as the spec.toml of a run; flags win")
]
Flags = Parameter(name="*")


@app.command
def train(
    annotations: Path,
    *,
    images: Images,
    out: Out,
    crops: str | None = None,
    encoder: Path | None = None,
    spec: Annotated[TrainReader, Flags] = TrainReader(),
    config: Config = None,
    json: Json = False,
) -> int:
    """Learn to find and to name signs from photographs with boxes.

    Photographs of the split `test` are never looked at. Ctrl-C saves; the same line goes on.

    Parameters
    ----------
    annotations
        Boxes and names: COCO, PAGE-XML, eBL gt.txt, CompVis CSV or DeepScribe hotspots.
    out
        Run folder to make or to go on with.
    crops
        More labelled crops of signs (folder or tar with labels.csv: file, label, perhaps period), for names alone.
    encoder
        An encoder that `edubba contrast pretrain` learned from crops without labels: where naming begins.
    """
    from edubba.tablets import training

    run = training.train_reader(annotations, spec, images=images, out=out, crops_from=crops, encoder=encoder)
    if not run.writes:
        return 0
    document = run.document
    show_results(document, json=json)
    return 3 if document["skipped"] else 0


@app.command
def read(
    photo: Path,
    *,
    reader: Annotated[Path, Parameter(help="run folder of `edubba tablets train`")],
    out: Out,
    restorer: Annotated[
        Path | None, Parameter(help="run folder of `edubba tablets train-restorer`: context then helps to name signs")
    ] = None,
    readings: Annotated[
        Path | None,
        Parameter(help="run folder of `edubba tablets train-restorer` on ATF: signs are then read, not only named"),
    ] = None,
    period: str = "",
    sign_height: float = 0.0,
    json: Json = False,
) -> int:
    """Read a photograph: overlay picture, ATF, PAGE-XML, JSON and a report to look at.

    Parameters
    ----------
    photo
        One photograph.
    out
        Folder to write to: NAME.overlay.jpg, NAME.atf, NAME.xml, NAME.json, NAME.html.
    period
        Of the tablet, as the training crops call it ("Neo-Assyrian"); left out: unknown.
    sign_height
        How high most signs are, pixels; 0: found by itself.
    """
    from edubba.tablets import writing

    files = writing.read_and_write(
        photo, reader=reader, out=out, restorer=restorer, readings=readings, period=period, sign_height=sign_height
    )
    if json:
        show(files.summary, json=True)
        return 0
    print(files.words)
    for path in files.paths:
        print(path)
    return 0


@app.command(name="train-restorer")
def train_restorer(
    texts: Path,
    *,
    out: Out,
    spec: Annotated[TrainRestorer, Flags] = TrainRestorer(),
    config: Config = None,
    json: Json = False,
) -> int:
    """Learn which signs stand where, from texts; what editors restored is never learned from.

    Ctrl-C saves; the same line goes on.

    Parameters
    ----------
    texts
        ATF files, a folder of them, or sign tables (.csv, .parquet: tablet, line, pos, mzl, status).
    out
        Run folder to make or to go on with.
    """
    from edubba.tablets import restoring

    run = restoring.train_restorer(texts, spec, out=out)
    if not run.writes:
        return 0
    show_results(run.document, json=json)
    return 3 if run.document["skipped"] else 0


@app.command
def restore(
    text: str,
    *,
    model: Annotated[Path, Parameter(help="run folder of `edubba tablets train-restorer`")],
    k: int = 10,
    json: Json = False,
) -> int:
    """Rank what may have stood in the gaps of a line, with probabilities and where each is attested.

    Parameters
    ----------
    text
        A line in ATF, gaps as `[x x]` or `[...]`.
    k
        How many fillings to show.
    """
    from edubba.tablets import restoring

    found = restoring.restore(text, model=model, k=k)
    if json:
        from dataclasses import asdict

        show([asdict(f) for f in found], json=True)
        return 0
    several = len({f.gap for f in found}) > 1
    rows = [
        ({"gap": f.gap + 1} if several else {}) | {
            "rank": 1 + [g for g in found if g.gap == f.gap].index(f), "filling": f.text, "probability": f.probability,
            "attested": "; ".join(f"{p.text} {p.line}: {p.words}" for p in f.parallels[:2]),
        }
        for f in found
    ]  # fmt: skip
    show(rows, json=False, empty="the model knows nothing that fits")
    return 0


@app.command
def evaluate(
    reader: Path,
    annotations: Path,
    *,
    images: Images,
    restorer: Path | None = None,
    split: str = "test",
    json: Json = False,
) -> int:
    """Measure a reader: boxes, names, lines and both together, with intervals over tablets.

    Parameters
    ----------
    reader
        Run folder of `edubba tablets train`.
    annotations
        Photographs with boxes that it was not trained on.
    restorer
        Run folder of `edubba tablets train-restorer`, to name signs in context.
    split
        Which photographs, where the annotations name splits; empty: all.
    """
    from edubba.tablets import evaluation

    document = evaluation.evaluate(reader, annotations, images=images, restorer=restorer, split=split)
    show_results(document | ({} if json else {"skipped": 0}), json=json)
    return 3 if document["skipped"] else 0


@app.command
def convert(source: Path, target: Path, *, images: Path | None = None, format: str = "", to: str = "") -> int:
    """Convert between formats: COCO, PAGE-XML, ATF, eBL gt.txt, CompVis CSV, DeepScribe hotspots, Unicode, JSON.

    Parameters
    ----------
    source
        The file to read; its format is recognised by its content.
    target
        The file to write; it must not exist. Its format follows from its name.
    images
        Folder of the photographs, where a format needs their sizes.
    format
        Of the source, where it cannot be told.
    to
        Format of the target, where its name does not tell.
    """
    from edubba.tablets import formats

    lost = formats.convert(source, target, images=images, from_format=format or None, to_format=to or None)
    print(target)
    for words in lost:
        print(f"warning: {words}", file=sys.stderr)
    return 0
