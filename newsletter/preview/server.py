"""The preview in a browser: the mail of a day as phones, desktops, Outlook and clients without images show it.

The server listens on loopback and refuses requests whose Host is not a loopback name, so that no foreign page can read
the mail (DNS rebinding). It cannot send mail. The page reloads when a template or the configuration changes.
"""

from __future__ import annotations

import html
import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from newsletter.feed import gathering
from newsletter.issue.compose import compose
from newsletter.links import Links
from newsletter.mail.lint import Finding, lint
from newsletter.mail.message import compile_copies
from newsletter.model import Delivery, FrozenIssue, NoIssue, RenderedIssue
from newsletter.preview import personalise
from newsletter.preview.inbox import InboxRow, inbox_row
from newsletter.runtime import Runtime
from newsletter.text import unwrapped, without

_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")

# Widths in px of the frames with the mail. A frame shows no scroll bar, so this is the width that the mail has.
_WIDTHS: Final = {"phone": 375, "desktop": 800}

# The mail may run no script and load nothing but images over https.
_MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src {images}; sandbox allow-popups; base-uri 'none'"
)
_FRAME: Final = (
    "<style>:root {{ color-scheme: {scheme} !important; scrollbar-width: none; }} "
    "::-webkit-scrollbar {{ display: none; }}</style>"
)
_IMAGE: Final = re.compile(r"<img\b|url\(|\bbackground=", re.IGNORECASE)
_PAGE_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'self'"
)


CHOICES: Final = {
    "part": ("html", "outlook", "text", "headers"),
    "width": tuple(_WIDTHS),
    "scheme": ("both", "light", "dark"),
    "images": ("on", "off"),
}


@dataclass(frozen=True, slots=True)
class View:
    """How the page shows the mail: which part, width, colour schemes, and whether with images. See `CHOICES`."""

    part: str = "html"
    width: str = "phone"
    scheme: str = "both"
    images: str = "on"

    @classmethod
    def of(cls, query: dict[str, str]) -> View:
        """The view that a URL's query asks for. An unknown value counts as the first choice."""
        chosen = {name: query[name] for name, values in CHOICES.items() if query.get(name) in values}
        return cls(**chosen)


def offered(view: View, mail: str) -> dict[str, tuple[str, ...]]:
    """The choices that change something in `view` of the HTML `mail`.

    Outlook for Windows has no dark colours of the mail's own and no phone. A mail without images looks the same when
    they are off, one without dark colours the same in the dark.
    """
    choices = {"part": CHOICES["part"]}
    if view.part == "html":
        choices["width"] = CHOICES["width"]
        if "prefers-color-scheme" in mail:
            choices["scheme"] = CHOICES["scheme"]
    if view.part in ("html", "outlook") and _IMAGE.search(mail):
        choices["images"] = CHOICES["images"]
    return choices


def frames(view: View, mail: str) -> list[View]:
    """The views of the HTML `mail` that stand side by side: light and dark, or the one that was asked for."""
    if view.part not in ("html", "outlook"):
        return []
    if "scheme" not in offered(view, mail):
        return [replace(view, scheme="light", width=view.width if view.part == "html" else "desktop")]
    return [replace(view, scheme=scheme) for scheme in ("light", "dark") if view.scheme in (scheme, "both")]


@dataclass(frozen=True, slots=True)
class RenderedDay:
    """The mail of a day with the data that the page shows beside it."""

    rendered: RenderedIssue
    headers: str
    findings: tuple[Finding, ...]
    size: int  # bytes of HTML
    inbox: InboxRow
    language: str
    direction: str


class Previewer:
    """Renders days on request. The feeds of a day are fetched once; templates and configuration are always reread."""

    def __init__(self, config_path: Path, runtime: Runtime, children: Nursery) -> None:
        """`children` parse the feeds, see `gathering.parser`."""
        self._path, self._runtime, self._children = config_path, runtime, children
        self._gathered: dict[tuple[date, Any], gathering.Gathered] = {}

    def config(self) -> Config:
        """The configuration as it is now. Raises ConfigError."""
        return load(self._path)

    def today(self) -> date:
        """The newest ripe day on which the feeds list papers. Raises ConfigError."""
        return self.config().listed(self._runtime.now())

    def render(self, day: date) -> RenderedDay | NoIssue:
        """The mail of `day`, or the reason why there is none. Raises FeedError, TemplateError or ConfigError."""
        config = self.config()
        gathered = self._gather(config, day)
        issue = compose(gathered.feeds, day, config.issue, config.filters)
        if not issue.papers:
            return prepare.no_papers(issue, gathered, config.calendars)
        rendered = prepare.render(config, issue)
        return RenderedDay(
            rendered=personalise(rendered, config),
            headers=_headers(rendered, config),
            findings=tuple(lint(rendered, config.catalogues)),
            size=len(rendered.html.encode()),
            inbox=inbox_row(rendered, config.publication),
            language=config.publication.language,
            direction=config.publication.direction,
        )

    def _gather(self, config: Config, day: date) -> gathering.Gathered:
        key = (day, config.feeds)
        if key not in self._gathered:
            self._gathered[key] = gathering.gather(config, day, self._runtime, self._children)
        return self._gathered[key]


def _headers(rendered: RenderedIssue, config: Config) -> str:
    """The headers of a sample subscriber's copy as `run` makes them; the tokens in its links are not valid."""
    now = datetime.now(UTC).replace(microsecond=0)
    frozen = FrozenIssue(0, 0, rendered, config.publication, now, now + timedelta(hours=config.issue.lifetime))
    sample = Delivery(0, 0, 0, "0" * 16, "reader@example.org", 0)
    message = compile_copies(frozen, Links("preview", config.publication)).envelope(sample).message
    return message.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n")


# --- the mail as clients see it --------------------------------------------------------------------------------------


def as_seen(mail: str, view: View) -> str:
    """The mail's HTML as the client of `view` shows it.

    The media query for dark colours is replaced by its result, because a frame cannot have its own colour scheme. The
    frame's own colours follow, and its scroll bar takes no width, as on a phone.
    """
    dark = view.scheme == "dark"
    frame = _FRAME.format(scheme="dark" if dark else "light")
    if view.part == "outlook":
        # Outlook for Windows reads its own comments, ignores the style sheet, and does not show <xml>.
        mail = unwrapped(mail, "<!--[if mso]>", "<![endif]-->")
        return frame_style(without(without(mail, "<style", "</style>"), "<xml", "</xml>"), frame)
    return frame_style(re.sub(r"\(prefers-color-scheme:\s*dark\)", "all" if dark else "not all", mail), frame)


def frame_style(mail: str, style: str) -> str:
    """`mail` with `style` at the end of its head, or of the whole if it has none."""
    head, end, rest = mail.partition("</head>")
    return f"{head}{style}{end}{rest}"


# --- the pages -------------------------------------------------------------------------------------------------------


def create_app(previewer: Previewer, changes: ChangeWatcher) -> flask.Flask:
    """The preview as a Flask application: the page at ``/``, the mail in its frame at ``/mail``, and ``/changes``."""
    app = flask.Flask(__name__, template_folder=".", static_folder="static")

    @app.before_request
    def only_loopback_names() -> flask.Response | None:
        host = flask.request.headers.get("Host", "")
        name = re.sub(r":\d+$", "", host)
        return None if name in _HOSTS else flask.Response("This preview can be opened as 127.0.0.1 only.\n", 421)

    @app.get("/")
    def page() -> str:
        view = View.of(flask.request.args.to_dict())
        day, shown, problem = _requested_day(previewer)
        mail = shown.rendered.html if shown else ""
        return flask.render_template(
            "page.html", view=view, day=day, shown=shown, problem=problem, choices=offered(view, mail),
            frames=frames(view, mail), widths=_WIDTHS, clip=102 * 1024, query=CHOICES, previous=beside(day, -1),
            next=beside(day, 1), link=lambda **changed: _link(view, day, **changed),
        )  # fmt: skip

    @app.get("/mail")
    def mail() -> flask.Response:
        view = View.of(flask.request.args.to_dict())
        _, shown, problem = _requested_day(previewer)
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


def _requested_day(previewer: Previewer) -> tuple[date, RenderedDay | None, str]:
    """The day in the URL's query, its mail, and if there is no mail the reason."""
    written = flask.request.args.get("date", "")
    try:
        day = date.fromisoformat(written) if written else previewer.today()
    except ValueError:
        return datetime.now(UTC).date(), None, f"{written} is not a date; write it as YYYY-MM-DD"
    except NewsletterError as error:
        return datetime.now(UTC).date(), None, str(error)
    try:
        shown = previewer.render(day)
    except (FeedError, NewsletterError) as error:
        return day, None, str(error)
    if isinstance(shown, NoIssue):
        return day, None, f"{shown.verdict} - {shown.explanation}"
    return day, shown, ""


def beside(day: date, step: int) -> date | None:
    """The day before (`step` -1) or after (1) `day`; None at the ends of the calendar."""
    try:
        return day + timedelta(days=step)
    except OverflowError:
        return None


def _link(view: View, day: date, **changed: str) -> str:
    values = {name: getattr(view, name) for name in CHOICES} | {"date": day.isoformat()} | changed
    return "?" + "&".join(f"{name}={value}" for name, value in values.items())


# --- watching and serving --------------------------------------------------------------------------------------------


class ChangeWatcher:
    """Watches templates and configuration, and tells every open page when one changes."""

    def __init__(self, config: Path, templates: tuple[Path, ...]) -> None:
        self._config, self._templates = config.resolve(), templates
        self._changed = threading.Condition()
        self._number = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start watching in threads of its own.

        The configuration is watched through its folder, because editors replace the file. Other names in that folder,
        which may be a home directory, are ignored.
        """
        for watch in (self._watch_config, self._watch_templates):
            threading.Thread(target=watch, daemon=True).start()

    def _watch_config(self) -> None:
        folder = self._config.parent
        for changes in watchfiles.watch(folder, stop_event=self._stopping, debounce=100, recursive=False):
            if any(Path(path).name == self._config.name for _, path in changes):
                self._notify()

    def _watch_templates(self) -> None:
        for _ in watchfiles.watch(*self._templates, stop_event=self._stopping, debounce=100):
            self._notify()

    def stop(self) -> None:
        """Stop watching, and end every stream."""
        self._stopping.set()
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._number += 1
            self._changed.notify_all()

    def stream(self) -> Iterator[str]:
        """Server-sent events: one per change, and a comment every 15 seconds to detect closed connections."""
        seen = self._number
        yield ": watching\n\n"
        while not self._stopping.is_set():
            now = self._wait_for_change(seen)
            yield "data: changed\n\n" if now != seen else ": still here\n\n"
            seen = now

    def _wait_for_change(self, seen: int) -> int:
        """The number of changes so far, once it is no longer `seen` or after 15 seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen, timeout=15)
            return self._number


@dataclass
class Server:
    """A preview server that is bound to its port."""

    _http: BaseWSGIServer
    _changes: ChangeWatcher
    _children: Nursery

    @property
    def url(self) -> str:
        """The URL of the page."""
        return f"http://127.0.0.1:{self._http.port}/"

    def serve(self) -> None:
        """Serve until `stop` is called from another thread."""
        self._http.serve_forever(poll_interval=0.05)  # seconds until it sees that it was stopped

    def stop(self) -> None:
        """Stop serving and watching."""
        self._changes.stop()
        self._http.shutdown()
        self._children.stop()


def start(config_path: Path, port: int, runtime: Runtime) -> Server:
    """Bind to `port` on loopback (0 for any free one) and start watching files.

    Raises ConfigError, and OSError if the port cannot be used.
    """
    children = gathering.parser()
    children.start()  # before any thread
    previewer = Previewer(config_path, runtime, children)
    own = previewer.config().templates
    changes = ChangeWatcher(config_path, (resources.find("templates"), *([own] if own else [])))
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line per request
    with socket.create_server(("127.0.0.1", port)) as bound:  # werkzeug would end the process if the port is taken
        http = make_server("127.0.0.1", port, create_app(previewer, changes), threaded=True, fd=bound.fileno())
    changes.start()
    return Server(http, changes, children)
