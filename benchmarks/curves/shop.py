"""The Celery app whose worker the curves watch."""

import os
import time

from celery import Celery

from worker.fairshare import register

register()

app = Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
)
journal = os.open(os.environ["SHOP_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task(name="shop.work")
def work(tenant: str, seconds: float, sent: float) -> None:
    """Note how long the job waited, and hold a slot."""
    os.write(journal, f"{tenant} {time.time() - sent:.6f}\n".encode())
    time.sleep(seconds)
