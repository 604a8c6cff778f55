"""Inline the style sheet of a digest into many papers, each kind of markup once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from newsletter.mail.cutting import CannotCut, Cut, cut_html
from newsletter.mail.render import inline
from newsletter.model import Mark

# What stands between two tags, and links and their names.
_TEXT: Final = re.compile(r"((?<=>)[^<>]+(?=<))")
_TEXT_OR_LINK: Final = re.compile(
    r'((?<=[>"])(?:(?<=>)[^<>]+(?=<)|(?<=\shref=")[^"]*|(?<=\saria-label=")[^"]*))'  # the first condition is for speed
)
_LINKS_HAVE_STYLES: Final = re.compile(r"\[\s*(?:href|aria-label)\b")
_STYLE: Final = re.compile(r"<style\b", re.IGNORECASE)

_Markup = tuple[str, ...]  # a paper without its texts and links, cut where these stood


class Markups:
    """Inlines papers by their markup: those that differ only in texts and links get the same style attributes.

    premailer writes each paper as it does without a style sheet, which is fast. One paper of each markup is inlined,
    and the others get the tags that this one has.
    """

    def __init__(self) -> None:
        self._inlined: dict[tuple[Mark, _Markup], _Markup] = {}

    def inlined(self, page: str, cut: Cut) -> dict[Mark, list[str]]:
        """The papers of `page` inlined; `cut` is what it is cut into. Raises CannotCut."""
        plain = cut_html(inline(_STYLE.sub('<style data-premailer="ignore"', page)), _numbers(cut.regions))
        pattern = _TEXT if _LINKS_HAVE_STYLES.search(page) else _TEXT_OR_LINK
        divided = {mark: [_divided(paper, pattern) for paper in papers] for mark, papers in plain.regions.items()}
        new: dict[Mark, dict[_Markup, int]] = {mark: {} for mark in divided}
        for mark, papers in divided.items():
            for at, (markup, _) in enumerate(papers):
                if (mark, markup) not in self._inlined:
                    new[mark].setdefault(markup, at)
        if any(new.values()):
            some = Cut(cut.frame, {mark: [cut.regions[mark][at] for at in new[mark].values()] for mark in new})
            for mark, specimens in _inlined(some).items():
                for (markup, at), paper in zip(new[mark].items(), specimens, strict=True):
                    tags, texts = _divided(paper, pattern)
                    if texts != divided[mark][at][1]:
                        raise CannotCut
                    self._inlined[mark, markup] = tags
        return {
            mark: [_joined(self._inlined[mark, markup], texts) for markup, texts in papers]
            for mark, papers in divided.items()
        }


def _inlined(cut: Cut) -> Mapping[Mark, Sequence[str]]:
    """The papers of a page that is cut like this, inlined."""
    page = cut.frame
    for mark, papers in cut.regions.items():
        page = page.replace(mark, "".join(papers))
    return cut_html(inline(page), _numbers(cut.regions)).regions


def _numbers(papers: Mapping[Mark, Sequence[str]]) -> dict[Mark, int]:
    return {mark: len(some) for mark, some in papers.items()}


def _divided(paper: str, pattern: re.Pattern[str]) -> tuple[_Markup, Sequence[str]]:
    """The markup of a paper, and the texts and links in it."""
    parts = pattern.split(paper)
    return tuple(parts[::2]), parts[1::2]


def _joined(markup: _Markup, texts: Sequence[str]) -> str:
    parts = [""] * (len(markup) + len(texts))
    parts[::2], parts[1::2] = markup, texts
    return "".join(parts)
