"""What readers choose, how they agreed, requests that wait for a confirmation, and the mails that came back."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add all."""
    with op.batch_alter_table("subscribers") as subscribers:
        subscribers.add_column(sa.Column("days", sa.Integer, nullable=False, server_default="127"))
        subscribers.add_column(sa.Column("paused_until", sa.Date))
        subscribers.add_column(sa.Column("consent", sa.Text, nullable=False, server_default=""))
        subscribers.add_column(sa.Column("reason", sa.Text, nullable=False, server_default=""))
        subscribers.add_column(sa.Column("asked_at", sa.DateTime(timezone=True)))
        subscribers.add_column(sa.Column("mailed_at", sa.DateTime(timezone=True)))
    # In SQL that both databases know: Alembic would make SQLite's table anew, and readers of issues cannot be dropped.
    op.execute(
        "ALTER TABLE subscribers ADD COLUMN replaces INTEGER"
        " CONSTRAINT fk_subscribers_replaces REFERENCES subscribers (id)"
    )
    op.create_index(
        "ix_subscribers_asked_at",
        "subscribers",
        ["asked_at"],
        sqlite_where=sa.text("asked_at IS NOT NULL"),
        postgresql_where=sa.text("asked_at IS NOT NULL"),
    )
    op.create_table(
        "reports",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subscriber_id", sa.Integer),
        sa.Column("issue_id", sa.Integer),
        sa.Column("status", sa.Text, nullable=False, server_default=""),
        sa.Column("words", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("digest", name="pk_reports"),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name="fk_reports_subscriber_id"),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_reports_issue_id"),
    )
    op.create_index("ix_reports_subscriber_id", "reports", ["subscriber_id"])
