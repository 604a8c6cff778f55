"""Status codes (RFC 3463): which one a report means, what it says against the address, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from newsletter.bounces.phrases import any_of
from newsletter.model import BouncePolicy, ReportKind, Strike, SubscriberStatus, Weight

CODE: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")

# What words mean where no code is given, or only x.0.0. The first that fits; 5.7.0 is policy: it speaks of us.
_MEANINGS: Final = (
    (
        "5.7.0",
        any_of(
            r"spam|virus|\bRBL\b|reputation|dmarc|\bspf\b|dkim|policy|prohibited|unauthenticated|administrative",
            r"blocked|(?:black|block) ?list",
            r"not authori[sz]ed|access denied|relay(?:ing)? (?:is )?(?:denied|not permitted)",
            r"content (?:rejected|filter)|sender (?:address )?rejected",
        ),
    ),
    (
        "5.2.2",
        any_of(
            r"quota|full mailbox|mailfolder is full|mailbox[^.\n]{0,30} (?:is )?full|one full|一杯",
            r"over ?(?:the )?(?:storage )?limit|insufficient (?:disk|storage)|out of storage|too many messages",
            r"exceeded[^.\n]{0,30}(?:limit|storage)",
        ),
    ),
    ("5.3.4", any_of(r"too (?:large|big)|size limit|message size|exceeds? (?:the )?(?:maximum|size)")),
    (
        "5.1.1",
        any_of(
            r"(?:unknown|no such|invalid|bad|non-?existent) (?:user|recipient|address|mailbox|account|local)",
            r"(?:user|recipient|address|mailbox|account)[^\n]{0,60}"
            r"(?:unknown|invalid|no longer|not (?:found|exist|listed|known|recogni[sz]ed)|"
            r"does(?: not|n't) exist|doesn't have)",
            r"no mailbox here|not our customer|no such",
        ),
    ),
    ("5.2.1", any_of(r"disabled|inactive|suspended|deactivated|expired|closed")),
    (
        "5.1.2",
        any_of(
            r"(?:host|domain)[^.\n]{0,30}(?:unknown|not found|does(?: not|n't) exist)",
            r"(?:unknown|no such|bad) (?:host|domain)|couldn't find any host|name or service not known|nxdomain",
            r"non-existent (?:hosts?|domain)",
        ),
    ),
    (
        "4.4.1",
        any_of(
            r"timed? ?out|connection refused|(?:could|did) ?n[o']t connect|no route to host|retry (?:time|timeout)",
            r"greylist|temporar|try again|deferred",
        ),
    ),
)

# What a status says of the address (RFC 3463 section 3; 5.1.10 is RFC 7505's null MX). The longest prefix counts.
_WEIGHTS: Final[Mapping[str, Weight]] = {
    "5.0": Weight.HARD,  # other: the server has no finer word for "permanent"
    "5.1": Weight.HARD,  # the address: no such mailbox, no such system, bad syntax, moved
    "5.1.5": Weight.NONE,  # the address is valid
    "5.1.7": Weight.NONE,  # the *sender's* address: bad syntax
    "5.1.8": Weight.NONE,  # the *sender's* system
    "5.1.9": Weight.NONE,  # relayed to a system that gives no reports (RFC 3886)
    "5.2": Weight.SOFT,  # the mailbox: full, too small, a list that does not expand
    "5.2.1": Weight.HARD,  # disabled
    "5.3": Weight.SOFT,  # the mail system: full, too big a message
    "5.4": Weight.SOFT,  # the network: no answer, no route, loops
    "5.5": Weight.SOFT,  # the protocol; some hosts write 5.5.0 for any refusal
    "5.6": Weight.NONE,  # the content: it is ours
    "5.7": Weight.NONE,  # security and policy: it is about us
    "5": Weight.SOFT,  # a subject that no RFC knows
    "4.7": Weight.NONE,  # policy again: we are too many, too quick, too new
    "4": Weight.SOFT,  # tried for days, and given up
}


def exact(status: str, words: str) -> str:
    """A finer status where `words` hold one: many reports say 5.0.0 and quote the server's own 5.1.1.

    Empty when neither tells anything. The class of `status`, its first digit, stays.
    """
    if status and not status.endswith(".0.0"):
        return status
    codes = [code for code in CODE.findall(words) if code[0] in "45"]
    finer = [code for code in codes if not code.endswith(".0")] + [code for code in codes if code[2] != "0"]
    found = finer[0] if finer else ""
    found = found or next((meaning for meaning, pattern in _MEANINGS if pattern.search(words)), "")
    if not found:
        return status or (codes[0] if codes else "")
    return f"{status[0]}{found[1:]}" if status else found


def weigh(kind: ReportKind, status: str) -> Weight:
    """What a report of `kind` with `status` says against the address it is about."""
    if kind is ReportKind.COMPLAINT:
        return Weight.COMPLAINT
    if kind is not ReportKind.PERMANENT:
        return Weight.NONE  # a delay is followed by a failure, or by a delivery
    parts = (status or "5.0").split(".")
    keys = (".".join(parts[:length]) for length in (3, 2, 1))
    return next((_WEIGHTS[key] for key in keys if key in _WEIGHTS), Weight.NONE)


def decide(strikes: Sequence[Strike], policy: BouncePolicy) -> SubscriberStatus | None:
    """What becomes of a reader for `strikes`, the newest last, which alone is new; None: nothing. Pure.

    Each weight has its own limit; strikes of one issue count once, and soft ones only within `policy.soft_days` of the
    newest. A limit of 0 never suppresses.
    """
    newest = strikes[-1]
    if newest.kind is ReportKind.UNSUBSCRIBE:
        return SubscriberStatus.UNSUBSCRIBED
    weight = weigh(newest.kind, newest.status)
    limit = {Weight.HARD: policy.hard, Weight.SOFT: policy.soft, Weight.COMPLAINT: policy.complaint}.get(weight)
    if not limit:
        return None
    days = {strike.day for strike in strikes if weigh(strike.kind, strike.status) is weight}
    if weight is Weight.SOFT:
        days = {day for day in days if abs((newest.day - day).days) < policy.soft_days}
    return SubscriberStatus.SUPPRESSED if len(days) >= limit else None
