"""The web pages: only a POST acts, links cannot be guessed, and nobody can be flooded with mail or found out."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.errors import TemplateError
from newsletter.links import Links, Purpose
from newsletter.mail.render import Renderer
from newsletter.model import FrozenIssue, Outcome, OutcomeKind, RenderedIssue, Result, State, SubscriberStatus
from newsletter.store import Store
from newsletter.web import choices
from newsletter.web.abuse import networks
from tests import program
from tests.conftest import PUBLICATION, ROOT, issue, paper
from tests.pages import ADDRESS, BASE, SECRET, Server, Site, write_config

NEW = "eve@example.org"
GENEROUS = "web:\n  per_ip: 1000000\n  overall: 1000000\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def either(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """The site on SQLite and on PostgreSQL, with limits that no test reaches."""
    made = Site(tmp_path, GENEROUS, store=database_url)
    yield made
    made.store.close()


def flipped(token: str) -> list[str]:
    """`token` with each of its characters changed in turn."""
    return [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_looking_changes_nothing_however_often(site: Site) -> None:
    for _ in range(site.config.web.per_ip + 5):
        for look in (site.client.get, site.client.head, site.client.options):
            assert look(site.link).status_code == 200
    assert site.status is SubscriberStatus.ACTIVE
    page = site.client.get(site.link).text
    assert '<form method="post"><button type="submit">Unsubscribe</button></form>' in page
    assert ADDRESS not in page


def test_one_click_is_enough_and_may_be_repeated(site: Site) -> None:
    for _ in range(60):  # and is never too often
        done = site.client.post(site.link, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
        assert "You are unsubscribed" in done.text
        assert "Set-Cookie" not in done.headers
        assert site.status is SubscriberStatus.UNSUBSCRIBED


def test_the_button_of_the_page_does_the_same(site: Site) -> None:
    assert site.client.post(site.link).status_code == 200
    assert site.status is SubscriberStatus.UNSUBSCRIBED


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", ["unsubscribe", "confirm", "preferences"])
def test_a_link_that_is_not_ours_is_the_same_polite_page(site: Site, page: str, method: str) -> None:
    site.store.ask(NEW)
    own = {"unsubscribe": site.link, "confirm": site.confirmation(NEW), "preferences": site.preferences}
    token = own[page].rpartition("/")[2]
    others = [path.rpartition("/")[2] for name, path in own.items() if name != page]  # made for another purpose
    nobody = site.links.token(Purpose(page), "f" * 16)
    answers = {
        (done.status_code, done.text)
        for wrong in (*flipped(token), *others, nobody, "x", "..%2f..%2fetc%2fpasswd", "a" * 5000, "%00", "é")
        for done in [getattr(site.client, method)(f"/{page}/{wrong}")]
    }
    assert len(answers) == 1
    ((code, text),) = answers
    assert code == 404
    assert "This link does not work" in text
    assert site.client.get("/somewhere/else").text == text
    assert site.status is SubscriberStatus.ACTIVE
    assert site.reader(NEW).status is SubscriberStatus.PENDING


def test_a_link_of_another_list_or_secret_is_refused(site: Site) -> None:
    ref = site.reader().ref
    other = replace(site.config.publication, list_id="other.news.example.org")
    for links in (Links("another secret", site.config.publication), Links(SECRET, other)):
        token = links.token(Purpose.UNSUBSCRIBE, ref)
        assert site.client.post(f"/unsubscribe/{token}").status_code == 404
    assert site.status is SubscriberStatus.ACTIVE


def test_old_links_work_after_the_secret_was_changed(tmp_path: Path) -> None:
    before = Site(tmp_path)
    before.store.close()
    after = Site(tmp_path, f"old_secrets: [{SECRET}]\n", secret="a new one of this test")
    assert after.client.post(before.link).status_code == 200
    assert after.status is SubscriberStatus.UNSUBSCRIBED
    after.store.close()


# --- subscribing -----------------------------------------------------------------------------------------------------


def test_from_the_form_to_a_subscriber(either: Site) -> None:
    site = either
    asked = site.subscribe("Eve@Example.org")
    assert asked.status_code == 200
    assert "Check your inbox" in asked.text
    assert site.woken == 1
    assert site.reader("Eve@example.org").status is SubscriberStatus.PENDING
    link = site.confirmation("Eve@example.org")
    for _ in range(25):
        for look in (site.client.get, site.client.head, site.client.options):
            assert look(link).status_code == 200
    assert site.reader(NEW).status is SubscriberStatus.PENDING
    assert '<form method="post"><button type="submit">Yes, subscribe me' in site.client.get(link).text
    done = site.client.post(link)
    assert "You are subscribed" in done.text
    assert site.reader(NEW).status is SubscriberStatus.ACTIVE
    assert site.reader(NEW).consent == "confirmed on the web 2026-11-24 07:00 UTC"
    (preferences,) = re.findall(r'href="(/preferences/[^"]+)"', done.text)
    page = site.client.get(preferences).text
    assert "E…@example.org" in page
    assert not re.search(r"\beve\b", page.lower())


def test_confirming_needs_no_cookie_and_may_be_repeated_until_the_reader_leaves(site: Site) -> None:
    site.subscribe(NEW)
    link = site.confirmation(NEW)
    stranger = site.app.test_client()
    for _ in range(2):
        done = stranger.post(link)
        assert "You are subscribed" in done.text
        assert "Set-Cookie" not in done.headers
    site.clock.move(minutes=1)
    site.store.unsubscribe(NEW)
    assert stranger.get(link).status_code == stranger.post(link).status_code == 404
    assert site.reader(NEW).status is SubscriberStatus.UNSUBSCRIBED


def test_a_link_to_confirm_is_good_for_a_week(site: Site) -> None:
    site.subscribe(NEW)
    link = site.confirmation(NEW)
    site.clock.move(days=7)
    assert site.client.post(link).status_code == 404
    assert site.reader(NEW).status is SubscriberStatus.PENDING


def test_a_hundred_posts_make_one_mail(either: Site) -> None:
    either.subscribe(NEW)
    page = either.client.get("/", base_url=BASE).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)
    mails = 0
    for _ in range(100):
        done = either.client.post("/subscribe", data={"csrf_token": token, "email": NEW}, base_url=BASE)
        assert done.status_code == 200
        for due in either.store.due_sign_ups(10):
            either.store.note_mailed(due)
            mails += 1
    assert mails == 1


def test_fifty_who_confirm_at_once_make_one_subscriber(either: Site) -> None:
    either.subscribe(NEW)
    link = either.confirmation(NEW)
    gate = threading.Barrier(50)
    codes: list[int] = []

    def act() -> None:
        client = either.app.test_client()
        gate.wait()
        codes.append(client.post(link).status_code)

    threads = [threading.Thread(target=act) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 50
    assert either.store.count_subscribers()[SubscriberStatus.ACTIVE] == 2


def test_known_and_unknown_addresses_get_the_same_answer(site: Site) -> None:
    site.store.add("left@example.org")
    site.store.unsubscribe("left@example.org")
    site.store.ask("pending@example.org")
    answers = {
        (done.status_code, done.text, str(sorted(done.headers)))
        for address in (ADDRESS, "left@example.org", "pending@example.org", "unknown@example.org")
        for done in [site.subscribe(address)]
    }
    assert len(answers) == 1
    mailed = {due.address for due in site.store.due_sign_ups(9)}
    assert mailed == {"left@example.org", "pending@example.org", "unknown@example.org"}
    assert site.status is SubscriberStatus.ACTIVE


@pytest.mark.parametrize(
    ("email", "said"),
    [
        ("", "The field is empty."),
        ("eve", "An address has an @ in it."),
        ("eve@", "Please check it for typing errors."),
        ("eve@localhost", "The part after the @ has no dot."),
        ("eve@intranet", "The part after the @ has no dot."),
        ("a@b@example.org", "An address has only one @ in it."),
        ("eve@example.org\r\nBcc: all@example.org", "An address has no spaces in it."),
        ("<script>alert(1)</script>@example.org", "Please check it for typing errors."),
        ("x" * 65 + "@example.org", "It is too long."),
        ("x" * 5000, "An address has an @ in it."),
    ],
)
def test_a_bad_address_gets_the_form_again_with_what_is_wrong(site: Site, email: str, said: str) -> None:
    done = site.subscribe(email)
    assert done.status_code == 422
    (problem,) = re.findall(r'<p class="wrong" id="problem" role="alert">(.*?)</p>', done.text)
    assert problem.startswith("That is not an address we can write to. ")
    assert said in problem
    assert 'aria-invalid="true" aria-describedby="problem"' in done.text
    assert "<script" not in done.text
    assert len(list(site.store.subscribers())) == 1
    assert site.woken == 0


def test_what_was_typed_stands_in_the_form_again(site: Site) -> None:
    assert 'value="eve@example"' in site.subscribe("eve@example").text


def test_a_robot_that_fills_in_everything_gets_the_same_answer_and_nothing_else(site: Site) -> None:
    real = site.subscribe(ADDRESS)
    page = site.client.get("/", base_url=BASE).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)
    form = {"csrf_token": token, "email": NEW, "website": "https://spam.example"}
    done = site.client.post("/subscribe", data=form, base_url=BASE)
    assert (done.status_code, done.text) == (real.status_code, real.text)
    assert site.store.find(NEW) is None


def test_a_form_that_another_site_sends_is_refused_and_one_that_was_open_too_long_comes_again(site: Site) -> None:
    done = site.client.post("/subscribe", data={"email": NEW}, base_url=BASE)
    assert done.status_code == 400
    assert "Please press the button once more" in done.text
    assert f'value="{NEW}"' in done.text
    for origin in ("cross-site", "same-site", "none", ""):
        again = site.client.post("/subscribe", data={"email": NEW}, base_url=BASE, headers={"Sec-Fetch-Site": origin})
        assert again.status_code == 400
    stolen = site.client.get("/", base_url=BASE).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', stolen)
    elsewhere = site.app.test_client()  # without the cookie
    late = elsewhere.post("/subscribe", data={"csrf_token": token, "email": NEW}, base_url=BASE)
    assert late.status_code == 400
    assert "open for too long" in late.text
    assert site.store.find(NEW) is None


def test_a_form_of_the_archive_needs_no_cookie_where_the_browser_says_that_it_is_ours(site: Site) -> None:
    """Pages of the archive are cached, so they hold no token; no page of another site can send this header."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    done = site.client.post("/subscribe", data={"email": NEW, "website": ""}, base_url=BASE, headers=headers)
    assert done.status_code == 200
    assert "Check your inbox" in done.text
    assert site.reader(NEW).status is SubscriberStatus.PENDING
    bot = {"email": "bot@example.org", "website": "x"}
    assert site.client.post("/subscribe", data=bot, base_url=BASE, headers=headers).status_code == 200
    assert site.store.find("bot@example.org") is None
    bad = site.client.post("/subscribe", data={"email": "nobody"}, base_url=BASE, headers=headers)
    assert bad.status_code == 422
    stale = site.client.post("/subscribe", data={"email": NEW, "csrf_token": "x"}, base_url=BASE, headers=headers)
    assert stale.status_code == 400


def test_one_network_address_has_a_limit_and_the_others_do_not_suffer(tmp_path: Path) -> None:
    site = Site(tmp_path, "web:\n  per_ip: 3\n  overall: 8\n")
    ask = [site.subscribe(f"a{n}@example.org").status_code for n in range(20)]
    assert ask == [200] * 3 + [429] * 17
    late = site.subscribe("late@example.org")
    assert "Too many requests" in late.text
    assert site.store.find("late@example.org") is None
    other = [
        site.subscribe(f"b{n}@example.org", environ_overrides={"REMOTE_ADDR": f"2001:db8::{n}"}).status_code
        for n in range(4)
    ]
    assert other == [200] * 3 + [429]  # all of one /64
    third = [
        site.subscribe(f"c{n}@example.org", environ_overrides={"REMOTE_ADDR": f"198.51.100.{n}"}).status_code
        for n in range(4)
    ]
    assert third == [200, 200, 429, 429]  # the limit of all together
    assert 0 < int(late.headers["Retry-After"]) <= 3600
    assert site.client.post(site.link).status_code == 200  # who wants to leave always may
    assert site.client.get("/").status_code == 200
    site.store.close()


V6 = ("2001:db8:1:2::/64", "2001:db8:1::/56", "2001:db8:1::/48")


@pytest.mark.parametrize(
    ("client", "counts_as"),
    [
        ("192.0.2.7", ("192.0.2.7",) * 3),
        ("192.0.2.7:5678", ("192.0.2.7",) * 3),
        ("::ffff:192.0.2.7", ("192.0.2.7",) * 3),
        ("[::ffff:192.0.2.7]:80", ("192.0.2.7",) * 3),
        ("2001:db8:1:2:3:4:5:6", V6),
        ("[2001:db8:1:2:3:4:5:6]", V6),
        ("[2001:db8:1:2:3:4:5:6]:5678", V6),
        ("2001:db8:1:2:3:4:5:6%eth0", V6),
        ("", ("",) * 3),
        ("unix", ("unix",) * 3),
    ],
)
def test_a_customer_counts_once(client: str, counts_as: tuple[str, ...]) -> None:
    assert networks(client) == counts_as


@pytest.mark.parametrize("spelling", ["192.0.2.7:{}", "[2001:db8::7]:{}", "::ffff:192.0.2.{}", "2001:db8::{}"])
def test_what_a_proxy_writes_of_a_reader_is_folded_to_the_network(
    tmp_path: Path, serve: Callable[[Site], Server], spelling: str
) -> None:
    """As a real server reads the header; a mapped address is one of IPv4, and each of those is somebody else."""
    server = serve(Site(tmp_path, "web:\n  per_ip: 2\n", base="http://news.example.org"))
    codes = [server.subscribe(f"r{n}@example.org", X_Forwarded_For=spelling.format(n)) for n in range(1, 4)]
    assert codes == ([200] * 3 if spelling.startswith("::ffff") else [200, 200, 429])


# --- choosing --------------------------------------------------------------------------------------------------------


def test_weekdays_and_pause(either: Site) -> None:
    site = either
    page = site.client.get(site.preferences).text
    assert len(re.findall(r'name="day" value="\d" checked', page)) == 7
    assert 'value="0" checked><label for="pause0">' in page
    done = site.client.post(site.preferences, data={"day": ["0", "4"], "pause": "2"})
    assert "come again from 8 December 2026 on" in done.text
    reader = site.reader()
    assert (reader.days, reader.paused_until) == (0b10001, date(2026, 12, 8))
    page = site.client.get(site.preferences).text
    assert re.findall(r'name="day" value="(\d)" checked', page) == ["0", "4"]
    assert 'value="until" checked' in page
    assert 'value="2026-12-08"' in page
    site.client.post(site.preferences, data={"day": list("0123456"), "pause": "0"})
    assert (site.reader().days, site.reader().paused_until) == (0b1111111, None)


def test_a_pause_that_is_over_is_not_shown(site: Site) -> None:
    site.client.post(site.preferences, data={"day": "0", "pause": "until", "until": "2026-12-01"})
    site.clock.move(days=7)
    assert 'value="0" checked><label for="pause0">' in site.client.get(site.preferences).text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"pause": "0"}, "Choose at least one day."),
        ({"day": ["7", "x", "-1"], "pause": "0"}, "Choose at least one day."),
        ({"day": "1", "pause": "until", "until": "soon"}, "Enter the date as year-month-day"),
        ({"day": "1", "pause": "until"}, "Enter the date as year-month-day"),
        ({"day": "1", "pause": "until", "until": "2026-11-24"}, "must be in the future"),
        ({"day": "1", "pause": "until", "until": "2036-11-24"}, "must be in the future"),
        ({"day": "1", "pause": "3"}, "Enter the date as year-month-day"),
        ({}, "Choose at least one day."),
    ],
)
def test_a_choice_that_makes_no_sense_is_said_and_not_kept(
    site: Site, form: dict[str, str | list[str]], said: str
) -> None:
    done = site.client.post(site.preferences, data=form)
    assert done.status_code == 422
    assert said in done.text
    assert (site.reader().days, site.reader().paused_until) == (0b1111111, None)


def test_choices_are_of_the_publication_s_calendar() -> None:
    assert choices.read(["0"], "1", "", date(2026, 11, 24)) == choices.When(1, date(2026, 12, 1))


def test_another_address_takes_over_once_it_has_confirmed(either: Site) -> None:
    site = either
    site.client.post(site.preferences, data={"day": "0", "pause": "0"})
    done = site.client.post(f"{site.preferences}/address", data={"email": NEW})
    assert "A mail is on its way to the new address" in done.text
    assert site.status is SubscriberStatus.ACTIVE
    link = site.confirmation(NEW)
    assert site.client.get(link).status_code == 200
    assert site.status is SubscriberStatus.ACTIVE
    assert site.client.post(link).status_code == 200
    assert (site.status, site.reader().reason) == (SubscriberStatus.UNSUBSCRIBED, "changed address")
    assert (site.reader(NEW).status, site.reader(NEW).days) == (SubscriberStatus.ACTIVE, 1)
    assert site.client.get(site.preferences).status_code == 410


def test_a_new_address_that_is_none_or_the_same_is_said(site: Site) -> None:
    move = f"{site.preferences}/address"
    done = site.client.post(move, data={"email": "eve"})
    assert (done.status_code, "An address has an @ in it." in done.text) == (422, True)
    done = site.client.post(move, data={"email": ADDRESS.upper()})
    assert (done.status_code, "come to this address already" in done.text) == (422, True)
    assert site.store.due_sign_ups(9) == []


def test_moving_has_limits_of_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path, "web:\n  per_ip: 2\n")
    move = f"{site.preferences}/address"
    codes = [site.client.post(move, data={"email": f"a{n}@example.org"}).status_code for n in range(3)]
    assert codes == [200, 200, 429]
    assert site.subscribe("b@example.net").status_code == 200
    site.store.close()


def test_a_reader_may_ask_for_few_moves_wherever_they_are(site: Site) -> None:
    move = f"{site.preferences}/address"
    answers = [
        site.client.post(
            move, data={"email": f"a{n}@example.org"}, environ_overrides={"REMOTE_ADDR": f"198.51.100.{n}"}
        )
        for n in range(6)
    ]
    assert [done.status_code for done in answers] == [200] * 5 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600


def test_who_has_left_can_choose_nothing(site: Site) -> None:
    site.store.unsubscribe(ADDRESS)
    for done in (
        site.client.get(site.preferences),
        site.client.post(site.preferences, data={"day": "0", "pause": "0"}),
        site.client.post(f"{site.preferences}/address", data={"email": NEW}),
    ):
        assert done.status_code == 410
        assert "This address is not subscribed" in done.text
    assert site.reader().days == 0b1111111
    assert site.store.find(NEW) is None


# --- the home page ---------------------------------------------------------------------------------------------------


def sent(site: Site, rendered: RenderedIssue) -> FrozenIssue:
    """The issue, sent to the one subscriber."""
    frozen = site.store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24))
    copies = site.store.claim(frozen.id, 9, resend_uncertain=1)
    site.store.turn([], copies)
    accepted = Outcome(OutcomeKind.ACCEPTED, 250, "ok")
    site.store.turn([Result(copy, State.SENDING, accepted) for copy in copies], [])
    return frozen


def test_the_latest_issue_is_shown_once_it_was_sent(site: Site) -> None:
    assert "No issue has been sent yet." in site.client.get("/").text
    first = Renderer(PUBLICATION).issue(issue(paper(1, title="Of <b>bold</b> claims"), paper(2)))
    sent(site, first)
    site.store.freeze(
        Renderer(PUBLICATION).issue(issue(paper(3), day=date(2026, 11, 25))), PUBLICATION, lifetime=timedelta(1)
    )
    page = site.client.get("/").text
    assert "24 November 2026" in page
    assert "Of &lt;b&gt;bold&lt;/b&gt; claims" in page
    assert "Paper number 3" not in page
    assert 'href="/archive/2026-11-24/"' in page
    assert "slot.invalid" not in page
    links = re.findall(r'<a [^>]*href="https://[^>]*>', page)
    assert links
    assert all('rel="noopener"' in link for link in links)
    assert "<img" not in page


@pytest.mark.parametrize("html", ["<p>no marks</p>", "<!--paper--><tr><td>reader@slot.invalid</td></tr><!--end-->"])
def test_an_issue_that_cannot_be_taken_apart_is_left_out(site: Site, html: str) -> None:
    sent(site, RenderedIssue(date(2026, 11, 24), "s", html, "t"))
    page = site.client.get("/")
    assert page.status_code == 200
    assert "slot.invalid" not in page.text


# --- all of them -----------------------------------------------------------------------------------------------------


def test_every_answer_is_hardened(site: Site) -> None:
    answers = (
        site.client.get("/"),
        site.client.get(site.link),
        site.client.get(site.preferences),
        site.client.post("/x"),
        site.client.put(site.link),
        site.subscribe("x"),
    )
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.mimetype == "text/html"
    assert answers[4].status_code == 405
    assert "POST" in answers[4].headers["Allow"]
    assert site.client.post("/subscribe", data=b"x" * 20_000).status_code == 413
    assert site.client.post(site.link, data=b"x" * 20_000).status_code in (200, 413)


def test_the_only_cookie_guards_the_form(site: Site) -> None:
    (cookie,) = site.client.get("/", base_url=BASE).headers.getlist("Set-Cookie")
    assert cookie.startswith("newsletter=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Expires" not in cookie
    for path in (site.link, site.preferences, "/nowhere"):
        assert "Set-Cookie" not in site.app.test_client().get(path).headers


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example/..", "/unsubscribe//x", "/subscribe/", "/?next=https://evil.example"]
)
def test_nothing_leads_elsewhere_whatever_host_or_path_is_asked_for(site: Site, path: str) -> None:
    done = site.client.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert done.status_code in (200, 404, 405)
    assert "Location" not in done.headers
    assert "evil.example" not in done.text


def test_a_store_that_cannot_be_used_is_said_politely(site: Site) -> None:
    link = site.link
    site.store.close()
    Path(site.config.store.removeprefix("sqlite:///")).write_bytes(b"not a database" * 1000)
    done = site.client.post(link)
    assert done.status_code == 503
    assert done.headers["Retry-After"] == "60"
    assert "try again in a minute" in done.text


def test_a_page_of_the_operator_s_goes_before_ours_and_is_tried_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "mine" / "web").mkdir(parents=True)
    home = tmp_path / "mine" / "web" / "home.html"
    home.write_text('{% extends "builtin/web/home.html" %}{% block promise %}Owls.{% endblock %}', "utf-8")
    site = Site(tmp_path, "templates: mine\n")
    page = site.client.get("/").text
    assert "<p>Owls.</p>" in page
    assert 'name="email"' in page
    home.write_text("{{ nope }}", "utf-8")
    broken = site.client.get("/")
    assert (broken.status_code, broken.mimetype, "nope" in broken.text) == (500, "text/plain", False)
    site.store.close()
    home.write_text("\n{% if %}", "utf-8")
    with pytest.raises(TemplateError, match=r"home.html:2: "):
        Site(tmp_path, "templates: mine\n")


def test_under_a_path_every_link_keeps_it(tmp_path: Path) -> None:
    site = Site(tmp_path, base="https://example.org/news")
    client, there = site.app.test_client(), {"SCRIPT_NAME": "/news"}
    page = client.get("/", environ_overrides=there, base_url="https://example.org/news")
    assert 'action="/news/subscribe"' in page.text
    assert "Path=/news" in page.headers["Set-Cookie"]
    token = site.links.token(Purpose.PREFERENCES, site.reader().ref)
    page = client.get(f"/preferences/{token}", base_url="https://example.org/news")
    paths = re.findall(r'(?:href|action)="(/[^"]*)"', page.text)
    assert len(paths) >= 4
    assert all(path.startswith("/news/") for path in paths)
    site.store.close()


# --- as a process ----------------------------------------------------------------------------------------------------


def test_the_command_serves_the_page_takes_the_click_and_stops_when_told(
    tmp_path: Path, serve: Callable[[Site], Server]
) -> None:
    site = Site(tmp_path)
    server = serve(site)
    assert server.greeting.startswith(f"serving on http://127.0.0.1:{server.port}/; ")
    assert BASE in server.greeting
    assert "<h1>Leave Daily Papers?</h1>" in server.ask("GET", site.link)[1]
    assert "You are unsubscribed" in server.ask("POST", site.link, "List-Unsubscribe=One-Click")[1]
    assert server.ask("POST", "/subscribe", "x" * 100_000)[0] == 413
    assert server.stop() == (0, "stopped\n", "")
    with Store.open(site.config.store) as store:
        assert store.count_subscribers()[SubscriberStatus.UNSUBSCRIBED] == 1


@pytest.mark.parametrize("prefix", ["/news", ""], ids=["the proxy passes the path on", "the proxy strips it"])
def test_under_a_path_it_works_behind_either_kind_of_proxy(
    tmp_path: Path, serve: Callable[[Site], Server], prefix: str
) -> None:
    site = Site(tmp_path, base="https://example.org/news")
    token = site.links.token(Purpose.UNSUBSCRIBE, site.reader().ref)
    server = serve(site)
    status, page = server.ask("GET", f"{prefix}/")
    assert (status, 'action="/news/subscribe"' in page) == (200, True)
    assert server.ask("POST", f"{prefix}/unsubscribe/{token}")[0] == 200


def test_only_the_proxy_says_who_the_reader_is(tmp_path: Path, serve: Callable[[Site], Server]) -> None:
    plain = "http://news.example.org"  # so that the cookie comes back without TLS
    trusting = serve(Site(tmp_path, "web:\n  per_ip: 1\n", base=plain))
    hosts = enumerate(("192.0.2.1", "192.0.2.1", "192.0.2.2"))
    codes = [trusting.subscribe(f"a{n}@example.org", X_Forwarded_For=f"203.0.113.9, {host}") for n, host in hosts]
    assert codes == [200, 429, 200]  # what the reader claims themselves does not count
    trusting.stop()
    other = serve(Site(tmp_path, "web:\n  per_ip: 1\n  trusted_proxy: 198.51.100.1\n", base=plain))
    assert [other.subscribe(f"b{n}@example.org", X_Forwarded_For=f"192.0.2.{n}") for n in (1, 2)] == [200, 429]


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ("base_url: null", 78, "config.yaml: base_url is missing"),
        ("web:\n  trusted_proxy: nginx", 78, "expected a network address"),
    ],
)
def test_what_keeps_it_from_serving_is_one_line(tmp_path: Path, config: str, code: int, said: str) -> None:
    path = write_config(tmp_path)
    text = path.read_text("utf-8")
    path.write_text(text.replace(f"base_url: {BASE}", config) if "base_url" in config else f"{text}{config}\n", "utf-8")
    done = program.run(
        [*program.COMMAND, "-c", str(path), "web"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*program.COMMAND, "-c", str(path), "web", "--port", port]
        done = program.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "cannot be used" in done.stderr) == (1, True)


def test_a_host_that_is_no_address_is_said_in_one_line(tmp_path: Path) -> None:
    command = [*program.COMMAND, "-c", str(write_config(tmp_path)), "web", "--host", "nohost.invalid"]
    done = program.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--host: nohost.invalid is not an address or name of this machine")
