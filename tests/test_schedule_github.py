"""`newsletter schedule github`: its steps run as they stand, on a repository and a runner of the tests."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from newsletter.cli import main
from newsletter.schedule.github import starts
from tests import runner
from tests.runner import KEY, READERS, ROUNDS, Ran, Repository, State

WEDNESDAY = datetime(2026, 11, 25, 7, 7, tzinfo=UTC)

pytestmark = pytest.mark.system


class Forge:
    """A repository in which the day before each of this week's days lists two papers, and states of it."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository, self._folder = repository, folder
        for back in range(-7, 14):
            day = (WEDNESDAY - timedelta(days=back)).date()
            repository.publish(day, 2 if day.weekday() < 5 else 0)
        repository.clock(WEDNESDAY)
        self.new = repository.save(folder / "new")

    def begin(self) -> Ran:
        """Have the repository as it is after its first run, which is made once. Returns that run."""
        ran, state = self._first
        self.repository.restore(state)
        return ran

    @cached_property
    def _first(self) -> tuple[Ran, State]:
        self.repository.restore(self.new)
        ran = self.repository.run(asked="begin")
        assert ran.green, ran.log
        return ran, self.repository.save(self._folder / "begun")


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    folder = tmp_path_factory.mktemp("forge")
    with runner.repository(folder) as repository:
        yield Forge(repository, folder)


@pytest.fixture
def made(forge: Forge) -> Repository:
    """The repository without a run."""
    forge.repository.restore(forge.new)
    return forge.repository


@pytest.fixture
def begun(forge: Forge) -> Repository:
    """The repository after its first run."""
    forge.begin()
    return forge.repository


def papers(made: Repository) -> list[str]:
    """The papers that Ada got, in order."""
    mails = [str(mail.get_body(("plain",))) for mail in made.inbox.messages if mail["To"] == READERS[0]]
    return [title for mail in mails for title in sorted(re.findall(r"Paper (\S+/\d)", mail))]


def both(day: date) -> list[str]:
    return [f"{day}/0", f"{day}/1"]


TUESDAY, MONDAY = date(2026, 11, 24), date(2026, 11, 23)


def branch(made: Repository) -> list[str]:
    command = ["git", "-C", str(made.origin), "ls-tree", "--name-only", "newsletter-store"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_it_sends_saves_and_goes_on_the_next_day(forge: Forge) -> None:
    ran, made = forge.begin(), forge.repository
    assert ran.log.splitlines()[-1] == "verdict: new-issue - 2 accepted"
    assert (branch(made), papers(made)) == (["store.enc"], both(TUESDAY))
    again = made.run(schedule="7 13 * * *")  # a start that was doubled
    assert (again.green, len(made.inbox.messages)) == (True, 2), again.log
    made.clock(WEDNESDAY + timedelta(days=2))  # and one that was dropped
    assert made.run(schedule="7 13 * * *").green
    assert sorted(papers(made)[2:]) == sorted([*both(date(2026, 11, 25)), *both(date(2026, 11, 26))])
    assert made.calls == ["/repos/ada/papers/actions/workflows/newsletter.yml/enable"] * 3
    assert re.fullmatch(
        r"install daily-papers-newsletter==[\w.]+\n", (made.folder / "pipx").read_text().splitlines()[0] + "\n"
    )


def test_nobody_s_address_is_in_the_log_or_readable_in_the_repository(made: Repository) -> None:
    made.secrets["NEWSLETTER_SUBSCRIBERS"] = "ada@readers.example\nno address @ all\nkurt@readers.example"
    made.inbox.refuse["kurt@readers.example"] = "550 5.1.1 <kurt@readers.example>: no such user here"
    ran = made.run(asked="begin")
    assert papers(made) == both(TUESDAY)
    everything = subprocess.run(
        "git -C origin.git cat-file --batch --batch-all-objects",
        shell=True,
        cwd=made.folder,
        capture_output=True,
        check=True,
    ).stdout
    assert "readers.example" not in ran.log
    assert b"readers.example" not in everything
    assert KEY.encode() not in everything


def test_a_store_that_cannot_be_fetched_is_never_taken_for_a_first_run(made: Repository, forge: Forge) -> None:
    assert "run this workflow by hand with store: begin" in made.run(schedule="7 7 * * *").log
    forge.begin()
    assert "is there already" in made.run(asked="begin").log
    made.clock(WEDNESDAY + timedelta(days=1))
    for key, words in (("f" * 32, "cannot be decrypted"), ("short", "Add the secret NEWSLETTER_STORE_KEY")):
        made.secrets["NEWSLETTER_STORE_KEY"] = key
        ran = made.run(schedule="7 7 * * *")
        assert not ran.green
        assert words in ran.log
    assert len(made.inbox.messages) == 2


@pytest.mark.parametrize("step", ["Begin", "Send"])
def test_after_a_machine_was_lost_nothing_is_sent_until_the_operator_says_so(begun: Repository, step: str) -> None:
    begun.clock(WEDNESDAY + timedelta(days=1))
    begun.run(schedule="7 7 * * *", die_after=step)
    sent = len(begun.inbox.messages)
    ran = begun.run(schedule="7 8 * * *")
    assert (ran.green, len(begun.inbox.messages)) == (False, sent)
    assert "store: after-a-cut" in ran.log
    assert begun.run(asked="after-a-cut").green
    assert branch(begun) == ["store.enc"]
    assert set(papers(begun)) == {*both(TUESDAY), *both(date(2026, 11, 25))}


def test_a_run_that_cannot_save_does_not_send(made: Repository) -> None:
    hook = made.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    ran = made.run(asked="begin")
    assert not ran.green
    assert made.inbox.messages == []


def test_a_run_that_ends_without_a_verdict_says_how(made: Repository) -> None:
    real, fault = made.folder / "bin" / "newsletter", "echo \"KeyError: 'ada@readers.example'\" >&2; exit 1"
    made.replace("newsletter", f'#!/bin/sh\ncase "$*" in *" run") {fault};; esac\nexec {real} "$@"\n')
    ran = made.run(asked="begin")
    assert not ran.green
    assert "The run ended without a verdict: KeyError: (an address)" in ran.log


def test_of_two_runs_at_once_one_sends(begun: Repository) -> None:
    """As if the concurrency group did not hold: another run begins between this one's fetch and its first push."""
    begun.clock(WEDNESDAY + timedelta(days=1))
    begun.replace(
        "git",
        "#!/bin/sh\n"
        f'PATH="${{PATH#*:}}"; rival={begun.origin}\n'
        'if [ "$1" = push ] && mkdir "$rival/once" 2> /dev/null; then\n'
        '  git -C "$rival" update-ref refs/heads/newsletter-store "$(git -C "$rival" commit-tree -m rival'
        ' newsletter-store^{tree})"\n'
        'fi\nexec git "$@"\n',
    )
    ran = begun.run(schedule="7 7 * * *")
    assert not ran.green
    assert len(begun.inbox.messages) == 2


def test_readers_who_left_get_nothing_and_are_not_added_again(begun: Repository) -> None:
    plain = begun.secrets["NEWSLETTER_SUBSCRIBERS"]
    for number, readers in enumerate((f"email,status\n{READERS[0]},unsubscribed\n{READERS[1]},active", plain)):
        begun.secrets["NEWSLETTER_SUBSCRIBERS"] = readers
        begun.clock(WEDNESDAY + timedelta(days=number + 1))
        assert begun.run(schedule="7 7 * * *").green
    assert [mail["To"] for mail in begun.inbox.messages].count(READERS[0]) == 1
    assert [mail["To"] for mail in begun.inbox.messages].count(READERS[1]) == 3


@pytest.mark.parametrize(("schedule", "green"), [("7 7 * * *", True), ("7 13 * * *", False), ("", False)])
def test_a_failure_that_may_pass_is_red_at_the_last_start_of_the_day(
    begun: Repository, schedule: str, *, green: bool
) -> None:
    (begun.folder / "feeds" / "2026-11-25.json").unlink()
    begun.clock(WEDNESDAY + timedelta(days=1))
    ran = begun.run(schedule=schedule)
    assert "verdict: feed-failed" in ran.log
    assert ran.green is green


def test_days_of_bad_starts(made: Repository) -> None:
    """`python -m tests.runner` lives through a year of them."""
    seen = runner.year(made, days=9, share=0.5, seed=14)
    assert set(seen.fates) == set(runner.FATES)
    assert replace(seen, fates=Counter()) == runner.Year()


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_starts_of_a_day_keep_off_full_hours_and_stay_in_the_day() -> None:
    def due(moment: datetime) -> date:
        return moment.date()

    def shown(hour: int, minute: int) -> list[str]:
        return [f"{each:%H:%M}" for each in starts(datetime(2026, 11, 25, hour, minute, tzinfo=UTC), due)]

    assert shown(7, 0) == ["07:07", "08:07", "10:07", "13:07"]
    assert shown(7, 12) == ["07:12", "08:12", "10:12", "13:12"]
    assert shown(21, 30) == ["21:37", "22:37"]
    assert shown(23, 45) == ["23:45"]


CONFIG = "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("secret_file: key\n", "write `secret: ${SECRET}`"),
        ("store: postgresql://ada@db.example/news\n", "PostgreSQL needs no such workflow"),
        ("store: sqlite:////var/lib/papers.db\n", "store: /var/lib/papers.db is outside"),
        ("bounces:\n  maildir: box\n", "a runner can read bounces.imap"),
    ],
)
def test_what_a_runner_does_not_have_is_refused(
    more: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(f"{CONFIG}feeds:\n  - url: papers.json\n{more}", "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(tmp_path / "config.yaml"), "schedule", "github"])
    assert ended.value.code
    assert words in capsys.readouterr().err
    assert not (tmp_path / ".github").exists()


def test_the_file_names_every_secret_and_no_other_file_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = tmp_path / "my papers" / "config.yaml", tmp_path / ".github/workflows/newsletter.yml"
    (tmp_path / ".git").mkdir()
    config.parent.mkdir()
    imap = "bounces:\n  imap:\n    host: imap.example.org\n    username: ada\n    password: ${IMAP_PASSWORD}\n"
    config.write_text(f"{CONFIG}feeds:\n  - url: papers.json\nsecret: ${{LIST_SECRET}}\n{imap}", "utf-8")
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["-c", str(config), "schedule", "github"])
        assert not ended.value.code
    assert "       IMAP_PASSWORD\n       LIST_SECRET\n" in capsys.readouterr().out
    workflow = yaml.safe_load(file.read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    sending = next(step for step in job["steps"] if step.get("id") == "send")
    assert sending["env"]["IMAP_PASSWORD"] == "${{ secrets.IMAP_PASSWORD }}"
    assert 'newsletter -c "$CONFIG" bounces' in sending["run"]
    assert job["env"]["CONFIG"] == "my papers/config.yaml"
    assert workflow["concurrency"] == {"group": "newsletter", "cancel-in-progress": False}
    assert "[imap]==" in next(step["run"] for step in job["steps"] if step.get("name") == "Install")
    assert re.findall(r"@[A-Z]+@", file.read_text("utf-8")) == []
    assert file.read_text("utf-8").count(ROUNDS[0]) == 2  # what encrypts and what decrypts agree, and take their time
    file.write_text("name: mine\n", "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(config), "schedule", "github"])
    assert ended.value.code == 1
    assert file.read_text("utf-8") == "name: mine\n"
