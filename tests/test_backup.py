"""A backup and the way back: on both databases, on an empty machine, and for archives that are no good."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from newsletter import __version__, backup
from newsletter.backup.manifest import Kind
from newsletter.cli import cli
from newsletter.config import load
from newsletter.errors import BackupError, ConfigError, NewsletterError, StoreBusy, StoreError
from newsletter.model import RenderedIssue, Result, State
from newsletter.store import HEAD, Store, restore_copy, snapshot
from newsletter.store.database import Database
from newsletter.store.schema import metadata
from tests import program
from tests.conftest import PUBLICATION, ROOT
from tests.fakes import ACCEPTED
from tests.migrated import store_file
from tests.smtpd import Script, smtpd

pytest_plugins = ["tests.postgres"]

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
CONFIG = """\
title: Daily Papers
sender: digest@news.example.org
postal_address: 1 Example Street
list_id: papers.news.example.org
base_url: https://news.example.org
feeds: [{{url: {feed}}}]
secret_file: newsletter.secret
store: {store}
"""


class Machine:
    """A folder with a configuration, its secret, and a store."""

    def __init__(self, folder: Path, store: str = "sqlite:///newsletter.db", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, folder / "config.yaml"
        feed = ROOT / "newsletter" / "sample_day.json"
        self.write("config.yaml", CONFIG.format(feed=feed, store=store) + more)
        self.write("newsletter.secret", "a secret of this test\n")

    def write(self, name: str, content: str, mode: int = 0o600) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
        path.chmod(mode)

    def open(self) -> Store:
        return Store.open(load(self.path).store, now=lambda: NOW)

    def backup(self, target: Path) -> backup.Made:
        return backup.make(load(self.path), target, NOW)

    def run(self, *words: str) -> tuple[int, str]:
        return newsletter(self.path, *words)


def newsletter(path: Path, *words: str) -> tuple[int, str]:
    """The exit code and everything that a command prints."""
    done = CliRunner().invoke(cli, ["-c", str(path), *words])
    if isinstance(done.exception, NewsletterError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return filled(tmp_path / "here")


def filled(folder: Path) -> Machine:
    """A machine whose store has rows."""
    made = Machine(folder)
    store_file(made.folder / "newsletter.db")
    with made.open() as store:
        fill(store)
    return made


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of such a machine."""
    folder = tmp_path_factory.mktemp("sound")
    filled(folder / "here").backup(folder / "backup")
    return folder / "backup"


def fill(store: Store) -> None:
    """Readers, one of whom has moved to a later row, an issue, and a copy of it in several states."""
    store.add_all([f"r{number}@example.org" for number in range(5)], revive=False)
    with store._db.write() as connection:
        connection.execute(text("UPDATE subscribers SET moved_to = 5 WHERE id = 1"))
    rendered = RenderedIssue(date(2026, 11, 24), "Päpers", "<p>x</p>", "x")
    issue = store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24))
    with store.sending_lock():
        claimed = store.claim(issue.id, 2, resend_uncertain=1)
        store.turn([], claimed)
        store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in claimed], [])


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    database = Database(url, 1)
    try:
        with database.read() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
            }
    finally:
        database.close()


def files(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of each file that is no database."""
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.stat().st_mode), path.read_text("utf-8"))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".db" not in path.name
    }


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_copy_has_every_row_and_goes_back_into_either_database(tmp_path: Path, database_url: str) -> None:
    with Store.open(database_url, now=lambda: NOW) as store:
        fill(store)
    with Store.open(database_url) as store, store._db.write() as connection:
        connection.execute(text("INSERT INTO engine_migrations (name) VALUES ('of this database')"))
    before = rows(database_url)
    assert [len(before[name]) for name in ("subscribers", "deliveries", "renderings")] == [5, 5, 1]
    snapshot(database_url, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy"]  # no write-ahead log beside it
    with Store.open(database_url, now=lambda: NOW) as store:
        store.add("later@example.org")
    restore_copy(tmp_path / "copy", database_url)
    assert rows(database_url) == before
    with Store.open(database_url, now=lambda: NOW) as store:
        store.add("next@example.org")  # gets a number that is free
        assert store.find("next@example.org") is not None
    if database_url.startswith("postgresql"):
        restore_copy(tmp_path / "copy", f"sqlite:///{tmp_path / 'new.db'}")
        assert rows(f"sqlite:///{tmp_path / 'new.db'}") == before | {"engine_migrations": []}


def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path, database_url: str) -> None:
    """A writer adds two readers in each transaction: a copy has both of a pair or none."""
    with Store.open(database_url, now=lambda: NOW) as store:
        store.add_all([f"old{number}@example.org" for number in range(2_000)], revive=False)
        stop, begun = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                store.add_all([f"a{number}@example.org", f"b{number}@example.org"], revive=False)
                number += 1
                begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait()
        try:
            for number in range(3):
                snapshot(database_url, tmp_path / f"copy{number}")
        finally:
            stop.set()
            writer.join()
    for number in range(3):
        with closing(sqlite3.connect(tmp_path / f"copy{number}")) as copy:
            addresses = {address for (address,) in copy.execute("SELECT address FROM subscribers")}
        news = {address[1:] for address in addresses if not address.startswith("old")}
        assert all({f"a{end}", f"b{end}"} <= addresses for end in news)
        assert len(addresses) >= 2_002


def test_a_damaged_store_is_not_backed_up(machine: Machine, tmp_path: Path) -> None:
    path = machine.folder / "newsletter.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        machine.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


# --- making it -------------------------------------------------------------------------------------------------------


def test_a_backup_is_one_private_file_that_says_what_it_holds(machine: Machine, tmp_path: Path) -> None:
    made = machine.backup(tmp_path / "backup")
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "here"]
    with tarfile.open(tmp_path / "backup") as archive:
        told = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        contents = {
            part["path"]: (archive.extractfile(part["member"]) or io.BytesIO()).read() for part in told["parts"]
        }
    assert (told["version"], told["schema"], told["list_id"]) == (__version__, HEAD, "papers.news.example.org")
    assert {part["path"]: part["sha256"] for part in told["parts"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in contents.items()
    }
    assert set(contents) == {"config.yaml", "newsletter.secret", "store.sqlite"}
    assert contents["newsletter.secret"] == b"a secret of this test\n"
    assert made.size == (tmp_path / "backup").stat().st_size


def test_an_existing_file_is_never_overwritten(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target, words in (
        (tmp_path / "backup", "exists already"),
        (tmp_path / "link", "exists already"),
        (tmp_path / "no folder" / "backup", "does not exist"),
    ):
        with pytest.raises(BackupError, match=words):
            machine.backup(target)
    assert (tmp_path / "backup").read_text("utf-8") == "precious"


def test_files_that_cannot_be_in_it_are_named(tmp_path: Path) -> None:
    here = Machine(tmp_path / "here", more="old_secret_files: [gone, pipe]\nsmtp: [{username: u, password: '${PW}'}]\n")
    os.mkfifo(here.folder / "pipe")
    here.open().close()
    code, said = here.run("backup", str(tmp_path / "backup"))
    assert code == 0
    assert "old_secret_files.0" in said
    assert "gone is not in the backup: No such file" in said
    assert "pipe is not in the backup: it is not a file" in said
    assert "values of the environment are not in the backup: PW" in said


def test_a_backup_to_standard_output_is_the_archive_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    before = rows(f"sqlite:///{machine.folder / 'newsletter.db'}")
    done = program.run([*program.COMMAND, "-c", str(machine.path), "backup", "-"], cwd=tmp_path, capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert f"wrote to standard output: the store, {machine.path} and 1 other file, " in said
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    (tmp_path / "archive").write_bytes(done.stdout)
    code, said = newsletter(tmp_path / "there" / "config.yaml", "restore", str(tmp_path / "archive"))
    assert code == 0, said
    assert rows(f"sqlite:///{tmp_path / 'there' / 'newsletter.db'}").keys() == before.keys()
    assert files(tmp_path / "there") == files(machine.folder)


def test_an_archive_that_was_cut_off_on_its_way_is_refused(machine: Machine, tmp_path: Path) -> None:
    out = io.BytesIO()
    made = backup.stream(load(machine.path), out, NOW)
    assert made.size == len(out.getvalue())
    (tmp_path / "archive").write_bytes(out.getvalue()[:-20_000])
    with pytest.raises(BackupError):
        backup.restore(tmp_path / "archive", tmp_path / "there" / "config.yaml", force=False)
    assert not list((tmp_path / "there").iterdir())


# --- restoring it ----------------------------------------------------------------------------------------------------


def test_everything_is_back_on_an_empty_machine_with_its_modes(tmp_path: Path) -> None:
    outside = tmp_path / "etc" / "dkim.pem"
    outside.parent.mkdir()
    outside.write_text("a key\n", "utf-8")
    more = (
        "templates: templates\nold_secret_files: [keys/old]\n"
        f"dkim: [{{selector: s, private_key_file: {outside}}}]\n"
        "smtp: [{username: u, auth: xoauth2, token_refresh: {provider: google, client_id: c, refresh_token_file: rt, "
        "client_secret_file: ./keys/../cs}}]\n"
    )
    here = Machine(tmp_path / "here", more=more)
    here.write("templates/web/page.html", "hello", 0o644)
    here.write("locale/xx/LC_MESSAGES/messages.po", "", 0o644)
    here.write("keys/old", "an old secret of this test\n", 0o640)
    here.write("rt", "refresh\n")
    here.write("cs", "client\n", 0o400)
    with here.open() as store:
        fill(store)
    here.backup(tmp_path / "backup")
    before, stored = files(here.folder), rows(load(here.path).store)
    elsewhere = tmp_path / "there" / "config.yaml"
    code, said = newsletter(elsewhere, "restore", str(tmp_path / "backup"))
    assert code == 0, said
    found = files(elsewhere.parent)
    key = str(Path("outside", *outside.resolve().parts[1:]))
    assert found.pop(key)[1] == "a key\n"
    assert found == before
    assert rows(load(elsewhere).store) == stored
    assert f"install -D -m 600 {elsewhere.parent / key} {outside.resolve()}" in said
    assert "newsletter send --trust-store" in said
    assert not [path for path in elsewhere.parent.iterdir() if path.name.startswith(".newsletter")]
    assert stat.S_IMODE((elsewhere.parent / "newsletter.db").stat().st_mode) == 0o600


def test_a_restore_of_what_is_there_changes_no_file_and_may_send_at_once(machine: Machine, tmp_path: Path) -> None:
    with machine.open() as store, store.sending_lock():
        store.check_provenance()
    machine.backup(tmp_path / "backup")
    before = files(machine.folder)
    code, said = machine.run("restore", str(tmp_path / "backup"))
    assert code == 1
    assert "has 6 readers and issues; nothing was restored; --force replaces it" in said
    with machine.open() as store:
        store.add("later@example.org")
    code, said = machine.run("restore", str(tmp_path / "backup"), "--force")
    assert code == 0, said
    kept = machine.folder / "newsletter.db.before-restore"
    assert f"kept what was there before as {kept}" in said
    assert files(machine.folder) == before
    with machine.open() as store:
        assert store.find("later@example.org") is None
        store.check_provenance()  # nothing was sent since
    assert machine.run("restore", str(tmp_path / "backup"), "--force")[0] == 0
    with closing(sqlite3.connect(kept)) as old:  # of the first time
        assert old.execute("SELECT count(*) FROM subscribers").fetchone() == (6,)


def test_files_with_another_content_are_replaced_only_on_request(machine: Machine, tmp_path: Path) -> None:
    machine.backup(tmp_path / "backup")
    there = Machine(tmp_path / "there", more="language: de\n")
    before = files(there.folder)
    code, said = there.run("restore", str(tmp_path / "backup"))
    assert code == 1
    assert "config.yaml exists with another content; nothing was restored" in said
    assert files(there.folder) == before
    assert not (there.folder / "newsletter.db").exists()
    assert there.run("restore", str(tmp_path / "backup"), "--force")[0] == 0
    assert files(there.folder)["config.yaml"] == files(machine.folder)["config.yaml"]
    assert files(there.folder)["config.yaml.before-restore"] == before["config.yaml"]
    # A second try, such as with the right backup after the wrong one, leaves what the first has kept.
    there.write("config.yaml", "title: Owls\n")
    assert there.run("restore", str(tmp_path / "backup"), "--force")[0] == 0
    after = files(there.folder)
    assert after["config.yaml.before-restore"] == before["config.yaml"]
    assert after["config.yaml.before-restore-2"][1] == "title: Owls\n"


def test_a_store_that_others_use_is_not_replaced(machine: Machine, tmp_path: Path) -> None:
    machine.backup(tmp_path / "backup")
    with machine.open() as store:
        store.find("r1@example.org")  # as `newsletter web` has it open
        with pytest.raises(StoreBusy, match="another process has it open"):
            backup.restore(tmp_path / "backup", machine.path, force=True)
        with store.sending_lock(), pytest.raises(StoreBusy, match="another process is sending"):
            backup.restore(tmp_path / "backup", machine.path, force=True)
        assert store.find("r1@example.org") is not None
    assert not (machine.folder / "newsletter.db.before-restore").exists()


def test_a_store_outside_the_folder_is_restored_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    here = Machine(tmp_path / "here", f"sqlite:///{tmp_path / 'var' / 'news.db'}")
    with here.open() as store:
        fill(store)
    here.backup(tmp_path / "backup")
    shutil.rmtree(tmp_path / "var")
    there = tmp_path / "there" / "config.yaml"
    for force in (False, True):
        with pytest.raises(BackupError, match=r"var for the store does not exist"):
            backup.restore(tmp_path / "backup", there, force=force)
    (tmp_path / "var").mkdir()
    with pytest.raises(BackupError, match=r"outside .*--force restores it there"):
        backup.restore(tmp_path / "backup", there, force=False)
    assert list(there.parent.iterdir()) == []
    backup.restore(tmp_path / "backup", there, force=True)
    with Store.open(load(there).store) as store:
        assert store.find("r1@example.org") is not None


# --- a half-sent issue -----------------------------------------------------------------------------------------------

READERS = [f"r{number}@example.org" for number in range(8)]
LATER = dict.fromkeys(READERS[3:], "450 4.2.1 greylisted")


def test_a_restored_store_goes_on_without_a_copy_twice(tmp_path: Path, database_url: str) -> None:
    """Half of an issue is sent, the disk dies, and an empty machine gets the backup: each reader has one copy."""
    postgresql = database_url.startswith("postgresql")
    url = database_url if postgresql else "sqlite:///newsletter.db"
    with smtpd(Script(recipients=dict(LATER))) as server:
        smtp = f"smtp: [{{host: 127.0.0.1, port: {server.port}, connections: 2}}]\n"
        here = Machine(tmp_path / "here", url, smtp)
        assert here.run("subscribers", "add", *READERS)[0] == 0
        code, said = here.run("run", "--date", "2026-11-23")
        assert "3 accepted, 5 deferred" in said, said
        assert here.run("backup", str(tmp_path / "backup"))[0] == 0
        shutil.rmtree(here.folder)
        if postgresql:
            wipe(url)
        there = tmp_path / "there" / "config.yaml"
        code, said = newsletter(there, "restore", str(tmp_path / "backup"))
        assert code == 0, said
        server.script.recipients.clear()
        code, said = newsletter(there, "send", "--now")
        if not postgresql:  # its witness is gone: nobody knows whether it is older than what was sent
            assert code == 1
            assert "--trust-store" in said
            code, said = newsletter(there, "send", "--now", "--trust-store")
        assert (code, "8 accepted" in said) == (0, True), said
        assert newsletter(there, "run", "--date", "2026-11-23")[1].endswith("verdict: already-sent - 8 accepted\n")
    got = [line.removeprefix("To: ").strip() for each in server.messages for line in each.decode().splitlines()]
    assert sorted(line for line in got if line in READERS) == READERS


def wipe(url: str) -> None:
    """What a new, empty database server has."""
    database = Database(url, 1)
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    database.close()


def test_what_was_sent_after_the_backup_is_noticed(machine: Machine, tmp_path: Path) -> None:
    machine.backup(tmp_path / "backup")
    with machine.open() as store:
        issue = store.latest_issue()
        assert issue is not None
        with store.sending_lock():
            claimed = store.claim(issue.id, 1, resend_uncertain=1)
            store.turn([], claimed)
            store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in claimed], [])
    assert machine.run("restore", str(tmp_path / "backup"), "--force")[0] == 0
    with machine.open() as store, pytest.raises(StoreError, match="older than what was sent"):
        store.check_provenance()


# --- archives that are no good ---------------------------------------------------------------------------------------


def remade(archive: Path, target: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """An archive with another manifest and other members; the checksums are made right unless `change` sets them."""
    with tarfile.open(archive) as old:
        told = json.load(old.extractfile("manifest.json") or io.BytesIO())
        members = {part["member"]: (old.extractfile(part["member"]) or io.BytesIO()).read() for part in told["parts"]}
    change(told, members)
    with tarfile.open(target, "w") as new:
        raw = json.dumps(told).encode()
        for name, content in {"manifest.json": raw, **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def part_of(told: dict[str, Any], kind: Kind) -> dict[str, Any]:
    return next(part for part in told["parts"] if part["kind"] == kind)


def set_content(told: dict[str, Any], members: dict[str, bytes], kind: Kind, content: bytes) -> None:
    part = part_of(told, kind)
    members[part["member"]] = content
    part.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())


Change = Callable[[dict[str, Any], dict[str, bytes]], Any]
BAD: dict[str, tuple[Change, str]] = {
    "other version": (lambda told, _: told.update(version="9.9.9"), r"made by version 9\.9\.9"),
    "older schema": (lambda told, _: told.update(schema="0001"), r"schema 0001.*install that version"),
    "newer schema": (lambda told, _: told.update(schema="9999"), r"schema 9999"),
    "other format": (lambda told, _: told.update(format="newsletter-backup-2"), "no backup of this program"),
    "no format": (lambda told, _: told.pop("format"), "is not one of this program"),
    "no parts": (lambda told, _: told.update(parts=[]), "not one configuration and one store"),
    "parts of another kind": (lambda told, _: told.update(parts=3), "is not one of this program"),
    "wrong checksum": (lambda told, _: part_of(told, Kind.FILE).update(sha256="0" * 64), "wrong checksum"),
    "wrong checksum of the store": (
        lambda told, _: part_of(told, Kind.STORE).update(sha256="0" * 64),
        "store.sqlite has a wrong checksum",
    ),
    "wrong size": (lambda told, _: part_of(told, Kind.FILE).update(size=1), "does not name"),
    "upwards": (lambda told, _: part_of(told, Kind.FILE).update(path="../evil"), "outside its folder"),
    "upwards in the middle": (lambda told, _: part_of(told, Kind.FILE).update(path="a/../../evil"), "outside its"),
    "absolute": (lambda told, _: part_of(told, Kind.FILE).update(path="/etc/evil"), "outside its folder"),
    "absolute outside": (
        lambda told, _: part_of(told, Kind.FILE).update(path="../../etc/evil", kind="outside"),
        "outside its folder",
    ),
    "no name": (lambda told, _: part_of(told, Kind.FILE).update(path=""), "outside its folder"),
    "line break": (lambda told, _: part_of(told, Kind.FILE).update(path="a\nb"), "outside its folder"),
    "twice": (lambda told, _: part_of(told, Kind.FILE).update(path="config.yaml"), "names a part twice"),
    "setuid": (lambda told, _: part_of(told, Kind.FILE).update(mode=0o4755), "describes"),
    "mode of another kind": (lambda told, _: part_of(told, Kind.FILE).update(mode="600"), "is not one of"),
    "member's name": (lambda told, _: part_of(told, Kind.FILE).update(member="../x"), "names a part"),
    "a member too many": (lambda _, members: members.update({"x": b""}), "does not name"),
    "a member too few": (lambda told, members: members.pop(part_of(told, Kind.FILE)["member"]), "is missing from it"),
    "a store that is none": (
        lambda told, members: set_content(told, members, Kind.STORE, b"x" * 5000),
        "not an SQLite database",
    ),
    "a configuration that is none": (
        lambda told, members: set_content(told, members, Kind.CONFIG, b"a: [\n"),
        "not YAML",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_before_anything_is_touched(sound: Path, tmp_path: Path, name: str) -> None:
    change, words = BAD[name]
    bad = remade(sound, tmp_path / "bad", change)
    refused(bad, tmp_path / "there" / "config.yaml", words)
    assert not (tmp_path / "evil").exists()


def refused(archive: Path, path: Path, words: str) -> None:
    with pytest.raises((BackupError, StoreError, ConfigError), match=words) as caught:
        backup.restore(archive, path, force=True)
    assert len(str(caught.value).splitlines()) == 1
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_link_or_device_in_an_archive_is_refused(sound: Path, tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(sound) as old, tarfile.open(tmp_path / "bad", "w") as new:
        for member in old.getmembers():
            content = (old.extractfile(member) or io.BytesIO()).read()
            if member.name == "00001":
                member.type, member.linkname, member.size, content = kind, "/etc/passwd", 0, b""
            new.addfile(member, io.BytesIO(content))
    refused(tmp_path / "bad", tmp_path / "there" / "config.yaml", "does not name")


def damaged() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    yield "empty", lambda raw: b""
    yield "text", lambda raw: b"hello\n" * 1000
    yield "cut in the manifest", lambda raw: raw[:700]
    yield "cut in a part", lambda raw: raw[: len(raw) // 2]
    yield "cut at the end of a part", lambda raw: raw[: -(512 * 20 + 5000)]
    yield "a flipped bit", lambda raw: raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]
    yield "noise", lambda raw: raw[:512] + bytes(range(256)) * 40
    yield "a manifest of nine thousand brackets", lambda raw: raw.replace(b'{\n  "format"', b"[" * 12, 1)


@pytest.mark.parametrize(("name", "damage"), [*damaged()], ids=lambda value: value if isinstance(value, str) else "")
def test_a_damaged_file_is_refused(sound: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "bad").write_bytes(damage(sound.read_bytes()))
    refused(tmp_path / "bad", tmp_path / "there" / "config.yaml", ".")


def test_a_link_in_the_folder_does_not_lead_out_of_it(tmp_path: Path) -> None:
    here = Machine(tmp_path / "here", more="templates: templates\n")
    here.write("templates/digest.html", "evil")
    here.open().close()
    here.backup(tmp_path / "backup")
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "precious").mkdir()
    (there / "templates").symlink_to(tmp_path / "precious")
    with pytest.raises(BackupError, match="a link leads out of"):
        backup.restore(tmp_path / "backup", there / "config.yaml", force=True)
    assert list((tmp_path / "precious").iterdir()) == []
    assert [path.name for path in there.iterdir()] == ["templates"]


def test_the_variables_of_the_environment_are_told_after_a_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Machine(tmp_path / "here", more="smtp: [{username: u, password: '${SMTP_PW}'}]\n")
    here.open().close()
    here.backup(tmp_path / "backup")
    monkeypatch.delenv("SMTP_PW", raising=False)
    code, said = newsletter(tmp_path / "there" / "config.yaml", "restore", str(tmp_path / "backup"))
    assert code == 0, said
    assert "set these variables of the environment: SMTP_PW" in said
