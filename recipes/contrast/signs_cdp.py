"""Photographed cuneiform signs: pretrained and fine-tuned against from scratch at 20 labels a class, over whole tablets.

    python recipes/contrast/signs_cdp.py SIGNS_CDP.tar.gz [OUT] [THREADS]

SIGNS_CDP.tar.gz: crops of the Cuneiform Digital Palaeography Project with labels.csv (file, label, group = tablet, split);
137 signs, 203 tablets. The pictures' licence is unclear: they are for evaluation, and are not shipped. About 15 minutes on
2 quiet cores. Expected values stand in recipes/README.md.
"""

import sys

import numpy as np

from edubba.contrast import Pretrain, Probe, Views, pretrain, probe
from edubba.contrast.report import build
from edubba.core import images
from edubba.core.settings import Fit

source, out = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "runs/signs-cdp"
threads = int(sys.argv[3]) if len(sys.argv) > 3 else 0
pictures = images.open(source, size=40)
pictures = pictures.take(np.flatnonzero(pictures.label != ""))  # the rare signs' crops come from test tablets too

writing = Views(preset="writing", rotate=10.0, scale=0.15, shear=0.15)
run = pretrain(
    pictures, Pretrain(epochs=30, batch_size=128, lr=4e-3, temperature=0.1, threads=threads, views=writing), out=out
)
fit = Fit(epochs=30, batch_size=128, lr=2e-3, warmup_epochs=2.0, keep="best", threads=threads)
methods = ("knn", "linear", "finetune", "scratch")
results = probe(run, pictures, spec=Probe(methods=methods, labels_per_class=(20,), draws=2, fit=fit))
build(run.path / "probe")
print("report:", build(run.path))
for r in results:
    if "recall" not in r.name:
        print(
            f"{r.name:32} {100 * r.value:6.1f}",
            "" if r.low is None else f"[{100 * r.low:.1f}, {100 * r.high:.1f}] over {r.n} tablets",
        )
