"""Does the error rate hold? Fresh keys against networks that never saw them; and three ways that must fail, failing.

    python recipes/trace/calibration.py CIFAR10.npz OUT [KEYS]

OUT: the folder of recipes/trace/cifar10.py, run with share 0.2. Each of its networks, clean or marked with another key, is
tested with KEYS (default 1,000) fresh keys, drawn as `commit` draws them. A minute or two.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import stats

from edubba.core import images
from edubba.core.stats import clopper_pearson
from edubba.trace import blackbox, keys, suspects, whitebox

data, out, fresh = np.load(sys.argv[1]), Path(sys.argv[2]), int([*sys.argv, "1000"][3])
papers = out / "20-0" / "owner.trace"
held_out, probes = np.load(papers / "held_out.npz"), np.load(papers / "probes.npz")["x"]
f, y, (k, r) = held_out["coordinates"].astype(float), held_out["y"], (len(data["classes"]), probes.shape[1])
pictures = images.open(out / "photos", size=32)
place = {h: i for i, h in enumerate(pictures.hash.tolist())}
asked = pictures.take(np.array([place[h] for h in held_out["hash"].tolist()]))
answers = {}
for path in sorted(p.parent for p in (out / "networks").glob("*/model.json")):
    if not path.name.startswith("marker"):
        ask = suspects.load(path).log_probabilities
        pushed = ask(probes.reshape(-1, *probes.shape[3:])).reshape(*probes.shape[:3], k)
        answers[path.name] = (ask(asked), blackbox.responses(pushed))
matrices = {name: (whitebox.rows(f, z, y), probe) for name, (z, probe) in answers.items()}


def residual(name: str) -> np.ndarray:
    others = [m for other, m in matrices.items() if other.startswith("disjoint") and other != name]
    return whitebox.combined(*(whitebox.residual(own, [o[i] for o in others]) for i, own in enumerate(matrices[name])))


def carriers(number: int) -> np.ndarray:
    secret = keys.derive(b"calibration", str(number))
    return keys.Key(secret, ("public",), "").sub_key("public", k).carriers(r)


def rates(p: np.ndarray, name: str) -> None:
    print(f"{name} (n = {p.size:,})")
    for alpha in (0.05, 0.01, 0.001):
        value, low, high = clopper_pearson(int((p <= alpha).sum()), p.size, level=0.999)
        print(
            f"  at {alpha:<5} {100 * value:7.3f} % [{100 * low:.3f}, {100 * high:.3f}] {'' if low <= alpha <= high else 'FAILS'}"
        )


left = [residual(name) for name in matrices]
p = np.array([[10 ** whitebox.log10_p(w, carriers(i * fresh + j)) for j in range(fresh)] for i, w in enumerate(left)])
rates(p, f"the primary test, {len(matrices)} networks with {fresh} keys each")
print(f"  Kolmogorov p {stats.kstest(p.ravel(), 'uniform').pvalue:.3f}")
rates(p[:, : fresh // 100 * 100].reshape(-1, 100).min(1), "MUST FAIL: best of 100 keys, not corrected")
aligned, centred = [], []
clean = [n for n in matrices if not n.startswith("suspect")]
for i, name in enumerate(clean):
    z = answers[name][0] - answers[name][0].mean(0)
    for j in range(100):
        g = carriers(10**7 + 100 * i + j)
        mark = 0.46 * (g / np.linalg.norm(g, axis=1, keepdims=True))[y]
        marked = whitebox.within(f, y) + mark  # held-out pictures that carry the mark
        aligned.append(10 ** whitebox.log10_p(np.linalg.lstsq(marked, z)[0].T, g))
        centred.append(10 ** whitebox.log10_p(whitebox.rows(marked, answers[name][0], y), g))
rates(np.array(aligned), "MUST FAIL: alignment on marked pictures, class means of unmarked ones taken out")
rates(np.array(centred), "the same, class means of the very pictures taken out, as here")
gaps, label_of = [], {str(c, "ascii"): i for i, c in enumerate(data["classes"])}
for table in sorted(out.glob("20-*/owner.trace/copies/public/marks.csv")):
    files = np.loadtxt(table, str, delimiter=",", usecols=0, skiprows=1)
    label = np.array([label_of[file.split("/")[0]] for file in files])
    folders = (out / "photos", table.parents[3] / "published")
    both = [np.stack([np.array(Image.open(folder / n)) for n in files]) for folder in folders]
    for ask in (suspects.load(out / "networks" / name).log_probabilities for name in clean):
        gaps.append(stats.ttest_rel(*(ask(q)[np.arange(len(label)), label] for q in both)).pvalue)
rates(np.array(gaps), "MUST FAIL: loss gap between marked pictures and originals, t-test, clean networks")
