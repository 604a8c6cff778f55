"""Rows about words of delivery reports, which stand in no reply while sending."""

from __future__ import annotations

from typing import Final

from newsletter.replies.patterns import any_of
from newsletter.replies.values import Concern, Rule, Stage

# A report is a relay's last word after days of trying, so trouble at the reader's end is of the moment there.

REPORTS: Final = (
    Rule(
        "trouble at the reader's end",
        Concern.MOMENT,
        False,
        "Sisimai's set-of-emails (554 Service currently unavailable); Exim; Sendmail",
        any_of(
            r"service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)",
            r"(?:host|server) (?:is )?(?:down|unreachable|not responding)",
            r"maximum-time-expired|given up after|retry timeout exceeded",
        ),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "on a suppression list",
        Concern.RECIPIENT,
        False,
        "Amazon SES developer guide, suppression lists: another sender's bounce may be the cause",
        any_of(r"suppressed sending|suppression list|recipient is suppressed"),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "the reader is gone",
        Concern.RECIPIENT,
        True,
        "postalserver/postal#253 (Yahoo); reports about people who left their employer",
        any_of(
            r"does(?:n't| not) have an? \S{1,60} account",
            r"no longer (?:works (?:at|for)|employed)|has left (?:the|our) (?:company|organi[sz]ation|university)",
        ),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "the reader is gone",
        Concern.RECIPIENT,
        True,
        "the same words, which say little without a code of addresses (RFC 3463 section 3.2)",
        any_of(r"@\W{0,3} (?:is gone|has left|has moved)"),
        enhanced=("1.",),
        stages=frozenset({Stage.REPORT}),
    ),
)
