"""Radioactive data: mark what you publish, later prove that a model was trained on it (Sablayrolles et al. 2020)."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edubba.trace.evidence import Verdict
    from edubba.trace.laws import EProcess, cosine_log10_p, fisher_log10_p, normal_log10_p, stouffer_log10_p
    from edubba.trace.owner import commit
    from edubba.trace.planning import plan
    from edubba.trace.publishing import mark, seal
    from edubba.trace.spec import Commit, Mark, Test
    from edubba.trace.trial import test
    from edubba.trace.verification import Verification, verify

__all__ = [
    "Commit", "EProcess", "Mark", "Test", "Verdict", "Verification", "commit", "cosine_log10_p", "fisher_log10_p",
    "mark", "normal_log10_p", "plan", "seal", "stouffer_log10_p", "test", "verify",
]  # fmt: skip

PLACES = {
    "Commit": "spec", "EProcess": "laws", "Mark": "spec", "Test": "spec", "Verdict": "evidence",
    "Verification": "verification", "commit": "owner", "cosine_log10_p": "laws", "fisher_log10_p": "laws",
    "mark": "publishing", "normal_log10_p": "laws", "plan": "planning", "seal": "publishing",
    "stouffer_log10_p": "laws", "test": "trial", "verify": "verification",
}  # fmt: skip


def __getattr__(name: str):
    if name in PLACES:
        return getattr(importlib.import_module(f"edubba.trace.{PLACES[name]}"), name)
    raise AttributeError(f"module 'edubba.trace' has no attribute {name!r}")
