"""The values that pass from feed to inbox, and the rules about them as tables: one file for each subject.

papers.py       a paper as its feed lists it
issue.py        an issue: chosen, rendered, frozen, archived
editions.py     what readers who chose get instead of the main edition
subscribers.py  the people on the list
deliveries.py   a subscriber's copy of an issue, and the table of its states
runs.py         how a run ended
bounces.py      the mails that come back

Frozen dataclasses, named tuples and enumerations only: this room imports no other of the package and does no I/O. Other
rooms import its names from here.
"""

from newsletter.model.bounces import BouncePolicy, CopyReference, ReportKind, Strike, SuppressionState, Weight
from newsletter.model.deliveries import (
    OPEN,
    OUTCOME_STATE,
    OWED,
    TRANSITIONS,
    UNCHARGED,
    Delivery,
    Envelope,
    Outcome,
    OutcomeKind,
    Result,
    State,
)
from newsletter.model.editions import NO_LINE, Editions, JoinedEdition, Mark, Piece, RenderedEdition
from newsletter.model.issue import (
    SLOT_HOST,
    ArchivedIssue,
    FoundPaper,
    FrozenIssue,
    Gain,
    Issue,
    IssuePapers,
    LateRiser,
    Mailbox,
    Publication,
    Reason,
    ReasonKind,
    RenderedIssue,
    Slot,
    Span,
)
from newsletter.model.papers import (
    BY_GUID,
    BY_LINK,
    BY_TITLE,
    CachedResponse,
    Paper,
    ParsedFeed,
    Skipped,
    key_kind,
    title_key,
)
from newsletter.model.runs import VERDICT_EXIT, NoIssue, RunReport, Verdict
from newsletter.model.subscribers import (
    EVERY_DAY,
    MoveNotice,
    NewSubscriber,
    RequestKind,
    SignUp,
    Subscriber,
    SubscriberStatus,
)

__all__ = [
    "BY_GUID",
    "BY_LINK",
    "BY_TITLE",
    "EVERY_DAY",
    "NO_LINE",
    "OPEN",
    "OUTCOME_STATE",
    "OWED",
    "SLOT_HOST",
    "TRANSITIONS",
    "UNCHARGED",
    "VERDICT_EXIT",
    "ArchivedIssue",
    "BouncePolicy",
    "CachedResponse",
    "CopyReference",
    "Delivery",
    "Editions",
    "Envelope",
    "FoundPaper",
    "FrozenIssue",
    "Gain",
    "Issue",
    "IssuePapers",
    "JoinedEdition",
    "LateRiser",
    "Mailbox",
    "Mark",
    "MoveNotice",
    "NewSubscriber",
    "NoIssue",
    "Outcome",
    "OutcomeKind",
    "Paper",
    "ParsedFeed",
    "Piece",
    "Publication",
    "Reason",
    "ReasonKind",
    "RenderedEdition",
    "RenderedIssue",
    "ReportKind",
    "RequestKind",
    "Result",
    "RunReport",
    "SignUp",
    "Skipped",
    "Slot",
    "Span",
    "State",
    "Strike",
    "Subscriber",
    "SubscriberStatus",
    "SuppressionState",
    "Verdict",
    "Weight",
    "key_kind",
    "title_key",
]
