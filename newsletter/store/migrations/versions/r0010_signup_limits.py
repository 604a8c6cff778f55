"""Requests to move in a table of their own, and a record of requests that limits confirmation mails."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# A reader's new address that waited was a row of the list. Its link keeps working, because its ref goes along.
_MOVE = """
INSERT INTO moves (ref, mover_id, address, identity, asked_at, mailed_at)
SELECT ref, replaces, address, CASE WHEN status = 'forgotten' THEN lower(address) ELSE identity END, asked_at, mailed_at
FROM subscribers WHERE replaces IS NOT NULL AND asked_at IS NOT NULL
"""
_NAMELESS = """
UPDATE reports SET subscriber_id = NULL
WHERE subscriber_id IN (SELECT id FROM subscribers WHERE replaces IS NOT NULL AND status = 'pending')
"""


def upgrade() -> None:
    """Add the tables and take the requests over."""
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("mover_id", sa.Integer, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True)),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("moved_id", sa.Integer),
        sa.Column("fresh", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_moves"),
        sa.UniqueConstraint("ref", name="uq_moves_ref"),
        sa.ForeignKeyConstraint(["mover_id"], ["subscribers.id"], name="fk_moves_mover_id"),
        sa.ForeignKeyConstraint(["moved_id"], ["subscribers.id"], name="fk_moves_moved_id"),
    )
    op.create_table(
        "mail_requests",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address_key", sa.String(65), nullable=False),
        sa.Column("mailbox_key", sa.String(65), nullable=False),
        sa.Column("domain_key", sa.String(65), nullable=False),
        sa.Column("due", sa.Boolean, nullable=False),
        sa.Column("answered", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_mail_requests"),
    )
    for column in ("at", "mailbox_key", "domain_key"):
        op.create_index(f"ix_mail_requests_{column}", "mail_requests", [column])
    op.execute(_MOVE)
    op.execute(_NAMELESS)
    op.execute("DELETE FROM subscribers WHERE replaces IS NOT NULL AND status = 'pending'")
    op.execute("UPDATE subscribers SET asked_at = NULL, mailed_at = NULL, replaces = NULL WHERE replaces IS NOT NULL")
