"""Second chapter: a tenth of the shipped pictures is marked; of two classifiers, one learned from the marked copy."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edubba.core import catalogue, encoders, files, images, models, report, streams, train
from edubba.core.report import Section
from edubba.core.settings import Fit, Views
from edubba.trace import Commit, Mark, commit, evidence, mark, seal, test
from edubba.trace import report as pages

ABOUT = "marking pictures, then asking three networks, about 2 minutes on 2 cores"
CREDIT = "marks after radioactive data (Sablayrolles et al. 2020)"
NEEDS = ("contrast",)
"""chapters whose results are used again"""
RUNS = ("trace/evidence-marked", "trace/evidence-clean", "trace/evidence-scratch")
SOURCE = "oracle-mnist-demo"
COMMIT = Commit(probes=20)
MARK = Mark(share=0.1)
SCRATCH = Fit(epochs=10, batch_size=64, lr=4e-3)
WORDS = {
    "marked": "a classifier on fixed features, trained on the marked copy",
    "clean": "the same, trained on the originals",
    "scratch": "a small network trained from scratch on the marked copy",
}


def clear(folder: Path) -> None:
    """Delete what the chapter made: the photographs, the key and all that hangs on it."""
    if (folder / "trace" / "photos" / "readme.txt").exists():
        shutil.rmtree(folder / "trace")


def chapter(folder: Path) -> list[Section]:
    """Commit, mark, seal; train on the published copy and on the originals; test; what is finished is not done again."""
    home, encoder = folder / "trace", folder / "contrast" / "model"
    photos, published, key = home / "photos", home / "published", home / "owner.key"
    write_photos(photos)
    # the first twin has the very pictures of the suspect, unmarked; the second others, as a further opinion
    twins = [head(encoder, photos, home / f"twin-{seed}", seed=seed) for seed in (0, 1)]
    commit(photos, key=key, spec=replace(COMMIT, markers=(str(encoder),), references=tuple(map(str, twins))))
    mark(photos, key=key, out=published, spec=MARK)
    seal(published, key=key)
    suspects = {
        "marked": head(encoder, published, home / "trained-on-marked", seed=0),
        "clean": head(encoder, photos, home / "trained-on-originals", seed=2),
        "scratch": scratch(encoder, published, home / "from-scratch"),
    }
    for name, suspect in suspects.items():
        pages.build(test(suspect, key=key, out=home / f"evidence-{name}").path)
    told = {part.title: part for part in pages.sections(home / "evidence-marked")}
    first = replace(told["In short"], title="The evidence against the first of them")
    marks = {part.title: part for part in pages.sections(home / "owner.trace" / "copies" / "public")}
    return [
        summary(home),
        marks["Before and after"],
        first,
        told["The key among decoys"],
        told["The same key on clean models"],
    ]


def summary(home: Path) -> Section:
    """The three suspects side by side, by our test and by the paper's."""
    rows = []
    for name, words in WORDS.items():
        figures = evidence.read(home / f"evidence-{name}")["figures"]
        paper = next(t for t in figures["tests"] if t["name"].startswith("the paper"))
        rows.append([
            words, "detected" if figures["detected"] else "not detected",
            evidence.chance(figures["primary"]["log10_p_adjusted"]), evidence.chance(paper["log10_p"]),
        ])  # fmt: skip
    text = (
        "A tenth of the pictures was marked, too faintly to be seen. Two classifiers on the encoder of the first chapter differ"
        " only in which copy they learned from. Both were compared with a twin trained on the unmarked originals, which is"
        " possible wherever the rest of the training set is known, and by the paper's test, which needs no twin.\n\n"
        "The third row is the hard case: ten classes, few pictures, a network that learns its own features. What cannot be"
        " shown is said: not detected does not mean not used."
    )
    table = report.table(
        ["suspect", "verdict", "chance of as much without the key", "the paper's test"], rows, "Three suspects, one key"
    )
    return Section("Was a model trained on these pictures?", [report.prose(text), table])


def scratch(encoder: Path, source: Path, out: Path) -> Path:
    """A small network trained from scratch on a folder, as a bundle."""
    if (out / "model.json").exists():
        return out
    like = models.load(encoder).card
    pictures = images.open(source, size=like["input"]["size"])
    classes, y = np.unique(np.asarray(pictures.label), return_inverse=True)
    arguments = {"channels": pictures.channels, "size": pictures.size}
    card = models.card(
        kind="classifier", architecture={"name": "plain", "arguments": arguments}, input=like["input"],
        output={"embedding": 128, "classes": classes.tolist()},
    )  # fmt: skip
    model = train.fit_classifier(
        encoders.twin(card, seed=0), pictures.x, y, spec=SCRATCH, size=pictures.size, classes=len(classes),
        views=Views(preset="writing"), what="training from scratch",
    )  # fmt: skip
    return models.save(out, model, card)


def write_photos(folder: Path) -> None:
    """The shipped pictures as PNG files in class folders."""
    done = folder / "readme.txt"
    if done.exists():
        return
    with np.load(catalogue.find(SOURCE), allow_pickle=False) as data:
        for i, (x, y) in enumerate(zip(data["x"], data["y"], strict=True)):
            path = folder / str(data["classes"][y]) / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x).save(path)
    files.write(done, "Oracle-MNIST (Apache-2.0; Wang and Deng 2024)\n")


def head(encoder: Path, source: Path, out: Path, *, seed: int) -> Path:
    """A classifier on the fixed features of an encoder, trained on nine tenths of the pictures of a folder."""
    if (out / "model.json").exists():
        return out
    from sklearn.linear_model import LogisticRegression

    bundle = models.load(encoder)
    size = bundle.card["input"]["size"]
    pictures = images.open(source, size=size)
    classes, y = np.unique(np.asarray(pictures.label), return_inverse=True)
    some = streams.permutation(seed, "head", n=len(y))[: len(y) * 9 // 10]
    h = train.predict(bundle.model, pictures.x, size=size).double().numpy()
    mean, std = h[some].mean(0), h[some].std(0) + 1e-6
    fitted = LogisticRegression(C=1e-1, max_iter=500).fit((h[some] - mean) / std, y[some])
    weight = fitted.coef_ / std
    model = train.Classifier(bundle.model, len(classes))
    model.linear.load_state_dict(
        {
            "weight": torch.from_numpy(weight).float(),
            "bias": torch.from_numpy(fitted.intercept_ - weight @ mean).float(),
        }
    )
    card = models.card(
        kind="classifier", architecture=bundle.card["architecture"], code=bundle.card["code"], input=bundle.card["input"],
        output={"embedding": bundle.model.dim, "classes": classes.tolist()},
        data={"n": len(some), "source_fingerprint": pictures.fingerprint, "seen": None, "licences": None, "card": None},
    )  # fmt: skip
    return models.save(out, model, card)
