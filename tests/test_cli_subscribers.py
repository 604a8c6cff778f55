"""The operator's commands for the list, as they are typed: show, suppress, forget, import and export."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from newsletter.store import Store
from newsletter.store.schema import reports
from tests.inbox import Inbox
from tests.test_cli import DAY, Site


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, inbox.port, capsys)


def csv(site: Site, text: str, name: str = "list.csv") -> str:
    path = site.folder / name
    path.write_text(text, "utf-8")
    return str(path)


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


# --- show ------------------------------------------------------------------------------------------------------------


def test_show_tells_all_that_is_known_of_a_reader(site: Site) -> None:
    row = "ada@example.org,a form,mon tue,2026-11-23,2025-01-02T03:04:05Z,2025-01-02T03:04:05Z"
    site("subscribers", "import", csv(site, f"email,consent,days,paused_until,created_at,status_at\n{row}\n"))
    assert site("run", "--date", DAY).code == 0
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store:
        reader = store.find("ada@example.org")
        assert reader is not None
        with store._db.write() as connection:
            at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
            words = "mailbox full\x1b[31m\nreally"
            own = {"digest": "a", "read_at": at, "kind": "bounce", "subscriber_id": reader.id, "status": "4.2.2"}
            connection.execute(insert(reports), own | {"words": words})
    done = site("subscribers", "show", "ADA@example.org")
    assert done.code == 0
    assert done.out.splitlines() == [
        "ada@example.org",
        "  active since 2025-01-02 03:04 UTC",
        "  known since 2025-01-02 03:04 UTC",
        "  consent: a form",
        "  days: Mon Tue",
        "  paused until 2026-11-23",
        "Last copies:",
        "  2026-11-24  accepted   250 2.0.0 kept",
        "Mails that came back:",
        "  2026-11-24 09:30 UTC  bounce 4.2.2 mailbox full [31m really",
    ]
    site("subscribers", "suppress", "ada@example.org", "--reason", "asked by phone")
    assert re.search("  suppressed since .* UTC: asked by phone\n", site("subscribers", "show", "ada@example.org").out)


def test_show_says_when_an_address_is_not_known(site: Site) -> None:
    done = site("subscribers", "show", "nobody@example.org")
    assert (done.code, done.out, done.err) == (1, "", "nobody@example.org: not known\n")
    assert "'x' is not an address" in site("subscribers", "show", "x").err


# --- suppress and forget ---------------------------------------------------------------------------------------------


def test_a_suppressed_address_comes_back_by_the_operator_s_hand_only(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    done = site("subscribers", "suppress", "ada@example.org", "new@example.org", "b@@example.org")
    assert (done.code, done.out) == (1, "ada@example.org: suppressed\nnew@example.org: suppressed\n")
    path = csv(site, "ada@example.org\nnew@example.org\n")
    assert site("subscribers", "import", path).out == (
        "0 added, 0 subscribed already, 2 have left and stay out, 0 refused\n"
    )
    assert site("run", "--date", DAY).last.startswith("verdict: no-subscribers - ")
    assert site("subscribers", "list", "--all").out == "ada@example.org\tsuppressed\nnew@example.org\tsuppressed\n"
    assert site("subscribers", "add", "new@example.org").out == "new@example.org: subscribed again\n"


def test_a_forgotten_reader_leaves_no_trace_and_is_not_imported_again(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site("run", "--date", DAY)
    path = csv(site, "ada@example.org\nkurt@example.org\n")
    assert site("subscribers", "forget", "Ada@example.org").out == "Ada@example.org: forgotten\n"
    for name in ("newsletter.db", "newsletter.db-wal"):
        file = site.folder / name
        assert not file.exists() or b"ada@" not in file.read_bytes().lower()
    assert site("subscribers", "import", path).out == (
        "1 added, 0 subscribed already, 1 have left and stay out, 0 refused\n"
    )
    for listing in (("list", "--all"), ("export",)):
        assert "ada" not in site("subscribers", *listing).out
        assert "\n\t" not in site("subscribers", *listing).out
    shown = site("subscribers", "show", "ada@example.org").out.splitlines()
    assert "a keyed hash of the address is all that is kept" in shown[2]
    assert "1 forgotten" in site("status").out
    assert site("subscribers", "suppress", "ada@example.org").out == (
        "ada@example.org: forgotten, and stays off the list\n"
    )
    done = site("subscribers", "forget", "nobody@example.org")
    assert (done.code, done.err) == (1, "nobody@example.org: not known\n")
    assert site("subscribers", "add", "ada@example.org").out == "ada@example.org: subscribed again\n"
    assert site("subscribers", "list").out == "ada@example.org\nemmy@example.org\nkurt@example.org\n"


def test_without_the_secret_nobody_is_forgotten_and_no_forgotten_reader_is_taken_in(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site("subscribers", "forget", "ada@example.org")
    (site.folder / "key").unlink()
    done = site("subscribers", "forget", "emmy@example.org")
    assert done.code == 78
    assert "config.yaml:" in done.err
    done = site("subscribers", "import", csv(site, "ada@example.org\n"))
    assert (done.code, done.out) == (1, "")
    assert "only the secret recognises them; set secret" in done.err


def test_a_refusal_of_a_forgotten_reader_is_shown_without_the_address(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org")
    site("run", "--date", DAY)
    with Store.open(f"sqlite:///{site.folder / 'newsletter.db'}") as store, store._db.write() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET state = 'refused', reply_code = 550, reply_text = 'ada@ no'")
    site("subscribers", "forget", "ada@example.org")
    assert "  refused: (forgotten) - 550\n" in site("status").out


# --- import and export -----------------------------------------------------------------------------------------------


def test_consent_is_noted_with_every_new_reader(site: Site) -> None:
    site("subscribers", "import", csv(site, "a@example.org\n", "paper.csv"))
    site("subscribers", "import", "--consent", "conference desk", csv(site, "a@example.org\nb@example.org\n"))
    site("subscribers", "add", "c@example.org")
    notes = [line.split(",")[3] for line in site("subscribers", "export").out.splitlines()[1:]]
    assert notes == [f"imported on {today()} from paper.csv", "conference desk", f"added by the operator on {today()}"]


def test_an_export_restores_the_list_with_its_states_and_dates(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org", "kurt@example.org", "=x@example.org")
    site("subscribers", "remove", "emmy@example.org")
    site("subscribers", "suppress", "kurt@example.org", "--reason", "550 unknown")
    first = site("subscribers", "export").out
    assert "'=x@example.org," in first
    (site.folder / "newsletter.db").unlink()
    assert site("subscribers", "import", csv(site, first)).out == (
        "2 added, 0 subscribed already, 2 have left and stay out, 0 refused\n"
    )
    assert site("subscribers", "export").out == first
    assert site("subscribers", "list").out == "ada@example.org\n=x@example.org\n"


def test_who_left_where_the_list_comes_from_is_taken_off_here(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    path = csv(site, "email,status\nada@example.org,unsubscribed\nemmy@example.org,cleaned\nkurt@example.org,pending\n")
    done = site("subscribers", "import", path)
    assert done.out == (
        "0 added, 0 subscribed already, 1 taken off, 1 have left and stay out,"
        " 1 not confirmed there and left out, 0 refused\n"
    )
    assert site("subscribers", "list", "--all").out == "ada@example.org\tunsubscribed\nemmy@example.org\tsuppressed\n"
    assert "suppressed since " in (shown := site("subscribers", "show", "emmy@example.org").out)
    assert ": status cleaned\n" in shown


def test_an_import_says_what_each_column_was_taken_for(site: Site) -> None:
    header = "Email Address,First Name,OPTIN_TIME,CONFIRM_TIME,UNSUB_TIME,created_at,TAGS"
    ada = "ada@example.org,Ada,2023-01-02 03:04:05,2023-01-02 03:05:00,,1/2/2024,"
    path = csv(site, f"{header}\n{ada}\nemmy@example.org,,,,2024-01-01,1/3/2024,\nkurt,,,,,,\n")
    done = site("subscribers", "import", path)
    assert done.code == 0
    assert done.err.splitlines() == [
        (
            "columns: email from 'Email Address'; consent from 'OPTIN_TIME', 'CONFIRM_TIME'; status from 'UNSUB_TIME';"
            " created_at from 'created_at'; ignored: 'First Name', 'TAGS'"
        ),
        "states: 1 active, 1 unsubscribed",
        (
            f"left out: {path}, 2 cells of 'created_at', the first on line 2: '1/2/2024' is no time;"
            " expected one such as 2026-11-24T07:00:00+00:00"
        ),
        f"refused: {path}, line 4: 'kurt' is not an address: An email address must have an @-sign",
    ]
    assert (
        "  consent: OPTIN_TIME 2023-01-02 03:04:05, CONFIRM_TIME 2023-01-02 03:05:00, created_at 1/2/2024;"
        f" imported on {today()} from list.csv\n"
    ) in site("subscribers", "show", "ada@example.org").out


def test_a_state_that_is_not_understood_imports_nothing_until_the_operator_explains_it(site: Site) -> None:
    path = csv(site, "E-Mail;Kartei;Stufe\nada@example.org;A;active\nemmy@example.org;B;zombie\n")
    done = site("subscribers", "import", path)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"newsletter: {path}, column 'Stufe' looks like a state, and these words of it are not understood: 'zombie';"
        " say what each means with --status-of WORD=STATUS, or pass the column over with --column 'ignore=Stufe';"
        " nothing was imported\n"
    )
    assert site("subscribers", "list", "--all").out == ""
    explained = ("--status-of", "Zombie=unsubscribed")
    assert "1 added" in site("subscribers", "import", path, *explained).out
    assert site("subscribers", "list", "--all").out == "ada@example.org\tactive\nemmy@example.org\tunsubscribed\n"
    also = ("--column", "status=Kartei", "--status-of", "A=suppressed", "--status-of", "B=active")
    site("subscribers", "import", path, *explained, *also)
    assert site("subscribers", "list", "--all").out == "ada@example.org\tsuppressed\nemmy@example.org\tunsubscribed\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--column", "email"), "--column email: expected ROLE=HEADING; a role is one of email, status,"),
        (("--column", "colour=email"), "--column colour=email: expected ROLE=HEADING"),
        (("--status-of", "x"), "--status-of x: expected WORD=STATUS; a status is one of pending, active,"),
        (("--status-of", "x=forgotten"), "--status-of x=forgotten: expected WORD=STATUS"),
    ],
)
def test_an_option_of_an_import_that_is_none_is_wrong_usage(site: Site, options: tuple[str, ...], said: str) -> None:
    done = site("subscribers", "import", csv(site, "ada@example.org\n"), *options)
    assert done.code == 2
    assert said in done.err
    assert site("subscribers", "list", "--all").out == ""


def test_a_dry_run_says_what_would_happen_and_writes_nothing(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "emmy@example.org", "kurt@example.org")
    site("subscribers", "remove", "kurt@example.org")
    before = site("subscribers", "export").out
    readers = [("ada", "active"), ("emmy", "bounced"), ("kurt", "active"), ("new", "active"), ("NEW", "active")]
    rows = "".join(
        f"{name}@example.org,{status}\n" for name, status in [*readers, ("left", "unsubscribed"), ("x@", "")]
    )
    path = csv(site, f"email,status\n{rows}")
    dry = site("subscribers", "import", "--dry-run", path)
    said = "1 added, 2 subscribed already, 1 taken off, 2 have left and stay out, 1 refused\n"
    assert (dry.code, dry.out) == (0, f"dry run, nothing was written: {said}")
    assert site("subscribers", "export").out == before
    done = site("subscribers", "import", path)
    assert (done.out, done.err) == (said, dry.err)


def test_an_import_reads_standard_input(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "E-Mail\tName\nada@example.org\tJürgen\n".encode("utf-16")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert "1 added" in site("subscribers", "import", "-").out
    assert f"imported on {today()} from standard input" in site("subscribers", "show", "ada@example.org").out


def test_an_export_is_its_owner_s_alone_whatever_stood_there(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    path, elsewhere = site.folder / "out.csv", site.folder / "elsewhere.txt"
    path.write_text("old", "utf-8")
    path.chmod(0o644)
    assert site("subscribers", "export", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text("utf-8") == site("subscribers", "export").out
    elsewhere.write_text("untouched", "utf-8")
    path.unlink()
    path.symlink_to(elsewhere)
    assert site("subscribers", "export", str(path)).code == 0
    assert (path.is_symlink(), elsewhere.read_text("utf-8")) == (False, "untouched")
    assert [each.name for each in site.folder.iterdir() if each.name.startswith(".newsletter")] == []
    done = site("subscribers", "export", str(site.folder / "missing" / "out.csv"))
    assert (done.code, done.err) == (1, f"newsletter: {site.folder}/missing/out.csv: No such file or directory\n")


# --- what a reader chose ---------------------------------------------------------------------------------------------


def test_set_changes_what_was_given_and_show_prints_it_when_asked(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    done = site("subscribers", "set", "ADA@example.org", "--topic", "Protein design", "--topic", "RNA", "--only")
    assert (done.code, done.err) == (0, "")
    lines = ["  topics: Protein design", "  topics: RNA", "  only these papers"]
    assert done.out.splitlines() == ["ADA@example.org", *lines]
    site("subscribers", "set", "ada@example.org", "--hour", "7", "--zone", "asia/kathmandu", "--papers", "0")
    shown = site("subscribers", "show", "ada@example.org", "--choice").out
    for line in (*lines, "  papers: all that fit", "  at 07:00, Asia/Kathmandu"):
        assert line in shown.splitlines()
    assert "Protein" not in site("subscribers", "show", "ada@example.org").out
    assert "Protein" not in site("subscribers", "list").out
    assert '"topics":["Protein design","RNA"]' in site("subscribers", "list", "--choices").out
    site("subscribers", "set", "ada@example.org", "--more", "night owls", "--topic", "")
    assert "  more: night owls" in site("subscribers", "show", "ada@example.org", "--choice").out.splitlines()
    assert '"topics"' not in site("subscribers", "list", "--choices").out
    cleared = site("subscribers", "set", "ada@example.org", "--clear")
    assert cleared.out.splitlines()[1:] == ["  chose nothing: gets the main edition"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--topic", "the"), "topics: 'the' holds no word to look for"),
        (("--more", "..."), "more: '...' holds no word to look for"),
        (("--topic", "x" * 500), "is longer than 100 characters"),
        (("--hour", "24"), "24"),
        (("--hour", "7", "--zone", "Berlin"), "'Berlin' is no time zone such as Europe/Berlin"),
        (("--hour", "7", "--zone", "Factory"), "'Factory' is no time zone"),
        (("--papers", "101"), "101"),
        *((("--days", days), "--days: expected some of Mon Tue") for days in ("", "none", "Monday")),
        (("--exclude", "Proteins"), "never: 'Proteins' is also asked for; leave one out"),
    ],
)
def test_set_refuses_what_is_wrong_in_one_line_and_keeps_what_was(
    site: Site, typed: tuple[str, ...], said: str
) -> None:
    site("subscribers", "add", "ada@example.org")
    site("subscribers", "set", "ada@example.org", "--topic", "proteins")
    done = site("subscribers", "set", "ada@example.org", *typed)
    assert done.code == 2
    assert said in done.err
    assert "proteins" in site("subscribers", "list", "--choices").out


def test_set_changes_the_weekdays_and_leaves_a_pause(site: Site) -> None:
    text = "email,paused_until,choice_weekly\nada@example.org,2099-01-01,yes\n"
    site("subscribers", "import", csv(site, text))
    done = site("subscribers", "set", "ada@example.org", "--days", "fri, Mon")
    assert done.out.splitlines() == ["ada@example.org", "  days: Mon Fri", "  one issue a week"]
    shown = site("subscribers", "show", "ada@example.org").out.splitlines()
    assert {"  days: Mon Fri", "  paused until 2099-01-01"} <= set(shown)
    assert "  days: Mon Fri" not in site("subscribers", "set", "ada@example.org", "--every-issue").out.splitlines()
    assert "  days: Mon Fri" in site("subscribers", "show", "ada@example.org").out.splitlines()


def test_set_needs_a_reader_who_is_subscribed(site: Site) -> None:
    done = site("subscribers", "set", "nobody@example.org", "--topic", "proteins")
    assert (done.code, done.err) == (1, "nobody@example.org: not subscribed\n")


def test_an_export_brings_back_what_readers_chose(site: Site) -> None:
    site("subscribers", "add", "ada@example.org", "alan@example.org")
    site("subscribers", "set", "ada@example.org", "--topic", "RNA", "--more", "owls", "--less", "cats", "--weekly")
    text = site("subscribers", "export").out
    (site.folder / "newsletter.db").unlink()
    done = site("subscribers", "import", csv(site, text))
    assert done.code == 0
    listed = dict(line.split("\t") for line in site("subscribers", "list", "--choices").out.splitlines())
    assert listed == {
        "ada@example.org": '{"selector":{"less":["cats"],"more":["owls"],"topics":["RNA"]},"weekly":true}',
        "alan@example.org": "{}",
    }


def test_a_choice_that_asks_for_what_it_refuses_is_left_out_of_an_import(site: Site) -> None:
    rows = '"{""selector"":{""topics"":[""Owls""],""never"":[""owls""]}}"'
    done = site("subscribers", "import", csv(site, f"email,choice\nada@example.org,{rows}\n"))
    assert done.code == 0
    assert "never: 'owls' is also asked for" in done.err
    assert site("subscribers", "list", "--choices").out == "ada@example.org\t{}\n"


def test_an_import_takes_a_column_for_each_choice(site: Site) -> None:
    rows = (
        "email,choice_topics,choice_organisations,choice_never,choice_papers,choice_only,choice_weekly,Hour,choice_zone",
        '1@example.org,"LLM agents, RNA","Meta AI; Owls, Inc.",video,all,yes,no,07:00,europe/berlin',
        '2@example.org,"owls\nLLM agents",,Owls,5,,yes,7,Mars',
        "3@example.org,the,,,101,perhaps,,25,UTC",
        "4@example.org,owls,,,0,,,,",
    )
    done = site("subscribers", "import", csv(site, "\n".join(rows)), "--column", "hour=Hour")
    assert (done.code, "4 added" in done.out) == (0, True)
    listed = dict(line.split("\t") for line in site("subscribers", "list", "--choices").out.splitlines())
    assert listed == {
        "1@example.org": '{"hour":7,"on_top":false,"selector":{"never":["video"],'
        '"organisations":["Meta AI","Owls, Inc."],"papers":null,"topics":["LLM agents","RNA"]},"zone":"Europe/Berlin"}',
        "2@example.org": '{"hour":7,"selector":{"papers":5,"topics":["LLM agents","owls"]},"weekly":true}',
        "3@example.org": '{"zone":"UTC"}',
        "4@example.org": '{"selector":{"papers":null,"topics":["owls"]}}',
    }
    for said in (
        "1 cell of 'choice_topics', the first on line 5: topics: 'the' holds no word to look for",
        "1 cell of 'choice_never', the first on line 4: never: 'Owls' is also asked for",
        "1 cell of 'choice_papers', the first on line 5: papers: '101' is not a number of papers from 1 to 100",
        "1 cell of 'choice_only', the first on line 5: only: 'perhaps' is neither yes nor no",
        "1 cell of 'choice_zone', the first on line 4: zone: 'Mars' is no time zone such as Europe/Berlin",
        "1 cell of 'Hour', the first on line 5: hour: 25 is no hour from 0 to 23",
    ):
        assert said in done.err


def test_a_column_that_may_be_a_choice_is_passed_over_with_a_hint(site: Site) -> None:
    done = site("subscribers", "import", csv(site, "email,Topics\nada@example.org,owls\n"))
    assert "'Topics' was passed over; --column topics=Topics makes it what the readers chose" in done.err
    done = site("subscribers", "import", csv(site, "email,Only\nada@example.org,yes\nalan@example.org,no\n"))
    assert (done.code, "or that it is what readers chose with --column 'only=Only'," in done.err) == (1, True)
    assert site("subscribers", "list", "--choices").out == "ada@example.org\t{}\n"


def test_only_needs_something_that_is_asked_for(site: Site) -> None:
    site("subscribers", "add", "ada@example.org")
    done = site("subscribers", "set", "ada@example.org", "--only")
    assert (done.code, "--only: choose a topic" in done.err) == (2, True)
    assert site("subscribers", "set", "ada@example.org", "--topic", "", "--only").code == 2
    assert site("subscribers", "set", "ada@example.org", "--only", "--exclude", "cats").code == 0
    done = site("subscribers", "set", "ada@example.org", "--exclude", " ")
    assert done.out.splitlines()[1:] == ["  chose nothing: gets the main edition"]
    assert site("subscribers", "set", "ada@example.org", "--only").code == 2
    done = site("subscribers", "set", "ada@example.org", "--clear", "--zone", "europe/berlin")
    assert done.out.splitlines()[1:] == ["  gets the main edition", "  zone: Europe/Berlin"]


def test_a_choice_that_is_none_costs_no_reader(site: Site) -> None:
    done = site("subscribers", "import", csv(site, 'email,choice\nada@example.org,"{""hour"": 99}"\n'))
    assert done.code == 0
    assert "99 is no hour from 0 to 23" in done.err
    assert site("subscribers", "list", "--choices").out == "ada@example.org\t{}\n"
