"""The Celery app whose workers are measured: ours and stock, alike but for the broker's URL."""

import json
import os

from celery import Celery
from support.journal import nap, open_journal
from support.update import update as update_row

from worker.fairshare import register

register()

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ["BENCH_OPTIONS"]),
)
journal = open_journal()


@app.task(name="bench.nothing")
def nothing() -> None:
    """Do nothing: what is left is the queue."""


@app.task(name="bench.sleep")
def sleep(tenant: str, seconds: float, sent: float) -> None:
    """Hold a slot."""
    nap(journal, tenant, seconds, sent)


@app.task(name="bench.update")
def update(row: int) -> None:
    """Change one row."""
    update_row(row)
