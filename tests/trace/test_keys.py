"""Keys and Merkle trees: golden streams, RFC vectors, files that only their owner may read."""

import hashlib
import hmac
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edubba.core.errors import UserError
from edubba.trace import keys, merkle

SECRET = bytes(range(32))


def test_streams_are_golden():
    seed = keys.derive(SECRET, "carrier|recipient=public|class=0")
    assert seed.hex() == "1c21fc21d7d7625ea05804b2910eb4487bb1a7697eefc4085f15fbe869ce2601"
    g = keys.normal(seed, 64)
    first = [-0.5174363851784991, 0.3190030558801351, 2.932686960605205, 0.9118640652480442, -0.43844884276866763]
    assert g[:5] == pytest.approx(first, rel=1e-14)
    assert np.linalg.norm(g) == pytest.approx(8.458893307917435, rel=1e-14)
    seed = keys.derive(SECRET, "coin|recipient=public")
    assert seed.hex() == "8373ab45a0b73628ab8e9c7121b85377458dae28a28da4d6ff3d41711f3a74bb"
    assert "".join(map(str, keys.coins(seed, 32))) == "01100011011010010100111101011111"
    assert keys.coins(seed, 11).tolist() == keys.coins(seed, 32)[:11].tolist()


def test_hkdf_is_that_of_rfc_5869():
    # appendix A.1, its first 32 bytes
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    salt = bytes.fromhex("000102030405060708090a0b0c")
    prk = hmac.digest(salt, b"\x0b" * 22, "sha256")
    okm = hmac.digest(prk, info + b"\x01", "sha256")
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert keys.derive(b"\x0b" * 22, "abc", salt=salt) == hmac.digest(prk, b"abc\x01", "sha256")


def test_a_sub_key_stands_for_its_recipient_alone():
    key = keys.Key(SECRET, ("public", "alice", "reserve"), "2026")
    public, alice = key.sub_key("public", 3), key.sub_key("alice", 3)
    assert public.carriers(8).shape == (3, 8)
    assert not np.allclose(public.carriers(8), alice.carriers(8))
    assert public.sha256 != alice.sha256 != key.sub_key("reserve", 3).sha256
    assert public == key.sub_key("public", 3)
    assert public.carriers(4).tolist() == public.carriers(8)[:, :4].tolist()
    with pytest.raises(UserError, match="no recipient 'bob'"):
        key.sub_key("bob", 3)


def test_nothing_prints_the_secret(tmp_path):
    key = keys.make(tmp_path / "owner.key", ["public"])
    shown = f"{key} {key!r} {key.sub_key('public', 2)!r}"
    assert key.secret.hex() not in shown
    assert repr(key.secret) not in shown
    assert all(seed not in shown for seed in key.sub_key("public", 2).carrier)


def test_key_files(tmp_path):
    path = tmp_path / "a" / "owner.key"
    key = keys.make(path, ["public", "alice"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.read(path) == key
    assert key.recipients == ("public", "alice", "reserve")
    assert keys.make(tmp_path / "b.key", ["public"]).secret != key.secret
    with pytest.raises(UserError, match="never overwritten"):
        keys.make(path, ["public"])
    with pytest.raises(UserError, match="another name"):
        keys.make(tmp_path / "c.key", ["a", "a"])
    with pytest.raises(UserError, match="there is no key file"):
        keys.read(tmp_path / "none.key")
    (tmp_path / "d.key").write_text('{"format": "edubba.trace.key/1", "secret": "00"}')
    os.chmod(tmp_path / "d.key", 0o600)
    with pytest.raises(UserError, match="not a key file"):
        keys.read(tmp_path / "d.key")
    os.chmod(path, 0o644)
    with pytest.raises(UserError, match="chmod 600"):
        keys.read(path)


ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "db3426e878068d28d269b6c87172322ce5372b65756d0789001d34835f601c03",
    2: "cb00989d94a569c0a678ae042b63dcd4625db96440517f37a6eb7976ea24ed4b",
    3: "725d5230db68f557470dc35f1d8865813acd7ebb07ad152774141decbae71327",
    5: "b6748f6ed7a99de7da84fd97e1a3bac6fab8999f4a43695cab9528a2de431147",
}


def slow_root(leaves):
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + slow_root(leaves[:k]) + slow_root(leaves[k:])).digest()


@pytest.mark.parametrize("n", ROOTS)
def test_roots_are_golden(n):
    assert merkle.root([str(i).encode() for i in range(n)]).hex() == ROOTS[n]


@given(n=st.integers(1, 70), data=st.data())
def test_every_leaf_has_a_proof_and_no_other(n, data):
    leaves = [f"leaf {i}".encode() for i in range(n)]
    root = merkle.root(leaves)
    assert root == slow_root(leaves)
    i = data.draw(st.integers(0, n - 1))
    proof = merkle.prove(leaves, i)
    assert merkle.holds(leaves[i], index=i, n=n, proof=proof, root=root)
    assert not merkle.holds(b"another", index=i, n=n, proof=proof, root=root)
    assert not merkle.holds(leaves[i], index=i, n=n, proof=[*proof, root], root=root)
    assert not merkle.holds(leaves[i], index=n, n=n, proof=proof, root=root)
    if proof:
        assert not merkle.holds(leaves[i], index=i, n=n, proof=proof[:-1], root=root)
        assert not merkle.holds(leaves[i], index=i, n=n, proof=[bytes(32), *proof[1:]], root=root)


def test_salted_leaves_depend_on_salt_name_and_content():
    one = merkle.salted(b"salt", "a.png", b"pixels")
    assert len({one, merkle.salted(b"salt", "b.png", b"pixels"), merkle.salted(b"other", "a.png", b"pixels"),
                merkle.salted(b"salt", "a.png", b"other")}) == 4  # fmt: skip
