"""What a reader chose: which papers, beside the main edition or instead of it, how often, and at which hour. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from newsletter.issue.selector import KINDS, PAPERS, Selector, SelectorError

_ZONE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
# Names in the database that are no zone, and folders of a system that hold the zones a second time: those below
# ``right`` count leap seconds, and other machines have neither.
_NO_PLACES: Final = frozenset({"Factory", "localtime", "posixrules"})
_COPIES: Final = ("posix/", "right/")

_FLAGS: Final = {"on_top": True, "weekly": False, "say_nothing": True}


class ChoiceError(ValueError):
    """A choice that is refused: `field` is the name of the field that is wrong. The message is one line in English."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reader chose. The default is what everybody gets who has chosen nothing.

    `selector` says which papers the reader wants; None stands for the main edition. With `on_top` these papers come
    before those of the main edition, else they are all that the reader gets. `weekly` is one issue a week instead of
    each. `hour` (0 to 23) is when the mail is sent by the clock of `zone`, an IANA name; None stands for when the list
    sends, and for the list's zone. A day without a fitting paper is no mail, and without `say_nothing` a mail of one
    line.

    Raises ChoiceError if the hour is not from 0 to 23, or the zone unknown.
    """

    selector: Selector | None = None
    on_top: bool = True
    weekly: bool = False
    hour: int | None = None
    zone: str | None = None
    say_nothing: bool = True

    def __post_init__(self) -> None:
        """Check what no type can. Raises ChoiceError."""
        if self.hour is not None and not 0 <= self.hour <= 23:
            raise ChoiceError("hour", f"{self.hour} is no hour from 0 to 23")
        if self.zone is not None and not _is_zone(self.zone):
            raise ChoiceError("zone", f"{_shown(self.zone)!r} is no time zone such as Europe/Berlin")

    @classmethod
    def of(
        cls,
        selector: Selector | None = None,
        *,
        on_top: bool = True,
        weekly: bool = False,
        hour: int | None = None,
        zone: str | None = None,
        say_nothing: bool = True,
    ) -> Choice:
        """The choice in canonical form.

        A blank zone becomes None, another is written as `zone_of` does. A selector that chooses nothing becomes None,
        too; `on_top` then has no meaning and is True. Raises ChoiceError.
        """
        selector = selector if selector != Selector() else None
        return cls(
            selector,
            on_top=on_top or selector is None,
            weekly=weekly,
            hour=hour,
            zone=(zone_of(zone) or zone) if zone and zone.strip() else None,
            say_nothing=say_nothing,
        )

    @property
    def is_main(self) -> bool:
        """Whether the reader gets the papers of the main edition; the hour may still be their own."""
        return self.selector is None and not self.weekly

    @property
    def written(self) -> str:
        """The choice as JSON (RFC 8259), in the reader's own spelling. What has its default is left out."""
        kept = self._papers(own=True)
        kept |= {name: getattr(self, name) for name in ("hour", "zone") if getattr(self, name) is not None}
        kept |= {"say_nothing": False} if not self.say_nothing else {}
        return _json(kept)

    @property
    def of_papers(self) -> tuple[Selector | None, bool, bool]:
        """What decides about the papers: readers who have it alike can share an edition.

        Hour, zone and `say_nothing` make no difference.
        """
        return (self.selector, self.on_top or self.selector is None, self.weekly)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of `of_papers`."""
        return hashlib.sha256(_json(self._papers()).encode()).hexdigest()

    @classmethod
    def loaded(cls, text: str) -> Choice:
        """The choice that `written` gave; names that are not known are ignored.

        Raises ChoiceError or SelectorError if `text` is not a choice: it may come from a file that somebody wrote.
        """
        try:
            kept: dict[str, Any] = json.loads(text)
            known = kept.get("selector")
            selector = None if known is None else Selector.of(**_of_selector(known))
            flags = {name: _flag(name, kept.get(name, default)) for name, default in _FLAGS.items()}
            hour, zone = kept.get("hour"), kept.get("zone")
            return cls.of(selector, hour=_number("hour", hour), zone=zone, **flags)
        except (ChoiceError, SelectorError):
            raise
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ChoiceError("choice", f"{_shown(text)!r} is no choice as an export writes it") from error

    def _papers(self, *, own: bool = False) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        if self.selector is not None:
            kept["selector"] = self.selector.kept(own=own)
            kept |= {} if self.on_top else {"on_top": False}
        kept |= {"weekly": True} if self.weekly else {}
        return kept


def _json(kept: dict[str, Any]) -> str:
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _of_selector(known: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {kind: _list(known, kind) for kind in KINDS if kind in known}
    return chosen | {"papers": _number("papers", known.get("papers", PAPERS))}


def _number(field: str, value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise ChoiceError(field, "is no number")
    return value


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):  # "no" would be as good as true
        raise ChoiceError(field, "is neither true nor false")
    return value


def _list(kept: dict[str, Any], name: str) -> list[str]:
    found = kept[name]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ChoiceError(name, "is no list of texts")
    return found


def _is_zone(name: str) -> bool:
    """Whether this is the name of a time zone. Nothing that could lead out of the folder of zones is looked up."""
    if not _ZONE.fullmatch(name) or name in _NO_PLACES or name.startswith(_COPIES):
        return False
    try:
        return ZoneInfo(name).key == name
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder is an OSError
        return False


def zone_of(typed: str) -> str | None:
    """The zone as the IANA database writes it; None if it has no such zone.

    Case and spaces make no difference, as in ``america/new york``.
    """
    name = "_".join(typed.split())
    return name if _is_zone(name) else _folded().get(name.casefold())


@cache
def _folded() -> Mapping[str, str]:
    """All zones by their names without case; to list them takes 50 ms."""
    return {name.casefold(): name for name in sorted(available_timezones() - _NO_PLACES)}


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:40])


@dataclass(frozen=True, slots=True)
class Wish:
    """What the subscriber of id `reader` chose, and which of the papers at hand they were shown before (Paper.key).

    `rests` is True if the reader gets no mail with this issue, because they want one a week and it is not due. `since`
    is for these readers: their mail has the papers that were listed after this day. It is None for others.
    """

    reader: int
    choice: Choice
    seen: frozenset[str] = frozenset()
    rests: bool = False
    since: date | None = None
