"""What the operator is told without asking: mails, pings to a monitor, and POSTs to a webhook.

Each of these fails by itself, so that one is heard when another cannot be: mail is of no use when mail is broken. None
changes the verdict of a run.
"""

from newsletter.alert.letters import due, send

__all__ = ["due", "send"]
