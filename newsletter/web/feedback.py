"""The page behind the links below each paper of a reader's own edition: more, or less, like this.

Only its button changes anything. What is kept is a few words of the paper's title, in what the reader chose: not which
paper it was, nor when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import flask

from newsletter.issue.choice import Choice
from newsletter.issue.likes import LATELY, opposite, pressed, telling
from newsletter.issue.selector import SelectorError
from newsletter.links import Purpose
from newsletter.mail.latex import readable
from newsletter.model import Paper, SubscriberStatus
from newsletter.web.site import Site

_DAYS = 7  # whose papers tell how frequent words are


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the link asks for: the reader by their ref, the paper's title, its words, and whether more or less."""

    ref: str
    title: str
    words: Sequence[str]
    more: bool

    def change(self, choice: Choice) -> Choice:
        """What the button makes of a reader's choice. Raises SelectorError."""
        return replace(choice, selector=pressed(choice.selector, self.words, self.title, more=self.more))


def add_to(blueprint: flask.Blueprint, site: Site) -> None:
    """Add the route below ``/feedback/``. The query has `paper`, a Paper.key, and `more`, 1 or 0 for less."""

    @blueprint.get("/feedback/<token>")
    def propose(token: str) -> flask.Response:
        asked = _asked(site, token)
        if isinstance(asked, flask.Response):
            return asked
        before = site.store.choice_of(asked.ref)
        try:
            asked.change(before)
        except SelectorError as error:
            return _refused(site, asked, error)
        gone = opposite(before.selector, asked.words, asked.title, more=asked.more)
        return _page(site, asked, "ask", gone=gone)

    @blueprint.post("/feedback/<token>")
    def keep(token: str) -> flask.Response:
        asked = _asked(site, token)
        if isinstance(asked, flask.Response):
            return asked
        try:
            kept = site.store.change_choice(asked.ref, asked.change)
        except SelectorError as error:
            return _refused(site, asked, error)
        return _page(site, asked, "kept") if kept else site.message("inactive", 410)  # they have just left


def _asked(site: Site, token: str) -> _Asked | flask.Response:
    """What the request asks for, or the page that says what is wrong with it."""
    ref, query = site.links.verify(Purpose.FEEDBACK, token), flask.request.args
    reader = site.store.by_ref(ref) if ref else None
    if reader is None or query.get("more") not in ("0", "1"):
        return site.unknown()
    if reader.status is not SubscriberStatus.ACTIVE:
        return site.message("inactive", 410)
    paper = site.store.listed_paper(query.get("paper", ""))
    if paper is None:
        return site.unknown()
    paper = replace(paper, title=readable(paper.title), abstract=readable(paper.abstract))
    asked = _Asked(reader.ref, paper.title, telling(paper, _lately(site)), query["more"] == "1")
    return asked if asked.words else _page(site, asked, "wordless", 422)


def _lately(site: Site) -> Sequence[Paper]:
    issues = (issue for _, issue in site.store.recent_candidates(_DAYS))
    return list(islice(chain.from_iterable(issue.papers for issue in issues), LATELY))


def _refused(site: Site, asked: _Asked, error: SelectorError) -> flask.Response:
    """The page that says that the reader's choices are too many, or too long together."""
    mistake = {"fault": str(error.fault), "limit": error.limit, "shown": error.shown}
    return _page(site, asked, "full", 422, mistake=mistake)


def _page(
    site: Site,
    asked: _Asked,
    state: str,
    status: int = 200,
    *,
    gone: Sequence[str] = (),
    mistake: dict[str, object] | None = None,
) -> flask.Response:
    return site.page(
        "feedback.html",
        status,
        state=state,
        more=asked.more,
        paper=asked.title,
        words=list(asked.words),
        gone=list(gone),
        mistake=mistake,
        preferences_url=flask.url_for("readers.choose", token=site.links.token(Purpose.PREFERENCES, asked.ref)),
    )
