"""Fuzzing the web pages: no internal error, no undocumented response, and no change by a GET."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from newsletter.model import SubscriberStatus
from tests.pages import BASE, Site

GENEROUS = "web:\n  per_ip: 1000000\n  overall: 1000000\n"
TEXT = {"type": "string"}
SURROGATES = (0xD800, 0xDFFF)  # the code points that UTF-8 cannot write: the first and the last


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, GENEROUS)
    made.store.ask("eve@example.org")
    made.store.add("old@example.org")
    made.store.ask_move(made.reader("old@example.org").ref, "new@example.org")
    made.client.post(made.confirmation("new@example.org"))
    yield made
    made.store.close()


def described(site: Site, *, ours: bool) -> tuple[dict[str, Any], str]:
    """The pages as an OpenAPI document, and the cookie that goes along.

    With `ours`, links are ours and forms complete, and only what a person types is made up; without, everything is.
    """
    page = site.client.get("/", base_url=BASE)
    (csrf,) = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
    cookie = page.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    pending = site.store.due_sign_ups(1)[0]
    (notice,) = site.store.due_notices(1)
    undo = site.path_of(site.links.undo(notice.ref))
    confirm = site.path_of(site.links.confirm(pending.ref, pending.asked_at))
    choices: dict[str, Any] = {
        "day": {"type": "array", "items": {"enum": ["0", "3", "6", "7", "x", ""]}, "maxItems": 9},
        "pause": {"enum": ["0", "1", "4", "until", "-1", ""]},
        "edition": {"enum": ["top", "top", "mine", ""]},
        **{kind: {"enum": ["", "cs.LG"]} for kind in ("authors", "organisations", "categories")},
        "topics": TEXT,
        "never": {"enum": ["", "..."]},
        "papers": {"enum": ["5", "all"]},
        "hour": {"enum": ["", "23"]},
        "zone": {"enum": ["", "UTC", "Mars"]},
        "act": {"enum": ["save", "show", ""]},
        "until": {"enum": ["2026-12-24", "2026-11-24", "9999-12-31", "0000-00-00", "2026-W50", "soon", ""]},
    }
    email = {"email": {"type": "string", "format": "email"}} if ours else {"email": TEXT}
    form = {"csrf_token": {"enum": [csrf]}, **email, "website": {"enum": ["", "https://x.example"]}}
    operations: dict[tuple[str, str], tuple[str | None, dict[str, Any]]] = {
        ("/", "get"): (None, {}),
        ("/subscribe", "post"): (None, form),
        ("/confirm/{token}", "get"): (confirm, {}),
        ("/confirm/{token}", "post"): (confirm, {}),
        ("/preferences/{token}", "get"): (site.preferences, {}),
        ("/preferences/{token}", "post"): (site.preferences, choices),
        ("/preferences/{token}/address", "post"): (site.preferences, email),
        ("/undo/{token}", "get"): (undo, {}),
        ("/undo/{token}", "post"): (undo, {}),
        ("/unsubscribe/{token}", "get"): (site.link, {}),
        ("/unsubscribe/{token}", "post"): (site.link, {"List-Unsubscribe": TEXT}),
    }
    paths: dict[str, Any] = {}
    for (path, method), (link, fields) in operations.items():
        paths.setdefault(path, {})[method] = _operation(link, fields, ours=ours, limited=path.endswith("/address"))
    return {"openapi": "3.0.3", "info": {"title": "pages", "version": "1"}, "paths": paths}, cookie


def _operation(link: str | None, fields: dict[str, Any], *, ours: bool, limited: bool) -> dict[str, Any]:
    codes = (200, 400, 404, 410, 413, 422, *((429,) if limited else ()))
    operation: dict[str, Any] = {
        "responses": {str(code): {"description": "a page", "content": {"text/html": {}}} for code in codes}
    }
    if link is not None:
        token = {"enum": [link.rpartition("/")[2]]} if ours else {"type": "string", "minLength": 1}
        operation["parameters"] = [{"name": "token", "in": "path", "required": True, "schema": token}]
    if fields:
        required = [name for name in fields if ours and name != "edition"]  # without it, a form of weekdays alone
        schema = {"type": "object", "properties": fields, "required": required}
        operation["requestBody"] = {
            "required": ours,
            "content": {"application/x-www-form-urlencoded": {"schema": schema}},
        }
    return operation


def with_cookie(site: Site, cookie: str) -> Callable[..., Any]:
    """The pages, for a browser that has been on the home page: the fuzzer's client drops other cookies."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return site.app(environ | {"HTTP_COOKIE": f"newsletter={cookie}", "REMOTE_ADDR": "192.0.2.1"}, start_response)

    return app


def state(site: Site) -> object:
    return list(site.store.subscribers()), list(site.store.choices()), site.store.due_sign_ups(1000)


@pytest.fixture(autouse=True)
def hypothesis_knows_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell hypothesis which characters UTF-8 can write. It would try each of the 1.1 million, which takes a second."""
    monkeypatch.setenv("HYPOTHESIS_NO_PLUGINS", "1")  # that of trio, which nothing here uses, takes half a second
    from hypothesis.internal import charmap
    from hypothesis.internal.intervalsets import IntervalSet

    first, last = SURROGATES
    writable = IntervalSet([(0, first - 1), (last + 1, sys.maxunicode)])
    nothing = IntervalSet(())
    ask = charmap.intervals_from_codec
    known = {"utf-8": (writable, nothing)}  # and of these all come back as they were
    monkeypatch.setattr(charmap, "intervals_from_codec", lambda codec: known.get(codec) or ask(codec))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("ours", [True, False], ids=["our links", "any links"])
def test_no_input_breaks_a_page_and_no_get_changes_anything(site: Site, *, ours: bool) -> None:
    import schemathesis  # not at the top, because each process of pytest-xdist would import it: a second

    document, cookie = described(site, ours=ours)
    schema = schemathesis.openapi.from_dict(document)
    schema.app = with_cookie(site, cookie)
    seen: dict[tuple[str, str], set[int]] = {}
    for path, operations in document["paths"].items():
        for method in operations:
            seen[path, method] = fuzz(site, schema[path][method.upper()])
    if ours:
        assert [place for place, codes in seen.items() if 200 not in codes] == []
        assert seen["/preferences/{token}", "post"] == {200, 422}
        assert site.status is SubscriberStatus.UNSUBSCRIBED
    else:
        assert [place for place, codes in seen.items() if "token" in place[0] and codes != {404}] == []
        assert site.status is SubscriberStatus.ACTIVE


def fuzz(site: Site, operation: Any) -> set[int]:
    """Send sixty made-up requests; returns the codes of the answers."""
    from hypothesis import HealthCheck, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    codes: set[int] = set()
    before = state(site)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def act(case: Any) -> None:
        answer = case.call(base_url=BASE)
        case.validate_response(answer, checks=checks)
        codes.add(answer.status_code)

    act()
    if operation.method == "get":
        assert state(site) == before
    return codes
