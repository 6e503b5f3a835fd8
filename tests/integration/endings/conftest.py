"""A process that does what a worker does with the message of an attempt."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import redis

from config.celery import LANES
from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tests.integration.endings.steps import Endings
from tests.support.kinds import LEAVE_CAMPAIGN, leave_campaign
from tests.support.relay_clock import relay_clock  # noqa: F401 - a fixture
from worker.claim import get_claims
from worker.execution import execute
from worker.fairshare.queue import FairQueue
from worker.lease import get_lease_keeper
from worker.pointer import make_pointer
from worker.publish import Publisher, get_publisher

PER_PROCESS = (get_claims, get_lease_keeper)
"""What a worker process makes once, of the database of its settings."""


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    get_publisher.cache_clear()
    yield get_publisher()
    get_publisher.cache_clear()


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="professional")


@pytest.fixture
def endings(database: Database, tenant: Tenant, publisher: Publisher) -> Endings:
    return Endings(database, tenant, publisher)


@pytest.fixture
def run(
    database: Database, tenant: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Run an attempt: ``run(job_id, attempts_made=0)``."""
    monkeypatch.setattr("worker.execution.get_database", lambda: database)
    monkeypatch.setattr("worker.lease.get_database", lambda: database)
    for cached in PER_PROCESS:
        cached.cache_clear()
    secret = settings.pointer_secret.get_secret_value().encode()

    def run_attempt(job_id: UUID, *, attempts_made: int = 0) -> None:
        pointer = make_pointer(
            tenant.organization_id, job_id, kind=LEAVE_CAMPAIGN.name, attempts_made=attempts_made, due_at=None
        )
        execute(LEAVE_CAMPAIGN, leave_campaign, pointer.sign(secret), tenant=str(tenant.organization_id))

    yield run_attempt
    for cached in PER_PROCESS:
        cached.cache_clear()


@pytest.fixture
def messages(settings: Settings) -> Iterator[Callable[[], list[str]]]:
    """Take what is in the queue, by message."""
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        yield lambda: [job.job for lane in LANES for job in FairQueue(client, lane).reserve(100)]
