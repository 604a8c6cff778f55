"""Which papers an issue has shown."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table; issues of before do not count."""
    op.create_table(
        "shown",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("upvotes", sa.Integer),
        sa.PrimaryKeyConstraint("key", name="pk_shown"),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_shown_issue_id"),
    )
    op.create_index("ix_shown_issue_id", "shown", ["issue_id"])
