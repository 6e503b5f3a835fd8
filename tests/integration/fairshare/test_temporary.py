"""Queues that were meant to be temporary do not stay."""

import json
from datetime import timedelta

from kombu import Exchange, Queue

from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until
from worker.fairshare.temporary import REGISTRY

EXPIRES = timedelta(seconds=10)


def keys(app: PlainApp) -> set[bytes]:
    return set(app.broker.scan_iter())


def abandon(app: PlainApp, queue: Queue) -> None:
    """Consume a queue, get a message, and vanish: nothing is cancelled, deleted or closed."""
    with app.app.connection_for_read() as connection:
        channel = connection.channel()
        consumer = connection.Consumer([queue], channel=channel, no_ack=True, callbacks=[lambda *_: None])
        consumer.consume()
        with app.app.producer_pool.acquire() as producer:
            for _ in range(3):
                producer.publish({}, exchange=queue.exchange, routing_key=queue.routing_key)
        channel.connection.cycle.close()  # no reply is read any more


def let_time_pass(app: PlainApp) -> None:
    """Make everything in the registry overdue."""
    for member in app.broker.zrange(REGISTRY, 0, -1):
        app.broker.zadd(REGISTRY, {member: 1})


def test_remote_control_leaves_nothing(plain_app: PlainApp) -> None:
    plain_app.worker("solo")
    assert plain_app.app.control.inspect(timeout=30, limit=1).ping()
    wait_until(lambda: not [key for key in keys(plain_app) if b"reply" in key])
    assert plain_app.broker.zcard(REGISTRY) == 0


def test_an_abandoned_queue_goes_with_its_binding(plain_app: PlainApp) -> None:
    before = keys(plain_app)
    queue = Queue(
        "replies", Exchange("reply", type="direct"), routing_key="r", expires=EXPIRES.total_seconds()
    )
    unbound = Queue("rpc", exchange="", routing_key="rpc", expires=EXPIRES.total_seconds())
    for abandoned in (queue, unbound):
        abandon(plain_app, abandoned)
    assert {json.loads(member)[0] for member in plain_app.broker.zrange(REGISTRY, 0, -1)} == {
        "replies",
        "rpc",
    }
    assert plain_app.left("replies") + plain_app.left("rpc") == 6
    with plain_app.app.connection_for_read() as connection:
        channel = connection.channel()
        channel.sweep_bindings()
        assert plain_app.left("replies") + plain_app.left("rpc") == 6, "their time has not come"
        let_time_pass(plain_app)
        channel.sweep_bindings()
    assert keys(plain_app) - before == {b"_kombu.binding_deadlines"}


def test_a_worker_keeps_the_queues_that_are_used(plain_app: PlainApp) -> None:
    queue = Queue("mine", Exchange("mine"), routing_key="mine", expires=EXPIRES.total_seconds())
    with plain_app.app.connection_for_read() as connection:
        channel = connection.channel()
        connection.Consumer([queue], channel=channel, callbacks=[lambda *_: None]).consume()
        let_time_pass(plain_app)
        channel.maybe_refresh_binding_expiry()
        channel.sweep_bindings()
        assert plain_app.broker.zcard(REGISTRY) == 1
        queue(channel).delete()
    assert plain_app.broker.zcard(REGISTRY) == 0
