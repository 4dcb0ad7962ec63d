"""Numbers out of sentences: every cell keeps the sentence it stands in, and its place, to the letter.

A value belongs to the quantity that is named last before it, or right after it ("5-day incubation period"); values of other
quantities, thresholds ("longer than 14 days") and what is not about people fallen ill are left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edubba.papers import sentences, words
from edubba.papers.records import Record
from edubba.papers.sentences import Span

Kind = Literal["mean", "median", "mode", "range", "maximum", "minimum", "percentile", "value"]


@dataclass(frozen=True)
class Cell:
    """A value, and where it stands: `record.abstract[span.start:span.end]`."""

    id: str
    quantity: str
    kind: Kind
    value: float | None
    """None for a range"""
    low: float | None
    high: float | None
    interval: str
    """what low and high are: 95% CI, IQR, range, SD, or nothing where it is not said"""
    disease: str
    primary: bool
    """False where others are cited, or a value is taken for granted"""
    span: Span
    sentence: Span


_SPELT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
SPELT = {word: float(i) for i, word in enumerate(_SPELT.split())}
NUMBER = rf"(?:\d+(?:[.·]\d+)?|(?<![A-Za-z])(?:{'|'.join(SPELT)})(?![A-Za-z]))"
DASH = r"\s*(?:-|–|—|−|\bto\b|[^\x00-\x7f]{2,})\s*"  # the last: dashes of a wrong encoding
TIMES = {"d": 1.0, "h": 1 / 24, "w": 7.0}
DURATION = re.compile(
    rf"(?P<a>{NUMBER})\s*(?:days?|d)?(?:{DASH}(?P<b>{NUMBER}))?(?:\s*(?:\+/-|±)\s*(?P<sd>{NUMBER}))?"
    rf"(?P<inside>\s*\([^()]*\d[^()]*\))?\)?\s*-?\s*(?P<unit>days?|d|hours?|h|hrs?|weeks?|wks?)\b"
    rf"(?P<after>\s*[(\[][^()\[\]]*(?:\([^()]*\)[^()]*)?[)\]])?",
    re.IGNORECASE,
)
PAIR = re.compile(
    rf"(?<=between )(?P<a>{NUMBER})\s*(?:days?|d)?\s+and\s+(?P<b>{NUMBER})\s*(?P<unit>days?|d|weeks?)\b", re.IGNORECASE
)
INCUBATION = re.compile(r"\bincubation[\s-]+(?:periods?|times?|durations?)\b", re.IGNORECASE)
OTHER = re.compile(
    r"""\b(serial\s+intervals?|generation\s+(?:intervals?|times?)|latent\s+period|infectious\s+period|interval(?:\s+time)?\s+(?:between|from|of)
    |(?<!incubation\s)(?<!incubation-)(?<!latent\s)(?<!mean\s)(?<!average\s)(?<!median\s)(?:time|period|duration)\s+(?:from|to|between|of|since|for)|onset|admission|quarantined?|isolat\w+|follow-?up
    |hospital\s+stay|age|aged|reproducti(?:ve|on)\s+number|doubling|shedding|diagnosis|visit|death|survival|infectivity|lag\w*|pneumonia
    |treatment|exposure\s+window|contagiousness)\b""",
    re.IGNORECASE | re.VERBOSE,
)
TRAILING = re.compile(r"\bfor\s+(?:the\s+)?[,;.]$", re.IGNORECASE)
MONTH = re.compile(r"\b(jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?\s+$", re.IGNORECASE)
_NAME = r"(?:mean|average|median|mode)"
LISTED = re.compile(
    rf"(?P<names>{_NAME}(?:\s*(?:,|,?\s*and)\s*{_NAME})+)\s+incubation\s+periods?\s+(?:were|are|was|is)\s+"
    rf"(?P<values>{NUMBER}(?:\s*,\s*{NUMBER})*,?\s+and\s+{NUMBER})\s*days",
    re.IGNORECASE,
)
"""several statistics in one breath: average, mode and median incubation periods are 7.4, 4 and 7 days"""
WITH_SD = re.compile(
    rf"\bmean\s+and\s+(?:standard deviation|SD)\s+(?:were|was)\s+(?P<mean>{NUMBER})\s*days?\s+and\s+(?P<sd>{NUMBER})\s*days?\s+for\s+(?:the\s+)?incubation",
    re.IGNORECASE,
)
SEVERAL = re.compile(
    r"\bfull(-length)?\s+incubation|\b(two|three|2|3)\b[^.]{0,14}incubation periods\s*\($", re.IGNORECASE
)
SPREAD = re.compile(r"(\bSD|standard deviation|\bCI|interval)(\s+of)?\W*$", re.IGNORECASE)
BESIDE = re.compile(r"\s*((estimated|average|mean|median|typical)\s+)?", re.IGNORECASE)
LIMIT = re.compile(
    r"\b((more|longer|less|shorter|fewer|greater|later)\s+than(\s+or\s+equal\s+to)?|exceed\w*|at\s+least|within|after|over|first|last|every"
    r"|per\b(\s+\w+){0,2}|[<>≤≥]|days?\s+of)\s*(\w+\s+)?\W*$",
    re.IGNORECASE,
)
COMPARED = re.compile(r"\s*\)?\s*(longer|shorter|earlier|later|more|less)\b", re.IGNORECASE)
UP_TO = re.compile(r"\b(up\s+to|as\s+long\s+as|longest|maximum|max)\b", re.IGNORECASE)
NOT_PEOPLE = re.compile(
    r"\b(mice|mouse|ferrets?|hamsters?|macaques?|rats?|piglets?|chickens?|cats?|camels?|cultures?|cultured|cell lines?|cells|plates?|agar|°\s?C|in vitro)\b",
    re.IGNORECASE,
)
BELIEVED = re.compile(r"\b(dentists?|students?|participants?|respondents?|workers?|physicians?|public)\b[^.]{0,40}\b(reported|believed|knew|thought|answered|said|aware)\b", re.I)  # fmt: skip
ASSUMED = re.compile(r"\b(assum\w+|set\s+(?:to|as)|suppos\w+|scenario|hypothe\w+|if\s+the)\b", re.IGNORECASE)
CITED = re.compile(
    r"\b(previous(?:ly)?|earlier|reported\s+(?:by|in|that|incubation)|established|according\s+to|believed|research\s+states|studies|literature"
    r"|(?-i:WHO)|estimated\s+by|current\s+evidence|et\s+al|reports?\s+suggest|careful\s+analysis|worldwide|has\s+been\s+(?:set|described|estimated))\b",
    re.IGNORECASE,
)
KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("percentile", re.compile(r"percentile|quantile|\d\s*%\s+of\b", re.IGNORECASE)),
    ("median", re.compile(r"\bmedian", re.IGNORECASE)),
    ("mean", re.compile(r"\b(mean|average\w*)\b", re.IGNORECASE)),
    ("mode", re.compile(r"\bmode\b", re.IGNORECASE)),
    (
        "minimum",
        re.compile(r"\b(shortest|minimum|minimal|as few as|as short as|(extended|ranged|varied|spanned) from)\b", re.I),
    ),
)
INTERVALS = (
    ("95% CI", re.compile(r"\bC\.?I|confidence|credib", re.IGNORECASE)), ("IQR", re.compile(r"\bIQR|interquartile", re.IGNORECASE)),
    ("range", re.compile(r"\brang", re.IGNORECASE)), ("SD", re.compile(r"\bSD\b|standard deviation|±|\+/-", re.IGNORECASE)),
)  # fmt: skip
DISEASES = (
    ("COVID-19", words.COVID), ("MERS", re.compile(r"\bMERS\b|middle east respiratory", re.IGNORECASE)),
    ("SARS", re.compile(r"\bSARS\b(?![\s\-–‐]*(CoV|coronavirus)[\s\-–‐]*2)|severe acute respiratory syndrome(?! coronavirus 2)", re.IGNORECASE)),
    ("influenza", re.compile(r"\binfluenza\b|\bH\d+N\d+\b", re.IGNORECASE)), ("Ebola", re.compile(r"\bebola\b", re.IGNORECASE)),
)  # fmt: skip


class Value(NamedTuple):
    """A duration in days, as it is written."""

    span: Span
    a: float
    b: float | None
    low: float | None
    high: float | None
    interval: str


def incubation(record: Record) -> list[Cell]:
    """Incubation periods that an abstract states, in days."""
    made = []
    text = record.abstract
    for sentence in sentences.split(text):
        said = text[sentence.start : sentence.end]
        if INCUBATION.search(said) and not NOT_PEOPLE.search(said) and not BELIEVED.search(said):
            made += list(_in_sentence(record, sentence, said))
    return made


def _in_sentence(record: Record, sentence: Span, said: str) -> Iterator[Cell]:
    # "4.4 days for the incubation period, 2.5 days for ...": what follows is another's
    of_it = [
        m.span()
        for m in INCUBATION.finditer(said)
        if not TRAILING.search(said[: m.start()] + said[m.end() : m.end() + 1])
    ]
    others = [m.span() for m in OTHER.finditer(said)]
    listed = list(_listed(said))
    for span, kind, value, sd in listed:
        yield Cell(
            record.id, "incubation period", kind, value, sd, sd, "SD" if sd is not None else "", disease(said, span.start, record),
            not CITED.search(said), Span(span.start + sentence.start, span.end + sentence.start), sentence,
        )  # fmt: skip
    for value in durations(said):
        start, end = value.span
        if any(span.start < end and start < span.end for span, *_ in listed):
            continue
        before = max(((b, a) for a, b in of_it if b <= start), default=None)
        rival = max((b for _, b in others if b <= start), default=-1)
        after = next((a for a, _ in of_it if a >= end), None)
        named = (
            before is not None and start - before[0] < 260 and rival <= before[0] and ";" not in said[before[0] : start]
        )
        beside = after is not None and BESIDE.fullmatch(said[end:after]) is not None
        close = said[max(0, start - 28) : start]
        another = (
            OTHER.match(said[end:].lstrip(" 0123456789")) or SPREAD.search(said[:start]) or COMPARED.match(said[end:])
        )
        limit = (
            LIMIT.search(close)
            and not UP_TO.search(close)
            and not re.search(r"range|between|from|percentile", close, re.I)
        )
        if not (named or beside) or another or limit or SEVERAL.search(said[:start]) or ASSUMED.search(said[:start]):
            continue
        if named and before is not None:
            back, lead = said[before[0] : start], said[max(0, before[1] - 45) : start]
        else:
            back = lead = re.split(r"[,;]", said[max(0, start - 40) : start])[-1]
        kind = _kind(value, back, lead, close)
        yield Cell(
            record.id, "incubation period", kind, None if kind == "range" else value.a,
            value.a if kind == "range" else value.low, value.b if kind == "range" else value.high,
            "range" if kind == "range" else value.interval, disease(said, start, record), not CITED.search(said),
            Span(start + sentence.start, end + sentence.start), sentence,
        )  # fmt: skip


def _listed(said: str) -> Iterator[tuple[Span, Kind, float, float | None]]:
    """Place, kind, value and standard deviation of what is said in one breath."""
    for m in LISTED.finditer(said):
        names = re.findall(_NAME, m["names"], re.IGNORECASE)
        values = list(re.compile(NUMBER, re.IGNORECASE).finditer(said, *m.span("values")))
        if len(names) == len(values):
            for name, value in zip(names, values, strict=True):
                kind: Kind = "median" if name.lower() == "median" else "mode" if name.lower() == "mode" else "mean"
                yield Span(*value.span()), kind, number(value[0]), None
    for m in WITH_SD.finditer(said):
        yield Span(*m.span("mean")), "mean", number(m["mean"]), number(m["sd"])


def _kind(value: Value, back: str, lead: str, close: str) -> Kind:
    if value.b is not None:
        return "range"
    if UP_TO.search(close) or UP_TO.search(lead[-60:]):
        return "maximum"
    places = [(m.start(), kind) for kind, pattern in KINDS for m in pattern.finditer(back)]
    if places:  # the last that is said before the value
        return max(places)[1]
    places = [(m.start(), kind) for kind, pattern in KINDS for m in pattern.finditer(lead)]
    return max(places)[1] if places else "value"


def durations(text: str) -> list[Value]:
    """Durations in a text, in days.

    >>> [(text[v.span.start:v.span.end], v.a, v.low, v.high, v.interval) for text in ["5.2 days (95% CI 4.1-7.0)"] for v in durations(text)]
    [('5.2 days (95% CI 4.1-7.0)', 5.2, 4.1, 7.0, '95% CI')]
    >>> [(v.a, v.b) for v in durations("from 1 to 32 days, or 4·8 days, or 48 h")]
    [(1.0, 32.0), (4.8, None), (2.0, None)]
    """
    made, end = [], 0
    found = sorted([*PAIR.finditer(text), *DURATION.finditer(text)], key=lambda m: (m.start(), -m.end()))
    for m in found:
        if m.start() < end or (m.start() and text[m.start() - 1] in ".·/%"):
            continue
        if MONTH.search(text[: m.start()]):  # a date
            again = DURATION.match(text, m.start("b")) if m["b"] else None
            if again is None:
                continue
            m = again
        end = m.end()
        scale = TIMES[m["unit"][0].lower()]
        a = number(m["a"]) * scale
        b = number(m["b"]) * scale if m["b"] else None
        low = high = None
        width = ""
        groups = m.groupdict()
        if groups.get("sd"):
            low = high = number(groups["sd"]) * scale
            width = "SD"
        for part in (groups.get("inside"), groups.get("after")):
            if part and not width:
                low, high, width = interval(part, scale)
        if b is not None and b < a:  # 7-5: no range
            b = None
        made.append(Value(Span(m.start(), m.end()), a, b, low, high, width))
    return made


def interval(part: str, scale: float) -> tuple[float | None, float | None, str]:
    """What stands in brackets after a value."""
    name = next((name for name, pattern in INTERVALS if pattern.search(part)), "")
    kept = re.sub(r"\d+(?:\.\d+)?\s*%(?:\s*(?:CI|CrI))?|\d+(?:\.\d+)?(?:st|nd|rd|th)", " ", part)
    numbers = [number(n) * scale for n in re.findall(NUMBER, kept, re.IGNORECASE)]
    if name == "SD" and len(numbers) == 1:
        return numbers[0], numbers[0], name
    if len(numbers) >= 2 and numbers[0] <= numbers[1]:
        return numbers[0], numbers[1], name
    return None, None, ""


def number(text: str) -> float:
    spelt = SPELT.get(text.lower())
    return float(text.replace("·", ".")) if spelt is None else spelt


def disease(sentence: str, at: int, record: Record) -> str:
    """What a value at a place of a sentence speaks of: the disease named last before it, or first after it, or in title or abstract.

    Where neither names it in the sentence, an abstract that names COVID-19 at all is about that.
    """
    found = sorted((m.start(), name) for name, pattern in DISEASES for m in pattern.finditer(sentence))
    if found:
        before = [name for start, name in found if start < at]
        return before[-1] if before else found[0][1]
    for text in (record.title, record.abstract):
        named = sorted((m.start(), name) for name, pattern in DISEASES if (m := pattern.search(text)))
        if any(name == "COVID-19" for _, name in named):
            return "COVID-19"
        if named:
            return named[0][1]
    return ""
