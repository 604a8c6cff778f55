"""What runs `newsletter` every day: crontab lines, systemd units, or a workflow of GitHub Actions.

There are two jobs: `run` once a day, and `send` every 15 minutes, which sends copies that a server deferred
(greylisting) or a crash left, and prints nothing when none is owed. With a bounce mailbox there is a third, `bounces`,
every hour.

    job                    what to run, and when
    cron, systemd, github  what each of them needs, as text
    crontabs, unit_files   install and remove it
"""

from newsletter.schedule.cron import crontab
from newsletter.schedule.crontabs import install_crontab, remove_from_crontab, replace_block
from newsletter.schedule.job import Job, owner
from newsletter.schedule.systemd import command_of, units
from newsletter.schedule.unit_files import install_units, remove_units

__all__ = [
    "Job",
    "command_of",
    "crontab",
    "install_crontab",
    "install_units",
    "owner",
    "remove_from_crontab",
    "remove_units",
    "replace_block",
    "units",
]
