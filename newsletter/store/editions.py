"""The editions of a frozen issue that are joined from pieces: the pieces once, and of each edition their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, insert, not_, select, update

from newsletter.model import JoinedEdition, Piece, RenderedEdition, RenderedIssue
from newsletter.store.database import Part, execute_many
from newsletter.store.schema import renderings

_BATCH: Final = 100  # whole editions inserted together, each of 100 KB

_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one each time

# Columns of an edition that the main one has for all: none is null.
_AS_THE_MAIN_ONE: Final = {"html": "", "text": "", "publication": {}}


class JoinedEditions(Part):
    """The part of the store that keeps joined editions."""

    def pieces(self, issue_id: int) -> tuple[Piece, ...]:
        """The pieces that the editions of an issue are joined from, by their numbers."""
        query = select(renderings.c.pieces).where(renderings.c.issue_id == issue_id, renderings.c.edition.is_(None))
        with self._db.read() as connection:
            kept: str | None = connection.execute(query).scalar()
        return _pieces(kept) if kept else ()

    def joined(self, issue_id: int, first: int, limit: int) -> dict[int, JoinedEdition]:
        """The joined editions of an issue by the ids of their renderings: at most `limit`, from the id `first` on."""
        query = select(renderings.c.id, renderings.c.subject, renderings.c.joined)
        these = (renderings.c.issue_id == issue_id, renderings.c.id >= first, renderings.c.joined.is_not(None))
        with self._db.read() as connection:
            rows = connection.execute(query.where(*these).order_by(renderings.c.id).limit(limit)).all()
        return {rendering: _loaded(subject, kept) for rendering, subject, kept in rows}


def insert_editions(
    connection: Connection, common: Mapping[str, Any], made: Sequence[RenderedEdition], pieces: Sequence[Piece]
) -> list[int]:
    """Keep these editions; returns the ids of their renderings, in their order.

    `common` are the columns that all whole renderings of the issue have alike.
    """
    if pieces:
        main = (renderings.c.issue_id == common["issue_id"], renderings.c.edition.is_(None))
        connection.execute(update(renderings).where(*main).values(pieces=_dumped_pieces(pieces)))
    own: dict[str, Any] = {name: bindparam(name) for name in ("edition", "subject", "papers", "joined")}
    statement = insert(renderings).values(issue_id=common["issue_id"], **_AS_THE_MAIN_ONE, **own)
    numbered = [*enumerate(made, 1)]
    execute_many(connection, statement, (row for number, each in numbered for row in _joined_row(number, each)))
    whole = ({**common, **row} for number, each in numbered for row in _whole_row(number, each))
    while some := [*islice(whole, _BATCH)]:
        connection.execute(insert(renderings), some)
    # An answer with the ids of all rows would cost more than asking once for all.
    others = (renderings.c.issue_id == common["issue_id"], renderings.c.edition.is_not(None))
    rows = connection.execute(select(renderings.c.edition, renderings.c.id).where(*others))
    ids = dict(rows.all())
    return [ids[str(number)] for number, _ in enumerate(made, 1)]


def drop_pieces(connection: Connection, issue_id: int) -> None:
    """Delete the pieces of an issue if none of its editions is left."""
    others = renderings.alias()
    left = exists().where(others.c.issue_id == issue_id, others.c.joined.is_not(None))
    change = update(renderings).where(renderings.c.issue_id == issue_id, renderings.c.pieces.is_not(None), not_(left))
    connection.execute(change.values(pieces=None))


def _joined_row(number: int, edition: RenderedEdition) -> Iterator[dict[str, str]]:
    """What is its own in the row of an edition that is joined; nothing for another."""
    rendered = edition.rendered
    if isinstance(rendered, JoinedEdition):
        row = {"edition": str(number), "subject": rendered.subject, "papers": _json(edition.papers)}
        yield row | {"joined": _dumped(rendered)}


def _whole_row(number: int, edition: RenderedEdition) -> Iterator[dict[str, str]]:
    """The same of an edition that was rendered as a whole."""
    rendered = edition.rendered
    if isinstance(rendered, RenderedIssue):
        row = {"edition": str(number), "subject": rendered.subject, "papers": _json(edition.papers)}
        yield row | {"html": rendered.html, "text": rendered.text}


def _dumped_pieces(pieces: Sequence[Piece]) -> str:
    """The pieces as JSON. Half of them have the HTML of another, and differ from it in the text: it is kept once."""
    pages: dict[str, int] = {}
    kept = [(pages.setdefault(piece.html, len(pages)), piece.text) for piece in pieces]
    return _json({"pages": [*pages], "pieces": kept})


def _pieces(text: str) -> tuple[Piece, ...]:
    """What `_dumped_pieces` made, or a list of pairs, which an earlier version made."""
    kept = json.loads(text)
    if isinstance(kept, list):
        return tuple(Piece(*each) for each in kept)
    pages = kept["pages"]
    return tuple(Piece(pages[page], said) for page, said in kept["pieces"])


def _dumped(edition: JoinedEdition) -> str:
    """The edition as JSON, without its subject, which has a column."""
    kept = [
        edition.preheader,
        edition.count,
        edition.minutes,
        edition.more,
        edition.frames,
        [*chain.from_iterable(edition.papers)],
        edition.rising,
        edition.reasons,
    ]
    return _json(kept)


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
