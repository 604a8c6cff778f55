"""SMTP over real sockets: what each answer means, and that nothing is ever sent in a weaker way than was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from newsletter.config import Secret, SmtpConfig
from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import Envelope, OutcomeKind
from newsletter.transport import SmtpTransport
from tests.smtpd import CLOSE, SILENT, Authority, Script, Smtpd, smtpd

MESSAGE = b"Subject: papers\r\n\r\n.hidden\r\nwords\r\n"


def envelope(rcpt_to: str = "ada@example.org", message: bytes = MESSAGE) -> Envelope:
    return Envelope("bounces@news.example.org", rcpt_to, message)


def transport(server: Smtpd, **changes: Any) -> SmtpTransport:
    plain = SmtpConfig(host="127.0.0.1", port=server.port, timeout=2.0)
    made = SmtpTransport(replace(plain, **changes), timeout_after_dot=1.0)
    _OPEN.append(made)
    return made


_OPEN: list[SmtpTransport] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Hang up after each test, as `deliver`'s caller does."""
    yield
    while _OPEN:
        _OPEN.pop().close()


def password(value: str = "hunter2") -> Secret:
    return Secret(lambda: value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


# --- what an answer means --------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_handed_over() -> None:
    with smtpd() as server:
        outcome = transport(server).send(envelope())
    assert (outcome.kind, outcome.code, outcome.text) == (OutcomeKind.ACCEPTED, 250, "kept")
    assert [each.replace(b"\r\n..", b"\r\n.") for each in server.messages] == [MESSAGE]
    assert b"\r\n..hidden\r\n" in server.messages[0]
    assert f"MAIL FROM:<bounces@news.example.org> SIZE={len(MESSAGE)}" in server.commands


@pytest.mark.parametrize(
    ("stage", "reply", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", OutcomeKind.REFUSED),
        ("RCPT", "553 bad address", OutcomeKind.REFUSED),
        ("RCPT", "450 4.2.1 greylisted", OutcomeKind.DEFERRED),
        ("RCPT", "452 4.5.3 too many", OutcomeKind.DEFERRED),
        ("RCPT", "550 5.7.1 you look like spam", OutcomeKind.BLOCKED),
        ("MAIL", "451 4.3.0 try later", OutcomeKind.DEFERRED),
        ("DATA", "451 not now", OutcomeKind.DEFERRED),
        ("dot", "451 4.3.0 no room just now", OutcomeKind.DEFERRED),
        ("dot", "554 5.6.0 cannot read it", OutcomeKind.REFUSED),
        ("dot", "550 5.7.26 not signed", OutcomeKind.BLOCKED),
        ("MAIL", "421 4.3.2 closing", OutcomeKind.NOT_SENT),
        ("RCPT", "421 too many connections", OutcomeKind.NOT_SENT),
        ("dot", "421 closing", OutcomeKind.NOT_SENT),
        ("MAIL", CLOSE, OutcomeKind.NOT_SENT),
        ("DATA", CLOSE, OutcomeKind.NOT_SENT),
        ("RCPT", SILENT, OutcomeKind.NOT_SENT),
        ("body", CLOSE, OutcomeKind.UNCERTAIN),
        ("dot", CLOSE, OutcomeKind.UNCERTAIN),
        ("dot", SILENT, OutcomeKind.UNCERTAIN),
    ],
)
def test_an_answer_is_a_fact_about_one_reader_and_the_next_goes_on(stage: str, reply: str, kind: OutcomeKind) -> None:
    with smtpd(Script(replies={stage: [reply]})) as server:
        sending = transport(server)
        outcome = sending.send(envelope())
        assert outcome.kind is kind
        if reply[0].isdigit():
            assert (outcome.code, outcome.text) == (int(reply[:3]), reply[4:])
        assert sending.send(envelope("emmy@example.org")).kind is OutcomeKind.ACCEPTED
        sending.close()


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("MAIL", "550 5.1.8 sender unknown"),
        ("MAIL", "530 5.7.0 log in first"),
        ("RCPT", "530 5.7.0 log in first"),
        ("dot", "552 5.3.4 too big"),
    ],
)
def test_what_concerns_everybody_stops_the_run(stage: str, reply: str) -> None:
    with smtpd(Script(replies={stage: [reply]})) as server, pytest.raises(TransportMisconfigured, match=reply):
        transport(server).send(envelope())


def test_a_message_over_the_server_s_limit_is_not_even_offered() -> None:
    with smtpd(Script(extensions=("SIZE 20",))) as server:
        with pytest.raises(TransportMisconfigured, match="takes 20 bytes"):
            transport(server).send(envelope())
        assert not any(command.startswith("MAIL") for command in server.commands)


def test_one_connection_is_kept_and_reopened_when_the_server_ends_it() -> None:
    with smtpd(Script(messages_per_connection=3)) as server:
        sending = transport(server)
        kinds = [sending.send(envelope()).kind for _ in range(9)]
        sending.close()
    assert kinds.count(OutcomeKind.ACCEPTED) == 7
    assert kinds.count(OutcomeKind.NOT_SENT) == 2  # the caller tries again; nothing was handed over
    assert server.connections == 3


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    with smtpd() as server:
        assert transport(server).send(envelope("用户@example.org")).kind is OutcomeKind.ACCEPTED
        assert "RCPT TO:<用户@example.org>" in server.commands
        assert any(command.endswith(" SMTPUTF8") for command in server.commands)
    with smtpd(Script(extensions=())) as server:
        outcome = transport(server).send(envelope("用户@example.org"))
        assert outcome.kind is OutcomeKind.REFUSED
        assert "RFC 6531" in outcome.text


@pytest.mark.parametrize("message", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"x\n.\r\nMAIL FROM:<x@example.com>\r\n"])
def test_a_message_that_could_smuggle_another_is_never_sent(message: bytes) -> None:
    with smtpd() as server, pytest.raises(ValueError, match="bare CR, LF or NUL"):
        transport(server).send(envelope(message=message))


# --- what keeps everybody waiting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["421 not now", "554 go away", CLOSE, SILENT])
def test_a_greeting_that_is_none_is_nobody_s_fault(reply: str) -> None:
    with smtpd(Script(replies={"greeting": [reply]})) as server, pytest.raises(TransportUnavailable) as caught:
        transport(server).send(envelope())
    assert caught.value.exit_code == 75
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(TransportUnavailable, match=r"127\.0\.0\.1:1: Connection refused"):
        SmtpTransport(SmtpConfig(host="127.0.0.1", port=1)).send(envelope())
    with pytest.raises(TransportUnavailable, match=r"nowhere\.invalid:25: "):
        SmtpTransport(SmtpConfig(host="nowhere.invalid", timeout=5)).send(envelope())


# --- TLS never steps down --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_tls_with_a_certificate_that_fits_works(authority: Authority, mode: str) -> None:
    script = Script(tls=authority.context(), implicit=mode == "implicit", extensions=("AUTH PLAIN",))
    with smtpd(script) as server:
        sending = transport(
            server, host="localhost", tls=mode, ca_file=authority.file, username="me", password=password()
        )
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize(
    "fault", [{"host": "other.example.org"}, {"expired": True}, {"self_signed": True}], ids=["host", "expired", "self"]
)
def test_a_certificate_that_does_not_fit_ends_it_before_the_login(
    authority: Authority, mode: str, fault: dict[str, Any]
) -> None:
    context = authority.context(**fault)
    with smtpd(Script(tls=context, implicit=mode == "implicit", extensions=("AUTH PLAIN",))) as server:
        sending = transport(
            server, host="localhost", tls=mode, ca_file=authority.file, username="me", password=password()
        )
        with pytest.raises(TransportMisconfigured, match="certificate is not to be trusted"):
            sending.send(envelope())
    assert not any(command.startswith("AUTH") for command in server.commands)


@pytest.mark.parametrize("replies", [{}, {"STARTTLS": ["454 4.7.0 not available"]}, {"STARTTLS": ["501 what?"]}])
def test_without_the_tls_that_was_asked_for_nothing_is_said(
    authority: Authority, replies: dict[str, list[str]]
) -> None:
    offered = authority.context() if replies else None
    with smtpd(Script(tls=offered, replies=dict(replies), extensions=("AUTH PLAIN",))) as server:
        sending = transport(
            server, host="localhost", tls="starttls", ca_file=authority.file, username="me", password=password()
        )
        with pytest.raises(TransportUnavailable, match="STARTTLS"):
            sending.send(envelope())
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.pem").write_text("nonsense", "utf-8")
    with smtpd(Script(tls=authority.context())) as server, pytest.raises(TransportMisconfigured, match=r"ca\.pem"):
        transport(server, host="localhost", tls="starttls", ca_file=tmp_path / "ca.pem").send(envelope())


# --- the login -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"), [("535 5.7.8 wrong password", 78), ("454 4.7.0 temporary trouble", 75), ("534 weak", 78)]
)
def test_a_login_that_fails_stops_the_run_and_shows_no_password(reply: str, code: int) -> None:
    script = Script(extensions=("AUTH PLAIN LOGIN",), replies={"AUTH": [reply] * 3})
    with smtpd(script) as server, pytest.raises(TransportUnavailable) as caught:
        transport(server, username="me", password=password()).send(envelope())
    assert caught.value.exit_code == code
    assert "the login of me" in str(caught.value)
    assert reply[4:] in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in repr(caught.value)


def test_a_server_without_logins_is_not_sent_to_without_one() -> None:
    with smtpd() as server, pytest.raises(TransportMisconfigured, match="offers no login"):
        transport(server, username="me", password=password()).send(envelope())
