"""Names of photographed cuneiform signs: the test tablets, and all tablets in five folds.

    python recipes/tablets/signs_cdp.py SIGNS_CDP.tar.gz OUT [--what test begun joint folds] [--boxes COCO.json IMAGES]

SIGNS_CDP.tar.gz: crops of the Cuneiform Digital Palaeography Project with labels.csv (file, label, group = tablet, split,
fold, period); 137 signs. `begun` and `folds` start from a network that named other photographs' boxes (--boxes: those of the
splits train and extra), `joint` learns the crops and these boxes at once and averages the logits of --networks such networks,
`test` starts from first weights. The pictures' licence is unclear: they are for evaluation, and neither they nor weights
trained on them are shipped. Minutes, memory and expected values stand in recipes/README.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edubba.core import images, stats, train
from edubba.tablets import Naming, naming, train_namer, training

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("source")
parser.add_argument("out", type=Path)
parser.add_argument("--what", nargs="+", default=["test", "folds"])
parser.add_argument("--boxes", nargs=2, default=None)
parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
for flag, value in (("epochs", 60), ("begin-epochs", 30), ("threads", 0), ("seed", 0), ("networks", 3)):
    parser.add_argument(f"--{flag}", type=int, default=value)
asked = parser.parse_args()

pictures = images.open(asked.source, size=64)
pictures = pictures.take(np.flatnonzero(pictures.label != ""))
pictures = replace(pictures, x=train.of_channels(np.asarray(pictures.x), 1))  # signs are read in grey
spec = Naming()
spec = replace(spec, fit=replace(spec.fit, epochs=asked.epochs, threads=asked.threads, seed=asked.seed))


def show(results: list[stats.Result], title: str) -> None:
    for r in results:
        if r.split == "test":
            interval = "" if r.low is None else f"[{r.low:.3f}, {r.high:.3f}] over {r.n}"
            print(f"{title:12} {r.name:48} {r.value:.3f} {interval}", flush=True)


begin = None
if {"begun", "joint"} & set(asked.what) and not asked.boxes:
    parser.error("begun, joint: name the boxes to learn besides, --boxes COCO.json IMAGES")
if asked.boxes and {"begun", "folds"} & set(asked.what):
    pages, _ = training.pages(*asked.boxes)
    held = training.held_out(pages, share=0.13, seed=0)[0]
    crops = training.crops([page for page in pages if page.split != "test"], margin=spec.margin)
    crops = replace(crops, split=np.where(np.isin(crops.group, list(held)), "validation", "train"))
    learn = replace(spec, fit=replace(spec.fit, epochs=asked.begin_epochs))
    begin = train_namer(crops, learn, out=asked.out / "begin").path
if "test" in asked.what:
    show(train_namer(pictures, spec, out=asked.out / "test").results, "first weights")
if "begun" in asked.what:
    show(train_namer(pictures, spec, out=asked.out / "begun", encoder=begin).results, "begun")
if "joint" in asked.what:
    looked = set(np.asarray(pictures.group)[pictures.split != "train"].tolist())
    pages = [p for p in training.pages(*asked.boxes)[0] if p.split != "test" and p.group not in looked]
    both = training.together(pictures, training.crops(pages, margin=spec.margin, side=64))
    split = np.concatenate([pictures.split, np.full(len(both) - len(pictures), "train")])
    together = replace(spec, networks=asked.networks)
    show(train_namer(replace(both, split=split), together, out=asked.out / "joint").results, "joint")
if "folds" in asked.what:
    fold = pictures.extra["fold"]
    for k in asked.folds:  # thresholds, never weights, come from a third of the next fold's tablets
        looked = np.isin(pictures.group, np.unique(pictures.group[fold == str((k + 1) % 5)])[::3])
        split = np.where(fold == str(k), "test", np.where(looked, "validation", "train"))
        run = train_namer(replace(pictures, split=split), spec, out=asked.out / f"fold-{k}", encoder=begin)
        show(run.results, f"fold {k}")
    said = naming.pooled([asked.out / f"fold-{k}" for k in asked.folds])
    show(naming.measured(said, split="test", data=asked.source), "all folds")
