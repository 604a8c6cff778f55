"""The preview in a browser: one day's mail as phones, desktops, Outlook and readers without images get it.

It listens on loopback and answers only to a loopback name (DNS rebinding: a foreign page must not read the mail). A GET
changes nothing, and nothing here can send. The page reloads when a template or the config changes: the files are
watched, the page is told.
"""

from __future__ import annotations

import html
import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import flask
import watchfiles
from werkzeug.serving import BaseWSGIServer, make_server

from newsletter import prepare, resources
from newsletter.children import Nursery
from newsletter.config import Config, load
from newsletter.errors import FeedError, NewsletterError
from newsletter.issue.compose import compose
from newsletter.links import Links
from newsletter.mail.lint import Finding, lint
from newsletter.mail.message import compile_copies
from newsletter.model import Delivery, FrozenIssue, NoIssue, RenderedIssue
from newsletter.preview import personalise
from newsletter.runtime import Runtime

_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")

# Width in px of the frame that shows the mail.
_WIDTHS: Final = {"phone": 375, "desktop": 800}

# The mail in its frame: nothing is executed, nothing is loaded but https images.
_MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src {images}; sandbox allow-popups; base-uri 'none'"
)
_PAGE_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'self'"
)


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows, as its address says: which part, how wide, which colours, with images or without."""

    part: str = "html"
    width: str = "phone"
    scheme: str = "light"
    images: str = "on"

    @classmethod
    def of(cls, asked: dict[str, str]) -> View:
        """The view an address asks for; what it does not know is the first choice."""
        chosen = {name: asked[name] for name, values in CHOICES.items() if asked.get(name) in values}
        return cls(**chosen)


CHOICES: Final = {
    "part": ("html", "outlook", "text", "headers"),
    "width": tuple(_WIDTHS),
    "scheme": ("light", "dark"),
    "images": ("on", "off"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A rendered day with all that the page says about it."""

    rendered: RenderedIssue
    headers: str
    findings: tuple[Finding, ...]
    size: int  # bytes of HTML


class Desk:
    """Renders days on request. Feeds are asked once a day shown; templates and config are read anew each time."""

    def __init__(self, config_path: Path, runtime: Runtime, children: Nursery) -> None:
        """`children` parse the feeds, see `prepare.parser`."""
        self._path, self._world, self._children = config_path, runtime, children
        self._gathered: dict[tuple[date, Any], prepare.Gathered] = {}

    def config(self) -> Config:
        """The configuration as it is now. Raises ConfigError."""
        return load(self._path)

    def today(self) -> date:
        """The day a visitor sees first."""
        return self.config().today(self._world.now())

    def show(self, day: date) -> Shown | NoIssue:
        """A day, or the verdict that says why there is no mail. Raises FeedError, TemplateError or ConfigError."""
        config = self.config()
        gathered = self._gather(config, day)
        issue = compose(gathered.feeds, day, config.issue, config.filters)
        if not issue.papers:
            return prepare.no_papers(issue, gathered, config.calendars)
        rendered = prepare.render(config, issue)
        return Shown(
            rendered=personalise(rendered, config),
            headers=_headers(rendered, config),
            findings=tuple(lint(rendered)),
            size=len(rendered.html.encode()),
        )

    def _gather(self, config: Config, day: date) -> prepare.Gathered:
        key = (day, config.feeds)
        if key not in self._gathered:
            self._gathered[key] = prepare.gather(config, day, self._world, self._children)
        return self._gathered[key]


def _headers(rendered: RenderedIssue, config: Config) -> str:
    """The headers of a sample reader's copy, made as `run` makes them, with a signature that opens nothing."""
    now = datetime.now(UTC).replace(microsecond=0)
    frozen = FrozenIssue(0, 0, rendered, config.publication, now, now + timedelta(hours=config.issue.lifetime))
    sample = Delivery(0, 0, 0, "0" * 16, "reader@example.org", 0)
    message = compile_copies(frozen, Links("preview", config.publication)).envelope(sample).message
    return message.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n")


# --- the mail as clients see it --------------------------------------------------------------------------------------


def as_seen(mail: str, view: View) -> str:
    """The mail's HTML as the client of `view` has it.

    A frame cannot choose its own colour scheme, so the media query is answered here.
    """
    if view.part == "outlook":
        mail = re.sub(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", r"\1", mail, flags=re.DOTALL)
        # The style sheet it does not read, the <xml> it reads and does not show.
        return re.sub(r"<(style|xml)\b.*?</\1>", "", mail, flags=re.DOTALL | re.IGNORECASE)
    answer = "all" if view.scheme == "dark" else "not all"
    return re.sub(r"\(prefers-color-scheme:\s*dark\)", answer, mail)


# --- the pages -------------------------------------------------------------------------------------------------------


def create_app(desk: Desk, changes: Changes) -> flask.Flask:
    """The preview as a Flask application."""
    app = flask.Flask(__name__, template_folder=".", static_folder="static")

    @app.before_request
    def only_loopback_names() -> flask.Response | None:
        host = flask.request.headers.get("Host", "")
        name = re.sub(r":\d+$", "", host)
        return None if name in _HOSTS else flask.Response("This preview answers to 127.0.0.1 only.\n", 421)

    @app.get("/")
    def page() -> str:
        view = View.of(flask.request.args.to_dict())
        day, shown, problem = _asked(desk)
        return flask.render_template(
            "page.html", view=view, day=day, shown=shown, problem=problem, choices=CHOICES, width=_WIDTHS[view.width],
            clip=102 * 1024, link=lambda **changed: _link(view, day, **changed),
        )  # fmt: skip

    @app.get("/mail")
    def mail() -> flask.Response:
        view = View.of(flask.request.args.to_dict())
        _, shown, problem = _asked(desk)
        body = as_seen(shown.rendered.html, view) if shown else f"<p>{html.escape(problem)}"
        response = flask.Response(body, mimetype="text/html")
        response.headers["Content-Security-Policy"] = _MAIL_POLICY.format(
            images="https:" if view.images == "on" else "'none'"
        )
        return response

    @app.get("/changes")
    def stream() -> flask.Response:
        return flask.Response(changes.stream(), mimetype="text/event-stream")

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _asked(desk: Desk) -> tuple[date, Shown | None, str]:
    """The day that the address asks for, what there is to show of it, or why there is nothing."""
    written = flask.request.args.get("date", "")
    try:
        day = date.fromisoformat(written) if written else desk.today()
    except ValueError:
        return datetime.now(UTC).date(), None, f"{written} is not a day"
    except NewsletterError as error:
        return datetime.now(UTC).date(), None, str(error)
    try:
        shown = desk.show(day)
    except (FeedError, NewsletterError) as error:
        return day, None, str(error)
    if isinstance(shown, NoIssue):
        return day, None, f"{shown.verdict} - {shown.explanation}"
    return day, shown, ""


def _link(view: View, day: date, **changed: str) -> str:
    values = {name: getattr(view, name) for name in CHOICES} | {"date": day.isoformat()} | changed
    return "?" + "&".join(f"{name}={value}" for name, value in values.items())


# --- watching and serving --------------------------------------------------------------------------------------------


class Changes:
    """Tells every open page when a template or the config has changed."""

    def __init__(self, config: Path, templates: tuple[Path, ...]) -> None:
        self._config, self._templates = config.resolve(), templates
        self._changed = threading.Condition()
        self._number = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to watch, in threads of its own.

        The config is watched through its folder, because editors put a new file in its place, but only that name in it:
        the folder may be somebody's home.
        """
        for watch in (self._watch_config, self._watch_templates):
            threading.Thread(target=watch, daemon=True).start()

    def _watch_config(self) -> None:
        folder = self._config.parent
        for changes in watchfiles.watch(folder, stop_event=self._stopping, debounce=100, recursive=False):
            if any(Path(path).name == self._config.name for _, path in changes):
                self._tell()

    def _watch_templates(self) -> None:
        for _ in watchfiles.watch(*self._templates, stop_event=self._stopping, debounce=100):
            self._tell()

    def stop(self) -> None:
        """End the watching and every stream."""
        self._stopping.set()
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._number += 1
            self._changed.notify_all()

    def stream(self) -> Iterator[str]:
        """Server-sent events: one for each change; a comment now and then finds out who has gone."""
        seen = self._number
        yield ": watching\n\n"
        while not self._stopping.is_set():
            now = self._later_than(seen)
            yield "data: changed\n\n" if now != seen else ": still here\n\n"
            seen = now

    def _later_than(self, seen: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen, timeout=15)
            return self._number


@dataclass
class Server:
    """A running preview; `url` is where to look."""

    _http: BaseWSGIServer
    _changes: Changes
    _children: Nursery

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._http.port}/"

    def serve(self) -> None:
        """Serve until `stop` is called from another thread."""
        self._http.serve_forever()

    def stop(self) -> None:
        """End it."""
        self._changes.stop()
        self._http.shutdown()
        self._children.stop()


def start(config_path: Path, port: int, runtime: Runtime) -> Server:
    """Bind to loopback (port 0: any free one) and begin to watch. Raises ConfigError, or OSError: the port is taken."""
    children = prepare.parser()
    children.start()  # before any thread
    desk = Desk(config_path, runtime, children)
    own = desk.config().templates
    changes = Changes(config_path, (resources.find("templates"), *([own] if own else [])))
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request hides the one that matters
    with socket.create_server(("127.0.0.1", port)) as bound:  # werkzeug would end the process if the port is taken
        http = make_server("127.0.0.1", port, create_app(desk, changes), threaded=True, fd=bound.fileno())
    changes.start()
    return Server(http, changes, children)
