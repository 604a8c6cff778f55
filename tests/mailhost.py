"""A mail host of the tests' own: Postfix on a loopback port hands over to Dovecot, and the mail is read back by IMAP.

Everything lives in one temporary folder; nothing under /etc is touched, and nothing can leave the machine: any domain
but the test's own is an error. One host serves all tests of a process.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from tests import needs
from tests.introspection import Introspection, introspection
from tests.smtpd import Authority

DOMAIN = "dest.test"
USERS = ("alice", "bob", "carol")
BOUNCES, UNREAD = "bounces", "dora"  # mailboxes beside those of the users; of the last nobody reads anything
PASSWORD = "secret"

_QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
    *("pid", "public", "maildrop"),
)


@dataclass(frozen=True)
class MailHost:
    """The running mail host. It has the mailboxes USERS, BOUNCES and UNREAD at DOMAIN.

    IMAP is served in clear and with STARTTLS on one port, and with implicit TLS on the other. The certificate is for
    localhost, signed by the authority in the folder's authority.pem. `issuer` says which access tokens are valid.
    """

    folder: Path
    smtp_port: int
    imap_port: int
    imaps_port: int
    issuer: Introspection

    @property
    def addresses(self) -> list[str]:
        """Those of the users."""
        return [f"{user}@{DOMAIN}" for user in USERS]

    def add_user(self, name: str, password: str) -> None:
        """Add the mailbox `name` at DOMAIN."""
        owner, address = pwd.getpwnam("mail"), f"{name}@{DOMAIN}"
        with (self.folder / "users").open("a", encoding="utf-8") as file:
            file.write(f"{address}:{{PLAIN}}{password}:{owner.pw_uid}:{owner.pw_gid}::{self.folder}/mail/{address}::\n")

    def inbox(self, address: str, expected: int) -> list[EmailMessage]:
        """The messages that `address` has received; waits until there are `expected` of them."""
        return [message_from_bytes(raw, EmailMessage, policy=default) for raw in self.raw_inbox(address, expected)]

    def raw_inbox(self, address: str, expected: int, patience: float = 20.0) -> list[bytes]:
        """The same as bytes from IMAP; after `patience` seconds it returns fewer messages."""
        end = time.monotonic() + patience
        while len(found := self._read(address)) < expected and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _read(self, address: str) -> list[bytes]:
        with imaplib.IMAP4("127.0.0.1", self.imap_port) as imap:
            imap.login(address, PASSWORD)
            imap.select("INBOX", readonly=True)
            numbers = imap.search(None, "ALL")[1][0].split()
            parts = [imap.fetch(number.decode(), "(RFC822)")[1][0] for number in numbers]
        return [part[1] for part in parts if isinstance(part, tuple)]


@pytest.fixture(scope="session", params=["postfix"])
def mail_host() -> Iterator[MailHost]:
    """The host, running until the last test has ended."""
    with running() as host:
        yield host


@pytest.fixture(scope="module")
def host(mail_host: MailHost) -> MailHost:
    """The host with empty mailboxes."""
    for mailbox in (mail_host.folder / "mail").iterdir():
        shutil.rmtree(mailbox)
    return mail_host


@contextmanager
def running() -> Iterator[MailHost]:
    """Run the mail host during the block."""
    needs.root()
    postfix, dovecot = needs.program("postfix", "postfix"), needs.program("dovecot", "dovecot-imapd")
    needs.program("lmtp", "dovecot-lmtpd")
    folder = Path(tempfile.mkdtemp(prefix="mailhost-"))
    folder.chmod(0o755)
    with introspection() as issuer:
        host = MailHost(folder, _free_port(), _free_port(), _free_port(), issuer)
        yield from _run(host, postfix, dovecot)


def _run(host: MailHost, postfix: Path, dovecot: Path) -> Iterator[MailHost]:
    folder = host.folder
    try:
        Authority.make(folder).context(host="localhost")
        _dovecot(host, dovecot)
        _postfix(host, postfix)
        for port in (host.smtp_port, host.imap_port):
            _wait_for(port, folder)
        yield host
    finally:
        _quiet(str(postfix), "-c", str(folder / "postfix"), "stop")
        _quiet("doveadm", "-c", str(folder / "dovecot.conf"), "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, folder: Path) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    logs = "".join(path.read_text("utf-8", "replace")[-2000:] for path in folder.glob("*.log"))
    raise AssertionError(f"nothing listens on {port}: {logs}")


def _quiet(*words: str) -> int:
    """Run a command and return its exit code. Its output is discarded, since a daemon would keep a pipe open."""
    null = subprocess.DEVNULL
    return subprocess.run(words, stdin=null, stdout=null, stderr=null, check=False).returncode


def _start(*words: str | Path) -> None:
    assert _quiet(*map(str, words)) == 0, f"{words} failed"


def _dovecot(host: MailHost, program: Path) -> None:
    folder = host.folder
    owner = pwd.getpwnam("mail")
    mail = folder / "mail"
    mail.mkdir()
    os.chown(mail, owner.pw_uid, owner.pw_gid)
    names = (*USERS, BOUNCES, UNREAD)
    for name in names:
        host.add_user(name, PASSWORD)
    (folder / "oauth2.conf").write_text(
        f"introspection_mode = post\nintrospection_url = http://127.0.0.1:{host.issuer.port}/\n"
        "username_attribute = username\nactive_attribute = active\nactive_value = true\n",
        "utf-8",
    )
    (folder / "dovecot.conf").write_text(_dovecot_conf(host, _version(program)), "utf-8")
    _start(program, "-c", folder / "dovecot.conf")


def _version(dovecot: Path) -> tuple[int, int]:
    said = subprocess.run([dovecot, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = said.split()[0].split(".")[:2]
    return int(major), int(minor)


def _dovecot_conf(host: MailHost, version: tuple[int, int]) -> str:
    """The configuration for 2.3 (Debian 12, Ubuntu 24.04) or 2.4 (Debian 13), which renamed most settings."""
    folder = host.folder
    old = f"""\
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
auth_username_format = %Lu
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
"""
    new = f"""\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
auth_username_format = %{{user | lower}}
auth_mechanisms = plain login xoauth2 oauthbearer
passdb oauth2 {{
  mechanisms_filter = xoauth2 oauthbearer
}}
oauth2 {{
  introspection_mode = post
  introspection_url = http://127.0.0.1:{host.issuer.port}/
  username_attribute = username
  active_attribute = active
  active_value = true
}}
passdb passwd-file {{
  mechanisms_filter = plain login
  passwd_file_path = {folder}/users
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users
}}
"""
    # 2.4 requires the version as the first setting.
    return f"""{new if version >= (2, 4) else old}
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
auth_failure_delay = 0
{_dovecot_tls(host, version)}
first_valid_uid = 1
service imap-login {{
  inet_listener imap {{
    port = {host.imap_port}
  }}
  inet_listener imaps {{
    port = {host.imaps_port}
    ssl = yes
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
"""


def _dovecot_tls(host: MailHost, version: tuple[int, int]) -> str:
    chain = host.folder / "localhost-False-False.pem"
    names = ("server_cert_file", "server_key_file") if version >= (2, 4) else ("cert", "key")
    value = chain if version >= (2, 4) else f"<{chain}"
    return "\n".join(["ssl = yes", *(f"ssl_{name} = {value}" for name in names)])


def _postfix(host: MailHost, program: Path) -> None:
    folder = host.folder
    config, spool, data = folder / "postfix", folder / "spool", folder / "data"
    for made in (config, spool, data, *(spool / name for name in _QUEUES)):
        made.mkdir()
    master = next(
        path
        for path in (Path("/etc/postfix/master.cf.proto"), Path("/usr/share/postfix/master.cf.dist"))
        if path.exists()
    )
    services = [line for line in master.read_text("utf-8").splitlines() if not line.startswith("smtp  ")]
    unchrooted = [_unchrooted(line) for line in services]
    smtpd = f"127.0.0.1:{host.smtp_port} inet n - n - - smtpd"
    log = "postlog unix-dgram n - n - 1 postlogd"
    (config / "master.cf").write_text("\n".join([smtpd, *unchrooted, log, ""]), "utf-8")
    (config / "main.cf").write_text(
        f"""\
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mx.{DOMAIN}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_forbid_bare_newline = yes
virtual_mailbox_domains = {DOMAIN}
virtual_transport = lmtp:unix:{folder}/lmtp
recipient_delimiter = +
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
alias_maps =
import_environment = MAIL_CONFIG={config}
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
""",
        "utf-8",
    )
    for name in ("postfix-files", "dynamicmaps.cf"):
        if (source := Path("/etc/postfix") / name).exists():
            shutil.copy(source, config / name)
    _own(spool, data)
    _start(program, "-c", config, "start")


def _unchrooted(line: str) -> str:
    """A line of master.cf without chroot, which Debian's services use and which our folder is not prepared for."""
    words = line.split()
    if len(words) > 7 and not line.startswith((" ", "#")) and words[4] == "y":
        words[4] = "n"
        return " ".join(words)
    return line


def _own(spool: Path, data: Path) -> None:
    for path in (data, *spool.iterdir()):
        shutil.chown(path, "postfix")
    shutil.chown(spool / "pid", "root")
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        shutil.chown(spool / name, "postfix", "postdrop")
        (spool / name).chmod(mode)
