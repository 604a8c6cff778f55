"""The table of replies: its rows in the order in which they are asked.

Each row names its source. Patterns have bounded gaps, so that a match takes linear time. `stages` keeps words about a
recipient from answers to commands that come before RCPT, when the server knows no recipient.
"""

from __future__ import annotations

from typing import Final

from newsletter.replies.codes import CODES, ENHANCED
from newsletter.replies.limits import MISTAKEN, QUOTAS
from newsletter.replies.others import OTHERS, RECIPIENT
from newsletter.replies.reports import REPORTS
from newsletter.replies.sender import SENDER

RULES: Final = (*MISTAKEN, *QUOTAS, *SENDER, *REPORTS, *OTHERS, *RECIPIENT, *ENHANCED, *CODES)
