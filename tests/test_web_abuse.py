"""Nobody can flood a mailbox or a domain through the form, close it for others, or shape another's subscription."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.addresses import mailbox, masked, organisation
from newsletter.model import SubscriberStatus
from newsletter.store import signup_limits
from newsletter.store.signup_limits import PastMail, may_mail
from tests.fakes import FakeClock
from tests.pages import ADDRESS, BASE, Site
from tests.smtpd import Smtpd, smtpd
from tests.test_web_confirmations import part, read, site_at

pytest_plugins = ["tests.postgres"]

GENEROUS = "web:\n  per_ip: 1000000\n  overall: 1000000\n"
VICTIM = "victim@example.net"


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = Site(tmp_path, GENEROUS, store=database_url)
    yield made
    made.store.close()


def mails(site: Site) -> list[str]:
    """The addresses to which a confirmation is due; the mails are noted as sent."""
    due = site.store.due_sign_ups(1000)
    for each in due:
        site.store.note_mailed(each)
    return [each.address for each in due]


# --- mailboxes -------------------------------------------------------------------------------------------------------

SPELLINGS = [
    f"{local}@{domain}"
    for domain in ("gmail.com", "googlemail.com", "Gmail.com")
    for local in ("grace.hopper", "gracehopper", "g.race.hopper+a", "GraceHopper+news", "gracehopper+news+x")
]


@pytest.mark.slow
def test_all_spellings_of_a_mailbox_get_two_mails_a_day(site: Site) -> None:
    assert len(SPELLINGS) >= 14
    for address in SPELLINGS:
        assert site.subscribe(address).status_code == 200
    assert len(mails(site)) == 2
    site.clock.move(days=1)
    for address in SPELLINGS:
        site.subscribe(address)
    assert len(mails(site)) == 2
    counts = []
    for day in range(60):
        site.clock.move(days=1)
        for address in SPELLINGS[day % 5 :: 5]:  # three of them
            site.store.ask(address)
        site.store.drop_unconfirmed()
        counts.append(len(mails(site)))
    assert max(counts) <= 2
    assert sum(counts) <= 12  # and not two a day for ever


@pytest.mark.parametrize(
    ("address", "folded"),
    [
        ("Ada.L+x@gmail.com", "adal@gmail.com"),
        ("ada.l@example.org", "ada.l@example.org"),
        ("ada+news+x@example.org", "ada@example.org"),
        ("+ada@example.org", "+ada@example.org"),
        ("...@gmail.com", "...@gmail.com"),
        ("a_d-a@pm.me", "ada@proton.me"),
        ("a-da@ya.ru", "ada@yandex.ru"),
        ("ada@me.com", "ada@icloud.com"),
    ],
)
def test_spellings_of_one_mailbox_are_folded(address: str, folded: str) -> None:
    assert mailbox(address) == folded


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("a@example.org", "example.org"),
        ("a@x.y.example.org", "example.org"),
        ("a@cs.example.ac.uk", "example.ac.uk"),
        ("a@www.example.de", "example.de"),
        ("a@co.uk", "co.uk"),
    ],
)
def test_names_below_a_domain_are_its_owner_s(address: str, owner: str) -> None:
    assert organisation(address) == owner


@pytest.mark.parametrize(("address", "shown"), [("ada@example.org", "a…@example.org"), ("a@b.example", "a…@b.example")])
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_an_address_that_never_confirms_gets_its_mails_ever_more_rarely(site: Site) -> None:
    days = []
    for day in range(100):
        site.store.ask(VICTIM)
        days += [day] * len(mails(site))
        site.store.drop_unconfirmed()
        site.clock.move(days=1)
    assert days == [0, 1, 8, 38, 68, 98]


def test_who_confirms_begins_anew(site: Site) -> None:
    site.store.ask(VICTIM)
    site.client.post(site.confirmation(VICTIM))
    site.store.unsubscribe(VICTIM)
    for _ in range(3):
        site.clock.move(days=1, seconds=1)
        site.store.ask(VICTIM)
        site.client.post(site.confirmation(VICTIM))
        site.store.unsubscribe(VICTIM)


def test_the_limits_of_a_mailbox_are_a_pure_rule() -> None:
    now = FakeClock().now()
    day = timedelta(days=1)
    one = [PastMail(now - day, answered=False)]
    assert may_mail([], [], now)
    assert may_mail(one, one, now)
    assert not may_mail(one, one, now - timedelta(seconds=1))
    assert not may_mail([], [PastMail(now, answered=False)] * 2, now)
    assert not may_mail([], [PastMail(now - 2 * day, answered=False)] * 4, now)
    assert may_mail([], [PastMail(now - 2 * day, answered=True)] * 4, now)


@pytest.mark.parametrize("reason", ["complaint: abuse", "Status complained", "the reader marked it as spam"])
@pytest.mark.parametrize("asked", ["grace.hopper@gmail.com", "gracehopper+x@googlemail.com"])
def test_who_complained_is_not_written_to_for_long(site: Site, asked: str, reason: str) -> None:
    site.store.add("grace.hopper@gmail.com")
    site.store.suppress("grace.hopper@gmail.com", reason)
    for _ in range(13):
        site.clock.move(days=28)
        site.store.ask(asked)
        assert mails(site) == []
    site.clock.move(days=1)
    site.store.ask(asked)
    assert mails(site) == [asked]


@pytest.mark.parametrize("reason", ["permanent: 5.1.1 no such user, complaints to the postmaster", "refused: spam", ""])
def test_who_was_suppressed_by_bounces_may_come_back(site: Site, reason: str) -> None:
    site.store.add(VICTIM)
    site.store.suppress(VICTIM, reason)
    site.store.ask(VICTIM)
    assert mails(site) == [VICTIM]


# --- domains and networks --------------------------------------------------------------------------------------------


def test_a_domain_without_a_reader_gets_twenty_mails_a_day(site: Site) -> None:
    for n in range(60):
        site.store.ask(f"r{n}@{'x' * (n % 3)}{'.' * bool(n % 3)}catch-all.example")
    assert len(mails(site)) == signup_limits.PER_DOMAIN
    site.store.ask("ada@elsewhere.example")
    assert mails(site) == ["ada@elsewhere.example"]
    site.clock.move(days=1)
    for n in range(60, 100):
        site.store.ask(f"r{n}@catch-all.example")
    assert len(mails(site)) == signup_limits.PER_DOMAIN


def test_a_domain_with_a_reader_has_no_limit_of_its_own(site: Site) -> None:
    site.store.add("first@cs.example.ac.uk")
    for n in range(30):
        site.store.ask(f"r{n}@example.ac.uk")
    assert len(mails(site)) == 30
    for n in range(30):
        site.store.ask(f"r{n}@other.ac.uk")
    assert len(mails(site)) == 20


def test_100_tags_from_many_networks_of_one_customer_bring_few_mails(tmp_path: Path) -> None:
    site = Site(tmp_path, "web:\n  per_ip: 4\n")
    codes = []
    for n in range(100):
        client = f"2001:db8:0:{n % 25:x}::{n:x}"
        codes.append(site.subscribe(f"victim+{n}@example.net", environ_overrides={"REMOTE_ADDR": client}).status_code)
    assert len(mails(site)) == 2
    assert codes.count(200) == 8  # of a /56, twice as many as of a /64
    elsewhere = site.subscribe("ada@example.com", environ_overrides={"REMOTE_ADDR": "198.51.100.7"})
    assert elsewhere.status_code == 200
    assert mails(site) == ["ada@example.com"]
    site.store.close()


def test_a_site_of_many_customers_has_a_limit_too(tmp_path: Path) -> None:
    site = Site(tmp_path, "web:\n  per_ip: 5\n")
    codes = [
        site.subscribe(f"r{n}@example.org", environ_overrides={"REMOTE_ADDR": f"2001:db8:0:{n * 64:x}::1"}).status_code
        for n in range(30)
    ]
    assert codes.count(200) == 20
    site.store.close()


def test_what_makes_no_mail_due_closes_nothing(tmp_path: Path) -> None:
    """More empty forms, wrong addresses and requests for one mailbox, from everywhere, than the limit of all.

    An honest reader is served.
    """
    site = Site(tmp_path, "web:\n  overall: 10\n")
    for n in range(15):
        here = {"REMOTE_ADDR": f"198.51.{n // 5}.{n % 5}"}
        assert site.client.post("/subscribe", environ_overrides=here).status_code == 400
        assert site.client.post(f"{site.preferences}/address", environ_overrides=here).status_code == 422
    for n in range(15):
        here = {"REMOTE_ADDR": f"203.0.{n // 5}.{n % 5}"}
        assert site.subscribe("no address", environ_overrides=here).status_code == 422
        assert site.subscribe(VICTIM, environ_overrides=here).status_code == 200
    assert site.subscribe("ada@example.com").status_code == 200
    assert mails(site) == [VICTIM, "ada@example.com"]
    assert site.client.post(f"{site.preferences}/address", data={"email": "new@example.com"}).status_code == 200
    assert mails(site) == ["new@example.com"]
    site.store.close()


def test_the_limit_of_all_survives_a_restart_and_ends_after_an_hour(tmp_path: Path) -> None:
    site = Site(tmp_path, "web:\n  overall: 3\n")
    for n in range(3):
        assert site.subscribe(f"r{n}@example.org").status_code == 200
    site.store.close()
    again = Site(tmp_path, "web:\n  overall: 3\n")
    again.clock.move(minutes=10)
    done = again.subscribe("late@example.org")
    assert (done.status_code, done.headers["Retry-After"]) == (429, str(50 * 60))
    assert again.client.post(f"{again.preferences}/address", data={"email": "n@example.org"}).status_code == 200
    again.clock.move(minutes=50)
    assert again.subscribe("late@example.org").status_code == 200
    again.store.close()


# --- moves -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Smtpd]:
    with smtpd() as running:
        yield running


@pytest.fixture
def posting(tmp_path: Path, server: Smtpd) -> Iterator[Site]:
    """The pages with a mail server."""
    made = site_at(tmp_path, server.port)
    yield made
    made.store.close()


NEW = "mallory@example.com"


def move(site: Site, new: str = NEW) -> None:
    """The holder of the link moves the subscription to `new`."""
    site.clock.move(minutes=1)
    assert site.client.post(f"{site.preferences}/address", data={"email": new}).status_code == 200
    assert site.client.post(site.confirmation(new)).status_code == 200
    assert site.reader(new).status is SubscriberStatus.ACTIVE


def test_the_preferences_do_not_show_the_address(posting: Site) -> None:
    page = posting.client.get(posting.preferences).text
    assert "a…@example.org" in page
    assert ADDRESS not in page


def test_the_old_address_is_told_once_and_can_undo(posting: Site, server: Smtpd) -> None:
    posting.store.prefer(posting.reader().ref, days=0b101, paused_until=date(2027, 1, 1))
    move(posting)
    sender = posting.confirmation_sender()
    assert sender.send_due() == 1
    assert sender.send_due() == 0
    mail = read(server.messages[0])
    assert (mail["To"], mail["Subject"]) == (ADDRESS, "Your new address for Daily Papers")
    links = {link for kind in ("plain", "html") for link in re.findall(BASE + r"/undo/[\w-]+", part(mail, kind))}
    for kind in ("plain", "html"):
        assert "m…@example.com" in part(mail, kind)
        assert "mallory" not in part(mail, kind)
        assert "slot.invalid" not in part(mail, kind)
    (link,) = (link.removeprefix(BASE) for link in links)
    for _ in range(10):
        assert "Undo the change of address?" in posting.client.get(link).text
    assert posting.status is SubscriberStatus.UNSUBSCRIBED
    for _ in range(2):
        done = posting.client.post(link)
        assert (done.status_code, "The mails come to you again" in done.text) == (200, True)
    reader = posting.reader()
    assert (reader.status, reader.days, reader.paused_until) == (SubscriberStatus.ACTIVE, 0b101, date(2027, 1, 1))
    assert posting.reader(NEW).status is SubscriberStatus.UNSUBSCRIBED
    assert sender.send_due() == 0


def undo_link(site: Site) -> str:
    """The link that is due to be mailed to the old address first."""
    notice = site.store.due_notices(9)[0]
    return site.path_of(site.links.undo(notice.ref))


def test_moving_on_does_not_escape_the_undoing(posting: Site) -> None:
    move(posting)
    link = undo_link(posting)
    second = posting.path_of(posting.links.preferences(posting.reader(NEW).ref))
    posting.clock.move(minutes=1)
    posting.client.post(f"{second}/address", data={"email": "two@example.com"})
    posting.client.post(posting.confirmation("two@example.com"))
    assert "The mails come to you again" in posting.client.post(link).text
    assert posting.status is SubscriberStatus.ACTIVE
    for address in (NEW, "two@example.com"):
        assert posting.reader(address).status is SubscriberStatus.UNSUBSCRIBED
    assert posting.store.due_notices(9) == []


def test_an_address_that_reads_by_its_own_wish_stays_when_a_move_to_it_is_undone(posting: Site) -> None:
    posting.store.add(NEW)
    move(posting)
    posting.client.post(undo_link(posting))
    assert (posting.status, posting.reader(NEW).status) == (SubscriberStatus.ACTIVE,) * 2


def test_a_move_can_be_undone_for_two_weeks_and_not_after_leaving(posting: Site) -> None:
    move(posting)
    link = undo_link(posting)
    posting.clock.move(days=13)
    posting.store.drop_unconfirmed()
    assert posting.client.get(link).status_code == 200
    posting.clock.move(days=1)
    assert posting.client.post(link).status_code == 404
    posting.store.drop_unconfirmed()
    assert posting.client.post(link).status_code == 404
    assert posting.status is SubscriberStatus.UNSUBSCRIBED


def test_an_old_address_that_bounces_is_not_written_to(posting: Site, server: Smtpd) -> None:
    posting.client.post(f"{posting.preferences}/address", data={"email": NEW})
    link = posting.confirmation(NEW)
    posting.store.suppress(ADDRESS, "permanent: 5.1.1")
    assert posting.client.post(link).status_code == 200
    assert posting.confirmation_sender().send_due() == 0
    assert server.messages == []


def test_a_stranger_s_request_to_move_shapes_nothing_of_a_later_subscription(site: Site) -> None:
    site.store.prefer(site.reader().ref, days=1, paused_until=date(2027, 1, 1))
    site.clock.move(minutes=1)
    site.client.post(f"{site.preferences}/address", data={"email": VICTIM})
    assert site.store.find(VICTIM) is None
    foreign = site.confirmation(VICTIM)
    site.clock.move(minutes=1)
    site.subscribe(VICTIM)  # which gets a mail of its own
    own = site.confirmation(VICTIM)
    assert site.client.post(own).status_code == 200
    reader = site.reader(VICTIM)
    assert (reader.status, reader.days, reader.paused_until) == (SubscriberStatus.ACTIVE, 0b1111111, None)
    assert site.status is SubscriberStatus.ACTIVE
    site.client.post(foreign)
    assert (site.reader(VICTIM).days, site.status) == (0b1111111, SubscriberStatus.ACTIVE)


def test_who_asked_themselves_keeps_their_choices_though_they_confirm_a_stranger_s_move(site: Site) -> None:
    site.store.prefer(site.reader().ref, days=1, paused_until=date(2027, 1, 1))
    site.clock.move(minutes=1)
    site.subscribe(VICTIM)
    site.client.post(f"{site.preferences}/address", data={"email": VICTIM})
    (foreign,) = [each for each in site.store.due_sign_ups(9) if each.moves]
    site.client.post(site.path_of(site.links.confirm(foreign.ref, foreign.asked_at)))
    reader = site.reader(VICTIM)
    assert (reader.status, reader.days, reader.paused_until) == (SubscriberStatus.ACTIVE, 0b1111111, None)


def test_requests_of_strangers_leave_no_trace(site: Site) -> None:
    site.store.add(VICTIM)
    site.store.unsubscribe(VICTIM)
    with site.store._db.read() as connection:
        query = "SELECT * FROM subscribers ORDER BY id"
        before = connection.exec_driver_sql(query).all()
    site.store.ask(VICTIM)
    site.store.ask_move(site.reader().ref, VICTIM)
    assert mails(site) == [VICTIM, VICTIM]
    site.clock.move(days=7)
    site.store.drop_unconfirmed()
    with site.store._db.read() as connection:
        assert connection.exec_driver_sql(query).all() == before
        assert connection.exec_driver_sql("SELECT count(*) FROM moves").scalar() == 0
        kept = str(connection.exec_driver_sql("SELECT * FROM mail_requests").all())
    assert "victim" not in kept


def test_an_undo_link_is_of_this_list_and_for_nothing_else(posting: Site) -> None:
    move(posting)
    link = undo_link(posting)
    token = link.rpartition("/")[2]
    for page in ("unsubscribe", "preferences", "confirm"):
        assert posting.client.post(f"/{page}/{token}").status_code == 404
    other = posting.links.unsubscribe(posting.reader().ref)[0].rpartition("/")[2]
    assert posting.client.post(f"/undo/{other}").status_code == 404
    assert posting.status is SubscriberStatus.UNSUBSCRIBED
