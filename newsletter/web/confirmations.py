"""Sends the confirmation mails that are due, in a thread of `newsletter web`: what is due stands in the store.

So a request is answered before its mail is made, and its timing tells nothing; a crash loses no request; and a mail
server that is down only delays it. A mail is noted as sent before its final dot, so that nobody gets two in a day: for
somebody who never asked, a second one is worse than for somebody who did to ask again tomorrow.
"""

from __future__ import annotations

import html
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from newsletter.config import Config
from newsletter.deliver import DELAYS
from newsletter.errors import NewsletterError
from newsletter.mail.letter import as_copy, new_letter, send_letters, set_body
from newsletter.mail.render import Renderer
from newsletter.mail.signers import signers
from newsletter.model import SLOT_HOST, Outcome, OutcomeKind, SignUp
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.transport import SECONDS_PER_DAY, Copy, Pool

_BATCH: Final = 50
_LOOK_EVERY: Final = 30.0  # seconds; whoever notes a request wakes us at once, unless he was another process
_CLEAN_EVERY: Final = timedelta(hours=1)

# Seconds to wait when the mail server is away, or anything else is wrong, once, twice and so on in a row.
BACK_OFF: Final = (5.0, 15.0, 60.0, 300.0)

# What leaves a mail due. The others are final: taken, in doubt (RFC 1047), or refused for good.
_AGAIN: Final = frozenset({OutcomeKind.DEFERRED, OutcomeKind.BLOCKED, OutcomeKind.NOT_SENT})

# A mail is rendered once; the link of each goes where this stands.
_LINK: Final = f"https://{SLOT_HOST}/confirm"


class ConfirmationSender:
    """Sends what is due until `stop` is called; `warn` is told what keeps it from doing so."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        now: Callable[[], datetime] = utc_now,
        warn: Callable[[str], None] = lambda message: None,
        back_off: Sequence[float] = BACK_OFF,
    ) -> None:
        """Raises ConfigError or TemplateError when no mail can be made."""
        self._config, self._store, self._now, self._warn = config, store, now, warn
        self._back_off = back_off
        self._links, self._signers = config.links(), signers(config)
        renderer = Renderer(config.publication, templates=config.templates)
        self._rendered = {moves: _render(renderer, moves=moves) for moves in (False, True)}
        self._limited = any(server.rate or server.per_day for server in config.smtp)
        self._bell, self._stopped = threading.Event(), threading.Event()
        self._later: dict[int, datetime] = {}  # a subscriber's id -> when its mail may be tried again
        self._put_off: Counter[int] = Counter()  # how often it was
        self._clean_at: datetime | None = None

    def wake(self) -> None:
        """Something is due now."""
        self._bell.set()

    def stop(self) -> None:
        """Finish what is under way, and end `run`."""
        self._stopped.set()
        self._bell.set()

    def run(self) -> None:
        """Send what is due whenever something is, unless another process does, until `stop`."""
        failed = 0
        while not self._stopped.is_set():
            wait = _LOOK_EVERY
            try:
                with self._store.confirmations_lock() as mine:
                    while mine and not self._stopped.is_set():
                        self.send_due()
                        failed = 0
                        self._bell.wait(_LOOK_EVERY)
                        self._bell.clear()
            except Exception as error:  # also a mistake of ours: the pages go on, and the mails must not end for ever
                wait = self._back_off[min(failed, len(self._back_off) - 1)]
                failed += 1
                reason = str(error) if isinstance(error, NewsletterError) else repr(error)
                self._warn(f"confirmations wait for {wait:.0f} seconds: {reason}")
            self._stopped.wait(wait)

    def send_due(self) -> int:
        """Send what is due, and drop what nobody confirmed; returns how many mails a server took.

        Raises NewsletterError when no server can be used; everything not yet sent stays due.
        """
        self._clean()
        sent = 0
        while batch := self._batch():
            sent += self._send(batch)
        return sent

    def _clean(self) -> None:
        now = self._now()
        if self._clean_at is None or now >= self._clean_at:
            self._store.drop_unconfirmed()
            self._clean_at = now + _CLEAN_EVERY

    def _batch(self) -> list[SignUp]:
        now = self._now()
        self._later = {number: at for number, at in self._later.items() if at > now}
        due = self._store.due_sign_ups(_BATCH + len(self._later))
        return [] if self._stopped.is_set() else [each for each in due if each.id not in self._later][:_BATCH]

    def _send(self, batch: list[SignUp]) -> int:
        waiting = {self._copy(sign_up): sign_up for sign_up in batch}
        pool = Pool(self._config.smtp, used=self._store.used(SECONDS_PER_DAY) if self._limited else {})
        sent = 0

        def begin(copy: Copy) -> None:
            self._store.note_mailed(waiting[copy])
            if self._limited:
                self._store.note_use({copy.server: 1})

        try:
            for copy, outcome in send_letters(pool, list(waiting), begin):
                self._settle(waiting.pop(copy), outcome, noted=copy.begun)
                sent += outcome.kind is OutcomeKind.ACCEPTED
        finally:
            pool.close()
        for sign_up in waiting.values():  # the servers have used up their day
            self._later[sign_up.id] = self._now() + DELAYS[-1]
        return sent

    def _settle(self, sign_up: SignUp, outcome: Outcome, *, noted: bool) -> None:
        """Keep it `noted` as mailed, or have it due again later; what was refused before its dot is not noted yet."""
        if outcome.kind not in _AGAIN:
            if not noted:
                self._store.note_mailed(sign_up)
            self._put_off.pop(sign_up.id, None)
            return
        if noted:
            self._store.take_back(sign_up)
        self._later[sign_up.id] = self._now() + DELAYS[min(self._put_off[sign_up.id], len(DELAYS) - 1)]
        self._put_off[sign_up.id] += 1

    def _copy(self, sign_up: SignUp) -> Copy:
        now, publication = self._now(), self._config.publication
        subject, text, page = self._rendered[sign_up.moves]
        link = self._links.confirm(sign_up.ref, sign_up.asked_at)
        letter = new_letter(publication, sign_up.address, subject, now)
        set_body(letter, text.replace(_LINK, link), page.replace(_LINK, html.escape(link)))
        return as_copy(letter, publication, now, self._signers, sign_up.id)


def _render(renderer: Renderer, *, moves: bool) -> tuple[str, str, str]:
    return renderer.letter("confirm", confirm_url=_LINK, moves=moves)
