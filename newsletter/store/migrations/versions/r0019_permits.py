"""A server with a limit has permits, each free from a moment on, instead of one moment for all."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make the table anew: what it holds is of the last second."""
    op.drop_table("send_slots")
    op.create_table(
        "send_slots",
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("free", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("server", name="pk_send_slots"),
    )
