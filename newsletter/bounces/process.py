"""The work of `newsletter bounces`: read each mail once, tie it to a copy, act on its reader, move the mail away.

    mailbox.mails -> understand -> tie -> Store.record_report -> mailbox.file ... -> Store.finish_suppressions

Each mail is parsed in a child process with bounds, so that a mail made to stop the program costs itself alone.

A mail changes a reader only when something in it was signed by us for a copy of theirs: the address it came to (VERP),
or a Message-ID or List-Unsubscribe token. Where that stands decides how much it proves (values.Proof). Suppressions for
bounces are carried out when the mailbox is read, unless they are too many at once (store/brake.py).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from newsletter import languages
from newsletter.bounces import BounceReport, Proof, Tie, decide, parse, redacted, weigh_report
from newsletter.bounces.mailbox import Mail, Mailbox, open_mailbox
from newsletter.children import Bounds, Nursery, Overrun
from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.links import Links, Purpose
from newsletter.model import CopyReference, ReportKind, SubscriberStatus
from newsletter.runtime import Runtime
from newsletter.store import NewReport, Store

# What understanding one mail may cost. A report of 1 MB takes a second on a slow machine.
BOUNDS: Final = Bounds(cpu=3, wall=4.0, memory=512)

# Kinds that have an effect only when they are tied to a copy.
_ABOUT_A_COPY: Final = frozenset(
    {ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT, ReportKind.UNSUBSCRIBE}
)


@dataclass
class Tally:
    """What one run found and did.

    `kept` mails wait for a person in the folder bounces.kept; `held` readers wait for the operator's confirmation.
    """

    kinds: Counter[ReportKind] = field(default_factory=Counter)
    changed: Counter[SubscriberStatus] = field(default_factory=Counter)
    unverified: int = 0
    kept: int = 0
    held: int = 0

    @property
    def read(self) -> int:
        """How many mails were new."""
        return sum(self.kinds.values())

    def __str__(self) -> str:
        parts = [f"{number} {kind}" for kind in ReportKind if (number := self.kinds[kind])]
        said = f"{self.read} read" + (f" ({', '.join(parts)})" if parts else "")
        more = [f"{number} {status}" for status in SubscriberStatus if (number := self.changed[status])]
        more += [f"{self.held} held"] if self.held else []
        more += [f"{self.unverified} unverified"] if self.unverified else []
        more += [f"{self.kept} kept for you to look at"] if self.kept else []
        return ", ".join([said, *more])


def parser() -> Nursery:
    """What parses mails, each in a process of its own; a context manager, to be entered before any connection."""
    return Nursery()


def understand(
    raw: bytes, children: Nursery, too_much: Callable[[Overrun], None], words: Collection[str]
) -> BounceReport:
    """What a mail says, parsed by one of `children`. One beyond BOUNDS is BROKEN, and `too_much` gets the reason.

    `words` are those by which readers leave.
    """
    try:
        return children.call(BOUNDS, parse, raw, words)
    except Overrun as overrun:
        too_much(overrun)
        return BounceReport(ReportKind.BROKEN)


def collect(config: Config, store: Store, children: Nursery, runtime: Runtime) -> Tally:
    """Read the whole mailbox, then delete what is older there than `retention.reports`.

    Raises MailboxUnavailable; what was done until then stays done. `runtime.warn` gets a line for each mail that is
    beyond BOUNDS; `children` are those of `parser`.
    """
    config.secret.reveal()  # before anything is connected
    with open_mailbox(config.bounces) as mailbox:
        tally = read(config, store, mailbox, children, runtime)
        _prune(config, mailbox, runtime)
    return tally


def read(config: Config, store: Store, mailbox: Mailbox, children: Nursery, runtime: Runtime) -> Tally:
    """Read all mails of an open mailbox."""
    words = languages.words_to_leave(config.catalogues)
    reading = _Reading(config, store, config.links(), mailbox, children, runtime, words, Tally())
    try:
        for mail in mailbox.mails():
            reading.take(mail)
    finally:  # also when the mailbox breaks off: what was decided until then would wait for it
        reading.finish()
    return reading.tally


def _prune(config: Config, mailbox: Mailbox, runtime: Runtime) -> None:
    """Delete old mails that were processed; those kept for the operator stay. An error is a warning."""
    folder, days = config.bounces.processed, config.retention.reports
    if not days:
        return
    try:
        mailbox.prune(folder, runtime.now() - timedelta(days))
    except NewsletterError as error:
        runtime.warn(f"old mails in {folder} could not be deleted: {error}")


@dataclass(frozen=True)
class _Reading:
    config: Config
    store: Store
    links: Links
    mailbox: Mailbox
    children: Nursery
    runtime: Runtime
    words: Collection[str]
    tally: Tally

    def take(self, mail: Mail) -> None:
        """Deal with one mail: the store first, then the mailbox, so that after a crash the store knows its hash."""
        digest = hashlib.sha256(mail.raw).hexdigest()
        returned = understand(mail.raw, self.children, lambda overrun: self._kept(mail, overrun), self.words)
        about = tie(returned, self.links, self.store) if returned.kind in _ABOUT_A_COPY else None
        keep = returned.kind is ReportKind.BROKEN or (returned.kind is ReportKind.UNSUBSCRIBE and about is None)
        if not self.store.has_report(digest):
            self._record(digest, returned, about)
            self.tally.kept += keep
        self.mailbox.file(mail, self.config.bounces.kept if keep else self.config.bounces.processed)

    def finish(self) -> None:
        """Carry out the suppressions, or hold them for the operator."""
        outcome = self.store.finish_suppressions()
        self.tally.changed[SubscriberStatus.SUPPRESSED] += outcome.done
        self.tally.held += outcome.held

    def _kept(self, mail: Mail, overrun: Overrun) -> None:
        folder = self.config.bounces.kept
        self.runtime.warn(f"bounces: {mail.name}: {overrun}; it was moved to {folder} and counts against nobody")

    def _record(self, digest: str, returned: BounceReport, about: Tie | None) -> None:
        policy = self.config.bounces.policy
        became = self.store.record_report(_report(digest, returned, about), lambda strikes: decide(strikes, policy))
        self.tally.kinds[returned.kind] += 1
        self.tally.unverified += returned.kind in _ABOUT_A_COPY and about is None
        if became is not None:
            self.tally.changed[became] += 1


def _report(digest: str, returned: BounceReport, about: Tie | None) -> NewReport:
    """A report as the store keeps it; words without addresses."""
    failure, weighed = weigh_report(returned, Proof.MENTION if about is None else about.proof)
    return NewReport(
        digest,
        returned.kind,
        None if about is None else about.copy,
        failure.status,
        redacted(failure.words),
        weighed.weight,
        weighed.rule,
    )


def tie(returned: BounceReport, links: Links, store: Store) -> Tie | None:
    """The copy that the mail is about, if anything in it was signed by us; the strongest proof first.

    A request to leave holds from now on, however old the answered copy is. So its tie has no day.
    """
    evidence = returned.evidence
    if returned.kind is ReportKind.UNSUBSCRIBE:
        found = _signed(returned, links, store, evidence.tokens, evidence.message_ids)
        return None if found is None else Tie(CopyReference(found.ref), Proof.COPY)
    for recipient in evidence.recipients:
        if (bounced := links.returned(recipient)) is not None:
            return Tie(CopyReference(bounced[1], bounced[0]), Proof.COPY)
    if (copy := _signed(returned, links, store, evidence.tokens, evidence.message_ids)) is not None:
        return Tie(copy, Proof.COPY)
    if (copy := _signed(returned, links, store, evidence.mentioned_tokens, evidence.mentioned_ids)) is not None:
        return Tie(copy, Proof.MENTION)
    return None


def _signed(
    returned: BounceReport, links: Links, store: Store, tokens: Sequence[str], message_ids: Sequence[str]
) -> CopyReference | None:
    """The copy that one of the tokens or Message-IDs was made for."""
    for token in tokens:
        if (ref := links.verify(Purpose.UNSUBSCRIBE, token)) is not None:
            return CopyReference(ref, _day_of(returned, links, ref))
    return _by_message_id(returned, links, store, message_ids)


def _day_of(returned: BounceReport, links: Links, ref: str) -> date | None:
    evidence = returned.evidence
    days = [(found, _day(found)) for found in (*evidence.message_ids, *evidence.mentioned_ids)]
    return next((day for found, day in days if day and links.is_message_id(found, day, ref)), None)


def _by_message_id(
    returned: BounceReport, links: Links, store: Store, message_ids: Sequence[str]
) -> CopyReference | None:
    """The copy of a Message-ID, which has the day in it; an address named in the report leads to the reader."""
    addresses = [address for failure in returned.failures for address in (failure.address, failure.final) if address]
    for found in message_ids:
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
