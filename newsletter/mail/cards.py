"""What the templates of the digest get: an issue as plain values, cut to what a mail shows. Pure functions.

templates/README.md documents the values; a test compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from newsletter.languages import Language
from newsletter.mail.excerpt import excerpt, shorten, whole
from newsletter.mail.subject import phrase, preheader, short_name, subject
from newsletter.model import Issue, LateRiser, Paper, Publication, Reason, ReasonKind, Slot

_WORDS_PER_MINUTE: Final = 230
_NAMED_AUTHORS: Final = 3
_KEYWORDS: Final = 3
_LINE: Final = 42  # characters in a line of a phone
_ORIGIN: Final = 26  # characters
_TITLE: Final = 300  # characters; the longest title seen has 240
_GLANCE_TITLE: Final = 66  # characters of a title in the list at the top
_LINK_TITLE: Final = 50  # characters of a title in a link's accessible name
_TALKED_ABOUT: Final = 3  # comments from which a discussion shows their number

# More rows than this never fit into the budget, so they are not rendered.
MOST_ROWS: Final = 150

# An issue with more papers than this begins with a list of them, of at most so many.
_NEEDS_NO_LIST: Final = 5
_MOST_AT_A_GLANCE: Final = 30


class Layout(NamedTuple):
    """How much of each paper is shown: the number of full cards at the top, and lengths of texts in characters."""

    full: int
    abstract: int  # in a full card
    summary: int  # in a full card
    line: int  # of text in the row of any other paper; 0 for none


# Tried in turn until the mail fits. If the last does not fit either, papers at the end of the list are left out.
LAYOUTS: Final = (
    Layout(full=3, abstract=340, summary=400, line=118),
    Layout(full=3, abstract=240, summary=240, line=0),
)

# With at most this many papers, each says twice as much.
_FEW: Final = 3

# Within a week the name of a weekday identifies a day.
_WEEK: Final = timedelta(days=7)

# With at most this many papers, each gets a full card.
_SHORT_DAY: Final = 8


class Form(NamedTuple):
    """How an issue shows one of its papers: all that a card depends on besides the paper and the day."""

    rank: int  # from 1, in its section if there are some
    full: bool  # a full card, else a row
    layout: Layout
    level: int  # of its heading: 2, or 3 below the heading of a section
    source: str  # the names of its feeds, if the issue has several
    section: str  # the name of the section that begins with it
    moved: str  # what it gained in votes
    why: str  # why it is pinned
    own: bool  # with links to more and less like it
    reason: str  # why it is in a reader's edition


def shared(publication: Publication) -> dict[str, Any]:
    """The values that every template gets."""
    return {
        "title": publication.title,
        "postal_address": publication.postal_address,
        "language": publication.language,
        "direction": publication.direction,
    }


def context(
    publication: Publication, issue: Issue, layout: Layout, language: Language, kept: int | None = None
) -> dict[str, Any]:
    """All values for the digest's templates, as plain values. `kept` is the number of papers shown, None for all."""
    issue = linked(publication, issue)
    cards = [card(paper, form, issue.day, language) for paper, form in forms(issue, layout, kept, language)]
    several = has_several_feeds(issue)
    return framed(
        publication,
        issue,
        language,
        papers=cards,
        glance=[cards[at] for at in glanced([each["rank"] for each in cards])],
        rising=[risen(rising, issue, layout, language, several=several) for rising in issue.rising],
        more=more(len(issue.papers) - len(cards), issue, language),
        minutes=minutes(map(words_in, cards)),
        subject=subject(issue, language),
        preheader=preheader(issue.papers),
        count=counted(len(issue.papers), language),
    )


def linked(publication: Publication, issue: Issue) -> Issue:
    """The issue as its mail can show it: links to more and less lead to the web pages, so without these it has none."""
    return issue if publication.base_url or not issue.own else replace(issue, feedback=False)


def framed(publication: Publication, issue: Issue, language: Language, **own: Any) -> dict[str, Any]:
    """The values for the digest's templates: those that all editions of an issue have alike, and `own`."""
    return shared(publication) | {
        "day": _long_days(issue, language),
        "own": issue.own,
        "ranked_by_votes": issue.ranked_by_votes,
        "notes": list(issue.notes),
        "reader_address": str(Slot.ADDRESS),
        "unsubscribe_url": str(Slot.UNSUBSCRIBE),
        "preferences_url": str(Slot.PREFERENCES) if publication.base_url else "",
        "archive_url": f"{publication.base_url}/archive/{issue.day}" if publication.base_url else "",
        "subscribe_url": f"{publication.base_url}/" if publication.base_url else "",
        "cut": "",
        **own,
    }


def nothing(publication: Publication, issue: Issue, language: Language) -> dict[str, Any]:
    """The values for the digest's templates on a day when no paper fits what a reader chose."""
    said = language.gettext("No paper of %(day)s fits what you chose.", day=_long_days(issue, language))
    shown = context(publication, replace(issue, rising=(), notes=()), LAYOUTS[0], language, kept=1)
    none = {"subject": said, "preheader": said, "more": said, "papers": [], "glance": [], "minutes": 1, "count": ""}
    return shown | none | {"own": True}


def counted(papers: int, language: Language) -> str:
    """How many papers the issue has, in words."""
    return language.ngettext("%(num)s paper", "%(num)s papers", papers)


def _long_days(issue: Issue, language: Language) -> str:
    """The day of the issue, or the first and the last of its days, in words."""
    last = language.long_date(issue.day)
    if issue.since is None:
        return last
    return language.gettext("%(first)s to %(last)s", first=language.long_date(issue.since), last=last)


class Style(NamedTuple):
    """What the forms of all papers in a mail have in common."""

    layout: Layout
    full: int  # the last rank of a full card
    level: int  # see Form
    sections: int
    several: bool  # whether the papers come from more than one feed
    own: bool  # see Form


def styled(issue: Issue, layout: Layout, kept: int | None) -> tuple[Style, Sequence[tuple[int, Paper]]]:
    """The style of a mail, and the papers that it shows, each with its rank. With sections, the best of each.

    `kept` is how many papers there is room for, None for all.
    """
    ranks = ranks_of(issue)
    at_most = min(MOST_ROWS, kept or MOST_ROWS)
    papers = [*zip(ranks, issue.papers, strict=True)]
    shown = papers if len(papers) <= at_most else [papers[at] for at in leading(ranks, at_most)]
    sections = len({paper.source for paper in issue.papers}) if issue.by_source else 1
    full = len(shown) if len(shown) <= _SHORT_DAY and kept is None else -(-layout.full // sections)
    if len(shown) <= _FEW:
        layout = layout._replace(abstract=2 * layout.abstract)
    level, linked = 3 if sections > 1 else 2, issue.own and issue.feedback
    return Style(layout, full, level, sections, has_several_feeds(issue), linked), shown


def form(paper: Paper, rank: int, style: Style, issue: Issue, language: Language) -> Form:
    """How a mail of this style shows one of the papers of `issue`."""
    reason, pinned = issue.reasons.get(paper.key), issue.pinned.get(paper.key)
    return Form(
        rank,
        rank <= style.full,
        style.layout,
        style.level,
        _feed_names(paper, style.sections, language) if style.several else "",
        paper.source if style.sections > 1 and rank == 1 else "",
        _gain(paper, issue, language) if rank <= style.full and issue.gains else "",
        _why(pinned, language) if pinned else "",
        style.own,
        picked_for(reason, language) if reason else "",
    )


def forms(issue: Issue, layout: Layout, kept: int | None, language: Language) -> list[tuple[Paper, Form]]:
    """The papers that a mail shows, each as a card or row; `kept` is as in `styled`."""
    style, shown = styled(issue, layout, kept)
    return [(paper, form(paper, rank, style, issue, language)) for rank, paper in shown]


def glanced(ranks: Sequence[int]) -> Sequence[int]:
    """Which cards the list at the top names, by position: none of a short issue, else the best 30."""
    return leading(ranks, _MOST_AT_A_GLANCE) if len(ranks) > _NEEDS_NO_LIST else ()


def ranks_of(issue: Issue) -> list[int]:
    """Each paper's rank, from 1; within its section if the issue has one per source."""
    if not issue.by_source:
        return list(range(1, len(issue.papers) + 1))
    found: Counter[str] = Counter()
    ranks = []
    for paper in issue.papers:
        found[paper.source] += 1
        ranks.append(found[paper.source])
    return ranks


def leading(ranks: Sequence[int], number: int) -> list[int]:
    """The indexes of the `number` papers with the best ranks, in the order of the issue."""
    if number >= len(ranks):
        return list(range(len(ranks)))
    return sorted(sorted(range(len(ranks)), key=ranks.__getitem__)[:number])


def has_several_feeds(issue: Issue) -> bool:
    """Whether the papers come from more than one feed; then each card names its feeds."""
    papers = [*issue.papers, *[rising.paper for rising in issue.rising]]
    names = {paper.source for paper in papers}
    return len(names.union(*[paper.also for paper in papers])) > 1


def _feed_names(paper: Paper, sections: int, language: Language) -> str:
    """The names of the feeds that list a paper; with several sections, those other than its own section's."""
    if sections == 1:
        return language.join((paper.source, *paper.also))
    return language.gettext("also in %(feeds)s", feeds=language.join(paper.also)) if paper.also else ""


def _why(reason: str, language: Language) -> str:
    """Why a paper is pinned (see issue.filters), such as ``author: Ada Lovelace``; empty if it is not."""
    kind, _, term = reason.partition(": ")
    said = {
        "author": language.gettext("author: %(name)s", name=term),
        "keyword": language.gettext("keyword: %(name)s", name=term),
        "organisation": language.gettext("organisation: %(name)s", name=term),
    }
    return said.get(kind, reason)


def picked_for(reason: Reason | None, language: Language) -> str:
    """Why a paper is in a reader's edition, such as ``your topic: protein design``; empty in the main edition."""
    if reason is None:
        return ""
    match reason.kind:
        case ReasonKind.TOPIC:
            return language.gettext("your topic: %(topic)s", topic=reason.words)
        case ReasonKind.AUTHOR:
            return language.gettext("an author you follow: %(name)s", name=reason.words)
        case ReasonKind.ORGANISATION:
            return language.gettext("an organisation you follow: %(name)s", name=reason.words)
        case ReasonKind.CATEGORY:
            return language.gettext("your category: %(name)s", name=reason.words)
        case ReasonKind.MORE:
            return language.gettext("more like: %(words)s", words=reason.words)


def card(paper: Paper, form: Form, day: date, language: Language) -> dict[str, Any]:
    """The values of a paper's card or row in the issue of `day`."""
    shown = _card(form.rank, paper, day, form.layout, language, full=form.full)
    own = {name: getattr(form, name) for name in ("reason", "why", "moved", "source", "section", "level")}
    return shown | own | {"feedback": _feedback(f"#{form.rank}", paper, language) if form.own else []}


def _card(rank: int, paper: Paper, day: date, layout: Layout, language: Language, *, full: bool) -> dict[str, Any]:
    title = shorten(paper.title, _TITLE)
    name = short_name(title)
    return {
        "rank": rank,
        "full": full,
        "title": title,
        "name": name,
        "rest": title[len(name) :],
        "brief": phrase(title, max(_GLANCE_TITLE, len(name)))[len(name) :],
        "url": paper.url,
        "upvotes": paper.upvotes,
        "published": _published(paper.published, day, language),
        "organisation": paper.organisation or "",
        "authors": authors(paper, language),
        "abstract": "" if paper.summary else excerpt(paper.abstract, layout.abstract if full else layout.line, name),
        "summary": whole(paper.summary or "", layout.summary if full else layout.line),
        "origin": _origin(paper, language),
        "keywords": _keywords(paper.keywords) if full else [],
        "links": _links(f"#{rank}", paper, language),
    }


def _origin(paper: Paper, language: Language) -> str:
    """Where a paper is from, in a few words: the organisation, else the first author and the number of others."""
    if paper.organisation and len(paper.organisation) <= _ORIGIN:
        return language.isolated(paper.organisation)
    return authors(paper, language, 1) or paper.organisation or ""


def _keywords(keywords: Sequence[str]) -> list[str]:
    """The first three keywords, as far as they fit into one line."""
    fitting: list[str] = []
    for keyword in keywords[:_KEYWORDS]:
        if fitting and sum(map(len, fitting)) + len(keyword) + 3 * len(fitting) > _LINE:
            break
        fitting.append(keyword)
    return fitting


def _published(day: date | None, issue: date, language: Language) -> str:
    """The day a paper appeared; with its year only if that is not the issue's."""
    if day is None:
        return ""
    return language.day_and_month(day) if day.year == issue.year else language.short_date(day)


def risen(rising: LateRiser, issue: Issue, layout: Layout, language: Language, *, several: bool) -> dict[str, Any]:
    """A late riser's row, which says how many votes it gained and since when; and its feeds, if there are several."""
    paper = rising.paper
    source = _feed_names(paper, 1, language) if several else ""
    own = {"since": _since(rising.day, issue, language), "gained": rising.gained, "source": source, "level": 3}
    place = language.gettext("rising")
    own["links"] = _links(place, paper, language)
    own["feedback"] = _feedback(place, paper, language) if issue.own and issue.feedback else []
    return _card(0, paper, issue.day, layout, language, full=False) | own


def _gain(paper: Paper, issue: Issue, language: Language) -> str:
    """The votes that a paper has gained since an earlier issue, such as ``+41 since Tuesday``; empty if none."""
    gain = issue.gains.get(paper.key)
    if not gain or gain.votes <= 0:
        return ""
    day = _since(gain.day, issue, language)
    return language.gettext("+%(votes)s since %(day)s", votes=language.number(gain.votes), day=day)


def _since(day: date, issue: Issue, language: Language) -> str:
    """The weekday if `day` is within the past week, else the date, as it stands after the word "since"."""
    if issue.day - day < _WEEK:
        return language.pgettext("after since", "%(weekday)s", weekday=language.weekday(day.weekday()))
    return language.pgettext("after since", "%(date)s", date=language.short_date(day))


def authors(paper: Paper, language: Language, most: int = _NAMED_AUTHORS) -> str:
    """The first `most` authors and the number of others: ``A, B, C and 14 more``. Without names ``17 authors``."""
    if not paper.authors:
        number = paper.author_count
        return language.ngettext("%(num)s author", "%(num)s authors", number) if number else ""
    named = paper.authors[:most]
    rest = max(paper.author_count, len(paper.authors)) - len(named)
    if rest == 1 and len(paper.authors) > len(named):  # the name is about as long as "and 1 more"
        return language.isolated(language.join(paper.authors))
    names = language.isolated(language.join(named))
    if not rest:
        return names
    return language.ngettext("%(names)s and %(num)s more", "%(names)s and %(num)s more", rest, names=names)


def _links(place: str, paper: Paper, language: Language) -> list[dict[str, str]]:
    """The paper's links in a fixed order, each URL once, without that of its title."""
    stars = f" ★ {language.number(paper.code_stars)}" if paper.code_stars else ""
    talked_about = paper.comments is not None and paper.comments >= _TALKED_ABOUT
    said = f" ({language.number(paper.comments or 0)})" if talked_about else ""
    places = (
        ("arXiv", paper.arxiv_url),
        ("PDF", paper.pdf_url),
        (language.gettext("Code") + stars, paper.code_url),
        (language.gettext("Project"), paper.project_url),
        (language.gettext("Discussion") + said, paper.discussion_url),
    )
    links: dict[str, str] = {}
    seen = {_page(paper.url)} if paper.url else set()
    for label, url in places:
        if url and _page(url) not in seen:
            seen.add(_page(url))
            links[url] = label
    title = shorten(paper.title, _LINK_TITLE)
    return [
        {"label": label, "url": url, "name": _link_name(label, place, title, language)} for url, label in links.items()
    ]


def _feedback(place: str, paper: Paper, language: Language) -> list[dict[str, str]]:
    """The links with which a reader asks for more and for less like this paper."""
    asked = (("1", language.gettext("More like this")), ("0", language.gettext("Less like this")))
    title = shorten(paper.title, _LINK_TITLE)
    at = f"{Slot.FEEDBACK}?paper={quote(paper.key, safe=':', errors='replace')}&more="
    return [
        {"label": label, "url": f"{at}{more}", "name": _link_name(label, place, title, language)}
        for more, label in asked
    ]


def _link_name(link: str, place: str, title: str, language: Language) -> str:
    """A link's accessible name. Screen readers list links by it, so it names the paper (WCAG 2.2, 2.4.4)."""
    return language.gettext("%(link)s %(place)s: %(paper)s", link=link, place=place, paper=title)


_ARXIV: Final = re.compile(r"(?:export\.)?(arxiv\.org/(?:abs|pdf)/[\w./-]+?)(?:v\d{1,3})?(?:\.pdf)?", re.IGNORECASE)


@lru_cache(maxsize=2048)  # the editions of an issue show a paper in several forms
def _page(url: str) -> str:
    """What two addresses of one page have in common: arXiv's API links to version 1, others to the paper itself."""
    bare = re.sub(r"^https?://(?:www\.)?", "", url, flags=re.IGNORECASE).rstrip("/")
    arxiv = _ARXIV.fullmatch(bare)
    return arxiv.group(1).lower() if arxiv else bare


def words_in(card: dict[str, Any]) -> int:
    """How many words of a card count for the reading time."""
    return len(f"{card['title']} {card['summary']} {card['abstract']}".split())


def minutes(words: Iterable[int]) -> int:
    """The reading time of cards with so many words each."""
    return max(1, round(sum(words) / _WORDS_PER_MINUTE))


def more(not_shown: int, issue: Issue, language: Language) -> str:
    """Sentences about the papers that the mail does not show; empty if there are none."""
    said = []
    if not_shown:
        said.append(
            language.ngettext(
                "And %(num)s more that did not fit into a mail.",
                "And %(num)s more that did not fit into a mail.",
                not_shown,
            )
        )
    if issue.left_out and issue.own:
        said.append(_not_chosen(issue, language))
    elif issue.left_out and issue.since:
        said.append(
            language.ngettext(
                "%(num)s paper of these days did not make the cut.",
                "%(num)s papers of these days did not make the cut.",
                issue.left_out,
            )
        )
    elif issue.left_out:
        said.append(
            language.ngettext(
                "%(num)s paper of the day did not make the cut.",
                "%(num)s papers of the day did not make the cut.",
                issue.left_out,
            )
        )
    return language.sentences(*said)


def _not_chosen(issue: Issue, language: Language) -> str:
    """How many papers a reader's own edition does not have: they fit not, or they were more than the reader wants."""
    if issue.since:
        return language.ngettext(
            "%(num)s other paper of these days is not in your edition.",
            "%(num)s other papers of these days are not in your edition.",
            issue.left_out,
        )
    return language.ngettext(
        "%(num)s other paper of the day is not in your edition.",
        "%(num)s other papers of the day are not in your edition.",
        issue.left_out,
    )
