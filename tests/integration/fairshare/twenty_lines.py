# ruff: noqa: ANN001, ANN201 - an app as its users write it
import os

from celery import Celery

from worker.fairshare import register

register()
app = Celery("shop", broker=os.environ["PLAIN_BROKER"], backend=os.environ["PLAIN_RESULTS"])


@app.task
def add(left, right):
    return left + right


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries
