"""Does a paper support a claim, refute it, or say nothing of it? A small head over what claim and sentences have in common.

Two logistic regressions: whether an abstract bears on the claim at all, and if so, on which side. They see how much of the
claim the best sentences hold, and whether directions (more, less), negations and numbers agree. The weights that ship were
learned from SciFact's training claims (Wadden et al. 2020, CC BY 4.0) by `recipes/papers/claims.py`.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from edubba.core.errors import UserError
from edubba.papers import words

FORMAT = "edubba.claims/2"
SHOWN = 2
"""sentences of an abstract that are compared with a claim, and quoted"""
NEAR = 60.0
"""characters from a word of the claim at which a direction or a negation counts a third"""
NEGATED = 0.35
"""weight of negations near the claim's words from which on a sentence counts as negated"""
FALSE = 0.05
"""most of the claims that are not supported (refuted) which may be called so"""
NOT = re.compile(
    r"\b(no|not|non|cannot|neither|nor|never|without|absen(t|ce)|lack(s|ed|ing)?|fail(s|ed|ure|ing)?|unable|unlikely"
    r"|independent(ly)?|unaffected|unchanged|unrelated|ineffective|little|rarely|negligible|insufficient|dispensable"
    r"|insignificant)\b|\w+n['’]t\b",
    re.IGNORECASE,
)
MORE = re.compile(
    r"\b(increas\w*|higher|highest|elevat\w*|rais\w*|rise\w*|enhanc\w*|promot\w*|induc\w*|up-?regulat\w*|activat\w*"
    r"|stimulat\w*|improv\w*|greater|more|most|gain\w*|accelerat\w*|augment\w*|strengthen\w*|positive(ly)?|longer|larger"
    r"|better|stronger|facilitat\w*|support\w*|expan[ds]\w*|sensiti[vsz]\w*|success\w*|effective\w*|efficient\w*|benefi\w*"
    r"|worse\w*|exacerbat\w*|aggravat\w*|risk|cause[sd]?|trigger\w*|many|rich|early|earlier|fast\w*)\b",
    re.IGNORECASE,
)
LESS = re.compile(
    r"\b(decreas\w*|lower\w*|lowest|reduc\w*|inhibit\w*|suppress\w*|impair\w*|down-?regulat\w*|diminish\w*|less|least|fewer"
    r"|declin\w*|block\w*|prevent\w*|attenuat\w*|loss|lose\w*|lost|negative(ly)?|weak\w*|(de|in)-?activat\w*|protect\w*"
    r"|shorter|smaller|poor\w*|limit\w*|restrict\w*|deplet\w*|defici\w*|abolish\w*|abrogat\w*|ameliorat\w*|alleviat\w*"
    r"|delay\w*|slow\w*|resist\w*|disrupt\w*|drop\w*|minimi[sz]\w*|eliminat\w*|repress\w*|late|later|few|hinder\w*"
    r"|antagoni\w*)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d+(?:[.·,]\d+)*")
ASKED = re.compile(
    r"\b(whether|aim(s|ed)?|sought|hypothes\w*|investigat\w*|examin\w*|unclear|unknown|objective|purpose|to (determine|assess|evaluate|test))\b",
    re.IGNORECASE,
)
"""sentences that say what is asked rather than what was found"""
FOUND = re.compile(
    r"\b(conclu\w*|we (show|find|found|demonstrat\w*|report)|results?|here|demonstrat\w*|suggest\w*|show(s|n|ed)?|reveal\w*|associated"
    r"|significant\w*|indicat\w*)\b",
    re.IGNORECASE,
)


_OPPOSITES = """increase decrease|increases decreases|increased decreased|increasing decreasing|higher lower|high low|more less
    |greater smaller|larger smaller|longer shorter|stronger weaker|better worse|early late|gain loss|positive negative
    |positively negatively|enhances reduces|enhance reduce|enhanced reduced|promotes inhibits|promote inhibit|promoted inhibited
    |activates inhibits|activation inhibition|induces suppresses|stimulates suppresses|improves worsens|improve worsen
    |improved worsened|impairs improves|impaired improved|raises lowers|upregulates downregulates|upregulated downregulated
    |upregulation downregulation|sensitive resistant|prevents causes|prevent cause|blocks promotes|reduction increase"""
OPPOSITE: dict[str, str] = {}
for _pair in _OPPOSITES.split("|"):
    _one, _other = _pair.split()
    OPPOSITE.setdefault(_one, _other)
    OPPOSITE.setdefault(_other, _one)
AUXILIARY = re.compile(r"\b(is|are|was|were|can|may|will|could|should|has|have|does|do|did)\b( not)?\b", re.IGNORECASE)
VERB = re.compile(r"(?<=\w )(\w{2,}[^s\W])s(?= )")
"""a word that may be a verb in the third person, where there is no other"""


class Asked(NamedTuple):
    """A claim, ready to be compared."""

    text: str
    weights: Mapping[str, float]
    """how rare each of its words (stems) is in the library"""


class Compared(NamedTuple):
    """A claim beside an abstract."""

    bearing: Float64[np.ndarray, "features"]
    """what says whether the abstract bears on the claim"""
    side: Float64[np.ndarray, "others"]
    """what says on which side"""
    best: tuple[int, ...]
    """sentences that were compared, the nearest first; 0 is the title"""


def asked(claim: str, stems: Callable[[str], list[str]], rarity: Callable[[str], float]) -> Asked:
    """A claim with the weights of its words."""
    return Asked(claim, {stem: rarity(stem) for stem in dict.fromkeys(stems(words.named(claim)))})


def compare(
    claim: Asked, said: Sequence[str], of: Sequence[Sequence[str]], *, rank: int, stems: Callable[[str], list[str]]
) -> Compared:
    """A claim beside a title and the sentences of an abstract.

    Parameters
    ----------
    said, of
        Title and sentences, and their stems.
    rank
        Place of the paper among those that search found for the claim, from 0.
    """
    total = sum(claim.weights.values()) or 1.0
    held = [set(sentence) & claim.weights.keys() for sentence in of]

    def share(stems_held: set[str]) -> float:
        # in the claim's order: sums over a set differ in their last digits from run to run
        return sum((weight for stem, weight in claim.weights.items() if stem in stems_held), 0.0) / total

    covered = np.array([share(h) for h in held])
    around = np.array([share(set().union(*held[max(1, i - 1) : i + 2])) if i else covered[0] for i in range(len(held))])
    couples = set(pairwise(claim.weights))
    pairs = np.array([len(couples & set(pairwise(sentence))) / max(1, len(couples)) for sentence in of])
    questions = np.array([bool(ASKED.search(text)) for text in said], float)
    value = (covered + 0.3 * around + 0.3 * pairs) * (1 - 0.3 * questions)
    value[0] *= 0.9
    best = np.argsort(-value, kind="stable")[:SHOWN]
    second = best[1] if len(best) > 1 else best[0]
    text = " ".join(said[i] for i in best)
    missing = [weight for stem, weight in claim.weights.items() if not any(stem in h for h in held)]
    bearing = [
        rank == 0, math.log1p(rank), covered[best[0]], covered[second], covered[0], share(set().union(*held)),
        share(set().union(*(held[i] for i in best))), max(missing, default=0.0), value[best[0]], value[second],
        pairs[best[0]], len(said), best[0] / max(1, len(said) - 1), best[0] == 0, questions[best[0]],
    ]  # fmt: skip
    side = _sides(claim, [said[i] for i in best], text, stems)
    return Compared(np.array([*bearing, *side], float), np.array(side, float), tuple(best.tolist()))


def _sides(claim: Asked, best: Sequence[str], text: str, stems: Callable[[str], list[str]]) -> list[float]:
    more, less, negations = (len(pattern.findall(claim.text)) for pattern in (MORE, LESS, NOT))
    direction, negated = float(np.sign(more - less)), negations > 0
    made: list[float] = []
    for sentence in best:
        places = [w.start() for w in words.WORD.finditer(sentence) if any(s in claim.weights for s in stems(w[0]))]
        up, down, no = (_near(pattern, sentence, places) for pattern in (MORE, LESS, NOT))
        leaning = math.tanh(up - down)
        agrees = negated == (no > NEGATED)
        made += [
            direction * leaning, abs(direction * leaning), not agrees, no, negated * no, negated * (no < NEGATED / 2),
            (not negated) * no, direction * leaning * (1 if agrees else -1), bool(FOUND.search(sentence)),
        ]  # fmt: skip
    made += [0.0] * (9 * (SHOWN - len(best)))
    for sentence in [*best, *[best[-1]] * (SHOWN - len(best))]:
        made += _beyond(claim, sentence, stems)
    own, its = (_heads(MORE, t) | _heads(LESS, t) for t in (claim.text, text))
    numbers, there = (set(NUMBER.findall(t)) for t in (claim.text, text))
    made += [
        bool(own & its), bool(own) and not own & its,
        direction * math.tanh(len(MORE.findall(text)) - len(LESS.findall(text))),
        bool(numbers), len(numbers & there) / max(1, len(numbers)), bool(numbers) and not numbers & there,
        negated, more > 0, less > 0,
    ]  # fmt: skip
    return [float(value) for value in made]


def _beyond(claim: Asked, sentence: str, stems: Callable[[str], list[str]]) -> list[float]:
    """Whether directions agree when those are left out that claim and sentence share: "deficiency" is no "less" where both say it."""
    places = [w.start() for w in words.WORD.finditer(sentence) if any(s in claim.weights for s in stems(w[0]))]
    more, less = (_heads(pattern, claim.text) for pattern in (MORE, LESS))
    held = _heads(MORE, sentence) | _heads(LESS, sentence)
    direction = float(np.sign(len(more - held) - len(less - held)))
    up, down = (_near(pattern, sentence, places, without=more | less) for pattern in (MORE, LESS))
    agrees = 1 if bool(NOT.search(claim.text)) == (_near(NOT, sentence, places) > NEGATED) else -1
    both = direction * math.tanh(up - down)
    none, all_held = direction == 0, bool(more | less) and more | less <= held
    return [both, both * agrees, float(none), float(none * agrees), float(all_held)]


def _heads(pattern: re.Pattern[str], text: str) -> set[str]:
    return {m[0].lower()[:5] for m in pattern.finditer(text)}


def _near(pattern: re.Pattern[str], text: str, places: Sequence[int], *, without: Collection[str] = ()) -> float:
    """How often a pattern stands near the words of the claim; not counted are words that begin like one of `without`."""
    each = (
        math.exp(-min((abs(m.start() - p) for p in places), default=10**4) / NEAR)
        for m in pattern.finditer(text) if m[0].lower()[:5] not in without
    )  # fmt: skip
    return sum(each, 0.0)


@dataclass(frozen=True)
class Linear:
    """Logistic regression over standardised features."""

    mean: Float64[np.ndarray, "features"]
    scale: Float64[np.ndarray, "features"]
    weight: Float64[np.ndarray, "features classes"]
    bias: Float64[np.ndarray, "classes"]

    def __call__(self, x: Float64[np.ndarray, "n features"]) -> Float64[np.ndarray, "n classes"]:
        """Probabilities."""
        logits = (x - self.mean) / self.scale @ self.weight + self.bias
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Head:
    """What decides."""

    bearing: Linear
    """classes: says nothing of it, bears on it"""
    side: Linear
    """classes: refutes, supports"""
    verdict: Linear
    """from the papers of a claim to: not enough evidence, supported, refuted"""
    least: tuple[float, float]
    """probability from which on a claim is called supported, and refuted"""


def papers(head: Head, compared: Sequence[Compared]) -> Float64[np.ndarray, "n 3"]:
    """For each paper the probabilities that it says nothing of the claim, supports it, refutes it."""
    if not compared:
        return np.zeros((0, 3))
    bears = head.bearing(np.stack([c.bearing for c in compared]))
    side = head.side(np.stack([c.side for c in compared]))
    return np.stack([bears[:, 0], bears[:, 1] * side[:, 1], bears[:, 1] * side[:, 0]], axis=1)


def summed(p: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "6"]:
    """What all papers say together: the two strongest on each side, and the sums."""
    both = np.sort(np.concatenate([p[:, 1:], np.zeros((2, 2))]), axis=0)[::-1]
    return np.concatenate([both[0], both[1], p[:, 1:].sum(axis=0)])


def opposite(claim: str) -> list[str]:
    """The claim turned round: by the first direction in it, and by a negation. Made by rule, so some are no English.

    >>> opposite("Smoking is linked to a higher risk")
    ['Smoking is linked to a lower risk', 'Smoking is not linked to a higher risk']
    >>> opposite("Masks do not help"), opposite("Zinc shortens colds")
    (['Masks do help'], ['Zinc does not shorten colds'])
    """
    made = []
    for word in re.finditer(r"[\w-]+", claim):
        if other := OPPOSITE.get(word[0].lower()):
            made.append(claim[: word.start()] + other + claim[word.end() :])
            break
    if found := AUXILIARY.search(claim):
        made.append(claim[: found.start()] + found[1] + ("" if found[2] else " not") + claim[found.end() :])
    elif not made and (found := VERB.search(claim)):
        made.append(f"{claim[: found.start()]}does not {found[1]}{claim[found.end() :]}")
    return made


class Judged(NamedTuple):
    """A claim whose papers are known."""

    compared: Sequence[Compared]
    sides: Int[np.ndarray, "n"]
    """of each paper: 0 says nothing of the claim, 1 supports it, 2 refutes it"""
    verdict: int
    """of all papers together"""
    turned: Sequence[tuple[Compared, int]] = ()
    """its opposites beside the papers that bear on it, and the side on which these are then: what is learned from a claim must
    not be that most claims are supported"""


def fit(
    claims: Sequence[Judged], *, folds: int = 5
) -> tuple[Head, list[Float64[np.ndarray, "n 3"]], Float64[np.ndarray, "m 3"]]:
    """Learn a head; the verdict and how sure it must be come from claims that the rest was not learned from.

    Returns
    -------
    The head, and of every claim what a head that was not learned from it says of its papers and of all together.
    """
    fold = np.arange(len(claims)) % folds
    p: list[np.ndarray] = [np.zeros((0, 3))] * len(claims)
    for k in range(folds):
        made = _sides_of([claim for claim, f in zip(claims, fold, strict=True) if f != k])
        for i in np.flatnonzero(fold == k):
            p[i] = papers(Head(*made, verdict=made[0], least=(1.0, 1.0)), claims[i].compared)
    x, y = np.stack([summed(each) for each in p]), np.array([claim.verdict for claim in claims])
    told = np.zeros((len(claims), 3))
    for k in range(folds):
        told[fold == k] = linear(x[fold != k], y[fold != k], 1.0)(x[fold == k])
    least = tuple(_least(told[:, side], y == side, told[:, side] >= told[:, 3 - side]) for side in (1, 2))
    return Head(*_sides_of(claims), verdict=linear(x, y, 1.0), least=(least[0], least[1])), p, told


def _sides_of(claims: Sequence[Judged]) -> tuple[Linear, Linear]:
    pairs = [c for claim in claims for c in claim.compared]
    bears = np.concatenate([claim.sides for claim in claims]) > 0
    sided = [
        pair for claim in claims
        for pair in (*zip(claim.compared, claim.sides.tolist(), strict=True), *claim.turned) if pair[1]
    ]  # fmt: skip
    return (
        linear(np.stack([c.bearing for c in pairs]), bears.astype(int), 0.1),
        linear(np.stack([c.side for c, _ in sided]), np.array([side == 1 for _, side in sided], int), 0.3),
    )


def linear(x: np.ndarray, y: np.ndarray, c: float) -> Linear:
    """Logistic regression of labels 0, 1, ... with L2 of strength 1 / c, on standardised features."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    made = LogisticRegression(C=c, max_iter=2000).fit((x - mean) / scale, y)
    weight, bias = made.coef_.T, made.intercept_
    if weight.shape[1] == 1:  # of two classes only the second's are given
        weight, bias = np.concatenate([0 * weight, weight], axis=1), np.concatenate([0 * bias, bias])
    return Linear(mean, scale, weight, bias)


def _least(p: np.ndarray, true: np.ndarray, ahead: np.ndarray) -> float:
    """The probability above which at most `FALSE` of the claims that are not on a side are said to be."""
    wrong = np.sort(p[~true & ahead])[::-1]
    allowed = int(FALSE * (~true).sum())
    return float(np.round(wrong[allowed] + 1e-4, 4)) if allowed < len(wrong) else 0.34


def to_dict(head: Head, **facts: Any) -> dict[str, Any]:
    """A head as JSON can hold it, with what it was learned from."""
    parts = {
        name: {field: np.round(getattr(part, field), 5).tolist() for field in ("mean", "scale", "weight", "bias")}
        for name, part in (("bearing", head.bearing), ("side", head.side), ("verdict", head.verdict))
    }
    return {"format": FORMAT, **facts, **parts, "least": list(head.least)}


def from_dict(data: Mapping[str, Any]) -> Head:
    """What `to_dict` made.

    Raises
    ------
    UserError
        It is of another format, whose features are others.
    """
    if data.get("format") != FORMAT:
        raise UserError(
            f"this head is of the format {data.get('format')!r}, and this edubba reads {FORMAT}: learn it again"
        )
    parts = {
        name: Linear(**{field: np.array(data[name][field], float) for field in ("mean", "scale", "weight", "bias")})
        for name in ("bearing", "side", "verdict")
    }
    return Head(**parts, least=tuple(data["least"]))


def load() -> Head:
    """The head that ships."""
    return from_dict(json.loads((package("edubba.papers") / "claims.json").read_text("utf-8")))
