"""Issues that wait for the operator, and how much each mail server was used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add both."""
    op.add_column("issues", sa.Column("paused", sa.Text))
    op.create_table(
        "server_use",
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("second", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("server", "second", name="pk_server_use"),
    )
