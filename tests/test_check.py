"""The doctor: each planted fault is found, at its level, and goes away when what the doctor says is done literally."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from alembic import command

from newsletter.check import Level, exit_code
from newsletter.mail import dkim
from newsletter.store import Store
from newsletter.store.database import Database
from newsletter.store.upgrade import alembic_config
from tests import website
from tests.clinic import CHECK, DOMAIN, Clinic, clinic, days_ago, entry, private_key
from tests.conftest import ROOT
from tests.website import Handler, Response, says

BAD, WARN = Level.BAD, Level.WARN
STEPS = 3  # a remedy may uncover the next thing to do: a login has a name and a password


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One DKIM key for all tests: making one takes a while."""
    path = tmp_path_factory.mktemp("key") / "dkim.pem"
    private_key(path)
    return path


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> Iterator[Clinic]:
    with clinic(tmp_path, monkeypatch, key) as made:
        yield made


def test_on_a_sound_list_everything_is_ok_and_nothing_was_sent(sound: Clinic) -> None:
    found = sound.findings()
    assert [each for each in found if each.level is not Level.OK] == []
    subjects = {each.subject for each in found}
    assert subjects == {
        *(
            "config",
            "store",
            "secret",
            "dkim",
            "templates",
            "language",
            "feeds",
            "smtp",
            "bounces",
            "dns",
            "web",
            "alerts",
            "clock",
        ),
        "schedule",
    }
    assert sound.server.messages == []
    assert [words[:4] for words in sound.server.commands if words[:4] in ("MAIL", "RCPT", "DATA")] == ["MAIL", "RCPT"]
    assert "RCPT TO:<ops@papers.example.net>" in sound.server.commands
    assert "RSET" in sound.server.commands
    assert [(got.method, got.path) for got in sound.monitor.got] == [("POST", f"/ping/{CHECK}/log")]


# --- the faults ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """How a fault is planted, what the doctor must say of it, and what the operator knows besides."""

    name: str
    plant: Callable[[Clinic], object]
    level: Level
    words: str
    code: int = 78
    fill: dict[str, str] = field(default_factory=dict)
    others: int = 0  # exit code of what a fault that is a warning brings with it


def replaced(name: str, old: str, new: str) -> Callable[[Clinic], object]:
    """A change of a file in the list's folder."""

    def act(made: Clinic) -> None:
        path = made.folder / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    return act


def configured(key: str, value: object) -> Callable[[Clinic], object]:
    return lambda made: made.configure(key, value)


def records(name: str, kind: str, *texts: str) -> Callable[[Clinic], object]:
    """The records of a name, instead of the sound ones."""

    def act(made: Clinic) -> None:
        made.names.records[name, kind] = list(texts)

    return act


def script(**changes: object) -> Callable[[Clinic], object]:
    """A change of the mail server."""

    def act(made: Clinic) -> None:
        for name, value in changes.items():
            setattr(made.server.script, name, value)

    return act


def mode(name: str, bits: int) -> Callable[[Clinic], object]:
    return lambda made: (made.folder / name).chmod(bits)


def has_sent(made: Clinic) -> None:
    """An issue of three days ago went out, from a feed whose newest paper is three weeks old."""
    old = days_ago(21).isoformat()
    made.feed(*(entry(number, number, publishedAt=f"{old}T00:00:00Z") for number in (1, 2, 3)))
    done = made.run("run", "--date", days_ago(3).isoformat())
    assert done.returncode == 0, done
    made.server.messages.clear()


def monitor_elsewhere(address: str) -> Callable[[Clinic], object]:
    def act(made: Clinic) -> None:
        made.configure("alerts.ping", address)
        made.fill["URL"] = f"{made.monitor.url}/ping/{CHECK}"

    return act


def check_unknown(made: Clinic) -> None:
    """The check was deleted and made again, with another address."""
    made.monitor.answers[f"/ping/{CHECK}/log"] = 404
    made.fill["URL"] = f"{made.monitor.url}/ping/another"


def webhook_unknown(made: Clinic) -> None:
    made.configure("alerts.webhook", "http://chat.invalid/services/T0")
    made.fill["URL"] = f"{made.monitor.url}/services/T0"


def served(path: str, **answers: Response) -> Callable[[Clinic], object]:
    """The feed at a web server: `path` is asked for; the names of `answers` are paths without the slash."""

    def act(made: Clinic) -> None:
        papers = says(200, (made.folder / "papers.json").read_bytes())
        site = made.opened.enter_context(website.site({"/papers": papers, **{f"/{k}": v for k, v in answers.items()}}))
        made.configure("feeds.0.url", site.url(path))
        made.fill["LOGIN"] = "Bearer t0ken"

    return act


def wants_a_login(handler: Handler) -> None:
    body = (ROOT / "newsletter" / "sample_day.json").read_bytes()
    known = handler.headers.get("Authorization") == "Bearer t0ken"
    handler.reply(200 if known else 401, body if known else b"")


def two_schedules(made: Clinic) -> None:
    folder = made.folder / ".config/systemd/user"
    (folder / "timers.target.wants").mkdir(parents=True)
    (folder / "papers.service").write_text(f"[Service]\nExecStart=newsletter -c {made.path} run\n")
    (folder / "papers.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (folder / "timers.target.wants" / "papers.timer").symlink_to(folder / "papers.timer")


def key_moved_away(made: Clinic) -> None:
    """The panel of the DNS host has added the domain to a name that had it."""
    made.names.records[f"{DKIM_NAME}.{DOMAIN}", "TXT"] = made.names.records.pop((DKIM_NAME, "TXT"))


def helo_refused(made: Clinic) -> None:
    """Postfix judges the name for EHLO at RCPT (smtpd_delay_reject)."""
    said = "504 5.5.2 <news>: Helo command rejected: need fully-qualified hostname"
    made.configure("smtp.0.helo", "news")
    made.server.script.helo["news"] = said
    made.fill["NAME-OF-THIS-MACHINE"] = f"news.{DOMAIN}"


def little_room(made: Clinic) -> None:
    """A provider's limit for free accounts, and a list that has grown."""
    made.configure("smtp.0.per_day", 2)
    with Store.open(f"sqlite:///{made.store}") as store:
        for name in ("grace", "emmy"):
            store.add(f"{name}@readers.example.org")


def store_is_a_folder(made: Clinic) -> None:
    made.configure("store", f"sqlite:///{made.folder}/Maildir/../store")
    (made.folder / "store").mkdir()
    made.fill["ADDRESS"] = "ada@readers.example.org"


def mailbox_is_a_file(made: Clinic) -> None:
    """An mbox, as many systems keep mail in /var/mail."""
    (made.folder / "mbox").write_text("From MAILER-DAEMON Sat Nov 28 2026\n")
    made.configure("bounces.maildir", "mbox")


def public_key(made: Clinic) -> None:
    """The two halves of the key were mixed up. The file that is there stays."""
    signer = dkim.load(made.folder / "dkim.pem", "s2026", DOMAIN)
    (made.folder / "dkim.pem").write_text(
        f"-----BEGIN PUBLIC KEY-----\n{signer.record[1][-44:]}\n-----END PUBLIC KEY-----\n"
    )


def dry(made: Clinic) -> None:
    (made.folder / "crontab").write_text(f"0 7 * * * newsletter -c {made.path} run --dry-run\n")


def ping_unset(made: Clinic) -> None:
    made.configure("alerts.ping", "${CLINIC_PING}")
    made.fill["VALUE"] = f"{made.monitor.url}/ping/{CHECK}"


def page_moved(made: Clinic) -> None:
    """The page is at another place now, to which the old one leads."""
    made.web.status, made.web.location = 301, "/news/"


def stale(made: Clinic) -> None:
    has_sent(made)


def secret_replaced(made: Clinic) -> None:
    has_sent(made)
    made.feed(entry(9, 9))
    made.fill["OLD-SECRET"] = (made.folder / "newsletter.secret").read_text("utf-8")
    (made.folder / "newsletter.secret").write_text("another long secret for links", "utf-8")


def restored(made: Clinic) -> None:
    before = made.store.read_bytes()
    has_sent(made)
    made.feed(entry(9, 9))
    for each in made.folder.glob("newsletter.db-*"):
        each.unlink()
    made.store.write_bytes(before)


def schema(revision: str) -> Callable[[Clinic], object]:
    return lambda made: made.schema(revision)


def older(made: Clinic) -> None:
    """The store as a version before this one left it."""
    for each in made.folder.glob("newsletter.db*"):
        each.unlink()
    database = Database(f"sqlite:///{made.store}", 1.0)
    with database.write() as connection:
        command.upgrade(alembic_config(connection), "0009")
    database.close()
    made.fill["ADDRESS"] = "ada@readers.example.org"


def corrupt(made: Clinic) -> None:
    made.fill["BACKUP"] = str(made.folder / "backup.db")
    (made.folder / "backup.db").write_bytes(made.store.read_bytes())
    size = made.store.stat().st_size
    with made.store.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def no_store(made: Clinic) -> None:
    for each in made.folder.glob("newsletter.db*"):
        each.unlink()
    made.store.touch(0o600)
    made.fill["ADDRESS"] = "ada@readers.example.org"


def locked(made: Clinic) -> None:
    """Another process holds the writer's lock."""
    hold = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", hold, str(made.store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    made.children.append(child)


def nobody(made: Clinic) -> None:
    made.run("subscribers", "remove", "ada@readers.example.org")
    made.fill["ADDRESS"] = "ada@readers.example.org"


def template(name: str, text: str) -> Callable[[Clinic], object]:
    return lambda made: made.template(name, text)


EXTENDS = '{% extends "builtin/digest.html" %}{% block footer %}'
H4 = '{% extends "builtin/digest.html" %}{% block more %}<tr><td><h4>Owls</h4></td></tr>{% endblock %}'
FOOTER = '<tr><td><a href="{{ unsubscribe_url }}">Unsubscribe</a></td></tr>{% endblock %}'


def expired(made: Clinic) -> None:
    made.server.script.tls = made.authority.context(expired=True)


def expired_page(made: Clinic) -> None:
    made.web.tls = made.authority.context(host=DOMAIN, expired=True)


def other_name(made: Clinic) -> None:
    made.server.script.tls = made.authority.context(host="127.0.0.1")


def unknown_authority(made: Clinic) -> None:
    made.configure("smtp.0.ca_file", None)
    os.environ.pop("SSL_CERT_FILE")
    made.configure("base_url", None)
    made.fill["FILE"] = "authority.pem"


def port_closed(made: Clinic) -> None:
    made.configure("smtp.0.port", 1)
    made.fill["PORT"] = str(made.server.port)


def implicit_server(made: Clinic) -> None:
    made.server.script.implicit = True


def no_login_set(made: Clinic) -> None:
    for name in ("username", "password_file"):
        made.configure(f"smtp.0.{name}", None)
    made.server.script.login_first = "530 5.7.0 Authentication required"
    made.fill |= {"NAME": "digest", "PASSWORD": "open sesame"}


def relaying_denied(made: Clinic) -> None:
    no_login_set(made)
    made.server.script.login_first = ""
    made.server.script.recipients["ops@papers.example.net"] = "554 5.7.1 relay access denied"
    made.fill["NAME"] = "digest"


def sender_refused(made: Clinic) -> None:
    made.server.script.senders[f"digest@{DOMAIN}"] = "553 5.7.1 not owned by user digest"
    made.fill["ADDRESS-THAT-IT-ALLOWS"] = f"bounces@{DOMAIN}"


def open_config(made: Clinic) -> None:
    made.configure("secret_file", None)
    made.configure("secret", "a long secret for links")
    made.path.chmod(0o644)


def weak_key(made: Clinic) -> None:
    private_key(made.folder / "dkim.pem", 1024)
    name, text = dkim.load(made.folder / "dkim.pem", "s2026", DOMAIN).record
    made.names.records[name, "TXT"] = [text]


def two_feeds(made: Clinic) -> None:
    made.configure("feeds", [{"url": "papers.json"}, {"url": "gone.json"}])
    made.fill["URL"] = "papers.json"


def sendmail_gone(made: Clinic) -> None:
    made.configure("smtp", [{"sendmail": "/nonexistent"}])
    made.fill["PROGRAM"] = str(made.folder / "bin" / "sudo")


def tokens_only(made: Clinic) -> None:
    """The server has given up passwords; the operator's program prints tokens."""
    made.server.script.extensions = ("SIZE 10000000", "AUTH XOAUTH2")
    made.server.script.password = None
    made.configure("smtp.0.password_file", None)
    made.configure("smtp.0.password", "open sesame")
    made.path.chmod(0o600)
    made.fill["[COMMAND]"] = "echo token"
    # The key that the new way excludes is taken out in the editor that is named.
    os.environ["EDITOR"] = "sed -i /password:/d"


def helper_fails(made: Clinic) -> None:
    """The program that prints tokens has lost its own login."""
    tokens_only(made)
    made.configure("smtp.0.password", None)
    made.configure("smtp.0.auth", "xoauth2")
    made.configure("smtp.0.token_command", "false")


def catalogue(made: Clinic) -> None:
    """A German catalogue of the operator's own that leaves out a name."""
    path = made.folder / "locale" / "de" / "LC_MESSAGES" / "messages.po"
    path.parent.mkdir(parents=True)
    lines = (
        *('msgid ""', 'msgstr "Language: de\\n"', '"Content-Type: text/plain; charset=utf-8\\n"', ""),
        *('msgid "Confirm your new address for %(title)s"', 'msgstr "Neue Adresse"', ""),
    )
    path.write_text("\n".join(lines), "utf-8")
    made.configure("language", "de")


PAGE = b'<html><head><link rel="alternate" type="application/rss+xml" href="/papers"></head><body>Owls</body></html>'


def second_server(made: Clinic) -> None:
    server = yaml.safe_load(made.path.read_text("utf-8"))["smtp"][0]
    made.configure("smtp", [server, server | {"password_file": "second.password"}])
    (made.folder / "second.password").write_text("another", "utf-8")
    (made.folder / "second.password").chmod(0o600)
    made.fill["PASSWORD"] = "open sesame"


def secret_gone(made: Clinic) -> None:
    """The links in what was sent need the secret of then, so a new one is no remedy."""
    has_sent(made)
    made.feed(entry(9, 9))
    made.fill["BACKUP"] = str((made.folder / "newsletter.secret").rename(made.folder / "backup.secret"))


def header_unset(made: Clinic) -> None:
    served("/papers")(made)
    made.configure("feeds.0.headers", {"Authorization": "Bearer ${CLINIC_TOKEN}"})


def of_another_program(made: Clinic) -> None:
    made.configure("store", "sqlite:///other.db")
    with closing(sqlite3.connect(made.folder / "other.db")) as other:
        other.execute("CREATE TABLE lists (id INTEGER)")


def password_is_a_folder(made: Clinic) -> None:
    (made.folder / "smtp.password").unlink()
    (made.folder / "smtp.password").mkdir()
    made.fill["PASSWORD"] = "open sesame"


DKIM_NAME = f"s2026._domainkey.{DOMAIN}"
SPF = f"{DOMAIN} has no SPF record"

FAULTS = (
    # Those of an operator's week.
    Fault(
        "wrong SMTP password",
        script(password="another"),
        BAD,
        "refused the login of digest: 535",
        fill={"PASSWORD": "another"},
    ),
    Fault("SMTP port closed", port_closed, BAD, "localhost:1: Connection refused", 75),
    Fault("feed gone", configured("feeds.0.url", "gone.json"), BAD, "gone.json", 75, {"URL": "papers.json"}),
    Fault(
        "bounce mailbox gone",
        configured("bounces.maildir", "Nowhere"),
        BAD,
        "bounces.maildir: ",
    ),
    Fault("SMTP certificate expired", expired, BAD, "certificate has expired"),
    Fault("SMTP certificate of another name", other_name, BAD, "certificate is not valid for 'localhost'"),
    Fault("no STARTTLS", script(tls=None), BAD, "does not offer STARTTLS"),
    Fault("secret world-readable", mode("newsletter.secret", 0o644), BAD, "secret_file can be read by others"),
    Fault("config world-readable", open_config, BAD, "secret can be read by others"),
    Fault("store of a newer schema", schema("r9999"), BAD, "made by a newer version of this program (schema r9999)"),
    Fault("corrupt store", corrupt, BAD, "damaged", 1),
    Fault("no votes where votes says", configured("feeds.0.votes", "foo:bar"), BAD, "foo:bar is in none of 3 entries"),
    Fault("unsubscribe link dropped", template("digest.html", EXTENDS + "{% endblock %}"), BAD, "no unsubscribe link"),
    Fault(
        "example's sender",
        configured("sender", "Daily Papers <digest@news.example.org>"),
        BAD,
        "sender is still the example's",
        fill={"NAME <ADDRESS@YOUR.DOMAIN>": f"Daily Papers <digest@{DOMAIN}>"},
    ),
    Fault("DKIM key missing", lambda made: (made.folder / "dkim.pem").unlink(), BAD, "dkim.private_key_file"),
    Fault("DKIM key of 1024 bits", weak_key, WARN, "has 1024 bits"),
    Fault("DKIM differs from DNS", records(DKIM_NAME, "TXT", "v=DKIM1; k=rsa; p=MIGf"), BAD, "holds another key"),
    Fault("no SPF", records(DOMAIN, "TXT", "some other text"), BAD, SPF, fill={"ADDRESS-OF-YOUR-SERVER": "192.0.2.25"}),
    Fault("no DMARC", records(f"_dmarc.{DOMAIN}", "TXT"), WARN, "has no DMARC record"),
    Fault("list_id elsewhere", configured("list_id", "a.example.com"), WARN, "list_id a.example.com is not below"),
    Fault("store folder unwritable", mode(".", 0o555), BAD, "has mode 0555", 1),
    Fault("store of mode 0444", mode("newsletter.db", 0o444), BAD, "newsletter.db has mode 0444", 1),
    Fault("store of 0 bytes", no_store, BAD, "newsletter.db has 0 bytes", 1),
    Fault("store locked", locked, BAD, "another process kept it locked", 75),
    Fault("store of an older schema", older, WARN, "has the schema 0009 of an older version"),
    Fault("feed stale", stale, BAD, "which is late for feeds.rhythm", 75),
    Fault("syntax error in confirm.html", template("confirm.html", "{% if moves %}"), BAD, "confirm.html:1: ", 1),
    Fault("unknown name in a page", template("web/home.html", "{{ subscribe_ulr }}"), BAD, "mean subscribe_url?", 1),
    Fault("misspelt file name", template("digst.html", "Hello"), WARN, "did you mean digest.html?"),
    Fault("postal address dropped", template("digest.html", EXTENDS + FOOTER), BAD, "lacks the postal address"),
    Fault("base_url broken", lambda made: setattr(made.web, "status", 502), BAD, "answers 502", 75),
    Fault("certificate of base_url expired", expired_page, BAD, "is refused: certificate has expired"),
    Fault("base_url http", configured("base_url", f"http://{DOMAIN}"), WARN, "is http: no mail program", others=78),
    Fault("time zone misspelt", configured("timezone", "Europe/Berln"), BAD, "no such time zone: 'Europe/Berln'"),
    Fault("no schedule", lambda made: (made.folder / "crontab").write_text(""), WARN, "no crontab and no timer"),
    Fault("clock wrong by an hour", lambda made: setattr(made.web, "ahead", 3600.0), BAD, "our clock is 60 min slow"),
    Fault("nobody subscribed", nobody, WARN, "nobody is subscribed"),
    Fault("SIZE below the mail", script(extensions=("SIZE 14000", "AUTH PLAIN")), BAD, "takes mails of 14,000 bytes"),
    Fault("server refuses our sender", sender_refused, BAD, "answers MAIL FROM digest@papers.example.net with: 553"),
    Fault("login needed and none set", no_login_set, BAD, "it wants a login"),
    Fault("canary not subscribed", configured("sending.canary", f"me@{DOMAIN}"), BAD, "is not subscribed"),
    Fault("secret replaced", secret_replaced, WARN, "was sent with another secret, which old_secrets does not have"),
    Fault("implicit TLS with starttls set", implicit_server, BAD, "waits for TLS at once"),
    Fault("STARTTLS with implicit set", configured("smtp.0.tls", "implicit"), BAD, "greets in clear"),
    # Our own.
    Fault("store older than what was sent", restored, BAD, "is older than what was sent", 1),
    Fault("unknown authority", unknown_authority, BAD, "certificate cannot be trusted"),
    Fault("one feed of two fails", two_feeds, WARN, "gone.json"),
    Fault("all papers filtered out", configured("issue.min_upvotes", 1000), WARN, "filtered-out: 3 papers"),
    Fault("filters leave nothing", configured("filters", {"include": ["zebra"]}), WARN, "filtered-out: 3 papers"),
    Fault("unknown key", configured("postal_adress", "x"), BAD, "postal_adress: unknown key; did you mean"),
    Fault("secret too short", lambda made: (made.folder / "newsletter.secret").write_text("abc"), BAD, "is too short"),
    Fault("secret not set", configured("secret_file", None), BAD, "secret is missing"),
    Fault(
        "variable not set",
        configured("alerts.address", "${CLINIC_OPERATOR}"),
        BAD,
        "variable CLINIC_OPERATOR is not set",
        fill={"VALUE": f"ops@{DOMAIN}"},
    ),
    Fault("DKIM revoked", records(DKIM_NAME, "TXT", "v=DKIM1; p="), BAD, "revoked"),
    Fault("two SPF records", records(DOMAIN, "TXT", "v=spf1 mx -all", "v=spf1 a ~all"), BAD, "has 2 SPF records"),
    Fault("SPF includes nothing", records(DOMAIN, "TXT", "v=spf1 include:no.example -all"), BAD, "include:no.example"),
    Fault("SPF for all", records(DOMAIN, "TXT", "v=spf1 mx +all"), WARN, "lets the whole world send"),
    Fault("DMARC without p", records(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; rua=mailto:a@b.example"), WARN, "valid p="),
    Fault("null MX", records(DOMAIN, "MX", "0 ."), BAD, "takes no mail (null MX)"),
    Fault("MX host without address", records(f"mail.{DOMAIN}", "A"), BAD, "has no address"),
    Fault("nobody is told", configured("alerts", {}), WARN, "alerts.address is not set"),
    Fault("nobody reads bounces", configured("bounces", None), WARN, "nobody reads bounces"),
    Fault("page of somebody else", lambda made: setattr(made.web, "page", "Parked."), WARN, "a page that is not ours"),
    Fault(
        "monitor's host unknown", monitor_elsewhere("http://monitor.invalid/ping/x"), WARN, "cannot be asked: Name or"
    ),
    Fault("monitor closed", monitor_elsewhere("http://127.0.0.1:1/ping/x"), WARN, "127.0.0.1:1 cannot be asked: Conn"),
    Fault("monitor knows no such check", check_unknown, WARN, "answers 404 to a ping's URL with /log"),
    Fault("webhook's host unknown", webhook_unknown, WARN, "alerts.webhook: chat.invalid cannot be asked"),
    Fault(
        "ping's variable not set",
        ping_unset,
        WARN,
        "variable CLINIC_PING is not set",
    ),
    Fault("page moved", page_moved, BAD, "/news: one-click unsubscribe fails at a redirect"),
    # From what operators of such programs report.
    Fault("name for EHLO refused", helo_refused, BAD, "need fully-qualified hostname"),
    Fault("feed moved", served("/old", old=says(301, b"", Location="/papers")), WARN, "/old has moved for good to"),
    Fault("feed behind a login", served("/locked", locked=wants_a_login), BAD, "HTTP 401", 75),
    Fault("two schedules", two_schedules, WARN, "run this list: the second finds the issue sent"),
    Fault("crontab that only rehearses", dry, WARN, "no crontab and no timer"),
    Fault("sender at a provider", configured("sender", "ada@gmail.com"), BAD, "receivers take that for forged"),
    Fault("limit below the readers", little_room, WARN, "lets 2 copies a day through, and 3 readers"),
    Fault("SPF with a misspelt mechanism", records(DOMAIN, "TXT", "v=spf1 ipv4:192.0.2.25 -all"), BAD, "at ipv4:"),
    Fault("SPF with = for :", records(DOMAIN, "TXT", "v=spf1 a include=a.example -all"), BAD, "at include=a.example"),
    Fault("DKIM record at a doubled name", key_moved_away, BAD, "has no DKIM record"),
    Fault("store is a folder", store_is_a_folder, BAD, "is a folder, and a store is a file"),
    Fault("bounce mailbox is a file", mailbox_is_a_file, BAD, "is no Maildir"),
    Fault("public half of the DKIM key", public_key, BAD, "not an unencrypted private key"),
    Fault(
        "page only in this network",
        configured("base_url", "https://10.0.0.7"),
        WARN,
        "of other readers fail",
        others=78,
    ),
    Fault("no sendmail program", sendmail_gone, BAD, "there is no program /nonexistent that this user may run"),
    Fault(
        "no program for summaries", configured("summary", {"command": ["/nonexistent"]}), WARN, "cards show excerpts"
    ),
    Fault("password where tokens are asked for", tokens_only, BAD, "offers no login but XOAUTH2; set auth: xoauth2"),
    Fault("helper for tokens fails", helper_fails, BAD, "token_command false: ended with exit code 1", 75),
    Fault("broken catalogue", catalogue, BAD, "messages.po:5: msgstr lacks the placeholder %(title)s"),
    Fault("a mail that axe would fault", template("digest.html", H4), WARN, "so a level is left out"),
    Fault("one mail server of two refuses", second_server, WARN, "; the other servers serve"),
    Fault("secret gone after an issue", secret_gone, BAD, "cannot read"),
    Fault("old secret's file gone", configured("old_secret_files", ["gone"]), BAD, "old_secret_files.0: cannot read"),
    Fault("header's variable not set", header_unset, BAD, "variable CLINIC_TOKEN is not set"),
    Fault(
        "web page that names its feed", served("/page", page=says(200, PAGE)), BAD, "; it names the feed http://", 75
    ),
    Fault("store of another program", of_another_program, BAD, "has the tables of another program"),
    Fault(
        "witness is a folder", lambda made: (made.folder / "newsletter.db.witness").mkdir(), BAD, "cannot be read", 1
    ),
    Fault("folder of the witness gone", configured("witness", "gone/witness"), WARN, "gone of the witness does not"),
    Fault("file that Docker has made a folder", password_is_a_folder, BAD, "smtp.password: Is a directory"),
    Fault("name in the digest", template("digest.html", "{{ tittle }}"), BAD, "there is no value tittle", 1),
)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_broken_at_once_every_fault_has_a_remedy_and_the_check_ends(sound: Clinic, seed: int) -> None:
    chosen = random.Random(seed).sample(FAULTS, 8)
    for fault in chosen:
        with suppress(LookupError, AssertionError, OSError, ValueError):  # what another fault took away
            fault.plant(sound)
    faults = sound.faults(deadline=20.0)
    assert faults, chosen
    assert [each for each in faults if "the check itself failed" in each.words] == []
    assert all(each.remedy is not None for each in faults)


FILL = {
    "YOUR@ADDRESS": f"ops@{DOMAIN}",
    "MAILDIR": "Maildir",
    "ADDRESS-OF-YOUR-MAIL-HOST": "192.0.2.25",
    "ADDRESS-OF-YOUR-SERVER": "192.0.2.25",
    "https://YOUR.DOMAIN": f"https://{DOMAIN}",
    "NAME <ADDRESS@YOUR.DOMAIN>": f"Daily Papers <digest@{DOMAIN}>",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_and_its_remedy_heals_it(sound: Clinic, fault: Fault) -> None:
    sound.fill |= FILL | fault.fill
    fault.plant(sound)
    faults = sound.faults()
    named = [each for each in faults if fault.words in each.words]
    assert len(named) == 1, faults
    assert (named[0].level, named[0].exit_code or 78) == (fault.level, fault.code), named
    assert exit_code(faults) == (fault.code if fault.level is BAD else fault.others), faults
    for _ in range(STEPS):
        for each in faults:
            sound.follow(each)
        if not (faults := sound.faults()):
            break
    assert faults == []
