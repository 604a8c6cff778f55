"""Parts that the rows of the table of replies share: stages, and pieces of patterns."""

from __future__ import annotations

import re
from typing import Final

from newsletter.replies.values import Stage


def any_of(*phrases: str) -> tuple[re.Pattern[str], ...]:
    """A pattern for each of the phrases, of which one has to be found in the words in lower case.

    Many small patterns are as quick as a long one, and each takes linear time by itself. To fold the case of the words
    once is twice as quick as to ignore it in each pattern.
    """
    return tuple(re.compile(_UPPER.sub(lambda found: found.group().lower(), phrase), re.DOTALL) for phrase in phrases)


_UPPER: Final = re.compile(r"(?<!\\)[A-Z]")  # not that of an escape such as \S


OF_A_RECIPIENT: Final = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT})
SESSION: Final = frozenset({Stage.CONNECT, Stage.LOGIN, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT})

# Parts of patterns. English first; then German, French, Spanish, Italian, Portuguese.
LIMIT: Final = (
    r"(?:limits?|quotas?|rates?|allowances?|thresholds?|credits?|limite|l[ií]mite|kontingent|"
    r"exceed(?:ed|s|ing)?|too (?:many|much))"
)
PERIOD: Final = r"(?:second|minute|hour|day|week|month|24 ?h|stunde|tag|heure|jour|hora|d[ií]a|ora|giorno)"
SENDING: Final = (
    r"(?:send(?:ing|ers?)?|sent|relay(?:ing)?|submission\w{0,12}|submit\w{0,12}|outgoing|outbound|outmail|smtp|throughput|"
    r"traffic|bandwidth|mail ?flow|versand\w{0,12}|sende\w{0,12}|"
    r"d'envoi|env[ií]os?|invio|envio)"
)
BOX: Final = (
    r"(?:mail ?box(?:es)?|in-?box|mail ?folder|mail ?dir|mail ?drop|post-?fach|bo[iî]te|buz[oó]n|casella|caixa)"
)
OWNER: Final = r"(?:user|recipient|account|mail ?box|in-?box|customer|address|e-?mail|mail ?drop|rcpt|person|alias)"
