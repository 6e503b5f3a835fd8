"""A process that does what a worker does, for one tenant."""

from collections.abc import Callable, Iterator

import pytest
import redis

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tests.support.relay_clock import relay_clock  # noqa: F401 - a fixture
from worker.lease import get_lease_keeper
from worker.publish import Publisher, get_publisher


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    get_publisher.cache_clear()
    yield get_publisher()
    get_publisher.cache_clear()


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        yield client


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="professional")


@pytest.fixture(autouse=True)
def _this_process_is_a_worker(
    database: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr("worker.execution.get_database", lambda: database)
    monkeypatch.setattr("worker.lease.get_database", lambda: database)
    get_lease_keeper.cache_clear()
    yield
    get_lease_keeper.cache_clear()
