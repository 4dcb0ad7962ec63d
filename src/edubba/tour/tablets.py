"""Fourth chapter: a clay tablet, rendered from a font, is read: signs, lines, names, readings, and a gap is filled."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from edubba.core import files, report
from edubba.core.report import Section
from edubba.core.settings import Fit, Views
from edubba.tablets import (
    Detecting,
    Naming,
    TrainReader,
    TrainRestorer,
    evaluate,
    formats,
    photographs,
    reading,
    records,
    rendering,
    restore,
    train_reader,
    train_restorer,
    writing,
)
from edubba.tablets import report as pages

ABOUT = "rendering clay tablets, learning to read them, about 2 minutes on 2 cores"
CREDIT = "signs from Noto Sans Cuneiform (SIL OFL 1.1), names from the Oracc Sign List (CC0)"
NEEDS = ()
"""chapters whose results are used again"""
RUNS = ("tablets/reader", "tablets/restorer")
TABLETS = 36
MORE_TEXTS = 300
FINDING = Fit(epochs=1, batch_size=8, lr=4e-3, ema=0.97, warmup_epochs=0.1)
NAMING = Fit(epochs=14, batch_size=48, lr=4e-3, warmup_epochs=1.0, ema=0.98)
DAMAGE, WEAR = 0.05, 0.08
"""little, since two minutes are short"""
READER = TrainReader(
    validation=0.25,
    detecting=Detecting(steps=320, crop=192, rotate=4.0, scale=0.35, fit=FINDING),
    naming=Naming(size=32, small=0, period=False, fit=NAMING, views=Views("relief", rotate=6.0, erase=0.0)),
)
RESTORER = TrainRestorer(width=64, layers=2, epochs=5, places=60)
GAP = "mu lugal-e uri₅{ki} [x x]"
LIMIT = 900_000
"""bytes of the tablet's parts"""
SHOWN = {
    "detection/ap50": "signs found: average precision at half overlap",
    "names, true boxes/top-1": "signs named rightly where the box is given",
    "names, true boxes/top-5": "the right name among the first five",
    "lines, detected boxes/pair F1": "signs put into the right line",
    "end to end/top-1": "signs found and named rightly, nothing given",
    "end to end/sign error rate, nothing given": "sign error rate of the whole reading (0 is perfect)",
}


def clear(folder: Path) -> None:
    """Delete what the chapter made."""
    if (folder / "tablets" / "set" / "set.json").exists():
        shutil.rmtree(folder / "tablets")


def chapter(folder: Path) -> list[Section]:
    """Render, learn, read one tablet that was held out; what is finished is not done again."""
    home = folder / "tablets"
    rendered = rendering.make_set(
        home / "set", tablets=TABLETS, seed=1, more_texts=MORE_TEXTS, damage=DAMAGE, wear=WEAR
    )
    annotations = rendered / "annotations_coco.json"
    train_reader(annotations, READER, images=rendered, out=home / "reader")
    train_restorer(rendered / "texts.atf", RESTORER, out=home / "restorer")
    photo = held_out(rendered)
    read = home / "read"
    if not (read / f"{photo.stem}.html").exists():
        shutil.rmtree(read, ignore_errors=True)
        writing.read_and_write(
            photo, reader=home / "reader", restorer=home / "restorer", readings=home / "restorer", out=read
        )
    return [summary(home, annotations, rendered), *shown(read, photo, home / "reader")]


def held_out(rendered: Path) -> Path:
    """The photograph of the first tablet that nothing was learned from."""
    tablets = formats.read(rendered / "annotations_coco.json", images=rendered)
    first = next(tablet for tablet in tablets if tablet.extra["split"] == "test")
    assert first.photograph is not None
    return rendered / first.photograph.file


def summary(home: Path, annotations: Path, rendered: Path) -> Section:
    """What was measured on the tablets held out, and what stands in a gap."""
    kept = home / "evaluation.json"
    if not kept.exists():
        document = evaluate(home / "reader", annotations, images=rendered, split="test", draws=100)
        files.write(kept, json.dumps(document, indent=1))
    results = {row["name"]: row for row in json.loads(kept.read_text())["results"]}
    rows = [
        [words, f"{results[name]['value']:.3f}"]
        for name, words in SHOWN.items() if name in results
    ]  # fmt: skip
    filled = restore(GAP, model=home / "restorer", k=3)
    guesses = "; ".join(f"{f.text} ({100 * f.probability:.0f} %)" for f in filled)
    text = (
        "No tablet of a museum may be shipped with a program, so these were rendered: signs of a font, pressed into clay that"
        " never was, lit from the side, worn and broken; their texts are invented. That is easier than a photograph: one hand,"
        " one clay, one camera. What is read on real photographs stands in docs/tablets.md.\n\n"
        f"A gap is filled from texts alone: in `{GAP}` the model thinks of {guesses}. It never puts this into the text."
    )
    table = report.table(["on tablets that nothing was learned from", "value"], rows, "What was reached")
    return Section("Can a machine read clay?", [report.prose(text), table])


def shown(read: Path, photo: Path, reader: Path) -> list[Section]:
    """The parts of the tablet's own page that a tour has room for: the photograph and the transliteration."""
    (tablet,) = records.read(read / f"{photo.stem}.json")
    pixels, _ = photographs.read(photo)
    parts = pages.sections(
        tablet, pixels, exemplars=writing.exemplars(tablet, reading.load(reader)), facts={}, limit=LIMIT
    )
    wanted = ("The photograph", "The transliteration", "Sign by sign")
    return [replace(parts[0], title="One of them, read"), *(part for part in parts if part.title in wanted)]
