"""What learning without labels brings to naming signs: the same network, from first weights and from an encoder of `contrast`.

    python recipes/tablets/pretrained_signs.py SIGNS_CDP.tar.gz OUT [--epochs 20] [--threads 0] [--seed 0]

SIGNS_CDP.tar.gz: see signs_cdp.py. The encoder learns from the training crops alone, without their names; both networks are then
trained for the same epochs and measured on the test tablets. Neither pictures nor weights are shipped. Minutes and expected
values stand in recipes/README.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edubba.contrast import Pretrain, pretrain
from edubba.core import images, stats, train
from edubba.core.settings import Views
from edubba.tablets import Naming, naming, train_namer

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("source")
parser.add_argument("out", type=Path)
for flag, value in (("epochs", 20), ("threads", 0), ("seed", 0)):
    parser.add_argument(f"--{flag}", type=int, default=value)
asked = parser.parse_args()

pictures = images.open(asked.source, size=64)
pictures = pictures.take(np.flatnonzero(pictures.label != ""))
pictures = replace(pictures, x=train.of_channels(np.asarray(pictures.x), 1))  # signs are read in grey
spec = Naming()
spec = replace(spec, fit=replace(spec.fit, epochs=asked.epochs, threads=asked.threads, seed=asked.seed))
learn = Pretrain(encoder="glyph", image_size=64, epochs=asked.epochs, batch_size=256, threads=asked.threads)
learn = replace(learn, views=Views("relief"))
encoder = pretrain(pictures.take(pictures.split == "train"), learn, out=asked.out / "encoder").path
for name, start in (("first", None), ("pretrained", encoder)):
    for r in train_namer(pictures, spec, out=asked.out / name, encoder=start).results:
        if r.split == "test" and r.low is not None:
            print(f"{name:12} {r.name:48} {r.value:.3f} [{r.low:.3f}, {r.high:.3f}] over {r.n}", flush=True)
a, b = (naming.pooled([asked.out / name]) for name in ("pretrained", "first"))
right = [(said["said"][:, 0] == said["true"]).astype(float) for said in (a, b)]
gain = stats.bootstrap(lambda x, y: float((x - y).mean()), tuple(right), group=a["group"], draws=1000)
print(f"pretrained minus first weights, top-1: {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]")
