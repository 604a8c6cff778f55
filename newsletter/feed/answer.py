"""What one HTTP GET comes to: a response, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class FetchFailure(Exception):
    """There is no usable response; the message is the reason."""

    def __init__(self, reason: str, *, again: bool = False, after: float | None = None, status: int = 0) -> None:
        """`again`: another attempt may succeed; `after`: seconds until then, if the server asked for a delay.

        `status` is that of the response, 0 if there was none.
        """
        super().__init__(reason)
        self.again, self.after, self.status = again, after, status


@dataclass(frozen=True)
class Response:
    """The response at the end of the redirects. `body` is decompressed, and empty unless the status is 200."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
