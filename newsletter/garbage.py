"""When Python looks for unreachable objects: not while a command is loaded, and never again among what was loaded.

What a command loads is up to 200,000 objects, none of them garbage, and to look at them takes 50 ms of CPU. In a
process that stays, as `newsletter web`, a look at all of them would make a reader wait. At its end a process would look
several times; the operating system takes its memory back in any case.
"""

from __future__ import annotations

import atexit
import gc
from typing import Final

# Objects that may come into being before Python looks: at first, and from then on.
_WHILE_LOADING: Final = 250_000
_LATER: Final = 3_000


def put_off() -> None:
    """Put the first look off until more objects were made than any command loads, or until `loaded`.

    The looks at the end of the process find nothing to look at.
    """
    gc.set_threshold(_WHILE_LOADING)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    if _first not in gc.callbacks:
        gc.callbacks.append(_first)


def loaded() -> None:
    """Leave out for good what there is now, and look from now on: for a command that goes on for long."""
    gc.freeze()
    gc.collect(0)


def _first(phase: str, info: dict[str, int]) -> None:
    """Called before and after Python has looked: what survived the first time is left out from then on."""
    if phase == "stop":
        gc.callbacks.remove(_first)
        gc.freeze()
        gc.set_threshold(_LATER)
