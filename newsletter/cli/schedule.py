"""The command `schedule`: prints, installs and removes what runs the newsletter every day."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

from newsletter import schedule as schedules
from newsletter.cli.setup import program
from newsletter.config import Config
from newsletter.config.named import Named, named
from newsletter.errors import NewsletterError
from newsletter.schedule import Job
from newsletter.schedule.github import Workflow, starts, write
from newsletter.store import file_of


def cron(path: Path, config: Config, at: time, *, install: bool) -> Iterator[str]:
    """The crontab lines, or with `install` what was installed. `at` is the local time in the configured zone.

    Raises NewsletterError.
    """
    user = schedules.owner(path) if os.geteuid() == 0 else None
    now = datetime.now().astimezone()
    lines = schedules.crontab(_job(path, config, at, user, now), now)
    if install:
        schedules.install_crontab(lines, user)
        whose = f"the crontab of {user}; see `crontab -u {user} -l`" if user else "your crontab; see `crontab -l`"
        yield f"installed in {whose}"
    else:
        yield lines.rstrip("\n")


def systemd(path: Path, config: Config, at: time, *, install: bool) -> Iterator[str]:
    """The systemd units, or with `install` what was installed. `at` is as for `cron`. Raises NewsletterError."""
    system = os.geteuid() == 0 or not install  # printed units are for /etc/systemd/system
    job = _job(path, config, at, schedules.owner(path) if system else None, datetime.now().astimezone())
    files = schedules.units(job, system=system)
    if install:
        yield from schedules.install_units(files, job.config, system=system)
    else:
        for name, text in files.items():
            yield f"# /etc/systemd/system/{name}\n{text}"


def remove(path: Path) -> Iterator[str]:
    """Remove what `cron` and `systemd` installed for the configuration at `path`, which need not be there any more.

    Yields a line for each thing removed. Raises NewsletterError.
    """
    config, system = path.resolve(), os.geteuid() == 0
    user = schedules.owner(path) if system and path.exists() else None
    found = False
    if schedules.remove_from_crontab(config, user):
        found = True
        yield f"removed from {f'the crontab of {user}' if user else 'your crontab'}"
    for line in schedules.remove_units(config, system=system):
        found = True
        yield line
    if not found:
        yield f"nothing was installed for {config}"


def github(path: Path, config: Config, at: time) -> Iterator[str]:
    """Write the workflow into the repository that holds `path`; yields lines on what to do next.

    Raises NewsletterError if the configuration needs what a runner does not have.
    """
    home = path.resolve().parent
    top = next((folder for folder in (home, *home.parents) if (folder / ".git").exists()), home)
    moment = datetime.combine(datetime.now(config.timezone).date(), at, config.timezone)
    needed = named(path)
    _fit_for_a_runner(config, needed)
    store = _inside(home, file_of(config.store), "store")
    workflow = Workflow(
        path.resolve().relative_to(top),
        store,
        _inside(home, config.witness_file, "witness")
        if config.witness_file
        else store.with_name(f"{store.name}.witness"),
        needed.environment,
        ["imap"] if config.bounces.imap else [],
        starts(moment, config.due),
        f"The {at:%H:%M} of {config.timezone.key} on {moment:%Y-%m-%d}, in UTC",
        bounces=config.bounces.imap is not None,
    )
    yield f"wrote {write(top, workflow.text())}"
    yield "Next, in the repository on GitHub:"
    yield f"  1. Commit this file and {path.name}, and never {store} or a secret (.gitignore)."
    yield "  2. Add the secrets of Actions, under Settings, Secrets and variables, Actions:"
    yield "       NEWSLETTER_STORE_KEY     encrypts the store: openssl rand -hex 32"
    yield "       NEWSLETTER_SUBSCRIBERS   one address on each line"
    yield from (f"       {name}" for name in needed.environment)
    yield "  3. Start the workflow once by hand, with store: begin."


def _fit_for_a_runner(config: Config, needed: Named) -> None:
    """Raise NewsletterError for what cannot work there: a database elsewhere, or secrets in files of the repository."""
    if file_of(config.store) is None:
        raise NewsletterError("a store in PostgreSQL needs no such workflow; use `newsletter schedule cron`")
    if config.bounces.maildir is not None:
        raise NewsletterError("bounces.maildir is on this machine; a runner can read bounces.imap")
    for key, _ in needed.files:
        name = key.rpartition(".")[2] or key
        if not name.startswith("ca_"):
            instead = name.removesuffix("_file").removesuffix("_files")
            raise NewsletterError(
                f"{key} names a file with a secret, which must not be in a repository: write"
                f" `{instead}: ${{{instead.upper()}}}`, or another variable, and remove {key}"
            )


def _inside(home: Path, file: Path | None, key: str) -> Path:
    """`file` as seen from `home`. Raises NewsletterError if it is elsewhere."""
    if file is None or not file.absolute().is_relative_to(home):
        raise NewsletterError(f"{key}: {file} is outside {home}, which a runner does not have")
    return file.absolute().relative_to(home)


def _job(path: Path, config: Config, at: time, user: str | None, now: datetime) -> Job:
    """What to schedule for a configuration."""
    job = Job(
        program(),
        path.resolve(),
        at,
        config.timezone,
        list_id=config.publication.list_id,
        bounces=config.bounces.maildir is not None or config.bounces.imap is not None,
        workers=config.store.startswith("postgresql"),
        user=user,
        writes=_written(path.resolve().parent, config),
        programs=_calls_programs(config),
        sendmail=any(server.sendmail for server in config.smtp),
    )
    return replace(job, back=(job.moment(now).date() - config.due(job.moment(now))).days)


def _written(home: Path, config: Config) -> tuple[Path, ...]:
    """The folders outside `home` in which the jobs create files: the store's, the witness's, and the Maildir."""
    store, witness = file_of(config.store), config.witness_file
    folders = (store and store.parent, witness and witness.parent, config.bounces.maildir)
    return tuple(folder.absolute() for folder in folders if folder and not folder.absolute().is_relative_to(home))


def _calls_programs(config: Config) -> bool:
    """Whether the jobs call programs of the operator, about which nothing is known."""
    imap = config.bounces.imap
    tokens = [server.token for server in config.smtp] + [imap.token if imap else None]
    return bool(config.summary.command) or any(token is not None for token in tokens)
