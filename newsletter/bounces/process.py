"""What `newsletter bounces` does: read each mail once, tie it to a copy of ours, act on its reader, put it away.

    mailbox.mails -> bounces.parse -> tie -> Store.record_report -> mailbox.file

Nothing is done to a reader unless the mail proves that it is about a copy of his: by the address it came to (VERP), or
by a Message-ID or a List-Unsubscribe token in what it returns or answers. All three are signed, so a forged report
removes nobody.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from newsletter.bounces import BounceReport, decide, parse, redacted
from newsletter.bounces.mailbox import Mail, Mailbox, open_mailbox
from newsletter.config import Config
from newsletter.links import Links, Purpose
from newsletter.model import CopyReference, ReportKind, SubscriberStatus
from newsletter.store import NewReport, Store

# Kinds that mean something only when they are tied to a copy.
_ABOUT_A_COPY: Final = frozenset(
    {ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT, ReportKind.UNSUBSCRIBE}
)


@dataclass
class Tally:
    """What one run found and did; `kept` mails wait for a person, in the folder bounces.kept."""

    kinds: Counter[ReportKind] = field(default_factory=Counter)
    changed: Counter[SubscriberStatus] = field(default_factory=Counter)
    unverified: int = 0
    kept: int = 0

    @property
    def read(self) -> int:
        """How many mails were new."""
        return sum(self.kinds.values())

    def __str__(self) -> str:
        parts = [f"{number} {kind}" for kind in ReportKind if (number := self.kinds[kind])]
        said = f"{self.read} read" + (f" ({', '.join(parts)})" if parts else "")
        more = [f"{number} {status}" for status in SubscriberStatus if (number := self.changed[status])]
        more += [f"{self.unverified} unverified"] if self.unverified else []
        more += [f"{self.kept} kept for you to look at"] if self.kept else []
        return ", ".join([said, *more])


def collect(config: Config, store: Store) -> Tally:
    """Read the mailbox to its end. Raises MailboxUnavailable; what was done until then stays done."""
    config.secret.reveal()  # before anything is connected
    with open_mailbox(config.bounces) as mailbox:
        return read(config, store, mailbox)


def read(config: Config, store: Store, mailbox: Mailbox) -> Tally:
    """The same of an open mailbox."""
    reading = _Reading(config, store, config.links(), mailbox, Tally())
    for mail in mailbox.mails():
        reading.take(mail)
    return reading.tally


@dataclass(frozen=True)
class _Reading:
    config: Config
    store: Store
    links: Links
    mailbox: Mailbox
    tally: Tally

    def take(self, mail: Mail) -> None:
        """The store first, then the mailbox: a crash in between is found out by the digest."""
        digest = hashlib.sha256(mail.raw).hexdigest()
        returned = parse(mail.raw)
        about = tie(returned, self.links, self.store) if returned.kind in _ABOUT_A_COPY else None
        keep = returned.kind is ReportKind.BROKEN or (returned.kind is ReportKind.UNSUBSCRIBE and about is None)
        if not self.store.has_report(digest):
            self._record(digest, returned, about)
            self.tally.kept += keep
        self.mailbox.file(mail, self.config.bounces.kept if keep else self.config.bounces.processed)

    def _record(self, digest: str, returned: BounceReport, about: CopyReference | None) -> None:
        policy = self.config.bounces.policy
        became = self.store.record_report(_report(digest, returned, about), lambda strikes: decide(strikes, policy))
        self.tally.kinds[returned.kind] += 1
        self.tally.unverified += returned.kind in _ABOUT_A_COPY and about is None
        if became is not None:
            self.tally.changed[became] += 1


def _report(digest: str, returned: BounceReport, about: CopyReference | None) -> NewReport:
    """As the store keeps it: a copy has one reader, so the first failure is the one; its words without addresses."""
    status, words = "", ""
    if returned.failures:
        status, words = returned.failures[0].status, redacted(returned.failures[0].words)
    return NewReport(digest, returned.kind, about, status, words)


def tie(returned: BounceReport, links: Links, store: Store) -> CopyReference | None:
    """The copy that the mail is about, if anything in it proves one.

    Who leaves does so now, whatever the age of the copy that he answers; so that has no day.
    """
    found = _proven(returned, links, store)
    return CopyReference(found.ref) if found is not None and returned.kind is ReportKind.UNSUBSCRIBE else found


def _proven(returned: BounceReport, links: Links, store: Store) -> CopyReference | None:
    for recipient in returned.evidence.recipients:
        if (found := links.returned(recipient)) is not None:
            return CopyReference(found[1], found[0])
    for token in returned.evidence.tokens:
        if (ref := links.verify(Purpose.UNSUBSCRIBE, token)) is not None:
            return CopyReference(ref, _day_of(returned, links, ref))
    return _by_message_id(returned, links, store)


def _day_of(returned: BounceReport, links: Links, ref: str) -> date | None:
    days = [(found, _day(found)) for found in returned.evidence.message_ids]
    return next((day for found, day in days if day and links.is_message_id(found, day, ref)), None)


def _by_message_id(returned: BounceReport, links: Links, store: Store) -> CopyReference | None:
    """The Message-ID says the day, and whom it was for says the reader; the signature binds the two."""
    addresses = [address for failure in returned.failures for address in (failure.address, failure.final) if address]
    for found in returned.evidence.message_ids:
        if (day := _day(found)) is None:
            continue
        for address in dict.fromkeys([*addresses, *returned.evidence.addresses]):
            ref = store.copy_for(day, address)
            if ref is not None and links.is_message_id(found, day, ref):
                return CopyReference(ref, day)
    return None


def _day(message_id: str) -> date | None:
    try:
        return date.fromisoformat(message_id.partition(".")[0])
    except ValueError:
        return None
