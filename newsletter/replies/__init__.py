"""Of whom a mail server's reply speaks: one table for sending, the breaker, suppression and bounces.

A code alone does not tell. Gmail answers 550 5.4.5 when the *sender* has used up their day, cPanel answers a bare 550
for the same, and RFC 5321's own text for 552 is one reader's full mailbox. So the words decide before any code does.
The order of the table is the order of its parts in `rules.py`:

1. words that are easily mistaken: a reader who gets too much mail just now, a full mailbox, a full disk;
2. words about the sender: login, sender address, quota, rate, reputation, authentication, relaying;
3. words of delivery reports, then words about the message, the network and the server;
4. words about the recipient: no such address, closed, suspended;
5. the enhanced status code (RFC 3463 and the IANA registry);
6. the reply code alone, where an RFC gives it one meaning at that stage.

A reply that no row knows is `Concern.UNKNOWN`, and never for good: one wrong removal is worse than ten missed ones.
"""

from newsletter.replies.judge import alike, judge, stated_wait
from newsletter.replies.values import Concern, Judgement, Rule, Stage

__all__ = ["Concern", "Judgement", "Rule", "Stage", "alike", "judge", "stated_wait"]
