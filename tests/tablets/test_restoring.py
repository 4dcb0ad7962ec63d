"""Filling gaps, on an invented language of letters."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edubba.core import train
from edubba.core.errors import UserError
from edubba.tablets import corpus, filling, fusing, masked, restoring
from edubba.tablets.corpus import BREAK, LINE, Text, TextLine
from edubba.tablets.restoring import Task
from edubba.tablets.spec import TrainRestorer

SPEC = TrainRestorer(
    epochs=30, batch_size=8, lr=3e-3, width=32, layers=1, places=24, threads=1, precision="fp32", ema=0.9
)
FORMULA = (("A", "NA", "LUGAL", "EN", "|I.A|"), ("UM", "MA", "ŠU", "U₂", "MA"), ("KI", "NA", "AN", "ŠU"))
NAMES = ("BA", "DI", "GA", "HU", "LA", "RI", "TI", "ZU")
MARKER = "ZABALAM"
SIGNS = sorted({sign for part in FORMULA for sign in part} | set(NAMES))
TASKS = (Task("one sign", 1), Task("two signs", 2), Task("line start", 1, "start"), Task("unknown length", 0))


def line(label, tokens, broken=()):
    kept = tuple(BREAK if i in broken else token for i, token in enumerate(tokens))
    return TextLine(label, kept, tuple(i not in broken for i in range(len(tokens))))


def invented(n=60):
    """Letters with one formula, then names that go in pairs; some places broken."""
    texts = []
    for i in range(n):
        u = np.random.default_rng(i)
        lines = [line(str(j + 1), part) for j, part in enumerate(FORMULA)]
        for j in range(6):
            a, b = u.integers(8, size=2)
            words = (NAMES[a], NAMES[(a + 1) % 8], NAMES[b], NAMES[(b + 1) % 8])
            lines.append(line(str(j + 4), words, broken={int(u.integers(4))} if u.random() < 0.3 else ()))
        texts.append(Text(f"T{i}", tuple(lines)))
    return texts


class Stop(Exception):
    pass


def stop_at(step):
    def look(number):
        if number == step:
            raise Stop

    return look


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restorer") / "run"
    run = restoring.train_restorer(invented(), SPEC, out=folder, tasks=TASKS)
    return run, restoring.load(folder)


def test_formulas_are_restored_with_where_they_are_attested(trained):
    _, model = trained
    found = restoring.restore("a-na [x] EN-ia", model=model, k=3)
    assert found[0].text == "LUGAL"
    assert len(found) == 3
    assert found[0].probability > 0.5 > found[1].probability
    parallel = found[0].parallels[0]
    assert parallel.words == "A NA >LUGAL< EN |I.A|"
    assert parallel.line == "1"
    assert parallel.shared == 4
    assert parallel.text in {text.id for text in model.texts}


def test_gaps_at_both_ends_of_a_line_and_of_two_signs(trained):
    _, model = trained
    assert restoring.restore("[x]-na LUGAL EN", model=model)[0].tokens == ("A",)
    assert restoring.restore("um-ma szu-u2-[x]", model=model)[0].tokens == ("MA",)
    assert restoring.restore("a-na [x x]-ia", model=model)[0].tokens == ("LUGAL", "EN")


def test_each_of_several_gaps_has_its_own_fillings(trained):
    _, model = trained
    found = restoring.restore("a-[x] LUGAL [x]-ia\num-ma [x]-u2-ma", model=model, k=2)
    assert [f.gap for f in found] == [0, 0, 1, 1, 2, 2]
    assert [f.text for f in found[::2]] == ["NA", "EN", "ŠU"]


def test_a_gap_of_unknown_length_is_given_one(trained):
    _, model = trained
    found = restoring.restore("a-na [...] EN-ia", model=model, k=5)
    assert found[0].tokens == ("LUGAL",)
    assert {len(f.tokens) for f in restoring.restore("a-na [...]", model=model, k=60)} > {1, 2}


def test_probabilities_of_a_gap_of_one_sum_to_at_most_one(trained):
    _, model = trained
    p = [f.probability for f in restoring.restore("ki-na [x] szu", model=model, k=1000)]
    assert p == sorted(p, reverse=True)
    assert len(p) == len(model.vocabulary.names)
    assert 0.9 < sum(p) <= 1


def test_what_an_editor_restored_is_not_looked_at(trained):
    _, model = trained
    assert restoring.restore("a-na [ba] EN-ia", model=model) == restoring.restore("a-na [x] EN-ia", model=model)


def test_errors_are_sentences(trained, tmp_path):
    _, model = trained
    with pytest.raises(UserError, match=r"'a-na' has no gap: write lost signs as \[x x\]"):
        restoring.restore("a-na", model=model)
    with pytest.raises(UserError, match=r"gap 1 of 'a \[x x x x x x\]' is 6 signs long: at most 5"):
        restoring.restore("a [x x x x x x]", model=model)
    with pytest.raises(UserError, match="column"):
        restoring.restore("a-na {d [x]", model=model)
    with pytest.raises(UserError, match="at least 1 is needed"):
        restoring.restore("a [x]", model=model, k=0)
    with pytest.raises(UserError, match="not a model bundle"):
        restoring.load(tmp_path)
    with pytest.raises(UserError, match="2 texts with 19 different signs: ten texts"):
        restoring.train_restorer(invented(2), SPEC, out=tmp_path / "few")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="is no COCO file"):
        restoring.train_restorer(invented(), replace(SPEC, names=str(tmp_path / "a.json")), out=tmp_path / "few")


def test_a_bundle_whose_texts_were_changed_is_refused(trained, tmp_path):
    _, model = trained
    path = restoring.save(tmp_path / "model", model)
    assert restoring.load(path).texts == model.texts
    (path / restoring.TEXTS).write_bytes(b"")
    with pytest.raises(UserError, match="is damaged or missing"):
        restoring.load(path)


def test_what_is_loaded_is_what_was_trained(trained):
    run, model = trained
    assert run.done
    again = restoring.load(run.path / "model")
    found = restoring.restore("a-na [x x]-ia", model=model)
    assert (
        restoring.restore("a-na [x x]-ia", model=again) == found == restoring.restore("a-na [x x]-ia", model=run.path)
    )
    assert again.weights == model.weights


def test_results_have_intervals_over_tablets_and_choices_are_of_validation(trained):
    run, _ = trained
    found = {r.name: r for r in run.results}
    for method in ("n-gram", "masked", "mixture"):
        r = found[f"one sign, hit@1, {method}"]
        assert r.low <= r.value <= r.high
        assert (r.unit, r.split) == ("tablet", "test")
        assert found[f"unknown length, hit@10, {method}"].value >= found[f"unknown length, hit@1, {method}"].value
    gain = found["two signs, hit@1, mixture minus n-gram"].value
    assert gain == pytest.approx(found["two signs, hit@1, mixture"].value - found["two signs, hit@1, n-gram"].value)
    assert found["line start, hit@1, mixture"].value > 0.5
    assert {choice["split"] for choice in run.document["choices"]} == {"validation"}
    assert len(run.document["choices"]) == 4  # two pairs of exponents, the evidence, the weights


def test_resuming_equals_never_stopping(tmp_path):
    spec, tasks = replace(SPEC, epochs=6, dropout=0.2, save_every=5), (Task("one sign", 1),)
    whole = restoring.train_restorer(invented(), spec, out=tmp_path / "whole", tasks=tasks)
    with pytest.raises(Stop):
        restoring.train_restorer(invented(), spec, out=tmp_path / "parts", tasks=tasks, on_step=stop_at(7))
    parts = restoring.train_restorer(invented(), spec, out=tmp_path / "parts", tasks=tasks)
    files = [run.path / "model" / "model.safetensors" for run in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [r.value for r in whole.results] == [r.value for r in parts.results]


def test_nothing_restored_is_learned_seen_or_scored(tmp_path):
    """The marker stands in a quarter of all lines of the table, each time where an editor restored it."""
    rows = ["tablet,line,pos,mzl,status"]
    for i, text in enumerate(invented(40)):
        for j, line in enumerate(text.lines):
            for k, token in enumerate(line.tokens):
                restored = k == 1 and (i + j) % 4 == 0
                number, status = (1, 0) if restored else (0, 0) if token == BREAK else (2 + SIGNS.index(token), 1)
                rows.append(f"{text.id},{j},{k},{number},{status}")
    names = {"1": MARKER} | {str(2 + i): sign for i, sign in enumerate(SIGNS)}
    (tmp_path / "coco.json").write_text(
        json.dumps({"categories": [{"mzl": n, "name": name} for n, name in names.items()]})
    )
    (tmp_path / "signs.csv").write_text("\n".join(rows))
    spec = replace(SPEC, epochs=2, names=str(tmp_path / "coco.json"))
    run = restoring.train_restorer(tmp_path / "signs.csv", spec, out=tmp_path / "run", tasks=(Task("one sign", 1),))
    model = restoring.load(run.path)
    assert MARKER not in model.vocabulary.tokens
    assert MARKER not in json.dumps([text.tokens for text in model.texts])
    found = restoring.restore("a-[x] LUGAL EN-ia", model=model, k=1000)
    assert {f.text for f in found} == set(model.vocabulary.names)
    assert not any(MARKER in parallel.words for f in found for parallel in f.parallels)


def test_learning_never_asks_for_a_break(trained):
    _, model = trained
    tokens = [model.vocabulary.encode(text.tokens) for text in model.texts]
    plan = train.plan(SPEC, masked.windows(tokens))
    shown, text, wanted = masked.batches(tokens, plan, seed=0, share=0.5, noise=0.2)(3, 0, 1)
    mask, broken = (corpus.SPECIAL.index(token) for token in (corpus.MASK, BREAK))
    assert set(wanted[wanted >= 0].tolist()) <= set(range(filling.FIRST, len(model.vocabulary)))
    assert (wanted[shown == mask] >= 0).all()
    assert (wanted[shown >= filling.FIRST] == shown[shown >= filling.FIRST]).all()
    assert 0.1 < float((shown == mask).double().mean()) < 0.45
    assert ((shown == broken) & (wanted >= 0)).sum() > 0
    assert ((shown == broken) & (wanted < 0)).sum() > 0
    again = masked.batches(tokens, plan, seed=0, share=0.5, noise=0.2)(3, 0, 1)
    assert all(bool((a == b).all()) for a, b in zip((shown, text, wanted), again, strict=True))


def test_no_sign_has_a_part_in_its_own_probability(trained):
    """Changing one sign changes what is thought of all others, and leaves it as it was in its own place."""
    _, model = trained
    rng = np.random.default_rng(0)
    row = rng.integers(filling.FIRST, len(model.vocabulary), 12)
    whole = masked.everywhere(model.masked, row)
    for i in range(12):
        other = row.copy()
        other[i] = filling.FIRST + (row[i] - filling.FIRST + 1) % len(model.vocabulary.names)
        same = np.isclose(masked.everywhere(model.masked, other), whole, atol=1e-6).all(1)
        assert same.tolist() == [j == i for j in range(12)]
        other[i] = corpus.SPECIAL.index(corpus.MASK)
        assert masked.everywhere(model.masked, other)[i] == pytest.approx(whole[i], abs=1e-5)


def test_a_long_text_is_seen_in_windows(trained):
    _, model = trained
    row = np.random.default_rng(0).integers(filling.FIRST, len(model.vocabulary), 250)
    whole = masked.everywhere(model.masked, row)
    assert whole.shape == (250, len(model.vocabulary))
    for i, first in ((0, 0), (60, 0), (100, 48), (249, 192)):
        [part] = masked.log_probabilities(model.masked, [row[first : first + masked.SEEN]], [np.array([i - first])])
        assert whole[i] == pytest.approx(part[0], abs=1e-5)


def test_nothing_is_seen_across_texts(trained):
    _, model = trained
    rng = np.random.default_rng(0)
    row, other = rng.integers(6, 12, 20), rng.integers(6, 12, 20)
    text = np.repeat([0, 1], 10)
    changed = np.where(text == 1, other, row)
    with torch.no_grad():
        a, b = (
            model.masked(torch.from_numpy(x)[None], torch.from_numpy(text)[None])[0, :10, 6:] for x in (row, changed)
        )
    assert torch.equal(a, b)


def test_spans_of_one_are_all_signs_with_both_scores(trained):
    _, model = trained
    place = filling.Place(*(model.vocabulary.encode(t) for t in ([LINE, "A", "NA"], ["EN", LINE])))
    [spans] = filling.spans(model, [place], 1)
    assert len(spans.tokens) == len(model.vocabulary.names)
    assert np.exp(spans.masked).sum() == pytest.approx(1, abs=1e-4)
    assert np.exp(spans.ngram).sum() < 1
    assert spans.evidence == pytest.approx(float(np.log(np.exp(spans.ngram).sum())))


def test_the_score_of_a_span_is_the_chain_of_its_signs(trained):
    """In the order of certainty, each sign under those that were filled before."""
    _, model = trained
    place = filling.Place(*(model.vocabulary.encode(t) for t in ([LINE, "A", "NA"], ["|I.A|", LINE])))
    [spans] = filling.spans(model, [place], 2)
    tokens, first = filling.row(place, 2)
    [start] = masked.log_probabilities(model.masked, [tokens], [np.arange(2) + first])
    sure = int(start.max(1).argmax())
    for span, score in zip(spans.tokens[:5], spans.masked[:5], strict=True):
        filled = tokens.copy()
        filled[first + sure] = span[sure]
        [[rest]] = masked.log_probabilities(model.masked, [filled], [np.array([first + 1 - sure])])
        assert score == pytest.approx(start[sure, span[sure]] + rest[span[1 - sure]], abs=1e-4)


def test_the_window_of_a_gap_holds_as_much_of_both_sides_as_fits():
    left, right = np.arange(100, 200), np.arange(200, 300)
    for place, first in (
        ((left, right), 4),
        ((left[:2], right), 2),
        ((left, right[:1]), 7),
        ((left[:1], right[:1]), 1),
    ):
        tokens, at = filling.row(filling.Place(*place), 2, seen=10)
        assert (at, len(tokens)) == (first, min(10, len(place[0]) + len(place[1]) + 2))
        assert tokens[at : at + 2].tolist() == [1, 1]
        assert tokens[at - 1] == place[0][-1]
        assert tokens[at + 2] == place[1][0]


# ---- ink and context


def unsure(names, truth, other, *, wrong=0.6):
    p = np.full((len(truth), len(names)), 1e-3)
    for row, (true, false) in enumerate(zip(truth, other, strict=True)):
        p[row, names.index(true)] += 1 - wrong
        p[row, names.index(false)] += wrong
    return np.log(p / p.sum(1, keepdims=True))


def test_context_mends_what_ink_leaves_open(trained):
    _, model = trained
    names = [*model.vocabulary.names, "QA"]
    truth = ["A", "NA", "LUGAL", "EN", "|I.A|"]
    ink = unsure(names, truth, ["A", "NA", "ZU", "EN", "|I.A|"])
    [fused] = restoring.fuse_lines([ink], names, model)
    assert fused.sum(1) == pytest.approx(np.ones(5))
    assert names[ink[2].argmax()] == "ZU"
    assert [names[i] for i in fused.argmax(1)] == truth


def test_a_name_that_texts_never_have_keeps_its_ink(trained):
    _, model = trained
    names = [*model.vocabulary.names, "QA"]
    ink = unsure(names, ["QA"] * 3, ["BA"] * 3, wrong=0.001)
    [fused] = restoring.fuse_lines([ink], names, model)
    assert (fused.argmax(1) == names.index("QA")).all()


def test_ink_that_is_not_trusted_does_not_count(trained):
    _, model = trained
    names = list(model.vocabulary.names)
    seen = ["A", "NA", "ZU", "EN", "|I.A|"]
    ink = 30 * unsure(names, seen, seen)  # as sure as a classifier gets
    [trusted] = restoring.fuse_lines([ink], names, model)
    [fused] = restoring.fuse_lines([ink], names, model, damage=[np.array([1.0, 1.0, 0.0, 1.0, 1.0])])
    assert [names[i] for i in trusted.argmax(1)] == seen
    assert [names[i] for i in fused.argmax(1)] == ["A", "NA", "LUGAL", "EN", "|I.A|"]


def test_several_lines_come_back_as_they_went_in(trained):
    _, model = trained
    names = list(model.vocabulary.names)
    lines = [unsure(names, part, part) for part in (["A", "NA"], [], ["KI"])]
    assert [line.shape for line in restoring.fuse_lines(lines, names, model)] == [(n, len(names)) for n in (2, 0, 1)]
    assert restoring.fuse_lines([lines[1]], names, model)[0].shape == (0, len(names))


def test_exponents_are_those_that_make_the_truth_likely(trained):
    _, model = trained
    names = list(model.vocabulary.names)
    truth = [sign for part in FORMULA for sign in part]
    rng = np.random.default_rng(0)
    tablets = []
    for _ in range(4):
        ink = [unsure(names, part, rng.choice(names, len(part)), wrong=0.5) for part in FORMULA]
        tablets.append(ink)
    chosen = fusing.choose_exponents(tablets, names, [truth] * 4, model).weights
    assert chosen.context > 0
    useless = [[np.log(np.full((len(part), len(names)), 1 / len(names))) for part in FORMULA]]
    assert fusing.choose_exponents(useless, names, [truth], model).weights.ink == 0.5  # all equal: the first tried


def test_a_masked_span_ends_with_its_line(monkeypatch):
    monkeypatch.setattr(masked, "SPANS", (0.0, 0.0, 0.0, 0.0, 1.0))
    line = corpus.SPECIAL.index(LINE)
    texts = [np.array([line, *[filling.FIRST, filling.FIRST + 1, line] * 200])]
    plan = train.plan(replace(SPEC, epochs=200), masked.windows(texts))
    batch = masked.batches(texts, plan, seed=0, share=0.1, noise=0.0)
    shown = np.concatenate([batch(step, 0, 1)[0].numpy() for step in range(20)])
    mask = corpus.SPECIAL.index(corpus.MASK)
    row, at = np.nonzero((shown[:, 1:-1] == line) & (shown[:, :-2] == mask))
    assert len(at) > 20
    assert (shown[row, at + 2] == mask).mean() < 0.3


def test_the_end_of_one_text_is_no_neighbour_of_the_next(trained):
    _, model = trained
    encode = model.vocabulary.encode
    *_, last, _ = model.texts[0].tokens
    place = filling.Place(encode([last, LINE, LINE]), encode(["NA", "BA"]))
    assert {p.shared for p in restoring.parallels(model, place, encode(["A"]))} == {1}


def made_up(tokens, masked_p, ngram_p, evidence=0.0):
    return filling.Spans(np.array(tokens), np.log(masked_p), np.log(ngram_p), evidence)


def test_weights_go_to_the_model_that_is_right():
    rng = np.random.default_rng(0)
    found, truth = [], []
    for _ in range(200):
        masked_p, ngram_p = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
        found.append(made_up([[6], [7], [8], [9]], masked_p, ngram_p))
        truth.append(np.array([6 + rng.choice(4, p=masked_p)]))
    truth[0] = np.array([10])
    weights = filling.choose(found, truth, filling.Weights())
    assert weights.masked[0] == pytest.approx(1, abs=0.25)
    assert weights.ngram[0] == pytest.approx(0, abs=0.25)
    assert weights.covered[0] == pytest.approx(200 / 202)
    assert weights.masked[1:] == (0.5,) * 4
    assert np.exp(filling.weighed(weights, found[0])).sum() == pytest.approx(200 / 202)


def test_lengths_follow_the_prior_and_the_evidence():
    found = [
        made_up([[6]], [1.0], [1.0], float(np.log(0.1))), made_up([[6, 7]], [1.0], [1.0], float(np.log(0.4)))
    ]  # fmt: skip
    weights = replace(filling.Weights(), prior=(0.6, 0.1, 0.1, 0.1, 0.1), evidence=1.0)
    assert np.exp(filling.lengths(weights, found)) == pytest.approx([0.6, 0.4])
    assert np.exp(filling.lengths(replace(weights, evidence=0.0), found)) == pytest.approx([6 / 7, 1 / 7])
    assert filling.choose_evidence([found] * 5, [2] * 5, weights).evidence == 1.2
    assert filling.choose_evidence([found] * 5, [1] * 5, weights).evidence == 0.0


def test_of_a_name_that_texts_never_have_context_only_says_that_it_is_rare():
    ink = np.log(np.array([[0.2, 0.2, 0.6]]))
    context = np.array([[np.log(0.9), np.log(0.1), np.nan]])
    p = np.exp(fusing.joined(ink, context, np.zeros(3), 1.0, 1.0, 0.0))
    assert p[0, 2] / (p[0, 0] + p[0, 1]) == pytest.approx(1.5 * np.exp(-fusing.RARE))
    assert p[0, 0] / p[0, 1] == pytest.approx(9)
    np.testing.assert_allclose(np.exp(fusing.joined(ink, context * np.nan, np.zeros(3), 1.0, 1.0, 0.0)), np.exp(ink))


def test_texts_given_as_records_have_nothing_to_do_with_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.atf").write_text("&P1 = a\n1. a-na szar3-ri\n")
    run = restoring.train_restorer(invented(20), replace(SPEC, epochs=1), out=tmp_path / "run", tasks=TASKS[:1])
    assert not (run.path / "readings.json.gz").exists()


def test_where_nothing_is_intact_nothing_is_watched(trained):
    _, model = trained
    none = restoring.Gaps([], [], [])
    assert restoring._watch(model.masked, none, bf16=False) == {"score": 0.0}
