"""The subject and the text after it in an inbox: names of papers, whole. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Final

from newsletter.languages import Language
from newsletter.mail.excerpt import excerpt, shorten, whole
from newsletter.model import Issue, Paper

_SUBJECT: Final = 100  # characters; phones show about 40, desktops about 90
_PREHEADER: Final = 110  # characters

_NAMED: Final = re.compile(r"([^:：?!,]{1,40}?)(?::\s|：|\s[—–-]\s)\s*\S")
_WORDS_OF_A_NAME: Final = 4
_SMALL: Final = frozenset("a an the of for in on to and or with by at from as is via de la".split())

# What stands before a colon and is no name, in lower case.
_LABELS: Final = frozenset(
    """sok survey position review tutorial comment reply rejoinder correction corrigendum erratum editorial letter
    perspective report paper note news opinion study podcast video arxiv breaking interview update abstract retraction
    withdrawn supplement appendix response introduction benchmark dataset demo poster""".split()
) | {
    "technical report", "position paper", "short paper", "show hn", "ask hn", "tell hn", "launch hn", "case study",
    "comment on", "part i", "part ii", "book review", "a survey", "a review", "research article",
}  # fmt: skip


@lru_cache(maxsize=1024)
def short_name(title: str) -> str:
    """The name that a title begins with, such as ``SWE-Flow`` in "SWE-Flow: Synthesizing Data"; empty if it has none.

    A name is at most four words before a colon or dash, the longer ones with capital letters.
    """
    match = _NAMED.match(title)
    if match is None:
        return ""
    name = match.group(1)
    words = name.split()
    if len(words) > _WORDS_OF_A_NAME or name.lower() in _LABELS:
        return ""
    named = [word for word in words if word not in _SMALL]
    return name if len(words) == 1 or all(_is_proper(word) for word in named) else ""


def _is_proper(word: str) -> bool:
    """Whether a word is one letter, has a capital letter or a digit, or is of a script without capital letters."""
    return len(word) == 1 or any(not char.islower() and char.isalnum() for char in word)


def subject(issue: Issue, language: Language) -> str:
    """The subject, with the title of the first paper; its name where the title does not fit into 100 characters."""
    first, rest = issue.papers[0], len(issue.papers) - 1
    votes = f" (▲ {language.number(first.upvotes)})" if first.upvotes and first.upvotes > 0 else ""

    def of(title: str) -> str:
        paper = language.isolated(title + votes)
        if not rest:
            return language.gettext("%(day)s: %(paper)s", day=_days(issue, language), paper=paper)
        return language.ngettext(
            "%(day)s: %(paper)s and %(num)s more",
            "%(day)s: %(paper)s and %(num)s more",
            rest,
            day=_days(issue, language),
            paper=paper,
        )

    room = _SUBJECT - len(of(""))
    return of(_fitting(first.title, room) or phrase(first.title, room))


def preheader(papers: Iterable[Paper]) -> str:
    """The text that inboxes show after the subject: the next of an issue's papers by title or name, each whole.

    The first paper is in the subject. An issue of one paper shows what that paper says it did.
    """
    waiting = iter(papers)
    first, second = next(waiting), next(waiting, None)
    if second is None:
        return _said(first)
    shown = ""
    for paper in chain((second,), waiting):
        label = _fitting(paper.title, _PREHEADER - len(shown) - 2)
        if not label:
            break
        shown += f"; {label}" if shown else label
    return shown or phrase(second.title, _PREHEADER)


def _fitting(title: str, room: int) -> str:
    """The title, else its name, else what stands before its colon; empty if none has at most `room` characters."""
    if len(title) <= room:
        return title
    name = short_name(title) or title.partition(": ")[0].rstrip()
    return name if len(name) <= room else ""


# Words before which a title can end and still say something.
_MORE_OF_IT: Final = re.compile(
    r",? (?:via|with|for|by|through|using|from|under|without|in|on|against|across|towards?|based on|beyond)\b"
)
_SHORTEST: Final = 25  # characters of a phrase


def phrase(title: str, room: int) -> str:
    """`title` if it has at most `room` characters, else its longest beginning that is a phrase, or its first words."""
    if len(title) <= room:
        return title
    cuts = [match.start() for match in _MORE_OF_IT.finditer(title) if _SHORTEST <= match.start() <= room]
    return title[: cuts[-1]] if cuts else shorten(title, room)


def _said(paper: Paper) -> str:
    said = whole(paper.summary, _PREHEADER) if paper.summary else excerpt(paper.abstract, _PREHEADER)
    return said or paper.title


def _days(issue: Issue, language: Language) -> str:
    """The issue's day such as ``24 Nov``, or its days such as ``18–24 Nov``."""
    return language.day_and_month(issue.day) if issue.since is None else language.days(issue.since, issue.day)
