"""The table of replies against what servers really say."""

from __future__ import annotations

import csv
from datetime import timedelta

import pytest

from newsletter.replies import Concern, Stage, alike, judge, stated_wait
from newsletter.replies.rules import RULES
from tests.conftest import ROOT


def real_replies() -> list[tuple[str, int | None, str, str, bool]]:
    """The rows of tests/data/replies.tsv: words from public sources, each of which stands in its last column."""
    with (ROOT / "tests/data/replies.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(row["source"] for row in rows)
    return [
        (row["stage"], int(row["code"]) if row["code"] else None, row["text"], row["concern"], row["for_good"] == "yes")
        for row in rows
    ]


@pytest.mark.parametrize(("stage", "code", "text", "concern", "for_good"), real_replies())
def test_of_whom_a_reply_speaks(stage: str, code: int | None, text: str, concern: str, for_good: bool) -> None:
    judgement = judge(Stage[stage], code, text)
    assert (judgement.concern, judgement.for_good) == (Concern(concern), for_good), judgement.rule


def test_the_words_come_from_public_sources_and_there_are_many() -> None:
    replies = real_replies()
    assert len(replies) >= 250
    assert len({text for _, _, text, _, _ in replies}) >= 240


CODES_ALONE: list[tuple[Stage, int, str, Concern, bool]] = [
    (Stage.RCPT, 550, "5.1.90 x", Concern.SENDER, False),
    (Stage.RCPT, 550, "5.1.4 x", Concern.UNKNOWN, False),
    (Stage.RCPT, 550, "5.2.2 x", Concern.RECIPIENT, False),
    (Stage.RCPT, 550, "5.2.0 x", Concern.UNKNOWN, False),
    (Stage.DOT, 554, "5.3.4 x", Concern.MESSAGE, True),
    (Stage.DOT, 554, "5.3.2 x", Concern.SERVER, False),
    (Stage.RCPT, 550, "5.4.5 x", Concern.SENDER, False),
    (Stage.RCPT, 452, "4.5.3 x", Concern.SENDER, False),
    (Stage.RCPT, 550, "5.7.8 x", Concern.SENDER, True),
    (Stage.MAIL, 550, "5.7.1 x", Concern.SENDER, True),
    (Stage.RCPT, 550, "5.7.1 x", Concern.SENDER, False),
    (Stage.MAIL, 552, "x", Concern.MESSAGE, True),
    (Stage.DOT, 552, "x", Concern.RECIPIENT, False),
    (Stage.MAIL, 421, "x", Concern.SERVER, False),
    (Stage.RCPT, 451, "x", Concern.SERVER, False),
    (Stage.LOGIN, 550, "x", Concern.SENDER, True),
    (Stage.MAIL, 550, "x", Concern.SENDER, True),
    (Stage.CONNECT, 554, "x", Concern.SERVER, False),
    (Stage.MAIL, 550, "quota exceeded", Concern.SENDER, False),
    (Stage.RCPT, 550, "quota exceeded", Concern.RECIPIENT, False),
    (Stage.DOT, 554, "5.6.3 x", Concern.MESSAGE, False),
    (Stage.RCPT, 550, "limit exceeded", Concern.SENDER, False),
    (Stage.REPORT, 550, "5.1.9 <r@example.net> is gone", Concern.RECIPIENT, True),
    (Stage.REPORT, 550, "5.1.9 <ADDRESS> is gone", Concern.RECIPIENT, True),
    (Stage.REPORT, 550, "ADDRESS: the key was not found", Concern.UNKNOWN, False),
    (Stage.RCPT, 550, "ADDRESS UNKNOWN", Concern.RECIPIENT, True),
    (Stage.REPORT, 554, "recipient is suppressed", Concern.RECIPIENT, False),
    (Stage.RCPT, 530, "5.7.0 x", Concern.SENDER, True),
    (Stage.RCPT, 550, "5.3.0 x", Concern.UNKNOWN, False),
    (Stage.RCPT, 451, "4.3.0 x", Concern.SERVER, False),
    (Stage.RCPT, 550, "5.4.2 x", Concern.MOMENT, False),
    (Stage.RCPT, 534, "x", Concern.SENDER, True),
    (Stage.RCPT, 550, "5.2.1 mailbox unavailable", Concern.RECIPIENT, True),
    (Stage.RCPT, 550, "mailbox unavailable", Concern.RECIPIENT, True),
    (Stage.DOT, 550, "mailbox unavailable", Concern.UNKNOWN, False),
    (Stage.RCPT, 550, "x", Concern.UNKNOWN, False),
    (Stage.RCPT, 550, "192.0.2.7 5.1.1.9 version 5.7.1.2", Concern.UNKNOWN, False),  # no enhanced codes
]


def test_every_row_of_the_table_has_a_source_and_decides_about_some_reply() -> None:
    assert all(rule.source for rule in RULES)
    real = {judge(Stage[stage], code, text).rule for stage, code, text, _, _ in real_replies()}
    alone = {judge(stage, code, text).rule for stage, code, text, _, _ in CODES_ALONE}
    assert {rule.name for rule in RULES} - real - alone == set()


@pytest.mark.parametrize(("stage", "code", "text", "concern", "for_good"), CODES_ALONE)
def test_codes_decide_where_no_words_do(stage: Stage, code: int, text: str, concern: Concern, for_good: bool) -> None:
    judgement = judge(stage, code, text)
    assert (judgement.concern, judgement.for_good) == (concern, for_good), judgement.rule


def test_nothing_temporary_is_for_good() -> None:
    later = [(stage, int(f"4{str(code)[1:]}") if code else 450, text) for stage, code, text, _, _ in real_replies()]
    judged = [(text, judge(Stage[stage], code, text.replace("5.", "4."))) for stage, code, text in later]
    assert [text for text, judgement in judged if judgement.for_good] == []


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.LOGIN, Stage.MAIL])
def test_before_rcpt_nothing_is_about_a_recipient_in_words(stage: Stage) -> None:
    about = [text for _, _, text, concern, _ in real_replies() if concern == "recipient"]
    words = [text.partition(" ")[2] if text[:1] in "45" else text for text in about]
    assert len(words) > 80
    assert [text for text in words if judge(stage, 550, text).concern is Concern.RECIPIENT] == []


@pytest.mark.parametrize(
    "name", ["sender.rejected.blacklist@spam.example", "user.unknown@nosuchuser.example", "quota@full-mailbox.example"]
)
def test_an_address_is_no_word(name: str) -> None:
    judgement = judge(Stage.RCPT, 550, f"<{name}>: something new")
    assert judgement.concern is Concern.UNKNOWN, judgement.rule


def test_of_several_codes_the_one_about_policy_counts() -> None:
    judgement = judge(Stage.REPORT, None, "5.1.0 - Unknown address error 550-'5.7.1 <x@example.org>... Denied'")
    assert judgement.concern is Concern.SENDER


@pytest.mark.parametrize("words", ["a" * 600, "user " * 120, "sent " * 120, "( " * 300, "mailbox limit " * 40])
def test_the_table_takes_linear_time(words: str) -> None:
    """The words are no rule's; a pattern that backtracks without bound would not return within the suite's time-out."""
    judge(Stage.DOT, 550, words * 1_000)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("4.7.1 Sender quota exceeded, try again in 1 hour", timedelta(hours=1)),
        ("Too many messages. Try again in 92 seconds.", timedelta(seconds=92)),
        ("Sending is blocked. Please wait 30 minutes", timedelta(minutes=30)),
        ("retry after 24 hours", timedelta(hours=24)),
        ("try again in an hour", timedelta(hours=1)),
        ("bitte in 2 Stunden erneut versuchen oder wieder in 3 Stunden", timedelta(hours=3)),
        ("limit of 500 messages in 24 hours exceeded", None),
        ("try again later", None),
        ("5.4.5 Daily user sending limit exceeded", None),
    ],
)
def test_how_long_a_server_asks_to_wait(text: str, wait: timedelta | None) -> None:
    assert stated_wait(text) == wait


def test_replies_are_alike_apart_from_names_and_numbers() -> None:
    one = alike(550, "5.7.1 <ada@example.org>: not today (id 4f2a, 192.0.2.7)")
    two = alike(550, "5.7.1 <emmy@example.net>: not today (id 99ab1, 198.51.100.1)")
    assert one == two
    assert one != alike(550, "5.7.1 <ada@example.org>: not this week (id 4f2a, 192.0.2.7)")
    assert one != alike(554, "5.7.1 <ada@example.org>: not today (id 4f2a, 192.0.2.7)")
