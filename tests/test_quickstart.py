"""The commands of docs/quickstart.md, run as they stand and in their order, by one shell with an empty home.

What stands in for the reader's: `pipx install` is left out, since the program of this checkout is on the PATH
(tests/test_wheel.py installs the wheel). `editor` is a script that sets the values of the page's own YAML block, except
that the mail server and its password are the test's, and the feed is a file. `crontab` is a script that keeps a file.
`check` asks the name servers that the machine has, and what they answer does not matter.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
import yaml

from tests import program
from tests.conftest import ROOT
from tests.smtpd import Authority, Script, Smtpd, smtpd

PAGE = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
PASSWORD = "open sesame"
MARK = "=== exit code"

EDITOR = """\
#!{python}
import sys, yaml
config, password = sys.argv[1:]
document = yaml.safe_load(open(config, encoding="utf-8")) | yaml.safe_load({block!r})
document["smtp"][0] |= {{"host": "localhost", "port": {port}, "ca_file": {ca!r}}}
document["feeds"] = [{{"url": {feed!r}}}]
yaml.safe_dump(document, open(config, "w", encoding="utf-8"))
open(password, "w").write({secret!r})
"""
CRONTAB = """\
#!/bin/sh
if [ "$1" != -l ]; then exec cat > "$HOME/crontab"; fi
if [ -e "$HOME/crontab" ]; then exec cat "$HOME/crontab"; fi
echo "no crontab for reader" >&2
exit 1
"""


def blocks(language: str) -> list[str]:
    """The code blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines after a prompt, in the order of the page."""
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Smtpd]:
    """The mail server, as the page's YAML block asks for it: STARTTLS and a login."""
    script = Script(
        tls=Authority.make(tmp_path).context(),
        extensions=("SIZE 10000000", "8BITMIME", "AUTH PLAIN"),
        password=PASSWORD,
    )
    with smtpd(script) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, server: Smtpd) -> Iterator[dict[str, str]]:
    """The environment of the shell."""
    (block,) = blocks("yaml")
    folder = tmp_path / "bin"
    folder.mkdir()
    values = {
        "python": sys.executable, "block": block, "port": server.port, "ca": str(tmp_path / "authority.pem"),
        "feed": str(ROOT / "newsletter" / "sample_day.json"), "secret": PASSWORD,
    }  # fmt: skip
    (folder / "editor").write_text(EDITOR.format(**values), "utf-8")
    (folder / "crontab").write_text(CRONTAB, "utf-8")
    for each in folder.iterdir():
        each.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    with program.script(folder / "newsletter"):
        yield {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8"}


def results(shell: dict[str, str]) -> dict[str, tuple[int, str]]:
    """Exit code and output of each command of the page but the first; they are run in one shell."""
    ran = [command for command in commands() if not command.startswith("pipx install ")]
    script = "".join(f"{command} 2>&1\necho '{MARK}' $?\n" for command in ran)
    done = subprocess.run(
        ["bash", "-c", script], cwd=shell["HOME"], env=shell, capture_output=True, text=True, check=False
    )
    parts = re.split(rf"{MARK} (\d+)\n", done.stdout)
    return {command: (int(code), said) for command, said, code in zip(ran, parts[::2], parts[1::2], strict=False)}


def test_the_commands_lead_from_nothing_to_a_mail_and_a_schedule(
    shell: dict[str, str], server: Smtpd, tmp_path: Path
) -> None:
    done = results(shell)
    said = {command: text for command, (_, text) in done.items()}
    failed = {command: text for command, (code, text) in done.items() if code != 0 and command != "newsletter check"}
    assert failed == {}
    assert len(done) == len(commands()) - 1
    checked = [line.split() for line in said["newsletter check"].splitlines() if line[:4] in ("ok  ", "BAD ", "warn")]
    assert {subject for level, subject, *_ in checked if level == "BAD"} <= {"dns"}
    assert {"config", "secret", "templates", "feeds", "smtp"} <= {
        subject for level, subject, *_ in checked if level == "ok"
    }
    assert said["newsletter demo"].splitlines()[-1] == "verdict: new-issue - 3 accepted"
    assert said["newsletter run"].splitlines()[-1] == "verdict: new-issue - 1 accepted"
    assert "1 active" in said["newsletter status"]
    home = Path(shell["HOME"])
    assert (home / "demo" / "digest.html").exists()
    assert (home / "papers" / "preview" / "digest.html").exists()
    jobs = [line for line in (home / "crontab").read_text("utf-8").splitlines() if line[:1] not in ("#", "")]
    assert len(jobs) == 2
    (message,) = [message_from_bytes(raw, policy=default) for raw in server.messages]
    assert message["To"] == "you@example.org"
    assert message["From"] == yaml.safe_load(blocks("yaml")[0])["sender"]


def test_the_page_shows_only_commands_that_are_run_or_named_as_alternatives() -> None:
    assert commands()[0].startswith("pipx install 'daily-papers-newsletter[")
    assert {command.split()[0] for command in commands()} == {"pipx", "newsletter", "cd", "editor", "chmod"}
