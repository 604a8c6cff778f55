"""`status --metrics`: what `status` knows as metrics for Prometheus, through node_exporter's textfile collector.

The text format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from newsletter.model import OWED, State

_OWED = {str(state) for state in OWED}


@dataclass
class _Metric:
    """A metric and its samples: the labels of each, and its value."""

    name: str
    help: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def lines(self, list_id: str) -> Iterator[str]:
        """Its lines; none when it has no samples, which means that nothing is known."""
        if not self.samples:
            return
        yield f"# HELP newsletter_{self.name} {self.help}"
        yield f"# TYPE newsletter_{self.name} gauge"
        for labels, value in self.samples:
            told = ",".join(f'{name}="{_escaped(text)}"' for name, text in ({"list": list_id} | labels).items())
            yield f"newsletter_{self.name}{{{told}}} {value:.15g}"


def metrics(known: dict[str, Any], list_id: str) -> str:
    """The text for what `status` knows; `known` has the shape of `status --json`. Every metric has the label list."""
    return "".join(f"{line}\n" for metric in _metrics(known) for line in metric.lines(list_id))


def _metrics(known: dict[str, Any]) -> Iterator[_Metric]:
    yield _Metric("subscribers", "Subscribers by status.", _by("status", known["subscribers"]))
    yield from _of_issue(known["issue"])
    now = known["sending"]
    yield _Metric("senders", "Processes that send now.", [({}, len(now["senders"]))])
    yield _Metric("accepted_per_minute", "Copies that servers accept in a minute now.", [({}, now["per_minute"])])
    yield _Metric(
        "server_used", "Messages to a server within a day, if it has smtp.per_day.", _by("server", now["used"])
    )
    rests = dict.fromkeys(now["resting"], 1)
    yield _Metric("server_resting", "1 for a server that refused this sender and is left alone.", _by("server", rests))
    yield _Metric(
        "held_subscribers",
        "Readers whose suppression waits for the operator.",
        [({}, sum(held["readers"] for held in known["held"]))],
    )
    if "health" in known:
        yield from _of_health(known["health"])
    if known["runs"]:
        last = known["runs"][0]
        yield _Metric("last_run_timestamp_seconds", "When the last run ended.", [({}, last["ended"])])
        yield _Metric(
            "last_run_exit_code", "Exit code of the last run.", [({"verdict": str(last["verdict"])}, last["exit_code"])]
        )


def _of_health(well: dict[str, Any]) -> Iterator[_Metric]:
    """Whether the list is well, as `status --check` judges, and when it was last run."""
    unwell: list[tuple[dict[str, str], float]] = [({"rule": str(each["rule"])}, 0) for each in well["findings"]]
    yield _Metric("well", "1, or 0 with each rule of status --check that says otherwise.", unwell or [({}, 1)])
    if well["last_daily_run"] is not None:
        yield _Metric(
            "last_daily_run_timestamp_seconds", "When the last run for a day ended.", [({}, well["last_daily_run"])]
        )
    yield _Metric(
        "days_without_issue", "Days with a run and no issue since the last one.", [({}, well["days_without_issue"])]
    )
    yield _Metric("feed_faults", "In how many issues in a row a feed had a fault.", _by("feed", well["feed_faults"]))


def _of_issue(issue: dict[str, Any] | None) -> Iterator[_Metric]:
    """The metrics of the latest issue."""
    if issue is None:
        return
    counts = issue["counts"]
    yield _Metric("copies", "Copies of the latest issue by state.", _by("state", counts))
    owed = sum(number for state, number in counts.items() if state in _OWED)
    yield _Metric("copies_owed", "Copies of the latest issue that are still to be sent.", [({}, owed)])
    yield _Metric("copies_uncertain", "Copies that may have arrived.", [({}, counts[str(State.UNCERTAIN)])])
    yield _Metric(
        "issue_paused", "1 when the latest issue waits for the operator.", [({}, issue["paused"] is not None)]
    )
    yield _Metric("issue_frozen_timestamp_seconds", "When the latest issue was made.", [({}, issue["frozen"])])
    if issue["next_due"] is not None:
        yield _Metric("next_due_timestamp_seconds", "When a copy may be tried again.", [({}, issue["next_due"])])
    if issue["shards"]["all"]:
        yield _Metric("shards", "Shards of the latest issue by what they are.", _by("state", issue["shards"]))


def _by(label: str, values: dict[str, Any]) -> list[tuple[dict[str, str], float]]:
    return [({label: str(name)}, number) for name, number in values.items()]


def _escaped(text: str) -> str:
    """A label's value as the format has it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
