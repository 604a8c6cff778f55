"""What `status` shows of a sending that is under way, and its metrics."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from newsletter.cli.metrics import metrics
from newsletter.cli.status import status
from newsletter.config import Config, load
from newsletter.model import Outcome, OutcomeKind, RenderedIssue, Result, RunReport, State, Verdict
from newsletter.runtime import utc_now
from newsletter.slots import SlotOrder
from newsletter.store import Store
from tests.conftest import PUBLICATION
from tests.fakes import FakeClock
from tests.migrated import store_file

ISSUE = RenderedIssue(day=utc_now().date(), subject="Papers", html="<p>papers</p>", text="papers\n")
ACCEPTED = Outcome(OutcomeKind.ACCEPTED, 250, "ok")
UNCERTAIN = Outcome(OutcomeKind.UNCERTAIN, None, "connection lost")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        f"secret: the secret of a test\nfeeds:\n  - url: day.json\nstore: sqlite:///{tmp_path / 'a.db'}\n",
        "utf-8",
    )
    path.chmod(0o600)
    return load(path, {})


@pytest.fixture
def sending(config: Config) -> Iterator[Store]:
    """A store whose issue is half sent, by a process that is still there."""
    store_file(Path(config.store.removeprefix("sqlite:///")))
    with Store.open(config.store) as store:
        store.add_all([f"r{n}@example.org" for n in range(6)], revive=True)
        store.unsubscribe("r5@example.org")
        issue = store.freeze(ISSUE, PUBLICATION, lifetime=timedelta(hours=24))
        begun = store.claim(issue.id, 3, resend_uncertain=0)
        store.turn([], begun, [SlotOrder("mx.example:25", 2, 0.0, 1000)])
        outcomes = [ACCEPTED, ACCEPTED, UNCERTAIN]
        store.turn([Result(row, State.SENDING, each) for row, each in zip(begun, outcomes, strict=True)], [])
        store.record_run(RunReport(Verdict.STILL_OWED, 'a "quoted" \\ word', ISSUE.day, exit_code=75), utc_now())
        yield store


def test_status_shows_who_sends_while_they_do(
    config: Config, sending: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    status(config, None, as_json=False)
    said = capsys.readouterr().out
    assert re.search(r"sending now: 1 sender on \S+ \(process \d+\)", said)
    assert "mx.example:25: 2 messages within a day" in said
    sending.end_sending()
    status(config, None, as_json=False)
    assert "sending now" not in capsys.readouterr().out


def test_who_was_killed_is_not_shown_as_a_sender(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as killed, Store.open(database_url, now=clock.now) as store:
        store.add_all([f"r{n}@example.org" for n in range(2)], revive=True)
        issue = store.freeze(ISSUE, PUBLICATION, lifetime=timedelta(hours=24))
        for each in (killed, store):
            each.turn([], each.claim(issue.id, 1, resend_uncertain=0))
            clock.move(seconds=1)
        assert len(store.active_senders()) == 2
        (left,) = store.active_senders(1)
        assert left.started_at == clock.now() - timedelta(seconds=1)


def test_a_host_is_named_once_and_copies_that_were_not_accepted_as_far_as_one_reads(
    config: Config, sending: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    sending.add_all([f"more{n}@example.org" for n in range(60)], revive=True)
    issue = sending.freeze(
        dataclasses.replace(ISSUE, day=ISSUE.day + timedelta(days=1)), PUBLICATION, lifetime=timedelta(hours=24)
    )
    begun = sending.claim(issue.id, 60, resend_uncertain=0)
    sending.turn([], begun)
    sending.turn([Result(row, State.SENDING, UNCERTAIN) for row in begun], [])
    with Store.open(config.store) as other:
        other.turn([], other.claim(issue.id, 1, resend_uncertain=0))
        status(config, None, as_json=False)
    said = capsys.readouterr().out
    assert re.search(rf"sending now: 2 senders on \S+ \(process {os.getpid()}\)\n", said)
    assert said.count("  uncertain: ") == 50
    assert "  and 10 more; `newsletter status --json` has all\n" in said


SAMPLE = re.compile(r'(newsletter_[a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\} (-?[0-9.e+]+)')


def read(text: str) -> dict[str, float]:
    """The samples by name and labels, after a look at the form."""
    found: dict[str, float] = {}
    told: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            told += re.findall(r"^# TYPE (newsletter_[a-z_]+) gauge$", line)
            assert re.match(r"# (HELP newsletter_[a-z_]+ \S|TYPE )", line)
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] == told[-1]
        found[f"{sample[1]} {sample[2]}"] = float(sample[3])
    assert len(told) == len(set(told))
    assert text.endswith("\n")
    return found


def test_metrics_replace_the_file_and_have_every_figure(
    config: Config, sending: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "newsletter.prom"
    path.write_text("old", "utf-8")
    inode = path.stat().st_ino
    status(config, None, as_json=False, metrics_file=path)
    assert capsys.readouterr().out == ""
    assert path.stat().st_ino != inode  # replaced as a whole
    assert sorted(each.name for each in tmp_path.glob("*newsletter*")) == ["newsletter.prom"]
    found = read(path.read_text("utf-8"))
    of = 'list="papers.news.example.org"'
    assert found[f'newsletter_subscribers {of},status="active"'] == 5
    assert found[f'newsletter_copies {of},state="accepted"'] == 2
    assert found[f"newsletter_copies_owed {of}"] == 2
    assert found[f"newsletter_copies_uncertain {of}"] == 1
    assert found[f"newsletter_senders {of}"] == 1
    assert found[f'newsletter_server_used {of},server="mx.example:25"'] == 2
    assert found[f'newsletter_last_run_exit_code {of},verdict="still-owed"'] == 75
    assert found[f"newsletter_last_run_timestamp_seconds {of}"] > 1.7e9
    assert found[f"newsletter_issue_paused {of}"] == 0
    assert found[f"newsletter_last_daily_run_timestamp_seconds {of}"] > 1.7e9
    assert found[f"newsletter_well {of}"] == 1
    assert found[f"newsletter_days_without_issue {of}"] == 0
    sending.note_feed_fault(ISSUE.day, "A blog", "404 Not Found")
    sending.record_run(RunReport(Verdict.FAILED, "it broke", ISSUE.day), utc_now())
    status(config, None, as_json=False, metrics_file=path)
    found = read(path.read_text("utf-8"))
    assert found[f'newsletter_well {of},rule="failed"'] == 0
    assert found[f'newsletter_feed_faults {of},feed="A blog"'] == 1


@pytest.mark.component
def test_metrics_of_a_list_that_has_sent_nothing(config: Config, tmp_path: Path) -> None:
    status(config, None, as_json=False, metrics_file=tmp_path / "m.prom")
    found = read((tmp_path / "m.prom").read_text("utf-8"))
    assert not [name for name in found if name.startswith(("newsletter_copies", "newsletter_last_run"))]


def test_labels_are_escaped() -> None:
    sending = {"senders": [], "per_minute": 0, "used": {'a"b\\c\nd:25': 3}, "resting": {}}
    known: dict[str, Any] = {"issue": None, "subscribers": {}, "sending": sending, "held": [], "runs": []}
    assert r'newsletter_server_used{list="x\"y",server="a\"b\\c\nd:25"} 3' in metrics(known, 'x"y').splitlines()


def test_a_process_that_says_nothing_any_more_does_not_count(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        store.add("ada@example.org")
        issue = store.freeze(ISSUE, PUBLICATION, lifetime=timedelta(hours=24))
        store.turn([], store.claim(issue.id, 1, resend_uncertain=0))
        (sender,) = store.active_senders()
        assert (sender.accepted, sender.started_at) == (0, clock.now())
        clock.move(seconds=30)
        assert store.active_senders() == []
