"""Editions as lists of pieces: the main rendering keeps the pieces, and each edition the numbers of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the columns. Editions that were frozen whole stay so."""
    op.add_column("renderings", sa.Column("pieces", sa.LargeBinary()))
    op.add_column("renderings", sa.Column("joined", sa.LargeBinary()))
