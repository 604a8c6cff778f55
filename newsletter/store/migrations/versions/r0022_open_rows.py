"""The condition of SQLite's index of open copies without IN, for which it built a table twice for each row written."""

from alembic import op
from sqlalchemy import text

revision = "0022"
down_revision = "0021"

_OPEN = " OR ".join(f"state = '{state}'" for state in ("pending", "claimed", "sending", "deferred", "uncertain"))


def upgrade() -> None:
    """Make the index anew; PostgreSQL has none. It takes as long as reading the copies once."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_deliveries_open", "deliveries")
        op.create_index("ix_deliveries_open", "deliveries", ["issue_id", "id"], sqlite_where=text(f"({_OPEN})"))
