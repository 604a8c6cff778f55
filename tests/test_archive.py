"""The archive: pages without data of any subscriber, an index and a feed, served and exported alike."""

from __future__ import annotations

import http.server
import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree
from selenium import webdriver
from selenium.webdriver.common.by import By

from newsletter import config as configs
from newsletter.archive import atom, pages
from newsletter.archive.pages import Archive
from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.links import Links
from newsletter.mail.render import Renderer
from newsletter.model import SLOT_HOST, FrozenIssue, Issue, Mailbox, Publication, RenderedIssue, Result, Slot, State
from newsletter.store import Store
from newsletter.web import create_app
from tests.conftest import PUBLICATION, SHARED, chaos_feed, issue, paper
from tests.fakes import ACCEPTED, REFUSED, FakeClock
from tests.migrated import store_file
from tests.test_cli import Site as OperatorSite

DAY = date(2026, 11, 24)
ATOM = "{http://www.w3.org/2005/Atom}"


@cache
def rendered(day: date = DAY, publication: Publication = PUBLICATION) -> RenderedIssue:
    return Renderer(publication).issue(issue(day=day))


def frozen(rendered: RenderedIssue, publication: Publication = PUBLICATION) -> FrozenIssue:
    return FrozenIssue(1, 1, rendered, publication, FakeClock.START, FakeClock.START + timedelta(days=1))


def publish(store: Store, rendered: RenderedIssue, publication: Publication = PUBLICATION) -> FrozenIssue:
    """Freeze an issue for ada, whose copy is accepted."""
    store.add("ada@example.org")
    made = store.freeze(rendered, publication, lifetime=timedelta(hours=24))
    (copy,) = store.claim(made.id, 1, resend_uncertain=1)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])
    return made


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", ["https://news.example.org", None])
def test_a_page_is_the_mail_without_what_belongs_to_one_reader(base_url: str | None) -> None:
    publication = replace(PUBLICATION, base_url=base_url)
    mail = rendered(publication=publication).html
    page = pages.page(frozen(replace(rendered(), html=mail), publication))
    assert Slot.UNSUBSCRIBE in mail
    assert SLOT_HOST not in page
    assert "<span" in page
    assert "a reader</span>" in page
    home = "https://news.example.org/" if base_url else "../"
    assert f'href="{home}"' in page
    filled = mail
    for slot, words in ((Slot.UNSUBSCRIBE, home), (Slot.PREFERENCES, home), (Slot.ADDRESS, "a reader")):
        filled = filled.replace(slot, words)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{pages.POLICY}">'
    assert page.replace(policy, "") == filled
    assert page.partition(policy)[0].rstrip().endswith("<head>")


@pytest.mark.parametrize(
    ("start", "before"),
    [
        ("<!DOCTYPE html>\n<html><head lang=en><title>x</title>", "<!DOCTYPE html>\n<html><head lang=en>"),
        ("<HTML lang='en'>\n<HEAD>", "<HTML lang='en'>\n<HEAD>"),
        ("<html><body><header>x</header>", "<html>"),
    ],
)
def test_the_policy_stands_before_anything_that_it_rules(start: str, before: str) -> None:
    page = pages.page(frozen(RenderedIssue(DAY, "x", start, "x")))
    assert page.startswith(f"{before}<meta http-equiv=")


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_an_issue_is_in_the_archive_once_somebody_has_got_it(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        store.add("ada@example.org")
        made = store.freeze(rendered(), PUBLICATION, lifetime=timedelta(hours=24))
        (copy,) = store.claim(made.id, 1, resend_uncertain=1)
        store.turn([], [copy])
        assert (store.archive(), store.archived(DAY)) == ([], None)
        store.turn([Result(copy, State.SENDING, REFUSED)], [])
        assert (store.archive(), store.archived(DAY)) == ([], None)
        for days in (1, 2):
            publish(store, rendered(DAY + timedelta(days=days)))
        assert [each.day for each in store.archive()] == [DAY + timedelta(days=2), DAY + timedelta(days=1)]
        assert store.archive(limit=1)[0].subject == rendered(DAY + timedelta(days=2)).subject
        assert store.archive(limit=1)[0].frozen_at == clock.now()
        assert store.archived(DAY + timedelta(days=1)) == store.issue(DAY + timedelta(days=1))


# --- over the web ----------------------------------------------------------------------------------------------------


class Site:
    """The pages of a list, as Flask's client sees them."""

    def __init__(self, folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(
            "sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\n"
            f"secret: a secret of this test\nlist_id: {PUBLICATION.list_id}\nbase_url: {PUBLICATION.base_url}\n"
            "feeds:\n  - url: x.json\n",
            "utf-8",
        )
        path.chmod(0o600)
        self.config = configs.load(path)
        self.store = Store.open(store_file(folder / "newsletter.db"))
        self.client = create_app(self.config, self.store).test_client()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    for day in (date(2025, 12, 31), date(2026, 11, 23), DAY):
        publish(made.store, rendered(day))
    yield made
    made.store.close()


def test_the_index_leads_to_each_issue(site: Site) -> None:
    answer = site.client.get("/archive/")
    assert answer.status_code == 200
    for words in ("<h2>2026</h2>", "<h3>November</h3>", "<h3>December</h3>", "Tuesday 24"):
        assert words in answer.text
    assert "Paper number 1 (▲\N{NO-BREAK SPACE}99)" in answer.text  # a line must not end between the two
    assert "24 Nov:" not in answer.text
    assert answer.text.index('href="2026-11-24/"') < answer.text.index('href="2026-11-23/"')
    assert '<link rel="alternate" type="application/atom+xml" title="Daily Papers" href="../feed.atom">' in answer.text
    assert site.client.get("/archive").headers["Location"] == "archive/"


@pytest.mark.parametrize("path", ["/archive/2026-11-24", "/archive/2026-11-24/"])
def test_an_issue_is_served_where_the_mail_says(site: Site, path: str) -> None:
    answer = site.client.get(path)
    made = site.store.issue(DAY)
    assert made is not None
    assert (answer.status_code, answer.text) == (200, pages.page(made))
    reader = site.store.find("ada@example.org")
    assert reader is not None
    assert reader.address not in answer.text
    assert Links("a secret of this test", PUBLICATION).unsubscribe(reader.ref)[0] not in answer.text


@pytest.mark.parametrize("path", ["/archive/", "/archive/2026-11-24", "/feed.atom"])
def test_every_page_is_hardened_and_may_be_cached(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert "Set-Cookie" not in answer.headers
    head = site.client.head(path)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
    for known in ({"If-None-Match": answer.headers["ETag"]}, {"If-Modified-Since": answer.headers["Last-Modified"]}):
        again = site.client.get(path, headers=known)
        assert (again.status_code, again.data) == (304, b"")
    publish(site.store, rendered(DAY + timedelta(days=1)))
    changed = site.client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert changed.status_code == (304 if path.endswith("24") else 200)


@pytest.mark.parametrize(
    "path",
    [
        *("2026-11-22", "2026-13-40", "20261124", "2026-W48-2", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "CON"),
        *("%00", "2026-11-24/index.htm", "2026-11-24%0d%0aX:%20y", "２０２６-11-24", "x" * 20_000, "feed.atom"),
    ],
)
def test_any_other_address_is_the_polite_page(site: Site, path: str) -> None:
    answer = site.client.get(f"/archive/{path}")
    assert answer.status_code == 404
    assert answer.text == site.client.get("/somewhere/else").text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/archive/", "/archive/2026-11-24", "/feed.atom"])
def test_nothing_can_be_posted(site: Site, path: str) -> None:
    assert site.client.post(path).status_code in (404, 405)


# --- the feed --------------------------------------------------------------------------------------------------------


def check_atom(document: bytes) -> etree._Element:
    """What RFC 4287 sections 4.1.1 and 4.1.2 require of a feed and of each entry."""
    root = etree.fromstring(document)
    assert root.tag == f"{ATOM}feed"
    ids = []
    for element in (root, *root.iter(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            (found,) = element.findall(f"{ATOM}{name}")
            assert found.text
        ids.append(element.findtext(f"{ATOM}id"))
        for name in ("updated", "published"):
            for moment in element.findall(f"{ATOM}{name}"):
                assert str(moment.text).endswith("Z")
                datetime.fromisoformat(str(moment.text))
        rels = [(link.get("rel"), link.get("type")) for link in element.findall(f"{ATOM}link")]
        assert len(set(rels)) == len(rels)
        assert "alternate" in dict(rels)
    assert len(set(ids)) == len(ids)
    assert root.findtext(f"{ATOM}author/{ATOM}name")
    return root


def test_the_feed_is_atom_and_a_feed_reader_understands_it(site: Site) -> None:
    answer = site.client.get("/feed.atom")
    assert answer.mimetype == "application/atom+xml"
    check_atom(answer.data)
    read = feedparser.parse(answer.data)
    assert (read.bozo, read.version) == (False, "atom10")
    assert read.feed.title == "Daily Papers"
    assert {link.rel: link.href for link in read.feed.links} == {
        "alternate": "https://news.example.org/archive/",
        "self": "https://news.example.org/feed.atom",
    }
    assert [entry.link for entry in read.entries] == [
        f"https://news.example.org/archive/{day}/" for day in ("2026-11-24", "2026-11-23", "2025-12-31")
    ]
    first = read.entries[0]
    made = site.store.issue(DAY)
    assert made is not None
    assert first.title == made.rendered.subject
    assert datetime.fromisoformat(first.published) == made.frozen_at.replace(microsecond=0)
    assert first.published == first.updated
    assert first.content[0].type == "text/html"
    assert "We study the number 1. It has properties." in first.content[0].value
    shown = etree.fromstring(answer.data).findtext(f"{ATOM}entry/{ATOM}content")
    for absent in (
        SLOT_HOST,
        "display:none",
        "<!--",
        "&#847;",
        "\u034f",
        "ada@example.org",
        "<meta",
        "style=",
        "width=",
    ):
        assert absent not in shown


def test_ids_stay_the_same_wherever_the_archive_moves() -> None:
    made = frozen(rendered())
    there = atom.feed(PUBLICATION, [(made, pages.page(made))])
    elsewhere = atom.feed(replace(PUBLICATION, base_url="https://other.example", title="New"), [(made, "<p>x</p>")])
    ids = [element.text for element in etree.fromstring(there).iter(f"{ATOM}id")]
    assert ids == [element.text for element in etree.fromstring(elsewhere).iter(f"{ATOM}id")]
    assert ids[0].startswith("urn:uuid:")
    assert ids[1] == "tag:news.example.org,2026-11-24:daily-papers.news.example.org"


def test_without_base_url_the_feed_s_links_are_relative() -> None:
    publication = replace(PUBLICATION, base_url=None, sender=Mailbox("", "digest@news.example.org"))
    root = check_atom(atom.feed(publication, [(frozen(rendered(), publication), "<p>x</p>")]))
    assert [link.get("href") for link in root.iter(f"{ATOM}link")] == ["archive/", "archive/2026-11-24/"]
    assert root.findtext(f"{ATOM}author/{ATOM}name") == "Daily Papers"


def test_a_feed_before_the_first_issue_is_a_feed() -> None:
    root = check_atom(atom.feed(PUBLICATION, []))
    assert root.findtext(f"{ATOM}updated") == "1970-01-01T00:00:00Z"


def test_what_xml_cannot_hold_is_left_out() -> None:
    hostile = frozen(RenderedIssue(DAY, "a\x00\x1b]]>\ufffe<b>&", "<html><body>\x0b<p>]]></p></body></html>", ""))
    root = check_atom(atom.feed(PUBLICATION, [(hostile, pages.page(hostile))]))
    assert root.findtext(f"{ATOM}entry/{ATOM}title") == "a]]><b>&"


def test_the_feed_has_the_last_thirty_issues(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'test.db'}") as store:
        for days in range(32):
            publish(store, RenderedIssue(DAY + timedelta(days=days), "s", "<html><body>x</body></html>", "t"))
        made = Archive(PUBLICATION, store, Renderer(PUBLICATION)).feed()
    links = [entry.link[-11:] for entry in feedparser.parse(made.body).entries]
    assert (len(links), links[0], links[-1]) == (30, "2026-12-25/", "2026-11-26/")


# --- as files --------------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_exported_files_are_what_the_web_serves(site: Site, tmp_path: Path) -> None:
    made = Archive(site.config.publication, site.store, Renderer(site.config.publication))
    folder = tmp_path / "public"
    assert pages.export(made, folder) == (5, 5)
    exported = files(folder)
    assert exported == {
        path: site.client.get(f"/{path.removesuffix('index.html')}").data
        for path in (
            *("archive/index.html", "archive/2025-12-31/index.html", "archive/2026-11-23/index.html"),
            *("archive/2026-11-24/index.html", "feed.atom"),
        )
    }


def test_an_export_writes_what_changed_and_removes_nothing(site: Site, tmp_path: Path) -> None:
    made = Archive(site.config.publication, site.store, Renderer(site.config.publication))
    folder = tmp_path / "public"
    pages.export(made, folder)
    (folder / "index.html").write_text("the operator's own", "utf-8")
    (folder / "archive" / "2026-11-24" / "note.txt").write_text("the operator's own", "utf-8")
    (folder / "archive" / "2026-11-23" / "index.html").write_text("half a pa", "utf-8")
    inodes = {path: path.stat().st_ino for path in folder.rglob("*")}
    assert pages.export(made, folder) == (1, 5)
    assert [path.parent.name for path, inode in inodes.items() if path.stat().st_ino != inode] == ["2026-11-23"]
    publish(site.store, rendered(DAY + timedelta(days=1)))
    assert pages.export(made, folder) == (3, 6)  # its page, the index, the feed
    assert pages.export(made, folder) == (0, 6)
    assert files(folder)["index.html"] == files(folder)["archive/2026-11-24/note.txt"] == b"the operator's own"
    assert not [path for path in files(folder) if Path(path).name.startswith(".")]


def test_the_command_exports_what_was_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newsletter = OperatorSite(tmp_path, 25, capsys)
    folder = tmp_path / "public"
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 2 of 2 files written\n"
    assert sorted(files(folder)) == ["archive/index.html", "feed.atom"]
    with Store.open(f"sqlite:///{tmp_path / 'newsletter.db'}") as store:
        publish(store, rendered())
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 3 of 3 files written\n"
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 0 of 3 files written\n"
    (tmp_path / "taken").write_text("x", "utf-8")
    assert newsletter("archive", "export", str(tmp_path / "taken")).code == 2
    (folder / "feed.atom").unlink()
    (folder / "feed.atom").mkdir()
    done = newsletter("archive", "export", str(folder))
    assert (done.code, len(done.err.splitlines())) == (1, 1)


# --- in a browser ----------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server for plain files, without our headers."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no log to standard error."""


@contextmanager
def web_host(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def exported(folder: Path, *issues: RenderedIssue) -> Path:
    with Store.open(f"sqlite:///{folder / 'test.db'}") as store:
        for each in issues:
            publish(store, each)
        pages.export(Archive(PUBLICATION, store, Renderer(PUBLICATION)), folder / "public")
    return folder / "public"


def complaints(browser: webdriver.Chrome) -> list[str]:
    """The messages on the browser's console since the last call."""
    entries = browser.execute("getLog", {"type": "browser"})["value"]
    return [entry["message"] for entry in entries if "favicon" not in entry["message"]]


def test_a_reader_finds_an_issue_from_the_index_on_any_web_host(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with web_host(exported(tmp_path, rendered(), rendered(DAY - timedelta(days=1)))) as url:
        browser.get(f"{url}/archive")
        complaints(browser)
        browser.find_element(By.CSS_SELECTOR, "a[href='2026-11-23/']").click()
        assert browser.current_url == f"{url}/archive/2026-11-23/"
        assert browser.find_element(By.TAG_NAME, "h1").text == "Daily Papers"
        assert browser.find_element(By.TAG_NAME, "h2").text == "Paper number 1"
        assert complaints(browser) == []


def test_a_script_in_an_issue_does_not_run_even_on_a_host_without_headers(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    bad = (
        "<html><head><title>quiet</title></head><body><script>document.title = 'ran'</script>"
        "<img src=x onerror=\"document.title = 'ran'\"><p id='end'>end</p></body></html>"
    )
    with web_host(exported(tmp_path, RenderedIssue(DAY, "x", bad, "x"))) as url:
        complaints(browser)
        browser.get(f"{url}/archive/2026-11-24/")
        assert browser.find_element(By.ID, "end").text == "end"
        assert browser.title == "quiet"
        assert sum("Content Security Policy" in message for message in complaints(browser)) >= 2


def poisoned() -> Issue:
    """Papers with every hostile string of the shared feed server."""
    feed = parse(json.dumps(chaos_feed().poison()).encode(), FeedConfig("https://feeds.example.org/papers"))
    return Issue(DAY, feed.papers, ranked_by_votes=True)


def test_a_poisoned_feed_is_harmless_in_every_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Each paper is first once, so that each hostile title is in a subject, and so in the index and the feed."""
    papers = poisoned().papers
    days = [
        Renderer(PUBLICATION).issue(Issue(DAY + timedelta(days=n), (*papers[n:], *papers[:n]), ranked_by_votes=True))
        for n in range(len(papers))
    ]
    folder = exported(tmp_path, *days)
    check_atom((folder / "feed.atom").read_bytes())
    assert not feedparser.parse((folder / "feed.atom").read_bytes()).bozo
    found = "return [...document.querySelectorAll('script, iframe, svg, img, form, base, link:not([rel=alternate])')]"
    links = "return [...document.links].map(a => a.protocol)"
    with web_host(folder) as url:
        for path in ("archive/", f"archive/{DAY}/", f"archive/{DAY + timedelta(days=5)}/"):
            browser.get(f"{url}/{path}")
            assert browser.execute_script(found) == []
            assert set(browser.execute_script(links)) <= {"http:", "https:"}
            assert complaints(browser) == []


def axe(browser: webdriver.Chrome) -> list[Any]:
    """The findings of axe-core, from whichever package has it."""
    script = SHARED / "tools" / "mailscore" / "node" / "node_modules" / "axe-core" / "axe.min.js"
    if (package := importlib.util.find_spec("axe_playwright_python")) and package.origin:
        script = Path(package.origin).with_name("axe.min.js")
    if not script.is_file():
        pytest.skip("no axe-core: neither axe-playwright-python nor ../shared/tools is there")
    browser.execute_script(script.read_text("utf-8"))
    run = "const done = arguments[0]; axe.run().then(found => done(found.violations.map(v => [v.id, v.impact])))"
    return list(browser.execute_async_script(run))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_index_is_accessible_and_fits(browser: webdriver.Chrome, tmp_path: Path, scheme: str, width: int) -> None:
    long = Renderer(PUBLICATION).issue(issue(paper(1, title="Supercalifragilistic" * 5)))
    with web_host(exported(tmp_path, long, rendered(date(2025, 12, 31)))) as url:
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            browser.get(f"{url}/archive/")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
            assert dark is (scheme == "dark")
            assert axe(browser) == []
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
