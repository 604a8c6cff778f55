"""The first tables. A revision that was published is never changed: it says what its day's databases look like."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_OPEN = sa.text("state IN ('pending', 'claimed', 'sending', 'deferred', 'uncertain')")


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Create everything."""
    _subscribers()
    _issues()
    _deliveries()
    _runs()
    _feed_cache()


def _subscribers() -> None:
    op.create_table(
        "subscribers",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        _moment("created_at"),
        _moment("status_at"),
        sa.PrimaryKeyConstraint("id", name="pk_subscribers"),
        sa.UniqueConstraint("identity", name="uq_subscribers_identity"),
        sa.UniqueConstraint("ref", name="uq_subscribers_ref"),
    )


def _issues() -> None:
    op.create_table(
        "issues",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        _moment("frozen_at"),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_issues"),
        sa.UniqueConstraint("day", name="uq_issues_day"),
    )
    op.create_table(
        "renderings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("html", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("publication", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_renderings_issue_id"),
        sa.PrimaryKeyConstraint("id", name="pk_renderings"),
    )
    op.create_index("ix_renderings_issue_id", "renderings", ["issue_id"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("rendering_id", sa.Integer, nullable=False),
        sa.Column("subscriber_id", sa.Integer, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("doubts", sa.Integer, server_default="0", nullable=False),
        _moment("not_before", nullable=True),
        sa.Column("claimed_by", sa.String(16)),
        sa.Column("reply_code", sa.Integer),
        sa.Column("reply_text", sa.Text),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_deliveries_issue_id"),
        sa.ForeignKeyConstraint(["rendering_id"], ["renderings.id"], name="fk_deliveries_rendering_id"),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name="fk_deliveries_subscriber_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("issue_id", "subscriber_id", name="uq_deliveries_issue_id_subscriber_id"),
    )
    op.create_index("ix_deliveries_open", "deliveries", ["issue_id", "id"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        _moment("started_at"),
        _moment("ended_at"),
        sa.Column("day", sa.Date),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )


def _feed_cache() -> None:
    op.create_table(
        "feed_cache",
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("content_type", sa.Text),
        sa.Column("etag", sa.Text),
        sa.Column("last_modified", sa.Text),
        _moment("fetched_at"),
        sa.PrimaryKeyConstraint("url", name="pk_feed_cache"),
    )
    op.create_index("ix_feed_cache_fetched_at", "feed_cache", ["fetched_at"])
