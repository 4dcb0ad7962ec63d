"""Which sentence of a paper answers a question: COVID-QA's full articles, and CovidQA's questions on abstracts.

    python recipes/papers/questions.py COVID_QA.jsonl.gz COVIDQA.json COMPOSITE.parquet

COVID_QA: 98 articles with 1,360 questions (Moeller et al. 2020; written while reading the article, so words are shared).
COVIDQA: 27 questions in two forms with phrases as answers (Tang et al. 2020); those count that stand in an abstract of COMPOSITE,
of which a library gives the vectors. Beside BM25 with the question as it stands. Figures in recipes/README.md.
"""

import csv
import gzip
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import stats
from edubba.papers import building, library, passages, releases, sentences, words

lines, covidqa = gzip.decompress(Path(sys.argv[1]).read_bytes()).splitlines(), json.loads(Path(sys.argv[2]).read_text())
table = pyarrow.parquet.read_table(sys.argv[3]).to_pylist()
rows = {row["cord_uid"]: row["abstract"] for row in table if row["cord_uid"]}
home, CUT, NAMES = Path(tempfile.mkdtemp()), {}, ["cord_uid", *releases.NEEDED]
with (home / "metadata.csv").open("w", newline="") as file:
    csv.writer(file).writerows([NAMES, *([row[name] for name in NAMES] for row in table)])
lib = library.open(building.build(home / "metadata.csv", home / "library").path)


def stems(text: str) -> list[str]:
    return lib.engine.stems(words.named(text))


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def measured(text: str, question: str, answers: list[tuple[str, int]], same) -> list[list[float]]:
    """Precision at 1, recall at 3, reciprocal rank of BM25, of ours by words, of ours; right is what holds or overlaps an answer."""
    spans = sentences.split(text)
    said = [text[a:b] for a, b in spans]
    if text not in CUT:
        CUT[text] = [stems(each) for each in said], lib.vectors[0].encode([("", each) for each in said])
    (cut, vectors), asked = CUT[text], words.asked(question)
    near = vectors @ lib.vectors[0].encode([("", asked)])[0]
    held = [[same(t) in same(sentence) or (a < at + len(t) * (at >= 0) and at < b) for t, at in answers]
            for (a, b), sentence in zip(spans, said, strict=True)]  # fmt: skip
    ours = [passages.scores([cut], [said], stems(asked), question, n)[0] for n in (None, near)]
    order = [np.argsort(-score, kind="stable") for score in (passages.bm25(cut, stems(question)), *ours)]
    right = [np.flatnonzero(np.any(held, axis=1)[of]).tolist() for of in order]
    return [
        [float(0 in k), sum(i < 3 for i in k) / min(3, max(1, len(k))), 1 / (1 + min(k, default=9e9))] for k in right
    ]


def show(name: str, values: np.ndarray, group: np.ndarray) -> None:
    for i, what in enumerate(("precision at 1", "recall at 3", "reciprocal rank")):
        gain = stats.bootstrap(np.mean, values[:, 2, i] - values[:, 0, i], group=group, draws=1000)
        said = "BM25 {:.3f}, ours by words {:.3f}, ours {:.3f}".format(*values[:, :, i].mean(axis=0))
        print(f"{name:24} {what:16} {said}, gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]", flush=True)


values, group = [], []
for i, article in enumerate(map(json.loads, lines)):
    for qa in article["qas"]:
        places = [(answer["text"], answer["answer_start"]) for answer in qa["answers"]]
        values.append(measured(article["context"], qa["question"], places, str))
        group.append(i)
show("COVID-QA, articles", np.array(values), np.array(group))
for form, name in (("nq_name", "questions"), ("kq_name", "keywords")):
    values, group = [], []
    subs = [sub for category in covidqa["categories"] for sub in category["sub_categories"]]
    for of, answer in ((sub, answer) for sub in subs for answer in sub["answers"]):
        text, phrase = rows.get(answer["id"], ""), plain(answer["exact_answer"])
        if phrase and phrase in plain(text):
            values, group = [*values, measured(text, of[form], [(phrase, -1)], plain)], [*group, of["nq_name"]]
    show(f"CovidQA, {len(values)} {name}", np.array(values), np.unique(group, return_inverse=True)[1])
