"""A plain Celery app that knows nothing of tenants, but for the URL of its broker."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery, Task

from worker.fairshare import register

register()

BROKER = os.environ["PLAIN_BROKER"]
RESULTS = os.environ["PLAIN_RESULTS"]
LEASE_MS = int(os.environ.get("PLAIN_LEASE_MS", "2000"))

app = Celery("plain", broker=BROKER, backend=RESULTS)
app.conf.update(
    broker_use_ssl=json.loads(os.environ.get("PLAIN_SSL", "null")),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=int(os.environ.get("PLAIN_PREFETCH", "1")),
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_transport_options={
        "lease_ms": LEASE_MS,
        "guess_ms": 20,
        "longest_run_ms": int(os.environ.get("PLAIN_LONGEST_RUN_MS", "60000")),
        **json.loads(os.environ.get("PLAIN_OPTIONS", "{}")),
    },
)
journal = Path(os.environ["PLAIN_JOURNAL"])


@app.task
def add(left: int, right: int) -> int:
    return left + right


@app.task
def total(numbers: Sequence[int]) -> int:
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def stubborn(self: Task[Any, Any]) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task(ignore_result=True)
def work(name: str, seconds: float = 0.0) -> None:
    note("began", name, 0)
    began = time.monotonic()
    time.sleep(seconds)
    note("done", name, time.monotonic() - began)


@app.task(ignore_result=True)
def take_effect(name: str, seconds: float = 0.0) -> None:
    """Leave an effect that a second run of the same job finds done, as a careful task does."""
    note("began", name, 0)
    time.sleep(seconds)
    try:
        (journal / f"effect-{name.replace('/', '-')}").touch(exist_ok=False)
    except FileExistsError:
        note("found done", name, seconds)
    else:
        note("done", name, seconds)


def note(event: str, name: str, seconds: float) -> None:
    """Append a line in one write, so that processes do not mix theirs."""
    with (journal / event.replace(" ", "-")).open("a") as lines:
        lines.write(f"{name} {seconds}\n")
