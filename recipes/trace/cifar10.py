"""CIFAR-10, trained from scratch on copies of which a few are marked: is it detected, and what does it cost?

    python recipes/trace/cifar10.py CIFAR10.npz OUT SHARE [KEYS]

CIFAR10.npz: train_x, train_y, test_x, test_y, classes. The owner has the first 10,000 training pictures; the references saw none
of them (rows 10,000 to 40,000), the twins saw them unmarked. For every key: commit, mark at 42 dB, seal, train three suspects on
the copy (crops, flips) and their clean pairs of the same seeds on the originals, test. One thread: half an hour for the networks,
fifteen minutes a key; goes on where it was stopped; shares may run side by side. Keys are drawn by chance: figures vary.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import stats

from edubba.core import encoders, models, train
from edubba.core.settings import Fit, Views
from edubba.trace import Commit, Mark, Test, commit, mark, seal, test
from edubba.trace.evidence import read

data, out, share = np.load(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
SUSPECTS, OWN = ("plain", "small", "plain"), 10_000
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
        models.save(path, model, card)
        right = train.predict(model, test_x, size=32).argmax(1).numpy() == test_y
        Path(f"{path}.accuracy").write_text(str(right.mean()))
    return str(path)


def several(role: str, first: int, starts: tuple[int, ...]) -> tuple[str, ...]:
    rows = [slice(s, s + OWN) for s in starts * 6][:6]
    return tuple(network(f"{role}-{i}", ("plain", "small")[i % 2], first + i, x[r], y[r]) for i, r in enumerate(rows))


photos = out / "photos"
for i in range(0 if (photos / "readme.txt").exists() else OWN):
    path = photos / names[y[i]] / f"{i:05d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x[i]).save(path)
(photos / "readme.txt").write_text("CIFAR-10, Krizhevsky 2009\n")
markers, twins = several("marker", 1, (0,)), several("twin", 21, (0,))
disjoint, pairs = several("disjoint", 11, (10_000, 20_000, 30_000)), []
for k in range(int(sys.argv[4]) if len(sys.argv) > 4 else 3):
    folder = out / f"{100 * share:.0f}-{k}"
    key, published = folder / "owner.key", folder / "published"
    commit(photos, key=key, spec=Commit(markers=markers, references=disjoint))
    run = mark(photos, key=key, out=published, spec=Mark(share=share, threads=1))
    gate = {r.name: round(r.value, 3) for r in run.results}
    seal(published, key=key)
    pictures = np.stack([np.array(Image.open(published / names[y[i]] / f"{i:05d}.png")) for i in range(OWN)])
    for seed, encoder in enumerate(SUSPECTS, 101 + len(SUSPECTS) * k):
        suspect = network(f"suspect-{100 * share:.0f}-{k}-{encoder}-{seed}", encoder, seed, pictures, y[:OWN])
        clean = network(f"clean-{encoder}-{seed}", encoder, seed, x[:OWN], y[:OWN])
        test(suspect, key=key, out=folder / f"evidence-{encoder}-{seed}", spec=Test(references=twins))
        figures = read(folder / f"evidence-{encoder}-{seed}")["figures"]
        right, paired = (100 * float(Path(f"{path}.accuracy").read_text()) for path in (suspect, clean))
        pairs.append(right - paired)
        row = {t["name"]: round(t["log10_p"], 2) for t in [figures["primary"], *figures["tests"]]}
        print(json.dumps({"suspect": suspect, "accuracy": right, "clean": paired, **gate, **row}), flush=True)
cost, half = np.mean(pairs), stats.t.ppf(0.975, len(pairs) - 1) * np.std(pairs, ddof=1) / len(pairs) ** 0.5
print(f"accuracy, marked minus clean, {len(pairs)} pairs: {cost:.2f} [{cost - half:.2f}, {cost + half:.2f}] points")
