"""For the operator: feeds that failed, the size of the list by day, rates of runs, and notices that were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the tables, and two columns of runs."""
    op.add_column("runs", sa.Column("accepted", sa.Integer))
    op.add_column("runs", sa.Column("sending_ms", sa.Integer))
    op.create_table(
        "feed_faults",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("day", "feed", name="pk_feed_faults"),
    )
    op.create_table(
        "list_sizes",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("active", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_list_sizes"),
    )
    op.create_table(
        "notices",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("kind", "day", "verdict", name="pk_notices"),
    )
