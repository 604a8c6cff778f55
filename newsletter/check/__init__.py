"""`newsletter check`, the doctor: probes, each of which looks at one subject and returns findings. Nothing is sent.

A probe that fails in a way nobody foresaw becomes a finding too, and the others go on.

    settings, database, templates, feeds, smtp, bounces, records, web, alarms, timetable
                                the probes, by subject
    names, spf, lines           how they ask: DNS, and ports
    remedies, values            what they share and return
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from newsletter.check import (
    alarms,
    bounces,
    copy_to,
    database,
    feeds,
    records,
    settings,
    smtp,
    templates,
    timetable,
    web,
)
from newsletter.check.names import Names
from newsletter.check.smtp import logins
from newsletter.check.values import Command, Context, Finding, Level, Options, bad, ok
from newsletter.config.examine import examine as read
from newsletter.errors import NewsletterError
from newsletter.runtime import Runtime

__all__ = ["Finding", "Level", "Options", "examine", "exit_code", "logins", "send_copy"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A subject, what looks at it, and the sections of config.yaml whose mistakes would make its judgement worthless.

    One that `asks` the network is left out with --offline unless it sees to that itself, and ends at the deadline.
    """

    subject: str
    act: Callable[[Context], Iterable[Finding]]
    needs: frozenset[str] = frozenset()
    asks: bool = False


# Their order matters: the store, the templates and the feeds leave what they found for those below them.
PROBES: Final = (
    Probe("config", settings.modes),
    Probe("config", settings.examples),
    Probe("config", settings.told),
    Probe("store", database.store, frozenset({"store", "witness"})),
    Probe("config", settings.domains, frozenset({"sender", "list_id", "base_url"})),
    Probe("secret", settings.secret, frozenset({"secret", "secret_file", "old_secrets", "old_secret_files"})),
    Probe("dkim", settings.keys, frozenset({"dkim", "sender"})),
    Probe("templates", templates.templates, frozenset({"templates"})),
    Probe("language", templates.language, frozenset({"language", "templates"})),
    Probe("feeds", feeds.feeds, frozenset({"feeds", "fetch", "issue", "filters"})),  # it has fetch.deadline
    Probe("feeds", feeds.moved, frozenset({"feeds"}), asks=True),
    Probe("summary", feeds.summary, frozenset({"summary"}), asks=True),
    Probe("smtp", smtp.smtp, frozenset({"smtp", "sender", "bounce_address"}), asks=True),
    Probe("bounces", bounces.bounces, frozenset({"bounces"}), asks=True),
    Probe("dns", records.dns, frozenset({"sender", "bounce_address"}), asks=True),
    Probe("web", web.web, frozenset({"base_url"}), asks=True),
    Probe("alerts", alarms.alarms, frozenset({"alerts"}), asks=True),
    Probe("clock", web.clock, frozenset({"feeds"}), asks=True),
    Probe("schedule", timetable.schedule),
)


def examine(
    path: Path,
    options: Options | None = None,
    runtime: Runtime | None = None,
    subjects: Container[str] | None = None,
) -> Iterator[Finding]:
    """Run every probe on the configuration at `path`; yields findings as they come. Raises nothing.

    With `subjects` only the probes of these are run.
    """
    options = options or Options()
    found = read(path)
    yield from settings.mistakes(path, found.errors)
    if found.config is None:
        return
    if not found.errors:
        yield ok("config", f"{path} has no mistakes")
    context = Context(
        path,
        found.config,
        options,
        Names(options.resolver),
        runtime or Runtime(),
        found.errors,
        found.faulty,
        found.written,
    )
    try:
        for probe in PROBES:
            if subjects is not None and probe.subject not in subjects:
                continue
            if wrong := sorted(probe.needs & context.faulty):
                yield ok(probe.subject, f"not looked at until {', '.join(wrong)} is right")
            elif probe.asks and not options.offline:
                yield from _in_time(probe, context)
            else:
                yield from _guarded(probe, context)
    finally:
        if context.store is not None:
            context.store.close()


def _guarded(probe: Probe, context: Context) -> Iterator[Finding]:
    """The findings of a probe; an error that it did not expect is one more."""
    try:
        yield from probe.act(context)
    except NewsletterError as error:
        yield bad(probe.subject, str(error), context.command("check"), error.exit_code)
    except Exception as error:  # whatever is broken, the operator gets a finding
        said = f"the check itself failed ({type(error).__name__}: {error}); please report it with this line"
        yield bad(probe.subject, said, Command("newsletter --version"), 1)


def _in_time(probe: Probe, context: Context) -> Iterator[Finding]:
    """The same with a deadline: a server that answers a byte at a time would never run into a time-out."""
    found: list[Finding] = []
    thread = Thread(target=lambda: found.extend(_guarded(probe, context)), daemon=True)
    thread.start()
    thread.join(context.options.deadline)
    if thread.is_alive():
        said = f"no end after {context.options.deadline:g} s: a server answers too slowly"
        yield bad(probe.subject, said, context.command("check"), 75)
    else:
        yield from found


def exit_code(findings: Iterable[Finding]) -> int:
    """78 if something BAD must be changed by the operator, else 1 or 75 if something is BAD, else 0."""
    codes = {finding.exit_code for finding in findings if finding.level is Level.BAD}
    return next((code for code in (78, 1, 75) if code in codes), 0)


def send_copy(path: Path, address: str, options: Options | None = None, runtime: Runtime | None = None) -> Finding:
    """Send one real copy of the newest issue to `address`, as a test; returns what became of it. Raises nothing."""
    options = options or Options()
    found = read(path)
    if found.config is None or found.errors:
        return next(iter(settings.mistakes(path, found.errors)))
    context = Context(path, found.config, options, Names(options.resolver), runtime or Runtime(), written=found.written)
    try:
        list(_guarded(Probe("store", database.store), context))
        if context.store is None or context.store.latest_issue() is None:
            list(_guarded(Probe("feeds", feeds.feeds), context))
        return copy_to.send(context, address)
    except Exception as error:  # as above
        return bad("copy", f"the check itself failed ({type(error).__name__}: {error})", context.command("check"), 1)
    finally:
        if context.store is not None:
            context.store.close()
