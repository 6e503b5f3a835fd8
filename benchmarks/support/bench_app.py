"""The Celery app whose workers are measured: ours and stock, alike but for the broker's URL."""

import json
import os
import time

from celery import Celery

from worker.fairshare import register

register()

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "1")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ["BENCH_OPTIONS"]),
)
journal = os.open(os.environ["BENCH_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task(name="bench.nothing")
def nothing() -> None:
    """Do nothing: what is left is the queue."""


@app.task(name="bench.sleep")
def sleep(tenant: str, seconds: float, sent: float) -> None:
    """Note how long the job waited, and hold a slot."""
    began = time.time()
    time.sleep(seconds)
    os.write(journal, f"{tenant} {began - sent:.6f} {seconds:.6f}\n".encode())
