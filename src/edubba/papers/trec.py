"""Files of TREC: topics, judgments, runs."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from edubba.core import files
from edubba.core.errors import UserError
from edubba.papers import metrics


class Topic(NamedTuple):
    """What is searched for."""

    number: str
    query: str
    question: str = ""
    narrative: str = ""


def topics(path: str | Path) -> list[Topic]:
    """Topics from TREC-COVID's XML, from JSON of the same fields, or from lines `number TAB query`.

    Raises
    ------
    UserError
        The file cannot be read, or holds no topic.
    """
    path = Path(path)
    text = text_of(path)
    try:
        if text.lstrip().startswith("<"):
            found = [
                Topic(str(t.get("number")), *(" ".join((t.findtext(name) or "").split()) for name in Topic._fields[1:]))
                for t in ElementTree.fromstring(text).iter("topic")
            ]
        elif text.lstrip().startswith(("[", "{")):
            rows = json.loads(text)
            rows = rows["topics"] if isinstance(rows, dict) else rows
            found = [Topic(str(t["number"]), *(str(t.get(name) or "") for name in Topic._fields[1:])) for t in rows]
        else:
            found = [Topic(*line.split("\t", 1)) for line in text.splitlines() if "\t" in line]
    except (ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} holds no topics ({error}): XML as TREC-COVID has it, JSON, or lines `number TAB query`"
        ) from None
    if not found:
        raise UserError(f"{path} holds no topics: XML as TREC-COVID has it, JSON, or lines `number TAB query`")
    return found


def qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Judgments, lines `topic iteration document grade`; topics in their order.

    Raises
    ------
    UserError
        A line is not of that kind.
    """
    path = Path(path)
    made: dict[str, dict[str, int]] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        try:
            topic, _, doc, grade = fields
            made.setdefault(topic, {})[doc] = int(grade)
        except ValueError:
            raise UserError(f"{path}:{number}: {line[:60]!r} is no judgment: topic iteration document grade") from None
    if not made:
        raise UserError(f"{path} holds no judgments: lines `topic iteration document grade`")
    return made


def run(path: str | Path) -> dict[str, dict[str, float]]:
    """A run, lines `topic Q0 document rank score name`; the rank is not looked at, as trec_eval does not.

    Raises
    ------
    UserError
        A line is not of that kind.
    """
    path = Path(path)
    made: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        try:
            topic, _, doc, _, score, _ = line.split()
            made.setdefault(topic, {})[doc] = float(score)
        except ValueError:
            raise UserError(
                f"{path}:{number}: {line[:60]!r} is no line of a run: topic Q0 document rank score name"
            ) from None
    return made


def write_run(path: str | Path, of: Mapping[str, Mapping[str, float]], *, name: str) -> Path:
    """Write a run, the best first."""
    rows = [
        f"{topic} Q0 {doc} {rank} {scores[doc]:.6f} {name}"
        for topic, scores in of.items()
        for rank, doc in enumerate(metrics.ranking(scores), 1)
    ]
    return files.write(Path(path), "\n".join(rows) + "\n")


def text_of(path: Path) -> str:
    """A file as text.

    Raises
    ------
    UserError
        It cannot be read.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
