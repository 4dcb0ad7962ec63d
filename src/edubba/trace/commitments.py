"""What an owner fixes before marking and before publishing: two public documents, and how to open parts of them later.

The first commitment fixes the secret, every sub-key, the originals and the rules of the test; the second, which points
to the first, the files of one recipient as they go out and their twins. Both are canonical JSON (RFC 8785), so that the
SHA-256 of the file is the digest of the document and a timestamp of the file dates it. They hold hashes only, and
each leaf of their trees has a salt of its own: opening one sub-key or one file says nothing of the others.

Files are hashed from disk in pieces, under posix names in Unicode's form NFC, sorted by code point (which is the order
of their UTF-8 bytes). Links are followed as `core.sources` does. Hidden and system files are passed over; tables
and texts are sealed, for labels are part of what is published.
"""

import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edubba import __version__
from edubba.core import files
from edubba.core.errors import UserError, need
from edubba.core.sources import SYSTEM_FILES, walk
from edubba.trace import merkle
from edubba.trace.keys import Key, SubKey

FORMAT = "edubba.trace.commitment/1"
FIRST = "before marking"
SECOND = "before publishing"

Tree = Literal["originals", "published", "twins"]
TREES: dict[str, tuple[str, str, str]] = {
    "originals": (FIRST, "originals_root", "pictures"),
    "published": (SECOND, "published_root", "files"),
    "twins": (SECOND, "twins_root", "twins"),
}
"""stage, root and number of leaves of each tree of files"""

Contents = Mapping[str, bytes | str | Path] | Sequence[tuple[str, bytes | str | Path]]

HEX = re.compile(r"[0-9a-f]{64}")
SURROGATE = re.compile("[\ud800-\udfff]")
FIELDS: dict[str, dict[str, Any]] = {
    FIRST: {
        "created": str, "edubba": str, "secret_sha256": HEX, "keys": int, "sub_keys_root": HEX, "originals_root": HEX,
        "pictures": int, "classes": [str], "configuration": dict, "networks": dict,
    },
    SECOND: {
        "created": str, "edubba": str, "before": HEX, "recipient": str, "published_root": HEX, "files": int,
        "twins_root": HEX, "twins": int, "marked": int, "quality": dict,
    },
}  # fmt: skip
PROOF: dict[str, Any] = {"index": int, "salt": HEX, "proof": [HEX]}


class Changes(NamedTuple):
    """What differs from the sealed files, by name; `any(changes)` says whether something does."""

    missing: list[str]
    added: list[str]
    changed: list[str]


def canonical(document: Any) -> bytes:
    """The one form of a JSON document (RFC 8785): keys sorted, no blanks, numbers as ECMAScript writes them.

    Raises
    ------
    ValueError
        It holds what JSON cannot: NaN, an infinity, an integer beyond 2^53, a lone surrogate, another type.

    >>> canonical({"b": 1.0, "a": [1e-7, "é"]}).decode()
    '{"a":[1e-7,"é"],"b":1}'
    """
    return need("rfc8785", extra="trace").dumps(document)


def digest(document: Any) -> str:
    """SHA-256 of the canonical form, in hex: what a second commitment and a timestamp hold of a document."""
    return hashlib.sha256(canonical(document)).hexdigest()


def write(path: str | Path, document: dict[str, Any]) -> Path:
    """Write a commitment, whole or not at all. The file's SHA-256 is the document's digest.

    Raises
    ------
    UserError
        There is a file already.
    """
    path = Path(path)
    if path.exists():
        raise UserError(f"{path} exists: a commitment is never overwritten; move it away if nothing rests on it")
    return files.write(path, canonical(document))


def read(path: str | Path) -> dict[str, Any]:
    """The commitment in a file.

    Raises
    ------
    UserError
        There is none, it is damaged or was edited, or a newer edubba wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"there is no commitment {path}: `edubba trace commit` makes the first, `edubba trace seal` the second"
        )
    content = path.read_bytes()
    try:
        document = json.loads(content, parse_int=_number)
        whole = canonical(document) == content.rstrip()
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no commitment or is damaged: take the copy you kept") from None
    format, stage = (document.get("format"), document.get("stage")) if isinstance(document, dict) else (None, None)
    family, _, version = str(format).partition("/")
    if family == "edubba.trace.commitment" and version.isdecimal() and version > "1":
        raise UserError(f"{path} is {format}, written by a newer edubba (this is {__version__}): upgrade edubba")
    if format != FORMAT:
        raise UserError(f"{path} has format {format!r}, expected {FORMAT!r}: give the file of `trace commit` or `seal`")
    if stage not in (FIRST, SECOND):
        raise UserError(f"{path} is of the stage {stage!r}, expected {FIRST!r} or {SECOND!r}: upgrade edubba")
    if not whole:
        raise UserError(f"{path} was edited or laid out anew, so that no timestamp fits: take the copy you kept")
    for name, kind in FIELDS[stage].items():
        if not _fits(document.get(name), kind):
            raise UserError(f"{path} is damaged, its {name!r} is {document.get(name)!r}: take the copy you kept")
    return document


def _number(digits: str) -> int | float:
    """RFC 8785 writes large floats without a point; they must come back as floats."""
    return int(digits) if len(digits) < 16 or abs(int(digits)) < 2**53 else float(digits)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of a type, 64 hex digits (HEX), or a list of such ([kind])."""
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(item, kind[0]) for item in value)
    if kind is HEX:
        return isinstance(value, str) and HEX.fullmatch(value) is not None
    if kind is str:
        return isinstance(value, str) and not SURROGATE.search(value)
    if kind is int:
        return type(value) is int and value >= 0
    return isinstance(value, kind)


def _fit(value: Any, fields: dict[str, Any]) -> bool:
    return isinstance(value, dict) and all(_fits(value.get(name), kind) for name, kind in fields.items())


def first(
    key: Key,
    *,
    classes: list[str],
    originals: Contents,
    configuration: dict[str, Any],
    networks: Contents,
    created: str | None = None,
) -> dict[str, Any]:
    """The commitment before marking.

    Parameters
    ----------
    classes
        Names in the order of the carriers.
    originals
        The owner's pictures, in any order: see `hashes`.
    configuration
        All that the test depends on, as JSON.
    networks
        The model.json or weights of every network that was trained before: see `hashes`.
    created
        ISO 8601; without it, now. With it the document is the same on every machine.
    """
    leaves = _sub_key_leaves(key, len(classes))
    sealed = hashes(originals)
    return {
        "format": FORMAT, "stage": FIRST, "created": created or _now(), "edubba": __version__,
        "secret_sha256": key.sha256, "keys": len(leaves), "sub_keys_root": merkle.root(leaves).hex(),
        "originals_root": tree_root(sealed, salt=tree_salt(key, "originals")), "pictures": len(sealed),
        "classes": list(classes), "configuration": configuration, "networks": hashes(networks),
    }  # fmt: skip


def second(
    before: dict[str, Any],
    *,
    key: Key,
    recipient: str,
    published: Contents,
    twins: Contents,
    marked: int,
    quality: dict[str, Any],
    created: str | None = None,
) -> dict[str, Any]:
    """The commitment before publishing, for one recipient.

    Parameters
    ----------
    before
        The first commitment.
    published, twins
        Every file that goes out (`files_of`), and the unpublished twins: see `hashes`.
    marked
        How many of the published files carry a mark.
    quality
        What the marks cost, as JSON: mean PSNR and the like.
    created
        As in `first`.

    Raises
    ------
    UserError
        The key is not the committed one, or has no such recipient.
    """
    check_key(before, key)
    key.sub_key(recipient, 0)  # raises where the key has no such recipient
    out, kept = hashes(published), hashes(twins)
    return {
        "format": FORMAT, "stage": SECOND, "created": created or _now(), "edubba": __version__,
        "before": digest(before), "recipient": recipient,
        "published_root": tree_root(out, salt=tree_salt(key, "published", recipient)), "files": len(out),
        "twins_root": tree_root(kept, salt=tree_salt(key, "twins", recipient)), "twins": len(kept),
        "marked": marked, "quality": quality,
    }  # fmt: skip


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def follows(after: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether `after` is a second commitment that points to the first commitment `before`."""
    return (before["stage"], after["stage"]) == (FIRST, SECOND) and after["before"] == digest(before)


def check_key(document: dict[str, Any], key: Key) -> None:
    """Check that a key is the one of a first commitment, with the same recipients.

    Raises
    ------
    UserError
        It is not.
    """
    if key.sha256 != document["secret_sha256"]:
        raise UserError(
            f"the key made on {key.created} is not that of the commitment of {document['created']}: give the key that"
            " lies beside it"
        )
    if merkle.root(_sub_key_leaves(key, len(document["classes"]))).hex() != document["sub_keys_root"]:
        raise UserError("the recipients in the key file were changed after `trace commit`: take the copy you kept")


# ---- sub-keys


def _sub_key_leaves(key: Key, classes: int) -> list[bytes]:
    salt = key.salt("sub-keys")
    return [merkle.salted_hash(_own(salt, name), name, key.sub_key(name, classes).sha256) for name in key.recipients]


def open_sub_key(key: Key, recipient: str, *, classes: int) -> dict[str, Any]:
    """The seeds of one recipient with the proof that the first commitment holds them, as JSON.

    It spends this sub-key: whoever reads it knows the marks. The others stay secret.

    Raises
    ------
    UserError
        The key was made without that recipient.
    """
    shown = key.sub_key(recipient, classes)
    index = key.recipients.index(recipient)
    proof = merkle.prove(_sub_key_leaves(key, classes), index)
    return {
        "recipient": recipient, "carrier": shown.carrier, "coin": shown.coin, "index": index,
        "salt": _own(key.salt("sub-keys"), recipient).hex(), "proof": [step.hex() for step in proof],
    }  # fmt: skip


def check_sub_key(document: dict[str, Any], opening: Any) -> bool:
    """Whether an opened sub-key, `SubKey(recipient, carrier, coin)`, is one of those in a first commitment."""
    if not _fit(opening, {"recipient": str, "carrier": [HEX], "coin": HEX, **PROOF}):
        return False
    if document["stage"] != FIRST or len(opening["carrier"]) != len(document["classes"]):
        return False
    shown = SubKey(opening["recipient"], opening["carrier"], opening["coin"])
    leaf = merkle.salted_hash(bytes.fromhex(opening["salt"]), shown.recipient, shown.sha256)
    return _proved(leaf, opening, n=document["keys"], root=document["sub_keys_root"])


# ---- files


def files_of(folder: str | Path) -> dict[str, Path]:
    """Every file under a folder that is sealed, by posix name; links are followed, each folder once.

    Raises
    ------
    UserError
        It is no folder, a part may not be read, or something in it is no file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    found: dict[str, Path] = {}
    for entry in walk(folder):
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
            continue
        if not entry.is_file():
            raise UserError(f"{entry.path} is a dead link or no ordinary file: mend it or take it away")
        found[Path(entry.path).relative_to(folder).as_posix()] = Path(entry.path)
    return found


def hashes(contents: Contents) -> dict[str, str]:
    """SHA-256 in hex of each content, by name in form NFC, sorted: what the owner's private papers keep of a tree.

    A content is bytes, a path whose file is read in pieces, or a SHA-256 in hex that is taken as it is.

    Raises
    ------
    UserError
        Two names are one in form NFC, a name is no Unicode, or a file may not be read.
    """
    found: dict[str, str] = {}
    for name, content in contents.items() if isinstance(contents, Mapping) else contents:
        name = _name(name)
        if name in found:
            raise UserError(f"two files are called {name!r} (accents may be written in two ways): rename one of them")
        found[name] = _sha256(content)
    return dict(sorted(found.items()))


def _name(name: str) -> str:
    if SURROGATE.search(name):
        raise UserError(f"the file name {name!r} is no Unicode: rename the file")
    return unicodedata.normalize("NFC", name)


def _sha256(content: bytes | str | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    if isinstance(content, str):
        if not HEX.fullmatch(content):
            raise ValueError(f"{content!r} is no SHA-256 in hex: give a file as a Path")
        return content
    try:
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        raise UserError(f"{content} may not be read: change its permissions") from None


def tree_salt(key: Key, tree: Tree, recipient: str | None = None) -> bytes:
    """The salt of a tree of files: of the originals, or of what one recipient has.

    Showing it lets others test guesses about every file of that tree, and of no other.
    """
    if (recipient is None) != (tree == "originals"):
        raise ValueError("the originals have no recipient, published files and twins need one")
    return key.salt(tree if recipient is None else f"{tree}|{recipient}")


def tree_root(sealed: Mapping[str, str], *, salt: bytes) -> str:
    """The root, in hex, over files given as `hashes` returns them."""
    return merkle.root(_leaves(sealed, salt)).hex()


def prove_file(sealed: Mapping[str, str], name: str, *, salt: bytes) -> dict[str, Any]:
    """The proof, as JSON, that a file is in a tree; the other files stay secret.

    Raises
    ------
    UserError
        No such file was sealed.
    """
    name = _name(name)
    if name not in sealed:
        raise UserError(f"{name} is not among the {len(sealed)} sealed files: give a name as it was then")
    index = sorted(sealed).index(name)
    proof = merkle.prove(_leaves(sealed, salt), index)
    return {"name": name, "index": index, "salt": _own(salt, name).hex(), "proof": [step.hex() for step in proof]}


def check_file(document: dict[str, Any], tree: Tree, opening: Any, content: bytes | str | Path) -> bool:
    """Whether `prove_file` showed that a content (bytes, path or SHA-256 in hex) is in a tree of a commitment."""
    stage, root, number = TREES[tree]
    if document["stage"] != stage or not _fit(opening, {"name": str, **PROOF}):
        return False
    leaf = merkle.salted_hash(bytes.fromhex(opening["salt"]), opening["name"], _sha256(content))
    return _proved(leaf, opening, n=document[number], root=document[root])


def check_folder(document: dict[str, Any], folder: str | Path, *, sealed: Mapping[str, str], salt: bytes) -> Changes:
    """What was lost, added or changed in published files since they were sealed.

    Parameters
    ----------
    document
        The second commitment.
    folder
        The published files as they are now.
    sealed, salt
        `hashes` and `tree_salt` of the published files as they were, from the owner's papers or an evidence bundle;
        both are tested against the commitment before they are believed.

    Raises
    ------
    UserError
        The hashes are not those of the commitment.
    """
    sound = all(_fits(name, str) and _fits(sha256, HEX) for name, sha256 in sealed.items())
    if not sound or tree_root(sealed, salt=salt) != document["published_root"]:
        raise UserError(
            f"the list of {len(sealed)} sealed files is not that of the commitment of {document['created']}: take the"
            " list that was written with it"
        )
    now = hashes(files_of(folder))
    return Changes(
        missing=sorted(sealed.keys() - now.keys()),
        added=sorted(now.keys() - sealed.keys()),
        changed=sorted(name for name in sealed.keys() & now.keys() if sealed[name] != now[name]),
    )


def _leaves(sealed: Mapping[str, str], salt: bytes) -> list[bytes]:
    return [merkle.salted_hash(_own(salt, name), name, sealed[name]) for name in sorted(sealed)]


def _own(salt: bytes, name: str) -> bytes:
    """A salt for one leaf: showing it opens that leaf alone."""
    return hmac.digest(salt, name.encode(), "sha256")


def _proved(leaf: bytes, opening: dict[str, Any], *, n: int, root: str) -> bool:
    steps = [bytes.fromhex(step) for step in opening["proof"]]
    return merkle.holds(leaf, index=opening["index"], n=n, proof=steps, root=bytes.fromhex(root))
