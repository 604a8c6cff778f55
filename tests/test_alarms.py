"""Whether somebody hears of it: pings, webhook, summary, `status --check`, `/healthz` and the lines of the log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from newsletter import health
from newsletter.alert import ping as pings
from newsletter.alert import summary, webhook
from newsletter.alert.ping import Ping, ping_for
from newsletter.cli.run import reported
from newsletter.config import Pings, Secret, load
from newsletter.config.pings import beside
from newsletter.errors import ConfigError
from newsletter.health import Facts, findings
from newsletter.model import Outcome, OutcomeKind, RenderedIssue, Result, RunReport, State, Verdict
from newsletter.request import Unanswered, request
from newsletter.runtime import Runtime
from newsletter.store import Notice, Rate, RunRecord, Store
from tests import program
from tests.conftest import PUBLICATION, ROOT
from tests.fakes import ACCEPTED, REFUSED, FakeClock
from tests.inbox import Inbox
from tests.migrated import store_file
from tests.monitor import Monitor
from tests.pages import Server
from tests.pages import Site as Pages
from tests.test_cli import DAY, Site, inbox

__all__ = ["inbox"]  # a fixture

SECRET = "0c1d5b5e-7a0f-4a57-9a6e-5a3f1c0d9e11"  # stands in the path of a ping URL, as at healthchecks.io


@pytest.fixture
def site(tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> Site:
    made = Site(tmp_path, inbox.port, capsys)
    made.form = "auto"
    return made


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alerts(monitor: Monitor, more: str = "") -> str:
    return f"alerts:\n  ping: {monitor.url}/{SECRET}\n{more}"


# --- pings -----------------------------------------------------------------------------------------------------------


def test_a_run_says_that_it_begins_and_how_it_ended(site: Site, monitor: Monitor) -> None:
    site.configure(alerts(monitor))
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    assert done.code == 0
    assert monitor.paths == [f"/{SECRET}/start", f"/{SECRET}"]
    assert monitor.got[1].body.decode() == f"{done.last}\nexit code: 0\n"
    assert SECRET not in done.out + done.err


def test_when_mail_is_what_broke_it_is_heard_all_the_same(site: Site, monitor: Monitor) -> None:
    site.configure(
        alerts(monitor, f"  address: me@example.org\n  webhook: {monitor.url}/hook\n  after: 1\n"), port=closed_port()
    )
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    assert done.code == 75
    assert done.last.startswith("verdict: send-failed - 127.0.0.1:")
    assert monitor.paths == [f"/{SECRET}/start", f"/{SECRET}/fail", "/hook"]
    assert monitor.got[1].body.decode().startswith("verdict: send-failed - ")
    assert json.loads(monitor.got[2].body)["verdict"] == "send-failed"
    lines = done.err.splitlines()
    assert re.fullmatch(rf"\S+ \S+ UTC  warning  {DAY}  the alert could not be sent: .*refused", lines[-2])
    assert re.fullmatch(rf"\S+ \S+ UTC  error    {DAY}  127\.0\.0\.1:.*1 copy still owed", lines[-1])


def test_a_send_that_heals_the_run_says_so_and_another_says_nothing(site: Site, monitor: Monitor) -> None:
    site.configure(alerts(monitor), port=closed_port())
    site("subscribers", "add", "ada@example.org")
    site("run", "--date", DAY)
    site.configure(alerts(monitor))
    monitor.got.clear()
    assert site("send").code == 0
    assert monitor.paths == [f"/{SECRET}"]
    site("send")  # nothing was owed: cron calls it every 15 minutes
    assert len(monitor.got) == 1


def test_a_rehearsal_tells_no_monitor(site: Site, monitor: Monitor) -> None:
    site.configure(alerts(monitor, f"  webhook: {monitor.url}/hook\n"))
    assert site("run", "--date", DAY, "--dry-run").code == 0
    assert monitor.got == []


@pytest.mark.parametrize("fault", ["500", "301", "closed"])
def test_a_ping_that_fails_is_a_warning_without_the_url(site: Site, monitor: Monitor, fault: str) -> None:
    url = f"http://127.0.0.1:{closed_port()}" if fault == "closed" else monitor.url
    for path in (f"/{SECRET}", f"/{SECRET}/start"):
        if fault.isdigit():
            monitor.answers[path] = int(fault)
    site.configure(f"alerts:\n  ping: {url}/{SECRET}\n")
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    assert (done.code, done.last) == (0, "verdict: new-issue - 1 accepted")
    why = "Connection refused" if fault == "closed" else f"it answered {fault}"
    assert [line.split(f"  {DAY}  ")[-1] for line in done.err.splitlines()] == [
        f"the {which} ping could not be sent: {url.removeprefix('http://')}: {why}" for which in ("start", "success")
    ]
    assert SECRET not in done.out + done.err
    if fault == "500":
        assert monitor.paths == [f"/{SECRET}/start", f"/{SECRET}", f"/{SECRET}"]  # an end is tried twice


def test_a_monitor_that_does_not_answer_is_not_waited_for(monitor: Monitor) -> None:
    monitor.silent.add(f"/{SECRET}")
    url = Secret(lambda: f"{monitor.url}/{SECRET}")
    said = pings.send(Pings(success=url), Ping.SUCCESS, within=0.1)
    assert said == f"the success ping could not be sent: 127.0.0.1:{monitor.port}: it does not answer"
    assert len(monitor.got) == 2


def test_urls_of_another_service_and_none_for_a_start(site: Site, monitor: Monitor) -> None:
    push = f"{monitor.url}/api/push/{SECRET}?status="
    site.configure(f"alerts:\n  ping: '{push}up'\n  ping_start: off\n  ping_fail: '{push}down'\n")
    site("subscribers", "add", "ada@example.org")
    site("run", "--date", DAY)
    site.papers()
    site("run", "--date", "2026-11-25")
    assert monitor.paths == [f"/api/push/{SECRET}?status=up", f"/api/push/{SECRET}?status=down"]


def test_a_program_that_fails_unexpectedly_is_told(site: Site, monitor: Monitor) -> None:
    site.configure(alerts(monitor))

    def breaks(store: Store, runtime: Runtime) -> RunReport:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reported(load(site.folder / "config.yaml"), breaks, date(2026, 11, 24), daily=True)
    assert monitor.paths[-1] == f"/{SECRET}/fail"
    assert b"ZeroDivisionError" in monitor.got[-1].body


def report(verdict: Verdict, **counts: int) -> RunReport:
    return RunReport(verdict, "so it was", date(2026, 11, 24), {State(name): n for name, n in counts.items()})


@pytest.mark.parametrize(
    ("ended", "daily", "told"),
    [
        (report(Verdict.NEW_ISSUE, accepted=3), None, Ping.SUCCESS),
        (report(Verdict.WEEKEND), None, Ping.SUCCESS),
        (report(Verdict.STILL_OWED, accepted=3, deferred=1), None, Ping.SUCCESS),
        (report(Verdict.STILL_OWED, deferred=4), None, Ping.FAILURE),
        (report(Verdict.PAUSED, accepted=3), None, Ping.FAILURE),
        (report(Verdict.PARTLY_EXPIRED, accepted=3), None, Ping.FAILURE),
        (report(Verdict.FEED_FAILED), None, Ping.FAILURE),
        (report(Verdict.ALREADY_RUNNING), None, None),
        (report(Verdict.DRY_RUN), None, None),
        (report(Verdict.NEW_ISSUE, accepted=3), Verdict.SEND_FAILED, Ping.SUCCESS),
        (report(Verdict.NEW_ISSUE, accepted=3), Verdict.FEED_FAILED, None),  # yesterday's copies heal no feed
        (report(Verdict.NEW_ISSUE, accepted=3), Verdict.NEW_ISSUE, None),
        (report(Verdict.SEND_FAILED), Verdict.NEW_ISSUE, Ping.FAILURE),
    ],
)
def test_which_ping_a_verdict_gets(ended: RunReport, daily: Verdict | None, told: Ping | None) -> None:
    assert ping_for(ended, daily) is told


def test_no_address_leaves_with_a_ping() -> None:
    body = pings.body_of(RunReport(Verdict.PAUSED, "the canary ada@example.org was refused"))
    assert "ada@" not in body


def test_the_word_stands_before_the_query() -> None:
    assert (
        beside("https://hc.example/ping/key/slug?create=1", "fail") == "https://hc.example/ping/key/slug/fail?create=1"
    )


# --- the configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("ping: hc-ping.com/UUID", "alerts.ping: expected an http(s) URL without a login"),
        ("ping: ftp://hc.example/UUID", "alerts.ping: expected an http(s) URL without a login"),
        ("ping: https://me:pass@hc.example/UUID", "alerts.ping: expected an http(s) URL without a login"),
        ("ping: 'https://hc.example:port/UUID'", "alerts.ping: expected an http(s) URL without a login"),
        ("ping: off", "alerts.ping: expected an http(s) URL without a login"),
        ("webhook: [a, b]", "alerts.webhook: expected "),
        ("summary: true", "alerts: summary needs an address"),
        ("webhook_secret: sixteen characters", "alerts: webhook_secret is given, and webhook is not"),
        ("webhok: https://example.org", "did you mean"),
    ],
)
def test_mistakes_are_named_and_no_url_is_shown(site: Site, lines: str, said: str) -> None:
    site.configure(f"alerts:\n  {lines}\n")
    done = site("status")
    assert done.code == 78
    assert said in done.err
    assert "UUID" not in done.err.replace("hc-ping.com/UUID", "")


def test_a_url_of_the_environment_is_read_when_it_is_needed(site: Site, monitor: Monitor) -> None:
    site.configure("alerts:\n  ping: ${NO_SUCH_PING}\n")
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    assert (done.code, done.last) == (0, "verdict: new-issue - 1 accepted")
    assert "the environment variable NO_SUCH_PING is not set" in done.err
    config = load(site.folder / "config.yaml", {"NO_SUCH_PING": f"{monitor.url}/{SECRET}"})
    assert pings.send(config.alerts.pings, Ping.FAILURE) is None
    assert monitor.paths == [f"/{SECRET}/fail"]


# --- the webhook -----------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's libraries."""
    given = webhook.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(ConfigError, match="Base64"):
        webhook.signature("whsec_not base64!", "m", 1, b"")


def test_each_verdict_is_posted_once_and_signed(site: Site, monitor: Monitor) -> None:
    site.configure(f"alerts:\n  webhook: {monitor.url}/hook?token={SECRET}\n  webhook_secret: a secret for webhooks\n")
    site("subscribers", "add", "ada@example.org", "bob@example.org")
    done = site("run", "--date", DAY)
    site("run", "--date", DAY)
    (got,) = monitor.got
    told = json.loads(got.body)
    assert {name: told[name] for name in ("type", "list", "day", "verdict", "exit_code", "copies")} == {
        "type": "newsletter.verdict",
        "list": "daily-papers.news.example.org",
        "day": DAY,
        "verdict": "new-issue",
        "exit_code": 0,
        "copies": {"accepted": 2},
    }
    assert told["text"] == told["content"] == f"Daily Papers, {DAY}: new-issue - 2 accepted"
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(b"a secret for webhooks", signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.headers["content-type"] == "application/json"
    assert SECRET not in done.out + done.err


def test_what_could_not_be_posted_is_posted_by_the_next_run_with_the_same_id_and_then_given_up(
    site: Site, monitor: Monitor
) -> None:
    site.configure(f"alerts:\n  webhook: {monitor.url}/{SECRET}\n")
    site("subscribers", "add", "ada@example.org")
    monitor.answers[f"/{SECRET}"] = 503
    done = site("run", "--date", DAY)
    assert (
        f"the webhook for new-issue of {DAY} could not be sent: 127.0.0.1:{monitor.port}: it answered 503" in done.err
    )
    assert SECRET not in done.err
    site.papers()
    for _ in range(3):
        site("run", "--date", "2026-11-25")
    days = [(json.loads(got.body)["day"], got.headers["webhook-id"]) for got in monitor.got]
    assert [day for day, _ in days] == [DAY, DAY, "2026-11-25", "2026-11-25"]
    assert len({name for _, name in days}) == 2


def test_words_of_strangers_mention_nobody_in_a_chat() -> None:
    said = RunReport(Verdict.SEND_FAILED, "550 <!channel> @everyone see <https://evil.example|here> ada@example.org")
    told = webhook.payload(said, date(2026, 11, 24), PUBLICATION)
    assert not set("<>") & set(told["text"])
    assert told["allowed_mentions"] == {"parse": []}
    assert "ada@example.org" not in json.dumps(told)


def test_a_notice_is_given_out_twice_and_only_once_when_it_was_delivered(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        first, second = (Notice("webhook", date(2026, 11, day), "new-issue", "{}") for day in (23, 24))
        assert store.add_notice(first)
        assert not store.add_notice(replace(first, body="other"))
        assert store.take_notices("webhook") == [first]
        clock.move(seconds=60)
        store.add_notice(second)
        assert store.take_notices("webhook") == [first, second]
        store.end_notice(second)
        assert store.take_notices("webhook") == []
        assert store.take_notices("summary") == []


# --- the request -----------------------------------------------------------------------------------------------------


def test_a_body_that_drips_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # connections are taken, and nobody answers
        with pytest.raises(Unanswered, match="it does not answer"):
            request("POST", f"http://127.0.0.1:{port}/", body=b"", headers={}, within=0.2)


def test_no_redirect_is_followed(monitor: Monitor) -> None:
    monitor.answers["/a"] = 302
    assert request("POST", f"{monitor.url}/a", body=b"x", headers={}, within=10).status == 302
    assert monitor.paths == ["/a"]


# --- the summary -----------------------------------------------------------------------------------------------------


def test_a_summary_comes_once_after_each_issue_and_names_no_reader(site: Site, inbox: Inbox) -> None:
    site.configure("alerts:\n  address: me@example.org\n  summary: true\n")
    inbox.refuse["gone@example.net"] = "550 5.1.1 <gone@example.net> no such user"
    site("subscribers", "add", "ada@example.org", "gone@example.net", "bob@example.org")
    site("run", "--date", DAY)
    site("send")
    site("run", "--date", DAY)
    letters = [message for message in inbox.messages if message["To"] == "me@example.org"]
    assert [letter["Subject"] for letter in letters] == ["Daily Papers: 24 November went to 2 of 3 readers"]
    body = letters[0].get_body(("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    assert "Issue of Tuesday, 24 November 2026" in text
    assert re.search(r"^  accepted   2$", text, re.MULTILINE)
    assert "  1 at example.net: 550 5.1.1 <ADDRESS> no such user" in text
    assert "Subscribers: 3" in text
    assert "@example" not in text


def test_the_line_of_subscribers_reads_as_text_too(tmp_path: Path) -> None:
    clock = FakeClock()
    with Store.open(store_file(tmp_path / "a.db"), now=clock.now) as store:
        for week in range(3):
            store.add_all([f"r{week}-{n}@example.org" for n in range(week + 2)], revive=True)
            store.record_run(RunReport(Verdict.WEEKEND, "so it was"), clock.now())
            clock.move(seconds=7 * 86_400)
        store.unsubscribe("r0-0@example.org")
        told = list(summary.subscribers(store, clock.now()))
        week_ago = (clock.now() - timedelta(days=21)).date()
    assert told == [
        f"Subscribers: 8, 6 more than on {week_ago.day} {week_ago:%B}",
        "  week by week: 2, 5, 9, 8",
        "  ▁▄█▇",
    ]


# --- status --check --------------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ran(verdict: Verdict = Verdict.NEW_ISSUE, ago: float = 2, code: int | None = None) -> RunRecord:
    ended = NOW - ago * HOUR
    return RunRecord(
        ended, ended, ended.date(), verdict, "so it was", RunReport(verdict, "").exit if code is None else code
    )


GOOD = Facts(NOW, timedelta(hours=26), ran(), ran(), accepted=119, copies=120)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GOOD, []),
        (replace(GOOD, last=ran(ago=25.9)), []),
        (replace(GOOD, last=ran(ago=26.1), latest=ran(ago=26.1)), [("no-run", 1)]),
        (replace(GOOD, last=ran(ago=30), sending=True), []),
        (replace(GOOD, last=ran(ago=30), within=timedelta(hours=80)), []),
        (replace(GOOD, last=None, latest=None), [("never-ran", 1)]),
        (replace(GOOD, witness="the store is older than what was sent"), [("witness", 1)]),
        (replace(GOOD, paused="the issue is paused"), [("paused", 1)]),
        (replace(GOOD, owed=3, owed_since=NOW - 5 * HOUR), [("owed", 75)]),
        (replace(GOOD, owed=3, owed_since=NOW - 3 * HOUR), []),
        (replace(GOOD, owed=3, owed_since=NOW - 5 * HOUR, sending=True), []),
        (replace(GOOD, uncertain=2), [("uncertain", 1)]),
        (replace(GOOD, held=9), [("held", 1)]),
        (replace(GOOD, last=ran(Verdict.FEED_FAILED)), [("failing", 75)]),
        (replace(GOOD, latest=ran(Verdict.SEND_FAILED)), [("failing", 75)]),
        (replace(GOOD, latest=ran(Verdict.SEND_FAILED, code=78)), [("failed", 1)]),
        (replace(GOOD, last=ran(Verdict.FAILED)), [("failed", 1)]),
        (replace(GOOD, last=ran(Verdict.STILL_OWED)), []),
        (replace(GOOD, days_without=3), [("no-issue", 1)]),
        (replace(GOOD, days_without=2), []),
        (replace(GOOD, feeds=(("A blog", 1), ("Hugging Face", 2))), [("feeds", 75)]),
        (replace(GOOD, feeds=(("A blog", 2),), paused="it waits"), [("paused", 1), ("feeds", 75)]),
    ],
)
def test_the_rules_of_a_list_that_is_well(facts: Facts, expected: list[tuple[str, int]]) -> None:
    assert [(finding.rule, finding.exit_code) for finding in findings(facts)] == expected
    assert all("\n" not in finding.words and finding.words for finding in findings(facts))


def test_every_rule_is_documented() -> None:
    documented = (ROOT / "docs" / "operating.md").read_text("utf-8")
    for rule in health.RULES:
        assert f"| `{rule.name}` | {rule.exit_code} | {rule.doc} |" in documented


def test_check_follows_a_list_through_its_troubles(site: Site, inbox: Inbox) -> None:
    done = site("status", "--check")
    assert (done.code, done.out) == (1, "unwell: never-ran: nothing has run yet: is there a schedule?\n")
    site("subscribers", "add", "ada@example.org")
    site("run", "--date", DAY)
    done = site("status", "--check")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"well: the last run was \d minutes? ago \(new-issue\), 1 of 1 copy accepted\n", done.out)
    site.papers()
    (site.folder / "papers-2026-11-25.json").write_text("no feed", "utf-8")
    site("run", "--date", "2026-11-25")
    done = site("status", "--check", "--json")
    told = json.loads(done.out)
    assert (done.code, told["well"], [each["rule"] for each in told["findings"]]) == (75, False, ["failing"])
    (site.folder / "newsletter.db.witness").unlink()
    done = site("status", "--check")
    assert (done.code, done.out[:16]) == (1, "unwell: witness:")
    assert done.out.count("\n") == 1
    (site.folder / "newsletter.db").write_bytes(b"this is no database" * 100)
    done = site("status", "--check")
    assert (done.code, done.out[:14]) == (1, "unwell: store:")


def test_a_feed_that_fails_issue_after_issue_is_told(site: Site) -> None:
    config = (site.folder / "config.yaml").read_text("utf-8")
    site.configure()
    text = config.replace("feeds:\n", "feeds:\n  - url: blog.json\n    name: A blog\n")
    (site.folder / "config.yaml").write_text(text, "utf-8")
    site("subscribers", "add", "ada@example.org")
    papers = site.feed.read_bytes()
    for day, code in (("2026-11-24", 0), ("2026-11-25", 75)):
        (site.folder / f"papers-{day}.json").write_bytes(papers.replace(b"2611.0", f"2{day[-2:]}1.0".encode()))
        site("run", "--date", day)
        done = site("status", "--check")
        assert done.code == code, done.out
    assert done.out == "unwell: feeds: feeds with faults in a row: A blog (2 issues)\n"
    (site.folder / "blog.json").write_text("[]", "utf-8")
    site("run", "--date", "2026-11-25", "--remake")
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        assert [fault.day.isoformat() for fault in store.feed_faults(date(2026, 1, 1))] == ["2026-11-25", "2026-11-24"]


@pytest.mark.parametrize(
    "options",
    [("--within", "5"), ("2026-11-24", "--check"), ("--check", "--metrics", "x.prom"), ("--check", "--within", "nan")],
)
def test_options_that_do_not_go_together(site: Site, options: tuple[str, ...]) -> None:
    assert site("status", *options).code == 2


# --- the log ---------------------------------------------------------------------------------------------------------


def test_json_lines_have_time_level_and_day_and_the_verdict_stays_as_it_is(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    (site.folder / "config.yaml").write_text(
        (site.folder / "config.yaml").read_text("utf-8").replace("feeds:\n", "feeds:\n  - url: gone.json\n"), "utf-8"
    )
    done = site("--log", "json", "run", "--date", DAY)
    assert done.out == "verdict: new-issue - 1 accepted\n"
    warned, ended = map(json.loads, done.err.splitlines())
    assert (warned["level"], warned["day"]) == ("warning", DAY)
    assert "gone.json" in warned["message"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", warned["time"])
    assert {name: ended[name] for name in ("level", "message", "verdict", "exit_code")} == {
        "level": "info",
        "message": "1 accepted",
        "verdict": "new-issue",
        "exit_code": 0,
    }
    done = site("--log", "plain", "send", "2026-08-01")
    assert done.err == ("newsletter: there is no issue of 2026-08-01; `newsletter run --date 2026-08-01` makes one\n")


def test_journald_gets_json_with_a_priority_and_other_pipes_get_text(site: Site, tmp_path: Path) -> None:
    command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "send", "2026-08-01"]
    for journal in (True, False):
        reading, writing = os.pipe()
        found = os.fstat(writing)
        stream = f"{found.st_dev}:{found.st_ino}" if journal else "1:1"
        environ = os.environ | {"JOURNAL_STREAM": stream}
        program.run(command, cwd=ROOT, stderr=writing, stdout=subprocess.DEVNULL, env=environ, check=False)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            (line,) = pipe.read().splitlines()
        if journal:
            assert line.startswith("<3>{")
            assert json.loads(line[3:])["verdict"] == "failed"
        else:
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  error    2026-08-01  there is no issue", line)


# --- /healthz --------------------------------------------------------------------------------------------------------


def test_healthz_says_whether_the_pages_can_work(tmp_path: Path, serve: Callable[[Pages], Server]) -> None:
    from newsletter.web import create_app
    from tests.pages import write_config

    config = load(write_config(tmp_path, "", base="https://news.example.org"), {})
    with Store.open(config.store) as store:
        client = create_app(config, store).test_client()
        answer = client.get("/healthz")
        assert (answer.status_code, answer.get_json(), answer.mimetype) == (200, {"status": "ok"}, "application/json")
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert client.post("/healthz").status_code == 405
    path = Path(config.store.removeprefix("sqlite:///"))
    path.write_bytes(b"this is no database" * 1000)
    for beside_it in path.parent.glob(f"{path.name}-*"):
        beside_it.unlink()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (503, {"status": "store unavailable"})
    assert "Set-Cookie" not in answer.headers


# --- facts that are kept ---------------------------------------------------------------------------------------------


def test_sizes_rates_and_fates_are_kept_on_either_database(database_url: str) -> None:
    clock = FakeClock()
    issue_of = RenderedIssue(day=clock.now().date(), subject="Papers", html="<p>papers</p>", text="papers\n")
    with Store.open(database_url, now=clock.now) as store:
        store.add_all([f"r{n}@example.org" for n in range(6)], revive=True)
        frozen = store.freeze(issue_of, PUBLICATION, lifetime=timedelta(hours=24))
        rows = store.claim(frozen.id, 6, resend_uncertain=0)
        store.turn([], rows)
        gone = Outcome(OutcomeKind.REFUSED, 550, "5.1.1 <r5@example.org> unknown")
        outcomes = [*[ACCEPTED] * 4, REFUSED, gone]
        store.turn([Result(row, State.SENDING, each) for row, each in zip(rows, outcomes, strict=True)], [])
        store.record_run(report(Verdict.NEW_ISSUE), clock.now(), Rate(4, 2.0))
        clock.move(seconds=86_400)
        store.unsubscribe("r0@example.org")
        store.suppress("r1@example.org", "complaint: abuse")
        days = [(clock.now() - timedelta(days=ago)).date() for ago in (2, 1, 0)]
        assert store.list_sizes(days) == [(days[0], 0, False), (days[1], 6, True), (days[2], 4, False)]
        store.record_run(report(Verdict.WEEKEND), clock.now())
        store.record_run(RunReport(Verdict.ALREADY_SENT, "nothing is owed"), clock.now())
        assert store.list_sizes(days)[2] == (days[2], 4, True)
        daily = store.last_daily_run()
        assert daily is not None
        assert daily.verdict is Verdict.WEEKEND
        rate = store.runs(3)[2].rate
        assert rate is not None
        assert rate.per_minute == 120
        (fate,) = store.fates(days[0])
        assert {state: number for state, number in fate.counts.items() if number} == {
            State.ACCEPTED: 4,
            State.REFUSED: 2,
        }
        assert [(str(each.status), each.reason) for each in store.departures(clock.now() - timedelta(days=9))] in (
            [("unsubscribed", ""), ("suppressed", "complaint: abuse")],
            [("suppressed", "complaint: abuse"), ("unsubscribed", "")],
        )
        words = store.server_words(days[0])
        assert {(each.domain, each.times) for each in words} == {("example.org", 1)}
        store.note_feed_fault(days[1], "A blog", "404 Not Found")
        store.note_feed_fault(days[1], "A blog", "it is late")
        assert [fault.words for fault in store.feed_faults(days[0])] == ["it is late"]
        store.clear_feed_faults(days[1])
        assert store.feed_faults(days[0]) == []


def test_old_facts_are_deleted_with_the_runs(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        store.note_feed_fault(clock.now().date(), "A blog", "404 Not Found")
        store.add_notice(Notice("webhook", clock.now().date(), "new-issue", "{}"))
        clock.move(seconds=100 * 86_400)
        with store.sending_lock():
            deleted = store.prune(
                deliveries_before=None, reports_before=None, runs_before=clock.now() - timedelta(days=90)
            )
        assert deleted == 2
        assert store.feed_faults(date(2000, 1, 1)) == []
