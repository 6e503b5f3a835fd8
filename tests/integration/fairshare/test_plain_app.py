"""A Celery app of twenty lines, with Celery's own settings, that differs in the URL of its broker."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from celery import chain, chord, group, signature
from celery.app.control import Inspect
from celery.exceptions import TaskRevokedError

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp
from tests.support.wait import wait_until

MODULE = "tests.integration.fairshare.twenty_lines"
SOURCE = Path(__file__).with_name("twenty_lines.py")


@pytest.fixture
def app(server: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> Iterator[PlainApp]:
    with PlainApp(server, tmp_path, module=MODULE) as app:
        yield app


def test_everything_that_celery_users_are_used_to_works(app: PlainApp) -> None:
    assert len([line for line in SOURCE.read_text().splitlines() if line and line[0] != "#"]) <= 20
    app.worker("prefork", 2, "-E")
    add = signature(f"{MODULE}.add", app=app.app)
    assert add.delay(1, 2).get(timeout=30) == 3
    delayed = add.apply_async((20, 22), countdown=0.5)
    assert app.send("stubborn").get(timeout=30) == 2
    assert delayed.get(timeout=30) == 42
    assert chain(add.clone((1, 1)), add.clone((2,)), add.clone((3,))).delay().get(timeout=30) == 7
    assert group(add.clone((i, i)) for i in range(5)).delay().get(timeout=30) == [0, 2, 4, 6, 8]
    total = signature(f"{MODULE}.total", app=app.app)
    assert chord((add.clone((i, i)) for i in range(5)), total).delay().get(timeout=30) == 20
    wait_until(lambda: app.left() == 0)
    assert [stats.tenant for stats in app.lane().stats()] == ["default"]


def test_remote_control_reaches_the_worker(app: PlainApp) -> None:
    worker = app.worker("prefork", 2)
    node = f"{worker.name}@test"
    inspect: Inspect = app.app.control.inspect([node], timeout=30, limit=1)
    assert inspect.ping() == {node: {"ok": "pong"}}
    assert inspect.stats()[node]["pool"]["max-concurrency"] == 2
    assert [queue["name"] for queue in inspect.active_queues()[node]] == ["celery"]
    assert f"{MODULE}.add" in inspect.registered()[node]
    app.app.control.add_consumer("extra", destination=[node], reply=True, timeout=30, limit=1)
    wait_until(lambda: queues_of(inspect, node) == {"celery", "extra"})  # it replies before it does it
    assert app.send("add", 1, 2, queue="extra").get(timeout=30) == 3
    app.app.control.cancel_consumer("extra", destination=[node], reply=True, timeout=30, limit=1)
    wait_until(lambda: queues_of(inspect, node) == {"celery"})
    assert inspect.conf()[node]["broker_url"].startswith("fair://")
    app.app.control.shutdown(destination=[node])
    assert worker.process.wait(60) == 0


def queues_of(inspect: Inspect, node: str) -> set[str]:
    return {queue["name"] for queue in (inspect.active_queues() or {}).get(node, [])}


def test_events_are_seen(app: PlainApp) -> None:
    seen: list[str] = []
    with app.app.connection_for_read() as connection:
        handlers = {"*": lambda event: seen.append(event["type"])}
        receiver = app.app.events.Receiver(connection, handlers=handlers)
        with receiver.consumer_context(wakeup=False) as (own_connection, _, _):

            def arrived(event: str) -> bool:
                with suppress(TimeoutError):
                    own_connection.drain_events(timeout=0.1)
                return event in seen

            arrived("the subscription begins with the first look")
            app.worker("solo", 1, "-E")
            app.send("add", 1, 2)
            wait_until(lambda: arrived("task-succeeded"))
    assert {"worker-online", "task-received", "task-started", "task-succeeded"} <= set(seen)


def test_an_expired_job_does_not_run(app: PlainApp) -> None:
    add = signature(f"{MODULE}.add", app=app.app)
    late = add.apply_async((1, 2), expires=0.2)
    app.worker("solo")  # which takes longer than that to start
    with pytest.raises(TaskRevokedError):
        late.get(timeout=30)
    assert add.apply_async((1, 2), expires=30).get(timeout=30) == 3
