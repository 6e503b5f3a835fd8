"""The Celery beat scheduler: fires recurring schedules and runs the relay; any number may run at once."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog
from celery.beat import Scheduler

from config.settings import get_settings
from models.session import Database, RelayDatabase, get_database, open_relay_database
from worker.expire import expire_due
from worker.fire import fire_due
from worker.publish import Publisher, get_publisher
from worker.relay import run_pass
from worker.relay_report import measure_lag, note_pass

log = structlog.get_logger(__name__)

MEASURE_EVERY_S = 10.0

LEAST_PAUSE = 50
"""Times as long as measuring the lag took: with a million jobs waiting it must not keep beat busy."""


class RelayScheduler(Scheduler):
    """Fires what is due and runs the relay once per interval; keeps no file and elects no leader."""

    def setup_schedule(self) -> None:
        """Open the doors: the relay's to find what is due, the application's to fire it."""
        self._relay: RelayDatabase = open_relay_database(get_settings())
        self._database: Database = get_database()
        self._publisher: Publisher = get_publisher()
        self._pass_due = self._measurement_due = 0.0
        self._done: Counter[str] = Counter()

    def tick(self, *_: Any, **__: Any) -> float:
        """Do a bounded round of work and return the seconds until the next."""
        interval = get_settings().relay_interval.total_seconds()
        more = _whatever_fails("firing schedules", self._fire)
        if time.monotonic() >= self._pass_due:
            _whatever_fails("measuring the lag", self._measure)
            _whatever_fails("relay pass", self._run_pass)
            _whatever_fails("expiring jobs", self._expire)
            _whatever_fails("reporting", self._report)
            self._pass_due = time.monotonic() + interval
        return 0.0 if more else max(self._pass_due - time.monotonic(), 0.01)

    def _fire(self) -> bool:
        done = fire_due(self._relay, self._database, self._publisher)
        self._done += Counter(
            {
                "runs_fired": done.fired,
                "runs_buffered": done.buffered,
                "runs_skipped": done.skipped,
                "runs_missed": done.missed,
            }
        )
        return done.more

    def _expire(self) -> bool:
        self._done["expired"] += expire_due(self._relay, self._database, self._publisher)
        return False

    def _run_pass(self) -> bool:
        done = asdict(run_pass(self._relay, self._publisher))
        failed = done.pop("failed")
        self._done += Counter(**done, failed_steps=len(failed))
        return False

    def _measure(self) -> bool:
        """Measure what stands before the pass, which is what waited for it."""
        began = time.monotonic()
        if began >= self._measurement_due:
            measure_lag(self._relay)
            took = time.monotonic() - began
            self._measurement_due = time.monotonic() + max(MEASURE_EVERY_S, LEAST_PAUSE * took)
        return False

    def _report(self) -> bool:
        note_pass(self._relay, self._done)
        self._done.clear()
        return False


def _whatever_fails(duty: str, act: Callable[[], bool]) -> bool:
    """Do *act*; beat goes on without Postgres, and with the other duties when one fails."""
    try:
        return act()
    except Exception as error:  # a beat that ended would do none of its duties
        log.warning("a duty of beat failed", duty=duty, error=type(error).__name__, exc_info=True)
        return False
