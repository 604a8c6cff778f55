"""Logging in: mechanisms, access tokens from commands, files and issuers, and servers that take them."""

from __future__ import annotations

import base64
import hmac
import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from newsletter.config import Config, Secret, SmtpConfig, load
from newsletter.errors import (
    ConfigError,
    TokenRefused,
    TokenUnavailable,
    TransportMisconfigured,
    TransportUnavailable,
)
from newsletter.model import OutcomeKind
from newsletter.sasl import (
    PASSWORD,
    PROVIDERS,
    TOKEN,
    AccessToken,
    Client,
    Tokens,
    chosen,
    dialogue,
    from_command,
    lacking,
    parse_token,
)
from newsletter.transport import connect
from tests.smtpd import Authority, Script, Smtpd, smtpd
from tests.test_backup import Machine
from tests.test_transport import Driver, envelope

SECRET = "ya29.a-token-that-must-not-be-shown"


# --- mechanisms ------------------------------------------------------------------------------------------------------


def test_the_mechanisms_say_what_their_specifications_show() -> None:
    """The examples of RFC 4616, RFC 2195, RFC 7628 and Google's page on XOAUTH2."""
    assert dialogue("PLAIN", "tim", "tanstaaftanstaaf", "h", 1)(None) == b"\0tim\0tanstaaftanstaaf"
    cram = dialogue("CRAM-MD5", "tim", "tanstaaftanstaaf", "h", 1)
    assert cram(None) is None
    assert cram(b"<1896.697170952@postoffice.reston.mci.net>") == b"tim b913a602c7eda7a495b4e6e7334d3890"
    login = dialogue("LOGIN", "tim", "secret", "h", 1)
    assert [login(None), login(b"Username:"), login(b"Password:")] == [None, b"tim", b"secret"]
    google = dialogue("XOAUTH2", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", "h", 1)
    assert base64.b64encode(google(None) or b"") == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0"
        b"Q2cBAQ=="
    )
    assert google(b'{"status":"400"}') == b""
    bearer = dialogue("OAUTHBEARER", "a,b=c@example.com", "vF9dft4", "server.example.com", 143)
    assert bearer(None) == b"n,a=a=2Cb=3Dc@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9dft4\1\1"
    assert bearer(b'{"status":"invalid_token"}') == b"\1"


def test_a_server_without_our_logins_is_told_with_what_it_offers() -> None:
    assert chosen(["login", "PLAIN", "GSSAPI"], PASSWORD) == ["PLAIN", "LOGIN"]
    assert lacking([], PASSWORD) == "offers no login; this program can PLAIN, LOGIN, CRAM-MD5"
    assert lacking(["NTLM", "gssapi"], PASSWORD) == (
        "offers no login but GSSAPI, NTLM; this program can PLAIN, LOGIN, CRAM-MD5"
    )
    assert lacking(["XOAUTH2"], PASSWORD) == "offers no login but XOAUTH2; set auth: xoauth2"
    assert lacking(["PLAIN"], TOKEN) == "offers no login but PLAIN; set auth: password"


# --- how long a token is kept ----------------------------------------------------------------------------------------


class Issued:
    """Gives t1, t2, ... with a lifetime, and a clock that the test moves."""

    def __init__(self, lifetime: float | None) -> None:
        self.lifetime, self.number, self.now = lifetime, 0, 1000.0

    def __call__(self) -> AccessToken:
        self.number += 1
        return AccessToken(f"t{self.number}", self.lifetime)


@pytest.mark.parametrize(
    ("lifetime", "kept"),
    [(3600.0, 3300.0), (600.0, 540.0), (1.0, 0.9), (None, 60.0)],
    ids=["hour", "short", "s", "untold"],
)
def test_a_token_is_kept_until_it_expires_minus_a_margin(lifetime: float | None, kept: float) -> None:
    issued = Issued(lifetime)
    tokens = Tokens(issued, monotonic=lambda: issued.now)
    assert issued.number == 0  # nothing is asked for before it is needed
    assert tokens.current() == "t1"
    issued.now += kept - 0.01
    assert tokens.current() == "t1"
    issued.now += 0.02
    assert tokens.current() == "t2"


def test_a_refused_token_is_replaced_once_for_all_threads() -> None:
    issued = Issued(3600.0)
    tokens = Tokens(issued)
    assert tokens.current() == "t1"
    assert [tokens.other_than("t1"), tokens.other_than("t1")] == ["t2", "t2"]
    assert issued.number == 2


def test_the_same_token_again_is_no_other() -> None:
    tokens = Tokens(lambda: AccessToken("t", None), keep=False)
    assert tokens.current() == "t"
    assert tokens.other_than("t") is None


def test_threads_that_need_a_token_at_once_fetch_it_once() -> None:
    issued, gate = Issued(3600.0), threading.Barrier(8)
    tokens = Tokens(issued)

    def use() -> None:
        gate.wait()
        tokens.current()

    workers = [threading.Thread(target=use) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert issued.number == 1


def test_a_failure_is_not_kept() -> None:
    answers: list[AccessToken | TokenUnavailable] = [TokenUnavailable("down"), AccessToken("t", 3600)]

    def fetch() -> AccessToken:
        answer = answers.pop(0)
        if isinstance(answer, TokenUnavailable):
            raise answer
        return answer

    tokens = Tokens(fetch)
    with pytest.raises(TokenUnavailable):
        tokens.current()
    assert tokens.current() == "t"


def test_nothing_shows_a_token() -> None:
    tokens = Tokens(lambda: AccessToken(SECRET))
    tokens.current()
    client = Client("https://x.example/", "id", Path("f"), lambda: SECRET)
    shown = f"{tokens!r} {tokens} {AccessToken(SECRET)!r} {client!r} {SmtpConfig(token=tokens)!r}"
    assert SECRET not in shown


# --- what a helper gives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (f"{SECRET}\n", AccessToken(SECRET)),
        (f'{{"access_token": "{SECRET}", "expires_in": 3599}}', AccessToken(SECRET, 3599.0)),
        (f'{{"access_token": "{SECRET}", "expires_in": "60"}}', AccessToken(SECRET, 60.0)),
        (f'{{"access_token": "{SECRET}", "expires_in": -1}}', AccessToken(SECRET)),
        (f'{{"access_token": "{SECRET}", "expires_in": true}}', AccessToken(SECRET)),
        (f'{{"access_token": "{SECRET}", "expires_in": [1]}}', AccessToken(SECRET)),
        (f'{{"access_token": "{SECRET}", "expires_in": NaN}}', AccessToken(SECRET)),
    ],
)
def test_a_token_is_read_alone_or_from_json(text: str, token: AccessToken) -> None:
    assert parse_token(text, "x") == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        f"{SECRET} {SECRET}",
        f"{SECRET}\n{SECRET}",
        f"{SECRET}\x01auth=x",
        "tökén",
        f'{{"token": "{SECRET}"}}',
        f'{{"access_token": "{SECRET}"',
        '{"access_token": null}',
        f'{{"access_token": ["{SECRET}"]}}'.replace('"]', ' "]'),
        "{" * 50_000,
        "x" * 20_000,
    ],
    ids=range(12),
)
def test_what_is_no_token_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        parse_token(text, "smtp.0.token_file")
    assert str(caught.value).startswith("smtp.0.token_file: ")
    assert SECRET not in str(caught.value)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.system
def test_a_command_prints_a_token_and_gets_no_shell(tmp_path: Path) -> None:
    assert from_command(python("print('tok')")) == AccessToken("tok")
    said = from_command([*python("import sys; print(sys.argv[1])"), "$HOME;`id`"])
    assert said.value == "$HOME;`id`"


@pytest.mark.system
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import sys; sys.exit(75)", TokenUnavailable, "exit code 75"),
        ("import sys; sys.exit(1)", TokenUnavailable, "exit code 1"),
        ("import sys; sys.exit(78)", TokenRefused, "exit code 78"),
        ("import os; os.kill(os.getpid(), 9)", TokenUnavailable, "killed by signal 9"),
        ("pass", TokenRefused, "holds no access token"),
        (f"print('{SECRET}'); print('{SECRET}')", TokenRefused, "not one access token"),
        (f"import sys; print('{SECRET}'); sys.stderr.write('{SECRET}'); sys.exit(1)", TokenUnavailable, "by hand"),
        ("print('x' * 10_000_000)", TokenRefused, "not one access token"),
    ],
)
def test_a_command_that_gives_none_is_told_without_what_it_said(
    code: str, kind: type[TokenUnavailable], words: str
) -> None:
    with pytest.raises(TokenUnavailable) as caught:
        from_command(python(code))
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.system
def test_a_command_that_does_not_exist_is_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(TokenRefused, match=r"nowhere: No such file"):
        from_command([str(tmp_path / "nowhere")])
    with pytest.raises(TokenRefused, match="Permission denied"):
        from_command([str(tmp_path)])


@pytest.mark.system
def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    code = (
        "import subprocess; p = subprocess.Popen(['sleep', '600']); "
        f"open({str(started)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    with pytest.raises(TokenUnavailable, match="within 2 seconds"):
        from_command(python(code), within=2)
    assert is_gone(int(started.read_text("utf-8")))


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that is killed may take a moment."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


# --- an issuer -------------------------------------------------------------------------------------------------------


@dataclass
class Issuer:
    """A token endpoint with TLS. `answers` are status and body, used once each; the last one stays."""

    answers: list[tuple[int, str]]
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/token"


@contextmanager
def issuer(authority: Authority, *answers: tuple[int, Any]) -> Iterator[Issuer]:
    made = Issuer([(status, body if isinstance(body, str) else json.dumps(body)) for status, body in answers])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.asked.append({name: values[0] for name, values in parse_qs(body).items()})
            status, said = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(status)
            if status == 307:
                self.send_header("Location", f"https://localhost:{made.port}/elsewhere")
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = authority.context(host="localhost").wrap_socket(server.socket, server_side=True)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, which OpenSSL trusts during the test as it does those of the system."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return authority


def client(server: Issuer, folder: Path, **changes: Any) -> Client:
    path = folder / "refresh-token"
    if not path.exists():
        path.write_text("refresh-1\n", "utf-8")
    return replace(Client(server.url, "the-app", path, lambda: "the-app-secret", "scope-of-mail"), **changes)


def test_an_issuer_gives_a_token_for_a_refresh_token(trusted: Authority, tmp_path: Path) -> None:
    with issuer(trusted, (200, {"access_token": SECRET, "expires_in": 3599, "token_type": "Bearer"})) as server:
        assert client(server, tmp_path).fetch() == AccessToken(SECRET, 3599.0)
        assert client(server, tmp_path, client_secret=None, scope="").fetch().value == SECRET
    assert server.asked == [
        {
            "grant_type": "refresh_token",
            "client_id": "the-app",
            "client_secret": "the-app-secret",
            "refresh_token": "refresh-1",
            "scope": "scope-of-mail",
        },
        {"grant_type": "refresh_token", "client_id": "the-app", "refresh_token": "refresh-1"},
    ]
    assert (tmp_path / "refresh-token").read_text("utf-8") == "refresh-1\n"


def test_a_new_refresh_token_replaces_the_old_one_for_its_owner_only(trusted: Authority, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("refresh-1\n", "utf-8")
    kept.chmod(0o644)
    (tmp_path / "refresh-token").symlink_to(kept)
    answer = {"access_token": "t", "refresh_token": "refresh-2"}
    with issuer(trusted, (200, answer)) as server:
        client(server, tmp_path).fetch()
        client(server, tmp_path).fetch()
    assert [each["refresh_token"] for each in server.asked] == ["refresh-1", "refresh-2"]
    assert kept.read_text("utf-8") == "refresh-2\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert (tmp_path / "refresh-token").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "refresh-token"]


@pytest.mark.parametrize(
    ("status", "body", "exit_code", "words"),
    [
        (400, {"error": "invalid_grant", "error_description": "AADSTS700082: expired\r\nTrace"}, 78, "AADSTS700082"),
        (401, {"error": "invalid_client"}, 78, "invalid_client"),
        (400, {"error": "interaction_required"}, 78, "interaction_required"),
        (400, {"error": "temporarily_unavailable"}, 75, "temporarily_unavailable"),
        (429, {"error": "slow_down"}, 75, "slow_down"),
        (400, {"error": "something_new"}, 75, "something_new"),
        (503, {"error": "invalid_grant"}, 75, "invalid_grant"),
        (500, "<html>", 75, "status 500"),
        (307, "", 75, "status 307"),
        (200, "[]", 78, "holds no access token"),
        (200, {"access_token": "two words"}, 78, "not one access token"),
        (400, {"error": "invalid_grant", "error_description": "refresh-1 the-app-secret"}, 78, "*** ***"),
        (400, ["invalid_grant"], 75, "status 400"),
    ],
)
def test_an_issuer_that_gives_none_is_told_in_one_line(
    trusted: Authority, tmp_path: Path, status: int, body: Any, exit_code: int, words: str
) -> None:
    with issuer(trusted, (status, body)) as server, pytest.raises(TokenUnavailable) as caught:
        client(server, tmp_path).fetch()
    assert caught.value.exit_code == exit_code
    said = str(caught.value)
    assert words in said
    assert f"localhost:{server.port}" in said
    assert "refresh-1" not in said
    assert "the-app-secret" not in said
    assert len(said.splitlines()) == 1
    assert len(server.asked) == 1


def test_an_issuer_that_is_down_or_not_trusted_may_be_asked_later(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with issuer(authority, (200, {"access_token": "t"})) as server:
        with pytest.raises(TokenUnavailable, match="its certificate cannot be trusted") as caught:
            client(server, tmp_path).fetch()
        assert caught.value.exit_code == 75
    assert server.asked == []
    with pytest.raises(TokenUnavailable, match="Connection refused"):
        client(server, tmp_path).fetch()


def test_a_refresh_token_that_cannot_be_read_or_is_empty_is_for_a_person(tmp_path: Path) -> None:
    missing = Client("https://localhost:1/", "id", tmp_path / "none")
    with pytest.raises(TokenRefused, match=r"refresh_token_file .*none: No such file"):
        missing.fetch()
    (tmp_path / "none").write_bytes(b"\n")
    with pytest.raises(TokenRefused, match="is empty"):
        missing.fetch()
    (tmp_path / "none").write_bytes(b"\xff")
    with pytest.raises(TokenRefused, match="is not text"):
        missing.fetch()


def test_the_endpoints_are_those_of_the_providers() -> None:
    assert PROVIDERS["google"].endpoint == "https://oauth2.googleapis.com/token"
    assert set(PROVIDERS) == {"google", "microsoft"}


# --- SMTP ------------------------------------------------------------------------------------------------------------


@dataclass
class TokenServer:
    """The login of an SMTP server that takes access tokens. It refuses one after `uses` logins with it."""

    valid: set[str]
    uses: int = 10**9
    user: str = "digest@example.org"
    logins: list[str] = field(default_factory=list)  # tokens, also refused ones
    accepted: list[str] = field(default_factory=list)

    def __call__(self, words: list[str], challenge: Callable[[bytes], bytes]) -> str:
        mechanism = words[0]
        response = base64.b64decode(words[1]) if len(words) > 1 else challenge(b"")
        fields = response.split(b"\1")
        token = next(each for each in fields if each.startswith(b"auth=Bearer ")).removeprefix(b"auth=Bearer ").decode()
        named = f"user={self.user}".encode() if mechanism == "XOAUTH2" else f"n,a={self.user},".encode()
        self.logins.append(token)
        if fields[0] == named and token in self.valid and self.accepted.count(token) < self.uses:
            self.accepted.append(token)
            return "235 2.7.0 Accepted"
        end = challenge(b'{"status":"401","schemes":"bearer"}')
        assert end == (b"" if mechanism == "XOAUTH2" else b"\1")
        return "535 5.7.8 Username and Password not accepted"


def smtp_config(server: Smtpd, tokens: Tokens | None = None, **changes: Any) -> SmtpConfig:
    base = SmtpConfig("127.0.0.1", server.port, timeout=5.0, connections=1, username="digest@example.org", token=tokens)
    return replace(base, **changes)


@contextmanager
def sending(config: SmtpConfig) -> Iterator[Driver]:
    driver = Driver(config, reconnect=(0.01,))
    try:
        yield driver
    finally:
        driver.pool.close()


@pytest.mark.parametrize("offered", ["XOAUTH2", "OAUTHBEARER", "PLAIN XOAUTH2 OAUTHBEARER"])
@pytest.mark.parametrize("length", [20, 3_000], ids=["short", "long"])
def test_a_server_takes_an_access_token(offered: str, length: int) -> None:
    """A long one is not an initial response: with it the line would be longer than a command may be."""
    token = "t" * length
    login = TokenServer({token})
    with (
        smtpd(Script(extensions=(f"AUTH {offered}",), login=login)) as server,
        sending(smtp_config(server, Tokens(lambda: AccessToken(token)))) as driver,
    ):
        assert driver.send(envelope()).kind is OutcomeKind.ACCEPTED
    assert login.accepted == [token]
    assert all(len(command) <= 510 for command in server.commands if command.startswith("AUTH"))


def test_tokens_that_expire_within_an_issue_are_renewed_and_every_copy_arrives_once() -> None:
    """Each token is good for three connections, and the server closes each connection after two messages.

    There are fewer connections at a time than uses, so that the others never use up the token that one has just got.
    """
    issued = Issued(3600.0)
    login = TokenServer({f"t{n}" for n in range(1, 50)}, uses=3)
    script = Script(extensions=("AUTH XOAUTH2", "PIPELINING"), login=login, messages_per_connection=2)
    with (
        smtpd(script) as server,
        sending(smtp_config(server, Tokens(issued), messages_per_connection=2, connections=2)) as driver,
    ):
        copies = [envelope(f"r{n}@example.org", f"Subject: {n}\r\n\r\n".encode()) for n in range(60)]
        outcomes = driver.send_all(copies)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert sorted(server.messages) == sorted(each.message for each in copies)
    assert 10 <= issued.number <= len(login.logins)


def test_a_login_that_expires_on_an_open_connection_costs_no_copy() -> None:
    """After two messages the server wants another login (530); the connection is replaced by one with a new token."""
    issued = Issued(3600.0)
    login = TokenServer({f"t{n}" for n in range(1, 50)}, uses=1)
    replies = ["250 ok", "250 ok", "530 5.7.57 Client not authenticated"] * 5
    script = Script(extensions=("AUTH XOAUTH2",), login=login, replies={"MAIL": replies})
    with smtpd(script) as server, sending(smtp_config(server, Tokens(issued))) as driver:
        waiting = [envelope("r@example.org", f"Subject: {n}\r\n\r\n".encode()) for n in range(10)]
        arrived = []
        while waiting:  # as the send loop does: a copy that was not sent is offered again
            outcome = driver.send(waiting[0])
            assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.NOT_SENT)
            if outcome.kind is OutcomeKind.ACCEPTED:
                arrived.append(waiting.pop(0).message)
    assert server.messages == arrived
    assert login.accepted == [f"t{n}" for n in range(1, 6)]


@pytest.mark.system
def test_a_run_whose_tokens_expire_on_the_way_gives_each_reader_one_copy(tmp_path: Path) -> None:
    """The whole way: a command prints the tokens, and each is good for three connections of two messages."""
    helper = tmp_path / "helper.py"
    helper.write_text(
        "import json, pathlib, sys\n"
        "count = pathlib.Path(sys.argv[1])\n"
        "number = int(count.read_text() if count.exists() else 0) + 1\n"
        "count.write_text(str(number))\n"
        "print(json.dumps({'access_token': f'token-{number}', 'expires_in': 3600}))\n",
        "utf-8",
    )
    login = TokenServer({f"token-{number}" for number in range(1, 99)}, uses=3)
    script = Script(extensions=("AUTH XOAUTH2", "PIPELINING"), login=login, messages_per_connection=2)
    readers = [f"r{number}@example.org" for number in range(24)]
    with smtpd(script) as server:
        command = f"{sys.executable} {helper} {tmp_path / 'count'}"
        site = Machine(
            tmp_path / "site",
            more="smtp: [{host: 127.0.0.1, username: digest@example.org, auth: xoauth2, connections: 2, "
            f"messages_per_connection: 2, port: {server.port}, token_command: {command}}}]\n",
        )
        assert site.run("subscribers", "add", *readers)[0] == 0
        code, said = site.run("run", "--date", "2026-11-23")
    assert (code, "24 accepted" in said) == (0, True), said
    got = [line.removeprefix("To: ").strip() for each in server.messages for line in each.decode().splitlines()]
    assert sorted(line for line in got if line in readers) == sorted(readers)
    assert len(set(login.accepted)) >= 4
    assert "token-" not in said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BearerHandler:
    """Another implementation of the server's side: aiosmtpd, with XOAUTH2 as a mechanism."""

    def __init__(self, token: str) -> None:
        self.wanted, self.kept = f"user=digest@example.org\1auth=Bearer {token}\1\1".encode(), list[bytes]()

    async def auth_XOAUTH2(self, server: Any, words: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd looks for it
        given = base64.b64decode(words[1]) if len(words) > 1 else await server.challenge_auth(b"")
        if given == self.wanted:
            return AuthResult(success=True, auth_data=b"digest")
        assert await server.challenge_auth(b'{"status":"401"}') == b""
        return AuthResult(success=False, handled=False, message="535 5.7.8 Authentication credentials invalid")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        assert session.authenticated
        self.kept.append(envelope.content)
        return "250 kept"


@pytest.mark.parametrize("length", [40, 600], ids=["short", "long"])
def test_aiosmtpd_takes_a_token_that_was_renewed(length: int) -> None:
    token = "t" * length
    handler = BearerHandler(token)
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), auth_require_tls=False)
    given = iter(["stale", token])
    controller.start()
    try:
        config = SmtpConfig("127.0.0.1", controller.port, connections=1, username="digest@example.org", timeout=5.0)
        with sending(replace(config, token=Tokens(lambda: AccessToken(next(given), 3600)))) as driver:
            assert driver.send(envelope()).kind is OutcomeKind.ACCEPTED
    finally:
        controller.stop()
    assert len(handler.kept) == 1


def test_a_login_by_password_that_is_not_enough_stops_the_run() -> None:
    script = Script(extensions=("AUTH PLAIN",), replies={"MAIL": ["250 ok", "530 5.7.57 Client not authenticated"]})
    with smtpd(script) as server, sending(smtp_config(server, password=Secret(lambda: "x"))) as driver:
        assert driver.send(envelope()).kind is OutcomeKind.ACCEPTED
        assert driver.send(envelope()).kind is OutcomeKind.NOT_SENT
        with pytest.raises(TransportMisconfigured):
            driver.send(envelope())


def test_tokens_that_are_refused_again_and_again_are_for_a_person_and_not_shown() -> None:
    issued = [AccessToken(f"{SECRET}{n}") for n in range(9)]
    login = TokenServer(set())
    with (
        smtpd(Script(extensions=("AUTH XOAUTH2",), login=login)) as server,
        pytest.raises(TransportMisconfigured) as caught,
    ):
        connect(smtp_config(server, Tokens(lambda: issued.pop(0))))
    assert str(caught.value) == (
        f"127.0.0.1:{server.port} refused the login of digest@example.org: 535 5.7.8 Username and Password not accepted"
    )
    assert len(login.logins) == 3
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_token_that_cannot_be_had_is_told_as_what_it_is() -> None:
    with smtpd(Script(extensions=("AUTH XOAUTH2",))) as server:
        for error, kind in ((TokenRefused("expired"), TransportMisconfigured), (TokenUnavailable("down"), None)):

            def fail(error: TokenUnavailable = error) -> AccessToken:
                raise error

            with pytest.raises(TransportUnavailable, match=str(error)) as caught:
                connect(smtp_config(server, Tokens(fail)))
            assert type(caught.value) is (kind or TransportUnavailable)
            assert caught.value.exit_code == error.exit_code


@pytest.mark.parametrize(
    ("extension", "tokens", "words"),
    [
        ("AUTH GSSAPI NTLM", False, "offers no login but GSSAPI, NTLM; this program can PLAIN, LOGIN, CRAM-MD5"),
        ("AUTH XOAUTH2", False, "offers no login but XOAUTH2; set auth: xoauth2"),
        ("AUTH PLAIN LOGIN", True, "offers no login but LOGIN, PLAIN; set auth: password"),
        ("8BITMIME", True, "offers no login; this program can XOAUTH2, OAUTHBEARER"),
    ],
)
def test_a_server_that_offers_other_logins_is_for_a_person(extension: str, tokens: bool, words: str) -> None:
    source = Tokens(lambda: AccessToken("t")) if tokens else None
    with smtpd(Script(extensions=(extension,))) as server, pytest.raises(TransportMisconfigured) as caught:
        connect(smtp_config(server, source, password=Secret(lambda: "x")))
    assert words in str(caught.value)
    assert caught.value.exit_code == os.EX_CONFIG
    assert not any(command.startswith("AUTH") for command in server.commands)


# --- passwords -------------------------------------------------------------------------------------------------------


@dataclass
class PasswordServer:
    """The login of an SMTP server that takes one password, in UTF-8, by the mechanisms that it offers."""

    user: str
    password: str
    refuse: tuple[str, ...] = ()

    def __call__(self, words: list[str], challenge: Callable[[bytes], bytes]) -> str:
        mechanism = words[0]
        if mechanism in self.refuse:
            return "504 5.5.4 Unrecognized authentication type"
        user, password = self.user.encode(), self.password.encode()
        if mechanism == "PLAIN":
            right = base64.b64decode(words[1]) == b"\0" + user + b"\0" + password
        elif mechanism == "LOGIN":
            right = (challenge(b"Username:"), challenge(b"Password:")) == (user, password)
        else:
            said = challenge(b"<1@mx>")
            right = said == user + b" " + hmac.new(password, b"<1@mx>", "md5").hexdigest().encode()
        return "235 ok" if right else "535 5.7.8 wrong"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize(
    "password", ["plain ascii", "pässwörd", "密码 Ω", "a" * 200], ids=["ascii", "latin", "wide", "long"]
)
def test_any_password_works_with_every_mechanism(mechanism: str, password: str) -> None:
    login = PasswordServer("bücher", password)
    with smtpd(Script(extensions=(f"AUTH {mechanism}",), login=login)) as server:
        made = connect(smtp_config(server, username="bücher", password=Secret(lambda: password)))
        made.socket.close()


def test_a_mechanism_that_is_offered_and_not_known_leaves_the_next() -> None:
    login = PasswordServer("me", "pw", refuse=("PLAIN",))
    with smtpd(Script(extensions=("AUTH CRAM-MD5 LOGIN PLAIN",), login=login)) as server:
        connect(smtp_config(server, username="me", password=Secret(lambda: "pw"))).socket.close()
    assert [command.split()[1] for command in server.commands if command.startswith("AUTH")] == ["PLAIN", "LOGIN"]


def test_a_wrong_password_is_tried_once() -> None:
    login = PasswordServer("me", "right")
    script = Script(extensions=("AUTH CRAM-MD5 LOGIN PLAIN",), login=login)
    with smtpd(script) as server, pytest.raises(TransportMisconfigured):
        connect(smtp_config(server, username="me", password=Secret(lambda: "wröng")))
    assert len([command for command in server.commands if command.startswith("AUTH")]) == 1


def test_a_server_that_repeats_a_secret_does_not_have_it_shown() -> None:
    with (
        smtpd(Script(extensions=("AUTH PLAIN",), replies={"AUTH": ["535 5.7.8 hunter2 is wrong"]})) as server,
        pytest.raises(TransportMisconfigured) as caught,
    ):
        connect(smtp_config(server, password=Secret(lambda: "hunter2")))
    assert "535 5.7.8 *** is wrong" in str(caught.value)


# --- the beginning of a session --------------------------------------------------------------------------------------


def test_the_greeting_name_is_told_and_the_server_s_words_are_kept() -> None:
    with smtpd() as server:
        connect(SmtpConfig("127.0.0.1", server.port, helo="news.example.org")).socket.close()
        connect(SmtpConfig("127.0.0.1", server.port)).socket.close()
    assert server.commands[:2] == ["ehlo news.example.org", "ehlo [127.0.0.1]"]
    for reply, code in (("421 4.7.0 Try again later, closing connection.", 75), ("550 5.7.1 blocked by list", 75)):
        with smtpd(Script(replies={"EHLO": [reply]})) as server, pytest.raises(TransportUnavailable) as caught:
            connect(SmtpConfig("127.0.0.1", server.port, helo="localhost"))
        assert str(caught.value) == f"127.0.0.1:{server.port} refused EHLO localhost: {reply}; see smtp.helo"
        assert caught.value.exit_code == code


def test_a_server_from_before_ehlo_gets_helo() -> None:
    with smtpd(Script(replies={"EHLO": ["502 5.5.1 what?"]})) as server:
        made = connect(SmtpConfig("127.0.0.1", server.port))
        made.socket.close()
    assert made.extensions == {}


def test_the_two_ways_to_begin_tls_are_told_apart(authority: Authority) -> None:
    usual = SmtpConfig("localhost", ca_file=authority.file, timeout=1.0)
    with smtpd(Script(tls=authority.context())) as server, pytest.raises(TransportMisconfigured) as caught:
        connect(replace(usual, port=server.port, tls="implicit"))
    assert str(caught.value).endswith("as smtp.tls: implicit asks: set smtp.tls to starttls (or smtp.port to 465)")
    for tls in ("starttls", "none"):
        script = Script(tls=authority.context(), implicit=True)
        with smtpd(script) as server, pytest.raises(TransportMisconfigured) as caught:
            connect(replace(usual, port=server.port, tls=tls))
        assert f"begins with TLS, and smtp.tls is {tls}: set it to implicit" in str(caught.value)
        assert caught.value.exit_code == os.EX_CONFIG


# --- the configuration -----------------------------------------------------------------------------------------------

BASE = """\
sender: digest@news.example.org
postal_address: x
list_id: l.example.org
feeds: [{url: /tmp/x.json}]
"""


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    (folder / "config.yaml").write_text(BASE + text, "utf-8")
    return load(folder / "config.yaml", environ or {})


@pytest.mark.system
def test_the_sources_of_tokens_are_read(tmp_path: Path) -> None:
    login = "host: localhost, username: me, auth: xoauth2"
    (tmp_path / "t").write_text(f"{SECRET}\n", "utf-8")
    config = loaded(tmp_path, f"smtp: [{{{login}, token_file: t}}]\n")
    token = config.smtp[0].token
    assert token is not None
    assert token.current() == SECRET
    (tmp_path / "t").write_text("fresh\n", "utf-8")
    assert token.current() == "fresh"  # read for each login
    config = loaded(tmp_path, f"smtp: [{{{login}, token_command: \"{sys.executable} -c 'print(7)'\"}}]\n")
    assert config.smtp[0].token is not None
    assert config.smtp[0].token.current() == "7"
    refresh = "{provider: microsoft, client_id: app, refresh_token_file: r, tenant: example.org}"
    config = loaded(
        tmp_path,
        f"smtp: [{{{login}, token_refresh: {refresh}}}]\nbounces: {{imap: {{{login}, token_refresh: {refresh}}}}}\n",
    )
    clients = [each.token._fetch.__self__ for each in (config.smtp[0], config.bounces.imap)]  # type: ignore[union-attr]
    assert [each.endpoint for each in clients] == [
        "https://login.microsoftonline.com/example.org/oauth2/v2.0/token"
    ] * 2
    assert ["SMTP.Send" in clients[0].scope, "IMAP.AccessAsUser.All" in clients[1].scope] == [True, True]
    assert clients[0].refresh_token_file == tmp_path / "r"


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("username: me, auth: xoauth2", "needs one of token_command, token_file, token_refresh"),
        ("username: me, auth: xoauth2, token_file: a, token_command: b", "not two"),
        ("username: me, auth: xoauth2, token_file: a, password: b", "uses no password"),
        ("username: me, password: x, token_file: a", "token_file needs auth: xoauth2"),
        ("auth: xoauth2, token_file: a", "needs a username"),
        ("username: me, auth: oauth, token_file: a", "expected password | xoauth2"),
        ("host: mail.example.org, username: me, auth: xoauth2, token_file: a", "in clear"),
        ("username: me, auth: xoauth2, token_command: 'x ${TOKEN}'", "visible to other users"),
        ("username: me, auth: xoauth2, token_command: 'x \"y'", "cannot be split"),
        ("username: me, auth: xoauth2, token_command: ' '", "must not be empty"),
        ("username: me, auth: xoauth2, token_refresh: {client_id: x, refresh_token_file: y}", "provider is missing"),
        (
            "username: a, auth: xoauth2, token_refresh: {token_url: 'http://x/', client_id: x, refresh_token_file: y}",
            "expected a URL such as https:",
        ),
        (
            "username: a, auth: xoauth2, token_refresh: {tenant: a/b, client_id: x, refresh_token_file: y}",
            "expected a domain",
        ),
        ("helo: 'not a name'", "expected a host's name"),
        ("sendmail: /bin/x, host: y", "sendmail and host are both given"),
        ("sendmail: /bin/x}, {host: y", "sendmail must be the only entry"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_line(tmp_path: Path, server: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"smtp: [{{{server}}}]\n")
    assert words in str(caught.value)
    assert "config.yaml:5: smtp" in str(caught.value)


def test_the_name_for_ehlo_is_the_sender_s_domain_or_what_is_configured(tmp_path: Path) -> None:
    assert [server.helo for server in loaded(tmp_path, "").smtp] == ["news.example.org"]
    assert loaded(tmp_path, "smtp: [{helo: mx.example.net}]\n").smtp[0].helo == "mx.example.net"
    assert loaded(tmp_path, "smtp: [{helo: '[192.0.2.1]'}]\n").smtp[0].helo == "[192.0.2.1]"


def test_a_command_is_a_text_or_a_list(tmp_path: Path) -> None:
    for written in ("/bin/x 'a b' c", "[/bin/x, a b, c]"):
        assert loaded(tmp_path, f"smtp: [{{sendmail: {written}}}]\n").smtp[0].sendmail == ("/bin/x", "a b", "c")
    for wrong in ("[]", "[[x]]", "[x, '${KEY}']", "{a: b}"):
        with pytest.raises(ConfigError, match=r"smtp\.0\.sendmail"):
            loaded(tmp_path, f"smtp: [{{sendmail: {wrong}}}]\n", {"KEY": "secret"})


def test_files_with_secrets_that_others_can_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x", "utf-8")
    (tmp_path / "t").chmod(0o644)
    config = loaded(
        tmp_path,
        "old_secret_files: [t]\nsmtp: [{username: me, auth: xoauth2, token_file: t}]\n",
    )
    assert [warning.split(": ")[1].split()[0] for warning in config.warnings] == [
        "old_secret_files",
        "smtp.0.token_file",
    ]


def test_a_token_file_that_is_missing_is_for_a_person(tmp_path: Path) -> None:
    config = loaded(tmp_path, "smtp: [{host: 127.0.0.1, username: me, auth: xoauth2, token_file: none}]\n")
    with smtpd(Script(extensions=("AUTH XOAUTH2",))) as server, pytest.raises(TransportMisconfigured) as caught:
        connect(replace(config.smtp[0], port=server.port))
    assert "smtp.0.token_file: cannot read" in str(caught.value)


def test_old_secrets_in_files_are_as_good_as_written_ones(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("an old secret of this test\n", "utf-8")
    new = loaded(tmp_path, "secret: a new secret of this test\nold_secret_files: [old]\n")
    before = loaded(tmp_path, "secret: an old secret of this test\n")
    (hashed,) = before.links().forgotten_hashes("ada@example.org")
    assert hashed in new.links().forgotten_hashes("ada@example.org")


@pytest.mark.system
def test_no_token_stands_in_the_list_of_processes(tmp_path: Path) -> None:
    """A token command is started with its own words only."""
    seen = tmp_path / "ps"
    code = f"open({str(seen)!r}, 'w').write(open('/proc/self/cmdline').read()); print('{SECRET[:4]}' + 'rest')"
    assert from_command(python(code)).value == f"{SECRET[:4]}rest"
    assert seen.read_text("utf-8").split("\0")[:-1] == python(code)
