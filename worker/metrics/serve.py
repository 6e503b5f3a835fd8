"""Serves a worker's metrics from its main process, where ``GENIUS_METRICS_PORT`` asks for it."""

import os
from typing import Any

import psutil
import structlog
from celery.signals import worker_ready
from celery.worker import state
from prometheus_client import Gauge, ProcessCollector, disable_created_metrics, start_http_server

from config.settings import get_settings
from worker.metrics.ended import REGISTRY

log = structlog.get_logger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each, which nothing reads

SLOTS = Gauge("genius_worker_slots", "Jobs that this worker runs at once.", registry=REGISTRY)
BUSY = Gauge("genius_worker_busy", "Jobs that it runs now.", registry=REGISTRY)
MEMORY = Gauge("genius_worker_memory_bytes", "Resident memory of the worker and its pool.", registry=REGISTRY)
BUSY.set_function(lambda: len(state.active_requests))


def memory() -> int:
    """Return the resident bytes of this process and its children."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


MEMORY.set_function(memory)
ProcessCollector(registry=REGISTRY)


@worker_ready.connect
def serve(sender: Any = None, **_: Any) -> None:
    """Begin to serve; a child of the pool does not keep the port when its parent has gone."""
    settings = get_settings()
    SLOTS.set(getattr(getattr(sender, "pool", None), "num_processes", 0))
    if settings.metrics_port is None:
        return
    server, _thread = start_http_server(settings.metrics_port, settings.metrics_address, REGISTRY)
    os.register_at_fork(after_in_child=server.socket.close)
    log.info("metrics served", address=settings.metrics_address, port=server.server_port)
