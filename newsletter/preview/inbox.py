"""The line that a mail has in the list of an inbox: sender, subject, and the first words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from newsletter.mail.markup import Page
from newsletter.model import Publication, RenderedIssue

SHOWN: Final = 40  # characters of the subject and of the first words that a phone shows
_UNSEEN_TEXT: Final = frozenset("head style script title".split())
_FILLER: Final = re.compile("[\u00ad\u034f\u200b\u200c\ufeff]")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class InboxRow:
    """What a client shows of a mail before it is opened: `subject` and `preheader` are cut as on a phone.

    `subject_length` and `preheader_length` are of the whole, in characters.
    """

    sender: str
    subject: str
    preheader: str
    subject_length: int
    preheader_length: int


def inbox_row(rendered: RenderedIssue, publication: Publication) -> InboxRow:
    """The row of a rendered issue."""
    subject, words = rendered.subject, first_words(rendered.html)
    return InboxRow(
        publication.sender.name or publication.sender.address, _cut(subject), _cut(words), len(subject), len(words)
    )


def first_words(html: str) -> str:
    """The text that a client shows beside the subject: that of the first element in <body> which has some.

    Clients take it whether it is hidden or not, and leave out the characters of no width that fill the preheader.
    """
    elements = [each for each in Page(html).elements if each.parent is not None and each.parent.tag == "body"]
    texts = (_SPACE.sub(" ", _FILLER.sub("", each.name())).strip() for each in elements if each.tag not in _UNSEEN_TEXT)
    return next(filter(None, texts), "")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1].rstrip() + "…"
