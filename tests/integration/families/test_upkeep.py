"""Retention removes what is old and nothing else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.analytics import AnalyticsEventKey
from models.job import IdempotencyKey
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.payloads import Nothing
from tasks.upkeep import retain
from worker.context import Completion
from worker.publish import get_publisher


@pytest.fixture(autouse=True)
def own_queue(settings: Settings) -> Iterator[None]:
    """Bodies that ask the queue ask this test's own."""
    get_publisher.cache_clear()
    yield
    get_publisher.cache_clear()


def test_old_keys_are_removed_and_young_ones_kept(
    database: Database, organization: Callable[..., Tenant], run: Callable[..., Completion]
) -> None:
    tenant, neighbour, now = organization(), organization(), datetime.now(UTC)
    for owner in (tenant, neighbour):
        with tenant_session(database, owner.organization_id) as session:
            for name, age in (("young", 1), ("old", 90)):
                moment = now - timedelta(days=age)
                session.add(
                    IdempotencyKey(
                        organization_id=owner.organization_id,
                        key=name,
                        fingerprint="",
                        job_id=uuid7(),
                        created_at=moment,
                    )
                )
                session.add(
                    AnalyticsEventKey(organization_id=owner.organization_id, key=name, received_at=moment)
                )
    completion = run(tenant, retain, Nothing())
    assert completion.result == {
        "jobs_archived": 0,
        "jobs_forgotten": 0,
        "idempotency_keys": 1,
        "analytics_event_keys": 1,
        "worker_seconds": 0,
        "expired_holds": 0,
        "exports": 0,
    }
    for owner, left in ((tenant, {"young"}), (neighbour, {"young", "old"})):
        with tenant_session(database, owner.organization_id) as session:
            for table in (IdempotencyKey, AnalyticsEventKey):
                assert set(session.execute(select(table.key)).scalars()) == left
