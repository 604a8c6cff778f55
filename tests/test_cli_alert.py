"""`newsletter alert JOB`, which the systemd units call when a job has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.cli import main
from newsletter.cli.alert import due
from newsletter.model import RunReport, Verdict
from newsletter.store import Store
from tests.inbox import Inbox
from tests.migrated import store_file

NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)

_CONFIG = """\
sender: Daily Papers <digest@news.example.org>
postal_address: 1 Example Street, Example City
list_id: daily-papers.news.example.org
feeds:
  - url: papers.json
secret: a long secret for the links
smtp:
  - host: 127.0.0.1
    port: {port}
    rate: 50
{more}"""

Tell = Callable[..., tuple[int, str]]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


@pytest.fixture
def tell(tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Calls the command on a list whose operator is ada@example.org; returns its exit code and its words."""
    config = tmp_path / "config.yaml"

    def call(job: str, more: str = "alerts:\n  address: ada@example.org\n", port: int = inbox.port) -> tuple[int, str]:
        config.write_text(_CONFIG.format(port=port, more=more), "utf-8")
        config.chmod(0o600)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["-c", str(config), "alert", job])
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


def record(folder: Path, verdict: Verdict) -> None:
    with Store.open(store_file(folder / "newsletter.db")) as store:
        store.record_run(RunReport(verdict, "the words of the run"), NOW)


@pytest.mark.parametrize(
    ("ago", "verdict", "expected"),
    [
        (None, None, True),
        (None, Verdict.FEED_FAILED, True),
        (None, Verdict.STILL_OWED, False),  # `send` tries these copies again
        (timedelta(minutes=15), Verdict.FAILED, False),
        (timedelta(hours=24), Verdict.FAILED, True),
        (timedelta(days=-3), Verdict.FAILED, True),  # the clock was set back
    ],
)
def test_when_the_operator_is_told(ago: timedelta | None, verdict: Verdict | None, expected: bool) -> None:
    assert due(None if ago is None else NOW - ago, NOW, verdict) is expected


@pytest.mark.system
def test_the_operator_is_told_once_a_day_for_each_job(
    tell: Tell, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, Verdict.FEED_FAILED)
    monkeypatch.setenv("MONITOR_EXIT_STATUS", "75")
    for job in ("run", "run", "bounces"):
        assert tell(job)[0] == 0
    assert [message["Subject"] for message in inbox.messages] == [
        "Daily Papers: run failed",
        "Daily Papers: bounces failed",
    ]
    text = inbox.messages[0].get_content().replace("\r\n", "\n")
    assert "exit status: 75\n" in text
    assert "feed-failed: the words of the run\n" in text
    assert f"-c {tmp_path}/config.yaml check" in text
    assert (tmp_path / "config.yaml.alerts").stat().st_mode & 0o777 == 0o600


@pytest.mark.system
def test_it_also_works_when_the_store_is_what_broke(tell: Tell, inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "newsletter.db").write_bytes(b"no database" * 1_000)
    (tmp_path / "config.yaml.alerts").write_text("[1, 2", "utf-8")
    assert tell("run")[0] == 0
    assert "The store cannot be opened: " in inbox.messages[0].get_content()


@pytest.mark.system
def test_an_alert_that_cannot_be_sent_is_tried_at_the_next_failure(tell: Tell, inbox: Inbox) -> None:
    code, said = tell("run", port=1)
    assert code == 75
    assert "run failed, and the alert could not be sent" in said
    assert tell("run")[0] == 0
    assert inbox.recipients == ["ada@example.org"]


@pytest.mark.system
def test_without_an_address_the_journal_says_so(tell: Tell, inbox: Inbox) -> None:
    code, said = tell("run", more="")
    assert (code, said) == (0, "newsletter: run failed, and alerts.address is not set: nobody is told\n")
    assert inbox.recipients == []
