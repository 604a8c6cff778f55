"""Finds what in a mail may tie it to a copy of ours. links.py checks the signatures."""

from __future__ import annotations

import re
from typing import Final

from newsletter.bounces.incoming import Incoming
from newsletter.bounces.values import CopyEvidence
from newsletter.model import ReportKind

# What our mailto link asks for, as the whole subject or a whole line. Quoted lines begin with ">" and do not match.
LEAVE: Final = re.compile(r"(?im)^[ \t]*unsubscribe[ \t]+([A-Za-z0-9_-]{32})[ \t]*$")

_OUR_ID: Final = re.compile(r"(?<![\w.])(\d{8}\.[0-9a-f]{32})@")
_OUR_TOKEN: Final = re.compile(r"(?:/unsubscribe/|unsubscribe(?:%20|[ +_]))([A-Za-z0-9_-]{32})(?![A-Za-z0-9_-])")
_MOST: Final = 20  # of each kind, so that a hostile mail costs little to check


def evidence(mail: Incoming, kind: ReportKind) -> CopyEvidence:
    """Everything in the mail that may be ours, sorted by where it stands.

    The headers of the returned message are one thing, the rest of the mail another: an answer has the Message-ID in
    In-Reply-To and References (RFC 5322 section 3.6.4) and quotes the token of the unsubscribe link. A reader who
    leaves must send the token itself or answer their own copy, because a quoted digest may be another reader's.
    """
    if kind is ReportKind.UNSUBSCRIBE:
        answered = f"{mail.header('In-Reply-To')} {mail.header('References')}"
        return CopyEvidence(
            tokens=tuple(LEAVE.findall(f"{mail.header('Subject')}\n{mail.notice}"))[:_MOST],
            message_ids=_found(_OUR_ID, answered),
            addresses=tuple(mail.authors[:_MOST]),
        )
    text = mail.raw + "\n".join(decoded for _, decoded in mail.leaves)
    text = text.replace("=\n", "").replace("=3D", "=")  # a quoted message may be quoted-printable
    return CopyEvidence(
        recipients=tuple(mail.recipients[:_MOST]),
        message_ids=_found(_OUR_ID, mail.original.get("message-id", "")),
        tokens=_found(_OUR_TOKEN, mail.original.get("list-unsubscribe", "")),
        mentioned_ids=_found(_OUR_ID, text),
        mentioned_tokens=_found(_OUR_TOKEN, text),
        addresses=tuple(mail.meant[:_MOST]),
    )


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """What `pattern` finds in `text`, each once, in order."""
    return tuple(dict.fromkeys(pattern.findall(text)))[:_MOST]
