"""What the page of an issue shows: the values that the mail's templates get, with what only a page has room for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from newsletter.archive.data import coins
from newsletter.languages import Language
from newsletter.mail.cards import LAYOUTS, context
from newsletter.model import Issue, Paper, Publication

_MOST: Final = 150  # papers on a page; the mail's templates get no more either


def shown(publication: Publication, issue: Issue, language: Language) -> dict[str, Any]:
    """The values of an issue for the pages, as templates/README.md lists them."""
    rest = len(issue.papers) - _MOST
    if rest > 0:
        issue = replace(issue, papers=issue.papers[:_MOST], left_out=issue.left_out + rest)
    values = context(publication, issue, LAYOUTS[0], language)
    rising = [each.paper for each in issue.rising]
    for place, (card, paper) in enumerate(zip(values["papers"], issue.papers, strict=True), 1):
        card |= _own(place, paper)
    for place, (card, paper) in enumerate(zip(values["rising"], rising, strict=True), len(issue.papers) + 1):
        card |= _own(place, paper)
    names = ("day", "count", "minutes", "ranked_by_votes", "papers", "glance", "rising", "more")
    return {name: values[name] for name in names}


def _own(place: int, paper: Paper) -> dict[str, Any]:
    """What a page has of a paper besides: its place in the issue, the whole texts, and the paper as COinS."""
    return {
        "place": place,
        "whole_summary": paper.summary or "",
        "whole_abstract": paper.abstract,
        "coins": coins(paper),
    }
