"""`newsletter check --to ADDRESS`: one real copy of the newest issue to one address, outside the ledger."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Final

from newsletter.check.feeds import history
from newsletter.check.templates import sample_issue
from newsletter.check.values import Context, Finding, SetKey, bad, ok
from newsletter.errors import NewsletterError
from newsletter.mail.letter import send_letters
from newsletter.mail.message import compile_copies
from newsletter.mail.render import Renderer
from newsletter.mail.signers import signers
from newsletter.model import Delivery, FrozenIssue, OutcomeKind, RenderedIssue
from newsletter.transport import Copy, Pool

_BODY: Final = re.compile(r"<body[^<>]*>", re.IGNORECASE)
_NOTICE: Final = "This is a test copy that the operator asked for. Its links belong to no reader."


def send(context: Context, address: str) -> Finding:
    """Send the copy to `address` by the servers of the configuration, as `run` would; nothing is recorded.

    The issue is the newest in the store, else what the feeds give now, else the sample day.
    """
    config, now = context.config, context.runtime.now()
    try:
        what, rendered = _newest(context)
        frozen = FrozenIssue(0, 0, marked(rendered), config.publication, now, now + timedelta(days=1))
        copies = compile_copies(frozen, config.links(), signers(config))
        # A reference that no reader has: nobody can be unsubscribed by this copy. It is new each time, and so is the
        # Message-ID, because a mailbox may hide a mail whose Message-ID it knows.
        delivery = Delivery(1, 0, 0, secrets.token_hex(8), address, 0)
        with history(context) as store:  # the copy counts for the servers' limits, as every message does
            pool = Pool(config.smtp, leases=store.leases())
            letters = [Copy(delivery, copies.envelope(delivery))]
            sent = [outcome for _, outcome in send_letters(pool, letters, _begin, store.reserve)]
    except NewsletterError as error:
        return bad("copy", f"nothing was sent: {error}", context.command("check"), error.exit_code)
    outcome = sent[0] if sent else None
    if outcome is None or outcome.kind is not OutcomeKind.ACCEPTED:
        said = f"{outcome.code or 'no answer'} {outcome.text}" if outcome else "every server has reached smtp.per_day"
        return bad("copy", f"the copy for {address} was not accepted: {said}", SetKey("smtp.0.host", "HOST"), 75)
    return ok("copy", f"{what} was sent to {address} as a test, outside the ledger: {outcome.code} {outcome.text}")


def _begin(copy: Copy) -> None:
    """The ledger has no row for this copy."""


def _newest(context: Context) -> tuple[str, RenderedIssue]:
    issue = context.store.latest_issue() if context.store is not None else None
    if issue is not None:
        return f"the issue of {issue.rendered.day}", issue.rendered
    if context.mail is not None:
        return f"the issue that would be made of {context.mail.rendered.day}", context.mail.rendered
    config = context.config
    renderer = Renderer(config.publication, templates=config.templates, catalogues=config.catalogues)
    return "the sample day", renderer.issue(replace(sample_issue(), notes=()))


def marked(rendered: RenderedIssue) -> RenderedIssue:
    """The issue with words in subject, text and HTML that say that it is a test."""
    html = _BODY.sub(lambda match: f'{match.group()}<p dir="ltr" lang="en">{_NOTICE}</p>', rendered.html, count=1)
    text = f"{_NOTICE}\n\n{rendered.text}"
    return replace(rendered, subject=f"[Test] {rendered.subject}", html=html, text=text)
