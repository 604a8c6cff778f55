"""The configurations for nginx and Caddy in docs/web.md: TLS, the form, one-click unsubscribe, the client's address."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from newsletter.links import Purpose
from tests import needs
from tests.conftest import ROOT
from tests.pages import BASE, Server, Site
from tests.smtpd import Authority
from tests.test_web_load import SLOW

# Makes the command of a proxy of the documented lines, a folder, host, port and certificate.
_Command = Callable[[str, Path, str, int, Path], list[str | Path]]

MANY = 200  # connections: twice as many as waitress takes unless it is told otherwise
ELSEWHERE = "127.0.0.2"  # another reader: all of 127/8 is this machine


def _documented(heading: str) -> str:
    """The code blocks of a section of docs/web.md."""
    section = (ROOT / "docs/web.md").read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)
    assert blocks
    return "".join(blocks)


def _caddy(lines: str, folder: Path, host: str, port: int, certificate: Path) -> list[str | Path]:
    own = f"\ttls {certificate} {certificate}\n"
    lines = re.sub(rf"^{re.escape(host)} {{\n", f"{host}:{port} {{\n{own}", lines, flags=re.MULTILINE)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n"
    lines = lines.replace("{\n", options, 1) if lines.startswith("{\n") else f"{options}}}\n{lines}"
    file = folder / "Caddyfile"
    file.write_text(lines, "utf-8")
    return [needs.program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", file]


def _nginx(lines: str, folder: Path, host: str, port: int, certificate: Path) -> list[str | Path]:
    lines = re.sub(r"listen 443 ", f"listen {port} ", lines)
    lines = re.sub(r"/etc/letsencrypt/\S+\.pem", str(certificate), lines)
    assert host in lines
    site, _, events = lines.partition("events {")
    own = (
        f"error_log stderr;\npid {folder}/nginx.pid;\nevents {{{events}http {{\naccess_log off;\n"
        f"client_body_temp_path {folder};\nproxy_temp_path {folder};\n{site}}}\n"
    )
    file = folder / "nginx.conf"
    file.write_text(own, "utf-8")
    return [needs.program("nginx", "nginx"), "-e", "stderr", "-p", folder, "-c", file, "-g", "daemon off;"]


@contextmanager
def _running(command: list[str | Path], folder: Path, port: int) -> Iterator[None]:
    log = folder / "proxy.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, stdout=stream, stderr=stream
        )
    try:
        for _ in range(200):
            assert process.poll() is None, log.read_text("utf-8")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail(log.read_text("utf-8"))
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _proxy(
    folder: Path, heading: str, base: str, command: _Command, behind: int
) -> Iterator[tuple[str, int, Authority]]:
    """Run the proxy of a section of docs/web.md in front of the port `behind`: host, port, who signed for it."""
    authority = Authority.make(folder)
    host = base.removeprefix("https://").partition("/")[0]
    authority.context(host=host)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    certificate = folder / f"{host}-False-False.pem"
    lines = _documented(heading).replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    with _running(command(lines, folder, host, port, certificate), folder, port):
        yield host, port, authority


class _Browser:
    """A client that reaches the proxy by TLS from an IP address of its own, and keeps cookies."""

    def __init__(self, host: str, port: int, authority: Authority, source: str = "127.0.0.1") -> None:
        self.host, self.port, self.source = host, port, source
        self.trust = ssl.create_default_context(cafile=authority.file)
        self.cookies = ""

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        """Send one request; returns status and body."""
        connection = http.client.HTTPSConnection(self.host, timeout=20)
        line = socket.create_connection(("127.0.0.1", self.port), 20, (self.source, 0))
        connection.sock = self.trust.wrap_socket(line, server_hostname=self.host)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self.cookies}
        origin = {"Referer": f"https://{self.host}/"}
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, form | origin | own)
        answer = connection.getresponse()
        text = answer.read().decode()
        self.cookies = (answer.getheader("Set-Cookie") or self.cookies).partition(";")[0]
        assert answer.getheader("Strict-Transport-Security") or "/news/" in path  # a path is not the whole host's
        connection.close()
        return answer.status, text

    def subscribe(self, root: str, email: str, **headers: str) -> int:
        """Send the form of the home page; returns the status."""
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', self.ask("GET", root)[1])
        return self.ask("POST", f"{root}subscribe", f"csrf_token={token}&email={email}&website=", **headers)[0]


@pytest.mark.parametrize(
    ("heading", "base", "command"),
    [
        ("nginx", "https://news.example.org", _nginx),
        ("Caddy", "https://news.example.org", _caddy),
        ("Under a path", "https://example.org/news", _caddy),
    ],
    ids=["nginx", "Caddy", "Caddy, under a path"],
)
def test_what_the_documentation_says_of_a_proxy_works(
    tmp_path: Path,
    serve: Callable[[Site], Server],
    heading: str,
    base: str,
    command: _Command,
) -> None:
    site = Site(tmp_path, "web:\n  per_ip: 2\n", base=base)
    token = site.links.token(Purpose.UNSUBSCRIBE, site.reader().ref)
    path = base.removeprefix("https://").partition("/")[2]
    root = f"/{path}/" if path else "/"
    with _proxy(tmp_path, heading, base, command, serve(site).port) as (host, port, authority):
        reader = _Browser(host, port, authority)
        claims = [f"203.0.113.{n}" for n in range(3)]  # a header that the client sends does not count
        codes = [reader.subscribe(root, f"a{n}@example.org", X_Forwarded_For=claims[n]) for n in range(3)]
        assert codes == [200, 200, 429]
        assert _Browser(host, port, authority, ELSEWHERE).subscribe(root, "b@example.org") == 200
        status, page = reader.ask("POST", f"{root}unsubscribe/{token}", "List-Unsubscribe=One-Click")
        assert (status, "You are unsubscribed" in page) == (200, True)


@dataclass(frozen=True)
class Front:
    """A proxy before the web pages, and the path of the link by which a reader leaves, one for each kind of SLOW."""

    host: str
    port: int
    authority: Authority
    links: Mapping[str, str]


@pytest.fixture(scope="module", params=[("nginx", _nginx), ("Caddy", _caddy)], ids=["nginx", "Caddy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Started once: what is left of one kind of slow connections is no reason to keep a reader waiting either."""
    heading, command = request.param
    folder = tmp_path_factory.mktemp(heading)
    site = Site(folder)
    links = {}
    for kind in SLOW:
        site.store.add(f"{kind}@example.org")
        links[kind] = site.path_of(site.links.unsubscribe(site.reader(f"{kind}@example.org").ref)[0])
    server = Server(site)
    try:
        with _proxy(folder, heading, BASE, command, server.port) as (host, port, authority):
            yield Front(host, port, authority, links)
    finally:
        server.stop()


@pytest.mark.parametrize("kind", SLOW)
def test_a_reader_can_leave_through_a_proxy_that_hundreds_of_slow_connections_use(front: Front, kind: str) -> None:
    trust = ssl.create_default_context(cafile=front.authority.file)
    trust.maximum_version = ssl.TLSVersion.TLSv1_2  # in which all connections after the first resume its session
    session = None
    with ExitStack() as stack:
        for _ in range(MANY):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", front.port), 20))
            encrypted = stack.enter_context(trust.wrap_socket(line, server_hostname=front.host, session=session))
            session = encrypted.session
            encrypted.sendall(SLOW[kind][0])
        reader = _Browser(front.host, front.port, front.authority, ELSEWHERE)
        status, page = reader.ask("POST", front.links[kind], "List-Unsubscribe=One-Click")
        assert (status, "You are unsubscribed" in page) == (200, True)
