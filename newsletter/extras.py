"""The optional parts of the package, which pyproject.toml calls extras: whatever needs a missing one names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from newsletter.errors import MissingExtra


@contextmanager
def needed(extra: str, what: str) -> Iterator[None]:
    """Mark the imports in the block as part of `extra`; `what` is the command or config key that needs them.

    Raises MissingExtra when a third-party module cannot be imported. An ImportError of our own modules is a bug and is
    not translated.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "newsletter":
            raise
        absent = isinstance(error, ModuleNotFoundError)
        raise MissingExtra(what, extra, "" if absent else str(error).partition("\n")[0]) from error
