"""SMTP: hands over envelopes on several kept connections and returns what the servers said about each."""

from newsletter.transport.connect import connect, server_name
from newsletter.transport.limits import Rest
from newsletter.transport.pool import Pool
from newsletter.transport.session import Answer, Copy, Down, Event

__all__ = ["Answer", "Copy", "Down", "Event", "Pool", "Rest", "connect", "server_name"]
