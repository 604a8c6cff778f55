"""Mails made to stop the program that reads them: each small enough to be sent, each slow or deep for a parser."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

_MEGABYTE: Final = 1_000_000
_HEAD: Final = b"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.net\r\nTo: bounces@news.example.org\r\n"
_REPORT: Final = _HEAD + b"Subject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n"
_STATUS: Final = b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
_DAMAGED: Final = b"Return-Path: <>\r\nSubject: failure notice\r\n"


def _typed(content_type: bytes, body: bytes = b"It failed.\r\n") -> bytes:
    return _REPORT + b"Content-Type: " + content_type + b"\r\n\r\n" + body


def _subject(subject: bytes) -> bytes:
    return _HEAD + b"Subject: " + subject + b"\r\n\r\nIt failed.\r\n"


def _nested(depth: int) -> bytes:
    """Multiparts within one another, each with a boundary of its own."""
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number) for number in range(depth)
    )
    return _REPORT + opened + b"\r\nIt failed.\r\n"


def _forwarded(depth: int) -> bytes:
    """Messages within one another, without any boundary."""
    return _REPORT + b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: it failed\r\n\r\nIt failed.\r\n"


def _alike(depth: int) -> bytes:
    """Multiparts within one another that share one boundary."""
    return _typed(b"multipart/mixed; boundary=b", b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * depth)


def _parts(number: int) -> bytes:
    return _typed(b"multipart/mixed; boundary=b", b"--b\r\n\r\n" * number)


def _fields(field: bytes) -> bytes:
    """A delivery report with a megabyte of one field."""
    body = b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
    return _REPORT + _STATUS + body + field * (_MEGABYTE // len(field)) + b"\r\n--b--\r\n"


def _in_a_part(header: bytes) -> bytes:
    return _typed(b"multipart/mixed; boundary=b", b"--b\r\n" + header + b"\r\n\r\nIt failed.\r\n--b--\r\n")


def _in_base64(message: bytes) -> bytes:
    """A message that is returned in base64, which is decoded after the outer mail was looked at."""
    encoded = base64.encodebytes(message).replace(b"\n", b"\r\n")
    return _in_a_part(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded)


# Each by a name that says what it does.
POISONS: Final[dict[str, Callable[[], bytes]]] = {
    "parameters-100kB": lambda: _typed(b'text/plain; x="' + b";" * 100_000),
    "parameters-1MB": lambda: _typed(b'text/plain; x="' + b";" * _MEGABYTE),
    "parameters-of-a-part": lambda: _in_a_part(b'Content-Type: text/plain; x="' + b";" * 900_000),
    "parameters-folded": lambda: _typed(b"text/plain" + b'; x="\r\n ;' * 90_000),
    "parameters-of-a-disposition": lambda: _in_a_part(b'Content-Disposition: inline; x="' + b";" * 900_000),
    "parameters-continued": lambda: _typed(b"text/plain" + b"".join(b"; x*%d=y" % number for number in range(90_000))),
    "punycode-subject": lambda: _subject(b"=?punycode?q?" + b"a" * 500_000 + b"-" + b"9" * 400_000 + b"?="),
    "punycode-body": lambda: _typed(b"text/plain; charset=punycode", b"a" * 500_000 + b"-" + b"9" * 400_000),
    "punycode-quoted": lambda: _typed(b'text/plain; charset="PunyCode"', b"a" * 500_000 + b"-" + b"9" * 400_000),
    "punycode-extended": lambda: _typed(
        b"text/plain; charset*=utf-8'en'puny%63ode", b"a" * 500_000 + b"-" + b"9" * 400_000
    ),
    "idna-body": lambda: _typed(b"text/plain; charset=idna", b"a." * 450_000),
    "base64-as-a-charset": lambda: _typed(b"text/plain; charset=base64", b"QUJD" * 200_000),
    "encoded-words-begun": lambda: _subject(b"=?a?q?" * 150_000),
    "encoded-words-in-from": lambda: _DAMAGED + b"From: " + b"=?utf-8?q?" * 90_000 + b"\r\n\r\nIt failed.\r\n",
    "encoded-words-many": lambda: _subject(b"=?utf-8?q?a?= " * 70_000),
    "multiparts-nested": lambda: _nested(900),
    "multiparts-nested-alike": lambda: _alike(20_000),
    "messages-nested": lambda: _forwarded(30_000),
    "messages-nested-in-base64": lambda: _in_base64(_forwarded(20_000)),
    "parameters-in-base64": lambda: _in_base64(b'Content-Type: text/plain; x="' + b";" * 500_000 + b"\r\n\r\n"),
    "parts-100000": lambda: _parts(100_000),
    "html-tags-begun": lambda: _typed(b"text/html", b"<a " * 330_000),
    "html-comments-begun": lambda: _typed(b"text/html", b"<!--" * 250_000),
    "html-declarations-begun": lambda: _typed(b"text/html", b"<!a" * 330_000),
    "html-attributes": lambda: _typed(b"text/html", b"<a " + b"a=" * 500_000),
    "status-1MB": lambda: _fields(b"Status: 5.1.1\r\n"),
    "final-recipient-1MB": lambda: _fields(b"Final-Recipient: rfc822; ada@example.net\r\nStatus: 5.1.1\r\n"),
    "recipients-apart-1MB": lambda: _fields(b"Final-Recipient: rfc822; ada@example.net\r\nAction: failed\r\n\r\n"),
    "diagnostic-code-1MB": lambda: _fields(
        b"Final-Recipient: rfc822; a@b.example\r\nDiagnostic-Code: smtp; " + b"5" * 900_000
    ),
    "blank-lines": lambda: _typed(b"text/plain", b"\r\n" * 300_000),
    "blank-lines-of-blanks": lambda: _typed(b"text/plain", b" \r\n" * 300_000),
    "one-long-header": lambda: (
        _HEAD + b"X-Long: " + b"x" * _MEGABYTE + b"\r\nSubject: failure notice\r\n\r\nIt failed.\r\n"
    ),
    "many-headers": lambda: _HEAD + b"Received: by mx\r\n" * 55_000 + b"\r\nIt failed.\r\n",
    "commas-in-to": lambda: (
        _DAMAGED + b"From: mailer-daemon@a.example\r\nTo: " + b"," * _MEGABYTE + b"\r\n\r\nIt failed.\r\n"
    ),
    "comments-in-from": lambda: _DAMAGED + b"From: " + b"(" * _MEGABYTE + b"\r\n\r\nIt failed.\r\n",
    "quotes-in-to": lambda: _DAMAGED + b"To: " + b'"\\' * 450_000 + b"\r\n\r\nIt failed.\r\n",
    "base64-of-padding": lambda: _REPORT + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * _MEGABYTE,
    "quoted-printable-of-padding": lambda: (
        _REPORT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * _MEGABYTE
    ),
    "uuencode-begun": lambda: _REPORT + b"Content-Transfer-Encoding: x-uuencode\r\n\r\n" + b"begin 666 a\r\n" * 70_000,
    "addresses-without-end": lambda: _typed(b"text/plain", b"a@" * 450_000),
    "one-word": lambda: _typed(b"text/plain", b"Recipient: " + b"a" * 980_000),
    "json-nested": lambda: _typed(b"text/plain", b'{"notificationType":' + b"[" * 950_000),
    "carriage-returns": lambda: _REPORT + b"\r" * 950_000,
    "nothing-but-colons": lambda: b":" * _MEGABYTE,
    "nothing-but-zeros": lambda: bytes(_MEGABYTE),
}
