"""First notices of a disease among WHO's Disease Outbreak News: our ranking beside TF-IDF novelty, replayed day by day.

    python recipes/papers/notices.py WHO_DON.parquet

WHO_DON.parquet: id, date, headline, text, disease_carlson (labels of Carlson et al. 2023, to 2019). The texts are WHO's and not
shipped. Warm-up 1996 and 1997, figures 1998 to 2016: a notice is positive when it carries a label that no notice of an earlier
day had. Intervals: 2,000 bootstraps over months, paired. About 20 seconds. Expected values stand in recipes/README.md.
"""

import sys

import numpy as np
import pyarrow.parquet

from edubba.papers import notices

rows = sorted(pyarrow.parquet.read_table(sys.argv[1]).to_pylist(), key=lambda r: (str(r["date"]), r["id"]))
labels = [set(map(str, r["disease_carlson"] or ())) for r in rows]
made = [notices.Notice(r["id"], str(r["date"])[:10], r["headline"], r["text"] or "") for r in rows]
found = notices.rank(made)
days = np.array([notice.date for notice in made])

seen: set[str] = set()
positive = np.zeros(len(made), bool)
for day in np.unique(days):
    there = np.flatnonzero(days == day)
    positive[there] = [bool(labels[i] - seen) for i in there]
    seen = seen.union(*(labels[i] for i in there))
used = np.flatnonzero((days >= "1998") & (days < "2017") & np.array([bool(of) for of in labels]))
scores = {
    "TF-IDF novelty": np.array([1 - r.similarity for r in found]),
    "edubba": np.array([r.score for r in found]),
}


def precision(score: np.ndarray, of: np.ndarray) -> float:
    order = of[np.argsort(-score[of], kind="stable")]
    hits = np.cumsum(positive[order])
    return float((hits / np.arange(1, len(order) + 1))[positive[order]].mean()) if hits[-1] else 0.0


months = np.array([day[:7] for day in days])
by_month = [used[months[used] == month] for month in np.unique(months[used])]
rng = np.random.default_rng(0)
draws = [np.concatenate([by_month[i] for i in rng.integers(len(by_month), size=len(by_month))]) for _ in range(2000)]
print(f"{len(used)} notices, {positive[used].sum()} of them the first of a disease")
resampled = {name: np.array([precision(score, draw) for draw in draws]) for name, score in scores.items()}
weeks = 19 * 365.25 / 7
for name, score in scores.items():
    low, high = np.percentile(resampled[name], [2.5, 97.5])
    enough = np.sort(score[used][positive[used]])[::-1][int(np.ceil(0.8 * positive[used].sum())) - 1]
    alerts = (score[used] >= enough).sum() / weeks
    print(
        f"{name:16} average precision {precision(score, used):.3f} [{low:.3f}, {high:.3f}], {alerts:.2f} alerts a week at recall .8"
    )
gain = resampled["edubba"] - resampled["TF-IDF novelty"]
low, high = np.percentile(gain, [2.5, 97.5])
print(
    f"difference {precision(scores['edubba'], used) - precision(scores['TF-IDF novelty'], used):.3f} [{low:.3f}, {high:.3f}]"
)
for i in used[np.argsort(-scores["edubba"][used], kind="stable")][:12]:
    print(
        f"  {scores['edubba'][i]:.2f} {'*' if positive[i] else ' '} {days[i]} {made[i].headline[:70]} ({', '.join(found[i].new_words)})"
    )
