"""The subscriber list as CSV: what an import takes, whatever service wrote it, and what an export writes.

    bytes -> table.lines -> columns.plan -> read.Row
                             headings, words: what services call things, as tables

A row that cannot be taken is reported with its line number and the others are taken. A file with a column that looks
like a state and is not understood is not taken at all.
"""

from newsletter.subscriber_csv.columns import Column, Explained
from newsletter.subscriber_csv.headings import CHOSEN, Role
from newsletter.subscriber_csv.read import Listing, Row, read
from newsletter.subscriber_csv.words import STATUSES, key
from newsletter.subscriber_csv.write import write

__all__ = ["CHOSEN", "STATUSES", "Column", "Explained", "Listing", "Role", "Row", "key", "read", "write"]
