"""What `newsletter bounces` does with the mails of a Maildir: whom it takes off the list, and whom no forgery can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter.bounces.mailbox import Mail
from newsletter.bounces.process import read
from newsletter.links import Links, Purpose
from newsletter.model import CopyReference, ReportKind, SubscriberStatus
from newsletter.runtime import Runtime
from newsletter.store import NewReport, Store
from newsletter.store.schema import reports, subscribers
from tests.bouncing import (
    ACTIVE,
    ADA,
    EMMY,
    SUPPRESSED,
    TOO_MUCH,
    InProcess,
    Scene,
    configured,
    refuse,
    report,
    without,
)
from tests.fakes import Crash, FakeClock


@pytest.fixture
def scene(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Scene]:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    with Store.open(database_url, now=clock.now) as store:
        store.add_all([ADA, EMMY], revive=False)
        yield Scene(tmp_path, store, clock, configured(tmp_path))


# --- what ties a report to a copy ------------------------------------------------------------------------------------


def test_a_hard_bounce_suppresses_its_reader_and_no_other(scene: Scene) -> None:
    scene.arrives(report(scene.copy(scene.issue(), ADA)[1]))
    assert str(scene.collect()) == "1 read (1 permanent), 1 suppressed"
    ada = scene.reader(ADA)
    assert (ada.status, ada.reason) == (SUPPRESSED, "permanent: 5.1.1 smtp; 550 5.1.1 <ADDRESS> is gone")
    assert scene.status(EMMY) is ACTIVE
    assert scene.filed() == 1


@pytest.mark.parametrize(
    "lost",
    [(), ("List-Unsubscribe",), ("Message-ID",), ("Message-ID", "X-Issue")],
    ids=["all", "Message-ID", "token", "token alone"],
)
def test_message_id_or_list_unsubscribe_is_enough(scene: Scene, lost: tuple[str, ...]) -> None:
    scene.arrives(report(without(scene.copy(scene.issue(), ADA)[1], *lost)))
    scene.collect()
    assert scene.status() is SUPPRESSED


def test_with_verp_the_address_it_came_to_is_enough(scene: Scene) -> None:
    reverse_path, _ = scene.copy(scene.issue(verp=True), ADA)
    scene.arrives(report(b"Subject: nothing of ours\r\n\r\n", "somebody@else.example", to=reverse_path.upper()))
    scene.collect()
    assert scene.status() is SUPPRESSED


def test_a_copy_that_was_forwarded_counts_for_the_reader_it_was_sent_to(scene: Scene) -> None:
    copy = without(scene.copy(scene.issue(), ADA)[1], "List-Unsubscribe")
    scene.arrives(report(copy, "countess@elsewhere.example"))
    scene.collect()
    assert scene.status() is SUPPRESSED


def test_old_secrets_are_good(scene: Scene) -> None:
    reverse_path, copy = scene.copy(scene.issue(verp=True), ADA)
    scene.config = configured(
        scene.folder, "old_secrets:\n  - a secret of this test\n", secret="the next one of this test"
    )
    scene.arrives(report(without(copy, "List-Unsubscribe")))
    assert scene.collect().unverified == 0
    assert scene.links.returned(reverse_path) is not None


def test_a_forged_report_removes_nobody_and_is_counted(scene: Scene) -> None:
    day = scene.issue().rendered.day
    forger = Links("a guess", scene.config.publication)
    ref = scene.reader(ADA).ref
    emmys = scene.links.message_id(day, scene.reader(EMMY).ref)
    forged = [
        "Subject: no sign at all\r\n\r\n",
        f"To: {ADA}\r\nMessage-ID: {forger.message_id(day, ref)}\r\n\r\n",
        f"To: {ADA}\r\nMessage-ID: {emmys}\r\n\r\n",  # another's copy
        f"To: {ADA}\r\nMessage-ID: {scene.links.message_id(day - timedelta(days=1), ref)}\r\n\r\n",
        f"To: {ADA}\r\nList-Unsubscribe: <{forger.unsubscribe(ref)[0]}>\r\n\r\n",
        f"To: {ADA}\r\nList-Unsubscribe: <{scene.links.preferences(ref)}>\r\n\r\n",
    ]
    for copy in forged:
        scene.arrives(report(copy.encode()))
    scene.arrives(report(b"\r\n", to=forger.reverse_path(day, ref)))
    tally = scene.collect()
    assert (tally.read, tally.unverified) == (7, 7)
    assert scene.status() is scene.status(EMMY) is ACTIVE
    assert scene.store.count_reports()["unverified"] == 7


def test_a_complaint_suppresses_so_that_no_import_brings_the_reader_back(scene: Scene) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    head = (
        b"From: fbl@provider.example\r\nTo: bounces@news.example.org\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
    )
    scene.arrives(head + copy + b"\r\n--b--\r\n")
    assert str(scene.collect()) == "1 read (1 complaint), 1 suppressed"
    scene.store.add_all([ADA], revive=False)
    assert scene.status() is SUPPRESSED


# --- what a mere mention proves --------------------------------------------------------------------------------------


def mentioning(copy: bytes, *, quoted: str = "") -> str:
    """A report that returns nothing of the copy; its own headers answer the copy, as those of Gmail and Exchange do."""
    message_id = message_from_bytes(copy)["Message-ID"]
    return (
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: bounces@news.example.org\nSubject: Returned mail\n"
        f"In-Reply-To: {message_id}\nReferences: {message_id}\n\n<{ADA}>: 550 5.1.1 user unknown\n{quoted}"
    )


def test_a_message_id_in_the_report_s_own_headers_is_soft_at_most(scene: Scene) -> None:
    for day in range(3):
        assert scene.status() is ACTIVE, day
        scene.arrives(mentioning(scene.copy(scene.issue(), ADA)[1]))
        assert scene.collect().unverified == 0
        scene.clock.move(days=1)
    assert scene.status() is SUPPRESSED


def test_a_quoted_unsubscribe_link_is_soft_at_most(scene: Scene) -> None:
    """Whoever answers with the digest quotes the link; the report's own words are not those of a returned header."""
    copy = scene.copy(scene.issue(), ADA)[1]
    page = scene.links.unsubscribe(scene.reader(ADA).ref)[0]
    scene.arrives(mentioning(copy, quoted=f"> Leave: {page}\n"))
    assert scene.collect().unverified == 0
    assert scene.status() is ACTIVE


def test_a_complaint_that_only_mentions_a_copy_removes_nobody(scene: Scene) -> None:
    message_id = message_from_bytes(scene.copy(scene.issue(), ADA)[1])["Message-ID"]
    scene.arrives(
        f"From: fbl@provider.example\nTo: bounces@news.example.org\nSubject: complaint\nIn-Reply-To: {message_id}\n"
        'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary="b"\n\n'
        "--b\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: {ADA}\n\n--b--\n"
    )
    assert scene.collect().unverified == 0
    assert scene.status() is ACTIVE


@pytest.mark.parametrize("subject", ["[Ticket#2026112400000017] Undeliverable? Papers", "Undeliverable? Papers"])
def test_a_helpdesk_that_answers_a_digest_removes_nobody(scene: Scene, subject: str) -> None:
    for _ in range(4):
        copy = message_from_bytes(scene.copy(scene.issue(), ADA)[1])
        scene.arrives(
            f"From: Support <support@helpdesk.example>\nTo: digest@news.example.org\nSubject: {subject}\n"
            f"Auto-Submitted: auto-replied\nIn-Reply-To: {copy['Message-ID']}\n\n"
            f"We have your mail about {ADA}. If it could not be delivered, the user may be unknown.\n"
        )
        assert scene.collect().kinds == {ReportKind.AUTO_REPLY: 1}
        scene.clock.move(days=1)
    assert scene.status() is ACTIVE


# --- what is kept of a server's words --------------------------------------------------------------------------------


def kept_words(scene: Scene) -> list[str]:
    with scene.store._db.read() as connection:
        return list(connection.execute(select(reports.c.words)).scalars())


def test_no_words_are_kept_of_a_report_without_a_reader(scene: Scene) -> None:
    """Nobody could take them back when the reader asks to be forgotten."""
    frozen = scene.issue()
    copy = scene.copy(frozen, ADA)[1]
    scene.store._hasher = scene.links.forgotten_hashes
    scene.store.forget(ADA)
    scene.arrives(report(copy, words="unknown user ada%40example.net"))
    scene.arrives(report(b"Subject: nothing of ours\r\n\r\n", ADA))
    scene.collect()
    assert scene.store.count_reports()["unverified"] == 2
    assert kept_words(scene) == ["", ""]


def test_the_words_that_are_kept_of_a_reader_s_report_hold_no_address(scene: Scene) -> None:
    scene.arrives(report(scene.copy(scene.issue(), ADA)[1], words="see https://mx.example.net/?to=ada%40example.net"))
    scene.collect()
    assert "ada" not in kept_words(scene)[0] + scene.reader(ADA).reason


# --- leaving by mail -------------------------------------------------------------------------------------------------


def test_the_mailto_link_unsubscribes(scene: Scene) -> None:
    token = scene.links.token(Purpose.UNSUBSCRIBE, scene.reader(ADA).ref)
    scene.arrives(f"From: someone@else.example\nSubject: unsubscribe {token}\n\n")
    assert str(scene.collect()) == "1 read (1 unsubscribe), 1 unsubscribed"
    assert scene.status() is SubscriberStatus.UNSUBSCRIBED


def test_a_wish_to_leave_that_nobody_can_check_is_kept_for_the_operator(scene: Scene) -> None:
    scene.arrives(f"From: {ADA}\nSubject: unsubscribe\n\n")
    scene.arrives(f"From: {ADA}\nSubject: unsubscribe {scene.links.token(Purpose.CONFIRM, scene.reader(ADA).ref)}\n\n")
    assert str(scene.collect()) == "2 read (2 unsubscribe), 2 unverified, 2 kept for you to look at"
    assert scene.status() is ACTIVE
    assert scene.filed("Kept") == 2


def answer(
    copy: bytes, *, author: str = f"Ada <{ADA}>", subject: str = "Re: Papers", text: str = "", more: str = ""
) -> str:
    """A reader's answer to a copy, as mail programs write it, with what it quotes as Outlook does: without a ">"."""
    headers = message_from_bytes(copy)
    mine = headers["Message-ID"]
    return (
        f"From: {author}\nTo: digest@news.example.org\nSubject: {subject}\nIn-Reply-To: {mine}\nReferences: {mine}\n"
        f"{more}\n{text}\n\nFrom: Daily Papers <digest@news.example.org>\nSubject: Papers\n\n"
        f"{headers.get_payload()}"
    )


@pytest.mark.parametrize(
    ("subject", "text"),
    [("Re: Papers", "\n  Unsubscribe.\n\nAda"), ("AW: Re: unsubscribe", "please"), ("Re[2]: UNSUBSCRIBE!", "")],
)
def test_a_reader_who_answers_his_copy_with_the_word_leaves(scene: Scene, subject: str, text: str) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    scene.arrives(answer(copy, subject=subject, text=text))
    assert str(scene.collect()) == "1 read (1 unsubscribe), 1 unsubscribed"
    assert (scene.status(ADA), scene.status(EMMY)) == (SubscriberStatus.UNSUBSCRIBED, ACTIVE)


def test_the_word_is_obeyed_whatever_the_age_of_the_copy_it_answers(scene: Scene) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    scene.clock.move(days=1)
    scene.store.unsubscribe(ADA)
    scene.store.add(ADA)
    scene.arrives(answer(copy, text="unsubscribe"))
    assert str(scene.collect()) == "1 read (1 unsubscribe), 1 unsubscribed"


def test_an_answer_from_elsewhere_or_to_nothing_of_ours_is_kept_for_the_operator(scene: Scene) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    scene.arrives(answer(copy, author="Bob <bob@elsewhere.example>", text="unsubscribe"))  # Bob got it forwarded
    scene.arrives(answer(copy, author=EMMY, text="unsubscribe"))
    forged = Links("a guess at the secret", scene.config.publication)
    false = forged.message_id(scene.clock.now().date(), scene.reader(ADA).ref)
    scene.arrives(f"From: {ADA}\nSubject: Re: Papers\nIn-Reply-To: {false}\n\nunsubscribe\n")
    quoted = copy.decode().replace("\r\n", "\n")
    scene.arrives(f"From: {ADA}\nSubject: Re: Papers\n\nunsubscribe\n\n{quoted}")  # only quoted: no header
    assert str(scene.collect()) == "4 read (4 unsubscribe), 4 unverified, 4 kept for you to look at"
    assert scene.status(ADA) is scene.status(EMMY) is ACTIVE
    assert scene.filed("Kept") == 4


@pytest.mark.parametrize(
    "machine",
    ["Auto-Submitted: auto-replied\n", "X-Autoreply: yes\n", "Return-Path: <>\n"],
)
def test_a_machine_that_answers_with_the_word_removes_nobody(scene: Scene, machine: str) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    scene.arrives(answer(copy, text="unsubscribe", more=machine))
    scene.arrives(answer(copy, text="unsubscribe", subject="Out of office: Papers"))
    scene.arrives(answer(copy, text="I am away until Monday.\nunsubscribe"))
    scene.collect()
    assert scene.status() is ACTIVE


def test_an_answering_machine_that_quotes_the_digest_removes_nobody(scene: Scene) -> None:
    quoted = scene.copy(scene.issue(), ADA)[1].decode().replace("\r\n", "\n> ")
    scene.arrives(f"From: {ADA}\nAuto-Submitted: auto-replied\nSubject: away\n\nI am away.\n> {quoted}")
    scene.arrives(f"Return-Path: <>\nFrom: {ADA}\nSubject: Re: Papers\n\nThis address is rejected.\n> {quoted}")
    scene.collect()
    assert scene.status() is ACTIVE


# --- policy over time ------------------------------------------------------------------------------------------------


def bounce_daily(scene: Scene, days: int, status: str) -> None:
    for _ in range(days):
        scene.arrives(report(scene.copy(scene.issue(), ADA)[1], status=status))
        scene.collect()
        scene.clock.move(days=1)


def test_three_full_mailboxes_in_14_days_suppress(scene: Scene) -> None:
    bounce_daily(scene, 2, "5.2.2")
    assert scene.status() is ACTIVE
    bounce_daily(scene, 1, "5.2.2")
    assert scene.status() is SUPPRESSED


def test_a_refusal_for_reasons_of_policy_never_suppresses(scene: Scene) -> None:
    bounce_daily(scene, 5, "5.7.1")
    assert scene.status() is ACTIVE


def test_who_comes_back_begins_anew(scene: Scene) -> None:
    late = scene.copy(scene.issue(), ADA)[1]
    bounce_daily(scene, 3, "5.2.2")
    scene.store.add(ADA)
    scene.clock.move(hours=1)
    scene.arrives(report(late, status="5.1.1"))  # of an issue of before
    bounce_daily(scene, 2, "5.2.2")
    assert scene.status() is ACTIVE


def test_an_address_that_is_refused_while_sending_is_suppressed_after_three_issues(scene: Scene) -> None:
    for _ in range(2):
        refuse(scene, "5.1.1 no such user", ADA)
        assert scene.status() is ACTIVE
    refuse(scene, "5.1.1 no such user", ADA)
    assert scene.status() is SUPPRESSED
    assert "in 3 issues" in scene.reader(ADA).reason
    assert scene.status(EMMY) is ACTIVE


def test_a_refusal_needs_no_enhanced_code_to_say_that_the_address_does_not_exist(scene: Scene) -> None:
    for _ in range(3):
        refuse(scene, "No such user here", ADA)
    assert scene.status() is SUPPRESSED


@pytest.mark.parametrize(
    "words",
    [
        "5.7.1 policy",
        "5.1.8 bad sender",
        "5.2.2 mailbox full",
        "no code",
        "5.1.90 you have reached your daily recipient limit",
        "5.1.1 news.example.org has sent to too many recipients this hour",
        "5.1.0 sender rejected",
    ],
)
def test_other_refusals_while_sending_suppress_nobody(scene: Scene, words: str) -> None:
    for _ in range(4):
        refuse(scene, words, ADA)
    assert scene.status() is ACTIVE


# --- once, and never in vain -----------------------------------------------------------------------------------------


@dataclass
class DyingMailbox:
    """The process dies when the first mail is to be put away."""

    raws: list[bytes]

    def mails(self) -> Iterator[Mail]:
        yield from (Mail(number, raw) for number, raw in enumerate(self.raws))

    def file(self, mail: Mail, folder: str) -> None:
        raise Crash

    def prune(self, folder: str, before: datetime) -> int:
        raise Crash


def test_a_crash_between_store_and_mailbox_counts_nothing_twice(scene: Scene) -> None:
    """A kill after the commit and before the move: the mail is still there, and is known."""
    for _ in range(2):
        path = scene.arrives(report(scene.copy(scene.issue(), ADA)[1], status="5.2.2"))
        scene.clock.move(days=1)
    with pytest.raises(Crash):
        read(scene.config, scene.store, DyingMailbox([path.read_bytes()]), InProcess(), Runtime())
    assert scene.collect().read == 1  # the other
    assert scene.collect().read == 0
    assert scene.filed() == 2
    assert scene.store.count_reports()["permanent"] == 2
    assert scene.status() is ACTIVE


def test_of_two_processes_that_read_one_mail_one_counts_it(scene: Scene) -> None:
    seen = NewReport("d" * 64, ReportKind.PERMANENT, CopyReference(scene.reader(ADA).ref), "5.1.1")
    asked = []
    for _ in range(2):
        scene.store.record_report(seen, lambda strikes: asked.append(strikes))
    assert len(asked) == 1
    assert scene.store.has_report(seen.digest)


def test_a_report_about_an_address_of_before_says_nothing_about_the_present_one(scene: Scene) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    with scene.store._db.write() as connection:
        connection.execute(
            update(subscribers)
            .where(subscribers.c.identity == ADA)
            .values(address="countess@example.net", identity="countess@example.net")
        )
    scene.arrives(report(copy))
    assert scene.collect().unverified == 0
    assert scene.status("countess@example.net") is ACTIVE


def test_the_same_mail_twice_counts_once(scene: Scene) -> None:
    raw = report(scene.copy(scene.issue(), ADA)[1], status="5.2.2")
    for _ in range(5):
        scene.arrives(raw)
    assert scene.collect().read == 1
    assert scene.status() is ACTIVE


def test_a_broken_report_is_kept_counted_and_not_read_again(scene: Scene) -> None:
    scene.arrives("Return-Path: <>\nFrom: MAILER-DAEMON@odd.example\nSubject: Mail Delivery Status\n\nOh.\n")
    assert str(scene.collect()) == "1 read (1 broken), 1 kept for you to look at"
    assert scene.collect().read == 0
    assert scene.filed("Kept") == 1
    assert scene.store.count_reports()["broken"] == 1


def test_a_mail_beyond_a_bound_is_kept_with_a_reason_and_the_next_one_is_read(scene: Scene) -> None:
    copy = scene.copy(scene.issue(), ADA)[1]
    scene.arrives(report(copy, EMMY) + TOO_MUCH)
    scene.arrives(report(copy))
    said: list[str] = []
    assert str(scene.collect(warn=said.append)) == (
        "2 read (1 permanent, 1 broken), 1 suppressed, 1 kept for you to look at"
    )
    assert said == [
        "bounces: 001.host: it takes more than 3 seconds of CPU to read; it was moved to Kept and counts against nobody"
    ]
    assert (scene.status(), scene.status(EMMY)) == (SUPPRESSED, ACTIVE)
    assert (scene.filed("Kept"), scene.filed()) == (1, 1)


@pytest.mark.parametrize(("days", "left"), [("90", ["new:2,S"]), ("0", ["new:2,S", "old:2,S"])])
def test_mails_that_were_processed_are_deleted_after_the_days_of_reports(
    scene: Scene, days: str, left: list[str]
) -> None:
    scene.config = configured(scene.folder, f"retention:\n  reports: {days}\n")
    for name, age, body in (("old", 91, b""), ("new", 89, b""), ("broken", 91, TOO_MUCH)):
        path = scene.folder / "Maildir" / "new" / name
        path.write_bytes(b"From: emmy@example.net\nSubject: " + name.encode() + b"\n\n" + body)
        arrived = (scene.clock.now() - timedelta(days=age)).timestamp()
        os.utime(path, (arrived, arrived))
    scene.collect()
    assert scene.filed("Kept") == 1
    assert sorted(path.name for path in (scene.folder / "Maildir" / ".Processed" / "cur").iterdir()) == left


def test_a_folder_that_cannot_be_cleared_costs_a_warning_alone(scene: Scene) -> None:
    scene.arrives(report(scene.copy(scene.issue(), ADA)[1]))
    scene.collect()
    cur = scene.folder / "Maildir" / ".Processed" / "cur"
    shutil.rmtree(cur)
    cur.write_text("no folder")
    said: list[str] = []
    assert scene.collect(warn=said.append).read == 0
    assert [line.partition(":")[0] for line in said] == ["old mails in Processed could not be deleted"]


def test_a_mail_of_any_size_is_read_at_its_beginning(scene: Scene) -> None:
    scene.arrives(report(scene.copy(scene.issue(), ADA)[1]) + b"x" * 5_000_000)
    scene.collect()
    assert scene.status() is SUPPRESSED
