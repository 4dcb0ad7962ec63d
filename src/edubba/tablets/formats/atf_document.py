"""A file of ATF as a document: texts, rows and tokens, of which the file can be made again to the letter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edubba.core.errors import UserError
from edubba.tablets import signlist
from edubba.tablets.formats.atf_tokens import GAP, Dialect, Problem, Token, tokens_of
from edubba.tablets.records import Sign
from edubba.tablets.signlist import SignList

RowKind = Literal[
    "text", "header", "protocol", "object", "surface", "column", "state", "note", "translation", "blank", "unknown"
]

OBJECTS = {"tablet", "envelope", "prism", "cylinder", "cone", "brick", "bulla", "fragment", "object", "case"}
SURFACES = {
    "obverse", "reverse", "left", "right", "top", "bottom", "upper", "lower", "edge", "face", "surface", "seal", "side",
}  # fmt: skip
STRUCTURES = {
    "composite", "score", "m", "div", "end", "h", "note", "label", "include", "colophon", "catchline", "date", "docket",
    "signature", "signatures", "summary", "witnesses", "transliteration", "variant", "locator", "list", "model",
}  # fmt: skip
PROTOCOLS = ("#project", "#atf", "#link", "#key", "#bib", "#version", "#lemmatizer")
HEADER = re.compile(r"&\s*(?P<id>[^\s=]+)(?P<rest>\s*=\s*(?P<name>.*))?")
LABEL = re.compile(r"(?P<label>(?:[A-Za-z]\+)?\d[\w+.'′’´–-]*?)\.(?=\s|$)\s*")
GLUED = re.compile(r"(?P<label>\d+[a-z]?['′’]*)\.(?=[^\s\d.])")
POINTLESS = re.compile(r"(?P<label>\d+[a-z]?['′’]*)(?=\s)\s*")
SCORE = re.compile(r"(?P<label>\S+:)(?=\s)\s*")
UNDER = re.compile(r"(?P<label>==|=:|=\{|=\.)(?=\s)\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a file."""

    kind: RowKind
    number: int
    """of the line in its file, from 1"""
    text: str
    """the line; of a line of text what stands before its tokens"""
    label: str = ""
    tokens: tuple[Token, ...] = ()
    end: str = "\n"

    @property
    def signs(self) -> tuple[Sign, ...]:
        return tuple(token.sign for token in self.tokens if token.sign is not None)

    @property
    def written(self) -> str:
        """What the editor wrote after the number."""
        return "".join(token.text for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Text:
    """What stands under one `&`."""

    id: str
    name: str
    language: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Document:
    """A file of ATF, whole."""

    texts: tuple[Text, ...]
    dialect: Dialect
    path: str
    problems: tuple[Problem, ...]
    """in the order of the file"""


def parse(text: str, *, path: str = "", dialect: Dialect | None = None, signs: SignList | None = None) -> Document:
    """A file's text, row by row; what is wrong is listed in the document and the rest goes on.

    Parameters
    ----------
    path
        Named in messages.
    dialect
        None: `oracc` where there is a project, lemmata or `#atf: use`; `ebl` where there are letters outside ASCII; `c-atf`.
    signs
        The sign list; None: the one that ships.
    """
    known = signs or signlist.load()
    spoken = dialect or dialect_of(text)
    problems: list[Problem] = []
    texts: list[Text] = []
    rows: list[Row] = []
    made = Text("", "", "", ())
    translated, score = False, re.search(r"(?m)^@score\b", text) is not None
    for number, line in enumerate(_lines(text), 1):
        content = line.rstrip("\r\n")
        end = line[len(content) :]
        if content.startswith("&"):
            if rows:
                texts.append(replace(made, rows=tuple(rows)))
            found = HEADER.match(content)
            if found is None or found["rest"] is None:
                column = len(content.rstrip()) + 1 if found else 2
                problems.append(
                    Problem(number, column, "a text begins with its number and name: write '&P123456 = NAME'")
                )
            made = Text(found["id"] if found else "", (found["name"] or "").strip() if found else "", "", ())
            rows, translated = [Row("header", number, content, end=end)], False
            continue
        if re.match(r"@translation\b", content):
            translated = True
        elif re.match(r"@(end\s+translation|transliteration)\b", content):
            translated = False
        if translated and content.strip():
            rows.append(Row("translation", number, content, end=end))
            continue
        if found := re.match(r"#atf:\s*lang\s+(\S+)", content):
            made = replace(made, language=found[1])
        row, wrong = _row(content, number, known, spoken, made.language or "akk", score)
        rows.append(replace(row, end=end))
        problems += wrong
    texts.append(replace(made, rows=tuple(rows)))
    return Document(tuple(texts), spoken, path, tuple(problems))


def render(document: Document) -> str:
    """The text of which the document was made, to the letter."""
    return "".join(row.text + row.written + row.end for text in document.texts for row in text.rows)


def check(document: Document) -> None:
    """Raise the first error of a document; doubts are none.

    Raises
    ------
    UserError
        `file:line:column: what is wrong`.
    """
    for problem in document.problems:
        if not problem.doubt:
            raise UserError(f"{document.path or 'ATF'}:{problem.line}:{problem.column}: {problem.sentence}")


def unknown(document: Document, *, signs: SignList | None = None) -> list[Problem]:
    """Readings and sign names that the sign list has not, each with the nearest that it has."""
    known = signs or signlist.load()
    rows = (row for text in document.texts for row in text.rows)
    return [problem for row in rows for problem in unknown_in(row.tokens, known, row.number)]


def dialect_of(text: str) -> Dialect:
    if re.search(r"(?m)^#(project|lem|atf:\s*use)\b", text):
        return "oracc"
    return "ebl" if re.search(r"(?m)^(?![&#@$]).*[^\x00-\x7f]", text) else "c-atf"


def _lines(text: str) -> Iterator[str]:
    """Lines that end in a line feed and in nothing else that Unicode calls an end."""
    return (found[0] for found in re.finditer(r"[^\n]*\n|[^\n]+", text))


def _row(
    content: str, number: int, signs: SignList, dialect: Dialect, language: str, score: bool
) -> tuple[Row, list[Problem]]:
    if not content.strip():
        return Row("blank", number, content), []
    if content[0] == "$":
        return Row("state", number, content), []
    if content[0] == "#":
        kind = "protocol" if content.startswith(PROTOCOLS) else "note"
        return Row(kind, number, content), []
    if content[0] == "@":
        return _structure(content, number)
    if content[0] in "|>/" or content.startswith("<<"):
        return Row("note", number, content), []
    problems = []
    found = LABEL.match(content) or UNDER.match(content) or (SCORE.match(content) if score else None)
    if found is None and (found := GLUED.match(content)):
        problems.append(Problem(number, found.end() + 1, "a space is missing after the number and its point", True))
    if found is None and (found := POINTLESS.match(content)):
        column = len(found["label"]) + 1
        problems.append(Problem(number, column, f"a point is missing after the number: write '{found['label']}.'"))
    if found is None and content[0].isspace():
        start, label = len(content) - len(content.lstrip()), ""
    elif found is None:
        sentence = "a line begins with a number and a point, or with one of & # @ $: this one does not"
        return Row("unknown", number, content), [Problem(number, 1, sentence)]
    else:
        start, label = found.end(), found["label"]
    tokens, wrong = tokens_of(
        content[start:], signs=signs, dialect=dialect, language=language, line=number, column=start + 1
    )  # fmt: skip
    return Row("text", number, content[:start], label, tokens), problems + wrong


def _structure(content: str, number: int) -> tuple[Row, list[Problem]]:
    found = re.match(r"@([A-Za-z]+)(?=\d*\b)", content)
    tag = found[1].lower() if found else ""
    for kind, tags in (("object", OBJECTS), ("surface", SURFACES), ("column", {"column"})):
        if tag in tags:
            return Row(kind, number, content), []
    if tag in STRUCTURES or content.startswith("@("):
        return Row("note", number, content), []
    tags = sorted(OBJECTS | SURFACES | STRUCTURES | {"column", "translation"})
    near = signlist.nearest(tag, tags, names=tags, n=1)[0]
    sentence = f"'@{tag}' is no object, surface or division of ATF: the nearest is '@{near}'"
    return Row("note", number, content), [Problem(number, 2, sentence)]


def unknown_in(tokens: Sequence[Token], signs: SignList, line: int) -> list[Problem]:
    found = []
    for token in tokens:
        sign = token.sign
        if sign is None or sign.role in ("number", "punctuation") or sign.reading == GAP:
            continue
        if sign.name is not None and not signs.parts(sign.name):
            near = ", ".join(signs.nearest(sign.name))
            found.append(Problem(line, token.column, f"no sign is called {sign.name!r}; the nearest are {near}", True))
        elif sign.name is None and sign.reading is not None and not signs.read_as(sign.reading):
            near = ", ".join(signs.nearest_readings(sign.reading))
            sentence = f"no sign is read {sign.reading!r}; the nearest readings are {near}"
            found.append(Problem(line, token.column, sentence, True))
    return found
