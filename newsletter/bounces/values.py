"""The values that a mail in the bounce mailbox is understood as."""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.model import ReportKind


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One address that a report names: `status` as in RFC 3463, such as 5.1.1, or empty; `words` are the server's.

    `address` is the one that was written to, `final` the one it was forwarded to, where they differ.
    """

    address: str
    status: str = ""
    words: str = ""
    final: str = ""


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """What may tie a report to a copy of ours; nothing here is checked yet.

    `recipients` are the addresses that the report itself was sent to (one may carry a bounce token), `message_ids` and
    `tokens` (of List-Unsubscribe) stand in the message it returns, `addresses` are whom that was for. Of a reader who
    leaves, `message_ids` are what he answers, and `addresses` what he writes from.
    """

    recipients: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BounceReport:
    """A mail from the bounce mailbox, understood. `failures` are the addresses named, in the report's own order."""

    kind: ReportKind
    failures: tuple[FailedRecipient, ...] = ()
    evidence: CopyEvidence = CopyEvidence()
