"""Mails in words: people's answering machines, and delivery reports in nobody's format."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flufl.bounce import all_failures

from newsletter.bounces.incoming import STUMBLES, Incoming, addresses_in, shown_line
from newsletter.bounces.phrases import (
    ANSWERED,
    AUTOMATIC,
    DELAYED,
    FAILED,
    GIVEN_UP,
    NOT_DELIVERED,
    OF_THE_SENDER,
    RETURNED,
)
from newsletter.bounces.policy import exact
from newsletter.bounces.values import BounceReport, FailedRecipient
from newsletter.model import ReportKind

logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())  # it logs a traceback of what it stumbles over

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
    """A machine that answers for a person. A mail system marks its own reports as automatic too: they are not these."""
    subject = mail.header("Subject")
    if AUTOMATIC.search(subject):
        return BounceReport(ReportKind.AUTO_REPLY)
    marked = (
        mail.header("Auto-Submitted").lower() not in ("", "no")  # RFC 3834 section 5
        or "disposition-notification" in mail.report_type  # RFC 8098: a receipt
        or mail.header("Precedence").lower() in ("auto_reply", "auto-reply")
        or any(name in mail.message for name in _AUTO_HEADERS)
    )
    return BounceReport(ReportKind.AUTO_REPLY) if marked and not mail.is_report else None


# --- known prose -----------------------------------------------------------------------------------------------------


def known_prose(mail: Incoming) -> BounceReport | None:
    """What flufl.bounce knows: the wording of a hundred servers, collected by Mailman since 1998."""
    asked = mail.from_a_system or (FAILED.search(mail.notice) and not ANSWERED.search(mail.header("Subject")))
    if not asked:
        return None  # a person's mail is no report, whatever it quotes
    try:
        temporary, permanent = all_failures(mail.message)
    except STUMBLES:
        return None
    for found, kind in ((permanent, ReportKind.PERMANENT), (temporary, ReportKind.TEMPORARY)):
        addresses = _credible(mail, [item.decode("utf-8", "replace") for item in sorted(found)])
        if addresses:
            understood = told(mail, addresses)
            return understood if kind is ReportKind.PERMANENT else replace(understood, kind=kind)
    return None


def _credible(mail: Incoming, found: Sequence[str]) -> list[str]:
    """Those of `found` that the report's own words name, without its sender's: some detectors read on too far."""
    notice = mail.notice.casefold()
    addresses = [address for address in found if "@" in address]
    named = [address for address in addresses if address.casefold() in notice and address.casefold() not in mail.own]
    return named or addresses


def told(mail: Incoming, addresses: Sequence[str]) -> BounceReport:
    """A failure of `addresses` that is told in words: for good, unless they speak of a delay."""
    subject, notice = mail.header("Subject"), mail.notice
    waits = DELAYED.search(subject) or (DELAYED.search(notice) and not GIVEN_UP.search(f"{subject}\n{notice}"))
    failures = []
    for address in addresses:
        words = reason(notice, address)
        status = exact("4.0.0" if waits else "", words) or exact("", notice)
        failures.append(FailedRecipient(address, status, shown_line(words)))
    return BounceReport(ReportKind.TEMPORARY if waits else ReportKind.PERMANENT, tuple(failures))


def reason(notice: str, address: str) -> str:
    """The words beside an address: its paragraph, and the next two when it stands alone."""
    paragraphs = [part for part in re.split(r"\n[ \t]*\n", notice) if part.strip()]
    for index, part in enumerate(paragraphs):
        if address.casefold() in part.casefold():
            rest = re.sub(re.escape(address), "", part, flags=re.IGNORECASE)
            return part if FAILED.search(rest) else " ".join(paragraphs[index : index + 3])
    return ""


# --- any prose -------------------------------------------------------------------------------------------------------


def prose(mail: Incoming) -> BounceReport | None:
    """A report in nobody's format: the address that its words name, or that the returned message was for."""
    words = f"{mail.header('Subject')}\n{mail.notice}"
    told_so = FAILED.search(words) or RETURNED.search(words) if mail.is_report else NOT_DELIVERED.search(words)
    named = named_in_prose(mail) if told_so and mail.from_a_system else []
    return told(mail, named) if named else None


# How a line points at the address that failed, the surest first; the last also meet addresses that did not.
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
    """The addresses that the words name: best one that the returned message was for, else the surest pointer's."""
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
