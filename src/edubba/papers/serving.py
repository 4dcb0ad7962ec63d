"""A page over a library, for the machine it runs on alone: search, answers, claims, papers with their quotations in place.

Pages are whole without JavaScript; nothing comes from outside. One question at a time is put to the library, which takes
milliseconds; what is slow, writing to the browser, goes on side by side.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files as package
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlencode

from edubba.core.errors import UserError, need
from edubba.core.report.page import PALETTE
from edubba.papers import answering, claims, design, engines, exporting, library, searching, sentences
from edubba.papers.engines import Filters
from edubba.papers.library import Library
from edubba.papers.records import Record
from edubba.papers.searching import Passage

SHOWN = 10
"""papers on a page"""
LOOKED = 200
"""papers that facets are counted over, and pages go through"""
FACETS = (
    ("design", "kind of study"),
    ("kind", "preprint or article"),
    ("year", "year"),
    ("journal", "journal"),
    ("licence", "licence"),
)
VALUES = 8
"""values of a facet that are shown"""
FILTERS = ("since", "until", "design", "licence", "journal", "kind")
ENDINGS = {"ris": ("application/x-research-info-systems", exporting.ris), "bib": ("application/x-bibtex", exporting.bibtex),
           "csv": ("text/csv", exporting.table)}  # fmt: skip


class Part(NamedTuple):
    """A piece of a text, and whether it is marked."""

    text: str
    marked: bool


@dataclass(frozen=True)
class Asked:
    """What the address of a page asks for."""

    q: str
    do: str
    filters: Filters
    values: Mapping[str, str]
    """the filters as they were typed"""
    page: int

    def link(self, **changes: Any) -> str:
        """The address of a page that differs in some values; an empty value leaves it out."""
        kept = {"q": self.q, "do": self.do, **self.values, **changes}
        return "/?" + urlencode({name: value for name, value in kept.items() if value})


def blank(q: str) -> Asked:
    """A page that asks for nothing but its words."""
    return Asked(q, "search", Filters(), dict.fromkeys(FILTERS, ""), 1)


def asked(query: Mapping[str, str]) -> Asked:
    """The parts of an address.

    Raises
    ------
    UserError
        A date or a kind of study is none.
    """
    values = {name: query.get(name, "").strip() for name in FILTERS}
    filters = engines.filters(**values)
    page = query.get("page", "1")
    return Asked(
        query.get("q", "").strip(), query.get("do", "search"), filters, values, int(page) if page.isdecimal() else 1
    )


def app(lib: Library | str | Path) -> Any:
    """The page as an ASGI application (Starlette).

    Raises
    ------
    UserError
        There is no such library, or Starlette is not installed.
    """
    need("starlette", extra="papers")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    opened = lib if isinstance(lib, Library) else library.open(lib)
    lock = Lock()
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'",
        "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
    }  # fmt: skip

    def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
        whole = {
            "papers": len(opened), "name": opened.path.name or "library", "designs": design.DESIGNS, "endings": ENDINGS,
            "palette": PALETTE, "problem": "",
        }  # fmt: skip
        return HTMLResponse(template(name).render(whole | values), status, headers)

    def ask(request: Request) -> HTMLResponse:
        try:
            what = asked(request.query_params)
        except UserError as error:
            return page("search", 400, asked=blank(request.query_params.get("q", "")), problem=str(error))
        if not what.q:
            return page("search", asked=what)
        with lock:
            if what.do == "ask":
                found = answering.ask(opened, what.q, filters=what.filters)
                return page("answer", asked=what, found=found, parts=parts, place=place)
            if what.do == "check":
                verdict = claims.check(opened, what.q, filters=what.filters)
                return page("check", asked=what, found=verdict, sides=claims.sides(verdict.evidence), place=place)
            hits = searching.search(opened, what.q, k=LOOKED, filters=what.filters, passages_of=pages(what))
        return page(
            "search", asked=what, hits=hits[pages(what)], total=len(hits), first=pages(what).start, facets=facets(what, hits),
            last=-(-len(hits) // SHOWN), parts=parts, place=place, looked=LOOKED,
        )  # fmt: skip

    def paper(request: Request) -> HTMLResponse:
        id, q = request.path_params["id"], request.query_params.get("q", "")
        with lock:
            try:
                record = opened.find(id)
            except UserError as error:
                return page("search", 404, asked=blank(q), problem=str(error))
            alike = searching.similar(opened, record)
        start, end = (int(v) if (v := request.query_params.get(n, "")).isdecimal() else -1 for n in ("start", "end"))
        return page(
            "paper", asked=blank(q), record=record, alike=alike,
            abstract=in_place(record, start, end), design=design.of(record.title, record.abstract), place=place,
        )  # fmt: skip

    def export(request: Request) -> Response:
        if request.path_params["ending"] not in ENDINGS:
            return PlainTextResponse(f"there is no export to {request.path_params['ending']!r}\n", 404)
        kind, maker = ENDINGS[request.path_params["ending"]]
        with lock:
            if id := request.query_params.get("id", ""):
                found = [opened.find(id)]
            else:
                what = asked(request.query_params)
                found = [hit.record for hit in searching.search(opened, what.q, k=LOOKED, filters=what.filters)]
        name = f"papers.{request.path_params['ending']}"
        return Response(
            maker(found), headers=headers | {"Content-Disposition": f'attachment; filename="{name}"'}, media_type=kind
        )

    def refused(request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", 400)

    routes = [
        Route("/", ask), Route("/paper/{id:path}", paper),
        Route("/export.{ending}", export),
    ]  # fmt: skip
    return Starlette(
        routes=routes, exception_handlers={UserError: refused},
        # a page of elsewhere must not read the library by a name that leads here
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
    )  # fmt: skip


def pages(what: Asked) -> slice:
    """Which of the papers found are on the page asked for."""
    return slice((max(1, what.page) - 1) * SHOWN, max(1, what.page) * SHOWN)


def facets(what: Asked, hits: Sequence[searching.Hit]) -> list[tuple[str, list[tuple[str, int, str, bool]]]]:
    """For each facet its values among the papers found: name, how many, the address that takes it or leaves it, whether it is taken."""
    made = []
    for name, words in FACETS:
        seen = Counter(filter(None, (_facet(name, hit.record) for hit in hits)))
        rows = []
        for value, n in seen.most_common(VALUES):
            change = {"since": value, "until": value} if name == "year" else {name: value}
            taken = all(what.values.get(k, "").lower() == v.lower() for k, v in change.items())
            rows.append((value, n, what.link(**(dict.fromkeys(change, "") if taken else change), page=""), taken))
        if name == "year":
            rows.sort(reverse=True)
        if rows:
            made.append((words, rows))
    return made


def _facet(name: str, record: Record) -> str:
    if name == "design":
        return design.of(record.title, record.abstract)
    if name == "kind":
        return "preprint" if record.preprint else "article"
    if name == "year":
        return str(record.published)[:4]
    return getattr(record, name)


def place(record: Record, passage: Passage | None = None, q: str = "") -> str:
    """The address of a paper, at a quotation."""
    from urllib.parse import quote

    where = {"q": q} | ({} if passage is None else {"start": passage.start, "end": passage.end})
    query = urlencode({name: value for name, value in where.items() if value != ""})
    return f"/paper/{quote(record.id, safe='')}" + (f"?{query}" if query else "") + ("#quote" if passage else "")


def parts(passage: Passage) -> Iterator[Part]:
    """A quotation with the words asked for marked."""
    at = passage.start
    for mark in passage.marks:
        yield Part(passage.text[at - passage.start : mark.start - passage.start], False)
        yield Part(passage.text[mark.start - passage.start : mark.end - passage.start], True)
        at = mark.end
    yield Part(passage.text[at - passage.start :], False)


def in_place(record: Record, start: int, end: int) -> list[Part]:
    """An abstract with a quotation marked in it; where the licence does not let it be shown, the quotation with its sentence alone."""
    text = record.abstract
    inside = 0 <= start < end <= len(text)
    if record.shown:
        return (
            [Part(text[:start], False), Part(text[start:end], True), Part(text[end:], False)]
            if inside
            else [Part(text, False)]
        )
    if not inside:
        return []
    around = [span for span in sentences.split(text) if span.start < end and span.end > start][:2]
    low, high = around[0].start, around[-1].end
    start, end = max(start, low), min(end, high)
    return [Part("… " + text[low:start], False), Part(text[start:end], True), Part(text[end:high] + " …", False)]


@lru_cache
def template(name: str) -> Any:
    """A page's template, with the colours and letters of the reports."""
    import jinja2

    def source(file: str) -> str:
        where = "edubba.core.report" if file == "page.css" else "edubba.papers"
        return (package(where) / ("" if file == "page.css" else "page") / file).read_text("utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=lambda file: not (file or "").endswith(".css"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(f"{name}.html.jinja")


def serve(lib: Library | str | Path, *, port: int = 8765) -> None:
    """Serve the page on this machine alone until it is stopped.

    Raises
    ------
    UserError
        There is no such library, a package is missing, or the port is taken or none.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"--port {port} is none: name one from 1024 to 65535")
    made = app(lib)
    need("uvicorn", extra="papers")
    import uvicorn

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"--port {port} cannot be had ({error.strerror}): name another") from None
    print(f"http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True)
    uvicorn.run(made, host="127.0.0.1", port=port, log_level="warning", access_log=False)
