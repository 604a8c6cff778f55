"""Rows by code alone: enhanced status codes, then reply codes that an RFC gives one meaning at a stage."""

from __future__ import annotations

from typing import Final

from newsletter.replies.patterns import OF_A_RECIPIENT
from newsletter.replies.values import Concern, Rule, Stage

_RFC: Final = "RFC 3463 section 3, RFC 5248 and the IANA registry of enhanced status codes"

ENHANCED: Final = (
    Rule("5.1.90", Concern.SENDER, False, "Exchange Online NDRs: daily limit for recipients", enhanced=("1.90",)),
    Rule(
        "no such address, by code",
        Concern.RECIPIENT,
        True,
        _RFC,
        enhanced=("1.1", "1.2", "1.3", "1.6", "1.10", "2.1"),
        stages=OF_A_RECIPIENT,
    ),
    Rule("address, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("1.",)),
    Rule(
        "mailbox full, by code",
        Concern.RECIPIENT,
        False,
        _RFC,
        enhanced=("2.2", "2.4"),
        stages=OF_A_RECIPIENT,
    ),
    Rule("mailbox, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("2.",)),
    Rule("message too big for the server", Concern.MESSAGE, True, _RFC, enhanced=("3.4",)),
    Rule("mail system", Concern.SERVER, False, _RFC, enhanced=("3.1", "3.2", "3.5")),
    Rule("mail system, for now", Concern.SERVER, False, _RFC, codes=("4",), enhanced=("3.",)),
    Rule("mail system, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("3.",)),
    Rule("5.4.5", Concern.SENDER, False, "Gmail 550 5.4.5; RFC 3463 section 3.5: congestion", enhanced=("4.5",)),
    Rule("network", Concern.MOMENT, False, _RFC, enhanced=("4.",)),
    Rule("too many recipients", Concern.SENDER, False, _RFC, enhanced=("5.3",)),
    Rule(
        "login", Concern.SENDER, True, "RFC 4954 section 6, RFC 5248", enhanced=("7.8", "7.9", "7.11", "7.13", "7.57")
    ),
    Rule(
        "login needed", Concern.SENDER, True, "RFC 4954 section 6: 530 5.7.0", codes=("530", "535"), enhanced=("7.0",)
    ),
    Rule("policy at MAIL", Concern.SENDER, True, _RFC, codes=("5",), enhanced=("7.",), stages=frozenset({Stage.MAIL})),
    Rule("policy", Concern.SENDER, False, _RFC, enhanced=("7.",)),
)


CODES: Final = (
    Rule("login", Concern.SENDER, True, "RFC 4954 section 6", codes=("523", "524", "525", "530", "534", "535", "538")),
    Rule("SIZE", Concern.MESSAGE, True, "RFC 1870 section 6", codes=("552",), stages=frozenset({Stage.MAIL})),
    Rule(
        "552 about a mailbox",
        Concern.RECIPIENT,
        False,
        "RFC 5321 section 4.2.3: exceeded storage allocation",
        codes=("552",),
        stages=OF_A_RECIPIENT,
    ),
    Rule("421", Concern.SERVER, False, "RFC 5321 section 3.8", codes=("421",)),
    Rule("451 or 452", Concern.SERVER, False, "RFC 5321 section 4.2.3", codes=("451", "452")),
    Rule("refused login", Concern.SENDER, True, "RFC 4954 section 4", codes=("5",), stages=frozenset({Stage.LOGIN})),
    Rule("refused sender", Concern.SENDER, True, "RFC 5321 section 3.3", codes=("5",), stages=frozenset({Stage.MAIL})),
    Rule("refused connection", Concern.SERVER, False, "RFC 5321 section 3.1", stages=frozenset({Stage.CONNECT})),
)
