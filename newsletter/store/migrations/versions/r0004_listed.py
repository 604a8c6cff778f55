"""The votes of a day's papers when its issue was made."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "listed",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("upvotes", sa.Integer),
        sa.PrimaryKeyConstraint("day", "key", name="pk_listed"),
    )
