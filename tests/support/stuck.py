"""A worker whose shutdown blocks for ever: get it with ``celery worker -I tests.support.stuck``."""

import threading
from typing import Any

from celery.signals import worker_shutdown

INCLUDE = ("-I", "tests.support.stuck")


@worker_shutdown.connect
def block(**_: Any) -> None:
    """Wait for a lock that nobody gives back."""
    lock = threading.Lock()
    with lock:
        lock.acquire()
