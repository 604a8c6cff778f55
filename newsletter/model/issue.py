"""An issue at each moment of its way: chosen, rendered, frozen with its publication, archived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from newsletter.model.papers import Paper


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
    own: bool = False  # what a reader chose, not the main edition
    feedback: bool = True  # whether the papers of an own edition can have links to more and less like them


class IssuePapers(NamedTuple):
    """The papers that are kept with an issue when it is frozen.

    `shown` are those that it shows, which no later issue is to show again; `offered` are all it was made from, by the
    day they were listed on. `contents` is the issue as its page in the archive shows it, with LaTeX as text; without it
    the page is the mail. `candidates` is the issue with all papers that editions can be picked from.
    """

    shown: Sequence[Paper] = ()
    offered: Mapping[date, Sequence[Paper]] = MappingProxyType({})
    contents: Issue | None = None
    candidates: Issue | None = None


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
