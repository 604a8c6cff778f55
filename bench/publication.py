"""The publication and the day of the measured issues."""

from __future__ import annotations

from datetime import date

from newsletter.model import Mailbox, Publication

DAY = date(2026, 11, 24)
PUBLICATION = Publication(
    title="Daily Papers",
    sender=Mailbox("Daily Papers", "digest@news.example.org"),
    bounce_address="digest@news.example.org",
    postal_address="1 Example Street, Example City",
    list_id="daily-papers.news.example.org",
    base_url="https://news.example.org",
)
