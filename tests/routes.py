"""Compiles each route of the web pages once for all the web applications of this process.

Werkzeug writes and compiles two functions for each route of each application, by which it makes URLs. The program has
one application; the tests make hundreds of the same, which took half of the time to make one. What is called is the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.routing import Rule


def pytest_configure() -> None:
    """Have the web applications of this process share what Werkzeug has compiled."""
    known: dict[Any, Callable[..., tuple[str, str]]] = {}

    def compiled_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.host, rule.subdomain, rule.rule, repr(rule.defaults), append_unknown)
        if key not in known:
            known[key] = make(rule, append_unknown)
        return known[key]

    make = Rule._compile_builder
    pytest.MonkeyPatch().setattr(Rule, "_compile_builder", compiled_once)  # until the process ends
