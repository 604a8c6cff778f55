"""What a mail that came back says: on reports made by hand, on real ones, and on what was made to do harm."""

from __future__ import annotations

import csv
import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.bounces import BounceReport, decide, parse, redacted, weigh
from newsletter.bounces.incoming import shown_line
from newsletter.model import BouncePolicy, ReportKind, Strike, SubscriberStatus, Weight

FOLDER = Path(__file__).parent / "data" / "bounces"
PERMANENT, TEMPORARY, COMPLAINT = ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT
OTHER, AUTO = ReportKind.OTHER, ReportKind.AUTO_REPLY

# Each file beside: what it is, whom it names, and what its status is.
EXPECTED: dict[str, tuple[ReportKind, str, str]] = {
    "dsn-failed": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-forwarded": (PERMANENT, "ada@example.net", "5.2.2"),
    "dsn-delayed": (TEMPORARY, "ada@example.net", "4.4.1"),
    "dsn-delivered": (OTHER, "", ""),
    "dsn-gave-up": (PERMANENT, "ada@example.net", "4.4.1"),
    "dsn-policy": (PERMANENT, "ada@example.net", "5.7.1"),
    "dsn-no-report-type": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-no-blank-line": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-two-recipients": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-no-boundary": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-without-address": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-expired": (PERMANENT, "ada@example.net", ""),
    "dsn-no-headers": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-unfolded-headers": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-base64": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-from-a-person": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-nested": (PERMANENT, "ada@example.net", "5.1.1"),
    "arf-abuse": (COMPLAINT, "ada@example.net", ""),
    "arf-redacted": (COMPLAINT, "", ""),
    "arf-not-spam": (OTHER, "", ""),
    "arf-auth-failure": (OTHER, "", ""),
    "arf-hotmail": (COMPLAINT, "ada@example.net", ""),
    "auto-rfc3834": (AUTO, "", ""),
    "auto-exchange": (AUTO, "", ""),
    "auto-subject": (AUTO, "", ""),
    "auto-receipt": (AUTO, "", ""),
    "person-reply": (OTHER, "", ""),
    "person-forwards-a-mail": (OTHER, "", ""),
    "unsubscribe": (ReportKind.UNSUBSCRIBE, "", ""),
    "unsubscribe-in-body": (ReportKind.UNSUBSCRIBE, "", ""),
    "unsubscribe-without-token": (ReportKind.UNSUBSCRIBE, "", ""),
    "prose-gmail": (PERMANENT, "ada@example.net", "5.1.1"),
    "prose-gmail-delay": (TEMPORARY, "ada@example.net", ""),
    "prose-qmail": (PERMANENT, "ada@example.net", "5.1.1"),
    "prose-details": (PERMANENT, "ada@example.net", ""),
    "prose-filter": (PERMANENT, "ada@example.net", ""),
    "prose-gateway": (PERMANENT, "ada@example.net", "5.1.1"),
    "prose-errors-line": (PERMANENT, "ada@example.net", ""),
    "prose-one-sentence": (PERMANENT, "ada@example.net", "5.4.6"),
    "prose-mailbox-full": (PERMANENT, "ada@example.net", ""),
    "prose-html": (PERMANENT, "ada@example.net", ""),
    "prose-only-the-original": (PERMANENT, "ada@example.net", ""),
    "ses-bounce": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-complaint": (COMPLAINT, "ada@example.net", ""),
    "broken": (ReportKind.BROKEN, "", ""),
    "dsn-mailbox-in-headers": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-mailbox-in-headers-delay": (TEMPORARY, "ada@example.net", "4.4.7"),
    "dsn-names-the-mailbox": (PERMANENT, "ada@example.net", "5.1.1"),
    "dsn-james": (PERMANENT, "ada@example.net", "5.1.1"),
    "prose-james": (PERMANENT, "ada@example.net", ""),
    "prose-james-remote": (PERMANENT, "ada@example.net", ""),
    "prose-reason-below-the-address": (PERMANENT, "ada@example.net", ""),
    "prose-dragonfly": (PERMANENT, "ada@example.net", "5.1.1"),
    "prose-dragonfly-delivered": (PERMANENT, "ada@example.net", "5.7.1"),
    "ses-cut-in-the-address": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-folded-in-the-address": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-envelope": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-quoted-printable": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-base64": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-event": (PERMANENT, "ada@example.net", "5.1.1"),
    "ses-mailbox-full": (PERMANENT, "ada@example.net", "4.2.2"),
    "ses-transient": (TEMPORARY, "ada@example.net", ""),
    "ses-unreadable": (ReportKind.BROKEN, "", ""),
    "ticket-undeliverable": (AUTO, "", ""),
    "ticket-empty-return-path": (AUTO, "", ""),
    "person-asks-about-a-bounce": (OTHER, "", ""),
    "person-forwards-a-report": (OTHER, "", ""),
}


def read(name: str) -> BounceReport:
    return parse((FOLDER / f"{name}.eml").read_bytes())


def test_every_report_beside_has_its_row() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_what_a_mail_is_and_whom_it_names(name: str, ends: str) -> None:
    returned = parse((FOLDER / f"{name}.eml").read_bytes().replace(b"\n", ends.encode()))
    first = returned.failures[0] if returned.failures else None
    assert (returned.kind, first.address if first else "", first.status if first else "") == EXPECTED[name]


def test_the_reason_is_found_below_a_heading_with_the_address() -> None:
    (found,) = read("prose-reason-below-the-address").failures
    assert weigh(PERMANENT, found).weight is Weight.SOFT


def test_each_recipient_of_a_report_is_named() -> None:
    assert [(found.address, found.status) for found in read("dsn-two-recipients").failures] == [
        ("ada@example.net", "5.1.1"),
        ("emmy@example.net", "5.2.1"),
    ]


def test_an_address_that_was_forwarded_is_told_beside_the_one_that_was_written_to() -> None:
    (found,) = read("dsn-forwarded").failures
    assert (found.address, found.final) == ("ada@example.net", "countess@elsewhere.example")


def test_what_may_tie_a_report_to_a_copy_is_found_in_what_it_returns() -> None:
    evidence = read("dsn-failed").evidence
    assert evidence.recipients == ("bounces@news.example.org",)
    assert evidence.message_ids == evidence.mentioned_ids == ("20261124.00112233445566778899aabbccddeeff",)
    assert evidence.addresses == ("ada@example.net",)


@pytest.mark.parametrize("name", ["dsn-nested", "prose-qmail", "prose-dragonfly", "ses-envelope", "dsn-base64"])
def test_the_returned_message_is_found_in_any_form_of_report(name: str) -> None:
    assert read(name).evidence.message_ids == ("20261124.00112233445566778899aabbccddeeff",)


@pytest.mark.parametrize("name", ["ticket-empty-return-path", "person-asks-about-a-bounce", "ticket-undeliverable"])
def test_an_answer_returns_no_message(name: str) -> None:
    assert read(name).failures == ()


def test_only_a_token_that_stands_for_itself_unsubscribes() -> None:
    token = "A" * 32
    assert read("unsubscribe").evidence.tokens == read("unsubscribe-in-body").evidence.tokens == (token,)
    assert read("unsubscribe-without-token").evidence.tokens == ()
    quoted = f"From: ada@example.net\nSubject: unsubscribe\n\n> https://news.example.org/unsubscribe/{token}\n"
    assert parse(quoted.encode()).evidence.tokens == ()


@pytest.mark.parametrize(
    ("subject", "text", "leaves"),
    [
        ("Re: Papers", "unsubscribe", True),
        ("Re: Papers", "\n\n \u201cUnsubscribe\u201d!\nAda", True),
        ("Re: Fwd: Unsubscribe", "x", True),
        ("Re: Papers", "I like it.\nunsubscribe", False),
        ("Re: Papers", "unsubscribe me never", False),
        ("Re: Papers", "> unsubscribe", False),
        ("Re: how to unsubscribe", "x", False),
    ],
)
def test_only_the_word_alone_at_the_beginning_is_a_wish_to_leave(subject: str, text: str, leaves: bool) -> None:
    found = parse(f"From: Ada <ada@example.net>\nSubject: {subject}\n\n{text}\n".encode())
    assert found.kind is (ReportKind.UNSUBSCRIBE if leaves else OTHER)


def test_the_copy_that_is_answered_is_taken_from_the_headers_only() -> None:
    head = "From: Ada <ada@example.net>\nSubject: Re: Papers\n"
    first, second = f"20261124.{'a' * 32}", f"20261123.{'b' * 32}"
    answers = f"In-Reply-To: <{first}@news.example.org>\nReferences: <{second}@news.example.org>\n"
    evidence = parse(f"{head}{answers}\nunsubscribe\n".encode()).evidence
    assert (evidence.message_ids, evidence.addresses, evidence.recipients) == (
        (first, second),
        ("ada@example.net",),
        (),
    )
    assert parse(f"{head}\nunsubscribe\n\n{answers}".encode()).evidence.message_ids == ()


def test_a_person_who_answers_a_digest_about_bounces_has_not_bounced() -> None:
    answer = (
        "From: Ada <ada@example.net>\nTo: bounces@news.example.org\nSubject: Re: Undeliverable promises\n\n"
        "My mailbox is full of these, ada@example.net was rejected, user unknown. 550!\n"
    )
    assert parse(answer.encode()).kind is OTHER


def test_a_reader_who_forwards_the_report_of_a_mail_of_his_own_has_not_bounced() -> None:
    report = (FOLDER / "dsn-failed.eml").read_text("utf-8")
    forwarded = f"From: Ada <ada@example.net>\nSubject: Fwd: Undelivered Mail\n\nWhat is this?\n\n{report}"
    assert parse(forwarded.encode()).kind is OTHER


# --- real reports ----------------------------------------------------------------------------------------------------


def test_real_reports_are_understood(shared_data: Path) -> None:
    """Every permanent failure names its address, and nothing that is none removes anybody."""
    folder = shared_data / "bounces"
    with (folder / "labels.tsv").open(encoding="utf-8") as labels:
        rows = list(csv.DictReader(labels, delimiter="\t"))
    wrong = [row["file"] for row in rows if not _as_labelled(parse((folder / row["file"]).read_bytes()), row)]
    assert rows
    assert wrong == []


def _as_labelled(returned: BounceReport, row: dict[str, str]) -> bool:
    named = {name.casefold() for found in returned.failures for name in (found.address, found.final)}
    labelled = {name.casefold() for name in (row["failing_address"] or "").split(",") if name}
    weights = {weigh(returned.kind, found).weight for found in returned.failures}
    match row["kind"].partition(" ")[0]:
        case "permanent" | "failed-4xx":
            return returned.kind is PERMANENT and labelled <= named
        case "temporary":
            return returned.kind is TEMPORARY and labelled <= named
        case "feedback-report":
            return returned.kind is COMPLAINT and labelled <= named
        case "auto-reply":
            return returned.kind is AUTO and not returned.failures
        case _:
            return weights <= {Weight.NONE}


# --- harm ------------------------------------------------------------------------------------------------------------


def test_nothing_that_a_stranger_sends_raises() -> None:
    dice = random.Random(7)
    samples = [path.read_bytes() for path in FOLDER.iterdir()]
    for _ in range(300):
        raw = bytearray(dice.choice(samples))
        for _ in range(dice.randrange(1, 30)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        parse(bytes(raw))


@pytest.mark.slow
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 1000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: message/rfc822\n\n" * 500,
        b"Content-Type: text/plain; charset=nonsense\nFrom: MAILER-DAEMON\n\n550",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\nFrom: MAILER-DAEMON\n\n====",
        b"Subject: =?x?q?=?=\nFrom: =?utf-8?b?!!?=\n\n",
        b"From: MAILER-DAEMON\n\n" + b"a" * 1_000_000,
        b"From: MAILER-DAEMON\nSubject: failure notice\n\n" + b" " * 200_000 + b"\n" + b"<" * 200_000 + b"@" * 200_000,
        b"From: MAILER-DAEMON\nContent-Type: text/html\n\n" + b"<style" * 100_000,
        b"From: MAILER-DAEMON\nX-Failed-Recipients: " + b"a@b.cc," * 50_000 + b"\n\n",
    ],
    ids=range(10),
)
def test_hostile_mails_end_in_a_kind(raw: bytes) -> None:
    assert parse(raw).kind in ReportKind


# --- policy ----------------------------------------------------------------------------------------------------------


def strikes(*found: tuple[ReportKind, Weight, int]) -> list[Strike]:
    return [Strike(kind, weight, date(2026, 11, 1) + timedelta(days=day)) for kind, weight, day in found]


GONE = (PERMANENT, Weight.HARD)
FULL = (PERMANENT, Weight.SOFT)
OURS = (PERMANENT, Weight.NONE)


@pytest.mark.parametrize(
    ("history", "becomes"),
    [
        ([(*GONE, 0)], SubscriberStatus.SUPPRESSED),
        ([(COMPLAINT, Weight.COMPLAINT, 0)], SubscriberStatus.SUPPRESSED),
        ([(ReportKind.UNSUBSCRIBE, Weight.NONE, 0)], SubscriberStatus.UNSUBSCRIBED),
        ([(*OURS, day) for day in range(9)], None),
        ([(TEMPORARY, Weight.NONE, day) for day in range(9)], None),
        ([(ReportKind.AUTO_REPLY, Weight.NONE, day) for day in range(9)], None),
        ([(*FULL, 0), (*FULL, 1)], None),
        ([(*FULL, 0), (*FULL, 1), (*FULL, 1)], None),  # one issue counts once
        ([(*FULL, 0), (*FULL, 1), (*FULL, 13)], SubscriberStatus.SUPPRESSED),
        ([(*FULL, 0), (*FULL, 1), (*FULL, 14)], None),  # the first is too old
        ([(*FULL, 0), (*FULL, 1), (*OURS, 2)], None),
    ],
)
def test_the_policy_decides(history: list[tuple[ReportKind, Weight, int]], becomes: SubscriberStatus | None) -> None:
    assert decide(strikes(*history), BouncePolicy()) is becomes


def test_a_limit_is_the_operator_s_and_0_is_never() -> None:
    once = strikes((*GONE, 0))
    assert decide(once, BouncePolicy(hard=2)) is None
    assert decide(once, BouncePolicy(hard=0)) is None
    assert decide(strikes((COMPLAINT, Weight.COMPLAINT, 0)), BouncePolicy(complaint=0)) is None


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("550 5.1.1 <ada@example.net>: no such user", "550 5.1.1 <ADDRESS>: no such user"),
        ("ada@example.net: gone", "ADDRESS: gone"),
        ("see https://x.example/?who=ada%40example.net&c=1", "see https:ADDRESS"),
        ("rfc822;ada@example.net", "rfc822;ADDRESS"),
        ('"ada lovelace"@example.net is gone', "ADDRESS is gone"),
        ("o'brien@example.net is gone", "ADDRESS is gone"),
        ("(ada@[192.0.2.7]) is gone", "(ADDRESS) is gone"),
        ("SRS0=HH=TT=example.net=ada@relay.example is gone", "ADDRESS is gone"),
        ("bounces+ada=example.net@lists.example is gone", "ADDRESS is gone"),
        ("ada&#64;example.net, ada=40example.net, ada\uff20example.net", "ADDRESS, ADDRESS, ADDRESS"),
        (f"{'a' * 200}@example.net is gone", "ADDRESS is gone"),
    ],
)
def test_the_words_that_are_kept_hold_no_address(words: str, kept: str) -> None:
    assert redacted(words) == kept


def test_words_are_not_cut_within_an_address() -> None:
    """Half an address, without its "@", would be kept."""
    words = shown_line(f"{'x ' * 495}ada.lovelace@example.net is gone")
    assert "ada" not in redacted(words)
