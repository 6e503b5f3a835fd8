"""Who consumes broadcasts hears all of them from then on."""

from typing import Any

from kombu import Exchange, Queue

from tests.integration.fairshare.plain_app import PlainApp


def told(name: str) -> tuple[Exchange, Queue]:
    exchange = Exchange(name, type="fanout")
    return exchange, Queue(f"{name}-heard", exchange, auto_delete=True)


def test_what_is_told_before_the_first_poll_and_to_a_second_queue_is_heard(plain_app: PlainApp) -> None:
    heard: list[Any] = []
    first, first_queue = told("first")
    second, second_queue = told("second")
    with plain_app.app.connection_for_read() as connection, plain_app.app.producer_pool.acquire() as producer:
        channel = connection.channel()
        for exchange, queue in ((first, first_queue), (second, second_queue)):
            consumer = connection.Consumer(
                [queue], channel=channel, no_ack=True, callbacks=[lambda body, _: heard.append(body)]
            )
            consumer.consume()
            producer.publish({"told": exchange.name}, exchange=exchange, declare=[exchange])
            while len(heard) < (1 if exchange is first else 2):
                connection.drain_events(timeout=30)
    assert heard == [{"told": "first"}, {"told": "second"}]
