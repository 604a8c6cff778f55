"""One POST of a form to a token endpoint, over TLS with a certificate that is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from newsletter.errors import TokenUnavailable, Trouble
from newsletter.request import Unanswered, request

_WITHIN: Final = 60.0  # seconds

_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def post(url: str, fields: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON object that answer a form; empty if there is none. Raises TokenUnavailable.

    Redirects are not followed: they would take the secrets elsewhere. An https_proxy of the environment is used.
    """
    try:
        answer = request("POST", url, body=urlencode(fields).encode(), headers=_HEADERS, within=_WITHIN)
    except Unanswered as error:
        said = f"{urlsplit(url).netloc} cannot be asked for an access token: {error}"
        raise TokenUnavailable(said, Trouble.ISSUER) from None
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = {}
    return answer.status, found if isinstance(found, dict) else {}
