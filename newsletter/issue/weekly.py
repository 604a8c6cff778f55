"""When a reader who wants one issue a week gets it, and from which day on its papers are. Pure.

A week begins on Monday. In each the reader gets one issue: that of the first of their days on which a paper fits. When
these days are over, any issue is taken, and when there was none on the last of them nor later in that week, the first
one of the next week. So an issue is late rather than skipped, and no change of days brings two in a week. One that was
late for a week does not count for the next: a reader who chose Sunday, on which the list has no issue, gets one each
Monday. The first week is that in which the reader joined; an issue of the week before may be sent in it, and would soon
be followed by another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

# A weekly issue covers at most so many days: a pause of two weeks, up to six days before it, up to six until the
# reader's day, and an issue that is late. Older papers are not news, and each costs 5 ms of CPU to be prepared.
LONGEST: Final = timedelta(days=28)

_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)


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
        chosen = self._weekdays
        if not chosen or self._mails_of(_monday(day)) or _monday(day) < _monday(self.joined):
            return False
        if day.weekday() in chosen or day.weekday() > max(chosen):
            return True
        earlier = self._mails_of(_monday(day) - _WEEK)
        return self._is_late(day, issues) and all(self._is_late(mail, issues) for mail in earlier)

    @property
    def _weekdays(self) -> list[int]:
        return [weekday for weekday in range(7) if self.days >> weekday & 1]

    def _mails_of(self, monday: date) -> list[date]:
        return [mail for mail in self.mails if _monday(mail) == monday]

    def _is_late(self, day: date, issues: Collection[date]) -> bool:
        """Whether the issue of `day` stands for the week before, which had none on the last of the days nor later."""
        last = _monday(day) - _WEEK + timedelta(days=max(self._weekdays))
        is_first = not any(last <= each < day for each in issues)
        return day.weekday() < min(self._weekdays) and self.joined <= last and is_first

    def since(self, day: date, known: date, frozen: Mapping[date, datetime]) -> date:
        """The papers of their issue of `day` are those that were listed after this day.

        It is the day of their last issue; without one, that on which they joined, and at least a week before. `frozen`
        are the times at which the list's issues were: one of an earlier day that was made after their last issue is
        news to them as well. Nobody knows who was shown what was listed on `known` or before.
        """
        last = max((each for each in self.mails if each < day), default=None)
        if last is None:
            return max(min(self.joined, day - _WEEK), day - LONGEST, known)
        made_later = [each for each in frozen if each < last and frozen[each] > frozen[last] and each not in self.mails]
        return max(min([last, *(each - _DAY for each in made_later)]), day - LONGEST, known)


def _monday(day: date) -> date:
    """The first day of the week that `day` is in."""
    return day - timedelta(days=day.weekday())
