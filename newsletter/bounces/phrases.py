"""Phrases by which mail systems, answering machines and helpdesks are recognised. Tables only.

What a server's words say against an address is another table: newsletter/replies/.
"""

from __future__ import annotations

import re
from typing import Final


def any_of(*phrases: str) -> re.Pattern[str]:
    """A pattern that finds any of the phrases, in any case."""
    return re.compile("|".join(phrases), re.IGNORECASE)


# The senders of delivery reports.
SYSTEM: Final = any_of(
    r"mailer[-_. ]?daemon",
    r"mail-?daemon",
    r"\bpost[-_.]?master",
    r"mail ?(?:er)? ?(?:delivery|deliver|administrator|system)",
    r"delivery (?:sub)?system",
    r"\bmailer@",
    r"\bmdaemon",
    r"system administrator",
    r"\bbounces?@",
    r"microsoft exchange",
    r"\bmta@",
    r"autoreturn",
)

# The return paths of mail systems that do not leave it empty.
DAEMON: Final = any_of(r"mailer[-_. ]?daemon", r"\bpost[-_.]?master@")

# The DragonFly Mail Agent in its own reports (its bounce.c).
DRAGONFLY: Final = any_of(r"\(DragonFly Mail Agent", r"^This is the DragonFly Mail Agent")

# Numbers that helpdesks put into subjects: [Ticket#2026112410000018], [#CASE-4711], [JIRA] (ABC-12), [##55##].
TICKET: Final = any_of(
    r"[\[(][^\])]{0,80}\d{3}[^\])]{0,80}[\])]",
    r"[\[(]\W{0,10}[A-Z]{2,10}-\d{1,12}\W{0,10}[\])]",
    r"\b(?:ticket|case|incident|request|inquiry|anfrage|vorgang|helpdesk|help desk)\b",
    r"#\d{3,}",
)

# The subjects of delivery reports.
RETURNED: Final = any_of(
    r"undeliver",
    r"delivery (?:status|failure|failed|has failed|problem|report|notification|error)",
    r"returned (?:mail|e-?mail|message)",
    r"failure notice",
    r"fail(?:ed|ure).{0,20}deliver",
    r"not (?:be )?delivered",
    r"mail (?:delivery|failure|error)",
    r"mail could not",
    r"could ?n[o']t (?:be )?(?:deliver|sen)",
    r"message (?:delivery|you sent|status|undeliver)",
    r"nondeliverable",
    r"user unknown",
    r"bounce",
    r"error sending",
    r"system error",
    r"non[- ]?remis",
    r"unzustellbar",
    r"メールエラー",
    r"配信でき",
    r"送信でき",
    r"未送達",
)

# The subject of an answer or of a forwarded mail.
ANSWERED: Final = any_of(r"^\s*(?:re|aw|sv|antw|tr|fwd?|wg)\s*(?:\[\d+\])?:")

# The subjects of people's answering machines.
AUTOMATIC: Final = any_of(
    r"^\s*(?:re: ?)?\[?auto(?:matic|mated)?[- ]?(?:reply|response|responder)",
    r"^\s*(?:re: ?)?\[?(?:auto:|(?:on )?vacation|out of (?:the )?office|away (?:from|until))",
    r"^\s*(?:abwesen|automatische antwort|r[ée]ponse (?:automatique|d'absence))",
    r"^\s*(?:respuesta autom|risposta automatica|自動|不在)",
)

# How reports say that delivery failed.
FAILED: Final = any_of(
    r"(?:could ?n[o']t|can ?n[o']t|can't|unable to|was not|not able to|failed to|not) (?:be |yet been )?"
    r"(?:deliver|send|sent|process|complete)",
    r"deliver(?:y|ed)[^.\n]{0,40}(?:fail|abort|impossible|problem|error)",
    r"undeliverable|non[- ]?deliver|did not reach|rejected",
    r"(?:user|recipient|address|mailbox|account|domain|host)[^.\n]{0,30}"
    r"(?:unknown|not (?:found|exist|listed)|disabled|does(?: not|n't) exist|full|unavailable)",
    r"(?:unknown|no such|invalid|bad|inactive) (?:user|recipient|address|mailbox|account|host|domain)",
    r"permanent (?:fatal )?(?:error|failure)",
    r"(?:mailbox|quota)[^.\n]{0,20}(?:full|exceed)",
    r"\b5\d\d[ -]",
    r"\b[45]\.\d\.\d{1,2}\b",
    r"returned (?:mail|to sender)",
    r"(?:送信|配信)でき(?:ません|な)|送信に失敗",
)

# The same, in words that answering machines do not use.
NOT_DELIVERED: Final = any_of(
    r"not be delivered|unable to deliver|undeliverable|delivery (?:has )?failed|(?:送信|配信)できません"
)

# How reports say that the server still tries, and that it has given up.
DELAYED: Final = any_of(
    r"delay",
    r"still (?:trying|being (?:tried|retried))",
    r"will (?:be retried|retry|keep trying|continue)",
    r"not yet been delivered",
    r"temporar(?:y|ily) (?:un|fail|def)",
    r"warning: (?:message|could not)",
    r"do not need to re-?send",
    r"queued for",
)
GIVEN_UP: Final = any_of(
    r"permanent", r"given up", r"giving up", r"undeliverable", r"returned? (?:mail|to sender)", r"no longer retr"
)

# Lines that name the sender or a contact, never the failed recipient.
OF_THE_SENDER: Final = any_of(
    r"^[\s>*]*(?:(?:e-?)?mail from|from|(?:original )?sender|reply-to|return-path)\b",
    r"\b(?:contact|questions|assistance|help|sent by|sender:|from:)",
)

_NOUN: Final = r"(?:message|mail|headers?|copy|text|body)"
_FILLER: Final = (
    r"(?:this|below|here|begin|start|forwarded|included|the|a|an|complete|attached|of|is|are|your|line|unsent|"
    r"undelivered|original|returned|bounced|failed|following|follows?|e)"
)

# The line after which a report returns the message; matched against the beginning of a line.
ORIGINAL: Final = any_of(
    rf"[ \t>]{{0,40}}[-_=*+#]{{2,80}}+[ -]{{0,80}}(?:{_FILLER}[ \t.:-]+){{1,8}}{_NOUN}\b",
    rf"[ \t>]{{0,40}}[-_=*+#]{{2,80}}+[ -]{{0,80}}{_NOUN} {_FILLER}\b",
    rf"[ \t]{{0,40}}(?:original|returned|unsent|bounced) (?:e-)?{_NOUN}\b.{{0,30}}[.:]?\s*$",
    rf"[ \t]{{0,40}}(?:included|below|attached|following|here) (?:is|are) (?:a|the|your) .{{0,30}}{_NOUN}\b",
    rf"[ \t]{{0,40}}(?:the|your) (?:original|returned) {_NOUN} (?:was|is|follows|headers?)\b(?! received)",
    r"[ \t]{0,40}(?:message headers|original message) follow",
    r"[ \t]{0,40}(?:received|return-path|mime-version|dkim-signature):",
)
