"""A mail from the bounce mailbox, with what its readers ask of it: its words, the message it returns, its sender.

Everything that is searched is bounded, since a stranger wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from functools import cached_property
from html.parser import HTMLParser
from typing import Any, Final

from newsletter.bounces.phrases import ANSWERED, ORIGINAL, RETURNED, SYSTEM

# What the email package, a codec or a detector may raise over a mail: there is no end to what a stranger can send.
STUMBLES: Final = (
    AssertionError,
    AttributeError,
    LookupError,
    MessageError,
    RecursionError,
    TypeError,
    ValueError,
)

# Addresses as they stand in prose; lengths are RFC 5321 section 4.5.3.1's.
_ADDRESS: Final = re.compile(
    r"""(?:"[^"\s@]{1,62}"|[^\s<>()\[\]{}:;,"'`@|\\]{1,64})@[^\s<>()\[\]{}:;,"'`@|\\/=*]{1,255}\.[^\W_]{2,63}\b"""
)
LOOSE_ADDRESS: Final = re.compile(r"[^\s<>;,@]{1,64}@[^\s<>;,@]{1,255}")

# A line among headers that is none: a folded one whose blank was lost on the way, and the email package gives up at it.
_NO_HEADER: Final = re.compile(rb"\n(?![!-9;-~]+[ \t]*:|[ \t])([^\n]+)")

_LINES: Final = 2000  # of a report's words that are looked at
_LINE: Final = 1000  # characters of each

_RETURNED_AS: Final = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


def addresses_in(text: str) -> list[str]:
    """Every address in `text`, in order, each once."""
    return list(dict.fromkeys(found.strip(".-") for found in _ADDRESS.findall(text)))


def redacted(words: str) -> str:
    """The server's words without addresses: what is kept must not outlive a reader who asks to be forgotten."""
    return LOOSE_ADDRESS.sub("ADDRESS", words)


def shown_line(words: str) -> str:
    """`words` on one line, cut to what an operator reads."""
    return " ".join(words.split())[:300]


def headers_of(message: Message) -> dict[str, str]:
    """The headers by lower-case name; of a name given twice, the first."""
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
    return message_from_bytes(_decoded(part).lstrip(b"\n"))


@dataclass(frozen=True)
class Incoming:
    """The mail: parsed, and as text with LF only."""

    message: Message
    raw: str

    @classmethod
    def read(cls, raw: bytes) -> Incoming:
        """Take CRLF, LF, and the bare CR of old Macs alike; drop the first line of an mbox."""
        text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
        if text.startswith(b"From "):
            text = text.partition(b"\n")[2]
        head, blank, body = text.partition(b"\n\n")
        text = _NO_HEADER.sub(rb"\n \1", head) + blank + body
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
        """Whether a mail system sent it, by its sender, its form or its subject.

        A subject that is answered or forwarded is a person's: he may answer a digest on a paper about bounces.
        """
        subject = self.header("Subject")
        return bool(
            SYSTEM.search(f"{self.sender} {self.header('Return-Path')}")
            or self.report_type == "delivery-status"
            or (RETURNED.search(subject) and not ANSWERED.search(subject))
        )

    @cached_property
    def is_structured(self) -> bool:
        """Whether it is built as a delivery report is (RFC 3464 section 2), whoever sent it."""
        kinds = {part.get_content_type() for part, _ in self.leaves} | {self.message.get_content_type()}
        return not kinds.isdisjoint(("multipart/report", "message/delivery-status"))

    @cached_property
    def from_a_system(self) -> bool:
        """The same, or by its empty return path, which some people's answering machines have too, or without a From."""
        return self.is_report or self.header("Return-Path") == "<>" or not self.header("From")

    @cached_property
    def leaves(self) -> list[tuple[Message, str]]:
        """The parts that hold text, decoded; not those of a message that is returned."""
        return list(_leaves(self.message))

    @cached_property
    def notice(self) -> str:
        """What the report says in words: its text up to where the returned message begins."""
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
    def original(self) -> Mapping[str, str]:
        """The headers of the message that comes back, by lower-case name; empty when none does."""
        for part in self.message.walk():
            if part is not self.message and part.get_content_type() in _RETURNED_AS:
                found = headers_of(inner(part))
                if found:
                    return found
        return _headers_in(self.raw.partition("\n\n")[2])

    @cached_property
    def meant(self) -> list[str]:
        """Whom the returned message was for."""
        names = ("to", "x-envelope-to", "x-original-to", "delivered-to")
        values = [self.original[name] for name in names if name in self.original]
        return list(dict.fromkeys(address for _, address in getaddresses(values[:1]) if "@" in address))

    @cached_property
    def authors(self) -> list[str]:
        """The addresses that the mail says it is from."""
        return [address for _, address in getaddresses([str(self.message.get("From", ""))]) if "@" in address]

    @cached_property
    def recipients(self) -> list[str]:
        """The addresses that this mail itself was sent to."""
        names = ("To", "Delivered-To", "X-Original-To", "Envelope-To")
        values = [str(value) for name in names for value in self.message.get_all(name, [])]
        return addresses_in(" ".join(values)[: _LINE * 10])

    @cached_property
    def own(self) -> set[str]:
        """Addresses, case folded, that cannot have failed: the mail's sender, its recipients, the original's author.

        A list's own address is among them: the reports of LIST go to LIST-bounces.
        """
        found = {address.casefold() for address in (*self.recipients, *addresses_in(self.header("From")))}
        split = [address.partition("@") for address in found]
        lists = {f"{local.rpartition(mark)[0]}@{domain}" for local, _, domain in split for mark in "-+"}
        return found | lists | {address.casefold() for address in addresses_in(self.original.get("from", ""))}


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
        text = data.decode(message.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    yield message, text.replace("\r\n", "\n").replace("\r", "\n")


def _undivided(part: Message, blocks: list[Message]) -> Message:
    """A delivery-status part with its text in one: the email package divides it before it could be decoded."""
    whole = Message()
    whole["Content-Type"] = "message/delivery-status"
    whole["Content-Transfer-Encoding"] = str(part.get("Content-Transfer-Encoding", "7bit"))
    whole.set_payload("\n".join(block.as_string() for block in blocks).strip() + "\n")
    return whole


def _decoded(part: Message) -> bytes:
    content: Any = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _headers_in(body: str) -> dict[str, str]:
    """The headers of a message that is returned as plain text: the first block that looks like a message's."""
    for block in re.split(r"\n[ \t]*\n", body):
        lines = re.sub(r"\n[ \t]+(?![\w-]+:)", " ", re.sub(r"(?m)^[ \t]*[>|][ \t]?", "", block)).splitlines()
        found: dict[str, str] = {}
        for line in lines:
            if match := re.match(r"\s*([A-Za-z][\w-]*):[ \t]*(.*)$", line):
                found.setdefault(match.group(1).lower(), match.group(2).strip())
        if "to" in found and {"from", "subject", "message-id", "received"} & found.keys():
            return found
    return {}


class _Words(HTMLParser):
    """The words of an HTML part, a line for each block."""

    _BLOCKS: Final = frozenset(("br", "p", "div", "tr", "td", "li", "h1", "h2", "h3", "table"))
    _SILENT: Final = frozenset(("style", "script", "title"))

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line at a block."""
        self._silent = tag in self._SILENT
        if tag in self._BLOCKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Speak again after a style sheet."""
        self._silent = False

    def handle_data(self, data: str) -> None:
        """Keep the words, whose own line ends mean nothing."""
        if not self._silent:
            self.words.append(data.replace("\n", " "))


def _words_of(html: str) -> str:
    parser = _Words()
    parser.feed(html[: _LINE * 50])
    parser.close()
    return "".join(parser.words)
