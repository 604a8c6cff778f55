"""What every page works with: the store, the links, and how a template becomes an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import flask

from newsletter.config import Config
from newsletter.links import Links
from newsletter.mail.render import Renderer
from newsletter.store import Store

# Characters of what was typed as an address that are shown again; none is longer (RFC 5321 section 4.5.3.1).
LONGEST_SHOWN: Final = 320


@dataclass(frozen=True)
class Site:
    """The pages of one publication. `wake` tells that a confirmation may be due; `now` is UTC."""

    config: Config
    store: Store
    links: Links
    renderer: Renderer
    wake: Callable[[], None]
    now: Callable[[], datetime]

    def page(self, name: str, status: int = 200, **values: Any) -> flask.Response:
        """The page of templates/web/`name`, which also gets `home_url`."""
        text = self.renderer.page(f"web/{name}", home_url=flask.url_for("home.show"), **values)
        return flask.Response(text, status)

    def say(self, state: str, status: int = 200) -> flask.Response:
        """A page that only says something."""
        return self.page("message.html", status, state=state)

    def unknown(self) -> flask.Response:
        """The page for whatever is not ours: the same for every wrong link."""
        return self.say("unknown", 404)
