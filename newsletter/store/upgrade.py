"""Brings a database to the schema of this program. Alembic is imported only when there is something to do."""

from __future__ import annotations

import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, func, select, text

from newsletter.errors import ConfigError, StoreError, StoreNewer
from newsletter.store.database import Database
from newsletter.store.files import copy_file
from newsletter.store.locks import UPGRADE_KEY
from newsletter.store.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

# Found through the package, wherever it is installed; there is no alembic.ini.
_LOCATION: Final = "newsletter.store:migrations"


# So begins what stands instead of a revision while `newsletter store move` has not ended; see transfer.py.
UNFINISHED: Final = "moving-"

# Copies of a store that are kept beside it from before an upgrade, the latest.
_KEPT: Final = 3


def to_head(database: Database) -> None:
    """Create or upgrade the tables, in one transaction.

    Raises StoreNewer when a newer program made them, and ConfigError when a move into them has not ended.

    Before an upgrade an SQLite file is copied to one beside it, whose name has the old revision: without room for the
    copy there is no upgrade. One line on standard error says so; a database server is for the operator to back up.
    """
    with database.read() as connection:
        if _revision(connection) == HEAD:
            return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write transaction keeps others out by itself
            connection.execute(select(func.pg_advisory_xact_lock(*UPGRADE_KEY)))
        found = _known(connection, database.name)
        if found == HEAD:
            return  # another process was quicker
        kept = _copy(database.file, found) if found is not None and database.file is not None else None
        _upgrade(connection)
    if found is not None:
        how = (
            f"what was there before is kept as {kept}"
            if kept
            else "no copy was kept; `newsletter backup` makes one before an upgrade"
        )
        print(f"newsletter: upgraded {database.name} from schema {found} to {HEAD}; {how}", file=sys.stderr)


def revision(database: Database) -> str | None:
    """The revision of the tables; None when there are none. Raises StoreError."""
    with database.read() as connection:
        return _revision(connection)


# Whether Alembic's table is there. SQLAlchemy's own question makes a new connection to PostgreSQL read its catalogues.
_IS_THERE: Final = {
    "sqlite": text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"),
    "postgresql": text("SELECT to_regclass('alembic_version')"),
}
_REVISION: Final = text("SELECT version_num FROM alembic_version")


def _revision(connection: Connection) -> str | None:
    if connection.execute(_IS_THERE[connection.dialect.name]).scalar() is None:
        return None
    return connection.execute(_REVISION).scalar()


def _known(connection: Connection, name: str) -> str | None:
    """The revision of the tables, None when there are none. Raises StoreNewer for one that is not known here."""
    found = _revision(connection)
    if found is not None and found.startswith(UNFINISHED):
        raise unfinished(name)
    if found is not None and found not in known_revisions():
        raise StoreNewer(f"{name}: made by a newer version of this program (schema {found}, here {HEAD}); upgrade it")
    return found


def unfinished(name: str) -> ConfigError:
    """The error for a database that is half of a list."""
    words = "a move into it has not ended, so it may lack readers and copies; give `newsletter store move` again"
    return ConfigError(f"{name}: {words}", key="store")


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def _copy(file: Path, revision: str) -> Path:
    """Copy the store beside itself, for its owner only, and delete all but the latest copies. Raises StoreError."""
    target = file.with_name(f"{file.name}.schema-{revision}")
    new = target.with_name(f"{target.name}.new")
    try:
        new.unlink(missing_ok=True)
        copy_file(file, new)
        new.replace(target)
        copies = sorted(
            file.parent.glob(f"{glob.escape(file.name)}.schema-[0-9][0-9][0-9][0-9]"),
            key=lambda path: path.stat().st_mtime,
        )
        for old in copies[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{target}: no copy can be made before the upgrade: {error.strerror}") from error
    return target


def known_revisions() -> set[str]:
    """The revisions of the schema that this program can upgrade, its own among them; their files have the names."""
    return {path.name[1:5] for path in Path(__file__).with_name("migrations").glob("versions/r[0-9]*.py")}


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations, working on `connection` and in its transaction."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _LOCATION)
    return config
