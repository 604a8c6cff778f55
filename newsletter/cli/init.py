"""The command `init`: asks what a first run needs, tries each answer, and writes config.yaml and the secrets."""

from __future__ import annotations

import json
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from newsletter import resources
from newsletter.cli import login
from newsletter.cli.login import COLUMN, Login
from newsletter.errors import NewsletterError

if TYPE_CHECKING:  # the functions that try answers load it: the example is written in a third of the time without
    from newsletter.check import Finding, Options

_PORTS: Final = {465: "implicit", 587: "starttls"}  # RFC 8314; any other port is tried with starttls
_ADVICE: Final = ("dns", "web")  # subjects whose faults are mended elsewhere: no other answer would help
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator has answered; None is what they were not asked yet, and then the example's value stays.

    `smtp` is HOST or HOST:PORT, `tls` a value of smtp.tls, and an empty `username` means no login; `login` says how.
    """

    sender: str | None = None
    postal_address: str | None = None
    list_id: str | None = None
    smtp: str | None = None
    tls: str | None = None
    username: str | None = None
    login: Login | None = None
    feed: str | None = None
    base_url: str | None = None
    language: str | None = None

    @property
    def domain(self) -> str:
        """The domain of the sender."""
        return parseaddr(self.sender or "")[1].rpartition("@")[2] or "example.org"


def answers_of(
    *,
    password_file: TextIO | None,
    token_command: str | None,
    refresh_token_file: TextIO | None,
    token_issuer: str | None,
    client_id: str | None,
    client_secret_file: TextIO | None,
    tenant: str | None,
    **answers: str | None,
) -> Answers:
    """The answers that the options of `newsletter init` give."""
    password, token, secret = (
        None if file is None else file.read().rstrip("\r\n")
        for file in (password_file, refresh_token_file, client_secret_file)
    )
    how = Login(password, token_command, token_issuer, client_id, secret, token, tenant)
    return Answers(**answers, login=None if how == Login() else how)


@dataclass(frozen=True, slots=True)
class Question:
    """A question: the field of `Answers`, its words, and the subjects of `newsletter check` that try the answer.

    Without an answer that is `required` nothing can be written.
    """

    name: str
    words: str
    subjects: frozenset[str] = frozenset()
    required: bool = False


QUESTIONS: Final = (
    Question("sender", "Sender: name and address that mails come from, such as Papers <papers@news.example.org>",
             required=True),
    Question("postal_address", "Postal address for the footer, which bulk mail must show", required=True),
    Question("list_id", "List-Id, by which readers filter: choose it once"),
    Question("smtp", "Mail server, HOST or HOST:PORT", frozenset({"smtp", "dns"}), required=True),
    Question("feed", "Feed: a URL", frozenset({"feeds"})),
    Question("base_url", "Web address of `newsletter web`, or - for unsubscribing by mail only", frozenset({"web"})),
    Question("language", "Language of the mail", frozenset({"language"})),
)  # fmt: skip


def plain(folder: Path) -> Iterator[str]:
    """Write the example's config.yaml and a new secret into `folder`; yields a line for each step.

    Raises NewsletterError if there is a config.yaml already. An existing secret is kept.
    """
    refuse_existing(folder)
    yield from write(folder, Answers())
    config = folder / "config.yaml"
    yield "Next: set sender, postal_address, list_id, base_url and smtp in it; then look at a day before you send one:"
    yield f"  newsletter -c {config} preview"


def ask(folder: Path, given: Answers, options: Options) -> Iterator[str]:
    """Ask on the terminal for what is not `given`, try each answer, and write; yields a line for each step.

    Raises NewsletterError before the first question if there is a config.yaml already.
    """
    refuse_existing(folder)
    answers, told = Answers(), set[str]()
    for question in QUESTIONS:
        while True:
            answers = _answered(answers, given, question, offline=options.offline)
            answers, found = tried(answers, question, options)
            for line in (shown(finding) for finding in found):
                if line not in told:
                    click.echo(line)
            told |= {shown(finding) for finding in found if finding.subject in _ADVICE}  # once is enough
            faults = _faults(found)
            mistaken = any(fault.subject == "config" for fault in faults)  # no command could read it
            if not faults or not (mistaken or not click.confirm("Keep it anyway?")):
                break
            given = replace(given, **{question.name: None, "tls": None, "username": None, "login": None})
    yield from write(folder, answers)
    yield from _next(folder)


def from_options(folder: Path, given: Answers, options: Options) -> Iterator[str]:
    """The same without a terminal; an answer that is BAD ends it. Yields a line for each step.

    Raises NewsletterError if there is a config.yaml, and click's Exit with the exit code of `newsletter check`.
    """
    from newsletter.check import exit_code

    refuse_existing(folder)
    if given.login is not None and (said := login.mistaken(given.login)):
        raise click.UsageError(said)
    missing = [question.name for question in QUESTIONS if question.required and not getattr(given, question.name)]
    if missing:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise click.UsageError(f"without a terminal {names} must be given too; `newsletter init` alone needs none")
    offered = {question.name: suggestion(given, question.name) for question in QUESTIONS if not question.required}
    filled: dict[str, Any] = {name: getattr(given, name) or value for name, value in offered.items()}
    answers = replace(given, **filled)
    for question in QUESTIONS:
        answers, found = tried(answers, question, options)
        for finding in found:
            click.echo(shown(finding), err=True)
        if codes := _faults(found):
            option = question.name.replace("_", "-")
            click.echo(f"newsletter: --{option}: {codes[0].words}; nothing was written", err=True)
            raise click.exceptions.Exit(exit_code(codes))
    yield from write(folder, answers)
    yield from _next(folder)


def _faults(found: list[Finding]) -> list[Finding]:
    """The findings that another answer would mend."""
    from newsletter.check import Level

    return [finding for finding in found if finding.level is Level.BAD and finding.subject not in _ADVICE]


def _next(folder: Path) -> Iterator[str]:
    config = folder / "config.yaml"
    yield "Next: look at a day, add yourself, and send:"
    yield f"  newsletter -c {config} preview"
    yield f"  newsletter -c {config} subscribers add YOU@YOUR.DOMAIN"
    yield f"  newsletter -c {config} run"


# --- the questions ---------------------------------------------------------------------------------------------------


def _answered(answers: Answers, given: Answers, question: Question, *, offline: bool) -> Answers:
    """`answers` with that to one question, taken from the options or asked for.

    Unless `offline`, the mail server is asked which logins it offers.
    """
    from newsletter.check import logins

    value = getattr(given, question.name)
    if value is None:
        value = click.prompt(question.words, default=suggestion(answers, question.name) or None).strip()
    if question.name != "smtp":
        return replace(answers, **{question.name: value})
    username, how = given.username, given.login
    if username is None:
        username = click.prompt("Name for the login there, or - for none", default=_login(answers, value)).strip()
    answers = replace(answers, smtp=value, tls=given.tls, username=username)
    if _logs_in(answers) and how is None:
        host, port = host_and_port(value)
        offered = [] if offline else logins(host, port, _tls(answers))
        how = login.ask(host, answers.domain, offered)
    return replace(answers, login=how)


def suggestion(answers: Answers, name: str) -> str:
    """The answer that is offered; empty if only the operator can know it."""
    return {
        "list_id": f"daily-papers.{answers.domain}",
        "smtp": f"smtp.{answers.domain}:587",
        "feed": "https://huggingface.co/api/daily_papers?date={date}&limit=100",
        "base_url": "-",
        "language": "en",
    }.get(name, "")


def _login(answers: Answers, server: str) -> str:
    return "-" if host_and_port(server)[0] in _LOCAL else parseaddr(answers.sender or "")[1]


def host_and_port(server: str) -> tuple[str, int]:
    """HOST, HOST:PORT or [IPv6]:PORT in two parts; port 25 for this machine and 587 for others."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s]+))(?::(\d{1,5}))?", server)
    host = (match[1] or match[2]) if match else server
    port = int(match[3]) if match and match[3] else 25 if host in _LOCAL else 587
    return host, port


def _tls(answers: Answers) -> str:
    """The kind of TLS: as answered, else by the port."""
    host, port = host_and_port(answers.smtp or "")
    return answers.tls or ("none" if host in _LOCAL else _PORTS.get(port, "starttls"))


# --- trying ----------------------------------------------------------------------------------------------------------


def tried(answers: Answers, question: Question, options: Options) -> tuple[Answers, list[Finding]]:
    """The answers and what `newsletter check` finds about one of them: mistakes, and faults of what it names.

    If the mail server only wants another kind of TLS, that is taken.
    """
    answers, found = _examined(answers, question, options)
    for finding in found:
        kind = re.fullmatch(r"set: smtp\.0\.tls: (\w+)", str(finding.remedy or ""))
        if kind and answers.tls is None and (kind[1] != "none" or host_and_port(answers.smtp or "")[0] in _LOCAL):
            return _examined(replace(answers, tls=kind[1]), question, options)
    return answers, found


def _examined(answers: Answers, question: Question, options: Options) -> tuple[Answers, list[Finding]]:
    """What is found, and the answers with the refresh token that the issuer may have given for the one it got."""
    from newsletter.check import Level, examine

    with tempfile.TemporaryDirectory(prefix="newsletter-init-") as place:
        list(write(Path(place), answers))
        path = Path(place) / "config.yaml"
        found = list(examine(path, options, subjects=question.subjects | {"config"}))
        if answers.login is not None and answers.login.refresh_token is not None:
            token = (Path(place) / login.REFRESH_FILE).read_text("utf-8").strip()
            answers = replace(answers, login=replace(answers.login, refresh_token=token))
    key = question.name + ("s" if question.name == "feed" else "")
    about_others = [f"{other.name}{'s' if other.name == 'feed' else ''}" for other in QUESTIONS if other != question]
    said = [
        replace(finding, words=re.sub(rf"^{re.escape(str(path))}:\d+: ", "", finding.words).replace(f"{place}/", ""))
        for finding in found
        if finding.level is not Level.OK or (finding.subject in question.subjects and not options.offline)
        if finding.subject != "config"
        or (_is_about(finding, key) and not any(_is_about(finding, o) for o in about_others))
    ]
    return answers, said


def _is_about(finding: Finding, key: str) -> bool:
    """Whether a finding about the configuration is about a key, whose line it names."""
    return re.search(rf"(?<![\w.]){key}\b", finding.words) is not None


def shown(finding: Finding) -> str:
    """A finding in a line, and what to do about it in another. A command would be about a file that is gone."""
    remedy = f"\n      -> {finding.remedy}" if finding.remedy and finding.remedy.kind != "command" else ""
    return f"  {finding.level:<4} {finding.words}{remedy}"


# --- writing ---------------------------------------------------------------------------------------------------------


def refuse_existing(folder: Path) -> None:
    """Raise NewsletterError if there is a configuration already, or a file with a secret that would be replaced."""
    for name in ("config.yaml", login.PASSWORD_FILE, login.REFRESH_FILE, login.CLIENT_FILE):
        if (folder / name).exists() or (folder / name).is_symlink():
            raise NewsletterError(f"{folder / name} exists already; nothing was written")


def write(folder: Path, answers: Answers) -> Iterator[str]:
    """Write config.yaml and the secrets (mode 0600) into `folder`; yields a line for each. Nothing is overwritten."""
    config, secret = folder / "config.yaml", folder / "newsletter.secret"
    folder.mkdir(parents=True, exist_ok=True)
    if not secret.exists():
        _write(secret, secrets.token_urlsafe(32) + "\n")
        yield f"wrote {secret}  (it signs the unsubscribe links: keep it secret and back it up)"
    for name, text in _way(answers).files() if _logs_in(answers) else ():
        _write(folder / name, f"{text}\n")
        yield f"wrote {folder / name}"
    _write(config, rendered(resources.find("config.yaml").read_text("utf-8"), answers))
    yield f"wrote {config}"


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, "utf-8")


def _logs_in(answers: Answers) -> bool:
    return (answers.username or "-") != "-"


def _way(answers: Answers) -> Login:
    return answers.login or Login()


def rendered(reference: str, answers: Answers) -> str:
    """The reference configuration with the answers in it.

    Secrets are in files, because cron gives no environment variables; so `password` is commented out beside
    `password_file`.
    """
    values = {
        "sender": answers.sender,
        "postal_address": answers.postal_address,
        "list_id": answers.list_id,
        "base_url": None if answers.base_url is None else answers.base_url if answers.base_url != "-" else "",
        "language": answers.language,
        "url": answers.feed,
    }
    if answers.smtp is not None:
        host, port = host_and_port(answers.smtp)
        values |= {"host": host, "tls": _tls(answers), "username": answers.username if _logs_in(answers) else ""}
        reference = _with_value(reference, "port", str(port))
    reference = login.rendered(reference, _way(answers) if _logs_in(answers) else None)
    reference = re.sub(r"(?m)^    password: (?=\$)", "    # password: ", reference, count=1)
    reference = re.sub(r"(?m)^secret: ", "# secret: ", reference, count=1)
    reference = re.sub(r"(?m)^# secret_file: ", "secret_file: ", reference, count=1)
    for key, value in values.items():
        if value is not None:
            reference = _with_value(reference, key, json.dumps(value, ensure_ascii=False) if value else "null")
    return reference


def _with_value(text: str, key: str, value: str) -> str:
    """`text` with `value`, in YAML, at the first line that sets `key`. Its comment stays."""

    def line(found: re.Match[str]) -> str:
        return f"{found[1] + value:<{COLUMN}}  # {found[2]}"

    return re.sub(rf"(?m)^((?: *- | *)?{key}: ).*?  # (.*)$", line, text, count=1)


def on_a_terminal() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()
