"""The relay in a line or two: who passes, and what waits for it."""

from rich.text import Text
from sqlalchemy import Engine

from models.session import DATABASE_ERRORS
from worker.relay_report import RelayReport, read_report

LATE_S = 10.0
"""What has waited longer for a beat than this is worth a look."""

AGES = {
    "unpublished": "oldest_unpublished",
    "lapsed": "oldest_lapsed",
    "due_schedules": "oldest_due_schedule",
}
"""Lag of which an age is known too."""

COUNTS = ("expired", "stale_holds", "missing")


def relay_line(engine: Engine) -> Text:
    """Return the state of the beats and of the relay's lag as a line to show."""
    try:
        return describe(read_report(engine))
    except DATABASE_ERRORS as error:
        return Text(f"relay: Postgres does not answer ({type(error).__name__})", style="red")


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
