"""Amazon SES notifications, as Amazon SNS mails them: JSON in the body of a mail.

Source of the fields: Amazon SES developer guide, "Amazon SNS notification contents" and "Event data contents".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_LONGEST: Final = 200_000  # characters of a part that are searched
_STARTS: Final = 20  # places in a part where an object may begin

# How JSON gets line ends that it did not have. Sendmail cuts long lines and writes "!", a line end and a space; other
# programs fold at a space, or anywhere. What is right for one is wrong for another, so each is tried.
_UNFOLDINGS: Final = (
    (re.compile(r"(?!)"), ""),  # as it is
    (re.compile(r"!\n ?"), ""),
    (re.compile(r"\n(?= )"), ""),
    (re.compile(r"!?\n *"), ""),
    (re.compile(r"\n"), " "),
)
_OBJECT: Final = re.compile(r"\{\s*\\?\"")
_PLAIN_ADDRESS: Final = re.compile(r"[^\s<>@\"\\]{1,64}@[^\s<>@\"\\/=]{1,253}\.[^\W_][\w-]+")
_RECIPIENTS: Final = {"Bounce": ("bounce", "bouncedRecipients"), "Complaint": ("complaint", "complainedRecipients")}

Notification = Mapping[str, Any]


def notification_in(texts: Iterable[str]) -> Notification | None:
    """The first SES notification of a bounce or a complaint in `texts`, the decoded parts of a mail; None without one.

    An object counts only when all of its addresses are whole: a line end in an address makes it another's.
    """
    for text in texts:
        for pattern, instead in _UNFOLDINGS:
            for found in _objects(pattern.sub(instead, text[:_LONGEST])):
                if _is_notification(found):
                    return found
    return None


def mentions_notification(text: str) -> bool:
    """Whether `text` holds a notification, even one that cannot be read."""
    return re.search(r"\\?\"(?:notificationType|eventType)\\?\"\s*:\s*\\?\"(?:Bounce|Complaint)", text) is not None


def kind_of(notification: Notification) -> str:
    """`Bounce`, `Complaint`, or another word of Amazon's."""
    return str(notification.get("notificationType") or notification.get("eventType"))


def bounce_of(notification: Notification) -> Mapping[str, Any]:
    """The object with the recipients."""
    found: Mapping[str, Any] = notification[_RECIPIENTS[kind_of(notification)][0]]
    return found


def recipients_of(notification: Notification) -> list[Mapping[str, Any]]:
    """One object for each address, with `emailAddress`, and of a bounce perhaps `status` and `diagnosticCode`."""
    found = bounce_of(notification).get(_RECIPIENTS[kind_of(notification)][1])
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def original_headers(notification: Notification) -> dict[str, str]:
    """The headers of the message that bounced, by lower-case name, where SES was told to include them."""
    mail = notification.get("mail")
    listed = mail.get("headers") if isinstance(mail, Mapping) else None
    found: dict[str, str] = {}
    for header in listed if isinstance(listed, list) else []:
        if isinstance(header, Mapping):
            found.setdefault(str(header.get("name")).lower(), str(header.get("value")))
    if isinstance(mail, Mapping):
        common = mail.get("commonHeaders")
        if isinstance(common, Mapping) and "messageId" in common:
            found.setdefault("message-id", str(common["messageId"]))
        if isinstance(mail.get("destination"), list):
            found.setdefault("to", ", ".join(map(str, mail["destination"])))
    return found


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Every object that begins in `text`; of SNS's own envelope, the message in it."""
    decoder = json.JSONDecoder(strict=False)
    for start in list(_OBJECT.finditer(text))[:_STARTS]:
        try:
            found, _ = decoder.raw_decode(text, start.start())
            if "Message" in found:
                found = json.loads(found["Message"], strict=False)
            if isinstance(found, dict):
                yield found
        except (ValueError, TypeError, RecursionError):
            continue


def _is_notification(found: Mapping[str, Any]) -> bool:
    if kind_of(found) not in _RECIPIENTS:
        return False
    if not isinstance(found.get(_RECIPIENTS[kind_of(found)][0]), Mapping):
        return False
    addresses = [str(entry.get("emailAddress", "")) for entry in recipients_of(found)]
    return bool(addresses) and all(_PLAIN_ADDRESS.fullmatch(address) for address in addresses)
