"""Gaps in Neo-Assyrian texts: n-gram, masked model and their mixture on held-out tablets.

    python recipes/tablets/saa_signs.py SAA_SIGNS.parquet [OUT] [EPOCHS] [THREADS] [COCO.json]

SAA_SIGNS.parquet: State Archives of Assyria as MZL sign numbers with damage (tablet, line, pos, mzl, status); texts SAAo / ORACC,
CC BY-SA 3.0, not shipped. COCO.json: names of signs as a detector has them. Whole spans right; 95 % intervals over tablets.

About 20 minutes on one busy thread (bf16), under 1 GB. Expected of the mixture, hit@1 and hit@5, in brackets the n-gram: one
sign 59.5, 77.6 (54.4, 73.9); two 30.7, 47.0 (26.0, 38.7); three 21.0, 30.3 (17.3, 26.0); five 9.7, 13.7 (8.3, 13.3); line start
61.9, 82.7 (55.6, 78.5); line end 53.4, 76.7 (49.4, 71.4); unknown length 23.2, 36.0 (17.6, 28.0).
"""

import sys

from edubba.tablets.restoring import TASKS, restore, train_restorer
from edubba.tablets.spec import TrainRestorer

given = dict(enumerate(sys.argv))
source, out = given[1], given.get(2, "runs/saa-signs")
spec = TrainRestorer(epochs=int(given.get(3, 20)), threads=int(given.get(4, 0)), names=given.get(5))
run = train_restorer(source, spec, out=out)
found = {r.name: r for r in run.results}

for task in TASKS:
    print(f"\n{task.name}: {found[f'{task.name}, hit@1, n-gram'].method}")
    for method in ("n-gram", "masked", "mixture", "mixture minus n-gram"):
        words = []
        for what in ("hit@1", "hit@5", "hit@10", "MRR"):
            r = found.get(f"{task.name}, {what}, {method}")
            if r is not None:
                words.append(f"{what} {100 * r.value:5.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]")
        print(f"  {method:22}", "  ".join(words))

for line in ("a-na LUGAL [x]-ia", "{lu₂}ARAD-[x x]-mu", "lu-u [...] a-na LUGAL"):
    print(f"\n{line}")
    for filling in restore(line, model=run.path, k=3):
        attested = "; ".join(f"{p.text} {p.line}: {p.words}" for p in filling.parallels[:1])
        print(f"  {filling.probability:.3f} {filling.text:16} {attested}")
