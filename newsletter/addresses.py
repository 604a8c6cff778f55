"""Email addresses: check them, normalise them, and decide when two belong to the same subscriber."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from newsletter.errors import AddressError

# Characters (RFC 5321 section 4.5.3.1; RFC 3696 erratum 1690).
_LONGEST_LOCAL_PART: Final = 64
_LONGEST: Final = 254

# The form that nearly all addresses have: letters, digits and single marks, and a domain of several labels without
# internationalised ones. Such an address is valid without a further check. email-validator judges every other one, also
# one with capitals, because it writes some local parts in small letters (RFC 2142).
_PLAIN: Final = re.compile(
    r"([a-z0-9]++(?:[._+-][a-z0-9]++)*+)@((?:[a-zA-Z0-9]++(?:-[a-zA-Z0-9]++)*+\.)++([a-zA-Z]{2,63}+))"
)
_LONGEST_LABEL: Final = 63  # characters (RFC 1035 section 2.3.4)
_SPECIAL: Final = frozenset({"arpa", "invalid", "local", "localhost", "onion"})  # RFC 6761, except "test"

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
    return _plain(address.strip()) or _validated(address)


def _plain(address: str) -> str | None:
    """The result of `_validated` for an address of the common form, in a fiftieth of the time; None for any other."""
    found = _PLAIN.fullmatch(address)
    if found is None or len(address) > _LONGEST or len(found[1]) > _LONGEST_LOCAL_PART:
        return None
    domain = found[2].lower()
    if found[3].lower() in _SPECIAL or max(map(len, domain.split("."))) > _LONGEST_LABEL:
        return None
    return f"{found[1]}@{domain}"


def _validated(address: str) -> str:
    from email_validator import EmailNotValidError, validate_email  # 20 ms to import

    try:
        found = validate_email(
            address.strip(), check_deliverability=False, globally_deliverable=False, test_environment=True, strict=True
        )
    except EmailNotValidError as error:
        raise _wrong(address, str(error)) from error
    if "." not in found.ascii_domain:
        raise _wrong(address, "the part after @ has no dot")
    return f"{found.local_part}@{found.ascii_domain.lower()}"


class Fault(StrEnum):
    """What is wrong with an address, as templates/web/_faults.html tells the person who typed it."""

    EMPTY = "empty"
    NO_AT = "no-at"
    TWO_ATS = "two-ats"
    SPACE = "space"
    NO_DOT = "no-dot"
    TOO_LONG = "too-long"
    OTHER = "other"


def _wrong(address: str, reason: str) -> AddressError:
    return AddressError(f"{address.strip()!r} is not an address: {reason.rstrip('.')}", fault_of(address))


def fault_of(address: str) -> Fault:
    """The most obvious mistake in an address that `normalise` refuses."""
    address = address.strip()
    local, _, domain = address.rpartition("@")
    found = {
        Fault.EMPTY: not address,
        Fault.NO_AT: "@" not in address,
        Fault.SPACE: len(address.split()) > 1,
        Fault.TWO_ATS: "@" in local and '"' not in local,
        Fault.NO_DOT: domain != "" and "." not in domain,
        Fault.TOO_LONG: len(local) > _LONGEST_LOCAL_PART or len(address) > _LONGEST,
    }
    return next((fault for fault, is_so in found.items() if is_so), Fault.OTHER)


def identity(address: str) -> str:
    """The case-folded form of a normalised address: two addresses with the same form are one subscriber.

    RFC 5321 section 2.4 lets a host distinguish case in the local part. No host in use does, and sending one person two
    copies would be worse.
    """
    return address.casefold()


# Providers whose spellings of one mailbox differ: the domain that stands for all of theirs, and the characters in the
# local part that they ignore or take for each other.
#   Google: https://support.google.com/mail/answer/7436150 and .../10313 (googlemail.com)
#   Proton: https://proton.me/support/addresses-and-aliases
#   Yandex: https://yandex.com/support/mail/web/preferences/sender.html (dots and hyphens are equal)
#   Apple: https://support.apple.com/en-us/102540 (me.com, mac.com)
_SPELLINGS: Final = {
    "gmail.com": ("gmail.com", "."),
    "googlemail.com": ("gmail.com", "."),
    "proton.me": ("proton.me", "._-"),
    "protonmail.com": ("proton.me", "._-"),
    "pm.me": ("proton.me", "._-"),
    "icloud.com": ("icloud.com", ""),
    "me.com": ("icloud.com", ""),
    "mac.com": ("icloud.com", ""),
    "yandex.ru": ("yandex.ru", ".-"),
    "yandex.com": ("yandex.ru", ".-"),
    "ya.ru": ("yandex.ru", ".-"),
}

# Labels directly below a country's domain under which organisations register theirs, such as co.uk and ac.jp.
_SECOND_LEVEL: Final = frozenset({"ac", "co", "com", "edu", "gov", "gob", "go", "ne", "net", "nom", "or", "org", "sch"})


def mailbox(address: str) -> str:
    """One spelling for all those of a normalised `address` that are known to reach one mailbox.

    Everything from the first "+" on is a tag (RFC 5233), whatever the host: this is for limits, where folding two
    readers into one costs a delay, and for nothing else.
    """
    local, _, domain = identity(address).rpartition("@")
    domain, ignored = _SPELLINGS.get(domain, (domain, ""))
    base = local.partition("+")[0] or local
    folded = base.translate(str.maketrans("", "", ignored)) or base
    return f"{folded}@{domain}"


def organisation(address: str) -> str:
    """The domain of a normalised `address` without the labels that its owner can choose freely.

    This is an approximation: the last two labels, or three below a label such as the "co" of "co.uk". The owner of a
    domain can make as many names below it as they like.
    """
    labels = identity(address).rpartition("@")[2].split(".")
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-keep:])


def masked(address: str) -> str:
    """`address` shortened so that its owner recognises it and nobody else can use it: ``a…@example.org``."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
