"""Random numbers by position: each number depends on where it is used, never on what was drawn before.

A row of numbers is a function of (seed, purpose, position, index) alone, so batch size, worker, process, chunk and
resume change nothing. SplitMix64 (Steele, Lea, Flood 2014; constants of Stafford's mix 13) over a key from BLAKE2b.
"""

import hashlib

import numpy as np
from jaxtyping import Float64, Int64, UInt64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(x: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """SplitMix64's finaliser: a bijection of 64 bits in which every input bit moves every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(seed: int, purpose: str, *position: int) -> int:
    """64-bit key of a stream: BLAKE2b over its name."""
    name = "/".join([str(int(seed)), purpose, *(str(int(p)) for p in position)])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def bits(seed: int, purpose: str, *position: int, index: np.ndarray, k: int) -> UInt64[np.ndarray, "n k"]:
    """64 random bits each: k per element of `index`."""
    index = np.asarray(index).astype(np.uint64)
    with np.errstate(over="ignore"):
        rows = mix(np.uint64(key(seed, purpose, *position)) + GOLDEN * (index + np.uint64(1)))
        return mix(rows[:, None] + GOLDEN * (np.arange(k, dtype=np.uint64) + np.uint64(1)))


def uniform(seed: int, purpose: str, *position: int, index: np.ndarray, k: int) -> Float64[np.ndarray, "n k"]:
    """Uniform numbers in [0, 1): k per element of `index`; row i depends on index[i] only.

    Parameters
    ----------
    seed, purpose, position
        Name of the stream: a number, a word, and integers such as epoch and view.
    index
        (n,) integers, usually the pictures' indices in their source.
    k
        Numbers per row. The first numbers of a row do not depend on k.

    >>> a = uniform(0, "crop", 3, index=np.array([7, 9]), k=2)
    >>> b = uniform(0, "crop", 3, index=np.array([9]), k=5)
    >>> bool((a[1] == b[0, :2]).all())
    True
    """
    return (bits(seed, purpose, *position, index=index, k=k) >> np.uint64(11)) * 2.0**-53


def permutation(seed: int, purpose: str, *position: int, n: int) -> Int64[np.ndarray, "n"]:
    """A uniformly random order of 0..n-1.

    >>> sorted(permutation(0, "epoch", 1, n=4).tolist())
    [0, 1, 2, 3]
    """
    return np.argsort(bits(seed, purpose, *position, index=np.arange(n), k=1)[:, 0], kind="stable")
