# ruff: noqa: ANN001, ANN201 - an app as its users write it
import os

from celery import Celery

import worker.fairshare

worker.fairshare.register()
app = Celery("shop", broker=os.environ["PLAIN_BROKER"], backend=os.environ["PLAIN_RESULTS"])


@app.task
def add(left, right):
    return left + right


@app.task(bind=True, max_retries=3)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries
