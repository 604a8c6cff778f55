"""What in a mail may tie it to a copy of ours. links.py tells which of it is really ours."""

from __future__ import annotations

import re
from typing import Final

from newsletter.bounces.incoming import Incoming
from newsletter.bounces.values import CopyEvidence
from newsletter.model import ReportKind

# What our mailto link asks for, as the whole subject or a whole line. Quoted text is none: it has a ">".
LEAVE: Final = re.compile(r"(?im)^[ \t]*unsubscribe[ \t]+([A-Za-z0-9_-]{32})[ \t]*$")

_OUR_ID: Final = re.compile(r"(?<![\w.])(\d{8}\.[0-9a-f]{32})@")
_OUR_TOKEN: Final = re.compile(r"(?:/unsubscribe/|unsubscribe(?:%20|[ +_]))([A-Za-z0-9_-]{32})(?![A-Za-z0-9_-])")
_MOST: Final = 20  # of each: a hostile mail must not make us compute for long


def evidence(mail: Incoming, kind: ReportKind) -> CopyEvidence:
    """Everything that may be ours, looked for in the whole mail, because servers return what they please.

    A reader who leaves must say so with the token itself, or answer his own copy: a quoted digest holds token and
    Message-ID too, and may be another's.
    """
    if kind is ReportKind.UNSUBSCRIBE:
        answered = f"{mail.header('In-Reply-To')} {mail.header('References')}"  # RFC 5322 section 3.6.4
        return CopyEvidence(
            tokens=tuple(LEAVE.findall(f"{mail.header('Subject')}\n{mail.notice}"))[:_MOST],
            message_ids=tuple(dict.fromkeys(_OUR_ID.findall(answered)))[:_MOST],
            addresses=tuple(mail.authors[:_MOST]),
        )
    text = mail.raw + "\n".join(decoded for _, decoded in mail.leaves)
    text = text.replace("=\n", "").replace("=3D", "=")  # a returned message may be quoted-printable
    return CopyEvidence(
        recipients=tuple(mail.recipients[:_MOST]),
        message_ids=tuple(dict.fromkeys(_OUR_ID.findall(text)))[:_MOST],
        tokens=tuple(dict.fromkeys(_OUR_TOKEN.findall(text)))[:_MOST],
        addresses=tuple(mail.meant[:_MOST]),
    )
