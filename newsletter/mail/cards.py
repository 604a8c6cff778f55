"""What the templates of the digest get: an issue as plain values, cut to what a mail shows. Pure functions.

templates/README.md documents the values; a test compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final
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


@dataclass(frozen=True, slots=True)
class Layout:
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
    issue = issue if publication.base_url else replace(issue, own=False)  # its links lead to the web pages
    cards = _cards(issue, layout, kept, language)
    return shared(publication) | {
        "subject": subject(issue, language),
        "preheader": preheader(issue),
        "day": _long_days(issue, language),
        "count": language.ngettext("%(num)s paper", "%(num)s papers", len(issue.papers)),
        "minutes": _minutes(cards),
        "ranked_by_votes": issue.ranked_by_votes,
        "papers": cards,
        "glance": _glance(cards),
        "rising": [_rising(rising, issue, layout, language) for rising in issue.rising],
        "more": _more(len(issue.papers) - len(cards), issue, language),
        "notes": list(issue.notes),
        "reader_address": str(Slot.ADDRESS),
        "unsubscribe_url": str(Slot.UNSUBSCRIBE),
        "preferences_url": str(Slot.PREFERENCES) if publication.base_url else "",
        "archive_url": f"{publication.base_url}/archive/{issue.day}" if publication.base_url else "",
        "subscribe_url": f"{publication.base_url}/" if publication.base_url else "",
    }


def nothing(publication: Publication, issue: Issue, language: Language) -> dict[str, Any]:
    """The values for the digest's templates on a day when no paper fits what a reader chose."""
    said = language.gettext("No paper of %(day)s fits what you chose.", day=_long_days(issue, language))
    shown = context(publication, replace(issue, rising=(), notes=()), LAYOUTS[0], language, kept=1)
    none = {"subject": said, "preheader": said, "more": said, "papers": [], "glance": [], "minutes": 1}
    return shown | none | {"count": language.ngettext("%(num)s paper", "%(num)s papers", 0)}


def _long_days(issue: Issue, language: Language) -> str:
    """The day of the issue, or the first and the last of its days, in words."""
    last = language.long_date(issue.day)
    if issue.since is None:
        return last
    return language.gettext("%(first)s to %(last)s", first=language.long_date(issue.since), last=last)


def _cards(issue: Issue, layout: Layout, kept: int | None, language: Language) -> list[dict[str, Any]]:
    """A card or row for each paper shown. With sections, the best of each; the first of a section has its name."""
    ranks = ranks_of(issue)
    shown = leading(ranks, min(MOST_ROWS, kept or MOST_ROWS))
    sections = len({paper.source for paper in issue.papers}) if issue.by_source else 1
    full = len(shown) if len(shown) <= _SHORT_DAY and kept is None else -(-layout.full // sections)
    several = _has_several_feeds(issue)
    if len(shown) <= _FEW:
        layout = replace(layout, abstract=2 * layout.abstract)
    cards = []
    for at in shown:
        paper, rank = issue.papers[at], ranks[at]
        card = _card(rank, paper, issue, layout, language, full=rank <= full)
        card["reason"] = picked_for(issue.reasons.get(paper.key), language)
        card["why"] = _why(issue.pinned.get(paper.key, ""), language)
        card["moved"] = _gain(paper, issue, language) if rank <= full else ""
        card["source"] = _feed_names(paper, sections, language) if several else ""
        card["section"] = paper.source if sections > 1 and rank == 1 else ""
        card["level"] = 3 if sections > 1 else 2
        cards.append(card)
    return cards


def _glance(cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cards that the list at the top names: none of a short issue, else the best 30, in the order of the issue."""
    if len(cards) <= _NEEDS_NO_LIST:
        return []
    return [cards[at] for at in leading([card["rank"] for card in cards], _MOST_AT_A_GLANCE)]


def ranks_of(issue: Issue) -> list[int]:
    """Each paper's rank, from 1; within its section if the issue has one per source."""
    counted: Counter[str] = Counter()
    ranks = []
    for paper in issue.papers:
        section = paper.source if issue.by_source else ""
        counted[section] += 1
        ranks.append(counted[section])
    return ranks


def leading(ranks: Sequence[int], number: int) -> list[int]:
    """The indexes of the `number` papers with the best ranks, in the order of the issue."""
    return sorted(sorted(range(len(ranks)), key=ranks.__getitem__)[:number])


def _has_several_feeds(issue: Issue) -> bool:
    """Whether the papers come from more than one feed; then each card names its feeds."""
    papers = (*issue.papers, *(rising.paper for rising in issue.rising))
    return len({name for paper in papers for name in (paper.source, *paper.also)}) > 1


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
    said = {
        ReasonKind.TOPIC: language.gettext("your topic: %(topic)s", topic=reason.words),
        ReasonKind.AUTHOR: language.gettext("an author you follow: %(name)s", name=reason.words),
        ReasonKind.ORGANISATION: language.gettext("an organisation you follow: %(name)s", name=reason.words),
        ReasonKind.CATEGORY: language.gettext("your category: %(name)s", name=reason.words),
        ReasonKind.MORE: language.gettext("more like: %(words)s", words=reason.words),
    }
    return said[reason.kind]


def _card(rank: int, paper: Paper, issue: Issue, layout: Layout, language: Language, *, full: bool) -> dict[str, Any]:
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
        "published": _published(paper.published, issue, language),
        "organisation": paper.organisation or "",
        "authors": authors(paper, language),
        "abstract": "" if paper.summary else excerpt(paper.abstract, layout.abstract if full else layout.line, name),
        "summary": whole(paper.summary or "", layout.summary if full else layout.line),
        "origin": _origin(paper, language),
        "keywords": _keywords(paper.keywords) if full else [],
        "links": _links(f"#{rank}", paper, language),
        "feedback": _feedback(f"#{rank}", paper, language) if issue.own else [],
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


def _published(day: date | None, issue: Issue, language: Language) -> str:
    """The day a paper appeared; with its year only if that is not the issue's."""
    if day is None:
        return ""
    return language.day_and_month(day) if day.year == issue.day.year else language.short_date(day)


def _rising(rising: LateRiser, issue: Issue, layout: Layout, language: Language) -> dict[str, Any]:
    """A late riser's row, which says how many votes it gained and since when."""
    paper = rising.paper
    source = _feed_names(paper, 1, language) if _has_several_feeds(issue) else ""
    own = {"since": _since(rising.day, issue, language), "gained": rising.gained, "source": source, "level": 3}
    place = language.gettext("rising")
    own["links"] = _links(place, paper, language)
    own["feedback"] = _feedback(place, paper, language) if issue.own else []
    return _card(0, paper, issue, layout, language, full=False) | own


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
    return [
        {"label": label, "url": url, "name": _link_name(label, place, paper, language)} for url, label in links.items()
    ]


def _feedback(place: str, paper: Paper, language: Language) -> list[dict[str, str]]:
    """The links with which a reader asks for more and for less like this paper."""
    asked = (("1", language.gettext("More like this")), ("0", language.gettext("Less like this")))
    at = f"{Slot.FEEDBACK}?paper={quote(paper.key, safe=':', errors='replace')}&more="
    return [
        {"label": label, "url": f"{at}{more}", "name": _link_name(label, place, paper, language)}
        for more, label in asked
    ]


def _link_name(link: str, place: str, paper: Paper, language: Language) -> str:
    """A link's accessible name. Screen readers list links by it, so it names the paper (WCAG 2.2, 2.4.4)."""
    title = shorten(paper.title, _LINK_TITLE)
    return language.gettext("%(link)s %(place)s: %(paper)s", link=link, place=place, paper=title)


_ARXIV: Final = re.compile(r"(?:export\.)?(arxiv\.org/(?:abs|pdf)/[\w./-]+?)(?:v\d{1,3})?(?:\.pdf)?", re.IGNORECASE)


def _page(url: str) -> str:
    """What two addresses of one page have in common: arXiv's API links to version 1, others to the paper itself."""
    bare = re.sub(r"^https?://(?:www\.)?", "", url, flags=re.IGNORECASE).rstrip("/")
    arxiv = _ARXIV.fullmatch(bare)
    return arxiv.group(1).lower() if arxiv else bare


def _minutes(cards: list[dict[str, Any]]) -> int:
    words = sum(len(f"{card['title']} {card['summary']} {card['abstract']}".split()) for card in cards)
    return max(1, round(words / _WORDS_PER_MINUTE))


def _more(not_shown: int, issue: Issue, language: Language) -> str:
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
    if issue.left_out and issue.since:
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
