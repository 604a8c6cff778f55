"""The settings for the selection of papers (`issue` in the configuration)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from newsletter.issue.late_risers import Rule, cards_for

UNCUT: Final = 10**6  # as `max_papers`: all of them


@dataclass(frozen=True, slots=True)
class IssueRules:
    """Settings for what goes into an issue.

    `sections` is ``merged`` for one list, or ``source`` for a section per source, each with up to `max_papers`.
    `settle` is the number of hours from the beginning of a source's day until the day is ranked. `lifetime` is in hours
    from the freezing of an issue. `look_back` is in calendar days, `catch_up` in days on which the source lists papers;
    0 turns either off. `max_rising` is the number of late risers in one issue, None for what suits `max_papers`.
    """

    max_papers: int = 20
    sections: str = "merged"
    min_upvotes: int = 0
    settle: int = 24
    lifetime: float = 24.0
    look_back: int = 6
    max_rising: int | None = None
    catch_up: int = 5

    @property
    def rising(self) -> Rule:
        """How far to look back for late risers, and how many one issue may have."""
        return Rule(self.look_back, cards_for(self.max_papers) if self.max_rising is None else self.max_rising)

    @property
    def settling(self) -> timedelta:
        """`settle` as a length of time."""
        return timedelta(hours=self.settle)
