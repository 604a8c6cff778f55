"""Issues over several days: each paper is shown once, and each day without mail has a stated reason."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from newsletter import alert
from newsletter.cli.options import span_of
from newsletter.model import Span, Verdict
from newsletter.pipeline import run
from newsletter.runtime import Runtime
from newsletter.store import Store
from tests.conftest import SHARED
from tests.desk import MONDAY, Desk, desk, entry

__all__ = ["desk"]

HF_DAYS = sorted((SHARED / "data" / "hf").glob("*.json"))


def test_a_paper_that_is_listed_again_is_not_shown_again(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1), entry(2))
    tuesday = MONDAY + timedelta(days=1)
    desk.publish(tuesday, entry(2, 90), entry(3))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert desk.run(tuesday).verdict is Verdict.NEW_ISSUE
    assert "Paper number 3" in desk.last
    assert "Paper number 2" not in desk.last


def test_another_version_of_a_paper_is_the_same_paper(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    desk.run(MONDAY)
    again = entry(1) | {"id": "2611.00001v2"}
    desk.publish(MONDAY + timedelta(days=1), again, entry(3))
    desk.run(MONDAY + timedelta(days=1))
    assert "Paper number 1" not in desk.last


def test_a_batch_that_is_served_again_is_stale_and_no_new_issue(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1), entry(2))
    desk.publish(MONDAY + timedelta(days=1), entry(2), entry(1))
    desk.run(MONDAY)
    report = desk.run(MONDAY + timedelta(days=1))
    assert (report.verdict, report.exit) == (Verdict.STALE, 75)
    assert len(desk.inbox.messages) == 1


def test_what_a_batch_left_out_is_no_news_when_it_is_served_again(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 2\n  look_back: 0\n")
    days = [MONDAY + timedelta(days=n) for n in range(3)]
    desk.publish(days[0], entry(1, 9), entry(2, 8), entry(3, 7))
    desk.publish(days[1], entry(3, 70), entry(2, 60), entry(1, 50))
    desk.publish(days[2], entry(3, 80), entry(4, 1))
    assert [desk.run(day).verdict for day in days] == [Verdict.NEW_ISSUE, Verdict.STALE, Verdict.NEW_ISSUE]
    assert "Paper number 3" in desk.last  # listed among new ones it has its chance again


@pytest.mark.parametrize(("published", "verdict"), [("2026-11-20", Verdict.QUIET_DAY), ("2026-11-02", Verdict.STALE)])
def test_a_feed_without_days_is_stale_only_beyond_its_rhythm(desk: Desk, published: str, verdict: Verdict) -> None:
    desk.configure("", "feed.json")
    desk.publish(MONDAY, entry(1, publishedAt=published), name="feed.json")
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert desk.run(MONDAY + timedelta(days=1)).verdict is verdict


def test_a_weekend_is_no_error(desk: Desk) -> None:
    saturday = MONDAY - timedelta(days=2)
    desk.publish(saturday)
    report = desk.run(saturday)
    assert (report.verdict, report.exit) == (Verdict.WEEKEND, 0)
    assert "Saturday" in report.explanation


def test_an_empty_holiday_says_which(desk: Desk) -> None:
    thanksgiving = date(2026, 11, 26)
    desk.publish(thanksgiving)
    report = desk.run(thanksgiving)
    assert (report.verdict, report.exit) == (Verdict.WEEKEND, 0)
    assert "Thanksgiving" in report.explanation
    desk.publish(thanksgiving, entry(1))
    assert desk.run(thanksgiving).verdict is Verdict.NEW_ISSUE


def test_arxiv_has_its_own_evenings_and_weekends(desk: Desk) -> None:
    desk.configure("timezone: America/New_York\n", {"url": "list.json", "calendar": "arxiv"})
    told = []
    for number, at in enumerate(("11-20T01", "11-21T01", "11-22T12", "11-23T00", "11-23T01", "11-24T00", "11-24T02")):
        now = datetime.fromisoformat(f"2026-{at}:30:00+00:00")
        if number in (0, 4, 6):  # what Thursday, Sunday and Monday evening announce
            desk.publish(MONDAY, entry(number), name="list.json")
        report = desk.run(desk.config.today(now), at=now)
        told.append((str(report.day), report.verdict.value))
    assert told == [
        ("2026-11-20", "new-issue"),  # Thursday, 20:30
        ("2026-11-21", "weekend"),  # Friday, 20:30
        ("2026-11-22", "weekend"),  # Sunday noon
        ("2026-11-22", "weekend"),  # Sunday, 19:30
        ("2026-11-23", "new-issue"),  # Sunday, 20:30
        ("2026-11-23", "already-sent"),  # Monday, 19:30
        ("2026-11-24", "new-issue"),  # Monday, 21:30
    ]


def test_a_feed_that_is_late_beside_others_is_noted_for_the_operator(desk: Desk) -> None:
    desk.configure("alerts:\n  address: ada@example.org\n", "{date}.json", {"url": "blog.json", "name": "A blog"})
    desk.publish(MONDAY, entry(9, publishedAt="2026-11-02"), name="blog.json")
    desk.publish(MONDAY, entry(1))
    desk.publish(MONDAY + timedelta(days=1), entry(2))
    desk.run(MONDAY)
    assert "operator" not in desk.last
    assert desk.run(MONDAY + timedelta(days=1)).verdict is Verdict.NEW_ISSUE
    assert "A blog: nothing since 2026-11-02" in " ".join(desk.last.split())


def test_a_paper_dated_in_the_future_does_not_hide_that_a_feed_is_late(desk: Desk) -> None:
    desk.configure("alerts:\n  address: ada@example.org\n", "{date}.json", {"url": "blog.json", "name": "A blog"})
    entries = (entry(8, publishedAt="2027-03-01"), entry(9, publishedAt="2026-11-02"))
    desk.publish(MONDAY, *entries, name="blog.json")
    desk.publish(MONDAY, entry(1))
    desk.publish(MONDAY + timedelta(days=1), entry(2))
    desk.run(MONDAY)
    desk.run(MONDAY + timedelta(days=1))
    assert "A blog: nothing since 2026-11-02" in " ".join(desk.last.split())


def test_a_quiet_day_beside_a_feed_without_days_is_not_stale(desk: Desk) -> None:
    desk.configure("", "{date}.json", "blog.json")
    desk.publish(MONDAY, entry(9, publishedAt="2026-11-20"), name="blog.json")
    desk.publish(MONDAY, entry(1))
    desk.publish(MONDAY + timedelta(days=1))
    desk.run(MONDAY)
    assert desk.run(MONDAY + timedelta(days=1)).verdict is Verdict.QUIET_DAY


def test_an_issue_of_a_clock_that_ran_ahead_hides_no_missed_days(desk: Desk) -> None:
    days = [MONDAY + timedelta(days=n) for n in range(3)]
    for number, day in enumerate((*days, date(2031, 1, 1))):
        desk.publish(day, entry(number))
    desk.run(days[0])
    desk.run(date(2031, 1, 1))
    assert desk.run(days[2], Span(catch_up=True)).verdict is Verdict.NEW_ISSUE
    assert all(f"Paper number {number}" in desk.last for number in (1, 2))


def test_a_clock_set_back_makes_no_second_issue(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    desk.run(MONDAY)
    before = datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert desk.run(desk.config.today(before), at=before).verdict is Verdict.ALREADY_SENT
    assert len(desk.inbox.messages) == 1


def test_a_year_ends_on_a_day_like_others(desk: Desk) -> None:
    for number, day in enumerate((date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 4))):
        desk.publish(day, entry(number))
    desk.publish(date(2027, 1, 1))
    verdicts = [
        desk.run(date(*day), Span(catch_up=True)).verdict for day in ((2026, 12, 30), (2027, 1, 1), (2027, 1, 4))
    ]
    assert verdicts == [Verdict.NEW_ISSUE, Verdict.NEW_ISSUE, Verdict.NEW_ISSUE]
    assert ["Paper number 1" in text for text in desk.told] == [False, True, False]


@pytest.mark.parametrize(("votes", "told"), [("foo:bar", True), ("/Likes: (\\d+)/", True), ("paper.upvotes", False)])
def test_votes_that_are_nowhere_are_said_and_noted_for_the_operator(desk: Desk, votes: str, told: bool) -> None:
    source = {"url": "{date}.json", "name": "HF", "votes": votes}
    desk.configure("alerts:\n  address: ada@example.org\n", source)
    desk.publish(MONDAY, entry(1, 0), entry(2, None))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    said = f"feeds.votes: {votes} is in none of 2 entries of HF"
    assert (said in desk.warnings, said in " ".join(desk.last.split())) == (told, told)


def test_votes_that_vanish_are_an_error_and_not_a_digest_ranked_by_nothing(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1), entry(2))
    desk.publish(MONDAY + timedelta(days=1), entry(3, None), entry(4, None))
    desk.run(MONDAY)
    report = desk.run(MONDAY + timedelta(days=1))
    assert report.verdict is Verdict.FEED_FAILED
    assert "on 2026-11-23 they had" in report.explanation


def test_a_pinned_paper_leads_and_says_why(desk: Desk) -> None:
    desk.configure("filters:\n  pin: [number 7]\n  exclude: [number 8]\n")
    desk.publish(MONDAY, entry(1, 50), entry(8, 99), entry(7, 1))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert desk.last.index("Paper number 7") < desk.last.index("Paper number 1")
    assert "Pinned, keyword: number 7" in desk.last
    assert "Paper number 8" not in desk.last


def test_an_issue_that_outlived_its_news_says_so(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    desk.inbox.refuse["ada@example.org"] = "451 4.3.0 later"
    assert desk.run(MONDAY).verdict is Verdict.STILL_OWED
    later = datetime(2026, 11, 25, 7, tzinfo=UTC)
    with Store.open(desk.config.store, now=lambda: later) as store:
        report = run(desk.config, MONDAY, store, Runtime(now=lambda: later, warn=desk.warnings.append))
    assert (report.verdict, report.exit) == (Verdict.TOO_LATE, 1)
    assert "1 copy of the issue of 2026-11-23 expired before" in desk.warnings[-1]
    assert not desk.inbox.messages


def test_a_paper_that_rises_above_the_cut_later_comes_once_with_what_it_gained(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 2\n")
    days = [MONDAY + timedelta(days=n) for n in range(3)]
    desk.publish(days[0], entry(1, 50), entry(2, 40), entry(3, 1))
    assert desk.run(days[0]).verdict is Verdict.NEW_ISSUE
    desk.publish(days[0], entry(1, 60), entry(2, 41), entry(3, 45))
    for number, day in enumerate(days[1:], 4):
        desk.publish(day, entry(number))
        assert desk.run(day).verdict is Verdict.NEW_ISSUE
    assert ["Paper number 3" in text for text in desk.told] == [False, True, False]
    assert "▲ 45 upvotes · rising since Monday, +44" in desk.told[1]


def test_the_days_of_a_merged_issue_are_looked_at_again_too(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 2\n")
    days = [MONDAY + timedelta(days=n) for n in range(4)]
    desk.publish(days[0], entry(1))
    desk.publish(days[1], entry(2, 9), entry(3, 8), entry(4, 1))
    desk.publish(days[2], entry(5, 7))
    desk.publish(days[3], entry(6))
    desk.run(days[0])
    desk.run(days[2], Span(catch_up=True))
    desk.publish(days[1], entry(2, 9), entry(3, 8), entry(4, 30))
    desk.run(days[3])
    assert "rising since Tuesday, +29" in desk.last


def test_after_missed_days_there_is_one_merged_issue(desk: Desk) -> None:
    days = [MONDAY + timedelta(days=n) for n in range(4)]
    for number, day in enumerate(days):
        desk.publish(day, entry(number))
    desk.run(days[0])
    assert desk.run(days[3], Span(catch_up=True)).verdict is Verdict.NEW_ISSUE
    assert len(desk.inbox.messages) == 2
    assert all(f"Paper number {number}" in desk.last for number in (1, 2, 3))
    assert "24 November 2026 to 26 November 2026" in desk.last
    assert str(desk.inbox.messages[-1]["Subject"]).startswith("24–26 Nov: Paper number")


def test_an_explicit_day_is_only_that_day(desk: Desk) -> None:
    for number in range(3):
        desk.publish(MONDAY + timedelta(days=number), entry(number))
    desk.run(MONDAY)
    desk.run(MONDAY + timedelta(days=2))
    assert "Paper number 1" not in desk.last


def test_a_missed_day_that_cannot_be_had_costs_only_itself(desk: Desk) -> None:
    desk.publish(MONDAY, entry(1))
    desk.publish(MONDAY + timedelta(days=2), entry(3))
    desk.run(MONDAY)
    assert desk.run(MONDAY + timedelta(days=2), Span(catch_up=True)).verdict is Verdict.NEW_ISSUE
    assert any("2026-11-24.json" in warning for warning in desk.warnings)


def test_a_weekly_issue_has_its_sections_in_the_order_of_the_config(desk: Desk) -> None:
    desk.configure("issue:\n  sections: source\n", {"url": "{date}.json", "name": "HF"}, {"url": "b.json", "name": "B"})
    desk.publish(MONDAY, entry(1))
    sunday = MONDAY + timedelta(days=6)
    desk.publish(sunday)
    desk.publish(sunday, entry(2), name="b.json")
    desk.run(sunday, span_of("week", sunday, None, catch_up=False))
    assert re.findall(r"^={72}\r?\n(\w+)", desk.last, re.MULTILINE) == ["HF", "B"]


@pytest.mark.parametrize(("period", "since"), [("week", None), ("day", MONDAY - timedelta(days=3))])
def test_a_feed_that_cannot_be_asked_for_earlier_days_is_named(desk: Desk, period: str, since: date | None) -> None:
    desk.configure("", {"url": "{date}.json", "name": "HF"}, {"url": "b.json", "name": "B"})
    desk.publish(MONDAY, entry(1))
    desk.publish(MONDAY, entry(2), name="b.json")
    desk.run(MONDAY, span_of(period, MONDAY, since, catch_up=False))
    told = [warning for warning in desk.warnings if "has no {date}" in warning]
    assert [warning.partition(" has ")[0] for warning in told] == ["feeds.url of B"]


def test_an_issue_of_one_day_asks_nothing_of_feeds_without_days(desk: Desk) -> None:
    desk.configure("", "b.json")
    desk.publish(MONDAY, entry(2), name="b.json")
    assert desk.run(MONDAY, Span(catch_up=True)).verdict is Verdict.NEW_ISSUE
    assert not desk.warnings


def test_a_weekly_issue_ranks_the_whole_week_and_may_repeat_its_days(desk: Desk) -> None:
    for number in range(3):
        desk.publish(MONDAY + timedelta(days=number), entry(number, upvotes=10 * number))
    desk.run(MONDAY)
    desk.publish(MONDAY, entry(0, upvotes=9))
    sunday = MONDAY + timedelta(days=6)
    desk.publish(sunday)
    assert desk.run(sunday, span_of("week", sunday, None, catch_up=False)).verdict is Verdict.NEW_ISSUE
    places = [desk.last.index(f"Paper number {number}") for number in (2, 1, 0)]
    assert places == sorted(places)
    assert re.findall(r"▲ 9 upvotes · \+9 since Monday", desk.last)
    assert desk.last.count(" since ") == 1
    later = sunday + timedelta(days=7)
    assert desk.run(later, span_of("week", later, None, catch_up=False)).verdict is not Verdict.NEW_ISSUE


def test_the_operator_is_told_once_when_days_pass_without_an_issue(desk: Desk) -> None:
    desk.configure("alerts:\n  address: me@example.org\n  after: 2\n")
    told: list[int] = []
    for number in range(4):
        day = MONDAY + timedelta(days=number)
        now = datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
        desk.publish(day)
        for _ in range(2):
            report = desk.run(day)
            with Store.open(desk.config.store, now=partial(datetime.fromisoformat, now.isoformat())) as store:
                store.record_run(report, now)
                letter = alert.due(desk.config, store, report)
                if letter is not None:
                    alert.send(desk.config, store, letter)
                    told.append(number)
    assert told == [1]
    (message,) = desk.inbox.messages
    assert message["To"] == "me@example.org"
    assert "no issue for 2 days" in message["Subject"]
    assert "quiet-day: the feeds have no papers for this day" in desk.last


@pytest.mark.parametrize("setting", ["alerts:\n  address", "sending:\n  canary"])
def test_a_source_that_fails_is_noted_in_the_operator_s_copy_alone(desk: Desk, setting: str) -> None:
    desk.configure(f"{setting}: Me@example.org\n", "{date}.json", "gone.json")
    desk.readers = ("ada@example.org", "me@example.org")
    desk.publish(MONDAY, entry(1))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    copies = {str(message["To"]): message for message in desk.inbox.messages}
    for kind in ("plain", "html"):
        mine, hers = (copies[reader].get_body((kind,)) for reader in ("me@example.org", "ada@example.org"))
        assert mine is not None
        assert hers is not None
        assert "gone.json: cannot be read" in " ".join(mine.get_content().split())
        assert "gone.json" not in hers.get_content()
        assert "operator" not in hers.get_content()


def test_an_operator_s_copy_that_is_sent_again_is_the_same(desk: Desk) -> None:
    desk.configure("alerts:\n  address: ada@example.org\n", "{date}.json", "gone.json")
    desk.publish(MONDAY, entry(1))
    desk.inbox.refuse["ada@example.org"] = "451 4.3.0 later"
    desk.run(MONDAY)
    with Store.open(desk.config.store) as store:
        frozen = store.issue(MONDAY)
    desk.configure()  # the address is no setting any more, and the feed is asked for no more
    desk.inbox.refuse.clear()
    later = datetime(2026, 11, 23, 8, tzinfo=UTC)
    with Store.open(desk.config.store, now=lambda: later) as store:
        assert store.issue(MONDAY) == frozen
        assert run(desk.config, MONDAY, store, Runtime(now=lambda: later)).verdict is Verdict.NEW_ISSUE
    assert "gone.json" in desk.last


@pytest.mark.skipif(not HF_DAYS, reason="no real data: ../shared/data is not beside this checkout")
def test_all_real_days_in_order_show_each_paper_once(desk: Desk) -> None:
    shown: list[str] = []
    for path in HF_DAYS:
        day = date.fromisoformat(path.stem)
        (desk.folder / path.name).write_bytes(path.read_bytes())
        before = len(desk.inbox.messages)
        report = desk.run(day)
        has_papers = bool(json.loads(path.read_text("utf-8")))
        assert (report.verdict is Verdict.NEW_ISSUE) == has_papers, (day, report)
        assert len(desk.inbox.messages) == before + has_papers
        if has_papers:
            shown += [line for line in desk.last.splitlines() if line.startswith("https://huggingface.co/papers/")]
            assert desk.run(day).verdict is Verdict.ALREADY_SENT
    assert len(shown) == len(set(shown))


@pytest.mark.skipif(not HF_DAYS, reason="no real data: ../shared/data is not beside this checkout")
def test_real_days_with_gaps_repeats_a_stale_and_a_dead_day(desk: Desk) -> None:
    for path in HF_DAYS:
        (desk.folder / path.name).write_bytes(path.read_bytes())
    listed = {date.fromisoformat(path.stem) for path in HF_DAYS}
    days = [date(2026, 8, 14) + timedelta(days=n) for n in range(14)]
    for day in days:
        if day not in listed:
            desk.publish(day)
    again, dead = days[10], days[11]  # Monday and Tuesday of the week after
    (desk.folder / f"{again}.json").write_bytes((desk.folder / "2026-08-21.json").read_bytes())
    (desk.folder / f"{dead}.json").unlink()
    desk.publish(days[12], entry(1), entry(2))
    told = {}
    for day in days:
        if day in (date(2026, 8, 18), date(2026, 8, 19)):
            continue  # the machine is off
        told[day.day] = desk.run(day, Span(catch_up=True)).verdict.value
        repeated = desk.run(day, Span(catch_up=True)).verdict.value
        assert repeated == ("already-sent" if told[day.day] == "new-issue" else told[day.day])
    assert told == {
        14: "quiet-day",
        15: "weekend",
        16: "weekend",
        17: "new-issue",
        20: "new-issue",
        21: "new-issue",
        22: "weekend",
        23: "weekend",
        24: "stale",
        25: "feed-failed",
        26: "new-issue",
        27: "quiet-day",
    }
    merged = desk.told[1]
    assert "18 August 2026 to 20 August 2026" in merged
    shown = [
        line for text in desk.told for line in text.splitlines() if line.startswith("https://huggingface.co/papers/")
    ]
    assert len(shown) == len(set(shown))
    assert len(desk.told) == 4


@pytest.mark.skipif(not HF_DAYS, reason="no real data: ../shared/data is not beside this checkout")
def test_the_real_paper_that_was_listed_on_two_days_is_shown_once(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 100\n")
    for day in ("2026-04-10", "2026-04-16"):
        (desk.folder / f"{day}.json").write_bytes((SHARED / "data" / "hf" / f"{day}.json").read_bytes())
        assert desk.run(date.fromisoformat(day)).verdict is Verdict.NEW_ISSUE
    assert ["huggingface.co/papers/2604.07429" in text for text in desk.told] == [True, False]


@pytest.mark.skipif(not HF_DAYS, reason="no real data: ../shared/data is not beside this checkout")
def test_real_feeds_of_six_kinds_make_one_issue(desk: Desk) -> None:
    feeds = SHARED / "data" / "feeds"
    desk.configure(
        "issue:\n  max_papers: 100\n",
        {"url": str(SHARED / "data" / "hf" / "{date}.json")},
        *(
            {"url": str(feeds / name), "name": called}
            for name, called in (
                ("arxiv_cs.AI_20250820.atom.xml", "arXiv cs.AI"),
                ("reddit_ml_top_20250703.atom.xml", "r/MachineLearning"),
                ("hnrss_newest_20240311.rss.xml", "Hacker News"),
                ("stackexchange_python_rank_excerpt.atom.xml", "Stack Overflow"),
                ("jsonfeed_example_1.json", "A blog"),
            )
        ),
    )
    assert desk.run(date(2026, 8, 20)).verdict is Verdict.NEW_ISSUE
    kicker = r"^#\d+ (?:· ▲ (-?\d+) upvotes? )?(?:· \d+ \w+(?: \d{4})? )?· (.+?)\r?$"
    kickers = re.findall(kicker, desk.last, re.MULTILINE)
    votes = [int(upvotes) for upvotes, _ in kickers if upvotes]
    assert votes == sorted(votes, reverse=True)
    shown = {source for _, source in kickers}
    assert shown >= {"Hugging Face", "arXiv cs.AI", "r/MachineLearning", "Hacker News", "Stack Overflow"}
    assert "A blog" in shown or re.search(r"^And \d+ more", desk.last, re.MULTILINE)  # it has no votes, and comes last
    assert not any(upvotes for upvotes, source in kickers if source in ("arXiv cs.AI", "A blog"))
