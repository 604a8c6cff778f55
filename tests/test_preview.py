"""The preview in a real browser: views can be chosen, and the page reloads after an edit of a template."""

from __future__ import annotations

import html
import http.client
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from newsletter.cli import main
from newsletter.preview import server
from newsletter.runtime import Runtime
from tests.conftest import ROOT

DAY = "2026-11-24"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A config whose feed is a file, and a folder for the operator's templates."""
    shutil.copy(ROOT / "newsletter" / "sample_day.json", tmp_path / f"{DAY}.json")
    (tmp_path / "2026-11-22.json").write_text("[]", "utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "config.yaml").write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "base_url: https://news.example.org\nfeeds:\n  - url: '{date}.json'\ntemplates: mine\n",
        "utf-8",
    )
    return tmp_path


@pytest.fixture
def running(site: Path) -> Iterator[server.Server]:
    made = server.start(site / "config.yaml", 0, Runtime())
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.stop()
    thread.join(10)


def ask(running: server.Server, path: str, *, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    port = int(running.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{port}" if host is None else host)
    connection.endheaders()
    return connection.getresponse()


def read(running: server.Server, path: str) -> str:
    response = ask(running, path)
    assert response.status == 200
    body = response.read().decode()
    response.close()
    return body


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.com", "127.0.0.1.evil.com", "", "evil.example:8000"])
def test_only_a_loopback_name_is_answered(running: server.Server, host: str) -> None:
    for path in ("/", "/mail", "/static/page.css"):
        response = ask(running, f"{path}?date={DAY}", host=host)
        assert response.status == 421
        assert b"Lighthouse" not in response.read()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:1234", "[::1]:80"])
def test_every_loopback_name_is_answered(running: server.Server, host: str) -> None:
    assert ask(running, f"/?date={DAY}", host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(running: server.Server, method: str) -> None:
    assert ask(running, "/", method=method).status == 405


def test_the_page_shows_each_view_of_a_day(running: server.Server, site: Path) -> None:
    assert "List-Unsubscribe: &lt;https://news.example.org/" in read(running, f"/?date={DAY}&part=headers")
    assert "Lighthouse: Reading Long Documents" in read(running, f"/?date={DAY}&part=text")
    page = read(running, f"/?date={DAY}")
    assert "No problems found." in page
    assert "KiB of HTML; Gmail clips at 102 KiB." in page
    outlook = read(running, f"/mail?date={DAY}&part=outlook")
    assert outlook.count("<style") == 1  # that of the frame
    assert "@media" not in outlook
    assert "PixelsPerInch" not in outlook  # whose figure would stand above the mail
    assert '<table role="presentation" width="640"' in outlook
    assert "@media all" in read(running, f"/mail?date={DAY}&scheme=dark")
    assert "@media not all" in read(running, f"/mail?date={DAY}&scheme=light")
    assert not list(site.glob("*.db"))


def test_the_inbox_row_is_cut_as_on_a_phone(running: server.Server, site: Path) -> None:
    page = read(running, f"/?date={DAY}")
    assert '<p class="sender"><bdi>digest@news.example.org</bdi></p>' in page
    subject, words = (re.findall(f'<p class="{name}"><bdi>(.*)</bdi>', page)[0] for name in ("subject", "preheader"))
    assert len(html.unescape(subject)) <= 40
    assert words == "How Much Sleep Does a Robot Need? Conso…"
    assert len(html.unescape(words)) <= 40
    (site / "mine" / "digest.html").write_text(
        '<body><p> <b>A&shy;&zwnj;</b> lot&#847; of <img alt="owls"></p><p>No', "utf-8"
    )
    assert '<p class="preheader"><bdi>A lot of owls</bdi></p>' in read(running, f"/?date={DAY}")


def test_a_mail_from_right_to_left_is_shown_so(running: server.Server, site: Path) -> None:
    config = site / "config.yaml"
    config.write_text(config.read_text("utf-8") + "language: he\n", "utf-8")
    assert '<div class="inbox" lang="he" dir="rtl">' in read(running, f"/?date={DAY}")
    assert '<pre class="mail" lang="he" dir="rtl">' in read(running, f"/?date={DAY}&part=text")
    assert 'dir="rtl"' in read(running, f"/mail?date={DAY}")


@pytest.mark.parametrize(
    ("query", "mail", "names", "schemes"),
    [
        ({}, "prefers-color-scheme: dark", ["part", "width", "scheme"], ["light", "dark"]),
        ({"scheme": "dark"}, "prefers-color-scheme: dark", ["part", "width", "scheme"], ["dark"]),
        ({"scheme": "dark"}, "one look for all", ["part", "width"], ["light"]),
        ({"scheme": "x", "part": "y"}, "<img src=z>", ["part", "width", "images"], ["light"]),
        ({"part": "outlook", "scheme": "dark"}, "prefers-color-scheme <IMG>", ["part", "images"], ["light"]),
        ({"part": "text"}, "prefers-color-scheme <img>", ["part"], []),
        ({"part": "headers"}, "prefers-color-scheme <img>", ["part"], []),
    ],
)
def test_only_views_that_change_something_are_offered(
    query: dict[str, str], mail: str, names: list[str], schemes: list[str]
) -> None:
    view = server.View.of(query)
    assert list(server.offered(view, mail)) == names
    assert [frame.scheme for frame in server.frames(view, mail)] == schemes


def test_the_days_beside_are_links(running: server.Server) -> None:
    page = read(running, f"/?date={DAY}&part=text")
    for rel, day in (("prev", "2026-11-23"), ("next", "2026-11-25")):
        assert re.search(f'<a rel="{rel}" href="[^"]*part=text[^"]*date={day}"', page)
    assert 'rel="next"' not in read(running, "/?date=9999-12-31")
    assert 'rel="prev"' not in read(running, "/?date=0001-01-01")


def test_the_mail_is_shown_with_its_hands_tied(running: server.Server) -> None:
    policy = ask(running, f"/mail?date={DAY}").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "sandbox" in policy
    assert "img-src 'none'" in ask(running, f"/mail?date={DAY}&images=off").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("date=2026-11-22", "weekend - nothing new is listed on a Sunday"),
        ("date=2026-11-01", "No such file"),
        ("date=soon", "soon is not a date; write it as YYYY-MM-DD"),
    ],
)
def test_a_day_without_a_mail_says_why(running: server.Server, query: str, said: str) -> None:
    assert said in read(running, f"/?{query}")


def test_a_mistake_is_shown_and_its_repair_too(running: server.Server, site: Path) -> None:
    broken = site / "mine" / "digest.txt"
    broken.write_text("{{ nope }}", "utf-8")
    assert "digest.txt:1: &#39;nope&#39; is undefined" in read(running, f"/?date={DAY}")
    broken.unlink()
    assert "nope" not in read(running, f"/?date={DAY}")
    config = site / "config.yaml"
    right = config.read_text("utf-8")
    config.write_text(right + "titel: x\n", "utf-8")
    assert "did you mean title?" in read(running, f"/?date={DAY}")
    config.write_text(right + "filters:\n  include: [zebrafish]\n", "utf-8")
    assert "filtered-out - 8 papers, all left out by min_upvotes or filters" in read(running, f"/?date={DAY}")
    config.write_text(right + "title: Owls Weekly\n", "utf-8")
    assert "Owls Weekly" in read(running, f"/mail?date={DAY}")


def test_a_port_that_is_taken_is_said_with_what_to_do(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["-c", str(site / "config.yaml"), "preview", "--serve", "--port", str(port)])
    assert ended.value.code == 1
    said = f"newsletter: port {port} of 127.0.0.1 cannot be used: Address already in use; try --port 0\n"
    assert capfd.readouterr().err == said


# --- in the browser --------------------------------------------------------------------------------------------------


def test_views_switch_by_a_click_and_a_saved_template_shows_by_itself(
    browser: webdriver.Chrome, running: server.Server, site: Path
) -> None:
    # A sixth of a second, which only the process with the browser takes.
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.ui import WebDriverWait

    def mail(script: str) -> object:
        browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
        try:
            return browser.execute_script(f"return {script}")
        finally:
            browser.switch_to.default_content()

    def width() -> object:
        """The width of the mail's content: of its page without a scroll bar."""
        return mail("document.documentElement.clientWidth")

    def turn(key: str) -> None:
        """Press a key that leads to another page, and wait until that page is there."""
        before = browser.find_element(By.TAG_NAME, "body")
        before.send_keys(key)
        wait.until(staleness_of(before))

    background = "getComputedStyle(document.querySelector('div[role=article]')).backgroundColor"
    gone = StaleElementReferenceException  # the page is loaded anew while it is looked at
    wait = WebDriverWait(browser, 20, ignored_exceptions=[gone])
    browser.get(f"{running.url}?date={DAY}")
    assert (
        mail("document.querySelector('.titlelink').innerText")
        == "Lighthouse: Reading Long Documents in One Pass with Sparse Beams"
    )
    assert (width(), mail("innerWidth"), mail(background)) == (375, 375, "rgb(238, 240, 243)")
    assert mail("document.documentElement.scrollHeight > innerHeight") is True  # there is something to scroll
    light, dark = browser.find_elements(By.TAG_NAME, "iframe")
    assert light.location["y"] == dark.location["y"]  # side by side
    browser.switch_to.frame(dark)
    assert browser.execute_script(f"return {background}") == "rgb(15, 19, 24)"
    browser.switch_to.default_content()

    browser.find_element(By.LINK_TEXT, "dark").click()
    assert mail(background) == "rgb(15, 19, 24)"
    browser.find_element(By.LINK_TEXT, "desktop").click()
    assert (width(), mail("innerWidth"), mail(background)) == (800, 800, "rgb(15, 19, 24)")
    browser.find_element(By.LINK_TEXT, "Outlook for Windows").click()
    assert (mail("document.styleSheets.length"), mail(background)) == (1, "rgb(238, 240, 243)")  # the frame's own
    assert browser.find_elements(By.LINK_TEXT, "dark") == []
    browser.find_element(By.LINK_TEXT, "text").click()
    assert "Daily Papers" in browser.find_element(By.TAG_NAME, "pre").text

    turn(Keys.ARROW_LEFT)
    assert "date=2026-11-23" in browser.current_url
    browser.find_element(By.NAME, "date").send_keys(Keys.ARROW_RIGHT)  # the cursor moves
    browser.find_element(By.TAG_NAME, "h1").click()
    turn(Keys.ARROW_RIGHT)
    assert f"date={DAY}" in browser.current_url
    assert "part=text" in browser.current_url  # the view stays

    browser.get(f"{running.url}?date={DAY}")
    # The server has the page's ear once it answered /changes; saving before that would go unheard.
    wait.until(
        lambda _: browser.execute_script(
            "return performance.getEntriesByType('resource').some(e => e.name.endsWith('page.js'))"
        )
    )
    (site / "mine" / "digest.html").write_text(
        "{% extends 'builtin/digest.html' %}{% block masthead %}<tr><td><h1>Owls</h1></td></tr>{% endblock %}", "utf-8"
    )
    wait.until(lambda _: mail("document.querySelector('h1').innerText") == "Owls")

    (site / "config.yaml").write_text((site / "config.yaml").read_text("utf-8") + "issue:\n  max_papers: 2\n", "utf-8")
    wait.until(lambda _: mail("document.querySelectorAll('h2').length") == 2)
