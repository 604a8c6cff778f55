"""How the store notices that it is older than what was sent: a restored backup, or a copy taken to another machine.

The database counts its sendings: batches of copies that were claimed, and runs that ended. A witness, a small file
outside it, repeats the count:

    claim: sendings + 1, committed -> witness written and on the disk -> the first copy of the batch begins

So the witness is never ahead of its own database, whatever crashes in between, and a database that is behind its
witness was replaced by an older one. Once a run has ended, every earlier copy of the database is behind. A crash, a
full disk or a lost permission leaves the witness behind, which is harmless.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from newsletter.errors import ConfigError, StoreError, StoreOutdated, WitnessUnreadable
from newsletter.store.database import Part
from newsletter.store.schema import store_identity

_DECIDE = (
    "nothing is sent; put the newer store back, or let this one send with `newsletter send --trust-store`:"
    " readers may then get again what it does not know of"
)

_MARK: Final = select(store_identity)
_COUNT: Final = update(store_identity).values(sendings=store_identity.c.sendings + 1, sent_at=bindparam("now"))


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a store has come: its random id, the number of its last sending, and when that was (UTC)."""

    store: str
    sendings: int
    sent_at: datetime | None = None

    def __str__(self) -> str:
        at = f" of {self.sent_at:%Y-%m-%d %H:%M} UTC" if self.sent_at else ""
        return f"sending {self.sendings}{at}"


class Provenance(Part):
    """The part of the store that knows how far it has come."""

    witness: Path | None = None  # None: there is none, as for a PostgreSQL database opened without one
    witness_error: str | None = None  # why it cannot be written, for the operator
    _ready: bool = False  # the witness was compared and can be written
    _ahead: bool = False  # this Store has sent since the last `_conclude`

    def check_provenance(self) -> None:
        """Compare the database with its witness; changes neither. Raises StoreOutdated, and StoreError.

        Needs no lock: the witness is read first, and its database is never behind it.
        """
        if self.witness is None:
            return
        seen, here = self._both(self.witness)
        if seen is None and here.sendings:  # unless another process has begun to send between the two
            seen, here = self._both(self.witness)
        if seen is None:
            # Several machines may share a PostgreSQL database, each with a witness of its own. A file has one.
            if here.sendings and self._db.file is not None:
                raise StoreOutdated(
                    f"{self._db.name} has sent issues, but its witness {self.witness} is missing: was it copied from a"
                    f" machine that still sends, or restored? {_DECIDE}"
                )
        elif seen.store != here.store:
            raise StoreOutdated(
                f"{self._db.name} is not the store that sent last: {self.witness} belongs to another one, at {seen};"
                f" was it restored or made anew? {_DECIDE}"
            )
        elif seen.sendings > here.sendings:
            raise StoreOutdated(
                f"{self._db.name} is older than what was sent: it is at {here}, and {self.witness} at {seen}; is it a"
                f" restored backup or a copy? {_DECIDE}"
            )

    def _both(self, witness: Path) -> tuple[Mark | None, Mark]:
        """What the witness says, and what the database says after that."""
        seen = _read(witness)
        with self._db.read() as connection:
            return seen, _mark(connection)

    def check_list(self, list_id: str, *, adopt: bool = False) -> None:
        """Make sure that this list alone sends from a PostgreSQL database, where the first one leaves its id.

        `adopt` lets another id take over: the operator has decided, as for a list that got a new name. Raises
        ConfigError when the database is another list's. An SQLite file may be renamed with its list, as ever.
        """
        if self._db.file is not None:
            return
        with self._db.read() as connection:
            known = connection.execute(select(store_identity.c.list_id)).scalar_one()
        if known == list_id:
            return
        if known is not None and not adopt:
            raise ConfigError(
                f"the database {self._db.name} belongs to the list {known}, and this one is {list_id}; give each list a"
                " database of its own, or, if the list was renamed, call `newsletter send --trust-store` once",
                key="store",
            )
        with self._db.write() as connection:
            mine = update(store_identity) if adopt else update(store_identity).where(store_identity.c.list_id.is_(None))
            connection.execute(mine.values(list_id=list_id))

    def trust(self) -> None:
        """Let this database send from now on, whatever its witness says: the operator has decided.

        It gets a new id, so that no copy of it from before passes for it. Needs `sending_lock`. Raises StoreError.
        """
        if self.witness is None:
            return
        seen = _read(self.witness)
        with self._db.write() as connection:
            here = _mark(connection)
            sendings = max(here.sendings, seen.sendings if seen else 0)
            connection.execute(update(store_identity).values(id=secrets.token_hex(16), sendings=sendings))
            mark = _mark(connection)
        try:
            write_witness(self.witness, mark)
        except OSError as error:
            raise StoreError(f"{self.witness}: the witness cannot be written: {error.strerror}") from error

    def _prepare_witness(self) -> None:
        """Before the first claim: compare, and make sure that the witness exists before the database counts on it.

        Where it cannot be written, the database does not count either, and the operator is told.
        """
        if self._ready or self.witness is None:
            return
        self.check_provenance()
        with self._db.read() as connection:
            here = _mark(connection)
        try:
            write_witness(self.witness, here)
        except OSError as error:
            self.witness_error = (
                f"{self.witness} cannot be written ({error.strerror}), so that nothing tells when an old copy of the"
                " store is sent from; let this user write it, or set `witness` to a file that they may write"
            )
            self.witness = None
        self._ready = True

    def _next_sending(self, connection: Connection) -> Mark | None:
        """Count a sending in the transaction of `connection`; None when there is no witness."""
        if self.witness is None:
            return None
        connection.execute(_COUNT, {"now": self._now()})
        self._ahead = True
        return _mark(connection)

    def _testify(self, mark: Mark | None) -> None:
        """Write what was committed into the witness. One that cannot be written falls behind, which is harmless."""
        if mark is not None and self.witness is not None:
            with suppress(OSError):
                write_witness(self.witness, mark)

    def _conclude(self) -> None:
        """After the last copy of a run: count once more, so that every earlier copy of the database is behind."""
        if self._ahead:
            with self._db.write() as connection:
                mark = self._next_sending(connection)
            self._ahead = False
            self._testify(mark)


def _mark(connection: Connection) -> Mark:
    row = connection.execute(_MARK).one()
    return Mark(row.id, row.sendings, row.sent_at)


def _read(path: Path) -> Mark | None:
    """What the witness says; None when there is none, or what is there is no witness. Raises StoreError."""
    try:
        found = json.loads(path.read_bytes())
        at = found["sent_at"]
        return Mark(str(found["store"]), int(found["sendings"]), datetime.fromisoformat(at) if at else None)
    except FileNotFoundError:
        return None
    except OSError as error:
        advice = "; run this as the user who owns it" if isinstance(error, PermissionError) else ""
        said = f"{path}: the witness cannot be read: {error.strerror}{advice}"
        raise WitnessUnreadable(said, path) from error
    except (ValueError, KeyError, TypeError):
        return None


def write_witness(path: Path, mark: Mark) -> None:
    """Replace the witness as a whole, on the disk when this returns. Any user may read it: it holds no secret.

    Raises OSError; the old one is still there then.
    """
    told = {"store": mark.store, "sendings": mark.sendings, "sent_at": mark.sent_at and mark.sent_at.isoformat()}
    new = path.with_name(f"{path.name}.{threading.get_native_id()}")
    new.unlink(missing_ok=True)  # a crash may have left it
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # whatever the umask
        os.write(descriptor, (json.dumps(told) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the name, too, is on the disk
    finally:
        os.close(folder)
