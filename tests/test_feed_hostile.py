"""Parsing documents that are hostile, damaged or not feeds: the result is harmless text or a one-line error."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest

from newsletter.errors import FeedFormatError
from newsletter.feed import parse
from tests.documents import FEED, FEEDS, error_of, item, only, papers, rss

# --- hostile text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("a\r\nBcc: x@example.com", "a Bcc: x@example.com"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("\x00\x07\x1b[31mred\x9b", "[31mred"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028sep\u2029", "line sep"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("&lt;b&gt;", "&lt;b&gt;"),
        ("日本語 \U0001f600 café ﷽", "日本語 \U0001f600 café ﷽"),
        ("x" * 20_000, "x" * 999 + "…"),
    ],
)
def test_a_title_is_one_line_of_plain_text(title: str, clean: str) -> None:
    assert only(papers(title=title)).title == clean


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>two<br>three</p>", "One two three"),
        ("<script>alert(1)</script><style>p{}</style>left<!-- not me -->", "left"),
        ('<a href="javascript:alert(1)" onclick="x()">link</a>', "link"),
        ("AT&amp;T &amp;amp; &lt;b&gt;", "AT&T &amp; <b>"),
        ("where x<y and y > z, a<b and c>d, <think>", "where x<y and y > z, a<b and c>d, <think>"),
        ("<p>if x<sub>1</sub> < <i class=m>y</i></p>", "if x1 < y"),
        ("by <math><mi>x</mi></math> and <mml:math><mml:mi>y</mml:mi></mml:math>", "by x and y"),
        ("<svg/onload=alert(1)><title>x</title></svg><iframe src=x></iframe>left", "left"),
        ("<p" * 50_000, "<p" * 9_999 + "<…"),
        ("<div>" * 10_000 + "deep", "deep"),
    ],
)
def test_html_becomes_text(markup: str, text: str) -> None:
    assert only(item(title="x", description=f"<![CDATA[{markup}]]>")).abstract == text


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a.example/x?y=1&z=[2]#f", "https://a.example/x?y=1&z=[2]#f"),
        (" \x01https://a.exa\tmple/\n \x1f", "https://a.example/"),
        ("HTTPS://A.EXAMPLE/ü b", "https://a.example/%C3%BC%20b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ('https://a.example/"><script>', "https://a.example/%22%3E%3Cscript%3E"),
        ("javascript:alert(1)", None),
        ("jAvA\tscript:alert(1)", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("//a.example/x", None),
        ("/x", None),
        ("https://arxiv.org@a.example/", None),
        ("https://", None),
        ("https://a b/", None),
        ("https://[::1", None),
        ("https://a.example:x/", None),
        ("https://a.example/" + "x" * 3_000, None),
        ("https://a.example/\ud800", None),
        (5, None),
        (None, None),
    ],
)
def test_only_web_links_become_links(url: object, kept: str | None) -> None:
    assert only(papers(projectPage=url)).project_url == kept


@pytest.mark.parametrize("identifier", ["../../etc/passwd", "a/b", "-rf", "", 5, None, "x" * 99, "2611.1\n"])
def test_an_odd_id_makes_no_link(identifier: object) -> None:
    paper = only(papers(id=identifier))
    assert (paper.url, paper.arxiv_id, paper.key) == (None, None, "title:a paper")


# --- documents that are no feed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty response"),
        (b" \n\xef\xbb\xbf", "neither JSON nor XML"),
        (b"User-agent: *", "neither JSON nor XML; it begins 'User-agent: *'"),
        (b"<!doctype html><title>Sign in</title>", "a web page instead of a feed: 'Sign in'"),
        (b"\n<!-- x --><HTML><body>", "a web page instead of a feed"),
        (
            b"<html><link rel=x href=a><link REL='alternate' type=\"application/atom+xml\" href='/a?b=1&amp;c'>",
            "a web page instead of a feed; it names the feed https://",
        ),
        (b"<html><link rel='alternate' type='application/rss+xml' href='//[x'>", "a web page instead of a feed"),
        (b"<Error><Code>AccessDenied</Code></Error>", "XML, but not a feed: its root is <Error>"),
        (b'{"error": "Invalid\\n date"}', "the server says: Invalid date"),
        (b'{"papers": []}', "JSON, but neither Daily Papers nor JSON Feed"),
        (b'[{"title": "x"}]', "JSON, but neither Daily Papers nor JSON Feed"),
        (b'[{"paper": {"id": NaN, }]', "broken JSON at line 1, column 24"),
        (b"[" * 100_000, "JSON nested too deeply"),
        (b"[" + b"{}," * 600_000 + b"{}]", "too much markup"),
        (b"<rss><channel>" + b"<item/>" * 600_000, "too much markup"),
        (b"<rss><channel>" + b"& " * 2_000_001, "too many character references"),
        (b"<rss><channel><a " + b"a='' " * 100 + b"/></channel></rss>", "a tag that is too long"),
        (b"<rss><channel><a" + b" b" * 100_000, "a tag that is too long"),
        (b"<rss><channel><item><author>" + b"a." * 22_501 + b"</author>", "words that are too long"),
        (b"<rss><channel><item><author>" + (b"a" * 2_000 + b" ") * 501 + b"</author>", "words that are too long"),
        (b"<rss><channel>" + b"<item/>" * 20_000 + b"</channel></rss>", "20,000 entries, more than 10,000"),
        (b"<rss><channel><item><title>a</title></item><item><title>cut", "it is cut off: </rss> is missing"),
        (b"<rss><channel><x></y> <title>x</title></channel></rss>", "broken XML without a readable entry"),
        (b"\xff\xfe[\x00\x00", "broken UTF-16-LE"),
        ("<rss>Größe, Übel, Ärger</rss>".encode("latin-1"), "unknown character encoding"),
    ],
)
def test_a_document_that_is_no_feed_is_one_line(body: bytes, reason: str) -> None:
    assert error_of(body).startswith(reason)


ENTITY = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
XML = "<?xml version='1.0'?>"


@pytest.mark.parametrize("charset", ["cp037", "utf-16", "rot13", "no-such", "idna"])
def test_a_declaration_that_cannot_be_true_is_not_believed(charset: str) -> None:
    body = "<rss>Größe, Übel, Ärger</rss>".encode("latin-1")
    assert "unknown character encoding" in error_of(body, f"text/xml; charset={charset}")


@pytest.mark.parametrize(
    "head",
    [
        XML + ENTITY,
        XML + BOMB,
        "<!-- <rss> -->" + BOMB,
        "<!-- -- <!DOCTYPE x>\n<!ENTITY x 'aaaa'> -->",
        "<?x?>\n<!doctype r [<!entity x 'y'>]>",
        '<!DOCTYPE r SYSTEM "a>b" [<!ENTITY x "y">]>',
        '<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd">%x;]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32-be"])
def test_entities_are_refused_in_every_disguise(head: str, encoding: str) -> None:
    body = (head + "<rss><channel><item><title>&x;</title></item></channel></rss>").encode(encoding)
    assert "declares entities" in error_of(body)


def test_utf_7_hides_nothing() -> None:
    body = b"<?xml version='1.0' encoding='utf-7'?>" + rss("<item><title>+ADw-b+AD4-</title></item>")
    assert only(body).title == "+ADw-b+AD4-"
    assert "unknown character encoding" in error_of(body + b"\xff\xff\xff\xff", "text/xml; charset=utf-7")


def test_a_doctype_without_declarations_is_harmless() -> None:
    head = b'<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss-0.91.dtd">'
    assert only(head + item(title="x")).title == "x"


# --- anything at all -------------------------------------------------------------------------------------------------

ODD: list[Any] = [None, True, -1, 1e9, "", "x", "\ud800", [], [[]], {}, {"name": "x"}, [{"name": "x"}], "1" * 5_000]


@pytest.mark.parametrize("name", ["hugging_face.json", "feed.json"])
def test_a_value_of_any_type_anywhere_is_read_or_skipped(name: str) -> None:
    def variants(value: Any) -> list[Any]:
        found = list(ODD)
        if isinstance(value, dict):
            found += [{**value, key: odd} for key, inner in value.items() for odd in variants(inner)]
        if isinstance(value, list):
            found += [
                [*value[:i], odd, *value[i + 1 :]] for i, inner in enumerate(value[:2]) for odd in variants(inner)
            ]
        return found

    for document in variants(json.loads((FEEDS / name).read_bytes())):
        _must_end_well(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["labelled.rss", "arxiv.atom", "journal.rdf", "feed.json", "hugging_face.json"])
def test_damage_anywhere_is_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    whole = (FEEDS / name).read_bytes()
    pieces = [b"<", b">", b"&#x110000;", b"&#xd800;", b"]]>", b"<!--", b"\x00", b"\xff", b'"', b"", b"<links>x</links>"]
    for _ in range(150):
        start = chance.randrange(len(whole))
        end = start + chance.choice([0, 1, 5, 50])
        _must_end_well(whole[:start] + chance.choice(pieces) * chance.choice([1, 3]) + whole[end:])


@pytest.mark.parametrize(
    "element",
    [
        *("title_detail", "summary", "summary_detail", "content", "links", "link", "authors", "author_detail", "tags"),
        *("published_parsed", "updated_parsed", "id", "comments", "slash_comments", "upvotes"),
    ],
)
@pytest.mark.parametrize("form", ["<{0}>x</{0}>", "<{0} a='b'>x</{0}>", "<{0}/>", "<{0}><b>x</b></{0}>"])
def test_an_element_named_like_feedparser_s_own_keys_is_harmless(element: str, form: str) -> None:
    odd = form.format(element)
    _must_end_well(rss(f"{odd}<item><title>x</title>{odd}</item>"))
    _must_end_well(rss(f"&nbsp;{odd}<item><title>x</title>{odd}</item>"))


def _must_end_well(body: bytes) -> None:
    """Parse a document, which must give papers or a FeedFormatError."""
    with suppress(FeedFormatError):
        assert all(paper.title.isprintable() and paper.key for paper in parse(body, FEED).papers)
