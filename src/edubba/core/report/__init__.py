"""One self-contained page that a person reads: blocks (`page`) and drawings (`figures`)."""

from edubba.core.report import figures
from edubba.core.report.page import (
    Finding,
    Section,
    amount,
    code,
    details,
    facts,
    figure,
    headline,
    page,
    pair,
    pictures,
    prose,
    table,
    warning,
    write,
)

__all__ = [
    "Finding",
    "Section",
    "amount",
    "code",
    "details",
    "facts",
    "figure",
    "figures",
    "headline",
    "page",
    "pair",
    "pictures",
    "prose",
    "table",
    "warning",
    "write",
]
