"""The Celery beat scheduler that runs the relay; any number of beats may run at once."""

from typing import Any

import structlog
from celery.beat import Scheduler

from config.settings import get_settings
from models.session import DATABASE_ERRORS, RelayDatabase, open_relay_database
from worker.publish import Publisher, get_publisher
from worker.relay import run_pass

log = structlog.get_logger(__name__)


class RelayScheduler(Scheduler):
    """Runs one relay pass per tick; keeps no file and elects no leader."""

    def setup_schedule(self) -> None:
        """Open the relay's door; there is no schedule to load."""
        self._database: RelayDatabase = open_relay_database(get_settings())
        self._publisher: Publisher = get_publisher()

    def tick(self, *_: Any, **__: Any) -> float:
        """Run a pass and return the seconds until the next."""
        try:
            run_pass(self._database, self._publisher)
        except DATABASE_ERRORS as error:
            log.warning("relay pass failed", error=type(error).__name__, exc_info=True)
        return get_settings().relay_interval.total_seconds()
