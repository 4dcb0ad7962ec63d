"""Merkle trees of RFC 6962: one hash for many files, and a short proof that a file is among them."""

import hashlib
import hmac
from collections.abc import Sequence


def leaf_of(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _cut(n: int) -> int:
    """The largest power of two below n."""
    return 1 << ((n - 1).bit_length() - 1)


def root(leaves: Sequence[bytes]) -> bytes:
    """Hash of the tree over these contents, in their order; of nothing: SHA-256 of the empty string.

    >>> root([b"0"]).hex()[:8]
    'db3426e8'
    """
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [leaf_of(content) for content in leaves]
    # pairs from the left, the odd one going up as it is, is the split at the largest power of two, without recursion
    while len(level) > 1:
        paired = [node_of(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = [*paired, level[-1]] if len(level) % 2 else paired
    return level[0]


def prove(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the way from one content up to the root, from below."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"{index} is not one of {len(leaves)} contents")
    level, beside = [leaf_of(content) for content in leaves], []
    while len(level) > 1:
        other = index ^ 1
        if other < len(level):
            beside.append(level[other])
        paired = [node_of(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = [*paired, level[-1]] if len(level) % 2 else paired
        index //= 2
    return beside


def holds(content: bytes, *, index: int, n: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that `content` is number `index` of the n contents under `root`."""
    if not 0 <= index < n:
        return False
    hashed, size, steps = leaf_of(content), n, iter(proof)
    try:
        while size > 1:
            if index % 2:
                hashed = node_of(next(steps), hashed)
            elif index + 1 < size:
                hashed = node_of(hashed, next(steps))
            index, size = index // 2, -(-size // 2)
    except StopIteration:
        return False
    return next(steps, None) is None and hmac.compare_digest(hashed, root)


def salted(salt: bytes, name: str, content: bytes) -> bytes:
    """A leaf for a file that nobody can guess without the salt: HMAC-SHA256 over its name and its SHA-256."""
    return salted_hash(salt, name, hashlib.sha256(content).hexdigest())


def salted_hash(salt: bytes, name: str, sha256: str) -> bytes:
    """`salted` for a content of which the SHA-256 is at hand, in hex."""
    return hmac.digest(salt, name.encode() + b"\x00" + bytes.fromhex(sha256), "sha256")
