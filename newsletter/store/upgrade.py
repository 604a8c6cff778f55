"""Brings a database to the schema of this program. Alembic is imported only when there is something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, func, inspect, select, text

from newsletter.errors import StoreNewer
from newsletter.store.database import Database
from newsletter.store.locks import UPGRADE_KEY
from newsletter.store.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

# Found through the package, wherever it is installed; there is no alembic.ini.
_LOCATION: Final = "newsletter.store:migrations"


def to_head(database: Database) -> None:
    """Create or upgrade the tables, in one transaction. Raises StoreNewer when a newer program made them."""
    with database.read() as connection:
        if _revision(connection) == HEAD:
            return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write transaction keeps others out by itself
            connection.execute(select(func.pg_advisory_xact_lock(*UPGRADE_KEY)))
        _upgrade(connection, database.name)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, name: str) -> None:
    from alembic import command  # 150 ms to import

    config = alembic_config(connection)
    found = _revision(connection)
    if found is not None and found not in known_revisions(connection):
        raise StoreNewer(f"{name}: made by a newer version of this program (schema {found}, here {HEAD}); upgrade it")
    command.upgrade(config, "head")


def known_revisions(connection: Connection) -> set[str]:
    """The revisions of the schema that this program can upgrade, its own among them."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config(connection))
    return {script.revision for script in scripts.walk_revisions()}


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations, working on `connection` and in its transaction."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _LOCATION)
    return config
