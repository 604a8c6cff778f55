"""A server that speaks of the sender: nobody is charged, it rests, and another server takes over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.model import RunReport, State, SubscriberStatus, Verdict
from newsletter.store import Store
from tests.desk import MONDAY, Desk, entry
from tests.inbox import Inbox
from tests.smtpd import Limit, Script, Smtpd, smtpd

MORNING = datetime(2026, 11, 23, 7, tzinfo=UTC)
READERS = tuple(f"r{n}@example.org" for n in range(30))

# One wording of each kind that providers use; tests/data/replies.tsv has more.
WORDINGS = (
    "550 5.4.5 Daily user sending limit exceeded.",
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    "550 Domain example.org has exceeded the max emails per hour (20/20 (100%)) allowed. Message discarded.",
    "552 Message would take you over your relay quota of 20 Current quota used: 20",
    "450 4.7.1 Number messages per hour exceeded",
    "454 Throttling failure: Daily message quota exceeded",
    "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.example",
    "554 5.7.1 <r@example.org>: Relay access denied",
    "550 5.1.0 <digest@news.example.org> sender rejected",
)


# Every wording at the dot, and one at each other stage.
CASES = [*((words, "dot") for words in WORDINGS), *((WORDINGS[0], stage) for stage in ("MAIL", "RCPT", "DATA"))]


class Site:
    """A newsletter with thirty readers and one or two mail servers, the first with a limit."""

    def __init__(self, folder: Path, stack: ExitStack, *servers: Smtpd, more: str = "") -> None:
        self.desk = Desk(folder, stack.enter_context(Inbox()), readers=READERS)
        self.servers = servers
        self.desk.publish(MONDAY, entry(1))
        self.desk.configure(more)
        config = folder / "config.yaml"
        ports = json.dumps([{"host": "127.0.0.1", "port": server.port, "connections": 1} for server in servers])
        head, _, rest = config.read_text("utf-8").partition("smtp:\n")
        config.write_text(f"{head}smtp: {ports}\n{rest.partition('port:')[2].partition(chr(10))[2]}", "utf-8")

    def run(self, at: datetime = MORNING) -> RunReport:
        return self.desk.run(MONDAY, at=at)

    def send(self, at: datetime, **how: bool) -> RunReport:
        return self.desk.send(at, **how)

    @property
    def received(self) -> int:
        return sum(len(server.messages) for server in self.servers)

    def rows(self) -> dict[State, int]:
        with Store.open(self.desk.config.store) as store:
            issue = store.issue(MONDAY)
            assert issue is not None
            return {state: number for state, number in store.counts(issue.id).items() if number}

    def active(self) -> int:
        with Store.open(self.desk.config.store) as store:
            return store.count_subscribers()[SubscriberStatus.ACTIVE]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def limited(stack: ExitStack, words: str, stage: str, most: int = 20) -> Smtpd:
    return stack.enter_context(smtpd(Script(limit=Limit(most, stage, words))))


@pytest.mark.parametrize(("words", "stage"), CASES)
def test_twenty_are_accepted_ten_stay_owed_and_are_sent_later(
    tmp_path: Path, stack: ExitStack, words: str, stage: str
) -> None:
    server = limited(stack, words, stage)
    site = Site(tmp_path, stack, server)
    report = site.run()
    assert (report.verdict, report.exit) == (Verdict.SEND_FAILED, 75)
    assert words in report.explanation
    assert "10 copies still owed" in report.explanation
    rows = site.rows()
    assert rows.pop(State.ACCEPTED) == site.received == 20
    assert set(rows) <= {State.PENDING, State.DEFERRED}
    assert sum(rows.values()) == 10
    server.script.limit = None
    assert site.send(MORNING + timedelta(hours=2)).exit == 0
    assert site.rows() == {State.ACCEPTED: 30}
    assert site.received == 30
    assert site.active() == 30


@pytest.mark.parametrize(("words", "stage"), CASES)
def test_a_second_server_takes_over_in_the_same_run(tmp_path: Path, stack: ExitStack, words: str, stage: str) -> None:
    first, second = limited(stack, words, stage), stack.enter_context(smtpd(Script()))
    site = Site(tmp_path, stack, first, second)
    assert first.script.limit is not None
    second.script.awaited["dot"] = first.script.limit.reached
    report = site.run()
    assert report.exit == 0, report.explanation
    assert site.rows() == {State.ACCEPTED: 30}
    assert site.received == 30
    told = any(words in warning for warning in site.desk.warnings)
    assert told or words.startswith("4")  # after a 4xx the first server may still be having its break


# --- how long it rests ---


def commands(server: Smtpd, verb: str) -> int:
    return sum(command.startswith(verb) for command in server.commands)


def test_a_server_rests_across_runs_and_longer_each_time(tmp_path: Path, stack: ExitStack) -> None:
    server = limited(stack, WORDINGS[0], "MAIL")
    site = Site(tmp_path, stack, server)
    site.run()
    at = MORNING
    for minutes in (5, 15, 30, 60, 60):
        tried = commands(server, "MAIL")
        early = site.send(at + timedelta(minutes=minutes - 1))
        assert (early.exit, early.idle) == (75, True)
        assert WORDINGS[0] in early.explanation
        assert commands(server, "MAIL") == tried
        at += timedelta(minutes=minutes, seconds=30)
        again = site.send(at)
        assert (again.exit, again.idle) == (75, False)
        assert commands(server, "MAIL") > tried
    assert site.rows() == {State.ACCEPTED: 20, State.DEFERRED: 6, State.PENDING: 4}


def test_the_server_s_own_words_say_how_long(tmp_path: Path, stack: ExitStack) -> None:
    server = limited(stack, "450 4.7.1 Sender quota exceeded, try again in 2 hours", "RCPT")
    site = Site(tmp_path, stack, server)
    report = site.run()
    assert "tried again after 2026-11-23 09:0" in report.explanation
    server.script.limit = None
    assert site.send(MORNING + timedelta(minutes=110)).idle
    assert site.received == 20
    assert site.send(MORNING + timedelta(minutes=125)).exit == 0
    assert site.received == 30


def test_the_operator_may_have_it_tried_at_once(tmp_path: Path, stack: ExitStack) -> None:
    server = limited(stack, WORDINGS[0], "dot")
    site = Site(tmp_path, stack, server)
    site.run()
    server.script.limit = None
    assert site.send(MORNING + timedelta(minutes=1), at_once=True).exit == 0
    assert site.rows() == {State.ACCEPTED: 30}


def test_what_only_a_person_can_change_is_tried_again_at_once(tmp_path: Path, stack: ExitStack) -> None:
    server = limited(stack, "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.example", "RCPT")
    site = Site(tmp_path, stack, server)
    assert site.run().exit == 75
    server.script.limit = None
    assert site.send(MORNING + timedelta(minutes=1)).exit == 0
    assert site.rows() == {State.ACCEPTED: 30}


# --- what is not a limit ---


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("RCPT", "553 5.7.1 <digest@news.example.org>: Sender address rejected: not owned by user mia"),
        ("MAIL", "550 5.1.8 <digest@news.example.org>: Sender address rejected: Domain not found"),
        ("MAIL", "530 5.7.0 Authentication required"),
        ("dot", "552 5.3.4 Message size exceeds fixed limit"),
    ],
)
def test_what_the_operator_must_correct_is_a_wrong_configuration(
    tmp_path: Path, stack: ExitStack, stage: str, words: str
) -> None:
    site = Site(tmp_path, stack, limited(stack, words, stage))
    report = site.run()
    assert (report.verdict, report.exit) == (Verdict.SEND_FAILED, 78)
    assert words in report.explanation
    rows = site.rows()
    assert rows.pop(State.ACCEPTED) == 20
    assert set(rows) == {State.PENDING}


@pytest.mark.parametrize("words", ["552 Requested mail action aborted: exceeded storage allocation", "552 5.2.2 Full"])
def test_one_full_mailbox_at_the_dot_holds_up_nobody(tmp_path: Path, stack: ExitStack, words: str) -> None:
    server = stack.enter_context(smtpd(Script(replies={"dot": ["250 kept", words]})))
    site = Site(tmp_path, stack, server)
    report = site.run()
    assert (report.verdict, report.exit) == (Verdict.STILL_OWED, 75)
    assert site.rows() == {State.ACCEPTED: 29, State.DEFERRED: 1}
    assert site.send(MORNING + timedelta(minutes=7)).exit == 0
    assert site.rows() == {State.ACCEPTED: 30}


def test_a_refusal_that_nobody_understands_is_for_this_issue(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(smtpd(Script(recipients={READERS[3]: "550 the moon is blue"})))
    site = Site(tmp_path, stack, server)
    assert site.run().verdict is Verdict.NEW_ISSUE
    assert site.rows() == {State.ACCEPTED: 29, State.REFUSED: 1}
    assert site.active() == 30


def test_words_that_nobody_understands_are_seen_for_what_they_are_at_the_end(tmp_path: Path, stack: ExitStack) -> None:
    server = limited(stack, "550 the moon is blue, 7", "RCPT", most=26)
    site = Site(tmp_path, stack, server)
    report = site.run()
    assert (report.verdict, report.exit) == (Verdict.PAUSED, 75)
    assert "the last 4 readers were refused alike: 550 the moon is blue" in report.explanation
    assert site.rows() == {State.ACCEPTED: 26, State.PENDING: 4}
    server.script.limit = None
    assert site.send(MORNING + timedelta(minutes=1), resume=True).exit == 0
    assert site.rows() == {State.ACCEPTED: 30}


def test_a_resumed_issue_is_not_paused_by_few_again(tmp_path: Path, stack: ExitStack) -> None:
    site = Site(tmp_path, stack, limited(stack, "550 the moon is blue", "RCPT", most=26))
    assert site.run().verdict is Verdict.PAUSED
    assert site.send(MORNING + timedelta(minutes=1), resume=True).exit == 0
    assert site.rows() == {State.ACCEPTED: 26, State.REFUSED: 4}
