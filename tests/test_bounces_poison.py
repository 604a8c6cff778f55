"""Mails made to stop `newsletter bounces`: each costs itself at most, and the mail beside it is read."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, message_from_string
from pathlib import Path

import pytest

from newsletter.bounces.bounds import BLOCK, DEPTH, HEADER, LINE, LINES, PARTS, bounded, charset
from newsletter.bounces.incoming import Incoming
from newsletter.bounces.process import parser
from newsletter.children import Nursery
from newsletter.links import Purpose
from newsletter.model import ReportKind, SubscriberStatus
from newsletter.store import Store
from tests.bouncing import ADA, EMMY, Scene, configured
from tests.fakes import FakeClock
from tests.migrated import store_file
from tests.poison_mails import POISONS


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with parser() as running:
        yield running


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    clock = FakeClock()
    with Store.open(store_file(tmp_path / "newsletter.db"), now=clock.now) as store:
        store.add_all([ADA, EMMY], revive=False)
        yield Scene(tmp_path, store, clock, configured(tmp_path))


@pytest.mark.parametrize("name", POISONS)
def test_a_poison_mail_costs_itself_at_most(scene: Scene, children: Nursery, name: str) -> None:
    """A child is ended at its bounds, and a warning tells of it, so a poison that is read within them brings none."""
    warnings: list[str] = []
    token = scene.links.token(Purpose.UNSUBSCRIBE, scene.reader(ADA).ref)
    scene.arrives(POISONS[name]())
    scene.arrives(f"From: {ADA}\nTo: bounces@news.example.org\nSubject: unsubscribe {token}\n\n")
    tally = scene.collect(children, warnings.append)
    assert warnings == []
    assert (tally.read, tally.kinds[ReportKind.UNSUBSCRIBE]) == (2, 1)
    assert scene.status(ADA) is SubscriberStatus.UNSUBSCRIBED
    assert scene.status(EMMY) is SubscriberStatus.ACTIVE
    assert scene.filed("Kept") + scene.filed() == 2


# --- the bounds before the parser ------------------------------------------------------------------------------------


def test_what_mail_systems_write_stays_as_it_is() -> None:
    for path in sorted((Path(__file__).parent / "data" / "bounces").glob("*.eml")):
        raw = path.read_bytes().replace(b"\r\n", b"\n")
        assert bounded(raw) == raw, path.name


def test_a_mail_has_so_many_lines_and_parts() -> None:
    assert bounded(b"Subject: x\n\n" + b"y\n" * 10_000).count(b"\n") == LINES - 1
    many = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1000
    assert bounded(many).count(b"--b\n") == PARTS


@pytest.mark.parametrize(
    "before", [b"", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n", b"Content-Type: message/rfc822\n\n"]
)
def test_headers_have_so_many_bytes_wherever_they_stand(before: bytes) -> None:
    cut = bounded(before + b"To: " + b"ada@example.net, " * 1000 + b"\nSubject: failure\n\nbody")
    assert b"\nSubject: failure\n\nbody" in cut
    to = cut[cut.index(b"To: ") : cut.index(b"\nSubject")]
    assert HEADER - 20 < len(to) <= HEADER
    assert to.endswith(b"ada@example.net,")  # half an address would be another one
    folded = bounded(before + b"To: ada@example.net" + b",\n emmy@example.net" * 1000 + b"\nSubject: x\n\n")
    assert len(folded) < len(before) + HEADER + 20
    many = bounded(before + b"Received: by mx.example.net\n" * 4000 + b"Subject: late\n\nbody")
    assert BLOCK - 100 < len(many) < len(before) + BLOCK + 10
    assert many.endswith(b"\n\nbody")


def test_long_lines_of_a_body_stay() -> None:
    raw = b"Subject: x\n\n" + b'{"notificationType": "Bounce"} ' * 1000 + b"\n"
    assert bounded(raw) == raw


def test_a_line_of_a_body_has_so_many_bytes() -> None:
    assert bounded(b"Subject: x\n\n" + b"y" * 1_000_000 + b"\nz\n") == b"Subject: x\n\n" + b"y" * LINE + b"\nz\n"


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=b%d", "message/rfc822"])
def test_what_is_deeper_is_text(kind: str) -> None:
    parts = [kind.replace("%d", str(number)) for number in range(30)]
    opened = "".join(
        f"Content-Type: {part}\n\n" + (f"--b{number}\n" if "boundary" in part else "")
        for number, part in enumerate(parts)
    )
    found = list(message_from_bytes(bounded(f"{opened}\nIt failed.\n".encode())).walk())
    assert len(found) == DEPTH + 1
    assert found[-1].get_content_type() == "text/plain"
    assert len(list(message_from_string(f"{opened}\nIt failed.\n").walk())) == 31


def test_parts_beside_one_another_are_not_deep() -> None:
    part = "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nx\n--c--\n"
    raw = f"Content-Type: multipart/mixed; boundary=b\n\n{part * 30}--b--\n".encode()
    assert bounded(raw) == raw


@pytest.mark.parametrize(
    ("header", "becomes"),
    [
        ("Subject: =?punycode?q?x?=", "Subject: =?utf-8?q?x?="),
        ("Subject: =?ROT13*en?b?eA==?= =?koi8-r?b?eA==?=", "Subject: =?utf-8*en?b?eA==?= =?koi8-r?b?eA==?="),
        ('Content-Type: text/plain; charset="Idna"', 'Content-Type: text/plain; charset="utf-8"'),
        ("Content-Type: text/plain;\n charset=unknown-8bit", "Content-Type: text/plain;\n charset=utf-8"),
        ("Content-Type: text/plain; charset*=punycode'en'x", "Content-Type: text/plain; charset*=utf-8'en'x"),
        ("Content-Type: text/plain; charset=ks_c_5601-1987", "Content-Type: text/plain; charset=ks_c_5601-1987"),
        ("List-Unsubscribe: <https://a.example/u?t==?x>", "List-Unsubscribe: <https://a.example/u?t==?x>"),
    ],
)
def test_other_character_sets_are_read_as_utf_8(header: str, becomes: str) -> None:
    assert bounded(f"{header}\n\nbody".encode()) == f"{becomes}\n\nbody".encode()


@pytest.mark.parametrize("name", ["us-ascii", "latin1", "Windows-1252", "GB2312", "ISO-2022-JP", "utf-8", "Shift_JIS"])
def test_common_character_sets_stay(name: str) -> None:
    assert charset(name) == name


@pytest.mark.parametrize("name", [None, "", "punycode", "idna", "rot13", "base64", "zlib", "unicode_escape", "x\0y"])
def test_what_is_no_character_set_is_utf_8(name: str | None) -> None:
    assert charset(name) == "utf-8"


def test_a_character_set_that_is_spelt_in_percent_codes_is_judged_too() -> None:
    mail = Incoming.read(b"Content-Type: text/plain; charset*=utf-8'en'puny%63ode\n\nbcher-kva\n")
    assert mail.notice == "bcher-kva"


def test_a_detector_gets_no_more_of_a_line_than_a_mail_may_have() -> None:
    """RFC 5322 section 2.1.1. The mail itself stays whole: a token of ours may be anywhere in it."""
    head = b"Subject: " + b"word " * 400 + b"\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n"
    long = Incoming.read(
        head + b"a" * 5_000 + b"\nshort\n\n--x\nContent-Type: text/html\n\n" + b"b" * 998 + b"\n--x--\n"
    )
    first, second = (part.get_payload() for part in long.short_lines.walk() if not part.is_multipart())
    assert first == "a" * 1_000 + "\nshort\n"
    assert second == "b" * 998
    assert long.short_lines["Subject"] == long.message["Subject"]
    assert "a" * 5_000 in str(long.message.get_payload(0))
    plain = Incoming.read(b"Subject: x\n\n" + b"a" * 998 + b"\n")
    assert plain.short_lines is plain.message
