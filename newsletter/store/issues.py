"""Frozen issues: the rendering every copy is made from, and the readers it was made for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)

from newsletter.addresses import split_name
from newsletter.model import (
    ArchivedIssue,
    Delivery,
    Editions,
    FrozenIssue,
    IssuePapers,
    Mailbox,
    Paper,
    Publication,
    RenderedIssue,
    State,
)
from newsletter.store.choices import keep_candidates, of_weekday, wanting
from newsletter.store.contents import insert_contents
from newsletter.store.corrections import discard, may_have_arrived
from newsletter.store.editions import insert_editions
from newsletter.store.locks import status_change
from newsletter.store.recipients import NEW_COPY, NewIssue, Recipients, new_copies
from newsletter.store.schema import (
    deliveries,
    delivery_counts,
    issues,
    listed,
    renderings,
    shown,
    storable,
    subscribers,
)
from newsletter.store.shard_table import has_open_rows, reopen

_CHUNK: Final = 500  # keys looked up together
_LISTED_FOR: Final = timedelta(days=60)
_NO_PAPERS: Final = IssuePapers()

# The main edition among the renderings of an issue.
MAIN: Final = renderings.c.edition.is_(None)

_COLUMNS: Final = (
    issues.c.id,
    renderings.c.id.label("rendering_id"),
    issues.c.day,
    renderings.c.subject,
    renderings.c.html,
    renderings.c.text,
    renderings.c.publication,
    renderings.c.key_id,
    renderings.c.templates,
    issues.c.frozen_at,
    issues.c.expires_at,
    issues.c.paused,
)
_ISSUE: Final = select(*_COLUMNS).join_from(issues, renderings, and_(renderings.c.issue_id == issues.c.id, MAIN))

# Whether a copy of the issue was accepted; the deliveries of an old issue are only counted (retention.py).
WAS_ACCEPTED: Final = or_(
    exists().where(deliveries.c.issue_id == issues.c.id, deliveries.c.state == State.ACCEPTED),
    exists().where(delivery_counts.c.issue_id == issues.c.id, delivery_counts.c.state == State.ACCEPTED),
)


class Issues(Recipients):
    """The part of the store that keeps issues."""

    def freeze(
        self,
        rendered: RenderedIssue,
        publication: Publication,
        *,
        lifetime: timedelta,
        papers: IssuePapers = _NO_PAPERS,
        editions: Editions | None = None,
        key_id: str | None = None,
        templates: str | None = None,
        replaces: int | None = None,
    ) -> FrozenIssue:
        """Keep the issue and one PENDING delivery for each reader who wants it, all in one transaction.

        Those are the readers who are active, not paused, and have not chosen other weekdays than the issue's.
        `editions` says who gets another edition than the main one, no copy, or a copy at an hour of their own. `key_id`
        and `templates` are as in FrozenIssue. With `replaces`, the issue of that id is deleted with all its copies,
        provided that none of them may have arrived. There is one issue a day: when it exists already, it is returned as
        it is, and nothing changes.
        """
        # While an issue is deleted no copy of it may begin, nor be added for a new reader (add_copy).
        with self._db.write() if replaces is None else status_change(self._db) as connection:
            if replaces is not None and may_have_arrived(connection, replaces) == 0:
                discard(connection, replaces)
            now, own = self._now(), editions or Editions()
            issue_id = self._insert_issue(connection, rendered.day, now, lifetime)
            if issue_id is not None:
                common = {"issue_id": issue_id, "publication": asdict(publication)}
                common |= {"key_id": key_id, "templates": templates}
                keys = [paper.key for paper in papers.shown]
                rendering_id = _insert_rendering(connection, common, rendered, keys)
                others = insert_editions(connection, common, own.made, own.pieces)
                new = NewIssue(issue_id, rendering_id, rendered.day, now, lifetime)
                self._insert_deliveries(connection, new, own, others)
                unfitting = update(issues).where(issues.c.id == issue_id).values(unfitting=len(own.unfitting))
                connection.execute(unfitting)
                self._keep_papers(connection, new, papers)
            return _frozen(connection.execute(_ISSUE.where(issues.c.day == rendered.day)).one())

    def _insert_issue(self, connection: Connection, day: date, now: datetime, lifetime: timedelta) -> int | None:
        """The new issue's id; None when the day has one."""
        statement = self._db.insert_new(issues, issues.c.day)
        values = {"day": day, "frozen_at": now, "expires_at": now + lifetime}
        if not connection.execute(statement, values).rowcount:
            return None
        found: int = connection.execute(select(issues.c.id).where(issues.c.day == day)).scalar_one()
        return found

    def _keep_papers(self, connection: Connection, new: NewIssue, papers: IssuePapers) -> None:
        if papers.contents is not None:
            insert_contents(connection, new.id, new.main, papers.contents)
        if papers.candidates is not None:
            keep_candidates(connection, new.main, papers.candidates)
        self._insert_shown(connection, new.id, papers.shown)
        self._insert_listed(connection, new.day, papers.offered)

    def _insert_shown(self, connection: Connection, issue_id: int, papers: Sequence[Paper]) -> None:
        rows = [
            {"key": storable(name), "issue_id": issue_id, "source": storable(paper.source), "upvotes": paper.upvotes}
            for paper in papers
            for name in paper.names
        ]
        if rows:  # on conflict: it was in two issues, and the first counts
            statement = self._db.insert_new(shown, shown.c.key)
            connection.execute(statement, rows)

    def _insert_listed(self, connection: Connection, today: date, offered: Mapping[date, Sequence[Paper]]) -> None:
        connection.execute(delete(listed).where(listed.c.day < today - _LISTED_FOR))
        rows = [
            {"day": day, "key": storable(paper.key), "upvotes": paper.upvotes}
            for day, papers in offered.items()
            for paper in papers
        ]
        if rows:
            statement = self._db.insert_new(listed, listed.c.day, listed.c.key)
            connection.execute(statement, rows)

    def recipients(self, day: date) -> int:
        """How many readers want an issue of `day`: see `freeze`."""
        with self._db.read() as connection:
            found: int = connection.execute(
                select(func.count()).select_from(subscribers).where(*wanting(day))
            ).scalar_one()
        return found

    def votes_then(self, day: date) -> dict[str, int | None]:
        """The upvotes each paper of `day` had when an issue took that day in, by Paper.key; empty when none has."""
        with self._db.read() as connection:
            rows = connection.execute(select(listed.c.key, listed.c.upvotes).where(listed.c.day == day))
            return {row.key: row.upvotes for row in rows}

    def shown(self, papers: Collection[Paper], *, before: date | None = None, besides: int | None = None) -> set[str]:
        """The keys of those papers that an issue has shown, or one of a day before `before`.

        The issue of the id `besides` does not count: it is being made anew.
        """
        query = select(shown.c.key)
        if besides is not None:
            query = query.where(shown.c.issue_id != besides)
        if before is not None:
            query = query.join(issues).where(issues.c.day < before)
        found = self._known((name for paper in papers for name in paper.lookup_keys), query, shown.c.key)
        return {paper.key for paper in papers if not found.isdisjoint(paper.lookup_keys)}

    def offered(self, keys: Iterable[str], *, before: date) -> set[str]:
        """Those of `keys` that were listed, shown or not, when an issue of a day before `before` was made."""
        return self._known(keys, select(listed.c.key).where(listed.c.day < before), listed.c.key)

    def _known(self, keys: Iterable[str], query: Select[Any], column: Column[str]) -> set[str]:
        asked = {storable(key): key for key in keys}
        found: set[str] = set()
        waiting = list(asked)
        with self._db.read() as connection:
            for start in range(0, len(waiting), _CHUNK):
                some = query.where(column.in_(waiting[start : start + _CHUNK]))
                found.update(asked[row.key] for row in connection.execute(some))
        return found

    def last_votes(self, source: str) -> date | None:
        """The day of the last issue with papers of `source`, if they carried upvotes."""
        query = (
            select(issues.c.day, func.count(shown.c.upvotes))
            .join_from(shown, issues)
            .where(shown.c.source == storable(source))
            .group_by(issues.c.day)
            .order_by(issues.c.day.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return row[0] if row is not None and row[1] else None

    def issue(self, day: date) -> FrozenIssue | None:
        """The issue of `day`."""
        return self._issue_where(_ISSUE.where(issues.c.day == day))

    def issue_of(self, issue_id: int) -> FrozenIssue | None:
        """The issue of that id."""
        return self._issue_where(_ISSUE.where(issues.c.id == issue_id))

    def rendering(self, rendering_id: int) -> FrozenIssue | None:
        """The issue as the edition of that rendering has it, if it was rendered as a whole."""
        query = select(*_COLUMNS).join_from(issues, renderings)
        query = query.where(renderings.c.id == rendering_id, renderings.c.joined.is_(None))
        return self._issue_where(query)

    def unfitting(self, issue_id: int) -> int:
        """How many readers got no copy of the issue because none of its papers fits what they chose."""
        with self._db.read() as connection:
            query = select(issues.c.unfitting).where(issues.c.id == issue_id)
            return connection.execute(query).scalar() or 0

    def latest_issue(self, *, before: date | None = None) -> FrozenIssue | None:
        """The issue of the latest day, or of the latest before that one."""
        query = _ISSUE if before is None else _ISSUE.where(issues.c.day < before)
        return self._issue_where(query.order_by(issues.c.day.desc()).limit(1))

    def latest_sent(self) -> FrozenIssue | None:
        """The latest issue of which any copy was accepted, and which is not paused: what the public may see."""
        query = _ISSUE.where(issues.c.paused.is_(None), WAS_ACCEPTED)
        return self._issue_where(query.order_by(issues.c.day.desc()).limit(1))

    def _issue_where(self, query: Select[Any]) -> FrozenIssue | None:
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _frozen(row)

    def archive(self, limit: int | None = None) -> list[ArchivedIssue]:
        """The issues of which a copy was accepted, newest day first; the newest `limit` of them."""
        query = select(issues.c.day, renderings.c.subject, issues.c.frozen_at).join_from(issues, renderings)
        with self._db.read() as connection:
            rows = connection.execute(query.where(MAIN, WAS_ACCEPTED).order_by(issues.c.day.desc()).limit(limit))
            return [ArchivedIssue(*row) for row in rows]

    def neighbours(self, day: date) -> tuple[ArchivedIssue | None, ArchivedIssue | None]:
        """The issues of `archive` before and after `day`, which need not have one."""
        query = select(issues.c.day, renderings.c.subject, issues.c.frozen_at).join_from(issues, renderings)
        query = query.where(MAIN, WAS_ACCEPTED).limit(1)
        before = query.where(issues.c.day < day).order_by(issues.c.day.desc())
        after = query.where(issues.c.day > day).order_by(issues.c.day)
        with self._db.read() as connection:
            earlier, later = (connection.execute(each).one_or_none() for each in (before, after))
        return (ArchivedIssue(*earlier) if earlier else None, ArchivedIssue(*later) if later else None)

    def archived(self, day: date) -> FrozenIssue | None:
        """The issue of `day`, when it is one of `archive`."""
        return self._issue_where(_ISSUE.where(issues.c.day == day, WAS_ACCEPTED))

    def unfinished(self) -> list[FrozenIssue]:
        """The issues with copies that are owed, under way or uncertain, oldest first."""
        query = _ISSUE.where(has_open_rows(self._db, issues.c.id))
        with self._db.read() as connection:
            return [_frozen(row) for row in connection.execute(query.order_by(issues.c.day))]

    def pause(self, issue_id: int, reason: str, blamed: Sequence[Delivery]) -> None:
        """Send nothing more of the issue until `resume`; `blamed` were refused for `reason`, and are owed again."""
        again = update(deliveries).where(
            deliveries.c.id.in_([delivery.id for delivery in blamed]), deliveries.c.state == State.REFUSED
        )
        with self._db.write() as connection:
            connection.execute(update(issues).where(issues.c.id == issue_id).values(paused=storable(reason, 1000)))
            reopen(connection, issue_id)
            connection.execute(again.values(state=State.PENDING, claimed_by=None))

    def paused(self, issue_id: int) -> str | None:
        """Why the issue is paused; None when it is not."""
        with self._db.read() as connection:
            found: str | None = connection.execute(select(issues.c.paused).where(issues.c.id == issue_id)).scalar()
        return found

    def resume(self, issue_id: int) -> None:
        """Undo `pause`."""
        with self._db.write() as connection:
            connection.execute(update(issues).where(issues.c.id == issue_id).values(paused=None))


def _insert_rendering(
    connection: Connection, common: Mapping[str, Any], rendered: RenderedIssue, papers: Sequence[str]
) -> int:
    """Keep an edition; `common` are the columns that all editions of the issue have alike, `papers` its Paper.keys."""
    own = {"subject": rendered.subject, "html": rendered.html, "text": rendered.text}
    statement = insert(renderings).values(**common, **own, papers=json.dumps(papers))
    (rendering_id,) = connection.execute(statement).inserted_primary_key or (None,)
    assert isinstance(rendering_id, int)
    return rendering_id


def add_copy(connection: Connection, subscriber_id: int, now: datetime) -> bool:
    """Give a reader who has just joined a copy of the latest issue; returns whether they got one.

    They get none of an issue that has expired or was withdrawn, none if they have chosen other weekdays or a pause, and
    none if they have had one. The transaction of `connection` is a `status_change`.
    """
    latest = _ISSUE.order_by(issues.c.day.desc()).limit(1)
    issue = connection.execute(latest.add_columns(issues.c.withdrawn_at, issues.c.shards)).one_or_none()
    if issue is None or issue.expires_at <= now or issue.withdrawn_at is not None:
        return False
    had = exists().where(deliveries.c.issue_id == issue.id, deliveries.c.subscriber_id == subscriber_id)
    this_one = (*wanting(issue.day), of_weekday(issue.day), subscribers.c.id == subscriber_id, not_(had))
    shard = subscriber_id % issue.shards
    copy = new_copies(issue.id, issue.rendering_id, literal(shard)).add_columns(
        literal(now, deliveries.c.added_at.type)
    )
    inserted = insert(deliveries).from_select([*NEW_COPY, "added_at"], copy.where(*this_one))
    if not connection.execute(inserted.execution_options(preserve_rowcount=True)).rowcount:
        return False
    reopen(connection, issue.id, shard)
    return True


def _publication(kept: dict[str, Any]) -> Publication:
    """The publication as it was frozen; version 0.1 kept the sender as one text."""
    sender = kept["sender"]
    parts = Mailbox(*split_name(sender)) if isinstance(sender, str) else Mailbox(**sender)
    return Publication(**{**kept, "sender": parts})


def _frozen(row: Row[*tuple[Any, ...]]) -> FrozenIssue:
    return FrozenIssue(
        id=row.id,
        rendering_id=row.rendering_id,
        rendered=RenderedIssue(
            day=row.day,
            subject=row.subject,
            html=row.html,
            text=row.text,
        ),
        publication=_publication(row.publication),
        frozen_at=row.frozen_at,
        expires_at=row.expires_at,
        paused=row.paused,
        key_id=row.key_id,
        templates=row.templates,
    )
