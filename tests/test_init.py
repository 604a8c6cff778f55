"""`newsletter init`: the questions on a terminal, the same by options, and what is written."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from newsletter import resources
from newsletter.cli.init import Answers, host_and_port, rendered
from newsletter.config import load
from tests import program, website
from tests.conftest import ROOT
from tests.nameserver import nameserver
from tests.smtpd import Authority, Script, Smtpd, smtpd

PASSWORD = "open sesame: ünd #1"
SAMPLE = (ROOT / "newsletter" / "sample_day.json").read_bytes()


@dataclass
class Net:
    """A mail server with a login over STARTTLS, a feed, and a name server, all of the tests."""

    server: Smtpd
    feed: str
    resolver: str
    env: dict[str, str]

    @property
    def smtp(self) -> str:
        return f"localhost:{self.server.port}"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    authority = Authority.make(tmp_path)
    script = Script(tls=authority.context(), extensions=("8BITMIME", "AUTH PLAIN"), password=PASSWORD)
    with ExitStack() as opened:
        server = opened.enter_context(smtpd(script))
        names = opened.enter_context(nameserver())
        site = opened.enter_context(website.site({"/papers.json": website.says(200, SAMPLE)}))
        env = {"SSL_CERT_FILE": str(authority.file), "no_proxy": "localhost,127.0.0.1"}
        yield Net(server, site.url("/papers.json"), f"127.0.0.1:{names.port}", os.environ | env)


class Terminal:
    """`newsletter init` on a pseudo-terminal."""

    def __init__(self, net: Net, *words: str) -> None:
        self.said = ""
        self._seen = 0  # characters of `said` before the next question
        self._master, slave = pty.openpty()
        command = [*program.COMMAND, "init", "--resolver", net.resolver, *words]
        self._process = program.Popen(
            command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=net.env, start_new_session=True
        )
        os.close(slave)

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, and type a line."""
        self._read(lambda: question in self.said[self._seen :])
        self._seen = self.said.index(question, self._seen) + len(question)
        os.write(self._master, f"{line}\n".encode())

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        self._read(lambda: False)
        os.close(self._master)
        return self._process.wait(30)

    def _read(self, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not enough():
            assert time.monotonic() < end, self.said
            if select.select([self._master], [], [], 1)[0]:
                try:
                    self.said += os.read(self._master, 4096).decode("utf-8", "replace")
                except OSError:  # the other end is closed (EIO)
                    return


@pytest.mark.system
def test_a_terminal_is_asked_and_each_answer_is_tried(net: Net, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    terminal = Terminal(net, str(folder))
    terminal.answer("Sender", "no address")
    terminal.answer("Sender", "Ada's Papers <ada@lab.example>")
    terminal.answer("Postal address", "7 Row: Room #3")
    terminal.answer("List-Id", "")
    for password, keep in (("wrong", "n"), (PASSWORD, "")):
        terminal.answer("Mail server", net.smtp)
        terminal.answer("Name for the login", "ada")
        terminal.answer("Password", password)
        if keep:
            terminal.answer("Keep it anyway?", keep)
    terminal.answer("Feed", f"{net.feed}x")
    terminal.answer("Keep it anyway?", "n")
    terminal.answer("Feed", net.feed)
    terminal.answer("Web address", "")
    terminal.answer("Language", "de")
    assert terminal.end() == 0, terminal.said
    config = load(folder / "config.yaml", {})
    (server,) = config.smtp
    assert (config.publication.list_id, config.publication.postal_address) == (
        "daily-papers.lab.example",
        "7 Row: Room #3",
    )
    assert (server.host, server.port, server.tls, server.username) == ("localhost", net.server.port, "none", "ada")
    assert (server.password.reveal() if server.password else "") == PASSWORD
    assert config.feeds[0].url == net.feed
    assert "lab.example has no SPF record" in terminal.said
    assert PASSWORD not in terminal.said
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        ("config.yaml", "newsletter.secret", "smtp.password"), 0o600
    )


def options(net: Net, folder: Path, *more: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    """The same without a terminal; the password comes on standard input."""
    words = ["--sender", "Ada <ada@lab.example>", "--postal-address", "7 Row", "--smtp", net.smtp, "--username", "ada"]
    command = [*program.COMMAND, "init", str(folder), *words, "--password-file", "-", *more]
    return program.run(
        [*command, "--feed", net.feed, "--resolver", net.resolver],
        input=f"{password}\n", cwd=ROOT, env=net.env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.system
def test_the_same_by_options(net: Net, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for more, password, code, words in (
        ((), "wrong", 78, "--smtp: "),
        (("--language", "not a tag"), PASSWORD, 78, "--language: "),
        (("--list-id", "nodots"), PASSWORD, 78, "--list-id: "),
    ):
        done = options(net, folder, *more, password=password)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "nothing was written" in done.stderr
        assert not folder.exists()
    done = options(net, folder, "--tls", "starttls")
    assert done.returncode == 0, done.stderr
    assert "(starttls, logged in)" in done.stderr
    assert load(folder / "config.yaml", {}).smtp[0].tls == "starttls"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = options(net, folder)
    assert (again.returncode, "exists already; nothing was written" in again.stderr) == (1, True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.system
def test_without_a_terminal_what_is_missing_is_named(tmp_path: Path) -> None:
    command = [*program.COMMAND, "init", str(tmp_path / "new"), "--sender", "ada@lab.example"]
    done = program.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--postal-address, --smtp must be given too" in done.stderr
    assert not (tmp_path / "new").exists()


# --- what is written -------------------------------------------------------------------------------------------------

REFERENCE = resources.find("config.yaml").read_text("utf-8")


def keys(text: str) -> list[str]:
    return re.findall(r"^[ #-]*(\w+):", text, re.MULTILINE)


def test_every_key_and_comment_of_the_reference_stays() -> None:
    answers = Answers("ada@lab.example", "x", "a.b", "mail.lab.example", None, "ada", "p", "https://a.b/", "-", "en")
    text = rendered(REFERENCE, answers)
    assert keys(text) == keys(REFERENCE)
    assert text.count("#") >= REFERENCE.count("#")


def test_no_value_of_the_example_stops_a_first_run() -> None:
    """`password` beside `password_file` would, and a variable that is not set."""
    document = yaml.safe_load(rendered(REFERENCE, Answers()))
    assert "password" not in document["smtp"][0]
    assert "${" not in str(document)
    mended = rendered(REFERENCE, Answers()).replace("# password_file: smtp", "password_file: smtp")
    assert yaml.safe_load(mended)["smtp"][0]["password_file"] == "smtp.password"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mail.lab.example", ("mail.lab.example", 587)),
        ("localhost", ("localhost", 25)),
        ("mail.lab.example:465", ("mail.lab.example", 465)),
        ("[2001:db8::1]:2525", ("2001:db8::1", 2525)),
    ],
)
def test_a_server_is_a_host_and_a_port(value: str, expected: tuple[str, int]) -> None:
    assert host_and_port(value) == expected


@pytest.mark.parametrize(
    ("smtp", "tls"), [("m.example:465", "implicit"), ("m.example", "starttls"), ("localhost", "none")]
)
def test_tls_follows_the_port(smtp: str, tls: str) -> None:
    assert yaml.safe_load(rendered(REFERENCE, Answers(smtp=smtp)))["smtp"][0]["tls"] == tls


@pytest.mark.parametrize("text", ['"quoted" \\ #1: ü', "{braces}", "*star", "a\\1b", "- x"])
def test_answers_are_written_as_they_are(text: str) -> None:
    assert yaml.safe_load(rendered(REFERENCE, Answers(postal_address=text)))["postal_address"] == text
