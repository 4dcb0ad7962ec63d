"""Sample sizes that abstracts state: people who were taken in or analysed, not screened ones, not parts of them."""

import re
from collections.abc import Iterator

from edubba.papers import extracting, sentences
from edubba.papers.extracting import Cell
from edubba.papers.records import Record
from edubba.papers.sentences import Span

COUNT = r"(?P<n>\d{1,3}(?:[,   ]\d{3})+(?!\d)|\d+(?![\d,.]*\d)|(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?\b)"
WHO = r"""(?:in|out)?patients?|participants?|subjects?|individuals|adults|children|infants|neonates|newborns|people|persons|respondents?|volunteers?|students?
    |women|men|males|females|workers?|nurses?|physicians?|doctors?|employees|residents|cases|survivors|HCWs?|pregnant\s+women|healthcare\s+(?:workers?|professionals?)|donors?|veterans?|recipients"""
PEOPLE = re.compile(
    rf"(?<![\w.,·/%-]){COUNT}(?:\s+(?!(?:of|in|and|or|to|were|was|with|had|from|for|among|hundred|thousand|million|that|who|studies|articles|reports|cases?|deaths?)\b)[A-Za-z][\w-]*){{0,5}}?\s+(?:{WHO})\b",
    re.IGNORECASE | re.VERBOSE,
)
IS = re.compile(rf"(?<![\w])\(?\s*[nN]\s*=\s*{COUNT}", re.VERBOSE)
TAKEN_IN = re.compile(
    r"\b(?:total\s+of|total|includ\w+|enroll?\w*|recruit\w+|analy[sz]\w+|studied|randomi[sz]\w+|assigned|survey\w*|review\w+|evaluated|examined|consist\w+|compris\w+|cohort\s+of"
    r"|series\s+of|sample\s+of|data\s+(?:of|from|on)|records\s+of|identified|among|participat\w+|complet\w+|responded|interviewed|investigated|collected|tested)\b",
    re.IGNORECASE,
)
REPORT = re.compile(
    r"\b(?:we|here|herein)\s+(?:\w+\s+)?(?:report|describe|present)\w*\s*(?:on\s+|here\s+)?$|\bcase\s+(?:report|series)\s+of\s*$",
    re.IGNORECASE,
)
NOT_TAKEN = re.compile(
    r"\b(?:screen\w*|excluded|eligible|invited|approached|lost|withdr\w+|declined|died|deaths?|population|million|worldwide|globally|as\s+of|confirmed\s+cases\s+(?:in|have|had|and)"
    r"|per\s+[\d,]+|\b\d+\s+in|(?:has|have|had)\s+been\s+reported|were\s+reported|tested\s+negative|before|except|globally|outbreak\s+(?:involved|of)|reported\s+(?:cases|worldwide)|infected\s+(?:more|over)|more\s+than|over|nearly|approximately\s+\d+\s+million|pandemic\s+has)\b",
    re.IGNORECASE,
)
PART = re.compile(
    r"\b(?:(?:of|among)\s+(?:whom|these|which|them|the)|who|whereas|group|arm|control|respectively|while)\b|\b(?:(?:hundred|thousand)(?:\s+and)?|less\s+than|fewer\s+than)\s*$|[(/[]\s*$|(?<!total )(?<!cohort )(?<!sample )(?<!series )(?<!data )(?<!records )(?<!ists )(?<!isted )\bof\s*$",
    re.IGNORECASE,
)
SEX = re.compile(r"\b(?:fe)?males?\b|\b(?:wo)?men\b", re.IGNORECASE)
NEXT = re.compile(r"\b(?:includ\w+|consist\w+(?:\s+of)?|compris\w+|and)\s*$", re.IGNORECASE)
"""what stands before a part, where the whole was counted before in the same sentence"""
LIKE = re.compile(WHO, re.IGNORECASE | re.VERBOSE)
ABROAD = re.compile(
    r"\b(?:as\s+(?:of|on)|worldwide|globally|around\s+the\s+world|world\s+health|a\s+large\s+cohort|another\s+study|et\s+al|previous\w*|(?:has|have)\s+been\s+(?:reported|confirmed)|in\s+the\s+\w+\s+studies)\b",
    re.IGNORECASE,
)
"""sentences that tell of the world, or of others' studies"""
SURE = 1.0
"""worth from which on a count is the study's"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {word: 10 * i for i, word in enumerate(_TENS.split(), 2)}
FEWEST = 2
MOST = 50_000_000


def sample_size(record: Record) -> list[Cell]:
    """Counts of people that an abstract states; `primary` is the one that is most likely the study's."""
    found = []
    parts = sentences.split(record.abstract)
    for at, sentence in enumerate(parts):
        for n, span, worth in _in_sentence(record.abstract[sentence.start : sentence.end]):
            found.append((worth - 0.02 * at, n, Span(sentence.start + span.start, sentence.start + span.end), sentence))
    if not found:
        return []
    best = max(range(len(found)), key=lambda i: (found[i][0], found[i][1]))
    return [
        Cell(
            record.id, "sample size", "value", float(n), None, None, "", extracting.disease(
                record.abstract[sentence.start : sentence.end], span.start - sentence.start, record
            ),
            i == best and worth >= SURE, span, sentence,
        )
        for i, (worth, n, span, sentence) in enumerate(found)
    ]  # fmt: skip


def _in_sentence(said: str) -> Iterator[tuple[int, Span, float]]:
    """Count, place, and how likely it is the study's whole sample."""
    seen: set[int] = set()
    for m in sorted([*PEOPLE.finditer(said), *IS.finditer(said)], key=lambda m: m.start("n")):
        if m.start("n") in seen:
            continue
        seen.add(m.start("n"))
        n = _count(m["n"])
        if not FEWEST <= n <= MOST or re.match(r"\s*%", said[m.end("n") :]) or _year(m, said):
            continue
        if m.re is IS and not LIKE.search(said[max(0, m.start() - 60) : m.start()]):
            continue
        before, after = said[: m.start("n")], said[m.end() :]
        worth = -0.7 if ABROAD.search(said) else 0.5
        if TAKEN_IN.search(before[-60:]) or TAKEN_IN.search(after[:45]):
            worth += 1.0
        if REPORT.search(before[-30:]):
            worth += 0.8
        if re.search(r"\btotal\s+(?:of\s+)?$", before, re.IGNORECASE):
            worth += 0.6
        if NOT_TAKEN.search(before[-50:]) or NOT_TAKEN.search(m[0]) or NOT_TAKEN.search(after[:30]):
            worth -= 1.2
        sex = SEX.search(m[0])
        both = sex is not None and any(x[0].lower()[:1] != sex[0].lower()[:1] for x in SEX.finditer(said))
        if both or PART.search(before[-25:]) or (len(seen) > 1 and NEXT.search(before[-25:])):
            worth -= 1.6
        yield n, Span(m.start("n"), m.end()), worth


def _year(m: re.Match[str], said: str) -> bool:
    return bool(re.fullmatch(r"(?:19|20)\d\d", m["n"])) and bool(
        re.search(
            r"\b(?:[Ii]n|since|until|from|to|and|of|by|during|disease|coronavirus|COVID|[A-Z][a-z]{2,8}\.?|\d{1,2},?)\s*$",
            said[: m.start("n")],
        )
    )


def _count(text: str) -> int:
    """A count as it is written.

    >>> [_count(t) for t in ("1,099", "44 672", "138", "forty-two", "Twelve")]
    [1099, 44672, 138, 42, 12]
    """
    if text[0].isdigit():
        return int(re.sub(r"\D", "", text))
    return int(sum(TENS.get(word, extracting.SPELT.get(word, 0)) for word in re.split(r"[\s-]", text.lower())))
