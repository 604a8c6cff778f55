"""A mail from the bounce mailbox as values: its words, the message that it returns, its sender.

Strangers write these mails, so every search in them is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from functools import cached_property
from html.parser import HTMLParser
from typing import Any, Final

from newsletter.bounces.bounds import bounded, charset
from newsletter.bounces.notification import Notification, notification_in, original_headers
from newsletter.bounces.phrases import ANSWERED, DAEMON, DRAGONFLY, ORIGINAL, RETURNED, SYSTEM, TICKET

# What the email package, a codec or a detector may raise over a malformed mail.
STUMBLES: Final = (
    AssertionError,
    AttributeError,
    LookupError,
    MessageError,
    RecursionError,
    TypeError,
    ValueError,
)

# Addresses in prose; the lengths are those of RFC 5321 section 4.5.3.1.
_ADDRESS: Final = re.compile(
    r"""(?:"[^"\s@]{1,62}"|[^\s<>()\[\]{}:;,"'`@|\\]{1,64})@[^\s<>()\[\]{}:;,"'`@|\\/=*]{1,255}\.[^\W_]{2,63}\b"""
)
LOOSE_ADDRESS: Final = re.compile(r"[^\s<>;,@]{1,64}@[^\s<>;,@]{1,255}")

# A line in the headers that is no header: a folded line whose leading blank was lost. The email package would end the
# headers there.
_NO_HEADER: Final = re.compile(rb"\n(?![!-9;-~]+[ \t]*:|[ \t])([^\n]+)")

_LINES: Final = 2000  # lines of a report that are searched
_LINE: Final = 1000  # characters of each line
_WORDS: Final = 1000  # characters of a server's words that are kept in a report's values

# Headers that helpdesks and issue trackers write, and mail systems do not (their documentation).
_TICKET_HEADERS: Final = (
    "X-OTRS-Loop",
    "X-OTRS-AutoReply",
    "X-Zammad-Ticket-Id",
    "X-RT-Loop-Prevention",
    "RT-Ticket",
    "X-Redmine-Host",
    "X-JIRA-FingerPrint",
    "X-GitHub-Reason",
    "X-Zendesk-From-Account-Id",
    "X-FreshDesk-Ticket",
    "X-osTicket",
    "X-Helpscout-Message-ID",
)

_RETURNED_AS: Final = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


def addresses_in(text: str) -> list[str]:
    """Every address in `text`, in order, each once."""
    return list(dict.fromkeys(found.strip(".-") for found in _ADDRESS.findall(text)))


# An address in any form that a server may write it in: with an encoded "@" (RFC 3986, RFC 2045, HTML), inside VERP and
# SRS local parts, quoted, with an address literal, or with a full-width "@".
_AT: Final = r"(?:@|\uff20|%40|=40|&#0*64;|&#x0*40;|&commat;)"
# Begins where a word does, so that a long word is read once and not from each of its letters.
_LOCAL: Final = r"""(?<![^\s<>;,:"()\[\]@])[^\s<>;,:"()\[\]@]+?"""
_REDACTED: Final = re.compile(
    rf"""(?:"[^"\n]{{0,100}}"|{_LOCAL}){_AT}(?:\[[^\]\s]{{0,100}}\]|[^\s<>;,:"'()\[\]]+)""",
    re.IGNORECASE,
)


def redacted(words: str) -> str:
    """A server's words with each address replaced by ADDRESS, so that no address outlives a reader's erasure."""
    return _REDACTED.sub("ADDRESS", words)


def shown_line(words: str) -> str:
    """`words` on one line of at most 1,000 characters, cut between two words: half an address is not recognised."""
    line = " ".join(words.split())
    return line if len(line) <= _WORDS else line[:_WORDS].rpartition(" ")[0]


def headers_of(message: Message) -> dict[str, str]:
    """The headers by lower-case name; of a header that is repeated, the first."""
    found: dict[str, str] = {}
    for name, value in message.items():
        found.setdefault(name.lower(), " ".join(str(value).split()))
    return found


def inner(part: Message) -> Message:
    """The message inside a part of type message/*, however the email package has parsed it."""
    content: Any = part.get_payload()
    if isinstance(content, list) and content:
        first: Message = content[0]
        return first
    return message_from_bytes(bounded(_decoded(part).lstrip(b"\r\n")))


@dataclass(frozen=True)
class Incoming:
    """The mail: parsed, and as text in which every line ends in LF."""

    message: Message
    raw: str

    @classmethod
    def read(cls, raw: bytes) -> Incoming:
        """Read a mail with any line ends (CRLF, LF, CR), within `bounds`; the "From " line of an mbox is dropped."""
        text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
        if text.startswith(b"From "):
            text = text.partition(b"\n")[2]
        head, blank, body = text.partition(b"\n\n")
        text = bounded(_NO_HEADER.sub(rb"\n \1", head) + blank + body)
        return cls(message_from_bytes(text), text.decode("utf-8", "replace"))

    def header(self, name: str) -> str:
        """A header of the outermost mail, decoded, on one line; empty without one."""
        raw = next((value for key, value in self.message.raw_items() if key.lower() == name.lower()), "")
        value = str(raw).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        try:
            text = str(make_header(decode_header(value)))
        except (LookupError, ValueError):
            text = value
        return " ".join(text.split())[: _LINE * 10]

    @property
    def report_type(self) -> str:
        """The report-type of a multipart/report, in lower case; empty without one."""
        return str(self.message.get_param("report-type", "")).lower()

    @cached_property
    def sender(self) -> str:
        """Who the mail says it is from."""
        return f"{self.header('From')} {self.header('Sender')}"

    @cached_property
    def is_report(self) -> bool:
        """Whether a mail system sent it, by its sender, its form, or a subject that only mail systems write."""
        return bool(
            SYSTEM.search(self.sender)
            or DAEMON.search(self.header("Return-Path"))
            or self.report_type == "delivery-status"
            or (RETURNED.search(self.header("Subject")) and not self.is_answer)
        )

    @cached_property
    def is_answer(self) -> bool:
        """Whether a person or a helpdesk answers, forwards or asks, by its subject or its headers.

        People answer digests about bounces, and helpdesks repeat the subject of what they got.
        """
        subject = self.header("Subject")
        named = ANSWERED.search(subject) or TICKET.search(subject) or "?" in subject
        answering = self.header("In-Reply-To") or self.header("References")  # RFC 5322 section 3.6.4
        return bool(named or answering or any(name in self.message for name in _TICKET_HEADERS))

    @cached_property
    def is_structured(self) -> bool:
        """Whether it has the form of a delivery report (RFC 3464 section 2), whoever sent it."""
        kinds = {part.get_content_type() for part, _ in self.leaves} | {self.message.get_content_type()}
        return not kinds.isdisjoint(("multipart/report", "message/delivery-status"))

    @cached_property
    def is_forwarded_report(self) -> bool:
        """Whether a person passes on a report about their own mail: its sender is a person, its form no report's."""
        whole = self.message.get_content_type() == "multipart/report" and not ANSWERED.search(self.header("Subject"))
        return not self.from_a_system and not whole

    @cached_property
    def from_a_system(self) -> bool:
        """Like `is_report`, and also mails with an empty return path or without From.

        Some answering machines write an empty return path too (RFC 3834 section 3.3).
        """
        return self.is_report or self.header("Return-Path") == "<>" or not self.header("From")

    @cached_property
    def leaves(self) -> list[tuple[Message, str]]:
        """The parts with text, decoded, without those of a returned message."""
        return list(_leaves(self.message))

    @cached_property
    def notice(self) -> str:
        """The report's own text: everything before the returned message."""
        texts = [text for part, text in self.leaves if part.get_content_type() == "text/plain"]
        if not any(text.strip() for text in texts):
            texts = [_words_of(text) for part, text in self.leaves if part.get_content_type() == "text/html"]
        kept: list[str] = []
        for line in "\n".join(texts).splitlines()[:_LINES]:
            if ORIGINAL.match(line[:200]):
                break
            kept.append(line[:_LINE])
        return "\n".join(kept)

    @cached_property
    def short_lines(self) -> Message:
        """The message with at most the first 1,000 characters of each line of its parts, for flufl.bounce.

        That takes 0.3 s of CPU for a megabyte, also in one line. A line has 998 characters at most (RFC 5322 section
        2.1.1), and `notice` has as much of each. A part in base64 on one line is cut too; `leaves` has it whole.
        """
        if not any(len(line) > _LINE for line in self.raw.split("\n")):
            return self.message
        copied = deepcopy(self.message)
        for part in copied.walk():
            content: Any = part.get_payload()
            if isinstance(content, str):
                part.set_payload("\n".join(line[:_LINE] for line in content.split("\n")))
        return copied

    @cached_property
    def notification(self) -> Notification | None:
        """The notification of Amazon SES that the mail carries, if any."""
        return notification_in(text for _, text in self.leaves)

    @cached_property
    def original(self) -> Mapping[str, str]:
        """The headers of the returned message, by lower-case name; empty when no message is returned.

        The innermost one: a gateway may pass on another server's report as a whole.
        """
        parts = [part for part in self.message.walk() if part.get_content_type() in _RETURNED_AS]
        for part in reversed(parts):
            if part is not self.message and (found := headers_of(inner(part))):
                return found
        if self.notification is not None:
            return original_headers(self.notification)
        return _headers_in("\n\n".join(text for _, text in self.leaves)) or _headers_in(self.body)

    @cached_property
    def body(self) -> str:
        """Everything after the mail's own headers, not decoded."""
        return self.raw.partition("\n\n")[2]

    @cached_property
    def meant(self) -> list[str]:
        """The addresses that the returned message was sent to."""
        names = ("to", "x-envelope-to", "x-original-to", "delivered-to")
        values = [self.original[name] for name in names if name in self.original]
        return list(dict.fromkeys(address for _, address in getaddresses(values[:1]) if "@" in address))

    @cached_property
    def authors(self) -> list[str]:
        """The addresses of the mail's From."""
        return [address for _, address in getaddresses([str(self.message.get("From", ""))]) if "@" in address]

    @cached_property
    def recipients(self) -> list[str]:
        """The addresses that this mail itself was sent to; one of them may carry a bounce token (VERP)."""
        return self._addresses_of("To", "Delivered-To", "X-Original-To", "Envelope-To")

    @cached_property
    def operators(self) -> set[str]:
        """Addresses, case folded, of the mailbox that reads the report and of the list that sent the message.

        None of them can have failed. The reports of LIST may go to LIST-bounces, so the part before the mark counts
        too. The DragonFly Mail Agent writes the address that failed into X-Original-To (its bounce.c), where others
        write the address of the mailbox.
        """
        names = ["To", "Delivered-To", "Envelope-To", "Original-Recipient"]
        if not DRAGONFLY.search(self.raw[: _LINE * 10]):
            names.append("X-Original-To")
        found = {address.casefold() for address in self._addresses_of(*names)}
        split = [address.partition("@") for address in found]
        lists = {f"{local.rpartition(mark)[0]}@{domain}" for local, _, domain in split for mark in "-+"}
        return found | lists | {address.casefold() for address in addresses_in(self.original.get("from", ""))}

    @cached_property
    def own(self) -> set[str]:
        """The `operators`, and the sender of the report."""
        return self.operators | {address.casefold() for address in addresses_in(self.header("From"))}

    def _addresses_of(self, *names: str) -> list[str]:
        values = [str(value) for name in names for value in self.message.get_all(name, [])]
        return addresses_in(" ".join(values)[: _LINE * 10])


def _leaves(message: Message) -> Iterator[tuple[Message, str]]:
    if message.get_content_type() in _RETURNED_AS:
        return
    content: Any = message.get_payload()
    if isinstance(content, list) and message.get_content_type() == "message/delivery-status":
        message = _undivided(message, content)
    elif isinstance(content, list):
        for part in content:
            yield from _leaves(part)
        return
    data = _decoded(message)
    try:
        text = data.decode(charset(message.get_content_charset()), "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    yield message, text.replace("\r\n", "\n").replace("\r", "\n")


def _undivided(part: Message, blocks: list[Message]) -> Message:
    """A delivery-status part as one text: the email package splits it into blocks before it decodes it."""
    whole = Message()
    whole["Content-Type"] = "message/delivery-status"
    whole["Content-Transfer-Encoding"] = str(part.get("Content-Transfer-Encoding", "7bit"))
    whole.set_payload("\n".join(block.as_string() for block in blocks).strip() + "\n")
    return whole


def _decoded(part: Message) -> bytes:
    content: Any = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _headers_in(body: str) -> dict[str, str]:
    """The headers of a message that is returned as plain text.

    That is the first block with a Message-ID, else the first that looks like a message's headers: some systems (Apache
    James) list a few headers in their own words first.
    """
    first: dict[str, str] = {}
    for block in re.split(r"\n[ \t]*\n", body):
        found = _header_block(block)
        if "to" in found and "message-id" in found:
            return found
        if not first and "to" in found and {"from", "subject", "received"} & found.keys():
            first = found
    return first


def _header_block(block: str) -> dict[str, str]:
    lines = re.sub(r"\n[ \t]+(?![\w-]+:)", " ", re.sub(r"(?m)^[ \t]*[>|][ \t]?", "", block)).splitlines()
    found: dict[str, str] = {}
    for line in lines:
        if match := re.match(r"\s*([A-Za-z][\w-]*):[ \t]*(.*)$", line):
            found.setdefault(match.group(1).lower(), match.group(2).strip())
    return found


# A tag that another one begins before it ends. Older versions of html.parser take quadratic time over many of them.
_UNENDED: Final = re.compile(r"<(?![^<>]*>)")


class _Words(HTMLParser):
    """Collects the words of an HTML part, one line for each block."""

    _BLOCKS: Final = frozenset(("br", "p", "div", "tr", "td", "li", "h1", "h2", "h3", "table"))
    _SILENT: Final = frozenset(("style", "script", "title"))

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a new line at a block."""
        self._silent = tag in self._SILENT
        if tag in self._BLOCKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Collect again after a style sheet or script."""
        self._silent = False

    def handle_data(self, data: str) -> None:
        """Collect words; a line end inside HTML text is a blank."""
        if not self._silent:
            self.words.append(data.replace("\n", " "))


def _words_of(html: str) -> str:
    parser = _Words()
    parser.feed(_UNENDED.sub("&lt;", html[: _LINE * 50]))
    parser.close()
    return "".join(parser.words)
