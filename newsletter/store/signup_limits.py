"""How many confirmation mails an address, a mailbox and a domain get, so that nobody is flooded in another's name.

Each request is recorded, whether a mail became due or not: so every request takes the same time. The record holds keyed
hashes only, outlives the address it is about, and ends after KEPT_FOR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BindParameter, Connection, and_, bindparam, delete, exists, func, insert, or_, select, update

from newsletter.addresses import mailbox, organisation
from newsletter.model import ReportKind, RequestKind, SubscriberStatus
from newsletter.store.database import AddressHasher
from newsletter.store.schema import SUPPRESSED, mail_requests, subscribers

DAY: Final = timedelta(days=1)

# How long after the first, second and each further mail that was not answered an address gets the next of its kind.
BACK_OFF: Final = (DAY, timedelta(days=7), timedelta(days=30))

# How many mails all spellings of a mailbox get together: within a day; of those not answered, within longer times.
PER_MAILBOX: Final = ((DAY, 2), (timedelta(days=7), 4), (timedelta(days=30), 6))

# How many a domain without a subscriber gets in a day.
PER_DOMAIN: Final = 20

# How long a mailbox that complained gets none.
AFTER_COMPLAINT: Final = timedelta(days=365)

KEPT_FOR: Final = timedelta(days=180)  # a request that made a mail due; any other a day

# Words for a complaint, in the exports of other programs too, and how the reasons of other suppressions begin.
_COMPLAINING: Final = ("complain", "spam")
_OTHER_REPORTS: Final = {kind.value for kind in ReportKind if kind is not ReportKind.COMPLAINT} | {"refused"}

_ROW: Final = mail_requests.c

# Statements that a request executes while it keeps all other writers waiting: to build one takes as long as to run it.
_SINCE: Final[BindParameter[datetime]] = bindparam("since")
_PAST: Final = select(_ROW.at, _ROW.answered, _ROW.kind, _ROW.address_key).where(
    _ROW.mailbox_key.in_(bindparam("mailboxes", expanding=True)), _ROW.due, _ROW.at > _SINCE
)
_COMPLAINED: Final = select(subscribers.c.address, subscribers.c.reason).where(
    SUPPRESSED,
    subscribers.c.status_at > _SINCE,
    or_(*(func.lower(subscribers.c.reason).contains(word) for word in _COMPLAINING)),
)
_OF_DOMAIN: Final = select(func.count()).where(
    _ROW.domain_key.in_(bindparam("domains", expanding=True)), _ROW.due, _ROW.at > _SINCE
)
_RECORD: Final = insert(mail_requests)
_NEWEST: Final = (
    select(_ROW.at)
    .where(_ROW.due, _ROW.kind == RequestKind.SIGN_UP, _ROW.at > _SINCE)
    .order_by(_ROW.at.desc())
    .offset(bindparam("newer"))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class PastMail:
    """A confirmation mail that became due `at` (UTC), and whether its mailbox has confirmed since."""

    at: datetime
    answered: bool


def may_mail(to_address: Sequence[PastMail], to_mailbox: Sequence[PastMail], now: datetime) -> bool:
    """Whether one more mail may become due.

    `to_address` are the earlier ones of the same kind to the same address, `to_mailbox` all to its mailbox. Pure.
    """
    if any(mail.at > now - DAY for mail in to_address):
        return False
    unanswered = [mail.at for mail in to_address if not mail.answered]
    if unanswered and now < max(unanswered) + BACK_OFF[min(len(unanswered), len(BACK_OFF)) - 1]:
        return False
    return all(
        sum(mail.at > now - within for mail in to_mailbox if within == DAY or not mail.answered) < limit
        for within, limit in PER_MAILBOX
    )


def is_complaint(reason: str) -> bool:
    """Whether the reason of a suppression is a complaint: a report's, an import's or the operator's words.

    The reason of another report begins with its kind, and goes on with a server's words, which say nothing of that.
    """
    kind, words = reason.lower().partition(":")[0], reason.lower()
    return kind not in _OTHER_REPORTS and any(word in words for word in _COMPLAINING)


def admit(
    connection: Connection,
    kind: RequestKind,
    address: str,
    now: datetime,
    hasher: AddressHasher | None,
    *,
    wanted: bool = True,
) -> bool:
    """Record a request for a mail to the normalised `address`; True if the mail becomes due.

    Without `wanted` it does not. Nobody else may ask in the meantime: the caller holds `status_change`.
    """
    of_address, of_mailbox, of_domain = (
        _keys(name, value, hasher)
        for name, value in (
            ("address", address.casefold()),
            ("mailbox", mailbox(address)),
            ("domain", organisation(address)),
        )
    )
    # All are asked each time, so that the time taken does not reveal which of them decided.
    permits = (
        wanted,
        _mails_permit(connection, kind, of_address, of_mailbox, now),
        not _complained(connection, mailbox(address), now),
        not _domain_is_full(connection, organisation(address), of_domain, now),
    )
    due = all(permits)
    keys = {"address_key": of_address[0], "mailbox_key": of_mailbox[0], "domain_key": of_domain[0]}
    connection.execute(_RECORD, {"at": now, "kind": kind, "due": due, **keys})
    return due


def answered(connection: Connection, address: str, hasher: AddressHasher | None) -> None:
    """Note that the mailbox of the normalised `address` has confirmed: its mails were welcome."""
    known = _ROW.mailbox_key.in_(_keys("mailbox", mailbox(address), hasher))
    connection.execute(update(mail_requests).where(known).values(answered=True))


def full_until(connection: Connection, limit: int, within: timedelta, now: datetime) -> datetime | None:
    """When the next sign-up may make a mail due if `limit` did `within` the time before `now`, else None."""
    last = connection.execute(_NEWEST, {"since": now - within, "newer": limit - 1}).scalar()
    return None if last is None else last + within


def prune(connection: Connection, now: datetime) -> None:
    """Delete the requests that no limit counts any more."""
    useless = and_(_ROW.at <= now - DAY, ~_ROW.due)
    connection.execute(delete(mail_requests).where(or_(useless, _ROW.at <= now - KEPT_FOR)))


def _keys(name: str, value: str, hasher: AddressHasher | None) -> Sequence[str]:
    """The hashes of a value, one for each secret, the current one first; plain ones in a store without a secret."""
    text = f"{name} {value}"
    return hasher(text) if hasher is not None else [f"#{hashlib.sha256(text.encode()).hexdigest()}"]


def _mails_permit(
    connection: Connection, kind: RequestKind, of_address: Sequence[str], of_mailbox: Sequence[str], now: datetime
) -> bool:
    rows = connection.execute(_PAST, {"mailboxes": of_mailbox, "since": now - KEPT_FOR}).all()
    same = [PastMail(row.at, row.answered) for row in rows if row.kind is kind and row.address_key in of_address]
    return may_mail(same, [PastMail(row.at, row.answered) for row in rows], now)


def _complained(connection: Connection, folded: str, now: datetime) -> bool:
    """Whether an address of this mailbox is suppressed because its reader complained."""
    rows = connection.execute(_COMPLAINED, {"since": now - AFTER_COMPLAINT}).all()
    return any(mailbox(row.address) == folded for row in rows if row.address and is_complaint(row.reason))


def _domain_is_full(connection: Connection, domain: str, keys: Sequence[str], now: datetime) -> bool:
    if int(connection.execute(_OF_DOMAIN, {"domains": keys, "since": now - DAY}).scalar_one()) < PER_DOMAIN:
        return False
    endings = or_(*(subscribers.c.identity.endswith(f"{before}{domain}", autoescape=True) for before in "@."))
    reader = exists().where(subscribers.c.status == SubscriberStatus.ACTIVE, endings)
    return not connection.execute(select(reader)).scalar()
