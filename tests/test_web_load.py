"""Slow and silent connections beside the web pages: they keep no reader from leaving, and each of them ends."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from newsletter.cli import web
from newsletter.cli.web import REQUEST_WITHIN, allow_connections, create_server
from newsletter.issue.choice import Choice
from newsletter.model import SubscriberStatus
from tests.pages import Server, Site

MANY = 200  # connections: twice as many as waitress takes unless it is told otherwise

# What a slow client has sent so far, and what it goes on sending.
SLOW = {
    "idle": (b"", b""),
    "headers": (b"POST /unsubscribe/x HTTP/1.1\r\nHost: news.example.org\r\nX-Slow: ", b"a"),
    "body": (b"POST /subscribe HTTP/1.1\r\nHost: news.example.org\r\nContent-Length: 9000\r\n\r\n", b"a"),
    "chunks": (
        b"POST /subscribe HTTP/1.1\r\nHost: news.example.org\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n",
    ),
    "expected": (
        b"POST /subscribe HTTP/1.1\r\nHost: news.example.org\r\nExpect: 100-continue\r\nContent-Length: 9000\r\n\r\n",
        b"",
    ),
    "second": (b"GET /nothing HTTP/1.1\r\nHost: news.example.org\r\n\r\nGET /", b"a"),
}


@contextmanager
def slow_clients(port: int, kind: str, number: int) -> Iterator[list[socket.socket]]:
    """Open `number` connections of a kind of SLOW, which stay open while the block runs."""
    allow_connections(2 * number)
    with ExitStack() as stack:
        lines = []
        for _ in range(number):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            line.sendall(SLOW[kind][0])
            lines.append(line)
        yield lines


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("kind", SLOW)
def test_a_reader_can_leave_beside_hundreds_of_slow_connections(
    site: Site, serve: Callable[[Site], Server], kind: str
) -> None:
    server = serve(site)
    with slow_clients(server.port, kind, MANY):
        status, page = server.ask("POST", site.link, "List-Unsubscribe=One-Click")
    assert (status, "You are unsubscribed" in page) == (200, True)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(site: Site, request_within: float) -> Iterator[int]:
    """The port of the same pages in this process, where a request may take so many seconds."""
    port = free_port()
    server = create_server(site.app, site.config, "127.0.0.1", port, connections=50, request_within=request_within)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield port
    server.close()
    server.task_dispatcher.shutdown()
    site.store.close()


@pytest.fixture
def hasty(site: Site) -> Iterator[int]:
    """The port of pages where a request may take 0.3 s."""
    with serving(site, 0.3) as port:
        yield port


def _is_closed_while_it_sends(line: socket.socket, more: bytes) -> bool:
    """Send `more` ten times a second until the server closes the connection; False if it never does."""
    line.settimeout(0.1)
    for _ in range(200):
        try:
            if more:
                line.sendall(more)
            if not line.recv(65_536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize("kind", SLOW)
def test_a_request_that_takes_too_long_ends_though_bytes_keep_coming(hasty: int, kind: str) -> None:
    with slow_clients(hasty, kind, 1) as (line,):
        assert _is_closed_while_it_sends(line, SLOW[kind][1])


def test_who_waits_longer_than_all_connections_that_are_allowed_gets_in(site: Site, hasty: int) -> None:
    """More slow connections than the server takes: they end, and the next is served."""
    with slow_clients(hasty, "headers", 60), socket.create_connection(("127.0.0.1", hasty), 20) as line:
        line.sendall(f"POST {site.link} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.0 200")
    assert site.status is SubscriberStatus.UNSUBSCRIBED


def test_a_connection_serves_many_requests_for_longer_than_one_may_take(hasty: int) -> None:
    with socket.create_connection(("127.0.0.1", hasty), 20) as line:
        for _ in range(10):
            line.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"</html>" not in answer:
                answer += line.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 404")
            threading.Event().wait(0.1)


def test_the_limit_of_open_files_is_raised_and_the_operator_s_stands() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert allow_connections(600) == 600
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Watching(threading.Thread):
    """Asks the pages of this process for one, notes how the process is set up then, and ends it by SIGTERM."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.status, self.turn, self.frozen = port, b"", 0.0, 0

    def run(self) -> None:
        try:
            with self.connected() as line:
                line.sendall(b"GET /archive/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.status = line.recv(12)
                self.turn, self.frozen = sys.getswitchinterval(), gc.get_freeze_count()
                while line.recv(65_536):  # until the server has closed its end
                    pass
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def connected(self) -> socket.socket:
        """A connection, once the port is open."""
        for _ in range(400):
            try:
                return socket.create_connection(("127.0.0.1", self.port), 20)
            except ConnectionRefusedError:
                threading.Event().wait(0.05)
        raise TimeoutError(f"nothing listens on port {self.port}")


@pytest.fixture
def process() -> Iterator[None]:
    """This process, as it is afterwards what it was before."""
    turn, handler = sys.getswitchinterval(), signal.getsignal(signal.SIGTERM)
    yield
    sys.setswitchinterval(turn)
    signal.signal(signal.SIGTERM, handler)
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # the tests themselves stay left out, as tests/kinds.py has done


@pytest.mark.usefixtures("process")
def test_a_request_waits_neither_long_for_other_threads_nor_for_a_look_at_all_that_is_loaded(site: Site) -> None:
    """The thread that mails confirmations works while requests are answered, and each of their statements lets it."""
    watching, default = Watching(free_port()), sys.getswitchinterval()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # until the server has one of its own
    watching.start()
    web.serve(site.config, "127.0.0.1", watching.port)
    watching.join()
    assert watching.status == b"HTTP/1.1 200"
    assert watching.turn <= default / 10
    assert watching.frozen > 10_000


def test_a_form_of_any_size_is_answered_by_its_page_and_the_connection_stays(site: Site) -> None:
    """The client sends all before it reads, as browsers do."""
    body = b"edition=mine&topics=" + b"x" * 3_000_000
    head = f"POST {site.preferences} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    with serving(site, REQUEST_WITHIN) as port, socket.create_connection(("127.0.0.1", port), 20) as line:
        for _ in range(2):
            line.sendall(head.encode() + body)
            answer = b""
            while b"</html>" not in answer:
                answer += line.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 413")
            assert b"That is more than this form takes. Nothing was saved." in answer
        assert site.store.choice_of(site.reader().ref) == Choice()
