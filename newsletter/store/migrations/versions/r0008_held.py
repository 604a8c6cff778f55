"""What each report counts as, and the decisions that the brake holds."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_REPORTS = sa.table("reports", sa.column("kind"), sa.column("status"), sa.column("weight"))

# What reports of before this revision count as, by the codes of RFC 3463 that speak of the address or the mailbox.
_FAILED = _REPORTS.c.kind == "permanent"
_WEIGHTS = (
    ("complaint", _REPORTS.c.kind == "complaint"),
    ("hard", sa.and_(_FAILED, _REPORTS.c.status.in_(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")))),
    (
        "soft",
        sa.and_(
            _FAILED,
            sa.or_(
                _REPORTS.c.status.like("4.2.%"),
                _REPORTS.c.status.like("4.4.%"),
                _REPORTS.c.status.in_(("5.2.2", "5.4.4")),
            ),
        ),
    ),
)


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("reports", sa.Column("weight", sa.String(16), nullable=False, server_default="none"))
    for weight, condition in _WEIGHTS:
        op.execute(_REPORTS.update().where(condition).values(weight=weight))
    op.create_table(
        "suppressions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("subscriber_id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_suppressions"),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name="fk_suppressions_subscriber_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_suppressions_subscriber_id", "suppressions", ["subscriber_id"])
