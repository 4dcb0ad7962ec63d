"""CIFAR-10, trained from scratch on copies of which a fifth or a tenth is marked: is it detected, and what does it cost?

    python recipes/trace/cifar10.py CIFAR10.npz OUT SHARE [KEYS]

CIFAR10.npz: train_x, train_y, test_x, test_y, classes, the whole set. The owner has the first 10,000 training pictures; the
references committed to saw none of them (rows 10,000 to 40,000); twins learned from the owner's unmarked pictures. For every
key: commit, mark at 42 dB, seal, train three suspects of two architectures on the whole published copy (crops, flips), test.
One thread: half an hour for the networks, ten minutes a key; goes on where it was stopped; shares may run side by side.
Figures: recipes/README.md. Keys are drawn by chance, so another run gives other figures of the same kind.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from edubba.core import encoders, models, train
from edubba.core.settings import Fit, Views
from edubba.trace import Commit, Mark, Test, commit, mark, seal, test
from edubba.trace.evidence import read

data, out, share = np.load(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
SUSPECTS, OWN = (("plain", 101), ("small", 102), ("plain", 103)), 10_000
VIEWS = Views(crop_min=1.0, flip=0.5, jitter=0.0, grey=0.0, blur=0.0, shift=0.125)
names = [str(c, "ascii") if isinstance(c, bytes) else str(c) for c in data["classes"]]
x, y, test_x, test_y = data["train_x"], data["train_y"], data["test_x"], data["test_y"]


def network(name: str, encoder: str, seed: int, x: np.ndarray, y: np.ndarray) -> str:
    """A classifier trained from scratch, as a bundle; beside it its accuracy on the 10,000 test pictures."""
    path = out / "networks" / name
    if not (path / "model.json").exists():
        card = models.card(
            kind="classifier", architecture={"name": encoder, "arguments": {"channels": 3, "size": 32}},
            input={"kind": "image", "channels": 3, "size": 32, "range": [0, 1], "mean": [0.5] * 3, "std": [0.25] * 3},
            output={"embedding": {"plain": 128, "small": 512}[encoder], "classes": names},
        )  # fmt: skip
        fit = Fit(epochs=12, batch_size=128, lr=4e-3, weight_decay=0.05, seed=seed, threads=1)
        first = encoders.twin(card, seed=seed)
        model = train.fit_classifier(first, x, y, spec=fit, size=32, classes=10, views=VIEWS, what=name)
        accuracy = float((train.predict(model, test_x, size=32).argmax(1).numpy() == test_y).mean())
        models.save(path, model, card)
        (path.parent / f"{name}.accuracy").write_text(str(accuracy))
    return str(path)


def several(role: str, n: int, first: int, starts: tuple[int, ...]) -> tuple[str, ...]:
    rows, kinds = [slice(s, s + OWN) for s in starts], ("plain", "small")
    own = [rows[i % len(rows)] for i in range(n)]
    return tuple(network(f"{role}-{i}", kinds[i % 2], first + i, x[r], y[r]) for i, r in enumerate(own))


photos = out / "photos"
if not (photos / "readme.txt").exists():
    for i in range(OWN):
        path = photos / names[y[i]] / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i]).save(path)
    (photos / "readme.txt").write_text("CIFAR-10, Krizhevsky 2009\n")
markers = several("marker", 6, 1, (0,))
disjoint = several("disjoint", 6, 11, (10_000, 20_000, 30_000))
twins = several("twin", 6, 21, (0,))
for k in range(int(sys.argv[4]) if len(sys.argv) > 4 else 3):
    folder = out / f"{100 * share:.0f}-{k}"
    key, published = folder / "owner.key", folder / "published"
    commit(photos, key=key, spec=Commit(markers=markers, references=disjoint))
    marks = mark(photos, key=key, out=published, spec=Mark(share=share, threads=1))
    gate = {r.name: round(r.value, 3) for r in marks.results}
    seal(published, key=key)
    pictures = np.stack([np.array(Image.open(published / names[y[i]] / f"{i:05d}.png")) for i in range(OWN)])
    for encoder, seed in SUSPECTS:
        name = f"suspect-{100 * share:.0f}-{k}-{encoder}-{seed}"
        suspect = network(name, encoder, seed, pictures, y[:OWN])
        verdict = test(suspect, key=key, out=folder / f"evidence-{encoder}-{seed}", spec=Test(references=twins))
        figures = read(verdict.path)["figures"]
        row = {t["name"]: round(t["log10_p"], 2) for t in [figures["primary"], *figures["tests"]]}
        accuracy = float((out / "networks" / f"{name}.accuracy").read_text())
        print(json.dumps({"suspect": name, "accuracy": accuracy, **row, **gate}), flush=True)
