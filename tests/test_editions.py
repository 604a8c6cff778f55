"""Editions from the feed to the inbox: each reader gets what they chose, and each paper once."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter.issue.choice import Choice
from newsletter.issue.selector import Selector
from newsletter.model import Span, State, Verdict
from newsletter.store import Store
from tests.desk import MONDAY, Desk, desk, entry

__all__ = ["desk"]

ADA, ALAN, EMMY = "ada@example.org", "alan@example.org", "emmy@example.org"
PROTEINS = Selector.of(topics=["protein design"])
ONLY = Choice.of(PROTEINS, on_top=False)


def day_at(age: int = 0) -> date:
    return MONDAY + timedelta(days=age)


def papers(first: int, *titles: str, votes: int = 50) -> list[dict[str, object]]:
    """Entries with ever fewer votes."""
    return [entry(first + at, votes - at, title=title) for at, title in enumerate(titles)]


def choose(desk: Desk, address: str, choice: Choice) -> None:
    with Store.open(desk.config.store) as store:
        store.add(address)
        reader = store.find(address)
        assert reader is not None
        assert store.choose(reader.ref, choice)


def told(desk: Desk, address: str) -> list[str]:
    """The text parts of the mails that an address got, in order."""
    return [text for text, message in zip(desk.told, desk.inbox.messages, strict=True) if message["To"] == address]


@pytest.fixture(autouse=True)
def readers(desk: Desk) -> None:
    desk.readers = (ADA, ALAN, EMMY)
    desk.configure("issue:\n  max_papers: 2\n")


def test_each_reader_gets_what_they_chose(desk: Desk) -> None:
    choose(desk, ALAN, ONLY)
    choose(desk, EMMY, Choice.of(PROTEINS))
    desk.configure("base_url: https://news.example.org\nissue:\n  max_papers: 2\n")
    titles = ("Speech without labels", "Robots that learn", "Cats in video", "Protein design by diffusion")
    desk.publish(MONDAY, *papers(1, *titles))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    (main,), (only,), (on_top,) = (told(desk, address) for address in (ADA, ALAN, EMMY))
    assert [title in main for title in titles] == [True, True, False, False]
    assert [title in only for title in titles] == [False, False, False, True]
    assert [title in on_top for title in titles] == [True, True, False, True]
    assert on_top.index(titles[3]) < on_top.index(titles[0])
    assert "your topic" not in main
    browser = [re.findall(r"(.*) in the browser:", mail) for mail in (main, only, on_top)]
    assert browser == [["Read"], ["The main edition"], ["The main edition"]]
    assert "2 papers of the day did not make the cut." in main
    assert "3 other papers of the day are not in your edition." in only
    assert "1 other paper of the day is not in your edition." in on_top
    asked = [re.findall(r"(\w+) like this:\s+https://news.example.org/feedback/", mail) for mail in (main, only)]
    assert asked == [[], ["More", "Less"]]
    assert "your topic: protein design" in " ".join(only.split())
    assert [message["Subject"] for message in desk.inbox.messages if message["To"] == ALAN] != [
        message["Subject"] for message in desk.inbox.messages if message["To"] == ADA
    ]


def test_readers_who_chose_the_same_share_an_edition(desk: Desk) -> None:
    for address in (ALAN, EMMY):
        choose(desk, address, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    desk.run(MONDAY)
    with closing(sqlite3.connect(desk.config.store.removeprefix("sqlite:///"))) as database:
        kept = database.execute("SELECT edition IS NULL, length(papers) FROM renderings ORDER BY id").fetchall()
    assert [main for main, _ in kept] == [1, 0]
    assert max(size for _, size in kept) < 1000


def test_without_web_pages_an_edition_says_the_same_of_what_it_leaves_out_and_has_no_links(desk: Desk) -> None:
    choose(desk, ALAN, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    desk.run(MONDAY)
    (main,), (only,) = told(desk, ADA), told(desk, ALAN)
    assert "1 paper of the day did not make the cut." in main
    assert "2 other papers of the day are not in your edition." in only
    assert "like this" not in only


def test_the_reason_is_in_the_spelling_of_each_reader(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(Selector.of(topics=["Protein DESIGN", "protein design"]), on_top=False))
    choose(desk, EMMY, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    desk.run(MONDAY)
    (his,), (hers,) = told(desk, ALAN), told(desk, EMMY)
    assert "your topic: Protein DESIGN" in " ".join(his.split())
    assert "your topic: protein design" in " ".join(hers.split())


def test_a_day_without_a_fitting_paper_is_no_mail_or_one_line(desk: Desk) -> None:
    choose(desk, ALAN, ONLY)
    choose(desk, EMMY, replace(ONLY, say_nothing=False))
    desk.publish(MONDAY, *papers(1, "Speech without labels", "Robots that learn"))
    report = desk.run(MONDAY)
    assert report.verdict is Verdict.NEW_ISSUE
    assert report.explanation.endswith("1 reader had nothing that fits")
    assert told(desk, ALAN) == []
    (line,) = told(desk, EMMY)
    assert "No paper of 23 November 2026 fits what you chose." in " ".join(line.split())
    assert "Robots" not in line
    assert "min read" not in line
    with Store.open(desk.config.store) as store:
        issue = store.issue(MONDAY)
        assert issue is not None
        assert store.unfitting(issue.id) == 1
        assert sum(store.counts(issue.id).values()) == 2


def test_each_paper_comes_once_to_each_reader(desk: Desk) -> None:
    """A paper below the cut is still in the feed the next day: who was shown it does not see it again, others may."""
    desk.configure("issue:\n  max_papers: 2\n", "now.json")
    choose(desk, ALAN, ONLY)
    old = papers(1, "Speech without labels", "Robots that learn", "Protein design by diffusion")
    desk.publish(MONDAY, *old, name="now.json")
    desk.run(MONDAY)
    choose(desk, EMMY, ONLY)
    desk.publish(MONDAY, *old, *papers(9, "A new one", "De novo protein design", votes=9), name="now.json")
    desk.run(day_at(1))
    assert ["diffusion" in text for text in told(desk, ALAN)] == [True, False]
    assert ["De novo" in text for text in told(desk, ALAN)] == [False, True]
    first, second = told(desk, EMMY)
    assert "diffusion" not in first  # before she chose
    assert "diffusion" in second
    assert "De novo" in second


def test_the_filters_of_the_list_hold_first(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 1\nfilters:\n  exclude: [survey]\n")
    choose(desk, ALAN, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "A survey of protein design", "Protein design, short"))
    desk.run(MONDAY)
    (only,) = told(desk, ALAN)
    assert "short" in only
    assert "survey" not in only


def test_what_is_never_wanted_is_in_no_part_of_the_mail(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(Selector.of(topics=["protein design"], never=["robots"])))
    desk.publish(MONDAY, *papers(1, "Robots that learn", "Speech without labels", "Protein design"))
    desk.run(MONDAY)
    (mail,) = told(desk, ALAN)
    assert "Robots" not in mail
    assert "Speech" in mail


def test_never_alone_is_the_main_edition_without_it(desk: Desk) -> None:
    """A reader who asks for nothing else keeps the order of the list, and gets no paper from below its cut."""
    desk.configure("issue:\n  max_papers: 3\n", "{date}.json")
    choose(desk, ALAN, Choice.of(Selector.of(never=["robots"])))
    desk.publish(MONDAY, *papers(1, "Speech", "Robots that learn", "Text", "Beneath the cut"))
    desk.run(MONDAY)
    (mail,) = told(desk, ALAN)
    assert "Robots" not in mail
    assert mail.index("Speech") < mail.index("Text")
    assert "Beneath" not in mail


def test_more_stands_on_top_of_the_main_edition_and_less_at_its_end(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 3\n", "{date}.json")
    choose(desk, ALAN, Choice.of(Selector.of(more=["protein folding"], less=["robots learning"])))
    desk.publish(MONDAY, *papers(1, "Robots that learn", "Speech", "Text", "Cats", "Folding of a protein"))
    desk.run(MONDAY)
    (mail,) = told(desk, ALAN)
    places = [mail.index(title) for title in ("Folding of a protein", "Speech", "Text", "Robots")]
    assert places == sorted(places)
    assert "Cats" not in mail
    assert "more like: protein folding" in " ".join(mail.split())


def test_a_weekly_reader_gets_the_best_of_the_week_once(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(weekly=True))
    for age in range(9):
        desk.publish(day_at(age), *papers(10 * age, f"Top {age}", f"Second {age}", f"Third {age}", votes=50 - age))
        desk.run(day_at(age))
    first, second = told(desk, ALAN)
    assert len(told(desk, ADA)) == 9
    assert "Top 0" in first
    assert "Top 1" in second  # of the week before, not the one that was shown
    assert "Top 0" not in second
    assert "No paper" not in second


BLOG = """<rss version="2.0"><channel><title>Blog</title><link>https://blog.example.org</link>
<item><title>{title}</title><link>https://blog.example.org/{page}</link><description>We watch.</description></item>
</channel></rss>"""


@pytest.mark.parametrize("first", ["blog", "archive"])
def test_a_paper_comes_once_when_another_feed_lists_it_by_another_name(desk: Desk, first: str) -> None:
    """One feed has its arXiv id, the other one only a link; the title says that they are one."""
    title = "Night owls that fold proteins"
    desk.configure("issue:\n  max_papers: 1\n", "{date}.json", "blog.xml")
    choose(desk, ALAN, Choice.of(Selector.of(topics=["owls"]), on_top=False))
    choose(desk, EMMY, Choice.of(Selector.of(topics=["owls"])))
    choose(desk, "grace@example.org", Choice.of(Selector.of(topics=["owls"]), on_top=False, weekly=True))
    prefer(desk, "grace@example.org", 0b100)
    for age, feed in enumerate((first, "none", "archive" if first == "blog" else "blog")):
        listed = papers(10 * age, f"Top {age}", title if feed == "archive" else f"Second {age}")
        desk.publish(day_at(age), *listed)
        blog = BLOG.format(title=title, page="owls") if feed == "blog" else BLOG.format(title=f"Cats {age}", page=age)
        (desk.folder / "blog.xml").write_text(blog, "utf-8")
        assert desk.run(day_at(age)).verdict is Verdict.NEW_ISSUE
    assert [sum(title in text for text in told(desk, address)) for address in (ALAN, EMMY)] == [1, 1]
    assert len(told(desk, EMMY)) == 3
    (week,) = told(desk, "grace@example.org")
    assert len(re.findall(r"^#\d", week, re.MULTILINE)) == 1


def test_a_week_without_votes_has_papers_of_all_its_days(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(weekly=True))
    prefer(desk, ALAN, 0b100)
    for age in range(3):
        titles = (f"First of {age}", f"Second of {age}", f"Third of {age}")
        desk.publish(day_at(age), *(entry(10 * age + at, None, title=title) for at, title in enumerate(titles)))
        desk.configure("issue:\n  max_papers: 3\n")
        desk.run(day_at(age))
    (mail,) = told(desk, ALAN)
    assert list(dict.fromkeys(re.findall(r"\w+ of \d", mail))) == ["First of 2", "First of 1", "First of 0"]


def prefer(desk: Desk, address: str, days: int, paused_until: date | None = None) -> None:
    with Store.open(desk.config.store) as store:
        reader = store.find(address)
        assert reader is not None
        store.prefer(reader.ref, days=days, paused_until=paused_until)


def owls(desk: Desk, *ages: int) -> None:
    """Issues of these days, each with a paper at the top and one on owls."""
    for age in ages:
        desk.publish(day_at(age), *papers(10 * age, f"Top {age}", f"Owls {age}."))
        desk.run(day_at(age))


def seen_by(desk: Desk, address: str) -> list[list[int]]:
    """The days whose papers on owls stand in each mail that an address got."""
    return [sorted(map(int, re.findall(r"Owls (\d+)\.", text))) for text in told(desk, address)]


def test_a_weekly_mail_has_all_papers_since_the_last_one(desk: Desk) -> None:
    """A Monday without an issue, a pause of two weeks, and other days lose no paper and bring none twice."""
    choose(desk, ALAN, Choice.of(Selector.of(topics=["owls"], papers=None), on_top=False, weekly=True))
    prefer(desk, ALAN, 0b1)
    owls(desk, 0, 1, 4, 8)  # the second Monday has none
    assert seen_by(desk, ALAN) == [[0], [1, 4, 8]]
    assert [re.findall(r"(.*2026) ·", text) for text in told(desk, ALAN)] == [
        ["23 November 2026"],
        ["24 November 2026 to 1 December 2026"],
    ]
    prefer(desk, ALAN, 0b1, day_at(24))
    owls(desk, 9, 23, 24)
    assert seen_by(desk, ALAN)[2:] == [[9, 23, 24]]
    prefer(desk, ALAN, 0b10000)
    owls(desk, 25, 31)  # Friday the 25th is of a week that had a mail, and the next Friday has no issue
    assert seen_by(desk, ALAN)[3:] == []
    owls(desk, 35, 39)
    assert seen_by(desk, ALAN)[3:] == [[25, 31, 35]]


def test_an_issue_that_is_made_late_is_in_the_next_weekly_mail(desk: Desk) -> None:
    """The feed of Wednesday could not be read, and the operator makes its issue after the weekly mail of Friday."""
    choose(desk, ALAN, Choice.of(Selector.of(topics=["owls"], papers=None), on_top=False, weekly=True))
    prefer(desk, ALAN, 0b10000)
    owls(desk, 0, 4)
    desk.publish(day_at(2), *papers(20, "Top 2", "Owls 2."))
    desk.run(day_at(2), at=datetime(2026, 11, 28, 9, tzinfo=UTC))
    owls(desk, 7, 11, 18)
    assert seen_by(desk, ALAN) == [[0, 4], [2, 7, 11], [18]]


def test_days_on_which_all_readers_rest_are_no_alarm(desk: Desk) -> None:
    """Their issues are made all the same, so that their papers are there for the mails of the week."""
    desk.readers = ()
    choose(desk, ALAN, Choice.of(weekly=True))
    desk.publish(day_at(1), *papers(10, "Top 1"))
    desk.publish(MONDAY, *papers(1, "Top 0"))
    reports = [desk.run(day_at(age)) for age in (0, 1)]
    assert [report.verdict for report in reports] == [Verdict.NEW_ISSUE] * 2
    assert reports[1].explanation == "no copies"
    with Store.open(desk.config.store) as store:
        for report in reports:
            store.record_run(report, datetime(2026, 11, 24, 8, tzinfo=UTC))
        assert store.days_without_issue() == 0


def test_a_week_begins_with_the_days_that_its_first_issue_caught_up(desk: Desk) -> None:
    desk.configure("issue:\n  max_papers: 2\n", {"url": "{date}.json", "calendar": "hugging-face"})
    choose(desk, ALAN, Choice.of(Selector.of(topics=["top"]), on_top=False, weekly=True))
    for age in range(8):
        desk.publish(day_at(age), *papers(10 * age, f"Top {age}"))
    desk.run(day_at(0))
    desk.run(day_at(7), Span(catch_up=True))
    assert re.findall(r"(.*2026) ·", told(desk, ALAN)[1]) == ["24 November 2026 to 30 November 2026"]


def test_one_line_for_a_week_names_the_days_of_that_week(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(Selector.of(topics=["cats"]), on_top=False, weekly=True, say_nothing=False))
    prefer(desk, ALAN, 0b10)
    choose(desk, EMMY, Choice.of(Selector.of(topics=["cats"]), on_top=False, say_nothing=False))
    owls(desk, 0, 1)
    said = [re.findall(r"No paper of (.*) fits", " ".join(told(desk, address)[-1].split())) for address in (ALAN, EMMY)]
    assert said == [["23 November 2026 to 24 November 2026"], ["24 November 2026"]]


def test_the_main_edition_of_a_week_is_as_long_as_that_of_a_day(desk: Desk) -> None:
    """Its day has one paper, and the days before had two each."""
    choose(desk, ALAN, Choice.of(weekly=True))
    prefer(desk, ALAN, 0b100)
    owls(desk, 0, 1)
    desk.publish(day_at(2), *papers(20, "The only one", votes=1))
    assert desk.run(day_at(2)).verdict is Verdict.NEW_ISSUE
    (mail,) = told(desk, ALAN)
    assert [title in mail for title in ("Top 1", "Top 0", "Owls", "The only")] == [True, True, False, False]
    assert len(told(desk, ADA)) == 3


def test_nothing_that_a_reader_chose_is_said_or_shown_to_others(desk: Desk) -> None:
    choose(desk, ALAN, Choice.of(Selector.of(topics=["protein design"], authors=["Noether"])))
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    report = desk.run(MONDAY)
    assert "protein" not in f"{report} {desk.warnings}".casefold()
    with Store.open(desk.config.store) as store:
        issue, contents = store.issue(MONDAY), store.contents(MONDAY)
        assert issue is not None
        assert contents is not None
        assert contents.reasons == {}
        assert "your topic" not in issue.rendered.html
        assert len(store.archive()) == 1


def test_the_operator_s_notes_are_in_their_copy_alone(desk: Desk) -> None:
    more = f"issue:\n  max_papers: 2\nalerts:\n  address: {ALAN}\n"
    desk.configure(more, "{date}.json", "missing.json")
    choose(desk, EMMY, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    desk.run(MONDAY)
    assert ["you are the operator" in " ".join(told(desk, who)[0].split()) for who in (ADA, ALAN, EMMY)] == [
        False,
        True,
        False,
    ]


def test_an_operator_with_a_choice_has_the_notes_in_their_own_edition(desk: Desk) -> None:
    desk.configure(f"issue:\n  max_papers: 2\nalerts:\n  address: {ALAN}\n", "{date}.json", "missing.json")
    for address in (ALAN, EMMY):
        choose(desk, address, ONLY)
    desk.publish(MONDAY, *papers(1, "One", "Two", "Protein design"))
    desk.run(MONDAY)
    (mine,), (theirs,) = told(desk, ALAN), told(desk, EMMY)
    assert "you are the operator" in " ".join(mine.split())
    assert "you are the operator" not in " ".join(theirs.split())
    assert "Two" not in mine + theirs


def test_the_canary_gets_a_copy_whatever_they_chose(desk: Desk) -> None:
    desk.configure(f"sending:\n  canary: {ALAN}\n")
    choose(desk, ALAN, replace(ONLY, hour=23))
    desk.publish(MONDAY, *papers(1, "One", "Two"))
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert len(desk.told) == 3


# --- hours -----------------------------------------------------------------------------------------------------------


def at(hour: int, minute: int = 0, age: int = 0) -> datetime:
    return datetime(2026, 11, 23, hour, minute, tzinfo=UTC) + timedelta(days=age)


def sent_to(desk: Desk) -> list[str]:
    return sorted(str(message["To"]) for message in desk.inbox.messages)


def test_a_copy_leaves_at_the_hour_of_its_reader(desk: Desk) -> None:
    choose(desk, ALAN, Choice(hour=9, zone="America/New_York"))  # 14:00 UTC
    choose(desk, EMMY, Choice(hour=20))
    desk.publish(MONDAY, *papers(1, "One"))
    report = desk.run(MONDAY)
    assert (report.verdict, report.exit) == (Verdict.NEW_ISSUE, 0)
    assert report.explanation == (
        "2 pending, 1 accepted; 2 copies of them wait for the hours of their readers, from 2026-11-23 14:00 UTC"
    )
    assert sent_to(desk) == [ADA]
    assert desk.send(at(13, 59)).verdict is Verdict.ALREADY_SENT
    assert sent_to(desk) == [ADA]
    assert desk.send(at(14)).verdict is Verdict.NEW_ISSUE
    assert sent_to(desk) == [ADA, ALAN]
    desk.send(at(19, 59))
    assert desk.send(at(20, 14)).verdict is Verdict.NEW_ISSUE
    assert sent_to(desk) == [ADA, ALAN, EMMY]
    assert desk.send(at(20, 30)).verdict is Verdict.ALREADY_SENT


def test_who_chose_the_hour_of_the_run_gets_the_mail_with_it(desk: Desk) -> None:
    """A run from cron at seven freezes the issue some seconds later, when the hour has begun."""
    choose(desk, ALAN, Choice(hour=7))
    choose(desk, EMMY, Choice(hour=8, zone="Europe/Berlin"))
    for age in (0, 1):
        desk.publish(day_at(age), *papers(10 * age, f"Top {age}"))
        report = desk.run(day_at(age), at=at(7, 0, age=age) + timedelta(seconds=5))
        assert (report.verdict, report.explanation) == (Verdict.NEW_ISSUE, "3 accepted")


def test_the_time_of_a_copy_counts_from_its_hour(desk: Desk) -> None:
    desk.configure("issue:\n  lifetime: 2\n")
    choose(desk, ALAN, Choice(hour=20))
    choose(desk, EMMY, Choice(hour=21))
    desk.publish(MONDAY, *papers(1, "One"))
    desk.run(MONDAY)
    desk.send(at(21, 59))
    assert sent_to(desk) == [ADA, ALAN, EMMY]
    desk.publish(day_at(1), *papers(11, "Next"))
    desk.run(day_at(1))
    late = desk.send(at(23, 0, age=1))
    assert len(sent_to(desk)) == 4
    assert late.verdict in (Verdict.PARTLY_EXPIRED, Verdict.TOO_LATE)
    assert late.counts[State.EXPIRED] == 2


def test_a_change_of_hour_loses_no_issue_and_doubles_none(desk: Desk) -> None:
    hours = (23, 6, 8, 0, 12, 7)
    for age, hour in enumerate(hours):
        choose(desk, ALAN, Choice(hour=hour))
        desk.publish(day_at(age), *papers(10 * age, f"Top {age}"))
        desk.run(day_at(age))
        for clock in range(7, 31):
            desk.send(at(0, age=age) + timedelta(hours=clock))
    assert sorted(text.count("Top") > 0 for text in told(desk, ALAN)) == [True] * len(hours)
    for age in range(len(hours)):
        assert sum(f"Top {age}" in text for text in told(desk, ALAN)) == 1
