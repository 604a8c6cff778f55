"""The operator's report: its facts, its charts, and the page in a browser."""

from __future__ import annotations

import re
import stat
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from newsletter.cli.report import report
from newsletter.config import load
from newsletter.model import (
    CopyReference,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    ReportKind,
    Result,
    RunReport,
    State,
    SubscriberStatus,
    Verdict,
    Weight,
)
from newsletter.report import charts, facts, page
from newsletter.report.facts import Facts, gather, shown, sparkline, why
from newsletter.store import NewReport, Rate, ServerWords, Store
from tests.chromium import PHONE, judged, prefer, show_on
from tests.conftest import PUBLICATION
from tests.fakes import ACCEPTED, FakeClock
from tests.migrated import store_file
from tests.pages import write_config

if TYPE_CHECKING:
    from selenium import webdriver

HOSTILE = "<script>alert(1)</script> & \u202e\u0007"


def filled(store: Store, clock: FakeClock, days: int = 12) -> None:
    """Some days of a list: issues with every fate of a copy, readers who leave, feeds with faults, runs that fail."""
    store.add_all([f"r{n}@{'gmail.example' if n % 3 else 'uni.example'}" for n in range(30)], revive=True)
    for number in range(days):
        day = clock.now().date()
        if number % 5 == 4:
            store.note_feed_fault(day, f"A blog {HOSTILE}", f"blog.example: 503 {HOSTILE}")
            store.record_run(RunReport(Verdict.FEED_FAILED, f"503 {HOSTILE} of r1@uni.example", day), clock.now())
        else:
            rendered = RenderedIssue(day=day, subject=f"Papers {HOSTILE}", html="<p>papers</p>", text="papers\n")
            issue = store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24))
            rows = store.claim(issue.id, 100, resend_uncertain=0)
            store.turn([], rows)
            gone = Outcome(OutcomeKind.REFUSED, 550, f"5.1.1 <{rows[0].address}> {HOSTILE} id 4TgH7k2Vz9")
            lost = Outcome(OutcomeKind.UNCERTAIN, None, "connection lost")
            outcomes = [gone, lost, *[ACCEPTED] * (len(rows) - 2)]
            store.turn([Result(row, State.SENDING, each) for row, each in zip(rows, outcomes, strict=True)], [])
            store.end_sending()
            store.record_run(RunReport(Verdict.NEW_ISSUE, "28 accepted", day), clock.now(), Rate(28, 2.0))
        store.unsubscribe(f"r{number + 2}@{'gmail.example' if (number + 2) % 3 else 'uni.example'}")
        clock.move(seconds=86_400)
    store.suppress("r20@gmail.example", "complaint: abuse")
    reader = store.find("r21@uni.example")
    assert reader is not None
    returned = NewReport(
        "0" * 64, ReportKind.PERMANENT, CopyReference(reader.ref), "5.1.1", f"unknown {HOSTILE}", Weight.HARD
    )
    store.record_report(returned, lambda strikes: None)


def test_the_facts_of_a_list_on_either_database(database_url: str) -> None:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        filled(store, clock)
        found = gather(store, clock.now(), 30)
    assert [size.active for size in found.sizes][:3] == [30, 29, 28]
    assert len(found.fates) == 10
    assert found.fates[-1].copies | {"accepted": 0} == {
        **dict.fromkeys(("accepted", "owed", "withdrawn", "expired"), 0),
        "uncertain": 1,
        "refused": 1,
    }
    assert found.fates[-1].per_minute == 840
    assert found.left == (("unsubscribed", 12), ("reported the mail as spam", 1))
    assert found.feeds[0].days[0] > found.feeds[0].days[-1]
    assert {each.returned for each in found.refusals} == {True, False}
    told = f"{found.refusals}{found.feeds}{found.fates}{[run.explanation for run in found.runs]}"
    assert "r1@" not in told
    assert "@uni.example" not in told
    assert "@gmail.example" not in told


def test_the_page_names_no_reader_and_obeys_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(write_config(tmp_path, "title: 'Papers <b>& more'\n"), {})
    clock = FakeClock()
    with Store.open(config.store, now=clock.now) as store:
        filled(store, clock)
        text = page.render(gather(store, clock.now(), 60), config.publication, clock.now())
    assert "The scale does not begin at 0." in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"[\w.]@(gmail|uni)\.example", text)
    assert not re.search(r"(?:src|href)=", text)  # nothing is loaded, and nothing leads elsewhere
    output = tmp_path / "report.html"
    report(config, output, 60)
    assert capsys.readouterr().out == f"wrote {output}\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_list_without_anything_has_a_page_too(tmp_path: Path) -> None:
    clock = FakeClock()
    with Store.open(store_file(tmp_path / "a.db"), now=clock.now) as store:
        text = page.render(gather(store, clock.now(), 7), PUBLICATION, clock.now())
    for words in ("no reader yet", "No issue was made", "Nobody left", "No feed had a fault", "Nothing has run"):
        assert words in text
    assert "does not begin at 0" not in text


@pytest.mark.parametrize("filling", [True, False])
def test_the_page_is_accessible_and_fits_a_small_phone(
    browser: webdriver.Chrome, tmp_path: Path, *, filling: bool
) -> None:
    clock = FakeClock()
    with Store.open(store_file(tmp_path / "a.db"), now=clock.now) as store:
        if filling:
            filled(store, clock)
        found = gather(store, clock.now(), 60)
    html = page.render(found, PUBLICATION, clock.now()).replace("<details", "<details open")
    assert judged(browser, html, mail=False) == []
    for scheme in ("light", "dark") if filling else ():  # each chart's bars lie within their plot
        show_on(browser, PHONE)
        prefer(browser, scheme)
        outside = browser.execute_script(
            "return [...document.querySelectorAll('.plot rect')].filter(each => {"
            " const box = each.getBoundingClientRect(), plot = each.closest('.plot').getBoundingClientRect();"
            " return box.top < plot.top - 3 || box.bottom > plot.bottom + 3 || box.right > plot.right + 1 }).length"
        )
        assert outside == 0
        assert browser.execute_script("return document.querySelectorAll('.plot rect[class^=f-]').length") > 20


# --- pure parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (SubscriberStatus.UNSUBSCRIBED, "", "unsubscribed"),
        (SubscriberStatus.UNSUBSCRIBED, "said goodbye elsewhere", "unsubscribed"),
        (SubscriberStatus.SUPPRESSED, "permanent: 5.1.1 no", "mails came back: the address does not exist"),
        (SubscriberStatus.SUPPRESSED, "something new", "suppressed for another reason"),
        (SubscriberStatus.FORGOTTEN, "", "erased on request"),
    ],
)
def test_every_reason_to_leave_has_words(status: SubscriberStatus, reason: str, told: str) -> None:
    assert why(status, reason) == told


def test_words_about_single_readers_and_messages_count_together() -> None:
    said = [
        ServerWords("a.example", "550", f"5.1.1 <{name}@a.example> unknown ({token}) - gsmtp", False, 1)
        for name, token in (("ada", "4TgH7k2Vz9"), ("bob", "d9443c01a7336-2e1x"))
    ]
    (counted,) = facts.refusals(said)
    assert (counted.times, counted.words) == (2, "550 5.1.1 <ADDRESS> unknown (…) - gsmtp")


@pytest.mark.parametrize(
    "words", ["552 5.2.2 mailbox full", "421 4.7.0 try again in 3600 seconds", "554 5.7.1 see RFC5321 section 4"]
)
def test_ordinary_words_stay(words: str) -> None:
    assert shown(words) == words


@pytest.mark.parametrize(
    ("values", "from_zero", "expected"),
    [
        ([], True, (0, 1, (0, 1))),
        ([0], True, (0, 1, (0, 1))),
        ([7], True, (0, 8, (0, 2, 4, 6, 8))),
        ([1204], True, (0, 1500, (0, 500, 1000, 1500))),
        ([1100, 1204], False, (1100, 1250, (1100, 1150, 1200, 1250))),
        ([5, 5], False, (5, 6, (5, 6))),
    ],
)
def test_axes_have_round_numbers(
    values: list[int], from_zero: bool, expected: tuple[int, int, tuple[int, ...]]
) -> None:
    found = charts.axis(values, from_zero=from_zero)
    assert (found.low, found.high, found.ticks) == expected
    assert all(found.low <= value <= found.high for value in values)


def test_a_bar_shows_the_least_number_and_the_last_day_is_at_the_right() -> None:
    days = charts.Days(date(2026, 11, 1), 30)
    scale = charts.axis([10_000], from_zero=True)
    (bar,) = charts.bars(
        days, [(date(2026, 11, 30), {"accepted": 9_000, "refused": 1}, "")], ("accepted", "refused"), scale
    )
    assert [part.name for part in bar.segments] == ["accepted", "refused"]
    assert bar.segments[1].height > 1
    assert bar.left + bar.width < 100
    assert days.labels()[-1][1] == date(2026, 11, 30)
    assert len(days.labels()) <= 5


def test_a_line_of_bars_needs_no_range() -> None:
    assert [sparkline(numbers) for numbers in ([], [3], [3, 3], [0, 7], [100, 101, 102])] == [
        "",
        "▄",
        "▄▄",
        "▁█",
        "▁▄█",
    ]


def test_a_share_never_hides_what_is_missing() -> None:
    made = [page.render(_with(copies), PUBLICATION, FakeClock().now()) for copies in (10**6, 10)]
    assert "99.9 %" in made[0]
    assert "90.9 %" in made[1]


def _with(accepted: int) -> Facts:
    copies = dict.fromkeys((name for name, _ in facts.FATES), 0) | {"accepted": accepted, "refused": 1}
    fate = facts.Fate(date(2026, 11, 24), "Papers", copies, None, "")
    return Facts(7, date(2026, 11, 24), (), (fate,), (), (), (), ())
