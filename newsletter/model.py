"""The values that travel from feed to inbox, and the tables of their rules. Imports nothing of ours, does no I/O."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

# --- what a feed gives -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper as its feed described it: plain text only, no HTML, white space folded.

    `key` is the identity used to join duplicates: ``arxiv:2401.01234`` (no version), ``doi:10.1000/x``, else
    ``title:...``. A URL that stands here is absolute and http(s). A missing figure is None, never 0: zero upvotes is a
    fact, no upvotes is none.
    """

    key: str
    title: str
    url: str | None = None
    abstract: str = ""
    authors: tuple[str, ...] = ()
    author_count: int = 0  # may exceed len(authors) when the feed tells only the number
    organisation: str | None = None
    published: date | None = None
    upvotes: int | None = None
    comments: int | None = None
    arxiv_id: str | None = None
    arxiv_url: str | None = None
    pdf_url: str | None = None
    code_url: str | None = None
    code_stars: int | None = None
    project_url: str | None = None
    discussion_url: str | None = None
    summary: str | None = None  # the feed's own machine-written summary (`ai_summary`), never ours
    keywords: tuple[str, ...] = ()
    source: str = ""  # the name of the feed it came from, as the reader may see it
    also: tuple[str, ...] = ()  # the names of other feeds that list it

    @property
    def names(self) -> tuple[str, ...]:
        """What it is remembered by: its key, and its title, by which a feed without ids may list it."""
        return (self.key,) if self.key.startswith(BY_TITLE) else (self.key, *_titled(self.title, "titled:"))

    @property
    def lookup_keys(self) -> tuple[str, ...]:
        """By which of others' `names` it is found; of two papers that both have an id, titles prove nothing."""
        return (self.key, *_titled(self.title, "titled:" if self.key.startswith(BY_TITLE) else BY_TITLE))


BY_TITLE: Final = "title:"
_DISTINCT: Final = 16  # letters that tell titles apart


def title_key(title: str) -> str:
    """The identity of a paper without an id: the title's letters and digits; a short one, like "C++", as it is."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    letters = "".join(filter(str.isalnum, folded))
    return BY_TITLE + (letters if len(letters) >= _DISTINCT else folded)


def _titled(title: str, prefix: str) -> tuple[str, ...]:
    """The title's identity under a prefix, if it is long enough to be one paper's."""
    letters = title_key(title).removeprefix(BY_TITLE)
    return (prefix + letters,) if len(letters) >= _DISTINCT else ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that could not be used: its place in the feed (1 is the first) and the reason, for the operator."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """What one feed answered: its papers in the feed's own order, and the entries that had to be skipped."""

    papers: tuple[Paper, ...]
    skipped: tuple[Skipped, ...] = ()
    title: str | None = None

    @property
    def has_votes(self) -> bool:
        """Whether any paper carries an upvote count; a feed without votes keeps its own order."""
        return any(paper.upvotes is not None for paper in self.papers)


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A feed's last answer with its validators (RFC 9110 section 8.8), so that 304 Not Modified still has a body."""

    url: str
    body: bytes
    content_type: str | None
    etag: str | None
    last_modified: str | None
    fetched_at: datetime  # UTC


# --- the day's issue -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LateRiser:
    """A paper of an earlier `day` that was below the cut then and stands above it now; `gained` votes since."""

    paper: Paper
    day: date
    gained: int


@dataclass(frozen=True, slots=True)
class Gain:
    """How many votes a paper has won since the issue of `day`, which knew it too."""

    day: date
    votes: int


@dataclass(frozen=True, slots=True)
class Issue:
    """The day's selection, ranked: `papers[0]` is number 1. Content only; nothing about looks or readers."""

    day: date
    papers: tuple[Paper, ...]
    ranked_by_votes: bool
    by_source: bool = False  # a section for each source, ranked on its own: `papers` has one after the other
    left_out: int = 0  # papers of the day that did not make the cut (max_papers, min_upvotes)
    skipped: int = 0  # entries of the feeds that could not be read
    seen: int = 0  # papers of the day that an earlier issue has shown
    pinned: Mapping[str, str] = field(default_factory=dict)  # why a paper was lifted to the top, by its key
    rising: tuple[LateRiser, ...] = ()
    since: date | None = None  # the first day of several that are merged, after days without a run
    gains: Mapping[str, Gain] = field(default_factory=dict)  # how votes have moved, by the paper's key
    notes: tuple[str, ...] = ()  # what went wrong, for the operator's copy alone


@dataclass(frozen=True, slots=True)
class Span:
    """The days beside its own that an issue takes in: those from `since` on, or with `catch_up` those without a run.

    With `again`, as in a weekly issue, papers of issues from `since` on may be shown again.
    """

    since: date | None = None
    catch_up: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address (RFC 5322 section 3.4), kept apart so that no character of the name can become an address.

    `name` may be empty and may hold any character; `address` is normalised (see addresses.py).
    """

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What follows the @."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Publication:
    """Who publishes: what the masthead, the footer and the headers say.

    Frozen with each issue, so a copy that is sent again is byte-equal. `sender` is the From of each copy;
    `bounce_address` is the envelope's MAIL FROM and the address that unsubscribe mails go to; `base_url` has no
    trailing slash and is None without a web server.
    """

    title: str
    sender: Mailbox
    bounce_address: str
    postal_address: str
    list_id: str
    base_url: str | None = None
    language: str = "en"
    direction: str = "ltr"  # of the language: ltr or rtl (HTML `dir`)
    verp: bool = False  # MAIL FROM is an address of each copy's own, made from the bounce address


class Slot(StrEnum):
    """Places in a rendered issue that each reader's copy fills in.

    They are URL-shaped because premailer mangles braces in an href, and live under ``.invalid`` (RFC 2606 section 2),
    which no real link can use. Feed text that holds `SLOT_HOST` is defused before rendering.
    """

    UNSUBSCRIBE = "https://slot.invalid/unsubscribe"
    PREFERENCES = "https://slot.invalid/preferences"
    ADDRESS = "reader@slot.invalid"


SLOT_HOST: Final = "slot.invalid"


@dataclass(frozen=True, slots=True)
class OperatorCopy:
    """The parts that the reader of `ref`, who runs the newsletter, gets: the issue's, and what went wrong with it."""

    ref: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class RenderedIssue:
    """An issue as every reader sees it: subject, HTML inlined once, text part; both parts still hold `Slot`s.

    `operator` has the parts of one reader's copy, when there is something that only the operator should read.
    """

    day: date
    subject: str
    html: str
    text: str
    operator: OperatorCopy | None = None


@dataclass(frozen=True, slots=True)
class FrozenIssue:
    """A rendered issue as the store keeps it: every copy, today's and a retried one, is made from these values alone.

    `frozen_at` (UTC) is the Date of every copy; after `expires_at` (UTC) nothing of it is sent any more.
    """

    id: int
    rendering_id: int
    rendered: RenderedIssue
    publication: Publication
    frozen_at: datetime
    expires_at: datetime
    paused: str | None = None  # why nothing of it is sent until the operator says so
    key_id: str | None = None  # which secret signs its links (see links.py); None: frozen by version 0.1
    templates: str | None = None  # SHA-256 of the templates it was rendered with (hex); None: frozen by version 0.1


@dataclass(frozen=True, slots=True)
class ArchivedIssue:
    """A line of the archive's index: an issue that somebody has got. `frozen_at` is UTC."""

    day: date
    subject: str
    frozen_at: datetime


# --- readers ---------------------------------------------------------------------------------------------------------


class SubscriberStatus(StrEnum):
    """Whether an address gets the next issue. Only ACTIVE does."""

    PENDING = "pending"  # somebody asked on the web, the address has not confirmed
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"  # it bounced, complained, or the operator said so; stays until it confirms anew
    FORGOTTEN = "forgotten"  # erased on request: a keyed hash of the address is all that is left


EVERY_DAY: Final = 0b1111111


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A reader of the list.

    `ref` is random and opaque (16 hex digits): links and Message-IDs are made from it, never from the address.
    `address` is as the reader wrote it, with the domain in its ASCII form; times are UTC. `days` are the weekdays on
    which the reader wants an issue (bit 0 is Monday); none comes before `paused_until`. `consent` says how the reader
    agreed, `reason` why the status is what it is.
    """

    id: int
    ref: str
    address: str
    status: SubscriberStatus
    created_at: datetime
    status_at: datetime
    days: int = EVERY_DAY
    paused_until: date | None = None
    consent: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NewSubscriber:
    """Somebody for the list, as a person or a file tells of him: not only an address, so that an export can come back.

    `status` is what he is there; one who left or is suppressed there must not be mailed here. Times are UTC, None for
    those that nobody knows.
    """

    address: str
    status: SubscriberStatus = SubscriberStatus.ACTIVE
    consent: str = ""
    reason: str = ""
    days: int = EVERY_DAY
    paused_until: date | None = None
    created_at: datetime | None = None
    status_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignUp:
    """Somebody asked on the web for mails to `address`, whose owner has to confirm; `asked_at` is in UTC.

    With `moves`, a reader asked it for a new address of his own.
    """

    id: int  # the subscriber's
    ref: str
    address: str
    asked_at: datetime
    moves: bool


# --- deliveries and their state machine ------------------------------------------------------------------------------


class State(StrEnum):
    """Where one reader's copy of one rendered issue stands. ACCEPTED is the next server's word; never "delivered"."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


# Every allowed move; the store refuses any other. A row is SENDING, committed, before its own final dot (RFC 1047), so
# a crash leaves at most one row per open connection in doubt.
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # WITHDRAWN: the reader left after the issue was frozen. EXPIRED: the issue is too old to be news.
    State.PENDING: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    # back to PENDING: its run stopped, or died, before this copy's turn.
    # REFUSED and DEFERRED without SENDING: the server said so of the envelope, or this copy cannot be made.
    # WITHDRAWN: the operator withdrew the issue while its run had claimed this copy.
    State.CLAIMED: frozenset({State.SENDING, State.PENDING, State.REFUSED, State.DEFERRED, State.WITHDRAWN}),
    # PENDING: the connection was lost before the dot, nothing was handed over.
    # UNCERTAIN: it was lost after the dot, or the process died.
    State.SENDING: frozenset({State.ACCEPTED, State.DEFERRED, State.REFUSED, State.UNCERTAIN, State.PENDING}),
    State.DEFERRED: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.UNCERTAIN: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.ACCEPTED: frozenset(),
    # PENDING: so many were refused in the same way that the readers are not to blame (the issue is paused).
    State.REFUSED: frozenset({State.PENDING}),
    State.WITHDRAWN: frozenset(),
    State.EXPIRED: frozenset(),
}

# A copy that a run may still have to do with.
OPEN: Final = frozenset({State.PENDING, State.CLAIMED, State.SENDING, State.DEFERRED, State.UNCERTAIN})

# Still to be sent by a later run, as long as their issue lives.
OWED: Final = frozenset({State.PENDING, State.CLAIMED, State.DEFERRED})


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of the ledger, claimed by this process: a copy of rendering `rendering_id` for one subscriber."""

    id: int
    rendering_id: int
    subscriber_id: int
    ref: str  # the subscriber's
    address: str  # frozen with the issue
    attempts: int  # finished ones, before this
    doubts: int = 0  # how often nobody knew whether it had arrived


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP carries: reverse-path, one recipient, and the message.

    The message is in `pieces`, most of which are the same objects in every copy, so that copies under way take no room.
    It is ready for the wire: every line ends in CRLF, there is no other CR, LF or NUL, and it is dot-stuffed (RFC 5321
    section 4.5.2); the final dot is not part of it.
    """

    mail_from: str
    rcpt_to: str
    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Of the message, in bytes."""
        return sum(map(len, self.pieces))

    @property
    def message(self) -> bytes:
        """The message as a whole."""
        return b"".join(self.pieces)


class OutcomeKind(StrEnum):
    """What the server said about one recipient."""

    ACCEPTED = "accepted"  # 250 to the final dot
    DEFERRED = "deferred"  # 4xx: later, please
    BLOCKED = "blocked"  # 5xx of policy (RFC 3463 x.7.x): says something about us, nothing about the address
    REFUSED = "refused"  # 5xx: never
    UNCERTAIN = "uncertain"  # the line dropped after the final dot: nobody can know (RFC 1047)
    NOT_SENT = "not-sent"  # the line dropped before the final dot, or 421: nothing was handed over, nobody is charged


# The state each outcome leads to from SENDING.
OUTCOME_STATE: Final[Mapping[OutcomeKind, State]] = {
    OutcomeKind.ACCEPTED: State.ACCEPTED,
    OutcomeKind.DEFERRED: State.DEFERRED,
    OutcomeKind.BLOCKED: State.DEFERRED,
    OutcomeKind.REFUSED: State.REFUSED,
    OutcomeKind.UNCERTAIN: State.UNCERTAIN,
    OutcomeKind.NOT_SENT: State.PENDING,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fact for the ledger: `code` is the SMTP reply code, None when the line dropped; `text` the server's words."""

    kind: OutcomeKind
    code: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What the ledger is to note of a copy whose row is in `source`; `not_before` (UTC) is when it may go again."""

    delivery: Delivery
    source: State
    outcome: Outcome
    not_before: datetime | None = None


# --- what a run reports ----------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    """How a run ended, in one word: it stands on the last line of `run`, in the log and in `status`."""

    NEW_ISSUE = "new-issue"
    ALREADY_SENT = "already-sent"
    ALREADY_RUNNING = "already-running"
    QUIET_DAY = "quiet-day"
    WEEKEND = "weekend"
    STALE = "stale"
    TOO_LATE = "too-late"
    PARTLY_EXPIRED = "partly-expired"
    FILTERED_OUT = "filtered-out"
    NO_SUBSCRIBERS = "no-subscribers"
    DRY_RUN = "dry-run"
    STILL_OWED = "still-owed"
    PAUSED = "paused"
    FEED_FAILED = "feed-failed"
    SEND_FAILED = "send-failed"
    FAILED = "failed"


# The contract with cron (sysexits.h): 0 done or normal, 1 failed, 75 try again later; 78, a wrong configuration, and 2,
# wrong usage, come from errors.py and from click.
VERDICT_EXIT: Final[Mapping[Verdict, int]] = {
    Verdict.NEW_ISSUE: os.EX_OK,
    Verdict.ALREADY_SENT: os.EX_OK,
    Verdict.ALREADY_RUNNING: os.EX_OK,
    Verdict.QUIET_DAY: os.EX_OK,
    Verdict.WEEKEND: os.EX_OK,
    Verdict.FILTERED_OUT: os.EX_OK,
    Verdict.NO_SUBSCRIBERS: os.EX_OK,
    Verdict.DRY_RUN: os.EX_OK,
    Verdict.STILL_OWED: os.EX_TEMPFAIL,
    Verdict.PAUSED: os.EX_TEMPFAIL,
    Verdict.FEED_FAILED: os.EX_TEMPFAIL,
    Verdict.STALE: os.EX_TEMPFAIL,
    Verdict.SEND_FAILED: os.EX_TEMPFAIL,
    Verdict.TOO_LATE: 1,
    Verdict.PARTLY_EXPIRED: 1,
    Verdict.FAILED: 1,
}


@dataclass(frozen=True, slots=True)
class RunReport:
    """The end of a run: its verdict, one sentence that explains it, and the ledger's counts for the issue, if any.

    `exit_code` overrides the verdict's own, for an error that knows better (a wrong password is 78, not 75). A run is
    `idle` when copies are still owed, and it did nothing for them, because none is due yet, or their issue is paused.
    """

    verdict: Verdict
    explanation: str
    day: date | None = None
    counts: Mapping[State, int] = field(default_factory=dict)
    exit_code: int | None = None
    idle: bool = False

    @property
    def exit(self) -> int:
        """The exit code for cron."""
        return VERDICT_EXIT[self.verdict] if self.exit_code is None else self.exit_code


@dataclass(frozen=True, slots=True)
class NoIssue:
    """Why a day has no issue: the verdict, and one sentence that explains it."""

    verdict: Verdict
    explanation: str

    def report(self, day: date) -> RunReport:
        """The end of a run for `day` that made no issue."""
        return RunReport(self.verdict, self.explanation, day)


# --- what comes back -------------------------------------------------------------------------------------------------


class ReportKind(StrEnum):
    """What a mail in the bounce mailbox is."""

    PERMANENT = "permanent"  # a server has given up on an address
    TEMPORARY = "temporary"  # it still tries
    COMPLAINT = "complaint"  # a reader pressed "this is spam" (RFC 5965)
    UNSUBSCRIBE = "unsubscribe"  # a reader leaves by mail
    AUTO_REPLY = "auto-reply"  # a machine answers for a person (RFC 3834)
    OTHER = "other"  # a person's mail, a receipt, a report of success
    BROKEN = "broken"  # it looks like a report, and cannot be understood


class Weight(StrEnum):
    """What a report says against the address it is about."""

    HARD = "hard"
    SOFT = "soft"
    COMPLAINT = "complaint"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Strike:
    """A report about a reader: its kind, its status (RFC 3463, may be empty), and the day of the issue it is about."""

    kind: ReportKind
    status: str
    day: date


@dataclass(frozen=True, slots=True)
class CopyReference:
    """The copy that a report is about, as something in it proves: its reader's ref, and the issue's day if known."""

    ref: str
    day: date | None = None


@dataclass(frozen=True, slots=True)
class BouncePolicy:
    """How many issues must fail until a reader is suppressed: one hard failure, three soft ones in 14 days.

    A limit of 0 never suppresses.
    """

    hard: int = 1
    soft: int = 3
    soft_days: int = 14
    complaint: int = 1
