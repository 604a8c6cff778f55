"""An issue's papers as JSON, kept with its rendering: what its page, its other formats and the search are made from.

Issues are kept for years, so a later version reads what an earlier one wrote: fields that are missing get their
defaults, and fields that are not known any more are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, insert, update

from newsletter.model import Gain, Issue, LateRiser, Paper, Reason, ReasonKind
from newsletter.store import search_words
from newsletter.store.schema import issue_papers, renderings, storable

_OF_A_PAPER: Final = frozenset(field.name for field in fields(Paper))
_OF_AN_ISSUE: Final = frozenset(field.name for field in fields(Issue))

_NAMED_AUTHORS: Final = 3  # of a search result


def dumped(issue: Issue) -> str:
    """The issue as JSON, without the notes for the operator."""
    return json.dumps(asdict(replace(issue, notes=())), default=date.isoformat, ensure_ascii=False)


def loaded(text: str) -> Issue:
    """The issue that `dumped` wrote."""
    kept: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in _OF_AN_ISSUE}
    converted: dict[str, Any] = {
        "day": date.fromisoformat(kept["day"]),
        "since": _day(kept.get("since")),
        "papers": tuple(map(_paper, kept["papers"])),
        "rising": tuple(
            LateRiser(_paper(each["paper"]), date.fromisoformat(each["day"]), each["gained"])
            for each in kept.get("rising", ())
        ),
        "gains": {
            key: Gain(date.fromisoformat(gain["day"]), gain["votes"]) for key, gain in kept.get("gains", {}).items()
        },
        "reasons": {
            key: Reason(ReasonKind(reason["kind"]), reason["words"]) for key, reason in kept.get("reasons", {}).items()
        },
        "notes": (),
    }
    return Issue(**kept | converted)


def _paper(kept: Mapping[str, Any]) -> Paper:
    known = {name: _tuple(value) for name, value in kept.items() if name in _OF_A_PAPER}
    return Paper(**known | {"published": _day(kept.get("published"))})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def insert_contents(connection: Connection, issue_id: int, rendering_id: int, issue: Issue) -> None:
    """Keep the papers of an issue that is being frozen, and index them."""
    kept = dumped(issue)
    connection.execute(update(renderings).where(renderings.c.id == rendering_id).values(contents=kept))
    rows = [
        {"issue_id": issue_id, "place": place, **_indexed(paper)} for place, paper in enumerate(_all_papers(issue), 1)
    ]
    connection.execute(insert(issue_papers), rows)


def _all_papers(issue: Issue) -> Iterator[Paper]:
    yield from issue.papers
    yield from (rising.paper for rising in issue.rising)


def _indexed(paper: Paper) -> dict[str, str]:
    others = max(paper.author_count, len(paper.authors)) - _NAMED_AUTHORS
    named = ", ".join(paper.authors[:_NAMED_AUTHORS]) + (" …" if others > 0 and paper.authors else "")
    words = search_words.indexed(" ".join((paper.title, *paper.authors)))
    return {"title": storable(paper.title), "authors": storable(named), "words": words}
