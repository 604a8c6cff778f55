"""A list whose mail comes back to a Maildir: what the tests of bounces share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from newsletter.bounces.process import Tally, collect
from newsletter.children import Arguments, Bounds, Nursery, Overrun
from newsletter.children import Result as Returned
from newsletter.config import Config, load
from newsletter.links import Links
from newsletter.mail.message import compile_copies
from newsletter.model import (
    Delivery,
    FrozenIssue,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    Result,
    State,
    Subscriber,
    SubscriberStatus,
)
from newsletter.runtime import Runtime
from newsletter.store import CarriedOut, Store
from tests.fakes import FakeClock

ADA, EMMY = "ada@example.net", "emmy@example.net"
ACTIVE, SUPPRESSED = SubscriberStatus.ACTIVE, SubscriberStatus.SUPPRESSED


def configured(folder: Path, more: str = "", secret: str = "a secret of this test") -> Config:
    path = folder / "config.yaml"
    path.write_text(
        "sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\n"
        "bounce_address: bounces@news.example.org\nbase_url: https://news.example.org\n"
        "list_id: papers.news.example.org\nfeeds:\n  - url: papers.json\n"
        f"secret: {secret}\n{more}bounces:\n  maildir: Maildir\n",
        "utf-8",
    )
    path.chmod(0o600)
    return load(path)


TOO_MUCH = b"(this mail is beyond a bound)"


class InProcess(Nursery):
    """Calls the function in this process; a mail with TOO_MUCH in it is beyond a bound."""

    def call(
        self,
        bounds: Bounds,
        function: Callable[Arguments, Returned],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Returned:
        """See Nursery."""
        if any(isinstance(each, bytes) and TOO_MUCH in each for each in args):
            raise Overrun(f"it takes more than {bounds.cpu} seconds of CPU to read")
        return function(*args, **kwargs)


@dataclass
class Scene:
    """A list with its Maildir and its issues; of two readers at first."""

    folder: Path
    store: Store
    clock: FakeClock
    config: Config
    number: int = 0

    @property
    def links(self) -> Links:
        return self.config.links()

    def issue(self, *, verp: bool = False) -> FrozenIssue:
        """The issue of the present day; its copies wait."""
        day = self.clock.now().date()
        rendered = RenderedIssue(day, "Papers", "<p>x https://slot.invalid/unsubscribe</p>", "x")
        publication = replace(self.config.publication, verp=verp)
        return self.store.freeze(rendered, publication, lifetime=timedelta(hours=24))

    def copy(self, frozen: FrozenIssue, address: str) -> tuple[str, bytes]:
        """Reverse path and bytes of one reader's copy."""
        delivery = Delivery(0, frozen.rendering_id, 0, self.reader(address).ref, address, 0)
        made = compile_copies(frozen, self.links).envelope(delivery)
        return made.mail_from, made.message

    def reader(self, address: str) -> Subscriber:
        found = self.store.find(address)
        assert found is not None
        return found

    def status(self, address: str = ADA) -> SubscriberStatus:
        return self.reader(address).status

    def arrives(self, raw: bytes | str) -> Path:
        self.number += 1
        path = self.folder / "Maildir" / "new" / f"{self.number:03}.host"
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return path

    def collect(self, children: Nursery | None = None, warn: Callable[[str], None] = print) -> Tally:
        """Read the Maildir; the mails are parsed here when there are no `children`."""
        return collect(self.config, self.store, children or InProcess(), Runtime(now=self.clock.now, warn=warn))

    def filed(self, folder: str = "Processed") -> int:
        where = self.folder / "Maildir" / f".{folder}" / "cur"
        return len(list(where.iterdir())) if where.exists() else 0


def report(
    copy: bytes,
    address: str = ADA,
    *,
    status: str = "5.1.1",
    action: str = "failed",
    to: str = "bounces@news.example.org",
    words: str = "is gone",
) -> bytes:
    """A delivery report that returns `copy`, as Postfix writes it."""
    head = (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.net\r\nTo: {to}\r\nSubject: Undelivered Mail\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt failed.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} <{address}> {words}\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
    )
    return head.encode() + copy + b"\r\n--b--\r\n"


def without(copy: bytes, *names: str) -> bytes:
    """A copy as a server returns it: headers only, and not all."""
    message = message_from_bytes(copy, EmailMessage, policy=default)
    kept = [f"{key}: {value}" for key, value in message.raw_items() if key not in names]
    return "\r\n".join((*kept, "", "")).encode()


def refuse(scene: Scene, words: str, *addresses: str, code: int = 550) -> CarriedOut:
    """An issue whose copies were accepted, but for those of `addresses`, which were refused in these words."""
    frozen = scene.issue()
    with scene.store.sending_lock():
        for delivery in scene.store.claim(frozen.id, 1000, resend_uncertain=1):
            if delivery.address in addresses:
                outcome, source = Outcome(OutcomeKind.REFUSED, code, words), State.CLAIMED
            else:
                outcome, source = Outcome(OutcomeKind.ACCEPTED, 250, ""), State.SENDING
                scene.store.turn([], [delivery])
            scene.store.turn([Result(delivery, source, outcome)], [])
    carried = scene.store.suppress_refused(frozen.id, scene.config.bounces.policy)
    scene.clock.move(days=1)
    return carried


def headers_of_copy(copy: bytes) -> dict[str, str]:
    """The headers of a copy, by name."""
    return {key: str(value) for key, value in message_from_bytes(copy).items()}
