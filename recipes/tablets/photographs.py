"""Photographs of tablets, end to end: a reader is trained, then measured on the official test photographs, with and without context.

    python recipes/tablets/photographs.py ANNOTATIONS.json IMAGES OUT [--crops SIGNS_CDP.tar.gz] [--texts SAA_SIGNS.parquet]

ANNOTATIONS.json: COCO with the keys `regions`, `lines`, `split` (CompVis and eBL boxes: 46 photographs to learn from, 40 more,
34 of the official test). The photographs may be used for research, not passed on: neither they nor weights trained on them are
shipped. Minutes, memory and expected values stand in recipes/README.md.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from edubba.core import files
from edubba.tablets import TrainReader, TrainRestorer, evaluate, train_reader, train_restorer

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("annotations", type=Path)
parser.add_argument("images", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--crops", help="further labelled crops, for names alone")
parser.add_argument("--texts", help="sign table of texts in the same names: context")
parser.add_argument("--steps", type=int, default=TrainReader().detecting.steps)
parser.add_argument("--epochs", type=int, default=36)
parser.add_argument("--networks", type=int, default=3)
parser.add_argument("--threads", type=int, default=0)
asked = parser.parse_args()

spec = TrainReader()
finding = replace(spec.detecting, steps=asked.steps, fit=replace(spec.detecting.fit, threads=asked.threads))
naming = replace(
    spec.naming, networks=asked.networks, fit=replace(spec.naming.fit, epochs=asked.epochs, threads=asked.threads)
)
spec = replace(spec, detecting=finding, naming=naming)
train_reader(asked.annotations, spec, images=asked.images, out=asked.out / "reader", crops_from=asked.crops)
restorers: list[Path | None] = [None]
if asked.texts:
    restorers.append(
        train_restorer(asked.texts, TrainRestorer(names=str(asked.annotations)), out=asked.out / "restorer").path
    )
for restorer in restorers:
    what = "alone" if restorer is None else "context"
    found = evaluate(asked.out / "reader", asked.annotations, images=asked.images, restorer=restorer)
    files.write(asked.out / f"{what}.json", json.dumps(found, indent=1))
    for r in found["results"]:
        interval = "" if r["low"] is None else f"[{r['low']:.3f}, {r['high']:.3f}]"
        print(f"{what:8} {r['name']:56} {r['value']:.3f} {interval}")
