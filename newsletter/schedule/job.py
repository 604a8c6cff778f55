"""What is scheduled: the command, its configuration, and when."""

from __future__ import annotations

import pwd
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from newsletter.errors import NewsletterError


@dataclass(frozen=True, slots=True)
class Job:
    """What to run and when: the words of the command, the config (an absolute path), and the local time in `zone`.

    `list_id` (RFC 2919) names the list. `bounces` adds the job that reads the bounce mailbox, and `workers` systemd's
    unit of workers. `user` is the account to run as, None for the current one. `back` is how many days before the run's
    date the newest ripe day is (`issue.settle`), which a comment says. `writes` are folders outside that of the config
    in which the jobs create files. `programs` says that they call programs of the operator, which may write anywhere in
    the home folder, and `sendmail` that one of these is set-user-ID or set-group-ID, as Postfix's `sendmail` is.

    Raises NewsletterError if a word has a line break: crontabs and unit files are read by lines, and have no escape.
    """

    command: tuple[str, ...]
    config: Path
    at: time
    zone: ZoneInfo
    list_id: str = field(kw_only=True)
    bounces: bool = False
    workers: bool = False
    user: str | None = None
    back: int = 0
    writes: tuple[Path, ...] = ()
    programs: bool = False
    sendmail: bool = False

    def __post_init__(self) -> None:
        broken = next((word for word in self.words("run") if not {"\n", "\r", "\0"}.isdisjoint(word)), None)
        if broken is not None:
            raise NewsletterError(f"{broken!r} has a line break and cannot be scheduled; move it to another path")

    def moment(self, now: datetime) -> datetime:
        """When the daily job runs on the day that `now` (aware) has in `zone`."""
        return datetime.combine(now.astimezone(self.zone).date(), self.at, self.zone)

    @property
    def issue(self) -> str:
        """Which issue the daily job makes, in words."""
        if self.back <= 0:
            return "issue of the day"
        return "issue of the day before" if self.back == 1 else f"issue of {self.back} days before"

    def words(self, *rest: str) -> list[str]:
        """The words of the command line that runs the subcommand `rest` on this configuration."""
        return [*self.command, "-c", str(self.config), *rest]


def owner(config: Path) -> str | None:
    """The account that owns `config`: its name, or its number if it has none; None if it is root.

    A job that ran as root would create files (the database, its locks) that this account cannot open.
    """
    uid = config.stat().st_uid
    if uid == 0:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
