"""Whether a store owes a copy, asked before the program is loaded: only a store that is well and idle says no."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.model import RenderedIssue, Result, State
from newsletter.owed import HEAD, nothing_is_owed
from newsletter.store import Store
from tests import program
from tests.conftest import PUBLICATION, ROOT
from tests.fakes import ACCEPTED
from tests.migrated import store_file

ISSUE = RenderedIssue(date(2026, 11, 24), "Papers", "<p>", "text")

# What `send` does without when nothing is owed. The store alone takes half of a second of CPU on a busy machine.
NOT_LOADED = {"sqlalchemy", "alembic", "jinja2", "premailer", "lxml", "cryptography", "flask", "feedparser", "urllib3"}
NOT_LOADED |= {"rich", "ssl", "smtplib", "email", "asyncio", "newsletter.store", "newsletter.pipeline"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store whose only issue was accepted for both readers, as a run leaves it."""
    path = tmp_path / "newsletter.db"
    with Store.open(store_file(path)) as store, store.sending_lock():
        for name in ("ada", "emmy"):
            store.add(f"{name}@example.org")
        issue = store.freeze(ISSUE, PUBLICATION, lifetime=timedelta(hours=24))
        rows = store.claim(issue.id, 10, resend_uncertain=1)
        store.turn([], rows)
        store.turn([Result(row, State.SENDING, ACCEPTED) for row in rows], [])
    return path


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(statement).rowcount == 1


def another_witness(file: Path, **values: object) -> None:
    witness = file.with_name(f"{file.name}.witness")
    witness.write_text(json.dumps(json.loads(witness.read_text("utf-8")) | values), "utf-8")


def test_nothing_is_owed_when_each_copy_has_ended(file: Path) -> None:
    before = file.read_bytes()
    assert nothing_is_owed(f"sqlite:///{file}", None)
    assert file.read_bytes() == before


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACCEPTED])
def test_every_state_that_may_still_change_is_looked_at(file: Path, state: State) -> None:
    change(file, f"UPDATE deliveries SET state = '{state}' WHERE id = 2")
    ended = state in (State.REFUSED, State.WITHDRAWN, State.EXPIRED)
    assert nothing_is_owed(f"sqlite:///{file}", None) is ended


# What makes a store one that the whole program must look at, although each copy has ended.
UNSURE: dict[str, Callable[[Path], object]] = {
    "an older schema": lambda file: change(file, "UPDATE alembic_version SET version_num = '0001'"),
    "a newer schema": lambda file: change(file, "UPDATE alembic_version SET version_num = '9999'"),
    "a move that has not ended": lambda file: change(file, f"UPDATE alembic_version SET version_num = 'moving-{HEAD}'"),
    "a run that was cut off": lambda file: file.with_name(f"{file.name}.lock").write_bytes(b"in use\n"),
    "no lock yet": lambda file: file.with_name(f"{file.name}.lock").unlink(),
    "no witness": lambda file: file.with_name(f"{file.name}.witness").unlink(),
    "a witness that cannot be read": lambda file: file.with_name(f"{file.name}.witness").write_bytes(b"[1]"),
    "the witness of another store": lambda file: another_witness(file, store="another"),
    "a store that is older than its witness": lambda file: another_witness(file, sendings=1_000_000),
    "a damaged file": lambda file: file.write_bytes(b"no database"),
    "no file": lambda file: file.unlink(),
}


@pytest.mark.parametrize("what", UNSURE)
def test_a_store_that_is_not_as_a_run_leaves_it_is_left_to_the_program(file: Path, what: str) -> None:
    UNSURE[what](file)
    exists = file.exists()
    assert not nothing_is_owed(f"sqlite:///{file}", None)
    assert file.exists() is exists


def test_a_witness_elsewhere_is_asked(file: Path, tmp_path: Path) -> None:
    beside = file.with_name(f"{file.name}.witness")
    elsewhere = beside.rename(tmp_path / "elsewhere")
    assert nothing_is_owed(f"sqlite:///{file}", elsewhere)
    assert not nothing_is_owed(f"sqlite:///{file}", None)


def test_another_database_is_left_to_the_program() -> None:
    assert not nothing_is_owed("postgresql://newsletter@localhost/newsletter", None)
    assert not nothing_is_owed("sqlite://", None)


def configured(file: Path) -> list[str]:
    """The command of a list with this store."""
    config = file.with_name("config.yaml")
    config.write_text(
        "sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\n"
        "list_id: papers.news.example.org\nbase_url: https://news.example.org\nsecret: a secret of this test\n"
        f"feeds:\n  - url: papers.json\nstore: sqlite:///{file}\nsmtp:\n  - {{host: 127.0.0.1, port: 9}}\n",
        "utf-8",
    )
    config.chmod(0o600)
    return ["-c", str(config), "send"]


def test_a_send_with_nothing_owed_loads_no_store_and_no_network(file: Path) -> None:
    code = (
        "import sys\nfrom newsletter.cli import main\n"
        f"try: main({configured(file)!r})\nexcept SystemExit as ended: print(ended.code, file=sys.stderr)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ended, loaded = done.stderr.splitlines()
    assert (done.stdout, ended) == ("", "0")
    assert not NOT_LOADED & set(loaded.split())


def test_a_secret_that_cannot_be_read_is_told_although_nothing_is_owed(file: Path) -> None:
    command = [*program.COMMAND, *configured(file)]
    config = file.with_name("config.yaml")
    config.write_text(config.read_text("utf-8").replace("secret: a secret of this test", "secret_file: lost"), "utf-8")
    done = program.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 78
    assert "lost" in done.stderr
