"""The settings for the selection of papers (`issue` in the configuration)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IssueRules:
    """Settings for what goes into an issue.

    `sections` is ``merged`` for one list, or ``source`` for a section per source, each with up to `max_papers`.
    `lifetime` is in hours from the freezing of an issue. `look_back` is in calendar days, `catch_up` in days on which
    the source lists papers; 0 turns either off. `max_rising` is the number of late risers in one issue.
    """

    max_papers: int = 20
    sections: str = "merged"
    min_upvotes: int = 0
    lifetime: float = 24.0
    look_back: int = 7
    max_rising: int = 3
    catch_up: int = 5
