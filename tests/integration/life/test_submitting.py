"""Jobs are recorded, published, refused and cancelled."""

import json
from collections.abc import Callable

import pytest
import redis

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, RelayDatabase
from tests.integration.life.acts import (
    age_outbox,
    claim,
    leave,
    one,
    reserve,
    row,
    run,
)
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.lease import get_lease_keeper
from worker.publish import Publisher
from worker.refusal import IdempotencyConflictError, LimitExceededError, OrganizationInactiveError
from worker.relay import run_pass
from worker.submit import JobStateError, Submission, cancel, submit


def test_a_submitted_job_is_recorded_published_and_off_the_outbox(
    database: Database, tenant: Tenant, publisher: Publisher, client: redis.Redis
) -> None:
    job = one(database, tenant, leave(), publisher)

    assert row(database, tenant, job.id).state == "queued"
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 1}
    [reserved] = reserve(client)
    assert reserved.job == f"{job.id}:0"
    assert reserved.tenant == str(tenant.organization_id)


def test_the_message_carries_no_payload(
    database: Database, tenant: Tenant, publisher: Publisher, client: redis.Redis
) -> None:
    one(database, tenant, leave("very secret"), publisher)

    [reserved] = reserve(client)
    assert b"secret" not in reserved.message
    assert json.loads(reserved.message)["headers"]["task"] == LEAVE_CAMPAIGN.name


def test_a_key_is_the_same_job_again_and_another_body_is_refused(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    keyed = Submission(LEAVE_CAMPAIGN, Leave(name="a"), idempotency_key="k1")
    first = one(database, tenant, keyed, publisher)
    again = one(database, tenant, keyed, publisher)

    assert (again.id, again.replayed) == (first.id, True)
    assert outcome.quota(database, tenant) == (0, 1)
    with pytest.raises(IdempotencyConflictError):
        one(database, tenant, Submission(LEAVE_CAMPAIGN, Leave(name="b"), idempotency_key="k1"), publisher)
    assert outcome.states(database, tenant) == {"queued": 1}


def test_a_batch_over_the_quota_is_refused_whole(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher
) -> None:
    tenant = organization(plan="starter")
    metered = [leave(str(n)) for n in range(1_000)]
    for _ in range(22):  # 20,000 and the 10 % a soft limit allows
        submit(database, tenant, metered, publisher=publisher)
    with pytest.raises(LimitExceededError, match="Upgrade plan to increase jobs_month limit") as refused:
        submit(database, tenant, metered[:1], publisher=publisher)

    assert refused.value.limit == 20_000
    assert outcome.quota(database, tenant) == (0, 22_000)


def test_an_inactive_organization_submits_nothing(
    database: Database, organization: Callable[..., Tenant], publisher: Publisher
) -> None:
    tenant = organization(status="suspended")
    with pytest.raises(OrganizationInactiveError):
        submit(database, tenant, [leave()], publisher=publisher)
    assert outcome.states(database, tenant) == {}


def test_a_waiting_job_is_cancelled_at_once_and_a_finished_one_is_not(
    database: Database, tenant: Tenant, publisher: Publisher, settings: Settings, client: redis.Redis
) -> None:
    waiting, finished = submit(database, tenant, [leave("w"), leave("f")], publisher=publisher)
    run(settings, tenant, finished.id)

    assert cancel(database, tenant, waiting.id, publisher=publisher) == "cancelled"
    assert [reserved.job for reserved in reserve(client)] == [f"{finished.id}:0"]
    run(settings, tenant, waiting.id)
    assert outcome.campaigns_left(database, tenant) == {"f": 1}
    with pytest.raises(JobStateError):
        cancel(database, tenant, finished.id)
    assert outcome.quota(database, tenant) == (1, 0)


def test_a_running_job_learns_that_it_is_cancelled(
    database: Database, tenant: Tenant, publisher: Publisher
) -> None:
    job = one(database, tenant, leave(), publisher)
    held = claim(database, tenant, job.id)
    assert held is not None
    with get_lease_keeper().hold(held) as hold:
        assert cancel(database, tenant, job.id) == "running"
        get_lease_keeper().renew()
        with pytest.raises(Exception, match="cancelled while running"):
            hold.check()


def test_a_job_submitted_while_redis_is_away_is_published_by_the_relay(
    database: Database,
    relay_database: RelayDatabase,
    tenant: Tenant,
    publisher: Publisher,
    settings: Settings,
    client: redis.Redis,
) -> None:
    nowhere = Publisher(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    job = one(database, tenant, leave(), nowhere)
    assert reserve(client) == []
    run_pass(relay_database, publisher)
    client.flushdb()
    age_outbox(database, tenant)
    publish = run_pass(relay_database, publisher)

    assert publish.published == 1
    assert [reserved.job for reserved in reserve(client)] == [f"{job.id}:0"]
