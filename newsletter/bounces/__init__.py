"""What a returned mail says: which address failed, permanently or for now, who complained, who wants to leave.

    bytes -> parse -> BounceReport -> weigh, decide -> the reader's new status

The most exact source wins: a token of ours, an abuse report (RFC 5965), a delivery report (RFC 3464), then the wording
of a hundred servers that flufl.bounce knows, then any other prose. Pure: bytes in, values out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from newsletter.bounces.correlation import evidence
from newsletter.bounces.incoming import STUMBLES, Incoming, redacted
from newsletter.bounces.policy import decide, weigh, weigh_report
from newsletter.bounces.prose import auto_reply, known_prose, prose
from newsletter.bounces.structured import complaint, delivery_report, failed_recipients, leaving, ses_notification
from newsletter.bounces.values import BounceReport, CopyEvidence, FailedRecipient, Proof, Tie
from newsletter.model import ReportKind

__all__ = [
    "BounceReport",
    "CopyEvidence",
    "FailedRecipient",
    "Proof",
    "Tie",
    "decide",
    "parse",
    "redacted",
    "weigh",
    "weigh_report",
]

# After `leaving`, the first of these that recognises the mail decides. The order is the rule.
_INTERPRETERS = (complaint, ses_notification, delivery_report, failed_recipients, auto_reply, known_prose, prose)


def parse(raw: bytes, words: Collection[str] = ("unsubscribe",)) -> BounceReport:
    """Understand one mail, with any line ends. Never raises: a report that cannot be understood is BROKEN.

    `words` are those by which readers leave, in all languages (`languages.words_to_leave`).
    """
    try:
        mail = Incoming.read(raw)
        found = leaving(mail, words)
        if found is None:
            found = next((found for interpret in _INTERPRETERS if (found := interpret(mail)) is not None), None)
        if found is None:
            found = BounceReport(ReportKind.BROKEN if mail.from_a_system else ReportKind.OTHER)
        return replace(found, evidence=evidence(mail, found.kind))
    except STUMBLES:
        return BounceReport(ReportKind.BROKEN)
