"""The `newsletter` command. `commands` says what each of its commands takes; the other modules do the work."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from newsletter.cli.app import cli
from newsletter.cli.commands import issues, readers, setting_up, upkeep
from newsletter.cli.log import LOG
from newsletter.errors import NewsletterError

__all__ = ["cli", "main"]

# In this order a newcomer meets them, and `newsletter --help` lists them.
_COMMANDS = (
    setting_up.init_command,
    setting_up.demo_command,
    setting_up.preview_command,
    issues.run_command,
    issues.send_command,
    issues.worker_command,
    issues.withdraw_command,
    issues.status_command,
    issues.report_command,
    readers.subscribers_group,
    readers.archive_group,
    upkeep.check_command,
    upkeep.web_command,
    upkeep.store_group,
    upkeep.bounces_command,
    upkeep.backup_command,
    upkeep.restore_command,
    upkeep.schedule_command,
    upkeep.alert_command,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with one of the documented exit codes. An error is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows a question mark
            stream.reconfigure(errors="replace")
    try:
        cli.main(arguments, prog_name="newsletter")
    except NewsletterError as error:
        LOG.error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `newsletter status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        LOG.error(f"{error.filename or ''}: {error.strerror or error}")
        sys.exit(1)
