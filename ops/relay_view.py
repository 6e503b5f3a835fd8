"""The relay in a line or two: who passes, and what waits for it."""

from typing import Any

from rich.text import Text

from worker.relay_report import RelayReport

LATE_S = 10.0
"""What has waited longer for a beat than this is worth a look."""

AGES = {
    "unpublished": "oldest_unpublished",
    "lapsed": "oldest_lapsed",
    "due_schedules": "oldest_due_schedule",
}
"""Lag of which an age is known too."""

COUNTS = ("expired", "stale_holds", "missing", "quota_drift")


def report_document(report: RelayReport) -> dict[str, Any]:
    """Return *report* as JSON holds it."""
    ago = report.measured_ago
    return {
        "beats": report.alive,
        "since_pass_s": report.since_pass,
        "lag": dict(report.lag),
        "measured_ago_s": None if ago is None else ago.total_seconds(),
        "done": dict(report.counts),
    }


def describe(report: RelayReport) -> Text:
    """Describe *report*; what is late stands out."""
    if not report.alive:
        return Text(
            "relay: no beat has passed within a minute; nothing is brought back or fired", style="red"
        )
    assert report.since_pass is not None
    line = Text(f"relay: beats {report.alive}, last pass {report.since_pass:.1f} s ago")
    for name, age in AGES.items():
        waited = float(report.lag.get(age, 0))
        told = f", {waited:.1f} s" if waited else ""
        line.append("; ").append(
            f"{_words(name)} {report.lag.get(name, 0)}{told}", style="yellow" if waited > LATE_S else ""
        )
    for name in COUNTS:
        line.append(f"; {_words(name)} {report.lag.get(name, 0)}")
    if report.lag.get("rebuilding"):
        line.append("; ").append("rebuilding the queue", style="yellow")
    return line


def _words(name: str) -> str:
    return name.replace("_", " ")
