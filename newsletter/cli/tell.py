"""Tells the operator how a run ended, in every configured way. A way that fails is a warning; the verdict stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from newsletter.cli.log import LOG
from newsletter.config import Config, Pings
from newsletter.errors import NewsletterError
from newsletter.model import Outcome, OutcomeKind, RunReport, Verdict
from newsletter.store import Rate, Store


class Teller:
    """Pings, webhook and mails of one list. Each is tried whatever became of the others: pings first, mail last."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def begin(self) -> None:
        """Tell the monitor that the daily run begins."""
        if self._config.alerts.pings != Pings():
            from newsletter.alert import ping

            self._warn(ping.send(self._config.alerts.pings, ping.Ping.START))

    def end(self, report: RunReport, daily: Verdict | None = None) -> None:
        """Tell the monitor how a run ended. For a `send`, `daily` is the verdict of the last daily run."""
        if self._config.alerts.pings == Pings():
            return
        from newsletter.alert import ping

        told = ping.ping_for(report, daily)
        if told is not None:
            self._warn(ping.send(self._config.alerts.pings, told, ping.body_of(report)))

    def write(self, store: Store, report: RunReport) -> None:
        """Post to the webhook, and write the mails that are due after `report`, which is in the store."""
        if self._config.alerts.webhook is not None:
            self._attempt("the webhook could not be used", lambda: self._post(store, report))
        if self._config.alerts.address is not None:
            self._attempt("the alert could not be sent", lambda: self._alert(store, report))
            self._attempt("the summary could not be sent", lambda: self._summary(store, report))

    def _post(self, store: Store, report: RunReport) -> None:
        from newsletter.alert import webhook

        now = datetime.now(UTC)
        latest = store.latest_issue() if report.day is None else None
        day = report.day or (latest.rendered.day if latest else now.date())
        publication = self._config.publication
        notice = webhook.notice_of(report, day, publication)
        if notice is not None:
            store.add_notice(notice)
        for said in webhook.deliver(self._config.alerts, publication.list_id, store, now):
            self._warn(said)

    def _alert(self, store: Store, report: RunReport) -> None:
        from newsletter import alert

        if (letter := alert.due(self._config, store, report)) is not None:
            alert.send(self._config, store, letter)
            LOG.info(f"wrote to {self._config.alerts.address}: {letter['Subject']}")

    def _summary(self, store: Store, report: RunReport) -> None:
        if not self._config.alerts.summary:
            return
        from newsletter.alert import letters, summary

        if (letter := summary.due(self._config, store, report, datetime.now(UTC))) is not None:
            letters.deliver(self._config, store, letter)

    def _attempt(self, failed: str, act: Callable[[], None]) -> None:
        try:
            act()
        except NewsletterError as error:
            self._warn(f"{failed}: {error}")

    @staticmethod
    def _warn(said: str | None) -> None:
        if said:
            LOG.warning(said, prefix="newsletter: ")


class Meter:
    """Measures how fast a run sends: the copies that were accepted, and the time from its first answer to its last."""

    def __init__(self) -> None:
        self._accepted = 0
        self._first = self._last = 0.0

    def watching(self, progress: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`progress` that is measured as well."""

        def measured(outcome: Outcome) -> None:
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._accepted += outcome.kind is OutcomeKind.ACCEPTED
            progress(outcome)

        return measured

    @property
    def rate(self) -> Rate | None:
        """What was measured; None if no copy was accepted."""
        return Rate(self._accepted, self._last - self._first) if self._accepted else None
