"""Fetching: complete responses within limits, retries, a cache; from the web and from files."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Event

import pytest

from newsletter.config import FetchConfig
from newsletter.errors import FeedError
from newsletter.feed import fetch
from newsletter.feed.fetch import retry_after
from newsletter.model import CachedResponse
from tests.conftest import SHARED
from tests.fakes import FakeClock
from tests.website import BODY, LIMITS, Handler, Response, error_of, forget_proxies, get, says, sends, site

NOW = FakeClock.START


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


# --- whole answers ---------------------------------------------------------------------------------------------------


def test_an_answer_comes_with_its_content_type() -> None:
    with site({"/": says(200, BODY, Content_Type="application/json")}) as server:
        answer = fetch(server.url("/"), LIMITS)
    assert (answer.body, answer.content_type, answer.not_modified) == (BODY, "application/json", False)


def test_the_server_is_told_who_asks_and_what_it_may_send() -> None:
    with site({"/feed": says(200, BODY)}) as server:
        get(server.url("/feed?date=2026-11-24&limit=100"))
    [(path, headers)] = server.asked
    assert path == "/feed?date=2026-11-24&limit=100"
    assert headers["User-Agent"].startswith("daily-papers-newsletter/")
    assert headers["Accept-Encoding"] == "gzip"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_gzip_is_decompressed_also_in_several_members() -> None:
    packed = gzip.compress(BODY[:10]) + gzip.compress(BODY[10:])
    with site({"/": says(200, packed, Content_Encoding="gzip")}) as server:
        assert get(server.url("/")) == BODY


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "shorter than its Content-Length": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[]"),
    "a chunk without its size": sends(CHUNKED + b"2\r\n[]\r\nZZ\r\n"),
    "no last chunk": sends(CHUNKED + b"2\r\n[]\r\n"),
    "gzip without its end": says(200, gzip.compress(BODY * 9)[:-9], Content_Encoding="gzip"),
    "gzip with an error in it": says(200, gzip.compress(BODY * 9)[:30] + b"\xff" * 30, Content_Encoding="gzip"),
    "no status line": sends(b"hello\r\n\r\n"),
    "nothing at all": sends(b""),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_is_asked_for_again_and_never_used(answer: Response) -> None:
    with site({"/once": [answer, says(200, BODY)], "/always": answer}) as server:
        assert get(server.url("/once")) == BODY
        assert error_of(server.url("/always")).endswith("(3 attempts)")


def test_nobody_at_home_is_one_line() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        assert error_of(url) == f"{url}: Connection refused (3 attempts)"


def test_a_host_that_does_not_exist_is_one_line() -> None:
    assert "host name cannot be resolved" in error_of("http://nowhere.invalid/")


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://x:99999/", "http://a..b/", "http://exa mple/"])
def test_a_url_that_is_none_is_one_line(url: str) -> None:
    assert "not a" in error_of(url) or "not known" in error_of(url)


# --- bounds ----------------------------------------------------------------------------------------------------------

BOMB = zlib.compressobj(9, wbits=31)
TEN_MB_OF_ZEROS = BOMB.compress(bytes(10_000_000)) + BOMB.flush()


def endless(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not handler.server.closing.is_set():
        handler.wfile.write(b" " * 65_536)


TOO_LARGE = {
    "announced": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n["),
    "not announced": endless,
    "after decompression": says(200, TEN_MB_OF_ZEROS, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_more_than_the_limit_is_refused_without_reading_on(answer: Response) -> None:
    with site({"/": answer}) as server:
        assert "more than 0.1 MB (fetch.max_megabytes)" in error_of(server.url("/"))
    assert len(server.asked) == 1


def test_a_bomb_is_never_held_in_memory() -> None:
    packed = gzip.compress(bytes(50_000_000))
    with site({"/": says(200, packed, Content_Encoding="gzip")}) as server:
        tracemalloc.start()
        try:
            error_of(server.url("/"))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


def test_the_limit_itself_is_allowed() -> None:
    with site({"/": says(200, b" " * LIMITS.max_bytes)}) as server:
        assert len(get(server.url("/"))) == LIMITS.max_bytes


def test_a_coding_that_was_not_asked_for_is_refused() -> None:
    twice = gzip.compress(TEN_MB_OF_ZEROS)
    with site({"/": says(200, twice, Content_Encoding="gzip, gzip")}) as server:
        assert "'gzip, gzip', which was not requested" in error_of(server.url("/"))


def hangs(handler: Handler) -> None:
    handler.server.closing.wait(30)


def hangs_in_the_body(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[")
    hangs(handler)


def drips(head: bytes, drop: bytes) -> Response:
    def answer(handler: Handler) -> None:
        handler.wfile.write(head)
        while not handler.server.closing.wait(0.01):
            handler.wfile.write(drop)

    return answer


SLOW = {
    "never answers": hangs,
    "stops in the body": hangs_in_the_body,
    "drips headers": drips(b"HTTP/1.1 200 OK\r\nX-Pad: ", b"a"),
    "drips the body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b" "),
    "drips without an end": drips(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
}


def test_what_is_given_up_on_is_hung_up_on() -> None:
    hung_up = Event()

    def waits_for_the_end(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[")
        if handler.connection.recv(1) == b"":
            hung_up.set()

    with site({"/": waits_for_the_end}) as server:
        error_of(server.url("/"), FetchConfig(deadline=0.3))
        assert hung_up.wait(10)


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
def test_the_deadline_is_for_everything_together(answer: Response) -> None:
    with site({"/": answer}) as server:
        limits = FetchConfig(deadline=0.3)
        assert error_of(server.url("/"), limits).endswith("no complete response in 0.3 s (fetch.deadline)")


# --- statuses and retries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_trouble_is_asked_about_again(status: int) -> None:
    clock = FakeClock()
    with site({"/": [says(status), says(status), says(200, BODY)]}) as server:
        assert get(server.url("/"), clock=clock) == BODY
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize("status", [204, 206, 300, 400, 401, 403, 404, 410, 451, 501])
def test_a_lasting_trouble_is_not(status: int) -> None:
    with site({"/": says(status)}) as server:
        assert f"HTTP {status}" in error_of(server.url("/"))
    assert len(server.asked) == 1


def test_the_attempts_are_counted() -> None:
    with site({"/": says(503)}) as server:
        assert error_of(server.url("/"), FetchConfig(attempts=2)).endswith("HTTP 503 Service Unavailable (2 attempts)")
        assert error_of(server.url("/"), FetchConfig(attempts=1)).endswith("HTTP 503 Service Unavailable")
    assert len(server.asked) == 3


@pytest.mark.parametrize("wish", ["7", format_datetime(NOW + timedelta(seconds=7), usegmt=True)])
def test_retry_after_is_honoured(wish: str) -> None:
    clock = FakeClock()
    with site({"/": [says(429, Retry_After=wish), says(200, BODY)]}) as server:
        assert get(server.url("/"), clock=clock) == BODY
    assert clock.slept == [7.0]


def test_a_wish_beyond_the_deadline_is_the_end() -> None:
    clock = FakeClock()
    with site({"/": says(503, Retry_After="3600")}) as server:
        message = error_of(server.url("/"), clock=clock)
    assert message.endswith("the next attempt would be in 3600 s, past the deadline of 30 s")
    assert (clock.slept, len(server.asked)) == ([], 1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, 999_999_999.0),
        ("Tue, 24 Nov 2026 07:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 06:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Tue, 99 Nov 2026 07:01:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


# --- the cache -------------------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """A cache in memory."""

    kept: dict[str, CachedResponse] = field(default_factory=dict)

    def cached(self, url: str) -> CachedResponse | None:
        return self.kept.get(url)

    def cache(self, answer: CachedResponse) -> None:
        self.kept[answer.url] = answer


def conditional(handler: Handler) -> None:
    if handler.headers["If-None-Match"] == '"v1"':
        handler.reply(304)
    else:
        handler.reply(200, BODY, ETag='"v1"', Last_Modified="Mon, 23 Nov 2026 00:00:00 GMT", Content_Type="text/x")


def test_an_unchanged_feed_is_not_sent_twice() -> None:
    memory = Memory()
    with site({"/": conditional}) as server:
        first = fetch(server.url("/"), LIMITS, cache=memory, now=lambda: NOW)
        second = fetch(server.url("/"), LIMITS, cache=memory)
    assert (first.not_modified, second.not_modified) == (False, True)
    assert (second.body, second.content_type) == (BODY, "text/x")
    assert memory.kept[server.url("/")].fetched_at == NOW
    assert server.asked[1][1]["If-Modified-Since"] == "Mon, 23 Nov 2026 00:00:00 GMT"


def test_without_validators_nothing_is_kept() -> None:
    memory = Memory()
    with site({"/": says(200, BODY)}) as server:
        fetch(server.url("/"), LIMITS, cache=memory)
    assert memory.kept == {}


def test_a_broken_answer_is_not_kept() -> None:
    memory = Memory()
    broken = sends(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 99\r\n\r\n[]')
    with site({"/": broken}) as server, pytest.raises(FeedError):
        fetch(server.url("/"), LIMITS, cache=memory, sleep=lambda seconds: None)
    assert memory.kept == {}


def test_not_modified_without_anything_kept_is_an_error() -> None:
    with site({"/": says(304)}) as server:
        assert "304 Not Modified to an unconditional request" in error_of(server.url("/"))


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "papers.json"
    path.write_bytes(BODY)
    answer = fetch(str(path), LIMITS)
    assert (answer.body, answer.content_type, answer.not_modified) == (BODY, None, False)


def test_a_file_has_the_same_limit(tmp_path: Path) -> None:
    path = tmp_path / "papers.json"
    path.write_bytes(b" " * (LIMITS.max_bytes + 1))
    assert "more than 0.1 MB" in error_of(str(path))


def test_what_is_not_a_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert error_of(str(pipe)).endswith("not a regular file")
    assert error_of(str(tmp_path)).endswith("not a regular file")
    assert "No such file" in error_of(str(tmp_path / "none"))
    assert "cannot be read" in error_of("/\0")


# --- the shared server of faults -------------------------------------------------------------------------------------

WHOLE = {"ok", "gzlie", "json", "rss", "etag", "bom", "utf16", "nul", "redir?n=3", "to?u=/json", "empty?body=[]"}
FAULTS = """s500 s503?after=1 s429?after=99 s404 s410 s304-always late slowheaders?gap=0.1 drip?bps=9 trunc chunk-bad
reset hang-body gzbomb?mb=64 gzgz?mb=8 huge nolen redir?n=9 loop to?u=javascript:1 to-file to-metadata to-gopher
to-trap?form=plain to-trap?form=dec to-trap?form=hex to-trap?form=oct to-trap?form=short to-trap?form=v6 img?kind=big"""


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of the shared server that serves a feed badly on purpose, and its log."""
    program = SHARED / "tools" / "chaos" / "chaos_feed.py"
    if not program.is_file():
        pytest.skip("no chaos_feed.py: ../shared is not beside this checkout")
    folder = tmp_path_factory.mktemp("chaos")
    log = folder / "log.jsonl"
    options = ["--port", "0", "--trap", "--port-file", str(folder / "port"), "--log", str(log)]
    server = subprocess.Popen([sys.executable, str(program), *options], stdout=subprocess.PIPE)
    with server:
        assert server.stdout is not None
        server.stdout.readline()
        yield f"http://127.0.0.1:{(folder / 'port').read_text()}/", log
        server.terminate()


@pytest.mark.parametrize("fault", [*sorted(WHOLE), *FAULTS.split()])
def test_every_fault_ends_in_a_whole_answer_or_one_line(chaos: tuple[str, Path], fault: str) -> None:
    url, log = chaos
    if fault in WHOLE:
        assert get(url + fault)
    else:
        assert error_of(url + fault, FetchConfig(deadline=1, attempts=2)).startswith(url + fault.partition("?")[0])
    assert "SSRF-HIT" not in log.read_text()
