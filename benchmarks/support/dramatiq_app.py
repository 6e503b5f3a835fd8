"""The dramatiq actors that are measured; dramatiq always acknowledges late."""

import json
import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from support.journal import nap, open_journal
from support.update import update as update_row

broker = RedisBroker(url=os.environ["BENCH_BROKER"], namespace=os.environ["BENCH_PREFIX"])
dramatiq.set_broker(broker)
for queue in json.loads(os.environ["BENCH_QUEUES"]):
    broker.declare_queue(queue)
journal = open_journal()


@dramatiq.actor(actor_name="bench.nothing", queue_name="bench")
def nothing() -> None:
    """Do nothing."""


@dramatiq.actor(actor_name="bench.sleep", queue_name="bench")
def sleep(tenant: str, seconds: float, sent: float) -> None:
    """Hold a slot."""
    nap(journal, tenant, seconds, sent)


@dramatiq.actor(actor_name="bench.update", queue_name="bench")
def update(row: int) -> None:
    """Change one row."""
    update_row(row)
