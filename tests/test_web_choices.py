"""The preferences page: what a reader wants to read, what that would have picked, and what is refused."""

from __future__ import annotations

import html
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from newsletter.issue.choice import Choice
from newsletter.issue.selector import KINDS, Selector
from newsletter.links import Purpose
from newsletter.model import Issue, IssuePapers, LateRiser, RenderedIssue
from newsletter.web import choices
from newsletter.web.recent import DAYS, Recent
from tests.conftest import PUBLICATION, issue, paper
from tests.pages import ADDRESS, Site

TODAY = date(2026, 11, 24)
EVERY_DAY = {"day": list("0123456"), "pause": "0"}
DEFAULT: dict[str, Any] = {**EVERY_DAY, "edition": "top", "papers": "10", "hour": "", "zone": ""}
PROTEINS = paper(41, title="Folding proteins with $\\pi$", abstract="How a protein folds.", organisation="Inria")
OWLS = paper(42, title="Owls at <b>night</b>", abstract="They see & hear.", authors=("Wangari Maathai",))


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = Site(tmp_path, store=database_url)
    yield made
    made.store.close()


def had(site: Site, *days: Issue) -> None:
    """Freeze issues from which editions can be picked."""
    for each in days:
        rendered = RenderedIssue(each.day, "Papers", "<p>html", "text\n")
        site.store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=1), papers=IssuePapers(candidates=each))


def send(site: Site, **form: Any) -> TestResponse:
    return site.client.post(site.preferences, data=DEFAULT | form)


def kept(site: Site) -> Choice:
    return site.store.choice_of(site.reader().ref)


def wrong(page: TestResponse) -> dict[str, str]:
    """What is said to be wrong, by field."""
    found = re.findall(r'<p class="wrong"(?: id="(\w+)-wrong")? role="alert">(.*?)</p>', page.text)
    return {name: html.unescape(said) for name, said in found}


def field(page: TestResponse, name: str) -> str:
    """What stands in a text field of several lines."""
    (text,) = re.findall(rf'<textarea id="{name}"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    return html.unescape(text)


def picked(page: TestResponse) -> dict[str, list[str]]:
    """The papers that would have been picked, by day, each with its reason."""
    section = page.text.partition('<section class="box picked"')[2].partition("</section>")[0]
    days = re.split(r"<h3>", section)[1:]
    return {
        day.partition("</h3>")[0]: [
            " | ".join(filter(None, (html.unescape(part).strip() for part in re.split(r"<[^>]*>", item))))
            for item in re.findall(r"<li>(.*?)</li>", day)
        ]
        for day in days
    }


# --- choosing --------------------------------------------------------------------------------------------------------


def test_what_was_chosen_is_kept_and_stands_in_the_form(site: Site) -> None:
    done = send(
        site,
        edition="mine",
        topics="Protein  Design\r\n\r\n  diffusion models \nprotein design",
        authors="Ada Lovelace",
        organisations="Inria\n",
        categories="cs.LG",
        never="video",
        papers="5",
        hour="7",
        zone="europe/berlin",
        line="1",
        act="save",
    )
    assert (done.status_code, "Saved." in done.text) == (200, True)
    chosen = Selector.of(
        topics=["protein design", "diffusion models"],
        authors=["ada lovelace"],
        organisations=["inria"],
        categories=["cs.lg"],
        never=["video"],
        papers=5,
    )
    assert kept(site) == Choice(chosen, on_top=False, hour=7, zone="Europe/Berlin", say_nothing=False)
    page = site.client.get(site.preferences)
    assert field(page, "topics") == "diffusion models\nProtein Design"
    assert [field(page, kind) for kind in ("authors", "organisations", "categories", "never")] == [
        *("Ada Lovelace", "Inria", "cs.LG", "video")
    ]
    assert '<option value="7" selected>07:00</option>' in page.text
    assert 'name="zone" value="Europe/Berlin"' in page.text
    assert re.findall(r'name="(?:edition|papers|line)" value="(\w+)" checked', page.text) == ["mine", "5", "1"]


def test_who_chose_an_hour_is_told_by_which_clock(site: Site) -> None:
    shown = [
        re.sub(r"<[^>]+>", "", send(site, **form).text) for form in ({"hour": "7", "zone": "asia/tokyo"}, {"hour": "0"})
    ]
    assert "the next issue on. It comes at 07:00, by the clock of Asia/Tokyo." in shown[0]
    assert "the next issue on. It comes at 00:00, by the clock of UTC." in shown[1]
    assert "It comes at" not in send(site, topics="owls").text


def opened(site: Site) -> dict[str, Any]:
    """All fields of the preferences page as a browser would send them, if nothing is changed."""
    page = site.client.get(site.preferences)
    form: dict[str, Any] = {kind: field(page, kind) for kind in KINDS}
    form |= {name: html.unescape(text) for name, text in re.findall(r'name="(had-\w+)" value="([^"]*)"', page.text)}
    checked = re.findall(r'name="(edition|papers|often|pause|line)" value="(\w+)" checked', page.text)
    zone, until = (re.findall(rf'name="{name}"[^>]* value="([^"]*)"', page.text) for name in ("zone", "until"))
    hour = re.findall(r'<option value="(\d+)" selected', page.text)
    days = re.findall(r'name="day" value="(\d)" checked', page.text)
    return form | dict(checked) | {"zone": zone[0], "until": until[0], "hour": (hour or [""])[0], "day": days}


def submit(site: Site, form: dict[str, Any], **changed: Any) -> str:
    done = site.client.post(site.preferences, data=form | changed)
    assert done.status_code == 200
    return done.text


KEPT_TOO = "What was changed elsewhere since this page was opened is kept, too."


def test_what_a_link_in_a_mail_changed_while_the_page_was_open_stays(site: Site) -> None:
    site.store.choose(site.reader().ref, Choice(Selector.of(more=["night owls", "folding proteins"])))
    form = opened(site)
    assert form["had-more"] == form["more"] == "folding proteins\nnight owls"
    site.store.choose(site.reader().ref, Choice(Selector.of(more=["folding proteins", "cats"], less=["night owls"])))
    shown = send(site, **form | {"topics": "owls", "act": "show"})
    assert (field(shown, "more"), field(shown, "less").strip()) == ("folding proteins\ncats", "night owls")
    assert KEPT_TOO in submit(site, form, topics="owls")
    assert kept(site) == Choice(Selector.of(topics=["owls"], more=["folding proteins", "cats"], less=["night owls"]))
    form = opened(site)
    assert KEPT_TOO not in submit(site, form, more="cats", less="")  # erased by hand
    assert kept(site) == Choice(Selector.of(topics=["owls"], more=["cats"]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"topics": "owls"}, {"topics": "cats"}),
        ({"topics": "owls"}, {"hour": "7", "zone": "Asia/Tokyo"}),
        ({"authors": "Ada Lovelace", "edition": "mine", "papers": "5"}, {"often": "weekly", "day": ["4"]}),
        ({"pause": "until", "until": "2026-12-09"}, {"never": "video", "line": "1"}),
        ({"day": ["1", "2"], "line": "1"}, {"organisations": "Inria", "pause": "1"}),
    ],
)
def test_what_two_windows_change_is_kept_of_both(site: Site, one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = opened(site), opened(site)
    assert KEPT_TOO not in submit(site, first, **one)
    assert KEPT_TOO in submit(site, second, **other)
    both = opened(site)
    lines = {kind: {one.get(kind, ""), other.get(kind, "")} - {""} for kind in KINDS}
    assert {kind: set(both[kind].split("\n")) - {""} for kind in KINDS} == lines
    wanted = {name: value for name, value in (one | other).items() if name not in (*KINDS, "pause")}
    assert {name: both[name] for name in wanted} == wanted
    assert (both["pause"] == "until") is ("pause" in one | other)


def test_what_is_sent_again_or_undone_in_the_last_window_is_as_it_says(site: Site) -> None:
    site.store.choose(site.reader().ref, Choice(Selector.of(topics=["cats", "dogs"]), hour=7))
    form = opened(site)
    other = opened(site)
    submit(site, other, topics="cats\r\ndogs\r\nnight owls", hour="8")
    for _ in range(2):  # the second time by a reload
        submit(site, form, topics="Dogs", hour="9")
        assert kept(site) == Choice(Selector.of(topics=["dogs", "night owls"]), hour=9)
    assert KEPT_TOO not in submit(site, opened(site), topics="Dogs", hour="")
    assert kept(site) == Choice(Selector.of(topics=["dogs"]))


def test_who_wants_each_issue_again_is_told_where_the_papers_of_the_week_are(site: Site) -> None:
    said = "Papers that were listed since your last weekly mail"
    assert said not in send(site, often="weekly").text
    assert said not in send(site, often="weekly", hour="7").text
    assert said in send(site, often="each").text
    assert said not in send(site, often="each").text


def test_to_choose_nothing_is_the_main_edition(site: Site) -> None:
    send(site, topics="owls", hour="7")
    assert kept(site).selector == Selector.of(topics=["owls"])
    assert send(site, topics=" \n ").status_code == 200
    assert kept(site) == Choice()


def test_all_but_some_words_is_a_choice_of_its_own(site: Site) -> None:
    page = send(site, never="video", act="show").text
    assert "That is the main edition, without the papers that mention what you never want to see." in page
    assert send(site, never="video").status_code == 200
    assert kept(site) == Choice(Selector.of(never=["video"]))
    assert send(site, edition="mine", never="video", papers="all").status_code == 200
    assert kept(site) == Choice(Selector.of(never=["video"], papers=None), on_top=False)


def test_a_form_with_weekdays_alone_leaves_the_choice_as_it_is(site: Site) -> None:
    """It is from a page that was open since before an upgrade, or from a template of the operator's."""
    send(site, topics="owls", hour="7", zone="Asia/Kathmandu", line="1", papers="all")
    before = kept(site)
    done = site.client.post(site.preferences, data={"day": "0", "pause": "0"})
    assert done.status_code == 200
    assert (site.reader().days, kept(site)) == (1, before)


def test_what_a_form_does_not_have_is_kept(site: Site) -> None:
    """A template of the operator's, or a page that was open during an upgrade, has not all fields."""
    before = Choice.of(Selector.of(topics=["owls"], more=["night"], less=["day"], papers=7), weekly=True)
    site.store.choose(site.reader().ref, before)
    assert 'value="7" checked' in site.client.get(site.preferences).text
    send(site, topics="owls", papers="7", hour="9")
    assert kept(site) == replace(before, hour=9)
    site.store.choose(site.reader().ref, hourly := replace(before, hour=9, zone="Asia/Tokyo"))
    site.store.prefer(site.reader().ref, days=0b1, paused_until=date(2026, 12, 9))
    done = site.client.post(site.preferences, data={"edition": "top", "topics": "owls", "day": ["4"], "act": "save"})
    assert (done.status_code, kept(site)) == (200, hourly)
    assert (site.reader().days, site.reader().paused_until) == (0b10000, date(2026, 12, 9))


def test_once_a_week_or_on_each_of_the_days(site: Site) -> None:
    assert re.findall(r'name="often" value="(\w+)" checked', site.client.get(site.preferences).text) == ["each"]
    page = send(site, often="weekly", day=["4"])
    assert re.findall(r'name="often" value="(\w+)" checked', page.text) == ["weekly"]
    assert (kept(site), site.reader().days) == (Choice(weekly=True), 0b10000)
    for often in ("each", "\x00"):
        send(site, often="weekly")
        send(site, often=often)
        assert (kept(site), site.reader().days) == (Choice(), 0b1111111)


def test_what_is_wanted_more_or_less_of_is_shown_edited_and_erased(site: Site) -> None:
    send(site, more="Protein folding\nnight owls", less="benchmarks")
    page = site.client.get(site.preferences)
    assert [field(page, kind) for kind in ("more", "less")] == ["night owls\nProtein folding", "benchmarks"]
    assert kept(site).selector == Selector.of(more=["night owls", "protein folding"], less=["benchmarks"])
    send(site, more="night owls", less="")
    assert kept(site).selector == Selector.of(more=["night owls"])
    send(site, more="")
    assert kept(site) == Choice()


def test_a_look_changes_nothing(site: Site) -> None:
    had(site, issue(OWLS))
    send(site, topics="owls")
    before = kept(site)
    for _ in range(3):
        assert site.client.get(site.preferences).status_code == 200
        assert site.client.get(f"{site.preferences}?topics=cats&edition=mine&act=save").status_code == 200
        assert site.client.head(site.preferences).status_code == 200
    assert kept(site) == before


def test_who_has_left_or_has_another_link_chooses_nothing(site: Site) -> None:
    send(site, topics="owls")
    before = kept(site)
    for purpose in (Purpose.UNSUBSCRIBE, Purpose.UNDO):
        token = site.links.token(purpose, site.reader().ref)
        done = site.client.post(f"/preferences/{token}", data=DEFAULT | {"topics": "cats", "act": "show"})
        assert (done.status_code, "This link does not work" in done.text) == (404, True)
    assert kept(site) == before
    site.store.unsubscribe(ADDRESS)
    for act in ("show", "save"):
        assert send(site, topics="cats", act=act).status_code == 410


# --- before saving ---------------------------------------------------------------------------------------------------


def test_it_is_shown_what_would_have_been_picked_and_nothing_is_stored(site: Site) -> None:
    before = TODAY - timedelta(days=1)
    had(site, issue(paper(1), OWLS, day=before), issue(paper(2), PROTEINS, day=TODAY))
    page = send(site, edition="mine", topics="folding proteins", authors="W. Maathai", act="show", days="1")
    assert page.status_code == 200
    assert picked(page) == {
        "24 November 2026": ["Folding proteins with π | your topic: folding proteins"],
        "23 November 2026": ["Owls at <b>night</b> | an author you follow: Wangari Maathai"],
    }
    assert "Nothing is saved yet." in page.text
    assert f'<a href="{OWLS.url}" rel="noopener">' in page.text
    assert field(page, "topics") == "folding proteins"
    assert (kept(site), site.reader().days) == (Choice(), 0b1111111)


def test_words_to_leave_out_and_the_number_of_papers_hold_there_too(site: Site) -> None:
    had(site, issue(*(paper(n, title=f"Owls {n}", upvotes=n) for n in range(1, 40)), OWLS))
    few = picked(send(site, topics="owls", never="night", papers="5", act="show"))
    assert [len(papers) for papers in few.values()] == [5]
    everything = send(site, topics="owls", never="night", papers="all", act="show")
    assert [len(papers) for papers in picked(everything).values()] == [20]
    assert "and 19 more papers" in everything.text
    assert "night" not in str(picked(everything))


def test_a_paper_of_two_days_is_picked_once_and_a_late_riser_counts(site: Site) -> None:
    before = TODAY - timedelta(days=1)
    late = replace(issue(paper(1), day=TODAY), rising=(LateRiser(PROTEINS, before, 9), LateRiser(OWLS, before, 9)))
    had(site, issue(OWLS, day=before), late)
    page = picked(send(site, topics="owls\nproteins", act="show"))
    assert [len(papers) for papers in page.values()] == [1, 1]


def test_a_paper_that_feeds_list_by_different_names_is_picked_once(site: Site) -> None:
    by_id = paper(43, title="Night owls that fold proteins")
    by_link = replace(by_id, key="link:https://blog.example.org/owls")
    had(site, issue(by_link, day=TODAY - timedelta(days=1)), issue(by_id, day=TODAY))
    assert [len(papers) for papers in picked(send(site, topics="owls", act="show")).values()] == [0, 1]


def test_what_is_wanted_more_or_less_of_changes_what_is_shown(site: Site) -> None:
    had(site, issue(PROTEINS, OWLS, paper(7, title="Cats"), day=TODAY))
    assert picked(send(site, more="owls night", act="show")) == {
        "24 November 2026": ["Owls at <b>night</b> | more like: owls night"]
    }
    assert "with the papers last that are like those you want less of" in send(site, less="owls", act="show").text
    order = {"edition": "mine", "never": "dogs", "less": "proteins", "act": "show"}
    titles = [line.partition(" |")[0] for line in picked(send(site, **order))["24 November 2026"]]
    assert titles == ["Owls at <b>night</b>", "Cats", "Folding proteins with π"]


def test_a_weekly_reader_sees_the_best_of_the_week_once(site: Site) -> None:
    owls = [paper(n, title=f"Owls {n}", upvotes=n) for n in range(1, 13)]
    had(site, *(issue(*owls[2 * n : 2 * n + 2], day=TODAY - timedelta(days=n)) for n in range(6)))
    page = picked(send(site, topics="OWLS\nowls", often="weekly", papers="5", act="show"))
    assert page == {"19 November 2026 to 24 November 2026": [f"Owls {n} | your topic: OWLS" for n in range(12, 7, -1)]}
    assert "main edition of the week" in send(site, often="weekly", act="show").text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"edition": "mine"}, "Nothing fits: no mail."),
        ({"edition": "mine", "line": "1"}, "Nothing fits: a mail of one line."),
        ({"edition": "top"}, "Nothing fits: the main edition alone."),
    ],
)
def test_a_day_without_a_fitting_paper_is_said(site: Site, form: dict[str, str], said: str) -> None:
    had(site, issue())
    page = send(site, topics="quantum gravity", act="show", **form)
    assert picked(page) == {"24 November 2026": []}
    assert said in page.text
    assert "No paper of the last seven days fits what you chose. Try other words" in page.text


def test_without_papers_or_without_a_choice_that_is_said(site: Site) -> None:
    assert "There are no papers of the last days to pick from." in send(site, topics="owls", act="show").text
    assert "that is the main edition, as everybody gets it" in send(site, act="show").text


def test_a_word_is_as_rare_as_in_all_of_the_last_days() -> None:
    """As for the mail: on a day of two papers both words of the topic would be alike."""
    data = [paper(n, title="Data", abstract="We have data.") for n in range(50, 60)]
    days = [(TODAY, issue(OWLS)), (TODAY - timedelta(days=1), issue(*data, day=TODAY - timedelta(days=1)))]
    picked = Recent(lambda: days).picked(Choice(Selector.of(topics=["data on owls"])), wait=30)
    assert [[pick.paper.key for pick in each.picks] for each in picked.days] == [[OWLS.key], []]


def test_days_that_are_not_ready_are_said_and_not_waited_for() -> None:
    """The paper of the newest day cannot be read before the test lets it."""
    go_on = threading.Event()

    class Slow(str):
        __slots__ = ()

        def __getitem__(self, key: Any) -> str:
            go_on.wait(30)
            return str(self)[key]

    def load() -> list[tuple[date, Issue]]:
        slow = issue(replace(OWLS, title=Slow("Owls")))
        return [(TODAY, slow), (TODAY - timedelta(days=1), issue(PROTEINS, day=TODAY - timedelta(days=1)))]

    recent = Recent(load)
    choice = Choice(Selector.of(topics=["owls"]))
    early = recent.picked(choice, wait=0)
    assert (early.days, early.complete) == ((), False)
    go_on.set()
    later = recent.picked(choice, wait=30)
    assert later.complete
    assert [[pick.paper.key for pick in each.picks] for each in later.days] == [[OWLS.key], []]


def test_a_new_day_is_prepared_and_an_old_one_dropped_once_the_store_is_asked_again() -> None:
    days = [(TODAY, issue(OWLS))]
    clock = [0.0]
    asked: list[int] = []

    def load() -> list[tuple[date, Issue]]:
        asked.append(len(days))
        return list(days)

    recent = Recent(load, lambda: clock[0])
    choice = Choice(Selector.of(topics=["owls", "proteins"]))
    assert [each.day for each in recent.picked(choice, wait=30).days] == [TODAY]
    tomorrow = TODAY + timedelta(days=1)
    days[:] = [(tomorrow, issue(PROTEINS, day=tomorrow))]
    assert [each.day for each in recent.picked(choice, wait=30).days] == [TODAY]
    clock[0] = 301.0
    assert [each.day for each in recent.picked(choice, wait=30).days] == [tomorrow]
    assert asked == [1, 1]


def test_only_the_last_week_is_looked_at(site: Site) -> None:
    had(site, *(issue(replace(OWLS, key=str(n)), day=TODAY - timedelta(days=9 - n)) for n in range(10)))
    assert len(picked(send(site, topics="owls", act="show"))) == DAYS == 7


# --- what is refused -------------------------------------------------------------------------------------------------

MANY = "\n".join(f"topic {number}" for number in range(1000))


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Iterator[Site]:
    """Pages for what is refused, which changes nothing."""
    made = Site(tmp_path_factory.mktemp("unchanged"), store=shared_database_url)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    ("form", "name", "said"),
    [
        ({"edition": "mine"}, "topics", "Write at least one topic"),
        ({"edition": "mine", "topics": " \n\t\u3000"}, "topics", "Write at least one topic"),
        ({"topics": "owls\n..."}, "topics", "“...” has no word to look for."),
        ({"topics": "of the"}, "topics", "“of the” has no word to look for."),
        ({"topics": "owls " * 30}, "topics", "is too long. A line may have 100 characters."),
        ({"topics": "x" * 50_000}, "topics", "is too long. A line may have 100 characters."),
        ({"topics": MANY}, "topics", "There are too many lines. There may be 30."),
        ({"never": MANY}, "never", "There are too many lines. There may be 30."),
        ({"more": MANY}, "more", "There are too many lines. There may be 30."),
        ({"less": "of the"}, "less", "“of the” has no word to look for."),
        ({"edition": "mine", "more": "owls"}, "topics", "Write at least one topic"),
        ({"topics": "a\x00b"}, "topics", "“a b” has a character that cannot be read."),
        ({"authors": "\x1b[31m"}, "authors", "has a character that cannot be read."),
        ({"topics": "<script>alert(1)</script>" * 9}, "topics", "“<script>alert(1)</script><script>alert(1…” is too"),
        ({"topics": "\n".join(f"{n:090}" for n in range(17))}, "topics", "All fields together are too long."),
        ({"topics": "owls", "papers": "0"}, "", "Choose one of these numbers."),
        ({"topics": "owls", "papers": "1000"}, "", "Choose one of these numbers."),
        ({"topics": "owls", "papers": "٣"}, "", "Choose one of these numbers."),
        ({"topics": "Owls\nnight", "never": "owls"}, "never", "“owls” is also among what you want to see."),
        ({"more": "owls", "less": "OWLS"}, "less", "“OWLS” is also among what you want to see."),
        ({"hour": "24"}, "hour", "Choose one of these hours."),
        ({"hour": "-1"}, "hour", "Choose one of these hours."),
        ({"zone": "Berlin"}, "zone", "“Berlin” is not the name of a time zone."),
        ({"zone": "../../etc/passwd"}, "zone", "“../../etc/passwd” is not the name of a time zone."),
        ({"zone": "Europe/Berlin\x00"}, "zone", "is not the name of a time zone."),
        ({"zone": "Factory"}, "zone", "“Factory” is not the name of a time zone."),
        ({"zone": "x" * 50_000}, "zone", "is not the name of a time zone."),
    ],
)
def test_the_form_comes_again_with_what_is_wrong(unchanged: Site, form: dict[str, str], name: str, said: str) -> None:
    for act in ("show", "save"):
        done = send(unchanged, act=act, **form)
        assert done.status_code == 422
        assert said in wrong(done)[name]
        assert "Nothing is saved yet. Please correct what is marked below." in done.text.partition("<form")[0]
        assert "<script" not in done.text
        assert kept(unchanged) == Choice()
        for kind in ("topics", "authors", "never", "more", "less"):
            assert field(done, kind) == form.get(kind, "")
        if name in ("topics", "authors", "never", "more", "less", "hour", "zone"):
            assert re.search(rf'name="{name}"[^>]* aria-describedby="[^"]*{name}-wrong"', done.text)
            assert "autofocus" in done.text


def test_everything_that_is_wrong_is_said_at_once_and_all_that_was_typed_is_kept(site: Site) -> None:
    form = {"topics": "...", "authors": "x" * 101, "hour": "99", "zone": "Mars/Olympus", "line": "1", "papers": "20"}
    done = send(site, day=["1"], pause="until", until="soon", **form)
    assert done.status_code == 422
    assert {"topics", "authors", "hour", "zone"} <= wrong(done).keys()
    assert "Enter the date as year-month-day." in done.text
    assert 'value="Mars/Olympus"' in done.text
    assert re.findall(r'name="(\w+)" value="\w+" checked', done.text) == [
        *("edition", "papers", "line", "day", "often", "pause")
    ]
    assert "<details open>" in done.text
    assert (site.reader().days, kept(site)) == (0b1111111, Choice())


def test_more_than_any_form_holds_is_refused_with_the_form(site: Site) -> None:
    done = send(site, topics="x" * 60_000)
    assert done.status_code == 413
    assert wrong(done) == {"topics": "That is more than this form takes. Nothing was saved."}
    assert kept(site) == Choice()
    assert site.client.post(f"{site.preferences}/address", data={"email": "x" * 20_000}).status_code == 413


def test_all_that_is_allowed_fits_into_the_form(site: Site) -> None:
    lines = "\n".join(f"{number:02}" + "語" * 48 for number in range(30))
    assert send(site, topics=lines).status_code == 200
    assert len(kept(site).selector.topics) == 30  # type: ignore[union-attr]


def test_nothing_that_was_typed_is_in_a_log(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    had(site, issue(OWLS))
    for act in ("show", "save"):
        send(site, topics="secretword", zone="Europe/Berlin", act=act)
        send(site, topics="secretword\n...", zone="Secretzone", act=act)
    said = caplog.text + "".join(capfd.readouterr())
    assert "secret" not in said.lower()


def test_the_zones_that_are_offered_are_taken() -> None:
    names = choices.zones()
    assert {"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Argentina/Buenos_Aires"} <= set(names)
    for name in names:
        judged = choices.judge(choices.Filled(zone=name.replace("_", " ").lower()), TODAY)
        assert isinstance(judged, choices.Accepted)
        assert judged.choice.zone == name
