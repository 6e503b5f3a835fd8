"""The taskiq task that is measured, on Redis streams, which acknowledge."""

import os

from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_BROKER"], queue_name=os.environ["BENCH_PREFIX"], consumer_id="0")


@broker.task(task_name="bench.nothing")
async def nothing() -> None:
    """Do nothing."""
