"""What a report counts as, and what the reports about a reader lead to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from newsletter.bounces.incoming import redacted
from newsletter.bounces.values import BounceReport, FailedRecipient, Proof
from newsletter.model import BouncePolicy, ReportKind, Strike, SubscriberStatus, Weight
from newsletter.replies import Concern, Judgement, Stage, judge

# A status code of RFC 3463, and an SMTP reply code, in a server's words.
CODE: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_REPLY: Final = re.compile(r"(?<![\w.:/-])([45]\d\d)(?=[ -]|$)")

# Two words in a row, in any script: words that a person could read.
WORDED: Final = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,}+[^\w\n]++[^\W\d_]{2}|[^\x00-\x7f]{4,}")

# What a failed delivery counts as, by whom the server's words concern and whether they are final. Words about the
# sender, a server or the message say nothing against a reader, and neither do words that nobody understands.
_WEIGHTS: Final[Mapping[tuple[Concern, bool], Weight]] = {
    (Concern.RECIPIENT, True): Weight.HARD,
    (Concern.RECIPIENT, False): Weight.SOFT,
    (Concern.MOMENT, True): Weight.SOFT,
    (Concern.MOMENT, False): Weight.SOFT,
}


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a report counts as, and the rule of newsletter/replies that says so; empty where none was asked."""

    weight: Weight
    rule: str = ""


def exact(status: str, words: str) -> str:
    """The finer code of `status` and `words`: many reports say 5.0.0 and quote the server's own 5.1.1.

    Empty when there is no code in either. The class of `status`, its first digit, stays.
    """
    if status and not status.endswith(".0.0"):
        return status
    codes = [code for code in CODE.findall(words) if code[0] in "45"]
    finer = [code for code in codes if not code.endswith(".0")] + [code for code in codes if code[2] != "0"]
    if not finer:
        return status or (codes[0] if codes else "")
    return f"{status[0]}{finer[0][1:]}" if status else finer[0]


def weigh(kind: ReportKind, failure: FailedRecipient, proof: Proof = Proof.COPY) -> Weighed:
    """What a report of `kind` says against the address of `failure`.

    A mail that is tied to a copy by a mere mention counts as soft at most, and as no complaint: any answer to a digest
    mentions the copy.
    """
    if kind is ReportKind.COMPLAINT:
        return Weighed(Weight.COMPLAINT if proof is Proof.COPY else Weight.NONE)
    if kind is not ReportKind.PERMANENT:
        return Weighed(Weight.NONE)  # a delay is followed by a failure, or by a delivery
    judgement = _judge(failure)
    weight = _WEIGHTS.get((judgement.concern, judgement.for_good), Weight.NONE)
    worded = _worded(failure)
    if judgement.concern is Concern.UNKNOWN and failure.status[:2] in ("4.", "5.") and not worded:
        weight = Weight.SOFT  # the report says no more than that it failed
    # A code beside words that nobody knows is not sure: hosts write 5.1.1 about the sender's quota, too.
    sure = proof is Proof.COPY and (judgement.certain or not worded)
    if weight is Weight.HARD and not sure:
        weight = Weight.SOFT
    return Weighed(weight, judgement.rule)


# Cisco's Email Security puts words of its own, made from the code alone, before the server's: "5.1.0 - Unknown address
# error 550-'the server's words'". They say "unknown address" of any refusal at RCPT.
_WRAPPED: Final = re.compile(r"[45]\.[\dx]\.\d{1,3} - [^'\[]{3,60} ([45]\d\d[- ])\[?'(.*)'")


# A heading of reports, such as "Undeliverable address: ...", which says nothing of the reason.
_HEADING: Final = re.compile(r"\bundeliver(?:able|ed)\b", re.IGNORECASE)


def _judge(failure: FailedRecipient) -> Judgement:
    """The judgement of the table of replies. Addresses are taken out first: their letters are no words of a server."""
    words = _HEADING.sub("", _WRAPPED.sub(r"\1\2", redacted(failure.words)))
    reply = _REPLY.search(words)
    code = int(reply.group(1)) if reply else None
    text = words if failure.status and failure.status in words else f"{failure.status} {words}".strip()
    return judge(Stage.REPORT, code, text)


def _worded(failure: FailedRecipient) -> bool:
    return WORDED.search(redacted(failure.words).replace("ADDRESS", "")) is not None


def weigh_report(report: BounceReport, proof: Proof = Proof.COPY) -> tuple[FailedRecipient, Weighed]:
    """The failure of a report that is about the copy it returns, and what it counts as.

    A copy has one reader. Of several failures it is the one of an address that the returned message was sent to, else
    the one that counts least.
    """
    meant = {address.casefold() for address in report.evidence.addresses}
    weighed = [(failure, weigh(report.kind, failure, proof)) for failure in report.failures]
    own = [each for each in weighed if meant & {each[0].address.casefold(), each[0].final.casefold()}]
    order = [Weight.NONE, Weight.SOFT, Weight.HARD, Weight.COMPLAINT]
    nobody = FailedRecipient("")
    return min(
        own or weighed or [(nobody, weigh(report.kind, nobody, proof))], key=lambda each: order.index(each[1].weight)
    )


def decide(strikes: Sequence[Strike], policy: BouncePolicy) -> SubscriberStatus | None:
    """The reader's new status after `strikes`, of which the last is new; None: it stays.

    Each weight has its own limit. Strikes of one issue count once, and soft ones only within `policy.soft_days` days of
    the newest. A limit of 0 never suppresses.
    """
    newest = strikes[-1]
    if newest.kind is ReportKind.UNSUBSCRIBE:
        return SubscriberStatus.UNSUBSCRIBED
    limits = {Weight.HARD: policy.hard, Weight.SOFT: policy.soft, Weight.COMPLAINT: policy.complaint}
    limit = limits.get(newest.weight)
    if not limit:
        return None
    days = {strike.day for strike in strikes if strike.weight is newest.weight}
    if newest.weight is Weight.SOFT:
        days = {day for day in days if abs((newest.day - day).days) < policy.soft_days}
    return SubscriberStatus.SUPPRESSED if len(days) >= limit else None
