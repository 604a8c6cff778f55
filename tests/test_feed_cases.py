"""Feeds as publishers really serve them: one test for each kind of habit, and the collected cases."""

from __future__ import annotations

from datetime import date
from html import escape
from pathlib import Path

import pytest

from newsletter.config import FeedConfig
from newsletter.errors import FeedError, FeedFormatError
from newsletter.feed import parse
from newsletter.feed.authors import authors_of, split_authors
from newsletter.feed.dates import day_of
from newsletter.feed.text import strip_tags
from newsletter.feed.urls import web_url
from newsletter.languages.invisible import visible
from newsletter.model import Paper, ParsedFeed

FEED = FeedConfig("https://journal.example/rss")


def rss(*items: str, encoding: str = "utf-8") -> bytes:
    """An RSS document of these items, which are encoded as it says."""
    xml = (
        f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:arxiv="http://arxiv.org/schemas/atom"><channel><title>J</title><link>https://journal.example/</link>'
        + "".join(f"<item>{item}</item>" for item in items)
        + "</channel></rss>"
    )
    return xml.encode({"x-sjis": "cp932", "gb2312": "gb18030"}.get(encoding, encoding))


def only(item: str) -> Paper:
    (paper,) = parse(rss(item), FEED).papers
    return paper


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data / "cases" / "feeds"
    if not folder.is_dir():
        pytest.skip("no cases beside this checkout")
    return folder


def case(cases: Path, name: str, feed: FeedConfig = FEED) -> ParsedFeed:
    return parse((cases / name).read_bytes(), feed)


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("label_gb2312_text_gbk.rss", "大语言模型の研究 镕 朱镕基 测试"),
        ("label_big5.rss", "香港嘅論文測試"),
        ("label_euc-kr.rss", "뷁 한국어 논문 똠방각하"),
    ],
)
def test_a_collected_label_is_read_as_browsers_read_it(cases: Path, name: str, title: str) -> None:
    assert [paper.title for paper in case(cases, name).papers] == [title]


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("Shift_JIS", "cp932", "①髙橋の論文"),
        ("x-sjis", "cp932", "㈱の論文"),
        ("ks_c_5601-1987", "cp949", "똠방각하 펲시콜라"),
        ("GB2312", "gb18030", "朱镕基 €"),
        ("iso-8859-1", "cp1252", "the “price” – 5 €"),
        ("us-ascii", "cp1252", "naïve “quotes”"),
        ("iso-8859-9", "cp1254", "“şğı”"),
        ("tis-620", "cp874", "ภาษาไทย …"),
        ("big5", "big5hkscs", "香港嘅"),
        ("iso-2022-jp", "iso2022_jp", "日本語の論文"),
        ("euc-jp", "euc_jp", "日本語の論文"),
        ("windows-1251", "cp1251", "Статья"),
        ("koi8-ru", "koi8_u", "Стаття ґ"),
        ("x-mac-cyrillic", "mac_cyrillic", "Статья"),
    ],
)
def test_a_label_means_what_the_encoding_standard_says(label: str, codec: str, text: str) -> None:
    xml = f'<?xml version="1.0" encoding="{label}"?><rss><channel><item><title>{text}</title></item></channel></rss>'
    assert parse(xml.encode(codec), FEED).papers[0].title == text
    unlabelled = xml.replace(f' encoding="{label}"', "")
    assert parse(unlabelled.encode(codec), FEED, content_type=f"text/xml; charset={label}").papers[0].title == text


def test_a_byte_that_windows_1252_leaves_open_is_not_shown() -> None:
    body = rss("<title>caf\xe9 \x81x</title>", encoding="iso-8859-1")
    assert parse(body, FEED).papers[0].title == "café x"


def test_a_summary_that_is_cut_inside_a_character_costs_that_character() -> None:
    whole = rss("<title>论文</title><description>" + "研究" * 100 + "</description>", encoding="gb2312")
    cut = whole.replace("究</description>".encode("gb18030"), "究".encode("gb18030")[:1] + b"</description>")
    assert cut != whole
    assert parse(cut, FEED).papers[0].title == "论文"


def test_utf_8_is_tried_before_what_a_document_declares() -> None:
    body = rss("<title>naïve Bäume</title>").replace(b'encoding="utf-8"', b'encoding="gb2312"')
    assert parse(body, FEED).papers[0].title == "naïve Bäume"


WARNINGS = {
    "text": "\nWarning: Undefined variable $x in /srv/feed.php on line 3\n",
    "html": "<br />\n<b>Deprecated</b>:  strlen(): Passing null in <b>/srv/a.php</b> on line <b>7</b><br />\n",
    "log": "[28-Nov-2026 10:00:00 UTC] PHP Notice:  nothing\n",
    "stray": "x\n",
}


@pytest.mark.parametrize("warning", WARNINGS.values(), ids=WARNINGS.keys())
def test_what_a_program_prints_before_the_document_is_skipped(warning: str) -> None:
    body = rss("<title>Größe</title>", encoding="iso-8859-1")
    assert parse(warning.encode() + body, FEED).papers[0].title == "Größe"
    assert parse(warning.encode() + body.partition(b"?>")[2], FEED).papers[0].title == "Größe"


def test_a_web_page_about_feeds_is_no_feed() -> None:
    page = b"<!DOCTYPE html><html><title>Warning</title><body><pre><?xml version='1.0'?><rss><channel/></rss></pre>"
    with pytest.raises(FeedFormatError, match="a web page instead of a feed"):
        parse(page, FEED)


# --- arXiv -----------------------------------------------------------------------------------------------------------


def test_a_new_version_of_an_old_paper_is_no_news(cases: Path) -> None:
    name = "arxiv_announce_types.rss"
    assert [paper.title for paper in case(cases, name).papers] == ["A quite new thing", "Cross listed thing"]
    assert case(cases, name).skipped == ()
    wanted = FeedConfig(FEED.url, replacements=True)
    assert len(case(cases, name, wanted).papers) == 4


def test_the_announce_type_is_also_read_from_the_notice() -> None:
    def item(kind: str) -> str:
        notice = f"arXiv:2611.00009v2 Announce Type: {kind} \nAbstract: We do."
        return f"<title>On {kind}</title><description>{notice}</description>"

    papers = parse(rss(*map(item, ("new", "cross", "replace", "replace-cross"))), FEED).papers
    assert [paper.title for paper in papers] == ["On new", "On cross"]
    assert {paper.abstract for paper in papers} == {"We do."}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("arxiv_api_error.atom", "the server says: incorrect id format for zz"),
        ("arxiv_api_total_without_entries.atom", "the server says that there are 48,211 results, and gives none"),
    ],
)
def test_arxiv_s_errors_with_status_200_are_failures(cases: Path, name: str, reason: str) -> None:
    with pytest.raises(FeedError, match=reason):
        case(cases, name)


def test_a_page_after_the_last_result_is_a_quiet_day_and_error_is_a_word() -> None:
    search = "http://a9.com/-/spec/opensearch/1.1/"
    numbers = "<o:totalResults>{}</o:totalResults><o:startIndex>{}</o:startIndex>"
    feed = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:o="{}"><title>q</title>{}{}</feed>'
    for total, start in ((0, 0), (50, 50)):
        assert parse(feed.format(search, numbers.format(total, start), "").encode(), FEED).papers == ()
    entry = "<entry><id>https://blog.example/error</id><title>Error</title></entry>"
    assert len(parse(feed.format(search, "", entry).encode(), FEED).papers) == 1


# --- authors ---------------------------------------------------------------------------------------------------------


def test_the_authors_of_the_collected_cases(cases: Path) -> None:
    found = {paper.title: paper.authors for paper in case(cases, "authors_last_first.rss").papers}
    jane = ("Jane Doe",)
    assert found == {
        "A1": jane,
        "A2": jane,
        "A3": (),
        "A4": jane,
        "A5": jane,
        "A6": ("J. Doe", "Max Muster"),
        "A7": ("José Ortega y Gasset",),
        "A8": ("Martin Luther King Jr.",),
        "A9": ("山田太郎", "鈴木花子"),
    }
    found = {paper.title: paper.authors for paper in case(cases, "authors_affiliations.rss").papers}
    both = ("Ann Example", "Bob Probe")
    three = ("Example A", "Probe B", "Muster CD")
    assert found == {"Affil A": both, "Affil B": jane, "HTML creators": both, "et al": three, "van der": both}


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        (("Lovelace, Ada", "Noether, Emmy"), ("Ada Lovelace", "Emmy Noether")),
        (("Noether, E. A.",), ("E. A. Noether",)),
        (("Smith, John, Jr.", "Doe, J."), ("John Smith Jr.", "J. Doe")),
        (("van der Berg, Anna", "The Example Collaboration"), ("Anna van der Berg", "The Example Collaboration")),
        (
            ("ada@inst.museum (Ada Lovelace)", "emmy@goe.international (Noether, Emmy)"),
            ("Ada Lovelace", "Emmy Noether"),
        ),
        (("noreply@journal.example", "Ada Lovelace, Emmy Noether"), ("Ada Lovelace", "Emmy Noether")),
        (("Ada Lovelace", "Ada Lovelace"), ("Ada Lovelace",)),
        (("Lovelace, Ada",), ("Ada Lovelace",)),
        (("Ada Lovelace et al.",), ("Ada Lovelace",)),
        (("Ada Lovelace, and 12 others",), ("Ada Lovelace",)),
        (("Ada Lovelace (1), Emmy Noether (2) ((1) Ockham, UK, (2) Göttingen, DE)",), ("Ada Lovelace", "Emmy Noether")),
        (("Ada Lovelace<sup>1,2</sup>, <b>Emmy Noether</b>",), ("Ada Lovelace", "Emmy Noether")),
    ],
)
def test_authors_are_read_by_element(elements: tuple[str, ...], names: tuple[str, ...]) -> None:
    found = "".join(f"<dc:creator>{escape(text)}</dc:creator>" for text in elements)
    assert only(f"<title>T</title>{found}").authors == names
    assert authors_of(elements) == names


@pytest.mark.parametrize("nobody", ["et al.", "et al", "and others", "jane@x.example", " , ; ", "(no author)"])
def test_nobody_is_no_author(nobody: str) -> None:
    assert split_authors(nobody) == ()


# --- dates -----------------------------------------------------------------------------------------------------------


def test_the_day_is_the_publisher_s_own(cases: Path) -> None:
    found = {paper.title.split()[0]: paper.published for paper in case(cases, "dates.rss").papers}
    day = date(2026, 11, 27)
    others = {"d5": None, "d7": date(2027, 3, 1), "d8": None}
    assert found == {f"d{number}": others.get(f"d{number}", day) for number in range(1, 14)}
    assert case(cases, "midnight.json").papers[0].published == day


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("Sat, 28 Feb 2026 23:59:59 -1200", (2026, 2, 28)),
        ("2026-03-01T00:10:00+14:00", (2026, 3, 1)),
        ("Di, 03 Mär 2026 10:00 MEZ", (2026, 3, 3)),
        ("mar. 3 févr. 2026", (2026, 2, 3)),
        ("lun, 01 dic 2025 08:00:00", (2025, 12, 1)),
        ("28.02.2026", (2026, 2, 28)),
        ("28/02/2026", (2026, 2, 28)),
        ("3/4/2026 1:00 PM", (2026, 3, 4)),
        ("2026/2/8", (2026, 2, 8)),
        ("2026년 2월 8일", (2026, 2, 8)),
        ("Sun Feb  8 10:00:00 2026", (2026, 2, 8)),
        ("February 8th, 2026", (2026, 2, 8)),
        ("1770552000000", (2026, 2, 8)),
        ("20260208T101010Z", (2026, 2, 8)),
        ("8 Feb 99", (1999, 2, 8)),
        ("3/4/2026", None),
        ("0000-00-00 00:00:00", None),
        ("Thu, 32 Foo 2026", None),
        ("2026-02", None),
        ("soon", None),
        ("9" * 300, None),
    ],
)
def test_a_date_is_read_as_it_is_written(written: str, day: tuple[int, int, int] | None) -> None:
    assert day_of(written) == (date(*day) if day else None)


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_bare_ampersand_is_an_ampersand(cases: Path) -> None:
    first, second = case(cases, "bare_ampersand.rss").papers
    assert (first.title, first.abstract) == ("R&D at AT&T: a Q&A", "Tom & Jerry, A&B © x")
    assert first.url == "http://x.example/?a=1&b=2"
    assert second.title == "Fine & good"


def test_ampersands_in_every_place() -> None:
    paper = only(
        "<title>P&L; B&amp;B; &#65;&x&lt;</title><link>https://x.example/?a=1&copy=2&amp;c=3</link>"
        "<description><![CDATA[Q&A &amp; more]]></description>"
    )
    assert paper.title == "P&L; B&B; A&x<"
    assert paper.url == "https://x.example/?a=1&copy=2&c=3"
    assert paper.abstract == "Q&A & more"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("A <svg viewBox='0 0 1 1'><title>icon</title><path d='M0 0'/><text>x</text></svg>map", "A map"),
        ("the <foo>bar</foo> of <inline-formula>x</inline-formula>", "the bar of x"),
        ('an <unknown attribute="1"/>element', "an element"),
        ("the token <mask> and a<b, c>d", "the token <mask> and a<b, c>d"),
        ("<custom-x>y</custom-x>", "y"),
    ],
)
def test_tags_that_nobody_knows_are_not_shown(html: str, text: str) -> None:
    assert " ".join(strip_tags(html).split()) == text


@pytest.mark.parametrize(
    ("hidden", "seen"),
    [
        ("pay\U000e0069\U000e0067 me", "pay me"),
        ("soft\u00adhyphen", "softhyphen"),
        ("a\u3164b\u2800c\uffa0d", "a b c d"),
        ("\u200eleft \u202eright\u061c", "left right"),
        ("a\u200db\u200cc\u2064d\u034f", "abcd"),
        ("x\ufe01\U000e0101y", "xy"),
        ("\ufdd0\U0001ffffz", "z"),
    ],
)
def test_what_nobody_sees_is_removed(hidden: str, seen: str) -> None:
    assert visible(hidden) == seen
    assert only(f"<title>{hidden}!</title>").title == f"{seen.strip()}!"


@pytest.mark.parametrize(
    "text",
    [
        "family 👨‍👩‍👧 and 🧑🏽‍💻",
        "love ❤️ and ✔︎",
        "key 1️⃣",
        "Scotland 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می‌خواهم",
        "क्‍ष and ශ්‍රී",
        "葛󠄀城",
        "שלום العربية",
    ],
)
def test_what_a_script_or_an_emoji_needs_stays(text: str) -> None:
    assert visible(text) == text
    assert only(f"<title>{text}</title>").title == text


def test_a_title_of_blanks_is_no_title() -> None:
    assert only("<title>\u3164\u2800\u00ad</title><description>The text.</description>").title == "The text."


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_host_is_encoded_by_idna_2008(cases: Path) -> None:
    assert case(cases, "idna2008_links.rss").papers[0].url == "https://xn--strae-oqa.example/9"


@pytest.mark.parametrize(
    ("url", "ascii_url"),
    [
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://βόλος.example/", "https://xn--nxasmm1c.example/"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://نامه‌ای.example/", "https://xn--mgba3gch31f060k.example/"),
        ("https://i❤.example/", "https://xn--i-7iq.example/"),
        ("https://例。example/", "https://xn--fsq.example/"),
        ("https://" + "ä" * 300 + ".example/", None),
    ],
)
def test_hosts_in_other_scripts(url: str, ascii_url: str | None) -> None:
    assert web_url(url) == ascii_url
