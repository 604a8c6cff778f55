"""What `newsletter bounces` does with the mails of a Maildir: whom it takes off the list, and whom no forgery can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import update

from newsletter.bounces.mailbox import Mail
from newsletter.bounces.process import Tally, collect, read
from newsletter.config import Config, load
from newsletter.links import Links, Purpose
from newsletter.mail.message import compile_copies
from newsletter.model import (
    CopyReference,
    Delivery,
    FrozenIssue,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    ReportKind,
    Result,
    State,
    Subscriber,
    SubscriberStatus,
)
from newsletter.store import NewReport, Store
from newsletter.store.schema import subscribers
from tests.fakes import Crash, FakeClock

pytest_plugins = ["tests.postgres"]

ADA, EMMY = "ada@example.net", "emmy@example.net"
ACTIVE, SUPPRESSED = SubscriberStatus.ACTIVE, SubscriberStatus.SUPPRESSED


def configured(folder: Path, more: str = "", secret: str = "a secret of this test") -> Config:
    path = folder / "config.yaml"
    path.write_text(
        "sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\n"
        "bounce_address: bounces@news.example.org\nbase_url: https://news.example.org\n"
        "list_id: papers.news.example.org\nfeeds:\n  - url: papers.json\n"
        f"secret: {secret}\n{more}bounces:\n  maildir: Maildir\n",
        "utf-8",
    )
    path.chmod(0o600)
    return load(path)


@dataclass
class Scene:
    """A list of two readers, its Maildir, and its issues, of which every copy was accepted."""

    folder: Path
    store: Store
    clock: FakeClock
    config: Config
    number: int = 0

    @property
    def links(self) -> Links:
        return self.config.links()

    def issue(self, *, verp: bool = False) -> FrozenIssue:
        """The issue of the present day; its copies wait."""
        day = self.clock.now().date()
        rendered = RenderedIssue(day, "Papers", "<p>x https://slot.invalid/unsubscribe</p>", "x")
        publication = replace(self.config.publication, verp=verp)
        return self.store.freeze(rendered, publication, lifetime=timedelta(hours=24))

    def copy(self, frozen: FrozenIssue, address: str) -> tuple[str, bytes]:
        """Reverse path and bytes of one reader's copy."""
        delivery = Delivery(0, frozen.rendering_id, 0, self.reader(address).ref, address, 0)
        made = compile_copies(frozen, self.links).envelope(delivery)
        return made.mail_from, made.message

    def reader(self, address: str) -> Subscriber:
        found = self.store.find(address)
        assert found is not None
        return found

    def status(self, address: str = ADA) -> SubscriberStatus:
        return self.reader(address).status

    def arrives(self, raw: bytes | str) -> Path:
        self.number += 1
        path = self.folder / "Maildir" / "new" / f"{self.number:03}.host"
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return path

    def collect(self) -> Tally:
        return collect(self.config, self.store)

    def filed(self, folder: str = "Processed") -> int:
        where = self.folder / "Maildir" / f".{folder}" / "cur"
        return len(list(where.iterdir())) if where.exists() else 0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scene(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Scene]:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    with Store.open(database_url, now=clock.now) as store:
        store.add_all([ADA, EMMY], revive=False)
        yield Scene(tmp_path, store, clock, configured(tmp_path))


def report(
    copy: bytes,
    address: str = ADA,
    *,
    status: str = "5.1.1",
    action: str = "failed",
    to: str = "bounces@news.example.org",
) -> bytes:
    """A delivery report that returns `copy`, as Postfix writes it."""
    head = (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.net\r\nTo: {to}\r\nSubject: Undelivered Mail\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt failed.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} <{address}> is gone\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
    )
    return head.encode() + copy + b"\r\n--b--\r\n"


def without(copy: bytes, *names: str) -> bytes:
    """A copy as a server returns it: headers only, and not all."""
    message = message_from_bytes(copy, EmailMessage, policy=default)
    kept = [f"{key}: {value}" for key, value in message.raw_items() if key not in names]
    return "\r\n".join((*kept, "", "")).encode()


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
    scene.arrives(answer(copy, author="Bob <bob@elsewhere.example>", text="unsubscribe"))  # it was forwarded to him
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


def refused(scene: Scene, words: str) -> None:
    """An issue whose copies were refused while sending: Ada's in these words."""
    frozen = scene.issue()
    with scene.store.sending_lock():
        for delivery in scene.store.claim(frozen.id, 10, resend_uncertain=1):
            ada = delivery.address == ADA
            outcome = Outcome(OutcomeKind.REFUSED, 550, words) if ada else Outcome(OutcomeKind.ACCEPTED, 250, "")
            if not ada:
                scene.store.turn([], [delivery])
            source = State.CLAIMED if ada else State.SENDING
            scene.store.turn([Result(delivery, source, outcome)], [])
    scene.store.suppress_refused(frozen.id, scene.config.bounces.policy)
    scene.clock.move(days=1)


def test_an_address_that_is_refused_while_sending_is_suppressed_after_three_issues(scene: Scene) -> None:
    for _ in range(2):
        refused(scene, "5.1.1 no such user")
        assert scene.status() is ACTIVE
    refused(scene, "5.1.1 no such user")
    assert (scene.status(), scene.reader(ADA).reason) == (SUPPRESSED, "refused: 5.1.x in 3 issues")
    assert scene.status(EMMY) is ACTIVE


@pytest.mark.parametrize("words", ["5.7.1 policy", "5.1.8 bad sender", "5.2.2 full", "no code"])
def test_other_refusals_while_sending_suppress_nobody(scene: Scene, words: str) -> None:
    for _ in range(4):
        refused(scene, words)
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


def test_a_crash_between_store_and_mailbox_counts_nothing_twice(scene: Scene) -> None:
    """A kill after the commit and before the move: the mail is still there, and is known."""
    for _ in range(2):
        path = scene.arrives(report(scene.copy(scene.issue(), ADA)[1], status="5.2.2"))
        scene.clock.move(days=1)
    with pytest.raises(Crash):
        read(scene.config, scene.store, DyingMailbox([path.read_bytes()]))
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


def test_a_mail_of_any_size_is_read_at_its_beginning(scene: Scene) -> None:
    scene.arrives(report(scene.copy(scene.issue(), ADA)[1]) + b"x" * 5_000_000)
    scene.collect()
    assert scene.status() is SUPPRESSED
