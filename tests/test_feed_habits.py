"""The habits of servers: cookies, keys in headers, wrong labels; and what must not be shown of them."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from newsletter.config import FeedConfig, Secret, load
from newsletter.errors import ConfigError, FeedError
from newsletter.feed import fetch, parse
from newsletter.feed.cookies import Cookies
from newsletter.feed.gathering import gather, parser
from newsletter.feed.urls import shown
from newsletter.runtime import Runtime
from tests import program
from tests.conftest import ROOT, SHARED
from tests.smtpd import Authority
from tests.website import BODY, LIMITS, Handler, Response, error_of, forget_proxies, get, says, sends, site


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


def ask(url: str, source: FeedConfig) -> bytes:
    return fetch(url, LIMITS, source=source, sleep=lambda _: None).body


# --- cookies ---------------------------------------------------------------------------------------------------------


def wants_cookie(handler: Handler) -> None:
    """As the hosts of many journals: sets a cookie and redirects to the same page until it is sent back."""
    if "sid=1" in (handler.headers["Cookie"] or ""):
        handler.reply(200, BODY)
    else:
        handler.reply(302, Location=handler.path, Set_Cookie="sid=1; Path=/; HttpOnly")


def test_a_cookie_is_sent_back_within_the_fetch_and_never_in_the_next() -> None:
    with site({"/": wants_cookie}) as server:
        assert get(server.url("/")) == BODY
        assert get(server.url("/")) == BODY
    assert [headers["Cookie"] for _, headers in server.asked] == [None, "sid=1", None, "sid=1"]


@pytest.mark.parametrize(
    ("set_cookie", "host", "path", "sent"),
    [
        ("a=1", "www.journal.example", "/feed/x", "a=1"),
        ("a=1", "other.journal.example", "/feed/x", ""),
        ("a=1; Domain=journal.example", "other.journal.example", "/feed/x", "a=1"),
        ("a=1; Domain=.journal.example; Path=/", "journal.example", "/", "a=1"),
        ("a=1; Domain=example", "other.example", "/feed/x", ""),
        ("a=1; Domain=elsewhere.example", "elsewhere.example", "/feed/x", ""),
        ("a=1; Domain=al.example", "journal.example", "/feed/x", ""),
        ("a=1; Path=/feed", "www.journal.example", "/feeds", ""),
        ("a=1; Path=/feed", "www.journal.example", "/feed?x=/", "a=1"),
        ("a=1", "www.journal.example", "/", ""),
        ("a=1; Max-Age=0", "www.journal.example", "/feed/x", ""),
        ("a=1; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "www.journal.example", "/feed/x", ""),
        ("a=1; Secure", "www.journal.example", "/feed/x", ""),
        ("a", "www.journal.example", "/feed/x", ""),
        ("a=" + "x" * 5000, "www.journal.example", "/feed/x", ""),
    ],
)
def test_where_a_cookie_goes(set_cookie: str, host: str, path: str, sent: str) -> None:
    cookies = Cookies()
    cookies.take(
        "www.journal.example", "/feed/rss?x=1", [set_cookie], secure=False, now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert cookies.header(host, path, secure=False) == sent


def test_an_address_by_number_has_no_domain() -> None:
    cookies = Cookies()
    cookies.take("127.0.0.1", "/", ["a=1; Domain=0.0.1", "b=2; Domain=127.0.0.1"], secure=True)
    assert cookies.header("127.0.0.1", "/", secure=True) == "b=2"


# --- what the feed's own host is sent --------------------------------------------------------------------------------


PUBLIC = "9.9.9.9"


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has this machine at a public address, too, since a redirect may lead only there."""
    connect = socket.socket.connect

    def arrive(self: socket.socket, address: tuple[str, int]) -> None:
        connect(self, ("127.0.0.1" if address[0] == PUBLIC else address[0], *address[1:]))

    monkeypatch.setattr(socket.socket, "connect", arrive)


@pytest.mark.usefixtures("public")
def test_headers_go_to_the_feed_s_own_host_only() -> None:
    source = FeedConfig("x", headers=(("Authorization", Secret(lambda: "Bearer k3y")),), user_agent="Mozilla/5.0")
    with site({"/": says(200, BODY)}) as other, site({"/": says(302, Location="/b")}) as server:
        server.answers["/b"] = [says(302, Location=other.url("/").replace("127.0.0.1", PUBLIC))]
        other.answers["/"] = [says(302, Location=server.url("/c"))]
        server.answers["/c"] = [says(200, BODY)]
        assert ask(server.url("/"), source) == BODY
    sent = [headers["Authorization"] for _, headers in server.asked]
    assert sent == ["Bearer k3y", "Bearer k3y", None]
    assert [headers["Authorization"] for _, headers in other.asked] == [None]
    assert {headers["User-Agent"] for _, headers in (*server.asked, *other.asked)} == {"Mozilla/5.0"}


def test_a_certificate_file_of_the_feed(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    with site({"/": says(200, BODY)}, authority.context(host="localhost")) as server:
        url = f"https://localhost:{server.server_port}/"
        assert ask(url, FeedConfig(url, ca_file=authority.file)) == BODY
        assert "TLS: the certificate is of an unknown authority" in error_of(url)
        empty = tmp_path / "empty.pem"
        empty.write_text("")
        with pytest.raises(FeedError, match=r"feeds.ca_file: .*empty.pem: holds no certificates"):
            ask(url, FeedConfig(url, ca_file=empty))


def test_a_port_without_tls_is_named() -> None:
    with site({"/": says(200, BODY)}) as server:
        url = server.url("/").replace("http://", "https://")
        assert "TLS: the server does not speak TLS at this port" in error_of(url)


CONFIG = "sender: a@news.example\npostal_address: 1 Street\nlist_id: p.news.example\nfeeds:\n  - url: x.json\n"


def test_keys_of_a_feed_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    more = (
        "    headers: {Authorization: 'Bearer ${KEY}', X-Key: abc}\n    user_agent: Mozilla/5.0\n    ca_file: ca.pem\n"
    )
    file.write_text(CONFIG + more)
    (feed,) = load(file, {"KEY": "k3y"}).feeds
    assert {name: secret.reveal() for name, secret in feed.headers} == {"Authorization": "Bearer k3y", "X-Key": "abc"}
    assert (feed.user_agent, feed.ca_file) == ("Mozilla/5.0", tmp_path / "ca.pem")
    assert "k3y" not in repr(feed)
    (unset,) = load(file, {}).feeds
    with pytest.raises(ConfigError, match="KEY is not set"):
        unset.headers[0][1].reveal()
    (broken,) = load(file, {"KEY": "two\nlines"}).feeds
    with pytest.raises(ConfigError, match="one line") as caught:
        broken.headers[0][1].reveal()
    assert "lines\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("{'Bad name': x}", "not a header's name"),
        ("{Host: x}", "set by the program"),
        ("{A: x, a: y}", "given twice"),
        ("text", "expected `Name: value` lines"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, headers: str, said: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG + f"    headers: {headers}\n")
    with pytest.raises(ConfigError, match=said):
        load(file, {})


# --- labels that are wrong -------------------------------------------------------------------------------------------


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


TWICE = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
WHOLE: dict[str, Response] = {
    "deflate": says(200, zlib.compress(BODY), Content_Encoding="deflate"),
    "deflate without its frame": says(200, raw_deflate(BODY), Content_Encoding="deflate"),
    "deflate that is none": says(200, BODY, Content_Encoding="deflate"),
    "none": says(200, BODY, Content_Encoding="none"),
    "gzip, identity": says(200, gzip.compress(BODY), Content_Encoding="gzip, identity"),
    "a charset": says(200, BODY, Content_Encoding="UTF-8"),
    "gzip that is none": says(200, BODY, Content_Encoding="gzip"),
    "gzip without a label": says(200, gzip.compress(BODY)),
    "gzip labelled deflate": says(200, gzip.compress(BODY), Content_Encoding="deflate"),
    "gzip with padding": says(200, gzip.compress(BODY) + b"\0\0\0", Content_Encoding="gzip"),
    "the same length twice": sends(TWICE),
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE.keys())
def test_a_wrong_label_costs_nothing(answer: Response) -> None:
    with site({"/": answer}) as server:
        assert get(server.url("/")) == BODY


def test_a_bomb_without_a_label_is_bounded() -> None:
    with site({"/": says(200, gzip.compress(bytes(10_000_000)))}) as server:
        assert "fetch.max_megabytes" in error_of(server.url("/"))


def test_different_lengths_are_refused() -> None:
    with site({"/": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]x")}) as server:
        assert error_of(server.url("/"))


def test_a_location_in_utf_8() -> None:
    moved = sends("HTTP/1.1 302 Found\r\nLocation: /flux-récents.xml\r\nContent-Length: 0\r\n\r\n".encode())
    with site({"/": moved, "/flux-r%C3%A9cents.xml": says(200, BODY)}) as server:
        assert get(server.url("/")) == BODY


# --- nothing secret is shown -----------------------------------------------------------------------------------------


def test_a_url_is_shown_by_host_and_path() -> None:
    assert shown("https://me:pw@host.example:8/a/b?api_key=k#f") == "https://host.example:8/a/b"
    assert shown("https://host.example?api_key=k") == "https://host.example"
    assert shown("/srv/feeds/what?.xml") == "/srv/feeds/what?.xml"


def test_keys_in_urls_are_in_no_message(tmp_path: Path) -> None:
    with site({"/s3cret/a": says(404), "/b": says(200, b"<html><title>x</title>")}) as server:
        file = tmp_path / "config.yaml"
        urls = (server.url("/${KEY}/a?api_key=other"), server.url("/b?key=${KEY}"))
        file.write_text(CONFIG.replace("x.json", urls[0]) + f"  - url: {urls[1]}\n")
        config = load(file, {"KEY": "s3cret"})
        with parser() as children, pytest.raises(FeedError) as caught:
            gather(config, date(2026, 11, 27), Runtime(sleep=lambda _: None), children)
    assert "s3cret" not in str(caught.value)
    assert "other" not in str(caught.value)
    assert server.url("/***/a") in str(caught.value)


def test_a_relative_link_does_not_carry_the_key() -> None:
    feed = FeedConfig("https://host.example/s3cret/rss", hidden=("s3cret",))
    body = b"<rss><channel><item><title>T</title><link>item/1</link><guid>17</guid></item></channel></rss>"
    assert "s3cret" not in repr(parse(body, feed))


# --- the shared server of habits -------------------------------------------------------------------------------------

QUIRKS = SHARED / "tools" / "quirks"
GOOD = (
    "ok cookie deflate gzipid gziputf8 gzlie gznolabel none utf8loc badcl gztrail head1.0 frag spaces accept lang etag"
)


@pytest.fixture(scope="module")
def quirks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not QUIRKS.is_dir():
        pytest.skip("the server of habits is not beside this checkout")
    folder = tmp_path_factory.mktemp("quirks")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = [sys.executable, str(QUIRKS / "quirk_httpd.py"), str(port), str(folder / "log"), str(QUIRKS / "ok.xml")]
    with subprocess.Popen(program) as server:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(50):  # until it listens
            with pytest.MonkeyPatch.context() as patch:
                forget_proxies(patch)
                try:
                    fetch(f"{url}ok", LIMITS)
                    break
                except FeedError:
                    continue
        yield url
        server.terminate()


@pytest.mark.parametrize("habit", GOOD.split())
def test_a_habit_of_real_servers_is_borne(quirks: str, habit: str) -> None:
    body = fetch(f"{quirks}{habit}", LIMITS, sleep=lambda _: None).body
    assert body == (QUIRKS / "ok.xml").read_bytes()


def test_who_asks_for_a_browser_or_a_key_gets_it(quirks: str) -> None:
    assert ask(f"{quirks}ua", FeedConfig("x", user_agent="Mozilla/5.0 (X11)"))
    assert ask(f"{quirks}apikey", FeedConfig("x", headers=(("Authorization", Secret(lambda: "Bearer T0K")),)))


# --- terminals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "iso-8859-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_that_cannot_show_a_character_shows_a_question_mark(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    name = tmp_path / "日本語"
    environment = {**os.environ, **settings}
    command = [*program.COMMAND, "-c", str(name), "check"]
    done = program.run(command, capture_output=True, env=environment, cwd=ROOT, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 78
    assert b"?" in done.stdout + done.stderr
