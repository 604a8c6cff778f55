"""A sound list for the doctor: a folder, a mail, a web and a name server, a monitor, and somebody who heals it.

Nothing is pretended that can be had: SMTP with TLS, https and DNS are spoken on loopback. Programs of the system that
a remedy calls (crontab, certbot, timedatectl, pip) are small scripts that note that they were called.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import sqlite3
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from newsletter.check import Finding, Level, Options, database, examine, feeds, lines, templates
from newsletter.check.values import Command, Publish, SetKey
from newsletter.mail import dkim, lint
from newsletter.mail.render import Renderer
from newsletter.model import Issue, Publication, RenderedIssue
from newsletter.store import Store
from newsletter.store.schema import HEAD
from tests import program
from tests.migrated import store_file
from tests.monitor import Monitor, monitoring
from tests.nameserver import NameServer, nameserver
from tests.serving import serving
from tests.smtpd import Authority, Script, Smtpd, smtpd

# YAML in C, where PyYAML has it: it takes a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

DOMAIN = "papers.example.net"
OPERATOR = "ops@papers.example.net"
PROGRAM = program.COMMAND
CHECK = "5d0b3b52"

_SHIMS = {
    "sudo": 'exec "$@"',
    "crontab": 'if [ "$1" = -l ]; then cat "$CLINIC/crontab"; else cat > "$CLINIC/crontab"; fi',
    "timedatectl": 'touch "$CLINIC/clock-was-set"',
    "certbot": 'touch "$CLINIC/certificate-was-renewed"',
    "pip": 'touch "$CLINIC/program-was-upgraded"',
    "systemctl": 'echo "$@" >> "$CLINIC/systemctl"\n'
    'case "$*" in *disable*) rm -f "$HOME"/.config/systemd/user/timers.target.wants/*;; esac',
}


@dataclass
class Web:
    """The web server in front of `newsletter web`: `status` and `page` answer, `ahead` is its clock's fault (s)."""

    port: int
    status: int = 200
    page: str = "<h1>Daily Papers</h1>"
    tls: ssl.SSLContext | None = None  # its certificate, if it is another than at the start
    ahead: float = 0.0
    location: str = ""  # where the page at / is now, if it has moved


@dataclass
class Clinic:
    """A list whose parts can be broken. `folder` holds config.yaml and all that it names."""

    folder: Path
    server: Smtpd
    names: NameServer
    web: Web
    monitor: Monitor
    authority: Authority
    opened: ExitStack  # closed with the clinic
    fill: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)  # ended with the clinic

    @property
    def path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "newsletter.db"

    # --- looking -----------------------------------------------------------------------------------------------------

    def findings(self, **options: Any) -> list[Finding]:
        """What the doctor says."""
        asked: dict[str, Any] = {"resolver": ("127.0.0.1", self.names.port), "program": PROGRAM, **options}
        return list(examine(self.path, Options(**asked)))

    def faults(self, **options: Any) -> list[Finding]:
        return [each for each in self.findings(**options) if each.level is not Level.OK]

    # --- breaking ----------------------------------------------------------------------------------------------------

    def configure(self, key: str, value: Any) -> None:
        """Set a dotted key of config.yaml; None removes it."""
        document = yaml.load(self.path.read_text("utf-8"), _LOADER)
        *parents, last = key.split(".")
        at: Any = document
        for part in parents:
            if isinstance(at, dict) and at.get(part) is None:
                at[part] = {}
            at = at[int(part) if part.isdigit() else part]
        if value is None:
            at.pop(last)
        else:
            at[int(last) if last.isdigit() else last] = value
        self.path.write_text(_dumped(document), "utf-8")

    def template(self, name: str, text: str) -> Path:
        """Write a template of the operator's own; returns its path."""
        path = self.folder / "my-templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        self.configure("templates", "my-templates")
        return path

    def schema(self, revision: str) -> None:
        """Let the store say that its tables are of `revision`."""
        with closing(sqlite3.connect(self.store)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])

    def feed(self, *entries: dict[str, object], name: str = "papers.json") -> None:
        (self.folder / name).write_text(json.dumps(entries), "utf-8")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call the program on this list."""
        return program.run(
            [*PROGRAM, "-c", str(self.path), *words],
            env=os.environ | self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    # --- healing -----------------------------------------------------------------------------------------------------

    def follow(self, finding: Finding) -> None:
        """Do what a finding says, literally, with the words in capitals replaced by what this operator knows."""
        remedy = finding.remedy
        if isinstance(remedy, SetKey):
            self.configure(remedy.key, yaml.safe_load(self._filled(remedy.value)) if remedy.value != "null" else None)
        elif isinstance(remedy, Publish):
            self.names.records[remedy.name, remedy.type] = [self._filled(remedy.text)]
        else:
            assert isinstance(remedy, Command)
            line = self._filled(remedy.line)
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                os.environ[name] = value
            elif line.endswith(" web"):  # the web server of this clinic stands before it
                self.web.status, self.web.page = 200, Web.page
            elif not set(line) & set("|&;<>$`*(") and tuple(shlex.split(line)[:3]) == PROGRAM:  # what needs no shell
                program.run(shlex.split(line), env=os.environ | self.environ, capture_output=True)
            else:
                subprocess.run(["sh", "-c", line], env=os.environ | self.environ, check=False, capture_output=True)
        if (self.folder / "clock-was-set").exists():
            self.web.ahead = 0.0
        if (self.folder / "program-was-upgraded").exists():
            self.schema(HEAD)
        if (self.folder / "certificate-was-renewed").exists():
            self.server.script.tls, self.web.tls = self.authority.context(), None

    def _filled(self, text: str) -> str:
        for word, value in self.fill.items():
            text = text.replace(word, value)
        return text


def entry(number: int, upvotes: int | None = None, **more: object) -> dict[str, object]:
    """An entry of a response of Hugging Face."""
    paper: dict[str, object] = {
        "id": f"2611.{number:05d}",
        "title": f"Paper {number}",
        "summary": "We study it.",
        **more,
    }
    return {"paper": paper if upvotes is None else {**paper, "upvotes": upvotes}}


def private_key(path: Path, bits: int | None = None) -> None:
    """Write a key for DKIM: Ed25519, which is quick to make and to read, or RSA with `bits`."""
    key = ed25519.Ed25519PrivateKey.generate() if bits is None else rsa.generate_private_key(65537, bits)
    form, secrecy = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secrecy))
    path.chmod(0o600)


@contextmanager
def clinic(folder: Path, environ: Any, key: Path) -> Iterator[Clinic]:
    """A sound list in `folder`. `environ` is pytest's monkeypatch; `key` a DKIM key that is copied."""
    authority = Authority.make(folder)
    script = Script(
        tls=authority.context(), extensions=("SIZE 10000000", "8BITMIME", "AUTH PLAIN"), password="open sesame"
    )
    tls = authority.context(host=DOMAIN)
    with (
        smtpd(script) as server,
        nameserver() as names,
        _website(tls) as web,
        _proxy(web) as proxy,
        monitoring() as monitor,
        ExitStack() as opened,
    ):
        made = Clinic(folder, server, names, web, monitor, authority, opened)
        (folder / "bin").mkdir()
        for name, text in _SHIMS.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
            (folder / "bin" / name).chmod(0o755)
        environ.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        environ.setenv("CLINIC", str(folder))
        environ.setenv("HOME", str(folder))
        environ.setenv("SSL_CERT_FILE", str(authority.file))
        environ.setenv("no_proxy", "localhost,127.0.0.1")
        environ.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        environ.setattr(database, "_PATIENCE", 1.0)  # seconds; what is locked here stays locked
        environ.setattr(lines, "_GREETING", 1.0)  # seconds; what greets here greets at once
        environ.setattr(feeds, "Store", _Ready)
        _remember(environ)
        _furnish(made, key)
        before = dict(os.environ)
        try:
            yield made
        finally:
            for name in os.environ.keys() - before.keys():  # what a remedy has exported
                del os.environ[name]
            for child in made.children:
                child.kill()
                child.communicate()


class _Ready:
    """A new store has its tables at once: what is examined beside a broken store has an empty one."""

    @staticmethod
    def open(url: str) -> Store:
        return Store.open(store_file(Path(url.removeprefix("sqlite:///"))))


_RENDERED: dict[tuple[Publication, int, str], tuple[RenderedIssue, RenderedIssue]] = {}
_LINTED: dict[RenderedIssue, list[lint.Finding]] = {}


def _remember(environ: Any) -> None:
    """Render and judge each mail once, as long as the operator has no files of their own that also decide.

    Hundreds of examinations make and judge the same few mails, which takes a third of their time.
    """
    render, judge = Renderer.noted, lint.lint

    def noted(self: Renderer, issue: Issue) -> tuple[RenderedIssue, RenderedIssue]:
        own = self._catalogues is None or self._catalogues.exists()
        if own or len(self._folders) > 1 or self.publication.language != self.language.tag:
            return render(self, issue)
        key = (self.publication, self.budget, repr(issue))
        if key not in _RENDERED:
            _RENDERED[key] = render(self, issue)
        return _RENDERED[key]

    def linted(rendered: RenderedIssue, catalogues: Path) -> list[lint.Finding]:
        if catalogues.exists():
            return judge(rendered, catalogues)
        if rendered not in _LINTED:
            _LINTED[rendered] = judge(rendered, catalogues)
        return list(_LINTED[rendered])

    environ.setattr(Renderer, "noted", noted)
    environ.setattr(lint, "lint", linted)  # for who imports it when it is needed
    environ.setattr(templates, "lint", linted)


def _furnish(made: Clinic, key: Path) -> None:
    folder = made.folder
    made.feed(entry(1, 3), entry(2, 5), entry(3, 8))
    for name, text in (("newsletter.secret", "a long secret for links"), ("smtp.password", "open sesame")):
        (folder / name).write_text(text, "utf-8")
        (folder / name).chmod(0o600)
    (folder / "dkim.pem").write_bytes(key.read_bytes())
    (folder / "dkim.pem").chmod(0o600)
    for part in ("new", "cur", "tmp"):
        (folder / "Maildir" / part).mkdir(parents=True)
    (folder / "crontab").write_text(f"0 7 * * * newsletter -c {made.path} run\n", "utf-8")
    document = {
        "title": "Daily Papers",
        "sender": f"Daily Papers <digest@{DOMAIN}>",
        "postal_address": "2 Some Street, Some Town",
        "list_id": f"daily.{DOMAIN}",
        "base_url": f"https://{DOMAIN}",
        "feeds": [{"url": "papers.json", "name": "Hugging Face"}],
        "secret_file": "newsletter.secret",
        "smtp": [
            {
                "host": "localhost",
                "port": made.server.port,
                "tls": "starttls",
                "ca_file": "authority.pem",
                "username": "digest",
                "password_file": "smtp.password",
                "timeout": 5,
            }
        ],
        "alerts": {"address": OPERATOR, "ping": f"{made.monitor.url}/ping/{CHECK}"},
        "bounces": {"maildir": "Maildir"},
        "dkim": [{"selector": "s2026", "private_key_file": "dkim.pem"}],
    }
    made.path.write_text(_dumped(document), "utf-8")
    made.path.chmod(0o600)
    made.store.write_bytes(_with_a_reader())
    made.store.chmod(0o600)
    name, text = dkim.load(folder / "dkim.pem", "s2026", DOMAIN).record
    made.names.records |= {
        (DOMAIN, "TXT"): ["v=spf1 ip4:192.0.2.25 mx -all"],
        (DOMAIN, "MX"): [f"10 mail.{DOMAIN}."],
        (f"mail.{DOMAIN}", "A"): ["192.0.2.25"],
        (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=quarantine"],
        (name, "TXT"): [text],
    }


@cache
def _with_a_reader() -> bytes:
    """The store of a list with one reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "newsletter.db"
        with Store.open(store_file(path)) as store:
            store.add("ada@readers.example.org")
        return path.read_bytes()


def _dumped(document: Any) -> str:
    """What config.yaml says when it means this."""
    written: str = yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    return written


@contextmanager
def _website(tls: ssl.SSLContext) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def on_request(self) -> None:
            moved = bool(web.location) and self.path == "/"
            self.send_response_only(web.status if moved or not web.location else 200)
            if moved:
                self.send_header("Location", web.location)
            at = datetime.now(UTC) + timedelta(seconds=web.ahead)
            self.send_header("Date", format_datetime(at, usegmt=True))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(web.page.encode())

        def __getattr__(self, name: str) -> Any:
            """GET and HEAD, as http.server names them."""
            if name in ("do_GET", "do_HEAD"):
                return self.on_request
            raise AttributeError(name)

        def log_message(self, *words: object) -> None:
            """Quiet."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that refuses our certificate is one of the tests."""

    def certificate(line: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        line.context = web.tls or tls

    tls.sni_callback = certificate
    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    web = Web(server.server_port)
    with serving(server):
        yield web


@contextmanager
def _proxy(web: Web) -> Iterator[int]:
    """A proxy at which every https host is `web`, so that the list has a name; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            with socket.create_connection(("127.0.0.1", web.port)) as there, suppress(OSError):
                self.send_response_only(200)
                self.end_headers()
                ends = {self.connection: there, there: self.connection}
                while True:
                    for ready in select.select(list(ends), [], [])[0]:
                        if not (piece := ready.recv(65536)):
                            return
                        ends[ready].sendall(piece)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield server.server_port


def days_ago(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)
