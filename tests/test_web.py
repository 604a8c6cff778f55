"""The unsubscribe page: one POST is enough, no GET ever is, and nobody can guess a link."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from newsletter import config as configs
from newsletter.links import Links, Purpose
from newsletter.model import SubscriberStatus
from newsletter.store import Store
from newsletter.web import create_app
from tests.conftest import PUBLICATION, ROOT

ADDRESS = "ada@example.org"


class Site:
    """The pages of a list with one reader."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.path.write_text(
            "sender: digest@news.example.org\npostal_address: 1 Example Street\nsecret: a secret of this test\n"
            f"list_id: {PUBLICATION.list_id}\nbase_url: https://news.example.org\nfeeds:\n  - url: x.json\n",
            "utf-8",
        )
        self.path.chmod(0o600)
        self.config = configs.load(self.path)
        self.store = Store.open(self.config.store)
        self.store.add(ADDRESS)
        reader = self.store.find(ADDRESS)
        assert reader is not None
        self.links = Links("a secret of this test", self.config.publication)
        self.link = self.links.unsubscribe(reader.ref)[0].removeprefix("https://news.example.org")
        self.client: FlaskClient = create_app(self.config, self.store).test_client()

    @property
    def status(self) -> SubscriberStatus:
        reader = self.store.find(ADDRESS)
        assert reader is not None
        return reader.status


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


def test_looking_changes_nothing_however_often(site: Site) -> None:
    for _ in range(34):
        for look in (site.client.get, site.client.head, site.client.options):
            assert look(site.link).status_code == 200
    assert site.status is SubscriberStatus.ACTIVE
    page = site.client.get(site.link).text
    assert '<form method="post"><button type="submit">Unsubscribe</button></form>' in page
    assert ADDRESS not in page


def test_one_click_is_enough_and_may_be_repeated(site: Site) -> None:
    for _ in range(2):
        done = site.client.post(site.link, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
        assert "You are unsubscribed" in done.text
        assert "Set-Cookie" not in done.headers
        assert site.status is SubscriberStatus.UNSUBSCRIBED


def test_the_button_of_the_page_does_the_same(site: Site) -> None:
    assert site.client.post(site.link).status_code == 200
    assert site.status is SubscriberStatus.UNSUBSCRIBED


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_link_that_is_not_ours_is_the_same_polite_page(site: Site, method: str) -> None:
    token = site.link.rpartition("/")[2]
    flipped = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
    nobody = site.links.token(Purpose.UNSUBSCRIBE, "f" * 16)
    answers = {
        (done.status_code, done.text)
        for wrong in (*flipped, nobody, "x", "..%2f..%2fetc%2fpasswd", "a" * 5000)
        for done in [getattr(site.client, method)(f"/unsubscribe/{wrong}")]
    }
    assert len(answers) == 1
    ((code, text),) = answers
    assert code == 404
    assert "This link leads nowhere" in text
    assert site.client.get("/somewhere/else").text == text
    assert site.status is SubscriberStatus.ACTIVE


def test_a_link_of_another_list_or_secret_is_refused(site: Site) -> None:
    reader = site.store.find(ADDRESS)
    assert reader is not None
    other = replace(site.config.publication, list_id="other.news.example.org")
    for links in (Links("another secret", site.config.publication), Links("a secret of this test", other)):
        token = links.token(Purpose.UNSUBSCRIBE, reader.ref)
        assert site.client.post(f"/unsubscribe/{token}").status_code == 404
    assert site.status is SubscriberStatus.ACTIVE


def test_every_answer_is_hardened(site: Site) -> None:
    for answer in (
        site.client.get(site.link),
        site.client.post("/x"),
        site.client.get("/"),
        site.client.put(site.link),
    ):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert site.client.post(site.link, data=b"x" * 20_000).status_code in (200, 413)


def test_the_command_serves_the_page_and_takes_the_click(site: Site) -> None:
    site.store.close()
    command = [sys.executable, "-m", "newsletter", "-c", str(site.path), "web", "--port"]
    for port in range(28471, 28491):
        process = subprocess.Popen(
            [*command, str(port)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        if process.stdout.readline().startswith("serving on "):
            break
        process.communicate()
    try:
        url = f"http://127.0.0.1:{port}{site.link}"
        page = _opened(url)
        assert re.search(r"<h1>Leave Daily Papers\?</h1>", page)
        assert "You are unsubscribed" in _opened(url, b"List-Unsubscribe=One-Click")
    finally:
        process.terminate()
        process.communicate(timeout=20)
    with Store.open(site.config.store) as store:
        assert store.count_subscribers()[SubscriberStatus.UNSUBSCRIBED] == 1


def _opened(url: str, body: bytes | None = None) -> str:
    for _ in range(50):
        try:
            with urllib.request.urlopen(url, body, timeout=10) as answer:
                return str(answer.read().decode())
        except ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
