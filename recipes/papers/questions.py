"""Which sentence of a paper answers a question: COVID-QA's full articles, and CovidQA's questions on abstracts.

    python recipes/papers/questions.py COVID_QA.jsonl.gz COVIDQA.json COMPOSITE.parquet

COVID_QA: 98 articles with 1,360 questions (Moeller et al. 2020; written while reading the article, so words are shared).
COVIDQA: 27 questions in two forms with phrases as answers (Tang et al. 2020); those count that stand in an abstract of COMPOSITE,
apart from case and punctuation. Beside the sentences' BM25 with the question as it stands. Half a minute. Figures: README.md.
"""

import gzip
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import stats
from edubba.papers import engines, passages, sentences, words

lines, covidqa = gzip.decompress(Path(sys.argv[1]).read_bytes()).splitlines(), json.loads(Path(sys.argv[2]).read_text())
table = pyarrow.parquet.read_table(sys.argv[3], columns=["cord_uid", "abstract"]).to_pylist()
rows = {row["cord_uid"]: row["abstract"] for row in table if row["cord_uid"]}
engine, CUT = engines.open(Path(tempfile.mkdtemp()), "tantivy"), {}


def stems(text: str) -> list[str]:
    return engine.stems(words.named(text))


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def measured(text: str, question: str, answers: list[tuple[str, int]], same) -> list[list[float]]:
    """Precision at 1, recall at 3 and reciprocal rank of BM25 and of ours; right is what holds an answer or overlaps its place."""
    spans = sentences.split(text)
    said = [text[a:b] for a, b in spans]
    CUT[text] = CUT.get(text) or [stems(sentence) for sentence in said]
    held = [[same(t) in same(sentence) or (a < at + len(t) * (at >= 0) and at < b) for t, at in answers]
            for (a, b), sentence in zip(spans, said, strict=True)]  # fmt: skip
    ours = passages.scores([CUT[text]], [said], stems(words.asked(question)), question)[0]
    made = []
    for score in (passages.bm25(CUT[text], stems(question)), ours):
        at = np.flatnonzero(np.any(held, axis=1)[np.argsort(-score, kind="stable")])
        some = len(at) > 0
        made.append(
            [float(some and at[0] == 0), (at < 3).sum() / min(3, max(1, len(at))), 1 / (at[0] + 1) if some else 0.0]
        )
    return made


def show(name: str, values: np.ndarray, group: np.ndarray) -> None:
    for i, what in enumerate(("precision at 1", "recall at 3", "reciprocal rank")):
        gain = stats.bootstrap(np.mean, values[:, 1, i] - values[:, 0, i], group=group, draws=1000)
        before, ours = values[:, :, i].mean(axis=0)
        print(
            f"{name:24} {what:16} BM25 {before:.3f} ours {ours:.3f} gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        )


values, group = [], []
for i, line in enumerate(lines):
    article = json.loads(line)
    for qa in article["qas"]:
        answers = [(answer["text"], answer["answer_start"]) for answer in qa["answers"]]
        values.append(measured(article["context"], qa["question"], answers, str))
        group.append(i)
show("COVID-QA, articles", np.array(values), np.array(group))
for form, name in (("nq_name", "questions"), ("kq_name", "keywords")):
    values, group = [], []
    subs = [sub for category in covidqa["categories"] for sub in category["sub_categories"]]
    for of, answer in ((sub, answer) for sub in subs for answer in sub["answers"]):
        text, phrase = rows.get(answer["id"], ""), plain(answer["exact_answer"])
        if phrase and phrase in plain(text):
            values.append(measured(text, of[form], [(phrase, -1)], plain))
            group.append(of["nq_name"])
    show(f"CovidQA, {len(values)} {name}", np.array(values), np.unique(group, return_inverse=True)[1])
