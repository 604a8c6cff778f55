"""The mail: for any papers it is complete, safe and within Gmail's limit, and both parts have the same content."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from newsletter import feed
from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.languages import ENGLISH
from newsletter.mail.cards import LAYOUTS, authors, context
from newsletter.mail.latex import readable
from newsletter.mail.lint import Level, lint
from newsletter.mail.render import BUDGET, Renderer, inline
from newsletter.model import SLOT_HOST, Issue, LateRiser, Paper, ParsedFeed, RenderedIssue, Slot
from tests.conftest import PUBLICATION, SHARED, issue, paper

DAYS = sorted((SHARED / "data" / "hf").glob("*.json"))
LONG = "A sentence about owls, kites and tides that goes on. " * 40


class Reader(HTMLParser):
    """The text, headings and links of an HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.has_glance = False
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag in ("h2", "style", "title"):
            self._inside.append(tag)
            if tag == "h2":
                self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()
            if tag == "h2" and self.headings[-1] == "At a glance":
                self.headings.pop()
                self.has_glance = True

    def handle_data(self, data: str) -> None:
        if not self._inside or self._inside[-1] == "h2":
            self.text.append(data)
        if self._inside and self._inside[-1] == "h2":
            self.headings[-1] += data


def render(*papers: Paper) -> RenderedIssue:
    return Renderer(PUBLICATION).issue(issue(*papers))


def sound(rendered: RenderedIssue) -> Reader:
    """Check the rules that every mail must keep."""
    assert [finding for finding in lint(rendered) if finding.level is Level.ERROR] == []
    assert len(rendered.html.encode()) <= BUDGET
    assert max(len(line) for line in rendered.text.splitlines() if "://" not in line) <= 72
    reader = Reader(rendered.html)
    assert all(re.match(r"https?://|mailto:", link) for link in reader.links)
    in_text = re.findall(r"^(?:https?://|mailto:)\S+$", rendered.text, re.MULTILINE)
    assert set(reader.links) <= set(in_text)
    return reader


def test_a_paper_shows_what_its_page_shows() -> None:
    rendered = render(
        paper(
            1,
            title="Reading by Lighthouse",
            organisation="Harbour Institute",
            authors=tuple(f"Author {n}" for n in range(1, 18)),
            author_count=17,
            upvotes=214,
            comments=18,
            code_url="https://github.com/example/lighthouse",
            code_stars=1240,
            discussion_url="https://huggingface.co/papers/2611.00001#community",
            summary="Beams replace attention.",
            keywords=("attention", "reading"),
        )
    )
    reader = sound(rendered)
    shown = " ".join(" ".join(reader.text).split())
    for text in (shown, " ".join(rendered.text.split())):
        for part in (
            *("#1", "214 upvotes", "Reading by Lighthouse", "Harbour Institute", "23 Nov"),
            *(
                "Author 1, Author 2, Author 3 and 14 more",
                "AI summary: Beams replace attention.",
            ),
            *("attention · reading", "arXiv", "PDF", "Code ★ 1,240", "Discussion (18)"),
        ):
            assert part in text, part
    assert "We study the number 1." not in rendered.html + rendered.text  # the summary is enough
    assert reader.headings == ["Reading by Lighthouse"]


def test_a_paper_without_a_summary_shows_what_it_did() -> None:
    rendered = render(paper(1, abstract="Lamps are old. In this paper, we propose a lens. It gains 4%.", summary=None))
    for part in (rendered.html, rendered.text):
        assert "We propose a lens. It gains 4%." in part
        assert "Lamps are old" not in part


def test_few_papers_say_more() -> None:
    abstract = " ".join(f"We propose lens number {n} for the small lamps of the coast." for n in range(40))
    shown = [render(*(paper(n, abstract=abstract) for n in range(number))).text for number in (3, 4)]
    said = [text.split("\n#2 ")[0].count("We propose") for text in shown]
    assert said[0] > said[1] * 1.7


def glance_lines(text: str) -> list[str]:
    return text.partition("At a glance\n\n")[2].partition("\n\n")[0].splitlines()


def test_more_than_five_papers_have_a_list_at_the_top() -> None:
    papers = [paper(n, title=f"Lamp{n}: A Lens for the Coast", upvotes=40 - n) for n in range(6)]
    rendered = render(*papers)
    assert glance_lines(rendered.text) == [f"▲ {40 - n} · Lamp{n}: A Lens for the Coast" for n in range(6)]
    assert re.findall(r"<b>(Lamp\d)</b>: A Lens for the Coast</a></td>", rendered.html) == [
        f"Lamp{n}" for n in range(6)
    ]
    assert not sound(render(*papers[:5])).has_glance
    assert sound(render(*(paper(n) for n in range(1, 100)))).has_glance
    assert len(glance_lines(render(*(paper(n) for n in range(1, 100))).text)) == 30


def test_the_list_shows_votes_of_any_kind() -> None:
    papers = [paper(n, upvotes=votes) for n, votes in enumerate((3, 0, -4, None, 1, 1), 1)]
    rendered = Renderer(PUBLICATION).issue(Issue(date(2026, 11, 24), tuple(papers), ranked_by_votes=True))
    tallies = [line.partition("Paper")[0] for line in glance_lines(rendered.text)]
    assert tallies == ["▲ 3 · ", "", "\u22124 · ", "#4 · ", "▲ 1 · ", "▲ 1 · "]
    assert re.findall(r'<td class="tally"[^>]*></td>', rendered.html)  # a bare 0 says nothing
    assert "#2 · 23 Nov" in rendered.text  # no upvotes need no words
    assert "#3 · \u22124 votes · 23 Nov" in rendered.text
    assert "▲ -4" not in rendered.html + rendered.text


@pytest.mark.parametrize(("comments", "label"), [(None, "Discussion:"), (2, "Discussion:"), (3, "Discussion (3):")])
def test_few_comments_are_not_counted(comments: int | None, label: str) -> None:
    discussed = paper(1, comments=comments, discussion_url="https://example.org/talk")
    assert f"\n{label}\nhttps://example.org/talk" in render(discussed).text


@pytest.mark.parametrize(
    ("published", "said"), [(date(2026, 1, 2), "#1 · ▲ 1 upvote · 2 Jan\n"), (date(2025, 12, 31), "31 Dec 2025")]
)
def test_the_year_is_said_when_it_is_another(published: date, said: str) -> None:
    assert said in render(paper(1, published=published, upvotes=1)).text


def test_one_page_is_linked_once() -> None:
    rendered = render(
        paper(
            1,
            url="http://arxiv.org/abs/2611.00001v1",
            arxiv_url="https://arxiv.org/abs/2611.00001",
            pdf_url="https://www.arxiv.org/pdf/2611.00001v2.pdf",
            code_url="https://example.org/code/",
            project_url="http://www.example.org/code",
        )
    )
    links = [link for link in sound(rendered).links if "slot" not in link and "news.example" not in link]
    assert links == [
        "http://arxiv.org/abs/2611.00001v1",
        "https://www.arxiv.org/pdf/2611.00001v2.pdf",
        "https://example.org/code/",
    ]


def test_an_address_in_a_text_is_not_broken() -> None:
    url = f"https://example.org/{'lamp-' * 30}"
    assert f"\n{url}\n" in render(paper(1, abstract=f"We built a lens that stands at {url} for all to see.")).text


def test_the_browser_s_page_is_linked_at_the_top_and_subscribing_in_the_footer() -> None:
    rendered = render(paper(1))
    assert rendered.html.index("Read in the browser") < rendered.html.index("#1<")
    assert rendered.text.index("Read in the browser:\nhttps://") < rendered.text.index("#1")
    assert rendered.html.index("Was this forwarded to you?") > rendered.html.index("Unsubscribe")
    assert f"Subscribe:\n{PUBLICATION.base_url}/\n" in rendered.text
    alone = Renderer(replace(PUBLICATION, base_url=None)).issue(issue(paper(1)))
    assert not re.search("forwarded|Read in the browser", alone.html + alone.text)


def test_papers_stand_in_their_order_in_both_parts() -> None:
    rendered = render(*(paper(n) for n in range(1, 31)))
    reader = sound(rendered)
    assert reader.headings == [f"Paper number {n}" for n in range(1, 31)]
    assert re.findall(r"^Paper number (\d+)$", rendered.text, re.MULTILINE) == [str(n) for n in range(1, 31)]


def test_a_feed_without_votes_says_so_and_shows_none() -> None:
    papers = tuple(paper(n, upvotes=None) for n in (1, 2))
    rendered = Renderer(PUBLICATION).issue(Issue(date(2026, 11, 24), papers, ranked_by_votes=False))
    sound(rendered)
    for part in (rendered.html, rendered.text):
        assert "because it has no votes" in part
        assert "upvote" not in part


def from_sources(**numbers: int) -> tuple[Paper, ...]:
    return tuple(
        paper(n + 1000 * at, title=f"{source} number {n}", source=source)
        for at, (source, number) in enumerate(numbers.items())
        for n in range(1, number + 1)
    )


def test_sections_have_headings_and_ranks_of_their_own_in_both_parts() -> None:
    papers = from_sources(HF=3, Blog=2)
    joined = replace(papers[0], also=("HN",))
    rendered = Renderer(PUBLICATION).issue(replace(issue(joined, *papers[1:]), by_source=True))
    assert sound(rendered).headings == ["HF", "Blog"]
    assert re.findall(r"<h3[^>]*><a[^>]*>(?:<b>)?([^<]*)", rendered.html) == [each.title for each in papers]
    assert re.findall(r"^={72}\n(\w+)\n\n-{72}\n#1 ", rendered.text, re.MULTILINE) == ["HF", "Blog"]
    assert re.findall(r"^#(\d) .*", rendered.text, re.MULTILINE) == ["1", "2", "3", "1", "2"]
    assert re.findall(r"also in HN", rendered.text) == ["also in HN"]


def test_one_source_needs_no_heading() -> None:
    assert Renderer(PUBLICATION).issue(replace(issue(), by_source=True)) == Renderer(PUBLICATION).issue(issue())


def test_a_mail_that_is_too_large_loses_papers_at_the_end_of_each_section() -> None:
    papers = from_sources(HF=100, HN=100, Blog=3)
    rendered = Renderer(PUBLICATION).issue(replace(issue(*papers), by_source=True))
    shown = re.findall(r"^(HF|HN|Blog) number (\d+)$", rendered.text, re.MULTILINE)
    sound(rendered)
    counted = {source: sum(each == source for each, _ in shown) for source in ("HF", "HN", "Blog")}
    assert counted["Blog"] == 3
    assert counted["HF"] - counted["HN"] in (0, 1)
    assert counted["HN"] > 20
    assert f"And {len(papers) - len(shown)} more that did not fit into a mail." in rendered.text


def test_cards_name_their_feeds_when_there_are_several() -> None:
    papers = from_sources(HF=1, HN=1)
    rising = LateRiser(paper(9, source="Blog", also=("HN",)), date(2026, 11, 17), 41)
    rendered = Renderer(PUBLICATION).issue(
        replace(issue(replace(papers[0], also=("HN",)), papers[1]), rising=(rising,))
    )
    for said in ("23 Nov · HF, HN", "23 Nov · HN", "rising since 17 Nov 2026, +41 · Blog, HN"):
        assert said in rendered.text
        assert said in re.sub("<[^>]+>", "", rendered.html)


def test_late_risers_have_a_section_and_say_since_which_day() -> None:
    rising = tuple(LateRiser(paper(n), date(2026, 11, n), 40 + n) for n in (18, 23))
    rendered = Renderer(PUBLICATION).issue(replace(issue(paper(1)), rising=rising))
    assert sound(rendered).headings == ["Paper number 1", "Late risers"]
    assert rendered.text.count("Late risers") == 1
    assert "rising since Wednesday, +58" in rendered.text
    assert "rising since Monday, +63" in rendered.text


@pytest.mark.parametrize(
    ("since", "begins"),
    [
        (date(2026, 11, 18), "18–24 Nov: "),
        (date(2026, 10, 26), "26 Oct–24 Nov: "),
        (date(2025, 11, 24), "24 Nov 2025–24 Nov 2026: "),
    ],
)
def test_an_issue_of_several_days_says_which(since: date, begins: str) -> None:
    rendered = Renderer(PUBLICATION).issue(replace(issue(), since=since, left_out=3))
    assert rendered.subject.startswith(begins)
    assert "3 papers of these days did not make the cut." in rendered.text


def test_what_did_not_make_the_cut_is_said() -> None:
    rendered = Renderer(PUBLICATION).issue(replace(issue(), left_out=12))
    for part in (rendered.html, rendered.text):
        assert "12 papers of the day did not make the cut." in part


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 5, 12, 13, 20, 50, 100, 1000])
@pytest.mark.parametrize("text", ["", "Short.", LONG, "長い要約。" * 400], ids=["none", "short", "long", "cjk"])
def test_any_number_of_papers_of_any_length_fits(number: int, text: str) -> None:
    papers = (paper(n, abstract=text, summary=text or None, title=f"{n}: {text[:250] or 'T'}") for n in range(number))
    rendered = render(*papers)
    reader = sound(rendered)
    shown = len(reader.headings)
    if shown < number:
        assert f"And {number - shown} more that did not fit into a mail." in rendered.html
    assert shown >= min(number, 12)


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x" * 300, "abstract": "y" * 5000},
        {"authors": tuple(f"A{n} {'Long' * 9}" for n in range(664)), "author_count": 664},
        {"authors": (), "author_count": 5, "abstract": "", "upvotes": 0, "comments": 0},
        {"url": None, "arxiv_url": None, "pdf_url": None},
        {"title": "שלום עולם", "abstract": "مرحبا بالعالم", "authors": ("李雪", "🦉 Owl")},
        {"title": "<script>alert(1)</script>", "abstract": '"><img src=x onerror=alert(1)>', "authors": ("<b>x</b>",)},
        {"title": "<!--end--><!--paper-->", "abstract": "<!--paper-->", "summary": "]]> --> <style>"},
        {"title": "{{ 7*7 }} {% raw %} %(x)s {0.__class__} ${x}", "abstract": "{{{{ %}}}} {%%}"},
    ],
    ids=range(8),
)
def test_odd_and_hostile_papers_leave_the_mail_whole(changes: dict[str, object]) -> None:
    rendered = Renderer(PUBLICATION).issue(issue(replace(paper(1), **changes), paper(2)))  # type: ignore[arg-type]
    reader = sound(rendered)
    assert len(reader.headings) == 2
    assert reader.headings[1] == "Paper number 2"
    assert not re.search(r"<(script|img|iframe|form)\b", rendered.html)


def test_text_that_looks_like_a_slot_is_no_slot() -> None:
    trap = f"see {Slot.UNSUBSCRIBE} and {Slot.ADDRESS}"
    rendered = render(paper(1, title=trap, abstract=trap, url=str(Slot.UNSUBSCRIBE)))
    plain = render(paper(1))
    for part, usual in ((rendered.html, plain.html), (rendered.text, plain.text)):
        assert part.count(SLOT_HOST) == usual.count(SLOT_HOST)


def test_the_subject_opens_with_the_first_paper_and_stays_short() -> None:
    rendered = render(paper(1, title="Owls " * 60, upvotes=163), paper(2))
    assert rendered.subject.startswith("24 Nov: Owls Owls")
    assert rendered.subject.endswith("… (▲ 163) and 1 more")
    assert len(rendered.subject) <= 100


@pytest.mark.parametrize(
    ("names", "count", "said"),
    [
        ((), 0, ""),
        ((), 1, "1 author"),
        ((), 9, "9 authors"),
        (("A", "B"), 2, "A, B"),
        (("A", "B", "C", "D"), 4, "A, B, C, D"),
        (("A", "B", "C", "D", "E"), 5, "A, B, C and 2 more"),
    ],
)
def test_authors_are_named_or_counted(names: tuple[str, ...], count: int, said: str) -> None:
    assert authors(paper(1, authors=names, author_count=count), ENGLISH) == said


def test_the_language_and_direction_are_the_publication_s() -> None:
    hebrew = replace(PUBLICATION, language="he", direction="rtl")
    html = Renderer(hebrew).issue(issue()).html
    assert html.count('lang="he" dir="rtl"') == 2  # on <html>, and on a wrapper since webmail drops <html>


def test_inlining_touches_neither_network_nor_disk() -> None:
    html = '<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><style>p{color:#123456}</style><p>x</p>'
    assert 'style="color:#123456"' in inline(html)


@pytest.mark.slow
@pytest.mark.skipif(not DAYS, reason="no real data: ../shared/data is not beside this checkout")
@pytest.mark.parametrize("path", DAYS, ids=lambda path: path.stem)
@pytest.mark.parametrize("most", [20, 100])
def test_every_real_day_is_a_sound_mail(path: Path, most: int) -> None:
    parsed = feed.parse(path.read_bytes(), FeedConfig(str(path)))
    composed = compose([parsed], date.fromisoformat(path.stem), IssueRules(max_papers=most))
    rendered = Renderer(PUBLICATION).issue(composed)
    shown, all_of_them = len(sound(rendered).headings), len(composed.papers)
    # The list of all papers at the top takes the room of some rows.
    assert shown == all_of_them or (shown > 35 and f"And {all_of_them - shown} more" in rendered.text)


def test_nothing_in_a_real_mail_ends_in_the_middle_of_a_sentence(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "hf").glob("*.json")):
        parsed = feed.parse(path.read_bytes(), FeedConfig(str(path)))
        composed = compose([parsed], date.fromisoformat(path.stem), IssueRules(max_papers=100))
        for layout in LAYOUTS:
            for card in context(PUBLICATION, composed, layout, ENGLISH)["papers"]:
                said = card["summary"] or card["abstract"]
                seen += bool(said)
                assert not said or re.search(r"[.!?][\"'”’)\]]*$", said), said
    assert seen > 500


def test_the_papers_of_a_real_page_come_through_whole(shared_data: Path) -> None:
    listed = json.loads((shared_data / "seed_daily_papers.json").read_text("utf-8"))["papers"]
    answer = [{"paper": {"title": each["title"], "summary": each["abstract"]}} for each in listed]
    parsed = feed.parse(json.dumps(answer).encode(), FeedConfig("seed.json"))
    assert [(each.title, each.abstract) for each in parsed.papers] == [
        (" ".join(each["title"].split()), " ".join(each["abstract"].split())) for each in listed
    ]
    composed = compose([parsed], date(2025, 12, 16), IssueRules(max_papers=100))
    rendered = Renderer(PUBLICATION).issue(composed)
    assert len(composed.papers) == 66
    titles = [readable(each.title) for each in composed.papers]
    assert [heading.strip() for heading in sound(rendered).headings] == titles
    text = " ".join(rendered.text.split())
    assert all(title in text for title in titles)


FEEDS = sorted(path for name in ("feeds", "nasty") for path in (SHARED / "data" / name).glob("*.*ml"))


@pytest.mark.slow
@pytest.mark.skipif(not FEEDS, reason="no real data: ../shared/data is not beside this checkout")
@pytest.mark.parametrize("path", FEEDS, ids=lambda path: path.name)
def test_every_real_and_every_nasty_feed_is_a_sound_mail_or_a_one_line_error(path: Path) -> None:
    said = ""
    parsed = ParsedFeed(())
    try:
        parsed = feed.parse(path.read_bytes(), FeedConfig(str(path)))
    except FeedFormatError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1
    composed = compose([parsed], date(2026, 11, 24), IssueRules(max_papers=100))
    if composed.papers:
        assert sound(Renderer(PUBLICATION).issue(composed)).headings
