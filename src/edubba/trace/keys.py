"""The owner's secret, and everything that is drawn from it: carriers, coins, salts; one sub-key a recipient.

Every purpose has its own seed, HKDF-SHA256 (RFC 5869) of the secret, and a stream from that seed by SHAKE-256, so that
the numbers are the same on every machine and in every year. A sub-key is the seeds of one recipient: showing it proves
what was marked for that recipient and tells nothing of the others.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.special import ndtri

from edubba.core.errors import UserError

FORMAT = "edubba.trace.key/1"
SALT = b"edubba-trace-v1"
RESERVE = "reserve"
"""the sub-key that is never used in public, so that a later dispute can be judged anew"""


def derive(secret: bytes, info: str, *, salt: bytes = SALT) -> bytes:
    """32 bytes for one purpose: HKDF-SHA256 (RFC 5869).

    >>> derive(bytes(range(32)), "carrier|recipient=public|class=0").hex()[:16]
    '1c21fc21d7d7625e'
    """
    pseudorandom = hmac.digest(salt, secret, "sha256")
    return hmac.digest(pseudorandom, info.encode() + b"\x01", "sha256")


def uniform(seed: bytes, n: int) -> Float64[np.ndarray, "n"]:
    """n numbers strictly between 0 and 1: (i + 1/2) / 2^53, i from 8 bytes of SHAKE-256 each, high bits first."""
    words = np.frombuffer(hashlib.shake_256(seed).digest(8 * n), dtype=">u8")
    return ((words >> 11).astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: bytes, n: int) -> Float64[np.ndarray, "n"]:
    """n independent standard normal numbers."""
    return ndtri(uniform(seed, n))


def coins(seed: bytes, n: int) -> UInt8[np.ndarray, "n"]:
    """n fair coins, 0 or 1: the bits of SHAKE-256, high bit first."""
    return np.unpackbits(np.frombuffer(hashlib.shake_256(seed).digest(-(-n // 8)), dtype=np.uint8))[:n]


@dataclass(frozen=True)
class SubKey:
    """What was drawn for one recipient. It can be revealed without the secret."""

    recipient: str
    carrier: list[str] = field(repr=False)
    """seed of each class's carrier, in hex"""
    coin: str = field(repr=False)
    """seed of the pictures' coins and own directions, in hex"""

    def carriers(self, d: int) -> Float64[np.ndarray, "k d"]:
        """One standard normal direction a class, at its own length: the law of the test needs the lengths."""
        return np.stack([normal(bytes.fromhex(seed), d) for seed in self.carrier])

    @property
    def sha256(self) -> str:
        """What the first commitment holds of it."""
        return hashlib.sha256("|".join([self.recipient, *self.carrier, self.coin]).encode()).hexdigest()


@dataclass(frozen=True)
class Key:
    """The owner's secret. Its text form never shows it."""

    secret: bytes = field(repr=False)
    recipients: tuple[str, ...]
    created: str

    def sub_key(self, recipient: str, classes: int) -> SubKey:
        """The seeds of one recipient.

        Raises
        ------
        UserError
            The key was made without that recipient.
        """
        if recipient not in self.recipients:
            raise UserError(
                f"the key has no recipient {recipient!r}, it was made for {', '.join(self.recipients)}: each needs its"
                " name in --recipients of `trace commit`"
            )
        carrier = [derive(self.secret, f"carrier|recipient={recipient}|class={k}").hex() for k in range(classes)]
        return SubKey(recipient, carrier, derive(self.secret, f"coin|recipient={recipient}").hex())

    def salt(self, purpose: str) -> bytes:
        """The salt of a Merkle tree: without it originals could be guessed from their hashes."""
        return derive(self.secret, f"salt|{purpose}")

    @property
    def sha256(self) -> str:
        """What the first commitment holds of the secret."""
        return hashlib.sha256(self.secret).hexdigest()


def make(path: str | Path, recipients: Sequence[str]) -> Key:
    """Draw a secret and write it to a file that only its owner may read.

    Raises
    ------
    UserError
        The file exists already, or two recipients have one name.
    """
    path = Path(path)
    names = (*recipients, RESERVE)
    if len(set(names)) < len(names) or not all(n and n.isprintable() and "|" not in n for n in names):
        raise UserError(
            f"recipients {', '.join(recipients)}: give each another name, without '|'; {RESERVE!r} is kept for the owner"
        )
    key = Key(secrets.token_bytes(32), names, datetime.now().astimezone().isoformat(timespec="seconds"))
    document = {
        "format": FORMAT, "secret": key.secret.hex(), "recipients": list(names), "created": key.created,
        "keep": "Whoever reads this file can remove the marks and claim them. Keep it offline, and a copy elsewhere.",
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(f"{path} exists: a key is never overwritten; choose another name with --key") from None
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def read(path: str | Path) -> Key:
    """The key in a file.

    Raises
    ------
    UserError
        There is none, it is no key, or others may read it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no key file {path}: `edubba trace commit` makes one")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError(f"{path} may be read by others: `chmod 600 {path}`, and make a new key if somebody did")
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise UserError(f"{path} has format {document['format']!r}, this edubba reads {FORMAT!r}")
        secret = bytes.fromhex(document["secret"])
        key = Key(secret, tuple(document["recipients"]), document["created"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a key file of `edubba trace commit`: give the file it made") from None
    if len(secret) != 32:
        raise UserError(f"{path} holds a secret of {len(secret)} bytes, 32 are needed: take the copy you kept")
    return key
