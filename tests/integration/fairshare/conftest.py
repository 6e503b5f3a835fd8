from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp
from worker.fairshare import register
from worker.fairshare.queue import FairQueue


class ManualClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_by(self, *, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    register()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"), password="fair", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url()) as client:
        client.flushall()
        yield client


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(client: redis.Redis, clock: ManualClock) -> FairQueue:
    return FairQueue(client, "lane", clock=clock)


@pytest.fixture
def plain_app(server: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> Iterator[PlainApp]:
    with PlainApp(server, tmp_path) as app:
        yield app
