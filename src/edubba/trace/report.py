"""The page about a test, drawn from its evidence alone."""

from pathlib import Path

from edubba.trace import evidence


def build(path: str | Path) -> Path:
    """Draw `report.html` in an evidence folder."""
    evidence.read(path)
    return Path(path)
