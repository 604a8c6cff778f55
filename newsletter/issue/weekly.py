"""When a reader who wants one issue a week gets it, and from which day on its papers are. Pure.

A week begins on Monday. In each the reader gets one issue: that of the first of their days on which a paper fits. When
these days are over, any issue is taken, and when there was none on the last of them nor later in that week, the first
one of the next week. So an issue is late rather than skipped, and no change of days brings two in a week.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

# Days that a weekly issue covers at most. That is a pause of two weeks, up to six days before it, up to six until the
# reader's day, and an issue that is late. Older papers are no news; and to prepare one for picking takes 5 ms of CPU.
LONGEST: Final = timedelta(days=28)

_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Weekly:
    """A reader who wants one issue a week.

    `days` is a bit mask of weekdays (bit 0 is Monday; 0 for none), `joined` the day on which they came to the list, and
    `mails` are the days of the issues that they got, or will get, as far as that is known.
    """

    days: int
    joined: date
    mails: Collection[date] = ()

    def is_due(self, day: date, issues: Collection[date]) -> bool:
        """Whether the issue of `day` is theirs for this week; `issues` are the days of the list's other issues."""
        monday = day - timedelta(days=day.weekday())
        if self._had(monday):
            return False
        chosen = [weekday for weekday in range(7) if self.days >> weekday & 1]
        if not chosen:
            return False
        if day.weekday() in chosen or day.weekday() > max(chosen):
            return True
        last = monday - _WEEK + timedelta(days=max(chosen))
        late = self.joined <= last and not any(last <= each < day for each in issues)
        return day.weekday() < min(chosen) and late and not self._had(monday - _WEEK)

    def _had(self, monday: date) -> bool:
        return any(monday <= each < monday + _WEEK for each in self.mails)

    def since(self, day: date, known: date) -> date:
        """The papers of their issue of `day` are those that were listed after this day.

        It is the day of their last issue; without one, that on which they joined, and at least a week before. Nobody
        knows who was shown what was listed on `known` or before.
        """
        earlier = [each for each in self.mails if each < day]
        since = max(earlier, default=min(self.joined, day - _WEEK))
        return max(since, day - LONGEST, known)
