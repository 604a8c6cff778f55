"""The doctor's parts: its rules on facts that no test can have, its ways to ask, and the command line."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import socketserver
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from newsletter.check import Finding, Level, Options, Probe, _guarded, examine, exit_code
from newsletter.check.database import Space, judge_room, judge_space
from newsletter.check.feeds import judge_feed, judge_move
from newsletter.check.names import Names, Unanswered
from newsletter.check.records import (
    Sending,
    dkim_findings,
    dmarc_findings,
    free_findings,
    mx_findings,
    ptr_findings,
    spf_findings,
)
from newsletter.check.remedies import credentials, remedy_for
from newsletter.check.settings import judge_domains, organisation
from newsletter.check.smtp import Asked, Reply, judge_reply
from newsletter.check.spf import Spf, judge, repaired, with_address
from newsletter.check.templates import _remedy as mend_template
from newsletter.check.timetable import _timers as timers
from newsletter.check.timetable import is_calendar, runs
from newsletter.check.values import Command, Context, Publish, Remedy, SetKey, ok
from newsletter.check.web import is_local, judge_clock
from newsletter.cli import main
from newsletter.config import FeedConfig, SmtpConfig
from newsletter.config.examine import examine as read
from newsletter.errors import FeedError, TransportMisconfigured, TransportUnavailable, Trouble
from newsletter.model import Mailbox, NoIssue, Publication, Verdict
from newsletter.replies import Stage
from newsletter.request import Answer
from newsletter.schedule import Job, units
from newsletter.store import Store
from newsletter.store.survey import StoreState, survey
from tests.clinic import DOMAIN, PROGRAM, Clinic, clinic, days_ago, entry, private_key
from tests.mailhost import MailHost
from tests.migrated import store_file
from tests.nameserver import NameServer, nameserver
from tests.serving import serving
from tests.smtpd import DRIP, Script, smtpd

GATEWAY = Sending(("192.0.2.25",), ours=True)


@pytest.fixture
def server() -> Iterator[NameServer]:
    with nameserver() as running:
        yield running


@pytest.fixture
def names(server: NameServer) -> Names:
    return Names(("127.0.0.1", server.port))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "dkim.pem"
    private_key(path)
    return path


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> Iterator[Clinic]:
    with clinic(tmp_path, monkeypatch, key) as made:
        yield made


def levels(found: Iterator[Finding]) -> list[Level]:
    return [each.level for each in found]


# --- DNS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", Spf.PASS),
        ("v=spf1 a:mail.relay.example -all", Spf.PASS),
        ("v=spf1 mx/28 ~all", Spf.PASS),
        ("v=spf1 include:relay.example -all", Spf.PASS),
        ("v=spf1 redirect=relay.example", Spf.PASS),
        ("v=spf1 -ip4:192.0.2.25 +all", Spf.FAIL),
        ("v=spf1 ip6:2001:db8::/32 ~all", Spf.SOFTFAIL),
        ("v=spf1 ?all", Spf.NEUTRAL),
        ("v=spf1 exists:%{i}.relay.example -all", Spf.UNKNOWN),
        ("v=spf1 ip4:192.0.2.300 -all", Spf.PERMERROR),
        ("v=spf1 ipv4:192.0.2.25 -all", Spf.PERMERROR),
        ("v=spf1 include:nothing.example -all", Spf.PERMERROR),
        ("v=spf1 include:a.example -all", Spf.PERMERROR),
        ("v=spf1 " + "a:other.example " * 11 + "-all", Spf.PERMERROR),
        ("v=spf1 a:http://mail.relay.example -all", Spf.PERMERROR),
        (
            "v=spf1 a:no1.example a:no2.example a:no3.example ip4:192.0.2.25 -all",
            Spf.PERMERROR,
        ),  # too many void look-ups
        ("other", Spf.NONE),
    ],
)
def test_spf_is_read_as_a_receiver_reads_it(server: NameServer, names: Names, record: str, result: Spf) -> None:
    server.records |= {
        ("a.example", "TXT"): [record],
        ("a.example", "MX"): ["10 mail.relay.example."],
        ("mail.relay.example", "A"): ["192.0.2.25" if "/28" not in record else "192.0.2.17"],
        ("relay.example", "TXT"): ["v=spf1 ip4:192.0.2.25 -all"],
    }
    address = "192.0.2.26" if "/28" in record else "192.0.2.25"
    assert judge(names, "a.example", address).result is result


@pytest.mark.parametrize(
    ("record", "sending", "level"),
    [
        ("v=spf1 ip4:198.51.100.1 -all", GATEWAY, Level.BAD),
        ("v=spf1 ip4:192.0.2.25 -all", GATEWAY, Level.OK),
        # A relay takes mail at one address and sends from another, which its include names.
        ("v=spf1 ip4:198.51.100.1 -all", Sending(("192.0.2.25",), ours=False), Level.WARN),
        ("v=spf1 include:relay.example -all", Sending(("192.0.2.25",), ours=False), Level.OK),
    ],
)
def test_the_address_that_sends_is_in_spf(
    server: NameServer, names: Names, record: str, sending: Sending, level: Level
) -> None:
    server.records |= {("a.example", "TXT"): [record], ("relay.example", "TXT"): ["v=spf1 ip4:203.0.113.0/24 -all"]}
    (found,) = spf_findings(names, "a.example", sending)
    assert found.level is level
    if found.remedy is not None:
        assert isinstance(found.remedy, Publish)
        assert found.remedy.text == "v=spf1 ip4:198.51.100.1 ip4:192.0.2.25 -all"
        server.records["a.example", "TXT"] = [found.remedy.text]
        assert levels(spf_findings(Names(("127.0.0.1", server.port)), "a.example", sending)) == [Level.OK]


@pytest.mark.parametrize(
    ("record", "term", "healed"),
    [
        ("v=spf1 mx ipv4:192.0.2.1 -all", "ipv4:192.0.2.1", "v=spf1 mx ip4:192.0.2.1 -all"),
        ("v=spf1 ~include=a.example -all", "~include=a.example", "v=spf1 ~include:a.example ip4:192.0.2.25 -all"),
        ("v=spf1 mx include:gone.example -all", "include:gone.example", "v=spf1 mx -all"),
        ("v=spf1 include:gone.example -all", "include:gone.example", "v=spf1 ip4:192.0.2.25 -all"),
        ("v=spf1 ip4:192.0.2.300 -all", "ip4:192.0.2.300", "v=spf1 ip4:192.0.2.25 -all"),
    ],
)
def test_a_record_is_repaired_so_that_somebody_may_still_send(record: str, term: str, healed: str) -> None:
    assert repaired(record, term, ["192.0.2.25"]) == healed


@pytest.mark.parametrize(
    ("domain", "hosts", "signed", "remedy"),
    [
        ("gmail.com", ["mail.a.example"], False, "sender"),
        ("gmail.com", ["smtp.gmail.com", "localhost"], False, "sender"),
        ("gmail.com", ["smtp.gmail.com"], False, None),
        ("outlook.com", ["smtp.office365.com"], True, "dkim"),
    ],
)
def test_a_sender_at_a_provider(domain: str, hosts: list[str], remedy: str | None, *, signed: bool) -> None:
    (found,) = free_findings(domain, hosts, signed=signed)
    assert getattr(found.remedy, "key", None) == remedy


@pytest.mark.parametrize(
    ("limits", "active", "value"),
    [([500], 500, None), ([500], 3_000, "3000"), ([500, None], 3_000, None), ([500, 300], 3_000, "2700")],
)
def test_a_limit_a_day_that_is_below_the_readers(limits: list[int | None], active: int, value: str | None) -> None:
    assert [getattr(each.remedy, "value", None) for each in judge_room(active, limits)] == ([value] if value else [])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *[("localhost", True), ("news", True), ("nas.lan", True), ("192.168.1.4", True), ("::1", True)],
        *[("papers.example.net", False), ("9.9.9.9", False)],
    ],
)
def test_hosts_that_only_this_network_knows(host: str, *, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (FeedError("HTTP 503 Service Unavailable (3 attempts)", status=503), Command("again")),
        (FeedError("HTTP 429 Too Many Requests", status=429), Command("again")),
        (FeedError("HTTP 404 Not Found", status=404), SetKey("feeds.1.url", "URL")),
        (FeedError("HTTP 401 Unauthorized", status=401), SetKey("feeds.1.headers", "{Authorization: LOGIN}")),
        (FeedError("a web page", named="http://a.example/rss"), SetKey("feeds.1.url", "http://a.example/rss")),
        (FeedError("the server says: HTTP 503 is what you get"), SetKey("feeds.1.url", "URL")),
    ],
)
def test_a_feed_that_fails_for_the_moment_is_asked_again(error: FeedError, remedy: Remedy) -> None:
    failed = NoIssue(Verdict.FEED_FAILED, f"http://a.example: {error}", error)
    (found,) = judge_feed(1, FeedConfig("http://a.example"), failed, Command("again"), only=True)
    assert found.remedy == remedy


def test_a_feed_that_is_asked_by_day_moves_with_its_day() -> None:
    feed, day = FeedConfig("http://a.example/day?date={date}"), date(2026, 11, 27)
    answer = Answer(301, b"", {"location": "https://a.example/day?date=2026-11-27"})
    (found,) = judge_move(2, feed, answer, day)
    assert found.remedy == SetKey("feeds.2.url", "https://a.example/day?date={date}")
    assert list(judge_move(2, feed, replace(answer, status=302), day)) == []


@pytest.mark.parametrize(
    ("record", "published"),
    [
        ("v=spf1;mx;-all", "v=spf1 mx -all"),
        ('"v=spf1 mx -all"', "v=spf1 mx -all"),
        (" V=SPF1 mx -all", "v=spf1 mx -all"),
        ("v=spf1 -all", "v=spf1 ip4:192.0.2.25 -all"),
        ("v=spf1 -all mx", "v=spf1 mx -all"),
    ],
)
def test_a_record_by_which_nobody_may_send(server: NameServer, names: Names, record: str, published: str) -> None:
    server.records |= {("a.example", "TXT"): [record], ("a.example", "MX"): ["10 a.example."]}
    (found,) = spf_findings(names, "a.example", GATEWAY)
    assert (found.level, found.remedy) == (Level.BAD, Publish("a.example", "TXT", published))


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ("v=DKIM1; k=rsa; p=QUJD", Level.OK),
        ("p=QUJD; h=sha1:sha256; s=email; t=s", Level.OK),
        ("v=DKIM2; k=rsa; p=QUJD", Level.BAD),
        ("k=rsa; h=sha1; p=QUJD", Level.BAD),
        ("k=rsa; s=tlsrpt; p=QUJD", Level.BAD),
        ("k=rsa; t=y:s; p=QUJD", Level.WARN),
    ],
)
def test_tags_for_which_a_verifier_ignores_a_key(server: NameServer, names: Names, record: str, level: Level) -> None:
    server.records["s._domainkey.a.example", "TXT"] = [record]
    assert levels(dkim_findings(names, [("s._domainkey.a.example", "v=DKIM1; k=rsa; p=QUJD")])) == [level]


def test_an_address_goes_before_the_end_of_a_record() -> None:
    assert with_address("v=spf1 mx redirect=b.example", "2001:db8::1") == "v=spf1 mx ip6:2001:db8::1 redirect=b.example"
    assert with_address("v=spf1 mx", "192.0.2.1") == "v=spf1 mx ip4:192.0.2.1"


def publication(sender: str, bounces: str = "", base_url: str | None = None, list_id: str = "") -> Publication:
    domain = sender.rpartition("@")[2]
    return Publication("Papers", Mailbox("", sender), bounces or sender, "A street", list_id or f"a.{domain}", base_url)


@pytest.mark.parametrize(
    ("record", "bounces", "signed", "level"),
    [
        ("v=DMARC1; p=reject", "b@returns.a.example", False, Level.OK),  # relaxed: of one organisation
        ("v=DMARC1; p=reject; aspf=s", "b@returns.a.example", False, Level.BAD),
        ("v=DMARC1; p=reject", "b@elsewhere.example", False, Level.BAD),
        ("v=DMARC1; p=none", "b@elsewhere.example", False, Level.WARN),
        ("v=DMARC1; p=reject", "b@elsewhere.example", True, Level.OK),  # DKIM signs with the domain of From
        ("v=dmarc1; p=reject", "b@news.a.example", True, Level.WARN),  # is none: the letters count
    ],
)
def test_alignment_with_from(
    server: NameServer, names: Names, record: str, bounces: str, *, signed: bool, level: Level
) -> None:
    server.records["_dmarc.a.example", "TXT"] = [record]
    (found,) = dmarc_findings(names, publication("d@news.a.example", bounces), signed=signed)
    assert found.level is level
    if isinstance(found.remedy, SetKey):
        assert found.remedy == SetKey("bounce_address", "d@news.a.example")


@pytest.mark.parametrize(
    ("uris", "mended"),
    [
        ("rua=dmarc@a.example", "rua=mailto:dmarc@a.example"),
        ("rua=mailto:d@a.example, e@b.example!10m", "rua=mailto:d@a.example,mailto:e@b.example!10m"),
        ("ruf=mailto//d@a.example; pct=100", "ruf=mailto:d@a.example; pct=100"),
        ("rua=https://reports.example/a", "rua=mailto:b@a.example"),
        ("rua=mailto:d@a.example; RUF=d@a.example", "rua=mailto:d@a.example; RUF=mailto:d@a.example"),
    ],
)
def test_reports_that_nobody_gets_are_told_and_the_record_mended(
    server: NameServer, names: Names, uris: str, mended: str
) -> None:
    for record, level in ((f"v=DMARC1; p=none; {uris}", Level.WARN), (f"v=DMARC1; p=none; {mended}", Level.OK)):
        server.records["_dmarc.a.example", "TXT"] = [record]
        (found,) = dmarc_findings(
            Names(("127.0.0.1", server.port)), publication("d@a.example", "b@a.example"), signed=True
        )
        assert found.level is level
        if level is Level.WARN:
            assert "names no mailto: address" in found.words
            assert found.remedy == Publish("_dmarc.a.example", "TXT", f"v=DMARC1; p=none; {mended}")


def test_a_record_with_an_unread_address_may_have_more_faults(server: NameServer, names: Names) -> None:
    server.records["_dmarc.a.example", "TXT"] = ["v=DMARC1; p=reject; rua=d@a.example"]
    found = dmarc_findings(names, publication("d@a.example", "b@elsewhere.example"), signed=False)
    assert [each.level for each in found] == [Level.WARN, Level.BAD]


def test_reverse_dns_leads_back(server: NameServer, names: Names) -> None:
    wanted: list[Publish] = []
    for _ in range(2):
        (found,) = ptr_findings(Names(("127.0.0.1", server.port)), GATEWAY)
        assert found.level is Level.BAD
        assert isinstance(found.remedy, Publish)
        wanted.append(found.remedy)
        text = found.remedy.text.replace("NAME-OF-YOUR-MAIL-HOST", "mail.a.example")
        server.records[found.remedy.name, found.remedy.type] = [text]
    assert [(each.name, each.type) for each in wanted] == [
        ("25.2.0.192.in-addr.arpa", "PTR"),
        ("mail.a.example", "A"),
    ]
    assert levels(ptr_findings(names, GATEWAY)) == [Level.OK]
    assert levels(ptr_findings(names, Sending(("192.0.2.25",), ours=False))) == []


def test_a_domain_without_mx_may_take_mail_at_its_address(server: NameServer, names: Names) -> None:
    assert levels(mx_findings(names, "a.example")) == [Level.BAD]
    server.records["b.example", "A"] = ["192.0.2.1"]
    assert levels(mx_findings(names, "b.example")) == [Level.OK]


@pytest.mark.parametrize(
    ("host", "address", "remedy"),
    [
        ("192.0.2.25.", "192.0.2.25", Publish("a.example", "MX", "10 mail.a.example.")),
        ("localhost.", "127.0.0.1", Publish("a.example", "MX", "10 mail.a.example.")),
        ("mx.a.example.", "192.168.1.5", Publish("mx.a.example", "A", "ADDRESS-OF-YOUR-MAIL-HOST")),
        ("mx.a.example.", "192.0.2.25", None),
    ],
)
def test_where_bounces_cannot_arrive(
    server: NameServer, names: Names, host: str, address: str, remedy: Publish | None
) -> None:
    server.records |= {("a.example", "MX"): [f"10 {host}"], (host.rstrip("."), "A"): [address]}
    (found,) = mx_findings(names, "a.example")
    assert found.remedy == remedy


def test_no_answer_says_nothing_of_a_record(server: NameServer) -> None:
    server.failing = True
    with pytest.raises(Unanswered, match=r"TXT of a\.example: "):
        Names(("127.0.0.1", server.port)).txt("a.example")


def test_without_dns_the_rest_is_looked_at(sound: Clinic) -> None:
    sound.names.failing = True
    faults = sound.faults()
    assert {each.subject for each in faults} == {"dns"}
    assert {each.level for each in faults} == {Level.WARN}
    assert all(str(each.remedy).endswith("check --resolver 9.9.9.9") for each in faults)


def test_long_records_are_shown_in_strings() -> None:
    shown = str(Publish("a.example", "TXT", "x" * 300))
    assert shown == f'publish: a.example. IN TXT "{"x" * 255}" "{"x" * 45}"'


# --- rules on facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "files", "found"),
    [(10**10, 10**6, []), (3 * 10**8, 10**6, [Level.WARN]), (10**7, 10**6, [Level.BAD]), (10**10, 5, [Level.BAD])],
)
def test_room_on_the_disk(free: int, files: int, found: list[Level]) -> None:
    assert levels(judge_space(Space(Path("/srv/papers"), free, files))) == found


@pytest.mark.parametrize(
    ("sender", "list_id", "base_url", "sent", "key"),
    [
        ("d@news.a.example", "daily.a.example", "https://a.example/news", True, None),
        ("d@news.a.co.uk", "daily.a.co.uk", "https://b.co.uk", False, "base_url"),
        ("d@b.example", "daily.a.example", "https://www.a.example", False, "sender"),
        ("d@b.example", "daily.a.example", None, False, "list_id"),
        ("d@b.example", "daily.a.example", None, True, "sender"),
        ("d@a.example", "daily.a.example", "http://127.0.0.1:8080", False, None),
    ],
)
def test_names_of_one_organisation(sender: str, list_id: str, base_url: str | None, *, sent: bool, key: str) -> None:
    found = list(judge_domains(publication(sender, "", base_url, list_id), sent=sent))
    assert [getattr(each.remedy, "key", None) for each in found] == ([key] if key else [])
    assert organisation("x.y.a.example") == "a.example"


def test_one_wrong_clock_among_three_is_not_ours() -> None:
    assert levels(judge_clock({"a": 2.0, "b": 4_000.0, "c": -3.0})) == [Level.OK]
    assert levels(judge_clock({"a": 300.0})) == [Level.WARN]
    (found,) = judge_clock({"a": -3_600.0, "b": -3_601.0})
    assert (found.level, found.words) == (Level.BAD, "our clock is 60 min fast, say a, b")


RELAY = SmtpConfig("mail.example.org", 587, username="me@a.example")


@pytest.mark.parametrize(
    ("stage", "reply", "server", "key", "code"),
    [
        (Stage.RCPT, Reply(450, "4.2.0 greylisted, try again later"), RELAY, None, 0),
        (Stage.RCPT, Reply(550, "5.1.1 no such user"), RELAY, "alerts.address", 0),
        (Stage.RCPT, Reply(554, "5.7.1 relay access denied"), SmtpConfig(), "smtp.0.username", 78),
        (Stage.MAIL, Reply(530, "5.7.0 must issue a STARTTLS command first"), SmtpConfig(), "smtp.0.username", 78),
        (Stage.MAIL, Reply(553, "5.7.1 not owned by user"), RELAY, "bounce_address", 78),
        (Stage.MAIL, Reply(0, "the server closed the connection"), RELAY, "smtp.0.host", 75),
        (Stage.MAIL, Reply(550, "5.4.5 Daily user sending limit exceeded"), RELAY, "smtp.0.per_day", 75),
        (Stage.RCPT, Reply(504, "5.5.2 <news>: Helo command rejected"), RELAY, "smtp.0.helo", 78),
    ],
)
def test_what_a_reply_asks_of_the_operator(
    stage: Stage, reply: Reply, server: SmtpConfig, key: str | None, code: int
) -> None:
    found = list(judge_reply(Asked("smtp.0", server, stage, "ops@a.example", "alerts.address"), reply))
    assert [getattr(each.remedy, "key", None) for each in found] == ([key] if key else [])
    assert exit_code(found) == code
    if key == "bounce_address":
        assert found[0].remedy == SetKey("bounce_address", "me@a.example")


# --- config.yaml with mistakes ---------------------------------------------------------------------------------------


@pytest.mark.system  # the schedule is looked at by a program
def test_every_mistake_is_told_at_once_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "sender: nobody\npostal_address: A street\nlist_id: a.example.net\ntimezone: Europe/Berln\n"
        "smtp:\n  - {host: a, prot: 3, port: 99999, tls: implict}\nfeeds:\n  - {votes: x}\nbounces: {maildir: M}\n",
        "utf-8",
    )
    found = read(path)
    assert [error.key for error in found.errors] == [
        *("sender", "timezone", "smtp.0.prot", "smtp.0.port", "smtp.0.tls", "feeds.0.url"),
    ]
    assert found.faulty == {"sender", "timezone", "smtp", "feeds"}
    assert found.config is not None
    assert found.config.bounces.maildir == tmp_path / "M"
    assert (found.written("smtp.0.tls"), found.written("smtp.1.tls"), found.written("smtp")) == ("implict", None, None)
    remedies = [
        each.remedy
        for each in examine(path, Options(offline=True))
        if f"{path}:" in each.words and each.subject == "config"
    ]
    assert remedies == [
        SetKey("sender", "NAME <ADDRESS@YOUR.DOMAIN>"),
        SetKey("timezone", "Europe/Berlin"),
        Command(f"sed -i '6s/prot/port/' {path}"),
        SetKey("smtp.0.port", "25"),
        SetKey("smtp.0.tls", "implicit"),
        SetKey("feeds.0.url", "URL"),
    ]


WRITTEN = """\
sender: Owls <d@a.example.net>
postal_address: A street
list_id: daily.a.example.net
feeds:
- url: papers.json
secret: a long secret for links
"""


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ("", "smtp:\n- host: localhost\nsmtp:\n- host: b\n  # on\n  port: 25\n\nlanguage: en\n", "sed -i '9,12d' "),
        ("", "mailing:\n  text: |\n    a\n\n    b\n# later\ntimezone: UTC\n", "sed -i '7,11d' "),
        ("", "time/zone: UTC\n", r"sed -i '7s/time\/zone/timezone/' "),
        ("", "tit'le: Owls\n", r"sed -i '7s/tit'\''le/title/' "),
        ("", "summary: {command: [cat], nonsense: 3}\n", "${EDITOR:-vi} +7 "),
        ("feeds:\n- url: papers.json", "feeds:\n  url: papers.json", "sed -i '5s/  /- /' "),
        ("", "smtp: []\n", "smtp: [{}]"),
        ("", "smtp: [{host: 'smtp://mail.a.example:587/'}]\n", "smtp.0.host: mail.a.example"),
        ("", "smtp: [{host: '[2001:db8::1]:25'}]\n", "smtp.0.host: 2001:db8::1"),
        ("", "smtp: [{tls: ssl}]\n", "smtp.0.tls: implicit"),
        ("", "smtp: [{tls: yes}]\n", "smtp.0.tls: starttls"),
        ("", "base_url: a.example.net/news\n", "base_url: https://a.example.net/news"),
        ("", "base_url: https://me:t0p@a.example.net\n", "base_url: https://YOUR.DOMAIN"),
        ("", "base_url: https://a.example.net:web\n", "base_url: https://YOUR.DOMAIN"),
        ("", "base_url: 'https://[a'\n", "base_url: https://YOUR.DOMAIN"),
        ("daily.a.example.net", "<daily@a.example.net>", "list_id: daily.a.example.net"),
        ("papers.json", "feed:https://a.example/rss", "feeds.0.url: https://a.example/rss"),
        ("papers.json", "a.example/rss", "feeds.0.url: https://a.example/rss"),
        ("papers.json", "https://a.example/{day}", "feeds.0.url: https://a.example/{date}"),
        ("", "store: papers.db\n", "store: sqlite:///papers.db"),
        ("", "store: sqlite://papers.db\n", "store: sqlite:///papers.db"),
        ("", "store: 'sqlite:///:memory:'\n", "store: sqlite:///newsletter.db"),
        ("", "store: postgresql+asyncpg://a:b@c/d\n", "store: postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("", "store: postgresql://a:b@t0p@c/d\n", "store: postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("", "timezone: europe/berlin\n", "timezone: Europe/Berlin"),
        ("", "timezone: new york\n", "timezone: America/New_York"),
        ("", "timezone: CEST\n", "timezone: AREA/CITY"),
        ("", "timezone: UTC+1\n", "timezone: AREA/CITY"),
        ("", "language: german\n", "language: de"),
        ("", "dkim: [{selector: s1._domainkey, private_key_file: k}]\n", "dkim.0.selector: s1"),
        ("", "alerts: {ping: 'https://a.example', summary: true}\n", "alerts.address: YOUR@ADDRESS"),
        ("", "alerts: {webhook_secret: 0123456789abcdef}\n", "alerts.webhook: URL"),
        ("", "templates: papers.json\n", "templates: null"),
        ("", "templates: minne\n", "templates: mine"),
    ],
)
def test_what_is_wrong_in_a_file_is_mended_and_nothing_else_is_lost(
    tmp_path: Path, old: str, new: str, remedy: str
) -> None:
    text = WRITTEN.replace(old, new) if old else WRITTEN + new
    said, found = mended(tmp_path, text.encode())
    assert remedy in str(found), found
    assert "t0p" not in said  # a part of a password


@pytest.mark.parametrize(("charset", "converts"), [("latin-1", "iconv -f WINDOWS-1252"), ("utf-16", "iconv -f UTF-16")])
def test_a_file_in_another_charset_is_converted(tmp_path: Path, charset: str, converts: str) -> None:
    said, found = mended(tmp_path, WRITTEN.replace("Owls", "Käuze").encode(charset))
    assert "config.yaml:1: is not UTF-8 text" in said
    assert converts in str(found)


def mended(folder: Path, content: bytes) -> tuple[str, Remedy]:
    """The one mistake in a file, and its remedy, which is carried out if it is a command that asks nobody."""
    path = folder / "config.yaml"
    (folder / "papers.json").write_text("[]")
    (folder / "mine").mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    (error,) = read(path).errors
    found = remedy_for(path, error)
    if isinstance(found, Command) and "EDITOR" not in found.line:
        subprocess.run(["sh", "-c", found.line], check=True)
        again = read(path)
        assert again.errors == ()
        assert again.config is not None
        assert again.config.publication.postal_address == "A street"
        assert path.stat().st_mode & 0o777 == 0o600
    return str(error), found


@pytest.mark.system
@pytest.mark.parametrize("text", ["", "a: [b", "- a\n- b\n", "just words", "\x00\x01", "a: &a [*a]", "smtp: {}\n"])
def test_a_file_that_is_no_configuration_ends_with_a_finding(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    found = list(examine(path, Options(offline=True)))
    assert found[0].level is Level.BAD
    assert exit_code(found) == 78
    path.unlink()
    (missing,) = examine(path, Options(offline=True))
    assert missing.remedy == Command(f"newsletter init {tmp_path}")


# --- schedule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0 7 * * * /usr/bin/newsletter -c /srv/a/config.yaml run >> /srv/a/log", True),
        ("ExecStart=/usr/bin/python -m newsletter -c /srv/a/config.yaml run --period week", True),
        ("#0 7 * * * /usr/bin/newsletter -c /srv/a/config.yaml run", False),
        ("0 7 * * * /usr/bin/newsletter -c /srv/a/config.yaml send", False),
        ("0 7 * * * /usr/bin/newsletter -c /srv/a/config.yaml run --dry-run", False),
        ("0 7 * * * /usr/bin/newsletter -c /srv/b/config.yaml run", False),
        ("0 7 * * * /usr/bin/newsletter -c /srv/a/config.yaml.old run", False),
        ("0 7 * * * cd /srv/a && newsletter run >> log", True),
        ("0 7 * * * cd '/srv/a/'; newsletter -c ./config.yaml run", True),
        ("0 7 * * * cd /srv/a && newsletter -c other.yaml run", False),
        ("0 7 * * * cd /srv/b && newsletter run", False),
    ],
)
def test_a_line_that_runs_this_list(line: str, *, found: bool) -> None:
    assert runs(f"# newsletter /srv/a/config.yaml: begin\n{line}\n", Path("/srv/a/config.yaml")) is found


@pytest.mark.parametrize(
    ("line", "said", "healed"),
    [
        (
            "newsletter -c F run >> log-$(date +%Y-%m)",
            "cron ends a command at %",
            r"newsletter -c F run >> log-$(date +\%Y-\%m)",
        ),
        ("/gone/bin/newsletter -c F run", "there is no program /gone/bin/newsletter", "PROGRAM -c F run"),
        ("/gone/python3.9 -m newsletter -c F run", "there is no program /gone/python3.9", "PROGRAM -c F run"),
    ],
)
def test_a_crontab_that_runs_in_vain(sound: Clinic, line: str, said: str, healed: str) -> None:
    crontab = sound.folder / "crontab"
    crontab.write_text(f"MAILTO=me@a.example\n0 7 * * * {line}\n".replace("F", str(sound.path)))
    _, found = examine(sound.path, Options(True, program=PROGRAM), subjects={"schedule"})
    assert said in found.words
    sound.follow(found)
    words = healed.replace("F", str(sound.path)).replace("PROGRAM", " ".join(PROGRAM))
    assert crontab.read_text() == f"MAILTO=me@a.example\n0 7 * * * {words}\n"


@pytest.mark.parametrize(
    ("service", "timer", "linger", "said"),
    [
        ("[Service]\nWorkingDirectory=F\nExecStart=newsletter run\n", "", "Linger=yes", ""),
        (
            "[Service]\nWorkingDirectory=F\nExecStart=newsletter run\n",
            "",
            "Linger=no",
            "does not run while you are logged out",
        ),
        (
            "[Service]\nExecStart=/gone/newsletter -c F/config.yaml run\n",
            "",
            "",
            "there is no program /gone/newsletter",
        ),
        ("[Service]\nExecStart=newsletter -c F/config.yaml run\n", "/dev/null", "", "is masked"),
    ],
)
def test_a_timer_that_runs_in_vain(sound: Clinic, service: str, timer: str, linger: str, said: str) -> None:
    (sound.folder / "crontab").write_text("")
    (sound.folder / "bin" / "loginctl").write_text(f"#!/bin/sh\necho {linger}\n")
    (sound.folder / "bin" / "loginctl").chmod(0o755)
    units = sound.folder / ".config/systemd/user"
    (units / "timers.target.wants").mkdir(parents=True)
    (units / "owls.service").write_text(service.replace("F", str(sound.folder)))
    (units / "owls.timer").symlink_to(timer) if timer else (units / "owls.timer").write_text("[Timer]\n")
    (units / "timers.target.wants" / "owls.timer").symlink_to(units / "owls.timer")
    _, found = examine(sound.path, Options(True, program=PROGRAM), subjects={"schedule"})
    assert (found.level, said in found.words) == (Level.WARN if said else Level.OK, True)


def test_the_units_of_schedule_are_known_whatever_their_path(sound: Clinic) -> None:
    (sound.folder / "crontab").write_text("")
    folder = sound.folder / ".config/systemd/user"
    odd = sound.folder / 'my "own" 100% $HOME' / "config.yaml"
    odd.parent.mkdir()
    job = Job(("/usr/bin/newsletter",), odd, time(7), ZoneInfo("UTC"), list_id="odd.example.org")
    folder.mkdir(parents=True)
    for name, text in units(job, system=False).items():
        (folder / name).write_text(text)
    (found,) = timers(odd)
    assert (found.where, found.active) == (str(folder / "newsletter-odd.example.org.timer"), False)
    assert list(timers(sound.path)) == []


def test_a_timer_counts_once_it_is_enabled_and_its_name_does_not_matter(sound: Clinic) -> None:
    (sound.folder / "crontab").write_text("")
    units = sound.folder / ".config/systemd/user"
    (units / "timers.target.wants").mkdir(parents=True)
    (units / "papers-daily.service").write_text(f"[Service]\nExecStart=newsletter -c {sound.path} run\n")
    (units / "papers-daily.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (found,) = sound.faults(offline=True)
    assert found.remedy == Command("systemctl --user enable --now papers-daily.timer")
    sound.follow(found)
    assert (sound.folder / "systemctl").read_text() == "--user enable --now papers-daily.timer\n"
    (units / "timers.target.wants" / "papers-daily.timer").symlink_to(units / "papers-daily.timer")  # as systemctl does
    assert sound.faults(offline=True) == []


@pytest.mark.parametrize(
    "value", ["*-*-* 25:00:00", "*-*-* 07:60", "*-*-* 07:00:00 Europe/Berln", "*-*-* 7:00:61 Europe/Berlin"]
)
def test_a_timer_without_a_time_that_systemd_knows_is_told(sound: Clinic, value: str) -> None:
    (sound.folder / "crontab").write_text("")
    units = sound.folder / ".config/systemd/user"
    (units / "timers.target.wants").mkdir(parents=True)
    (units / "papers.service").write_text(f"[Service]\nExecStart=newsletter -c {sound.path} run\n")
    timer = units / "papers.timer"
    timer.write_text(f"[Timer]\n# OnCalendar=at eight\nOnCalendar={value}\nPersistent=true\n")
    (units / "timers.target.wants" / "papers.timer").symlink_to(timer)
    (found,) = sound.faults(offline=True)
    assert f"systemd ignores OnCalendar={value}" in found.words
    sound.follow(found)
    assert timer.read_text() == "[Timer]\n# OnCalendar=at eight\nOnCalendar=*-*-* 07:00:00\nPersistent=true\n"
    assert (sound.folder / "systemctl").read_text() == "--user daemon-reload\n"
    assert sound.faults(offline=True) == []


@pytest.mark.system
@pytest.mark.parametrize("analyze", ["systemd-analyze", None])
@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("*-*-* 07:00:00 Europe/Berlin", True),
        ("*:5/15", True),
        ("Mon..Fri 07:30", True),
        ("daily", True),
        ("*-*-* 24:00", False),
        ("*-*-* 07:00 Europe/Nowhere", False),
    ],
)
def test_a_calendar_event_is_judged_with_and_without_systemd(value: str, analyze: str | None, *, valid: bool) -> None:
    program = analyze and shutil.which(analyze)
    assert is_calendar(value, program) is valid


@pytest.mark.system
def test_what_only_systemd_can_judge_is_left_alone_without_it() -> None:
    assert is_calendar("at eight", None)
    assert is_calendar("at eight", "/nonexistent/systemd-analyze")
    assert is_calendar("at eight", "/bin/false")  # a program that does not know `calendar`


# --- the issue -------------------------------------------------------------------------------------------------------


def test_the_issue_is_judged_on_the_newest_day_that_has_papers(sound: Clinic) -> None:
    sound.configure("feeds.0.url", "papers-{date}.json")
    for age in range(8):
        sound.feed(name=f"papers-{days_ago(age)}.json")
    working = next(days_ago(age) for age in range(2, 6) if days_ago(age).weekday() < 5)
    sound.feed(entry(1, 4), name=f"papers-{working}.json")
    words = [each.words for each in sound.findings(offline=True) if each.subject == "feeds"]
    assert words == [f"1 paper for {working}, and the mail passes its lint"]
    asked = [
        each.words for each in sound.findings(offline=True, day=lambda today: days_ago(7)) if "feeds" in each.subject
    ]
    assert asked[0].startswith(f"no papers for {days_ago(7)}: ")


def test_an_issue_that_was_sent_today_is_no_fault(sound: Clinic) -> None:
    assert sound.run("run").returncode == 0
    assert sound.faults() == []


# --- another account -------------------------------------------------------------------------------------------------

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """This process without its rights. What it has not imported before it may not find."""
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.system  # crontab is asked
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files that another account may not open")
def test_what_a_command_made_as_root_goes_back_to_the_account_that_runs_the_list(key: Path) -> None:
    """Nothing that cannot be read is replaced: the secret and the store are still good."""
    with tempfile.TemporaryDirectory() as home:
        path, closed = Path(home) / "config.yaml", ("s.key", "dkim.pem", "n.db.lock", "n.db.queue", "papers.json")
        rest = "dkim: [{selector: s1, private_key_file: dkim.pem}]\ntemplates: mine\nbounces: {maildir: M}\n"
        path.write_text(WRITTEN.replace("secret: a", "secret_file: s.key\nstore: sqlite:///n.db\n#") + rest)
        for name in closed:
            (path.parent / name).write_bytes(key.read_bytes() if name == "dkim.pem" else b"[]")
        for name in ("mine", "M/cur", "M/new"):
            (path.parent / name).mkdir(parents=True)
        Store.open(store_file(path.parent / "n.db")).close()
        assert list(examine(path, Options(offline=True)))  # imports what it needs
        for each in (path.parent, *path.parent.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
        for name in (*closed, "mine", "M/cur"):
            os.chown(path.parent / name, 0, 0)
            (path.parent / name).chmod(0o700)
        owner = pwd.getpwuid(NOBODY).pw_name
        with as_nobody():
            found = {str(each.remedy) for each in examine(path, Options(offline=True)) if each.exit_code}
        assert found == {
            *(f"run: sudo chown {owner} {path.parent / name}" for name in closed),
            *(f"run: sudo chown -R {owner} {path.parent / name}" for name in ("mine", "M")),
        }
        os.chown(path, 0, 0)
        path.chmod(0o600)
        with as_nobody():
            (refused,) = examine(path, Options(offline=True))
        assert str(refused.remedy) == f"run: sudo chown {owner} {path}"


# --- servers that are none -------------------------------------------------------------------------------------------


def test_whatever_a_server_says_the_check_ends_with_a_finding(sound: Clinic) -> None:
    with smtpd(Script(replies={"MAIL": [DRIP]})) as slow, smtpd(Script(replies={"MAIL": ["what?"]})) as strange:
        sound.configure("smtp", [{"host": "127.0.0.1", "port": slow.port, "timeout": 2}])
        (found,) = sound.faults(deadline=1.0)
        assert (found.subject, found.exit_code) == ("smtp", 75)
        assert found.words.startswith("no end after 1 s")
        sound.configure("smtp", [{"host": "127.0.0.1", "port": strange.port, "timeout": 2}])
        (found,) = sound.faults()
        assert (found.words.endswith("with: no SMTP reply: what?"), found.exit_code) == (True, 75)


@contextmanager
def babbler(words: bytes) -> Iterator[int]:
    """A server that says `words` to everybody, whatever they speak; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(words)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield int(server.server_address[1])


@pytest.mark.parametrize(
    "words", [bytes(range(256)), b"HTTP/1.1 308 \xff\r\nLocation: http://[\xfe\r\nDate: Tue, 99 Foo 9999\r\n\r\n"]
)
def test_servers_that_answer_rubbish_are_findings(sound: Clinic, words: bytes) -> None:
    with babbler(words) as port:
        place = f"127.0.0.1:{port}"
        login = {"host": "127.0.0.1", "port": port, "timeout": 2, "username": "a", "password": "b", "tls": "none"}
        sound.configure("smtp", [login, login | {"tls": "implicit"}])
        sound.configure("bounces", {"imap": login})
        sound.configure("feeds.0.url", f"http://{place}/feed")
        sound.configure("fetch", {"attempts": 1})
        sound.configure("base_url", f"http://{place}")
        sound.configure("alerts", {"ping": f"http://{place}/ping", "webhook": f"http://{place}/hook"})
        faults = sound.faults()
    assert {"smtp", "bounces", "feeds", "web", "alerts"} <= {each.subject for each in faults}
    assert [each.words for each in faults if "the check itself failed" in each.words] == []


def test_nobody_is_asked_with_offline(sound: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise AssertionError(f"asked {words}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    sound.configure("feeds", [{"url": "https://huggingface.co/api/daily_papers?date={date}"}])
    sound.configure("bounces", {"imap": {"host": "imap.example.org", "username": "a", "password": "${NOT_SET}"}})
    assert sound.faults(offline=True) == []
    assert sound.names.questions == []
    assert sound.server.connections == 0


def test_an_error_that_nobody_foresaw_is_a_finding_and_the_others_go_on(sound: Clinic) -> None:
    def broken(context: Context) -> Iterator[Finding]:
        yield ok("feeds", "one is well")
        raise KeyError("a fault of ours")

    first, second = _guarded(Probe("feeds", broken), context_of(sound))
    assert (first.level, second.level, second.exit_code) == (Level.OK, Level.BAD, 1)
    assert second.words.startswith("the check itself failed (KeyError: ")


def context_of(sound: Clinic) -> Context:
    config = read(sound.path).config
    assert config is not None
    return Context(sound.path, config, Options(offline=True), Names())


def test_a_built_in_template_is_never_put_aside(sound: Clinic) -> None:
    context = context_of(sound)
    own = replace(context, config=replace(context.config, templates=sound.folder / "mine"))
    built_in = replace(context, config=replace(context.config, templates=None))
    assert str(mend_template(own, "digest.html")).startswith("run: mv ")
    assert str(mend_template(built_in, "digest.html")).endswith(" preview")


def test_a_real_mail_host_is_judged_too(sound: Clinic, host: MailHost) -> None:
    """Postfix and Dovecot: a recipient at a strange domain, a wrong IMAP password, and STARTTLS on its own port."""
    sound.configure("smtp", [{"host": "127.0.0.1", "port": host.smtp_port}])
    sound.configure("sender", "digest@dest.test")
    sound.configure("list_id", "daily.dest.test")
    sound.configure("base_url", None)
    sound.configure("dkim", None)
    sound.configure("alerts.address", "alice@dest.test")
    imap = {"host": "localhost", "port": host.imap_port, "tls": "implicit", "username": "bounces@dest.test"}
    authority = str(host.folder / "authority.pem")
    sound.configure("bounces", {"imap": imap | {"password": "wrong", "ca_file": authority}})
    sound.names.records |= {
        ("dest.test", "TXT"): ["v=spf1 a -all"],
        ("dest.test", "A"): ["192.0.2.25"],
        ("_dmarc.dest.test", "TXT"): ["v=DMARC1; p=none"],
    }
    sound.fill["PASSWORD"] = "secret"
    said = []
    for _ in range(3):
        faults = sound.faults()
        said += [each.words for each in faults]
        for each in faults:
            sound.follow(each)
    assert len(said) == 2, said
    assert "greets in clear, and bounces.imap.tls is implicit" in said[0]
    assert "refused the login of bounces@dest.test: " in said[1]
    assert "b'" not in said[1]


def test_a_store_is_surveyed_and_nothing_is_made(empty_database_url: str, tmp_path: Path) -> None:
    before = survey(empty_database_url, busy_timeout=1.0).state
    assert before is (StoreState.ABSENT if empty_database_url.startswith("sqlite") else StoreState.UNUSED)
    assert list(tmp_path.iterdir()) == []
    Store.open(empty_database_url).close()
    assert survey(empty_database_url, busy_timeout=1.0).state is StoreState.CURRENT


# --- the command -----------------------------------------------------------------------------------------------------


def called(sound: Clinic, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(sound.path), "check", *words])
    return int(ended.value.code or 0), capsys.readouterr().out


def test_the_command_prints_what_to_do_and_counts(sound: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = called(sound, capsys, "--offline")
    assert (code, out.splitlines()[-1][:12]) == (0, "All is well:")
    assert f"s2026._domainkey.{DOMAIN}. IN TXT " in out
    sound.configure("timezone", "Europe/Berln")
    code, out = called(sound, capsys, "--resolver", f"127.0.0.1:{sound.names.port}")
    assert code == 78
    assert "-> set: timezone: Europe/Berlin\n" in out
    assert out.splitlines()[-1].startswith("1 BAD, 0 warn, ")


def test_json_has_the_documented_shape(sound: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    sound.configure("sending", {"canary": "me@a.example"})
    code, out = called(sound, capsys, "--offline", "--json")
    told: dict[str, Any] = json.loads(out)
    assert told["exit_code"] == code == 78
    assert all(set(each) == {"subject", "level", "words", "remedy", "exit_code"} for each in told["findings"])
    assert {each["level"] for each in told["findings"]} == {"ok", "bad"}
    (found,) = [each for each in told["findings"] if each["level"] == "bad"]
    assert found["remedy"]["kind"] == "command"
    assert found["remedy"]["text"].endswith(" subscribers add me@a.example")


@pytest.mark.parametrize("resolver", ["", ":53", "a b", "9.9.9.9:0", "9.9.9.9:99999", "[::1"])
def test_a_resolver_that_is_none_is_wrong_usage(
    sound: Clinic, capsys: pytest.CaptureFixture[str], resolver: str
) -> None:
    assert called(sound, capsys, "--resolver", resolver)[0] == 2


def test_one_real_copy_is_sent_outside_the_ledger(sound: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = called(sound, capsys, "--to", "me@a.example")
    assert (code, " was sent to me@a.example as a test, outside the ledger: 250" in " ".join(out.split())) == (0, True)
    (message,) = sound.server.messages
    received = message_from_bytes(message, EmailMessage, policy=default)
    assert received["Subject"].startswith("[Test] ")
    assert "DKIM-Signature" in received
    parts = [received.get_body((kind,)) for kind in ("plain", "html")]
    assert all("This is a test copy" in part.get_content() for part in parts if part is not None)
    assert None not in parts
    with Store.open(f"sqlite:///{sound.store}") as store:
        assert store.latest_issue() is None
        assert store.runs(10) == []
    assert sound.run("run").returncode == 0
    sent = len(sound.server.messages)
    code, out = called(sound, capsys, "--to", "me@a.example")
    assert (code, "the issue of " in out, len(sound.server.messages)) == (0, True, sent + 1)
    sound.server.script.recipients["me@a.example"] = "550 5.1.1 no such user"
    code, out = called(sound, capsys, "--to", "me@a.example")
    assert (code, "550 5.1.1 no such user" in out) == (75, True)
    assert called(sound, capsys, "--to", "nobody")[0] == 2
    assert called(sound, capsys, "--offline", "--to", "me@a.example")[0] == 2


def refused(code: int, words: str = "") -> TransportUnavailable:
    """The error for a login that a server refuses."""
    return TransportMisconfigured(f"x:25 refused the login of me: {code} {words}", Trouble.LOGIN, code=code)


@pytest.mark.parametrize(
    ("source", "error", "remedy"),
    [
        ({"token_file": "t"}, refused(535), "printf '%s\\n' 'TOKEN' > "),
        (
            {"token_command": "helper"},
            TransportUnavailable("token_command helper: ended with exit code 1", Trouble.CREDENTIALS),
            "smtp.0.token_command: [COMMAND]",
        ),
        ({}, refused(535, "5.7.139 basic authentication is disabled"), "smtp.0.auth: xoauth2"),
        ({}, refused(538, "5.7.11 Encryption required"), "smtp.0.tls: starttls"),
        (
            {"token_refresh": {"provider": "google", "client_id": "c", "refresh_token_file": "r"}},
            TransportMisconfigured("oauth2.googleapis.com gives no access token: invalid_grant", Trouble.CREDENTIALS),
            "printf '%s\\n' 'REFRESH-TOKEN' > ",
        ),
        (
            {"token_file": "t"},
            TransportMisconfigured("x:25", Trouble.NO_LOGIN, auth="password"),
            "smtp.0.auth: password",
        ),
        ({}, TransportMisconfigured("x:25 offers no login", Trouble.NO_LOGIN), "smtp.0.username: null"),
        ({}, TransportMisconfigured("x:25", Trouble.CREDENTIALS, variable="SMTP_PASSWORD"), "export SMTP_PASSWORD="),
    ],
)
def test_a_login_by_token_has_a_remedy_of_its_own(
    sound: Clinic, source: dict[str, object], error: TransportUnavailable, remedy: str
) -> None:
    login = {"auth": "xoauth2", **source} if source else {"password": "word"}
    sound.configure("smtp", [{"host": "localhost", "username": "me", **login}])
    context = context_of(sound)
    context.written = read(context.path).written
    assert remedy in str(credentials(context, "smtp.0", error))
