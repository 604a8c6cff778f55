"""The values that a mail in the bounce mailbox is understood as."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from newsletter.model import CopyReference, ReportKind


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One address that a report names.

    `address` is the one that was written to, `final` the one it was forwarded to, where they differ. `status` is the
    RFC 3463 code, such as 5.1.1, or empty when the report has none. `words` are the server's own, on one line of at
    most 1,000 characters; they may hold addresses.
    """

    address: str
    status: str = ""
    words: str = ""
    final: str = ""


class Proof(StrEnum):
    """How surely a mail is about a copy of ours. Both kinds are signed by us."""

    COPY = "copy"  # a place that only a failed delivery fills: the reverse path, or the headers of the returned message
    MENTION = "mention"  # anywhere else: every answer has the Message-ID in In-Reply-To, and may quote the whole copy


@dataclass(frozen=True, slots=True)
class Tie:
    """The copy that a mail is about, and how surely."""

    copy: CopyReference
    proof: Proof


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """What may tie a report to a copy of ours; nothing here is checked yet.

    `recipients` are the addresses that the report itself was sent to; one may carry a bounce token (VERP).
    `message_ids` (the part before the "@") and `tokens` (of List-Unsubscribe) stand in the headers of the returned
    message, `mentioned_ids` and `mentioned_tokens` anywhere else. `addresses` are those that the returned message was
    sent to. In a mail that asks to leave, `message_ids` are those it answers, and `addresses` are its author's.
    """

    recipients: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    mentioned_ids: tuple[str, ...] = ()
    mentioned_tokens: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BounceReport:
    """A mail from the bounce mailbox, understood. `failures` are the addresses named, in the report's own order."""

    kind: ReportKind
    failures: tuple[FailedRecipient, ...] = ()
    evidence: CopyEvidence = CopyEvidence()
