"""The workers that answer: how many jobs each runs at once, and how many it has run."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import Celery

from config.celery import celery_settings
from config.settings import Settings
from worker.fairshare import transport

PATIENCE_S = 1.0
"""Who has not answered by then is taken to be away."""


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker."""

    name: str
    slots: int
    """Jobs that it runs at once."""
    done: int
    """Messages that it has taken since it started."""
    uptime: timedelta

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return {
            "name": self.name,
            "slots": self.slots,
            "done": self.done,
            "uptime_s": self.uptime.total_seconds(),
        }


def ask_workers(settings: Settings) -> list[WorkerLine]:
    """Ask all workers, and wait for their answers as long as patience lasts."""
    transport.register()
    app = Celery("genius-top", set_as_current=False)
    app.conf.update(celery_settings(settings))
    with app.connection_for_write() as connection:
        answers = app.control.inspect(timeout=PATIENCE_S, connection=connection).stats() or {}
    app.close()
    return [_line(name, told) for name, told in sorted(answers.items())]


def _line(name: str, told: Any) -> WorkerLine:
    return WorkerLine(
        name,
        int(told.get("pool", {}).get("max-concurrency", 0)),
        sum(told.get("total", {}).values()),
        timedelta(seconds=told.get("uptime", 0)),
    )
