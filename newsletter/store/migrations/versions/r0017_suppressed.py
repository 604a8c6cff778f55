"""An index of suppressed readers, who are few: each sign-up looks for complaints among them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_subscribers_suppressed",
        "subscribers",
        ["status_at"],
        sqlite_where=sa.text("status = 'suppressed'"),
        postgresql_where=sa.text("status = 'suppressed'"),
    )
