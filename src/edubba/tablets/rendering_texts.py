"""Invented texts of an archive that never was: receipts, rations, loans and letters in Sumerian formulas.

Words, months and the ways in which names are formed are those of offices of about 2000 BCE; no line is copied from an
edition. Formulas come back all the time, names and amounts change: what a language model can learn, and what it cannot.
"""

import re
from collections.abc import Iterator

import numpy as np

from edubba.core import streams

# A rule's choices are separated by `|` and the first are the commonest; `/` begins a line of the tablet.
GRAMMAR = {
    rule: [choice.strip() for choice in choices.split("|")]
    for rule, choices in {
        "text": "<receipt> | <delivery> | <rations> | <loan> | <letter>",
        "receipt": "<goods> / <more> / ki <name>-ta / <name> šu ba-ti / <sealed> / <date> / <year>",
        "delivery": "<herd> / <herds> / mu-tum₂ <god> / ki <name>-ta / <name> i₃-dab₅ / <date> / <year>",
        "rations": (
            "<ration> / <ration> / <ration> / <others> / šu-niŋin₂ <number> sila₃ / ugula <name> / <date> / <year>"
        ),
        "loan": (
            "<number> gin₂ kug-babbar / ki <name>-ta / <name> šu ba-ti / igi <name> / igi <name> / <others> / "
            "<date> / <year>"
        ),
        "letter": "<name>-ra / u₃-na-a-dug₄ / <goods> / <more> / <name>-ra / he₂-na-ab-šum₂-mu / a-ba šeš-ŋu₁₀-gin₇",
        "more": "<goods> | <goods> / <goods> | <goods> / <goods> / <goods>",
        "goods": (
            "<number> še gur lugal | <number> sila₃ kaš saŋ | <number> sila₃ i₃-ŋiš | <number> zu₂-lum gur | "
            "<number> tug₂ gal | <number> ma-na siki"
        ),
        "herd": "<number> udu niga | <number> maš₂ gal | <number> gud niga | <number> sila₄ ga | <number> udu gal",
        "herds": "<herd> | <herd> / <herd> | <herd> / <herd> / <herd>",
        "ration": "<number> sila₃ še <name> | <number> sila₃ ninda <name> | <number> sila₃ kaš <name>",
        "others": "<ration> | <ration> / <ration> | <ration> / <ration> / <ration>",
        "sealed": "kišib₃ <name> | kišib₃ <name> | ŋiri₃ <name>",
        "date": "iti <month> u₄ <day>-kam | iti <month>",
        "month": "še-kin-kud | {d}šul-gi | a₂-ki-ti | gud-si-su | sig₄-a | ab-e₃",
        "day": "1(u) | 5(diš) | 2(u) | 1(u) 5(diš) | 3(diš) | 2(u) 4(diš)",
        "number": (
            "1(diš) | 2(diš) | 3(diš) | 5(diš) | 1(u) | 4(diš) | 1(u) 2(diš) | 6(diš) | 2(u) | 3(u) 5(diš) | 8(diš)"
        ),
        "year": "mu lugal-e <place> mu-hul | mu en <god> ba-huŋ | mu e₂ <god> ba-du₃ | mu us₂-sa en <god>",
        "place": "uri₅{ki} | si-mu-ru-um{ki} | an-ša-an{ki}",
        "god": "{d}nanna | {d}utu | {d}en-lil₂ | {d}inana | {d}iškur | {d}nin-ŋir₂-su",
        "name": (
            "<title> | ur-<god> | lu₂-<god> | <kin> | šu-<god> | <god>-ba-ni | lugal-an-na | a-hu-ni | ur-mes | "
            "i-din-<god> | la-qi₃-pu | en-um-i₃-li₂"
        ),
        "title": "ur-{d}lamma dumu lu₂-<god> | lugal-kug-zu dub-sar | a-hu-ni saŋŋa | lu₂-kal-la nu-banda₃",
        "kin": "<man> dumu <man> | <man> arad₂ lugal",
        "man": "a-bi₂-a-hi | i-ti-ba | ur-ŋar | lu₂-kal-la | da-da",
    }.items()
}
SKEW = 1.7
"""how much commoner the first choices of a rule are"""


def document(seed: int, i: int) -> str:
    """The i-th text as ATF.

    >>> print(document(0, 3).split("@obverse")[0])
    &X000003 = invented 3
    #atf: lang sux
    @tablet
    <BLANKLINE>
    """
    lines = [line.strip() for line in expanded("text", _numbers(seed, i)).split("/")]
    numbered = "".join(f"{n}. {line}\n" for n, line in enumerate(lines, 1))
    return f"&X{i:06d} = invented {i}\n#atf: lang sux\n@tablet\n@obverse\n{numbered}"


def expanded(rule: str, numbers: Iterator[float]) -> str:
    """A rule with choices made until no rule is left."""
    choices = GRAMMAR[rule]
    chosen = choices[int(len(choices) * next(numbers) ** SKEW)]
    return re.sub("<([a-z_]+)>", lambda found: expanded(found[1], numbers), chosen)


def _numbers(seed: int, i: int) -> Iterator[float]:
    return iter(streams.uniform(seed, "tablets/texts", index=np.array([i]), k=400)[0].tolist())
