"""On PostgreSQL, ids of deliveries of 64 bits: 32 bits last for two billion copies, three weeks of a very long list.

The table is written anew, which takes a few seconds for each million rows.
"""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Widen the column and the sequence that numbers it; SQLite's ids have 64 bits anyway."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE deliveries ALTER COLUMN id TYPE bigint")
        op.execute("ALTER SEQUENCE deliveries_id_seq AS bigint")
