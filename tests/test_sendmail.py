"""Mail by a program: what it is given, what its exit codes mean, and Postfix's own sendmail."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from newsletter.check.smtp import _program
from newsletter.config import SmtpConfig
from newsletter.errors import TransportMisconfigured
from newsletter.model import Outcome, OutcomeKind
from newsletter.transport import connect
from newsletter.transport.program import Ended, reply_to
from tests.mailhost import DOMAIN, MailHost
from tests.test_transport import Driver, envelope

pytestmark = pytest.mark.system

# A program that behaves as its environment says, and writes down what it got.
PROGRAM = """\
import os, signal, sys
folder = {folder!r}
name = str(os.getpid())
message = sys.stdin.buffer.read({read})
with open(os.path.join(folder, name), "wb") as file:
    file.write(repr(sys.argv[1:]).encode() + b"\\n" + message)
{act}
"""


def program(folder: Path, act: str = "", read: int = -1) -> SmtpConfig:
    """A configuration with such a program; what it got is in the folder `got`."""
    got = folder / "got"
    got.mkdir(exist_ok=True)
    script = folder / "program.py"
    script.write_text(PROGRAM.format(folder=str(got), act=act, read=read), "utf-8")
    return SmtpConfig(sendmail=(sys.executable, str(script), "--extra arg"), connections=1)


def got(folder: Path) -> list[tuple[list[str], bytes]]:
    """The arguments and the standard input of each run."""
    found = []
    for path in sorted((folder / "got").iterdir()):
        head, _, message = path.read_bytes().partition(b"\n")
        found.append((eval(head), message))
    return found


@contextmanager
def carrying(config: SmtpConfig, **changes: Any) -> Iterator[Driver]:
    driver = Driver(config, reconnect=(0.01,), **changes)
    try:
        yield driver
    finally:
        driver.pool.close()


def test_a_program_gets_envelope_and_message_as_it_expects_them(tmp_path: Path) -> None:
    """Lines end in LF, dots are as they were, and an address is never taken for an option."""
    with carrying(program(tmp_path)) as driver:
        outcome = driver.send(envelope("-oQ/tmp@example.org"))
    assert (outcome.kind, outcome.code) == (OutcomeKind.ACCEPTED, 250)
    ((arguments, message),) = got(tmp_path)
    assert arguments == ["--extra arg", "-oi", "-f", "bounces@news.example.org", "--", "-oQ/tmp@example.org"]
    assert message == b"Subject: papers\n\n.hidden\nwords\n"


def test_several_programs_run_at_once_and_every_copy_goes_once(tmp_path: Path) -> None:
    addresses = [f"r{number}@example.org" for number in range(20)]
    with carrying(replace(program(tmp_path), connections=4)) as driver:
        outcomes = driver.send_all([envelope(address) for address in addresses])
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert sorted(arguments[-1] for arguments, _ in got(tmp_path)) == sorted(addresses)


def outcome_of(folder: Path, act: str, read: int = -1) -> Outcome:
    with carrying(program(folder, act, read)) as driver:
        return driver.send(envelope())


def exits(code: int, words: str = "") -> str:
    return f"sys.stderr.write({words!r}); sys.exit({code})"


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (os.EX_TEMPFAIL, "queue is full", OutcomeKind.DEFERRED),
        (os.EX_UNAVAILABLE, "", OutcomeKind.DEFERRED),
        (os.EX_SOFTWARE, "", OutcomeKind.DEFERRED),
        (os.EX_OSERR, "", OutcomeKind.DEFERRED),
        (os.EX_IOERR, "", OutcomeKind.DEFERRED),
        (os.EX_CANTCREAT, "", OutcomeKind.DEFERRED),
        (os.EX_PROTOCOL, "", OutcomeKind.DEFERRED),
        (os.EX_NOHOST, "msmtp: cannot locate host mail.example.org", OutcomeKind.DEFERRED),
        (os.EX_DATAERR, "", OutcomeKind.DEFERRED),
        (1, "who knows", OutcomeKind.DEFERRED),
        (99, "", OutcomeKind.DEFERRED),
        (os.EX_NOUSER, "", OutcomeKind.REFUSED),
        (os.EX_DATAERR, "msmtp: server message: 550 5.1.1 no such user here", OutcomeKind.REFUSED),
        (os.EX_UNAVAILABLE, "ssmtp: RCPT TO:<x@y> (451 4.7.1 greylisted)", OutcomeKind.DEFERRED),
        (os.EX_DATAERR, "server message: 550 5.4.5 Daily user sending quota exceeded", OutcomeKind.SENDER),
    ],
)
def test_an_exit_code_is_a_fact_about_one_copy(tmp_path: Path, code: int, words: str, kind: OutcomeKind) -> None:
    outcome = outcome_of(tmp_path, exits(code, words))
    assert outcome.kind is kind
    if words:
        assert words.rpartition(": ")[2].rpartition("(")[2].rstrip(")")[-12:] in outcome.text


@pytest.mark.parametrize("code", [os.EX_USAGE, os.EX_CONFIG, os.EX_NOPERM, os.EX_OSFILE, 126, 127])
def test_a_program_that_is_wrongly_set_up_stops_the_run_and_blames_no_reader(tmp_path: Path, code: int) -> None:
    with carrying(program(tmp_path, exits(code, "account default not found"))) as driver:
        assert driver.send(envelope()).kind is OutcomeKind.NOT_SENT
        with pytest.raises(TransportMisconfigured, match="account default not found") as caught:
            driver.send(envelope())
    assert sys.executable in str(caught.value)
    assert len(got(tmp_path)) == 1


def test_a_refused_login_that_the_program_quotes_is_for_a_person(tmp_path: Path) -> None:
    words = "msmtp: authentication failed\nmsmtp: server message: 535 5.7.8 wrong password"
    with carrying(program(tmp_path, exits(os.EX_NOPERM, words))) as driver:
        assert driver.send(envelope()).kind is OutcomeKind.NOT_SENT
        with pytest.raises(TransportMisconfigured, match=r"535 5\.7\.8 wrong password"):
            driver.send(envelope())


def test_a_killed_program_leaves_doubt_only_when_it_had_the_whole_message(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").kind is OutcomeKind.UNCERTAIN
    part = outcome_of(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", read=0)
    assert part.kind is OutcomeKind.DEFERRED
    assert "killed by signal 9 before it had the message" in part.text


def test_a_program_that_ends_without_reading_has_sent_nothing(tmp_path: Path) -> None:
    with carrying(SmtpConfig(sendmail=("/bin/true",), connections=1)) as driver:
        assert driver.send(envelope()).kind is OutcomeKind.NOT_SENT
        with pytest.raises(TransportMisconfigured, match="without reading the message"):
            driver.send(envelope())


def test_a_program_that_does_not_exist_is_for_a_person(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(TransportMisconfigured, match=r"smtp\.sendmail: there is no program"):
            connect(SmtpConfig(sendmail=(str(path),)))
    with carrying(SmtpConfig(sendmail=(str(tmp_path / "none"),))) as driver, pytest.raises(TransportMisconfigured):
        driver.send(envelope())


def test_words_in_the_configuration_are_not_read_by_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "a program"
    script.write_text(
        f"#!/bin/sh\ncat >/dev/null\nprintf '%s\\n' \"$@\" >{shlex.quote(str(tmp_path / 'out'))}\n", "utf-8"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with carrying(SmtpConfig(sendmail=(str(script), "$HOME", "`id`"))) as driver:
        assert driver.send(envelope()).kind is OutcomeKind.ACCEPTED
    assert (tmp_path / "out").read_text("utf-8").splitlines()[:2] == ["$HOME", "`id`"]


def test_how_a_program_ended_is_read_by_a_table() -> None:
    assert reply_to(Ended(0, 10, 10, "warning: x")) == (250, "2.0.0 taken")
    assert reply_to(Ended(-signal.SIGTERM, 10, 10, "")) is None
    assert reply_to(Ended(75, 0, 10, "a\nb")) == (451, "4.3.0 EX_TEMPFAIL: a b")
    assert reply_to(Ended(42, 10, 10, "")) == (451, "4.3.0 exit code 42")


def test_the_sendmail_of_postfix_delivers(host: MailHost) -> None:
    """Its queue is this test's own: MAIL_CONFIG names the configuration, which a wrapper sets as a user would."""
    wrapper = host.folder / "sendmail"
    wrapper.write_text(f'#!/bin/sh\nMAIL_CONFIG={host.folder / "postfix"} exec /usr/sbin/sendmail "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    config = SmtpConfig(sendmail=(str(wrapper),), connections=2)
    head = b"From: digest@news.example.org\r\nTo: x\r\nSubject: by sendmail\r\n\r\n"
    body = b"..a dot\r\n..\r\nlast line\r\n"
    with carrying(config) as driver:
        outcomes = driver.send_all([envelope(address, head, body) for address in host.addresses])
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    for address in host.addresses:
        (message,) = host.inbox(address, 1)
        assert message["Subject"] == "by sendmail"
        assert message["Return-Path"] == "<bounces@news.example.org>"
        assert message.get_content().splitlines() == [".a dot", ".", "last line"]


def test_postfix_without_a_configuration_is_told(tmp_path: Path) -> None:
    wrapper = tmp_path / "sendmail"
    wrapper.write_text(f'#!/bin/sh\nMAIL_CONFIG={tmp_path} exec /usr/sbin/sendmail "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    if not Path("/usr/sbin/sendmail").exists():
        pytest.skip("no sendmail here")
    with carrying(SmtpConfig(sendmail=(str(wrapper),), connections=1)) as driver:
        outcome = driver.send(envelope(f"alice@{DOMAIN}"))
    assert outcome.kind is OutcomeKind.DEFERRED
    assert "main.cf" in outcome.text


def test_check_names_the_program(tmp_path: Path) -> None:
    assert _program("smtp.0", program(tmp_path)).words == f"mail goes to the program {sys.executable}"
    missing = _program("smtp.0", SmtpConfig(sendmail=("/nonexistent/sendmail",)))
    assert (missing.level, missing.exit_code) == ("BAD", 78)
    assert str(missing.remedy) == "set: smtp.0.sendmail: PROGRAM"
