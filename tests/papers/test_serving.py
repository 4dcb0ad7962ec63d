"""The page: what a reader sees and clicks, without JavaScript; escaping, licences, foreign names, fifty readers at once."""

import concurrent.futures
import html
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import uvicorn

from edubba import cli
from edubba.papers import Build, building, library, serving

ROWS = [
    {"cord_uid": "open", "title": "Masks of 5 < 6 kinds in hospitals & homes", "license": "cc-by", "publish_time": "2020-03-04",
     "abstract": "We looked. Masks prevent infection of nurses by half. Rain fell on 3 days."},
    {"cord_uid": "shut", "title": "Masks in an article that may not be shown", "license": "els-covid", "publish_time": "2020",
     "abstract": "A first sentence. Masks were worn by 40 nurses in two wards. A secret third sentence."},
    {"cord_uid": "pre", "title": "A randomised trial of masks against infection", "license": "medrxiv", "doi": "10.1101/2020.04.01.20050001",
     "abstract": "Masks did not prevent infection of nurses.", "publish_time": "2020-04-02"},
    {"cord_uid": "art", "title": "A randomised trial of masks against infection", "doi": "10.5555/art", "pubmed_id": "77",
     "abstract": "Masks did not prevent infection of nurses in the end.", "publish_time": "2020-08-02"},
]  # fmt: skip


class Server:
    def __init__(self, path):
        self.lib = library.open(path)
        config = uvicorn.Config(serving.app(self.lib), host="127.0.0.1", port=0, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def get(self, where, **query):
        address = self.url + where + ("?" + urllib.parse.urlencode(query) if query else "")
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.read().decode()

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module", params=["tantivy", "sqlite"])
def site(request, tmp_path_factory, cord19):
    home = tmp_path_factory.mktemp("site")
    rows = [cord19.paper(i) for i in range(30)] + [{"license": "cc-by"} | row for row in ROWS]
    building.build(cord19.release(home, rows), home / "library", Build(engine=request.param))
    server = Server(home / "library")
    yield server
    server.stop()


def text(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page.split("</head>")[1]))


def test_a_search_shows_quotations_and_links_to_their_place(site):
    page = site.get("/", q="do masks prevent infection of nurses", do="search")
    assert "“Masks prevent infection of nurses by half.”" in text(page)
    assert "<mark>Masks</mark>" in page
    where = next(html.unescape(w) for w in re.findall(r'href="(/paper/open\?[^"]*)"', page))
    paper = site.get(where.split("#")[0])
    assert re.search(r'<mark id="quote"[^>]*>Masks prevent infection of nurses by half\.</mark>', paper)
    assert "Rain fell on 3 days." in text(paper)


def test_what_comes_from_papers_is_never_markup(site):
    for page in (site.get("/", q="<script>alert(1)</script> masks"), site.get("/paper/open", q='"><img src=x>')):
        assert "<script" not in page
        assert "<img" not in page
        assert "5 < 6" not in page
    assert "Masks of 5 < 6 kinds in hospitals & homes" in text(site.get("/paper/open"))


def test_an_abstract_is_shown_whole_only_where_its_licence_allows(site):
    address = re.search(r'href="(/paper/shut\?[^"#]*)', site.get("/", q="masks worn by nurses in wards"))
    page = text(site.get(html.unescape(address[1])))
    assert "Masks were worn by 40 nurses in two wards." in page
    assert "secret" not in page
    assert "els-covid" in page
    assert "secret" not in site.get("/paper/shut", start="0", end="500")
    assert "secret" not in site.get("/export.csv", q="masks") + site.get("/export.ris", id="shut")


def test_facets_narrow_and_are_taken_back(site):
    page = site.get("/", q="masks")
    link = html.unescape(re.search(r'href="([^"]*design=rct[^"]*)"', page)[1])
    narrowed = site.get(link)
    assert "randomised trial" in text(narrowed)
    assert "hospitals & homes" not in text(narrowed)
    back = html.unescape(re.search(r'href="([^"]*)" aria-current="true"', narrowed)[1])
    assert "hospitals & homes" in text(site.get(back))


def test_a_preprint_and_its_article_are_one_hit(site):
    page = text(site.get("/", q="a randomised trial of masks against infection"))
    assert page.count("also:") == 1


def test_answers_and_claims(site):
    assert "of nurses by half.”" in text(site.get("/", q="Do masks prevent infection of nurses?", do="ask"))
    assert "No answer" in text(site.get("/", q="Where is Atlantis?", do="ask"))
    page = text(site.get("/", q="Masks prevent infection of nurses", do="check"))
    assert "For it" in page
    assert "Against it" in page


def test_export_of_what_was_found(site):
    assert site.get("/export.bib", q="masks in hospitals").startswith("@")
    assert "TI  - A randomised trial" in site.get("/export.ris", id="pre")


@pytest.mark.parametrize(
    ("where", "status", "said"),
    [
        ("/?q=masks&since=soon", 400, "since 'soon' is no date"), ("/?q=masks&design=magic", 400, "'magic' is not known"),
        ("/paper/nobody", 404, "has no record 'nobody'"), ("/export.exe?q=masks", 404, "exe"), ("/nothing", 404, ""),
        ("/?q=masks&page=99999999999999999999", 200, "Nothing"), ("/?q=masks&page=-1", 200, "masks"), ("/?q=%00%ff", 200, ""),
    ],
)  # fmt: skip
def test_addresses_that_are_wrong(site, where, status, said):
    try:
        with urllib.request.urlopen(site.url + where, timeout=30) as answer:
            code, page = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        code, page = error.code, error.read().decode()
    assert code == status
    assert said in html.unescape(page)
    assert "Traceback" not in page


def test_a_name_from_elsewhere_is_refused(site):
    request = urllib.request.Request(site.url + "/", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=30)


def test_pages_take_nothing_from_elsewhere(site):
    for page in (site.get("/"), site.get("/", q="masks"), site.get("/paper/open")):
        assert "<script" not in page
        assert not re.findall(r'(?:src|href)="(?!/|#|data:|https://doi\.org/)[^"]+', page)
    with urllib.request.urlopen(site.url, timeout=30) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_fifty_readers_at_once(site):
    def reader(i):
        found = site.get("/", q=f"masks and viruses in cities {i % 7}")
        where = html.unescape(re.search(r'href="(/paper/[^"#]*)', found)[1])
        return "<h1>" in found and "<h1>" in site.get(where)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert all(pool.map(reader, range(200)))


def test_in_a_browser(site, browser):
    """Search, a facet, a quotation in its place, by the keys alone. No page holds a script, and none is allowed to run."""

    def press_enter():
        browser.events.clear()
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        browser("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        browser("Input.dispatchKeyEvent", type="keyUp", **key)
        browser.loaded()

    def focus(selector):
        browser("Runtime.evaluate", expression=f"document.querySelector('{selector}').focus()")
        browser.wait(f"document.activeElement == document.querySelector('{selector}')")

    browser.open(site.url)
    browser.wait("document.activeElement.id == 'q'")
    browser("Input.insertText", text="masks in hospitals")
    browser.wait("document.activeElement.value == 'masks in hospitals'")
    press_enter()
    assert browser.ask("document.querySelector('h1').textContent") == "masks in hospitals"
    assert browser.ask("document.querySelectorAll('.hits > li').length") > 2
    assert browser.ask(browser.TOO_WIDE) == []
    focus('aside a[href*="kind=preprint"]')
    press_enter()
    assert browser.ask("document.querySelectorAll('.hits > li').length") == 1
    assert browser.ask("document.querySelector('select[name=kind]').value") == "preprint"
    focus(".quote a")
    press_enter()
    assert (
        browser.ask("document.querySelector('mark:target').textContent") == "Masks did not prevent infection of nurses."
    )
    assert not [e for e in browser.events if e["method"] == "Log.entryAdded"]


def test_the_command_line(tmp_path, cord19, capsys):
    assert cli.run(["papers", "serve", str(tmp_path / "none")]) == 1
    assert "is no library" in capsys.readouterr().err
    building.build(cord19.release(tmp_path, [cord19.paper(1)]), tmp_path / "library")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["papers", "serve", str(tmp_path / "library"), "--port", str(port)]) == 1
    assert f"--port {port} cannot be had" in capsys.readouterr().err
    assert cli.run(["papers", "serve", str(tmp_path / "library"), "--port", "99999"]) == 1
    assert "--port 99999 is none" in capsys.readouterr().err
