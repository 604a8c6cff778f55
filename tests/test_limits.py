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


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("words", WORDINGS)
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


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("words", WORDINGS)
def test_a_second_server_takes_over_in_the_same_run(tmp_path: Path, stack: ExitStack, words: str, stage: str) -> None:
    first, second = limited(stack, words, stage), stack.enter_context(smtpd(Script()))
    site = Site(tmp_path, stack, first, second)
    second.script.slow["dot"] = 0.05  # so that the first one comes to its limit
    report = site.run()
    assert report.exit == 0, report.explanation
    assert site.rows() == {State.ACCEPTED: 30}
    assert site.received == 30
    told = any(words in warning for warning in site.desk.warnings)
    assert told or words.startswith("4")  # after a 4xx the first server may still be having its break
