"""Oracle-bone characters: what 1,800 pictures without labels are worth, against pixels and the twin from scratch.

    python recipes/contrast/oracle_mnist.py [OUT] [THREADS]

About 25 minutes on 2 quiet cores, 1.2 GB of memory; interrupted, the same line goes on. The expected values, with seed,
machine and date, stand in recipes/README.md. Test pictures (1,000, split of the shipped file) are never pretrained on;
the recipe's settings were chosen on train and validation pictures.
"""

import sys

from edubba.contrast import Pretrain, Probe, Views, pretrain, probe
from edubba.contrast.report import build
from edubba.core import catalogue
from edubba.core.settings import Fit

out = sys.argv[1] if len(sys.argv) > 1 else "runs/oracle-mnist"
threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
source = catalogue.find("oracle-mnist-demo")

run = pretrain(
    source,
    Pretrain(
        epochs=300,
        batch_size=64,
        image_size=32,
        lr=4e-3,
        temperature=0.1,
        threads=threads,
        views=Views(preset="writing"),
    ),
    out=out,
)
twin = Fit(epochs=60, batch_size=64, lr=2e-3, warmup_epochs=1.0, keep="best", threads=threads)
results = probe(run, source, spec=Probe(methods=("knn", "linear", "finetune", "scratch", "pixels"), fit=twin))
build(run.path / "probe")
print("report:", build(run.path))
for r in results:
    if "recall" not in r.name:
        print(f"{r.name:32} {100 * r.value:6.1f}", "" if r.low is None else f"[{100 * r.low:.1f}, {100 * r.high:.1f}]")
