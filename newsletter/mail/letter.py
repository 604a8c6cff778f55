"""Mails that are no copies of an issue, such as confirmations and alerts: their headers, signatures, and way out."""

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
from newsletter.transport import Answer, Copy, Pool

if TYPE_CHECKING:  # it brings cryptography, which is large
    from newsletter.mail.dkim import Signer

_POLICY: Final = SMTP.clone(max_line_length=76)
_CRLF: Final = b"\r\n"


def new_letter(publication: Publication, to: str, subject: str, at: datetime) -> EmailMessage:
    """A letter of the publication without a body, dated `at` (aware)."""
    # A local part beyond ASCII cannot be encoded: such a letter is one of SMTPUTF8 (RFC 6531 section 3.2).
    letter = EmailMessage(policy=_POLICY.clone(utf8=not to.isascii()))
    local, _, domain = publication.sender.address.rpartition("@")
    letter["From"] = Address(header_text(publication.sender.name), local, domain)
    letter["To"] = to
    letter["Subject"] = header_text(subject)
    letter["Date"] = format_datetime(at)
    letter["Message-ID"] = make_msgid(domain=domain)
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation mail back
    letter["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    return letter


def set_body(letter: EmailMessage, text: str, html: str | None = None) -> None:
    """Give `letter` its body: a text part, and before it in rank an HTML part."""
    letter.set_content(text, cte="quoted-printable")
    if html is not None:
        letter.add_alternative(html, subtype="html", cte="quoted-printable")


def as_copy(
    letter: EmailMessage, publication: Publication, at: datetime, signers: Sequence[Signer] = (), number: int = 0
) -> Copy:
    """`letter` as the transport takes it, signed with each of `signers`; `number` tells it from others."""
    raw = letter.as_bytes()
    head, _, body = raw.partition(_CRLF + _CRLF)
    headers = re.split(rb"\r\n(?![ \t])", head)
    digest = hashlib.sha256(_relaxed(body)).digest()
    signatures = [signer.seal((), at).sign(headers, digest) for signer in signers]
    message = re.sub(rb"(?m)^\.", b"..", b"".join((*(each + _CRLF for each in signatures), raw)))
    to = str(letter["To"])
    return Copy(Delivery(number, 0, 0, "", to, 0), Envelope(publication.bounce_address, to, (message,)))


def _relaxed(body: bytes) -> bytes:
    """DKIM's relaxed form of a body (RFC 6376 section 3.4.4)."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(_CRLF)]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + _CRLF for line in lines)


def send_letters(pool: Pool, copies: Sequence[Copy], begin: Callable[[Copy], None]) -> Iterator[tuple[Copy, Outcome]]:
    """Hand `copies` over, and say what became of each; `begin` is told of each before anything of it leaves.

    Ends early, with the rest not offered, when every server has used up its day. Raises TransportUnavailable when no
    server is left.
    """
    waiting, unanswered = deque(copies), len(copies)
    while unanswered and not (pool.full_until() is not None and not pool.in_flight):
        given, events = pool.offer(lambda: waiting.popleft() if waiting else None)
        for copy in given:
            begin(copy)
            copy.begun = True
        for event in events or pool.turn(has_more=bool(waiting)):
            if isinstance(event, Answer):
                unanswered -= 1
                yield event.copy, event.outcome
