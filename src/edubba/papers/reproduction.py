"""Basic reproduction numbers (R0) that abstracts state: not Rt, not the effective one, no thresholds, nothing that is assumed.

A value belongs to R0 where no other quantity is named between the two.
"""

import re
from collections.abc import Iterator

from edubba.papers import extracting, sentences
from edubba.papers.extracting import Cell, Kind
from edubba.papers.records import Record
from edubba.papers.sentences import Span

R0 = re.compile(
    r"""(?:\bbasic\s+(?:reproducti(?:ve|on)|reproductivity)\s+(?:numbers?|rates?|ratios?|ind(?:ex|ices)|coefficients?|factors?|values?)
    |(?<![A-Za-z])[Rℜ]\s?_?\{?\s?(?:0|o(?=\s*(?:=|of|was|is|≈|~))|₀)\}?(?![0-9]|[.,·]\d)|\bR-?\s?(?:naught|nought|zero)\b|\bR\(0\))
    (?:\s*(?:\(\s*[Rℜ]\s?_?\{?(?:0|o|₀)\}?\s*\)|,?\s*[Rℜ]\s?_?(?:0|₀)(?![0-9])\s*,?))?""",
    re.VERBOSE,
)
OTHER = re.compile(
    r"""\b(?:effective|control(?:led)?|time-varying|instantaneous|net)\s+reproducti(?:ve|on)|\bR\s?_?(?:t|e|c|eff)\b|\bR\((?:t|τ)\)|\bgrowth\s+rate|\bdoubling|\bserial\s+interval
    |\bgeneration\s+(?:time|interval)|\bincubation|\binfectious\s+period|\bfatality|\bCFR\b|\bmortality|\bdispersion|\boverdispersion|\battack\s+rate|\bherd|\bR-?squared
    |\btransmission\s+rate|\bcontact\s+rate|\bpeak|\bdays?\b|\bcases?\b|\bdeaths?\b|\bfold\b|\bk\s*=|\bp\s*[=<]""",
    re.IGNORECASE | re.VERBOSE,
)
NUMBER = r"\d+(?:(?:[.·]|[^\x00-\x7f]{1,12}·|,(?=\d\b))\d+)?"
"""a decimal point may be a raised one, a comma, or what a wrong encoding made of it"""
MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
WHOLE = (
    r"(?![\w/+]|[.,·]\d|-[A-Za-z]|\s*%|\s+(?:days?|weeks?|months?|hours?|-?fold|times|million)\b"
    rf"|\s+{MONTHS}|[^\x00-\x7f]{{1,12}}·\d)"
)
"""a number ends here, and is no share, time or date"""
VALUE = re.compile(
    rf"(?<![\w.,·/-])(?P<a>{NUMBER})(?:{extracting.DASH}(?P<b>{NUMBER}))?(?:\s*(?:\+/-|±)\s*(?P<sd>{NUMBER}))?{WHOLE}"
    r"(?P<after>\s*,?\s*[(\[][^()\[\]]*(?:\([^()]*\)[^()]*)?[)\]])?",
)
BOTH = re.compile(
    rf"(?:\b(?:between|from)\s+(?P<a>{NUMBER})\s*(?:and|to)\s+(?P<b>{NUMBER})|[\[(](?P<low>{NUMBER})\s*,\s*(?P<high>{NUMBER})[\])]){WHOLE}",
    re.IGNORECASE,
)
COUNTED = re.compile(
    r"\s+(?!and\b|or\b|to\b|in\b|for\b|with\b|on\b|at\b|by\b|when\b|as\b|during\b|which\b|that\b|is\b|was\b|using\b|based\b|than\b)[A-Za-z]"
)
"""a whole number before a word counts things"""
GIVEN = re.compile(
    r"\b(?:when|if|for|with|given|at|where|under|low|high|assum\w+|scenarios?|settings?|simulat\w+|using|parameters?)(?:\s+(?:an?|the|its|any|values?|of|initial|estimated))*\s*$",
    re.IGNORECASE,
)
"""before the name: the number is taken for granted"""
THRESHOLD = re.compile(
    r"(?:[<>≤≥⩽⩾≪≫]|&[lg]t;|\b(?:less|greater|more|larger|smaller|higher|lower|bigger)\s+than|\b(?:below|above|under|exceed\w*|over|unity)|\bat\s+least)\s*$",
    re.IGNORECASE,
)
LOWERED = re.compile(
    r"\b(?:reduc\w+|decreas\w+|declin\w+|drop\w*|fell|falls?|lower\w*|control|intervention|lockdown|after\s+the)\b[^;]*$",
    re.IGNORECASE,
)
"""what an R0 is brought down to is no R0 of the disease"""
BEFORE = 110
"""letters between the name and its value at most"""
LEAST, MOST = 0.2, 25.0
"""what an R0 can be: measles has 12 to 18"""


def r0(record: Record) -> list[Cell]:
    """Basic reproduction numbers that an abstract states."""
    made = []
    for sentence in sentences.split(record.abstract):
        said = record.abstract[sentence.start : sentence.end]
        if R0.search(said) and not extracting.NOT_PEOPLE.search(said):
            made += list(_in_sentence(record, sentence, said))
    return made


def _in_sentence(record: Record, sentence: Span, said: str) -> Iterator[Cell]:
    names = [m.span() for m in R0.finditer(said)]
    others = [m.start() for m in OTHER.finditer(said)]
    end, last_end = 0, -1
    for m in sorted([*BOTH.finditer(said), *VALUE.finditer(said)], key=lambda m: (m.start(), -m.end())):
        groups = m.groupdict()
        first = "low" if groups.get("low") else "a"
        a, b = _number(m[first]), groups.get("high") or groups.get("b")
        b = _number(b) if b else None
        start = m.start(first)
        named = [span for span in names if span[1] <= m.start()]
        if m.start() < end or any(x < m.end() and start < y for x, y in names) or not named:
            continue
        began, last = named[-1]
        between = said[last:start]
        if (
            len(between) > BEFORE
            or any(last <= at < start for at in others)
            or ";" in between
            or re.search(r"\w\s*[=≈~]", between)
            or not LEAST <= a <= MOST
            or (b is not None and not a < b <= MOST)
            or (m[first].isdigit() and (len(between) > 40 or (b is None and COUNTED.match(said, m.end(first)))))
            or (
                said[start - 1 : start] == "("
                and b is None
                and said[m.end(first) : m.end(first) + 1] == ")"
                and first == "a"
                and re.search(r"[A-Za-z]\s*\($", between)
                and len(between) > 12
            )
            or (
                first == "low"
                and (
                    m[0][1:-1].replace(",", "").replace(" ", "").isdigit()
                    or re.search(r"\bC\.?r?I\b|interval|confidence", between)
                )
            )
            or (b is None and m[first] in ("1", "19"))  # the threshold, and half the name of the disease
            or extracting.MONTH.search(said[:start])
            or (said[start - 1 : start] == "[" and first == "a")
            or THRESHOLD.search(between.rstrip(" ="))
            or LOWERED.search(between)
            or OTHER.match(said[m.end() :].lstrip())
        ):
            continue
        end = m.end()
        low = high = None
        interval = ""
        if groups.get("sd"):
            low = high = _number(groups["sd"])
            interval = "SD"
        elif groups.get("after"):
            low, high, interval = extracting.interval(groups["after"], 1.0)
        kind = _kind(said[max(0, began - 60) : start], b, between if last_end >= last else "")
        last_end = end
        given = GIVEN.search(said[:began]) or extracting.ASSUMED.search(said[:start])
        yield Cell(
            record.id, "basic reproduction number", kind, None if b is not None else a, a if b is not None else low,
            b if b is not None else high, "range" if b is not None else interval,
            extracting.disease(said, start, record), not (given or extracting.CITED.search(said)),
            Span(sentence.start + start, sentence.start + m.end()), sentence,
        )  # fmt: skip


def _number(text: str) -> float:
    """A number as it is written.

    >>> [_number(text) for text in ("2.2", "3·28", "4,4", "2Â·5", "3")]
    [2.2, 3.28, 4.4, 2.5, 3.0]
    """
    return float(re.sub(r"\D+", ".", text))


def _kind(back: str, b: float | None, since: str) -> Kind:
    """`since`: what stands between the name and this value, if another value stands there too."""
    if b is not None:
        return "range"
    if since and re.search(r"\bto\s*$", since) and re.search(r"\brang\w+\s+from\b", since):
        return "maximum"
    places = [(m.start(), kind) for kind, pattern in extracting.KINDS for m in pattern.finditer(back)]
    return max(places)[1] if places else "value"
