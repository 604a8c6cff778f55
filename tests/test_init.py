"""`newsletter init`: the questions on a terminal, the same by options, and what is written."""

from __future__ import annotations

import base64
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
from newsletter.cli.login import Login, mistaken, wants_token
from newsletter.config import load
from tests import program, website
from tests.conftest import ROOT
from tests.nameserver import nameserver
from tests.smtpd import Authority, Script, Smtpd, smtpd
from tests.test_sasl import issuer

PASSWORD = "open sesame: ünd #1"
SAMPLE = (ROOT / "newsletter" / "sample_day.json").read_bytes()


@dataclass
class Net:
    """A mail server with a login over STARTTLS, a feed, and a name server, all of the tests."""

    server: Smtpd
    feed: str
    resolver: str
    env: dict[str, str]
    authority: Authority

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
        yield Net(server, site.url("/papers.json"), f"127.0.0.1:{names.port}", os.environ | env, authority)


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


# --- tokens ----------------------------------------------------------------------------------------------------------


def takes_token(token: str) -> Callable[[list[str], Callable[[bytes], bytes]], str]:
    """A login that takes one access token of ada's (XOAUTH2)."""
    right = base64.b64encode(f"user=ada\x01auth=Bearer {token}\x01\x01".encode()).decode()
    return lambda words, _: "235 welcome" if words[-1] == right else "535 5.7.8 no such token"


@pytest.mark.system
def test_a_server_that_takes_only_tokens_is_asked_for_first(net: Net, tmp_path: Path) -> None:
    net.server.script.extensions = ("8BITMIME", "AUTH XOAUTH2")
    net.server.script.login = takes_token("t-1")
    folder, given = tmp_path / "new", ("--sender", "ada@lab.example", "--postal-address", "7 Row", "--list-id", "a.b")
    more = ("--feed", net.feed, "--base-url", "-", "--language", "en")
    terminal = Terminal(net, str(folder), *given, *more)
    for command, keep in (("echo t-0", "n"), ("echo t-1", "")):
        terminal.answer("Mail server", net.smtp)
        terminal.answer("Name for the login", "ada")
        terminal.answer("Log in with a refresh token, a command that prints access tokens, or a password", "")
        terminal.answer("Command", command)
        if keep:
            terminal.answer("Keep it anyway?", keep)
    assert terminal.end() == 0, terminal.said
    assert "This server offers XOAUTH2: it wants a token" in terminal.said
    assert terminal.said.count("lab.example has no SPF record") == 1
    written = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["smtp"][0]
    assert (written["auth"], written["token_command"]) == ("xoauth2", "echo t-1")
    assert "password" not in " ".join(written)
    assert not (folder / "smtp.password").exists()


@pytest.mark.system
def test_a_refresh_token_is_tried_and_the_one_that_replaces_it_is_kept(net: Net, tmp_path: Path) -> None:
    net.server.script.extensions = ("8BITMIME", "AUTH XOAUTH2")
    net.server.script.login = takes_token("t-1")
    folder = tmp_path / "new"
    answers = (200, {"access_token": "t-1", "refresh_token": "r-2"}), (400, {"error": "invalid_grant"})
    with issuer(net.authority, *answers) as endpoint:
        words = ("--sender", "ada@lab.example", "--postal-address", "7 Row", "--smtp", net.smtp, "--username", "ada")
        more = (
            "--refresh-token-file",
            "-",
            "--token-issuer",
            endpoint.url,
            "--client-id",
            "the app",
            "--feed",
            net.feed,
        )
        command = [*program.COMMAND, "init", str(folder), *words, *more, "--resolver", net.resolver]
        done = program.run(command, cwd=ROOT, input="r-1\n", env=net.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [asked["refresh_token"] for asked in endpoint.asked] == ["r-1"]
    assert (folder / "smtp.refresh-token").read_text("utf-8") == "r-2\n"
    assert stat.S_IMODE((folder / "smtp.refresh-token").stat().st_mode) == 0o600
    assert load(folder / "config.yaml", {}).smtp[0].token is not None


@pytest.mark.parametrize(
    ("host", "offered", "wanted"),
    [
        ("smtp.office365.com", ["LOGIN", "XOAUTH2"], True),
        ("smtp.gmail.com", [], True),
        ("mail.lab.example", ["OAUTHBEARER"], True),
        ("mail.lab.example", ["PLAIN", "XOAUTH2"], False),
        ("notgmail.com", ["PLAIN"], False),
        ("mail.lab.example", [], False),
    ],
)
def test_tokens_are_asked_for_where_they_are_wanted(host: str, offered: list[str], *, wanted: bool) -> None:
    assert wants_token(host, offered) is wanted


def test_the_issuer_s_keys_are_written_as_they_are_read() -> None:
    way = Login(issuer="microsoft", client_id="c", client_secret="s", refresh_token="r", tenant="lab.example")
    answers = Answers(smtp="smtp.office365.com", username="ada@lab.example", login=way)
    server = yaml.safe_load(rendered(REFERENCE, answers))["smtp"][0]
    assert server["token_refresh"] == {
        "provider": "microsoft",
        "client_id": "c",
        "client_secret_file": "client.secret",
        "refresh_token_file": "smtp.refresh-token",
        "tenant": "lab.example",
    }
    assert dict(way.files()) == {"smtp.refresh-token": "r", "client.secret": "s"}


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (Login("p", "c"), "exclude one another"),
        (Login(refresh_token="r"), "needs --token-issuer and --client-id"),
        (Login(client_id="c"), "needs --refresh-token-file"),
        (Login("p"), None),
    ],
)
def test_options_that_do_not_go_together(login: Login, said: str | None) -> None:
    assert (mistaken(login) is None) if said is None else (said in str(mistaken(login)))


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
    answers = Answers(
        "ada@lab.example", "x", "a.b", "mail.lab.example", None, "ada", Login("p"), "https://a.b/", "-", "en"
    )
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
