"""Render an issue with Jinja2 templates to plain text and HTML. premailer inlines the CSS once per issue.

Operators may bring their own templates. Text from feeds is not trusted: the environment is sandboxed and strict, HTML
is escaped, and templates get plain values only. `context` makes these, and templates/README.md documents them; a test
compares the two.
"""

from __future__ import annotations

import hashlib
import logging
import re
import textwrap
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any, Final

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape
from premailer import Premailer

from newsletter import resources
from newsletter.errors import ConfigError, TemplateError
from newsletter.languages import ENGLISH, Language, UnknownLanguage, direction_of, find, language_of
from newsletter.mail.excerpt import shorten
from newsletter.mail.latex import readable
from newsletter.mail.templates import TemplateFault, faults
from newsletter.mail.wrap import wrap
from newsletter.model import SLOT_HOST, Issue, LateRiser, OperatorCopy, Paper, Publication, RenderedIssue, Slot
from newsletter.text import without

# Gmail clips a mail near 102 KB of HTML, and the unsubscribe link with it. What else it counts is not documented, so
# there is a margin.
BUDGET: Final = 90 * 1024  # bytes of UTF-8 after inlining

_WORDS_PER_MINUTE: Final = 230
_SUBJECT: Final = 100  # characters; phones show about 40, desktops about 90
_PREHEADER: Final = 110  # characters
_NAMED_AUTHORS: Final = 3
_KEYWORDS: Final = 6
_TITLE: Final = 300  # characters; the longest title seen has 240
_LINK_TITLE: Final = 50  # characters of a title in a link's accessible name

# Beginnings of the names of files in a template folder that are not used to render an issue.
_NOT_OF_AN_ISSUE: Final = ("README", "confirm.", ".")

# Comments in the template mark the notes for the operator. The HTML is inlined once with the notes, and they are cut
# out for everybody else. An operator's own template without these comments is rendered twice.
_NOTES: Final = ("<!--notes-->", "<!--/notes-->")

_BRACES: Final = re.compile(r"\{(?=[{%])|[}%](?=\})")

# Factor by which inlining enlarges the HTML: the least seen, and the usual one of a page with many rows.
_LEAST_GROWTH: Final = 1.25
_GROWTH: Final = 1.45

# More rows than this never fit into the budget, so they are not rendered.
_MOST_ROWS: Final = 150


@dataclass(frozen=True, slots=True)
class Layout:
    """How much of each paper is shown: the number of full cards at the top, and lengths of texts in characters."""

    full: int
    abstract: int  # in a full card
    summary: int  # in a full card
    line: int  # of text in the row of any other paper


# Tried in turn until the mail fits. If the last does not fit either, papers at the end of the list are left out.
LAYOUTS: Final = (
    Layout(full=5, abstract=420, summary=320, line=160),
    Layout(full=5, abstract=300, summary=240, line=0),
)

# An abstract below a summary is shorter by this many characters, because it repeats much of the summary.
_BESIDE_SUMMARY: Final = 120

# Within a week the name of a weekday identifies a day.
_WEEK: Final = timedelta(days=7)

# With at most this many papers, each gets a full card.
_SHORT_DAY: Final = 12


class _Compiled(jinja2.BytecodeCache):
    """The compiled templates of this process, for all its Renderers: compiling takes 80 % of a first rendering."""

    def __init__(self) -> None:
        self._code: dict[str, tuple[str, CodeType | None]] = {}  # a template's key: checksum of its source, and code

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Give Jinja2 the code it compiled from the same source before."""
        checksum, code = self._code.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep what Jinja2 has just compiled."""
        self._code[bucket.key] = (bucket.checksum, bucket.code)


_COMPILED: Final = _Compiled()


class Renderer:
    """Renders the issues, letters and web pages of one publication.

    Files in the folder `templates` replace built-in templates of the same name, catalogues in the folder `catalogues`
    come before the built-in ones. `budget` is the limit for the HTML of an issue in bytes. Raises ConfigError if the
    language is unknown or a catalogue is wrong.
    """

    def __init__(
        self,
        publication: Publication,
        *,
        templates: Path | None = None,
        catalogues: Path | None = None,
        budget: int = BUDGET,
    ) -> None:
        self._publication = publication
        self._budget = budget
        self._catalogues = catalogues
        self.language = self._load(publication.language)
        builtin = jinja2.FileSystemLoader(resources.find("templates"))
        own = [jinja2.FileSystemLoader(templates)] if templates is not None else []
        self._folders = tuple(str(path) for path in (templates, resources.find("templates")) if path is not None)
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.ChoiceLoader([*own, builtin, jinja2.PrefixLoader({"builtin": builtin})]),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            bytecode_cache=_COMPILED,
            extensions=["jinja2.ext.i18n"],
        )
        _speak(self._environment, self.language)
        self._environment.globals["written"] = partial(_written, publication)

    def language_of(self, publication: Publication) -> Language:
        """The language of `publication`, which is another than `language` if its issue was frozen before a change.

        It is English if there are no words in it any more.
        """
        if publication.language == self.language.tag:
            return self.language
        try:
            return Language.load(publication.language, self._catalogues)
        except UnknownLanguage:
            return ENGLISH

    def _load(self, tag: str) -> Language:
        try:
            return Language.load(tag, self._catalogues)
        except UnknownLanguage as error:
            raise ConfigError(str(error), key="language") from error

    def issue(self, issue: Issue, operator: str | None = None) -> RenderedIssue:
        """Render `issue` for all recipients; the result still has its slots. Papers that do not fit are left out.

        The subscriber whose ref is `operator` gets a copy of their own that also has `issue.notes`. Raises
        TemplateError with the template's file and line, and ValueError if the issue has no papers.
        """
        if not issue.papers:
            raise ValueError("an issue with no papers is not a mail")
        issue = _readable(issue if operator else replace(issue, notes=()))
        html, shown = self._fitted(issue)
        text = _tidy(self._render("digest.txt", shown))
        if not issue.notes or operator is None:
            return RenderedIssue(issue.day, shown["subject"], html, text)
        own = OperatorCopy(operator, html, text)
        shown["notes"] = []
        others = without(html, *_NOTES) if _NOTES[0] in html else inline(self._render("digest.html", shown))
        return RenderedIssue(issue.day, shown["subject"], others, _tidy(self._render("digest.txt", shown)), own)

    def letter(self, name: str, **values: Any) -> tuple[str, str, str]:
        """Render another mail from the templates `name`.txt and `name`.html: its subject, text and inlined HTML.

        The first line of the text template is the subject. Both templates get the same values as in `page`.
        """
        subject, _, text = self.page(f"{name}.txt", **values).strip().partition("\n")
        return subject.removeprefix("Subject:").strip(), _tidy(text), inline(self.page(f"{name}.html", **values))

    def page(self, name: str, **values: Any) -> str:
        """Render the template `name`, which gets the values of `shared` and `values`. Raises TemplateError."""
        return self._render(name, shared(self._publication) | values)

    def _fitted(self, issue: Issue) -> tuple[str, dict[str, Any]]:
        """The inlined HTML within the budget, and the template context it was rendered with.

        Inlining is the most expensive step, so a page that cannot fit after it is not inlined.
        """
        for layout in LAYOUTS:
            shown = context(self._publication, issue, layout, self.language)
            page = self._render("digest.html", shown)
            if len(page.encode()) * _LEAST_GROWTH <= self._budget:
                html = inline(page)
                if len(html.encode()) <= self._budget:
                    return html, shown
        kept = _fitting(page, self._budget / _GROWTH)
        while True:
            shown = context(self._publication, issue, layout, self.language, kept=kept)
            html = inline(self._render("digest.html", shown))
            if kept == 1 or len(html.encode()) <= self._budget:
                return html, shown
            kept = min(kept - 1, _fitting(html, self._budget))

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that an issue is rendered with: its templates, and the catalogues of the language."""
        digest = hashlib.sha256()
        for folder in self._folders:
            for path in sorted(Path(folder).iterdir()):
                if path.is_file() and not path.name.startswith(_NOT_OF_AN_ISSUE):
                    digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
        for path in find(self.language.tag, self._catalogues):
            digest.update(path.read_bytes() + b"\0")
        return digest.hexdigest()

    def check(self, *names: str) -> None:
        """Load and compile these templates. Raises TemplateError if one is missing or has a syntax error."""
        for name in names:
            with self._template_errors(name):
                self._environment.get_template(name)

    def faults(self, folder: Path) -> Iterator[TemplateFault]:
        """What is wrong with the operator's templates in `folder`, without values to render them. Raises OSError."""
        return faults(folder, self._environment)

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        with self._template_errors(name):
            return self._environment.get_template(name).render(values)

    @contextmanager
    def _template_errors(self, name: str) -> Iterator[None]:
        """Turn any error that the template `name` raises into a TemplateError."""
        try:
            yield
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or error.name}:{error.lineno}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"{self._where(error) or name}: there is no template {error.name}") from error
        except Exception as error:  # a template can raise any exception
            raise TemplateError(f"{self._where(error) or name}: {str(error) or type(error).__name__}") from error

    def _where(self, error: Exception) -> str:
        """File and line of the template that failed, from the traceback; empty if unknown."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames if frame.filename.startswith(self._folders)]
        return places[-1] if places else ""


# --- HTML ------------------------------------------------------------------------------------------------------------


def inline(html: str) -> str:
    """`html` with the rules of its <style> copied into style attributes, for mail clients that drop <style>.

    This is the only use of premailer, which has been unmaintained since 2021; it makes no network access. A
    <style data-premailer="ignore"> is left as it is. premailer may not set width and height attributes, because it
    writes "100%" as a number.
    """
    inlined: str = Premailer(
        html,
        allow_network=False,
        disable_validation=True,
        strip_important=False,
        disable_basic_attributes=["width", "height"],
        cssutils_logging_level=logging.CRITICAL,
        align_floating_images=False,
    ).transform()
    return inlined


def _speak(environment: jinja2.Environment, language: Language) -> None:
    """Give templates the words and the writing of `language`.

    A catalogue holds plain text: in a template of HTML it is escaped, as everything is, and Jinja2 then fills in the
    placeholders. No part of it is ever compiled as a template.
    """

    def plain(context: jinja2.nodes.EvalContext, text: str) -> str:
        return escape(text) if context.autoescape else text

    @jinja2.pass_eval_context
    def gettext(context: jinja2.nodes.EvalContext, message: str) -> str:
        return plain(context, language.raw(message))

    @jinja2.pass_eval_context
    def ngettext(context: jinja2.nodes.EvalContext, one: str, many: str, number: int) -> str:
        return plain(context, language.raw_plural(one, many, number))

    @jinja2.pass_eval_context
    def pgettext(context: jinja2.nodes.EvalContext, about: str, message: str) -> str:
        return plain(context, language.raw_in_context(about, message))

    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # an extension adds it
        gettext, ngettext, newstyle=True, pgettext=pgettext
    )
    environment.filters |= {
        "wrap": wrap,
        "number": language.number,
        "join_names": language.join,
        "isolate": language.isolated,
    }


def _written(publication: Publication, text: str, *more: str | None, align: bool = True) -> Markup:
    """The HTML attributes of an element that shows `text` of a feed: its language and direction, where they differ.

    `more` is further text of the same paper, from which the language shows better than from a title. A text that runs
    against the direction of the page is also aligned to its own side, unless `align` is false.
    """
    language, direction = language_of(" ".join((text, *filter(None, more)))), direction_of(text)
    said = f' lang="{language}"' if language != publication.language.partition("-")[0] else ""
    said += f' dir="{direction}"'
    if align and direction != publication.direction:
        said += f' style="text-align:{"right" if direction == "rtl" else "left"}"'
    return Markup(said)  # noqa: S704 - made of our own words alone


def _fitting(html: str, budget: float) -> int:
    """How many papers of an oversized mail would fit into `budget` bytes. Comments in the template mark the papers."""
    _, *papers = html.partition("<!--end-->")[0].split("<!--paper-->")
    size = len(html.encode())
    kept = len(papers)
    while kept > 1 and size > budget - 400:  # 400 bytes for the line about the papers left out
        kept -= 1
        size -= len(papers[kept].encode())
    return kept


def _tidy(text: str) -> str:
    """`text` without trailing spaces and with at most one empty line in a row, ending in one line feed."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(?<![ \t])[ \t]++$", "", text, flags=re.MULTILINE)).strip() + "\n"


# --- what templates get ----------------------------------------------------------------------------------------------


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
    cards = _cards(issue, layout, kept, language)
    return shared(publication) | {
        "subject": _subject(issue, language),
        "preheader": _preheader(issue),
        "day": _long_days(issue, language),
        "count": language.ngettext("%(num)s paper", "%(num)s papers", len(issue.papers)),
        "minutes": _minutes(cards),
        "ranked_by_votes": issue.ranked_by_votes,
        "papers": cards,
        "rising": [_rising(rising, issue, layout, language) for rising in issue.rising],
        "more": _more(len(issue.papers) - len(cards), issue, language),
        "notes": list(issue.notes),
        "reader_address": str(Slot.ADDRESS),
        "unsubscribe_url": str(Slot.UNSUBSCRIBE),
        "preferences_url": str(Slot.PREFERENCES) if publication.base_url else "",
        "archive_url": f"{publication.base_url}/archive/{issue.day}" if publication.base_url else "",
    }


def _long_days(issue: Issue, language: Language) -> str:
    """The day of the issue, or the first and the last of its days, in words."""
    last = language.long_date(issue.day)
    if issue.since is None:
        return last
    return language.gettext("%(first)s to %(last)s", first=language.long_date(issue.since), last=last)


def _cards(issue: Issue, layout: Layout, kept: int | None, language: Language) -> list[dict[str, Any]]:
    """A card or row for each paper shown. With sections, the best of each; the first of a section has its name."""
    ranks = _ranks(issue)
    shown = _leading(ranks, min(_MOST_ROWS, kept or _MOST_ROWS))
    sections = len({paper.source for paper in issue.papers}) if issue.by_source else 1
    full = len(shown) if len(shown) <= _SHORT_DAY and kept is None else -(-layout.full // sections)
    several = _has_several_feeds(issue)
    cards = []
    for at in shown:
        paper, rank = issue.papers[at], ranks[at]
        card = _card(rank, paper, layout, language, full=rank <= full)
        card["why"] = _why(issue.pinned.get(paper.key, ""), language)
        card["moved"] = _gain(paper, issue, language) if rank <= full else ""
        card["source"] = _feed_names(paper, sections, language) if several else ""
        card["section"] = paper.source if sections > 1 and rank == 1 else ""
        card["level"] = 3 if sections > 1 else 2
        cards.append(card)
    return cards


def _ranks(issue: Issue) -> list[int]:
    """Each paper's rank, from 1; within its section if the issue has one per source."""
    counted: Counter[str] = Counter()
    ranks = []
    for paper in issue.papers:
        section = paper.source if issue.by_source else ""
        counted[section] += 1
        ranks.append(counted[section])
    return ranks


def _leading(ranks: Sequence[int], number: int) -> list[int]:
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


def _card(rank: int, paper: Paper, layout: Layout, language: Language, *, full: bool) -> dict[str, Any]:
    room = layout.abstract - (_BESIDE_SUMMARY if paper.summary else 0)
    abstract = shorten(paper.abstract, room if full else layout.line)
    if not full and paper.summary:  # for the one line of a row the summary is the better text
        abstract = shorten(paper.summary, layout.line)
    return {
        "rank": rank,
        "full": full,
        "title": shorten(paper.title, _TITLE),
        "url": paper.url,
        "upvotes": paper.upvotes,
        "published": language.short_date(paper.published) if paper.published else "",
        "organisation": paper.organisation or "",
        "authors": authors(paper, language),
        "abstract": abstract,
        "summary": shorten(paper.summary or "", layout.summary) if full else "",
        "keywords": list(paper.keywords[:_KEYWORDS]) if full else [],
        "links": _links(f"#{rank}", paper, language),
    }


def _rising(rising: LateRiser, issue: Issue, layout: Layout, language: Language) -> dict[str, Any]:
    """A late riser's row, which says how many votes it gained and since when."""
    paper = rising.paper
    source = _feed_names(paper, 1, language) if _has_several_feeds(issue) else ""
    own = {"since": _since(rising.day, issue, language), "gained": rising.gained, "source": source, "level": 3}
    links = _links(language.gettext("rising"), paper, language)
    return _card(0, paper, layout, language, full=False) | own | {"links": links}


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


def authors(paper: Paper, language: Language) -> str:
    """The first three authors and the number of others: ``A, B, C and 14 more``. Without names ``17 authors``."""
    if not paper.authors:
        number = paper.author_count
        return language.ngettext("%(num)s author", "%(num)s authors", number) if number else ""
    named = paper.authors[:_NAMED_AUTHORS]
    rest = max(paper.author_count, len(paper.authors)) - len(named)
    if rest == 1 and len(paper.authors) > len(named):  # the name is about as long as "and 1 more"
        return language.join(paper.authors)
    names = language.join(named)
    if not rest:
        return names
    return language.ngettext("%(names)s and %(num)s more", "%(names)s and %(num)s more", rest, names=names)


def _links(place: str, paper: Paper, language: Language) -> list[dict[str, str]]:
    """The paper's links in a fixed order, each URL once, without that of its title."""
    stars = f" ★ {language.number(paper.code_stars)}" if paper.code_stars else ""
    said = f" ({language.number(paper.comments)})" if paper.comments else ""
    places = (
        ("arXiv", paper.arxiv_url),
        ("PDF", paper.pdf_url),
        (language.gettext("Code") + stars, paper.code_url),
        (language.gettext("Project"), paper.project_url),
        (language.gettext("Discussion") + said, paper.discussion_url),
    )
    links: dict[str, str] = {}
    for label, url in places:
        if url and url != paper.url and url not in links:
            links[url] = label
    # Screen readers list links by their accessible names, so each names its paper (WCAG 2.2, success criterion 2.4.4).
    title = shorten(paper.title, _LINK_TITLE)
    return [
        {
            "label": label,
            "url": url,
            "name": language.gettext("%(link)s %(place)s: %(paper)s", link=label, place=place, paper=title),
        }
        for url, label in links.items()
    ]


def _subject(issue: Issue, language: Language) -> str:
    first, rest = issue.papers[0], len(issue.papers) - 1
    votes = f" (▲ {language.number(first.upvotes)})" if first.upvotes else ""

    def subject(title: str) -> str:
        paper = language.isolated(title + votes)
        if not rest:
            return language.gettext("%(day)s: %(paper)s", day=_days(issue, language), paper=paper)
        return language.ngettext(
            "%(day)s: %(paper)s and %(num)s more",
            "%(day)s: %(paper)s and %(num)s more",
            rest,
            day=_days(issue, language),
            paper=paper,
        )

    return subject(textwrap.shorten(first.title, _SUBJECT - len(subject("")), placeholder="…"))


def _days(issue: Issue, language: Language) -> str:
    """The issue's day such as ``24 Nov``, or its days such as ``18–24 Nov``."""
    return language.day_and_month(issue.day) if issue.since is None else language.days(issue.since, issue.day)


def _preheader(issue: Issue) -> str:
    """The text that inboxes show after the subject: titles of the second and third paper, as the first is in that."""
    titles = [paper.title for paper in issue.papers[1:3]] or [issue.papers[0].abstract]
    return textwrap.shorten("; ".join(titles), _PREHEADER, placeholder="…")


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


# --- feed text -------------------------------------------------------------------------------------------------------


def _readable(issue: Issue) -> Issue:
    """The issue with LaTeX as text, and without text that could be taken for a slot or template syntax."""
    shown = set(_leading(_ranks(issue), _MOST_ROWS))
    papers = tuple(_readable_paper(paper) if at in shown else paper for at, paper in enumerate(issue.papers))
    rising = tuple(replace(each, paper=_readable_paper(each.paper)) for each in issue.rising)
    return replace(issue, papers=papers, rising=rising, notes=_escape_slots(issue.notes))


def legible(issue: Issue) -> Issue:
    """The issue with the text of all its papers as readers see it: LaTeX as text, nothing that looks like a slot."""
    rising = tuple(replace(each, paper=_readable_paper(each.paper)) for each in issue.rising)
    return replace(issue, papers=tuple(map(_readable_paper, issue.papers)), rising=rising)


def _readable_paper(paper: Paper) -> Paper:
    paper = replace(
        paper,
        title=readable(paper.title),
        abstract=readable(paper.abstract),
        summary=readable(paper.summary) if paper.summary else None,
        authors=tuple(map(readable, paper.authors)),  # arXiv's feeds have accents in LaTeX, as in Andr\'e
    )
    return Paper(**{field.name: _escape_slots(getattr(paper, field.name)) for field in fields(Paper)})


def _escape_slots(value: Any) -> Any:
    """Feed text changed so that neither a slot nor, in the lint, template syntax is found in it."""
    if isinstance(value, str):
        return _BRACES.sub(r"\g<0> ", value.replace(SLOT_HOST, "slot-invalid"))
    return tuple(map(_escape_slots, value)) if isinstance(value, tuple) else value
