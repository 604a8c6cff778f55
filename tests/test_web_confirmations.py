"""Confirmation mails: one a day, none lost, without text by strangers, sent through the configured servers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter.errors import TransportUnavailable
from newsletter.mail.dkim import load
from newsletter.model import MoveNotice, Outcome, SignUp, SubscriberStatus
from newsletter.web.confirmations import ConfirmationSender
from tests.pages import BASE, Site
from tests.smtpd import CLOSE, Script, Smtpd, smtpd

EVE = "eve@example.org"


@pytest.fixture
def server() -> Iterator[Smtpd]:
    with smtpd() as running:
        yield running


def site_at(folder: Path, port: int, more: str = "") -> Site:
    return Site(folder, f"smtp:\n  - host: 127.0.0.1\n    port: {port}\n    timeout: 5\n{more}")


@pytest.fixture
def site(tmp_path: Path, server: Smtpd) -> Iterator[Site]:
    made = site_at(tmp_path, server.port)
    yield made
    made.store.close()


def unstuffed(raw: bytes) -> bytes:
    """The message as a mailbox has it, without dot-stuffing."""
    return raw.replace(b"\r\n..", b"\r\n.")


def read(raw: bytes) -> EmailMessage:
    return message_from_bytes(unstuffed(raw), EmailMessage, policy=default)


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_the_mail_says_who_asked_and_leads_to_the_button(site: Site, server: Smtpd) -> None:
    site.subscribe("Eve@example.org")
    assert site.confirmation_sender().send_due() == 1
    (raw,) = server.messages
    mail = read(raw)
    assert (mail["From"], mail["To"]) == ("Daily Papers <digest@news.example.org>", "Eve@example.org")
    assert mail["Subject"] == "Confirm your subscription to Daily Papers"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Tue, 24 Nov 2026 07:00:00 +0000"
    assert re.fullmatch(r"<[^<>@\s]+@news\.example\.org>", mail["Message-ID"])
    assert "MAIL FROM:<digest@news.example.org>" in " ".join(server.commands)
    links = {link for kind in ("plain", "html") for link in re.findall(BASE + r"/confirm/[\w-]+", part(mail, kind))}
    assert len(links) == 1
    for kind in ("plain", "html"):
        text = " ".join(part(mail, kind).split())
        assert "Somebody entered this address on the web page of Daily Papers" in text
        assert "If it was not you, you need not do anything." in text
        assert "eve@" not in text.lower()
        assert "slot.invalid" not in text
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert "You are subscribed" in site.client.post(links.pop().removeprefix(BASE)).text
    assert site.reader(EVE).status is SubscriberStatus.ACTIVE


def test_a_reader_who_moves_is_told_so(site: Site, server: Smtpd) -> None:
    site.client.post(f"{site.preferences}/address", data={"email": EVE})
    site.confirmation_sender().send_due()
    mail = read(server.messages[0])
    assert mail["Subject"] == "Confirm your new address for Daily Papers"
    assert "A reader of Daily Papers asked for its mails to come to this address" in " ".join(
        part(mail, "plain").split()
    )
    assert "ada" not in part(mail, "plain").lower()


def test_one_mail_a_day_whatever_is_asked(site: Site, server: Smtpd) -> None:
    sender = site.confirmation_sender()
    for _ in range(15):
        site.subscribe(EVE)
        sender.send_due()
    assert len(server.messages) == 1
    site.clock.move(hours=24, seconds=1)
    site.subscribe(EVE)
    sender.send_due()
    assert len(server.messages) == 2
    assert read(server.messages[0])["Message-ID"] != read(server.messages[1])["Message-ID"]


def test_many_are_sent_over_one_connection_or_a_few(site: Site, server: Smtpd) -> None:
    for n in range(120):
        site.store.ask(f"reader{n}@example.org")
    assert site.confirmation_sender().send_due() == 120
    assert len({read(raw)["To"] for raw in server.messages}) == len(server.messages) == 120
    assert server.connections < 20


def test_nothing_is_lost_while_the_mail_server_is_away(tmp_path: Path) -> None:
    with smtpd() as gone:
        port = gone.port
    site = site_at(tmp_path, port)
    site.subscribe(EVE)
    with pytest.raises(TransportUnavailable):
        site.confirmation_sender().send_due()
    assert len(site.store.due_sign_ups(9)) == 1
    site.store.close()
    with smtpd() as back:  # and the process has been restarted
        again = site_at(tmp_path, back.port)
        assert again.confirmation_sender().send_due() == 1
        again.store.close()
    assert len(back.messages) == 1


@pytest.mark.parametrize(
    ("stage", "replies"),
    [
        ("RCPT", ["450 4.2.0 greylisted"]),
        ("dot", ["451 4.3.0 later"]),
        ("MAIL", ["421 4.3.2 closing"]),
        ("DATA", [CLOSE]),
    ],
)
def test_a_mail_that_was_put_off_is_tried_again_later_once(tmp_path: Path, stage: str, replies: list[str]) -> None:
    with smtpd(Script({stage: replies})) as server:
        site = site_at(tmp_path, server.port)
        sender = site.confirmation_sender()
        site.subscribe(EVE)
        assert sender.send_due() == 0
        taken = len(server.messages)
        assert sender.send_due() == 0  # not at once
        site.clock.move(minutes=6)
        assert sender.send_due() == 1
        assert len(server.messages) == taken + 1
        assert sender.send_due() == 0
        site.store.close()


@pytest.mark.parametrize("stage", ["RCPT", "dot"])
def test_a_refused_address_is_not_tried_again_and_keeps_nobody_waiting(tmp_path: Path, stage: str) -> None:
    with smtpd(Script({stage: ["550 5.1.1 no such user"]})) as server:
        site = site_at(tmp_path, server.port, "    connections: 1\n")
        sender = site.confirmation_sender()
        site.subscribe("nobody@example.org")
        site.clock.move(seconds=1)
        site.subscribe(EVE)
        assert sender.send_due() == 1
        site.clock.move(hours=2)
        assert sender.send_due() == 0
        assert site.store.due_sign_ups(9) == []
        site.store.close()


def test_a_mail_in_doubt_is_not_sent_twice(tmp_path: Path) -> None:
    with smtpd(Script({"dot": [CLOSE]})) as server:
        site = site_at(tmp_path, server.port)
        sender = site.confirmation_sender()
        site.subscribe(EVE)
        sender.send_due()
        site.clock.move(hours=2)
        sender.send_due()
        assert [command for command in server.commands if command.upper().startswith("DATA")] == ["DATA"]
        site.store.close()


def test_it_is_noted_before_the_dot_so_that_a_crash_makes_no_second_mail(tmp_path: Path) -> None:
    """The process dies after the server has the mail and before its reply is read."""
    with smtpd() as server:
        site = site_at(tmp_path, server.port)
        site.subscribe(EVE)

        class Killed(BaseException):
            pass

        class Dying(ConfirmationSender):
            def _record(self, mail: SignUp | MoveNotice, outcome: Outcome, *, noted: bool) -> None:
                raise Killed

        with pytest.raises(Killed):
            Dying(site.config, site.store, now=site.clock.now).send_due()
        assert len(server.messages) == 1
        assert site.confirmation_sender().send_due() == 0
        assert len(server.messages) == 1
        site.store.close()


def test_the_servers_daily_limit_counts_confirmations_too(tmp_path: Path) -> None:
    with smtpd() as server:
        site = site_at(tmp_path, server.port, "    per_day: 2\n")
        for n in range(3):
            site.store.ask(f"reader{n}@example.org")
        assert site.confirmation_sender().send_due() == 2
        assert site.confirmation_sender().send_due() == 0  # another process knows of it
        assert len(site.store.due_sign_ups(9)) == 1
        site.clock.move(hours=24, seconds=2)
        assert site.confirmation_sender().send_due() == 1
        site.store.close()


def test_the_mail_is_signed_when_the_copies_are(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*form))
    with smtpd() as server:
        site = site_at(tmp_path, server.port, "dkim:\n  - selector: s1\n    private_key_file: key.pem\n")
        site.subscribe(EVE)
        site.confirmation_sender().send_due()
        site.store.close()
    name, text = load(tmp_path / "key.pem", "s1", "news.example.org").record
    (raw,) = server.messages
    assert dkimpy.DKIM(unstuffed(raw)).verify(
        dnsfunc=lambda asked, timeout=5: text.encode() if asked == f"{name}.".encode() else b""
    )


def test_a_name_beyond_ascii_is_written_as_it_is(site: Site, server: Smtpd) -> None:
    site.subscribe("ünal@example.org")
    site.confirmation_sender().send_due()
    assert "\r\nTo: ünal@example.org\r\n".encode() in server.messages[0]


def test_it_works_in_a_thread_is_woken_and_stops(site: Site, server: Smtpd) -> None:
    said: list[str] = []
    sender = ConfirmationSender(site.config, site.store, warn=said.append)
    second = ConfirmationSender(site.config, site.store, warn=said.append)
    threads = [threading.Thread(target=each.run) for each in (sender, second)]
    for thread in threads:
        thread.start()
    for n in range(3):
        site.store.ask(f"reader{n}@example.org")
        sender.wake()
        second.wake()
    for _ in range(200):
        if len(server.messages) == 3:
            break
        threading.Event().wait(0.05)
    for each in (sender, second):
        each.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(server.messages) == 3
    assert said == []


def test_a_server_that_is_away_is_said_and_tried_again(tmp_path: Path) -> None:
    with smtpd(Script({"greeting": ["554 5.3.2 not today"]})) as server:
        site = site_at(tmp_path, server.port)
        site.store.ask(EVE)
        said: list[str] = []
        sender = ConfirmationSender(site.config, site.store, warn=said.append, back_off=(0.05,))
        thread = threading.Thread(target=sender.run)
        thread.start()
        for _ in range(200):
            if server.messages:
                break
            threading.Event().wait(0.05)
        sender.stop()
        thread.join(10)
        site.store.close()
    assert len(server.messages) == 1
    assert len(said) == 1
    assert "not today" in said[0]
