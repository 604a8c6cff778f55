"""What all web pages share: the store, the links, and the rendering of templates into responses."""

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

# Characters of a mistyped address that the form shows again. No address is longer (RFC 5321 section 4.5.3.1).
LONGEST_SHOWN: Final = 320


@dataclass(frozen=True)
class Site:
    """The web site of one publication. `wake` is called when a confirmation mail may be due; `now` gives UTC."""

    config: Config
    store: Store
    links: Links
    renderer: Renderer
    wake: Callable[[], None]
    now: Callable[[], datetime]

    def page(self, name: str, status: int = 200, **values: Any) -> flask.Response:
        """A response with status `status`, rendered from templates/web/`name` with `home_url`, `root` and `values`."""
        home = flask.url_for("home.show")
        text = self.renderer.page(f"web/{name}", home_url=home, root=home, **values)
        return flask.Response(text, status)

    def message(self, state: str, status: int = 200) -> flask.Response:
        """A page with only a message; `state` is one that templates/web/message.html knows."""
        return self.page("message.html", status, state=state)

    def unknown(self) -> flask.Response:
        """The 404 page. It is the same for an invalid token and an unknown URL."""
        return self.message("unknown", 404)
