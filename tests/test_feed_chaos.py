"""A feed server that misbehaves: each fault gives the right verdict, and no request reaches the SSRF trap."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from newsletter.config import Config, load
from newsletter.model import RunReport, Verdict
from newsletter.pipeline import run
from newsletter.runtime import Runtime
from newsletter.store import Store
from tests.conftest import SHARED
from tests.migrated import store_file
from tests.website import forget_proxies

SERVER = SHARED / "tools" / "chaos" / "chaos_feed.py"
TUESDAY = date(2026, 11, 24)
MOST = 200  # MB

# A small process in between: Linux counts to a child what its parent had before the child became another program.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass
class Chaos:
    """The running server: each fault has a path; what knocks at the trap beside it stands in the log."""

    url: str
    log: Path

    def events(self, kind: str) -> list[dict[str, object]]:
        """What the server has noted so far."""
        return [line for line in map(json.loads, self.log.read_text("utf-8").splitlines()) if line["event"] == kind]


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    if not SERVER.is_file():
        pytest.skip(f"no server of faults at {SERVER}")
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, str(SERVER), "--port", "0", "--port-file", "port", "--log", "log.jsonl", "--trap"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        while not (folder / "port").exists():
            assert server.poll() is None
            time.sleep(0.02)
        yield Chaos(f"http://127.0.0.1:{(folder / 'port').read_text()}", folder / "log.jsonl")
        server.terminate()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


def configured(folder: Path, *urls: str, deadline: float) -> Config:
    feeds = json.dumps([{"url": url} for url in urls])
    path = folder / "config.yaml"
    path.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        f"feeds: {feeds}\nfetch: {{deadline: {deadline}, attempts: 2}}\nsecret: a secret of this test\n",
        "utf-8",
    )
    path.chmod(0o600)
    store_file(folder / "newsletter.db")
    return load(path, {})


def rehearse(config: Config, day: date = TUESDAY) -> RunReport:
    """A run that sends nothing; it does not wait between attempts."""
    runtime = Runtime(now=lambda: datetime(2026, 11, 24, 7, tzinfo=UTC), sleep=lambda seconds: None)
    with Store.open(config.store) as store:
        store.add("ada@example.org")
        return run(config, day, store, runtime, dry_run=True)


WELL = (
    *("ok", "json", "rss", "etag", "bom", "utf16", "nul", "redir?n=3", "downgrade", "to?u=/ok"),
    *("gzlie", "poison", "poison-rss", "dup", "stale", "future", "partial", "types"),
)
FAILED = {
    "s500": "HTTP 500 X (2 attempts)",
    "s503?after=0": "HTTP 503 X (2 attempts)",
    "s503?after=30": "the next attempt would be in 30 s, past the deadline",
    "s429?after=date": "HTTP 429",
    "s404": "HTTP 404",
    "s410": "HTTP 410",
    "s304-always": "304 Not Modified to an unconditional request",
    "empty": "an empty response",
    "html": "a web page instead of a feed: 'Sign in'",
    "badjson": "broken JSON at line 1, column 24",
    "truncjson": "broken JSON",
    "late": "no complete response in 0.3 s (fetch.deadline)",
    "slowheaders": "no complete response in 0.3 s",
    "drip": "no complete response in 0.3 s",
    "hang-body": "no complete response in 0.3 s",
    "trunc": "the response was cut off",
    "shortlen": "broken JSON",
    "chunk-bad": "the response was cut off",
    "reset": "the response was cut off",
    "gzbomb?mb=64": "more than 10 MB",
    "gzgz?mb=16": "Content-Encoding 'gzip, gzip', which was not requested",
    "huge": "more than 10 MB",
    "nolen": "more than 10 MB",
    "charset": "unknown character encoding",
    "redir?n=9": "more than 5 redirects",
    "loop": "more than 5 redirects",
    "to-file": "a URL that is not http(s): file:///etc/passwd",
    "to-gopher": "a URL that is not http(s): gopher:",
    "to-metadata": "169.254.169.254, which is not a public address",
    **{f"to-trap?form={form}": "not a public address" for form in ("plain", "dec", "hex", "oct", "short", "v6")},
    "xxe": "declares entities",
    "bomb": "declares entities",
    "quad": "declares entities",
    "deep": "JSON nested too deeply",
    "bigint": "1 entry, none of which could be read",
    "img?kind=html": "a web page instead of a feed",
    "img?kind=svg": "its root is <svg>",
    "robots": "neither JSON nor XML",
}
QUIET = ("empty?body=[]", "xxe-http")


@pytest.mark.parametrize("fault", WELL)
def test_what_can_be_read_makes_an_issue(chaos: Chaos, tmp_path: Path, fault: str) -> None:
    report = rehearse(configured(tmp_path, f"{chaos.url}/{fault}", deadline=30))
    assert (report.verdict, report.exit) == (Verdict.DRY_RUN, 0), report
    assert chaos.events("SSRF-HIT") == []


@pytest.mark.parametrize("fault", QUIET)
def test_nothing_at_all_is_a_quiet_day(chaos: Chaos, tmp_path: Path, fault: str) -> None:
    assert rehearse(configured(tmp_path, f"{chaos.url}/{fault}", deadline=30)).verdict is Verdict.QUIET_DAY
    assert chaos.events("SSRF-HIT") == []


@pytest.mark.parametrize(("fault", "reason"), FAILED.items(), ids=FAILED.keys())
def test_what_cannot_be_read_fails_with_its_reason(chaos: Chaos, tmp_path: Path, fault: str, reason: str) -> None:
    deadline = 0.3 if "0.3 s" in reason else 20.0
    report = rehearse(configured(tmp_path, f"{chaos.url}/{fault}", deadline=deadline))
    assert (report.verdict, report.exit) == (Verdict.FEED_FAILED, 75), report
    assert reason in report.explanation
    assert len(report.explanation.splitlines()) == 1
    assert chaos.events("SSRF-HIT") == []


def test_one_that_fails_beside_a_good_one_costs_only_itself(chaos: Chaos, tmp_path: Path) -> None:
    config = configured(tmp_path, f"{chaos.url}/quad", f"{chaos.url}/json", f"{chaos.url}/to-trap", deadline=30)
    assert rehearse(config).verdict is Verdict.DRY_RUN


def test_yesterday_s_list_served_again_is_stale(chaos: Chaos, tmp_path: Path) -> None:
    config = configured(tmp_path, chaos.url + "/ok?date={date}", deadline=30)
    with Store.open(config.store) as store:
        store.add("ada@example.org")
        run(config, date(2026, 11, 23), store, Runtime())  # no server takes the copy, which does not matter here
    again = configured(tmp_path, chaos.url + "/stale?date={date}", deadline=30)
    report = rehearse(again)
    assert (report.verdict, report.exit) == (Verdict.STALE, 75)


def test_the_command_survives_every_bomb_at_once_in_little_memory(chaos: Chaos, tmp_path: Path) -> None:
    bombs = ("gzbomb?mb=64", "gzgz?mb=16", "huge", "nolen", "bomb", "quad", "deep", "bigint", "img?kind=big", "json")
    configured(tmp_path, *(f"{chaos.url}/{bomb}" for bomb in bombs), deadline=30)
    command = [sys.executable, "-m", "newsletter", "-c", str(tmp_path / "config.yaml"), "run", "--dry-run"]
    measured = [sys.executable, "-c", MEASURE, *command, "--date", "2026-11-24"]
    said = subprocess.run(measured, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    verdict, memory = said.strip().splitlines()
    assert verdict.startswith("verdict: dry-run")
    assert int(memory) < MOST * 1024
