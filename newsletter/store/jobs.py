"""Jobs of the engine that moves work between workers: Procrastinate, in the same PostgreSQL database.

A job says "work on this shard of this issue". It is a hint: the shard's lock and the ledger decide what is sent, so a
job that comes twice, late or never is harmless. Nothing here uses the engine's own locks or its retries, and there are
no more jobs than shards: the sweep defers what is owed and has no job, and deletes what is finished or was left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, text

from newsletter.errors import ConfigError, StoreNewer
from newsletter.store.database import Part
from newsletter.store.locks import SHARD_CLASS, SWEEP_KEY, UPGRADE_KEY
from newsletter.store.schema import engine_migrations

SHARD_TASK: Final = "newsletter.shard"
QUEUE: Final = "newsletter"

_INSTALLED: Final = text("SELECT to_regclass('procrastinate_jobs') IS NOT NULL")

# Its own function defers the jobs, as its client does, on our connection and so in our transaction.
_DEFER: Final = text(f"""
WITH owed AS (
    SELECT shards.issue_id, shards.shard FROM shards JOIN issues ON issues.id = shards.issue_id
    WHERE shards.open AND (shards.due_at IS NULL OR shards.due_at <= :now) AND issues.paused IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS job WHERE job.status = 'todo' AND job.task_name = '{SHARD_TASK}'
        AND job.args = jsonb_build_object('issue', shards.issue_id, 'shard', shards.shard)
    )
    AND NOT EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND classid::bigint = {SHARD_CLASS} + shards.shard AND objid::bigint = shards.issue_id
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
)
SELECT cardinality(procrastinate_defer_jobs_v1(array_agg(
    ROW(
        '{QUEUE}', '{SHARD_TASK}', 0, NULL, NULL, jsonb_build_object('issue', issue_id, 'shard', shard), NULL
    )::procrastinate_job_to_defer_v1 ORDER BY issue_id, shard
))) FROM owed HAVING count(*) > 0
""")  # noqa: S608 - constants of this module

# Finished jobs; jobs that a worker had when it died, which stay `doing` for ever (procrastinate issue 1518); and jobs
# of shards with nothing to do, which pile up when no worker runs.
_PRUNE: Final = text(f"""
DELETE FROM procrastinate_jobs AS job WHERE job.task_name = '{SHARD_TASK}' AND (
    job.status NOT IN ('todo', 'doing')
    OR (job.status = 'doing' AND NOT EXISTS (
        SELECT 1 FROM procrastinate_workers AS worker
        WHERE worker.id = job.worker_id AND worker.last_heartbeat > now() - interval '1 minute'
    ))
    OR (job.status = 'todo' AND NOT EXISTS (
        SELECT 1 FROM shards WHERE shards.open
        AND shards.issue_id = (job.args->>'issue')::int AND shards.shard = (job.args->>'shard')::int
    ))
)
""")  # noqa: S608


class Jobs(Part):
    """The part of the store that works with the engine's tables. On SQLite there are none."""

    def upgrade_engine(self, schema: str, migrations: Mapping[str, str]) -> None:
        """Create or upgrade the engine's tables, in one transaction.

        `schema` is the SQL that creates them as they are after all `migrations`, which are SQL by name. Raises
        ConfigError when the tables are another program's, and StoreNewer when a newer engine made them.
        """
        with self._db.write() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(*UPGRADE_KEY)))
            done = set(connection.execute(select(engine_migrations.c.name)).scalars())
            exists = connection.execute(_INSTALLED).scalar()
            if exists and not done:
                raise ConfigError(
                    "the database has tables of Procrastinate that are another program's; give the newsletter one of"
                    " its own",
                    key="store",
                )
            if unknown := done - migrations.keys():
                raise StoreNewer(
                    f"{self._db.name}: its jobs are of a newer Procrastinate ({max(unknown)}); upgrade it here, too"
                )
            if not exists:  # they were never there, or somebody has dropped them
                connection.execute(delete(engine_migrations))
                _execute(connection, schema)
                new = sorted(migrations)
            else:
                new = sorted(migrations.keys() - done)
                for name in new:
                    _execute(connection, migrations[name])
            if new:
                connection.execute(insert(engine_migrations), [{"name": name} for name in new])

    def defer_jobs(self) -> int:
        """Give a job to each shard that may have copies to send, that nobody is sending, and that has none waiting.

        Jobs that are of no more use are deleted. Does nothing while another process does the same. Returns the number
        of new jobs.
        """
        with self._db.write() as connection:
            if not connection.scalar(select(func.pg_try_advisory_xact_lock(*SWEEP_KEY))):
                return 0
            connection.execute(_PRUNE)
            return int(connection.execute(_DEFER, {"now": self._now()}).scalar() or 0)

    def _defer_new(self, connection: Connection) -> None:
        """Defer jobs in the transaction that freezes an issue, if a worker was ever started on this database."""
        if self._db.file is None and connection.execute(_INSTALLED).scalar():
            connection.execute(_DEFER, {"now": self._now()})

    @property
    def conninfo(self) -> str:
        """The database's address for libpq, with its password; only PostgreSQL has one."""
        return self._db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _execute(connection: Connection, script: str) -> None:
    """Execute an SQL script as it is: several statements, and % signs."""
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.cursor().execute(script)
