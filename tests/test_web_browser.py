"""The web pages in a real browser and the mail in a real mailbox, from subscribing to unsubscribing.

What is looked at besides: axe, which judges accessibility, on every page in light and in dark, and whether a page is
wider than a small phone.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from newsletter import config as configs
from newsletter import feed, resources
from newsletter.config import FeedConfig
from newsletter.issue.choice import Choice
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.issue.selector import Selector
from newsletter.mail.render import Renderer, legible
from newsletter.model import IssuePapers, Outcome, OutcomeKind, Result, State, SubscriberStatus
from newsletter.pipeline import run
from newsletter.runtime import Runtime
from newsletter.store import Store
from tests import program
from tests.chromium import DESKTOP, SHOWN, UNDRAWN, judged, prefer, show_on, without_scripts
from tests.conftest import ROOT
from tests.mailhost import DOMAIN, MailHost
from tests.pages import write_config

DAY = date(2026, 11, 24)


class Running:
    """`newsletter web` as a process that sends to the mail host, with one subscriber and one issue sent."""

    def __init__(self, folder: Path, smtp_port: int, more: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        smtp = f"smtp:\n  - host: 127.0.0.1\n    port: {smtp_port}\nweb:\n  per_ip: 1000\n{more}"
        self.path = write_config(folder, smtp, base=self.base)
        self.config = configs.load(self.path)
        self.store = Store.open(self.config.store)
        self._send_an_issue()
        command = [*program.COMMAND, "-c", str(self.path), "web", "--port", str(port)]
        self.process = program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(f"serving on {self.base}/; ")

    def _send_an_issue(self) -> None:
        self.store.add(f"carol@{DOMAIN}")
        sample = feed.parse(resources.find("sample_day.json").read_bytes(), FeedConfig("day.json"))
        issue = compose([sample], DAY, IssueRules())
        self.paper = issue.papers[0]
        frozen = self.store.freeze(
            Renderer(self.config.publication).issue(issue),
            self.config.publication,
            lifetime=timedelta(hours=1),
            key_id=self.config.links().key_id,
            papers=IssuePapers(contents=legible(issue), candidates=issue, offered={DAY: issue.papers}),
        )
        copies = self.store.claim(frozen.id, 9, resend_uncertain=1)
        self.store.turn([], copies)
        accepted = Outcome(OutcomeKind.ACCEPTED, 250, "ok")
        self.store.turn([Result(copy, State.SENDING, accepted) for copy in copies], [])

    def publish(self, day: date, at: int) -> None:
        """Run the list for `day` at this hour (UTC). Its papers are like those of the first issue, with other ids."""
        sample = resources.find("sample_day.json").read_bytes()
        (self.path.parent / "x.json").write_bytes(sample.replace(b"2611.90", b"2611.80"))
        now = datetime(day.year, day.month, day.day, at, tzinfo=UTC)
        with Store.open(self.config.store, now=lambda: now) as store:
            run(self.config, day, store, Runtime(now=lambda: now))

    def status(self, address: str) -> SubscriberStatus | None:
        found = self.store.find(address)
        return None if found is None else found.status

    def link(self, address: str, kind: str) -> str:
        """A link from this subscriber's mails."""
        found = self.store.find(address)
        assert found is not None
        links = self.config.links()
        return {"unsubscribe": links.unsubscribe(found.ref)[0], "preferences": links.preferences(found.ref)}[kind]

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; returns the exit code and the output."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        self.store.close()
        return self.process.returncode, said


@pytest.fixture(scope="module")
def running(host: MailHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("site"), host) as made:
        yield made


@contextmanager
def serving(folder: Path, host: MailHost, more: str = "") -> Iterator[Running]:
    """The pages in this folder, with the lines `more` in their configuration, during the block."""
    made = Running(folder, host.smtp_port, more)
    try:
        yield made
    finally:
        assert made.stop() == (0, "")


def heading(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "h1").text


# Finds the button with a label, and marks the page as the one that is left.
FIND_BUTTON = """
window.isLeft = true;
const [label] = arguments;
const button = [...document.querySelectorAll("button")].find((each) => each.textContent.trim() === label);
"""


def press(browser: webdriver.Chrome, label: str) -> None:
    """Press a button and wait for the whole of the next page."""
    browser.execute_script(f"{FIND_BUTTON} return button", label).click()
    wait_for_next_page(browser)


def wait_for_next_page(browser: webdriver.Chrome) -> None:
    from selenium.webdriver.support.ui import WebDriverWait  # only the process with the browser waits for this import

    is_there = "return !window.isLeft && document.readyState === 'complete'"
    WebDriverWait(browser, 20, poll_frequency=0.02).until(lambda shown: shown.execute_script(is_there))


def fill(browser: webdriver.Chrome, **texts: str) -> None:
    """Put texts into fields, by id, at once."""
    browser.execute_script(
        "for (const [id, text] of Object.entries(arguments[0])) document.getElementById(id).value = text", texts
    )


def confirmation(host: MailHost, address: str, number: int) -> EmailMessage:
    """The newest of `number` confirmations in this mailbox."""
    mails = host.inbox(address, number)
    assert len(mails) == number
    return mails[-1]


def link_in(mail: EmailMessage, page: str = "confirm") -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    (link,) = re.findall(rf"^(http://\S+/{page}/\S+)\s*$", body.get_content(), re.MULTILINE)
    return str(link)


def test_an_old_address_undoes_a_change_from_its_mailbox(
    running: Running, host: MailHost, browser: webdriver.Chrome
) -> None:
    old, new = f"carol@{DOMAIN}", f"carol+new@{DOMAIN}"
    before = len(host.inbox(old, 0))
    show_on(browser, DESKTOP)
    browser.get(running.link(old, "preferences"))
    assert f"c…@{DOMAIN}" in browser.find_element(By.TAG_NAME, "strong").text
    browser.find_element(By.ID, "email").send_keys(new)
    press(browser, "Change address")
    browser.get(link_in(confirmation(host, old, before + 1)))
    press(browser, "Yes, subscribe me")
    assert running.status(new) is SubscriberStatus.ACTIVE
    browser.get(link_in(confirmation(host, old, before + 2), "undo"))
    assert heading(browser) == "Undo the change of address?"
    press(browser, "Yes, send the mails to me again")
    assert heading(browser) == "The mails come to you again"
    assert (running.status(old), running.status(new)) == (SubscriberStatus.ACTIVE, SubscriberStatus.UNSUBSCRIBED)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_from_the_form_over_the_mailbox_and_out_again(
    running: Running, host: MailHost, browser: webdriver.Chrome, *, scripts: bool
) -> None:
    address = f"{'alice' if scripts else 'bob'}@{DOMAIN}"
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    with nullcontext() if scripts else without_scripts(browser):
        browser.get(f"{running.base}/")
        assert "Lighthouse: Reading Long Documents" in browser.page_source
        browser.find_element(By.ID, "email").send_keys("nobody@intranet")
        press(browser, "Subscribe")
        assert "The part after the @ has no dot." in browser.find_element(By.ID, "problem").text
        field = browser.find_element(By.ID, "email")
        field.clear()
        field.send_keys(address)
        press(browser, "Subscribe")
        assert heading(browser) == "Check your inbox"

        mail = confirmation(host, address, 1)
        assert mail["Subject"] == "Confirm your subscription to Daily Papers"
        browser.get(link_in(mail))
        assert heading(browser) == "Get Daily Papers by mail?"
        assert running.status(address) is SubscriberStatus.PENDING
        press(browser, "Yes, subscribe me")
        assert heading(browser) == "You are subscribed"
        assert running.status(address) is SubscriberStatus.ACTIVE

        browser.find_element(By.LINK_TEXT, "Choose what you get").click()
        assert heading(browser) == "What you get"
        browser.find_element(By.XPATH, "//label[.='Sunday']").click()
        browser.find_element(By.XPATH, "//label[.='Two weeks']").click()
        press(browser, "Save")
        assert browser.find_element(By.CSS_SELECTOR, "[role=status]").text.startswith("Saved. The mails pause")
        reader = running.store.find(address)
        assert reader is not None
        assert reader.days == 0b0111111
        assert reader.paused_until is not None

        browser.get(running.link(address, "unsubscribe"))
        assert heading(browser) == "Leave Daily Papers?"
        press(browser, "Unsubscribe")
        assert heading(browser) == "You are unsubscribed"
        assert running.status(address) is SubscriberStatus.UNSUBSCRIBED


def test_choose_topics_get_that_edition_ask_for_more_like_a_paper_and_leave(
    host: MailHost, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    """All without scripts: the preferences, a mail at the hour that was chosen, and a link below one of its papers."""
    mailbox, address = f"carol@{DOMAIN}", f"carol+chooses@{DOMAIN}"
    before = len(host.inbox(mailbox, 0))
    with serving(tmp_path, host) as site, without_scripts(browser):
        site.store.add(address)
        reader = site.store.find(address)
        assert reader is not None
        browser.get(site.link(address, "preferences"))
        browser.find_element(By.XPATH, "//label[.='Only what I choose here']").click()
        press(browser, "Show what this picks")
        assert "Write at least one topic" in browser.find_element(By.ID, "topics-wrong").text

        browser.find_element(By.ID, "topics").send_keys("language models")
        browser.find_element(By.XPATH, "//label[.='5 papers']").click()
        browser.find_element(By.ID, "zone").send_keys("europe/berlin")
        browser.find_element(By.XPATH, "//select[@id='hour']/option[.='07:00']").click()
        press(browser, "Show what this picks")
        shown = browser.find_element(By.CSS_SELECTOR, ".picked")
        assert "24 November 2026" in shown.text
        assert "your topic: language models" in shown.text
        titles = [item.text for item in shown.find_elements(By.CSS_SELECTOR, "li a")]
        assert 0 < len(titles) <= 5
        assert site.store.choice_of(reader.ref) == Choice()

        press(browser, "Save")
        assert browser.find_element(By.CSS_SELECTOR, "[role=status]").text.startswith("Saved.")
        assert browser.find_element(By.ID, "topics").get_attribute("value") == "language models"
        chosen = Choice(Selector.of(topics=["language models"], papers=5), on_top=False, hour=7, zone="Europe/Berlin")
        assert site.store.choice_of(reader.ref) == chosen

        site.publish(DAY + timedelta(days=1), at=5)
        assert len(host.inbox(mailbox, before + 1)) == before + 1  # the main edition, at once
        site.publish(DAY + timedelta(days=1), at=6)
        copy = host.inbox(mailbox, before + 2)[-1]
        assert copy["To"] == address
        body = copy.get_body(("plain",))
        assert body is not None
        text = str(body.get_content())
        assert [title for title in titles if title in " ".join(text.split())] == titles
        browser.get(re.findall(r"More like this:\s+(http\S+)", text)[0])
        assert heading(browser) == "More like this"
        assert site.store.choice_of(reader.ref) == chosen
        press(browser, "Yes, more like this")
        assert browser.find_element(By.CSS_SELECTOR, "[role=status]").text.startswith("Saved.")
        words = browser.find_element(By.CSS_SELECTOR, "main p:last-child strong").text.replace(", ", " ")
        browser.find_element(By.LINK_TEXT, "change or erase").click()
        assert browser.find_element(By.ID, "more").get_attribute("value") == words
        kept = Selector.of(topics=["language models"], more=[words], papers=5)
        assert site.store.choice_of(reader.ref) == replace(chosen, selector=kept)

        browser.find_element(By.PARTIAL_LINK_TEXT, "Unsubscribe").click()
        press(browser, "Unsubscribe")
        assert site.status(address) is SubscriberStatus.UNSUBSCRIBED


def test_from_a_page_of_the_archive_to_the_latest_issue_in_the_mailbox_in_german(
    host: MailHost, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    mailbox, address = f"carol@{DOMAIN}", f"carol+archiv@{DOMAIN}"
    before = len(host.inbox(mailbox, 0))
    with serving(tmp_path, host, "language: de\n") as german:
        browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
        show_on(browser, DESKTOP)
        browser.get(f"{german.base}/archive/{DAY}")  # as the link in a mail that was forwarded
        assert heading(browser) == "24. November 2026"
        assert browser.get_cookies() == []
        field = browser.find_element(By.ID, "email")
        field.send_keys(address)
        press(browser, "Anmelden")
        browser.get(link_in(confirmation(host, mailbox, before + 1)))
        press(browser, browser.find_element(By.CSS_SELECTOR, "main button").text)
        assert german.status(address) is SubscriberStatus.ACTIVE
        assert "Die neueste Ausgabe von Daily Papers ist zu Ihrem Postfach unterwegs" in browser.page_source
        copy = host.inbox(mailbox, before + 2)[-1]
        issue = german.store.issue(DAY)
        reader = german.store.find(address)
        assert issue is not None
        assert reader is not None
        assert copy["Subject"] == issue.rendered.subject
        assert copy["Message-ID"] == german.config.links().message_id(DAY, reader.ref)
        assert "24. November 2026" in str(copy.get_body(("plain",)))
        again = link_in(copy, "unsubscribe")
        browser.get(again)
        press(browser, browser.find_element(By.CSS_SELECTOR, "main button").text)
        assert german.status(address) is SubscriberStatus.UNSUBSCRIBED


PAGES = (
    *("home", "problem", "expired", "asked", "confirm", "confirmed", "preferences", "saved", "unclear", "moved"),
    *("unsubscribe", "left", "unknown", "mail", "undo", "undone", "told", "search", "nothing_found", "no_issue"),
    *("archive", "once_more", "picked", "refused", "feedback"),
)


@pytest.fixture(scope="module")
def shown(
    browser: webdriver.Chrome, running: Running, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[str, dict[str, str]]]:
    """Shows one of PAGES, and has its document and its colours in light and in dark. Each is shown once."""

    @cache
    def show(page: str) -> tuple[str, dict[str, str]]:
        Shown(browser, running, tmp_path_factory.mktemp(page), f"{page}@example.org").show(page)
        colours = {}
        for scheme in ("light", "dark"):
            prefer(browser, scheme)
            colours[scheme] = browser.execute_script(
                "return getComputedStyle(document.querySelector('body, .page')).backgroundColor"
            )
        return browser.execute_script(SHOWN), colours

    return show


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_shown_in_light_and_in_dark(
    shown: Callable[[str], tuple[str, dict[str, str]]], page: str
) -> None:
    assert shown(page)[1] == {"light": "rgb(238, 240, 243)", "dark": "rgb(15, 19, 24)"}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_accessible_and_fits_a_small_phone(
    browser: webdriver.Chrome, shown: Callable[[str], tuple[str, dict[str, str]]], page: str
) -> None:
    assert judged(browser, shown(page)[0], mail=page in ("mail", "told")) == []


class Shown:
    """Leads the browser to a page, or to a state of it, for a reader of its own."""

    def __init__(self, browser: webdriver.Chrome, running: Running, folder: Path, address: str) -> None:
        self.browser, self.running, self.folder, self.address = browser, running, folder, address

    def show(self, page: str) -> None:
        show_on(self.browser, DESKTOP | UNDRAWN)
        getattr(self, page)()

    def _press(self, label: str) -> None:
        """Press a button without a mouse, which takes much longer, and wait for the whole of the next page."""
        self.browser.execute_script(f"{FIND_BUTTON} button.click()", label)
        wait_for_next_page(self.browser)

    def home(self) -> None:
        self.browser.get(f"{self.running.base}/")

    def subscribe(self, address: str) -> None:
        self.home()
        fill(self.browser, email=address)
        self._press("Subscribe")

    def problem(self) -> None:
        self.subscribe("nobody@intranet")

    def expired(self) -> None:
        self.home()
        self.browser.delete_all_cookies()
        self._press("Subscribe")
        assert "open for too long" in self.browser.page_source

    def asked(self) -> None:
        self.subscribe("nobody@nowhere.test")

    def confirm(self) -> None:
        self.running.store.ask(self.address)
        ref = self.running.store.find(self.address)
        assert ref is not None
        self.browser.get(self.running.config.links().confirm(ref.ref, ref.created_at))

    def confirmed(self) -> None:
        self.confirm()
        self._press("Yes, subscribe me")

    def preferences(self) -> None:
        self.running.store.add(self.address)
        self.browser.get(self.running.link(self.address, "preferences"))

    def saved(self) -> None:
        self.preferences()
        week = self.browser.find_element(By.XPATH, "//label[.='One week']")
        self.browser.execute_script("arguments[0].click()", week)
        self._press("Save")

    def unclear(self) -> None:
        self.preferences()
        self.browser.execute_script("document.getElementsByName('day').forEach(each => { each.checked = false })")
        self._press("Save")
        assert "Choose at least one day" in self.browser.page_source

    def picked(self) -> None:
        self.preferences()
        fill(self.browser, topics="language models\nrobots")
        self._press("Show what this picks")
        assert "your topic: language models" in self.browser.page_source

    def refused(self) -> None:
        self.preferences()
        fill(self.browser, topics="long " * 30, never="...", zone="Nowhere")
        self._press("Show what this picks")
        assert self.browser.find_element(By.ID, "refused").is_displayed()
        assert len(self.browser.find_elements(By.CSS_SELECTOR, ".wrong[role=alert]:not(#refused)")) == 3
        assert self.browser.switch_to.active_element.get_attribute("id") == "topics"

    def feedback(self) -> None:
        self.running.store.add(self.address)
        self._ask(more=False)
        self._press("Yes, less like this")
        self._ask(more=True)
        assert "You asked for the opposite before" in self.browser.page_source

    def _ask(self, *, more: bool) -> None:
        reader = self.running.store.find(self.address)
        assert reader is not None
        link = self.running.config.links().feedback(reader.ref)
        self.browser.get(f"{link}?paper={self.running.paper.key}&more={int(more)}")

    def moved(self) -> None:
        self.preferences()
        fill(self.browser, email="else@nowhere.test")
        self._press("Change address")

    def unsubscribe(self) -> None:
        self.running.store.add(self.address)
        self.browser.get(self.running.link(self.address, "unsubscribe"))

    def left(self) -> None:
        self.unsubscribe()
        self._press("Unsubscribe")

    def unknown(self) -> None:
        self.browser.get(f"{self.running.base}/confirm/nonsense")

    def archive(self) -> None:
        self.browser.get(f"{self.running.base}/archive/")

    def search(self) -> None:
        self.archive()
        fill(self.browser, q="a")
        self._press("Search")
        assert self.browser.find_elements(By.CSS_SELECTOR, ".list li")

    def nothing_found(self) -> None:
        self.browser.get(f"{self.running.base}/archive/search?q={'x' * 150}")

    def no_issue(self) -> None:
        self.browser.get(f"{self.running.base}/archive/2026-01-01")
        assert "There is no issue of 1 January 2026" in self.browser.page_source

    def once_more(self) -> None:
        (self.folder / "elsewhere.html").write_text(
            f'<form method="post" action="{self.running.base}/subscribe"><button>Subscribe</button></form>', "utf-8"
        )
        self.browser.get(f"file://{self.folder / 'elsewhere.html'}")
        self._press("Subscribe")
        assert "Please press the button once more" in self.browser.page_source

    def undo(self) -> None:
        store, new = self.running.store, f"new.{self.address}"
        store.add(self.address)
        reader = store.find(self.address)
        assert reader is not None
        store.ask_move(reader.ref, new)
        (request,) = [each for each in store.due_sign_ups(99) if each.address == new]
        store.note_mailed(request)
        store.confirm(request.ref, request.asked_at, "pressed")
        self.browser.get(self.running.config.links().undo(request.ref))

    def undone(self) -> None:
        self.undo()
        self._press("Yes, send the mails to me again")

    def mail(self) -> None:
        self._letter("confirm", confirm_url="https://x.example", moves=False)

    def told(self) -> None:
        self._letter("moved", undo_url="https://x.example", new_address="a…@example.org", days=14)

    def _letter(self, name: str, **values: Any) -> None:
        letter = Renderer(self.running.config.publication).letter(name, **values)
        (self.folder / "mail.html").write_text(letter[2], "utf-8")
        self.browser.get(f"file://{self.folder / 'mail.html'}")
