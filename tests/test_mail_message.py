"""The message: headers and encoded lines keep the rules for any text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.links import Links, Purpose
from newsletter.mail.letter import new_letter
from newsletter.mail.message import compile_copies
from newsletter.mail.render import Renderer
from newsletter.model import Delivery, FrozenIssue, Mailbox, Publication, RenderedIssue, Slot
from tests.conftest import PUBLICATION, SHARED

AUDIT = SHARED / "tools" / "chaos" / "audit_eml.py"
WHEN = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
RENDERED = RenderedIssue(
    day=date(2026, 11, 24),
    subject="24 Nov: Papers",
    html=f'<p>Grüße, = and "quotes"</p><a href="{Slot.UNSUBSCRIBE}">Unsubscribe</a> for {Slot.ADDRESS}.\n<p>End</p>\n',
    text=f"Grüße\n.hidden\nFrom here\nUnsubscribe:\n{Slot.UNSUBSCRIBE}\n{Slot.ADDRESS}\n",
)

HOSTILE = [
    "a\r\nBcc: victim@example.com\r\n\r\nbody",
    "a =?UTF-8?Q?=0D=0A?=Bcc: victim@example.com",
    "=?utf-8?q?=0D=0ABcc:_victim=40example.com?=",
    "\n.\r\nMAIL FROM:<x@example.com>",
    "\u2028line\u2029separators\x85",
    "\x00\x07\x1b[31mred",
    "\ud800lone",
    '"; <x@example.com>, "',
    "y" * 2000,
    "слова " * 100,
    "日本語" * 100,
    "🦉" * 60,
    "(comment) \\ back\\slash",
]


def frozen(rendered: RenderedIssue = RENDERED, publication: Publication = PUBLICATION) -> FrozenIssue:
    return FrozenIssue(1, 1, rendered, publication, WHEN, WHEN + timedelta(days=1))


def copy(
    rendered: RenderedIssue = RENDERED, publication: Publication = PUBLICATION, address: str = "ada@example.org"
) -> bytes:
    copies = compile_copies(frozen(rendered, publication), Links("secret", publication))
    wire = copies.envelope(Delivery(1, 1, 1, "0123456789abcdef", address, 0)).message
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0|\n\.(?!\.)", wire)  # nothing that could end the message early
    return wire.replace(b"\r\n..", b"\r\n.")  # as the receiver undoes the dot-stuffing


def parsed(message: bytes) -> EmailMessage:
    return message_from_bytes(message, EmailMessage, policy=default)


def part(message: bytes | EmailMessage, kind: str) -> str:
    found = (message if isinstance(message, EmailMessage) else parsed(message)).get_body((kind,))
    assert found is not None
    return str(found.get_content())


def from_feed(text: str) -> RenderedIssue:
    """An issue of one paper that a feed described with `text` in every field."""
    entry = {"paper": {"id": "2611.00001", "title": f"{text} x", "summary": text, "authors": [{"name": text}]}}
    feed = parse(json.dumps([entry]).encode(), FeedConfig("feed.json"))
    return Renderer(PUBLICATION).issue(compose([feed], RENDERED.day, IssueRules()))


def check(message: bytes) -> EmailMessage:
    """The rules that hold for every message, whatever is in it (ids as in the list of MUSTs for bulk mail)."""
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", message)  # T1
    head, _, body = message.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998  # T2
    assert max(map(len, body.split(b"\r\n"))) <= 76  # M4
    assert body.isascii()  # M2
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names == [
        *("To", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "From", "Subject", "Date", "List-Id"),
        *("Auto-Submitted", "X-Auto-Response-Suppress", "Precedence", "Feedback-ID", "X-Issue", "MIME-Version"),
        "Content-Type",
    ]  # H6, H8, H12
    read = parsed(message)
    for name, value in read.items():
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", str(value)), name  # H13
    assert [each.get_content_type() for each in read.iter_parts()] == ["text/plain", "text/html"]  # M1
    assert not any(each.defects for each in read.walk())
    return read


def test_both_parts_read_back_as_they_were_rendered_with_the_reader_s_own_values() -> None:
    message = copy()
    link = Links("secret", PUBLICATION).unsubscribe("0123456789abcdef")[0]
    for kind, written in (("plain", RENDERED.text), ("html", RENDERED.html)):
        filled = written.replace(Slot.UNSUBSCRIBE, link).replace(Slot.ADDRESS, "ada@example.org")
        assert part(message, kind).replace("\r\n", "\n") == filled


def test_the_links_for_more_and_less_are_the_reader_s_own_below_each_paper() -> None:
    rendered = replace(
        RENDERED,
        html=RENDERED.html + "".join(f'<a href="{Slot.FEEDBACK}?paper=arxiv:{n}&amp;more=1">' for n in range(3)),
        text=f"{RENDERED.text}{Slot.FEEDBACK}?paper=arxiv:7&more=0\n",
    )
    link = Links("secret", PUBLICATION).feedback("0123456789abcdef")
    assert Links("secret", PUBLICATION).verify(Purpose.FEEDBACK, link.rpartition("/")[2]) == "0123456789abcdef"
    message = copy(rendered)
    assert re.findall(r'href="([^"]*paper[^"]*)"', part(message, "html")) == [
        f"{link}?paper=arxiv:{n}&amp;more=1" for n in range(3)
    ]
    assert f"\n{link}?paper=arxiv:7&more=0\n" in part(message, "plain").replace("\r\n", "\n")


def test_the_headers_say_who_what_when_and_how_to_leave() -> None:
    read = check(copy())
    assert read["To"] == "ada@example.org"
    assert read["From"] == "Daily Papers <digest@news.example.org>"
    assert read["Subject"] == "24 Nov: Papers"
    assert read["Date"] == "Tue, 24 Nov 2026 07:00:00 +0000"
    assert read["List-Id"] == "Daily Papers <daily-papers.news.example.org>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_list_unsubscribe_is_on_lines_of_its_own_and_never_encoded() -> None:
    raw = copy(publication=replace(PUBLICATION, base_url="https://" + "x" * 60 + ".example.org/papers"))
    (header,) = re.findall(rb"\r\nList-Unsubscribe: (.*?)\r\n(?! )", raw, re.DOTALL)
    assert re.fullmatch(rb"<https://[!-~]+>,\r\n <mailto:[!-~]+>", header)


def test_without_a_web_server_there_is_no_one_click_header() -> None:
    read = parsed(copy(publication=replace(PUBLICATION, base_url=None)))
    assert "List-Unsubscribe-Post" not in read
    assert read["List-Unsubscribe"].startswith("<mailto:bounces@news.example.org?")


def test_the_same_copy_is_the_same_bytes_and_another_reader_s_is_not() -> None:
    assert copy() == copy()
    one, two = parsed(copy()), parsed(copy(address="emmy@example.org"))
    assert one["To"] != two["To"]


def test_with_verp_each_copy_has_a_reverse_path_of_its_own_frozen_with_the_issue() -> None:
    verp = replace(PUBLICATION, verp=True)
    links = Links("secret", verp)
    made = compile_copies(frozen(publication=verp), links)
    paths = [made.envelope(Delivery(n, 1, n, f"{n:016x}", f"r{n}@example.org", 0)).mail_from for n in (1, 2)]
    assert [links.returned(path) for path in paths] == [(WHEN.date(), f"{n:016x}") for n in (1, 2)]
    usual = compile_copies(frozen(), links).envelope(Delivery(1, 1, 1, f"{1:016x}", "r1@example.org", 0))
    assert usual.mail_from == PUBLICATION.bounce_address


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_adds_no_header_and_breaks_no_line(text: str) -> None:
    read = check(copy(from_feed(text)))
    assert 0 < len(read["Subject"]) <= 150
    check(copy(replace(RENDERED, subject=text)))


ODD_NAMES = ("a, b; c: d", "jane@home.example", "[AI] (daily)", "a < b > c", r"back\slash", "Smith, Jané <x>")


@pytest.mark.parametrize(
    "title", ["Tägliche Papiere", "Papers, daily", 'The "Papers"', "論文" * 40, "=?utf-8?q?x?=", *ODD_NAMES]
)
def test_any_name_of_a_list_reads_back_whole(title: str) -> None:
    read = check(copy(publication=replace(PUBLICATION, title=title, sender=Mailbox(title, "digest@news.example.org"))))
    assert read["List-Id"].endswith("<daily-papers.news.example.org>")
    if not title.startswith("=?"):
        assert title in (str(read["List-Id"]).partition(" <")[0].strip('"').replace('\\"', '"'), title)
    assert read["From"].addresses[0].addr_spec == "digest@news.example.org"


@pytest.mark.parametrize("length", range(60, 90))
def test_a_slot_wherever_it_stands_leaves_no_line_too_long(length: int) -> None:
    for letter in ("x", "é", "="):
        html = f"{letter * length}{Slot.UNSUBSCRIBE}{letter * length}{Slot.ADDRESS}"
        address = "a" * 60 + "@" + "b" * 60 + ".example.org"
        read = check(copy(replace(RENDERED, html=html, text=html), address=address))
        assert part(read, "html").count(letter) >= 2 * length
        assert address in part(read, "plain")


def test_text_beyond_latin_is_base64_and_latin_is_quoted_printable() -> None:
    def encodings(text: str) -> list[str]:
        read = parsed(copy(replace(RENDERED, html=f"{text}{Slot.UNSUBSCRIBE}", text=f"{text}{Slot.UNSUBSCRIBE}")))
        return [each["Content-Transfer-Encoding"] for each in read.iter_parts()]

    assert encodings("Die Grüße kommen aus einer Stadt am Rhein. " * 20) == ["quoted-printable"] * 2
    assert encodings("這是一封關於論文的郵件。" * 20) == ["base64"] * 2
    message = copy(replace(RENDERED, text="這是一封關於論文的郵件。\n" * 20 + Slot.ADDRESS))
    check(message)
    assert part(message, "plain").rstrip().endswith("ada@example.org")


def test_an_address_is_escaped_in_html_only() -> None:
    message = copy(address="a&b@example.org")
    assert "a&amp;b@example.org" in part(message, "html")
    assert "a&b@example.org" in part(message, "plain")


def test_every_rule_for_bulk_mail_is_kept(tmp_path: Path) -> None:
    if not AUDIT.exists():
        pytest.skip("no audit: ../shared/tools is not beside this checkout")
    for number, text in enumerate(HOSTILE):
        (tmp_path / f"{number}.eml").write_bytes(copy(from_feed(text), address=f"r{number}@example.org"))
    words = ("--from-domain", "news.example.org", "--now", WHEN.isoformat(), "--json")
    done = subprocess.run([sys.executable, AUDIT, tmp_path, *words], capture_output=True, text=True, check=False)
    failed = {rule: said["msg"] for rule, said in json.loads(done.stdout).items() if said.get("FAIL")}
    # X3, X4: the copies above are all for one ref. D1, D2: DKIM.
    assert set(failed) <= {"D1", "D2", "X3", "X4"}, failed


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_letter_has_the_sender_whatever_the_name_holds(name: str) -> None:
    publication = replace(PUBLICATION, sender=Mailbox(name, "digest@news.example.org"))
    raw = new_letter(publication, "ada@example.org", "x", datetime(2026, 11, 24, tzinfo=UTC)).as_bytes()
    (sender,) = message_from_bytes(raw, policy=default)["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "digest@news.example.org")
