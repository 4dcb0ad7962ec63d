"""What a suspect's answers on held-out, unmarked pictures say about the carriers.

Ridge regression of the suspect's log-probabilities on the markers' shared coordinates gives a row a class: the
direction in which this suspect looks for the class. A suspect that learned from marked pictures looks a little along
the carriers. Nothing here but `agreement` knows the key, so that a p-value holds for any suspect, however trained.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from edubba.trace.laws import cosine_log10_p, fisher_log10_p
from edubba.trace.markers import within

RIDGE = 1e-2
"""of the coordinates' mean variance; a thousandth to a tenth gave the same, so it is fixed and not chosen"""


def rows(
    coordinates: Float[np.ndarray, "n r"],
    log_probabilities: Float[np.ndarray, "n k"],
    y: Int64[np.ndarray, "n"],
    *,
    weight: Float64[np.ndarray, "n"] | None = None,
) -> Float64[np.ndarray, "k r"]:
    """The suspect's row of each class in the shared coordinates.

    Parameters
    ----------
    coordinates, log_probabilities
        Of the same held-out pictures. Logits do as well: what is common to all classes is taken out.
    y
        Their classes, whose means are taken out of both: the class structure carries no mark and fills the norm.
    weight
        How often each picture counts, for a bootstrap; None: once.
    """
    f = within(coordinates, y)
    z = within(log_probabilities - log_probabilities.mean(1, keepdims=True), y)
    weighted = f if weight is None else f * weight[:, None]
    gram = weighted.T @ f
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + ridge, weighted.T @ z).T


def residual(
    own: Float64[np.ndarray, "k r"], references: Sequence[Float64[np.ndarray, "k r"]]
) -> Float64[np.ndarray, "k r"]:
    """What is left of a suspect's rows when those of clean networks are fitted out, scaled to norm 1.

    Networks that never saw a mark agree in much of their rows; none of it is evidence, and all of it is in the way.
    """
    flat = own.ravel()
    if references:
        basis = np.stack([other.ravel() for other in references], axis=1)
        flat = flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    return (flat / max(np.linalg.norm(flat), 1e-300)).reshape(own.shape)


def combined(rows: Float64[np.ndarray, "k r"], probes: Float64[np.ndarray, "k r"]) -> Float64[np.ndarray, "k r"]:
    """The residuals of rows and of probes as one, scaled to norm 1. Without the key, so the law stays.

    Probes count twice: on suspects whose keys were not reported they said more, and together more than either.
    """
    total = rows + 2 * probes
    return total / max(np.linalg.norm(total), 1e-300)


def agreement(own: Float64[np.ndarray, "k r"], carriers: Float64[np.ndarray, "k r"]) -> float:
    """Cosine between rows and carriers, as one vector each."""
    return float((own * carriers).sum() / np.linalg.norm(own) / np.linalg.norm(carriers))


def log10_p(own: Float64[np.ndarray, "k r"], carriers: Float64[np.ndarray, "k r"]) -> float:
    """Chance that independent standard normal carriers agree with these rows at least as well; exact for any rows."""
    return cosine_log10_p(agreement(own, carriers), carriers.size)


def paper_log10_p(own: Float64[np.ndarray, "k r"], carriers: Float64[np.ndarray, "k r"]) -> float:
    """The paper's test: a cosine and its p for each class, combined by Fisher."""
    cosines = (own * carriers).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(carriers, axis=1)
    return fisher_log10_p([cosine_log10_p(float(c), carriers.shape[1]) for c in cosines])
