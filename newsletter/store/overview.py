"""What the store knows over weeks, for the operator's report and `status --check`. No reader's address leaves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import and_, case, delete, func, or_, select

from newsletter.model import State, SubscriberStatus
from newsletter.store.database import Part
from newsletter.store.schema import (
    deliveries,
    delivery_counts,
    feed_faults,
    issues,
    list_sizes,
    renderings,
    reports,
    storable,
    store_identity,
    subscribers,
)

_LEFT: Final = (SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED, SubscriberStatus.FORGOTTEN)
_REPLIES: Final = 20_000  # copies that were not accepted whose replies are read at most

# Copies that a server did not take: those that are refused for good, and those that it has put off.
_NOT_TAKEN: Final = (State.REFUSED, State.DEFERRED)

_REACHABLE: Final = select(store_identity.c.id)


@dataclass(frozen=True, slots=True)
class IssueFate:
    """An issue and how many of its copies are in each state, with why it is paused and when it was withdrawn (UTC)."""

    day: date
    subject: str
    frozen_at: datetime
    paused: str | None
    withdrawn_at: datetime | None
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class FeedFault:
    """What was wrong with a feed when the issue of `day` was made; `at` is UTC."""

    day: date
    feed: str
    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Departure:
    """A reader who is no longer on the list: when (UTC), how, and the reason that was recorded."""

    at: datetime
    status: SubscriberStatus
    reason: str


@dataclass(frozen=True, slots=True)
class ServerWords:
    """What a provider's server said of a copy: the domain of the recipient, its words, and how often.

    `returned` tells a mail that came back from a reply while sending. The words may still hold addresses.
    """

    domain: str
    code: str
    words: str
    returned: bool
    times: int


class Overview(Part):
    """The part of the store that looks back over weeks."""

    def reachable(self) -> None:
        """Read one small row. Raises StoreError if the database cannot be read."""
        with self._db.read() as connection:
            connection.execute(_REACHABLE)

    def clear_feed_faults(self, day: date) -> None:
        """Forget what a run said of feeds before it asks them again for the issue of `day`."""
        with self._db.read() as connection:
            some = connection.execute(select(feed_faults.c.day).where(feed_faults.c.day == day).limit(1)).first()
        if some:
            with self._db.write() as connection:
                connection.execute(delete(feed_faults).where(feed_faults.c.day == day))

    def note_feed_fault(self, day: date, feed: str, words: str) -> None:
        """Keep what was wrong with a feed as the issue of `day` was made, in place of what a run said before."""
        values = {"day": day, "feed": storable(feed, 200), "at": self._now(), "words": storable(words)}
        statement = self._db.insert(feed_faults)
        newer = {"at": statement.excluded.at, "words": statement.excluded.words}
        with self._db.write() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=[feed_faults.c.day, feed_faults.c.feed], set_=newer),
                values,
            )

    def feed_faults(self, since: date) -> list[FeedFault]:
        """What was wrong with feeds on the days from `since` on, latest first."""
        columns = (feed_faults.c.day, feed_faults.c.feed, feed_faults.c.at, feed_faults.c.words)
        query = (
            select(*columns).where(feed_faults.c.day >= since).order_by(feed_faults.c.day.desc(), feed_faults.c.feed)
        )
        with self._db.read() as connection:
            return [FeedFault(*row) for row in connection.execute(query)]

    def fates(self, since: date) -> list[IssueFate]:
        """The issues of the days from `since` on, newest first, with the fates of their copies."""
        which = issues.c.day >= since
        counts: dict[int, Counter[State]] = {}
        live = select(deliveries.c.issue_id, deliveries.c.state, func.count()).join_from(deliveries, issues)
        pruned = select(delivery_counts.c.issue_id, delivery_counts.c.state, delivery_counts.c.copies)
        columns = (issues.c.id, issues.c.day, renderings.c.subject, issues.c.frozen_at, issues.c.paused)
        heads = select(*columns, issues.c.withdrawn_at).join_from(issues, renderings).where(which)
        with self._db.read() as connection:
            for query in (
                live.where(which).group_by(deliveries.c.issue_id, deliveries.c.state),
                pruned.join_from(delivery_counts, issues).where(which),
            ):
                for issue, state, number in connection.execute(query):
                    counts.setdefault(issue, Counter())[state] += number
            rows = connection.execute(heads.order_by(issues.c.day.desc())).all()
        return [IssueFate(*row[1:6], {state: counts.get(row[0], Counter())[state] for state in State}) for row in rows]

    def list_sizes(self, days: Sequence[date]) -> list[tuple[date, int, bool]]:
        """How many readers were active on each of `days` (by UTC), and whether it was counted on that day.

        The days before the store counted are worked out from when readers joined and left. Whoever came back in the
        meantime counts there as if they had stayed.
        """
        with self._db.read() as connection:
            counted: dict[date, int] = {
                row.day: row.active for row in connection.execute(select(list_sizes).where(list_sizes.c.day.in_(days)))
            }
            guessed = {} if all(day in counted for day in days) else self._sizes(connection, days)
        return [(day, counted[day], True) if day in counted else (day, guessed[day], False) for day in days]

    @staticmethod
    def _sizes(connection: Any, days: Sequence[date]) -> dict[date, int]:
        """The sizes of the list by the dates in its rows."""
        left = subscribers.c.status.in_(_LEFT)
        here = or_(subscribers.c.status == SubscriberStatus.ACTIVE, left)
        joined = func.date(subscribers.c.created_at)
        gone = case((left, func.date(subscribers.c.status_at)))
        stays = select(joined.label("came"), gone.label("went")).where(here).subquery()
        query = select(stays.c.came, stays.c.went, func.count()).group_by(stays.c.came, stays.c.went)
        rows = [(_day(row[0]), row[1] and _day(row[1]), row[2]) for row in connection.execute(query)]
        return {
            day: sum(number for came, went, number in rows if came <= day and (went is None or went > day))
            for day in days
        }

    def departures(self, since: datetime) -> list[Departure]:
        """The readers who left at `since` (UTC) or later and are still away, latest first."""
        columns = (subscribers.c.status_at, subscribers.c.status, subscribers.c.reason)
        query = select(*columns).where(
            subscribers.c.status.in_(_LEFT), subscribers.c.status_at >= since, subscribers.c.moved_to.is_(None)
        )
        with self._db.read() as connection:
            return [Departure(*row) for row in connection.execute(query.order_by(subscribers.c.status_at.desc()))]

    def server_words(self, since: date) -> list[ServerWords]:
        """What servers said of copies that they did not take or sent back, of issues from `since` on, most often first.

        Of each kind at most 20,000 are read.
        """
        tried = select(deliveries.c.address, deliveries.c.reply_code, deliveries.c.reply_text).join_from(
            deliveries, issues
        )
        refused = tried.where(issues.c.day >= since, deliveries.c.state.in_(_NOT_TAKEN)).limit(_REPLIES)
        known = and_(reports.c.words != "", reports.c.read_at >= _midnight(since, self._now()))
        returned = (
            select(subscribers.c.address, reports.c.status, reports.c.words)
            .join_from(reports, subscribers)
            .where(known, reports.c.kind.in_(("permanent", "temporary", "complaint")))
            .limit(_REPLIES)
        )
        found: Counter[tuple[str, str, str, bool]] = Counter()
        with self._db.read() as connection:
            for address, code, words in connection.execute(refused):
                found[_domain(address), str(code or ""), words or "no answer", False] += 1
            for address, status, words in connection.execute(returned):
                found[_domain(address), status, words, True] += 1
        return [ServerWords(*key, times) for key, times in found.most_common()]


def _midnight(day: date, now: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=now.tzinfo)


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _day(value: Any) -> date:
    """What `date()` gave: text in SQLite, a date in PostgreSQL."""
    return value if isinstance(value, date) else date.fromisoformat(str(value))
