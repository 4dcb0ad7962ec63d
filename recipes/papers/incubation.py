"""Incubation periods out of abstracts: against a list read by hand, and against curated studies.

    python recipes/papers/incubation.py COMPOSITE.parquet LABELS.json INCUBATION.csv

COMPOSITE.parquet: titles and abstracts joined to CORD-19 ids (24,474 rows, not shipped). LABELS.json: places of values in its
abstracts, tests/data/papers/incubation_labels.json (172 values of 113 records; read by one person with the extractor's proposals
in view, so the precision is an upper bound). INCUBATION.csv: curated studies of CovidQA, MIDAS and epiparameterDB; a study is
found when the value that was curated is among those extracted from its abstract. About a minute. Figures in recipes/README.md.
"""

import csv
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet

from edubba.core import stats
from edubba.papers import Build, building, library, records, tabulating

composite, labels, curated = sys.argv[1:4]
rows = [{k: str(v or "") for k, v in r.items()} for r in pyarrow.parquet.read_table(composite).to_pylist()]
rows = [r | {"pubmed_id": r["pmid"], "authors": ""} for r in rows if "ncubation" in r["abstract"]]
with tempfile.TemporaryDirectory() as home:
    columns = [
        "cord_uid",
        "sha",
        "title",
        "doi",
        "pmcid",
        "pubmed_id",
        "license",
        "abstract",
        "publish_time",
        "authors",
        "journal",
    ]
    with (Path(home) / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    building.build(Path(home) / "metadata.csv", Path(home) / "library", Build(engine="sqlite"))
    table = tabulating.table(library.open(Path(home) / "library"), "incubation-period")

true = {(id, start) for id, start, _ in json.loads(Path(labels).read_text())["labels"]}
found = {(r["id"], r["start"]) for r in table}
for name, these, of in (("precision", found, true), ("recall", true, found)):
    pairs = sorted(these)
    value = stats.bootstrap(
        np.mean, np.array([float(p in of) for p in pairs]), group=np.array([id for id, _ in pairs]), draws=1000
    )
    print(f"{name:10} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}] of {len(pairs)} values")

by_title = {
    records.plain(r["title"]): {v for t in table if t["title"] == r["title"] for v in (t["value"], t["low"]) if v}
    for r in table
}
by_doi = {
    r["doi"]: {v for t in table if t["doi"] == r["doi"] for v in (t["value"], t["low"]) if v} for r in table if r["doi"]
}
studies: dict[str, bool] = defaultdict(bool)
with open(curated) as file:
    for row in csv.DictReader(file):
        if row["value_in_abstract"] == "1" and row["value"]:
            values = by_doi.get(records.doi(row["doi"])) or by_title.get(records.plain(row["title"]), set())
            studies[row["study"]] |= any(abs(v - float(row["value"])) < 0.06 for v in values)
print(
    f"curated studies found: {sum(studies.values())} of {len(studies)}; not found: {', '.join(s for s, ok in studies.items() if not ok)}"
)
