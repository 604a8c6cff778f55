"""The operator's copy of a rendering, which notes what went wrong."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("renderings", sa.Column("operator", sa.JSON))
