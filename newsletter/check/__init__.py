"""`newsletter check`, the doctor: probes, each of which looks at one subject and returns findings. Nothing is sent.

A probe that fails in a way nobody foresaw becomes a finding too, and the others go on.

    settings, database, templates, feeds, smtp, bounces, records, web, timetable    the probes, by subject
    names, spf, lines                                                               how they ask: DNS, and ports
    values                                                                          what they share and return
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from newsletter.check import (
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
from newsletter.check.values import Command, Context, Finding, Level, Options, bad, ok
from newsletter.config.examine import examine as read
from newsletter.errors import NewsletterError
from newsletter.runtime import Runtime

__all__ = ["Finding", "Level", "Options", "examine", "exit_code", "send_copy"]

Probe = Callable[[Context], Iterable[Finding]]

# Each probe with its subject and the sections of config.yaml whose mistakes make its judgement worthless. Their order
# matters: the store, the templates and the feeds leave what they found for those below them.
PROBES: Final[tuple[tuple[str, Probe, frozenset[str]], ...]] = (
    ("config", settings.modes, frozenset()),
    ("config", settings.examples, frozenset()),
    ("config", settings.told, frozenset()),
    ("store", database.store, frozenset({"store", "witness"})),
    ("config", settings.domains, frozenset({"sender", "list_id", "base_url"})),
    ("secret", settings.secret, frozenset({"secret", "secret_file", "old_secrets"})),
    ("dkim", settings.keys, frozenset({"dkim", "sender"})),
    ("templates", templates.templates, frozenset({"templates"})),
    ("feeds", feeds.feeds, frozenset({"feeds", "fetch", "issue", "filters"})),
    ("smtp", smtp.smtp, frozenset({"smtp", "sender", "bounce_address"})),
    ("bounces", bounces.bounces, frozenset({"bounces"})),
    ("dns", records.dns, frozenset({"sender", "bounce_address", "smtp"})),
    ("web", web.web, frozenset({"base_url"})),
    ("clock", web.clock, frozenset({"feeds"})),
    ("schedule", timetable.schedule, frozenset()),
)


def examine(path: Path, options: Options | None = None, runtime: Runtime | None = None) -> Iterator[Finding]:
    """Run every probe on the configuration at `path`; yields findings as they come. Raises nothing."""
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
        for subject, probe, needs in PROBES:
            if wrong := sorted(needs & context.faulty):
                yield ok(subject, f"not looked at until {', '.join(wrong)} is right")
            elif not (subject == "dns" and options.offline):
                yield from _guarded(subject, probe, context)
    finally:
        if context.store is not None:
            context.store.close()


def _guarded(subject: str, probe: Probe, context: Context) -> Iterator[Finding]:
    """The findings of a probe; an error that it did not expect is one more."""
    try:
        yield from probe(context)
    except NewsletterError as error:
        yield bad(subject, str(error), context.command("check"), error.exit_code)
    except Exception as error:  # whatever is broken, the operator gets a finding
        said = f"the check itself failed ({type(error).__name__}: {error}); please report it with this line"
        yield bad(subject, said, Command("newsletter --version"), 1)


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
        for subject, probe in (("store", database.store), ("feeds", feeds.feeds)):
            if subject == "store" or context.store is None or context.store.latest_issue() is None:
                list(_guarded(subject, probe, context))
        return copy_to.send(context, address)
    except Exception as error:  # as above
        return bad("copy", f"the check itself failed ({type(error).__name__}: {error})", context.command("check"), 1)
    finally:
        if context.store is not None:
            context.store.close()
