"""What a query is asked in: words that say something, and one name for a disease of many names."""

import re

_STOP = """a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
    was will with"""
STOP = frozenset(_STOP.split())
"""the list that Lucene and bm25s use for English"""
ASKING = re.compile(
    r"\b(what|which|who|whom|whose|when|where|why|how|does|do|did|can|could|should|would|has|have|had|were|been|being|am"
    r"|i|we|you|me|us|any|some|please|tell|show|find|there|about|from|than|its|also|known)\b",
    re.IGNORECASE,
)
"""words of a question that say nothing of what is asked for"""
KNOWN = re.compile(
    r"\bwhat (is|do we|are) (currently |already )?(known|know|the evidence) (about|of|on)\b", re.IGNORECASE
)
COVID = re.compile(
    r"\b(?=[csn2hw])(covid[\s\-‐‑–]*(19|2019)?|sars[\s\-‐‑–]*cov[\s\-‐‑–]*2|2019[\s\-‐‑–]*ncov|ncov[\s\-‐‑–]*(2019|19)?|hcov[\s\-‐‑–]*19"
    r"|(2019[\s\-]+)?novel[\s\-]+coronavirus([\s\-]+(2019|disease|pneumonia|infection))?|new coronavirus|wuhan (coronavirus|pneumonia|virus)"
    r"|severe acute respiratory syndrome[\s\-]*corona\s?virus[\s\-]*2|coronavirus disease[\s\-]*(20)?19|sars[\s\-]*coronavirus[\s\-]*2|2019[\s\-]*novel[\s\-]*coronavirus)(?![a-z0-9])",
    re.IGNORECASE,
)  # fmt: skip
_LOW = re.compile(COVID.pattern)
NAME = "coviddisease"
"""the one word that stands for COVID-19 and its virus, beside what is written"""
WORD = re.compile(r"[^\W_]+")


def named(text: str) -> str:
    """A text with the one name of the disease added as often as it is spoken of, under whatever name.

    >>> named("2019-nCoV and SARS-CoV-2, not SARS-CoV")
    '2019-nCoV and SARS-CoV-2, not SARS-CoV coviddisease coviddisease'
    """
    low = text.lower()
    if "cov" not in low and "corona" not in low and "wuhan" not in low:  # every name of it holds one of these
        return text
    times = sum(1 for _ in _LOW.finditer(low))
    return f"{text} {' '.join([NAME] * times)}" if times else text


def asked(query: str) -> str:
    """What is left of a question when the asking is taken away; all of it, if that is nothing.

    >>> asked("What is known about transmission of COVID-19 in children?")
    'transmission of COVID-19 in children?'
    >>> asked("what is it")
    'what is it'
    """
    made = " ".join(ASKING.sub(" ", KNOWN.sub(" ", query)).split())
    return made if any(word.lower() not in STOP for word in WORD.findall(made)) else query


def terms(text: str) -> list[str]:
    """Words in lower case, as the engines see them before stemming; stop words left out.

    >>> terms("The R0 of 2019-nCoV is 2.2")
    ['r0', '2019', 'ncov', '2', '2']
    """
    return [word for word in (w.lower() for w in WORD.findall(text)) if word not in STOP and len(word) <= 40]
