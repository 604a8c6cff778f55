"""Email addresses: check them, normalise them, and decide when two belong to the same subscriber."""

from __future__ import annotations

import re
from typing import Final

from newsletter.errors import AddressError

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def split_name(mailbox: str) -> tuple[str, str]:
    """Name and address of ``Daily Papers <digest@example.org>``; the name is empty without angle brackets.

    The name is everything before the last ``<``. The parser of the email package would end it at a comma, a colon, an @
    or a bracket, and take its first word for an address. Quotation marks around the whole name are removed with their
    escapes (RFC 5322 section 3.2.4).
    """
    mailbox = mailbox.strip()
    if not mailbox.endswith(">"):
        return "", mailbox
    name, _, address = mailbox[:-1].rpartition("<")
    name = name.strip()
    if quoted := _QUOTED.fullmatch(name):
        name = re.sub(r"\\(.)", r"\1", quoted[1]).strip()
    return name, address.strip()


def normalise(address: str) -> str:
    """Check `address` and return its form for the envelope: NFC local part, domain as lower-case A-labels.

    email-validator checks the syntax only (RFC 5321 section 4.1.2, RFC 6531). It makes no DNS query, so an import works
    offline. Raises AddressError with the reason.
    """
    from email_validator import EmailNotValidError, validate_email  # 40 ms to import

    try:
        found = validate_email(
            address.strip(), check_deliverability=False, globally_deliverable=False, test_environment=True, strict=True
        )
    except EmailNotValidError as error:
        raise _wrong(address, str(error)) from error
    if "." not in found.ascii_domain:
        raise _wrong(address, "the part after @ has no dot")
    return f"{found.local_part}@{found.ascii_domain.lower()}"


def _wrong(address: str, reason: str) -> AddressError:
    reason = reason.rstrip(".")
    return AddressError(f"{address.strip()!r} is not an address: {reason}", f"{reason[:1].upper()}{reason[1:]}.")


def identity(address: str) -> str:
    """The case-folded form of a normalised address: two addresses with the same form are one subscriber.

    RFC 5321 section 2.4 lets a host distinguish case in the local part. No host in use does, and sending one person two
    copies would be worse.
    """
    return address.casefold()
