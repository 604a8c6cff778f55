"""Whether a store owes a copy, asked before the program is loaded.

cron calls `send` 96 times a day, and nearly always nothing is owed. Loading SQLAlchemy, the store and the send loop is
three quarters of the CPU of such a `send`. So an SQLite store is asked first, by its driver alone. A store that is not
as a run leaves it is for the program: one of another revision, one whose last run was cut off, one that may be older
than what was sent, one that cannot be read.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from newsletter.model import OPEN, State

# The newest revision under store/migrations/versions, repeated here so that an up-to-date store opens without Alembic.
HEAD: Final = "0022"

# Rows that can still move. SQLite uses its index of them only for a query that repeats this condition literally
# (sqlite.org/partialindex.html section 3), and then it reads only such rows and no others. If it were an IN,
# SQLite would build a table of the words, twice for each row that it writes.
OPEN_ROWS: Final = f"({' OR '.join(f'state = {str(state)!r}' for state in State if state in OPEN)})"

_SQLITE: Final = "sqlite:///"
_ASK: Final = f"""
    SELECT (SELECT version_num FROM alembic_version), id, sendings,
        EXISTS (SELECT 1 FROM deliveries INDEXED BY ix_deliveries_open WHERE {OPEN_ROWS})
    FROM store_identity
"""  # noqa: S608 - words of this file


def nothing_is_owed(store: str, witness: Path | None) -> bool:
    """Whether the database at the URL `store` certainly has no copy to send, to give up or to recover.

    False when it is not known, as for PostgreSQL. `witness` is the file that tells when an SQLite store is older than
    what was sent; None: beside it. Changes nothing and raises nothing.
    """
    if not store.startswith(_SQLITE):
        return False
    try:
        file = Path(store.removeprefix(_SQLITE)).resolve(strict=True)
        if file.with_name(f"{file.name}.lock").stat().st_size:  # held, or left by a run that was cut off
            return False
        seen = json.loads((witness or file.with_name(f"{file.name}.witness")).read_bytes())
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=0.1)) as database:
            ((revision, identity, sendings, owed),) = database.execute(_ASK)
        return bool(revision == HEAD and seen["store"] == identity and seen["sendings"] <= sendings and not owed)
    except (OSError, sqlite3.Error, ValueError, TypeError, KeyError):
        return False
