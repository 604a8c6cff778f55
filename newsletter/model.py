"""The values that pass from feed to inbox, and the rules about them as tables.

Frozen dataclasses and enumerations only: this module imports no other module of the package and does no I/O.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

# --- what a feed gives -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper as its feed described it: plain text without HTML, each run of white space made one space.

    `key` is the identity by which duplicates are joined: ``arxiv:2401.01234`` (without version), ``doi:10.1000/x``,
    else ``guid:...`` or ``link:...`` as its feed identifies the entry, else ``title:...``. `aliases` are all guid: and
    link: keys that the paper has. Every URL is absolute, with scheme http or https. An unknown figure is None; 0 is a
    known zero.
    """

    key: str
    title: str
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    url: str | None = None
    abstract: str = ""
    authors: tuple[str, ...] = ()
    author_count: int = 0  # may exceed len(authors): some feeds give the number and not all the names
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
    summary: str | None = None  # the machine-written summary that the feed gives (`ai_summary` of Hugging Face)
    keywords: tuple[str, ...] = ()
    source: str = ""  # display name of the feed it came from
    also: tuple[str, ...] = ()  # display names of other feeds that list it

    @property
    def names(self) -> tuple[str, ...]:
        """Keys under which this paper is remembered: its own, its aliases, and its title's for other kinds."""
        if self.key.startswith(BY_TITLE):
            return (self.key, *self.aliases)
        prefix = _LINKED if self.key.startswith(_BY_ENTRY) else _TITLED
        return tuple(dict.fromkeys((self.key, *self.aliases, *_titled(self.title, prefix))))

    @property
    def lookup_keys(self) -> tuple[str, ...]:
        """Keys to look up among other papers' `names`.

        Two papers that both have an arXiv id or DOI never match by title, nor do two that both have a link or guid.
        Stores of version 0.2 know papers with a link, or with a DOI in it, only by their title. So that is looked up
        too, unless it is one that many papers have.
        """
        if self.key.startswith(BY_TITLE):
            by_title = (*_titled(self.title, _TITLED), *_titled(self.title, _LINKED))
        elif self.key.startswith(_BY_ENTRY):
            by_title = (*_titled(self.title, _TITLED), *_former(self.title))
        else:
            by_title = (*_titled(self.title, _LINKED), *_former(self.title))
        return tuple(dict.fromkeys((self.key, *self.aliases, *by_title)))


BY_TITLE: Final = "title:"
BY_LINK: Final = "link:"
BY_GUID: Final = "guid:"
_BY_ENTRY: Final = (BY_LINK, BY_GUID)
_TITLED: Final = "titled:"  # the title of a paper with an arXiv id or DOI
_LINKED: Final = "linked:"  # the title of a paper with a link or guid only
_DISTINCT: Final = 16  # least number of letters and digits for a title to identify a paper


@lru_cache(maxsize=1_024)  # a title is asked for many times: of each listing, as a name and as a key to look up
def title_key(title: str) -> str:
    """The key of a paper without an id: its title's letters and digits, case folded.

    A title with fewer than 16 of them, such as "C++", keeps its other characters too.
    """
    folded = unicodedata.normalize("NFKC", title).casefold()
    letters = "".join(filter(str.isalnum, folded))
    return BY_TITLE + (letters if len(letters) >= _DISTINCT else folded)


# Titles that journals give to many papers (letters only, lower case, as in `title_key`). They identify no paper.
_COMMON_TITLES: Final = frozenset(
    """addendum announcement announcements bookreview bookreviews commentary comment contents contributors correction
    corrections corrigendum corrigenda cover coverimage coverpicture discussion editorial editorialboard editorsnote
    errata erratum expressionofconcern foreword frontmatter backmatter graphicalabstract highlights inmemoriam
    inthisissue introduction issueinformation letter letters lettertotheeditor masthead news obituary perspective
    preface publishersnote publishererratum publishercorrection reply response retraction retractionnote review
    tableofcontents thisweek titlepage""".split()
)


def _former(title: str) -> tuple[str, ...]:
    """The key that version 0.2 gave a paper without an arXiv id or DOI; empty for a title that many papers have."""
    key = title_key(title)
    letters = "".join(filter(str.isalpha, key.removeprefix(BY_TITLE)))
    return () if letters in _COMMON_TITLES else (key,)


def _titled(title: str, prefix: str) -> tuple[str, ...]:
    """The title's letters and digits after `prefix`; empty if the title is too short to identify a paper."""
    letters = title_key(title).removeprefix(BY_TITLE)
    return (prefix + letters,) if len(letters) >= _DISTINCT else ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A feed entry that could not be used: its position (from 1) and the reason, in words for the operator."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's content: its papers in the feed's order, and the entries that had to be skipped."""

    papers: tuple[Paper, ...]
    skipped: tuple[Skipped, ...] = ()
    title: str | None = None

    @property
    def has_votes(self) -> bool:
        """Whether any paper has an upvote count. A feed without votes keeps its order."""
        return any(paper.upvotes is not None for paper in self.papers)


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A feed's last response with its validators (RFC 9110 section 8.8): the body to use after 304 Not Modified."""

    url: str
    body: bytes
    content_type: str | None
    etag: str | None
    last_modified: str | None
    fetched_at: datetime  # UTC


# --- the day's issue -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LateRiser:
    """A paper of an earlier `day` that was below that issue's cut and is above it now.

    `gained` is how many upvotes it has won since that issue.
    """

    paper: Paper
    day: date
    gained: int


class ReasonKind(StrEnum):
    """Which of a reader's choices a paper fits."""

    AUTHOR = "author"
    TOPIC = "topic"
    ORGANISATION = "organisation"
    CATEGORY = "category"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a paper is in a reader's edition: the kind of their choice, and its `words`.

    The words are the topic, the category or the words of a paper to see more like, as the reader wrote them, or the
    name of the author or organisation as the paper has it.
    """

    kind: ReasonKind
    words: str


@dataclass(frozen=True, slots=True)
class Gain:
    """The upvotes that a paper has won since an earlier issue, that of `day`, recorded it."""

    day: date
    votes: int


@dataclass(frozen=True, slots=True)
class Issue:
    """The papers of a day, chosen and ranked: `papers[0]` is number 1. It says nothing of layout or recipients."""

    day: date
    papers: tuple[Paper, ...]
    ranked_by_votes: bool
    by_source: bool = False  # one section per source, each ranked on its own; `papers` holds them in sequence
    left_out: int = 0  # papers of the day below the cut (max_papers) or filtered out
    skipped: int = 0  # feed entries that could not be read
    seen: int = 0  # papers of the day left out because an earlier issue showed them
    pinned: Mapping[str, str] = field(default_factory=dict)  # reason for a pinned paper, by its key
    reasons: Mapping[str, Reason] = field(default_factory=dict)  # why a paper is in a reader's edition, by its key
    rising: tuple[LateRiser, ...] = ()
    since: date | None = None  # first of several merged days, when days without a run are caught up
    gains: Mapping[str, Gain] = field(default_factory=dict)  # change in votes, by the paper's key
    notes: tuple[str, ...] = ()  # problems of the run, shown in the operator's copy only
    own: bool = False  # what a reader chose, not the main edition: its papers have links to more and less like them


@dataclass(frozen=True, slots=True)
class Span:
    """Which earlier days an issue covers besides its own: all from `since` on, or with `catch_up` those without a run.

    With `again`, as in a weekly issue, it may repeat papers that issues from `since` on have shown.
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
        """The part of the address after the @."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Publication:
    """The publisher's data for masthead, footer and headers, frozen with each issue so that a resent copy is identical.

    `sender` is the From of each copy; `bounce_address` is the envelope's MAIL FROM and the address for unsubscribe
    mails; `list_id` is a List-Id (RFC 2919) without brackets; `base_url` has no trailing slash and is None without a
    web server.
    """

    title: str
    sender: Mailbox
    bounce_address: str
    postal_address: str
    list_id: str
    base_url: str | None = None
    language: str = "en"
    direction: str = "ltr"  # writing direction of the language: ltr or rtl (HTML `dir`)
    verp: bool = False  # MAIL FROM is unique to each copy, made from the bounce address (VERP)


class Slot(StrEnum):
    """Placeholders in a rendered issue that are replaced in each subscriber's copy.

    They look like URLs because premailer changes braces in an href. Their domain is under ``.invalid`` (RFC 2606
    section 2), so no working link contains it. `SLOT_HOST` in a feed's text is changed before rendering.
    """

    UNSUBSCRIBE = "https://slot.invalid/unsubscribe"
    PREFERENCES = "https://slot.invalid/preferences"
    FEEDBACK = "https://slot.invalid/feedback"
    ADDRESS = "reader@slot.invalid"


SLOT_HOST: Final = "slot.invalid"


@dataclass(frozen=True, slots=True)
class RenderedIssue:
    """An issue as subject, HTML part (CSS inlined) and text part, with `Slot`s that each subscriber's copy fills."""

    day: date
    subject: str
    html: str
    text: str


class Mark(StrEnum):
    """Placeholders in a `Piece`, where editions differ. They are control characters, which no text has."""

    RANK = "\x91"  # in text once for each digit
    REASON = "\x92"
    SUBJECT = "\x93"
    PREHEADER = "\x94"
    COUNT = "\x95"
    MINUTES = "\x96"
    MORE = "\x97"
    GLANCE = "\x98"  # the lines of the list at the top
    PAPERS = "\x99"
    RISING = "\x9a"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a mail that editions share, as inlined HTML and as text: a paper, or what is around all papers."""

    html: str
    text: str


NO_LINE: Final = -1


@dataclass(frozen=True, slots=True)
class JoinedEdition:
    """An edition as numbers of the issue's pieces, and the words that it has instead of `Mark`s.

    `frames` is the piece whose HTML is around the papers, and the one whose text is. `papers` has for each paper its
    piece, that of its line in the list at the top (NO_LINE: none), and its rank; `reasons` says why it is there.
    `rising` has the pieces of the late risers.
    """

    subject: str
    preheader: str
    count: str
    minutes: str
    more: str
    frames: tuple[int, int]
    papers: tuple[tuple[int, int, int], ...]
    rising: tuple[int, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenderedEdition:
    """An edition of an issue beside the main one, and the ids of the subscribers who get it.

    `papers` are the keys of the papers that it shows.
    """

    rendered: RenderedIssue | JoinedEdition
    papers: tuple[str, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Editions:
    """What readers get of an issue who do not get the main edition at once; who is not named here gets that.

    `pieces` are those that the editions of `made` are joined from, by their numbers.

    No paper fits the subscribers of the ids `unfitting`, and those `resting` get a later issue: neither gets a copy.
    `hours` has the hour (0 to 23) and the IANA time zone at which a subscriber wants the mail, by their id.
    """

    made: tuple[RenderedEdition, ...] = ()
    pieces: tuple[Piece, ...] = ()
    unfitting: frozenset[int] = frozenset()
    resting: frozenset[int] = frozenset()
    hours: Mapping[int, tuple[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrozenIssue:
    """A rendered issue as the store keeps it. Every copy, sent for the first time or again, is made from it alone.

    `frozen_at` (UTC) is the Date of every copy; after `expires_at` (UTC) no copy is sent.
    """

    id: int
    rendering_id: int
    rendered: RenderedIssue
    publication: Publication
    frozen_at: datetime
    expires_at: datetime
    paused: str | None = None  # why sending waits for the operator; None if it does not
    key_id: str | None = None  # `Links.key_id` of the secret that signs its links; None if frozen by version 0.1
    templates: str | None = None  # SHA-256 of the templates it was rendered with (hex); None if frozen by version 0.1


@dataclass(frozen=True, slots=True)
class ArchivedIssue:
    """An entry of the archive's index: an issue of which at least one copy was accepted. `frozen_at` is UTC."""

    day: date
    subject: str
    frozen_at: datetime


@dataclass(frozen=True, slots=True)
class FoundPaper:
    """A paper that a search in the archive found: the day of its issue, and its place there, from 1.

    `authors` are the first three names.
    """

    day: date
    place: int
    title: str
    authors: str


# --- readers ---------------------------------------------------------------------------------------------------------


class SubscriberStatus(StrEnum):
    """Where a subscriber stands. Only ACTIVE ones get issues."""

    PENDING = "pending"  # a sign-up on the web that the address's owner has not confirmed
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"  # after bounces, a complaint or the operator's decision, until they confirm again
    FORGOTTEN = "forgotten"  # erased on request: only a keyed hash of the address is kept


EVERY_DAY: Final = 0b1111111


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A person on the list.

    `ref` is 16 random hex digits; links and Message-IDs are made from it and not from the address. `address` keeps the
    local part as they wrote it, with the domain in ASCII form. Times are UTC. `days` is a bit mask of the weekdays on
    which they want an issue (bit 0 is Monday); no issue goes to them before `paused_until`. `consent` says how they
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
    """A person to add to the list, with all that an exported file says of them, so that an export can be imported.

    `status` is their status in the file: whoever left or is suppressed there is not mailed here either. Times are UTC,
    None if unknown. `choice` is what they chose (issue.choice.Choice.written), empty if nothing.
    """

    address: str
    status: SubscriberStatus = SubscriberStatus.ACTIVE
    consent: str = ""
    reason: str = ""
    days: int = EVERY_DAY
    paused_until: date | None = None
    created_at: datetime | None = None
    status_at: datetime | None = None
    choice: str = ""


class RequestKind(StrEnum):
    """What somebody asked for on the web that an address has to confirm."""

    SIGN_UP = "sign-up"
    MOVE = "move"  # a subscriber wants their mails at that address


@dataclass(frozen=True, slots=True)
class SignUp:
    """A request on the web for mails to `address`, which its owner has to confirm. `asked_at` is UTC.

    With `moves`, a subscriber asked for their mails to go to this new address. `ref` (16 hex digits) is that of the
    request's links.
    """

    id: int  # of the subscriber, or of the move
    ref: str
    address: str
    asked_at: datetime
    moves: bool


@dataclass(frozen=True, slots=True)
class MoveNotice:
    """A mail that is due to the old `address` of a reader whose mails now go to `new_address`."""

    id: int  # of the move
    ref: str  # of the move, for the link to undo it
    address: str
    new_address: str


# --- deliveries and their state machine ------------------------------------------------------------------------------


class State(StrEnum):
    """State of one subscriber's copy of an issue. ACCEPTED means that the next server took it, not that it arrived."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


# The allowed transitions; the store refuses all others. A row is committed as SENDING before the final dot of its DATA,
# so a crash leaves at most one uncertain copy per open connection (RFC 1047 describes the gap).
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # WITHDRAWN: the subscriber left after the issue was frozen. EXPIRED: the issue has outlived `issue.lifetime`.
    State.PENDING: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    # PENDING: the run ended before this copy was begun.
    # REFUSED, DEFERRED: the server's reply to MAIL or RCPT, or this copy cannot be made.
    # WITHDRAWN: the operator withdrew the issue, or the subscriber left, before this copy was begun.
    State.CLAIMED: frozenset({State.SENDING, State.PENDING, State.REFUSED, State.DEFERRED, State.WITHDRAWN}),
    # PENDING: the connection was lost before the final dot, so the server has no message.
    # UNCERTAIN: the connection was lost after the final dot, or the process died.
    State.SENDING: frozenset({State.ACCEPTED, State.DEFERRED, State.REFUSED, State.UNCERTAIN, State.PENDING}),
    State.DEFERRED: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.UNCERTAIN: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.ACCEPTED: frozenset(),
    # PENDING: many copies were refused alike, so the fault is not the recipients' (the issue is paused).
    State.REFUSED: frozenset({State.PENDING}),
    State.WITHDRAWN: frozenset(),
    State.EXPIRED: frozenset(),
}

# States that a later run may still change.
OPEN: Final = frozenset({State.PENDING, State.CLAIMED, State.SENDING, State.DEFERRED, State.UNCERTAIN})

# States of copies that a later run sends, unless their issue expires first.
OWED: Final = frozenset({State.PENDING, State.CLAIMED, State.DEFERRED})


class Delivery(NamedTuple):
    """A ledger row that this process has claimed: one subscriber's copy of rendering `rendering_id`."""

    id: int
    rendering_id: int
    subscriber_id: int
    ref: str  # of the subscriber
    address: str  # as it was when the issue was frozen
    attempts: int  # number of finished attempts
    doubts: int = 0  # number of attempts with the outcome UNCERTAIN


class Envelope(NamedTuple):
    """What SMTP carries (RFC 5321 section 2.3.1): reverse-path, one recipient, and the message.

    `pieces` are the message's bytes in order. Copies of an issue share most of these objects, to save memory. The
    message is ready to send: each line ends in CRLF, there is no other CR, LF or NUL, and it is dot-stuffed (section
    4.5.2). The final dot is not included.
    """

    mail_from: str
    rcpt_to: str
    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Length of the message in bytes, dot-stuffing included."""
        return sum(map(len, self.pieces))

    @property
    def message(self) -> bytes:
        """The message as a whole."""
        return b"".join(self.pieces)


class OutcomeKind(StrEnum):
    """Outcome of one attempt to hand over one copy."""

    ACCEPTED = "accepted"  # 250 to the final dot
    DEFERRED = "deferred"  # 4xx: a temporary failure
    BLOCKED = "blocked"  # 5xx that may be about the sender or the server and is not about the address
    SENDER = "sender"  # a refusal of the sender (quota, rate, reputation): not counted as an attempt
    REFUSED = "refused"  # any other 5xx: a permanent failure
    UNCERTAIN = "uncertain"  # the connection was lost after the final dot (RFC 1047)
    NOT_SENT = "not-sent"  # the connection was lost before the final dot, or 421: not counted as an attempt


# The state to which each outcome takes a copy.
OUTCOME_STATE: Final[Mapping[OutcomeKind, State]] = {
    OutcomeKind.ACCEPTED: State.ACCEPTED,
    OutcomeKind.DEFERRED: State.DEFERRED,
    OutcomeKind.BLOCKED: State.DEFERRED,
    OutcomeKind.SENDER: State.DEFERRED,
    OutcomeKind.REFUSED: State.REFUSED,
    OutcomeKind.UNCERTAIN: State.UNCERTAIN,
    OutcomeKind.NOT_SENT: State.PENDING,
}

# Outcomes that say nothing about the copy: they do not count as an attempt.
UNCHARGED: Final = frozenset({OutcomeKind.SENDER, OutcomeKind.NOT_SENT})


class Outcome(NamedTuple):
    """An outcome with its evidence: the SMTP reply `code` (None if the connection was lost) and the reply's `text`."""

    kind: OutcomeKind
    code: int | None = None
    text: str = ""


class Result(NamedTuple):
    """An outcome to record for a copy whose row is in state `source`.

    `not_before` (UTC) is the earliest time of the next attempt; None if it may be at once or there is none.
    """

    delivery: Delivery
    source: State
    outcome: Outcome
    not_before: datetime | None = None


# --- what a run reports ----------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    """How a run ended, in one word. The last line of `run`, the log and `status` show it."""

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


# Exit codes for cron (sysexits.h): 0 done or normal, 1 failed, 75 try again later. Two more are not a verdict's: 78 for
# a wrong configuration is set in errors.py, 2 for wrong usage by click.
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
    """The result of a run: its verdict, a sentence that explains it, and how many copies are in which state.

    `exit_code` replaces the verdict's own where an error is more precise (a wrong password is 78, not 75). `idle` means
    that copies are owed and this run tried none, because none is due yet or their issue is paused.
    """

    verdict: Verdict
    explanation: str
    day: date | None = None
    counts: Mapping[State, int] = field(default_factory=dict)
    exit_code: int | None = None
    idle: bool = False

    @property
    def exit(self) -> int:
        """The exit code of the command."""
        return VERDICT_EXIT[self.verdict] if self.exit_code is None else self.exit_code


@dataclass(frozen=True, slots=True)
class NoIssue:
    """The reason why a day has no issue: the verdict, and one sentence that explains it."""

    verdict: Verdict
    explanation: str

    def report(self, day: date) -> RunReport:
        """The report of a run for `day` that made no issue."""
        return RunReport(self.verdict, self.explanation, day)


# --- what comes back -------------------------------------------------------------------------------------------------


class ReportKind(StrEnum):
    """Kind of a mail in the bounce mailbox."""

    PERMANENT = "permanent"  # a server has given up (action "failed", RFC 3464 section 2.3.3, or words to that effect)
    TEMPORARY = "temporary"  # a server still tries (action "delayed")
    COMPLAINT = "complaint"  # the recipient marked a copy as spam (RFC 5965)
    UNSUBSCRIBE = "unsubscribe"  # a request to leave the list
    AUTO_REPLY = "auto-reply"  # an automatic answer such as an absence notice (RFC 3834)
    OTHER = "other"  # a person's mail, a read receipt, a report of success
    BROKEN = "broken"  # it looks like a report but cannot be parsed


class Weight(StrEnum):
    """How a report counts against the address it is about."""

    HARD = "hard"
    SOFT = "soft"
    COMPLAINT = "complaint"
    NONE = "none"


class SuppressionState(StrEnum):
    """State of a decision to suppress a subscriber for bounces or refusals."""

    WAITING = "waiting"  # decided by a run that has not ended
    HELD = "held"  # the brake waits for the operator
    DONE = "done"  # carried out without the operator
    CONFIRMED = "confirmed"  # carried out because the operator confirmed it
    DROPPED = "dropped"  # no longer justified, or discarded by the operator


@dataclass(frozen=True, slots=True)
class Strike:
    """A report about a subscriber: its kind, what it counts as, and the day of the issue that bounced."""

    kind: ReportKind
    weight: Weight
    day: date


@dataclass(frozen=True, slots=True)
class CopyReference:
    """The copy that a report is provably about: its subscriber's ref, and the issue's day if known."""

    ref: str
    day: date | None = None


@dataclass(frozen=True, slots=True)
class BouncePolicy:
    """How many issues must bounce before a subscriber is suppressed: by default one hard, or three soft in 14 days.

    A limit of 0 never suppresses. `soft_days` is in calendar days.
    """

    hard: int = 1
    soft: int = 3
    soft_days: int = 14
    complaint: int = 1
