"""Send the mails that the web pages make due, in a thread of `newsletter web`. The store holds what is due.

That is a mail that asks an address to confirm, one that tells an old address that its reader has moved, and the first
copy of a reader who has confirmed. First copies are in the ledger and are sent as `newsletter send` does it; what
follows is about the other two.

A request is answered before its mail is made, so the time of the answer does not reveal whether the address was known.
A crash loses no request, and a mail server that is down only delays the mail. A mail is recorded as sent before its
final dot, so a crash can lose one mail but never sends two: a second mail to a person who never asked is worse than
asking again the next day.
"""

from __future__ import annotations

import html
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from newsletter.addresses import masked
from newsletter.config import Config
from newsletter.deliver import DELAYS
from newsletter.errors import NewsletterError
from newsletter.mail.letter import as_copy, new_letter, send_letters, set_body
from newsletter.mail.render import Renderer
from newsletter.mail.signers import signers
from newsletter.model import SLOT_HOST, MoveNotice, Outcome, OutcomeKind, SignUp
from newsletter.runtime import Runtime, utc_now
from newsletter.sending import send_first_copies
from newsletter.store import UNDO_FOR, Store
from newsletter.transport import Copy, Pool

_BATCH: Final = 50
_POLL_SECONDS: Final = 30.0  # for requests that another process recorded; this one's own call `wake`
_CLEAN_EVERY: Final = timedelta(hours=1)

# Seconds to wait after the first, second, ... failure in a row; the last value stays.
BACK_OFF: Final = (5.0, 15.0, 60.0, 300.0)

# Outcomes after which a mail is tried again. The others are final: accepted, uncertain (RFC 1047) or refused.
_RETRIED: Final = frozenset({OutcomeKind.DEFERRED, OutcomeKind.BLOCKED, OutcomeKind.NOT_SENT})

# The mails are rendered once, with these placeholders for the link and the new address of each copy.
_LINK: Final = f"https://{SLOT_HOST}/confirm"
_NEW_ADDRESS: Final = f"new@{SLOT_HOST}"

_Mail = SignUp | MoveNotice


class ConfirmationSender:
    """Sends due confirmation mails until `stop` is called.

    `warn` is called with a line for each failure; `back_off` are seconds between tries after failures.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        now: Callable[[], datetime] = utc_now,
        warn: Callable[[str], None] = lambda message: None,
        back_off: Sequence[float] = BACK_OFF,
    ) -> None:
        """Render the mails. Raises ConfigError, or TemplateError with the template's file and line."""
        self._config, self._store, self._now, self._warn = config, store, now, warn
        self._back_off = back_off
        self._links, self._signers = config.links(), signers(config)
        renderer = Renderer(config.publication, templates=config.templates, catalogues=config.catalogues)
        self._asking = {moves: renderer.letter("confirm", confirm_url=_LINK, moves=moves) for moves in (False, True)}
        self._telling = renderer.letter("moved", undo_url=_LINK, new_address=_NEW_ADDRESS, days=UNDO_FOR.days)
        self._wake_up, self._stopped = threading.Event(), threading.Event()
        self._retry_at: dict[_Mail, datetime] = {}  # time of the next try
        self._deferrals: Counter[_Mail] = Counter()  # failed tries
        self._clean_at: datetime | None = None
        self._first_copies_at: datetime | None = None  # not before; None: at once

    def wake(self) -> None:
        """Tell the thread that a mail is due. May be called from any thread."""
        self._wake_up.set()

    def stop(self) -> None:
        """Let `run` end after the mail it is sending. May be called from any thread."""
        self._stopped.set()
        self._wake_up.set()

    def run(self) -> None:
        """Send mails as they become due until `stop` is called. Does nothing while another process does this work."""
        failed = 0
        while not self._stopped.is_set():
            wait = _POLL_SECONDS
            try:
                with self._store.confirmations_lock() as locked:
                    while locked and not self._stopped.is_set():
                        self.send_due()
                        failed = 0
                        self.send_first_copies()
                        self._wake_up.wait(_POLL_SECONDS)
                        self._wake_up.clear()
            except Exception as error:  # even a programming error: the web pages keep running, and so must this thread
                wait = self._back_off[min(failed, len(self._back_off) - 1)]
                failed += 1
                reason = str(error) if isinstance(error, NewsletterError) else repr(error)
                self._warn(f"confirmations wait for {wait:.0f} seconds: {reason}")
            self._stopped.wait(wait)

    def send_due(self) -> int:
        """Send the mails that are due and drop expired requests; returns how many mails a server accepted.

        Raises NewsletterError if no server can be used; mails not yet sent stay due.
        """
        self._clean()
        sent = 0
        while batch := self._batch():
            sent += self._send(batch)
        return sent

    def send_first_copies(self) -> None:
        """Send the copies that new readers wait for. If any are left, it waits five minutes before it tries again.

        The next `newsletter send` sends what is left, or a run that is sending at this moment.
        """
        now = self._now()
        if not self._config.web.first_copy or (self._first_copies_at is not None and now < self._first_copies_at):
            return
        if not self._store.first_copies():
            return
        runtime = Runtime(now=self._now, stop=self._stopped.is_set, warn=self._warn)
        try:
            # A Store of its own, because a sender keeps a connection with locks, and the pages must not wait for that.
            with Store.open(self._config.store, now=self._now, witness=self._config.witness_file) as store:
                send_first_copies(self._config, store, runtime)
        except NewsletterError as error:
            self._warn(f"first copies wait for the next `newsletter send`: {error}")
        self._first_copies_at = now + DELAYS[0] if self._store.first_copies() else None

    def _clean(self) -> None:
        now = self._now()
        if self._clean_at is None or now >= self._clean_at:
            self._store.drop_unconfirmed()
            self._clean_at = now + _CLEAN_EVERY

    def _batch(self) -> list[_Mail]:
        now = self._now()
        self._retry_at = {mail: at for mail, at in self._retry_at.items() if at > now}
        number = _BATCH + len(self._retry_at)
        due: list[_Mail] = [*self._store.due_notices(number), *self._store.due_sign_ups(number)]
        return [] if self._stopped.is_set() else [each for each in due if each not in self._retry_at][:_BATCH]

    def _send(self, batch: list[_Mail]) -> int:
        waiting = {self._copy(mail): mail for mail in batch}
        pool = Pool(self._config.smtp, leases=self._store.leases())
        sent = 0

        def begin(copy: Copy) -> None:
            self._store.note_mailed(waiting[copy])

        for copy, outcome in send_letters(pool, list(waiting), begin, self._store.reserve):
            self._record(waiting.pop(copy), outcome, noted=copy.begun)
            sent += outcome.kind is OutcomeKind.ACCEPTED
        for mail in waiting.values():  # all servers have reached their limit per day
            self._retry_at[mail] = self._now() + DELAYS[-1]
        return sent

    def _record(self, mail: _Mail, outcome: Outcome, *, noted: bool) -> None:
        """Record a mail as sent after a final outcome, else make it due again after a delay.

        `noted` says that the mail is recorded as sent already; one that was refused before its final dot is not.
        """
        if outcome.kind not in _RETRIED:
            if not noted:
                self._store.note_mailed(mail)
            self._deferrals.pop(mail, None)
            return
        if noted:
            self._store.take_back(mail)
        self._retry_at[mail] = self._now() + DELAYS[min(self._deferrals[mail], len(DELAYS) - 1)]
        self._deferrals[mail] += 1

    def _copy(self, mail: _Mail) -> Copy:
        now, publication = self._now(), self._config.publication
        if isinstance(mail, MoveNotice):
            subject, text, page = self._telling
            values = {_LINK: self._links.undo(mail.ref), _NEW_ADDRESS: masked(mail.new_address)}
        else:
            subject, text, page = self._asking[mail.moves]
            values = {_LINK: self._links.confirm(mail.ref, mail.asked_at)}
        letter = new_letter(publication, mail.address, subject, now)
        for slot, value in values.items():
            text, page = text.replace(slot, value), page.replace(slot, html.escape(value))
        set_body(letter, text, page)
        return as_copy(letter, publication, now, self._signers, mail.id)
