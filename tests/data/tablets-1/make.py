"""Made tablet.json, once, with edubba 0.1.0.dev0: never to be made again. Its text and its measures are invented.

Files of the first format must load for ever, and give this tablet.

    python tests/data/tablets-1/make.py
"""

from pathlib import Path

from edubba.tablets.records import Box, Candidate, Evidence, Line, Photograph, Sign, Step, Surface, Tablet

HERE = Path(__file__).parent


def tablet() -> Tablet:
    """Every field of every record."""
    first = Sign(
        id="s1", name="KI", reading="ki", role="syllable", word=0, damage="damaged", marks=("uncertain", "collated"),
        box=Box(12.0, 20.5, 48.25, 61.0), score=0.875, candidates=(Candidate("KI", 0.75), Candidate("DI", 0.125)),
        evidence=(Evidence("KI", "an example 17", 0.5),), extra={"mzl_label": 737, "notes": ["drawn by hand", None]},
    )  # fmt: skip
    signs = (
        first,
        Sign(name="|A.LAGAB×HAL|", reading="id₂", role="logogram", word=1, marks=("corrected",)),
        Sign(name="AN", reading="d", role="determinative", word=2, damage="broken", marks=("doubtful",)),
        Sign(reading="5", role="number", word=2, marks=("omitted",)),
        Sign(role="gloss", word=2, marks=("superfluous", "erased")),
        Sign(role="punctuation", box=Box(50.0, 20.0, 60.0, 60.0), score=0.25, abstained=True, candidates=(Candidate("GAM", 0.5),)),
    )  # fmt: skip
    lines = (
        Line(
            id="l1",
            label="1'",
            signs=signs,
            path=((10.0, 40.0), (200.5, 42.0)),
            text="ki#?* ID₂! {(d)}[...]",
            extra={"k": 1},
        ),
        Line(kind="state", text="$ rest broken"),
        Line(kind="note", text="#note: invented"),
        Line(kind="unplaced", signs=(Sign(box=Box(0.0, 0.0, 5.0, 5.0)),)),
    )
    return Tablet(
        id="P000000", name="Invented 1 (+) 2", language="akk", period="Neo-Assyrian",
        photograph=Photograph(file="images/P000000.jpg", width=300, height=200, sha256="0" * 64),
        surfaces=(
            Surface(id="o1", kind="obverse", column="1", box=Box(5.0, 5.0, 250.0, 190.0), lines=lines, extra={"kind": "official"}),
            Surface(kind="seal 1"),
        ),
        steps=(
            Step(what="detect", by="edubba 0.1.0.dev0", when="2026-11-30T10:00:00+00:00", settings={"threshold": 0.5}),
            Step(what="correct", by="A. Person"),
        ),
        extra={"split": "train", "scale": 0.5},
    )  # fmt: skip


def main() -> None:
    from edubba.tablets import records

    records.write([tablet(), Tablet(id="bare")], HERE / "tablet.json")


if __name__ == "__main__":
    main()
