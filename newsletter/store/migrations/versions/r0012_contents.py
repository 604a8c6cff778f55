"""The papers of each issue, for its page and for searching; copies added after the freeze; withdrawn issues."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# SQLite's full-text index (sqlite.org/fts5.html section 4.4.3, an external content table) is kept by triggers.
_SQLITE = (
    """CREATE VIRTUAL TABLE IF NOT EXISTS paper_index USING fts5
    (words, content='issue_papers', content_rowid='id', tokenize='unicode61 remove_diacritics 0')""",
    "INSERT INTO paper_index (paper_index) VALUES ('rebuild')",
    """CREATE TRIGGER issue_papers_added AFTER INSERT ON issue_papers BEGIN
    INSERT INTO paper_index (rowid, words) VALUES (new.id, new.words); END""",
    """CREATE TRIGGER issue_papers_deleted AFTER DELETE ON issue_papers BEGIN
    INSERT INTO paper_index (paper_index, rowid, words) VALUES ('delete', old.id, old.words); END""",
)
_POSTGRESQL = ("CREATE INDEX paper_index ON issue_papers USING gin (to_tsvector('simple', words))",)


def upgrade() -> None:
    """Add all. Issues of before have no contents: their papers are known only as the HTML of a mail."""
    op.add_column("renderings", sa.Column("contents", sa.LargeBinary))
    op.add_column("issues", sa.Column("withdrawn_at", sa.DateTime(timezone=True)))
    op.add_column("deliveries", sa.Column("added_at", sa.DateTime(timezone=True)))
    op.create_table(
        "issue_papers",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("issue_id", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("authors", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issue_papers"),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name="fk_issue_papers_issue_id"),
    )
    op.create_index("ix_issue_papers_issue_id", "issue_papers", ["issue_id"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
