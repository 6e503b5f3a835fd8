"""What the beats wrote down, for Prometheus: of all tenants together, so the series stay few."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError  # noqa: A004 - of the pool

from models.session import DATABASE_ERRORS
from worker.relay_report import RelayReport, read_report

log = structlog.get_logger("intake.health")

LAG = {
    "unpublished": "Jobs without a message that their submitter left to the relay.",
    "oldest_unpublished": "How long the oldest of them has stood there, in seconds.",
    "lapsed": "Running jobs whose lease has lapsed.",
    "oldest_lapsed": "How long ago the first of these leases lapsed, in seconds.",
    "expired": "Jobs past their expiry that nobody has looked at.",
    "due_schedules": "Schedules whose moment has come and that no beat has fired.",
    "oldest_due_schedule": "How long ago the first of these moments was, in seconds.",
    "stale_holds": "Quota held by jobs that have ended.",
    "missing": "Waiting jobs that the queue had lost when all were offered to it the last time.",
    "quota_drift": "By how much quota differed from its ledger and holds when it was mended.",
    "rebuilding": "1 while a queue that was lost is being filled.",
}

DONE = ("expired", "failed_steps", "published", "rebuilt", "requeued", "runs_fired", "runs_missed")
"""Told from the start: of a series that begins at 1, Prometheus sees no increase."""


class RelayCollector(Collector):
    """Reads the beats' report with each scrape; every intake tells the same."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the report; without Postgres, nothing."""
        try:
            report = read_report(self._engine)
        except (*DATABASE_ERRORS, TimeoutError) as error:
            log.warning("no report of the relay", error=type(error).__name__)
            return
        yield GaugeMetricFamily("genius_beats", "Beats that passed within a minute.", report.alive)
        yield from _ages(report)
        for name, value in sorted(report.lag.items()):
            unit = "_seconds" if name.startswith("oldest") else ""
            yield GaugeMetricFamily(f"genius_relay_{name}{unit}", LAG.get(name, name), float(value))
        done = CounterMetricFamily("genius_relay_done", "What all beats have done.", labels=["what"])
        for name, count in sorted((dict.fromkeys(DONE, 0) | dict(report.counts)).items()):
            done.add_metric([name], count)
        yield done


def _ages(report: RelayReport) -> Iterator[Metric]:
    if report.since_pass is not None:
        told = "Seconds since the last pass of any beat; absent when there was none in the last hour."
        yield GaugeMetricFamily("genius_relay_pass_age_seconds", told, report.since_pass)
    if report.measured_ago is not None:
        age = report.measured_ago.total_seconds()
        told = "Seconds since a beat measured what genius_relay_* tells."
        yield GaugeMetricFamily("genius_relay_measured_age_seconds", told, age)
