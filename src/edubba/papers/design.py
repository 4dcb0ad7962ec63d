"""How strong a study is by its kind, as its title and abstract say it."""

import re

DESIGNS = (
    "systematic review", "rct", "prospective cohort", "retrospective cohort", "case-control", "cross-sectional", "case series",
    "case report", "modelling", "in vitro", "animal", "protocol", "review", "editorial",
)  # fmt: skip
"""kinds, from the strongest; a protocol is no trial, whatever it plans"""
_TITLE = (
    ("protocol", "protocol", r"\bprotocol (for|of)\b|: (a |the )?(study |trial )?protocol\b|study protocol"),
    ("systematic review", "review meta", r"\bsystematic(al)?(ly)? (literature )?review|meta[- ]?analys[ei]s|scoping review|umbrella review"),
    ("rct", "random rct placebo", r"\brandomi[sz]ed\b(?!.{0,30}\b(sample|survey))|\brct\b|\bplacebo[- ]controlled"),
    ("case report", "case", r"\bcase report|\breport of (a|one|two|three) cases?\b|\ba case of\b"),
    ("case series", "series", r"\bcase series\b|\bseries of \d+ (cases|patients)"),
    ("case-control", "control", r"\bcase[- ]control(led)?\b"),
    ("prospective cohort", "prospectiv", r"\bprospective(ly)?\b(?!.{0,20}protocol)"),
    ("retrospective cohort", "retrospectiv", r"\bretrospective(ly)?\b"),
    ("cross-sectional", "sectional seroprevalence survey", r"\bcross[- ]sectional\b|\bseroprevalence\b|\bsurvey (of|among|in)\b|: (an )?(online |national )?survey\b"),
    ("modelling", "model simulation forecast", r"\bmathematical model|\bmodel(l)?ing\b|\bsimulation|\bSE?IR model|\bforecast"),
    ("in vitro", "vitro culture vero", r"\bin vitro\b|\bcell culture|\bVero E6\b"),
    ("animal", "mice mouse murine macaque ferret hamster rat pig animal", r"\b(mouse|mice|murine|macaques?|ferrets?|hamsters?|rats?|pigs?|animal) (model|study|experiment)s?\b|\bin (mice|ferrets|hamsters|macaques|rats)\b"),
    ("editorial", "editorial comment correspondence letter reply perspective viewpoint opinion", r"^(editorial|comment(ary)?|correspondence|letter to the editor|reply|perspective|viewpoint|opinion)\b|: (a )?(commentary|perspective|viewpoint)$"),
    ("review", "review", r"\b(narrative |literature |brief |mini-?|critical )?review\b(?! of (medical|patient|clinical|hospital) (records|charts))"),
)  # fmt: skip
_ABSTRACT = (
    ("systematic review", "systematic meta prisma", r"\b(we|this) (conducted|performed|did|carried out|undertook)?.{0,20}\b(systematic (literature )?review|meta[- ]?analysis)\b|\bPRISMA\b"),
    ("rct", "random blind", r"\bwere randomly (assigned|allocated)\b|\brandomi[sz]ed (controlled|clinical) trial\b.{0,80}\b(we|patients|participants)\b|\bdouble[- ]blind"),
    ("case-control", "control", r"\bcase[- ]control study\b"),
    ("prospective cohort", "prospectiv", r"\bprospective(ly)? (cohort|observational|study|enrolled|collected)|\bprospectively\b"),
    ("retrospective cohort", "retrospectiv records", r"\bretrospective(ly)? (\w+ )?(cohort|study|analysis|reviewed|analy[sz]ed|collected|review)|\bmedical records (of|were)\b|\bretrospectively\b"),
    ("cross-sectional", "sectional questionnaire", r"\bcross[- ]sectional\b|\bquestionnaire\b"),
    ("case series", "series", r"\bcase series\b"),
    ("case report", "case patient", r"\bwe (report|describe|present) (a|the|one) (case|patient)\b|\bcase report\b"),
    ("modelling", "model simulation", r"\b(mathematical|dynamic(al)?|transmission|compartmental|stochastic|SE?IR)\s+model|\bmodel(l)?ing study\b|\bsimulations?\b"),
    ("in vitro", "vitro vero", r"\bin vitro\b|\bVero( E6)? cells\b"),
    ("animal", "mice ferrets hamsters macaques rats mouse", r"\b(infected|inoculated|challenged|immuni[sz]ed) (mice|ferrets|hamsters|macaques|rats)\b|\bmouse model\b"),
)  # fmt: skip
TITLE, ABSTRACT = (
    [(name, tuple(hints.split()), re.compile(pattern.lower())) for name, hints, pattern in rules]
    for rules in (_TITLE, _ABSTRACT)
)
"""kind, words of which one stands in every text of that kind (they are looked for first, being quick to find), pattern"""


def of(title: str, abstract: str = "") -> str:
    """The kind of a study, one of `DESIGNS`, or nothing where neither title nor abstract says.

    The title is believed first: what an abstract mentions may be another study's.

    >>> of("Lopinavir in adults: a randomised trial"), of("Retrospective review of medical records of 40 patients")
    ('rct', 'retrospective cohort')
    >>> of("Clinical features", "Patients were randomly assigned to"), of("Protocol for a randomised trial"), of("A virus")
    ('rct', 'protocol', '')
    """
    for rules, text in ((TITLE, title), (ABSTRACT, abstract)):
        low = text.lower()
        for name, hints, pattern in rules:
            if any(hint in low for hint in hints) and pattern.search(low):
                return name
    return ""
