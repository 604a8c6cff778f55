"""Whether a list is well: `status --check`. The facts come from the store, and the rules are one table.

Store -> facts -> Facts -> findings (pure, by RULES) -> exit code and one line
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from newsletter.errors import StoreOutdated
from newsletter.model import OWED, VERDICT_EXIT, FrozenIssue, State, Verdict
from newsletter.store import FeedFault, RunRecord, Store
from newsletter.text import count

WITHIN: Final = 26.0  # hours in which a daily run is expected: a day, and two hours for summer time and a slow start

_OWED_FOR: Final = timedelta(hours=4)  # after its freeze an issue still owes copies that could go now
_FEED_DAYS: Final = 2  # issues in a row of which a feed had a fault


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at. Times are UTC.

    `last` is the last run for a day, `latest` the last run of any kind; None if there was none. `owed` are copies that
    could go now, of issues that were frozen at `owed_since`; `uncertain` copies wait for the operator. `feeds` maps
    each feed that had a fault in the latest issue to the number of issues in a row in which it had one.
    """

    now: datetime
    within: timedelta
    last: RunRecord | None = None
    latest: RunRecord | None = None
    witness: str = ""
    paused: str = ""
    owed: int = 0
    owed_since: datetime | None = None
    uncertain: int = 0
    sending: bool = False
    held: int = 0
    days_without: int = 0
    alert_after: int = 3
    feeds: tuple[tuple[str, int], ...] = ()
    accepted: int = 0
    copies: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not well: the name of its rule, what is wrong in one line, and the exit code."""

    rule: str
    words: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name, what it says in the documentation, its exit code, and what it finds, empty if all is well."""

    name: str
    doc: str
    exit_code: int
    judge: Callable[[Facts], str]


def _never(facts: Facts) -> str:
    return "" if facts.last else "nothing has run yet: is there a schedule?"


def _silent(facts: Facts) -> str:
    if facts.last is None or facts.sending:
        return ""
    age = facts.now - facts.last.ended_at
    if age <= facts.within:
        return ""
    return f"no run for {hours(age)}, and one is expected within {hours(facts.within)}"


def _owed_too_long(facts: Facts) -> str:
    if not facts.owed or facts.sending or facts.owed_since is None or facts.now - facts.owed_since <= _OWED_FOR:
        return ""
    return f"{count(facts.owed, 'copy', 'copies')} could go and did not for {hours(facts.now - facts.owed_since)}"


# How a run may end that a later one, or somebody, has to put right. `paused` and copies that are owed have rules of
# their own.
_FAILED: Final = frozenset(verdict for verdict, code in VERDICT_EXIT.items() if code) - {
    Verdict.STILL_OWED,
    Verdict.PAUSED,
}


def _failed(facts: Facts) -> str:
    """The last run, of all or for a day, that failed for a reason that needs somebody."""
    return _ended(run for run in _failures(facts) if run.exit_code != os.EX_TEMPFAIL)


def _failing(facts: Facts) -> str:
    """The last run, of all or for a day, that failed for a reason that may pass by itself."""
    return _ended(run for run in _failures(facts) if run.exit_code == os.EX_TEMPFAIL)


def _failures(facts: Facts) -> Iterator[RunRecord]:
    return (run for run in (facts.latest, facts.last) if run and run.verdict in _FAILED and run.exit_code)


def _ended(runs: Iterator[RunRecord]) -> str:
    """How the first of these runs ended; empty if there is none."""
    run = next(runs, None)
    if run is None:
        return ""
    return f"the last run{f' for {run.day}' if run.day else ''} ended with {run.verdict}: {run.explanation}"


def _without_issue(facts: Facts) -> str:
    if facts.days_without < facts.alert_after:
        return ""
    return f"no issue went out on the last {facts.days_without} days with a run (alerts.after)"


def _feeds(facts: Facts) -> str:
    failing = [f"{feed} ({count(times, 'issue')})" for feed, times in facts.feeds if times >= _FEED_DAYS]
    return f"feeds with faults in a row: {', '.join(failing)}" if failing else ""


# The most urgent first: the first finding is the line that is printed, and gives the exit code.
RULES: Final[Sequence[Rule]] = (
    Rule(
        "witness",
        "the store is older than what was sent, so that nothing is sent from it",
        1,
        lambda facts: facts.witness,
    ),
    Rule("paused", "an issue is paused and waits for `newsletter send --resume`", 1, lambda facts: facts.paused),
    Rule("never-ran", "there was no run for a day yet", 1, _never),
    Rule("no-run", "the last run for a day is older than 26 hours, or `--within`, and nobody is sending", 1, _silent),
    Rule("failed", "the last run failed with another exit code than 75", 1, _failed),
    Rule("no-issue", "`alerts.after` days had a run and no issue", 1, _without_issue),
    Rule("failing", "the last run failed with exit code 75, which may pass", os.EX_TEMPFAIL, _failing),
    Rule(
        "owed",
        "copies that could go are owed for 4 hours since the issue was made, and nobody is sending",
        os.EX_TEMPFAIL,
        _owed_too_long,
    ),
    Rule(
        "uncertain",
        "copies may or may not have arrived, and wait for `newsletter send --retry-uncertain`",
        1,
        lambda facts: (
            f"{count(facts.uncertain, 'copy is', 'copies are')} uncertain: see `newsletter send --retry-uncertain`"
            if facts.uncertain and not facts.sending
            else ""
        ),
    ),
    Rule(
        "held",
        "suppressions wait for `newsletter bounces --confirm` or `--discard`",
        1,
        lambda facts: (
            f"the suppression of {count(facts.held, 'reader')} waits: see `newsletter bounces --confirm`"
            if facts.held
            else ""
        ),
    ),
    Rule("feeds", "a feed had a fault in each of the last two issues, or more", os.EX_TEMPFAIL, _feeds),
)


def findings(facts: Facts) -> list[Finding]:
    """All that is not well, by RULES, the most urgent first."""
    return [Finding(rule.name, said, rule.exit_code) for rule in RULES if (said := rule.judge(facts))]


def well(facts: Facts) -> str:
    """What there is to say when nothing was found."""
    if facts.last is None:
        return "nothing has run yet"
    told = f"the last run was {hours(facts.now - facts.last.ended_at)} ago ({facts.last.verdict})"
    return f"{told}, {facts.accepted} of {count(facts.copies, 'copy', 'copies')} accepted" if facts.copies else told


def hours(span: timedelta) -> str:
    """``40 minutes``, ``26 hours``, ``3 days``."""
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 120:
        return count(minutes, "minute")
    return count(round(minutes / 60), "hour") if minutes < 72 * 60 else f"{minutes / 1440:.0f} days"


def gather(store: Store, now: datetime, *, within: float, alert_after: int) -> Facts:
    """The facts at `now` (UTC); a run is expected `within` hours. Raises StoreError."""
    unfinished = store.unfinished()
    counts = {issue.id: store.counts(issue.id) for issue in unfinished}
    latest = store.latest_issue()
    of_latest = store.counts(latest.id) if latest else {}
    owing = [issue for issue in unfinished if _owed_now(store, issue, counts[issue.id], now)]
    runs = store.runs(1)
    return Facts(
        now,
        timedelta(hours=within),
        store.last_daily_run(),
        runs[0] if runs else None,
        _witness(store),
        next((f"the issue of {each.rendered.day} is paused: {each.paused}" for each in unfinished if each.paused), ""),
        sum(_owed(counts[issue.id]) for issue in owing),
        min((issue.frozen_at for issue in owing), default=None),
        sum(counts[issue.id].get(State.UNCERTAIN, 0) for issue in unfinished if issue.expires_at > now),
        bool(store.active_senders()),
        sum(held.readers for held in store.held_suppressions()),
        store.days_without_issue(),
        alert_after,
        in_a_row(store.feed_faults((now - timedelta(days=31)).astimezone(UTC).date()), _days(store, now)),
        of_latest.get(State.ACCEPTED, 0),
        sum(of_latest.values()),
    )


def _owed(counts: dict[State, int]) -> int:
    return sum(counts.get(state, 0) for state in OWED)


def _owed_now(store: Store, issue: FrozenIssue, counts: dict[State, int], now: datetime) -> bool:
    """Whether copies of an issue could go now: not all of them are put off until later, and it is not paused."""
    if issue.paused or not _owed(counts):
        return False
    due = store.next_due(issue.id)
    return counts.get(State.DEFERRED, 0) < _owed(counts) or due is None or due <= now


def _witness(store: Store) -> str:
    try:
        store.check_provenance()
    except StoreOutdated as error:
        return str(error)
    return ""


def _days(store: Store, now: datetime) -> list[date]:
    """The days that runs of the last month were for, latest first, without those on which nothing was asked."""
    runs = store.runs_since(now - timedelta(days=31))
    asked = {run.day for run in runs if run.day is not None and run.verdict is not Verdict.WEEKEND}
    return sorted(asked, reverse=True)


def in_a_row(faults: Sequence[FeedFault], days: Sequence[date]) -> tuple[tuple[str, int], ...]:
    """For each feed with a fault on the latest of `days`, on how many of `days` in a row it had one."""
    had = {(fault.feed, fault.day) for fault in faults}
    found = []
    for feed in dict.fromkeys(fault.feed for fault in faults):
        times = next((number for number, day in enumerate(days) if (feed, day) not in had), len(days))
        if times:
            found.append((feed, times))
    return tuple(found)
