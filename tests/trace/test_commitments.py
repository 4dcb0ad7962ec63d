"""Commitments: canonical JSON, what they hold and what they do not, and how parts of them are opened later."""

import base64
import hashlib
import hmac
import json
import math
import os
import random
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.core import sources
from edubba.core.errors import UserError
from edubba.trace import commitments, merkle
from edubba.trace.commitments import canonical, digest
from edubba.trace.keys import Key, SubKey

KEY = Key(bytes(range(32)), ("public", "alice", "bob", "reserve"), "2026-11-23T12:00:00+01:00")
CLASSES = ["cat", "dog", "émeu"]
CREATED = "2026-11-23T12:34:56+01:00"
ORIGINALS = [(f"{i:02d}.png", f"original {i}".encode()) for i in range(7)]
PUBLISHED = {**{f"{i:02d}.png": f"marked {i}".encode() for i in range(7)}, "labels.csv": b"file,label\n"}
TWINS = {f"{i:02d}.png": f"twin {i}".encode() for i in range(3)}


@pytest.fixture(autouse=True)
def one_version(monkeypatch):
    monkeypatch.setattr(commitments, "__version__", "1.2.3")


def first(key=KEY, **changes):
    given = {
        "classes": CLASSES, "originals": ORIGINALS, "networks": {"marker-0": b"weights"}, "created": CREATED,
        "configuration": {"r": 16, "alpha": 0.01, "ridge": 1e-3, "held out": {"every": 5}, "test": "white box"},
    }  # fmt: skip
    return commitments.first(key, **{**given, **changes})


def second(before, recipient="public", **changes):
    given = {"published": PUBLISHED, "twins": TWINS, "marked": 3, "quality": {"psnr": 42.5}, "created": CREATED}
    return commitments.second(before, key=KEY, recipient=recipient, **{**given, **changes})


# ---- canonical JSON


def test_the_example_of_rfc_8785():
    # section 3.2.2, and the order of keys of 3.2.3
    text = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    assert canonical(json.loads(text)).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        r'"string":"€$\u000f\nA'
        r"'B\"\\\\\"/"
        '"}'
    )
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    ordered = ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == ordered


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2**53, "\ud800", b"bytes", {1: 2}, {1, 2}])
def test_what_json_cannot_hold_is_refused(bad):
    with pytest.raises(ValueError, match=r"JCS|JSON|UTF-8|unsupported|keys"):
        canonical({"a": [bad]})


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(configuration=st.dictionaries(texts, values, max_size=4))
def test_any_configuration_comes_back(tmp_path_factory, configuration):
    document = first(configuration=configuration)
    path = tmp_path_factory.mktemp("c") / "commitment.json"
    commitments.write(path, document)
    read = commitments.read(path)
    assert read == document
    assert digest(read) == digest(document) == hashlib.sha256(path.read_bytes()).hexdigest()


# ---- the documents


def test_golden():
    # these digests are for ever: a timestamp of 2026 must fit what a later edubba computes
    before = first()
    assert digest(before) == "3fd20fcda168400e8ae33b34aa8ba1364f3af916b908342d00d5e99da6511aaa"
    assert digest(second(before)) == "2d5a951e8b537756ec5f0f05a087aa085ae19a76acc72248b865ddce07290573"
    opening = commitments.open_sub_key(KEY, "alice", classes=3)
    assert digest(opening) == "589cb8c59731fe0d5cca54cd43c18b3318da6e329f3c9e24c317444365248f0f"
    assert before["secret_sha256"] == hashlib.sha256(KEY.secret).hexdigest()
    assert (before["keys"], before["pictures"], before["stage"]) == (4, 7, "before marking")
    assert before["networks"] == {"marker-0": hashlib.sha256(b"weights").hexdigest()}


def test_the_order_of_files_does_not_matter_and_everything_else_does():
    before = first()
    shuffled = random.Random(0).sample(ORIGINALS, len(ORIGINALS))
    assert first(originals=shuffled) == first(originals=dict(ORIGINALS)) == before
    others = [
        first(originals=ORIGINALS[:-1]), first(originals=[*ORIGINALS[:-1], ("06.png", b"another")]),
        first(originals=[*ORIGINALS[:-1], ("07.png", ORIGINALS[-1][1])]), first(classes=CLASSES[::-1]),
        first(configuration={"r": 17}), first(networks={}), first(Key(bytes(32), KEY.recipients, KEY.created)),
        first(Key(KEY.secret, KEY.recipients[1:], KEY.created)), first(created="2027"),
    ]  # fmt: skip
    assert len({digest(document) for document in [before, *others]}) == 10


def test_no_secret_seed_or_salt_is_in_a_commitment():
    before = first()
    public = canonical(before) + canonical(second(before))
    secrets = [KEY.secret]
    for recipient in KEY.recipients:
        sub_key = KEY.sub_key(recipient, len(CLASSES))
        secrets += [bytes.fromhex(seed) for seed in [*sub_key.carrier, sub_key.coin]]
        secrets += [commitments.tree_salt(KEY, tree, recipient) for tree in ("published", "twins")]
        secrets += [commitments._own(KEY.salt("sub-keys"), recipient)]
    secrets += [KEY.salt("sub-keys"), commitments.tree_salt(KEY, "originals")]
    for secret in secrets:
        for shape in (secret, secret.hex().encode(), base64.b64encode(secret), str(list(secret)).encode()):
            assert shape not in public
    for name, content in ORIGINALS:
        assert name.encode() not in canonical(before)
        assert hashlib.sha256(content).hexdigest().encode() not in public


def test_the_clock_is_read_only_where_no_time_is_given():
    created = first(created=None)["created"]
    assert created[:2] == "20"
    assert created[-6] in "+-"


def test_a_second_commitment_follows_its_first():
    before, other = first(), first(created="2027")
    after = second(before)
    assert after["before"] == digest(before)
    assert (after["files"], after["twins"], after["marked"]) == (8, 3, 3)
    assert commitments.follows(after, before)
    assert not commitments.follows(after, other)
    assert not commitments.follows(after, after)
    assert not commitments.follows(before, before)
    assert second(before, "alice")["published_root"] != after["published_root"]
    with pytest.raises(UserError, match="no recipient 'eve'"):
        second(before, "eve")


def test_another_key_is_refused():
    before = first()
    commitments.check_key(before, KEY)
    with pytest.raises(UserError, match="not that of the commitment"):
        commitments.check_key(before, Key(bytes(32), KEY.recipients, KEY.created))
    with pytest.raises(UserError, match="recipients in the key file were changed"):
        commitments.check_key(before, Key(KEY.secret, ("public", "eve", "bob", "reserve"), KEY.created))
    with pytest.raises(UserError, match="not that of the commitment"):
        second(first(Key(bytes(32), KEY.recipients, KEY.created)))


# ---- files of commitments


def test_a_commitment_is_never_overwritten(tmp_path):
    path = tmp_path / "owner.trace" / "commitment.json"
    commitments.write(path, first())
    before = path.read_bytes()
    with pytest.raises(UserError, match="never overwritten"):
        commitments.write(path, first(created="2027"))
    assert path.read_bytes() == before


def test_damaged_newer_and_edited_files_are_named(tmp_path):
    path = tmp_path / "commitment.json"
    whole = canonical(first())

    def fault(content):
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            commitments.read(path)
        assert str(path) in str(error.value)
        return str(error.value)

    with pytest.raises(UserError, match="there is no commitment"):
        commitments.read(path)
    for broken in (b"", whole[:-1], b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}', b'{"a":' + b"9" * 5000 + b"}"):
        assert "damaged" in fault(broken)
    assert "has format None" in fault(b"[]")
    assert "has format 'edubba.run/1'" in fault(canonical({"format": "edubba.run/1"}))
    for newer in ("2", "10"):
        text = fault(canonical({**first(), "format": f"edubba.trace.commitment/{newer}", "stage": "after dinner"}))
        assert "written by a newer edubba" in text
    assert "stage 'after dinner'" in fault(canonical({**first(), "stage": "after dinner"}))
    assert "edited" in fault(json.dumps(first(), indent=1).encode())
    assert "edited" in fault(whole.replace(b'"keys":4', b'"keys":4,"keys":4'))
    assert "edited" in fault(whole.replace(b'"keys":4', b'"keys":4.0'))
    for name, value in [
        ("keys", "4"), ("keys", -1), ("keys", True), ("sub_keys_root", "aa"), ("classes", [1]), ("secret_sha256", None),
        ("originals_root", first()["originals_root"].upper()), ("configuration", []),
    ]:  # fmt: skip
        assert f"{name!r} is {value!r}" in fault(canonical({**first(), name: value}))
    assert "'before' is 'aa'" in fault(canonical({**second(first()), "before": "aa"}))
    path.write_bytes(whole + b"\n")  # an editor's last line end
    assert commitments.read(path) == first()


# ---- sub-keys


def test_the_root_of_sub_keys_by_hand():
    def mac(salt, content):
        return hmac.new(salt, content, "sha256").digest()

    level = []
    for name in KEY.recipients:
        seeds = [KEY.sub_key(name, 3).carrier[k] for k in range(3)] + [KEY.sub_key(name, 3).coin]
        content = hashlib.sha256("|".join([name, *seeds]).encode()).digest()
        own = mac(mac(mac(b"edubba-trace-v1", KEY.secret), b"salt|sub-keys\x01"), name.encode())
        level.append(hashlib.sha256(b"\x00" + mac(own, name.encode() + b"\x00" + content)).digest())
    a, b, c, d = level
    left, right = hashlib.sha256(b"\x01" + a + b).digest(), hashlib.sha256(b"\x01" + c + d).digest()
    assert first()["sub_keys_root"] == hashlib.sha256(b"\x01" + left + right).hexdigest()


@pytest.mark.parametrize("recipient", KEY.recipients)
def test_a_sub_key_is_opened_alone(recipient):
    before = first()
    opening = json.loads(json.dumps(commitments.open_sub_key(KEY, recipient, classes=3)))
    assert commitments.check_sub_key(before, opening)
    assert SubKey(opening["recipient"], opening["carrier"], opening["coin"]) == KEY.sub_key(recipient, 3)
    shown = json.dumps(opening)
    hidden = [KEY.secret, KEY.salt("sub-keys")]
    for other in set(KEY.recipients) - {recipient}:
        sub_key = KEY.sub_key(other, 3)
        # neither its seeds, nor its hash, nor the salt with which a guess of it could be tested
        hidden += [bytes.fromhex(seed) for seed in [*sub_key.carrier, sub_key.coin, sub_key.sha256]]
        hidden += [commitments._own(KEY.salt("sub-keys"), other)]
    assert not [secret for secret in hidden if secret.hex() in shown]
    with pytest.raises(UserError, match="no recipient"):
        commitments.open_sub_key(KEY, "eve", classes=3)


def test_a_forged_sub_key_is_refused():
    before = first()
    opening = commitments.open_sub_key(KEY, "alice", classes=3)
    bob = commitments.open_sub_key(KEY, "bob", classes=3)
    zero = "00" * 32
    forged = [
        {**opening, "recipient": "bob"}, {**opening, "coin": zero}, {**opening, "salt": zero}, {**opening, "index": 2},
        {**opening, "carrier": [zero, *opening["carrier"][1:]]}, {**opening, "carrier": opening["carrier"][::-1]},
        {**opening, "proof": [zero, *opening["proof"][1:]]}, {**opening, "proof": bob["proof"]}, {**bob, "index": 1},
        {**opening, "proof": opening["proof"][:-1]}, {**opening, "index": 9}, {**opening, "index": -1},
        commitments.open_sub_key(Key(bytes(32), KEY.recipients, KEY.created), "alice", classes=3),
        commitments.open_sub_key(KEY, "alice", classes=2), commitments.open_sub_key(KEY, "alice", classes=4),
        # the same joined text, cut elsewhere
        {**opening, "recipient": f"alice|{opening['carrier'][0]}", "carrier": opening["carrier"][1:]},
    ]  # fmt: skip
    assert [check for check in forged if commitments.check_sub_key(before, check)] == []
    assert not commitments.check_sub_key(second(before), opening)
    assert not commitments.check_sub_key(first(created="2027", classes=CLASSES[:2]), opening)
    assert not commitments.check_sub_key({**before, "keys": 5}, opening)
    # a sub-key for fewer classes than the commitment names
    short = commitments.open_sub_key(KEY, "alice", classes=2)
    assert commitments.check_sub_key(first(classes=CLASSES[:2]), short)
    assert not commitments.check_sub_key({**first(classes=CLASSES[:2]), "classes": CLASSES}, short)


@pytest.mark.parametrize("field", ["recipient", "carrier", "coin", "index", "salt", "proof"])
@pytest.mark.parametrize("value", [None, 1.5, "zz" * 32, "\ud800", [None], {}, True])
def test_nonsense_in_an_opening_is_no_error(field, value):
    before = first()
    opening = commitments.open_sub_key(KEY, "alice", classes=3)
    assert not commitments.check_sub_key(before, {**opening, field: value})
    assert not commitments.check_sub_key(before, {name: opening[name] for name in opening if name != field})
    assert not commitments.check_sub_key(before, value)
    shown = commitments.prove_file(commitments.hashes(ORIGINALS), "00.png", salt=KEY.salt("originals"))
    if field in shown:
        assert not commitments.check_file(before, "originals", {**shown, field: value}, b"original 0")


# ---- files


def test_leaves_are_those_of_merkle_salted():
    own = commitments._own(b"salt", "a.png")
    leaf = merkle.salted_hash(own, "a.png", hashlib.sha256(b"pixels").hexdigest())
    assert leaf == merkle.salted(own, "a.png", b"pixels")
    root = commitments.tree_root({"a.png": hashlib.sha256(b"pixels").hexdigest()}, salt=b"salt")
    assert root == merkle.root([leaf]).hex()
    sealed = commitments.hashes(ORIGINALS)
    turned = dict(reversed(sealed.items()))
    assert commitments.tree_root(turned, salt=b"salt") == commitments.tree_root(sealed, salt=b"salt")


@pytest.mark.parametrize(("tree", "recipient", "contents"), [
    ("originals", None, dict(ORIGINALS)), ("published", "public", PUBLISHED), ("twins", "public", TWINS),
])  # fmt: skip
def test_a_file_is_proved_alone(tree, recipient, contents):
    before = first()
    after = second(before)
    document, other = (before, after) if tree == "originals" else (after, before)
    sealed = commitments.hashes(contents)
    salt = commitments.tree_salt(KEY, tree, recipient)
    for name, content in contents.items():
        opening = json.loads(json.dumps(commitments.prove_file(sealed, name, salt=salt)))
        assert commitments.check_file(document, tree, opening, content)
        assert commitments.check_file(document, tree, opening, hashlib.sha256(content).hexdigest())
        assert not commitments.check_file(document, tree, opening, content + b"!")
        assert not commitments.check_file(document, tree, {**opening, "name": "other.png"}, content)
        assert not commitments.check_file(document, tree, {**opening, "index": opening["index"] + 1}, content)
        assert not commitments.check_file(other, tree, opening, content)
        assert salt.hex() not in json.dumps(opening)
        assert not [h for n, h in sealed.items() if n != name and h in json.dumps(opening)]
    assert not commitments.check_file(document, tree, opening, next(iter(contents.values())))
    with pytest.raises(UserError, match="not among the"):
        commitments.prove_file(sealed, "none.png", salt=salt)


def test_salts_differ_by_tree_and_recipient():
    salts = [commitments.tree_salt(KEY, "originals"), KEY.salt("sub-keys")]
    salts += [commitments.tree_salt(KEY, tree, r) for tree in ("published", "twins") for r in KEY.recipients]
    assert len(set(salts)) == 10
    for tree, recipient in (("originals", "public"), ("twins", None)):
        with pytest.raises(ValueError, match="recipient"):
            commitments.tree_salt(KEY, tree, recipient)


def tree(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_published_folder_is_checked_by_name(tmp_path):
    contents = {"a/1.png": b"1", "a/2.png": b"2", "b/3.png": b"3", "labels.csv": b"file,label\n", "README.md": b"hello"}
    folder = tree(tmp_path / "published", contents)
    after = second(first(), published=commitments.files_of(folder))
    salt = commitments.tree_salt(KEY, "published", "public")
    sealed = json.loads(json.dumps(commitments.hashes(commitments.files_of(folder))))
    assert after["files"] == 5
    assert second(first(), published=contents) == after

    def check():
        return commitments.check_folder(after, folder, sealed=sealed, salt=salt)

    assert not any(check())
    tree(folder, {".DS_Store": b"", "a/Thumbs.db": b"", ".git/config": b""})
    assert not any(check())
    tree(folder, {"labels.csv": b"file,label,more\n", "c/4.png": b"4", "a/2.png": b"two"})
    (folder / "b/3.png").unlink()
    assert check() == (["b/3.png"], ["c/4.png"], ["a/2.png", "labels.csv"])
    for wrong in ({**sealed, "b/3.png": "00" * 32}, {**sealed, "b/3.png": "zz"}, {**sealed, "\ud800": "00" * 32}, {}):
        with pytest.raises(UserError, match="not that of the commitment"):
            commitments.check_folder(after, folder, sealed=wrong, salt=salt)
    with pytest.raises(UserError, match="not that of the commitment"):
        commitments.check_folder(after, folder, sealed=sealed, salt=bytes(32))
    with pytest.raises(UserError, match="there is no folder"):
        commitments.check_folder(after, tmp_path / "none", sealed=sealed, salt=salt)


def test_pictures_are_found_as_core_finds_them(tmp_path):
    folder = tree(tmp_path / "f", {"b/1.png": b"1", "a.png": b"a", ".hidden/x.png": b"x", "notes.txt": b"n"})
    outside = tree(tmp_path / "outside", {"2.png": b"2"})
    (folder / "0link").symlink_to(outside, target_is_directory=True)
    (folder / "0b").symlink_to(folder / "b", target_is_directory=True)
    (folder / "b/loop").symlink_to(folder, target_is_directory=True)
    (folder / "c.png").symlink_to(folder / "a.png")
    found = commitments.files_of(folder)
    assert set(found) == {*sources.Folder(folder).names, "notes.txt"}
    assert set(found) == {"0link/2.png", "a.png", "b/1.png", "c.png", "notes.txt"}
    assert commitments.hashes(found)["c.png"] == hashlib.sha256(b"a").hexdigest()
    (folder / "dead.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"dead\.png is a dead link"):
        commitments.files_of(folder)


def test_names_are_hashed_in_one_form(tmp_path):
    composed, decomposed = unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")
    assert composed != decomposed
    assert commitments.hashes({composed: b"1"}) == commitments.hashes({decomposed: b"1"})
    with pytest.raises(UserError, match=r"two files are called 'é\.png'"):
        commitments.hashes({composed: b"1", decomposed: b"1"})
    with pytest.raises(UserError, match="two files are called"):
        commitments.hashes([("a", b"1"), ("a", b"1")])
    with pytest.raises(UserError, match="no Unicode"):
        commitments.hashes({os.fsdecode(b"\xff.png"): b"1"})
    sealed = commitments.hashes({composed: b"1"})
    assert commitments.prove_file(sealed, decomposed, salt=b"salt")["name"] == composed
    names = ["z", "ä", "\uffff", "\U0001f600", "a", "A"]
    assert list(commitments.hashes(dict.fromkeys(names, b""))) == sorted(names, key=str.encode)


def test_large_files_are_not_read_whole(tmp_path):
    path = tmp_path / "video.mp4"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    sha256 = commitments.hashes({"video.mp4": path})["video.mp4"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sha256 == hashlib.sha256(bytes(64 << 20)).hexdigest()
    assert peak < 4 << 20


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    folder = tree(tmp_path / "f", {"a/1.png": b"1"})
    found = commitments.files_of(folder)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(type(folder), "open", refuse)  # chmod does not stop root
    with pytest.raises(UserError, match=r"1\.png may not be read"):
        commitments.hashes(found)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="f may not be read"):
        commitments.files_of(folder)


def test_a_path_as_text_is_not_taken_for_a_hash():
    with pytest.raises(ValueError, match="give a file as a Path"):
        commitments.hashes({"a": "photos/a.png"})
