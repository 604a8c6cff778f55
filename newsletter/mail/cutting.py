"""Cut a digest that the templates made of many papers into these papers and what is around them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from newsletter.model import Mark

CUT: Final = "\x9b"  # where the text is cut; the HTML is cut at comments
REGIONS: Final = (
    (Mark.GLANCE, "<!--line-->", "<!--/line-->"),
    (Mark.PAPERS, "<!--paper-->", "<!--end-->"),
    (Mark.RISING, "<!--riser-->", "<!--/riser-->"),
)


class CannotCut(Exception):
    """The templates are an operator's own, and their mails cannot be cut into pieces."""


class Cut(NamedTuple):
    """A page or a text cut at its marks: what is around the papers, with marks where these were, and each of them."""

    frame: str
    regions: Mapping[Mark, Sequence[str]]


def cut_html(html: str, numbers: Mapping[Mark, int]) -> Cut:
    """Cut a page at the comments of the templates; `numbers` says how many papers each region has."""
    frame, rest = "", html
    regions: dict[Mark, Sequence[str]] = {}
    for mark, begin, end in REGIONS:
        regions[mark] = ()
        if numbers[mark]:
            before, _, after = rest.partition(begin)
            papers, _, after = after.partition(end)
            regions[mark] = [begin + paper for paper in papers.split(begin)]
            frame, rest = frame + before + mark, end + after
    return _checked(Cut(frame + rest, regions), numbers)


def cut_text(text: str, numbers: Mapping[Mark, int]) -> Cut:
    """Cut a text where its template says so: before each paper, and after the last of each region."""
    frame, *rest = text.split(CUT)
    regions: dict[Mark, Sequence[str]] = {}
    for mark, _, _ in REGIONS:
        number = numbers[mark]
        regions[mark], rest = [paper.rstrip("\n") for paper in rest[:number]], rest[number:]
        if mark is not Mark.GLANCE:
            frame = frame.rstrip("\n")  # a paper begins with an empty line
        if number or mark is not Mark.GLANCE:  # without lines there is no list
            frame += mark + "".join(rest[:1])
            rest = rest[1:]
    if rest:
        raise CannotCut
    return _checked(Cut(frame, regions), numbers)


def _checked(cut: Cut, numbers: Mapping[Mark, int]) -> Cut:
    if any(len(cut.regions[mark]) != number for mark, number in numbers.items()):
        raise CannotCut
    return cut
