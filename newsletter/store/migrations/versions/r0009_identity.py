"""What identifies the copies of an issue, and after which runs the operator was written to."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns; of issues frozen before, neither secret nor templates are known."""
    op.add_column("renderings", sa.Column("key_id", sa.String(16)))
    op.add_column("renderings", sa.Column("templates", sa.String(64)))
    op.add_column("runs", sa.Column("alerted", sa.Boolean, nullable=False, server_default=sa.false()))
