"""The mail after an issue, for operators who want to see each one: `alerts.summary`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from typing import Final

from newsletter.config import Config
from newsletter.mail.letter import new_letter, set_body
from newsletter.mail.message import header_text
from newsletter.model import FrozenIssue, RunReport, State, Verdict
from newsletter.report.facts import feeds, left, shown, sparkline
from newsletter.store import SUMMARY, Notice, Store
from newsletter.text import count

_WEEKS: Final = 8
_KINDS: Final = 8  # kinds of refusals that the mail lists

# Verdicts after which an issue has gone out, as far as it can for now.
_GONE_OUT: Final = frozenset(
    {Verdict.NEW_ISSUE, Verdict.STILL_OWED, Verdict.PARTLY_EXPIRED, Verdict.PAUSED, Verdict.SEND_FAILED}
)


def due(config: Config, store: Store, report: RunReport, now: datetime) -> EmailMessage | None:
    """The mail about the issue of `report`, once for each issue; None if there is nothing to tell or it was told."""
    if not config.alerts.summary or config.alerts.address is None or report.verdict not in _GONE_OUT:
        return None
    issue = store.issue(report.day) if report.day is not None else store.latest_issue()
    if issue is None or not store.counts(issue.id)[State.ACCEPTED]:
        return None
    if not store.add_notice(Notice(SUMMARY, issue.rendered.day, "", "")):
        return None
    counts = store.counts(issue.id)
    copies = sum(counts.values())
    day = issue.rendered.day
    reached = f"{counts[State.ACCEPTED]:,} of {count_of(copies)}"
    subject = f"{header_text(config.publication.title)}: {_day(day)} went to {reached}"
    letter = new_letter(config.publication, config.alerts.address, subject, now)
    set_body(letter, "\n".join(lines(issue, store, now)) + "\n")
    return letter


def count_of(copies: int) -> str:
    """``1 reader``, ``1,204 readers``."""
    return f"{copies:,} {'reader' if copies == 1 else 'readers'}"


def lines(issue: FrozenIssue, store: Store, now: datetime) -> Iterator[str]:
    """The text of the mail. It names no reader."""
    day, counts = issue.rendered.day, store.counts(issue.id)
    yield f"Issue of {day:%A}, {_day(day)} {day.year}"
    yield issue.rendered.subject
    yield ""
    width = max(len(f"{number:,}") for number in counts.values())
    for state in State:
        if counts[state]:
            yield f"  {state:<10} {counts[state]:>{width},}"
    yield from _refused(issue, store)
    if issue.paused:
        yield f"  paused: {shown(issue.paused)}"
    yield ""
    before = store.latest_issue(before=day)
    since = before.frozen_at if before else issue.frozen_at
    gone = left(store.departures(since))
    yield f"Left since {_day(since)}: {sum(number for _, number in gone) or 'nobody'}"
    yield from (f"  {number:,} {why}" for why, number in gone)
    back = Counter(
        {words.code or "no code": words.times for words in store.server_words(since.date()) if words.returned}
    )
    yield f"Came back since {_day(since)}: {count(back.total(), 'mail') if back else 'nothing'}"
    yield from _troubles(issue, store)
    yield ""
    yield from subscribers(store, now)
    yield ""
    yield "`newsletter status` shows more, `newsletter report` draws it."


def _refused(issue: FrozenIssue, store: Store) -> Iterator[str]:
    """What servers said of the copies that they did not take, the most frequent words first."""
    said = Counter(
        (row.address.rpartition("@")[2] or "(forgotten)", shown(f"{row.code or ''} {row.text or 'no answer'}"))
        for row in store.refusals(issue.id)
        if row.state in (State.REFUSED, State.DEFERRED, State.UNCERTAIN)
    )
    if said:
        yield ""
        yield "Not accepted, in the words of the servers:"
    for (domain, words), times in said.most_common(_KINDS):
        yield f"  {times:,} at {domain}: {words}"
    if len(said) > _KINDS:
        yield f"  and {len(said) - _KINDS} more kinds of answers"


def _troubles(issue: FrozenIssue, store: Store) -> Iterator[str]:
    for trouble in feeds(each for each in store.feed_faults(issue.rendered.day) if each.day == issue.rendered.day):
        yield f"Feed with a fault: {trouble.feed}: {trouble.words}"


def subscribers(store: Store, now: datetime) -> Iterator[str]:
    """The size of the list over the last weeks: in numbers, and as a line of bars."""
    today = now.astimezone(UTC).date()
    days = [today - timedelta(weeks=weeks) for weeks in reversed(range(_WEEKS + 1))]
    sizes = [(day, active) for day, active, _ in store.list_sizes(days)]
    while len(sizes) > 1 and not sizes[0][1]:
        sizes.pop(0)
    numbers = [active for _, active in sizes]
    grown = numbers[-1] - numbers[0]
    change = f", {abs(grown):,} {'more' if grown > 0 else 'fewer'} than on {_day(sizes[0][0])}" if grown else ""
    yield f"Subscribers: {numbers[-1]:,}{change}"
    if len(numbers) > 1:
        yield f"  week by week: {', '.join(f'{number:,}' for number in numbers)}"
        yield f"  {sparkline(numbers)}"


def _day(day: date) -> str:
    """``7 October``."""
    return f"{day.day} {day:%B}"
