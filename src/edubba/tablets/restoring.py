"""Filling gaps: learning from texts, and ranked fillings with probability and with places where each is attested."""

import functools
import gzip
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from edubba.core import files, models, runs, stats, streams, train
from edubba.core.errors import UserError
from edubba.core.runs import Run
from edubba.core.stats import Result
from edubba.tablets import corpus, filling, masked, ngram, transliteration
from edubba.tablets.corpus import BREAK, LINE, LOST, SPECIAL, Text, TextLine, Vocabulary
from edubba.tablets.filling import LONGEST, Place, Restorer, Spans, Weights
from edubba.tablets.fusing import fuse_lines
from edubba.tablets.masked import Masked
from edubba.tablets.records import Sign
from edubba.tablets.spec import TrainRestorer

__all__ = ["Filling", "Parallel", "Task", "fuse_lines", "load", "measure", "restore", "save", "train_restorer"]

TEXTS = "texts.json.gz"
FORMAT = "edubba.tablets.texts/1"
PARALLELS = 3
NEAR = 4
"""signs on either side by which the places of a filling are compared"""


class Parallel(NamedTuple):
    """Where a filling is attested."""

    text: str
    """name of the text"""
    line: str
    """label of the line"""
    words: str
    """the line, with the filling between `>` and `<`"""
    shared: int
    """neighbours that are the same here and there, at most `2 * NEAR`"""


@dataclass(frozen=True)
class Filling:
    """What may have stood in a gap."""

    tokens: tuple[str, ...]
    probability: float
    parallels: tuple[Parallel, ...] = ()
    gap: int = 0
    """number of the gap, from 0"""

    @property
    def text(self) -> str:
        return " ".join(self.tokens)


class Task(NamedTuple):
    """Gaps of a kind, on which fillings are measured."""

    name: str
    length: int
    """signs; 0: the length is to be found out"""
    where: Literal["any", "start", "end"] = "any"


TASKS = (
    Task("one sign", 1), Task("two signs", 2), Task("three signs", 3), Task("five signs", 5),
    Task("line start", 1, "start"), Task("line end", 1, "end"), Task("unknown length", 0),
)  # fmt: skip


# ---- learning


def train_restorer(
    texts: str | Path | Sequence[Text],
    spec: TrainRestorer = TrainRestorer(),
    *,
    out: str | Path,
    tasks: Sequence[Task] = TASKS,
    on_step: Callable[[int], None] | None = None,
) -> Run:
    """Learn what stands where: an n-gram and a masked model, mixed.

    Whole texts are held out, a tenth to choose how the two are mixed, a tenth to measure. What editors restored is a
    break: it is not learned from, not seen, and not asked for.

    Parameters
    ----------
    texts
        Sign tables, ATF files, a folder of these (`corpus.read`), or texts.
    out
        Run folder. The same call on an unfinished folder goes on, equal to the bit; on a finished one it returns it.
    tasks
        What to measure.
    on_step
        Called after each step with its number; may raise.

    Returns
    -------
    The finished run: `.results`, and `.path / "model"` for `load`.

    Raises
    ------
    UserError
        Nothing to learn from, or the folder holds another run.
    """
    began = time.perf_counter()
    with train.first_process_first(spec):
        names = corpus.mzl_names() | (_category_names(spec.names) if spec.names else {})
        source = str(texts) if isinstance(texts, str | Path) else "texts"
        found = corpus.read(texts, tokens=spec.tokens, names=names) if isinstance(texts, str | Path) else list(texts)
        parts = corpus.split(found, seed=spec.seed)
        vocabulary = corpus.vocabulary(parts["train"])
        tokens = [vocabulary.encode(text.tokens) for text in parts["train"]]
        if not vocabulary.names or not parts["validation"] or not parts["test"]:
            raise UserError(f"{source} holds {len(found)} texts with {len(vocabulary.names)} different signs: ten texts at least are needed")  # fmt: skip
        plan = train.plan(spec, masked.windows(tokens))
        network = Masked(len(vocabulary), width=spec.width, layers=spec.layers, dropout=spec.dropout, seed=spec.seed)
        run = runs.open(out, spec, verb="tablets.train_restorer", source=source, fingerprint=_fingerprint(found, names))
    if run.done:
        return run
    with closing(run):
        run.resolve(
            steps=plan.steps, batch_size=plan.batch_size, vocabulary=len(vocabulary.names),
            **{name: len(part) for name, part in parts.items()},
            intact=sum(sum(text.intact) for text in parts["train"]),
        )  # fmt: skip
        restorer = Restorer(
            vocabulary, ngram.count(tokens, size=len(vocabulary), order=spec.order, never=_never()), network,
            replace(Weights(), prior=filling.prior(parts["train"])), spec.tokens, tuple(parts["train"]), names,
            bf16=train.precision_of(spec) == "bf16",
        )  # fmt: skip
        watched = draw(parts["validation"], vocabulary, Task("one sign", 1), n=min(500, spec.places), seed=spec.seed)

        def evaluate(model: Any, step: int) -> dict[str, Any]:
            return _watch(model, watched, bf16=restorer.bf16)

        record: dict[str, Any] = {}
        train.fit(
            network, masked.batches(tokens, plan, seed=spec.seed, share=spec.share, noise=spec.noise), masked.loss,
            spec=spec, plan=plan, run=run, evaluate=evaluate, on_step=on_step, record=record, began=began,
            what="learning to restore",
        )  # fmt: skip
        if run.writes:
            _finish(run, spec, restorer, parts, tasks, source, record, Path(texts) if isinstance(texts, str | Path) else None)  # fmt: skip
    return run


def _category_names(path: str) -> dict[str, str]:
    try:
        return corpus.category_names(json.loads(Path(path).read_text("utf-8"))["categories"])
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no COCO file: it has no categories with name and mzl") from None


def _fingerprint(texts: Sequence[Text], names: dict[str, str]) -> str:
    return hashlib.sha256((corpus.fingerprint(texts) + json.dumps(names, sort_keys=True)).encode()).hexdigest()


def _never() -> list[int]:
    return [SPECIAL.index(corpus.PAD), SPECIAL.index(corpus.MASK)]


def _watch(model: Masked, gaps: "Gaps", *, bf16: bool) -> dict[str, Any]:
    rows = [filling.row(place, 1) for place in gaps.places]
    p = masked.log_probabilities(model, [r for r, _ in rows], [np.array([at]) for _, at in rows], bf16=bf16)
    if not p:
        return {"score": 0.0}
    score, true = np.concatenate(p), np.array([t[0] for t in gaps.truth])
    told = np.isfinite(score[np.arange(len(true)), true])  # signs that training never saw are no filling
    rank = (score > score[np.arange(len(true)), true][:, None]).sum(1)
    numbers = {f"hit{k}": float((told & (rank < k)).mean()) for k in (1, 5)}
    if told.any():
        numbers["log_likelihood"] = float(score[np.arange(len(true)), true][told].mean())
    return numbers | {"score": float((told / (rank + 1)).mean())}


def _finish(
    run: Run, spec: TrainRestorer, restorer: Restorer, parts: dict[Any, list[Text]], tasks: Sequence[Task], source: str,
    record: dict[str, Any], read_from: Path | None,
) -> None:  # fmt: skip
    began = time.perf_counter()
    restorer, choices = tune(restorer, parts["validation"], n=spec.places, seed=spec.seed)
    if spec.keep == "best":
        scores: dict[int, float] = record["scores"]
        best = max(scores, key=scores.__getitem__)
        choices.append({
            "name": "weights of the masked model", "value": best, "score": scores[best],
            "candidates": [f"{step}: {score:.4f}" for step, score in scores.items()],
            "metric": "mean reciprocal rank of masked signs at the step", "split": "validation",
        })  # fmt: skip
    results = measure(restorer, parts["test"], tasks, n=spec.places, seed=spec.seed, data=source)
    if read_from is not None:
        results += _readings(run, *({text.id for text in parts[name]} for name in ("test", "copies")), read_from)
    save(run.path / "model", restorer, fingerprint=run.resolved["source_fingerprint"], run=str(run.path))
    seconds = record["seconds"] + time.perf_counter() - began
    said = []
    if parts["copies"]:
        said.append(f"{len(parts['copies'])} texts were left out: they repeat half of a text in another part")
    results = [replace(r, seconds=round(seconds, 3)) for r in results]
    run.finish(results, choices=choices, warnings=said)


def _readings(run: Run, held: set[str], copies: set[str], source: Path) -> list[Result]:
    """Learn what signs are read as, where the texts are ATF, and measure it on those held out; copies of these teach nothing."""
    tablets = corpus.transliterated(source)
    if not any(sign.name and sign.reading and sign.ink for tablet in tablets for sign in tablet.signs):
        return []
    known = transliteration.learn(tablet for tablet in tablets if tablet.id not in held | copies)
    transliteration.save(run.path / transliteration.FILE, known)
    return transliteration.measure(known, [tablet for tablet in tablets if tablet.id in held], data=str(source))


def tune(restorer: Restorer, texts: Sequence[Text], *, n: int, seed: int) -> tuple[Restorer, list[dict[str, Any]]]:
    """Choose on validation texts how the models are weighed, for each length, and what lengths are believed."""
    weights, choices = restorer.weights, []
    few = max(1, n // 10)  # only a few numbers are chosen, and long gaps cost fifty times as much
    for known in ((1,), tuple(range(2, LONGEST + 1))):
        gaps = [draw(texts, restorer.vocabulary, Task("", k), n=n if k == 1 else few, seed=seed) for k in known]
        found = [filling.spans(restorer, g.places, k) for g, k in zip(gaps, known, strict=True) if g.places]
        if not found:
            continue
        weights = filling.choose(list(itertools.chain(*found)), [t for g in gaps for t in g.truth], weights)
        at = known[0] - 1
        choices.append({
            "name": f"exponents for gaps of {known[0]}" + (f" to {known[-1]}" if len(known) > 1 else ""),
            "value": f"masked {weights.masked[at]:.3f}, n-gram {weights.ngram[at]:.3f}",
            "score": round(weights.covered[at], 4), "candidates": ["any from 0 to 3"],
            "metric": "likelihood of true fillings; score: share of them among the candidates", "split": "validation",
        })  # fmt: skip
    gaps = draw(texts, restorer.vocabulary, Task("", 0), n=few, seed=seed, prior=weights.prior)
    if len(gaps.places):
        found = _all_lengths(restorer, gaps.places)
        weights = filling.choose_evidence(found, [len(t) for t in gaps.truth], weights)
        choices.append({
            "name": "exponent of the evidence for a length", "value": weights.evidence, "score": 0.0,
            "candidates": ["0 to 1.2"], "metric": "likelihood of true lengths", "split": "validation",
        })  # fmt: skip
    return replace(restorer, weights=weights), choices


def _all_lengths(restorer: Restorer, places: Sequence[Place]) -> list[list[Spans]]:
    """For each place, candidates of the lengths 1 to `LONGEST`."""
    found = [filling.spans(restorer, places, length) for length in range(1, LONGEST + 1)]
    return [list(row) for row in zip(*found, strict=True)]


# ---- measuring


class Gaps(NamedTuple):
    """Gaps made in intact text."""

    places: list[Place]
    truth: list[Int64[np.ndarray, "k"]]
    group: list[str]
    """the text of each"""


def draw(
    texts: Sequence[Text], vocabulary: Vocabulary, task: Task, *, n: int, seed: int, prior: Sequence[float] = ()
) -> Gaps:
    """At most n gaps of a kind, none across a line's end; where the length is unknown, lengths are drawn from `prior`."""
    if task.length:
        chosen = [(i, first, task.length) for i, first in _drawn(texts, task.length, task.where, n, seed)]
    else:
        length = 1 + np.searchsorted(np.cumsum(prior[:-1]), streams.uniform(seed, "lengths", index=np.arange(n), k=1)[:, 0], side="right")  # fmt: skip
        chosen = [
            (i, first, k)
            for k in range(1, LONGEST + 1)
            for i, first in _drawn(texts, k, "any", int((length == k).sum()), seed)
        ]
    tokens = {i: vocabulary.encode(texts[i].tokens) for i, _, _ in chosen}
    return Gaps(
        [Place(tokens[i][:first], tokens[i][first + k :]) for i, first, k in chosen],
        [tokens[i][first : first + k] for i, first, k in chosen],
        [texts[i].id for i, _, _ in chosen],
    )


def _drawn(texts: Sequence[Text], length: int, where: Any, n: int, seed: int) -> list[tuple[int, int]]:
    found = corpus.places(texts, length, where=where)
    kept = np.sort(streams.permutation(seed, f"gaps/{where}", length, n=len(found))[:n])
    return [(int(i), int(first)) for i, first in found[kept]]


class Ranks(NamedTuple):
    """Rank of the true filling, from 0, for each gap; beyond all candidates: -1."""

    rank: Int64[np.ndarray, "n"]
    signs: Float64[np.ndarray, "n"]
    """share of the signs that the first filling has right"""


def ranks(restorer: Restorer, gaps: Gaps, length: int) -> dict[str, Ranks]:
    """Ranks by the n-gram, by the masked model, and by both."""
    weights = restorer.weights
    known = [length] if length else list(range(1, LONGEST + 1))
    found = [filling.spans(restorer, gaps.places, k) for k in known]
    made: dict[str, list[tuple[int, float]]] = {"n-gram": [], "masked": [], "mixture": []}
    for at, (place, true) in enumerate(zip(gaps.places, gaps.truth, strict=True)):
        here = [of_length[at] for of_length in found]
        before = filling.lengths(weights, here) if not length else np.zeros(1)
        spans: list[tuple[str, list[np.ndarray], list[np.ndarray]]] = [
            ("masked", [s.tokens for s in here], [s.masked + np.log(weights.prior[k - 1]) for k, s in zip(known, here, strict=True)]),
            ("mixture", [s.tokens for s in here], [filling.weighed(weights, s) + b for s, b in zip(here, before, strict=True)]),
        ]  # fmt: skip
        pairs = [filling.ngram_spans(restorer.ngram, place, k) for k in known]
        spans.append(("n-gram", [s for s, _ in pairs], [p + np.log(weights.prior[k - 1]) for k, (_, p) in zip(known, pairs, strict=True)]))  # fmt: skip
        for name, tokens, score in spans:
            made[name].append(_rank(tokens, score, true))
    return {name: Ranks(np.array([r for r, _ in rows]), np.array([s for _, s in rows])) for name, rows in made.items()}


def _rank(tokens: list[np.ndarray], score: list[np.ndarray], true: np.ndarray) -> tuple[int, float]:
    top = int(np.argmax([s.max() for s in score]))
    first = tokens[top][int(score[top].argmax())]
    signs = float((first == true).mean()) if len(first) == len(true) else 0.0
    for spans, values in zip(tokens, score, strict=True):
        at = np.flatnonzero((spans == true).all(1)) if spans.shape[1] == len(true) else []
        if len(at):
            return int(sum((s > values[at[0]]).sum() for s in score)), signs
    return -1, signs


def measure(
    restorer: Restorer, texts: Sequence[Text], tasks: Sequence[Task] = TASKS, *, n: int, seed: int, data: str
) -> list[Result]:
    """Whole spans right among the first 1, 5 and 10, and the mean reciprocal rank; intervals over texts."""
    results = []
    for task in tasks:
        began = time.perf_counter()
        many = {1: n, 0: max(1, n // 8)}.get(task.length, max(1, 3 * n // 10))
        gaps = draw(texts, restorer.vocabulary, task, n=many, seed=seed, prior=restorer.weights.prior)
        if not len(gaps.places):
            continue
        found = ranks(restorer, gaps, task.length)
        group = np.array(gaps.group)
        made = functools.partial(
            stats.result, n=len(set(gaps.group)), unit="tablet", data=data, split="test", seed=seed,
            seconds=time.perf_counter() - began,
        )  # fmt: skip
        values = {name: _values(r) for name, r in found.items()}
        for name, rows in values.items():
            for what, value in rows.items():
                if what != "signs" or task.length > 1:
                    how = f"{len(gaps.places)} gaps, whole span right"
                    results.append(made(f"{task.name}, {what}, {name}", *stats.bootstrap(np.mean, value, group=group, seed=seed), method=how))  # fmt: skip
        for what in ("hit@1", "hit@5"):
            gain = values["mixture"][what] - values["n-gram"][what]
            results.append(made(f"{task.name}, {what}, mixture minus n-gram", *stats.bootstrap(np.mean, gain, group=group, seed=seed), method="paired"))  # fmt: skip
    return results


def _values(found: Ranks) -> dict[str, Float64[np.ndarray, "n"]]:
    known = found.rank >= 0
    hits = {f"hit@{k}": (known & (found.rank < k)).astype(np.float64) for k in (1, 5, 10)}
    return hits | {"MRR": known / (np.maximum(found.rank, 0) + 1.0), "signs": found.signs}


# ---- keeping


def build(card: dict[str, Any]) -> Masked:
    """The masked model of a card with first weights."""
    return Masked(**card["architecture"]["arguments"])


def save(path: str | Path, restorer: Restorer, *, fingerprint: str = "", run: str | None = None) -> Path:
    """Write a bundle of kind `restorer`: the masked model, and beside it the texts, of which the n-gram is counted anew."""
    network = restorer.masked
    table = {
        "format": FORMAT, "names": restorer.names,
        "texts": [[t.id, [[line.label, line.tokens, line.intact] for line in t.lines]] for t in restorer.texts],
    }  # fmt: skip
    content = gzip.compress(json.dumps(table, ensure_ascii=False).encode(), mtime=0)
    card = models.card(
        kind="restorer",
        architecture={
            "name": "masked",
            "arguments": {
                "size": network.size, "width": network.width, "layers": len(network.before), "heads": network.heads,
                "dropout": network.dropout,
            },
        },
        input={"kind": "tokens", "channels": 0, "size": masked.SEEN, "range": None, "mean": None, "std": None},
        output={"embedding": network.width, "classes": list(restorer.vocabulary.names)},
        calibration={"weights": asdict(restorer.weights), "split": "validation"},
        data={
            "n": len(restorer.texts), "source_fingerprint": fingerprint, "tokens": restorer.tokens, "texts": TEXTS,
            "texts_sha256": hashlib.sha256(content).hexdigest(), "order": restorer.ngram.order, "bf16": restorer.bf16,
        },
        run=run,
    )  # fmt: skip
    made = models.save(path, network, card, builder=build)
    files.write(made / TEXTS, content)
    return made


def load(path: str | Path | Restorer) -> Restorer:
    """The restorer of a run folder or of a bundle.

    Raises
    ------
    UserError
        There is none, or it is damaged.
    """
    if isinstance(path, Restorer):
        return path
    path = Path(path)
    if (path / "spec.toml").exists() and not (path / "model").exists():
        raise UserError(f"{path} is not finished: repeat the line that began it")
    folder = path / "model" if (path / "model").is_dir() else path
    bundle = models.load(folder, builder=_build_restorer)
    data, calibration = bundle.card["data"], bundle.card["calibration"]
    content = (folder / TEXTS).read_bytes() if (folder / TEXTS).exists() else b""
    if hashlib.sha256(content).hexdigest() != data["texts_sha256"]:
        raise UserError(f"{folder / TEXTS} is damaged or missing (its SHA-256 is not that of model.json): copy it again")  # fmt: skip
    table = json.loads(gzip.decompress(content))
    texts = tuple(
        Text(id, tuple(TextLine(label, tuple(tokens), tuple(intact)) for label, tokens, intact in lines))
        for id, lines in table["texts"]
    )
    vocabulary = Vocabulary(tuple(bundle.card["output"]["classes"]))
    counted = ngram.count(
        [vocabulary.encode(text.tokens) for text in texts], size=len(vocabulary), order=data["order"], never=_never()
    )
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in calibration["weights"].items()}
    network: Any = bundle.model
    return Restorer(
        vocabulary, counted, network, Weights(**chosen), data["tokens"], texts, table["names"], data["bf16"]
    )


def _build_restorer(card: dict[str, Any]) -> Masked:
    if card["kind"] != "restorer":
        raise UserError(f"a {card['kind']} is no restorer: give a run folder of train-restorer")
    return build(card)


# ---- restoring


def restore(text: str, *, model: str | Path | Restorer, k: int = 10) -> list[Filling]:
    """Rank what may have stood in the gaps of a line.

    Each gap by itself, the others being broken. Names and readings inside `[ ]` are an editor's and are not looked at.

    Parameters
    ----------
    text
        A line of ATF, or several: `a-na {d}[x x] EN-ia`. `[x x]` are two lost signs, `[...]` an unknown number (1 to 5).
    model
        Run folder of `train_restorer`, bundle, or what `load` gave.
    k
        Fillings for each gap.

    Returns
    -------
    Gap by gap, the most probable first.

    Raises
    ------
    UserError
        No gap, a gap of more than five signs, or a line that is no ATF.
    """
    restorer = load(model)
    if k < 1:
        raise UserError(f"{k} fillings: at least 1 is needed")
    tokens = [LINE]
    for line in text.splitlines() or [""]:
        tokens += [*read_line(line, restorer), LINE]
    return fill(tokens, restorer, k=k, shown=text)


def read_line(text: str, restorer: Restorer) -> list[str]:
    """A line of ATF as the tokens that a restorer knows."""
    from edubba.tablets.formats import atf

    tokens, _ = corpus.of_signs(_renamed(atf.parse_line(text).signs, restorer), tokens=restorer.tokens)
    return list(tokens)


def _renamed(signs: Iterable[Sign], restorer: Restorer) -> list[Sign]:
    """Signs under the names that the restorer's sign tables have: the sign list knows several for one number."""
    from edubba.tablets import signlist

    known, made = set(restorer.vocabulary.names), []
    for sign in signs:
        entry = signlist.load().find(sign.name) if sign.name and sign.name not in known else None
        also = [restorer.names[number] for number in (entry.mzl if entry else ()) if number in restorer.names]
        made.append(replace(sign, name=also[0]) if also else sign)
    return made


def fill(tokens: Sequence[str], restorer: Restorer, *, k: int = 10, shown: str = "the text") -> list[Filling]:
    """`restore` for tokens: lines are parted by `LINE`, lost signs are `BREAK` or `LOST`."""
    gaps = _gaps(tokens)
    if not gaps:
        raise UserError(f"{shown!r} has no gap: write lost signs as [x x], an unknown number of them as [...]")
    made = []
    for number, (first, stop) in enumerate(gaps):
        unknown = LOST in tokens[first:stop]
        length = stop - first
        if not unknown and length > LONGEST:
            raise UserError(f"gap {number + 1} of {shown!r} is {length} signs long: at most {LONGEST} can be restored")
        place = _place(tokens, first, stop, restorer.vocabulary)
        for span, log_p in _ranked(restorer, place, 0 if unknown else length)[:k]:
            names = tuple(restorer.vocabulary.tokens[i] for i in span)
            made.append(Filling(names, float(np.exp(log_p)), parallels(restorer, place, span), number))
    return made


def _gaps(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """First and after the last of each run of lost signs."""
    lost = np.array([False, *(token in (BREAK, LOST) for token in tokens), False])
    edge = np.flatnonzero(lost[1:] != lost[:-1])
    return [(int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def _place(tokens: Sequence[str], first: int, stop: int, vocabulary: Vocabulary) -> Place:
    sides = []
    for side in (tokens[:first], tokens[stop:]):
        sides.append(vocabulary.encode(token for token, _ in corpus.shortened(side, [False] * len(side))))
    return Place(*sides)


def _ranked(restorer: Restorer, place: Place, length: int) -> list[tuple[np.ndarray, float]]:
    """Spans and their log probabilities, the likeliest first; length 0: of all lengths."""
    if length:
        found = [filling.spans(restorer, [place], length)[0]]
        before = np.zeros(1)
    else:
        [found] = _all_lengths(restorer, [place])
        before = filling.lengths(restorer.weights, found)
    rows = [
        (span, float(p))
        for spans, b in zip(found, before, strict=True)
        for span, p in zip(spans.tokens, filling.weighed(restorer.weights, spans) + b, strict=True)
    ]
    return sorted(rows, key=lambda row: -row[1])


# ---- parallels


class Index(NamedTuple):
    """All texts in a row."""

    tokens: Int64[np.ndarray, "n"]
    text: Int64[np.ndarray, "n"]
    start: Int64[np.ndarray, "t"]


@functools.lru_cache(maxsize=4)
def _index(texts: tuple[Text, ...], vocabulary: Vocabulary) -> Index:
    rows = [vocabulary.encode(text.tokens) for text in texts]
    size = np.array([len(row) for row in rows])
    return Index(np.concatenate(rows), np.repeat(np.arange(len(rows)), size), np.cumsum(size) - size)


def parallels(restorer: Restorer, place: Place, span: np.ndarray, *, n: int = PARALLELS) -> tuple[Parallel, ...]:
    """Where a filling stands between like neighbours in the texts learned from: those that share most come first.

    A place counts when at least one sign beside it is the same; breaks and lines' ends are no neighbours to share.
    """
    index = _index(restorer.texts, restorer.vocabulary)
    k, size = len(span), len(index.tokens)
    if size < k:
        return ()
    at = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(index.tokens, k)[:, 0] == span[0])
    at = at[(index.tokens[at[:, None] + np.arange(k)] == span).all(1)]
    at = at[index.text[at] == index.text[at + k - 1]]
    shared = np.zeros(len(at), np.int64)
    for side, first, step in ((place.left[::-1], at - 1, -1), (place.right, at + k, 1)):
        going = np.ones(len(at), bool)
        for d, token in enumerate(side[:NEAR]):
            there = np.clip(first + step * d, 0, size - 1)
            going &= (index.tokens[there] == token) & (index.text[there] == index.text[at])
            shared += going & (token >= filling.FIRST)
    best = np.argsort(-shared, kind="stable")
    return tuple(_parallel(restorer, index, int(at[i]), k, int(shared[i])) for i in best[:n] if shared[i])


def _parallel(restorer: Restorer, index: Index, at: int, k: int, shared: int) -> Parallel:
    text = restorer.texts[index.text[at]]
    here = at - int(index.start[index.text[at]])
    number = text.line_of[here]
    first = next(i for i, n in enumerate(text.line_of) if n == number and text.tokens[i] != LINE)
    row = list(itertools.takewhile(lambda token: token != LINE, text.tokens[first:]))
    row[here - first] = ">" + row[here - first]
    row[here - first + k - 1] += "<"
    return Parallel(text.id, text.lines[number].label, " ".join(row), shared)
