"""The tables of the store, the types of their columns, and the revision this program works with."""

from __future__ import annotations

import zlib
from collections.abc import Collection
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
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)

from newsletter import owed
from newsletter.model import EVERY_DAY, RequestKind, State, SubscriberStatus, SuppressionState, Verdict, Weight
from newsletter.owed import HEAD as HEAD


def in_states(states: Collection[State]) -> TextClause:
    """The condition that a row of `deliveries` is in one of `states`, spelled out: no parameters are bound for it."""
    return text(f"state IN ({', '.join(repr(str(state)) for state in State if state in states)})")


class Utc(TypeDecorator[datetime]):
    """A moment: takes aware datetimes and gives them back in UTC. SQLite keeps no zone, so every value is UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What the driver gets. Raises ValueError for a naive datetime, whose moment is unknown."""
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


_SMALL: Final = 4096  # bytes
_LARGE: Final = 1_000_000  # bytes: the pieces of many editions


def _packed(text: bytes) -> bytes:
    """A small text, which needs no large window, whose memory takes five times as long as the text."""
    packing = zlib.compressobj(2, wbits=12, memLevel=5)  # level 6 takes half as long again, and saves 2 %
    return packing.compress(text) + packing.flush()


_EMPTY: Final = _packed(b"")  # each edition that is joined has two


class Packed(TypeDecorator[str]):
    """Long text, compressed with zlib: an issue's HTML takes a tenth of its size."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """What the driver gets."""
        if not value:
            return None if value is None else _EMPTY
        text = value.encode()
        if len(text) <= _SMALL:
            return _packed(text)
        return zlib.compress(text, 3 if len(text) > _LARGE else 6)  # level 3 takes a third of the time, and 20 % more

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        """The text that the driver's bytes stand for."""
        return None if value is None else zlib.decompress(value).decode()


def _word(kind: type[StrEnum]) -> Enum:
    """A column that holds one of `kind` as its text, which is readable in the database; a new word is no migration."""
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
    Column("replaces", ForeignKey("subscribers.id")),  # not used since revision 0010; SQLite cannot drop it
    Column("moved_to", ForeignKey("subscribers.id")),  # the row of the new address, once the reader has moved
)

# What readers chose beside the main edition (issue.choice.Choice.written). Who has no row gets that.
choices = Table(
    "choices",
    metadata,
    Column("subscriber_id", ForeignKey(subscribers.c.id), primary_key=True, autoincrement=False),
    Column("choice", Text, nullable=False),
)

# Requests are looked up every minute; there are few of them, and the list is long. PostgreSQL's condition is in the
# migration; here it would load its dialect, which takes 20 ms.
ASKED: Final = text("asked_at IS NOT NULL")
Index("ix_subscribers_asked_at", subscribers.c.asked_at, sqlite_where=ASKED)

# Each sign-up looks for complaints among the suppressed. A query has to say so in the same words to use the index.
SUPPRESSED: Final = text(f"status = '{SubscriberStatus.SUPPRESSED}'")
Index("ix_subscribers_suppressed", subscribers.c.status_at, sqlite_where=SUPPRESSED)

# Readers' wishes to get the mails at another address, until they are confirmed, and then as long as the old address may
# undo them. Nothing of a wish is in the row of either address before it is confirmed.
moves = Table(
    "moves",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ref", String(16), nullable=False, unique=True),  # in the links to confirm and to undo
    Column("mover_id", ForeignKey(subscribers.c.id), nullable=False),
    Column("address", Text, nullable=False),  # the new one
    Column("identity", Text, nullable=False),  # addresses.identity(address)
    Column("asked_at", Utc, nullable=False),
    Column("mailed_at", Utc),  # when the new address was asked to confirm
    Column("confirmed_at", Utc),
    Column("moved_id", ForeignKey(subscribers.c.id)),  # the row of the new address, once confirmed
    Column("fresh", Boolean, nullable=False, server_default=false()),  # the new address was not on the list before
    Column("told_at", Utc),  # when the old address was told
    Column("undone_at", Utc),
)

# Every request that may make a confirmation mail due, and whether it did; see signup_limits.py. The keys are keyed
# hashes of the address, its folded mailbox and its domain.
mail_requests = Table(
    "mail_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Utc, nullable=False, index=True),
    Column("kind", _word(RequestKind), nullable=False),
    Column("address_key", String(65), nullable=False),
    Column("mailbox_key", String(65), nullable=False, index=True),
    Column("domain_key", String(65), nullable=False, index=True),
    Column("due", Boolean, nullable=False),
    Column("answered", Boolean, nullable=False, server_default=false()),  # the mailbox has confirmed since
)

issues = Table(
    "issues",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False, unique=True),
    Column("frozen_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("paused", Text),  # the reason
    Column("withdrawn_at", Utc),  # by the operator
    Column("shards", Integer, nullable=False, server_default="1"),  # how many its deliveries were divided into
    Column("unfitting", Integer, nullable=False, server_default="0"),  # readers whom none of its papers fits
)

# On PostgreSQL, which shards of an issue may have copies that can still move, and from when on (UTC; NULL is now). See
# shards.py. On SQLite nobody reads it.
shards = Table(
    "shards",
    metadata,
    Column("issue_id", ForeignKey(issues.c.id), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("open", Boolean, nullable=False, server_default=true()),
    Column("due_at", Utc),
)

# An issue has one without `edition`, the main one, and one for each other edition that some reader gets.
renderings = Table(
    "renderings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("issue_id", ForeignKey(issues.c.id), nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("html", Packed, nullable=False),
    Column("text", Packed, nullable=False),
    Column("publication", JSON, nullable=False),
    Column("operator", JSON(none_as_null=True)),  # not used since revision 0016: the operator's copy is an edition
    Column("key_id", String(16)),  # Links.key_id: which secret signs the links
    Column("templates", String(64)),  # Renderer.fingerprint
    Column("contents", Packed),  # model.Issue as JSON, see contents.py; null if frozen before revision 0012
    Column("edition", String(64)),  # which one; null for the main edition
    Column("papers", Packed),  # JSON: Paper.key of each paper it shows; null if frozen before revision 0016
    Column("candidates", Packed),  # as `contents`: all papers that editions were picked from; kept for 60 days
    Column("pieces", Packed),  # of the main edition: what the others are joined from, see editions.py
    Column("joined", Packed),  # an edition as numbers of these pieces; its `html`, `text` and `publication` are empty
)

# The papers of each issue, for searching. Revision 0012 makes the index over `words`: for SQLite the FTS5 table
# `paper_index`, kept by triggers, and for PostgreSQL a GIN index of that name.
issue_papers = Table(
    "issue_papers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("issue_id", ForeignKey(issues.c.id), nullable=False, index=True),
    Column("place", Integer, nullable=False),  # in the issue, from 1; late risers come after the others
    Column("title", Text, nullable=False),
    Column("authors", Text, nullable=False),  # the first few
    Column("words", Text, nullable=False),  # search_words.indexed, of title and authors
)

# The ledger. The issue is repeated beside the rendering because every query is by issue, and because a reader has one
# copy of an issue, whatever the edition.
#
# PostgreSQL enforces only the foreign key of the rendering, which holds the issue too. It would check each key for each
# row that is inserted, and mark the reader's row as locked: two thirds of the time in which an issue is frozen. SQLite,
# on which the same code is tested, enforces all three. Nobody can break the others: a delivery is made from the rows of
# its issue and its reader in one statement, a reader is deleted only before they have confirmed and so before they have
# any, and an issue only after its deliveries, in a transaction that lets nobody add one (status_change).
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("issue_id", Integer, nullable=False),
    Column("rendering_id", ForeignKey(renderings.c.id), nullable=False),
    Column("subscriber_id", Integer, nullable=False),
    Column("address", Text, nullable=False),  # as it was when the issue was frozen
    Column("state", _word(State), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("doubts", Integer, nullable=False, server_default="0"),  # how often it became UNCERTAIN
    Column("not_before", Utc),
    Column("claimed_by", String(16)),  # the Store that may move it, while it is CLAIMED or SENDING
    Column("reply_code", Integer),
    Column("reply_text", Text),
    Column("shard", Integer, nullable=False, server_default="0"),
    Column("added_at", Utc),  # when a reader who joined after the freeze was given this copy, as their first one
    Column("due_at", Utc),  # the hour that its reader has chosen; null: at once
    Column("ends_at", Utc),  # when this copy is too old, if it has a due time; else that is `issues.expires_at`
    ForeignKeyConstraint(["issue_id"], [issues.c.id]).ddl_if(dialect="sqlite"),
    ForeignKeyConstraint(["subscriber_id"], [subscribers.c.id]).ddl_if(dialect="sqlite"),
    UniqueConstraint("issue_id", "subscriber_id"),
)

# Rows that can still move, as the condition of their index has it (see owed.py): a claim then reads only what it takes,
# however many copies were sent before.
OPEN_ROWS: Final = text(owed.OPEN_ROWS)
Index("ix_deliveries_open", deliveries.c.issue_id, deliveries.c.id, sqlite_where=OPEN_ROWS).ddl_if(dialect="sqlite")
# PostgreSQL's has no condition: a change of a column that stands in one writes to every index of the table.
Index("ix_deliveries_shard", deliveries.c.issue_id, deliveries.c.shard, deliveries.c.id).ddl_if(dialect="postgresql")

# What is left of deliveries that were deleted after `retention.deliveries`: how many copies of an issue ended in each
# state. An issue may have rows in both tables while it is being pruned.
delivery_counts = Table(
    "delivery_counts",
    metadata,
    Column("issue_id", ForeignKey(issues.c.id), primary_key=True),
    Column("state", _word(State), primary_key=True),
    Column("copies", Integer, nullable=False),
)

# One row: which store this is, and how far it has come. See provenance.py.
store_identity = Table(
    "store_identity",
    metadata,
    Column("id", String(32), primary_key=True),  # random
    Column("sendings", BigInteger, nullable=False),  # batches of copies that were claimed, and runs that ended
    Column("sent_at", Utc),  # when the last of them was
    Column("list_id", Text),  # on PostgreSQL: the list that sends from this database
)

# The migrations of the engine's own tables that were applied, by their names; see jobs.py.
engine_migrations = Table("engine_migrations", metadata, Column("name", Text, primary_key=True))

# Which papers an issue has shown, so that none is shown twice, and the votes each had then.
shown = Table(
    "shown",
    metadata,
    Column("key", Text, primary_key=True),  # Paper.key
    Column("issue_id", ForeignKey(issues.c.id), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("upvotes", Integer),
)

# The votes of all papers of a day when its issue was made: a late riser's gain is counted from them.
listed = Table(
    "listed",
    metadata,
    Column("day", Date, primary_key=True),
    Column("key", Text, primary_key=True),  # Paper.key
    Column("upvotes", Integer),
)

# Every mail that was read from the bounce mailbox, once: `digest` is the SHA-256 of its bytes, in hexadecimal.
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

# How many messages a server with a limit per day got in each second, of all processes. A row with no messages says
# until when a server that refused this sender is left alone.
server_use = Table(
    "server_use",
    metadata,
    Column("server", Text, primary_key=True),
    Column("second", BigInteger, primary_key=True, autoincrement=False),  # of Unix time
    Column("messages", Integer, nullable=False),
)

# The permits of each server with a limit, in microseconds of Unix time by the clock of the store; see slots.Permits.
send_slots = Table(
    "send_slots",
    metadata,
    Column("server", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("free", LargeBinary, nullable=False),  # of each permit, as 8 bytes (little-endian, signed)
)

# The processes that send, as each said last. A process that ends deletes its row; the row of one that was killed grows
# old.
senders = Table(
    "senders",
    metadata,
    Column("id", String(16), primary_key=True),  # as deliveries.claimed_by
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("accepted", Integer, nullable=False),  # copies, since it started
    Column("per_minute", Integer, nullable=False),  # copies that were accepted within a minute, lately
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
    Column("accepted", Integer),  # copies that servers accepted in this run; null if it sent none
    Column("sending_ms", Integer),  # from its first answer to its last
)

# The feeds that failed, are late or have lost their votes: what the last run for a day said of each. `feed` is its name
# or host.
feed_faults = Table(
    "feed_faults",
    metadata,
    Column("day", Date, primary_key=True),
    Column("feed", Text, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("words", Text, nullable=False),
)

# How many readers were active at the end of each day's last run.
list_sizes = Table(
    "list_sizes",
    metadata,
    Column("day", Date, primary_key=True),  # by UTC
    Column("active", Integer, nullable=False),
)

# What the operator is told once: the POSTs of `alerts.webhook`, one for each day and verdict, and the summary mails,
# one for each day. See notices.py.
notices = Table(
    "notices",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("verdict", String(16), primary_key=True),
    Column("made_at", Utc, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("done", Boolean, nullable=False),
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

# Summaries that the operator's program made (`summary.command`), by Paper.key; see summaries.py.
summaries = Table(
    "summaries",
    metadata,
    Column("key", Text, primary_key=True),
    Column("summary", Text, nullable=False),
    Column("made_at", Utc, nullable=False, index=True),
)


def storable(words: str, limit: int = 500) -> str:
    """`words` of a stranger, cut to `limit` characters and made storable.

    PostgreSQL allows no NUL in text, and neither database takes half a surrogate pair; a server that answers with one
    must not prevent its answer from being recorded.
    """
    cut = words[:limit].replace("\0", " ")
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")
