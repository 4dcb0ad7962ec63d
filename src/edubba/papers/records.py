"""What a library holds of a paper: one record, whatever number of sources it came from."""

import calendar
import re
from dataclasses import dataclass, field
from datetime import date
from html import unescape
from typing import Literal

Precision = Literal["day", "month", "year", "none"]
MONTHS = {name.lower(): i for i, name in enumerate(calendar.month_abbr) if name}
OPEN = ("cc0", "cc-by", "cc-by-sa", "cc-by-nd", "cc-by-nc", "cc-by-nc-sa", "cc-by-nc-nd", "biorxiv", "medrxiv", "arxiv")
"""licences under which a whole abstract may be shown; of others a title, a passage and the link"""
SPELT = {"medrvix": "medrxiv", "cc-by-nc-sa ": "cc-by-nc-sa", "cc by": "cc-by"}
"""licences as some releases spell them"""
PREPRINTS = ("biorxiv", "medrxiv", "arxiv")
PREPRINT_DOI = re.compile(
    r"10\.(1101/(\d{4}\.\d\d\.\d\d\.)?\d{6,}|21203/|20944/|2139/ssrn|26434/|31234/|31219/|48550/)", re.IGNORECASE
)
"""DOIs of bioRxiv and medRxiv (not of journals of the same registrant), Research Square, Preprints.org, SSRN, ChemRxiv, OSF, arXiv"""
EMPTY = re.compile(
    r"^\W*(n/?a|none|null|nan|unknown|no abstract( available)?|abstract not available|©.*|copyright.*)?\W*$",
    re.I | re.S,
)
LEAD = re.compile(r"^\W*(abstract|summary)\b\s*[:.\-]?\s+(?=\S)", re.IGNORECASE)
TAG = re.compile(r"</?(jats:)?[a-z][a-z0-9:]*(\s[^<>]*)?/?>", re.IGNORECASE)
RETRACTED = frozenset(
    {
        "10.1016/s0140-6736(20)31180-6",  # Mehra and others, The Lancet 2020
        "10.1056/nejmoa2007621",  # Mehra and others, NEJM 2020
        "10.1101/2020.01.30.927871",  # Pradhan and others, bioRxiv 2020, withdrawn
        "10.1016/j.ijantimicag.2020.105949",  # Gautret and others, Int J Antimicrob Agents 2020
    }
)
"""papers of CORD-19 that were taken back; releases do not say so, and the list is short of most"""
FIGURE = re.compile(r"\s*\[Figure: see text\]", re.IGNORECASE)
BLANK = re.compile(r"\s+")


@dataclass(frozen=True)
class Published:
    """When a paper appeared, as well as that is known: some day from `first` to `last`."""

    first: date | None = None
    last: date | None = None
    precision: Precision = "none"

    def __str__(self) -> str:
        if self.first is None:
            return ""
        return self.first.isoformat()[: {"day": 10, "month": 7, "year": 4}[self.precision]]


@dataclass(frozen=True)
class Record:
    """One paper."""

    id: str
    """cord_uid of its first source, else made from its strongest key"""
    title: str
    abstract: str = ""
    authors: tuple[str, ...] = ()
    """`Last, First`"""
    journal: str = ""
    published: Published = Published()
    doi: str = ""
    pmcid: str = ""
    pmid: str = ""
    arxiv: str = ""
    licence: str = ""
    url: str = ""
    preprint: bool = False
    papers: tuple[str, ...] = ()
    """names of its full texts among the bodies: sha of a PDF, or PMCID"""
    sources: tuple[dict[str, str], ...] = field(default=(), compare=True)
    """the rows of the release that it was made from, as they stand there, without title and abstract where these are its own"""

    @property
    def retracted(self) -> bool:
        """Whether it is known here to have been taken back."""
        return self.doi in RETRACTED

    @property
    def shown(self) -> bool:
        """Whether its whole abstract may be shown."""
        return self.licence in OPEN


def published(text: str) -> Published:
    """A date as CORD-19 writes it.

    An unknown day is written as the last of December, so that one is a year.

    >>> [str(published(t)) for t in ("2020-04-17", "2020 Apr 17", "2020 Jul-Aug", "2020-04", "2020", "2020-12-31", "soon")]
    ['2020-04-17', '2020-04-17', '2020-07', '2020-04', '2020', '2020', '']
    """
    numbers = re.fullmatch(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?(?:[T ]\d\d:.*)?", text.strip())
    words = re.fullmatch(r"(\d{4})\s+([A-Za-z]{3})[a-z]*(?:-([A-Za-z]{3})[a-z]*)?(?:\s+(\d{1,2}))?", text.strip())
    end = None
    if numbers:
        year, month, day = (int(part) if part else 0 for part in numbers.groups())
    elif words and words[2].lower() in MONTHS:
        year, month, day = int(words[1]), MONTHS[words[2].lower()], int(words[4] or 0)
        end = MONTHS.get((words[3] or "").lower())
    else:
        return Published()
    if not 1000 <= year <= 2999 or month > 12 or (month, day) == (12, 31):
        month = day = 0
    if not 1000 <= year <= 2999:
        return Published()
    if not month:
        return Published(date(year, 1, 1), date(year, 12, 31), "year")
    if day:
        try:
            return Published(date(year, month, day), date(year, month, day), "day")
        except ValueError:
            day = 0
    last = end if end and end >= month else month
    return Published(date(year, month, 1), date(year, last, calendar.monthrange(year, last)[1]), "month")


def doi(text: str) -> str:
    """A DOI in the one spelling that is compared: no resolver, lower case, no version of a preprint.

    >>> [doi(t) for t in ("https://doi.org/10.1101/2020.02.07.939389v2", "doi:10.1016/J.X.2020.01.001 ", "none")]
    ['10.1101/2020.02.07.939389', '10.1016/j.x.2020.01.001', '']
    """
    found = re.search(r"10\.\d{4,9}/\S+", text.strip().lower())
    if not found:
        return ""
    made = found[0].rstrip(".,;)")
    return re.sub(r"(^10\.1101/.*?\d)v\d+(\.full|\.abstract)?(\.pdf)?$", r"\1", made)


def number(text: str) -> str:
    """A PubMed or other number that a spreadsheet may have made a decimal of.

    >>> [number(t) for t in ("18694760.0", " 18694760", "nan", "PMC7096781")]
    ['18694760', '18694760', '', 'PMC7096781']
    """
    made = re.sub(r"^(\d+)\.0+$", r"\1", text.strip())
    return "" if made.lower() in ("nan", "none", "null", "0") else made


def licence(text: str) -> str:
    """A licence in one spelling.

    >>> licence("medrvix"), licence("CC-BY "), licence("")
    ('medrxiv', 'cc-by', '')
    """
    made = text.strip().lower()
    return SPELT.get(made, made)


def clean(text: str) -> str:
    """Text without mark-up, entities, placeholders and the word Abstract before it; white space made single.

    >>> clean("<jats:p>BACKGROUND: 5 &lt; 6</jats:p>"), clean("Abstract Two  words"), clean("N/A"), clean("a < b and c > d")
    ('BACKGROUND: 5 < 6', 'Two words', '', 'a < b and c > d')
    """
    if "<" in text or "&" in text:
        text = unescape(TAG.sub(" ", text))
    made = BLANK.sub(" ", FIGURE.sub("", text)).strip()
    made = LEAD.sub("", made)
    return "" if EMPTY.match(made) else made


def plain(title: str) -> str:
    """A title for comparison: letters and numbers in lower case.

    >>> plain("COVID-19: a   Review.")
    'covid19areview'
    """
    return "".join(c for c in title.casefold() if c.isalnum())


def parts(text: str) -> tuple[str, ...]:
    """The parts of a cell that holds several, parted by semicolons.

    >>> parts("Wang, C; Horby, P;")
    ('Wang, C', 'Horby, P')
    """
    return tuple(part.strip() for part in text.split(";") if part.strip())


def is_preprint(of: str, sources: str) -> bool:
    """Whether a DOI or, where there is none, all its sources are those of preprints."""
    if of:
        return bool(PREPRINT_DOI.match(of))
    names = {part.lower() for part in parts(sources)}
    return bool(names) and names <= set(PREPRINTS)
