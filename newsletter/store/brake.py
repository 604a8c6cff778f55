"""The brake: how many readers may be suppressed at once before the operator is asked. Pure.

A provider that blocks us, a relay with a wrong answer or a table of ours that misreads one makes many readers look gone
on one day. Dead addresses come one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Limit:
    """Suppressions are held when they are more than `readers` and more than `share` of the active readers."""

    readers: int
    share: float

    def exceeded(self, number: int, active: int) -> bool:
        """Whether `number` suppressions on a list of `active` readers are too many."""
        return number > self.readers and number > self.share * active


# Of one run, whatever the reasons. Lists lose about 2 % of their addresses in a month (the 22.5 % a year that mailing
# services quote), which is less than 0.1 % a day: 1 % at once is ten days' worth. Services act at higher figures:
# Amazon SES reviews an account at 5 % bounces (SES developer guide, "Reputation metrics messages"). The 5 readers let a
# small list lose its dead addresses without a question for each.
OF_A_RUN: Final = Limit(readers=5, share=0.01)

# For the same reason, over the last days: hourly runs that suppress a few readers each add up.
OF_A_REASON: Final = Limit(readers=5, share=0.01)
REASON_DAYS: Final = timedelta(days=7)


def held(reasons: Sequence[str], lately: Mapping[str, int], active: int) -> frozenset[str]:
    """Which of the `reasons`, one for each reader to suppress, are held back; the others may be carried out.

    `lately` says how many readers were suppressed by themselves, or are held, for each reason in REASON_DAYS; `active`
    is the number of active readers.
    """
    counts = Counter(reasons)
    if OF_A_RUN.exceeded(len(reasons), active):
        return frozenset(counts)
    return frozenset(
        reason for reason, number in counts.items() if OF_A_REASON.exceeded(number + lately.get(reason, 0), active)
    )
