"""The Celery beat scheduler: fires recurring schedules and runs the relay; any number may run at once."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import structlog
from celery.beat import Scheduler

from config.settings import get_settings
from models.session import Database, RelayDatabase, get_database, open_relay_database
from worker.errand import ERRANDS
from worker.expire import expire_due
from worker.fire import fire_due
from worker.publish import Publisher, get_publisher
from worker.relay import publish_outbox, run_pass
from worker.relay_report import measure_lag, note_pass

log = structlog.get_logger(__name__)

MEASURE_EVERY_S = 10.0

QUICK_S = 0.25
"""Between two looks at what is due or left, while nothing is wrong."""

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
        self._troubled = False
        self._errand_due: defaultdict[str, float] = defaultdict(float)
        self._duties: dict[str, Callable[[], bool]] = {
            "measuring the lag": self._measure,
            "relay pass": self._run_pass,
            "expiring jobs": self._expire,
            "reporting": self._report,
        }

    def tick(self, *_: Any, **__: Any) -> float:
        """Do a bounded round of work and return the seconds until the next.

        A pass is due once per interval; what has come due is fired and published more often than that.
        """
        interval = get_settings().relay_interval.total_seconds()
        self._troubled = False
        more = self._try("firing schedules", self._fire)
        if time.monotonic() >= self._pass_due:
            for duty, act in self._duties.items():
                self._try(duty, act)
            self._run_errands()
            self._pass_due = time.monotonic() + interval
        else:
            self._try("publishing", self._publish)
        pause = max(self._pass_due - time.monotonic(), 0.01)
        return 0.0 if more else pause if self._troubled else min(pause, QUICK_S)

    def _run_errands(self) -> None:
        for errand in ERRANDS.values():
            if time.monotonic() < self._errand_due[errand.name]:
                continue
            self._errand_due[errand.name] = time.monotonic() + errand.every.total_seconds()
            self._try(errand.name, partial(errand.act, self._relay, self._database))

    def _try(self, duty: str, act: Callable[[], object]) -> bool:
        """Do *act*; beat goes on without Postgres, and with the other duties when one fails."""
        try:
            return bool(act())
        except Exception as error:  # a beat that ended would do none of its duties
            self._troubled = True
            log.warning("a duty of beat failed", duty=duty, error=type(error).__name__, exc_info=True)
            return False

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
        self._troubled |= bool(failed)
        return False

    def _publish(self) -> bool:
        """Publish what nobody else does: jobs that waited for another one, which has just ended."""
        self._done["published"] += publish_outbox(self._relay, self._publisher)
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
