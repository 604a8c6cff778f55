"""Mails that are not copies of an issue, such as confirmations and alerts: headers, signatures and sending."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Final

from newsletter.mail.message import header_text
from newsletter.model import Delivery, Envelope, Outcome, Publication
from newsletter.slots import SlotOrder
from newsletter.transport import Answer, Copy, Pool

if TYPE_CHECKING:  # it imports cryptography, which is large
    from newsletter.mail.dkim import Signer

_POLICY: Final = SMTP.clone(max_line_length=76)
_CRLF: Final = b"\r\n"


def new_letter(publication: Publication, to: str, subject: str, at: datetime) -> EmailMessage:
    """A mail from the publication to the address `to`, dated `at` (aware), still without a body."""
    # A local part that is not ASCII cannot be encoded and needs UTF-8 headers (SMTPUTF8, RFC 6531 section 3.2).
    letter = EmailMessage(policy=_POLICY.clone(utf8=not to.isascii()))
    local, _, domain = publication.sender.address.rpartition("@")
    letter["From"] = Address(header_text(publication.sender.name), local, domain)
    letter["To"] = to
    letter["Subject"] = header_text(subject)
    letter["Date"] = format_datetime(at)
    letter["Message-ID"] = make_msgid(domain=domain)
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no automatic replies
    letter["X-Auto-Response-Suppress"] = "All"  # the same for Microsoft Exchange
    return letter


def set_body(letter: EmailMessage, text: str, html: str | None = None) -> None:
    """Set the body of `letter`: the text part, and if `html` is given an HTML part as the preferred alternative."""
    letter.set_content(text, cte="quoted-printable")
    if html is not None:
        letter.add_alternative(html, subtype="html", cte="quoted-printable")


def as_copy(
    letter: EmailMessage, publication: Publication, at: datetime, signers: Sequence[Signer] = (), number: int = 0
) -> Copy:
    """`letter` as a copy for the transport, signed by each of `signers`. `number` becomes the id of its delivery."""
    raw = letter.as_bytes()
    head, _, body = raw.partition(_CRLF + _CRLF)
    headers = re.split(rb"\r\n(?![ \t])", head)
    digest = hashlib.sha256(_relaxed(body)).digest()
    signatures = [signer.seal((), at).sign(headers, digest) for signer in signers]
    message = re.sub(rb"(?m)^\.", b"..", b"".join((*(each + _CRLF for each in signatures), raw)))
    to = str(letter["To"])
    return Copy(Delivery(number, 0, 0, "", to, 0), Envelope(publication.bounce_address, to, (message,)))


def _relaxed(body: bytes) -> bytes:
    """The body in DKIM's relaxed canonicalisation (RFC 6376 section 3.4.4)."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(_CRLF)]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + _CRLF for line in lines)


def send_letters(
    pool: Pool,
    copies: Sequence[Copy],
    begin: Callable[[Copy], None],
    reserve: Callable[[Sequence[SlotOrder]], None],
) -> Iterator[tuple[Copy, Outcome]]:
    """Send `copies` and yield the outcome of each. `begin` is called with a copy before any of it is sent.

    `reserve` is the store's: it grants what servers with a limit allow. Ends early, without trying the rest, when all
    servers have reached their limit per day. Raises TransportUnavailable when no server can be used. The pool is closed
    in the end.
    """
    waiting, unanswered = deque(copies), len(copies)
    try:
        while unanswered and not (pool.full_until() is not None and not pool.in_flight):
            orders = pool.orders(len(waiting))
            reserve(orders)
            pool.granted(orders)
            given, events = pool.offer(lambda: waiting.popleft() if waiting else None)
            for copy in given:
                begin(copy)
                copy.begun = True
            if orders and not pool.in_flight and pool.full_until() is not None:
                continue  # before a connection is opened
            for event in events or pool.turn(has_more=bool(waiting)):
                if isinstance(event, Answer):
                    unanswered -= 1
                    yield event.copy, event.outcome
        pool.granted([])  # whoever took the last outcomes has noted them
    finally:
        reserve(pool.close())
