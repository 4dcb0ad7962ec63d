"""The loss gap: how much lower a model's loss is on marked pictures than on their originals. It decides nothing.

The radioactive-data paper shows it, and it is easily understood; but clean networks have such a gap too, and nobody knows
what it would be without the mark. So it stands in a file of its own beside the evidence, without an error rate, in sums
alone: which pictures are marked cannot be told from it.
"""

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edubba.core import files, images, runs, streams
from edubba.core.errors import UserError
from edubba.core.images import Pictures
from edubba.trace import commitments, publishing
from edubba.trace.owner import Papers
from edubba.trace.suspects import Suspect

FILE = "loss_gap.json"
MOST = 500
"""marked pictures that are asked about"""
NOTE = (
    "No guaranteed error rate: networks that never saw a mark have such a gap too, it has no null, and it decides nothing."
    " It is no part of the evidence: `edubba trace verify` does not read it."
)


def measure(
    asked: Mapping[str, tuple[Suspect, np.ndarray]], pictures: Pictures, folder: Path, kept: Papers, *, recipient: str,
    classes: list[str], seed: int,
) -> dict[str, Any] | None:  # fmt: skip
    """Mean loss on marked pictures minus that on their originals, of each network.

    Parameters
    ----------
    asked
        Networks by name, `suspect` among them, each with the places of the classes in its answers.
    pictures, folder
        Where the originals are now.
    recipient
        Whose copy it is; its papers know where `mark` put it.
    classes
        Names of the tested classes; pictures of others are left out.
    seed
        Draws the pictures where there are more than `MOST`.

    Returns
    -------
    What `write` puts down; None where marked pictures or originals are not at hand as they were sealed.
    """
    if not (kept.copy(recipient) / "results.json").exists():  # the seal was not made of what `mark` wrote
        return None
    copy = runs.read(kept.copy(recipient))
    published = Path(copy.resolved["out"])
    rows = [row for row in publishing.marks(copy) if row["psnr"] and row["class"] in classes]
    rows = [rows[i] for i in np.sort(streams.permutation(seed, "loss gap", n=len(rows))[:MOST])]
    names = [row["file"] for row in rows]
    at_hand = _as_sealed(folder, names, kept.path / "originals.json")
    if not names or not at_hand or not _as_sealed(published, names, copy.path / "published.json"):
        return None
    y = np.array([classes.index(row["class"]) for row in rows])
    before, after = (_of(p, names) for p in (pictures, images.open(published, size=kept.size)))

    def loss(model: Suspect, columns: np.ndarray, of: Pictures) -> float:
        return float(-model.log_probabilities(of)[np.arange(len(y)), columns[y]].mean())

    gaps = {name: round(loss(*model, after) - loss(*model, before), 6) for name, model in asked.items()}
    labels = asked["suspect"][0].labels_only
    return {
        "note": NOTE, "loss": "share named wrongly" if labels else "cross-entropy, nats", "pictures": len(names),
        "suspect": gaps.pop("suspect"), "references": gaps,
    }  # fmt: skip


def _as_sealed(folder: Path, names: Iterable[str], sealed: Path) -> bool:
    """Whether these files, and the table of labels, are in a folder as a list of the papers has them."""
    names = [*names, "labels.csv"]
    wanted = json.loads(sealed.read_text())
    now = commitments.hashes({name: folder / name for name in names if (folder / name).is_file()})
    return all(now.get(name) == wanted.get(name) for name in (unicodedata.normalize("NFC", name) for name in names))


def _of(pictures: Pictures, names: list[str]) -> Pictures:
    place = {name: i for i, name in enumerate(pictures.file.tolist())}
    return pictures.take(np.array([place[name] for name in names]))


def write(path: Path, found: dict[str, Any]) -> None:
    """Put it beside the evidence."""
    files.write(path / FILE, json.dumps(found, indent=1, allow_nan=False) + "\n")


def read(path: Path) -> dict[str, Any] | None:
    """What lies beside the evidence in a folder; None where there is none.

    Raises
    ------
    UserError
        It is damaged.
    """
    file = path / FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text("utf-8"))
        gaps = [found["suspect"], *found["references"].values()]
        sound = isinstance(found["pictures"], int) and all(map(math.isfinite, gaps))
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise UserError(f"{file} is damaged: copy it again, or delete it; the evidence holds without it")
    return found
