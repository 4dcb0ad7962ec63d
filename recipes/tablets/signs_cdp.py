"""Names of photographed cuneiform signs: the test tablets, and all tablets in five folds; from scratch beside pretrained.

    python recipes/tablets/signs_cdp.py SIGNS_CDP.tar.gz OUT [--what test pretrained folds] [--epochs N] [--threads N]

SIGNS_CDP.tar.gz: crops of the Cuneiform Digital Palaeography Project with labels.csv (file, label, group = tablet, split,
fold, period); 137 signs. The pictures' licence is unclear: they are for evaluation, and neither they nor weights trained on
them are shipped. Minutes, memory and expected values stand in recipes/README.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edubba.contrast import Pretrain, pretrain
from edubba.core import images, stats, train
from edubba.core.settings import Views
from edubba.tablets import Naming, train_namer

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("source")
parser.add_argument("out", type=Path)
parser.add_argument(
    "--what", nargs="+", default=["test", "pretrained", "folds"], choices=["test", "pretrained", "folds"]
)
parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
parser.add_argument("--epochs", type=int, default=120)
parser.add_argument("--pretrain-epochs", type=int, default=60)
parser.add_argument("--threads", type=int, default=0)
parser.add_argument("--seed", type=int, default=0)
asked = parser.parse_args()

pictures = images.open(asked.source, size=64)
pictures = pictures.take(np.flatnonzero(pictures.label != ""))
pictures = replace(pictures, x=train.of_channels(np.asarray(pictures.x), 1))  # signs are read in grey
spec = Naming()
spec = replace(spec, fit=replace(spec.fit, epochs=asked.epochs, threads=asked.threads, seed=asked.seed))


def show(results: list[stats.Result], title: str) -> None:
    for r in results:
        if r.split == "test":
            print(
                f"{title:12} {r.name:48} {r.value:.3f}",
                "" if r.low is None else f"[{r.low:.3f}, {r.high:.3f}] over {r.n}",
            )


if "test" in asked.what:
    show(train_namer(pictures, spec, out=asked.out / "test").results, "scratch")
if "pretrained" in asked.what:
    views = Views("relief")
    begin = Pretrain(
        encoder="glyph", image_size=64, epochs=asked.pretrain_epochs, batch_size=256, views=views, threads=asked.threads
    )
    run = pretrain(pictures, begin, out=asked.out / "encoder")
    show(train_namer(pictures, spec, out=asked.out / "pretrained", encoder=run.path).results, "pretrained")
if "folds" in asked.what:
    fold = pictures.extra["fold"]
    for k in asked.folds:
        tablets = np.unique(pictures.group[fold == str((k + 1) % 5)])
        looked = np.isin(pictures.group, tablets[::3])  # a third of the next fold's tablets: thresholds, never weights
        split = np.where(fold == str(k), "test", np.where(looked, "validation", "train"))
        show(train_namer(replace(pictures, split=split), spec, out=asked.out / f"fold-{k}").results, f"fold {k}")
