"""Mails with a defined form: unsubscribe mails, abuse reports, Amazon's notifications, delivery reports."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from newsletter.bounces.correlation import LEAVE
from newsletter.bounces.incoming import LOOSE_ADDRESS, Incoming, addresses_in, headers_of, inner, shown_line
from newsletter.bounces.notification import bounce_of, kind_of, mentions_notification, recipients_of
from newsletter.bounces.phrases import ANSWERED, SYSTEM
from newsletter.bounces.policy import CODE, WORDED, exact
from newsletter.bounces.prose import auto_reply, named_in_prose, reason, told
from newsletter.bounces.values import BounceReport, FailedRecipient
from newsletter.model import ReportKind

# --- a reader who leaves by mail (RFC 2369 section 3.2, RFC 6068) ----------------------------------------------------


# What may stand around the word as people type it; our pages show it in quotes. The marks of writing direction come
# from keyboards for Hebrew and Arabic.
_AROUND: Final = " \t\r\n\"'“”„‘’«»‹›「」『』.!…。！\u200b\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"
_ACCENTS: Final = re.compile(r"[\u0300-\u036f]")
_LONGEST_WORD: Final = 100  # characters of a line that are compared


def leaving(mail: Incoming, words: Collection[str]) -> BounceReport | None:
    """A mail made by our mailto link, or a person's answer to a digest that consists of one of `words`."""
    asks = LEAVE.search(mail.header("Subject")) or LEAVE.search(mail.notice) or _says_so(mail, words)
    return BounceReport(ReportKind.UNSUBSCRIBE) if asks and not SYSTEM.search(mail.header("From")) else None


def _says_so(mail: Incoming, words: Collection[str]) -> bool:
    """Whether the subject (without `Re:`) or the first line is one of `words` alone, and a person wrote it.

    Later lines do not count: Outlook quotes without a ">", and our own text contains the words.
    """
    subject = mail.header("Subject")
    while answered := ANSWERED.match(subject):
        subject = subject[answered.end() :]
    first = next((line for line in mail.notice.splitlines() if line.strip()), "")
    known = {_plain(word) for word in words}
    if _plain(subject) not in known and _plain(first) not in known:
        return False
    return not mail.from_a_system and not mail.is_structured and auto_reply(mail) is None


def _plain(text: str) -> str:
    """`text` for comparison: without case, accents, quotes around it, and the full width of East Asian letters."""
    text = unicodedata.normalize("NFKC", text[:_LONGEST_WORD]).strip(_AROUND)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return " ".join(unicodedata.normalize("NFC", bare).casefold().split())


# --- a complaint (RFC 5965) ------------------------------------------------------------------------------------------

# Values of Feedback-Type that are no reader's "this is spam" (RFC 6430 section 3, RFC 6591).
_NO_COMPLAINT: Final = frozenset({"not-spam", "auth-failure", "dmarc"})

# Hotmail's feedback loop sends the message itself with this subject, without a report part.
_HOTMAIL: Final = re.compile(r"(?i)^complaint about message from ")

_NAMING: Final = ("original-rcpt-to", "removal-recipient", "original-recipient", "final-recipient")


def complaint(mail: Incoming) -> BounceReport | None:
    """An abuse report. Providers often hide the address; then it is the one that the returned message was sent to."""
    fields = _feedback(mail)
    if fields is None:
        if not _HOTMAIL.match(mail.header("Subject")):
            return None
        fields = {"original-rcpt-to": mail.original.get("x-hmxmroriginalrecipient", "")}
    if fields.get("feedback-type", "abuse").lower() in _NO_COMPLAINT:
        return BounceReport(ReportKind.OTHER)
    named = addresses_in(" ".join(fields[name] for name in _NAMING if name in fields))
    return BounceReport(ReportKind.COMPLAINT, tuple(FailedRecipient(address) for address in named or mail.meant))


def _feedback(mail: Incoming) -> dict[str, str] | None:
    """The fields of the feedback report, in any part; None without one."""
    for part in mail.message.walk():
        if part.get_content_type() == "message/feedback-report":
            report = inner(part)
            return headers_of(report) | {name: " ".join(map(str, report.get_all(name, []))) for name in _NAMING}
    if mail.report_type != "feedback-report" and not re.search(r"(?im)^Feedback-Type:[ \t]*\S", mail.raw):
        return None
    matches = (re.search(rf"(?im)^({name}):[ \t]*(.+)$", mail.raw) for name in ("feedback-type", *_NAMING))
    return {match.group(1).lower(): match.group(2).strip() for match in matches if match}


# --- Amazon SES's notifications --------------------------------------------------------------------------------------

# What SES says of an address, as the enhanced code that says the same (SES developer guide, "Bounce types").
_SES_CODES: Final[Mapping[str, str]] = {
    "NoEmail": "5.1.1",
    "MailboxFull": "4.2.2",
    "MessageTooLarge": "5.3.4",
    "ContentRejected": "5.6.0",
    "AttachmentRejected": "5.6.0",
}


def ses_notification(mail: Incoming) -> BounceReport | None:
    """A bounce or complaint that SNS mails as JSON. One that cannot be read is kept for the operator."""
    found = mail.notification
    if found is None:
        unreadable = any(mentions_notification(text) for _, text in mail.leaves)
        return BounceReport(ReportKind.BROKEN) if unreadable else None
    bounce = bounce_of(found)
    known = _SES_CODES.get(str(bounce.get("bounceSubType")), "")
    failures = []
    for entry in recipients_of(found):
        words = str(entry.get("diagnosticCode") or "")
        status = known or exact(str(entry.get("status") or ""), words)
        failures.append(FailedRecipient(str(entry["emailAddress"]), status, shown_line(words)))
    if kind_of(found) == "Complaint":
        return BounceReport(ReportKind.COMPLAINT, tuple(failures))
    # "Transient" without a reason is also how SES reports an answering machine.
    for_good = bounce.get("bounceType") == "Permanent" or known
    return BounceReport(ReportKind.PERMANENT if for_good else ReportKind.TEMPORARY, tuple(failures))


# --- a delivery report (RFC 3464) ------------------------------------------------------------------------------------

_FIELD: Final = re.compile(
    r"(?i)^[ \t]*((?:Final|Original|X-Actual)-Recipient|Action|Status|Diagnostic-Code)[ \t]*:[ \t]*(.*)$"
)
_RECIPIENTS: Final = ("original-recipient", "final-recipient", "x-actual-recipient")

# RFC 3464 section 2.3.3, and the words of SendGrid and of Postfix (for an address that it only probed).
_ACTIONS: Final[Mapping[str, ReportKind]] = {
    "failed": ReportKind.PERMANENT,  # also after days of 4xx: the server has given up
    "failure": ReportKind.PERMANENT,
    "expired": ReportKind.PERMANENT,
    "delayed": ReportKind.TEMPORARY,
    "delivered": ReportKind.OTHER,
    "relayed": ReportKind.OTHER,
    "expanded": ReportKind.OTHER,
    "undeliverable": ReportKind.PERMANENT,
    "deliverable": ReportKind.OTHER,
}


def delivery_report(mail: Incoming) -> BounceReport | None:
    """The per-recipient fields (RFC 3464 section 2.3), in any part of the body, because real reports put them anywhere.

    Not in the mail's own headers, where Original-Recipient (RFC 3798 section 2.3) names the mailbox that reads the
    report. Not in a person's mail either: a reader who forwards a report about their own mail has not bounced.
    """
    if mail.is_forwarded_report:
        return None
    encoded = [text for part, text in mail.leaves if str(part.get("Content-Transfer-Encoding", "7bit")) != "7bit"]
    for text in (mail.body, *encoded):
        named = [block for block in _blocks(text) if any(name in block for name in _RECIPIENTS)]
        if blocks := [block for block in named if "action" in block or "status" in block]:
            return _reported(mail, blocks)
    return None


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The fields of each recipient. A repeated field begins the next recipient, because blank lines may be lost."""
    current: dict[str, str] = {}
    last, gap = "", False
    for line in text.splitlines():
        match = _FIELD.match(line[:1000])
        if match is None:
            gap = gap or not line.strip()
            if last and not gap and line[:1] in (" ", "\t"):
                current[last] += f" {line.strip()}"
            else:
                last = ""
            continue
        last, value = match.group(1).lower(), match.group(2).strip()
        if not _plausible(last, value):
            last = ""
            continue
        if _begins_another(current, last, gap=gap):
            yield current
            current = {}
        current[last], gap = value, False
    yield current


def _begins_another(current: Mapping[str, str], name: str, *, gap: bool) -> bool:
    return name in current or (gap and name in _RECIPIENTS and any(known in current for known in _RECIPIENTS))


def _plausible(name: str, value: str) -> bool:
    """Whether a field has a value of RFC 3464: Status and Action are also common as private headers."""
    if name == "status":
        return CODE.search(value) is not None
    return name != "action" or _action(value) in _ACTIONS


def _action(value: str) -> str:
    return re.split(r"[^a-z]", value.strip().lower(), maxsplit=1)[0]


def _reported(mail: Incoming, blocks: Sequence[Mapping[str, str]]) -> BounceReport:
    """What the blocks say together: failures, else delays, else nothing that concerns us."""
    told_of = [(_kind(block), failure) for block in blocks if (failure := _failure(mail, block)) is not None]
    judged = [(kind, failure) for kind, failure in told_of if failure.address.casefold() not in mail.operators]
    if not judged:  # a recipient without an address, such as `rfc822; undisclosed`: other places may name one
        words = blocks[0].get("diagnostic-code", "")
        status = exact(_status(blocks[0]), words)
        named = addresses_in(mail.header("X-Failed-Recipients")) or named_in_prose(mail)
        judged = [(_kind(blocks[0]), FailedRecipient(address, status, shown_line(words))) for address in named]
    for kind in (ReportKind.PERMANENT, ReportKind.TEMPORARY):
        failures = tuple(dict.fromkeys(failure for its, failure in judged if its is kind))
        if failures:
            return BounceReport(kind, failures)
    return BounceReport(ReportKind.OTHER if judged else ReportKind.BROKEN)


def _kind(block: Mapping[str, str]) -> ReportKind:
    if "action" in block:
        return _ACTIONS[_action(block["action"])]
    first = _status(block)[:1]
    return {"2": ReportKind.OTHER, "4": ReportKind.TEMPORARY}.get(first, ReportKind.PERMANENT)


def _status(block: Mapping[str, str]) -> str:
    match = CODE.search(block.get("status", ""))
    return match.group(1) if match else ""


def _failure(mail: Incoming, block: Mapping[str, str]) -> FailedRecipient | None:
    """What one block says. The address that was written to is the original one, where the report has it."""
    found = [address for name in _RECIPIENTS if (address := _recipient(block.get(name, "")))]
    if not found:
        return None
    words = block.get("diagnostic-code", "")
    if not WORDED.search(words):
        words = f"{words} {reason(mail.notice, found[0])}"
    final = found[1] if len(found) > 1 and found[1].casefold() != found[0].casefold() else ""
    return FailedRecipient(found[0], exact(_status(block), words), shown_line(words), final)


def _recipient(value: str) -> str:
    """The address in `rfc822; user@example.org` and its variants; empty without one."""
    value = re.sub(r"^[\w-]+\s*;", "", value.strip())
    found = addresses_in(value) or LOOSE_ADDRESS.findall(value)
    return found[0].strip("<>\"' .") if found else ""


# --- a header that names who failed ----------------------------------------------------------------------------------


def failed_recipients(mail: Incoming) -> BounceReport | None:
    """The addresses of X-Failed-Recipients, as Gmail and Exim write it."""
    addresses = addresses_in(mail.header("X-Failed-Recipients"))
    return told(mail, addresses) if addresses else None
