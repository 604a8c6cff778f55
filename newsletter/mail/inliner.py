"""premailer, which copies the rules of a style sheet into style attributes. Nothing else knows it."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any, Final


def _premailer() -> Any:
    """The class of premailer, without requests, which takes as long to import as premailer with all the rest.

    premailer would load style sheets from the network with it, and is never allowed to. So while premailer is imported,
    an empty module stands for requests, unless requests is there already.
    """
    empty = ModuleType("requests")
    sys.modules.setdefault("requests", empty)
    try:
        from premailer import Premailer
    finally:
        if sys.modules["requests"] is empty:
            del sys.modules["requests"]
    return Premailer


_MOST_SHEETS: Final = 8
_SHEETS: Final[dict[tuple[str, int], tuple[list[Any], list[Any]]]] = {}


class _Inliner(_premailer()):  # type: ignore[misc]  # premailer has no types
    """premailer, which serialises the same style sheet again for each mail: half of the time of a mail of 20 papers."""

    def _parse_style_rules(self, css_body: str, ruleset_index: int) -> tuple[list[Any], list[Any]]:
        """The rules of a style sheet, and those that stay in the head; kept for the few sheets that a process has."""
        key = (css_body, ruleset_index)
        found = _SHEETS.get(key)
        if found is None:
            found = super()._parse_style_rules(css_body, ruleset_index)
            if len(_SHEETS) >= _MOST_SHEETS:
                _SHEETS.clear()
            _SHEETS[key] = found
        rules, leftover = found
        return list(rules), list(leftover)


def inline(html: str) -> str:
    """`html` with the rules of its <style> copied into style attributes.

    premailer has been unmaintained since 2021; it makes no network access. A <style data-premailer="ignore"> is left as
    it is. premailer may not set width and height attributes, because it writes "100%" as a number.
    """
    inlined: str = _Inliner(
        html,
        allow_network=False,
        disable_validation=True,
        strip_important=False,
        disable_basic_attributes=["width", "height"],
        cssutils_logging_level=logging.CRITICAL,
        align_floating_images=False,
    ).transform()
    return inlined
