"""Sentences of scientific prose, as places in the text: what is quoted is `text[start:end]` to the letter."""

import re
from typing import NamedTuple

STOP = re.compile(r"[.!?。]+[\"'”’)\]]*(?:[(\[]\d+(?:[,;–-]\s?\d+)*[)\]])*[.]?(?=\s+|$)")
"""what may end a sentence, with the quotes, brackets and references that belong to it"""
_SHORT = """al approx ca cf chap co corp dept dr ed eds e.g eq eqs et etc fig figs i.e inc incl jr lab ltd max min mr mrs ms no
    nos nr p pp prof ref refs resp sect sp spp sr ssp st subsp suppl tab tabs var viz vol vs"""
SHORT = frozenset(_SHORT.split())
"""words whose point ends no sentence"""
LAST = re.compile(r"([^\s(\[]+)[.!?]+[\"'”’)\]]*$")
LETTER = re.compile(r"^[A-Z]$")
_ENDING = "al etc"
ENDING = frozenset(_ENDING.split())
"""short words after which a sentence may end all the same, where the next begins like one"""
BEGINS = re.compile(r"\s+[\"'“‘(\[]*(?=[A-Z0-9“‘\u0391-\u03a9\u0410-\u042f])")
_STARTERS = "The This These We In A An It Our Here However Although As For To Their They Both All Of On"
STARTERS = frozenset(_STARTERS.split())


class Span(NamedTuple):
    start: int
    end: int


def split(text: str) -> list[Span]:
    """Places of the sentences of a text, in code points; together they hold all that is no white space.

    >>> text = "Wang et al. found 5.2 days (95% CI 4.1-7.0) vs. 4 in Fig. 2. E. coli grew. Was it so? Yes."
    >>> [text[a:b] for a, b in split(text)]
    ['Wang et al. found 5.2 days (95% CI 4.1-7.0) vs. 4 in Fig. 2.', 'E. coli grew.', 'Was it so?', 'Yes.']
    """
    made, start = [], len(text) - len(text.lstrip())
    for stop in STOP.finditer(text):
        end = stop.end()
        if end < len(text.rstrip()) and not _ends(text, start, end):
            continue
        if end > start:
            made.append(Span(start, end))
        start = end + len(text[end:]) - len(text[end:].lstrip()) if end < len(text) else end
    if text[start:].strip():
        made.append(Span(start, len(text.rstrip())))
    return made


def _ends(text: str, start: int, end: int) -> bool:
    """Whether a sentence ends at what looks like its end."""
    after = BEGINS.match(text, end)
    if after is None:
        return False
    last = LAST.search(text, max(start, end - 40), end)
    if last is None or "." not in text[last.end(1) : end]:
        return True
    word = last[1].rstrip(".").lower()
    following = re.match(r"[A-Za-z]+", text[after.end() :])
    starts = following is not None and following[0] in STARTERS
    if word in ENDING:
        return starts
    if word in SHORT:
        return False
    if LETTER.match(last[1]):  # an initial, or the genus of a species
        return starts
    return True


def passages(spans: list[Span], *, size: int = 3, stride: int = 1) -> list[Span]:
    """Windows of several sentences; of few sentences there is one.

    >>> passages([Span(0, 5), Span(6, 9), Span(10, 12), Span(13, 20)])
    [Span(start=0, end=12), Span(start=6, end=20)]
    """
    if len(spans) <= size:
        return [Span(spans[0].start, spans[-1].end)] if spans else []
    last = len(spans) - size
    places = [*range(0, last, stride), last]
    return [Span(spans[i].start, spans[i + size - 1].end) for i in places]
