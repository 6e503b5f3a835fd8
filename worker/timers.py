"""Forget the timers of time limits that nobody needs any more.

A prefork pool sets one for each job. Cancelled ones stay in the hub's heap until they would have rung: half a
kilobyte for every job of the last five minutes, or however long its kind's limit is.
"""

from heapq import heapify
from typing import Any

from celery import bootsteps
from kombu.asynchronous.timer import Timer

EVERY_S = 10
FEWEST = 1_000
"""As many take no room worth looking for."""


def compact(timer: Timer) -> None:
    """Take cancelled entries out of a heap that only this thread uses."""
    queue = timer._queue  # noqa: SLF001 - there is no door to it
    if len(queue) >= FEWEST:
        queue[:] = [entry for entry in queue if not entry[2].canceled]
        heapify(queue)


class ForgetTimers(bootsteps.StartStopStep):
    """Compacts the timers of a worker with an event loop now and then."""

    requires = ("celery.worker.components:Hub",)

    def start(self, parent: Any) -> None:
        """Begin; a worker without an event loop has no such timers."""
        hub = getattr(parent, "hub", None)
        if hub is not None:
            hub.call_repeatedly(EVERY_S, compact, hub.timer)
