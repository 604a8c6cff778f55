"""The papers of an issue as BibTeX.

The fields are those that BibTeX, biber and reference managers read for a preprint: eprint and archiveprefix for arXiv,
doi for a paper that has one. Text of feeds is escaped, so that LaTeX prints it as it is and no brace can end an entry.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from newsletter.model import Paper

MEDIA_TYPE: Final = "application/x-bibtex"

# BibTeX counts braces whether or not a backslash stands before them (btxdoc, section 4), so they become commands.
_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\textbraceleft{}",
        "}": r"\textbraceright{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{each: f"\\{each}" for each in "%&#$_"},
    }
)

# In a URL these would end the field or begin a command; everything else is printed as it is.
_URL_ESCAPES: Final = str.maketrans({"{": "%7B", "}": "%7D", "\\": "%5C"})

_AND: Final = re.compile(r"(?:^|\s)and(?:\s|$)", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_NO_KEY: Final = re.compile(r"[^a-z0-9]+")
_SHORT_WORD: Final = 4  # letters; a shorter word of the title makes no key

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def bibliography(papers: Iterable[Paper]) -> str:
    """An entry for each of the papers, in their order, each with a key of its own."""
    used: set[str] = set()
    return "\n".join(_entry(paper, _unique(_key(paper), used)) for paper in papers)


def _entry(paper: Paper, key: str) -> str:
    lines = [f"  {name} = {value}," for name, value in _fields(paper)]
    return "\n".join((f"@misc{{{key},", *lines, "}", ""))


def _fields(paper: Paper) -> Iterator[tuple[str, str]]:
    """Names and values of the fields; the latter in braces, or in two pairs to keep the title's capitals."""
    yield "title", f"{{{{{_text(paper.title)}}}}}"
    if authors := _authors(paper):
        yield "author", f"{{{authors}}}"
    if paper.published is not None:
        yield "year", f"{{{paper.published.year:04}}}"
        yield "month", _MONTHS[paper.published.month - 1]
    if paper.arxiv_id is not None:
        yield "eprint", f"{{{_url(paper.arxiv_id)}}}"
        yield "archiveprefix", "{arXiv}"
    if paper.key.startswith("doi:"):
        yield "doi", f"{{{_url(paper.key.removeprefix('doi:'))}}}"
    if url := paper.arxiv_url or paper.url or paper.pdf_url:
        yield "url", f"{{{_url(url)}}}"
    if paper.keywords:
        yield "keywords", f"{{{_text(', '.join(paper.keywords))}}}"
    if paper.abstract:
        yield "abstract", f"{{{_text(paper.abstract)}}}"


def _authors(paper: Paper) -> str:
    """The names as BibTeX wants them, with "others" if the feed does not name all."""
    names = [_name(author) for author in paper.authors if author.strip()]
    if names and paper.author_count > len(names):
        names.append("others")
    return " and ".join(names)


def _name(author: str) -> str:
    """A name that BibTeX does not split: in braces if it has an "and", more than one comma, or is "others"."""
    special = _AND.search(author) or author.count(",") > 1 or author.strip().casefold() == "others"
    return f"{{{_text(author)}}}" if special else _text(author)


def _text(words: str) -> str:
    return _UNPRINTABLE.sub(" ", words).strip().translate(_ESCAPES)


def _url(url: str) -> str:
    return _UNPRINTABLE.sub("", url).translate(_URL_ESCAPES)


def _key(paper: Paper) -> str:
    """Family name, year and a word of the title, such as ``lovelace2026attention``, in ASCII."""
    first = paper.authors[0] if paper.authors else ""
    family, comma, _ = first.partition(",")
    name = _plain(family if comma else first.split()[-1] if first.split() else "")
    year = str(paper.published.year) if paper.published else ""
    words = [word for each in paper.title.split() if len(word := _plain(each)) >= _SHORT_WORD]
    return f"{name}{year}{words[0] if words else ''}" or "paper"


def _plain(word: str) -> str:
    return _NO_KEY.sub("", unicodedata.normalize("NFKD", word).casefold())[:30]


def _unique(key: str, used: set[str]) -> str:
    """`key`, or with a number behind it if it is `used` already; it is used then."""
    found = key if key not in used else next(each for n in count(2) if (each := f"{key}-{n}") not in used)
    used.add(found)
    return found
