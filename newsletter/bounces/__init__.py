"""What a mail that came back says: which address failed, for good or for now, who complained, who wants to leave.

    bytes -> parse -> BounceReport -> weigh, decide -> what becomes of the reader

The most exact source that speaks wins: a token of ours, an abuse report (RFC 5965), a delivery report (RFC 3464), then
what flufl.bounce knows of a hundred servers' prose, then the prose itself. Pure: bytes in, values out.
"""

from __future__ import annotations

from dataclasses import replace

from newsletter.bounces.correlation import evidence
from newsletter.bounces.incoming import STUMBLES, Incoming, redacted
from newsletter.bounces.policy import decide, weigh
from newsletter.bounces.prose import auto_reply, known_prose, prose
from newsletter.bounces.structured import complaint, delivery_report, failed_recipients, leaving, ses_notification
from newsletter.bounces.values import BounceReport, CopyEvidence, FailedRecipient
from newsletter.model import ReportKind

__all__ = ["BounceReport", "CopyEvidence", "FailedRecipient", "decide", "parse", "redacted", "weigh"]

# The first reader that knows the format has the word. The order is the rule.
_READERS = (leaving, complaint, ses_notification, delivery_report, failed_recipients, auto_reply, known_prose, prose)


def parse(raw: bytes) -> BounceReport:
    """Understand one mail, with any line ends. Never raises: what cannot be understood is ReportKind.BROKEN."""
    try:
        mail = Incoming.read(raw)
        found = next((found for reader in _READERS if (found := reader(mail)) is not None), None)
        if found is None:
            found = BounceReport(ReportKind.BROKEN if mail.from_a_system else ReportKind.OTHER)
        return replace(found, evidence=evidence(mail, found.kind))
    except STUMBLES:
        return BounceReport(ReportKind.BROKEN)
