"""What an operator may take back: a wrong sender, an issue, a wait; and what is frozen stays as it was."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter import alert
from newsletter.model import State, Verdict
from newsletter.pipeline import withdraw
from newsletter.store import Store
from tests.desk import MONDAY, Desk, desk, entry
from tests.inbox import Inbox

__all__ = ["desk"]

TUESDAY = MONDAY + timedelta(days=1)
MORNING = datetime(2026, 11, 23, 7, tzinfo=UTC)


def refuse_all(inbox: Inbox, *readers: str, reply: str = "451 4.3.0 later") -> None:
    inbox.refuse.update(dict.fromkeys(readers, reply))


def counts(desk: Desk) -> dict[State, int]:
    with Store.open(desk.config.store) as store:
        issue = store.issue(MONDAY)
        assert issue is not None
        return {state: number for state, number in store.counts(issue.id).items() if number}


# --- an issue is made anew while nobody can have it -----------------------------------------------------------------


def test_a_corrected_sender_takes_effect_in_the_issue_that_nobody_has(desk: Desk) -> None:
    desk.sender = "digset@news.example.org"
    desk.configure()
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    assert desk.run(MONDAY).verdict is Verdict.STILL_OWED
    desk.sender = "Papers, daily: the best <digest@news.example.org>"
    desk.configure()
    desk.inbox.refuse.clear()
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    (message,) = desk.inbox.messages
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Papers, daily: the best", "digest@news.example.org")
    assert desk.warnings[-1] == f"the issue of {MONDAY} was made anew: sender, bounce_address"


def test_a_changed_template_takes_effect_in_the_issue_that_nobody_has(desk: Desk, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    desk.configure("templates: own\n")
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    (own / "digest.txt").write_text("{{ title }}, with love\n\n{{ unsubscribe_url }}\n" + "{{ papers }}")
    (own / "digest.html").write_text('{% extends "builtin/digest.html" %}{% block rising %}<!-- mine -->{% endblock %}')
    (own / "digest.txt").write_text('{% extends "builtin/digest.txt" %}{% block rising %}With love.{% endblock %}')
    desk.inbox.refuse.clear()
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert "With love." in desk.last
    assert desk.warnings[-1] == f"the issue of {MONDAY} was made anew: set of templates"


def test_an_unchanged_issue_is_not_made_anew(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    desk.publish(MONDAY, entry(2))
    desk.inbox.refuse.clear()
    assert desk.run(MONDAY, at=MORNING + timedelta(hours=1)).verdict is Verdict.NEW_ISSUE
    assert "Paper number 1" in desk.last


def test_an_issue_that_somebody_has_stays_and_the_difference_is_said(desk: Desk) -> None:
    desk.readers = ("ada@example.org", "kurt@example.org")
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "kurt@example.org")
    assert desk.run(MONDAY).verdict is Verdict.STILL_OWED
    desk.sender = "other@elsewhere.example"
    desk.configure()
    desk.inbox.refuse.clear()
    desk.run(MONDAY, at=MORNING + timedelta(hours=1))
    first, second = desk.inbox.messages
    assert second["From"] == first["From"]
    for name in ("Message-ID", "List-Unsubscribe"):
        assert re.findall(r"@([\w.]+)", second[name]) == re.findall(r"@([\w.]+)", first[name])
    assert desk.warnings[-1] == (
        f"the issue of {MONDAY} was frozen with another sender, bounce_address; its copies go out as frozen: "
        "1 copy has arrived or may have"
    )


def test_a_copy_that_is_sent_again_after_the_secret_was_replaced_is_the_same(desk: Desk) -> None:
    desk.readers = ("ada@example.org", "kurt@example.org")
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "kurt@example.org")
    desk.run(MONDAY)
    with Store.open(desk.config.store) as store:
        issue, kurt = store.issue(MONDAY), store.find("kurt@example.org")
    assert issue is not None
    assert kurt is not None
    before = desk.config.links().message_id(MONDAY, kurt.ref)
    path = desk.folder / "config.yaml"
    path.write_text(
        path.read_text().replace("secret: a secret of this test", "secret: another secret, newer")
        + "old_secrets: [a secret of this test]\n"
    )
    desk.inbox.refuse.clear()
    desk.send(MORNING + timedelta(hours=1))
    assert desk.inbox.messages[-1]["Message-ID"] == before
    assert desk.config.links().message_id(MONDAY, kurt.ref) != before


def test_remake_makes_an_issue_anew_with_what_the_feed_says_now(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    desk.publish(MONDAY, entry(1, 3), entry(2, 9))
    desk.inbox.refuse.clear()
    assert desk.run(MONDAY, remake=True).verdict is Verdict.NEW_ISSUE
    assert "Paper number 2" in desk.last
    assert "Paper number 1" in desk.last  # its first issue, which showed it, is no more


def test_remake_leaves_an_issue_that_somebody_has(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    desk.run(MONDAY)
    report = desk.run(MONDAY, remake=True)
    assert (report.verdict, report.exit) == (Verdict.FAILED, 1)
    assert report.explanation == f"the issue of {MONDAY} stays as it is: 1 copy has arrived or may have"


def test_an_issue_is_kept_when_the_feed_fails_while_it_is_made_anew(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    (desk.folder / f"{MONDAY}.json").unlink()
    assert desk.run(MONDAY, remake=True).verdict is Verdict.FEED_FAILED
    desk.sender = "other@news.example.org"
    desk.configure()
    desk.inbox.refuse.clear()
    assert desk.run(MONDAY, at=MORNING + timedelta(hours=1)).verdict is Verdict.NEW_ISSUE
    assert desk.inbox.messages[-1]["From"] == "digest@news.example.org"
    assert "could not be made anew" in desk.warnings[-1]


# --- withdraw, and trying at once -----------------------------------------------------------------------------------


def test_nothing_more_of_a_withdrawn_issue_is_sent(desk: Desk) -> None:
    desk.readers = ("ada@example.org", "kurt@example.org")
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "kurt@example.org")
    desk.run(MONDAY)
    with Store.open(desk.config.store) as store:
        report = withdraw(MONDAY, store)
    assert report.explanation == "1 copy withdrawn now; the issue stands at: 1 accepted, 1 withdrawn"
    desk.inbox.refuse.clear()
    assert desk.send(MORNING + timedelta(hours=2)).verdict is Verdict.ALREADY_SENT
    desk.sender = "other@news.example.org"
    desk.configure()
    desk.run(MONDAY)  # nor is it made anew because of a change
    assert len(desk.inbox.messages) == 1


def test_the_papers_of_an_issue_that_nobody_got_may_be_shown_later(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    with Store.open(desk.config.store) as store:
        withdraw(MONDAY, store)
    desk.inbox.refuse.clear()
    desk.publish(TUESDAY, entry(1), entry(2))
    assert desk.run(TUESDAY).verdict is Verdict.NEW_ISSUE
    assert "Paper number 1" in desk.last


def test_an_issue_is_withdrawn_while_another_process_has_claimed_its_copies(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    later = MORNING + timedelta(hours=1)
    with Store.open(desk.config.store, now=lambda: later) as sender, Store.open(desk.config.store) as operator:
        (issue,) = sender.unfinished()
        assert len(sender.claim(issue.id, 10, resend_uncertain=1)) == 1
        withdraw(MONDAY, operator)
    assert counts(desk) == {State.WITHDRAWN: 1}


def test_copies_that_were_put_off_are_tried_at_once(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    desk.inbox.refuse.clear()
    soon = MORNING + timedelta(seconds=30)
    assert desk.send(soon).verdict is Verdict.STILL_OWED
    assert desk.send(soon, at_once=True).verdict is Verdict.NEW_ISSUE


# --- verdicts that are true -----------------------------------------------------------------------------------------


def test_half_an_issue_that_expired_is_a_failure_with_a_word_of_its_own(desk: Desk) -> None:
    desk.configure("alerts:\n  address: me@example.org\n")
    desk.readers = ("ada@example.org", "kurt@example.org")
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "kurt@example.org")
    desk.run(MONDAY)
    report = desk.send(MORNING + timedelta(hours=25))
    assert (report.verdict, report.exit) == (Verdict.PARTLY_EXPIRED, 1)
    assert report.explanation == (
        f"1 copy of the issue of {MONDAY} expired before they could be sent (issue.lifetime); 1 accepted, 1 expired"
    )
    with Store.open(desk.config.store) as store:
        letter = alert.due(desk.config, store, report)
    assert letter is not None
    assert letter["Subject"] == "Daily Papers: some readers did not get their copy"
    assert report.explanation in " ".join(letter.get_content().split())


def test_a_day_on_which_nobody_wants_an_issue_makes_none_and_keeps_its_papers(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    with Store.open(desk.config.store) as store:
        store.add("ada@example.org")
        ada = store.find("ada@example.org")
        assert ada is not None
        store.prefer(ada.ref, days=0b0000010, paused_until=None)
    report = desk.run(MONDAY)
    assert (report.verdict, report.exit) == (Verdict.NO_SUBSCRIBERS, 0)
    assert "no reader wants an issue on a Monday" in report.explanation
    desk.publish(TUESDAY, entry(1), entry(2))
    assert desk.run(TUESDAY).verdict is Verdict.NEW_ISSUE
    assert "Paper number 1" in desk.last


@pytest.mark.parametrize(
    ("days", "pause", "words"),
    [(0b0000010, None, "wants no issue on a Monday"), (127, TUESDAY, f"has paused until {TUESDAY}")],
)
def test_a_canary_that_gets_no_copy_is_said_and_nobody_goes_first(
    desk: Desk, days: int, pause: object, words: str
) -> None:
    desk.configure("sending:\n  canary: me@example.org\n")
    desk.readers = ("ada@example.org", "me@example.org")
    with Store.open(desk.config.store, now=lambda: MORNING - timedelta(days=3)) as store:
        for reader in desk.readers:
            store.add(reader)
        me = store.find("me@example.org")
        assert me is not None
        store.prefer(me.ref, days=days, paused_until=TUESDAY if pause else None)
    desk.publish(MONDAY, entry(1))
    report = desk.run(MONDAY)
    assert (report.verdict, report.exit) == (Verdict.PAUSED, 75)
    assert words in report.explanation
    assert desk.inbox.messages == []


def test_a_day_with_one_full_mailbox_is_not_a_day_without_an_issue(desk: Desk) -> None:
    desk.readers = ("ada@example.org", "kurt@example.org")
    refuse_all(desk.inbox, "kurt@example.org", reply="452 4.2.2 mailbox full")
    for number in range(3):
        day = MONDAY + timedelta(days=number)
        desk.publish(day, entry(number + 1))
        report = desk.run(day)
        assert report.verdict is Verdict.STILL_OWED
        with Store.open(desk.config.store) as store:
            store.record_run(report, datetime(day.year, day.month, day.day, 7, tzinfo=UTC))
            assert store.days_without_issue() == 0


def test_a_database_of_version_0_1_has_its_sender_as_one_text(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    refuse_all(desk.inbox, "ada@example.org")
    desk.run(MONDAY)
    with Store.open(desk.config.store) as store:
        with store._db.write() as connection:
            kept = json.loads(connection.exec_driver_sql("SELECT publication FROM renderings").scalar_one())
            kept["sender"] = "Smith, Jane <jane@example.org>"
            connection.exec_driver_sql("UPDATE renderings SET publication = ?", (json.dumps(kept),))
        issue = store.issue(MONDAY)
    assert issue is not None
    assert (issue.publication.sender.name, issue.publication.sender.address) == ("Smith, Jane", "jane@example.org")
