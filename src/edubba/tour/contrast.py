"""First chapter: an encoder learns oracle-bone characters without labels, then a few labels go further."""

from pathlib import Path

from edubba.contrast import Pretrain, Probe, Views, pretrain, probe, report
from edubba.core import catalogue, runs
from edubba.core.report import Section
from edubba.core.settings import Fit

ABOUT = "learning from pictures, about 3 minutes on 2 cores"
CREDIT = "the pictures are Oracle-MNIST's (Apache-2.0; Wang and Deng 2024)"
NEEDS = ()
"""chapters whose results are used again"""
RUNS = ("contrast", "contrast/probe")
SOURCE = "oracle-mnist-demo"
# steps, not seconds: about two of the three minutes that the chapter may take on 2 cores
PRETRAIN = Pretrain(
    epochs=26, batch_size=64, image_size=32, lr=4e-3, temperature=0.1, views=Views(preset="writing")
)  # fmt: skip
PROBE = Probe(draws=2, fewest_steps=300, fit=Fit(epochs=8, batch_size=64, lr=2e-3, keep="best"))


def clear(folder: Path) -> None:
    """Delete what the chapter made."""
    for run in RUNS:
        if (folder / run).exists():
            runs.remove(folder / run)


def chapter(folder: Path) -> list[Section]:
    """Pretrain, probe, and what the report says about both; what is finished already is not done again."""
    source = catalogue.find(SOURCE)
    run = pretrain(source, PRETRAIN, out=folder / "contrast")
    probe(run, source, spec=PROBE)
    report.build(run.path / "probe")
    report.build(run.path)
    return report.sections(run.path)
