"""Editions: what readers chose, what each was shown, and the hour at which a copy is due."""

import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add all, and make each operator's copy, which was kept beside the issue's, an edition of its own."""
    op.create_table(
        "choices",
        sa.Column("subscriber_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("choice", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", name="pk_choices"),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name="fk_choices_subscriber_id"),
    )
    op.add_column("issues", sa.Column("unfitting", sa.Integer, nullable=False, server_default="0"))
    op.add_column("renderings", sa.Column("edition", sa.String(64)))
    op.add_column("renderings", sa.Column("papers", sa.LargeBinary))
    op.add_column("renderings", sa.Column("candidates", sa.LargeBinary))
    op.add_column("deliveries", sa.Column("due_at", sa.DateTime(timezone=True)))
    op.add_column("deliveries", sa.Column("ends_at", sa.DateTime(timezone=True)))
    _split_operators()


def _split_operators() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, operator FROM renderings WHERE operator IS NOT NULL")).all()
    for row in rows:
        own = json.loads(row.operator) if isinstance(row.operator, str) else row.operator
        copied = "issue_id, subject, publication, key_id, templates"
        parts = {part: zlib.compress(own[part].encode()) for part in ("html", "text")}
        made = connection.execute(
            sa.text(
                f"INSERT INTO renderings ({copied}, html, text, edition)"  # noqa: S608 - constants
                f" SELECT {copied}, :html, :text, 'operator' FROM renderings WHERE id = :id RETURNING id"
            ),
            {**parts, "id": row.id},
        ).scalar_one()
        connection.execute(
            sa.text(
                "UPDATE deliveries SET rendering_id = :made WHERE rendering_id = :id"
                " AND subscriber_id = (SELECT id FROM subscribers WHERE ref = :ref)"
            ),
            {"made": made, "id": row.id, "ref": own["ref"]},
        )
    connection.execute(sa.text("UPDATE renderings SET operator = NULL"))
