"""premailer, which copies the rules of a style sheet into style attributes. Nothing else knows it."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, Final


def _imported() -> Any:
    """The module of premailer, without requests, which takes as long to import as premailer with all the rest.

    premailer would load style sheets from the network with it, and is never allowed to. So while premailer is imported,
    an empty module stands for requests, unless requests is there already.
    """
    empty = ModuleType("requests")
    sys.modules.setdefault("requests", empty)
    try:
        from premailer import premailer
    finally:
        if sys.modules["requests"] is empty:
            del sys.modules["requests"]
    return premailer


premailer: Final = _imported()

_MOST_SHEETS: Final = 8
_SHEETS: Final[dict[tuple[str, int], tuple[list[Any], list[Any]]]] = {}


_A_CLASS: Final = re.compile(r"\.([A-Za-z][\w-]*)", re.ASCII)  # a selector of nothing else


class _Page(threading.local):
    """The page that this thread inlines, and its elements by their classes, in the order of the page."""

    root: Any = None
    by_class: dict[str, list[Any]] = {}  # noqa: RUF012 - never changed, only replaced

    def of(self, root: Any, name: str) -> list[Any]:
        """The elements of a class."""
        if self.root is not root:
            self.root, self.by_class = root, {}
            for element in root.xpath("descendant-or-self::*[@class]"):
                for each in dict.fromkeys(element.get("class").split()):
                    self.by_class.setdefault(each, []).append(element)
        return self.by_class.get(name, [])

    def forget(self) -> None:
        """Keep nothing of a page that is done."""
        self.root, self.by_class = None, {}


_PAGE: Final = _Page()


@cache
def _selected(selector: str) -> Callable[[Any], list[Any]]:
    """What finds the elements of a selector.

    premailer goes through the whole page for each class, which is half of the time of a mail of 20 papers.
    """
    if (of_class := _A_CLASS.fullmatch(selector)) is None:
        found: Callable[[Any], list[Any]] = premailer.CSSSelector(selector)
        return found
    return lambda root: _PAGE.of(root, of_class[1])


premailer._create_cssselector = _selected  # noqa: SLF001 - it has no other place for this


class _Inliner(premailer.Premailer):  # type: ignore[misc, name-defined]  # premailer has no types
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
    try:
        inlined: str = _Inliner(
            html,
            allow_network=False,
            disable_validation=True,
            strip_important=False,
            disable_basic_attributes=["width", "height"],
            cssutils_logging_level=logging.CRITICAL,
            align_floating_images=False,
        ).transform()
    finally:
        _PAGE.forget()
    return inlined
