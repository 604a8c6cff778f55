"""The URLs of a monitor, by the convention of healthchecks.io: URL/start, URL and URL/fail.

https://healthchecks.io/docs/http_api/
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from newsletter.config.fields import Secret
from newsletter.config.sections import Pings


def pings(
    start: Secret | Literal[False] | None, success: Secret | None, failure: Secret | Literal[False] | None
) -> Pings:
    """The URLs as configured; None stands for the one beside `success`, False for none at all."""
    return Pings(_or_beside(start, success, "start"), success, _or_beside(failure, success, "fail"))


def _or_beside(given: Secret | Literal[False] | None, success: Secret | None, word: str) -> Secret | None:
    if given is False:
        return None
    if given is not None or success is None:
        return given
    return Secret(lambda: beside(success.reveal(), word))


def beside(url: str, word: str) -> str:
    """`url` with another word at the end of its path; a query stays."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{word}"))
