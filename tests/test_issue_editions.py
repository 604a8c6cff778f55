"""What an edition keeps of the main one."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import date, timedelta

from newsletter.issue.choice import Choice
from newsletter.issue.editions import Day, edition
from newsletter.issue.picking import Candidates
from newsletter.issue.selector import Selector
from newsletter.model import Gain, Issue, LateRiser, Reason, ReasonKind
from tests.conftest import paper

DAY = date(2026, 11, 24)

# What a reader's choice changes. The notes are for the operator alone.
CHANGED = {"papers", "by_source", "left_out", "pinned", "reasons", "rising", "notes", "own"}


def test_an_edition_keeps_of_the_main_one_what_no_choice_changes() -> None:
    papers = (paper(1, title="Owls"), paper(2, title="Kites"))
    main = Issue(
        DAY,
        papers,
        ranked_by_votes=True,
        by_source=True,
        left_out=1,
        skipped=2,
        seen=3,
        pinned={papers[0].key: "why"},
        reasons={papers[0].key: Reason(ReasonKind.TOPIC, "owls")},
        rising=(LateRiser(paper(3), DAY - timedelta(days=1), 4),),
        since=DAY - timedelta(days=2),
        gains={papers[0].key: Gain(DAY, 5)},
        notes=("a feed is late",),
        own=True,
        feedback=False,
    )
    for each in fields(Issue):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        assert getattr(main, each.name) != default, f"give `main` another {each.name} than issues have"
    made = edition(Day(main, main), Choice.of(Selector.of(topics=["kites"])), Candidates.of(papers))
    assert [each.title for each in made.papers] == ["Kites", "Owls"]
    kept = {each.name for each in fields(Issue)} - CHANGED
    assert {name: getattr(made, name) for name in kept} == {name: getattr(main, name) for name in kept}
