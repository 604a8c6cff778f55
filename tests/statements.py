"""Compiles each SQL statement once for all the stores of this process.

SQLAlchemy keeps what it has compiled for each engine and dialect. The program opens one store; the tests open
thousands, and compiled the same statements anew in each: that took a sixth of their time. So the engines of a kind of
database share the dialect of the first one that was connected, and one cache; and the statements that the store
prepares itself are compiled once for each dialect. What is executed is the same.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import Dialect

from newsletter.store import database, engines


def _known(connection: Connection) -> None:
    """What the database can do need not be asked."""


def pytest_configure() -> None:
    """Have the stores of a process of pytest share what SQLAlchemy has compiled."""
    share()


def share() -> None:
    """Have the stores of this process share what SQLAlchemy has compiled, and those of the processes that it forks."""
    dialects: dict[str, Dialect] = {}
    compiled: MutableMapping[Any, Any] = {}

    def create(url: URL, **options: Any) -> Engine:
        engine = create_engine(url, **options)
        engine.update_execution_options(compiled_cache=compiled)
        kind = url.drivername
        if kind in dialects:
            engine.dialect.initialize = _known  # type: ignore[method-assign]
            engine.dialect = dialects[kind]
        else:  # a dialect asks the first database that it is connected to what it can do
            event.listen(engine, "connect", lambda *_: dialects.setdefault(kind, engine.dialect))
        return engine

    known: dict[tuple[Any, Dialect], database.Compiled] = {}

    def compiled_once(statement: Any, of: database.Database) -> database.Compiled:
        key = (statement, of.engine.dialect)
        if key not in known:
            known[key] = make(statement, of)
        return known[key]

    make = database.compiled
    for module, name, value in ((engines, "create_engine", create), (database, "compiled", compiled_once)):
        setattr(module, name, value)  # until the process ends
