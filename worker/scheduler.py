"""The Celery beat scheduler: fires recurring schedules and runs the relay; any number may run at once."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.beat import Scheduler

from config.settings import get_settings
from models.session import (
    DATABASE_ERRORS,
    Database,
    RelayDatabase,
    get_database,
    open_relay_database,
)
from worker.expire import expire_due
from worker.fire import fire_due
from worker.publish import Publisher, get_publisher
from worker.relay import run_pass

log = structlog.get_logger(__name__)


class RelayScheduler(Scheduler):
    """Fires what is due and runs the relay once per interval; keeps no file and elects no leader."""

    def setup_schedule(self) -> None:
        """Open the doors: the relay's to find what is due, the application's to fire it."""
        self._relay: RelayDatabase = open_relay_database(get_settings())
        self._database: Database = get_database()
        self._publisher: Publisher = get_publisher()
        self._pass_due = 0.0

    def tick(self, *_: Any, **__: Any) -> float:
        """Do a bounded round of work and return the seconds until the next."""
        interval = get_settings().relay_interval.total_seconds()
        more = _whatever_fails("firing schedules", self._fire)
        if time.monotonic() >= self._pass_due:
            _whatever_fails("relay pass", self._run_pass)
            _whatever_fails("expiring jobs", self._expire)
            self._pass_due = time.monotonic() + interval
        return 0.0 if more else max(self._pass_due - time.monotonic(), 0.01)

    def _fire(self) -> bool:
        return fire_due(self._relay, self._database, self._publisher).more

    def _expire(self) -> bool:
        return expire_due(self._relay, self._database, self._publisher) > 0

    def _run_pass(self) -> bool:
        run_pass(self._relay, self._publisher)
        return False


def _whatever_fails(duty: str, act: Callable[[], bool]) -> bool:
    """Do *act*; beat goes on without Postgres, and with one duty when the other fails."""
    try:
        return act()
    except DATABASE_ERRORS as error:
        log.warning("a duty of beat failed", duty=duty, error=type(error).__name__, exc_info=True)
        return False
