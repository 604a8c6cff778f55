"""The editions of a frozen issue that are joined from pieces: the pieces once, and of each edition their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, exists, insert, not_, select, update

from newsletter.model import JoinedEdition, Piece, RenderedEdition, RenderedIssue
from newsletter.store.database import Part
from newsletter.store.schema import renderings

_BATCH: Final = 500  # rows inserted together

# Columns of an edition that the main one has for all: none is null.
_AS_THE_MAIN_ONE: Final = {"html": "", "text": "", "publication": {}}


class JoinedEditions(Part):
    """The part of the store that keeps joined editions."""

    def pieces(self, issue_id: int) -> tuple[Piece, ...]:
        """The pieces that the editions of an issue are joined from, by their numbers."""
        query = select(renderings.c.pieces).where(renderings.c.issue_id == issue_id, renderings.c.edition.is_(None))
        with self._db.read() as connection:
            kept: str | None = connection.execute(query).scalar()
        return tuple(Piece(*each) for each in json.loads(kept or "[]"))

    def joined(self, issue_id: int, first: int, limit: int) -> dict[int, JoinedEdition]:
        """The joined editions of an issue by the ids of their renderings: at most `limit`, from the id `first` on."""
        query = select(renderings.c.id, renderings.c.subject, renderings.c.joined)
        these = (renderings.c.issue_id == issue_id, renderings.c.id >= first, renderings.c.joined.is_not(None))
        with self._db.read() as connection:
            rows = connection.execute(query.where(*these).order_by(renderings.c.id).limit(limit)).all()
        return {row.id: _loaded(row.subject, row.joined) for row in rows}


def insert_editions(
    connection: Connection, common: Mapping[str, Any], made: Sequence[RenderedEdition], pieces: Sequence[Piece]
) -> list[int]:
    """Keep these editions; returns the ids of their renderings, in their order.

    `common` are the columns that all whole renderings of the issue have alike.
    """
    if pieces:
        main = (renderings.c.issue_id == common["issue_id"], renderings.c.edition.is_(None))
        kept = json.dumps([(piece.html, piece.text) for piece in pieces], ensure_ascii=False)
        connection.execute(update(renderings).where(*main).values(pieces=kept))
    # Rows of one shape are inserted together. An answer with their ids would cost more than asking once for all.
    for rows in _alike(_row(common, number, each) for number, each in enumerate(made, 1)):
        connection.execute(insert(renderings), rows)
    others = (renderings.c.issue_id == common["issue_id"], renderings.c.edition.is_not(None))
    ids = {
        row.edition: row.id for row in connection.execute(select(renderings.c.edition, renderings.c.id).where(*others))
    }
    return [ids[str(number)] for number, _ in enumerate(made, 1)]


def drop_pieces(connection: Connection, issue_id: int) -> None:
    """Delete the pieces of an issue if none of its editions is left."""
    others = renderings.alias()
    left = exists().where(others.c.issue_id == issue_id, others.c.joined.is_not(None))
    change = update(renderings).where(renderings.c.issue_id == issue_id, renderings.c.pieces.is_not(None), not_(left))
    connection.execute(change.values(pieces=None))


def _row(common: Mapping[str, Any], number: int, edition: RenderedEdition) -> dict[str, Any]:
    rendered, papers = edition.rendered, json.dumps(edition.papers)
    own = {"edition": str(number), "subject": rendered.subject, "papers": papers}
    if isinstance(rendered, RenderedIssue):
        return {**common, **own, "html": rendered.html, "text": rendered.text}
    return {"issue_id": common["issue_id"], **_AS_THE_MAIN_ONE, **own, "joined": _dumped(rendered)}


def _alike(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows in their order, in batches with the same columns."""
    batch: list[dict[str, Any]] = []
    for row in rows:
        if batch and (len(batch) == _BATCH or batch[0].keys() != row.keys()):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _dumped(edition: JoinedEdition) -> str:
    """The edition as JSON, without its subject, which has a column."""
    kept = [
        edition.preheader,
        edition.count,
        edition.minutes,
        edition.more,
        edition.frames,
        [number for paper in edition.papers for number in paper],
        edition.rising,
        edition.reasons,
    ]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def _loaded(subject: str, text: str) -> JoinedEdition:
    preheader, count, minutes, more, frames, papers, rising, reasons = json.loads(text)
    numbers = iter(papers)
    return JoinedEdition(
        subject,
        preheader,
        count,
        minutes,
        more,
        tuple(frames),
        tuple(zip(numbers, numbers, numbers, strict=True)),
        tuple(rising),
        tuple(reasons),
    )
