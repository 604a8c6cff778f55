"""Render the papers of many editions of an issue once each, in every form in which some edition shows them.

    papers, forms -> one long digest by the templates -> inlined -> cut at its marks -> pieces
    an edition    -> the sizes of its pieces -> its layout, by the rule for any mail -> the numbers of its pieces

Inlining takes most of the time of a rendering, and this does it once for each piece instead of once for each edition.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

from markupsafe import escape

from newsletter.mail import cards
from newsletter.mail.cards import Form, Layout
from newsletter.mail.cutting import CUT, REGIONS, Cut, cut_html, cut_text
from newsletter.mail.inlining import Markups
from newsletter.mail.joining import as_html, frame_words
from newsletter.mail.render import (
    Renderer,
    Sizes,
    fitting,
    inline,
    must_fit,
    readable_reason,
    shown_paper,
    tidy,
)
from newsletter.mail.subject import preheader, subject
from newsletter.model import NO_LINE, Issue, JoinedEdition, LateRiser, Mark, Paper, Piece, Reason

_TWO_MARKS: Final = Mark.RANK * 2
_MARKER: Final = len("<!--paper-->")
_AT_ONCE: Final = 150  # papers in a digest that is cut

# The digits of each rank; 0 for the first, because templates have a look of its own for it.
_DIGITS: Final = (0, 0, *(1,) * 8, *(2,) * 90, *(3,) * 900)

_json: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode

_Key = tuple[object, ...]
_T = TypeVar("_T")
_R = TypeVar("_R")


class _Marked(int):
    """A number that templates print as a mark."""

    mark = ""

    def __str__(self) -> str:
        return self.mark

    def __format__(self, form: str) -> str:
        return self.mark


def _marked(mark: str) -> int:
    number = _Marked(2)  # no first rank
    number.mark = mark
    return number


_RANKS: Final = (1, *(_marked(Mark.RANK * digits) for digits in (1, 2, 3)))
_MINUTES: Final = _marked(Mark.MINUTES)


@dataclass(frozen=True, slots=True)
class _Made:
    """A piece: its number, and what it adds to a mail."""

    number: int
    page: int  # bytes of the HTML before inlining, without marks
    size: int  # the same after inlining
    marks: Mapping[Mark, int]  # how often the HTML has each mark
    ranks: int  # how often it has that of the rank
    reasons: int  # and that of the reason
    words: int = 0  # for the reading time


class _Html(NamedTuple):
    """The HTML of a piece after inlining, and its figures as in `_Made`."""

    inlined: str
    page: int
    size: int
    marks: Mapping[Mark, int]


@dataclass(slots=True, eq=False)
class _Shown:
    """A paper in a form: `key` stands for all that its pieces depend on. A mark is in place of the reason.

    `piece` is None until an edition has needed it, and so is `line`, the one in the list at the top.
    """

    key: int
    rank: int
    paper: Paper
    form: Form
    piece: _Made | None = None
    line: _Made | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    """Why a paper is in an edition, and how many bytes that has as HTML, before and after inlining."""

    words: str
    page: int
    size: int


_UNSAID: Final = _Said("", 0, 0)


@dataclass(slots=True)
class _Draft:
    """An edition on its way to a layout. The papers of its `issue` are as they were picked: not yet readable."""

    issue: Issue
    fit: Generator[tuple[Layout, int | None], Sizes]
    wanted: tuple[Layout, int | None]
    said: Mapping[str, _Said]  # why it has its papers, by Paper.key
    shown: list[_Shown] = field(default_factory=list)
    reasons: Sequence[_Said] = ()  # of each paper shown
    glance: Sequence[int] = ()
    rising: list[_Key] = field(default_factory=list)
    edition: JoinedEdition | None = None


class _Parts(NamedTuple):
    """The pieces of an edition: papers, lines of the list at the top, late risers."""

    papers: Sequence[_Made]
    lines: Sequence[_Made]
    rising: Sequence[_Made]


class _Sizes(NamedTuple):
    """What a layout of an edition leads to: `render.Sizes`."""

    page_size: int
    size: int
    papers_of_page: Sequence[int] = ()
    papers: Sequence[int] = ()


class Pieces:
    """The pieces of one issue's editions, all made by one Renderer; `made` has them by their numbers."""

    def __init__(self, renderer: Renderer) -> None:
        self.made: list[Piece] = []
        self._renderer = renderer
        self._language = renderer.language
        self._readable, self._said = _by_id(shown_paper), _by_id(self._reason)
        self._prints_marks = self._language.number(_MINUTES) == Mark.MINUTES
        self._ids: dict[_Key, int] = {}  # a number for each paper in each form
        self._cards: dict[_Key, dict[str, Any]] = {}  # the values of cards without their reasons
        self._styles: dict[cards.Style, dict[_Key, _Shown]] = {}  # the papers in the forms of each style
        self._subjects: dict[_Key, str] = {}
        self._numbers: dict[_Key, tuple[str, str]] = {}  # how many papers there are, and how many are not shown
        self._known: dict[Mark, dict[_Key | int, _Made]] = {mark: {} for mark, _, _ in REGIONS}
        self._alike: dict[
            tuple[Mark, str], _Made
        ] = {}  # by the values of the card: a paper may look alike in two forms
        self._html: dict[tuple[Mark, str], _Html] = {}
        self._markup = Markups()
        self._pages: dict[_Key, _Made] = {}  # what is around the papers in HTML
        self._texts: dict[_Key, int] = {}  # what is around them in the text

    def editions(self, issues: Iterable[Issue]) -> list[JoinedEdition]:
        """The editions of these issues, all of one day, without their notes. Raises CannotCut and TemplateError."""
        drafts = [self._draft(issue) for issue in issues]
        waiting = drafts
        while waiting := [draft for draft in waiting if not self._finished(draft)]:
            self._make(waiting)
        return [draft.edition for draft in drafts if draft.edition is not None]

    def _draft(self, issue: Issue) -> _Draft:
        fit = fitting(self._renderer.budget)
        said = {key: self._said(reason) for key, reason in issue.reasons.items()}
        draft = _Draft(cards.linked(self._renderer.publication, issue), fit, next(fit), said)
        self._lay_out(draft)
        return draft

    def _finished(self, draft: _Draft) -> bool:
        """Whether the edition is made. Else it needs pieces that nobody has made yet."""
        while draft.edition is None and (parts := self._parts(draft)) is not None:
            draft.edition = self._tried(draft, parts)
            if draft.edition is None:
                self._lay_out(draft)
        return draft.edition is not None

    # --- which pieces an edition needs --------------------------------------------------------------------------------

    def _lay_out(self, draft: _Draft) -> None:
        """Decide on the form of each paper, for the layout that is wanted."""
        issue, language, (layout, kept) = draft.issue, self._language, draft.wanted
        style, papers = cards.styled(issue, layout, kept)
        known = self._styles.setdefault(style, {})
        pinned, gains = issue.pinned, issue.gains
        reasons = [draft.said.get(paper.key, _UNSAID) for _, paper in papers]
        # `_readable` keeps the paper alive, so that no other has its id.
        keys: list[_Key] = [
            (id(paper), rank, why is _UNSAID) for (rank, paper), why in zip(papers, reasons, strict=True)
        ]
        if pinned or gains:
            names = [paper.key for _, paper in papers]
            keys = [(*key, pinned.get(name), gains.get(name)) for key, name in zip(keys, names, strict=True)]
        try:
            draft.shown = [known[key] for key in keys]
        except KeyError:
            for key, (rank, paper) in zip(keys, papers, strict=True):
                if key not in known:
                    readable = self._readable(paper)
                    known[key] = self._shown(readable, cards.form(readable, rank, style, issue, language))
            draft.shown = [known[key] for key in keys]
        draft.reasons = reasons
        draft.glance = cards.glanced([each.rank for each in draft.shown])
        several, linked = bool(issue.rising) and cards.has_several_feeds(issue), issue.own and issue.feedback
        draft.rising = [(id(each.paper), each.day, each.gained, layout, linked, several) for each in issue.rising]

    def _shown(self, paper: Paper, form: Form) -> _Shown:
        marked = form._replace(reason=str(Mark.REASON) if form.reason else "")
        # The first has a look of its own; of the others, the text depends on the digits of the rank.
        key = (id(paper), _DIGITS[form.rank], marked[1:])
        return _Shown(self._ids.setdefault(key, len(self._ids)), form.rank, paper, marked)

    def _reason(self, reason: Reason) -> _Said:
        words = cards.picked_for(readable_reason(reason), self._language)
        return _Said(words, len(_escaped(words).encode()), len(as_html(words).encode()))

    def _parts(self, draft: _Draft) -> _Parts | None:
        """The pieces of its layout; None if some are not made yet."""
        shown, risers = draft.shown, self._known[Mark.RISING]
        papers = [each.piece for each in shown if each.piece is not None]
        lines = [line for at in draft.glance if (line := shown[at].line) is not None]
        rising = [risers[key] for key in draft.rising if key in risers]
        found = len(papers), len(lines), len(rising)
        return _Parts(papers, lines, rising) if found == (len(shown), len(draft.glance), len(draft.rising)) else None

    def _make(self, drafts: Sequence[_Draft]) -> None:
        """Render what these editions need and no earlier one has needed."""
        issue = drafts[0].issue
        listed = (draft.shown[at] for draft in drafts for at in draft.glance)
        new = {
            Mark.PAPERS: dict.fromkeys(each for draft in drafts for each in draft.shown if each.piece is None),
            Mark.GLANCE: dict.fromkeys(each for each in listed if each.line is None),
        }
        wanted: dict[Mark, dict[_Key | int, tuple[str, dict[str, Any]]]] = {mark: {} for mark in self._known}
        valued: dict[int, tuple[str, dict[str, Any]]] = {}
        for mark, some in new.items():
            for each in some:
                if each.key not in self._known[mark]:
                    if each.key not in valued:
                        valued[each.key] = _with_values(self._card(each.paper, each.form, issue))
                    wanted[mark][each.key] = valued[each.key]
        risers = {key: (draft, at) for draft in drafts for at, key in enumerate(draft.rising)}
        for key, (draft, at) in risers.items():
            if key not in self._known[Mark.RISING]:
                risen = self._risen(draft, draft.issue.rising[at], several=bool(key[-1]))
                wanted[Mark.RISING][key] = _with_values(risen)
        self._render(issue, wanted)
        for mark, entries in wanted.items():
            self._known[mark] |= {key: self._alike[mark, values] for key, (values, _) in entries.items()}
        for each in new[Mark.PAPERS]:
            each.piece = self._known[Mark.PAPERS][each.key]
        for each in new[Mark.GLANCE]:
            each.line = self._known[Mark.GLANCE][each.key]

    def _render(self, issue: Issue, wanted: Mapping[Mark, Mapping[_Key | int, tuple[str, dict[str, Any]]]]) -> None:
        """Render those of these cards that look like none before."""
        missing = {
            mark: {values: card for values, card in entries.values() if (mark, values) not in self._alike}
            for mark, entries in wanted.items()
        }
        while any(missing.values()):
            some = {mark: [*entries][:_AT_ONCE] for mark, entries in missing.items()}
            self._cut(issue, {mark: {each: missing[mark].pop(each) for each in these} for mark, these in some.items()})

    def _card(self, paper: Paper, form: Form, issue: Issue) -> dict[str, Any]:
        """The values of a card, with marks for its rank and its reason; without a reason it is the same otherwise."""
        digits = _DIGITS[form.rank]
        alike = form._replace(rank=_RANKS[digits], reason="")
        key = (id(paper), digits, alike[1:])
        if key not in self._cards:
            self._cards[key] = cards.card(paper, alike, issue.day, self._language)
        return self._cards[key] | {"reason": form.reason}

    def _risen(self, draft: _Draft, riser: LateRiser, *, several: bool) -> dict[str, Any]:
        readable = replace(riser, paper=self._readable(riser.paper))
        return cards.risen(readable, draft.issue, draft.wanted[0], self._language, several=several)

    def _cut(self, issue: Issue, some: Mapping[Mark, Mapping[str, dict[str, Any]]]) -> None:
        """Render these cards, and keep the pieces."""
        text = self._text(issue, {mark: list(entries.values()) for mark, entries in some.items()})
        # Only the text depends on the digits of a rank.
        html = {mark: [(mark, _one_mark(values)) for values in entries] for mark, entries in some.items()}
        self._inline(issue, {mark: dict(zip(html[mark], some[mark].values(), strict=True)) for mark in some})
        for mark, entries in some.items():
            for (values, card), like, words in zip(entries.items(), html[mark], text.regions[mark], strict=True):
                self._alike[mark, values] = self._add(self._html[like], words, cards.words_in(card))

    def _inline(self, issue: Issue, some: Mapping[Mark, Mapping[tuple[Mark, str], dict[str, Any]]]) -> None:
        """Render and inline the HTML of those of these cards that are not known."""
        missing = {
            mark: {like: card for like, card in entries.items() if like not in self._html}
            for mark, entries in some.items()
        }
        if not any(missing.values()):
            return
        page = self._page("digest.html", issue, {mark: list(entries.values()) for mark, entries in missing.items()})
        before = cut_html(page, {mark: len(entries) for mark, entries in missing.items()})
        inlined = self._markup.inlined(page, before)
        for mark, entries in missing.items():
            for like, *html in zip(entries, before.regions[mark], inlined[mark], strict=True):
                self._html[like] = self._measured(_one_mark(html[0]), _one_mark(html[1]))

    def _measured(self, page: str, inlined: str) -> _Html:
        marks = {mark: inlined.count(mark) for mark in Mark if mark in inlined}
        number = 2 * sum(marks.values())  # bytes of a mark in UTF-8
        return _Html(inlined, len(page.encode()) - number, self._renderer.size(inlined) - number, marks)

    def _add(self, html: _Html, text: str, words: int = 0) -> _Made:
        self.made.append(Piece(html.inlined, text))
        counts = html.marks.get(Mark.RANK, 0), html.marks.get(Mark.REASON, 0)
        return _Made(len(self.made) - 1, html.page, html.size, html.marks, *counts, words)

    # --- rendering and cutting ----------------------------------------------------------------------------------------

    def _text(self, issue: Issue, shown: Mapping[Mark, Sequence[dict[str, Any]]], **own: Any) -> Cut:
        text = self._page("digest.txt", issue, shown, cut=CUT, **own)
        return cut_text(tidy(text), {mark: len(shown[mark]) for mark in shown})

    def _page(self, name: str, issue: Issue, shown: Mapping[Mark, Sequence[dict[str, Any]]], **own: Any) -> str:
        values = {"subject": "", "preheader": "", "count": "", "minutes": 1, "more": ""} | own
        lists = {"papers": shown[Mark.PAPERS], "glance": shown[Mark.GLANCE], "rising": shown[Mark.RISING]}
        return self._renderer.page(
            name, **cards.framed(self._renderer.publication, issue, self._language, **values, **lists)
        )

    def _one_of_each(self, draft: _Draft) -> dict[Mark, list[dict[str, Any]]]:
        """The fewest cards that what is around all of them needs."""
        first = [cards.card(draft.shown[0].paper, draft.shown[0].form, draft.issue.day, self._language)]
        rising = [self._risen(draft, each, several=False) for each in draft.issue.rising[:1]]
        return {Mark.PAPERS: first, Mark.GLANCE: first if draft.glance else [], Mark.RISING: rising}

    def _frame(self, draft: _Draft, *, more: bool, minutes: int) -> _Made:
        """What is around the papers in HTML."""
        issue = draft.issue
        number: int = _MINUTES if self._prints_marks else minutes
        key = (bool(draft.glance), bool(draft.rising), more, int(number), *_around(issue))
        if key not in self._pages:
            own = {
                "subject": str(Mark.SUBJECT),
                "preheader": str(Mark.PREHEADER),
                "count": str(Mark.COUNT),
                "minutes": number,
                "more": str(Mark.MORE) if more else "",
            }
            page = self._page("digest.html", issue, one := self._one_of_each(draft), **own)
            numbers = {mark: len(one[mark]) for mark in one}
            html = self._measured(cut_html(page, numbers).frame, cut_html(inline(page), numbers).frame)
            self._pages[key] = self._add(html, "")
        return self._pages[key]

    def _frame_of_text(self, draft: _Draft, **own: Any) -> int:
        """The number of what is around the papers in the text, where lines depend on the words in them."""
        issue = draft.issue
        key = (*own.values(), bool(draft.glance), bool(draft.rising), *_around(issue))
        if key not in self._texts:
            words = {"subject": str(Mark.SUBJECT), "preheader": str(Mark.PREHEADER)}
            text = self._text(issue, self._one_of_each(draft), **own, **words)
            self._texts[key] = self._add(self._measured("", ""), text.frame).number
        return self._texts[key]

    # --- joining ------------------------------------------------------------------------------------------------------

    def _tried(self, draft: _Draft, parts: _Parts) -> JoinedEdition | None:
        """The edition, if it fits in the layout that was wanted; None if it is to be laid out again."""
        issue, budget, papers = draft.issue, self._renderer.budget, parts.papers
        minutes = cards.minutes([made.words for made in papers])
        count, more = self._in_numbers(issue, len(papers))
        frame = self._frame(draft, more=bool(more), minutes=minutes)
        every = [frame, *papers, *parts.lines, *parts.rising]
        sizes = _Sizes(sum([made.page for made in every]), sum([made.size for made in every]))
        edition = None
        if must_fit(sizes.page_size, sizes.size, budget) or draft.wanted[0] is cards.LAYOUTS[-1]:
            edition = self._edition(draft, frame, parts, count=count, minutes=minutes, more=more)
            filled = _filled(draft, edition)
            if must_fit(sizes.page_size + filled, sizes.size + filled, budget):
                return edition
            sizes = _sizes(draft, edition, frame, parts)
        try:
            draft.wanted = draft.fit.send(sizes)
        except StopIteration:
            return edition
        return None

    def _subject(self, issue: Issue) -> str:
        first, *others = issue.papers
        key = (id(first), len(others), issue.since)
        if key not in self._subjects:
            self._subjects[key] = subject(replace(issue, papers=(self._readable(first), *others)), self._language)
        return self._subjects[key]

    def _in_numbers(self, issue: Issue, shown: int) -> tuple[str, str]:
        """`cards.counted` and `cards.more` of an edition that shows so many papers."""
        key = (len(issue.papers), shown, issue.left_out, issue.own, issue.since)
        if key not in self._numbers:
            more = cards.more(len(issue.papers) - shown, issue, self._language)
            self._numbers[key] = cards.counted(len(issue.papers), self._language), more
        return self._numbers[key]

    def _edition(self, draft: _Draft, frame: _Made, parts: _Parts, **words: Any) -> JoinedEdition:
        issue = draft.issue
        papers, lines = [made.number for made in parts.papers], [NO_LINE] * len(parts.papers)
        for at, line in zip(draft.glance, parts.lines, strict=True):
            lines[at] = line.number
        return JoinedEdition(
            subject=self._subject(issue),
            preheader=preheader(map(self._readable, issue.papers)),
            count=words["count"],
            minutes=self._language.number(words["minutes"]),
            more=words["more"],
            frames=(frame.number, self._frame_of_text(draft, **words)),
            papers=tuple(zip(papers, lines, [each.rank for each in draft.shown], strict=True)),
            rising=tuple([made.number for made in parts.rising]),
            reasons=tuple([said.words for said in draft.reasons]),
        )


def _by_id(made: Callable[[_T], _R]) -> Callable[[_T], _R]:
    """`made`, remembering what it made of each object; objects are kept alive, so that no other gets their id."""
    known: dict[int, tuple[_T, _R]] = {}

    def remembered(of: _T) -> _R:
        found = known.get(id(of))
        if found is None:
            found = known[id(of)] = (of, made(of))
        return found[1]

    return remembered


def _one_mark(html: str) -> str:
    """`html` with one mark of the rank, however many digits it has. A pattern would take ten times as long."""
    while _TWO_MARKS in html:
        html = html.replace(_TWO_MARKS, Mark.RANK)
    return html


def _around(issue: Issue) -> _Key:
    """What is around the papers depends on these, besides the words that are filled in."""
    return issue.since, issue.ranked_by_votes, issue.own


def _filled(draft: _Draft, edition: JoinedEdition) -> int:
    """The most bytes of HTML that what is filled in takes: six for a character, and a rank stands ten times.

    A sum without this, and one with it, spare most editions the exact one, which would lead to the same layout.
    """
    words = sum(map(len, frame_words(edition).values()))
    return 6 * words + sum([said.page for said in draft.reasons]) + 60 * len(edition.papers)


def _sizes(draft: _Draft, edition: JoinedEdition, frame: _Made, parts: _Parts) -> _Sizes:
    """The exact sizes of an edition."""
    papers, lines, rising = parts
    words = frame_words(edition)
    digits = [len(str(each.rank)) for each in draft.shown]
    of_page, inlined = [], []
    for made, width, said in zip(papers, digits, draft.reasons, strict=True):
        of_page.append(made.page + made.ranks * width + made.reasons * said.page)
        inlined.append(made.size + made.ranks * width + made.reasons * said.size)
    others = sum([made.ranks * digits[at] for made, at in zip(lines, draft.glance, strict=True)])
    return _Sizes(
        frame.page
        + sum([number * len(_escaped(words.get(mark, "")).encode()) for mark, number in frame.marks.items()])
        + sum(of_page)
        + sum([made.page for made in (*lines, *rising)])
        + others,
        frame.size
        + sum([number * len(as_html(words.get(mark, "")).encode()) for mark, number in frame.marks.items()])
        + sum(inlined)
        + sum([made.size for made in (*lines, *rising)])
        + others,
        [size - _MARKER for size in of_page],
        [size - _MARKER for size in inlined],
    )


def _with_values(card: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A card, and its values as a text: the same for cards that look alike. A mark of the rank is a number in JSON."""
    return f"{card['rank']} {_json(card)}", card


def _escaped(words: str) -> str:
    return str(escape(words))
