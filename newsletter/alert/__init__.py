"""What the operator is told without asking: mails, pings to a monitor, and POSTs to a webhook.

Each works without the others: when mail is broken, pings and webhooks still arrive. None changes the verdict of a run.
"""

from newsletter.alert.letters import due, send

__all__ = ["due", "send"]
