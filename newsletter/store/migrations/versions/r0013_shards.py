"""Shards of an issue's deliveries, and on PostgreSQL updates of deliveries that stay within their page."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_DIVIDE = """
INSERT INTO shards (issue_id, shard, open)
SELECT id, 0, EXISTS (
    SELECT 1 FROM deliveries
    WHERE issue_id = issues.id AND state IN ('pending', 'claimed', 'sending', 'deferred', 'uncertain')
) FROM issues
"""

# A copy is updated three times: claimed, begun, recorded. While somebody holds a snapshot, as a backup does, no old
# version may be removed; the free space keeps the new ones in the row's own page, and so out of every index.
_FILL = 30  # percent


def upgrade() -> None:
    """Every issue that exists has one shard."""
    op.add_column("store_identity", sa.Column("list_id", sa.Text))
    op.add_column("issues", sa.Column("shards", sa.Integer, nullable=False, server_default="1"))
    op.add_column("deliveries", sa.Column("shard", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "shards",
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("open", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_shards_issue_id"),
        sa.PrimaryKeyConstraint("issue_id", "shard", name="pk_shards"),
    )
    op.create_table(
        "engine_migrations",
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_engine_migrations"),
    )
    op.execute(_DIVIDE)
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_deliveries_open", "deliveries")
        op.create_index("ix_deliveries_shard", "deliveries", ["issue_id", "shard", "id"])
        op.execute(f"ALTER TABLE deliveries SET (fillfactor = {_FILL})")
