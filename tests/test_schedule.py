"""The printed schedules: crontab lines and systemd units."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from newsletter.cli import main
from newsletter.errors import NewsletterError
from newsletter.schedule import (
    Job,
    crontab,
    install_crontab,
    install_units,
    remove_from_crontab,
    remove_units,
    replace_block,
    units,
)
from newsletter.schedule.systemd import base_name, config_of
from newsletter.schedule.unit_files import plan
from tests import needs

LIST = "papers.example.org"
WINTER = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def job(zone: str = "UTC", config: str = "/srv/papers/config.yaml", at: time = time(7, 0)) -> Job:
    return Job(("/usr/bin/newsletter",), Path(config), at, ZoneInfo(zone), list_id=LIST, user="newsletter")


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
    assert (
        "ExecStart=/usr/bin/newsletter -c /srv/papers/config.yaml bounces\n"
        in made[f"newsletter-{LIST}-bounces.service"]
    )
    assert "OnCalendar=*:11\n" in made[f"newsletter-{LIST}-bounces.timer"]
    assert f"newsletter-{LIST}-bounces.timer" not in units(job())


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
    timer = units(job("Europe/Berlin"))[f"newsletter-{LIST}.timer"]
    assert "OnCalendar=*-*-* 07:00:00 Europe/Berlin\n" in timer
    assert "Persistent=true\n" in timer


def analysed(*words: str | Path) -> str:
    """What systemd-analyze prints; it has no error to report."""
    done = subprocess.run(
        [needs.program("systemd-analyze", "systemd"), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("base", "due"),
    [
        ("2026-03-28 05:59:00 UTC", "2026-03-28 06:00:00 UTC"),
        ("2026-03-28 06:01:00 UTC", "2026-03-29 05:00:00 UTC"),  # summer time has begun in Berlin
        ("2026-10-25 05:59:00 UTC", "2026-10-25 06:00:00 UTC"),  # and ended
    ],
)
def test_the_timer_fires_at_seven_by_the_zone_s_clock(base: str, due: str) -> None:
    timer = units(job("Europe/Berlin"))[f"newsletter-{LIST}.timer"]
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    assert due in analysed("calendar", f"--base-time={base}", calendar)


@pytest.mark.parametrize("system", [True, False], ids=["system", "user"])
@pytest.mark.parametrize("calls", ["", "programs", "sendmail"])
@pytest.mark.parametrize("config", ["/srv/papers/config.yaml", '/srv/my "papers"/100%/$HOME/config.yaml\\'])
def test_systemd_takes_the_units(tmp_path: Path, config: str, calls: str, system: bool) -> None:
    asked = replace(job("Europe/Berlin", config), command=("/bin/true",), bounces=True, workers=True)
    asked = replace(asked, programs=calls == "programs", sendmail=calls == "sendmail", writes=(Path("/var/mail/box"),))
    asked = asked if system else replace(asked, user=None)
    for name, text in units(asked, system=system).items():
        (tmp_path / name).write_text(text, "utf-8")
        assert config_of(text) == Path(config)
    said = analysed("verify", "--man=no", *sorted(tmp_path.iterdir()))
    assert str(tmp_path) not in said


@pytest.mark.parametrize(("programs", "most"), [(False, 2.0), (True, 3.0)])  # without any line it is 9.6
def test_the_jobs_are_fenced_in(tmp_path: Path, programs: bool, most: float) -> None:
    for name, text in units(replace(job(), bounces=True, workers=True, programs=programs)).items():
        (tmp_path / name).write_text(text, "utf-8")
    for service in sorted(tmp_path.glob("*.service")):
        said = analysed("security", "--offline=true", "--no-pager", service)
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert level is not None, said
        assert float(level[1]) <= most, said


def test_folders_that_the_jobs_write_to_stay_writable() -> None:
    asked = replace(job(config="/srv/my $papers/config.yaml"), writes=(Path("/var/mail/100%"),))
    for name, text in units(asked).items():
        if name.endswith(".service"):
            assert 'ReadWritePaths="-/srv/my $papers" -/var/mail/100%%\n' in text
            assert "PrivateTmp=true\n" in text
    for shared in (
        replace(job(), writes=(Path("/var/tmp/mails"),)),
        replace(job(), command=("/tmp/venv/bin/newsletter",)),
    ):
        assert not any("PrivateTmp" in text for text in units(shared).values())


def test_a_program_of_the_operator_may_be_set_group_id() -> None:
    """As Postfix's sendmail: every one of these lines would forbid that (systemd.exec(5))."""
    implied = ("NoNewPrivileges=true", "SystemCallFilter", "RestrictAddressFamilies", "PrivateDevices", "PrivateUsers")
    text = units(replace(job(), sendmail=True))[f"newsletter-{LIST}.service"]
    assert [word for word in implied if word in text] == []
    assert "User=newsletter\n" in text


def test_a_failure_is_told_of() -> None:
    made = units(replace(job(), bounces=True, workers=True))
    failed = made[f"newsletter-{LIST}-failed@.service"]
    assert "ExecStart=/usr/bin/newsletter -c /srv/papers/config.yaml alert %i\n" in failed
    assert "OnFailure" not in failed
    for subcommand, name in (("run", ""), ("send", "-send"), ("bounces", "-bounces"), ("worker", "-worker@")):
        text = made[f"newsletter-{LIST}{name}.service"]
        assert f"OnFailure=newsletter-{LIST}-failed@{subcommand}.service\n" in text
    assert "SuccessExitStatus" not in made[f"newsletter-{LIST}.service"]  # 75 is tried again, and then told of


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
    assert scheduled(somebody_s, capsys, "systemd").count("\nUser=nobody\n") == 3


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
    unit = units(asked)[f"newsletter-{LIST}-worker@.service"]
    assert unit.split("ExecStart=")[1].splitlines()[0].endswith(" worker")
    assert "Restart=always\n" in unit
    assert "RestartPreventExitStatus=2 78\n" in unit
    assert f"newsletter-{LIST}-worker@.service" not in units(job())


# --- installing and removing -----------------------------------------------------------------------------------------

MINE, THEIRS = Path("/srv/papers/config.yaml"), Path("/srv/other/config.yaml")
FORMER = "[Service]\nType=oneshot\nExecStart=/usr/bin/newsletter -c {config} {subcommand}\n"


@pytest.mark.parametrize("list_id", ["Papers.Example.org", "päpers.example.org", "a/../b.example", "x" * 240 + ".org"])
def test_the_names_of_units_are_safe(list_id: str) -> None:
    assert re.fullmatch(r"newsletter-[a-z0-9._-]{1,200}", base_name(list_id))


def test_units_of_another_list_are_in_the_way() -> None:
    wanted, others = units(job()), units(job(config=str(THEIRS)))
    assert plan(wanted, others, MINE).foreign == dict.fromkeys(wanted, str(THEIRS))
    assert plan(wanted, dict.fromkeys(wanted, "[Unit]\nDescription=by hand\n"), MINE).foreign.keys() == wanted.keys()
    assert plan(wanted, wanted, MINE).foreign == {}
    assert plan(wanted, {**wanted, **units(replace(job(), list_id="old.example.org"))}, MINE).remove == sorted(
        units(replace(job(), list_id="old.example.org"))
    )


def test_units_of_version_02_are_replaced_where_they_are_of_this_list() -> None:
    there = {
        "newsletter.service": FORMER.format(config=MINE, subcommand="run"),
        "newsletter.timer": "[Timer]\nOnCalendar=daily\n",
        "newsletter-send.service": FORMER.format(config=THEIRS, subcommand="send"),
        "newsletter-send.timer": "[Timer]\nOnCalendar=daily\n",
        "newsletter-web.service": FORMER.format(config=MINE, subcommand="web"),
        "newsletter-mine.service": FORMER.format(config=MINE, subcommand="run"),  # a person wrote it
    }
    planned = plan(units(job()), there, MINE)
    assert (planned.remove, planned.foreign) == (["newsletter.service", "newsletter.timer"], {})


@dataclass
class Machine:
    """A home folder with systemd's units of a user, a `systemctl` and a `crontab` that note what they are asked."""

    folder: Path

    @property
    def units(self) -> Path:
        return self.folder / "systemd" / "user"

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text("utf-8").splitlines()

    @property
    def crontab(self) -> str:
        return (self.folder / "table").read_text("utf-8")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    programs = {
        "systemctl": f'echo "$@" >> {tmp_path}/asked',
        "crontab": f'case "$*" in *-l) cat {tmp_path}/table ;; *) cat > {tmp_path}/table ;; esac',
    }
    (tmp_path / "bin").mkdir()
    for name, line in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n", "utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "table").write_text("0 1 * * * backup\n", "utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return made


def installed(asked: Job) -> list[str]:
    return list(install_units(units(asked, system=False), asked.config, system=False))


@pytest.mark.system
def test_two_lists_are_installed_beside_one_another_and_one_is_removed(machine: Machine) -> None:
    web = machine.units / "newsletter-web.service"
    machine.units.mkdir(parents=True)
    web.write_text(FORMER.format(config=MINE, subcommand="web"), "utf-8")
    first, second = job(), replace(job(config=str(THEIRS)), list_id="other.example.org")
    installed(replace(first, bounces=True))
    installed(second)
    installed(first)  # the mailbox is gone from the configuration, and so is its job
    assert {path.name for path in machine.units.iterdir()} == {*units(first), *units(second), web.name}
    assert machine.asked[-3:] == [
        "--user daemon-reload",
        "--user daemon-reload",
        f"--user enable --now newsletter-{LIST}.timer newsletter-{LIST}-send.timer",
    ]
    assert f"--user disable --now newsletter-{LIST}-bounces.timer" in machine.asked
    assert list(remove_units(MINE, system=False)) == [
        f"removed {machine.units / name}" for name in sorted(units(first))
    ]
    assert {path.name for path in machine.units.iterdir()} == {*units(second), web.name}
    assert list(remove_units(MINE, system=False)) == []


@pytest.mark.system
def test_nothing_is_written_over_another_list_s_units(machine: Machine) -> None:
    installed(job())
    before = {path: path.read_text("utf-8") for path in machine.units.iterdir()}
    with pytest.raises(NewsletterError, match=rf"belongs to {MINE}; nothing was written"):
        installed(job(config=str(THEIRS)))
    assert {path: path.read_text("utf-8") for path in machine.units.iterdir()} == before


@pytest.mark.system
def test_workers_that_were_enabled_are_stopped(machine: Machine) -> None:
    installed(replace(job(), workers=True))
    wants = machine.units / "default.target.wants"
    wants.mkdir()
    (wants / f"newsletter-{LIST}-worker@1.service").symlink_to(machine.units / f"newsletter-{LIST}-worker@.service")
    list(remove_units(MINE, system=False))
    assert machine.asked[-2].split()[-3:] == [
        f"newsletter-{LIST}-send.timer",
        f"newsletter-{LIST}.timer",
        f"newsletter-{LIST}-worker@1.service",
    ]


@pytest.mark.system
def test_a_crontab_gets_its_lines_back_as_they_were(machine: Machine) -> None:
    for _ in range(2):
        install_crontab(crontab(job(), WINTER))
    install_crontab(crontab(job(config=str(THEIRS)), WINTER))
    assert len(commands(machine.crontab)) == 5
    assert remove_from_crontab(MINE)
    assert not remove_from_crontab(MINE)
    assert remove_from_crontab(THEIRS)
    assert machine.crontab == "0 1 * * * backup\n"


@pytest.mark.system
@pytest.mark.parametrize("act", [lambda: install_crontab(crontab(job(), WINTER)), lambda: remove_from_crontab(MINE)])
def test_a_crontab_that_cannot_be_read_or_has_lost_a_line_stays(machine: Machine, act: Callable[[], object]) -> None:
    broken = crontab(job(), WINTER).rpartition("# newsletter")[0] + "0 2 * * * mine\n"
    (machine.folder / "table").write_text(broken, "utf-8")
    with pytest.raises(NewsletterError, match="and no line"):
        act()
    assert machine.crontab == broken
    (machine.folder / "bin" / "crontab").write_text("#!/bin/sh\necho you are not allowed >&2; exit 1\n", "utf-8")
    with pytest.raises(NewsletterError, match="cannot be read, so it stays as it is: you are not allowed"):
        act()


def test_units_of_the_system_never_run_as_root(somebody_s: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chown(somebody_s, 0, 0)
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(somebody_s), "schedule", "systemd"])
    assert ended.value.code == 1
    assert "belongs to root, and the newsletter never runs as root" in capsys.readouterr().err


@pytest.mark.system
def test_remove_takes_away_what_install_installed(
    somebody_s: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduled(somebody_s, capsys, "cron", "--install")
    assert scheduled(somebody_s, capsys, "remove") == "removed from the crontab of nobody\n"
    assert machine.crontab == "0 1 * * * backup\n"
    somebody_s.unlink()
    assert scheduled(somebody_s, capsys, "remove") == f"nothing was installed for {somebody_s}\n"
