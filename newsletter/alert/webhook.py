"""One signed POST with JSON for each day and verdict, by the conventions of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import date, datetime
from typing import Any, Final

from newsletter.alert.ping import host
from newsletter.bounces import redacted
from newsletter.config import AlertConfig
from newsletter.errors import ConfigError
from newsletter.model import Publication, RunReport, State, Verdict
from newsletter.request import Unanswered, request
from newsletter.store import WEBHOOK, Notice, Store

_WITHIN: Final = 10.0  # seconds

# Verdicts that are no news: nothing was meant to go out, or another run tells of it.
_NO_NEWS: Final = frozenset({Verdict.ALREADY_RUNNING, Verdict.ALREADY_SENT, Verdict.DRY_RUN, Verdict.WEEKEND})


def notice_of(report: RunReport, day: date, publication: Publication) -> Notice | None:
    """What to post about a run that ended with `report`; `day` is that of the issue. None if it is no news."""
    if report.verdict in _NO_NEWS:
        return None
    return Notice(WEBHOOK, day, report.verdict, json.dumps(payload(report, day, publication), ensure_ascii=False))


def payload(report: RunReport, day: date, publication: Publication) -> dict[str, Any]:
    """The JSON object. Nothing of a reader's is in it.

    `text` is what Slack, Telegram and ntfy show, `content` what Discord shows. Both are words of servers and feeds in
    part: without < and > they can neither mention anybody in Slack nor hold a link, and `allowed_mentions` keeps
    Discord from mentioning anybody.
    """
    explanation = redacted(report.explanation)
    said = f"{publication.title}, {day}: {report.verdict} - {explanation}".replace("<", "‹").replace(">", "›")[:1900]
    counts = {str(state): number for state in State if (number := report.counts.get(state, 0))}
    return {
        "type": "newsletter.verdict",
        "list": publication.list_id,
        "title": publication.title,
        "day": day.isoformat(),
        "verdict": str(report.verdict),
        "exit_code": report.exit,
        "explanation": explanation,
        "copies": counts,
        "text": said,
        "content": said,
        "allowed_mentions": {"parse": []},
    }


def identifier(notice: Notice, list_id: str) -> str:
    """The id of a message, the same when it is sent again, by which a receiver knows it."""
    told = f"{list_id}\n{notice.day}\n{notice.verdict}"
    return f"msg_{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over id, timestamp and body, joined by dots.

    A secret that begins with ``whsec_`` is Base64; others are taken as they are. Raises ConfigError for bad Base64.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise ConfigError("what follows whsec_ is not Base64", key="alerts.webhook_secret") from error
    signed = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def deliver(alerts: AlertConfig, list_id: str, store: Store, now: datetime) -> list[str]:
    """Post what waits: the notice of this run, and those that the run before could not deliver.

    Each is tried twice at most, and no more than five in one run. Returns what went wrong, a line each.
    """
    if alerts.webhook is None:
        return []
    return [said for notice in store.take_notices(WEBHOOK) if (said := _post(alerts, list_id, store, notice, now))]


def _post(alerts: AlertConfig, list_id: str, store: Store, notice: Notice, now: datetime) -> str | None:
    """Post one notice; returns why it could not be, in a line without the URL."""
    about = f"the webhook for {notice.verdict} of {notice.day} could not be sent"
    message, timestamp, body = identifier(notice, list_id), int(now.timestamp()), notice.body.encode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
    }
    try:
        url = alerts.webhook.reveal() if alerts.webhook else ""
        if alerts.webhook_secret is not None:
            headers["webhook-signature"] = signature(alerts.webhook_secret.reveal(), message, timestamp, body)
        answer = request("POST", url, body=body, headers=headers, within=_WITHIN)
    except ConfigError as error:
        return f"{about}: {error}"
    except Unanswered as error:
        return f"{about}: {host(url)}: {error}"
    if not 200 <= answer.status < 300:
        return f"{about}: {host(url)}: it answered {answer.status}"
    store.end_notice(notice)
    return None
