"""The preview in a real browser: views can be chosen, and the page reloads after an edit of a template."""

from __future__ import annotations

import http.client
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

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
    assert "<style" not in outlook
    assert "PixelsPerInch" not in outlook  # whose figure would stand above the mail
    assert '<table role="presentation" width="640"' in outlook
    assert "@media all" in read(running, f"/mail?date={DAY}&scheme=dark")
    assert "@media not all" in read(running, f"/mail?date={DAY}&scheme=light")
    assert not list(site.glob("*.db"))


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
    def mail(script: str) -> object:
        browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
        try:
            return browser.execute_script(f"return {script}")
        finally:
            browser.switch_to.default_content()

    background = "getComputedStyle(document.querySelector('div[role=article]')).backgroundColor"
    wait = WebDriverWait(browser, 20)
    browser.get(f"{running.url}?date={DAY}")
    assert (
        mail("document.querySelector('h2').innerText")
        == "Lighthouse: Reading Long Documents in One Pass with Sparse Beams"
    )
    assert (mail("innerWidth"), mail(background)) == (375, "rgb(244, 245, 247)")

    browser.find_element(By.LINK_TEXT, "dark").click()
    assert mail(background) == "rgb(15, 19, 24)"
    browser.find_element(By.LINK_TEXT, "desktop").click()
    assert (mail("innerWidth"), mail(background)) == (800, "rgb(15, 19, 24)")
    browser.find_element(By.LINK_TEXT, "Outlook for Windows").click()
    assert mail("document.styleSheets.length") == 0
    browser.find_element(By.LINK_TEXT, "text").click()
    assert "Daily Papers" in browser.find_element(By.TAG_NAME, "pre").text

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
