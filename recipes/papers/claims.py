"""A head that says whether papers support a claim or refute it, learned from SciFact's training claims, judged on its dev claims.

    python recipes/papers/claims.py SCIFACT_FOLDER HEAD.json

SCIFACT_FOLDER: corpus.parquet, claims_train.jsonl, claims_dev.jsonl (Wadden et al. 2020). Chosen by five folds of the training
claims; papers are looked for among all 5,183. HEAD.json is what ships as claims.json. Figures in recipes/README.md.
"""

import csv
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import calibration, stats
from edubba.papers import building, claims, entailing, library, releases

scifact, out = map(Path, sys.argv[1:3])
SIDE = {"SUPPORT": 1, "REFUTE": 2, "CONTRADICT": 2}


def judged(lib: library.Library, split: str) -> tuple[list[entailing.Judged], np.ndarray]:
    made, gold = [], []
    for line in (scifact / f"claims_{split}.jsonl").read_text().splitlines():
        claim = json.loads(line)
        true = {doc: SIDE[parts[0]["label"]] for doc, parts in claim["evidence"].items()}
        taken, compared = claims.beside(lib, claim["claim"])
        sides = np.array([true.get(record.id, 0) for record in taken], int)
        bear, others = np.flatnonzero(sides), entailing.opposite(claim["claim"])
        turned = [(claims.compare(lib, other, taken)[i], 3 - int(sides[i])) for other in others for i in bear]
        made.append(entailing.Judged(compared, sides, max(true.values(), default=0), turned))
        gold.append(len(true))
    return made, np.array(gold, float)


def counted(of: list[entailing.Judged], p: list[np.ndarray], least: float) -> np.ndarray:
    given = [q[:, 0] <= 1 - least for q in p]
    right = [g & (np.where(q[:, 1] >= q[:, 2], 1, 2) == c.sides) for g, q, c in zip(given, p, of, strict=True)]
    return np.array([[g.sum() for g in given], [r.sum() for r in right]], float)


def f1(given: np.ndarray, right: np.ndarray, gold: np.ndarray) -> float:
    return float(2 * right.sum() / max(1.0, given.sum() + gold.sum()))


def show(name: str, statistic, *values) -> None:
    value = stats.bootstrap(statistic, values if len(values) > 1 else values[0] * 1.0, draws=1000)
    print(f"{name:56} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]", flush=True)


with tempfile.TemporaryDirectory() as home:
    with (Path(home) / "metadata.csv").open("w", newline="") as file:
        rows = pyarrow.parquet.read_table(scifact / "corpus.parquet").to_pylist()
        csv.writer(file).writerow(["cord_uid", *releases.NEEDED])
        csv.writer(file).writerows((row["doc_id"], row["title"], " ".join(row["abstract"]), "") for row in rows)
    lib = library.open(building.build(Path(home) / "metadata.csv", Path(home) / "library").path)
    (learned, gold), (dev, dev_gold) = judged(lib, "train"), judged(lib, "dev")
head, p, told = entailing.fit(learned)
least = max(np.arange(0.2, 0.7, 0.02), key=lambda t: f1(*counted(learned, p, t), gold))
out.write_text(json.dumps(entailing.to_dict(head, learned_from="SciFact (CC BY 4.0)"), indent=1) + "\n")
said = [entailing.papers(head, claim.compared) for claim in dev]
all_said = np.stack([head.verdict(entailing.summed(q)[None])[0] for q in said])
for name, of, n, q, v in (("train", learned, gold, p, told), ("dev", dev, dev_gold, said, all_said)):
    true, flat, sides = np.array([c.verdict for c in of]), np.concatenate(q), np.concatenate([c.sides for c in of])
    label = np.array([claims.LABELS.index(claims.decided(head, each)) for each in v])
    show(f"{name}: papers, label F1 at {least:.2f}", f1, *counted(of, q, least), n)
    show(f"{name}: calibration error of papers", calibration.ece_equal_mass, flat.max(1), flat.argmax(1) == sides)
    show(f"{name}: claims, the likeliest of three is right", np.mean, v.argmax(1) == true)
    own, y = np.stack([c.compared[0].side[[-6, -3, -2, -1]] for c in of if c.verdict]), true[true > 0]
    alone = entailing.linear(own, y - 1, 1.0) if name == "train" else alone
    show(f"{name}: side from the claim alone, {np.mean(y == 1):.3f} supported", np.mean, alone(own).argmax(1) == y - 1)
    show(f"{name}: calibration error of claims", calibration.ece_equal_mass, v.max(1), v.argmax(1) == true)
    print(f"{name}: by chance alone {(c := calibration.ece_by_chance(v.max(1))).mean():.3f}, 95 % below {c[949]:.3f}")
    show(f"{name}: called supported though not", np.mean, (label == 1)[true != 1])
    show(f"{name}: called refuted though not", np.mean, (label == 2)[true != 2])
    show(f"{name}: a side is given", np.mean, label > 0)
    show(f"{name}: and rightly", np.mean, (label == true)[label > 0])
