"""The monitor that pings go to, and the webhook's host: whether they would hear of a run that failed.

No ping is sent that reports a run: a false success would hide that nothing runs, and a start without an end would raise
an alarm. Healthchecks (also when it is hosted elsewhere) has a request without such an effect: a POST to URL/log is
kept with the check and leaves its state as it is (https://healthchecks.io/docs/http_api/). Other monitors have none: at
Uptime Kuma every request is a success. Of these, and of webhooks, only the page at / of the host is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from newsletter import __version__
from newsletter.alert.ping import host
from newsletter.check.remedies import remedy_for
from newsletter.check.values import Context, Finding, SetKey, ok, warn
from newsletter.config import AlertConfig, Secret
from newsletter.config.pings import beside
from newsletter.errors import ConfigError
from newsletter.request import Answer, Unanswered, request

_SECONDS: Final = 10.0
_TOO_OFTEN: Final = 429  # the check is known, and was asked a few times in a minute (RFC 6585 section 4)


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask about the URL of a key: a method, and a URL at which the method changes nothing."""

    key: str
    method: str
    url: str


def alarms(context: Context) -> Iterator[Finding]:
    """Each host that would be told of a failed run, asked once."""
    alerts = context.config.alerts
    if context.options.offline:
        yield ok("alerts", "not asked (--offline)")
        return
    try:
        questions = questions_of(alerts)
        if alerts.webhook_secret is not None:
            alerts.webhook_secret.reveal()
    except ConfigError as error:
        yield warn("alerts", str(error), remedy_for(context.path, error))
        return
    if not questions:
        yield ok("alerts", "neither a ping nor a webhook is configured")
    for question in questions:
        yield judge_answer(context, question, _ask(question))


def _ask(question: Question) -> Answer | Unanswered:
    headers = {"User-Agent": f"newsletter-check/{__version__}"}
    try:
        return request(question.method, question.url, headers=headers, within=_SECONDS)
    except Unanswered as error:
        return error


def questions_of(alerts: AlertConfig) -> list[Question]:
    """What to ask about the URLs that are configured. Raises ConfigError if the environment lacks one of them."""
    pings = alerts.pings
    named = {"alerts.ping_start": pings.start, "alerts.ping_fail": pings.failure, "alerts.webhook": alerts.webhook}
    urls = {key: secret.reveal() for key, secret in named.items() if secret is not None}
    found: list[Question] = []
    if pings.success is not None:
        success = pings.success.reveal()
        if _by_convention(success, pings.start, pings.failure):
            found.append(Question("alerts.ping", "POST", beside(success, "log")))
            del urls["alerts.ping_start"], urls["alerts.ping_fail"]
        else:
            urls = {"alerts.ping": success, **urls}
    for key, url in urls.items():
        page = f"{urlsplit(url).scheme}://{host(url)}/"
        if all(page != each.url for each in found):
            found.append(Question(key, "HEAD", page))
    return found


def _by_convention(success: str, start: Secret | None, failure: Secret | None) -> bool:
    """Whether the URLs for start and failure are those of Healthchecks, as they are by default."""
    given = [each.reveal() if each else "" for each in (start, failure)]
    return given == [beside(success, "start"), beside(success, "fail")]


def judge_answer(context: Context, question: Question, answer: Answer | Unanswered) -> Finding:
    """What the answer says. Issues go out all the same, so the worst is a warning."""
    where = f"{question.key}: {host(question.url)}"
    if isinstance(answer, Unanswered):
        return warn("alerts", f"{where} cannot be asked: {answer}", SetKey(question.key, "URL"))
    if question.method == "HEAD" or 200 <= answer.status < 300 or answer.status == _TOO_OFTEN:
        known = "answers" if question.method == "HEAD" else "knows the check, whose state is as it was"
        return ok("alerts", f"{where} {known}")
    if answer.status >= 500:
        return warn("alerts", f"{where} answers {answer.status}", context.command("check"))
    said = f"{where} answers {answer.status} to a ping's URL with /log: it knows no such check, so it misses no run"
    return warn("alerts", said, SetKey(question.key, "URL"))
