"""The pages of the room, drawn from their folders alone: of a test for anybody, of the marks for the owner."""

from pathlib import Path

from edubba.core import report
from edubba.core.report import Section
from edubba.trace import evidence
from edubba.trace.report import marks, verdict
from edubba.trace.report.marks import PRIVATE

__all__ = ["PRIVATE", "build", "sections"]


def build(path: str | Path) -> Path:
    """Draw `report.html` in a folder of evidence, or in the owner's papers about one recipient's copy.

    Raises
    ------
    UserError
        The folder is neither, or its run is not finished.
    """
    path = Path(path)
    if (path / "evidence.json").exists():
        document = evidence.read(path)
        title = f"Was this model trained on the copy for {document['recipient']}?"
        lead, parts = verdict.lead(document), verdict.sections(path, document)
        made = f"edubba {document['edubba']}, tested on {document['created'][:10]}."
        footer = f"{made}\n\nDrawn from the evidence alone; the page needs no network and holds no picture."
    else:
        run = marks.read(path)
        title = f"What the marks in the copy for {run.settings['recipient']} change"
        lead, parts = marks.lead(run), marks.sections(run)
        made = f"edubba {run.resolved['edubba']}, marked on {run.resolved['created'][:10]}."
        footer = f"{made}\n\nPrivate: for the owner alone. Drawn from the owner's papers; the page needs no network."
    return report.write(path / "report.html", report.page(title, lead=lead, sections=parts, footer=footer))


def sections(path: str | Path) -> list[Section]:
    """The chapters about a test or about marks, the answer first, for a page that has others too."""
    path = Path(path)
    if (path / "evidence.json").exists():
        document = evidence.read(path)
        return verdict.sections(path, document, lead=verdict.lead(document))
    run = marks.read(path)
    return marks.sections(run, lead=marks.lead(run))
