"""The web pages of a list with one subscriber, for Flask's test client or as a process."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from newsletter import config as configs
from newsletter.links import Links
from newsletter.model import Subscriber, SubscriberStatus
from newsletter.store import Store
from newsletter.web import create_app
from newsletter.web.confirmations import ConfirmationSender
from tests import program
from tests.conftest import PUBLICATION, ROOT
from tests.fakes import FakeClock
from tests.migrated import store_file

ADDRESS = "ada@example.org"
BASE = "https://news.example.org"
SECRET = "a secret of this test"


def write_config(folder: Path, more: str = "", *, base: str = BASE, secret: str = SECRET) -> Path:
    """Write a config.yaml with the lines `more` at its end into `folder`; returns its path."""
    path = folder / "config.yaml"
    path.write_text(
        f"sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\nsecret: {secret}\n"
        f"list_id: {PUBLICATION.list_id}\nbase_url: {base}\nfeeds:\n  - url: x.json\n{more}",
        "utf-8",
    )
    path.chmod(0o600)
    return path


class Site:
    """The web pages with config, store and test client. The clock stands still until the test moves it."""

    def __init__(
        self, folder: Path, more: str = "", *, base: str = BASE, store: str | None = None, secret: str = SECRET
    ) -> None:
        self.path = write_config(folder, more, base=base, secret=secret)
        self.config = configs.load(self.path)
        self.clock = FakeClock()
        self.store = Store.open(store or store_file(folder / "newsletter.db"), now=self.clock.now)
        self.store.add(ADDRESS)
        self.links = Links(secret, self.config.publication)
        self.link = self.path_of(self.links.unsubscribe(self.reader().ref)[0])
        self.preferences = self.path_of(self.links.preferences(self.reader().ref))
        self.woken = 0
        self.app = create_app(self.config, self.store, wake=self._wake, now=self.clock.now)
        self.client: FlaskClient = self.app.test_client()

    def _wake(self) -> None:
        self.woken += 1

    def path_of(self, url: str) -> str:
        """The path of one of the site's links."""
        return url.removeprefix(BASE)

    def reader(self, address: str = ADDRESS) -> Subscriber:
        """The subscriber with this address."""
        found = self.store.find(address)
        assert found is not None
        return found

    @property
    def status(self) -> SubscriberStatus:
        """Status of the subscriber at ADDRESS."""
        return self.reader().status

    def subscribe(self, email: str, **more: Any) -> TestResponse:
        """Load the home page and send its form, as a browser does."""
        page = self.client.get("/", base_url=BASE).text
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)
        form = {"csrf_token": token, "email": email, "website": ""}
        return self.client.post("/subscribe", data=form, base_url=BASE, **more)

    def confirmation(self, address: str) -> str:
        """The path of the confirmation link that is due for `address`. Its mail is recorded as sent."""
        (due,) = [each for each in self.store.due_sign_ups(100) if each.address == address]
        self.store.note_mailed(due)
        return self.path_of(self.links.confirm(due.ref, due.asked_at))

    def confirmation_sender(self) -> ConfirmationSender:
        """A sender for the confirmations of these pages."""
        return ConfirmationSender(self.config, self.store, now=self.clock.now)


class Server:
    """`newsletter web` as a process on a free port. `greeting` is its first line of output."""

    def __init__(self, site: Site) -> None:
        site.store.close()
        self.cookies = ""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [*program.COMMAND, "-c", str(site.path), "web", "--port", str(self.port)]
        self.process = program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        """Send one request; returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        form = {"Content-Type": "application/x-www-form-urlencoded"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method, path, body, form)
        answer = connection.getresponse()
        text = answer.read().decode()
        self.cookies = (answer.getheader("Set-Cookie") or self.cookies).partition(";")[0]
        connection.close()
        return answer.status, text

    def subscribe(self, email: str, **headers: str) -> int:
        """Send the form of the home page; its status."""
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', self.ask("GET", "/")[1])
        form = f"csrf_token={token}&email={email}&website="
        return self.ask("POST", "/subscribe", form, Cookie=self.cookies, **headers)[0]

    def stop(self) -> tuple[int, str, str]:
        """Send SIGTERM; returns the exit code and the rest of standard output and standard error."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err
