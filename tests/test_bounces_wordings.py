"""What the words of a delivery report count as: of whom they speak decides, and no code overrules them."""

from __future__ import annotations

import pytest

from newsletter.bounces import BounceReport, CopyEvidence, FailedRecipient, Proof, weigh, weigh_report
from newsletter.model import ReportKind, Weight

HARD, SOFT, NONE = Weight.HARD, Weight.SOFT, Weight.NONE
PERMANENT, TEMPORARY, COMPLAINT = ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT

# The report's status, the server's words, what they count as, and where such words were published.
REPORTS: list[tuple[str, str, Weight, str]] = [
    # The address does not exist, or is closed.
    ("5.1.1", "smtp; 550 5.1.1 <ada@example.net>... User Unknown", HARD, "sendmail, sisimai lhost-outlook-02"),
    ("5.0.0", 'smtp; 550 "Unknown User"', HARD, "sisimai/p5-sisimai#312"),
    ("", "host mx.example.net said: 550 No Such User Here", HARD, "postalserver/postal#786"),
    ("5.1.1", "smtp; 550-5.1.1 The email account that you tried to reach does not exist.", HARD, "Gmail, postal#786"),
    ("", "550 User unknown in virtual mailbox table", HARD, "Postfix, goposta/posta#86"),
    ("", "554 delivery error: dd This user doesn't have a yahoo.com account", HARD, "postalserver/postal#253"),
    ("5.1.6", "smtp; 550 5.1.6 recipient no longer on server: ada@example.net", HARD, "iCloud, sisimai rhost-apple-01"),
    ("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", HARD, "Exchange Online NDRs"),
    ("", "Sorry, no mailbox here by that name. (#5.1.1)", HARD, "qmail-smtpd, flufl.bounce simple"),
    ("5.1.1", "", HARD, "RFC 3463 section 3.2"),
    # The reader's mailbox, for now.
    ("5.1.1", "smtp; 552 sorry, mailbox is over quota temporarily (#5.1.1)", SOFT, "MailFoundry"),
    ("5.2.2", "smtp; 552 5.2.2 mailbox full", SOFT, "Exchange 2013 NDRs"),
    ("5.0.0", "smtp; 452-4.2.2 The email account that you tried to reach is over quota.", SOFT, "Gmail SMTP errors"),
    ("", "552 Quota violation for ada@example.net", SOFT, "flufl.bounce simple_14"),
    ("5.1.1", "Amazon SES has suppressed sending to this address because it is an invalid address", SOFT, "Amazon SES"),
    # The moment: networks, servers, time.
    ("5.2.1", "550 5.2.1 The user you are trying to contact is receiving mail at a rate that", SOFT, "Gmail"),
    ("", "ada@example.net: Envelope expired", SOFT, "OpenSMTPD"),
    ("5.4.7", "delivery time expired", SOFT, "RFC 3463 section 3.5"),
    ("5.3.0", "smtp; 550 Host unreachable for 5 days, message returned", SOFT, "sendmail"),
    ("5.0.0", "smtp; 554 Service currently unavailable", SOFT, "public bounce studies"),
    ("4.4.1", "connect to mx.example.net[192.0.2.7]:25: Connection timed out", SOFT, "Postfix"),
    # The sender, its address, its reputation, its quota.
    ("5.1.0", "550 5.1.0 <digest@news.example.org> sender rejected.", NONE, "Cox error codes"),
    ("", "571 No PTR Record found. Reverse DNS required: 203.0.113.22", NONE, "Exim, Comcast"),
    ("5.1.1", "550 5.1.1 news.example.org has sent to too many recipients this hour", NONE, "GoDaddy"),
    ("5.1.90", "550 5.1.90 Your message can't be sent because you've reached your daily limit", NONE, "Microsoft 365"),
    ("5.0.0", "554 Message rejected: Email address is not verified.", NONE, "Amazon SES sandbox"),
    ("5.1.1", "550 5.1.1 SPF check failed for news.example.org", NONE, "hyvor/relay#258"),
    ("5.0.0", "550 Blocked, see https://www.spamhaus.org/query/ip/203.0.113.22", NONE, "hyvor/relay#258"),
    ("5.7.1", "550-5.7.1 Our system has detected that this message is likely unsolicited mail.", NONE, "postal#266"),
    ("5.0.0", "smtp; 550 Ip frequency limited", NONE, "Tencent, sisimai rhost-tencent-01"),
    ("5.7.26", "550-5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy", NONE, "Gmail"),
    ("5.7.1", "smtp; 5.1.0 - Unknown address error 550-'5.7.1 Access denied' (delivery attempts: 0)", NONE, "Cisco"),
    ("5.1.0", "smtp; 5.1.0 - Unknown address error 550-'User unknown' (delivery attempts: 0)", HARD, "Cisco"),
    # The message.
    ("5.6.0", "554 5.6.0 content rejected", NONE, "RFC 3463 section 3.7"),
    # Nobody knows of whom.
    ("", "Undeliverable address: ada@example.net", NONE, "a heading of many reports"),
    ("5.1.1", "550 5.1.1 the moon is in the wrong house", SOFT, "a code, and words that nobody knows"),
    ("5.0.0", "", SOFT, "a report without a word"),
    ("", "", NONE, "a report without word and code"),
    ("5.0.0", "550 the moon is in the wrong house", NONE, "nobody's words"),
    ("", "550 Адрес временно не принят", NONE, "words in a language that the table does not have"),
]


@pytest.mark.parametrize(("status", "words", "weight", "source"), REPORTS)
def test_words_decide_what_a_report_counts_as(status: str, words: str, weight: Weight, source: str) -> None:
    assert weigh(PERMANENT, FailedRecipient("ada@example.net", status, words)).weight is weight, source


@pytest.mark.parametrize(("status", "words", "weight", "source"), REPORTS)
def test_a_report_that_only_mentions_a_copy_is_soft_at_most(
    status: str, words: str, weight: Weight, source: str
) -> None:
    counted = weigh(PERMANENT, FailedRecipient("ada@example.net", status, words), Proof.MENTION).weight
    assert counted is (SOFT if weight is HARD else weight), source


def test_a_delay_counts_for_nobody_and_a_complaint_needs_the_copy() -> None:
    assert weigh(TEMPORARY, FailedRecipient("ada@example.net", "5.1.1", "user unknown")).weight is NONE
    assert weigh(COMPLAINT, FailedRecipient("ada@example.net")).weight is Weight.COMPLAINT
    assert weigh(COMPLAINT, FailedRecipient("ada@example.net"), Proof.MENTION).weight is NONE


@pytest.mark.parametrize("name", ["no.such.user", "spam.list", "quota"])
def test_an_address_is_no_word_of_the_server(name: str) -> None:
    """Readers may be called anything, and their names must not decide."""
    plain = weigh(PERMANENT, FailedRecipient("ada@example.net", "", "550 <ada@example.net> said no"))
    assert weigh(PERMANENT, FailedRecipient(f"{name}@example.net", "", f"550 <{name}@example.net> said no")) == plain


def test_of_several_failures_the_one_of_the_returned_copy_counts_else_the_mildest() -> None:
    gone = FailedRecipient("ada@example.net", "5.1.1", "user unknown")
    full = FailedRecipient("emmy@example.net", "5.2.2", "mailbox full")

    def counted(*meant: str) -> Weight:
        return weigh_report(BounceReport(PERMANENT, (gone, full), CopyEvidence(addresses=meant)))[1].weight

    assert (counted("ada@example.net"), counted("EMMY@example.net"), counted()) == (HARD, SOFT, SOFT)
