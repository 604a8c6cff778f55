"""Mails in plain words: answering machines and helpdesks, and delivery reports without a defined form."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flufl.bounce import all_failures

from newsletter.bounces.incoming import STUMBLES, Incoming, addresses_in, shown_line
from newsletter.bounces.phrases import (
    AUTOMATIC,
    DELAYED,
    FAILED,
    GIVEN_UP,
    NOT_DELIVERED,
    OF_THE_SENDER,
    RETURNED,
    TICKET,
)
from newsletter.bounces.policy import exact
from newsletter.bounces.values import BounceReport, FailedRecipient
from newsletter.model import ReportKind

logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())  # else it prints tracebacks about malformed mails

# --- automatic answers (RFC 3834) ------------------------------------------------------------------------------------

_AUTO_HEADERS: Final = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-AutoReply-From",
    "X-Mail-Autoreply",
    "X-Auto-Reply",
    "X-Vacation",
    "X-Auto-Response-Suppress",
)


def auto_reply(mail: Incoming) -> BounceReport | None:
    """An answer that a machine sends for a person or a helpdesk.

    Mail systems mark their own reports as automatic too; those are no answers.
    """
    subject = mail.header("Subject")
    if AUTOMATIC.search(subject):
        return BounceReport(ReportKind.AUTO_REPLY)
    marked = (
        (TICKET.search(subject) and mail.header("Return-Path") == "<>")
        or mail.header("Auto-Submitted").lower() not in ("", "no")  # RFC 3834 section 5
        or "disposition-notification" in mail.report_type  # RFC 8098: a receipt
        or mail.header("Precedence").lower() in ("auto_reply", "auto-reply")
        or any(name in mail.message for name in _AUTO_HEADERS)
    )
    return BounceReport(ReportKind.AUTO_REPLY) if marked and not mail.is_report else None


# --- known prose -----------------------------------------------------------------------------------------------------


def known_prose(mail: Incoming) -> BounceReport | None:
    """What flufl.bounce knows: the wording of a hundred servers, collected by Mailman since 1998."""
    if not mail.from_a_system:
        return None  # a person's mail is no report, even when it quotes one
    try:
        temporary, permanent = all_failures(mail.short_lines)
    except STUMBLES:
        return None
    for found, kind in ((permanent, ReportKind.PERMANENT), (temporary, ReportKind.TEMPORARY)):
        addresses = _credible(mail, [item.decode("utf-8", "replace") for item in sorted(found)])
        if addresses:
            understood = told(mail, addresses)
            return understood if kind is ReportKind.PERMANENT else replace(understood, kind=kind)
    return None


def _credible(mail: Incoming, found: Sequence[str]) -> list[str]:
    """Those of `found` that the report's own words name, because some detectors read on into the returned message."""
    notice = mail.notice.casefold()
    addresses = [address for address in found if "@" in address and address.casefold() not in mail.operators]
    named = [address for address in addresses if address.casefold() in notice and address.casefold() not in mail.own]
    return named or addresses


def told(mail: Incoming, addresses: Sequence[str]) -> BounceReport:
    """A failure of `addresses` that is told in words: permanent, unless the words say that the server still tries."""
    subject, notice = mail.header("Subject"), mail.notice
    waits = DELAYED.search(subject) or (DELAYED.search(notice) and not GIVEN_UP.search(f"{subject}\n{notice}"))
    alone = len(addresses) == 1
    failures = []
    for address in addresses:
        words = reason(notice, address)
        if alone and not _REPLY.search(words):  # then a reply elsewhere in the report is about this address too
            words = f"{words} {' '.join(_REPLY.findall(notice))}"
        status = exact("", words) or (exact("", notice) if alone else "")
        failures.append(FailedRecipient(address, status, shown_line(words)))
    return BounceReport(ReportKind.TEMPORARY if waits else ReportKind.PERMANENT, tuple(failures))


# A line with a server's reply (RFC 5321 section 4.2).
_REPLY: Final = re.compile(r"(?m)^.*(?<![\w.:/-])[45]\d\d[ -].*$")

# Lines in which a report describes the message, fills in a form or divides itself: none of them is the server's words,
# and a subject may be about full mailboxes. Sendmail ends every transcript with its 554, and tells of aliases.
_DESCRIBING: Final = re.compile(
    r"(?im)^[ \t>*]{0,40}(?:original (?:e-?mail )?subject|subject|sent(?: date)?|date|from|to|reply-to|mail from|"
    r"message-id|message size|size[^:\n]{0,20}|number of lines|(?:final|original|x-actual)-recipient|action|status|"
    r"[a-z-]{1,60}-mta|[a-z-]{1,60}-date|original-envelope-id|x-[a-z-]{1,60}|content-[a-z-]{1,60})[ \t]{0,20}:.*$"
    r"|^[ \t]{0,40}-{3}[^\n]{0,300}-{3}[ \t]{0,20}$|^554 5\.0\.0 service unavailable[ \t]{0,20}$"
    r"|\(expanded from:[^)\n]{0,300}\)"
)
_LABEL: Final = re.compile(r"(?m)^[^:\n]{0,60}:[ \t]*$")  # what is left of "Undeliverable address: ..."


def reason(notice: str, address: str) -> str:
    """The words beside an address: its paragraph, and the next two when it has no reason of its own."""
    paragraphs = [part for part in re.split(r"\n[ \t]*\n", _DESCRIBING.sub("", notice)) if part.strip()]
    for index, part in enumerate(paragraphs):
        if address.casefold() in part.casefold():
            rest = _LABEL.sub("", re.sub(re.escape(address), "", part, flags=re.IGNORECASE))
            return part if FAILED.search(rest) else "\n".join(paragraphs[index : index + 3])
    return ""


# --- any prose -------------------------------------------------------------------------------------------------------


def prose(mail: Incoming) -> BounceReport | None:
    """A report without a known form: the address that its words name, or that the returned message was sent to."""
    words = f"{mail.header('Subject')}\n{mail.notice}"
    told_so = FAILED.search(words) or RETURNED.search(words) if mail.is_report else NOT_DELIVERED.search(mail.notice)
    named = named_in_prose(mail) if told_so and mail.from_a_system else []
    return told(mail, named) if named else None


# How a line points at the failed address, the surest pattern first; the last ones also match other addresses.
_POINTERS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"^[ \t>*-]*(?:failed |undeliverable |intended )?recipients?(?: address)?[ \t]*:[ \t]*(.+)$",
        r"\bRCPT TO:[ \t]*(.+)$",
        r"\bnot be delivered to:?[ \t]*(.+)$",
        r"^[ \t]*(<[^<>\s]+@[^<>\s]+>)[ \t]*(?:[:;.(-]|$)",
        r"^[ \t>*]*([^\s<>@:]+@[^\s<>@:]+)[ \t]*(?:[:;(\[-].*)?$",
        r"^[ \t>*]*([^\s<>@:]+@[^\s<>@:]+)\b.*$",
        r"^(.*\b(?:unknown|no such|invalid|full|quota|disabled|not exist|rejected|undeliver\w*|5\d\d)\b.*)$",
        r"^(.*\b(?:recipients?|address(?:es|ed)?|user|mailbox|deliver(?:y|ed)?)\b.*)$",
        r"^[ \t]*To:[ \t]*(.+)$",
        r"^(.+)$",
    )
)
_UNSURE: Final = 2


def named_in_prose(mail: Incoming) -> list[str]:
    """The addresses that the words name: best one that the returned message was sent to, else the surest pattern's."""
    text = "\n".join(line for line in mail.notice.splitlines() if not OF_THE_SENDER.search(line))
    found = [addresses_in(" ".join(pointer.findall(text))) for pointer in _POINTERS]
    meant = {address.casefold() for address in mail.meant} - mail.own
    for named in found[:-_UNSURE]:
        if sure := [address for address in named if address.casefold() in meant]:
            return sure
    for named in found:
        if others := [address for address in named if address.casefold() not in mail.own]:
            return others
    return [address for address in mail.meant if address.casefold() in meant] if len(meant) == 1 else []
