"""Gaps in Neo-Assyrian texts: n-gram, masked model and their mixture on held-out tablets.

    python recipes/tablets/saa_signs.py SAA_SIGNS.parquet [OUT] [EPOCHS] [THREADS] [COCO.json]

SAA_SIGNS.parquet: State Archives of Assyria as MZL sign numbers with damage (tablet, line, pos, mzl, status); texts SAAo / ORACC,
CC BY-SA 3.0, not shipped. COCO.json: names of signs as a detector has them. Whole spans right; 95 % intervals over tablets.
"""

import sys

from edubba.tablets.restoring import TASKS, restore, train_restorer
from edubba.tablets.spec import TrainRestorer

given = dict(enumerate(sys.argv))
source, out = given[1], given.get(2, "runs/saa-signs")
spec = TrainRestorer(epochs=int(given.get(3, 30)), threads=int(given.get(4, 0)), names=given.get(5))
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
