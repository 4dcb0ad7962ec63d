"""What `edubba papers ask` answers in a whole library: questions on COVID-19, and questions on other subjects that it should leave.

    python recipes/papers/asking.py LIBRARY COVIDQA.json

LIBRARY: what `edubba papers build` made of a release of CORD-19. COVIDQA: 27 questions in two forms, with phrases that answer them
(Tang et al. 2020); a quotation that holds one of them, apart from case and punctuation, is a hit, and many good answers are none.
Asked at several thresholds of coverage; what ships is answering.COVERED. A minute. Figures in recipes/README.md.
"""

import json
import re
import sys
from pathlib import Path

from edubba.papers import answering, library

ELSEWHERE = (
    "What is the boiling point of tungsten?", "Who won the football world cup in 1998?", "How do I bake sourdough bread?",
    "What is the capital of Mongolia?", "How many strings does a cello have?", "What is the price of copper in Chile?",
    "When was the Eiffel Tower built?", "Which planets have rings?", "How fast does a cheetah run?", "Who wrote the Iliad?",
    "What is the GDP of Norway?", "How is parmesan cheese made?", "What causes the northern lights?",
    "How many bones does a shark have?", "Which programming language is best for beginners?",
    "What is the melting point of gallium arsenide?", "How do volcanoes erupt?", "How long is the Nile river?",
    "Why do cats purr?", "What colours are in the flag of Kenya?",
)  # fmt: skip


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


lib = library.open(sys.argv[1])
asked = []
for category in json.loads(Path(sys.argv[2]).read_text())["categories"]:
    for sub in category["sub_categories"]:
        phrases = {plain(answer["exact_answer"]) for answer in sub["answers"]} - {""}
        asked += [(sub[form], phrases) for form in ("nq_name", "kq_name")]
for least in (0.5, 0.6, 0.7):
    answering.COVERED = least
    held = []
    for question, phrases in asked:
        quoted = [plain(quotation.passage.text) for quotation in answering.ask(lib, question).quotations]
        held.append([any(phrase in text for phrase in phrases) for text in quoted])
    elsewhere = [question for question in ELSEWHERE if answering.ask(lib, question).quotations]
    print(
        f"{least:.1f}: {sum(map(bool, held))} of {len(asked)} answered, first quotation a hit {sum(h[:1] == [True] for h in held)},"
        f" one of five {sum(map(any, held))}; on other subjects {len(elsewhere)} of {len(ELSEWHERE)}: {'; '.join(elsewhere)}",
        flush=True,
    )
