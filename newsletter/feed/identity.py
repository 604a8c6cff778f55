"""Find a paper's arXiv id or DOI in links and ids, and make the key by which duplicates are joined. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from newsletter.model import title_key

# https://info.arxiv.org/help/arxiv_identifier.html. Subject class and version do not belong to the identity.
_ARXIV_ID: Final = r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?"
_END: Final = r"(?:\.pdf)?/?(?:[?#].*)?$"

# Forms of links, guids and identifiers with an arXiv id. Each pattern must match the whole text.
_ARXIV_PLACES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"https?://(?:[a-z]+\.)?arxiv\.org/(?:abs|pdf|html|format)/{_ARXIV_ID}{_END}",
        rf"https?://(?:www\.)?(?:(?:huggingface|hf)\.co/papers|alphaxiv\.org/abs)/{_ARXIV_ID}{_END}",
        rf"(?:oai:)?arxiv(?:\.org)?:{_ARXIV_ID}$",
        rf"(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.48550/arxiv\.{_ARXIV_ID}$",
    )
)
_BARE: Final = re.compile(_ARXIV_ID)
# DOIs are case-insensitive (DOI Handbook, section 2.2: https://www.doi.org/doi-handbook).
_DOI: Final = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s?)?(10\.\d{4,9}/[^\s?#<>\"]{1,200})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifiers of a paper. At most one is set, and both may be None."""

    arxiv_id: str | None = None
    doi: str | None = None

    @property
    def arxiv_url(self) -> str | None:
        """URL of the abstract page on arXiv, or None."""
        return f"https://arxiv.org/abs/{self.arxiv_id}" if self.arxiv_id else None

    @property
    def url(self) -> str | None:
        """URL of the paper made from its identifier: on arXiv, else at doi.org; or None."""
        return self.arxiv_url or (f"https://doi.org/{self.doi}" if self.doi else None)

    @property
    def pdf_url(self) -> str | None:
        """URL of the PDF on arXiv, or None."""
        return f"https://arxiv.org/pdf/{self.arxiv_id}" if self.arxiv_id else None

    def key(self, title: str) -> str:
        """The value for `Paper.key`: made from the arXiv id, else the DOI, else `title`."""
        if self.arxiv_id:
            return f"arxiv:{self.arxiv_id}"
        if self.doi:
            return f"doi:{self.doi}"
        return title_key(title)


def identify(places: Iterable[object]) -> Identity:
    """The first arXiv id, or else the first DOI, in `places`: links, guids and identifiers, the most reliable first."""
    texts = [place.strip() for place in places if isinstance(place, str) and len(place) < 500]
    found = (pattern.match(text) for text in texts for pattern in _ARXIV_PLACES)
    arxiv_id = next((_canonical(match["id"]) for match in found if match), None)
    doi = next((match[1].lower() for text in texts if (match := _DOI.match(text))), None)
    return Identity(arxiv_id, None if arxiv_id else doi)


def arxiv_id(value: object) -> str | None:
    """`value` as an arXiv id without version, if it is a text that is nothing else; else None."""
    match = _BARE.fullmatch(value) if isinstance(value, str) else None
    return _canonical(match["id"]) if match else None


def _canonical(identifier: str) -> str:
    """The id without subject class: ``math/0309136`` for ``math.GT/0309136``."""
    archive, slash, number = identifier.partition("/")
    return archive.partition(".")[0].lower() + slash + number if slash else identifier
