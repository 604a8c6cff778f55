"""Send an issue of 20 papers to a list of subscribers with the store and send loop of the newsletter.

    python -m bench.send HOST PORT SUBSCRIBERS.csv [--connections K] [--rate R] [--dkim KEY.pem]
        [--sample FOLDER] [--prepare]

The time of this command is measured: it freezes the issue, sends the copies and keeps the ledger. The list is imported
once, with --prepare, and kept in a cache.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.publication import DAY, PUBLICATION
from newsletter.config import SmtpConfig
from newsletter.deliver import Breaker, Sender
from newsletter.links import Links
from newsletter.mail.message import compile_copies
from newsletter.model import RenderedIssue, Slot, State
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.store.schema import HEAD
from newsletter.transport import Pool

if TYPE_CHECKING:
    from newsletter.mail.dkim import Signer


def main() -> int:
    """Freeze the issue for all subscribers in the file, send it, and print the counts of states and peak memory."""
    asked = _arguments()
    if asked.prepare:
        _import(asked.subscribers)
        _issue(asked.sample)
        return 0
    server = SmtpConfig(asked.host, asked.port, connections=asked.connections, rate=asked.rate)
    signers = _signers(asked.dkim) if asked.dkim else []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(subscribed(asked.subscribers), f"{folder}/bench.db")
        with Store.open(f"sqlite:///{folder}/bench.db") as store:
            issue = store.freeze(_issue(asked.sample), PUBLICATION, lifetime=timedelta(hours=24))
            pool = Pool([server])
            try:
                Sender(store, pool, utc_now, breaker=Breaker(5, 0.5)).send(
                    issue, compile_copies(issue, Links("the secret of a measurement", PUBLICATION), signers)
                )
            finally:
                pool.close()
            counts = store.counts(issue.id)
    print({str(state): number for state, number in counts.items() if number})
    print(f"{peak():.1f} MB")
    return 0 if counts[State.ACCEPTED] == sum(counts.values()) else 75


def peak() -> float:
    """The peak resident memory of this process in MB.

    It is read from Linux's /proc, because ru_maxrss of `getrusage` includes the memory of the parent before exec.
    """
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def subscribed(csv: Path) -> Path:
    """The path of a database with these subscribers, which is made if it is missing."""
    made = _database(csv)
    if not made.exists():  # in another process, because importing takes more memory than sending
        subprocess.run([sys.executable, "-m", "bench.send", "-", "0", csv, "--prepare"], check=True)
    return made


def _import(csv: Path) -> None:
    from newsletter.subscriber_csv import read  # its validation costs more than the sending

    with tempfile.TemporaryDirectory() as folder:
        with Store.open(f"sqlite:///{folder}/new.db") as store:
            store.add_all((row.address for row in read(csv.read_bytes()) if row.address), revive=True)
        shutil.copy(f"{folder}/new.db", _database(csv))


def _database(csv: Path) -> Path:
    with csv.open("rb") as stream:  # not read into memory, because memory is measured
        return _cache() / f"{hashlib.file_digest(stream, 'sha256').hexdigest()[:16]}-{HEAD}.db"


def _issue(sample: Path | None) -> RenderedIssue:
    """The issue in the comparison tool's folder `sample`, or a made-up one that was rendered before."""
    if sample is not None:
        html, text = ((sample / name).read_text("utf-8") for name in ("inlined.html", "digest.txt"))
        return RenderedIssue(DAY, "Daily papers: 20 new \u2192 today", _slotted(html), _slotted(text))
    kept = _cache() / "issue.json"
    if not kept.exists():
        from bench.issues import made_up_day, render  # not timed, and its imports take much memory

        rendered = render(json.dumps(made_up_day(20)).encode())
        kept.write_text(json.dumps([rendered.subject, rendered.html, rendered.text]), "utf-8")
    return RenderedIssue(DAY, *json.loads(kept.read_text("utf-8")))


def _slotted(part: str) -> str:
    return part.replace("https://news.example.org/u/UNSUBTOKEN", Slot.UNSUBSCRIBE).replace("{{EMAIL}}", Slot.ADDRESS)


def _signers(keys: list[Path]) -> list[Signer]:
    from newsletter.mail.dkim import load  # imports cryptography, which is large

    return [load(key, key.stem, "news.example.org") for key in keys]


def _cache() -> Path:
    folder = Path(tempfile.gettempdir()) / "newsletter-bench"
    folder.mkdir(exist_ok=True)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("subscribers", type=Path)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--dkim", type=Path, action="append", default=[])
    parser.add_argument("--sample", type=Path, help="the folder with the comparison's own issue")
    parser.add_argument("--prepare", action="store_true", help="only import the list")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
