"""The command line: output, files and exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from newsletter.cli import main
from newsletter.model import Result, State
from newsletter.store import Store
from tests import program
from tests.conftest import ROOT
from tests.fakes import ACCEPTED, DEFERRED, REFUSED, UNCERTAIN
from tests.inbox import Inbox
from tests.migrated import store_file
from tests.smtpd import CLOSE, Script, smtpd

DAY = "2026-11-24"


def entry(number: int, upvotes: int | None = None, title: str | None = None) -> dict[str, object]:
    """An entry of a response of Hugging Face."""
    paper: dict[str, object] = {
        "id": f"2611.{number:05d}",
        "title": title or f"Paper number {number}",
        "summary": f"We study the number {number}. It has properties.",
        "authors": [{"name": "Ada Lovelace", "hidden": False}],
    }
    if upvotes is not None:
        paper["upvotes"] = upvotes
    return {"paper": paper, "numComments": 1}


@dataclass
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


class Site:
    """A folder with a config, a feed and a mail server, as an operator has them."""

    def __init__(self, folder: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.port, self.capsys = folder, port, capsys
        self.form = "plain"  # of warnings and errors
        self.feed = folder / f"papers-{DAY}.json"
        self.papers(entry(1, 5), entry(2, 50), entry(3, 7))
        (folder / "key").write_text("a long secret for the links", "utf-8")
        (folder / "key").chmod(0o600)
        store_file(folder / "newsletter.db")
        self.configure()

    def papers(self, *entries: object) -> None:
        self.feed.write_text(json.dumps(entries), "utf-8")

    def configure(self, more: str = "", smtp: str = "", port: int = 0, host: str = "127.0.0.1") -> None:
        (self.folder / "config.yaml").write_text(
            "title: Daily Papers\n"
            "sender: Daily Papers <digest@news.example.org>\n"
            "postal_address: 1 Example Street, Example City\n"
            "base_url: https://news.example.org\n"
            "list_id: daily-papers.news.example.org\n"
            "feeds:\n"
            "  - url: papers-{date}.json\n"
            "secret_file: key\n"
            f"smtp:\n  - host: {host}\n    port: {port or self.port}\n{smtp}{more}",
            "utf-8",
        )
        (self.folder / "config.yaml").chmod(0o600)

    def __call__(self, *arguments: str) -> Done:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["-c", str(self.folder / "config.yaml"), "--log", self.form, *arguments])
        captured = self.capsys.readouterr()
        assert "Traceback" not in captured.err
        return Done(int(ended.value.code or 0), captured.out, captured.err)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, inbox.port, capsys)


# --- the first hour --------------------------------------------------------------------------------------------------


def test_init_writes_a_configuration_that_works_and_a_secret_only_the_owner_may_read(site: Site) -> None:
    folder = site.folder / "new"
    assert site("init", str(folder)).code == 0
    for name in ("config.yaml", "newsletter.secret"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert len((folder / "newsletter.secret").read_text("utf-8").strip()) >= 32
    site.folder = folder
    assert site("status").code == 0


def test_init_never_overwrites(site: Site) -> None:
    before = (site.folder / "config.yaml").read_bytes()
    done = site("init", str(site.folder))
    assert done.code == 1
    assert "exists already" in done.err
    assert (site.folder / "config.yaml").read_bytes() == before


def test_demo_does_the_whole_job_and_leaves_what_each_reader_received(site: Site) -> None:
    output = site.folder / "demo"
    done = site("demo", "--output", str(output))
    assert done.code == 0
    assert done.last == "verdict: new-issue - 3 accepted"
    assert sorted(path.suffix for path in output.iterdir()) == [".eml", ".eml", ".eml", ".html", ".txt"]
    assert "<html" in (output / "digest.html").read_text("utf-8")
    assert {path.name for path in output.iterdir()} >= {"digest.html", "digest.txt"}


def test_preview_writes_the_two_parts_and_touches_neither_store_nor_server(site: Site, inbox: Inbox) -> None:
    (site.folder / "key").unlink()
    (site.folder / "newsletter.db").unlink()
    output = site.folder / "out"
    done = site("preview", "--date", DAY, "--output", str(output))
    assert done.code == 0
    assert [stat.S_IMODE((output / name).stat().st_mode) for name in ("digest.html", "digest.txt")] == [0o600, 0o600]
    html, text = (output / "digest.html").read_text("utf-8"), (output / "digest.txt").read_text("utf-8")
    for part in (html, text):
        assert part.index("Paper number 2") < part.index("Paper number 3") < part.index("Paper number 1")
        assert "slot.invalid" not in part
    assert not list(site.folder.glob("*.db"))
    assert inbox.connections == 0


@pytest.mark.parametrize(
    "prepare",
    [
        lambda site: site.papers(),
        lambda site: site.configure("filters:\n  include: [zebrafish]\n"),
        lambda site: site.papers({"paper": {}}),
    ],
    ids=["quiet", "filtered", "broken"],
)
def test_preview_gives_the_reason_and_the_exit_code_that_run_gives(
    site: Site, prepare: Callable[[Site], object]
) -> None:
    prepare(site)
    previewed, ran = site("preview", "--date", DAY), site("run", "--date", DAY, "--dry-run")
    assert (previewed.code, previewed.last) == (ran.code, ran.last)


# --- run, again and again --------------------------------------------------------------------------------------------


def test_run_sends_every_subscriber_one_copy_and_repeats_nothing(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    first = site("run", "--date", DAY)
    assert (first.code, first.last) == (0, "verdict: new-issue - 2 accepted")
    assert sorted(inbox.recipients) == ["ada@example.org", "emmy@example.org"]
    site.papers(entry(9, 900))
    second = site("run", "--date", DAY)
    assert (second.code, second.last) == (0, "verdict: already-sent - 2 accepted")
    assert len(inbox.recipients) == 2


def test_each_copy_is_the_reader_s_own(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site("run", "--date", DAY)
    one, two = inbox.messages
    for header in ("To", "Message-ID", "List-Unsubscribe"):
        assert one[header] != two[header]
    for header in ("Subject", "Date", "List-Id", "From"):
        assert one[header] == two[header]
    assert "emmy" not in one.as_string()


def test_a_dry_run_tells_and_sends_nothing(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY, "--dry-run")
    assert done.code == 0
    assert done.last.startswith("verdict: dry-run - would send ")
    assert "to 1 reader;" in done.last
    assert not inbox.recipients
    assert site("run", "--date", DAY).last == "verdict: new-issue - 1 accepted"


@pytest.mark.parametrize(
    ("prepare", "code", "verdict"),
    [
        (lambda site: site.papers(), 0, "quiet-day"),
        (lambda site: site.configure("issue:\n  min_upvotes: 1000\n"), 0, "filtered-out"),
        (lambda site: site.feed.unlink(), 75, "feed-failed"),
        (lambda site: site.feed.write_text("<!doctype html><p>Log in"), 75, "feed-failed"),
        (lambda site: site.feed.write_text(""), 75, "feed-failed"),
        (lambda site: site.papers({"paper": {}}, {"paper": None}), 75, "feed-failed"),
        (lambda site: (site.folder / "key").unlink(), 78, "failed"),
        (lambda site: site.configure(smtp="    tls: starttls\n"), 78, "send-failed"),
        (lambda site: site.configure(port=1), 75, "send-failed"),
    ],
    ids=["quiet", "filtered", "no-file", "html", "empty", "broken", "no-secret", "no-tls", "no-server"],
)
def test_a_day_without_mail_has_a_verdict_and_an_exit_code(
    site: Site, inbox: Inbox, prepare: Callable[[Site], object], code: int, verdict: str
) -> None:
    site("subscribers", "add", "ada@example.org")
    prepare(site)
    done = site("run", "--date", DAY)
    assert (done.code, done.last.partition(" - ")[0]) == (code, f"verdict: {verdict}")
    assert bool(done.err) == bool(code)
    assert not inbox.recipients
    assert verdict in site("status").out


def test_nobody_to_send_to_is_said_and_does_not_use_the_day_up(site: Site) -> None:
    assert site("run", "--date", DAY).last.startswith("verdict: no-subscribers - ")
    site("subscribers", "add", "ada@example.org")
    assert site("run", "--date", DAY).last == "verdict: new-issue - 1 accepted"


def test_a_server_that_comes_back_gets_what_is_owed(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(port=1)
    assert site("run", "--date", DAY).code == 75
    site.configure()
    assert site("send").last == "verdict: new-issue - 1 accepted"
    assert inbox.recipients == ["ada@example.org"]


@pytest.mark.parametrize(
    ("settings", "code", "named"),
    [
        ({"host": "nowhere.invalid"}, 75, "nowhere.invalid"),
        ({"port": 1}, 75, "127.0.0.1:1"),
        ({"smtp": "    username: me\n    password: wrong\n"}, 78, "offers no login"),
        ({"smtp": "    tls: starttls\n"}, 78, "STARTTLS"),
        ({"more": "dkim:\n  - {selector: s, private_key_file: none.pem}\n"}, 78, "none.pem"),
        ({"more": "dkim:\n  - {selector: s, private_key_file: key}\n"}, 78, "not an unencrypted private key"),
    ],
    ids=["host", "port", "login", "tls", "no-key", "bad-key"],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_nobody_is_marked(
    site: Site, inbox: Inbox, settings: dict[str, Any], code: int, named: str
) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(**settings)
    done = site("run", "--date", DAY)
    assert done.code == code
    assert named in done.err
    assert len(done.err.splitlines()) == 1
    site.configure()
    assert site("run", "--date", DAY).last == "verdict: new-issue - 1 accepted"
    assert inbox.recipients == ["ada@example.org"]


def test_a_restored_backup_sends_nothing_until_the_operator_decides(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    store = site.folder / "newsletter.db"
    backup = store.read_bytes()
    assert site("run", "--date", DAY).last == "verdict: new-issue - 1 accepted"
    for file in site.folder.glob("newsletter.db-*"):
        file.unlink()
    store.write_bytes(backup)
    for command in (("run", "--date", DAY), ("run", "--date", DAY, "--dry-run"), ("send",)):
        done = site(*command)
        assert done.code == 1
        assert done.last.startswith(f"verdict: failed - {store} is older than what was sent: it is at sending 0, and ")
        assert "`newsletter send --trust-store`" in done.err
        assert len(done.err.splitlines()) == 1
    assert f"{store} is older than what was sent" in " ".join(site("check", "--offline").out.split())
    assert inbox.recipients == ["ada@example.org"]
    assert site("send", "--trust-store").code == 0
    assert site("run", "--date", DAY).last == "verdict: new-issue - 1 accepted"


def test_a_copy_in_doubt_twice_is_told_of_once_and_waits_for_the_operator(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    with smtpd(Script(replies={"dot": [CLOSE, CLOSE]})) as server:
        site.configure(port=server.port)
        done = site("run", "--date", DAY)
        assert done.code == 75
        assert done.last.startswith("verdict: still-owed - 1 uncertain; it is uncertain whether 1 copy arrived")
        assert "send --retry-uncertain" in done.err
        assert (site("send").code, site("send").out) == (0, "")
        assert "uncertain: ada@example.org" in site("status").out
        assert site("send", "--retry-uncertain").last == "verdict: new-issue - 1 accepted"


def test_a_copy_in_doubt_is_sent_again_from_a_terminal_too(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site.configure("sending:\n  uncertain: hold\n", port=1)
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        store.turn([], store.claim(1, 2, resend_uncertain=0))  # and here it died
    site.configure("sending:\n  uncertain: hold\n")
    terminal, other_end = pty.openpty()
    command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "send", "--retry-uncertain"]
    assert program.run(command, cwd=ROOT, stderr=other_end, check=False).returncode == 0
    os.close(terminal)
    os.close(other_end)
    assert sorted(inbox.recipients) == ["ada@example.org", "emmy@example.org"]


def test_an_issue_that_is_paused_holds_up_no_other(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(port=1)
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        store.pause(1, "all were refused", [])
    site.configure()
    next_day = date.fromisoformat(DAY) + timedelta(days=1)
    (site.folder / f"papers-{next_day}.json").write_text(json.dumps([entry(9, 5)]), "utf-8")
    done = site("run", "--date", str(next_day))
    assert (done.code, inbox.recipients) == (75, ["ada@example.org"])
    assert "paused: all were refused" in done.last


def test_a_server_that_does_not_serve_is_named_although_another_does(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(smtp="  - host: 127.0.0.1\n    port: 1\n")
    done = site("run", "--date", DAY)
    assert done.last == "verdict: new-issue - 1 accepted"
    assert done.err == "warning: 127.0.0.1:1: Connection refused\n"


def test_a_password_that_is_not_there_is_the_operator_s_to_mend(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(smtp="    username: ada\n    password: ${NOT_SET_AT_ALL}\n")
    done = site("run", "--date", DAY)
    assert done.code == 78
    assert "NOT_SET_AT_ALL" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_queue_that_cannot_be_used_is_one_line(site: Site) -> None:
    (site.folder / "newsletter.db.queue").mkdir()
    done = site("subscribers", "add", "ada@example.org")
    assert done.code == 1
    assert "newsletter.db.queue cannot be opened: Is a directory" in done.err
    assert len(done.err.splitlines()) == 1


def test_copies_that_a_crash_left_in_doubt_and_that_are_held_are_told_of(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure("sending:\n  uncertain: hold\n", port=1)
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        store.turn([], store.claim(1, 1, resend_uncertain=0))  # and here it died
    done = site("send")
    assert "it is uncertain whether 1 copy arrived" in done.err
    assert "uncertain: ada@example.org" in site("status").out


def test_send_says_nothing_to_cron_while_the_copies_that_were_put_off_are_not_due(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    inbox.refuse["ada@example.org"] = "451 4.7.1 greylisted, try again"
    done = site("run", "--date", DAY)
    when = r"the next try is due at \d{4}-\d\d-\d\d \d\d:\d\d UTC"
    said = f"verdict: still-owed - 1 accepted, 1 deferred; {when}; run `newsletter send` to go on"
    assert re.fullmatch(said, done.last)
    assert "1 deferred" in done.err
    for _ in range(12):
        done = site("send")
        assert (done.code, done.out, done.err) == (75, "", "")
    assert [run["verdict"] for run in json.loads(site("status", "--json").out)["runs"]] == ["still-owed"]
    terminal, other_end = pty.openpty()
    command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "send"]
    assert program.run(command, cwd=ROOT, stdout=other_end, stderr=subprocess.PIPE, check=False).returncode == 75
    assert re.fullmatch(said, os.read(terminal, 65_536).decode().splitlines()[-1])
    os.close(terminal)
    os.close(other_end)


def test_send_says_so_when_a_copy_that_was_due_is_put_off_again(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    inbox.refuse["ada@example.org"] = "451 4.7.1 greylisted, try again"
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store, store._db.write() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET not_before = '2026-01-01 00:00:00.000000'")
    done = site("send")
    assert (done.code, "1 deferred" in done.err) == (75, True)
    assert len(json.loads(site("status", "--json").out)["runs"]) == 2


def test_send_says_nothing_to_cron_when_nothing_is_owed(site: Site) -> None:
    done = site("send")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_sending_an_issue_that_was_never_made_says_so(site: Site) -> None:
    done = site("send", "2026-08-01", "--resume")
    assert (done.code, done.err) == (
        1,
        "newsletter: there is no issue of 2026-08-01; `newsletter run --date 2026-08-01` makes one\n",
    )


def test_a_broken_template_is_named_with_its_line_and_nothing_is_sent(site: Site, inbox: Inbox) -> None:
    templates = site.folder / "mine"
    templates.mkdir()
    (templates / "digest.txt").write_text("fine\n{{ no_such_name }}\n", "utf-8")
    site.configure("templates: mine\n")
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    assert done.code == 1
    assert "mine/digest.txt:2: " in done.last
    assert not inbox.recipients
    (templates / "digest.txt").unlink()
    assert site("run", "--date", DAY).code == 0


def test_a_mail_that_fails_the_lint_is_not_sent_and_preview_says_so_too(site: Site, inbox: Inbox) -> None:
    templates = site.folder / "mine"
    templates.mkdir()
    (templates / "digest.txt").write_text("No way out of here.\n", "utf-8")
    site.configure("templates: mine\n")
    site("subscribers", "add", "ada@example.org")
    for done in (site("run", "--date", DAY), site("preview", "--date", DAY, "--output", str(site.folder / "out"))):
        assert done.code == 1
        assert "the text part has no unsubscribe link" in done.err
    assert not inbox.recipients


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_tells_what_became_of_the_issue_and_of_the_runs(site: Site, inbox: Inbox) -> None:
    inbox.refuse["emmy@example.org"] = "550 5.1.1 no such user here"
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site("run", "--date", DAY)
    text = site("status", DAY).out
    assert "emmy@example.org - 550" in text
    assert "no such user here" in text
    known = json.loads(site("status", "--json").out)
    assert known["issue"]["counts"] == {"accepted": 1, "refused": 1} | {
        state: 0 for state, number in known["issue"]["counts"].items() if not number
    }
    assert known["subscribers"]["active"] == 2
    assert known["runs"][0]["verdict"] == "new-issue"


CANARY = "sending:\n  canary: you@example.org\n"


def test_the_operator_s_copy_goes_first_and_the_others_after_it(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org", "you@example.org")
    site.configure(CANARY)
    assert site("run", "--date", DAY).last == "verdict: new-issue - 3 accepted"
    assert inbox.recipients[0] == "you@example.org"
    assert sorted(inbox.recipients) == ["ada@example.org", "emmy@example.org", "you@example.org"]


def test_while_the_operator_s_copy_is_refused_nobody_else_gets_one(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "you@example.org")
    site.configure(CANARY)
    inbox.refuse["you@example.org"] = "550 5.1.1 no such user"
    done = site("run", "--date", DAY)
    assert done.code == 75
    assert done.last.startswith("verdict: paused - the canary you@example.org was refused: 550 5.1.1 no such user")
    assert "paused: the canary you@example.org was refused" in site("status").out
    again = site("send")  # as cron does, every quarter of an hour: said once is enough
    assert (again.code, again.out, again.err, inbox.recipients) == (75, "", "", [])
    assert site("send", "--resume").code == 0
    assert inbox.recipients == ["ada@example.org"]


def test_while_the_operator_s_copy_is_put_off_the_others_wait_for_it(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org", "you@example.org")
    site.configure(CANARY)
    inbox.refuse["you@example.org"] = "451 4.7.1 greylisted, try again"
    done = site("run", "--date", DAY)
    assert (done.code, inbox.recipients) == (75, [])
    assert "the canary you@example.org is deferred; the others wait for it" in done.last


def test_a_canary_who_is_not_on_the_list_is_named_and_nothing_is_sent(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    site.configure(CANARY)
    done = site("run", "--date", DAY)
    assert (done.code, inbox.recipients) == (75, [])
    assert "sending.canary you@example.org is not subscribed; `newsletter subscribers add you@example.org`" in done.err


def test_an_address_that_the_server_refuses_in_three_issues_is_suppressed(site: Site, inbox: Inbox) -> None:
    inbox.refuse["emmy@example.org"] = "550 5.1.1 no such user here"
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    listed = []
    for number in (1, 2, 3):
        feed = site.folder / f"papers-2026-11-{23 + number}.json"
        feed.write_text(json.dumps([entry(number, 5)]), "utf-8")
        assert site("run", "--date", f"2026-11-{23 + number}").code == 0
        listed.append("emmy@example.org" in site("subscribers", "list").out)
    assert listed == [True, True, False]
    assert json.loads(site("status", "--json").out)["subscribers"]["suppressed"] == 1


def test_status_shows_every_state_and_everybody_who_was_not_accepted_with_the_server_s_words(site: Site) -> None:
    site("subscribers", "add", *(f"{name}@example.org" for name in "abcdefgh"))
    site.configure(port=1)
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        store.unsubscribe("a@example.org")
        (*begun, _) = store.claim(1, 7, resend_uncertain=0)
        store.turn([], begun)
        outcomes = (ACCEPTED, DEFERRED, REFUSED, UNCERTAIN)
        store.turn([Result(row, State.SENDING, each) for row, each in zip(begun, outcomes, strict=False)], [])
    told = site("status").out
    for state in State:
        assert f"  {state:<10} 1\n" in told or state is State.EXPIRED, state
    for line in (
        "deferred: c@example.org - 451 later",
        "refused: d@example.org - 550 no such user",
        "uncertain: e@example.org - connection lost",
    ):
        assert f"  {line}\n" in told


def test_status_of_a_day_that_was_never_made_is_an_error(site: Site) -> None:
    done = site("status", "2026-01-01")
    assert (done.code, done.err) == (1, "newsletter: there is no issue of 2026-01-01\n")


# --- what comes back -------------------------------------------------------------------------------------------------


def test_bounces_are_shown_without_doing_anything(site: Site) -> None:
    (site.folder / "newsletter.db").unlink()
    done = site("bounces", "--show", str(ROOT / "tests" / "data" / "bounces" / "dsn-forwarded.eml"))
    name, *cells = done.out.rstrip("\n").split("\t")
    assert (done.code, Path(name).name) == (0, "dsn-forwarded.eml")
    assert cells == [
        *("permanent", "ada@example.net", "countess@elsewhere.example", "5.2.2", "soft"),
        "smtp; 552 5.2.2 mailbox full",
    ]
    assert not (site.folder / "newsletter.db").exists()


def test_bounces_without_a_mailbox_and_files_without_show_are_mistakes(site: Site) -> None:
    done = site("bounces")
    assert (done.code, done.out) == (78, "")
    assert done.err == "newsletter: no bounce mailbox is configured: set bounces.maildir or bounces.imap\n"
    assert site("bounces", str(site.feed)).code == site("bounces", "--show").code == 2


def test_check_tries_the_bounce_mailbox(site: Site) -> None:
    assert "warn  bounces   no bounce mailbox is configured, so nobody reads bounces" in site("check", "--offline").out
    site.configure("bounces:\n  maildir: Maildir\n")
    assert "BAD   bounces   bounces.maildir:" in site("check", "--offline").out
    for part in ("new", "cur", "tmp"):
        (site.folder / "Maildir" / part).mkdir(parents=True)
    assert "ok    bounces   the mailbox can be read" in site("check", "--offline").out


# --- subscribers -----------------------------------------------------------------------------------------------------


def test_import_takes_the_good_rows_and_names_the_bad_ones(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_text("email,name\nada@example.org,Ada\nb@@example.org,B\nADA@example.org,\nkurt@example.org,\n", "utf-8")
    done = site("subscribers", "import", str(path))
    assert done.code == 0
    assert f"refused: {path}, line 3: 'b@@example.org' is not an address" in done.err
    assert done.out == "2 added, 1 subscribed already, 0 have left and stay out, 1 refused\n"
    assert site("subscribers", "list").out == "ada@example.org\nkurt@example.org\n"


def test_an_import_that_can_take_nobody_fails(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_text("email\nb@@example.org\nx\n", "utf-8")
    done = site("subscribers", "import", str(path))
    assert (done.code, done.out) == (1, "0 added, 0 subscribed already, 0 have left and stay out, 2 refused\n")
    path.write_text("email\n", "utf-8")
    assert site("subscribers", "import", str(path)).code == 0


def test_of_a_list_with_an_open_quote_nothing_is_imported(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_text('email,name\nada@example.org,Ada\nemmy@example.org,"Emmy\nkurt@example.org,Kurt\n', "utf-8")
    done = site("subscribers", "import", str(path))
    said = 'not CSV: unexpected end of data; look for a " that is not closed; nothing was imported'
    assert (done.code, done.out, done.err) == (1, "", f"newsletter: {path}, line 3: {said}\n")
    assert site("subscribers", "list").out == ""


def test_an_import_brings_nobody_back_who_left(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_text("ada@example.org\n", "utf-8")
    site("subscribers", "import", str(path))
    assert site("subscribers", "remove", "Ada@Example.org").code == 0
    assert "1 have left and stay out" in site("subscribers", "import", str(path)).out
    assert site("subscribers", "list").out == ""
    assert site("subscribers", "list", "--all").out == "ada@example.org\tunsubscribed\n"
    assert "subscribed again" in site("subscribers", "add", "ada@example.org").out


def test_an_export_is_an_import(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "kurt@example.org")
    path = site.folder / "out.csv"
    assert site("subscribers", "export", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    site("subscribers", "remove", "ada@example.org")
    (site.folder / "newsletter.db").unlink()
    assert "2 added" in site("subscribers", "import", str(path)).out


def test_a_bad_address_is_refused_and_the_others_are_added(site: Site) -> None:
    done = site("subscribers", "add", "ada@example.org", "b@@example.org")
    assert done.code == 1
    assert "'b@@example.org' is not an address" in done.err
    assert site("subscribers", "list").out == "ada@example.org\n"


def test_a_list_in_windows_1252_is_read(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_bytes(b"ada@example.org\nm\xfcller@example.org\n")
    assert site("subscribers", "import", str(path)).code == 0
    assert site("subscribers", "list").out == "ada@example.org\nm\u00fcller@example.org\n"


def test_of_a_list_in_an_encoding_that_is_not_known_nothing_is_imported(site: Site) -> None:
    path = site.folder / "list.csv"
    path.write_bytes("почта\nada@example.org\n".encode("cp1251"))
    done = site("subscribers", "import", str(path))
    said = "the text is not UTF-8, UTF-16 or Windows-1252; save it as UTF-8; nothing was imported"
    assert (done.code, done.out, done.err) == (1, "", f"newsletter: {path}, {said}\n")
    assert site("subscribers", "list").out == ""


# --- the rim ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-c", "nowhere.yaml", "run"], 78),
        (["run", "--date", "2026-13-01"], 2),
        (["run", "--date", DAY, "--since", "2026-11-25"], 2),
        (["no-such-command"], 2),
        (["schedule", "cron", "--at", "25:00"], 2),
        (["schedule", "systemd", "--at", "7"], 2),
        (["schedule", "cron", "--at", "07:00+02:00"], 2),
    ],
)
def test_a_user_s_mistake_is_one_line(site: Site, arguments: list[str], code: int) -> None:
    done = site(*arguments)
    assert done.code == code
    assert done.err.strip()


# Modes apply to root too, once it has given up its capabilities: capset(2), of version 3, of this process.
_UNPRIVILEGED = """\
import ctypes, struct, sys
assert ctypes.CDLL(None).capset(struct.pack("=Ii", 0x20080522, 0), bytes(24)) == 0
from newsletter.cli import main
main(sys.argv[1:])
"""


def unprivileged(site: Site, *arguments: str) -> tuple[int, str]:
    """Run the command in the site's folder as one to whom modes apply; returns its exit code and standard error."""
    command = [sys.executable, "-c", _UNPRIVILEGED, "--log", "plain", *arguments]
    done = program.run(command, cwd=site.folder, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_config_that_may_not_be_read_hinders_only_who_needs_it(site: Site) -> None:
    (site.folder / "config.yaml").chmod(0)
    assert unprivileged(site, "run", "--help") == (0, "")
    assert unprivileged(site, "init", "elsewhere") == (0, "")
    assert unprivileged(site, "run") == (78, "newsletter: config.yaml: cannot be read: Permission denied\n")


@pytest.mark.parametrize("file", ["newsletter.db.lock", "newsletter.db"])
def test_a_store_of_somebody_else_s_is_said_with_what_to_do(site: Site, file: str) -> None:
    site("send")
    (site.folder / file).chmod(0)
    code, said = unprivileged(site, "send")
    assert code == 1
    assert said.startswith(f"newsletter: {site.folder if file.endswith('.db') else ''}")
    assert "run this as the user who owns" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), ("", "expected `key: value` lines"), ("a: b\n", "a: unknown key")]
)
def test_a_run_without_a_configuration_has_a_verdict_too(site: Site, content: str | None, said: str) -> None:
    path = site.folder / "config.yaml"
    path.unlink()
    if content is not None:
        path.write_text(content, "utf-8")
    done = site("run")
    assert done.code == 78
    assert done.last.startswith(f"verdict: failed - {path}:")
    assert said in done.last
    assert done.err == f"newsletter: {done.last.removeprefix('verdict: failed - ')}\n"


@pytest.mark.parametrize("command", [("run", "--date", DAY), ("send",), ("subscribers", "list")])
def test_a_store_in_no_folder_is_a_mistake_of_the_configuration(site: Site, command: tuple[str, ...]) -> None:
    site.configure("store: sqlite:///none/newsletter.db\n")
    done = site(*command)
    said = f"{site.folder / 'config.yaml'}: store: the folder {site.folder / 'none'} does not exist; create it first"
    assert (done.code, done.err) == (78, f"newsletter: {said}\n")
    assert done.out == ("" if command[0] == "subscribers" else f"verdict: failed - {said}\n")


def test_a_dkim_key_that_is_missing_is_a_mistake_of_the_configuration(site: Site) -> None:
    site.configure("dkim:\n  - {selector: s2026, private_key_file: none.pem}\n")
    site("subscribers", "add", "ada@example.org")
    done = site("run", "--date", DAY)
    key = f"dkim.private_key_file {site.folder / 'none.pem'}"
    assert (done.code, done.err.splitlines()[-1]) == (
        78,
        f"newsletter: {site.folder / 'config.yaml'}: {key}: No such file or directory",
    )


def test_no_secret_is_in_anything_that_is_printed_kept_or_sent(site: Site, inbox: Inbox) -> None:
    secret = "correct-horse-battery-staple"
    (site.folder / "key").write_text(secret, "utf-8")
    site("subscribers", "add", "ada@example.org")
    done = [site("run", "--date", DAY), site("status"), site("status", "--json"), site("schedule", "cron")]
    assert not any(secret in each.out + each.err for each in done)
    assert secret not in inbox.messages[0].as_string()
    assert secret.encode() not in (site.folder / "newsletter.db").read_bytes()


def test_nothing_of_the_program_is_loaded_for_help() -> None:
    heavy = {
        "premailer",
        "lxml",
        "feedparser",
        "sqlalchemy",
        "alembic",
        "requests",
        "jinja2",
        "rich",
        "email_validator",
    }
    code = (
        "import sys\nfrom newsletter.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "run" in done.stdout
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("run", "--date", DAY, "--dry-run"), {"newsletter.transport", "newsletter.editions", "urllib3"}),
        (("check", "--offline"), {"dns", "cryptography", "imapclient"}),
        (("status",), {"jinja2", "newsletter.feed", "newsletter.issue.picking", "newsletter.transport"}),
    ],
)
def test_a_command_loads_what_it_needs(site: Site, arguments: Sequence[str], unneeded: set[str]) -> None:
    code = (
        "import sys\nfrom newsletter.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "-c", str(site.folder / "config.yaml"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "newsletter.store" in done.stderr
    assert {"requests", *unneeded} & set(done.stderr.split()) == set()


def test_a_killed_run_is_finished_by_the_next(site: Site, inbox: Inbox) -> None:
    addresses = [f"r{n}@example.org" for n in range(30)]
    site("subscribers", "add", *addresses)
    inbox.kill_after = 10
    command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "run", "--date", DAY]
    process = program.Popen(command, cwd=ROOT)
    inbox.victim = process.pid
    assert process.wait(60) == -9
    inbox.kill_after = None
    assert site("run", "--date", DAY).last == "verdict: new-issue - 30 accepted"
    assert set(inbox.recipients) == set(addresses)
    assert len(inbox.recipients) <= 30 + 4  # one in doubt for each connection
    assert len({message["Message-ID"] for message in inbox.messages}) == 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_finish_what_is_under_way_and_leave_the_rest_to_the_next_run(
    site: Site, number: signal.Signals
) -> None:
    site("subscribers", "add", *(f"r{n}@example.org" for n in range(200)))
    with smtpd(Script(slow={"dot": 0.02})) as server:
        site.configure(port=server.port)
        command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "run", "--date", DAY]
        with program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            while len(server.messages) < 10:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            assert process.wait(60) == 75
        with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
            counts = {state: number for state, number in store.counts(1).items() if number}
        assert counts == {State.ACCEPTED: len(server.messages), State.PENDING: 200 - len(server.messages)}
        assert site("send").last == "verdict: new-issue - 200 accepted"
        assert len(server.messages) == 200


def test_a_signal_ends_a_run_whose_server_does_not_answer_the_message(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    with smtpd(Script(slow={"dot": 60})) as server:
        site.configure(port=server.port)
        command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "run", "--date", DAY]
        with program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            while "DATA" not in server.commands:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 75  # the server would answer after a minute
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        assert store.counts(1)[State.UNCERTAIN] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_waits_for_a_feed(site: Site, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = site.folder / "config.yaml"
        config.write_text(
            config.read_text().replace("papers-{date}.json", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        )
        command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "run", "--date", DAY]
        with program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            connection, _ = silent.accept()
            process.send_signal(number)
            out, _ = process.communicate(timeout=20)  # the feed's own deadline is a minute
            connection.close()
    assert process.returncode == 75
    assert out.splitlines()[-1] == (
        f"verdict: failed - stopped by {number.name} before anything was sent; the next run goes on"
    )


def test_a_terminal_shows_how_far_it_is_how_fast_and_how_long_it_will_take(site: Site) -> None:
    site("subscribers", "add", *(f"r{n}@example.org" for n in range(60)))
    with smtpd(Script(slow={"dot": 0.1})) as server:
        site.configure(port=server.port)
        terminal, other_end = pty.openpty()
        command = [*program.COMMAND, "-c", str(site.folder / "config.yaml"), "run", "--date", DAY]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
        with program.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=other_end) as run:
            os.close(other_end)
            seen = b""
            with suppress(OSError):  # how Linux says that the other end is closed
                while chunk := os.read(terminal, 65_536):
                    seen += chunk
            os.close(terminal)
            assert run.wait(60) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert DAY in shown
    assert re.search(r"\b[1-9]\d?/60 +[1-9]\d*/s +0:00:0\d", shown), shown


def test_an_issue_is_made_even_while_another_run_is_still_sending(site: Site, inbox: Inbox) -> None:
    site("subscribers", "add", "ada@example.org")
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store, store.sending_lock() as alone:
        assert alone
        assert site("run", "--date", DAY).last.startswith("verdict: already-running")
        assert store.issue(date.fromisoformat(DAY)) is not None
    assert not inbox.recipients
    assert site("send").last == "verdict: new-issue - 1 accepted"
    assert inbox.recipients == ["ada@example.org"]
