"""The store's identity, where readers moved to, counts of deleted deliveries, and renderings compressed."""

import secrets
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add all."""
    # In SQL that both databases know: Alembic would make SQLite's table anew, and readers of issues cannot be dropped.
    op.execute(
        "ALTER TABLE subscribers ADD COLUMN moved_to INTEGER"
        " CONSTRAINT fk_subscribers_moved_to REFERENCES subscribers (id)"
    )
    identity = op.create_table(
        "store_identity",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("sendings", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_store_identity"),
    )
    op.bulk_insert(identity, [{"id": secrets.token_hex(16), "sendings": 0}])
    op.create_table(
        "delivery_counts",
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("issue_id", "state", name="pk_delivery_counts"),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_delivery_counts_issue_id"),
    )
    _compress("html")
    _compress("text")


def _compress(name: str) -> None:
    """Change a column of renderings from text to the same text compressed, one row at a time."""
    binary = "BYTEA" if op.get_bind().dialect.name == "postgresql" else "BLOB"
    op.execute(f"ALTER TABLE renderings ADD COLUMN packed {binary} NOT NULL DEFAULT ''")
    table = sa.table("renderings", sa.column("id"), sa.column(name, sa.Text), sa.column("packed", sa.LargeBinary))
    connection = op.get_bind()
    for row in connection.execute(sa.select(table.c.id)).scalars().all():
        words = connection.execute(sa.select(table.c[name]).where(table.c.id == row)).scalar_one()
        packed = zlib.compress(words.encode())
        connection.execute(sa.update(table).where(table.c.id == row).values(packed=packed))
    op.execute(f"ALTER TABLE renderings DROP COLUMN {name}")
    op.execute(f"ALTER TABLE renderings RENAME COLUMN packed TO {name}")
