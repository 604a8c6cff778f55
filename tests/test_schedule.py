"""The printed schedules: crontab lines and systemd units."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from newsletter.cli import main
from newsletter.errors import NewsletterError
from newsletter.schedule import Job, crontab, replace_block, units
from tests import needs

WINTER = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def job(zone: str = "UTC", config: str = "/srv/papers/config.yaml", at: time = time(7, 0)) -> Job:
    return Job(("/usr/bin/newsletter",), Path(config), at, ZoneInfo(zone))


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_cron_runs_daily_and_goes_on_every_quarter_of_an_hour() -> None:
    assert commands(crontab(job(), WINTER)) == [
        "0 7 * * * /usr/bin/newsletter -c /srv/papers/config.yaml run >> /srv/papers/newsletter.log",
        "7-59/15 * * * * /usr/bin/newsletter -c /srv/papers/config.yaml send >> /srv/papers/newsletter.log",
    ]


def test_with_a_bounce_mailbox_it_is_read_every_hour() -> None:
    asked = replace(job(), bounces=True)
    assert commands(crontab(asked, WINTER))[2:] == [
        "11 * * * * /usr/bin/newsletter -c /srv/papers/config.yaml bounces >> /srv/papers/newsletter.log",
    ]
    made = units(asked)
    assert "ExecStart=/usr/bin/newsletter -c /srv/papers/config.yaml bounces\n" in made["newsletter-bounces.service"]
    assert "OnCalendar=*:11\n" in made["newsletter-bounces.timer"]
    assert "newsletter-bounces.timer" not in units(job())


def test_the_hour_is_converted_to_the_clock_that_cron_goes_by() -> None:
    line = commands(crontab(job("America/New_York", at=time(6, 30)), WINTER))[0]
    assert line.startswith("30 11 * * * ")
    summer = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert commands(crontab(job("America/New_York", at=time(6, 30)), summer))[0].startswith("30 10 * * * ")


def test_odd_paths_survive_the_shell_and_cron() -> None:
    line = commands(crontab(job(config="/srv/my papers/100%/config.yaml"), WINTER))[0]
    assert line == (
        r"0 7 * * * /usr/bin/newsletter -c '/srv/my papers/100\%/config.yaml' run"
        r" >> '/srv/my papers/100\%/newsletter.log'"
    )


def test_an_installation_replaces_the_one_before_and_nothing_else() -> None:
    first = replace_block("0 1 * * * backup\n", crontab(job(), WINTER))
    second = replace_block(first + "0 2 * * * other\n", crontab(job(at=time(9, 15)), WINTER))
    assert commands(second) == [
        "0 1 * * * backup",
        "0 2 * * * other",
        *commands(crontab(job(at=time(9, 15)), WINTER)),
    ]
    other = crontab(job(config="/srv/other/config.yaml"), WINTER)
    assert len(commands(replace_block(second, other))) == 6


def test_systemd_keeps_the_zone_and_catches_up_after_an_outage() -> None:
    timer = units(job("Europe/Berlin"))["newsletter.timer"]
    assert "OnCalendar=*-*-* 07:00:00 Europe/Berlin\n" in timer
    assert "Persistent=true\n" in timer


@pytest.mark.parametrize("config", ["/srv/papers/config.yaml", "/srv/my papers/100%/$HOME/config.yaml"])
def test_systemd_takes_the_units(tmp_path: Path, config: str) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for name, text in units(
        Job(("/bin/true",), Path(config), time(7), ZoneInfo("Europe/Berlin"), bounces=True, user="newsletter")
    ).items():
        (tmp_path / name).write_text(text, "utf-8")
    done = subprocess.run(
        [verify, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr


# --- who runs it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def somebody_s(tmp_path: Path) -> Path:
    """A config that belongs to nobody, the user of that name, where root is about to schedule it."""
    needs.root()
    config = tmp_path / "config.yaml"
    config.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "feeds:\n  - url: papers.json\n",
        "utf-8",
    )
    os.chown(config, pwd.getpwnam("nobody").pw_uid, -1)
    return config


def scheduled(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(config), "schedule", *words])
    assert not ended.value.code
    return capsys.readouterr().out


def test_system_units_run_as_the_owner_of_the_config(somebody_s: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scheduled(somebody_s, capsys, "systemd").count("\nUser=nobody\n") == 2
    os.chown(somebody_s, 0, 0)
    assert "User=" not in scheduled(somebody_s, capsys, "systemd")


@pytest.mark.system
def test_root_fills_the_crontab_of_the_owner_of_the_config(
    somebody_s: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$3" = -l ] || cat > {tmp_path}/table\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    said = scheduled(somebody_s, capsys, "cron", "--install")
    assert said == "installed in the crontab of nobody; see `crontab -u nobody -l`\n"
    assert (tmp_path / "asked").read_text("utf-8").splitlines() == ["-u nobody -l", "-u nobody -"]
    assert len(commands((tmp_path / "table").read_text("utf-8"))) == 2


@pytest.mark.parametrize("config", ["/srv/a\nb/config.yaml", "/srv/a\rb/config.yaml"])
def test_a_path_with_a_line_break_is_refused(config: str) -> None:
    with pytest.raises(NewsletterError, match=r"^'/srv/a\\[nr]b/config.yaml' has a line break"):
        job(config=config)


def test_a_worker_starts_again_but_not_with_a_wrong_configuration() -> None:
    asked = replace(job(), workers=True)
    unit = units(asked)["newsletter-worker@.service"]
    assert unit.split("ExecStart=")[1].splitlines()[0].endswith(" worker")
    assert "Restart=always\n" in unit
    assert "RestartPreventExitStatus=2 78\n" in unit
    assert "newsletter-worker@.service" not in units(job())
