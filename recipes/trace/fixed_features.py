"""One picture in a hundred: a classifier on fixed features, against its twin trained on the unmarked originals.

    python recipes/trace/fixed_features.py RUN [KEYS]

RUN: the folder of recipes/trace/cifar10.py, whose pictures and first marker are used again. For every key 1 % of 10,000 CIFAR-10
pictures is marked at 42 dB; logistic regressions are fitted to the marker's features of the published copy (the suspect), of
the originals (the twin, committed to) and of nine tenths of the originals (a clean suspect). A minute a key on one core.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from edubba.core import images, models, streams, train
from edubba.trace import Commit, Mark, commit, mark, seal, test
from edubba.trace.evidence import read

run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
encoder, photos = run / "networks" / "marker-0", run / "photos"


def head(source: Path, out: Path, *, share: float = 1.0) -> str:
    """A logistic regression on the encoder's features of a share of a folder's pictures, as a bundle."""
    bundle = models.load(encoder)
    pictures = images.open(source, size=32)
    classes, y = np.unique(np.asarray(pictures.label), return_inverse=True)
    some = streams.permutation(1, "head", n=len(y))[: int(share * len(y))]
    h = train.predict(bundle.model.encoder, pictures.x, size=32).double().numpy()
    mean, std = h[some].mean(0), h[some].std(0) + 1e-6
    fitted = LogisticRegression(C=0.1, max_iter=500).fit((h[some] - mean) / std, y[some])
    model = train.Classifier(bundle.model.encoder, len(classes))
    weight = fitted.coef_ / std
    model.linear.weight.data = torch.from_numpy(weight).float()
    model.linear.bias.data = torch.from_numpy(fitted.intercept_ - weight @ mean).float()
    return str(
        models.save(out, model, bundle.card | {"output": {"embedding": h.shape[1], "classes": classes.tolist()}})
    )


home = run / "fixed"
twins = [head(photos, home / "twin"), head(photos, home / "twin-95", share=0.95)]
clean = head(photos, home / "clean", share=0.9)
for k in range(count):
    folder = home / str(k)
    key, published = folder / "owner.key", folder / "published"
    commit(photos, key=key, spec=Commit(markers=(str(encoder),), references=tuple(twins)))
    mark(photos, key=key, out=published, spec=Mark(share=0.01, threads=1))
    seal(published, key=key)
    for name, suspect in (("marked", head(published, folder / "suspect")), ("clean", clean)):
        figures = read(test(suspect, key=key, out=folder / f"evidence-{name}").path)["figures"]
        shown = [figures["primary"], *figures["tests"]]
        print(f"key {k}, {name}:", "; ".join(f"{t['name']} {t['log10_p']:.2f}" for t in shown), flush=True)
