"""Measure the documented figures and print each beside its limit. `make bench` runs it.

    python -m bench [SECTION ...]

measures only these sections, which `SECTIONS` names. `python -m bench editions --help` tells the options of that one.

CPU seconds are those that the operating system accounts to a process. Figures are medians of several runs.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench import editions, sending, web
from bench.issues import made_up_day, render
from bench.publication import DAY, PUBLICATION
from newsletter import feed, prepare
from newsletter.config import FeedConfig, FetchConfig, load
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.mail.render import Renderer
from newsletter.model import IssuePapers, Span
from newsletter.runtime import Runtime
from newsletter.store import Store


def main(names: Sequence[str]) -> None:
    """Print the figures of these sections, or of all. Exits with 2 for a name that is none."""
    if unknown := [name for name in names if name not in SECTIONS]:
        print(f"{unknown[0]}: no section; expected {', '.join(SECTIONS)}", file=sys.stderr)
        sys.exit(2)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled before they are measured, as when installed
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for name in names or SECTIONS:
        SECTIONS[name]()


def papers() -> None:
    """Print what it costs to make an issue."""
    with tempfile.TemporaryDirectory() as folder:
        day = Path(folder) / "day.json"
        day.write_text(json.dumps(made_up_day(50)), "utf-8")
        figure("50 papers, file to frozen issue, CPU s after imports", cold(str(day)), "< 0.3")
        for number, bar in ((20, "<= 30"), (100, "<= 120")):
            figure(f"{number} papers rendered, CPU ms, warm", 1000 * rendering(number), bar)
        figure("a run over 7 days of history and 3 sources, wall s", week(Path(folder)), "< 1")
        figure("a feed of 10 MB parsed, memory of the process, MB", memory(Path(folder)), "< 200")


def start() -> None:
    """Print how long a command takes to start."""
    python, program = starting([sys.executable, "-c", "pass"]), starting([sys.executable, "-m", "newsletter", "--help"])
    figure("python -c pass, wall ms", python)
    figure("newsletter --help, wall ms", program, "< 100")


def pages() -> None:
    """Print how long readers wait for the pages."""
    for what, times in web.measure().items():
        figure(f"{what} at {web.RATE} a second while sending, ms, p99", web.percentile(times, 0.99), "< 50")


def figure(name: str, value: float, bar: str = "") -> None:
    """Print a figure and its limit on a line."""
    print(f"{name:<56}{value:>10.3f}  {bar}")


def cold(path: str) -> float:
    """CPU seconds from the feed's file to the frozen issue, without imports: the median of five new processes."""
    command = [sys.executable, "-c", f"from bench.__main__ import freeze_once; freeze_once({path!r})"]
    return statistics.median(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)
    )


def freeze_once(path: str) -> None:
    """The process that `cold` measures: print the CPU seconds from file to frozen issue."""
    from newsletter.mail import inliner  # noqa: F401 - the first mail would import it

    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/bench.db") as store:
        store.add("reader@example.org")
        begin = cpu()
        store.freeze(render(feed.fetch(path, FetchConfig()).body), PUBLICATION, lifetime=timedelta(hours=24))
        print(cpu() - begin)


def memory(folder: Path) -> float:
    """The peak memory in MB of a new process that parses 10 MB of RSS, the most expensive format; half is markup."""
    text = "&lt;p&gt;We study &lt;b&gt;owls&lt;/b&gt; by their feathers, and kites by their strings.&lt;/p&gt; " * 12
    item = (
        f"<item><title>Owls &amp; kites</title><link>https://a.example/1</link><description>{text}</description></item>"
    )
    items = item * ((10_000_000 - 100) // len(item))
    path = folder / "large.rss"
    path.write_text(f'<rss version="2.0"><channel><title>Large</title>{items}</channel></rss>', "utf-8")
    code = f"from bench.__main__ import parse_once; parse_once({str(path)!r})"
    # On Linux ru_maxrss of a child includes the memory of its parent before exec, so a small process starts it.
    between = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    between += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [sys.executable, "-c", between, sys.executable, "-c", code]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024


def parse_once(path: str) -> None:
    """The process that `memory` measures: parse the feed in the file."""
    assert feed.parse(feed.fetch(path, FetchConfig()).body, FeedConfig(path)).papers


def rendering(number: int) -> float:
    """CPU seconds to render an issue of `number` papers, after two renderings to warm up."""
    parsed = feed.parse(json.dumps(made_up_day(number)).encode(), FeedConfig("day.json"))
    issue = compose([parsed], DAY, IssueRules(max_papers=1000))
    renderer = Renderer(PUBLICATION)
    return timed(lambda: renderer.issue(issue))


def timed(act: Callable[[], object]) -> float:
    """The median CPU seconds of ten calls, after two to warm up."""
    times = []
    for _ in range(12):
        begin = cpu()
        act()
        times.append(cpu() - begin)
    return statistics.median(times[2:])


def week(folder: Path) -> float:
    """Wall seconds of a `run --dry-run` that looks for late risers in seven days, with 3 sources of 50 papers each."""
    first = DAY - timedelta(days=7)
    for number in range(8):
        papers = json.loads(json.dumps(made_up_day(50)).replace('"2611.', f'"26{number:02d}.'))
        for source in "abc":
            (folder / f"{source}{first + timedelta(days=number)}.json").write_text(json.dumps(papers), "utf-8")
    config = folder / "config.yaml"
    config.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "secret: the secret of a measurement\nfeeds:\n"
        + "".join(f"  - url: '{source}{{date}}.json'\n" for source in "abc"),
        "utf-8",
    )
    config.chmod(0o600)
    for number in range(7):
        day = first + timedelta(days=number)
        loaded = load(config, {})
        with Store.open(loaded.store) as store:
            store.add("reader@example.org")
            made = prepare.prepare(loaded, day, store, Runtime(), Span())
            assert isinstance(made, prepare.Prepared)
            store.freeze(
                made.rendered,
                PUBLICATION,
                lifetime=timedelta(1),
                papers=IssuePapers(shown=made.shown, offered=made.offered),
            )
    command = [sys.executable, "-m", "newsletter", "-c", str(config), "run", "--date", str(DAY), "--dry-run"]
    return starting(command) / 1000


def starting(command: list[str]) -> float:
    """The median wall milliseconds of fifteen runs of `command`, after one to warm the disk cache."""
    times = []
    for _ in range(16):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[1:])


def cpu() -> float:
    """CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


SECTIONS: Final[dict[str, Callable[[], None]]] = {
    "papers": papers,
    "start": start,
    "web": pages,
    **sending.SECTIONS,
    "editions": lambda: editions.main([]),
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["editions"]:
        editions.main(sys.argv[2:])
    else:
        main(sys.argv[1:])
