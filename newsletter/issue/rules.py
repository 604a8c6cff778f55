"""What the operator configured for the selection of papers (`issue` in config.yaml)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IssueRules:
    """What goes into the day's issue; `lifetime` is in hours from its freezing.

    `sections` is ``merged``, or ``source``: then `max_papers` counts for each source's section.
    `look_back` is in calendar days, `catch_up` in days on which the source lists papers; 0 switches either off.
    """

    max_papers: int = 20
    sections: str = "merged"
    min_upvotes: int = 0
    lifetime: float = 24.0
    look_back: int = 7
    max_rising: int = 3
    catch_up: int = 5
