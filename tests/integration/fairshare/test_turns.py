"""The turns of a worker's event loop."""

from contextlib import suppress
from queue import Empty
from typing import Any

import redis
from kombu import Connection

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import fair
from worker.fairshare.keys import LaneKeys

JOBS = 200
MOST_TURNS = 2_000


def test_no_turn_hands_anything_over_when_it_is_about_to_sleep(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    """A prefork pool has looked by then whether it has anything to write to its processes."""
    leases = LaneKeys("lane", "").of("leases")
    handed: list[Any] = []
    with Connection(fair(server.url(0))) as connection:
        channel: Any = connection.default_channel
        channel.qos.prefetch_count = 2
        with connection.Producer() as producer:
            for number in range(JOBS):
                producer.publish({"number": number}, routing_key="lane", headers={"id": str(number)})
        channel.basic_consume("lane", no_ack=False, callback=handed.append, consumer_tag="consumer")
        cycle = channel.connection.cycle
        done = fetched_ahead = 0
        for _ in range(MOST_TURNS):
            before = len(handed)
            cycle.on_poll_start()
            assert len(handed) == before
            fetched_ahead += client.zcard(leases) > channel.qos.prefetch_count
            for fileno, _ in cycle.poller.poll(0.05) or ():
                with suppress(Empty):
                    cycle.on_readable(fileno)
            for message in handed[done:]:
                message.ack()
            done = len(handed)
            if done == JOBS:
                break
    assert done == JOBS
    assert fetched_ahead, "nothing was fetched ahead: it proves nothing"
