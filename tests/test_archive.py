"""The archive: pages without data of any subscriber, an index and a feed, served and exported alike."""

from __future__ import annotations

import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path
from urllib.parse import parse_qsl

import feedparser
import pytest
from lxml import etree, html
from selenium import webdriver
from selenium.webdriver.common.by import By

from newsletter import config as configs
from newsletter.archive import atom, pages
from newsletter.archive.pages import Archive
from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.links import Links
from newsletter.mail.render import Renderer, legible
from newsletter.model import (
    SLOT_HOST,
    FrozenIssue,
    Issue,
    IssuePapers,
    LateRiser,
    Mailbox,
    Publication,
    RenderedIssue,
    Result,
    Slot,
    State,
)
from newsletter.store import Store
from newsletter.web import create_app
from tests.chromium import DESKTOP, SHOWN, judged, prefer, show_on
from tests.conftest import PUBLICATION, chaos_feed, issue, paper
from tests.fakes import ACCEPTED, REFUSED, FakeClock
from tests.migrated import store_file
from tests.test_cli import Site as OperatorSite

DAY = date(2026, 11, 24)
OLD = date(2025, 12, 31)  # an issue of which only the mail is kept
ATOM = "{http://www.w3.org/2005/Atom}"


@cache
def rendered(day: date = DAY, publication: Publication = PUBLICATION) -> RenderedIssue:
    return Renderer(publication).issue(issue(day=day))


def frozen(rendered: RenderedIssue, publication: Publication = PUBLICATION) -> FrozenIssue:
    return FrozenIssue(1, 1, rendered, publication, FakeClock.START, FakeClock.START + timedelta(days=1))


def publish(
    store: Store, rendered: RenderedIssue, publication: Publication = PUBLICATION, contents: Issue | None = None
) -> FrozenIssue:
    """Freeze an issue for ada, whose copy is accepted; without `contents` as a version did that kept no papers."""
    store.add("ada@example.org")
    made = store.freeze(
        rendered, publication, lifetime=timedelta(hours=24), papers=IssuePapers(contents=contents, candidates=contents)
    )
    (copy,) = store.claim(made.id, 1, resend_uncertain=1)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])
    return made


# --- mails as pages --------------------------------------------------------------------------------------------------


def archive_of(store: Store, publication: Publication = PUBLICATION, *, searchable: bool = False) -> Archive:
    return Archive(publication, store, Renderer(publication), searchable=searchable)


def mail_page(folder: Path, mail: str, publication: Publication = PUBLICATION) -> str:
    """The page of an issue whose papers were not kept, and whose mail has no marks around its middle."""
    with Store.open(store_file(folder / "mail.db")) as store:
        publish(store, RenderedIssue(DAY, "x", mail, "x"), publication)
        document = archive_of(store, publication).issue(DAY)
    assert document is not None
    return document.body.decode()


@pytest.mark.parametrize("base_url", ["https://news.example.org", None])
def test_a_mail_without_marks_is_its_own_page_without_what_belongs_to_one_reader(
    tmp_path: Path, base_url: str | None
) -> None:
    publication = replace(PUBLICATION, base_url=base_url)
    mail = rendered(publication=publication).html.replace("<!--paper-->", "")
    page = mail_page(tmp_path, mail, publication)
    assert Slot.UNSUBSCRIBE in mail
    assert SLOT_HOST not in page
    assert "a reader</span>" in page
    home = "https://news.example.org/" if base_url else "../"
    assert f'href="{home}"' in page
    filled = mail
    for slot, words in ((Slot.UNSUBSCRIBE, home), (Slot.PREFERENCES, home), (Slot.ADDRESS, "a reader")):
        filled = filled.replace(slot, words)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{pages.policy(publication)}">'
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
def test_the_policy_stands_before_anything_that_it_rules(tmp_path: Path, start: str, before: str) -> None:
    assert mail_page(tmp_path, start).startswith(f"{before}<meta http-equiv=")


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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A list with three issues, for tests that only read."""
    with published(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """The same list, for a test that publishes more."""
    with published(tmp_path) as made:
        yield made


@contextmanager
def published(folder: Path) -> Iterator[Site]:
    """A list with three issues; of the oldest only the mail was kept."""
    made = Site(folder)
    publish(made.store, rendered(OLD))
    for day in (date(2026, 11, 23), DAY):
        publish(made.store, rendered(day), contents=issue(day=day))
    yield made
    made.store.close()


def test_the_index_leads_to_each_issue(site: Site) -> None:
    answer = site.client.get("/archive/")
    assert answer.status_code == 200
    for words in (">November 2026</h2>", ">December 2025</h2>", "<h3>2026</h3>", "Tuesday 24", ">3 issues<"):
        assert words in answer.text
    assert 'href="2026-11/"' in answer.text
    assert "Paper number 1 (▲\N{NO-BREAK SPACE}99)" in answer.text  # a line must not end between the two
    assert "24 Nov:" not in answer.text
    assert answer.text.index('href="2026-11-24/"') < answer.text.index('href="2026-11-23/"')
    assert '<link rel="alternate" type="application/atom+xml" title="Daily Papers" href="../feed.atom">' in answer.text
    assert site.client.get("/archive").headers["Location"] == "archive/"


def test_an_issue_is_served_where_the_mail_says(site: Site) -> None:
    """The link in the mail has no slash at its end. The page's own links are relative, so it gets one."""
    answer = site.client.get("/archive/2026-11-24")
    assert (answer.status_code, answer.headers["Location"]) == (308, "2026-11-24/")
    page = site.client.get("/archive/2026-11-24/").text
    reader = site.store.find("ada@example.org")
    assert reader is not None
    assert reader.address not in page
    assert Links("a secret of this test", PUBLICATION).unsubscribe(reader.ref)[0] not in page
    for words in ("You get this because", "Unsubscribe</a>", SLOT_HOST, "Read in the browser"):
        assert words not in page


def landmarks(page: str) -> set[str]:
    return {element for element in ("header", "nav", "main", "footer") if f"<{element}" in page}


@pytest.mark.parametrize("day", [DAY, OLD])
def test_an_issue_has_a_page_of_its_own(site: Site, day: date) -> None:
    page = site.client.get(f"/archive/{day}/").text
    assert landmarks(page) == {"header", "nav", "main", "footer"}
    assert page.count("<h1") == 1
    assert '<a class="home" href="https://news.example.org/">Daily Papers</a>' in page
    assert '<form class="box web" method="post" action="https://news.example.org/subscribe"' in page
    assert "Get this by mail" in page
    assert "Paper number 1" in page
    assert "<script" not in page
    assert f'<link rel="canonical" href="https://news.example.org/archive/{day}/">' in page


def test_an_issue_leads_to_the_one_before_and_after(site: Site) -> None:
    page = site.client.get("/archive/2026-11-23/").text
    assert '<a rel="prev" href="../../archive/2025-12-31/">' in page
    assert '<a rel="next" class="after" href="../../archive/2026-11-24/">' in page
    assert 'rel="prev"' not in site.client.get(f"/archive/{OLD}/").text
    assert 'rel="next"' not in site.client.get(f"/archive/{DAY}/").text


def test_the_page_says_to_others_what_is_in_it(site: Site) -> None:
    page = html.document_fromstring(site.client.get("/archive/2026-11-24/").text)
    said = {meta.get("property") or meta.get("name"): meta.get("content") for meta in page.iter("meta")}
    assert said["description"] == said["og:description"] == "Paper number 1; Paper number 2; Paper number 3"
    assert said["og:title"] == rendered().subject
    assert said["og:url"] == "https://news.example.org/archive/2026-11-24/"
    assert (said["og:type"], said["og:site_name"]) == ("article", "Daily Papers")
    assert "robots" not in said
    assert page.xpath("//link[@rel='icon']/@href") == ["../../favicon.svg"]


def test_a_reference_manager_finds_every_paper(site: Site) -> None:
    page = html.document_fromstring(site.client.get("/archive/2026-11-24/").text)
    found = [dict(parse_qsl(span.get("title"))) for span in page.xpath("//span[@class='Z3988']")]
    assert [each["rft.atitle"] for each in found] == ["Paper number 1", "Paper number 2", "Paper number 3"]
    assert found[0]["rft_id"] == "https://arxiv.org/abs/2611.00001"
    assert found[0]["ctx_ver"] == "Z39.88-2004"


def test_a_month_has_a_page(site: Site) -> None:
    assert site.client.get("/archive/2026-11").headers["Location"] == "2026-11/"
    page = site.client.get("/archive/2026-11/").text
    assert "<h1>November 2026</h1>" in page
    assert 'href="../2026-11-24/"' in page
    assert "2025-12-31" not in page
    assert '<a rel="prev" href="../2025-12/">' in page
    assert site.client.get("/archive/2026-10/").status_code == 404


def test_an_index_of_five_hundred_issues_is_small(tmp_path: Path) -> None:
    subject = "24 Nov: An Efficient Closed-Loop Harness for Self-Evolving Intelligence (▲ 92) and 14 more"
    with Store.open(store_file(tmp_path / "test.db")) as store:
        publish(store, RenderedIssue(DAY, subject, "<html><body>x</body></html>", "t"))
        repeat(tmp_path / "test.db", 499)
        archive = archive_of(store, searchable=True)
        assert archive.index().body.count(b">500 issues<") == 1
        sizes = [len(archive.index().body), *(len(body) for body in bodies_of_months(archive))]
    assert len(sizes) == 1 + 18
    assert max(sizes) < 30_000


def repeat(file: Path, days: int) -> None:
    """Put the only issue of an SQLite file on the following days too. Of their deliveries only the number is kept."""
    later = [(f"+{number} days",) for number in range(1, days + 1)]
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO issues (day, frozen_at, expires_at) SELECT date(day, ?), frozen_at, expires_at"
            " FROM issues WHERE id = 1",
            later,
        )
        database.execute(
            "INSERT INTO renderings (issue_id, subject, publication, html, text)"
            " SELECT issues.id, subject, publication, html, text FROM renderings, issues WHERE issues.id > 1"
        )
        database.execute("INSERT INTO delivery_counts SELECT id, ?, 1 FROM issues WHERE id > 1", [State.ACCEPTED])


def bodies_of_months(archive: Archive) -> Iterator[bytes]:
    for year, month in product((2026, 2027, 2028), range(1, 13)):
        if document := archive.month(year, month):
            yield document.body


def test_a_day_without_an_issue_leads_to_the_nearest(site: Site) -> None:
    for path in ("/archive/2026-06-01", "/archive/2026-06-01/"):
        answer = site.client.get(path)
        assert answer.status_code == 404
        assert "There is no issue of 1 June 2026" in answer.text
        assert 'href="/archive/2025-12-31/"' in answer.text
        assert 'href="/archive/2026-11-23/"' in answer.text
        assert '<meta name="robots" content="noindex">' in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers


# --- for other programs ----------------------------------------------------------------------------------------------


def test_an_issue_can_be_had_as_bibtex_and_as_json(site: Site) -> None:
    bib = site.client.get("/archive/2026-11-24.bib")
    assert bib.mimetype == "application/x-bibtex"
    assert bib.text.count("@misc{") == 3
    answer = site.client.get("/archive/2026-11-24.json")
    assert answer.mimetype == "application/json"
    assert answer.json is not None
    assert answer.json["day"] == "2026-11-24"
    assert [each["title"] for each in answer.json["papers"]] == ["Paper number 1", "Paper number 2", "Paper number 3"]
    page = site.client.get("/archive/2026-11-24/").text
    assert 'href="../../archive/2026-11-24.bib"' in page
    assert 'href="../../archive/2026-11-24.json"' in page


@pytest.mark.parametrize("kind", ["bib", "json"])
def test_an_issue_of_before_has_neither_and_says_so(site: Site, kind: str) -> None:
    answer = site.client.get(f"/archive/{OLD}.{kind}")
    assert answer.status_code == 404
    assert "The issue of 31 December 2025 was kept only as a mail" in answer.text
    assert f'<a href="/archive/{OLD}/">read it</a>' in answer.text
    assert f"{OLD}.{kind}" not in site.client.get(f"/archive/{OLD}/").text
    assert "There is no issue of 1 June 2026" in site.client.get(f"/archive/2026-06-01.{kind}").text


def test_search_engines_find_every_page(site: Site) -> None:
    robots = site.client.get("/robots.txt")
    assert robots.mimetype == "text/plain"
    assert "Sitemap: https://news.example.org/sitemap.xml" in robots.text
    assert "Disallow: /unsubscribe/\n" in robots.text
    root = etree.fromstring(site.client.get("/sitemap.xml").data)
    places = [each.text for each in root.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    base = "https://news.example.org/"
    listed = ("", "archive/", "archive/2026-11-24/", "archive/2025-12-31/", "archive/2026-11/", "archive/2025-12/")
    assert {base + each for each in listed} <= set(places)
    for place in places:
        assert site.client.get(str(place).removeprefix("https://news.example.org")).status_code == 200


def test_the_icon_is_a_drawing(site: Site) -> None:
    answer = site.client.get("/favicon.svg")
    assert answer.mimetype == "image/svg+xml"
    assert etree.fromstring(answer.data).tag == "{http://www.w3.org/2000/svg}svg"


# --- search ----------------------------------------------------------------------------------------------------------


def test_a_search_leads_to_the_paper_in_its_issue(site: Site) -> None:
    assert '<form class="web search" role="search" method="get" action="search">' in site.client.get("/archive/").text
    page = site.client.get("/archive/search?q=number+2").text
    assert "2 papers, newest first" in page
    assert page.index('href="2026-11-24/#paper-2"') < page.index('href="2026-11-23/#paper-2"')
    assert 'id="paper-2"' in site.client.get("/archive/2026-11-24/").text
    assert '<meta name="robots" content="noindex">' in page


def test_a_long_list_of_results_has_pages(own_site: Site) -> None:
    many = issue(*(paper(n) for n in range(1, 60)), day=DAY + timedelta(days=1))
    publish(own_site.store, rendered(DAY + timedelta(days=1)), contents=many)
    first = own_site.client.get("/archive/search?q=lovelace").text
    assert first.count("#paper-") == 20
    assert "Page 1 of 4" in first
    assert 'rel="next" class="after" href="search?q=lovelace&amp;page=2"' in first
    last = own_site.client.get("/archive/search?q=lovelace&page=4").text
    assert last.count("#paper-") == 5
    assert 'rel="next"' not in last
    for number in ("99", "9" * 30):
        assert own_site.client.get(f"/archive/search?q=lovelace&page={number}").status_code == 200
    assert own_site.client.get("/archive/search?q=lovelace&page=99").text == last
    for number in ("0", "-1", "x", "1e3", "٣", ""):
        assert own_site.client.get(f"/archive/search?q=lovelace&page={number}").text == first


@pytest.mark.parametrize(
    "query", ["", "%00", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "%ff%fe", "a" * 5_000, "'%20OR%201=1--", "q&q=b"]
)
def test_whatever_is_searched_for_is_a_page(site: Site, query: str) -> None:
    answer = site.client.get(f"/archive/search?q={query}")
    assert answer.status_code == 200
    assert "<script>" not in answer.text
    assert len(answer.data) < 30_000


# --- the same for everybody ------------------------------------------------------------------------------------------


EVERYWHERE = (
    *("/archive/", "/archive/2026-11-24/", "/archive/2025-12-31/", "/archive/2026-11/", "/archive/search?q=paper"),
    *("/archive/2026-11-24.bib", "/archive/2026-11-24.json", "/feed.atom", "/favicon.svg", "/robots.txt"),
    "/sitemap.xml",
)


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_page_is_hardened_and_may_be_cached(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; "
        "form-action 'self' https://news.example.org; frame-ancestors 'none'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert "Set-Cookie" not in answer.headers
    head = site.client.head(path)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
    known = {"If-None-Match": answer.headers["ETag"]}
    again = site.client.get(path, headers=known)
    assert (again.status_code, again.data) == (304, b"")
    if "Last-Modified" in answer.headers:
        again = site.client.get(path, headers={"If-Modified-Since": answer.headers["Last-Modified"]})
        assert (again.status_code, again.data) == (304, b"")


def test_what_has_no_date_does_not_say_that_it_has_just_changed(site: Site) -> None:
    assert "Last-Modified" not in site.client.get("/robots.txt").headers


def test_a_page_that_is_kept_is_sent_again_once_it_has_changed(own_site: Site) -> None:
    known = {path: {"If-None-Match": own_site.client.get(path).headers["ETag"]} for path in EVERYWHERE}
    publish(own_site.store, rendered(DAY + timedelta(days=1)), contents=issue(day=DAY + timedelta(days=1)))
    same = ("/archive/2025-12-31/", ".bib", ".json", "/favicon.svg", "/robots.txt")
    expected = {path: 304 if path.endswith(same) else 200 for path in EVERYWHERE}
    found = {path: own_site.client.get(path, headers=headers).status_code for path, headers in known.items()}
    assert found == expected


@pytest.mark.parametrize("address", ["https://evil.example", "https://news.example.org"])
def test_nothing_depends_on_the_host_that_was_asked_for(site: Site, address: str) -> None:
    for path in EVERYWHERE:
        assert site.client.get(path, base_url=address).data == site.client.get(path).data


@pytest.mark.parametrize(
    "path",
    [
        *(
            "2026-13-40",
            "2026-13",
            "0000-01",
            "2026-1",
            "2026-11-24.",
            "2026-11-24.pdf",
            "2026-11.bib",
            "20261124",
            "2026-W48-2",
            "../../etc/passwd",
            "..%2f..%2fetc%2fpasswd",
            "CON",
        ),
        *("%00", "2026-11-24/index.htm", "2026-11-24%0d%0aX:%20y", "２０２６-11-24", "x" * 20_000, "feed.atom"),
    ],
)
def test_any_other_address_is_the_polite_page(site: Site, path: str) -> None:
    answer = site.client.get(f"/archive/{path}")
    assert answer.status_code == 404
    assert answer.text == site.client.get("/somewhere/else").text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", EVERYWHERE)
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
    for entry in etree.fromstring(answer.data).iter(f"{ATOM}entry"):
        shown = html.fromstring(entry.findtext(f"{ATOM}content"))
        assert [link.get("href") for link in shown.iter("a")] == [paper(n).url for n in (1, 2, 3)]
        assert {element.tag for element in shown.iter()} <= {"ol", "li", "a", "p"}
        assert {name for element in shown.iter() for name in element.attrib} == {"href"}


def test_a_feed_of_thirty_long_issues_is_small() -> None:
    long = issue(*(paper(n, title="A title as long as they are " * 3, abstract="Sentence. " * 200) for n in range(20)))
    entries = [atom.Entry(frozen(rendered(DAY + timedelta(days=n))), long) for n in range(30)]
    assert len(atom.feed(PUBLICATION, entries)) < 250_000


def test_ids_stay_the_same_wherever_the_archive_moves() -> None:
    made = frozen(rendered())
    there = atom.feed(PUBLICATION, [atom.Entry(made, issue())])
    elsewhere = replace(PUBLICATION, base_url="https://other.example", title="New")
    elsewhere_too = atom.feed(elsewhere, [atom.Entry(made, None)])
    ids = [element.text for element in etree.fromstring(there).iter(f"{ATOM}id")]
    assert ids == [element.text for element in etree.fromstring(elsewhere_too).iter(f"{ATOM}id")]
    assert ids[0].startswith("urn:uuid:")
    assert ids[1] == "tag:news.example.org,2026-11-24:daily-papers.news.example.org"


def test_without_base_url_the_feed_s_links_are_relative() -> None:
    publication = replace(PUBLICATION, base_url=None, sender=Mailbox("", "digest@news.example.org"))
    root = check_atom(atom.feed(publication, [atom.Entry(frozen(rendered(), publication), None)]))
    assert [link.get("href") for link in root.iter(f"{ATOM}link")] == ["archive/", "archive/2026-11-24/"]
    assert root.findtext(f"{ATOM}author/{ATOM}name") == "Daily Papers"


def test_a_feed_before_the_first_issue_is_a_feed() -> None:
    root = check_atom(atom.feed(PUBLICATION, []))
    assert root.findtext(f"{ATOM}updated") == "1970-01-01T00:00:00Z"


def test_what_xml_cannot_hold_is_left_out() -> None:
    hostile = frozen(RenderedIssue(DAY, "a\x00\x1b]]>\ufffe<b>&", "<html><body>\x0b<p>]]></p></body></html>", ""))
    worst = issue(paper(1, title="a\x00\x1b]]>\ufffe<b>&", abstract="\x0b", url="https://x.example/\x01"))
    root = check_atom(atom.feed(PUBLICATION, [atom.Entry(hostile, worst)]))
    check_atom(atom.feed(PUBLICATION, [atom.Entry(hostile, None)]))
    assert root.findtext(f"{ATOM}entry/{ATOM}title") == "a]]><b>&"


def test_the_feed_has_the_last_thirty_issues(tmp_path: Path) -> None:
    with Store.open(store_file(tmp_path / "test.db")) as store:
        for days in range(32):
            publish(store, RenderedIssue(DAY + timedelta(days=days), "s", "<html><body>x</body></html>", "t"))
        made = Archive(PUBLICATION, store, Renderer(PUBLICATION)).feed()
    links = [entry.link[-11:] for entry in feedparser.parse(made.body).entries]
    assert (len(links), links[0], links[-1]) == (30, "2026-12-25/", "2026-11-26/")


# --- as files --------------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_exported_files_are_what_the_web_serves(site: Site, tmp_path: Path) -> None:
    """Except that only the web can search."""
    made = Archive(site.config.publication, site.store, Renderer(site.config.publication), searchable=True)
    folder = tmp_path / "public"
    paths = {
        *("archive/index.html", "archive/2025-12-31/index.html", "archive/2026-11-23/index.html", "robots.txt"),
        *("archive/2026-11-24/index.html", "archive/2026-11/index.html", "archive/2025-12/index.html", "feed.atom"),
        *(f"archive/2026-11-{day}.{kind}" for day in (23, 24) for kind in ("bib", "json")),
        *("favicon.svg", "sitemap.xml"),
    }
    assert pages.export(made, folder) == (len(paths), len(paths))
    assert files(folder) == {path: site.client.get(f"/{path.removesuffix('index.html')}").data for path in paths}
    made = Archive(site.config.publication, site.store, Renderer(site.config.publication))
    pages.export(made, folder)
    for path, written in files(folder).items():
        assert b'archive/search"' not in written, path
        assert b'role="search"' not in written, path


def test_an_export_leaves_the_host_s_robots_txt_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_text("mine", "utf-8")
    pages.export(archive_of(site.store), tmp_path)
    assert (tmp_path / "robots.txt").read_text("utf-8") == "mine"


def test_without_base_url_pages_lead_to_each_other_and_have_no_form(site: Site, tmp_path: Path) -> None:
    publication = replace(PUBLICATION, base_url=None)
    pages.export(archive_of(site.store, publication), tmp_path)
    written = files(tmp_path)
    assert "robots.txt" not in written
    assert "sitemap.xml" not in written
    page = written["archive/2026-11-24/index.html"].decode()
    assert "https://news.example.org" not in page
    assert "<form" not in page
    assert '<a class="home" href="../../archive/">Daily Papers</a>' in page
    assert "form-action &#39;none&#39;" in page


def test_an_export_writes_what_changed_and_removes_nothing(own_site: Site, tmp_path: Path) -> None:
    made = Archive(own_site.config.publication, own_site.store, Renderer(own_site.config.publication))
    folder = tmp_path / "public"
    pages.export(made, folder)
    (folder / "index.html").write_text("the operator's own", "utf-8")
    (folder / "archive" / "2026-11-24" / "note.txt").write_text("the operator's own", "utf-8")
    (folder / "archive" / "2026-11-23" / "index.html").write_text("half a pa", "utf-8")
    inodes = {path: path.stat().st_ino for path in folder.rglob("*")}
    assert pages.export(made, folder) == (1, 14)
    assert [path.parent.name for path, inode in inodes.items() if path.stat().st_ino != inode] == ["2026-11-23"]
    publish(own_site.store, rendered(DAY + timedelta(days=1)))
    # its page, the one before, its month, the index, the feed, the sitemap
    assert pages.export(made, folder) == (6, 15)
    assert pages.export(made, folder) == (0, 15)
    assert files(folder)["index.html"] == files(folder)["archive/2026-11-24/note.txt"] == b"the operator's own"
    assert not [path for path in files(folder) if Path(path).name.startswith(".")]


def test_the_command_exports_what_was_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newsletter = OperatorSite(tmp_path, 25, capsys)
    folder = tmp_path / "public"
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 5 of 5 files written\n"
    assert sorted(files(folder)) == ["archive/index.html", "favicon.svg", "feed.atom", "robots.txt", "sitemap.xml"]
    with Store.open(store_file(tmp_path / "newsletter.db")) as store:
        publish(store, rendered())
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 5 of 7 files written\n"
    assert newsletter("archive", "export", str(folder)).out == f"{folder}: 0 of 7 files written\n"
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


def exported(folder: Path, *issues: RenderedIssue | Issue) -> Path:
    """The files of an archive. Of a RenderedIssue only the mail is kept."""
    with Store.open(store_file(folder / "test.db")) as store:
        for each in issues:
            if isinstance(each, RenderedIssue):
                publish(store, each)
            else:
                publish(store, Renderer(PUBLICATION).issue(each), contents=legible(each))
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
        assert browser.find_element(By.TAG_NAME, "h1").text == "23 November 2026"
        assert browser.find_element(By.TAG_NAME, "h2").text == "Paper number 1"
        browser.find_element(By.CSS_SELECTOR, "a[rel=next]").click()
        assert browser.current_url == f"{url}/archive/2026-11-24/"
        browser.find_element(By.LINK_TEXT, "All issues").click()
        browser.find_element(By.LINK_TEXT, "November").click()
        assert browser.current_url == f"{url}/archive/2026-11/"
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


@pytest.mark.parametrize("kept", [True, False], ids=["with its papers", "as a mail"])
def test_a_poisoned_feed_is_harmless_in_every_page(browser: webdriver.Chrome, tmp_path: Path, *, kept: bool) -> None:
    """Each paper is first once, so that each hostile title is in a subject, and so in the index and the feed.

    The issues that are looked at have all papers.
    """
    papers = poisoned().papers
    looked_at = (0, 5)
    days = [
        Issue(DAY + timedelta(days=n), (*papers[n:], *papers[:n]) if n in looked_at else papers[n : n + 1], True)
        for n in range(len(papers))
    ]
    folder = exported(tmp_path, *(days if kept else map(Renderer(PUBLICATION).issue, days)))
    check_atom((folder / "feed.atom").read_bytes())
    assert not feedparser.parse((folder / "feed.atom").read_bytes()).bozo
    found = "return [...document.querySelectorAll("
    found += "'script, iframe, svg, img, form:not([action$=subscribe]), base, link:not([rel]), [onerror], [onload]')]"
    links = "return [...document.links].map(a => a.protocol)"
    with web_host(folder) as url:
        for path in ("archive/", *(f"archive/{DAY + timedelta(days=n)}/" for n in looked_at)):
            browser.get(f"{url}/{path}")
            assert browser.execute_script(found) == []
            assert set(browser.execute_script(links)) <= {"http:", "https:"}
            assert complaints(browser) == []
    for each in days if kept else ():
        written = (folder / "archive" / f"{each.day}.json").read_text("utf-8")
        assert len(json.loads(written)["papers"]) == len(each.papers)


PAGES = {
    "index": "archive/",
    "month": "archive/2026-11/",
    "issue": "archive/2026-11-24/",
    "mail": "archive/2025-12-31/",
}
LANGUAGES = ("en", "he")


def with_everything(folder: Path, language: str) -> Path:
    """The files of an archive with a mail and an issue that has everything, in a language."""
    publication = replace(PUBLICATION, language=language)
    renderer = Renderer(publication)
    wide = paper(1, title="Supercalifragilistic" * 5, summary="It works.", organisation="An Institute", code_stars=1)
    many = Issue(DAY, (wide, paper(2), paper(3)), ranked_by_votes=True, left_out=3)
    many = replace(many, rising=(LateRiser(paper(20), DAY - timedelta(days=3), 41),), pinned={wide.key: "author: Ada"})
    with Store.open(store_file(folder / "test.db")) as store:
        publish(store, renderer.issue(issue(day=OLD)), publication)
        publish(store, renderer.issue(many), publication, contents=many)
        pages.export(Archive(publication, store, renderer, searchable=True), folder / "public")
    return folder / "public"


@pytest.fixture(scope="module")
def shown(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """The documents of PAGES, by language and name. Each page has its colours and fits a desktop and a phone."""
    found = {}
    for language in LANGUAGES:
        with web_host(with_everything(tmp_path_factory.mktemp("archive"), language)) as url:
            for name, path in PAGES.items():
                browser.get(f"{url}/{path}")
                for width, scheme in ((320, "light"), (1280, "dark")):
                    show_on(browser, DESKTOP | {"width": width})
                    prefer(browser, scheme)
                    wide, background = browser.execute_script(
                        "return [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
                    )
                    assert wide <= width, name
                    assert (background == "rgb(15, 19, 24)") is (scheme == "dark"), name
                found[language, name] = browser.execute_script(SHOWN)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_accessible_and_fit_from_left_and_from_right(
    browser: webdriver.Chrome, shown: dict[tuple[str, str], str], page: str, language: str
) -> None:
    assert judged(browser, shown[language, page], mail=False) == []
