"""The limit on a tenant's backlog, on real Postgres and Redis."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from config.settings import Settings
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from tasks.catalog import ACCOUNT_QUOTA, ROLLUP, SCORE_LEADS
from tasks.payloads import AccountQuota, Rollup, ScoreLeads
from tests.support import outcome
from worker.fairshare.queue import FairQueue, Finish
from worker.fairshare.standing import standings
from worker.publish import Publisher
from worker.refusal import BacklogFullError
from worker.submit import Submission, submit

LIMIT = 10


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


@pytest.fixture
def tenant(database: Database, organization: Callable[..., Tenant]) -> Tenant:
    made = organization(plan="professional")
    with tenant_session(database, made.organization_id) as session:
        session.get_one(Organization, made.organization_id).plan_overrides = {"max_backlog": LIMIT}
    tenant = load_tenant(database, made.organization_id)
    assert tenant is not None
    return tenant


def rollups(count: int, **options: Any) -> list[Submission]:
    return [Submission(ROLLUP, Rollup(), **options) for _ in range(count)]


def test_a_full_backlog_refuses_and_records_nothing(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    submit(database, tenant, rollups(LIMIT), publisher=publisher)
    with pytest.raises(BacklogFullError) as refused:
        submit(database, tenant, rollups(1), publisher=publisher)

    assert (refused.value.lane, refused.value.waiting, refused.value.limit) == ("analytics", LIMIT, LIMIT)
    assert outcome.states(database, tenant) == {"queued": LIMIT}
    assert outcome.quota(database, tenant) == (0, LIMIT)


def test_a_batch_that_would_pass_the_limit_in_one_lane_is_refused_whole(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    submit(database, tenant, rollups(LIMIT - 2), publisher=publisher)
    elsewhere = [Submission(ACCOUNT_QUOTA, AccountQuota())]
    with pytest.raises(BacklogFullError):
        submit(database, tenant, [*elsewhere, *rollups(3)], publisher=publisher)
    assert outcome.states(database, tenant) == {"queued": LIMIT - 2}

    submit(database, tenant, [*elsewhere, *rollups(2)], publisher=publisher)
    assert outcome.states(database, tenant) == {"queued": LIMIT + 1}


def test_a_lane_that_is_full_leaves_the_others_open(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    submit(database, tenant, rollups(LIMIT), publisher=publisher)
    submit(database, tenant, [Submission(SCORE_LEADS, ScoreLeads(all=True, limit=1))], publisher=publisher)
    assert outcome.states(database, tenant) == {"queued": LIMIT + 1}


def test_delayed_jobs_count_and_jobs_in_flight_do_not(
    database: Database, tenant: Tenant, publisher: Publisher, redis_url: str
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    submit(database, tenant, rollups(LIMIT - 1, run_at=later), publisher=publisher)
    submit(database, tenant, rollups(1), publisher=publisher)
    with pytest.raises(BacklogFullError) as refused:
        submit(database, tenant, rollups(2), publisher=publisher)
    assert 90 < refused.value.retry_after.total_seconds() <= 100

    with redis.Redis.from_url(redis_url) as client:
        assert len(FairQueue(client, "analytics").reserve(5)) == 1
    submit(database, tenant, rollups(1), publisher=publisher)


def test_the_estimate_follows_the_time_jobs_take_and_how_many_run(
    database: Database, tenant: Tenant, publisher: Publisher, redis_url: str
) -> None:
    submit(database, tenant, rollups(LIMIT), publisher=publisher)
    with redis.Redis.from_url(redis_url) as client:
        now = int(datetime.now(UTC).timestamp() * 1_000_000)
        queue = FairQueue(client, "analytics", clock=lambda: now)
        [first] = queue.reserve(1)
        now += 8_000_000
        queue.finish([Finish(first.token)])
        assert len(queue.reserve(2)) == 2
    submit(database, tenant, rollups(3), publisher=publisher)  # 7 waited
    with pytest.raises(BacklogFullError) as refused:
        submit(database, tenant, rollups(5), publisher=publisher)
    assert refused.value.retry_after == timedelta(seconds=5 * 8 / 2)


def test_a_key_that_is_known_needs_no_room(database: Database, tenant: Tenant, publisher: Publisher) -> None:
    keyed = rollups(1, idempotency_key="mine")
    [first] = submit(database, tenant, keyed, publisher=publisher)
    submit(database, tenant, rollups(LIMIT - 1), publisher=publisher)

    [again] = submit(database, tenant, keyed, publisher=publisher)
    assert (again.id, again.replayed) == (first.id, True)
    with pytest.raises(BacklogFullError):
        submit(database, tenant, [*keyed, *rollups(1)], publisher=publisher)


def test_another_tenants_backlog_is_its_own(
    database: Database, tenant: Tenant, publisher: Publisher, organization: Callable[..., Tenant]
) -> None:
    submit(database, tenant, rollups(LIMIT), publisher=publisher)
    submit(database, organization(name="Other"), rollups(2 * LIMIT), publisher=publisher)


def test_redis_away_refuses_nothing(database: Database, tenant: Tenant, settings: Settings) -> None:
    nowhere = Publisher(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    submit(database, tenant, rollups(2 * LIMIT), publisher=nowhere)
    assert outcome.leftovers(database, tenant)["outbox"] == 2 * LIMIT


def test_a_tenant_nobody_heard_of_stands_nowhere(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        [one, two] = standings([FairQueue(client, "a"), FairQueue(client, "b")], "t", sample=5)
        assert client.keys("*") == []
    assert (one.lane, one.known, one.backlog, two.lane) == ("a", False, 0, "b")
    assert (one.average_run, one.paused, one.paused_kinds, one.oldest) == (None, False, frozenset(), None)
