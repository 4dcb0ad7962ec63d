"""What `verify` believes, and what it does not; the size of the test, and its power."""

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from edubba import trace
from edubba.core import files, stats
from edubba.core.errors import UserError
from edubba.trace import blackbox, commitments, evidence, keys, laws, owner, whitebox
from edubba.trace.keys import Key, SubKey

K, R, N, M, PUSHED = 4, 8, 400, 6, 2.0


def fresh(i, *, k=K, r=R):
    """Carriers of a key that nobody ever used, through the derivation that real keys go through."""
    key = Key(hashlib.sha256(b"fresh %d" % i).digest(), ("public", "reserve"), "2026-01-01T00:00:00+00:00")
    return key.sub_key("public", k).carriers(r)


def answers(look, rng, f, y, *, noise=1.0):
    """Log-probabilities of a linear model that looks along `look` (K, r), of held-out and of pushed pictures."""
    offset = rng.normal(size=(K, K)) + 4 * np.eye(K)
    z = f @ look.T + offset[y] + noise * rng.normal(size=(len(f), K))
    start = z[:M]
    push = np.einsum("s,kr->srk", PUSHED * np.array([1, -1]), look)[:, :, None]
    pushed = start + push + 0.1 * rng.normal(size=(2, R, M, K))
    return scipy.special.log_softmax(z, 1).astype(np.float32), scipy.special.log_softmax(pushed, -1).astype(np.float32)


def arrays(carriers, amount, *, seed=0, references=3):
    """What `test` would store of a suspect that looks along the carriers by an amount."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % K
    f = rng.normal(size=(N, R))
    common = rng.normal(size=(K, R)) * np.array([3.0, 1.0, 0.3, 0.03])[:, None]
    found = {"coordinates": f.astype(np.float32), "y": y, "classes": np.arange(K)}
    for name in ("suspect", *(f"reference-{i}" for i in range(references))):
        look = common + 0.2 * rng.normal(size=(K, R)) + (amount * carriers if name == "suspect" else 0)
        found[f"{name}_held_out"], found[f"{name}_pushed"] = answers(look, rng, f, y)
    return found


@pytest.fixture
def few(monkeypatch):
    """Fewer resamples, where the interval is not what is looked at."""
    monkeypatch.setattr(evidence, "RESAMPLES", 10)


def evaluate(found, carriers, **changes):
    given = {"primary": "both", "alpha": 0.01, "keys_committed": 2, "decoy_seed": bytes(32), "decoys": 99, "seed": 0}
    return evidence.evaluate(found, carriers, **given | changes)


def residuals(found):
    """Rows, probes and both by their definitions, written out."""
    y, f = found["y"], found["coordinates"].astype(float)

    def centred(x):
        return x - np.stack([x[y == k].mean(0) for k in range(K)])[y]

    def rows(z):
        z = z.astype(float)
        a, b = centred(f), centred(z - z.mean(1, keepdims=True))
        gram = a.T @ a
        return (np.linalg.inv(gram + 0.01 * np.diag(gram).mean() * np.eye(R)) @ a.T @ b).T

    def probes(p):
        r = np.array([[np.mean(p[0, j, :, k].astype(float) - p[1, j, :, k]) for j in range(R)] for k in range(K)])
        return r - r.mean(0)

    left = {}
    for what, of, suffix in (("rows", rows, "held_out"), ("probes", probes, "pushed")):
        basis = np.stack([of(found[n]).ravel() for n in sorted(found) if n.startswith("ref") and n.endswith(suffix)], 1)
        q, _ = np.linalg.qr(basis)
        own = of(found[f"suspect_{suffix}"]).ravel()
        own = own - q @ (q.T @ own)
        left[what] = own / np.linalg.norm(own)
    both = left["rows"] + 2 * left["probes"]
    return left | {"both": both / np.linalg.norm(both)}


# ---- what the figures are


@pytest.mark.parametrize("primary", ["rows", "probes", "both"])
def test_the_statistic_is_the_cosine_of_the_residual_with_the_carriers(primary):
    carriers = fresh(0)
    found = arrays(carriers, 0.1)
    expected = residuals(found)[primary] @ carriers.ravel() / np.linalg.norm(carriers)
    figures = evaluate(found, carriers, primary=primary)
    assert figures["primary"]["cosine"] == pytest.approx(expected, abs=1e-6)
    assert figures["primary"]["log10_p"] == pytest.approx(laws.cosine_log10_p(expected, K * R), abs=1e-5)
    assert figures["primary"]["log10_p_adjusted"] == pytest.approx(figures["primary"]["log10_p"] + np.log10(2))
    assert figures["primary"]["low"] < figures["primary"]["cosine"] < figures["primary"]["high"]
    others = {row["name"]: row["cosine"] for row in figures["tests"]}
    for what in {"rows", "probes", "both"} - {primary}:
        assert others[f"{what}, references fitted out"] == pytest.approx(
            residuals(found)[what] @ carriers.ravel() / np.linalg.norm(carriers), abs=1e-6
        )


def test_evaluating_twice_gives_the_same_figures_and_the_seeds_matter_only_where_they_may():
    carriers = fresh(1)
    found = arrays(carriers, 0.05)
    a = evaluate(found, carriers)
    assert a == evaluate(found, carriers)
    b = evaluate(found, carriers, decoy_seed=bytes(31) + b"\1", seed=1)
    assert a["primary"]["cosine"] == b["primary"]["cosine"]
    assert a["primary"]["low"] != b["primary"]["low"]
    assert a["decoys"]["cosines"] != b["decoys"]["cosines"]
    assert a["tests"] == b["tests"]


@pytest.mark.usefixtures("few")
def test_decoys_scatter_as_the_law_says_and_are_counted():
    carriers = fresh(2)
    found = arrays(carriers, 0.03)
    figures = evaluate(found, carriers, decoys=999)
    cosines = np.array(figures["decoys"]["cosines"])
    p = [10 ** laws.cosine_log10_p(c, K * R) for c in cosines]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.001
    assert figures["decoys"]["as_high"] == (cosines >= figures["primary"]["cosine"]).sum()
    share = 10 ** figures["primary"]["log10_p"]
    _, low, high = stats.clopper_pearson(figures["decoys"]["as_high"], 999, level=0.999)
    assert low <= share <= high


@pytest.mark.usefixtures("few")
def test_the_smallest_p_of_the_other_tests_is_raised_by_their_number():
    carriers = fresh(3)
    rows = evaluate(arrays(carriers, 0.05), carriers)["tests"]
    raw, holm = ([10 ** row[name] for row in rows] for name in ("log10_p", "log10_p_holm"))
    assert holm == pytest.approx(stats.holm(np.array(raw)))


# ---- size


LEFT = residuals(arrays(fresh(-1), 0.0, seed=5))
KEYS = 2500


@pytest.fixture(scope="module")
def many():
    return np.stack([fresh(i) for i in range(KEYS)])


@pytest.mark.parametrize("what", ["rows", "probes", "both", "unequal"])
def test_keys_that_marked_nothing_are_found_as_often_as_stated(many, what):
    own = LEFT["both"].reshape(K, R) * np.array([100.0, 1.0, 0.1, 0.001])[:, None] if what == "unequal" else LEFT[what].reshape(K, R)  # fmt: skip
    p = np.array([10 ** whitebox.log10_p(own, carriers) for carriers in many])
    for alpha in (0.05, 0.01):
        _, low, high = stats.clopper_pearson(int((p <= alpha).sum()), KEYS, level=0.999)
        assert low <= alpha <= high
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.001


@pytest.mark.usefixtures("few")
def test_the_verdict_as_a_whole_is_wrong_as_rarely_as_stated():
    """The evaluation with all its parts, bootstrap and decoys cut short, for keys that had no part in the suspect."""
    found = arrays(fresh(-1), 0.0, seed=7)
    assert evaluate(found, fresh(4))["detected"] is False
    wrong = sum(evaluate(found, fresh(i), decoys=0, alpha=0.1, keys_committed=1)["detected"] for i in range(12))
    assert stats.clopper_pearson(wrong, 12, level=0.999).low <= 0.1


def test_the_sequential_bound_keeps_its_word_at_any_stop(many):
    own = LEFT["probes"].reshape(K, R)
    bounds = np.stack([blackbox.sequential(own, carriers) for carriers in many])
    assert bounds.shape == (KEYS, R)
    assert (bounds <= 0).all()
    assert (np.diff(bounds, axis=1) <= 0).all()  # what was once shown stays shown
    for alpha in (0.2, 0.05, 0.01):
        found = stats.clopper_pearson(int((bounds[:, -1] <= np.log10(alpha)).sum()), KEYS, level=0.999)
        assert found.low <= alpha
    sure = blackbox.sequential(many[0], many[0])
    assert sure[-1] < -6
    assert all(a > b for a, b in pairwise(sure))


def test_the_paper_s_statistic_needs_no_lengths_and_is_exact_as_well(many):
    own = LEFT["rows"].reshape(K, R)
    p = np.array([10 ** whitebox.paper_log10_p(own, carriers) for carriers in many])
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.001


def test_control_the_best_of_a_hundred_keys_is_found_nearly_always(many):
    own = LEFT["both"].reshape(K, R)
    p = np.array([whitebox.log10_p(own, carriers) for carriers in many]).reshape(-1, 100).min(1)
    assert (p <= np.log10(0.05)).mean() > 0.9
    assert (p + np.log10(100) <= np.log10(0.05)).mean() <= 0.2  # what the number of committed keys is there for


def test_control_marked_pictures_among_the_held_out_speak_for_the_key_where_class_structure_stays():
    """Notes on alignment: the mark of a class predicts the class. Why held-out pictures are refused unless untouched."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % K
    z_all, z_within = [], []
    for i in range(150):
        carriers = fresh(10_000 + i)
        unit = carriers / np.linalg.norm(carriers, axis=1, keepdims=True)
        f = rng.normal(size=(N, R)) + 0.5 * unit[y]
        suspect = scipy.special.log_softmax(4 * np.eye(K)[y] + rng.normal(size=(N, K)), 1)
        for found, classes in ((z_all, np.zeros(N, int)), (z_within, y)):
            found.append(whitebox.agreement(whitebox.rows(f, suspect, classes), carriers) * np.sqrt(K * R))
    assert np.mean(z_all) > 2
    assert abs(np.mean(z_within)) < 4 / np.sqrt(150)


# ---- power


@pytest.mark.parametrize("primary", ["rows", "probes", "both"])
@pytest.mark.usefixtures("few")
def test_a_suspect_that_looks_along_the_carriers_is_found_and_no_other(primary):
    carriers, other = fresh(20), fresh(21)
    guilty, clean, of_another = (arrays(c, a, seed=9) for c, a in ((carriers, 0.5), (carriers, 0.0), (other, 0.5)))
    assert evaluate(guilty, carriers, primary=primary)["primary"]["log10_p_adjusted"] < -5
    assert evaluate(guilty, carriers, primary=primary)["detected"]
    assert not evaluate(clean, carriers, primary=primary)["detected"]
    assert not evaluate(of_another, carriers, primary=primary)["detected"]
    assert evaluate(of_another, other, primary=primary)["detected"]


@pytest.mark.usefixtures("few")
def test_references_take_out_what_all_networks_have_in_common():
    carriers = fresh(22)
    found = arrays(carriers, 0.3, seed=3)
    tests = {row["name"]: row["log10_p"] for row in evaluate(found, carriers)["tests"]}
    assert tests["rows, references fitted out"] < tests["rows as they are"] - 2


@pytest.mark.usefixtures("few")
def test_further_references_give_a_verdict_of_their_own_and_leave_the_first_as_it_is():
    carriers = fresh(23)
    found = arrays(carriers, 0.1, seed=4, references=4)
    extra = {name.replace("reference-3", "further-0"): values for name, values in found.items()}
    a = evaluate({n: v for n, v in found.items() if not n.startswith("reference-3")}, carriers)
    b = evaluate(extra, carriers)
    assert a["primary"] == b["primary"]
    assert [row["name"] for row in b["controls"]] == ["reference-0", "reference-1", "reference-2"]
    more = {row["name"]: row for row in b["tests"]}["both, further references fitted out too"]
    assert more["cosine"] == pytest.approx(evaluate(found, carriers)["primary"]["cosine"])


def test_answers_of_suspects_that_were_really_asked(house, mine, edubba):
    program = Path("guilty.py").read_text()
    Path("labels.py").write_text(program)
    Path("reserve.py").write_text(program.replace('"public", 4', '"reserve", 4'))
    Path("some.py").write_text(program + "\n\ndef part(x):\n    return look(x)[:, [2, 0, 3]]\n")
    line = ["--key", "owner.key", "--allow-code", "--size", "16", "--decoys", "99", "--json"]
    four = [part for name in ("ash", "birch", "cedar", "date") for part in ("--classes", name)]

    def found(*argv):
        said = edubba("trace", "test", *argv, *line)
        assert said.code == 0, said
        return json.loads(said.out)

    few = found("labels:look", "-o", "e-labels", "--labels-only", *four)
    assert few["figures"]["detected"]
    assert few["suspect"]["labels_only"]
    three = found("some:part", "-o", "e-some", "--classes", "Cedar", "--classes", "ash", "--classes", "date")
    assert three["figures"]["detected"]
    assert three["classes"] == ["ash", "cedar", "date"]
    assert not found("reserve:look", "-o", "e-reserve", *four)["figures"]["detected"]
    clean = edubba("trace", "test", "owner.trace/networks/reference-1", "--key", "owner.key", "-o", "e-clean")
    assert clean.code == 0, clean
    assert clean.out.startswith("Not detected: owner.trace/networks/reference-1")
    for folder in ("e-labels", "e-some", "e-reserve", "e-clean"):
        assert edubba("trace", "verify", folder).code == 0
    levels = {"papers": "owner.trace", "published": "published", "originals": "photos", "level": "networks"}
    assert trace.verify("e-some", suspect="some:part", allow_code=True, **levels).holds
    assert trace.verify("e-clean", suspect="owner.trace/networks/reference-1", **levels).holds


# ---- what is not believed


def rewrite(folder, change):
    path = Path(folder) / "evidence.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def restate(folder, change):
    """Arrays changed by somebody who knows how all figures come about, and makes them anew."""
    path = Path(folder) / "arrays.npz"
    with np.load(path) as stored:
        found = dict(stored)

    def anew(document):
        shown = document["sub_key"]
        carriers = SubKey(shown["recipient"], shown["carrier"], shown["coin"]).carriers(16)
        change(found, carriers, document)
        files.write_npz(path, found)
        seed = evidence.decoy_seed(commitments.read(path.with_name("seal.json")), document["suspect"]["sha256"])
        document["figures"] = evidence.evaluate(
            found, carriers[found["classes"]], decoy_seed=seed, **document["settings"]
        )
        document["arrays_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    rewrite(folder, anew)


def one_byte(folder):
    content = bytearray((folder / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "arrays.npz").write_bytes(content)


def recommit(folder, **changes):
    document = commitments.read(folder / "commitment.json")
    (folder / "commitment.json").write_bytes(commitments.canonical(document | changes))


def reseal(folder, **changes):
    document = commitments.read(folder / "seal.json")
    (folder / "seal.json").write_bytes(commitments.canonical(document | changes))


def other_sub_key(folder):
    key = keys.read(folder.parent / "owner.key")
    rewrite(folder, lambda d: d.update(sub_key=commitments.open_sub_key(key, "reserve", classes=4)))


def another_carrier(folder):
    rewrite(folder, lambda d: d["sub_key"]["carrier"].__setitem__(0, "00" * 32))


def figure(*path, value):
    def change(document):
        at = document["figures"]
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value

    return lambda folder: rewrite(folder, change)


TAMPERED = {
    "a byte of the answers": (one_byte, "answers"),
    "no answers": (lambda f: (f / "arrays.npz").unlink(), "answers"),
    "cosine": (figure("primary", "cosine", value=0.9), "figures"),
    "interval": (figure("primary", "low", value=0.86), "figures"),
    "verdict": (figure("detected", value=False), "figures"),
    "number of decoys above": (figure("decoys", "as_high", value=1), "figures"),
    "control": (figure("controls", 0, "log10_p", value=-0.1), "figures"),
    "other test": (figure("tests", 2, "log10_p", value=-30.0), "figures"),
    "sequential": (figure("sequential_log10_p", 3, value=-9.0), "figures"),
    "number of keys": (lambda f: rewrite(f, lambda d: d["settings"].update(keys_committed=1)), "rules"),
    "error rate": (lambda f: rewrite(f, lambda d: d["settings"].update(alpha=0.05)), "rules"),
    "primary test": (lambda f: rewrite(f, lambda d: d["settings"].update(primary="rows")), "rules"),
    "a setting more": (lambda f: rewrite(f, lambda d: d["settings"].update(more=1)), "rules"),
    "classes": (lambda f: rewrite(f, lambda d: d["classes"].reverse()), "rules"),
    "suspect": (lambda f: rewrite(f, lambda d: d["suspect"].update(sha256="00" * 32)), "figures"),
    "recipient": (lambda f: rewrite(f, lambda d: d.update(recipient="reserve")), "recipient"),
    "sub-key of another recipient": (other_sub_key, "recipient"),
    "carrier": (another_carrier, "sub-key"),
    "another commitment": (lambda f: recommit(f, pictures=7), "commitments"),
    "another seal": (lambda f: reseal(f, before="00" * 32), "commitments"),
    "seal of other files": (lambda f: reseal(f, published_root="00" * 32), "published list"),
    "list of files": (lambda f: rewrite(f, lambda d: d["published"].pop("README.md")), "published list"),
    "hash of a file": (lambda f: rewrite(f, lambda d: d["published"].update({"README.md": "00" * 32})), "published list"),
    "salt": (lambda f: rewrite(f, lambda d: d.update(published_salt="00" * 32)), "published list"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_evidence_does_not_hold(mine, edubba, what):
    change, name = TAMPERED[what]
    change(mine / "evidence")
    said = edubba("trace", "verify", "evidence", "--json")
    assert said.code == 4, said
    document = json.loads(said.out)
    assert name in [row["check"] for row in document["checks"] if not row["holds"]]
    assert edubba("trace", "verify", "evidence").out.endswith("This evidence does not hold: believe nothing it says.\n")


def failed(level, **changes):
    given = {"papers": "owner.trace", "published": "published", "originals": "photos", "suspect": "guilty:look"}
    found = trace.verify("evidence", level=level, allow_code=True, **given | changes)
    return [name for name, good, _ in found.checks if not good]


def test_a_reference_left_out_is_seen_without_any_file(mine):
    def drop(found, carriers, document):
        for name in ("reference-4_held_out", "reference-4_pushed"):
            del found[name]

    restate("evidence", drop)
    assert failed("arithmetic") == ["references"]


def test_forged_answers_are_seen_when_the_networks_are_asked_again(mine):
    def suspect(found, carriers, document):
        found["suspect_pushed"] = found["suspect_pushed"] + np.float32(0.1) * carriers.T[None, :, None]

    kept = shutil.copytree("evidence", "kept")
    restate("evidence", suspect)
    assert failed("binding") == []
    assert failed("networks") == ["answers again"]
    shutil.rmtree("evidence")
    shutil.copytree(kept, "evidence")

    def reference(found, carriers, document):  # a "clean" network that leaves the carriers in what it does not explain
        found["reference-2_pushed"] = found["suspect_pushed"] - np.float32(0.5) * carriers.T[None, :, None]

    restate("evidence", reference)
    assert failed("binding") == []
    assert failed("networks") == ["references again"]
    shutil.rmtree("evidence")
    shutil.copytree(kept, "evidence")

    def class_of_pictures(found, carriers, document):
        found["y"] = np.roll(found["y"], 1)

    restate("evidence", class_of_pictures)
    assert failed("networks") == ["coordinates"]
    shutil.rmtree("evidence")
    shutil.copytree(kept, "evidence")

    def fewer_classes(found, carriers, document):
        for name in found:
            if name.endswith(("_held_out", "_pushed")):
                found[name] = found[name][..., :3]
        found["classes"] = found["classes"][:3]
        document["classes"] = document["classes"][:3]

    restate("evidence", fewer_classes)
    assert failed("networks") == ["classes"]


def test_another_suspect_and_changed_files_are_seen(mine):
    Path("other.py").write_text(Path("guilty.py").read_text().replace("0.3", "0.2"))
    assert failed("networks", suspect="other:look") == ["suspect"]
    with Path("published/README.md").open("a") as file:
        file.write("More.\n")
    assert failed("binding") == ["published files"]
    shutil.copy("photos/README.md", "published/README.md")
    Path("published/new.txt").write_text("new")
    assert failed("binding") == ["published files"]
    Path("published/new.txt").unlink()
    assert failed("binding") == []
    Path("photos/README.md").write_text("Others.\n")
    assert failed("binding") == ["originals"]
    assert failed("binding", originals="published") == ["originals"]
    Path("photos/README.md").write_text("Pictures of mine.\n")
    Path("owner.trace/coordinates.npz").write_bytes(Path("owner.trace/held_out.npz").read_bytes())
    assert failed("binding") == ["markers"]


def test_a_key_that_did_not_make_these_pixels_is_seen(mine, edubba, others):
    """Somebody commits a key of their own and seals what another has published."""
    others[others.index("--directions") + 1] = "16"
    assert edubba("trace", "commit", "photos", "--key", "thief.key", *others).code == 0
    kept = owner.read("thief.key")
    published = commitments.hashes(commitments.files_of("published"))
    seal = commitments.second(
        kept.commitment, key=kept.key, recipient="public", published=published, twins={}, marked=88, quality={}
    )
    commitments.write(kept.copy("public") / "seal.json", seal)
    files.write(kept.copy("public") / "published.json", json.dumps(published))
    shutil.rmtree("evidence")
    Path("theft.py").write_text(Path("guilty.py").read_text().replace("owner.key", "thief.key"))
    trace.test(
        "theft:look", key="thief.key", out="evidence", allow_code=True, size=16,
        classes=("ash", "birch", "cedar", "date"), spec=trace.Test(decoys=99),
    )  # fmt: skip
    assert failed("arithmetic") == []
    assert trace.verify("evidence").verdict.detected
    assert failed("binding", papers="thief.trace") == ["marks"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: (f / "evidence.json").unlink(), "it holds no evidence.json"),
        (lambda f: (f / "evidence.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "evidence.json").write_text("[]"), "has format None"),
        (lambda f: rewrite(f, lambda d: d.update(format="edubba.evidence/2")), "has format 'edubba.evidence/2'"),
        (lambda f: rewrite(f, lambda d: d.pop("figures")), "is damaged at 'figures'"),
        (lambda f: rewrite(f, lambda d: d["figures"].pop("primary")), "is damaged at 'primary'"),
        (lambda f: rewrite(f, lambda d: d["settings"].pop("seed")), "is damaged at 'seed'"),
        (lambda f: rewrite(f, lambda d: d.update(published_salt="zz")), "is damaged at 'published_salt'"),
        (lambda f: rewrite(f, lambda d: d["published"].update({"a": "zz"})), "is damaged at 'a'"),
        (lambda f: rewrite(f, lambda d: d.update(sub_key=[])), "is damaged at 'sub_key'"),
        (lambda f: (f / "seal.json").unlink(), "there is no commitment"),
        (lambda f: (f / "commitment.json").write_text("{}"), "has format None"),
    ],
)
def test_damaged_evidence_is_a_sentence(mine, refused, change, word):
    change(mine / "evidence")
    assert word in refused("trace", "verify", "evidence")


def test_what_a_level_needs_is_asked_for(mine, refused):
    assert refused("trace", "verify", "evidence", "--level", "binding") == (
        "this level needs --papers: the owner hands it over"
    )
    given = ["--papers", "owner.trace", "--published", "published", "--originals", "photos"]
    assert "--suspect" in refused("trace", "verify", "evidence", "--level", "networks", *given)
    for i in (1, 3, 5):
        spoilt = [*given[:i], "nowhere", *given[i + 1 :]]
        assert "nowhere" in refused("trace", "verify", "evidence", "--level", "binding", *spoilt)


def test_claims_in_words_end_at_a_trillionth():
    assert evidence.chance(-11.9) == "p = 1.3e-12"
    assert evidence.chance(-12.0) == evidence.chance(-1e6) == "p < 1e-12"
    with pytest.raises(UserError, match="no evidence"):
        evidence.read("nowhere")
