"""What an operator wants to see of the last weeks, gathered from the store and grouped. It names no reader.

Store -> Facts -> page.py (HTML), alert/summary.py (mail)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from newsletter.bounces import redacted
from newsletter.model import OWED, State, SubscriberStatus
from newsletter.store import Departure, FeedFault, IssueFate, RunRecord, ServerWords, Store
from newsletter.text import one_line

_WORDS: Final = 160  # characters of a server's words that are shown

# Why somebody is not on the list any more: the status, the beginning of the recorded reason, and how it is told. The
# first row that fits counts.
WHY: Final[Sequence[tuple[SubscriberStatus, str, str]]] = (
    (SubscriberStatus.FORGOTTEN, "", "erased on request"),
    (SubscriberStatus.UNSUBSCRIBED, "change of address undone", "change of address undone"),
    (SubscriberStatus.UNSUBSCRIBED, "", "unsubscribed"),
    (SubscriberStatus.SUPPRESSED, "complaint", "reported the mail as spam"),
    (SubscriberStatus.SUPPRESSED, "temporary", "mailbox full or away for weeks"),
    (SubscriberStatus.SUPPRESSED, "permanent", "mails came back: the address does not exist"),
    (SubscriberStatus.SUPPRESSED, "refused", "the server refused the address"),
    (SubscriberStatus.SUPPRESSED, "suppressed by the operator", "suppressed by you"),
    (SubscriberStatus.SUPPRESSED, "", "suppressed for another reason"),
)

# The states of copies as the report groups them, in the order of its charts.
FATES: Final[Sequence[tuple[str, frozenset[State]]]] = (
    ("accepted", frozenset({State.ACCEPTED})),
    ("owed", OWED | {State.SENDING}),
    ("uncertain", frozenset({State.UNCERTAIN})),
    ("refused", frozenset({State.REFUSED})),
    ("withdrawn", frozenset({State.WITHDRAWN})),
    ("expired", frozenset({State.EXPIRED})),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many readers were active on a day; `counted` on that day, or worked out later."""

    day: date
    active: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Fate:
    """An issue, its copies by the names of FATES, how fast it was sent at best (copies a minute), and why it waits."""

    day: date
    subject: str
    copies: dict[str, int]
    per_minute: int | None
    note: str

    @property
    def all(self) -> int:
        """All copies."""
        return sum(self.copies.values())


@dataclass(frozen=True, slots=True)
class Refusals:
    """What one provider's server said of copies, how often, and whether while sending or in a mail that came back."""

    provider: str
    words: str
    returned: bool
    times: int


@dataclass(frozen=True, slots=True)
class FeedTrouble:
    """A feed that had faults: on which days, latest first, and what was said of it last."""

    feed: str
    days: tuple[date, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The last `days` days up to `until`, oldest size first, latest issue and run first."""

    days: int
    until: date
    sizes: tuple[Size, ...]
    fates: tuple[Fate, ...]
    left: tuple[tuple[str, int], ...]
    refusals: tuple[Refusals, ...]
    feeds: tuple[FeedTrouble, ...]
    runs: tuple[RunRecord, ...]


def gather(store: Store, now: datetime, days: int) -> Facts:
    """The facts of the last `days` days up to `now` (UTC)."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days - 1)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    every = [first + timedelta(days=number) for number in range(days)]
    runs = store.runs_since(midnight)
    return Facts(
        days,
        today,
        sizes(store.list_sizes(every)),
        fates(store.fates(first), runs),
        left(store.departures(midnight)),
        refusals(store.server_words(first)),
        feeds(store.feed_faults(first)),
        tuple(replace(run, explanation=redacted(run.explanation)) for run in runs),
    )


def sizes(found: Iterable[tuple[date, int, bool]]) -> tuple[Size, ...]:
    """The sizes from the first day on which there was a reader."""
    every = [Size(*each) for each in found]
    first = next((number for number, size in enumerate(every) if size.active or size.counted), len(every))
    return tuple(every[first:])


def fates(issues: Iterable[IssueFate], runs: Sequence[RunRecord]) -> tuple[Fate, ...]:
    """The issues with their copies grouped and the best rate of the runs for their day."""
    best: dict[date, int] = {}
    for run in runs:
        if run.day is not None and run.rate is not None and (rate := run.rate.per_minute) is not None:
            best[run.day] = max(rate, best.get(run.day, 0))
    return tuple(
        Fate(
            issue.day,
            issue.subject,
            {name: sum(issue.counts.get(state, 0) for state in states) for name, states in FATES},
            best.get(issue.day),
            _note(issue),
        )
        for issue in issues
    )


def _note(issue: IssueFate) -> str:
    if issue.withdrawn_at is not None:
        return f"withdrawn {issue.withdrawn_at:%Y-%m-%d}"
    return f"paused: {shown(issue.paused)}" if issue.paused else ""


def left(departures: Iterable[Departure]) -> tuple[tuple[str, int], ...]:
    """Why readers left, and how many for each reason, the most frequent first."""
    return tuple(Counter(why(each.status, each.reason) for each in departures).most_common())


def why(status: SubscriberStatus, reason: str) -> str:
    """Why a reader is not on the list, by WHY."""
    return next(told for which, begins, told in WHY if which is status and reason.startswith(begins))


def refusals(found: Iterable[ServerWords]) -> tuple[Refusals, ...]:
    """What servers said, with what names a reader or a single message taken out, so that equal words count together."""
    counted: Counter[tuple[str, str, bool]] = Counter()
    for each in found:
        counted[each.domain or "(forgotten)", shown(f"{each.code} {each.words}"), each.returned] += each.times
    return tuple(Refusals(*key, times) for key, times in counted.most_common())


_TOKEN: Final = re.compile(r"(?<![\w.])(?=[\w.-]*\d)(?=[\w.-]*[A-Za-z])[\w-]{8,}(?:\.[\w-]+)*(?![\w.])")


def shown(words: str) -> str:
    """Words of a server in one line, without addresses, and without what names one message, such as its queue id."""
    line = _TOKEN.sub("…", redacted(one_line(words))).strip()
    return line if len(line) <= _WORDS else f"{line[: _WORDS - 1]}…"


def feeds(faults: Iterable[FeedFault]) -> tuple[FeedTrouble, ...]:
    """The faults by feed, the feed with the most first."""
    found: dict[str, list[FeedFault]] = {}
    for fault in faults:
        found.setdefault(fault.feed, []).append(fault)
    troubles = [
        FeedTrouble(feed, tuple(each.day for each in every), one_line(every[0].words)) for feed, every in found.items()
    ]
    return tuple(sorted(troubles, key=lambda trouble: -len(trouble.days)))


_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(numbers: Sequence[int]) -> str:
    """A line of bars as high as the numbers, from the least to the greatest."""
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    return "".join(_BARS[(number - low) * (len(_BARS) - 1) // span] if span else _BARS[3] for number in numbers)
