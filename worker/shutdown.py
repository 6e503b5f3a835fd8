"""End a worker that was told to stop and does not end by itself in time.

Its running jobs are not lost: their leases lapse, and they run elsewhere. Celery waits for running jobs
without a limit, and parts of its shutdown can block for ever when the broker has gone.
"""

import _thread
import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import billiard
from celery import bootsteps
from celery.signals import worker_shutting_down

from config.settings import get_settings

EXIT_CODE = 75
"""EX_TEMPFAIL: what was running did not finish."""

_watching: set[int] = set()
"""The process that watches itself: a forked child is not its parent."""


def end_within(deadline: timedelta) -> None:
    """End this process and its pool at the latest after *deadline*; later calls change nothing.

    Runs in signal handlers: it takes no lock that the interrupted code may hold, as a `Thread` would.
    """
    if os.getpid() not in _watching:
        _watching.add(os.getpid())
        _thread.start_new_thread(_end_after, (deadline.total_seconds(),))


def _end_after(seconds: float) -> None:
    time.sleep(seconds)
    os.write(
        2, b"The worker did not stop in time: ending it. Its jobs run elsewhere once their leases lapse.\n"
    )
    for child in billiard.active_children():
        if child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
    os._exit(EXIT_CODE)


@worker_shutting_down.connect
def _begin(**_: Any) -> None:
    end_within(get_settings().shutdown_deadline)


class Deadline(bootsteps.StartStopStep):
    """Watches a shutdown that no signal began, such as that of a worker with an error it cannot mend."""

    def start(self, parent: object) -> None:
        """Do nothing: what has not started is not told to close."""

    def close(self, parent: object) -> None:  # noqa: ARG002 - Celery's signature
        """Begin to watch; Celery calls this first of all when it stops or terminates."""
        _begin()
