"""What is old is deleted, on both databases, and every question about the past has the answer it had."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from newsletter.model import (
    BouncePolicy,
    CopyReference,
    FrozenIssue,
    IssuePapers,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    ReportKind,
    Result,
    RunReport,
    State,
    SubscriberStatus,
    Verdict,
)
from newsletter.store import NewReport, Store, retention
from newsletter.store.schema import deliveries, issues, reports, runs
from tests.conftest import PUBLICATION, paper
from tests.desk import MONDAY, Desk, desk, entry
from tests.fakes import ACCEPTED, FakeClock

__all__ = ["desk"]

pytest_plugins = ["tests.postgres"]

DAY = date(2026, 8, 3)
BAD_ADDRESS = Outcome(OutcomeKind.REFUSED, 550, "5.1.1 no such user")


def issue(store: Store, day: date, **outcomes: Outcome) -> FrozenIssue:
    """The issue of `day`, sent to everyone; who is not named accepts."""
    rendered = RenderedIssue(day, f"Papers of {day}", "<p>", "text")
    made = store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24), papers=IssuePapers(shown=[paper(day.day)]))
    copies = store.claim(made.id, 10_000, resend_uncertain=1)
    store.turn([], copies)
    store.turn(
        [
            Result(copy, State.SENDING, outcomes.get(copy.address.partition("@")[0], ACCEPTED), made.frozen_at)
            for copy in copies
        ],
        [],
    )
    return made


def number(store: Store, table: Table) -> int:
    with store._db.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def prune(store: Store, **before: Any) -> int:
    nothing: dict[str, Any] = {"deliveries_before": None, "reports_before": None, "runs_before": None}
    return store.prune(**nothing | before)


def test_old_deliveries_become_counts_and_nothing_that_is_asked_changes(store: Store) -> None:
    store.add_all(["ada@example.org", "emmy@example.org", "kurt@example.org"], revive=False)
    old = issue(store, DAY, emmy=BAD_ADDRESS)
    new = issue(store, DAY + timedelta(days=1))
    unsent = issue(store, DAY - timedelta(days=1), ada=BAD_ADDRESS, emmy=BAD_ADDRESS, kurt=BAD_ADDRESS)
    asked = (
        lambda: [store.counts(each.id) for each in (old, new, unsent)],
        lambda: [each.day for each in store.archive()],
        lambda: [store.archived(each.rendered.day) for each in (old, new, unsent)],
        store.latest_sent,
        store.latest_issue,
        store.unfinished,
        lambda: store.shown([paper(DAY.day)]),
    )
    before = [question() for question in asked]
    assert prune(store, deliveries_before=new.rendered.day) == 6
    assert number(store, deliveries) == 3
    assert [question() for question in asked] == before
    assert store.counts(old.id)[State.ACCEPTED] == 2
    assert list(store.refusals(old.id)) == []
    assert prune(store, deliveries_before=new.rendered.day) == 0
    assert store.freeze(old.rendered, PUBLICATION, lifetime=timedelta(hours=1)) == old  # the day keeps its issue


def test_counts_are_right_between_two_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    store.add_all([f"r{n}@example.org" for n in range(7)], revive=False)
    old = issue(store, DAY, r0=BAD_ADDRESS, r5=BAD_ADDRESS)
    seen = []

    def stop() -> bool:
        counts = store.counts(old.id)
        seen.append((number(store, deliveries), counts[State.ACCEPTED], counts[State.REFUSED]))
        return len(seen) == 3

    before = {"deliveries_before": DAY + timedelta(days=1), "reports_before": None, "runs_before": None}
    assert store.prune(**before, stop=stop) == 4  # type: ignore[arg-type]
    assert seen[:3] == [(7, 5, 2), (5, 5, 2), (3, 5, 2)]
    assert prune(store, deliveries_before=DAY + timedelta(days=1)) == 3
    assert store.counts(old.id)[State.ACCEPTED] == 5


def test_a_run_deletes_no_more_than_it_may(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    monkeypatch.setattr(retention, "_MOST", 4)
    store.add_all([f"r{n}@example.org" for n in range(7)], revive=False)
    issue(store, DAY)
    assert [prune(store, deliveries_before=DAY + timedelta(days=1)) for _ in range(3)] == [4, 3, 0]


def test_what_may_still_be_sent_is_kept_however_old(store: Store) -> None:
    store.add_all(["ada@example.org", "emmy@example.org"], revive=False)
    old = issue(store, DAY, ada=Outcome(OutcomeKind.DEFERRED, 451, "later"))
    assert prune(store, deliveries_before=DAY + timedelta(days=1)) == 1
    assert prune(store, deliveries_before=DAY + timedelta(days=1)) == 0
    assert [copy.address for copy in store.claim(old.id, 9, resend_uncertain=1)] == ["ada@example.org"]


def test_the_runs_since_the_last_issue_are_kept_however_old(store: Store, clock: FakeClock) -> None:
    store.add("ada@example.org")
    issue(store, DAY)
    for verdict, day in (
        (Verdict.NEW_ISSUE, DAY),
        (Verdict.FEED_FAILED, DAY + timedelta(days=1)),
        (Verdict.SEND_FAILED, None),
        (Verdict.FEED_FAILED, DAY + timedelta(days=2)),
    ):
        store.record_run(RunReport(verdict, "so it was", day), clock.now())
        clock.move(days=1)
    clock.move(days=100)
    assert store.days_without_issue() == 2
    assert prune(store, runs_before=clock.now(), deliveries_before=DAY + timedelta(days=50)) == 3
    assert store.days_without_issue() == 2
    assert [run.verdict for run in store.runs(9)] == [Verdict.FEED_FAILED] * 2


def test_runs_without_any_issue_are_all_kept(store: Store, clock: FakeClock) -> None:
    store.record_run(RunReport(Verdict.FEED_FAILED, "no answer", DAY), clock.now())
    clock.move(days=100)
    assert prune(store, runs_before=clock.now()) == 0
    assert number(store, runs) == 1


def test_reports_that_are_old_are_deleted(store: Store, clock: FakeClock) -> None:
    store.add("ada@example.org")
    found = store.find("ada@example.org")
    assert found is not None
    for digest in "ab":
        report = NewReport(digest, ReportKind.TEMPORARY, CopyReference(found.ref), "4.4.1", "no answer")
        assert store.record_report(report, lambda strikes: None) is None
        clock.move(days=50)
    assert prune(store, reports_before=clock.now() - timedelta(days=90)) == 1
    assert number(store, reports) == 1
    assert (store.has_report("a"), store.has_report("b")) == (False, True)


def test_readers_refused_within_the_window_are_still_found(store: Store) -> None:
    """The window of `bounces.policy.soft_days` lies behind what is pruned."""
    store.add_all(["ada@example.org", "emmy@example.org"], revive=False)
    days = [DAY + timedelta(days=n) for n in (-40, 0, 1, 2)]
    issues = [issue(store, day, ada=BAD_ADDRESS) for day in days]
    assert prune(store, deliveries_before=DAY - timedelta(days=14)) == 2
    assert store.suppress_refused(issues[-1].id, BouncePolicy(soft=3, soft_days=14)).done == 1
    found = store.find("ada@example.org")
    assert found is not None
    assert found.status is SubscriberStatus.SUPPRESSED


def test_an_issue_of_which_only_counts_are_left_is_not_made_anew(store: Store) -> None:
    store.add("ada@example.org")
    old = issue(store, DAY)
    assert prune(store, deliveries_before=DAY + timedelta(days=1)) == 1
    assert store.may_have_arrived(old.id) == 1
    again = store.freeze(old.rendered, PUBLICATION, lifetime=timedelta(hours=24), replaces=old.id)
    assert again == old


def test_an_issue_that_nobody_got_can_be_made_anew_after_pruning(store: Store) -> None:
    store.add("ada@example.org")
    old = issue(store, DAY, ada=BAD_ADDRESS)
    assert prune(store, deliveries_before=DAY + timedelta(days=1)) == 1
    again = store.freeze(old.rendered, PUBLICATION, lifetime=timedelta(hours=24), replaces=old.id)
    assert {state: number for state, number in store.counts(again.id).items() if number} == {State.PENDING: 1}


# --- what a run deletes ----------------------------------------------------------------------------------------------


def days_left(desk: Desk) -> set[date]:
    """The days of the issues whose copies are still kept."""
    with Store.open(desk.config.store) as store, store._db.read() as connection:
        query = select(issues.c.day).join(deliveries, deliveries.c.issue_id == issues.c.id)
        return set(connection.execute(query).scalars())


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ("", 90),
        ("retention:\n  deliveries: 30\n", 30),
        ("retention:\n  deliveries: 1\n", 16),  # in whose last 14 days failures are still counted
        ("retention:\n  deliveries: 0\n", None),
    ],
)
def test_a_run_deletes_what_is_older_than_the_configuration_says(desk: Desk, more: str, kept: int | None) -> None:
    desk.configure(more)
    days = [MONDAY + timedelta(days=n) for n in (0, 1)]
    for number, day in enumerate(days):
        desk.publish(day, entry(number))
        assert desk.run(day).verdict is Verdict.NEW_ISSUE
    for wait in (0, 14, 15, 16, 28, 29, 30, 88, 89, 90, 120):
        desk.send(datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(days=wait))
        today = MONDAY + timedelta(days=1 + wait)
        expected = {day for day in days if kept is None or today - day < timedelta(days=kept)}
        assert days_left(desk) == expected
    with Store.open(desk.config.store) as store:
        assert [each.day for each in store.archive()] == days[::-1]
    assert desk.warnings == []
