"""The page about a pretraining or a probe, drawn from its run folder alone."""

from pathlib import Path

from edubba.contrast.report.folder import made_by, read, record, source_name
from edubba.contrast.report.pretraining import pretrain_evidence, pretrain_lead, pretrain_summary, training
from edubba.contrast.report.probe import probe_evidence, probe_lead, probe_summary
from edubba.core import report
from edubba.core.report import Section


def build(run_path: str | Path) -> Path:
    """Draw `report.html` in a finished run folder; a pretraining's page takes in its finished `probe/` folder.

    Raises
    ------
    UserError
        The folder is no finished run of `contrast pretrain` or `contrast probe`.
    """
    folder = read(run_path)
    probed = folder.path / "probe"
    if folder.verb == "probe":
        title = f"What {source_name(folder)} can be told apart by"
        lead, sections = probe_lead(folder), [probe_summary(folder), *probe_evidence(folder), record(folder)]
    elif (probed / "results.json").exists():
        probe = read(probed)
        title = f"Learned from {source_name(folder)} without labels"
        lead = probe_lead(probe)
        pretraining = [*pretrain_evidence(folder), *probe_evidence(probe), *training(folder)]
        sections = [probe_summary(probe), *pretraining, record(folder), record(probe)]
    else:
        title = f"Learned from {source_name(folder)} without labels"
        lead = pretrain_lead(folder)
        sections = [pretrain_summary(folder), *pretrain_evidence(folder), *training(folder), record(folder)]
    footer = "\n\n".join(filter(None, (made_by(folder), "Drawn from the run folder alone; the page needs no network.")))
    return report.write(folder.path / "report.html", report.page(title, lead=lead, sections=sections, footer=footer))


def sections(run_path: str | Path) -> list[Section]:
    """The chapters about a pretraining and its probe, the answer first, for a page that has others too."""
    folder, probe = read(run_path), read(Path(run_path) / "probe")
    summary = probe_summary(probe, lead=probe_lead(probe))
    evidence = [*pretrain_evidence(folder), *probe_evidence(probe), *training(folder)]
    return [summary, *evidence, record(folder), record(probe)]


def sections_pretrain(run_path: str | Path) -> list[Section]:
    """The chapters about a pretraining, for a page that has others too."""
    folder = read(run_path)
    summary = pretrain_summary(folder, lead=pretrain_lead(folder))
    return [summary, *pretrain_evidence(folder), *training(folder), record(folder)]


def sections_probe(run_path: str | Path) -> list[Section]:
    """The chapters about a probe (its own folder, usually `runs/a/probe`), for a page that has others too."""
    folder = read(run_path)
    return [probe_summary(folder, lead=probe_lead(folder)), *probe_evidence(folder), record(folder)]
