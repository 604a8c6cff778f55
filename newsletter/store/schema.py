"""The tables of the store, the types of their columns, and the revision this program works with."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

from newsletter.model import EVERY_DAY, OPEN, State, SubscriberStatus, SuppressionState, Verdict, Weight

# The newest revision under migrations/versions, said here so that a store which is up to date opens without Alembic.
HEAD: Final = "0009"


class Utc(TypeDecorator[datetime]):
    """A moment: aware datetimes in, aware datetimes in UTC out. SQLite keeps no zone, so every value is UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the driver gets. Raises ValueError for a naive datetime, whose moment nobody knows."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the driver gave, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _word(kind: type[StrEnum]) -> Enum:
    """A column that holds one of `kind`, as its text: readable in the database, and a new word needs no migration."""
    return Enum(kind, native_enum=False, length=16, values_callable=lambda words: [word.value for word in words])


# Constraints get names from a rule, so that a later migration can drop one on either database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

subscribers = Table(
    "subscribers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ref", String(16), nullable=False, unique=True),
    Column("address", Text, nullable=False),
    Column("identity", Text, nullable=False, unique=True),  # addresses.identity(address)
    Column("status", _word(SubscriberStatus), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("status_at", Utc, nullable=False),
    Column("days", Integer, nullable=False, server_default=str(EVERY_DAY)),  # weekdays, bit 0 is Monday
    Column("paused_until", Date),
    Column("consent", Text, nullable=False, server_default=""),  # how the reader agreed
    Column("reason", Text, nullable=False, server_default=""),  # why the status is what it is
    Column("asked_at", Utc),  # somebody asked for this address, which has not confirmed since
    Column("mailed_at", Utc),  # the last confirmation mail to it
    Column("replaces", ForeignKey("subscribers.id")),  # the reader whose new address this is, once confirmed
)

# Requests are looked for every minute; there are few, and the list is long. PostgreSQL's condition stands in the
# migration, as with the index of deliveries below.
ASKED: Final = text("asked_at IS NOT NULL")
Index("ix_subscribers_asked_at", subscribers.c.asked_at, sqlite_where=ASKED)

issues = Table(
    "issues",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False, unique=True),
    Column("frozen_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("paused", Text),  # the reason
)

# One per issue today. Editions, when they come, are further renderings of the same issue.
renderings = Table(
    "renderings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("issue_id", ForeignKey(issues.c.id), nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("publication", JSON, nullable=False),
    Column("operator", JSON(none_as_null=True)),  # model.OperatorCopy, when a feed failed
    Column("key_id", String(16)),  # Links.key_id: which secret signs the links
    Column("templates", String(64)),  # Renderer.fingerprint
)

# The ledger. The issue is repeated beside the rendering because every question is asked by issue, and because it is one
# copy per reader and issue, whatever the edition.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("issue_id", ForeignKey(issues.c.id), nullable=False),
    Column("rendering_id", ForeignKey(renderings.c.id), nullable=False),
    Column("subscriber_id", ForeignKey(subscribers.c.id), nullable=False),
    Column("address", Text, nullable=False),  # as it was when the issue was frozen
    Column("state", _word(State), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("doubts", Integer, nullable=False, server_default="0"),  # how often it became UNCERTAIN
    Column("not_before", Utc),
    Column("claimed_by", String(16)),  # the Store that may move it, while it is CLAIMED or SENDING
    Column("reply_code", Integer),
    Column("reply_text", Text),
    UniqueConstraint("issue_id", "subscriber_id"),
)

# Rows that can still move. Written into the SQL as it stands in the index: SQLite uses a partial index only for a query
# that repeats its condition (sqlite.org/partialindex.html section 3), and then a claim reads the rows it takes, however
# many were sent before.
OPEN_ROWS: Final = text(f"state IN ({', '.join(repr(str(state)) for state in State if state in OPEN)})")
# PostgreSQL's index has the same condition, in the migration; to say so here would load its whole dialect, in 20 ms.
Index("ix_deliveries_open", deliveries.c.issue_id, deliveries.c.id, sqlite_where=OPEN_ROWS)

# Which papers an issue has shown, so that none is shown twice, and the votes each had then.
shown = Table(
    "shown",
    metadata,
    Column("key", Text, primary_key=True),  # Paper.key
    Column("issue_id", ForeignKey(issues.c.id), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("upvotes", Integer),
)

# The votes of all papers of a day when its issue was made: what a late riser has gained is counted from there.
listed = Table(
    "listed",
    metadata,
    Column("day", Date, primary_key=True),
    Column("key", Text, primary_key=True),  # Paper.key
    Column("upvotes", Integer),
)

# Every mail that was read from the bounce mailbox, once: `digest` is the SHA-256 of its bytes, in hex.
reports = Table(
    "reports",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("read_at", Utc, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subscriber_id", ForeignKey(subscribers.c.id), index=True),
    Column("issue_id", ForeignKey(issues.c.id)),
    Column("status", Text, nullable=False, server_default=""),  # RFC 3463, such as 5.1.1
    Column("words", Text, nullable=False, server_default=""),  # the server's
    Column("weight", _word(Weight), nullable=False, server_default=Weight.NONE),  # what it counts as
)

# Decisions to suppress a reader for bounces or refusals: those that wait for the end of the run, those that the brake
# holds for the operator, and those of the last days that were carried out, because the brake counts them.
suppressions = Table(
    "suppressions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subscriber_id", ForeignKey(subscribers.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("state", _word(SuppressionState), nullable=False),
    Column("decided_at", Utc, nullable=False),
    Column("closed_at", Utc),  # when it was carried out or dropped
    Column("rule", Text, nullable=False),  # replies.Judgement.rule: what the server's words mean
    Column("reason", Text, nullable=False),  # as subscribers.reason will say it
)

# How many messages a server with a limit got in each second, for the limits that outlive a run. A row with no messages
# says until when a server that refused this sender is left alone.
server_use = Table(
    "server_use",
    metadata,
    Column("server", Text, primary_key=True),
    Column("second", BigInteger, primary_key=True, autoincrement=False),  # of Unix time
    Column("messages", Integer, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_at", Utc, nullable=False),
    Column("ended_at", Utc, nullable=False),
    Column("day", Date),
    Column("verdict", _word(Verdict), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("alerted", Boolean, nullable=False, server_default=false()),  # the operator was written to after it
)

feed_cache = Table(
    "feed_cache",
    metadata,
    Column("url", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", Text),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("fetched_at", Utc, nullable=False, index=True),
)


def storable(words: str, limit: int = 500) -> str:
    """`words` of a stranger, cut to `limit` characters and fit to be kept.

    PostgreSQL has no NUL in text, and neither database takes half a surrogate pair; a server that answers with one must
    not be able to stop its answer from being recorded.
    """
    return words[:limit].replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
